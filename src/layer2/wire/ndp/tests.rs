use proptest::prelude::*;

use super::*;

const HERE: MacAddr = MacAddr(2, 0, 0, 0, 0, 1);
const THERE: MacAddr = MacAddr(2, 0, 0, 0, 0, 2);

fn ip(text: &str) -> Ipv6Addr {
    text.parse().unwrap()
}

/// The one's complement sum over the pseudo header (RFC 8200 §8.1), independent of the code under test.
fn sum(source: Ipv6Addr, destination: Ipv6Addr, message: &[u8]) -> u16 {
    let mut data = Vec::new();
    data.extend(source.octets());
    data.extend(destination.octets());
    data.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    data.extend([0, 0, 0, 58]);
    data.extend(message);
    if data.len() % 2 == 1 {
        data.push(0);
    }
    let mut sum: u32 = data
        .chunks(2)
        .map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap()
}

struct Build {
    source: Ipv6Addr,
    destination: Ipv6Addr,
    target: Ipv6Addr,
    hop_limit: u8,
    kind: u8,
    code: u8,
    options: Vec<u8>,
    padding: usize,
}

fn solicitation() -> Build {
    Build {
        source: ip("fe80::2"),
        destination: ip("ff02::1:ff00:10"),
        target: ip("2001:db8::10"),
        hop_limit: 255,
        kind: 135,
        code: 0,
        options: vec![1, 1, 2, 0, 0, 0, 0, 2],
        padding: 0,
    }
}

impl Build {
    fn frame(&self) -> Vec<u8> {
        let mut message = vec![self.kind, self.code, 0, 0, 0, 0, 0, 0];
        message.extend(self.target.octets());
        message.extend(&self.options);
        let check = sum(self.source, self.destination, &message).to_be_bytes();
        message[2..4].copy_from_slice(&check);
        let mut frame = vec![
            0x33, 0x33, 0xff, 0, 0, 0x10, 2, 0, 0, 0, 0, 2, 0x86, 0xdd, 0x60, 0, 0, 0,
        ];
        frame.extend(u16::try_from(message.len()).unwrap().to_be_bytes());
        frame.extend([58, self.hop_limit]);
        frame.extend(self.source.octets());
        frame.extend(self.destination.octets());
        frame.extend(message);
        frame.resize(frame.len() + self.padding, 0xee);
        frame
    }
}

#[test]
fn a_solicitation_is_read_field_by_field() {
    assert_eq!(
        Solicitation::decode(&solicitation().frame()),
        Ok(Solicitation {
            source_mac: THERE,
            destination_mac: MacAddr(0x33, 0x33, 0xff, 0, 0, 0x10),
            source: ip("fe80::2"),
            destination: ip("ff02::1:ff00:10"),
            target: ip("2001:db8::10"),
            source_link_layer: Some(THERE),
        })
    );
}

#[test]
fn each_rule_of_the_validation_is_enforced() {
    let check = |change: fn(&mut Build), want: Result<(), Error>| {
        let mut build = solicitation();
        change(&mut build);
        assert_eq!(Solicitation::decode(&build.frame()).map(|_| ()), want);
    };
    check(|_| {}, Ok(()));
    check(|build| build.padding = 7, Ok(()));
    check(|build| build.hop_limit = 254, Err(Error::HopLimit));
    check(|build| build.kind = 136, Err(Error::OtherMessage));
    check(|build| build.code = 1, Err(Error::Code));
    check(|build| build.target = ip("ff02::1"), Err(Error::Target));
    check(|build| build.options = vec![], Ok(()));
    check(
        |build| build.options = vec![1, 0, 2, 0, 0, 0, 0, 2],
        Err(Error::Option),
    );
    check(
        |build| build.options = vec![1, 2, 2, 0, 0, 0, 0, 2],
        Err(Error::Option),
    );
    check(
        |build| build.options = vec![14, 1, 0, 0, 0, 0, 0, 0],
        Ok(()),
    );
    check(|build| build.options = vec![14], Err(Error::Option));
    check(
        |build| build.options = [vec![14, 33], vec![0; 33 * 8 - 2]].concat(),
        Ok(()),
    );
    check(
        |build| build.source = Ipv6Addr::UNSPECIFIED,
        Err(Error::Detection),
    );
    check(
        |build| {
            build.source = Ipv6Addr::UNSPECIFIED;
            build.options.clear();
        },
        Ok(()),
    );
    check(
        |build| {
            build.source = Ipv6Addr::UNSPECIFIED;
            build.options.clear();
            build.destination = ip("2001:db8::10");
        },
        Err(Error::Detection),
    );
}

#[test]
fn the_source_link_layer_address_is_found_behind_other_options() {
    let mut build = solicitation();
    build.options = [vec![14, 2], vec![0; 14], vec![1, 1, 2, 0, 0, 0, 0, 9]].concat();
    let got = Solicitation::decode(&build.frame()).unwrap();
    assert_eq!(got.source_link_layer, Some(MacAddr(2, 0, 0, 0, 0, 9)));
}

#[test]
fn an_option_of_another_length_is_no_ethernet_address() {
    let mut build = solicitation();
    build.options = [vec![1, 2], vec![7; 14]].concat();
    assert_eq!(
        Solicitation::decode(&build.frame())
            .unwrap()
            .source_link_layer,
        None
    );
}

#[test]
fn a_wrong_checksum_is_refused_at_every_octet_of_the_message() {
    let frame = solicitation().frame();
    for at in 54..frame.len() {
        let mut frame = frame.clone();
        frame[at] ^= 0x01;
        assert!(Solicitation::decode(&frame).is_err(), "octet {at}");
    }
}

