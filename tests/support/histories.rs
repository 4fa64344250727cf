//! The recorded histories of `tests/golden/histories`: what MetalLB 0.12.1's controller did, step by step, on a real
//! API server, and the comparison of what ours does with it.
//!
//! A file has the configuration at the start and the steps. Each step has an operation and, once nothing changed any
//! more, every Service's addresses, the controller's metrics, and the Events that the step caused.
//!
//! The rule of comparison: addresses, pools, loaded and stale are equal after each step. Events have the same type, reason
//! and Service; our message begins with upstream's words and may go on with advice. An Event of ours that upstream has
//! not must have a reason that upstream does not know. One of upstream's that we lack must be the very one that we said
//! last about that Service: how often 0.12 repeats itself is its own matter. Everything else is a difference, unless
//! [`DEVIATIONS`] lists it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use serde_json::Value;

/// One recorded history.
#[derive(Debug)]
pub(crate) struct History {
    /// The file's name, without its ending.
    pub(crate) name: String,
    /// The ConfigMap's text at the start.
    pub(crate) start: String,
    /// The steps, in order.
    pub(crate) steps: Vec<Step>,
}

/// One operation, and the state of rest after it.
#[derive(Debug)]
pub(crate) struct Step {
    /// Its place in the history, from 0.
    pub(crate) number: u64,
    /// What was done.
    pub(crate) operation: Operation,
    /// What came of it.
    pub(crate) want: State,
}

/// What was done.
#[derive(Debug)]
pub(crate) enum Operation {
    /// A Service is created.
    Create(Manifest),
    /// A Service is replaced, but for its cluster IPs and its status.
    Update(Manifest),
    /// A Service is deleted.
    Delete(String),
    /// Somebody else writes these addresses into a Service's status.
    Status(String, Vec<String>),
    /// The ConfigMap's text is replaced.
    Config(String),
    /// The controller is killed and started.
    Restart,
}

/// A Service's manifest.
#[derive(Debug)]
pub(crate) struct Manifest {
    /// `namespace/name`.
    pub(crate) name: String,
    /// `IPv4`, `IPv6`, in order; two mean RequireDualStack. Empty for an update.
    pub(crate) families: Vec<String>,
    /// Whether the type is LoadBalancer; else it is ClusterIP.
    pub(crate) is_load_balancer: bool,
    /// Protocol and port.
    pub(crate) ports: Vec<(String, u16)>,
    /// Whether externalTrafficPolicy is Local; else it is Cluster.
    pub(crate) local: bool,
    /// `spec.loadBalancerIP`; empty where absent.
    pub(crate) load_balancer_ip: String,
    /// All annotations.
    pub(crate) annotations: BTreeMap<String, String>,
    /// The selector.
    pub(crate) selector: BTreeMap<String, String>,
}

/// A state of rest.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct State {
    /// Every Service's addresses.
    pub(crate) services: BTreeMap<String, Vec<String>>,
    /// Every pool's capacity and addresses in use.
    pub(crate) pools: BTreeMap<String, (i64, i64)>,
    /// `metallb_k8s_client_config_loaded_bool`.
    pub(crate) loaded: bool,
    /// `metallb_k8s_client_config_stale_bool`.
    pub(crate) stale: bool,
    /// The Events about Services since the last state of rest.
    pub(crate) events: Vec<Said>,
}

/// An Event about a Service.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Said {
    /// `Normal` or `Warning`.
    pub(crate) kind: String,
    /// The reason.
    pub(crate) reason: String,
    /// The Service's name: of ours with its namespace, of upstream's without (that is all that was recorded).
    pub(crate) service: String,
    /// The text.
    pub(crate) message: String,
}

/// A knowing difference from what was recorded: nothing else may differ.
struct Deviation {
    history: &'static str,
    step: u64,
    /// The difference, as [`Comparison::compare`] words it.
    what: &'static str,
    /// Why ours is meant.
    #[expect(dead_code, reason = "read by people")]
    reason: &'static str,
}

