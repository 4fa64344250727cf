//! What the speaker announces, withdraws and says.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::{Announcement, BgpType, Effect, Event, Params, Phase, ProtocolName, Speaker, Stats};
use crate::bfd;
use crate::bgp::{self, Attributes, PeerId};
use crate::config::Protocol;
use crate::journal::{Level, Record, Subject};
use crate::layer2::Command;
use crate::view::{ConfigMap, Endpoint, Endpoints, KubernetesEvent, Node, ObjectKey, Service};

mod bgp_peers;
mod bgp_routes;
mod configuration;
mod conflict;
mod election;
mod golden;
mod model;
mod pools;
mod reasons;
mod router_tables;
mod scale;
mod sharing;

/// A speaker whose effects are carried out as the protocols would, strictly: no command may say what is so already.
pub(super) struct Host {
    pub(super) speaker: Speaker,
    /// What layer 2 answers for.
    pub(super) addresses: BTreeSet<IpAddr>,
    /// The only interfaces that layer 2 was told; empty: all.
    pub(super) interfaces: Vec<String>,
    /// What BGP advertises.
    pub(super) routes: BTreeMap<IpNet, Arc<Attributes>>,
    /// Whom BGP talks to.
    pub(super) peers: BTreeMap<PeerId, Arc<bgp::Params>>,
    /// What BFD watches.
    pub(super) ways: BTreeMap<bfd::Peer, bfd::Params>,
    /// Since they were taken last.
    pub(super) commands: Vec<Command>,
    pub(super) bgp: Vec<bgp::Command>,
    pub(super) bfd: Vec<bfd::Command>,
    pub(super) logs: Vec<Record>,
    pub(super) events: Vec<KubernetesEvent>,
}

impl Host {
    /// A speaker that has heard nothing.
    pub(super) fn new(node: &str) -> Self {
        Self::with(Params {
            node_name: node.into(),
            without_endpoints_ready: false,
            bgp_type: BgpType::Native,
        })
    }

    pub(super) fn with(params: Params) -> Self {
        Self {
            speaker: Speaker::new(params),
            addresses: BTreeSet::new(),
            interfaces: Vec::new(),
            routes: BTreeMap::new(),
            peers: BTreeMap::new(),
            ways: BTreeMap::new(),
            commands: Vec::new(),
            bgp: Vec::new(),
            bfd: Vec::new(),
            logs: Vec::new(),
            events: Vec::new(),
        }
    }

    /// A speaker on `a` that runs with [`POOLS`], and knows that speakers live on `a` and `b`.
    pub(super) fn running() -> Self {
        let mut host = Self::new("a");
        host.tell(config(POOLS));
        host.tell(speakers(&["a", "b"]));
        host.tell(Event::Synced);
        host.forget();
        host
    }

    pub(super) fn tell(&mut self, event: Event) {
        self.speaker.handle(event);
        let mut urgent = true;
        while let Some(effect) = self.speaker.poll_effect() {
            match effect {
                Effect::Layer2(command) => {
                    assert!(urgent, "{command:?} came after words");
                    match command {
                        Command::Announce(ip) => {
                            assert!(self.addresses.insert(ip), "{ip} was announced already");
                        }
                        Command::Withdraw(ip) | Command::Yield(ip) => {
                            assert!(self.addresses.remove(&ip), "{ip} was not announced");
                        }
                        Command::HandOver => panic!("whoever drives it knows when that is"),
                    }
                    self.commands.push(command);
                }
                Effect::Interfaces(names) => {
                    assert!(urgent, "{names:?} came after words");
                    assert_ne!(names, self.interfaces, "it was so already");
                    self.interfaces = names;
                }
                Effect::Bgp(command) => {
                    assert!(urgent, "{command:?} came after words");
                    self.carry_out_bgp(command);
                }
                Effect::Bfd(command) => {
                    assert!(urgent, "{command:?} came after words");
                    self.carry_out_bfd(command);
                }
                Effect::Log(record) => {
                    urgent = false;
                    self.logs.push(record);
                }
                Effect::Record(event) => {
                    urgent = false;
                    self.events.push(event);
                }
            }
        }
        let (by_bgp, by_layer2): (Vec<_>, Vec<_>) = self
            .speaker
            .announcements()
            .partition(|told| told.protocol == ProtocolName("bgp"));
        let told: BTreeSet<IpAddr> = by_layer2.into_iter().map(|told| told.ip).collect();
        assert_eq!(told, self.addresses, "the table differs from layer 2");
        if self.speaker.phase != Phase::Stopped {
            assert_eq!(
                self.speaker.routes().collect::<BTreeMap<_, _>>(),
                self.routes,
                "the table differs from BGP"
            );
            let told: BTreeSet<IpAddr> = by_bgp.into_iter().map(|told| told.ip).collect();
            for ip in &told {
                assert!(self.routes.keys().any(|route| route.contains(ip)), "{ip}");
            }
            for route in self.routes.keys() {
                assert!(told.iter().any(|ip| route.contains(ip)), "{route}");
            }
            let known = self.speaker.peers();
            assert_eq!(
                known
                    .map(|(id, params)| (id, params.clone()))
                    .collect::<BTreeMap<_, _>>(),
                self.peers
            );
        }
    }

