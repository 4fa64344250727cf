//! Commands that wait for the control thread.
//!
//! Invariant: bounded by the number of different addresses, and loses nothing: per address only the end matters, and
//! whether it was withdrawn in between.

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
}

impl Queue {
    /// Adds a command; whether the queue was empty (whoever takes from it must be woken).
    pub(super) fn push(&mut self, command: Command) -> bool {
        let was_empty = self.order.is_empty();
        let (Command::Announce(ip) | Command::Withdraw(ip) | Command::Yield(ip)) = command;
        let before = self.changes.get(&ip).copied();
        let after = match (before, command) {
            (None | Some(Change::Announce), Command::Announce(_)) => Change::Announce,
            (Some(Change::Withdraw | Change::Yield | Change::Again), Command::Announce(_)) => {
                Change::Again
            }
            (_, Command::Withdraw(_)) => Change::Withdraw,
            (_, Command::Yield(_)) => Change::Yield,
        };
        if self.changes.insert(ip, after).is_none() {
            self.order.push(ip);
        }
        was_empty
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
