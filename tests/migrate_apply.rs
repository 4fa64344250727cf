//! `ferrolb migrate apply` and `rollback`, interrupted at every step: the program as a process, the API server a map of
//! objects in this one.

#![cfg(feature = "io")]
#![expect(
    clippy::disallowed_types,
    clippy::unwrap_used,
    reason = "test: an API server of its own"
)]

#[path = "support/store.rs"]
mod store;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use ferrolb_compat::crd::schema::Schemas;
use ferrolb_compat::yaml::emit;
use serde_json::{Value, json};

use store::{Fault, Server};

const CONFIG: &str = "
peers:
- {peer-address: 10.0.0.1, peer-asn: 64500, my-asn: 64501, password: hunter2}
address-pools:
- {name: default, protocol: layer2, addresses: [192.0.2.0/28]}
- {name: My_Pool, protocol: bgp, addresses: [198.51.100.0/24]}
bgp-communities: {mark: '64500:1'}
";

/// What applying writes: seven objects and an annotation.
const STEPS: usize = 8;

const PASSWORDS: [&str; 2] = ["hunter2", "aHVudGVyMg"];

struct Bench {
    server: Server,
    folder: tempfile::TempDir,
}

struct Ended {
    code: i32,
    out: String,
    err: String,
}

impl Bench {
    /// A cluster of 0.12 with the definitions of a release, two Services, and the ConfigMap.
    fn new(target: &str) -> Self {
        let bench = Self {
            server: Server::start(),
            folder: tempfile::tempdir().unwrap(),
        };
        for definition in Schemas::of(target.parse().unwrap()).manifests() {
            let mut text = String::new();
            emit::write(&mut text, &definition);
            let mut object: Value = serde_yaml::from_str(&text).unwrap();
            object["status"] = json!({"conditions": [{"type": "Established", "status": "True"}]});
            let name = object["metadata"]["name"].as_str().unwrap().to_owned();
            let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
            bench.server.put(&format!("{path}/{name}"), object);
        }
        let put = |path: &str, object: Value| bench.server.put(path, object);
        put(
            "/api/v1/namespaces/kube-system",
            json!({"metadata": {"name": "kube-system"}}),
        );
        put(
            "/api/v1/namespaces/metallb-system/configmaps/config",
            json!({"metadata": {"name": "config", "namespace": "metallb-system"}, "data": {"config": CONFIG}}),
        );
        for (name, annotations, ip) in [
            ("web", json!({}), "192.0.2.1"),
            (
                "api",
                json!({"metallb.universe.tf/address-pool": "My_Pool"}),
                "198.51.100.9",
            ),
        ] {
            put(
                &format!("/api/v1/namespaces/shop/services/{name}"),
                json!({"metadata": {"name": name, "namespace": "shop", "annotations": annotations},
                    "spec": {"type": "LoadBalancer"}, "status": {"loadBalancer": {"ingress": [{"ip": ip}]}}}),
            );
        }
        bench.controller("quay.io/metallb/controller:v0.12.1", 1);
        bench
    }

    fn controller(&self, image: &str, replicas: u32) {
        self.server.put(
            "/apis/apps/v1/namespaces/metallb-system/deployments/controller",
            json!({"metadata": {"name": "controller"}, "status": {"replicas": replicas},
                "spec": {"replicas": replicas, "template": {
                    "metadata": {"labels": {"app": "metallb", "component": "controller"}},
                    "spec": {"containers": [{"name": "controller", "image": image, "args": ["--config=config"]}]}}}}),
        );
    }

    fn run(&self, words: &[&str]) -> Ended {
        let output = Command::new(env!("CARGO_BIN_EXE_ferrolb"))
            .arg("migrate")
            .args(words)
            .env_clear()
            .env("KUBECONFIG", self.server.kubeconfig(self.folder.path()))
            .current_dir(self.folder.path())
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let ended = Ended {
            code: output.status.code().unwrap(),
            out: text(&output.stdout),
            err: text(&output.stderr),
        };
        for password in PASSWORDS {
            assert!(
                !ended.out.contains(password) && !ended.err.contains(password),
                "{words:?}"
            );
        }
        ended
    }

