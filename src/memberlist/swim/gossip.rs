//! Passing on: the rounds of gossip, and what rides on other messages.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::{Member, Output, Packet, Swim, timing};
use crate::memberlist::wire::{Message, Name, State, encode_message};

/// Protocol version from which a receiver understands checksums.
const CRC_SINCE: u8 = 5;

/// Bytes that a compound costs besides its parts: type and count.
const COMPOUND_OVERHEAD: usize = 2;

/// Shortest time between two rounds of gossip, however urgent.
const BREATH: Duration = Duration::from_millis(20);

/// Most members that are told directly that we leave; the others hear it from these.
const FAREWELLS: usize = 512;

impl Swim {
    /// Queues a claim about `name` for all others. Urgent ones, which change the set of members, do not wait for the next
    /// round. Deviation: upstream waits up to 200 ms for each step of the way.
    pub(super) fn pass_on(&mut self, name: &Name, claim: &Message, urgent: bool) {
        if self.gossip_at < self.now {
            // Nothing was queued, so no round was held.
            self.gossip_at = self.following(self.gossip_at, self.params.gossip_interval);
        }
        self.queue.push(name, claim);
        if urgent {
            let soonest = self.gossiped.map_or(self.now, |at| at + BREATH);
            self.gossip_at = self.gossip_at.min(soonest.max(self.now));
        }
    }

    /// A round of gossip, if it is time and there is something to say.
    pub(super) fn gossip_tick(&mut self) {
        if self.gossip_at > self.now || self.queue.is_empty() {
            return;
        }
        self.gossip_at = self.following(self.gossip_at, self.params.gossip_interval);
        let (now, own) = (self.now, self.params.name.clone());
        let listening = self.params.gossip_to_the_dead;
        let receivers = self
            .members
            .choose(self.params.gossip_nodes, &mut self.random, |member| {
                member.name != own
                    && match member.state {
                        State::Alive | State::Suspect => true,
                        // So that one that is alive after all hears of it.
                        State::Dead => now.duration_since(member.changed) <= listening,
                        State::Left => false,
                    }
            });
        for receiver in receivers {
            let parts = self.pick(self.params.room().saturating_sub(COMPOUND_OVERHEAD), 0);
            if parts.is_empty() {
                break;
            }
            self.gossiped = Some(now);
            self.transmit(receiver.socket_addr(), parts, speaks_crc(&receiver));
        }
    }

    /// Sends a message, with as much gossip as fits behind it.
    pub(super) fn send(&mut self, to: SocketAddr, message: &Message) {
        let bytes = encoded(message);
        let room = self.params.room();
        let budget = room.saturating_sub(bytes.len() + COMPOUND_OVERHEAD);
        let mut parts = vec![bytes];
        parts.append(&mut self.pick(budget, 1));
        // Upstream: these are sent without looking up the receiver's version, so without a checksum.
        self.transmit(to, parts, false);
    }

    /// Sends these to one whose record is at hand, and nothing else with them.
    pub(super) fn send_bare(&mut self, to: &Member, messages: &[Message]) {
        let parts = messages.iter().map(encoded).collect();
        self.transmit(to.socket_addr(), parts, speaks_crc(to));
    }

    /// Tells all members directly, once: they need not wait for gossip.
    pub(super) fn tell_all(&mut self, message: &Message) {
        let own = self.params.name.clone();
        let receivers = self.members.choose(FAREWELLS, &mut self.random, |member| {
            member.is_active() && member.name != own
        });
        let part = encoded(message);
        for receiver in receivers {
            let parts = vec![Arc::clone(&part)];
            self.transmit(receiver.socket_addr(), parts, speaks_crc(&receiver));
        }
    }

    fn pick(&mut self, budget: usize, taken: usize) -> Vec<Arc<[u8]>> {
        let limit = timing::retransmit_limit(&self.params, self.members.len());
        self.queue.pick(budget, limit, taken)
    }

    fn transmit(&mut self, to: SocketAddr, parts: Vec<Arc<[u8]>>, crc: bool) {
        self.outputs.push_back(Output::Send(Packet {
            to,
            parts,
            crc,
            brief: false,
        }));
    }
}

fn speaks_crc(member: &Member) -> bool {
    member.vsn.protocol_max() >= CRC_SINCE
}

pub(super) fn encoded(message: &Message) -> Arc<[u8]> {
    let mut bytes = Vec::with_capacity(128);
    encode_message(message, &mut bytes);
    bytes.into()
}
