//! One watcher on the bench. Clusters of them are in `tests/memberlist_sim.rs`.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::{Census, Heartbeat, INQUIRIES, Input, LOST, Output, Params, Peer, SEQ_NOS};
use crate::machine::Machine;
use crate::memberlist::wire::Name;
use crate::memberlist::wire::kin::Kin;
use crate::random::Random;

fn name(i: usize) -> Name {
    Name::new(&format!("node-{i}")).unwrap()
}

fn addr(i: usize) -> SocketAddr {
    let [.., high, low] = i.to_be_bytes();
    SocketAddr::from(([10, 0, high, low], 7946))
}

fn peer(i: usize) -> Peer {
    Peer {
        name: name(i),
        addr: addr(i),
        incarnation: 1,
        fast: true,
    }
}

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// `node-0`, and those that answer.
struct Bench {
    machine: Heartbeat,
    now: Instant,
    census: Census,
    mute: Vec<usize>,
    /// What they say who are asked.
    hears: Option<bool>,
    out: Vec<Output>,
}

impl Bench {
    #[expect(
        clippy::disallowed_methods,
        reason = "the origin of virtual time: an Instant cannot be made otherwise"
    )]
    fn among(others: usize) -> Self {
        let now = Instant::now();
        let random = Random::seeded(1);
        let mut bench = Self {
            machine: Heartbeat::new(now, name(0), Params::default(), true, random),
            now,
            census: Census {
                kin: (1..=others).map(peer).collect(),
                ..Census::default()
            },
            mute: Vec::new(),
            hears: None,
            out: Vec::new(),
        };
        bench.tell();
        bench.run_for(millis(1_500));
        bench.out.clear();
        bench
    }

    fn tell(&mut self) {
        let census = self.census.clone();
        self.input(Input::Census(census));
    }

    fn input(&mut self, input: Input) {
        self.machine.handle(self.now, input);
        while let Some(output) = self.machine.poll_output() {
            let answer = match &output {
                Output::Ping { to, seq_no, .. } => {
                    assert!(*seq_no >= SEQ_NOS);
                    let mute = self.mute.iter().any(|i| addr(*i) == *to);
                    (!mute).then_some(Input::Ack {
                        from: *to,
                        seq_no: *seq_no,
                    })
                }
                Output::Kin {
                    to,
                    message: Kin::Question { nonce, .. },
                } => self.hears.map(|heard| Input::Kin {
                    from: *to,
                    message: Kin::Answer {
                        nonce: *nonce,
                        heard,
                    },
                }),
                Output::Kin { .. } | Output::Dead { .. } | Output::Back { .. } | Output::Log(_) => {
                    None
                }
            };
            self.out.push(output);
            if let Some(answer) = answer {
                self.input(answer);
            }
        }
    }

    fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.machine.next_deadline().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.input(Input::Tick);
        }
        self.now = end;
    }

    fn dead(&self) -> Vec<Name> {
        let dead = self.out.iter().filter_map(|output| match output {
            Output::Dead { name, .. } => Some(name.clone()),
            _ => None,
        });
        dead.collect()
    }

    fn questions(&self) -> usize {
        let asks = |output: &&Output| {
            matches!(
                output,
                Output::Kin {
                    message: Kin::Question { .. },
                    ..
                }
            )
        };
        self.out.iter().filter(asks).count()
    }

    fn answers(&self) -> Vec<(SocketAddr, u64, bool)> {
        let answers = self.out.iter().filter_map(|output| match output {
            Output::Kin {
                to,
                message: Kin::Answer { nonce, heard },
            } => Some((*to, *nonce, *heard)),
            _ => None,
        });
        answers.collect()
    }
}

fn question(from: usize, nonce: u64, about: usize) -> Input {
    Input::Kin {
        from: addr(from),
        message: Kin::Question {
            nonce,
            incarnation: 1,
            name: name(about),
        },
    }
}

