//! Whole speakers on one LAN: policy, layer 2 and gossip of each in a namespace of its own, a bridge between them, a client that
//! asks. In place of an API server, what all are told.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use ferrolb::cluster::{Change, Cluster, Kind, WriteError};
use ferrolb::http::Health;
use ferrolb::layer2::driver::{Layer2, Params};
use ferrolb::logging::Journal;
use ferrolb::memberlist::driver::{Gossip, Params as GossipParams};
use ferrolb::memberlist::keyring::Keyring;
use ferrolb::memberlist::wire::{Limits, Name};
use ferrolb::metrics;
use ferrolb::run::Seat;
use ferrolb::run::speaker::{Protocol, World, drive};
use ferrolb::speaker::{BgpType, Speaker};
use ferrolb::view::{
    ConfigMap, Endpoint, Endpoints, KubernetesEvent, ObjectKey, Service, StatusWrite,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::frames::{Advertisement, Arp, Solicitation};
use crate::world::{CLIENT, Mac, Namespace, Tap, ip, mac, now, pause};

/// Memberlist's own port.
const PORT: u16 = 7946;

/// What keys all gossip.
pub(crate) const GOSSIP_SECRET: &str = "AAECAwQFBgcICQoLDA0ODw";

const CLIENT_IP: &str = "172.31.0.250";

/// What the speakers record as Kubernetes Events.
#[derive(Clone, Default)]
pub(crate) struct Events(Arc<Mutex<Vec<KubernetesEvent>>>);

impl Cluster for Events {
    async fn write_status(&self, _: StatusWrite) -> Result<(), WriteError> {
        Ok(())
    }

    fn record(&self, event: KubernetesEvent) {
        self.0.lock().unwrap().push(event);
    }
}

impl Events {
    /// Reasons and texts of the warnings so far.
    pub(crate) fn warnings(&self) -> Vec<(&'static str, String)> {
        let events = self.0.lock().unwrap();
        let warnings = events.iter().filter(|event| event.warning);
        warnings
            .map(|event| (event.reason, event.message.clone()))
            .collect()
    }
}

/// A speaker at work.
pub(crate) struct Running {
    pub(crate) layer2: Arc<Layer2>,
    pub(crate) gossip: Arc<Gossip>,
    changes: mpsc::Sender<Change>,
    stop: CancellationToken,
    thread: Option<thread::JoinHandle<()>>,
}

impl Running {
    fn tell(&self, change: Change) {
        // A speaker that has ended hears nothing.
        let _ = self.changes.blocking_send(change);
    }
}

impl Drop for Running {
    /// Without a farewell, unless there was one.
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// One node: a namespace with `eth0` on the LAN.
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) namespace: Namespace,
    pub(crate) mac: Mac,
    pub(crate) events: Events,
    pub(crate) speaker: Option<Running>,
    port: String,
    ip: IpAddr,
}

/// Nodes called `node-1` and so on, on one bridge, and a client.
pub(crate) struct Lan {
    hub: Namespace,
    pub(crate) client: Namespace,
    pub(crate) tap: Tap,
    pub(crate) nodes: Vec<Node>,
    config: String,
    /// What a speaker that starts is told.
    services: BTreeMap<ObjectKey, Change>,
    endpoints: BTreeMap<ObjectKey, Change>,
}

fn octet(i: usize) -> u8 {
    u8::try_from(i + 1).unwrap()
}

impl Lan {
    pub(crate) fn new(nodes: usize, config: &str) -> Self {
        let hub = Namespace::new("hub");
        hub.ip("link add br0 type bridge forward_delay 0");
        hub.ip("link set br0 up");
        // A switch has no firewall: where the host has loaded br_netfilter, every frame would pass the chains of three families.
        hub.unfilter_bridges();
        let client = Namespace::new("client");
        plug(&hub, &client, "pc", CLIENT);
        client.ip(&format!("addr add {CLIENT_IP}/24 dev eth0"));
        let nodes = (0..nodes)
            .map(|i| {
                let namespace = Namespace::new("node");
                let (port, mac) = (format!("p{i}"), [2, 0, 0, 0, 0, octet(i)]);
                plug(&hub, &namespace, &port, mac);
                let ip = IpAddr::V4(Ipv4Addr::new(172, 31, 0, 10 + octet(i)));
                namespace.ip(&format!("addr add {ip}/24 dev eth0"));
                Node {
                    name: format!("node-{}", i + 1),
                    namespace,
                    mac,
                    events: Events::default(),
                    speaker: None,
                    port,
                    ip,
                }
            })
            .collect();
        let tap = client.tap("eth0");
        Self {
            hub,
            client,
            tap,
            nodes,
            config: config.to_owned(),
            services: BTreeMap::new(),
            endpoints: BTreeMap::new(),
        }
    }

