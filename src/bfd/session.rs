//! One session: RFC 5880 §6, in asynchronous mode.
//!
//! What it is: state, timers, Poll Sequences, the echo function. What it is not: bytes and sockets; which packet is for it
//! (`demux`); what Down means to others.
//!
//! ```text
//!                          Received: Down                        Received: Init, Up
//!            +------+ ------------------------> +------+ -----------------------------> +----+
//!  Params -> | Down |                           | Init |                                | Up | <-+ Received: Init, Up
//!            |      | <- expired, AdminDown --- |      |                                |    | --+
//!            +------+                           +------+                                +----+
//!             |    ^  Received: Init                                                     ^  |
//!             |    +-- expired, echo failed, Received: Down, AdminDown ------------------|--+
//!             +--------------------------------------------------------------------------+
//!  Stop, in any state -> AdminDown: told up to three times, then Ended
//! ```
//!
//! In: [`Input`]. Out: [`Output`]. RFC 5880 §6.2 (states), §6.5 (polls), §6.6 (demand mode, where the peer wants it), §6.8.
//!
//! # Late ticks
//!
//! A session whose owner ran late would blame the peer for it. Whoever drives it hands over all packets that wait before a
//! Tick: if only this process was late, the kernel kept them, and if there are none, the peer was silent. A Tick that comes
//! later than half the Detection Time after the deadline gives the peer one interval more, once after each packet: so late is
//! a suspended machine, and that loses packets instead of keeping them.
//!
//! Invariants: `Up` and `Down` outputs alternate; nothing is sent faster than the peer takes it, but for answers to polls and
//! changes of state, one for one packet received; no input makes it panic, and it holds no more outputs than one input makes.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use super::wire::{Control, Diagnostic, Echo, State, TTL};
use super::{Params, Reason};
use crate::machine::Machine;
use crate::random::Random;

mod echo;
mod timing;

use echo::Echoes;
pub use echo::Paths;
use timing::{Intervals, Polls};

/// RFC 5880 §6.8.3: the least Desired Min TX Interval while the session is not Up; §6.4: of what is received while echoes
/// do the work.
const SLOW: Duration = Duration::from_secs(1);

/// Whatever is asked for, nothing is sent more often: the least that a profile can say is ten times that.
const LEAST: Duration = Duration::from_millis(1);

/// How often AdminDown is told at the end: one packet may be lost, and then another.
const FAREWELLS: u8 = 3;

/// The longest wait between two of them. With slower peers it is told once: whoever stops does not wait for seconds.
const FAREWELL_WAIT: Duration = Duration::from_millis(400);

/// What can happen to a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// It is time.
    Tick,
    /// A packet for this session.
    Received {
        /// What it says.
        control: Control,
        /// Time to live, or hop limit, as it arrived.
        ttl: u8,
    },
    /// An echo of this session came back.
    Echo(Echo),
    /// Other parameters; or, after [`Input::Stop`], begin again.
    Params(Params),
    /// What the world can do for the echo function.
    Paths(Paths),
    /// Say AdminDown and end.
    Stop,
}

/// What a session wants done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Send this to the peer, with a time to live of 255.
    Transmit(Control),
    /// Send this the way it says.
    Echo(Echo),
    /// The session is Up.
    Up,
    /// It was Up, and is not any more.
    Down(Reason),
    /// The input was dropped.
    Dropped(Drop),
    /// Echoes never came back so far: the peer promises to loop them and does not, or something between does not.
    EchoUnanswered,
    /// A Tick came so late that the peer was given one interval more.
    Late(Duration),
    /// AdminDown was told: this session is over.
    Ended,
}

/// Why a packet for this session has no effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Drop {
    /// It came through more routers than may be between.
    TimeToLive,
    /// Your Discriminator is another session's.
    Discriminator,
    /// The session is AdminDown.
    AdminDown,
    /// An echo that came back before, or is older than one that did, or was never sent.
    StaleEcho,
}

/// What the peer said last. RFC 5880 §6.8.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Remote {
    /// bfd.RemoteDiscr.
    discriminator: Option<NonZeroU32>,
    /// bfd.RemoteSessionState.
    state: State,
    /// bfd.RemoteDemandMode.
    demand: bool,
    detect_multiplier: u8,
    desired_min_tx: Duration,
    /// bfd.RemoteMinRxInterval.
    required_min_rx: Duration,
    required_min_echo_rx: Duration,
}

