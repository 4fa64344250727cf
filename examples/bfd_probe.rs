//! One BFD session, for tests and figures from outside.
//!
//! `bfd_probe PEER INTERVAL_MS MULTIPLIER`: prints a line for each Up and Down, with the time of day in seconds; ends, and
//! tells the peer so, when its input ends.
#![expect(clippy::print_stdout, reason = "a program that talks")]
#![expect(clippy::disallowed_methods, reason = "it measures time")]

use std::io::Read as _;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use ferrolb::bfd::driver::Bfd;
use ferrolb::bfd::{Command, Params, Peer, Report};
use tokio::sync::mpsc;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().context("PEER INTERVAL_MS MULTIPLIER");
    let address: IpAddr = next()?.parse()?;
    let interval = Duration::from_millis(next()?.parse()?);
    let detect_multiplier = next()?.parse()?;
    let (sender, mut reports) = mpsc::channel(100);
    let bfd = Bfd::start(sender)?;
    let peer = Peer {
        address,
        source: None,
        interface: None,
        multihop: false,
    };
    bfd.send(Command::Session(
        peer,
        Params {
            receive_interval: interval,
            transmit_interval: interval,
            detect_multiplier,
            ..Params::default()
        },
    ));
    let printer = std::thread::spawn(move || {
        while let Some(report) = reports.blocking_recv() {
            let now = SystemTime::now()
                .duration_since(SystemTime::UNIX_EPOCH)
                .unwrap_or_default();
            match report {
                Report::Up(_) => println!("{:.6} up", now.as_secs_f64()),
                Report::Down(_, reason) => println!("{:.6} down {reason}", now.as_secs_f64()),
                Report::Log(record) => println!("{:.6} log {}", now.as_secs_f64(), record.msg),
            }
        }
    });
    std::io::stdin().read_to_end(&mut Vec::new())?;
    bfd.shutdown();
    // The thread of the sessions held the sender.
    printer.join().ok().context("the printer is gone")
}
