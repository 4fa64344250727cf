//! What gossip costs a member at rest: many real members in one process, on loopback addresses of their own.
//!
//! `cargo bench --bench gossip`: members and seconds by GOSSIP_MEMBERS (100) and GOSSIP_SECONDS (20). The figure holds the kernel's part, too, and
//! what the others' packets cost a member: each packet is sent by one and read by another.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a benchmark: it measures real time and prints"
)]

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ferrolb::memberlist::driver::{Gossip, Params};
use ferrolb::memberlist::keyring::Keyring;
use ferrolb::memberlist::wire::{Limits, Name};

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().unwrap())
}

/// Processor time of this process so far.
fn spent() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    // proc(5): utime and stime, in ticks of a hundredth of a second.
    let ticks: u64 = fields[11..13]
        .iter()
        .map(|field| field.parse::<u64>().unwrap())
        .sum();
    Duration::from_millis(ticks * 10)
}

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn measure(members: u64, seconds: u64, fast: bool) {
    let first: SocketAddr = SocketAddr::from((Ipv4Addr::new(127, 77, 0, 1), 7946));
    let all: Vec<Gossip> = (0..members)
        .map(|i| {
            let low = u8::try_from(1 + i % 250).unwrap();
            let high = u8::try_from(i / 250).unwrap();
            let params = Params {
                name: Name::new(&format!("node-{i}.cluster.example")).unwrap(),
                bind: SocketAddr::from((Ipv4Addr::new(127, 77, high, low), 7946)),
                key: Keyring::from_secret(b"AAECAwQFBgcICQoLDA0ODw"),
                limits: Limits {
                    loopback: true,
                    ..Limits::default()
                },
            };
            let gossip = Gossip::start(params, Arc::new(|_| {})).unwrap();
            gossip.set_fast_detection(fast);
            gossip.peers(Some(BTreeSet::from([first])));
            gossip
        })
        .collect();
    let wanted = usize::try_from(members).unwrap();
    let begin = Instant::now();
    while all.iter().any(|gossip| gossip.counters().members < wanted) {
        assert!(
            begin.elapsed() < Duration::from_secs(120),
            "they do not find each other"
        );
        std::thread::sleep(Duration::from_millis(100));
    }
    // What was news is told by now.
    std::thread::sleep(Duration::from_secs(20));
    let packets = || all.iter().map(|gossip| gossip.counters().sent).sum::<u64>();
    let (cpu, sent, begin) = (spent(), packets(), Instant::now());
    std::thread::sleep(Duration::from_secs(seconds));
    let (cpu, sent, time) = (spent() - cpu, packets() - sent, begin.elapsed());
    let share =
        100.0 * cpu.as_secs_f64() / time.as_secs_f64() / f64::from(u32::try_from(members).unwrap());
    let rate = sent / members / seconds;
    let deaths: u64 = all.iter().map(|gossip| gossip.counters().swim.deaths).sum();
    println!(
        "{members} members, fast detection {}: {share:.2} % of a core each, {rate} datagrams a second sent by each, {deaths} deaths, {} KiB resident each",
        if fast { "on" } else { "off" },
        resident() / members,
    );
}

fn main() {
    let (members, seconds) = (number("GOSSIP_MEMBERS", 100), number("GOSSIP_SECONDS", 20));
    for fast in [false, true] {
        measure(members, seconds, fast);
    }
}
