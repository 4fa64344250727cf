//! The connection to the API server: requests in, bytes or a typed failure out.
//!
//! Not here: what is asked and what the answers mean. Requests are HTTP/1.1; several at once use several
//! connections, which are kept for 90 s. Nothing retries in here: who asks knows whether it is worth it.
//!
//! A vanished API server (no FIN, no RST) is noticed by TCP keepalive and by TCP_USER_TIMEOUT within [`DEAD_AFTER`],
//! apart from the deadline that each request has.

use std::path::Path;
use std::time::Duration;

use http::header::{RETRY_AFTER, USER_AGENT};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube::client::{Body, ConfigExt as _};
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde::Deserialize;
use tower::{BoxError, Layer as _, ServiceExt as _};

/// How long a connection on which nothing comes back is believed in.
pub(super) const DEAD_AFTER: Duration = Duration::from_secs(20);

/// How long one request may take, answer included; a page of a list is the longest. The server's own limit is 60 s.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// The longest line of a watch. Objects are at most 1.5 MiB in etcd; this leaves room for a generous server.
const LONGEST_LINE: usize = 32 << 20;

/// Why the program cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Not in a pod, and no kubeconfig was named.
    #[error(
        "cannot find the API server: not running in a pod ({0}); outside of one, name a kubeconfig with -kubeconfig"
    )]
    NotInCluster(#[source] kube::config::InClusterError),
    /// The kubeconfig cannot be used.
    #[error("cannot use the kubeconfig {path}: {source}")]
    Kubeconfig {
        /// The file.
        path: String,
        /// What is wrong with it.
        #[source]
        source: kube::config::KubeconfigError,
    },
    /// The kubeconfig asks for something that is not built in.
    #[error(
        "the kubeconfig names the proxy {0}, which is not supported: connect to the API server directly"
    )]
    Proxy(String),
    /// Certificates or credentials cannot be used.
    #[error("cannot prepare the connection to the API server at {server}: {source}")]
    Prepare {
        /// Its address.
        server: String,
        /// What is wrong.
        #[source]
        source: Box<kube::Error>,
    },
    /// The User-Agent is not a header value.
    #[error("the User-Agent {0:?} is not printable ASCII")]
    UserAgent(String),
    /// The server cannot be reached, or does not know us.
    #[error("cannot talk to the API server at {server}: {failure}")]
    Unreachable {
        /// Its address.
        server: String,
        /// Why.
        #[source]
        failure: Failure,
    },
}

/// Why a request did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The server answered, but not with success.
    #[error("{message} (HTTP {code})")]
    Status {
        /// HTTP status, or the code of a `Status` object within a watch.
        code: u16,
        /// `Status.reason`, e.g. `Conflict`; empty where there is none.
        reason: String,
        /// `Status.message`, or the beginning of the body.
        message: String,
        /// `Retry-After`.
        retry_after: Option<Duration>,
    },
    /// The server was not reached, or the connection broke.
    #[error("{0}")]
    Transport(String),
    /// No answer in time.
    #[error("no answer within {}", humantime::format_duration(*.0))]
    Timeout(Duration),
    /// The answer is not what the API says it is.
    #[error("the answer is not understood: {0}")]
    Malformed(String),
}

impl Failure {
    /// The HTTP status, if the server answered.
    #[must_use]
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Status { code, .. } => Some(*code),
            Self::Transport(_) | Self::Timeout(_) | Self::Malformed(_) => None,
        }
    }

    /// How long the server asks us to wait.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            Self::Transport(_) | Self::Timeout(_) | Self::Malformed(_) => None,
        }
    }

    fn transport(error: &(dyn std::error::Error + 'static)) -> Self {
        Self::Transport(chain(error))
    }
}

/// What an error says, with its causes, each once.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let words = next.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        cause = next.source();
    }
    text
}

/// Whose credentials are used.
#[derive(Debug, Clone, Copy)]
pub(super) enum Access<'a> {
    /// What a pod is given.
    Pod,
    /// A kubeconfig, and its current context.
    File(&'a Path),
    /// As kubectl does: this kubeconfig, else those of `KUBECONFIG`, else the home's; a pod's where there is none of them.
    Operator {
        /// `--kubeconfig`.
        kubeconfig: Option<&'a Path>,
        /// `--context`.
        context: Option<&'a str>,
    },
}

impl<'a> From<Option<&'a Path>> for Access<'a> {
    fn from(kubeconfig: Option<&'a Path>) -> Self {
        kubeconfig.map_or(Self::Pod, Self::File)
    }
}

