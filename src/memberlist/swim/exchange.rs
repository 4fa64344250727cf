//! Streams: push/pull, joins, and pings where datagrams do not pass.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::{DialId, Member, Noise, Output, RequestId, Swim, timing};
use crate::journal::{Level, Record};
use crate::memberlist::wire::{Ack, Message, PushPull, State};

/// How long after its deadline a stream counts as failed if the driver says nothing.
const GRACE: Duration = Duration::from_secs(1);

/// Shortest time between two rounds of joins, however often the peers change.
const BREATH: Duration = Duration::from_secs(2);

/// A stream that we opened.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dial {
    to: SocketAddr,
    purpose: Purpose,
    pub(super) until: Instant,
}

/// What it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The probe under way.
    Probe,
    /// Periodic push/pull.
    Sync,
    /// A join of that round.
    Join(u64),
}

/// Joins that wait, and rounds of them under way.
///
/// Invariant: at most [`Params::max_members`](super::Params::max_members) wait.
#[derive(Debug, Clone, Default)]
pub(super) struct Joins {
    waiting: VecDeque<(SocketAddr, u64)>,
    rounds: BTreeMap<u64, Round>,
    begun: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Round {
    open: usize,
    reached: usize,
    failed: usize,
}

impl Swim {
    /// Opens a stream.
    pub(super) fn dial(
        &mut self,
        to: SocketAddr,
        request: Message,
        deadline: Instant,
        purpose: Purpose,
    ) -> DialId {
        self.dialled += 1;
        let id = DialId(self.dialled);
        let dial = Dial {
            to,
            purpose,
            until: deadline + GRACE,
        };
        self.dials.insert(id, dial);
        self.outputs.push_back(Output::Dial {
            id,
            to,
            request,
            deadline,
        });
        id
    }

    /// All we hold, ourselves included.
    fn state(&self, join: bool) -> Message {
        Message::PushPull(PushPull {
            join,
            nodes: self.members.iter().map(Member::to_wire).collect(),
            refused: 0,
        })
    }

    pub(super) fn push_pull(&mut self, to: SocketAddr, purpose: Purpose) {
        let join = matches!(purpose, Purpose::Join(_));
        let request = self.state(join);
        let deadline = self.now + self.params.stream_timeout;
        self.dial(to, request, deadline, purpose);
    }

    /// Somebody asks on a stream.
    pub(super) fn stream_request(&mut self, id: RequestId, _from: SocketAddr, message: Message) {
        let (reply, states) = match message {
            Message::Ping(ping) if self.is_for_us(&ping) => {
                let ack = Ack {
                    seq_no: ping.seq_no,
                    payload: Vec::new(),
                };
                (Some(Message::Ack(ack)), Vec::new())
            }
            // Upstream: the answer is what we held before we looked at theirs.
            Message::PushPull(theirs) => (Some(self.state(theirs.join)), theirs.nodes),
            // A ping for another, user data, and what is no request.
            Message::Ping(_)
            | Message::User(_)
            | Message::IndirectPing(_)
            | Message::Ack(_)
            | Message::Suspect(_)
            | Message::Alive(_)
            | Message::Dead(_)
            | Message::Nack(_)
            | Message::Err(_) => (None, Vec::new()),
        };
        self.outputs.push_back(Output::Reply { id, message: reply });
        if !states.is_empty() {
            self.merge(states);
        }
    }

    /// The answer on a stream of ours.
    pub(super) fn stream_reply(&mut self, id: DialId, message: Message) {
        let Some(dial) = self.dials.remove(&id) else {
            return;
        };
        match (dial.purpose, message) {
            (Purpose::Probe, Message::Ack(ack)) => {
                if let Some(probe) = &mut self.probe {
                    probe.answered_on(id, ack.seq_no);
                }
            }
            // As if it had not answered.
            (Purpose::Probe, _) => {}
            (Purpose::Sync | Purpose::Join(_), Message::PushPull(theirs)) => {
                self.merge(theirs.nodes);
                self.dial_over(dial, None);
            }
            (Purpose::Sync | Purpose::Join(_), Message::Err(text)) => {
                self.dial_over(dial, Some(&format!("it says: {text}")));
            }
            (Purpose::Sync | Purpose::Join(_), _) => {
                self.dial_over(dial, Some("it answered something else"));
            }
        }
    }

    /// No answer on a stream of ours.
    pub(super) fn stream_failed(&mut self, id: DialId, reason: &str) {
        if let Some(dial) = self.dials.remove(&id) {
            self.dial_over(dial, Some(reason));
        }
    }

    pub(super) fn expire_dials(&mut self) {
        let due: Vec<DialId> = self
            .dials
            .iter()
            .filter(|(_, dial)| dial.until <= self.now)
            .map(|(id, _)| *id)
            .collect();
        for id in due {
            self.stream_failed(id, "no answer in time");
        }
    }

