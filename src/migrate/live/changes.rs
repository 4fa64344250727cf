//! What applying would change in a cluster, in its order, and what stands against it.
//!
//! In: what was read, and what was converted. Out: [`Changes`]; they are made only if nothing stands against them.
//!
//! Invariant: an object that somebody else made is never changed. A pool comes before what announces it, a session last.

use std::collections::{BTreeMap, BTreeSet};

use ferrolb_compat::crd::{Dress, Resource, Spec};
use ferrolb_compat::go::ip::{parse_cidr, parse_ip};
use ferrolb_compat::migrate::Release;
use ferrolb_compat::names::ANNOTATION_ADDRESS_POOL;
use ferrolb_compat::yaml::emit;
use serde_json::{Map, Value, json};

use super::inventory::{Inventory, Object, Role};
use super::services::{ANNOTATION_NEW_ADDRESS_POOL, How, Remedy, Touched};
use super::{Kind, list, text};
use crate::config::Config;
use crate::ip::range::bits_of;
use crate::view::ObjectKey;

/// What there is to change.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Changes {
    /// Objects, in the order in which they are applied.
    pub objects: Vec<Change>,
    /// Annotations of Services, which come after them.
    pub annotations: Vec<Annotation>,
    /// Objects that are there and say what they should.
    pub unchanged: usize,
    /// What stands against it.
    pub hindrances: Vec<Hindrance>,
}

/// An object to apply.
#[derive(Clone, PartialEq)]
pub struct Change {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// The whole object, as it is sent. It may hold a password.
    pub manifest: Value,
    /// What is there now.
    pub before: Option<Before>,
}

/// Shown without what may be a password.
impl std::fmt::Debug for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let what = if self.before.is_some() {
            "update"
        } else {
            "create"
        };
        write!(f, "{what} {} {}", self.kind.name, self.name)
    }
}

/// An object of ours that says something else.
#[derive(Clone, PartialEq)]
pub struct Before {
    /// Its uid.
    pub uid: String,
    /// What it says: the whole object without what the server adds.
    pub manifest: Value,
}

/// An annotation of a Service to set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotation {
    /// The Service.
    pub service: ObjectKey,
    /// Its uid.
    pub uid: String,
    /// Which annotation.
    pub key: &'static str,
    /// What it says; `None`: it is not there.
    pub before: Option<String>,
    /// What it should say.
    pub after: String,
}

/// A reason not to apply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hindrance {
    /// Its code.
    pub code: &'static str,
    /// What is in the way.
    pub what: String,
    /// What to do.
    pub help: String,
    /// Whether `--allow` with its code lets it be.
    pub is_allowable: bool,
    /// Whether it is for the cluster's state, and not for what would be applied.
    pub is_state: bool,
}

/// What is wanted of a cluster.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'w> {
    /// What 0.12 runs.
    pub config: &'w Config,
    /// The resources, in their order.
    pub resources: &'w [Resource],
    /// The Services that are touched.
    pub touched: &'w [Touched],
    /// The release that will read them.
    pub target: Release,
    /// The owner's name on the server.
    pub field_manager: &'w str,
    /// Codes of hindrances that are let be.
    pub allow: &'w BTreeSet<String>,
}

/// What applying would change.
#[must_use]
pub fn changes(inventory: &Inventory, wanted: &Wanted<'_>) -> Changes {
    let mut changes = Changes::default();
    for resource in wanted.resources {
        changes.resource(inventory, wanted, resource);
    }
    changes.annotations = annotations(wanted.touched);
    changes.undefined(inventory);
    changes.foreign(inventory, wanted);
    changes.programs(inventory, wanted);
    changes
        .hindrances
        .retain(|hindrance| !(hindrance.is_allowable && wanted.allow.contains(hindrance.code)));
    changes
}