/// All of them.
const DEVIATIONS: &[Deviation] = &[
    left_behind(35),
    left_behind(36),
    left_behind(37),
    left_behind(38),
    left_behind(39),
    left_behind(40),
];

/// In history 3, steps 35 to 40.
const fn left_behind(step: u64) -> Deviation {
    Deviation {
        history: "3",
        step,
        what: "pool small is None, not Some((0, 0))",
        reason: "0.12 writes the gauge of a pool that the new configuration does not have, when the last Service leaves it, \
                 and shows it from then on; ours shows the pools there are",
    }
}

/// Reasons of Events that upstream does not know.
const OURS: &[&str] = &["ConfigRefused", "ConfigHeldBack"];

/// Reads all histories, in the order of their names.
pub(crate) fn all() -> Vec<History> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/histories");
    let mut histories: Vec<History> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "json"))
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let json: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            History {
                name,
                start: text(&json["start"]),
                steps: json["steps"].as_array().unwrap().iter().map(step).collect(),
            }
        })
        .collect();
    histories.sort_by(|one, other| one.name.cmp(&other.name));
    assert!(!histories.is_empty(), "no history in {}", folder.display());
    histories
}

fn step(json: &Value) -> Step {
    let op = &json["op"];
    let operation = match op["op"].as_str().unwrap() {
        "create" => Operation::Create(manifest(op)),
        "update" => Operation::Update(manifest(op)),
        "delete" => Operation::Delete(text(&op["name"])),
        "status" => Operation::Status(text(&op["name"]), texts(&op["ips"])),
        "config" => Operation::Config(text(&op["text"])),
        "restart" => Operation::Restart,
        other => panic!("unknown operation {other}"),
    };
    Step {
        number: json["step"].as_u64().unwrap(),
        operation,
        want: state(json),
    }
}

fn manifest(op: &Value) -> Manifest {
    Manifest {
        name: text(&op["name"]),
        families: texts(&op["families"]),
        is_load_balancer: op["type"] == "LoadBalancer",
        ports: op["ports"]
            .as_array()
            .unwrap()
            .iter()
            .map(|port| {
                (
                    text(&port[0]),
                    u16::try_from(port[1].as_u64().unwrap()).unwrap(),
                )
            })
            .collect(),
        local: op["etp"] == "Local",
        load_balancer_ip: text(&op["lbip"]),
        annotations: map(&op["annotations"]),
        selector: map(&op["selector"]),
    }
}

fn state(json: &Value) -> State {
    let mut state = State::default();
    for (name, addresses) in json["services"].as_object().unwrap() {
        state.services.insert(name.clone(), texts(addresses));
    }
    for (series, value) in json["metrics"].as_object().unwrap() {
        let value = value.as_f64().unwrap();
        let (name, label) = series.split_once('{').unwrap_or((series, ""));
        let pool = label.trim_start_matches("pool=\"").trim_end_matches("\"}");
        match name {
            "metallb_allocator_addresses_total" => {
                state.pools.entry(pool.to_owned()).or_default().0 = whole(value);
            }
            "metallb_allocator_addresses_in_use_total" => {
                state.pools.entry(pool.to_owned()).or_default().1 = whole(value);
            }
            "metallb_k8s_client_config_loaded_bool" => state.loaded = value > 0.0,
            "metallb_k8s_client_config_stale_bool" => state.stale = value > 0.0,
            other => panic!("unknown metric {other}"),
        }
    }
    for event in json["events"].as_array().unwrap() {
        state.events.push(Said {
            kind: text(&event[0]),
            reason: text(&event[1]),
            service: text(&event[2]),
            message: text(&event[3]),
        });
    }
    state
}

fn text(json: &Value) -> String {
    json.as_str().unwrap_or_default().to_owned()
}

fn texts(json: &Value) -> Vec<String> {
    json.as_array()
        .map(|list| list.iter().map(text).collect())
        .unwrap_or_default()
}

fn map(json: &Value) -> BTreeMap<String, String> {
    json.as_object()
        .map(|map| {
            map.iter()
                .map(|(key, value)| (key.clone(), text(value)))
                .collect()
        })
        .unwrap_or_default()
}

