//! RFC 4271 §4.2, §6.2; RFC 5492; RFC 9072; the capabilities.

use super::*;

/// Version 4, AS 65001, Hold Time 90, 192.0.2.1; then parameters with their length.
fn open_with(parameters: &str) -> Vec<u8> {
    whole(1, &hex(&format!("04 fde9 005a c0000201 {parameters}")))
}

fn read(message: &[u8]) -> Result<Open, Error> {
    match decode(message, &Context::default())? {
        Message::Open(open) => Ok(open),
        other => panic!("not an OPEN: {other:?}"),
    }
}

fn capabilities(parameters: &str) -> Result<Vec<Capability>, Error> {
    read(&open_with(parameters)).map(|open| open.capabilities)
}

fn written(open: &Open) -> Vec<u8> {
    let mut out = Vec::new();
    open.encode(&mut out);
    out
}

#[test]
fn an_open_is_read_and_written() {
    let message =
        open_with("1a 02 18  0104 0001 00 01  0104 0002 00 01  0200  4104 0000fde9  4600 0600");
    let open = read(&message).unwrap();
    assert_eq!(
        open,
        Open::new(
            65_001,
            90,
            Ipv4Addr::new(192, 0, 2, 1),
            vec![
                Capability::MultiProtocol(Family::IPV4_UNICAST),
                Capability::MultiProtocol(Family::IPV6_UNICAST),
                Capability::RouteRefresh,
                Capability::FourOctetAs(65_001),
                Capability::EnhancedRouteRefresh,
                Capability::ExtendedMessage,
            ]
        )
    );
    assert_eq!(written(&open), message);
}

#[test]
fn a_large_as_number_is_as_trans_in_the_field() {
    let open = Open::new(
        4_200_000_000,
        90,
        Ipv4Addr::new(192, 0, 2, 1),
        vec![Capability::FourOctetAs(4_200_000_000)],
    );
    assert_eq!(open.my_as, AS_TRANS);
    let again = read(&written(&open)).unwrap();
    assert_eq!((again.asn(), again), (4_200_000_000, open));
    // Without the capability the field is all there is.
    assert_eq!(read(&open_with("00")).unwrap().asn(), 65_001);
}

#[test]
fn each_capability_has_its_form() {
    let ipv4_over_ipv6 = NextHopEncoding {
        family: Family::IPV4_UNICAST,
        next_hop_afi: 2,
    };
    let restart = |family, forwarding| RestartFamily { family, forwarding };
    for (octets, capability) in [
        (
            "0104 0019 00 46",
            Capability::MultiProtocol(Family { afi: 25, safi: 70 }),
        ),
        // RFC 4760 §8: the reserved octet is ignored.
        (
            "0104 0001 ff 01",
            Capability::MultiProtocol(Family::IPV4_UNICAST),
        ),
        (
            "0506 0001 0001 0002",
            Capability::ExtendedNextHop(vec![ipv4_over_ipv6]),
        ),
        ("0500", Capability::ExtendedNextHop(Vec::new())),
        (
            "4002 0078",
            Capability::GracefulRestart {
                restart_state: false,
                notification: false,
                time: 120,
                families: Vec::new(),
            },
        ),
        (
            "400a cfff 0001 01 80 0002 01 00",
            Capability::GracefulRestart {
                restart_state: true,
                notification: true,
                time: 4095,
                families: vec![
                    restart(Family::IPV4_UNICAST, true),
                    restart(Family::IPV6_UNICAST, false),
                ],
            },
        ),
        ("4104 fa56ea00", Capability::FourOctetAs(4_200_000_000)),
        // Cisco's route refresh, long-lived graceful restart, a hostname.
        ("8000", unknown(128, "")),
        ("4707 000101 80 000e10", unknown(71, "000101 80 000e10")),
        ("4903 01 61 00", unknown(73, "01 61 00")),
        // Known codes with other forms: kept, and no reason to refuse the peer.
        ("0103 0001 01", unknown(1, "0001 01")),
        ("0201 00", unknown(2, "00")),
        ("0505 0001 0001 00", unknown(5, "0001 0001 00")),
        ("0506 0001 0101 0002", unknown(5, "0001 0101 0002")),
        ("4001 00", unknown(64, "00")),
        ("4005 0078 0001 01", unknown(64, "0078 0001 01")),
        ("4602 0000", unknown(70, "0000")),
        ("0601 00", unknown(6, "00")),
    ] {
        let octets = hex(octets);
        let length = u8::try_from(octets.len()).unwrap();
        let mut body = hex("04 fde9 005a c0000201");
        body.extend_from_slice(&[length + 2, 2, length]);
        body.extend_from_slice(&octets);
        let open = read(&whole(1, &body)).unwrap();
        assert_eq!(open.capabilities, [capability], "{octets:02x?}");
    }
}

