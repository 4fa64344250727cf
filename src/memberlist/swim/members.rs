//! The table of members: who, where, in what state, and in which order they are probed.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use super::Random;
use crate::memberlist::wire::{Name, NodeState, State, Versions};

/// What we hold of one member, ourselves included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The Kubernetes node name.
    pub name: Name,
    /// Its address, in the form it gave: Go compares bytes.
    pub addr: IpAddr,
    /// Its port, for datagrams and streams.
    pub port: u16,
    /// Empty in MetalLB.
    pub meta: Vec<u8>,
    /// What it understands.
    pub vsn: Versions,
    /// Which of its claims about itself we go by.
    pub incarnation: u32,
    /// What we hold it to be.
    pub state: State,
    /// Since when.
    pub changed: Instant,
}

impl Member {
    /// Where to send to it. A mapped IPv4 address becomes one that an IPv4 socket can reach.
    #[must_use]
    pub fn socket_addr(&self) -> SocketAddr {
        SocketAddr::new(self.addr.to_canonical(), self.port)
    }

    /// Whether it counts as a member: alive or suspect.
    ///
    /// Upstream: a suspect still owns its addresses; only dead and left ones do not.
    #[must_use]
    pub fn is_active(&self) -> bool {
        matches!(self.state, State::Alive | State::Suspect)
    }

    /// The record as others are told it.
    pub(super) fn to_wire(&self) -> NodeState {
        NodeState {
            name: self.name.clone(),
            addr: self.addr,
            port: self.port,
            meta: self.meta.clone(),
            incarnation: self.incarnation,
            state: self.state,
            vsn: self.vsn,
        }
    }
}

/// All members by name, and the ring in which they are probed.
///
/// Invariant: the ring holds each name of the table once.
#[derive(Debug, Clone, Default)]
pub(super) struct Members {
    by_name: BTreeMap<Name, Member>,
    ring: Vec<Name>,
    /// The next place of the ring.
    at: usize,
}

impl Members {
    pub(super) fn len(&self) -> usize {
        self.by_name.len()
    }

    pub(super) fn get(&self, name: &Name) -> Option<&Member> {
        self.by_name.get(name)
    }

    pub(super) fn get_mut(&mut self, name: &Name) -> Option<&mut Member> {
        self.by_name.get_mut(name)
    }

    /// All records, by name.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Member> {
        self.by_name.values()
    }

    /// A member not known before, at a random place of the ring.
    pub(super) fn insert(&mut self, member: Member, random: &mut Random) {
        let name = member.name.clone();
        if self.by_name.insert(name.clone(), member).is_none() {
            let place = random.place(self.ring.len() + 1);
            // As in Go, one that lands before the cursor has its turn in the next round.
            if place < self.at {
                self.at += 1;
            }
            self.ring.insert(place, name);
        }
    }

    /// The next member for which `wanted` holds, around the ring at most once. Where the ring ends, those for which
    /// `forget` holds are deleted and the others shuffled.
    pub(super) fn next_target(
        &mut self,
        random: &mut Random,
        wanted: impl Fn(&Member) -> bool,
        forget: impl Fn(&Member) -> bool,
    ) -> Option<Member> {
        for _ in 0..2 {
            while let Some(name) = self.ring.get(self.at) {
                self.at += 1;
                if let Some(member) = self.by_name.get(name)
                    && wanted(member)
                {
                    return Some(member.clone());
                }
            }
            self.by_name.retain(|_, member| !forget(member));
            self.ring.retain(|name| self.by_name.contains_key(name));
            random.shuffle(&mut self.ring);
            self.at = 0;
        }
        None
    }

    /// Makes those for which `urgent` holds the next of the ring.
    pub(super) fn probe_first(&mut self, urgent: impl Fn(&Member) -> bool) {
        let done = self.at.min(self.ring.len());
        let names = std::mem::take(&mut self.ring);
        let (mut before, mut first, mut after) = (Vec::new(), Vec::new(), Vec::new());
        for (place, name) in names.into_iter().enumerate() {
            if self.by_name.get(&name).is_some_and(&urgent) {
                first.push(name);
            } else if place < done {
                before.push(name);
            } else {
                after.push(name);
            }
        }
        self.at = before.len();
        before.append(&mut first);
        before.append(&mut after);
        self.ring = before;
    }

    /// Up to `k` different members for which `wanted` holds, chosen at random.
    ///
    /// Deviation: Go draws 3·N times with replacement, and may find fewer than there are.
    pub(super) fn choose(
        &self,
        k: usize,
        random: &mut Random,
        wanted: impl Fn(&Member) -> bool,
    ) -> Vec<Member> {
        let mut candidates: Vec<&Member> = self.iter().filter(|member| wanted(member)).collect();
        random.shuffle_front(&mut candidates, k);
        candidates.into_iter().take(k).cloned().collect()
    }
}
