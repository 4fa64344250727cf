//! UPDATEs of peers: RFC 4271 §4.3, RFC 4760, RFC 7606 paragraph by paragraph.

use super::*;

const ORIGIN: &str = "400101 00";
const AS_PATH: &str = "400206 0201 0000fde9";
const NEXT_HOP: &str = "400304 c0000201";
const NLRI: &str = "18 cb0071";
/// MP_REACH_NLRI of 2001:db8::/32, next hop 2001:db8::1.
const REACH: &str = "800e1a 0002 01 10 20010db8000000000000000000000001 00 20 20010db8";

fn update(withdrawn: &str, attributes: &str, nlri: &str) -> Vec<u8> {
    let (withdrawn, attributes) = (hex(withdrawn), hex(attributes));
    let mut body = Vec::new();
    for part in [&withdrawn, &attributes] {
        body.extend_from_slice(&u16::try_from(part.len()).unwrap().to_be_bytes());
        body.extend_from_slice(part);
    }
    body.extend_from_slice(&hex(nlri));
    whole(2, &body)
}

fn read_as(message: &[u8], context: &Context) -> Result<Update, Error> {
    match decode(message, context)? {
        Message::Update(update) => Ok(update),
        other => panic!("not an UPDATE: {other:?}"),
    }
}

fn read(message: &[u8]) -> Result<Update, Error> {
    read_as(message, &MODERN)
}

/// An UPDATE with all that is mandatory, one prefix, and this attribute.
fn with(attribute: &str) -> Vec<u8> {
    let attributes = format!("{ORIGIN} {AS_PATH} {NEXT_HOP} {attribute}");
    update("", &attributes, NLRI)
}

fn discarded(attribute: u8) -> Result<Update, Error> {
    Ok(Update {
        announced: 1,
        fault: Some(Fault {
            attribute,
            action: Action::AttributeDiscard,
        }),
        ..Update::default()
    })
}

fn withdrawn(attribute: u8) -> Result<Update, Error> {
    Ok(Update {
        withdrawn: 1,
        fault: Some(Fault {
            attribute,
            action: Action::TreatAsWithdraw,
        }),
        ..Update::default()
    })
}

fn announced(announced: u32) -> Result<Update, Error> {
    Ok(Update {
        announced,
        ..Update::default()
    })
}

#[test]
fn routes_are_counted() {
    assert_eq!(read(&with("")), announced(1));
    let attributes = format!("{ORIGIN} {AS_PATH} {NEXT_HOP}");
    let message = update(
        "00 08 0a 20 0a000001",
        &attributes,
        "00 18 cb0071 19 cb007180",
    );
    assert_eq!(
        read(&message),
        Ok(Update {
            announced: 3,
            withdrawn: 3,
            ..Update::default()
        })
    );
    // RFC 4760 §3: no NEXT_HOP is needed.
    let message = update("", &format!("{REACH} {ORIGIN} {AS_PATH}"), "");
    assert_eq!(read(&message), announced(1));
    let message = update("", "800f08 0002 01 20 20010db8", "");
    assert_eq!(
        read(&message),
        Ok(Update {
            withdrawn: 1,
            ..Update::default()
        })
    );
}

#[test]
fn end_of_rib_is_recognised_for_each_family() {
    // RFC 4724 §2.
    for (attributes, family) in [
        ("", Family::IPV4_UNICAST),
        ("800f03 0001 01", Family::IPV4_UNICAST),
        ("800f03 0002 01", Family::IPV6_UNICAST),
        ("900f0003 0002 01", Family::IPV6_UNICAST),
        ("800f03 0001 80", Family { afi: 1, safi: 128 }),
    ] {
        let message = update("", attributes, "");
        let end = Update {
            end_of_rib: Some(family),
            ..Update::default()
        };
        assert_eq!(read(&message), Ok(end), "{attributes}");
    }
    // With anything else in it, it is not.
    for message in [
        update("08 0a", "", ""),
        update("", &format!("800f03 0002 01 {ORIGIN}"), ""),
        update("08 0a", "800f03 0002 01", ""),
    ] {
        assert_eq!(read(&message).unwrap().end_of_rib, None);
    }
}

