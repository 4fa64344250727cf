//! Layer 2 alone, as a program: for trying it by hand, for tests of its rights, and for `bench/arp`.
//!
//! Reads commands on stdin, one a line: `announce IP`, `withdraw IP`, `counters`. Ends with its input. Prints what layer 2
//! reports. `layer2_probe [INTERFACE …]`
#![expect(clippy::print_stdout, reason = "a program that talks")]

use std::io::BufRead as _;
use std::net::IpAddr;

use anyhow::{Context as _, bail};
use ferrolb::layer2::Command;
use ferrolb::layer2::driver::{Layer2, Params};

fn main() -> anyhow::Result<()> {
    let names: Vec<String> = std::env::args().skip(1).collect();
    let params = Params {
        interfaces: (!names.is_empty()).then_some(names),
        ..Params::default()
    };
    let (sender, mut reports) = tokio::sync::mpsc::channel(1000);
    let layer2 = Layer2::start(params, sender)?;
    let printer = std::thread::spawn(move || {
        while let Some(report) = reports.blocking_recv() {
            println!("{:?}", report.record());
        }
    });
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        match line.split_whitespace().next() {
            None => {}
            Some("announce") => layer2.send(Command::Announce(address(&line)?)),
            Some("withdraw") => layer2.send(Command::Withdraw(address(&line)?)),
            Some("counters") => {
                for (ip, counters) in layer2.counters() {
                    println!("{ip} {counters:?}");
                }
                println!("drops {:?} unsent {}", layer2.drops(), layer2.unsent());
            }
            Some(other) => bail!("unknown command {other}"),
        }
    }
    layer2.shutdown();
    printer.join().ok();
    Ok(())
}

fn address(line: &str) -> anyhow::Result<IpAddr> {
    let word = line
        .split_whitespace()
        .nth(1)
        .with_context(|| format!("{line}: an address is missing"))?;
    word.parse()
        .with_context(|| format!("{word} is not an address"))
}
