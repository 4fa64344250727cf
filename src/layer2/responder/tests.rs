use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use pnet_packet::icmpv6::{Icmpv6Packet, checksum};
use proptest::prelude::*;

use super::*;
use crate::layer2::wire::ndp::solicited_node;

const HERE: MacAddr = MacAddr(2, 0, 0, 0, 0, 1);
const THERE: MacAddr = MacAddr(2, 0, 0, 0, 0, 2);
const VIP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);

fn vip6() -> Ipv6Addr {
    "2001:db8::10".parse().unwrap()
}

fn interface() -> Interface {
    Interface { mac: HERE }
}

fn announced() -> Announced {
    let mut announced = Announced::default();
    announced.insert(VIP.into(), Arc::default());
    announced.insert(vip6().into(), Arc::default());
    announced
}

fn request() -> Arp {
    Arp {
        source: THERE,
        destination: MacAddr::broadcast(),
        operation: Operation::Request,
        sender_hardware_address: THERE,
        sender_protocol_address: Ipv4Addr::new(192, 0, 2, 1),
        target_hardware_address: MacAddr::zero(),
        target_protocol_address: VIP,
    }
}

fn ask(request: Arp) -> Result<Arp, Drop> {
    let mut buffer = [0; 64];
    request.encode(&mut buffer);
    let announced = announced();
    let answer = answer(Kind::Arp, &buffer, &interface(), &announced)?;
    assert!(std::ptr::eq(
        answer.tally,
        Arc::as_ptr(announced.v4(VIP).unwrap())
    ));
    Ok(Arp::decode(answer.frame.as_bytes()).unwrap())
}

#[test]
fn a_request_for_an_announced_address_is_answered_to_its_sender() {
    assert_eq!(
        ask(request()),
        Ok(Arp {
            source: HERE,
            destination: THERE,
            operation: Operation::Reply,
            sender_hardware_address: HERE,
            sender_protocol_address: VIP,
            target_hardware_address: THERE,
            target_protocol_address: Ipv4Addr::new(192, 0, 2, 1),
        })
    );
}

#[test]
fn a_request_to_our_own_station_is_answered_too() {
    assert!(
        ask(Arp {
            destination: HERE,
            ..request()
        })
        .is_ok()
    );
}

#[test]
fn a_probe_is_answered_so_that_the_prober_sees_the_address_is_taken() {
    let got = ask(Arp {
        sender_protocol_address: Ipv4Addr::UNSPECIFIED,
        ..request()
    })
    .unwrap();
    assert_eq!(got.target_protocol_address, Ipv4Addr::UNSPECIFIED);
    assert_eq!(got.destination, THERE);
}

#[test]
fn everything_else_is_met_with_silence() {
    let group = MacAddr(1, 0, 0x5e, 0, 0, 1);
    for (request, want) in [
        (
            Arp {
                operation: Operation::Reply,
                ..request()
            },
            Drop::NotARequest,
        ),
        (
            Arp {
                operation: Operation::Other(3),
                ..request()
            },
            Drop::NotARequest,
        ),
        (
            Arp {
                destination: MacAddr(2, 0, 0, 0, 0, 3),
                ..request()
            },
            Drop::NotForUs,
        ),
        (
            Arp {
                destination: group,
                ..request()
            },
            Drop::NotForUs,
        ),
        (
            Arp {
                sender_hardware_address: HERE,
                ..request()
            },
            Drop::OurOwn,
        ),
        (
            Arp {
                sender_hardware_address: MacAddr::broadcast(),
                ..request()
            },
            Drop::NoStation,
        ),
        (
            Arp {
                sender_hardware_address: MacAddr::zero(),
                ..request()
            },
            Drop::NoStation,
        ),
        (
            Arp {
                sender_hardware_address: group,
                ..request()
            },
            Drop::NoStation,
        ),
        (
            Arp {
                target_protocol_address: Ipv4Addr::new(192, 0, 2, 11),
                ..request()
            },
            Drop::NotAnnounced,
        ),
    ] {
        assert_eq!(ask(request), Err(want), "{request:?}");
    }
}

#[derive(Clone)]
struct Solicit {
    destination_mac: MacAddr,
    source_mac: MacAddr,
    source: Ipv6Addr,
    destination: Ipv6Addr,
    target: Ipv6Addr,
    option: Option<MacAddr>,
}

fn solicit() -> Solicit {
    Solicit {
        destination_mac: multicast_mac(solicited_node(vip6())),
        source_mac: THERE,
        source: "fe80::2".parse().unwrap(),
        destination: solicited_node(vip6()),
        target: vip6(),
        option: Some(THERE),
    }
}

impl Solicit {
    fn frame(&self) -> Vec<u8> {
        let mut message = vec![135, 0, 0, 0, 0, 0, 0, 0];
        message.extend(self.target.octets());
        if let Some(mac) = self.option {
            message.extend([1, 1]);
            message.extend(mac.octets());
        }
        let sum = checksum(
            &Icmpv6Packet::new(&message).unwrap(),
            &self.source,
            &self.destination,
        );
        message[2..4].copy_from_slice(&sum.to_be_bytes());
        let mut frame = self.destination_mac.octets().to_vec();
        frame.extend(self.source_mac.octets());
        frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
        frame.extend(u16::try_from(message.len()).unwrap().to_be_bytes());
        frame.extend([58, 255]);
        frame.extend(self.source.octets());
        frame.extend(self.destination.octets());
        frame.extend(message);
        frame
    }