#[test]
fn lengths_that_exceed_the_message_end_the_session() {
    // RFC 7606 §3 (b).
    for body in [
        "0001 0000",
        "0000 0001",
        "ffff 0000",
        "0002 0000",
        "0000 ffff 00",
    ] {
        assert_eq!(
            read(&whole(2, &hex(body))),
            Err(Error::AttributeList),
            "{body}"
        );
    }
    assert_eq!(
        Error::AttributeList.notification(&[]),
        Notification::new(3, 1)
    );
}

#[test]
fn prefixes_that_cannot_be_read_end_the_session() {
    // RFC 7606 §3 (i), §5.3.
    let attributes = format!("{ORIGIN} {AS_PATH} {NEXT_HOP}");
    for prefixes in ["21 0a00000100", "18 cb00", "08", "18 cb0071 20 0a0000"] {
        for message in [update(prefixes, "", ""), update("", &attributes, prefixes)] {
            assert_eq!(read(&message), Err(Error::NetworkField), "{prefixes}");
        }
    }
    assert_eq!(
        Error::NetworkField.notification(&[]),
        Notification::new(3, 10)
    );
}

#[test]
fn wrong_flags_are_treated_as_withdraw() {
    // RFC 7606 §3 (c).
    for (attributes, kind) in [
        (format!("c00101 00 {AS_PATH} {NEXT_HOP}"), 1),
        (format!("000101 00 {AS_PATH} {NEXT_HOP}"), 1),
        (format!("{ORIGIN} 800206 0201 0000fde9 {NEXT_HOP}"), 2),
        (format!("{ORIGIN} {AS_PATH} {NEXT_HOP} c00404 00000001"), 4),
        (format!("{ORIGIN} {AS_PATH} {NEXT_HOP} 800804 00000001"), 8),
        (format!("{ORIGIN} {AS_PATH} {NEXT_HOP} 400804 00000001"), 8),
        (format!("{ORIGIN} {AS_PATH} {NEXT_HOP} c00f03 0002 01"), 15),
    ] {
        assert_eq!(
            read(&update("", &attributes, NLRI)),
            withdrawn(kind),
            "{attributes}"
        );
    }
    // Partial, and the unused bits, are nobody's conflict.
    assert_eq!(read(&with("ef0804 00000001")), announced(1));
}

#[test]
fn a_missing_mandatory_attribute_is_treated_as_withdraw() {
    // RFC 7606 §3 (d).
    for (attributes, kind) in [
        (format!("{AS_PATH} {NEXT_HOP}"), 1),
        (format!("{ORIGIN} {NEXT_HOP}"), 2),
        (format!("{ORIGIN} {AS_PATH}"), 3),
        (String::new(), 1),
    ] {
        assert_eq!(
            read(&update("", &attributes, NLRI)),
            withdrawn(kind),
            "{attributes}"
        );
    }
    let message = update("", &format!("{REACH} {ORIGIN}"), "");
    assert_eq!(read(&message), withdrawn(2));
}

#[test]
fn the_second_of_an_attribute_does_not_count_and_of_mp_nlri_ends_the_session() {
    // RFC 7606 §3 (g).
    assert_eq!(read(&with("400101 09")), discarded(1));
    assert_eq!(read(&with("c0c801 00 c0c801 00")), discarded(200));
    for attributes in [
        format!("{REACH} {REACH}"),
        "800f03 0002 01 800f03 0001 01".to_owned(),
    ] {
        assert_eq!(
            read(&update("", &attributes, "")),
            Err(Error::AttributeList)
        );
    }
}

#[test]
fn of_several_faults_the_strongest_counts() {
    // RFC 7606 §3 (h).
    assert_eq!(read(&with("400601 00 c00803 000000")), withdrawn(8));
    assert_eq!(read(&with("c00803 000000 400601 00")), withdrawn(8));
    let message = update(
        "",
        &format!("{ORIGIN} {AS_PATH} {NEXT_HOP} c00803 000000"),
        "21",
    );
    assert_eq!(read(&message), Err(Error::NetworkField));
}