impl Remote {
    /// Nothing is known of it. RFC 5880 §6.8.1: RemoteSessionState MUST be initialized to Down, RemoteDiscr to zero,
    /// RemoteMinRxInterval to 1, RemoteDemandMode to zero.
    const UNKNOWN: Self = Self {
        discriminator: None,
        state: State::Down,
        demand: false,
        detect_multiplier: 1,
        desired_min_tx: Duration::ZERO,
        required_min_rx: Duration::from_micros(1),
        required_min_echo_rx: Duration::ZERO,
    };
}

/// How far the end is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    No,
    /// AdminDown is to be told `left` times more, `wait` apart.
    Telling {
        left: u8,
        wait: Duration,
    },
    Over,
}

/// A session.
#[derive(Debug, Clone)]
pub struct Session {
    params: Params,
    multihop: bool,
    /// bfd.LocalDiscr.
    discriminator: NonZeroU32,
    /// bfd.SessionState.
    state: State,
    /// bfd.LocalDiag.
    diagnostic: Diagnostic,
    remote: Remote,
    polls: Polls,
    echoes: Echoes,
    random: Random,
    /// When the last periodic packet was sent, and after which interval the next is due.
    transmitted: Option<(Instant, Duration)>,
    transmit_at: Option<Instant>,
    received_at: Option<Instant>,
    detect_at: Option<Instant>,
    /// A late Tick has given the peer an interval since the last packet.
    spared: bool,
    ending: Ending,
    outputs: VecDeque<Output>,
}

impl Session {
    /// A session in state Down, which begins to speak with the first Tick (unless it is passive).
    ///
    /// `discriminator`: not another session's, and hard to guess.
    #[must_use]
    pub fn new(
        now: Instant,
        params: Params,
        multihop: bool,
        discriminator: NonZeroU32,
        random: Random,
    ) -> Self {
        let mut session = Self {
            params,
            multihop,
            discriminator,
            state: State::Down,
            diagnostic: Diagnostic::NONE,
            remote: Remote::UNKNOWN,
            polls: Polls::settled(Intervals {
                desired_min_tx: params.transmit_interval.max(SLOW),
                required_min_rx: params.receive_interval,
            }),
            echoes: Echoes::default(),
            random,
            transmitted: None,
            transmit_at: None,
            received_at: None,
            detect_at: None,
            spared: false,
            ending: Ending::No,
            outputs: VecDeque::new(),
        };
        session.schedule(now);
        session
    }

    /// bfd.SessionState.
    #[must_use]
    pub const fn state(&self) -> State {
        self.state
    }

    /// bfd.LocalDiscr.
    #[must_use]
    pub const fn discriminator(&self) -> NonZeroU32 {
        self.discriminator
    }

    /// The time without a packet after which the peer is given up, as negotiated; `None`: the peer is not known.
    ///
    /// RFC 5880 §6.8.4: in Asynchronous mode, the Detection Time is equal to the value of Detect Mult received from the
    /// remote system, multiplied by the agreed transmit interval of the remote system (the greater of
    /// bfd.RequiredMinRxInterval and the last received Desired Min TX Interval).
    #[must_use]
    pub fn detection_time(&self) -> Option<Duration> {
        self.remote.discriminator?;
        Some(
            self.reception_interval()
                .saturating_mul(self.remote.detect_multiplier.into()),
        )
    }

    /// Whether the way is watched by echoes.
    #[must_use]
    pub const fn echo_is_active(&self) -> bool {
        self.echoes.is_active()
    }

    /// The interval at which the peer sends at the slowest.
    fn reception_interval(&self) -> Duration {
        self.polls
            .in_force
            .required_min_rx
            .max(self.remote.desired_min_tx)
    }

    // -- reception, RFC 5880 §6.8.6 (what the bytes alone can tell, `wire` has checked)

