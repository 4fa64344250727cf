//! Whatever comes, in whatever order, at whatever time: what must never be.

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::MAX_OWN_INCARNATION;
use super::*;
use crate::memberlist::wire::{IndirectPing, Nack, Ping};

#[derive(Debug, Clone)]
enum Step {
    Hear(Message),
    Asked(Message),
    Answered(u64, Message),
    Failed(u64),
    Wait(Duration),
    Stall(Duration),
    Peers(u8),
    Condemn(Name),
    Leave,
}

fn some_name() -> impl Strategy<Value = Name> {
    (0..6_u8).prop_map(|i| name(&format!("node-{}", char::from(b'a' + i))))
}

fn some_incarnation() -> impl Strategy<Value = u32> {
    prop_oneof![
        8 => 0..8_u32,
        1 => MAX_OWN_INCARNATION - 2..=MAX_OWN_INCARNATION + 2,
        1 => u32::MAX - 1..=u32::MAX,
    ]
}

fn some_alive() -> impl Strategy<Value = Alive> {
    (some_name(), 1..4_u8, some_incarnation(), 0..10_u8).prop_map(
        |(node, last, incarnation, odd)| {
            let mut claim = alive_claim(&node, &format!("10.0.0.{last}"), incarnation);
            if odd == 0 {
                claim.meta = vec![1, 2, 3];
            } else if odd == 1 {
                claim.port = 0;
            }
            claim
        },
    )
}

fn some_state() -> impl Strategy<Value = NodeState> {
    (some_alive(), 0..4_u64, 0..30_u8).prop_map(|(claim, state, odd)| NodeState {
        name: claim.node,
        addr: claim.addr,
        port: claim.port,
        meta: claim.meta,
        incarnation: claim.incarnation,
        state: State::from_number(state).unwrap(),
        vsn: if odd == 0 {
            Versions::from_bytes(&[1, 9, 7, 0, 0, 0]).unwrap()
        } else {
            Versions::OURS
        },
    })
}

fn some_message() -> impl Strategy<Value = Message> {
    prop_oneof![
        4 => some_alive().prop_map(Message::Alive),
        3 => (some_name(), some_incarnation(), some_name()).prop_map(|(node, incarnation, from)| {
            Message::Suspect(Suspect { incarnation, node, from })
        }),
        3 => (some_name(), some_incarnation(), some_name()).prop_map(|(node, incarnation, from)| {
            Message::Dead(Dead { incarnation, node, from })
        }),
        1 => (any::<u32>(), proptest::option::of(some_name()))
            .prop_map(|(seq_no, node)| Message::Ping(Ping { seq_no, node })),
        1 => any::<u32>().prop_map(ack),
        1 => any::<u32>().prop_map(|seq_no| Message::Nack(Nack { seq_no })),
        1 => (any::<u32>(), 1..5_u8, proptest::option::of(some_name()), any::<bool>()).prop_map(
            |(seq_no, last, node, nack)| Message::IndirectPing(IndirectPing {
                seq_no,
                target: format!("10.0.0.{last}").parse().unwrap(),
                port: 7946,
                node,
                nack,
            })
        ),
        1 => (any::<bool>(), vec(some_state(), 0..6))
            .prop_map(|(join, nodes)| push_pull(join, nodes)),
        1 => Just(Message::User(vec![0])),
        1 => Just(Message::Err("odd".to_owned())),
    ]
}

fn some_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => some_message().prop_map(Step::Hear),
        3 => some_message().prop_map(Step::Asked),
        3 => (0..20_u64, some_message()).prop_map(|(id, message)| Step::Answered(id, message)),
        1 => (0..20_u64).prop_map(Step::Failed),
        8 => (0..6_000_u64).prop_map(|ms| Step::Wait(millis(ms))),
        1 => (0..100_000_u64).prop_map(|ms| Step::Stall(millis(ms))),
        1 => any::<u8>().prop_map(Step::Peers),
        1 => some_name().prop_map(Step::Condemn),
        1 => Just(Step::Leave),
    ]
}