#[test]
fn each_is_watched_by_three_whatever_the_size() {
    for n in [2, 3, 4, 5, 20, 100] {
        let mut watchers = vec![0; n];
        for own in 0..n {
            let mut bench = Bench::among(1);
            bench.machine.own = name(own);
            bench.census.kin = (0..n).filter(|i| *i != own).map(peer).collect();
            bench.tell();
            for (watched, _) in bench.machine.watched() {
                let watched = (0..n).find(|i| name(*i) == *watched).unwrap();
                watchers[watched] += 1;
            }
        }
        assert!(
            watchers.iter().all(|count| *count == 3.min(n - 1)),
            "{watchers:?}"
        );
    }
}

#[test]
fn who_answers_is_never_doubted() {
    let mut bench = Bench::among(3);
    bench.run_for(Duration::from_secs(60));
    assert_eq!(bench.machine.counters().doubts, 0);
    assert!(bench.machine.watched().all(|(_, good)| good));
    let pings = bench.machine.counters().pings;
    assert!(
        (1_800..1_900).contains(&pings),
        "ten a second to each of three: {pings}"
    );
}

#[test]
fn silence_that_others_confirm_is_a_verdict_in_less_than_half_a_second() {
    let mut bench = Bench::among(3);
    bench.mute = vec![2];
    bench.hears = Some(false);
    bench.run_for(millis(345));
    assert_eq!(bench.dead(), []);
    bench.run_for(millis(155));
    assert_eq!(bench.dead(), [name(2)]);
}

#[test]
fn one_other_that_hears_it_allays_the_doubt() {
    let mut bench = Bench::among(3);
    bench.mute = vec![2];
    bench.hears = Some(true);
    bench.run_for(Duration::from_secs(30));
    assert_eq!(bench.dead(), []);
    // After 0.5, 1, 2, 4, 8 s and so on: two are asked each time.
    assert!(
        (8..=14).contains(&bench.questions()),
        "{}",
        bench.questions()
    );
}

#[test]
fn without_a_word_of_others_there_is_no_verdict() {
    let mut bench = Bench::among(3);
    bench.mute = vec![2];
    bench.run_for(Duration::from_secs(30));
    assert_eq!(bench.dead(), []);
    assert!(bench.questions() > 20, "asked again and again");
}

#[test]
fn when_all_fall_silent_nobody_is_condemned_or_asked() {
    let mut bench = Bench::among(3);
    bench.mute = vec![1, 2, 3];
    // The first to reach the limit may still ask those whose last answers are a moment younger, until it gives up.
    bench.run_for(millis(1_100));
    bench.out.clear();
    bench.run_for(Duration::from_secs(5));
    assert_eq!(bench.dead(), []);
    assert_eq!(bench.questions(), 0);
    assert_eq!(bench.machine.counters().late, 0);
}

#[test]
fn an_answer_to_another_question_or_from_one_who_was_not_asked_does_not_count() {
    let mut bench = Bench::among(3);
    bench.mute = vec![2];
    bench.run_for(millis(400));
    let nonce = bench.out.iter().find_map(|output| match output {
        Output::Kin {
            message: Kin::Question { nonce, .. },
            ..
        } => Some(*nonce),
        _ => None,
    });
    let nonce = nonce.unwrap();
    for (from, nonce) in [(1, nonce ^ 1), (3, nonce ^ 1), (9, nonce), (2, nonce)] {
        bench.input(Input::Kin {
            from: addr(from),
            message: Kin::Answer {
                nonce,
                heard: false,
            },
        });
    }
    bench.run_for(millis(400));
    assert_eq!(bench.dead(), []);
}

#[test]
fn an_ack_counts_once_and_only_from_the_one_pinged() {
    let mut bench = Bench::among(3);
    bench.mute = vec![2];
    bench.hears = Some(false);
    bench.run_for(millis(110));
    let seq_no = bench.out.iter().rev().find_map(|output| match output {
        Output::Ping { to, seq_no, .. } if *to == addr(2) => Some(*seq_no),
        _ => None,
    });
    let seq_no = seq_no.unwrap();
    let acks = bench.machine.counters().acks;
    for (from, seq_no) in [
        (1, seq_no),
        (2, seq_no.wrapping_sub(40)),
        (2, seq_no),
        (2, seq_no),
    ] {
        bench.input(Input::Ack {
            from: addr(from),
            seq_no,
        });
    }
    assert_eq!(bench.machine.counters().acks, acks + 1);
}

