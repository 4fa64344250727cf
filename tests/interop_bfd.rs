//! BFD with the daemons of others: FRR's bfdd and BIRD, as Debian packages them, in network namespaces; real time.
//!
//! `apt-get install frr bird2`, then as root:
//! `cargo build --example bfd_probe && cargo test --test interop_bfd -- --ignored --nocapture --test-threads=4`.
#![cfg(feature = "io")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(clippy::print_stdout, reason = "how long it took, for the reader")]

use std::time::Duration;

use ferrolb::bfd::wire::Diagnostic;
use ferrolb::bfd::{Command, Params, Peer, Reason};

#[path = "interop/bfd/others.rs"]
mod others;
#[path = "interop/bfd/ours.rs"]
mod ours;
#[expect(
    dead_code,
    reason = "what looks at layer 2 is for the tests of layer 2"
)]
#[path = "netns/world.rs"]
mod world;

use others::{Bird, Frr, Probe, eventually_or};
use ours::{Ours, Routed, Wire, fast, peer};
use world::{eventually, now};

const FAST: &str = "
 profile fast
  receive-interval 100
  transmit-interval 100
  detect-multiplier 5
 !";

/// bfdd's one peer, with the profile `fast` and more lines.
fn frr_peer(peer: &str, more: &str) -> String {
    format!("{FAST}\n peer {peer}\n  profile fast\n  {more}\n !")
}

/// From a cut to the news of it: the negotiated 500 ms, the last packet having come up to an interval before, and what a busy
/// machine of a test may take. (How fast and how sure it can be is a figure: bench/bfd.)
const NOTICED: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(380)..=Duration::from_millis(1000);

/// The same for echoes: five times 50 ms.
const ECHOES_NOTICED: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(180)..=Duration::from_millis(750);

fn comes_up_and_notices_a_cut(peer: Peer, theirs: &str) {
    let our_address = if peer.address.is_ipv4() {
        "192.0.2.1"
    } else if peer.interface.is_some() {
        "fe80::1"
    } else {
        "2001:db8::1"
    };
    let wire = Wire::new();
    let frr = Frr::start(&wire.theirs, &frr_peer(theirs, ""));
    let mut ours = Ours::start(&wire.ours);
    ours.want(&peer, fast());
    ours.comes_up(&peer);
    frr.becomes(our_address, "up");
    // The polls are answered both ways: each knows the other's intervals.
    eventually_or(
        || {
            let session = frr.peer(our_address);
            session["remote-receive-interval"] == 100 && session["remote-transmit-interval"] == 100
        },
        || frr.peer(our_address).to_string(),
    );
    let before = ours.figures(&peer);
    assert!(before.up && before.session_up_events == 1 && before.session_down_events == 0);
    eventually("control packets both ways", || {
        let now = ours.figures(&peer);
        now.control_packet_input > before.control_packet_input + 20
            && now.control_packet_output > before.control_packet_output + 20
    });
    ours.nothing_happened();

    let cut = now();
    wire.cut();
    let (at, reason) = ours.goes_down(&peer);
    println!("{}: noticed after {:?}", peer.address, at - cut);
    assert_eq!(reason, Reason::DetectionTimeExpired);
    assert!(NOTICED.contains(&(at - cut)), "{:?}", at - cut);
    frr.becomes(our_address, "down");
    assert!(!ours.figures(&peer).up);
    assert_eq!(ours.figures(&peer).session_down_events, 1);

    wire.mend();
    ours.comes_up(&peer);
    frr.becomes(our_address, "up");
    ours.nothing_happened();
    let logged = std::mem::take(&mut ours.records);
    assert!(
        logged
            .iter()
            .all(|record| record.subject == ferrolb::journal::Subject::Event("bfdLate")),
        "{logged:?}"
    );
}

#[test]
#[ignore = "needs root, FRR; run by tests/run"]
fn frr_over_one_hop_of_ipv4() {
    comes_up_and_notices_a_cut(peer("192.0.2.2"), "192.0.2.1 interface eth0");
}

#[test]
#[ignore = "needs root, FRR; run by tests/run"]
fn frr_over_one_hop_of_ipv6() {
    comes_up_and_notices_a_cut(
        peer("2001:db8::2"),
        "2001:db8::1 local-address 2001:db8::2 interface eth0",
    );
}

#[test]
#[ignore = "needs root, FRR; run by tests/run"]
fn frr_between_link_local_addresses() {
    let peer = Peer {
        interface: Some("eth0".into()),
        ..peer("fe80::2")
    };
    comes_up_and_notices_a_cut(peer, "fe80::1 local-address fe80::2 interface eth0");
}

