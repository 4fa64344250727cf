//! The controller against a real kube-apiserver and etcd, with RBAC and its service account's own token.
//!
//! Run by `tests/run`, which brings the lab's API server up.

#![expect(clippy::unwrap_used, reason = "a test: what fails here fails the test")]

#[path = "support/histories.rs"]
mod histories;
#[path = "support/lab.rs"]
#[expect(dead_code, reason = "shared with other tests; not each uses all of it")]
mod lab;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use histories::{Comparison, Manifest, Operation, Said, State, Step};
use lab::{get, kubectl, lab as lab_command, try_run, wait_for};

/// A controller as its pod would run it: its own account, its own flags.
struct Controller {
    child: Child,
    port: u16,
    log: PathBuf,
}

impl Controller {
    fn start(folder: &std::path::Path, port: u16, extra: &[&str]) -> Self {
        let token = lab_command("token", &["metallb-system", "controller"]);
        let kubeconfig = folder.join("controller.kubeconfig");
        let config = json!({"apiVersion": "v1", "kind": "Config", "current-context": "lab",
            "clusters": [{"name": "lab", "cluster": {"server": "https://127.0.0.1:6443", "insecure-skip-tls-verify": true}}],
            "users": [{"name": "controller", "user": {"token": token.trim()}}],
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "controller"}}]});
        std::fs::write(&kubeconfig, config.to_string()).unwrap();
        let log = folder.join("controller.log");
        let out = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_ferrolb"))
            .arg("controller")
            .args(["--kubeconfig".as_ref(), kubeconfig.as_os_str()])
            .args([
                "--namespace=metallb-system",
                "--log-level=debug",
                &format!("--port={port}"),
            ])
            .args(extra)
            .env("METALLB_ML_SECRET_NAME", "memberlist")
            .env("METALLB_DEPLOYMENT", "controller")
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, port, log }
    }

    fn metrics(&self) -> Option<String> {
        try_run(
            "curl",
            &[
                "-s",
                "-f",
                "-m",
                "2",
                &format!("http://127.0.0.1:{}/metrics", self.port),
            ],
        )
        .ok()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn manifests() {
    for file in ["manifests/namespace.yaml", "manifests/metallb.yaml"] {
        kubectl(&["apply", "-f", lab::root().join(file).to_str().unwrap()]);
    }
    let _ = try_run("kubectl", &["create", "namespace", "other"]);
}

/// No Services, whoever left them (they would hold addresses), no Events, no ConfigMap.
fn clear() {
    for (space, name) in services() {
        kubectl(&["delete", "service", "-n", &space, &name]);
    }
    for space in ["default", "other"] {
        let _ = try_run("kubectl", &["delete", "events", "-n", space, "--all"]);
    }
    let _ = try_run(
        "kubectl",
        &["delete", "configmap", "-n", "metallb-system", "config"],
    );
}

/// All Services but the API server's own: namespace and name.
fn services() -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    get(&["services", "--all-namespaces"])["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| {
            (
                text(&s["metadata"]["namespace"]),
                text(&s["metadata"]["name"]),
            )
        })
        .filter(|(_, name)| name != "kubernetes")
        .collect()
}

fn send(verb: &[&str], object: &Value) -> Result<String, String> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), object.to_string()).unwrap();
    let mut args = verb.to_vec();
    args.extend(["-f", file.path().to_str().unwrap()]);
    try_run("kubectl", &args)
}

fn configure(text: &str) {
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "metallb-system", "name": "config"}, "data": {"config": text}});
    if send(&["replace"], &object).is_err() {
        send(&["create"], &object).unwrap();
    }
}

/// A recorded manifest as the API server takes it.
fn object(manifest: &Manifest) -> Value {
    let (namespace, name) = manifest.name.split_once('/').unwrap();
    let ports: Vec<Value> = manifest
        .ports
        .iter()
        .enumerate()
        .map(|(i, (protocol, port))| json!({"name": format!("p{i}"), "protocol": protocol, "port": port}))
        .collect();
    let mut spec = json!({"ports": ports, "selector": manifest.selector,
        "type": if manifest.is_load_balancer { "LoadBalancer" } else { "ClusterIP" }});
    if manifest.is_load_balancer {
        spec["externalTrafficPolicy"] = json!(if manifest.local { "Local" } else { "Cluster" });
    }
    if !manifest.load_balancer_ip.is_empty() {
        spec["loadBalancerIP"] = json!(manifest.load_balancer_ip);
    }
    if !manifest.families.is_empty() {
        spec["ipFamilies"] = json!(manifest.families);
        spec["ipFamilyPolicy"] = json!(if manifest.families.len() == 2 {
            "RequireDualStack"
        } else {
            "SingleStack"
        });
    }
    json!({"apiVersion": "v1", "kind": "Service",
        "metadata": {"namespace": namespace, "name": name, "annotations": manifest.annotations, "labels": {"kept": "yes"}}, "spec": spec})
}

