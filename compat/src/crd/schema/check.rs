//! A manifest, judged as an API server judges it before any webhook is asked.

use std::collections::HashMap;
use std::fmt;

use super::{GROUP, Property, Schema, Schemas};
use crate::go::duration::GoDuration;
use crate::go::quote::quote;
use crate::migrate::is_object_name;
use crate::yaml::resolve::{Meaning, Tag, resolve};
use crate::yaml::{Content, Document, NodeId, Place, Style};

/// The most faults that are kept: who has more has the wrong file.
const MAX_FAULTS: usize = 200;
/// The deepest nesting that is looked at; the schemas have seven levels.
const MAX_DEPTH: u32 = 32;

/// Why an API server refuses a manifest, or drops a part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The resource: its kind and name.
    pub resource: String,
    /// The way to the value: `spec.peerPort`.
    pub path: String,
    /// What is wrong with it.
    pub message: String,
    /// Where it stands.
    pub place: Place,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.resource)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

/// An API server.
#[derive(Debug, Clone, Copy)]
pub struct Judge<'s> {
    /// What it knows.
    pub schemas: &'s Schemas,
    /// The minor version of Kubernetes, if it is known.
    pub kubernetes: Option<u32>,
}

/// What a value is in JSON.
enum Json<'d> {
    Null,
    Bool,
    Int(i128),
    Float,
    Text(&'d str),
    List(&'d [NodeId]),
    Map,
    /// A scalar whose tag contradicts it.
    Broken,
}

impl Schemas {
    /// What an API server of a cluster with this release refuses of a document's objects (the object itself, or the items of a List).
    /// Kinds that are not MetalLB's are passed over, but for Secrets.
    #[must_use]
    pub fn check(&self, document: &Document) -> Vec<Fault> {
        let judge = Judge {
            schemas: self,
            kubernetes: None,
        };
        judge.check(document)
    }
}

impl Judge<'_> {
    /// See [`Schemas::check`].
    #[must_use]
    pub fn check(&self, document: &Document) -> Vec<Fault> {
        let mut look = Look {
            document,
            judge: *self,
            faults: Vec::new(),
            resource: String::new(),
            path: String::new(),
        };
        if let Some(root) = document.root() {
            let items = document
                .get(root, "kind")
                .and_then(|kind| document.text(kind))
                .filter(|kind| kind.ends_with("List"))
                .and_then(|_| document.get(root, "items"));
            match items.map(|items| look.json(items)) {
                Some(Json::List(items)) => {
                    for item in items {
                        look.object(*item);
                    }
                }
                _ => look.object(root),
            }
        }
        look.faults
    }
}

struct Look<'d, 's> {
    document: &'d Document,
    judge: Judge<'s>,
    faults: Vec<Fault>,
    resource: String,
    path: String,
}

impl<'d, 's> Look<'d, 's> {
    fn fault(&mut self, node: NodeId, message: impl Into<String>) {
        if self.faults.len() >= MAX_FAULTS {
            return;
        }
        let place = self
            .document
            .node(node)
            .map_or(Place::BEGIN, |node| node.place);
        self.faults.push(Fault {
            resource: self.resource.clone(),
            path: self.path.clone(),
            message: message.into(),
            place,
        });
    }

