//! What works, perhaps not as meant.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::{IpAddr, Ipv4Addr};

use ferrolb_compat::go::quote::quote;
use ferrolb_compat::raw::{self, ConfigFile};
use ferrolb_compat::yaml::{self, Place};
use ipnet::{IpNet, Ipv4Net};

use super::pools::Entry;
use super::{Findings, diagnostic, pools};
use crate::config::error::{Diagnostic, Severity};
use crate::config::{Config, Protocol};

/// The most warnings that are kept.
const MAX_WARNINGS: usize = 100;
/// Linux' limit for a TCP MD5 key, in bytes.
const MAX_MD5_KEY: usize = 80;
/// Networks of /24 of one CIDR that are compared between pools; a larger CIDR is looked at by its ends.
const MAX_NETWORKS: u32 = 4_096;
/// The same of all CIDRs; what comes later is not compared.
const MAX_NETWORKS_IN_ALL: usize = 1 << 18;

/// Looks at the document, and at the configuration where there is one; `text` is the whole text that it came from.
pub(super) fn look(
    text: Option<&str>,
    raw: &ConfigFile,
    config: Option<&Config>,
) -> Vec<Diagnostic> {
    let mut look = Look::default();
    if let Some(text) = text {
        look.later_documents(text);
    }
    look.peers(raw, config);
    look.pools(raw);
    if let Some(config) = config {
        look.unused(raw, config);
    }
    look.sorted()
}

/// The warnings so far.
#[derive(Default)]
pub(super) struct Look {
    /// In no order.
    warnings: Vec<Diagnostic>,
}

impl Look {
    /// The first ones, in the order of the text.
    pub(super) fn sorted(mut self) -> Vec<Diagnostic> {
        self.warnings.sort_by_key(|warning| warning.span.start);
        self.warnings.truncate(MAX_WARNINGS);
        self.warnings
    }

    /// Adds a warning.
    pub(super) fn warn(
        &mut self,
        code: &'static str,
        path: String,
        place: Option<Place>,
        message: String,
        help: &str,
    ) {
        // A few more than are kept, so that sorting finds the first ones.
        if self.warnings.len() >= 10 * MAX_WARNINGS {
            return;
        }
        let place = place.unwrap_or(Place::BEGIN);
        let help = (!help.is_empty()).then(|| help.to_owned());
        let warning = diagnostic(Severity::Warning, code, path, place, message, help);
        self.warnings.push(warning);
    }

    /// A second document is not read.
    pub(super) fn later_documents(&mut self, text: &str) {
        let mut offset = 0;
        let mut begun = false;
        for line in text.split_inclusive('\n') {
            let bare = line.trim_end();
            let separator = bare == "---" || bare.starts_with("--- ") || bare == "...";
            if separator && begun {
                self.warn(
                    "later-document",
                    String::new(),
                    Some(yaml::place_at(text, offset, bare.len())),
                    format!(
                        "what follows `{}` is not read",
                        bare.get(..3).unwrap_or("---")
                    ),
                    "put everything into one document",
                );
                return;
            }
            begun |= separator || !(bare.is_empty() || bare.trim_start().starts_with('#'));
            offset += line.len();
        }
    }

    /// Peers.
    fn peers(&mut self, raw: &ConfigFile, config: Option<&Config>) {
        for (index, peer) in raw.peers.value.iter().enumerate() {
            let path = |field: &str| format!("peers[{index}].{field}");
            let password = &peer.password;
            if !password.value.is_empty() {
                self.warn(
                    "plain-password",
                    path("password"),
                    password.place,
                    "the password is in plain sight: whoever may read the ConfigMap can read it"
                        .to_owned(),
                    "restrict who may read it",
                );
            }
            if password.value.len() > MAX_MD5_KEY {
                self.warn(
                    "long-password",
                    path("password"),
                    password.place,
                    format!(
                        "the password is longer than {MAX_MD5_KEY} bytes, Linux' limit for TCP MD5"
                    ),
                    "the session will not come up: use a shorter one",
                );
            }
            let Some(parsed) = config.and_then(|config| config.peers.get(index)) else {
                continue;
            };
            if let Some(source) = parsed.source_address
                && source.is_ipv4() != parsed.peer_address.is_ipv4()
            {
                self.warn(
                    "mixed-families",
                    path("source-address"),
                    peer.source_address.place,
                    "source-address and peer-address are of different families".to_owned(),
                    "the session will not come up: use two addresses of one family",
                );
            }
            if parsed.router_id.is_some_and(|id| id.is_ipv6()) {
                self.warn(
                    "router-id-v6",
                    path("router-id"),
                    peer.router_id.place,
                    "a BGP router ID has 32 bits: an IPv6 address is none".to_owned(),
                    "use an IPv4 address",
                );
            }
            if parsed.hold_time.is_zero() {
                self.warn(
                    "no-hold-time",
                    path("hold-time"),
                    peer.hold_time.place,
                    "without a hold time a dead peer is not noticed".to_owned(),
                    "",
                );
            }
            if peer.keepalive_time.value.starts_with('-') {
                self.warn(
                    "negative-time",
                    path("keepalive-time"),
                    peer.keepalive_time.place,
                    "a negative keepalive time counts as none".to_owned(),
                    "",
                );
            }
        }
    }