#[test]
fn attributes_that_are_cut_off_are_treated_as_withdraw() {
    // RFC 7606 §4: a length beyond the end; fewer than three octets, or four where the length has two.
    for rest in [
        "c00805 00000001",
        "c0",
        "c008",
        "d00800",
        "d008 0005 00000001",
    ] {
        assert_eq!(read(&with(rest)), withdrawn(0), "{rest}");
    }
    // RFC 7606 §3 (j): nobody knows which routes are meant.
    for rest in ["800e", "800e20 0002", "900f0010 0002 01"] {
        assert_eq!(read(&with(rest)), Err(Error::NothingToWithdraw), "{rest}");
    }
    // Zero length: a syntax error but for AS_PATH and ATOMIC_AGGREGATE.
    for kind in ["4001", "4003", "8004", "c008", "c010", "c020"] {
        let attributes = match kind {
            "4001" => format!("400100 {AS_PATH} {NEXT_HOP}"),
            "4003" => format!("{ORIGIN} {AS_PATH} 400300"),
            _ => format!("{ORIGIN} {AS_PATH} {NEXT_HOP} {kind}00"),
        };
        let read = read(&update("", &attributes, NLRI)).unwrap();
        assert_eq!((read.announced, read.withdrawn), (0, 1), "{kind}");
    }
    assert_eq!(
        read(&update(
            "",
            &format!("{ORIGIN} 400200 {NEXT_HOP} 400600"),
            NLRI
        )),
        announced(1)
    );
}

#[test]
fn without_routes_a_fault_ends_the_session() {
    // RFC 7606 §5.2.
    for attributes in [
        "400101 09".to_owned(),
        format!("{ORIGIN} c008"),
        "c0".to_owned(),
    ] {
        let message = update("", &attributes, "");
        assert_eq!(
            read(&message),
            Err(Error::NothingToWithdraw),
            "{attributes}"
        );
    }
    // Attribute discard does not.
    let message = update("", &format!("{ORIGIN} 400601 00"), "");
    assert_eq!(
        read(&message),
        Ok(Update {
            announced: 0,
            ..discarded(6).unwrap()
        })
    );
    // MP_UNREACH_NLRI alone has its routes.
    let message = update("", "c00f08 0002 01 20 20010db8", "");
    assert_eq!(read(&message), withdrawn(15));
    assert_eq!(
        Error::NothingToWithdraw.notification(&[]),
        Notification::new(3, 1)
    );
}

