//! Whole Services, as read, for those whose status will soon be written.
//!
//! A PUT on `services/status` replaces labels, annotations and finalizers too, and a newer server may know fields that
//! we do not: so the object is sent back as it was read. Only Services that are about to change are kept, and only so
//! many; for others the writer asks the server (which costs one request more).
//!
//! Pure.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::view::ObjectKey;

/// Objects kept at most.
const MOST_OBJECTS: usize = 4096;

/// Octets kept at most. A Service is 1 to 3 KiB.
const MOST_OCTETS: usize = 16 << 20;

/// An object larger than this is not kept.
const LARGEST_OBJECT: usize = 256 << 10;

/// An object in the form in which it came.
pub(super) enum Raw<'a> {
    /// A line of a watch: `{"type":…,"object":{…}}`.
    Line(&'a [u8]),
    /// An item of a list.
    Item(&'a Value),
}

struct Kept {
    resource_version: Arc<str>,
    /// The object, or the line that it came in.
    json: Box<[u8]>,
    /// Which of the entries in `order` is this one's.
    ticket: u64,
}

/// See the module.
#[derive(Default)]
pub(super) struct RawCache {
    objects: HashMap<ObjectKey, Kept>,
    /// Oldest first; entries that were replaced or removed are skipped.
    order: VecDeque<(u64, ObjectKey)>,
    octets: usize,
    tickets: u64,
}

impl RawCache {
    /// Keeps an object, at the expense of the oldest.
    pub(super) fn insert(&mut self, key: &ObjectKey, resource_version: &Arc<str>, raw: &Raw<'_>) {
        self.remove(key);
        let json: Box<[u8]> = match raw {
            Raw::Line(line) => (*line).into(),
            Raw::Item(item) => match serde_json::to_vec(item) {
                Ok(json) => json.into(),
                Err(_) => return,
            },
        };
        if json.len() > LARGEST_OBJECT {
            return;
        }
        while self.objects.len() >= MOST_OBJECTS || self.octets + json.len() > MOST_OCTETS {
            let Some((ticket, oldest)) = self.order.pop_front() else {
                break;
            };
            if self
                .objects
                .get(&oldest)
                .is_some_and(|kept| kept.ticket == ticket)
            {
                self.remove(&oldest);
            }
        }
        self.tickets += 1;
        self.octets += json.len();
        self.order.push_back((self.tickets, key.clone()));
        self.objects.insert(
            key.clone(),
            Kept {
                resource_version: resource_version.clone(),
                json,
                ticket: self.tickets,
            },
        );
        if self.order.len() > 2 * MOST_OBJECTS {
            let objects = &self.objects;
            self.order.retain(|(ticket, key)| {
                objects.get(key).is_some_and(|kept| kept.ticket == *ticket)
            });
        }
    }

    /// Drops an object.
    pub(super) fn remove(&mut self, key: &ObjectKey) {
        if let Some(kept) = self.objects.remove(key) {
            self.octets -= kept.json.len();
            if self.objects.is_empty() {
                self.objects = HashMap::new();
                self.order = VecDeque::new();
            }
        }
    }

    /// Takes the object out, if it is here in this version.
    pub(super) fn take(&mut self, key: &ObjectKey, resource_version: &str) -> Option<Value> {
        if &*self.objects.get(key)?.resource_version != resource_version {
            return None;
        }
        let mut value: Value = serde_json::from_slice(&self.objects.get(key)?.json).ok()?;
        self.remove(key);
        // A line of a watch has the object inside.
        match value.get_mut("object") {
            Some(object) if object.is_object() => Some(object.take()),
            _ => Some(value),
        }
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.objects.len()
    }
}

/// The version of an object.
pub(super) fn resource_version(object: &Value) -> Option<&str> {
    object.get("metadata")?.get("resourceVersion")?.as_str()
}

/// Puts the addresses into `status.loadBalancer.ingress`; nothing else is touched.
///
/// An entry of an address that stays is kept with all that the server has added to it (`ipMode`, `ports`).
/// `managedFields` are left out: the server keeps its own where a request has none.
/// `None` if it is no object.
pub(super) fn with_addresses(mut object: Value, addresses: &[IpAddr]) -> Option<Value> {
    let root = object.as_object_mut()?;
    if let Some(metadata) = root.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    let status = member(root, "status")?;
    let load_balancer = member(status, "loadBalancer")?;
    let mut before = match load_balancer.remove("ingress") {
        Some(Value::Array(entries)) => entries,
        Some(_) | None => Vec::new(),
    };
    if !addresses.is_empty() {
        let entries = addresses.iter().map(|address| {
            let same = |entry: &Value| {
                let text = entry.get("ip").and_then(Value::as_str);
                text.and_then(|text| text.parse::<IpAddr>().ok()) == Some(*address)
            };
            match before.iter().position(same) {
                Some(index) => before.swap_remove(index),
                None => json!({ "ip": address.to_string() }),
            }
        });
        let entries: Vec<Value> = entries.collect();
        load_balancer.insert("ingress".to_owned(), Value::Array(entries));
    }
    Some(object)
}

/// The object under this name, made if it is absent or null.
fn member<'a>(
    parent: &'a mut Map<String, Value>,
    name: &str,
) -> Option<&'a mut Map<String, Value>> {
    let value = parent.entry(name).or_insert(Value::Null);
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    value.as_object_mut()
}

#[cfg(test)]
mod tests;
