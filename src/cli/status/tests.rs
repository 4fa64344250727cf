//! Tests of the status as text.

use super::*;
use crate::run::standalone::status::{Identity, PoolStatus};

fn status(services: Vec<ServiceStatus>) -> Status {
    Status {
        version: 1,
        identity: Identity {
            directory: "/etc/ferrolb".to_owned(),
            node: "host".to_owned(),
            pid: 7,
            started: "2026-11-23T19:00:00Z".to_owned(),
            dry_run: true,
            bind: false,
        },
        updated: "2026-11-23T19:00:01Z".to_owned(),
        config_loaded: true,
        config_stale: false,
        pools: vec![PoolStatus {
            name: "lan".to_owned(),
            addresses: 10,
            in_use: 1,
        }],
        interfaces: BTreeMap::from([("eth0".to_owned(), vec!["ARP".to_owned(), "NDP".to_owned()])]),
        peers: Vec::new(),
        services,
        problems: Vec::new(),
        events: Vec::new(),
    }
}

fn announced(name: &str, address: &str) -> ServiceStatus {
    ServiceStatus {
        service: format!("default/{name}"),
        pool: Some("lan".to_owned()),
        addresses: vec![address.to_owned()],
        announced: Some("layer2".to_owned()),
        since: Some("2026-11-23T19:00:01Z".to_owned()),
        reason: None,
    }
}

fn waiting(name: &str) -> ServiceStatus {
    ServiceStatus {
        service: format!("default/{name}"),
        pool: None,
        addresses: Vec::new(),
        announced: None,
        since: None,
        reason: Some("no available IPs".to_owned()),
    }
}

#[test]
fn peers_and_what_they_are_told_are_shown() {
    let peer = |number: usize| PeerStatus {
        peer: format!("192.0.2.{number}:179"),
        up: number > 1,
        announced: 7,
        pending: number - 1,
        unsendable: 3 * (number / 3),
    };
    let routed = |address: &str| ServiceStatus {
        announced: Some("bgp".to_owned()),
        ..announced("web", address)
    };
    let now = Status {
        peers: vec![peer(1), peer(2), peer(3)],
        ..status(vec![routed("10.0.0.1")])
    };
    let text = table(&now);
    for line in [
        "peer 192.0.2.1:179: down (see the log)\n",
        "peer 192.0.2.2:179: up, 7 routes announced, 1 about to be\n",
        "peer 192.0.2.3:179: up, 7 routes announced, 2 about to be, 3 that it cannot be told (see the log)\n",
    ] {
        assert!(text.contains(line), "{text}");
    }
    assert!(text.lines().last().unwrap().contains("  bgp  "), "{text}");
    assert_eq!(
        changes(&status(Vec::new()), &now),
        "announce 10.0.0.1 (default/web, pool lan) by BGP\n"
    );
}

#[test]
fn the_table_has_a_line_for_each_service() {
    let text = table(&status(vec![announced("web", "10.0.0.1"), waiting("dns")]));
    assert_eq!(
        text,
        "\
/etc/ferrolb on host (pid 7), since 2026-11-23T19:00:00Z, dry run: nothing is sent
configuration: in force
pool lan: 1 of 10 addresses in use
interfaces: eth0 (ARP, NDP)

SERVICE      POOL  ADDRESSES  ANNOUNCED  SINCE                 REASON
default/web  lan   10.0.0.1   layer2     2026-11-23T19:00:01Z
default/dns  -     -          no         -                     no available IPs
"
    );
    assert!(table(&status(Vec::new())).contains("no Services of type LoadBalancer"));
}

#[test]
fn what_changed_is_said_and_nothing_else() {
    let before = status(vec![
        announced("a", "10.0.0.1"),
        announced("b", "10.0.0.2"),
        waiting("c"),
    ]);
    assert_eq!(changes(&before, &before), "");
    let mut now = status(vec![
        waiting("a"),
        announced("b", "10.0.0.3"),
        announced("c", "10.0.0.1"),
    ]);
    now.problems.push("x.yaml:1:1: broken".to_owned());
    assert_eq!(
        changes(&before, &now),
        "\
withdraw 10.0.0.1 (default/a): no available IPs
withdraw 10.0.0.2 (default/b): its addresses changed
not announced: default/a: no available IPs
announce 10.0.0.3 (default/b, pool lan) on eth0 (ARP, NDP)
announce 10.0.0.1 (default/c, pool lan) on eth0 (ARP, NDP)
problem: x.yaml:1:1: broken
"
    );
    let gone = status(vec![announced("a", "10.0.0.1"), waiting("c")]);
    assert_eq!(
        changes(&before, &gone),
        "withdraw 10.0.0.2 (default/b): the Service is gone\n"
    );
}

#[test]
fn json_says_that_it_runs_and_is_read_again() {
    let written = status(vec![announced("web", "10.0.0.1")]);
    let text = json(&written).unwrap();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["running"], true);
    assert_eq!(value["node"], "host");
    assert_eq!(value["services"][0]["addresses"][0], "10.0.0.1");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("status.json");
    std::fs::write(&path, text).unwrap();
    assert_eq!(read(&path, 1 << 20).unwrap(), written);
    assert!(read(&path, 10).is_err(), "cut off");
}
