//! An API server that is a function: what a request is answered with is decided by the test, without a socket.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, Either, Full, StreamBody};
use kube::client::Body;
use serde_json::Value;
use tokio::sync::mpsc;

use super::client::Api;
use super::reporter::Reporter;
use crate::journal::Record;

/// What the server does with a request.
pub(super) enum Answer {
    /// Status and body.
    Json(u16, Value),
    /// The same, with `Retry-After` in seconds and a plain text.
    Later(u16, u64),
    /// 200 and lines that go on while the sender lives.
    Stream(mpsc::UnboundedReceiver<String>),
    /// The connection is refused.
    Refused,
    /// Nothing ever comes back.
    Silence,
}

/// A request as the server saw it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Seen {
    pub(super) method: String,
    /// Path and query.
    pub(super) uri: String,
    pub(super) content_type: String,
    /// Null where there was no body.
    pub(super) body: Value,
}

/// What was asked, in order.
pub(super) type Log = Arc<Mutex<Vec<Seen>>>;

/// A client of a server that answers by this function; the request's number counts from 0.
pub(super) fn server(
    answer: impl Fn(usize, &Seen) -> Answer + Send + Sync + 'static,
) -> (Api, Log) {
    let log = Log::default();
    let (seen_by_test, answer) = (log.clone(), Arc::new(answer));
    let service = tower::service_fn(move |request: Request<Body>| {
        let (log, answer) = (log.clone(), answer.clone());
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            let header = parts.headers.get(http::header::CONTENT_TYPE);
            let seen = Seen {
                method: parts.method.to_string(),
                uri: parts.uri.to_string(),
                content_type: header
                    .map(|value| value.to_str().unwrap().to_owned())
                    .unwrap_or_default(),
                body: serde_json::from_slice(&body).unwrap_or_default(),
            };
            let number = {
                let mut log = log.lock().unwrap();
                log.push(seen.clone());
                log.len() - 1
            };
            respond(answer(number, &seen)).await
        }
    });
    (Api::of(kube::Client::new(service, "default")), seen_by_test)
}

async fn respond(
    answer: Answer,
) -> Result<
    Response<impl http_body::Body<Data = Bytes, Error: Into<tower::BoxError>> + Send>,
    tower::BoxError,
> {
    let response = Response::builder();
    Ok(match answer {
        Answer::Json(code, value) => response
            .status(code)
            .body(Either::Left(Full::from(value.to_string())))?,
        Answer::Later(code, seconds) => response
            .status(code)
            .header("Retry-After", seconds)
            .body(Either::Left(Full::from("Too many requests")))?,
        Answer::Stream(lines) => {
            let frames = futures::stream::unfold(lines, |mut lines| async {
                let line: String = lines.recv().await?;
                Some((
                    Ok::<_, std::io::Error>(Frame::data(Bytes::from(line))),
                    lines,
                ))
            });
            response.body(Either::Right(StreamBody::new(Box::pin(frames))))?
        }
        Answer::Refused => return Err("connection refused".into()),
        Answer::Silence => std::future::pending().await,
    })
}

/// A reporter whose records the test can read; the program has run for an hour, in the test's time.
#[expect(clippy::disallowed_methods, reason = "a point to count from")]
pub(super) fn reporter() -> (Arc<Reporter>, Arc<Mutex<Vec<Record>>>) {
    let said = Arc::new(Mutex::new(Vec::new()));
    let log = said.clone();
    let journal = Arc::new(move |record| log.lock().unwrap().push(record));
    let now = tokio::time::Instant::now().into_std();
    let reporter = Reporter::new(journal, now.checked_sub(Duration::from_secs(3600)).unwrap());
    (Arc::new(reporter), said)
}

/// A `Status` of the API.
pub(super) fn status(code: u16, reason: &str, message: &str) -> Answer {
    Answer::Json(
        code,
        serde_json::json!({"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message}),
    )
}

/// The longest that a test waits for something that must come.
pub(super) const SOON: Duration = Duration::from_secs(120);
