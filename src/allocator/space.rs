//! The addresses of the pools: which pool an address is in, and which address of a pool is the first free.
//!
//! An entry is a part of a pool: one CIDR, or several that follow each other in the configuration without a gap.
//! Entries are numbered through all pools in configured order, so that the lowest number is the first choice.
//! Per entry only the pages (256 addresses) without a free address are known, as runs; the first page that is
//! not among them has one. Entries without any free address are left out of `open`. Both are looked up in
//! logarithmic time, whatever is held.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::ops::Range;

use super::error::Uncovered;
use super::page::{Bits, Runs, join, offset_of, page_of};
use crate::config::Pool;
use crate::ip::Family;
use crate::ip::range::{Interval, bits_of, is_buggy};

/// The pools.
#[derive(Debug, Default)]
pub(super) struct Space {
    pools: Vec<PoolState>,
    by_name: HashMap<Box<str>, usize>,
    entries: Vec<Entry>,
    /// The entries, ascending by address. Invariant: they do not overlap (the configuration sees to it).
    ascending: Vec<(Interval, usize)>,
    /// The entries with a free address, for each (auto-assign, family).
    open: [[BTreeSet<usize>; 2]; 2],
    auto_pools: usize,
}

/// One pool.
#[derive(Debug)]
pub(super) struct PoolState {
    pub(super) name: Box<str>,
    pub(super) capacity: i64,
    /// Different addresses held.
    pub(super) in_use: i64,
    pub(super) auto_assign: bool,
    /// The numbers of its entries.
    pub(super) entries: Range<usize>,
}

#[derive(Debug)]
struct Entry {
    interval: Interval,
    pool: usize,
    avoid_buggy: bool,
    /// Pages without a free address. Invariant: within the interval's pages.
    full: Runs,
}

/// Which entries are asked.
#[derive(Debug, Clone, Copy)]
pub(super) enum Scope {
    /// Those of all pools with auto-assign.
    Auto,
    /// Those of the pool of this number.
    Pool(usize),
}

impl Entry {
    /// Which addresses of a page it may give.
    fn mask(&self, page: u128) -> Bits {
        let Interval { first, last } = self.interval;
        let low = if page_of(first) == page {
            offset_of(first)
        } else {
            0
        };
        let high = if page_of(last) == page {
            offset_of(last)
        } else {
            u8::MAX
        };
        let mut mask = if page_of(first) <= page && page <= page_of(last) {
            Bits::span(low, high)
        } else {
            Bits::default()
        };
        if self.avoid_buggy && self.interval.family() == Family::V4 {
            mask.remove(0);
            mask.remove(u8::MAX);
        }
        mask
    }

    /// The first page with a free address.
    fn first_open_page(&self) -> Option<u128> {
        let page = self.full.first_gap(page_of(self.interval.first));
        (page <= page_of(self.interval.last)).then_some(page)
    }
}

impl Space {
    /// The pools, with nothing held.
    pub(super) fn new(pools: &[Pool]) -> Self {
        let mut space = Self::default();
        for pool in pools {
            let number = space.pools.len();
            let start = space.entries.len();
            for cidr in &pool.cidrs {
                let (first, second) = Interval::of_net(cidr);
                space.add_interval(start, number, pool.avoid_buggy_ips, first);
                if let Some(second) = second {
                    space.add_interval(start, number, pool.avoid_buggy_ips, second);
                }
            }
            space.auto_pools += usize::from(pool.auto_assign);
            space
                .by_name
                .entry(pool.name.as_str().into())
                .or_insert(number);
            space.pools.push(PoolState {
                name: pool.name.as_str().into(),
                capacity: capacity(pool),
                in_use: 0,
                auto_assign: pool.auto_assign,
                entries: start..space.entries.len(),
            });
        }
        for (number, entry) in space.entries.iter_mut().enumerate() {
            // Only at its ends a page may have no address to give: all that it has there is buggy.
            for page in [page_of(entry.interval.first), page_of(entry.interval.last)] {
                if entry.mask(page).is_empty() {
                    entry.full.insert(page);
                }
            }
            space.ascending.push((entry.interval, number));
        }
        space.ascending.sort_unstable();
        for number in 0..space.entries.len() {
            space.update_open(number);
        }
        space
    }

