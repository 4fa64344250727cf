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

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::journal::Record;

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
    /// The program ends: AdminDown everywhere (RFC 5880 §6.8.16), so that nobody takes it for a failure.
    Shutdown,
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

/// What BFD has to say. A full channel drops and counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// A line for the log.
    Log(Record),
    /// The session is Up.
    Up(Peer),
    /// A session that was Up is Down; the sentence says why.
    Down(Peer, String),
}
