//! Pages: 256 addresses that differ in their last eight bits, and sets of addresses made of them.
//!
//! A question about a page (which is the first free, how many are held) is four machine words' work, so that no
//! walk over addresses is ever needed.

use std::collections::BTreeMap;

/// Which of a page's 256 addresses are in a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Bits([u64; 4]);

/// The number of the page that an address is in.
pub(super) fn page_of(bits: u128) -> u128 {
    bits >> 8
}

/// The place of an address in its page.
pub(super) fn offset_of(bits: u128) -> u8 {
    let [offset, ..] = bits.to_le_bytes();
    offset
}

/// The address at a place of a page.
pub(super) fn join(page: u128, offset: u8) -> u128 {
    page << 8 | u128::from(offset)
}

impl Bits {
    /// The addresses from `first` to `last`, both included; none where `last` is before `first`.
    pub(super) fn span(first: u8, last: u8) -> Self {
        Self(std::array::from_fn(|word| {
            let base = word * 64;
            let low = usize::from(first).saturating_sub(base);
            let high = (usize::from(last) + 1).saturating_sub(base);
            below(high) & !below(low)
        }))
    }

    fn one(offset: u8) -> Self {
        let mut bits = Self::default();
        bits.insert(offset);
        bits
    }

    fn split(offset: u8) -> (usize, u64) {
        (usize::from(offset >> 6), 1 << (offset & 63))
    }

    pub(super) fn contains(self, offset: u8) -> bool {
        let (word, bit) = Self::split(offset);
        self.0[word] & bit != 0
    }

    pub(super) fn insert(&mut self, offset: u8) {
        let (word, bit) = Self::split(offset);
        self.0[word] |= bit;
    }

    pub(super) fn remove(&mut self, offset: u8) {
        let (word, bit) = Self::split(offset);
        self.0[word] &= !bit;
    }

    pub(super) fn is_empty(self) -> bool {
        self.0 == [0; 4]
    }

    pub(super) fn count(self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }

    /// How many addresses before `offset` are in the set.
    pub(super) fn rank(self, offset: u8) -> usize {
        let (word, bit) = Self::split(offset);
        let before: u32 = self.0[..word].iter().map(|word| word.count_ones()).sum();
        let rank = before + (self.0[word] & (bit - 1)).count_ones();
        usize::try_from(rank).unwrap_or(usize::MAX)
    }

    /// The lowest address in the set.
    pub(super) fn first(self) -> Option<u8> {
        (0_u8..).zip(self.0).find_map(|(index, word)| {
            let zeros = u8::try_from(word.trailing_zeros()).ok()?;
            (zeros < 64).then(|| index * 64 + zeros)
        })
    }

    /// What is in this set and not in the other.
    pub(super) fn without(self, other: Self) -> Self {
        Self(std::array::from_fn(|word| self.0[word] & !other.0[word]))
    }

    /// What is in both sets.
    pub(super) fn and(self, other: Self) -> Self {
        Self(std::array::from_fn(|word| self.0[word] & other.0[word]))
    }
}

/// A word whose lowest `count` bits are set.
fn below(count: usize) -> u64 {
    match u32::try_from(count) {
        Ok(count) if count < 64 => (1 << count) - 1,
        _ => u64::MAX,
    }
}

/// A set of addresses; its memory is proportional to what is in it.
#[derive(Debug, Default)]
pub(super) enum AddressSet {
    #[default]
    Empty,
    /// Most sets: no memory of their own.
    One(u128),
    Many {
        /// Invariant: no page is empty.
        pages: BTreeMap<u128, Bits>,
        /// How many addresses: at least two.
        len: usize,
    },
}