    fn receive(&mut self, now: Instant, control: Control, ttl: u8) {
        // RFC 5881 §5: if BFD authentication is not in use on a session, all BFD Control packets for the session MUST be
        // sent with a Time to Live (TTL) or Hop Limit value of 255. All received BFD Control packets that are demultiplexed
        // to the session MUST be discarded if the received TTL or Hop Limit is not equal to 255.
        // Upstream: over several hops, FRR's minimum-ttl is the least that is accepted.
        let least = if self.multihop {
            self.params.minimum_ttl
        } else {
            TTL
        };
        if ttl < least {
            return self.drop(Drop::TimeToLive);
        }
        // If the Your Discriminator field is nonzero, it MUST be used to select the session.
        if control
            .your_discriminator
            .is_some_and(|yours| yours != self.discriminator)
        {
            return self.drop(Drop::Discriminator);
        }
        self.remote = Remote {
            discriminator: Some(control.my_discriminator),
            state: control.state,
            demand: control.demand,
            detect_multiplier: control.detect_multiplier,
            desired_min_tx: control.desired_min_tx_interval,
            required_min_rx: control.required_min_rx_interval,
            required_min_echo_rx: control.required_min_echo_rx_interval,
        };
        // If a Poll Sequence is being transmitted by the local system and the Final (F) bit in the received packet is set,
        // the Poll Sequence MUST be terminated.
        self.polls.received(control.final_);
        // If bfd.SessionState is AdminDown, discard the packet.
        if self.state == State::AdminDown {
            // The peer has taken note: no need to say it again.
            if matches!(control.state, State::Down | State::AdminDown) {
                self.end();
            }
            return self.drop(Drop::AdminDown);
        }
        // Otherwise it has been received for purposes of the Detection Time expiration rules.
        self.received_at = Some(now);
        self.spared = false;
        self.transition(now, control.state, control.diagnostic);
        self.settle(now);
        // If the Poll (P) bit is set, send a BFD Control packet to the remote system with the Poll (P) bit clear, and the
        // Final (F) bit set.
        if control.poll {
            let answer = self.packet(false, true);
            self.outputs.push_back(Output::Transmit(answer));
        }
    }

    /// RFC 5880 §6.2 and §6.8.6: the state machine.
    fn transition(&mut self, now: Instant, received: State, why: Diagnostic) {
        match (self.state, received) {
            (State::Down, State::Down) => self.enter(now, State::Init),
            (State::Down, State::Init) | (State::Init, State::Init | State::Up) => {
                self.enter(now, State::Up);
            }
            // If received state is AdminDown: if bfd.SessionState is not Down, set bfd.LocalDiag to 3 (Neighbor signaled
            // session down), set bfd.SessionState to Down.
            (State::Init | State::Up, State::AdminDown) => {
                self.fail(
                    now,
                    Diagnostic::NEIGHBOR_SIGNALED_SESSION_DOWN,
                    Reason::NeighborAdminDown,
                );
            }
            // If bfd.SessionState is Up and received State is Down: likewise.
            (State::Up, State::Down) => {
                self.fail(
                    now,
                    Diagnostic::NEIGHBOR_SIGNALED_SESSION_DOWN,
                    Reason::NeighborDown(why),
                );
            }
            // The peer is held down, or believes in a session that is over: it must say Down first.
            (State::Down, State::AdminDown | State::Up)
            // Both begin: it has not heard us yet.
            | (State::Init, State::Down)
            // As it should be.
            | (State::Up, State::Init | State::Up)
            // Nothing moves what its owner holds down.
            | (State::AdminDown, State::AdminDown | State::Down | State::Init | State::Up) => {}
        }
    }

    fn enter(&mut self, now: Instant, state: State) {
        let was_up = self.state == State::Up;
        self.state = state;
        if state == State::Up && !was_up {
            // What was told about the last failure is history.
            self.diagnostic = Diagnostic::NONE;
            self.outputs.push_back(Output::Up);
        }
        self.settle(now);
        self.tell(now);
    }

    /// To Down; tells the owner if the session was Up.
    fn fail(&mut self, now: Instant, diagnostic: Diagnostic, reason: Reason) {
        let was_up = self.state == State::Up;
        self.state = State::Down;
        self.diagnostic = diagnostic;
        if was_up {
            self.outputs.push_back(Output::Down(reason));
        }
        self.settle(now);
        self.tell(now);
    }

    fn drop(&mut self, why: Drop) {
        self.outputs.push_back(Output::Dropped(why));
    }

    // -- transmission, RFC 5880 §6.8.7

    /// A packet as things stand.
    fn packet(&self, poll: bool, final_: bool) -> Control {
        Control {
            diagnostic: self.diagnostic,
            state: self.state,
            poll,
            final_,
            // The speaker's control plane is the same process.
            control_plane_independent: false,
            demand: false,
            detect_multiplier: self.params.detect_multiplier,
            my_discriminator: self.discriminator,
            your_discriminator: self.remote.discriminator,
            desired_min_tx_interval: self.polls.advertised.desired_min_tx,
            required_min_rx_interval: self.polls.advertised.required_min_rx,
            required_min_echo_rx_interval: self.required_min_echo_rx(),
        }
    }

