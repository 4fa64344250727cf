//! What is remembered of what was told, so that only changes are told.
//!
//! Pure. A [`Store`] is fed by a watch: [`Store::begin`], the objects of a list, [`Store::complete`], then changes and
//! deletions. It answers with [`Change`]s. What a new list does not contain any more is reported as gone on `complete`,
//! not before, so that a list that breaks off half-way does no harm.
//!
//! Of most objects only a digest is kept. Of endpoints the addresses are kept (shared with the consumer), because the
//! slices of a Service are told as one.

use std::collections::{BTreeMap, HashMap};
use std::fmt::{Debug, Write as _};
use std::hash::{DefaultHasher, Hasher as _};
use std::sync::{Arc, Mutex, PoisonError};

use super::Services;
use super::convert::{self, Interner, Object};
use super::raw::{Raw, RawCache};
use crate::cluster::Change;
use crate::view::{self, ObjectKey};

/// Turns objects into changes.
pub(super) trait Store: Send + 'static {
    /// What it is fed with.
    type Object: Object;

    /// A list begins.
    fn begin(&mut self);

    /// An object is there, in this state.
    fn apply(&mut self, object: Self::Object, raw: &Raw<'_>, changes: &mut Vec<Change>);

    /// An object is gone; this was its last state.
    fn delete(&mut self, object: Self::Object, changes: &mut Vec<Change>);

    /// The list is complete.
    fn complete(&mut self, changes: &mut Vec<Change>);
}

/// Feeds what is written into a hash.
struct Digest(DefaultHasher);

impl std::fmt::Write for Digest {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}

/// A digest of all fields.
fn digest(value: &impl Debug) -> u64 {
    let mut digest = Digest(DefaultHasher::new());
    // `Debug` of plain data into a hasher cannot fail.
    let _ = write!(digest, "{value:?}");
    digest.0.finish()
}

/// What was told of one object, and in which list it was last seen.
struct Seen {
    digest: u64,
    list: u32,
}

/// The objects that were told, by digest.
#[derive(Default)]
struct Known {
    objects: HashMap<ObjectKey, Seen>,
    list: u32,
}

impl Known {
    fn begin(&mut self) {
        self.list = self.list.wrapping_add(1);
    }

    /// Whether this state is new.
    fn apply(&mut self, key: &ObjectKey, digest: u64) -> bool {
        let list = self.list;
        match self.objects.get_mut(key) {
            Some(seen) => {
                seen.list = list;
                std::mem::replace(&mut seen.digest, digest) != digest
            }
            None => {
                self.objects.insert(key.clone(), Seen { digest, list });
                true
            }
        }
    }

    fn delete(&mut self, key: &ObjectKey) -> bool {
        self.objects.remove(key).is_some()
    }

    /// What the list did not contain any more.
    fn complete(&mut self) -> Vec<ObjectKey> {
        let list = self.list;
        let mut gone: Vec<_> = self
            .objects
            .extract_if(|_, seen| seen.list != list)
            .map(|(key, _)| key)
            .collect();
        gone.sort();
        self.objects.shrink_to_fit();
        gone
    }
}

/// Services.
pub(super) struct ServiceStore {
    how_much: Services,
    known: Known,
    words: Interner,
    /// Whole objects for the writer, where statuses are written.
    raws: Option<Arc<Mutex<RawCache>>>,
}

impl ServiceStore {
    pub(super) fn new(how_much: Services, raws: Option<Arc<Mutex<RawCache>>>) -> Self {
        Self {
            how_much,
            known: Known::default(),
            words: Interner::default(),
            raws,
        }
    }

    fn forget(&self, key: &ObjectKey) {
        if let Some(raws) = &self.raws {
            raws.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .remove(key);
        }
    }
}

impl Store for ServiceStore {
    type Object = convert::Service;

    fn begin(&mut self) {
        self.known.begin();
    }