    /// A value as kubectl gives it to the server.
    fn json(&self, id: NodeId) -> Json<'d> {
        let document = self.document;
        let Some(node) = document.resolved(id) else {
            return Json::Broken;
        };
        match &node.content {
            Content::Scalar(text, style) => {
                let tag = Tag::from_long(&node.tag);
                if tag.is_none() && *style != Style::Plain {
                    return Json::Text(text);
                }
                match resolve(tag.as_ref(), text) {
                    Ok(Meaning::Null) => Json::Null,
                    Ok(Meaning::Bool(_)) => Json::Bool,
                    Ok(Meaning::Int(int)) => Json::Int(int),
                    Ok(Meaning::Float(float)) if float.fract() == 0.0 => {
                        // A whole number, however it is written; what is beyond these bounds is out of all of ours.
                        #[expect(
                            clippy::cast_possible_truncation,
                            reason = "it saturates, and the bounds are far inside"
                        )]
                        let int = float as i128;
                        Json::Int(int)
                    }
                    Ok(Meaning::Float(_)) => Json::Float,
                    Ok(Meaning::Timestamp | Meaning::Text | Meaning::Binary(_)) => Json::Text(text),
                    Err(_) => Json::Broken,
                }
            }
            Content::Sequence(items) => Json::List(items),
            Content::Mapping(_) => Json::Map,
            Content::Alias(_) => Json::Broken,
        }
    }

    /// The pairs of a mapping, those of merges included; of equal keys the last counts, as for kubectl.
    fn pairs(&self, id: NodeId) -> Vec<(&'d str, NodeId, NodeId)> {
        let mut out: Vec<(&'d str, NodeId, NodeId)> = Vec::new();
        let mut known: HashMap<&'d str, usize> = HashMap::new();
        let mut open = vec![(id, 0)];
        while let Some((id, depth)) = open.pop() {
            let Some(Content::Mapping(pairs)) = self.document.resolved(id).map(|n| &n.content)
            else {
                continue;
            };
            for (key, value) in pairs {
                match self.document.text(*key) {
                    Some("<<") if depth < MAX_DEPTH => match self.json(*value) {
                        Json::List(items) => open.extend(items.iter().map(|id| (*id, depth + 1))),
                        _ => open.push((*value, depth + 1)),
                    },
                    Some(name) => match known.get(name).and_then(|at| out.get_mut(*at)) {
                        // What is merged does not replace what is there.
                        Some(pair) if depth == 0 => *pair = (name, *key, *value),
                        Some(_) => {}
                        None => {
                            known.insert(name, out.len());
                            out.push((name, *key, *value));
                        }
                    },
                    None => {}
                }
            }
        }
        out
    }

    fn object(&mut self, root: NodeId) {
        let document = self.document;
        let text = |key: &str| {
            document
                .get(root, key)
                .and_then(|value| document.text(value))
                .unwrap_or_default()
        };
        let (version, kind) = (text("apiVersion"), text("kind"));
        let metadata = document.get(root, "metadata");
        let name = metadata.and_then(|metadata| document.get(metadata, "name"));
        let shown = name
            .and_then(|name| document.text(name))
            .unwrap_or_default();
        self.resource = if is_object_name(shown) {
            format!("{kind} {shown}")
        } else {
            format!("{kind} {}", quote(shown))
        };
        self.path.clear();
        let schemas = self.judge.schemas;
        let ours = version.starts_with(GROUP);
        let crd = schemas.find(version, kind);
        if !ours && (version, kind) != ("v1", "Secret") {
            return;
        }
        if ours && crd.is_none() {
            self.fault(
                root,
                format!("MetalLB {} has no {kind} in {version}", schemas.target),
            );
            return;
        }
        self.step("metadata.name", |look| match name {
            Some(id) => match look.json(id) {
                Json::Text(text) if is_object_name(text) => {}
                Json::Text(_) => look.fault(
                    id,
                    "must be a name: lower case letters, digits, `-` and `.`, 253 at most",
                ),
                _ => look.fault(id, "must be of type string"),
            },
            None => look.fault(root, "is required"),
        });
        let Some(crd) = crd else {
            self.secret(root);
            return;
        };
        for (name, key, _) in self.pairs(root) {
            if !matches!(name, "apiVersion" | "kind" | "metadata" | "spec" | "status") {
                self.step(name, |look| look.fault(key, "unknown field"));
            }
        }
        let spec = document.get(root, "spec");
        let spec = spec.filter(|spec| !matches!(self.json(*spec), Json::Null));
        match spec {
            Some(spec) => self.step("spec", |look| look.value(spec, &crd.spec, 0)),
            None if crd.spec_required => {
                self.step("spec", |look| look.fault(root, "is required"));
            }
            None => {}
        }
    }

    /// A Secret of a password: what the API server itself wants of it.
    fn secret(&mut self, root: NodeId) {
        let document = self.document;
        let Some(data) = document.get(root, "data") else {
            return;
        };
        for (name, _, value) in self.pairs(data) {
            self.step("data", |look| {
                look.step(name, |look| match look.json(value) {
                    Json::Text(text) if crate::yaml::resolve::base64(text).is_some() => {}
                    Json::Null => {}
                    _ => look.fault(value, "must be base64"),
                });
            });
        }
    }

    /// Looks at a part, with its name at the end of the path.
    fn step(&mut self, name: &str, look: impl FnOnce(&mut Self)) {
        let length = self.path.len();
        if !self.path.is_empty() && !name.starts_with('[') {
            self.path.push('.');
        }
        self.path.push_str(name);
        look(self);
        self.path.truncate(length);
    }

    fn value(&mut self, id: NodeId, schema: &Schema, depth: u32) {
        if depth > MAX_DEPTH {
            return;
        }
        match (schema, self.json(id)) {
            (Schema::Text, Json::Text(_)) | (Schema::Bool, Json::Bool) => {}
            (Schema::Choice(words), Json::Text(text)) => {
                if !words.contains(&text) {
                    self.fault(id, format!("must be one of {}", words.join(", ")));
                }
            }
            (Schema::Int { format, min, max }, Json::Int(int)) => {
                self.int(id, int, *format, *min, *max);
            }
            (Schema::List(item), Json::List(items)) => {
                for (index, value) in items.iter().enumerate() {
                    self.step(&format!("[{index}]"), |look| {
                        look.value(*value, item, depth + 1);
                    });
                }
            }
            (Schema::Texts, Json::Map) => {
                for (name, _, value) in self.pairs(id) {
                    self.step(name, |look| look.value(value, &Schema::Text, depth + 1));
                }
            }
            (Schema::Object { fields, .. }, Json::Map) => self.fields(id, fields, depth),
            (schema, _) => {
                self.fault(id, format!("must be of type {}", schema.type_name()));
            }
        }
    }

    fn fields(&mut self, id: NodeId, fields: &[Property], depth: u32) {
        let pairs = self.pairs(id);
        for (name, key, value) in &pairs {
            let field = fields.iter().find(|field| field.name == *name);
            let Some(field) = field else {
                let target = self.judge.schemas.target;
                self.step(name, |look| {
                    look.fault(*key, format!("unknown field in MetalLB {target}"));
                });
                continue;
            };
            // A null is as good as nothing, and a default takes its place.
            if matches!(self.json(*value), Json::Null) {
                continue;
            }
            self.step(name, |look| {
                look.value(*value, &field.schema, depth + 1);
                look.rules(*value, field);
            });
        }
        for field in fields.iter().filter(|field| field.required) {
            let there = pairs
                .iter()
                .any(|(name, _, value)| *name == field.name && !self.is_null(*value));
            if !there {
                self.step(field.name, |look| look.fault(id, "is required"));
            }
        }
    }

    fn is_null(&self, id: NodeId) -> bool {
        matches!(self.json(id), Json::Null)
    }

    fn int(
        &mut self,
        id: NodeId,
        int: i128,
        format: Option<&str>,
        min: Option<i64>,
        max: Option<i64>,
    ) {
        if let Some(min) = min.filter(|min| int < i128::from(*min)) {
            self.fault(id, format!("must be greater than or equal to {min}"));
        }
        if let Some(max) = max.filter(|max| int > i128::from(*max)) {
            self.fault(id, format!("must be less than or equal to {max}"));
        }
        // From Kubernetes 1.36 on a bound that the format cannot hold refuses every value.
        let narrow = format == Some("int32") && max.is_some_and(|max| max > i64::from(i32::MAX));
        if narrow && self.judge.kubernetes.is_some_and(|minor| minor >= 36) {
            self.fault(
                id,
                "Kubernetes 1.36 and later refuse it: the schema's maximum is no int32",
            );
        }
    }

    fn rules(&mut self, id: NodeId, field: &Property) {
        let Json::Text(text) = self.json(id) else {
            return;
        };
        for rule in field.rules {
            let holds = if rule.rule.starts_with("duration(self)") {
                GoDuration::parse(text).is_ok_and(|time| {
                    let whole = time.0.checked_rem(1_000_000_000) == Some(0);
                    if rule.rule.contains("getMilliseconds") {
                        whole
                    } else {
                        (1..=65535).contains(&time.whole_seconds())
                    }
                })
            } else {
                // It compares with what was there before.
                true
            };
            if !holds {
                self.fault(id, rule.message);
            }
        }
    }
}
