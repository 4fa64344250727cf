//! Alive, suspect, dead, left: every pair of what is held and what is said.

use super::super::{Departure, MAX_OWN_INCARNATION};
use super::*;

/// A bench that holds `node-b` in that state at incarnation 5.
fn holding(state: State) -> Bench {
    let mut bench = Bench::among(&["node-b", "node-c"]);
    bench.hear(alive("node-b", "10.0.0.2", 5));
    match state {
        State::Alive => {}
        State::Suspect => bench.hear(suspect("node-b", 5, "node-c")),
        State::Dead => bench.hear(dead("node-b", 5, "node-c")),
        State::Left => bench.hear(dead("node-b", 5, "node-b")),
    }
    assert_eq!(bench.state("node-b"), state);
    bench.outputs.clear();
    bench
}

const STATES: [State; 4] = [State::Alive, State::Suspect, State::Dead, State::Left];

#[test]
fn it_is_its_own_first_member() {
    let bench = Bench::new();
    let joined = Event::Joined {
        name: name("node-a"),
        addr: addr("10.0.0.1"),
    };
    assert_eq!(bench.events(), [joined]);
    assert_eq!(bench.swim.incarnation(), 1);
    assert_eq!(bench.swim.queued(), 1, "to be told");
}

#[test]
fn a_new_name_joins_and_is_passed_on() {
    let mut bench = Bench::among(&["node-b"]);
    bench.hear(alive("node-z", "10.0.0.26", 1));
    let joined = Event::Joined {
        name: name("node-z"),
        addr: addr("10.0.0.26"),
    };
    assert_eq!(bench.events(), [joined]);
    bench.run_for(millis(200));
    assert!(
        bench
            .sent_messages()
            .contains(&alive("node-z", "10.0.0.26", 1))
    );
}

#[test]
fn alive_counts_only_if_it_is_newer() {
    for state in STATES {
        for incarnation in [4, 5] {
            let mut bench = holding(state);
            bench.hear(alive("node-b", "10.0.0.2", incarnation));
            assert_eq!(bench.state("node-b"), state);
            assert!(bench.events().is_empty());
        }
        let mut bench = holding(state);
        bench.hear(alive("node-b", "10.0.0.2", 6));
        assert_eq!(bench.state("node-b"), State::Alive);
        assert_eq!(bench.member("node-b").incarnation, 6);
        let returned = matches!(state, State::Dead | State::Left);
        assert_eq!(bench.events().len(), usize::from(returned), "{state:?}");
    }
}

#[test]
fn a_refuted_suspicion_is_over() {
    let mut bench = holding(State::Suspect);
    bench.hear(alive("node-b", "10.0.0.2", 6));
    assert!(bench.swim.suspicions.is_empty());
}

#[test]
fn suspect_counts_from_the_same_incarnation_on() {
    let mut bench = holding(State::Alive);
    bench.hear(suspect("node-b", 4, "node-c"));
    assert_eq!(bench.state("node-b"), State::Alive);
    bench.hear(suspect("node-b", 7, "node-c"));
    assert_eq!(bench.state("node-b"), State::Suspect);
    assert_eq!(bench.member("node-b").incarnation, 7);
    assert!(bench.events().is_empty(), "a suspect stays a member");
    assert!(bench.swim.active().any(|active| *active == name("node-b")));
}

#[test]
fn suspect_says_nothing_new_about_dead_and_left_ones() {
    for state in [State::Dead, State::Left] {
        let mut bench = holding(state);
        bench.hear(suspect("node-b", 9, "node-c"));
        assert_eq!(bench.state("node-b"), state);
        assert_eq!(bench.member("node-b").incarnation, 5);
    }
}

#[test]
fn dead_counts_from_the_same_incarnation_on() {
    for state in [State::Alive, State::Suspect] {
        let mut bench = holding(state);
        bench.hear(dead("node-b", 4, "node-c"));
        assert_eq!(bench.state("node-b"), state);
        bench.hear(dead("node-b", 5, "node-c"));
        assert_eq!(bench.state("node-b"), State::Dead);
        let left = Event::Left {
            name: name("node-b"),
            how: Departure::Dead,
        };
        assert_eq!(bench.events(), [left]);
        assert!(bench.swim.suspicions.is_empty());
    }
}

