//! One kind of object: list, then watch, for ever.
//!
//! A list is read in pages, each of which is gone before the next comes. A watch is resumed where it ended, without a
//! new list, unless the server has forgotten that version (410). Failures wait 0.5 s to 30 s, with jitter; a server
//! that comes back is noticed by all watches as soon as one of them has reached it.
//!
//! A watch ends by itself after four to five minutes (`timeoutSeconds`), and is given up a little later if the server
//! does not do so; a server that vanished without a word is noticed earlier, by TCP keepalive (`client`). A server that has forgotten a watch and
//! keeps its connection is noticed by the bookmarks that it owes: Kubernetes 1.20 does that to watches of Services that cannot follow a burst of changes
//! (it closes them inside, and nobody tells the client).
//!
//! Cancel: dropping the future loses nothing but the position in the watch; a new one begins with a list.

#![expect(
    clippy::disallowed_methods,
    reason = "driver: owns the watch's deadlines and pauses"
)]

use std::time::Duration;

use backon::BackoffBuilder as _;
use kube::core::Request;
use kube::core::params::{ListParams, WatchParams};
use serde::Deserialize;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use super::client::{Api, Failure, REQUEST_TIMEOUT};
use super::memory;
use super::raw::Raw;
use super::reporter::{Operation, Reporter};
use super::store::Store;
use crate::cluster::{Change, Kind};
use crate::journal::Record;

/// How much longer than it was asked to the server may keep a watch open.
const GRACE: Duration = Duration::from_secs(15);

/// A server that sends bookmarks and has sent nothing for so long has lost the watch.
///
/// `Upstream:` about once a minute to each watch that asked for them (KEP-956; `defaultBookmarkFrequency` of the API server's cacher).
const QUIET: Duration = Duration::from_secs(90);

/// A bookmark this shortly before the end of a watch belongs to the end: of servers that send no others nothing is expected in between.
const FAREWELL: Duration = Duration::from_secs(10);

/// A watch that ended sooner than this is not resumed at once.
const SHORT_WATCH: Duration = Duration::from_secs(1);

/// What to list and watch.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// The collection, e.g. `/api/v1/services`.
    pub(super) path: String,
    /// Only objects with these fields.
    pub(super) field_selector: Option<String>,
    /// As `kubectl auth can-i` takes it.
    pub(super) resource: &'static str,
    /// Objects in a page: some megabytes at most.
    pub(super) page: u32,
    /// What it is in a [`Change::Synced`].
    pub(super) kind: Kind,
    /// Whether there is something else to read where this is not served, or not granted.
    pub(super) replaceable: bool,
}

/// Why a watch ended for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// Nobody listens any more.
    ConsumerGone,
    /// A replaceable target is not served, or not granted.
    NotServed,
}

/// Pauses between failures.
pub(super) struct Backoff {
    delays: backon::ExponentialBackoff,
}

impl Backoff {
    /// 0.5 s, doubled up to 15 s, each lengthened by up to as much again.
    pub(super) fn new() -> Self {
        let builder = backon::ExponentialBuilder::new()
            .with_min_delay(Duration::from_millis(500))
            .with_max_delay(Duration::from_secs(15))
            .with_jitter()
            .without_max_times();
        Self {
            delays: builder.build(),
        }
    }

    /// Waits: as long as the server says, or until it is back.
    pub(super) async fn pause(&mut self, reporter: &Reporter, failure: Option<&Failure>) {
        let delay = self.delays.next().unwrap_or(Duration::from_secs(15));
        let delay = match failure.and_then(Failure::retry_after) {
            Some(asked) => delay.max(asked),
            None => delay,
        };
        let away = failure.is_some_and(|failure| failure.code().is_none());
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            // A thousand speakers do not come back in the same millisecond: each has its own first success.
            () = reporter.back(), if away => {}
        }
    }
}

/// Something that ends a list or a watch.
enum Stop {
    Ended(Ended),
    Failed(Operation, Failure),
    /// The server has forgotten the version: list again.
    Expired,
}

