//! What the manifests say, as one set of objects, and how it changes.
//!
//! Pure: files' objects in, [`Change`]s out. An object that several files have is the first file's, in the order of
//! names. The ingress addresses of a Service are not its manifest's: they are kept here, are changed by status writes,
//! and outlive the process in the state file.

use std::borrow::Cow;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use crate::cluster::{Change, WriteError};
use crate::view::{self, ObjectKey};

use super::manifest::Object;

/// The objects of a folder.
#[derive(Debug, Default)]
pub(crate) struct World {
    config: Option<Owned<view::ConfigMap>>,
    services: BTreeMap<ObjectKey, Owned<view::Service>>,
    endpoints: BTreeMap<ObjectKey, view::Endpoints>,
    nodes: BTreeMap<Arc<str>, view::Node>,
    /// Addresses of Services that were held before the start and have not been seen since.
    held: BTreeMap<ObjectKey, Vec<String>>,
    /// The last resource version that was given away.
    version: u64,
}

/// An object and the file that it is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owned<T> {
    /// The file's name.
    pub(crate) file: Arc<str>,
    /// The object.
    pub(crate) object: T,
}

/// An object that more than one file has.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Duplicate {
    /// `Service "default/web"`.
    pub(crate) object: String,
    /// The file whose object counts.
    pub(crate) first: Arc<str>,
    /// The file whose object does not.
    pub(crate) also: Arc<str>,
}

impl fmt::Display for Duplicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.also {
            write!(
                f,
                "{} is twice in {}: its first manifest counts",
                self.object, self.first
            )
        } else {
            write!(
                f,
                "{} is in {} and in {}: the one in {} counts",
                self.object, self.first, self.also, self.first
            )
        }
    }
}

/// What [`World::replace`] found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Difference {
    /// What to tell, in an order that is safe to act on: what is gone first.
    pub(crate) changes: Vec<Change>,
    /// Objects that more than one file has.
    pub(crate) duplicates: BTreeSet<Duplicate>,
}

impl World {
    /// A world that remembers the addresses that were held before.
    pub(crate) fn new(held: BTreeMap<ObjectKey, Vec<String>>) -> Self {
        Self {
            held,
            ..Self::default()
        }
    }

    /// The configuration.
    pub(crate) fn config(&self) -> Option<&Owned<view::ConfigMap>> {
        self.config.as_ref()
    }

    /// The Services.
    pub(crate) fn services(&self) -> impl Iterator<Item = &Owned<view::Service>> {
        self.services.values()
    }

    /// Forgets the addresses of Services that no file has: all files have been read.
    pub(crate) fn forget_unclaimed(&mut self) -> Vec<(ObjectKey, Vec<String>)> {
        std::mem::take(&mut self.held).into_iter().collect()
    }

    /// Takes all files' objects, in the order of the files' names, and tells what that changes. `host` is this host's
    /// Node where no manifest has it.
    pub(crate) fn replace<'a>(
        &mut self,
        files: impl Iterator<Item = (&'a str, &'a Arc<Vec<Object>>)>,
        host: Option<&view::Node>,
    ) -> Difference {
        let mut merged = Merged::default();
        for (file, objects) in files {
            let file: Arc<str> = Arc::from(file);
            for object in objects.as_slice() {
                merged.add(&file, object);
            }
        }
        if let Some(host) = host {
            merged
                .nodes
                .entry(host.name.clone())
                .or_insert_with(|| host.clone());
        }
        // As an API server mirrors Endpoints into slices and both are there, slices are the newer word.
        let mut endpoints = merged.endpoints;
        endpoints.extend(
            merged
                .slices
                .into_iter()
                .map(|(key, slices)| (key, Cow::Owned(slices))),
        );

        let mut difference = Difference {
            changes: Vec::new(),
            duplicates: merged.duplicates,
        };
        let changes = &mut difference.changes;
        self.services.retain(|key, _| {
            let stays = merged.services.contains_key(key);
            if !stays {
                changes.push(Change::ServiceGone(key.clone()));
            }
            stays
        });
        self.endpoints.retain(|key, _| {
            let stays = endpoints.contains_key(key);
            if !stays {
                changes.push(Change::EndpointsGone(key.clone()));
            }
            stays
        });
        self.nodes.retain(|name, _| {
            let stays = merged.nodes.contains_key(name);
            if !stays {
                changes.push(Change::NodeGone(name.clone()));
            }
            stays
        });
        if merged.config != self.config {
            let told = self.config.as_ref().map(|owned| &owned.object);
            let new = merged.config.as_ref().map(|owned| &owned.object);
            if told != new {
                changes.push(
                    new.cloned()
                        .map_or(Change::ConfigMapGone, Change::ConfigMap),
                );
            }
            self.config = merged.config;
        }
        for (name, node) in merged.nodes {
            if self.nodes.get(&name) != Some(&node) {
                changes.push(Change::Node(node.clone()));
                self.nodes.insert(name, node);
            }
        }
        for (key, new) in endpoints {
            if self.endpoints.get(key) != Some(&*new) {
                changes.push(Change::Endpoints(new.clone().into_owned()));
                self.endpoints.insert(key.clone(), new.into_owned());
            }
        }
        for (file, new) in merged.services.into_values() {
            if let Some(change) = self.put(file, new) {
                changes.push(change);
            }
        }
        difference
    }

    fn put(&mut self, file: Arc<str>, new: &view::Service) -> Option<Change> {
        let mut service;
        match self.services.entry(new.key.clone()) {
            Entry::Occupied(mut old) => {
                let old = old.get_mut();
                old.file = file;
                if same_manifest(&old.object, new) {
                    return None;
                }
                service = new.clone();
                service.ingress.clone_from(&old.object.ingress);
                self.version += 1;
                service.resource_version = self.version.to_string().into();
                old.object = service.clone();
            }
            Entry::Vacant(place) => {
                service = new.clone();
                // First seen: what it held before the start, else what its manifest's own status says (as in a dump
                // of a cluster: the Service keeps its address).
                if let Some(addresses) = self.held.remove(place.key()) {
                    service.ingress = addresses;
                }
                self.version += 1;
                service.resource_version = self.version.to_string().into();
                place.insert(Owned {
                    file,
                    object: service.clone(),
                });
            }
        }
        Some(Change::Service(Box::new(service)))
    }

    /// Takes a status write; gives the Service as it is then, `None` where nothing changed.
    ///
    /// # Errors
    ///
    /// [`WriteError::Gone`] and [`WriteError::Conflict`].
    pub(crate) fn write(
        &mut self,
        write: &view::StatusWrite,
    ) -> Result<Option<Change>, WriteError> {
        let Some(owned) = self.services.get_mut(&write.key) else {
            return Err(WriteError::Gone);
        };
        let service = &mut owned.object;
        if service.resource_version != write.resource_version {
            return Err(WriteError::Conflict);
        }
        let ingress: Vec<String> = write.addresses.iter().map(ToString::to_string).collect();
        if service.ingress == ingress {
            return Ok(None);
        }
        service.ingress = ingress;
        self.version += 1;
        service.resource_version = self.version.to_string().into();
        Ok(Some(Change::Service(Box::new(service.clone()))))
    }
}

