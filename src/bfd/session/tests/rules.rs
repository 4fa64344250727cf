//! One session against the sentences of RFC 5880, RFC 5881 and RFC 5883.

use proptest::prelude::*;

use super::*;
use crate::bfd::wire::Way;

/// A session in a state, by the shortest way.
fn in_state(state: State) -> Lone {
    let mut lone = Lone::new(fast());
    match state {
        State::Down => {}
        State::Init => {
            lone.hear_state(State::Down);
        }
        State::Up => lone.become_up(),
        State::AdminDown => {
            lone.become_up();
            lone.handle(Input::Stop);
        }
    }
    assert_eq!(lone.session.state(), state);
    lone
}

#[test]
fn each_state_meets_each_received_state_as_rfc_5880_6_8_6_says() {
    use State::{AdminDown, Down, Init, Up};
    let neighbor = Diagnostic::NEIGHBOR_SIGNALED_SESSION_DOWN;
    let none = Diagnostic::NONE;
    let admin = Diagnostic::ADMINISTRATIVELY_DOWN;
    let fell = |reason| Some(Output::Down(reason));
    for (state, received, want, diagnostic, told) in [
        (Down, AdminDown, Down, none, None),
        (Down, Down, Init, none, None),
        (Down, Init, Up, none, Some(Output::Up)),
        (Down, Up, Down, none, None),
        (Init, AdminDown, Down, neighbor, None),
        (Init, Down, Init, none, None),
        (Init, Init, Up, none, Some(Output::Up)),
        (Init, Up, Up, none, Some(Output::Up)),
        (
            Up,
            AdminDown,
            Down,
            neighbor,
            fell(Reason::NeighborAdminDown),
        ),
        (
            Up,
            Down,
            Down,
            neighbor,
            fell(Reason::NeighborDown(Diagnostic::NONE)),
        ),
        (Up, Init, Up, none, None),
        (Up, Up, Up, none, None),
        (
            AdminDown,
            AdminDown,
            AdminDown,
            admin,
            Some(Output::Dropped(Drop::AdminDown)),
        ),
        (
            AdminDown,
            Down,
            AdminDown,
            admin,
            Some(Output::Dropped(Drop::AdminDown)),
        ),
        (
            AdminDown,
            Init,
            AdminDown,
            admin,
            Some(Output::Dropped(Drop::AdminDown)),
        ),
        (
            AdminDown,
            Up,
            AdminDown,
            admin,
            Some(Output::Dropped(Drop::AdminDown)),
        ),
    ] {
        let mut lone = in_state(state);
        let mut outputs = lone.hear_state(received);
        let case = format!("{state} hears {received}: {outputs:?}");
        assert_eq!(lone.session.state(), want, "{case}");
        assert_eq!(lone.session.diagnostic, diagnostic, "{case}");
        let changed = state != want;
        assert_eq!(
            sent(&outputs).len(),
            usize::from(changed),
            "a change of state is told at once, and nothing else is: {case}"
        );
        for packet in sent(&outputs) {
            assert_eq!((packet.state, packet.diagnostic), (want, diagnostic));
            assert_eq!(packet.your_discriminator, Some(number(9)));
        }
        outputs.retain(|o| !matches!(o, Output::Transmit(_) | Output::Ended));
        assert_eq!(outputs, Vec::from_iter(told), "{case}");
    }
}

#[test]
fn each_state_meets_silence_a_stop_and_new_parameters() {
    for (state, want) in [
        (State::Down, State::Down),
        (State::Init, State::Down),
        (State::Up, State::Down),
        (State::AdminDown, State::AdminDown),
    ] {
        let mut lone = in_state(state);
        let outputs = lone.pass(ms(5000));
        assert_eq!(lone.session.state(), want);
        let fell: Vec<_> = outputs
            .iter()
            .filter(|(_, o)| matches!(o, Output::Down(_)))
            .map(|(_, o)| *o)
            .collect();
        let told = Output::Down(Reason::DetectionTimeExpired);
        assert_eq!(fell, Vec::from_iter((state == State::Up).then_some(told)));
        if want != state {
            assert_eq!(
                lone.session.diagnostic,
                Diagnostic::CONTROL_DETECTION_TIME_EXPIRED
            );
        }

        let mut lone = in_state(state);
        lone.handle(Input::Stop);
        assert_eq!(lone.session.state(), State::AdminDown);
        assert!(!lone.handle(Input::Stop).contains(&Output::Ended) || state == State::AdminDown);

        let mut lone = in_state(state);
        lone.handle(Input::Params(Params::default()));
        let kept = if state == State::AdminDown {
            State::Down
        } else {
            state
        };
        assert_eq!(lone.session.state(), kept, "parameters do not disturb");
    }
}