    /// Runs a command that must end so.
    fn ends(&self, code: i32, words: &[&str]) -> Ended {
        let ended = self.run(words);
        assert_eq!(ended.code, code, "{words:?}\n{}\n{}", ended.out, ended.err);
        ended
    }

    fn set_fault(&self, fault: Option<(usize, Fault)>) {
        let mut state = self.server.state.lock().unwrap();
        state.fault = fault;
        state.writes.clear();
        state.is_away = false;
    }

    /// All objects without what the server counts.
    fn objects(&self) -> BTreeMap<String, Value> {
        let mut objects = self.server.state.lock().unwrap().objects.clone();
        for object in objects.values_mut() {
            let metadata = object["metadata"].as_object_mut().unwrap();
            metadata.remove("uid");
        }
        objects
    }

    fn writes(&self) -> Vec<String> {
        self.server.state.lock().unwrap().writes.clone()
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join(FILE)
    }
}

const APPLY: [&str; 2] = ["apply", "--yes"];
const FILE: &str = "ferrolb-rollback-metallb-system.jsonl";
const BACK: [&str; 3] = ["rollback", FILE, "--yes"];

#[test]
fn what_refers_comes_after_what_it_refers_to_and_the_file_before_everything() {
    let bench = Bench::new("0.16.1");
    let before = bench.objects();
    let ended = bench.ends(0, &APPLY);
    assert!(
        ended
            .out
            .contains("EQUIVALENT target=0.16.1 mode=native renames=1"),
        "{}",
        ended.out
    );
    let group = "PATCH /apis/metallb.io/v1beta1/namespaces/metallb-system";
    assert_eq!(
        bench.writes(),
        [
            "PATCH /api/v1/namespaces/metallb-system/secrets/peer1-password".to_owned(),
            format!("{group}/communities/communities"),
            format!("{group}/ipaddresspools/default"),
            format!("{group}/ipaddresspools/my-pool"),
            format!("{group}/bgpadvertisements/bgpadvertisement1"),
            format!("{group}/l2advertisements/l2advertisement1"),
            "PATCH /apis/metallb.io/v1beta2/namespaces/metallb-system/bgppeers/peer1".to_owned(),
            "PATCH /api/v1/namespaces/shop/services/api".to_owned(),
        ]
    );
    let mode = std::fs::metadata(bench.file())
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let file = std::fs::read_to_string(bench.file()).unwrap();
    assert!(file.contains("hunter2"), "the ConfigMap is kept as it was");

    // Once more changes nothing.
    bench.set_fault(None);
    let ended = bench.ends(0, &APPLY);
    assert!(
        ended.out.starts_with("nothing to change: 7 objects"),
        "{}",
        ended.out
    );
    assert_eq!(bench.writes(), Vec::<String>::new());
    bench.ends(0, &["diff"]);
    bench.ends(0, &["verify", "--crs", "cluster"]);
    bench.ends(0, &["services", "--kept", FILE]);

    bench.ends(0, &BACK);
    assert_eq!(bench.objects(), before);
    bench.set_fault(None);
    let ended = bench.ends(0, &BACK);
    assert_eq!(ended.out, "nothing to undo\n");
    assert_eq!(bench.writes(), Vec::<String>::new());
}

#[test]
fn interrupted_at_any_step_it_goes_on_and_can_be_undone() {
    let untouched = Bench::new("0.16.1").objects();
    let whole = Bench::new("0.16.1");
    whole.ends(0, &APPLY);
    let whole = whole.objects();
    for fault in [Fault::AwayBefore, Fault::AwayAfter] {
        for step in 0..STEPS {
            let title = format!("{fault:?} at step {step}");
            let interrupted = || {
                let bench = Bench::new("0.16.1");
                bench.set_fault(Some((step, fault)));
                let ended = bench.ends(7, &APPLY);
                assert!(
                    ended
                        .err
                        .contains(&format!("ferrolb migrate rollback {FILE}")),
                    "{}",
                    ended.err
                );
                bench.set_fault(None);
                bench
            };
            let bench = interrupted();
            bench.ends(0, &APPLY);
            assert_eq!(bench.objects(), whole, "{title}, gone on");
            bench.ends(0, &BACK);
            assert_eq!(bench.objects(), untouched, "{title}, gone on and undone");

            let bench = interrupted();
            let done = bench.objects();
            if fault == Fault::AwayAfter || step > 0 {
                assert_ne!(done, untouched, "{title}");
                assert_eq!(bench.ends(0, &BACK).code, 0);
            } else {
                bench.ends(0, &BACK);
            }
            assert_eq!(bench.objects(), untouched, "{title}, undone");
        }
    }
}

