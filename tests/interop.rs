//! Members of one cluster: ours, and those of the original memberlist (Go, as Debian packages it), set up as MetalLB 0.12 does.
//!
//! On loopback addresses of its own for each node; real time. The Go node is tests/interop/memberlist, built (once per machine)
//! by tests/interop/memberlist/build: `cargo test --test interop -- --ignored --nocapture --test-threads=8`.
#![cfg(feature = "io")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(
    clippy::disallowed_methods,
    reason = "a test on real processes waits in real time"
)]
#![expect(clippy::disallowed_types, reason = "a test speaks to real sockets")]
#![expect(clippy::print_stdout, reason = "how long it took, for the reader")]

use std::collections::BTreeSet;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use ferrolb::memberlist::standing::Standing;
use ferrolb::memberlist::wire::{Dropped, Message, Name, Ping, Suspect, encode_message};

#[path = "interop/memberlist/nodes.rs"]
mod nodes;

use nodes::{Go, Mode, Ours, address, names, until};

/// From a death to its verdict. At least: the answer that failed (1 s) and the suspicion (4 s), but a probe may be under way
/// already. At most: one turn of probes more, and a busy machine.
const VERDICT: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(4)..=Duration::from_secs(12);

/// A farewell is told at once, and again by gossip every 200 ms.
const FAREWELL: Duration = Duration::from_secs(2);

/// The members are these, in everybody's eyes.
fn all_see(ours: &[&Ours], go: &[&Go], want: &[&str]) {
    let want = names(want);
    for node in ours {
        until(&node.name, || node.members() == want, || node.state());
    }
    for node in go {
        until(&node.name, || node.members() == want, || node.state());
    }
}

/// One of each, members of one another.
fn pair(mode: Mode) -> (Ours, Go) {
    let ours = Ours::start(mode, "ours", address());
    ours.should_join(&[ours.address()]);
    let go = Go::start(mode, "go", address(), &[ours.address()]);
    all_see(&[&ours], &[&go], &["go", "ours"]);
    (ours, go)
}

fn nothing_dropped(ours: &Ours) {
    let counters = ours.gossip.counters();
    let dropped: u64 = counters.dropped.iter().map(|(_, n)| n).sum();
    assert_eq!(dropped, 0, "{}", ours.state());
}

fn go_joins_us(mode: Mode) {
    let (ours, go) = pair(mode);
    assert_eq!(go.reached(), 1, "{}", go.state());
    assert_eq!(go.complaints(), [""; 0]);
    nothing_dropped(&ours);
}

fn we_join_go(mode: Mode) {
    let go = Go::start(mode, "go", address(), &[]);
    let ours = Ours::start(mode, "ours", address());
    ours.should_join(&[go.address()]);
    all_see(&[&ours], &[&go], &["go", "ours"]);
    assert_eq!(go.addresses_joined("ours"), [ours.address()]);
    assert_eq!(go.complaints(), [""; 0]);
    nothing_dropped(&ours);
}

fn killed_go_node_is_noticed_and_may_come_back(mode: Mode) {
    let (ours, go) = pair(mode);
    let at = go.address();
    let start = Instant::now();
    drop(go); // SIGKILL
    all_see(&[&ours], &[], &["ours"]);
    let took = start.elapsed();
    println!("{mode:?}: we noticed the killed Go node after {took:.1?}");
    assert!(VERDICT.contains(&took), "{took:?}: {}", ours.state());
    assert_eq!(ours.departures("go"), ["dead"]);
    let again = Go::start(mode, "go", at, &[ours.address()]);
    all_see(&[&ours], &[&again], &["go", "ours"]);
}

fn go_notices_our_end_and_takes_us_back(mode: Mode) {
    let (ours, go) = pair(mode);
    let at = ours.address();
    let start = Instant::now();
    drop(ours); // without a farewell
    all_see(&[], &[&go], &["go"]);
    let took = start.elapsed();
    println!("{mode:?}: Go noticed our end after {took:.1?}");
    assert!(VERDICT.contains(&took), "{took:?}: {}", go.state());
    let again = Ours::start(mode, "ours", at);
    again.should_join(&[go.address()]);
    all_see(&[&again], &[&go], &["go", "ours"]);
    assert_eq!(go.addresses_joined("ours"), [at, at]);
}