    /// The same with all speakers, which know each other.
    pub(crate) fn with_speakers(nodes: usize, config: &str) -> Self {
        let mut lan = Self::new(nodes, config);
        for i in 0..nodes {
            lan.start(i);
        }
        lan.agree();
        lan
    }

    /// Waits until all that run know each other, and watch each other.
    pub(crate) fn agree(&self) {
        let running: Vec<&Running> = self
            .nodes
            .iter()
            .filter_map(|node| node.speaker.as_ref())
            .collect();
        let end = now() + Duration::from_secs(20);
        let watched = 3.min(running.len() - 1);
        while !running.iter().all(|one| {
            let counters = one.gossip.counters();
            counters.members == running.len() && counters.judged == watched
        }) {
            assert!(now() < end, "they do not find each other");
            pause();
        }
    }

    pub(crate) fn start(&mut self, i: usize) {
        let addresses: BTreeSet<IpAddr> = self.nodes.iter().map(|node| node.ip).collect();
        let known: Vec<Change> = std::iter::once(config_map(&self.config))
            .chain(self.services.values().cloned())
            .chain(self.endpoints.values().cloned())
            .collect();
        let node = &mut self.nodes[i];
        assert!(node.speaker.is_none());
        let (reports, reported) = mpsc::channel(256);
        let name: Arc<str> = Arc::from(node.name.as_str());
        let params = GossipParams {
            name: Name::new(&node.name).unwrap(),
            bind: SocketAddr::new(node.ip, PORT),
            key: Keyring::from_secret(GOSSIP_SECRET.as_bytes()),
            limits: Limits::default(),
        };
        let (layer2, gossip) = node.namespace.enter(|| {
            let layer2 = Layer2::start(Params::default(), reports).unwrap();
            let gossip = Gossip::start(params, Arc::new(|_| {})).unwrap();
            (Arc::new(layer2), Arc::new(gossip))
        });
        let (changes, changed) = mpsc::channel(64);
        let stop = CancellationToken::new();
        let seat = Seat {
            journal: Journal::silent(),
            metrics: Arc::new(metrics::Speaker::new(name.clone())),
            health: Arc::new(Health::new(&[])),
            stop: stop.clone(),
        };
        let speaker = Speaker::new(ferrolb::speaker::Params {
            node_name: name.clone(),
            without_endpoints_ready: false,
            bgp_type: BgpType::default(),
        });
        let world = World {
            cluster: node.events.clone(),
            layer2: Protocol {
                send: {
                    let layer2 = layer2.clone();
                    move |command| layer2.send(command)
                },
                reports: reported,
            },
            interfaces: None,
            bgp: Protocol {
                send: |_| {},
                reports: mpsc::channel(1).1,
            },
            bfd: Protocol {
                send: |_| {},
                reports: mpsc::channel(1).1,
            },
            announced: None,
            gossip: Some(gossip.clone()),
        };
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(drive(speaker, name, changed, world, seat));
        });
        let running = Running {
            layer2,
            gossip,
            changes,
            stop,
            thread: Some(thread),
        };
        for change in known {
            running.tell(change);
        }
        running.tell(Change::SpeakerAddresses(Some(addresses)));
        for kind in [
            Kind::ConfigMap,
            Kind::Services,
            Kind::Endpoints,
            Kind::Nodes,
        ] {
            running.tell(Change::Synced(kind));
        }
        node.speaker = Some(running);
    }

    /// Pulls the cable of a node (or of its speaker's host: nothing is heard of it any more).
    pub(crate) fn cut(&self, i: usize) {
        let port = &self.nodes[i].port;
        self.hub.ip(&format!("link set {port} down"));
    }

    pub(crate) fn mend(&self, i: usize) {
        let port = &self.nodes[i].port;
        self.hub.ip(&format!("link set {port} up"));
    }

    /// Power cut: no more packets, then no process either.
    pub(crate) fn die(&mut self, i: usize) {
        self.cut(i);
        self.nodes[i].speaker = None;
        self.mend(i);
    }

    /// SIGTERM; returns when the speaker has ended.
    pub(crate) fn terminate(&mut self, i: usize) {
        self.nodes[i].speaker = None;
    }

    /// SIGTERM, without waiting.
    pub(crate) fn ask_to_end(&self, i: usize) {
        self.nodes[i].speaker.as_ref().unwrap().stop.cancel();
    }

    /// Nothing that this node and the others send to each other's own addresses arrives any more, as if a firewall were between
    /// them; what they send to all does.
    pub(crate) fn part(&self, i: usize) {
        let nowhere = mac([2, 0, 0, 0, 0, 0xee]);
        let forget = |here: &Node, other: &Node| {
            let there = other.ip;
            here.namespace.ip(&format!(
                "neigh replace {there} lladdr {nowhere} dev eth0 nud permanent"
            ));
        };
        let one = &self.nodes[i];
        for other in self.nodes.iter().filter(|node| node.name != one.name) {
            forget(one, other);
            forget(other, one);
        }
    }

    fn tell(&self, change: &Change) {
        for node in &self.nodes {
            if let Some(speaker) = &node.speaker {
                speaker.tell(change.clone());
            }
        }
    }

    pub(crate) fn serve(&mut self, name: &str, address: &str, local: bool) {
        let service = service(name, address, local);
        let key = service.key.clone();
        let change = Change::Service(Box::new(service));
        self.tell(&change);
        self.services.insert(key, change);
    }

    pub(crate) fn unserve(&mut self, name: &str) {
        let key = ObjectKey::new("default", name);
        self.services.remove(&key).unwrap();
        self.endpoints.remove(&key);
        self.tell(&Change::ServiceGone(key.clone()));
        self.tell(&Change::EndpointsGone(key));
    }

    pub(crate) fn set_endpoints(&mut self, name: &str, ready: &[String], not_ready: &[String]) {
        let key = ObjectKey::new("default", name);
        let endpoint = |node: &String, ready| Endpoint {
            address: "10.1.0.1".into(),
            node: Some(node.as_str().into()),
            ready,
        };
        let ready = ready.iter().map(|node| endpoint(node, true));
        let endpoints = ready
            .chain(not_ready.iter().map(|node| endpoint(node, false)))
            .collect();
        let change = Change::Endpoints(Endpoints {
            service: key.clone(),
            endpoints,
        });
        self.tell(&change);
        self.endpoints.insert(key, change);
    }

    /// The node with that station.
    pub(crate) fn node_of(&self, station: Mac) -> String {
        let node = self.nodes.iter().find(|node| node.mac == station);
        node.map_or_else(|| mac(station), |node| node.name.clone())
    }

    /// Who answers for each of the addresses: asks all at once, listens for a while.
    pub(crate) fn owners(&self, addresses: &[String]) -> BTreeMap<String, Vec<String>> {
        let mut owners: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for address in addresses {
            let frame = match address.parse().unwrap() {
                IpAddr::V4(_) => Arp::request(CLIENT, CLIENT_IP, address).frame(),
                IpAddr::V6(_) => Solicitation::new(CLIENT, "fe80::c1", address).frame(),
            };
            self.tap.send(&frame);
        }
        let answer = |frame: &[u8]| {
            let arp = Arp::read_answer(frame).map(|arp| (IpAddr::V4(arp.sender.1), arp.sender.0));
            arp.or_else(|| {
                let told = Advertisement::read_answer(frame)?;
                Some((IpAddr::V6(told.target), told.link_layer))
            })
        };
        let end = now() + Duration::from_millis(150);
        for (_, (ip, station)) in self.tap.collect(end, answer) {
            let node = self.node_of(station);
            owners.entry(ip.to_string()).or_default().insert(node);
        }
        owners
            .into_iter()
            .map(|(ip, nodes)| (ip, nodes.into_iter().collect()))
            .collect()
    }

    /// Waits until these answer.
    pub(crate) fn until_owned(
        &self,
        addresses: &[String],
        want: &BTreeMap<String, Vec<String>>,
        patience: Duration,
    ) {
        let end = now() + patience;
        loop {
            let owners = self.owners(addresses);
            if owners == *want {
                return;
            }
            assert!(now() < end, "{owners:?} instead of {want:?}");
        }
    }
}

fn plug(hub: &Namespace, namespace: &Namespace, port: &str, station: Mac) {
    ip(&format!(
        "link add name eth0 netns {} address {} type veth peer name {port} netns {}",
        namespace.name,
        mac(station),
        hub.name,
    ));
    hub.ip(&format!("link set {port} master br0"));
    hub.ip(&format!("link set {port} up"));
    namespace.ip("link set eth0 up");
}

fn config_map(config: &str) -> Change {
    Change::ConfigMap(ConfigMap {
        key: ObjectKey::new("metallb-system", "config"),
        uid: "uid".into(),
        config: Some(config.into()),
        settings: None,
        origin: String::new(),
    })
}

fn service(name: &str, address: &str, local: bool) -> Service {
    Service {
        key: ObjectKey::new("default", name),
        uid: format!("uid-{name}").into(),
        resource_version: "1".into(),
        is_load_balancer: true,
        load_balancer_class: None,
        cluster_ips: vec!["10.96.0.1".to_owned()],
        load_balancer_ip: String::new(),
        local_traffic_policy: local,
        selector: BTreeMap::new(),
        ports: Vec::new(),
        annotation_pool: None,
        annotation_ips: None,
        sharing_key: String::new(),
        ingress: vec![address.to_owned()],
    }
}
