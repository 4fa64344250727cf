//! The announcing side: events in, effects out.
//!
//! A speaker runs on every node. It knows all Services, where their endpoints are and which speakers live, and decides
//! which Services this node announces. It is no protocol: it tells layer 2 the addresses, and layer 2 answers for them; it
//! tells BGP the routes and the peers.
//!
//! In: [`Event`]s, in any order; endpoints may come before their Service. Out: [`Effect`]s, what is urgent first: an
//! announcement never waits for a log line. No clock, no socket, no randomness.
//!
//! For each Service, in this order (Upstream: `speaker/main.go` and the protocols' `ShouldAnnounce`):
//!
//! ```text
//! gone                                        withdraw serviceDeleted
//! not LoadBalancer                            withdraw notLoadBalancer
//! no configuration in force                   nothing (noConfig)
//! status without address                      withdraw noIPAllocated
//! status with something else                  withdraw invalidIP
//! no pool has all of its addresses            withdraw ipNotAllowed
//! pool's protocol is not the announced one    withdraw protocolChanged, and go on
//! addresses are not the announced ones        withdraw loadBalancerIPChanged, and go on
//! layer2: no endpoint is ready                withdraw noEndpoints
//! layer2: another node is first               withdraw notOwner
//! bgp: no endpoint is ready                   withdraw noEndpoints
//! bgp, policy Local: none on this node        withdraw noLocalEndpoints
//! else                                        announce
//! ```
//!
//! Invariants:
//! * What is announced is a function of the newest view and of the configuration in force, not of the way there.
//! * An event costs what it changes: one about a Service looks at that Service; a speaker that goes or comes
//!   moves only the Services that it owned or now owns (`election`).
//! * Before [`Event::Synced`] nothing is announced, and everything is judged at once then: a restart does not flap.
//! * The last good configuration stays in force (`configuration`).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use self::bgp::peers::Peers;
use self::bgp::routes::Routes;
pub use self::conflict::Claimant;
use self::election::{Electorate, Shift};
use self::endpoints::{Names, Readiness};
use self::layer2::Claims;
use self::owners::Sharers;
use self::pools::Pools;
use self::service::{Addresses, Entry, Reason};
use crate::config::Protocol;
use crate::config::live::LiveConfig;
use crate::journal::{Level, Record, listed};
use crate::view::{self, ObjectKey, ObjectReference};
use crate::{bfd, layer2 as l2};

mod bgp;
mod configuration;
mod conflict;
mod decision;
mod election;
mod endpoints;
mod layer2;
mod owners;
mod pools;
mod service;
#[cfg(test)]
mod tests;

/// What is decided once, at start.
#[derive(Debug, Clone)]
pub struct Params {
    /// This node, as in `spec.nodeName`.
    pub node_name: Arc<str>,
    /// Whether a Service that has no endpoints object counts this node as ready (standalone mode).
    pub without_endpoints_ready: bool,
    /// Whose attributes routes have.
    pub bgp_type: BgpType,
}

/// `METALLB_BGP_TYPE`: which of 0.12's BGP implementations is replaced. Ours serves both in one way; what differs is what
/// routers see of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BgpType {
    /// MetalLB's own: ORIGIN INCOMPLETE, LOCAL_PREF as configured.
    #[default]
    Native,
    /// FRR: ORIGIN IGP, LOCAL_PREF 100 where it is 0.
    Frr,
}

/// What can happen to the speaker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The ConfigMap appeared or changed.
    ConfigMap(view::ConfigMap),
    /// The ConfigMap does not exist.
    ConfigMapGone,
    /// A Service appeared or changed.
    Service(Box<view::Service>),
    /// A Service is gone.
    ServiceGone(view::ObjectKey),
    /// All endpoints of a Service.
    Endpoints(view::Endpoints),
    /// A Service has no endpoints object.
    EndpointsGone(view::ObjectKey),
    /// A Node appeared or changed.
    Node(view::Node),
    /// A Node is gone.
    NodeGone(Arc<str>),
    /// The nodes with a ready speaker pod; `None`: nobody can tell (as does an empty set: this speaker lives). Counts
    /// where gossip tells nothing.
    Speakers(Option<BTreeSet<Arc<str>>>),
    /// The nodes whose speakers are members of the gossip; `None`: it tells nothing, because it has reached nobody. Never
    /// told where gossip is off.
    Members(Option<BTreeSet<Arc<str>>>),
    /// Another station has an address that this node announces, and keeps it.
    Conflict {
        /// The address.
        ip: IpAddr,
        /// Who else has it.
        other: Claimant,
    },
    /// The cause of [`Event::Conflict`] is gone.
    ConflictOver {
        /// The address.
        ip: IpAddr,
        /// The station that had it.
        mac: l2::MacAddr,
    },
    /// Services, endpoints, the ConfigMap and the first word about speakers have all been told.
    Synced,
    /// BFD says that this way is down, which was up.
    BfdDown(bfd::Peer),
    /// BGP says that a peer that is gone, or has other parameters, has been told so, or cannot be.
    BgpLeft(crate::bgp::PeerId),
    /// The program is about to end: the BGP sessions leave, while layer 2 still answers.
    Leaving,
    /// The program ends: withdraw everything.
    Shutdown,
}