#[test]
fn over_one_hop_only_what_no_router_has_passed_on_counts() {
    let mut lone = Lone::new(fast());
    for ttl in [0, 1, 64, 254] {
        assert_eq!(lone.hear_with(ttl), [Output::Dropped(Drop::TimeToLive)]);
    }
    assert_eq!(lone.session.state(), State::Down);
    lone.hear_with(255);
    assert_eq!(lone.session.state(), State::Init);
}

#[test]
fn over_several_hops_the_profile_says_how_many() {
    let params = Params {
        minimum_ttl: 250,
        ..fast()
    };
    let mut lone = Lone::over(params, true);
    assert_eq!(lone.hear_with(249), [Output::Dropped(Drop::TimeToLive)]);
    lone.hear_with(250);
    assert_eq!(lone.session.state(), State::Init);
}

#[test]
fn a_packet_for_another_session_changes_nothing() {
    let mut lone = Lone::up(fast());
    lone.says.your_discriminator = Some(number(8));
    assert_eq!(
        lone.hear_state(State::Down),
        [Output::Dropped(Drop::Discriminator)]
    );
    assert_eq!(lone.session.state(), State::Up);
}

#[test]
fn until_it_is_up_a_packet_leaves_once_a_second_at_most() {
    let mut lone = Lone::new(fast());
    let packets = packets(&lone.pass(ms(60_000)));
    assert!((60..=81).contains(&packets.len()), "{}", packets.len());
    for pair in packets.windows(2) {
        let gap = pair[1].0 - pair[0].0;
        assert!((ms(750)..=ms(1000)).contains(&gap), "{gap:?}");
        assert_eq!(pair[0].1.desired_min_tx_interval, ms(1000));
        assert_eq!(pair[0].1.required_min_rx_interval, ms(50));
        assert_eq!(pair[0].1.your_discriminator, None);
        assert!(!pair[0].1.poll);
    }
}

#[test]
fn intervals_are_jittered_as_rfc_5880_6_8_7_says() {
    for (detect_multiplier, range) in [
        (3, ms(75)..=ms(100)),
        (2, ms(75)..=ms(100)),
        (1, ms(75)..=ms(90)),
    ] {
        let mut lone = Lone::new(Params {
            transmit_interval: ms(100),
            detect_multiplier,
            ..fast()
        });
        lone.become_up();
        let packets = packets(&lone.pass_hearing(ms(60_000)));
        let gaps: Vec<_> = packets.windows(2).map(|p| p[1].0 - p[0].0).collect();
        assert!(gaps.iter().all(|gap| range.contains(gap)));
        let (least, most) = (gaps.iter().min().unwrap(), gaps.iter().max().unwrap());
        let spread = *range.end() - *range.start();
        assert!(
            *most - *least > spread * 9 / 10,
            "the whole range is used: {least:?} to {most:?}"
        );
    }
}

#[test]
fn nothing_is_sent_faster_than_the_peer_takes_it() {
    let mut lone = Lone::up(fast());
    lone.says.required_min_rx_interval = ms(400);
    let packets = packets(&lone.pass_hearing(ms(10_000)));
    // The first was due already.
    for pair in packets.windows(2).skip(1) {
        assert!(pair[1].0 - pair[0].0 >= ms(300));
    }
    assert!(packets.len() > 20);
}

#[test]
fn a_peer_that_takes_packets_faster_again_gets_them_at_once() {
    let mut lone = Lone::up(fast());
    lone.says.required_min_rx_interval = ms(60_000);
    lone.says.desired_min_tx_interval = ms(60_000);
    lone.hear();
    assert!(packets(&lone.pass(ms(10_000))).len() <= 1);
    // RFC 5880 §6.8.3: the local system MUST honor the new interval immediately.
    lone.says.required_min_rx_interval = ms(50);
    lone.hear();
    assert_eq!(
        lone.session.next_deadline().unwrap().max(lone.now),
        lone.now
    );
    assert_eq!(packets(&lone.pass(ms(1))).len(), 1);
}

