//! Fast detection: what heartbeats find out becomes memberlist's own claims. See [`crate::memberlist::heartbeat`].

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::gossip::encoded;
use super::{Member, Output, Packet, Swim, exchange};
use crate::machine::Machine as _;
use crate::memberlist::heartbeat::{self, Census, Heartbeat, Input, Peer, SEQ_NOS};
use crate::memberlist::wire::kin::{Abilities, Kin};
use crate::memberlist::wire::{Dead, Message, Name, Ping, State};

/// Shortest time between two refutations that are told to all directly: whoever forges accusations must not make us send
/// hundreds of packets for each. Those in between are gossiped.
const BREATH: Duration = Duration::from_millis(200);

impl Swim {
    /// The watch over others of our kind.
    #[must_use]
    pub const fn heartbeat(&self) -> &Heartbeat {
        &self.heartbeat
    }

    /// Whether we watch others and are to be watched.
    pub(super) fn set_fast(&mut self, fast: bool) {
        let Some(abilities) = &mut self.params.kin else {
            return;
        };
        if abilities.fast == fast {
            return;
        }
        abilities.fast = fast;
        self.beat(Input::Switch(fast));
        if self.leaving.is_some() {
            return;
        }
        // The others learn of it as of any news about us: with a newer claim.
        let claim = self.own_claim();
        let name = self.params.name.clone();
        if let Some(next) = self.next_incarnation(self.incarnation) {
            self.incarnation = next;
            if let Some(own) = self.members.get_mut(&name) {
                own.incarnation = next;
                own.meta.clone_from(&claim.meta);
            }
            let claim = self.own_claim();
            self.pass_on(&name, &Message::Alive(claim), true);
        }
    }

    /// The members as heartbeats need to know them.
    fn census(&self) -> Census {
        let mut census = Census::default();
        if self.leaving.is_some() {
            return census;
        }
        for member in self.members.iter() {
            if self.is_own(&member.name) {
                continue;
            }
            match (Abilities::from_meta(&member.meta), member.state) {
                (Some(abilities), State::Alive | State::Suspect) => {
                    census.kin.push(peer(member, abilities));
                }
                (Some(abilities), State::Dead) => census.dead.push(peer(member, abilities)),
                (None, State::Alive | State::Suspect) => census.strangers += 1,
                (None, State::Dead) | (Some(_) | None, State::Left) => {}
            }
        }
        census
    }

    /// Tells the heartbeats what changed, and lets them go on.
    pub(super) fn heartbeat_tick(&mut self) {
        // What they find out may change the members again; each round ends with fewer to find out about.
        while std::mem::take(&mut self.census_changed) {
            self.stations.members_changed();
            let census = self.census();
            self.beat(Input::Census(census));
        }
        let due = self.heartbeat.next_deadline();
        if due.is_some_and(|due| due <= self.now) {
            self.beat(Input::Tick);
        }
    }

    /// An ack with one of the heartbeats' numbers.
    pub(super) fn heartbeat_ack(&mut self, from: SocketAddr, seq_no: u32) {
        self.beat(Input::Ack { from, seq_no });
    }

    /// User data: of our kind, or nobody's.
    pub(super) fn user_data(&mut self, from: SocketAddr, data: &[u8]) {
        if self.params.kin.is_some()
            && self.leaving.is_none()
            && let Some(message) = Kin::decode(data)
        {
            match message {
                Kin::Stations(stations) => self.hear_stations(from, stations),
                Kin::Question { .. } | Kin::Answer { .. } => {
                    self.beat(Input::Kin { from, message });
                }
            }
        }
    }

    fn beat(&mut self, input: Input) {
        self.heartbeat.handle(self.now, input);
        while let Some(output) = self.heartbeat.poll_output() {
            match output {
                heartbeat::Output::Ping { to, name, seq_no } => {
                    let node = Some(name);
                    self.send_brief(to, &Message::Ping(Ping { seq_no, node }));
                }
                heartbeat::Output::Kin { to, message } => {
                    self.send_brief(to, &Message::User(message.encode()));
                }
                heartbeat::Output::Dead { name, incarnation } => self.silent(name, incarnation),
                heartbeat::Output::Back { addr, .. } => {
                    if self.leaving.is_none() {
                        self.push_pull(addr, exchange::Purpose::Sync);
                    }
                }
                heartbeat::Output::Log(record) => self.say(record),
            }
        }
    }

    /// Nobody hears it any more: everybody is told at once, and so is it.
    fn silent(&mut self, name: Name, incarnation: u32) {
        let to = match self.members.get(&name) {
            Some(held) if held.is_active() && held.incarnation == incarnation => held.socket_addr(),
            // It has claimed something newer, or somebody else was faster.
            Some(_) | None => return,
        };
        if self.leaving.is_some() {
            return;
        }
        self.counters.silences += 1;
        let claim = Dead {
            incarnation,
            node: name,
            from: self.params.name.clone(),
        };
        self.dead(claim.clone());
        let message = Message::Dead(claim);
        self.tell_all(&message);
        self.send_brief(to, &message);
    }

    /// A claim about ourselves that contradicts another: also those have to hear it who hold us for dead.
    pub(super) fn tell_widely(&mut self, message: &Message) {
        let recent = self
            .told_widely
            .is_some_and(|at| self.now.duration_since(at) < BREATH);
        if self.params.kin.is_none() || recent {
            return;
        }
        self.told_widely = Some(self.now);
        self.tell_all(message);
        let dead: BTreeSet<SocketAddr> = self.heartbeat.lost().collect();
        for to in dead {
            self.send_brief(to, message);
        }
    }

    /// Sends a short message alone: nothing rides on it, and nothing is gained by compressing it.
    pub(super) fn send_brief(&mut self, to: SocketAddr, message: &Message) {
        let parts: Vec<Arc<[u8]>> = vec![encoded(message)];
        self.outputs.push_back(Output::Send(Packet {
            to,
            parts,
            crc: false,
            brief: true,
        }));
    }
}

/// Whether a ping or ack has a heartbeat's number.
pub(super) const fn is_heartbeat(seq_no: u32) -> bool {
    seq_no & SEQ_NOS != 0
}

fn peer(member: &Member, abilities: Abilities) -> Peer {
    Peer {
        name: member.name.clone(),
        addr: member.socket_addr(),
        incarnation: member.incarnation,
        fast: abilities.fast,
    }
}
