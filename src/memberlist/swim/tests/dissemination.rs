//! The gossip queue, the rounds of gossip, and leaving.

use super::super::Departure;
use super::super::broadcasts::Broadcasts;
use super::*;

/// A claim about `node` whose encoding has that many bytes more than the shortest.
fn claim(node: &str, longer: usize) -> Message {
    suspect(node, 1, &format!("f{}", "x".repeat(longer)))
}

fn length(message: &Message) -> usize {
    let mut bytes = Vec::new();
    crate::memberlist::wire::encode_message(message, &mut bytes);
    bytes.len()
}

fn picked(queue: &mut Broadcasts, budget: usize, limit: u32) -> Vec<Vec<u8>> {
    let picked = queue.pick(budget, limit, 0);
    picked.iter().map(|bytes| bytes.to_vec()).collect()
}

fn bytes(message: &Message) -> Vec<u8> {
    let mut bytes = Vec::new();
    crate::memberlist::wire::encode_message(message, &mut bytes);
    bytes
}

#[test]
fn the_least_sent_goes_first_then_the_longest_then_the_newest() {
    let mut queue = Broadcasts::new(100);
    let (old, short, new, long) = (claim("a", 1), claim("b", 0), claim("c", 1), claim("d", 2));
    for (node, message) in [("a", &old), ("b", &short), ("c", &new), ("d", &long)] {
        queue.push(&name(node), message);
    }
    let order = [&long, &new, &old, &short].map(bytes);
    assert_eq!(picked(&mut queue, 1400, 9), order);
    let newest = claim("e", 0);
    queue.push(&name("e"), &newest);
    let one = length(&newest) + 2;
    assert_eq!(
        picked(&mut queue, one, 9),
        [bytes(&newest)],
        "the others were sent once"
    );
}

#[test]
fn a_packet_takes_what_fits_and_nothing_twice() {
    let mut queue = Broadcasts::new(100);
    let (short, long) = (claim("a", 0), claim("b", 10));
    queue.push(&name("a"), &short);
    queue.push(&name("b"), &long);
    assert!(picked(&mut queue, length(&short) + 1, 9).is_empty());
    assert_eq!(picked(&mut queue, length(&short) + 2, 9), [bytes(&short)]);
    assert_eq!(picked(&mut queue, 1400, 9).len(), 2);
    assert!(picked(&mut queue, 0, 9).is_empty());
}

#[test]
fn a_claim_is_forgotten_when_it_was_sent_often_enough_and_replaced_by_a_newer_one() {
    let mut queue = Broadcasts::new(100);
    queue.push(&name("a"), &claim("a", 0));
    queue.push(&name("a"), &claim("a", 1));
    assert_eq!(queue.len(), 1);
    for _ in 0..4 {
        assert_eq!(picked(&mut queue, 1400, 4), [bytes(&claim("a", 1))]);
    }
    assert!(queue.is_empty());
    assert!(!queue.contains(&name("a")));
}

#[test]
fn the_queue_is_bounded_and_a_packet_too() {
    let mut queue = Broadcasts::new(500);
    for i in 0..2_000 {
        let node = format!("n{i}");
        queue.push(&name(&node), &claim(&node, 0));
    }
    assert_eq!(queue.len(), 500);
    assert_eq!(picked(&mut queue, 1 << 20, 4).len(), 127);
}

#[test]
fn each_claim_is_gossiped_as_often_as_the_limit_says() {
    let mut bench = Bench::among(&["node-b", "node-c", "node-d", "node-e", "node-f"]);
    bench.hear(alive("node-g", "10.0.0.7", 1));
    let mut times = 0;
    for _ in 0..100 {
        bench.run_for(millis(50));
        times += bench
            .sent_messages()
            .iter()
            .filter(|message| **message == alive("node-g", "10.0.0.7", 1))
            .count();
        bench.answer_pings();
        bench.outputs.clear();
    }
    assert_eq!(times, 4, "4 · log10(8), rounded up");
}

#[test]
fn the_dead_hear_of_it_for_a_while_and_those_that_left_nothing() {
    let told = |how: &Message, after: Duration| {
        let mut bench = Bench::among(&["node-b", "node-c"]);
        bench.hear(how.clone());
        bench.hear(dead("node-c", 1, "node-c"));
        // Nobody is left to be probed; only gossip goes out.
        bench.run_for(after);
        bench.outputs.clear();
        for i in 0..20 {
            bench.hear(alive("node-d", "10.0.0.4", 2 + i));
            bench.hear(dead("node-d", 2 + i, "node-d"));
            bench.run_for(millis(250));
        }
        bench.sent().iter().any(|(to, _)| *to == addr("10.0.0.2"))
    };
    assert!(told(&dead("node-b", 1, "node-c"), secs(1)));
    assert!(!told(&dead("node-b", 1, "node-c"), secs(31)));
    assert!(!told(&dead("node-b", 1, "node-b"), secs(1)));
}

