use std::net::{IpAddr, Ipv6Addr};

use super::*;
use crate::bgp::Origin;
use crate::bgp::wire::{Message, decode};

mod model;

mod read;

use read::{Said, read};

/// What both sides speak today, on IPv4, with an IPv6 address at hand.
fn session() -> Session {
    Session {
        context: Context {
            internal: false,
            four_octet: true,
            extended: false,
            refresh: true,
            enhanced_refresh: true,
            ipv4: true,
            ipv6: true,
            extended_next_hop: false,
        },
        my_asn: 65_001,
        next_hop_v4: Some(Ipv4Addr::new(192, 0, 2, 1)),
        next_hop_v6: Some(NextHop6 {
            global: Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1),
            link_local: None,
        }),
    }
}

fn with(change: impl FnOnce(&mut Session)) -> Session {
    let mut session = session();
    change(&mut session);
    session
}

fn attributes(communities: &[u32]) -> Arc<Attributes> {
    Arc::new(Attributes {
        origin: Origin::Igp,
        local_pref: 100,
        communities: communities.into(),
    })
}

fn net(prefix: &str) -> IpNet {
    prefix.parse().unwrap()
}

fn host(n: u32) -> IpNet {
    IpAddr::from(Ipv4Addr::from_bits(0x0a00_0000 + n)).into()
}

/// All that there is to say.
fn drain(rib: &mut RibOut) -> Vec<Said> {
    let session = rib.session.unwrap_or(session());
    let mut said = Vec::new();
    while !rib.is_idle() {
        let message = rib
            .poll_message()
            .expect("who is not idle has something to say");
        said.push(read(&message, &session.context));
    }
    assert_eq!(rib.poll_message(), None);
    assert_eq!(rib.pending(), 0);
    said
}

/// A session in which everything was said.
fn settled(routes: &[(&str, &[u32])], session: Session) -> RibOut {
    let mut rib = RibOut::new();
    for (prefix, communities) in routes {
        rib.set(net(prefix), Some(attributes(communities)));
    }
    rib.start(session);
    drain(&mut rib);
    rib
}

fn announced(prefixes: &[&str], communities: &[u32]) -> Said {
    Said::Announced {
        prefixes: prefixes.iter().map(|prefix| net(prefix)).collect(),
        communities: communities.to_vec(),
        local_pref: None,
    }
}

fn withdrawn(prefixes: &[&str]) -> Said {
    Said::Withdrawn(prefixes.iter().map(|prefix| net(prefix)).collect())
}

const EOR4: Said = Said::EndOfRib(Family::IPV4_UNICAST);
const EOR6: Said = Said::EndOfRib(Family::IPV6_UNICAST);

#[test]
fn nothing_is_said_without_a_session() {
    let mut rib = RibOut::new();
    rib.set(net("203.0.113.1/32"), Some(attributes(&[])));
    assert!(rib.is_idle());
    assert_eq!(rib.poll_message(), None);
    rib.refresh(Family::IPV4_UNICAST);
    assert!(rib.is_idle());
    assert_eq!((rib.wanted(), rib.advertised(), rib.pending()), (1, 0, 0));
    assert_eq!(rib.unsendable(), Unsendable::default());
}

#[test]
fn everything_is_said_and_then_that_it_is_everything() {
    let mut rib = RibOut::new();
    rib.set(net("2001:db8::2/128"), Some(attributes(&[2])));
    rib.set(net("203.0.113.2/32"), Some(attributes(&[2])));
    rib.set(net("203.0.113.3/32"), Some(attributes(&[1])));
    // Host bits do not count.
    rib.set(net("203.0.113.1/24"), Some(attributes(&[2])));
    rib.start(session());
    assert_eq!((rib.wanted(), rib.advertised(), rib.pending()), (4, 0, 4));
    assert_eq!(
        drain(&mut rib),
        [
            announced(&["203.0.113.0/24", "203.0.113.2/32"], &[2]),
            announced(&["2001:db8::2/128"], &[2]),
            EOR6,
            announced(&["203.0.113.3/32"], &[1]),
            EOR4,
        ]
    );
    assert_eq!((rib.wanted(), rib.advertised(), rib.pending()), (4, 4, 0));
    // A new session is told the same, in the same order.
    rib.stop();
    assert_eq!((rib.wanted(), rib.advertised(), rib.pending()), (4, 0, 0));
    assert!(rib.is_idle());
    rib.start(session());
    assert_eq!(drain(&mut rib).len(), 5);
}