#[test]
fn dead_by_itself_is_left() {
    let mut bench = holding(State::Alive);
    bench.hear(dead("node-b", 5, "node-b"));
    assert_eq!(bench.state("node-b"), State::Left);
    let left = Event::Left {
        name: name("node-b"),
        how: Departure::Left,
    };
    assert_eq!(bench.events(), [left]);
    assert_eq!(bench.swim.counters().deaths, 0);
}

#[test]
fn dead_never_becomes_left_nor_left_dead() {
    let mut bench = holding(State::Dead);
    bench.hear(dead("node-b", 9, "node-b"));
    assert_eq!(bench.state("node-b"), State::Dead);
    let mut bench = holding(State::Left);
    bench.hear(dead("node-b", 9, "node-c"));
    assert_eq!(bench.state("node-b"), State::Left);
    assert!(bench.events().is_empty());
}

#[test]
fn claims_about_unknown_names_are_not_learnt() {
    let mut bench = Bench::among(&["node-b"]);
    bench.hear(suspect("node-z", 5, "node-b"));
    bench.hear(dead("node-z", 5, "node-b"));
    bench.hear(dead("node-z", 5, "node-z"));
    bench.hear(alive("node-z", "10.0.0.26", 0));
    assert!(bench.swim.member(&name("node-z")).is_none());
}

#[test]
fn another_address_is_a_conflict_unless_the_holder_left() {
    for state in STATES {
        let mut bench = holding(state);
        bench.hear(alive("node-b", "10.0.0.99", 9));
        if state == State::Left {
            assert_eq!(bench.state("node-b"), State::Alive);
            assert_eq!(bench.member("node-b").socket_addr(), addr("10.0.0.99"));
        } else {
            assert_eq!(bench.state("node-b"), state);
            assert_eq!(bench.member("node-b").socket_addr(), addr("10.0.0.2"));
            assert_eq!(bench.swim.counters().conflicts, 1);
        }
    }
}

#[test]
fn one_that_left_may_come_back_elsewhere_with_a_lower_incarnation() {
    let mut bench = holding(State::Left);
    bench.hear(alive("node-b", "10.0.0.99", 1));
    assert_eq!(bench.state("node-b"), State::Alive);
    assert_eq!(bench.member("node-b").incarnation, 1);
}

#[test]
fn a_mapped_address_is_another_address() {
    let mut bench = holding(State::Alive);
    bench.hear(alive("node-b", "::ffff:10.0.0.2", 9));
    assert_eq!(bench.swim.counters().conflicts, 1);
    assert_eq!(bench.member("node-b").incarnation, 5);
}

#[test]
fn a_mapped_address_is_kept_for_others_and_reached_as_ipv4() {
    let mut bench = Bench::new();
    bench.hear(alive("node-b", "::ffff:10.0.0.2", 1));
    assert_eq!(bench.member("node-b").socket_addr(), addr("10.0.0.2"));
    let Some(Message::PushPull(ours)) = request(&mut bench, push_pull(false, vec![])) else {
        panic!("no state");
    };
    let told = ours.nodes.iter().find(|state| state.name == name("node-b"));
    assert!(told.unwrap().addr.is_ipv6());
}

#[test]
fn port_zero_is_ours() {
    let mut bench = Bench::new();
    let mut claim = alive_claim("node-b", "10.0.0.2", 1);
    claim.port = 0;
    bench.hear(Message::Alive(claim));
    assert_eq!(bench.member("node-b").port, 7946);
}

#[test]
fn claims_about_itself_are_refuted_above_the_accusation() {
    for (accused, want) in [(1, 2), (9, 10), (20, 21)] {
        for message in [
            suspect("node-a", accused, "node-b"),
            dead("node-a", accused, "node-b"),
            dead("node-a", accused, "node-a"),
        ] {
            let mut bench = Bench::among(&["node-b"]);
            bench.hear(message);
            assert_eq!(bench.swim.incarnation(), want);
            assert_eq!(bench.state("node-a"), State::Alive);
            assert_eq!(bench.member("node-a").incarnation, want);
            assert_eq!(bench.swim.health(), 1);
            assert!(bench.events().is_empty());
            assert!(
                bench
                    .sent_messages()
                    .contains(&alive("node-a", "10.0.0.1", want))
            );
        }
    }
}

#[test]
fn an_alive_of_its_past_is_refuted_and_its_own_echo_is_not() {
    let mut bench = Bench::among(&["node-b"]);
    bench.hear(alive("node-a", "10.0.0.1", 1));
    assert_eq!(bench.swim.incarnation(), 1);
    bench.hear(alive("node-a", "10.0.0.1", 8));
    assert_eq!(bench.swim.incarnation(), 9);
    let mut other = alive_claim("node-a", "10.0.0.1", 9);
    other.meta = b"metadata of another".to_vec();
    bench.hear(Message::Alive(other));
    assert_eq!(bench.swim.incarnation(), 10);
}

