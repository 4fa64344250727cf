//! What Go takes, and what it does not: the rows of go-msgpack's own behaviour.

use super::*;

fn fields(n: u8, body: &[u8]) -> Vec<u8> {
    [&[0x80 | n][..], body].concat()
}

fn body(kind: Kind, body: &[u8]) -> Result<Message, Dropped> {
    one(&[&[kind.byte()][..], body].concat())
}

fn of_ping(map: &[u8]) -> Result<Message, Dropped> {
    body(Kind::Ping, map)
}

fn of_ack(map: &[u8]) -> Result<Message, Dropped> {
    body(Kind::Ack, map)
}

fn ack(seq_no: u32, payload: &[u8]) -> Message {
    Message::Ack(Ack {
        seq_no,
        payload: payload.to_vec(),
    })
}

const MALFORMED: Result<Message, Dropped> = Err(Dropped::Malformed);

#[test]
fn keys_come_in_any_order_may_be_missing_and_the_last_of_two_wins() {
    let cases: [(&[u8], Message); 9] = [
        (b"\x82\xa4Node\xa1b\xa5SeqNo\x09", ping(9, "b")),
        (b"\x82\xa5SeqNo\x09\xa4Node\xa1b", ping(9, "b")),
        (b"\x81\xa5SeqNo\x09", ping(9, "")),
        (b"\x80", ping(0, "")),
        (b"\xde\x00\x02\xa5SeqNo\x09\xa4Node\xa1b", ping(9, "b")),
        (
            b"\xdf\x00\x00\x00\x02\xa5SeqNo\x09\xa4Node\xa1b",
            ping(9, "b"),
        ),
        (b"\x82\xa5SeqNo\x01\xa5SeqNo\x02", ping(2, "")),
        (b"\x82\xa5SeqNo\x01\xa5SeqNo\xc0", ping(0, "")),
        // another case is another key
        (b"\x81\xa5seqNo\x09", ping(0, "")),
    ];
    for (map, want) in cases {
        assert_eq!(of_ping(map), Ok(want), "{map:02x?}");
    }
}

#[test]
fn unknown_keys_are_skipped_whatever_their_value() {
    let values: [&[u8]; 34] = [
        b"\x00",
        b"\x7f",
        b"\xe0",
        b"\xff",
        b"\xc0",
        b"\xc2",
        b"\xc3",
        b"\xcc\x01",
        b"\xcd\x01\x02",
        b"\xce\x01\x02\x03\x04",
        b"\xcf\x01\x02\x03\x04\x05\x06\x07\x08",
        b"\xd0\x01",
        b"\xd1\x01\x02",
        b"\xd2\x01\x02\x03\x04",
        b"\xd3\x01\x02\x03\x04\x05\x06\x07\x08",
        b"\xca\x01\x02\x03\x04",
        b"\xcb\x01\x02\x03\x04\x05\x06\x07\x08",
        b"\xa2ab",
        b"\xd9\x02ab",
        b"\xda\x00\x02ab",
        b"\xdb\x00\x00\x00\x02ab",
        b"\xc4\x02ab",
        b"\xc5\x00\x02ab",
        b"\xc6\x00\x00\x00\x02ab",
        b"\xc7\x02\x05ab",
        b"\xc8\x00\x02\x05ab",
        b"\xd4\x05a",
        b"\xd5\x05ab",
        b"\xd6\x05abcd",
        b"\xd7\x05abcdefgh",
        b"\xd8\x05abcdefghabcdefgh",
        b"\x92\x01\x91\x02",
        b"\x81\xa1k\x92\x01\x02",
        b"\xdc\x00\x01\xde\x00\x01\x01\x02",
    ];
    for value in values {
        let map = fields(2, &[b"\xa7Unknown", value, b"\xa5SeqNo\x09"].concat());
        assert_eq!(of_ping(&map), Ok(ping(9, "")), "{value:02x?}");
    }
    let never_used = fields(2, b"\xa7Unknown\xc1\xa5SeqNo\x09");
    assert_eq!(of_ping(&never_used), MALFORMED);
}

#[test]
fn later_versions_source_fields_are_ignored() {
    let map = b"\x85\xa4Node\xa6node-a\xa5SeqNo\x01\xaaSourceAddr\xa4\x7f\0\0\x02\xaaSourceNode\xa6node-b\xaaSourcePort\xcd\x1f\x0a";
    assert_eq!(of_ping(map), Ok(ping(1, "node-a")));
}

