//! When to look again: notifications of the kernel, gathered, and a clock behind them.
//!
//! Folders are watched, not files: editors and Kubernetes replace files. A burst of notifications is one word to look,
//! [`QUIET`] after its last and at most [`PATIENCE`] after its first. Behind the notifications stands a clock
//! ([`SELDOM`]), for file systems that change without notice; where there is no inotify the clock alone, faster
//! ([`POLL`]).

#![expect(
    clippy::disallowed_methods,
    reason = "driver: owns the watch and its clock"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use crate::journal::{Level, Record};

/// A burst has ended when nothing was notified for this long.
const QUIET: Duration = Duration::from_millis(40);
/// A burst that does not end is looked at after this long.
const PATIENCE: Duration = Duration::from_millis(150);
/// How often to look without inotify.
const POLL: Duration = Duration::from_secs(2);
/// How often to look although nothing was notified (network file systems, lost notifications).
const SELDOM: Duration = Duration::from_secs(10);
/// Most folders watched at once; beyond it, the clock has to do.
const MOST: usize = 64;

/// A watch over some folders.
#[derive(Debug)]
pub(crate) struct Watch {
    watcher: Option<RecommendedWatcher>,
    signal: mpsc::Receiver<()>,
    /// When the burst under way began.
    burst: Option<Instant>,
    /// What is watched, with the identity that it had then: a folder that was replaced is watched anew.
    watched: BTreeMap<PathBuf, Option<(u64, u64)>>,
    complete: bool,
    said: bool,
}

impl Watch {
    /// A watch that watches nothing yet. `accept` says whether a path that changed is of interest.
    pub(crate) fn new(accept: impl Fn(&Path) -> bool + Send + 'static) -> (Self, Option<Record>) {
        // One waiting word is enough: the look that it causes sees everything.
        let (sender, signal) = mpsc::channel(1);
        let heard = move |event: notify::Result<Event>| {
            let interesting = match event {
                Ok(event) => is_change(event.kind) && event.paths.iter().any(|path| accept(path)),
                // The queue ran over, or worse: look.
                Err(_) => true,
            };
            if interesting {
                let _ = sender.try_send(());
            }
        };
        let (watcher, record) = match notify::recommended_watcher(heard) {
            Ok(watcher) => (Some(watcher), None),
            Err(error) => (
                None,
                Some(
                    Record::failed(
                        "watchDirectory",
                        error,
                        "inotify is not available: files are looked at every 2 s",
                    )
                    .at(Level::Warn),
                ),
            ),
        };
        let watch = Self {
            watcher,
            signal,
            burst: None,
            watched: BTreeMap::new(),
            complete: true,
            said: false,
        };
        (watch, record)
    }

    /// Watches exactly these folders from now on. What cannot be watched is left to the clock, and said once.
    pub(crate) fn follow(&mut self, folders: &BTreeSet<PathBuf>) -> Option<Record> {
        let watcher = self.watcher.as_mut()?;
        let mut first_error = None;
        self.watched.retain(|folder, identity| {
            let stays = folders.contains(folder) && *identity == identify(folder);
            if !stays {
                // A folder that is gone is not watched any more: an error says no more than that.
                let _ = watcher.unwatch(folder);
            }
            stays
        });
        self.complete = true;
        for folder in folders {
            if self.watched.contains_key(folder) {
                continue;
            }
            let identity = identify(folder);
            let watched = if self.watched.len() >= MOST {
                Err(notify::Error::generic("too many folders"))
            } else {
                watcher.watch(folder, RecursiveMode::NonRecursive)
            };
            match watched {
                Ok(()) => {
                    self.watched.insert(folder.clone(), identity);
                }
                Err(error) => {
                    self.complete = false;
                    first_error.get_or_insert((folder, error));
                }
            }
        }
        let (folder, error) = first_error?;
        if std::mem::replace(&mut self.said, true) {
            return None;
        }
        Some(
            Record::failed(
                "watchDirectory",
                error,
                "a folder cannot be watched: it is looked at every 2 s",
            )
            .at(Level::Warn)
            .with("directory", folder.display()),
        )
    }

    /// Waits until it is time to look: a burst of notifications has ended, or the clock says so, or `again` is over.
    ///
    /// Cancel-safety: safe; a burst that has begun is remembered.
    pub(crate) async fn time_to_look(&mut self, again: Option<Duration>) {
        if self.burst.is_none() {
            let clock = if self.watcher.is_some() && self.complete {
                SELDOM
            } else {
                POLL
            };
            match timeout(again.unwrap_or(clock), self.signal.recv()).await {
                Ok(Some(())) => self.burst = Some(Instant::now()),
                // The watcher is gone with its sender: the clock alone.
                Ok(None) => tokio::time::sleep(again.unwrap_or(POLL)).await,
                Err(_) => {}
            }
        }
        while let Some(begun) = self.burst {
            let left = PATIENCE.saturating_sub(begun.elapsed());
            if timeout(QUIET.min(left), self.signal.recv()).await.is_err() || left.is_zero() {
                self.burst = None;
            }
        }
    }
}

/// Whether something was changed; our own reading is notified too.
fn is_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(access) => access == AccessKind::Close(AccessMode::Write),
        EventKind::Any
        | EventKind::Create(_)
        | EventKind::Modify(_)
        | EventKind::Remove(_)
        | EventKind::Other => true,
    }
}

fn identify(folder: &Path) -> Option<(u64, u64)> {
    fs::metadata(folder)
        .ok()
        .map(|metadata| (metadata.dev(), metadata.ino()))
}
