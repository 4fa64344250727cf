//! Members between which something does not pass: a network namespace for each, and a bridge.
//!
//! What is blocked is lost on the way without a word: no error, no refusal.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::nodes::{Go, Mode, Ours, until};
use super::world::{Namespace, ip};
use super::{Duration, Instant, all_see, members_stay};

const PORT: u16 = 7946;

/// Where nobody is.
const NOWHERE: &str = "10.77.0.200";
const NOBODY: &str = "02:00:00:00:00:ee";

/// How long a way that was bridged must hold: several probes of each, and past the end of a suspicion (4 s).
const A_WHILE: Duration = Duration::from_secs(12);

struct Lan {
    _hub: Namespace,
    hosts: Vec<Namespace>,
}

fn at(host: usize) -> SocketAddr {
    let last = u8::try_from(host + 1).unwrap();
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 77, 0, last)), PORT)
}

impl Lan {
    fn new(hosts: usize) -> Self {
        let hub = Namespace::new("hub");
        hub.ip("link add br0 type bridge forward_delay 0");
        hub.ip("link set br0 up");
        let hosts = (0..hosts)
            .map(|i| {
                let host = Namespace::new("host");
                ip(&format!(
                    "link add name eth0 netns {} type veth peer name p{i} netns {}",
                    host.name, hub.name
                ));
                hub.ip(&format!("link set p{i} master br0 up"));
                host.ip("link set eth0 up");
                host.ip(&format!("addr add {}/24 dev eth0", at(i).ip()));
                host
            })
            .collect();
        Self { _hub: hub, hosts }
    }

    fn ours(&self, mode: Mode, host: usize, name: &str) -> Ours {
        Ours::start_in(&self.hosts[host], mode, name, at(host))
    }

    fn go(&self, mode: Mode, host: usize, name: &str, join: &[SocketAddr]) -> Go {
        Go::start_in(&self.hosts[host], mode, name, at(host), join)
    }

    /// For both directions: the host that sends, and where to.
    fn ways(&self, one: usize, other: usize) -> [(&Namespace, IpAddr); 2] {
        [
            (&self.hosts[one], at(other).ip()),
            (&self.hosts[other], at(one).ip()),
        ]
    }

    /// Nothing passes between these two any more.
    fn part(&self, one: usize, other: usize) {
        for (host, to) in self.ways(one, other) {
            host.ip(&format!(
                "neigh replace {to} lladdr {NOBODY} dev eth0 nud permanent"
            ));
        }
    }

    /// Streams pass between these two, datagrams do not.
    fn take_datagrams(&self, one: usize, other: usize) {
        for (host, to) in self.ways(one, other) {
            host.ip(&format!(
                "neigh replace {NOWHERE} lladdr {NOBODY} dev eth0 nud permanent"
            ));
            host.ip(&format!("route add {to} via {NOWHERE} dev eth0 table 100"));
            host.ip(&format!("rule add ipproto udp to {to} lookup 100"));
        }
    }
}

/// Go's words for a probe that failed.
fn suspects(go: &Go) -> Vec<String> {
    go.logged(&["Suspect", "Marking", "Refuting"])
}

// Go draws whom it asks from all members, nine times for three of them, itself and the dead included: with one only to ask it
// often asks nobody. So there are three.