/// Reads the kubeconfig, or what a pod is given.
async fn configuration(access: Access<'_>) -> Result<kube::Config, ConnectError> {
    let (path, context) = match access {
        Access::Pod => return kube::Config::incluster().map_err(ConnectError::NotInCluster),
        Access::File(path) => (Some(path), None),
        Access::Operator {
            kubeconfig,
            context,
        } => (kubeconfig, context),
    };
    let fault = |source| ConnectError::Kubeconfig {
        path: match path {
            Some(path) => path.display().to_string(),
            None => std::env::var("KUBECONFIG").unwrap_or_else(|_| "~/.kube/config".to_owned()),
        },
        source,
    };
    let file = match path {
        Some(path) => Kubeconfig::read_from(path),
        None => Kubeconfig::read(),
    };
    let file = match file {
        Ok(file) => file,
        // No kubeconfig at all: perhaps a pod.
        Err(error) if path.is_none() && context.is_none() => {
            return kube::Config::incluster().map_err(|_| fault(error));
        }
        Err(error) => return Err(fault(error)),
    };
    let options = KubeConfigOptions {
        context: context.map(str::to_owned),
        ..KubeConfigOptions::default()
    };
    let config = kube::Config::from_custom_kubeconfig(file, &options)
        .await
        .map_err(fault)?;
    if let Some(proxy) = &config.proxy_url {
        return Err(ConnectError::Proxy(proxy.to_string()));
    }
    Ok(config)
}

/// A client of the API server; clones share the connections.
#[derive(Clone)]
pub(super) struct Api {
    client: kube::Client,
}

impl Api {
    /// Reads the credentials and makes one request, so that a wrong address or token is known at once.
    pub(super) async fn connect(
        access: Access<'_>,
        user_agent: &'static str,
    ) -> Result<(Self, Server), ConnectError> {
        let mut config = configuration(access).await?;
        let address = config.cluster_url.to_string();
        let agent = HeaderValue::from_str(user_agent)
            .map_err(|_| ConnectError::UserAgent(user_agent.to_owned()))?;
        config.headers.push((USER_AGENT, agent));
        let prepare = |source| ConnectError::Prepare {
            server: address.clone(),
            source: Box::new(source),
        };

        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(Duration::from_secs(5)));
        connector.set_keepalive(Some(DEAD_AFTER / 2));
        connector.set_keepalive_interval(Some(DEAD_AFTER / 8));
        connector.set_keepalive_retries(Some(4));
        connector.set_tcp_user_timeout(Some(DEAD_AFTER));
        let connector = config
            .rustls_https_connector_with_connector(connector)
            .map_err(prepare)?;
        let http: HttpClient<_, Body> = HttpClient::builder(TokioExecutor::new()).build(connector);

        // The order of kube's own stack, without its retries and its trace spans.
        let service = config
            .extra_headers_layer()
            .map_err(prepare)?
            .layer(http)
            .map_err(BoxError::from);
        let namespace = config.default_namespace.clone();
        let client = match config.auth_layer().map_err(prepare)? {
            Some(auth) => kube::Client::new(
                config.base_uri_layer().layer(auth.layer(service)),
                namespace,
            ),
            None => kube::Client::new(config.base_uri_layer().layer(service), namespace),
        };

        let api = Self { client };
        match api
            .json::<Version>(Self::get("/version"), REQUEST_TIMEOUT)
            .await
        {
            Ok(version) => Ok((
                api,
                Server {
                    address,
                    version: version.git_version,
                },
            )),
            // Hardened clusters refuse this question; they have answered, and know who we are.
            Err(Failure::Status { code: 403, .. }) => Ok((
                api,
                Server {
                    address,
                    version: "unknown".to_owned(),
                },
            )),
            Err(failure) => Err(ConnectError::Unreachable {
                server: address,
                failure,
            }),
        }
    }

    /// A client of something that only looks like an API server.
    #[cfg(test)]
    pub(super) fn of(client: kube::Client) -> Self {
        Self { client }
    }

    /// A GET request for a path.
    pub(super) fn get(path: &str) -> Result<Request<Vec<u8>>, Failure> {
        Request::get(path)
            .body(Vec::new())
            .map_err(|error| Failure::Malformed(error.to_string()))
    }

    /// A request with a JSON body.
    pub(super) fn with_body(
        method: http::Method,
        path: &str,
        content_type: &'static str,
        body: Vec<u8>,
    ) -> Result<Request<Vec<u8>>, Failure> {
        Request::builder()
            .method(method)
            .uri(path)
            .header(http::header::CONTENT_TYPE, content_type)
            .body(body)
            .map_err(|error| Failure::Malformed(error.to_string()))
    }

    /// Sends a request and reads the whole answer.
    pub(super) async fn bytes(
        &self,
        request: Result<Request<Vec<u8>>, Failure>,
        limit: Duration,
    ) -> Result<Vec<u8>, Failure> {
        self.answer(request, limit).await.map(|(_, body)| body)
    }

    /// Sends a request and reads the whole answer and which kind of success it is.
    pub(super) async fn answer(
        &self,
        request: Result<Request<Vec<u8>>, Failure>,
        limit: Duration,
    ) -> Result<(StatusCode, Vec<u8>), Failure> {
        let request = request?;
        let answer = async {
            let response = self.send(request).await?;
            let status = response.status();
            let body = response.into_body().collect().await;
            let body = body.map_err(|error| Failure::transport(&error))?;
            Ok((status, Vec::from(body.to_bytes())))
        };
        tokio::time::timeout(limit, answer)
            .await
            .unwrap_or(Err(Failure::Timeout(limit)))
    }

    /// Sends a request and reads the answer as JSON.
    pub(super) async fn json<T: serde::de::DeserializeOwned>(
        &self,
        request: Result<Request<Vec<u8>>, Failure>,
        limit: Duration,
    ) -> Result<T, Failure> {
        let body = self.bytes(request, limit).await?;
        serde_json::from_slice(&body).map_err(|error| Failure::Malformed(error.to_string()))
    }

    /// Sends a watch request; the answer is read line by line.
    pub(super) async fn lines(
        &self,
        request: Result<Request<Vec<u8>>, Failure>,
        limit: Duration,
    ) -> Result<Lines, Failure> {
        let response = tokio::time::timeout(limit, self.send(request?))
            .await
            .unwrap_or(Err(Failure::Timeout(limit)))?;
        Ok(Lines {
            body: response.into_body(),
            buffer: Vec::new(),
            start: 0,
            searched: 0,
        })
    }

    async fn send(&self, request: Request<Vec<u8>>) -> Result<Response<Body>, Failure> {
        let response = self
            .client
            .send(request.map(Body::from))
            .await
            .map_err(|error| Failure::transport(&error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let code = response.status();
        let retry_after = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok())
            .and_then(|seconds| seconds.trim().parse().ok())
            // A server that asks for hours is asked again sooner.
            .map(|seconds: u64| Duration::from_secs(seconds.min(60)));
        let body = match response.into_body().collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) => return Err(Failure::transport(&error)),
        };
        Err(refusal(code, &body, retry_after))
    }
}