/// What the speaker wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// For layer 2.
    Layer2(l2::Command),
    /// For layer 2: from now on only on these interfaces; empty: on all that are suitable.
    Interfaces(Vec<String>),
    /// For BGP.
    Bgp(crate::bgp::Command),
    /// For BFD.
    Bfd(bfd::Command),
    /// Record this Kubernetes Event.
    Record(view::KubernetesEvent),
    /// Log this line.
    Log(Record),
}

/// One announcement, as the metrics and the status table show it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Announcement {
    /// The Service.
    pub service: view::ObjectKey,
    /// The address.
    pub ip: IpAddr,
    /// How.
    pub protocol: ProtocolName,
}

/// `layer2` or `bgp`, ordered by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProtocolName(pub &'static str);

impl From<Protocol> for ProtocolName {
    fn from(protocol: Protocol) -> Self {
        Self(protocol.as_str())
    }
}

/// What the metrics show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Whether a configuration was ever accepted.
    pub config_loaded: bool,
    /// Whether the newest ConfigMap is not the configuration in force.
    pub config_stale: bool,
    /// Objects processed.
    pub updates: u64,
    /// Objects whose processing failed.
    pub update_errors: u64,
}

/// Effects that the queues keep room for while they are empty: a usual event has a handful.
const QUEUE_KEPT: usize = 64;

/// Where the speaker is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// It hears what there is, and says nothing.
    Starting,
    /// It announces.
    Running,
    /// It has withdrawn everything, and hears nothing any more.
    Stopped,
}

/// The announcing side of one node.
#[derive(Debug)]
pub struct Speaker {
    params: Params,
    phase: Phase,
    /// The configuration in force, while ConfigMaps come and go.
    live: LiveConfig,
    /// Its pools, by address.
    pools: Pools,
    /// Whether the ConfigMap does not exist, as was said.
    config_map_gone: bool,
    /// A good configuration that would take announced addresses away.
    held_back: Option<configuration::HeldBack>,
    /// Everything that is known by key.
    entries: BTreeMap<ObjectKey, Entry>,
    /// Those that may share an address.
    sharers: Sharers,
    names: Names,
    electorate: Electorate,
    /// Whether anything was said about speakers yet.
    speakers_told: bool,
    /// What counts for a Service without an endpoints object, if anything.
    without_endpoints: Option<Readiness>,
    /// What this node would announce, and another does, which comes first.
    yielded: BTreeSet<IpAddr>,
    /// The addresses that layer 2 announces.
    claims: Claims,
    /// The only interfaces for layer 2, as it was told.
    interfaces: Vec<String>,
    /// The routes that BGP advertises.
    routes: Routes,
    /// The BGP peers of this node.
    peers: Peers,
    /// Whether [`Self::peers`] may be different from what is configured.
    peers_stale: bool,
    /// The labels of this node, as they were last told: a Node that is gone for a moment has the same ones afterwards.
    labels: BTreeMap<String, String>,
    /// Whether the BGP sessions were told to leave.
    left_bgp: bool,
    /// What is urgent.
    commands: VecDeque<Effect>,
    /// What can wait.
    words: VecDeque<Effect>,
    updates: u64,
    update_errors: u64,
}

impl Speaker {
    /// A speaker that knows nothing yet.
    #[must_use]
    pub fn new(params: Params) -> Self {
        Self {
            electorate: Electorate::new(params.node_name.clone()),
            speakers_told: false,
            without_endpoints: params
                .without_endpoints_ready
                .then(|| Readiness::on(&params.node_name)),
            interfaces: Vec::new(),
            routes: Routes::new(params.bgp_type),
            peers: Peers::default(),
            peers_stale: false,
            labels: BTreeMap::new(),
            left_bgp: false,
            params,
            phase: Phase::Starting,
            live: LiveConfig::default(),
            pools: Pools::default(),
            config_map_gone: false,
            held_back: None,
            entries: BTreeMap::new(),
            sharers: Sharers::new(),
            names: Names::default(),
            yielded: BTreeSet::new(),
            claims: Claims::default(),
            commands: VecDeque::new(),
            words: VecDeque::new(),
            updates: 0,
            update_errors: 0,
        }
    }

