#![expect(clippy::disallowed_methods, reason = "test: the clock is virtual")]

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Mutex;

use tokio_util::sync::CancellationToken;

use super::*;
use crate::cluster::WriteError;
use crate::logging::Journal;
use crate::view::{ConfigMap, Endpoint, Endpoints, Node, Service, StatusWrite};

mod gossip;

#[derive(Clone, Default)]
struct Fake(Arc<Mutex<Vec<KubernetesEvent>>>);

impl Cluster for Fake {
    async fn write_status(&self, write: StatusWrite) -> Result<(), WriteError> {
        panic!("a speaker writes no status: {write:?}");
    }

    fn record(&self, event: KubernetesEvent) {
        self.0.lock().unwrap().push(event);
    }
}

impl Fake {
    fn reasons(&self) -> Vec<(&'static str, String)> {
        let events = self.0.lock().unwrap();
        events
            .iter()
            .map(|event| (event.reason, event.about.key.to_string()))
            .collect()
    }
}

type Commands = Arc<Mutex<Vec<Command>>>;

/// Other speakers, as somebody else says.
#[derive(Clone)]
struct FakeGossip {
    standing: watch::Sender<Standing>,
    peers: Arc<Mutex<Vec<Option<BTreeSet<IpAddr>>>>>,
    /// Whether all know that this one leaves.
    left: watch::Sender<bool>,
    /// When it was told to leave, and what was commanded by then.
    leaving: Arc<Mutex<Option<(Instant, usize)>>>,
    commands: Commands,
    fast: Arc<Mutex<bool>>,
    stations: Arc<Mutex<Vec<MacAddr>>>,
}

impl Membership for FakeGossip {
    fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }

    fn peers(&self, addresses: Option<&BTreeSet<IpAddr>>) {
        self.peers.lock().unwrap().push(addresses.cloned());
    }

    fn set_fast_detection(&self, on: bool) {
        *self.fast.lock().unwrap() = on;
    }

    fn stations(&self, stations: &[MacAddr]) {
        *self.stations.lock().unwrap() = stations.to_vec();
    }

    fn who(&self, station: MacAddr, _known_as: &[IpAddr]) -> Option<Arc<str>> {
        let stations = self.stations.lock().unwrap();
        stations.contains(&station).then(|| Arc::from("node-1"))
    }

    async fn leave(&self) {
        let commanded = self.commands.lock().unwrap().len();
        *self.leaving.lock().unwrap() = Some((now(), commanded));
        let _ = self.left.subscribe().wait_for(|left| *left).await;
    }
}

/// What a protocol was asked for.
type Asked<C> = Arc<Mutex<Vec<C>>>;

/// A protocol whose part is not looked at, and that has nothing to say.
fn silent<C, R>() -> Protocol<impl FnMut(C), R> {
    Protocol {
        send: |_| {},
        reports: mpsc::channel(1).1,
    }
}

struct Driven {
    gossip: FakeGossip,
    changes: mpsc::Sender<Change>,
    reports: mpsc::Sender<Report>,
    bgp_reports: mpsc::Sender<bgp::Report>,
    bfd_reports: mpsc::Sender<bfd::Report>,
    bgp: Asked<bgp::Command>,
    bfd: Asked<bfd::Command>,
    commands: Commands,
    fake: Fake,
    seat: Seat<metrics::Speaker>,
    task: tokio::task::JoinHandle<Ended>,
}

fn driven() -> Driven {
    driven_with(false)
}