#[test]
fn each_attribute_has_its_form() {
    let internal = Context {
        internal: true,
        ..MODERN
    };
    let old = Context {
        four_octet: false,
        ..MODERN
    };
    let old_internal = Context {
        internal: true,
        ..old
    };
    let base = |attribute: &str, context: &Context| {
        // An AS_PATH that is right in both forms: empty.
        let message = update("", &format!("{ORIGIN} 400200 {NEXT_HOP} {attribute}"), NLRI);
        read_as(&message, context)
    };
    for (attribute, context, expected) in [
        // RFC 7606 §7.4.
        ("800404 00000001", &MODERN, announced(1)),
        ("800403 000001", &MODERN, withdrawn(4)),
        // §7.5.
        ("400504 00000064", &internal, announced(1)),
        ("400503 000064", &internal, withdrawn(5)),
        ("400504 00000064", &MODERN, discarded(5)),
        ("400503 000064", &MODERN, discarded(5)),
        // §7.6.
        ("400600", &MODERN, announced(1)),
        ("400601 00", &MODERN, discarded(6)),
        // §7.7: as long as AS numbers are.
        ("c00708 0000fde9 c0000201", &MODERN, announced(1)),
        ("c00706 fde9 c0000201", &MODERN, discarded(7)),
        ("c00706 fde9 c0000201", &old, announced(1)),
        ("c00708 0000fde9 c0000201", &old, discarded(7)),
        // §7.8.
        ("c00808 fde90001 fde90002", &MODERN, announced(1)),
        ("c00806 fde90001 fde9", &MODERN, withdrawn(8)),
        ("c00800", &MODERN, withdrawn(8)),
        // §7.9, §7.10.
        ("800904 c0000201", &internal, announced(1)),
        ("800905 c000020100", &internal, withdrawn(9)),
        ("800904 c0000201", &MODERN, discarded(9)),
        ("800a08 c0000201 c0000202", &internal, announced(1)),
        ("800a00", &internal, withdrawn(10)),
        ("800a06 c0000201 c000", &internal, withdrawn(10)),
        ("800a04 c0000201", &MODERN, discarded(10)),
        // §7.14, §7.15; RFC 8092 §6.
        ("c01008 0002fde900000001", &MODERN, announced(1)),
        ("c01007 0002fde9000000", &MODERN, withdrawn(16)),
        (
            "c01914 0000000000000000000000000000000000000000",
            &MODERN,
            announced(1),
        ),
        ("c01904 00000000", &MODERN, withdrawn(25)),
        ("c0200c 0000fde90000000100000002", &MODERN, announced(1)),
        ("c02008 0000fde900000001", &MODERN, withdrawn(32)),
        // RFC 6793 §4.1, §6.
        ("c01106 0201 0000fde9", &old, announced(1)),
        ("c01106 0201 0000fde9", &old_internal, announced(1)),
        ("c01106 0201 0000fde9", &MODERN, discarded(17)),
        ("c01105 0201 0000fd", &old, discarded(17)),
        ("c01100", &old, discarded(17)),
        ("c01208 0000fde9 c0000201", &old, announced(1)),
        ("c01206 fde9 c0000201", &old, discarded(18)),
        ("c01208 0000fde9 c0000201", &MODERN, discarded(18)),
        // RFC 9234 §5.
        ("c02304 0000fde9", &MODERN, announced(1)),
        ("c02302 fde9", &MODERN, withdrawn(35)),
        // Unknown ones are passed over.
        ("c0c800", &MODERN, announced(1)),
        ("80c803 010203", &MODERN, announced(1)),
    ] {
        assert_eq!(
            base(attribute, context),
            expected,
            "{attribute} {context:?}"
        );
    }
}

#[test]
fn origin_as_path_and_next_hop_have_their_forms() {
    let old = Context {
        four_octet: false,
        ..MODERN
    };
    for (attributes, context, expected) in [
        // RFC 7606 §7.1.
        (
            format!("400101 02 {AS_PATH} {NEXT_HOP}"),
            &MODERN,
            announced(1),
        ),
        (
            format!("400101 03 {AS_PATH} {NEXT_HOP}"),
            &MODERN,
            withdrawn(1),
        ),
        (
            format!("400102 0000 {AS_PATH} {NEXT_HOP}"),
            &MODERN,
            withdrawn(1),
        ),
        // §7.2: a set behind a sequence; confederations; unknown types; lengths; empty segments.
        (
            format!("{ORIGIN} 40020c 0201 0000fde9 0101 0000fdea {NEXT_HOP}"),
            &MODERN,
            announced(1),
        ),
        (
            format!("{ORIGIN} 400206 0301 0000fde9 {NEXT_HOP}"),
            &MODERN,
            announced(1),
        ),
        (
            format!("{ORIGIN} 400206 0501 0000fde9 {NEXT_HOP}"),
            &MODERN,
            withdrawn(2),
        ),
        (
            format!("{ORIGIN} 400206 0001 0000fde9 {NEXT_HOP}"),
            &MODERN,
            withdrawn(2),
        ),
        (
            format!("{ORIGIN} 400206 0202 0000fde9 {NEXT_HOP}"),
            &MODERN,
            withdrawn(2),
        ),
        (
            format!("{ORIGIN} 400207 0201 0000fde9 02 {NEXT_HOP}"),
            &MODERN,
            withdrawn(2),
        ),
        (
            format!("{ORIGIN} 400208 0201 0000fde9 0200 {NEXT_HOP}"),
            &MODERN,
            withdrawn(2),
        ),
        (
            format!("{ORIGIN} 400204 0201 fde9 {NEXT_HOP}"),
            &old,
            announced(1),
        ),
        (
            format!("{ORIGIN} 400204 0201 fde9 {NEXT_HOP}"),
            &MODERN,
            withdrawn(2),
        ),
        (
            format!("{ORIGIN} 400205 0201 fde900 {NEXT_HOP}"),
            &old,
            withdrawn(2),
        ),
        // §7.3.
        (
            format!("{ORIGIN} {AS_PATH} 400305 c000020100"),
            &MODERN,
            withdrawn(3),
        ),
    ] {
        let message = update("", &attributes, NLRI);
        assert_eq!(read_as(&message, context), expected, "{attributes}");
    }
}

