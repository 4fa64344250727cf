//! The member: who is alive, who is not, and how the others learn of it. SWIM with Lifeguard, as memberlist 0.1.7 has it.
//!
//! Not here: bytes on the wire (but for the encoding of single messages, whose lengths the packets' budget needs), sockets,
//! the clock, encryption. In: [`Input`]s at a time; out: [`Output`]s and [`Machine::next_deadline`].
//!
//! # States of a member, in our eyes
//!
//! ```text
//!             alive(i), unknown                    suspect(i ≥ ours)
//!   (unknown) ------------------> Alive ---------------------------------> Suspect
//!                                  | ^ ^  alive(i > ours)                   |   |
//!               dead(i ≥ ours)     | | +------------------------------------+   |
//!            +---------------------+ |                                          |
//!            |                       | alive(i > ours)    dead(i ≥ ours), or    |
//!            v                       |                    nobody refutes in time|
//!   Dead (by another), Left (by itself) <---------------------------------------+
//!            |
//!            +-- 30 s (left: an hour) --> forgotten, where the ring of probes ends
//! ```
//!
//! `i` is the incarnation, which only the member itself raises: to refute a claim about itself it says alive with a
//! higher one. A member that left may come back at any address; all others are held to theirs. No-ops: claims with an older
//! incarnation, `suspect` about one that is dead or left, `dead` about one that is dead or left, and claims other than
//! alive about unknown names.
//!
//! # A probe
//!
//! ```text
//!   ping ---- 500 ms ----> ask 3 others, and a stream ---- (health + 1) · 1 s after the ping ----> suspect
//!     + ack, any time: our health improves, done
//!     + at the end, the stream answered: the same
//!     + at the end, the others said nack: they can hear us, so our health suffers less
//! ```
//!
//! # Late ticks
//!
//! A paused virtual machine, a stopped process or a starved one comes back to timers that are long past, while what the
//! others said in between waits unread in the socket. Upstream declares all suspects dead at once. Deviation: an input
//! that comes more than [`Params::late_after`] after our deadline is taken for our own ill health, which it is: health
//! suffers by one for each missed interval, the probe under way is void, suspicions run on from where they stood (and at
//! least as long as a probe takes), suspects are probed next, and after a stall longer than the shortest suspicion, in
//! which the others may have given us up, a push/pull and a round of joins are made at once.
//!
//! The driver hands over what waits in the socket before it serves a deadline; then a short delay does no harm at all.
//!
//! # What may harm others
//!
//! Only claims that came from the wire module's types are sent, which cannot be empty or without versions; never more than
//! 127 in a packet. An accusation that would raise our incarnation above [`MAX_OWN_INCARNATION`] is ignored and counted
//! (a Go node wraps to 0 and is never heard again): we are then declared dead, forgotten after 30 s, and joined again.
//! Indirect pings are relayed only to the address that we hold for that name. One who speaks no version of ours is not
//! taken, nor passed on: with it in the table, every push/pull of every member would fail.
//!
//! # Bounds
//!
//! Records: [`Params::max_members`], each below 1 KiB. Gossip: one claim for each record. Suspicions: one for each
//! record, three names each. Relays, joins: their parameters. Peers to join: as many as members.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pnet_base::MacAddr;

use crate::journal;
use crate::machine::Machine;
use crate::memberlist::heartbeat::Heartbeat;
use crate::memberlist::wire::kin::Abilities;
use crate::memberlist::wire::{Alive, MAX_OWN_INCARNATION, Message, Name, Versions};

mod broadcasts;

mod claims;

mod exchange;

mod fast;

mod gossip;

mod members;

mod params;

mod probe;

mod stall;

mod stations;

mod suspicion;

mod timing;

#[cfg(test)]
mod tests;

use broadcasts::Broadcasts;
use exchange::{Dial, Joins};
use members::Members;
use probe::{Probe, Relay};
use stations::Stations;
use suspicion::Suspicion;

pub use crate::random::Random;
pub use members::Member;
pub use params::Params;

/// Shortest time between two lines of the log about the same kind of trouble.
const QUIET: Duration = Duration::from_secs(60);

