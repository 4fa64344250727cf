//! What must hold of the allocator's inside at any time: everything that is indexed, counted again by plain scans.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::allocator::page::page_of;

impl Allocator {
    /// Panics where an invariant does not hold.
    pub(super) fn audit(&self) {
        let mut by_address: BTreeMap<u128, Vec<&Slot>> = BTreeMap::new();
        for slot in self.services.iter() {
            assert_eq!(
                self.services
                    .at(self
                        .slot_of(self.index.hash_of(&slot.key), &slot.key)
                        .unwrap())
                    .unwrap()
                    .key,
                slot.key
            );
            assert!(self.pool_of(slot.addresses.as_slice()).is_some());
            for address in slot.addresses.as_slice() {
                by_address.entry(bits_of(*address)).or_default().push(slot);
            }
        }
        assert_eq!(self.index.len(), self.services.iter().count());

        // Holders: the same addresses, the same Services; never two that do not share.
        let mut held = BTreeSet::new();
        for (page, bits) in self.holders.pages() {
            assert!(!bits.is_empty());
            held.extend(
                (0..=u8::MAX)
                    .filter(|n| bits.contains(*n))
                    .map(|n| page << 8 | u128::from(n)),
            );
        }
        assert_eq!(held, by_address.keys().copied().collect());
        for (bits, slots) in &by_address {
            match self.holders.of(*bits).unwrap() {
                Holder::Sole(slot) => {
                    assert_eq!(slots.len(), 1);
                    assert_eq!(self.services.at(slot).unwrap().key, slots[0].key);
                    assert!(slots[0].share.is_none());
                }
                Holder::Shared(shared) => {
                    let shared = self.shared.at(shared).unwrap();
                    let group = self.groups.at(shared.group).unwrap();
                    assert!(!group.sharing_key.is_empty());
                    assert_eq!(shared.holders.len(), slots.len());
                    let mut served = BTreeSet::new();
                    for slot in slots {
                        let share = slot.share.as_ref().unwrap();
                        assert_eq!(share.group, shared.group);
                        for port in &share.ports {
                            assert!(served.insert(port.clone()), "{port:?} is served twice");
                            assert!(group.serves(port, *bits));
                        }
                    }
                }
            }
        }
        let shared = |bits: &&u128| matches!(self.holders.of(**bits), Some(Holder::Shared(_)));
        assert_eq!(
            self.shared.iter().count(),
            by_address.keys().filter(shared).count()
        );
        self.groups.audit(by_address.keys().filter(shared).count());

        // Free addresses and counts, pool by pool.
        let mut counts = vec![0_i64; self.space.pools().len()];
        for bits in by_address.keys() {
            let entry = self.space.entry_of(*bits).unwrap();
            counts[self.space.pool_of_entry(entry).unwrap().0] += 1;
        }
        let in_use: Vec<_> = self.space.pools().iter().map(|pool| pool.in_use).collect();
        assert_eq!(in_use, counts);
        for (number, pool) in self.space.pools().iter().enumerate() {
            for entry in pool.entries.clone() {
                let interval = self.space.interval(entry).unwrap();
                if interval.count() > 1 << 12 {
                    continue;
                }
                let free = (interval.first..=interval.last)
                    .find(|bits| self.space.gives(entry, *bits) && !by_address.contains_key(bits));
                let found = self.space.first_free(entry, |page| self.holders.page(page));
                assert_eq!(found, free);
                let open = self
                    .space
                    .first_open(Scope::Pool(number), interval.family(), entry);
                assert_eq!(open == Some(entry), free.is_some());
                let auto = self.space.first_open(Scope::Auto, interval.family(), entry);
                assert_eq!(auto == Some(entry), free.is_some() && pool.auto_assign);
                for bits in interval.first..=interval.last {
                    assert_eq!(self.space.entry_around(bits), Some(entry));
                    assert_eq!(
                        self.holders
                            .page(page_of(bits))
                            .contains(bits.to_le_bytes()[0]),
                        by_address.contains_key(&bits)
                    );
                }
            }
        }
    }
}