    /// Adds an interval to the pool that is being made, to its last entry where it continues that.
    fn add_interval(&mut self, start: usize, pool: usize, avoid_buggy: bool, interval: Interval) {
        if let Some(previous) = self.entries.get_mut(start..).and_then(<[Entry]>::last_mut)
            && previous.interval.family() == interval.family()
            && previous.interval.last.checked_add(1) == Some(interval.first)
        {
            previous.interval.last = interval.last;
            return;
        }
        self.entries.push(Entry {
            interval,
            pool,
            avoid_buggy,
            full: Runs::default(),
        });
    }

    /// The pools in configured order.
    pub(super) fn pools(&self) -> &[PoolState] {
        &self.pools
    }

    /// How many pools have auto-assign.
    pub(super) fn auto_pools(&self) -> usize {
        self.auto_pools
    }

    /// The number of a pool.
    pub(super) fn pool_named(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// The pool that an entry belongs to.
    pub(super) fn pool_of_entry(&self, entry: usize) -> Option<(usize, &PoolState)> {
        let pool = self.entries.get(entry)?.pool;
        Some((pool, self.pools.get(pool)?))
    }

    /// The interval of an entry.
    pub(super) fn interval(&self, entry: usize) -> Option<Interval> {
        Some(self.entries.get(entry)?.interval)
    }

    /// The entry that contains an address, also if it does not give it away.
    pub(super) fn entry_around(&self, bits: u128) -> Option<usize> {
        let after = self
            .ascending
            .partition_point(|(interval, _)| interval.first <= bits);
        let (interval, entry) = self.ascending.get(after.checked_sub(1)?)?;
        interval.contains(bits).then_some(*entry)
    }

    /// Whether an entry gives this address.
    pub(super) fn gives(&self, entry: usize, bits: u128) -> bool {
        self.entries.get(entry).is_some_and(|entry| {
            entry.interval.contains(bits) && !(entry.avoid_buggy && is_buggy(bits))
        })
    }

    /// The entry that gives an address.
    pub(super) fn entry_of(&self, bits: u128) -> Result<usize, Uncovered> {
        let entry = self.entry_around(bits).ok_or(Uncovered::NoPool)?;
        if self.gives(entry, bits) {
            Ok(entry)
        } else {
            Err(Uncovered::Buggy {
                pool: self.name_of_entry(entry).into(),
            })
        }
    }

    /// The name of the pool that an entry belongs to.
    pub(super) fn name_of_entry(&self, entry: usize) -> &str {
        self.pool_of_entry(entry).map_or("", |(_, pool)| &pool.name)
    }

    /// The one entry of each address, if all give it and belong to one pool; else the address at fault.
    pub(super) fn one_pool(
        &self,
        all: impl Iterator<Item = u128>,
    ) -> Result<Option<usize>, (u128, Uncovered)> {
        let mut first: Option<(usize, usize)> = None;
        for bits in all {
            let entry = self.entry_of(bits).map_err(|why| (bits, why))?;
            let pool = self.pool_of_entry(entry).map_or(0, |(pool, _)| pool);
            match first {
                Some((first, of_first)) if of_first != pool => {
                    let why = Uncovered::Apart {
                        first: self.name_of_entry(first).into(),
                        pool: self.name_of_entry(entry).into(),
                    };
                    return Err((bits, why));
                }
                Some(_) => {}
                None => first = Some((entry, pool)),
            }
        }
        Ok(first.map(|(entry, _)| entry))
    }

    /// All addresses of a Service that are at fault, where [`Space::one_pool`] refuses them.
    pub(super) fn faults(&self, addresses: &[IpAddr]) -> impl Iterator<Item = (IpAddr, Uncovered)> {
        let mut first = None;
        addresses.iter().filter_map(move |address| {
            let entry = match self.entry_of(bits_of(*address)) {
                Ok(entry) => entry,
                Err(why) => return Some((*address, why)),
            };
            let first = *first.get_or_insert(entry);
            let why = Uncovered::Apart {
                first: self.name_of_entry(first).into(),
                pool: self.name_of_entry(entry).into(),
            };
            let pool = |entry| self.pool_of_entry(entry).map(|(pool, _)| pool);
            (pool(entry) != pool(first)).then_some((*address, why))
        })
    }

    /// The first entry from number `from` on, in scope, with a free address of the family.
    pub(super) fn first_open(&self, scope: Scope, family: Family, from: usize) -> Option<usize> {
        let (auto, until) = match scope {
            Scope::Auto => (true, usize::MAX),
            Scope::Pool(pool) => {
                let pool = self.pools.get(pool)?;
                (pool.auto_assign, pool.entries.end)
            }
        };
        if from >= until {
            return None;
        }
        self.open(auto, family).range(from..until).next().copied()
    }

    /// The first free address of an entry, given what is held of each page.
    pub(super) fn first_free(&self, entry: usize, held: impl Fn(u128) -> Bits) -> Option<u128> {
        let entry = self.entries.get(entry)?;
        let page = entry.first_open_page()?;
        let offset = entry.mask(page).without(held(page)).first()?;
        Some(join(page, offset))
    }

    /// Notes that an address is held that was not; `held` is what is held of its page now.
    pub(super) fn taken(&mut self, number: usize, bits: u128, held: Bits) {
        let Some(entry) = self.entries.get_mut(number) else {
            return;
        };
        if let Some(pool) = self.pools.get_mut(entry.pool) {
            pool.in_use += 1;
        }
        let page = page_of(bits);
        if entry.mask(page).without(held).is_empty() {
            entry.full.insert(page);
            self.update_open(number);
        }
    }

    /// Notes that an address is not held any more; `held` is what is held of its page now.
    pub(super) fn freed(&mut self, number: usize, bits: u128, held: Bits) {
        let Some(entry) = self.entries.get_mut(number) else {
            return;
        };
        if let Some(pool) = self.pools.get_mut(entry.pool) {
            pool.in_use -= 1;
        }
        let page = page_of(bits);
        if entry.mask(page).without(held).count() == 1 {
            entry.full.remove(page);
            self.update_open(number);
        }
    }

    /// Notes what is held, page by page, ascending; to be called once, on pools of which nothing is held.
    pub(super) fn adopt(&mut self, held: impl Iterator<Item = (u128, Bits)>) {
        let mut passed = 0;
        for (page, held) in held {
            let (first, last) = (join(page, 0), join(page, u8::MAX));
            while self
                .ascending
                .get(passed)
                .is_some_and(|(interval, _)| interval.last < first)
            {
                passed += 1;
            }
            for (interval, number) in self.ascending.iter().skip(passed) {
                if interval.first > last {
                    break;
                }
                let Some(entry) = self.entries.get_mut(*number) else {
                    continue;
                };
                let mask = entry.mask(page);
                if let Some(pool) = self.pools.get_mut(entry.pool) {
                    pool.in_use += i64::from(mask.and(held).count());
                }
                if mask.without(held).is_empty() {
                    entry.full.insert(page);
                }
            }
        }
        for number in 0..self.entries.len() {
            self.update_open(number);
        }
    }

    fn open(&self, auto: bool, family: Family) -> &BTreeSet<usize> {
        let [manual, automatic] = &self.open;
        let [v4, v6] = if auto { automatic } else { manual };
        match family {
            Family::V4 => v4,
            Family::V6 => v6,
        }
    }

    /// Brings `open` up to date with an entry.
    fn update_open(&mut self, number: usize) {
        let Some(entry) = self.entries.get(number) else {
            return;
        };
        let auto = self
            .pools
            .get(entry.pool)
            .is_some_and(|pool| pool.auto_assign);
        let [manual, automatic] = &mut self.open;
        let [v4, v6] = if auto { automatic } else { manual };
        let open = match entry.interval.family() {
            Family::V4 => v4,
            Family::V6 => v6,
        };
        if entry.first_open_page().is_some() {
            open.insert(number);
        } else {
            open.remove(&number);
        }
    }
}

/// How many addresses a pool can give.
///
/// Upstream: `i64::MAX` as soon as one CIDR has 62 host bits.
fn capacity(pool: &Pool) -> i64 {
    let mut capacity = 0_i64;
    for cidr in &pool.cidrs {
        let (interval, more) = Interval::of_net(cidr);
        if more.is_some() || interval.count() >= 1 << 62 {
            return i64::MAX;
        }
        // Deviation: upstream subtracts two for a CIDR of one address that ends in .0 or .255.
        let buggy = if pool.avoid_buggy_ips {
            interval.count_buggy()
        } else {
            0
        };
        let count = i64::try_from(interval.count() - buggy).unwrap_or(i64::MAX);
        capacity = capacity.saturating_add(count);
    }
    capacity
}