/// What can happen to a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// The deadline is here.
    Tick,
    /// A datagram was read.
    Datagram {
        /// Where it came from; answers go there.
        from: SocketAddr,
        /// What it said, in order.
        messages: Vec<Message>,
    },
    /// A datagram could not be sent: we are cut off, which says nothing about the other.
    SendFailed {
        /// Where it should have gone.
        to: SocketAddr,
    },
    /// Somebody opened a stream and sent this. Answered by [`Output::Reply`] at once.
    StreamRequest {
        /// The driver's number for the stream.
        id: RequestId,
        /// Who opened it.
        from: SocketAddr,
        /// The request.
        message: Message,
    },
    /// The answer on a stream that we opened.
    StreamReply {
        /// The number from [`Output::Dial`].
        id: DialId,
        /// The answer.
        message: Message,
    },
    /// No answer on a stream that we opened: refused, cut, unreadable, late.
    StreamFailed {
        /// The number from [`Output::Dial`].
        id: DialId,
        /// Why, for the log.
        reason: String,
    },
    /// Join the cluster that these are in, once. Answered by [`Output::Joined`].
    Join(Vec<SocketAddr>),
    /// These should be members (the speaker pods of the cluster): those who are not are joined now, and again every
    /// [`Params::rejoin_interval`]. Replaces what was said before. Each round is answered by [`Output::Joined`].
    Peers(Vec<SocketAddr>),
    /// This member is dead, by better evidence than ours. Told to all; if it is alive it refutes.
    Condemn(Name),
    /// Whether to watch others of our kind by heartbeats, and to be watched. Nothing happens where [`Params::kin`] is `None`.
    FastDetection(bool),
    /// The Ethernet addresses from which this node announces: others of our kind are told.
    Stations(Vec<MacAddr>),
    /// Tell the others that we leave. Answered by [`Output::LeaveDone`].
    Leave,
}

/// What a member wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send a datagram.
    Send(Packet),
    /// Open a stream, send this, and hand over the answer or the failure.
    Dial {
        /// For the answer.
        id: DialId,
        /// To whom.
        to: SocketAddr,
        /// [`Message::PushPull`] or [`Message::Ping`].
        request: Message,
        /// When to give up, all of it.
        deadline: Instant,
    },
    /// Answer a request and close the stream.
    Reply {
        /// Which.
        id: RequestId,
        /// [`Message::PushPull`] or [`Message::Ack`]; `None` closes without a word.
        message: Option<Message>,
    },
    /// The set of members changed.
    Event(Event),
    /// A round of joins is over.
    Joined {
        /// How many answered.
        reached: usize,
        /// How many did not.
        failed: usize,
    },
    /// A member of our kind announces from these Ethernet addresses.
    Stations {
        /// Who.
        name: Name,
        /// All of them.
        stations: Vec<MacAddr>,
    },
    /// The others know that we leave, as far as can be known: the sockets may be closed.
    LeaveDone,
    /// Something for the log.
    Log(journal::Record),
}

/// One datagram: the parts for [`Encoder::datagram`](crate::memberlist::wire::Encoder::datagram).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// To whom.
    pub to: SocketAddr,
    /// Encoded messages, 1 to 127.
    pub parts: Vec<Arc<[u8]>>,
    /// Whether to add a checksum.
    pub crc: bool,
    /// Too short for compression to gain anything, and one of many: not to be tried.
    pub brief: bool,
}

/// A change in the set of members, our own included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// It was no member, now it is.
    Joined {
        /// Who.
        name: Name,
        /// Where.
        addr: SocketAddr,
    },
    /// It is no longer a member.
    Left {
        /// Who.
        name: Name,
        /// Of its own will or not.
        how: Departure,
    },
    /// Its metadata changed. Never happens in MetalLB.
    Updated {
        /// Who.
        name: Name,
    },
}

/// How a member went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Departure {
    /// It said so.
    Left,
    /// Others said so.
    Dead,
}

/// A stream that we open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DialId(pub u64);

/// A stream that another opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// What happened so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Probes begun.
    pub probes: u64,
    /// Probes that ended without an answer.
    pub probes_failed: u64,
    /// Acks for our probes from addresses that we had not asked. Taken, because Go hosts have several.
    pub acks_from_elsewhere: u64,
    /// Members that became suspect.
    pub suspicions: u64,
    /// Members that died (not: left).
    pub deaths: u64,
    /// Claims about ourselves that we refuted.
    pub refutations: u64,
    /// Claims about ourselves that cannot be refuted, because no incarnation is left above theirs.
    pub irrefutable: u64,
    /// Claims that one of the members has another address.
    pub conflicts: u64,
    /// Claims about new names beyond [`Params::max_members`].
    pub members_refused: u64,
    /// Indirect pings answered with a nack at once: too many, or not to the address that we hold.
    pub relays_refused: u64,
    /// Claims that somebody is alive who speaks what we do not understand, or the other way round.
    pub versions_refused: u64,
    /// Push/pulls not merged because somebody in them speaks a version that another does not.
    pub merges_refused: u64,
    /// Times that we did not run when we should have.
    pub stalls: u64,
    /// Members that we declared dead because heartbeats found them silent.
    pub silences: u64,
}

