//! Manifests: the text of a file in, objects out.
//!
//! Reads ConfigMap, Service, Endpoints, EndpointSlice (`v1`, `v1beta1`) and Node, several documents a file, and
//! `kind: List` (also `ServiceList` and the like). Everything else is counted, so that the log can say that it was
//! ignored. Pure: no file is opened here.
//!
//! A file is taken whole or refused whole with a [`Fault`] that knows its place. Two passes over the text: the first
//! reads the kinds, the second reads each object as its kind straight from the text, so that a wrong type is
//! reported with its line and column (a detour over a generic value would lose them).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

use crate::view::{self, ObjectKey};

mod raw;

/// Longest text of a configuration, in octets: what an API server takes as a ConfigMap.
pub(crate) const CONFIG_LIMIT: usize = 1 << 20;

/// Namespace of a bare configuration and of a ConfigMap that names none.
const CONFIG_NAMESPACE: &str = "metallb-system";

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// YAML, several documents.
    Yaml,
    /// JSON, several documents one after the other.
    Json,
}

impl Format {
    /// The format that a file's name promises; `None`: not a manifest.
    pub(crate) fn of(name: &str) -> Option<Self> {
        match name.rsplit_once('.')?.1 {
            "yaml" | "yml" => Some(Self::Yaml),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}

/// An object of a file, as the rest of the program needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Object {
    /// The configuration.
    ConfigMap(view::ConfigMap),
    /// A Service; its `ingress` is what the manifest's own status says.
    Service(Box<view::Service>),
    /// Endpoints of a Service.
    Endpoints(view::Endpoints),
    /// A slice of a Service's endpoints.
    Slice(ObjectKey, view::Endpoints),
    /// A Node.
    Node(view::Node),
}

impl Object {
    /// Kind and name, by which two manifests are of the same object. All configurations are one object, whatever
    /// their namespace.
    pub(crate) fn identity(&self) -> (&'static str, ObjectKey) {
        match self {
            Self::ConfigMap(map) => ("ConfigMap", ObjectKey::new("", map.key.name())),
            Self::Service(service) => ("Service", service.key.clone()),
            Self::Endpoints(endpoints) => ("Endpoints", endpoints.service.clone()),
            Self::Slice(key, _) => ("EndpointSlice", key.clone()),
            Self::Node(node) => ("Node", ObjectKey::new("", &node.name)),
        }
    }
}

/// What a file held.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Parsed {
    /// The objects, in the order of the text.
    pub(crate) objects: Vec<Object>,
    /// How many objects of other kinds there were, by kind and API version.
    pub(crate) ignored: BTreeMap<String, usize>,
}

/// Why a file was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Line and column, both from 1, where known.
    pub(crate) place: Option<(usize, usize)>,
    /// What is wrong.
    pub(crate) message: String,
}

impl Fault {
    /// A fault of the file as a whole.
    pub(crate) fn whole(message: impl Into<String>) -> Self {
        Self {
            place: None,
            message: message.into(),
        }
    }
}

impl fmt::Display for Fault {
    /// `line:column: message`, or the message alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((line, column)) = self.place {
            write!(f, "{line}:{column}: ")?;
        }
        f.write_str(&self.message)
    }
}

/// What the reader must know of the file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source<'a> {
    /// Where the text is, for messages.
    pub(crate) origin: &'a str,
    /// How it is written.
    pub(crate) format: Format,
    /// Name of the ConfigMap that is the configuration; `None`: any.
    pub(crate) config_name: Option<&'a str>,
    /// Whether a document that is no Kubernetes object is the configuration itself.
    pub(crate) may_be_bare: bool,
}

/// Reads a file.
///
/// # Errors
///
/// The first [`Fault`]: bad syntax, an object without kind or name, a value of a wrong type or out of range, a
/// configuration over [`CONFIG_LIMIT`].
pub(crate) fn parse(text: &str, source: Source<'_>) -> Result<Parsed, Fault> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if source.may_be_bare && source.format == Format::Yaml && is_bare(text) {
        let map = bare(text, source)?;
        return Ok(Parsed {
            objects: vec![Object::ConfigMap(map)],
            ignored: BTreeMap::new(),
        });
    }
    let mut parsed = Parsed::default();
    match source.format {
        Format::Yaml => {
            let mut plans = Vec::new();
            for document in serde_yaml::Deserializer::from_str(text) {
                plans.push(plan(
                    Option::<Header>::deserialize(document).map_err(yaml_fault)?,
                    source,
                    &mut parsed.ignored,
                )?);
            }
            for (document, plan) in serde_yaml::Deserializer::from_str(text).zip(&plans) {
                let seed = Read {
                    plan,
                    source,
                    out: &mut parsed.objects,
                };
                seed.deserialize(document).map_err(yaml_fault)?;
            }
        }
        Format::Json => {
            let mut plans = Vec::new();
            for header in serde_json::Deserializer::from_str(text).into_iter::<Option<Header>>() {
                plans.push(plan(
                    header.map_err(json_fault)?,
                    source,
                    &mut parsed.ignored,
                )?);
            }
            let mut documents = serde_json::Deserializer::from_str(text);
            for plan in &plans {
                let seed = Read {
                    plan,
                    source,
                    out: &mut parsed.objects,
                };
                seed.deserialize(&mut documents).map_err(json_fault)?;
            }
        }
    }
    Ok(parsed)
}

