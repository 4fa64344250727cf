//! The file that undoes a migration: JSON, one entry a line.
//!
//! Before the first change it holds what was there (the ConfigMap as it was read, each Service's annotations and addresses)
//! and what will be done. Each deed adds a line. Whoever is interrupted leaves a file that says what may have been done; a
//! line that was cut off is none.
//!
//! In: the file, and what is in the cluster now. Out: [`Undo`]s, the last deed first.
//!
//! Invariant: an object is deleted only if it is the one that was created (its uid; where the deed was not recorded any more,
//! the owner of its fields). An annotation is put back only if it still says what was set.
//!
//! The file holds passwords, as the ConfigMap does.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Kind;
use super::changes::{Annotation, Before, Change};
use super::inventory::{Inventory, Object, Service};
use crate::view::ObjectKey;

/// The form of the file that this program writes.
const FORMAT: u32 = 1;

/// A line of the file.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Entry {
    /// The first one: which cluster.
    Begin(Begin),
    /// The ConfigMap as it was read.
    ConfigMap(Value),
    /// A Service as it was.
    Service(Kept),
    /// An object is about to be applied.
    WillApply(WillApply),
    /// It was.
    Applied(Applied),
    /// An annotation is about to be set.
    WillAnnotate(WillAnnotate),
    /// Everything was done.
    Complete {},
    /// Everything was undone.
    Undone {},
}

/// Which cluster, and by whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begin {
    /// The form of the file.
    pub format: u32,
    /// Who wrote it.
    pub tool: String,
    /// When: RFC 3339.
    pub time: String,
    /// Where the API server was.
    pub server: String,
    /// The uid of the namespace `kube-system`; empty: it could not be read.
    pub cluster: String,
    /// The namespace of MetalLB.
    pub namespace: String,
    /// The release that was converted for.
    pub target: String,
    /// The owner of what was applied.
    pub field_manager: String,
}

/// A Service as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// MetalLB's annotations.
    pub annotations: BTreeMap<String, String>,
    /// Its addresses.
    pub addresses: Vec<String>,
}

/// An object that is about to be applied.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct WillApply {
    /// `kind`.
    pub kind: String,
    /// `metadata.name`.
    pub name: String,
    /// What is there before; absent: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Earlier>,
}

/// What an object was before.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Earlier {
    /// Its uid.
    pub uid: String,
    /// The object, as it can be applied again.
    pub manifest: Value,
}

/// An object that was applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// `kind`.
    pub kind: String,
    /// `metadata.name`.
    pub name: String,
    /// `metadata.uid`.
    pub uid: String,
}

/// An annotation that is about to be set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WillAnnotate {
    /// The Service's namespace.
    pub namespace: String,
    /// The Service's name.
    pub name: String,
    /// The Service's uid.
    pub uid: String,
    /// The annotation.
    pub key: String,
    /// What it says; absent: it is not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// What it will say.
    pub after: String,
}

impl Entry {
    /// The line, with its end.
    ///
    /// # Errors
    /// It cannot be written as JSON.
    pub fn line(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self).map(|line| line + "\n")
    }

    /// An object is about to be applied.
    #[must_use]
    pub fn will_apply(change: &Change) -> Self {
        Self::WillApply(WillApply {
            kind: change.kind.name.to_owned(),
            name: change.name.clone(),
            before: change
                .before
                .as_ref()
                .map(|Before { uid, manifest }| Earlier {
                    uid: uid.clone(),
                    manifest: manifest.clone(),
                }),
        })
    }

    /// An object was applied.
    #[must_use]
    pub fn applied(change: &Change, uid: &str) -> Self {
        Self::Applied(Applied {
            kind: change.kind.name.to_owned(),
            name: change.name.clone(),
            uid: uid.to_owned(),
        })
    }

    /// An annotation is about to be set.
    #[must_use]
    pub fn will_annotate(annotation: &Annotation) -> Self {
        Self::WillAnnotate(WillAnnotate {
            namespace: annotation.service.namespace().to_owned(),
            name: annotation.service.name().to_owned(),
            uid: annotation.uid.clone(),
            key: annotation.key.to_owned(),
            before: annotation.before.clone(),
            after: annotation.after.clone(),
        })
    }
}

/// The entries that a new file begins with, and what is there of the ConfigMap and the Services.
#[must_use]
pub fn beginning(
    inventory: &Inventory,
    target: &str,
    field_manager: &str,
    tool: &str,
    time: &str,
) -> Vec<Entry> {
    let begin = Entry::Begin(Begin {
        format: FORMAT,
        tool: tool.to_owned(),
        time: time.to_owned(),
        server: inventory.server.clone(),
        cluster: inventory.cluster.clone(),
        namespace: inventory.namespace.clone(),
        target: target.to_owned(),
        field_manager: field_manager.to_owned(),
    });
    let services = inventory.services.iter().map(|service| {
        Entry::Service(Kept {
            namespace: service.key.namespace().to_owned(),
            name: service.key.name().to_owned(),
            uid: service.uid.clone(),
            annotations: service.annotations.clone(),
            addresses: service.addresses.clone(),
        })
    });
    std::iter::once(begin)
        .chain(inventory.config_map.clone().map(Entry::ConfigMap))
        .chain(services)
        .collect()
}