fn over_a_router(ours_at: &str, theirs_at: &str) {
    let routed = Routed::new();
    let frr = Frr::start(
        &routed.theirs,
        &frr_peer(
            &format!("{ours_at} multihop local-address {theirs_at}"),
            "minimum-ttl 250",
        ),
    );
    let mut ours = Ours::start(&routed.ours);
    let peer = Peer {
        multihop: true,
        source: Some(ours_at.parse().unwrap()),
        ..peer(theirs_at)
    };
    // The router takes one: 254 arrive, and that is the default.
    ours.want(&peer, fast());
    ours.comes_up(&peer);
    frr.becomes(ours_at, "up");
    // With a higher minimum nothing is heard any more, and it is down in time.
    ours.want(
        &peer,
        Params {
            minimum_ttl: 255,
            ..fast()
        },
    );
    let (_, reason) = ours.goes_down(&peer);
    assert_eq!(reason, Reason::DetectionTimeExpired);
    let dropped = ours.bfd.as_ref().unwrap().drops();
    assert!(dropped.contains(&("unknownSession", 0)), "{dropped:?}");
    assert!(
        dropped
            .iter()
            .any(|(why, n)| *why == "timeToLive" && *n > 0),
        "{dropped:?}"
    );
    ours.want(&peer, fast());
    ours.comes_up(&peer);
}

#[test]
#[ignore = "needs root, FRR; run by tests/run"]
fn frr_over_several_hops_of_ipv4() {
    over_a_router("192.0.2.1", "198.51.100.2");
}

#[test]
#[ignore = "needs root, FRR; run by tests/run"]
fn frr_over_several_hops_of_ipv6() {
    over_a_router("2001:db8:0:1::1", "2001:db8:0:2::2");
}

fn echoes_both_ways(ours_at: &str, theirs_at: &str, theirs: &str) {
    let wire = Wire::new();
    for end in [&wire.ours, &wire.theirs] {
        end.write("net/ipv4/ip_forward", "1");
        end.write("net/ipv6/conf/all/forwarding", "1");
    }
    let frr = Frr::start(
        &wire.theirs,
        &frr_peer(
            theirs,
            "echo-mode\n  echo transmit-interval 50\n  echo receive-interval 50",
        ),
    );
    let mut ours = Ours::start(&wire.ours);
    let peer = peer(theirs_at);
    ours.want(
        &peer,
        Params {
            echo_mode: true,
            ..fast()
        },
    );
    ours.comes_up(&peer);
    frr.becomes(ours_at, "up");
    // Ours come back, and then control packets are asked for once a second.
    eventually_or(
        || {
            ours.figures(&peer).echo_packet_input > 20
                && frr.peer(ours_at)["remote-receive-interval"] == 1000
        },
        || format!("{:?} {}", ours.figures(&peer), frr.peer(ours_at)),
    );
    // Theirs too: bfdd promises and counts on it.
    eventually_or(
        || {
            let counters = frr.counters(ours_at);
            let session = frr.peer(ours_at);
            session["echo-transmit-interval"] == 50
                && counters["echo-packet-input"].as_u64() > Some(20)
        },
        || format!("{} {}", frr.peer(ours_at), frr.counters(ours_at)),
    );
    ours.nothing_happened();
    let cut = now();
    wire.cut();
    let (at, reason) = ours.goes_down(&peer);
    println!("{ours_at}: echoes noticed after {:?}", at - cut);
    assert_eq!(reason, Reason::EchoFunctionFailed);
    assert!(ECHOES_NOTICED.contains(&(at - cut)), "{:?}", at - cut);
    frr.becomes(ours_at, "down");
    wire.mend();
    ours.comes_up(&peer);
}

#[test]
#[ignore = "needs root, FRR; run by tests/run"]
fn frr_and_we_echo_over_ipv4() {
    echoes_both_ways("192.0.2.1", "192.0.2.2", "192.0.2.1 interface eth0");
}

#[test]
#[ignore = "needs root, FRR; run by tests/run"]
fn frr_and_we_echo_over_ipv6() {
    echoes_both_ways(
        "2001:db8::1",
        "2001:db8::2",
        "2001:db8::1 local-address 2001:db8::2 interface eth0",
    );
}

