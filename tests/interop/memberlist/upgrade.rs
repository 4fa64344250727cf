//! One kind takes the place of the other, under its name, at its address and port: a rolling upgrade, and the way back. By
//! leaving, and by SIGKILL.

use ferrolb::memberlist::wire::{NodeState, State};

use super::nodes::{Go, Mode, Ours, address, names, until};
use super::talk::record;
use super::{Duration, Instant, SOON, all_see, pair};

/// What our kind says of itself.
const KIN: &[u8] = b"ferrolb/1 fast";

/// The record of `name` there becomes this.
fn becomes(mode: Mode, at: std::net::SocketAddr, name: &str, is: impl Fn(&NodeState) -> bool) {
    until(
        &format!("{name} in the eyes of {at}"),
        || record(mode, at, name).is_some_and(|record| is(&record)),
        || format!("{:?}", record(mode, at, name)),
    );
}

/// That `event`, the `nth` of its kind, was soon after that.
fn soon(
    mode: Mode,
    what: &str,
    node: &Go,
    (event, name, nth): (&str, &str, usize),
    after: Instant,
) {
    until(what, || node.when(event, name).len() > nth, || node.state());
    let took = node.when(event, name)[nth].saturating_duration_since(after);
    println!("{mode:?}: {what} after {took:.2?}");
    assert!(took < SOON, "{what}: {took:?}: {}", node.state());
}

fn go_leaves_and_we_take_its_name(mode: Mode) {
    let (ours, go) = pair(mode);
    let at = go.address();
    let other = Go::start(mode, "stays", address(), &[ours.address()]);
    all_see(&[&ours], &[&go, &other], &["go", "ours", "stays"]);
    let start = Instant::now();
    go.terminate();
    soon(
        mode,
        "Go knew of Go's leave",
        &other,
        ("leave", "go", 0),
        start,
    );
    all_see(&[&ours], &[&other], &["ours", "stays"]);
    let departed = ours.departed("go");
    let [(when, how)] = &departed[..] else {
        panic!("{departed:?}");
    };
    let took = when.duration_since(start);
    println!("{mode:?}: we knew of Go's leave after {took:.2?}");
    assert!(took < SOON, "{took:?}: {}", ours.state());
    assert_eq!(how, "left");
    // Both kinds pass it on as what it was.
    for holder in [ours.address(), other.address()] {
        assert_eq!(record(mode, holder, "go").unwrap().state, State::Left);
    }
    go.ended();
    let upgraded = Ours::start(mode, "go", at);
    let start = Instant::now();
    upgraded.should_join(&[ours.address(), other.address()]);
    soon(
        mode,
        "Go knew of the upgraded",
        &other,
        ("join", "go", 1),
        start,
    );
    all_see(&[&ours, &upgraded], &[&other], &["go", "ours", "stays"]);
    // It has left its predecessor's incarnation behind.
    for holder in [ours.address(), other.address(), upgraded.address()] {
        becomes(mode, holder, "go", |record| {
            record.state == State::Alive && record.incarnation >= 2 && record.meta == KIN
        });
    }
}

fn we_leave_and_go_takes_our_name(mode: Mode) {
    let (ours, go) = pair(mode);
    let at = ours.address();
    let other = Ours::start(mode, "stays", address());
    other.should_join(&[go.address()]);
    all_see(&[&ours, &other], &[&go], &["go", "ours", "stays"]);
    let start = Instant::now();
    ours.leave();
    println!(
        "{mode:?}: we had said our leave after {:.2?}",
        start.elapsed()
    );
    soon(
        mode,
        "Go knew of our leave",
        &go,
        ("leave", "ours", 0),
        start,
    );
    all_see(&[&other], &[&go], &["go", "stays"]);
    assert_eq!(other.departures("ours"), ["left"]);
    // Until the sockets close it answers, and says so itself.
    for holder in [go.address(), other.address(), at] {
        assert_eq!(record(mode, holder, "ours").unwrap().state, State::Left);
    }
    drop(ours);
    // Go must not hold it for dead: who left is free to come back at once.
    let downgraded = Go::start(mode, "ours", at, &[other.address()]);
    let start = downgraded.joined_at();
    soon(
        mode,
        "Go knew of the downgraded",
        &go,
        ("join", "ours", 1),
        start,
    );
    all_see(&[&other], &[&go, &downgraded], &["go", "ours", "stays"]);
    for holder in [go.address(), other.address(), downgraded.address()] {
        becomes(mode, holder, "ours", |record| {
            record.state == State::Alive && record.incarnation >= 2 && record.meta.is_empty()
        });
    }
}

