use std::str::FromStr;

use ipnet::IpNet;

use super::*;
use crate::allocator::error::Mismatch;
use crate::config::Protocol;
use crate::ip::range::cidrs_of;

mod against_model;
mod audit;
mod messages;
mod model;
mod scale;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn ips(all: &[&str]) -> Vec<IpAddr> {
    all.iter().map(|text| ip(text)).collect()
}

fn key(name: &str) -> ObjectKey {
    ObjectKey::new("default", name)
}

/// A pool of CIDRs and ranges `first-last`, with auto-assign.
fn pool(name: &str, addresses: &[&str]) -> Pool {
    Pool {
        name: name.to_owned(),
        protocol: Protocol::Layer2,
        auto_assign: true,
        avoid_buggy_ips: false,
        cidrs: addresses
            .iter()
            .flat_map(|text| match text.split_once('-') {
                Some((first, last)) => cidrs_of(ip(first), ip(last)),
                None => vec![IpNet::from_str(text).unwrap()],
            })
            .collect(),
        bgp_advertisements: Vec::new(),
    }
}

fn manual(pool: Pool) -> Pool {
    Pool {
        auto_assign: false,
        ..pool
    }
}

fn avoiding(pool: Pool) -> Pool {
    Pool {
        avoid_buggy_ips: true,
        ..pool
    }
}

fn port(text: &str) -> Port {
    let (protocol, port) = text.split_once('/').unwrap();
    Port {
        protocol: protocol.into(),
        port: port.parse().unwrap(),
    }
}

/// A claim `ports`, sharing key, backend key.
fn claim(ports: &[&str], sharing_key: &str, backend_key: &str) -> Claim {
    Claim {
        ports: ports.iter().map(|text| port(text)).collect(),
        sharing_key: sharing_key.to_owned(),
        backend_key: backend_key.to_owned(),
    }
}

fn alone() -> Claim {
    claim(&["TCP/80"], "", "")
}

fn allocator(pools: &[Pool]) -> Allocator {
    let mut allocator = Allocator::default();
    allocator.set_pools(pools).unwrap();
    allocator
}

const V4: Families = Families::One(Family::V4);
const V6: Families = Families::One(Family::V6);

fn usage(allocator: &Allocator) -> Vec<(&str, i64, i64)> {
    allocator
        .usage()
        .map(|pool| (pool.name, pool.capacity, pool.in_use))
        .collect()
}

#[test]
fn addresses_are_given_ascending_from_entries_in_configured_order() {
    let mut allocator = allocator(&[pool("a", &["10.0.9.0/31", "10.0.1.0/31", "10.0.1.2/32"])]);
    let mut given = Vec::new();
    for name in ["s0", "s1", "s2", "s3", "s4"] {
        given.extend(allocator.allocate(&key(name), V4, &alone()).unwrap());
    }
    assert_eq!(
        given,
        ips(&["10.0.9.0", "10.0.9.1", "10.0.1.0", "10.0.1.1", "10.0.1.2"])
    );
    assert_eq!(
        allocator.allocate(&key("s5"), V4, &alone()),
        Err(Refusal::Exhausted {
            families: V4,
            pools: 1
        })
    );
    assert_eq!(allocator.held(&key("s5")), None);
}

#[test]
fn the_lowest_address_that_was_given_back_is_given_next() {
    let mut allocator = allocator(&[pool("a", &["10.0.0.0/22"])]);
    let names: Vec<_> = (0..1024).map(|n| key(&format!("s{n}"))).collect();
    for name in &names {
        allocator.allocate(name, V4, &alone()).unwrap();
    }
    for back in [700, 3, 255, 256] {
        assert!(allocator.unassign(&names[back]));
    }
    for want in ["10.0.0.3", "10.0.0.255", "10.0.1.0", "10.0.2.188"] {
        let got = allocator.allocate(&key(want), V4, &alone());
        assert_eq!(got, Ok(ips(&[want])));
    }
    assert!(allocator.allocate(&key("late"), V4, &alone()).is_err());
}

