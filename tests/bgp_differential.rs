//! BGP's bytes with another codec (`rustbgpd-wire`): it reads what we write, we read what it writes, and of damaged UPDATEs
//! both think the same.

#![expect(clippy::unwrap_used, reason = "a test: a panic is its report")]

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use bytes::Bytes;
use ferrolb::bgp::rib_out::{RibOut, Session};
use ferrolb::bgp::wire::update::NextHop6;
use ferrolb::bgp::wire::{
    Action, Capability, Context, Error, Family, Message, NextHopEncoding, Notification, Open,
    RestartFamily, RouteRefresh, decode,
};
use ferrolb::bgp::{Attributes, Origin};
use ipnet::IpNet;
use proptest::prelude::*;
use rustbgpd_wire as theirs;
use theirs::{AsPathSegment, ErrorDisposition, PathAttribute};

const NEXT_HOP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const GLOBAL: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
const LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

fn read_by_them(message: &[u8], context: &Context) -> theirs::Message {
    let limit = u16::try_from(context.max_message()).unwrap();
    let mut bytes = Bytes::copy_from_slice(message);
    let read = theirs::decode_message(&mut bytes, limit).unwrap();
    assert!(bytes.is_empty());
    read
}

fn families() -> impl Strategy<Value = Family> {
    // Those that both have a name for.
    prop_oneof![
        Just(Family::IPV4_UNICAST),
        Just(Family::IPV6_UNICAST),
        Just(Family { afi: 1, safi: 128 }),
    ]
}

fn capabilities() -> impl Strategy<Value = Capability> {
    let encoding = (families(), 1_u16..=2).prop_map(|(family, next_hop_afi)| NextHopEncoding {
        family,
        next_hop_afi,
    });
    let restart = (families(), any::<bool>())
        .prop_map(|(family, forwarding)| RestartFamily { family, forwarding });
    prop_oneof![
        families().prop_map(Capability::MultiProtocol),
        Just(Capability::RouteRefresh),
        Just(Capability::EnhancedRouteRefresh),
        Just(Capability::ExtendedMessage),
        (1..=u32::MAX).prop_map(Capability::FourOctetAs),
        prop::collection::vec(encoding, 0..4).prop_map(Capability::ExtendedNextHop),
        (
            any::<bool>(),
            any::<bool>(),
            0_u16..=4095,
            prop::collection::vec(restart, 0..4)
        )
            .prop_map(|(restart_state, notification, time, families)| {
                Capability::GracefulRestart {
                    restart_state,
                    notification,
                    time,
                    families,
                }
            }),
        (200_u8.., prop::collection::vec(any::<u8>(), 0..=80)).prop_map(|(code, value)| {
            Capability::Unknown {
                code,
                value: value.into_boxed_slice(),
            }
        }),
    ]
}

fn attributes() -> impl Strategy<Value = Arc<Attributes>> {
    let origin = prop_oneof![
        Just(Origin::Igp),
        Just(Origin::Egp),
        Just(Origin::Incomplete)
    ];
    let communities = prop::collection::btree_set(any::<u32>(), 0..80);
    (origin, any::<u32>(), communities).prop_map(|(origin, local_pref, communities)| {
        Arc::new(Attributes {
            origin,
            local_pref,
            communities: communities.into_iter().collect(),
        })
    })
}

fn prefixes() -> impl Strategy<Value = IpNet> {
    prop_oneof![
        (any::<u32>(), 0_u8..=32).prop_map(|(bits, length)| {
            IpNet::new(Ipv4Addr::from_bits(bits).into(), length).unwrap()
        }),
        (any::<u128>(), 0_u8..=128).prop_map(|(bits, length)| {
            IpNet::new(Ipv6Addr::from_bits(bits).into(), length).unwrap()
        }),
    ]
    .prop_map(|prefix| prefix.trunc())
}

