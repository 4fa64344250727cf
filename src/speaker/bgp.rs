//! BGP: which peers this node keeps a session with, and which routes it advertises to all of them.
//!
//! What it is: from configuration, settings, node labels and announced Services to [`bgp::Command`]s and [`bfd::Command`]s.
//! What it is not: sessions and packets (`bgp`, `bfd`).
//!
//! | module | knows |
//! | --- | --- |
//! | [`peers`] | whom to talk to, and how: the same peer keeps its session while others come and go |
//! | [`routes`] | which prefixes are wanted, by how many Services, with which attributes |
//!
//! For a Service of a bgp pool each advertisement of the pool is a route for each address: the address, cut to the
//! aggregation length. Every node that may announce it does (Upstream: `speaker/bgp_controller.go`):
//!
//! ```text
//! policy Cluster: no endpoint is ready               withdraw noEndpoints
//! policy Local:   no endpoint is ready on this node  withdraw noLocalEndpoints
//! else                                               announce
//! ```
//!
//! Order within an event: peers that go; routes; peers that come. So a new session's first table is whole, and its
//! End-of-RIB true. At the end nothing is withdrawn: the sessions leave as their parameters say.
//!
//! BFD: a peer with a profile has a BFD session. It is one for each way: peers with one address share it. That BFD is down takes
//! the BGP sessions of its peers down; that it never was up does not (Upstream: FRR). It stands until a peer that goes has been
//! told why: FRR takes the end of BFD for a failure, drops the session, and never reads the reason.

use super::endpoints::Readiness;
use super::service::Reason;
use super::{Effect, Phase, Speaker};
use crate::journal::Record;
use crate::{bfd, bgp};

pub(super) mod peers;
pub(super) mod routes;

/// Why a Service may not be announced; `None`: it may.
pub(super) fn objection(endpoints: Option<&Readiness>, local: bool) -> Option<Reason> {
    let ready = endpoints.is_some_and(|endpoints| match local {
        true => endpoints.served_here,
        false => endpoints.served,
    });
    match (ready, local) {
        (true, _) => None,
        (false, true) => Some(Reason::NoLocalEndpoints),
        (false, false) => Some(Reason::NoEndpoints),
    }
}

impl Speaker {
    /// What BGP and BFD have to do since the last time.
    pub(super) fn settle_bgp(&mut self) {
        if self.phase != Phase::Running || self.left_bgp {
            return;
        }
        let changes = if std::mem::take(&mut self.peers_stale) {
            self.sort_out_peers()
        } else {
            peers::Changes::default()
        };
        for peer in changes.bfd_gone {
            self.commands
                .push_back(Effect::Bfd(bfd::Command::Gone(peer)));
        }
        for id in changes.gone {
            self.commands
                .push_back(Effect::Bgp(bgp::Command::PeerGone(id)));
        }
        self.commands.extend(self.routes.settle().map(Effect::Bgp));
        for (id, params) in changes.begun {
            self.commands
                .push_back(Effect::Bgp(bgp::Command::Peer(id, params)));
        }
        for (peer, params) in changes.bfd_begun {
            self.commands
                .push_back(Effect::Bfd(bfd::Command::Session(peer, params)));
        }
    }

    /// Whom this node should talk to: finds out what is different, and says it.
    fn sort_out_peers(&mut self) -> peers::Changes {
        let Some(config) = self.live.current() else {
            return peers::Changes::default();
        };
        let wanted = peers::wanted(config, &self.labels, &self.params.node_name);
        let changes = self.peers.set(wanted);
        for (name, said) in &changes.said {
            let record = match said {
                peers::Said::Added => {
                    Record::event("peerAdded", "peer configured, starting BGP session")
                }
                peers::Said::Removed => {
                    Record::event("peerRemoved", "peer deconfigured, closing BGP session")
                        .with("reason", self.removal(name))
                }
            };
            self.say(record.with("peer", name));
        }
        changes
    }

    /// Why a peer has no session any more: it is configured for other nodes or switched off, or not configured at all (or
    /// otherwise, which is another peer).
    fn removal(&self, name: &str) -> &'static str {
        let peers = self.live.current().map_or(&[][..], |config| &config.peers);
        let named = peers.iter().find(|peer| {
            std::net::SocketAddr::new(peer.peer_address, peer.peer_port).to_string() == name
        });
        match (named, self.live.current()) {
            (Some(peer), Some(config)) if !config.settings.bgp.of(peer).enabled => "disabled",
            (Some(peer), _) if !peer.selects(&self.labels) => "filteredByNodeSelector",
            _ => "removedFromConfig",
        }
    }

    /// BFD says that the way to a peer is down.
    pub(super) fn handle_bfd_down(&mut self, peer: &bfd::Peer) {
        if self.left_bgp {
            return;
        }
        for id in self.peers.behind(peer) {
            self.commands
                .push_back(Effect::Bgp(bgp::Command::BfdDown(id)));
        }
    }

    /// BGP has said its last words to a peer as it was: BFD may go.
    pub(super) fn handle_bgp_left(&mut self, id: bgp::PeerId) {
        for way in self.peers.left(id) {
            self.commands
                .push_back(Effect::Bfd(bfd::Command::Gone(way)));
        }
    }

    /// The labels of this node.
    pub(super) fn handle_labels(&mut self, labels: std::collections::BTreeMap<String, String>) {
        if self.labels == labels {
            return;
        }
        self.labels = labels;
        self.peers_stale = true;
        self.say(Record::event(
            "nodeLabelsChanged",
            "node labels changed, resyncing BGP peers",
        ));
    }

    /// The sessions leave as their parameters say, once.
    pub(super) fn leave_bgp(&mut self) {
        if !std::mem::replace(&mut self.left_bgp, true) {
            self.commands.push_back(Effect::Bgp(bgp::Command::Shutdown));
        }
    }
}