    /// Takes one event. Drain [`Speaker::poll_effect`] afterwards.
    pub fn handle(&mut self, event: Event) {
        if self.phase == Phase::Stopped {
            return;
        }
        if !matches!(
            event,
            Event::Synced
                | Event::BfdDown(_)
                | Event::BgpLeft(_)
                | Event::Leaving
                | Event::Shutdown
        ) {
            self.updates += 1;
        }
        match event {
            Event::ConfigMap(map) => self.handle_config_map(&map),
            Event::ConfigMapGone => self.handle_config_map_gone(),
            Event::Service(service) => self.handle_service(*service),
            Event::ServiceGone(key) => {
                self.drop_balancer(&key, Reason::ServiceDeleted);
                self.try_held_back(&key);
            }
            Event::Endpoints(endpoints) => {
                let me = &self.params.node_name;
                let readiness = Readiness::new(&endpoints.endpoints, me, &mut self.names);
                self.handle_endpoints(&endpoints.service, Some(readiness));
            }
            Event::EndpointsGone(key) => self.handle_endpoints(&key, None),
            Event::Node(node) => {
                let shift = self.electorate.set_ready(&node.name, node.ready);
                self.shift(&shift);
                if node.name == self.params.node_name {
                    self.handle_labels(node.labels);
                }
            }
            Event::NodeGone(name) => {
                let shift = self.electorate.set_gone(&name);
                self.shift(&shift);
            }
            Event::Speakers(speakers) => self.handle_speakers(speakers),
            Event::Members(members) => self.handle_members(members),
            Event::Conflict { ip, other } => self.handle_conflict(ip, &other),
            Event::ConflictOver { ip, mac } => self.handle_conflict_over(ip, mac),
            Event::Synced => self.handle_synced(),
            Event::BfdDown(peer) => self.handle_bfd_down(&peer),
            Event::BgpLeft(id) => self.handle_bgp_left(id),
            Event::Leaving => self.leave_bgp(),
            Event::Shutdown => self.handle_shutdown(),
        }
        self.commands
            .extend(self.claims.settle(&self.yielded).map(Effect::Layer2));
        self.settle_bgp();
    }