#[test]
fn an_undoing_that_was_interrupted_goes_on() {
    let untouched = Bench::new("0.16.1").objects();
    for fault in [Fault::AwayBefore, Fault::AwayAfter] {
        for step in 0..STEPS {
            let bench = Bench::new("0.16.1");
            bench.ends(0, &APPLY);
            bench.set_fault(Some((step, fault)));
            bench.ends(7, &BACK);
            bench.set_fault(None);
            bench.ends(0, &BACK);
            assert_eq!(bench.objects(), untouched, "{fault:?} at step {step}");
        }
    }
}

#[test]
fn what_the_server_refuses_is_told_and_all_before_it_is_undone() {
    let untouched = Bench::new("0.16.1").objects();
    for step in 0..STEPS {
        let bench = Bench::new("0.16.1");
        bench.set_fault(Some((step, Fault::Refuses)));
        let ended = bench.ends(7, &APPLY);
        assert!(
            ended.err.contains("denied the request: no (HTTP 400)"),
            "{}",
            ended.err
        );
        assert!(
            ended
                .err
                .contains(&format!("{step} changes were made, and are undone")),
            "{}",
            ended.err
        );
        assert_eq!(bench.objects(), untouched, "step {step}");
        bench.set_fault(None);
        assert_eq!(bench.ends(0, &BACK).out, "nothing to undo\n");
        bench.ends(0, &APPLY);
    }
}

#[test]
fn a_line_that_was_cut_off_is_in_nobody_s_way() {
    let bench = Bench::new("0.16.1");
    let before = bench.objects();
    let cut = |bench: &Bench| {
        let text = std::fs::read_to_string(bench.file()).unwrap();
        let end = text.rfind("{\"applied\"").unwrap() + 9;
        std::fs::write(bench.file(), &text[..end]).unwrap();
    };
    bench.ends(0, &APPLY);
    cut(&bench);
    bench.ends(0, &BACK);
    assert_eq!(bench.objects(), before);
    bench.ends(0, &APPLY);
    cut(&bench);
    // There is something to do again, and it is recorded after what is whole.
    let path = "/apis/metallb.io/v1beta1/namespaces/metallb-system/communities/communities";
    bench.server.state.lock().unwrap().objects.remove(path);
    bench.ends(0, &APPLY);
    bench.ends(0, &BACK);
    assert_eq!(bench.objects(), before);
}

#[test]
fn a_dry_run_changes_nothing_and_writes_no_file() {
    let bench = Bench::new("0.16.1");
    let before = bench.objects();
    for (words, told) in [
        (
            ["apply", "--dry-run", "client"],
            "dry run: nothing was changed",
        ),
        (
            ["apply", "--dry-run", "server"],
            "the server would take all of it",
        ),
    ] {
        let ended = bench.ends(0, &words);
        assert!(ended.out.contains(told), "{}", ended.out);
        assert!(ended.out.contains("create BGPPeer peer1"), "{}", ended.out);
    }
    bench.ends(5, &["diff"]);
    bench.ends(0, &["plan"]);
    assert_eq!(bench.writes(), Vec::<String>::new());
    assert_eq!(bench.objects(), before);
    assert!(!bench.file().exists());
    // Nobody is there to be asked.
    bench.ends(2, &["apply"]);
    assert_eq!(bench.objects(), before);
    bench.ends(0, &APPLY);
    let after = bench.objects();
    let ended = bench.ends(0, &["rollback", FILE, "--dry-run"]);
    assert!(ended.out.contains("delete BGPPeer peer1"), "{}", ended.out);
    bench.ends(2, &["rollback", FILE]);
    assert_eq!(bench.objects(), after);
}