/// What is said at most every [`QUIET`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Noise {
    Conflict,
    Full,
    Versions,
    Irrefutable,
    Refuted,
    OnlyByStream,
    Stalled,
    Exchange,
}

/// We are leaving.
#[derive(Debug, Clone, Copy)]
struct Leaving {
    /// When to wait no longer.
    until: Instant,
    /// Whether that was said.
    done: bool,
}

/// A member of the cluster: ourselves.
///
/// Invariant: our own record is in the table as long as we live, alive unless we are leaving, with our incarnation.
#[derive(Debug)]
pub struct Swim {
    params: Params,
    random: Random,
    now: Instant,
    outputs: VecDeque<Output>,
    counters: Counters,
    noise: BTreeMap<Noise, Instant>,

    members: Members,
    suspicions: BTreeMap<Name, Suspicion>,
    incarnation: u32,
    /// 0 is good.
    health: u32,
    leaving: Option<Leaving>,
    /// When we last said again that we are alive because somebody did not know.
    repeated: Option<Instant>,

    probe_at: Instant,
    /// A probe was due while one was running.
    probe_pending: bool,
    probe: Option<Probe>,
    /// Invariant: in the order of their deadlines.
    relays: VecDeque<Relay>,
    seq_no: u32,

    queue: Broadcasts,
    gossip_at: Instant,
    gossiped: Option<Instant>,

    sync_at: Instant,
    dials: BTreeMap<DialId, Dial>,
    dialled: u64,
    joins: Joins,
    peers: BTreeSet<SocketAddr>,
    rejoin_at: Instant,
    rejoined: Option<Instant>,

    heartbeat: Heartbeat,
    /// The members changed since the heartbeats were told.
    census_changed: bool,
    told_widely: Option<Instant>,
    stations: Stations,
}

impl Swim {
    /// A member that knows nobody, at its first incarnation. Its own [`Event::Joined`] is the first output.
    #[must_use]
    pub fn new(now: Instant, params: Params, mut random: Random) -> Self {
        let start = |random: &mut Random, interval| now + random.within(interval);
        let heartbeat = Heartbeat::new(
            now,
            params.name.clone(),
            params.heartbeat.clone(),
            params.kin.is_some_and(|kin| kin.fast),
            // Numbers of its own: what one draws does not move the other's.
            Random::seeded(random.clone().bits()),
        );
        let mut swim = Self {
            probe_at: start(&mut random, params.probe_interval),
            gossip_at: start(&mut random, params.gossip_interval),
            sync_at: start(&mut random, params.push_pull_interval),
            rejoin_at: now + params.rejoin_interval,
            // A random start makes acks harder to guess, and is legal.
            seq_no: u32::try_from(random.bits() >> 32).unwrap_or_default(),
            queue: Broadcasts::new(params.max_members),
            random,
            now,
            outputs: VecDeque::new(),
            counters: Counters::default(),
            noise: BTreeMap::new(),
            members: Members::default(),
            suspicions: BTreeMap::new(),
            incarnation: 1,
            health: 0,
            leaving: None,
            repeated: None,
            probe_pending: false,
            probe: None,
            relays: VecDeque::new(),
            gossiped: None,
            dials: BTreeMap::new(),
            dialled: 0,
            joins: Joins::default(),
            peers: BTreeSet::new(),
            rejoined: None,
            heartbeat,
            census_changed: true,
            told_widely: None,
            stations: Stations::new(now),
            params,
        };
        let own = swim.own_claim();
        swim.alive(own, true);
        swim
    }

