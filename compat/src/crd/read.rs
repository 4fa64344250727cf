//! Manifests of custom resources, read back: a file of many documents, or a List.
//!
//! Objects of other kinds are passed over. A field that 0.12 has no words for is a fault unless it says nothing (false, empty); so is a field
//! that no release has.

use std::fmt;

use super::{
    BfdProfile, BgpAdvertisement, BgpPeer, IpAddressPool, MatchExpression, NodeSelector, Password,
    Resource, Spec,
};
use crate::go::duration::GoDuration;
use crate::record;
use crate::yaml::decode::{self, Field, Record, Text, TextMap};
use crate::yaml::resolve::decode_base64;
use crate::yaml::{Content, Document, NodeId, Place};

/// A manifest that cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadError {
    /// What is wrong.
    pub message: String,
    /// Where.
    pub place: Place,
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place { line, column, .. } = self.place;
        write!(f, "{line}:{column}: {}", self.message)
    }
}

impl std::error::Error for ReadError {}

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
        /// 0.12 has no such thing.
        "enableGracefulRestart" => enable_graceful_restart: bool,
        /// 0.12 has no such thing.
        "vrf" => vrf: String,
        /// 0.12 has no such thing.
        "interface" => interface: String,
        /// 0.12 has no such thing.
        "dynamicASN" => dynamic_asn: String,
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
    }
}

record! {
    /// `spec` of an L2Advertisement.
    pub struct L2AdvertisementSpec {
        /// Names of pools.
        "ipAddressPools" => pools: Vec<Text>,
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

/// The resources of a text, in their order.
///
/// # Errors
/// The text is no YAML, or a resource has what 0.12 cannot mean.
pub fn read(text: &str) -> Result<Vec<Resource>, ReadError> {
    let documents = Document::parse_all(text).map_err(|error| ReadError {
        message: error.message,
        place: error.place,
    })?;
    let mut resources = Vec::new();
    for document in &documents {
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
                    resources.extend(object(document, *item)?);
                }
            }
            _ => resources.extend(object(document, root)?),
        }
    }
    Ok(resources)
}

/// One object; `None`: of another kind.
fn object(document: &Document, root: NodeId) -> Result<Option<Resource>, ReadError> {
    let text = |node: NodeId, key: &str| {
        let value = document.get(node, key)?;
        document.text(value)
    };
    let version = text(root, "apiVersion").unwrap_or_default();
    let kind = text(root, "kind").unwrap_or_default();
    let node = document.get(root, "spec");
    let spec = match (version, kind) {
        ("metallb.io/v1beta2", "BGPPeer") => Spec::Peer(peer(spec(document, node)?)?),
        ("metallb.io/v1beta1", "IPAddressPool") => {
            let raw: PoolSpec = spec(document, node)?;
            Spec::Pool(IpAddressPool {
                addresses: texts(&raw.addresses.value),
                auto_assign: raw.auto_assign.value,
                avoid_buggy_ips: raw.avoid_buggy_ips.value,
            })
        }
        ("metallb.io/v1beta1", "BGPAdvertisement") => {
            let raw: BgpAdvertisementSpec = spec(document, node)?;
            Spec::BgpAdvertisement(BgpAdvertisement {
                pools: texts(&raw.pools.value),
                aggregation_length: raw.aggregation_length.value,
                aggregation_length_v6: raw.aggregation_length_v6.value,
                local_pref: raw.local_pref.value,
                communities: texts(&raw.communities.value),
            })
        }
        ("metallb.io/v1beta1", "L2Advertisement") => {
            let raw: L2AdvertisementSpec = spec(document, node)?;
            Spec::L2Advertisement(texts(&raw.pools.value))
        }
        ("metallb.io/v1beta1", "BFDProfile") => {
            let raw: ProfileSpec = spec(document, node)?;
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
            let raw: CommunitySpec = spec(document, node)?;
            let aliases = raw.communities.value.into_iter();
            Spec::Community(
                aliases
                    .map(|alias| (alias.name.value, alias.value.value))
                    .collect(),
            )
        }
        ("v1", "Secret") if text(root, "type") == Some("kubernetes.io/basic-auth") => {
            Spec::Secret(password(document, root)?)
        }
        (version, _) if version.starts_with("metallb.io/") => {
            return Err(ReadError {
                message: format!("{kind} of {version} is nothing that 0.12 can mean"),
                place: place(document, root),
            });
        }
        _ => return Ok(None),
    };
    let metadata = document.get(root, "metadata");
    let name = metadata.and_then(|metadata| text(metadata, "name"));
    let mut resource = Resource::new(name.unwrap_or_default(), spec);
    let annotations = metadata
        .and_then(|metadata| document.get(metadata, "annotations"))
        .and_then(|annotations| document.resolved(annotations));
    if let Some(Content::Mapping(pairs)) = annotations.map(|node| &node.content) {
        for (key, value) in pairs {
            if let (Some(key), Some(value)) = (document.text(*key), document.text(*value)) {
                resource
                    .annotations
                    .insert(key.to_owned(), value.to_owned());
            }
        }
    }
    Ok(Some(resource))
}