#[test]
fn packets_keep_to_the_budget() {
    let mut bench = Bench::with(|params| params.encrypted = true);
    for i in 0..250_u32 {
        let node = format!("node-with-a-long-name-{i}");
        bench.hear(alive(&node, &format!("10.1.0.{i}"), 1));
    }
    for i in 0..50 {
        let ping = crate::memberlist::wire::Ping {
            seq_no: i,
            node: None,
        };
        bench.hear(Message::Ping(ping));
    }
    bench.run_for(secs(1));
    let mut fullest = 0;
    for output in &bench.outputs {
        if let Output::Send(packet) = output {
            let parts: usize = packet.parts.iter().map(|part| part.len() + 2).sum();
            assert!(parts + 2 + 29 <= 1402, "{parts}");
            assert!(packet.parts.len() <= 127);
            fullest = fullest.max(parts);
        }
    }
    assert!(fullest > 1200, "and use it");
}

#[test]
fn leaving_is_told_to_all_at_once() {
    let mut bench = Bench::among(&["node-b", "node-c", "node-d", "node-e", "node-f"]);
    bench.input(Input::Leave);
    let told: std::collections::BTreeSet<_> = bench
        .sent()
        .into_iter()
        .filter(|(_, all)| all.contains(&dead("node-a", 1, "node-a")))
        .map(|(to, _)| to)
        .collect();
    assert_eq!(told.len(), 5);
    let left = Event::Left {
        name: name("node-a"),
        how: Departure::Left,
    };
    assert_eq!(bench.events(), [left]);
    assert!(!bench.outputs.contains(&Output::LeaveDone));
    bench.run_for(millis(999));
    let done = bench
        .outputs
        .iter()
        .filter(|output| **output == Output::LeaveDone);
    assert_eq!(done.count(), 1, "told as often as any news");
}

#[test]
fn leaving_alone_is_over_at_once() {
    let mut bench = Bench::new();
    bench.input(Input::Leave);
    assert!(bench.outputs.contains(&Output::LeaveDone));
    assert_eq!(bench.swim.next_deadline(), Some(bench.swim.gossip_at));
}

#[test]
fn leaving_takes_a_second_at_most() {
    // Gossip so rare that the queue is not emptied.
    let mut bench = Bench::among(&["node-b"]);
    bench.swim.params.gossip_interval = secs(60);
    bench.input(Input::Leave);
    bench.run_for(millis(999));
    assert!(!bench.outputs.contains(&Output::LeaveDone));
    bench.run_for(millis(1));
    assert!(bench.outputs.contains(&Output::LeaveDone));
    bench.outputs.clear();
    bench.input(Input::Leave);
    assert!(!bench.outputs.contains(&Output::LeaveDone), "once");
}

#[test]
fn one_that_leaves_refutes_nothing_and_stays_gone() {
    let mut bench = Bench::among(&["node-b"]);
    bench.input(Input::Leave);
    bench.hear(suspect("node-a", 9, "node-b"));
    bench.hear(dead("node-a", 9, "node-b"));
    bench.hear(alive("node-a", "10.0.0.1", 9));
    assert_eq!(bench.state("node-a"), State::Left);
    assert_eq!(bench.swim.incarnation(), 1);
}

#[test]
fn one_that_leaves_still_answers() {
    let mut bench = Bench::among(&["node-b"]);
    bench.input(Input::Leave);
    bench.run_for(secs(2));
    let Some(Message::PushPull(ours)) = request(&mut bench, push_pull(false, vec![])) else {
        panic!("no state");
    };
    assert!(
        ours.nodes
            .contains(&entry("node-a", "10.0.0.1", 1, State::Left))
    );
    bench.outputs.clear();
    let ping = crate::memberlist::wire::Ping {
        seq_no: 5,
        node: Some(name("node-a")),
    };
    bench.hear(Message::Ping(ping));
    assert!(bench.sent_messages().contains(&ack(5)));
}

#[test]
fn news_of_a_death_does_not_wait_for_the_next_round() {
    let mut bench = Bench::among(&["node-b", "node-c", "node-d"]);
    bench.hear(dead("node-b", 1, "node-c"));
    bench.run_for(millis(20));
    assert!(bench.sent_messages().contains(&dead("node-b", 1, "node-c")));
}