#[test]
fn a_peer_that_gets_nothing_is_told_so() {
    let mut rib = RibOut::new();
    rib.start(session());
    assert!(!rib.is_idle());
    assert_eq!(drain(&mut rib), [EOR4, EOR6]);
    let mut rib = RibOut::new();
    rib.start(with(|session| session.context.ipv6 = false));
    assert_eq!(drain(&mut rib), [EOR4]);
}

#[test]
fn ten_thousand_equal_routes_are_few_messages() {
    let common = attributes(&[65_001 << 16 | 1]);
    for (extended, messages) in [(false, 13), (true, 1)] {
        let mut rib = RibOut::new();
        for n in 0..10_000 {
            // Equal attributes need not be one allocation.
            rib.set(host(n), Some(Arc::new((*common).clone())));
        }
        rib.start(with(|session| session.context.extended = extended));
        let said = drain(&mut rib);
        assert_eq!(said.len(), messages + 2);
        assert_eq!(rib.advertised(), 10_000);
        for n in 0..10_000 {
            rib.set(host(n), None);
        }
        assert_eq!(rib.pending(), 10_000);
        assert_eq!(drain(&mut rib).len(), messages);
        assert_eq!(
            (rib.advertised(), rib.routes.len(), rib.groups.len()),
            (0, 0, 0)
        );
    }
}

#[test]
fn one_change_among_ten_thousand_is_one_small_message() {
    let mut rib = RibOut::new();
    for n in 0..10_000 {
        rib.set(host(n), Some(attributes(&[1])));
    }
    rib.start(session());
    drain(&mut rib);
    rib.set(host(5_000), Some(attributes(&[2])));
    let message = rib.poll_message().unwrap();
    assert!(message.len() < 64, "{}", message.len());
    assert_eq!(
        read(&message, &session().context),
        announced(&["10.0.19.136/32"], &[2])
    );
    assert!(rib.is_idle());
    rib.set(host(5_000), None);
    assert_eq!(drain(&mut rib), [withdrawn(&["10.0.19.136/32"])]);
}

#[test]
fn what_is_taken_back_in_time_is_not_said() {
    let mut rib = settled(&[("203.0.113.1/32", &[1])], session());
    let prefix = net("203.0.113.1/32");
    // Another value and back, gone and back, new and gone, the same again.
    rib.set(prefix, Some(attributes(&[2])));
    rib.set(prefix, Some(attributes(&[1])));
    assert!(rib.is_idle());
    rib.set(prefix, None);
    assert_eq!(rib.pending(), 1);
    rib.set(prefix, Some(attributes(&[1])));
    assert!(rib.is_idle());
    rib.set(net("203.0.113.2/32"), Some(attributes(&[1])));
    rib.set(net("203.0.113.2/32"), None);
    rib.set(net("203.0.113.2/32"), None);
    rib.set(prefix, Some(attributes(&[1])));
    assert_eq!(drain(&mut rib), []);
    assert_eq!((rib.routes.len(), rib.groups.len()), (1, 1));
    // Only the newest is said.
    for community in 2..10 {
        rib.set(prefix, Some(attributes(&[community])));
    }
    assert_eq!(drain(&mut rib), [announced(&["203.0.113.1/32"], &[9])]);
    assert_eq!(rib.groups.len(), 1);
}

