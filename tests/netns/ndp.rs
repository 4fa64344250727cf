//! IPv6: solicitations, duplicate address detection, groups.

use std::time::Duration;

use ferrolb::layer2::Counters;
use ferrolb::layer2::driver::Params;

use crate::frames::{Advertisement, OVERRIDE, SOLICITED, Solicitation, solicited_node};
use crate::world::{CLIENT, HOST, Lan, Running, Tap, eventually, now};

const VIP: &str = "2001:db8::1:10";
const SOURCE: &str = "fe80::c1";

fn ready() -> (Lan, Tap, Running) {
    let lan = Lan::new();
    let tap = lan.client.tap("eth0");
    let mut running = lan.host.layer2(Params::default());
    running.logged("createNDPResponder", "eth0");
    running.announce(VIP);
    tap.find("burst", |frame| {
        Advertisement::read(frame).filter(|advertisement| advertisement.flags == OVERRIDE)
    });
    (lan, tap, running)
}

fn groups(lan: &Lan) -> String {
    String::from_utf8_lossy(
        &lan.host
            .exec("ip", &["maddress", "show", "dev", "eth0"])
            .stdout,
    )
    .into_owned()
}

#[test]
#[ignore = "needs root and network namespaces; run by `cargo test --test netns -- --ignored --skip needs_`"]
fn a_solicitation_is_answered_solicited_and_without_override() {
    let (_lan, tap, running) = ready();
    tap.send(&Solicitation::new(CLIENT, SOURCE, VIP).frame());
    let answer = tap.find("answer", Advertisement::read_answer);
    assert_eq!(
        answer,
        Advertisement {
            destination_mac: CLIENT,
            source_mac: HOST,
            source: VIP.parse().unwrap(),
            destination: SOURCE.parse().unwrap(),
            flags: SOLICITED,
            target: VIP.parse().unwrap(),
            link_layer: HOST,
        }
    );
    eventually("counted", || {
        let Counters {
            requests_received,
            responses_sent,
            ..
        } = running.counters(VIP);
        (requests_received, responses_sent) == (1, 1)
    });
}

#[test]
#[ignore = "needs root and network namespaces; run by `cargo test --test netns -- --ignored --skip needs_`"]
fn a_unicast_solicitation_without_the_option_is_answered_to_the_station_that_sent_it() {
    let (_lan, tap, _running) = ready();
    let solicitation = Solicitation {
        option: None,
        destination_mac: HOST,
        destination: VIP.parse().unwrap(),
        ..Solicitation::new(CLIENT, SOURCE, VIP)
    };
    tap.send(&solicitation.frame());
    let answer = tap.find("answer", Advertisement::read_answer);
    assert_eq!((answer.destination_mac, answer.flags), (CLIENT, SOLICITED));
    assert_eq!(answer.destination.to_string(), SOURCE);
}

#[test]
#[ignore = "needs root and network namespaces; run by `cargo test --test netns -- --ignored --skip needs_`"]
fn duplicate_address_detection_of_another_host_is_defended() {
    let (lan, tap, _running) = ready();
    let probe = Solicitation {
        option: None,
        ..Solicitation::new(CLIENT, "::", VIP)
    };
    tap.send(&probe.frame());
    let answer = tap.find("defence", |frame| {
        Advertisement::read(frame).filter(|advertisement| advertisement.flags == 0)
    });
    assert_eq!(answer.destination.to_string(), "ff02::1");
    assert_eq!(answer.destination_mac, [0x33, 0x33, 0, 0, 0, 1]);
    assert_eq!(answer.target.to_string(), VIP);
    // The kernel of the other end believes it: its own attempt to take the address fails.
    lan.client.write("net/ipv6/conf/all/accept_dad", "1");
    lan.client.write("net/ipv6/conf/eth0/accept_dad", "1");
    lan.client.ip(&format!("address add {VIP}/64 dev eth0"));
    eventually("dadfailed", || {
        let output = lan.client.exec("ip", &["address", "show", "dev", "eth0"]);
        String::from_utf8_lossy(&output.stdout).contains("dadfailed")
    });
}

