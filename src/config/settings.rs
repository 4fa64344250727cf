//! The settings: what 0.12's document has no words for (`data.ferrolb` of the same ConfigMap).
//!
//! What it is: options whose defaults are 0.12's behaviour or better. What it is not: anything that 0.12's document can say.
//! 0.12 does not look at this key, so that a ConfigMap that has it still serves 0.12.
//!
//! `config::parse` makes it from the text; `docs/settings.md` is the reference for people.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::Peer;

/// All settings. The default is a ConfigMap without the key.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settings {
    /// BGP.
    pub bgp: BgpSettings,
    /// Layer 2.
    pub layer2: Layer2Settings,
    /// The gossip between speakers.
    pub gossip: GossipSettings,
}

/// BGP.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BgpSettings {
    /// What holds for peers that have no entry of their own.
    pub general: PeerSettings,
    /// Entries for peers, in the order of the document; what one leaves out is filled in from the general ones. No two are for
    /// the same address and port.
    pub peers: Vec<PeerEntry>,
}

impl BgpSettings {
    /// What holds for a peer: the entry with its address and port, else the one with its address, else the general ones.
    #[must_use]
    pub fn of(&self, peer: &Peer) -> &PeerSettings {
        let entry = |port: Option<u16>| {
            self.peers.iter().find(move |entry| {
                entry.peer_address == peer.peer_address && entry.peer_port == port
            })
        };
        entry(Some(peer.peer_port))
            .or_else(|| entry(None))
            .map_or(&self.general, |entry| &entry.settings)
    }
}

/// An entry for the peers with one address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerEntry {
    /// The address that they have in `peers`.
    pub peer_address: IpAddr,
    /// The port, where only peers with this one are meant.
    pub peer_port: Option<u16>,
    /// What holds for them.
    pub settings: PeerSettings,
}

/// What may differ from peer to peer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PeerSettings {
    /// Whether there is a session at all.
    pub enabled: bool,
    /// Graceful restart (RFC 4724): how long the peer is asked to keep our routes, whole seconds, 1 to 4095; `None`: not
    /// offered.
    pub graceful_restart: Option<Duration>,
    /// Graceful shutdown (RFC 8326): how long GRACEFUL_SHUTDOWN is announced before the session ends, at most 1 s; `None`:
    /// not announced.
    pub graceful_shutdown: Option<Duration>,
    /// GTSM (RFC 5082): how many hops away the peer may be, 1 to 254; `None`: off.
    pub ttl_security: Option<u8>,
    /// The interface of a link-local peer.
    pub interface: Option<Arc<str>>,
    /// Whether BFD reckons with several hops (RFC 5883); `None`: where `ebgp-multihop` or `ttl_security` says so.
    pub bfd_multihop: Option<bool>,
}

impl Default for PeerSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            graceful_restart: None,
            graceful_shutdown: None,
            ttl_security: None,
            interface: None,
            bfd_multihop: None,
        }
    }
}

/// Layer 2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer2Settings {
    /// The only interfaces to announce on, by name; empty: all that are suitable.
    pub interfaces: Vec<String>,
    /// Whether two nodes that announce one address notice it, and one of them gives way.
    pub conflict_resolution: bool,
}

impl Default for Layer2Settings {
    fn default() -> Self {
        Self {
            interfaces: Vec::new(),
            conflict_resolution: true,
        }
    }
}

/// The gossip between speakers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GossipSettings {
    /// Whether a dead speaker is noticed sooner than HashiCorp's memberlist would.
    pub fast_detection: bool,
}

impl Default for GossipSettings {
    fn default() -> Self {
        Self {
            fast_detection: true,
        }
    }
}