fn unknown(code: u8, value: &str) -> Capability {
    Capability::Unknown {
        code,
        value: hex(value).into_boxed_slice(),
    }
}

#[test]
fn capabilities_come_in_one_parameter_or_in_many() {
    let expected = vec![
        Capability::MultiProtocol(Family::IPV4_UNICAST),
        Capability::RouteRefresh,
        Capability::FourOctetAs(65_001),
    ];
    for parameters in [
        "10 020e 0104 0001 00 01 0200 4104 0000fde9",
        "14 0206 0104 0001 00 01 0202 0200 0206 4104 0000fde9",
        "16 0206 0104 0001 00 01 0200 0202 0200 0206 4104 0000fde9",
        // RFC 9072: the long form; its first length may be anything but 0.
        "ff ff 0011 02 000e 0104 0001 00 01 0200 4104 0000fde9",
        "01 ff 0017 02 0006 0104 0001 00 01 02 0002 0200 02 0006 4104 0000fde9",
    ] {
        assert_eq!(
            capabilities(parameters),
            Ok(expected.clone()),
            "{parameters}"
        );
    }
    assert_eq!(capabilities("00"), Ok(Vec::new()));
    assert_eq!(capabilities("02 0200"), Ok(Vec::new()));
    assert_eq!(capabilities("ff ff 0000"), Ok(Vec::new()));
}

#[test]
fn parameters_that_are_cut_off_are_malformed() {
    for parameters in [
        // The length of all, of a parameter, of a capability: too long, too short.
        "01",
        "00 02",
        "01 02",
        "03 0202 01",
        "03 0200 02",
        "05 0203 0104 00",
        "04 0202 0201",
        "02 0201",
        "ff",
        "ff ff",
        "ff ff 00",
        "ff ff 0001",
        "ff ff 0001 02",
        "ff ff 0003 02 0001",
        // A four-octet AS number of another length: nobody knows who it is.
        "07 0205 4103 00fde9",
    ] {
        assert_eq!(capabilities(parameters), Err(Error::Open), "{parameters}");
    }
    // RFC 4271 §6.2: recognized but malformed: Unspecific.
    assert_eq!(Error::Open.notification(&[]), Notification::new(2, 0));
}

#[test]
fn other_parameters_are_not_supported() {
    assert_eq!(capabilities("03 0101 00"), Err(Error::OptionalParameter(1)));
    assert_eq!(
        capabilities("ff ff 0003 01 0000"),
        Err(Error::OptionalParameter(1))
    );
    assert_eq!(
        Error::OptionalParameter(1).notification(&[]),
        Notification::new(2, 4)
    );
}

#[test]
fn the_fixed_fields_are_checked() {
    for (fields, error, subcode, data) in [
        ("03 fde9 005a c0000201 00", Error::Version(3), 1, "0004"),
        ("05 0000 0001 00000000 ff", Error::Version(5), 1, "0004"),
        // RFC 7607.
        ("04 0000 005a c0000201 00", AS_ZERO, 2, "0000"),
        (
            "04 fde9 005a c0000201 08 0206 4104 00000000",
            AS_ZERO,
            2,
            "0000",
        ),
        (
            "04 fde9 005a 00000000 00",
            Error::Identifier(Ipv4Addr::UNSPECIFIED),
            3,
            "",
        ),
        ("04 fde9 0001 c0000201 00", Error::HoldTime(1), 6, ""),
        ("04 fde9 0002 c0000201 00", Error::HoldTime(2), 6, ""),
    ] {
        let message = whole(1, &hex(fields));
        assert_eq!(read(&message), Err(error), "{fields}");
        let notification = error.notification(&message);
        assert_eq!((notification.code, notification.subcode), (2, subcode));
        assert_eq!(notification.data, hex(data), "{fields}");
    }
    for hold_time in ["0000", "0003", "ffff"] {
        let message = whole(1, &hex(&format!("04 fde9 {hold_time} c0000201 00")));
        assert!(read(&message).is_ok());
    }
}