    fn apply(&mut self, object: convert::Service, raw: &Raw<'_>, changes: &mut Vec<Change>) {
        let Some(key) = object.key() else { return };
        let service = object.into_view(key, self.how_much, &mut self.words);
        let state = match self.how_much {
            // Every version is told, and a version says it all.
            Services::Full => digest(&(&service.uid, &service.resource_version)),
            Services::Trimmed => digest(&service),
        };
        if !self.known.apply(&service.key, state) {
            return;
        }
        if let Some(raws) = &self.raws {
            let mut raws = raws.lock().unwrap_or_else(PoisonError::into_inner);
            // A Service that is about to be given an address, or to lose the one that it may not have.
            if service.is_load_balancer == service.ingress.is_empty() {
                raws.insert(&service.key, &service.resource_version, raw);
            } else {
                raws.remove(&service.key);
            }
        }
        changes.push(Change::Service(Box::new(service)));
    }

    fn delete(&mut self, object: convert::Service, changes: &mut Vec<Change>) {
        let Some(key) = object.key() else { return };
        self.forget(&key);
        if self.known.delete(&key) {
            changes.push(Change::ServiceGone(key));
        }
    }

    fn complete(&mut self, changes: &mut Vec<Change>) {
        for key in self.known.complete() {
            self.forget(&key);
            changes.push(Change::ServiceGone(key));
        }
    }
}

/// Nodes.
#[derive(Default)]
pub(super) struct NodeStore {
    known: Known,
}

impl Store for NodeStore {
    type Object = convert::Node;

    fn begin(&mut self) {
        self.known.begin();
    }

    fn apply(&mut self, object: convert::Node, _: &Raw<'_>, changes: &mut Vec<Change>) {
        let Some(key) = object.key() else { return };
        // Heartbeats change the object, not the view.
        let node = object.into_view();
        if self.known.apply(&key, digest(&node)) {
            changes.push(Change::Node(node));
        }
    }

    fn delete(&mut self, object: convert::Node, changes: &mut Vec<Change>) {
        let Some(key) = object.key() else { return };
        if self.known.delete(&key) {
            changes.push(Change::NodeGone(key.name().into()));
        }
    }

    fn complete(&mut self, changes: &mut Vec<Change>) {
        for key in self.known.complete() {
            changes.push(Change::NodeGone(key.name().into()));
        }
    }
}

/// The ConfigMap.
pub(super) struct ConfigMapStore {
    key: ObjectKey,
    known: Known,
    told: bool,
}

impl ConfigMapStore {
    pub(super) fn new(key: ObjectKey) -> Self {
        Self {
            key,
            known: Known::default(),
            told: false,
        }
    }
}

impl Store for ConfigMapStore {
    type Object = convert::ConfigMap;

    fn begin(&mut self) {
        self.known.begin();
    }

    fn apply(&mut self, object: convert::ConfigMap, _: &Raw<'_>, changes: &mut Vec<Change>) {
        // The server selects by name; a proxy that does not must not give us another's configuration.
        let Some(key) = object.key().filter(|key| *key == self.key) else {
            return;
        };
        let config_map = object.into_view(key);
        self.told = true;
        if self.known.apply(&config_map.key, digest(&config_map)) {
            changes.push(Change::ConfigMap(config_map));
        }
    }

    fn delete(&mut self, object: convert::ConfigMap, changes: &mut Vec<Change>) {
        if object.key().is_some_and(|key| self.known.delete(&key)) {
            changes.push(Change::ConfigMapGone);
        }
    }

    fn complete(&mut self, changes: &mut Vec<Change>) {
        let gone = !self.known.complete().is_empty();
        // A first list without it is news as well.
        if gone || !std::mem::replace(&mut self.told, true) {
            changes.push(Change::ConfigMapGone);
        }
    }
}

/// The endpoints of one Service, by slice; an Endpoints object is a single slice without a name.
#[derive(Default)]
struct Parts {
    parts: BTreeMap<Box<str>, Part>,
    /// Of what was told last; `None`: nothing was.
    told: Option<u64>,
}

struct Part {
    endpoints: Vec<view::Endpoint>,
    list: u32,
}

/// Endpoints of Services, whichever kind of object they come from.
#[derive(Default)]
pub(super) struct EndpointsStore {
    services: HashMap<ObjectKey, Parts>,
    nodes: Interner,
    list: u32,
}