fn we_relay_between_go_nodes_that_do_not_reach_each_other(mode: Mode) {
    let lan = Lan::new(5);
    let ours = ["ours", "ours-b", "ours-c"];
    let ours = [0, 1, 2].map(|i| {
        let node = lan.ours(mode, i, ours[i]);
        node.should_join(&[at(0)]);
        node
    });
    let go = [
        lan.go(mode, 3, "go", &[at(0)]),
        lan.go(mode, 4, "go-too", &[at(0)]),
    ];
    let all = ["go", "go-too", "ours", "ours-b", "ours-c"];
    let (each, of_go) = (ours.each_ref(), go.each_ref());
    all_see(&each, &of_go, &all);
    lan.part(3, 4);
    members_stay(&each, &of_go, &all, A_WHILE);
    for node in of_go {
        // They did not reach each other, ...
        assert!(
            !node.logged(&["Failed ping: go"]).is_empty(),
            "{}",
            node.state()
        );
        assert_eq!(suspects(node), [""; 0], "{}", node.state());
    }
    for node in each {
        let swim = node.gossip.counters().swim;
        let failures = (swim.suspicions, swim.probes_failed, swim.relays_refused);
        assert_eq!(failures, (0, 0, 0), "{}", node.state());
    }
    // ... and it was ours that kept them together.
    drop(ours);
    for node in &go {
        until(
            "the end of it",
            || !node.logged(&["Suspect go"]).is_empty(),
            || node.state(),
        );
    }
}

fn go_relays_between_us_and_go_that_do_not_reach_each_other(mode: Mode) {
    let lan = Lan::new(5);
    let relays = ["relay", "relay-b", "relay-c"];
    let seeds = [at(0)];
    let relays = [0, 1, 2].map(|i| lan.go(mode, i, relays[i], &seeds[..i.min(1)]));
    let ours = lan.ours(mode, 3, "ours");
    ours.should_join(&[at(0)]);
    let go = lan.go(mode, 4, "go", &[at(0)]);
    let all = ["go", "ours", "relay", "relay-b", "relay-c"];
    let of_go = [&go, &relays[0], &relays[1], &relays[2]];
    all_see(&[&ours], &of_go, &all);
    lan.part(3, 4);
    let before = ours.gossip.counters().swim.probes;
    members_stay(&[&ours], &of_go, &all, A_WHILE);
    let swim = ours.gossip.counters().swim;
    // Two turns at least.
    assert!(swim.probes >= before + 8, "{}", ours.state());
    assert_eq!(
        (swim.probes_failed, swim.suspicions),
        (0, 0),
        "{}",
        ours.state()
    );
    for node in of_go {
        assert_eq!(suspects(node), [""; 0], "{}", node.state());
    }
    assert!(
        !go.logged(&["Failed ping: ours"]).is_empty(),
        "{}",
        go.state()
    );
    drop(relays);
    until(
        "the end of it",
        || ours.departures("go") == ["dead"] && !go.logged(&["Suspect ours"]).is_empty(),
        || format!("{} {}", ours.state(), go.state()),
    );
}

fn without_datagrams_each_keeps_the_other_by_its_streams(mode: Mode) {
    let lan = Lan::new(2);
    let ours = lan.ours(mode, 0, "ours");
    ours.should_join(&[at(0)]);
    let go = lan.go(mode, 1, "go", &[at(0)]);
    let all = ["go", "ours"];
    all_see(&[&ours], &[&go], &all);
    lan.take_datagrams(0, 1);
    until(
        "both say so",
        || {
            let theirs = go.logged(&["Was able to connect to ours"]);
            !theirs.is_empty() && ours.said("memberOnlyByStream")
        },
        || format!("{} {}", ours.state(), go.state()),
    );
    members_stay(&[&ours], &[&go], &all, A_WHILE);
    let swim = ours.gossip.counters().swim;
    assert_eq!(
        (swim.probes_failed, swim.suspicions),
        (0, 0),
        "{}",
        ours.state()
    );
    assert_eq!(suspects(&go), [""; 0], "{}", go.state());
    // The streams were all that was left.
    lan.part(0, 1);
    let start = Instant::now();
    all_see(&[&ours], &[], &["ours"]);
    all_see(&[], &[&go], &["go"]);
    println!(
        "{mode:?}: without streams too, both were alone after {:.1?}",
        start.elapsed()
    );
}

in_all_modes!(
    we_relay_between_go_nodes_that_do_not_reach_each_other,
    go_relays_between_us_and_go_that_do_not_reach_each_other,
    without_datagrams_each_keeps_the_other_by_its_streams,
);
