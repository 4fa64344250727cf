//! BFD: whether the way to a peer works, told within a few intervals.
//!
//! What it is: RFC 5880 in asynchronous mode with the echo function, RFC 5881 (one hop) and RFC 5883 (several hops). What it
//! is not: what follows from it (`speaker` knows that a BGP session goes down with it).
//!
//! | module | knows |
//! | --- | --- |
//! | `wire` | bytes: control packets, echo packets |
//! | `session` | time: one session's state machine (machine) |
//! | `demux` | which session a packet is for (RFC 5880 §6.3) |
//! | `driver` (feature `io`) | the sockets, one thread |
//!
//! In: [`Command`]. Out: packets on the wire, [`Report`] and the figures.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::journal::Record;
use wire::Diagnostic;

pub mod demux;
#[cfg(feature = "io")]
pub mod driver;
pub mod session;
pub mod wire;

/// A session: one for each way, however many protocols use it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Peer {
    /// The other end.
    pub address: IpAddr,
    /// Our end, where it was configured; `None`: as the kernel routes.
    pub source: Option<IpAddr>,
    /// The interface of a link-local address, by name.
    pub interface: Option<Arc<str>>,
    /// Several hops (RFC 5883: port 4784, no TTL of 255 demanded) instead of one (RFC 5881: port 3784).
    pub multihop: bool,
}

/// What BFD is asked for. All are idempotent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Keep a session. Other parameters than before take effect by a Poll Sequence where RFC 5880 asks for one; the session
    /// stays up.
    Session(Peer, Params),
    /// No session any more: AdminDown is told, then silence.
    Gone(Peer),
}

/// A profile, with what it leaves out filled in (Upstream: FRR's bfdd defaults).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Params {
    /// Required Min RX Interval, 10 ms to 60 s; FRR: 300 ms.
    pub receive_interval: Duration,
    /// Desired Min TX Interval, 10 ms to 60 s; FRR: 300 ms.
    pub transmit_interval: Duration,
    /// Detect Mult, 2 to 255; FRR: 3.
    pub detect_multiplier: u8,
    /// The rate of echo packets, both ways, 10 ms to 60 s; FRR: 50 ms.
    pub echo_interval: Duration,
    /// Send echo packets (one hop only), and loop the peer's back.
    pub echo_mode: bool,
    /// Wait for the peer to begin.
    pub passive_mode: bool,
    /// Lowest TTL accepted on several hops; FRR: 254.
    pub minimum_ttl: u8,
}

impl Default for Params {
    /// Upstream: FRR's bfdd, where a profile says nothing.
    fn default() -> Self {
        Self {
            receive_interval: Duration::from_millis(300),
            transmit_interval: Duration::from_millis(300),
            detect_multiplier: 3,
            echo_interval: Duration::from_millis(50),
            echo_mode: false,
            passive_mode: false,
            minimum_ttl: 254,
        }
    }
}

/// What BFD has to say. Lines for the log may be lost where the channel is full (that is counted); Up and Down wait for room,
/// and the newest counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// A line for the log.
    Log(Record),
    /// The session is Up.
    Up(Peer),
    /// A session that was Up is Down, and why.
    Down(Peer, Reason),
}

/// Why a session went Down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Nothing came for the Detection Time.
    DetectionTimeExpired,
    /// Our echoes did not come back.
    EchoFunctionFailed,
    /// The peer says Down, for this reason of its own.
    NeighborDown(Diagnostic),
    /// The peer's operator ended BFD: no failure of the way (RFC 5882 §4.2).
    NeighborAdminDown,
}

impl Reason {
    /// Whether the way to the peer is broken.
    ///
    /// RFC 5882 §4.2: if the AdminDown state is signalled, the client protocol should not take it for a failure.
    #[must_use]
    pub const fn is_failure(self) -> bool {
        !matches!(self, Self::NeighborAdminDown)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DetectionTimeExpired => {
                f.write_str("nothing came from the peer for the detection time")
            }
            Self::EchoFunctionFailed => f.write_str("our echo packets do not come back"),
            Self::NeighborDown(diagnostic) if *diagnostic == Diagnostic::NONE => {
                f.write_str("the peer says Down: it started anew")
            }
            Self::NeighborDown(diagnostic) => write!(f, "the peer says Down: {diagnostic}"),
            Self::NeighborAdminDown => f.write_str("the peer's operator ended BFD there"),
        }
    }
}