impl EndpointsStore {
    fn apply(
        &mut self,
        service: ObjectKey,
        part: &str,
        endpoints: Vec<view::Endpoint>,
        changes: &mut Vec<Change>,
    ) {
        let list = self.list;
        let parts = self.services.entry(service.clone()).or_default();
        parts.parts.insert(part.into(), Part { endpoints, list });
        Self::tell(service, parts, changes);
    }

    fn delete(&mut self, service: ObjectKey, part: &str, changes: &mut Vec<Change>) {
        let Some(parts) = self.services.get_mut(&service) else {
            return;
        };
        parts.parts.remove(part);
        if parts.parts.is_empty() {
            self.services.remove(&service);
            changes.push(Change::EndpointsGone(service));
        } else {
            Self::tell(service, parts, changes);
        }
    }

    fn tell(service: ObjectKey, parts: &mut Parts, changes: &mut Vec<Change>) {
        let slices = parts.parts.values();
        let merged = view::Endpoints {
            service,
            endpoints: slices
                .flat_map(|part| part.endpoints.iter().cloned())
                .collect(),
        };
        let digest = digest(&merged.endpoints);
        if parts.told.replace(digest) != Some(digest) {
            changes.push(Change::Endpoints(merged));
        }
    }

    fn complete(&mut self, changes: &mut Vec<Change>) {
        let list = self.list;
        let stale = |parts: &Parts| parts.parts.values().any(|part| part.list != list);
        let services = self.services.iter();
        let mut affected: Vec<ObjectKey> = services
            .filter(|(_, parts)| stale(parts))
            .map(|(key, _)| key.clone())
            .collect();
        affected.sort();
        for service in affected {
            let Some(parts) = self.services.get_mut(&service) else {
                continue;
            };
            parts.parts.retain(|_, part| part.list == list);
            if parts.parts.is_empty() {
                self.services.remove(&service);
                changes.push(Change::EndpointsGone(service));
            } else {
                Self::tell(service, parts, changes);
            }
        }
        self.services.shrink_to_fit();
    }
}

/// [`EndpointsStore`] fed by Endpoints.
#[derive(Default)]
pub(super) struct FromEndpoints(pub(super) EndpointsStore);

impl Store for FromEndpoints {
    type Object = convert::Endpoints;

    fn begin(&mut self) {
        self.0.list = self.0.list.wrapping_add(1);
    }

    fn apply(&mut self, object: convert::Endpoints, _: &Raw<'_>, changes: &mut Vec<Change>) {
        let Some(key) = object.key() else { return };
        let endpoints = object.into_endpoints(&mut self.0.nodes);
        self.0.apply(key, "", endpoints, changes);
    }

    fn delete(&mut self, object: convert::Endpoints, changes: &mut Vec<Change>) {
        if let Some(key) = object.key() {
            self.0.delete(key, "", changes);
        }
    }

    fn complete(&mut self, changes: &mut Vec<Change>) {
        self.0.complete(changes);
    }
}

/// [`EndpointsStore`] fed by EndpointSlices.
#[derive(Default)]
pub(super) struct FromSlices(pub(super) EndpointsStore);

impl Store for FromSlices {
    type Object = convert::EndpointSlice;

    fn begin(&mut self) {
        self.0.list = self.0.list.wrapping_add(1);
    }

    fn apply(&mut self, object: convert::EndpointSlice, _: &Raw<'_>, changes: &mut Vec<Change>) {
        let (Some(key), Some(service)) = (object.key(), object.service()) else {
            return;
        };
        let endpoints = object.into_endpoints(&mut self.0.nodes);
        self.0.apply(service, key.name(), endpoints, changes);
    }

    fn delete(&mut self, object: convert::EndpointSlice, changes: &mut Vec<Change>) {
        if let (Some(key), Some(service)) = (object.key(), object.service()) {
            self.0.delete(service, key.name(), changes);
        }
    }

    fn complete(&mut self, changes: &mut Vec<Change>) {
        self.0.complete(changes);
    }
}

#[cfg(test)]
mod tests;
