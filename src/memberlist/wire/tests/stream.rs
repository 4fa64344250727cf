//! Streams: one message out of bytes that come in pieces.

use super::*;

const NONCE: [u8; 12] = [3; 12];

/// Feeds all bytes, `step` at a time; the end of the stream counts if no message came.
fn feed(
    keyring: Option<Keyring>,
    bytes: &[u8],
    step: usize,
) -> Result<Option<Message>, StreamFault> {
    let mut decoder = StreamDecoder::new(keyring, limits());
    for piece in bytes.chunks(step) {
        if let Some(message) = decoder.feed(piece)? {
            return Ok(Some(message));
        }
    }
    decoder.finish().map(|()| None)
}

fn plain(bytes: &[u8]) -> Result<Option<Message>, StreamFault> {
    let whole = feed(None, bytes, bytes.len().max(1));
    for step in [1, 3, 1000] {
        assert_eq!(feed(None, bytes, step), whole, "in steps of {step}");
    }
    whole
}

fn framed(plain: &[u8]) -> Vec<u8> {
    let length = u32::try_from(29 + plain.len()).unwrap().to_be_bytes();
    let header = [&[10][..], &length].concat();
    let mut frame = header.clone();
    keyring().seal(NONCE, &header, plain, &mut frame).unwrap();
    frame
}

fn encoders() -> [Encoder; 4] {
    [
        (None, false),
        (None, true),
        (Some(keyring()), false),
        (Some(keyring()), true),
    ]
    .map(|(keyring, compress)| Encoder { keyring, compress })
}

fn many(n: usize) -> Message {
    push_pull(
        (0..n)
            .map(|i| node_state(&format!("node-{i}.example.org"), State::Alive))
            .collect(),
    )
}

fn reason(result: Result<Option<Message>, StreamFault>) -> (Dropped, bool) {
    let fault = result.unwrap_err();
    assert_eq!(fault.message().is_some(), fault.answer.is_some());
    (fault.reason, fault.answer.is_some())
}

#[test]
fn a_message_is_found_with_its_last_byte_without_waiting_for_the_end() {
    let messages = [
        ping(7, "node-a"),
        Message::Ack(Ack {
            seq_no: 7,
            payload: Vec::new(),
        }),
        many(0),
        many(3),
        many(500),
        Message::User(b"data".to_vec()),
        Message::User(Vec::new()),
        Message::Err("no".to_owned()),
    ];
    for encoder in encoders() {
        for message in &messages {
            let bytes = encoder.stream(message, NONCE).unwrap();
            for step in [1, 2, 100, 1460, 16 << 10, bytes.len()] {
                let mut decoder = StreamDecoder::new(encoder.keyring.clone(), limits());
                let mut fed = 0;
                let found = bytes.chunks(step).find_map(|piece| {
                    fed += piece.len();
                    decoder.feed(piece).unwrap()
                });
                assert_eq!(found.as_ref(), Some(message));
                assert_eq!(fed, bytes.len(), "found before its end");
                assert_eq!(decoder.feed(&[6; 100]), Ok(None), "what follows is ignored");
                assert_eq!(decoder.finish(), Ok(()));
            }
        }
    }
}

#[test]
fn a_stream_that_is_cut_off_is_no_message() {
    for encoder in encoders() {
        let bytes = encoder.stream(&many(3), NONCE).unwrap();
        for end in 0..bytes.len() {
            let cut = feed(encoder.keyring.clone(), &bytes[..end], 64);
            match end {
                // Somebody looked whether the port is open.
                0 => assert_eq!(cut, Ok(None)),
                _ => assert_eq!(cut.unwrap_err().reason, Dropped::Truncated, "cut at {end}"),
            }
        }
    }
}

