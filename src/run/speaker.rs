//! The speaker's program: a cluster's changes in, announcements and Events out.
//!
//! ```text
//!  cluster ── Change (bounded by the cluster) ──> drive ── Command ──> layer 2 (never waits)
//!  layer 2 ── Report (REPORTS; full: dropped, counted) ──> drive
//!  drive ── Command ──> BGP, BFD (never wait)      BGP, BFD ── Report (REPORTS) ──> drive
//!  drive ── addresses of the speakers' pods ──> gossip ── Standing (newest counts) ──> drive
//!  drive ── Record ──> Cluster::record      drive ── Log ──> Journal      drive ── announcements ──> metrics
//! ```
//!
//! Gossip begins when everything else is known: from then on the others leave to this speaker what is its own, so it must
//! be ready to announce it.
//!
//! Cancel: on `stop` [`drive`] lets the BGP sessions leave and leaves the gossip, both at once, withdraws everything when the
//! others have had time to announce, and ends when they know, at most about a second later. Whoever owns layer 2 shuts it
//! down then, so that an address is silent here before the process is gone, and waits for what BGP and BFD still have to
//! say. A Pod is given 2 s for all of it (`routing`). Without gossip and graceful shutdown it takes milliseconds.

use std::collections::BTreeSet;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context as _;
use ferrolb_compat::names;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::routing::{Ending, Routing};
use super::{Ended, Process, Seat};
use crate::bgp::PeerId;
use crate::cli::speaker::{Memberlist, Options};
use crate::cluster::kubernetes::{Interests, Kubernetes, Services};
use crate::cluster::{Change, Cluster, Kind};
use crate::config::Protocol as ConfigProtocol;
use crate::http::{self, Health};
use crate::journal::{Level, Record};
use crate::layer2::driver::Layer2;
use crate::layer2::{self, Command, MacAddr, Report};
use crate::logging::Journal;
use crate::memberlist::driver::{Gossip, Params as GossipParams};
use crate::memberlist::keyring::Keyring;
use crate::memberlist::standing::Standing;
use crate::memberlist::wire::{Limits, Name};
use crate::metrics::{self, Exposition, Registry, Type};
use crate::speaker::{Announcement, Claimant, Effect, Event, Params, ProtocolName, Speaker};
use crate::view::{KubernetesEvent, ObjectKey, ObjectReference};
use crate::{bfd, bgp};

/// Reports of a protocol that may wait. Each is said once for a cause: there are as many as interfaces or peers, not as
/// packets.
pub const REPORTS: usize = 256;

/// Changes that are taken between two looks at everything else.
const BATCH: usize = 256;

/// The figures of many announcements are put down together, at most this much later than they became true.
const PUBLISH: Duration = Duration::from_millis(100);

/// What has to be known before the speaker speaks.
const NEEDS: [Kind; 5] = [
    Kind::ConfigMap,
    Kind::Services,
    Kind::Endpoints,
    Kind::Nodes,
    Kind::Speakers,
];

/// How long this node goes on answering after it has said that it leaves: the others announce within milliseconds, and
/// where the first packet is lost the next is 200 ms later. Until then two nodes answer, which is better than none.
const LINGER: Duration = Duration::from_millis(250);

/// How long the farewell may take in all.
const FAREWELL: Duration = Duration::from_millis(1500);

/// Memberlist's own port.
const MEMBERLIST_PORT: u16 = 7946;

/// The gossip between speakers, as [`drive`] needs it.
pub trait Membership {
    /// What may be concluded from it: the newest counts.
    fn standing(&self) -> watch::Receiver<Standing>;

    /// The addresses that should be members; `None`: nobody can tell. The first call begins the gossip, each further one is
    /// a hint that something changed.
    fn peers(&self, addresses: Option<&BTreeSet<IpAddr>>);

    /// Whether dead speakers of our kind are to be noticed in less than half a second.
    fn set_fast_detection(&self, on: bool);

    /// The Ethernet addresses from which this node announces.
    fn stations(&self, stations: &[MacAddr]);

    /// The node whose speaker has this station; `known_as`: addresses by which this host knows it.
    fn who(&self, station: MacAddr, known_as: &[IpAddr]) -> Option<Arc<str>>;

    /// Tells the others that this speaker leaves, the first of them at once, and waits until all know.
    fn leave(&self) -> impl Future<Output = ()> + Send;
}

