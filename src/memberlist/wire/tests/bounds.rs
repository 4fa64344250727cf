//! What Go takes, or crashes on, and we do not.

use super::*;

fn alive_with(field: &str, value: &[u8]) -> Result<Message, Dropped> {
    let mut bytes = encoded(&Message::Alive(alive("node-a")));
    bytes[1] += 1;
    bytes.push(0xa0 | u8::try_from(field.len()).unwrap());
    bytes.extend(field.as_bytes());
    // The last of two wins.
    bytes.extend(value);
    one(&bytes)
}

#[test]
fn what_crashes_go_is_dropped() {
    let compound_of_nothing = [7, 1, 0, 0];
    assert_eq!(
        datagram(&compound_of_nothing).unwrap(),
        Datagram {
            messages: vec![],
            dropped: vec![Dropped::Empty]
        }
    );
    let cases: [(&str, Vec<u8>, Dropped); 7] = [
        ("nothing", vec![], Dropped::Empty),
        ("checksum of nothing", vec![12, 0, 0, 0, 0], Dropped::Empty),
        (
            "compressed nothing",
            compressed(&compress::compress(b"")),
            Dropped::Empty,
        ),
        (
            "128 parts",
            [&[7, 128][..], &[0; 4096]].concat(),
            Dropped::Limit,
        ),
        (
            "255 parts",
            [&[7, 255][..], &[0; 4096]].concat(),
            Dropped::Limit,
        ),
        ("half a checksum", vec![12, 0, 0], Dropped::Kind),
        (
            "an encrypted stream",
            vec![10, 0, 0, 0, 0, 1],
            Dropped::Kind,
        ),
    ];
    for (what, bytes, want) in cases {
        assert_eq!(datagram(&bytes), Err(want), "{what}");
    }
    let vectors: [&[u8]; 7] = [
        b"\xc0",
        b"\xa0",
        b"\xa1\x01",
        b"\xa5\x01\x05\x02\x00\x00",
        b"\xa7\x01\x05\x02\x00\x00\x00\x00",
        b"\xa6\x00\x05\x02\x00\x00\x00",
        b"\xa6\x01\x05\x06\x00\x00\x00",
    ];
    for vsn in vectors {
        assert_eq!(alive_with("Vsn", vsn), Err(Dropped::Versions), "{vsn:02x?}");
    }
}

#[test]
fn names_addresses_and_metadata_have_bounds() {
    let raw16 = |len: u16, byte: u8| {
        let mut raw = vec![0xda];
        raw.extend(len.to_be_bytes());
        raw.extend(vec![byte; usize::from(len)]);
        raw
    };
    let cases: [(&str, Vec<u8>, Option<Dropped>); 18] = [
        ("Node", raw16(253, b'n'), None),
        ("Node", raw16(254, b'n'), Some(Dropped::Name)),
        ("Node", b"\xa0".to_vec(), Some(Dropped::Name)),
        ("Node", b"\xa2\xc3\xa9".to_vec(), Some(Dropped::Name)),
        ("Node", b"\xa1\xff".to_vec(), Some(Dropped::Name)),
        ("Node", b"\xa3a\nb".to_vec(), Some(Dropped::Name)),
        ("Meta", raw16(512, 1), None),
        ("Meta", raw16(513, 1), Some(Dropped::Meta)),
        ("Addr", b"\xc0".to_vec(), Some(Dropped::Address)),
        ("Addr", b"\xa3\x0a\0\0".to_vec(), Some(Dropped::Address)),
        ("Addr", b"\xa5\x0a\0\0\0\0".to_vec(), Some(Dropped::Address)),
        ("Addr", b"\xa4\0\0\0\0".to_vec(), Some(Dropped::Address)),
        (
            "Addr",
            b"\xa4\xff\xff\xff\xff".to_vec(),
            Some(Dropped::Address),
        ),
        ("Addr", b"\xa4\xe0\0\0\x01".to_vec(), Some(Dropped::Address)),
        (
            "Addr",
            b"\xb0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0".to_vec(),
            Some(Dropped::Address),
        ),
        (
            "Addr",
            b"\xb0\xff\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\x01".to_vec(),
            Some(Dropped::Address),
        ),
        (
            "Addr",
            b"\xb0\0\0\0\0\0\0\0\0\0\0\xff\xff\xe0\0\0\x01".to_vec(),
            Some(Dropped::Address),
        ),
        (
            "Addr",
            b"\xb0\xfe\x80\0\0\0\0\0\0\0\0\0\0\0\0\0\x01".to_vec(),
            None,
        ),
    ];
    for (field, value, want) in cases {
        assert_eq!(
            alive_with(field, &value).err(),
            want,
            "{field} {value:02x?}"
        );
    }
}

