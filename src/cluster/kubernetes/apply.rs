//! Writes statuses: the only writer of Services.
//!
//! PUT on `services/status` of the whole object as it was read, on the version that the decision was made on. As many
//! at once as the server takes: [`MOST_AT_ONCE`], fewer after a 429, more again after successes. There is no rate.
//!
//! | answer | outcome |
//! | --- | --- |
//! | 2xx | written |
//! | 409, or the object is read in another version | [`WriteError::Conflict`]: its change arrives by the watch |
//! | 404 | [`WriteError::Gone`] |
//! | 400, 403, 405, 413, 415, 422 | [`WriteError::Refused`]; a 403 right after an outage is tried again |
//! | 429 | waits as long as the server says, all writers together, and again |
//! | no answer, 401, 5xx | again with backoff for [`PATIENCE`], then [`WriteError::Unavailable`] |
//!
//! Cancel-safety: a dropped write leaves its place in the queue; the request may or may not have reached the server.

#![expect(
    clippy::disallowed_methods,
    reason = "driver: owns the deadlines of its requests"
)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use backon::BackoffBuilder as _;
use serde_json::Value;
use tokio::sync::{Notify, Semaphore, SemaphorePermit};
use tokio::time::Instant;

use super::client::{Api, Failure, REQUEST_TIMEOUT};
use super::queue::{Queue, Ticket, Turn};
use super::raw::{self, RawCache};
use super::reporter::{Operation, Reporter, explain};
use crate::cluster::WriteError;
use crate::view;

/// Requests at once. The API server's own limit for one client is in the hundreds (`--max-mutating-requests-inflight`);
/// more than this many connections do not make it faster.
pub(super) const MOST_AT_ONCE: usize = 32;

/// Requests at once after many a 429.
const FEWEST_AT_ONCE: usize = 2;

/// How long a write is tried before the controller is told.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long one PUT may take. The server gives up after 34 s by itself where etcd hangs.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

const UPDATE: Operation = Operation {
    verb: "update",
    resource: "services/status",
};

const GET: Operation = Operation {
    verb: "get",
    resource: "services",
};

/// How many requests may be under way, as the server's answers tell.
struct Gate {
    permits: Semaphore,
    state: Mutex<GateState>,
}

struct GateState {
    limit: usize,
    /// Permits that are out and not to come back.
    too_many: usize,
    successes: usize,
    /// Nothing is sent before.
    closed_until: Option<Instant>,
}