#[test]
fn pools_are_asked_in_configured_order_and_only_those_with_auto_assign() {
    let mut allocator = allocator(&[
        manual(pool("hidden", &["10.0.0.0/24"])),
        pool("z", &["10.0.3.0/32"]),
        pool("a", &["10.0.2.0/32"]),
    ]);
    for (name, want) in [("s0", "10.0.3.0"), ("s1", "10.0.2.0")] {
        assert_eq!(
            allocator.allocate(&key(name), V4, &alone()),
            Ok(ips(&[want]))
        );
    }
    assert!(allocator.allocate(&key("s2"), V4, &alone()).is_err());
    assert_eq!(
        allocator.allocate_from_pool(&key("s2"), V4, "hidden", &alone()),
        Ok(ips(&["10.0.0.0"]))
    );
    assert_eq!(
        allocator.allocate_from_pool(&key("s3"), V4, "nowhere", &alone()),
        Err(Refusal::UnknownPool {
            pool: "nowhere".into()
        })
    );
}

#[test]
fn dual_stack_addresses_come_from_one_pool_in_the_order_of_its_entries() {
    let mut allocator = allocator(&[
        pool("v4-only", &["10.0.0.0/30"]),
        pool("v6-only", &["fd00::/126"]),
        pool("both", &["fd00:1::/127", "10.0.1.0/31"]),
        manual(pool("other", &["10.0.2.0/32", "fd00:2::/126"])),
    ]);
    let dual = Families::Dual;
    assert_eq!(
        allocator.allocate(&key("s0"), dual, &alone()),
        Ok(ips(&["fd00:1::", "10.0.1.0"]))
    );
    assert_eq!(
        allocator.allocate_from_pool(&key("s1"), dual, "other", &alone()),
        Ok(ips(&["10.0.2.0", "fd00:2::"]))
    );
    assert_eq!(
        allocator.allocate_from_pool(&key("s2"), dual, "other", &alone()),
        Err(Refusal::PoolExhausted {
            pool: "other".into(),
            families: dual
        })
    );
    // The refused half took nothing.
    assert_eq!(
        allocator.allocate_from_pool(&key("s2"), V6, "other", &alone()),
        Ok(ips(&["fd00:2::1"]))
    );
    assert_eq!(
        usage(&allocator),
        [
            ("v4-only", 4, 0),
            ("v6-only", 4, 0),
            ("both", 4, 2),
            ("other", 5, 3)
        ]
    );
}

#[test]
fn addresses_ending_in_0_and_255_are_left_out_where_the_pool_avoids_them() {
    let mut allocator = allocator(&[avoiding(pool(
        "a",
        &["10.0.0.254-10.0.1.1", "10.0.3.255/32", "fd00::/127"],
    ))]);
    assert_eq!(usage(&allocator), [("a", 4, 0)]);
    for (name, want) in [("s0", "10.0.0.254"), ("s1", "10.0.1.1")] {
        assert_eq!(
            allocator.allocate(&key(name), V4, &alone()),
            Ok(ips(&[want]))
        );
    }
    assert!(allocator.allocate(&key("s2"), V4, &alone()).is_err());
    assert_eq!(
        allocator.allocate(&key("s2"), V6, &alone()),
        Ok(ips(&["fd00::"]))
    );
    assert_eq!(allocator.pool_of(&ips(&["10.0.1.0"])), None);
    assert!(matches!(
        allocator.assign(&key("s3"), &ips(&["10.0.0.255"]), &alone()),
        Err(Refusal::NotAllowed {
            why: Uncovered::Buggy { .. },
            ..
        })
    ));
}

#[test]
fn an_entry_of_avoided_addresses_alone_is_passed_over() {
    let only_buggy = ["10.0.3.255/32", "10.0.0.255-10.0.1.0", "10.0.4.7/32"];
    let mut allocator = allocator(&[avoiding(pool("a", &only_buggy))]);
    assert_eq!(usage(&allocator), [("a", 1, 0)]);
    assert_eq!(
        allocator.allocate(&key("s0"), V4, &alone()),
        Ok(ips(&["10.0.4.7"]))
    );
    assert!(allocator.allocate(&key("s1"), V4, &alone()).is_err());
    allocator.audit();
}

