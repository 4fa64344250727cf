//! What the target cannot express, and what changes although it can.
//!
//! The rules are those of MetalLB's releases: its webhooks, the checks of its speaker, and the schemas of its custom resources.

use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;

use ferrolb_compat::go::duration::GoDuration;
use ferrolb_compat::go::quote::quote;
use ferrolb_compat::migrate::Release;
use ferrolb_compat::raw::ConfigFile;

use super::{BgpMode, Findings, Level, Options, Passwords};
use crate::config::mode::Mode;
use crate::config::parse::takes;
use crate::config::{Config, Operator, Peer, Pool, Protocol};

/// The largest port that the schema of a peer takes.
const MAX_PORT: u16 = 16384;
/// RFC 4271 §4.2: the hold time has 16 bits of seconds.
const MAX_HOLD_TIME: u64 = 65535;

/// Native if 0.12's native mode takes the configuration, else FRR.
pub(super) fn guess_mode(raw: &ConfigFile) -> BgpMode {
    if takes(raw, Mode::Native) {
        BgpMode::Native
    } else {
        BgpMode::Frr
    }
}

/// Whether a pool has addresses of a family.
pub(super) fn has_family(pool: &Pool, v6: bool) -> bool {
    pool.cidrs.iter().any(|cidr| cidr.addr().is_ipv6() == v6)
}

/// Whether routes of a family are announced.
pub(super) fn announces(config: &Config, v6: bool) -> bool {
    config
        .pools
        .iter()
        .any(|pool| pool.protocol == Protocol::Bgp && has_family(pool, v6))
}

/// Makes all checks that do not depend on what is built.
pub(super) fn look(
    raw: &ConfigFile,
    config: &Config,
    mode: BgpMode,
    options: &Options,
    findings: &mut Findings<'_>,
) {
    let mut checks = Checks {
        raw,
        config,
        mode,
        target: options.target,
        options,
        findings,
    };
    checks.emptiness();
    checks.peers();
    checks.pools();
    match mode {
        BgpMode::Native => checks.native(),
        BgpMode::Frr | BgpMode::FrrK8s => checks.frr(),
    }
    checks.release();
}

struct Checks<'c, 'f, 'o> {
    raw: &'c ConfigFile,
    config: &'c Config,
    mode: BgpMode,
    target: Release,
    options: &'c Options,
    findings: &'f mut Findings<'o>,
}

