//! Which attributes are in use at one peer, each under a small number: routes with equal ones are one group.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::bgp::Attributes;

/// The number of a group, or one of two words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct GroupId(u32);

impl GroupId {
    /// No route. Lower than every group: withdrawals come first.
    pub(super) const NONE: Self = Self(0);

    /// A route whose attributes, at the peer, do not count any more: it is to be told again.
    pub(super) const STALE: Self = Self(u32::MAX);

    /// Where the group is in the table.
    fn slot(self) -> Option<usize> {
        if self == Self::STALE {
            return None;
        }
        usize::try_from(self.0).ok()?.checked_sub(1)
    }
}

/// Whether messages can carry these attributes and a prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Fits {
    /// An IPv4 prefix of any length.
    pub(super) v4: bool,
    /// An IPv6 prefix of any length.
    pub(super) v6: bool,
}

#[derive(Debug)]
struct Group {
    /// `None`: the place is free.
    attributes: Option<Arc<Attributes>>,
    /// Routes that are to have, and routes that were told to have, these attributes.
    users: u32,
    fits: Fits,
}

/// All groups.
#[derive(Debug)]
pub(super) struct Groups {
    slots: Vec<Group>,
    free: Vec<GroupId>,
    by_attributes: BTreeMap<Arc<Attributes>, GroupId>,
}

impl Groups {
    pub(super) const fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            by_attributes: BTreeMap::new(),
        }
    }

    /// The group with these attributes, with one user more; `fits` is asked for a new one.
    pub(super) fn enter(
        &mut self,
        attributes: Arc<Attributes>,
        fits: impl FnOnce(&Attributes) -> Fits,
    ) -> GroupId {
        if let Some(id) = self.by_attributes.get(&attributes).copied() {
            self.join(id);
            return id;
        }
        let group = Group {
            fits: fits(&attributes),
            attributes: Some(Arc::clone(&attributes)),
            users: 1,
        };
        let reused = self.free.pop().and_then(|id| {
            let slot = self.slots.get_mut(id.slot()?)?;
            Some((id, slot))
        });
        let id = if let Some((id, slot)) = reused {
            *slot = group;
            id
        } else {
            self.slots.push(group);
            // The numbers are one more than the places. There are fewer groups than prefixes, and those fit into memory.
            GroupId(u32::try_from(self.slots.len()).unwrap_or(u32::MAX))
        };
        self.by_attributes.insert(attributes, id);
        id
    }

    /// One user more. Not a group: nothing.
    pub(super) fn join(&mut self, id: GroupId) {
        if let Some(group) = self.group_mut(id) {
            group.users += 1;
        }
    }

    /// One user less; the last one takes the group away. Not a group: nothing.
    pub(super) fn leave(&mut self, id: GroupId) {
        let Some(group) = self.group_mut(id) else {
            return;
        };
        group.users -= 1;
        if group.users == 0
            && let Some(attributes) = group.attributes.take()
        {
            self.by_attributes.remove(&attributes);
            self.free.push(id);
        }
    }

    pub(super) fn attributes(&self, id: GroupId) -> Option<&Arc<Attributes>> {
        self.slots.get(id.slot()?)?.attributes.as_ref()
    }

    pub(super) fn fits(&self, id: GroupId) -> Fits {
        id.slot()
            .and_then(|slot| self.slots.get(slot))
            .map(|group| group.fits)
            .unwrap_or_default()
    }

    /// Asks again for all groups: the session is another one.
    pub(super) fn measure(&mut self, fits: impl Fn(&Attributes) -> Fits) {
        for group in &mut self.slots {
            if let Some(attributes) = &group.attributes {
                group.fits = fits(attributes);
            }
        }
    }

    /// How many groups there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.by_attributes.len()
    }

    fn group_mut(&mut self, id: GroupId) -> Option<&mut Group> {
        self.slots.get_mut(id.slot()?)
    }
}
