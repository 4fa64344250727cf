//! The driver of BFD: sockets and one thread.
//!
//! ```text
//! send() -> queue ---------+                          +-> a socket for each session (control packets)
//!                          +-> thread bfd: sessions --+-> Report (bounded)
//! UDP 3784, 4784, 3785 ----+                          +-> Tally (atomics) -> figures()
//! packet socket (echoes) --+
//! ```
//!
//! A thread of its own, because a packet that leaves late is a session that is Down at the other end: no work of the speaker
//! may delay it. It asks for real-time scheduling, else for niceness, else for short turns, and takes what it gets.
//!
//! The ports are open while there is a session for them: a cluster without BFD opens none. Where another daemon has a port,
//! packets are read past it through a raw socket, which needs CAP_NET_RAW; nothing else here needs a right.
//!
//! Late turns: all packets that wait in the kernel when a turn begins are read and judged before a timer of that turn is.
//!
//! Cancel-safety: there is nothing to await; [`Bfd::shutdown`] and dropping both tell AdminDown and end the thread, which
//! takes at most [`FAREWELL`].
#![expect(
    clippy::disallowed_methods,
    reason = "driver: owns the sockets and the clock"
)]

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ring::rand::{SecureRandom, SystemRandom};
use tokio::sync::mpsc::Sender;

use super::wire::EchoKey;
use super::{Command, Report};
use desk::{Desk, lock};
use turn::Turns;

mod desk;
mod ear;
mod echo;
mod figures;
mod mouth;
mod sys;
mod turn;

pub use figures::Figures;

/// The longest that the end may take: AdminDown is told up to three times, at the pace of each peer.
pub const FAREWELL: Duration = Duration::from_secs(1);

/// Why BFD could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Something of the kernel failed.
    #[error("BFD: cannot {doing}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

/// BFD at work. Dropping it ends it as [`Bfd::shutdown`] does.
#[derive(Debug)]
pub struct Bfd {
    desk: Arc<Desk>,
    thread: Option<JoinHandle<()>>,
}

impl Bfd {
    /// Starts the thread, in the network namespace of the calling thread. No port is opened before the first session.
    ///
    /// # Errors
    /// [`StartError`]: the kernel refused.
    pub fn start(reports: Sender<Report>) -> Result<Self, StartError> {
        let cannot = |doing| move |source| StartError::Io { doing, source };
        let random = SystemRandom::new();
        let mut secret = [0; 32];
        random
            .fill(&mut secret)
            .map_err(|_| io::Error::other("the system gives no randomness"))
            .map_err(cannot("choose a key for echo packets"))?;
        let (desk, waker) = Desk::new().map_err(cannot("create a pair of sockets"))?;
        let desk = Arc::new(desk);
        let turns = Turns::new(
            Arc::clone(&desk),
            waker,
            reports,
            EchoKey::new(&secret),
            random,
        );
        let thread = thread::Builder::new()
            .name("bfd".to_owned())
            .spawn(move || turns.run())
            .map_err(cannot("start a thread"))?;
        Ok(Self {
            desk,
            thread: Some(thread),
        })
    }

    /// Hands over a command; never blocks. Commands wait in a queue that holds one entry per peer.
    pub fn send(&self, command: Command) {
        self.desk.send(command);
    }

    /// The figures of each session, by the peer's address, which is their label. Two sessions with one address (over one hop
    /// and over several, or on two interfaces) are added up, and up together if both are.
    #[must_use]
    pub fn figures(&self) -> Vec<(IpAddr, Figures)> {
        lock(&self.desk.tallies).figures()
    }

    /// Packets that were dropped, by reason.
    #[must_use]
    pub fn drops(&self) -> Vec<(&'static str, u64)> {
        self.desk.drops.read()
    }

    /// Lines for the log that found the channel full.
    #[must_use]
    pub fn reports_dropped(&self) -> u64 {
        self.desk.reports_dropped.load(Ordering::Relaxed)
    }

    /// Tells AdminDown to all peers and ends the thread; returns when it is gone, after [`FAREWELL`] at most.
    pub fn shutdown(self) {
        drop(self);
    }
}

impl Drop for Bfd {
    fn drop(&mut self) {
        self.desk.stop();
        if let Some(thread) = self.thread.take() {
            // A thread that panicked is gone as well.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests;