const AS_ZERO: Error = Error::PeerAs {
    received: 0,
    expected: None,
};

#[test]
fn the_long_form_is_written_where_the_short_one_has_no_room() {
    let with = |octets: usize| Open {
        version: 4,
        my_as: 65_001,
        hold_time: 90,
        bgp_identifier: Ipv4Addr::new(192, 0, 2, 1),
        capabilities: (0..octets / 11)
            .map(|_| unknown(200, "010203040506070809"))
            .collect(),
    };
    // 253 octets of capabilities, 264.
    for (octets, length) in [(253, 29 + 2 + 253), (264, 29 + 3 + 3 + 264)] {
        let open = with(octets);
        let message = written(&open);
        assert_eq!(message.len(), length);
        assert_eq!(read(&message), Ok(open));
    }
}

#[test]
fn what_has_no_room_is_not_offered() {
    let long = |length| Capability::Unknown {
        code: 200,
        value: vec![0; length].into_boxed_slice(),
    };
    let mut open = Open::new(65_001, 90, Ipv4Addr::new(192, 0, 2, 1), vec![long(255); 20]);
    open.capabilities.push(Capability::RouteRefresh);
    let message = written(&open);
    assert!(message.len() <= MAX_MESSAGE);
    assert_eq!(read(&message).unwrap().capabilities, vec![long(255); 15]);
    open.capabilities = vec![long(256), Capability::RouteRefresh];
    let again = read(&written(&open)).unwrap();
    assert_eq!(again.capabilities, [Capability::RouteRefresh]);
}

#[test]
fn only_what_both_offer_is_agreed_on() {
    let open = |asn, capabilities| Open::new(asn, 90, Ipv4Addr::new(192, 0, 2, 1), capabilities);
    let all = |asn| {
        open(
            asn,
            vec![
                Capability::MultiProtocol(Family::IPV4_UNICAST),
                Capability::MultiProtocol(Family::IPV6_UNICAST),
                Capability::RouteRefresh,
                Capability::EnhancedRouteRefresh,
                Capability::ExtendedMessage,
                Capability::FourOctetAs(asn),
                Capability::ExtendedNextHop(vec![NextHopEncoding {
                    family: Family::IPV4_UNICAST,
                    next_hop_afi: 2,
                }]),
            ],
        )
    };
    let everything = Context {
        internal: false,
        four_octet: true,
        extended: true,
        refresh: true,
        enhanced_refresh: true,
        ipv4: true,
        ipv6: true,
        extended_next_hop: true,
    };
    assert_eq!(Context::negotiate(&all(65_001), &all(65_002)), everything);
    assert_eq!(
        Context::negotiate(&all(65_001), &all(65_001)),
        Context {
            internal: true,
            ..everything
        }
    );
    // RFC 4760: one who says nothing speaks IPv4 unicast.
    let nothing = open(65_002, Vec::new());
    let ipv4 = Context {
        ipv4: true,
        ..Context::default()
    };
    assert_eq!(Context::negotiate(&all(65_001), &nothing), ipv4);
    assert_eq!(Context::negotiate(&nothing, &all(65_001)), ipv4);
    let only_ipv6 = open(
        65_002,
        vec![
            Capability::MultiProtocol(Family::IPV6_UNICAST),
            Capability::RouteRefresh,
        ],
    );
    assert_eq!(
        Context::negotiate(&all(65_001), &only_ipv6),
        Context {
            ipv6: true,
            refresh: true,
            ..Context::default()
        }
    );
    // Families that we do not know.
    let other = open(
        65_002,
        vec![Capability::MultiProtocol(Family { afi: 1, safi: 128 })],
    );
    assert_eq!(Context::negotiate(&all(65_001), &other), Context::default());
    assert!(!everything.exchanges(Family { afi: 1, safi: 128 }));
}

#[test]
fn the_last_graceful_restart_capability_counts() {
    let restart = |time| Capability::GracefulRestart {
        restart_state: false,
        notification: false,
        time,
        families: Vec::new(),
    };
    let mut open = Open::new(65_001, 90, Ipv4Addr::new(192, 0, 2, 1), Vec::new());
    assert_eq!(open.graceful_restart(), None);
    open.capabilities = vec![restart(1), Capability::RouteRefresh, restart(2)];
    assert_eq!(open.graceful_restart(), Some(&restart(2)));
}