/// Whether a text is a configuration as such: its first document is a mapping that is no Kubernetes object. A text that
/// is not even YAML is one if no line begins as an object's would: the configuration's own parser then says what is
/// wrong, in the words of its schema.
fn is_bare(text: &str) -> bool {
    let Some(first) = serde_yaml::Deserializer::from_str(text).next() else {
        return false;
    };
    match Option::<BTreeMap<String, IgnoredAny>>::deserialize(first) {
        Ok(Some(fields)) => !fields.contains_key("kind") && !fields.contains_key("apiVersion"),
        // An empty file says nothing, as every empty manifest; it is not a configuration without pools.
        Ok(None) => false,
        Err(_) => !text.lines().any(|line| {
            ["kind:", "apiVersion:", "\"kind\":", "\"apiVersion\":", "{"]
                .iter()
                .any(|start| line.starts_with(start))
        }),
    }
}

fn bare(text: &str, source: Source<'_>) -> Result<view::ConfigMap, Fault> {
    fits(text).map_err(Fault::whole)?;
    let name = source
        .config_name
        .unwrap_or(ferrolb_compat::names::DEFAULT_CONFIG_MAP);
    Ok(view::ConfigMap {
        key: ObjectKey::new(CONFIG_NAMESPACE, name),
        uid: Arc::from(""),
        config: Some(Arc::from(text)),
        settings: None,
        origin: source.origin.to_owned(),
    })
}

fn fits(config: &str) -> Result<(), String> {
    if config.len() > CONFIG_LIMIT {
        return Err(format!(
            "the configuration has {} octets; a ConfigMap holds at most {CONFIG_LIMIT}: use CIDRs or ranges instead of \
             single addresses, and remove what is not needed",
            config.len()
        ));
    }
    Ok(())
}

/// What the first pass reads of an object.
#[derive(Deserialize)]
struct Header {
    #[serde(default, rename = "apiVersion")]
    api_version: Option<String>,
    #[serde(default)]
    kind: Option<String>,
    #[serde(default)]
    metadata: Option<HeaderMetadata>,
    #[serde(default)]
    items: Option<Vec<Header>>,
    #[serde(default, rename = "address-pools")]
    address_pools: Option<IgnoredAny>,
    #[serde(default)]
    peers: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct HeaderMetadata {
    #[serde(default)]
    name: Option<String>,
}

/// What the second pass reads a document as.
enum Plan {
    ConfigMap,
    Service,
    Endpoints,
    Slice,
    Node,
    List(Vec<Plan>),
    Nothing,
}

fn plan(
    header: Option<Header>,
    source: Source<'_>,
    ignored: &mut BTreeMap<String, usize>,
) -> Result<Plan, Fault> {
    header.map_or(Ok(Plan::Nothing), |header| {
        plan_object(header, None, source, ignored)
    })
}

/// `of`: kind and version of the list's items, where the list's own kind says it (`ServiceList`).
fn plan_object(
    header: Header,
    of: Option<(&str, &str)>,
    source: Source<'_>,
    ignored: &mut BTreeMap<String, usize>,
) -> Result<Plan, Fault> {
    let name = header.metadata.and_then(|metadata| metadata.name);
    let named = name
        .as_ref()
        .map_or_else(String::new, |name| format!(" of {name:?}"));
    let Some(kind) = header.kind.as_deref().or(of.map(|(kind, _)| kind)) else {
        return Err(Fault::whole(
            if header.address_pools.is_some() || header.peers.is_some() {
                "this is a configuration, not a Kubernetes object: put it into a file called config.yaml, or into \
                 data.config of a ConfigMap"
                    .to_owned()
            } else {
                format!("`kind` is missing{named}: every document must be a Kubernetes object")
            },
        ));
    };
    let Some(version) = header
        .api_version
        .as_deref()
        .or(of.map(|(_, version)| version))
    else {
        return Err(Fault::whole(format!(
            "`apiVersion` of the {kind}{named} is missing: `v1` for ConfigMap, Service, Endpoints and Node, \
             `discovery.k8s.io/v1` for EndpointSlice"
        )));
    };
    if let Some(items) = header.items
        && let Some(item) = kind.strip_suffix("List")
    {
        let of = (!item.is_empty()).then_some((item, version));
        return items
            .into_iter()
            .map(|item| plan_object(item, of, source, ignored))
            .collect::<Result<_, _>>()
            .map(Plan::List);
    }
    let plan = match (version, kind) {
        ("v1", "ConfigMap")
            if source
                .config_name
                .is_none_or(|wanted| name.as_deref().is_none_or(|name| name == wanted)) =>
        {
            Plan::ConfigMap
        }
        ("v1", "Service") => Plan::Service,
        ("v1", "Endpoints") => Plan::Endpoints,
        ("discovery.k8s.io/v1" | "discovery.k8s.io/v1beta1", "EndpointSlice") => Plan::Slice,
        ("v1", "Node") => Plan::Node,
        ("v1", "List") => Plan::Nothing, // no items
        ("v1", "ConfigMap") => {
            let name = name.unwrap_or_default();
            *ignored.entry(format!("ConfigMap {name:?}")).or_default() += 1;
            Plan::Nothing
        }
        _ => {
            *ignored.entry(format!("{kind} ({version})")).or_default() += 1;
            Plan::Nothing
        }
    };
    Ok(plan)
}

/// The second pass over one document.
struct Read<'a> {
    plan: &'a Plan,
    source: Source<'a>,
    out: &'a mut Vec<Object>,
}

