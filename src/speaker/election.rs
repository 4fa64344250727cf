//! Which node announces a Service by layer 2: every speaker computes the same answer from the same view.
//!
//! Upstream: the candidates are ordered by SHA-256 of `<node name>#<first IP>`, bytes compared; the first one announces.
//! Candidates: with externalTrafficPolicy Cluster every node with a live speaker, with Local those of them with a ready
//! endpoint. Where nobody can tell which speakers live, the nodes with a ready endpoint, whatever the policy
//! (Deviation: 0.12 without memberlist announces Cluster Services from nowhere). The hash is kept exactly: during a
//! rolling upgrade the speakers of 0.12 and ours must agree.
//!
//! # Who counts as alive
//!
//! * Where gossip tells who its members are, they are the live speakers, and nothing else counts: not the readiness of
//!   pods, nor that of Nodes. Compat: 0.12 looks at nothing else either, and both must agree. Where it is off or
//!   has reached nobody, the pods of speakers that are Ready tell, by the rules that follow.
//! * This node always counts as one with a live speaker (upstream: a member of memberlist is always among its own
//!   members), although its own pod becomes Ready only 10 s or more after its start.
//! * A list of live speakers without any entry is wrong, because this one lives. It means that no pod is Ready yet, or
//!   that the pod labels match nothing; if each speaker counted itself alone, all would announce everything, in the
//!   latter case for ever. So nobody can tell then, and the nodes with ready endpoints are the candidates.
//! * Deviation: a node whose Node object says that it is not Ready yields to every candidate that is Ready; among
//!   themselves such nodes are ordered by the hash as ever. A node that lost power is seen in its Node object, which is
//!   watched, earlier than in the list of pods, which is polled. The rule holds for this node as well: a node without
//!   kubelet whose speaker still reaches the API server gives up what the others have taken over, instead of answering
//!   besides them for as long as the kubelet is away. If no node is Ready, the readiness of nodes decides nothing. Gossip
//!   sees dead nodes earlier than the Node object does.
//!
//! # When two nodes own an address, or none
//!
//! Views differ for as long as news travels. Two owners are preferred to none: with Cluster both forward rightly, and a
//! client stays with the one in its neighbour cache, because it asks that one by unicast first; an address without
//! an owner is out of reach for everybody new.
//!
//! * A speaker stops (SIGTERM): with gossip it leaves first and withdraws a moment later, when the others have announced.
//!   Without, it withdraws, and nobody owns its addresses until the others list the pods again. Clients that know the
//!   node's MAC address keep working meanwhile, as kube-proxy still forwards there.
//! * A speaker is killed, or its node dies: nobody answers until the others notice (pod list, Node object, gossip).
//! * A speaker starts: with gossip it joins once it knows all that it needs to announce, and announces as soon as the
//!   first member has answered; the others hear of it in the same moment, and go on answering for a fifth of a second
//!   (`memberlist::standing`). Without, it announces what the hash gives it at
//!   once; the others stop when they see its pod Ready, 10 s and more later with upstream's probes. Until then both own.
//!   The newcomer's gratuitous burst is the later one, so that clients are with the node that stays the owner.
//! * All speakers start together (power cut): the nodes with ready endpoints are candidates until the first pod is Ready;
//!   from then until the last one is, each of the others counts itself, too, as above.
//! * A node is cut off from the API server, and its speaker lives: its view stays as it is, and it goes on; the others
//!   take over once the Node is not Ready. Both own until the node is back. Gossip closes this window.
//! * The first IP of a dual-stack Service decides for both. Compat: if another Service shares only the second address, its
//!   own first IP decides for it, and two nodes may own that address (0.12 does the same; to order by each
//!   address would give an address two owners during every rolling upgrade).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::endpoints::Readiness;

/// Who may be elected.
#[derive(Debug)]
pub(super) struct Electorate {
    /// This node.
    me: Arc<str>,
    /// The nodes with a live speaker, this one among them; `None`: nobody can tell.
    live: Option<BTreeSet<Arc<str>>>,
    /// Whether that is gossip's word.
    by_gossip: bool,
    /// What the pods tell, for when gossip tells nothing.
    ready_pods: Option<BTreeSet<Arc<str>>>,
    /// The nodes known not to be Ready. A node that nobody told about counts as Ready.
    not_ready: BTreeMap<Arc<str>, Unready>,
}

