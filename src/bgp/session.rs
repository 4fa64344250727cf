//! One peer's session: RFC 4271 §8 for a speaker that dials and never listens.
//!
//! What it is: the states, the timers, the agreement that two OPENs make, who closes and why. What it is not: bytes
//! (`wire`), which UPDATEs a peer is still to be sent (`rib_out`), sockets (`driver`). In: [`Input`]s at a time. Out:
//! [`Output`]s and [`Machine::next_deadline`].
//!
//! # States
//!
//! ```text
//!            Start                 Connected              OPEN, agreed           KEEPALIVE
//!   Idle ----------------> Connect ----------> OpenSent ----------> OpenConfirm ----------> Established
//!    ^ ^   IdleHoldTimer   |     ^                |                     |                      |
//!    | |           no      |     | ConnectRetry-  | connection          |                      |
//!    | |      connection   v     | Timer          | lost                |                      |
//!    | |                  Active <----------------+                     |                      |
//!    | +--- an error, either side's; connection lost; BFD; ------------+----------------------+
//!    +----- Stop, Shutdown: from any state, and stays
//! ```
//!
//! Active is only a wait, for we do not listen. Idle is one too (DampPeerOscillations, §8.1.1), but before the first
//! Start and after the end, when nothing happens any more. Both waits come from one [`Backoff`]; it begins anew when a
//! session that ends was Established for [`STABLE`].
//!
//! # Timers
//!
//! | timer | runs in | for |
//! | --- | --- | --- |
//! | IdleHold | Idle | the backoff |
//! | ConnectRetry | Connect | [`CONNECT_TIME`], then the dial is given up |
//! | ConnectRetry | Active | the backoff |
//! | Hold | OpenSent | [`LARGE_HOLD_TIME`] |
//! | Silence | OpenSent, OpenConfirm | [`CONNECT_TIME`], then it is said that no OPEN, no KEEPALIVE comes |
//! | Hold | OpenConfirm, Established | the lower of both Hold Times; 0: [`LARGE_HOLD_TIME`], then off |
//! | Keepalive | OpenConfirm, Established | `keepalive_time`, at most a third of the Hold Time, with jitter (§10); 0: off |
//! | SendHold | Established, octets in flight | RFC 9687: twice the Hold Time, at least [`SEND_HOLD_TIME`]; 0: off |
//! | Leaving | Established | `graceful_shutdown`, at most [`LEAVING`] |
//!
//! Messages that arrived before a deadline is served count: the driver reads before it ticks.
//!
//! # Bounds
//!
//! Octets in flight: [`IN_FLIGHT`] and one message; a peer that does not read gets no further UPDATEs until it does,
//! and what changes meanwhile is merged in `rib_out`. What arrived: less than one message is kept. What the peer
//! announces: nothing is kept. Lines of the log: one and the same is said once in [`QUIET`] above level debug.
//!
//! Invariants: Established only after an OPEN each way; in every state but a final Idle a timer runs or, Established
//! with Hold Time 0, none is wanted; after [`Output::Ended`] nothing happens any more.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipnet::IpNet;

use super::backoff::Backoff;
use super::rib_out::RibOut;
use super::wire::Open;
use super::{Attributes, Params};
use crate::journal::Record;
use crate::machine::Machine;
use crate::random::Random;

mod agreement;
mod local;
mod messages;
mod sayings;
#[cfg(test)]
mod tests;
mod timers;
mod transition;

pub use agreement::Agreement;
pub use local::Local;

use timers::Timers;
use transition::Event;

/// How long a dial may take (Upstream's), and the peer's next message until it is said that it does not come.
pub const CONNECT_TIME: Duration = Duration::from_secs(10);

/// Hold Timer before the peer has said its own (RFC 4271 §8.2.2: "a large value", 4 minutes).
pub const LARGE_HOLD_TIME: Duration = Duration::from_secs(4 * 60);

/// Lowest SendHoldTimer (RFC 9687 §3.2: 8 minutes).
pub const SEND_HOLD_TIME: Duration = Duration::from_secs(8 * 60);

/// A session that was Established for this long was good: the backoff begins anew. Half of the longest backoff, so that
/// a peer that fails again and again just after does not get more attempts than one that never answers.
pub const STABLE: Duration = Duration::from_secs(60);