/// A count that the recording wrote as a float.
fn whole(value: f64) -> i64 {
    assert!(value.fract() == 0.0 && value.abs() < 1e9);
    format!("{value:.0}").parse().unwrap()
}

/// The comparison of one history, step by step.
#[derive(Debug, Default, Clone)]
pub(crate) struct Comparison {
    history: String,
    /// By Service, what ours said last.
    last: BTreeMap<String, Vec<Said>>,
    /// What differed, a line each.
    differences: Vec<String>,
    /// The deviations that occurred, by their place in the list.
    occurred: BTreeSet<usize>,
}

impl Comparison {
    /// The comparison of this history, before its first step.
    pub(crate) fn of(history: &History) -> Self {
        Self {
            history: history.name.clone(),
            ..Self::default()
        }
    }

    /// Compares the state after a step; whether nothing differs that is not listed. `got.events` are those since the
    /// step before.
    pub(crate) fn compare(&mut self, step: &Step, got: &State) -> bool {
        let differed = self.differences.len();
        if matches!(step.operation, Operation::Restart) {
            self.last.clear();
        }
        let want = &step.want;
        let mut found = Vec::new();
        for name in want.services.keys().chain(got.services.keys()) {
            let (want, got) = (want.services.get(name), got.services.get(name));
            if want != got {
                found.push(format!("{name} has {got:?}, not {want:?}"));
            }
        }
        for name in want.pools.keys().chain(got.pools.keys()) {
            let (want, got) = (want.pools.get(name), got.pools.get(name));
            if want != got {
                found.push(format!("pool {name} is {got:?}, not {want:?}"));
            }
        }
        if want.loaded != got.loaded {
            found.push(format!("loaded is {}", got.loaded));
        }
        if want.stale != got.stale {
            found.push(format!("stale is {}", got.stale));
        }
        for event in &got.events {
            let known = want.events.iter().any(|upstream| same(upstream, event));
            if !known && !OURS.contains(&event.reason.as_str()) {
                found.push(format!("says {event:?}, which upstream does not"));
            }
        }
        for event in &want.events {
            let now = got.events.iter().any(|ours| same(event, ours));
            let before = self
                .last
                .values()
                .any(|said| said.iter().any(|ours| same(event, ours)));
            if !now && !before {
                found.push(format!("does not say {event:?}"));
            }
        }
        let both = |event: &&Said| !OURS.contains(&event.reason.as_str());
        for event in got.events.iter().filter(both) {
            self.last.remove(&event.service);
        }
        for event in got.events.iter().filter(both) {
            self.last
                .entry(event.service.clone())
                .or_default()
                .push(event.clone());
        }
        found.sort();
        found.dedup();
        for difference in found {
            let listed = DEVIATIONS.iter().position(|deviation| {
                deviation.history == self.history
                    && deviation.step == step.number
                    && deviation.what == difference
            });
            if let Some(place) = listed {
                self.occurred.insert(place);
            } else {
                self.differences.push(format!(
                    "{} step {} {:?}: {difference}",
                    self.history, step.number, step.operation
                ));
            }
        }
        self.differences.len() == differed
    }

    /// What differed and is not listed, and what is listed and did not differ.
    pub(crate) fn finish(mut self) -> Vec<String> {
        for (place, deviation) in DEVIATIONS.iter().enumerate() {
            if deviation.history == self.history && !self.occurred.contains(&place) {
                self.differences.push(format!(
                    "{} step {}: the listed deviation does not occur: {}",
                    deviation.history, deviation.step, deviation.what
                ));
            }
        }
        self.differences
    }
}

/// Whether ours says what upstream said: its words first, then perhaps advice.
fn same(upstream: &Said, ours: &Said) -> bool {
    // The name of a Go function in upstream's text.
    let words = upstream.message.replace("IPFamilyForAddresses: ", "");
    let advice = ours.message.strip_prefix(&words);
    upstream.kind == ours.kind
        && upstream.reason == ours.reason
        && ours.service.rsplit('/').next() == Some(&upstream.service)
        && advice.is_some_and(|advice| advice.is_empty() || advice.starts_with(": "))
}
