//! The schemas of MetalLB's custom resources, release by release: what an API server takes of them.
//!
//! [`Schemas::of`] gives those of a release, as tables of our own. [`Schemas::check`] judges a manifest as an API server does that knows
//! them: known version and kind, name, unknown fields, types, bounds, what is required. [`Schemas::manifests`] are
//! CustomResourceDefinitions, for an API server that is to be one of a cluster with that release.
//!
//! What it is not: MetalLB's webhooks, which judge what the texts mean; the kinds that MetalLB writes itself (`ServiceL2Status` …).
//! `v1beta1` of BGPPeer and AddressPool are judged, and have no manifest: they need a webhook that converts.
//!
//! Upstream: `config/crd/bases` of 0.13.7 to 0.16.1; earlier releases are taken as 0.13.7 without what came later.

use super::Pairs;
use crate::migrate::Release;
use crate::yaml::emit::Value;

mod check;

#[cfg(test)]
mod tests;

pub use check::{Fault, Judge};

/// The API group of all of them.
pub const GROUP: &str = "metallb.io";

/// What a value must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Schema {
    /// A text.
    Text,
    /// One of these texts.
    Choice(&'static [&'static str]),
    /// `true` or `false`.
    Bool,
    /// A whole number.
    Int {
        /// `int32`, `int64`; absent: any.
        format: Option<&'static str>,
        /// The least.
        min: Option<i64>,
        /// The greatest.
        max: Option<i64>,
    },
    /// A list.
    List(Box<Schema>),
    /// A mapping of texts.
    Texts,
    /// A mapping with these fields.
    Object {
        /// The fields.
        fields: Vec<Property>,
        /// Whether it is owned as a whole (server-side apply).
        atomic: bool,
    },
}

/// A field of an [`Schema::Object`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Property {
    /// Its name.
    pub name: &'static str,
    /// What its value must be.
    pub schema: Schema,
    /// Whether it must be there.
    pub required: bool,
    /// What the API server writes where it is absent.
    pub default: Option<Value>,
    /// What must hold besides.
    pub rules: &'static [Rule],
}

/// A rule in the API server's own language (from Kubernetes 1.25 on).
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    /// What it says when it does not hold.
    pub message: &'static str,
    /// The rule.
    pub rule: &'static str,
}

/// A kind of resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crd {
    /// `BGPPeer`
    pub kind: &'static str,
    /// `bgppeers`
    pub plural: &'static str,
    /// `bgppeer`
    pub singular: &'static str,
    /// `v1beta1`
    pub version: &'static str,
    /// `spec`
    pub spec: Schema,
    /// `status`, which an API server does not look at when the resource is created.
    pub status: Schema,
    /// Whether there must be a `spec`.
    pub spec_required: bool,
}

/// The kinds of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schemas {
    /// The release.
    pub target: Release,
    /// The kinds that a configuration is made of.
    pub crds: Vec<Crd>,
    /// Older forms of them, which the release still takes.
    pub older: Vec<Crd>,
}

/// The last release that takes AddressPools: their definitions went with 0.14.3.
pub const LAST_WITH_ADDRESS_POOL: Release = Release::new(14, 2);

/// The largest AS number.
const MAX_ASN: i64 = u32::MAX as i64;

/// The rules of `connectTime`.
const CONNECT_TIME: &[Rule] = &[
    Rule {
        message: "connect time should be between 1 seconds to 65535",
        rule: "duration(self).getSeconds() >= 1 && duration(self).getSeconds() <= 65535",
    },
    Rule {
        message: "connect time should contain a whole number of seconds",
        rule: "duration(self).getMilliseconds() % 1000 == 0",
    },
];

/// The rule of `enableGracefulRestart`.
const IMMUTABLE: &[Rule] = &[Rule {
    message: "EnableGracefulRestart cannot be changed after creation",
    rule: "self == oldSelf",
}];

impl Property {
    fn new(name: &'static str, schema: Schema) -> Self {
        Self {
            name,
            schema,
            required: false,
            default: None,
            rules: &[],
        }
    }