#[test]
fn every_right_that_is_missing_is_named_before_anything_is_done() {
    let bench = Bench::new("0.16.1");
    let before = bench.objects();
    bench.server.state.lock().unwrap().denied =
        vec!["patch bgppeers", "create secrets", "patch services"];
    let ended = bench.ends(6, &APPLY);
    for right in [
        "create secrets in namespace metallb-system",
        "patch bgppeers.metallb.io in namespace metallb-system",
        "patch services in namespace shop",
    ] {
        assert!(ended.err.contains(right), "{}", ended.err);
    }
    assert_eq!(bench.objects(), before);
    assert!(!bench.file().exists());
    bench.server.state.lock().unwrap().denied.clear();
    bench.ends(0, &APPLY);
    bench.server.state.lock().unwrap().denied = vec!["delete ipaddresspools"];
    let after = bench.objects();
    let ended = bench.ends(6, &BACK);
    assert!(
        ended
            .err
            .contains("delete ipaddresspools.metallb.io in namespace metallb-system"),
        "{}",
        ended.err
    );
    assert_eq!(bench.objects(), after);
}

#[test]
fn the_new_controller_is_in_the_way_of_applying_and_of_undoing() {
    let bench = Bench::new("0.16.1");
    bench.controller("quay.io/metallb/controller:v0.16.1", 1);
    let ended = bench.ends(6, &APPLY);
    assert!(
        ended.err.contains("MIG050") && ended.err.contains("kubectl scale"),
        "{}",
        ended.err
    );
    bench.controller("quay.io/metallb/controller:v0.16.1", 0);
    bench.ends(0, &APPLY);
    bench.controller("quay.io/metallb/controller:v0.16.1", 1);
    bench.ends(0, &APPLY);
    let after = bench.objects();
    let ended = bench.ends(6, &BACK);
    assert!(ended.err.contains("MIG050"), "{}", ended.err);
    assert_eq!(bench.objects(), after);
    bench.controller("quay.io/metallb/controller:v0.12.1", 1);
    bench.ends(0, &BACK);
}

#[test]
fn a_target_that_reads_one_annotation_only_needs_the_controller_stopped() {
    let bench = Bench::new("0.13.12");
    let apply = ["apply", "--yes", "--target-version", "0.13.12"];
    let ended = bench.ends(6, &apply);
    assert!(ended.err.contains("MIG014"), "{}", ended.err);
    bench.controller("quay.io/metallb/controller:v0.12.1", 0);
    bench.ends(0, &apply);
    let api = "/api/v1/namespaces/shop/services/api";
    let pool = |bench: &Bench| {
        bench.objects()[api]["metadata"]["annotations"]["metallb.universe.tf/address-pool"].clone()
    };
    assert_eq!(pool(&bench), "my-pool");
    // The resources are there, the ConfigMap still has the old name: nothing more to do.
    bench.ends(0, &BACK);
    assert_eq!(pool(&bench), "My_Pool");
}

