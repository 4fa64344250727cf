//! Two of our own sessions with each other, over good and bad links.

use super::world::{Pause, World};
use super::*;

const MINUTE: Duration = Duration::from_secs(60);

fn pair(seed: u64) -> World {
    let mut world = World::new(seed, [fast(), fast()]);
    world.come_up();
    world
}

fn flaps(world: &World, since: Duration) -> usize {
    (0..2).map(|which| world.story(which, since).len()).sum()
}

#[test]
fn two_ends_come_up_within_two_seconds_and_agree_on_the_pace() {
    for seed in 0..50 {
        let mut world = World::new(seed, [fast(), Params::default()]);
        world.come_up();
        for end in &world.ends {
            assert_eq!(end.story.len(), 1);
            assert!(end.story[0].0 < ms(2000), "{:?}", end.story);
        }
        let since = world.time();
        world.run(MINUTE);
        for which in 0..2 {
            let sent: Vec<_> = world.ends[which]
                .sent
                .iter()
                .filter(|(at, _)| *at > since)
                .collect();
            // 60 s, 300 ms less up to a quarter.
            assert!((200..=267).contains(&sent.len()), "{}", sent.len());
            assert!(
                sent.iter()
                    .all(|(_, packet)| !packet.poll && !packet.final_)
            );
        }
        assert_eq!(flaps(&world, since), 0);
        let [fast, slow] = &world.ends;
        // Each the slower wish of the two, three times.
        assert_eq!(
            fast.session.as_ref().unwrap().detection_time(),
            Some(ms(900))
        );
        assert_eq!(
            slow.session.as_ref().unwrap().detection_time(),
            Some(ms(900))
        );
    }
}

#[test]
fn a_cut_is_noticed_at_both_ends_within_the_detection_time_and_heals() {
    for seed in 0..50 {
        let mut world = pair(seed);
        let cut = world.time();
        for link in &mut world.links {
            link.cut = true;
        }
        world.run(MINUTE);
        for which in 0..2 {
            let story = world.story(which, cut);
            assert_eq!(story.len(), 1, "{story:?}");
            assert_eq!(story[0].1, Output::Down(Reason::DetectionTimeExpired));
            let time = story[0].0 - cut;
            // The last packet came up to one interval before the cut; it flew for 1 ms.
            assert!((ms(99)..=ms(152)).contains(&time), "{time:?}");
        }
        for link in &mut world.links {
            link.cut = false;
        }
        let healed = world.time();
        world.run(ms(3000));
        assert!(world.both_are_up());
        assert_eq!(flaps(&world, healed), 2);
    }
}

#[test]
fn a_way_that_is_cut_in_one_direction_is_down_at_both_ends() {
    for seed in 0..20 {
        let mut world = pair(seed);
        let cut = world.time();
        // What the second says does not arrive.
        world.links[1].cut = true;
        world.run(MINUTE);
        let [first, second] = [world.story(0, cut), world.story(1, cut)];
        assert_eq!(first.len(), 1);
        assert_eq!(first[0].1, Output::Down(Reason::DetectionTimeExpired));
        let expired = Diagnostic::CONTROL_DETECTION_TIME_EXPIRED;
        assert_eq!(second.len(), 1, "{second:?}");
        assert_eq!(second[0].1, Output::Down(Reason::NeighborDown(expired)));
        assert!(second[0].0 - first[0].0 <= ms(1), "it is told at once");
        world.links[1].cut = false;
        world.run(ms(3000));
        assert!(world.both_are_up());
    }
}

#[test]
fn lost_and_late_packets_do_not_bring_it_down_as_long_as_some_arrive() {
    // Five in a row lost of 3 in 100: not in ten minutes, nor in a year of them.
    let params = Params {
        detect_multiplier: 5,
        ..fast()
    };
    for seed in 0..10 {
        let mut world = World::new(seed, [params, params]);
        for link in &mut world.links {
            link.loss = 3;
            link.delay = ms(20);
            link.jitter = ms(60);
        }
        world.lateness = ms(20);
        world.come_up();
        let since = world.time();
        world.run(10 * MINUTE);
        assert_eq!(flaps(&world, since), 0, "seed {seed}");
    }
}