/// How far the others are when the place of the killed is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    /// They know nothing.
    AtOnce,
    /// They suspect it.
    Suspected,
    /// They have given it up.
    Dead,
}

/// Who has the place after the other.
enum Place {
    Ours(Ours),
    Go(Go),
}

impl Place {
    /// Who joins Go, and us.
    fn taken(
        mode: Mode,
        ours: bool,
        at: std::net::SocketAddr,
        ask: &[std::net::SocketAddr],
    ) -> Self {
        if ours {
            let node = Ours::start(mode, "place", at);
            node.should_join(ask);
            Self::Ours(node)
        } else {
            Self::Go(Go::start(mode, "place", at, ask))
        }
    }

    fn address(&self) -> std::net::SocketAddr {
        match self {
            Self::Ours(node) => node.address(),
            Self::Go(node) => node.address(),
        }
    }

    fn sees(&self, want: &[&str]) {
        match self {
            Self::Ours(node) => all_see(&[node], &[], want),
            Self::Go(node) => all_see(&[], &[node], want),
        }
    }
}

/// One of the kind `ours` or not is killed, and one of the other kind takes its place.
fn the_place_of_the_killed_is_taken(mode: Mode, ours_first: bool, when: When) {
    let (ours, go) = pair(mode);
    let ask = [ours.address(), go.address()];
    let killed = Place::taken(mode, ours_first, address(), &ask);
    let all = ["go", "ours", "place"];
    all_see(&[&ours], &[&go], &all);
    killed.sees(&all);
    let at = killed.address();
    drop(killed);
    match when {
        When::AtOnce => {}
        When::Suspected => becomes(mode, go.address(), "place", |record| {
            record.state == State::Suspect
        }),
        When::Dead => all_see(&[&ours], &[&go], &["go", "ours"]),
    }
    let start = Instant::now();
    let next = Place::taken(mode, !ours_first, at, &ask);
    next.sees(&all);
    let meta: &[u8] = if ours_first { b"" } else { KIN };
    for holder in [ours.address(), go.address(), at] {
        becomes(mode, holder, "place", |record| {
            record.state == State::Alive && record.incarnation >= 2 && record.meta == meta
        });
    }
    println!(
        "{mode:?}, {when:?}: the place was taken after {:.2?}",
        start.elapsed()
    );
    all_see(&[&ours], &[&go], &all);
    let past = Duration::from_secs(6);
    super::members_stay(&[&ours], &[&go], &all, past);
    let (departures, joins) = match when {
        // Past the end of every suspicion: nobody ever missed it.
        When::AtOnce | When::Suspected => (0, 1),
        When::Dead => (1, 2),
    };
    assert_eq!(ours.departures("place"), vec!["dead"; departures]);
    assert_eq!(
        go.when("leave", "place").len(),
        departures,
        "{}",
        go.state()
    );
    assert_eq!(go.addresses_joined("place"), vec![at; joins]);
}

/// The three cases at a time.
fn in_all_cases(mode: Mode, ours_first: bool) {
    std::thread::scope(|scope| {
        for when in [When::AtOnce, When::Suspected, When::Dead] {
            scope.spawn(move || the_place_of_the_killed_is_taken(mode, ours_first, when));
        }
    });
}

fn killed_go_node_is_replaced_by_ours(mode: Mode) {
    in_all_cases(mode, false);
}

fn killed_node_of_ours_is_replaced_by_go(mode: Mode) {
    in_all_cases(mode, true);
}

in_all_modes!(
    go_leaves_and_we_take_its_name,
    we_leave_and_go_takes_our_name,
    killed_go_node_is_replaced_by_ours,
    killed_node_of_ours_is_replaced_by_go,
);

#[test]
#[ignore = "needs Go's memberlist from Debian: run by tests/run"]
fn a_go_node_that_takes_over_from_ours_is_left_alone_and_complains_of_nothing() {
    // Heartbeats end with the one that understood them, and begin again.
    let mode = super::AS_METALLB;
    let (a, b, first, _second) = super::fast_among_go();
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
    super::quiet(&[&a], &[&first], &all, Duration::from_secs(5));
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
    assert_eq!(a.members(), names(&all));
}
