use super::*;

fn waits(seed: u64, n: usize) -> Vec<Duration> {
    let mut random = Random::seeded(seed);
    let mut backoff = Backoff::new();
    (0..n).map(|_| backoff.next(&mut random)).collect()
}

#[test]
fn waits_double_from_nothing_to_two_minutes_and_are_shortened_by_at_most_a_quarter() {
    for seed in 0..200 {
        let whole = [0, 1, 2, 4, 8, 16, 32, 64, 120, 120, 120].map(Duration::from_secs);
        for (wait, whole) in waits(seed, whole.len()).into_iter().zip(whole) {
            assert!(
                wait <= whole && wait >= whole * 3 / 4,
                "{wait:?} of {whole:?}"
            );
        }
    }
}

#[test]
fn speakers_that_fail_together_do_not_dial_together() {
    let mut third: Vec<Duration> = (0..50).map(|seed| waits(seed, 3)[2]).collect();
    third.sort();
    third.dedup();
    assert_eq!(third.len(), 50);
    assert!(third[49] - third[0] > Duration::from_millis(400));
}

#[test]
fn a_good_session_begins_the_waits_anew() {
    let mut random = Random::seeded(1);
    let mut backoff = Backoff::new();
    for _ in 0..5 {
        backoff.next(&mut random);
    }
    backoff.reset();
    assert_eq!(backoff.next(&mut random), Duration::ZERO);
    assert!(backoff.next(&mut random) > Duration::ZERO);
}

#[test]
fn no_number_of_failures_overflows() {
    let mut random = Random::seeded(1);
    let mut backoff = Backoff { failures: u32::MAX };
    for _ in 0..3 {
        let wait = backoff.next(&mut random);
        assert!(wait <= LONGEST && wait >= LONGEST * 3 / 4);
    }
    let mut backoff = Backoff { failures: 31 };
    for _ in 0..4 {
        assert!(backoff.next(&mut random) >= LONGEST * 3 / 4);
    }
}