fn status_path(name: &str) -> String {
    let (namespace, name) = name.split_once('/').unwrap();
    format!("/api/v1/namespaces/{namespace}/services/{name}/status")
}

fn operate(operation: &Operation) {
    match operation {
        Operation::Create(manifest) => {
            send(&["create"], &object(manifest)).unwrap();
        }
        Operation::Update(manifest) => {
            let (namespace, name) = manifest.name.split_once('/').unwrap();
            // somebody else's write may come between reading and writing
            wait_for("the update is taken", Duration::from_secs(10), || {
                let there = get(&["service", "-n", namespace, name]);
                let mut next = object(manifest);
                for kept in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
                    next["spec"][kept] = there["spec"][kept].clone();
                }
                // immutable for as long as the Service needs one
                let port = there["spec"]["healthCheckNodePort"].clone();
                if !port.is_null() && manifest.local && manifest.is_load_balancer {
                    next["spec"]["healthCheckNodePort"] = port;
                }
                next["metadata"]["resourceVersion"] = there["metadata"]["resourceVersion"].clone();
                send(&["replace"], &next).ok()
            });
        }
        Operation::Delete(name) => {
            let (namespace, name) = name.split_once('/').unwrap();
            kubectl(&["delete", "service", "-n", namespace, name]);
        }
        Operation::Status(name, addresses) => {
            let (namespace, short) = name.split_once('/').unwrap();
            wait_for("the status is taken", Duration::from_secs(10), || {
                let mut there = get(&["service", "-n", namespace, short]);
                let ingress: Vec<Value> = addresses.iter().map(|ip| json!({"ip": ip})).collect();
                there["status"]["loadBalancer"] = json!({"ingress": ingress});
                send(&["replace", "--raw", &status_path(name)], &there).ok()
            });
        }
        Operation::Config(text) => configure(text),
        Operation::Restart => unreachable!("the test restarts its controller"),
    }
}

/// What was said until now: by Event object, how often.
type Heard = BTreeMap<String, u64>;

fn events(heard: &mut Heard) -> Vec<Said> {
    let all: Value = serde_json::from_str(&kubectl(&["get", "--raw", "/api/v1/events"])).unwrap();
    let mut said = Vec::new();
    for event in all["items"].as_array().unwrap() {
        if event["involvedObject"]["kind"] != "Service" {
            continue;
        }
        let uid = event["metadata"]["uid"].as_str().unwrap().to_owned();
        let count = event["count"].as_u64().unwrap_or(1);
        let before = heard.insert(uid, count).unwrap_or(0);
        let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
        for _ in before..count {
            said.push(Said {
                kind: text(&event["type"]),
                reason: text(&event["reason"]),
                service: format!(
                    "{}/{}",
                    text(&event["involvedObject"]["namespace"]),
                    text(&event["involvedObject"]["name"])
                ),
                message: text(&event["message"]),
            });
        }
    }
    said
}

fn state(controller: &Controller, heard: &mut Heard) -> Option<State> {
    let mut state = State::default();
    let metrics = controller.metrics()?;
    for line in metrics.lines().filter(|l| !l.starts_with('#')) {
        let (series, value) = line.rsplit_once(' ')?;
        let value: f64 = value.parse().ok()?;
        let pool = || series.split('"').nth(1).unwrap_or_default().to_owned();
        #[expect(clippy::cast_possible_truncation, reason = "a count")]
        let whole = value as i64;
        if series.starts_with("metallb_allocator_addresses_total{") {
            state.pools.entry(pool()).or_default().0 = whole;
        } else if series.starts_with("metallb_allocator_addresses_in_use_total{") {
            state.pools.entry(pool()).or_default().1 = whole;
        } else if series == "metallb_k8s_client_config_loaded_bool" {
            state.loaded = value > 0.0;
        } else if series == "metallb_k8s_client_config_stale_bool" {
            state.stale = value > 0.0;
        }
    }
    let all: Value = serde_json::from_str(&kubectl(&["get", "--raw", "/api/v1/services"])).ok()?;
    for service in all["items"].as_array()? {
        let key = format!(
            "{}/{}",
            service["metadata"]["namespace"].as_str()?,
            service["metadata"]["name"].as_str()?
        );
        if key == "default/kubernetes" {
            continue;
        }
        assert_eq!(
            service["metadata"]["labels"]["kept"], "yes",
            "{key}: a status write must not touch metadata"
        );
        state.services.insert(key, lab::ingress_of(service));
    }
    state.events = events(heard);
    Some(state)
}

