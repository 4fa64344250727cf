//! Whatever happens, in whatever order: the controller's promises, against a model of the API server.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/model.rs"]
mod model;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ferrolb::controller::{Event, WriteOutcome};
use ferrolb::view::{ObjectKey, Port, Service};
use proptest::prelude::*;

use model::Model;

/// Small pools, so that they are exhausted; the third loses most addresses, the last two are refused.
const CONFIGS: &[&str] = &[
    "address-pools:\n- name: default\n  protocol: layer2\n  addresses: [10.0.0.0/30, 'fd00:1::/127']\n- name: small\n  protocol: layer2\n  auto-assign: false\n  addresses: [10.0.1.0/31]\n",
    "address-pools:\n- name: default\n  protocol: layer2\n  addresses: [10.0.0.0/29, 'fd00:1::/126']\n- name: tiny\n  protocol: layer2\n  auto-assign: false\n  addresses: [10.0.1.0/31]\n",
    "address-pools:\n- name: default\n  protocol: layer2\n  avoid-buggy-ips: true\n  addresses: [10.0.0.0/31]\n- name: other\n  protocol: layer2\n  addresses: [10.0.7.0/31, 'fd00:1::/126']\n",
    "",
    "address-pools:\n- name: [\n",
    "address-pools: []\nadress-pools: []\n",
];

/// What somebody writes into a status.
const INGRESS: &[&[&str]] = &[
    &[],
    &["10.0.0.1"],
    &["10.0.0.2"],
    &["fd00:1::1"],
    &["10.0.0.3", "fd00:1::1"],
    &["10.0.1.1"],
    &["10.0.9.9"],
    &["10.0.0.0", "10.0.0.1"],
    &["10.0.0.0", "10.0.0.1", "10.0.0.2"],
    &[""],
    &["no address"],
];

/// What can happen to the cluster.
#[derive(Debug, Clone)]
enum Deed {
    Put(Spec),
    Delete(usize),
    Status(usize, usize),
    Config(usize),
    Restart,
}

/// What can happen between the cluster and the controller.
#[derive(Debug, Clone)]
enum Way {
    /// The controller hears the next thing.
    Tell,
    /// The next write is done.
    Write,
    /// The controller is told that nothing else is waiting, although it may be.
    Settle,
    /// The next write does not reach the server.
    Unavailable,
    /// The next write is done, but its answer is lost.
    AnswerLost,
    /// The next write is refused although nothing has changed; the writer sends a fresh view.
    Superseded,
    /// The next write is refused for good, until somebody touches the Service after a while.
    Refused,
    /// All of the above until nothing happens any more.
    Rest,
}

#[derive(Debug, Clone)]
struct Spec {
    slot: usize,
    is_load_balancer: bool,
    families: usize,
    local: bool,
    selector: bool,
    ports: Vec<u16>,
    sharing_key: &'static str,
    pool: Option<&'static str>,
    ips: Option<&'static str>,
    class: bool,
}

const SLOTS: usize = 6;

fn name(slot: usize) -> String {
    format!("default/s{slot}")
}

fn spec() -> impl Strategy<Value = Spec> {
    (
        0..SLOTS,
        prop::bool::weighted(0.85),
        0..3_usize,
        any::<bool>(),
        any::<bool>(),
        prop::sample::subsequence(vec![53_u16, 80, 443], 1..3),
        prop::sample::select(vec!["", "", "k1", "k1", "k2"]),
        prop::sample::select(vec![
            None,
            None,
            None,
            Some("default"),
            Some("small"),
            Some("nowhere"),
        ]),
        prop::sample::select(vec![
            None,
            None,
            None,
            Some("10.0.0.1"),
            Some("10.0.0.2"),
            Some("fd00:1::1"),
            Some("10.0.0.3, fd00:1::"),
            Some("10.0.0.1,10.0.0.2"),
            Some("10.0.9.9"),
            Some("x,y"),
        ]),
        prop::bool::weighted(0.1),
    )
        .prop_map(
            |(
                slot,
                is_load_balancer,
                families,
                local,
                selector,
                ports,
                sharing_key,
                pool,
                ips,
                class,
            )| Spec {
                slot,
                is_load_balancer,
                families,
                local,
                selector,
                ports,
                sharing_key,
                pool,
                ips,
                class,
            },
        )
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        8 => spec().prop_map(Deed::Put),
        3 => (0..SLOTS).prop_map(Deed::Delete),
        3 => (0..SLOTS, 0..INGRESS.len()).prop_map(|(slot, ingress)| Deed::Status(slot, ingress)),
        2 => (0..CONFIGS.len()).prop_map(Deed::Config),
        1 => Just(Deed::Restart),
    ]
}