    fn carry_out_bgp(&mut self, command: bgp::Command) {
        match command.clone() {
            bgp::Command::Peer(id, params) => {
                let before = self.peers.insert(id, params.clone());
                assert_ne!(before.as_ref(), Some(&params), "{id:?} was so already");
            }
            bgp::Command::PeerGone(id) => {
                assert!(self.peers.remove(&id).is_some(), "{id:?} was gone already");
            }
            bgp::Command::Route(prefix, Some(attributes)) => {
                assert_eq!(prefix, prefix.trunc(), "host bits");
                let sorted = attributes.communities.is_sorted_by(|a, b| a < b);
                assert!(sorted, "{attributes:?}");
                let before = self.routes.insert(prefix, attributes.clone());
                assert_ne!(
                    before.as_ref(),
                    Some(&attributes),
                    "{prefix} was so already"
                );
            }
            bgp::Command::Route(prefix, None) => {
                assert!(
                    self.routes.remove(&prefix).is_some(),
                    "{prefix} was no route"
                );
            }
            bgp::Command::BfdDown(id) => assert!(self.peers.contains_key(&id)),
            bgp::Command::Shutdown => {
                assert!(!self.bgp.contains(&command), "told twice");
            }
        }
        self.bgp.push(command);
    }

    fn carry_out_bfd(&mut self, command: bfd::Command) {
        match command.clone() {
            bfd::Command::Session(peer, params) => {
                let before = self.ways.insert(peer.clone(), params);
                assert_ne!(before, Some(params), "{peer:?} was so already");
            }
            bfd::Command::Gone(peer) => {
                assert!(
                    self.ways.remove(&peer).is_some(),
                    "{peer:?} was gone already"
                );
            }
        }
        self.bfd.push(command);
    }

    /// Forgets what was said up to now.
    pub(super) fn forget(&mut self) {
        self.commands.clear();
        self.bgp.clear();
        self.bfd.clear();
        self.logs.clear();
        self.events.clear();
    }

    /// `service reason` of each withdrawal that was logged, and forgets them.
    pub(super) fn withdrawals(&mut self) -> Vec<String> {
        let told = self
            .logged("serviceWithdrawn")
            .map(|record| format!("{} {}", field(record, "service"), field(record, "reason")))
            .collect();
        self.forget();
        told
    }

    /// The lines with this `event`.
    pub(super) fn logged(&self, event: &'static str) -> impl Iterator<Item = &Record> {
        self.logs
            .iter()
            .filter(move |record| record.subject == Subject::Event(event))
    }

    pub(super) fn stats(&self) -> Stats {
        self.speaker.stats()
    }

    /// Nothing was done or said above level debug.
    #[track_caller]
    pub(super) fn assert_silent(&mut self) {
        self.logs.retain(|record| record.level > Level::Debug);
        assert_eq!(self.commands, []);
        assert_eq!(self.bgp, []);
        assert_eq!(self.bfd, []);
        assert_eq!(self.logs, []);
        assert_eq!(self.events, []);
    }
}

/// A field of a log line.
#[track_caller]
pub(super) fn field<'a>(record: &'a Record, name: &str) -> &'a str {
    record
        .fields
        .iter()
        .find(|(field, _)| *field == name)
        .map(|(_, value)| value.as_str())
        .unwrap_or_else(|| panic!("no field {name} in {record:?}"))
}

/// Three pools of layer 2, one of BGP.
pub(super) const POOLS: &str = "\
address-pools:
- name: one
  protocol: layer2
  addresses: [10.0.1.0/24, 'fd00:1::/64']
- name: two
  protocol: layer2
  addresses: [10.0.2.0/24]
- name: three
  protocol: layer2
  addresses: [10.0.3.10-10.0.3.20]
- name: far
  protocol: bgp
  addresses: [10.0.9.0/24]
";

pub(super) fn config_map(config: Option<&str>) -> ConfigMap {
    ConfigMap {
        key: ObjectKey::new("metallb-system", "config"),
        uid: "uid-config".into(),
        config: config.map(Into::into),
        settings: None,
        origin: "ConfigMap metallb-system/config".to_owned(),
    }
}