#[test]
fn a_link_that_loses_most_ends_up_when_it_is_mended() {
    for seed in 0..20 {
        let mut world = World::new(seed, [fast(), fast()]);
        for link in &mut world.links {
            link.loss = 60;
            link.jitter = ms(30);
        }
        world.run(5 * MINUTE);
        for which in 0..2 {
            let story = world.story(which, Duration::ZERO);
            for pair in story.windows(2) {
                let ups = pair.iter().filter(|(_, o)| *o == Output::Up).count();
                assert_eq!(ups, 1, "Up and Down alternate");
            }
        }
        for link in &mut world.links {
            link.loss = 0;
        }
        world.run(ms(5000));
        assert!(world.both_are_up());
    }
}

#[test]
fn an_end_that_is_starved_blames_nobody() {
    for seed in 0..20 {
        let mut world = pair(seed);
        // Slower wishes at the other end, so that it is not the one to give up.
        world.input(
            0,
            Input::Params(Params {
                detect_multiplier: 50,
                ..fast()
            }),
        );
        world.run(ms(1000));
        let since = world.time();
        for _ in 0..20 {
            world.pause(0, ms(700), Pause::Starved);
            world.run(ms(1000));
        }
        assert_eq!(flaps(&world, since), 0);
    }
}

#[test]
fn an_end_that_was_suspended_gives_the_peer_an_interval() {
    for seed in 0..20 {
        let mut world = pair(seed);
        world.input(
            0,
            Input::Params(Params {
                detect_multiplier: 50,
                ..fast()
            }),
        );
        world.run(ms(1000));
        let since = world.time();
        for _ in 0..20 {
            world.pause(0, ms(700), Pause::Suspended);
            world.run(ms(2000));
        }
        assert_eq!(flaps(&world, since), 0);
        assert_eq!(world.ends[0].lates, 20);
        // Dead meanwhile: that is noticed an interval later.
        world.kill(1);
        world.pause(0, ms(700), Pause::Suspended);
        let killed = world.time();
        world.run(ms(2000));
        let story = world.story(0, killed);
        assert_eq!(story.len(), 1);
        assert!(story[0].0 - killed <= ms(751), "{story:?}");
    }
}

#[test]
fn other_parameters_at_both_ends_at_once_do_not_flap() {
    for seed in 0..20 {
        let mut world = pair(seed);
        for link in &mut world.links {
            link.loss = 5;
            link.jitter = ms(5);
        }
        let since = world.time();
        for round in 0..50 {
            for which in 0..2 {
                let pick = world.ends[which].sent.len() + round;
                let params = Params {
                    transmit_interval: [ms(50), ms(400), ms(20), ms(1000)][pick % 4],
                    receive_interval: [ms(300), ms(50), ms(700), ms(20)][pick % 4],
                    detect_multiplier: 8,
                    ..fast()
                };
                world.input(which, Input::Params(params));
            }
            world.run(ms(200) + ms(37) * u32::try_from(round % 40).unwrap());
        }
        for link in &mut world.links {
            link.loss = 0;
        }
        world.run(ms(20_000));
        assert_eq!(flaps(&world, since), 0, "seed {seed}");
        for end in &world.ends {
            let session = end.session.as_ref().unwrap();
            assert_eq!(session.polls.in_force, session.polls.advertised);
            assert_eq!(session.polls.in_force, session.wanted());
        }
    }
}

#[test]
fn one_passive_end_is_enough_and_two_wait_for_ever() {
    let passive = Params {
        passive_mode: true,
        ..fast()
    };
    let mut world = World::new(1, [passive, fast()]);
    world.come_up();
    assert!(world.ends[0].sent[0].0 > Duration::ZERO || world.ends[1].sent[0].0 == Duration::ZERO);
    // It comes up again after a cut, too.
    for cut in [true, false] {
        for link in &mut world.links {
            link.cut = cut;
        }
        world.run(ms(5000));
    }
    assert!(world.both_are_up());

    let mut world = World::new(1, [passive, passive]);
    world.run(10 * MINUTE);
    assert!(world.ends.iter().all(|end| end.sent.is_empty()));
}