#[test]
fn a_peer_that_takes_none_gets_none_but_answers() {
    let mut lone = Lone::up(fast());
    lone.says.required_min_rx_interval = Duration::ZERO;
    assert_eq!(packets(&lone.pass_hearing(ms(5000))), []);
    lone.says.poll = true;
    let answers = sent(&lone.hear());
    assert_eq!(answers.len(), 1);
    assert!(answers[0].final_ && !answers[0].poll);
}

#[test]
fn a_poll_is_answered_at_once_in_every_state_but_admin_down() {
    for (state, answers) in [
        (State::Down, 1),
        (State::Init, 1),
        (State::Up, 1),
        (State::AdminDown, 0),
    ] {
        let mut lone = in_state(state);
        lone.says.state = match state {
            // What changes nothing.
            State::Down => State::Up,
            State::Init => State::Down,
            State::Up | State::AdminDown => State::Up,
        };
        lone.says.poll = true;
        let before = lone.session.transmit_at;
        let sent = sent(&lone.hear());
        assert_eq!(sent.len(), answers, "{state}");
        assert!(sent.iter().all(|packet| packet.final_ && !packet.poll));
        assert_eq!(
            lone.session.transmit_at, before,
            "the answer is no periodic packet"
        );
    }
}

#[test]
fn the_detection_time_is_the_peers_multiplier_times_the_slower_wish() {
    for (ours, theirs, multiplier, want) in [
        (50, 50, 3, 150),
        (50, 200, 3, 600),
        (300, 200, 5, 1500),
        (300, 300, 255, 76_500),
    ] {
        let mut lone = Lone::new(Params {
            receive_interval: ms(ours),
            detect_multiplier: 50,
            ..fast()
        });
        lone.says.desired_min_tx_interval = ms(theirs);
        lone.says.detect_multiplier = multiplier;
        lone.become_up();
        assert_eq!(lone.session.detection_time(), Some(ms(want)));
        let start = lone.now;
        let outputs = lone.pass(ms(100_000));
        let fell = outputs
            .iter()
            .find(|(_, o)| *o == Output::Down(Reason::DetectionTimeExpired))
            .unwrap();
        assert_eq!(fell.0 - start, ms(want));
    }
}

#[test]
fn a_peer_that_is_silent_for_the_detection_time_is_forgotten() {
    // RFC 5880 §6.8.1: bfd.RemoteDiscr MUST be set to zero. In Down: a passive session is silent again.
    let mut lone = Lone::new(Params {
        passive_mode: true,
        ..fast()
    });
    assert_eq!(lone.pass(ms(10_000)), []);
    // A peer that believes in a session of before.
    lone.hear_state(State::Up);
    assert_eq!(lone.session.state(), State::Down);
    let packets = packets(&lone.pass(ms(10_000)));
    assert!(!packets.is_empty() && packets.len() <= 2, "{packets:?}");
    assert_eq!(packets[0].1.your_discriminator, Some(number(9)));
    assert_eq!(lone.session.remote, Remote::UNKNOWN);
}

#[test]
fn a_passive_session_speaks_when_it_is_spoken_to() {
    let mut lone = Lone::new(Params {
        passive_mode: true,
        ..fast()
    });
    assert_eq!(lone.session.next_deadline(), None);
    let sent = sent(&lone.hear_state(State::Down));
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].state, State::Init);
    assert!(lone.hear_state(State::Init).contains(&Output::Up));
    // Lost: RemoteDiscr is zero, and it is silent again.
    let outputs = lone.pass(ms(60_000));
    let down = outputs
        .iter()
        .find(|(_, o)| matches!(o, Output::Down(_)))
        .unwrap();
    assert!(packets(&outputs).iter().all(|(at, _)| *at <= down.0));
}

#[test]
fn other_intervals_while_up_are_polled_for_and_in_force_after_the_final() {
    let mut lone = Lone::up(fast());
    lone.handle(Input::Params(Params {
        transmit_interval: ms(500),
        receive_interval: ms(20),
        ..fast()
    }));
    let outputs = packets(&lone.pass_hearing(ms(1000)));
    assert!(outputs.len() > 15, "still at the old pace");
    for (_, packet) in &outputs {
        assert!(packet.poll && !packet.final_);
        assert_eq!(packet.desired_min_tx_interval, ms(500));
        assert_eq!(packet.required_min_rx_interval, ms(20));
    }
    assert_eq!(lone.session.polls.in_force.required_min_rx, ms(50));
    lone.says.desired_min_tx_interval = ms(10);
    lone.hear();
    assert_eq!(
        lone.session.detection_time(),
        Some(ms(150)),
        "the old Required Min RX counts until the Final"
    );
    lone.says.final_ = true;
    lone.hear();
    lone.says.final_ = false;
    assert_eq!(lone.session.detection_time(), Some(ms(60)));
    let outputs = packets(&lone.pass_hearing(ms(5000)));
    assert!((9..=15).contains(&outputs.len()), "{}", outputs.len());
    assert!(outputs.iter().all(|(_, packet)| !packet.poll));
}