impl Changes {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty() && self.annotations.is_empty()
    }

    fn against(&mut self, code: &'static str, what: String, help: impl Into<String>) {
        self.hindrances.push(Hindrance {
            code,
            what,
            help: help.into(),
            is_allowable: false,
            is_state: false,
        });
    }

    /// One resource against what is there under its name.
    fn resource(&mut self, inventory: &Inventory, wanted: &Wanted<'_>, resource: &Resource) {
        let Some(kind) = Kind::named(resource.spec.kind()) else {
            return;
        };
        let manifest = manifest(resource, &inventory.namespace);
        let there = inventory
            .objects
            .iter()
            .find(|object| object.kind == kind.name && object.name == resource.name);
        let title = format!("{} {}", kind.name, resource.name);
        let before = match there {
            None => None,
            Some(there) if there.is_going => {
                let help = "wait until it is gone, then try again";
                return self.against("MIG040", format!("{title} is being deleted"), help);
            }
            Some(there) if says_the_same(kind, &there.json, &manifest) => {
                self.unchanged += 1;
                return;
            }
            Some(there) if there.managers.contains(wanted.field_manager) => Some(Before {
                uid: there.uid.clone(),
                manifest: bare(kind, &there.json),
            }),
            Some(_) => {
                let what =
                    format!("{title} exists, was made by somebody else and says something else");
                let help =
                    "compare them with `ferrolb migrate diff`; delete it, or give it another name";
                return self.against("MIG040", what, help);
            }
        };
        self.objects.push(Change {
            kind,
            name: resource.name.clone(),
            manifest,
            before,
        });
    }

    /// Kinds and fields that the server does not know.
    fn undefined(&mut self, inventory: &Inventory) {
        let mut missing = BTreeSet::new();
        let mut fields = BTreeSet::new();
        for change in &self.objects {
            if !inventory.serves(change.kind) {
                missing.insert(format!(
                    "{}.{} ({})",
                    change.kind.plural, change.kind.group, change.kind.version
                ));
                continue;
            }
            let served = inventory
                .served
                .iter()
                .find(|served| served.kind == change.kind.name);
            let spec = change.manifest.get("spec").and_then(Value::as_object);
            if let (Some(known), Some(spec)) = (served.and_then(|s| s.fields.as_ref()), spec) {
                let unknown = spec.keys().filter(|field| !known.contains(*field));
                fields.extend(unknown.map(|field| format!("{} spec.{field}", change.kind.name)));
            }
        }
        let join = |set: BTreeSet<String>| set.into_iter().collect::<Vec<_>>().join(", ");
        if !missing.is_empty() {
            self.hindrances.push(Hindrance {
                code: "MIG051",
                what: format!("the server does not know {}", join(missing)),
                help: "install the custom resource definitions of the target, and no controller of it yet; \
                       --wait waits for definitions that were installed a moment ago"
                    .to_owned(),
                is_allowable: false,
                is_state: true,
            });
        }
        if !fields.is_empty() {
            let of = inventory
                .vintage()
                .map_or(String::new(), |vintage| format!(" (they are of {vintage})"));
            self.hindrances.push(Hindrance {
                code: "MIG051",
                what: format!(
                    "the installed custom resource definitions{of} have not: {}",
                    join(fields)
                ),
                help: "install the definitions of the target, or convert for the release that they are of"
                    .to_owned(),
                is_allowable: false,
                is_state: true,
            });
        }
    }

    /// Objects that nobody asked for, and that would change what is announced.
    fn foreign(&mut self, inventory: &Inventory, wanted: &Wanted<'_>) {
        let ours: BTreeSet<(&str, &str)> = wanted
            .resources
            .iter()
            .map(|resource| (resource.spec.kind(), resource.name.as_str()))
            .collect();
        let pools: BTreeSet<&str> = wanted
            .resources
            .iter()
            .filter(|resource| matches!(resource.spec, Spec::Pool(_)))
            .map(|resource| resource.name.as_str())
            .collect();
        for object in &inventory.objects {
            let is_ours = ours.contains(&(object.kind.as_str(), object.name.as_str()));
            if is_ours || object.kind == "Secret" {
                continue;
            }
            let what = if object.managers.contains(wanted.field_manager) {
                Some((
                    "was applied earlier, and is no longer of the configuration".to_owned(),
                    "roll that back with its rollback file, or delete the object",
                ))
            } else {
                foreign(object, wanted, &pools)
            };
            if let Some((what, help)) = what {
                self.hindrances.push(Hindrance {
                    code: "MIG040",
                    what: format!(
                        "{} {}, which is there already, {what}",
                        object.kind, object.name
                    ),
                    help: help.to_owned(),
                    is_allowable: true,
                    is_state: false,
                });
            }
        }
    }

    /// Programs that must not run meanwhile.
    fn programs(&mut self, inventory: &Inventory, wanted: &Wanted<'_>) {
        let namespace = &inventory.namespace;
        let touches = |kind: Kind| {
            matches!(
                kind.name,
                "IPAddressPool" | "BGPAdvertisement" | "L2Advertisement"
            )
        };
        // L1, L2: it would take from each Service whose pool it has not seen yet.
        if let Some((program, release)) = inventory.successor()
            && self.objects.iter().any(|change| touches(change.kind))
        {
            let (workload, role) = (&program.workload, program.role.as_str());
            self.hindrances.push(Hindrance {
                code: "MIG050",
                what: format!(
                    "the {role} of MetalLB {release} runs already ({workload}): while the resources come one by one it \
                     takes the address of every Service whose pool it has not seen"
                ),
                help: match program.role {
                    Role::Controller => format!(
                        "stop it first: kubectl scale -n {namespace} {workload} --replicas=0"
                    ),
                    Role::Speaker => format!("put the ConfigMap's speaker back first, or delete {workload}"),
                },
                is_allowable: true,
                is_state: true,
            });
        }
        let replaced: Vec<&Annotation> = self
            .annotations
            .iter()
            .filter(|annotation| annotation.key == ANNOTATION_ADDRESS_POOL)
            .collect();
        if let (Some(first), Some(controller)) =
            (replaced.first(), inventory.running(Role::Controller).next())
        {
            let workload = &controller.workload;
            let (what, help) = (
                format!(
                    "Services that ask for a renamed pool: {} (the first is {}); MetalLB {} reads no other annotation than \
                     0.12, and a controller runs ({workload}): it would take their addresses",
                    replaced.len(),
                    first.service,
                    wanted.target
                ),
                format!(
                    "stop it while the annotations change, the speakers go on announcing: kubectl scale -n {namespace} \
                     {workload} --replicas=0; or convert for 0.14.9 or later; or rename the pools in \
                     the ConfigMap first, together with the annotations, while 0.12 runs"
                ),
            );
            self.hindrances.push(Hindrance {
                code: "MIG014",
                what,
                help,
                is_allowable: false,
                is_state: true,
            });
        }
    }
}

