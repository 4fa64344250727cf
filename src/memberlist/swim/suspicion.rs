//! A suspicion under way: the time until a suspect is declared dead, shorter with each member that agrees (Lifeguard).

use std::time::{Duration, Instant};

use super::{Params, timing};
use crate::memberlist::wire::Name;

/// Why, since when and how firmly a member is suspected.
#[derive(Debug, Clone)]
pub(super) struct Suspicion {
    started: Instant,
    /// No verdict before this time, whatever the confirmations say: set after a stall of our own.
    not_before: Instant,
    min: Duration,
    max: Duration,
    /// Confirmations that bring the time down to `min`.
    wanted: u32,
    /// The first accuser, then those who confirmed. Invariant: at most `wanted` + 1.
    accusers: Vec<Name>,
}

impl Suspicion {
    /// A suspicion raised by `from` at `now`, in a table of that many records.
    pub(super) fn new(params: &Params, records: usize, from: Name, now: Instant) -> Self {
        let min = timing::shortest_suspicion(params, records);
        Self {
            started: now,
            not_before: now,
            min,
            max: min.saturating_mul(params.suspicion_max_timeout_mult),
            wanted: timing::confirmations_wanted(params, records),
            accusers: vec![from],
        }
    }

    /// How many other members agreed.
    pub(super) fn confirmations(&self) -> u32 {
        u32::try_from(self.accusers.len().saturating_sub(1)).unwrap_or(u32::MAX)
    }

    /// `from` suspects it too. Whether that is news: worth passing on, and the time is shorter now.
    pub(super) fn confirm(&mut self, from: &Name) -> bool {
        if self.confirmations() >= self.wanted || self.accusers.contains(from) {
            return false;
        }
        self.accusers.push(from.clone());
        true
    }

    /// When the suspect is dead. May be past after a confirmation.
    pub(super) fn deadline(&self) -> Instant {
        let total = timing::suspicion_after(self.confirmations(), self.wanted, self.min, self.max);
        (self.started + total).max(self.not_before)
    }

    /// We did not run for `late`: that time was no chance to refute. And no verdict before `not_before`.
    pub(super) fn postpone(&mut self, late: Duration, not_before: Instant) {
        self.started += late;
        self.not_before = self.not_before.max(not_before);
    }
}