    fn required(self, required: bool) -> Self {
        Self { required, ..self }
    }

    fn or(self, default: Value) -> Self {
        let default = Some(default);
        Self { default, ..self }
    }

    fn with(self, rules: &'static [Rule]) -> Self {
        Self { rules, ..self }
    }
}

/// A whole number of 32 bits between two bounds.
fn int32(min: Option<i64>, max: Option<i64>) -> Schema {
    let format = Some("int32");
    Schema::Int { format, min, max }
}

fn list(item: Schema) -> Schema {
    Schema::List(Box::new(item))
}

fn object(fields: impl IntoIterator<Item = Property>) -> Schema {
    Schema::Object {
        fields: fields.into_iter().collect(),
        atomic: false,
    }
}

/// Owned as a whole, as the newer generators of schemas have it.
fn atomic(target: Release, fields: impl IntoIterator<Item = Property>) -> Schema {
    Schema::Object {
        fields: fields.into_iter().collect(),
        atomic: target >= Release::new(14, 0),
    }
}

/// Kubernetes' label selector.
fn selector(target: Release) -> Schema {
    let expression = object([
        Property::new("key", Schema::Text).required(true),
        Property::new("operator", Schema::Text).required(true),
        Property::new("values", list(Schema::Text)),
    ]);
    let fields = [
        Property::new("matchExpressions", list(expression)),
        Property::new("matchLabels", Schema::Texts),
    ];
    atomic(target, fields)
}

impl Schemas {
    /// Those of a release.
    #[must_use]
    pub fn of(target: Release) -> Self {
        let kind = |kind, plural, singular, version, spec| Crd {
            kind,
            plural,
            singular,
            version,
            spec,
            status: object([]),
            spec_required: false,
        };
        let mut pools = kind(
            "IPAddressPool",
            "ipaddresspools",
            "ipaddresspool",
            "v1beta1",
            pool(target),
        );
        pools.spec_required = true;
        if target >= Release::new(15, 0) {
            let counter = |name| {
                let format = Some("int64");
                let (min, max) = (None, None);
                Property::new(name, Schema::Int { format, min, max }).required(true)
            };
            pools.status = object([
                counter("assignedIPv4"),
                counter("assignedIPv6"),
                counter("availableIPv4"),
                counter("availableIPv6"),
            ]);
        }
        let crds = vec![
            kind(
                "BFDProfile",
                "bfdprofiles",
                "bfdprofile",
                "v1beta1",
                profile(),
            ),
            kind(
                "BGPAdvertisement",
                "bgpadvertisements",
                "bgpadvertisement",
                "v1beta1",
                bgp_advertisement(target),
            ),
            kind("BGPPeer", "bgppeers", "bgppeer", "v1beta2", peer(target)),
            kind(
                "Community",
                "communities",
                "community",
                "v1beta1",
                community(),
            ),
            pools,
            kind(
                "L2Advertisement",
                "l2advertisements",
                "l2advertisement",
                "v1beta1",
                l2_advertisement(target),
            ),
        ];
        let mut older = vec![kind(
            "BGPPeer",
            "bgppeers",
            "bgppeer",
            "v1beta1",
            old_peer(target),
        )];
        if target <= LAST_WITH_ADDRESS_POOL {
            for version in ["v1alpha1", "v1beta1"] {
                let spec = address_pool(target, version);
                let mut pool = kind("AddressPool", "addresspools", "addresspool", version, spec);
                pool.spec_required = true;
                older.push(pool);
            }
        }
        Self {
            target,
            crds,
            older,
        }
    }

    /// The kind, if the release has it in this version (`metallb.io/v1beta1`).
    #[must_use]
    pub fn find(&self, api_version: &str, kind: &str) -> Option<&Crd> {
        let version = api_version.strip_prefix(GROUP)?.strip_prefix('/')?;
        self.crds
            .iter()
            .chain(&self.older)
            .find(|crd| crd.kind == kind && crd.version == version)
    }