#[test]
fn withdrawals_go_first_and_replacing_needs_none() {
    let mut rib = settled(
        &[
            ("203.0.113.1/32", &[1]),
            ("203.0.113.2/32", &[1]),
            ("2001:db8::1/128", &[1]),
        ],
        session(),
    );
    rib.set(net("203.0.113.2/32"), Some(attributes(&[2])));
    rib.set(net("203.0.113.3/32"), Some(attributes(&[1])));
    rib.set(net("203.0.113.1/32"), None);
    rib.set(net("2001:db8::1/128"), None);
    assert_eq!(
        drain(&mut rib),
        [
            withdrawn(&["203.0.113.1/32"]),
            withdrawn(&["2001:db8::1/128"]),
            announced(&["203.0.113.3/32"], &[1]),
            announced(&["203.0.113.2/32"], &[2]),
        ]
    );
}

#[test]
fn a_refresh_has_a_beginning_and_an_end() {
    let routes: [(&str, &[u32]); 2] = [("203.0.113.1/32", &[1]), ("2001:db8::1/128", &[1])];
    let mut rib = settled(&routes, session());
    rib.refresh(Family::IPV4_UNICAST);
    assert_eq!(
        drain(&mut rib),
        [
            Said::Begin(Family::IPV4_UNICAST),
            announced(&["203.0.113.1/32"], &[1]),
            Said::End(Family::IPV4_UNICAST),
        ]
    );
    // RFC 2918 §4: other families are ignored.
    rib.refresh(Family { afi: 1, safi: 2 });
    assert!(rib.is_idle());
    let mut rib = settled(&routes, with(|session| session.context.ipv6 = false));
    rib.refresh(Family::IPV6_UNICAST);
    assert!(rib.is_idle());
    // Without RFC 7313 the routes come alone.
    let mut rib = settled(
        &routes,
        with(|session| session.context.enhanced_refresh = false),
    );
    rib.refresh(Family::IPV6_UNICAST);
    assert_eq!(drain(&mut rib), [announced(&["2001:db8::1/128"], &[1])]);
    // Nothing to say again.
    let mut rib = settled(
        &[],
        with(|session| session.context.enhanced_refresh = false),
    );
    rib.refresh(Family::IPV6_UNICAST);
    assert!(rib.is_idle());
    let mut rib = settled(&[], session());
    rib.refresh(Family::IPV6_UNICAST);
    assert_eq!(
        drain(&mut rib),
        [
            Said::Begin(Family::IPV6_UNICAST),
            Said::End(Family::IPV6_UNICAST)
        ]
    );
}

#[test]
fn a_refresh_waits_for_end_of_rib() {
    // RFC 7313 §4.
    let mut rib = RibOut::new();
    rib.set(net("203.0.113.1/32"), Some(attributes(&[1])));
    rib.start(with(|session| session.context.ipv6 = false));
    for _ in 0..3 {
        rib.refresh(Family::IPV4_UNICAST);
    }
    let route = announced(&["203.0.113.1/32"], &[1]);
    assert_eq!(
        drain(&mut rib),
        [
            route.clone(),
            EOR4,
            Said::Begin(Family::IPV4_UNICAST),
            route,
            Said::End(Family::IPV4_UNICAST),
        ]
    );
}

#[test]
fn who_asks_again_and_again_is_told_once_more() {
    for enhanced in [true, false] {
        let mut rib = RibOut::new();
        for n in 0..2_000 {
            rib.set(host(n), Some(attributes(&[1])));
        }
        rib.start(with(|session| session.context.enhanced_refresh = enhanced));
        drain(&mut rib);
        rib.refresh(Family::IPV4_UNICAST);
        // Before it begins: nothing more.
        rib.refresh(Family::IPV4_UNICAST);
        let mut messages = 0;
        for _ in 0..2 {
            assert!(rib.poll_message().is_some());
            messages += 1;
            for _ in 0..100 {
                rib.refresh(Family::IPV4_UNICAST);
            }
        }
        messages += drain(&mut rib).len();
        // 2,000 routes are 3 messages.
        assert_eq!(messages, if enhanced { 2 * (1 + 3 + 1) } else { 2 * 3 });
    }
}