    fn dial_over(&mut self, dial: Dial, failure: Option<&str>) {
        if let Some(reason) = failure
            && dial.purpose != Purpose::Probe
        {
            let record = || {
                Record::failed(
                    "memberExchange",
                    reason,
                    format!("no exchange of members with {}", dial.to),
                )
                .at(Level::Warn)
            };
            self.say_seldom(Noise::Exchange, record);
        }
        if let Purpose::Join(round) = dial.purpose {
            self.join_over(round, failure.is_none());
        }
    }

    fn join_over(&mut self, id: u64, reached: bool) {
        let Some(round) = self.joins.rounds.get_mut(&id) else {
            return;
        };
        round.open = round.open.saturating_sub(1);
        if reached {
            round.reached += 1;
        } else {
            round.failed += 1;
        }
        let round = *round;
        if round.open == 0 {
            self.joins.rounds.remove(&id);
            self.outputs.push_back(Output::Joined {
                reached: round.reached,
                failed: round.failed,
            });
        }
    }

    /// A round of joins. More than there can be members are not tried, and count as failed.
    pub(super) fn join(&mut self, addresses: Vec<SocketAddr>) {
        if self.leaving.is_some() {
            return;
        }
        let own = canonical(self.params.advertise);
        let mut wanted: Vec<SocketAddr> = addresses.into_iter().map(canonical).collect();
        wanted.sort_unstable();
        wanted.dedup();
        wanted.retain(|address| *address != own);
        self.random.shuffle(&mut wanted);
        let room = self
            .params
            .max_members
            .saturating_sub(self.joins.waiting.len());
        let failed = wanted.len().saturating_sub(room);
        wanted.truncate(room);
        if wanted.is_empty() {
            self.outputs
                .push_back(Output::Joined { reached: 0, failed });
            return;
        }
        self.joins.begun += 1;
        let id = self.joins.begun;
        let round = Round {
            open: wanted.len(),
            reached: 0,
            failed,
        };
        self.joins.rounds.insert(id, round);
        let waiting = wanted.into_iter().map(|address| (address, id));
        self.joins.waiting.extend(waiting);
    }

    /// Starts joins that wait, as many as may be under way.
    pub(super) fn dial_joins(&mut self) {
        if self.joins.waiting.is_empty() {
            return;
        }
        let is_join = |dial: &&Dial| matches!(dial.purpose, Purpose::Join(_));
        let mut under_way = self.dials.values().filter(is_join).count();
        while under_way < self.params.max_joins
            && let Some((to, round)) = self.joins.waiting.pop_front()
        {
            self.push_pull(to, Purpose::Join(round));
            under_way += 1;
        }
    }

    /// Who should be a member.
    pub(super) fn set_peers(&mut self, addresses: Vec<SocketAddr>) {
        let own = canonical(self.params.advertise);
        self.peers = addresses
            .into_iter()
            .map(canonical)
            .filter(|address| *address != own)
            .take(self.params.max_members)
            .collect();
        let soonest = self.rejoined.map_or(self.now, |at| at + BREATH);
        self.rejoin_at = self.rejoin_at.min(soonest.max(self.now));
    }

    /// Joins the peers that are no members, if it is time.
    pub(super) fn rejoin_tick(&mut self) {
        if self.rejoin_at > self.now || self.peers.is_empty() || self.leaving.is_some() {
            return;
        }
        self.rejoined = Some(self.now);
        // Not all in step.
        let interval = self.params.rejoin_interval;
        let spread = self.random.within(interval / 2);
        self.rejoin_at = self.now + (interval - interval / 4 + spread).max(GRACE);
        let mut missing = self.peers.clone();
        for member in self.members.iter().filter(|member| member.is_active()) {
            missing.remove(&member.socket_addr());
        }
        for (address, _) in &self.joins.waiting {
            missing.remove(address);
        }
        for dial in self.dials.values() {
            if matches!(dial.purpose, Purpose::Join(_)) {
                missing.remove(&dial.to);
            }
        }
        if !missing.is_empty() {
            self.join(missing.into_iter().collect());
        }
    }

    /// Periodic push/pull with one member.
    pub(super) fn sync_tick(&mut self) {
        if self.sync_at > self.now || self.leaving.is_some() {
            return;
        }
        let interval = timing::push_pull_interval(&self.params, self.members.len());
        self.sync_at = self.now + interval.max(GRACE);
        let own = self.params.name.clone();
        let partner = self.members.choose(1, &mut self.random, |member| {
            member.state == State::Alive && member.name != own
        });
        for partner in partner {
            self.push_pull(partner.socket_addr(), Purpose::Sync);
        }
    }
}

/// An address as sockets have it.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
