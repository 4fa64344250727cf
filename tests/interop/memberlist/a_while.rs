//! What takes a while: the runner goes by names, so these are begun first.

use std::net::{Ipv4Addr, SocketAddr};

use ferrolb::memberlist::wire::{Message, State, decode_datagram};

use super::nodes::{Go, Mode, Ours, address, names, until};
use super::talk::{Stranger, limits};
use super::world::Namespace;
use super::{BTreeMap, Duration, Instant, members_stay, nothing_dropped, pair, quiet};

const MODES: [Mode; 4] = [
    super::PLAIN,
    super::COMPRESSED,
    super::ENCRYPTED,
    super::AS_METALLB,
];

#[test]
#[ignore = "needs Go's memberlist from Debian: run by tests/run"]
fn for_two_minutes_pings_and_exchanges_of_both_go_on_without_complaint_in_all_modes() {
    // The checklist's first and fifth items. Each begins an exchange every 30 s: ours the first one at once or up to 30 s after
    // its start, Go's 30 s later.
    std::thread::scope(|scope| {
        for mode in MODES {
            scope.spawn(move || {
                let (ours, go) = pair(mode);
                let before = ours.gossip.counters();
                let all = ["go", "ours"];
                let longest = members_stay(&[&ours], &[&go], &all, Duration::from_secs(60));
                let second = Instant::now();
                let then = members_stay(&[&ours], &[&go], &all, Duration::from_secs(65));
                // Not one line of trouble; and in the second minute no answer that took half a second either: in the first
                // one fifty members start beside it.
                let trouble = go.logged(&["[ERR]", "[WARN]", "uspect"]);
                let late = go
                    .log_with(&["Failed"])
                    .into_iter()
                    .filter(|(at, _)| *at > second);
                let late: Vec<_> = late.map(|(_, line)| line).collect();
                assert_eq!(
                    (trouble, late),
                    (vec![], vec![]),
                    "longest pause of the test itself: {:?}: {}",
                    longest.max(then),
                    go.state()
                );
                let counters = ours.gossip.counters();
                let begun = counters.streams_out - before.streams_out;
                let served = counters.streams_in - before.streams_in;
                let probes = counters.swim.probes - before.swim.probes;
                println!("{mode:?}: {probes} probes, {begun} exchanges of ours, {served} of Go's");
                assert!(begun >= 4 && served >= 3, "{}", ours.state());
                assert!(probes >= 100, "{}", ours.state());
                let swim = counters.swim;
                assert_eq!(
                    (swim.probes_failed, swim.suspicions, swim.refutations),
                    (0, 0, 0),
                    "{}",
                    ours.state()
                );
                assert_eq!(swim.merges_refused, 0);
                nothing_dropped(&ours);
            });
        }
    });
}