#[test]
#[ignore = "needs root, FRR; run by tests/run"]
fn no_echo_is_promised_where_packets_are_not_forwarded() {
    let wire = Wire::new();
    wire.ours.write("net/ipv4/ip_forward", "0");
    let frr = Frr::start(
        &wire.theirs,
        &frr_peer("192.0.2.1 interface eth0", "echo-mode"),
    );
    let mut ours = Ours::start(&wire.ours);
    let peer = peer("192.0.2.2");
    let echoing = Params {
        echo_mode: true,
        ..fast()
    };
    ours.want(&peer, echoing);
    ours.comes_up(&peer);
    ours.logs("bfdEchoNotLooped");
    frr.becomes("192.0.2.1", "up");
    assert_eq!(frr.peer("192.0.2.1")["remote-echo-receive-interval"], 0);
    // It is, once they are.
    wire.ours.write("net/ipv4/ip_forward", "1");
    eventually("the promise is made", || {
        frr.peer("192.0.2.1")["remote-echo-receive-interval"] == 50
    });
    ours.nothing_happened();
}

#[test]
#[ignore = "needs root, FRR; run by tests/run"]
fn either_end_may_be_passive() {
    let wire = Wire::new();
    let peer = peer("192.0.2.2");
    let passive = Params {
        passive_mode: true,
        ..fast()
    };
    for (theirs, params) in [("passive-mode", fast()), ("", passive)] {
        let frr = Frr::start(&wire.theirs, &frr_peer("192.0.2.1 interface eth0", theirs));
        let mut ours = Ours::start(&wire.ours);
        ours.want(&peer, params);
        ours.comes_up(&peer);
        frr.becomes("192.0.2.1", "up");
    }
    // Both: nobody begins.
    let _frr = Frr::start(
        &wire.theirs,
        &frr_peer("192.0.2.1 interface eth0", "passive-mode"),
    );
    let mut ours = Ours::start(&wire.ours);
    ours.want(&peer, passive);
    let end = now() + Duration::from_secs(2);
    while now() < end {
        ours.nothing_happened();
        world::pause();
    }
    assert_eq!(ours.figures(&peer).control_packet_output, 0);
    // Until we may.
    ours.want(&peer, fast());
    ours.comes_up(&peer);
}

#[test]
#[ignore = "needs root, FRR; run by tests/run"]
fn the_end_of_a_session_is_told_and_is_no_failure() {
    let wire = Wire::new();
    let mut frr = Frr::start(&wire.theirs, &frr_peer("192.0.2.1 interface eth0", ""));
    let mut ours = Ours::start(&wire.ours);
    let peer = peer("192.0.2.2");
    ours.want(&peer, fast());
    ours.comes_up(&peer);
    frr.becomes("192.0.2.1", "up");

    // Ours ends: bfdd says why.
    ours.send(Command::Gone(peer.clone()));
    frr.becomes("192.0.2.1", "down");
    let session = frr.peer("192.0.2.1");
    assert_eq!(
        session["diagnostic"], "neighbor signaled session down",
        "{session}"
    );
    assert_eq!(
        session["remote-diagnostic"], "administratively down",
        "{session}"
    );
    eventually("no figures are left", || {
        ours.bfd.as_ref().unwrap().figures().is_empty()
    });
    eventually("no port is left open", || listeners(&wire) == 0);

    ours.want(&peer, fast());
    ours.comes_up(&peer);
    assert!(listeners(&wire) > 0);
    frr.becomes("192.0.2.1", "up");

    // The program ends.
    let start = now();
    ours.bfd.take().unwrap().shutdown();
    println!("shutdown took {:?}", now() - start);
    assert!(now() - start < Duration::from_secs(1));
    frr.becomes("192.0.2.1", "down");
    let session = frr.peer("192.0.2.1");
    assert_eq!(
        session["remote-diagnostic"], "administratively down",
        "{session}"
    );

    // Theirs is held down by its operator, and let go.
    let mut ours = Ours::start(&wire.ours);
    ours.want(&peer, fast());
    ours.comes_up(&peer);
    frr.becomes("192.0.2.1", "up");
    frr.configure(&["peer 192.0.2.1 interface eth0", "shutdown"]);
    let (_, reason) = ours.goes_down(&peer);
    assert_eq!(reason, Reason::NeighborAdminDown);
    assert!(!reason.is_failure());
    frr.configure(&["peer 192.0.2.1 interface eth0", "no shutdown"]);
    ours.comes_up(&peer);

    // Theirs dies, and comes back as another process.
    frr.kill();
    let (_, reason) = ours.goes_down(&peer);
    assert_eq!(reason, Reason::DetectionTimeExpired);
    frr.restart(&wire.theirs);
    ours.comes_up(&peer);
}