fn sessions() -> impl Strategy<Value = Session> {
    (any::<[bool; 6]>(), 1_u32..).prop_map(
        |([internal, four_octet, extended, classic, link_local, refresh], my_asn)| Session {
            context: Context {
                internal,
                four_octet,
                extended,
                refresh,
                enhanced_refresh: refresh,
                ipv4: true,
                ipv6: true,
                extended_next_hop: !classic,
            },
            my_asn,
            next_hop_v4: classic.then_some(NEXT_HOP),
            next_hop_v6: Some(NextHop6 {
                global: GLOBAL,
                link_local: link_local.then_some(LINK_LOCAL),
            }),
        },
    )
}

/// The prefixes of an MP attribute, or of the message itself.
fn nets(entries: &[theirs::NlriEntry]) -> Vec<IpNet> {
    entries
        .iter()
        .map(|entry| match entry.prefix {
            theirs::Prefix::V4(prefix) => IpNet::new(prefix.addr.into(), prefix.len).unwrap(),
            theirs::Prefix::V6(prefix) => IpNet::new(prefix.addr.into(), prefix.len).unwrap(),
        })
        .collect()
}

fn nets_v4(entries: &[theirs::Ipv4NlriEntry]) -> Vec<IpNet> {
    entries
        .iter()
        .map(|entry| IpNet::new(entry.prefix.addr.into(), entry.prefix.len).unwrap())
        .collect()
}

/// What they read in one of our UPDATEs goes into the peer's table; nothing may be wrong with it.
fn learn(
    table: &mut BTreeMap<IpNet, Attributes>,
    update: &theirs::UpdateMessage,
    session: &Session,
) {
    let context = session.context;
    let read = update
        .parse_revised(context.four_octet, context.internal, false, &[])
        .unwrap();
    assert_eq!(read.malformed, []);
    let mut said = Attributes {
        origin: Origin::Igp,
        // What is not said to external peers.
        local_pref: 0,
        communities: Box::default(),
    };
    let mut announced = nets_v4(&read.update.announced);
    let classic = !announced.is_empty();
    for prefix in nets_v4(&read.update.withdrawn) {
        assert!(table.remove(&prefix).is_some());
    }
    let mut kinds = Vec::new();
    for attribute in &read.update.attributes {
        kinds.push(attribute.type_code());
        match attribute {
            PathAttribute::Origin(origin) => {
                said.origin = match origin {
                    theirs::Origin::Igp => Origin::Igp,
                    theirs::Origin::Egp => Origin::Egp,
                    theirs::Origin::Incomplete => Origin::Incomplete,
                };
            }
            PathAttribute::AsPath(path) if context.internal => assert!(path.segments.is_empty()),
            PathAttribute::AsPath(path) => {
                // With AS4_PATH they have put the whole number back, or they show what was there.
                let AsPathSegment::AsSequence(numbers) = &path.segments[0] else {
                    panic!("{path:?}");
                };
                let trans = !context.four_octet && session.my_asn > 65_535;
                assert!(
                    *numbers == [session.my_asn] || (trans && *numbers == [23_456]),
                    "{numbers:?}"
                );
                assert_eq!(path.segments.len(), 1);
            }
            PathAttribute::NextHop(next_hop) => assert!(classic && *next_hop == NEXT_HOP),
            PathAttribute::LocalPref(value) => {
                assert!(context.internal);
                said.local_pref = *value;
            }
            PathAttribute::Communities(communities) => {
                said.communities = communities.clone().into_boxed_slice();
            }
            PathAttribute::MpReachNlri(reach) => {
                let next_hop = session.next_hop_v6.unwrap();
                assert_eq!(reach.next_hop, IpAddr::V6(next_hop.global));
                assert_eq!(reach.link_local_next_hop, next_hop.link_local);
                announced.extend(nets(&reach.announced));
            }
            PathAttribute::MpUnreachNlri(unreach) => {
                for prefix in nets(&unreach.withdrawn) {
                    assert!(table.remove(&prefix).is_some());
                }
            }
            PathAttribute::Unknown(raw) => {
                // AS4_PATH, where they leave it as it is.
                assert_eq!(raw.type_code, 17);
                let mut path = vec![2, 1];
                path.extend_from_slice(&session.my_asn.to_be_bytes());
                assert_eq!(raw.data[..], path[..]);
            }
            other => panic!("{other:?}"),
        }
    }
    // RFC 7606 §5.1: MP_REACH_NLRI, MP_UNREACH_NLRI first; the others ascending.
    let others = kinds.iter().skip_while(|kind| matches!(kind, 14 | 15));
    assert!(others.is_sorted(), "{kinds:?}");
    for prefix in announced {
        table.insert(prefix, said.clone());
    }
}

