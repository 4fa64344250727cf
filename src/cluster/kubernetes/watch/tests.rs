use std::sync::{Arc, Mutex};

use serde_json::json;

use super::*;
use crate::cluster::kubernetes::Services;
use crate::cluster::kubernetes::fake::{self, Answer, Log, SOON};
use crate::cluster::kubernetes::store::ServiceStore;
use crate::journal::Record;

fn service(name: &str, version: u32) -> Value {
    json!({
        "metadata": {"name": name, "namespace": "shop", "resourceVersion": version.to_string()},
        "spec": {"type": "LoadBalancer"},
    })
}

fn page(version: u32, items: &[Value], next: &str) -> Answer {
    let metadata = json!({"resourceVersion": version.to_string(), "continue": next});
    Answer::Json(
        200,
        json!({"kind": "ServiceList", "metadata": metadata, "items": items}),
    )
}

fn line(kind: &str, object: &Value) -> String {
    format!("{}\n", json!({"type": kind, "object": object}))
}

type Sender = mpsc::UnboundedSender<String>;

/// A watch that says these lines; it stays open while the sender lives.
fn stream(lines: &[String]) -> (Sender, Answer) {
    let (sender, receiver) = mpsc::unbounded_channel();
    for line in lines {
        sender.send(line.clone()).unwrap();
    }
    (sender, Answer::Stream(receiver))
}

struct Running {
    changes: mpsc::Receiver<Change>,
    asked: Log,
    said: Arc<Mutex<Vec<Record>>>,
    task: tokio::task::JoinHandle<Ended>,
}

fn start(replaceable: bool, answers: Vec<Answer>) -> Running {
    let answers = Mutex::new(std::collections::VecDeque::from(answers));
    let (api, asked) = fake::server(move |_, _| {
        let next = answers.lock().unwrap().pop_front();
        next.unwrap_or(Answer::Silence)
    });
    let (reporter, said) = fake::reporter();
    let (out, changes) = mpsc::channel(64);
    let target = Target {
        path: "/api/v1/services".to_owned(),
        field_selector: None,
        resource: "services",
        page: 2,
        kind: Kind::Services,
        replaceable,
    };
    let task = tokio::spawn(async move {
        let mut store = ServiceStore::new(Services::Full, None);
        run(&api, &reporter, &target, &mut store, &out, None).await
    });
    Running {
        changes,
        asked,
        said,
        task,
    }
}

impl Running {
    /// The next change, in short.
    async fn next(&mut self) -> String {
        let change = tokio::time::timeout(SOON, self.changes.recv()).await;
        match change.expect("a change comes").expect("the watch goes on") {
            Change::Service(service) => {
                format!("{}@{}", service.key.name(), service.resource_version)
            }
            Change::ServiceGone(key) => format!("-{}", key.name()),
            Change::Synced(kind) => format!("{kind:?}"),
            other => format!("{other:?}"),
        }
    }

    async fn expect(&mut self, wanted: &[&str]) {
        for wanted in wanted {
            assert_eq!(self.next().await, *wanted);
        }
    }

    /// What was asked, without what is random.
    fn asked(&self) -> Vec<String> {
        let log = self.asked.lock().unwrap();
        let uris = log.iter().map(|seen| {
            let (path, query) = seen.uri.split_once('?').unwrap_or((&seen.uri, ""));
            assert_eq!(path, "/api/v1/services");
            let wanted = |pair: &&str| !pair.is_empty() && !pair.starts_with("timeoutSeconds=");
            query
                .split('&')
                .filter(wanted)
                .collect::<Vec<_>>()
                .join("&")
        });
        uris.collect()
    }
}

const WATCH_9: &str = "watch=true&allowWatchBookmarks=true&resourceVersion=9";

