//! Manifests of custom resources, read back: a file of many documents, or a List.
//!
//! Objects of other kinds are passed over. A field that 0.12 has no words for is [`Foreign`] unless it says nothing (false, empty); a field
//! that no release has is a fault. [`read_all`] gives both.
//!
//! Invariant: no message holds a password.

use std::collections::BTreeMap;

use super::{
    BfdProfile, BgpAdvertisement, BgpPeer, IpAddressPool, MatchExpression, NodeSelector, Password,
    Resource, Spec,
};
use crate::go::duration::GoDuration;
use crate::record;
use crate::yaml::decode::{self, Decode, Decoder, GiveUp, Record, Text, TextMap};
use crate::yaml::resolve::base64;
use crate::yaml::{Content, Document, NodeId, Place};

pub mod legacy;

record! {
    /// `spec` of a BGPPeer.
    pub struct PeerSpec {
        /// Our AS number.
        "myASN" => my_asn: u32,
        /// The peer's AS number.
        "peerASN" => peer_asn: u32,
        /// The address to dial.
        "peerAddress" => peer_address: String,
        /// The address to dial from.
        "sourceAddress" => source_address: String,
        /// The port to dial.
        "peerPort" => peer_port: u16,
        /// Go duration.
        "holdTime" => hold_time: String,
        /// Go duration.
        "keepaliveTime" => keepalive_time: String,
        /// An address.
        "routerID" => router_id: String,
        /// Which nodes keep a session.
        "nodeSelectors" => node_selectors: Vec<SelectorSpec>,
        /// TCP MD5, in plain text.
        "password" => password: String,
        /// Where it is.
        "passwordSecret" => password_secret: TextMap,
        /// Name of a BFD profile.
        "bfdProfile" => bfd_profile: String,
        /// Whether the peer may be more than one hop away.
        "ebgpMultiHop" => ebgp_multihop: bool,
        /// Whether both families go over the session.
        "dualStackAddressFamily" => dual_stack: bool,
        /// 0.12 has no such thing.
        "disableMP" => disable_mp: bool,
        /// Whether the peer keeps our routes over a restart.
        "enableGracefulRestart" => enable_graceful_restart: bool,
        /// 0.12 has no such thing.
        "vrf" => vrf: String,
        /// 0.12 has no such thing.
        "interface" => interface: String,
        /// 0.12 has no such thing.
        "dynamicASN" => dynamic_asn: String,
        /// 0.12 has no such thing.
        "connectTime" => connect_time: String,
        /// 0.12 has no such thing.
        "localASN" => local_asn: u32,
    }
}

record! {
    /// A label selector.
    pub struct SelectorSpec {
        /// Labels and their values.
        "matchLabels" => match_labels: TextMap,
        /// Further requirements.
        "matchExpressions" => match_expressions: Vec<ExpressionSpec>,
    }
}

record! {
    /// A requirement of a label selector.
    pub struct ExpressionSpec {
        /// The label.
        "key" => key: String,
        /// How it is judged.
        "operator" => operator: String,
        /// What the operator looks at.
        "values" => values: Vec<Text>,
    }
}

record! {
    /// `spec` of an IPAddressPool.
    pub struct PoolSpec {
        /// CIDRs and ranges.
        "addresses" => addresses: Vec<Text>,
        /// Whether Services that ask for nothing are served from it.
        "autoAssign" => auto_assign: Option<bool>,
        /// Whether addresses ending in .0 and .255 are left out.
        "avoidBuggyIPs" => avoid_buggy_ips: bool,
        /// Who may have its addresses.
        "serviceAllocation" => service_allocation: AllocationSpec,
    }
}

record! {
    /// `serviceAllocation` of an IPAddressPool.
    pub struct AllocationSpec {
        /// Which pool is asked first.
        "priority" => priority: Option<i64>,
        /// Namespaces.
        "namespaces" => namespaces: Vec<Text>,
        /// Namespaces by their labels.
        "namespaceSelectors" => namespace_selectors: Vec<SelectorSpec>,
        /// Services by their labels.
        "serviceSelectors" => service_selectors: Vec<SelectorSpec>,
    }
}

