//! From the watch event of one Service to the UPDATE at a BGP peer, among many others.

#![expect(clippy::disallowed_types, reason = "a benchmark that is a BGP peer")]

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Service;
use kube::api::{PostParams, WatchEvent, WatchParams};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::{Bench, figure, median};

/// The bridge's own address, which the speaker's namespace reaches.
const PEER: (&str, u16) = ("172.30.0.1", 1790);

const CONFIG: &str = "\
peers:
- {my-asn: 64512, peer-asn: 64513, peer-address: 172.30.0.1, peer-port: 1790}
address-pools:
- {name: big, protocol: bgp, addresses: [10.64.0.0/15]}
";

/// What the peer heard: a prefix that was announced or withdrawn, and the UPDATE that it came in.
type Heard = Arc<Mutex<Vec<(Instant, usize, Ipv4Addr, bool)>>>;

/// A peer that takes whatever it is told: an OPEN without capabilities, a KEEPALIVE, then it reads.
async fn peer(listener: TcpListener, heard: Heard) -> Result<()> {
    let (mut stream, _) = listener.accept().await?;
    let marker = [0xff; 16];
    let open = [
        &marker[..],
        &[0, 29, 1, 4, 0xfc, 0x01, 0, 90, 192, 0, 2, 1, 0],
    ]
    .concat();
    let keepalive = [&marker[..], &[0, 19, 4]].concat();
    stream.write_all(&open).await?;
    stream.write_all(&keepalive).await?;
    for number in 0.. {
        let (kind, body) = message(&mut stream).await?;
        let at = Instant::now();
        if kind == 4 {
            stream.write_all(&keepalive).await?;
        }
        if kind != 2 {
            continue;
        }
        let withdrawn = usize::from(u16::from_be_bytes([body[0], body[1]]));
        let attributes = 2 + withdrawn;
        let length = usize::from(u16::from_be_bytes([body[attributes], body[attributes + 1]]));
        let mut heard = heard.lock().expect("no reader panics");
        for prefix in body[2..attributes].chunks_exact(5) {
            heard.push((at, number, address(prefix), false));
        }
        for prefix in body[attributes + 2 + length..].chunks_exact(5) {
            heard.push((at, number, address(prefix), true));
        }
    }
    Ok(())
}

async fn message(stream: &mut TcpStream) -> Result<(u8, Vec<u8>)> {
    let mut header = [0; 19];
    stream.read_exact(&mut header).await?;
    let length = usize::from(u16::from_be_bytes([header[16], header[17]]));
    let mut body = vec![0; length.checked_sub(19).context("a message's length")?];
    stream.read_exact(&mut body).await?;
    Ok((header[18], body))
}

/// All prefixes here are /32: one octet of length, four of address.
fn address(prefix: &[u8]) -> Ipv4Addr {
    Ipv4Addr::new(prefix[1], prefix[2], prefix[3], prefix[4])
}

impl Bench {
    /// Milliseconds from the moment that another client's watch hears of a Service's new address to the UPDATE at a BGP peer,
    /// with `held` other routes announced. Reference: one status PUT. The number of UPDATEs is printed as a comment.
    pub(crate) async fn routes(&self, held: usize) -> Result<()> {
        let put = self.one_put().await?;
        self.namespace()?;
        self.plain("held-", held).await?;
        self.endpoints("held-", held).await?;
        self.create("changed", 1, false).await?;
        self.endpoints_of("changed0").await?;
        self.configure(CONFIG).await?;
        let heard = Heard::default();
        let listener = TcpListener::bind(PEER).await?;
        let peer = tokio::spawn(peer(listener, heard.clone()));
        let speaker = self.start(
            "SPEAKER",
            "speaker",
            Some("flb-bench"),
            &["-disable-epslices"],
        )?;
        let all = || heard.lock().expect("no reader panics").len() >= held;
        let limit = Instant::now() + Duration::from_secs(60);
        while !all() {
            ensure!(
                Instant::now() < limit,
                "{} of {held} routes came; see {}",
                heard.lock().expect("no reader panics").len(),
                self.work.display()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.quiet().await?;
        let (mut up, mut down, mut updates) = (Vec::new(), Vec::new(), 0);
        for i in 0..50_u8 {
            let ip = Ipv4Addr::new(10, 65, 255, i + 1);
            for (ingress, announced) in [(json!([{"ip": ip}]), true), (json!([]), false)] {
                heard.lock().expect("no reader panics").clear();
                let seen = self.changed(&ingress).await?;
                let limit = Instant::now() + Duration::from_secs(10);
                let (at, count) = loop {
                    let known = heard.lock().expect("no reader panics").clone();
                    let found = known
                        .iter()
                        .find(|(.., it, up)| *it == ip && *up == announced);
                    if let Some((at, ..)) = found {
                        break (*at, known.len());
                    }
                    ensure!(Instant::now() < limit, "no UPDATE for {ip}");
                    tokio::time::sleep(Duration::from_micros(200)).await;
                };
                ensure!(count == 1, "{count} prefixes changed where one was to");
                updates += 1;
                // It may be on the wire before this watch has heard of the change.
                let took = at.saturating_duration_since(seen).as_secs_f64() * 1000.0;
                if announced { &mut up } else { &mut down }.push(took);
            }
        }
        figure(
            &format!("route_after_watch_event_p50_{held}"),
            median(&mut up),
            "ms",
            put,
        );
        figure(
            &format!("route_after_watch_event_max_{held}"),
            up.last().copied().unwrap_or_default(),
            "ms",
            put,
        );
        figure(
            &format!("withdrawal_after_watch_event_p50_{held}"),
            median(&mut down),
            "ms",
            put,
        );
        figure(
            &format!("withdrawal_after_watch_event_max_{held}"),
            down.last().copied().unwrap_or_default(),
            "ms",
            put,
        );
        println!("# {updates} changes, {updates} UPDATEs with one prefix each");
        drop(speaker);
        peer.abort();
        self.clear().await
    }

    /// Gives the Service this status; when another client's watch heard of it.
    async fn changed(&self, ingress: &serde_json::Value) -> Result<Instant> {
        let mut service = self.services.get("changed0").await?;
        let version = service
            .metadata
            .resource_version
            .clone()
            .unwrap_or_default();
        let field = WatchParams::default()
            .fields("metadata.name=changed0")
            .timeout(60);
        let mut events = self.services.watch(&field, &version).await?.boxed();
        service.status = Some(serde_json::from_value(
            json!({"loadBalancer": {"ingress": ingress}}),
        )?);
        let params = PostParams::default();
        let write = self.services.replace_status("changed0", &params, &service);
        let hear = async {
            while let Some(event) = events.try_next().await? {
                if let WatchEvent::Modified(Service { .. }) = event {
                    return anyhow::Ok(Instant::now());
                }
            }
            anyhow::bail!("the watch ended")
        };
        let (written, heard) = tokio::join!(write, hear);
        written?;
        heard
    }
}