#[test]
fn a_mapped_address_stays_sixteen_bytes() {
    let mapped = b"\xb0\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\0\0\x01";
    let Ok(Message::Alive(taken)) = alive_with("Addr", mapped) else {
        panic!("not taken");
    };
    assert!(taken.addr.is_ipv6());
    let again = encoded(&Message::Alive(taken));
    assert!(again.windows(mapped.len()).any(|window| window == mapped));
}

#[test]
fn loopback_addresses_are_for_tests() {
    let local = encoded(&Message::Alive(Alive {
        addr: [127, 0, 0, 1].into(),
        ..alive("node-a")
    }));
    assert!(one(&local).is_ok());
    assert_eq!(
        decode_datagram(&local, None, &Limits::default()),
        Err(Dropped::Address)
    );
}

#[test]
fn a_wrapper_is_at_its_place_or_dropped() {
    let inner = encoded(&ping(1, "node-a"));
    let lzw = |plain: &[u8]| compressed(&compress::compress(plain));
    let several = |parts: &[&[u8]]| compound(parts).unwrap();
    let crc = with_crc(&inner);
    let nested = [
        ("checksum in a checksum", with_crc(&crc)),
        ("checksum in compression", lzw(&crc)),
        ("compression in compression", lzw(&lzw(&inner))),
    ];
    for (what, bytes) in nested {
        assert_eq!(datagram(&bytes), Err(Dropped::Kind), "{what}");
    }
    for part in [crc, lzw(&inner), several(&[&inner])] {
        let mixed = datagram(&several(&[&inner, &part, &inner])).unwrap();
        assert_eq!(mixed.messages.len(), 2, "the others count");
        assert_eq!(mixed.dropped, [Dropped::Kind]);
    }
    let honest = with_crc(&lzw(&several(&[&inner, &inner])));
    assert_eq!(datagram(&honest).unwrap().messages.len(), 2);
    let honest = sealed(&honest);
    let opened = decode_datagram(&honest, Some(&keyring()), &limits()).unwrap();
    assert_eq!(opened.messages.len(), 2);
}

#[test]
fn what_only_streams_carry_is_dropped_from_datagrams() {
    let cases = [
        push_pull(vec![node_state("node-a", State::Alive)]),
        Message::Err("text".to_owned()),
    ];
    for message in cases {
        assert_eq!(datagram(&encoded(&message)), Err(Dropped::Kind));
    }
    for byte in 14..=255 {
        assert_eq!(datagram(&[byte, 0x80]), Err(Dropped::Kind), "type {byte}");
    }
}

#[test]
fn compound_parts_that_end_early_are_dropped_and_what_follows_is_ignored() {
    let inner = encoded(&ping(1, "node-a"));
    let whole = compound(&[&inner, &inner]).unwrap();
    for end in 1..whole.len() {
        match datagram(&whole[..end]) {
            Err(dropped) => {
                assert!(end < 6, "cut at {end}");
                assert_eq!(dropped, Dropped::Truncated);
            }
            Ok(cut) => {
                assert_eq!(cut.messages.len(), usize::from(end >= 6 + inner.len()));
                assert_eq!(cut.dropped, [Dropped::Truncated]);
            }
        }
    }
    let longer = [&whole[..], b"more"].concat();
    assert_eq!(datagram(&longer), datagram(&whole));
    assert_eq!(datagram(&[7, 0]), Ok(Datagram::default()));
    let most = compound(&vec![&inner; 127]).unwrap();
    assert_eq!(datagram(&most).unwrap().messages.len(), 127);
}

