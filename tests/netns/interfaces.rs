//! Interfaces that come, change and go.

use ferrolb::layer2::driver::Params;

use crate::frames::{Arp, Solicitation};
use crate::world::{CLIENT, HOST, Lan, Mac, Running, Tap, eventually, mac};

const VIP: &str = "192.0.2.10";

fn ask(tap: &Tap) -> Arp {
    tap.send(&Arp::request(CLIENT, "192.0.2.1", VIP).frame());
    tap.find("answer", Arp::read_answer)
}

fn ready() -> (Lan, Tap, Running) {
    let lan = Lan::new();
    let tap = lan.client.tap("eth0");
    let mut running = lan.host.layer2(Params::default());
    running.announce(VIP);
    running.logged("createARPResponder", "eth0");
    tap.find("burst", Arp::read_gratuitous);
    (lan, tap, running)
}

#[test]
#[ignore = "needs root and network namespaces; run by `cargo test --test netns -- --ignored --skip needs_`"]
fn an_interface_that_is_added_later_bursts_and_answers() {
    let (lan, _tap, mut running) = ready();
    let here: Mac = [2, 0, 0, 0, 0, 0xa2];
    lan.cable("eth1", here, [2, 0, 0, 0, 0, 0xc2]);
    running.logged("createARPResponder", "eth1");
    let tap = lan.client.tap("eth1");
    // The first round may be over before the tap was there; the next is not.
    assert_eq!(tap.find("burst", Arp::read_gratuitous).source, here);
    assert_eq!(ask(&tap).source, here);
    lan.host.ip("link del eth1");
    running.logged("deleteARPResponder", "eth1");
}

#[test]
#[ignore = "needs root and network namespaces; run by `cargo test --test netns -- --ignored --skip needs_`"]
fn an_interface_that_goes_down_and_up_answers_again() {
    let (lan, tap, mut running) = ready();
    lan.host.ip("link set eth0 down");
    running.logged("deleteARPResponder", "eth0");
    lan.host.ip("link set eth0 up");
    running.logged("createARPResponder", "eth0");
    tap.find("burst", Arp::read_gratuitous);
    assert_eq!(ask(&tap).source, HOST);
    running.announce("2001:db8::10");
    running.logged("createNDPResponder", "eth0");
}

#[test]
#[ignore = "needs root and network namespaces; run by `cargo test --test netns -- --ignored --skip needs_`"]
fn a_cable_that_is_plugged_in_again_gets_a_burst() {
    let (lan, _tap, running) = ready();
    lan.client.ip("link set eth0 down");
    eventually("no carrier", || {
        let output = lan.host.exec("cat", &["/sys/class/net/eth0/carrier"]);
        String::from_utf8_lossy(&output.stdout).trim() == "0"
    });
    let before = running.counters(VIP).gratuitous_sent;
    lan.client.ip("link set eth0 up");
    eventually("a new burst", || {
        running.counters(VIP).gratuitous_sent >= before + 10
    });
    // The old tap has an error to tell: its interface was down.
    let tap = lan.client.tap("eth0");
    assert_eq!(ask(&tap).source, HOST);
}

#[test]
#[ignore = "needs root and network namespaces; run by `cargo test --test netns -- --ignored --skip needs_`"]
fn a_changed_address_is_announced_and_used_in_answers() {
    let (lan, tap, running) = ready();
    let moved: Mac = [2, 0, 0, 0, 0, 0xaa];
    lan.host
        .ip(&format!("link set eth0 address {}", mac(moved)));
    tap.find("burst from the new address", |frame| {
        Arp::read_gratuitous(frame).filter(|arp| arp.source == moved && arp.sender.0 == moved)
    });
    assert_eq!(ask(&tap).source, moved);
    tap.send(
        &Arp {
            destination: moved,
            ..Arp::request(CLIENT, "192.0.2.2", VIP)
        }
        .frame(),
    );
    tap.find("answer to a unicast", |frame| {
        Arp::read_answer(frame).filter(|arp| arp.target.1.to_string() == "192.0.2.2")
    });
    drop(running);
}

