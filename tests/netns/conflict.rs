//! Another station has an announced address.

use std::collections::BTreeMap;
use std::time::Duration;

use ferrolb::layer2::Report;
use ferrolb::layer2::driver::Params;

use crate::frames::Arp;
use crate::lan::Lan;
use crate::world::{self, CLIENT, HOST, Namespace, eventually, now};

const POOL: &str = "address-pools:\n- {name: d, protocol: layer2, addresses: [172.31.0.128/28, 'fd31::80-fd31::8f']}\n";
const VIP: &str = "172.31.0.128";
const VIP6: &str = "fd31::80";

fn one(address: &str, node: &str) -> BTreeMap<String, Vec<String>> {
    BTreeMap::from([(address.to_owned(), vec![node.to_owned()])])
}

fn serve(lan: &mut Lan, name: &str, address: &str) {
    lan.serve(name, address, false);
    lan.set_endpoints(name, &["node-1".to_owned(), "node-2".to_owned()], &[]);
}

/// The two were members, and their gossip is cut: both announce. One gives way, and takes the address again when the other is
/// gone.
fn two_owners_heal(address: &str) {
    let mut lan = Lan::with_speakers(2, POOL);
    serve(&mut lan, "shop", address);
    let addresses = [address.to_owned()];
    eventually("one owner", || lan.owners(&addresses).len() == 1);
    let owner = lan.owners(&addresses)[address].clone();
    let [owner] = &owner[..] else {
        panic!("{owner:?}");
    };
    let other = usize::from(owner == "node-1");
    lan.part(other);
    let both = || {
        lan.owners(&addresses)
            .get(address)
            .is_some_and(|nodes| nodes.len() == 2)
    };
    eventually("two owners", both);
    lan.until_owned(&addresses, &one(address, owner), Duration::from_secs(15));
    let silent = &lan.nodes[other];
    let told = silent.events.warnings();
    assert!(
        told.iter()
            .any(|(reason, text)| *reason == "AddressConflict"
                && text.contains(&format!("announced by node \"{owner}\""))
                && text.contains("is silent until that changes")),
        "{told:?}"
    );
    // It does not flap.
    let end = now() + Duration::from_secs(6);
    while now() < end {
        assert_eq!(lan.owners(&addresses), one(address, owner));
    }
    let told = lan.nodes[1 - other].events.warnings();
    assert!(
        told.iter()
            .any(|(reason, text)| *reason == "AddressConflict"
                && text.contains("comes first and goes on")),
        "{told:?}"
    );
    // The first one goes: the other takes over, though nobody tells it.
    lan.cut(1 - other);
    let name = lan.nodes[other].name.clone();
    lan.until_owned(&addresses, &one(address, &name), Duration::from_secs(15));
}

#[test]
#[ignore = "needs root and network namespaces; run by `cargo test --test netns -- --ignored --skip needs_`"]
fn two_owners_of_an_ipv4_address_heal() {
    two_owners_heal(VIP);
}

#[test]
#[ignore = "needs root and network namespaces; run by `cargo test --test netns -- --ignored --skip needs_`"]
fn two_owners_of_an_ipv6_address_heal() {
    two_owners_heal(VIP6);
}

/// A machine that has the address, as set up by hand or by DHCP, is named once, and the address stays announced.
fn a_stranger_is_named(address: &str, prefix: u8, before: bool) {
    let mut lan = Lan::with_speakers(2, POOL);
    let set_up = |client: &Namespace| {
        let nodad = if prefix > 32 { "nodad" } else { "" };
        client.ip(&format!("addr add {address}/{prefix} dev eth0 {nodad}"));
    };
    if before {
        set_up(&lan.client);
    }
    serve(&mut lan, "shop", address);
    if !before {
        let addresses = [address.to_owned()];
        eventually("one owner", || lan.owners(&addresses).len() == 1);
        set_up(&lan.client);
        // It says so itself, as a host does that is set up.
        let frame = Arp::request(CLIENT, address, address).frame();
        if prefix == 32 {
            lan.tap.send(&frame);
        }
    }
    let warnings = |lan: &Lan| {
        let all = lan.nodes.iter().flat_map(|node| node.events.warnings());
        all.collect::<Vec<_>>()
    };
    eventually("the stranger is named", || !warnings(&lan).is_empty());
    let end = now() + Duration::from_secs(4);
    while now() < end {
        crate::world::pause();
    }
    let told = warnings(&lan);
    let [(reason, text)] = &told[..] else {
        panic!("once: {told:?}");
    };
    assert_eq!(*reason, "AddressInUse");
    let begin = format!("address {address} is in use by 02:00:00:00:00:c1 on interface eth0");
    assert!(text.starts_with(&begin), "{text}");
    let conflicts: u64 = lan
        .nodes
        .iter()
        .flat_map(|node| node.speaker.as_ref().unwrap().layer2.counters())
        .map(|(_, counters)| counters.conflicts)
        .sum();
    assert_eq!(conflicts, 1);
    // The running state stays, on one node.
    let owners = lan.owners(&[address.to_owned()]);
    assert!(
        owners.len() == 1 && owners[address].len() == 1,
        "{owners:?}"
    );
}