    /// Whether packets may leave by themselves.
    fn may_transmit(&self) -> bool {
        // A system MUST NOT transmit BFD Control packets if bfd.RemoteDiscr is zero and the system is taking the Passive
        // role.
        if self.params.passive_mode && self.remote.discriminator.is_none() {
            return false;
        }
        // A system MUST NOT periodically transmit BFD Control packets if bfd.RemoteMinRxInterval is zero.
        if self.remote.required_min_rx.is_zero() {
            return false;
        }
        // A system MUST NOT periodically transmit BFD Control packets if Demand mode is active on the remote system
        // (bfd.RemoteDemandMode is 1, bfd.SessionState is Up, and bfd.RemoteSessionState is Up) and a Poll Sequence is not
        // being transmitted.
        let demanded =
            self.remote.demand && self.state == State::Up && self.remote.state == State::Up;
        !demanded || self.polls.is_asking()
    }

    /// Sends a periodic packet now.
    fn transmit(&mut self, now: Instant) {
        let packet = self.packet(self.polls.is_asking(), false);
        self.outputs.push_back(Output::Transmit(packet));
        let interval = self.transmit_interval();
        self.transmitted = Some((now, interval));
        self.transmit_at = now.checked_add(self.jittered(interval));
    }

    /// Tells a change of state at once.
    ///
    /// RFC 5880 §6.8.7: a BFD Control packet SHOULD be transmitted during the interval between periodic Control packet
    /// transmissions when the contents of that packet would differ from that in the previously transmitted packet (other
    /// than the Poll and Final bits) in order to more rapidly communicate a change in state.
    fn tell(&mut self, now: Instant) {
        if self.may_transmit() {
            self.transmit(now);
        }
    }

    /// RFC 5880 §6.8.7: not less than the larger of bfd.DesiredMinTxInterval and bfd.RemoteMinRxInterval.
    fn transmit_interval(&self) -> Duration {
        self.polls
            .in_force
            .desired_min_tx
            .max(self.remote.required_min_rx)
            .max(LEAST)
    }

    /// RFC 5880 §6.8.7: the periodic transmission of BFD Control packets MUST be jittered on a per-packet basis by up to
    /// 25%. If bfd.DetectMult is equal to 1, the interval MUST be no more than 90% of the negotiated transmission interval,
    /// and no less than 75%.
    fn jittered(&mut self, interval: Duration) -> Duration {
        let most = if self.params.detect_multiplier == 1 {
            90
        } else {
            100
        };
        self.random.share(interval, 75, most)
    }

    // -- after each change

    /// Brings what is advertised, and the timers, in line with the state and the peer.
    fn settle(&mut self, now: Instant) {
        self.settle_echoes(now);
        let wanted = self.wanted();
        self.polls.want(wanted, self.state == State::Up);
        self.schedule(now);
    }

    /// What we would like to advertise.
    fn wanted(&self) -> Intervals {
        Intervals {
            // RFC 5880 §6.8.3: when bfd.SessionState is not Up, the system MUST set bfd.DesiredMinTxInterval to a value of
            // not less than one second.
            desired_min_tx: if self.state == State::Up {
                self.params.transmit_interval
            } else {
                self.params.transmit_interval.max(SLOW)
            },
            // RFC 5880 §6.8.3: when the Echo function is active, a system SHOULD set bfd.RequiredMinRxInterval to a value of
            // not less than one second.
            required_min_rx: if self.echoes.is_active() {
                self.params.receive_interval.max(SLOW)
            } else {
                self.params.receive_interval
            },
        }
    }

    /// Sets the timers anew where what they depend on has changed.
    fn schedule(&mut self, now: Instant) {
        if self.state == State::AdminDown {
            self.detect_at = None;
            return;
        }
        self.detect_at = self
            .received_at
            .zip(self.detection_time())
            .and_then(|(received, time)| received.checked_add(time))
            // An interval that the peer was given does not shrink.
            .map(|at| match self.detect_at {
                Some(given) if self.spared => given.max(at),
                _ => at,
            });
        if !self.may_transmit() {
            self.transmit_at = None;
            return;
        }
        let interval = self.transmit_interval();
        self.transmit_at = match (self.transmitted, self.transmit_at) {
            (None, at) => at.or(Some(now)),
            (Some((_, before)), Some(at)) if before == interval => Some(at),
            // RFC 5880 §6.8.3: the local system cannot wait longer than the new interval between the previous packet
            // transmission and the next one.
            (Some((last, _)), _) => {
                self.transmitted = Some((last, interval));
                last.checked_add(self.jittered(interval))
            }
        };
    }

    // -- time

