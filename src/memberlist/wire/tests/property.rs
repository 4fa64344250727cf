//! For any message: what is written is read. For any bytes: nothing panics.

use std::net::IpAddr;

use proptest::prelude::*;

use super::*;

fn names() -> impl Strategy<Value = Name> {
    prop_oneof![
        "[a-z0-9][a-z0-9.-]{0,30}",
        "[!-~]{1,253}",
        Just("n".repeat(253)),
    ]
    .prop_map(|text| name(&text))
}

fn addresses() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        (1_u8..=223, any::<[u8; 3]>()).prop_map(|(a, [b, c, d])| IpAddr::from([a, b, c, d])),
        any::<[u8; 15]>().prop_map(|tail| {
            let mut octets = [0x20; 16];
            octets
                .iter_mut()
                .skip(1)
                .zip(tail)
                .for_each(|(to, from)| *to = from);
            IpAddr::from(octets)
        }),
        any::<[u8; 3]>().prop_map(|[b, c, d]| IpAddr::V6(
            std::net::Ipv4Addr::new(10, b, c, d).to_ipv6_mapped()
        )),
    ]
}

fn versions() -> impl Strategy<Value = Versions> {
    prop_oneof![
        Just(Versions::OURS),
        (any::<[u8; 3]>(), any::<[u8; 3]>()).prop_filter_map("out of order", |(mut p, mut d)| {
            p.sort_unstable();
            d.sort_unstable();
            Versions::from_bytes(&[p[0], p[2], p[1], d[0], d[2], d[1]])
        }),
    ]
}

fn metas() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(Vec::new()),
        prop::collection::vec(any::<u8>(), 0..=512)
    ]
}

fn node_states() -> impl Strategy<Value = NodeState> {
    (
        names(),
        addresses(),
        any::<u16>(),
        metas(),
        any::<u32>(),
        0_u64..4,
        versions(),
    )
        .prop_map(
            |(name, addr, port, meta, incarnation, state, vsn)| NodeState {
                name,
                addr,
                port,
                meta,
                incarnation,
                state: State::from_number(state).unwrap(),
                vsn,
            },
        )
}

fn gossip() -> impl Strategy<Value = Message> {
    let claim = || (any::<u32>(), names(), names());
    prop_oneof![
        (any::<u32>(), prop::option::of(names()))
            .prop_map(|(seq_no, node)| Message::Ping(Ping { seq_no, node })),
        (
            any::<u32>(),
            addresses(),
            any::<u16>(),
            prop::option::of(names()),
            any::<bool>()
        )
            .prop_map(|(seq_no, target, port, node, nack)| Message::IndirectPing(
                IndirectPing {
                    seq_no,
                    target,
                    port,
                    node,
                    nack
                }
            )),
        (any::<u32>(), metas()).prop_map(|(seq_no, payload)| Message::Ack(Ack { seq_no, payload })),
        any::<u32>().prop_map(|seq_no| Message::Nack(Nack { seq_no })),
        claim().prop_map(|(incarnation, node, from)| Message::Suspect(Suspect {
            incarnation,
            node,
            from
        })),
        claim().prop_map(|(incarnation, node, from)| Message::Dead(Dead {
            incarnation,
            node,
            from
        })),
        node_states().prop_map(|state| Message::Alive(Alive {
            incarnation: state.incarnation,
            node: state.name,
            addr: state.addr,
            port: state.port,
            meta: state.meta,
            vsn: state.vsn,
        })),
        metas().prop_map(Message::User),
    ]
}

fn stream_messages() -> impl Strategy<Value = Message> {
    prop_oneof![
        (any::<u32>(), prop::option::of(names()))
            .prop_map(|(seq_no, node)| Message::Ping(Ping { seq_no, node })),
        (any::<u32>(), metas()).prop_map(|(seq_no, payload)| Message::Ack(Ack { seq_no, payload })),
        (any::<bool>(), prop::collection::vec(node_states(), 0..20)).prop_map(|(join, nodes)| {
            Message::PushPull(PushPull {
                join,
                nodes,
                refused: 0,
            })
        }),
        metas().prop_map(Message::User),
        "[ -~]{0,200}".prop_map(Message::Err),
    ]
}