fn way() -> impl Strategy<Value = Way> {
    prop_oneof![
        6 => Just(Way::Tell),
        4 => Just(Way::Write),
        2 => Just(Way::Settle),
        1 => Just(Way::Unavailable),
        1 => Just(Way::AnswerLost),
        1 => Just(Way::Superseded),
        1 => Just(Way::Refused),
        1 => Just(Way::Rest),
    ]
}

fn cluster() -> Model {
    let mut model = Model::new();
    model.configure(CONFIGS[0]);
    model.rest();
    model
}

/// Does it.
fn act(model: &mut Model, deed: &Deed) {
    match deed {
        Deed::Put(spec) => {
            let service = service(model, spec);
            model.put(service);
        }
        Deed::Delete(slot) => model.delete(&name(*slot)),
        Deed::Status(slot, ingress) => {
            if let Some(old) = model.services.get(&name(*slot)) {
                let mut changed = old.clone();
                changed.ingress = INGRESS[*ingress].iter().map(ToString::to_string).collect();
                model.put(changed);
            }
        }
        Deed::Config(config) => model.configure(CONFIGS[*config]),
        Deed::Restart => model.restart(),
    }
}

fn service(model: &Model, spec: &Spec) -> Service {
    let old = model.services.get(&name(spec.slot));
    let cluster_ips = match old {
        Some(old) => old.cluster_ips.clone(),
        None => match spec.families {
            0 => vec!["10.96.0.1".to_owned()],
            1 => vec!["fd00:96::1".to_owned()],
            _ => vec!["fd00:96::1".to_owned(), "10.96.0.1".to_owned()],
        },
    };
    let mut selector = BTreeMap::new();
    selector.insert(
        "app".to_owned(),
        if spec.selector { "a" } else { "b" }.to_owned(),
    );
    Service {
        key: ObjectKey::new("default", &format!("s{}", spec.slot)),
        uid: "".into(),
        resource_version: "".into(),
        is_load_balancer: spec.is_load_balancer,
        load_balancer_class: spec.class.then(|| "example.org/other".to_owned()),
        cluster_ips,
        load_balancer_ip: String::new(),
        local_traffic_policy: spec.local,
        selector,
        ports: spec
            .ports
            .iter()
            .map(|port| Port {
                protocol: "TCP".into(),
                port: *port,
            })
            .collect(),
        annotation_pool: spec.pool.map(str::to_owned),
        annotation_ips: spec.ips.map(str::to_owned),
        sharing_key: spec.sharing_key.to_owned(),
        ingress: old.map(|old| old.ingress.clone()).unwrap_or_default(),
    }
}

fn go(model: &mut Model, way: &Way) {
    match way {
        Way::Tell => {
            model.tell();
        }
        Way::Write => {
            model.write();
        }
        Way::Settle => {
            model.settle();
        }
        Way::Unavailable => {
            if let Some(write) = model.writes.pop_front() {
                let outcome = WriteOutcome::Unavailable("away".to_owned());
                model.news.push_back(Event::StatusWrite(write.key, outcome));
            }
        }
        Way::AnswerLost => {
            if model.write() {
                // The answer is the last news.
                if let Some(Event::StatusWrite(key, _)) = model.news.pop_back() {
                    let outcome = WriteOutcome::Unavailable("timeout".to_owned());
                    model.news.push_back(Event::StatusWrite(key, outcome));
                }
            }
        }
        Way::Superseded => {
            if let Some(write) = model.writes.pop_front() {
                let view = model.services.get(write.key.as_str()).cloned();
                model
                    .news
                    .push_back(Event::StatusWrite(write.key, WriteOutcome::Superseded));
                if let Some(view) = view {
                    model.news.push_back(Event::Service(Box::new(view)));
                }
            }
        }
        Way::Refused => {
            if let Some(write) = model.writes.pop_front() {
                let touched = model.services.get(write.key.as_str()).cloned();
                let outcome = WriteOutcome::Refused("no".to_owned());
                model
                    .controller
                    .handle(Event::StatusWrite(write.key, outcome));
                model.settle();
                if let Some(touched) = touched {
                    model.put(touched);
                }
            }
        }
        Way::Rest => {
            model.rest();
            check(model);
        }
    }
}

/// The addresses of a status; `None` if it is one that the controller must leave alone.
fn addresses(service: &Service) -> Option<Vec<IpAddr>> {
    let texts: Vec<&String> = service
        .ingress
        .iter()
        .filter(|text| !text.is_empty())
        .collect();
    let addresses: Vec<IpAddr> = texts.iter().filter_map(|text| text.parse().ok()).collect();
    let left_alone = addresses.len() == 2
        && texts.len() == 2
        && addresses[0].is_ipv4() == addresses[1].is_ipv4();
    (!left_alone).then_some(addresses)
}

