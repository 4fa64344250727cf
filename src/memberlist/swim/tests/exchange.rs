//! Push/pull, joins, and pings on streams.

use super::*;
use crate::memberlist::wire::Ping;

#[test]
fn the_answer_to_a_push_pull_is_what_was_held_before() {
    for join in [true, false] {
        let mut bench = Bench::among(&["node-b"]);
        let theirs = vec![entry("node-z", "10.0.0.26", 1, State::Alive)];
        let reply = request(&mut bench, push_pull(join, theirs));
        let want = vec![
            entry("node-a", "10.0.0.1", 1, State::Alive),
            entry("node-b", "10.0.0.2", 1, State::Alive),
        ];
        assert_eq!(reply, Some(push_pull(join, want)));
        assert_eq!(bench.state("node-z"), State::Alive);
    }
}

#[test]
fn a_ping_on_a_stream_is_answered_unless_another_is_meant() {
    let mut bench = Bench::among(&["node-b"]);
    let ping = |node| Message::Ping(Ping { seq_no: 9, node });
    assert_eq!(request(&mut bench, ping(None)), Some(ack(9)));
    assert_eq!(
        request(&mut bench, ping(Some(name("node-a")))),
        Some(ack(9))
    );
    assert_eq!(request(&mut bench, ping(Some(name("node-b")))), None);
    assert_eq!(request(&mut bench, Message::User(vec![1])), None);
    assert_eq!(request(&mut bench, alive("node-y", "10.0.0.25", 1)), None);
}

#[test]
fn a_join_asks_each_address_once_and_says_how_many_answered() {
    let mut bench = Bench::new();
    bench.outputs.clear();
    let all = ["10.0.0.2", "10.0.0.3", "10.0.0.3", "10.0.0.1"];
    bench.input(Input::Join(all.map(addr).to_vec()));
    let dials = bench.dials();
    let mut to: Vec<_> = dials.iter().map(|(_, to, _)| *to).collect();
    to.sort();
    assert_eq!(to, [addr("10.0.0.2"), addr("10.0.0.3")], "not ourselves");
    assert!(
        dials
            .iter()
            .all(|(.., request)| matches!(request, Message::PushPull(ours) if ours.join))
    );
    let message = push_pull(true, vec![entry("node-b", "10.0.0.2", 1, State::Alive)]);
    let reason = "connection refused".to_owned();
    bench.input(Input::StreamReply {
        id: dials[0].0,
        message,
    });
    bench.input(Input::StreamFailed {
        id: dials[1].0,
        reason,
    });
    assert_eq!(bench.state("node-b"), State::Alive);
    let joined = Output::Joined {
        reached: 1,
        failed: 1,
    };
    assert!(bench.outputs.contains(&joined));
}

#[test]
fn a_join_of_nobody_is_over_at_once() {
    let mut bench = Bench::new();
    bench.input(Input::Join(vec![addr("10.0.0.1")]));
    let joined = Output::Joined {
        reached: 0,
        failed: 0,
    };
    assert!(bench.outputs.contains(&joined));
}

#[test]
fn joins_are_few_at_a_time_and_go_on_when_the_driver_is_silent() {
    let mut bench = Bench::new();
    let all = (2..=21)
        .map(|last| addr(&format!("10.0.0.{last}")))
        .collect();
    bench.input(Input::Join(all));
    assert_eq!(bench.dials().len(), 8);
    bench.run_for(secs(11));
    assert_eq!(bench.dials().len(), 16);
    bench.run_for(secs(22));
    let joined = Output::Joined {
        reached: 0,
        failed: 20,
    };
    assert!(bench.outputs.contains(&joined));
    assert!(bench.swim.dials.is_empty());
}

#[test]
fn errors_and_odd_answers_are_failures_and_said() {
    for answer in [Message::Err("encrypted".to_owned()), ack(1)] {
        let mut bench = Bench::new();
        bench.input(Input::Join(vec![addr("10.0.0.2")]));
        let (id, ..) = bench.dials()[0].clone();
        bench.input(Input::StreamReply {
            id,
            message: answer,
        });
        let joined = Output::Joined {
            reached: 0,
            failed: 1,
        };
        assert!(bench.outputs.contains(&joined));
        assert!(
            bench
                .outputs
                .iter()
                .any(|output| matches!(output, Output::Log(_)))
        );
    }
}

#[test]
fn peers_that_are_no_members_are_joined_again_and_again_and_the_others_not() {
    let mut bench = Bench::among(&["node-b", "node-c"]);
    let peers = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"];
    bench.input(Input::Peers(peers.map(addr).to_vec()));
    let joins = |bench: &Bench| {
        let dials = bench.dials().into_iter();
        let joins =
            dials.filter(|(.., request)| matches!(request, Message::PushPull(ours) if ours.join));
        joins.map(|(_, to, _)| to).collect::<Vec<_>>()
    };
    assert_eq!(joins(&bench), [addr("10.0.0.4")]);
    for _ in 0..10 {
        bench.input(Input::Peers(peers.map(addr).to_vec()));
    }
    assert_eq!(joins(&bench).len(), 1, "one under way is enough");
    let mut asked = 0;
    for _ in 0..1_200 {
        bench.run_for(millis(100));
        bench.answer_pings();
        asked += joins(&bench).len();
        bench.outputs.clear();
    }
    assert!((4..=9).contains(&asked), "about every 20 s: {asked}");
    bench.hear(alive("node-d", "10.0.0.4", 1));
    for _ in 0..600 {
        bench.run_for(millis(100));
        bench.answer_pings();
        assert!(joins(&bench).is_empty());
        bench.outputs.clear();
    }
}

#[test]
fn one_member_is_asked_for_all_it_holds_every_thirty_seconds() {
    let mut bench = Bench::among(&["node-b", "node-c"]);
    let mut asked = 0;
    for _ in 0..3_000 {
        bench.run_for(millis(100));
        bench.answer_pings();
        for (id, _, request) in bench.dials() {
            assert!(matches!(request, Message::PushPull(ours) if !ours.join));
            asked += 1;
            let message = push_pull(false, vec![]);
            bench.input(Input::StreamReply { id, message });
        }
        bench.outputs.clear();
    }
    assert!((9..=10).contains(&asked), "{asked} in 300 s");
}

#[test]
fn a_late_answer_is_no_answer() {
    let mut bench = Bench::new();
    bench.input(Input::Join(vec![addr("10.0.0.2")]));
    let (id, ..) = bench.dials()[0].clone();
    bench.run_for(secs(12));
    let message = push_pull(true, vec![entry("node-b", "10.0.0.2", 1, State::Alive)]);
    bench.input(Input::StreamReply { id, message });
    assert!(bench.swim.member(&name("node-b")).is_none());
}
