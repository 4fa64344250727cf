//! The driver of memberlist: one UDP socket, one TCP listener on the same port, and one thread.
//!
//! ```text
//!  peers() ── newest counts ──> +--- thread "gossip", a runtime of its own ----------------+
//!  leave() ───────────────────> |  member: the machine; reads and writes datagrams         | ── Standing, newest counts ──>
//!  fast    ── newest counts ──> |                                                         |
//!                               |    ^ stream events (bounded; full: the stream waits)     | ── Record ──>
//!                               |  accept ── a task for each stream, at most STREAMS_IN    | ── Figures (atomics) ──>
//!                               |  dials  ── a task for each stream, at most STREAMS_OUT   |
//!                               +----------------------------------------------------------+
//! ```
//!
//! A thread of its own, because a member that answers late is a suspect: no work of the speaker may delay an answer. It asks
//! for short turns on the processor, and so gets them soon, also where all processors are busy.
//!
//! The sockets are bound by [`Gossip::start`], so that a port that another has is known at once; nothing is said or
//! answered before the first [`Gossip::peers`]. A speaker calls that when it is ready to announce: from then on the others
//! leave to it what is its own. What came meanwhile waits in the kernel.
//!
//! # What a stranger may cost
//!
//! A datagram: the time to read it, 64 KiB after decompression. A stream: [`Limits`], and 10 s. At most [`STREAMS_IN`]
//! streams, [`STREAMS_PER_SOURCE`] of one address; a further one takes the place of the oldest, so that those who
//! open streams and say nothing do not keep others out.
//!
//! Cancel-safety: dropping [`Gossip`] ends the thread without a farewell; [`Gossip::leave`] says it first. A leave that is
//! no longer waited for goes on.

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "driver: owns the sockets and the clock"
)]

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use arc_swap::ArcSwap;
use pnet_base::MacAddr;
use ring::rand::{SecureRandom, SystemRandom};
use tokio::sync::{mpsc, oneshot, watch};

use super::directory::Directory;
use super::keyring::{Keyring, NonceBytes};
use super::standing::Standing;
use super::swim;
use super::wire::{Encoder, Limits, Name};
use crate::journal::{Level, Record};
use crate::turns::ask_for_short_turns;

mod figures;
mod member;
mod sockets;
mod streams;
#[cfg(test)]
mod tests;

pub use figures::{Counters, Figures};

use sockets::Sockets;

/// Streams that others may have open at once. Honest ones last milliseconds.
pub const STREAMS_IN: usize = 32;

/// Streams that one address may have open at once: an exchange, a join and a ping, each once more after a mishap.
pub const STREAMS_PER_SOURCE: usize = 8;

/// Streams that we may have open at once.
pub const STREAMS_OUT: usize = 32;

/// Takes a line of the log; called from the thread, must not block.
pub type Journal = Arc<dyn Fn(Record) + Send + Sync>;

/// What is decided once, at start.
#[derive(Debug, Clone)]
pub struct Params {
    /// Our name: the Kubernetes node name.
    pub name: Name,
    /// Where to listen, for datagrams and streams. An unspecified address (`0.0.0.0`) listens on all, and others are told
    /// the one that leads out. Port 0: any.
    pub bind: SocketAddr,
    /// The key; `None`: nothing is encrypted, and whatever is encrypted is dropped.
    pub key: Option<Keyring>,
    /// How much a peer may cost.
    pub limits: Limits,
}