#[test]
fn checksums_must_be_right() {
    let mut bytes = with_crc(&encoded(&ping(1, "node-a")));
    assert!(datagram(&bytes).is_ok());
    for at in 1..bytes.len() {
        bytes[at] ^= 1;
        assert_eq!(datagram(&bytes), Err(Dropped::Checksum), "byte {at}");
        bytes[at] ^= 1;
    }
}

#[test]
fn plain_datagrams_are_dropped_when_there_is_a_key_and_sealed_ones_when_there_is_none() {
    let plain = encoded(&ping(1, "node-a"));
    let sealed = sealed(&plain);
    assert_eq!(
        decode_datagram(&plain, Some(&keyring()), &limits()),
        Err(Dropped::Undecryptable)
    );
    assert!(decode_datagram(&sealed, Some(&keyring()), &limits()).is_ok());
    let other = Keyring::from_secret(b"another").unwrap();
    assert_eq!(
        decode_datagram(&sealed, Some(&other), &limits()),
        Err(Dropped::Undecryptable)
    );
    // 1: an indirect ping, by its first byte
    assert!(datagram(&sealed).is_err());
}

#[test]
fn compression_ends_with_its_end_code_and_is_lzw() {
    let lzw = compress::compress(&encoded(&ping(1, "node-a")));
    assert!(datagram(&compressed(&lzw)).is_ok());
    let longer = [&lzw[..], b"more"].concat();
    assert!(
        datagram(&compressed(&longer)).is_ok(),
        "what follows is ignored"
    );
    for end in 0..lzw.len() - 2 {
        assert_eq!(
            datagram(&compressed(&lzw[..end])),
            Err(Dropped::Compression),
            "cut at {end}"
        );
    }
    // Anything but 0 is no LZW; the message without Buf is no text.
    let other = b"\x09\x82\xa4Algo\x01\xa3Buf\xa1x";
    assert_eq!(datagram(other), Err(Dropped::Compression));
    assert_eq!(datagram(b"\x09\x80"), Err(Dropped::Compression));
    assert_eq!(datagram(b"\x09"), Err(Dropped::Truncated));
}

#[test]
fn a_decompression_bomb_is_dropped_at_the_limit() {
    let limit = limits().datagram;
    let fitting = [&[8][..], &vec![0; limit - 1]].concat();
    let bytes = compressed(&compress::compress(&fitting));
    assert!(datagram(&bytes).is_ok());
    for size in [limit + 1, 10 * limit] {
        assert_eq!(
            datagram(&compressed(&bomb(size))),
            Err(Dropped::Limit),
            "{size}"
        );
    }
    // Clear codes and nothing else: all work, no output.
    let clears: Vec<u8> = (0..60_000)
        .map(|at| match at % 9 {
            0 => 0,
            // Bit 8 of each 9.
            bit => 1 << (bit - 1),
        })
        .collect();
    assert_eq!(datagram(&compressed(&clears)), Err(Dropped::Compression));
}