impl Membership for Arc<Gossip> {
    fn standing(&self) -> watch::Receiver<Standing> {
        Gossip::standing(self)
    }

    fn peers(&self, addresses: Option<&BTreeSet<IpAddr>>) {
        // Upstream: all speakers have the same port.
        let port = self.address().port();
        let peer = |ip: &IpAddr| SocketAddr::new(*ip, port);
        Gossip::peers(self, addresses.map(|all| all.iter().map(peer).collect()));
    }

    fn set_fast_detection(&self, on: bool) {
        Gossip::set_fast_detection(self, on);
    }

    fn stations(&self, stations: &[MacAddr]) {
        Gossip::stations(self, stations.to_vec());
    }

    fn who(&self, station: MacAddr, known_as: &[IpAddr]) -> Option<Arc<str>> {
        Gossip::who(self, station, known_as)
    }

    fn leave(&self) -> impl Future<Output = ()> + Send {
        Gossip::leave(self)
    }
}

/// A protocol: hands over what it is to do, and hears what it has to say.
#[derive(Debug)]
pub struct Protocol<S, R> {
    /// Hands over a command; must not wait.
    pub send: S,
    /// What it has to say.
    pub reports: mpsc::Receiver<R>,
}

/// Takes the only interfaces for layer 2; must not wait.
pub type Interfaces = Box<dyn FnMut(Vec<String>) + Send>;

/// Takes all that is announced, whenever it may have changed.
pub type Announced = Box<dyn FnMut(&[Announcement]) + Send>;

/// What a speaker deals with besides its cluster's changes.
pub struct World<C, S, B, F, G> {
    /// Where Events go.
    pub cluster: C,
    /// Layer 2.
    pub layer2: Protocol<S, Report>,
    /// The interfaces of layer 2, where there is one.
    pub interfaces: Option<Interfaces>,
    /// BGP.
    pub bgp: Protocol<B, bgp::Report>,
    /// BFD.
    pub bfd: Protocol<F, bfd::Report>,
    /// Who else wants to know what is announced, some moments after it is.
    pub announced: Option<Announced>,
    /// The other speakers; `None`: gossip is off.
    pub gossip: Option<G>,
}

/// Runs a speaker on a cluster's changes until it is told to stop; everything is withdrawn then.
///
/// The cluster must say [`Change::Synced`] of each [`Kind`]; for [`Kind::Speakers`] a first [`Change::Speakers`] will do, or
/// with gossip its first conclusion. `node` is this node, for Events about it.
pub async fn drive<C, S, B, F, G>(
    speaker: Speaker,
    node: Arc<str>,
    mut changes: mpsc::Receiver<Change>,
    world: World<C, S, B, F, G>,
    seat: Seat<metrics::Speaker>,
) -> Ended
where
    C: Cluster,
    S: FnMut(Command),
    B: FnMut(bgp::Command),
    F: FnMut(bfd::Command),
    G: Membership,
{
    let World {
        cluster,
        mut layer2,
        interfaces,
        mut bgp,
        mut bfd,
        announced,
        gossip,
    } = world;
    let mut standing = gossip.as_ref().map(Membership::standing);
    let mut driver = Driver {
        speaker,
        node,
        cluster,
        layer2: layer2.send,
        interfaces,
        bgp: bgp.send,
        bfd: bfd.send,
        announced,
        begun: BTreeSet::new(),
        gossip,
        peers: None,
        seat,
        missing: NEEDS.into_iter().collect(),
        publish_at: None,
    };
    let mut beat = tokio::time::interval(Duration::from_secs(1));
    let ended = loop {
        driver.seat.health.beat();
        let publish_at = driver.publish_at;
        tokio::select! {
            biased;
            () = driver.seat.stop.cancelled() => break Ended::Stopped,
            told = newest(&mut standing) => match told {
                Some(told) => driver.standing(told),
                // The thread has ended, and has said why.
                None => {
                    standing = None;
                    driver.standing(Standing::Unheard);
                }
            },
            () = until(publish_at), if publish_at.is_some() => {
                driver.publish();
                continue;
            }
            Some(report) = bfd.reports.recv() => driver.bfd_report(report),
            Some(report) = bgp.reports.recv() => driver.bgp_report(report),
            Some(report) = layer2.reports.recv() => driver.report(&report),
            change = changes.recv() => match change {
                Some(change) => driver.take(change),
                None => break Ended::SourceGone,
            },
            _ = beat.tick() => continue,
        }
        for _ in 0..BATCH {
            match changes.try_recv() {
                Ok(change) => driver.take(change),
                Err(_) => break,
            }
        }
        if driver.publish_at.is_none() {
            driver.publish_at = Some(now() + PUBLISH);
        }
    };
    driver.farewell().await;
    ended
}

