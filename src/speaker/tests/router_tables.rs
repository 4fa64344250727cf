//! `tests/golden/router-tables.json`: what an FRR router learned of two speakers of 0.12.1 after each step. Here: two speakers
//! in one process, and what their sessions would send.

use serde_json::{Value, json};

use super::*;
use crate::bgp::Origin;

const RECORDED: &str = include_str!("../../../tests/golden/router-tables.json");
const NODES: [(&str, &str); 2] = [("node-1", "172.31.0.11"), ("node-2", "172.31.0.12")];

struct Lab {
    hosts: Vec<(&'static str, &'static str, Host)>,
}

impl Lab {
    fn new() -> Self {
        let mut lab = Self {
            hosts: NODES
                .map(|(name, address)| (name, address, Host::new(name)))
                .into(),
        };
        for (name, _) in NODES {
            lab.tell(&node(name, true));
        }
        lab.tell(&speakers(&["node-1", "node-2"]));
        lab.tell(&Event::Synced);
        lab
    }

    fn tell(&mut self, event: &Event) {
        for (_, _, host) in &mut self.hosts {
            host.tell(event.clone());
        }
    }

    fn run(&mut self, op: &[Value]) {
        let text = |index: usize| op[index].as_str().unwrap();
        let nodes = |index: usize| -> Option<Vec<String>> {
            let nodes = op.get(index)?.as_array().unwrap().iter();
            Some(
                nodes
                    .map(|node| node.as_str().unwrap().to_owned())
                    .collect(),
            )
        };
        let serve = |ready: Option<Vec<String>>, not_ready: Option<Vec<String>>| {
            let both = || NODES.map(|(name, _)| name.to_owned()).into();
            let not_ready = not_ready.unwrap_or_default();
            let all: Vec<String> = ready
                .unwrap_or_else(both)
                .into_iter()
                .chain(not_ready.iter().map(|node| format!("!{node}")))
                .collect();
            endpoints(text(1), &all.iter().map(String::as_str).collect::<Vec<_>>())
        };
        match text(0) {
            "config" => self.tell(&config(text(1))),
            "service" => {
                let event = match op
                    .get(3)
                    .map_or("Cluster", |policy| policy.as_str().unwrap())
                {
                    "Cluster" => cluster(text(1), &[text(2)]),
                    "Local" => local(text(1), &[text(2)]),
                    other => panic!("policy {other}"),
                };
                self.tell(&event);
                self.tell(&serve(nodes(4), nodes(5)));
            }
            "endpoints" => self.tell(&serve(nodes(2), nodes(3))),
            "unserve" => {
                self.tell(&Event::ServiceGone(key(text(1))));
                self.tell(&Event::EndpointsGone(key(text(1))));
            }
            "label" => {
                let labels = op[2].as_object().unwrap().iter();
                self.tell(&Event::Node(Node {
                    name: text(1).into(),
                    labels: labels
                        .map(|(key, value)| (key.clone(), value.as_str().unwrap().to_owned()))
                        .collect(),
                    ready: true,
                }));
            }
            other => panic!("unknown step {other}"),
        }
    }

    /// The router's table, as FRR shows it.
    fn table(&self) -> Value {
        let mut rib: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        let mut peers: BTreeMap<&str, Value> = BTreeMap::new();
        for (_, address, host) in &self.hosts {
            for params in host.peers.values() {
                assert_eq!(params.peer_address, ip("172.31.0.250"));
                let internal = params.is_internal();
                // Nothing else is configured, so that the session takes its own address.
                assert_eq!(params.router_id, None);
                let hold_time = u64::try_from(params.hold_time.as_millis()).unwrap();
                peers.insert(
                    address,
                    json!(["Established", address, hold_time, params.my_asn]),
                );
                for (prefix, attributes) in &host.routes {
                    let origin = match attributes.origin {
                        Origin::Igp => "IGP",
                        Origin::Egp => "EGP",
                        Origin::Incomplete => "incomplete",
                    };
                    let communities: Vec<String> = attributes
                        .communities
                        .iter()
                        .map(|community| match community {
                            0xffff_ff01 => "no-export".to_owned(),
                            other => format!("{}:{}", other >> 16, other & 0xffff),
                        })
                        .collect();
                    rib.entry(prefix.to_string()).or_default().push(json!([
                        address,
                        if internal {
                            "Local".to_owned()
                        } else {
                            params.my_asn.to_string()
                        },
                        origin,
                        internal.then_some(attributes.local_pref),
                        (!communities.is_empty()).then(|| communities.join(" ")),
                        [address],
                    ]));
                }
            }
        }
        json!({"rib": rib, "peers": peers})
    }
}

#[test]
fn a_router_learns_what_it_learned_of_0_12() {
    let recorded: Value = serde_json::from_str(RECORDED).unwrap();
    let mut compared = 0;
    for (name, case) in recorded.as_object().unwrap() {
        let mut lab = Lab::new();
        let steps = case["steps"].as_array().unwrap();
        let tables = case["tables"].as_array().unwrap();
        assert_eq!(steps.len(), tables.len());
        for (number, (step, table)) in steps.iter().zip(tables).enumerate() {
            for op in step.as_array().unwrap() {
                lab.run(op.as_array().unwrap());
            }
            assert_eq!(&lab.table(), table, "{name}, step {number}");
            compared += table["rib"].as_object().unwrap().len();
        }
    }
    assert_eq!(compared, PREFIXES, "the recording holds this many prefixes");
}

const PREFIXES: usize = 46;
