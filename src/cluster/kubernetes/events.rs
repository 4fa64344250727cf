//! Records Events as client-go's recorder does: repetitions become a count, floods become one.
//!
//! [`correlate`] decides what to send; here are the queues and the requests. Events are less urgent than statuses:
//! each worker lets status writes go first for up to [`YIELD`], and there are [`WORKERS`] requests at once at most. All
//! Events about one object go through the same worker, in order. A full queue drops the new Event and counts it. Where
//! many come at once ([`CROWD`]: a node has died, and each of its Services has an Event), they wait for [`BREATH`], so that what
//! they tell of has the processors of a small cluster first.

#![expect(
    clippy::disallowed_methods,
    reason = "driver: reads the clock for the Events' times"
)]

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::Instant;

use self::correlate::{Correlator, Sending, Verdict};
use super::apply::Writer;
use super::client::{Api, Failure};
use super::reporter::{Operation, Reporter};
use crate::journal::{Level, Record};
use crate::view::KubernetesEvent;

mod correlate;

/// Requests at once.
const WORKERS: usize = 4;

/// Events that wait for each worker; an Event is about 0.3 KiB.
const QUEUE: usize = 1024;

/// How long an Event waits for status writes.
const YIELD: Duration = Duration::from_secs(1);

/// So many waiting Events are a crowd.
const CROWD: usize = 32;

/// How old each Event of a crowd must be: thousands of addresses are announced within a third of a second.
const BREATH: Duration = Duration::from_millis(500);

/// How long one request may take.
const EVENT_TIMEOUT: Duration = Duration::from_secs(10);

/// How often an Event is tried; client-go: 12 times, 10 s apart. What is older interests nobody.
const ATTEMPTS: u32 = 4;

/// The pause between two attempts.
const PAUSE: Duration = Duration::from_secs(5);

const CREATE: Operation = Operation {
    verb: "create",
    resource: "events",
};

const PATCH: Operation = Operation {
    verb: "patch",
    resource: "events",
};

struct Queued {
    event: KubernetesEvent,
    at: SystemTime,
    since: std::time::Instant,
}

/// See the module.
pub(super) struct Recorder {
    queues: Vec<mpsc::Sender<Queued>>,
    dropped: AtomicU64,
    reporter: Arc<Reporter>,
}

/// What all workers share.
struct Shared {
    api: Api,
    reporter: Arc<Reporter>,
    writer: Arc<Writer>,
    component: &'static str,
    host: String,
}

impl Recorder {
    /// Starts the workers as tasks; they end when the recorder is dropped.
    pub(super) fn start(
        api: &Api,
        reporter: &Arc<Reporter>,
        writer: &Arc<Writer>,
        component: &'static str,
        host: &str,
    ) -> Self {
        let shared = Arc::new(Shared {
            api: api.clone(),
            reporter: reporter.clone(),
            writer: writer.clone(),
            component,
            host: host.to_owned(),
        });
        let start = || {
            let (queue, waiting) = mpsc::channel(QUEUE);
            tokio::spawn(work(shared.clone(), waiting));
            queue
        };
        Self {
            queues: std::iter::repeat_with(start).take(WORKERS).collect(),
            dropped: AtomicU64::new(0),
            reporter: reporter.clone(),
        }
    }

    /// Queues an Event, or drops and counts it.
    pub(super) fn record(&self, event: KubernetesEvent) {
        let mut hasher = DefaultHasher::new();
        event.about.key.hash(&mut hasher);
        let index = usize::try_from(hasher.finish() % 4096).unwrap_or_default() % WORKERS;
        let queued = Queued {
            event,
            at: SystemTime::now(),
            since: Instant::now().into_std(),
        };
        let full = match self.queues.get(index) {
            Some(queue) => queue.try_send(queued).is_err(),
            None => true,
        };
        if full {
            let dropped = self.dropped.fetch_add(1, Ordering::Relaxed) + 1;
            // Said at 1, 2, 4, 8 …
            if dropped.is_power_of_two() {
                self.reporter.say(
                    Record::event(
                        "eventsDropped",
                        "Kubernetes Events come faster than they can be recorded",
                    )
                    .at(Level::Warn)
                    .with("dropped", dropped),
                );
            }
        }
    }

