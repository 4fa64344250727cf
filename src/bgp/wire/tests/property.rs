//! For any message: what is written is read. For any octets: nothing panics.

use proptest::prelude::*;

use super::*;

fn families() -> impl Strategy<Value = Family> {
    prop_oneof![
        Just(Family::IPV4_UNICAST),
        Just(Family::IPV6_UNICAST),
        (any::<u16>(), any::<u8>()).prop_map(|(afi, safi)| Family { afi, safi }),
    ]
}

fn capabilities() -> impl Strategy<Value = Capability> {
    let encoding = (families(), any::<u16>()).prop_map(|(family, next_hop_afi)| NextHopEncoding {
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
        prop::collection::vec(encoding, 0..=42).prop_map(Capability::ExtendedNextHop),
        (
            any::<bool>(),
            any::<bool>(),
            0_u16..=4095,
            prop::collection::vec(restart, 0..=63)
        )
            .prop_map(|(restart_state, notification, time, families)| {
                Capability::GracefulRestart {
                    restart_state,
                    notification,
                    time,
                    families,
                }
            }),
        // Codes that have no form of ours.
        (
            prop_oneof![Just(9_u8), Just(71), Just(73), 128..=255_u8],
            prop::collection::vec(any::<u8>(), 0..=255)
        )
            .prop_map(|(code, value)| Capability::Unknown {
                code,
                value: value.into_boxed_slice(),
            }),
    ]
}

fn opens() -> impl Strategy<Value = Open> {
    (
        1_u16..,
        prop_oneof![Just(0_u16), 3..=u16::MAX],
        1_u32..,
        // 15 of the longest fit.
        prop::collection::vec(capabilities(), 0..=15),
    )
        .prop_map(|(my_as, hold_time, identifier, capabilities)| Open {
            version: 4,
            my_as,
            hold_time,
            bgp_identifier: Ipv4Addr::from_bits(identifier),
            capabilities,
        })
}

fn contexts() -> impl Strategy<Value = Context> {
    any::<[bool; 8]>().prop_map(
        |[
            internal,
            four_octet,
            extended,
            refresh,
            enhanced_refresh,
            ipv4,
            ipv6,
            extended_next_hop,
        ]| {
            Context {
                internal,
                four_octet,
                extended,
                refresh,
                enhanced_refresh,
                ipv4,
                ipv6,
                extended_next_hop,
            }
        },
    )
}

fn frames(message: &[u8]) -> bool {
    frame(message, false) == Ok(Some(message.len()))
}

proptest! {
    #[test]
    fn an_open_is_read_as_it_was_written(open in opens(), context in contexts()) {
        let mut message = Vec::new();
        open.encode(&mut message);
        prop_assert!(frames(&message));
        prop_assert_eq!(decode(&message, &context), Ok(Message::Open(open)));
    }

    #[test]
    fn a_notification_is_read_as_it_was_written(
        code in any::<u8>(),
        subcode in any::<u8>(),
        data in prop::collection::vec(any::<u8>(), 0..300),
        context in contexts(),
    ) {
        let notification = Notification { code, subcode, data };
        let mut message = Vec::new();
        notification.encode(&mut message);
        prop_assert!(frames(&message));
        prop_assert!(!notification.to_string().chars().any(char::is_control));
        prop_assert_eq!(decode(&message, &context), Ok(Message::Notification(notification)));
    }

    #[test]
    fn a_route_refresh_is_read_as_it_was_written(
        family in families(),
        subtype in any::<u8>(),
        context in contexts(),
    ) {
        let refresh = RouteRefresh { family, subtype };
        let mut message = Vec::new();
        refresh.encode(&mut message);
        prop_assert!(frames(&message));
        prop_assert_eq!(decode(&message, &context), Ok(Message::RouteRefresh(refresh)));
    }

    #[test]
    fn any_octets_are_read_without_harm(
        kind in 1_u8..=5,
        body in prop::collection::vec(any::<u8>(), 0..200),
        context in contexts(),
    ) {
        let message = whole(kind, &body);
        if let Err(error) = decode(&message, &context) {
            let mut told = Vec::new();
            error.notification(&message).encode(&mut told);
            prop_assert!(frames(&told));
            prop_assert!(!error.to_string().is_empty());
        }
        let _framed = frame(&body, context.extended);
    }

    #[test]
    fn attributes_of_any_form_are_read_without_harm(
        attributes in prop::collection::vec(
            (
                prop_oneof![Just(0x40_u8), Just(0x80), Just(0xc0), Just(0x50), any::<u8>()],
                prop_oneof![0_u8..=35, any::<u8>()],
                prop::collection::vec(any::<u8>(), 0..40),
            ),
            0..8,
        ),
        cut in 0_usize..4,
        nlri in prop::collection::vec(any::<u8>(), 0..8),
        context in contexts(),
    ) {
        let mut octets = Vec::new();
        for (flags, kind, value) in attributes {
            octets.extend_from_slice(&[flags & !0x10, kind, u8::try_from(value.len()).unwrap()]);
            octets.extend_from_slice(&value);
        }
        octets.truncate(octets.len().saturating_sub(cut));
        let mut body = vec![0, 0];
        body.extend_from_slice(&u16::try_from(octets.len()).unwrap().to_be_bytes());
        body.extend_from_slice(&octets);
        body.extend_from_slice(&nlri);
        let message = whole(2, &body);
        match decode(&message, &context) {
            Ok(Message::Update(update)) => {
                // RFC 7606 §2: what counts as withdrawn is not announced.
                let withdraw = update.fault.is_some_and(|fault| fault.action == Action::TreatAsWithdraw);
                prop_assert!(!withdraw || update.announced == 0);
            }
            Ok(other) => prop_assert!(false, "{other:?}"),
            Err(error) => {
                let mut told = Vec::new();
                error.notification(&message).encode(&mut told);
                prop_assert!(frames(&told));
            }
        }
    }
}