#[test]
fn msgpack_has_bounds() {
    let mut many = vec![0, 0xde, 0, 33];
    for _ in 0..33 {
        many.extend(b"\xa1k\x00");
    }
    assert_eq!(datagram(&many), Err(Dropped::Limit));
    let deep = |n: usize| [&b"\x00\x81\xa1k"[..], &vec![0x91; n], b"\x00"].concat();
    assert!(datagram(&deep(4)).is_ok());
    assert_eq!(datagram(&deep(5)), Err(Dropped::Limit));
    assert_eq!(datagram(&deep(60_000)), Err(Dropped::Limit));
    let wide = |n: u16| {
        let mut bytes = b"\x00\x81\xa1k\xdc".to_vec();
        bytes.extend(n.to_be_bytes());
        bytes.extend(vec![0; usize::from(n)]);
        bytes
    };
    assert!(datagram(&wide(1023)).is_ok());
    assert_eq!(datagram(&wide(1024)), Err(Dropped::Limit));
    let array = |n: u16| {
        let mut bytes = b"\x02\x81\xa7Payload\xdc".to_vec();
        bytes.extend(n.to_be_bytes());
        bytes.extend(vec![0; usize::from(n)]);
        bytes
    };
    assert!(datagram(&array(1024)).is_ok());
    assert_eq!(datagram(&array(1025)), Err(Dropped::Limit));
    // Lengths that are only declared.
    for declared in [
        &b"\x02\x81\xa7Payload\xdb\xff\xff\xff\xff"[..],
        b"\x02\x81\xa7Payload\xc6\xff\xff\xff\xff",
        b"\x02\x81\xdb\xff\xff\xff\xff",
        b"\x02\x81\xa1k\xc9\xff\xff\xff\xff",
    ] {
        assert_eq!(
            datagram(declared),
            Err(Dropped::Truncated),
            "{declared:02x?}"
        );
    }
}

#[test]
fn incarnations_of_others_are_passed_on_as_they_are() {
    let highest = Message::Dead(Dead {
        incarnation: u32::MAX,
        node: name("node-a"),
        from: name("node-b"),
    });
    assert_eq!(one(&encoded(&highest)), Ok(highest));
}

#[test]
fn what_would_harm_go_is_not_written() {
    let encoder = Encoder {
        keyring: Some(keyring()),
        compress: true,
    };
    let nonce = [0; 12];
    let message = encoded(&ping(1, "node-a"));
    let none: [&[u8]; 0] = [];
    assert_eq!(
        encoder.datagram(&none, true, nonce),
        Err(EncodeError::Empty)
    );
    assert_eq!(
        encoder.datagram(&[b""], true, nonce),
        Err(EncodeError::Empty)
    );
    assert_eq!(
        encoder.datagram(&[&message[..], b""], true, nonce),
        Err(EncodeError::Empty)
    );
    assert_eq!(
        encoder.datagram(&vec![&message; 128], true, nonce),
        Err(EncodeError::TooManyParts)
    );
    assert!(encoder.datagram(&vec![&message; 127], true, nonce).is_ok());
    let mut x = 1_u32;
    let noise: Vec<u8> = (0..70_000)
        .map(|_| {
            x ^= x << 13;
            x ^= x >> 17;
            x ^= x << 5;
            x.to_be_bytes()[0]
        })
        .collect();
    assert!(encoder.datagram(&[&noise], true, nonce) == Err(EncodeError::TooLong));
    assert!(encoder.datagram(&[&noise, &message], true, nonce) == Err(EncodeError::TooLong));
    assert_eq!(encoder.frame(b"", nonce), Err(EncodeError::Empty));
    assert_eq!(
        encoder.stream(&Message::Nack(Nack { seq_no: 1 }), nonce),
        Err(EncodeError::Kind)
    );
}

#[test]
fn a_datagram_is_compressed_only_if_that_makes_it_shorter() {
    let encoder = Encoder {
        keyring: None,
        compress: true,
    };
    let single = encoded(&ping(1, "node-a"));
    assert_eq!(
        encoder.datagram(&[&single], false, [0; 12]),
        Ok(single.clone())
    );
    let alive = encoded(&Message::Alive(alive("node-a")));
    let several = encoder.datagram(&[&alive, &alive], false, [0; 12]).unwrap();
    assert_eq!(several.first(), Some(&9));
    // Streams are, whatever comes of it.
    let stream = encoder.stream(&ping(1, "node-a"), [0; 12]).unwrap();
    assert!(stream.len() > single.len());
}