record! {
    /// `spec` of a BGPAdvertisement.
    pub struct BgpAdvertisementSpec {
        /// Names of pools.
        "ipAddressPools" => pools: Vec<Text>,
        /// Prefix length of IPv4 routes.
        "aggregationLength" => aggregation_length: Option<i64>,
        /// Prefix length of IPv6 routes.
        "aggregationLengthV6" => aggregation_length_v6: Option<i64>,
        /// LOCAL_PREF.
        "localPref" => local_pref: u32,
        /// Names or values.
        "communities" => communities: Vec<Text>,
        /// Pools by their labels.
        "ipAddressPoolSelectors" => pool_selectors: Vec<SelectorSpec>,
        /// Which nodes are next hops.
        "nodeSelectors" => node_selectors: Vec<SelectorSpec>,
        /// Names of the peers that hear of it.
        "peers" => peers: Vec<Text>,
        /// Which Services it is for.
        "serviceSelectors" => service_selectors: Vec<SelectorSpec>,
    }
}

record! {
    /// `spec` of an L2Advertisement.
    pub struct L2AdvertisementSpec {
        /// Names of pools.
        "ipAddressPools" => pools: Vec<Text>,
        /// Pools by their labels.
        "ipAddressPoolSelectors" => pool_selectors: Vec<SelectorSpec>,
        /// Which nodes may announce.
        "nodeSelectors" => node_selectors: Vec<SelectorSpec>,
        /// Where it is announced.
        "interfaces" => interfaces: Vec<Text>,
        /// Which Services it is for.
        "serviceSelectors" => service_selectors: Vec<SelectorSpec>,
    }
}

record! {
    /// `spec` of a BFDProfile.
    pub struct ProfileSpec {
        /// Milliseconds.
        "receiveInterval" => receive_interval: Option<u32>,
        /// Milliseconds.
        "transmitInterval" => transmit_interval: Option<u32>,
        /// Lost packets until the session is down.
        "detectMultiplier" => detect_multiplier: Option<u32>,
        /// Milliseconds.
        "echoInterval" => echo_interval: Option<u32>,
        /// Echo function.
        "echoMode" => echo_mode: bool,
        /// Wait for the peer to begin.
        "passiveMode" => passive_mode: bool,
        /// Lowest TTL.
        "minimumTtl" => minimum_ttl: Option<u32>,
    }
}

record! {
    /// `spec` of a Community.
    pub struct CommunitySpec {
        /// Names and values.
        "communities" => communities: Vec<AliasSpec>,
    }
}

record! {
    /// A name of a community.
    pub struct AliasSpec {
        /// The name.
        "name" => name: String,
        /// The value.
        "value" => value: String,
    }
}

impl Decode for AllocationSpec {
    fn decode(&mut self, decoder: &mut Decoder<'_>, id: NodeId) -> Result<bool, GiveUp> {
        decoder.record(id, self)
    }
}

/// Something that 0.12 has no words for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Foreign {
    /// A field of a peer.
    PeerField,
    /// An advertisement is for some nodes, peers, interfaces or Services.
    LimitedAdvertisement,
    /// A pool is for some namespaces or Services.
    LimitedPool,
    /// The kind, or its version.
    Kind,
    /// A password that is no text, or is given twice.
    Password,
    /// The resource does not fit its schema.
    Fault,
}

/// What cannot be taken of a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rest {
    /// What it is.
    pub what: Foreign,
    /// The kind and name of the resource.
    pub resource: (String, String),
    /// The way to it: `spec.vrf`.
    pub path: String,
    /// What to say about it.
    pub message: String,
    /// Where.
    pub place: Place,
}

/// A resource and what surrounds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The resource.
    pub resource: Resource,
    /// Its namespace; empty: none is said.
    pub namespace: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Selectors of pools, of an advertisement; empty: none.
    pub pool_selectors: Vec<NodeSelector>,
    /// How it is announced, of a pool that says so itself ([`legacy`]): advertisements are not for it.
    pub announcement: Option<Announcement>,
    /// Where it stands.
    pub place: Place,
}

/// How an AddressPool says that it is announced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Announcement {
    /// By ARP and NDP.
    Layer2,
    /// By BGP, in these ways.
    Bgp(Vec<BgpAdvertisement>),
}

/// What was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Read {
    /// The resources, in their order.
    pub found: Vec<Found>,
    /// What cannot be taken, in the order of the text.
    pub rest: Vec<Rest>,
}

