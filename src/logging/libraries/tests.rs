use std::io::Write;
use std::sync::Arc;

use super::*;
use crate::logging::{Form, Threshold};

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn warnings_of_libraries_are_lines_and_chatter_is_not() {
    let sink = Sink::default();
    let journal = Journal::start(Threshold::All, Form::Json, sink.clone()).unwrap();
    tracing::subscriber::with_default(tracing_layer(journal.clone()), || {
        tracing::info!("not this");
        for _ in 0..3 {
            tracing::warn!(target: "kube", error = "refused", attempt = 3, "watch {}", "ended");
        }
        tracing::error!("broken");
    });
    assert!(journal.flush(Duration::from_secs(20)));
    let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert_eq!(lines[0]["op"], "kube");
    assert_eq!(lines[0]["level"], "warn");
    assert_eq!(lines[0]["msg"], "watch ended");
    assert_eq!(lines[0]["error"], "refused");
    assert_eq!(lines[0]["attempt"], "3");
    assert_eq!(lines[1]["level"], "error");
    assert_eq!(lines[1]["msg"], "broken");
}

#[test]
fn a_repetition_is_counted_and_told_a_minute_later() {
    let libraries = Libraries {
        journal: Journal::silent(),
        said: Mutex::new(HashMap::new()),
    };
    let start = now();
    let due =
        |text: &str, seconds| libraries.due(text.to_owned(), start + Duration::from_secs(seconds));
    assert_eq!(due("a", 0), Some(0));
    assert_eq!(due("a", 1), None);
    assert_eq!(due("b", 1), Some(0));
    assert_eq!(due("a", 59), None);
    assert_eq!(due("a", 60), Some(2));
    assert_eq!(due("a", 61), None);
    for n in 0..2 * REMEMBERED {
        due(&n.to_string(), 62);
    }
    assert!(libraries.said.lock().unwrap().len() <= REMEMBERED);
}