#[test]
#[ignore = "needs root and network namespaces; run by `cargo test --test netns -- --ignored --skip needs_`"]
fn a_renamed_interface_goes_on_and_is_deleted_under_its_new_name() {
    let (lan, tap, mut running) = ready();
    // Since Linux 6.3 an interface may be renamed while it is up; before, it is down meanwhile.
    lan.host.ip("link set eth0 down");
    running.logged("deleteARPResponder", "eth0");
    lan.host.ip("link set eth0 name lan0");
    lan.host.ip("link set lan0 up");
    running.logged("createARPResponder", "lan0");
    assert_eq!(ask(&tap).source, HOST);
    lan.host.ip("link del lan0");
    running.logged("deleteARPResponder", "lan0");
}

#[test]
#[ignore = "needs root and network namespaces; run by `cargo test --test netns -- --ignored --skip needs_`"]
fn a_bridge_answers_and_its_port_does_not() {
    let (lan, tap, mut running) = ready();
    let bridge: Mac = [2, 0, 0, 0, 0, 0xb0];
    lan.host.ip(&format!(
        "link add name br0 address {} type bridge forward_delay 0",
        mac(bridge)
    ));
    lan.host.ip("link set br0 up");
    lan.host.ip("link set eth0 master br0");
    running.logged("deleteARPResponder", "eth0");
    running.logged("createARPResponder", "br0");
    tap.find("burst of the bridge", |frame| {
        Arp::read_gratuitous(frame).filter(|arp| arp.source == bridge)
    });
    let before = running.counters(VIP);
    assert_eq!(ask(&tap).source, bridge);
    eventually("counted", || {
        running.counters(VIP).responses_sent > before.responses_sent
    });
    assert_eq!(
        running.counters(VIP).requests_received,
        before.requests_received + 1,
        "one answer"
    );
    lan.host.ip("link set eth0 nomaster");
    running.logged("createARPResponder", "eth0");
    assert_eq!(ask(&tap).source, HOST);
}

#[test]
#[ignore = "needs root, network namespaces and a kernel with VRF; run by name"]
fn needs_vrf_a_member_answers_itself() {
    let (lan, tap, mut running) = ready();
    lan.host.ip("link add name blue type vrf table 10");
    lan.host.ip("link set blue up");
    lan.host.ip("link set eth0 master blue");
    eventually("the master is known", || {
        let output = lan.host.exec("ip", &["-d", "link", "show", "eth0"]);
        String::from_utf8_lossy(&output.stdout).contains("vrf_slave")
    });
    assert_eq!(ask(&tap).source, HOST);
    assert!(
        running
            .reports()
            .iter()
            .all(|report| !format!("{report:?}").contains("deleteARPResponder")),
        "the responder was never gone"
    );
}

#[test]
#[ignore = "needs root and network namespaces; run by `cargo test --test netns -- --ignored --skip needs_`"]
fn only_the_named_interfaces_answer() {
    let lan = Lan::new();
    lan.cable("eth1", [2, 0, 0, 0, 0, 0xa2], [2, 0, 0, 0, 0, 0xc2]);
    let (first, second) = (lan.client.tap("eth0"), lan.client.tap("eth1"));
    let params = Params {
        interfaces: Some(vec!["eth1".to_owned()]),
        ..Params::default()
    };
    let mut running = lan.host.layer2(params);
    running.announce(VIP);
    second.find("burst", Arp::read_gratuitous);
    first.send(&Arp::request(CLIENT, "192.0.2.1", VIP).frame());
    first.send(&Solicitation::new(CLIENT, "fe80::c1", "2001:db8::1").frame());
    ask(&second);
    let counters = running.counters(VIP);
    assert_eq!(counters.requests_received, 1);
    assert!(
        running
            .reports()
            .iter()
            .all(|report| !format!("{report:?}").contains("\"eth0\""))
    );
}

#[test]
#[ignore = "needs root and network namespaces; run by `cargo test --test netns -- --ignored --skip needs_`"]
fn many_interfaces_that_come_and_go_at_once_leave_a_working_responder() {
    let (lan, tap, mut running) = ready();
    for round in 0..3 {
        for number in 0..40 {
            lan.host.ip(&format!(
                "link add name v{round}x{number} type veth peer name w{round}x{number}"
            ));
            lan.host.ip(&format!("link set v{round}x{number} up"));
        }
        for number in 0..40 {
            lan.host.ip(&format!("link del v{round}x{number}"));
        }
        assert_eq!(ask(&tap).source, HOST);
    }
    lan.host.ip("link add name last type veth peer name tsal");
    lan.host.ip("link set last up");
    lan.host.ip("link set tsal up");
    running.logged("createARPResponder", "last");
    assert_eq!(ask(&tap).source, HOST);
}