/// Lists and watches until nobody listens, or until a replaceable target is gone.
pub(super) async fn run<S: Store>(
    api: &Api,
    reporter: &Reporter,
    target: &Target,
    store: &mut S,
    out: &mpsc::Sender<Change>,
    changed: Option<&Notify>,
) -> Ended {
    let mut watch = Watch {
        api,
        reporter,
        target,
        store,
        out,
        changed,
    };
    tokio::select! {
        ended = watch.forever() => ended,
        () = out.closed() => Ended::ConsumerGone,
    }
}

struct Watch<'a, S> {
    api: &'a Api,
    reporter: &'a Reporter,
    target: &'a Target,
    store: &'a mut S,
    out: &'a mpsc::Sender<Change>,
    changed: Option<&'a Notify>,
}

impl<S: Store> Watch<'_, S> {
    async fn forever(&mut self) -> Ended {
        let mut backoff = Backoff::new();
        loop {
            let began = Instant::now();
            let stop = match self.list().await {
                Ok(version) => {
                    memory::release();
                    backoff = Backoff::new();
                    self.follow(version).await
                }
                Err(stop) => stop,
            };
            match stop {
                Stop::Ended(ended) => return ended,
                Stop::Expired if began.elapsed() > SHORT_WATCH => {}
                Stop::Expired => backoff.pause(self.reporter, None).await,
                Stop::Failed(operation, failure) => {
                    let now = Instant::now().into_std();
                    self.reporter.failed(now, operation, &failure);
                    if self.target.replaceable
                        && (failure.code() == Some(404) || self.reporter.is_refusal(now, &failure))
                    {
                        return Ended::NotServed;
                    }
                    backoff.pause(self.reporter, Some(&failure)).await;
                }
            }
        }
    }

    fn operation(&self, verb: &'static str) -> Operation {
        Operation {
            verb,
            resource: self.target.resource,
        }
    }

    /// Tells all objects; the version of the list.
    async fn list(&mut self) -> Result<String, Stop> {
        let operation = self.operation("list");
        let mut params = ListParams {
            field_selector: self.target.field_selector.clone(),
            limit: Some(self.target.page),
            ..ListParams::default()
        };
        self.store.begin();
        loop {
            // Without a resourceVersion: the newest state, not what a cache remembers. An address that was given away
            // a moment before a restart must not be given away again.
            let request = Request::new(&self.target.path)
                .list(&params)
                .map_err(|error| Failure::Malformed(error.to_string()));
            let body = match self.api.bytes(request, REQUEST_TIMEOUT).await {
                Ok(body) => body,
                // The list took longer than the server remembers.
                Err(failure) if failure.code() == Some(410) => return Err(Stop::Expired),
                Err(failure) => return Err(Stop::Failed(operation, failure)),
            };
            let mut changes = Vec::new();
            let page = read_page(&body, self.store, &mut changes);
            drop(body);
            let page = page.map_err(|failure| Stop::Failed(operation, failure))?;
            self.misread(&page.misread);
            self.reporter.worked(operation);
            self.tell(changes).await?;
            if page.next.is_empty() {
                let mut changes = Vec::new();
                self.store.complete(&mut changes);
                changes.push(Change::Synced(self.target.kind));
                self.tell(changes).await?;
                return Ok(page.resource_version);
            }
            params.continue_token = Some(page.next);
        }
    }

    /// Watches from a version on, as often as the server lets us.
    async fn follow(&mut self, mut version: String) -> Stop {
        let mut backoff = Backoff::new();
        loop {
            let began = Instant::now();
            let stop = match self.watch(&mut version).await {
                Ok(()) if began.elapsed() > SHORT_WATCH => {
                    backoff = Backoff::new();
                    continue;
                }
                Ok(()) => {
                    backoff.pause(self.reporter, None).await;
                    continue;
                }
                Err(stop) => stop,
            };
            match stop {
                Stop::Failed(_, ref failure)
                    if self.target.replaceable && failure.code() == Some(404) =>
                {
                    return stop;
                }
                Stop::Failed(operation, failure) => {
                    self.reporter
                        .failed(Instant::now().into_std(), operation, &failure);
                    if began.elapsed() > SHORT_WATCH {
                        backoff = Backoff::new();
                    }
                    backoff.pause(self.reporter, Some(&failure)).await;
                }
                Stop::Ended(_) | Stop::Expired => return stop,
            }
        }
    }

    /// One watch, until the server ends it.
    async fn watch(&mut self, version: &mut String) -> Result<(), Stop> {
        let operation = self.operation("watch");
        // Not all watches of all speakers end at the same time.
        let seconds = rand::random_range(240..=290);
        let params = WatchParams {
            field_selector: self.target.field_selector.clone(),
            timeout: Some(seconds),
            ..WatchParams::default()
        };
        let request = Request::new(&self.target.path)
            .watch(&params, version)
            .map_err(|error| Failure::Malformed(error.to_string()));
        let end = Instant::now() + Duration::from_secs(u64::from(seconds));
        let deadline = end + GRACE;
        let failed = |failure: Failure| match failure.code() {
            Some(410) => Stop::Expired,
            _ => Stop::Failed(operation, failure),
        };
        let lines = self.api.lines(request, REQUEST_TIMEOUT).await;
        let mut lines = lines.map_err(failed)?;
        self.reporter.worked(operation);
        loop {
            let heard = Instant::now();
            let silence = deadline.min(heard + QUIET);
            let line = match tokio::time::timeout_at(silence, lines.next()).await {
                Ok(line) => line,
                // The server is silent and does not close: begin anew from the same version.
                Err(_) if silence == deadline => return Ok(()),
                Err(_) if self.reporter.sends_bookmarks() => {
                    self.lost();
                    return Ok(());
                }
                Err(_) => continue,
            };
            let Some(line) = line.map_err(failed)? else {
                return Ok(());
            };
            if line.is_empty() {
                continue;
            }
            let mut changes = Vec::new();
            match read_line(line, self.store, &mut changes) {
                Ok(read) => {
                    if !read.resource_version.is_empty() {
                        *version = read.resource_version;
                    }
                    if read.is_bookmark && Instant::now() + FAREWELL < end {
                        self.reporter.bookmarked();
                    }
                    if let Some(error) = read.misread {
                        self.misread(&[error]);
                    }
                }
                Err(failure) => return Err(failed(failure)),
            }
            self.tell(changes).await?;
        }
    }

    async fn tell(&mut self, changes: Vec<Change>) -> Result<(), Stop> {
        if changes.is_empty() {
            return Ok(());
        }
        for change in changes {
            let sent = self.out.send(change).await;
            sent.map_err(|_| Stop::Ended(Ended::ConsumerGone))?;
        }
        if let Some(changed) = self.changed {
            changed.notify_one();
        }
        Ok(())
    }

    /// The server has forgotten this watch.
    fn lost(&self) {
        let record = Record::event(
            "watchLost",
            "the API server has sent nothing for 90 s, not even the bookmark that it sends every minute: asking again from where it stopped",
        );
        self.reporter
            .say(record.with("resource", self.target.resource));
    }

    /// Objects that are not understood are left out: the rest must go on.
    fn misread(&self, errors: &[String]) {
        if let Some(error) = errors.first() {
            self.reporter.failed(
                Instant::now().into_std(),
                self.operation("understand some"),
                &Failure::Malformed(error.clone()),
            );
        }
    }
}

