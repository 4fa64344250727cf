//! The HTTP port: `/metrics`, `/healthz`, `/readyz`, and `/debug/pprof/` where it is wanted.
//!
//! It answers from the program's first moment, before any API server is reached: 0.12's liveness and readiness probes
//! are `GET /metrics` with a deadline of 1 s.
//!
//! ```text
//!  thread "http": a runtime of its own, so that no work of the program can delay an answer
//!    accept ── one task for each connection, at most CONNECTIONS; the oldest makes room for a newer
//!                └─ request head within HEAD, everything within WHOLE, then the connection is closed
//! ```
//!
//! Invariant: an answer is made from snapshots and atomics; nothing here waits for the rest of the program.

#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "driver: owns the listening socket and its deadlines"
)]

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use socket2::{Domain, Socket, Type};

use crate::cluster::Kind;
use crate::metrics::Registry;

mod profiling;

/// Connections at once. Probes and scrapers need a handful.
const CONNECTIONS: usize = 64;

/// A client that has not sent its request's head by then is cut off.
const HEAD: Duration = Duration::from_secs(1);

/// A client that has not taken its answer by then is cut off: 10,000 Services' figures are about 2 MB.
const WHOLE: Duration = Duration::from_secs(10);

/// The main loop beats every second; after so many without a beat it counts as stuck.
const STUCK: Duration = Duration::from_secs(10);

/// What is decided once, at start.
#[derive(Debug, Clone)]
pub struct Params {
    /// The address or host name to bind to; empty: all addresses.
    pub host: String,
    /// The port; 0: any.
    pub port: u16,
    /// Whether `/debug/pprof/` is served.
    pub profiling: bool,
}

/// The HTTP port cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The host is no address and has none.
    #[error("cannot serve HTTP: {host:?} (-host, METALLB_HOST) has no address: {source}")]
    Host {
        /// As given.
        host: String,
        /// Why.
        source: std::io::Error,
    },
    /// Somebody else has the port.
    #[error(
        "cannot serve HTTP on {address}: another program (another MetalLB or FerroLB?) has that port; choose another with -port"
    )]
    InUse {
        /// Where.
        address: SocketAddr,
    },
    /// The kernel refuses.
    #[error("cannot serve HTTP on {address}: {source}")]
    Refused {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
}

/// How the program's main loop is, for `/healthz` and `/readyz`: it puts down, HTTP reads.
#[derive(Debug)]
pub struct Health {
    begun: Instant,
    /// Milliseconds from `begun` to the last beat; 0: the main loop has not begun.
    beat: AtomicU64,
    /// What is waited for, one bit for each kind.
    waiting: AtomicU8,
}

impl Health {
    /// Healthy, and ready as soon as these are known.
    #[must_use]
    pub fn new(needs: &[Kind]) -> Self {
        Self {
            begun: Instant::now(),
            beat: AtomicU64::new(0),
            waiting: AtomicU8::new(needs.iter().fold(0, |bits, kind| bits | bit(*kind))),
        }
    }

    /// The main loop is at work.
    pub fn beat(&self) {
        let now = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.beat.store(now.max(1), Ordering::Relaxed);
    }

    /// All objects of this kind are known.
    pub fn known(&self, kind: Kind) {
        self.waiting.fetch_and(!bit(kind), Ordering::Relaxed);
    }

    /// How long the main loop has not beaten, if that is too long.
    fn stuck_for(&self) -> Option<Duration> {
        let beat = match self.beat.load(Ordering::Relaxed) {
            0 => return None,
            millis => Duration::from_millis(millis),
        };
        Some(self.begun.elapsed().saturating_sub(beat)).filter(|silence| *silence > STUCK)
    }

    /// What is waited for.
    fn waiting_for(&self) -> Vec<&'static str> {
        let waiting = self.waiting.load(Ordering::Relaxed);
        KINDS
            .into_iter()
            .filter(|(kind, _)| waiting & bit(*kind) != 0)
            .map(|(_, name)| name)
            .collect()
    }
}

const KINDS: [(Kind, &str); 5] = [
    (Kind::ConfigMap, "the ConfigMap"),
    (Kind::Services, "Services"),
    (Kind::Endpoints, "endpoints"),
    (Kind::Nodes, "Nodes"),
    (Kind::Speakers, "speakers"),
];

fn bit(kind: Kind) -> u8 {
    match kind {
        Kind::ConfigMap => 1,
        Kind::Services => 2,
        Kind::Endpoints => 4,
        Kind::Nodes => 8,
        Kind::Speakers => 16,
    }
}

/// The HTTP port at work. It ends with the process.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
}