fn go_leaves_and_we_take_its_name(mode: Mode) {
    let (ours, go) = pair(mode);
    let at = go.address();
    let other = Go::start(mode, "stays", address(), &[ours.address()]);
    all_see(&[&ours], &[&go, &other], &["go", "ours", "stays"]);
    let start = Instant::now();
    go.terminate();
    all_see(&[&ours], &[&other], &["ours", "stays"]);
    let took = start.elapsed();
    println!("{mode:?}: we knew of Go's leave after {took:.1?}");
    assert!(took < FAREWELL, "{took:?}: {}", ours.state());
    assert_eq!(ours.departures("go"), ["left"]);
    go.ended();
    // A rolling upgrade: the same name and address, another program.
    let upgraded = Ours::start(mode, "go", at);
    upgraded.should_join(&[ours.address(), other.address()]);
    all_see(&[&ours, &upgraded], &[&other], &["go", "ours", "stays"]);
}

fn we_leave_and_go_takes_our_name(mode: Mode) {
    let (ours, go) = pair(mode);
    let at = ours.address();
    let start = Instant::now();
    let took = std::thread::scope(|scope| {
        let farewell = scope.spawn(|| ours.leave());
        all_see(&[], &[&go], &["go"]);
        let took = start.elapsed();
        farewell.join().unwrap();
        took
    });
    println!(
        "{mode:?}: Go knew of our leave after {took:.1?}, we had said it after {:.1?}",
        start.elapsed()
    );
    assert!(took < FAREWELL, "{took:?}: {}", go.state());
    drop(ours);
    // A downgrade. Go must not hold it for dead (`left` is free to come back at once).
    let downgraded = Go::start(mode, "ours", at, &[go.address()]);
    all_see(&[], &[&go, &downgraded], &["go", "ours"]);
}