/// The resources of documents, and what cannot be taken of them.
#[must_use]
pub fn read_all(documents: &[Document]) -> Read {
    let mut read = Read::default();
    for document in documents {
        let Some(root) = document.root() else {
            continue;
        };
        let items = document
            .get(root, "kind")
            .and_then(|kind| document.text(kind))
            .filter(|kind| kind.ends_with("List"))
            .and_then(|_| document.get(root, "items"))
            .and_then(|items| document.resolved(items));
        match items.map(|items| &items.content) {
            Some(Content::Sequence(items)) => {
                for item in items {
                    read.object(document, *item);
                }
            }
            _ => read.object(document, root),
        }
    }
    read
}

/// One object that is being read.
struct Object<'d> {
    document: &'d Document,
    root: NodeId,
    kind: &'d str,
    name: &'d str,
    rest: Vec<Rest>,
    pool_selectors: Vec<NodeSelector>,
    announcement: Option<Announcement>,
}

impl Read {
    /// One object; one of another kind is passed over.
    fn object(&mut self, document: &Document, root: NodeId) {
        let text = |node: NodeId, key: &str| {
            let value = document.get(node, key)?;
            document.text(value)
        };
        let metadata = document.get(root, "metadata");
        let meta = |key: &str| metadata.and_then(|metadata| text(metadata, key));
        let mut object = Object {
            document,
            root,
            kind: text(root, "kind").unwrap_or_default(),
            name: meta("name").unwrap_or_default(),
            rest: Vec::new(),
            pool_selectors: Vec::new(),
            announcement: None,
        };
        let spec = object.spec_of(text(root, "apiVersion").unwrap_or_default());
        self.rest.append(&mut object.rest);
        let Some(spec) = spec else {
            return;
        };
        let mut resource = Resource::new(object.name, spec);
        resource.annotations = texts_of(document, metadata, "annotations");
        self.found.push(Found {
            resource,
            namespace: meta("namespace").unwrap_or_default().to_owned(),
            labels: texts_of(document, metadata, "labels"),
            pool_selectors: object.pool_selectors,
            announcement: object.announcement,
            place: place(document, root),
        });
    }
}

/// A mapping of texts inside the metadata.
fn texts_of(document: &Document, metadata: Option<NodeId>, key: &str) -> BTreeMap<String, String> {
    let node = metadata
        .and_then(|metadata| document.get(metadata, key))
        .and_then(|node| document.resolved(node));
    let mut out = BTreeMap::new();
    if let Some(Content::Mapping(pairs)) = node.map(|node| &node.content) {
        for (key, value) in pairs {
            if let (Some(key), Some(value)) = (document.text(*key), document.text(*value)) {
                out.insert(key.to_owned(), value.to_owned());
            }
        }
    }
    out
}

/// Where a node stands.
fn place(document: &Document, node: NodeId) -> Place {
    document.node(node).map_or(Place::BEGIN, |node| node.place)
}

fn texts(texts: &[Text]) -> Vec<String> {
    texts.iter().map(|text| text.0.value.to_string()).collect()
}

fn selectors(raw: &[SelectorSpec]) -> Vec<NodeSelector> {
    let selectors = raw.iter().map(|selector| {
        let labels = selector.match_labels.value.iter();
        let expressions = selector.match_expressions.value.iter();
        NodeSelector {
            match_labels: labels
                .map(|(key, value)| (key.clone(), value.value.clone()))
                .collect(),
            match_expressions: expressions
                .map(|expression| MatchExpression {
                    key: expression.key.value.clone(),
                    operator: expression.operator.value.clone(),
                    values: texts(&expression.values.value),
                })
                .collect(),
        }
    });
    selectors.collect()
}