#[test]
fn intervals_that_make_nobody_wait_are_in_force_at_once() {
    let mut lone = Lone::up(Params {
        transmit_interval: ms(500),
        receive_interval: ms(50),
        ..fast()
    });
    // A shorter interval to send, a longer one to receive.
    lone.handle(Input::Params(Params {
        transmit_interval: ms(50),
        receive_interval: ms(300),
        ..fast()
    }));
    assert_eq!(lone.session.detection_time(), Some(ms(900)));
    assert!(packets(&lone.pass_hearing(ms(1000))).len() > 15);
}

#[test]
fn a_second_change_waits_for_a_packet_without_final() {
    let change = |lone: &mut Lone, millis| {
        lone.handle(Input::Params(Params {
            receive_interval: ms(millis),
            ..fast()
        }));
    };
    let advertised = |lone: &mut Lone| {
        let (_, packet) = packets(&lone.pass_hearing(ms(100)))[0];
        (packet.required_min_rx_interval, packet.poll)
    };
    let mut lone = Lone::up(fast());
    change(&mut lone, 100);
    change(&mut lone, 200);
    assert_eq!(advertised(&mut lone), (ms(100), true));
    lone.says.final_ = true;
    assert_eq!(advertised(&mut lone), (ms(100), false));
    lone.says.final_ = false;
    assert_eq!(advertised(&mut lone), (ms(200), true));
    // A Final that nobody asked for ends nothing more than a sequence does.
    lone.says.final_ = true;
    assert_eq!(advertised(&mut lone), (ms(200), false));
    assert_eq!(advertised(&mut lone), (ms(200), false));
}

#[test]
fn a_peer_in_demand_mode_is_left_in_peace_while_both_are_up() {
    let mut lone = Lone::up(fast());
    lone.says.demand = true;
    assert_eq!(packets(&lone.pass_hearing(ms(5000))), []);
    // RFC 5880 §6.8.7: polls are answered without regard to Demand mode.
    lone.says.poll = true;
    assert_eq!(sent(&lone.hear()).len(), 1);
    lone.says.poll = false;
    // Our own Poll Sequence is sent, until it is answered.
    lone.handle(Input::Params(Params {
        receive_interval: ms(100),
        ..fast()
    }));
    let outputs = packets(&lone.pass_hearing(ms(500)));
    assert!(outputs.len() > 5 && outputs.iter().all(|(_, packet)| packet.poll));
    lone.says.final_ = true;
    lone.hear();
    lone.says.final_ = false;
    assert_eq!(packets(&lone.pass_hearing(ms(5000))), []);
    // Demand mode ends, and so does the silence.
    lone.says.demand = false;
    assert!(packets(&lone.pass_hearing(ms(1000))).len() > 10);
    // It is in force only while both are Up.
    lone.says.demand = true;
    lone.hear_state(State::Down);
    assert!(!packets(&lone.pass_hearing(ms(3000))).is_empty());
}

#[test]
fn a_late_tick_gives_the_peer_one_interval_more_and_only_one() {
    let mut lone = Lone::up(fast());
    let heard = lone.now;
    // 150 ms are over, and 200 more: a machine that was paused.
    lone.now = heard + ms(350);
    let outputs = lone.handle(Input::Tick);
    assert!(outputs.contains(&Output::Late(ms(200))), "{outputs:?}");
    assert_eq!(lone.session.state(), State::Up);
    // Then nothing came either.
    let outputs = lone.pass(ms(60));
    let fell = outputs
        .iter()
        .find(|(_, o)| matches!(o, Output::Down(_)))
        .unwrap();
    assert_eq!(fell.0 - heard, ms(400));
    assert_eq!(fell.1, Output::Down(Reason::DetectionTimeExpired));

    // Not even the second Tick may be late.
    let mut lone = Lone::up(fast());
    lone.now += ms(350);
    lone.handle(Input::Tick);
    lone.now += ms(1000);
    assert!(
        lone.handle(Input::Tick)
            .contains(&Output::Down(Reason::DetectionTimeExpired))
    );

    // A packet makes good for it.
    let mut lone = Lone::up(fast());
    for _ in 0..5 {
        lone.now += ms(350);
        lone.handle(Input::Tick);
        assert_eq!(lone.session.state(), State::Up);
        lone.hear();
    }
}