#[test]
#[ignore = "needs root and network namespaces; run by `cargo test --test netns -- --ignored --skip needs_`"]
fn a_host_that_takes_an_announced_address_is_named_once() {
    a_stranger_is_named(VIP, 32, false);
}

#[test]
#[ignore = "needs root and network namespaces; run by `cargo test --test netns -- --ignored --skip needs_`"]
fn a_host_that_had_the_address_before_is_named_once() {
    a_stranger_is_named(VIP, 32, true);
}

#[test]
#[ignore = "needs root and network namespaces; run by `cargo test --test netns -- --ignored --skip needs_`"]
fn a_host_that_had_the_ipv6_address_before_is_named_once() {
    a_stranger_is_named(VIP6, 128, true);
}

/// Where the gossip is IPv6, the node of a Go speaker is found by the addresses that its station has for the kernel.
#[test]
#[ignore = "needs root and network namespaces; run by `cargo test --test netns -- --ignored --skip needs_`"]
fn a_station_is_told_with_all_addresses_by_which_the_host_knows_it() {
    let lan = world::Lan::new();
    let there = ["172.31.0.9", "fd31::9"];
    lan.host.ip("addr add 172.31.0.1/24 dev eth0");
    lan.client.ip(&format!("addr add {VIP}/32 dev eth0"));
    let knows = |address: &str, station: world::Mac| {
        let station = world::mac(station);
        lan.host.ip(&format!(
            "neigh add {address} lladdr {station} dev eth0 nud permanent"
        ));
    };
    for address in there {
        knows(address, CLIENT);
    }
    knows("fd31::8", [2, 0, 0, 0, 0, 8]);
    let mut running = lan.host.layer2(Params::default());
    running.announce(VIP);
    let known_as = running.report("the conflict", |report| match report {
        Report::Conflict { known_as, .. } => Some(known_as.clone()),
        _ => None,
    });
    for address in there {
        let address = address.parse().unwrap();
        assert!(known_as.contains(&address), "{known_as:?}");
    }
    assert!(!known_as.contains(&"fd31::8".parse().unwrap()));
}

/// One that hands over goes on answering requests; what the others announce it does not answer any more, and takes for no
/// conflict.
#[test]
#[ignore = "needs root and network namespaces; run by `cargo test --test netns -- --ignored --skip needs_`"]
fn one_that_hands_over_answers_requests_alone() {
    let lan = world::Lan::new();
    let tap = lan.client.tap("eth0");
    let mut running = lan.host.layer2(Params::default());
    running.announce(VIP);
    tap.find("the burst", Arp::read_gratuitous);
    let announcement = Arp::request(CLIENT, VIP, VIP).frame();
    let mut asked = 0;
    // Answers come in order, and each request has a sender of its own.
    let mut announcement_is_answered = || {
        asked += 1;
        let sender = format!("172.31.{}.{}", 1 + asked / 250, 1 + asked % 250);
        tap.send(&announcement);
        tap.send(&Arp::request(CLIENT, &sender, VIP).frame());
        let mut answered = false;
        tap.find("an answer to the request", |frame| {
            let arp = Arp::read(frame)?;
            if arp.operation != 2 || arp.destination != CLIENT {
                return None;
            }
            assert_eq!(arp.sender, (HOST, VIP.parse().unwrap()));
            let target = arp.target.1.to_string();
            answered |= target == VIP;
            (target == sender).then_some(())
        });
        answered
    };
    assert!(
        announcement_is_answered(),
        "what others announce is answered as a request is"
    );
    running.hand_over();
    eventually("announcements have no answer", || {
        !announcement_is_answered()
    });
    let end = now() + Duration::from_secs(4);
    while now() < end {
        assert!(!announcement_is_answered());
        world::pause();
    }
    let reports = running.reports();
    assert!(
        !reports
            .iter()
            .any(|report| matches!(report, Report::Conflict { .. })),
        "{reports:?}"
    );
}

#[test]
#[ignore = "needs root and network namespaces; run by `cargo test --test netns -- --ignored --skip needs_`"]
fn handovers_are_no_conflicts() {
    let mut lan = Lan::with_speakers(3, POOL);
    for i in 0..8 {
        serve(&mut lan, &format!("s{i}"), &format!("172.31.0.{}", 128 + i));
    }
    let addresses: Vec<String> = (0..8).map(|i| format!("172.31.0.{}", 128 + i)).collect();
    let all = |lan: &Lan| {
        let owners = lan.owners(&addresses);
        owners.len() == 8 && owners.values().all(|nodes| nodes.len() == 1)
    };
    eventually("owners", || all(&lan));
    lan.terminate(1);
    eventually("owners without one", || all(&lan));
    lan.start(1);
    lan.agree();
    eventually("owners with it again", || all(&lan));
    lan.die(2);
    eventually("owners after a death", || all(&lan));
    lan.start(2);
    lan.agree();
    let end = now() + Duration::from_secs(7);
    while now() < end {
        crate::world::pause();
    }
    for node in &lan.nodes {
        assert_eq!(node.events.warnings(), []);
    }
}