#[test]
fn network_and_broadcast_addresses_are_used_unless_avoided() {
    let mut allocator = allocator(&[pool("a", &["10.0.0.0/24"])]);
    let given: Vec<_> = (0..256)
        .map(|n| allocator.allocate(&key(&format!("s{n}")), V4, &alone()))
        .collect();
    assert_eq!(given[0], Ok(ips(&["10.0.0.0"])));
    assert_eq!(given[255], Ok(ips(&["10.0.0.255"])));
    assert_eq!(usage(&allocator), [("a", 256, 256)]);
}

#[test]
fn services_share_the_lowest_address_that_their_key_and_ports_allow() {
    let mut allocator = allocator(&[pool("a", &["10.0.0.0/28"])]);
    let mut allocate = |name: &str, claim: &Claim| allocator.allocate(&key(name), V4, claim);
    let table = [
        ("alone", claim(&["TCP/9"], "", ""), "10.0.0.0"),
        ("first", claim(&["TCP/80"], "k", ""), "10.0.0.1"),
        ("other port", claim(&["UDP/80"], "k", ""), "10.0.0.1"),
        (
            "same port",
            claim(&["TCP/80", "TCP/81"], "k", ""),
            "10.0.0.2",
        ),
        ("other key", claim(&["TCP/82"], "l", ""), "10.0.0.3"),
        ("local", claim(&["TCP/83"], "k", "app=a"), "10.0.0.4"),
        ("local too", claim(&["TCP/84"], "k", "app=a"), "10.0.0.4"),
        (
            "other selector",
            claim(&["TCP/85"], "k", "app=b"),
            "10.0.0.5",
        ),
        ("no key", claim(&["TCP/86"], "", ""), "10.0.0.6"),
        ("second", claim(&["TCP/443", "TCP/80"], "k", ""), "10.0.0.7"),
        ("third", claim(&["TCP/443"], "k", ""), "10.0.0.1"),
    ];
    for (name, claim, want) in table {
        assert_eq!(allocate(name, &claim), Ok(ips(&[want])), "{name}");
    }
    assert_eq!(usage(&allocator), [("a", 16, 8)]);
}

#[test]
fn a_free_address_before_the_shared_ones_is_taken_first() {
    let mut allocator = allocator(&[pool("a", &["10.0.0.0/28"])]);
    allocator
        .assign(
            &key("s0"),
            &ips(&["10.0.0.5"]),
            &claim(&["TCP/80"], "k", ""),
        )
        .unwrap();
    assert_eq!(
        allocator.allocate(&key("s1"), V4, &claim(&["TCP/81"], "k", "")),
        Ok(ips(&["10.0.0.0"]))
    );
}

#[test]
fn the_only_holder_may_change_its_key_and_others_may_not() {
    let mut allocator = allocator(&[pool("a", &["10.0.0.0/28"])]);
    let address = ips(&["10.0.0.1"]);
    for keys in ["k", "", "l"] {
        let claim = claim(&["TCP/80"], keys, "");
        assert_eq!(allocator.assign(&key("s0"), &address, &claim), Ok(()));
    }
    let second = claim(&["TCP/81"], "l", "");
    assert_eq!(allocator.assign(&key("s1"), &address, &second), Ok(()));
    let refused = allocator.assign(&key("s0"), &address, &claim(&["TCP/80"], "k", ""));
    assert!(matches!(
        refused,
        Err(Refusal::KeyInUse {
            why: Mismatch::SharingKey { .. },
            ..
        })
    ));
    // What it held it still holds, with its port.
    let third = claim(&["TCP/80"], "l", "");
    assert_eq!(
        allocator.assign(&key("s2"), &address, &third),
        Err(Refusal::PortInUse {
            port: port("TCP/80"),
            address: address[0],
            by: key("s0")
        })
    );
    assert!(allocator.unassign(&key("s0")));
    assert_eq!(allocator.assign(&key("s2"), &address, &third), Ok(()));
    assert_eq!(usage(&allocator), [("a", 16, 1)]);
}

