//! Owners come and go: who answers for each address, and how soon.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::frames::Arp;
use crate::lan::Lan;
use crate::world::now;

const RECORDED: &str = include_str!("../golden/owners.json");

fn texts(value: Option<&Value>) -> Vec<String> {
    value
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .map(|text| text.as_str().unwrap().to_owned())
        .collect()
}

fn place(name: &str) -> usize {
    name.strip_prefix("node-")
        .unwrap()
        .parse::<usize>()
        .unwrap()
        - 1
}

fn step(lan: &mut Lan, op: &[Value]) {
    let text = |index: usize| op[index].as_str().unwrap();
    match text(0) {
        "service" => {
            lan.serve(text(1), text(2), text(3) == "Local");
            lan.set_endpoints(text(1), &texts(op.get(4)), &texts(op.get(5)));
        }
        "endpoints" => lan.set_endpoints(text(1), &texts(op.get(2)), &texts(op.get(3))),
        "unserve" => lan.unserve(text(1)),
        "term" => lan.terminate(place(text(1))),
        "die" => lan.die(place(text(1))),
        "start" => lan.start(place(text(1))),
        // Here the owners are waited for.
        "sleep" => {}
        other => panic!("unknown step {other}"),
    }
}

/// What MetalLB 0.12.1's three speakers answered, asked of ours by ARP and neighbour discovery.
fn the_answers_are_those_of_0_12(case: &str) {
    let recorded: Value = serde_json::from_str(RECORDED).unwrap();
    let mut lan = Lan::with_speakers(3, recorded["config"].as_str().unwrap());
    let case = &recorded[case];
    let answers = case["answers"].as_array().unwrap();
    let addresses: Vec<String> = answers
        .iter()
        .flat_map(|answer| answer.as_object().unwrap().keys().cloned())
        .collect();
    for (steps, answer) in case["steps"].as_array().unwrap().iter().zip(answers) {
        for op in steps.as_array().unwrap() {
            step(&mut lan, op.as_array().unwrap());
        }
        let want: BTreeMap<String, Vec<String>> = serde_json::from_value(answer.clone()).unwrap();
        lan.until_owned(&addresses, &want, Duration::from_secs(20));
    }
}

#[test]
#[ignore = "needs root and network namespaces; run by `cargo test --test netns -- --ignored --skip needs_`"]
fn ten_addresses_are_answered_for_as_in_0_12() {
    the_answers_are_those_of_0_12("ten-addresses");
}

#[test]
#[ignore = "needs root and network namespaces; run by `cargo test --test netns -- --ignored --skip needs_`"]
fn addresses_of_a_speaker_that_leaves_are_answered_for_as_in_0_12() {
    the_answers_are_those_of_0_12("speaker-leaves");
}

#[test]
#[ignore = "needs root and network namespaces; run by `cargo test --test netns -- --ignored --skip needs_`"]
fn addresses_of_a_speaker_that_dies_are_answered_for_as_in_0_12() {
    the_answers_are_those_of_0_12("speaker-dies");
}

#[test]
#[ignore = "needs root and network namespaces; run by `cargo test --test netns -- --ignored --skip needs_`"]
fn ipv6_addresses_are_answered_for_as_in_0_12() {
    the_answers_are_those_of_0_12("v6");
}

const POOL: &str = "address-pools:\n- {name: d, protocol: layer2, addresses: [10.0.0.0/16]}\n";

/// Three speakers and that many addresses; the place of the one that announces most, and how many those are.
fn with_addresses(count: usize) -> (Lan, usize, usize) {
    let mut lan = Lan::with_speakers(3, POOL);
    for i in 0..count {
        let name = format!("s{i}");
        lan.serve(&name, &format!("10.0.{}.{}", i / 250, 1 + i % 250), false);
        lan.set_endpoints(&name, &["node-1".to_owned()], &[]);
    }
    // All bursts are over.
    let announced = || -> Vec<usize> {
        let speakers = lan.nodes.iter().filter_map(|node| node.speaker.as_ref());
        let over = |counters: &ferrolb::layer2::Counters| counters.gratuitous_sent >= 10;
        speakers
            .map(|running| running.layer2.counters())
            .map(|all| all.iter().filter(|(_, counters)| over(counters)).count())
            .collect()
    };
    let end = now() + Duration::from_secs(60);
    while announced().iter().sum::<usize>() < count {
        assert!(now() < end, "{:?} of {count} are announced", announced());
        crate::world::pause();
    }
    let announced = announced();
    let most = (0..3).max_by_key(|i| announced[*i]).unwrap();
    let moved = announced[most];
    lan.tap.drain();
    (lan, most, moved)
}

/// When the first and the last address of the one that goes are announced by others, after `begin`.
fn taken_over(lan: &Lan, gone: usize, moved: usize, begin: Instant) -> (Duration, Duration) {
    let seen = lan
        .tap
        .collect(begin + Duration::from_secs(3), Arp::read_gratuitous);
    let mut first: BTreeMap<Ipv4Addr, Instant> = BTreeMap::new();
    for (at, arp) in seen {
        if arp.sender.0 != lan.nodes[gone].mac {
            first.entry(arp.sender.1).or_insert(at);
        }
    }
    assert_eq!(first.len(), moved, "no frame is lost on the way");
    let soonest = *first.values().min().unwrap() - begin;
    let last = *first.values().max().unwrap() - begin;
    (soonest, last)
}

