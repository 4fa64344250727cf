//! The custom resources that MetalLB has had instead of the ConfigMap since 0.13, as far as 0.12 can mean them.
//!
//! [`read`] takes manifests; what 0.12 and FerroLB's settings cannot mean is a fault. Each resource knows its manifest ([`Resource::manifest`]); which of the fields without meaning are in it (`status`,
//! `creationTimestamp` …) is a matter of [`Dress`].
//!
//! Upstream: `api/v1beta1`, `api/v1beta2`.

use std::collections::BTreeMap;

use crate::go::duration::GoDuration;
use crate::yaml::emit::Value;

pub mod read;
pub mod schema;

/// A resource: its name, and what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.annotations`.
    pub annotations: BTreeMap<String, String>,
    /// What it says.
    pub spec: Spec,
}

/// What a resource says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Spec {
    /// `BGPPeer` of `v1beta2`.
    Peer(BgpPeer),
    /// `IPAddressPool`.
    Pool(IpAddressPool),
    /// `BGPAdvertisement`.
    BgpAdvertisement(BgpAdvertisement),
    /// `L2Advertisement`: the names of its pools.
    L2Advertisement(Vec<String>),
    /// `BFDProfile`.
    BfdProfile(BfdProfile),
    /// `Community`: names and values, in their order.
    Community(Vec<(String, String)>),
    /// A Secret of the type `kubernetes.io/basic-auth`: the password of a peer.
    Secret(Password),
}

/// A password. It is shown by nothing but the manifest.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Password(pub String);

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(…)")
    }
}

/// A BGP peer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BgpPeer {
    /// `myASN`.
    pub my_asn: u32,
    /// `peerASN`.
    pub peer_asn: u32,
    /// `peerAddress`.
    pub peer_address: String,
    /// `sourceAddress`; empty: none.
    pub source_address: String,
    /// `peerPort`; 0: the default, 179.
    pub peer_port: u16,
    /// `holdTime`; absent: the release's default.
    pub hold_time: Option<GoDuration>,
    /// `keepaliveTime`; absent: a third of the hold time.
    pub keepalive_time: Option<GoDuration>,
    /// `routerID`; empty: none.
    pub router_id: String,
    /// `nodeSelectors`; empty: all nodes.
    pub node_selectors: Vec<NodeSelector>,
    /// `password`, in the resource itself; empty: none.
    pub password: Password,
    /// `passwordSecret.name`; empty: none.
    pub password_secret: String,
    /// `bfdProfile`; empty: none.
    pub bfd_profile: String,
    /// `ebgpMultiHop`.
    pub ebgp_multihop: bool,
    /// `dualStackAddressFamily`, from 0.15.0.
    pub dual_stack: bool,
    /// `enableGracefulRestart`, from 0.14.6, in FRR's modes. 0.12 has no word for it, FerroLB's settings have.
    pub graceful_restart: bool,
}

/// A label selector of a peer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeSelector {
    /// `matchLabels`.
    pub match_labels: BTreeMap<String, String>,
    /// `matchExpressions`.
    pub match_expressions: Vec<MatchExpression>,
}

/// A requirement of a label selector.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct MatchExpression {
    /// The label.
    pub key: String,
    /// `In`, `NotIn`, `Exists`, `DoesNotExist`.
    pub operator: String,
    /// What the operator looks at.
    pub values: Vec<String>,
}

/// A pool of addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IpAddressPool {
    /// CIDRs and ranges, as they are written.
    pub addresses: Vec<String>,
    /// `autoAssign`; absent: true.
    pub auto_assign: Option<bool>,
    /// `avoidBuggyIPs`, from 0.13.4.
    pub avoid_buggy_ips: bool,
}

/// A BGP advertisement.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BgpAdvertisement {
    /// `ipAddressPools`: names.
    pub pools: Vec<String>,
    /// `aggregationLength`; absent: 32.
    pub aggregation_length: Option<i64>,
    /// `aggregationLengthV6`; absent: 128.
    pub aggregation_length_v6: Option<i64>,
    /// `localPref`; 0: not set.
    pub local_pref: u32,
    /// `communities`: names or values.
    pub communities: Vec<String>,
}

/// A BFD profile.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BfdProfile {
    /// `receiveInterval`, milliseconds.
    pub receive_interval: Option<u32>,
    /// `transmitInterval`, milliseconds.
    pub transmit_interval: Option<u32>,
    /// `detectMultiplier`.
    pub detect_multiplier: Option<u32>,
    /// `echoInterval`, milliseconds.
    pub echo_interval: Option<u32>,
    /// `echoMode`.
    pub echo_mode: bool,
    /// `passiveMode`.
    pub passive_mode: bool,
    /// `minimumTtl`.
    pub minimum_ttl: Option<u32>,
}