    /// Takes the next thing to do. What the protocols have to do comes first, oldest first; then the rest, oldest first.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        if let Some(command) = self.commands.pop_front() {
            return Some(command);
        }
        let word = self.words.pop_front();
        if word.is_none() {
            // A failover of thousands of Services must not keep its megabytes for ever.
            self.commands.shrink_to(QUEUE_KEPT);
            self.words.shrink_to(QUEUE_KEPT);
        }
        word
    }

    /// What this node announces, by Service; a Service's addresses in the order of its status.
    pub fn announcements(&self) -> impl Iterator<Item = Announcement> + '_ {
        self.entries
            .iter()
            .filter_map(|(key, entry)| Some((key, entry.balancer.as_ref()?.announced.as_ref()?)))
            .flat_map(|(key, announced)| {
                announced.addresses.iter().map(move |&ip| Announcement {
                    service: key.clone(),
                    ip,
                    protocol: announced.protocol.into(),
                })
            })
    }

    /// The Services that this address is announced for, as Events refer to them.
    pub fn announced_for(&self, ip: IpAddr) -> impl Iterator<Item = ObjectReference> + '_ {
        self.entries.iter().filter_map(move |(key, entry)| {
            let balancer = entry.balancer.as_ref()?;
            let announced = balancer.announced.as_ref()?;
            announced.addresses.contains(&ip).then(|| ObjectReference {
                kind: "Service",
                key: key.clone(),
                uid: balancer.uid.clone(),
            })
        })
    }

    /// The routes that this node advertises to its BGP peers, by prefix.
    pub fn routes(&self) -> impl Iterator<Item = (ipnet::IpNet, Arc<crate::bgp::Attributes>)> + '_ {
        self.routes.iter()
    }

    /// The BGP peers of this node, in the order of the configuration.
    pub fn peers(&self) -> impl Iterator<Item = (crate::bgp::PeerId, &Arc<crate::bgp::Params>)> {
        self.peers.iter()
    }

    /// The settings in force; `None`: there is no configuration yet.
    #[must_use]
    pub fn settings(&self) -> Option<&crate::config::settings::Settings> {
        self.live.current().map(|config| &config.settings)
    }

    /// What the metrics show.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats {
            config_loaded: self.live.loaded(),
            config_stale: self.live.stale(),
            updates: self.updates,
            update_errors: self.update_errors,
        }
    }

    fn handle_service(&mut self, service: view::Service) {
        let key = service.key;
        if service.is_load_balancer {
            let addresses = Addresses::parse(&service.ingress);
            let local = service.local_traffic_policy;
            let entry = self.entries.entry(key.clone()).or_default();
            let shared_before = entry.shared_first();
            let balancer = entry.balancer.get_or_insert_default();
            balancer.uid = service.uid;
            let elects = (addresses.first(), local) != (balancer.addresses.first(), balancer.local);
            if balancer.addresses != addresses {
                balancer.addresses = addresses;
                balancer.complaint = None;
            }
            balancer.local = local;
            let shared_now = entry.shared_first();
            if elects {
                self.elect(&key);
                self.move_sharer(&key, shared_before, shared_now);
            }
            self.judge(&key);
        } else {
            self.drop_balancer(&key, Reason::NotLoadBalancer);
        }
        self.try_held_back(&key);
    }

    fn handle_endpoints(&mut self, key: &ObjectKey, readiness: Option<Readiness>) {
        let entry = match self.entries.get_mut(key) {
            Some(entry) => entry,
            None if readiness.is_none() => return,
            None => self.entries.entry(key.clone()).or_default(),
        };
        if entry.endpoints == readiness {
            return;
        }
        entry.endpoints = readiness;
        if entry.balancer.is_some() {
            self.elect_and_judge(key);
        } else if entry.endpoints.is_none() {
            self.entries.remove(key);
        }
    }

    fn handle_speakers(&mut self, speakers: Option<BTreeSet<Arc<str>>>) {
        let record = match &speakers {
            Some(nodes) if !nodes.is_empty() => Record::event(
                "speakersChanged",
                format!("{} nodes have a live speaker", nodes.len()),
            ),
            Some(_) => Record::event(
                "speakersChanged",
                "no pod of a speaker is Ready: the nodes with ready endpoints announce. If this stays, compare \
                 METALLB_ML_LABELS with the labels of the speaker's pods",
            )
            .at(Level::Warn),
            None => Record::event(
                "speakersChanged",
                "nobody can tell which nodes have a live speaker: the nodes with ready endpoints announce",
            ),
        };
        let shift = self.electorate.set_ready_pods(speakers);
        self.speakers_shift(&shift, record);
    }

    fn handle_members(&mut self, members: Option<BTreeSet<Arc<str>>>) {
        let record = match &members {
            Some(nodes) => Record::event(
                "speakersChanged",
                format!(
                    "the speakers of {} nodes are members of the gossip",
                    nodes.len()
                ),
            ),
            None => Record::event(
                "speakersChanged",
                "gossip has reached no other speaker: the speaker pods that are Ready count",
            )
            .at(Level::Warn),
        };
        let shift = self.electorate.set_members(members);
        self.speakers_shift(&shift, record);
    }

    /// Says who lives, and moves what moves.
    fn speakers_shift(&mut self, shift: &Shift, record: Record) {
        match shift {
            Shift::None if self.speakers_told => return,
            Shift::Some { worse, better } => self.say(
                record
                    .with("joined", listed(better.iter()))
                    .with("left", listed(worse.iter())),
            ),
            Shift::None | Shift::All => self.say(record),
        }
        self.speakers_told = true;
        self.shift(shift);
    }

    fn handle_synced(&mut self) {
        if self.phase != Phase::Starting {
            return;
        }
        self.phase = Phase::Running;
        self.peers_stale = true;
        self.say(Record::event(
            "stateSynced",
            "Services, endpoints and speakers are known: announcing",
        ));
        self.elect_all(&Shift::All);
        self.judge_all();
    }

    fn handle_shutdown(&mut self) {
        self.leave_bgp();
        // BFD ends with the program, after BGP's last words: FRR takes AdminDown for a failure and drops the session.
        self.phase = Phase::Stopped;
        let mut withdrawn: usize = 0;
        for entry in self.entries.values_mut() {
            if let Some(balancer) = &mut entry.balancer
                && let Some(announced) = balancer.announced.take()
            {
                if announced.protocol == Protocol::Layer2 {
                    self.claims.release(&announced.addresses);
                }
                withdrawn += 1;
            }
        }
        self.say(
            Record::event("shutdown", "withdrawing everything").with("announcements", withdrawn),
        );
    }

    /// The Service is gone, or is none of ours any more.
    fn drop_balancer(&mut self, key: &ObjectKey, reason: Reason) {
        self.withdraw(key, reason);
        let Some(entry) = self.entries.get_mut(key) else {
            return;
        };
        let shared = entry.shared_first();
        entry.balancer = None;
        if entry.endpoints.is_none() {
            self.entries.remove(key);
        }
        self.move_sharer(key, shared, None);
    }

    /// The electorate changed: judges those Services that this node wins or loses.
    fn shift(&mut self, shift: &Shift) {
        for key in self.elect_all(shift) {
            self.judge(&key);
        }
        if *shift != Shift::None {
            self.reconsider_yielded();
        }
    }
}