#[test]
fn a_late_tick_is_followed_by_a_later_one_also_where_both_ends_ask_for_no_time() {
    let mut lone = Lone::new(Params {
        receive_interval: Duration::ZERO,
        ..Params::default()
    });
    lone.says.desired_min_tx_interval = Duration::ZERO;
    lone.hear_with(255);
    lone.now += Duration::from_micros(1);
    lone.handle(Input::Tick);
    let next = lone.session.next_deadline().unwrap();
    assert!(next > lone.now, "{:?}", lone.now - next);
}

#[test]
fn a_tick_that_is_hardly_late_gives_nothing() {
    let mut lone = Lone::up(fast());
    lone.now += ms(150 + 75);
    assert!(
        lone.handle(Input::Tick)
            .contains(&Output::Down(Reason::DetectionTimeExpired))
    );
}

#[test]
fn packets_that_waited_are_heard_before_time_is_called() {
    let mut lone = Lone::up(fast());
    for _ in 0..10 {
        lone.now += ms(400);
        assert_eq!(lone.hear(), []);
        assert!(
            !lone
                .handle(Input::Tick)
                .iter()
                .any(|o| matches!(o, Output::Down(_) | Output::Late(_)))
        );
    }
}

#[test]
fn admin_down_is_told_three_times_unless_the_peer_takes_note() {
    let mut lone = Lone::up(fast());
    let mut outputs: Vec<_> = lone
        .handle(Input::Stop)
        .into_iter()
        .map(|o| (lone.now, o))
        .collect();
    outputs.extend(lone.pass(ms(60_000)));
    let told = packets(&outputs);
    assert_eq!(told.len(), 3);
    for (_, packet) in &told {
        assert_eq!(packet.state, State::AdminDown);
        assert_eq!(packet.diagnostic, Diagnostic::ADMINISTRATIVELY_DOWN);
        assert_eq!(packet.your_discriminator, Some(number(9)));
    }
    assert_eq!(told[2].0 - told[0].0, ms(100));
    assert_eq!(
        outputs.iter().filter(|(_, o)| *o == Output::Ended).count(),
        1
    );
    assert!(!outputs.iter().any(|(_, o)| matches!(o, Output::Down(_))));
    assert_eq!(lone.session.next_deadline(), None);

    let mut lone = Lone::up(fast());
    lone.handle(Input::Stop);
    lone.pass(ms(10));
    assert_eq!(
        lone.hear_state(State::Down),
        [Output::Ended, Output::Dropped(Drop::AdminDown)]
    );
    assert_eq!(lone.pass(ms(60_000)), []);
}

#[test]
fn nobody_waits_long_for_a_slow_peer_to_take_note() {
    let mut lone = Lone::up(Params {
        transmit_interval: ms(60_000),
        ..fast()
    });
    let outputs = lone.handle(Input::Stop);
    assert_eq!(sent(&outputs).len(), 1);
    assert_eq!(outputs.last(), Some(&Output::Ended));
    // Where nobody was heard there is nobody to tell more than once; a passive session is silent.
    let outputs = Lone::new(fast()).handle(Input::Stop);
    assert_eq!((sent(&outputs).len(), outputs.len()), (1, 2));
    let passive = Params {
        passive_mode: true,
        ..fast()
    };
    assert_eq!(Lone::new(passive).handle(Input::Stop), [Output::Ended]);
}

#[test]
fn a_session_that_is_wanted_again_begins_again() {
    let mut lone = Lone::up(fast());
    lone.handle(Input::Stop);
    lone.hear_state(State::Down);
    lone.handle(Input::Params(fast()));
    assert_eq!(lone.session.state(), State::Down);
    assert_eq!(packets(&lone.pass(ms(1))).len(), 1);
    assert_eq!(sent(&lone.hear_state(State::Down))[0].state, State::Init);
    assert!(lone.hear_state(State::Init).contains(&Output::Up));
}

// -- echo

