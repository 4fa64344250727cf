//! What is wrong on the host, and with how few rights it works.

use std::io::Write as _;
use std::process::{Command, Stdio};

use ferrolb::layer2::Report;
use ferrolb::layer2::driver::Params;

use crate::frames::{Advertisement, Arp, Solicitation};
use crate::world::{CLIENT, HOST, Lan};

const VIP: &str = "192.0.2.10";

#[test]
#[ignore = "needs root and network namespaces; run by `cargo test --test netns -- --ignored --skip needs_`"]
fn ipvs_without_strict_arp_is_said_once_and_so_is_its_end() {
    let lan = Lan::new();
    // kube-proxy's is a dummy; to us only its name and its addresses matter.
    lan.host.ip("link add name kube-ipvs0 type bridge");
    lan.host.ip("link set kube-ipvs0 arp off up");
    lan.host.ip(&format!("address add {VIP}/32 dev kube-ipvs0"));
    let mut running = lan.host.layer2(Params::default());
    running.announce(VIP);
    running.report("strict ARP", |report| match report {
        Report::StrictArpOff {
            interfaces,
            addresses,
        } => {
            assert_eq!(interfaces, &["eth0"]);
            assert_eq!(addresses, &[VIP.parse::<std::net::IpAddr>().unwrap()]);
            Some(())
        }
        _ => None,
    });
    // Another address changes nothing about what was said; a mended setting is noticed with the next change.
    lan.host.write("net/ipv4/conf/all/arp_ignore", "1");
    lan.host.ip("address add 192.0.2.11/32 dev kube-ipvs0");
    running.announce("192.0.2.11");
    running.report("the end", |report| {
        (*report == Report::StrictArpMended).then_some(())
    });
    lan.host.write("net/ipv4/conf/all/arp_ignore", "0");
    running.withdraw("192.0.2.11");
    running.report("strict ARP again", |report| {
        matches!(report, Report::StrictArpOff { .. }).then_some(())
    });
    lan.host.ip("link del kube-ipvs0");
    running.report("the end again", |report| {
        (*report == Report::StrictArpMended).then_some(())
    });
    let rest = running.reports();
    assert!(
        rest.iter().all(|report| matches!(report, Report::Log(_))),
        "{rest:?}"
    );
}

#[test]
#[ignore = "needs root and network namespaces; run by `cargo test --test netns -- --ignored --skip needs_`"]
fn an_announced_address_on_the_host_is_said_once_per_interface() {
    let lan = Lan::new();
    let ip: std::net::IpAddr = VIP.parse().unwrap();
    let mut running = lan.host.layer2(Params::default());
    running.announce(VIP);
    lan.host.ip(&format!("address add {VIP}/24 dev eth0"));
    let on = |interface: &str| Report::AddressOnHost {
        ip,
        interface: interface.to_owned(),
    };
    let off = |interface: &str| Report::AddressOffHost {
        ip,
        interface: interface.to_owned(),
    };
    running.report("eth0", |report| (*report == on("eth0")).then_some(()));
    lan.host.ip(&format!("address add {VIP}/32 dev lo"));
    running.report("lo", |report| (*report == on("lo")).then_some(()));
    lan.host.ip(&format!("address del {VIP}/24 dev eth0"));
    running.report("eth0 is free", |report| {
        (*report == off("eth0")).then_some(())
    });
    running.withdraw(VIP);
    running.report("lo is free", |report| (*report == off("lo")).then_some(()));
    let rest = running.reports();
    assert!(
        rest.iter().all(|report| matches!(report, Report::Log(_))),
        "{rest:?}"
    );
}

#[test]
#[ignore = "needs root and network namespaces; run by `cargo test --test netns -- --ignored --skip needs_`"]
fn an_address_that_we_put_on_the_loopback_is_no_reason_to_warn() {
    let lan = Lan::new();
    lan.host.ip(&format!("address add {VIP}/32 dev lo"));
    let mut running = lan.host.layer2(Params {
        loopback_is_ours: true,
        ..Params::default()
    });
    running.announce(VIP);
    running.announce("192.0.2.11");
    lan.host.ip("address add 192.0.2.11/24 dev eth0");
    running.report("the other one", |report| {
        matches!(report, Report::AddressOnHost { .. }).then_some(())
    });
    let rest = running.reports();
    assert!(
        rest.iter().all(|report| matches!(report, Report::Log(_))),
        "{rest:?}"
    );
}

/// The example that runs layer 2 as a program, beside this test's own file.
fn probe() -> std::path::PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test
        .parent()
        .unwrap()
        .parent()
        .unwrap()
        .join("examples/layer2_probe");
    assert!(
        path.exists(),
        "{} is missing: run `cargo build --example layer2_probe`",
        path.display()
    );
    path
}

#[test]
#[ignore = "needs root, network namespaces and setpriv; run by `cargo test --test netns -- --ignored --skip needs_`"]
fn the_right_net_raw_is_enough() {
    let lan = Lan::new();
    let tap = lan.client.tap("eth0");
    let mut child = Command::new("ip")
        .args([
            "netns",
            "exec",
            &lan.host.name,
            "setpriv",
            "--bounding-set=-all,+net_raw",
            "--inh-caps=-all",
        ])
        .arg(probe())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut commands = child.stdin.take().unwrap();
    commands
        .write_all(format!("announce {VIP}\nannounce 2001:db8::10\n").as_bytes())
        .unwrap();
    tap.find("burst", Arp::read_gratuitous);
    tap.send(&Arp::request(CLIENT, "192.0.2.1", VIP).frame());
    assert_eq!(tap.find("answer", Arp::read_answer).source, HOST);
    tap.find("advertisement", Advertisement::read);
    tap.send(&Solicitation::new(CLIENT, "fe80::c1", "2001:db8::10").frame());
    tap.find("IPv6 answer", Advertisement::read_answer);
    drop(commands);
    assert!(child.wait().unwrap().success());
}

#[test]
#[ignore = "needs root, network namespaces and setpriv; run by `cargo test --test netns -- --ignored --skip needs_`"]
fn without_the_right_it_says_which_one_is_missing() {
    let lan = Lan::new();
    let output = lan.host.exec(
        "setpriv",
        &[
            "--bounding-set=-all",
            "--inh-caps=-all",
            probe().to_str().unwrap(),
        ],
    );
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(text.contains("CAP_NET_RAW"), "{text}");
}
