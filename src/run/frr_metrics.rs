//! The program `frr-metrics`: the sidecar of 0.12's FRR manifest that has the figures of BGP and BFD on a port of its own.
//!
//! There is no FRR to ask. The speaker of the same pod has the figures on its own port; this program asks it whenever it is asked
//! itself, and passes on `metallb_bgp_*` and `metallb_bfd_*`, so that who scrapes that port finds what was there.
//!
//! The manifest tells this container nothing about the speaker, but all of them share the host's network: the speaker is
//! whoever listens on its port.
//!
//! Cancel: it ends at once.

#![expect(
    clippy::disallowed_types,
    reason = "driver: a client of the speaker's port"
)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::Process;
use crate::http;
use crate::journal::Record;

/// How long the speaker may take. Scrapers wait for ten seconds.
const PATIENCE: Duration = Duration::from_secs(5);

/// The longest page that is read: 10,000 Services' figures are about 2 MB.
const LIMIT: u64 = 64 << 20;

/// What the families that are passed on begin with.
const PREFIXES: [&str; 2] = ["metallb_bgp_", "metallb_bfd_"];

/// What it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Its own port.
    pub port: u16,
    /// The path of its page.
    pub path: String,
    /// The speaker's address; `None`: wherever it listens.
    pub speaker_host: Option<IpAddr>,
    /// The speaker's port.
    pub speaker_port: u16,
}

/// Serves the page until a signal ends it.
///
/// # Errors
///
/// The port cannot be opened.
pub async fn main(options: Options, process: Process) -> anyhow::Result<()> {
    let Process { journal, stop } = process;
    let Options {
        port,
        path,
        speaker_host,
        speaker_port,
    } = options;
    let page = move || async move { page(speaker_host, speaker_port).await };
    let params = http::Params {
        host: String::new(),
        port,
        profiling: false,
    };
    let server = http::start_router(&params, Router::new().route(&path, get(page)))?;
    journal.write(
        Record::event(
            "httpListening",
            "passing on the speaker's figures of BGP and BFD",
        )
        .with("address", server.address())
        .with("speakerPort", speaker_port),
    );
    stop.cancelled().await;
    Ok(())
}

/// What the speaker says, as far as it is about BGP and BFD.
async fn page(host: Option<IpAddr>, port: u16) -> Response {
    let address = SocketAddr::new(host.unwrap_or_else(|| listens_at(port)), port);
    let asked = tokio::time::timeout(PATIENCE, ask(address)).await;
    match asked {
        Ok(Ok(text)) => (
            [(
                header::CONTENT_TYPE,
                "text/plain; version=0.0.4; charset=utf-8",
            )],
            passed_on(&text),
        )
            .into_response(),
        Ok(Err(error)) => unavailable(&format!(
            "the speaker at {address} does not answer: {error}\n"
        )),
        Err(_) => unavailable(&format!(
            "the speaker at {address} does not answer in time\n"
        )),
    }
}

fn unavailable(text: &str) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, text.to_owned()).into_response()
}

/// The speaker's page.
async fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    // RFC 1945: without chunks, and the connection ends with the answer.
    let request = format!("GET /metrics HTTP/1.0\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.take(LIMIT).read_to_string(&mut answer).await?;
    let odd = || std::io::Error::other("its answer is no page of figures");
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(odd)?;
    let status = head.split(' ').nth(1).ok_or_else(odd)?;
    if status != "200" {
        return Err(odd());
    }
    Ok(body.to_owned())
}

/// The families that are about BGP and BFD.
fn passed_on(text: &str) -> String {
    let wanted = |line: &&str| {
        let name = ["# HELP ", "# TYPE "]
            .iter()
            .find_map(|comment| line.strip_prefix(comment))
            .unwrap_or(line);
        PREFIXES.iter().any(|prefix| name.starts_with(prefix))
    };
    text.split_inclusive('\n').filter(wanted).collect()
}

/// Where somebody of this network namespace listens on a port; this host itself if nobody does.
fn listens_at(port: u16) -> IpAddr {
    let tables = [procfs::net::tcp(), procfs::net::tcp6()];
    let mut listeners = tables
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| {
            entry.state == procfs::net::TcpState::Listen && entry.local_address.port() == port
        })
        .map(|entry| entry.local_address.ip());
    match listeners.next() {
        None => Ipv4Addr::LOCALHOST.into(),
        Some(IpAddr::V4(ip)) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        Some(IpAddr::V6(ip)) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        Some(ip) => ip,
    }
}

#[cfg(test)]
mod tests;