impl AddressSet {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Empty => 0,
            Self::One(_) => 1,
            Self::Many { len, .. } => *len,
        }
    }

    pub(super) fn contains(&self, bits: u128) -> bool {
        self.page(page_of(bits)).contains(offset_of(bits))
    }

    pub(super) fn insert(&mut self, bits: u128) {
        match self {
            Self::Empty => *self = Self::One(bits),
            Self::One(only) if *only == bits => {}
            Self::One(only) => {
                let mut pages: BTreeMap<u128, Bits> = BTreeMap::new();
                for bits in [*only, bits] {
                    pages
                        .entry(page_of(bits))
                        .or_default()
                        .insert(offset_of(bits));
                }
                *self = Self::Many { pages, len: 2 };
            }
            Self::Many { pages, len } => {
                let page = pages.entry(page_of(bits)).or_default();
                if !page.contains(offset_of(bits)) {
                    page.insert(offset_of(bits));
                    *len += 1;
                }
            }
        }
    }

    pub(super) fn remove(&mut self, bits: u128) {
        match self {
            Self::Empty => {}
            Self::One(only) => {
                if *only == bits {
                    *self = Self::Empty;
                }
            }
            Self::Many { pages, len } => {
                let Some(page) = pages.get_mut(&page_of(bits)) else {
                    return;
                };
                if !page.contains(offset_of(bits)) {
                    return;
                }
                page.remove(offset_of(bits));
                *len -= 1;
                if page.is_empty() {
                    pages.remove(&page_of(bits));
                }
                if *len == 1 {
                    let only = pages
                        .iter()
                        .find_map(|(page, bits)| Some(join(*page, bits.first()?)));
                    *self = only.map_or(Self::Empty, Self::One);
                }
            }
        }
    }

    /// What of a page is in the set.
    pub(super) fn page(&self, page: u128) -> Bits {
        match self {
            Self::Empty => Bits::default(),
            Self::One(only) if page_of(*only) == page => Bits::one(offset_of(*only)),
            Self::One(_) => Bits::default(),
            Self::Many { pages, .. } => pages.get(&page).copied().unwrap_or_default(),
        }
    }

    /// The pages from that of an address on, ascending, without what lies before the address.
    pub(super) fn pages_from(&self, bits: u128) -> impl Iterator<Item = (u128, Bits)> {
        let start = page_of(bits);
        let one = match self {
            Self::One(only) if page_of(*only) >= start => {
                Some((page_of(*only), Bits::one(offset_of(*only))))
            }
            Self::Empty | Self::One(_) | Self::Many { .. } => None,
        };
        let many = match self {
            Self::Many { pages, .. } => Some(pages.range(start..)),
            Self::Empty | Self::One(_) => None,
        };
        let many = many
            .into_iter()
            .flatten()
            .map(|(page, bits)| (*page, *bits));
        one.into_iter().chain(many).map(move |(page, content)| {
            if page == start {
                (page, content.and(Bits::span(offset_of(bits), u8::MAX)))
            } else {
                (page, content)
            }
        })
    }
}

/// Pages without a gap between them, as runs: a set whose memory is proportional to the number of runs.
#[derive(Debug, Default)]
pub(super) struct Runs(
    /// First page to last page. Invariant: between two runs there is at least one page.
    BTreeMap<u128, u128>,
);

impl Runs {
    pub(super) fn insert(&mut self, page: u128) {
        let (mut first, mut last) = (page, page);
        if let Some((start, end)) = self.0.range(..=page).next_back() {
            if *end >= page {
                return;
            }
            if *end + 1 == page {
                first = *start;
            }
        }
        // A page's number has 120 bits: no overflow.
        if let Some(end) = self.0.remove(&(page + 1)) {
            last = end;
        }
        self.0.insert(first, last);
    }

    pub(super) fn remove(&mut self, page: u128) {
        let Some((&first, &last)) = self.0.range(..=page).next_back() else {
            return;
        };
        if last < page {
            return;
        }
        self.0.remove(&first);
        if first < page {
            self.0.insert(first, page - 1);
        }
        if page < last {
            self.0.insert(page + 1, last);
        }
    }

    /// The first page from `page` on that is not in the set, where nothing before `page` is.
    pub(super) fn first_gap(&self, page: u128) -> u128 {
        match self.0.first_key_value() {
            Some((first, last)) if *first == page => last + 1,
            _ => page,
        }
    }
}
