//! UPDATEs of ours: RFC 4271 §5, RFC 2545, RFC 6793, RFC 7606 §5.1, RFC 8950.

use super::*;
use crate::bgp::wire::attributes::{Path, encode};
use crate::bgp::wire::update::{Builder, NextHop6, end_of_rib};
use crate::bgp::{Attributes, Origin};
use ipnet::IpNet;

fn attributes(communities: &[u32]) -> Attributes {
    Attributes {
        origin: Origin::Incomplete,
        local_pref: 100,
        communities: communities.into(),
    }
}

fn path(my_asn: u32, context: Context) -> Path {
    Path {
        my_asn,
        context,
        next_hop: Some(Ipv4Addr::new(192, 0, 2, 1)),
    }
}

fn net(prefix: &str) -> IpNet {
    prefix.parse().unwrap()
}

const NEXT_HOP: NextHop6 = NextHop6 {
    global: std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1),
    link_local: None,
};

#[test]
fn attributes_are_those_of_the_session() {
    let old = Context {
        four_octet: false,
        ..MODERN
    };
    let internal = Context {
        internal: true,
        ..MODERN
    };
    let internal_old = Context {
        internal: true,
        ..old
    };
    for (asn, context, octets) in [
        (
            65_001,
            MODERN,
            "400101 02  400206 0201 0000fde9  400304 c0000201",
        ),
        (
            4_200_000_000,
            MODERN,
            "400101 02  400206 0201 fa56ea00  400304 c0000201",
        ),
        (65_001, old, "400101 02  400204 0201 fde9  400304 c0000201"),
        // RFC 6793 §4.2.2.
        (
            4_200_000_000,
            old,
            "400101 02  400204 0201 5ba0  400304 c0000201  c01106 0201 fa56ea00",
        ),
        (
            65_001,
            internal,
            "400101 02  400200  400304 c0000201  400504 00000064",
        ),
        (
            4_200_000_000,
            internal_old,
            "400101 02  400200  400304 c0000201  400504 00000064",
        ),
    ] {
        let written = encode(&attributes(&[]), &path(asn, context)).unwrap();
        assert_eq!(written, hex(octets), "{asn} {context:?}");
    }
    for (origin, octet) in [(Origin::Igp, 0), (Origin::Egp, 1), (Origin::Incomplete, 2)] {
        let written = encode(
            &Attributes {
                origin,
                ..attributes(&[])
            },
            &Path {
                next_hop: None,
                ..path(65_001, MODERN)
            },
        );
        assert_eq!(
            written.unwrap(),
            [&[0x40, 1, 1, octet][..], &hex("400206 0201 0000fde9")].concat()
        );
    }
}

#[test]
fn communities_have_a_long_length_where_they_need_it() {
    let tail = |count: u32| {
        let communities: Vec<u32> = (0..count).collect();
        let written = encode(&attributes(&communities), &path(65_001, MODERN));
        written.map(|written| written[4 + 9 + 7..].to_vec())
    };
    assert_eq!(tail(1).unwrap(), hex("c00804 00000000"));
    assert_eq!(tail(63).unwrap()[..3], hex("c008fc"));
    assert_eq!(tail(64).unwrap()[..4], hex("d0080100"));
    assert_eq!(tail(16_383).unwrap()[..4], hex("d008fffc"));
    // No message has room for more.
    assert_eq!(tail(16_384), None);
}

#[test]
fn ipv4_is_announced_and_withdrawn_in_the_message_itself() {
    let written = encode(&attributes(&[]), &path(65_001, MODERN)).unwrap();
    let mut announcement = Builder::announce(written, 4096);
    assert!(announcement.is_empty());
    assert!(announcement.push(&net("203.0.113.0/24")));
    assert!(announcement.push(&net("192.0.2.128/25")));
    assert!(announcement.push(&net("0.0.0.0/0")));
    assert!(!announcement.push(&net("2001:db8::/32")));
    assert!(!announcement.is_empty());
    let expected =
        "0000 0014 400101 02 400206 0201 0000fde9 400304 c0000201 18 cb0071 19 c0000280 00";
    assert_eq!(announcement.finish(), whole(2, &hex(expected)));

    let mut withdrawal = Builder::withdraw(4096);
    assert!(withdrawal.push(&net("203.0.113.0/24")));
    assert!(!withdrawal.push(&net("2001:db8::/32")));
    assert_eq!(withdrawal.finish(), whole(2, &hex("0004 18 cb0071 0000")));
}