#[test]
#[ignore = "needs root and network namespaces; run by `cargo test --test netns -- --ignored --skip needs_`"]
fn gratuitous_advertisements_are_five_with_override() {
    let lan = Lan::new();
    let tap = lan.client.tap("eth0");
    let mut running = lan.host.layer2(Params::default());
    running.logged("createNDPResponder", "eth0");
    let start = now();
    running.announce(VIP);
    let seen = tap.collect(start + Duration::from_secs(6), |frame| {
        Advertisement::read(frame).filter(|advertisement| advertisement.target.to_string() == VIP)
    });
    assert_eq!(seen.len(), 5, "{seen:?}");
    for (_, advertisement) in seen {
        assert_eq!(advertisement.flags, OVERRIDE);
        assert_eq!(advertisement.destination.to_string(), "ff02::1");
        assert_eq!(advertisement.link_layer, HOST);
    }
    assert_eq!(running.counters(VIP).gratuitous_sent, 5);
}

#[test]
#[ignore = "needs root and network namespaces; run by `cargo test --test netns -- --ignored --skip needs_`"]
fn solicited_node_groups_are_joined_for_their_addresses_and_by_late_responders_too() {
    let (lan, _tap, mut running) = ready();
    let group = solicited_node(VIP.parse().unwrap()).to_string();
    eventually("joined", || groups(&lan).contains(&group));
    // Shares the last 24 bits.
    running.announce("2001:db8:1::1:10");
    running.announce("2001:db8::2:20");
    let second = solicited_node("2001:db8::2:20".parse().unwrap()).to_string();
    eventually("second joined", || groups(&lan).contains(&second));
    running.withdraw(VIP);
    running.withdraw("2001:db8::2:20");
    eventually("second left", || !groups(&lan).contains(&second));
    assert!(
        groups(&lan).contains(&group),
        "still needed by the other address"
    );

    // An interface that comes later joins what is announced already.
    lan.cable("eth1", [2, 0, 0, 0, 0, 0xa2], [2, 0, 0, 0, 0, 0xc2]);
    running.logged("createNDPResponder", "eth1");
    let on_eth1 = || {
        let output = lan.host.exec("ip", &["maddress", "show", "dev", "eth1"]);
        String::from_utf8_lossy(&output.stdout).contains(&group)
    };
    eventually("joined on eth1", on_eth1);

    running.withdraw("2001:db8:1::1:10");
    eventually("left by the last", || {
        !groups(&lan).contains(&group) && !on_eth1()
    });
}

#[test]
#[ignore = "needs root and network namespaces; run by `cargo test --test netns -- --ignored --skip needs_`"]
fn thousands_of_groups_are_joined_whatever_one_socket_may_hold() {
    let (lan, _tap, mut running) = ready();
    for low in 0..2000_u32 {
        running.announce(&format!(
            "2001:db8::{:x}:{:x}",
            0x100 + low / 256,
            0x1000 + low % 256
        ));
    }
    eventually("2,001 groups", || {
        groups(&lan).matches("ff02::1:ff").count() >= 2000
    });
    let reports = format!("{:?}", running.reports());
    assert!(
        !reports.contains("allMulticast") && !reports.contains("joinGroup"),
        "no fallback: {reports}"
    );
}

#[test]
#[ignore = "needs root, network namespaces and Debian's ndisc6; run by `cargo test --test netns -- --ignored --skip needs_`"]
fn ndisc6_gets_one_answer() {
    let (lan, _tap, _running) = ready();
    let output = lan
        .client
        .exec("ndisc6", &["-m", "-r", "1", "-w", "500", VIP, "eth0"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    assert_eq!(
        text.matches("Target link-layer address: 02:00:00:00:00:A1")
            .count(),
        1,
        "{text}"
    );
}