/// Longest wait between GRACEFUL_SHUTDOWN and the end: a Pod is given 2 s for all of its end.
pub const LEAVING: Duration = Duration::from_secs(1);

/// Octets that were handed out for transmission and are not written: no further UPDATE while there are as many. A few
/// of the largest messages (64 KiB), dozens of usual ones: enough for one large write.
pub const IN_FLIGHT: usize = 256 * 1024;

/// Shortest time between two lines above debug that say the same.
pub const QUIET: Duration = Duration::from_secs(5 * 60);

/// A failure to connect so soon after a session is no news: the peer is still letting go of that one (FRR refuses the
/// next one for some milliseconds).
pub const LETTING_GO: Duration = Duration::from_secs(2);

/// What can happen to a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// The deadline is here.
    Tick,
    /// Keep a session from now on.
    Start,
    /// Advertise this prefix; `None`: do not.
    Route(IpNet, Option<Arc<Attributes>>),
    /// The answer to [`Output::Dial`]: there is a connection.
    Connected(Local),
    /// The answer to [`Output::Dial`]: there is none; the sentence says why.
    ConnectFailed(String),
    /// Octets arrived.
    Received(Vec<u8>),
    /// The peer closed the connection, without a NOTIFICATION before.
    Closed,
    /// The connection broke; the sentence says how.
    Broken(String),
    /// So many of the octets of [`Output::Transmit`] were written.
    Written(usize),
    /// BFD says that the way to the peer is down.
    BfdDown,
    /// From now on the session is like this.
    Reconfigure(Arc<Params>),
    /// No session any more: the peer is de-configured.
    Stop,
    /// The program ends.
    Shutdown,
}

/// What a session wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Dial the peer of these parameters; answered by [`Input::Connected`] or [`Input::ConnectFailed`], unless closed
    /// before.
    Dial(Arc<Params>),
    /// Write these octets after those before; answered by [`Input::Written`].
    Transmit(Vec<u8>),
    /// The end of this connection, or of the dial. Nothing of it may come in any more.
    Close(How),
    /// The session is Established.
    Up,
    /// A session that was Established is not any more; the sentence says why.
    Down(String),
    /// A line for the log.
    Log(Record),
    /// [`Input::Stop`] or [`Input::Shutdown`] is done: nothing will come any more.
    Ended,
}

/// How to close a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// Write what is to be written, for a moment, and let the peer read it.
    Written,
    /// At once.
    Silently,
}

/// RFC 4271 §8.2.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// No session is wanted, or the IdleHoldTimer runs.
    Idle,
    /// The peer is being dialled.
    Connect,
    /// There was no connection: the ConnectRetryTimer runs.
    Active,
    /// Our OPEN is sent.
    OpenSent,
    /// The peer's OPEN is agreed with.
    OpenConfirm,
    /// Routes are exchanged.
    Established,
}

/// What happened so far, whatever the session was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Dials.
    pub connects: u64,
    /// Dials without a connection.
    pub connect_failures: u64,
    /// Times that the session became Established.
    pub established: u64,
    /// Messages sent, of all types.
    pub messages_out: u64,
    /// UPDATEs sent.
    pub updates_out: u64,
    /// NOTIFICATIONs sent.
    pub notifications_out: u64,
    /// Messages received, of all types, malformed ones included.
    pub messages_in: u64,
    /// UPDATEs received; nothing of them is kept.
    pub updates_in: u64,
    /// NOTIFICATIONs received.
    pub notifications_in: u64,
    /// ROUTE-REFRESHes received.
    pub refreshes_in: u64,
}

/// How a session stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    /// Whether it is Established.
    pub up: bool,
    /// Prefixes that the peer has been told.
    pub announced: usize,
    /// Prefixes that a message is still to be sent about.
    pub pending: usize,
    /// Prefixes that are wanted and that this session cannot carry.
    pub unsendable: usize,
    /// What happened so far.
    pub counters: Counters,
}

impl Figures {
    /// Both together: up if both are.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let (a, b) = (&self.counters, &other.counters);
        Self {
            up: self.up && other.up,
            announced: self.announced + other.announced,
            pending: self.pending + other.pending,
            unsendable: self.unsendable + other.unsendable,
            counters: Counters {
                connects: a.connects + b.connects,
                connect_failures: a.connect_failures + b.connect_failures,
                established: a.established + b.established,
                messages_out: a.messages_out + b.messages_out,
                updates_out: a.updates_out + b.updates_out,
                notifications_out: a.notifications_out + b.notifications_out,
                messages_in: a.messages_in + b.messages_in,
                updates_in: a.updates_in + b.updates_in,
                notifications_in: a.notifications_in + b.notifications_in,
                refreshes_in: a.refreshes_in + b.refreshes_in,
            },
        }
    }
}