#[test]
fn ipv6_is_announced_in_the_very_first_attribute() {
    let path = Path {
        next_hop: None,
        ..path(65_001, MODERN)
    };
    let written = encode(&attributes(&[1]), &path).unwrap();
    let mut announcement =
        Builder::announce_mp(Family::IPV6_UNICAST, &NEXT_HOP, written.clone(), 4096);
    assert!(announcement.is_empty());
    assert!(announcement.push(&net("2001:db8::/32")));
    assert!(announcement.push(&net("2001:db8::1/128")));
    assert!(!announcement.push(&net("203.0.113.0/24")));
    let expected = "0000 0042 800e2b 0002 01 10 20010db8000000000000000000000001 00 \
        20 20010db8 80 20010db8000000000000000000000001 \
        400101 02 400206 0201 0000fde9 c00804 00000001";
    assert_eq!(announcement.finish(), whole(2, &hex(expected)));

    // RFC 2545 §3.
    let next_hop = NextHop6 {
        link_local: Some("fe80::1".parse().unwrap()),
        ..NEXT_HOP
    };
    let mut announcement =
        Builder::announce_mp(Family::IPV6_UNICAST, &next_hop, written.clone(), 4096);
    assert!(announcement.push(&net("::/0")));
    let expected = "0000 003d 800e26 0002 01 20 20010db8000000000000000000000001 \
        fe800000000000000000000000000001 00 00 \
        400101 02 400206 0201 0000fde9 c00804 00000001";
    assert_eq!(announcement.finish(), whole(2, &hex(expected)));

    // RFC 8950 §3.
    let mut announcement = Builder::announce_mp(Family::IPV4_UNICAST, &NEXT_HOP, written, 4096);
    assert!(announcement.push(&net("203.0.113.0/24")));
    assert!(!announcement.push(&net("::/0")));
    let expected = "0000 0030 800e19 0001 01 10 20010db8000000000000000000000001 00 18 cb0071 \
        400101 02 400206 0201 0000fde9 c00804 00000001";
    assert_eq!(announcement.finish(), whole(2, &hex(expected)));

    let mut withdrawal = Builder::withdraw_mp(Family::IPV6_UNICAST, 4096);
    assert!(withdrawal.is_empty());
    assert!(withdrawal.push(&net("2001:db8::/32")));
    assert_eq!(
        withdrawal.finish(),
        whole(2, &hex("0000 000b 800f08 0002 01 20 20010db8"))
    );
}

#[test]
fn end_of_rib_is_as_short_as_can_be() {
    assert_eq!(
        end_of_rib(Family::IPV4_UNICAST),
        whole(2, &hex("0000 0000"))
    );
    assert_eq!(
        end_of_rib(Family::IPV6_UNICAST),
        whole(2, &hex("0000 0006 800f03 0002 01"))
    );
}

/// How many octets a message has when it takes no more of these prefixes.
fn filled(mut builder: Builder, prefix: &IpNet) -> usize {
    while builder.push(prefix) {}
    let message = builder.finish();
    let extended = Context {
        extended: true,
        ..MODERN
    };
    assert!(decode(&message, &extended).is_ok());
    message.len()
}

#[test]
fn a_message_is_filled_to_the_last_prefix_that_fits() {
    let written = encode(&attributes(&[]), &path(65_001, MODERN)).unwrap();
    let (v4, v6) = (net("203.0.113.1/32"), net("2001:db8::1/128"));
    for limit in [4096, 4097, 4098, 4099, 4100, 65_535] {
        for (builder, prefix, room) in [
            (Builder::announce(written.clone(), limit), v4, 5),
            (Builder::withdraw(limit), v4, 5),
            (Builder::withdraw_mp(Family::IPV6_UNICAST, limit), v6, 17),
            (
                Builder::announce_mp(Family::IPV6_UNICAST, &NEXT_HOP, written.clone(), limit),
                v6,
                17,
            ),
        ] {
            let length = filled(builder, &prefix);
            assert!(length <= limit, "{length} {limit}");
            assert!(length + room > limit, "{length} {limit}");
        }
    }
}

#[test]
fn a_short_attribute_has_no_long_length_and_the_octet_is_used() {
    // 23 octets of message, 3 of head, 3 of family, 17 of a prefix; one octet less has no room.
    assert!(Builder::withdraw_mp(Family::IPV6_UNICAST, 46).push(&net("2001:db8::1/128")));
    assert!(!Builder::withdraw_mp(Family::IPV6_UNICAST, 45).push(&net("2001:db8::1/128")));
    // A value of 256 octets needs one octet more of head than one of 255.
    let mut builder = Builder::withdraw_mp(Family::IPV6_UNICAST, 23 + 3 + 255 + 1);
    for _ in 0..14 {
        assert!(builder.push(&net("2001:db8::1/128")));
    }
    // 3 + 14 · 17 = 241; 15 more are 256.
    assert!(!builder.push(&net("2001:db8:8000::/112")));
    assert!(builder.push(&net("2001:db8::/104")));
    assert_eq!(builder.finish().len(), 23 + 3 + 255);
}