/// Whether two Services are the same but for what is kept here: addresses and versions.
fn same_manifest(one: &view::Service, other: &view::Service) -> bool {
    let view::Service {
        key,
        uid,
        resource_version: _,
        is_load_balancer,
        load_balancer_class,
        cluster_ips,
        load_balancer_ip,
        local_traffic_policy,
        selector,
        ports,
        annotation_pool,
        annotation_ips,
        sharing_key,
        ingress: _,
    } = one;
    *key == other.key
        && *uid == other.uid
        && *is_load_balancer == other.is_load_balancer
        && *load_balancer_class == other.load_balancer_class
        && *cluster_ips == other.cluster_ips
        && *load_balancer_ip == other.load_balancer_ip
        && *local_traffic_policy == other.local_traffic_policy
        && *selector == other.selector
        && *ports == other.ports
        && *annotation_pool == other.annotation_pool
        && *annotation_ips == other.annotation_ips
        && *sharing_key == other.sharing_key
}

/// All files' objects, the first of each. Borrowed: of ten thousand Services one changes.
#[derive(Default)]
struct Merged<'a> {
    config: Option<Owned<view::ConfigMap>>,
    services: BTreeMap<&'a ObjectKey, (Arc<str>, &'a view::Service)>,
    endpoints: BTreeMap<&'a ObjectKey, Cow<'a, view::Endpoints>>,
    /// By Service: the endpoints of all its slices.
    slices: BTreeMap<&'a ObjectKey, view::Endpoints>,
    nodes: BTreeMap<Arc<str>, view::Node>,
    owners: BTreeMap<(&'static str, ObjectKey), Arc<str>>,
    duplicates: BTreeSet<Duplicate>,
}

impl<'a> Merged<'a> {
    fn add(&mut self, file: &Arc<str>, object: &'a Object) {
        let (kind, key) = object.identity();
        match self.owners.entry((kind, key)) {
            Entry::Occupied(first) => {
                let (kind, key) = first.key();
                let name = match object {
                    Object::ConfigMap(_) | Object::Node(_) => key.name(),
                    Object::Service(_) | Object::Endpoints(_) | Object::Slice(..) => key.as_str(),
                };
                self.duplicates.insert(Duplicate {
                    object: format!("{kind} {name:?}"),
                    first: first.get().clone(),
                    also: file.clone(),
                });
                return;
            }
            Entry::Vacant(place) => {
                place.insert(file.clone());
            }
        }
        match object {
            Object::ConfigMap(map) => {
                self.config = Some(Owned {
                    file: file.clone(),
                    object: map.clone(),
                });
            }
            Object::Service(service) => {
                self.services.insert(&service.key, (file.clone(), service));
            }
            Object::Endpoints(endpoints) => {
                self.endpoints
                    .insert(&endpoints.service, Cow::Borrowed(endpoints));
            }
            Object::Slice(_, slice) => match self.slices.entry(&slice.service) {
                Entry::Occupied(mut all) => {
                    all.get_mut()
                        .endpoints
                        .extend(slice.endpoints.iter().cloned());
                }
                Entry::Vacant(place) => {
                    place.insert(slice.clone());
                }
            },
            Object::Node(node) => {
                self.nodes.insert(node.name.clone(), node.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests;