fn may_share(one: &Service, other: &Service) -> bool {
    let backend = |service: &Service| {
        if service.local_traffic_policy {
            service.selector.clone()
        } else {
            BTreeMap::new()
        }
    };
    !one.sharing_key.is_empty()
        && one.sharing_key == other.sharing_key
        && backend(one) == backend(other)
        && one.ports.iter().all(|port| !other.ports.contains(port))
}

/// What must hold whenever nothing happens any more.
fn check(model: &mut Model) {
    let stats = model.controller.stats();
    if !stats.config_loaded {
        // Started with a bad configuration: whatever there is stays as it is.
        return;
    }
    let ours: Vec<&Service> = model
        .services
        .values()
        .filter(|service| service.load_balancer_class.is_none())
        .collect();
    for service in &ours {
        if !service.is_load_balancer {
            assert!(service.ingress.is_empty(), "not cleared: {service:?}");
        }
    }
    let held: Vec<(&Service, Vec<IpAddr>)> = ours
        .iter()
        .filter_map(|service| Some((*service, addresses(service)?)))
        .collect();
    for (service, addresses) in &held {
        if addresses.is_empty() {
            continue;
        }
        let wanted: BTreeSet<bool> = service
            .cluster_ips
            .iter()
            .map(|ip| ip.contains('.'))
            .collect();
        let got: BTreeSet<bool> = addresses.iter().map(IpAddr::is_ipv4).collect();
        assert_eq!(wanted, got, "wrong families: {service:?}");
        for (other, theirs) in &held {
            let common = service.key != other.key && theirs.iter().any(|ip| addresses.contains(ip));
            assert!(
                !common || may_share(service, other),
                "one address for two: {service:?} {other:?}"
            );
        }
    }
    let plain = held.len() == ours.len() && ours.len() == model.services.len();
    if plain {
        let shown: BTreeSet<IpAddr> = held
            .iter()
            .flat_map(|(_, addresses)| addresses)
            .copied()
            .collect();
        let in_use: i64 = stats.pools.iter().map(|pool| pool.2).sum();
        assert_eq!(
            i64::try_from(shown.len()).unwrap(),
            in_use,
            "the book differs from the statuses"
        );
    }

    // An unchanged world causes nothing. At the first look back a Service that waits may say who else stands in its
    // way meanwhile.
    for _ in 0..2 {
        model.events.clear();
        let world: Vec<Service> = model.services.values().cloned().collect();
        for service in world {
            model.news.push_back(Event::Service(Box::new(service)));
        }
        while model.tell() {}
        model.settle();
        assert!(
            model.writes.is_empty(),
            "writes what is written: {:?}",
            model.writes
        );
    }
    assert!(
        model.events.is_empty(),
        "says what is said: {:?}",
        model.events
    );

    // What is decided does not hang on memory.
    if plain && !stats.config_stale {
        let before = model.services.clone();
        model.restart();
        model.rest();
        assert_eq!(
            statuses(&before),
            statuses(&model.services),
            "a restart changes something"
        );
        model.events.clear();
    }
}

fn statuses(services: &BTreeMap<String, Service>) -> BTreeMap<&str, &[String]> {
    services
        .iter()
        .map(|(name, service)| (name.as_str(), service.ingress.as_slice()))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_in_whatever_order_ends_in_a_state_that_keeps_the_promises(
        story in prop::collection::vec((deed(), prop::collection::vec(way(), 0..6)), 1..25),
    ) {
        let mut model = cluster();
        for (deed, ways) in &story {
            act(&mut model, deed);
            for way in ways {
                go(&mut model, way);
            }
        }
        model.rest();
        check(&mut model);
    }

    #[test]
    fn an_address_stays_unless_its_own_service_or_the_configuration_changes(
        story in prop::collection::vec(deed(), 1..25),
    ) {
        let mut model = cluster();
        for deed in &story {
            let before = model.services.clone();
            let stale = model.controller.stats().config_stale;
            act(&mut model, deed);
            model.rest();
            let about = match deed {
                Deed::Put(spec) => Some(name(spec.slot)),
                Deed::Delete(slot) | Deed::Status(slot, _) => Some(name(*slot)),
                Deed::Restart => None,
                Deed::Config(_) => continue,
            };
            if stale {
                // What is held back may come into force with any of these.
                continue;
            }
            for (name, service) in &before {
                if Some(name) == about.as_ref() || service.ingress.is_empty() {
                    continue;
                }
                prop_assert_eq!(
                    &service.ingress,
                    &model.services[name].ingress,
                    "{} lost its address by {:?}",
                    name,
                    deed
                );
            }
        }
    }
}