/// UDP sockets on BFD's ports in our namespace.
fn listeners(wire: &Wire) -> usize {
    let output = wire.ours.exec("cat", &["/proc/net/udp", "/proc/net/udp6"]);
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter(|line| {
            // 3784, 3785, 4784
            [":0EC8 ", ":0EC9 ", ":12B0 "]
                .iter()
                .any(|port| line.contains(port))
        })
        .count()
}

#[test]
#[ignore = "needs root, FRR; run by tests/run"]
fn other_intervals_take_effect_without_a_flap() {
    let wire = Wire::new();
    let frr = Frr::start(&wire.theirs, &frr_peer("192.0.2.1 interface eth0", ""));
    let mut ours = Ours::start(&wire.ours);
    let peer = peer("192.0.2.2");
    ours.want(&peer, fast());
    ours.comes_up(&peer);
    frr.becomes("192.0.2.1", "up");
    for (receive, transmit, multiplier) in
        [(200, 300, 5), (60, 60, 10), (300, 60, 6), (100, 100, 5)]
    {
        ours.want(
            &peer,
            Params {
                receive_interval: Duration::from_millis(receive),
                transmit_interval: Duration::from_millis(transmit),
                detect_multiplier: multiplier,
                ..fast()
            },
        );
        eventually_or(
            || {
                let session = frr.peer("192.0.2.1");
                session["remote-receive-interval"] == receive
                    && session["remote-transmit-interval"] == transmit
                    && session["remote-detect-multiplier"] == multiplier
            },
            || frr.peer("192.0.2.1").to_string(),
        );
    }
    for (receive, transmit) in [(400, 100), (50, 50), (30, 300)] {
        frr.configure(&[
            "profile fast",
            &format!("receive-interval {receive}"),
            &format!("transmit-interval {transmit}"),
        ]);
        let before = ours.figures(&peer).control_packet_input;
        eventually("packets at the new pace", || {
            ours.figures(&peer).control_packet_input > before + 8
        });
    }
    ours.nothing_happened();
    assert_eq!(frr.peer("192.0.2.1")["status"], "up");
    let counters = frr.counters("192.0.2.1");
    assert_eq!(counters["session-down"], 0, "{counters}");
}

#[test]
#[ignore = "needs root, FRR; run by tests/run"]
fn where_another_bfdd_has_the_ports_packets_are_read_past_it() {
    let wire = Wire::new();
    // On our host, without a session.
    let _squatter = Frr::start(&wire.ours, FAST);
    let frr = Frr::start(
        &wire.theirs,
        &format!(
            "{FAST}
 peer 192.0.2.1 interface eth0
  profile fast
 !
 peer 2001:db8::1 local-address 2001:db8::2 interface eth0
  profile fast
 !"
        ),
    );
    let mut ours = Ours::start(&wire.ours);
    for (address, ours_at) in [("192.0.2.2", "192.0.2.1"), ("2001:db8::2", "2001:db8::1")] {
        let peer = peer(address);
        ours.want(&peer, fast());
        ours.comes_up(&peer);
        frr.becomes(ours_at, "up");
    }
    let record = ours.logs("bfdPortShared");
    assert!(record.fields.contains(&("port", "3784".to_owned())));
    let cut = now();
    wire.cut();
    for _ in 0..2 {
        let (at, _) = ours.next("goes down");
        assert!(NOTICED.contains(&(at - cut)), "{:?}", at - cut);
    }
}

#[test]
#[ignore = "needs root, FRR; run by tests/run"]
fn without_the_right_to_read_past_another_the_sessions_wait_and_it_is_said() {
    let wire = Wire::new();
    let mut squatter = Frr::start(&wire.ours, FAST);
    let frr = Frr::start(&wire.theirs, &frr_peer("192.0.2.1 interface eth0", ""));
    let mut ours = wire.ours.enter(|| {
        give_up_rights();
        Ours::start_here()
    });
    let peer = peer("192.0.2.2");
    ours.want(&peer, fast());
    let record = ours.logs("bfdListen");
    assert!(record.msg.contains("NET_RAW"), "{record:?}");
    assert!(
        record
            .error
            .is_some_and(|error| error.contains("another program"))
    );
    ours.nothing_happened();
    assert!(!ours.figures(&peer).up);
    // The other program ends: the port is taken within a second, and nobody has to do anything.
    squatter.kill();
    ours.comes_up(&peer);
    frr.becomes("192.0.2.1", "up");
}

