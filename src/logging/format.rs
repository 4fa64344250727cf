//! How a record looks: go-kit's JSON, or a line for people.

use std::fmt::Write as _;
use std::time::SystemTime;

use ferrolb_compat::go::json_log::{self, Value};

use super::{since_epoch, subject};
use crate::journal::{Caller, Level, Record};

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// One JSON object a line.
    Json,
    /// Time, level, sentence, fields.
    Terminal {
        /// Whether with ANSI colours.
        colour: bool,
    },
}

/// Fields that 0.12 logs as lists; ours come as texts separated by commas.
const LISTS: [&str; 1] = ["ips"];

pub(super) fn push(batch: &mut String, form: Form, at: SystemTime, record: &Record) {
    match form {
        Form::Json => batch.push_str(&json(at, record)),
        Form::Terminal { colour } => terminal(batch, colour, at, record),
    }
}

fn json(at: SystemTime, record: &Record) -> String {
    let (seconds, nanoseconds) = since_epoch(at);
    let ts = json_log::rfc3339_nano(seconds, nanoseconds);
    let caller = caller(record.caller);
    let (key, name) = subject(record);
    let own = [
        ("caller", caller.as_str()),
        ("level", level(record.level)),
        ("ts", &ts),
        (key, name),
        ("msg", &record.msg),
    ];
    // The line's own keys come last: a field cannot hide them.
    json_log::encode(
        record
            .fields
            .iter()
            .map(|(key, value)| {
                let value = if LISTS.contains(key) {
                    Value::List(value)
                } else {
                    Value::Text(value)
                };
                (*key, value)
            })
            .chain(own.map(|(key, value)| (key, Value::Text(value))))
            .chain(
                record
                    .error
                    .as_deref()
                    .map(|error| ("error", Value::Text(error))),
            ),
    )
}

fn terminal(batch: &mut String, colour: bool, at: SystemTime, record: &Record) {
    const RESET: &str = "\x1b[0m";
    let paint = |code: &'static str| if colour { code } else { "" };
    let reset = paint(RESET);
    let dim = paint("\x1b[2m");
    let (seconds, nanoseconds) = since_epoch(at);
    let second_of_day = seconds.rem_euclid(86_400);
    let (level_colour, level) = match record.level {
        Level::Debug => ("\x1b[36m", "DEBUG"),
        Level::Info => ("\x1b[32m", "INFO "),
        Level::Warn => ("\x1b[33m", "WARN "),
        Level::Error => ("\x1b[31m", "ERROR"),
    };
    let level_colour = paint(level_colour);
    // Writing to a String cannot fail.
    let _ = write!(
        batch,
        "{dim}{:02}:{:02}:{:02}.{:03}{reset} {level_colour}{level}{reset} ",
        second_of_day / 3600,
        second_of_day / 60 % 60,
        second_of_day % 60,
        nanoseconds / 1_000_000,
    );
    push_plain(batch, &record.msg);
    if let Some(error) = &record.error {
        batch.push_str(": ");
        batch.push_str(level_colour);
        push_plain(batch, error);
        batch.push_str(reset);
    }
    let (key, name) = subject(record);
    let fields = record
        .fields
        .iter()
        .map(|(key, value)| (*key, value.as_str()));
    for (key, value) in fields.chain([(key, name)]) {
        let _ = write!(batch, " {dim}{key}={reset}");
        push_plain(batch, value);
    }
    batch.push('\n');
}

/// Text without what would move the cursor or colour the terminal: it may come from a Service's author.
fn push_plain(batch: &mut String, text: &str) {
    for c in text.chars() {
        if c.is_control() {
            batch.extend(c.escape_default());
        } else {
            batch.push(c);
        }
    }
}

fn level(level: Level) -> &'static str {
    match level {
        Level::Debug => "debug",
        Level::Info => "info",
        Level::Warn => "warn",
        Level::Error => "error",
    }
}

/// `file:line`, the file as seen from `src`.
fn caller(caller: Caller) -> String {
    let file = caller.0.file();
    let file = file
        .rsplit_once("src/")
        .map_or(file, |(_, below_src)| below_src);
    format!("{file}:{}", caller.0.line())
}
