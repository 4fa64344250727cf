//! What is said about requests that fail: once for each cause, then seldom; and once when it is over. What the watches of a process
//! learn of the server is here, too.
//!
//! All watches of a process share one reporter, so that a server that is away is one line, not one for each watch.
//! Whoever waits for the server to come back is woken as soon as anybody has reached it.
//!
//! A server that has just started refuses what it will grant in a moment: it has not read its roles yet. So for
//! [`SETTLING`] after an outage, and after our own start, a refusal is a failure like any other, not an answer.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::Journal;
use super::client::Failure;
use crate::journal::{Level, Record};

/// When a cause that persists is mentioned again; doubled each time up to [`LONGEST_SILENCE`].
const FIRST_SILENCE: Duration = Duration::from_secs(60);

/// The longest time between two mentions of a cause that persists.
const LONGEST_SILENCE: Duration = Duration::from_secs(600);

/// How long after an outage a refusal (403) may be one of a server that has not read its roles.
const SETTLING: Duration = Duration::from_secs(10);

/// Causes remembered at once; there are a handful of operations with a handful of causes each.
const MOST_CAUSES: usize = 128;

/// An operation on a resource, for people: `list services`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Operation {
    /// The verb that RBAC would have to grant.
    pub(super) verb: &'static str,
    /// `services`, `endpointslices.discovery.k8s.io`: as `kubectl auth can-i` takes it.
    pub(super) resource: &'static str,
}

impl std::fmt::Display for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.verb, self.resource)
    }
}

/// The sentence for a failed request; a refusal says what would have to be granted.
pub(super) fn explain(operation: Operation, failure: &Failure) -> String {
    let Operation { verb, resource } = operation;
    match failure.code() {
        Some(403) => format!(
            "the service account may not {verb} {resource}: {failure}; grant it the verb {verb:?} on {resource:?}, as \
             manifests/metallb.yaml does"
        ),
        Some(401) => format!(
            "the API server does not accept our token to {verb} {resource}: {failure}; is it expired, or of another cluster?"
        ),
        _ => format!("cannot {verb} {resource}: {failure}"),
    }
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Cause {
    /// The server is not reached: the same for all operations.
    Away,
    /// The server answers this operation with this code.
    Answer(Operation, u16),
    /// The server's answers to this operation are not understood.
    Malformed(Operation),
}

struct Mention {
    again: Instant,
    silence: Duration,
}

/// See the module.
pub(super) struct Reporter {
    journal: Journal,
    mentions: Mutex<BTreeMap<Cause, Mention>>,
    /// When the server was away last, or our start.
    away: Mutex<Instant>,
    back: Notify,
    bookmarks: AtomicBool,
}

impl Reporter {
    pub(super) fn new(journal: Journal, now: Instant) -> Self {
        Self {
            journal,
            mentions: Mutex::default(),
            away: Mutex::new(now),
            back: Notify::new(),
            bookmarks: AtomicBool::new(false),
        }
    }

    /// Says something that is no failure of a request.
    pub(super) fn say(&self, record: Record) {
        (self.journal)(record);
    }

    /// Whether this failure is a refusal that will stay.
    pub(super) fn is_refusal(&self, now: Instant, failure: &Failure) -> bool {
        failure.code() == Some(403) && !self.is_settling(now)
    }

    fn is_settling(&self, now: Instant) -> bool {
        let away = *self.away.lock().unwrap_or_else(PoisonError::into_inner);
        now.saturating_duration_since(away) < SETTLING
    }

    /// A request failed at `now`; it is tried again.
    pub(super) fn failed(&self, now: Instant, operation: Operation, failure: &Failure) {
        let cause = match failure {
            Failure::Status { code, .. } => Cause::Answer(operation, *code),
            Failure::Malformed(_) => Cause::Malformed(operation),
            Failure::Transport(_) | Failure::Timeout(_) => Cause::Away,
        };
        let away = cause == Cause::Away;
        if away {
            *self.away.lock().unwrap_or_else(PoisonError::into_inner) = now;
        } else if failure.code() == Some(403) && self.is_settling(now) {
            return;
        }
        {
            let mut mentions = self.mentions.lock().unwrap_or_else(PoisonError::into_inner);
            if mentions.len() >= MOST_CAUSES {
                mentions.clear();
            }
            match mentions.get_mut(&cause) {
                Some(mention) if now < mention.again => return,
                Some(mention) => {
                    mention.silence = (mention.silence * 2).min(LONGEST_SILENCE);
                    mention.again = now + mention.silence;
                }
                None => {
                    let silence = FIRST_SILENCE;
                    let again = now + silence;
                    mentions.insert(cause, Mention { again, silence });
                }
            }
        }
        let record = Record::failed(
            "apiRequest",
            explain(operation, failure),
            if away {
                "the API server cannot be reached; what runs stays as it is, trying again"
            } else {
                "the API server refuses a request, trying again"
            },
        );
        (self.journal)(record.with("resource", operation.resource));
    }

    /// A request succeeded.
    pub(super) fn worked(&self, operation: Operation) {
        let (was_away, was_refused) = {
            let mut mentions = self.mentions.lock().unwrap_or_else(PoisonError::into_inner);
            if mentions.is_empty() {
                return;
            }
            let was_away = mentions.remove(&Cause::Away).is_some();
            let before = mentions.len();
            mentions.retain(|cause, _| match cause {
                Cause::Away => true,
                Cause::Answer(other, _) | Cause::Malformed(other) => *other != operation,
            });
            (was_away, mentions.len() < before)
        };
        if was_away {
            (self.journal)(Record::event("connected", "the API server is back").at(Level::Info));
            self.back.notify_waiters();
        }
        if was_refused {
            (self.journal)(
                Record::event("connected", "the API server grants the request again")
                    .with("resource", operation.resource),
            );
        }
    }

    /// A bookmark came in the middle of a watch.
    pub(super) fn bookmarked(&self) {
        self.bookmarks.store(true, Ordering::Relaxed);
    }

    /// Whether the server sends bookmarks while a watch goes on, to all watches then.
    pub(super) fn sends_bookmarks(&self) -> bool {
        self.bookmarks.load(Ordering::Relaxed)
    }

    /// Waits until somebody has reached the server again after it was away.
    pub(super) async fn back(&self) {
        self.back.notified().await;
    }
}

#[cfg(test)]
mod tests;
