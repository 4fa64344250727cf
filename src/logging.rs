//! The log: takes [`Record`]s from everywhere and writes them on stdout.
//!
//! What it is not: it decides nothing about what is worth saying. In: records through a [`Journal`], and the
//! libraries' `tracing` events from warn up through [`tracing_layer`]. Out: one JSON object a line as MetalLB 0.12
//! writes it (section 7 of its behaviour), or coloured lines for people where stdout is a terminal.
//!
//! Invariant: writing a record never waits. A queue of [`QUEUE`] records stands before the one thread that writes;
//! where stdout is slower than that, records are dropped and counted, and the next line that gets through says how many.

use std::io::{IsTerminal as _, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::journal::{Level, Record, Subject};

mod format;
mod libraries;

pub use format::Form;
pub use libraries::tracing_layer;

/// Records that wait for the writing thread: the burst of a cluster's first list at 10,000 Services fits in, and a
/// full queue costs some megabytes, not more.
pub const QUEUE: usize = 8192;

/// Bytes that are collected before they are written, where more records wait: one system call for many lines.
const BATCH: usize = 64 * 1024;

/// What is written: records from this level up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Threshold {
    /// Everything.
    All,
    /// From this level up.
    From(Level),
    /// Nothing.
    Nothing,
}

/// A `log-level` that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("log level {0:?} is unknown: use all, debug, info, warn, error or none")]
pub struct UnknownLevel(String);

impl std::str::FromStr for Threshold {
    type Err = UnknownLevel;

    fn from_str(text: &str) -> Result<Self, UnknownLevel> {
        match text {
            "all" => Ok(Self::All),
            "debug" => Ok(Self::From(Level::Debug)),
            "info" => Ok(Self::From(Level::Info)),
            "warn" => Ok(Self::From(Level::Warn)),
            "error" => Ok(Self::From(Level::Error)),
            "none" => Ok(Self::Nothing),
            _ => Err(UnknownLevel(text.to_owned())),
        }
    }
}

impl Threshold {
    fn lets(self, level: Level) -> bool {
        match self {
            Self::All => true,
            Self::From(least) => level >= least,
            Self::Nothing => false,
        }
    }
}

/// Where records go. Cheap to clone; every part of the program has one.
#[derive(Debug, Clone)]
pub struct Journal {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    threshold: Threshold,
    queue: SyncSender<Message>,
    dropped: AtomicU64,
}

#[derive(Debug)]
enum Message {
    Line(Box<Entry>),
    Flush(SyncSender<()>),
}

#[derive(Debug)]
struct Entry {
    at: SystemTime,
    record: Record,
}

impl Journal {
    /// Starts the thread that writes on stdout: JSON, or coloured lines on a terminal.
    ///
    /// # Errors
    ///
    /// The system refuses another thread.
    pub fn on_stdout(threshold: Threshold) -> std::io::Result<Self> {
        let stdout = std::io::stdout();
        let form = if stdout.is_terminal() {
            Form::Terminal {
                // https://no-color.org
                colour: std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
            }
        } else {
            Form::Json
        };
        Self::start(threshold, form, stdout)
    }

    /// Starts the thread that writes to `sink`.
    ///
    /// # Errors
    ///
    /// The system refuses another thread.
    pub fn start(
        threshold: Threshold,
        form: Form,
        sink: impl Write + Send + 'static,
    ) -> std::io::Result<Self> {
        let (queue, lines) = sync_channel(QUEUE);
        let shared = Arc::new(Shared {
            threshold,
            queue,
            dropped: AtomicU64::new(0),
        });
        let weak = Arc::downgrade(&shared);
        std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || {
                let dropped = || weak.upgrade().map_or(0, |shared| shared.dropped());
                write_lines(&lines, &dropped, form, sink);
            })?;
        Ok(Self { shared })
    }

    /// A journal that nobody reads, for tests and for programs that have no log.
    #[must_use]
    pub fn silent() -> Self {
        let (queue, _) = sync_channel(1);
        Self {
            shared: Arc::new(Shared {
                threshold: Threshold::Nothing,
                queue,
                dropped: AtomicU64::new(0),
            }),
        }
    }

    /// Writes one line, if its level is wanted. Never waits.
    pub fn write(&self, record: Record) {
        if !self.shared.threshold.lets(record.level) {
            return;
        }
        let entry = Box::new(Entry { at: now(), record });
        match self.shared.queue.try_send(Message::Line(entry)) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.shared.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Lines that were dropped so far because stdout did not take them.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.shared.dropped()
    }

    /// Waits until what was written before has left the program, at most for `patience`. Says whether it has.
    #[expect(
        clippy::disallowed_methods,
        reason = "at the end of the program, on its main thread: waits for the writing thread"
    )]
    pub fn flush(&self, patience: Duration) -> bool {
        let begun = std::time::Instant::now();
        let (done, wait) = sync_channel(1);
        let mut message = Message::Flush(done);
        loop {
            match self.shared.queue.try_send(message) {
                Ok(()) => break,
                Err(TrySendError::Disconnected(_)) => return false,
                Err(TrySendError::Full(back)) => message = back,
            }
            if begun.elapsed() >= patience {
                return false;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        wait.recv_timeout(patience.saturating_sub(begun.elapsed()))
            .is_ok()
    }
}

impl Shared {
    fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "driver: a log line says when it was written"
)]
fn now() -> SystemTime {
    SystemTime::now()
}

/// The writing thread: ends when every journal is gone.
fn write_lines(
    lines: &Receiver<Message>,
    dropped: &impl Fn() -> u64,
    form: Form,
    mut sink: impl Write,
) {
    let mut batch = String::new();
    let mut told = 0;
    let mut waiting = Vec::new();
    while let Ok(first) = lines.recv() {
        let mut next = Ok(first);
        while let Ok(message) = next {
            match message {
                Message::Line(entry) => format::push(&mut batch, form, entry.at, &entry.record),
                Message::Flush(done) => waiting.push(done),
            }
            if batch.len() >= BATCH {
                break;
            }
            next = lines.try_recv();
        }
        let lost = dropped();
        if lost > told {
            format::push(&mut batch, form, now(), &lines_dropped(lost - told));
            told = lost;
        }
        // A stdout that is closed or broken must not end the program: there is nobody left to tell.
        let _ = sink.write_all(batch.as_bytes());
        let _ = sink.flush();
        batch.clear();
        for done in waiting.drain(..) {
            let _ = done.try_send(());
        }
    }
}

fn lines_dropped(count: u64) -> Record {
    Record::event(
        "logLinesDropped",
        "stdout did not take the log as fast as it was written: lines are missing here",
    )
    .at(Level::Warn)
    .with("count", count)
}

/// Seconds and nanoseconds since 1970, also before it.
fn since_epoch(at: SystemTime) -> (i64, u32) {
    match at.duration_since(UNIX_EPOCH) {
        Ok(after) => (
            i64::try_from(after.as_secs()).unwrap_or(i64::MAX),
            after.subsec_nanos(),
        ),
        Err(before) => {
            let before = before.duration();
            let seconds = i64::try_from(before.as_secs()).unwrap_or(i64::MAX);
            match before.subsec_nanos() {
                0 => (-seconds, 0),
                nanoseconds => (-seconds - 1, 1_000_000_000 - nanoseconds),
            }
        }
    }
}

/// The key and the value of a record's subject.
fn subject(record: &Record) -> (&'static str, &'static str) {
    match record.subject {
        Subject::Event(name) => ("event", name),
        Subject::Op(name) => ("op", name),
    }
}

#[cfg(test)]
mod tests;
