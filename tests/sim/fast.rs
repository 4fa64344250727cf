//! Fast detection among members of our kind: how fast, and what is no death.

use std::time::Duration;

use ferrolb::memberlist::swim::Input;
use ferrolb::memberlist::wire::kin::Abilities;

use crate::world::{Seen, World, millis, secs};
use crate::{FIVE_PERCENT, after_churn, assert_one_owner_each, name};

fn sorted(mut times: Vec<Duration>) -> Vec<Duration> {
    times.sort();
    times
}

/// The time from a power cut until the last of the others knows.
fn detection(n: usize, seed: u64, loss: usize) -> Duration {
    let mut world = World::new(n, seed).fast().settle();
    world.loss = loss;
    let somewhere = world.random.within(secs(1));
    world.run_for(somewhere);
    let cut = world.at();
    world.kill(n - 1);
    let death = Seen::Dead(name(n - 1));
    world.run_until(secs(30), |world| world.last_seen(&death).1 == n - 1);
    assert_eq!(world.deaths().len(), n - 1, "nobody else died");
    world.last_seen(&death).0 - cut
}

#[test]
fn a_power_cut_is_known_to_all_within_half_a_second() {
    for n in [3, 4, 5, 10] {
        let took = sorted((0..15).map(|seed| detection(n, seed, 0)).collect());
        eprintln!(
            "{n} nodes: {:?}, median {:?}, worst {:?}",
            took[0], took[7], took[14]
        );
        assert!(took[7] <= millis(450), "{n} nodes: median {:?}", took[7]);
        assert!(took[14] <= millis(500), "{n} nodes: worst {:?}", took[14]);
        assert!(
            took[0] >= millis(300),
            "{n} nodes: {:?}, too hasty",
            took[0]
        );
    }
}

#[test]
fn two_alone_wait_a_little_longer() {
    let took = sorted((0..15).map(|seed| detection(2, seed, 0)).collect());
    eprintln!("2 nodes: median {:?}, worst {:?}", took[7], took[14]);
    assert!(
        took[0] >= millis(600) && took[14] <= millis(800),
        "{took:?}"
    );
}

#[test]
fn a_power_cut_is_known_within_a_second_in_spite_of_loss() {
    for n in [3, 5] {
        let took = sorted(
            (0..20)
                .map(|seed| detection(n, seed, FIVE_PERCENT))
                .collect(),
        );
        eprintln!(
            "{n} nodes, 5 % loss: median {:?}, worst {:?}",
            took[10], took[19]
        );
        assert!(took[10] <= millis(500), "{n} nodes: median {:?}", took[10]);
        // The last of them may have to hear it by gossip.
        assert!(took[19] <= millis(1_000), "{n} nodes: worst {:?}", took[19]);
    }
}

fn loss(n: usize, seed: u64, time: Duration) {
    let mut world = World::new(n, seed).fast().settle();
    world.loss = FIVE_PERCENT;
    world.run_for(time);
    let doubts: u64 = (0..n)
        .map(|i| world.swim(i).heartbeat().counters().doubts)
        .sum();
    eprintln!("{n} nodes, seed {seed}: {doubts} doubts in {time:?}");
    assert!(doubts > 0, "the loss is felt");
    assert!(
        world.deaths().is_empty(),
        "{n} nodes, seed {seed}: {:?}",
        world.deaths()
    );
    for i in 0..n {
        for (name, good) in world.swim(i).heartbeat().watched() {
            assert!(good, "node-{i} could still judge {name}");
        }
    }
    world.loss = 0;
    world.run_until(secs(60), World::agrees);
    assert_one_owner_each(&world);
}

#[test]
fn nobody_is_declared_dead_under_loss() {
    for (n, seed, time) in [(2, 1, 600), (3, 2, 600), (4, 3, 300), (10, 4, 60)] {
        loss(n, seed, secs(time));
    }
}

#[test]
#[ignore = "long: run by tests/run"]
fn nobody_is_declared_dead_under_loss_in_hours() {
    for n in [2, 3, 4, 5] {
        for seed in 200..205 {
            loss(n, seed, secs(3600));
        }
    }
    loss(50, 300, secs(3600));
    loss(200, 301, secs(600));
}

#[test]
fn silence_of_others_is_not_believed_by_one_who_hears_nothing() {
    // Its own packets arrive, those of the others do not reach it: it must condemn nobody.
    let mut world = World::new(5, 11).fast().settle();
    world.deaf.insert(2);
    world.run_for(secs(3));
    let hasty: Vec<_> = world
        .deaths()
        .into_iter()
        .filter(|seen| seen.by == 2)
        .collect();
    assert!(hasty.is_empty(), "{hasty:?}");
    assert_eq!(world.swim(2).heartbeat().counters().verdicts, 0);
}

