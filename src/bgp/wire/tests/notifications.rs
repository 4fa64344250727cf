//! RFC 4271 §4.5, §6; RFC 4486; RFC 8538; RFC 9003; and the texts.

use super::*;

fn read(body: &[u8]) -> Notification {
    match decode(&whole(3, body), &Context::default()) {
        Ok(Message::Notification(notification)) => notification,
        other => panic!("not a NOTIFICATION: {other:?}"),
    }
}

#[test]
fn texts_say_what_the_peer_said() {
    for (octets, text) in [
        ("0101", "Message Header Error/Connection Not Synchronized"),
        (
            "0102 1001",
            "Message Header Error/Bad Message Length: length 4097",
        ),
        ("0103 09", "Message Header Error/Bad Message Type: type 9"),
        ("0200", "OPEN Message Error"),
        (
            "0201 0004",
            "OPEN Message Error/Unsupported Version Number: only up to version 4",
        ),
        ("0202", "OPEN Message Error/Bad Peer AS"),
        ("0202 fde9", "OPEN Message Error/Bad Peer AS: AS 65001"),
        (
            "0202 fa56ea00",
            "OPEN Message Error/Bad Peer AS: AS 4200000000",
        ),
        (
            "0203 c0000201",
            "OPEN Message Error/Bad BGP Identifier: 192.0.2.1",
        ),
        ("0204", "OPEN Message Error/Unsupported Optional Parameter"),
        ("0205", "OPEN Message Error/Authentication Failure"),
        (
            "0206 0002",
            "OPEN Message Error/Unacceptable Hold Time: 2 s",
        ),
        (
            "0207 01040002 0001 4104 0000fde9 c800",
            "OPEN Message Error/Unsupported Capability: multiprotocol IPv6 unicast, four-octet AS number, capability 200",
        ),
        ("020b", "OPEN Message Error/Role Mismatch"),
        ("0209", "OPEN Message Error/subcode 9"),
        ("0301", "UPDATE Message Error/Malformed Attribute List"),
        (
            "0303 03",
            "UPDATE Message Error/Missing Well-known Attribute: attribute 3 (NEXT_HOP)",
        ),
        (
            "0304 c0 01 01 00",
            "UPDATE Message Error/Attribute Flags Error: attribute 1 (ORIGIN)",
        ),
        (
            "0305 c0 c8 00",
            "UPDATE Message Error/Attribute Length Error: attribute 200",
        ),
        ("030a", "UPDATE Message Error/Invalid Network Field"),
        ("030b", "UPDATE Message Error/Malformed AS_PATH"),
        ("0400", "Hold Timer Expired"),
        ("0500", "Finite State Machine Error"),
        (
            "0502",
            "Finite State Machine Error/Receive Unexpected Message in OpenConfirm State",
        ),
        ("0600", "Cease"),
        (
            "0601 0001 01 00000064",
            "Cease/Maximum Number of Prefixes Reached: at most 100 prefixes of IPv4 unicast",
        ),
        ("0602", "Cease/Administrative Shutdown"),
        ("0602 00", "Cease/Administrative Shutdown"),
        (
            "0602 0b 6d61696e74656e616e6365",
            "Cease/Administrative Shutdown: \"maintenance\"",
        ),
        ("0603", "Cease/Peer De-configured"),
        ("0604 02 6f6b", "Cease/Administrative Reset: \"ok\""),
        ("0605", "Cease/Connection Rejected"),
        ("0606", "Cease/Other Configuration Change"),
        ("0607", "Cease/Connection Collision Resolution"),
        ("0608", "Cease/Out of Resources"),
        (
            "0609 0602 02 6f6b",
            "Cease/Hard Reset: Cease/Administrative Shutdown: \"ok\"",
        ),
        ("0609", "Cease/Hard Reset"),
        ("0609 0609 0609 0602", "Cease/Hard Reset: data 060906090602"),
        ("060a", "Cease/BFD Down"),
        ("063f", "Cease/subcode 63"),
        ("0701", "ROUTE-REFRESH Message Error/Invalid Message Length"),
        ("0800", "Send Hold Timer Expired"),
        ("6305 0102", "error code 99, subcode 5: data 0102"),
        // Data that its codes do not explain.
        (
            "0102 01",
            "Message Header Error/Bad Message Length: data 01",
        ),
        ("0400 01", "Hold Timer Expired: data 01"),
    ] {
        assert_eq!(read(&hex(octets)).to_string(), text, "{octets}");
    }
}

