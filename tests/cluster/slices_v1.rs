//! A newer server's face: `discovery.k8s.io/v1` alone, no PodSecurityPolicy.
//!
//! The lab's server serves v1 as a custom resource, which nothing validates and no controller fills.

use ferrolb::cluster::{Change, Kind};
use serde_json::{Value, json};

use crate::kubernetes::{endpoints, entry, key, synced};
use crate::lab;
use crate::support::{Account, SPACE, SPEAKER, fresh};

fn slice(name: &str, endpoints: &Value) {
    let object = json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {"name": name, "namespace": SPACE, "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv4", "endpoints": endpoints});
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), object.to_string()).unwrap();
    let path = file.path().to_str().unwrap();
    lab::kubectl(&["apply", "--validate=false", "-f", path]);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a kube-apiserver that serves discovery.k8s.io/v1 alone: run by tests/run"]
async fn v1_slices_are_read_and_an_invalid_one_does_no_harm() {
    let manifest = lab::root().join("lab/endpointslice-v1.yaml");
    let manifest = manifest.to_str().unwrap();
    lab::kubectl(&["apply", "--validate=false", "-f", manifest]);
    lab::kubectl(&[
        "wait",
        "--for=condition=established",
        "crd/endpointslices.discovery.k8s.io",
    ]);
    fresh();
    slice(
        "web-1",
        &json!([{"addresses": ["10.1.0.1"], "nodeName": "node-1", "conditions": {}}]),
    );
    slice("web-odd", &json!("nonsense"));
    let mut speaker = Account::start("speaker", SPEAKER).await;
    let told = speaker.until("endpoints", synced(Kind::Endpoints)).await;
    let of_web: Vec<_> = told
        .iter()
        .filter_map(|change| endpoints(change, "web"))
        .collect();
    assert_eq!(of_web, [vec![entry("10.1.0.1", true)]]);
    speaker
        .said_soon("discovery.k8s.io/v1 EndpointSlices")
        .await;
    let said = speaker.said_soon("web-odd").await;
    assert!(said.contains("not understood"), "{said}");

    let conditions = json!({"ready": false, "serving": true, "terminating": true});
    slice(
        "web-2",
        &json!([{"addresses": ["10.1.0.2"], "nodeName": "node-1", "conditions": conditions}]),
    );
    let both = vec![entry("10.1.0.1", true), entry("10.1.0.2", false)];
    let is_both = |change: &Change| endpoints(change, "web").as_ref() == Some(&both);
    speaker.until("both slices", is_both).await;
    for name in ["web-1", "web-2"] {
        lab::kubectl(&["delete", "endpointslice", "-n", SPACE, name]);
    }
    let gone = Change::EndpointsGone(key("web"));
    speaker.until("nothing", |change| *change == gone).await;
    lab::kubectl(&["delete", "endpointslice", "-n", SPACE, "web-odd"]);
}
