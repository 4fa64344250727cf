//! Probing, asking others, answering, relaying; and late ticks.

use super::*;
use crate::memberlist::wire::{IndirectPing, Nack, Ping};

const FIVE: [&str; 4] = ["node-b", "node-c", "node-d", "node-e"];

fn is_ping(message: &Message) -> bool {
    matches!(message, Message::Ping(_))
}

/// Lets the next probe begin: its number, its target, when it began.
fn begin(bench: &mut Bench) -> (u32, Name, Duration) {
    bench.outputs.clear();
    let (_, message) = bench.run_until_sent(is_ping);
    let Message::Ping(Ping {
        seq_no,
        node: Some(target),
    }) = message
    else {
        panic!("no ping");
    };
    (seq_no, target, bench.elapsed())
}

fn helpers(bench: &Bench) -> Vec<(SocketAddr, IndirectPing)> {
    let all = bench.sent().into_iter().flat_map(|(to, messages)| {
        messages
            .into_iter()
            .filter_map(move |message| match message {
                Message::IndirectPing(ping) => Some((to, ping)),
                _ => None,
            })
    });
    all.collect()
}

#[test]
fn each_member_is_probed_once_a_round_one_a_second() {
    let mut bench = Bench::among(&FIVE);
    let mut probed = Vec::new();
    let mut last = None;
    for _ in 0..40 {
        let (seq_no, target, at) = begin(&mut bench);
        bench.hear(ack(seq_no));
        if let Some(last) = last.replace(at) {
            assert_eq!(at - last, secs(1));
        }
        probed.push(target);
    }
    // Whole rounds, wherever the first began.
    for i in 1..=4 {
        let other = FIVE[i - 1];
        let times = probed.iter().filter(|target| ***target == *other).count();
        assert!((9..=11).contains(&times), "{other}: {times}");
    }
    assert_eq!(bench.swim.health(), 0);
    assert_eq!(bench.swim.counters().probes_failed, 0);
}

#[test]
fn without_an_answer_others_are_asked_and_then_it_is_suspect() {
    let mut bench = Bench::among(&FIVE);
    let (seq_no, target, _) = begin(&mut bench);
    bench.run_for(millis(499));
    assert!(helpers(&bench).is_empty());
    bench.run_for(millis(1));
    let asked = helpers(&bench);
    let to: std::collections::BTreeSet<_> = asked.iter().map(|(to, _)| *to).collect();
    let addr_of_target = bench.swim.member(&target).unwrap().socket_addr();
    assert_eq!(to.len(), 3);
    assert!(!to.contains(&addr_of_target));
    for (_, ping) in asked {
        let want = IndirectPing {
            seq_no,
            target: addr_of_target.ip(),
            port: 7946,
            node: Some(target.clone()),
            nack: true,
        };
        assert_eq!(ping, want);
    }
    let ping = Message::Ping(Ping {
        seq_no,
        node: Some(target.clone()),
    });
    assert!(
        matches!(&bench.dials()[..], [(_, to, request)] if *to == addr_of_target && *request == ping)
    );
    bench.run_for(millis(499));
    assert_eq!(bench.swim.member(&target).unwrap().state, State::Alive);
    bench.run_for(millis(1));
    assert_eq!(bench.swim.member(&target).unwrap().state, State::Suspect);
    assert_eq!(bench.swim.health(), 3, "none of the three said nack");
}

#[test]
fn an_answer_by_a_detour_is_an_answer() {
    let mut bench = Bench::among(&FIVE);
    let (seq_no, target, _) = begin(&mut bench);
    bench.run_for(millis(800));
    let (relay, _) = helpers(&bench)[0].clone();
    bench.hear_from(&relay.ip().to_string(), ack(seq_no));
    bench.run_for(millis(150));
    assert_eq!(bench.swim.member(&target).unwrap().state, State::Alive);
    assert_eq!(bench.swim.counters().acks_from_elsewhere, 0);
    assert_eq!(bench.swim.counters().probes_failed, 0);
}

#[test]
fn an_answer_with_another_number_is_none() {
    let mut bench = Bench::among(&FIVE);
    let (seq_no, target, _) = begin(&mut bench);
    bench.hear(ack(seq_no.wrapping_add(1)));
    bench.run_for(secs(1));
    assert_eq!(bench.swim.member(&target).unwrap().state, State::Suspect);
}

#[test]
fn an_answer_from_elsewhere_counts_and_is_counted() {
    let mut bench = Bench::among(&FIVE);
    let (seq_no, ..) = begin(&mut bench);
    bench.hear_from("10.9.9.9", ack(seq_no));
    assert_eq!(bench.swim.counters().acks_from_elsewhere, 1);
    bench.run_for(millis(999));
    assert_eq!(bench.swim.counters().probes_failed, 0);
}