    /// CustomResourceDefinitions of `apiextensions.k8s.io/v1`, one for each kind.
    #[must_use]
    pub fn manifests(&self) -> Vec<Value> {
        self.crds.iter().map(Crd::manifest).collect()
    }
}

fn pool(target: Release) -> Schema {
    let since = |minor, patch| target >= Release::new(minor, patch);
    let allocation = || {
        object([
            Property::new("namespaceSelectors", list(selector(target))),
            Property::new("namespaces", list(Schema::Text)),
            Property::new(
                "priority",
                Schema::Int {
                    format: None,
                    min: None,
                    max: None,
                },
            ),
            Property::new("serviceSelectors", list(selector(target))),
        ])
    };
    object(
        [
            Some(Property::new("addresses", list(Schema::Text)).required(true)),
            Some(Property::new("autoAssign", Schema::Bool).or(Value::Bool(true))),
            since(13, 4)
                .then(|| Property::new("avoidBuggyIPs", Schema::Bool).or(Value::Bool(false))),
            since(13, 8).then(|| Property::new("serviceAllocation", allocation())),
        ]
        .into_iter()
        .flatten(),
    )
}

fn bgp_advertisement(target: Release) -> Schema {
    let selectors = || list(selector(target));
    object(
        [
            Some(Property::new("aggregationLength", int32(Some(1), None)).or(Value::Int(32))),
            Some(Property::new("aggregationLengthV6", int32(None, None)).or(Value::Int(128))),
            Some(Property::new("communities", list(Schema::Text))),
            Some(Property::new("ipAddressPoolSelectors", selectors())),
            Some(Property::new("ipAddressPools", list(Schema::Text))),
            Some(Property::new("localPref", int32(None, None))),
            Some(Property::new("nodeSelectors", selectors())),
            Some(Property::new("peers", list(Schema::Text))),
            (target >= Release::new(16, 0)).then(|| Property::new("serviceSelectors", selectors())),
        ]
        .into_iter()
        .flatten(),
    )
}

fn l2_advertisement(target: Release) -> Schema {
    let selectors = || list(selector(target));
    object(
        [
            (target >= Release::new(13, 6))
                .then(|| Property::new("interfaces", list(Schema::Text))),
            Some(Property::new("ipAddressPoolSelectors", selectors())),
            Some(Property::new("ipAddressPools", list(Schema::Text))),
            Some(Property::new("nodeSelectors", selectors())),
            (target >= Release::new(16, 0)).then(|| Property::new("serviceSelectors", selectors())),
        ]
        .into_iter()
        .flatten(),
    )
}

fn profile() -> Schema {
    let milliseconds = || int32(Some(10), Some(60000));
    object([
        Property::new("detectMultiplier", int32(Some(2), Some(255))),
        Property::new("echoInterval", milliseconds()),
        Property::new("echoMode", Schema::Bool),
        Property::new("minimumTtl", int32(Some(1), Some(254))),
        Property::new("passiveMode", Schema::Bool),
        Property::new("receiveInterval", milliseconds()),
        Property::new("transmitInterval", milliseconds()),
    ])
}

fn community() -> Schema {
    let alias = object([
        Property::new("name", Schema::Text),
        Property::new("value", Schema::Text),
    ]);
    object([Property::new("communities", list(alias))])
}

/// AddressPool, which says itself how it is announced.
fn address_pool(target: Release, version: &str) -> Schema {
    let advertisement = object([
        Property::new("aggregationLength", int32(Some(1), None)).or(Value::Int(32)),
        Property::new("aggregationLengthV6", int32(None, None)).or(Value::Int(128)),
        Property::new("communities", list(Schema::Text)),
        Property::new("localPref", int32(None, None)),
    ]);
    let has_buggy = version == "v1beta1" && target >= Release::new(13, 4);
    object(
        [
            Some(Property::new("addresses", list(Schema::Text)).required(true)),
            Some(Property::new("autoAssign", Schema::Bool).or(Value::Bool(true))),
            has_buggy.then(|| Property::new("avoidBuggyIPs", Schema::Bool).or(Value::Bool(false))),
            Some(Property::new("bgpAdvertisements", list(advertisement))),
            Some(Property::new("protocol", Schema::Choice(&["layer2", "bgp"])).required(true)),
        ]
        .into_iter()
        .flatten(),
    )
}

