//! The gossip queue: claims to be passed on, each so many times, the least sent first.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::memberlist::wire::{MAX_PARTS, Message, Name, encode_message};

/// Bytes that each message costs in a compound besides itself: its length field.
const PART_OVERHEAD: usize = 2;

/// Claims by the member they are about.
///
/// Invariant: at most one claim for each name (a newer one replaces it), and at most `cap` of them: over it, the one sent
/// most often goes.
#[derive(Debug, Clone)]
pub(super) struct Broadcasts {
    by_rank: BTreeMap<Rank, Entry>,
    by_name: BTreeMap<Name, Rank>,
    queued: u64,
    cap: usize,
}

/// The order of sending: least sent, then longest, then newest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    sent: u32,
    length: Reverse<usize>,
    id: Reverse<u64>,
}

#[derive(Debug, Clone)]
struct Entry {
    name: Name,
    bytes: Arc<[u8]>,
}

impl Broadcasts {
    pub(super) fn new(cap: usize) -> Self {
        Self {
            by_rank: BTreeMap::new(),
            by_name: BTreeMap::new(),
            queued: 0,
            cap,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_rank.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.by_rank.len()
    }

    /// Whether a claim about `name` still waits to be sent.
    pub(super) fn contains(&self, name: &Name) -> bool {
        self.by_name.contains_key(name)
    }

    /// Queues a claim about `name`, in place of an older one about it.
    pub(super) fn push(&mut self, name: &Name, message: &Message) {
        let mut bytes = Vec::with_capacity(128);
        encode_message(message, &mut bytes);
        if let Some(old) = self.by_name.remove(name) {
            self.by_rank.remove(&old);
        }
        self.queued += 1;
        let rank = Rank {
            sent: 0,
            length: Reverse(bytes.len()),
            id: Reverse(self.queued),
        };
        let entry = Entry {
            name: name.clone(),
            bytes: bytes.into(),
        };
        self.insert(rank, entry);
        if self.by_rank.len() > self.cap
            && let Some((_, entry)) = self.by_rank.pop_last()
        {
            self.by_name.remove(&entry.name);
        }
    }

    /// The claims for one packet with room for `budget` bytes, each with its length field. Each that was now sent `limit`
    /// times is forgotten. `taken` messages are in the packet already.
    pub(super) fn pick(&mut self, budget: usize, limit: u32, taken: usize) -> Vec<Arc<[u8]>> {
        let mut room = budget;
        let mut picked = Vec::new();
        let mut again = Vec::new();
        let mut sent = 0;
        while picked.len() + taken < MAX_PARTS
            && let Some(longest) = room.checked_sub(PART_OVERHEAD)
        {
            let from = Rank {
                sent,
                length: Reverse(longest),
                id: Reverse(u64::MAX),
            };
            let Some((&rank, _)) = self.by_rank.range(from..).next() else {
                break;
            };
            if rank.sent > sent {
                // Nothing left that fits among the less sent: to the next group, longest first again.
                sent = rank.sent;
                continue;
            }
            let Some(entry) = self.by_rank.remove(&rank) else {
                break;
            };
            room = longest.saturating_sub(entry.bytes.len());
            picked.push(Arc::clone(&entry.bytes));
            again.push((rank, entry));
        }
        // Back only now, so that no packet carries one twice.
        for (mut rank, entry) in again {
            rank.sent += 1;
            if rank.sent >= limit {
                self.by_name.remove(&entry.name);
            } else {
                self.insert(rank, entry);
            }
        }
        picked
    }

    fn insert(&mut self, rank: Rank, entry: Entry) {
        self.by_name.insert(entry.name.clone(), rank);
        self.by_rank.insert(rank, entry);
    }
}
