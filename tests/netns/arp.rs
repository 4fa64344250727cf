//! IPv4: requests, probes, bursts, garbage.

use std::time::Duration;

use ferrolb::layer2::Counters;
use ferrolb::layer2::driver::Params;

use crate::frames::Arp;
use crate::world::{CLIENT, HOST, Lan, Mac, eventually, ip, mac, now};

const VIP: &str = "192.0.2.10";
/// Announced as well, and asked for after what must stay without an answer: answers come in order.
const SENTINEL: &str = "192.0.2.99";

fn request(target: &str) -> Vec<u8> {
    Arp::request(CLIENT, "192.0.2.1", target).frame()
}

#[test]
#[ignore = "needs root and network namespaces; run by `cargo test --test netns -- --ignored --skip needs_`"]
fn a_request_has_exactly_one_answer_with_the_right_address() {
    let lan = Lan::new();
    let tap = lan.client.tap("eth0");
    let mut running = lan.host.layer2(Params::default());
    running.logged("createARPResponder", "eth0");
    running.announce(VIP);
    running.announce(SENTINEL);
    tap.find("burst", |frame| {
        Arp::read_gratuitous(frame).filter(|arp| arp.sender.1.to_string() == SENTINEL)
    });
    tap.send(&request(VIP));
    tap.send(&request(SENTINEL));
    let answer = tap.find("answer", Arp::read_answer);
    assert_eq!(
        answer,
        Arp {
            destination: CLIENT,
            source: HOST,
            operation: 2,
            sender: (HOST, VIP.parse().unwrap()),
            target: (CLIENT, "192.0.2.1".parse().unwrap()),
        }
    );
    let next = tap.find("answer for the sentinel", Arp::read_answer);
    assert_eq!(
        next.sender.1.to_string(),
        SENTINEL,
        "one answer for one request"
    );
    eventually("counted", || {
        let Counters {
            requests_received,
            responses_sent,
            ..
        } = running.counters(VIP);
        (requests_received, responses_sent) == (1, 1)
    });
    running.layer2.shutdown();
}

#[test]
#[ignore = "needs root and network namespaces; run by `cargo test --test netns -- --ignored --skip needs_`"]
fn only_requests_to_us_for_announced_addresses_are_answered() {
    let lan = Lan::new();
    let tap = lan.client.tap("eth0");
    let running = lan.host.layer2(Params::default());
    running.announce(VIP);
    running.announce(SENTINEL);
    tap.find("burst", |frame| {
        Arp::read_gratuitous(frame).filter(|arp| arp.sender.1.to_string() == SENTINEL)
    });
    let template = Arp::request(CLIENT, "192.0.2.1", VIP);
    let other: Mac = [2, 0, 0, 0, 0, 0x77];
    for silent in [
        Arp {
            target: ([0; 6], "192.0.2.11".parse().unwrap()),
            ..template
        },
        Arp {
            operation: 2,
            ..template
        },
        Arp {
            destination: other,
            ..template
        },
        Arp {
            sender: ([0xff; 6], template.sender.1),
            ..template
        },
    ] {
        tap.send(&silent.frame());
    }
    // A tag that no interface of the host wants.
    let plain = template.frame();
    let mut tagged = plain[..12].to_vec();
    tagged.extend([0x81, 0, 0, 100]);
    tagged.extend(&plain[12..]);
    tap.send(&tagged);
    // A probe (RFC 5227), and a request to our own station: both are answered.
    tap.send(
        &Arp {
            sender: (CLIENT, "0.0.0.0".parse().unwrap()),
            ..template
        }
        .frame(),
    );
    tap.send(
        &Arp {
            destination: HOST,
            ..template
        }
        .frame(),
    );
    tap.send(&request(SENTINEL));
    let answers: Vec<(String, String)> = (0..3)
        .map(|_| tap.find("answer", Arp::read_answer))
        .map(|arp| (arp.sender.1.to_string(), arp.target.1.to_string()))
        .collect();
    let want = [
        (VIP, "0.0.0.0"),
        (VIP, "192.0.2.1"),
        (SENTINEL, "192.0.2.1"),
    ];
    assert_eq!(
        answers,
        want.map(|(sender, target)| (sender.to_owned(), target.to_owned()))
    );
}

