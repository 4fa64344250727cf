//! The numbers of the specification's tables.

use super::super::suspicion::Suspicion;
use super::super::timing::{push_pull_interval, retransmit_limit};
use super::{Bench, Params, addr, millis, name, secs};
use std::time::Duration;

fn params() -> Params {
    Params::lan(name("node-a"), addr("10.0.0.1"), false)
}

/// The times after 0, 1 and 2 confirmations.
fn suspicion(records: usize) -> [Duration; 3] {
    let now = Bench::new().now;
    let mut suspicion = Suspicion::new(&params(), records, name("x"), now);
    let mut times = [Duration::ZERO; 3];
    for (time, from) in times.iter_mut().zip(["y", "z", "w"]) {
        *time = suspicion.deadline() - now;
        suspicion.confirm(&name(from));
    }
    times
}

/// To the millisecond, as the table has them.
fn rounded(time: Duration) -> u128 {
    (time.as_micros() + 500) / 1000
}

#[test]
fn suspicions_last_as_long_as_in_memberlist() {
    for (records, want) in [
        (1, [4_000, 4_000, 4_000]),
        (3, [4_000, 4_000, 4_000]),
        (4, [24_000, 11_381, 4_000]),
        (9, [24_000, 11_381, 4_000]),
        (10, [24_000, 11_381, 4_000]),
        (20, [31_224, 14_807, 5_204]),
        (50, [40_752, 19_325, 6_792]),
        (100, [48_000, 22_762, 8_000]),
        (500, [64_752, 30_707, 10_792]),
    ] {
        assert_eq!(suspicion(records).map(rounded), want, "{records} records");
    }
}

#[test]
fn one_accuser_confirms_once_and_the_first_not_at_all() {
    let now = Bench::new().now;
    let mut suspicion = Suspicion::new(&params(), 10, name("x"), now);
    assert!(!suspicion.confirm(&name("x")));
    assert!(suspicion.confirm(&name("y")));
    assert!(!suspicion.confirm(&name("y")));
    assert!(suspicion.confirm(&name("z")));
    assert!(!suspicion.confirm(&name("w")), "two are all that count");
    assert_eq!(suspicion.confirmations(), 2);
}

#[test]
fn claims_are_repeated_as_often_as_in_memberlist() {
    for (records, want) in [
        (1, 4),
        (9, 4),
        (10, 8),
        (50, 8),
        (99, 8),
        (100, 12),
        (500, 12),
        (4096, 16),
    ] {
        assert_eq!(retransmit_limit(&params(), records), want, "{records}");
    }
}

#[test]
fn push_pulls_are_as_rare_as_in_memberlist() {
    for (records, want) in [
        (1, 30),
        (32, 30),
        (33, 60),
        (50, 60),
        (64, 60),
        (65, 90),
        (100, 90),
        (500, 150),
    ] {
        assert_eq!(push_pull_interval(&params(), records), secs(want));
    }
}

#[test]
fn the_defaults_are_memberlists() {
    let params = params();
    assert_eq!(params.probe_interval, secs(1));
    assert_eq!(params.probe_timeout, millis(500));
    assert_eq!(params.gossip_interval, millis(200));
    assert_eq!(params.gossip_to_the_dead, secs(30));
    assert_eq!(
        (params.suspicion_mult, params.suspicion_max_timeout_mult),
        (4, 6)
    );
    assert_eq!((params.indirect_checks, params.gossip_nodes), (3, 3));
    assert_eq!((params.retransmit_mult, params.awareness_max), (4, 8));
}