/// Which fields without meaning a manifest has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Dress {
    /// `metadata.creationTimestamp: null`.
    pub creation_timestamp: bool,
    /// `passwordSecret: {}` where there is none.
    pub empty_password_secret: bool,
    /// `status`.
    pub status: Status,
}

/// Which `status` a manifest has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Status {
    /// None.
    #[default]
    Absent,
    /// `status: {}`.
    Empty,
    /// `status: {}`, and of a pool the four counters that its schema has required since 0.15.0.
    Counters,
}

impl Spec {
    /// `kind`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Peer(_) => "BGPPeer",
            Self::Pool(_) => "IPAddressPool",
            Self::BgpAdvertisement(_) => "BGPAdvertisement",
            Self::L2Advertisement(_) => "L2Advertisement",
            Self::BfdProfile(_) => "BFDProfile",
            Self::Community(_) => "Community",
            Self::Secret(_) => "Secret",
        }
    }

    /// `apiVersion`.
    #[must_use]
    pub fn api_version(&self) -> &'static str {
        match self {
            Self::Peer(_) => "metallb.io/v1beta2",
            Self::Secret(_) => "v1",
            Self::Pool(_)
            | Self::BgpAdvertisement(_)
            | Self::L2Advertisement(_)
            | Self::BfdProfile(_)
            | Self::Community(_) => "metallb.io/v1beta1",
        }
    }
}

impl Resource {
    /// A resource without annotations.
    pub fn new(name: impl Into<String>, spec: Spec) -> Self {
        Self {
            name: name.into(),
            annotations: BTreeMap::new(),
            spec,
        }
    }

    /// The whole object.
    #[must_use]
    pub fn manifest(&self, namespace: &str, dress: Dress) -> Value {
        let mut metadata = Pairs::default();
        if dress.creation_timestamp {
            metadata.put("creationTimestamp", Value::Null);
        }
        metadata.put("name", Value::text(&self.name));
        metadata.put("namespace", Value::text(namespace));
        if !self.annotations.is_empty() {
            metadata.put("annotations", labels(&self.annotations));
        }
        let mut object = Pairs::default();
        object.put("apiVersion", Value::text(self.spec.api_version()));
        object.put("kind", Value::text(self.spec.kind()));
        object.put("metadata", metadata.value());
        match &self.spec {
            Spec::Secret(password) => {
                object.put("type", Value::text("kubernetes.io/basic-auth"));
                let encoded = encode_base64(password.0.as_bytes());
                object.put("data", Value::map([("password", Value::Text(encoded))]));
                return object.value();
            }
            Spec::Peer(peer) => object.put("spec", peer.value(dress)),
            Spec::Pool(pool) => object.put("spec", pool.value()),
            Spec::BgpAdvertisement(advertisement) => object.put("spec", advertisement.value()),
            Spec::L2Advertisement(pools) => {
                object.put(
                    "spec",
                    Value::map([("ipAddressPools", Value::texts(pools))]),
                );
            }
            Spec::BfdProfile(profile) => object.put("spec", profile.value()),
            Spec::Community(aliases) => object.put("spec", communities(aliases)),
        }
        match (dress.status, &self.spec) {
            (Status::Absent, _) => {}
            (Status::Counters, Spec::Pool(_)) => object.put(
                "status",
                Value::map(
                    [
                        "assignedIPv4",
                        "assignedIPv6",
                        "availableIPv4",
                        "availableIPv6",
                    ]
                    .map(|counter| (counter, Value::Int(0))),
                ),
            ),
            (Status::Empty | Status::Counters, _) => object.put("status", Value::map([])),
        }
        object.value()
    }
}

/// A mapping in the making.
#[derive(Default)]
struct Pairs(Vec<(String, Value)>);

impl Pairs {
    fn put(&mut self, key: &str, value: Value) {
        self.0.push((key.to_owned(), value));
    }

    fn put_text(&mut self, key: &str, text: &str) {
        if !text.is_empty() {
            self.put(key, Value::text(text));
        }
    }

    fn put_int(&mut self, key: &str, value: Option<impl Into<i64>>) {
        if let Some(value) = value {
            self.put(key, Value::Int(value.into()));
        }
    }

    fn put_true(&mut self, key: &str, value: bool) {
        if value {
            self.put(key, Value::Bool(true));
        }
    }

    fn put_list(&mut self, key: &str, items: Vec<Value>) {
        if !items.is_empty() {
            self.put(key, Value::List(items));
        }
    }

    fn value(self) -> Value {
        Value::Map(self.0)
    }
}

/// Labels or annotations.
fn labels(labels: &BTreeMap<String, String>) -> Value {
    Value::Map(
        labels
            .iter()
            .map(|(key, value)| (key.clone(), Value::text(value)))
            .collect(),
    )
}

