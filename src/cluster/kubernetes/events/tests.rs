use std::sync::Mutex;

use super::*;
use crate::cluster::kubernetes::fake::{self, Answer, Log, SOON};
use crate::cluster::kubernetes::raw::RawCache;
use crate::view::{ObjectKey, ObjectReference};

fn recorder(
    answer: impl Fn(usize, &fake::Seen) -> Answer + Send + Sync + 'static,
) -> (Recorder, Log) {
    let (api, log) = fake::server(answer);
    let (reporter, _) = fake::reporter();
    let raws = Arc::new(Mutex::new(RawCache::default()));
    let writer = Arc::new(Writer::new(api.clone(), reporter.clone(), raws));
    let recorder = Recorder::start(&api, &reporter, &writer, "metallb-speaker", "node-1");
    (recorder, log)
}

fn event(message: &str) -> KubernetesEvent {
    KubernetesEvent {
        about: ObjectReference {
            kind: "Service",
            key: ObjectKey::new("shop", "web"),
            uid: "u-1".into(),
        },
        warning: false,
        reason: "nodeAssigned",
        message: message.to_owned(),
    }
}

async fn asked(log: &Log, many: usize) -> Vec<fake::Seen> {
    let came = async {
        while log.lock().unwrap().len() < many {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(SOON, came)
        .await
        .expect("the requests come");
    // Nothing else comes.
    tokio::time::sleep(Duration::from_secs(60)).await;
    let log = log.lock().unwrap();
    assert_eq!(log.len(), many, "{log:?}");
    log.clone()
}

#[tokio::test(start_paused = true)]
async fn an_event_is_created_in_the_core_group_and_its_repetition_is_a_patch_of_the_count() {
    let (recorder, log) = recorder(|_, _| Answer::Json(200, json!({})));
    recorder.record(event("announcing from node \"node-1\""));
    recorder.record(event("announcing from node \"node-1\""));
    let seen = asked(&log, 2).await;
    assert_eq!(
        (&*seen[0].method, &*seen[0].uri),
        ("POST", "/api/v1/namespaces/shop/events")
    );
    let mut body = seen[0].body.clone();
    let name = body["metadata"]["name"].take();
    let times = [body["firstTimestamp"].take(), body["lastTimestamp"].take()];
    assert_eq!(
        times[0].as_str().unwrap().len(),
        "2026-01-01T00:00:00Z".len()
    );
    assert_eq!(
        body,
        json!({
            "apiVersion": "v1", "kind": "Event",
            "metadata": {"name": null, "namespace": "shop"},
            "involvedObject": {"apiVersion": "v1", "kind": "Service", "namespace": "shop", "name": "web", "uid": "u-1"},
            "type": "Normal", "reason": "nodeAssigned", "message": "announcing from node \"node-1\"",
            "source": {"component": "metallb-speaker", "host": "node-1"},
            "firstTimestamp": null, "lastTimestamp": null, "count": 1,
        })
    );
    assert_eq!(seen[1].method, "PATCH");
    assert_eq!(
        seen[1].uri,
        format!("/api/v1/namespaces/shop/events/{}", name.as_str().unwrap())
    );
    assert_eq!(
        seen[1].content_type,
        "application/strategic-merge-patch+json"
    );
    assert_eq!(seen[1].body["count"], 2);
}

#[tokio::test(start_paused = true)]
async fn an_expired_event_is_created_again_with_its_count() {
    let (recorder, log) = recorder(|_, seen| match &*seen.method {
        "PATCH" => fake::status(404, "NotFound", "expired"),
        _ => Answer::Json(201, json!({})),
    });
    recorder.record(event("a"));
    recorder.record(event("a"));
    let seen = asked(&log, 3).await;
    assert_eq!(seen[2].method, "POST");
    assert_eq!(
        (&seen[2].body["count"], &seen[2].body["metadata"]),
        (&json!(2), &seen[0].body["metadata"])
    );
}

#[tokio::test(start_paused = true)]
async fn a_refused_event_is_not_tried_again_and_an_unreachable_server_is() {
    let (recorder_refused, log) = recorder(|_, _| fake::status(403, "Forbidden", "no"));
    recorder_refused.record(event("a"));
    asked(&log, 1).await;
    let (recorder_away, log) = recorder(|number, _| match number {
        0 => Answer::Refused,
        _ => Answer::Json(201, json!({})),
    });
    recorder_away.record(event("a"));
    asked(&log, 2).await;
}

#[tokio::test(start_paused = true)]
async fn one_event_goes_at_once_and_a_crowd_waits_a_moment() {
    let (recorder, log) = recorder(|_, _| Answer::Json(201, json!({})));
    let about = |n: usize| {
        let mut event = event("announcing from node \"node-1\"");
        event.about.key = ObjectKey::new("shop", &format!("web-{n}"));
        event
    };
    recorder.record(about(0));
    tokio::time::sleep(BREATH / 10).await;
    assert_eq!(log.lock().unwrap().len(), 1);
    for n in 0..40 * WORKERS {
        recorder.record(about(n + 1));
    }
    tokio::time::sleep(BREATH * 4 / 5).await;
    assert_eq!(log.lock().unwrap().len(), 1);
    asked(&log, 40 * WORKERS + 1).await;
}

#[tokio::test(start_paused = true)]
async fn recording_never_waits_and_what_does_not_fit_is_counted() {
    let (recorder, _log) = recorder(|_, _| Answer::Silence);
    for n in 0..2 * QUEUE {
        recorder.record(event(&n.to_string()));
    }
    assert_eq!(recorder.dropped(), u64::try_from(QUEUE).unwrap());
}