impl<'de> DeserializeSeed<'de> for Read<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        let object = match self.plan {
            Plan::ConfigMap => Object::ConfigMap(
                config_map(raw::ConfigMap::deserialize(from)?, self.source.origin)
                    .map_err(D::Error::custom)?,
            ),
            Plan::Service => Object::Service(Box::new(raw::Service::deserialize(from)?.into())),
            Plan::Endpoints => Object::Endpoints(raw::Endpoints::deserialize(from)?.into()),
            Plan::Slice => {
                match raw::EndpointSlice::deserialize(from)?.into_view() {
                    Some((key, endpoints)) => Object::Slice(key, endpoints),
                    // A slice of no Service (no label): Kubernetes' own controllers look at it no more than we do.
                    None => return Ok(()),
                }
            }
            Plan::Node => Object::Node(raw::Node::deserialize(from)?.into()),
            Plan::List(items) => {
                return from.deserialize_map(ReadList {
                    items,
                    source: self.source,
                    out: self.out,
                });
            }
            Plan::Nothing => {
                IgnoredAny::deserialize(from)?;
                return Ok(());
            }
        };
        self.out.push(object);
        Ok(())
    }
}

fn config_map(raw: raw::ConfigMap, origin: &str) -> Result<view::ConfigMap, String> {
    let mut data = raw.data.unwrap_or_default();
    let config = data.remove(ferrolb_compat::names::CONFIG_KEY);
    let settings = data.remove(view::SETTINGS_KEY);
    for text in config.iter().chain(&settings) {
        fits(text)?;
    }
    Ok(view::ConfigMap {
        key: raw.metadata.key(CONFIG_NAMESPACE),
        uid: raw.metadata.uid(),
        config: config.map(Arc::from),
        settings: settings.map(Arc::from),
        origin: origin.to_owned(),
    })
}

/// The second pass over a list: its items, each as its kind.
struct ReadList<'a> {
    items: &'a [Plan],
    source: Source<'a>,
    out: &'a mut Vec<Object>,
}

impl<'de> Visitor<'de> for ReadList<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of Kubernetes objects")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            if key == "items" {
                map.next_value_seed(ReadItems {
                    items: self.items,
                    source: self.source,
                    out: &mut *self.out,
                })?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

struct ReadItems<'a> {
    items: &'a [Plan],
    source: Source<'a>,
    out: &'a mut Vec<Object>,
}

impl<'de> DeserializeSeed<'de> for ReadItems<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for ReadItems<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the items of a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        for plan in self.items {
            let seed = Read {
                plan,
                source: self.source,
                out: &mut *self.out,
            };
            if items.next_element_seed(seed)?.is_none() {
                break;
            }
        }
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }
}

fn yaml_fault(error: serde_yaml::Error) -> Fault {
    let place = error.location().map(|at| (at.line(), at.column()));
    Fault {
        place,
        message: without_place(&error.to_string(), place),
    }
}

fn json_fault(error: serde_json::Error) -> Fault {
    let place = (error.line() > 0).then(|| (error.line(), error.column()));
    Fault {
        place,
        message: without_place(&error.to_string(), place),
    }
}

/// The libraries append the place in words; we put it in front.
fn without_place(message: &str, place: Option<(usize, usize)>) -> String {
    place
        .and_then(|(line, column)| {
            message.strip_suffix(&format!(" at line {line} column {column}"))
        })
        .unwrap_or(message)
        .to_owned()
}

#[cfg(test)]
mod tests;
