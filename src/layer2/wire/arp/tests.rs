use proptest::prelude::*;

use super::*;

const HERE: MacAddr = MacAddr(2, 0, 0, 0, 0, 1);
const THERE: MacAddr = MacAddr(2, 0, 0, 0, 0, 2);

/// A request as tcpdump shows it, written out by hand from RFC 826.
const REQUEST: [u8; FRAME] = [
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 2, 0x08, 0x06, // Ethernet
    0, 1, 8, 0, 6, 4, 0, 1, // hardware, protocol, lengths, request
    2, 0, 0, 0, 0, 2, 192, 0, 2, 1, // sender
    0, 0, 0, 0, 0, 0, 192, 0, 2, 10, // target
];

const REPLY: [u8; FRAME] = [
    2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x08, 0x06, //
    0, 1, 8, 0, 6, 4, 0, 2, //
    2, 0, 0, 0, 0, 1, 192, 0, 2, 10, //
    2, 0, 0, 0, 0, 2, 192, 0, 2, 1, //
];

#[test]
fn a_request_is_read_field_by_field() {
    assert_eq!(
        Arp::decode(&REQUEST),
        Ok(Arp {
            source: THERE,
            destination: MacAddr::broadcast(),
            operation: Operation::Request,
            sender_hardware_address: THERE,
            sender_protocol_address: Ipv4Addr::new(192, 0, 2, 1),
            target_hardware_address: MacAddr::zero(),
            target_protocol_address: Ipv4Addr::new(192, 0, 2, 10),
        })
    );
}

#[test]
fn an_answer_fills_every_octet_of_a_dirty_buffer() {
    let mut buffer = [0xa5; 64];
    let length = Arp::decode(&REQUEST)
        .unwrap()
        .answer(HERE)
        .encode(&mut buffer);
    assert_eq!(length, FRAME);
    assert_eq!(buffer[..FRAME], REPLY);
    assert_eq!(
        buffer[FRAME..],
        [0xa5; 64 - FRAME],
        "nothing behind the frame is touched"
    );
}

#[test]
fn gratuitous_packets_name_the_address_twice_and_go_to_everybody() {
    for (operation, wire) in [(Operation::Request, 1), (Operation::Reply, 2)] {
        let mut buffer = [0xa5; FRAME];
        Arp::gratuitous(operation, Ipv4Addr::new(192, 0, 2, 10), HERE).encode(&mut buffer);
        let want: [u8; FRAME] = [
            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 0x08, 0x06, //
            0, 1, 8, 0, 6, 4, 0, wire, //
            2, 0, 0, 0, 0, 1, 192, 0, 2, 10, //
            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 192, 0, 2, 10, //
        ];
        assert_eq!(buffer, want);
    }
}

#[test]
fn padding_is_ignored_and_every_truncation_is_refused() {
    let mut padded = REQUEST.to_vec();
    padded.resize(60, 0);
    assert_eq!(Arp::decode(&padded), Arp::decode(&REQUEST));
    for length in 0..FRAME {
        assert_eq!(
            Arp::decode(&REQUEST[..length]),
            Err(Error::Truncated),
            "{length} octets"
        );
    }
}

#[test]
fn other_hardware_protocols_and_tags_are_refused() {
    for (at, value, want) in [
        (12, 0x81, Error::OtherProtocol), // 802.1Q
        (13, 0x00, Error::OtherProtocol),
        (15, 6, Error::OtherArp),
        (16, 9, Error::OtherArp),
        (18, 8, Error::OtherArp),
        (19, 16, Error::OtherArp),
    ] {
        let mut frame = REQUEST;
        frame[at] = value;
        assert_eq!(Arp::decode(&frame), Err(want), "octet {at}");
    }
}

fn mac() -> impl Strategy<Value = MacAddr> {
    any::<[u8; 6]>().prop_map(MacAddr::from)
}

proptest! {
    #[test]
    fn what_was_encoded_is_decoded(
        source in mac(), destination in mac(), sender_hardware_address in mac(), target_hardware_address in mac(),
        operation in any::<u16>(), sender in any::<u32>(), target in any::<u32>(), dirt in any::<u8>(),
    ) {
        let arp = Arp {
            source, destination, operation: Operation::from_wire(operation),
            sender_hardware_address, sender_protocol_address: sender.into(),
            target_hardware_address, target_protocol_address: target.into(),
        };
        let mut buffer = [dirt; FRAME];
        prop_assert_eq!(arp.encode(&mut buffer), FRAME);
        prop_assert_eq!(Arp::decode(&buffer), Ok(arp));
    }

    #[test]
    fn no_frame_panics(frame in proptest::collection::vec(any::<u8>(), 0..80)) {
        let _ = Arp::decode(&frame);
    }
}

#[test]
fn a_probe_claims_nothing() {
    let ip = Ipv4Addr::new(10, 0, 0, 5);
    let station = MacAddr(2, 0, 0, 0, 0, 9);
    let mut buffer = [0; FRAME];
    Arp::probe(ip, station).encode(&mut buffer);
    let probe = Arp::decode(&buffer).unwrap();
    assert_eq!(probe.operation, Operation::Request);
    assert!(probe.destination.is_broadcast());
    assert_eq!(probe.sender_protocol_address, Ipv4Addr::UNSPECIFIED);
    assert_eq!(probe.target_protocol_address, ip);
    assert_eq!(probe.sender_hardware_address, station);
}
