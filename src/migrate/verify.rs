//! Whether resources mean what a configuration means: both are compiled to one [`Model`], and the models are compared.
//!
//! The configuration is what 0.12's parser made of it, with FerroLB's settings where the target has a field for them; the resources are taken as the target release takes them: its
//! defaults, its reading of a time of 0, its BGP implementation's way with advertisements that make the same route. Nothing of the
//! conversion is used, so that a fault of it shows.
//!
//! What it is not: passwords are compared, and never told.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use ferrolb_compat::crd::{BgpAdvertisement, BgpPeer, IpAddressPool, NodeSelector, Resource, Spec};
use ferrolb_compat::go::ip::{parse_cidr, parse_ip};
use ferrolb_compat::migrate::{Release, buggy, to_k8s};

use super::{ANNOTATION_ORIGINAL_NAME, BgpMode, Rename, names};
use crate::config::{Config, Operator, Protocol};

/// A difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Of what: `pool edge`, `peers` …
    pub what: String,
    /// In the configuration.
    pub left: String,
    /// In the resources.
    pub right: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: 0.12: {} / resources: {}",
            self.what, self.left, self.right
        )
    }
}

/// What can be told apart from outside: addresses, routes, sessions.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Model {
    pools: BTreeMap<String, Pool>,
    /// A multiset: sorted.
    peers: Vec<Peer>,
}

/// Routes of one family: by length their local preference and communities.
type Routes = BTreeMap<u8, (u32, BTreeSet<u32>)>;

#[derive(Debug, Default, PartialEq, Eq)]
struct Pool {
    /// Disjoint, in order, not adjacent: first and last address, IPv4 ones mapped to IPv6.
    addresses: Vec<(u128, u128)>,
    /// Whether those that end in .0 and .255 are left out of them.
    avoid_buggy_ips: bool,
    auto_assign: bool,
    layer2: bool,
    bgp: bool,
    v4: Routes,
    v6: Routes,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Peer {
    address: IpAddr,
    port: u16,
    source: Option<IpAddr>,
    router_id: Option<IpAddr>,
    asns: (u32, u32),
    /// Milliseconds.
    hold_time: u128,
    /// Milliseconds.
    keepalive_time: u128,
    multihop: bool,
    password: Secret,
    /// The profile's values, as text; empty: none.
    bfd: String,
    /// Normalised selectors; any suffices.
    selectors: BTreeSet<BTreeSet<String>>,
    /// Whether routes of IPv4 and of IPv6 go to it.
    families: (bool, bool),
    /// Whether it is asked to keep our routes over a restart; where the target cannot say so: no.
    graceful_restart: bool,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "none" } else { "set" })
    }
}

/// Compares a configuration with resources for a target; empty: they mean the same.
#[must_use]
pub fn compare(
    config: &Config,
    resources: &[Resource],
    renames: &[Rename],
    target: Release,
    mode: BgpMode,
) -> Vec<Difference> {
    let resources: Vec<&Resource> = resources.iter().collect();
    compare_all(config, &resources, renames, target, mode)
}

/// The same for resources that are somewhere else.
pub(super) fn compare_all(
    config: &Config,
    resources: &[&Resource],
    renames: &[Rename],
    target: Release,
    mode: BgpMode,
) -> Vec<Difference> {
    let mut left = of_config(config, mode, renames);
    if !has_graceful_restart(target, mode) {
        for peer in &mut left.peers {
            peer.graceful_restart = false;
        }
        left.peers.sort();
    }
    match of_resources(resources, target, mode) {
        Ok(right) => differences(left, right),
        Err(fault) => vec![Difference {
            what: "resources".to_owned(),
            left: "valid".to_owned(),
            right: fault,
        }],
    }
}

/// Compares two configurations as a BGP implementation runs them; empty: they mean the same.
#[must_use]
pub fn compare_configs(one: &Config, other: &Config, mode: BgpMode) -> Vec<Difference> {
    differences(of_config(one, mode, &[]), of_config(other, mode, &[]))
}