    /// Destination MAC, source, destination, flags, target, link-layer address of the answer.
    fn answer(&self) -> Result<(MacAddr, Ipv6Addr, Ipv6Addr, u8, Ipv6Addr, MacAddr), Drop> {
        let announced = announced();
        let answer = answer(Kind::Ndp, &self.frame(), &interface(), &announced)?;
        let octets = answer.frame.as_bytes();
        assert_eq!(octets.len(), 86);
        let mac = |at: usize| MacAddr::from(<[u8; 6]>::try_from(&octets[at..at + 6]).unwrap());
        let ip = |at: usize| Ipv6Addr::from(<[u8; 16]>::try_from(&octets[at..at + 16]).unwrap());
        assert_eq!(mac(6), HERE);
        assert_eq!(octets[21], 255, "hop limit");
        assert_eq!(octets[54..56], [136, 0]);
        let icmp = Icmpv6Packet::new(&octets[54..]).unwrap();
        assert_eq!(icmp.get_checksum(), checksum(&icmp, &ip(22), &ip(38)));
        assert_eq!(octets[78..80], [2, 1]);
        Ok((mac(0), ip(22), ip(38), octets[58], ip(62), mac(80)))
    }
}

const SOLICITED: u8 = 0x40;

#[test]
fn a_solicitation_is_answered_to_the_address_of_its_option() {
    let other = MacAddr(2, 0, 0, 0, 0, 9);
    let there: Ipv6Addr = "fe80::2".parse().unwrap();
    assert_eq!(
        Solicit {
            option: Some(other),
            ..solicit()
        }
        .answer(),
        Ok((other, vip6(), there, SOLICITED, vip6(), HERE))
    );
}

#[test]
fn a_solicitation_without_the_option_is_answered_to_the_station_that_sent_it() {
    let unicast = Solicit {
        option: None,
        destination: vip6(),
        destination_mac: HERE,
        ..solicit()
    };
    let got = unicast.answer().unwrap();
    assert_eq!(got.0, THERE);
    assert_eq!(got.3, SOLICITED);
}

#[test]
fn duplicate_address_detection_is_defended_to_all_nodes_and_not_solicited() {
    let probe = Solicit {
        source: Ipv6Addr::UNSPECIFIED,
        option: None,
        ..solicit()
    };
    assert_eq!(
        probe.answer(),
        Ok((
            MacAddr(0x33, 0x33, 0, 0, 0, 1),
            vip6(),
            ALL_NODES,
            0,
            vip6(),
            HERE
        ))
    );
}

#[test]
fn every_other_solicitation_is_met_with_silence() {
    let station = MacAddr(2, 0, 0, 0, 0, 3);
    for (solicit, want) in [
        (
            Solicit {
                destination_mac: station,
                ..solicit()
            },
            Drop::NotForUs,
        ),
        (
            Solicit {
                source_mac: HERE,
                ..solicit()
            },
            Drop::OurOwn,
        ),
        (
            Solicit {
                target: "2001:db8::11".parse().unwrap(),
                ..solicit()
            },
            Drop::NotAnnounced,
        ),
        (
            Solicit {
                option: Some(MacAddr::broadcast()),
                ..solicit()
            },
            Drop::NoStation,
        ),
        (
            Solicit {
                option: Some(MacAddr::zero()),
                ..solicit()
            },
            Drop::NoStation,
        ),
        (
            Solicit {
                option: None,
                source_mac: MacAddr(0x33, 0x33, 0, 0, 0, 1),
                ..solicit()
            },
            Drop::NoStation,
        ),
        (
            Solicit {
                source: ALL_NODES,
                ..solicit()
            },
            Drop::NoStation,
        ),
    ] {
        assert_eq!(solicit.answer().unwrap_err(), want);
    }
}

#[test]
fn a_tagged_frame_is_not_ours() {
    let mut buffer = [0; 64];
    request().encode(&mut buffer);
    let mut tagged = buffer[..12].to_vec();
    tagged.extend([0x81, 0, 0, 100]);
    tagged.extend(&buffer[12..]);
    let announced = announced();
    assert_eq!(
        answer(Kind::Arp, &tagged, &interface(), &announced).map(|_| ()),
        Err(Drop::Malformed(Error::OtherProtocol))
    );
}

#[test]
fn labels_and_reasons_agree() {
    for (drop, label) in [
        (Drop::Malformed(Error::Code), "malformed"),
        (Drop::NotARequest, "notARequest"),
        (Drop::NotForUs, "notForUs"),
        (Drop::OurOwn, "ourOwn"),
        (Drop::NoStation, "noStation"),
        (Drop::NotAnnounced, "notAnnounced"),
    ] {
        assert_eq!(Drop::LABELS[drop.index()], label);
    }
}

proptest! {
    #[test]
    fn no_frame_panics_and_no_answer_goes_to_a_group(
        frame in proptest::collection::vec(any::<u8>(), 0..120), arp in any::<bool>(),
    ) {
        let announced = announced();
        let kind = if arp { Kind::Arp } else { Kind::Ndp };
        let _ = answer(kind, &frame, &interface(), &announced);
    }

    #[test]
    fn a_request_with_any_addresses_is_answered_to_one_station_or_not_at_all(
        sender in any::<[u8; 6]>(), destination in prop_oneof![Just([0xff; 6]), any::<[u8; 6]>()],
    ) {
        if let Ok(reply) = ask(Arp {
            sender_hardware_address: sender.into(), destination: destination.into(), ..request()
        }) {
            prop_assert!(is_station(reply.destination));
            prop_assert_eq!(reply.destination, MacAddr::from(sender));
        }
    }
}