/// The annotations that help.
fn annotations(touched: &[Touched]) -> Vec<Annotation> {
    let remedies = touched.iter().filter_map(|touched| match &touched.how {
        How::Renamed { from, to, remedy } => Some((touched, from, to, *remedy)),
        How::Contradicted { .. }
        | How::Unknown { .. }
        | How::Lost { .. }
        | How::Disagreeing { .. } => None,
    });
    remedies
        .filter_map(|(touched, from, to, remedy)| {
            let (key, before) = match remedy {
                Remedy::Add => (ANNOTATION_NEW_ADDRESS_POOL, None),
                Remedy::Replace => (ANNOTATION_ADDRESS_POOL, Some(from.clone())),
                Remedy::Done => return None,
            };
            Some(Annotation {
                service: touched.key.clone(),
                uid: touched.uid.clone(),
                key,
                before,
                after: to.clone(),
            })
        })
        .collect()
}

/// What a foreign object would change; `None`: nothing.
fn foreign(
    object: &Object,
    wanted: &Wanted<'_>,
    pools: &BTreeSet<&str>,
) -> Option<(String, &'static str)> {
    let help = "delete it, or see that it does no harm and say --allow MIG040";
    match object.kind.as_str() {
        "IPAddressPool" | "AddressPool" => {
            let lines = list(&object.json, "/spec/addresses");
            let ranges: Vec<(u128, u128)> = lines
                .iter()
                .filter_map(Value::as_str)
                .filter_map(ends)
                .collect();
            let overlapped = wanted.config.pools.iter().find(|pool| {
                pool.cidrs.iter().any(|cidr| {
                    let (first, last) = (bits_of(cidr.network()), bits_of(cidr.broadcast()));
                    ranges
                        .iter()
                        .any(|(from, to)| *from <= last && first <= *to)
                })
            })?;
            Some((
                format!("overlaps the pool {:?}", overlapped.name),
                "delete it, or take the common addresses out of one of them",
            ))
        }
        "L2Advertisement" | "BGPAdvertisement" => {
            let named = list(&object.json, "/spec/ipAddressPools");
            let selectors = list(&object.json, "/spec/ipAddressPoolSelectors");
            if named.is_empty() && selectors.is_empty() {
                return Some((
                    "names no pool and would announce all of them".to_owned(),
                    help,
                ));
            }
            let ours = named
                .iter()
                .filter_map(Value::as_str)
                .find(|name| pools.contains(name));
            if let Some(pool) = ours {
                return Some((format!("would announce the pool {pool}, too"), help));
            }
            // Our pools have no labels: only what matches the absence of some could mean them.
            let absent = |selector: &Value| {
                let labels = selector.get("matchLabels").and_then(Value::as_object);
                labels.is_none_or(Map::is_empty)
                    && list(selector, "/matchExpressions")
                        .iter()
                        .all(|expression| {
                            matches!(text(expression, "/operator"), "NotIn" | "DoesNotExist")
                        })
            };
            selectors.iter().any(absent).then(|| {
                (
                    "selects pools without labels, as those of this configuration are".to_owned(),
                    help,
                )
            })
        }
        "BGPPeer" => Some((
            format!(
                "is a session to {} that 0.12 has not: all routes would go there",
                text(&object.json, "/spec/peerAddress")
            ),
            help,
        )),
        "Community" => {
            let taken: BTreeSet<&str> = wanted
                .resources
                .iter()
                .filter_map(|resource| match &resource.spec {
                    Spec::Community(aliases) => Some(aliases),
                    _ => None,
                })
                .flatten()
                .map(|(name, _)| name.as_str())
                .collect();
            let aliases = list(&object.json, "/spec/communities");
            let twice = aliases
                .iter()
                .map(|alias| text(alias, "/name"))
                .find(|name| taken.contains(name))?;
            Some((
                format!("defines the community {twice:?}, too, which every release refuses"),
                "delete it, or take the name out of one of them",
            ))
        }
        _ => None,
    }
}