    /// Events that were dropped because the queue was full.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

async fn work(shared: Arc<Shared>, mut waiting: mpsc::Receiver<Queued>) {
    let mut correlator = Correlator::default();
    while let Some(queued) = waiting.recv().await {
        if waiting.len() >= CROWD {
            tokio::time::sleep_until(Instant::from_std(queued.since) + BREATH).await;
        }
        shared.writer.idle(YIELD).await;
        match correlator.observe(queued.event, queued.at, queued.since) {
            Verdict::Send(sending) => shared.send(&sending).await,
            Verdict::Suppressed => {}
        }
    }
}

impl Shared {
    /// Creates or updates the Event. One that never arrived is created by the next one like it.
    async fn send(&self, sending: &Sending) {
        let mut create = sending.count == 1;
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                tokio::select! {
                    () = tokio::time::sleep(PAUSE) => {}
                    () = self.reporter.back() => {}
                }
            }
            let operation = if create { CREATE } else { PATCH };
            let Err(failure) = self.request(sending, create).await else {
                self.reporter.worked(operation);
                return;
            };
            match failure.code() {
                // Events expire after an hour: what was counted on is gone.
                Some(404) if !create => {
                    create = true;
                    continue;
                }
                // A lost answer: the Event is there.
                Some(409) if create => return,
                // A namespace that is being deleted; or we may not, which is said.
                Some(403)
                    if !self
                        .reporter
                        .is_refusal(Instant::now().into_std(), &failure) => {}
                Some(code @ (400 | 403 | 404 | 405 | 422)) => {
                    if code != 404 {
                        self.reporter
                            .failed(Instant::now().into_std(), operation, &failure);
                    }
                    return;
                }
                Some(_) | None => {
                    self.reporter
                        .failed(Instant::now().into_std(), operation, &failure)
                }
            }
        }
    }

    async fn request(&self, sending: &Sending, create: bool) -> Result<(), Failure> {
        let path = format!("/api/v1/namespaces/{}/events", sending.namespace);
        let encode = |body: &Value| {
            serde_json::to_vec(body).map_err(|error| Failure::Malformed(error.to_string()))
        };
        let request = if create {
            let body = encode(&self.object(sending))?;
            Api::with_body(http::Method::POST, &path, "application/json", body)
        } else {
            let body = encode(&json!({
                "count": sending.count,
                "lastTimestamp": timestamp(sending.last),
                "message": sending.event.message,
            }))?;
            Api::with_body(
                http::Method::PATCH,
                &format!("{path}/{}", sending.name),
                "application/strategic-merge-patch+json",
                body,
            )
        };
        self.api.bytes(request, EVENT_TIMEOUT).await.map(|_| ())
    }

    fn object(&self, sending: &Sending) -> Value {
        let about = &sending.event.about;
        let mut involved = json!({
            "apiVersion": "v1",
            "kind": about.kind,
            "name": about.key.name(),
        });
        if let Some(involved) = involved.as_object_mut() {
            if !about.key.namespace().is_empty() {
                involved.insert("namespace".to_owned(), about.key.namespace().into());
            }
            if !about.uid.is_empty() {
                involved.insert("uid".to_owned(), (*about.uid).into());
            }
        }
        json!({
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": { "name": sending.name, "namespace": sending.namespace },
            "involvedObject": involved,
            "type": if sending.event.warning { "Warning" } else { "Normal" },
            "reason": sending.event.reason,
            "message": sending.event.message,
            "source": { "component": self.component, "host": self.host },
            "firstTimestamp": timestamp(sending.first),
            "lastTimestamp": timestamp(sending.last),
            "count": sending.count,
        })
    }
}

/// RFC 3339, whole seconds, as `metav1.Time` is written.
fn timestamp(at: SystemTime) -> String {
    let at = jiff::Timestamp::try_from(at).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests;