#[test]
fn a_shutdown_communication_cannot_harm_a_terminal() {
    // RFC 9003: not UTF-8, shorter than it says: shown as octets.
    for (octets, text) in [
        (
            "0602 03 61ff62",
            "Cease/Administrative Shutdown: data 0361ff62",
        ),
        ("0602 05 6f6b", "Cease/Administrative Shutdown: data 056f6b"),
        // An escape sequence, a new line, a change of direction, a quotation mark.
        (
            "0602 03 1b5b4a",
            r#"Cease/Administrative Shutdown: "\u{1b}[J""#,
        ),
        ("0602 03 610a62", r#"Cease/Administrative Shutdown: "a\nb""#),
        (
            "0604 03 e280ae",
            r#"Cease/Administrative Reset: "\u{202e}""#,
        ),
        ("0604 03 612262", r#"Cease/Administrative Reset: "a\"b""#),
        ("0604 02 c3bc", r#"Cease/Administrative Reset: "ü""#),
    ] {
        assert_eq!(read(&hex(octets)).to_string(), text, "{octets}");
    }
    let mut longest = vec![6, 2, 255];
    longest.extend_from_slice(&[b'x'; 255]);
    assert_eq!(read(&longest).text(), Some("x".repeat(255).as_str()));
    // What is shown of octets is short.
    let shown = read(&[9; 4000]).to_string();
    assert!(shown.len() < 150, "{shown}");
    assert!(shown.ends_with("… (3998 octets)"), "{shown}");
}

#[test]
fn a_text_is_cut_at_a_character() {
    let maintenance = Notification::cease_with_text(Cease::AdministrativeShutdown, "maintenance");
    assert_eq!(maintenance.text(), Some("maintenance"));
    let long = Notification::cease_with_text(Cease::AdministrativeReset, &"ü".repeat(200));
    assert_eq!(long.text(), Some("ü".repeat(127).as_str()));
    assert_eq!(long.data.len(), 255);
    // RFC 9003 §2: these two subcodes alone.
    let other = Notification::cease_with_text(Cease::PeerDeconfigured, "text");
    assert_eq!(other, Notification::cease(Cease::PeerDeconfigured));
    assert_eq!(read(&[6, 3, 1, b'x']).text(), None);
}

#[test]
fn a_hard_reset_has_the_reason_inside() {
    let inside = Notification::cease_with_text(Cease::AdministrativeShutdown, "ok");
    let hard = inside.in_hard_reset();
    assert!(hard.is_hard_reset());
    assert!(!inside.is_hard_reset());
    assert_eq!(hard.data, hex("06 02 02 6f6b"));
}

#[test]
fn notifications_are_written_as_they_are_read() {
    for octets in ["0400", "0602 02 6f6b", "0102 1001", "6305 0102"] {
        let message = whole(3, &hex(octets));
        let mut written = Vec::new();
        read(&hex(octets)).encode(&mut written);
        assert_eq!(written, message);
    }
    // Never longer than any session takes.
    let mut written = Vec::new();
    Notification {
        code: 3,
        subcode: 1,
        data: vec![0; 70_000],
    }
    .encode(&mut written);
    assert_eq!(written.len(), MAX_MESSAGE);
    assert_eq!(frame(&written, false), Ok(Some(MAX_MESSAGE)));
}

#[test]
fn missing_capabilities_are_quoted() {
    let missed = [Capability::MultiProtocol(Family::IPV6_UNICAST)];
    let notification = Notification::unsupported_capability(&missed);
    assert_eq!(notification.data, hex("0104 0002 00 01"));
    assert_eq!(
        notification.to_string(),
        "OPEN Message Error/Unsupported Capability: multiprotocol IPv6 unicast"
    );
}

#[test]
fn errors_say_what_was_wrong_and_what_was_expected() {
    let span = Span {
        start: 0,
        length: 0,
    };
    for (error, text) in [
        (
            Error::PeerAs {
                received: 65_001,
                expected: Some(65_002),
            },
            "OPEN Message Error/Bad Peer AS: the peer says 65001, this configuration expects 65002",
        ),
        (
            Error::PeerAs {
                received: 0,
                expected: None,
            },
            "OPEN Message Error/Bad Peer AS: the peer says 0, which no AS can have",
        ),
        (
            Error::Identifier(Ipv4Addr::new(192, 0, 2, 1)),
            "OPEN Message Error/Bad BGP Identifier: the peer's identifier 192.0.2.1 is our own",
        ),
        (
            Error::Identifier(Ipv4Addr::UNSPECIFIED),
            "OPEN Message Error/Bad BGP Identifier: the peer's identifier is 0.0.0.0",
        ),
        (
            Error::HoldTime(2),
            "OPEN Message Error/Unacceptable Hold Time: 2 s is neither 0 nor at least 3",
        ),
        (
            Error::Marker,
            "Message Header Error/Connection Not Synchronized: the peer does not speak BGP, or octets were lost",
        ),
        (
            Error::WellKnown(span),
            "UPDATE Message Error/Unrecognized Well-known Attribute: an unknown attribute is said to be well-known",
        ),
    ] {
        assert_eq!(error.to_string(), text);
    }
    // Each error has its sentence and a name for its codes.
    for error in [
        Error::Length(5),
        Error::Kind(9),
        Error::Version(3),
        Error::OptionalParameter(1),
        Error::Open,
        Error::AttributeList,
        Error::OptionalAttribute(span),
        Error::NetworkField,
        Error::NothingToWithdraw,
        Error::RefreshLength,
    ] {
        let text = error.to_string();
        assert!(!text.contains("subcode"), "{text}");
        assert!(text.contains(": "), "{text}");
    }
    let large = Error::PeerAs {
        received: 4_200_000_000,
        expected: Some(1),
    };
    assert_eq!(large.notification(&[]).data, hex("fa56ea00"));
}
