//! Those who were declared dead: do they answer after all? And was the verdict too hasty?

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::{Heartbeat, LOST, Output, Peer};
use crate::memberlist::wire::Name;

/// How long a dead one is asked. A machine that comes back later joins by itself.
const PATIENCE: Duration = Duration::from_secs(10 * 60);

/// Time between two pings of a dead one, in a small cluster. In a larger one it is longer, so that it gets five a second from
/// all together.
const INTERVAL: Duration = Duration::from_secs(1);

/// Members that share the work.
const SHARERS: usize = 5;

/// Pings of dead ones that one member sends in an interval at most: half a cluster may be gone.
const AT_ONCE: usize = 20;

/// How long we wait for the exchange with one that answers before the next.
const EXCHANGE: Duration = Duration::from_secs(3);

/// Who is back so soon was perhaps never gone.
const HASTY: Duration = Duration::from_secs(5);

/// How long one who was condemned hastily is trusted, the first time; doubled each time.
const LENIENCY: Duration = Duration::from_secs(10);

/// The longest of it.
const MOST_LENIENT: Duration = Duration::from_secs(5 * 60);

/// After this it is forgotten.
const FORGOTTEN: Duration = Duration::from_secs(60 * 60);

/// One who was declared dead.
#[derive(Debug)]
pub(super) struct Lost {
    pub(super) peer: Peer,
    since: Instant,
    next_ping: Instant,
    sent: Option<u32>,
}

impl Lost {
    pub(super) fn deadline(&self) -> Instant {
        self.next_ping
    }
}

/// A verdict, ours or another's.
#[derive(Debug)]
pub(super) struct Blame {
    at: Instant,
    hasty: u32,
}

impl Heartbeat {
    /// These are dead, all whom memberlist still remembers. Who is a member again is no longer lost.
    pub(super) fn bury(&mut self, dead: Vec<Peer>) {
        self.lost.retain(|name, _| !self.kin.contains_key(name));
        if !self.on {
            return;
        }
        for peer in dead {
            if self.lost.contains_key(&peer.name) || self.lost.len() >= LOST {
                continue;
            }
            self.blame(&peer.name);
            let first = self.now + self.random.within(self.gap());
            let lost = Lost {
                since: self.now,
                next_ping: first,
                sent: None,
                peer,
            };
            self.lost.insert(lost.peer.name.clone(), lost);
        }
    }

    fn gap(&self) -> Duration {
        let sharers = (self.kin.len() + 1).div_ceil(SHARERS);
        let share = self.lost.len().div_ceil(AT_ONCE);
        INTERVAL.saturating_mul(u32::try_from(sharers.max(share)).unwrap_or(u32::MAX))
    }

    pub(super) fn serve_lost(&mut self) {
        let now = self.now;
        if self.lost.values().all(|lost| lost.next_ping > now) {
            return;
        }
        self.lost
            .retain(|_, lost| now.duration_since(lost.since) < PATIENCE);
        let due: Vec<(Name, SocketAddr)> = self
            .lost
            .values()
            .filter(|lost| lost.next_ping <= now)
            .map(|lost| (lost.peer.name.clone(), lost.peer.addr))
            .collect();
        for (name, addr) in due {
            let seq_no = self.ping(addr, &name);
            // Not in step with the others.
            let gap = self.gap() / 2 + self.random.within(self.gap());
            if let Some(lost) = self.lost.get_mut(&name) {
                lost.sent = Some(seq_no);
                lost.next_ping = now + gap;
            }
        }
    }

    /// An ack of one who was declared dead.
    pub(super) fn lost_acked(&mut self, from: SocketAddr, seq_no: u32) {
        let found = self
            .lost
            .values_mut()
            .find(|lost| lost.peer.addr == from && lost.sent == Some(seq_no));
        if let Some(lost) = found {
            lost.sent = None;
            lost.next_ping = self.now + EXCHANGE;
            self.outputs.push_back(Output::Back {
                name: lost.peer.name.clone(),
                addr: from,
            });
        }
    }

    /// It was declared dead.
    fn blame(&mut self, name: &Name) {
        let now = self.now;
        self.blamed
            .retain(|_, blame| now.duration_since(blame.at) < FORGOTTEN);
        if let Some(blame) = self.blamed.get_mut(name) {
            blame.at = now;
        } else if self.blamed.len() < LOST {
            let blame = Blame { at: now, hasty: 0 };
            self.blamed.insert(name.clone(), blame);
        }
    }

    /// How long one that we begin to watch is not doubted. All members judge alike: they saw the same death.
    pub(super) fn leniency(&mut self, name: &Name) -> Duration {
        let now = self.now;
        let Some(blame) = self.blamed.get_mut(name) else {
            return Duration::ZERO;
        };
        if now.duration_since(blame.at) >= HASTY {
            return Duration::ZERO;
        }
        self.counters.hasty += 1;
        let lenient = LENIENCY.saturating_mul(2_u32.saturating_pow(blame.hasty));
        blame.hasty = blame.hasty.saturating_add(1);
        lenient.min(MOST_LENIENT)
    }
}