/// What is known of the server after connecting.
#[derive(Debug, Clone)]
pub(super) struct Server {
    /// Where it is.
    pub(super) address: String,
    /// Its version, as it says itself.
    pub(super) version: String,
}

#[derive(Deserialize)]
struct Version {
    #[serde(rename = "gitVersion", default)]
    git_version: String,
}

/// `meta/v1` Status, as much of it as is read.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Status {
    message: Option<String>,
    reason: Option<String>,
    code: Option<u16>,
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Self::Status {
            code: status.code.unwrap_or(500),
            reason: status.reason.unwrap_or_default(),
            message: status
                .message
                .unwrap_or_else(|| "the server does not say why".to_owned()),
            retry_after: None,
        }
    }
}

fn refusal(code: StatusCode, body: &[u8], retry_after: Option<Duration>) -> Failure {
    let status: Status = serde_json::from_slice(body).unwrap_or_default();
    let message = status.message.unwrap_or_else(|| {
        // Not a Status object: a proxy's page, or API priority and fairness' plain sentence.
        let text = String::from_utf8_lossy(body);
        let line = text.lines().next().unwrap_or_default().trim();
        if line.is_empty() {
            code.canonical_reason()
                .unwrap_or("no explanation")
                .to_owned()
        } else {
            line.chars().take(200).collect()
        }
    });
    Failure::Status {
        code: code.as_u16(),
        reason: status.reason.unwrap_or_default(),
        message,
        retry_after,
    }
}

/// The lines of a watch.
pub(super) struct Lines {
    body: Body,
    buffer: Vec<u8>,
    /// Where the next line begins.
    start: usize,
    /// Up to where no newline was found.
    searched: usize,
}

impl Lines {
    /// The next line without its newline; `None` when the server has ended the stream.
    ///
    /// Cancel-safety: what was read stays in the buffer.
    pub(super) async fn next(&mut self) -> Result<Option<&[u8]>, Failure> {
        loop {
            let rest = self.buffer.get(self.searched..).unwrap_or_default();
            if let Some(offset) = rest.iter().position(|byte| *byte == b'\n') {
                let line = self.start..self.searched + offset;
                self.start = line.end + 1;
                self.searched = self.start;
                return Ok(Some(self.buffer.get(line).unwrap_or_default()));
            }
            self.buffer.drain(..self.start);
            self.start = 0;
            self.searched = self.buffer.len();
            if self.buffer.is_empty() {
                // One large object must not hold its memory for the hours of a quiet watch.
                self.buffer.shrink_to(16 << 10);
            }
            if self.buffer.len() > LONGEST_LINE {
                return Err(Failure::Malformed(format!(
                    "a line of a watch is longer than {LONGEST_LINE} octets"
                )));
            }
            match self.body.frame().await {
                // What is left without a newline is a cut-off object: the watch resumes before it.
                None => return Ok(None),
                Some(Err(error)) => return Err(Failure::transport(&error)),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.buffer.extend_from_slice(&data);
                    }
                }
            }
        }
    }
}
