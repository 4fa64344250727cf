//! The transitions: RFC 4271 §8.2.2, every pair of state and event.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::agreement::{Agreement, our_open};
use super::sayings::{self, Loudness};
use super::timers::Timer;
use super::{
    CONNECT_TIME, Connection, How, LARGE_HOLD_TIME, LEAVING, Local, Output, STABLE, Session, State,
};
use crate::bgp::Params;
use crate::bgp::wire::{
    self, Cease, KEEPALIVE, Kind, Notification, Open, RouteRefresh, notification::code,
};

/// What happens to a session, one message or timer at a time.
#[derive(Debug)]
pub(super) enum Event {
    Start,
    Stop,
    Shutdown,
    Reconfigure(Arc<Params>),
    BfdDown,
    Expired(Timer),
    Connected(Local),
    ConnectFailed(String),
    Closed,
    Broken(String),
    Open(Open),
    Keepalive,
    Update,
    Notification(Notification),
    RouteRefresh(RouteRefresh),
    /// A message that cannot be read, and what to answer: nothing about a NOTIFICATION (RFC 4271 §6.4).
    Malformed(wire::Error, Option<Notification>),
}

impl Session {
    pub(super) fn event(&mut self, now: Instant, event: Event) {
        use State::{Active, Connect, Established, Idle, OpenConfirm, OpenSent};
        match (self.state, event) {
            // -- what is wanted

            // Event 1. In Idle with a running IdleHoldTimer too: whoever asks does not want to wait.
            (Idle, Event::Start) => {
                if !self.ending {
                    self.dial(now);
                }
            }
            // §8.2.2: ignored in all other states.
            (Connect | Active | OpenSent | OpenConfirm | Established, Event::Start) => {}

            // Event 2.
            (Idle | Connect | Active, Event::Stop | Event::Shutdown) => self.end(),
            (OpenSent | OpenConfirm | Established, Event::Stop) => {
                self.ending = true;
                self.leave(
                    now,
                    Notification::cease(Cease::PeerDeconfigured),
                    "the peer is not configured any more",
                );
            }
            (OpenSent | OpenConfirm, Event::Shutdown) => {
                self.ending = true;
                self.leave(
                    now,
                    Notification::cease(Cease::AdministrativeShutdown),
                    sayings::SHUTDOWN,
                );
            }
            (Established, Event::Shutdown) => self.shut_down(now),

            (Idle, Event::Reconfigure(params)) => {
                self.adopt(params);
                // Not before Start, and not after the end.
                if self.timers.at(Timer::IdleHold).is_some() {
                    self.dial(now);
                }
            }
            (Connect, Event::Reconfigure(params)) => {
                self.close(How::Silently);
                self.adopt(params);
                self.dial(now);
            }
            (Active, Event::Reconfigure(params)) => {
                self.adopt(params);
                self.dial(now);
            }
            (OpenSent | OpenConfirm | Established, Event::Reconfigure(params)) => {
                // It leaves anyway.
                if self.ending {
                    return;
                }
                self.leave(
                    now,
                    Notification::cease(Cease::OtherConfigurationChange),
                    "its configuration has changed",
                );
                self.adopt(params);
                self.dial(now);
            }

            // RFC 5882 §4.3: as if the way were cut, which it is. The peer is not told: it could not hear it.
            (OpenSent | OpenConfirm | Established, Event::BfdDown) => {
                self.lose(
                    now,
                    "BFD: the way to the peer is down",
                    None,
                    How::Silently,
                    Idle,
                );
            }
            // Nothing is up that could go down; the dial finds out for itself.
            (Idle | Connect | Active, Event::BfdDown) => {}

            // -- timers

            // Event 13.
            (Idle, Event::Expired(Timer::IdleHold)) => self.dial(now),
            // Event 9. In Connect the RFC dials again at once; here a dial that fails is one that failed, whatever it
            // died of.
            (Connect, Event::Expired(Timer::ConnectRetry)) => {
                let why = sayings::no_answer(&self.params);
                self.close(How::Silently);
                self.connect_failed(now, &why);
            }
            (Active, Event::Expired(Timer::ConnectRetry)) => self.dial(now),
            // Event 10.
            (OpenSent | OpenConfirm | Established, Event::Expired(Timer::Hold)) => {
                let why = self.silence();
                let answer = Notification::new(code::HOLD_TIMER_EXPIRED, 0);
                self.lose(now, &why, Some(answer), How::Written, Idle);
            }
            // Event 11.
            (OpenConfirm | Established, Event::Expired(Timer::Keepalive)) => self.keepalive(now),
            // RFC 9687 §3.2, event 29.
            (Established, Event::Expired(Timer::SendHold)) => {
                let answer = Notification::new(code::SEND_HOLD_TIMER_EXPIRED, 0);
                let why = "the peer does not read what is sent to it: Send Hold Timer Expired";
                self.lose(now, why, Some(answer), How::Written, Idle);
            }
            (Established, Event::Expired(Timer::Leaving)) => {
                self.ending = true;
                self.leave(
                    now,
                    Notification::cease(Cease::AdministrativeShutdown),
                    sayings::SHUTDOWN,
                );
            }
            // It may still come: nothing but a word about it.
            (OpenSent, Event::Expired(Timer::Silence)) => {
                let why = sayings::no_open(&self.params);
                self.say_failure(now, &why);
            }
            (OpenConfirm, Event::Expired(Timer::Silence)) => {
                let why = sayings::no_keepalive(&self.params);
                self.say_failure(now, &why);
            }
            // Timers that do not run in these states: each change of state stops them all.
            (Idle, Event::Expired(Timer::ConnectRetry))
            | (
                Connect | Active | OpenSent | OpenConfirm | Established,
                Event::Expired(Timer::IdleHold),
            )
            | (OpenSent | OpenConfirm | Established, Event::Expired(Timer::ConnectRetry))
            | (Idle | Connect | Active, Event::Expired(Timer::Hold))
            | (Idle | Connect | Active | OpenSent, Event::Expired(Timer::Keepalive))
            | (Idle | Connect | Active | Established, Event::Expired(Timer::Silence))
            | (
                Idle | Connect | Active | OpenSent | OpenConfirm,
                Event::Expired(Timer::SendHold | Timer::Leaving),
            ) => {}

            // -- the connection

            // Event 16, 17.
            (Connect, Event::Connected(local)) => self.open(now, local),
            // Not asked for, or not any more: the driver has closed it.
            (Idle | Active | OpenSent | OpenConfirm | Established, Event::Connected(_)) => {}

            // Event 18.
            (Connect, Event::ConnectFailed(why)) => self.connect_failed(now, &why),
            (Idle | Active | OpenSent | OpenConfirm | Established, Event::ConnectFailed(_)) => {}

            // Event 18.
            (OpenSent, Event::Closed) => {
                let why = sayings::closed_before_open(&self.params);
                self.lose(now, &why, None, How::Silently, Active);
            }
            (OpenSent, Event::Broken(why)) => self.lose(now, &why, None, How::Silently, Active),
            (OpenConfirm | Established, Event::Closed) => {
                let why = "the peer closed the connection without saying why";
                self.lose(now, why, None, How::Silently, Idle);
            }
            (OpenConfirm | Established, Event::Broken(why)) => {
                self.lose(now, &why, None, How::Silently, Idle);
            }
            // There is no connection.
            (Idle | Connect | Active, Event::Closed | Event::Broken(_)) => {}

            // -- messages

            // Event 19.
            (OpenSent, Event::Open(open)) => self.agree(now, &open),
            // Event 26.
            (OpenConfirm, Event::Keepalive) => self.establish(now),
            // Event 26, 27. RFC 7606: what was wrong with an UPDATE and does not end the session is counted.
            (Established, Event::Keepalive | Event::Update) => self.heard(now),
            (Established, Event::RouteRefresh(refresh)) => self.refresh(&refresh),

            // RFC 6608 §3, and event 19 in OpenConfirm: we have but one connection, so that is no collision.
            (OpenSent, Event::Keepalive) => self.unexpected(now, Kind::Keepalive),
            (OpenSent | OpenConfirm, Event::Update) => self.unexpected(now, Kind::Update),
            (OpenSent | OpenConfirm, Event::RouteRefresh(_)) => {
                self.unexpected(now, Kind::RouteRefresh);
            }
            (OpenConfirm | Established, Event::Open(_)) => self.unexpected(now, Kind::Open),

            // Event 24, 25.
            (OpenSent | OpenConfirm | Established, Event::Notification(notification)) => {
                self.notified(now, &notification);
            }

            // Event 21, 22, 28.
            (OpenSent | OpenConfirm | Established, Event::Malformed(error, answer)) => {
                self.lose(now, &error.to_string(), answer, How::Written, Idle);
            }

            // There is no connection.
            (
                Idle | Connect | Active,
                Event::Open(_)
                | Event::Keepalive
                | Event::Update
                | Event::Notification(_)
                | Event::RouteRefresh(_)
                | Event::Malformed(..),
            ) => {}
        }
    }