/// The verdict on an UPDATE, in RFC 7606's order of severity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    Fine,
    Discard,
    Withdraw,
    Reset,
}

fn our_verdict(message: &[u8], context: &Context) -> Verdict {
    match decode(message, context) {
        Ok(Message::Update(update)) => match update.fault.map(|fault| fault.action) {
            None => Verdict::Fine,
            Some(Action::AttributeDiscard) => Verdict::Discard,
            Some(Action::TreatAsWithdraw) => Verdict::Withdraw,
        },
        Ok(other) => panic!("{other:?}"),
        Err(_) => Verdict::Reset,
    }
}

/// Whether what was discarded is LOCAL_PREF, ORIGINATOR_ID or CLUSTER_LIST of an external peer.
fn is_for_internal_peers_alone(message: &[u8], context: &Context) -> bool {
    match decode(message, context) {
        Ok(Message::Update(update)) => {
            !context.internal
                && update
                    .fault
                    .is_some_and(|fault| matches!(fault.attribute, 5 | 9 | 10))
        }
        _ => false,
    }
}

fn their_verdict(message: &[u8], context: &Context) -> Verdict {
    let mut bytes = Bytes::copy_from_slice(message);
    let Ok(theirs::Message::Update(update)) = theirs::decode_message(&mut bytes, 4096) else {
        return Verdict::Reset;
    };
    let read = update.parse_revised(context.four_octet, context.internal, false, &[]);
    let Ok(read) = read else {
        return Verdict::Reset;
    };
    read.malformed
        .iter()
        .map(|malformed| match malformed.disposition {
            ErrorDisposition::AttributeDiscard => Verdict::Discard,
            ErrorDisposition::TreatAsWithdraw => Verdict::Withdraw,
            ErrorDisposition::SessionReset => Verdict::Reset,
        })
        .max()
        .unwrap_or(Verdict::Fine)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: ProptestConfig::default().cases.max(256),
        ..ProptestConfig::default()
    })]

    #[test]
    fn they_know_what_we_announce(
        session in sessions(),
        first in prop::collection::btree_map(prefixes(), attributes(), 0..40),
        second in prop::collection::btree_map(prefixes(), prop::option::of(attributes()), 0..20),
        gone in prop::collection::vec(any::<prop::sample::Index>(), 0..10),
    ) {
        let mut rib = RibOut::new();
        let mut wanted = first.clone();
        for (prefix, attributes) in &first {
            rib.set(*prefix, Some(Arc::clone(attributes)));
        }
        rib.start(session);
        let mut table = BTreeMap::new();
        let mut drain = |rib: &mut RibOut| {
            let mut ends = 0;
            while let Some(message) = rib.poll_message() {
                match read_by_them(&message, &session.context) {
                    theirs::Message::Update(update) => {
                        learn(&mut table, &update, &session);
                        ends += usize::from(matches!(
                            decode(&message, &session.context),
                            Ok(Message::Update(update)) if update.end_of_rib.is_some()
                        ));
                    }
                    other => panic!("{other:?}"),
                }
            }
            ends
        };
        prop_assert_eq!(drain(&mut rib), 2);
        for (prefix, attributes) in second {
            rib.set(prefix, attributes.clone());
            match attributes {
                Some(attributes) => wanted.insert(prefix, attributes),
                None => wanted.remove(&prefix),
            };
        }
        let known: Vec<IpNet> = first.into_keys().collect();
        for index in gone.into_iter().filter(|_| !known.is_empty()) {
            let prefix = index.get(&known);
            rib.set(*prefix, None);
            wanted.remove(prefix);
        }
        drain(&mut rib);
        let expected: BTreeMap<IpNet, Attributes> = wanted
            .into_iter()
            .map(|(prefix, attributes)| {
                let mut attributes = (*attributes).clone();
                if !session.context.internal {
                    attributes.local_pref = 0;
                }
                (prefix, attributes)
            })
            .collect();
        prop_assert_eq!(table, expected);
    }

    #[test]
    fn an_open_is_the_same_to_both(
        asn in 1_u32..,
        hold_time in prop_oneof![Just(0_u16), 3..=u16::MAX],
        identifier in 1_u32..,
        capabilities in prop::collection::vec(capabilities(), 0..8),
    ) {
        let open = Open::new(asn, hold_time, Ipv4Addr::from_bits(identifier), capabilities);
        let mut message = Vec::new();
        open.encode(&mut message);
        let read = read_by_them(&message, &Context::default());
        let theirs::Message::Open(them) = &read else {
            panic!("{read:?}");
        };
        prop_assert_eq!(
            (them.version, them.my_as, them.hold_time, them.bgp_identifier),
            (4, open.my_as, hold_time, open.bgp_identifier)
        );
        prop_assert_eq!(them.capabilities.len(), open.capabilities.len());
        let codes = |open: &Open| open.capabilities.iter().map(Capability::code).collect::<Vec<_>>();
        let their_codes: Vec<u8> = them.capabilities.iter().map(theirs::Capability::code).collect();
        prop_assert_eq!(their_codes, codes(&open));
        // And back.
        let again = theirs::encode_message(&read).unwrap();
        prop_assert_eq!(decode(&again, &Context::default()), Ok(Message::Open(open)));
    }

    #[test]
    fn other_messages_are_the_same_to_both(
        code in 1_u8..=7,
        subcode in any::<u8>(),
        data in prop::collection::vec(any::<u8>(), 0..100),
        family in families(),
        subtype in 0_u8..=2,
    ) {
        let notification = Notification { code, subcode, data };
        let refresh = RouteRefresh { family, subtype };
        for message in [Message::Notification(notification), Message::RouteRefresh(refresh)] {
            let mut octets = Vec::new();
            match &message {
                Message::Notification(notification) => notification.encode(&mut octets),
                Message::RouteRefresh(refresh) => refresh.encode(&mut octets),
                other => panic!("{other:?}"),
            }
            let read = read_by_them(&octets, &Context::default());
            prop_assert_eq!(&theirs::encode_message(&read).unwrap()[..], &octets[..]);
            prop_assert_eq!(decode(&octets, &Context::default()), Ok(message));
        }
    }

    #[test]
    fn damaged_updates_are_judged_alike(
        internal in any::<bool>(),
        four_octet in any::<bool>(),
        parts in parts(),
        damage in prop::option::of((any::<prop::sample::Index>(), any::<u8>())),
        cut in prop_oneof![3 => Just(0_usize), 1 => 1_usize..4],
    ) {
        let context = Context { internal, four_octet, ipv4: true, ipv6: true, ..Context::default() };
        let mut octets = parts;
        // What is mandatory stays: they look for it elsewhere.
        octets.truncate((octets.len() - cut).max(MANDATORY.len()));
        if let Some((place, value)) = damage
            && octets.len() > MANDATORY.len()
        {
            let place = MANDATORY.len() + place.index(octets.len() - MANDATORY.len());
            octets[place] = value;
        }
        let differs = heads(&octets).any(|(flags, kind)| match kind {
            // Families that nobody agreed on: they end the session, we pass them over.
            14 | 15 => true,
            // Attributes of MPLS, SRv6, BGP-LS and their like, which they check and we pass over.
            19..=24 | 26..=31 | 33 | 34 | 36..=128 => true,
            // The Partial bit, which RFC 7606 §3 (c) leaves out.
            _ => flags & 0x20 != 0,
        });
        let message = update(&octets);
        // RFC 4271 §6.3 ends the session for it, and RFC 7606 does not say otherwise; they are milder.
        let milder = matches!(decode(&message, &context), Err(Error::WellKnown(_)));
        let mut theirs = their_verdict(&message, &context);
        // RFC 7606 §7.5, §7.9, §7.10: from external peers these are discarded; they do that without a word.
        if is_for_internal_peers_alone(&message, &context) {
            theirs = theirs.max(Verdict::Discard);
        }
        prop_assert!(differs || milder || our_verdict(&message, &context) == theirs, "{:02x?}", message);
    }
}

