//! The driver of BGP: a task and a socket for each peer.
//!
//! ```text
//!  send() ── routes, orders ──> mailbox of each peer ──> task of that peer: its session machine, its socket
//!             (one entry for each prefix)                  |  Report (channel of the caller; full: dropped, counted;
//!                                                          |  but for Left, which a task of its own waits with)
//!                                                          |  figures (newest count)
//!                                                          +─ a farewell for each closed connection, at most 1 s
//! ```
//!
//! Peers share nothing but the routes' attributes and, for as long as it takes to put a route into a mailbox,
//! [`Bgp::send`]. One that is slow, dead or babbles keeps its own task busy: what it costs is bounded by its session's
//! limits.
//!
//! # Routes
//!
//! [`Bgp::send`] never blocks, and no route is lost: a mailbox is no queue of commands but what changed since the task
//! last looked, one entry for each prefix, the newest counts. So it is bounded by the number of prefixes, and ten
//! thousand routes in a burst wake a task a few times and leave in a few large writes. What was announced so far is
//! kept here for peers that come later: at the program's start send the routes before the peers, so that a first table,
//! and the End-of-RIB behind it, is whole.
//!
//! # Cancel
//!
//! Dropping [`Bgp`] drops all sockets without a word. [`Bgp::shutdown`] says what is to be said, in at most
//! [`SHUTDOWN`].

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "driver: owns the sockets and the clock"
)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ipnet::IpNet;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Attributes, Command, Params, PeerId, Report};

mod dial;
mod figures;
mod interfaces;
mod link;
mod mailbox;
mod peer;
mod sys;
#[cfg(test)]
mod tests;

pub use figures::{Figures, PeerFigures};

use mailbox::{End, Mailbox};

/// How long [`Bgp::shutdown`] takes at most: a Pod is given 2 s for all of its end.
pub const SHUTDOWN: Duration = Duration::from_millis(1500);

/// BGP at work. Dropping it ends all sessions without a word.
#[derive(Debug)]
pub struct Bgp {
    desk: Mutex<Desk>,
    /// The peers' tasks, and the farewells of closed connections.
    tasks: TaskTracker,
    runtime: Handle,
    stop: CancellationToken,
    reports: mpsc::Sender<Report>,
    figures: Arc<Figures>,
}

/// What is wanted.
#[derive(Debug, Default)]
struct Desk {
    /// What every peer is to be told.
    routes: BTreeMap<IpNet, Arc<Attributes>>,
    peers: BTreeMap<PeerId, Seat>,
    /// The program ends: no new peers.
    ending: bool,
}

/// A peer, as seen from the desk.
#[derive(Debug)]
struct Seat {
    params: Arc<Params>,
    mailbox: Arc<Mailbox>,
}

impl Bgp {
    /// Begins, without peers. Their tasks will run on the tokio runtime that this is called on.
    ///
    /// `reports`: what people should hear. A full channel drops and counts ([`Figures::reports_dropped`]).
    ///
    /// # Panics
    ///
    /// Called outside of a runtime.
    #[must_use]
    pub fn start(reports: mpsc::Sender<Report>) -> Self {
        Self {
            desk: Mutex::default(),
            tasks: TaskTracker::new(),
            runtime: Handle::current(),
            stop: CancellationToken::new(),
            reports,
            figures: Arc::default(),
        }
    }

    /// Hands over a command, from any thread; never blocks, never loses one.
    pub fn send(&self, command: Command) {
        let mut desk = lock(&self.desk);
        match command {
            Command::Peer(id, params) => self.peer(&mut desk, id, params),
            Command::PeerGone(id) => {
                if let Some(seat) = desk.peers.remove(&id) {
                    self.figures.remove(id);
                    seat.mailbox.end(End::Gone);
                }
            }
            Command::Route(prefix, attributes) => desk.route(prefix, attributes),
            Command::BfdDown(id) => {
                if let Some(seat) = desk.peers.get(&id) {
                    seat.mailbox.bfd_down();
                }
            }
            Command::Shutdown => {
                desk.ending = true;
                for seat in desk.peers.values() {
                    seat.mailbox.end(End::Shutdown);
                }
            }
        }
    }

    fn peer(&self, desk: &mut Desk, id: PeerId, params: Arc<Params>) {
        if desk.ending {
            return;
        }
        if let Some(seat) = desk.peers.get_mut(&id) {
            if seat.params != params {
                seat.params = params.clone();
                self.figures.rename(id, params.name());
                seat.mailbox.params(params);
            }
            return;
        }
        let mailbox = Arc::new(Mailbox::with_routes(&desk.routes));
        let figures = self.figures.add(id, params.name());
        let seat = Seat {
            params: params.clone(),
            mailbox: mailbox.clone(),
        };
        desk.peers.insert(id, seat);
        let set_up = peer::SetUp {
            id,
            params,
            seed: rand::random(),
            mailbox,
            figures,
            reports: self.reports.clone(),
            tasks: self.tasks.clone(),
            stop: self.stop.clone(),
        };
        self.tasks.spawn_on(peer::run(set_up), &self.runtime);
    }

    /// Leaves every peer as its parameters say; returns when all know, at most after [`SHUTDOWN`].
    pub async fn shutdown(self) {
        self.send(Command::Shutdown);
        self.tasks.close();
        // What is not said by then stays unsaid: dropping `self` ends it.
        let _ = tokio::time::timeout(SHUTDOWN, self.tasks.wait()).await;
    }

    /// What is counted, for the metrics: also after this is dropped.
    #[must_use]
    pub fn figures(&self) -> Arc<Figures> {
        self.figures.clone()
    }
}

impl Drop for Bgp {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Desk {
    fn route(&mut self, prefix: IpNet, attributes: Option<Arc<Attributes>>) {
        let known = self.routes.get(&prefix);
        if known == attributes.as_ref() {
            return;
        }
        match &attributes {
            Some(attributes) => self.routes.insert(prefix, attributes.clone()),
            None => self.routes.remove(&prefix),
        };
        for seat in self.peers.values() {
            seat.mailbox.route(prefix, attributes.clone());
        }
    }
}

/// Locks for a moment; nothing that is locked here is left half done by a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