    fn tick(&mut self, now: Instant) {
        if self.detect_at.is_some_and(|at| at <= now) {
            self.detect(now);
        }
        self.tick_echoes(now);
        if self.transmit_at.is_some_and(|at| at <= now) {
            match self.ending {
                Ending::No => self.transmit(now),
                Ending::Telling { left, wait } => self.say_farewell(now, left, wait),
                Ending::Over => self.transmit_at = None,
            }
        }
    }

    /// RFC 5880 §6.8.4: if a period of time equal to the Detection Time passes without receiving a BFD Control packet from
    /// the remote system, and bfd.SessionState is Init or Up, the session has gone down: the local system MUST set
    /// bfd.SessionState to Down and bfd.LocalDiag to 1 (Control Detection Time Expired).
    fn detect(&mut self, now: Instant) {
        if !self.spared
            && let Some(late) = lateness(now, self.detect_at, self.detection_time())
        {
            self.spared = true;
            // Later than now, also where both ends ask for no time at all.
            let interval = self.reception_interval().max(Duration::from_millis(1));
            self.detect_at = now.checked_add(interval);
            self.outputs.push_back(Output::Late(late));
            return;
        }
        // RFC 5880 §6.8.1: if a period of a Detection Time passes without the receipt of a valid, authenticated BFD packet
        // from the remote system, bfd.RemoteDiscr MUST be set to zero.
        self.remote = Remote::UNKNOWN;
        self.received_at = None;
        self.detect_at = None;
        match self.state {
            State::Init | State::Up => self.fail(
                now,
                Diagnostic::CONTROL_DETECTION_TIME_EXPIRED,
                Reason::DetectionTimeExpired,
            ),
            State::AdminDown | State::Down => self.settle(now),
        }
    }

    // -- the owner's will

    fn change(&mut self, now: Instant, params: Params) {
        self.params = params;
        if self.state == State::AdminDown {
            // RFC 5880 §6.8.16: when enabling a session, set bfd.SessionState to Down.
            self.state = State::Down;
            self.diagnostic = Diagnostic::NONE;
            self.ending = Ending::No;
            self.transmit_at = None;
            self.transmitted = None;
        }
        self.settle(now);
    }

    /// RFC 5880 §6.8.16: to disable, set bfd.SessionState to AdminDown, bfd.LocalDiag to an appropriate value, cease the
    /// transmission of BFD Echo packets.
    fn stop(&mut self, now: Instant) {
        if self.state == State::AdminDown {
            return;
        }
        let heard = self.remote.discriminator.is_some();
        let may = self.may_transmit() || self.remote.demand;
        let wait = self.transmit_interval();
        self.state = State::AdminDown;
        self.diagnostic = Diagnostic::ADMINISTRATIVELY_DOWN;
        self.transmit_at = None;
        self.settle(now);
        if !may {
            return self.end();
        }
        // BFD Control packets SHOULD be transmitted for at least a Detection Time after transitioning to AdminDown state in
        // order to ensure that the remote system is aware of the state change. Three at the pace that the peer agreed to
        // are enough, and negligible.
        let left = if heard && wait <= FAREWELL_WAIT {
            FAREWELLS
        } else {
            1
        };
        self.say_farewell(now, left, wait);
    }

    fn say_farewell(&mut self, now: Instant, left: u8, wait: Duration) {
        let packet = self.packet(false, false);
        self.outputs.push_back(Output::Transmit(packet));
        match left.saturating_sub(1) {
            0 => self.end(),
            left => {
                self.ending = Ending::Telling { left, wait };
                self.transmit_at = now.checked_add(wait);
            }
        }
    }

    fn end(&mut self) {
        self.transmit_at = None;
        if self.ending != Ending::Over {
            self.ending = Ending::Over;
            self.outputs.push_back(Output::Ended);
        }
    }
}

/// How late `now` is for what was due after `time`, if that is late enough to spare the peer (see "Late ticks").
fn lateness(now: Instant, due: Option<Instant>, time: Option<Duration>) -> Option<Duration> {
    let late = now.saturating_duration_since(due?);
    (late > time? / 2).then_some(late)
}

impl Machine for Session {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Tick => self.tick(now),
            Input::Received { control, ttl } => self.receive(now, control, ttl),
            Input::Echo(echo) => self.receive_echo(now, echo),
            Input::Params(params) => self.change(now, params),
            Input::Paths(paths) => self.set_paths(now, paths),
            Input::Stop => self.stop(now),
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn next_deadline(&self) -> Option<Instant> {
        [
            self.transmit_at,
            self.detect_at,
            self.echoes.next_deadline(),
        ]
        .into_iter()
        .flatten()
        .min()
    }
}

#[cfg(test)]
mod tests;
