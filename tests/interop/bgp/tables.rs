//! The table of a router after each step of a history, against what it was with speakers of MetalLB 0.12.1
//! (`tests/golden/router-tables.json`).
//!
//! The record was made without a controller: addresses were written into the Services. `ferrolb standalone` has one, so here
//! the Services ask for them. One case has an address that a Cluster and a Local Service share, which no controller allows:
//! there the first is Local, too, with an endpoint on each node, which is announced in the same way.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use crate::lan::{Lan, holds_for, until};
use crate::routers::{Frr, Neighbour, Peer as _, Router};
use crate::speaker::{Folder, Service, Speaker};

const NODES: [(&str, u8); 2] = [("node-1", 11), ("node-2", 12)];

/// The steps that are played otherwise than they were recorded.
fn instead(case: &str, op: &Value) -> Value {
    if case == "shared-address" && op[0] == "service" && op[1] == "x" {
        return json!(["service", "x", op[2], "Local", ["node-1", "node-2"]]);
    }
    op.clone()
}

fn strings(value: Option<&Value>, default: &[&str]) -> Vec<String> {
    match value {
        Some(value) => value
            .as_array()
            .unwrap()
            .iter()
            .map(|text| text.as_str().unwrap().to_owned())
            .collect(),
        None => default.iter().map(|&text| text.to_owned()).collect(),
    }
}

fn set_endpoints(folder: &Folder, service: &str, ready: &[String], not_ready: &[String]) {
    let ready: Vec<&str> = ready.iter().map(String::as_str).collect();
    let not_ready: Vec<&str> = not_ready.iter().map(String::as_str).collect();
    folder.endpoints(service, &ready, &not_ready);
}

fn play(folder: &Folder, op: &Value, shared: bool) {
    let list = op.as_array().unwrap();
    let name = list[1].as_str().unwrap();
    match list[0].as_str().unwrap() {
        "config" => folder.config(name, ""),
        "service" => {
            // Endpoints first: a Service without any counts as served here.
            let ready = strings(list.get(4), &["node-1", "node-2"]);
            set_endpoints(folder, name, &ready, &strings(list.get(5), &[]));
            let mut service = Service::new(name, list[2].as_str().unwrap());
            if list.get(3).is_some_and(|policy| policy == "Local") {
                service = service.local();
            }
            if let Some(port) = list.get(6) {
                service = service.port(u16::try_from(port.as_u64().unwrap()).unwrap());
            }
            if shared {
                service = service.shared();
            }
            folder.service(&service);
        }
        "endpoints" => {
            let ready = strings(list.get(2), &[]);
            set_endpoints(folder, name, &ready, &strings(list.get(3), &[]));
        }
        "unserve" => folder.no_service(name),
        "label" => {
            let labels: BTreeMap<String, String> = serde_json::from_value(list[2].clone()).unwrap();
            let labels: Vec<(&str, &str)> = labels
                .iter()
                .map(|(key, value)| (key.as_str(), value.as_str()))
                .collect();
            folder.node(name, &labels);
        }
        other => panic!("unknown step {other}"),
    }
}

/// The router's table and sessions, in the form of the record.
fn table(router: &Frr) -> Value {
    let mut rib = serde_json::Map::new();
    for prefix in router.prefixes("ipv4") {
        let told = router.json(&format!("show bgp ipv4 unicast {prefix}"));
        let mut paths: Vec<Value> = told["paths"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|path| {
                let hops: Vec<&Value> = path["nexthops"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .map(|hop| &hop["ip"])
                    .collect();
                json!([
                    path["peer"]["peerId"],
                    path["aspath"]["string"],
                    path["origin"].as_str().map(str::to_lowercase),
                    path["locPrf"],
                    path["community"]["string"],
                    hops
                ])
            })
            .collect();
        paths.sort_by_key(|path| path[0].as_str().map(str::to_owned));
        rib.insert(prefix, Value::Array(paths));
    }
    let mut peers = serde_json::Map::new();
    for (_, host) in NODES {
        let address = format!("172.31.0.{host}");
        let told = router.neighbour(&address);
        if told["bgpState"] == "Established" {
            peers.insert(
                address,
                json!([
                    told["bgpState"],
                    told["remoteRouterId"],
                    told["bgpTimerHoldTimeMsecs"],
                    told["remoteAs"]
                ]),
            );
        }
    }
    json!({"rib": rib, "peers": peers})
}

fn replay(case: &str, history: &Value) {
    let lan = Lan::new();
    let asn = |value: &Value| u32::try_from(value.as_u64().unwrap()).unwrap();
    let mut router = Router::new(asn(&history["router"][0]));
    for (_, host) in NODES {
        // Ours is 65010 in all of them.
        router = router.neighbour(Neighbour::new(format!("172.31.0.{host}"), 65010));
    }
    let router = Frr::start(lan.host(250), &router);
    let shared = case == "shared-address";
    let mut speakers = Vec::new();
    let steps = history["steps"].as_array().unwrap();
    let tables = history["tables"].as_array().unwrap();
    assert_eq!(steps.len(), tables.len());
    let first = steps[0].as_array().unwrap();
    assert_eq!(first[0][0], "config");
    for (_, host) in NODES {
        let folder = Folder::new("", "");
        for (node, _) in NODES {
            folder.node(node, &[]);
        }
        for op in first {
            play(&folder, &instead(case, op), shared);
        }
        speakers.push(Speaker::start(lan.host(host), folder));
    }
    for (number, (step, want)) in steps.iter().zip(tables).enumerate() {
        if number > 0 {
            for op in step.as_array().unwrap() {
                for speaker in &speakers {
                    play(&speaker.folder, &instead(case, op), shared);
                }
            }
        }
        let state = || {
            let logs: Vec<String> = speakers.iter().map(Speaker::state).collect();
            format!(
                "{step}\nwant {want}\ngot  {}\n{}",
                table(&router),
                logs.join("\n")
            )
        };
        let what = format!("{case}: the table after step {number}");
        until(&what, || table(&router) == *want, state);
        holds_for(
            Duration::from_millis(300),
            &what,
            || table(&router) == *want,
            state,
        );
    }
}

fn recorded() -> Value {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/golden/router-tables.json"
    );
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
#[ignore = "needs root, FRR, BIRD, GoBGP; run by tests/run"]
fn announcements_come_and_go_as_with_0_12() {
    replay(
        "announce-and-withdraw",
        &recorded()["announce-and-withdraw"],
    );
    replay("local-policy", &recorded()["local-policy"]);
}

#[test]
#[ignore = "needs root, FRR, BIRD, GoBGP; run by tests/run"]
fn attributes_are_as_with_0_12() {
    replay(
        "aggregation-and-attributes",
        &recorded()["aggregation-and-attributes"],
    );
    replay(
        "two-pools-two-policies",
        &recorded()["two-pools-two-policies"],
    );
}

#[test]
#[ignore = "needs root, FRR, BIRD, GoBGP; run by tests/run"]
fn selectors_and_shared_addresses_are_as_with_0_12() {
    replay("node-selectors", &recorded()["node-selectors"]);
    replay("shared-address", &recorded()["shared-address"]);
}

#[test]
fn every_recorded_history_is_replayed() {
    let names: BTreeSet<String> = recorded().as_object().unwrap().keys().cloned().collect();
    let replayed = [
        "aggregation-and-attributes",
        "announce-and-withdraw",
        "local-policy",
        "node-selectors",
        "shared-address",
        "two-pools-two-policies",
    ];
    assert!(names.iter().eq(replayed), "{names:?}");
}
