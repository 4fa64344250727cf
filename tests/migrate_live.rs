//! `ferrolb migrate` on a real kube-apiserver and etcd, with the definitions of every release, RBAC enforced, and the
//! controller of 0.12 (FerroLB's) at work beside it.
//!
//! Run by `tests/run`, which brings the lab's API server up (`lab/up -n 0`).

#![cfg(feature = "io")]
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test: what fails here fails the test; it waits for other processes"
)]

#[path = "support/lab.rs"]
#[expect(dead_code, reason = "shared with other tests; not each uses all of it")]
mod lab;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use lab::{get, ingress, kubectl, try_run, wait_for};

const SOON: Duration = Duration::from_secs(30);

/// Where the Services are.
const SPACE: &str = "ferrolb-migrate";

const KINDS: [&str; 6] = [
    "bfdprofiles",
    "communities",
    "ipaddresspools",
    "bgpadvertisements",
    "l2advertisements",
    "bgppeers",
];

/// Everything that 0.12 can say and every target can take: native BGP.
const CONFIG: &str = r#"
peers:
- peer-address: 10.0.0.1
  peer-asn: 64500
  my-asn: 64501
  peer-port: 1179
  hold-time: 90s
  password: 0123456
  node-selectors:
  - match-labels: {rack: "1"}
  - match-expressions: [{key: kubernetes.io/os, operator: In, values: [linux, darwin]}]
- {peer-address: 10.0.0.2, peer-asn: 4200000001, my-asn: 64501, router-id: 10.0.0.9, ebgp-multihop: true}
address-pools:
- {name: default, protocol: layer2, addresses: [192.0.2.0/28, 192.0.2.32-192.0.2.40]}
- {name: 9lives, protocol: layer2, addresses: [192.0.2.64/30], auto-assign: false}
- {name: "100", protocol: layer2, addresses: [192.0.2.128/26], avoid-buggy-ips: true, auto-assign: false}
- name: My_Pool
  protocol: bgp
  auto-assign: false
  addresses: [198.51.100.0/24]
  bgp-advertisements:
  - {aggregation-length: 32, communities: [mark, "65535:65281"], localpref: 50}
- {name: "Ünïcode / pool", protocol: bgp, auto-assign: false, addresses: [203.0.113.0/24]}
bgp-communities: {mark: "64500:1", "1:60": "1:60"}
"#;

/// What only FRR takes: BFD, IPv6 by BGP.
const FRR_CONFIG: &str = r#"
peers:
- {peer-address: 10.0.0.1, peer-asn: 64500, my-asn: 64501, bfd-profile: Fast_One, keepalive-time: 10s}
address-pools:
- {name: six, protocol: bgp, addresses: ["2001:db8::/120"], bgp-advertisements: [{aggregation-length-v6: 128}]}
- {name: four, protocol: bgp, addresses: [198.51.100.0/24]}
bfd-profiles:
- {name: Fast_One, receive-interval: 200, transmit-interval: 200, detect-multiplier: 3, echo-interval: 50, minimum-ttl: 254}
- {name: slow, passive-mode: true}
"#;

/// The targets: the bounds of what the schemas distinguish, from 0.13.7 on.
const TARGETS: [&str; 12] = [
    "0.13.7", "0.13.8", "0.13.10", "0.13.12", "0.14.2", "0.14.5", "0.14.8", "0.14.9", "0.15.0",
    "0.15.3", "0.16.0", "0.16.1",
];

struct Ended {
    code: i32,
    out: String,
    err: String,
}

/// A folder with a kubeconfig, and the program in it.
struct Operator {
    folder: tempfile::TempDir,
    kubeconfig: PathBuf,
}