#[test]
fn every_truncation_is_refused() {
    let frame = solicitation().frame();
    for length in 0..frame.len() {
        assert!(
            Solicitation::decode(&frame[..length]).is_err(),
            "{length} octets"
        );
    }
}

#[test]
fn a_payload_length_beyond_the_frame_is_refused() {
    let mut frame = solicitation().frame();
    frame[18..20].copy_from_slice(&[0xff, 0xff]);
    assert_eq!(Solicitation::decode(&frame), Err(Error::Truncated));
}

#[test]
fn an_advertisement_fills_every_octet_of_a_dirty_buffer() {
    let advertisement = Advertisement {
        mac: HERE,
        destination_mac: THERE,
        destination: ip("fe80::2"),
        target: ip("2001:db8::10"),
        solicited: true,
        override_: false,
    };
    let mut buffer = [0xa5; ADVERTISEMENT_FRAME + 4];
    assert_eq!(advertisement.encode(&mut buffer), ADVERTISEMENT_FRAME);
    let mut message = vec![136, 0, 0, 0, 0x40, 0, 0, 0];
    message.extend(ip("2001:db8::10").octets());
    message.extend([2, 1, 2, 0, 0, 0, 0, 1]);
    let check = sum(ip("2001:db8::10"), ip("fe80::2"), &message).to_be_bytes();
    message[2..4].copy_from_slice(&check);
    let mut want = vec![
        2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x86, 0xdd, 0x60, 0, 0, 0, 0, 32, 58, 255,
    ];
    want.extend(ip("2001:db8::10").octets());
    want.extend(ip("fe80::2").octets());
    want.extend(message);
    assert_eq!(buffer[..ADVERTISEMENT_FRAME], want);
    assert_eq!(buffer[ADVERTISEMENT_FRAME..], [0xa5; 4]);
}

#[test]
fn a_gratuitous_advertisement_overrides_and_goes_to_all_nodes() {
    let got = Advertisement::gratuitous(ip("2001:db8::10"), HERE);
    assert_eq!(got.destination_mac, MacAddr(0x33, 0x33, 0, 0, 0, 1));
    assert_eq!(got.destination, ip("ff02::1"));
    let mut buffer = [0; ADVERTISEMENT_FRAME];
    got.encode(&mut buffer);
    assert_eq!(buffer[58], 0x20, "only the override flag");
}

#[test]
fn the_solicited_node_group_takes_the_last_24_bits() {
    assert_eq!(
        solicited_node(ip("2001:db8::1234:5678:9abc")),
        ip("ff02::1:ff78:9abc")
    );
    assert_eq!(
        multicast_mac(ip("ff02::1:ff78:9abc")),
        MacAddr(0x33, 0x33, 0xff, 0x78, 0x9a, 0xbc)
    );
}

proptest! {
    #[test]
    fn no_frame_panics(frame in proptest::collection::vec(any::<u8>(), 0..120)) {
        let _ = Solicitation::decode(&frame);
    }

    #[test]
    fn no_change_of_a_good_frame_panics(
        at in 0_usize..86, value in any::<u8>(), cut in 0_usize..=86,
    ) {
        let mut frame = solicitation().frame();
        frame[at] = value;
        let _ = Solicitation::decode(&frame[..cut]);
    }

    #[test]
    fn options_of_any_shape_are_read_or_refused(options in proptest::collection::vec(any::<u8>(), 0..64)) {
        let mut build = solicitation();
        build.options = options;
        let got = Solicitation::decode(&build.frame());
        prop_assert!(matches!(got, Ok(_) | Err(Error::Option)), "{got:?}");
    }
}

#[test]
fn an_advertisement_of_another_is_read_and_broken_ones_are_not() {
    let target: Ipv6Addr = "2001:db8::5".parse().unwrap();
    let station = MacAddr(2, 0, 0, 0, 0, 9);
    let mut buffer = [0; ADVERTISEMENT_FRAME];
    let length = Advertisement::gratuitous(target, station).encode(&mut buffer);
    let frame = &buffer[..length];
    let told = Advertised {
        target,
        mac: station,
    };
    assert_eq!(Advertised::decode(frame), Ok(told));
    for cut in 0..length {
        assert!(Advertised::decode(&frame[..cut]).is_err(), "{cut}");
    }
    // RFC 4861 §7.1.2: to a group, and yet solicited.
    let mut forged = buffer;
    Advertisement {
        solicited: true,
        ..Advertisement::gratuitous(target, station)
    }
    .encode(&mut forged);
    assert_eq!(Advertised::decode(&forged), Err(Error::Detection));
    forged[58] ^= 1;
    assert_eq!(Advertised::decode(&forged), Err(Error::Checksum));
}

#[test]
fn a_probe_is_a_solicitation_from_nowhere() {
    let target: Ipv6Addr = "2001:db8::5".parse().unwrap();
    let station = MacAddr(2, 0, 0, 0, 0, 9);
    let mut buffer = [0; ADVERTISEMENT_FRAME];
    let length = encode_probe(target, station, &mut buffer);
    let probe = Solicitation::decode(&buffer[..length]).unwrap();
    assert_eq!(
        probe,
        Solicitation {
            source_mac: station,
            destination_mac: multicast_mac(solicited_node(target)),
            source: Ipv6Addr::UNSPECIFIED,
            destination: solicited_node(target),
            target,
            source_link_layer: None,
        }
    );
}