const EVERY_WAY: Paths = Paths {
    forwarded: true,
    returned: true,
    loops: true,
};

fn echoing() -> Params {
    Params {
        echo_mode: true,
        ..fast()
    }
}

fn echoes(outputs: &[(Instant, Output)]) -> Vec<(Instant, Echo)> {
    outputs
        .iter()
        .filter_map(|(at, output)| match output {
            Output::Echo(echo) => Some((*at, *echo)),
            _ => None,
        })
        .collect()
}

/// Up, and echoes on the way that `works` come back at once, for a second.
fn echoing_over(works: Way) -> Lone {
    let mut lone = Lone::new(echoing());
    lone.handle(Input::Paths(EVERY_WAY));
    lone.says.required_min_echo_rx_interval = ms(20);
    lone.become_up();
    lone.loop_back(ms(1000), |echo| echo.way == works);
    lone
}

impl Lone {
    /// Time passes; the peer speaks as often as we want, answers polls, and echoes that `comes_back` come back.
    fn loop_back(
        &mut self,
        time: Duration,
        comes_back: impl Fn(&Echo) -> bool,
    ) -> Vec<(Instant, Output)> {
        let end = self.now + time;
        let mut outputs = Vec::new();
        let mut spoke = self.now - ms(60_000);
        while self.now < end {
            let now = self.now;
            let mut some = Vec::new();
            let wanted = self.session.polls.advertised.required_min_rx;
            if now - spoke >= wanted.mul_f32(0.8) {
                some.extend(self.hear());
                spoke = now;
            }
            some.extend(self.handle(Input::Tick));
            let mut answered = false;
            let mut at = 0;
            while let Some(output) = some.get(at).copied() {
                at += 1;
                match output {
                    Output::Echo(echo) if comes_back(&echo) => {
                        some.extend(self.handle(Input::Echo(echo)));
                    }
                    Output::Transmit(control) if control.poll && !answered => {
                        answered = true;
                        self.says.final_ = true;
                        some.extend(self.hear());
                        self.says.final_ = false;
                    }
                    _ => {}
                }
            }
            outputs.extend(some.into_iter().map(|o| (now, o)));
            self.now += ms(1);
        }
        outputs
    }
}

#[test]
fn echoes_find_the_way_that_works_and_then_control_packets_are_asked_for_seldom() {
    for works in [Way::Forwarded, Way::Returned] {
        let mut lone = echoing_over(works);
        assert!(lone.session.echo_is_active());
        let outputs = lone.loop_back(ms(5000), |echo| echo.way == works);
        let echoes = echoes(&outputs);
        assert!(echoes.iter().all(|(_, echo)| echo.way == works));
        for pair in echoes.windows(2) {
            let gap = pair[1].0 - pair[0].0;
            // 1 ms: the grain of this test.
            assert!((ms(37)..=ms(51)).contains(&gap), "{gap:?}");
            assert_eq!(pair[1].1.sequence, pair[0].1.sequence + 1);
        }
        for (_, packet) in packets(&outputs) {
            assert_eq!(packet.required_min_rx_interval, ms(1000));
            assert_eq!(packet.required_min_echo_rx_interval, ms(50));
            assert_eq!(
                packet.desired_min_tx_interval,
                ms(50),
                "the peer may need them"
            );
        }
        assert!(
            !outputs
                .iter()
                .any(|(_, o)| matches!(o, Output::Down(_) | Output::EchoUnanswered))
        );
    }
}

#[test]
fn echoes_that_do_not_come_back_any_more_are_a_failure() {
    let mut lone = echoing_over(Way::Forwarded);
    let cut = lone.now;
    let outputs = lone.loop_back(ms(1000), |_| false);
    let fell = outputs
        .iter()
        .find(|(_, o)| matches!(o, Output::Down(_)))
        .unwrap();
    assert_eq!(fell.1, Output::Down(Reason::EchoFunctionFailed));
    assert!((ms(95)..=ms(151)).contains(&(fell.0 - cut)));
    let told = packets(&outputs)
        .into_iter()
        .find(|(_, packet)| packet.state == State::Down)
        .unwrap()
        .1;
    assert_eq!(told.diagnostic, Diagnostic::ECHO_FUNCTION_FAILED);
    assert!(
        echoes(&outputs).iter().all(|(at, _)| *at <= fell.0),
        "RFC 5880 §6.8.9: no echoes unless Up"
    );
}

