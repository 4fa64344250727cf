//! Times when we did not run: a paused virtual machine, a stopped or starved process. See "Late ticks" in
//! [`swim`](super).

use std::time::{Duration, Instant};

use super::{Noise, Swim, timing};
use crate::journal::{Level, Record};
use crate::machine::Machine;
use crate::memberlist::wire::State;

impl Swim {
    /// Called first, with the time of an input: is it far beyond the deadline that we gave?
    pub(super) fn notice_stall(&mut self, now: Instant) {
        let Some(deadline) = self.next_deadline() else {
            return;
        };
        let late = now.saturating_duration_since(deadline);
        if late > self.params.late_after {
            self.now = now;
            self.stalled(late);
        }
    }

    fn stalled(&mut self, late: Duration) {
        self.counters.stalls += 1;
        let interval = self.params.probe_interval.max(Duration::from_millis(1));
        let missed = late.as_nanos().div_ceil(interval.as_nanos());
        self.health_changes(i32::try_from(missed).unwrap_or(i32::MAX));
        let health = self.health;
        self.say_seldom(Noise::Stalled, || {
            Record::event(
                "memberStalled",
                "did not run in time: a paused machine, or one without CPU for the speaker; what was missed counts against nobody else",
            )
            .at(Level::Warn)
            .with("late_ms", late.as_millis())
            .with("health", health)
        });

        // Whom we asked may have answered long ago; ask again, suspects first.
        let probed = self.probe.take().map(|probe| probe.target);
        self.probe_pending = false;
        self.members.probe_first(|member| {
            member.state == State::Suspect || probed.as_ref() == Some(&member.name)
        });
        self.probe_at = self.now;
        // Those who asked us have given up.
        self.relays.clear();
        let reprobed = self.now + self.probe_duration();
        for suspicion in self.suspicions.values_mut() {
            suspicion.postpone(late, reprobed);
        }
        // So long that the others may have given us up.
        if late >= timing::shortest_suspicion(&self.params, self.members.len()) {
            self.sync_at = self.now;
            self.rejoin_at = self.now;
        }
    }

    /// How long a probe takes at our present health.
    pub(super) fn probe_duration(&self) -> Duration {
        self.params
            .probe_interval
            .saturating_mul(self.health.saturating_add(1))
    }
}