/// Waits for the next thing that may be concluded from gossip; `None`: there will be nothing any more.
async fn newest(standing: &mut Option<watch::Receiver<Standing>>) -> Option<Standing> {
    match standing {
        Some(standing) => {
            standing.changed().await.ok()?;
            Some(standing.borrow_and_update().clone())
        }
        None => std::future::pending().await,
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "driver: when the figures are put down"
)]
fn now() -> Instant {
    Instant::now()
}

async fn until(deadline: Option<Instant>) {
    if let Some(deadline) = deadline {
        tokio::time::sleep_until(deadline).await;
    }
}

/// What is said of what was done.
enum Said {
    Event(KubernetesEvent),
    Line(Record),
}

struct Driver<C, S, B, F, G> {
    speaker: Speaker,
    node: Arc<str>,
    cluster: C,
    layer2: S,
    interfaces: Option<Interfaces>,
    bgp: B,
    bfd: F,
    announced: Option<Announced>,
    /// The BGP peers that were begun, perhaps in place of others with the same number, and have not said anything since.
    begun: BTreeSet<PeerId>,
    gossip: Option<G>,
    /// The addresses that should be in the gossip, as they were last told; `None`: nothing was told yet.
    peers: Option<Option<BTreeSet<IpAddr>>>,
    seat: Seat<metrics::Speaker>,
    /// What the speaker still waits for.
    missing: BTreeSet<Kind>,
    /// When to put the figures down; `None`: nothing has changed.
    publish_at: Option<Instant>,
}