impl Gate {
    fn new() -> Self {
        Self {
            permits: Semaphore::new(MOST_AT_ONCE),
            state: Mutex::new(GateState {
                limit: MOST_AT_ONCE,
                too_many: 0,
                successes: 0,
                closed_until: None,
            }),
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, GateState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request has succeeded: after as many as may be under way, one more may.
    fn widen(&self) {
        let mut state = self.state();
        if state.limit == MOST_AT_ONCE {
            return;
        }
        state.successes += 1;
        if state.successes >= state.limit {
            state.successes = 0;
            state.limit += 1;
            match state.too_many.checked_sub(1) {
                Some(fewer) => state.too_many = fewer,
                None => self.permits.add_permits(1),
            }
        }
    }

    /// A permit comes back, or is kept where the limit has fallen since it went out.
    fn release(&self, permit: SemaphorePermit<'_>) {
        let mut state = self.state();
        if let Some(fewer) = state.too_many.checked_sub(1) {
            state.too_many = fewer;
            permit.forget();
        }
    }

    /// The server is asked too much: half as many, and none at all for a while.
    fn narrow(&self, now: Instant, pause: Duration) {
        let mut state = self.state();
        // The other requests of the same crowd are refused as well, which says nothing new.
        let fresh = state.closed_until.is_none_or(|until| until <= now);
        state.closed_until = Some(match state.closed_until {
            Some(until) => until.max(now + pause),
            None => now + pause,
        });
        if fresh {
            let fewer = (state.limit / 2).max(FEWEST_AT_ONCE);
            let surplus = state.limit - fewer;
            state.too_many += surplus - self.permits.forget_permits(surplus);
            state.limit = fewer;
            state.successes = 0;
        }
    }

    fn closed_until(&self) -> Option<Instant> {
        self.state().closed_until
    }
}

/// See the module.
pub(super) struct Writer {
    api: Api,
    reporter: Arc<Reporter>,
    raws: Arc<Mutex<RawCache>>,
    gate: Gate,
    queue: Mutex<Queue>,
    turn: Notify,
    /// Writes that have begun and not ended.
    waiting: AtomicUsize,
    idle: Notify,
}

impl Writer {
    pub(super) fn new(api: Api, reporter: Arc<Reporter>, raws: Arc<Mutex<RawCache>>) -> Self {
        Self {
            api,
            reporter,
            raws,
            gate: Gate::new(),
            queue: Mutex::default(),
            turn: Notify::new(),
            waiting: AtomicUsize::new(0),
            idle: Notify::new(),
        }
    }

    /// Waits until no write is under way, at most so long: Events come after statuses.
    pub(super) async fn idle(&self, limit: Duration) {
        let idle = async {
            loop {
                let notified = self.idle.notified();
                if self.waiting.load(Ordering::Acquire) == 0 {
                    return;
                }
                notified.await;
            }
        };
        // Either way it is the Event's turn.
        let _ = tokio::time::timeout(limit, idle).await;
    }

    /// Writes one status.
    pub(super) async fn write(&self, write: view::StatusWrite) -> Result<(), WriteError> {
        let place = Place::enter(self, &write.key);
        place.turn().await?;
        let permit = match self.gate.permits.acquire().await {
            Ok(permit) => permit,
            Err(_) => return Err(WriteError::Unavailable("the writer has ended".to_owned())),
        };
        // Boxed, so that ten thousand writes that wait are small.
        let outcome = Box::pin(self.attempt(&write)).await;
        self.gate.release(permit);
        outcome
    }

    async fn attempt(&self, write: &view::StatusWrite) -> Result<(), WriteError> {
        let until = Instant::now() + PATIENCE;
        let mut delays = backon::ExponentialBuilder::new()
            .with_min_delay(Duration::from_millis(100))
            .with_max_delay(Duration::from_secs(5))
            .with_jitter()
            .without_max_times()
            .build();
        let mut body: Option<Vec<u8>> = None;
        loop {
            if let Some(until) = self.gate.closed_until() {
                tokio::time::sleep_until(until).await;
            }
            let sent = match &body {
                Some(_) => Ok(()),
                None => self.body(write).await.map(|new| body = Some(new)),
            };
            let (operation, failure) = match sent {
                Err(Unsent::Decided(error)) => return Err(error),
                Err(Unsent::Failed(failure)) => (GET, failure),
                Ok(()) => {
                    let body = body.clone().unwrap_or_default();
                    match self.put(&write.key, body).await {
                        Ok(()) => {
                            self.reporter.worked(UPDATE);
                            self.gate.widen();
                            return Ok(());
                        }
                        Err(failure) => (UPDATE, failure),
                    }
                }
            };
            match failure.code() {
                Some(404) => return Err(WriteError::Gone),
                Some(409) => return Err(WriteError::Conflict),
                Some(403)
                    if self
                        .reporter
                        .is_refusal(Instant::now().into_std(), &failure) =>
                {
                    self.reporter
                        .failed(Instant::now().into_std(), operation, &failure);
                    return Err(WriteError::Refused(explain(operation, &failure)));
                }
                Some(400 | 405 | 413 | 415 | 422) => {
                    return Err(WriteError::Refused(explain(operation, &failure)));
                }
                Some(429) => {
                    let pause = failure.retry_after().unwrap_or(Duration::from_secs(1));
                    self.gate.narrow(Instant::now(), pause);
                }
                Some(_) | None => {
                    self.reporter
                        .failed(Instant::now().into_std(), operation, &failure);
                }
            }
            let delay = delays.next().unwrap_or(Duration::from_secs(5));
            let delay = delay.max(failure.retry_after().unwrap_or_default());
            if Instant::now() + delay > until {
                return Err(WriteError::Unavailable(explain(operation, &failure)));
            }
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                () = self.reporter.back(), if failure.code().is_none() => {}
            }
        }
    }

    /// The object with its new status.
    async fn body(&self, write: &view::StatusWrite) -> Result<Vec<u8>, Unsent> {
        let kept = self
            .raws
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take(&write.key, &write.resource_version);
        let object = match kept {
            Some(object) => object,
            None => {
                let path = path(&write.key);
                let object: Value = self
                    .api
                    .json(Api::get(&path), REQUEST_TIMEOUT)
                    .await
                    .map_err(Unsent::Failed)?;
                if raw::resource_version(&object) != Some(&*write.resource_version) {
                    return Err(Unsent::Decided(WriteError::Conflict));
                }
                object
            }
        };
        let object = raw::with_addresses(object, &write.addresses).ok_or_else(|| {
            Unsent::Failed(Failure::Malformed("the Service is no object".to_owned()))
        })?;
        serde_json::to_vec(&object)
            .map_err(|error| Unsent::Failed(Failure::Malformed(error.to_string())))
    }

    async fn put(&self, key: &view::ObjectKey, body: Vec<u8>) -> Result<(), Failure> {
        let path = format!("{}/status", path(key));
        let request = Api::with_body(http::Method::PUT, &path, "application/json", body);
        self.api.bytes(request, WRITE_TIMEOUT).await.map(|_| ())
    }
}

/// Why there is no body to send.
enum Unsent {
    Decided(WriteError),
    Failed(Failure),
}

fn path(key: &view::ObjectKey) -> String {
    format!(
        "/api/v1/namespaces/{}/services/{}",
        key.namespace(),
        key.name()
    )
}

/// A place in the queue, given back when dropped.
struct Place<'a> {
    writer: &'a Writer,
    key: &'a view::ObjectKey,
    ticket: Ticket,
}

impl<'a> Place<'a> {
    fn enter(writer: &'a Writer, key: &'a view::ObjectKey) -> Self {
        writer.waiting.fetch_add(1, Ordering::AcqRel);
        let ticket = writer.lock().enter(key);
        if writer.lock().turn(key, ticket) == Turn::Wait {
            // Whom this one replaces is to know.
            writer.turn.notify_waiters();
        }
        Self {
            writer,
            key,
            ticket,
        }
    }

    async fn turn(&self) -> Result<(), WriteError> {
        loop {
            let mut notified = std::pin::pin!(self.writer.turn.notified());
            notified.as_mut().enable();
            match self.writer.lock().turn(self.key, self.ticket) {
                Turn::Go => return Ok(()),
                Turn::Superseded => return Err(WriteError::Conflict),
                Turn::Wait => {}
            }
            notified.await;
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if self.writer.lock().leave(self.key, self.ticket) {
            self.writer.turn.notify_waiters();
        }
        if self.writer.waiting.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.writer.idle.notify_waiters();
        }
    }
}

impl Writer {
    fn lock(&self) -> std::sync::MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
