use serde_json::json;

use super::*;
use crate::cluster::kubernetes::fake::{self, Answer, Log};
use crate::cluster::kubernetes::raw::Raw;

fn service(name: &str, version: &str) -> Value {
    json!({
        "metadata": {"name": name, "namespace": "shop", "resourceVersion": version, "labels": {"keep": "me"}},
        "spec": {"type": "LoadBalancer"},
        "status": {"loadBalancer": {}},
    })
}

fn wanted(name: &str, version: &str) -> view::StatusWrite {
    view::StatusWrite {
        key: view::ObjectKey::new("shop", name),
        resource_version: version.into(),
        addresses: vec!["10.0.0.1".parse().unwrap()],
    }
}

fn writer(
    answer: impl Fn(usize, &fake::Seen) -> Answer + Send + Sync + 'static,
) -> (Arc<Writer>, Log) {
    let (api, log) = fake::server(answer);
    let (reporter, _) = fake::reporter();
    let raws = Arc::new(Mutex::new(RawCache::default()));
    raws.lock().unwrap().insert(
        &view::ObjectKey::new("shop", "web"),
        &"5".into(),
        &Raw::Item(&service("web", "5")),
    );
    (Arc::new(Writer::new(api, reporter, raws)), log)
}

fn asked(log: &Log) -> Vec<String> {
    let log = log.lock().unwrap();
    log.iter()
        .map(|seen| format!("{} {}", seen.method, seen.uri))
        .collect()
}

const PUT: &str = "PUT /api/v1/namespaces/shop/services/web/status";
const READ: &str = "GET /api/v1/namespaces/shop/services/web";