/// What a page says besides its objects.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) resource_version: String,
    /// `metadata.continue`; empty on the last page.
    pub(super) next: String,
    /// One text for each object that was left out, at most [`MOST_MISREAD`].
    pub(super) misread: Vec<String>,
}

const MOST_MISREAD: usize = 8;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ListMeta {
    #[serde(rename = "resourceVersion")]
    resource_version: Option<String>,
    #[serde(rename = "continue")]
    next: Option<String>,
}

/// Feeds the objects of a page to the store, one after the other.
pub(super) fn read_page<S: Store>(
    body: &[u8],
    store: &mut S,
    changes: &mut Vec<Change>,
) -> Result<Page, Failure> {
    let mut page = Page::default();
    let reader = PageReader {
        store,
        changes,
        page: &mut page,
    };
    let mut json = serde_json::Deserializer::from_slice(body);
    reader
        .deserialize(&mut json)
        .and_then(|()| json.end())
        .map_err(|error| Failure::Malformed(error.to_string()))?;
    Ok(page)
}

struct PageReader<'a, S> {
    store: &'a mut S,
    changes: &'a mut Vec<Change>,
    page: &'a mut Page,
}

impl<'de, S: Store> DeserializeSeed<'de> for PageReader<'_, S> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, S: Store> Visitor<'de> for PageReader<'_, S> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a list of objects")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "metadata" => {
                    let meta: ListMeta = map.next_value()?;
                    self.page.resource_version = meta.resource_version.unwrap_or_default();
                    self.page.next = meta.next.unwrap_or_default();
                }
                "items" => map.next_value_seed(Items {
                    store: &mut *self.store,
                    changes: &mut *self.changes,
                    misread: &mut self.page.misread,
                })?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

