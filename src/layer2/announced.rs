//! Which addresses are announced, and what was counted for each.
//!
//! An [`Announced`] is immutable and shared: the responder looks addresses up in it without a lock, while the other
//! side builds the next one. Counters live outside of it and survive a withdrawal.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Counters;

/// The counters of one address, shared between who counts and who reads.
#[derive(Debug, Default)]
pub struct Tally {
    requests_received: AtomicU64,
    responses_sent: AtomicU64,
    gratuitous_sent: AtomicU64,
    conflicts: AtomicU64,
}

impl Tally {
    /// A request that deserves an answer came in.
    pub fn request_received(&self) {
        self.requests_received.fetch_add(1, Ordering::Relaxed);
    }

    /// An answer was handed to the kernel.
    pub fn response_sent(&self) {
        self.responses_sent.fetch_add(1, Ordering::Relaxed);
    }

    /// A gratuitous packet was handed to the kernel.
    pub fn gratuitous_sent(&self) {
        self.gratuitous_sent.fetch_add(1, Ordering::Relaxed);
    }

    /// Another station has it as well.
    pub fn conflict(&self) {
        self.conflicts.fetch_add(1, Ordering::Relaxed);
    }

    /// What was counted so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        Counters {
            requests_received: self.requests_received.load(Ordering::Relaxed),
            responses_sent: self.responses_sent.load(Ordering::Relaxed),
            gratuitous_sent: self.gratuitous_sent.load(Ordering::Relaxed),
            conflicts: self.conflicts.load(Ordering::Relaxed),
        }
    }
}

/// The announced addresses at one moment: O(1) to look up, immutable once shared.
#[derive(Debug, Clone, Default)]
pub struct Announced {
    v4: HashMap<Ipv4Addr, Arc<Tally>>,
    v6: HashMap<Ipv6Addr, Arc<Tally>>,
}

impl Announced {
    /// Adds an address; whether it was new.
    pub fn insert(&mut self, ip: IpAddr, tally: Arc<Tally>) -> bool {
        match ip {
            IpAddr::V4(ip) => self.v4.insert(ip, tally).is_none(),
            IpAddr::V6(ip) => self.v6.insert(ip, tally).is_none(),
        }
    }

    /// Takes an address out; whether it was there.
    pub fn remove(&mut self, ip: IpAddr) -> bool {
        match ip {
            IpAddr::V4(ip) => self.v4.remove(&ip).is_some(),
            IpAddr::V6(ip) => self.v6.remove(&ip).is_some(),
        }
    }

    /// The counters of an announced IPv4 address.
    #[must_use]
    pub fn v4(&self, ip: Ipv4Addr) -> Option<&Arc<Tally>> {
        self.v4.get(&ip)
    }

    /// The counters of an announced IPv6 address.
    #[must_use]
    pub fn v6(&self, ip: Ipv6Addr) -> Option<&Arc<Tally>> {
        self.v6.get(&ip)
    }

    /// The counters of an announced address.
    #[must_use]
    pub fn tally(&self, ip: IpAddr) -> Option<&Arc<Tally>> {
        match ip {
            IpAddr::V4(ip) => self.v4(ip),
            IpAddr::V6(ip) => self.v6(ip),
        }
    }
}

/// At most so many addresses that are no longer announced keep their counters.
///
/// A /16 of IPv4; beyond it the counters of a withdrawn address start again from 0 when it comes back.
const REMEMBERED: usize = 65_536;

/// The counters of all addresses that were ever announced.
///
/// Invariant: bounded by the announced addresses and `REMEMBERED` more.
#[derive(Debug, Default)]
pub struct Tallies {
    by_address: HashMap<IpAddr, Arc<Tally>>,
    announced: usize,
}

impl Tallies {
    /// The counters of an address that is going to be announced.
    pub fn announce(&mut self, ip: IpAddr) -> Arc<Tally> {
        self.announced += 1;
        Arc::clone(self.by_address.entry(ip).or_default())
    }

    /// An address is not announced any more: its counters stay, while there is room.
    pub fn withdraw(&mut self, ip: IpAddr) {
        self.announced = self.announced.saturating_sub(1);
        if self.by_address.len() - self.announced.min(self.by_address.len()) > REMEMBERED {
            self.by_address.remove(&ip);
        }
    }

    /// Everything, by address.
    #[must_use]
    pub fn counters(&self) -> Vec<(IpAddr, Counters)> {
        let mut all: Vec<_> = self
            .by_address
            .iter()
            .map(|(ip, tally)| (*ip, tally.counters()))
            .collect();
        all.sort_unstable_by_key(|(ip, _)| *ip);
        all
    }
}

#[cfg(test)]
mod tests;
