//! The driver of layer 2: sockets, netlink and two threads.
//!
//! ```text
//! send() -> queue --+                                +-> AF_PACKET sockets (gratuitous packets)
//!                   +-> thread l2-control -----------+-> memberships, Report
//! rtnetlink --------+        | snapshot: announced addresses, open ports
//! claims of others -+        |
//!                            v
//! AF_PACKET sockets ---> thread l2-responder ---> AF_PACKET sockets (answers)
//! ```
//!
//! The responder thread does nothing but answer: no lock, no channel, no log. It needs the right CAP_NET_RAW and no
//! other. Threads live in the network namespace of the thread that called [`Layer2::start`].
//! Cancel-safety: there is nothing to await; [`Layer2::shutdown`] and dropping both end the threads and close
//! everything.
#![expect(
    clippy::disallowed_methods,
    reason = "driver: owns the sockets and the clock"
)]

use std::io;
use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use tokio::sync::mpsc::Sender;

use super::responder::Drop as Reason;
use super::{Command, Counters, Kind, Report, interfaces};
use control::{Control, Desk, lock};
use netlink::Netlink;
use port::{Shared, Snapshot};
use sys::{Epoll, Waker};

mod control;
mod ears;
mod filter;
mod membership;
mod neighbours;
mod netlink;
mod port;
mod queue;
mod respond;
mod survey;
mod sys;

pub use survey::survey;

/// What is decided once, at start.
#[derive(Debug, Clone, Default)]
pub struct Params {
    /// The only interfaces to announce on, by name; `None`: all that are suitable.
    pub interfaces: Option<Vec<String>>,
    /// Addresses on `lo` were put there by ourselves (`standalone --bind`): no reason to warn.
    pub loopback_is_ours: bool,
}

/// Why layer 2 could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The right to open raw sockets is missing.
    #[error(
        "layer 2 needs the right CAP_NET_RAW to open packet sockets: run as root, give the container the capability \
         NET_RAW, or `setcap cap_net_raw+ep` the program"
    )]
    Forbidden(#[source] io::Error),
    /// Something else of the kernel failed.
    #[error("layer 2: cannot {doing}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

/// Layer 2 at work. Dropping it stops it too.
#[derive(Debug)]
pub struct Layer2 {
    shared: Arc<Shared>,
    desk: Arc<Desk>,
    threads: Vec<JoinHandle<()>>,
}

impl Layer2 {
    /// Opens netlink and starts the threads, in the network namespace of the calling thread.
    ///
    /// `reports`: what people should hear. A full channel drops and counts ([`Layer2::reports_dropped`]).
    ///
    /// # Errors
    /// [`StartError`]: a right is missing, or the kernel refused.
    pub fn start(params: Params, reports: Sender<Report>) -> Result<Self, StartError> {
        sys::packet_socket(&filter::program(Kind::Arp, 0)).map_err(|source| {
            match source.kind() {
                io::ErrorKind::PermissionDenied => StartError::Forbidden(source),
                _ => StartError::Io {
                    doing: "open a packet socket",
                    source,
                },
            }
        })?;
        let cannot = |doing| move |source| StartError::Io { doing, source };
        let now = Instant::now();
        let netlink = Netlink::open(now).map_err(cannot("open a netlink socket"))?;
        let shared = Arc::new(Shared {
            snapshot: Arc::new(Snapshot::default()).into(),
            epoll: Epoll::new().map_err(cannot("create an epoll"))?,
            responder: Waker::new().map_err(cannot("create an eventfd"))?,
            control: Waker::new().map_err(cannot("create an eventfd"))?,
            stopping: false.into(),
            drops: Default::default(),
            unsent: 0.into(),
        });
        shared
            .epoll
            .add(shared.responder.as_raw_fd(), respond::WAKER)
            .map_err(cannot("wait for an eventfd"))?;
        let desk = Arc::new(Desk::default());
        let params = interfaces::Params {
            interfaces: params.interfaces,
            loopback_is_ours: params.loopback_is_ours,
        };
        let mut layer2 = Self {
            shared,
            desk,
            threads: Vec::new(),
        };
        let shared = Arc::clone(&layer2.shared);
        layer2.spawn("l2-responder", move || respond::run(&shared))?;
        let control = Control::new(
            Arc::clone(&layer2.shared),
            Arc::clone(&layer2.desk),
            reports,
            netlink,
            params,
            now,
        );
        layer2.spawn("l2-control", move || control.run())?;
        Ok(layer2)
    }

    fn spawn(
        &mut self,
        name: &str,
        work: impl FnOnce() + Send + 'static,
    ) -> Result<(), StartError> {
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .spawn(work)
            .map_err(|source| StartError::Io {
                doing: "start a thread",
                source,
            })?;
        self.threads.push(thread);
        Ok(())
    }

    /// Hands over a command; never blocks. Commands wait in a queue that holds one entry per address.
    pub fn send(&self, command: Command) {
        if lock(&self.desk.queue).push(command) {
            self.shared.control.wake();
        }
    }

    /// From now on only on interfaces with these names, as far as [`Params`] allow them too; empty: on all of these. Never
    /// blocks.
    pub fn only(&self, names: Vec<String>) {
        *lock(&self.desk.only) = Some(names);
        self.shared.control.wake();
    }

    /// The counters of every address that was announced so far, by address; never disturbs the responder.
    #[must_use]
    pub fn counters(&self) -> Vec<(IpAddr, Counters)> {
        lock(&self.desk.tallies).counters()
    }

    /// Frames that got no answer, by reason.
    #[must_use]
    pub fn drops(&self) -> Vec<(&'static str, u64)> {
        Reason::LABELS
            .into_iter()
            .zip(
                self.shared
                    .drops
                    .iter()
                    .map(|count| count.load(Ordering::Relaxed)),
            )
            .collect()
    }

    /// Answers that the kernel did not take.
    #[must_use]
    pub fn unsent(&self) -> u64 {
        self.shared.unsent.load(Ordering::Relaxed)
    }

    /// Reports that found the channel full.
    #[must_use]
    pub fn reports_dropped(&self) -> u64 {
        self.desk.reports_dropped.load(Ordering::Relaxed)
    }

    /// Stops answering and ends the threads; returns when they are gone.
    pub fn shutdown(self) {
        drop(self);
    }
}

impl Drop for Layer2 {
    fn drop(&mut self) {
        self.shared.stop();
        for thread in self.threads.drain(..) {
            // A thread that panicked is gone as well.
            let _ = thread.join();
        }
    }
}