#[test]
fn a_service_changes_its_ports_in_place_or_not_at_all() {
    let mut allocator = allocator(&[pool("a", &["10.0.0.0/28"])]);
    let address = ips(&["10.0.0.1"]);
    let mut assign = |name: &str, ports: &[&str]| {
        allocator
            .assign(&key(name), &address, &claim(ports, "k", ""))
            .is_ok()
    };
    assert!(assign("s0", &["TCP/80"]));
    assert!(assign("s1", &["TCP/81"]));
    assert!(!assign("s0", &["TCP/82", "TCP/81"]));
    assert!(assign("s1", &["TCP/81", "TCP/82", "TCP/82"]));
    assert!(!assign("s2", &["TCP/80"]));
    assert!(assign("s0", &["TCP/83"]));
    assert!(assign("s2", &["TCP/80"]));
}

#[test]
fn assigning_other_addresses_gives_back_the_old_ones_and_a_refusal_keeps_them() {
    let mut allocator = allocator(&[pool("a", &["10.0.0.0/28", "fd00::/124"])]);
    let (old, new) = (ips(&["10.0.0.1", "fd00::1"]), ips(&["fd00::2"]));
    allocator.assign(&key("s0"), &old, &alone()).unwrap();
    allocator
        .assign(&key("s1"), &ips(&["10.0.0.3"]), &alone())
        .unwrap();
    for wrong in [
        ips(&["fd00::3", "10.0.0.3"]),
        ips(&["fd00::3", "10.0.9.9"]),
        ips(&["fd00::3", "fd00::3"]),
        ips(&[]),
    ] {
        assert!(allocator.assign(&key("s0"), &wrong, &alone()).is_err());
        assert_eq!(allocator.held(&key("s0")).unwrap().addresses, old);
        assert_eq!(usage(&allocator), [("a", 32, 3)]);
    }
    allocator.assign(&key("s0"), &new, &alone()).unwrap();
    assert_eq!(allocator.held(&key("s0")).unwrap().addresses, new);
    assert_eq!(usage(&allocator), [("a", 32, 2)]);
    assert_eq!(
        allocator.allocate(&key("s2"), Families::Dual, &alone()),
        Ok(ips(&["10.0.0.0", "fd00::"]))
    );
}

#[test]
fn addresses_of_one_service_must_be_in_one_pool() {
    let mut allocator = allocator(&[pool("a", &["10.0.0.0/28"]), pool("b", &["fd00::/124"])]);
    let apart = ips(&["10.0.0.1", "fd00::1"]);
    assert_eq!(allocator.pool_of(&apart), None);
    assert!(matches!(
        allocator.assign(&key("s0"), &apart, &alone()),
        Err(Refusal::NotAllowed {
            why: Uncovered::Apart { .. },
            ..
        })
    ));
    assert_eq!(allocator.pool_of(&apart[..1]), Some("a"));
    assert_eq!(allocator.pool_of(&apart[1..]), Some("b"));
    assert_eq!(allocator.pool_of(&[]), None);
}

#[test]
fn a_service_that_holds_addresses_keeps_them_whatever_pool_it_asks_for() {
    let mut allocator = allocator(&[pool("a", &["10.0.0.0/28"]), pool("b", &["10.0.1.0/28"])]);
    let held = allocator.allocate(&key("s0"), V4, &alone());
    assert_eq!(
        allocator.allocate_from_pool(&key("s0"), V4, "b", &alone()),
        held
    );
    assert_eq!(
        allocator.allocate_from_pool(&key("s0"), V4, "nowhere", &alone()),
        held
    );
    assert_eq!(allocator.allocate(&key("s0"), V4, &alone()), held);
    assert!(matches!(
        allocator.allocate(&key("s0"), V6, &alone()),
        Err(Refusal::WrongFamily { .. })
    ));
    assert_eq!(allocator.held(&key("s0")).unwrap().pool, "a");
}