/// Why a node yields to those that are Ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unready {
    /// Its Node says so.
    Told,
    /// Its Node is gone, and its speaker is not gone yet.
    Gone,
}

/// A candidate's place: the lowest wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Score {
    /// Whether its Node is not Ready: first Ready nodes, then the others.
    not_ready: bool,
    /// SHA-256 of `<node name>#<first IP>`.
    hash: [u8; 32],
}

/// The first among the candidates, with its score: a newcomer needs to be compared with nobody else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Winner {
    node: Arc<str>,
    score: Score,
}

impl Winner {
    /// The node that announces.
    pub(super) fn node(&self) -> &str {
        &self.node
    }
}

/// What an election is about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Contest<'a> {
    /// The first address of the Service.
    pub(super) first: IpAddr,
    /// Whether its policy is Local.
    pub(super) local: bool,
    /// Its endpoints; `None`: nothing is known about them.
    pub(super) endpoints: Option<&'a Readiness>,
}

/// How the electorate changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Shift {
    /// Not at all.
    None,
    /// These can win no longer, or have fallen behind; those may win now.
    Some {
        worse: BTreeSet<Arc<str>>,
        better: BTreeSet<Arc<str>>,
    },
    /// The rules are others now.
    All,
}

impl Electorate {
    /// An electorate in which nobody has told yet who lives.
    pub(super) fn new(me: Arc<str>) -> Self {
        Self {
            me,
            live: None,
            by_gossip: false,
            ready_pods: None,
            not_ready: BTreeMap::new(),
        }
    }

    /// Takes the nodes with a ready speaker; `None`: nobody can tell. An empty list tells nothing either.
    pub(super) fn set_ready_pods(&mut self, nodes: Option<BTreeSet<Arc<str>>>) -> Shift {
        self.ready_pods = nodes.filter(|nodes| !nodes.is_empty());
        if self.by_gossip {
            return Shift::None;
        }
        self.set_live(self.ready_pods.clone(), false)
    }

    /// Takes the members of the gossip; `None`: it tells nothing.
    pub(super) fn set_members(&mut self, members: Option<BTreeSet<Arc<str>>>) -> Shift {
        match members {
            Some(members) => self.set_live(Some(members), true),
            None => self.set_live(self.ready_pods.clone(), false),
        }
    }

    fn set_live(&mut self, nodes: Option<BTreeSet<Arc<str>>>, by_gossip: bool) -> Shift {
        let nodes = nodes.map(|mut nodes| {
            nodes.insert(self.me.clone());
            nodes
        });
        let same_rules = std::mem::replace(&mut self.by_gossip, by_gossip) == by_gossip;
        let before = std::mem::replace(&mut self.live, nodes);
        if let Some(live) = &self.live {
            // Nodes come and go for years: those that are gone altogether are forgotten.
            self.not_ready
                .retain(|node, why| *why == Unready::Told || live.contains(node));
        }
        match (&before, &self.live) {
            (None, None) => Shift::None,
            // The readiness of Nodes counts now, or counts no longer.
            _ if !same_rules => Shift::All,
            (Some(before), Some(now)) if before == now => Shift::None,
            (Some(before), Some(now)) => Shift::Some {
                worse: before.difference(now).cloned().collect(),
                better: now.difference(before).cloned().collect(),
            },
            (None, Some(_)) | (Some(_), None) => Shift::All,
        }
    }

    /// Takes what a Node says about itself.
    pub(super) fn set_ready(&mut self, node: &Arc<str>, ready: bool) -> Shift {
        self.set_unready(node, (!ready).then_some(Unready::Told))
    }

    /// A Node is gone: it yields to those that are Ready, until the news that its speaker is gone comes, too.
    pub(super) fn set_gone(&mut self, node: &Arc<str>) -> Shift {
        let lives = self.live.as_ref().is_some_and(|live| live.contains(node));
        self.set_unready(node, lives.then_some(Unready::Gone))
    }

