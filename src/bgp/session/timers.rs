//! The timers of a session, in one small table.

use std::time::Instant;

/// RFC 4271 §8: names as there, without "Timer". Leaving and Silence are ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Timer {
    IdleHold,
    ConnectRetry,
    Hold,
    Keepalive,
    /// RFC 9687.
    SendHold,
    /// GRACEFUL_SHUTDOWN (RFC 8326) was said; when to go.
    Leaving,
    /// The peer has not said its OPEN, or does not agree to ours; when to speak about it.
    Silence,
}

impl Timer {
    /// In the order in which they are served where several are due: what ends the session first.
    pub(super) const ALL: [Self; 7] = [
        Self::Leaving,
        Self::Hold,
        Self::SendHold,
        Self::IdleHold,
        Self::ConnectRetry,
        Self::Keepalive,
        Self::Silence,
    ];
}

/// When each is due.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Timers {
    idle_hold: Option<Instant>,
    connect_retry: Option<Instant>,
    hold: Option<Instant>,
    keepalive: Option<Instant>,
    send_hold: Option<Instant>,
    leaving: Option<Instant>,
    silence: Option<Instant>,
}

impl Timers {
    const fn slot(&mut self, timer: Timer) -> &mut Option<Instant> {
        match timer {
            Timer::IdleHold => &mut self.idle_hold,
            Timer::ConnectRetry => &mut self.connect_retry,
            Timer::Hold => &mut self.hold,
            Timer::Keepalive => &mut self.keepalive,
            Timer::SendHold => &mut self.send_hold,
            Timer::Leaving => &mut self.leaving,
            Timer::Silence => &mut self.silence,
        }
    }

    pub(super) const fn at(&self, timer: Timer) -> Option<Instant> {
        match timer {
            Timer::IdleHold => self.idle_hold,
            Timer::ConnectRetry => self.connect_retry,
            Timer::Hold => self.hold,
            Timer::Keepalive => self.keepalive,
            Timer::SendHold => self.send_hold,
            Timer::Leaving => self.leaving,
            Timer::Silence => self.silence,
        }
    }

    pub(super) const fn start(&mut self, timer: Timer, at: Instant) {
        *self.slot(timer) = Some(at);
    }

    pub(super) const fn stop(&mut self, timer: Timer) {
        *self.slot(timer) = None;
    }

    pub(super) const fn stop_all(&mut self) {
        *self = Self {
            idle_hold: None,
            connect_retry: None,
            hold: None,
            keepalive: None,
            send_hold: None,
            leaving: None,
            silence: None,
        };
    }

    /// Those that are due at `now`. They run on: one may stop another.
    pub(super) fn due(&self, now: Instant) -> impl Iterator<Item = Timer> + use<> {
        let all = *self;
        Timer::ALL
            .into_iter()
            .filter(move |timer| all.at(*timer).is_some_and(|at| at <= now))
    }

    /// Takes one that was due, unless it was stopped or started anew meanwhile.
    pub(super) fn expire(&mut self, timer: Timer, now: Instant) -> bool {
        let due = self.at(timer).is_some_and(|at| at <= now);
        if due {
            self.stop(timer);
        }
        due
    }

    pub(super) fn next(&self) -> Option<Instant> {
        Timer::ALL
            .into_iter()
            .filter_map(|timer| self.at(timer))
            .min()
    }
}
