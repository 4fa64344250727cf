//! What is counted: the thread puts down, `/metrics` reads.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;

use crate::memberlist::heartbeat;
use crate::memberlist::swim;
use crate::memberlist::wire::Dropped;

/// The counters as they are shared.
#[derive(Debug, Default)]
pub struct Figures {
    pub(super) received: Count,
    pub(super) sent: Count,
    pub(super) send_failures: Count,
    dropped: [Count; Dropped::ALL.len()],
    pub(super) streams_in: Count,
    pub(super) streams_out: Count,
    pub(super) streams_refused: Count,
    machine: ArcSwap<Machine>,
}

/// One counter.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub(super) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How the machine stood when it was last looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Machine {
    pub(super) members: usize,
    pub(super) health: u32,
    pub(super) queued: usize,
    pub(super) counters: swim::Counters,
    pub(super) heartbeat: heartbeat::Counters,
    pub(super) watched: usize,
    pub(super) judged: usize,
}

/// The counters at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counters {
    /// Datagrams read, whatever became of them.
    pub received: u64,
    /// Datagrams handed to the kernel.
    pub sent: u64,
    /// Datagrams that the kernel did not take.
    pub send_failures: u64,
    /// Datagrams, parts of datagrams and messages on streams that were not taken, by reason; all reasons.
    pub dropped: Vec<(Dropped, u64)>,
    /// Streams that others opened.
    pub streams_in: u64,
    /// Streams that we opened or tried to.
    pub streams_out: u64,
    /// Streams that others opened and that were closed for want of room, before or after they were accepted.
    pub streams_refused: u64,
    /// Members, alive or suspect, ourselves included.
    pub members: usize,
    /// Our own health: 0 is good.
    pub health: u32,
    /// Claims that wait to be passed on.
    pub queued: usize,
    /// The machine's own.
    pub swim: swim::Counters,
    /// The heartbeats'.
    pub heartbeat: heartbeat::Counters,
    /// Other speakers that this one watches by heartbeats.
    pub watched: usize,
    /// Those of them the way to which is good enough for a verdict.
    pub judged: usize,
}

impl Counters {
    /// How much was dropped for this reason.
    #[must_use]
    pub fn dropped_for(&self, reason: Dropped) -> u64 {
        self.dropped
            .iter()
            .find(|(other, _)| *other == reason)
            .map_or(0, |(_, count)| *count)
    }
}

impl Figures {
    pub(super) fn drop_for(&self, reason: Dropped) {
        for (other, count) in Dropped::ALL.into_iter().zip(&self.dropped) {
            if other == reason {
                count.add();
            }
        }
    }

    /// Puts down how the machine stands, if that is another way than before.
    pub(super) fn put(&self, machine: Machine) {
        if **self.machine.load() != machine {
            self.machine.store(Arc::new(machine));
        }
    }

    /// Reads all.
    #[must_use]
    pub fn read(&self) -> Counters {
        let machine = self.machine.load();
        Counters {
            received: self.received.read(),
            sent: self.sent.read(),
            send_failures: self.send_failures.read(),
            dropped: Dropped::ALL
                .into_iter()
                .zip(self.dropped.iter().map(Count::read))
                .collect(),
            streams_in: self.streams_in.read(),
            streams_out: self.streams_out.read(),
            streams_refused: self.streams_refused.read(),
            members: machine.members,
            health: machine.health,
            queued: machine.queued,
            swim: machine.counters,
            heartbeat: machine.heartbeat,
            watched: machine.watched,
            judged: machine.judged,
        }
    }
}