pub(super) fn config(text: &str) -> Event {
    Event::ConfigMap(config_map(Some(text)))
}

pub(super) fn key(name: &str) -> ObjectKey {
    ObjectKey::new("default", name)
}

pub(super) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A LoadBalancer Service with policy Cluster.
pub(super) fn service(name: &str, ingress: &[&str]) -> Service {
    Service {
        key: key(name),
        uid: format!("uid-{name}").into(),
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
        ingress: ingress.iter().map(|&text| text.to_owned()).collect(),
    }
}

pub(super) fn cluster(name: &str, ingress: &[&str]) -> Event {
    Event::Service(Box::new(service(name, ingress)))
}

pub(super) fn local(name: &str, ingress: &[&str]) -> Event {
    Event::Service(Box::new(Service {
        local_traffic_policy: true,
        ..service(name, ingress)
    }))
}

/// Endpoints with `node` or `!node` (not ready) each; `node@7`: at address 7.
pub(super) fn endpoints(name: &str, nodes: &[&str]) -> Event {
    Event::Endpoints(Endpoints {
        service: key(name),
        endpoints: nodes
            .iter()
            .enumerate()
            .map(|(index, text)| {
                let (node, number) = match text.split_once('@') {
                    Some((node, number)) => (node, number.to_owned()),
                    None => (*text, (100 + index).to_string()),
                };
                Endpoint {
                    address: format!("10.244.0.{number}").into(),
                    node: Some(node.trim_start_matches('!').into()),
                    ready: !node.starts_with('!'),
                }
            })
            .collect(),
    })
}

pub(super) fn speakers(nodes: &[&str]) -> Event {
    Event::Speakers(Some(nodes.iter().map(|&node| Arc::from(node)).collect()))
}

pub(super) fn members(nodes: &[&str]) -> Event {
    Event::Members(Some(nodes.iter().map(|&node| Arc::from(node)).collect()))
}

pub(super) fn node(name: &str, ready: bool) -> Event {
    Event::Node(Node {
        name: name.into(),
        labels: BTreeMap::new(),
        ready,
    })
}

/// An address from pool `one` that this node wins against the others by the plain rule.
pub(super) fn won_by(node: &str, others: &[&str]) -> String {
    (1..255)
        .map(|last| format!("10.0.1.{last}"))
        .find(|ip| {
            others
                .iter()
                .all(|other| plain_hash(node, ip) < plain_hash(other, ip))
        })
        .unwrap()
}

/// The rule, written a second time.
pub(super) fn plain_hash(node: &str, ip: &str) -> Vec<u8> {
    use sha2::Digest;
    sha2::Sha256::digest(format!("{node}#{ip}")).to_vec()
}

#[test]
fn nothing_is_announced_before_everything_is_known() {
    let mut host = Host::new("a");
    host.tell(endpoints("web", &["a"]));
    host.tell(cluster("web", &["10.0.1.1"]));
    host.tell(config(POOLS));
    host.tell(speakers(&["a"]));
    assert_eq!(host.commands, []);
    assert_eq!(host.logged("serviceAnnounced").count(), 0);
    host.tell(Event::Synced);
    assert_eq!(host.commands, [Command::Announce(ip("10.0.1.1"))]);
    host.tell(Event::Synced);
    assert_eq!(host.commands.len(), 1);
}

#[test]
fn objects_may_come_in_any_order() {
    let events = [
        config(POOLS),
        speakers(&["a"]),
        cluster("web", &["10.0.1.1"]),
        endpoints("web", &["b"]),
        Event::Synced,
    ];
    for first in 0..events.len() {
        for second in 0..events.len() {
            let mut host = Host::new("a");
            let mut order: Vec<usize> = (0..events.len()).collect();
            order.swap(0, first);
            order.swap(1, second);
            for index in order {
                host.tell(events[index].clone());
            }
            assert_eq!(host.addresses, BTreeSet::from([ip("10.0.1.1")]));
        }
    }
}

