//! What was read of a cluster, and what can be told from it.
//!
//! JSON in, values out; what is absent or of another shape is left out, not refused.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ferrolb_compat::go::ip::parse_ip;
use ferrolb_compat::migrate::Release;
use ferrolb_compat::names::env;
use serde_json::Value;

use super::{Kind, list, text};
use crate::migrate::BgpMode;
use crate::view::ObjectKey;

/// A cluster, as far as a migration looks at it.
#[derive(Debug, Clone, Default)]
pub struct Inventory {
    /// Where its API server is.
    pub server: String,
    /// Which cluster it is: the uid of the namespace `kube-system`; empty: unknown.
    pub cluster: String,
    /// The minor version of Kubernetes, if known.
    pub kubernetes: Option<u32>,
    /// The namespace of MetalLB.
    pub namespace: String,
    /// The ConfigMap as it was read; `None`: there is none.
    pub config_map: Option<Value>,
    /// Controller and speaker.
    pub programs: Vec<Program>,
    /// The custom resources that the server knows.
    pub served: Vec<Served>,
    /// MetalLB's objects of the namespace, and Secrets of the names that would be written.
    pub objects: Vec<Object>,
    /// Services of type LoadBalancer.
    pub services: Vec<Service>,
    /// Nodes.
    pub nodes: Vec<Node>,
    /// Webhook configurations that have a say about MetalLB's objects.
    pub webhooks: Vec<String>,
    /// What could not be read, and why: what depends on it is not told.
    pub unread: Vec<String>,
}

/// Which of the two programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Gives addresses.
    Controller,
    /// Announces them.
    Speaker,
}

impl Role {
    /// The word of the manifests.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Controller => "controller",
            Self::Speaker => "speaker",
        }
    }
}

/// What a program reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Software {
    /// The ConfigMap: MetalLB to 0.12, or FerroLB.
    ConfigMap,
    /// Custom resources: MetalLB from 0.13 on.
    Resources(Release),
    /// The image does not tell.
    Unknown,
}

/// A Deployment or DaemonSet of MetalLB's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Which one.
    pub role: Role,
    /// `deployment/controller`: as kubectl takes it.
    pub workload: String,
    /// Its image.
    pub image: String,
    /// What it reads.
    pub software: Software,
    /// How many pods there should be.
    pub wanted: u64,
    /// How many there are, ready or not.
    pub running: u64,
    /// The ConfigMap that it was told to read.
    pub config_map: Option<String>,
    /// `METALLB_BGP_TYPE`; `None`: not set.
    pub bgp_type: Option<String>,
}

impl Program {
    /// Reads a Deployment or DaemonSet; `None`: it is none of MetalLB's two.
    #[must_use]
    pub fn read(kind: &str, object: &Value) -> Option<Self> {
        let labels = object.pointer("/spec/template/metadata/labels")?;
        let label = |key: &str| labels.get(key).and_then(Value::as_str).unwrap_or("");
        let is_metallb = [label("app"), label("app.kubernetes.io/name")]
            .iter()
            .any(|name| matches!(*name, "metallb" | "ferrolb"));
        let component = [label("component"), label("app.kubernetes.io/component")];
        let role = match component.into_iter().find(|word| !word.is_empty())? {
            "controller" => Role::Controller,
            "speaker" => Role::Speaker,
            _ => return None,
        };
        if !is_metallb {
            return None;
        }
        let containers = list(object, "/spec/template/spec/containers");
        let container = containers
            .iter()
            .find(|container| text(container, "/name") == role.as_str())
            .or_else(|| containers.first())?;
        let mut arguments: Vec<&str> = Vec::new();
        for field in ["/command", "/args"] {
            arguments.extend(list(container, field).iter().filter_map(Value::as_str));
        }
        let environment = list(container, "/env");
        let bgp_type = environment
            .iter()
            .find(|variable| text(variable, "/name") == env::BGP_TYPE)
            .map(|variable| text(variable, "/value").to_owned());
        let image = text(container, "/image").to_owned();
        let config_map = flag(&arguments, "config");
        let status = |field: &str| object.pointer(field).and_then(Value::as_u64);
        let (wanted, running) = match kind {
            "DaemonSet" => (
                status("/status/desiredNumberScheduled"),
                status("/status/currentNumberScheduled"),
            ),
            _ => (
                status("/spec/replicas").or(Some(1)),
                status("/status/replicas"),
            ),
        };
        Some(Self {
            role,
            workload: format!("{}/{}", kind.to_lowercase(), text(object, "/metadata/name")),
            software: software(&image, config_map.is_some()),
            image,
            wanted: wanted.unwrap_or(0),
            running: running.unwrap_or(0),
            config_map,
            bgp_type: bgp_type.filter(|word| !word.is_empty()),
        })
    }

