//! Pools of many pages, and many pools: the same answers as a sorted set of free addresses gives.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::*;

fn v4(number: u32) -> IpAddr {
    Ipv4Addr::from_bits(0x0a00_0000 + number).into()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// A /20 with avoided addresses, nearly full, with Services that come and go.
    #[test]
    fn the_first_free_address_is_found_among_thousands(ops in proptest::collection::vec(0_u32..4096, 1500)) {
        let mut allocator = allocator(&[avoiding(pool("a", &["10.0.0.0/20"]))]);
        let mut free: BTreeSet<u32> = (0..4096).filter(|n| !matches!(n % 256, 0 | 255)).collect();
        let mut holders = vec![None; 4096];
        for n in 0..4064_usize {
            let name = key(&format!("first{n}"));
            let want = free.pop_first().unwrap();
            prop_assert_eq!(allocator.allocate(&name, V4, &alone()), Ok(vec![v4(want)]));
            holders[usize::try_from(want).unwrap()] = Some(name);
        }
        prop_assert!(allocator.allocate(&key("late"), V4, &alone()).is_err());
        for (step, n) in ops.iter().enumerate() {
            if let Some(name) = holders[usize::try_from(*n).unwrap()].take() {
                prop_assert!(allocator.unassign(&name));
                free.insert(*n);
            }
            // Two out, one in, then the other way round: the pool empties a little and fills again.
            if step % 4 != 0 && let Some(want) = free.pop_first() {
                let name = key(&format!("later{step}"));
                prop_assert_eq!(allocator.allocate(&name, V4, &alone()), Ok(vec![v4(want)]));
                holders[usize::try_from(want).unwrap()] = Some(name);
            }
            prop_assert_eq!(allocator.usage().next().unwrap().in_use, i64::try_from(4064 - free.len()).unwrap());
        }
        allocator.audit();
    }
}

#[test]
fn ten_thousand_pools_are_one_lookup() {
    let pools: Vec<_> = (0..10_000_u32)
        .map(|n| {
            let (first, last) = (v4(16 * n).to_string(), v4(16 * n + 3).to_string());
            pool(
                &format!("p{n}"),
                &[&format!("{first}-{last}"), &format!("fd00:{n:x}::/126")],
            )
        })
        .collect();
    let mut allocator = allocator(&pools);
    for n in 0..10_000_u32 {
        let service = key(&format!("s{n}"));
        let addresses = [v4(16 * n + 2)];
        allocator.assign(&service, &addresses, &alone()).unwrap();
        assert_eq!(allocator.held(&service).unwrap().pool, format!("p{n}"));
        assert_eq!(allocator.pool_of(&[v4(16 * n + 4)]), None);
    }
    let reversed: Vec<_> = pools.iter().rev().cloned().collect();
    allocator.set_pools(&reversed).unwrap();
    assert!(
        allocator
            .usage()
            .all(|pool| pool.in_use == 1 && pool.capacity == 8)
    );
    assert_eq!(
        allocator
            .allocate(&key("new"), Families::Dual, &alone())
            .unwrap(),
        [v4(16 * 9_999), ip("fd00:270f::")]
    );
    let refused = allocator.set_pools(&pools[1..]).unwrap_err();
    assert_eq!(refused.orphans.len(), 1);
    assert_eq!(refused.orphans[0].address, v4(2));
}

#[test]
fn a_thousand_services_with_one_key_and_port_hold_a_thousand_addresses() {
    let mut allocator = allocator(&[pool("a", &["10.0.0.0/16"])]);
    let (web, both) = (
        claim(&["TCP/80"], "k", ""),
        claim(&["TCP/80", "TCP/443"], "k", ""),
    );
    for n in 0..1000 {
        let got = allocator.allocate(&key(&format!("s{n}")), V4, &web);
        assert_eq!(got, Ok(vec![v4(n)]));
    }
    // Others with other ports join them from the lowest on.
    for n in 0..300 {
        let got = allocator.allocate(&key(&format!("t{n}")), V4, &claim(&["TCP/443"], "k", ""));
        assert_eq!(got, Ok(vec![v4(n)]));
    }
    assert_eq!(allocator.allocate(&key("u"), V4, &both), Ok(vec![v4(1000)]));
    allocator.unassign(&key("s700"));
    assert_eq!(allocator.allocate(&key("v"), V4, &both), Ok(vec![v4(700)]));
    allocator.unassign(&key("s200"));
    assert_eq!(allocator.allocate(&key("w"), V4, &both), Ok(vec![v4(1001)]));
    assert_eq!(allocator.allocate(&key("x"), V4, &web), Ok(vec![v4(200)]));
    allocator.audit();
}

#[test]
fn ipv6_addresses_far_apart_are_held_without_a_walk_between_them() {
    let mut allocator = allocator(&[pool("a", &["fd00::/64", "fd00:1::/48"])]);
    for n in 0..1000_u32 {
        let address = ip(&format!("fd00:1:0:{n:x}::{n:x}"));
        allocator
            .assign(&key(&format!("s{n}")), &[address], &alone())
            .unwrap();
    }
    for want in ["fd00::", "fd00::1"] {
        let got = allocator.allocate(&key(want), V6, &alone());
        assert_eq!(got, Ok(ips(&[want])));
    }
    assert_eq!(usage(&allocator), [("a", i64::MAX, 1002)]);
    for n in 0..1000 {
        assert!(allocator.unassign(&key(&format!("s{n}"))));
    }
    assert_eq!(usage(&allocator), [("a", i64::MAX, 2)]);
    allocator.audit();
}