#[test]
fn an_announcement_is_told_once() {
    let mut host = Host::running();
    let address = won_by("a", &["b"]);
    host.tell(endpoints("web", &["b"]));
    host.tell(cluster("web", &[&address]));
    assert_eq!(host.commands, [Command::Announce(ip(&address))]);
    let [announced] = &host.logged("serviceAnnounced").collect::<Vec<_>>()[..] else {
        panic!("one line: {:?}", host.logs);
    };
    assert_eq!(announced.level, Level::Info);
    assert_eq!(
        announced.fields,
        [
            ("service", "default/web".to_owned()),
            ("ips", address.clone()),
            ("pool", "one".to_owned()),
            ("protocol", "layer2".to_owned()),
        ]
    );
    assert_eq!(
        host.events,
        [KubernetesEvent {
            about: service("web", &[]).reference(),
            warning: false,
            reason: "nodeAssigned",
            message: "announcing from node \"a\"".to_owned(),
        }]
    );
    assert_eq!(
        host.speaker.announcements().collect::<Vec<_>>(),
        [Announcement {
            service: key("web"),
            ip: ip(&address),
            protocol: ProtocolName("layer2"),
        }]
    );
    host.forget();
    for _ in 0..3 {
        host.tell(cluster("web", &[&address]));
        host.tell(endpoints("web", &["b", "a"]));
        host.tell(speakers(&["a", "b"]));
        host.tell(config(POOLS));
        host.tell(node("a", true));
        host.assert_silent();
    }
}

#[test]
fn the_event_comes_again_when_the_node_announces_again() {
    let mut host = Host::running();
    host.tell(endpoints("web", &["b"]));
    host.tell(cluster("web", &[&won_by("b", &["a"])]));
    assert_eq!(host.events, []);
    for round in 1..3 {
        host.tell(speakers(&["a"]));
        assert_eq!(host.events.len(), round);
        host.tell(speakers(&["a", "b"]));
    }
}

#[test]
fn services_of_other_types_are_nothing_to_us() {
    let mut host = Host::running();
    host.tell(endpoints("web", &["a"]));
    host.tell(Event::Service(Box::new(Service {
        is_load_balancer: false,
        ..service("web", &["10.0.1.1"])
    })));
    host.tell(Event::ServiceGone(key("web")));
    host.tell(Event::ServiceGone(key("never-seen")));
    host.tell(Event::EndpointsGone(key("never-seen")));
    host.assert_silent();
}

#[test]
fn a_class_does_not_hide_a_service_whose_address_is_in_a_pool() {
    let mut host = Host::running();
    let address = won_by("a", &["b"]);
    host.tell(endpoints("web", &["a"]));
    host.tell(Event::Service(Box::new(Service {
        load_balancer_class: Some("example.com/other".to_owned()),
        ..service("web", &[&address])
    })));
    assert_eq!(host.addresses, BTreeSet::from([ip(&address)]));
}

#[test]
fn without_an_endpoints_object_this_node_counts_where_the_parameters_say_so() {
    let mut host = Host::with(Params {
        node_name: "a".into(),
        without_endpoints_ready: true,
        bgp_type: BgpType::Native,
    });
    host.tell(config(POOLS));
    host.tell(Event::Synced);
    host.tell(cluster("web", &["10.0.1.1"]));
    host.tell(local("dns", &["10.0.1.2"]));
    assert_eq!(host.addresses.len(), 2);
    host.tell(local("far", &["10.0.9.2"]));
    assert_eq!(host.routes.len(), 1);
    host.tell(endpoints("web", &["!a"]));
    assert_eq!(host.withdrawals(), ["default/web noEndpoints"]);
    host.tell(Event::EndpointsGone(key("web")));
    assert_eq!(host.addresses.len(), 2);
}

#[test]
fn shutdown_withdraws_everything_and_is_the_end() {
    let mut host = Host::running();
    host.tell(speakers(&["a"]));
    for (name, address) in [
        ("web", "10.0.1.1"),
        ("dns", "10.0.2.1"),
        ("shared", "10.0.1.1"),
    ] {
        host.tell(endpoints(name, &["a"]));
        host.tell(cluster(name, &[address]));
    }
    host.forget();
    host.tell(Event::Shutdown);
    assert_eq!(
        host.commands,
        [
            Command::Withdraw(ip("10.0.1.1")),
            Command::Withdraw(ip("10.0.2.1")),
        ]
    );
    assert_eq!(host.events, []);
    host.forget();
    host.tell(cluster("web", &["10.0.1.9"]));
    host.tell(Event::Synced);
    host.tell(Event::Shutdown);
    host.assert_silent();
}

#[test]
fn every_object_is_counted() {
    let mut host = Host::running();
    let before = host.stats().updates;
    host.tell(cluster("web", &["10.0.1.1"]));
    host.tell(endpoints("web", &["a"]));
    host.tell(Event::ServiceGone(key("web")));
    assert_eq!(
        host.stats(),
        Stats {
            config_loaded: true,
            config_stale: false,
            updates: before + 3,
            update_errors: 0,
        }
    );
    assert_eq!(
        Protocol::Layer2.as_str(),
        ProtocolName::from(Protocol::Layer2).0
    );
}