fn encoder(encrypt: bool, compress: bool) -> Encoder {
    Encoder {
        keyring: encrypt.then(keyring),
        compress,
    }
}

fn streamed(
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

/// Changes, removes, adds and repeats bytes.
fn mutate(bytes: &mut Vec<u8>, changes: &[(prop::sample::Index, u8, u8)]) {
    for (at, how, value) in changes {
        if bytes.is_empty() {
            return;
        }
        let at = at.index(bytes.len());
        match how % 4 {
            0 => bytes[at] = *value,
            1 => bytes.truncate(at),
            2 => bytes.insert(at, *value),
            _ => {
                let repeated = bytes[at..].to_vec();
                bytes.extend(repeated.iter().take(usize::from(*value)));
            }
        }
    }
}

fn changes() -> impl Strategy<Value = Vec<(prop::sample::Index, u8, u8)>> {
    prop::collection::vec(any::<(prop::sample::Index, u8, u8)>(), 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_as_a_datagram_is_read(
        messages in prop::collection::vec(gossip(), 1..20),
        encrypt: bool,
        compress: bool,
        crc: bool,
        nonce: [u8; 12],
    ) {
        let encoder = encoder(encrypt, compress);
        let parts: Vec<_> = messages.iter().map(encoded).collect();
        let bytes = encoder.datagram(&parts, crc, nonce).unwrap();
        let read = decode_datagram(&bytes, encoder.keyring.as_ref(), &limits());
        prop_assert_eq!(read, Ok(Datagram { messages, dropped: vec![] }));
    }

    #[test]
    fn what_is_written_on_a_stream_is_read(
        message in stream_messages(),
        encrypt: bool,
        compress: bool,
        nonce: [u8; 12],
        step in 1_usize..3000,
    ) {
        let encoder = encoder(encrypt, compress);
        let bytes = encoder.stream(&message, nonce).unwrap();
        prop_assert_eq!(streamed(encoder.keyring, &bytes, step), Ok(Some(message)));
    }

    #[test]
    fn compressed_text_is_the_text(text in prop::collection::vec(0_u8..4, 0..40_000)) {
        let mut out = Vec::new();
        compress::decompress::<Dropped>(&compress::compress(&text), text.len(), |piece| {
            out.extend_from_slice(piece);
            Ok(())
        }).unwrap();
        prop_assert_eq!(out, text);
    }

    #[test]
    fn any_bytes_are_read_or_dropped(bytes in prop::collection::vec(any::<u8>(), 0..600), kind in 0_u8..16) {
        let typed = [&[kind][..], &bytes].concat();
        for bytes in [&bytes[..], &typed, &sealed(&typed)] {
            let _ = decode_datagram(bytes, None, &limits());
            let _ = decode_datagram(bytes, Some(&keyring()), &limits());
            let _ = streamed(None, bytes, 7);
            let _ = streamed(Some(keyring()), bytes, 7);
        }
        let _ = decode_datagram(&compressed(&bytes), None, &limits());
    }

    /// And what is taken can be written and read again: nothing comes in that cannot go out.
    #[test]
    fn damaged_datagrams_are_read_or_dropped_in_part(
        messages in prop::collection::vec(gossip(), 1..6),
        compress: bool,
        changes in changes(),
    ) {
        let encoder = encoder(false, compress);
        let parts: Vec<_> = messages.iter().map(encoded).collect();
        let mut bytes = encoder.datagram(&parts, false, [0; 12]).unwrap();
        mutate(&mut bytes, &changes);
        if let Ok(datagram) = decode_datagram(&bytes, None, &limits()) {
            prop_assert!(datagram.messages.len() + datagram.dropped.len() <= MAX_PARTS);
            for message in datagram.messages {
                prop_assert_eq!(one(&encoded(&message)), Ok(message));
            }
        }
    }

    /// In whatever pieces they come, the outcome is the same.
    #[test]
    fn damaged_streams_are_read_or_dropped(
        message in stream_messages(),
        compress: bool,
        changes in changes(),
        step in 1_usize..200,
    ) {
        let mut bytes = encoder(false, compress).stream(&message, [0; 12]).unwrap();
        mutate(&mut bytes, &changes);
        let whole = streamed(None, &bytes, bytes.len().max(1));
        prop_assert_eq!(streamed(None, &bytes, step), whole);
    }
}