/// Why a file is none of ours, or none for this cluster.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// It has no first line.
    #[error("it is empty, or its first line was cut off: nothing was changed when it was written")]
    Empty,
    /// A line is none.
    #[error("line {line} is not of a rollback file: {what}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        what: String,
    },
    /// A later program wrote it.
    #[error("it has the form {0}, and this program knows {FORMAT}: use the ferrolb that wrote it")]
    Format(u32),
    /// Another cluster's, or another namespace's.
    #[error("it was written for {written}, and this is {this}")]
    Elsewhere {
        /// Of the file.
        written: String,
        /// Of the cluster.
        this: String,
    },
}

/// A file, read.
#[derive(Clone, PartialEq)]
pub struct Rollback {
    /// Which cluster.
    pub begin: Begin,
    /// The Services as they were.
    pub services: Vec<Kept>,
    /// What was done, or may have been, in its order.
    deeds: Vec<Deed>,
    /// Whether the last thing that the file says is that all was done.
    pub is_complete: bool,
    /// How many octets of it are whole lines.
    pub length: usize,
}

#[derive(Clone, PartialEq)]
enum Deed {
    Object {
        will: WillApply,
        uid: Option<String>,
    },
    Annotation(WillAnnotate),
}

impl Rollback {
    /// Reads a file. What follows the last end of line was cut off and is passed over.
    ///
    /// # Errors
    /// It is none of ours.
    pub fn parse(file: &str) -> Result<Self, FileError> {
        let length = file.rfind('\n').map_or(0, |end| end + 1);
        let whole = file.get(..length).unwrap_or_default();
        let mut entries = whole.lines().enumerate().map(|(index, line)| {
            serde_json::from_str::<Entry>(line).map_err(|error| FileError::Line {
                line: index + 1,
                // The error's text may quote a value; its place and kind do not.
                what: format!("{:?} at column {}", error.classify(), error.column()),
            })
        });
        let begin = match entries.next() {
            None => return Err(FileError::Empty),
            Some(entry) => match entry? {
                Entry::Begin(begin) => begin,
                _ => {
                    return Err(FileError::Line {
                        line: 1,
                        what: "it does not begin one".to_owned(),
                    });
                }
            },
        };
        if begin.format != FORMAT {
            return Err(FileError::Format(begin.format));
        }
        let mut rollback = Self {
            begin,
            services: Vec::new(),
            deeds: Vec::new(),
            is_complete: false,
            length,
        };
        let mut applied: BTreeMap<(String, String), usize> = BTreeMap::new();
        for entry in entries {
            let entry = entry?;
            rollback.is_complete = false;
            match entry {
                Entry::Begin(_) | Entry::ConfigMap(_) => {}
                Entry::Service(kept) => rollback.services.push(kept),
                Entry::WillApply(will) => {
                    let key = (will.kind.clone(), will.name.clone());
                    // What was there before the first of several attempts is what was there.
                    applied.entry(key).or_insert_with(|| {
                        rollback.deeds.push(Deed::Object { will, uid: None });
                        rollback.deeds.len() - 1
                    });
                }
                Entry::Applied(done) => {
                    let index = applied.get(&(done.kind, done.name));
                    if let Some(Deed::Object { uid, .. }) =
                        index.and_then(|index| rollback.deeds.get_mut(*index))
                    {
                        *uid = Some(done.uid);
                    }
                }
                Entry::WillAnnotate(will) => {
                    let known = rollback.deeds.iter().any(|deed| {
                        matches!(deed, Deed::Annotation(known)
                            if known.uid == will.uid && known.key == will.key && known.after == will.after)
                    });
                    if !known {
                        rollback.deeds.push(Deed::Annotation(will));
                    }
                }
                Entry::Complete {} => rollback.is_complete = true,
                Entry::Undone {} => {
                    rollback.deeds.clear();
                    applied.clear();
                }
            }
        }
        Ok(rollback)
    }

    /// Whether the file is for this cluster and namespace.
    ///
    /// # Errors
    /// It is for another one.
    pub fn is_for(&self, inventory: &Inventory) -> Result<(), FileError> {
        let known = !self.begin.cluster.is_empty() && !inventory.cluster.is_empty();
        // Two addresses may be one cluster's: its uid says more, where it is known.
        let same = if known {
            self.begin.cluster == inventory.cluster
        } else {
            self.begin.server == inventory.server
        };
        if same && self.begin.namespace == inventory.namespace {
            return Ok(());
        }
        let shown = |server: &str, cluster: &str, namespace: &str| {
            format!("namespace {namespace} of {server} (cluster {cluster})")
        };
        Err(FileError::Elsewhere {
            written: shown(
                &self.begin.server,
                &self.begin.cluster,
                &self.begin.namespace,
            ),
            this: shown(&inventory.server, &inventory.cluster, &inventory.namespace),
        })
    }