#[test]
fn two_alone_need_more_silence_and_nobodys_word() {
    let mut bench = Bench::among(1);
    bench.mute = vec![1];
    bench.run_for(millis(590));
    assert_eq!(bench.dead(), []);
    bench.run_for(millis(170));
    assert_eq!(bench.dead(), [name(1)]);
}

#[test]
fn among_go_nodes_one_other_of_our_kind_is_left_to_memberlist() {
    let mut bench = Bench::among(1);
    bench.census.strangers = 3;
    bench.tell();
    bench.mute = vec![1];
    bench.run_for(Duration::from_secs(20));
    assert_eq!(bench.dead(), []);
}

#[test]
fn who_does_not_take_part_is_not_watched_but_may_be_asked() {
    let mut bench = Bench::among(3);
    bench.census.kin[0].fast = false;
    bench.tell();
    assert!(
        bench
            .machine
            .watched()
            .all(|(watched, _)| *watched != name(1))
    );
    bench.mute = vec![2];
    bench.hears = Some(false);
    bench.run_for(millis(600));
    let asked = bench.out.iter().any(|output| {
        matches!(output, Output::Kin { to, message: Kin::Question { .. } } if *to == addr(1))
    });
    assert!(asked);
}

#[test]
fn a_path_that_is_not_known_to_be_good_gives_no_verdict() {
    let mut bench = Bench::among(3);
    bench.census.kin.push(peer(4));
    bench.census.kin.remove(0);
    bench.mute = vec![4];
    bench.hears = Some(false);
    bench.tell();
    bench.run_for(Duration::from_secs(10));
    assert_eq!(
        bench.dead(),
        [],
        "it never answered a heartbeat: UDP may be blocked"
    );
}

#[test]
fn a_late_tick_is_our_own_fault() {
    let mut bench = Bench::among(3);
    bench.mute = vec![1, 2, 3];
    bench.hears = Some(false);
    bench.run_for(millis(140));
    // Somebody else had the processor.
    bench.now += millis(900);
    bench.mute = vec![];
    bench.input(Input::Tick);
    bench.run_for(millis(900));
    assert_eq!(bench.dead(), []);
    assert_eq!(bench.machine.counters().late, 1);
    assert_eq!(bench.machine.counters().doubts, 0);
}

#[test]
fn a_newer_claim_is_a_sign_of_life() {
    let mut bench = Bench::among(3);
    bench.mute = vec![2];
    bench.hears = Some(false);
    bench.run_for(millis(300));
    bench.census.kin[1].incarnation = 2;
    bench.tell();
    bench.run_for(millis(240));
    assert_eq!(bench.dead(), []);
    bench.run_for(millis(300));
    assert_eq!(bench.dead(), [name(2)]);
}

#[test]
fn who_is_asked_pings_it_and_answers() {
    let mut bench = Bench::among(3);
    bench.input(question(1, 7, 2));
    assert_eq!(bench.answers(), [(addr(1), 7, true)]);
    bench.out.clear();
    bench.mute = vec![2];
    bench.hears = Some(true);
    bench.input(question(1, 8, 2));
    bench.input(question(3, 9, 2));
    bench.run_for(millis(149));
    assert_eq!(bench.answers(), []);
    bench.run_for(millis(2));
    assert_eq!(bench.answers(), [(addr(1), 8, false), (addr(3), 9, false)]);
}

#[test]
fn questions_of_strangers_and_about_strangers_cost_nothing() {
    let mut bench = Bench::among(3);
    bench.input(question(9, 7, 2));
    bench.input(question(1, 7, 9));
    assert!(bench.out.is_empty(), "{:?}", bench.out);
    assert_eq!(bench.machine.counters().questions_refused, 2);
    // About ourselves: we live.
    bench.input(question(1, 7, 0));
    assert_eq!(bench.answers(), [(addr(1), 7, true)]);
}

#[test]
fn questions_at_once_are_bounded() {
    let mut bench = Bench::among(INQUIRIES + 40);
    bench.mute = (2..INQUIRIES + 41).collect();
    bench.hears = Some(true);
    for about in 2..INQUIRIES + 41 {
        bench.input(question(1, 7, about));
    }
    assert_eq!(bench.machine.inquiries.len(), INQUIRIES);
    assert!(bench.machine.counters().questions_refused > 0);
    bench.run_for(millis(200));
    assert!(bench.machine.inquiries.is_empty());
}