#[test]
#[ignore = "needs root and network namespaces; run by `cargo test --test netns -- --ignored --skip needs_`"]
fn a_cut_cable_moves_a_thousand_addresses_in_one_burst() {
    let (lan, gone, moved) = with_addresses(1_000);
    let begin = now();
    lan.cut(gone);
    let (first, last) = taken_over(&lan, gone, moved, begin);
    println!("{moved} addresses move: first {first:.0?}, last {last:.0?} after the cable was cut");
    // Half a second, and a tenth, on a machine that does nothing else: the figures are bench/failover's.
    assert!(first <= Duration::from_secs(2), "{first:?}");
    assert!(
        last - first <= Duration::from_secs(1),
        "{first:?}, {last:?}"
    );
}

#[test]
#[ignore = "needs root and network namespaces; run by `cargo test --test netns -- --ignored --skip needs_`"]
fn a_speaker_that_leaves_hands_a_thousand_addresses_over_at_once() {
    let (lan, gone, moved) = with_addresses(1_000);
    let begin = now();
    lan.ask_to_end(gone);
    let (first, last) = taken_over(&lan, gone, moved, begin);
    println!("{moved} addresses move: first {first:.0?}, last {last:.0?} after SIGTERM");
    // A tenth of a second on a machine that does nothing else: the figure is bench/failover's.
    assert!(last <= Duration::from_secs(1), "{last:?}");
}

/// The figures of bench/failover: `FAILOVER_ADDRESSES` ("1 10000"), `FAILOVER_ROUNDS` (5), one line each.
#[test]
#[ignore = "a benchmark: run by bench/failover/run.sh"]
fn needs_patience_figures_of_a_failover() {
    let counts = std::env::var("FAILOVER_ADDRESSES").unwrap_or_else(|_| "1 10000".to_owned());
    let rounds: usize = std::env::var("FAILOVER_ROUNDS").map_or(5, |text| text.parse().unwrap());
    for count in counts.split_whitespace() {
        for cut in [true, false] {
            for _ in 0..rounds {
                let (lan, gone, moved) = with_addresses(count.parse().unwrap());
                let begin = now();
                if cut {
                    lan.cut(gone);
                } else {
                    lan.ask_to_end(gone);
                }
                let (first, last) = taken_over(&lan, gone, moved, begin);
                println!(
                    "{}: addresses {count} moved {moved} first {} ms last {} ms",
                    if cut { "cut" } else { "leave" },
                    first.as_millis(),
                    last.as_millis()
                );
            }
        }
    }
}

/// Both processors kept busy, and each packet lost with 5 % on its way in: nobody may be declared dead. `FAILOVER_SECONDS` (600) long.
#[test]
#[ignore = "takes ten minutes: run by bench/failover/run.sh"]
fn needs_patience_a_busy_lossy_cluster_declares_nobody_dead() {
    let seconds = std::env::var("FAILOVER_SECONDS").map_or(600, |text| text.parse().unwrap());
    let mut lan = Lan::with_speakers(3, POOL);
    for i in 0..50 {
        let name = format!("s{i}");
        lan.serve(&name, &format!("10.0.0.{}", 1 + i), false);
        lan.set_endpoints(&name, &["node-1".to_owned()], &[]);
    }
    for node in &lan.nodes {
        let rule = "-A INPUT -m statistic --mode random --probability 0.05 -j DROP";
        let words: Vec<&str> = rule.split(' ').collect();
        let output = node.namespace.exec("iptables", &words);
        assert!(output.status.success(), "{output:?}");
    }
    let processors = std::thread::available_parallelism().unwrap().get();
    let mut busy: Vec<std::process::Child> = (0..2 * processors)
        .map(|_| {
            std::process::Command::new("sh")
                .args(["-c", "while :; do :; done"])
                .spawn()
                .unwrap()
        })
        .collect();
    let end = now() + Duration::from_secs(seconds);
    while now() < end {
        #[expect(clippy::disallowed_methods, reason = "a benchmark in real time")]
        std::thread::sleep(Duration::from_secs(1));
    }
    for process in &mut busy {
        let _ = process.kill();
        let _ = process.wait();
    }
    let mut deaths = 0;
    for node in &lan.nodes {
        let counters = node.speaker.as_ref().unwrap().gossip.counters();
        let (heartbeat, swim) = (counters.heartbeat, counters.swim);
        println!(
            "busy: {} seconds {seconds} sent {} answered {} doubts {} verdicts {} late {} suspicions {} deaths {} judged {} of {}",
            node.name,
            heartbeat.pings,
            heartbeat.acks,
            heartbeat.doubts,
            heartbeat.verdicts,
            heartbeat.late,
            swim.suspicions,
            swim.deaths,
            counters.judged,
            counters.watched
        );
        deaths += swim.deaths;
    }
    assert_eq!(deaths, 0);
}
