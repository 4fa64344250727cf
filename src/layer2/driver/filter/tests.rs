use proptest::prelude::*;

use super::{RANGES, claims, ranges};
use crate::layer2::Kind;

#[test]
fn addresses_that_touch_are_one_range_and_gaps_stay_open() {
    assert_eq!(
        ranges(vec![5, 3, 4, 4, 9, 0, u32::MAX]),
        [(0, 0), (3, 5), (9, 9), (u32::MAX, u32::MAX)]
    );
    assert_eq!(ranges(Vec::new()), []);
}

#[test]
fn without_addresses_nothing_is_heard() {
    assert_eq!(claims(Kind::Arp, Vec::new()).len(), 1);
}

proptest! {
    #[test]
    fn all_are_within_and_the_ranges_are_few(mut addresses in proptest::collection::vec(any::<u32>(), 1..300)) {
        let found = ranges(addresses.clone());
        prop_assert!(found.len() <= RANGES);
        prop_assert!(found.is_sorted() && found.iter().all(|(low, high)| low <= high));
        for address in &addresses {
            prop_assert!(found.iter().any(|(low, high)| (low..=high).contains(&address)));
        }
        addresses.truncate(RANGES);
        let few = ranges(addresses.clone());
        addresses.sort_unstable();
        addresses.dedup();
        let held: u64 = few.iter().map(|(low, high)| u64::from(high - low) + 1).sum();
        prop_assert_eq!(held, u64::try_from(addresses.len()).unwrap(), "no neighbour is let in without need");
    }
}