/// An AS number; `wide` where the schema says int64 of it.
fn asn(wide: bool, min: i64) -> Schema {
    Schema::Int {
        format: Some(if wide { "int64" } else { "int32" }),
        min: Some(min),
        max: Some(MAX_ASN),
    }
}

/// BGPPeer of `v1beta1`. The least number of values of an expression is left out: what the API server itself writes of `Exists` has
/// none.
fn old_peer(target: Release) -> Schema {
    let expression = object([
        Property::new("key", Schema::Text).required(true),
        Property::new("operator", Schema::Text).required(true),
        Property::new("values", list(Schema::Text)).required(true),
    ]);
    let selector = object([
        Property::new("matchExpressions", list(expression)),
        Property::new("matchLabels", Schema::Texts),
    ]);
    let wide = target >= Release::new(16, 0);
    let port = Schema::Int {
        format: None,
        min: Some(0),
        max: Some(16384),
    };
    object([
        Property::new("bfdProfile", Schema::Text),
        Property::new("ebgpMultiHop", Schema::Bool),
        Property::new("holdTime", Schema::Text),
        Property::new("keepaliveTime", Schema::Text),
        Property::new("myASN", asn(wide, 0)).required(true),
        Property::new("nodeSelectors", list(selector)),
        Property::new("password", Schema::Text),
        Property::new("peerASN", asn(wide, 0)).required(true),
        Property::new("peerAddress", Schema::Text).required(true),
        Property::new("peerPort", port),
        Property::new("routerID", Schema::Text),
        Property::new("sourceAddress", Schema::Text),
    ])
}

fn peer(target: Release) -> Schema {
    let since = |minor, patch| target >= Release::new(minor, patch);
    let port = Schema::Int {
        format: None,
        min: Some(i64::from(since(15, 0))),
        max: Some(16384),
    };
    let secret = [
        Property::new("name", Schema::Text),
        Property::new("namespace", Schema::Text),
    ];
    let no = || Value::Bool(false);
    object(
        [
            Some(Property::new("bfdProfile", Schema::Text)),
            since(14, 4).then(|| Property::new("connectTime", Schema::Text).with(CONNECT_TIME)),
            since(14, 4).then(|| Property::new("disableMP", Schema::Bool).or(no())),
            since(15, 0).then(|| Property::new("dualStackAddressFamily", Schema::Bool).or(no())),
            since(14, 9)
                .then(|| Property::new("dynamicASN", Schema::Choice(&["internal", "external"]))),
            Some(Property::new("ebgpMultiHop", Schema::Bool)),
            since(14, 6)
                .then(|| Property::new("enableGracefulRestart", Schema::Bool).with(IMMUTABLE)),
            Some(Property::new("holdTime", Schema::Text)),
            since(15, 0).then(|| Property::new("interface", Schema::Text)),
            Some(Property::new("keepaliveTime", Schema::Text)),
            since(16, 0).then(|| Property::new("localASN", asn(since(16, 1), 1))),
            Some(Property::new("myASN", asn(since(16, 0), 0)).required(true)),
            Some(Property::new("nodeSelectors", list(selector(target)))),
            Some(Property::new("password", Schema::Text)),
            Some(Property::new("passwordSecret", atomic(target, secret))),
            Some(Property::new("peerASN", asn(since(16, 0), 0)).required(!since(14, 9))),
            Some(Property::new("peerAddress", Schema::Text).required(!since(15, 0))),
            Some(Property::new("peerPort", port).or(Value::Int(179))),
            Some(Property::new("routerID", Schema::Text)),
            Some(Property::new("sourceAddress", Schema::Text)),
            since(13, 8).then(|| Property::new("vrf", Schema::Text)),
        ]
        .into_iter()
        .flatten(),
    )
}

