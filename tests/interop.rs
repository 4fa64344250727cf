//! Members of one cluster: ours, and those of the original memberlist (Go, as Debian packages it), set up as MetalLB 0.12 does.
//!
//! On loopback addresses of its own for each node, or (`in_namespaces`) in network namespaces; real time. The Go node is
//! tests/interop/memberlist, built (once per machine) by tests/interop/memberlist/build. They wait most of the time:
//! `cargo test --test interop -- --ignored --nocapture --test-threads=16`. What is shown: docs/failover.md, "Interoperation, step
//! by step".
#![cfg(feature = "io")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(
    clippy::disallowed_methods,
    reason = "a test on real processes waits in real time"
)]
#![expect(clippy::disallowed_types, reason = "a test speaks to real sockets")]
#![expect(clippy::print_stdout, reason = "how long it took, for the reader")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use ferrolb::memberlist::standing::Standing;
use ferrolb::memberlist::wire::{Dead, Dropped, IndirectPing, Message, Ping, State, Suspect};

/// The scenarios in all modes.
macro_rules! in_all_modes {
    ($($scenario:ident),+ $(,)?) => {
        in_all_modes!(@ plain, PLAIN, $($scenario),+);
        in_all_modes!(@ compressed, COMPRESSED, $($scenario),+);
        in_all_modes!(@ encrypted, ENCRYPTED, $($scenario),+);
        in_all_modes!(@ as_metallb, AS_METALLB, $($scenario),+);
    };
    (@ $mode:ident, $value:ident, $($scenario:ident),+) => {
        mod $mode {
            $(
                #[test]
                #[ignore = "needs Go's memberlist from Debian: run by tests/run"]
                fn $scenario() {
                    super::$scenario(crate::$value);
                }
            )+
        }
    };
}

#[path = "interop/memberlist/a_while.rs"]
mod a_while;
#[path = "interop/memberlist/in_namespaces.rs"]
mod in_namespaces;
#[path = "interop/memberlist/nodes.rs"]
mod nodes;
#[path = "interop/memberlist/talk.rs"]
mod talk;
#[path = "interop/memberlist/upgrade.rs"]
mod upgrade;
#[expect(
    dead_code,
    reason = "what looks at layer 2 is for the tests of layer 2"
)]
#[path = "netns/world.rs"]
mod world;

use nodes::{Go, Mode, Ours, address, names, until};
use talk::{Stranger, name, record};

// Neither compressed nor encrypted (but for what ours compresses, always), one of them, both.
const PLAIN: Mode = Mode {
    secret: "",
    compress: false,
};
const COMPRESSED: Mode = Mode {
    secret: "",
    compress: true,
};
const ENCRYPTED: Mode = Mode {
    secret: "s3cret",
    compress: false,
};
const AS_METALLB: Mode = Mode {
    secret: "AAECAwQFBgcICQoLDA0ODw",
    compress: true,
};

/// From a death to its verdict. At least: the answer that failed (1 s) and the suspicion (4 s), but a probe may be under way
/// already. At most: one turn of probes more, and a busy machine.
const VERDICT: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(4)..=Duration::from_secs(12);

/// A farewell, a return: told at once (Go: with the next gossip, after up to 200 ms), and known to all within a second.
const SOON: Duration = Duration::from_secs(1);

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

fn four_mixed_stay_unsuspected_until_one_dies(mode: Mode) {
    let (a, first) = pair(mode);
    let b = Ours::start(mode, "ours-too", address());
    b.should_join(&[first.address()]);
    let second = Go::start(mode, "go-too", address(), &[a.address()]);
    let all = ["go", "go-too", "ours", "ours-too"];
    all_see(&[&a, &b], &[&first, &second], &all);
    quiet(&[&a, &b], &[&first, &second], &all, Duration::from_secs(20));
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
    let start = Instant::now();
    drop(second);
    all_see(&[&a, &b], &[&first], &["go", "ours", "ours-too"]);
    let took = start.elapsed();
    println!("{mode:?}: three of four agreed on a death after {took:.1?}");
    assert!(VERDICT.contains(&took), "{took:?}: {}", a.state());
}

fn stopped_go_node_comes_back_by_itself(mode: Mode) {
    let (ours, go) = pair(mode);
    go.stop();
    all_see(&[&ours], &[], &["ours"]);
    let given_up = record(mode, ours.address(), "go").unwrap();
    assert_eq!((given_up.state, given_up.incarnation), (State::Dead, 1));
    go.signal("CONT");
    all_see(&[&ours], &[&go], &["go", "ours"]);
    assert_eq!(ours.departures("go"), ["dead"]);
    let back = record(mode, ours.address(), "go").unwrap();
    assert_eq!(back.state, State::Alive);
    assert!(back.incarnation >= 2, "{back:?}");
}

