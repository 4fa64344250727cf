//! How fast statuses are written, against a client that does nothing else.

use std::time::Duration;

use ferrolb::cluster::{Change, Cluster as _};
use ferrolb::view::StatusWrite;
use futures::StreamExt as _;
use serde_json::{Value, json};

use crate::lab;
use crate::support::{Account, CONTROLLER, SPACE, fresh, load_balancer, now};

const SERVICES: usize = 1000;

/// Connections of both.
const AT_ONCE: usize = 32;

fn create() {
    lab::kubectl(&["delete", "services", "--all", "-n", SPACE]);
    let items: Vec<Value> = (0..SERVICES)
        .map(|n| load_balancer(&format!("s{n}")))
        .collect();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), list.to_string()).unwrap();
    lab::kubectl(&["create", "-f", file.path().to_str().unwrap()]);
}

fn address(n: usize) -> String {
    format!("10.200.{}.{}", n / 250, n % 250 + 1)
}

/// Lists, then PUTs, as many at once.
async fn plain(client: &kube::Client) -> Duration {
    let list = http::Request::get(format!("/api/v1/namespaces/{SPACE}/services")).body(Vec::new());
    let list: Value = client.request(list.unwrap()).await.unwrap();
    let requests = list["items"]
        .as_array()
        .unwrap()
        .iter()
        .enumerate()
        .map(|(n, service)| {
            let mut service = service.clone();
            service["status"] = json!({"loadBalancer": {"ingress": [{"ip": address(n)}]}});
            let name = service["metadata"]["name"].as_str().unwrap();
            http::Request::put(format!("/api/v1/namespaces/{SPACE}/services/{name}/status"))
                .header("Content-Type", "application/json")
                .body(serde_json::to_vec(&service).unwrap())
                .unwrap()
        });
    let requests: Vec<_> = requests.collect();
    assert_eq!(requests.len(), SERVICES);
    let began = now();
    let mut writes = futures::stream::iter(requests)
        .map(|request| {
            let client = client.clone();
            // A task each, as ours has: a plain client may use both processors, too.
            tokio::spawn(async move { client.request_text(request).await })
        })
        .buffer_unordered(AT_ONCE);
    while let Some(written) = writes.next().await {
        written.unwrap().unwrap();
    }
    began.elapsed()
}

/// From the start of the account to the last status: list, decide, write, Events not counted.
async fn ours() -> Duration {
    let began = now();
    let mut controller = Account::start("controller", CONTROLLER).await;
    let mut writes = tokio::task::JoinSet::new();
    while writes.len() < SERVICES {
        let Some(Change::Service(service)) = controller.changes.recv().await else {
            continue;
        };
        if service.key.namespace() != SPACE || !service.ingress.is_empty() {
            continue;
        }
        let write = StatusWrite {
            key: service.key,
            resource_version: service.resource_version,
            addresses: vec![address(writes.len()).parse().unwrap()],
        };
        let cluster = controller.cluster.clone();
        writes.spawn(async move { cluster.write_status(write).await });
    }
    while let Some(written) = writes.join_next().await {
        written.unwrap().unwrap();
    }
    began.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a kube-apiserver: run by tests/run"]
async fn a_thousand_assignments_reach_seventy_percent_of_a_plain_clients_rate() {
    fresh();
    let config = kube::config::Kubeconfig::read_from(lab::kubeconfig()).unwrap();
    let options = kube::config::KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(config, &options).await;
    let client = kube::Client::try_from(config.unwrap()).unwrap();
    let (mut best_plain, mut best_ours) = (f64::MIN, f64::MIN);
    for round in 0..3 {
        create();
        let reference = 1000.0 / plain(&client).await.as_secs_f64();
        create();
        let rate = 1000.0 / ours().await.as_secs_f64();
        println!("round {round}: ours {rate:.0}/s, plain client {reference:.0}/s");
        best_plain = best_plain.max(reference);
        best_ours = best_ours.max(rate);
    }
    let ratio = best_ours / best_plain;
    println!("status_writes {best_ours:.0} 1/s {best_plain:.0} {ratio:.2}");
    assert!(ratio >= 0.7, "{ratio:.2}");
    lab::kubectl(&["delete", "services", "--all", "-n", SPACE]);
}