impl<C, S, B, F, G> Driver<C, S, B, F, G>
where
    C: Cluster,
    S: FnMut(Command),
    B: FnMut(bgp::Command),
    F: FnMut(bfd::Command),
    G: Membership,
{
    fn take(&mut self, change: Change) {
        let event = match change {
            Change::ConfigMap(map) => Event::ConfigMap(map),
            Change::ConfigMapGone => Event::ConfigMapGone,
            Change::Service(service) => Event::Service(service),
            Change::ServiceGone(key) => Event::ServiceGone(key),
            Change::Endpoints(endpoints) => Event::Endpoints(endpoints),
            Change::EndpointsGone(key) => Event::EndpointsGone(key),
            Change::Node(node) => {
                self.handle(Event::Node(node));
                // Upstream: a Node that changes is a reason to join again.
                return self.join();
            }
            Change::NodeGone(name) => Event::NodeGone(name),
            Change::Speakers(speakers) => {
                self.handle(Event::Speakers(speakers));
                return match &self.gossip {
                    Some(_) => {}
                    None => self.known(Kind::Speakers),
                };
            }
            Change::SpeakerAddresses(addresses) => {
                self.peers = Some(addresses);
                return self.join();
            }
            // With gossip, that pods were listed says nothing yet.
            Change::Synced(Kind::Speakers) if self.gossip.is_some() => return,
            Change::Synced(kind) => return self.known(kind),
        };
        self.handle(event);
    }

    /// Joins the other speakers, unless something else has to be known before.
    fn join(&self) {
        if let (Some(gossip), Some(peers)) = (&self.gossip, &self.peers)
            && self.missing.iter().all(|kind| *kind == Kind::Speakers)
        {
            gossip.peers(peers.as_ref());
        }
    }

    /// Gossip has something to say.
    fn standing(&mut self, standing: Standing) {
        let members = match standing {
            Standing::Joining => return,
            Standing::Unheard => None,
            Standing::Members(names) => Some(names),
        };
        self.handle(Event::Members(members));
        self.known(Kind::Speakers);
    }

    /// The end: the others take over, then this node is silent.
    async fn farewell(&mut self) {
        let Some(gossip) = self.gossip.take() else {
            self.handle(Event::Shutdown);
            return self.publish();
        };
        let heirs = match &*gossip.standing().borrow() {
            Standing::Members(names) => names.iter().any(|name| *name != self.node),
            // Nobody can tell.
            Standing::Joining | Standing::Unheard => false,
        };
        let layer2 = ProtocolName::from(ConfigProtocol::Layer2);
        let answers = self
            .speaker
            .announcements()
            .any(|one| one.protocol == layer2);
        // Routers go elsewhere at once, and need not wait for the gossip.
        self.handle(Event::Leaving);
        let mut leaving = std::pin::pin!(tokio::time::timeout(FAREWELL, gossip.leave()));
        let left = if heirs && answers {
            // That all know is not yet that they have announced all, thousands of addresses perhaps.
            (self.layer2)(Command::HandOver);
            let (_, left) = tokio::join!(
                until(Some(now() + LINGER)),
                tokio::time::timeout(LINGER, &mut leaving)
            );
            left.is_ok()
        } else {
            tokio::time::timeout(LINGER, &mut leaving).await.is_ok()
        };
        self.handle(Event::Shutdown);
        self.publish();
        if !left {
            // The others have heard it by now, or will; nobody waits for an answer from here.
            let _ = leaving.await;
        }
    }

    /// All objects of this kind are known. The speaker speaks when it knows all kinds; it is told so once.
    fn known(&mut self, kind: Kind) {
        self.seat.health.known(kind);
        if self.missing.remove(&kind) {
            if self.missing.is_empty() {
                self.handle(Event::Synced);
            } else {
                self.join();
            }
        }
    }

    fn handle(&mut self, event: Event) {
        self.speaker.handle(event);
        if let Some(gossip) = &self.gossip
            && let Some(settings) = self.speaker.settings()
        {
            gossip.set_fast_detection(settings.gossip.fast_detection);
        }
        // What thousands of Services have to say takes longer than what there is to do for them: that waits for no line.
        let mut said = Vec::new();
        while let Some(effect) = self.speaker.poll_effect() {
            match effect {
                Effect::Layer2(command) => (self.layer2)(command),
                Effect::Interfaces(names) => {
                    if let Some(interfaces) = &mut self.interfaces {
                        interfaces(names);
                    }
                }
                Effect::Bgp(command) => {
                    match &command {
                        bgp::Command::Peer(id, _) => {
                            self.begun.insert(*id);
                        }
                        bgp::Command::PeerGone(id) => {
                            self.begun.remove(id);
                        }
                        bgp::Command::Route(..)
                        | bgp::Command::BfdDown(_)
                        | bgp::Command::Shutdown => {}
                    }
                    (self.bgp)(command);
                }
                Effect::Bfd(command) => (self.bfd)(command),
                Effect::Record(event) => said.push(Said::Event(event)),
                Effect::Log(record) => said.push(Said::Line(record)),
            }
        }
        for said in said {
            match said {
                Said::Event(event) => self.cluster.record(event),
                Said::Line(record) => self.seat.journal.write(record),
            }
        }
    }

    /// Layer 2 has something to say: a line, and what concerns people is an Event and a figure too.
    fn report(&mut self, report: &Report) {
        match report {
            Report::StrictArpOff { .. } => self.seat.metrics.set_strict_arp_off(true),
            Report::StrictArpMended => self.seat.metrics.set_strict_arp_off(false),
            Report::Log(_) | Report::AddressOnHost { .. } | Report::AddressOffHost { .. } => {}
            Report::Stations(stations) => {
                if let Some(gossip) = &self.gossip {
                    gossip.stations(stations);
                }
            }
            Report::Conflict {
                ip,
                mac,
                interface,
                known_as,
            } => {
                let gossip = self.gossip.as_ref();
                let other = Claimant {
                    mac: *mac,
                    interface: Arc::from(interface.as_str()),
                    node: gossip.and_then(|gossip| gossip.who(*mac, known_as)),
                };
                self.handle(Event::Conflict { ip: *ip, other });
            }
            Report::ConflictOver { ip, mac } => {
                self.handle(Event::ConflictOver { ip: *ip, mac: *mac });
            }
        }
        self.seat.journal.write(report.record());
        let Some(reason) = report.event_reason() else {
            return;
        };
        for about in self.concerned(report) {
            self.cluster.record(KubernetesEvent {
                about,
                warning: true,
                reason,
                message: report.message(),
            });
        }
    }

    /// BGP has something to say. That a session is lost is an Event on the Node: the Events of one text are counted, not
    /// repeated.
    fn bgp_report(&mut self, report: bgp::Report) {
        match report {
            bgp::Report::Log(record) => self.seat.journal.write(record),
            bgp::Report::Left(id) => self.handle(Event::BgpLeft(id)),
            // The session's own lines say both.
            bgp::Report::Up(id) => {
                self.begun.remove(&id);
            }
            bgp::Report::Down(id, why) => {
                // Of one that is no peer any more, or that made room for itself with other parameters, nobody needs to know.
                let as_wished = self.begun.remove(&id);
                if let Some(peer) = self.peer_name(id).filter(|_| !as_wished) {
                    self.cluster.record(KubernetesEvent {
                        about: self.this_node(),
                        warning: true,
                        reason: names::reason::BGP_SESSION_DOWN,
                        message: format!("BGP session with {peer} is down: {why}"),
                    });
                }
            }
        }
    }

    fn peer_name(&self, id: PeerId) -> Option<String> {
        let mut peers = self.speaker.peers();
        peers.find_map(|(known, params)| (known == id).then(|| params.name()))
    }

    /// BFD has something to say: that a way is broken takes its peers' sessions down.
    fn bfd_report(&mut self, report: bfd::Report) {
        match report {
            bfd::Report::Log(record) => self.seat.journal.write(record),
            bfd::Report::Up(peer) => self
                .seat
                .journal
                .write(Record::event("bfdSessionUp", "BFD session up").with("peer", peer.address)),
            bfd::Report::Down(peer, reason) => {
                if reason.is_failure() {
                    self.handle(Event::BfdDown(peer.clone()));
                }
                let level = match reason.is_failure() {
                    true => Level::Warn,
                    false => Level::Info,
                };
                self.seat.journal.write(
                    Record::event("bfdSessionDown", "BFD session down")
                        .at(level)
                        .with("peer", peer.address)
                        .with("reason", reason),
                );
            }
        }
    }

    /// The Services whose address it is about; else this node.
    fn concerned(&self, report: &Report) -> Vec<ObjectReference> {
        let services: Vec<ObjectReference> = match report {
            Report::AddressOnHost { ip, .. } => self.speaker.announced_for(*ip).collect(),
            Report::Log(_)
            | Report::StrictArpOff { .. }
            | Report::StrictArpMended
            | Report::AddressOffHost { .. }
            | Report::Conflict { .. }
            | Report::ConflictOver { .. }
            | Report::Stations(_) => Vec::new(),
        };
        if services.is_empty() {
            vec![self.this_node()]
        } else {
            services
        }
    }

    /// The kubelet's own Events about its Node carry the name as uid, and that is what `kubectl describe` looks for.
    fn this_node(&self) -> ObjectReference {
        ObjectReference {
            kind: "Node",
            key: ObjectKey::new("", &self.node),
            uid: self.node.clone(),
        }
    }

    fn publish(&mut self) {
        self.publish_at = None;
        let announcements: Vec<Announcement> = self.speaker.announcements().collect();
        if let Some(announced) = &mut self.announced {
            announced(&announcements);
        }
        self.seat
            .metrics
            .publish(self.speaker.stats(), announcements);
    }
}

