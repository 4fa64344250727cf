use serde_json::{Value, json};

use super::*;
use crate::cluster::kubernetes::fake::{self, Answer, SOON};

fn group(versions: &[&str]) -> Answer {
    let versions: Vec<Value> = versions
        .iter()
        .map(|version| json!({"version": version}))
        .collect();
    Answer::Json(200, json!({"kind": "APIGroup", "versions": versions}))
}

fn missing() -> Answer {
    fake::status(404, "NotFound", "not found")
}

async fn detected(answer: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Source {
    let (api, _) = fake::server(move |_, seen| answer(&seen.uri));
    let (reporter, _) = fake::reporter();
    detect(&api, &reporter).await.unwrap()
}

const GROUP: &str = "/apis/discovery.k8s.io";

#[tokio::test]
async fn v1_is_preferred_and_needs_no_slice_of_the_api_server() {
    let source = detected(|uri| match uri {
        GROUP => group(&["v1", "v1beta1"]),
        "/apis/discovery.k8s.io/v1/endpointslices?limit=1" => Answer::Json(200, json!({})),
        _ => missing(),
    });
    assert_eq!(source.await, Source::SlicesV1);
}

#[tokio::test]
async fn v1beta1_is_used_where_the_api_server_fills_it() {
    const OWN: &str = "/apis/discovery.k8s.io/v1beta1/namespaces/default/endpointslices/kubernetes";
    let filled = detected(|uri| match uri {
        GROUP => group(&["v1beta1"]),
        OWN => Answer::Json(200, json!({})),
        _ => missing(),
    });
    assert_eq!(filled.await, Source::SlicesV1Beta1);
    let empty = detected(|uri| match uri {
        GROUP => group(&["v1beta1"]),
        _ => missing(),
    });
    assert_eq!(empty.await, Source::Endpoints);
}

#[tokio::test]
async fn endpoints_are_used_where_there_are_no_slices_or_none_that_we_may_read() {
    assert_eq!(detected(|_| missing()).await, Source::Endpoints);
    let refused = detected(|uri| match uri {
        GROUP => group(&["v1"]),
        _ => fake::status(403, "Forbidden", "no"),
    });
    assert_eq!(refused.await, Source::Endpoints);
}

#[tokio::test(start_paused = true)]
async fn a_withdrawn_api_leads_to_the_next_and_what_it_told_last_is_forgotten() {
    let slice = |name: &str, service: &str| {
        json!({
            "metadata": {"name": name, "namespace": "shop", "labels": {"kubernetes.io/service-name": service}},
            "endpoints": [{"addresses": ["10.1.0.1"]}],
        })
    };
    let list = |items: Vec<Value>| {
        Answer::Json(
            200,
            json!({"metadata": {"resourceVersion": "5"}, "items": items}),
        )
    };
    let upgraded = std::sync::atomic::AtomicBool::new(false);
    let (api, _) = fake::server(move |_, seen| {
        let old = !upgraded.load(std::sync::atomic::Ordering::SeqCst);
        let (path, query) = seen.uri.split_once('?').unwrap_or((&seen.uri, ""));
        match (path, old) {
            (GROUP, true) => group(&["v1beta1"]),
            (GROUP, false) => group(&["v1"]),
            ("/apis/discovery.k8s.io/v1beta1/endpointslices", true) if query.contains("watch") => {
                upgraded.store(true, std::sync::atomic::Ordering::SeqCst);
                missing()
            }
            ("/apis/discovery.k8s.io/v1beta1/endpointslices", true) => {
                list(vec![slice("a-1", "a"), slice("b-1", "b")])
            }
            (path, true) if path.ends_with("/kubernetes") => Answer::Json(200, json!({})),
            ("/apis/discovery.k8s.io/v1/endpointslices", false) if query.contains("watch") => {
                Answer::Silence
            }
            ("/apis/discovery.k8s.io/v1/endpointslices", false) => list(vec![slice("b-1", "b")]),
            _ => missing(),
        }
    });
    let (reporter, _) = fake::reporter();
    let (out, mut changes) = mpsc::channel(64);
    tokio::spawn(async move { run(&api, &reporter, false, &out).await });
    let mut told = Vec::new();
    while told.len() < 5 {
        let change = tokio::time::timeout(SOON, changes.recv())
            .await
            .unwrap()
            .unwrap();
        told.push(match change {
            Change::Endpoints(endpoints) => endpoints.service.to_string(),
            Change::EndpointsGone(key) => format!("-{key}"),
            other => format!("{other:?}"),
        });
    }
    let synced = "Synced(Endpoints)";
    assert_eq!(told, ["shop/a", "shop/b", synced, "-shop/a", synced]);
}