fn four_mixed_stay_unsuspected_until_one_dies(mode: Mode) {
    let (a, first) = pair(mode);
    let b = Ours::start(mode, "ours-too", address());
    b.should_join(&[first.address()]);
    let second = Go::start(mode, "go-too", address(), &[a.address()]);
    let all = ["go", "go-too", "ours", "ours-too"];
    all_see(&[&a, &b], &[&first, &second], &all);
    let quiet = Instant::now();
    while quiet.elapsed() < Duration::from_secs(20) {
        for node in [&a, &b] {
            assert_eq!(node.members(), names(&all), "{}", node.state());
        }
        for node in [&first, &second] {
            assert_eq!(node.members(), names(&all), "{}", node.state());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    for node in [&a, &b] {
        let swim = node.gossip.counters().swim;
        assert!(swim.probes >= 10, "{}", node.state());
        assert_eq!(
            (swim.probes_failed, swim.suspicions, swim.refutations),
            (0, 0, 0),
            "{}",
            node.state()
        );
        nothing_dropped(node);
    }
    for node in [&first, &second] {
        assert_eq!(node.complaints(), [""; 0]);
    }
    let start = Instant::now();
    drop(second);
    all_see(&[&a, &b], &[&first], &["go", "ours", "ours-too"]);
    let took = start.elapsed();
    println!("{mode:?}: three of four agreed on a death after {took:.1?}");
    assert!(VERDICT.contains(&took), "{took:?}: {}", a.state());
}

fn stopped_go_node_comes_back_by_itself(mode: Mode) {
    let (ours, go) = pair(mode);
    go.signal("STOP");
    all_see(&[&ours], &[], &["ours"]);
    go.signal("CONT");
    all_see(&[&ours], &[&go], &["go", "ours"]);
    assert_eq!(ours.departures("go"), ["dead"]);
}

macro_rules! in_all_modes {
    ($($scenario:ident),+ $(,)?) => {
        in_all_modes!(@ plain, Mode { secret: "", compress: false }, $($scenario),+);
        in_all_modes!(@ compressed, Mode { secret: "", compress: true }, $($scenario),+);
        in_all_modes!(@ encrypted, Mode { secret: "s3cret", compress: false }, $($scenario),+);
        in_all_modes!(@ as_metallb, Mode { secret: "AAECAwQFBgcICQoLDA0ODw", compress: true }, $($scenario),+);
    };
    (@ $mode:ident, $value:expr, $($scenario:ident),+) => {
        mod $mode {
            use super::Mode;
            $(
                #[test]
                #[ignore = "needs Go's memberlist from Debian: run by tests/run"]
                fn $scenario() {
                    super::$scenario($value);
                }
            )+
        }
    };
}

in_all_modes!(
    go_joins_us,
    we_join_go,
    killed_go_node_is_noticed_and_may_come_back,
    go_notices_our_end_and_takes_us_back,
    go_leaves_and_we_take_its_name,
    we_leave_and_go_takes_our_name,
    four_mixed_stay_unsuspected_until_one_dies,
    stopped_go_node_comes_back_by_itself,
);

fn with(secret: &'static str) -> Mode {
    Mode {
        secret,
        compress: true,
    }
}

/// Nobody becomes a member of anybody, and everybody lives.
fn strangers(our_secret: &'static str, go_secret: &'static str, counted: &[Dropped]) {
    let go = Go::start(with(go_secret), "go", address(), &[]);
    let ours = Ours::start(with(our_secret), "ours", address());
    ours.should_join(&[go.address()]);
    until(
        "our join to fail",
        || *ours.gossip.standing().borrow() == Standing::Unheard,
        || ours.state(),
    );
    assert_eq!(go.join(ours.address()), 0, "{}", go.state());
    until(
        "Go's join to be counted",
        || {
            let counters = ours.gossip.counters();
            counted
                .iter()
                .any(|reason| counters.dropped_for(*reason) > 0)
        },
        || ours.state(),
    );
    assert_eq!(go.members(), names(&["go"]));
    assert!(!go.complaints().is_empty(), "{}", go.state());
    assert_eq!(ours.gossip.counters().members, 1, "{}", ours.state());
    // Both are well: with the right key they would talk.
    let at = go.address();
    drop(go);
    let mended = Go::start(with(our_secret), "go", at, &[ours.address()]);
    all_see(&[&ours], &[&mended], &["go", "ours"]);
}

#[test]
#[ignore = "needs Go's memberlist from Debian: run by tests/run"]
fn other_key_is_dropped_and_counted() {
    strangers("this secret", "that secret", &[Dropped::Undecryptable]);
}

#[test]
#[ignore = "needs Go's memberlist from Debian: run by tests/run"]
fn missing_key_of_theirs_is_dropped_and_counted() {
    strangers("this secret", "", &[Dropped::Plaintext]);
}

#[test]
#[ignore = "needs Go's memberlist from Debian: run by tests/run"]
fn missing_key_of_ours_is_dropped_and_counted() {
    strangers("", "that secret", &[Dropped::NoKey]);
}

#[test]
#[ignore = "needs Go's memberlist from Debian: run by tests/run"]
fn they_meet_by_ipv6() {
    let mode = with("AAECAwQFBgcICQoLDA0ODw");
    let any = "[::1]:0".parse().unwrap();
    let ours = Ours::start(mode, "ours", any);
    ours.should_join(&[ours.address()]);
    let joins_us = Go::start(mode, "go", any, &[ours.address()]);
    let too = Ours::start(mode, "ours-too", any);
    too.should_join(&[joins_us.address()]);
    all_see(&[&ours, &too], &[&joins_us], &["go", "ours", "ours-too"]);
    assert_eq!(joins_us.complaints(), [""; 0]);
}

fn encoded(message: &Message) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_message(message, &mut bytes);
    bytes
}

#[test]
#[ignore = "needs Go's memberlist from Debian: run by tests/run"]
fn slander_is_refuted_by_each_in_the_others_eyes() {
    let (ours, go) = pair(with(""));
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    let accuse = |node: &str, to| {
        let claim = Message::Suspect(Suspect {
            incarnation: 1,
            node: Name::new(node).unwrap(),
            from: Name::new("nobody").unwrap(),
        });
        stranger.send_to(&encoded(&claim), to).unwrap();
    };
    // Go suspects us, tells us, and hears the contrary.
    accuse("ours", go.address());
    until(
        "our refutation",
        || ours.gossip.counters().swim.refutations == 1,
        || format!("{} {}", ours.state(), go.state()),
    );
    // We suspect Go, tell it, and hear the contrary.
    accuse("go", ours.address());
    until(
        "Go's refutation",
        || {
            let log = go.complaints();
            log.iter().any(|line| line.contains("Refuting"))
        },
        || format!("{} {}", ours.state(), go.state()),
    );
    // Past the end of a suspicion that nobody had refuted (4 s).
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(6) {
        all_see(&[&ours], &[&go], &["go", "ours"]);
        std::thread::sleep(Duration::from_millis(100));
    }
    let swim = ours.gossip.counters().swim;
    assert_eq!((swim.deaths, swim.suspicions), (0, 1), "{}", ours.state());
    assert_eq!(ours.departures("go"), [""; 0]);
    assert_eq!(go.addresses_joined("ours"), [ours.address()]);
}

#[test]
#[ignore = "needs Go's memberlist from Debian: run by tests/run"]
fn ping_for_another_name_is_answered_by_neither() {
    let (ours, go) = pair(with(""));
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    stranger
        .set_read_timeout(Some(Duration::from_secs(1)))
        .unwrap();
    let ask = |name: &str, to| {
        let node = Name::new(name);
        let ping = Message::Ping(Ping { seq_no: 7, node });
        stranger.send_to(&encoded(&ping), to).unwrap();
        stranger.recv_from(&mut [0; 2048]).is_ok()
    };
    for (name, at) in [("ours", ours.address()), ("go", go.address())] {
        assert!(!ask("another", at), "{name}");
        assert!(ask(name, at), "{name}");
    }
}

/// All of them see these, and stay so, without a word of complaint from Go, for that long.
fn quiet(ours: &[&Ours], go: &[&Go], want: &[&str], time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        for node in ours {
            assert_eq!(node.members(), names(want), "{}", node.state());
        }
        for node in go {
            assert_eq!(node.members(), names(want), "{}", node.state());
        }
        std::thread::sleep(Duration::from_millis(250));
    }
    for node in go {
        assert_eq!(node.complaints(), [""; 0], "{}", node.state());
    }
}