#[test]
fn nacks_show_that_the_fault_is_not_ours() {
    for (nacks, health) in [(0, 3), (1, 2), (2, 1), (3, 0), (9, 0)] {
        let mut bench = Bench::among(&FIVE);
        let (seq_no, ..) = begin(&mut bench);
        bench.run_for(millis(900));
        for _ in 0..nacks {
            bench.hear(Message::Nack(Nack { seq_no }));
        }
        bench.run_for(millis(100));
        assert_eq!(bench.swim.counters().probes_failed, 1);
        assert_eq!(bench.swim.health(), health, "{nacks} nacks");
    }
}

#[test]
fn with_nobody_to_ask_a_failed_probe_costs_one() {
    let mut bench = Bench::among(&["node-b"]);
    begin(&mut bench);
    bench.run_for(secs(1));
    assert_eq!(bench.swim.health(), 1);
}

#[test]
fn a_stream_that_answers_saves_it_at_the_end() {
    let mut bench = Bench::among(&FIVE);
    let (seq_no, target, _) = begin(&mut bench);
    bench.run_for(millis(500));
    let (id, ..) = bench.dials()[0].clone();
    let message = ack(seq_no);
    bench.input(Input::StreamReply { id, message });
    bench.run_for(millis(500));
    assert_eq!(bench.swim.member(&target).unwrap().state, State::Alive);
    assert_eq!(bench.swim.counters().probes_failed, 0);
}

#[test]
fn a_stream_that_answers_something_else_saves_nobody() {
    for answer in [
        ack(0),
        Message::Err("no".to_owned()),
        push_pull(false, vec![]),
    ] {
        let mut bench = Bench::among(&FIVE);
        let (_, target, _) = begin(&mut bench);
        bench.run_for(millis(500));
        let (id, ..) = bench.dials()[0].clone();
        bench.input(Input::StreamReply {
            id,
            message: answer,
        });
        bench.run_for(millis(500));
        assert_eq!(bench.swim.member(&target).unwrap().state, State::Suspect);
    }
}

#[test]
fn ill_health_stretches_the_probe() {
    let mut bench = Bench::among(&FIVE);
    bench.swim.health = 2;
    let (_, target, _) = begin(&mut bench);
    let before = bench.swim.counters().probes;
    bench.run_for(millis(2_999));
    assert_eq!(bench.swim.member(&target).unwrap().state, State::Alive);
    bench.run_for(millis(1));
    assert_eq!(bench.swim.member(&target).unwrap().state, State::Suspect);
    // Of the ticks that fell into it one is served at once, the others never.
    assert_eq!(bench.swim.counters().probes, before + 1);
}

#[test]
fn a_suspect_is_told_so_with_the_ping() {
    let mut bench = Bench::among(&["node-b"]);
    bench.hear(suspect("node-b", 1, "node-z"));
    let packet = loop {
        bench.outputs.clear();
        bench.run_for(millis(1));
        let packet = bench
            .sent()
            .into_iter()
            .find(|(_, all)| all.iter().any(is_ping));
        if let Some(packet) = packet {
            break packet;
        }
    };
    assert_eq!(packet.0, addr("10.0.0.2"));
    assert_eq!(packet.1.len(), 2, "nothing else rides along");
    assert_eq!(packet.1[1], suspect("node-b", 1, "node-a"));
    assert!(
        bench
            .outputs
            .iter()
            .any(|output| matches!(output, Output::Send(packet) if packet.crc))
    );
}

#[test]
fn what_cannot_be_sent_is_no_evidence() {
    let mut bench = Bench::among(&["node-b"]);
    begin(&mut bench);
    bench.input(Input::SendFailed {
        to: addr("10.0.0.2"),
    });
    bench.run_for(millis(990));
    assert_eq!(bench.swim.counters().probes_failed, 0);
    assert_eq!(bench.swim.health(), 0);
    assert_eq!(bench.state("node-b"), State::Alive);
}

#[test]
fn pings_are_answered_to_where_they_came_from_unless_another_is_meant() {
    let mut bench = Bench::among(&["node-b"]);
    for (node, answered) in [
        (Some(name("node-a")), true),
        (None, true),
        (Some(name("node-b")), false),
    ] {
        bench.outputs.clear();
        let from = "192.0.2.7:4711".parse().unwrap();
        let messages = vec![Message::Ping(Ping { seq_no: 42, node })];
        bench.input(Input::Datagram { from, messages });
        let want = answered.then(|| (from, vec![ack(42)]));
        assert_eq!(bench.sent(), want.into_iter().collect::<Vec<_>>());
    }
}

fn please_ping(bench: &mut Bench, target: &str, node: &str, nack: bool) {
    bench.outputs.clear();
    bench.hear_from(
        "10.0.0.3",
        Message::IndirectPing(IndirectPing {
            seq_no: 1000,
            target: target.parse().unwrap(),
            port: 7946,
            node: Name::new(node),
            nack,
        }),
    );
}

