use super::*;

const TABLE: &str = "\
IP address       HW type     Flags       HW address            Mask     Device
192.0.2.2        0x1         0x2         02:00:00:00:00:b2     *        eth0
192.0.2.3        0x1         0x0         00:00:00:00:00:00     *        eth0
192.0.2.4        0x20        0x2         02:00:00:00:00:b4     *        ib0
192.0.2.5        0x1         0x6         02:00:00:00:00:b5     *        eth1.7
192.0.2.6        0x1         0x2         02:00:00:00:00
";

#[test]
fn a_neighbour_is_known_if_the_table_has_its_ethernet_address() {
    let find = |last| neighbour(TABLE, Ipv4Addr::new(192, 0, 2, last));
    assert_eq!(find(2), Some(([2, 0, 0, 0, 0, 0xb2], "eth0")));
    assert_eq!(find(5), Some(([2, 0, 0, 0, 0, 0xb5], "eth1.7")));
    for other in [1, 3, 4, 6, 20] {
        assert_eq!(find(other), None, "{other}");
    }
}

#[test]
fn an_echo_to_ourselves_is_a_packet_with_a_sound_header() {
    let ours = Ipv4Addr::new(203, 0, 113, 255);
    let packet = ip_packet(ours, b"echo").unwrap();
    // RFC 791: the sum of all words of the header is 0xffff.
    let sum: u32 = packet[..20]
        .chunks(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
        .sum();
    assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff);
    assert_eq!(packet[8], 255);
    assert_eq!(packet[12..16], packet[16..20]);
    assert_eq!(packet[12..16], ours.octets());
    // RFC 768: ports, length, no checksum.
    assert_eq!(packet[20..28], [0x0e, 0xc9, 0x0e, 0xc9, 0, 12, 0, 0]);
    assert_eq!(&packet[28..], b"echo");
    assert_eq!(usize::from(packet[3]), packet.len());
    assert_eq!(ip_packet(ours, &[0; 70_000]), None);
}
