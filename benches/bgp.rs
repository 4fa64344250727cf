//! What telling a peer costs: all of 10,000 routes, and one change among them.
//!
//! Prints one line per figure: `name value unit reference ratio`. The reference is measured in the same run: as many changes
//! of a `BTreeMap` from prefix to attributes, which is the least that somebody has to do who keeps routes in order. Run:
//! `cargo bench --no-default-features --bench bgp`.
//!
//! Times are the thread's own on the processor, so that other programs on the machine do not count (they still cost
//! cache). Each figure is the median of its rounds.
#![expect(clippy::print_stdout, reason = "a benchmark prints")]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ferrolb::bgp::rib_out::{RibOut, Session};
use ferrolb::bgp::wire::update::NextHop6;
use ferrolb::bgp::wire::{Context, decode};
use ferrolb::bgp::{Attributes, Origin};
use ipnet::IpNet;

#[path = "parts/processor.rs"]
mod processor;

use processor::Start;

const ROUTES: u32 = 10_000;

/// Nanoseconds of each of `count` since then.
fn ns_each(start: &Start, count: u32) -> f64 {
    start.elapsed().as_secs_f64() * 1e9 / f64::from(count)
}

fn median(rounds: usize, mut round: impl FnMut() -> f64) -> f64 {
    let mut all: Vec<f64> = (0..rounds).map(|_| round()).collect();
    all.sort_by(f64::total_cmp);
    all.get(rounds / 2).copied().unwrap_or(f64::NAN)
}

fn print(name: &str, value: f64, reference: f64) {
    println!(
        "{name} {value:.1} ns {reference:.1} {:.2}",
        value / reference
    );
}

fn session(extended: bool) -> Session {
    Session {
        context: Context {
            four_octet: true,
            extended,
            ipv4: true,
            ipv6: true,
            ..Context::default()
        },
        my_asn: 65_001,
        next_hop_v4: Some(Ipv4Addr::new(192, 0, 2, 1)),
        next_hop_v6: Some(NextHop6 {
            global: Ipv6Addr::LOCALHOST,
            link_local: None,
        }),
    }
}

fn v4(n: u32) -> IpNet {
    IpAddr::from(Ipv4Addr::from_bits(0x0a00_0000 + n)).into()
}

fn v6(n: u32) -> IpNet {
    IpAddr::from(Ipv6Addr::from_bits(0x2001_0db8 << 96 | u128::from(n))).into()
}

fn attributes(community: u32) -> Arc<Attributes> {
    Arc::new(Attributes {
        origin: Origin::Incomplete,
        local_pref: 100,
        communities: Box::new([community]),
    })
}

fn drain(rib: &mut RibOut) -> Vec<Vec<u8>> {
    std::iter::from_fn(|| rib.poll_message()).collect()
}

fn main() {
    println!("name value unit reference ratio");
    let attributes = [attributes(1), attributes(2)];
    // Every place once, in an order that jumps.
    let order: Vec<u32> = (0..ROUTES).map(|n| n * 7919 % ROUTES).collect();
    let reference = median(21, || {
        let start = Start::now();
        let mut map = BTreeMap::new();
        for n in &order {
            map.insert(v4(*n), Arc::clone(&attributes[0]));
        }
        black_box(&map);
        ns_each(&start, ROUTES)
    });
    let fill = |prefix: fn(u32) -> IpNet| {
        let mut rib = RibOut::new();
        for n in &order {
            rib.set(prefix(*n), Some(Arc::clone(&attributes[0])));
        }
        rib
    };
    let set = median(21, || {
        let start = Start::now();
        black_box(fill(v4));
        ns_each(&start, ROUTES)
    });
    print("set_each_of_10000", set, reference);
    for (name, prefix, extended) in [
        ("pack_each_of_10000_v4", v4 as fn(u32) -> IpNet, false),
        ("pack_each_of_10000_v6", v6, false),
        ("pack_each_of_10000_v4_extended", v4, true),
    ] {
        let mut rib = fill(prefix);
        let mut messages = Vec::new();
        let packed = median(21, || {
            let start = Start::now();
            rib.start(session(extended));
            messages = drain(&mut rib);
            ns_each(&start, ROUTES)
        });
        print(name, packed, reference);
        let context = session(extended).context;
        let read = median(21, || {
            let start = Start::now();
            for message in &messages {
                let _read = black_box(decode(message, &context));
            }
            ns_each(&start, ROUTES)
        });
        print(&name.replace("pack", "read"), read, reference);
    }
    // One change, and its message.
    let mut map: BTreeMap<IpNet, Arc<Attributes>> = order
        .iter()
        .map(|n| (v4(*n), Arc::clone(&attributes[0])))
        .collect();
    let mut rib = fill(v4);
    rib.start(session(false));
    drain(&mut rib);
    for (name, wanted) in [
        ("change_one_of_10000", Some(&attributes[1])),
        ("withdraw_one_of_10000", None),
        ("announce_one_more", Some(&attributes[0])),
    ] {
        let start = Start::now();
        for n in &order {
            match wanted {
                Some(wanted) => map.insert(v4(*n), Arc::clone(wanted)),
                None => map.remove(&v4(*n)),
            };
        }
        let reference = ns_each(&start, ROUTES);
        let start = Start::now();
        for n in &order {
            rib.set(v4(*n), wanted.map(Arc::clone));
            black_box(rib.poll_message());
        }
        print(name, ns_each(&start, ROUTES), reference);
    }
}
