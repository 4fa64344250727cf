//! What may be concluded from gossip: who are the live speakers, or that gossip cannot tell.
//!
//! A member that has just started knows itself alone. So does one whose packets a firewall drops, or that has another key
//! than the others; if each of them took itself for the only speaker, all would announce everything, for ever. So an
//! alone member waits for the end of its first joins; and if those that it asked do not answer, and no other ever came,
//! gossip tells nothing. Once another was a member, gossip is believed whatever it says, also that all others are dead.
//!
//! ```text
//!              nobody to ask, or another is a member
//!   Joining ------------------------------------------> Members
//!      |                                                 ^   |  a later join fails, and no other ever came
//!      | a join fails, or takes longer than PATIENCE     |   v
//!      +-------------------------------------------> Unheard
//!                                     another is a member: Members, for good
//! ```
//!
//! A member that goes is told at once: the others must take over. One that comes is told a moment later, so that those whose
//! addresses it takes go on answering until it has announced: better two owners for a moment than none.
//!
//! Deviation: 0.12 believes at once, so that a starting speaker announces everything until its first join is done, and a
//! cut-off one for as long as it is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::wire::Name;

#[cfg(test)]
mod tests;

/// How long the first joins may take. A member on the same network answers in milliseconds.
const PATIENCE: Duration = Duration::from_secs(3);

/// How much later than it came a new member is told. It announces milliseconds after it has joined.
const GRACE: Duration = Duration::from_millis(200);

/// What gossip tells of the nodes with a live speaker.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Standing {
    /// Nothing yet: the first joins are under way.
    #[default]
    Joining,
    /// Nothing: those that should be members have never answered.
    Unheard,
    /// These are members: alive or suspect, ourselves among them unless we are leaving.
    Members(BTreeSet<Arc<str>>),
}

/// How the joins went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Joins {
    /// Under way since the start; not to be waited for longer than that.
    Begun(Instant),
    /// There is nobody else.
    NobodyToAsk,
    /// Somebody was asked, or ought to have been.
    Over,
}

/// Keeps what is needed to conclude.
#[derive(Debug)]
pub struct Roster {
    own: Name,
    joins: Joins,
    /// Whether another was ever a member.
    heard: bool,
    told: Standing,
    /// Those that came, and when to tell it. Invariant: not told, and members.
    arriving: BTreeMap<Arc<str>, Instant>,
}

impl Roster {
    /// For a member that starts now. `can_ask`: whether it is known who should be members.
    #[must_use]
    pub const fn new(own: Name, can_ask: bool, now: Instant) -> Self {
        Self {
            own,
            joins: if can_ask {
                Joins::Begun(now)
            } else {
                Joins::Over
            },
            heard: false,
            told: Standing::Joining,
            arriving: BTreeMap::new(),
        }
    }

    /// A round of joins is over.
    pub const fn joined(&mut self, reached: usize, failed: usize) {
        self.joins = if reached == 0 && failed == 0 {
            Joins::NobodyToAsk
        } else {
            Joins::Over
        };
    }

    /// When to look again if nothing happens before.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        let arrival = self.arriving.values().min().copied();
        let deadlines = [self.end_of_patience(), arrival];
        deadlines.into_iter().flatten().min()
    }

    fn end_of_patience(&self) -> Option<Instant> {
        match self.joins {
            Joins::Begun(at) if !self.heard => Some(at + PATIENCE),
            Joins::Begun(_) | Joins::NobodyToAsk | Joins::Over => None,
        }
    }

    /// What to conclude, if that is another thing than before. `active`: all members.
    pub fn look<'a>(
        &mut self,
        now: Instant,
        active: impl Iterator<Item = &'a Name>,
    ) -> Option<Standing> {
        if self.end_of_patience().is_some_and(|end| end <= now) {
            self.joins = Joins::Over;
        }
        let mut names: BTreeSet<Arc<str>> = active.map(|name| Arc::from(name.as_str())).collect();
        self.heard |= names.iter().any(|name| **name != *self.own);
        self.hold_back(now, &mut names);
        let standing = match self.joins {
            _ if self.heard => Standing::Members(names),
            Joins::NobodyToAsk => Standing::Members(names),
            Joins::Begun(_) => Standing::Joining,
            Joins::Over => Standing::Unheard,
        };
        if standing == self.told {
            return None;
        }
        self.told = standing.clone();
        Some(standing)
    }

    /// Takes those out that came a moment ago.
    fn hold_back(&mut self, now: Instant, names: &mut BTreeSet<Arc<str>>) {
        let Standing::Members(told) = &self.told else {
            // Who has just joined itself takes all that it finds.
            return self.arriving.clear();
        };
        self.arriving.retain(|name, _| names.contains(name));
        names.retain(|name| {
            let due = told.contains(name)
                || *self.arriving.entry(name.clone()).or_insert(now + GRACE) <= now;
            if due {
                self.arriving.remove(name);
            }
            due
        });
    }
}
