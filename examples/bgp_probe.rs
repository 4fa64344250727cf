//! BGP alone, as a program: for trying it by hand against a router.
//!
//! Reads commands on stdin, one a line, and ends with its input, as its peers' parameters say. Prints what BGP reports.
//!
//! ```text
//! peer ID MY-ASN PEER-ASN ADDRESS [port=179] [hold=90] [source=IP] [interface=NAME] [router-id=IP] [password=TEXT]
//!      [multihop] [gtsm=HOPS] [restart=SECONDS] [shutdown=SECONDS]
//! gone ID | bfd ID | route PREFIX [COMMUNITY …] | withdraw PREFIX | many COUNT | none COUNT | figures | wait SECONDS
//! ```
#![expect(clippy::print_stdout, reason = "a program that talks")]
#![expect(
    clippy::disallowed_methods,
    reason = "a program of its own, with a clock"
)]

use std::io::BufRead as _;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use ferrolb::bgp::driver::Bgp;
use ferrolb::bgp::{Attributes, Command, Origin, Params, Password, PeerId, Report};
use ipnet::{IpNet, Ipv4Net};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let (sender, mut reports) = tokio::sync::mpsc::channel(1000);
    let start = Instant::now();
    let printer = tokio::spawn(async move {
        while let Some(report) = reports.recv().await {
            let at = start.elapsed().as_secs_f64();
            match report {
                Report::Log(record) => {
                    let fields: Vec<String> = record
                        .fields
                        .iter()
                        .map(|(name, value)| format!("{name}={value:?}"))
                        .collect();
                    println!(
                        "{at:.3} {:?} {:?} {} {:?} {}",
                        record.level,
                        record.subject,
                        record.msg,
                        record.error,
                        fields.join(" ")
                    );
                }
                Report::Up(id) => println!("{at:.3} up {id:?}"),
                Report::Left(id) => println!("{at:.3} left {id:?}"),
                Report::Down(id, why) => println!("{at:.3} down {id:?}: {why}"),
            }
        }
    });
    let bgp = Bgp::start(sender);
    // Peers are kept on the runtime's other threads; here one may wait.
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        command(&bgp, &line).await.with_context(|| line.clone())?;
    }
    let before = Instant::now();
    bgp.shutdown().await;
    println!("left in {:?}", before.elapsed());
    printer.await?;
    Ok(())
}

async fn command(bgp: &Bgp, line: &str) -> anyhow::Result<()> {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words.as_slice() {
        [] => {}
        ["peer", id, my_asn, peer_asn, address, options @ ..] => {
            let params = params(
                my_asn.parse()?,
                peer_asn.parse()?,
                address.parse()?,
                options,
            )?;
            bgp.send(Command::Peer(PeerId(id.parse()?), Arc::new(params)));
        }
        ["gone", id] => bgp.send(Command::PeerGone(PeerId(id.parse()?))),
        ["bfd", id] => bgp.send(Command::BfdDown(PeerId(id.parse()?))),
        ["route", prefix, communities @ ..] => {
            let communities = communities
                .iter()
                .map(|community| community.parse())
                .collect::<Result<_, _>>()?;
            let attributes = attributes(communities);
            bgp.send(Command::Route(prefix.parse()?, Some(attributes)));
        }
        ["withdraw", prefix] => bgp.send(Command::Route(prefix.parse()?, None)),
        [what @ ("many" | "none"), count] => {
            let attributes = (*what == "many").then(|| attributes(Box::default()));
            for number in 0..count.parse()? {
                let ip = Ipv4Addr::from_bits(0x0a00_0000 + number);
                let prefix = IpNet::V4(Ipv4Net::new_assert(ip, 32));
                bgp.send(Command::Route(prefix, attributes.clone()));
            }
        }
        ["figures"] => {
            for peer in bgp.figures().read() {
                println!("{} {:?}", peer.peer, peer.session);
            }
        }
        ["wait", seconds] => {
            tokio::time::sleep(Duration::from_secs_f64(seconds.parse()?)).await;
        }
        _ => bail!("unknown command"),
    }
    Ok(())
}

fn attributes(communities: Box<[u32]>) -> Arc<Attributes> {
    Arc::new(Attributes {
        origin: Origin::Incomplete,
        local_pref: 100,
        communities,
    })
}

fn params(
    my_asn: u32,
    peer_asn: u32,
    peer_address: IpAddr,
    options: &[&str],
) -> anyhow::Result<Params> {
    let mut params = Params {
        my_asn,
        peer_asn,
        peer_address,
        peer_port: 179,
        source_address: None,
        interface: None,
        hold_time: Duration::from_secs(90),
        keepalive_time: Duration::from_secs(30),
        router_id: None,
        fallback_router_id: Ipv4Addr::new(1, 2, 3, 4),
        password: Password::default(),
        ebgp_multihop: false,
        ttl_security: None,
        graceful_restart: None,
        graceful_shutdown: None,
    };
    for option in options {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        let seconds = || value.parse().map(Duration::from_secs);
        match name {
            "port" => params.peer_port = value.parse()?,
            "hold" => {
                params.hold_time = seconds()?;
                params.keepalive_time = params.hold_time / 3;
            }
            "source" => params.source_address = Some(value.parse()?),
            "interface" => params.interface = Some(value.into()),
            "router-id" => params.router_id = Some(value.parse()?),
            "password" => params.password = Password(value.into()),
            "multihop" => params.ebgp_multihop = true,
            "gtsm" => params.ttl_security = Some(value.parse()?),
            "restart" => params.graceful_restart = Some(seconds()?),
            "shutdown" => params.graceful_shutdown = Some(seconds()?),
            _ => bail!("unknown option {name}"),
        }
    }
    Ok(params)
}
