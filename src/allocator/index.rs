//! From a key to the number of its place in a slab, without a second copy of the key.

use std::hash::{BuildHasher, Hash, RandomState};

use hashbrown::HashTable;

/// Numbers of places by the hash of what is there. The hash is kept, so that growing touches nothing else.
///
/// Names come from users of the cluster: the hash is keyed by the process, nobody can make names that collide.
#[derive(Debug, Default)]
pub(super) struct Index {
    places: HashTable<Place>,
    hasher: RandomState,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    hash: KeyHash,
    number: u32,
}

/// Half of a key's hash: more would only tell apart what the key itself does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct KeyHash(u32);

impl KeyHash {
    /// What the table wants: both ends of the number depend on the hash.
    fn spread(self) -> u64 {
        u64::from(self.0).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

impl Index {
    pub(super) fn hash_of(&self, key: impl Hash) -> KeyHash {
        let hash = self.hasher.hash_one(key);
        KeyHash(u32::try_from(hash >> 32).unwrap_or_default())
    }

    /// The number with this hash for which `is_it` holds.
    pub(super) fn find(&self, hash: KeyHash, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let place = self.places.find(hash.spread(), |place| {
            place.hash == hash && is_it(place.number)
        })?;
        Some(place.number)
    }

    pub(super) fn insert(&mut self, hash: KeyHash, number: u32) {
        self.places
            .insert_unique(hash.spread(), Place { hash, number }, |place| {
                place.hash.spread()
            });
    }

    pub(super) fn remove(&mut self, hash: KeyHash, number: u32) {
        if let Ok(found) = self
            .places
            .find_entry(hash.spread(), |place| place.number == number)
        {
            found.remove();
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }
}
