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
mod membership;
mod routing;

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

/// A speaker of this node, and what its driver needs of the program.
fn seated(node: &Arc<str>) -> (Seat<metrics::Speaker>, Speaker) {
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
    (seat, speaker)
}

/// A layer-2 pool that is large enough for all.
fn wide_pool() -> Change {
    Change::ConfigMap(ConfigMap {
        key: ObjectKey::new("metallb-system", "config"),
        uid: "uid".into(),
        settings: None,
        config: Some(
            "address-pools:\n- {name: d, protocol: layer2, addresses: [10.1.0.0/16]}\n".into(),
        ),
        origin: String::new(),
    })
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
    let (seat, speaker) = seated(&node);
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

fn addresses(ips: &[&str]) -> Change {
    Change::SpeakerAddresses(Some(ips.iter().map(|ip| ip.parse().unwrap()).collect()))
}