/// Two of ours that watch each other, and two of Go's, as MetalLB sets them up.
fn fast_among_go() -> (Ours, Ours, Go, Go) {
    let mode = with("AAECAwQFBgcICQoLDA0ODw");
    let (a, first) = pair(mode);
    let b = Ours::start(mode, "ours-too", address());
    b.should_join(&[first.address()]);
    let second = Go::start(mode, "go-too", address(), &[a.address()]);
    let all = ["go", "go-too", "ours", "ours-too"];
    all_see(&[&a, &b], &[&first, &second], &all);
    for node in [&a, &b] {
        until(
            "heartbeats",
            || node.gossip.counters().judged == 1,
            || node.state(),
        );
    }
    (a, b, first, second)
}

#[test]
#[ignore = "needs Go's memberlist from Debian: run by tests/run"]
fn heartbeats_of_ours_are_nothing_to_go_for_a_minute() {
    // The interop checklist's first item, with heartbeats on: nobody fails to answer, nobody complains.
    let (a, b, first, second) = fast_among_go();
    let all = ["go", "go-too", "ours", "ours-too"];
    quiet(&[&a, &b], &[&first, &second], &all, Duration::from_secs(60));
    for node in [&a, &b] {
        let counters = node.gossip.counters();
        // 600 on a machine that has the time.
        assert!(counters.heartbeat.acks > 100, "{}", node.state());
        assert_eq!(counters.watched, 1, "the Go nodes are not watched");
        let swim = counters.swim;
        assert_eq!(
            (swim.probes_failed, swim.suspicions, swim.deaths),
            (0, 0, 0),
            "{}",
            node.state()
        );
        nothing_dropped(node);
    }
}