    /// Whether it runs, or will in a moment.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.wanted > 0 || self.running > 0
    }
}

/// The value of Go's `-name=value` or `--name value`.
fn flag(arguments: &[&str], name: &str) -> Option<String> {
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        let word = word.strip_prefix("--").or_else(|| word.strip_prefix('-'));
        let Some(rest) = word.and_then(|word| word.strip_prefix(name)) else {
            continue;
        };
        if let Some(value) = rest.strip_prefix('=') {
            return Some(value.to_owned());
        }
        if rest.is_empty() {
            return words.next().map(|word| (*word).to_owned());
        }
    }
    None
}

/// What the program in an image reads; 0.13 has no flag that names a ConfigMap.
fn software(image: &str, names_config_map: bool) -> Software {
    if image.contains("ferrolb") {
        return Software::ConfigMap;
    }
    let path = image.split('@').next().unwrap_or_default();
    let last = path.rsplit('/').next().unwrap_or_default();
    let version = last
        .split_once(':')
        .and_then(|(_, tag)| release_of_tag(tag));
    match version {
        Some(release) if release < Release::new(13, 0) => Software::ConfigMap,
        Some(release) => Software::Resources(release),
        None if names_config_map => Software::ConfigMap,
        None => Software::Unknown,
    }
}

/// `v0.13.7`, `0.13.7-debian-11-r3`.
fn release_of_tag(tag: &str) -> Option<Release> {
    let rest = tag.strip_prefix('v').unwrap_or(tag);
    let mut numbers = rest.splitn(3, '.');
    if numbers.next()? != "0" {
        return None;
    }
    let minor = numbers.next()?.parse().ok()?;
    let patch = numbers.next()?;
    let digits = patch.find(|c: char| !c.is_ascii_digit());
    let patch = patch.get(..digits.unwrap_or(patch.len()))?.parse().ok()?;
    Some(Release { minor, patch })
}

/// A custom resource that the server knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    /// `kind`.
    pub kind: String,
    /// The versions that are served.
    pub versions: BTreeSet<String>,
    /// The fields of `spec`, of all versions; `None`: the definition could not be read.
    pub fields: Option<BTreeSet<String>>,
}

impl Served {
    /// Reads a CustomResourceDefinition; `None`: it is none of MetalLB's, or not usable yet.
    #[must_use]
    pub fn read(definition: &Value) -> Option<Self> {
        if text(definition, "/spec/group") != super::GROUP {
            return None;
        }
        let established = list(definition, "/status/conditions")
            .iter()
            .any(|condition| {
                text(condition, "/type") == "Established" && text(condition, "/status") == "True"
            });
        if !established {
            return None;
        }
        let versions = list(definition, "/spec/versions");
        let served = versions
            .iter()
            .filter(|version| version.get("served").and_then(Value::as_bool) == Some(true));
        let spec = "/schema/openAPIV3Schema/properties/spec/properties";
        let fields = versions
            .iter()
            .filter_map(|version| version.pointer(spec).and_then(Value::as_object))
            .flat_map(|fields| fields.keys().cloned());
        Some(Self {
            kind: text(definition, "/spec/names/kind").to_owned(),
            versions: served
                .map(|version| text(version, "/name").to_owned())
                .collect(),
            fields: Some(fields.collect()),
        })
    }
}

/// Where FerroLB's settings are in a ConfigMap.
pub const SETTINGS: &str = "/data/ferrolb";

