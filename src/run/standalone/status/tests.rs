//! Tests of what a status is made of.

use super::*;
use crate::config::Protocol;

fn service(ingress: &[&str]) -> view::Service {
    view::Service {
        key: ObjectKey::new("default", "web"),
        uid: "".into(),
        resource_version: "1".into(),
        is_load_balancer: true,
        load_balancer_class: None,
        cluster_ips: vec!["0.0.0.0".to_owned()],
        load_balancer_ip: String::new(),
        local_traffic_policy: false,
        selector: BTreeMap::new(),
        ports: Vec::new(),
        annotation_pool: None,
        annotation_ips: None,
        sharing_key: String::new(),
        ingress: ingress.iter().map(|ip| (*ip).to_owned()).collect(),
    }
}

fn config_map(text: &str) -> Change {
    Change::ConfigMap(view::ConfigMap {
        key: ObjectKey::new("metallb-system", "config"),
        uid: "".into(),
        settings: None,
        config: Some(text.into()),
        origin: String::new(),
    })
}

const CONFIG: &str = "address-pools:\n- {name: lan, protocol: layer2, addresses: [10.0.0.0/24]}\n";

fn facts(service: view::Service) -> Facts {
    let mut facts = Facts::default();
    facts.take(&config_map(CONFIG));
    facts.take(&Change::Service(Box::new(service)));
    facts
}

fn warning(message: &str) -> KeptEvent {
    KeptEvent {
        at: std::time::SystemTime::UNIX_EPOCH,
        count: 2,
        event: view::KubernetesEvent {
            about: service(&[]).reference(),
            warning: true,
            reason: "AllocationFailed",
            message: message.to_owned(),
        },
    }
}

/// The status of the one Service.
fn of(facts: &Facts, loaded: bool, announced: bool, events: &[KeptEvent]) -> Status {
    let stats = controller::Stats {
        config_loaded: loaded,
        pools: vec![("lan".to_owned(), 256, 1)],
        ..controller::Stats::default()
    };
    let announcements: Vec<Announcement> = announced
        .then(|| Announcement {
            service: ObjectKey::new("default", "web"),
            ip: "10.0.0.1".parse().unwrap(),
            protocol: Protocol::Layer2.into(),
        })
        .into_iter()
        .collect();
    let identity = Identity {
        directory: "/d".to_owned(),
        node: "host".to_owned(),
        pid: 1,
        started: "then".to_owned(),
        dry_run: false,
        bind: false,
    };
    facts.status(&Outside {
        identity: &identity,
        stats: &stats,
        announcements: &announcements,
        since: &BTreeMap::from([(ObjectKey::new("default", "web"), "now".to_owned())]),
        events,
        problems: vec!["x".to_owned()],
        interfaces: BTreeMap::new(),
        peers: Vec::new(),
        load_balancer_class: None,
    })
}

fn reason(facts: &Facts, events: &[KeptEvent]) -> String {
    let status = of(facts, true, false, events);
    status.services[0].reason.clone().unwrap()
}

#[test]
fn an_announced_service_has_its_pool_and_since_when() {
    let status = of(
        &facts(service(&["10.0.0.1"])),
        true,
        true,
        &[warning("old")],
    );
    assert_eq!(
        status.services,
        [ServiceStatus {
            service: "default/web".to_owned(),
            pool: Some("lan".to_owned()),
            addresses: vec!["10.0.0.1".to_owned()],
            announced: Some("layer2".to_owned()),
            since: Some("now".to_owned()),
            reason: None,
        }]
    );
    assert_eq!(status.pools[0].in_use, 1);
    assert_eq!(status.problems, ["x"]);
    assert_eq!(status.events[0].at, "1970-01-01T00:00:00Z");
    assert_eq!(status.events[0].about, "Service default/web");
}

#[test]
fn a_silent_service_says_why() {
    let empty = facts(service(&[]));
    let no_config = of(&empty, false, false, &[]);
    assert!(
        no_config.services[0]
            .reason
            .as_ref()
            .unwrap()
            .contains("ConfigMap `config`")
    );
    assert_eq!(reason(&empty, &[]), "it waits for an address");
    assert_eq!(reason(&empty, &[warning("no room")]), "no room");

    let mut theirs = service(&[]);
    theirs.load_balancer_class = Some("a/b".to_owned());
    assert!(reason(&facts(theirs), &[]).contains("loadBalancerClass \"a/b\""));

    assert_eq!(
        reason(&facts(service(&["10.9.0.1"])), &[warning("old")]),
        "10.9.0.1 is in no pool of the configuration"
    );

    let mut unready = facts(service(&["10.0.0.1"]));
    unready.take(&Change::Endpoints(view::Endpoints {
        service: ObjectKey::new("default", "web"),
        endpoints: Vec::new(),
    }));
    assert_eq!(reason(&unready, &[]), "none of its endpoints is ready");
    unready.take(&Change::EndpointsGone(ObjectKey::new("default", "web")));
    assert!(reason(&unready, &[]).contains("about to be announced"));
}

#[test]
fn what_is_gone_or_no_load_balancer_is_not_listed() {
    let mut facts = facts(service(&["10.0.0.1"]));
    let mut other = service(&["10.0.0.1"]);
    other.is_load_balancer = false;
    facts.take(&Change::Service(Box::new(other)));
    assert_eq!(of(&facts, true, false, &[]).services, []);
    facts.take(&Change::Service(Box::new(service(&[]))));
    facts.take(&Change::ServiceGone(ObjectKey::new("default", "web")));
    assert_eq!(of(&facts, true, false, &[]).services, []);
    // A configuration that cannot be read is not in force: the last good one's pools stay.
    facts.take(&config_map("address-pools: 7"));
    assert_eq!(facts.pool_of("10.0.0.7"), Some("lan"));
}
