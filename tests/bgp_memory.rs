//! What the peers' routes cost in memory: counted by the allocator, so this test has a program of its own.

#![expect(clippy::unwrap_used, reason = "a test: a panic is its report")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ferrolb::bgp::rib_out::{RibOut, Session};
use ferrolb::bgp::wire::Context;
use ferrolb::bgp::wire::update::NextHop6;
use ferrolb::bgp::{Attributes, Origin};
use ipnet::IpNet;

#[path = "support/heap.rs"]
mod heap;

use heap::costs;

const PEERS: usize = 64;
const ROUTES: u32 = 10_000;

/// 64 peers with 10,000 routes each, at the moment when all of them have just come up.
const BUDGET: usize = 60_000_000;

/// The most that one route of one peer may cost, whatever is pending.
const PER_ROUTE: usize = 100;

fn session() -> Session {
    Session {
        context: Context {
            four_octet: true,
            ipv4: true,
            ipv6: true,
            ..Context::default()
        },
        my_asn: 65_001,
        next_hop_v4: Some(Ipv4Addr::new(192, 0, 2, 1)),
        next_hop_v6: Some(NextHop6 {
            global: Ipv6Addr::LOCALHOST,
            link_local: None,
        }),
    }
}

fn prefix(n: u32) -> IpNet {
    if n.is_multiple_of(2) {
        IpAddr::from(Ipv4Addr::from_bits(0x0a00_0000 + n)).into()
    } else {
        IpAddr::from(Ipv6Addr::from_bits(0x2001_0db8 << 96 | u128::from(n) << 32)).into()
    }
}

fn attributes(n: u32) -> Arc<Attributes> {
    Arc::new(Attributes {
        origin: Origin::Incomplete,
        local_pref: 100,
        communities: Box::new([n]),
    })
}

/// Bytes held by the peers when all are told, and the most on the way there.
fn held(peers: usize, kinds: u32) -> (usize, usize) {
    let kinds: Vec<Arc<Attributes>> = (0..kinds).map(attributes).collect();
    let mut ribs: Vec<RibOut> = (0..peers).map(|_| RibOut::new()).collect();
    let ((), held, peak) = costs(|| announce_all(&mut ribs, &kinds));
    (held, peak)
}

fn announce_all(ribs: &mut [RibOut], kinds: &[Arc<Attributes>]) {
    // As the Services come: in no order of theirs, to every peer in turn.
    for n in 0..ROUTES {
        let n = n * 7919 % ROUTES;
        let kind = &kinds[usize::try_from(n).unwrap() % kinds.len()];
        for rib in ribs.iter_mut() {
            rib.set(prefix(n), Some(Arc::clone(kind)));
        }
    }
    // All come up at a time.
    for rib in ribs.iter_mut() {
        rib.start(session());
    }
    for rib in ribs {
        while rib.poll_message().is_some() {}
        assert_eq!(rib.advertised(), usize::try_from(ROUTES).unwrap());
    }
}

#[test]
fn sixty_four_peers_with_ten_thousand_routes_are_affordable() {
    let (held, peak) = held(PEERS, 4);
    println!("64 peers, 10,000 routes: {held} bytes held, {peak} at most");
    assert!(peak < BUDGET, "{peak}");
    assert!(held < peak);
}

#[test]
fn a_route_costs_little_even_if_each_has_its_own_attributes() {
    for kinds in [1, 100, ROUTES] {
        let (held, peak) = held(1, kinds);
        let routes = usize::try_from(ROUTES).unwrap();
        println!(
            "{kinds} kinds of attributes: {} bytes a route, {} at most",
            held / routes,
            peak / routes
        );
        assert!(held / routes <= PER_ROUTE, "{}", held / routes);
        // While it comes up, what is pending is counted twice for a moment.
        assert!(peak / routes <= 2 * PER_ROUTE, "{}", peak / routes);
    }
}
