use std::num::NonZeroU32;
use std::time::Duration;

use proptest::prelude::*;

use super::*;

/// A packet as RFC 5880 §4.1 lays it out, written by hand.
const PACKET: [u8; CONTROL] = [
    0b001_00011, // version 1, diagnostic 3
    0b10_101010, // Init; P, C, D
    5,
    24,
    0x01,
    0x02,
    0x03,
    0x04, // my discriminator
    0x0a,
    0x0b,
    0x0c,
    0x0d, // your discriminator
    0x00,
    0x0f,
    0x42,
    0x40, // 1,000,000 µs
    0x00,
    0x04,
    0x93,
    0xe0, // 300,000 µs
    0x00,
    0x00,
    0xc3,
    0x50, // 50,000 µs
];

fn changed(at: usize, octet: u8) -> [u8; CONTROL] {
    let mut packet = PACKET;
    packet[at] = octet;
    packet
}

#[test]
fn the_fields_are_where_rfc_5880_puts_them() {
    let control = Control::decode(&PACKET).unwrap();
    assert_eq!(
        control,
        Control {
            diagnostic: Diagnostic::NEIGHBOR_SIGNALED_SESSION_DOWN,
            state: State::Init,
            poll: true,
            final_: false,
            control_plane_independent: true,
            demand: true,
            detect_multiplier: 5,
            my_discriminator: NonZeroU32::new(0x0102_0304).unwrap(),
            your_discriminator: NonZeroU32::new(0x0a0b_0c0d),
            desired_min_tx_interval: Duration::from_secs(1),
            required_min_rx_interval: Duration::from_millis(300),
            required_min_echo_rx_interval: Duration::from_millis(50),
        }
    );
    assert_eq!(control.encode(), PACKET);
}

#[test]
fn each_rule_of_reception_has_its_reason() {
    let zeroed = |from: usize| {
        let mut packet = PACKET;
        packet[from..from + 4].fill(0);
        packet
    };
    for (packet, want) in [
        (&PACKET[..23], Error::Truncated),
        (&[], Error::Truncated),
        (&changed(0, 0b000_00011), Error::Version),
        (&changed(0, 0b010_00011), Error::Version),
        (&changed(3, 23), Error::Length),
        (&changed(3, 25), Error::Length),
        (&changed(2, 0), Error::DetectMultiplier),
        (&changed(1, 0b10_000001), Error::Multipoint),
        (&zeroed(4), Error::MyDiscriminator),
        // Init without knowing us.
        (&zeroed(8), Error::YourDiscriminator),
    ] {
        assert_eq!(Control::decode(packet), Err(want), "{packet:?}");
    }
    for state in 0..4_u8 {
        let mut packet = zeroed(8);
        packet[1] = state << 6;
        assert_eq!(
            Control::decode(&packet).is_ok(),
            state < 2,
            "Down and AdminDown need no Your Discriminator, others do"
        );
    }
}

#[test]
fn rules_are_checked_in_the_order_of_the_rfc() {
    // All of it wrong: version first, then length, multiplier, multipoint, discriminators.
    let mut packet = [0_u8; CONTROL];
    packet[1] = 0b11_000001;
    let mut seen = Vec::new();
    for mend in [
        (0, 1 << 5),
        (3, 24),
        (2, 3),
        (1, 0b11_000000),
        (7, 9),
        (11, 9),
    ] {
        seen.push(Control::decode(&packet).unwrap_err());
        packet[mend.0] = mend.1;
    }
    assert_eq!(
        seen,
        [
            Error::Version,
            Error::Length,
            Error::DetectMultiplier,
            Error::Multipoint,
            Error::MyDiscriminator,
            Error::YourDiscriminator,
        ]
    );
    assert!(Control::decode(&packet).is_ok());
}

#[test]
fn octets_after_the_packet_do_not_matter() {
    let mut padded = PACKET.to_vec();
    padded.extend([0xff; 30]);
    assert_eq!(Control::decode(&padded), Control::decode(&PACKET));
}

#[test]
fn authentication_is_read_as_far_as_to_refuse_it() {
    let with = |length: u8, section: &[u8]| {
        let mut packet = PACKET.to_vec();
        packet[1] |= 0b100;
        packet[3] = length;
        packet.extend(section);
        Control::decode(&packet).unwrap_err()
    };
    // RFC 5880 §6.8.6: 26 at least if the A bit is set.
    assert_eq!(with(24, &[]), Error::Length);
    assert_eq!(with(25, &[1]), Error::Length);
    assert_eq!(with(26, &[1]), Error::Length);
    // RFC 5880 §4.2: simple password, length, key ID, password.
    assert_eq!(with(33, &[1, 9, 1, 0, 0, 0, 0, 0, 0]), Error::Authenticated);
    assert_eq!(with(26, &[1, 2]), Error::Authenticated);
    for lie in [0, 1, 3, 255] {
        assert_eq!(with(26, &[1, lie]), Error::AuthenticationSection, "{lie}");
    }
}