    fn become_state(&mut self, state: State) {
        self.timers.stop_all();
        self.state = state;
    }

    fn dial(&mut self, now: Instant) {
        self.become_state(State::Connect);
        self.timers.start(Timer::ConnectRetry, now + CONNECT_TIME);
        self.counters.connects += 1;
        self.outputs.push_back(Output::Dial(self.params.clone()));
    }

    fn adopt(&mut self, params: Arc<Params>) {
        self.params = params;
        self.backoff.reset();
        self.plain = false;
        self.said = None;
        self.said_unsendable = None;
    }

    /// There is a connection: our OPEN.
    fn open(&mut self, now: Instant, local: Local) {
        let ours = our_open(&self.params, &local, self.plain, self.restarted);
        let mut message = Vec::new();
        ours.encode(&mut message);
        self.connection = Some(Connection {
            local,
            ours,
            agreement: None,
            input: Vec::new(),
            in_flight: 0,
        });
        self.become_state(State::OpenSent);
        self.timers.start(Timer::Hold, now + LARGE_HOLD_TIME);
        self.timers.start(Timer::Silence, now + CONNECT_TIME);
        self.transmit(now, message);
    }

    /// The peer's OPEN.
    fn agree(&mut self, now: Instant, theirs: &Open) {
        let Some(connection) = &mut self.connection else {
            return;
        };
        match Agreement::new(&self.params, &connection.ours, theirs) {
            Ok(agreement) => {
                connection.agreement = Some(agreement);
                self.become_state(State::OpenConfirm);
                // RFC 4271 §8.2.2: with Hold Time 0 no timer runs. Here it does until the peer's first KEEPALIVE, which
                // that one owes us all the same.
                let hold_time = match self.hold_time() {
                    Duration::ZERO => LARGE_HOLD_TIME,
                    time => time,
                };
                self.timers.start(Timer::Hold, now + hold_time);
                self.timers.start(Timer::Silence, now + CONNECT_TIME);
                self.keepalive(now);
            }
            Err(error) => {
                // Neither of its errors quotes the message.
                let answer = error.notification(&[]);
                self.lose(
                    now,
                    &error.to_string(),
                    Some(answer),
                    How::Written,
                    State::Idle,
                );
            }
        }
    }

