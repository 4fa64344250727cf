//! How fast statuses are written, against a client that does nothing else.

use std::path::Path;
use std::time::Duration;

use ferrolb::cluster::{Change, Cluster as _};
use ferrolb::view::StatusWrite;
use futures::StreamExt as _;
use serde_json::{Value, json};

use crate::lab;
use crate::support::{Account, CONTROLLER, SPACE, fresh, kubeconfig, load_balancer, now};

const SERVICES: usize = 1000;

const SERVICES_PATH: &str = "/api/v1/namespaces/ferrolb-cluster/services";

/// Connections of both.
const AT_ONCE: usize = 32;

async fn client(kubeconfig: &Path) -> kube::Client {
    let file = kube::config::Kubeconfig::read_from(kubeconfig).unwrap();
    let options = kube::config::KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(file, &options).await;
    kube::Client::try_from(config.unwrap()).unwrap()
}

/// A thousand new Services; kubectl takes minutes for that.
async fn create(client: &kube::Client) {
    delete(client).await;
    let requests = (0..SERVICES).map(|n| {
        let service = load_balancer(&format!("s{n}")).to_string();
        request("POST", SERVICES_PATH, service)
    });
    send(client, requests).await;
}

async fn delete(client: &kube::Client) {
    let names = list(client).await.into_iter().map(|service| name(&service));
    let requests =
        names.map(|name| request("DELETE", &format!("{SERVICES_PATH}/{name}"), String::new()));
    send(client, requests).await;
}

async fn list(client: &kube::Client) -> Vec<Value> {
    let list = request("GET", SERVICES_PATH, String::new());
    let mut list: Value = client.request(list).await.unwrap();
    serde_json::from_value(list["items"].take()).unwrap()
}

fn name(service: &Value) -> String {
    service["metadata"]["name"].as_str().unwrap().to_owned()
}

fn request(method: &str, path: &str, body: String) -> http::Request<Vec<u8>> {
    http::Request::builder()
        .method(method)
        .uri(path)
        .header("Content-Type", "application/json")
        .body(body.into_bytes())
        .unwrap()
}

/// Sends all, as many at once as [`AT_ONCE`].
async fn send(client: &kube::Client, requests: impl Iterator<Item = http::Request<Vec<u8>>>) {
    let mut answers = futures::stream::iter(requests)
        .map(|request| {
            let client = client.clone();
            // A task each, as ours has: a plain client may use all processors, too.
            tokio::spawn(async move { client.request_text(request).await })
        })
        .buffer_unordered(AT_ONCE);
    while let Some(answer) = answers.next().await {
        answer.unwrap().unwrap();
    }
}

fn address(n: usize) -> String {
    format!("10.200.{}.{}", n / 250, n % 250 + 1)
}

/// The PUTs alone: the list is read and the bodies are made before the time counts.
async fn plain(client: &kube::Client) -> Duration {
    let services = list(client).await;
    assert_eq!(services.len(), SERVICES);
    let requests = services.into_iter().enumerate().map(|(n, mut service)| {
        service["status"] = json!({"loadBalancer": {"ingress": [{"ip": address(n)}]}});
        let path = format!("{SERVICES_PATH}/{}/status", name(&service));
        request("PUT", &path, service.to_string())
    });
    let requests: Vec<_> = requests.collect();
    let began = now();
    send(client, requests.into_iter()).await;
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
#[ignore = "needs a kube-apiserver and an optimised build: run by tests/run"]
async fn a_thousand_assignments_reach_seventy_percent_of_a_plain_clients_rate() {
    fresh();
    let folder = tempfile::tempdir().unwrap();
    let token = lab::lab("token", &["metallb-system", "controller"]);
    let account = kubeconfig(folder.path(), token.trim());
    let admin = client(&lab::kubeconfig()).await;
    let (mut best_plain, mut best_ours) = (f64::MIN, f64::MIN);
    for round in 0..3 {
        create(&admin).await;
        // The same account over new connections, as ours.
        let reference = 1000.0 / plain(&client(&account).await).await.as_secs_f64();
        create(&admin).await;
        let rate = 1000.0 / ours().await.as_secs_f64();
        println!("round {round}: ours {rate:.0}/s, plain client {reference:.0}/s");
        best_plain = best_plain.max(reference);
        best_ours = best_ours.max(rate);
    }
    let ratio = best_ours / best_plain;
    println!("status_writes {best_ours:.0} 1/s {best_plain:.0} {ratio:.2}");
    assert!(ratio >= 0.7, "{ratio:.2}");
    delete(&admin).await;
}