#[test]
fn an_end_that_stops_is_no_failure_even_if_two_packets_are_lost() {
    for lost in 0..3 {
        let mut world = pair(lost);
        let since = world.time();
        // What is told goes into the void for a while.
        world.links[0].cut = lost > 0;
        world.input(0, Input::Stop);
        world.run(ms(50) * u32::try_from(lost).unwrap() - ms(lost.min(1)));
        world.links[0].cut = false;
        world.run(ms(5000));
        let story = world.story(1, since);
        assert_eq!(story.len(), 1, "{story:?}");
        assert_eq!(story[0].1, Output::Down(Reason::NeighborAdminDown));
        assert!(world.ends[0].ended);
        let told = world.ends[0].sent.last().unwrap().0 - since;
        assert!(told <= ms(100), "then it is silent: {told:?}");
        // Wanted again.
        world.input(0, Input::Params(fast()));
        world.run(ms(3000));
        assert!(world.both_are_up());
    }
}

#[test]
fn an_end_that_restarts_is_found_again() {
    for seed in 0..20 {
        let mut world = pair(seed);
        let since = world.time();
        // Faster than it could be missed.
        world.begin(0, fast());
        world.run(ms(5000));
        assert!(world.both_are_up());
        let story: Vec<_> = world.story(1, since).into_iter().map(|(_, o)| o).collect();
        assert_eq!(
            story,
            [
                Output::Down(Reason::NeighborDown(Diagnostic::NONE)),
                Output::Up
            ]
        );
        // And slower.
        let since = world.time();
        world.kill(0);
        world.run(ms(1000));
        world.begin(0, fast());
        world.run(ms(5000));
        assert!(world.both_are_up());
        assert_eq!(
            world.story(1, since)[0].1,
            Output::Down(Reason::DetectionTimeExpired)
        );
    }
}

fn echoing() -> Params {
    Params {
        echo_mode: true,
        ..fast()
    }
}

#[test]
fn echoes_at_both_ends_make_control_packets_rare() {
    for seed in 0..20 {
        let mut world = World::new(seed, [echoing(), echoing()]);
        world.lateness = ms(5);
        world.come_up();
        let since = world.time();
        let echoes = world.ends[0].echoes_sent;
        world.run(MINUTE);
        assert_eq!(flaps(&world, since), 0);
        for end in &world.ends {
            assert!(end.session.as_ref().unwrap().echo_is_active());
            let sent = end.sent.iter().filter(|(at, _)| *at > since).count();
            assert!((60..=81).contains(&sent), "{sent}");
        }
        let echoes = world.ends[0].echoes_sent - echoes;
        assert!((1100..=1600).contains(&echoes), "{echoes}");
        // The cut is noticed by the echoes.
        let cut = world.time();
        for link in &mut world.links {
            link.cut = true;
        }
        world.run(ms(1000));
        for which in 0..2 {
            let story = world.story(which, cut);
            assert_eq!(story.len(), 1);
            assert_eq!(story[0].1, Output::Down(Reason::EchoFunctionFailed));
            assert!(story[0].0 - cut <= ms(156), "{story:?}");
        }
        for link in &mut world.links {
            link.cut = false;
        }
        world.run(ms(5000));
        assert!(world.both_are_up());
    }
}

#[test]
fn an_end_whose_forwarding_fails_is_noticed_by_the_other_alone() {
    let mut world = World::new(3, [echoing(), echoing()]);
    world.come_up();
    let since = world.time();
    world.loops[1] = false;
    world.run(ms(200));
    assert_eq!(
        world.story(0, since)[0].1,
        Output::Down(Reason::EchoFunctionFailed)
    );
    assert_eq!(
        world.story(1, since)[0].1,
        Output::Down(Reason::NeighborDown(Diagnostic::ECHO_FUNCTION_FAILED))
    );
    // The peer still promises, but has to keep it first: control packets watch meanwhile.
    world.run(MINUTE);
    assert!(world.both_are_up());
    assert!(!world.ends[0].session.as_ref().unwrap().echo_is_active());
    world.loops[1] = true;
    world.run(ms(5000));
    assert!(world.ends[0].session.as_ref().unwrap().echo_is_active());
}