    /// The peer has agreed.
    fn establish(&mut self, now: Instant) {
        self.become_state(State::Established);
        self.since = Some(now);
        self.restarted = false;
        self.counters.established += 1;
        self.heard(now);
        self.expect_writing(now);
        self.keepalive_later(now);
        self.begin_routes();
        self.say_up();
        self.outputs.push_back(Output::Up);
    }

    /// Everything is to be told.
    fn begin_routes(&mut self) {
        if let Some(connection) = &self.connection
            && let Some(agreement) = &connection.agreement
        {
            let routes = connection.local.routes(&self.params, agreement.context);
            self.rib.start(routes);
        }
    }

    /// The peer is there.
    fn heard(&mut self, now: Instant) {
        match self.hold_time() {
            Duration::ZERO => self.timers.stop(Timer::Hold),
            time => self.timers.start(Timer::Hold, now + time),
        }
    }

    fn keepalive(&mut self, now: Instant) {
        self.transmit(now, KEEPALIVE.to_vec());
    }

    fn refresh(&mut self, refresh: &RouteRefresh) {
        self.counters.refreshes_in += 1;
        let asks = self
            .agreement()
            .is_some_and(|agreement| refresh.is_request(&agreement.context));
        if asks {
            self.rib.refresh(refresh.family);
        }
    }

    fn unexpected(&mut self, now: Instant, kind: Kind) {
        // RFC 6608 §3.
        let (subcode, place) = match self.state {
            State::OpenSent => (1, "OpenSent"),
            State::OpenConfirm => (2, "OpenConfirm"),
            State::Established => (3, "Established"),
            State::Idle | State::Connect | State::Active => (0, "this"),
        };
        let answer = Notification::new(code::FINITE_STATE_MACHINE, subcode);
        let why = format!("the peer sent {} in state {place}", kind.as_str());
        self.lose(now, &why, Some(answer), How::Written, State::Idle);
    }

    fn notified(&mut self, now: Instant, notification: &Notification) {
        let why = format!("the peer says {notification}");
        // RFC 5492 §3: refused because of the Capabilities parameter: try again without.
        let refused = (notification.code, notification.subcode) == (code::OPEN, 4);
        let plain = refused && !self.plain && self.state != State::Established;
        self.lose(now, &why, None, How::Silently, State::Idle);
        self.plain = plain;
    }