#[test]
fn a_promise_to_loop_that_was_never_kept_is_no_failure_and_is_said_once() {
    let mut lone = Lone::new(echoing());
    lone.handle(Input::Paths(EVERY_WAY));
    lone.says.required_min_echo_rx_interval = ms(20);
    lone.become_up();
    let outputs = lone.loop_back(ms(60_000), |_| false);
    assert_eq!(lone.session.state(), State::Up);
    assert!(!lone.session.echo_is_active());
    let said = outputs
        .iter()
        .filter(|(_, o)| *o == Output::EchoUnanswered)
        .count();
    assert_eq!(said, 1);
    let ways: std::collections::HashSet<Way> =
        echoes(&outputs).iter().map(|(_, echo)| echo.way).collect();
    assert_eq!(ways.len(), 2, "both are tried");
    assert!(
        packets(&outputs)
            .iter()
            .all(|(_, packet)| packet.required_min_rx_interval == ms(50))
    );
}

#[test]
fn echoes_go_no_faster_than_the_peer_loops_them_and_not_at_all_if_it_does_not() {
    let mut lone = echoing_over(Way::Forwarded);
    lone.says.required_min_echo_rx_interval = ms(400);
    lone.hear();
    let sent = echoes(&lone.loop_back(ms(10_000), |_| true));
    for pair in sent.windows(2).skip(1) {
        assert!(pair[1].0 - pair[0].0 >= ms(300));
    }
    lone.says.required_min_echo_rx_interval = Duration::ZERO;
    lone.hear();
    let outputs = lone.loop_back(ms(3000), |_| true);
    assert_eq!(echoes(&outputs), []);
    assert_eq!(lone.session.state(), State::Up);
    // Control packets watch again, at the full rate once that is confirmed.
    assert_eq!(lone.session.detection_time(), Some(ms(150)));
}

#[test]
fn no_echo_is_promised_or_sent_where_it_is_not_wanted_or_does_not_work() {
    for (params, multihop, paths, promises, sends) in [
        (fast(), false, EVERY_WAY, false, false),
        (echoing(), true, EVERY_WAY, false, false),
        (echoing(), false, Paths::default(), false, false),
        (echoing(), false, EVERY_WAY, true, true),
        (
            echoing(),
            false,
            Paths {
                loops: false,
                ..EVERY_WAY
            },
            false,
            true,
        ),
        (
            echoing(),
            false,
            Paths {
                loops: true,
                ..Paths::default()
            },
            true,
            false,
        ),
    ] {
        let mut lone = Lone::over(params, multihop);
        lone.handle(Input::Paths(paths));
        lone.says.required_min_echo_rx_interval = ms(20);
        lone.become_up();
        let outputs = lone.pass_hearing(ms(1000));
        let case = format!("{params:?} {paths:?}");
        assert_eq!(!echoes(&outputs).is_empty(), sends, "{case}");
        assert!(
            packets(&outputs)
                .iter()
                .all(|(_, p)| p.required_min_echo_rx_interval.is_zero() != promises),
            "{case}"
        );
    }
}

#[test]
fn an_echo_counts_once_and_only_if_it_was_sent() {
    let mut lone = echoing_over(Way::Forwarded);
    let last = lone.session.echoes.sent;
    let echo = |sequence| {
        Input::Echo(Echo {
            my_discriminator: number(7),
            sequence,
            way: Way::Forwarded,
        })
    };
    let stale = [Output::Dropped(Drop::StaleEcho)];
    assert_eq!(lone.handle(echo(last)), stale, "it came back already");
    assert_eq!(lone.handle(echo(0)), stale);
    assert_eq!(lone.handle(echo(last + 1)), stale, "it was never sent");
    // Old ones, recorded and played again, do not keep the session up.
    let outputs = lone.loop_back(ms(1000), |_| false);
    assert!(
        outputs
            .iter()
            .any(|(_, o)| *o == Output::Down(Reason::EchoFunctionFailed))
    );
}

// -- anything

#[derive(Debug, Clone)]
enum Step {
    Wait(u32),
    Tick,
    Hear(Control, u8),
    Echo(i64),
    Params(Params),
    Paths(Paths),
    Stop,
}