#[test]
fn a_way_that_is_cut_is_no_death_and_costs_ever_fewer_questions() {
    for cut in [vec![(0, 1)], vec![(1, 0)], vec![(0, 1), (1, 0)]] {
        for n in [3, 5] {
            let mut world = World::new(n, 12).fast().settle();
            world.cut = cut.iter().copied().collect();
            world.run_for(secs(150));
            assert!(world.deaths().is_empty(), "{n} nodes: {:?}", world.deaths());
            let doubts: u64 = (0..n)
                .map(|i| world.swim(i).heartbeat().counters().doubts)
                .sum();
            // Two sides, seven doublings up to 32 s, then one each 32 s.
            assert!(doubts <= 2 * (8 + 150 / 32), "{doubts}");
            // Mended, and the other dies: seen as fast as ever.
            world.cut.clear();
            world.run_for(secs(2));
            let cut = world.at();
            world.kill(1);
            let death = Seen::Dead(name(1));
            world.run_until(secs(1), |world| world.last_seen(&death).1 == n - 1);
            assert!(world.last_seen(&death).0 - cut <= millis(500));
        }
    }
}

#[test]
fn two_that_die_together_are_found_by_the_others() {
    for n in [5, 10, 30] {
        let mut world = World::new(n, 13).fast().settle();
        let cut = world.at();
        world.kill(0);
        world.kill(1);
        world.run_until(secs(2), World::agrees);
        let took = world.at() - cut;
        eprintln!("{n} nodes, two at once: {took:?}");
        assert!(took <= millis(1_500), "{n} nodes: {took:?}");
    }
}

#[test]
fn a_partition_is_seen_by_both_sides_and_heals_in_seconds() {
    for (n, split) in [(3, 1), (4, 2), (7, 3), (20, 10)] {
        for lasting in [secs(1), secs(45)] {
            let mut world = World::new(n, 21).fast().settle();
            world.island = (0..n).map(|i| u32::from(i < split)).collect();
            world.run_for(lasting);
            world.island = vec![0; n];
            let took = world.run_until(secs(10), World::agrees);
            eprintln!("{n} nodes parted for {lasting:?}: agree after {took:?}");
            assert!(took <= secs(5), "{n} nodes, {lasting:?}: {took:?}");
            world.run_for(secs(60));
            assert_one_owner_each(&world);
        }
    }
}

#[test]
fn two_alone_that_were_parted_find_each_other_at_once() {
    for lasting in [secs(2), secs(60), secs(400)] {
        let mut world = World::new(2, 22).fast().settle();
        world.island = vec![0, 1];
        world.run_for(lasting);
        assert_eq!((world.view(0).len(), world.view(1).len()), (1, 1));
        world.island = vec![0, 0];
        let took = world.run_until(secs(3), World::agrees);
        eprintln!("two parted for {lasting:?}: agree after {took:?}");
    }
}

#[test]
fn one_that_was_paused_is_replaced_declares_nobody_dead_and_comes_back_at_once() {
    for (asleep, seed) in [(1, 31), (3, 32), (120, 34)] {
        let mut world = World::new(6, seed).fast().settle();
        let pause = world.at();
        world.pause(0);
        let death = Seen::Dead(name(0));
        world.run_until(secs(1), |world| world.last_seen(&death).1 == 5);
        assert!(world.last_seen(&death).0 - pause <= millis(550));
        world.run_for(secs(asleep));
        world.seen.clear();
        world.resume(0);
        let took = world.run_until(secs(15), World::agrees);
        eprintln!("asleep for {asleep} s: agree after {took:?}");
        assert!(took <= secs(2), "asleep for {asleep} s: {took:?}");
        world.run_for(secs(120));
        assert!(
            world.deaths().is_empty(),
            "asleep for {asleep} s: {:?}",
            world.deaths()
        );
        assert_one_owner_each(&world);
    }
}

#[test]
fn short_starvation_is_no_death() {
    // Up to 0.2 s without a processor, again and again, under loss.
    for seed in 40..44 {
        let mut world = World::new(4, seed).fast().settle();
        world.loss = FIVE_PERCENT;
        for _ in 0..300 {
            let i = world.random.place(4);
            world.pause(i);
            let starved = world.random.within(millis(200));
            world.run_for(starved);
            world.resume(i);
            let fed = world.random.within(millis(300));
            world.run_for(fed);
        }
        assert!(world.deaths().is_empty(), "{:?}", world.deaths());
    }
}

