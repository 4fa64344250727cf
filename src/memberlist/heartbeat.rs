//! Heartbeats: who of our own kind has fallen silent, in less than half a second.
//!
//! On top of memberlist, which stays what it is towards everybody: a heartbeat *is* memberlist's ping, only more often, and
//! its answer memberlist's ack; the verdict is memberlist's claim that somebody is dead. So a Go node is never sent what it
//! does not know, takes a verdict as any other, and agrees with us on the owners of all addresses; and one that is
//! judged wrongly refutes as ever. Only members that say they take part (`wire::kin`) are watched.
//!
//! Not here: bytes, sockets, the clock, the table of members (`swim` tells it by [`Census`]).
//!
//! # Who watches whom
//!
//! All who take part stand in a ring, ordered by a hash of their names (so that the machines of one rack are not neighbours);
//! each watches the [`Params::watched`] next ones. So each is watched by three others, whatever the size of the
//! cluster, at 30 pings a second each way.
//!
//! # From silence to a verdict
//!
//! ```text
//!                 ack                          silent for 250 ms, and others of our kind can be asked
//!           +-----------+          +----------------------------------------------------------------+
//!           v           |          |                                                                v
//!        Steady --------+----------+        any ack, or one whom we asked heard it               Doubt
//!        a ping each 100 ms    <----------------------------------------------------- a ping each 50 ms, up to
//!           |                                                                         three others asked
//!           |                                      nobody heard it for 200 ms, half of those asked
//!           |                                      (at least one) say so                            |
//!           v                                                                                       v
//!     (nobody to ask)                                                                             dead
//! ```
//!
//! * Half of those asked must say that they do not hear it. One whose own packets do not arrive gets no such word and
//!   condemns nobody; nor does one to whom everybody has fallen silent.
//! * One who is asked pings the one in question at once and every 50 ms, and answers when it hears it, or after 150 ms.
//! * Where two are all there is (no other member of any kind), nobody can be asked: the verdict waits for 700 ms of silence,
//!   12 pings. Where the others are all Go's, there is none: memberlist's own detection.
//! * Doubt needs a path known to be good: ten answers since the watch began, and six of ten pings answered within 100 ms
//!   lately. On a worse path memberlist's own detection is all there is.
//! * Doubts that others allay become rarer (0.5 s, 1 s … 32 s), until it is heard again.
//! * One that was declared dead and is back within 5 s was perhaps alive: it is not doubted for 10 s, 20 s … 5 min.
//!
//! # Late ticks
//!
//! Who did not run himself cannot know who was silent: when an input comes more than [`Params::late_after`] after the deadline, the
//! time in between is no silence (after more than a second, all silence begins anew and all doubts end), and questions stay
//! unanswered. The driver reads the socket before it serves a deadline, so that an answer that waits there is never missed.
//!
//! # The dead
//!
//! Members of our kind that were declared dead, by whomever, are pinged for ten minutes more (about five times a second by all
//! of us together). When one answers, the two exchange their tables at once: it learns that it is held for dead, and
//! refutes. So a partition heals within a second or two.
//!
//! # Security
//!
//! Sealed as all gossip. An ack counts only with a number that we sent less than a second ago to just that address, and an
//! answer only with the 64 random bits of its question, from one whom we asked: what was recorded earlier fits nothing.
//! A question makes us ping a member at the address that we hold, a few times; never more than [`INQUIRIES`] at once.
//!
//! # Bounds
//!
//! Watches: [`Params::watched`], 32 pings each. Inquiries: [`INQUIRIES`], 8 askers each. Dead ones and blamed ones: [`LOST`] each.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::journal::{Level, Record};
use crate::machine::Machine;
use crate::memberlist::wire::Name;
use crate::memberlist::wire::kin::Kin;
use crate::random::Random;

mod inquiry;

mod lost;

mod watch;

#[cfg(test)]
mod tests;

use inquiry::Inquiry;
use lost::{Blame, Lost};
use watch::Watch;

/// Questions of others that are pursued at once: a rack that is gone, in a large cluster. Further ones get no answer.
pub const INQUIRIES: usize = 64;

/// Dead members that are pinged, and members that we remember to have condemned.
pub const LOST: usize = 1024;

/// Heartbeats have numbers of their own, so that no ack can be taken for another's: the highest bit is set.
pub const SEQ_NOS: u32 = 1 << 31;

