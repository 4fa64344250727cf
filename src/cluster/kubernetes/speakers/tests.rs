use serde_json::{Value, json};

use super::*;
use crate::cluster::kubernetes::fake::{self, Answer, Log, SOON};

fn pods(nodes: &[&str]) -> Answer {
    let pod = |node: &&str| json!({"metadata": {}, "spec": {"nodeName": node}, "status": {"podIP": "10.0.0.1", "conditions": [{"type": "Ready", "status": "True"}]}});
    let items: Vec<Value> = nodes.iter().map(pod).collect();
    Answer::Json(200, json!({"items": items}))
}

fn start(
    labels: Option<&'static str>,
    answer: impl Fn(usize) -> Answer + Send + Sync + 'static,
) -> (mpsc::Receiver<Change>, Log, Arc<Notify>) {
    let (api, log) = fake::server(move |number, _| answer(number));
    let (reporter, _) = fake::reporter();
    let (out, changes) = mpsc::channel(16);
    let node_changed = Arc::new(Notify::new());
    let notify = node_changed.clone();
    tokio::spawn(async move {
        run(&api, &reporter, "metallb-system", labels, &notify, &out).await;
    });
    (changes, log, node_changed)
}

async fn next(changes: &mut mpsc::Receiver<Change>) -> Change {
    tokio::time::timeout(SOON, changes.recv())
        .await
        .unwrap()
        .unwrap()
}

fn told(nodes: &[&str]) -> Change {
    Change::Speakers(Some(nodes.iter().map(|node| (*node).into()).collect()))
}

fn addresses(ips: &[&str]) -> Change {
    Change::SpeakerAddresses(Some(ips.iter().map(|ip| ip.parse().unwrap()).collect()))
}

#[tokio::test(start_paused = true)]
async fn only_a_changed_set_is_told_and_an_outage_changes_nothing() {
    let (mut changes, log, _) = start(
        Some("app=metallb,component=speaker"),
        |number| match number {
            0..5 => pods(&["n1", "n2"]),
            5..7 => Answer::Refused,
            7 => fake::status(403, "Forbidden", "no roles yet"),
            8 => pods(&["n2", "n1"]),
            _ => pods(&["n1"]),
        },
    );
    assert_eq!(next(&mut changes).await, told(&["n1", "n2"]));
    assert_eq!(next(&mut changes).await, addresses(&["10.0.0.1"]));
    assert_eq!(next(&mut changes).await, Change::Synced(Kind::Speakers));
    assert_eq!(next(&mut changes).await, told(&["n1"]));
    assert_eq!(log.lock().unwrap().len(), 10);
    assert_eq!(
        log.lock().unwrap()[0].uri,
        "/api/v1/namespaces/metallb-system/pods?&labelSelector=app%3Dmetallb%2Ccomponent%3Dspeaker&resourceVersion=0"
    );
}

#[tokio::test(start_paused = true)]
async fn a_changed_node_is_a_reason_to_look_at_once() {
    let (mut changes, _, node_changed) = start(Some("a=b"), |number| match number {
        0 => pods(&["n1"]),
        _ => pods(&[]),
    });
    assert_eq!(next(&mut changes).await, told(&["n1"]));
    assert_eq!(next(&mut changes).await, addresses(&["10.0.0.1"]));
    let began = tokio::time::Instant::now();
    node_changed.notify_one();
    assert_eq!(next(&mut changes).await, Change::Synced(Kind::Speakers));
    assert_eq!(next(&mut changes).await, told(&[]));
    assert_eq!(next(&mut changes).await, addresses(&[]));
    assert!(began.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn nobody_can_tell_without_labels_or_without_the_grant() {
    let (mut changes, log, _) = start(None, |_| pods(&["n1"]));
    assert_eq!(next(&mut changes).await, Change::Speakers(None));
    assert_eq!(next(&mut changes).await, Change::SpeakerAddresses(None));
    assert_eq!(next(&mut changes).await, Change::Synced(Kind::Speakers));
    assert!(log.lock().unwrap().is_empty());
    let (mut changes, _, _) = start(Some("a=b"), |_| fake::status(403, "Forbidden", "no"));
    assert_eq!(next(&mut changes).await, Change::Speakers(None));
    assert_eq!(next(&mut changes).await, Change::SpeakerAddresses(None));
    assert_eq!(next(&mut changes).await, Change::Synced(Kind::Speakers));
}