fn driven_with(gossips: bool) -> Driven {
    let (changes, changed) = mpsc::channel(16);
    let (reports, reported) = mpsc::channel(16);
    let (bgp_reports, bgp_reported) = mpsc::channel(16);
    let (bfd_reports, bfd_reported) = mpsc::channel(16);
    let (bgp_asked, bfd_asked) = (Asked::default(), Asked::default());
    let node: Arc<str> = Arc::from("node-1");
    let seat = Seat {
        journal: Journal::silent(),
        metrics: Arc::new(metrics::Speaker::new(node.clone())),
        health: Arc::new(Health::new(&[])),
        stop: CancellationToken::new(),
    };
    let speaker = Speaker::new(Params {
        node_name: node.clone(),
        without_endpoints_ready: false,
        bgp_type: crate::speaker::BgpType::default(),
    });
    let commands = Commands::default();
    let send = {
        let commands = commands.clone();
        move |command| commands.lock().unwrap().push(command)
    };
    let fake = Fake::default();
    let gossip = FakeGossip {
        standing: watch::Sender::default(),
        peers: Arc::default(),
        left: watch::Sender::new(false),
        leaving: Arc::default(),
        commands: commands.clone(),
        fast: Arc::default(),
        stations: Arc::default(),
    };
    let world = World {
        cluster: fake.clone(),
        layer2: Protocol {
            send,
            reports: reported,
        },
        interfaces: None,
        bgp: Protocol {
            send: {
                let asked = bgp_asked.clone();
                move |command| asked.lock().unwrap().push(command)
            },
            reports: bgp_reported,
        },
        bfd: Protocol {
            send: {
                let asked = bfd_asked.clone();
                move |command| asked.lock().unwrap().push(command)
            },
            reports: bfd_reported,
        },
        announced: None,
        gossip: gossips.then(|| gossip.clone()),
    };
    let task = tokio::spawn(drive(speaker, node, changed, world, seat.clone()));
    Driven {
        gossip,
        changes,
        reports,
        bgp_reports,
        bfd_reports,
        bgp: bgp_asked,
        bfd: bfd_asked,
        commands,
        fake,
        seat,
        task,
    }
}

impl Driven {
    async fn tell(&self, change: Change) {
        self.changes.send(change).await.unwrap();
    }

    /// A configuration, a Service with an address, and an endpoint here.
    async fn tell_all(&self) {
        self.tell(Change::ConfigMap(ConfigMap {
            key: ObjectKey::new("metallb-system", "config"),
            uid: "uid".into(),
            settings: None,
            config: Some(
                "address-pools:\n- {name: d, protocol: layer2, addresses: [192.0.2.0/24]}\n".into(),
            ),
            origin: String::new(),
        }))
        .await;
        self.tell(Change::Node(Node {
            name: "node-1".into(),
            labels: BTreeMap::new(),
            ready: true,
        }))
        .await;
        self.tell(Change::Service(Box::new(service()))).await;
        self.tell(Change::Endpoints(Endpoints {
            service: service().key,
            endpoints: vec![Endpoint {
                address: "10.1.0.1".into(),
                node: Some("node-1".into()),
                ready: true,
            }],
        }))
        .await;
    }

    fn commands(&self) -> Vec<Command> {
        self.commands.lock().unwrap().clone()
    }

    fn page(&self) -> String {
        let mut registry = Registry::default();
        registry.add(self.seat.metrics.clone());
        registry.render()
    }

