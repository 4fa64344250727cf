//! The index finds the pool that a scan over all pools would find.

use ipnet::{IpNet, Ipv4Subnets, Ipv6Subnets};
use proptest::prelude::*;

use super::*;
use crate::config::{Config, Pool};
use crate::speaker::pools::{NotAllowed, Pools};

/// A small world: addresses are 10.0.0.0 and fd00:: plus a number.
fn v4(number: u16) -> std::net::Ipv4Addr {
    (0x0a00_0000 + u32::from(number)).into()
}

fn v6(number: u16) -> std::net::Ipv6Addr {
    ((0xfd00_u128 << 112) + u128::from(number)).into()
}

/// Every second stretch between these points belongs to a pool; the pools take turns.
fn configuration(points: &BTreeSet<u16>, pools: usize) -> Config {
    let mut config = Config {
        pools: (0..pools)
            .map(|number| Pool {
                name: format!("pool-{number}"),
                protocol: Protocol::Layer2,
                auto_assign: true,
                avoid_buggy_ips: false,
                cidrs: Vec::new(),
                bgp_advertisements: Vec::new(),
            })
            .collect(),
        ..Config::default()
    };
    let points: Vec<u16> = points.iter().copied().collect();
    for (turn, ends) in points.chunks_exact(2).enumerate() {
        let four = Ipv4Subnets::new(v4(ends[0]), v4(ends[1]), 0).map(IpNet::from);
        let six = Ipv6Subnets::new(v6(ends[0]), v6(ends[1]), 0).map(IpNet::from);
        // From the last to the first, so that no pool is sorted by chance.
        let cidrs = &mut config.pools[turn % pools].cidrs;
        cidrs.splice(0..0, four.chain(six));
    }
    config
}

proptest! {
    #[test]
    fn a_look_up_finds_what_a_scan_finds(
        points in prop::collection::btree_set(any::<u16>(), 0..24),
        pools in 1_usize..5,
        asked in prop::collection::vec(any::<u16>(), 0..20),
    ) {
        let config = configuration(&points, pools);
        let index = Pools::new(&config, BgpType::Native);
        let edges = points.iter().flat_map(|&point| [point.saturating_sub(1), point, point.saturating_add(1)]);
        for number in asked.into_iter().chain(edges) {
            for ip in [IpAddr::from(v4(number)), IpAddr::from(v6(number))] {
                let scanned = config.pools.iter().find(|pool| pool.contains(ip));
                let found = index.of_all(&[ip]);
                match scanned {
                    Some(pool) => prop_assert_eq!(&*found.unwrap().name, &pool.name),
                    None => prop_assert_eq!(found, Err(NotAllowed::Outside(ip))),
                }
            }
        }
    }
}

#[test]
fn the_whole_address_space_is_a_pool_like_any_other() {
    let mut config = configuration(&BTreeSet::new(), 1);
    config.pools[0].cidrs = vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()];
    let index = Pools::new(&config, BgpType::Native);
    for address in [
        "0.0.0.0",
        "255.255.255.255",
        "::",
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    ] {
        assert!(index.of_all(&[ip(address)]).is_ok(), "{address}");
    }
    assert_eq!(index.of_all(&[]), Err(NotAllowed::Nothing));
}