fn differences(mut left: Model, mut right: Model) -> Vec<Difference> {
    let mut differences = Vec::new();
    let names: BTreeSet<String> = left
        .pools
        .keys()
        .chain(right.pools.keys())
        .cloned()
        .collect();
    for name in names {
        match (left.pools.get_mut(&name), right.pools.get_mut(&name)) {
            (Some(one), Some(other)) => {
                // A release that cannot leave addresses out has them cut out.
                if one.avoid_buggy_ips != other.avoid_buggy_ips {
                    one.cut_buggy();
                    other.cut_buggy();
                }
                if one != other {
                    differences.push(Difference {
                        what: format!("pool {name}"),
                        left: format!("{one:?}"),
                        right: format!("{other:?}"),
                    });
                }
            }
            (one, other) => {
                let told = |there: bool| if there { "there" } else { "absent" }.to_owned();
                differences.push(Difference {
                    what: format!("pool {name}"),
                    left: told(one.is_some()),
                    right: told(other.is_some()),
                });
            }
        }
    }
    if left.peers != right.peers {
        differences.push(Difference {
            what: "peers".to_owned(),
            left: format!("{:?}", left.peers),
            right: format!("{:?}", right.peers),
        });
    }
    differences
}

/// The renames that resources tell of: by their annotation, or because they have the name that upstream's converter or ours
/// makes of a pool's.
#[must_use]
pub fn renames(config: &Config, resources: &[Resource]) -> Vec<Rename> {
    let mut original = BTreeMap::new();
    let mut pools = BTreeSet::new();
    for resource in resources {
        if matches!(resource.spec, Spec::Pool(_)) {
            pools.insert(resource.name.as_str());
            if let Some(from) = resource.annotations.get(ANNOTATION_ORIGINAL_NAME) {
                original.insert(from.as_str(), resource.name.as_str());
            }
        }
    }
    let ours = names::assign(config.pools.iter().map(|pool| pool.name.as_str()), "pool");
    let mut renames = Vec::new();
    for pool in &config.pools {
        let from = pool.name.as_str();
        if pools.contains(from) {
            continue;
        }
        let told = original.get(from).map(|to| (*to).to_owned());
        let made = || {
            ours.get(from)
                .filter(|to| pools.contains(to.as_str()))
                .cloned()
        };
        let upstreams = || to_k8s(from).filter(|to| pools.contains(to.as_str()));
        if let Some(to) = told.or_else(made).or_else(upstreams) {
            renames.push(Rename {
                kind: "IPAddressPool",
                from: from.to_owned(),
                to,
            });
        }
    }
    renames
}

impl Pool {
    /// Leaves out what is to be left out of the addresses.
    fn cut_buggy(&mut self) {
        if !std::mem::take(&mut self.avoid_buggy_ips) {
            return;
        }
        let mut cut = Vec::new();
        for (first, last) in &self.addresses {
            match (v4_of(*first), v4_of(*last)) {
                (Some(first), Some(last)) => {
                    let lines = buggy::split(&format!("{first}-{last}"));
                    cut.extend(lines.iter().filter_map(|line| range(line)));
                }
                _ => cut.push((*first, *last)),
            }
        }
        self.addresses = joined(cut);
    }

    /// Adds a route as the BGP implementation does.
    fn announce(&mut self, v6: bool, length: u8, route: (u32, BTreeSet<u32>), mode: BgpMode) {
        let routes = if v6 { &mut self.v6 } else { &mut self.v4 };
        match routes.get_mut(&length) {
            Some(known) if mode.is_frr() => {
                known.0 = known.0.max(route.0);
                known.1.extend(route.1);
            }
            _ => {
                routes.insert(length, route);
            }
        }
    }

    fn has(&self, v6: bool) -> bool {
        let is_v6 = |address: u128| v4_of(address).is_none();
        self.addresses.iter().any(|(first, _)| is_v6(*first) == v6)
    }
}

/// An address as a number; IPv4 as IPv4-mapped.
fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(v4) => u128::from(v4.to_ipv6_mapped()),
        IpAddr::V6(v6) => u128::from(v6),
    }
}

fn v4_of(number: u128) -> Option<std::net::Ipv4Addr> {
    std::net::Ipv6Addr::from(number).to_ipv4_mapped()
}