#[test]
fn nobody_dies_when_all_are_paused_together() {
    for seed in 50..55 {
        let mut world = World::new(5, seed).fast().settle();
        for i in 0..5 {
            world.pause(i);
        }
        world.run_for(secs(60));
        for i in 0..5 {
            world.resume(i);
            let gap = world.random.within(millis(40));
            world.run_for(gap);
        }
        world.run_for(secs(20));
        assert!(world.deaths().is_empty(), "{:?}", world.deaths());
        assert_one_owner_each(&world);
    }
}

#[test]
fn a_flapping_one_is_left_to_memberlist() {
    let mut world = World::new(3, 61).fast().settle();
    for _ in 0..6 {
        world.pause(2);
        world.run_for(millis(1_200));
        world.resume(2);
        world.run_for(secs(3));
    }
    let hasty: u64 = [0, 1]
        .map(|i| world.swim(i).heartbeat().counters().hasty)
        .iter()
        .sum();
    let verdicts: u64 = [0, 1]
        .map(|i| world.swim(i).heartbeat().counters().verdicts)
        .iter()
        .sum();
    eprintln!("six short pauses: {verdicts} verdicts, {hasty} of them hasty");
    assert!(verdicts <= 4, "{verdicts}");
    world.run_until(secs(10), World::agrees);
}

#[test]
fn go_nodes_are_left_alone_and_take_our_verdicts() {
    // Two of ours and two of Go's; then three of ours and one of Go's.
    let mut world = World::new(5, 71).fast();
    world.kin[3] = None;
    world.kin[4] = None;
    let mut world = world.settle();
    // One of Go's dies: as fast as memberlist is, not faster.
    let cut = world.at();
    world.kill(4);
    let death = Seen::Dead(name(4));
    world.run_until(secs(30), |world| world.last_seen(&death).1 == 4);
    assert!(world.first_seen(&death).unwrap() - cut >= secs(4));
    // One of ours dies: all know at once, Go's too.
    world.run_for(secs(60));
    let cut = world.at();
    world.kill(2);
    let death = Seen::Dead(name(2));
    world.run_until(secs(1), |world| world.last_seen(&death).1 == 3);
    let took = world.last_seen(&death).0 - cut;
    eprintln!("a death of ours is known to a Go node after {took:?}");
    assert!(took <= millis(500), "{took:?}");
    assert_one_owner_each(&world);
}

#[test]
fn one_of_ours_among_go_nodes_has_nobody_to_ask_and_leaves_it_to_memberlist() {
    let mut world = World::new(4, 72).fast();
    world.kin[2] = None;
    world.kin[3] = None;
    let mut world = world.settle();
    let cut = world.at();
    world.kill(1);
    let death = Seen::Dead(name(1));
    world.run_until(secs(30), |world| world.last_seen(&death).1 == 3);
    assert!(world.first_seen(&death).unwrap() - cut >= secs(4));
}

#[test]
fn the_switch_turns_it_off_and_on_again() {
    let mut world = World::new(4, 81).fast().settle();
    // One after the other, as a ConfigMap reaches them: those who are off still answer.
    for i in 0..4 {
        world.input(i, Input::FastDetection(false));
        world.run_for(secs(2));
    }
    assert!(world.deaths().is_empty(), "{:?}", world.deaths());
    for i in 0..4 {
        assert_eq!(world.swim(i).heartbeat().watched().count(), 0);
    }
    let cut = world.at();
    world.kill(0);
    let death = Seen::Dead(name(0));
    world.run_until(secs(30), |world| world.last_seen(&death).1 == 3);
    assert!(
        world.first_seen(&death).unwrap() - cut >= secs(4),
        "as memberlist"
    );
    world.start_node(0);
    world.run_until(secs(5), World::agrees);
    for i in 1..4 {
        world.input(i, Input::FastDetection(true));
        world.run_for(secs(2));
    }
    world.run_for(secs(1));
    let cut = world.at();
    world.seen.clear();
    world.kill(0);
    world.run_until(secs(1), |world| world.last_seen(&death).1 == 3);
    assert!(world.last_seen(&death).0 - cut <= millis(500));
}

#[test]
fn one_that_takes_part_no_longer_is_no_death() {
    // A downgrade: the same name, a Go node.
    let mut world = World::new(4, 82).fast().settle();
    world.input(3, Input::Leave);
    world.run_for(secs(1));
    world.kill(3);
    world.kin[3] = None;
    world.run_for(millis(200));
    world.start_node(3);
    world.run_until(secs(3), World::agrees);
    world.seen.clear();
    world.run_for(secs(60));
    assert!(world.deaths().is_empty(), "{:?}", world.deaths());
    for i in 0..3 {
        assert!(
            world
                .swim(i)
                .heartbeat()
                .watched()
                .all(|(watched, _)| *watched != name(3))
        );
    }
}