#[test]
fn the_dead_are_asked_for_a_while_and_one_that_answers_is_told() {
    let mut bench = Bench::among(3);
    let dead = bench.census.kin.remove(1);
    bench.census.dead = vec![dead.clone()];
    bench.mute = vec![2];
    bench.tell();
    bench.census.dead.clear();
    bench.tell();
    bench.run_for(Duration::from_secs(60));
    let back = |out: &[Output]| {
        out.iter()
            .filter(|output| matches!(output, Output::Back { .. }))
            .count()
    };
    assert_eq!(back(&bench.out), 0);
    bench.mute.clear();
    bench.run_for(millis(1_600));
    assert_eq!(back(&bench.out), 1);
    // A member again: no longer lost.
    bench.census.kin.push(dead);
    bench.tell();
    assert_eq!(bench.machine.lost().count(), 0);
}

#[test]
fn the_dead_are_forgotten_and_bounded() {
    let mut bench = Bench::among(1);
    bench.census.dead = (2..LOST + 100).map(peer).collect();
    bench.mute = (2..LOST + 100).collect();
    bench.tell();
    assert_eq!(bench.machine.lost.len(), LOST);
    bench.census.dead.clear();
    bench.run_for(Duration::from_secs(602));
    assert_eq!(bench.machine.lost.len(), 0);
}

#[test]
fn who_comes_back_at_once_is_trusted_for_a_while() {
    let mut bench = Bench::among(3);
    bench.hears = Some(false);
    bench.mute = vec![2];
    bench.run_for(millis(500));
    assert_eq!(bench.dead(), [name(2)]);
    let gone = bench.census.kin.remove(1);
    bench.census.dead = vec![gone.clone()];
    bench.tell();
    bench.mute.clear();
    bench.run_for(millis(1_000));
    bench.census.dead.clear();
    bench.census.kin.push(gone);
    bench.tell();
    assert_eq!(bench.machine.counters().hasty, 1);
    bench.run_for(millis(2_000));
    bench.out.clear();
    bench.mute = vec![2];
    bench.run_for(millis(5_000));
    assert_eq!(bench.dead(), []);
    bench.run_for(millis(4_000));
    assert_eq!(bench.dead(), [name(2)]);
}

#[test]
fn turned_off_it_watches_nobody_and_answers_all() {
    let mut bench = Bench::among(3);
    bench.input(Input::Switch(false));
    assert_eq!(bench.machine.next_deadline(), None);
    bench.out.clear();
    bench.input(question(1, 7, 2));
    assert_eq!(bench.answers(), [(addr(1), 7, true)]);
    bench.input(Input::Switch(true));
    assert_eq!(bench.machine.watched().count(), 3);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn whatever_comes_it_goes_on_and_keeps_its_bounds(steps in proptest::collection::vec((0_u8..7, 0_usize..12, any::<u64>(), 0_u64..400), 1..120)) {
        let mut bench = Bench::among(4);
        for (kind, who, number, wait) in steps {
            match kind {
                0 => bench.mute = vec![who, who / 2],
                1 => bench.hears = [None, Some(false), Some(true)][who % 3],
                2 => bench.input(question(who, number, who / 2)),
                3 => bench.input(Input::Ack { from: addr(who), seq_no: u32::try_from(number >> 32).unwrap() }),
                4 => {
                    bench.census.kin = (1..=who).map(peer).collect();
                    bench.census.dead = (who + 1..12).map(peer).collect();
                    bench.census.strangers = who % 3;
                    bench.tell();
                }
                5 => bench.now += millis(wait * 10),
                _ => bench.input(Input::Switch(number % 4 != 0)),
            }
            bench.run_for(millis(wait));
            // A deadline that is past would be taken for a late tick.
            prop_assert!(bench.machine.next_deadline().is_none_or(|due| due >= bench.now));
            prop_assert!(bench.machine.watches.len() <= 3);
        }
    }
}