/// The first and the last address of a line of a pool.
fn range(line: &str) -> Option<(u128, u128)> {
    if let Some(cidr) = parse_cidr(line) {
        let bits = if cidr.network.is_ipv4() { 32 } else { 128 };
        let host = bits - u32::from(cidr.prefix_len);
        let first = number(cidr.network);
        let mask = 1_u128.checked_shl(host).map_or(u128::MAX, |size| size - 1);
        return Some((first, first | mask));
    }
    let (first, last) = line.split_once('-')?;
    let (first, last) = (parse_ip(first.trim())?, parse_ip(last.trim())?);
    // Compat: a range from one family to the other has no addresses.
    let same = first.is_ipv4() == last.is_ipv4() && first <= last;
    Some(if same {
        (number(first), number(last))
    } else {
        (1, 0)
    })
}

/// Sorted, without empty ones, adjacent and overlapping ones joined.
fn joined(mut ranges: Vec<(u128, u128)>) -> Vec<(u128, u128)> {
    ranges.retain(|(first, last)| first <= last);
    ranges.sort_unstable();
    let mut out: Vec<(u128, u128)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match out.last_mut() {
            Some(open) if first <= open.1.saturating_add(1) => open.1 = open.1.max(last),
            _ => out.push((first, last)),
        }
    }
    out
}

/// The configuration as 0.12 runs it with a BGP implementation.
fn of_config(config: &Config, mode: BgpMode, renames: &[Rename]) -> Model {
    let mut model = Model::default();
    let renamed: BTreeMap<&str, &str> = renames
        .iter()
        .filter(|rename| rename.kind == "IPAddressPool")
        .map(|rename| (rename.from.as_str(), rename.to.as_str()))
        .collect();
    let profiles: BTreeMap<&str, _> = config
        .bfd_profiles
        .iter()
        .map(|profile| (profile.name.as_str(), profile))
        .collect();
    for pool in &config.pools {
        let ranges = pool.cidrs.iter();
        let mut compiled = Pool {
            addresses: joined(
                ranges
                    .map(|cidr| (number(cidr.network()), number(cidr.broadcast())))
                    .collect(),
            ),
            avoid_buggy_ips: pool.avoid_buggy_ips,
            auto_assign: pool.auto_assign,
            layer2: pool.protocol == Protocol::Layer2,
            bgp: pool.protocol == Protocol::Bgp,
            ..Pool::default()
        };
        for advertisement in &pool.bgp_advertisements {
            for (v6, length) in [
                (false, advertisement.aggregation_length),
                (true, advertisement.aggregation_length_v6),
            ] {
                if compiled.has(v6) {
                    let communities = advertisement.communities.iter().copied().collect();
                    let route = (advertisement.local_pref, communities);
                    compiled.announce(v6, length, route, mode);
                }
            }
        }
        let name = renamed.get(pool.name.as_str()).copied();
        model
            .pools
            .insert(name.unwrap_or(&pool.name).to_owned(), compiled);
    }
    let announced = families(&model);
    for peer in &config.peers {
        let profile = profiles.get(peer.bfd_profile.as_str());
        model.peers.push(Peer {
            address: peer.peer_address,
            port: peer.peer_port,
            source: peer.source_address,
            router_id: peer.router_id,
            asns: (peer.my_asn, peer.peer_asn),
            hold_time: peer.hold_time.as_millis(),
            keepalive_time: peer.keepalive_time.as_millis(),
            multihop: peer.ebgp_multihop,
            password: Secret(peer.password.clone()),
            bfd: profile.map_or(String::new(), |profile| {
                bfd_text(
                    [
                        profile.receive_interval,
                        profile.transmit_interval,
                        profile.detect_multiplier,
                        profile.echo_interval,
                        profile.minimum_ttl,
                    ],
                    profile.echo_mode,
                    profile.passive_mode,
                )
            }),
            selectors: peer
                .node_selectors
                .iter()
                .map(|selector| {
                    let requirements = selector.requirements.iter();
                    requirements
                        .map(|requirement| {
                            let operator = match requirement.operator {
                                Operator::In => "In",
                                Operator::NotIn => "NotIn",
                                Operator::Exists => "Exists",
                                Operator::DoesNotExist => "DoesNotExist",
                            };
                            requirement_text(&requirement.key, operator, &requirement.values)
                        })
                        .collect()
                })
                .collect(),
            // Upstream: 0.12 sends both families over every session.
            families: announced,
            graceful_restart: config.settings.bgp.of(peer).graceful_restart.is_some(),
        });
    }
    model.peers.sort();
    model
}

