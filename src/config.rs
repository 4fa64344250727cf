//! The configuration as it is meant: what this module holds cannot be invalid.
//!
//! [`parse`] turns the text of the ConfigMap into a [`Config`] or says what is wrong with it; [`live`] keeps the
//! last good one. Source: section 3 of MetalLB 0.12.1's behaviour (its `internal/config`).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

pub mod error;
pub mod live;
pub mod mode;
pub mod parse;
pub mod settings;

use self::settings::Settings;

/// A whole configuration. The default is an empty document: no pools, no peers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Config {
    /// BGP peers, in the order of the document.
    pub peers: Vec<Peer>,
    /// Address pools, in the order of the document. Names are unique; CIDRs do not overlap.
    pub pools: Vec<Pool>,
    /// BFD profiles, in the order of the document. Names are unique.
    pub bfd_profiles: Vec<BfdProfile>,
    /// What 0.12's document has no words for; the defaults where the ConfigMap says nothing.
    pub settings: Settings,
}

/// How the addresses of a pool are announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// ARP and NDP.
    Layer2,
    /// BGP.
    Bgp,
}

impl Protocol {
    /// The word of the configuration: `layer2`, `bgp`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Layer2 => "layer2",
            Self::Bgp => "bgp",
        }
    }
}

impl std::fmt::Display for Protocol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A pool of addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    /// Unique name.
    pub name: String,
    /// How its addresses are announced.
    pub protocol: Protocol,
    /// Whether Services that ask for nothing are served from it.
    pub auto_assign: bool,
    /// Whether IPv4 addresses ending in .0 and .255 are left out.
    pub avoid_buggy_ips: bool,
    /// Its addresses, in configured order; a range has become the fewest CIDRs that cover it. Host bits are zero.
    pub cidrs: Vec<IpNet>,
    /// What is advertised for each address; never empty for protocol bgp, always empty for layer2.
    pub bgp_advertisements: Vec<BgpAdvertisement>,
}

impl Pool {
    /// Whether the address is one of the pool's (buggy ones included, as upstream).
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        self.cidrs.iter().any(|cidr| cidr.contains(&ip))
    }
}

/// One BGP advertisement of a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BgpAdvertisement {
    /// Prefix length of the IPv4 route, 0 to 32.
    pub aggregation_length: u8,
    /// Prefix length of the IPv6 route, 0 to 128.
    pub aggregation_length_v6: u8,
    /// LOCAL_PREF towards iBGP peers.
    pub local_pref: u32,
    /// COMMUNITIES (RFC 1997), ascending, without repetition.
    pub communities: Vec<u32>,
}

/// A BGP peer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Peer {
    /// Our AS number, not 0.
    pub my_asn: u32,
    /// The peer's AS number, not 0.
    pub peer_asn: u32,
    /// The address to dial.
    pub peer_address: IpAddr,
    /// The address to dial from.
    pub source_address: Option<IpAddr>,
    /// The port to dial, 179 unless said otherwise.
    pub peer_port: u16,
    /// Whole seconds; 0 or at least 3 s. 90 s unless said otherwise.
    pub hold_time: Duration,
    /// At most `hold_time`: whole seconds where configured, else a third of `hold_time`, exactly.
    pub keepalive_time: Duration,
    /// The router ID, where configured.
    pub router_id: Option<IpAddr>,
    /// Nodes that keep a session; any selector suffices. Never empty: one empty selector takes all nodes.
    pub node_selectors: Vec<NodeSelector>,
    /// TCP MD5 (RFC 2385); empty: none.
    pub password: String,
    /// Name of an existing BFD profile; empty: none.
    pub bfd_profile: String,
    /// Whether the peer may be more than one hop away.
    pub ebgp_multihop: bool,
}

impl Peer {
    /// Whether a node with these labels keeps a session.
    #[must_use]
    pub fn selects(&self, labels: &BTreeMap<String, String>) -> bool {
        self.node_selectors
            .iter()
            .any(|selector| selector.matches(labels))
    }
}

/// A label selector: all requirements must hold.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct NodeSelector {
    /// In the order of Kubernetes' string form: sorted by key.
    pub requirements: Vec<Requirement>,
}

impl NodeSelector {
    /// Whether an object with these labels is meant.
    #[must_use]
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.requirements
            .iter()
            .all(|requirement| requirement.holds(labels))
    }
}

/// One requirement on a label.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Requirement {
    /// The label.
    pub key: String,
    /// How its value is judged.
    pub operator: Operator,
    /// Sorted; repetitions are kept (upstream's string form shows them); empty for `Exists` and `DoesNotExist`.
    pub values: Vec<String>,
}

impl Requirement {
    /// Whether these labels are as it wants.
    fn holds(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = labels.get(&self.key);
        let listed = value.is_some_and(|value| self.values.contains(value));
        match self.operator {
            Operator::In => listed,
            Operator::NotIn => !listed,
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
        }
    }
}

/// How a label's value is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operator {
    /// One of the values (also written `match-labels`).
    In,
    /// None of the values, or no such label.
    NotIn,
    /// Any value.
    Exists,
    /// No such label.
    DoesNotExist,
}

/// A BFD profile; what is absent is the program's default.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BfdProfile {
    /// Unique name.
    pub name: String,
    /// 10 to 60000 ms.
    pub receive_interval: Option<u32>,
    /// 10 to 60000 ms.
    pub transmit_interval: Option<u32>,
    /// 2 to 255.
    pub detect_multiplier: Option<u32>,
    /// 10 to 60000 ms.
    pub echo_interval: Option<u32>,
    /// Echo function.
    pub echo_mode: bool,
    /// Wait for the peer to begin.
    pub passive_mode: bool,
    /// Lowest TTL accepted on multihop sessions, 1 to 254.
    pub minimum_ttl: Option<u32>,
}