/// Where a node stands.
fn place(document: &Document, node: NodeId) -> Place {
    document.node(node).map_or(Place::BEGIN, |node| node.place)
}

/// A `spec`, strictly.
fn spec<T: Record>(document: &Document, node: Option<NodeId>) -> Result<T, ReadError> {
    let decoded = decode::decode::<T>(document, node);
    match decoded.faults.into_iter().next() {
        None => Ok(decoded.value),
        Some(fault) => Err(ReadError {
            message: format!("spec.{}: {}", fault.path, fault.kind),
            place: fault.place,
        }),
    }
}

fn texts(texts: &[Text]) -> Vec<String> {
    texts.iter().map(|text| text.0.value.to_string()).collect()
}

/// The password of a Secret.
fn password(document: &Document, root: NodeId) -> Result<Password, ReadError> {
    let field = |map: &str| {
        let map = document.get(root, map)?;
        document.text(document.get(map, "password")?)
    };
    if let Some(plain) = field("stringData") {
        return Ok(Password(plain.to_owned()));
    }
    let encoded = field("data").unwrap_or_default();
    decode_base64(encoded)
        .map(Password)
        .ok_or_else(|| ReadError {
            message: "data.password: no base64".to_owned(),
            place: place(document, root),
        })
}

fn peer(raw: PeerSpec) -> Result<BgpPeer, ReadError> {
    let at = |place: Option<Place>| place.or(raw.place).unwrap_or(Place::BEGIN);
    let foreign = [
        ("disableMP", raw.disable_mp.value, raw.disable_mp.place),
        (
            "enableGracefulRestart",
            raw.enable_graceful_restart.value,
            raw.enable_graceful_restart.place,
        ),
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
    ];
    if let Some((name, _, place)) = foreign.into_iter().find(|(_, set, _)| *set) {
        return Err(ReadError {
            message: format!("spec.{name} is nothing that 0.12 can mean"),
            place: at(place),
        });
    }
    let duration = |field: &Field<String>| match field.value.as_str() {
        "" => Ok(None),
        text => GoDuration::parse(text)
            .map(Some)
            .map_err(|error| ReadError {
                message: error.to_string(),
                place: at(field.place),
            }),
    };
    let selectors = raw.node_selectors.value.iter().map(|selector| {
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
    let secret = raw.password_secret.value.get("name");
    Ok(BgpPeer {
        my_asn: raw.my_asn.value,
        peer_asn: raw.peer_asn.value,
        hold_time: duration(&raw.hold_time)?,
        keepalive_time: duration(&raw.keepalive_time)?,
        peer_port: raw.peer_port.value,
        node_selectors: selectors.collect(),
        password_secret: secret.map_or_else(String::new, |name| name.value.clone()),
        ebgp_multihop: raw.ebgp_multihop.value,
        dual_stack: raw.dual_stack.value,
        peer_address: raw.peer_address.value,
        source_address: raw.source_address.value,
        router_id: raw.router_id.value,
        password: Password(raw.password.value),
        bfd_profile: raw.bfd_profile.value,
    })
}
