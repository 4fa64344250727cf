//! Commands that wait for the control thread.
//!
//! Invariant: bounded by the number of different addresses, and loses nothing: per address only the end matters, and
//! whether it was withdrawn in between. Handing over comes once and stays.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::layer2::Command;

/// What is to be done about one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Announce,
    Withdraw,
    /// Withdraw, and watch who else has it.
    Yield,
    /// Withdraw, then announce: a new burst.
    Again,
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    changes: HashMap<IpAddr, Change>,
    /// The same addresses, oldest first.
    order: Vec<IpAddr>,
    hands_over: bool,
}

impl Queue {
    /// Adds a command; whether whoever takes from the queue must be woken: it was empty.
    pub(super) fn push(&mut self, command: Command) -> bool {
        let was_empty = self.order.is_empty();
        let (ip, after) = match command {
            Command::Announce(ip) => match self.changes.get(&ip) {
                None | Some(Change::Announce) => (ip, Change::Announce),
                Some(Change::Withdraw | Change::Yield | Change::Again) => (ip, Change::Again),
            },
            Command::Withdraw(ip) => (ip, Change::Withdraw),
            Command::Yield(ip) => (ip, Change::Yield),
            Command::HandOver => return !std::mem::replace(&mut self.hands_over, true),
        };
        if self.changes.insert(ip, after).is_none() {
            self.order.push(ip);
        }
        was_empty
    }

    /// Whether all is handed over to others.
    pub(super) fn hands_over(&self) -> bool {
        self.hands_over
    }

    /// Everything, oldest first.
    pub(super) fn take(&mut self) -> Vec<(IpAddr, Change)> {
        let mut changes = std::mem::take(&mut self.changes);
        std::mem::take(&mut self.order)
            .into_iter()
            .filter_map(|ip| Some((ip, changes.remove(&ip)?)))
            .collect()
    }
}

#[cfg(test)]
mod tests;