/// The program `speaker`: from its options to its end.
///
/// # Errors
///
/// It cannot begin (the HTTP port, raw sockets, the API server), or the source of changes is gone.
pub async fn main(options: Options, process: Process) -> anyhow::Result<()> {
    let Process { journal, stop } = process;
    let common = &options.common;
    super::say_start("speaker", common, &journal);
    let node: Arc<str> = Arc::from(options.node_name.as_str());

    let (report, reports) = mpsc::channel(REPORTS);
    let layer2 = Arc::new(Layer2::start(layer2::driver::Params::default(), report)?);
    let routing = Routing::start()?;
    let figures = Arc::new(metrics::Speaker::new(node.clone()));
    let health = Arc::new(Health::new(&[
        Kind::ConfigMap,
        Kind::Services,
        Kind::Endpoints,
    ]));
    let mut registry = Registry::of_process("speaker", journal.clone());
    registry.add(figures.clone());
    registry.add(layer2_figures(&layer2));
    routing.register(&mut registry);
    let gossip = match &options.memberlist {
        Some(memberlist) => Some(start_gossip(&node, memberlist, &journal)?),
        None => None,
    };
    if let Some(gossip) = &gossip {
        let figures = gossip.figures();
        registry.add(move |out: &mut Exposition| metrics::memberlist(&figures.read(), out));
    }
    let connected = Arc::new(OnceLock::new());
    registry.add(super::cluster_figures(connected.clone()));
    super::serve_http(
        &http::Params {
            host: options.host.clone(),
            port: common.port,
            profiling: common.profiling,
        },
        registry,
        health.clone(),
        &journal,
    )?;

    let params = super::kubernetes_params(
        common,
        "metallb-speaker",
        options.node_name.clone(),
        options.speaker_labels.clone(),
    );
    let interests = Interests {
        services: Services::Trimmed,
        endpoints: true,
        nodes: true,
        speakers: true,
    };
    let connect = Kubernetes::start(params, interests, super::as_function(&journal));
    let (cluster, changes) = tokio::select! {
        () = stop.cancelled() => return Ok(()),
        done = connect => done?,
    };
    let _ = connected.set(cluster.clone());
    let changes = super::with_config_file(changes, common, &journal);
    let speaker = Speaker::new(Params {
        node_name: node.clone(),
        without_endpoints_ready: false,
        bgp_type: options.bgp_type,
    });
    let seat = Seat {
        journal,
        metrics: figures,
        health,
        stop,
    };
    let ending = Ending::watch(&seat.stop);
    let Routing {
        bgp,
        bgp_reports,
        bfd,
        bfd_reports,
    } = routing;
    let world = World {
        cluster,
        layer2: Protocol {
            send: |command| layer2.send(command),
            reports,
        },
        interfaces: Some(only_on(&layer2)),
        bgp: Protocol {
            send: |command| bgp.send(command),
            reports: bgp_reports,
        },
        bfd: Protocol {
            send: |command| bfd.send(command),
            reports: bfd_reports,
        },
        announced: None,
        gossip,
    };
    let ended = drive(speaker, node, changes, world, seat).await;
    if let Some(layer2) = Arc::into_inner(layer2) {
        layer2.shutdown();
    }
    ending.last_words(bgp, bfd).await;
    match ended {
        Ended::Stopped => Ok(()),
        Ended::SourceGone => Err(anyhow::anyhow!("the watches of the API server have ended")),
    }
}