    async fn until(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        let patience = tokio::time::timeout(Duration::from_secs(60), async {
            while !condition(self) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        assert!(patience.await.is_ok(), "{what} did not come true");
    }
}

fn service() -> Service {
    Service {
        key: ObjectKey::new("default", "nginx"),
        uid: "uid".into(),
        resource_version: "1".into(),
        is_load_balancer: true,
        load_balancer_class: None,
        cluster_ips: vec!["10.96.0.1".to_owned()],
        load_balancer_ip: String::new(),
        local_traffic_policy: false,
        selector: BTreeMap::new(),
        ports: Vec::new(),
        annotation_pool: None,
        annotation_ips: None,
        sharing_key: String::new(),
        ingress: vec![ADDRESS.to_owned()],
    }
}

const ADDRESS: &str = "192.0.2.1";
const ANNOUNCED: &str = "metallb_speaker_announced{ip=\"192.0.2.1\",node=\"node-1\",protocol=\"layer2\",service=\"default/nginx\"} 1\n";

fn address() -> IpAddr {
    ADDRESS.parse().unwrap()
}

async fn rest() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
        tokio::time::sleep(Duration::from_micros(10)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_announced_before_every_kind_is_known() {
    let driven = driven();
    driven.tell_all().await;
    for kind in [
        Kind::ConfigMap,
        Kind::Services,
        Kind::Endpoints,
        Kind::Nodes,
        Kind::Services,
    ] {
        driven.tell(Change::Synced(kind)).await;
        rest().await;
        assert_eq!(driven.commands(), []);
    }
    driven
        .tell(Change::Speakers(Some(["node-1".into()].into())))
        .await;
    driven
        .until("the announcement", |driven| !driven.commands().is_empty())
        .await;
    driven
        .until("its figure", |driven| driven.page().contains(ANNOUNCED))
        .await;
    // Complete lists that come again, as after a lost connection, announce nothing again.
    for kind in NEEDS {
        driven.tell(Change::Synced(kind)).await;
    }
    rest().await;
    assert_eq!(driven.commands(), [Command::Announce(address())]);
    let node_assigned = ("nodeAssigned", "default/nginx".to_owned());
    assert_eq!(driven.fake.reasons(), [node_assigned]);
}

async fn announcing() -> Driven {
    let driven = driven();
    driven.tell_all().await;
    for kind in NEEDS {
        driven.tell(Change::Synced(kind)).await;
    }
    driven.tell(Change::Speakers(None)).await;
    driven
        .until("the announcement", |driven| !driven.commands().is_empty())
        .await;
    driven
}

#[tokio::test(start_paused = true)]
async fn a_stop_withdraws_everything_before_it_ends() {
    let driven = announcing().await;
    driven.seat.stop.cancel();
    assert_eq!((&mut { driven.task }).await.unwrap(), Ended::Stopped);
    assert_eq!(
        driven.commands.lock().unwrap().as_slice(),
        [Command::Announce(address()), Command::Withdraw(address())]
    );
    let mut registry = Registry::default();
    registry.add(driven.seat.metrics.clone());
    assert!(!registry.render().contains("metallb_speaker_announced"));
}

/// Two peers at one address, one of them without BFD, and a pool for them.
const ROUTED: &str = "\
peers:
- {my-asn: 1, peer-asn: 2, peer-address: 192.0.2.77, bfd-profile: f}
- {my-asn: 1, peer-asn: 2, peer-address: 192.0.2.77, peer-port: 1179}
bfd-profiles: [{name: f}]
address-pools:
- {name: d, protocol: bgp, addresses: [192.0.2.0/26]}
";

/// A speaker that announces its Service by BGP.
async fn routing() -> Driven {
    let driven = driven();
    driven.tell_all().await;
    driven
        .tell(Change::ConfigMap(ConfigMap {
            key: ObjectKey::new("metallb-system", "config"),
            uid: "uid".into(),
            config: Some(ROUTED.into()),
            settings: Some("bgp: {graceful-restart: 9s}".into()),
            origin: String::new(),
        }))
        .await;
    for kind in NEEDS {
        driven.tell(Change::Synced(kind)).await;
    }
    driven.tell(Change::Speakers(None)).await;
    driven
        .until("the peers", |driven| driven.bgp.lock().unwrap().len() == 3)
        .await;
    driven
}

fn way() -> bfd::Peer {
    bfd::Peer {
        address: "192.0.2.77".parse().unwrap(),
        source: None,
        interface: None,
        multihop: false,
    }
}

#[tokio::test(start_paused = true)]
async fn routes_and_then_peers_reach_bgp_and_ways_bfd() {
    let driven = routing().await;
    let asked = driven.bgp.lock().unwrap().clone();
    assert!(
        matches!(asked[0], bgp::Command::Route(_, Some(_))),
        "{asked:?}"
    );
    for (number, command) in asked[1..].iter().enumerate() {
        let bgp::Command::Peer(id, params) = command else {
            panic!("{asked:?}");
        };
        assert_eq!(id.0, u32::try_from(number).unwrap());
        assert_eq!(params.graceful_restart, Some(Duration::from_secs(9)));
    }
    let session = bfd::Command::Session(way(), bfd::Params::default());
    assert_eq!(*driven.bfd.lock().unwrap(), [session]);
    assert_eq!(driven.commands(), []);
    let figure = ANNOUNCED.replace("layer2", "bgp");
    driven
        .until("the figure", |driven| driven.page().contains(&figure))
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_way_that_breaks_takes_its_peers_down_unless_their_operator_ended_bfd() {
    let driven = routing().await;
    driven.bgp.lock().unwrap().clear();
    for reason in [
        bfd::Reason::NeighborAdminDown,
        bfd::Reason::DetectionTimeExpired,
    ] {
        let report = bfd::Report::Down(way(), reason);
        driven.bfd_reports.send(report).await.unwrap();
    }
    driven
        .bfd_reports
        .send(bfd::Report::Up(way()))
        .await
        .unwrap();
    driven
        .until("what BGP is told", |driven| {
            !driven.bgp.lock().unwrap().is_empty()
        })
        .await;
    rest().await;
    assert_eq!(
        *driven.bgp.lock().unwrap(),
        [bgp::Command::BfdDown(PeerId(0))]
    );
}

#[tokio::test(start_paused = true)]
async fn bfd_is_told_that_a_peer_is_gone_when_bgp_has_left_it() {
    let driven = routing().await;
    driven.bfd.lock().unwrap().clear();
    let (_, without_peers) = ROUTED.split_once("bfd-profiles").unwrap();
    driven
        .tell(Change::ConfigMap(ConfigMap {
            key: ObjectKey::new("metallb-system", "config"),
            uid: "uid".into(),
            config: Some(format!("bfd-profiles{without_peers}").into()),
            settings: None,
            origin: String::new(),
        }))
        .await;
    driven
        .until("BGP is told", |driven| {
            let told = driven.bgp.lock().unwrap();
            told.contains(&bgp::Command::PeerGone(PeerId(0)))
        })
        .await;
    rest().await;
    assert_eq!(*driven.bfd.lock().unwrap(), []);
    driven
        .bgp_reports
        .send(bgp::Report::Left(PeerId(0)))
        .await
        .unwrap();
    driven
        .until("BFD is told", |driven| {
            !driven.bfd.lock().unwrap().is_empty()
        })
        .await;
    assert_eq!(*driven.bfd.lock().unwrap(), [bfd::Command::Gone(way())]);
}

#[tokio::test(start_paused = true)]
async fn a_lost_session_is_an_event_on_the_node_unless_nobody_wants_it_any_more() {
    let driven = routing().await;
    let before = driven.fake.reasons().len();
    let down = |id: u32, why: &str| bgp::Report::Down(PeerId(id), why.to_owned());
    for report in [
        // A peer of the same number was there before.
        down(0, "the configuration changed"),
        bgp::Report::Up(PeerId(0)),
        bgp::Report::Up(PeerId(1)),
        down(7, "it is no peer"),
        down(1, "the hold timer expired"),
    ] {
        driven.bgp_reports.send(report).await.unwrap();
    }
    driven
        .until("the Event", |driven| driven.fake.reasons().len() > before)
        .await;
    rest().await;
    let told = driven.fake.reasons().split_off(before);
    assert_eq!(told, [("BGPSessionDown", "/node-1".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn at_the_end_sessions_leave_and_no_route_is_withdrawn() {
    let driven = routing().await;
    driven.bgp.lock().unwrap().clear();
    driven.seat.stop.cancel();
    assert_eq!((&mut { driven.task }).await.unwrap(), Ended::Stopped);
    assert_eq!(*driven.bgp.lock().unwrap(), [bgp::Command::Shutdown]);
    let bfd = driven.bfd.lock().unwrap();
    assert!(
        matches!(bfd.last(), Some(bfd::Command::Session(..))),
        "BFD stands until BGP has left: {bfd:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_source_that_ends_withdraws_everything_too() {
    let Driven {
        changes,
        commands,
        task,
        reports,
        ..
    } = announcing().await;
    drop(changes);
    assert_eq!(task.await.unwrap(), Ended::SourceGone);
    assert_eq!(
        commands.lock().unwrap().last(),
        Some(&Command::Withdraw(address()))
    );
    drop(reports);
}

#[tokio::test(start_paused = true)]
async fn figures_follow_within_a_moment_without_being_made_for_each_change() {
    let driven = announcing().await;
    driven
        .until("the figure", |driven| driven.page().contains(ANNOUNCED))
        .await;
    driven.tell(Change::ServiceGone(service().key)).await;
    driven
        .until("the withdrawal", |driven| driven.commands().len() == 2)
        .await;
    let begun = now();
    driven
        .until("the figure's end", |driven| {
            !driven.page().contains(ANNOUNCED)
        })
        .await;
    assert!(begun.elapsed() <= 2 * PUBLISH, "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn reports_become_events_about_whom_they_concern_and_figures() {
    let driven = announcing().await;
    let off = Report::StrictArpOff {
        interfaces: vec!["eth0".to_owned()],
        addresses: vec![address()],
    };
    let on_host = |ip| Report::AddressOnHost {
        ip,
        interface: "eth0".to_owned(),
    };
    driven.reports.send(off).await.unwrap();
    driven.reports.send(on_host(address())).await.unwrap();
    let foreign = "192.0.2.99".parse().unwrap();
    driven.reports.send(on_host(foreign)).await.unwrap();
    driven
        .until("the events", |driven| driven.fake.reasons().len() == 4)
        .await;
    assert_eq!(
        driven.fake.reasons().get(1..),
        Some(
            [
                ("StrictARPOff", "/node-1".to_owned()),
                ("AddressOnHost", "default/nginx".to_owned()),
                ("AddressOnHost", "/node-1".to_owned()),
            ]
            .as_slice()
        )
    );
    assert!(driven.page().contains("ferrolb_layer2_strict_arp_off 1\n"));
    {
        let events = driven.fake.0.lock().unwrap();
        let about = &events.get(1).unwrap().about;
        assert_eq!((about.kind, &*about.uid), ("Node", "node-1"));
        let about = &events.get(2).unwrap().about;
        assert_eq!((about.kind, &*about.uid), ("Service", "uid"));
        assert!(events.iter().skip(1).all(|event| event.warning));
    }
    driven.reports.send(Report::StrictArpMended).await.unwrap();
    driven
        .until("the mended figure", |driven| {
            driven.page().contains("ferrolb_layer2_strict_arp_off 0\n")
        })
        .await;
    assert_eq!(driven.fake.reasons().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn layer_2_that_has_nothing_to_say_any_more_is_no_end() {
    let Driven {
        changes,
        reports,
        commands,
        task,
        ..
    } = announcing().await;
    drop(reports);
    rest().await;
    changes
        .send(Change::ServiceGone(service().key))
        .await
        .unwrap();
    let patience = tokio::time::timeout(Duration::from_secs(60), async {
        while commands.lock().unwrap().len() < 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    assert!(patience.await.is_ok());
    assert!(!task.is_finished());
    task.abort();
}

fn standing(names: &[&str]) -> Standing {
    Standing::Members(names.iter().map(|name| Arc::from(*name)).collect())
}

/// A node's place in the election for the address: the least is first.
fn rank(node: &str) -> Vec<u8> {
    use sha2::Digest;
    sha2::Sha256::digest(format!("{node}#{ADDRESS}")).to_vec()
}

fn addresses(ips: &[&str]) -> Change {
    Change::SpeakerAddresses(Some(ips.iter().map(|ip| ip.parse().unwrap()).collect()))
}

/// A speaker that gossips, and knows everything else.
async fn gossiping() -> Driven {
    let driven = driven_with(true);
    driven.tell_all().await;
    driven
        .tell(Change::Speakers(Some(["node-1".into()].into())))
        .await;
    driven.tell(addresses(&["10.0.0.1", "10.0.0.2"])).await;
    driven.tell(Change::Synced(Kind::Speakers)).await;
    for kind in NEEDS {
        if kind != Kind::Speakers {
            rest().await;
            assert_eq!(*driven.gossip.peers.lock().unwrap(), [], "before {kind:?}");
            driven.tell(Change::Synced(kind)).await;
        }
    }
    driven
        .until("the join", |driven| {
            !driven.gossip.peers.lock().unwrap().is_empty()
        })
        .await;
    driven
}

#[tokio::test(start_paused = true)]
async fn a_speaker_joins_when_it_can_announce_and_announces_when_it_has_joined() {
    let driven = gossiping().await;
    let told = Some(
        ["10.0.0.1", "10.0.0.2"]
            .map(|ip| ip.parse().unwrap())
            .into(),
    );
    assert_eq!(*driven.gossip.peers.lock().unwrap(), [told]);
    rest().await;
    assert_eq!(driven.commands(), []);
    driven.gossip.standing.send_replace(Standing::Joining);
    rest().await;
    assert_eq!(driven.commands(), []);
    driven.gossip.standing.send_replace(standing(&["node-1"]));
    driven
        .until("the announcement", |driven| !driven.commands().is_empty())
        .await;
    assert_eq!(driven.commands(), [Command::Announce(address())]);
    // Pods that are not Ready change nothing; a Node that changes is a reason to join again.
    driven
        .tell(Change::Speakers(Some(["node-2".into()].into())))
        .await;
    driven.tell(Change::NodeGone("node-2".into())).await;
    driven
        .tell(Change::Node(Node {
            name: "node-2".into(),
            labels: BTreeMap::new(),
            ready: true,
        }))
        .await;
    driven
        .until("the next join", |driven| {
            driven.gossip.peers.lock().unwrap().len() == 2
        })
        .await;
    assert_eq!(driven.commands().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn gossip_that_reaches_nobody_leaves_it_to_the_pods() {
    let driven = gossiping().await;
    driven.gossip.standing.send_replace(Standing::Unheard);
    driven
        .until("the announcement", |driven| !driven.commands().is_empty())
        .await;
    // Both nodes are Ready by their pods, and the other comes first.
    let first = ["node-1", "node-2"]
        .into_iter()
        .min_by_key(|node| rank(node));
    driven
        .tell(Change::Speakers(Some(
            ["node-1".into(), "node-2".into()].into(),
        )))
        .await;
    rest().await;
    let owns = driven.commands().last() == Some(&Command::Announce(address()));
    assert_eq!(owns, first == Some("node-1"));
    driven
        .gossip
        .standing
        .send_replace(standing(&["node-1", "node-3"]));
    driven.gossip.standing.send_replace(standing(&["node-1"]));
    driven
        .until("its return", |driven| {
            driven.commands().last() == Some(&Command::Announce(address()))
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn who_stops_leaves_first_and_is_silent_a_moment_later() {
    let driven = gossiping().await;
    driven.gossip.standing.send_replace(standing(&["node-1"]));
    driven
        .until("the announcement", |driven| !driven.commands().is_empty())
        .await;
    let begun = now();
    driven.seat.stop.cancel();
    driven
        .until("the withdrawal", |driven| driven.commands().len() == 2)
        .await;
    let silent = begun.elapsed();
    assert!((LINGER..2 * LINGER).contains(&silent), "{silent:?}");
    let (left, commanded) = driven.gossip.leaving.lock().unwrap().unwrap();
    assert_eq!(commanded, 1, "it answers while it leaves");
    assert!(left.duration_since(begun) < Duration::from_millis(10));
    assert!(!driven.task.is_finished());
    driven.gossip.left.send_replace(true);
    assert_eq!((&mut { driven.task }).await.unwrap(), Ended::Stopped);
}

/// How long one that announces its address, or nothing, takes to end where everybody knows at once that it leaves.
async fn end_where_all_know(members: &[&str], serves: bool) -> Duration {
    let driven = gossiping().await;
    driven.gossip.standing.send_replace(standing(members));
    driven
        .until("the announcement", |driven| !driven.commands().is_empty())
        .await;
    if !serves {
        driven.tell(Change::ServiceGone(service().key)).await;
        rest().await;
    }
    driven.gossip.left.send_replace(true);
    let begun = now();
    driven.seat.stop.cancel();
    let commands = driven.commands.clone();
    assert_eq!((&mut { driven.task }).await.unwrap(), Ended::Stopped);
    let commands = commands.lock().unwrap().clone();
    let took = begun.elapsed();
    let (announce, withdraw) = (Command::Announce(address()), Command::Withdraw(address()));
    let told = if took < LINGER {
        vec![announce, withdraw]
    } else {
        vec![announce, Command::HandOver, withdraw]
    };
    assert_eq!(commands, told);
    took
}

#[tokio::test(start_paused = true)]
async fn who_stops_answers_while_its_heirs_announce_though_all_know_at_once() {
    let heir = (2..)
        .map(|i| format!("node-{i}"))
        .find(|node| rank("node-1") < rank(node))
        .unwrap();
    let took = end_where_all_know(&["node-1", &heir], true).await;
    assert!((LINGER..LINGER * 2).contains(&took), "{took:?}");
    // Nobody takes over, or there is nothing to take over.
    for (members, serves) in [(&["node-1"][..], true), (&["node-1", &heir], false)] {
        let took = end_where_all_know(members, serves).await;
        assert!(took < LINGER / 2, "{members:?} {serves}: {took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_farewell_that_nobody_hears_ends_in_time() {
    let driven = gossiping().await;
    let begun = now();
    driven.seat.stop.cancel();
    assert_eq!((&mut { driven.task }).await.unwrap(), Ended::Stopped);
    let took = begun.elapsed();
    assert!(took <= FAREWELL + Duration::from_millis(10), "{took:?}");
    // With nobody to tell there is nothing to wait for.
    let driven = gossiping().await;
    driven.gossip.left.send_replace(true);
    let begun = now();
    driven.seat.stop.cancel();
    assert_eq!((&mut { driven.task }).await.unwrap(), Ended::Stopped);
    assert!(begun.elapsed() < LINGER);
}

/// A command to layer 2, or something that can wait, in the order in which they came.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Deed {
    Command(Command),
    Event(&'static str),
}

#[derive(Clone, Default)]
struct Witness(Arc<Mutex<Vec<Deed>>>);

impl Cluster for Witness {
    async fn write_status(&self, write: StatusWrite) -> Result<(), WriteError> {
        panic!("a speaker writes no status: {write:?}");
    }

    fn record(&self, event: KubernetesEvent) {
        self.0.lock().unwrap().push(Deed::Event(event.reason));
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_dead_speaker_had_is_announced_before_anything_is_said_and_nothing_else_is_touched()
{
    const SERVICES: u32 = 1000;
    let (changes, changed) = mpsc::channel(16);
    let (_reports, reported) = mpsc::channel(16);
    let node: Arc<str> = Arc::from("node-1");
    let seat = Seat {
        journal: Journal::silent(),
        metrics: Arc::new(metrics::Speaker::new(node.clone())),
        health: Arc::new(Health::new(&[])),
        stop: CancellationToken::new(),
    };
    let speaker = Speaker::new(Params {
        node_name: node.clone(),
        without_endpoints_ready: false,
        bgp_type: crate::speaker::BgpType::default(),
    });
    let witness = Witness::default();
    let gossip = FakeGossip {
        standing: watch::Sender::default(),
        peers: Arc::default(),
        left: watch::Sender::new(true),
        leaving: Arc::default(),
        commands: Commands::default(),
        fast: Arc::default(),
        stations: Arc::default(),
    };
    let world = World {
        cluster: witness.clone(),
        layer2: Protocol {
            send: {
                let deeds = witness.0.clone();
                move |command| deeds.lock().unwrap().push(Deed::Command(command))
            },
            reports: reported,
        },
        interfaces: None,
        bgp: silent(),
        bfd: silent(),
        announced: None,
        gossip: Some(gossip.clone()),
    };
    let metrics = seat.metrics.clone();
    let task = tokio::spawn(drive(speaker, node, changed, world, seat));
    let ip = |number: u32| IpAddr::from((0x0a01_0000 + number).to_be_bytes());
    let config = ConfigMap {
        key: ObjectKey::new("metallb-system", "config"),
        uid: "uid".into(),
        settings: None,
        config: Some(
            "address-pools:\n- {name: d, protocol: layer2, addresses: [10.1.0.0/16]}\n".into(),
        ),
        origin: String::new(),
    };
    changes.send(Change::ConfigMap(config)).await.unwrap();
    for number in 0..SERVICES {
        let key = ObjectKey::new("default", &format!("s{number}"));
        let service = Service {
            key: key.clone(),
            ingress: vec![ip(number).to_string()],
            ..service()
        };
        let endpoints = Endpoints {
            service: key,
            endpoints: vec![Endpoint {
                address: "10.1.0.1".into(),
                node: Some("node-3".into()),
                ready: true,
            }],
        };
        changes
            .send(Change::Service(Box::new(service)))
            .await
            .unwrap();
        changes.send(Change::Endpoints(endpoints)).await.unwrap();
    }
    changes.send(Change::SpeakerAddresses(None)).await.unwrap();
    for kind in NEEDS {
        changes.send(Change::Synced(kind)).await.unwrap();
    }
    let all = ["node-1", "node-2", "node-3"];
    gossip.standing.send_replace(standing(&all));
    let first_of = |nodes: &[&'static str], number: u32| {
        use sha2::Digest;
        let hash = |node: &&str| sha2::Sha256::digest(format!("{node}#{}", ip(number))).to_vec();
        nodes.iter().copied().min_by_key(hash)
    };
    let owned = |nodes: &[&'static str]| -> BTreeSet<IpAddr> {
        (0..SERVICES)
            .filter(|number| first_of(nodes, *number) == Some("node-1"))
            .map(ip)
            .collect()
    };
    let until = async |count: usize| {
        let patience = tokio::time::timeout(Duration::from_secs(60), async {
            while witness.0.lock().unwrap().len() < count {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        assert!(patience.await.is_ok());
        rest().await;
        std::mem::take(&mut *witness.0.lock().unwrap())
    };
    let before = owned(&all);
    // An announcement and an Event for each.
    assert_eq!(until(2 * before.len()).await.len(), 2 * before.len());
    let processed = metrics_of(&metrics);

    let survivors = ["node-1", "node-3"];
    gossip.standing.send_replace(standing(&survivors));
    let gained: BTreeSet<IpAddr> = owned(&survivors).difference(&before).copied().collect();
    assert!(gained.len() > 100, "{}", gained.len());
    let deeds = until(2 * gained.len()).await;
    let (commands, rest) = deeds.split_at(gained.len());
    let announced: BTreeSet<IpAddr> = commands
        .iter()
        .map(|deed| match deed {
            Deed::Command(Command::Announce(ip)) => *ip,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(announced, gained);
    assert_eq!(rest.len(), gained.len());
    assert!(
        rest.iter().all(|deed| *deed == Deed::Event("nodeAssigned")),
        "{rest:?}"
    );
    // One event was processed, and no Service again.
    tokio::time::sleep(2 * PUBLISH).await;
    assert_eq!(metrics_of(&metrics), processed + 1);
    task.abort();
}

/// How many changes the speaker has processed.
fn metrics_of(metrics: &Arc<metrics::Speaker>) -> u64 {
    let mut registry = Registry::default();
    registry.add(metrics.clone());
    let page = registry.render();
    let line = page
        .lines()
        .find(|line| line.starts_with("metallb_k8s_client_updates_total "));
    line.and_then(|line| line.split(' ').nth(1)?.parse::<f64>().ok())
        .map(|count| format!("{count}").parse().unwrap())
        .unwrap()
}

#[test]
fn gossip_that_cannot_begin_says_what_to_do() {
    let memberlist = |bind_address: &str| Memberlist {
        bind_address: bind_address.to_owned(),
        bind_port: Some(1),
        labels: "app=metallb".to_owned(),
        secret_key: crate::cli::speaker::Secret(String::new()),
    };
    for (node, bind_address, says) in [
        ("node-1", "eth0", "METALLB_ML_BIND_ADDR"),
        ("node 1", "127.0.0.1", "-node-name"),
        ("node-1", "192.0.2.1", "status.podIP"),
    ] {
        let started = start_gossip(node, &memberlist(bind_address), &Journal::silent());
        let error = started.unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}