/// The releases that brought a field: `spec.field` of a kind.
const MARKS: [(Release, &str, &str); 8] = [
    (Release::new(13, 4), "IPAddressPool", "avoidBuggyIPs"),
    (Release::new(13, 6), "L2Advertisement", "interfaces"),
    (Release::new(13, 8), "BGPPeer", "vrf"),
    (Release::new(14, 4), "BGPPeer", "disableMP"),
    (Release::new(14, 6), "BGPPeer", "enableGracefulRestart"),
    (Release::new(14, 9), "BGPPeer", "dynamicASN"),
    (Release::new(15, 0), "BGPPeer", "interface"),
    (Release::new(16, 0), "BGPPeer", "localASN"),
];

/// Of which releases custom resource definitions are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vintage {
    /// The first.
    pub from: Release,
    /// The first that is not; `None`: the newest that is known is among them.
    pub before: Option<Release>,
}

impl Vintage {
    /// Whether a release has such definitions.
    #[must_use]
    pub fn contains(self, release: Release) -> bool {
        self.from <= release && self.before.is_none_or(|before| release < before)
    }
}

impl std::fmt::Display for Vintage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.before {
            None => write!(f, "{} or later", self.from),
            Some(before) => write!(f, "{} or later, before {before}", self.from),
        }
    }
}

/// An object that is there already.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// `kind`.
    pub kind: String,
    /// `metadata.name`.
    pub name: String,
    /// `metadata.uid`.
    pub uid: String,
    /// Who has written it, as far as the server knows.
    pub managers: BTreeSet<String>,
    /// Whether it is being deleted.
    pub is_going: bool,
    /// The whole object.
    pub json: Value,
}

impl Object {
    /// Reads an object of a kind; items of lists do not say their kind.
    #[must_use]
    pub fn read(kind: &str, json: Value) -> Self {
        let managers = list(&json, "/metadata/managedFields")
            .iter()
            .map(|entry| text(entry, "/manager").to_owned());
        Self {
            kind: kind.to_owned(),
            name: text(&json, "/metadata/name").to_owned(),
            uid: text(&json, "/metadata/uid").to_owned(),
            managers: managers.collect(),
            is_going: !text(&json, "/metadata/deletionTimestamp").is_empty(),
            json,
        }
    }
}

/// A Service of type LoadBalancer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Namespace and name.
    pub key: ObjectKey,
    /// `metadata.uid`.
    pub uid: String,
    /// Annotations of MetalLB's, old and new.
    pub annotations: BTreeMap<String, String>,
    /// `spec.loadBalancerClass`; empty: none.
    pub class: String,
    /// `spec.loadBalancerIP`; empty: none.
    pub requested: String,
    /// The addresses that it has.
    pub addresses: Vec<String>,
}

impl Service {
    /// Reads a Service; `None`: it is of another type.
    #[must_use]
    pub fn read(object: &Value) -> Option<Self> {
        if text(object, "/spec/type") != "LoadBalancer" {
            return None;
        }
        let annotations = object.pointer("/metadata/annotations");
        let annotations = annotations.and_then(Value::as_object).into_iter().flatten();
        Some(Self {
            key: ObjectKey::new(
                text(object, "/metadata/namespace"),
                text(object, "/metadata/name"),
            ),
            uid: text(object, "/metadata/uid").to_owned(),
            annotations: annotations
                .filter(|(key, _)| {
                    key.starts_with("metallb.universe.tf/") || key.starts_with("metallb.io/")
                })
                .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
                .collect(),
            class: text(object, "/spec/loadBalancerClass").to_owned(),
            requested: text(object, "/spec/loadBalancerIP").to_owned(),
            addresses: list(object, "/status/loadBalancer/ingress")
                .iter()
                .map(|entry| text(entry, "/ip").to_owned())
                .filter(|address| !address.is_empty())
                .collect(),
        })
    }
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Whether the label is there that later speakers take for a reason not to announce.
    pub is_excluded: bool,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

impl Node {
    /// Reads a node.
    #[must_use]
    pub fn read(object: &Value) -> Self {
        let labels = object.pointer("/metadata/labels");
        Self {
            name: text(object, "/metadata/name").to_owned(),
            is_excluded: labels.is_some_and(|labels| {
                labels
                    .get("node.kubernetes.io/exclude-from-external-load-balancers")
                    .is_some()
            }),
            addresses: list(object, "/status/addresses")
                .iter()
                .filter(|entry| text(entry, "/type").ends_with("IP"))
                .filter_map(|entry| parse_ip(text(entry, "/address")))
                .collect(),
            labels: labels
                .and_then(Value::as_object)
                .into_iter()
                .flatten()
                .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
                .collect(),
        }
    }
}

impl Inventory {
    /// The text of the ConfigMap's `config`.
    #[must_use]
    pub fn config(&self) -> Option<&str> {
        self.config_map.as_ref()?.pointer("/data/config")?.as_str()
    }