impl Operator {
    /// The administrator.
    fn admin() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            kubeconfig: lab::kubeconfig(),
        }
    }

    /// A service account of `metallb-system`.
    fn account(name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let token = lab::lab("token", &["metallb-system", name]);
        let kubeconfig = folder.path().join("kubeconfig");
        let config = json!({"apiVersion": "v1", "kind": "Config", "current-context": "lab",
            "clusters": [{"name": "lab", "cluster": {"server": "https://127.0.0.1:6443", "insecure-skip-tls-verify": true}}],
            "users": [{"name": "account", "user": {"token": token.trim()}}],
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "account"}}]});
        std::fs::write(&kubeconfig, config.to_string()).unwrap();
        Self { folder, kubeconfig }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ferrolb"));
        command
            .arg("migrate")
            .args(words)
            .env_clear()
            .env("KUBECONFIG", &self.kubeconfig)
            .current_dir(self.folder.path())
            .stdin(Stdio::null());
        command
    }

    fn run(&self, words: &[&str]) -> Ended {
        let output = self.command(words).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let ended = Ended {
            code: output.status.code().unwrap(),
            out: text(&output.stdout),
            err: text(&output.stderr),
        };
        for password in ["0123456", "MDEyMzQ1Ng"] {
            assert!(
                !ended.out.contains(password) && !ended.err.contains(password),
                "{words:?}"
            );
        }
        ended
    }

    fn ends(&self, code: i32, words: &[&str]) -> Ended {
        let ended = self.run(words);
        assert_eq!(ended.code, code, "{words:?}\n{}\n{}", ended.out, ended.err);
        ended
    }
}

/// 0.12's program that gives addresses.
struct Controller(Child);

impl Controller {
    fn start(folder: &Path) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_ferrolb"))
            .arg("controller")
            .args(["--kubeconfig".as_ref(), lab::kubeconfig().as_os_str()])
            .args(["--namespace=metallb-system", "--port=17473"])
            .stdout(std::fs::File::create(folder.join("controller.log")).unwrap())
            .stderr(Stdio::null())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A cluster of 0.12 with this configuration, without custom resources.
fn fresh(config: &str) {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        for file in ["manifests/namespace.yaml", "manifests/metallb.yaml"] {
            kubectl(&["apply", "-f", lab::root().join(file).to_str().unwrap()]);
        }
        if try_run("kubectl", &["get", "namespace", SPACE]).is_err() {
            kubectl(&["create", "namespace", SPACE]);
        }
    });
    for kind in ["services", "secrets"] {
        for namespace in [SPACE, "metallb-system"] {
            kubectl(&[
                "delete",
                kind,
                "--all",
                "-n",
                namespace,
                "--ignore-not-found",
            ]);
        }
    }
    undefine();
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "config", "namespace": "metallb-system"},
        "data": {"config": config}});
    lab::apply(&map.to_string());
}

/// Takes the definitions away, and waits until the server has forgotten them.
fn undefine() {
    let names = KINDS.map(|kind| format!("{kind}.metallb.io"));
    let mut words = vec!["delete", "customresourcedefinition", "--ignore-not-found"];
    words.extend(names.iter().map(String::as_str));
    kubectl(&words);
    wait_for("the definitions to go", SOON, || {
        try_run("kubectl", &["get", "--raw", "/apis/metallb.io"])
            .is_err()
            .then_some(())
    });
}

/// The definitions of a release.
fn define(operator: &Operator, target: &str) {
    let schemas = operator
        .ends(0, &["schemas", "--target-version", target])
        .out;
    let file = operator.folder.path().join("schemas.yaml");
    std::fs::write(&file, schemas).unwrap();
    // kubectl of 1.20 does not know the rules that 0.14.4 and later have.
    kubectl(&["apply", "--validate=false", "-f", file.to_str().unwrap()]);
}

fn load_balancer(name: &str, annotations: &Value) {
    let service = json!({"apiVersion": "v1", "kind": "Service",
        "metadata": {"name": name, "namespace": SPACE, "annotations": annotations},
        "spec": {"type": "LoadBalancer", "ports": [{"port": 80}], "selector": {"app": name}}});
    lab::apply(&service.to_string());
}

/// The resources that are there: kind/name.
fn resources() -> Vec<String> {
    let all = KINDS.join(",") + ",secrets";
    let out = try_run(
        "kubectl",
        &["get", &all, "-n", "metallb-system", "-o", "name"],
    );
    // Without the definitions there is nothing of their kinds.
    let out =
        out.unwrap_or_else(|_| kubectl(&["get", "secrets", "-n", "metallb-system", "-o", "name"]));
    let mut all: Vec<String> = out.lines().map(str::to_owned).collect();
    // Tokens of service accounts are somebody else's.
    all.retain(|name| !name.contains("token"));
    all
}

