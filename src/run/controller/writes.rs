//! Which status write may begin: in the order they were asked for, one at a time for each Service, so many at once.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::view::{ObjectKey, StatusWrite};

/// Writes that wait and writes under way.
///
/// Invariants: a Service is in `order` exactly once if it waits and has no write under way; memory is bounded by the
/// number of Services.
#[derive(Debug)]
pub(super) struct Writes {
    at_once: usize,
    waiting: BTreeMap<ObjectKey, StatusWrite>,
    order: VecDeque<ObjectKey>,
    under_way: BTreeSet<ObjectKey>,
}

impl Writes {
    pub(super) fn new(at_once: usize) -> Self {
        Self {
            at_once,
            waiting: BTreeMap::new(),
            order: VecDeque::new(),
            under_way: BTreeSet::new(),
        }
    }

    /// Queues a write; it takes the place of one of the same Service that has not begun.
    pub(super) fn ask(&mut self, write: StatusWrite) {
        let key = write.key.clone();
        if self.waiting.insert(key.clone(), write).is_none() && !self.under_way.contains(&key) {
            self.order.push_back(key);
        }
    }

    /// The next write to begin now, if any.
    pub(super) fn begin(&mut self) -> Option<StatusWrite> {
        if self.under_way.len() >= self.at_once {
            return None;
        }
        let key = self.order.pop_front()?;
        let write = self.waiting.remove(&key)?;
        self.under_way.insert(key);
        Some(write)
    }

    /// The write of this Service has ended.
    pub(super) fn end(&mut self, key: &ObjectKey) {
        if self.under_way.remove(key) && self.waiting.contains_key(key) {
            self.order.push_back(key.clone());
        }
    }
}

#[cfg(test)]
mod tests;