struct Items<'a, S> {
    store: &'a mut S,
    changes: &'a mut Vec<Change>,
    misread: &'a mut Vec<String>,
}

impl<'de, S: Store> DeserializeSeed<'de> for Items<'_, S> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        // `items` is null in an empty list of some servers.
        deserializer.deserialize_any(self)
    }
}

impl<'de, S: Store> Visitor<'de> for Items<'_, S> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("objects, or null")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while let Some(item) = items.next_element::<Value>()? {
            match S::Object::deserialize(&item) {
                Ok(object) => self.store.apply(object, &Raw::Item(&item), self.changes),
                Err(error) if self.misread.len() < MOST_MISREAD => {
                    self.misread.push(format!("{}: {error}", name_of(&item)));
                }
                Err(_) => {}
            }
        }
        Ok(())
    }
}

fn name_of(object: &Value) -> String {
    let text = |field| {
        let metadata = object.get("metadata");
        let value = metadata.and_then(|metadata| metadata.get(field));
        value.and_then(Value::as_str).unwrap_or_default()
    };
    format!("{}/{}", text("namespace"), text("name"))
}

/// What a line of a watch says besides its object.
#[derive(Debug, Default)]
pub(super) struct LineRead {
    /// Where to resume; empty where the line does not say.
    pub(super) resource_version: String,
    /// It says nothing but that.
    pub(super) is_bookmark: bool,
    /// Why the object was left out.
    pub(super) misread: Option<String>,
}

#[derive(Deserialize)]
struct Head {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    object: HeadObject,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct HeadObject {
    metadata: Option<HeadMeta>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct HeadMeta {
    name: Option<String>,
    namespace: Option<String>,
    #[serde(rename = "resourceVersion")]
    resource_version: Option<String>,
}

#[derive(Deserialize)]
struct Line<T> {
    object: T,
}

/// Feeds a line of a watch to the store.
///
/// # Errors
/// The server ends the watch with a Status, or the line is no watch event.
pub(super) fn read_line<S: Store>(
    line: &[u8],
    store: &mut S,
    changes: &mut Vec<Change>,
) -> Result<LineRead, Failure> {
    let malformed = |error: serde_json::Error| Failure::Malformed(error.to_string());
    let head: Head = serde_json::from_slice(line).map_err(malformed)?;
    let meta = head.object.metadata.unwrap_or_default();
    let mut read = LineRead {
        resource_version: meta.resource_version.unwrap_or_default(),
        ..LineRead::default()
    };
    match head.kind.as_str() {
        "ADDED" | "MODIFIED" => match serde_json::from_slice::<Line<S::Object>>(line) {
            Ok(event) => store.apply(event.object, &Raw::Line(line), changes),
            Err(error) => read.misread = Some(error.to_string()),
        },
        "DELETED" => match serde_json::from_slice::<Line<S::Object>>(line) {
            Ok(event) => store.delete(event.object, changes),
            Err(error) => read.misread = Some(error.to_string()),
        },
        "BOOKMARK" => read.is_bookmark = true,
        "ERROR" => {
            let status: Line<super::client::Status> =
                serde_json::from_slice(line).map_err(malformed)?;
            return Err(status.object.into());
        }
        other => {
            let kind: String = other.chars().take(32).collect();
            return Err(Failure::Malformed(format!(
                "a watch event of type {kind:?}"
            )));
        }
    }
    if let Some(error) = &mut read.misread {
        *error = format!(
            "{}/{}: {error}",
            meta.namespace.unwrap_or_default(),
            meta.name.unwrap_or_default()
        );
    }
    Ok(read)
}

#[cfg(test)]
mod tests;
