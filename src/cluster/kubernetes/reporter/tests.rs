use std::sync::Arc;

use super::*;

const LIST: Operation = Operation {
    verb: "list",
    resource: "services",
};
const WATCH: Operation = Operation {
    verb: "watch",
    resource: "nodes",
};

fn reporter() -> (Reporter, Arc<Mutex<Vec<Record>>>) {
    let said = Arc::new(Mutex::new(Vec::new()));
    let log = said.clone();
    let journal: Journal = Arc::new(move |record| log.lock().unwrap().push(record));
    (Reporter::new(journal, start()), said)
}

fn refused(code: u16) -> Failure {
    Failure::Status {
        code,
        reason: String::new(),
        message: "no".to_owned(),
        retry_after: None,
    }
}

#[expect(clippy::disallowed_methods, reason = "a point to count from")]
fn start() -> Instant {
    Instant::now()
}

#[test]
fn a_server_that_is_away_is_one_line_for_all_operations_until_it_is_back() {
    let (reporter, said) = reporter();
    let now = start();
    let away = Failure::Transport("connection refused".to_owned());
    for second in 0..50 {
        reporter.failed(now + Duration::from_secs(second), LIST, &away);
        reporter.failed(now + Duration::from_secs(second), WATCH, &away);
    }
    assert_eq!(said.lock().unwrap().len(), 1);
    reporter.failed(now + Duration::from_secs(61), WATCH, &away);
    assert_eq!(said.lock().unwrap().len(), 2);
    reporter.worked(LIST);
    reporter.worked(WATCH);
    let said = said.lock().unwrap();
    assert_eq!(said.len(), 3);
    assert_eq!(said[2].msg, "the API server is back");
}

#[test]
fn a_refusal_names_verb_and_resource_and_what_to_grant() {
    let (reporter, said) = reporter();
    reporter.failed(start() + SETTLING, LIST, &refused(403));
    let said = said.lock().unwrap();
    let error = said[0].error.clone().unwrap();
    assert!(
        error.starts_with("the service account may not list services: no (HTTP 403); grant"),
        "{error}"
    );
}

#[test]
fn each_cause_of_each_operation_is_said_and_the_success_of_one_says_nothing_of_the_other() {
    let (reporter, said) = reporter();
    let now = start() + SETTLING;
    reporter.failed(now, LIST, &refused(403));
    reporter.failed(now, LIST, &refused(500));
    reporter.failed(now, WATCH, &refused(403));
    assert_eq!(said.lock().unwrap().len(), 3);
    reporter.worked(LIST);
    assert_eq!(said.lock().unwrap().len(), 4);
    reporter.failed(now, WATCH, &refused(403));
    assert_eq!(said.lock().unwrap().len(), 4);
    reporter.failed(now, LIST, &refused(403));
    assert_eq!(said.lock().unwrap().len(), 5);
}

#[test]
fn nothing_is_said_of_what_always_works() {
    let (reporter, said) = reporter();
    reporter.worked(LIST);
    assert!(said.lock().unwrap().is_empty());
}

#[test]
fn a_refusal_right_after_an_outage_is_not_believed() {
    let (reporter, said) = reporter();
    let now = start() + 2 * SETTLING;
    assert!(reporter.is_refusal(now, &refused(403)));
    assert!(!reporter.is_refusal(now, &refused(500)));
    reporter.failed(now, LIST, &Failure::Transport("reset".to_owned()));
    reporter.worked(WATCH);
    let soon = now + Duration::from_secs(5);
    reporter.failed(soon, LIST, &refused(403));
    assert!(!reporter.is_refusal(soon, &refused(403)));
    assert_eq!(said.lock().unwrap().len(), 2);
    let later = now + SETTLING;
    assert!(reporter.is_refusal(later, &refused(403)));
    reporter.failed(later, LIST, &refused(403));
    assert_eq!(said.lock().unwrap().len(), 3);
}