    /// Pools, each for itself and each with the others.
    fn pools(&mut self, raw: &ConfigFile) {
        let mut holders: BTreeMap<Ipv4Addr, Vec<usize>> = BTreeMap::new();
        let mut looked_at = 0;
        for (index, pool) in raw.address_pools.value.iter().enumerate() {
            let mut networks = BTreeSet::new();
            let mut buggy = None;
            for (number, text) in pool.addresses.value.iter().enumerate() {
                let path = format!("address-pools[{index}].addresses[{number}]");
                // Faults were told by the checks.
                let mut told = Findings::default();
                let Some(entry) = pools::parse_entry(text, &path, "", &mut told) else {
                    continue;
                };
                self.entry(&path, text.0.place, &text.0.value, &entry);
                for cidr in entry.cidrs() {
                    let IpNet::V4(cidr) = cidr else {
                        continue;
                    };
                    if looked_at < MAX_NETWORKS_IN_ALL {
                        let of_cidr = networks_of(cidr);
                        looked_at += of_cidr.len();
                        networks.extend(of_cidr);
                    }
                    buggy =
                        buggy.or_else(|| Some((first_buggy(cidr)?, path.clone(), text.0.place)));
                }
            }
            if let Some((address, path, place)) = buggy.filter(|_| !pool.avoid_buggy_ips.value) {
                self.warn(
                    "buggy-ips",
                    path,
                    place,
                    format!(
                        "the pool hands out {address}: some old devices drop traffic to addresses ending in .0 and .255"
                    ),
                    "`avoid-buggy-ips: true` leaves them out",
                );
            }
            for network in networks {
                holders.entry(network).or_default().push(index);
            }
        }
        self.neighbours(raw, &holders);
    }

    /// One entry of `addresses`.
    fn entry(&mut self, path: &str, place: Option<Place>, text: &str, entry: &Entry) {
        match entry {
            Entry::Nothing => self.warn(
                "mixed-range",
                path.to_owned(),
                place,
                "a range from one address family to the other has no addresses".to_owned(),
                "write one range for each family",
            ),
            Entry::Cidr { net, .. } => {
                let written = text
                    .split_once('/')
                    .and_then(|(address, _)| ferrolb_compat::go::ip::parse_ip(address));
                if written.is_some_and(|written| written != net.network()) {
                    self.warn(
                        "host-bits",
                        path.to_owned(),
                        place,
                        format!("{text} has host bits: it means the whole network {net}"),
                        &format!("write `{net}`, or a range if less is meant"),
                    );
                }
            }
            Entry::Range(..) => {}
        }
    }

    /// Pools that have addresses in one /24.
    fn neighbours(&mut self, raw: &ConfigFile, holders: &BTreeMap<Ipv4Addr, Vec<usize>>) {
        let mut told = HashSet::new();
        for (network, pools) in holders {
            for (first, second) in pools.iter().zip(pools.iter().skip(1)) {
                if !told.insert((*first, *second)) {
                    continue;
                }
                let name = |index: usize| {
                    let pool = raw.address_pools.value.get(index);
                    quote(pool.map_or("", |pool| &pool.name.value))
                };
                let pool = raw.address_pools.value.get(*second);
                self.warn(
                    "shared-network",
                    format!("address-pools[{second}]"),
                    pool.and_then(|pool| pool.name.place.or(pool.place)),
                    format!(
                        "pools {} and {} both have addresses in {network}/24",
                        name(*first),
                        name(*second)
                    ),
                    "that is allowed; make sure that it is meant",
                );
            }
        }
    }

    /// What nothing refers to.
    fn unused(&mut self, raw: &ConfigFile, config: &Config) {
        let bgp_pool = config
            .pools
            .iter()
            .position(|pool| pool.protocol == Protocol::Bgp);
        match bgp_pool {
            Some(index) if config.peers.is_empty() => {
                let pool: Option<&raw::AddressPool> = raw.address_pools.value.get(index);
                self.warn(
                    "no-peers",
                    format!("address-pools[{index}].protocol"),
                    pool.and_then(|pool| pool.protocol.place),
                    "a pool of protocol bgp, and no peers: its addresses are announced to nobody"
                        .to_owned(),
                    "add `peers`",
                );
            }
            None if !config.peers.is_empty() => self.warn(
                "no-bgp-pool",
                "peers".to_owned(),
                raw.peers.place,
                "peers, and no pool of protocol bgp: nothing is announced to them".to_owned(),
                "",
            ),
            Some(_) | None => {}
        }
        let used: HashSet<&str> = config
            .peers
            .iter()
            .map(|peer| peer.bfd_profile.as_str())
            .collect();
        for (index, profile) in raw.bfd_profiles.value.iter().enumerate() {
            if !used.contains(profile.name.value.as_str()) {
                self.warn(
                    "unused-bfd-profile",
                    format!("bfd-profiles[{index}]"),
                    profile.name.place,
                    format!(
                        "no peer uses the bfd profile {}",
                        quote(&profile.name.value)
                    ),
                    "",
                );
            }
        }
    }
}

/// The /24 networks of a CIDR; of one with very many, the first and the last.
fn networks_of(cidr: Ipv4Net) -> Vec<Ipv4Addr> {
    let (start, end) = (
        cidr.network().to_bits() >> 8,
        cidr.broadcast().to_bits() >> 8,
    );
    let address = |network: u32| Ipv4Addr::from_bits(network << 8);
    if end - start >= MAX_NETWORKS {
        return vec![address(start), address(end)];
    }
    (start..=end).map(address).collect()
}

/// The first address of a CIDR that ends in .0 or .255.
fn first_buggy(cidr: Ipv4Net) -> Option<IpAddr> {
    let (start, end) = (cidr.network().to_bits(), cidr.broadcast().to_bits());
    let next = match start & 0xff {
        0 | 255 => start,
        _ => start | 0xff,
    };
    (next <= end).then(|| IpAddr::V4(Ipv4Addr::from_bits(next)))
}