#[test]
fn a_change_during_a_refresh_is_not_lost() {
    let mut rib = settled(
        &[("203.0.113.1/32", &[1]), ("203.0.113.2/32", &[1])],
        session(),
    );
    rib.refresh(Family::IPV4_UNICAST);
    assert!(rib.poll_message().is_some());
    let (first, second) = (net("203.0.113.1/32"), net("203.0.113.2/32"));
    // Away and back: the peer would forget it at EoRR.
    rib.set(first, Some(attributes(&[2])));
    rib.set(first, Some(attributes(&[1])));
    rib.set(second, None);
    assert_eq!(
        drain(&mut rib),
        [
            withdrawn(&["203.0.113.2/32"]),
            announced(&["203.0.113.1/32"], &[1]),
            Said::End(Family::IPV4_UNICAST),
        ]
    );
    assert_eq!(rib.advertised(), 1);
}

#[test]
fn what_the_session_cannot_carry_is_counted_with_the_reason() {
    let routes: [(&str, &[u32]); 3] = [
        ("203.0.113.1/32", &[1]),
        ("203.0.113.2/32", &[1]),
        ("2001:db8::1/128", &[1]),
    ];
    // The peer does not take IPv6.
    let rib = settled(&routes, with(|session| session.context.ipv6 = false));
    let family = Unsendable {
        family_not_negotiated: 1,
        ..Unsendable::default()
    };
    assert_eq!((rib.unsendable(), rib.advertised()), (family, 2));
    // No IPv6 address on an IPv4 session.
    let mut rib = settled(&routes, with(|session| session.next_hop_v6 = None));
    let next_hop = Unsendable {
        no_next_hop: 1,
        ..Unsendable::default()
    };
    assert_eq!((rib.unsendable(), rib.advertised()), (next_hop, 2));
    assert_eq!(rib.unsendable().total(), 1);
    rib.set(net("2001:db8::1/128"), None);
    assert_eq!(rib.unsendable().total(), 0);
    assert!(rib.is_idle());
    // An IPv6 session without RFC 8950.
    let rib = settled(&routes, with(|session| session.next_hop_v4 = None));
    let next_hop = Unsendable {
        no_next_hop: 2,
        ..Unsendable::default()
    };
    assert_eq!((rib.unsendable(), rib.advertised()), (next_hop, 1));
    // And with it.
    let mut rib = settled(
        &routes,
        with(|session| {
            session.next_hop_v4 = None;
            session.context.extended_next_hop = true;
        }),
    );
    assert_eq!((rib.unsendable().total(), rib.advertised()), (0, 3));
    rib.set(net("203.0.113.1/32"), None);
    let message = rib.poll_message().unwrap();
    // MP_UNREACH_NLRI, as it was announced in MP_REACH_NLRI.
    assert_eq!(message.get(23..26), Some(&[0x80, 15, 8][..]));
    assert_eq!(
        read(&message, &session().context),
        withdrawn(&["203.0.113.1/32"])
    );
    rib.stop();
    assert_eq!(rib.unsendable().total(), 0);
}

#[test]
fn attributes_that_fill_a_message_are_not_truncated() {
    let many: Vec<u32> = (0..1_100).collect();
    let too_large = Unsendable {
        too_large: 1,
        ..Unsendable::default()
    };
    let mut rib = settled(
        &[("203.0.113.1/32", &many), ("203.0.113.2/32", &[1])],
        session(),
    );
    assert_eq!((rib.unsendable(), rib.advertised()), (too_large, 1));
    // What the peer knew is not true any more.
    rib.set(net("203.0.113.2/32"), Some(attributes(&many)));
    assert_eq!(rib.unsendable().too_large, 2);
    assert_eq!(drain(&mut rib), [withdrawn(&["203.0.113.2/32"])]);
    assert_eq!(rib.advertised(), 0);
    rib.set(net("203.0.113.2/32"), Some(attributes(&[1])));
    assert_eq!(drain(&mut rib), [announced(&["203.0.113.2/32"], &[1])]);
    assert_eq!(rib.unsendable(), too_large);
    // Where RFC 8654 was agreed on there is room.
    rib.start(with(|session| session.context.extended = true));
    drain(&mut rib);
    assert_eq!((rib.unsendable().total(), rib.advertised()), (0, 2));
    // And then there is none again.
    rib.stop();
    rib.set(net("203.0.113.1/32"), None);
    rib.start(session());
    drain(&mut rib);
    assert_eq!((rib.unsendable().total(), rib.advertised()), (0, 1));
    // More than any message has room for.
    let most: Vec<u32> = (0..16_384).collect();
    rib.start(with(|session| session.context.extended = true));
    rib.set(net("203.0.113.2/32"), Some(attributes(&most)));
    drain(&mut rib);
    assert_eq!((rib.unsendable(), rib.advertised()), (too_large, 0));
}