/// Whether the target has graceful restart: from 0.14.6 on, and not in native BGP. Where it has none, FerroLB's setting for it is
/// no difference: the conversion says that it is not carried over.
fn has_graceful_restart(target: Release, mode: BgpMode) -> bool {
    mode.is_frr() && target >= Release::new(14, 6)
}

fn families(model: &Model) -> (bool, bool) {
    let any = |v6| model.pools.values().any(|pool| pool.bgp && pool.has(v6));
    (any(false), any(true))
}

fn bfd_text(numbers: [Option<u32>; 5], echo: bool, passive: bool) -> String {
    format!("{numbers:?} echo {echo} passive {passive}")
}

fn requirement_text(key: &str, operator: &str, values: &[String]) -> String {
    let values: BTreeSet<&String> = values.iter().collect();
    format!("{key} {operator} {values:?}")
}

/// The resources as the target takes them.
///
/// # Errors
/// One refers to what is not there, or has a value that means nothing.
fn of_resources(resources: &[&Resource], target: Release, mode: BgpMode) -> Result<Model, String> {
    let mut model = Model::default();
    let mut aliases: BTreeMap<&str, &str> = BTreeMap::new();
    let mut secrets = BTreeMap::new();
    let mut profiles = BTreeMap::new();
    let mut names = BTreeSet::new();
    for resource in resources {
        if !names.insert((resource.spec.kind(), resource.name.as_str())) {
            return Err(format!(
                "{} {} is there twice",
                resource.spec.kind(),
                resource.name
            ));
        }
        match &resource.spec {
            Spec::Pool(pool) => {
                model.pools.insert(resource.name.clone(), pool_of(pool)?);
            }
            Spec::Community(pairs) => {
                aliases.extend(
                    pairs
                        .iter()
                        .map(|(name, value)| (name.as_str(), value.as_str())),
                );
            }
            Spec::Secret(password) => {
                secrets.insert(resource.name.as_str(), password);
            }
            Spec::BfdProfile(profile) => {
                profiles.insert(resource.name.as_str(), profile);
            }
            Spec::Peer(_) | Spec::BgpAdvertisement(_) | Spec::L2Advertisement(_) => {}
        }
    }
    for resource in resources {
        let pools = match &resource.spec {
            Spec::BgpAdvertisement(advertisement) => &advertisement.pools,
            Spec::L2Advertisement(pools) => pools,
            _ => continue,
        };
        // Upstream: one that names no pool is for all of them.
        let all: Vec<String> = if pools.is_empty() {
            model.pools.keys().cloned().collect()
        } else {
            Vec::new()
        };
        for name in pools.iter().chain(&all) {
            let pool = model.pools.get_mut(name).ok_or_else(|| {
                format!(
                    "{} names the pool {name}, which is not there",
                    resource.name
                )
            })?;
            match &resource.spec {
                Spec::BgpAdvertisement(advertisement) => {
                    announce(pool, advertisement, &aliases, mode)?;
                }
                _ => pool.layer2 = true,
            }
        }
    }
    let announced = families(&model);
    for resource in resources {
        let Spec::Peer(peer) = &resource.spec else {
            continue;
        };
        let mut compiled = peer_of(peer, target, mode, announced)
            .ok_or_else(|| format!("{} has an address that is none", resource.name))?;
        if !peer.password_secret.is_empty() {
            let secret = secrets.get(peer.password_secret.as_str());
            let secret =
                secret.ok_or_else(|| format!("the Secret of {} is not there", resource.name))?;
            compiled.password = Secret(secret.0.clone());
        }
        if !peer.bfd_profile.is_empty() {
            let profile = profiles.get(peer.bfd_profile.as_str());
            let profile =
                profile.ok_or_else(|| format!("the profile of {} is not there", resource.name))?;
            compiled.bfd = bfd_text(
                [
                    profile.receive_interval,
                    profile.transmit_interval,
                    profile.detect_multiplier,
                    profile.echo_interval,
                    profile.minimum_ttl,
                ],
                profile.echo_mode,
                profile.passive_mode,
            );
        }
        model.peers.push(compiled);
    }
    model.peers.sort();
    Ok(model)
}

