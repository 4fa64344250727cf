use std::sync::{Arc, Condvar, Mutex};

use super::*;

/// A sink that keeps what it got, and that can be shut.
#[derive(Clone, Default)]
struct Sink(Arc<(Mutex<State>, Condvar)>);

#[derive(Default)]
struct State {
    shut: bool,
    text: Vec<u8>,
}

impl Sink {
    fn shut(&self, shut: bool) {
        self.0.0.lock().unwrap().shut = shut;
        self.0.1.notify_all();
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.0.lock().unwrap().text.clone()).unwrap()
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let state = self.0.0.lock().unwrap();
        let mut state = self.0.1.wait_while(state, |state| state.shut).unwrap();
        state.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

const LONG: Duration = Duration::from_secs(20);

fn entry(form: Form, record: &Record) -> String {
    let mut text = String::new();
    let at = UNIX_EPOCH + Duration::new(1_795_458_360, 123_456_789);
    format::push(&mut text, form, at, record);
    text
}

fn announced() -> Record {
    Record::event("serviceAnnounced", "service has IP, announcing")
        .with("service", "default/nginx")
        .with("ips", "192.0.2.1,2001:db8::1")
        .with("protocol", "layer2")
}

#[test]
fn a_line_is_go_kit_s_json() {
    let record = announced();
    assert_eq!(
        entry(Form::Json, &record),
        format!(
            "{{\"caller\":\"logging/tests.rs:{}\",\"event\":\"serviceAnnounced\",\
             \"ips\":[\"192.0.2.1\",\"2001:db8::1\"],\"level\":\"info\",\
             \"msg\":\"service has IP, announcing\",\"protocol\":\"layer2\",\
             \"service\":\"default/nginx\",\"ts\":\"2026-11-23T18:26:00.123456789Z\"}}\n",
            record.caller.0.line()
        )
    );
}

#[test]
fn a_failure_names_its_op_and_its_error() {
    let record = Record::failed("updateServiceStatus", "a <b> \"c\"", "failed").at(Level::Warn);
    assert_eq!(
        entry(Form::Json, &record),
        format!(
            "{{\"caller\":\"logging/tests.rs:{}\",\"error\":\"a <b> \\\"c\\\"\",\"level\":\"warn\",\
             \"msg\":\"failed\",\"op\":\"updateServiceStatus\",\"ts\":\"2026-11-23T18:26:00.123456789Z\"}}\n",
            record.caller.0.line()
        )
    );
}

#[test]
fn a_field_cannot_hide_the_line_s_own_keys() {
    let record = Record::event("noChange", "true").with("msg", "false");
    assert!(entry(Form::Json, &record).contains(r#""msg":"true""#));
}

#[test]
fn every_line_parses_as_json() {
    let record = announced().with("reason", "\u{0}\u{1b}[31m\u{2028}\"\\é😀\u{7f}");
    let line = entry(Form::Json, &record);
    let value: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(value["reason"], "\u{0}\u{1b}[31m\u{2028}\"\\é😀\u{7f}");
    assert_eq!(line.matches('\n').count(), 1);
}

#[test]
fn on_a_terminal_the_sentence_comes_first() {
    let plain = Form::Terminal { colour: false };
    assert_eq!(
        entry(plain, &announced()),
        "18:26:00.123 INFO  service has IP, announcing service=default/nginx ips=192.0.2.1,2001:db8::1 \
         protocol=layer2 event=serviceAnnounced\n"
    );
    let failed = Record::failed("watch", "no route", "cannot list Services");
    assert_eq!(
        entry(plain, &failed),
        "18:26:00.123 ERROR cannot list Services: no route op=watch\n"
    );
    assert_eq!(
        entry(Form::Terminal { colour: true }, &failed),
        "\x1b[2m18:26:00.123\x1b[0m \x1b[31mERROR\x1b[0m cannot list Services: \x1b[31mno route\x1b[0m \
         \x1b[2mop=\x1b[0mwatch\n"
    );
}

#[test]
fn a_service_s_text_cannot_drive_the_terminal() {
    let line = entry(
        Form::Terminal { colour: false },
        &Record::event("noChange", "a\x1b]0;b\x07\nc"),
    );
    assert!(line.contains(r"a\u{1b}]0;b\u{7}\nc"), "{line}");
    assert_eq!(line.matches('\n').count(), 1);
}

#[test]
fn levels_below_the_threshold_are_not_written() {
    for (threshold, want) in [
        ("all", "debug info warn error"),
        ("debug", "debug info warn error"),
        ("info", "info warn error"),
        ("warn", "warn error"),
        ("error", "error"),
        ("none", ""),
    ] {
        let sink = Sink::default();
        let journal = Journal::start(threshold.parse().unwrap(), Form::Json, sink.clone()).unwrap();
        for level in [Level::Debug, Level::Info, Level::Warn, Level::Error] {
            journal.write(Record::event("x", "y").at(level));
        }
        assert!(journal.flush(LONG));
        let levels: Vec<String> = sink
            .text()
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
            .map(|line| line["level"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(levels.join(" "), want, "{threshold}");
        assert_eq!(journal.dropped(), 0, "{threshold}");
    }
    assert_eq!(
        "loud".parse::<Threshold>().unwrap_err().to_string(),
        "log level \"loud\" is unknown: use all, debug, info, warn, error or none"
    );
}

#[test]
fn a_stdout_that_does_not_move_costs_lines_and_no_time() {
    let sink = Sink::default();
    let journal = Journal::start(Threshold::All, Form::Json, sink.clone()).unwrap();
    sink.shut(true);
    let many = 3 * QUEUE;
    for n in 0..many {
        journal.write(Record::event("x", n.to_string()));
    }
    let lost = journal.dropped();
    assert!(lost > 0);
    assert!(!journal.flush(Duration::from_millis(20)));
    sink.shut(false);
    assert!(journal.flush(LONG));
    journal.write(Record::event("x", "last"));
    assert!(journal.flush(LONG));

    let mut written = 0;
    let mut said = 0;
    for line in sink.text().lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        if line["event"] == "logLinesDropped" {
            said += line["count"].as_str().unwrap().parse::<u64>().unwrap();
        } else {
            written += 1;
        }
    }
    assert_eq!(said, lost);
    assert_eq!(written + lost, u64::try_from(many).unwrap() + 1);
}

#[test]
fn times_before_1970_are_times_too() {
    let at = |before| since_epoch(UNIX_EPOCH - before);
    assert_eq!(at(Duration::from_secs(1)), (-1, 0));
    assert_eq!(at(Duration::from_millis(250)), (-1, 750_000_000));
    assert_eq!(at(Duration::from_millis(1250)), (-2, 750_000_000));
}