    fn set_unready(&mut self, node: &Arc<str>, why: Option<Unready>) -> Shift {
        let before = match why {
            Some(why) => self.not_ready.insert(node.clone(), why),
            None => self.not_ready.remove(node),
        };
        if self.by_gossip {
            return Shift::None;
        }
        let one = BTreeSet::from([node.clone()]);
        match (before.is_some(), why.is_some()) {
            (true, true) | (false, false) => Shift::None,
            (false, true) => Shift::Some {
                worse: one,
                better: BTreeSet::new(),
            },
            (true, false) => Shift::Some {
                worse: BTreeSet::new(),
                better: one,
            },
        }
    }

    /// Elects among all candidates.
    pub(super) fn elect(&self, contest: Contest<'_>) -> Option<Winner> {
        let ip = contest.first.to_string();
        let ready = contest.endpoints.map_or(&[][..], |ready| &*ready.nodes);
        let best = |winner, node| self.better_of(winner, node, &ip);
        match &self.live {
            Some(live) if contest.local => ready
                .iter()
                .filter(|node| live.contains(*node))
                .fold(None, best),
            Some(live) => live.iter().fold(None, best),
            None => ready.iter().fold(None, best),
        }
    }

    /// Elects again after a shift: only those that moved are looked at, unless the winner is one that fell.
    pub(super) fn elect_again(
        &self,
        contest: Contest<'_>,
        winner: Option<Winner>,
        worse: &BTreeSet<Arc<str>>,
        better: &BTreeSet<Arc<str>>,
    ) -> Option<Winner> {
        if winner
            .as_ref()
            .is_some_and(|winner| worse.contains(&winner.node))
        {
            return self.elect(contest);
        }
        let mut candidates = better
            .iter()
            .filter(|node| self.is_candidate(contest, node))
            .peekable();
        if candidates.peek().is_none() {
            return winner;
        }
        let ip = contest.first.to_string();
        candidates.fold(winner, |winner, node| self.better_of(winner, node, &ip))
    }

    /// Whether `node` comes before this one, if it is a candidate as far as endpoints go. Whether it counts as alive here does not
    /// matter: it announces.
    pub(super) fn is_before_me(&self, node: &Arc<str>, contest: Contest<'_>) -> bool {
        let by_endpoints = contest.local || self.live.is_none();
        if by_endpoints && !contest.endpoints.is_some_and(|ready| ready.is_on(node)) {
            return false;
        }
        let ip = contest.first.to_string();
        self.score(node, &ip) < self.score(&self.me, &ip)
    }

    /// Whether the node counts as one with a live speaker.
    pub(super) fn lives(&self, node: &Arc<str>) -> bool {
        self.live.as_ref().is_some_and(|live| live.contains(node))
    }

    fn score(&self, node: &Arc<str>, ip: &str) -> Score {
        Score {
            not_ready: !self.by_gossip && self.not_ready.contains_key(node),
            hash: hash(node, ip),
        }
    }

    /// The one of the two who comes first.
    fn better_of(&self, winner: Option<Winner>, node: &Arc<str>, ip: &str) -> Option<Winner> {
        let score = self.score(node, ip);
        match winner {
            Some(winner) if winner.score <= score => Some(winner),
            _ => Some(Winner {
                node: node.clone(),
                score,
            }),
        }
    }

    /// Whether the node may win.
    fn is_candidate(&self, contest: Contest<'_>, node: &Arc<str>) -> bool {
        let has_endpoint = || contest.endpoints.is_some_and(|ready| ready.is_on(node));
        match &self.live {
            Some(live) => live.contains(node) && (!contest.local || has_endpoint()),
            None => has_endpoint(),
        }
    }

    /// Whether anybody can tell which speakers live.
    pub(super) fn knows_who_lives(&self) -> bool {
        self.live.is_some()
    }
}

/// SHA-256 of `<node name>#<IP>`.
///
/// Compat: the address in Go's text form, which for canonical addresses is RFC 5952's, as is std's.
fn hash(node: &str, ip: &str) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(node.as_bytes());
    hash.update(b"#");
    hash.update(ip.as_bytes());
    hash.finalize().into()
}