#[test]
fn its_own_name_elsewhere_is_a_conflict_and_no_accusation() {
    let mut bench = Bench::among(&["node-b"]);
    bench.hear(alive("node-a", "10.0.0.99", 8));
    assert_eq!(bench.swim.incarnation(), 1);
    assert_eq!(bench.swim.counters().conflicts, 1);
}

#[test]
fn the_last_incarnation_is_never_reached() {
    for accused in [MAX_OWN_INCARNATION, u32::MAX - 1, u32::MAX] {
        for message in [
            suspect("node-a", accused, "node-b"),
            dead("node-a", accused, "node-b"),
            alive("node-a", "10.0.0.1", accused),
        ] {
            let mut bench = Bench::among(&["node-b"]);
            bench.hear(message);
            assert_eq!(bench.swim.incarnation(), 1);
            assert_eq!(bench.state("node-a"), State::Alive);
            assert_eq!(bench.swim.counters().irrefutable, 1);
            assert!(bench.sent_messages().is_empty());
        }
    }
    let mut bench = Bench::among(&["node-b"]);
    bench.hear(suspect("node-a", MAX_OWN_INCARNATION - 1, "node-b"));
    assert_eq!(bench.swim.incarnation(), MAX_OWN_INCARNATION);
}

#[test]
fn who_accuses_a_past_incarnation_missed_the_refutation_and_hears_it_again() {
    let mut bench = Bench::among(&["node-b"]);
    bench.hear(suspect("node-a", 3, "node-b"));
    bench.live_for(secs(3));
    assert_eq!(bench.swim.queued(), 0);
    bench.outputs.clear();
    for _ in 0..10 {
        bench.hear(suspect("node-a", 3, "node-b"));
    }
    assert_eq!(bench.swim.incarnation(), 4, "not raised again");
    let said = alive("node-a", "10.0.0.1", 4);
    let times = bench
        .sent_messages()
        .iter()
        .filter(|one| **one == said)
        .count();
    assert_eq!(times, 1, "once a second at most");
}

#[test]
fn over_the_cap_new_names_are_refused() {
    let mut bench = Bench::with(|params| params.max_members = 3);
    bench.hear(alive("node-b", "10.0.0.2", 1));
    bench.hear(alive("node-c", "10.0.0.3", 1));
    for i in 0..100 {
        bench.hear(alive(&format!("forged-{i}"), "10.0.0.4", 1));
    }
    assert_eq!(bench.swim.members().count(), 3);
    assert_eq!(bench.swim.counters().members_refused, 100);
    assert!(bench.swim.queued() <= 3);
    let lines = bench
        .outputs
        .iter()
        .filter(|output| matches!(output, Output::Log(_)));
    assert!(lines.count() < 3, "not a line for each");
}

#[test]
fn two_records_agree_on_versions_or_nothing_is_merged() {
    let mut bench = Bench::among(&["node-b"]);
    let mut odd = entry("node-y", "10.0.0.25", 1, State::Dead);
    odd.vsn = Versions::from_bytes(&[6, 7, 6, 0, 0, 0]).unwrap();
    let good = entry("node-z", "10.0.0.26", 1, State::Alive);
    request(
        &mut bench,
        push_pull(false, vec![good.clone(), odd.clone()]),
    );
    assert!(bench.swim.member(&name("node-z")).is_none());
    assert_eq!(bench.swim.counters().merges_refused, 1);
    odd.vsn = Versions::from_bytes(&[2, 6, 5, 0, 0, 0]).unwrap();
    request(&mut bench, push_pull(false, vec![good, odd]));
    assert!(bench.swim.member(&name("node-z")).is_some());
}

#[test]
fn one_with_whom_all_push_pulls_would_fail_is_not_taken() {
    for (vsn, taken) in [
        ([1, 5, 2, 0, 0, 0], true),
        ([1, 5, 5, 0, 0, 0], true),
        ([2, 9, 3, 0, 1, 0], true),
        ([3, 5, 3, 0, 0, 0], false),
        ([1, 1, 1, 0, 0, 0], false),
        ([1, 9, 6, 0, 0, 0], false),
        ([1, 5, 2, 1, 1, 1], false),
    ] {
        let mut bench = Bench::among(&["node-b"]);
        let mut claim = alive_claim("node-z", "10.0.0.26", 1);
        claim.vsn = Versions::from_bytes(&vsn).unwrap();
        bench.hear(Message::Alive(claim));
        assert_eq!(
            bench.swim.member(&name("node-z")).is_some(),
            taken,
            "{vsn:?}"
        );
        assert_eq!(bench.swim.queued(), usize::from(taken));
        assert_eq!(bench.swim.counters().versions_refused, u64::from(!taken));
    }
}