#[test]
#[ignore = "needs root, network namespaces and a kernel with 802.1Q; run by name"]
fn needs_vlan_an_interface_answers_within_its_tag_and_nowhere_else() {
    let lan = Lan::new();
    lan.host
        .ip("link add link eth0 name eth0.100 type vlan id 100");
    lan.host.ip("link set eth0.100 up");
    lan.client
        .ip("link add link eth0 name eth0.100 type vlan id 100");
    lan.client.ip("link set eth0.100 up");
    let tap = lan.client.tap("eth0.100");
    let untagged = lan.client.tap("eth0");
    let mut running = lan.host.layer2(Params::default());
    running.logged("createARPResponder", "eth0.100");
    running.logged("createARPResponder", "eth0");
    running.announce(VIP);
    tap.find("burst", Arp::read_gratuitous);
    tap.send(&request(VIP));
    assert_eq!(tap.find("answer", Arp::read_answer).source, HOST);
    untagged.send(&request(VIP));
    // The tap on eth0 sees the tagged frames without their tags, too: one for each request, no more.
    for _ in 0..2 {
        untagged.find("answer", Arp::read_answer);
    }
    eventually("two requests counted", || {
        running.counters(VIP).requests_received == 2
    });
    assert_eq!(running.counters(VIP).responses_sent, 2);
}

#[test]
#[ignore = "needs root and network namespaces; run by `cargo test --test netns -- --ignored --skip needs_`"]
fn gratuitous_packets_are_five_pairs_and_a_repeated_announcement_adds_none() {
    let lan = Lan::new();
    let tap = lan.client.tap("eth0");
    let mut running = lan.host.layer2(Params::default());
    running.logged("createARPResponder", "eth0");
    let start = now();
    running.announce(VIP);
    running.announce(VIP);
    let mut repeated = false;
    let seen = tap.collect(start + Duration::from_secs(6), |frame| {
        if !repeated {
            running.announce(VIP);
            repeated = true;
        }
        Arp::read_gratuitous(frame)
    });
    let operations: Vec<u16> = seen.iter().map(|(_, arp)| arp.operation).collect();
    assert_eq!(
        operations,
        [1, 2, 1, 2, 1, 2, 1, 2, 1, 2],
        "a request and a reply, five times"
    );
    for (index, (at, arp)) in seen.iter().enumerate() {
        let vip = VIP.parse().unwrap();
        assert_eq!(
            (arp.source, arp.sender, arp.target.1),
            (HOST, (HOST, vip), vip)
        );
        let due = Duration::from_millis(1100) * u32::try_from(index / 2).unwrap();
        let off = at.duration_since(start).abs_diff(due);
        assert!(
            off < Duration::from_millis(500),
            "packet {index} is {off:?} off"
        );
    }
    assert_eq!(
        running.counters(VIP),
        Counters {
            gratuitous_sent: 10,
            ..Counters::default()
        }
    );
}

#[test]
#[ignore = "needs root and network namespaces; run by `cargo test --test netns -- --ignored --skip needs_`"]
fn a_withdrawn_address_is_silent_and_its_burst_stops() {
    let lan = Lan::new();
    let tap = lan.client.tap("eth0");
    let running = lan.host.layer2(Params::default());
    running.announce(SENTINEL);
    running.announce(VIP);
    tap.find("burst", |frame| {
        Arp::read_gratuitous(frame).filter(|arp| arp.sender.1.to_string() == VIP)
    });
    running.withdraw(VIP);
    // Withdrawals are carried out in order: this burst shows that the one before is.
    running.announce("192.0.2.50");
    tap.find("marker", |frame| {
        Arp::read_gratuitous(frame).filter(|arp| arp.sender.1.to_string() == "192.0.2.50")
    });
    let sent = running.counters(VIP).gratuitous_sent;
    tap.send(&request(VIP));
    tap.send(&request(SENTINEL));
    let answer = tap.find("answer", Arp::read_answer);
    assert_eq!(answer.sender.1.to_string(), SENTINEL);
    // The sentinel's own burst goes on for some rounds; the withdrawn address is not in them.
    let rounds = tap.collect(now() + Duration::from_millis(2500), Arp::read_gratuitous);
    assert!(
        rounds
            .iter()
            .any(|(_, arp)| arp.sender.1.to_string() == SENTINEL)
    );
    assert!(
        rounds
            .iter()
            .all(|(_, arp)| arp.sender.1.to_string() != VIP)
    );
    assert_eq!(running.counters(VIP).gratuitous_sent, sent);
    // And it comes back.
    running.announce(VIP);
    tap.find("new burst", |frame| {
        Arp::read_gratuitous(frame).filter(|arp| arp.sender.1.to_string() == VIP)
    });
    tap.send(&request(VIP));
    assert_eq!(
        tap.find("answer", Arp::read_answer).sender.1.to_string(),
        VIP
    );
}

