//! BGP: sessions that this node dials, and the routes that it advertises over them. Nothing is learned.
//!
//! What it is: RFC 4271 for a speaker that dials, with the extensions that its peers expect. What it is not: the choice of
//! peers and routes (`speaker`).
//!
//! | module | knows |
//! | --- | --- |
//! | `wire` | bytes: the messages, capabilities, path attributes |
//! | `session` | time: one peer's state machine (RFC 4271 §8), timers (machine) |
//! | `backoff` | how long to wait between attempts |
//! | `rib_out` | what one peer has been told, what it is to be told, in as few UPDATEs as possible |
//! | `driver` (feature `io`) | the sockets, a task for each peer |
//!
//! In: [`Command`]. Out: bytes on the wire, [`Report`] and the figures. A peer shares nothing with another one but the
//! routes' attributes.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::journal::Record;

pub mod backoff;

pub mod wire;

pub mod rib_out;

pub mod session;

#[cfg(feature = "io")]
pub mod driver;

/// A peer, for as long as the configuration keeps it: two peers may have one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub u32);

/// What BGP is asked for. All are idempotent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Keep a session with this peer. Other parameters than before: the old session is closed (Cease, Other Configuration
    /// Change), and a new one begun. The same ones: nothing happens.
    Peer(PeerId, Arc<Params>),
    /// No session with this peer any more (Cease, Peer De-configured).
    PeerGone(PeerId),
    /// Advertise this prefix to every peer with these attributes; `None`: withdraw it. The prefix has no host bits.
    Route(IpNet, Option<Arc<Attributes>>),
    /// BFD says that the way to this peer is down: its session goes at once, without a NOTIFICATION (RFC 5882 §4.3).
    BfdDown(PeerId),
    /// The program ends: leave every peer as its parameters say.
    Shutdown,
}

/// What one session is like. It cannot be invalid: `speaker` builds it from the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Params {
    /// Our AS number, not 0.
    pub my_asn: u32,
    /// The peer's, not 0; another one in its OPEN is refused (RFC 4271 §6.2, Bad Peer AS).
    pub peer_asn: u32,
    /// The address to dial.
    pub peer_address: IpAddr,
    /// The port to dial.
    pub peer_port: u16,
    /// The address to dial from; it must exist on the node when dialling.
    pub source_address: Option<IpAddr>,
    /// The interface of a link-local peer address (RFC 4007 zone), by name.
    pub interface: Option<Arc<str>>,
    /// Offered Hold Time, whole seconds: 0 or at least 3 s.
    pub hold_time: Duration,
    /// Interval of KEEPALIVEs, at most a third of the negotiated Hold Time where that is shorter. 0 where `hold_time` is.
    pub keepalive_time: Duration,
    /// BGP Identifier; `None`: the session's local IPv4 address, else the first IPv4 address of its interface, else
    /// `fallback_router_id`.
    pub router_id: Option<Ipv4Addr>,
    /// Upstream: CRC-32 of the node's name, little endian.
    pub fallback_router_id: Ipv4Addr,
    /// TCP MD5 (RFC 2385); empty: none.
    pub password: Password,
    /// Whether the peer may be far away: TTL 255 instead of the kernel's own. Upstream's native mode does not look at it.
    pub ebgp_multihop: bool,
    /// GTSM (RFC 5082): how many hops away the peer may be, at least 1; `None`: off.
    pub ttl_security: Option<u8>,
    /// Graceful restart (RFC 4724, RFC 8538): how long a peer is asked to keep our routes; `None`: not offered. Whole
    /// seconds, at most 4095.
    pub graceful_restart: Option<Duration>,
    /// At the end, announce GRACEFUL_SHUTDOWN (RFC 8326) and wait this long before leaving, at most a second; `None`: leave at
    /// once. Not used where `graceful_restart` was agreed on, whose point is that the routes stay.
    pub graceful_shutdown: Option<Duration>,
}

impl Params {
    /// Whether the session is internal: LOCAL_PREF is sent, our AS number is not.
    #[must_use]
    pub const fn is_internal(&self) -> bool {
        self.my_asn == self.peer_asn
    }

    /// `ip:port`, or `[ip]:port`: the label `peer` of metrics, the field `peer` of logs (Upstream: `net.JoinHostPort`).
    #[must_use]
    pub fn name(&self) -> String {
        std::net::SocketAddr::new(self.peer_address, self.peer_port).to_string()
    }
}

/// A secret: never shown.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Password(pub Arc<str>);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "none" } else { "***" })
    }
}

/// The path attributes of a route that are ours to choose. AS_PATH and NEXT_HOP are the session's.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Attributes {
    /// ORIGIN. Upstream: INCOMPLETE in native mode, IGP in FRR mode.
    pub origin: Origin,
    /// LOCAL_PREF, sent to internal peers only.
    pub local_pref: u32,
    /// COMMUNITIES (RFC 1997), ascending, without repetition.
    pub communities: Box<[u32]>,
}

/// RFC 4271 §5.1.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Origin {
    /// Network layer reachability information is interior to the originating AS.
    Igp = 0,
    /// Learned by the EGP protocol.
    Egp = 1,
    /// Learned by some other means.
    Incomplete = 2,
}

/// What BGP has to say. A full channel drops and counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// A line for the log.
    Log(Record),
    /// A session is Established.
    Up(PeerId),
    /// A session that was Established is not any more; the sentence says why.
    Down(PeerId, String),
    /// After [`Command::PeerGone`], or [`Command::Peer`] with other parameters: what was to be said to the peer as it was is
    /// said, or cannot be. This one is never dropped.
    Left(PeerId),
}