    /// All records: alive, suspect, dead and not yet forgotten, left; by name.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.iter()
    }

    /// The names that are members: alive or suspect, ourselves included. What MetalLB calls active speakers.
    pub fn active(&self) -> impl Iterator<Item = &Name> {
        self.members
            .iter()
            .filter(|member| member.is_active())
            .map(|member| &member.name)
    }

    /// What we hold of `name`.
    #[must_use]
    pub fn member(&self, name: &Name) -> Option<&Member> {
        self.members.get(name)
    }

    /// What happened so far.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Our own health by our own judgement: 0 is good, [`Params::awareness_max`] − 1 the worst.
    #[must_use]
    pub const fn health(&self) -> u32 {
        self.health
    }

    /// Our incarnation.
    #[must_use]
    pub const fn incarnation(&self) -> u32 {
        self.incarnation
    }

    /// Claims that wait to be passed on.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// What we claim about ourselves.
    fn own_claim(&self) -> Alive {
        Alive {
            incarnation: self.incarnation,
            node: self.params.name.clone(),
            addr: self.params.advertise.ip(),
            port: self.params.advertise.port(),
            meta: self.params.kin.map(Abilities::to_meta).unwrap_or_default(),
            vsn: Versions::OURS,
        }
    }

    fn is_own(&self, name: &Name) -> bool {
        *name == self.params.name
    }

    /// Worse (or better, if negative) by that much, within bounds.
    fn health_changes(&mut self, by: i32) {
        let worst = self.params.awareness_max.saturating_sub(1);
        self.health = self.health.saturating_add_signed(by).min(worst);
    }

    fn say(&mut self, record: journal::Record) {
        self.outputs.push_back(Output::Log(record));
    }

    /// As [`Swim::say`], but not again for a while.
    fn say_seldom(&mut self, noise: Noise, record: impl FnOnce() -> journal::Record) {
        let said = self.noise.get(&noise);
        if said.is_none_or(|said| self.now.duration_since(*said) >= QUIET) {
            self.noise.insert(noise, self.now);
            self.say(record());
        }
    }

    /// Serves all timers that are due, in the order in which one may need the other.
    fn run_timers(&mut self) {
        self.expire_dials();
        self.expire_relays();
        self.continue_probe();
        self.expire_suspicions();
        self.probe_tick();
        self.gossip_tick();
        self.sync_tick();
        self.rejoin_tick();
        self.dial_joins();
        self.heartbeat_tick();
        self.stations_tick();
        self.finish_leave();
    }

    /// The first tick of a series after now; those that were missed are not made up for.
    fn following(&self, tick: Instant, interval: Duration) -> Instant {
        let interval = interval.max(Duration::from_millis(1));
        let next = tick + interval;
        if next > self.now {
            return next;
        }
        let missed = self.now.duration_since(tick).as_nanos() / interval.as_nanos();
        tick + interval.saturating_mul(u32::try_from(missed + 1).unwrap_or(u32::MAX))
    }
}

impl Machine for Swim {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, now: Instant, input: Input) {
        let now = now.max(self.now);
        self.notice_stall(now);
        self.now = now;
        match input {
            Input::Tick => {}
            Input::Datagram { from, messages } => self.datagram(from, messages),
            Input::SendFailed { to } => self.send_failed(to),
            Input::StreamRequest { id, from, message } => self.stream_request(id, from, message),
            Input::StreamReply { id, message } => self.stream_reply(id, message),
            Input::StreamFailed { id, reason } => self.stream_failed(id, &reason),
            Input::Join(addresses) => self.join(addresses),
            Input::Peers(addresses) => self.set_peers(addresses),
            Input::Condemn(name) => self.condemn(name),
            Input::FastDetection(on) => self.set_fast(on),
            Input::Stations(stations) => self.set_stations(stations),
            Input::Leave => self.leave(),
        }
        self.run_timers();
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn next_deadline(&self) -> Option<Instant> {
        let leaving = self.leaving.filter(|leaving| !leaving.done);
        let resident = self.leaving.is_none();
        [
            resident.then_some(self.probe_at),
            resident.then_some(self.sync_at),
            (resident && !self.peers.is_empty()).then_some(self.rejoin_at),
            leaving.map(|leaving| leaving.until),
            (!self.queue.is_empty()).then_some(self.gossip_at),
            self.probe.as_ref().map(Probe::deadline),
            self.relays.front().map(|relay| relay.until),
            self.suspicions.values().map(Suspicion::deadline).min(),
            self.dials.values().map(|dial| dial.until).min(),
            self.heartbeat.next_deadline(),
            self.stations_deadline(),
        ]
        .into_iter()
        .flatten()
        .min()
    }
}
