//! RFC 4271 §4.1, §6.1; RFC 8654.

use super::*;

#[test]
fn a_message_is_found_when_all_of_it_is_there() {
    let mut stream = KEEPALIVE.to_vec();
    stream.extend_from_slice(&whole(3, &[6, 2]));
    for length in 0..HEADER {
        assert_eq!(frame(&stream[..length], false), Ok(None), "{length}");
    }
    assert_eq!(frame(&stream, false), Ok(Some(HEADER)));
    assert_eq!(frame(&stream[HEADER..], false), Ok(Some(21)));
    assert_eq!(frame(&stream[HEADER..stream.len() - 1], false), Ok(None));
    assert_eq!(decode(&KEEPALIVE, &MODERN), Ok(Message::Keepalive));
}

#[test]
fn a_wrong_marker_is_seen_at_its_first_octet() {
    assert_eq!(frame(b"HTTP", false), Err(Error::Marker));
    for place in 0..16 {
        let mut message = KEEPALIVE;
        message[place] = 0xfe;
        assert_eq!(frame(&message[..=place], false), Err(Error::Marker));
        assert_eq!(decode(&message, &MODERN), Err(Error::Marker));
    }
    let notification = Error::Marker.notification(&[]);
    assert_eq!(notification, Notification::new(1, 1));
}

#[test]
fn each_message_has_its_shortest_and_longest_length() {
    // Type, shortest, longest, longest where RFC 8654 was agreed on.
    for (kind, shortest, longest, extended) in [
        (1, 29, 4096, 4096),
        (2, 23, 4096, 65_535),
        (3, 21, 4096, 65_535),
        (4, 19, 19, 19),
        (5, 19, 4096, 65_535),
    ] {
        for length in [0, 18, 19, 20, 21, 22, 23, 28, 29, 4096, 4097, 65_535] {
            let mut header = KEEPALIVE;
            header[16..18].copy_from_slice(&u16::to_be_bytes(length));
            header[18] = kind;
            for (agreed, longest) in [(false, longest), (true, extended)] {
                let expected = if (shortest..=longest).contains(&length) {
                    Ok((length == 19).then_some(19))
                } else {
                    Err(Error::Length(length))
                };
                assert_eq!(frame(&header, agreed), expected, "{kind} {length} {agreed}");
            }
        }
    }
    // RFC 4271 §6.1: the Data field contains the erroneous Length field.
    let notification = Error::Length(4097).notification(&[]);
    assert_eq!(
        (notification.code, notification.subcode, notification.data),
        (1, 2, vec![0x10, 0x01])
    );
}

#[test]
fn unknown_types_are_refused_with_the_type() {
    for kind in [0, 6, 128, 255] {
        let message = whole(kind, &[]);
        assert_eq!(frame(&message, false), Err(Error::Kind(kind)));
        let notification = Error::Kind(kind).notification(&message);
        assert_eq!(
            (notification.code, notification.subcode, notification.data),
            (1, 3, vec![kind])
        );
    }
}

#[test]
fn what_is_decoded_is_exactly_one_message() {
    let mut message = KEEPALIVE.to_vec();
    message.push(0xff);
    assert_eq!(decode(&message, &MODERN), Err(Error::Length(20)));
    assert_eq!(decode(&message[..18], &MODERN), Err(Error::Length(18)));
    assert_eq!(decode(&[], &MODERN), Err(Error::Length(0)));
}

#[test]
fn route_refresh_is_read_and_written() {
    let message = whole(5, &[0, 2, 1, 1]);
    let refresh = RouteRefresh {
        family: Family::IPV6_UNICAST,
        subtype: RouteRefresh::BEGIN,
    };
    assert_eq!(
        decode(&message, &MODERN),
        Ok(Message::RouteRefresh(refresh))
    );
    let mut written = Vec::new();
    refresh.encode(&mut written);
    assert_eq!(written, message);
}

#[test]
fn what_asks_for_routes_depends_on_rfc_7313() {
    let plain = Context {
        enhanced_refresh: false,
        ..MODERN
    };
    for (subtype, enhanced) in [(0, true), (1, false), (2, false), (3, false), (255, false)] {
        let refresh = RouteRefresh {
            family: Family::IPV4_UNICAST,
            subtype,
        };
        assert_eq!(refresh.is_request(&MODERN), enhanced);
        // RFC 2918 §3: reserved, ignored by the receiver.
        assert!(refresh.is_request(&plain));
    }
}

#[test]
fn a_route_refresh_of_another_length_has_an_error_of_its_own() {
    for body in [&[][..], &[0, 1, 0], &[0, 1, 0, 1, 0]] {
        let message = whole(5, body);
        let error = decode(&message, &MODERN).unwrap_err();
        assert_eq!(error, Error::RefreshLength);
        let notification = error.notification(&message);
        // RFC 7313 §5: the complete message.
        assert_eq!(
            (notification.code, notification.subcode, &notification.data),
            (7, 1, &message)
        );
        let plain = Context {
            enhanced_refresh: false,
            ..MODERN
        };
        assert_eq!(
            decode(&message, &plain),
            Err(Error::Length(u16::try_from(message.len()).unwrap()))
        );
    }
}