/// The first and the last address of a line of a pool; `None`: it is none.
fn ends(line: &str) -> Option<(u128, u128)> {
    if let Some(cidr) = parse_cidr(line) {
        let net = ipnet::IpNet::new(cidr.network, cidr.prefix_len).ok()?;
        return Some((bits_of(net.network()), bits_of(net.broadcast())));
    }
    let (first, last) = line.split_once('-')?;
    let ends = (parse_ip(first.trim())?, parse_ip(last.trim())?);
    Some((bits_of(ends.0), bits_of(ends.1)))
}

/// An object as it is sent.
#[must_use]
pub fn manifest(resource: &Resource, namespace: &str) -> Value {
    of_emitted(&resource.manifest(namespace, Dress::default()))
}

/// From the emitter's values to JSON's.
fn of_emitted(value: &emit::Value) -> Value {
    match value {
        emit::Value::Null => Value::Null,
        emit::Value::Bool(truth) => json!(truth),
        emit::Value::Int(number) => json!(number),
        emit::Value::Text(text) => json!(text),
        emit::Value::List(items) => items.iter().map(of_emitted).collect(),
        emit::Value::Map(pairs) => Value::Object(
            pairs
                .iter()
                .map(|(key, value)| (key.clone(), of_emitted(value)))
                .collect(),
        ),
    }
}

/// The part of an object that says something: `spec`, or a Secret's `type` and `data`.
fn said(kind: Kind, object: &Value) -> BTreeMap<String, Value> {
    let fields: &[&str] = if kind == Kind::SECRET {
        &["type", "data"]
    } else {
        &["spec"]
    };
    let mut said = BTreeMap::new();
    for field in fields {
        match object.get(*field) {
            Some(Value::Object(map)) => {
                let meant = map
                    .iter()
                    .filter(|(key, value)| !is_default(kind, key, value));
                said.extend(meant.map(|(key, value)| (format!("{field}.{key}"), value.clone())));
            }
            Some(value) => {
                said.insert((*field).to_owned(), value.clone());
            }
            None => {}
        }
    }
    said
}

/// Whether a value is what the server, or the release that reads it, takes for an absent one.
fn is_default(kind: Kind, field: &str, value: &Value) -> bool {
    let empty = match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(true) | Value::Number(_) => false,
    };
    match (kind.name, field) {
        // Here false says something.
        ("IPAddressPool", "autoAssign") => value == &json!(true),
        ("BGPPeer", "peerPort") => value == &json!(179),
        ("BGPAdvertisement", "aggregationLength") => value == &json!(32),
        ("BGPAdvertisement", "aggregationLengthV6") => value == &json!(128),
        ("BGPAdvertisement", "localPref") => value == &json!(0),
        _ => empty,
    }
}

/// Whether two objects of a kind say the same.
#[must_use]
pub fn says_the_same(kind: Kind, one: &Value, other: &Value) -> bool {
    said(kind, one) == said(kind, other)
}

/// Where two objects of a kind differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// `spec.addresses`.
    pub field: String,
    /// What the cluster's says; `None`: nothing.
    pub there: Option<String>,
    /// What the converted one says.
    pub converted: Option<String>,
}

/// The fields in which an object of the cluster differs from the converted one; passwords are not told.
#[must_use]
pub fn differences(kind: Kind, there: &Value, converted: &Value) -> Vec<Difference> {
    let (one, other) = (said(kind, there), said(kind, converted));
    let fields: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    let shown = |field: &str, value: &Value| {
        if kind == Kind::SECRET || field == "spec.password" {
            "(not shown)".to_owned()
        } else {
            value.to_string()
        }
    };
    fields
        .into_iter()
        .filter(|field| one.get(*field) != other.get(*field))
        .map(|field| Difference {
            field: field.clone(),
            there: one.get(field).map(|value| shown(field, value)),
            converted: other.get(field).map(|value| shown(field, value)),
        })
        .collect()
}

/// An object without what the server adds, so that it can be applied again.
fn bare(kind: Kind, object: &Value) -> Value {
    let mut metadata = Map::new();
    for field in ["name", "namespace", "annotations", "labels"] {
        if let Some(value) = object.pointer(&format!("/metadata/{field}")) {
            metadata.insert(field.to_owned(), value.clone());
        }
    }
    let mut bare = json!({
        "apiVersion": kind.api_version(),
        "kind": kind.name,
        "metadata": metadata,
    });
    for field in ["spec", "type", "data"] {
        if let Some(value) = object.get(field) {
            bare[field] = value.clone();
        }
    }
    bare
}