/// Why there is no gossip.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Somebody else has the port.
    #[error(
        "cannot gossip on {address} ({protocol}): another program (another MetalLB or FerroLB speaker on this host?) has that \
         port; end it, or choose another port with -ml-bindport (METALLB_ML_BIND_PORT), the same on all nodes"
    )]
    InUse {
        /// Where.
        address: SocketAddr,
        /// `TCP` or `UDP`.
        protocol: &'static str,
    },
    /// The host does not have the address.
    #[error(
        "cannot gossip on {address} ({protocol}): this host does not have that address; -ml-bindaddr (METALLB_ML_BIND_ADDR) \
         must be the pod's own (status.podIP)"
    )]
    NotOurs {
        /// Where.
        address: SocketAddr,
        /// `TCP` or `UDP`.
        protocol: &'static str,
    },
    /// All addresses were asked for, and none leads out.
    #[error(
        "cannot gossip on {address}: no address of this host leads anywhere that others could be told; give -ml-bindaddr \
         (METALLB_ML_BIND_ADDR) the pod's own (status.podIP)"
    )]
    NoAddress {
        /// What was asked for.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The kernel refuses.
    #[error("cannot gossip on {address}: cannot {doing}")]
    Io {
        /// Where.
        address: SocketAddr,
        /// What was tried.
        doing: &'static str,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

/// Whom to join.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Peers {
    /// Not said yet: wait.
    Unsaid,
    /// Nobody can tell.
    Unknown,
    /// These should be members.
    These(BTreeSet<SocketAddr>),
}

/// Gossip at work. Dropping it ends it without a farewell.
#[derive(Debug)]
pub struct Gossip {
    address: SocketAddr,
    peers: watch::Sender<Peers>,
    leave: mpsc::Sender<oneshot::Sender<()>>,
    fast: watch::Sender<bool>,
    stations: watch::Sender<Vec<MacAddr>>,
    directory: Arc<ArcSwap<Directory>>,
    standing: watch::Receiver<Standing>,
    figures: Arc<Figures>,
}

impl Gossip {
    /// Binds the port and starts the thread, which waits for [`Gossip::peers`].
    ///
    /// # Errors
    ///
    /// [`StartError`]: the port or the address cannot be had.
    pub fn start(params: Params, journal: Journal) -> Result<Self, StartError> {
        Self::start_at_pace(params, journal, |_| {})
    }

    /// As [`Gossip::start`], at another pace than memberlist's.
    fn start_at_pace(
        params: Params,
        journal: Journal,
        pace: impl FnOnce(&mut swim::Params),
    ) -> Result<Self, StartError> {
        let Sockets {
            datagrams,
            streams,
            address,
        } = Sockets::bind(params.bind)?;
        let cannot = |doing| {
            move |source| StartError::Io {
                address,
                doing,
                source,
            }
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .map_err(cannot("start its runtime"))?;
        let random = SystemRandom::new();
        let seed = seed(&random)
            .ok_or_else(|| io::Error::other("the system gives no randomness"))
            .map_err(cannot("choose a random start"))?;
        if params.key.is_none() {
            journal(
                Record::event(
                    "gossipInTheClear",
                    "METALLB_ML_SECRET_KEY is empty: anybody who reaches this port can say which speakers live; let the \
                     controller make the secret (METALLB_ML_SECRET_NAME)",
                )
                .at(Level::Warn),
            );
        }
        let (peers, peers_told) = watch::channel(Peers::Unsaid);
        let (leave, leaves) = mpsc::channel(4);
        let (fast, fast_told) = watch::channel(true);
        let (stations, stations_told) = watch::channel(Vec::new());
        let directory = Arc::new(ArcSwap::from_pointee(Directory::default()));
        let (standing, told) = watch::channel(Standing::default());
        let figures = Arc::new(Figures::default());
        let mut machine = swim::Params::lan(params.name, address, params.key.is_some());
        pace(&mut machine);
        let set_up = member::SetUp {
            swim: machine,
            seed,
            wrapping: Wrapping {
                encoder: Encoder {
                    keyring: params.key,
                    compress: true,
                },
                limits: params.limits,
                random,
            },
            standing,
            directory: directory.clone(),
            figures: figures.clone(),
            journal,
        };
        std::thread::Builder::new()
            .name("gossip".to_owned())
            .spawn(move || {
                // Without it everything works, only later on a busy processor.
                let _ = ask_for_short_turns();
                let told = member::Told {
                    peers: peers_told,
                    leaves,
                    fast: fast_told,
                    stations: stations_told,
                };
                runtime.block_on(member::run(set_up, datagrams, streams, told));
            })
            .map_err(cannot("start its thread"))?;
        Ok(Self {
            address,
            peers,
            leave,
            fast,
            stations,
            directory,
            standing: told,
            figures,
        })
    }

    /// The address and port that others are told.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// These should be members (the pods of all speakers; ourselves among them or not): those who are not are joined, now
    /// and again. `None`: nobody can tell; whoever was told before still counts. The first call begins the gossip.
    ///
    /// Saying the same again is a hint that something changed: joins do not wait for their time.
    pub fn peers(&self, peers: Option<BTreeSet<SocketAddr>>) {
        self.peers.send_modify(|told| match peers {
            Some(peers) => *told = Peers::These(peers),
            None if *told == Peers::Unsaid => *told = Peers::Unknown,
            None => {}
        });
    }

    /// Whether speakers of our kind are watched by heartbeats, and so found dead in less than half a second; it is so unless
    /// this says otherwise. Go's speakers are never watched.
    pub fn set_fast_detection(&self, on: bool) {
        self.fast
            .send_if_modified(|fast| std::mem::replace(fast, on) != on);
    }

    /// The Ethernet addresses from which this node announces: speakers of our kind are told.
    pub fn stations(&self, stations: Vec<MacAddr>) {
        self.stations.send_replace(stations);
    }

    /// The node whose speaker has this station; `known_as`: addresses by which this host knows it.
    #[must_use]
    pub fn who(&self, station: MacAddr, known_as: &[IpAddr]) -> Option<Arc<str>> {
        self.directory.load().who(station, known_as)
    }

    /// What may be concluded so far, and from now on: the newest counts.
    #[must_use]
    pub fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.clone()
    }

    /// Tells the others that we leave; returns when they know as far as can be known, at most after about a second. The
    /// first packets leave at once. Gossip goes on until this is dropped, but joins nobody any more.
    pub async fn leave(&self) {
        let (done, wait) = oneshot::channel();
        if self.leave.send(done).await.is_ok() {
            // The thread is gone: nobody to wait for.
            let _ = wait.await;
        }
    }

    /// What is counted, for the metrics: also after this is dropped.
    #[must_use]
    pub fn figures(&self) -> Arc<Figures> {
        self.figures.clone()
    }

    /// What was counted so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.figures.read()
    }
}

/// How messages are wrapped and unwrapped: the same for datagrams and streams.
#[derive(Debug, Clone)]
struct Wrapping {
    encoder: Encoder,
    limits: Limits,
    random: SystemRandom,
}

impl Wrapping {
    /// A nonce; `None` if the system gives no randomness, and then nothing may be sent.
    fn nonce(&self) -> Option<NonceBytes> {
        let mut nonce = NonceBytes::default();
        self.random.fill(&mut nonce).ok()?;
        Some(nonce)
    }
}

fn seed(random: &SystemRandom) -> Option<u64> {
    let mut seed = [0; 8];
    random.fill(&mut seed).ok()?;
    Some(u64::from_ne_bytes(seed))
}