#[test]
fn structs_come_as_arrays_too_in_the_order_of_gos_declaration() {
    let cases: [(&[u8], Message); 4] = [
        (b"\x92\x09\xa6node-b", ping(9, "node-b")),
        (b"\x91\x09", ping(9, "")),
        (b"\x93\x09\xa1b\x93\x01\x02\x03", ping(9, "b")),
        (b"\xdc\x00\x02\x09\xa1b", ping(9, "b")),
    ];
    for (array, want) in cases {
        assert_eq!(of_ping(array), Ok(want), "{array:02x?}");
    }
    let alive_array = b"\x96\x01\xa1a\xa4\x0a\0\0\x01\xcd\x1f\x0a\xc0\xa6\x01\x05\x02\0\0\0";
    assert_eq!(
        body(Kind::Alive, alive_array),
        Ok(Message::Alive(alive("a")))
    );
    let indirect = b"\x95\x07\xa4\x0a\0\0\x01\x05\xa1b\xc3";
    assert_eq!(
        body(Kind::IndirectPing, indirect),
        Ok(Message::IndirectPing(IndirectPing {
            seq_no: 7,
            target: [10, 0, 0, 1].into(),
            port: 5,
            node: Some(name("b")),
            nack: true,
        }))
    );
    let dead = Dead {
        incarnation: 3,
        node: name("n"),
        from: name("f"),
    };
    assert_eq!(
        body(Kind::Dead, b"\x93\x03\xa1n\xa1f"),
        Ok(Message::Dead(dead))
    );
}

#[test]
fn nil_is_the_zero_value_of_a_field_and_of_a_struct() {
    assert_eq!(of_ping(b"\xc0"), Ok(ping(0, "")));
    assert_eq!(of_ping(b"\x82\xa5SeqNo\xc0\xa4Node\xc0"), Ok(ping(0, "")));
    assert_eq!(of_ack(b"\x81\xa7Payload\xc0"), Ok(ack(0, b"")));
    let no_addr = b"\x82\xa4Node\xa1a\xa3Vsn\xa6\x01\x05\x02\0\0\0";
    assert_eq!(body(Kind::Alive, no_addr), Err(Dropped::Address));
    assert_eq!(body(Kind::Dead, b"\xc0"), Err(Dropped::Name));
}

#[test]
fn integers_come_in_any_form_that_fits() {
    let fitting: [(&[u8], u32); 11] = [
        (b"\x05", 5),
        (b"\xcc\x05", 5),
        (b"\xcd\x00\x05", 5),
        (b"\xce\x00\x00\x00\x05", 5),
        (b"\xcf\x00\x00\x00\x00\x00\x00\x00\x05", 5),
        (b"\xd0\x05", 5),
        (b"\xd1\x00\x05", 5),
        (b"\xd2\x00\x00\x00\x05", 5),
        (b"\xd3\x00\x00\x00\x00\x00\x00\x00\x05", 5),
        (b"\xce\xff\xff\xff\xff", u32::MAX),
        (b"\xcf\x00\x00\x00\x00\xff\xff\xff\xff", u32::MAX),
    ];
    for (form, want) in fitting {
        let map = fields(1, &[b"\xa5SeqNo", form].concat());
        assert_eq!(of_ack(&map), Ok(ack(want, b"")), "{form:02x?}");
    }
    let unfit: [&[u8]; 9] = [
        b"\xff",
        b"\xd0\xff",
        b"\xd1\xff\xff",
        b"\xd2\x80\x00\x00\x00",
        b"\xd3\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\xcf\x00\x00\x00\x01\x00\x00\x00\x00",
        b"\xca\x00\x00\x00\x00",
        b"\xa15",
        b"\xc3",
    ];
    for form in unfit {
        let map = fields(1, &[b"\xa5SeqNo", form].concat());
        assert_eq!(of_ack(&map), MALFORMED, "{form:02x?}");
    }
    // Each field has its width.
    let port = b"\x81\xa4Port\xce\x00\x01\x11\x70";
    assert_eq!(body(Kind::IndirectPing, port), MALFORMED);
}