#[test]
#[ignore = "needs root and network namespaces; run by `cargo test --test netns -- --ignored --skip needs_`"]
fn a_flood_of_garbage_does_not_stop_the_answers() {
    let lan = Lan::new();
    let tap = lan.client.tap("eth0");
    let running = lan.host.layer2(Params::default());
    running.announce(VIP);
    tap.find("burst", Arp::read_gratuitous);
    // Garbage that passes for ARP, IPv6 and neighbour discovery, of every length, from a fixed seed.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    for round in 0..200_u32 {
        for _ in 0..100 {
            let [length, kind, ..] = random();
            let mut frame = vec![0xff; 12];
            let template: Vec<u8> = match kind % 4 {
                0 => vec![0x08, 0x06],
                1 => request(VIP)[12..30].to_vec(),
                2 => vec![0x86, 0xdd, 0x60, 0, 0, 0, 0, 32, 58, 255],
                _ => vec![0x81, 0, 0, 1, 0x08, 0x06],
            };
            frame.extend(template);
            while frame.len() < 14 + usize::from(length) {
                frame.extend(random());
            }
            tap.send(&frame);
        }
        if round % 20 == 0 {
            let sender = format!("192.0.2.{}", 100 + round / 20);
            tap.send(&Arp::request(CLIENT, &sender, VIP).frame());
            tap.find("answer", |frame| {
                Arp::read_answer(frame).filter(|arp| arp.target.1.to_string() == sender)
            });
        }
    }
}

#[test]
#[ignore = "needs root, network namespaces and Debian's arping; run by `cargo test --test netns -- --ignored --skip needs_`"]
fn arping_gets_one_answer_per_request() {
    let lan = Lan::new();
    lan.client.ip("address add 192.0.2.1/24 dev eth0");
    let tap = lan.client.tap("eth0");
    let running = lan.host.layer2(Params::default());
    running.announce(VIP);
    tap.find("burst", Arp::read_gratuitous);
    let output = lan.client.exec(
        "arping",
        &["-c", "3", "-W", "0.05", "-w", "5", "-I", "eth0", VIP],
    );
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    assert_eq!(text.matches(&mac(HOST)).count(), 3, "{text}");
    assert!(
        text.contains("3 packets transmitted, 3 packets received"),
        "{text}"
    );
}

#[test]
#[ignore = "needs root and network namespaces; run by `cargo test --test netns -- --ignored --skip needs_`"]
fn ten_thousand_addresses_are_announced_quickly_and_all_answer() {
    let lan = Lan::new();
    let tap = lan.client.tap("eth0");
    let mut running = lan.host.layer2(Params::default());
    running.logged("createARPResponder", "eth0");
    let start = now();
    for low in 0..10_000_u32 {
        running.announce(&format!("10.1.{}.{}", low / 256, low % 256));
    }
    let mut first = std::collections::HashSet::new();
    let took = tap.find("a gratuitous packet of every address", |frame| {
        first.insert(Arp::read_gratuitous(frame)?.sender.1);
        (first.len() == 10_000).then(|| now().duration_since(start))
    });
    assert!(took < Duration::from_secs(3), "{took:?}");
    tap.send(&Arp::request(CLIENT, "10.2.0.1", "10.1.39.15").frame());
    tap.find("answer", Arp::read_answer);
    ip("netns list");
}