#[test]
fn held_addresses_follow_renamed_and_moved_pools() {
    let mut allocator = allocator(&[pool("a", &["10.0.0.0/28"]), pool("b", &["10.0.1.0/30"])]);
    allocator.allocate(&key("s0"), V4, &alone()).unwrap();
    allocator
        .allocate_from_pool(&key("s1"), V4, "b", &alone())
        .unwrap();
    allocator
        .set_pools(&[
            pool("new", &["10.0.1.0/24"]),
            manual(pool("moved", &["10.0.0.0/31"])),
        ])
        .unwrap();
    assert_eq!(allocator.held(&key("s0")).unwrap().pool, "moved");
    assert_eq!(allocator.held(&key("s1")).unwrap().pool, "new");
    assert_eq!(usage(&allocator), [("new", 256, 1), ("moved", 2, 1)]);
    assert_eq!(
        allocator.allocate(&key("s2"), V4, &alone()),
        Ok(ips(&["10.0.1.1"]))
    );
}

#[test]
fn pools_that_leave_held_addresses_out_are_refused_whole_naming_each() {
    let mut allocator = allocator(&[pool("a", &["10.0.0.0/24", "fd00::/120"])]);
    for (name, addresses) in [
        ("s3", ips(&["10.0.0.3", "fd00::3"])),
        ("s1", ips(&["10.0.0.1"])),
        ("s0", ips(&["10.0.0.0"])),
        ("s9", ips(&["10.0.0.9"])),
    ] {
        allocator.assign(&key(name), &addresses, &alone()).unwrap();
    }
    let refused = allocator
        .set_pools(&[
            avoiding(pool("b", &["10.0.0.0/29"])),
            pool("c", &["fd00::/120"]),
        ])
        .unwrap_err();
    let named: Vec<_> = refused
        .orphans
        .iter()
        .map(|orphan| (orphan.service.name(), orphan.address.to_string()))
        .collect();
    assert_eq!(
        named,
        [
            ("s0", "10.0.0.0".to_owned()),
            ("s3", "fd00::3".to_owned()),
            ("s9", "10.0.0.9".to_owned())
        ]
    );
    assert_eq!(usage(&allocator), [("a", 512, 5)]);
    assert_eq!(allocator.held(&key("s9")).unwrap().pool, "a");
}

#[test]
fn capacity_is_what_the_pool_can_give() {
    let table: &[(Pool, i64)] = &[
        (pool("a", &[]), 0),
        (pool("a", &["10.0.0.0/8"]), 1 << 24),
        (avoiding(pool("a", &["10.0.0.0/8"])), (1 << 24) - (1 << 17)),
        (
            avoiding(pool("a", &["10.0.2.0-10.0.2.6", "fd00:2::/126"])),
            10,
        ),
        (avoiding(pool("a", &["10.0.2.0/32", "10.0.2.255/32"])), 0),
        (pool("a", &["fd00::/67"]), 1 << 61),
        (pool("a", &["fd00::/66"]), i64::MAX),
        (pool("a", &["::/0"]), i64::MAX),
        (
            pool("a", &["fd00::/67", "fd01::/67", "fd02::/67", "fd03::/67"]),
            i64::MAX,
        ),
    ];
    for (pool, want) in table {
        let allocator = allocator(std::slice::from_ref(pool));
        assert_eq!(usage(&allocator), [("a", *want, 0)], "{:?}", pool.cidrs);
    }
}

#[test]
fn the_whole_of_ipv6_is_a_pool_without_the_ipv4_addresses() {
    let mut allocator = allocator(&[pool("all", &["::/0"])]);
    assert_eq!(
        allocator.allocate(&key("s0"), V6, &alone()),
        Ok(ips(&["::"]))
    );
    assert!(allocator.allocate(&key("s1"), V4, &alone()).is_err());
    assert_eq!(allocator.pool_of(&ips(&["10.0.0.1"])), None);
    let last = ips(&["ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"]);
    assert_eq!(allocator.assign(&key("s1"), &last, &alone()), Ok(()));
    assert_eq!(usage(&allocator), [("all", i64::MAX, 2)]);
}

#[test]
fn families_are_those_of_one_address_or_of_one_each() {
    assert_eq!(Families::of(&ips(&["10.0.0.1"])), Some(V4));
    assert_eq!(
        Families::of(&ips(&["fd00::1", "10.0.0.1"])),
        Some(Families::Dual)
    );
    assert_eq!(Families::of(&ips(&["10.0.0.1", "10.0.0.2"])), None);
    assert_eq!(Families::of(&[]), None);
}