fn any_control() -> impl Strategy<Value = Control> {
    let interval = || prop_oneof![Just(0), 1..100_000_u32, any::<u32>()];
    (
        any::<[bool; 5]>(),
        0..4_u8,
        1..6_u8,
        (interval(), interval(), interval()),
        0..8_u8,
    )
        .prop_map(|(bits, state, detect_multiplier, intervals, yours)| {
            let [poll, final_, demand, control_plane_independent, other] = bits;
            let state = match state {
                0 => State::AdminDown,
                1 => State::Down,
                2 => State::Init,
                _ => State::Up,
            };
            let may_be_none = matches!(state, State::AdminDown | State::Down);
            let micros = |n: u32| Duration::from_micros(n.into());
            Control {
                diagnostic: Diagnostic::default(),
                state,
                poll,
                final_,
                control_plane_independent,
                demand,
                detect_multiplier,
                my_discriminator: number(if other { 10 } else { 9 }),
                your_discriminator: match yours {
                    0 if may_be_none => None,
                    1 => Some(number(8)),
                    _ => Some(number(7)),
                },
                desired_min_tx_interval: micros(intervals.0),
                required_min_rx_interval: micros(intervals.1),
                required_min_echo_rx_interval: micros(intervals.2),
            }
        })
}

fn any_params() -> impl Strategy<Value = Params> {
    (
        (0..400_u64, 0..400_u64, 0..100_u64),
        0..5_u8,
        any::<[bool; 2]>(),
    )
        .prop_map(
            |((tx, rx, echo), detect_multiplier, [echo_mode, passive])| Params {
                receive_interval: ms(rx),
                transmit_interval: ms(tx),
                detect_multiplier,
                echo_interval: ms(echo),
                echo_mode,
                passive_mode: passive,
                minimum_ttl: 254,
            },
        )
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..300_000_u32).prop_map(Step::Wait),
        4 => Just(Step::Tick),
        10 => (any_control(), prop_oneof![8 => Just(255_u8), 1 => any::<u8>()])
            .prop_map(|(control, ttl)| Step::Hear(control, ttl)),
        2 => (-3..3_i64).prop_map(Step::Echo),
        1 => any_params().prop_map(Step::Params),
        1 => any::<[bool; 3]>().prop_map(|[forwarded, returned, loops]| Step::Paths(Paths {
            forwarded,
            returned,
            loops,
        })),
        1 => Just(Step::Stop),
    ]
}

proptest! {
    #[test]
    fn whatever_comes_the_invariants_hold(
        params in any_params(),
        multihop in any::<bool>(),
        steps in proptest::collection::vec(any_step(), 1..80),
    ) {
        let mut lone = Lone::over(params, multihop);
        let mut up = false;
        for step in steps {
            let input = match step {
                Step::Wait(micros) => {
                    lone.now += Duration::from_micros(micros.into());
                    continue;
                }
                Step::Tick => Input::Tick,
                Step::Hear(control, ttl) => Input::Received { control, ttl },
                Step::Echo(offset) => Input::Echo(Echo {
                    my_discriminator: number(7),
                    sequence: lone.session.echoes.sent.saturating_add_signed(offset),
                    way: Way::Returned,
                }),
                Step::Params(params) => Input::Params(params),
                Step::Paths(paths) => Input::Paths(paths),
                Step::Stop => Input::Stop,
            };
            let was_up = up;
            let outputs = lone.handle(input);
            prop_assert!(outputs.len() <= 6, "{outputs:?}");
            for output in &outputs {
                match output {
                    Output::Up => {
                        prop_assert!(!up);
                        up = true;
                    }
                    Output::Down(_) => {
                        prop_assert!(up);
                        up = false;
                    }
                    Output::Transmit(packet) => {
                        prop_assert!(!(packet.poll && packet.final_));
                        prop_assert_eq!(packet.my_discriminator, number(7));
                        prop_assert!(
                            packet.your_discriminator.is_some()
                                || matches!(packet.state, State::Down | State::AdminDown)
                        );
                        prop_assert!(
                            packet.state == State::Up || packet.desired_min_tx_interval >= ms(1000)
                        );
                    }
                    Output::Echo(_) => prop_assert!(up && !multihop),
                    Output::Ended => up = false,
                    Output::Dropped(_) | Output::EchoUnanswered | Output::Late(_) => {}
                }
            }
            if matches!(input, Input::Stop) && was_up {
                up = false;
            }
            prop_assert_eq!(up, lone.session.state() == State::Up);
            if matches!(input, Input::Tick) {
                prop_assert!(lone.session.next_deadline().is_none_or(|at| at > lone.now));
            }
        }
    }
}
