//! The main job on a real multi-node cluster: unchanged manifests, an image swap, a client on the LAN.
//!
//! Run by `tests/run`, which brings the lab up with three nodes and loads the images. One test after the other, in the
//! order of their names: each leaves the cluster as the next expects it.

#![expect(clippy::unwrap_used, reason = "a test: what fails here fails the test")]

#[path = "support/kernel.rs"]
mod kernel;
#[path = "support/lab.rs"]
mod lab;
#[path = "e2e/routers.rs"]
mod routers;

use std::time::Duration;

use lab::{apply, client, get, ingress, kubectl, lab as lab_command, wait_for};

const POOL_CONFIG: &str = "lab/layer2-config.yaml";

fn manifest(path: &str) -> String {
    std::fs::read_to_string(lab::root().join(path)).unwrap()
}

fn apply_file(path: &str) {
    kubectl(&["apply", "-f", lab::root().join(path).to_str().unwrap()]);
}

fn config_map(config: &str) -> String {
    let mut text = String::from(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {namespace: metallb-system, name: config}\ndata:\n  config: |\n",
    );
    for line in config.lines() {
        text.push_str("    ");
        text.push_str(line);
        text.push('\n');
    }
    text
}

fn service(name: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{type: LoadBalancer, selector: {{app: nginx}}, ports: [{{port: 80}}]}}\n---\n"
    )
}

fn ready_pods(selector: &str) -> usize {
    let pods = get(&["pods", "-n", "metallb-system", "-l", selector]);
    pods["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|pod| {
            pod["status"]["conditions"]
                .as_array()
                .into_iter()
                .flatten()
                .any(|c| c["type"] == "Ready" && c["status"] == "True")
                && pod["metadata"]["deletionTimestamp"].is_null()
        })
        .count()
}

fn curl(ip: &str) -> Option<String> {
    client(&["curl", "-s", "-f", "-m", "2", &format!("http://{ip}/")])
}

/// The MAC address that answers for an address on the LAN, asked by ARP alone.
fn who_has(ip: &str) -> Vec<String> {
    let out = client(&["arping", "-c", "2", "-w", "2", "-I", "eth0", ip]).unwrap_or_default();
    let mut macs: Vec<String> = out
        .split_whitespace()
        .map(|word| word.trim_matches(['[', ']', '(', ')']).to_lowercase())
        .filter(|word| word.len() == 17 && word.matches(':').count() == 5)
        .collect();
    macs.sort();
    macs.dedup();
    macs
}

fn node_mac(node: usize) -> String {
    lab_command(
        "sh",
        &[&node.to_string(), "cat", "/sys/class/net/eth0/address"],
    )
    .trim()
    .to_lowercase()
}