/// What one says of itself and what the other holds of it, after somebody has claimed something of it.
fn slander_is_refuted_by_each_in_the_others_eyes(mode: Mode) {
    let (ours, go) = pair(mode);
    let stranger = Stranger::new(mode);
    let hold = |who: &str| {
        let of = |at| record(mode, at, who).map(|held| (held.state, held.incarnation));
        (of(ours.address()), of(go.address()))
    };
    // Of the incarnation that it has, of a later one, and as dead; each refutes with the one after.
    let claim = |kind: u32, node: &str, incarnation| {
        let (node, from) = (name(node), name("nobody"));
        if kind == 2 {
            Message::Dead(Dead {
                incarnation,
                node,
                from,
            })
        } else {
            Message::Suspect(Suspect {
                incarnation,
                node,
                from,
            })
        }
    };
    for (kind, accused, refuted) in [(0, 1, 2), (1, 9, 10), (2, 20, 21)] {
        for (who, accused_at, other_at) in [
            ("ours", ours.address(), go.address()),
            ("go", go.address(), ours.address()),
        ] {
            // Suspicions are told to the other, which tells the accused; deaths to the accused itself.
            let to = if kind == 2 { accused_at } else { other_at };
            stranger.send(&claim(kind, who, accused), to);
            let wanted = Some((State::Alive, refuted));
            until(
                &format!("{who} refutes {accused}"),
                || hold(who) == (wanted, wanted),
                || format!("{:?} {} {}", hold(who), ours.state(), go.state()),
            );
        }
    }
    // Past the end of a suspicion that nobody had refuted (4 s).
    members_stay(&[&ours], &[&go], &["go", "ours"], Duration::from_secs(6));
    let swim = ours.gossip.counters().swim;
    assert_eq!((swim.deaths, swim.refutations), (0, 3), "{}", ours.state());
    assert_eq!(ours.departures("go"), [""; 0]);
    assert_eq!(go.addresses_joined("ours"), [ours.address()]);
    assert_eq!(go.logged(&["Refuting"]).len(), 3, "{}", go.state());
}

fn ping_for_another_name_is_answered_by_neither(mode: Mode) {
    let (ours, go) = pair(mode);
    let stranger = Stranger::new(mode);
    for (who, at) in [("ours", ours.address()), ("go", go.address())] {
        for (asked, answered) in [("another", false), (who, true)] {
            let ping = |seq_no| {
                Message::Ping(Ping {
                    seq_no,
                    node: Some(name(asked)),
                })
            };
            stranger.send(&ping(7), at);
            let heard = stranger.hear(
                Duration::from_secs(1),
                |message| matches!(message, Message::Ack(ack) if ack.seq_no == 7),
            );
            assert_eq!(heard.is_some(), answered, "{who} as {asked}");
            let heard = stranger.ask_on_stream(&ping(8), at);
            let is = |message: &Message| matches!(message, Message::Ack(ack) if ack.seq_no == 8);
            assert_eq!(heard.is_some(), answered, "{who} as {asked}, on a stream");
            assert!(heard.iter().all(|(message, _)| is(message)), "{heard:?}");
        }
    }
}

/// Answers to pings carry what is new, in one datagram: Go's as ours.
fn news_rides_on_the_answers_of_both(mode: Mode) {
    let (ours, go) = pair(mode);
    for (who, at) in [("go", go.address()), ("ours", ours.address())] {
        let stranger = Stranger::new(mode);
        let newcomer = format!("new-to-{who}");
        std::thread::scope(|scope| {
            let joining = scope.spawn(|| Go::start(mode, &newcomer, address(), &[at]));
            let news = |message: &Message| matches!(message, Message::Alive(claim) if *claim.node == *newcomer);
            let start = Instant::now();
            let mut seq_no = 0;
            loop {
                seq_no += 1;
                let node = Some(name(who));
                stranger.send(&Message::Ping(Ping { seq_no, node }), at);
                let answer = |message: &Message| matches!(message, Message::Ack(ack) if ack.seq_no == seq_no);
                let heard = stranger.hear(Duration::from_secs(5), answer).unwrap();
                if heard.iter().any(news) {
                    break;
                }
                assert!(start.elapsed() < Duration::from_secs(30), "{who}");
                std::thread::sleep(Duration::from_millis(2));
            }
            joining.join().unwrap();
        });
    }
}