    /// The text of FerroLB's settings beside it.
    #[must_use]
    pub fn settings(&self) -> Option<&str> {
        self.config_map.as_ref()?.pointer(SETTINGS)?.as_str()
    }

    /// Whether the server takes a kind in the version that is written.
    #[must_use]
    pub fn serves(&self, kind: Kind) -> bool {
        kind.group.is_empty()
            || self
                .served
                .iter()
                .any(|served| served.kind == kind.name && served.versions.contains(kind.version))
    }

    /// Of which releases the definitions are; `None`: there are none, or they could not be read.
    #[must_use]
    pub fn vintage(&self) -> Option<Vintage> {
        let has = |kind: &str, field: &str| {
            let served = self.served.iter().find(|served| served.kind == kind)?;
            Some(served.fields.as_ref()?.contains(field))
        };
        let mut vintage = Vintage {
            from: Release::new(13, 0),
            before: None,
        };
        let mut known = false;
        for (release, kind, field) in MARKS {
            match has(kind, field) {
                None => {}
                Some(true) => {
                    known = true;
                    vintage = Vintage {
                        from: release,
                        before: None,
                    };
                }
                Some(false) => {
                    known = true;
                    vintage.before = vintage.before.or(Some(release));
                }
            }
        }
        known.then_some(vintage)
    }

    /// The programs of a role that run.
    pub fn running(&self, role: Role) -> impl Iterator<Item = &Program> {
        let programs = self.programs.iter();
        programs.filter(move |program| program.role == role && program.is_running())
    }

    /// The release of MetalLB from 0.13 on that runs as controller or speaker, if one does.
    #[must_use]
    pub fn successor(&self) -> Option<(&Program, Release)> {
        self.programs
            .iter()
            .filter(|program| program.is_running())
            .find_map(|program| match program.software {
                Software::Resources(release) => Some((program, release)),
                Software::ConfigMap | Software::Unknown => None,
            })
    }

    /// Who speaks BGP today, as the speaker's environment says.
    #[must_use]
    pub fn mode(&self) -> Option<BgpMode> {
        let speaker = self
            .programs
            .iter()
            .find(|program| program.role == Role::Speaker)?;
        match speaker.bgp_type.as_deref() {
            // FerroLB takes what any of 0.12's modes takes.
            None if speaker.image.contains("ferrolb") => None,
            // Upstream: not set is native, in 0.12 and in every later release's speaker.
            None => Some(BgpMode::Native),
            Some(word) => word.parse().ok(),
        }
    }
}

/// The objects of an offline inventory: `kubectl get -o json` or `-o yaml`, alone, as a List, or several documents.
///
/// # Errors
/// The text is neither; what is wrong.
pub fn objects(text: &str) -> Result<Vec<Value>, String> {
    use serde::Deserialize as _;
    let mut objects = Vec::new();
    for document in serde_yaml::Deserializer::from_str(text) {
        let value = Value::deserialize(document).map_err(|error| error.to_string())?;
        match value {
            Value::Null => {}
            Value::Object(mut map) => match map.get_mut("items") {
                Some(Value::Array(items)) => objects.append(items),
                _ => objects.push(Value::Object(map)),
            },
            _ => return Err("there is no Kubernetes object in it".to_owned()),
        }
    }
    Ok(objects)
}
