//! Whom this node talks to: the configured peers that its labels choose, with stable numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use crate::bgp::{Params, Password, PeerId};
use crate::config::settings::PeerSettings;
use crate::config::{BfdProfile, Config, Peer};
use crate::{bfd, bgp};

/// RFC 4271 §4.2: the Hold Time has 16 bits.
const LONGEST_HOLD_TIME: Duration = Duration::from_secs(65_535);

/// A peer that this node should have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::speaker) struct Wanted {
    params: Params,
    bfd: Option<(bfd::Peer, bfd::Params)>,
}

/// The peers of a configuration that a node with these labels has, in the order of the document.
///
/// Two that are equal in everything that a session is made of are one (they differ in their selectors, say): a router would
/// break one of two such sessions off (RFC 4271 §6.8).
pub(in crate::speaker) fn wanted(
    config: &Config,
    labels: &BTreeMap<String, String>,
    node_name: &str,
) -> Vec<Wanted> {
    let mut wanted: Vec<Wanted> = Vec::new();
    for peer in &config.peers {
        let settings = config.settings.bgp.of(peer);
        if !settings.enabled || !peer.selects(labels) {
            continue;
        }
        let params = params(peer, settings, node_name);
        if wanted.iter().any(|other| other.params == params) {
            continue;
        }
        let profile = config
            .bfd_profiles
            .iter()
            .find(|profile| !peer.bfd_profile.is_empty() && profile.name == peer.bfd_profile);
        let bfd = profile.map(|profile| (bfd_peer(peer, settings), bfd_params(profile)));
        wanted.push(Wanted { params, bfd });
    }
    wanted
}

/// What a session is like.
fn params(peer: &Peer, settings: &PeerSettings, node_name: &str) -> Params {
    let hold_time = peer.hold_time.min(LONGEST_HOLD_TIME);
    Params {
        my_asn: peer.my_asn,
        peer_asn: peer.peer_asn,
        peer_address: peer.peer_address,
        peer_port: peer.peer_port,
        source_address: peer.source_address,
        interface: settings.interface.clone(),
        hold_time,
        // Without keepalives the peer would end the session after its hold time.
        keepalive_time: match (hold_time.is_zero(), peer.keepalive_time.is_zero()) {
            (true, _) => Duration::ZERO,
            (false, true) => hold_time / 3,
            (false, false) => peer.keepalive_time.min(hold_time),
        },
        // Deviation: an IPv6 address has no 32 bits to take; the session's own choice is better than none.
        router_id: match peer.router_id {
            Some(IpAddr::V4(id)) => Some(id),
            Some(IpAddr::V6(_)) | None => None,
        },
        // Upstream: the checksum's octets, the lowest first.
        fallback_router_id: Ipv4Addr::from(crc32fast::hash(node_name.as_bytes()).to_le_bytes()),
        password: Password(peer.password.as_str().into()),
        ebgp_multihop: peer.ebgp_multihop,
        ttl_security: settings.ttl_security,
        graceful_restart: settings.graceful_restart,
        graceful_shutdown: settings.graceful_shutdown,
    }
}

/// The way that BFD watches.
///
/// FRR finds out whether an iBGP peer is on a network of its own; here it is, unless the settings say otherwise.
fn bfd_peer(peer: &Peer, settings: &PeerSettings) -> bfd::Peer {
    let far = peer.ebgp_multihop || settings.ttl_security.is_some_and(|hops| hops > 1);
    bfd::Peer {
        address: peer.peer_address,
        source: peer.source_address,
        interface: settings.interface.clone(),
        multihop: settings.bfd_multihop.unwrap_or(far),
    }
}

/// A profile, with FRR's defaults for what it leaves out. The configuration holds numbers in range only.
fn bfd_params(profile: &BfdProfile) -> bfd::Params {
    let defaults = bfd::Params::default();
    let time = |millis: Option<u32>, default| {
        millis.map_or(default, |millis| Duration::from_millis(millis.into()))
    };
    let byte = |value: Option<u32>, default| {
        value.map_or(default, |value| u8::try_from(value).unwrap_or(u8::MAX))
    };
    bfd::Params {
        receive_interval: time(profile.receive_interval, defaults.receive_interval),
        transmit_interval: time(profile.transmit_interval, defaults.transmit_interval),
        detect_multiplier: byte(profile.detect_multiplier, defaults.detect_multiplier),
        echo_interval: time(profile.echo_interval, defaults.echo_interval),
        echo_mode: profile.echo_mode,
        passive_mode: profile.passive_mode,
        minimum_ttl: byte(profile.minimum_ttl, defaults.minimum_ttl),
    }
}

/// A peer that this node has.
#[derive(Debug)]
struct Known {
    id: PeerId,
    params: Arc<Params>,
    bfd: Option<bfd::Peer>,
}

/// The peers that this node has.
#[derive(Debug, Default)]
pub(in crate::speaker) struct Peers {
    /// In the order of the document.
    known: Vec<Known>,
    /// The next number. None is given twice: there is no end of them in a program's life.
    next: u32,
    /// The BFD sessions.
    bfd: BTreeMap<bfd::Peer, bfd::Params>,
    /// Those that stand until peers have been told that they are none any more.
    leaving: BTreeMap<bfd::Peer, Leaving>,
}