#[test]
fn booleans_come_as_0_and_1_too() {
    let cases: [(&[u8], Result<bool, Dropped>); 7] = [
        (b"\xc2", Ok(false)),
        (b"\xc3", Ok(true)),
        (b"\x00", Ok(false)),
        (b"\x01", Ok(true)),
        (b"\xc0", Ok(false)),
        (b"\x02", Err(Dropped::Malformed)),
        (b"\xa1y", Err(Dropped::Malformed)),
    ];
    for (form, want) in cases {
        let map = fields(2, &[b"\xa6Target\xa4\x0a\0\0\x01\xa4Nack", form].concat());
        let nack = body(Kind::IndirectPing, &map).map(|message| match message {
            Message::IndirectPing(ping) => ping.nack,
            other => panic!("{other:?}"),
        });
        assert_eq!(nack, want, "{form:02x?}");
    }
}

#[test]
fn strings_and_keys_come_as_raw_and_str8_but_never_as_bin() {
    let texts: [&[u8]; 4] = [
        b"\xa1b",
        b"\xd9\x01b",
        b"\xda\x00\x01b",
        b"\xdb\x00\x00\x00\x01b",
    ];
    for text in texts {
        let map = fields(1, &[b"\xa4Node", text].concat());
        assert_eq!(of_ping(&map), Ok(ping(0, "b")), "{text:02x?}");
    }
    let keys: [&[u8]; 4] = [
        b"\xa5SeqNo",
        b"\xd9\x05SeqNo",
        b"\xda\x00\x05SeqNo",
        b"\xdb\x00\x00\x00\x05SeqNo",
    ];
    for key in keys {
        let map = fields(1, &[key, b"\x09"].concat());
        assert_eq!(of_ping(&map), Ok(ping(9, "")), "{key:02x?}");
    }
    let bad: [&[u8]; 6] = [
        b"\xa4Node\xc4\x01b",
        b"\xa4Node\xc5\x00\x01b",
        b"\xa4Node\x91\x62",
        b"\xc4\x05SeqNo\x09",
        b"\x01\x09",
        // Go reads this as a string of 64 bytes, by accident
        b"\xa4Node\xe0bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
    ];
    for map in bad {
        assert_eq!(of_ping(&fields(1, map)), MALFORMED, "{map:02x?}");
    }
}

#[test]
fn byte_fields_come_as_raw_str8_bin_and_arrays() {
    let forms: [&[u8]; 11] = [
        b"\xa3\x01\x02\x03",
        b"\xd9\x03\x01\x02\x03",
        b"\xda\x00\x03\x01\x02\x03",
        b"\xdb\x00\x00\x00\x03\x01\x02\x03",
        b"\xc4\x03\x01\x02\x03",
        b"\xc5\x00\x03\x01\x02\x03",
        b"\xc6\x00\x00\x00\x03\x01\x02\x03",
        b"\x93\x01\x02\x03",
        b"\x93\xcc\x01\xcd\x00\x02\xd0\x03",
        b"\xdc\x00\x03\x01\x02\x03",
        b"\xdd\x00\x00\x00\x03\x01\x02\x03",
    ];
    for form in forms {
        let map = fields(1, &[b"\xa7Payload", form].concat());
        assert_eq!(of_ack(&map), Ok(ack(0, b"\x01\x02\x03")), "{form:02x?}");
    }
    for form in [&b"\x91\xcd\x01\x00"[..], b"\x91\xff", b"\x05", b"\xc2"] {
        let map = fields(1, &[b"\xa7Payload", form].concat());
        assert_eq!(of_ack(&map), MALFORMED, "{form:02x?}");
    }
    let array = b"\x83\xa4Node\xa1a\xa4Addr\x94\x0a\x00\x00\x01\xa3Vsn\x96\x01\x05\x02\x00\x00\x00";
    let Ok(Message::Alive(alive)) = body(Kind::Alive, array) else {
        panic!("not taken");
    };
    assert_eq!(alive.vsn, Versions::OURS);
}

#[test]
fn bytes_behind_the_body_are_ignored_and_missing_ones_are_not() {
    let whole = encoded(&Message::Alive(alive("node-a")));
    let mut longer = whole.clone();
    longer.extend(b"more");
    assert_eq!(one(&longer), one(&whole));
    for end in 1..whole.len() {
        assert_eq!(one(&whole[..end]), Err(Dropped::Truncated), "cut at {end}");
    }
}

#[test]
fn a_pings_empty_name_means_anyone() {
    assert_eq!(of_ping(b"\x81\xa4Node\xa0"), Ok(ping(0, "")));
}