const FILE: &str = "ferrolb-rollback-metallb-system.jsonl";

#[test]
#[ignore = "needs root and the lab's API server; run by tests/run"]
fn every_target_takes_the_resources_and_gives_them_back() {
    for config in [CONFIG, FRR_CONFIG] {
        let targets = if config == CONFIG {
            &TARGETS[..]
        } else {
            &["0.13.7", "0.14.9", "0.15.3", "0.16.1"]
        };
        for target in targets.iter().copied() {
            fresh(config);
            let admin = Operator::admin();
            define(&admin, target);
            let mode = if config == CONFIG { "native" } else { "frr" };
            let with = |words: &[&'static str]| -> Vec<&'static str> {
                let rest = ["--target-version", target, "--bgp-mode", mode];
                [words, &rest].concat()
            };
            let ended = admin.ends(0, &with(&["apply", "--yes", "--wait"]));
            let told = format!("EQUIVALENT target={target} mode={mode}");
            assert!(ended.out.contains(&told), "{}", ended.out);
            // As the server has them, defaults and all.
            admin.ends(0, &with(&["diff"]));
            admin.ends(0, &with(&["verify", "--crs", "cluster"]));
            let peer = get(&["bgppeer", "-n", "metallb-system", "peer1"]);
            assert_eq!(peer["spec"]["holdTime"], "1m30s");
            if config == CONFIG {
                assert_eq!(peer["spec"]["passwordSecret"]["name"], "peer1-password");
                let pool = get(&["ipaddresspool", "-n", "metallb-system", "default"]);
                assert_eq!(pool["spec"]["autoAssign"], true, "defaulted by the server");
                let second = get(&["bgppeer", "-n", "metallb-system", "peer2"]);
                assert_eq!(second["spec"]["peerPort"], 179, "defaulted by the server");
                assert_eq!(second["spec"]["peerASN"], 4_200_000_001_u32);
            }
            let ended = admin.ends(0, &with(&["apply", "--yes"]));
            assert!(ended.out.starts_with("nothing to change"), "{}", ended.out);
            let back = admin.ends(
                0,
                &[
                    "reverse",
                    "cluster",
                    "--target-version",
                    target,
                    "--bgp-mode",
                    mode,
                    "--output",
                    "data",
                    "-o",
                    "back.yaml",
                ],
            );
            assert_eq!(back.out, "");
            let ended = admin.ends(
                0,
                &[
                    "verify",
                    "back.yaml",
                    "--crs",
                    "cluster",
                    "--target-version",
                    target,
                    "--bgp-mode",
                    mode,
                ],
            );
            assert!(ended.out.contains("EQUIVALENT"), "{}", ended.out);
            admin.ends(0, &["rollback", FILE, "--yes"]);
            assert_eq!(resources(), Vec::<String>::new(), "{target}");
            println!("{target} {mode}: taken, compared, undone");
        }
    }
}

#[test]
#[ignore = "needs root and the lab's API server; run by tests/run"]
fn services_keep_their_addresses_while_everything_is_applied_and_undone() {
    fresh(CONFIG);
    let admin = Operator::admin();
    let _controller = Controller::start(admin.folder.path());
    load_balancer("web", &json!({}));
    load_balancer(
        "api",
        &json!({"metallb.universe.tf/address-pool": "My_Pool"}),
    );
    load_balancer(
        "uni",
        &json!({"metallb.universe.tf/address-pool": "Ünïcode / pool"}),
    );
    let all = ["web", "api", "uni"];
    let addresses = || all.map(|name| ingress(SPACE, name));
    let before = wait_for("addresses", SOON, || {
        let now = addresses();
        now.iter().all(|one| one.len() == 1).then_some(now)
    });
    let services = || {
        all.map(|name| {
            let mut service = get(&["service", "-n", SPACE, name]);
            let metadata = service["metadata"].as_object_mut().unwrap();
            metadata.remove("resourceVersion");
            metadata.remove("managedFields");
            metadata["annotations"]
                .as_object_mut()
                .unwrap()
                .remove("kubectl.kubernetes.io/last-applied-configuration");
            service
        })
    };
    let untouched = services();
    // Every change of a Service is seen, also one that is taken back at once.
    let mut watch = Command::new("kubectl")
        .args([
            "get",
            "services",
            "-n",
            SPACE,
            "-o",
            "json",
            "--watch",
            "--output-watch-events",
        ])
        .env("KUBECONFIG", lab::kubeconfig())
        .stdout(std::fs::File::create(admin.folder.path().join("watch")).unwrap())
        .spawn()
        .unwrap();

    let ended = admin.ends(6, &["apply", "--yes"]);
    assert!(ended.err.contains("MIG051"), "{}", ended.err);
    define(&admin, "0.16.1");
    let plan = admin.ends(0, &["plan", "--bgp-mode", "native"]);
    assert!(
        plan.out
            .contains("[done] install the custom resource definitions"),
        "{}",
        plan.out
    );
    let words = ["apply", "--yes", "--wait", "--bgp-mode", "native"];
    admin.ends(0, &words);
    let annotation =
        get(&["service", "-n", SPACE, "uni"])["metadata"]["annotations"]["metallb.io/address-pool"]
            .clone();
    assert!(resources().contains(&format!(
        "ipaddresspool.metallb.io/{}",
        annotation.as_str().unwrap()
    )));
    let ended = admin.ends(0, &["services", "--kept", FILE]);
    assert!(
        ended.out.contains("3 Services have the addresses of"),
        "{}",
        ended.out
    );
    assert_eq!(addresses(), before);
    admin.ends(0, &["rollback", FILE, "--yes"]);
    assert_eq!(services(), untouched);
    // The controller has seen all of it: this comes after.
    load_balancer("last", &json!({}));
    wait_for("the last address", SOON, || {
        (!ingress(SPACE, "last").is_empty()).then_some(())
    });
    assert_eq!(addresses(), before);
    wait_for("the watch", SOON, || {
        let seen = std::fs::read_to_string(admin.folder.path().join("watch")).unwrap();
        seen.contains("\"last\"").then_some(())
    });
    let _ = watch.kill();
    let _ = watch.wait();
    let seen = std::fs::read_to_string(admin.folder.path().join("watch")).unwrap();
    let mut looked = 0;
    for event in serde_json::Deserializer::from_str(&seen)
        .into_iter::<Value>()
        .map_while(Result::ok)
    {
        let service = &event["object"];
        let name = service["metadata"]["name"].as_str().unwrap_or_default();
        if let Some(index) = all.iter().position(|known| *known == name) {
            assert_eq!(
                lab::ingress_of(service),
                before[index],
                "{name}, for a moment"
            );
            looked += 1;
        }
    }
    assert!(
        looked >= 3 + 4,
        "{looked} events: the first three, and two annotations there and back"
    );
}

#[test]
#[ignore = "needs root and the lab's API server; run by tests/run"]
fn a_program_that_is_killed_goes_on_where_it_was() {
    let pools: String = (0..400)
        .map(|index| {
            format!(
                "- {{name: pool-{index}, protocol: layer2, addresses: [10.{}.{}.0/24]}}\n",
                index / 256,
                index % 256
            )
        })
        .collect();
    fresh(&format!("address-pools:\n{pools}"));
    let admin = Operator::admin();
    define(&admin, "0.16.1");
    let file = admin.folder.path().join("file.jsonl");
    let recorded = || {
        let file = std::fs::read_to_string(&file).unwrap_or_default();
        file.matches("{\"applied\"").count()
    };
    for (enough, is_undone) in [(1, false), (40, true)] {
        let _ = std::fs::remove_file(&file);
        let mut child = admin
            .command(&["apply", "--yes", "--wait", "--rollback-file", "file.jsonl"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        wait_for("deeds", Duration::from_secs(120), || {
            (recorded() >= enough).then_some(())
        });
        child.kill().unwrap();
        child.wait().unwrap();
        let there = resources().len();
        println!("killed after {there} resources");
        assert!(
            (enough..800).contains(&there),
            "{there}: neither none nor all"
        );
        // As if the last record had not reached the disk.
        let text = std::fs::read_to_string(&file).unwrap();
        let cut = text.rfind("{\"applied\"").unwrap() + 9;
        std::fs::write(&file, &text[..cut]).unwrap();
        if is_undone {
            admin.ends(0, &["rollback", "file.jsonl", "--yes"]);
            assert_eq!(resources(), Vec::<String>::new());
        }
        let began = Instant::now();
        let ended = admin.ends(0, &["apply", "--yes", "--rollback-file", "file.jsonl"]);
        assert!(ended.out.contains("EQUIVALENT"), "{}", ended.out);
        assert!(
            ended.err.contains("applied "),
            "progress is told: {}",
            ended.err
        );
        println!("gone on with in {:?}", began.elapsed());
        admin.ends(0, &["rollback", "file.jsonl", "--yes"]);
        assert_eq!(resources(), Vec::<String>::new());
    }
}

#[test]
#[ignore = "needs root and the lab's API server; run by tests/run"]
fn an_account_without_the_rights_is_told_which() {
    fresh(CONFIG);
    let admin = Operator::admin();
    define(&admin, "0.16.1");
    let controller = Operator::account("controller");
    let ended = controller.ends(6, &["apply", "--yes", "--wait"]);
    assert!(
        ended.err.contains("(the account needs the verb list on "),
        "{}",
        ended.err
    );
    assert!(ended.err.contains("HTTP 403"), "{}", ended.err);

    // One that may read all and write nothing.
    lab::apply(&json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "reader", "namespace": "metallb-system"}}).to_string());
    lab::apply(&json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "ferrolb-reader"},
        "rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list"]}]}).to_string());
    lab::apply(&json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "ferrolb-reader"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "ferrolb-reader"},
        "subjects": [{"kind": "ServiceAccount", "name": "reader", "namespace": "metallb-system"}]}).to_string());
    let reader = Operator::account("reader");
    reader.ends(0, &["plan", "--bgp-mode", "native"]);
    reader.ends(5, &["diff", "--bgp-mode", "native"]);
    let ended = reader.ends(6, &["apply", "--yes", "--bgp-mode", "native"]);
    for right in [
        "create, patch, delete ipaddresspools.metallb.io in namespace metallb-system",
        "create, patch, delete bgppeers.metallb.io in namespace metallb-system",
        "create, patch, delete secrets in namespace metallb-system",
    ] {
        assert!(ended.err.contains(right), "{}", ended.err);
    }
    assert_eq!(resources(), Vec::<String>::new());
    assert!(!reader.folder.path().join(FILE).exists());
    kubectl(&["delete", "clusterrolebinding", "ferrolb-reader"]);
    kubectl(&["delete", "clusterrole", "ferrolb-reader"]);
}