impl Server {
    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

struct Pages {
    registry: Registry,
    health: Arc<Health>,
}

/// Opens the port and serves it from a thread of its own until the process ends.
///
/// # Errors
///
/// The port cannot be opened; the text says where and why.
pub fn start(
    params: &Params,
    registry: Registry,
    health: Arc<Health>,
) -> Result<Server, StartError> {
    let pages = Arc::new(Pages { registry, health });
    start_router(params, router(pages, params.profiling))
}

/// Opens the port and serves these pages from a thread of its own until the process ends.
///
/// # Errors
///
/// The port cannot be opened; the text says where and why.
pub fn start_router(params: &Params, router: Router) -> Result<Server, StartError> {
    let (listener, address) = listen(&params.host, params.port)?;
    let refused = |source| StartError::Refused { address, source };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .map_err(refused)?;
    std::thread::Builder::new()
        .name("http".to_owned())
        .spawn(move || runtime.block_on(serve(listener, router)))
        .map_err(refused)?;
    Ok(Server { address })
}

/// Binds; an empty host means all addresses, IPv4 and IPv6, as Go's `:port`.
fn listen(host: &str, port: u16) -> Result<(TcpListener, SocketAddr), StartError> {
    if host.is_empty() {
        let both = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
        return match bind(both) {
            // A kernel without IPv6.
            Err(StartError::Refused { .. }) => {
                bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)))
            }
            done => done,
        };
    }
    let unknown = |source| StartError::Host {
        host: host.to_owned(),
        source,
    };
    if let Ok(ip) = host.parse::<IpAddr>() {
        return bind(SocketAddr::new(ip, port));
    }
    let address = (host, port)
        .to_socket_addrs()
        .map_err(unknown)?
        .next()
        .ok_or_else(|| unknown(std::io::ErrorKind::NotFound.into()))?;
    bind(address)
}

fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let open = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        if address.is_ipv6() {
            socket.set_only_v6(!address.ip().is_unspecified())?;
        }
        socket.bind(&address.into())?;
        // Go's backlog is the system's limit; the kernel cuts this to that.
        socket.listen(4096)?;
        socket.set_nonblocking(true)?;
        let listener = TcpListener::from(socket);
        let address = listener.local_addr()?;
        Ok((listener, address))
    };
    open().map_err(|source: std::io::Error| {
        if source.kind() == std::io::ErrorKind::AddrInUse {
            StartError::InUse { address }
        } else {
            StartError::Refused { address, source }
        }
    })
}

async fn serve(listener: TcpListener, router: Router) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
        return;
    };
    let mut open: VecDeque<tokio::task::AbortHandle> = VecDeque::new();
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(_) => {
                // No descriptor is left, or the client is gone already: the listener itself stays good.
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            }
        };
        open.retain(|connection| !connection.is_finished());
        if open.len() >= CONNECTIONS
            && let Some(oldest) = open.pop_front()
        {
            oldest.abort();
        }
        let service = TowerToHyperService::new(router.clone());
        let connection = async move {
            let exchange = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD)
                // A probe or scrape is one request; what is closed cannot be held open.
                .keep_alive(false)
                .max_buf_size(16 * 1024)
                .serve_connection(TokioIo::new(stream), service);
            // How it ended concerns the client alone.
            let _ = tokio::time::timeout(WHOLE, exchange).await;
        };
        open.push_back(tokio::spawn(connection).abort_handle());
    }
}

fn router(pages: Arc<Pages>, profiling: bool) -> Router {
    let mut router = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz));
    if profiling {
        let other = |Path(page): Path<String>| async move { profiling::page(&page) };
        router = router
            .route("/debug/pprof", get(async || profiling::page("")))
            .route("/debug/pprof/", get(async || profiling::page("")))
            .route("/debug/pprof/{*page}", get(other));
    }
    router.with_state(pages)
}

async fn metrics(State(pages): State<Arc<Pages>>) -> Response {
    (
        [(
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        )],
        pages.registry.render(),
    )
        .into_response()
}

async fn healthz(State(pages): State<Arc<Pages>>) -> (StatusCode, String) {
    match pages.health.stuck_for() {
        None => (StatusCode::OK, "ok\n".to_owned()),
        Some(silence) => (
            StatusCode::SERVICE_UNAVAILABLE,
            format!(
                "the main loop has not answered for {} s\n",
                silence.as_secs()
            ),
        ),
    }
}

async fn readyz(State(pages): State<Arc<Pages>>) -> (StatusCode, String) {
    let waiting = pages.health.waiting_for();
    if waiting.is_empty() {
        (StatusCode::OK, "ok\n".to_owned())
    } else {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("waiting for {}\n", waiting.join(", ")),
        )
    }
}

#[cfg(test)]
mod tests;