impl Checks<'_, '_, '_> {
    fn emptiness(&mut self) {
        if self.config.pools.is_empty() && self.config.peers.is_empty() {
            let message = "the configuration has no pools and no peers: 0.12 runs it, and so there is next to nothing to convert";
            let help = "if this is not what runs, another ConfigMap or another key is meant";
            self.findings
                .add(Level::Info, "MIG046", "", None, message, help);
        }
    }

    fn peers(&mut self) {
        let (raw, config) = (self.raw, self.config);
        for (index, (raw, peer)) in raw.peers.value.iter().zip(&config.peers).enumerate() {
            let at = |field: &str| format!("peers[{index}].{field}");
            let zeros = self.target < Release::new(14, 9);
            let hold = &raw.hold_time;
            if !hold.value.is_empty() {
                let whole = GoDuration::parse(&hold.value)
                    .is_ok_and(|time| time.0.checked_rem(1_000_000_000) == Some(0));
                if !whole {
                    let message = format!(
                        "hold time {} is cut to whole seconds, as 0.12 does",
                        quote(&hold.value)
                    );
                    self.findings.add(
                        Level::Info,
                        "MIG018",
                        at("hold-time"),
                        hold.place,
                        message,
                        "",
                    );
                }
                if peer.hold_time.is_zero() && zeros {
                    self.findings.add(
                        Level::Blocked,
                        "MIG019",
                        at("hold-time"),
                        hold.place,
                        format!("{} takes a hold time of 0 for 90 s", self.target),
                        "convert for 0.14.9 or later, or set another time; --allow MIG019 takes the 90 s",
                    );
                }
                if peer.hold_time.as_secs() > MAX_HOLD_TIME {
                    let message = "a hold time of more than 65535 s cannot be sent in BGP";
                    self.findings.add(
                        Level::Warning,
                        "MIG044",
                        at("hold-time"),
                        hold.place,
                        message,
                        "",
                    );
                }
            }
            let keepalive = &raw.keepalive_time;
            if !keepalive.value.is_empty() {
                if peer.keepalive_time.is_zero() && zeros {
                    self.findings.add(
                        Level::Blocked,
                        "MIG020",
                        at("keepalive-time"),
                        keepalive.place,
                        format!(
                            "{} takes a keepalive time of 0 for a third of the hold time",
                            self.target
                        ),
                        "convert for 0.14.9 or later, or remove it; --allow MIG020 takes the third",
                    );
                }
                if self.mode == BgpMode::Native {
                    self.findings.add(
                        Level::Blocked,
                        "MIG021",
                        at("keepalive-time"),
                        keepalive.place,
                        "native BGP refuses a keepalive time, in 0.12 and in every later release",
                        "remove it, or convert with --bgp-mode frr",
                    );
                }
            }
            if raw.peer_port.value > MAX_PORT {
                self.findings.add(
                    Level::Blocked,
                    "MIG022",
                    at("peer-port"),
                    raw.peer_port.place,
                    format!(
                        "port {} is refused by the API server: the resource allows 1 to {MAX_PORT}",
                        raw.peer_port.value
                    ),
                    "let the router listen on another port",
                );
            }
            if !raw.password.value.is_empty() && self.options.passwords == Passwords::Inline {
                let message = "the password stands in the resource as plain text";
                let help = "leave out --password inline: a Secret holds it then";
                self.findings.add(
                    Level::Info,
                    "MIG030",
                    at("password"),
                    raw.password.place,
                    message,
                    help,
                );
            }
        }
        let old_schema = self.target < Release::new(16, 0);
        if old_schema
            && self.options.kubernetes.is_some_and(|minor| minor >= 36)
            && let Some(peer) = raw.peers.value.first()
        {
            self.findings.add(
                Level::Blocked,
                "MIG031",
                "peers",
                peer.place,
                format!(
                    "Kubernetes 1.36 and later refuses every BGPPeer of {}: its schema says int32 of AS numbers",
                    self.target
                ),
                "convert for 0.16 or later",
            );
        }
    }

    fn pools(&mut self) {
        let raw = &self.raw.address_pools.value;
        for (index, (raw, pool)) in raw.iter().zip(&self.config.pools).enumerate() {
            if pool.cidrs.is_empty() {
                self.findings.add(
                    Level::Warning,
                    "MIG037",
                    format!("address-pools[{index}].addresses"),
                    raw.addresses.place,
                    format!(
                        "pool {} has no addresses: its ranges go from one family to the other",
                        quote(&pool.name)
                    ),
                    "write a range of one family",
                );
            }
            for (number, advertisement) in raw.bgp_advertisements.value.iter().enumerate() {
                for (v6, name, field) in [
                    (
                        false,
                        "aggregation-length",
                        &advertisement.aggregation_length,
                    ),
                    (
                        true,
                        "aggregation-length-v6",
                        &advertisement.aggregation_length_v6,
                    ),
                ] {
                    if field.value.is_some_and(|length| length < 1) && has_family(pool, v6) {
                        self.findings.add(
                            Level::Blocked,
                            "MIG023",
                            format!("address-pools[{index}].bgp-advertisements[{number}].{name}"),
                            field.place,
                            "an aggregation length below 1 is refused by the API server",
                            "announce two halves: a pool and a length of 1",
                        );
                    }
                }
            }
        }
    }

    /// Native BGP.
    fn native(&mut self) {
        let (raw, config) = (self.raw, self.config);
        let help = "convert with --bgp-mode frr";
        if let Some(profile) = raw.bfd_profiles.value.first() {
            let message =
                "native BGP has no BFD: the speakers of every release keep their old configuration";
            self.findings.add(
                Level::Blocked,
                "MIG045",
                "bfd-profiles",
                profile.place,
                message,
                help,
            );
        }
        let old = self.target < Release::new(14, 9);
        for (index, (raw, pool)) in raw
            .address_pools
            .value
            .iter()
            .zip(&config.pools)
            .enumerate()
        {
            if !has_family(pool, true) {
                continue;
            }
            let message = match pool.protocol {
                Protocol::Bgp => "native BGP announces no IPv6".to_owned(),
                Protocol::Layer2
                    if old
                        && config
                            .pools
                            .iter()
                            .any(|pool| pool.protocol == Protocol::Bgp) =>
                {
                    format!(
                        "{} refuses every BGPAdvertisement in native mode while a pool has IPv6 addresses",
                        self.target
                    )
                }
                Protocol::Layer2 => continue,
            };
            let help = match pool.protocol {
                Protocol::Bgp => help,
                Protocol::Layer2 => "convert for 0.14.9 or later, or with --bgp-mode frr",
            };
            let path = format!("address-pools[{index}].addresses");
            self.findings.add(
                Level::Blocked,
                "MIG026",
                path,
                raw.addresses.place,
                message,
                help,
            );
        }
        if !config.peers.is_empty() && self.target >= Release::new(13, 2) {
            let message = "routes have the ORIGIN IGP in the target, incomplete in 0.12: a router that compares them may choose otherwise";
            self.findings
                .add(Level::Info, "MIG035", "peers", None, message, "");
        }
    }

    /// FRR in either form.
    fn frr(&mut self) {
        let (raw, config) = (self.raw, self.config);
        // From 0.16.0 on what differs may differ if no node has both sessions; without nodes there is one that has all.
        let all = [BTreeMap::new()];
        let known = self.target >= Release::new(16, 0) && !self.options.nodes.is_empty();
        let nodes = if known {
            self.options.nodes.as_slice()
        } else {
            all.as_slice()
        };
        let mut sessions: Vec<Sessions<'_>> = nodes.iter().map(|_| Sessions::default()).collect();
        for (index, (raw, peer)) in raw.peers.value.iter().zip(&config.peers).enumerate() {
            let (mut router_id, mut asn, mut address) = (false, false, false);
            for (labels, sessions) in nodes.iter().zip(&mut sessions) {
                if known && !selects(peer, labels) {
                    continue;
                }
                let first = *sessions.first.get_or_insert(peer);
                router_id |= first.router_id != peer.router_id;
                asn |= first.my_asn != peer.my_asn;
                address |= !sessions.addresses.insert(peer.peer_address);
            }
            let mut conflict = |field: &str, place, what: &str| {
                self.findings.add(
                    Level::Blocked,
                    "MIG028",
                    format!("peers[{index}].{field}"),
                    place,
                    what,
                    "make them equal, or convert with --bgp-mode native",
                );
            };
            if router_id {
                let what = "FRR has one router ID for all peers, and the first peer's is another";
                conflict("router-id", raw.router_id.place.or(raw.place), what);
            }
            if asn {
                let what = "FRR has one AS number for all peers, and the first peer's is another";
                conflict("my-asn", raw.my_asn.place.or(raw.place), what);
            }
            if address {
                let what = format!(
                    "FRR has one peer per address, and {} is one already",
                    peer.peer_address
                );
                conflict("peer-address", raw.peer_address.place, &what);
            }
        }
        if self.target >= Release::new(13, 10) && announces(config, true) {
            let echoing: HashSet<&str> = config
                .bfd_profiles
                .iter()
                .filter(|profile| profile.echo_mode)
                .map(|profile| profile.name.as_str())
                .collect();
            for (index, peer) in raw.peers.value.iter().enumerate() {
                if echoing.contains(peer.bfd_profile.value.as_str()) {
                    self.findings.add(
                        Level::Blocked,
                        "MIG027",
                        format!("peers[{index}].bfd-profile"),
                        peer.bfd_profile.place,
                        format!(
                            "{} refuses BFD's echo function while IPv6 routes are announced",
                            self.target
                        ),
                        "switch echo-mode off, announce the IPv6 pool by layer2, or convert for a release before 0.13.10",
                    );
                }
            }
        }
        if needs_dual_stack(self.mode, self.target) {
            for (index, peer) in config.peers.iter().enumerate() {
                if is_dual_stack(config, peer.peer_address) {
                    let message = "the session gets dualStackAddressFamily: without it the target announces only its own family";
                    let path = format!("peers[{index}]");
                    let place = raw.peers.value.get(index).and_then(|peer| peer.place);
                    self.findings
                        .add(Level::Info, "MIG029", path, place, message, "");
                }
            }
        }
    }

    /// What the release itself does otherwise.
    fn release(&mut self) {
        let chart = BgpMode::of_chart(self.target);
        if chart != self.mode && !self.config.peers.is_empty() {
            let message = format!(
                "MetalLB's chart of {} takes {chart} unless told otherwise; this is converted for {}",
                self.target, self.mode
            );
            let help = "set speaker.frr.enabled and frrk8s.enabled in the values";
            self.findings
                .add(Level::Warning, "MIG034", "", None, message, help);
        }
        if self.target == Release::new(15, 0) && !self.config.pools.is_empty() {
            let message =
                "0.15.0, and no other release, refuses a pool that contains a node's address";
            self.findings.add(
                Level::Warning,
                "MIG036",
                "",
                None,
                message,
                "convert for 0.15.1 or later",
            );
        }
    }
}

/// The sessions of a node.
#[derive(Default)]
struct Sessions<'c> {
    first: Option<&'c Peer>,
    addresses: HashSet<IpAddr>,
}

/// Whether a node with these labels has the session.
fn selects(peer: &Peer, labels: &BTreeMap<String, String>) -> bool {
    peer.node_selectors.iter().any(|selector| {
        selector.requirements.iter().all(|requirement| {
            let value = labels.get(&requirement.key);
            let listed = value.is_some_and(|value| requirement.values.contains(value));
            match requirement.operator {
                Operator::In => listed,
                Operator::NotIn => !listed,
                Operator::Exists => value.is_some(),
                Operator::DoesNotExist => value.is_none(),
            }
        })
    })
}

/// Whether the target announces the other family over a session only if told.
pub(super) fn needs_dual_stack(mode: BgpMode, target: Release) -> bool {
    mode.is_frr() && target >= Release::new(15, 0)
}

/// Whether routes of the other family than the peer's are announced.
pub(super) fn is_dual_stack(config: &Config, peer: IpAddr) -> bool {
    announces(config, peer.is_ipv4())
}