/// The state of rest after a step: as recorded, and still so a moment later; or whatever is there in the end.
fn rest(controller: &Controller, heard: &mut Heard, step: &Step, comparison: &Comparison) -> State {
    let mut said = Vec::new();
    for attempt in 0.. {
        let Some(mut now) = state(controller, heard) else {
            assert!(attempt < 100, "no metrics: {}", controller.log());
            pause(100);
            continue;
        };
        said.append(&mut now.events);
        now.events = said.clone();
        if comparison.clone().compare(step, &now) || attempt > 40 {
            break;
        }
        pause(50);
    }
    pause(250);
    let mut now = state(controller, heard).unwrap();
    said.append(&mut now.events);
    now.events = said;
    now
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test on real servers waits in real time"
)]
fn pause(milliseconds: u64) {
    std::thread::sleep(Duration::from_millis(milliseconds));
}

#[test]
#[ignore = "needs root and the lab's API server; run by tests/run"]
fn the_recorded_histories_end_each_step_with_the_same_addresses_metrics_and_events() {
    manifests();
    let folder = tempfile::tempdir().unwrap();
    let mut differences = Vec::new();
    for history in histories::all() {
        clear();
        configure(&history.start);
        let mut controller = Controller::start(folder.path(), 17600, &[]);
        wait_for(
            "the configuration is loaded",
            Duration::from_secs(20),
            || {
                controller
                    .metrics()?
                    .contains("metallb_k8s_client_config_loaded_bool 1")
                    .then_some(())
            },
        );
        let mut heard = Heard::new();
        events(&mut heard);
        let mut comparison = Comparison::of(&history);
        for step in &history.steps {
            if matches!(step.operation, Operation::Restart) {
                drop(controller);
                controller = Controller::start(folder.path(), 17600, &[]);
            } else {
                operate(&step.operation);
            }
            let now = rest(&controller, &mut heard, step, &comparison);
            comparison.compare(step, &now);
        }
        differences.extend(comparison.finish());
        let log = controller.log();
        assert!(!log.contains("forbidden"), "the 0.12 RBAC suffices");
        drop(controller);
    }
    clear();
    assert!(differences.is_empty(), "\n{}", differences.join("\n"));
}

#[test]
#[ignore = "needs root and the lab's API server; run by tests/run"]
fn two_thousand_bad_services_do_not_keep_a_good_one_waiting() {
    manifests();
    clear();
    configure("address-pools:\n- name: one\n  protocol: layer2\n  addresses: [10.0.0.0/24]\n");
    let folder = tempfile::tempdir().unwrap();
    let controller = Controller::start(folder.path(), 17601, &[]);
    let bad: Vec<Value> = (0..2000)
        .map(|i| {
            json!({"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "other", "name": format!("bad{i}"), "labels": {"kept": "yes"},
                "annotations": {"metallb.universe.tf/address-pool": "nowhere", "metallb.universe.tf/loadBalancerIPs": "x,,y"}},
                "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]}})
        })
        .collect();
    send(
        &["create"],
        &json!({"apiVersion": "v1", "kind": "List", "items": bad}),
    )
    .unwrap();
    let good = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "default", "name": "good", "labels": {"kept": "yes"}},
        "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]}});
    send(&["create"], &good).unwrap();
    wait_for(
        "the good Service has its address",
        Duration::from_secs(10),
        || (lab::ingress("default", "good") == ["10.0.0.0"]).then_some(()),
    );
    drop(controller);
    kubectl(&["delete", "service", "-n", "other", "--all", "--wait=false"]);
    let _ = try_run("kubectl", &["delete", "service", "-n", "default", "good"]);
}