#[test]
fn a_killed_one_that_starts_again_at_once_is_taken_back_at_once() {
    for away in [millis(100), millis(400), secs(3), secs(20)] {
        let mut world = World::new(5, 83).fast().settle();
        world.kill(2);
        world.run_for(away);
        world.start_node(2);
        let took = world.run_until(secs(2), World::agrees);
        eprintln!("back after {away:?}: agree after {took:?}");
        world.run_for(secs(30));
        assert_one_owner_each(&world);
    }
}

#[test]
fn heartbeats_cost_what_they_should_however_many_members_there_are() {
    let n = 40;
    let mut world = World::new(n, 91).fast().settle();
    let (datagrams, octets) = (world.datagrams, world.octets);
    world.run_for(secs(5));
    let per_node = |count: u64| count / u64::try_from(n).unwrap() / 5;
    let datagrams = per_node(world.datagrams - datagrams);
    let octets = per_node(world.octets - octets);
    eprintln!("{n} nodes: {datagrams} datagrams, {octets} bytes a node and second");
    // Three watched at ten a second, and as many answers; memberlist's own two.
    assert!(datagrams <= 64, "{datagrams}");
    assert!(octets <= 64 * 64, "{octets}");
    assert!(world.deaths().is_empty());
}

/// Kills, restarts, leaves, pauses, partitions and downgrades at random for a while, then quiet.
fn churn(n: usize, seed: u64, rounds: usize) {
    let mut world = World::new(n, seed).fast().settle();
    world.loss = FIVE_PERCENT;
    world.delay = millis(20);
    let mut asleep = std::collections::BTreeSet::new();
    for _ in 0..rounds {
        let i = world.random.place(n);
        let awake = world.is_running(i) && !asleep.contains(&i);
        match world.random.place(8) {
            0 | 1 if awake => world.kill(i),
            2 if awake => {
                world.input(i, Input::Leave);
                world.run_for(secs(1));
                world.kill(i);
            }
            3 if awake => {
                world.pause(i);
                asleep.insert(i);
            }
            4 => {
                for k in 0..n {
                    world.island[k] = u32::try_from(world.random.place(2)).unwrap();
                }
            }
            5 => world.island = vec![0; n],
            6 if awake => {
                let on = world.random.place(2) == 0;
                world.input(i, Input::FastDetection(on));
            }
            _ if !world.is_running(i) => {
                world.kin[i] = match world.random.place(3) {
                    0 => None,
                    fast => Some(Abilities { fast: fast == 1 }),
                };
                world.start_node(i);
            }
            _ if asleep.remove(&i) => world.resume(i),
            _ => {}
        }
        let pause = world.random.within(secs(3));
        world.run_for(pause);
    }
    after_churn(world, asleep, seed);
}

#[test]
fn after_churn_all_agree() {
    for seed in 0..2 {
        churn(7, seed, 40);
    }
}

#[test]
#[ignore = "long: run by tests/run"]
fn after_long_churn_all_agree() {
    for (n, seeds, rounds) in [(3, 30, 120), (8, 12, 150), (20, 4, 150), (50, 1, 100)] {
        for seed in 2000..2000 + seeds {
            churn(n, seed, rounds);
        }
    }
}

#[test]
#[ignore = "long: run by tests/run"]
fn two_hundred_nodes_lose_twenty_at_once() {
    let mut world = World::new(200, 92).fast().settle();
    let cut = world.at();
    for i in 0..20 {
        world.kill(i * 10);
    }
    world.run_until(secs(15), World::agrees);
    let took = world.at() - cut;
    eprintln!("200 nodes: 20 deaths known to all after {took:?}");
    assert!(took <= secs(2), "{took:?}");
    world.seen.clear();
    world.run_for(secs(30));
    assert!(world.deaths().is_empty());
    assert_one_owner_each(&world);
}

#[test]
fn stations_are_told_to_all_of_our_kind_and_to_those_who_come_later() {
    let station = |last| ferrolb::layer2::MacAddr::new(2, 0, 0, 0, 0, last);
    let mut world = World::new(5, 84).fast();
    world.kin[4] = None;
    let mut world = world.settle();
    world.loss = FIVE_PERCENT;
    world.input(0, Input::Stations(vec![station(1), station(2)]));
    let told = Seen::Stations(name(0), 2);
    // A lost one is told again a minute later.
    world.run_until(secs(185), |world| world.last_seen(&told).1 == 3);
    world.loss = 0;
    world.kill(1);
    world.run_for(secs(2));
    world.seen.clear();
    world.start_node(1);
    world.run_until(secs(3), |world| world.last_seen(&told).1 == 1);
    world.input(0, Input::Stations(vec![station(3)]));
    let told = Seen::Stations(name(0), 1);
    world.run_until(secs(1), |world| world.last_seen(&told).1 == 3);
}