/// A BFD session that is to go.
#[derive(Debug)]
struct Leaving {
    params: bfd::Params,
    /// After these.
    peers: BTreeSet<PeerId>,
}

/// What to say about a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::speaker) enum Said {
    Added,
    Removed,
}

/// What is different from before.
#[derive(Debug, Default)]
pub(in crate::speaker) struct Changes {
    /// No session any more.
    pub(in crate::speaker) gone: Vec<PeerId>,
    /// New ones, and those with other parameters.
    pub(in crate::speaker) begun: Vec<(PeerId, Arc<Params>)>,
    /// No BFD session any more. Those of peers that go or change come later ([`Peers::left`]).
    pub(in crate::speaker) bfd_gone: Vec<bfd::Peer>,
    /// New ones, and those with other parameters.
    pub(in crate::speaker) bfd_begun: Vec<(bfd::Peer, bfd::Params)>,
    /// Names, and what happened. One that has other parameters is removed and added, as upstream says it.
    pub(in crate::speaker) said: Vec<(String, Said)>,
}

impl Peers {
    /// From now on these are the peers. One that is as before keeps its session; one that has the address and port of
    /// one before keeps its number.
    pub(in crate::speaker) fn set(&mut self, wanted: Vec<Wanted>) -> Changes {
        let mut changes = Changes::default();
        let mut before: Vec<Option<Known>> = std::mem::take(&mut self.known)
            .into_iter()
            .map(Some)
            .collect();
        let mut take = |fits: &dyn Fn(&Params) -> bool| {
            before
                .iter_mut()
                .find(|known| known.as_ref().is_some_and(|known| fits(&known.params)))
                .and_then(Option::take)
        };
        // All that stay the same first, so that no other one takes their number.
        let same: Vec<Option<Known>> = wanted
            .iter()
            .map(|wanted| take(&|params| *params == wanted.params))
            .collect();
        let mut bfd: BTreeMap<bfd::Peer, bfd::Params> = BTreeMap::new();
        // Whom BFD watched a way for that will be told so.
        let mut farewells: BTreeMap<bfd::Peer, BTreeSet<PeerId>> = BTreeMap::new();
        let mut farewell = |known: &Known| {
            if let Some(way) = &known.bfd {
                farewells.entry(way.clone()).or_default().insert(known.id);
            }
        };
        for (wanted, same) in wanted.into_iter().zip(same) {
            let way = wanted.bfd.map(|(peer, params)| {
                // Of several profiles for one way the one of the first peer counts.
                bfd.entry(peer.clone()).or_insert(params);
                peer
            });
            let known = match same {
                Some(same) => Known { bfd: way, ..same },
                None => {
                    let name = wanted.params.name();
                    let place = (wanted.params.peer_address, wanted.params.peer_port);
                    let other = take(&|params| (params.peer_address, params.peer_port) == place);
                    let id = match other {
                        Some(other) => {
                            farewell(&other);
                            changes.said.push((name.clone(), Said::Removed));
                            other.id
                        }
                        None => {
                            let id = PeerId(self.next);
                            self.next = self.next.wrapping_add(1);
                            id
                        }
                    };
                    changes.said.push((name, Said::Added));
                    let params = Arc::new(wanted.params);
                    changes.begun.push((id, params.clone()));
                    Known {
                        id,
                        params,
                        bfd: way,
                    }
                }
            };
            self.known.push(known);
        }
        for gone in before.into_iter().flatten() {
            farewell(&gone);
            changes.said.push((gone.params.name(), Said::Removed));
            changes.gone.push(gone.id);
        }
        let ways: BTreeSet<&bfd::Peer> = self.bfd.keys().chain(bfd.keys()).collect();
        for way in ways {
            match (self.bfd.get(way), bfd.get(way)) {
                (before, Some(now)) => {
                    // Wanted again before it was gone.
                    let standing = self.leaving.remove(way).map(|leaving| leaving.params);
                    if before.copied().or(standing) != Some(*now) {
                        changes.bfd_begun.push((way.clone(), *now));
                    }
                }
                (Some(&params), None) => match farewells.remove(way) {
                    Some(peers) => {
                        self.leaving.insert(way.clone(), Leaving { params, peers });
                    }
                    None => changes.bfd_gone.push(way.clone()),
                },
                (None, None) => {}
            }
        }
        self.bfd = bfd;
        changes
    }

    /// This peer has been told: the BFD sessions that stood for it, and for no other one that has not.
    pub(in crate::speaker) fn left(&mut self, id: PeerId) -> Vec<bfd::Peer> {
        let over = self.leaving.extract_if(.., |_, leaving| {
            leaving.peers.remove(&id) && leaving.peers.is_empty()
        });
        over.map(|(way, _)| way).collect()
    }

    /// The peers that BFD watches this way for.
    pub(in crate::speaker) fn behind(&self, way: &bfd::Peer) -> Vec<PeerId> {
        self.known
            .iter()
            .filter(|known| known.bfd.as_ref() == Some(way))
            .map(|known| known.id)
            .collect()
    }

    /// All of them, in the order of the document.
    pub(in crate::speaker) fn iter(&self) -> impl Iterator<Item = (PeerId, &Arc<bgp::Params>)> {
        self.known.iter().map(|known| (known.id, &known.params))
    }
}