#[test]
#[ignore = "needs Go's memberlist from Debian: run by tests/run"]
fn a_death_among_three_of_ours_is_known_to_go_in_a_second() {
    let mode = with("AAECAwQFBgcICQoLDA0ODw");
    let (a, b, first, second) = fast_among_go();
    let c = Ours::start(mode, "ours-three", address());
    c.should_join(&[first.address()]);
    let all = ["go", "go-too", "ours", "ours-three", "ours-too"];
    all_see(&[&a, &b, &c], &[&first, &second], &all);
    for node in [&a, &b, &c] {
        until(
            "heartbeats",
            || node.gossip.counters().judged == 2,
            || node.state(),
        );
    }
    let start = Instant::now();
    drop(c);
    let left = ["go", "go-too", "ours", "ours-too"];
    all_see(&[&a, &b], &[&first, &second], &left);
    let took = start.elapsed();
    println!("three of ours and two of Go's: all knew of a death after {took:.2?}");
    assert!(took < Duration::from_secs(2), "{took:?}: {}", first.state());
    assert_eq!(first.complaints(), [""; 0]);
}

#[test]
#[ignore = "needs Go's memberlist from Debian: run by tests/run"]
fn a_go_node_that_takes_over_from_ours_is_left_alone_and_complains_of_nothing() {
    // A downgrade, and an upgrade back: by leaving, and by SIGKILL.
    let mode = with("AAECAwQFBgcICQoLDA0ODw");
    let (a, b, first, _second) = fast_among_go();
    let at = b.address();
    let all = ["go", "go-too", "ours", "ours-too"];
    b.leave();
    drop(b);
    let downgraded = Go::start(mode, "ours-too", at, &[first.address()]);
    all_see(&[&a], &[&first, &downgraded], &all);
    until(
        "the end of its heartbeats",
        || a.gossip.counters().watched == 0,
        || a.state(),
    );
    quiet(&[&a], &[&first], &all, Duration::from_secs(5));
    // It says once that it refutes what the one before it was.
    let complaints = downgraded.complaints();
    assert!(
        complaints.iter().all(|line| line.contains("Refuting")),
        "{complaints:?}"
    );
    drop(downgraded); // SIGKILL
    let upgraded = Ours::start(mode, "ours-too", at);
    upgraded.should_join(&[first.address()]);
    all_see(&[&a, &upgraded], &[&first], &all);
    until(
        "heartbeats again",
        || a.gossip.counters().judged == 1 && upgraded.gossip.counters().judged == 1,
        || a.state(),
    );
    assert_eq!(a.departures("ours-too"), ["left"]);
}

#[test]
#[ignore = "needs Go's memberlist from Debian: run by tests/run"]
fn exchanges_of_both_directions_go_on_without_complaint() {
    // The checklist's fifth item: each begins one every 30 s.
    let mode = with("AAECAwQFBgcICQoLDA0ODw");
    let (ours, go) = pair(mode);
    let before = ours.gossip.counters();
    quiet(&[&ours], &[&go], &["go", "ours"], Duration::from_secs(95));
    let counters = ours.gossip.counters();
    assert!(
        counters.streams_out >= before.streams_out + 2,
        "{}",
        ours.state()
    );
    assert!(
        counters.streams_in >= before.streams_in + 2,
        "{}",
        ours.state()
    );
    assert_eq!(counters.swim.merges_refused, 0);
    nothing_dropped(&ours);
}

