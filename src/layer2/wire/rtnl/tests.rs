use proptest::prelude::*;

use super::*;

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut octets = u16::try_from(value.len() + 4)
        .unwrap()
        .to_ne_bytes()
        .to_vec();
    octets.extend(kind.to_ne_bytes());
    octets.extend(value);
    octets.resize(aligned(octets.len()), 0);
    octets
}

fn message(kind: u16, flags: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
    let mut octets = u32::try_from(body.len() + 16)
        .unwrap()
        .to_ne_bytes()
        .to_vec();
    octets.extend(kind.to_ne_bytes());
    octets.extend(flags.to_ne_bytes());
    octets.extend(sequence.to_ne_bytes());
    octets.extend(0_u32.to_ne_bytes());
    octets.extend(body);
    octets.resize(aligned(octets.len()), 0);
    octets
}

fn link_body(family: u8, hardware: u16, index: u32, flags: u32, attributes: &[Vec<u8>]) -> Vec<u8> {
    let mut body = vec![family, 0];
    body.extend(hardware.to_ne_bytes());
    body.extend(index.to_ne_bytes());
    body.extend(flags.to_ne_bytes());
    body.extend(0_u32.to_ne_bytes());
    body.extend(attributes.concat());
    body
}

fn address_body(family: u8, flags: u8, index: u32, attributes: &[Vec<u8>]) -> Vec<u8> {
    let mut body = vec![family, 24, flags, 0];
    body.extend(index.to_ne_bytes());
    body.extend(attributes.concat());
    body
}

fn only(datagram: &[u8]) -> Message {
    let all = decode(datagram);
    assert_eq!(all.len(), 1, "{all:?}");
    all[0].message.clone()
}

#[test]
fn a_link_is_read_with_the_kind_of_its_master() {
    let body = link_body(
        0,
        1,
        7,
        IFF_UP | IFF_BROADCAST | IFF_LOWER_UP,
        &[
            attribute(999, &[1, 2, 3]),
            attribute(IFLA_IFNAME, b"eth0\0"),
            attribute(IFLA_ADDRESS, &[2, 0, 0, 0, 0, 1]),
            attribute(IFLA_MASTER, &9_u32.to_ne_bytes()),
            attribute(
                IFLA_LINKINFO | 0x8000,
                &[
                    attribute(1, b"veth\0"),
                    attribute(IFLA_INFO_SLAVE_KIND, b"bridge\0"),
                ]
                .concat(),
            ),
        ],
    );
    assert_eq!(
        only(&message(RTM_NEWLINK, 0, 0, &body)),
        Message::Link(Link {
            index: 7,
            name: "eth0".to_owned(),
            mac: Some(MacAddr(2, 0, 0, 0, 0, 1)),
            up: true,
            carrier: true,
            broadcast: true,
            loopback: false,
            no_arp: false,
            master: Some(9),
            port_kind: Some("bridge".to_owned()),
        })
    );
}

#[test]
fn a_port_that_leaves_a_bridge_is_not_a_link_that_is_gone() {
    let bridge = link_body(7, 1, 7, 0, &[attribute(IFLA_IFNAME, b"eth0\0")]);
    assert_eq!(decode(&message(RTM_DELLINK, 0, 0, &bridge)), []);
    assert_eq!(decode(&message(RTM_NEWLINK, 0, 0, &bridge)), []);
    let gone = link_body(0, 1, 7, 0, &[attribute(IFLA_IFNAME, b"eth0\0")]);
    assert_eq!(
        only(&message(RTM_DELLINK, 0, 0, &gone)),
        Message::LinkGone(7)
    );
}

#[test]
fn a_link_message_without_a_name_says_nothing() {
    let wireless = link_body(0, 1, 7, IFF_UP, &[attribute(11, &[0; 8])]);
    assert_eq!(decode(&message(RTM_NEWLINK, 0, 0, &wireless)), []);
}

#[test]
fn infiniband_has_no_ethernet_address() {
    let body = link_body(
        0,
        32,
        3,
        IFF_UP | IFF_BROADCAST,
        &[
            attribute(IFLA_IFNAME, b"ib0\0"),
            attribute(IFLA_ADDRESS, &[0; 20]),
        ],
    );
    let Message::Link(link) = only(&message(RTM_NEWLINK, 0, 0, &body)) else {
        panic!("a link");
    };
    assert_eq!(link.mac, None);
}