impl Object<'_> {
    fn rest(&mut self, what: Foreign, path: &str, message: String, place: Option<Place>) {
        self.rest.push(Rest {
            what,
            resource: (self.kind.to_owned(), self.name.to_owned()),
            path: path.to_owned(),
            message,
            place: place.unwrap_or_else(|| self::place(self.document, self.root)),
        });
    }

    /// What it says; `None`: it is of another kind, or nothing can be made of it.
    fn spec_of(&mut self, version: &str) -> Option<Spec> {
        Some(match (version, self.kind) {
            ("metallb.io/v1beta1" | "metallb.io/v1beta2", "BGPPeer") => {
                let raw = self.spec()?;
                Spec::Peer(self.peer(raw)?)
            }
            ("metallb.io/v1beta1", "IPAddressPool") => {
                let raw: PoolSpec = self.spec()?;
                let allocation = &raw.service_allocation.value;
                let limited = allocation.priority.value.is_some()
                    || !allocation.namespaces.value.is_empty()
                    || !allocation.namespace_selectors.value.is_empty()
                    || !allocation.service_selectors.value.is_empty();
                if limited {
                    let path = "spec.serviceAllocation";
                    let message = format!("{path} is nothing that 0.12 can mean");
                    self.rest(
                        Foreign::LimitedPool,
                        path,
                        message,
                        raw.service_allocation.place,
                    );
                }
                Spec::Pool(IpAddressPool {
                    addresses: texts(&raw.addresses.value),
                    auto_assign: raw.auto_assign.value,
                    avoid_buggy_ips: raw.avoid_buggy_ips.value,
                })
            }
            ("metallb.io/v1alpha1" | "metallb.io/v1beta1", "AddressPool") => {
                let (pool, announcement) = self.legacy_pool()?;
                self.announcement = Some(announcement);
                Spec::Pool(pool)
            }
            ("metallb.io/v1beta1", "BGPAdvertisement") => {
                let raw: BgpAdvertisementSpec = self.spec()?;
                self.limits([
                    (
                        "nodeSelectors",
                        raw.node_selectors.value.is_empty(),
                        raw.node_selectors.place,
                    ),
                    ("peers", raw.peers.value.is_empty(), raw.peers.place),
                    (
                        "serviceSelectors",
                        raw.service_selectors.value.is_empty(),
                        raw.service_selectors.place,
                    ),
                ]);
                self.pool_selectors = selectors(&raw.pool_selectors.value);
                Spec::BgpAdvertisement(BgpAdvertisement {
                    pools: texts(&raw.pools.value),
                    aggregation_length: raw.aggregation_length.value,
                    aggregation_length_v6: raw.aggregation_length_v6.value,
                    local_pref: raw.local_pref.value,
                    communities: texts(&raw.communities.value),
                })
            }
            ("metallb.io/v1beta1", "L2Advertisement") => {
                let raw: L2AdvertisementSpec = self.spec()?;
                self.limits([
                    (
                        "nodeSelectors",
                        raw.node_selectors.value.is_empty(),
                        raw.node_selectors.place,
                    ),
                    (
                        "interfaces",
                        raw.interfaces.value.is_empty(),
                        raw.interfaces.place,
                    ),
                    (
                        "serviceSelectors",
                        raw.service_selectors.value.is_empty(),
                        raw.service_selectors.place,
                    ),
                ]);
                self.pool_selectors = selectors(&raw.pool_selectors.value);
                Spec::L2Advertisement(texts(&raw.pools.value))
            }
            ("metallb.io/v1beta1", "BFDProfile") => {
                let raw: ProfileSpec = self.spec()?;
                Spec::BfdProfile(BfdProfile {
                    receive_interval: raw.receive_interval.value,
                    transmit_interval: raw.transmit_interval.value,
                    detect_multiplier: raw.detect_multiplier.value,
                    echo_interval: raw.echo_interval.value,
                    echo_mode: raw.echo_mode.value,
                    passive_mode: raw.passive_mode.value,
                    minimum_ttl: raw.minimum_ttl.value,
                })
            }
            ("metallb.io/v1beta1", "Community") => {
                let raw: CommunitySpec = self.spec()?;
                let aliases = raw.communities.value.into_iter();
                Spec::Community(
                    aliases
                        .map(|alias| (alias.name.value, alias.value.value))
                        .collect(),
                )
            }
            ("v1", "Secret") => {
                let kind = self.document.get(self.root, "type");
                let kind = kind.and_then(|kind| self.document.text(kind));
                if kind != Some("kubernetes.io/basic-auth") {
                    return None;
                }
                Spec::Secret(self.password()?)
            }
            // What MetalLB says of itself.
            (_, "ServiceL2Status" | "ServiceBGPStatus" | "ConfigurationState") => return None,
            (version, kind) if version.starts_with("metallb.io/") => {
                let message = format!("{kind} of {version} is nothing that 0.12 can mean");
                self.rest(Foreign::Kind, "", message, None);
                return None;
            }
            _ => return None,
        })
    }

    /// `spec`, strictly.
    fn spec<T: Record>(&mut self) -> Option<T> {
        let node = self.document.get(self.root, "spec");
        let decoded = decode::decode::<T>(self.document, node);
        let given_up = decoded.given_up;
        for fault in decoded.faults {
            let path = format!("spec.{}", fault.path);
            let message = format!("{path}: {}", fault.kind);
            self.rest(Foreign::Fault, &path, message, Some(fault.place));
        }
        (!given_up).then_some(decoded.value)
    }

    /// An advertisement for some of what 0.12 always means all of.
    fn limits<const N: usize>(&mut self, fields: [(&str, bool, Option<Place>); N]) {
        for (name, empty, place) in fields {
            if !empty {
                let path = format!("spec.{name}");
                let message = format!("{path} is nothing that 0.12 can mean");
                self.rest(Foreign::LimitedAdvertisement, &path, message, place);
            }
        }
    }

    /// The password of a Secret.
    fn password(&mut self) -> Option<Password> {
        let field = |map: &str| {
            let map = self.document.get(self.root, map)?;
            let node = self.document.get(map, "password")?;
            Some((self.document.text(node)?, node))
        };
        if let Some((plain, _)) = field("stringData") {
            return Some(Password(plain.to_owned()));
        }
        let (encoded, node) = field("data").unwrap_or(("", self.root));
        let path = "data.password";
        let at = Some(place(self.document, node));
        let Some(bytes) = base64(encoded) else {
            self.rest(Foreign::Fault, path, format!("{path}: no base64"), at);
            return None;
        };
        match String::from_utf8(bytes) {
            Ok(text) => Some(Password(text)),
            Err(_) => {
                let message = format!("{path}: the password is no text, and 0.12 knows no other");
                self.rest(Foreign::Password, path, message, at);
                None
            }
        }
    }

    fn peer(&mut self, raw: PeerSpec) -> Option<BgpPeer> {
        let foreign = [
            ("disableMP", raw.disable_mp.value, raw.disable_mp.place),
            ("vrf", !raw.vrf.value.is_empty(), raw.vrf.place),
            (
                "interface",
                !raw.interface.value.is_empty(),
                raw.interface.place,
            ),
            (
                "dynamicASN",
                !raw.dynamic_asn.value.is_empty(),
                raw.dynamic_asn.place,
            ),
            (
                "connectTime",
                !raw.connect_time.value.is_empty(),
                raw.connect_time.place,
            ),
            ("localASN", raw.local_asn.value != 0, raw.local_asn.place),
        ];
        for (name, _, place) in foreign.into_iter().filter(|(_, set, _)| *set) {
            let path = format!("spec.{name}");
            let message = format!("{path} is nothing that 0.12 can mean");
            self.rest(Foreign::PeerField, &path, message, place);
        }
        let mut times = [None; 2];
        for ((name, field), time) in [
            ("holdTime", &raw.hold_time),
            ("keepaliveTime", &raw.keepalive_time),
        ]
        .into_iter()
        .zip(&mut times)
        {
            if field.value.is_empty() {
                continue;
            }
            match GoDuration::parse(&field.value) {
                Ok(parsed) => *time = Some(parsed),
                Err(error) => {
                    let path = format!("spec.{name}");
                    self.rest(Foreign::Fault, &path, error.to_string(), field.place);
                }
            }
        }
        let [hold_time, keepalive_time] = times;
        let secret = raw.password_secret.value.get("name");
        let secret = secret.map_or_else(String::new, |name| name.value.clone());
        if !secret.is_empty() && !raw.password.value.is_empty() {
            let path = "spec.passwordSecret";
            let message = format!("{path}: there is a password as well, which MetalLB refuses");
            self.rest(Foreign::Password, path, message, raw.password_secret.place);
        }
        Some(BgpPeer {
            my_asn: raw.my_asn.value,
            peer_asn: raw.peer_asn.value,
            hold_time,
            keepalive_time,
            peer_port: raw.peer_port.value,
            node_selectors: selectors(&raw.node_selectors.value),
            password_secret: secret,
            ebgp_multihop: raw.ebgp_multihop.value,
            dual_stack: raw.dual_stack.value,
            graceful_restart: raw.enable_graceful_restart.value,
            peer_address: raw.peer_address.value,
            source_address: raw.source_address.value,
            router_id: raw.router_id.value,
            password: Password(raw.password.value),
            bfd_profile: raw.bfd_profile.value,
        })
    }
}