impl Crd {
    /// `bgppeers.metallb.io`
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}.{GROUP}", self.plural)
    }

    /// The CustomResourceDefinition.
    #[must_use]
    pub fn manifest(&self) -> Value {
        let text = |text: &str| Value::text(text);
        let object = || Value::map([("type", text("object"))]);
        let properties = Value::map([
            ("apiVersion", Schema::Text.value()),
            ("kind", Schema::Text.value()),
            ("metadata", object()),
            ("spec", self.spec.value()),
            ("status", self.status.value()),
        ]);
        let mut schema = Pairs::default();
        schema.put("type", text("object"));
        schema.put("properties", properties);
        if self.spec_required {
            schema.put("required", Value::texts(["spec"]));
        }
        let version = Value::map([
            ("name", text(self.version)),
            ("served", Value::Bool(true)),
            ("storage", Value::Bool(true)),
            ("schema", Value::map([("openAPIV3Schema", schema.value())])),
            ("subresources", Value::map([("status", Value::map([]))])),
        ]);
        Value::map([
            ("apiVersion", text("apiextensions.k8s.io/v1")),
            ("kind", text("CustomResourceDefinition")),
            ("metadata", Value::map([("name", Value::text(self.name()))])),
            (
                "spec",
                Value::map([
                    ("group", text(GROUP)),
                    (
                        "names",
                        Value::map([
                            ("kind", text(self.kind)),
                            ("listKind", Value::text(format!("{}List", self.kind))),
                            ("plural", text(self.plural)),
                            ("singular", text(self.singular)),
                        ]),
                    ),
                    ("scope", text("Namespaced")),
                    ("versions", Value::List(vec![version])),
                ]),
            ),
        ])
    }
}

impl Schema {
    /// The word for its type.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Text | Self::Choice(_) => "string",
            Self::Bool => "boolean",
            Self::Int { .. } => "integer",
            Self::List(_) => "array",
            Self::Texts | Self::Object { .. } => "object",
        }
    }

    /// As OpenAPI writes it.
    fn value(&self) -> Value {
        self.pairs().value()
    }

    fn pairs(&self) -> Pairs {
        let mut pairs = Pairs::default();
        pairs.put("type", Value::text(self.type_name()));
        match self {
            Self::Text | Self::Bool => {}
            Self::Choice(words) => pairs.put("enum", Value::texts(words.iter().copied())),
            Self::Int { format, min, max } => {
                pairs.put_text("format", format.unwrap_or_default());
                pairs.put_int("minimum", *min);
                pairs.put_int("maximum", *max);
            }
            Self::List(item) => pairs.put("items", item.value()),
            Self::Texts => pairs.put("additionalProperties", Self::Text.value()),
            Self::Object { fields, atomic } => {
                if !fields.is_empty() {
                    let properties = fields
                        .iter()
                        .map(|field| (field.name.to_owned(), field.value()));
                    pairs.put("properties", Value::Map(properties.collect()));
                }
                let required = fields.iter().filter(|field| field.required);
                let required: Vec<_> = required.map(|field| Value::text(field.name)).collect();
                pairs.put_list("required", required);
                if *atomic {
                    pairs.put("x-kubernetes-map-type", Value::text("atomic"));
                }
            }
        }
        pairs
    }
}

impl Property {
    fn value(&self) -> Value {
        let mut pairs = self.schema.pairs();
        if let Some(default) = &self.default {
            pairs.put("default", default.clone());
        }
        let rules = self.rules.iter().map(|rule| {
            Value::map([
                ("message", Value::text(rule.message)),
                ("rule", Value::text(rule.rule)),
            ])
        });
        pairs.put_list("x-kubernetes-validations", rules.collect());
        pairs.value()
    }
}
