//! `tests/golden/owners.json`: which nodes answered for each address after each step, recorded with three speakers of
//! 0.12.1 and their gossip. Here: three speakers in one process, and a cluster that tells them all the same.

use serde_json::Value;

use super::*;

const RECORDED: &str = include_str!("../../../tests/golden/owners.json");
const NODES: [&str; 3] = ["node-1", "node-2", "node-3"];

/// What the cluster knows, and the speakers that run.
struct Lab {
    config: String,
    services: BTreeMap<String, Event>,
    endpoints: BTreeMap<String, Event>,
    hosts: BTreeMap<&'static str, Host>,
}

impl Lab {
    fn new(config: &str) -> Self {
        let mut lab = Self {
            config: config.to_owned(),
            services: BTreeMap::new(),
            endpoints: BTreeMap::new(),
            hosts: BTreeMap::new(),
        };
        for node in NODES {
            lab.start(node);
        }
        lab
    }

    fn tell_all(&mut self, event: &Event) {
        for host in self.hosts.values_mut() {
            host.tell(event.clone());
        }
    }

    /// Gossip: every speaker hears who lives.
    fn gossip(&mut self) {
        let live: Vec<&str> = self.hosts.keys().copied().collect();
        self.tell_all(&speakers(&live));
    }

    fn start(&mut self, node: &'static str) {
        let mut host = Host::new(node);
        host.tell(config(&self.config));
        for event in self.services.values().chain(self.endpoints.values()) {
            host.tell(event.clone());
        }
        self.hosts.insert(node, host);
        self.gossip();
        if let Some(host) = self.hosts.get_mut(node) {
            host.tell(Event::Synced);
        }
    }

    fn stop(&mut self, node: &str, withdraws: bool) {
        let mut host = self.hosts.remove(node).unwrap();
        if withdraws {
            host.tell(Event::Shutdown);
            assert_eq!(host.addresses, BTreeSet::new());
        }
        self.gossip();
    }

    fn set_endpoints(&mut self, name: &str, ready: &[String], not_ready: &[String]) {
        let nodes: Vec<String> = ready
            .iter()
            .cloned()
            .chain(not_ready.iter().map(|node| format!("!{node}")))
            .collect();
        let nodes: Vec<&str> = nodes.iter().map(String::as_str).collect();
        let event = endpoints(name, &nodes);
        self.tell_all(&event);
        self.endpoints.insert(name.to_owned(), event);
    }

    fn run(&mut self, op: &[Value]) {
        let text = |index: usize| op[index].as_str().unwrap();
        let nodes = |index: usize| -> Vec<String> {
            op.get(index)
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .map(|node| node.as_str().unwrap().to_owned())
                .collect()
        };
        let node = |name: &str| *NODES.iter().find(|node| **node == name).unwrap();
        match text(0) {
            "service" => {
                let event = match text(3) {
                    "Cluster" => cluster(text(1), &[text(2)]),
                    "Local" => local(text(1), &[text(2)]),
                    other => panic!("policy {other}"),
                };
                self.tell_all(&event);
                self.services.insert(text(1).to_owned(), event);
                self.set_endpoints(text(1), &nodes(4), &nodes(5));
            }
            "endpoints" => self.set_endpoints(text(1), &nodes(2), &nodes(3)),
            "unserve" => {
                self.services.remove(text(1)).unwrap();
                self.endpoints.remove(text(1)).unwrap();
                self.tell_all(&Event::ServiceGone(key(text(1))));
                self.tell_all(&Event::EndpointsGone(key(text(1))));
            }
            "term" => self.stop(text(1), true),
            "die" => self.stop(text(1), false),
            "start" => self.start(node(text(1))),
            // What the recording waited for happens at once here.
            "sleep" => {}
            other => panic!("unknown step {other}"),
        }
    }

    fn owners(&self) -> BTreeMap<String, Vec<String>> {
        let mut owners: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (node, host) in &self.hosts {
            for ip in &host.addresses {
                owners
                    .entry(ip.to_string())
                    .or_default()
                    .push((*node).to_owned());
            }
        }
        owners
    }
}

#[test]
fn the_owners_are_those_of_0_12() {
    let recorded: Value = serde_json::from_str(RECORDED).unwrap();
    let mut compared = 0;
    for (name, case) in recorded.as_object().unwrap() {
        if name == "config" {
            continue;
        }
        let mut lab = Lab::new(recorded["config"].as_str().unwrap());
        let steps = case["steps"].as_array().unwrap();
        let answers = case["answers"].as_array().unwrap();
        assert_eq!(steps.len(), answers.len());
        for (number, (step, answer)) in steps.iter().zip(answers).enumerate() {
            for op in step.as_array().unwrap() {
                lab.run(op.as_array().unwrap());
            }
            let want: BTreeMap<String, Vec<String>> =
                serde_json::from_value(answer.clone()).unwrap();
            assert_eq!(lab.owners(), want, "{name}, step {number}");
            compared += want.len();
        }
    }
    assert_eq!(compared, 97, "the recording holds this many answers");
}