#[test]
fn faults_before_the_message_are_answered_as_go_does_and_later_ones_are_not() {
    let message = encoded(&ping(1, "node-a"));
    let sealed = framed(&message);
    let with_key = |bytes: &[u8]| feed(Some(keyring()), bytes, 5);
    assert_eq!(
        feed(None, &sealed, 5).unwrap_err().answer,
        Some("Remote state is encrypted and encryption is not configured")
    );
    assert_eq!(
        with_key(&message).unwrap_err().answer,
        Some("Encryption is configured but remote state is not encrypted")
    );
    let other = Keyring::from_secret(b"another");
    assert_eq!(
        feed(other, &sealed, 5).unwrap_err().answer,
        Some("No installed keys could decrypt the message")
    );
    // The header is authenticated.
    let mut longer = sealed.clone();
    longer[4] += 1;
    longer.push(0);
    assert_eq!(reason(with_key(&longer)), (Dropped::Undecryptable, true));

    let empty = compressed(&compress::compress(b""));
    let cases: [(&[u8], Dropped, bool); 10] = [
        (
            b"\x09\x82\xa4Algo\x01\xa3Buf\xa1x",
            Dropped::Compression,
            true,
        ),
        (
            b"\x09\x82\xa4Algo\x00\xa3Buf\xa1x",
            Dropped::Compression,
            true,
        ),
        (b"\x09\x05", Dropped::Malformed, true),
        (&empty, Dropped::Empty, true),
        (b"\x0e\x80", Dropped::Kind, false),
        (b"\xf4\x80", Dropped::Kind, false),
        (b"\x04\x80", Dropped::Kind, false),
        (b"\x07\x01\x00\x01\x00", Dropped::Kind, false),
        (b"\x0c\x00\x00\x00\x00\x00", Dropped::Kind, false),
        (b"\x00\x05", Dropped::Malformed, false),
    ];
    for (bytes, dropped, answered) in cases {
        assert_eq!(reason(plain(bytes)), (dropped, answered), "{bytes:02x?}");
        assert_eq!(
            reason(with_key(&framed(bytes))),
            (dropped, answered),
            "sealed {bytes:02x?}"
        );
    }
    let twice = compressed(&compress::compress(&compressed(&compress::compress(
        &message,
    ))));
    assert_eq!(reason(plain(&twice)), (Dropped::Kind, false));
}

#[test]
fn a_fault_stays() {
    let mut decoder = StreamDecoder::new(None, limits());
    let fault = decoder.feed(b"\x0e").unwrap_err();
    assert_eq!(decoder.feed(&encoded(&ping(1, "a"))), Err(fault));
    assert_eq!(decoder.finish(), Err(fault));
}

#[test]
fn declared_sizes_have_bounds_and_are_refused_at_once() {
    let cases: [(&str, &[u8]); 9] = [
        ("members", b"\x06\x81\xa5Nodes\xcd\x27\x11"),
        (
            "members",
            b"\x06\x81\xa5Nodes\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
        ),
        (
            "user state",
            b"\x06\x81\xacUserStateLen\xce\x00\x01\x00\x01",
        ),
        ("user data", b"\x08\x81\xaaUserMsgLen\xce\x00\x01\x00\x01"),
        (
            "name",
            b"\x06\x81\xa5Nodes\x01\x81\xa4Name\xdb\x00\x01\x00\x01",
        ),
        ("error", b"\x0d\x81\xa5Error\xdb\xff\xff\xff\xff"),
        ("key", b"\x00\x81\xdb\xff\xff\xff\xff"),
        ("skipped", b"\x00\x81\xa1k\xc9\xff\xff\xff\xff"),
        ("compressed", b"\x09\x81\xa3Buf\xdb\x00\x10\x00\x01"),
    ];
    for (what, bytes) in cases {
        assert_eq!(reason(plain(bytes)).0, Dropped::Limit, "{what}");
    }
    let frame = [&[10][..], &(1_u32 << 20).wrapping_add(1).to_be_bytes()].concat();
    assert_eq!(
        reason(feed(Some(keyring()), &frame, 5)),
        (Dropped::Limit, true)
    );
    let negative = b"\x06\x81\xa5Nodes\xff";
    assert_eq!(reason(plain(negative)), (Dropped::Malformed, false));
    let shortest = [10, 0, 0, 0, 0];
    assert_eq!(
        reason(feed(Some(keyring()), &shortest, 5)),
        (Dropped::Undecryptable, true)
    );
}