/// A connection, from the moment that it is there.
#[derive(Debug)]
struct Connection {
    local: Local,
    /// Our OPEN, as it was sent.
    ours: Open,
    /// From OpenConfirm on.
    agreement: Option<Agreement>,
    /// The beginning of a message.
    input: Vec<u8>,
    /// Octets handed out and not written.
    in_flight: usize,
}

/// One peer's session.
#[derive(Debug)]
pub struct Session {
    params: Arc<Params>,
    random: Random,
    backoff: Backoff,
    rib: RibOut,
    outputs: VecDeque<Output>,
    counters: Counters,

    state: State,
    timers: Timers,
    /// Invariant: there in OpenSent, OpenConfirm and Established, and in no other state.
    connection: Option<Connection>,
    /// When it became Established, if it is.
    since: Option<Instant>,
    /// When it last was Established, if it is not.
    down_at: Option<Instant>,
    /// Not Established since the program began.
    restarted: bool,
    /// The peer refused our capabilities: the next OPEN has none.
    plain: bool,
    /// The program ends, or the peer is not wanted any more: no further dial.
    ending: bool,
    /// What was last said above debug, and when.
    said: Option<(String, Instant)>,
    /// When it was last said that there are routes that the session cannot carry.
    said_unsendable: Option<Instant>,
    /// When something last happened.
    now: Option<Instant>,
}

impl Session {
    /// A session that waits for [`Input::Start`], without routes.
    #[must_use]
    pub fn new(params: Arc<Params>, random: Random) -> Self {
        Self {
            rib: RibOut::new(),
            params,
            random,
            backoff: Backoff::new(),
            outputs: VecDeque::new(),
            counters: Counters::default(),
            state: State::Idle,
            timers: Timers::default(),
            connection: None,
            since: None,
            down_at: None,
            restarted: true,
            plain: false,
            ending: false,
            said: None,
            said_unsendable: None,
            now: None,
        }
    }

    /// Where it stands.
    #[must_use]
    pub const fn state(&self) -> State {
        self.state
    }

    /// What both ends have agreed on, from OpenConfirm on.
    #[must_use]
    pub fn agreement(&self) -> Option<&Agreement> {
        self.connection.as_ref()?.agreement.as_ref()
    }

    /// How it stands, in figures.
    #[must_use]
    pub fn figures(&self) -> Figures {
        Figures {
            up: self.state == State::Established,
            announced: self.rib.advertised(),
            pending: self.rib.pending(),
            unsendable: self.rib.unsendable().total(),
            counters: self.counters,
        }
    }
}

impl Machine for Session {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Tick => {
                // A wait of nothing that begins here is for the next tick.
                for timer in self.timers.due(now) {
                    if self.timers.expire(timer, now) {
                        self.event(now, Event::Expired(timer));
                    }
                }
            }
            Input::Route(prefix, attributes) => self.rib.set(prefix, attributes),
            Input::Received(octets) => self.received(now, &octets),
            Input::Written(octets) => self.written(now, octets),
            Input::Start => self.event(now, Event::Start),
            Input::Connected(local) => self.event(now, Event::Connected(local)),
            Input::ConnectFailed(why) => self.event(now, Event::ConnectFailed(why)),
            Input::Closed => self.event(now, Event::Closed),
            Input::Broken(why) => self.event(now, Event::Broken(why)),
            Input::BfdDown => self.event(now, Event::BfdDown),
            Input::Reconfigure(params) => self.event(now, Event::Reconfigure(params)),
            Input::Stop => self.event(now, Event::Stop),
            Input::Shutdown => self.event(now, Event::Shutdown),
        }
        self.say_unsendable(now);
        self.now = Some(now);
    }

    /// UPDATEs are made here, so that many inputs come to few of them.
    fn poll_output(&mut self) -> Option<Output> {
        if self.outputs.is_empty()
            && let Some(now) = self.now
        {
            self.send_routes(now);
        }
        self.outputs.pop_front()
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.timers.next()
    }
}
