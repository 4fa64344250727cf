//! Who holds an address: a page's bits, and one number for each address that is held.

use std::collections::BTreeMap;

use super::page::{Bits, offset_of, page_of};

/// The holder of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holder {
    /// One Service that shares with nobody: its slot.
    Sole(u32),
    /// Services with a sharing key, perhaps only one: the number of the shared address.
    Shared(u32),
}

/// The holders of all held addresses. Its memory is proportional to what is held.
#[derive(Debug, Default)]
pub(super) struct Holders {
    /// Invariant: no page is empty.
    pages: BTreeMap<u128, Page>,
}

#[derive(Debug, Default)]
struct Page {
    held: Bits,
    /// One for each bit of `held`, in the same order.
    holders: Vec<Holder>,
}

impl Holders {
    /// Who holds an address.
    pub(super) fn of(&self, bits: u128) -> Option<Holder> {
        let page = self.pages.get(&page_of(bits))?;
        let offset = offset_of(bits);
        if !page.held.contains(offset) {
            return None;
        }
        page.holders.get(page.held.rank(offset)).copied()
    }

    /// What is held of a page.
    pub(super) fn page(&self, page: u128) -> Bits {
        self.pages
            .get(&page)
            .map(|page| page.held)
            .unwrap_or_default()
    }

    /// What is held of each page, ascending, without pages of which nothing is held.
    pub(super) fn pages(&self) -> impl Iterator<Item = (u128, Bits)> {
        self.pages.iter().map(|(number, page)| (*number, page.held))
    }

    /// Notes the holder of an address that nobody held; says what is held of its page now.
    pub(super) fn insert(&mut self, bits: u128, holder: Holder) -> Bits {
        let page = self.pages.entry(page_of(bits)).or_default();
        let offset = offset_of(bits);
        if !page.held.contains(offset) {
            page.holders.insert(page.held.rank(offset), holder);
            page.held.insert(offset);
        }
        page.held
    }

    /// Notes that nobody holds an address any more; says what is held of its page now.
    pub(super) fn remove(&mut self, bits: u128) -> Bits {
        let Some(page) = self.pages.get_mut(&page_of(bits)) else {
            return Bits::default();
        };
        let offset = offset_of(bits);
        if page.held.contains(offset) {
            page.holders.remove(page.held.rank(offset));
            page.held.remove(offset);
            if page.holders.capacity() > 8 && page.holders.len() * 4 <= page.holders.capacity() {
                page.holders.shrink_to(page.holders.len() * 2);
            }
        }
        let held = page.held;
        if held.is_empty() {
            self.pages.remove(&page_of(bits));
        }
        held
    }
}