fn pool_of(pool: &IpAddressPool) -> Result<Pool, String> {
    let ranges = pool.addresses.iter().map(|line| {
        let invalid = || format!("{line:?} is no address");
        range(line).ok_or_else(invalid)
    });
    Ok(Pool {
        addresses: joined(ranges.collect::<Result<_, _>>()?),
        avoid_buggy_ips: pool.avoid_buggy_ips,
        auto_assign: pool.auto_assign.unwrap_or(true),
        ..Pool::default()
    })
}

fn announce(
    pool: &mut Pool,
    advertisement: &BgpAdvertisement,
    aliases: &BTreeMap<&str, &str>,
    mode: BgpMode,
) -> Result<(), String> {
    pool.bgp = true;
    let mut communities = BTreeSet::new();
    for text in &advertisement.communities {
        let value = aliases.get(text.as_str()).copied().unwrap_or(text);
        let number = value.split_once(':').and_then(|(high, low)| {
            let half = |text: &str| text.parse::<u16>().ok().map(u32::from);
            Some(half(high)? << 16 | half(low)?)
        });
        communities.insert(number.ok_or_else(|| format!("{text:?} is no community"))?);
    }
    for (v6, length, default) in [
        (false, advertisement.aggregation_length, 32),
        (true, advertisement.aggregation_length_v6, 128),
    ] {
        let length = length.unwrap_or(default);
        // The schema's bound.
        if length < 1 {
            return Err(format!("an aggregation length of {length} is refused"));
        }
        if pool.has(v6) {
            let length = u8::try_from(length).map_err(|_| "an aggregation length is too long")?;
            let route = (advertisement.local_pref, communities.clone());
            pool.announce(v6, length, route, mode);
        }
    }
    Ok(())
}

/// A peer without what others define; `None`: an address is none.
fn peer_of(peer: &BgpPeer, target: Release, mode: BgpMode, (v4, v6): (bool, bool)) -> Option<Peer> {
    let optional = |text: &str| match text {
        "" => Some(None),
        text => parse_ip(text).map(Some),
    };
    let address = parse_ip(&peer.peer_address)?;
    let old = target < Release::new(14, 9);
    // BGP counts in seconds, and so does FRR.
    let nanos = |time: ferrolb_compat::go::duration::GoDuration| {
        u128::from(time.whole_seconds().unsigned_abs()) * 1_000_000_000
    };
    // To 0.14.8 a time of 0 is none.
    let hold_time = peer
        .hold_time
        .filter(|time| !(old && time.0 == 0))
        .map(nanos);
    let mut keepalive = peer
        .keepalive_time
        .filter(|time| !(old && time.0 == 0))
        .map(nanos);
    // From 0.14.9 on FRR's own times count where none is said.
    let (default, own) = if !old && mode.is_frr() {
        (180_000_000_000, Some(60_000_000_000))
    } else {
        (90_000_000_000, None)
    };
    if hold_time.is_none() {
        keepalive = keepalive.or(own);
    }
    let hold_time = hold_time.unwrap_or(default);
    let own_family_only = mode.is_frr() && target >= Release::new(15, 0) && !peer.dual_stack;
    Some(Peer {
        address,
        port: if peer.peer_port == 0 {
            179
        } else {
            peer.peer_port
        },
        source: optional(&peer.source_address)?,
        router_id: optional(&peer.router_id)?,
        asns: (peer.my_asn, peer.peer_asn),
        hold_time: hold_time / 1_000_000,
        keepalive_time: keepalive.unwrap_or(hold_time / 3) / 1_000_000,
        multihop: peer.ebgp_multihop,
        password: Secret(peer.password.0.clone()),
        bfd: String::new(),
        selectors: if peer.node_selectors.is_empty() {
            BTreeSet::from([BTreeSet::new()])
        } else {
            peer.node_selectors.iter().map(requirements).collect()
        },
        families: if own_family_only {
            (v4 && address.is_ipv4(), v6 && address.is_ipv6())
        } else {
            (v4, v6)
        },
        graceful_restart: peer.graceful_restart,
    })
}

fn requirements(selector: &NodeSelector) -> BTreeSet<String> {
    let labels = selector.match_labels.iter();
    labels
        .map(|(key, value)| requirement_text(key, "In", std::slice::from_ref(value)))
        .chain(selector.match_expressions.iter().map(|expression| {
            requirement_text(&expression.key, &expression.operator, &expression.values)
        }))
        .collect()
}