#[test]
fn a_stream_bomb_is_dropped_at_the_limit() {
    let bomb = compressed(&bomb(1 << 20));
    assert!(bomb.len() < limits().stream);
    // As one message of the right form: records without end, that never get their last.
    assert_eq!(
        reason(plain(&bomb)).0,
        Dropped::Malformed,
        "type 0, and then a 0"
    );
    let mut text = b"\x06\x81\xa5Nodes\xcd\x27\x10".to_vec();
    let record = encoded(&push_pull(vec![node_state("n", State::Alive)]));
    let record = &record[b"\x06\x83\xa4Join\xc3\xa5Nodes\x01\xacUserStateLen\x00".len()..];
    let filler = [
        &b"\x88\xa7Unknown\xda\xff\x00"[..],
        &vec![0; 0xff00],
        &record[1..],
    ]
    .concat();
    for _ in 0..10 {
        text.extend(&filler);
    }
    let bytes = compressed(&compress::compress(&text));
    let bounded = Limits {
        stream_plain: text.len() - 1,
        ..limits()
    };
    let mut decoder = StreamDecoder::new(None, bounded);
    assert_eq!(reason(decoder.feed(&bytes)).0, Dropped::Limit);
    assert_eq!(reason(plain(&bytes)).0, Dropped::Truncated, "it fits");
}

#[test]
fn records_no_honest_peer_has_are_left_out_of_a_push_pull() {
    let mut bytes = encoded(&many(0));
    let count = b"\x06\x83\xa4Join\xc3\xa5Nodes".len();
    bytes[count] = 5;
    let vsn = b"\xa3Vsn\xa6\x01\x05\x02\0\0\0";
    let records: [&[u8]; 5] = [
        b"\x83\xa4Name\xa1a\xa4Addr\xa4\x0a\0\0\x01",
        b"\x83\xa4Name\xa0\xa4Addr\xa4\x0a\0\0\x01",
        b"\x83\xa4Name\xa1c\xa4Addr\xa4\0\0\0\0",
        b"\x84\xa5State\x04\xa4Name\xa1d\xa4Addr\xa4\x0a\0\0\x01",
        b"\x84\xa5State\x03\xa4Name\xa1e\xa4Addr\xa4\x0a\0\0\x01",
    ];
    for record in records {
        bytes.extend(record);
        bytes.extend(vsn);
    }
    let Ok(Some(Message::PushPull(push_pull))) = plain(&bytes) else {
        panic!("not taken");
    };
    assert_eq!(push_pull.refused, 3);
    let states: Vec<_> = push_pull
        .nodes
        .iter()
        .map(|node| (node.name.as_str(), node.state))
        .collect();
    assert_eq!(states, [("a", State::Alive), ("e", State::Left)]);
}

#[test]
fn one_bad_version_vector_fails_the_exchange_as_in_go() {
    for vsn in [&b"\xc0"[..], b"\xa1\x01", b"\xa6\x00\x05\x02\x00\x00\x00"] {
        let mut bytes = encoded(&push_pull(vec![node_state("node-a", State::Dead)]));
        bytes.truncate(bytes.len() - 7);
        bytes.extend(vsn);
        assert_eq!(
            reason(plain(&bytes)),
            (Dropped::Versions, false),
            "{vsn:02x?}"
        );
    }
}

#[test]
fn user_state_is_read_and_dropped() {
    let mut bytes = encoded(&many(0));
    *bytes.last_mut().unwrap() = 5;
    bytes.extend(b"hell");
    assert_eq!(reason(plain(&bytes)).0, Dropped::Truncated);
    bytes.extend(b"o");
    assert_eq!(plain(&bytes), Ok(Some(many(0))));
}

#[test]
fn error_texts_are_kept_short_and_printable() {
    let said = |text: &[u8]| {
        let mut bytes = b"\x0d\x81\xa5Error\xda".to_vec();
        bytes.extend(u16::try_from(text.len()).unwrap().to_be_bytes());
        bytes.extend(text);
        match plain(&bytes) {
            Ok(Some(Message::Err(text))) => text,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(said(b"a\nb\x1b[31m\xff"), "a\u{fffd}b\u{fffd}[31m\u{fffd}");
    assert_eq!(said(&[b'x'; 60_000]).len(), 512);
}