#[test]
fn a_relayed_ping_has_its_own_number_and_its_answer_theirs() {
    let mut bench = Bench::among(&["node-b", "node-c"]);
    please_ping(&mut bench, "10.0.0.2", "node-b", true);
    let sent = bench.sent();
    let [(to, messages)] = &sent[..] else {
        panic!("{sent:?}");
    };
    assert_eq!(*to, addr("10.0.0.2"));
    let [Message::Ping(ping)] = &messages[..] else {
        panic!("{messages:?}");
    };
    assert_ne!(ping.seq_no, 1000);
    let seq_no = ping.seq_no;
    bench.outputs.clear();
    bench.hear_from("10.0.0.2", ack(seq_no));
    assert_eq!(bench.sent(), [(addr("10.0.0.3"), vec![ack(1000)])]);
    bench.outputs.clear();
    bench.hear_from("10.0.0.2", ack(seq_no));
    assert!(bench.sent().is_empty(), "once");
}

#[test]
fn a_relayed_ping_without_answer_is_a_nack_after_half_a_second_if_one_is_wanted() {
    for nack in [true, false] {
        let mut bench = Bench::among(&["node-b", "node-c"]);
        please_ping(&mut bench, "10.0.0.2", "node-b", nack);
        bench.outputs.clear();
        bench.run_for(millis(499));
        let is_nack = |message: &Message| matches!(message, Message::Nack(_));
        assert!(!bench.sent_messages().iter().any(is_nack));
        bench.run_for(millis(1));
        let want = Message::Nack(Nack { seq_no: 1000 });
        let told = bench
            .sent()
            .iter()
            .any(|(to, all)| *to == addr("10.0.0.3") && all.contains(&want));
        assert_eq!(told, nack);
        assert!(bench.swim.relays.is_empty());
    }
}

#[test]
fn pings_are_relayed_only_to_the_address_held_for_the_name() {
    for (target, node) in [
        ("10.0.0.99", "node-b"),
        ("10.0.0.2", "node-z"),
        ("10.0.0.2", ""),
        ("10.0.0.1", "node-a"),
    ] {
        let mut bench = Bench::among(&["node-b", "node-c"]);
        please_ping(&mut bench, target, node, true);
        let nack = Message::Nack(Nack { seq_no: 1000 });
        assert_eq!(
            bench.sent(),
            [(addr("10.0.0.3"), vec![nack])],
            "{target} {node}"
        );
        assert_eq!(bench.swim.counters().relays_refused, 1);
    }
}

#[test]
fn relays_are_bounded() {
    let mut bench = Bench::among(&["node-b", "node-c"]);
    for _ in 0..1_000 {
        please_ping(&mut bench, "10.0.0.2", "node-b", false);
    }
    assert_eq!(bench.swim.relays.len(), 256);
    assert_eq!(bench.swim.counters().relays_refused, 744);
}

#[test]
fn a_late_tick_is_our_own_illness() {
    let mut bench = Bench::among(&FIVE);
    for voter in ["node-c", "node-d", "node-e"] {
        bench.hear(suspect("node-b", 1, voter));
    }
    bench.live_for(secs(2));
    bench.outputs.clear();
    // Two seconds are left to node-b; we are stopped for a minute.
    bench.now += secs(60);
    bench.input(Input::Tick);
    assert_eq!(bench.swim.counters().stalls, 1);
    assert_eq!(bench.swim.health(), 7);
    assert_eq!(bench.state("node-b"), State::Suspect);
    let first = bench.sent_messages().into_iter().find(is_ping);
    assert!(
        matches!(first, Some(Message::Ping(Ping { node: Some(node), .. })) if *node == *"node-b"),
        "the suspect is probed first, and at once"
    );
    assert_eq!(
        bench.dials().len(),
        1,
        "and what the others hold is asked for"
    );
    // As long as a probe takes at this health, there is no verdict.
    bench.run_for(millis(7_900));
    assert_eq!(bench.state("node-b"), State::Suspect);
    bench.run_for(millis(200));
    assert_eq!(bench.state("node-b"), State::Dead);
}

#[test]
fn a_refutation_that_waited_in_the_socket_counts() {
    let mut bench = Bench::among(&FIVE);
    for voter in ["node-c", "node-d", "node-e"] {
        bench.hear(suspect("node-b", 1, voter));
    }
    bench.now += secs(60);
    bench.input(Input::Tick);
    bench.hear(alive("node-b", "10.0.0.2", 2));
    bench.run_for(secs(7));
    assert_eq!(bench.state("node-b"), State::Alive);
    assert_eq!(bench.swim.counters().deaths, 0);
}

#[test]
fn ticks_early_twice_or_slightly_late_are_harmless() {
    let mut bench = Bench::among(&FIVE);
    let before = bench.swim.counters().probes;
    for _ in 0..100 {
        bench.input(Input::Tick);
    }
    assert_eq!(bench.swim.counters().probes, before);
    for _ in 0..100 {
        let due = bench.swim.next_deadline().unwrap();
        bench.now = due + millis(400);
        bench.input(Input::Tick);
        bench.input(Input::Tick);
        bench.answer_pings();
    }
    assert_eq!(bench.swim.counters().stalls, 0);
    assert_eq!(bench.swim.counters().probes_failed, 0);
}