#[tokio::test(start_paused = true)]
async fn a_list_is_read_in_pages_and_watched_from_its_version_on() {
    let web = service("web", 12);
    let (_open, watch) = stream(&[line("MODIFIED", &web), line("DELETED", &web)]);
    let mut running = start(
        false,
        vec![
            page(9, &[service("a", 1), service("web", 2)], "more"),
            page(9, &[service("c", 3)], ""),
            watch,
        ],
    );
    running
        .expect(&["a@1", "web@2", "c@3", "Services", "web@12", "-web"])
        .await;
    assert_eq!(
        running.asked(),
        ["limit=2", "limit=2&continue=more", WATCH_9]
    );
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_ends_is_resumed_where_it_was_and_bookmarks_count() {
    let (first, watch) = stream(&[line("ADDED", &service("a", 11))]);
    let (_second, again) = stream(&[line("ADDED", &service("b", 41))]);
    let mut running = start(false, vec![page(9, &[], ""), watch, again]);
    running.expect(&["Services", "a@11"]).await;
    first.send(bookmark()).unwrap();
    tokio::time::sleep(Duration::from_secs(80)).await;
    drop(first);
    running.expect(&["b@41"]).await;
    let resumed = WATCH_9.replace("=9", "=40");
    assert_eq!(running.asked(), ["limit=2", WATCH_9, &resumed]);
    assert!(running.said.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_cut_off_object_is_read_again_and_lines_may_come_in_pieces() {
    let text = line("ADDED", &service("a", 11));
    let (head, tail) = text.split_at(30);
    let (first, watch) = stream(&[head.to_owned()]);
    let (_second, again) = stream(&[head.to_owned(), tail.to_owned()]);
    let mut running = start(false, vec![page(9, &[], ""), watch, again]);
    running.expect(&["Services"]).await;
    drop(first);
    running.expect(&["a@11"]).await;
    assert_eq!(running.asked(), ["limit=2", WATCH_9, WATCH_9]);
}

#[tokio::test(start_paused = true)]
async fn a_forgotten_version_is_listed_again_and_what_vanished_is_gone() {
    let gone = json!({"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"});
    let (_open, watch) = stream(&[line("ERROR", &gone)]);
    let mut running = start(
        false,
        vec![
            page(9, &[service("a", 1), service("b", 1)], ""),
            watch,
            page(20, &[service("b", 1), service("c", 15)], ""),
        ],
    );
    running
        .expect(&["a@1", "b@1", "Services", "c@15", "-a", "Services"])
        .await;
    assert!(running.said.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_page_that_expires_begins_the_list_anew() {
    let mut running = start(
        false,
        vec![
            page(9, &[service("a", 1)], "more"),
            fake::status(410, "Expired", "the provided continue parameter is too old"),
            page(20, &[service("a", 1), service("b", 12)], ""),
        ],
    );
    running.expect(&["a@1", "b@12", "Services"]).await;
    assert_eq!(
        running.asked()[..3],
        ["limit=2", "limit=2&continue=more", "limit=2"]
    );
}

#[tokio::test(start_paused = true)]
async fn while_the_server_is_away_nothing_changes_and_the_watch_resumes_without_a_list() {
    let (first, watch) = stream(&[]);
    let (_second, again) = stream(&[line("ADDED", &service("b", 41))]);
    let mut running = start(
        false,
        vec![
            page(9, &[service("a", 1)], ""),
            watch,
            Answer::Refused,
            Answer::Refused,
            Answer::Refused,
            again,
        ],
    );
    running.expect(&["a@1", "Services"]).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    drop(first);
    running.expect(&["b@41"]).await;
    let said = running.said.lock().unwrap();
    let messages: Vec<_> = said.iter().map(|record| record.msg.as_str()).collect();
    assert_eq!(
        messages,
        [
            "the API server cannot be reached; what runs stays as it is, trying again",
            "the API server is back"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_server_that_vanished_without_a_word_is_left_after_the_watch_should_have_ended() {
    let (_first, silent) = stream(&[]);
    let (_second, again) = stream(&[line("ADDED", &service("b", 41))]);
    let mut running = start(false, vec![page(9, &[], ""), silent, again]);
    running.expect(&["Services"]).await;
    let began = Instant::now();
    let change = tokio::time::timeout(Duration::from_secs(310), running.changes.recv()).await;
    assert!(matches!(change, Ok(Some(Change::Service(_)))));
    assert!(began.elapsed() >= Duration::from_secs(240));
}

fn bookmark() -> String {
    line(
        "BOOKMARK",
        &json!({"kind": "Service", "metadata": {"resourceVersion": "40"}}),
    )
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_owes_its_bookmark_is_begun_anew_and_that_is_said() {
    let (first, watch) = stream(&[]);
    let (_second, again) = stream(&[line("ADDED", &service("b", 41))]);
    let mut running = start(false, vec![page(9, &[], ""), watch, again]);
    running.expect(&["Services"]).await;
    let began = Instant::now();
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_secs(60)).await;
        first.send(bookmark()).unwrap();
    }
    let change = tokio::time::timeout(Duration::from_secs(310), running.changes.recv()).await;
    assert!(matches!(change, Ok(Some(Change::Service(_)))));
    assert_eq!(began.elapsed().as_secs(), 3 * 60 + 90);
    let resumed = WATCH_9.replace("=9", "=40");
    assert_eq!(running.asked(), ["limit=2", WATCH_9, &resumed]);
    let said = running.said.lock().unwrap();
    let [said] = &said[..] else {
        panic!("{said:?}");
    };
    assert!(format!("{said:?}").contains("watchLost"), "{said:?}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_sends_bookmarks_at_the_end_alone_may_be_silent_before() {
    let (first, watch) = stream(&[]);
    let (_second, silent) = stream(&[]);
    let (_third, again) = stream(&[line("ADDED", &service("b", 41))]);
    let mut running = start(false, vec![page(9, &[], ""), watch, silent, again]);
    running.expect(&["Services"]).await;
    let timeout = async {
        loop {
            if let Some(seen) = running.asked.lock().unwrap().get(1) {
                let (_, timeout) = seen.uri.split_once("timeoutSeconds=").unwrap();
                return timeout.split('&').next().unwrap().parse::<u64>().unwrap();
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::sleep(Duration::from_secs(timeout.await - 2)).await;
    first.send(bookmark()).unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    drop(first);
    let began = Instant::now();
    let change = tokio::time::timeout(Duration::from_secs(310), running.changes.recv()).await;
    assert!(matches!(change, Ok(Some(Change::Service(_)))));
    assert!(began.elapsed() >= Duration::from_secs(240));
    assert!(running.said.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_said_with_verb_and_resource_and_tried_again() {
    let refusal = || fake::status(403, "Forbidden", "services is forbidden");
    let mut running = start(false, vec![refusal(), refusal(), page(9, &[], "")]);
    running.expect(&["Services"]).await;
    let said = running.said.lock().unwrap();
    let error = said[0].error.clone().unwrap();
    assert!(
        error.starts_with("the service account may not list services: "),
        "{error}"
    );
    assert_eq!(said.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_can_be_replaced_is_left_when_it_is_not_served() {
    let running = start(
        true,
        vec![fake::status(404, "NotFound", "no such resource")],
    );
    assert_eq!(running.task.await.unwrap(), Ended::NotServed);
    let (_open, watch) = stream(&[]);
    drop(_open);
    let running = start(
        true,
        vec![
            page(9, &[], ""),
            watch,
            fake::status(404, "NotFound", "gone"),
        ],
    );
    assert_eq!(running.task.await.unwrap(), Ended::NotServed);
}

#[tokio::test(start_paused = true)]
async fn an_overloaded_server_is_left_alone_for_as_long_as_it_says() {
    let mut running = start(false, vec![Answer::Later(429, 40), page(9, &[], "")]);
    let began = Instant::now();
    running.expect(&["Services"]).await;
    assert!(began.elapsed() >= Duration::from_secs(40));
}

#[tokio::test(start_paused = true)]
async fn an_object_that_is_not_understood_is_left_out_and_said() {
    let odd = json!({"metadata": {"name": "odd", "namespace": "shop", "resourceVersion": "10"}, "spec": {"type": 7}});
    let (_open, watch) = stream(&[line("ADDED", &odd), line("ADDED", &service("b", 11))]);
    let mut running = start(false, vec![page(9, &[odd, service("a", 1)], ""), watch]);
    running.expect(&["a@1", "Services", "b@11"]).await;
    let said = running.said.lock().unwrap();
    assert_eq!(said.len(), 1);
    assert!(
        said[0].error.clone().unwrap().contains("shop/odd"),
        "{:?}",
        said[0]
    );
}

#[tokio::test(start_paused = true)]
async fn nobody_listening_ends_the_watch() {
    let (_open, watch) = stream(&[]);
    let Running {
        mut changes, task, ..
    } = start(false, vec![page(9, &[], ""), watch]);
    assert_eq!(changes.recv().await, Some(Change::Synced(Kind::Services)));
    drop(changes);
    assert_eq!(task.await.unwrap(), Ended::ConsumerGone);
}

proptest::proptest! {
    #[test]
    fn no_bytes_from_the_server_panic(line: Vec<u8>, text in r#"\{"type":"(ADDED|DELETED|ERROR|X)","object":[\[\]{}":a-z0-9,]{0,40}\}"#) {
        let mut store = ServiceStore::new(Services::Full, None);
        let mut changes = Vec::new();
        let _ = read_line(&line, &mut store, &mut changes);
        let _ = read_page(&line, &mut store, &mut changes);
        let _ = read_line(text.as_bytes(), &mut store, &mut changes);
        let _ = read_page(text.as_bytes(), &mut store, &mut changes);
    }
}