#[test]
fn attributes_may_leave_room_for_one_family_only() {
    // 23 octets, ORIGIN 4, AS_PATH 9, NEXT_HOP 7, COMMUNITIES 4 + 4 n: one prefix of 5 octets fits up to 1,011; an IPv6 one needs
    // 3 + 21 + 17 instead of 7 + 5.
    let fits = |count: u32, prefix: &str| {
        let communities: Vec<u32> = (0..count).collect();
        let rib = settled(&[(prefix, &communities)], session());
        assert_eq!(rib.advertised() + rib.unsendable().too_large, 1);
        rib.advertised() == 1
    };
    assert!(fits(1_011, "203.0.113.1/32"));
    assert!(!fits(1_012, "203.0.113.1/32"));
    assert!(fits(1_003, "2001:db8::1/128"));
    assert!(!fits(1_004, "2001:db8::1/128"));
}

#[test]
fn leaving_gracefully_is_said_of_every_route() {
    // RFC 8326 §4.1.
    let routes: [(&str, &[u32]); 2] = [
        ("203.0.113.1/32", &[1, u32::MAX]),
        ("203.0.113.2/32", &[GRACEFUL_SHUTDOWN]),
    ];
    let said = |communities: &[u32], prefix: &str, local_pref| Said::Announced {
        prefixes: vec![net(prefix)],
        communities: communities.to_vec(),
        local_pref,
    };
    for (internal, local_pref) in [(true, Some(0)), (false, None)] {
        let mut rib = settled(&routes, with(|session| session.context.internal = internal));
        rib.graceful_shutdown();
        let expected = [
            said(
                &[1, GRACEFUL_SHUTDOWN, u32::MAX],
                "203.0.113.1/32",
                local_pref,
            ),
            said(&[GRACEFUL_SHUTDOWN], "203.0.113.2/32", local_pref),
        ];
        assert_eq!(drain(&mut rib), expected);
        rib.graceful_shutdown();
        assert!(rib.is_idle());
        // So is what comes later, and a withdrawal is one.
        rib.set(net("203.0.113.1/32"), None);
        rib.set(net("203.0.113.3/32"), Some(attributes(&[])));
        assert_eq!(
            drain(&mut rib),
            [
                withdrawn(&["203.0.113.1/32"]),
                said(&[GRACEFUL_SHUTDOWN], "203.0.113.3/32", local_pref),
            ]
        );
    }
    // Before the session: from its start.
    let mut rib = RibOut::new();
    rib.graceful_shutdown();
    rib.set(net("203.0.113.1/32"), Some(attributes(&[])));
    rib.start(session());
    assert_eq!(
        drain(&mut rib),
        [
            EOR6,
            said(&[GRACEFUL_SHUTDOWN], "203.0.113.1/32", None),
            EOR4
        ]
    );
}

#[test]
fn internal_peers_get_local_pref() {
    let mut rib = RibOut::new();
    rib.set(net("203.0.113.1/32"), Some(attributes(&[])));
    rib.start(with(|session| session.context.internal = true));
    let route = Said::Announced {
        prefixes: vec![net("203.0.113.1/32")],
        communities: Vec::new(),
        local_pref: Some(100),
    };
    assert_eq!(drain(&mut rib), [EOR6, route, EOR4]);
}