#[test]
fn addresses_are_ours_and_usable_when_detection_is_over() {
    let check = |family, flags: u8, attributes: &[Vec<u8>], ip: &str, usable| {
        assert_eq!(
            only(&message(
                RTM_NEWADDR,
                0,
                0,
                &address_body(family, flags, 4, attributes)
            )),
            Message::Address(Address {
                interface: 4,
                ip: ip.parse().unwrap(),
                usable
            })
        );
    };
    let link_local = "fe80::1".parse::<Ipv6Addr>().unwrap().octets();
    let v6 = attribute(IFA_ADDRESS, &link_local);
    check(AF_INET6, 0, std::slice::from_ref(&v6), "fe80::1", true);
    check(AF_INET6, 0x40, std::slice::from_ref(&v6), "fe80::1", false);
    check(AF_INET6, 0x08, std::slice::from_ref(&v6), "fe80::1", false);
    check(AF_INET6, 0x44, std::slice::from_ref(&v6), "fe80::1", true);
    check(
        AF_INET6,
        0,
        &[v6.clone(), attribute(IFA_FLAGS, &0x240_u32.to_ne_bytes())],
        "fe80::1",
        false,
    );
    check(
        AF_INET,
        0x80,
        &[
            attribute(IFA_ADDRESS, &[10, 0, 0, 2]),
            attribute(IFA_LOCAL, &[10, 0, 0, 1]),
        ],
        "10.0.0.1",
        true,
    );
}

#[test]
fn neighbours_are_read_when_their_station_is_known() {
    // ndmsg: family, three octets of padding, interface, state, flags, type.
    let body = |family: u8, attributes: &[Vec<u8>]| {
        let mut body = vec![family, 0, 0, 0];
        body.extend(4_u32.to_ne_bytes());
        body.extend(2_u16.to_ne_bytes());
        body.extend([0, 1]);
        body.extend(attributes.concat());
        message(RTM_NEWNEIGH, 2, 7, &body)
    };
    let station = attribute(NDA_LLADDR, &[2, 0, 0, 0, 0, 0x12]);
    let mac = MacAddr(2, 0, 0, 0, 0, 0x12);
    let v4 = attribute(NDA_DST, &[10, 0, 0, 1]);
    let ip = IpAddr::from([10, 0, 0, 1]);
    let of = |ip| Message::Neighbour(Neighbour { ip, mac });
    assert_eq!(only(&body(AF_INET, &[v4.clone(), station.clone()])), of(ip));
    let v6: Ipv6Addr = "fe80::12".parse().unwrap();
    let dst = attribute(NDA_DST, &v6.octets());
    assert_eq!(
        only(&body(AF_INET6, &[dst, station.clone()])),
        of(v6.into())
    );
    // Not resolved; a tunnel's; an entry of a bridge.
    assert_eq!(decode(&body(AF_INET, std::slice::from_ref(&v4))), []);
    let tunnel = attribute(NDA_LLADDR, &[10, 0, 0, 9]);
    assert_eq!(decode(&body(AF_INET, &[v4, tunnel])), []);
    assert_eq!(decode(&body(7, std::slice::from_ref(&station))), []);
}

#[test]
fn one_broken_message_does_not_hide_the_next() {
    let broken = link_body(0, 1, 7, IFF_UP, &[vec![0xff, 0xff, 3, 0]]);
    let good = link_body(0, 1, 8, IFF_UP, &[attribute(IFLA_IFNAME, b"eth1\0")]);
    let datagram = [
        message(RTM_NEWLINK, NLM_F_DUMP_INTR, 5, &broken),
        message(RTM_NEWLINK, NLM_F_DUMP_INTR, 5, &good),
        message(NLMSG_DONE, 2, 5, &[0; 4]),
    ]
    .concat();
    let all = decode(&datagram);
    assert_eq!(all.len(), 2, "{all:?}");
    assert!(all[0].interrupted);
    assert!(matches!(&all[0].message, Message::Link(link) if link.index == 8));
    assert_eq!(
        all[1],
        Received {
            sequence: 5,
            interrupted: false,
            message: Message::Done
        }
    );
}

#[test]
fn a_refusal_carries_the_errno_and_an_acknowledgement_is_silent() {
    let refused = message(NLMSG_ERROR, 0, 3, &(-16_i32).to_ne_bytes());
    assert_eq!(only(&refused), Message::Refused(16));
    assert_eq!(
        decode(&message(NLMSG_ERROR, 0, 3, &0_i32.to_ne_bytes())),
        []
    );
}

#[test]
fn a_request_asks_for_everything() {
    let links = request(Dump::Links, 6);
    assert_eq!(links.len(), 32);
    assert_eq!(u16_at(&links, 4), Some(RTM_GETLINK));
    assert_eq!(u16_at(&links, 6), Some(0x301));
    assert_eq!(u32_at(&links, 8), Some(6));
    assert_eq!(request(Dump::Addresses, 7).len(), 24);
    let neighbours = request(Dump::Neighbours, 8);
    assert_eq!(neighbours.len(), 28);
    assert_eq!(u16_at(&neighbours, 4), Some(RTM_GETNEIGH));
}

proptest! {
    #[test]
    fn no_datagram_panics_or_loops(datagram in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(decode(&datagram).len() <= datagram.len() / HEADER);
    }
}
