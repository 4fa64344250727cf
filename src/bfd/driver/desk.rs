//! What the thread and its owner share.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::figures::{Drops, Tallies};
use crate::bfd::{Command, Params, Peer};

/// A poisoned lock guards plain values that are whole after every step.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug)]
pub(super) struct Desk {
    queue: Mutex<Queue>,
    pub(super) tallies: Mutex<Tallies>,
    pub(super) drops: Drops,
    pub(super) reports_dropped: AtomicU64,
    stopping: AtomicBool,
    bell: UnixStream,
}

/// The thread's end of the bell.
#[derive(Debug)]
pub(super) struct Waker(UnixStream);

impl Desk {
    pub(super) fn new() -> io::Result<(Self, Waker)> {
        let (bell, waker) = UnixStream::pair()?;
        bell.set_nonblocking(true)?;
        waker.set_nonblocking(true)?;
        let desk = Self {
            queue: Mutex::default(),
            tallies: Mutex::default(),
            drops: Drops::default(),
            reports_dropped: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
            bell,
        };
        Ok((desk, Waker(waker)))
    }

    pub(super) fn send(&self, command: Command) {
        if lock(&self.queue).push(command) {
            self.ring();
        }
    }

    /// The owner goes: end.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.ring();
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    pub(super) fn take(&self) -> Vec<(Peer, Option<Params>)> {
        lock(&self.queue).take()
    }

    fn ring(&self) {
        // A bell that cannot take another octet is ringing already.
        let _ = (&self.bell).write(&[1]);
    }
}

impl Waker {
    /// Goes back to sleep.
    pub(super) fn clear(&mut self) {
        let mut octets = [0; 64];
        while self.0.read(&mut octets).is_ok_and(|read| read > 0) {}
    }
}

impl AsRawFd for Waker {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// Commands that wait for the thread. Invariant: bounded by the number of different peers; per peer only the end matters.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// `None`: no session any more.
    changes: HashMap<Peer, Option<Params>>,
    /// The same peers, oldest first.
    order: Vec<Peer>,
}

impl Queue {
    /// Adds a command; whether the queue was empty (whoever takes from it must be woken).
    pub(super) fn push(&mut self, command: Command) -> bool {
        let was_empty = self.order.is_empty();
        let (peer, change) = match command {
            Command::Session(peer, params) => (peer, Some(params)),
            Command::Gone(peer) => (peer, None),
        };
        if self.changes.insert(peer.clone(), change).is_none() {
            self.order.push(peer);
        }
        was_empty
    }

    /// Everything, oldest first.
    pub(super) fn take(&mut self) -> Vec<(Peer, Option<Params>)> {
        let mut changes = std::mem::take(&mut self.changes);
        std::mem::take(&mut self.order)
            .into_iter()
            .filter_map(|peer| {
                let change = changes.remove(&peer)?;
                Some((peer, change))
            })
            .collect()
    }
}