#[test]
fn intervals_beyond_what_32_bits_hold_are_sent_as_the_longest() {
    let control = Control {
        desired_min_tx_interval: Duration::from_secs(1_000_000),
        ..Control::decode(&PACKET).unwrap()
    };
    assert_eq!(control.encode()[12..16], [0xff; 4]);
}

#[test]
fn diagnostics_have_names() {
    let names: Vec<String> = (0..32)
        .map(|code| {
            Control::decode(&changed(0, 1 << 5 | code))
                .unwrap()
                .diagnostic
                .to_string()
        })
        .collect();
    assert_eq!(names[1], "control detection time expired");
    assert_eq!(names[7], "administratively down");
    assert_eq!(names[9], "diagnostic 9");
    let different: std::collections::HashSet<_> = names.iter().collect();
    assert_eq!(different.len(), 32);
}

fn key(secret: u8) -> EchoKey {
    EchoKey::new(&[secret; 32])
}

#[test]
fn an_echo_is_taken_only_with_its_key_and_unchanged() {
    let echo = Echo {
        my_discriminator: NonZeroU32::new(7).unwrap(),
        sequence: 42,
        way: Way::Returned,
    };
    let packet = echo.encode(&key(1));
    assert_eq!(Echo::decode(&packet, &key(1)), Ok(echo));
    assert_eq!(Echo::decode(&packet, &key(2)), Err(Error::NotOurEcho));
    for at in 0..ECHO {
        for bit in 0..8 {
            let mut packet = packet;
            packet[at] ^= 1 << bit;
            assert_eq!(Echo::decode(&packet, &key(1)), Err(Error::NotOurEcho));
        }
        assert_eq!(Echo::decode(&packet[..at], &key(1)), Err(Error::NotOurEcho));
    }
    let mut longer = packet.to_vec();
    longer.push(0);
    assert_eq!(Echo::decode(&longer, &key(1)), Err(Error::NotOurEcho));
    assert!(
        !format!("{:?}", key(0x41)).contains('A'),
        "the key is not shown"
    );
}

fn interval() -> impl Strategy<Value = Duration> {
    any::<u32>().prop_map(|micros| Duration::from_micros(micros.into()))
}

proptest! {
    #[test]
    fn decoding_never_panics_and_what_it_takes_is_encoded_to_the_same(
        mut octets in proptest::collection::vec(any::<u8>(), 0..64),
        sound in any::<bool>(),
    ) {
        if sound && octets.len() >= CONTROL {
            octets[0] = 1 << 5 | octets[0] & 0x1f;
            octets[1] &= !0b101;
            octets[3] = 24;
        }
        if let Ok(control) = Control::decode(&octets) {
            let mut want = octets[..CONTROL].to_vec();
            // Only the Length may be another: that of the packet without what follows.
            want[3] = 24;
            prop_assert_eq!(&control.encode()[..], &want[..]);
        }
    }

    #[test]
    fn what_is_encoded_is_decoded_to_the_same(
        octets in any::<[u8; 2]>(),
        discriminators in any::<(NonZeroU32, Option<NonZeroU32>)>(),
        detect_multiplier in 1..=u8::MAX,
        intervals in (interval(), interval(), interval()),
    ) {
        let state = match octets[0] >> 6 {
            _ if discriminators.1.is_none() => State::Down,
            0 => State::AdminDown,
            1 => State::Down,
            2 => State::Init,
            _ => State::Up,
        };
        let control = Control {
            diagnostic: Control::decode(&changed(0, 1 << 5 | octets[1] & 0x1f)).unwrap().diagnostic,
            state,
            poll: octets[0] & 1 != 0,
            final_: octets[0] & 2 != 0,
            control_plane_independent: octets[0] & 4 != 0,
            demand: octets[0] & 8 != 0,
            detect_multiplier,
            my_discriminator: discriminators.0,
            your_discriminator: discriminators.1,
            desired_min_tx_interval: intervals.0,
            required_min_rx_interval: intervals.1,
            required_min_echo_rx_interval: intervals.2,
        };
        prop_assert_eq!(Control::decode(&control.encode()), Ok(control));
    }

    #[test]
    fn echoes_are_decoded_to_the_same(
        my_discriminator in any::<NonZeroU32>(),
        sequence in 0..1_u64 << 63,
        forwarded in any::<bool>(),
    ) {
        let way = if forwarded { Way::Forwarded } else { Way::Returned };
        let echo = Echo { my_discriminator, sequence, way };
        prop_assert_eq!(Echo::decode(&echo.encode(&key(3)), &key(3)), Ok(echo));
    }
}