    /// The program ends while routes are announced.
    fn shut_down(&mut self, now: Instant) {
        if self.ending {
            return;
        }
        self.ending = true;
        if self
            .agreement()
            .is_some_and(|agreement| agreement.keeps_routes)
        {
            // RFC 4724 §4.2: without a NOTIFICATION the peer keeps the routes until we are back, or its time is over.
            let why = "the program ends; the peer keeps the routes for a while (graceful restart)";
            return self.lose(now, why, None, How::Written, State::Idle);
        }
        match self.params.graceful_shutdown {
            Some(wait) if !wait.is_zero() => {
                // RFC 8326 §4.2: the peers get time to look for other ways.
                self.rib.graceful_shutdown();
                self.timers.start(Timer::Leaving, now + wait.min(LEAVING));
            }
            Some(_) | None => {
                self.leave(
                    now,
                    Notification::cease(Cease::AdministrativeShutdown),
                    sayings::SHUTDOWN,
                );
            }
        }
    }

    /// We do not want this session any more.
    fn leave(&mut self, now: Instant, cease: Notification, why: &str) {
        // RFC 8538 §4: with the N bit a NOTIFICATION ends no grace. A peer that is not wanted must not keep the routes;
        // after a change of its configuration it may.
        let hard = self.ending
            && self
                .agreement()
                .is_some_and(|agreement| agreement.keeps_routes_on_notification);
        let answer = if hard { cease.in_hard_reset() } else { cease };
        self.finish(now, why, Some(answer), How::Written, Loudness::AsWished);
        if self.ending {
            self.end();
        }
    }

    /// There was no connection.
    fn connect_failed(&mut self, now: Instant, why: &str) {
        self.counters.connect_failures += 1;
        self.say_failure(now, why);
        self.retry(now, State::Active);
    }

    /// The session is over, and not as we wish; a new one will be tried.
    fn lose(
        &mut self,
        now: Instant,
        why: &str,
        answer: Option<Notification>,
        how: How,
        next: State,
    ) {
        self.finish(
            now,
            why,
            answer,
            how,
            if self.ending {
                Loudness::AsWished
            } else {
                Loudness::Trouble
            },
        );
        // Without capabilities it was no better.
        self.plain = false;
        if self.ending {
            self.end();
        } else {
            self.retry(now, next);
        }
    }

    /// Tells the peer, the log and the caller, and closes.
    fn finish(
        &mut self,
        now: Instant,
        why: &str,
        answer: Option<Notification>,
        how: How,
        loudness: Loudness,
    ) {
        if let Some(answer) = answer {
            let mut message = Vec::new();
            answer.encode(&mut message);
            self.transmit(now, message);
        }
        self.close(how);
        match self.since.take() {
            Some(since) => {
                if now.duration_since(since) >= STABLE {
                    self.backoff.reset();
                }
                self.down_at = Some(now);
                self.rib.stop();
                self.say_down(now, why, loudness);
                self.outputs.push_back(Output::Down(why.to_owned()));
            }
            None => match loudness {
                Loudness::Trouble => self.say_failure(now, why),
                // It was never up, and nobody misses it.
                Loudness::AsWished => {}
            },
        }
    }

    fn retry(&mut self, now: Instant, state: State) {
        self.become_state(state);
        let wait = self.backoff.next(&mut self.random);
        let timer = if state == State::Idle {
            Timer::IdleHold
        } else {
            Timer::ConnectRetry
        };
        self.timers.start(timer, now + wait);
    }

    /// Ends the connection, or the dial.
    fn close(&mut self, how: How) {
        self.connection = None;
        self.outputs.push_back(Output::Close(how));
    }

    /// Nothing happens any more.
    fn end(&mut self) {
        if self.ending && self.state == State::Idle {
            return;
        }
        if self.state == State::Connect {
            self.close(How::Silently);
        }
        self.ending = true;
        self.become_state(State::Idle);
        self.outputs.push_back(Output::Ended);
    }

    /// What the Hold Timer says.
    fn silence(&self) -> String {
        let time = match self.state {
            State::OpenSent => LARGE_HOLD_TIME,
            State::Idle
            | State::Connect
            | State::Active
            | State::OpenConfirm
            | State::Established => self.hold_time(),
        };
        format!(
            "nothing was heard from the peer for {} s: Hold Timer Expired",
            time.as_secs()
        )
    }
}