#[test]
#[ignore = "needs Go's memberlist from Debian: run by tests/run"]
fn heartbeats_of_ours_are_nothing_to_go_for_a_minute() {
    // The checklist's first item, with heartbeats on: nobody fails to answer, nobody complains.
    let (a, b, first, second) = super::fast_among_go();
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

/// The IPv4 packet in an Ethernet frame: its protocol, where it came from, and what follows the IPv4 header.
fn packet(frame: &[u8]) -> Option<(u8, SocketAddr, &[u8])> {
    const HEADER: usize = 20;
    let ip = frame.get(14..)?;
    if frame[12..14] != [8, 0] || *ip.first()? != 0x45 {
        return None;
    }
    let length = usize::from(u16::from_be_bytes([ip[2], ip[3]]));
    let (protocol, body) = (ip[9], ip.get(HEADER..length)?);
    let source = Ipv4Addr::new(ip[12], ip[13], ip[14], ip[15]);
    let port = u16::from_be_bytes([*body.first()?, *body.get(1)?]);
    Some((protocol, SocketAddr::from((source, port)), body))
}

/// That a stream is opened.
fn opens_a_stream(frame: &[u8]) -> Option<()> {
    const TCP: u8 = 6;
    const SYN: u8 = 2;
    const ACK: u8 = 16;
    let (protocol, _, segment) = packet(frame)?;
    (protocol == TCP && segment.get(13)? & (SYN | ACK) == SYN).then_some(())
}

/// Who said in a datagram that `name` is alive.
fn says_that_it_is_alive(mode: Mode, frame: &[u8], name: &str) -> Option<SocketAddr> {
    const UDP: u8 = 17;
    let (protocol, from, datagram) = packet(frame)?;
    if protocol != UDP {
        return None;
    }
    let key = mode.key();
    let read = decode_datagram(datagram.get(8..)?, key.as_ref(), &limits()).ok()?;
    let about =
        |message: &Message| matches!(message, Message::Alive(claim) if &*claim.node == name);
    read.messages.iter().any(about).then_some(from)
}

/// Twenty-five of each, in a namespace where nobody else speaks; ours watch each other.
fn fifty(mode: Mode, namespace: &Namespace) -> (Vec<Ours>, Vec<Go>) {
    let seed = Ours::start_in(namespace, mode, "ours-0", address());
    seed.should_join(&[seed.address()]);
    let (mut ours, mut go) = (vec![seed], Vec::new());
    for i in 0..25 {
        let seeds = [ours[0].address()];
        go.push(Go::start_in(
            namespace,
            mode,
            &format!("go-{i}"),
            address(),
            &seeds,
        ));
        if i > 0 {
            let one = Ours::start_in(namespace, mode, &format!("ours-{i}"), address());
            one.should_join(&seeds);
            ours.push(one);
        }
        // All at once they would take the processor from the tests beside this one.
        std::thread::sleep(Duration::from_millis(250));
    }
    until(
        "fifty members",
        || {
            ours.iter().all(|node| node.gossip.counters().members == 50)
                && go.iter().all(|node| node.members().len() == 50)
        },
        || ours[0].state(),
    );
    until(
        "each of ours watched",
        || ours.iter().all(|node| node.gossip.counters().judged == 3),
        || ours[0].state(),
    );
    (ours, go)
}

#[test]
#[ignore = "needs root and Go's memberlist from Debian: run by tests/run"]
fn fifty_members_exchange_and_repeat_as_often_as_the_specification_says_in_namespaces() {
    // The seventeenth.
    let mode = super::AS_METALLB;
    let namespace = Namespace::new("fifty");
    let (mut ours, go) = fifty(mode, &namespace);
    let complete = Instant::now();
    let tap = namespace.tap("lo");

    // All they hold, in one answer of each kind: the same, and of about the same length.
    let ask = |at| namespace.enter(|| Stranger::new(mode).records(at));
    let (of_ours, our_length) = ask(ours[1].address());
    let (of_go, go_length) = ask(go[1].address());
    let held = |records: Vec<ferrolb::memberlist::wire::NodeState>| {
        let mut held: Vec<_> = records
            .into_iter()
            .map(|record| {
                (
                    record.name,
                    record.addr,
                    record.port,
                    record.meta,
                    record.state,
                )
            })
            .collect();
        held.sort_by(|a, b| a.0.cmp(&b.0));
        held
    };
    let (of_ours, of_go) = (held(of_ours), held(of_go));
    println!("fifty members: an exchange has {our_length} bytes from ours, {go_length} from Go's");
    assert_eq!(of_ours, of_go);
    assert!(of_ours.iter().all(|record| record.4 == State::Alive));
    assert_eq!(of_ours.len(), 50);
    assert!(our_length.abs_diff(go_length) * 5 < go_length);

    // News is repeated 4 · ⌈log₁₀(51 + 1)⌉ times by each.
    const REPEATED: usize = 8;
    tap.drain();
    let late = Go::start_in(&namespace, mode, "late", address(), &[go[0].address()]);
    let until_told = Instant::now() + Duration::from_secs(6);
    let mut told: BTreeMap<SocketAddr, usize> = BTreeMap::new();
    for (_, from) in tap.collect(until_told, |frame| {
        says_that_it_is_alive(mode, frame, "late")
    }) {
        *told.entry(from).or_default() += 1;
    }
    for node in &ours {
        assert_eq!(node.gossip.counters().members, 51, "{}", node.state());
    }
    let times = |at: SocketAddr| told.get(&at).copied().unwrap_or_default();
    let by_ours: Vec<usize> = ours.iter().map(|node| times(node.address())).collect();
    let by_go: Vec<usize> = go.iter().map(|node| times(node.address())).collect();
    println!(
        "fifty members: the news of one more is told so often by ours {by_ours:?}, by Go's {by_go:?}"
    );
    assert_eq!(by_go, [REPEATED; 25]);
    assert_eq!(by_ours, [REPEATED; 25]);

    // Beyond 32 members an exchange every 60 s, not 30. One that was planned before they were so many may be up to 30 s away.
    const WINDOW: Duration = Duration::from_secs(59);
    std::thread::sleep(
        (complete + Duration::from_secs(32)).saturating_duration_since(Instant::now()),
    );
    tap.drain();
    let by_all = || {
        ours.iter()
            .map(|node| node.gossip.counters().streams_out)
            .sum::<u64>()
    };
    let before = by_all();
    let opened = tap.collect(Instant::now() + WINDOW, opens_a_stream).len();
    let by_ours = by_all() - before;
    let by_go = u64::try_from(opened).unwrap() - by_ours;
    println!("fifty members: in {WINDOW:?} ours opened {by_ours} streams, Go's {by_go}");
    // One of each, but for those between two; a ping that is late on a busy machine opens one more. At 30 s there would be two.
    for (by, members) in [(by_ours, 25), (by_go, 26)] {
        assert!(
            (members - 5..members * 3 / 2).contains(&by),
            "{by} by {members}"
        );
    }

    // A death of ours, found by heartbeats: sooner than memberlist's own detection can find it, which is a failed probe (1 s) and
    // the shortest suspicion of fifty-one (4 s · log₁₀ 51 = 6.8 s).
    const BY_MEMBERLIST: Duration = Duration::from_millis(7_800);
    let victim = ours.pop().unwrap();
    let name = victim.name.clone();
    let start = Instant::now();
    drop(victim);
    let gone = || {
        let of_ours = ours
            .iter()
            .map(|node| node.departed(&name).first().map(|(at, _)| *at));
        let of_go = go
            .iter()
            .chain([&late])
            .map(|node| node.when("leave", &name).first().copied());
        of_ours.chain(of_go).collect::<Option<Vec<Instant>>>()
    };
    until(
        "forty-nine and the late one",
        || gone().is_some(),
        || ours[0].state(),
    );
    let last = gone().unwrap().into_iter().max().unwrap();
    let took = last.duration_since(start);
    let silences: u64 = ours
        .iter()
        .map(|node| node.gossip.counters().swim.silences)
        .sum();
    println!("fifty members: all knew of a death of ours after {took:.2?}; {silences} found it");
    assert!(silences >= 1, "{}", ours[0].state());
    assert!(took < BY_MEMBERLIST, "{took:?}");

    for node in &ours {
        assert_eq!(node.gossip.counters().swim.merges_refused, 0);
        assert_eq!(node.departures("late"), [""; 0]);
        nothing_dropped(node);
    }
    let all = go.len() + ours.len() + 1;
    for node in go.iter().chain([&late]) {
        assert_eq!(node.members().len(), all, "{}", node.state());
        assert!(!node.members().is_superset(&names(&[&name])));
    }
}
