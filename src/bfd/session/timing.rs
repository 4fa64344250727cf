//! What we advertise, what is in force, and the Poll Sequences between: RFC 5880 §6.5 and §6.8.3.

use std::time::Duration;

/// The two intervals whose changes the peer must confirm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Intervals {
    /// bfd.DesiredMinTxInterval.
    pub(super) desired_min_tx: Duration,
    /// bfd.RequiredMinRxInterval.
    pub(super) required_min_rx: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// No sequence.
    Idle,
    /// Packets carry P; none with F came yet.
    Asking,
    /// One with F came. RFC 5880 §6.8.3: an additional BFD Control packet with the Final (F) bit clear MUST be received
    /// after the Poll Sequence has completed prior to the initiation of another Poll Sequence.
    Answered,
}

/// The Poll Sequences of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Polls {
    /// What our packets say.
    pub(super) advertised: Intervals,
    /// What our timers use.
    pub(super) in_force: Intervals,
    phase: Phase,
}

impl Polls {
    pub(super) const fn settled(intervals: Intervals) -> Self {
        Self {
            advertised: intervals,
            in_force: intervals,
            phase: Phase::Idle,
        }
    }

    /// Whether periodic packets carry P.
    pub(super) fn is_asking(&self) -> bool {
        self.phase == Phase::Asking
    }

    /// A packet came.
    pub(super) fn received(&mut self, final_: bool) {
        match (self.phase, final_) {
            (Phase::Asking, true) => {
                self.in_force = self.advertised;
                self.phase = Phase::Answered;
            }
            (Phase::Answered, false) => self.phase = Phase::Idle,
            // Nobody asked; not the answer yet; the answer to one of several packets with P.
            (Phase::Idle, _) | (Phase::Asking, false) | (Phase::Answered, true) => {}
        }
    }

    /// What we want, after each change. What cannot be begun now is begun by a later call.
    pub(super) fn want(&mut self, wanted: Intervals, up: bool) {
        if !up {
            // In any case other than those explicitly called out, timing parameter changes MUST be effected immediately.
            *self = Self::settled(wanted);
            return;
        }
        if wanted == self.advertised || self.phase != Phase::Idle {
            return;
        }
        // RFC 5880 §6.8.3: when bfd.DesiredMinTxInterval or bfd.RequiredMinRxInterval is changed, a Poll Sequence MUST be
        // initiated.
        self.phase = Phase::Asking;
        self.advertised = wanted;
        self.in_force = Intervals {
            // If bfd.DesiredMinTxInterval is increased and bfd.SessionState is Up, the actual transmission interval used
            // MUST NOT change until the Poll Sequence has terminated.
            desired_min_tx: self.in_force.desired_min_tx.min(wanted.desired_min_tx),
            // If bfd.RequiredMinRxInterval is reduced and bfd.SessionState is Up, the previous value MUST be used when
            // calculating the Detection Time until the Poll Sequence has terminated.
            required_min_rx: self.in_force.required_min_rx.max(wanted.required_min_rx),
        };
    }
}