    /// Whether there is nothing to undo.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.deeds.is_empty()
    }

    /// The kinds and names of the objects that may have to go, and the Services that may have to change.
    #[must_use]
    pub fn concerned(&self) -> (Vec<(Kind, String)>, Vec<ObjectKey>) {
        let (mut objects, mut services) = (Vec::new(), Vec::new());
        for deed in &self.deeds {
            match deed {
                Deed::Object { will, .. } => {
                    objects.extend(Kind::named(&will.kind).map(|kind| (kind, will.name.clone())));
                }
                Deed::Annotation(will) => {
                    services.push(ObjectKey::new(&will.namespace, &will.name));
                }
            }
        }
        (objects, services)
    }

    /// What is to be done so that everything is as it was.
    #[must_use]
    pub fn undo(&self, objects: &[Object], services: &[Service]) -> Vec<Undo> {
        let deeds = self.deeds.iter().rev();
        deeds
            .map(|deed| match deed {
                Deed::Object { will, uid } => {
                    let there = objects
                        .iter()
                        .find(|object| object.kind == will.kind && object.name == will.name);
                    self.undo_object(will, uid.as_deref(), there)
                }
                Deed::Annotation(will) => {
                    let there = services.iter().find(|service| {
                        service.key.namespace() == will.namespace && service.key.name() == will.name
                    });
                    undo_annotation(will, there)
                }
            })
            .collect()
    }

    fn undo_object(&self, will: &WillApply, uid: Option<&str>, there: Option<&Object>) -> Undo {
        let title = format!("{} {}", will.kind, will.name);
        let leave = |why: &str| Undo::Leave {
            what: title.clone(),
            why: why.to_owned(),
        };
        let (Some(kind), Some(there)) = (Kind::named(&will.kind), there) else {
            return leave("is not there");
        };
        let is_ours = there.managers.contains(&self.begin.field_manager);
        match (&will.before, uid) {
            _ if there.is_going => leave("is being deleted"),
            (Some(before), _) if before.uid != there.uid => leave("was made anew by somebody else"),
            (Some(before), _) => Undo::Restore {
                kind,
                name: will.name.clone(),
                manifest: before.manifest.clone(),
            },
            (None, Some(uid)) if uid != there.uid => leave("was made anew by somebody else"),
            // Interrupted between the deed and its record.
            (None, None) if !is_ours => leave("was made by somebody else"),
            (None, _) => Undo::Delete {
                kind,
                name: will.name.clone(),
                uid: there.uid.clone(),
            },
        }
    }
}

fn undo_annotation(will: &WillAnnotate, there: Option<&Service>) -> Undo {
    let title = format!("Service {}/{}, {}", will.namespace, will.name, will.key);
    let leave = |why: String| Undo::Leave {
        what: title.clone(),
        why,
    };
    let Some(there) = there.filter(|there| there.uid == will.uid) else {
        return leave("the Service is gone".to_owned());
    };
    let now = there.annotations.get(&will.key);
    if now == will.before.as_ref() {
        return leave("says what it said before".to_owned());
    }
    if now != Some(&will.after) {
        let now = now.map_or("nothing", String::as_str);
        return leave(format!("was changed since: it says {now:?}"));
    }
    Undo::Annotate {
        service: there.key.clone(),
        uid: will.uid.clone(),
        key: will.key.clone(),
        value: will.before.clone(),
    }
}

/// One step back.
#[derive(Clone, PartialEq)]
pub enum Undo {
    /// An object that was created goes.
    Delete {
        /// Its kind.
        kind: Kind,
        /// Its name.
        name: String,
        /// Its uid: another object of this name stays.
        uid: String,
    },
    /// An object that was changed says again what it said.
    Restore {
        /// Its kind.
        kind: Kind,
        /// Its name.
        name: String,
        /// What it said. It may hold a password.
        manifest: Value,
    },
    /// An annotation says again what it said.
    Annotate {
        /// The Service.
        service: ObjectKey,
        /// Its uid.
        uid: String,
        /// The annotation.
        key: String,
        /// What it said; `None`: it was not there.
        value: Option<String>,
    },
    /// Nothing is done.
    Leave {
        /// To what.
        what: String,
        /// Why not.
        why: String,
    },
}

impl std::fmt::Display for Undo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Delete { kind, name, .. } => write!(f, "delete {} {name}", kind.name),
            Self::Restore { kind, name, .. } => write!(f, "restore {} {name}", kind.name),
            Self::Annotate {
                service,
                key,
                value: Some(value),
                ..
            } => write!(f, "set {key}={value} on Service {service}"),
            Self::Annotate { service, key, .. } => {
                write!(f, "remove {key} from Service {service}")
            }
            Self::Leave { what, why } => write!(f, "leave {what}: {why}"),
        }
    }
}

impl std::fmt::Debug for Undo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}