fn both_relay_pings_and_we_say_when_nobody_answers(mode: Mode) {
    // The sixth: to Go through us, to us through Go; and to a Go node that is stopped.
    let (ours, go) = pair(mode);
    let stranger = Stranger::new(mode);
    let ask = |seq_no, relay, target: std::net::SocketAddr, who: &str, nack| {
        let request = Message::IndirectPing(IndirectPing {
            seq_no,
            target: target.ip(),
            port: target.port(),
            node: Some(name(who)),
            nack,
        });
        let is_answer = |answer: &Message| match answer {
            Message::Ack(ack) => ack.seq_no == seq_no,
            Message::Nack(nack) => nack.seq_no == seq_no,
            _ => false,
        };
        let start = Instant::now();
        stranger.send(&request, relay);
        let heard = stranger.hear(Duration::from_millis(1_500), is_answer);
        let answer = heard.and_then(|heard| heard.into_iter().find(is_answer));
        (answer, start.elapsed())
    };
    for (seq_no, relay, target, who) in [
        (7, ours.address(), go.address(), "go"),
        (8, go.address(), ours.address(), "ours"),
    ] {
        let (answer, took) = ask(seq_no, relay, target, who, true);
        assert!(matches!(answer, Some(Message::Ack(_))), "{answer:?}");
        assert!(took < Duration::from_millis(450), "{took:?}");
    }
    go.stop();
    let (answer, took) = ask(9, ours.address(), go.address(), "go", true);
    assert!(matches!(answer, Some(Message::Nack(_))), "{answer:?}");
    // After 500 ms, and whatever a busy machine takes.
    assert!(took >= Duration::from_millis(490), "{took:?}");
    assert!(took < Duration::from_millis(900), "{took:?}");
    let (answer, _) = ask(10, ours.address(), go.address(), "go", false);
    assert_eq!(answer, None, "no nack where none is wanted");
    go.signal("CONT");
}

in_all_modes!(
    go_joins_us,
    we_join_go,
    killed_go_node_is_noticed_and_may_come_back,
    go_notices_our_end_and_takes_us_back,
    four_mixed_stay_unsuspected_until_one_dies,
    stopped_go_node_comes_back_by_itself,
    slander_is_refuted_by_each_in_the_others_eyes,
    ping_for_another_name_is_answered_by_neither,
    news_rides_on_the_answers_of_both,
    both_relay_pings_and_we_say_when_nobody_answers,
);

const fn with(secret: &'static str) -> Mode {
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
    assert!(ours.said("memberExchange"), "{}", ours.state());
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
    assert!(ours.said("gossipDropped"), "{}", ours.state());
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
    let mode = AS_METALLB;
    let any = "[::1]:0".parse().unwrap();
    let ours = Ours::start(mode, "ours", any);
    ours.should_join(&[ours.address()]);
    let joins_us = Go::start(mode, "go", any, &[ours.address()]);
    let too = Ours::start(mode, "ours-too", any);
    too.should_join(&[joins_us.address()]);
    all_see(&[&ours, &too], &[&joins_us], &["go", "ours", "ours-too"]);
    assert_eq!(joins_us.complaints(), [""; 0]);
}

/// All of them see these, and stay so, for that long. The longest time between two looks: where it is half a second and more,
/// nobody got the processor when he should have.
fn members_stay(ours: &[&Ours], go: &[&Go], want: &[&str], time: Duration) -> Duration {
    let start = Instant::now();
    let mut longest = Duration::ZERO;
    while start.elapsed() < time {
        let look = Instant::now();
        for node in ours {
            assert_eq!(node.members(), names(want), "{}", node.state());
        }
        for node in go {
            assert_eq!(node.members(), names(want), "{}", node.state());
        }
        std::thread::sleep(Duration::from_millis(250));
        longest = longest.max(look.elapsed());
    }
    longest
}

/// As [`members_stay`], and without a word of complaint from Go.
fn quiet(ours: &[&Ours], go: &[&Go], want: &[&str], time: Duration) {
    let longest = members_stay(ours, go, want, time);
    for node in go {
        assert_eq!(
            node.complaints(),
            [""; 0],
            "longest pause of the test itself: {longest:?}: {}",
            node.state()
        );
    }
}

/// Two of ours that watch each other, and two of Go's, as MetalLB sets them up.
fn fast_among_go() -> (Ours, Ours, Go, Go) {
    let mode = AS_METALLB;
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
fn a_death_among_three_of_ours_is_known_to_go_in_a_second() {
    let mode = AS_METALLB;
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
    // A ping of its own that the dead did not answer is no complaint.
    let complaints = first.complaints().into_iter();
    let complaints: Vec<_> = complaints
        .filter(|line| !line.contains("ours-three"))
        .collect();
    assert_eq!(complaints, [""; 0]);
}

#[test]
#[ignore = "needs Go's memberlist from Debian: run by tests/run"]
fn four_that_vote_agree_on_a_death_in_five_seconds_or_so() {
    // The fifteenth: without confirmations it would take 24 s.
    let mode = AS_METALLB;
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
    // With one confirmation less: a failed probe and 11.4 s.
    assert!(took < Duration::from_secs(12), "{took:?}: {}", ours.state());
}
