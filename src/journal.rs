//! What the program says, as values: a line of the log before anything has written it.
//!
//! The pure side makes [`Record`]s; `logging` writes them. Field names and event names are the contract's
//! (MetalLB 0.12 logs one JSON object a line: `caller`, `level`, `ts`, `msg`, and `op` or `event`).

use std::fmt::Display;
use std::panic::Location;

/// How loud a record is, in go-kit's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For those who look for a fault.
    Debug,
    /// What happened.
    Info,
    /// Somebody should look.
    Warn,
    /// Something failed.
    Error,
}

/// One line of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// How loud.
    pub level: Level,
    /// What it is about.
    pub subject: Subject,
    /// The sentence.
    pub msg: String,
    /// `error`, where something failed.
    pub error: Option<String>,
    /// Further fields, in order: `service`, `ips`, `pool`, `protocol`, `reason` …
    pub fields: Vec<(&'static str, String)>,
    /// Where in our source it was made.
    pub caller: Caller,
}

/// A place in our source. It says nothing about what happened, so any two are equal.
#[derive(Debug, Clone, Copy)]
pub struct Caller(pub &'static Location<'static>);

impl Caller {
    /// The place that called the function that called this one.
    #[must_use]
    #[track_caller]
    pub fn here() -> Self {
        Self(Location::caller())
    }
}

impl PartialEq for Caller {
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

impl Eq for Caller {}

/// The `event` or the `op` of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// Something that happened: field `event`.
    Event(&'static str),
    /// Something that was tried: field `op`.
    Op(&'static str),
}

impl Record {
    /// Something that happened, at level info.
    #[track_caller]
    pub fn event(name: &'static str, msg: impl Into<String>) -> Self {
        Self {
            level: Level::Info,
            subject: Subject::Event(name),
            msg: msg.into(),
            error: None,
            fields: Vec::new(),
            caller: Caller::here(),
        }
    }

    /// An operation that failed, at level error.
    #[track_caller]
    pub fn failed(op: &'static str, error: impl Display, msg: impl Into<String>) -> Self {
        Self {
            level: Level::Error,
            subject: Subject::Op(op),
            msg: msg.into(),
            error: Some(error.to_string()),
            fields: Vec::new(),
            caller: Caller::here(),
        }
    }

    /// The same, with the error that is behind it.
    #[must_use]
    pub fn because(mut self, error: impl Display) -> Self {
        self.error = Some(error.to_string());
        self
    }

    /// The same, at another level.
    #[must_use]
    pub fn at(mut self, level: Level) -> Self {
        self.level = level;
        self
    }

    /// The same, with one more field.
    #[must_use]
    pub fn with(mut self, field: &'static str, value: impl Display) -> Self {
        self.fields.push((field, value.to_string()));
        self
    }
}

/// How many items of a list a line shows.
const LISTED: usize = 10;

/// A list as the value of a field: the first ten, joined by `, `, and how many more there are.
pub fn listed<T: Display>(items: impl ExactSizeIterator<Item = T>) -> String {
    let more = items.len().saturating_sub(LISTED);
    let mut text = String::new();
    for (index, item) in items.take(LISTED).enumerate() {
        if index > 0 {
            text.push_str(", ");
        }
        text.push_str(&item.to_string());
    }
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    text
}

#[cfg(test)]
mod tests;
