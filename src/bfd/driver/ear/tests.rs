use proptest::prelude::*;

use super::*;

/// An IPv4 packet of 24 octets of header (one word of options) with UDP in it.
fn packet() -> Vec<u8> {
    let mut packet = vec![
        0x46, 0xc0, 0, 35, 0, 0, 0x40, 0, 254, 17, 0, 0, 192, 0, 2, 7, 192, 0, 2, 1, 1, 1, 1, 1,
    ];
    packet.extend([0xc0, 0x00, 0x0e, 0xc8, 0, 11, 0, 0]);
    packet.extend(b"bfd");
    packet
}

#[test]
fn a_packet_is_taken_apart_whatever_options_and_padding_it_has() {
    let mut octets = packet();
    let want = Packet {
        source: Ipv4Addr::new(192, 0, 2, 7),
        destination: Ipv4Addr::new(192, 0, 2, 1),
        ttl: 254,
        source_port: 49152,
        payload: b"bfd",
    };
    assert_eq!(Packet::decode(&octets).as_ref(), Some(&want));
    // What the cable adds to a short frame is not part of it.
    octets.extend([0; 18]);
    assert_eq!(Packet::decode(&octets), Some(want));
}

#[test]
fn what_is_cut_short_or_another_protocol_is_not_taken() {
    let whole = packet();
    for length in 0..whole.len() {
        assert_eq!(Packet::decode(&whole[..length]), None, "{length}");
    }
    for (at, octet) in [(0, 0x66), (0, 0x4f), (9, 6), (29, 12), (29, 7)] {
        let mut packet = packet();
        packet[at] = octet;
        assert_eq!(Packet::decode(&packet), None, "{at}");
    }
}

/// Runs a filter as the kernel does; the result of the instruction that returns.
fn accepts(filter: &[Instruction], packet: &[u8], packet_type: u32) -> bool {
    use libc::*;
    let (mut a, mut x, mut at) = (0_u32, 0_u32, 0_usize);
    let octet = |at: u32| packet.get(at as usize).copied().map(u32::from);
    loop {
        let Instruction {
            code,
            if_true,
            if_false,
            k,
        } = filter[at];
        at += 1;
        let half = |at: u32| Some((octet(at)? << 8) | octet(at + 1)?);
        let loaded = match code {
            c if c == BPF_LD | BPF_W | BPF_ABS && k == PACKET_TYPE => Some(packet_type),
            c if c == BPF_LD | BPF_B | BPF_ABS => octet(k),
            c if c == BPF_LD | BPF_H | BPF_ABS => half(k),
            c if c == BPF_LD | BPF_H | BPF_IND => half(x + k),
            c if c == BPF_LDX | BPF_B | BPF_MSH => {
                x = (octet(k).unwrap() & 0xf) * 4;
                continue;
            }
            c if c == BPF_JMP | BPF_JEQ | BPF_K => {
                at += usize::from(if a == k { if_true } else { if_false });
                continue;
            }
            c if c == BPF_JMP | BPF_JSET | BPF_K => {
                at += usize::from(if a & k != 0 { if_true } else { if_false });
                continue;
            }
            c if c == BPF_RET | BPF_K => return k > 0,
            other => panic!("{other}"),
        };
        // linux: a load from beyond the packet returns 0.
        match loaded {
            Some(value) => a = value,
            None => return false,
        }
    }
}

#[test]
fn filters_let_through_what_is_udp_to_the_port_and_to_us() {
    let filter = ip_filter(CONTROL_PORT);
    assert!(accepts(&filter, &packet(), 0));
    assert!(!accepts(&ip_filter(MULTIHOP_PORT), &packet(), 0));
    for packet_type in 1..5 {
        assert!(!accepts(&filter, &packet(), packet_type), "{packet_type}");
    }
    for (at, octet) in [(9, 6), (7, 1), (6, 0x1f), (27, 0xc9)] {
        let mut packet = packet();
        packet[at] = octet;
        assert!(!accepts(&filter, &packet, 0), "{at}");
    }
    assert!(!accepts(&filter, &packet()[..20], 0));
    let udp = &packet()[24..];
    assert!(accepts(&udp_filter(CONTROL_PORT), udp, 0));
    assert!(!accepts(&udp_filter(ECHO_PORT), udp, 0));
    assert!(!accepts(&udp_filter(CONTROL_PORT), &udp[..3], 0));
}

proptest! {
    #[test]
    fn taking_apart_never_panics(octets in proptest::collection::vec(any::<u8>(), 0..80)) {
        let _ = Packet::decode(&octets);
        let _ = udp(&octets);
    }
}