impl BgpPeer {
    fn value(&self, dress: Dress) -> Value {
        let mut spec = Pairs::default();
        spec.put("myASN", Value::Int(self.my_asn.into()));
        spec.put("peerASN", Value::Int(self.peer_asn.into()));
        spec.put("peerAddress", Value::text(&self.peer_address));
        spec.put_text("sourceAddress", &self.source_address);
        spec.put_int("peerPort", (self.peer_port != 0).then_some(self.peer_port));
        for (key, duration) in [
            ("holdTime", self.hold_time),
            ("keepaliveTime", self.keepalive_time),
        ] {
            if let Some(duration) = duration {
                spec.put(key, Value::text(duration.to_string()));
            }
        }
        spec.put_text("routerID", &self.router_id);
        let selectors = self.node_selectors.iter().map(NodeSelector::value);
        spec.put_list("nodeSelectors", selectors.collect());
        spec.put_text("password", &self.password.0);
        if !self.password_secret.is_empty() {
            let name = Value::text(&self.password_secret);
            spec.put("passwordSecret", Value::map([("name", name)]));
        } else if dress.empty_password_secret {
            spec.put("passwordSecret", Value::map([]));
        }
        spec.put_text("bfdProfile", &self.bfd_profile);
        spec.put_true("ebgpMultiHop", self.ebgp_multihop);
        spec.put_true("dualStackAddressFamily", self.dual_stack);
        spec.put_true("enableGracefulRestart", self.graceful_restart);
        spec.value()
    }
}

impl NodeSelector {
    fn value(&self) -> Value {
        let mut selector = Pairs::default();
        if !self.match_labels.is_empty() {
            selector.put("matchLabels", labels(&self.match_labels));
        }
        let expressions = self.match_expressions.iter().map(|expression| {
            let mut pairs = Pairs::default();
            pairs.put("key", Value::text(&expression.key));
            pairs.put("operator", Value::text(&expression.operator));
            if !expression.values.is_empty() {
                pairs.put("values", Value::texts(&expression.values));
            }
            pairs.value()
        });
        selector.put_list("matchExpressions", expressions.collect());
        selector.value()
    }
}

impl IpAddressPool {
    fn value(&self) -> Value {
        let mut spec = Pairs::default();
        spec.put("addresses", Value::texts(&self.addresses));
        if let Some(auto_assign) = self.auto_assign {
            spec.put("autoAssign", Value::Bool(auto_assign));
        }
        spec.put_true("avoidBuggyIPs", self.avoid_buggy_ips);
        spec.value()
    }
}

impl BgpAdvertisement {
    fn value(&self) -> Value {
        let mut spec = Pairs::default();
        spec.put("ipAddressPools", Value::texts(&self.pools));
        spec.put_int("aggregationLength", self.aggregation_length);
        spec.put_int("aggregationLengthV6", self.aggregation_length_v6);
        spec.put_int(
            "localPref",
            (self.local_pref != 0).then_some(self.local_pref),
        );
        if !self.communities.is_empty() {
            spec.put("communities", Value::texts(&self.communities));
        }
        spec.value()
    }
}

impl BfdProfile {
    fn value(&self) -> Value {
        let mut spec = Pairs::default();
        spec.put_int("receiveInterval", self.receive_interval);
        spec.put_int("transmitInterval", self.transmit_interval);
        spec.put_int("detectMultiplier", self.detect_multiplier);
        spec.put_int("echoInterval", self.echo_interval);
        spec.put("echoMode", Value::Bool(self.echo_mode));
        spec.put("passiveMode", Value::Bool(self.passive_mode));
        spec.put_int("minimumTtl", self.minimum_ttl);
        spec.value()
    }
}

/// `spec` of a Community.
fn communities(aliases: &[(String, String)]) -> Value {
    let aliases = aliases.iter().map(|(name, value)| {
        let mut pairs = Pairs::default();
        pairs.put_text("name", name);
        pairs.put("value", Value::text(value));
        pairs.value()
    });
    Value::map([("communities", Value::List(aliases.collect()))])
}

/// RFC 4648 §4, with padding.
fn encode_base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or_default());
        let group = byte(0) << 16 | byte(1) << 8 | byte(2);
        for (at, shift) in [18, 12, 6, 0].into_iter().enumerate() {
            let index = usize::try_from(group >> shift & 0x3f).unwrap_or_default();
            let digit = DIGITS.get(index).copied().map_or('=', char::from);
            out.push(if at <= chunk.len() { digit } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::encode_base64;

    #[test]
    fn base64_is_that_of_rfc_4648() {
        for (text, want) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(encode_base64(text.as_bytes()), want);
        }
    }
}