fn events_about(kind: &str, name: &str) -> Vec<(String, String)> {
    let all = get(&["events", "--all-namespaces"]);
    all["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|e| e["involvedObject"]["kind"] == kind && e["involvedObject"]["name"] == name)
        .map(|e| {
            (
                e["reason"].as_str().unwrap_or("").to_owned(),
                e["message"].as_str().unwrap_or("").to_owned(),
            )
        })
        .collect()
}

#[test]
#[ignore = "needs root and the lab with three nodes; run by tests/run"]
fn a1_the_unchanged_manifests_of_0_12_run_with_our_images() {
    apply_file("manifests/namespace.yaml");
    // the manifest of an existing installation: MetalLB's image names, our images behind them
    let theirs = manifest("manifests/metallb.yaml")
        .replace(
            "quay.io/ferrolb/controller:v0.1.0",
            "quay.io/metallb/controller:v0.12.1",
        )
        .replace(
            "quay.io/ferrolb/speaker:v0.1.0",
            "quay.io/metallb/speaker:v0.12.1",
        );
    apply(&theirs);
    wait_for(
        "controller and three speakers are Ready",
        Duration::from_secs(120),
        || {
            (ready_pods("component=controller") == 1 && ready_pods("component=speaker") == 3)
                .then_some(())
        },
    );
    // the memberlist secret that the speakers' pods wait for was made by the controller
    let secret = get(&["secret", "-n", "metallb-system", "memberlist"]);
    assert!(secret["data"]["secretkey"].is_string());
    assert_eq!(
        secret["metadata"]["ownerReferences"][0]["name"],
        "controller"
    );
}

#[test]
#[ignore = "needs root and the lab with three nodes; run by tests/run"]
fn a2_a_client_on_the_lan_reaches_the_tutorial_at_its_external_ip() {
    apply_file(POOL_CONFIG);
    apply_file("manifests/tutorial-2.yaml");
    let addresses = wait_for("nginx has an address", Duration::from_secs(20), || {
        let found = ingress("default", "nginx");
        (!found.is_empty()).then_some(found)
    });
    assert_eq!(addresses, ["172.30.0.128"]);
    let page = wait_for("the client reaches nginx", Duration::from_secs(60), || {
        curl("172.30.0.128")
    });
    assert!(page.starts_with("nginx-"), "{page}");
    assert_eq!(
        who_has("172.30.0.128").len(),
        1,
        "exactly one node answers ARP"
    );

    let events = wait_for("both Events are there", Duration::from_secs(20), || {
        let events = events_about("Service", "nginx");
        (events.iter().any(|(r, _)| r == "IPAllocated")
            && events.iter().any(|(r, _)| r == "nodeAssigned"))
        .then_some(events)
    });
    assert!(
        events.contains(&(
            "IPAllocated".into(),
            r#"Assigned IP ["172.30.0.128"]"#.into()
        )),
        "{events:?}"
    );
    assert!(
        events
            .iter()
            .any(|(_, m)| m.starts_with("announcing from node \"node-")),
        "{events:?}"
    );
}

#[test]
#[ignore = "needs root and the lab with three nodes; run by tests/run"]
fn a3_ipv6_and_dual_stack_services_are_reached_too() {
    apply(
        "apiVersion: v1\nkind: Service\nmetadata: {name: both}\nspec: {type: LoadBalancer, ipFamilyPolicy: RequireDualStack, selector: {app: nginx}, ports: [{port: 80}]}\n",
    );
    let addresses = wait_for("two addresses", Duration::from_secs(20), || {
        let found = ingress("default", "both");
        (found.len() == 2).then_some(found)
    });
    assert!(
        addresses.contains(&"172.30.0.129".to_owned())
            && addresses.contains(&"fd30::1000".to_owned()),
        "{addresses:?}"
    );
    wait_for("reached over IPv4", Duration::from_secs(60), || {
        curl("172.30.0.129")
    });
    wait_for("reached over IPv6", Duration::from_secs(60), || {
        client(&["curl", "-s", "-f", "-g", "-m", "2", "http://[fd30::1000]/"])
    });
    kubectl(&["delete", "service", "both"]);
    wait_for("nobody answers any more", Duration::from_secs(20), || {
        who_has("172.30.0.129").is_empty().then_some(())
    });
}

#[test]
#[ignore = "needs root and the lab with three nodes; run by tests/run"]
fn b1_a_pool_grows_while_a_service_waits_for_an_address() {
    apply(&config_map(
        "address-pools:\n- name: lan\n  protocol: layer2\n  addresses: [172.30.0.128/32]\n",
    ));
    apply(&service("waits"));
    wait_for(
        "the Service is told that there is no address",
        Duration::from_secs(20),
        || {
            events_about("Service", "waits")
                .iter()
                .any(|(r, _)| r == "AllocationFailed")
                .then_some(())
        },
    );
    assert!(ingress("default", "waits").is_empty());
    apply(&config_map(
        "address-pools:\n- name: lan\n  protocol: layer2\n  addresses: [172.30.0.128/31]\n",
    ));
    wait_for(
        "the address comes with the pool",
        Duration::from_secs(20),
        || (ingress("default", "waits") == ["172.30.0.129"]).then_some(()),
    );
    wait_for("and answers", Duration::from_secs(60), || {
        curl("172.30.0.129")
    });
}

#[test]
#[ignore = "needs root and the lab with three nodes; run by tests/run"]
fn b2_an_invalid_or_orphaning_configuration_changes_nothing_and_says_so() {
    for (bad, words) in [
        (
            "address-pools:\n- name: lan\n  protocol: layer3\n  addresses: [172.30.0.128/26]\n",
            "protocol",
        ),
        ("address-pools: [\n", "line"),
        (
            "address-pools:\n- name: other\n  protocol: layer2\n  addresses: [172.30.0.160/28]\n",
            "172.30.0.128",
        ),
    ] {
        apply(&config_map(bad));
        wait_for(
            "an Event on the ConfigMap says what is wrong",
            Duration::from_secs(20),
            || {
                events_about("ConfigMap", "config")
                    .iter()
                    .any(|(_, m)| m.contains(words))
                    .then_some(())
            },
        );
        assert_eq!(ingress("default", "nginx"), ["172.30.0.128"]);
        assert!(curl("172.30.0.128").is_some(), "the running state stays");
    }
    apply_file(POOL_CONFIG);
    apply(&service("after"));
    wait_for(
        "a good configuration is taken again",
        Duration::from_secs(20),
        || (!ingress("default", "after").is_empty()).then_some(()),
    );
    kubectl(&["delete", "service", "after", "waits"]);
}

#[test]
#[ignore = "needs root and the lab with three nodes; run by tests/run"]
fn c1_the_controller_is_killed_in_the_middle_of_500_assignments() {
    // a pool with room for them
    apply(&config_map(
        "address-pools:\n- name: lan\n  protocol: layer2\n  addresses: [172.30.0.128/26, 'fd30::1000/120']\n- name: many\n  protocol: layer2\n  addresses: [10.99.0.0/20]\n",
    ));
    let many: String = (0..500).map(|i| service(&format!("m{i}"))).collect();
    apply(&many);
    // each of these loses whatever the controller had in memory
    for _ in 0..3 {
        kubectl(&[
            "delete",
            "pod",
            "-n",
            "metallb-system",
            "-l",
            "component=controller",
            "--grace-period=0",
            "--force",
            "--wait=false",
        ]);
        wait_for(
            "a controller is there again",
            Duration::from_secs(120),
            || (ready_pods("component=controller") == 1).then_some(()),
        );
    }
    let addresses = wait_for("all 500 have an address", Duration::from_secs(120), || {
        let all = get(&["services"]);
        let found: Vec<String> = all["items"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|s| {
                s["metadata"]["name"]
                    .as_str()
                    .is_some_and(|n| n.starts_with('m'))
            })
            .flat_map(lab::ingress_of)
            .collect();
        (found.len() == 500).then_some(found)
    });
    let mut distinct = addresses.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), 500, "no address was given twice");
    assert_eq!(
        ingress("default", "nginx"),
        ["172.30.0.128"],
        "a held address stays"
    );
}