#[test]
#[ignore = "needs Go's memberlist from Debian: run by tests/run"]
fn we_relay_pings_for_others_and_say_when_nobody_answers() {
    use ferrolb::memberlist::wire::{IndirectPing, Limits, decode_datagram};
    // The sixth: to Go through us, to us through Go; and to a Go node that is stopped.
    let (ours, go) = pair(with(""));
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    stranger
        .set_read_timeout(Some(Duration::from_millis(1_500)))
        .unwrap();
    let limits = Limits {
        loopback: true,
        ..Limits::default()
    };
    let ask = |seq_no, relay, target: std::net::SocketAddr, name: &str, nack| {
        let request = Message::IndirectPing(IndirectPing {
            seq_no,
            target: target.ip(),
            port: target.port(),
            node: Name::new(name),
            nack,
        });
        let start = Instant::now();
        stranger.send_to(&encoded(&request), relay).unwrap();
        let mut buffer = [0; 2048];
        // What an earlier question brought late is passed over.
        let answer = std::iter::from_fn(|| {
            let (length, _) = stranger.recv_from(&mut buffer).ok()?;
            let datagram = decode_datagram(&buffer[..length], None, &limits).unwrap();
            Some(datagram.messages)
        })
        .flatten()
        .find(|answer| match answer {
            Message::Ack(ack) => ack.seq_no == seq_no,
            Message::Nack(nack) => nack.seq_no == seq_no,
            _ => false,
        });
        (answer, start.elapsed())
    };
    for (seq_no, relay, target, name) in [
        (7, ours.address(), go.address(), "go"),
        (8, go.address(), ours.address(), "ours"),
    ] {
        let (answer, took) = ask(seq_no, relay, target, name, true);
        assert!(matches!(answer, Some(Message::Ack(_))), "{answer:?}");
        assert!(took < Duration::from_millis(450), "{took:?}");
    }
    go.signal("STOP");
    let (answer, took) = ask(9, ours.address(), go.address(), "go", true);
    assert!(matches!(answer, Some(Message::Nack(_))), "{answer:?}");
    assert!(took >= Duration::from_millis(490), "{took:?}");
    let (answer, _) = ask(10, ours.address(), go.address(), "go", false);
    assert_eq!(answer, None, "no nack where none is wanted");
    go.signal("CONT");
}

#[test]
#[ignore = "needs Go's memberlist from Debian: run by tests/run"]
fn four_that_vote_agree_on_a_death_in_five_seconds_or_so() {
    // The fifteenth: without confirmations it would take 24 s.
    let mode = with("AAECAwQFBgcICQoLDA0ODw");
    let (ours, first) = pair(mode);
    let second = Go::start(mode, "go-two", address(), &[ours.address()]);
    let third = Go::start(mode, "go-three", address(), &[ours.address()]);
    let victim = Go::start(mode, "go-four", address(), &[ours.address()]);
    let all = ["go", "go-four", "go-three", "go-two", "ours"];
    all_see(&[&ours], &[&first, &second, &third, &victim], &all);
    let start = Instant::now();
    drop(victim);
    let left = ["go", "go-three", "go-two", "ours"];
    all_see(&[&ours], &[&first, &second, &third], &left);
    let took = start.elapsed();
    println!("four of five agreed on a death after {took:.1?}");
    assert!(took < Duration::from_secs(16), "{took:?}: {}", ours.state());
}

#[test]
#[ignore = "needs Go's memberlist from Debian: run by tests/run"]
fn fifty_members_are_one_cluster() {
    // The seventeenth: twenty-five of each; longer exchanges, more repetitions.
    let mode = with("AAECAwQFBgcICQoLDA0ODw");
    let seed = Ours::start(mode, "ours-0", address());
    seed.should_join(&[seed.address()]);
    let mut ours = vec![seed];
    let mut go = Vec::new();
    for i in 1..=25 {
        go.push(Go::start(
            mode,
            &format!("go-{i}"),
            address(),
            &[ours[0].address()],
        ));
        if i < 25 {
            let one = Ours::start(mode, &format!("ours-{i}"), address());
            one.should_join(&[ours[0].address()]);
            ours.push(one);
        }
    }
    let count = |node: &Ours| node.gossip.counters().members;
    until(
        "fifty members",
        || {
            ours.iter().all(|node| count(node) == 50)
                && go.iter().all(|node| node.members().len() == 50)
        },
        || ours[0].state(),
    );
    let start = Instant::now();
    drop(ours.pop());
    until(
        "forty-nine",
        || {
            ours.iter().all(|node| count(node) == 49)
                && go.iter().all(|node| node.members().len() == 49)
        },
        || ours[0].state(),
    );
    println!(
        "fifty members: all knew of a death of ours after {:.2?}",
        start.elapsed()
    );
    for node in &ours {
        assert_eq!(node.gossip.counters().swim.merges_refused, 0);
        nothing_dropped(node);
    }
}