/// This thread, and those that it starts, may do nothing that needs a capability.
#[expect(unsafe_code, reason = "capset")]
fn give_up_rights() {
    // linux/capability.h: version 3, this thread; effective, permitted, inheritable, twice 32 bits.
    let header = [0x2008_0522_u32, 0];
    let none = [0_u32; 6];
    // SAFETY: the kernel reads a header and two sets of three words.
    let result = unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), none.as_ptr()) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}

#[test]
#[ignore = "needs root, FRR; run by tests/run"]
fn a_process_that_was_stopped_for_a_while_blames_nobody() {
    let wire = Wire::new();
    let frr = Frr::start(&wire.theirs, &frr_peer("192.0.2.1 interface eth0", ""));
    // bfdd waits 5 s for us; we wait 500 ms.
    let probe = Probe::start(&wire.ours, &["192.0.2.2", "100", "50"]);
    frr.becomes("192.0.2.1", "up");
    let count = |what: &str| frr.counters("192.0.2.1")[what].as_u64().unwrap_or_default();
    for _ in 0..5 {
        probe.signal("-STOP");
        let sent = count("control-packet-output");
        eventually("bfdd speaks meanwhile, for two detection times", || {
            count("control-packet-output") > sent + 12
        });
        probe.signal("-CONT");
        let received = count("control-packet-input");
        eventually("we speak again", || {
            count("control-packet-input") > received + 5
        });
    }
    let said = probe.said();
    assert!(said.contains(" up\n") && !said.contains(" down"), "{said}");
    assert_eq!(frr.counters("192.0.2.1")["session-down"], 0);
}

#[test]
#[ignore = "needs root, BIRD; run by tests/run"]
fn bird_over_one_hop_and_several() {
    let wire = Wire::new();
    let bird = Bird::start(
        &wire.theirs,
        r#"protocol bfd {
  interface "eth0" { min rx interval 100 ms; min tx interval 100 ms; multiplier 5; };
  multihop { min rx interval 100 ms; min tx interval 100 ms; multiplier 5; };
  neighbor 192.0.2.1 dev "eth0";
  neighbor fe80::1 dev "eth0";
  neighbor 2001:db8::1 local 2001:db8::2 multihop;
}"#,
    );
    let mut ours = Ours::start(&wire.ours);
    let peers = [
        (peer("192.0.2.2"), "192.0.2.1"),
        (
            Peer {
                interface: Some("eth0".into()),
                ..peer("fe80::2")
            },
            "fe80::1",
        ),
        (
            Peer {
                multihop: true,
                ..peer("2001:db8::2")
            },
            "2001:db8::1",
        ),
    ];
    // BIRD sends to peers several hops away with the system's time to live, 64.
    let params = Params {
        minimum_ttl: 64,
        ..fast()
    };
    for (peer, ours_at) in &peers {
        ours.want(peer, params);
        ours.comes_up(peer);
        bird.becomes(ours_at, "Up");
    }
    let cut = now();
    wire.cut();
    for _ in &peers {
        let (at, report) = ours.next("goes down");
        println!("BIRD: noticed after {:?}: {report:?}", at - cut);
        assert!(NOTICED.contains(&(at - cut)), "{:?}", at - cut);
    }
    wire.mend();
    for _ in &peers {
        ours.next("comes up");
    }
    ours.bfd.take().unwrap().shutdown();
    for (_, ours_at) in &peers {
        bird.becomes(ours_at, "Down");
    }
}

#[test]
#[ignore = "needs root; run by tests/run"]
fn two_of_ours_and_one_that_restarts() {
    let wire = Wire::new();
    let mut ours = Ours::start(&wire.ours);
    let mut theirs = Ours::start(&wire.theirs);
    let (there, here) = (peer("192.0.2.2"), peer("192.0.2.1"));
    ours.want(&there, fast());
    theirs.want(&here, fast());
    ours.comes_up(&there);
    theirs.comes_up(&here);
    drop(theirs);
    let (_, reason) = ours.goes_down(&there);
    assert_eq!(reason, Reason::NeighborAdminDown);
    let mut theirs = Ours::start(&wire.theirs);
    theirs.want(&here, fast());
    theirs.comes_up(&here);
    ours.comes_up(&there);
    // A one-way cut is not to be had with a switch; a peer that says Down is.
    wire.cut();
    let (_, reason) = ours.goes_down(&there);
    assert!(
        matches!(
            reason,
            Reason::DetectionTimeExpired
                | Reason::NeighborDown(Diagnostic::CONTROL_DETECTION_TIME_EXPIRED)
        ),
        "{reason:?}"
    );
}
