//! The controller against a real kube-apiserver and etcd, with RBAC and its service account's own token.
//!
//! Run by `tests/run`, which brings the lab's API server up.

#![expect(clippy::unwrap_used, reason = "a test: what fails here fails the test")]

#[path = "support/api.rs"]
mod api;
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

use api::Api;
use histories::{Comparison, Manifest, Operation, Said, State, Step};
use lab::{kubectl, lab as lab_command, try_run, wait_for};

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
fn clear(api: &Api) {
    for service in services(api) {
        delete(api, &service);
    }
    let nothing = json!({});
    for space in ["default", "other"] {
        let events = format!("/api/v1/namespaces/{space}/events");
        api.send("DELETE", &events, &nothing).unwrap();
    }
    let _ = api.send("DELETE", CONFIG, &nothing);
}

/// All Services but the API server's own: namespace/name.
fn services(api: &Api) -> Vec<String> {
    api.get("/api/v1/services")["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(name_of)
        .filter(|name| name != "default/kubernetes")
        .collect()
}

/// namespace/name.
fn name_of(object: &Value) -> String {
    let text = |key: &str| object["metadata"][key].as_str().unwrap_or_default();
    format!("{}/{}", text("namespace"), text("name"))
}

/// Where Services of that namespace are; `service` is namespace/name.
fn services_path(service: &str) -> String {
    let (namespace, _) = service.split_once('/').unwrap();
    format!("/api/v1/namespaces/{namespace}/services")
}

fn path(service: &str) -> String {
    let (_, name) = service.split_once('/').unwrap();
    format!("{}/{name}", services_path(service))
}

fn create(api: &Api, service: &Value) {
    api.send("POST", &services_path(&name_of(service)), service)
        .unwrap();
}

fn delete(api: &Api, service: &str) {
    api.send("DELETE", &path(service), &json!({})).unwrap();
}

const ONE_POOL: &str =
    "address-pools:\n- name: one\n  protocol: layer2\n  addresses: [10.0.0.0/24]\n";

const CONFIG: &str = "/api/v1/namespaces/metallb-system/configmaps/config";

fn configure(api: &Api, text: &str) {
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "metallb-system", "name": "config"}, "data": {"config": text}});
    if api.send("PUT", CONFIG, &object).is_err() {
        let (all, _) = CONFIG.rsplit_once('/').unwrap();
        api.send("POST", all, &object).unwrap();
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

fn operate(api: &Api, operation: &Operation) {
    match operation {
        Operation::Create(manifest) => create(api, &object(manifest)),
        Operation::Update(manifest) => {
            let path = path(&manifest.name);
            // somebody else's write may come between reading and writing
            wait_for("the update is taken", Duration::from_secs(10), || {
                let there = api.get(&path);
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
                api.send("PUT", &path, &next).ok()
            });
        }
        Operation::Delete(name) => delete(api, name),
        Operation::Status(name, addresses) => {
            let path = path(name);
            wait_for("the status is taken", Duration::from_secs(10), || {
                let mut there = api.get(&path);
                let ingress: Vec<Value> = addresses.iter().map(|ip| json!({"ip": ip})).collect();
                there["status"]["loadBalancer"] = json!({"ingress": ingress});
                api.send("PUT", &format!("{path}/status"), &there).ok()
            });
        }
        Operation::Config(text) => configure(api, text),
        Operation::Restart => unreachable!("the test restarts its controller"),
    }
}

/// What was said until now: by Event object, how often.
type Heard = BTreeMap<String, u64>;

fn events(api: &Api, heard: &mut Heard) -> Vec<Said> {
    let all = api.get("/api/v1/events");
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

fn state(api: &Api, controller: &Controller, heard: &mut Heard) -> Option<State> {
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
    for service in api.get("/api/v1/services")["items"].as_array()? {
        let key = name_of(service);
        if key == "default/kubernetes" {
            continue;
        }
        assert_eq!(
            service["metadata"]["labels"]["kept"], "yes",
            "{key}: a status write must not touch metadata"
        );
        state.services.insert(key, lab::ingress_of(service));
    }
    state.events = events(api, heard);
    Some(state)
}

/// The state of rest after a step: as recorded, and still so a moment later; or whatever is there in the end.
fn rest(
    api: &Api,
    controller: &Controller,
    heard: &mut Heard,
    step: &Step,
    comparison: &Comparison,
) -> State {
    let mut said = Vec::new();
    for attempt in 0.. {
        let Some(mut now) = state(api, controller, heard) else {
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
    let mut now = state(api, controller, heard).unwrap();
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
    let api = Api::start();
    let folder = tempfile::tempdir().unwrap();
    let mut differences = Vec::new();
    for history in histories::all() {
        clear(&api);
        configure(&api, &history.start);
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
        events(&api, &mut heard);
        let mut comparison = Comparison::of(&history);
        for step in &history.steps {
            if matches!(step.operation, Operation::Restart) {
                drop(controller);
                controller = Controller::start(folder.path(), 17600, &[]);
            } else {
                operate(&api, &step.operation);
            }
            let now = rest(&api, &controller, &mut heard, step, &comparison);
            comparison.compare(step, &now);
        }
        differences.extend(comparison.finish());
        let log = controller.log();
        assert!(!log.contains("forbidden"), "the 0.12 RBAC suffices");
        drop(controller);
    }
    clear(&api);
    assert!(differences.is_empty(), "\n{}", differences.join("\n"));
}

#[test]
#[ignore = "needs root and the lab's API server; run by tests/run"]
fn two_thousand_bad_services_do_not_keep_a_good_one_waiting() {
    manifests();
    let api = Api::start();
    clear(&api);
    configure(&api, ONE_POOL);
    let folder = tempfile::tempdir().unwrap();
    let controller = Controller::start(folder.path(), 17601, &[]);
    let bad: Vec<Value> = (0..2000)
        .map(|i| {
            json!({"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "other", "name": format!("bad{i}"), "labels": {"kept": "yes"},
                "annotations": {"metallb.universe.tf/address-pool": "nowhere", "metallb.universe.tf/loadBalancerIPs": "x,,y"}},
                "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]}})
        })
        .collect();
    let all = json!({"apiVersion": "v1", "kind": "List", "items": bad});
    let file = folder.path().join("bad.json");
    std::fs::write(&file, all.to_string()).unwrap();
    kubectl(&["create", "-f", file.to_str().unwrap()]);
    let good = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "default", "name": "good", "labels": {"kept": "yes"}},
        "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]}});
    create(&api, &good);
    wait_for(
        "the good Service has its address",
        Duration::from_secs(10),
        || (lab::ingress("default", "good") == ["10.0.0.0"]).then_some(()),
    );
    drop(controller);
    kubectl(&["delete", "service", "-n", "other", "--all", "--wait=false"]);
    delete(&api, "default/good");
}

/// Kubernetes 1.20 closes a watch of Services inside when its client cannot follow, and does not tell the client
/// (`decoratedWatcher`): nothing comes any more, not even bookmarks, until the watch's time is over.
#[test]
#[ignore = "needs root and the lab's API server; run by tests/run"]
fn a_watch_that_the_api_server_has_forgotten_is_begun_anew() {
    manifests();
    let api = Api::start();
    clear(&api);
    configure(&api, ONE_POOL);
    let service = |name: &str, note: String| {
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "default", "name": name,
            "labels": {"kept": "yes"}, "annotations": {"note": note}},
            "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]}})
    };
    let has_address = |name: &str| (!lab::ingress("default", name).is_empty()).then_some(());
    let folder = tempfile::tempdir().unwrap();
    let controller = Controller::start(folder.path(), 17602, &[]);
    create(&api, &service("first", String::new()));
    let soon = Duration::from_secs(20);
    wait_for("the first has an address", soon, || has_address("first"));
    // By then it knows that this server sends bookmarks.
    pause(65_000);
    let process = controller.child.id().to_string();
    let signal = |signal: &str| lab::run("kill", &[signal, &process]);
    signal("-STOP");
    let path = path("default/first");
    let mut there = api.get(&path);
    for turn in 0..100 {
        // More than the socket's buffers hold, all in all.
        let note = format!("{turn:05}").repeat(40_000);
        there["metadata"]["annotations"]["note"] = json!(note);
        let taken = api.send("PUT", &path, &there).unwrap();
        there = serde_json::from_str(&taken).unwrap();
    }
    signal("-CONT");
    pause(1_000);
    create(&api, &service("second", String::new()));
    let limit = Duration::from_secs(120);
    wait_for("the second has an address", limit, || has_address("second"));
    let log = controller.log();
    assert!(
        log.contains("watchLost"),
        "the server kept the watch: nothing is shown\n{log}"
    );
    drop(controller);
    clear(&api);
}
