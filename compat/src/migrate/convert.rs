//! The conversion itself, in upstream's order.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::{Faults, Release, buggy, is_object_name, to_k8s};
use crate::crd::{
    BfdProfile, BgpAdvertisement, BgpPeer, IpAddressPool, MatchExpression, NodeSelector, Password,
    Resource, Spec,
};
use crate::go::duration::{DurationError, GoDuration};
use crate::go::quote::quote;
use crate::raw;

/// The most lines that a line of a pool becomes where buggy addresses are cut out: a /8.
const MAX_BLOCKS: u32 = 1 << 16;

/// The hold time where none is configured.
const HOLD_TIME: GoDuration = GoDuration(90_000_000_000);

/// Why upstream's converter, or an API server, refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConvertError {
    /// No name of an object can be made of it: the kind as upstream spells it, and the name.
    NoName(&'static str, String),
    /// Two pools or profiles get the same name: `pool` or `bfd profile`, and the name.
    SameName(&'static str, String),
    /// Upstream makes a name of it that no API server takes: the kind, the name, and what upstream makes.
    BadName(&'static str, String, String),
    /// Nothing is left of the pool without its buggy addresses, or of a line of it.
    NotEnoughAddresses(String),
    /// A line of the pool is too large to be cut into pieces.
    TooLarge(String, String),
    /// A duration is none.
    Duration(DurationError),
}

impl fmt::Display for ConvertError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoName(kind, name) => write!(
                f,
                "failed to make {kind} K8S compatible: {name}: upstream's converter wants a letter in the name"
            ),
            Self::SameName(what, name) => write!(
                f,
                "duplicate definition of {what} {}: upstream's converter gives two of them this name",
                quote(name)
            ),
            Self::BadName(kind, from, to) => write!(
                f,
                "upstream's converter names {kind} {} {}, which no API server takes",
                quote(from),
                quote(to)
            ),
            Self::NotEnoughAddresses(pool) => write!(
                f,
                "not enough addresses: pool {} has none without those that end in .0 and .255",
                quote(pool)
            ),
            Self::TooLarge(pool, line) => write!(
                f,
                "pool {}: {} is too large for a release without avoidBuggyIPs: convert for 0.13.4 or later",
                quote(pool),
                quote(line)
            ),
            Self::Duration(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ConvertError {}

/// The names that pools and BFD profiles get.
struct Names {
    pools: Vec<String>,
    profiles: BTreeMap<String, String>,
}

/// The resources that upstream's converter of this release makes of a configuration, in its order.
///
/// The configuration is one that 0.12 accepts, or what [`super::lax`] read.
///
/// # Errors
/// See [`ConvertError`].
pub fn convert(
    raw: &raw::ConfigFile,
    release: Release,
    faults: Faults,
) -> Result<Vec<Resource>, ConvertError> {
    let names = names(raw, release, faults)?;
    let mut out = Vec::new();
    for (index, raw) in raw.peers.value.iter().enumerate() {
        let peer = peer(raw, &names, release, faults)?;
        out.push(Resource::new(
            format!("peer{}", index + 1),
            Spec::Peer(peer),
        ));
    }
    let pools = || raw.address_pools.value.iter().zip(&names.pools);
    for (raw, name) in pools() {
        let pool = pool(raw, release, faults)?;
        out.push(Resource::new(name, Spec::Pool(pool)));
    }
    let advertisements = pools().flat_map(|(pool, name)| advertisements(pool, name));
    for (index, spec) in advertisements.enumerate() {
        let name = format!("bgpadvertisement{}", index + 1);
        out.push(Resource::new(name, Spec::BgpAdvertisement(spec)));
    }
    let layer2 = pools().filter(|(pool, _)| pool.protocol.value == "layer2");
    for (index, (_, name)) in layer2.enumerate() {
        let spec = Spec::L2Advertisement(vec![name.clone()]);
        out.push(Resource::new(format!("l2advertisement{}", index + 1), spec));
    }
    // Upstream: to 0.13.10 all profiles share the modes of the last one.
    let last = (faults.bfd_modes && release < Release::new(13, 11))
        .then(|| raw.bfd_profiles.value.last())
        .flatten();
    for raw in &raw.bfd_profiles.value {
        let mut spec = profile(raw);
        if let Some(last) = last {
            spec.echo_mode = last.echo_mode.value;
            spec.passive_mode = last.passive_mode.value;
        }
        let name = names.profiles.get(&raw.name.value);
        let name = name.cloned().unwrap_or_else(|| raw.name.value.clone());
        out.push(Resource::new(name, Spec::BfdProfile(spec)));
    }
    let communities: Vec<_> = raw
        .bgp_communities
        .value
        .iter()
        .map(|(name, value)| (name.clone(), value.value.clone()))
        .collect();
    if !communities.is_empty() {
        out.push(Resource::new("communities", Spec::Community(communities)));
    }
    Ok(out)
}

/// The names as upstream makes them.
fn names(raw: &raw::ConfigFile, release: Release, faults: Faults) -> Result<Names, ConvertError> {
    let rewrite = |kind: &'static str, name: &str| -> Result<String, ConvertError> {
        let new = if release.rewrites_names() {
            to_k8s(name).ok_or_else(|| ConvertError::NoName(kind, name.to_owned()))?
        } else {
            name.to_owned()
        };
        if !faults.names && !is_object_name(&new) {
            return Err(ConvertError::BadName(kind, name.to_owned(), new));
        }
        Ok(new)
    };
    let mut used = BTreeSet::new();
    let mut pools = Vec::new();
    for pool in &raw.address_pools.value {
        let name = rewrite("IpAddressPool", &pool.name.value)?;
        if !used.insert(name.clone()) {
            return Err(ConvertError::SameName("pool", name));
        }
        pools.push(name);
    }
    let mut used = BTreeSet::new();
    let mut profiles = BTreeMap::new();
    for profile in &raw.bfd_profiles.value {
        let name = rewrite("BFDProfile", &profile.name.value)?;
        if !used.insert(name.clone()) {
            return Err(ConvertError::SameName("bfd profile", name));
        }
        profiles.insert(profile.name.value.clone(), name);
    }
    Ok(Names { pools, profiles })
}

/// A duration of the configuration, in whole seconds.
///
/// # Errors
/// The text is none.
pub(super) fn whole_seconds(text: &str) -> Result<GoDuration, ConvertError> {
    let duration = GoDuration::parse(text).map_err(ConvertError::Duration)?;
    Ok(GoDuration(
        duration.whole_seconds().saturating_mul(1_000_000_000),
    ))
}

fn peer(
    raw: &raw::Peer,
    names: &Names,
    release: Release,
    faults: Faults,
) -> Result<BgpPeer, ConvertError> {
    let hold_time = match raw.hold_time.value.as_str() {
        "" => HOLD_TIME,
        text => whole_seconds(text)?,
    };
    let keepalive_time = match raw.keepalive_time.value.as_str() {
        // Upstream: a third of the hold time at first, then 0, then nothing.
        "" if release < Release::new(13, 4) => Some(GoDuration(hold_time.0 / 3)),
        "" if release < Release::new(14, 9) => Some(GoDuration(0)),
        "" => None,
        text => Some(whole_seconds(text)?),
    };
    let profile = &raw.bfd_profile.value;
    Ok(BgpPeer {
        my_asn: raw.my_asn.value,
        peer_asn: raw.peer_asn.value,
        peer_address: raw.peer_address.value.clone(),
        source_address: raw.source_address.value.clone(),
        peer_port: raw.peer_port.value,
        hold_time: Some(hold_time),
        keepalive_time,
        router_id: raw.router_id.value.clone(),
        node_selectors: selectors(&raw.node_selectors.value, !faults.selectors),
        password: Password(raw.password.value.clone()),
        password_secret: String::new(),
        bfd_profile: names.profiles.get(profile).unwrap_or(profile).clone(),
        ebgp_multihop: raw.ebgp_multihop.value,
        dual_stack: false,
        graceful_restart: false,
    })
}

/// Node selectors, and those that are equal only `once` if so asked; the values of expressions are sorted, as upstream's
/// own check leaves them.
///
/// Upstream: every release since 0.13 refuses equal selectors and equal values, which 0.12 takes: they mean nothing.
#[must_use]
pub fn selectors(raw: &[raw::NodeSelector], once: bool) -> Vec<NodeSelector> {
    let mut selectors: Vec<NodeSelector> = Vec::new();
    for raw in raw {
        let labels = raw.match_labels.value.iter();
        let mut selector = NodeSelector {
            match_labels: labels
                .map(|(key, value)| (key.clone(), value.value.clone()))
                .collect(),
            match_expressions: Vec::new(),
        };
        for raw in &raw.match_expressions.value {
            let values = raw.values.value.iter().map(|text| text.0.value.to_string());
            let mut expression = MatchExpression {
                key: raw.key.value.clone(),
                operator: raw.operator.value.clone(),
                values: values.collect(),
            };
            expression.values.sort();
            if once {
                expression.values.dedup();
            }
            if !(once && selector.match_expressions.contains(&expression)) {
                selector.match_expressions.push(expression);
            }
        }
        if !(once && selectors.contains(&selector)) {
            selectors.push(selector);
        }
    }
    selectors
}

/// The lines of a pool for a release without `avoidBuggyIPs`.
///
/// # Errors
/// Nothing is left, or too much would come of it.
pub fn without_buggy(pool: &str, lines: &[String]) -> Result<Vec<String>, ConvertError> {
    let mut out = Vec::new();
    for line in lines {
        if buggy::blocks(line) > MAX_BLOCKS {
            return Err(ConvertError::TooLarge(pool.to_owned(), line.clone()));
        }
        out.extend(buggy::split(line));
    }
    if out.is_empty() {
        return Err(ConvertError::NotEnoughAddresses(pool.to_owned()));
    }
    Ok(out)
}

fn pool(
    raw: &raw::AddressPool,
    release: Release,
    faults: Faults,
) -> Result<IpAddressPool, ConvertError> {
    let lines = raw
        .addresses
        .value
        .iter()
        .map(|text| text.0.value.to_string());
    let mut addresses: Vec<String> = lines.collect();
    let mut avoid_buggy_ips = raw.avoid_buggy_ips.value;
    if avoid_buggy_ips && !release.has_avoid_buggy_ips() {
        avoid_buggy_ips = false;
        let name = &raw.name.value;
        addresses = if faults.buggy_addresses {
            addresses
                .iter()
                .map(|line| buggy::upstream_split(line))
                .collect::<Option<_>>()
                .ok_or_else(|| ConvertError::NotEnoughAddresses(name.clone()))?
        } else {
            without_buggy(name, &addresses)?
        };
    }
    Ok(IpAddressPool {
        addresses,
        auto_assign: raw.auto_assign.value,
        avoid_buggy_ips,
    })
}

/// The advertisements of a pool: one for each, and an empty one for a pool of protocol bgp that has none.
fn advertisements(pool: &raw::AddressPool, name: &str) -> Vec<BgpAdvertisement> {
    let empty = BgpAdvertisement {
        pools: vec![name.to_owned()],
        ..BgpAdvertisement::default()
    };
    let raw = &pool.bgp_advertisements.value;
    if raw.is_empty() && pool.protocol.value == "bgp" {
        return vec![empty];
    }
    raw.iter()
        .map(|raw| advertisement(raw, empty.clone()))
        .collect()
}

fn advertisement(raw: &raw::BgpAdvertisement, empty: BgpAdvertisement) -> BgpAdvertisement {
    let communities = raw.communities.value.iter().flatten();
    BgpAdvertisement {
        aggregation_length: raw.aggregation_length.value,
        aggregation_length_v6: raw.aggregation_length_v6.value,
        local_pref: raw.localpref.value.unwrap_or_default(),
        communities: communities.map(|text| text.0.value.to_string()).collect(),
        ..empty
    }
}

/// A BFD profile, field for field.
#[must_use]
pub fn profile(raw: &raw::BfdProfile) -> BfdProfile {
    BfdProfile {
        receive_interval: raw.receive_interval.value,
        transmit_interval: raw.transmit_interval.value,
        detect_multiplier: raw.detect_multiplier.value,
        echo_interval: raw.echo_interval.value,
        echo_mode: raw.echo_mode.value,
        passive_mode: raw.passive_mode.value,
        minimum_ttl: raw.minimum_ttl.value,
    }
}
