//! Messages in and out: from octets to events, from events to octets, and how many may be under way.

use std::time::{Duration, Instant};

use super::timers::Timer;
use super::transition::Event;
use super::{IN_FLIGHT, Output, SEND_HOLD_TIME, Session, State};
use crate::bgp::wire::{self, Context, HEADER, Kind, Message};

/// Which message it is, by its header.
fn kind(message: &[u8]) -> Option<Kind> {
    message.get(HEADER - 1).copied().and_then(Kind::from_octet)
}

impl Session {
    /// Octets arrived. Without a connection they are an echo of one that is closed.
    pub(super) fn received(&mut self, now: Instant, octets: &[u8]) {
        let Some(connection) = &mut self.connection else {
            return;
        };
        let mut buffer = std::mem::take(&mut connection.input);
        buffer.extend_from_slice(octets);
        let mut rest = buffer.as_slice();
        // A message may end the session; what follows it is nobody's then.
        while self.connection.is_some() {
            let context = self.context();
            match wire::frame(rest, context.extended) {
                Ok(Some(length)) => {
                    let (message, behind) = rest.split_at(length.min(rest.len()));
                    rest = behind;
                    self.message(now, message, &context);
                }
                Ok(None) => break,
                Err(error) => {
                    self.counters.messages_in += 1;
                    self.malformed(now, rest, error);
                }
            }
        }
        if let Some(connection) = &mut self.connection {
            connection.input = rest.to_vec();
        }
    }

    fn message(&mut self, now: Instant, message: &[u8], context: &Context) {
        self.counters.messages_in += 1;
        match wire::decode(message, context) {
            Ok(Message::Open(open)) => self.event(now, Event::Open(open)),
            Ok(Message::Keepalive) => self.event(now, Event::Keepalive),
            Ok(Message::Update(_)) => {
                self.counters.updates_in += 1;
                self.event(now, Event::Update);
            }
            Ok(Message::Notification(notification)) => {
                self.counters.notifications_in += 1;
                self.event(now, Event::Notification(notification));
            }
            Ok(Message::RouteRefresh(refresh)) => self.event(now, Event::RouteRefresh(refresh)),
            Err(error) => self.malformed(now, message, error),
        }
    }

    fn malformed(&mut self, now: Instant, message: &[u8], error: wire::Error) {
        // RFC 4271 §6.4: about a NOTIFICATION that cannot be read nothing can be said to the peer.
        let answer =
            (kind(message) != Some(Kind::Notification)).then(|| error.notification(message));
        self.event(now, Event::Malformed(error, answer));
    }

    /// What bytes mean now.
    fn context(&self) -> Context {
        self.agreement()
            .map(|agreement| agreement.context)
            .unwrap_or_default()
    }

    /// The Hold Time agreed on; 0: none.
    pub(super) fn hold_time(&self) -> Duration {
        self.agreement()
            .map(|agreement| agreement.hold_time)
            .unwrap_or_default()
    }

    /// Hands a message to the driver.
    pub(super) fn transmit(&mut self, now: Instant, message: Vec<u8>) {
        let Some(connection) = &mut self.connection else {
            return;
        };
        connection.in_flight += message.len();
        self.counters.messages_out += 1;
        match kind(&message) {
            Some(Kind::Update) => {
                self.counters.updates_out += 1;
                self.keepalive_later(now);
            }
            Some(Kind::Keepalive) => self.keepalive_later(now),
            Some(Kind::Notification) => self.counters.notifications_out += 1,
            Some(Kind::Open | Kind::RouteRefresh) | None => {}
        }
        self.outputs.push_back(Output::Transmit(message));
        if self.timers.at(Timer::SendHold).is_none() {
            self.expect_writing(now);
        }
    }

    /// The driver has written.
    pub(super) fn written(&mut self, now: Instant, octets: usize) {
        if let Some(connection) = &mut self.connection {
            connection.in_flight = connection.in_flight.saturating_sub(octets);
            self.timers.stop(Timer::SendHold);
            self.expect_writing(now);
        }
    }

    /// RFC 4271 §8.2.2: each KEEPALIVE or UPDATE sent restarts the KeepaliveTimer. §10: with jitter.
    pub(super) fn keepalive_later(&mut self, now: Instant) {
        let time = match self.agreement() {
            Some(agreement) if !agreement.keepalive_time.is_zero() => agreement.keepalive_time,
            Some(_) | None => return,
        };
        let at = now + self.random.jitter(time);
        self.timers.start(Timer::Keepalive, at);
    }

    /// RFC 9687 §3.3: what is under way must move on.
    pub(super) fn expect_writing(&mut self, now: Instant) {
        let waiting = self
            .connection
            .as_ref()
            .is_some_and(|connection| connection.in_flight > 0);
        let hold_time = self.hold_time();
        if self.state == State::Established && waiting && !hold_time.is_zero() {
            let time = SEND_HOLD_TIME.max(hold_time * 2);
            self.timers.start(Timer::SendHold, now + time);
        }
    }

    /// Sends the next UPDATE, if there is room for it.
    pub(super) fn send_routes(&mut self, now: Instant) {
        let room = self
            .connection
            .as_ref()
            .is_some_and(|connection| connection.in_flight < IN_FLIGHT);
        if self.state == State::Established
            && room
            && let Some(message) = self.rib.poll_message()
        {
            self.transmit(now, message);
        }
    }
}