fn take(bench: &mut Bench, step: Step) {
    match step {
        Step::Hear(message) => bench.hear(message),
        Step::Asked(message) => bench.input(Input::StreamRequest {
            id: RequestId(1),
            from: addr("10.0.0.2"),
            message,
        }),
        Step::Answered(id, message) => bench.input(Input::StreamReply {
            id: DialId(id),
            message,
        }),
        Step::Failed(id) => bench.input(Input::StreamFailed {
            id: DialId(id),
            reason: "cut".to_owned(),
        }),
        Step::Wait(time) => bench.run_for(time),
        Step::Stall(time) => {
            bench.now += time;
            bench.input(Input::Tick);
        }
        Step::Peers(n) => bench.input(Input::Peers(
            (0..n).map(|last| addr(&format!("10.0.0.{last}"))).collect(),
        )),
        Step::Condemn(name) => bench.input(Input::Condemn(name)),
        Step::Leave => bench.input(Input::Leave),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_comes_these_hold(steps in vec(some_step(), 1..60)) {
        let mut bench = Bench::with(|params| params.max_members = 5);
        let mut members: std::collections::BTreeSet<Name> = [name("node-a")].into();
        bench.outputs.clear();
        let mut leaving = false;
        for step in steps {
            let before: Vec<Member> = bench.swim.members().cloned().collect();
            let forgetful = matches!(step, Step::Wait(_) | Step::Stall(_));
            leaving |= matches!(step, Step::Leave);
            let own_before = bench.swim.incarnation();
            take(&mut bench, step);

            // Ourselves: there, alive unless leaving, and never past the last incarnation.
            let own = bench.member("node-a").clone();
            prop_assert_eq!(own.state, if leaving { State::Left } else { State::Alive });
            prop_assert!(bench.swim.incarnation() >= own_before);
            prop_assert!(bench.swim.incarnation() <= MAX_OWN_INCARNATION);
            prop_assert!(leaving || own.incarnation == bench.swim.incarnation());
            prop_assert_eq!(own.socket_addr(), addr("10.0.0.1"));

            // Incarnations never fall, but for one that left and came back, or was forgotten.
            for old in before {
                if let Some(new) = bench.swim.member(&old.name) {
                    let reborn = old.state == State::Left || forgetful;
                    // One exchange can tell that it left and that it is back elsewhere.
                    let left = bench.events().iter()
                        .any(|event| matches!(event, Event::Left { name, .. } if *name == old.name));
                    prop_assert!(new.incarnation >= old.incarnation || reborn || left);
                    let moved = new.addr != old.addr;
                    prop_assert!(!moved || left || reborn);
                }
            }

            // Suspects and their timers are the same set; all is bounded.
            let suspects: Vec<_> = bench.swim.members()
                .filter(|member| member.state == State::Suspect).map(|member| &member.name).collect();
            prop_assert!(bench.swim.suspicions.keys().eq(suspects));
            prop_assert!(bench.swim.members().count() <= 5);
            prop_assert!(bench.swim.queued() <= 5);
            prop_assert!(bench.swim.relays.len() <= 256);
            prop_assert!(bench.swim.health() <= 7);

            // Events tell the set of members, and what is sent can be read.
            for event in bench.events() {
                match event {
                    Event::Joined { name, .. } => prop_assert!(members.insert(name)),
                    Event::Left { name, .. } => prop_assert!(members.remove(&name)),
                    Event::Updated { name } => prop_assert!(members.contains(&name)),
                }
            }
            prop_assert!(bench.swim.active().eq(members.iter()));
            bench.sent();
            bench.outputs.clear();

            // Nothing is left undone.
            prop_assert!(bench.swim.next_deadline().is_none_or(|due| due >= bench.swim.now));
        }
    }
}