#[test]
#[ignore = "needs root and the lab with three nodes; run by tests/run"]
fn c2_while_the_api_server_is_away_everything_stays_announced() {
    lab_command("apiserver", &["kill"]);
    for _ in 0..10 {
        assert!(
            curl("172.30.0.128").is_some(),
            "served without an API server"
        );
    }
    assert_eq!(who_has("172.30.0.128").len(), 1);
    lab_command("apiserver", &["start"]);
    wait_for("the API server is back", Duration::from_secs(60), || {
        lab::try_run("kubectl", &["get", "nodes"]).ok()
    });
    apply(&service("later"));
    let found = wait_for("and assignments go on", Duration::from_secs(60), || {
        let found = ingress("default", "later");
        (!found.is_empty()).then_some(found)
    });
    assert_ne!(found, ["172.30.0.128"]);
    let names: Vec<String> = (0..500).map(|i| format!("m{i}")).collect();
    let mut args = vec!["delete", "service", "later", "--wait=false"];
    args.extend(names.iter().map(String::as_str));
    kubectl(&args);
}

#[test]
#[ignore = "needs root and the lab with three nodes; run by tests/run"]
fn d1_another_node_answers_when_the_owner_is_gone() {
    // an endpoint on every node, so that one is left
    kubectl(&["scale", "deployment", "nginx", "--replicas=3"]);
    wait_for("three pods", Duration::from_secs(60), || {
        (get(&["deployment", "nginx"])["status"]["readyReplicas"] == 3).then_some(())
    });
    let before = wait_for("one owner", Duration::from_secs(20), || {
        let macs = who_has("172.30.0.128");
        (macs.len() == 1).then(|| macs[0].clone())
    });
    let owner = (1..=3)
        .find(|n| node_mac(*n) == before)
        .expect("the owner is one of the nodes");
    lab_command("node", &["cut", &owner.to_string()]);
    lab_command("node", &["kill", &owner.to_string()]);
    wait_for("another node answers ARP", Duration::from_secs(90), || {
        let macs = who_has("172.30.0.128");
        (macs.len() == 1 && macs[0] != before).then_some(())
    });
    wait_for("and the client is served", Duration::from_secs(90), || {
        curl("172.30.0.128")
    });
    lab_command("node", &["mend", &owner.to_string()]);
    lab_command("node", &["start", &owner.to_string()]);
    wait_for(
        "the node is back and owns the address again, alone",
        Duration::from_secs(180),
        || (who_has("172.30.0.128") == [before.clone()]).then_some(()),
    );
}