/// The times of it, and how many take part in a verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Params {
    /// Between two pings of one watched. Ten a second to three others are, with their answers and those that
    /// ask us, 120 packets a second: a quarter of a percent of a core.
    pub interval: Duration,
    /// Silence that raises doubt: two pings unanswered, and half an interval of patience with the second.
    pub silence: Duration,
    /// Between two pings of one in doubt.
    pub urgent: Duration,
    /// From doubt to verdict, at least: four more pings.
    pub patience: Duration,
    /// How long one who is asked tries. So much below the patience that its word comes in time.
    pub inquiry: Duration,
    /// When those who have not answered are asked again.
    pub ask_again: Duration,
    /// A doubt that nobody shared in so long is given up.
    pub give_up: Duration,
    /// Silence that is a verdict where nobody can be asked.
    pub alone: Duration,
    /// An answer that takes longer than this says that the path is no good one.
    pub prompt: Duration,
    /// Whom each watches.
    pub watched: usize,
    /// Whom one in doubt asks.
    pub asked: usize,
    /// An input so late after the deadline says that we did not run.
    pub late_after: Duration,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            interval: Duration::from_millis(100),
            silence: Duration::from_millis(250),
            urgent: Duration::from_millis(50),
            patience: Duration::from_millis(200),
            inquiry: Duration::from_millis(150),
            ask_again: Duration::from_millis(80),
            give_up: Duration::from_millis(700),
            alone: Duration::from_millis(700),
            prompt: Duration::from_millis(100),
            watched: 3,
            asked: 3,
            late_after: Duration::from_millis(50),
        }
    }
}

/// Another member of our kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Who.
    pub name: Name,
    /// Where.
    pub addr: SocketAddr,
    /// Its newest claim that we know.
    pub incarnation: u32,
    /// Whether it takes part.
    pub fast: bool,
}

/// The others, as memberlist knows them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Census {
    /// Those of our kind that are members: alive or suspect.
    pub kin: Vec<Peer>,
    /// How many further members there are.
    pub strangers: usize,
    /// Those of our kind that were declared dead and are still remembered.
    pub dead: Vec<Peer>,
}

/// What can happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// The deadline is here.
    Tick,
    /// The members are these now. Saying the same again is harmless.
    Census(Census),
    /// An ack came, with a number from [`SEQ_NOS`] on.
    Ack {
        /// From where.
        from: SocketAddr,
        /// Its number.
        seq_no: u32,
    },
    /// One of our kind said this.
    Kin {
        /// From where.
        from: SocketAddr,
        /// What.
        message: Kin,
    },
    /// Whether to watch anybody. Questions of others are answered in any case.
    Switch(bool),
}

/// What is wanted done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Ping it, with this number.
    Ping {
        /// Where.
        to: SocketAddr,
        /// Who is meant.
        name: Name,
        /// From [`SEQ_NOS`] on.
        seq_no: u32,
    },
    /// Say this to one of our kind.
    Kin {
        /// To whom.
        to: SocketAddr,
        /// What.
        message: Kin,
    },
    /// It is dead: tell everybody.
    Dead {
        /// Who.
        name: Name,
        /// The incarnation that fell silent. A newer claim is a sign of life.
        incarnation: u32,
    },
    /// One that was declared dead answers.
    Back {
        /// Who.
        name: Name,
        /// Where.
        addr: SocketAddr,
    },
    /// Something for the log.
    Log(Record),
}

/// What happened so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Heartbeats sent.
    pub pings: u64,
    /// Heartbeats answered in time to be counted.
    pub acks: u64,
    /// Doubts that arose.
    pub doubts: u64,
    /// Verdicts.
    pub verdicts: u64,
    /// Members we watch that were back within five seconds of being declared dead: wrongly perhaps, or a speaker that was
    /// killed and started again.
    pub hasty: u64,
    /// Questions of others that we pursued.
    pub questions: u64,
    /// Questions without an answer: from strangers, about strangers, or too many.
    pub questions_refused: u64,
    /// Times that we did not run when we should have.
    pub late: u64,
}

/// The watch over others of our kind.
#[derive(Debug)]
pub struct Heartbeat {
    own: Name,
    params: Params,
    random: Random,
    now: Instant,
    on: bool,
    kin: BTreeMap<Name, Peer>,
    strangers: usize,
    watches: BTreeMap<Name, Watch>,
    inquiries: BTreeMap<Name, Inquiry>,
    lost: BTreeMap<Name, Lost>,
    blamed: BTreeMap<Name, Blame>,
    seq_no: u32,
    outputs: VecDeque<Output>,
    counters: Counters,
}

impl Heartbeat {
    /// One that knows nobody. `on`: whether to watch.
    #[must_use]
    pub fn new(now: Instant, own: Name, params: Params, on: bool, mut random: Random) -> Self {
        Self {
            own,
            // A random start makes numbers harder to guess.
            seq_no: u32::try_from(random.bits() >> 32).unwrap_or_default(),
            params,
            random,
            now,
            on,
            kin: BTreeMap::new(),
            strangers: 0,
            watches: BTreeMap::new(),
            inquiries: BTreeMap::new(),
            lost: BTreeMap::new(),
            blamed: BTreeMap::new(),
            outputs: VecDeque::new(),
            counters: Counters::default(),
        }
    }

    /// What happened so far.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Whom we watch, and whether a verdict could be had of it now: whether the path to it is known to be good.
    pub fn watched(&self) -> impl Iterator<Item = (&Name, bool)> {
        self.watches
            .iter()
            .map(|(name, watch)| (name, watch.is_good()))
    }