/// Flags and type codes of attributes, as far as they can be told.
fn heads(mut octets: &[u8]) -> impl Iterator<Item = (u8, u8)> {
    std::iter::from_fn(move || {
        let [flags, kind, rest @ ..] = octets else {
            return None;
        };
        let (length, rest) = match (flags & 0x10 != 0, rest) {
            (false, [length, rest @ ..]) => (usize::from(*length), rest),
            (true, [high, low, rest @ ..]) => {
                (usize::from(u16::from_be_bytes([*high, *low])), rest)
            }
            _ => (0, &[][..]),
        };
        octets = rest.get(length..).unwrap_or_default();
        Some((*flags, *kind))
    })
}

/// ORIGIN, an empty AS_PATH, NEXT_HOP.
const MANDATORY: [u8; 14] = [0x40, 1, 1, 0, 0x40, 2, 0, 0x40, 3, 4, 192, 0, 2, 1];

/// Attributes, right or nearly so.
fn parts() -> impl Strategy<Value = Vec<u8>> {
    let attribute = |flags: u8, kind: u8, value: Vec<u8>| {
        let mut octets = vec![flags, kind, u8::try_from(value.len()).unwrap()];
        octets.extend(value);
        octets
    };
    let sized = move |flags: u8, kind: u8, unit: usize, most: usize| {
        prop::collection::vec(any::<u8>(), 0..=unit * most)
            .prop_map(move |value| attribute(flags, kind, value))
    };
    let optional = prop_oneof![
        sized(0x80, 4, 4, 2),
        sized(0x40, 5, 4, 2),
        sized(0x40, 6, 1, 1),
        sized(0xc0, 7, 4, 2),
        sized(0xc0, 8, 4, 3),
        sized(0x80, 9, 4, 2),
        sized(0x80, 10, 4, 2),
        sized(0xc0, 16, 8, 2),
        sized(0xc0, 32, 12, 2),
        sized(0xc0, 200, 4, 2),
    ];
    prop::collection::vec(optional, 0..3).prop_map(move |optional| {
        let mut octets = MANDATORY.to_vec();
        octets.extend(optional.into_iter().flatten());
        octets
    })
}

/// An UPDATE with these attributes and a prefix.
fn update(attributes: &[u8]) -> Vec<u8> {
    let mut body = vec![0, 0];
    body.extend_from_slice(&u16::try_from(attributes.len()).unwrap().to_be_bytes());
    body.extend_from_slice(attributes);
    body.extend_from_slice(&[24, 203, 0, 113]);
    let mut message = vec![0xff; 16];
    message.extend_from_slice(&u16::try_from(19 + body.len()).unwrap().to_be_bytes());
    message.push(2);
    message.extend_from_slice(&body);
    message
}