/// Starts the gossip, which waits until the speaker is ready to announce.
///
/// Upstream: where it cannot be started, the speaker ends. It is restarted then, and its address goes to the others.
fn start_gossip(
    node: &str,
    memberlist: &Memberlist,
    journal: &Journal,
) -> anyhow::Result<Arc<Gossip>> {
    let ip: IpAddr = memberlist.bind_address.parse().with_context(|| {
        format!(
            "-ml-bindaddr={:?} (METALLB_ML_BIND_ADDR) is no IP address: use the pod's own (status.podIP)",
            memberlist.bind_address
        )
    })?;
    let name = Name::new(node).with_context(|| {
        format!("-node-name={node:?} cannot be a member's name: use the node's name in Kubernetes")
    })?;
    let port = memberlist.bind_port.unwrap_or(MEMBERLIST_PORT);
    let params = GossipParams {
        name,
        bind: SocketAddr::new(ip, port),
        key: Keyring::from_secret(memberlist.secret_key.0.as_bytes()),
        limits: Limits::default(),
    };
    let gossip = Gossip::start(params, super::as_function(journal))?;
    Ok(Arc::new(gossip))
}

/// How layer 2 is told its interfaces, as long as there is a layer 2.
pub fn only_on(layer2: &Arc<Layer2>) -> Interfaces {
    let layer2 = Arc::downgrade(layer2);
    Box::new(move |names| {
        if let Some(layer2) = layer2.upgrade() {
            layer2.only(names);
        }
    })
}

/// Layer 2's own figures, as long as there is a layer 2.
pub fn layer2_figures(layer2: &Arc<Layer2>) -> impl Fn(&mut Exposition) + Send + Sync + 'static {
    let layer2 = Arc::downgrade(layer2);
    move |out| {
        if let Some(layer2) = layer2.upgrade() {
            metrics::layer2(&layer2.counters(), out);
            out.family(
                "ferrolb_layer2_reports_dropped_total",
                Type::Counter,
                "Reports of layer 2 that were dropped because nobody took them.",
            )
            .sample(&[], metrics::float(layer2.reports_dropped()));
        }
    }
}

#[cfg(test)]
mod tests;
