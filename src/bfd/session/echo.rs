//! The echo function: RFC 5880 §6.4, §6.8.5, §6.8.8, §6.8.9; RFC 5881 §4.
//!
//! A peer that promises to loop echoes is believed once it has: until as many echoes in a row came back as Detect Mult says,
//! control packets watch the way at their full rate, and missing echoes are no failure. There are two ways for an echo to go
//! ([`Way`]), and the promise does not say which: they are tried in turn until one works.

use std::time::{Duration, Instant};

use super::{Drop, LEAST, Output, Session, lateness};
use crate::bfd::Reason;
use crate::bfd::wire::{Diagnostic, Echo, State, Way};

/// What the world can do for the echo function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Paths {
    /// Echoes can be sent to ourselves by way of the peer.
    pub forwarded: bool,
    /// Echoes can be sent to the peer's address.
    pub returned: bool,
    /// The peer's echoes really go back to it, whichever way it sends them.
    pub loops: bool,
}

/// How long echoes may stay unanswered until that is told: a peer needs a moment to start.
const UNANSWERED: Duration = Duration::from_secs(10);

/// How often more than Detect Mult a way is tried before the other gets its turn.
const TRIES: u64 = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Echoes {
    paths: Paths,
    /// The sequence of the last one sent; goes on for the whole life of the session.
    pub(super) sent: u64,
    /// The sequence of the last one that came back.
    returned: u64,
    /// When to send the next one; `None`: not at all.
    transmit_at: Option<Instant>,
    /// The way that works.
    way: Option<Way>,
    /// How many came back in a row.
    row: u8,
    /// Since when without one that came back; `None`: one did, or it was told.
    since: Option<Instant>,
    /// Echoes watch the way: the moment when they have failed.
    fails_at: Option<Instant>,
    /// A late Tick has given them an interval since the last one came back.
    spared: bool,
}

impl Echoes {
    pub(super) const fn is_active(&self) -> bool {
        self.fails_at.is_some()
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.transmit_at
            .into_iter()
            .chain(self.fails_at)
            .chain(self.since.and_then(|since| since.checked_add(UNANSWERED)))
            .min()
    }

    /// Forgets all but the numbers.
    fn cease(&mut self) {
        *self = Self {
            paths: self.paths,
            sent: self.sent,
            returned: self.sent,
            ..Self::default()
        };
    }
}

impl Session {
    pub(super) fn set_paths(&mut self, now: Instant, paths: Paths) {
        self.echoes.paths = paths;
        self.settle(now);
    }

    /// Required Min Echo RX Interval. RFC 5880 §6.8.1: zero where this system does not loop echoes.
    pub(super) fn required_min_echo_rx(&self) -> Duration {
        if self.wants_echoes() && self.echoes.paths.loops {
            self.params.echo_interval
        } else {
            Duration::ZERO
        }
    }

    /// RFC 5883 §3: the Echo function is not used over several hops.
    fn wants_echoes(&self) -> bool {
        self.params.echo_mode && !self.multihop
    }

    /// RFC 5880 §6.8.9: the interval between transmitted BFD Echo packets MUST NOT be less than the value advertised by the
    /// remote system in Required Min Echo RX Interval.
    fn echo_interval(&self) -> Duration {
        self.params
            .echo_interval
            .max(self.remote.required_min_echo_rx)
            .max(LEAST)
    }

    fn echo_detection_time(&self) -> Duration {
        self.echo_interval()
            .saturating_mul(self.params.detect_multiplier.into())
    }

    /// Begins or ends to send, as the state and the peer allow.
    pub(super) fn settle_echoes(&mut self, now: Instant) {
        // RFC 5880 §6.8.9: BFD Echo packets MUST NOT be transmitted when bfd.SessionState is not Up, and MUST NOT be
        // transmitted unless the last BFD Control packet received from the remote system contains a nonzero value in
        // Required Min Echo RX Interval.
        let send = self.wants_echoes()
            && self.state == State::Up
            && !self.remote.required_min_echo_rx.is_zero()
            && (self.echoes.paths.forwarded || self.echoes.paths.returned);
        match (send, self.echoes.transmit_at) {
            (true, None) => {
                self.echoes.transmit_at = Some(now);
                self.echoes.since = Some(now);
            }
            (false, Some(_)) => self.echoes.cease(),
            (true, Some(_)) | (false, None) => {}
        }
    }

    pub(super) fn tick_echoes(&mut self, now: Instant) {
        if self.echoes.fails_at.is_some_and(|at| at <= now) {
            let time = self.echo_detection_time();
            if !self.echoes.spared
                && let Some(late) = lateness(now, self.echoes.fails_at, Some(time))
            {
                self.echoes.spared = true;
                self.echoes.fails_at = now.checked_add(self.echo_interval());
                self.outputs.push_back(Output::Late(late));
            } else {
                // RFC 5880 §6.8.5: when the Echo function is active and a sufficient number of Echo packets have not arrived
                // as they should, the session has gone down: the local system MUST set bfd.SessionState to Down and
                // bfd.LocalDiag to 2 (Echo Function Failed).
                self.fail(
                    now,
                    Diagnostic::ECHO_FUNCTION_FAILED,
                    Reason::EchoFunctionFailed,
                );
                return;
            }
        }
        if self
            .echoes
            .since
            .is_some_and(|since| now.saturating_duration_since(since) >= UNANSWERED)
        {
            self.echoes.since = None;
            self.outputs.push_back(Output::EchoUnanswered);
        }
        if self.echoes.transmit_at.is_some_and(|at| at <= now) {
            self.echoes.sent = self.echoes.sent.saturating_add(1);
            let echo = Echo {
                my_discriminator: self.discriminator,
                sequence: self.echoes.sent,
                way: self.way(),
            };
            self.outputs.push_back(Output::Echo(echo));
            // RFC 5880 §6.8.9: a 25% jitter MAY be applied to the rate of transmission.
            let interval = self.echo_interval();
            self.echoes.transmit_at = now.checked_add(self.random.share(interval, 75, 100));
        }
    }

    /// The way for the next echo.
    fn way(&self) -> Way {
        let Paths {
            forwarded,
            returned,
            ..
        } = self.echoes.paths;
        match (self.echoes.way, forwarded, returned) {
            (Some(way), _, _) => way,
            (None, true, false) => Way::Forwarded,
            (None, false, _) => Way::Returned,
            (None, true, true) => {
                let turn = u64::from(self.params.detect_multiplier).saturating_add(TRIES);
                if (self.echoes.sent / turn).is_multiple_of(2) {
                    Way::Forwarded
                } else {
                    Way::Returned
                }
            }
        }
    }

    pub(super) fn receive_echo(&mut self, now: Instant, echo: Echo) {
        let fresh =
            (self.echoes.returned.saturating_add(1)..=self.echoes.sent).contains(&echo.sequence);
        if !fresh || self.echoes.transmit_at.is_none() {
            return self.drop(Drop::StaleEcho);
        }
        let in_row = echo.sequence == self.echoes.returned.saturating_add(1);
        self.echoes.row = if in_row || self.echoes.is_active() {
            self.echoes.row.saturating_add(1)
        } else {
            1
        };
        self.echoes.returned = echo.sequence;
        self.echoes.way = Some(echo.way);
        self.echoes.since = None;
        if self.echoes.row >= self.params.detect_multiplier {
            self.echoes.spared = false;
            self.echoes.fails_at = now.checked_add(self.echo_detection_time());
            self.settle(now);
        }
    }
}