    /// Where those are that were declared dead and are still asked.
    pub fn lost(&self) -> impl Iterator<Item = SocketAddr> {
        self.lost.values().map(|lost| lost.peer.addr)
    }

    /// The members changed, or those who take part.
    fn take_census(&mut self, census: Census) {
        self.strangers = census.strangers;
        self.kin = census
            .kin
            .into_iter()
            .map(|peer| (peer.name.clone(), peer))
            .collect();
        self.bury(census.dead);
        self.choose_whom_to_watch();
    }

    fn choose_whom_to_watch(&mut self) {
        let mut watches = std::mem::take(&mut self.watches);
        if !self.on {
            return;
        }
        for name in self.neighbours() {
            let Some(peer) = self.kin.get(&name).cloned() else {
                continue;
            };
            let watch = match watches.remove(&name) {
                Some(mut watch) if watch.peer.addr == peer.addr => {
                    watch.is_told(&peer, self.now);
                    watch
                }
                Some(_) | None => {
                    // Not all at the same moment.
                    let first = self.now + self.random.within(self.params.interval);
                    let leniency = self.leniency(&name);
                    Watch::new(peer, first, leniency)
                }
            };
            self.watches.insert(name, watch);
        }
    }

    /// The next in the ring of those who take part.
    fn neighbours(&self) -> Vec<Name> {
        let own = place(&self.own);
        let mut ring: Vec<(u64, &Name)> = self
            .kin
            .values()
            .filter(|peer| peer.fast)
            .map(|peer| (place(&peer.name).wrapping_sub(own), &peer.name))
            .collect();
        ring.sort_unstable();
        ring.truncate(self.params.watched);
        ring.into_iter().map(|(_, name)| name.clone()).collect()
    }

    fn next_seq_no(&mut self) -> u32 {
        self.seq_no = self.seq_no.wrapping_add(1);
        self.seq_no | SEQ_NOS
    }

    /// Pings it; the number.
    fn ping(&mut self, to: SocketAddr, name: &Name) -> u32 {
        let seq_no = self.next_seq_no();
        self.counters.pings += 1;
        self.outputs.push_back(Output::Ping {
            to,
            name: name.clone(),
            seq_no,
        });
        seq_no
    }

    fn say(&mut self, to: SocketAddr, message: Kin) {
        self.outputs.push_back(Output::Kin { to, message });
    }

    fn ack(&mut self, from: SocketAddr, seq_no: u32) {
        let (now, prompt) = (self.now, self.params.prompt);
        for watch in self.watches.values_mut() {
            if watch.acked(from, seq_no, now, prompt) {
                self.counters.acks += 1;
                return;
            }
        }
        if !self.inquiry_acked(from, seq_no) {
            self.lost_acked(from, seq_no);
        }
    }

    fn hear(&mut self, from: SocketAddr, message: Kin) {
        match message {
            Kin::Question { nonce, name, .. } => self.question(from, nonce, &name),
            Kin::Answer { nonce, heard } => {
                for watch in self.watches.values_mut() {
                    watch.answered(from, nonce, heard);
                }
            }
            // Not about life and death.
            Kin::Stations(_) => {}
        }
    }

    /// Did we run when we should have?
    fn notice_lateness(&mut self, now: Instant) {
        let Some(deadline) = self.next_deadline() else {
            return;
        };
        let late = now.saturating_duration_since(deadline);
        if late <= self.params.late_after {
            return;
        }
        self.counters.late += 1;
        for watch in self.watches.values_mut() {
            watch.forgive(late, now);
        }
        // Whom we asked for others may have answered in time or not: we cannot say.
        self.inquiries.clear();
    }
}

impl Machine for Heartbeat {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, now: Instant, input: Input) {
        let now = now.max(self.now);
        self.notice_lateness(now);
        self.now = now;
        match input {
            Input::Tick => {}
            Input::Census(census) => self.take_census(census),
            Input::Ack { from, seq_no } => self.ack(from, seq_no),
            Input::Kin { from, message } => self.hear(from, message),
            Input::Switch(on) => {
                if std::mem::replace(&mut self.on, on) != on {
                    self.lost.clear();
                    self.choose_whom_to_watch();
                }
            }
        }
        self.serve_watches();
        self.serve_inquiries();
        self.serve_lost();
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn next_deadline(&self) -> Option<Instant> {
        let watches = self
            .watches
            .values()
            .map(|watch| watch.deadline(&self.params));
        let inquiries = self.inquiries.values().map(Inquiry::deadline);
        let lost = self.lost.values().map(Lost::deadline);
        watches.chain(inquiries).chain(lost).min()
    }
}

/// Where a name stands in the ring: FNV-1a, and SplitMix64's finish, because similar names must not be neighbours. All
/// speakers must agree on it, so it never changes.
fn place(name: &Name) -> u64 {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    Random::seeded(hash).bits()
}

fn told(event: &'static str, msg: String, level: Level) -> Output {
    Output::Log(Record::event(event, msg).at(level))
}
