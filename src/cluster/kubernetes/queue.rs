//! At most one status write of a Service under way; of those that wait for it only the newest counts.
//!
//! Pure: tickets in, who may go out. What waits behind a write is not worth sending once a newer decision exists.

use std::collections::HashMap;

use crate::view::ObjectKey;

/// A place in the queue of one Service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket(u64);

/// What to do with a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// Send it now.
    Go,
    /// Another write of the Service is under way.
    Wait,
    /// A newer write of the Service has come: do not send it.
    Superseded,
}

#[derive(Debug)]
struct Line {
    /// The one under way.
    going: Ticket,
    /// The newest of those that wait.
    newest: Option<Ticket>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Queue {
    lines: HashMap<ObjectKey, Line>,
    tickets: u64,
}

impl Queue {
    /// A new write of this Service; ask [`Queue::turn`] whether it may go.
    pub(super) fn enter(&mut self, key: &ObjectKey) -> Ticket {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        match self.lines.get_mut(key) {
            None => {
                let line = Line {
                    going: ticket,
                    newest: None,
                };
                self.lines.insert(key.clone(), line);
            }
            Some(line) => line.newest = Some(ticket),
        }
        ticket
    }

    /// Whose turn it is.
    pub(super) fn turn(&self, key: &ObjectKey, ticket: Ticket) -> Turn {
        match self.lines.get(key) {
            Some(line) if line.going == ticket => Turn::Go,
            Some(line) if line.newest == Some(ticket) => Turn::Wait,
            Some(_) | None => Turn::Superseded,
        }
    }

    /// A write has ended, or is not wanted any more; whether another one's turn has come.
    pub(super) fn leave(&mut self, key: &ObjectKey, ticket: Ticket) -> bool {
        let Some(line) = self.lines.get_mut(key) else {
            return false;
        };
        if line.newest == Some(ticket) {
            line.newest = None;
        }
        if line.going != ticket {
            return false;
        }
        match line.newest.take() {
            Some(next) => {
                line.going = next;
                true
            }
            None => {
                self.lines.remove(key);
                false
            }
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.lines.len()
    }
}

#[cfg(test)]
mod tests;