#[test]
fn a_configuration_that_changes_is_applied_again_and_undone_to_what_was_there() {
    let bench = Bench::new("0.16.1");
    bench.ends(0, &APPLY);
    let first = bench.objects();
    let path = "/api/v1/namespaces/metallb-system/configmaps/config";
    let changed = CONFIG.replace("192.0.2.0/28", "192.0.2.0/27");
    let config = |text: &str| json!({"metadata": {"name": "config", "namespace": "metallb-system"}, "data": {"config": text}});
    bench.server.put(path, config(&changed));
    let ended = bench.ends(5, &["diff"]);
    assert!(
        ended
            .out
            .contains(r#"spec.addresses: cluster ["192.0.2.0/28"] / converted ["192.0.2.0/27"]"#),
        "{}",
        ended.out
    );
    bench.ends(5, &["verify", "--crs", "cluster"]);
    let apply = ["apply", "--yes", "--rollback-file", "second.jsonl"];
    let ended = bench.ends(0, &apply);
    assert!(
        ended.out.starts_with("update IPAddressPool default\n"),
        "{}",
        ended.out
    );
    bench.ends(0, &["verify", "--crs", "cluster"]);
    bench.ends(0, &["rollback", "second.jsonl", "--yes"]);
    bench.server.put(path, config(CONFIG));
    assert_eq!(bench.objects(), first);
}

#[test]
fn somebody_else_s_object_stays_and_nothing_is_done() {
    let bench = Bench::new("0.16.1");
    let path = "/apis/metallb.io/v1beta1/namespaces/metallb-system/ipaddresspools";
    let pool = |addresses: Value| json!({"metadata": {"name": "x", "managedFields": [{"manager": "kubectl"}]}, "spec": {"addresses": addresses}});
    bench.server.put(
        &format!("{path}/theirs"),
        pool(json!(["192.0.2.8-192.0.2.40"])),
    );
    let before = bench.objects();
    let ended = bench.ends(4, &APPLY);
    assert!(
        ended
            .err
            .contains(r#"IPAddressPool x, which is there already, overlaps the pool "default""#),
        "{}",
        ended.err
    );
    assert_eq!(bench.objects(), before);
    // It may be allowed; that it is not what 0.12 does is told all the same.
    let ended = bench.ends(5, &["apply", "--yes", "--allow", "MIG040"]);
    assert!(
        ended
            .out
            .contains("pool x: 0.12: absent / resources: there"),
        "{}",
        ended.out
    );
    // Made again by somebody else meanwhile: it is not ours any more.
    bench.server.put(&format!("{path}/my-pool"), json!({"metadata": {"name": "my-pool", "managedFields": [{"manager": "kubectl"}]}, "spec": {"addresses": ["198.51.100.0/24"]}}));
    let ended = bench.ends(0, &BACK);
    assert!(
        ended
            .out
            .contains("leave IPAddressPool my-pool: was made anew by somebody else"),
        "{}",
        ended.out
    );
    assert!(bench.objects().contains_key(&format!("{path}/my-pool")));
}

#[test]
fn bad_input_ends_as_the_contract_says() {
    let bench = Bench::new("0.16.1");
    std::fs::write(
        bench.folder.path().join("bad.yaml"),
        "address-pools: [{name: a, protocol: l2, addresses: [192.0.2.0/28]}]",
    )
    .unwrap();
    std::fs::write(
        bench.folder.path().join("port.yaml"),
        "peers: [{peer-address: 10.0.0.1, peer-asn: 1, my-asn: 2, peer-port: 20179}]",
    )
    .unwrap();
    let before = bench.objects();
    for (code, words) in [
        (1, &["apply", "bad.yaml", "--yes"][..]),
        (1, &["plan", "bad.yaml"]),
        (2, &["apply", "--dry-run", "perhaps"]),
        (2, &["apply", "--password", "redact", "--yes"]),
        (2, &["plan", "--target-version", "0.12.1"]),
        (3, &["plan", "--fail-on", "warning"]),
        (3, &["apply", "--yes", "--fail-on", "info"]),
        (4, &["apply", "port.yaml", "--yes"]),
        (6, &["apply", "none.yaml", "--yes"]),
        (6, &["apply", "--config-name", "none", "--yes"]),
        (6, &["plan", "--context", "none"]),
        (6, &["plan", "--kubeconfig", "none"]),
        (6, &["rollback", "none.jsonl", "--yes"]),
        (6, &["rollback", "bad.yaml", "--yes"]),
    ] {
        let ended = bench.ends(code, words);
        assert!(!ended.err.is_empty(), "{words:?}");
    }
    assert_eq!(bench.objects(), before);
    assert!(!bench.file().exists());
    bench.server.state.lock().unwrap().is_away = true;
    let ended = bench.ends(6, &APPLY);
    assert!(
        ended
            .err
            .contains("cannot talk to the API server at http://127.0.0.1"),
        "{}",
        ended.err
    );
}

#[test]
fn services_are_listed_for_a_file_without_a_cluster() {
    let bench = Bench::new("0.16.1");
    bench.server.state.lock().unwrap().is_away = true;
    std::fs::write(bench.folder.path().join("config.yaml"), CONFIG).unwrap();
    let services = "apiVersion: v1\nkind: List\nitems:\n- metadata: {name: api, namespace: shop, annotations: {metallb.universe.tf/address-pool: My_Pool}}\n  spec: {type: LoadBalancer}\n  status: {loadBalancer: {ingress: [{ip: 198.51.100.9}]}}\n";
    std::fs::write(bench.folder.path().join("services.yaml"), services).unwrap();
    let words = ["services", "config.yaml", "--services", "services.yaml"];
    let ended = bench.ends(0, &words);
    assert!(ended.out.starts_with("shop/api (198.51.100.9): warning MIG014: asks for pool \"My_Pool\", which becomes my-pool"), "{}", ended.out);
    assert!(
        ended
            .out
            .contains("kubectl annotate service -n shop api metallb.io/address-pool=my-pool"),
        "{}",
        ended.out
    );
    let ended = bench.ends(
        3,
        &[&words[..], &["--fail-on", "warning", "--report", "json"]].concat(),
    );
    let report: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(report["services"][0]["code"], "MIG014");
}

#[test]
fn the_plan_is_for_programs_too() {
    let bench = Bench::new("0.16.1");
    let plan = || {
        serde_json::from_str::<Value>(&bench.ends(0, &["plan", "--report", "json"]).out).unwrap()
    };
    let states = |plan: &Value| -> Vec<String> {
        let steps = plan["steps"].as_array().unwrap();
        steps
            .iter()
            .map(|step| step["state"].as_str().unwrap().to_owned())
            .collect()
    };
    let before = plan();
    assert_eq!(
        states(&before)[2..7],
        ["done", "to do", "to do", "to do", "to do"]
    );
    assert_eq!(before["endangered"].as_array().unwrap().len(), 2);
    let report = |words: &[&str]| -> Value {
        let ended = bench.ends(0, &[words, &["--report", "json"]].concat());
        serde_json::from_str(&ended.out).unwrap()
    };
    assert_eq!(
        report(&["apply", "--dry-run", "server"])["result"],
        "dry-run"
    );
    let applied = report(&APPLY);
    assert_eq!(applied["result"], "applied");
    assert_eq!(applied["objects"].as_array().unwrap().len(), 7);
    assert_eq!(applied["annotations"][0]["service"], "shop/api");
    assert_eq!(applied["rollbackFile"], FILE);
    assert_eq!(report(&APPLY)["result"], "unchanged");
    assert_eq!(
        states(&plan())[2..7],
        ["done", "done", "done", "done", "to do"]
    );
    for words in [
        &["plan"][..],
        &["services"],
        &["diff"],
        &["services", "--kept", FILE],
    ] {
        let told = report(words);
        assert_eq!(told["command"], words[0]);
        assert!(told["tool"].as_str().unwrap().starts_with("ferrolb "));
    }
}

#[test]
fn without_a_file_the_clusters_configuration_is_converted() {
    let bench = Bench::new("0.16.1");
    let file = bench.folder.path().join("config.yaml");
    let map = json!({"kind": "ConfigMap", "metadata": {"name": "config", "namespace": "metallb-system"}, "data": {"config": CONFIG}});
    std::fs::write(&file, map.to_string()).unwrap();
    // Who speaks BGP in the cluster is not known.
    let of_file = bench.ends(
        0,
        &[
            "convert",
            "config.yaml",
            "--password",
            "redact",
            "--bgp-mode",
            "native",
        ],
    );
    let of_cluster = bench.ends(0, &["convert", "--password", "redact"]);
    assert_eq!(of_cluster.out, of_file.out);
    assert!(
        of_cluster
            .err
            .contains("configmap metallb-system/config: 7 resources"),
        "{}",
        of_cluster.err
    );
    // The cluster's Services are looked at.
    let checked = bench.ends(0, &["check", "--report", "json"]);
    let report: Value = serde_json::from_str(&checked.out).unwrap();
    assert_eq!(report["renames"][0]["services"], json!(["shop/api"]));
    assert_eq!(report["input"]["namespace"], "metallb-system");
    assert_eq!(report["objects"].as_array().unwrap().len(), 7);
    let lines: Vec<_> = report["objects"]
        .as_array()
        .unwrap()
        .iter()
        .map(|object| &object["sourceLine"])
        .collect();
    assert!(
        lines.iter().all(|line| line.as_u64() > Some(1)),
        "{lines:?}"
    );
    let other = bench.ends(6, &["convert", "--config-name", "other"]);
    assert!(
        other
            .err
            .contains("there is no configmap metallb-system/other"),
        "{}",
        other.err
    );
    // Its settings count, too.
    let path = "/api/v1/namespaces/metallb-system/configmaps/config";
    let mut map = map;
    map["data"]["ferrolb"] = json!("bgp: {graceful-restart: 2m}\nlayer2: {interfaces: [eth0]}\n");
    bench.server.put(path, map);
    let ended = bench.ends(0, &["convert", "--password", "redact", "--bgp-mode", "frr"]);
    assert!(
        ended.out.contains("enableGracefulRestart: true"),
        "{}",
        ended.out
    );
    assert!(
        ended
            .err
            .contains("configmap metallb-system/config: warning MIG047: layer2.interfaces"),
        "{}",
        ended.err
    );
    let applied = bench.ends(0, &["apply", "--yes", "--bgp-mode", "frr"]);
    assert!(applied.out.contains("EQUIVALENT"), "{}", applied.out);
    bench.ends(0, &["reverse", "cluster", "-o", "back.yaml"]);
    let back = std::fs::read_to_string(bench.folder.path().join("back.yaml")).unwrap();
    assert!(back.contains("graceful-restart: 2m0s"), "{back}");
    let proved = bench.ends(0, &["verify", "--crs", "cluster", "--bgp-mode", "frr"]);
    assert!(proved.out.contains("EQUIVALENT"), "{}", proved.out);
}

#[test]
fn address_pools_of_the_cluster_come_back_too() {
    let bench = Bench::new("0.14.2");
    let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/addresspools.metallb.io";
    bench.server.put(
        path,
        json!({"metadata": {"name": "addresspools.metallb.io"}, "spec": {"group": "metallb.io",
            "names": {"kind": "AddressPool", "plural": "addresspools"}, "versions": [{"name": "v1beta1", "served": true}]},
            "status": {"conditions": [{"type": "Established", "status": "True"}]}}),
    );
    bench.server.put(
        "/apis/metallb.io/v1beta1/namespaces/metallb-system/addresspools/old",
        json!({"metadata": {"name": "old", "namespace": "metallb-system"},
            "spec": {"protocol": "layer2", "addresses": ["203.0.113.0/24"], "autoAssign": false}}),
    );
    let back = bench.ends(0, &["reverse", "cluster", "--output", "data"]);
    assert_eq!(
        back.out,
        "address-pools:\n- addresses:\n  - 203.0.113.0/24\n  auto-assign: false\n  name: old\n  protocol: layer2\n"
    );
    // What is applied beside it does not mean what the ConfigMap means: the pool is one more.
    bench.controller("quay.io/metallb/controller:v0.12.1", 0);
    let ended = bench.ends(5, &["apply", "--yes", "--target-version", "0.14.2"]);
    assert!(
        ended
            .out
            .contains("pool old: 0.12: absent / resources: there"),
        "{}",
        ended.out
    );
}

#[test]
fn rolling_back_is_told_to_programs_as_applying_is() {
    let bench = Bench::new("0.16.1");
    let report = |code: i32, words: &[&str]| -> Value {
        let ended = bench.ends(code, &[words, &["--report", "json"]].concat());
        for password in PASSWORDS {
            assert!(!ended.out.contains(password), "{}", ended.out);
        }
        serde_json::from_str(&ended.out).unwrap()
    };
    let applied = report(0, &APPLY);
    let names = |told: &Value| {
        let objects = told["objects"].as_array().unwrap().iter();
        let mut names: Vec<String> = objects
            .map(|object| format!("{} {}", object["kind"], object["name"]))
            .collect();
        names.sort();
        names
    };
    let dry = report(0, &["rollback", FILE, "--dry-run"]);
    assert_eq!(
        (&dry["result"], &dry["exit"]),
        (&json!("dry-run"), &json!(0))
    );
    let undone = report(0, &BACK);
    for told in [&dry, &undone] {
        assert_eq!(told["command"], "rollback");
        assert_eq!(told["target"], "0.16.1");
        assert_eq!(told["rollbackFile"], FILE);
        assert_eq!(names(told), names(&applied));
        assert_eq!(told["objects"][0]["action"], "delete");
        assert_eq!(
            told["annotations"],
            json!([{"service": "shop/api", "key": "metallb.io/address-pool", "value": null}])
        );
    }
    assert_eq!(
        (&undone["result"], &undone["error"]),
        (&json!("undone"), &Value::Null)
    );
    let keys = |told: &Value| {
        told.as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(keys(&applied), keys(&undone));
    assert_eq!(report(0, &BACK)["result"], "unchanged");
    // What ends it is in the report, too.
    let refused = report(6, &["rollback", "none.jsonl", "--yes"]);
    assert_eq!(refused["result"], "refused");
    assert!(refused["error"].as_str().unwrap().contains("no such file"));
}
