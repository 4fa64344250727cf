//! What the libraries say by `tracing` (kube, hyper, tower …), from warn up, as lines of our log.
//!
//! A library that meets the same trouble at each attempt says it once a minute here: the first time at once, then
//! with the number of repetitions.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

use super::Journal;
use crate::journal::{Caller, Level, Record, Subject};

/// How long the same text from the same place is only counted.
const QUIET: Duration = Duration::from_secs(60);

/// Texts that are remembered; beyond, all are forgotten, so that memory stays bounded.
const REMEMBERED: usize = 256;

/// The subscriber that sends the libraries' warnings and errors to the journal. Install it once, in `main`.
pub fn tracing_layer(journal: Journal) -> impl Subscriber + Send + Sync {
    tracing_subscriber::registry().with(
        Libraries {
            journal,
            said: Mutex::new(HashMap::new()),
        }
        .with_filter(LevelFilter::WARN),
    )
}

struct Libraries {
    journal: Journal,
    said: Mutex<HashMap<String, Said>>,
}

struct Said {
    at: Instant,
    repeated: u64,
}

impl<S: Subscriber> Layer<S> for Libraries {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let metadata = event.metadata();
        let mut record = Record {
            level: if *metadata.level() == tracing::Level::ERROR {
                Level::Error
            } else {
                Level::Warn
            },
            subject: Subject::Op(metadata.target()),
            msg: String::new(),
            error: None,
            fields: Vec::new(),
            caller: Caller::here(),
        };
        event.record(&mut Fields(&mut record));
        let text = format!("{} {} {:?}", metadata.target(), record.msg, record.error);
        if let Some(repeated) = self.due(text, now()) {
            if repeated > 0 {
                record = record.with("repeated", repeated);
            }
            self.journal.write(record);
        }
    }
}

impl Libraries {
    /// How often the text was swallowed since it was last written, if it is time to write it again.
    fn due(&self, text: String, now: Instant) -> Option<u64> {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(said) = said.get_mut(&text) {
            if now.duration_since(said.at) < QUIET {
                said.repeated += 1;
                return None;
            }
            let repeated = said.repeated;
            *said = Said {
                at: now,
                repeated: 0,
            };
            return Some(repeated);
        }
        if said.len() >= REMEMBERED {
            said.clear();
        }
        said.insert(
            text,
            Said {
                at: now,
                repeated: 0,
            },
        );
        Some(0)
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "driver: how long a repetition stays quiet"
)]
fn now() -> Instant {
    Instant::now()
}

struct Fields<'a>(&'a mut Record);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.push(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.push(field, value.to_owned());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        // The causes are what says what is wrong.
        let mut text = value.to_string();
        let mut source = value.source();
        while let Some(cause) = source {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            source = cause.source();
        }
        self.push(field, text);
    }
}

impl Fields<'_> {
    fn push(&mut self, field: &Field, value: String) {
        match field.name() {
            "message" => self.0.msg = value,
            "error" | "err" => self.0.error = Some(value),
            name => self.0.fields.push((name, value)),
        }
    }
}

#[cfg(test)]
mod tests;