#[test]
fn an_unknown_well_known_attribute_ends_the_session_and_is_quoted() {
    let message = with("40c802 0102");
    let error = read(&message).unwrap_err();
    assert!(matches!(error, Error::WellKnown(_)));
    let notification = error.notification(&message);
    assert_eq!(
        (notification.code, notification.subcode, notification.data),
        (3, 2, hex("40c802 0102"))
    );
}

#[test]
fn mp_nlri_that_cannot_be_read_ends_the_session_and_is_quoted() {
    // RFC 7606 §5.3, §7.11, §7.12.
    for attribute in [
        "800e00",
        "800e04 0002 01 00",
        "800e05 0002 01 10 00",
        "800e05 0002 01 00 00",
        // A next hop of 8 octets.
        "800e0d 0002 01 08 0000000000000000 00",
        // Prefixes: too long, cut off.
        "800e16 0002 01 10 20010db8000000000000000000000001 00 81",
        "800e17 0002 01 10 20010db8000000000000000000000001 00 20 20",
        // IPv4 with an IPv6 next hop, which was not agreed on.
        "800e17 0001 01 10 20010db8000000000000000000000001 00 08 0a",
        "800f00",
        "800f02 0002",
        "800f04 0002 01 81",
        "800f05 0001 01 10 0a",
        "900f0004 0002 01 40",
    ] {
        let message = update("", &format!("{ORIGIN} {attribute} {AS_PATH}"), "");
        let error = read(&message).unwrap_err();
        assert!(
            matches!(error, Error::OptionalAttribute(_)),
            "{attribute}: {error}"
        );
        let notification = error.notification(&message);
        assert_eq!(
            (notification.code, notification.subcode, notification.data),
            (3, 9, hex(attribute))
        );
    }
}

#[test]
fn next_hops_have_the_lengths_of_their_family() {
    let both = "20010db8000000000000000000000001 fe800000000000000000000000000001";
    let extended = Context {
        extended_next_hop: true,
        ..MODERN
    };
    for (attribute, context) in [
        (format!("800e2a 0002 01 20 {both} 00 20 20010db8"), &MODERN),
        ("800e0b 0001 01 04 c0000201 00 08 0a".to_owned(), &MODERN),
        (
            "800e17 0001 01 10 20010db8000000000000000000000001 00 08 0a".to_owned(),
            &extended,
        ),
        (format!("800e27 0001 01 20 {both} 00 08 0a"), &extended),
        // Multicast has prefixes as well.
        ("800e0b 0001 02 04 c0000201 00 08 0a".to_owned(), &MODERN),
    ] {
        let message = update("", &format!("{attribute} {ORIGIN} {AS_PATH}"), "");
        assert_eq!(read_as(&message, context), announced(1), "{attribute}");
    }
    // Families that nobody agreed on are passed over, whatever is in them.
    let message = update(
        "",
        &format!("800e09 0019 46 00 00 ffffffff {ORIGIN} {AS_PATH}"),
        "",
    );
    assert_eq!(read(&message), announced(0));
    let message = update("", "800f05 0019 46 ffff", "");
    assert_eq!(read(&message), Ok(Update::default()));
}

#[test]
fn faults_are_told_in_words() {
    for (attribute, action, text) in [
        (
            0,
            Action::TreatAsWithdraw,
            "the path attributes are cut off: the routes count as withdrawn",
        ),
        (
            8,
            Action::TreatAsWithdraw,
            "COMMUNITIES (attribute 8) is wrong or missing: the routes count as withdrawn",
        ),
        (
            7,
            Action::AttributeDiscard,
            "AGGREGATOR (attribute 7) is wrong or repeated: it is ignored",
        ),
        (
            200,
            Action::AttributeDiscard,
            "attribute 200 is wrong or repeated: it is ignored",
        ),
    ] {
        assert_eq!(Fault { attribute, action }.to_string(), text);
    }
}