#[test]
fn hearsay_of_a_death_is_a_suspicion_of_its_own_and_of_a_leave_a_leave() {
    let mut bench = Bench::among(&["node-b", "node-c", "node-d"]);
    let states = vec![
        entry("node-b", "10.0.0.2", 1, State::Dead),
        entry("node-c", "10.0.0.3", 1, State::Suspect),
        entry("node-d", "10.0.0.4", 1, State::Left),
        entry("node-y", "10.0.0.25", 1, State::Dead),
    ];
    request(&mut bench, push_pull(false, states));
    assert_eq!(bench.state("node-b"), State::Suspect);
    assert_eq!(bench.state("node-c"), State::Suspect);
    assert_eq!(bench.state("node-d"), State::Left);
    assert!(bench.swim.member(&name("node-y")).is_none());
    bench.run_for(millis(200));
    assert!(
        bench
            .sent_messages()
            .contains(&suspect("node-b", 1, "node-a"))
    );
}

#[test]
fn its_own_old_record_raises_its_incarnation() {
    for state in [State::Suspect, State::Dead, State::Left] {
        let mut bench = Bench::new();
        let old = entry("node-a", "10.0.0.1", 7, state);
        request(&mut bench, push_pull(true, vec![old]));
        assert_eq!(bench.swim.incarnation(), 8, "{state:?}");
    }
}

#[test]
fn a_suspect_whom_nobody_sees_dies_and_confirmations_hasten_it() {
    let mut bench = Bench::among(&["node-b", "node-c", "node-d", "node-e"]);
    let doomed = |bench: &mut Bench, voters: &[&str]| {
        for voter in voters {
            bench.hear(suspect("node-b", 1, voter));
        }
        let begin = bench.elapsed();
        while bench.state("node-b") == State::Suspect {
            bench.run_for(millis(1));
            bench.answer_pings();
        }
        assert_eq!(bench.state("node-b"), State::Dead);
        bench.elapsed() - begin
    };
    let took = doomed(&mut bench, &["node-c", "node-d", "node-d", "node-e"]);
    assert!(took >= secs(4) && took <= millis(4_001), "{took:?}");

    let mut bench = Bench::among(&["node-b", "node-c", "node-d", "node-e"]);
    let took = doomed(&mut bench, &["node-c", "node-d"]);
    assert!(took <= millis(11_382), "{took:?}");
}

#[test]
fn better_evidence_condemns_at_once() {
    let mut bench = Bench::among(&["node-b", "node-c"]);
    bench.input(Input::Condemn(name("node-b")));
    assert_eq!(bench.state("node-b"), State::Dead);
    bench.run_for(millis(20));
    assert!(
        bench.sent_messages().contains(&dead("node-b", 1, "node-a")),
        "and told at once"
    );
    bench.hear(alive("node-b", "10.0.0.2", 2));
    assert_eq!(bench.state("node-b"), State::Alive);
    bench.outputs.clear();
    bench.input(Input::Condemn(name("node-a")));
    bench.input(Input::Condemn(name("node-z")));
    assert!(bench.events().is_empty(), "neither ourselves nor strangers");
}

#[test]
fn dead_and_left_are_forgotten_in_time() {
    let mut bench = Bench::among(&["node-b", "node-c", "node-d"]);
    bench.hear(dead("node-b", 1, "node-c"));
    bench.hear(dead("node-c", 1, "node-c"));
    let run = |bench: &mut Bench, time: Duration| {
        bench.live_for(time);
        bench.outputs.clear();
    };
    run(&mut bench, secs(28));
    assert_eq!(bench.swim.members().count(), 4);
    run(&mut bench, secs(6));
    assert!(bench.swim.member(&name("node-b")).is_none());
    assert_eq!(bench.state("node-c"), State::Left);
    run(&mut bench, secs(3_600));
    assert!(bench.swim.member(&name("node-c")).is_none());
    assert_eq!(bench.state("node-d"), State::Alive);
}