#[test]
#[ignore = "needs root and the lab's API server; run by tests/run"]
fn what_the_server_refuses_is_told_before_anything_is_done() {
    fresh(CONFIG);
    let admin = Operator::admin();
    define(&admin, "0.16.1");
    // A schema that the tool does not know of: another bound on the port.
    let patch = json!([{"op": "add", "path": "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/peerPort/maximum", "value": 1000}]);
    kubectl(&[
        "patch",
        "customresourcedefinition",
        "bgppeers.metallb.io",
        "--type=json",
        "-p",
        &patch.to_string(),
    ]);
    let words = ["apply", "--yes", "--wait", "--bgp-mode", "native"];
    let ended = wait_for("the new schema", SOON, || {
        let ended = admin.run(&words);
        if ended.code == 0 {
            // The server serves the old one for a moment.
            admin.ends(0, &["rollback", FILE, "--yes"]);
            std::fs::remove_file(admin.folder.path().join(FILE)).unwrap();
        }
        (ended.code != 0).then_some(ended)
    });
    assert_eq!(ended.code, 6);
    assert!(
        ended
            .err
            .contains("cannot patch bgppeers.metallb.io metallb-system/peer1"),
        "{}",
        ended.err
    );
    assert!(ended.err.contains("peerPort"), "{}", ended.err);
    assert!(
        ended.err.ends_with("nothing was changed\n"),
        "{}",
        ended.err
    );
    assert_eq!(resources(), Vec::<String>::new());
}