#[tokio::test(start_paused = true)]
async fn the_object_goes_back_as_it_was_read_with_another_status() {
    let (writer, log) = writer(|_, _| Answer::Json(200, json!({})));
    writer.write(wanted("web", "5")).await.unwrap();
    let seen = log.lock().unwrap()[0].clone();
    assert_eq!(asked(&log), [PUT]);
    let mut body = service("web", "5");
    body["status"] = json!({"loadBalancer": {"ingress": [{"ip": "10.0.0.1"}]}});
    assert_eq!((seen.body, &*seen.content_type), (body, "application/json"));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_kept_is_read_and_written_only_in_the_version_of_the_decision() {
    let (writer, log) = writer(|_, seen| match &*seen.method {
        "GET" => Answer::Json(200, service("web", "7")),
        _ => Answer::Json(200, json!({})),
    });
    writer.write(wanted("web", "7")).await.unwrap();
    assert_eq!(asked(&log), [READ, PUT]);
    assert_eq!(
        writer.write(wanted("web", "6")).await,
        Err(WriteError::Conflict)
    );
    assert_eq!(asked(&log), [READ, PUT, READ]);
}

#[tokio::test(start_paused = true)]
async fn answers_become_outcomes_without_a_second_try() {
    for (code, outcome) in [(409, WriteError::Conflict), (404, WriteError::Gone)] {
        let (writer, log) = writer(move |_, _| fake::status(code, "", "no"));
        assert_eq!(writer.write(wanted("web", "5")).await, Err(outcome));
        assert_eq!(asked(&log).len(), 1);
    }
    for code in [400, 403, 422] {
        let (writer, log) = writer(move |_, _| fake::status(code, "", "no such thing"));
        let Err(WriteError::Refused(text)) = writer.write(wanted("web", "5")).await else {
            panic!("{code} is refused");
        };
        assert!(
            text.contains("update services/status") && text.contains("no such thing"),
            "{text}"
        );
        assert_eq!(asked(&log).len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_away_for_a_while_does_not_fail_the_write() {
    let (writer, log) = writer(|number, _| match number {
        0 | 1 => Answer::Refused,
        2 => Answer::Silence,
        3 => fake::status(500, "InternalError", "etcd"),
        _ => Answer::Json(200, json!({})),
    });
    writer.write(wanted("web", "5")).await.unwrap();
    assert_eq!(asked(&log), [PUT; 5]);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_has_just_started_and_not_read_its_roles_is_asked_again() {
    let (writer, log) = writer(|number, _| match number {
        0 => Answer::Refused,
        1..4 => fake::status(403, "Forbidden", "no roles yet"),
        _ => Answer::Json(200, json!({})),
    });
    writer.write(wanted("web", "5")).await.unwrap();
    assert_eq!(asked(&log), [PUT; 5]);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stays_away_is_told_after_half_a_minute() {
    let (writer, _) = writer(|_, _| Answer::Refused);
    let began = Instant::now();
    let outcome = writer.write(wanted("web", "5")).await;
    assert!(
        matches!(outcome, Err(WriteError::Unavailable(text)) if text.contains("connection refused"))
    );
    assert!(began.elapsed() <= PATIENCE && began.elapsed() > PATIENCE / 2);
}

#[tokio::test(start_paused = true)]
async fn an_overloaded_server_gets_nothing_while_it_says_so_and_then_less_at_once() {
    let (writer, log) = writer(|number, _| match number {
        0 => Answer::Later(429, 7),
        _ => Answer::Json(200, json!({})),
    });
    let began = Instant::now();
    let first = tokio::spawn({
        let writer = writer.clone();
        async move { writer.write(wanted("web", "5")).await }
    });
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(writer.gate.state().limit, MOST_AT_ONCE / 2);
    let second = writer.write(wanted("other", "5")).await;
    assert_eq!(second, Err(WriteError::Conflict));
    assert!(began.elapsed() >= Duration::from_secs(7));
    first.await.unwrap().unwrap();
    assert_eq!(asked(&log).iter().filter(|line| *line == PUT).count(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_gate_narrows_once_for_a_crowd_and_widens_with_success() {
    let gate = Gate::new();
    let now = Instant::now();
    for _ in 0..20 {
        gate.narrow(now, Duration::from_secs(1));
    }
    assert_eq!(gate.state().limit, MOST_AT_ONCE / 2);
    for later in 2..20 {
        gate.narrow(now + Duration::from_secs(2 * later), Duration::from_secs(1));
    }
    assert_eq!(gate.state().limit, FEWEST_AT_ONCE);
    assert_eq!(gate.permits.available_permits(), FEWEST_AT_ONCE);
    for _ in 0..MOST_AT_ONCE * MOST_AT_ONCE {
        gate.widen();
    }
    assert_eq!(gate.state().limit, MOST_AT_ONCE);
    assert_eq!(gate.permits.available_permits(), MOST_AT_ONCE);
}

#[tokio::test(start_paused = true)]
async fn the_gate_narrows_while_all_permits_are_out_and_others_wait_for_them() {
    let gate = Gate::new();
    let mut out = Vec::new();
    for _ in 0..MOST_AT_ONCE {
        out.push(gate.permits.acquire().await.unwrap());
    }
    gate.narrow(Instant::now(), Duration::from_secs(1));
    for permit in out.drain(..MOST_AT_ONCE / 2) {
        gate.release(permit);
    }
    assert_eq!(gate.permits.available_permits(), 0);
    for permit in out {
        gate.release(permit);
    }
    assert_eq!(gate.permits.available_permits(), MOST_AT_ONCE / 2);
}

#[tokio::test(start_paused = true)]
async fn one_write_of_a_service_at_a_time_and_a_newer_one_replaces_what_waits() {
    let (writer, log) = writer(|number, _| match number {
        0 => Answer::Refused,
        _ => fake::status(409, "Conflict", "another version"),
    });
    let write = |version: &'static str| {
        let writer = writer.clone();
        tokio::spawn(async move { writer.write(wanted("web", version)).await })
    };
    let first = write("5");
    tokio::task::yield_now().await;
    let second = write("6");
    tokio::task::yield_now().await;
    let third = write("7");
    assert_eq!(second.await.unwrap(), Err(WriteError::Conflict));
    assert_eq!(asked(&log), [PUT]);
    assert_eq!(first.await.unwrap(), Err(WriteError::Conflict));
    assert_eq!(third.await.unwrap(), Err(WriteError::Conflict));
    assert_eq!(asked(&log), [PUT, PUT, READ]);
    assert_eq!(writer.lock().len(), 0);
    assert_eq!(writer.waiting.load(Ordering::Acquire), 0);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_write_leaves_its_place() {
    let (writer, _) = writer(|number, _| match number {
        0 => Answer::Silence,
        _ => Answer::Json(200, json!({})),
    });
    let stuck =
        tokio::time::timeout(Duration::from_secs(1), writer.write(wanted("web", "5"))).await;
    assert!(stuck.is_err());
    assert_eq!(writer.lock().len(), 0);
    writer.idle(Duration::from_secs(1000)).await;
    assert_eq!(writer.gate.permits.available_permits(), MOST_AT_ONCE);
}
