//! Neighbour solicitations (read) and advertisements (written), RFC 4861 §4.3, §4.4 and §7.1.1.
//!
//! Options are walked here: pnet_packet's own walk overflows on a length of 32 or more.
//! A solicitation behind an IPv6 extension header is not looked at (nobody sends one; RFC 6980 forbids fragments).

use std::net::Ipv6Addr;

use pnet_base::MacAddr;
use pnet_packet::Packet;
use pnet_packet::ethernet::EtherTypes;
use pnet_packet::icmpv6::ndp::{NeighborAdvertPacket, NeighborSolicitPacket};
use pnet_packet::icmpv6::{Icmpv6Packet, Icmpv6Type, Icmpv6Types, checksum};
use pnet_packet::ip::IpNextHeaderProtocols;
use pnet_packet::ipv6::Ipv6Packet;

use super::{ETHERNET_HEADER, Error, Ethernet, Writer};

/// Octets of an IPv6 header.
const IPV6_HEADER: usize = 40;

/// Octets of a solicitation or advertisement before its options.
const FIXED: usize = 24;

/// Octets of a link-layer address option for Ethernet.
const LINK_LAYER_OPTION: usize = 8;

/// Octets of the frames we send: a neighbour advertisement with the target's link-layer address.
pub const ADVERTISEMENT_FRAME: usize = ETHERNET_HEADER + IPV6_HEADER + FIXED + LINK_LAYER_OPTION;

/// RFC 4861 §4.6.1: source link-layer address.
const OPTION_SOURCE_LINK_LAYER: u8 = 1;

/// RFC 4861 §4.6.1: target link-layer address.
const OPTION_TARGET_LINK_LAYER: u8 = 2;

/// RFC 4861 §4.3.
const NEIGHBOR_SOLICITATION: u8 = 135;

/// RFC 4861 §4.4.
const NEIGHBOR_ADVERTISEMENT: u8 = 136;

/// All nodes of the link.
pub const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// RFC 4291 §2.7.1: the solicited-node group of an address, by its last 24 bits.
#[must_use]
pub fn solicited_node(ip: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = ip.octets();
    Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c])
}

/// RFC 2464 §7: the Ethernet address of a multicast group.
#[must_use]
pub fn multicast_mac(group: Ipv6Addr) -> MacAddr {
    let [.., a, b, c, d] = group.octets();
    MacAddr(0x33, 0x33, a, b, c, d)
}

/// A valid neighbour solicitation in its frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Solicitation {
    /// Ethernet source.
    pub source_mac: MacAddr,
    /// Ethernet destination.
    pub destination_mac: MacAddr,
    /// IPv6 source; unspecified: duplicate address detection.
    pub source: Ipv6Addr,
    /// IPv6 destination: the solicited-node group, or the target itself.
    pub destination: Ipv6Addr,
    /// Whose link-layer address is wanted.
    pub target: Ipv6Addr,
    /// The source link-layer address option.
    pub source_link_layer: Option<MacAddr>,
}

impl Solicitation {
    /// Reads and validates a whole frame, RFC 4861 §7.1.1.
    ///
    /// # Errors
    /// The rule that was broken.
    pub fn decode(frame: &[u8]) -> Result<Self, Error> {
        let Message {
            ethernet,
            source,
            destination,
            octets,
        } = Message::decode(frame, Icmpv6Types::NeighborSolicit)?;
        // §7.1.1: ICMP length (derived from the IP length) is 24 or more octets.
        let solicit = NeighborSolicitPacket::new(octets).ok_or(Error::Truncated)?;
        // §7.1.1: Target Address is not a multicast address.
        let target = solicit.get_target_addr();
        if target.is_multicast() {
            return Err(Error::Target);
        }
        let options = solicit.packet().get(FIXED..).ok_or(Error::Truncated)?;
        let source_link_layer = link_layer_option(options, OPTION_SOURCE_LINK_LAYER)?;
        if source.is_unspecified()
            // §7.1.1: if the source is unspecified, the destination is a solicited-node multicast address …
            && (destination != solicited_node(target)
                // … and there is no source link-layer address option.
                || source_link_layer.is_some())
        {
            return Err(Error::Detection);
        }
        Ok(Self {
            source_mac: ethernet.source,
            destination_mac: ethernet.destination,
            source,
            destination,
            target,
            source_link_layer,
        })
    }
}

/// What solicitations and advertisements have in common.
struct Message<'a> {
    ethernet: Ethernet<'a>,
    source: Ipv6Addr,
    destination: Ipv6Addr,
    /// The ICMPv6 message.
    octets: &'a [u8],
}

impl<'a> Message<'a> {
    /// Reads and validates the outside, RFC 4861 §7.1.1 and §7.1.2, which have these rules in common.
    fn decode(frame: &'a [u8], kind: Icmpv6Type) -> Result<Self, Error> {
        let ethernet = Ethernet::decode(frame, EtherTypes::Ipv6)?;
        let ip = Ipv6Packet::new(ethernet.payload).ok_or(Error::Truncated)?;
        if ip.get_version() != 6 {
            return Err(Error::OtherProtocol);
        }
        if ip.get_next_header() != IpNextHeaderProtocols::Icmpv6 {
            return Err(Error::OtherMessage);
        }
        // §7.1.1: the IP Hop Limit field has a value of 255.
        if ip.get_hop_limit() != 255 {
            return Err(Error::HopLimit);
        }
        // What follows the payload is the cable's padding.
        let octets = ethernet
            .payload
            .get(IPV6_HEADER..)
            .and_then(|rest| rest.get(..usize::from(ip.get_payload_length())))
            .ok_or(Error::Truncated)?;
        let icmp = Icmpv6Packet::new(octets).ok_or(Error::Truncated)?;
        if icmp.get_icmpv6_type() != kind {
            return Err(Error::OtherMessage);
        }
        let (source, destination) = (ip.get_source(), ip.get_destination());
        // §7.1.1: ICMP Checksum is valid.
        if checksum(&icmp, &source, &destination) != icmp.get_checksum() {
            return Err(Error::Checksum);
        }
        // §7.1.1: ICMP Code is 0.
        if icmp.get_icmpv6_code().0 != 0 {
            return Err(Error::Code);
        }
        Ok(Self {
            ethernet,
            source,
            destination,
            octets,
        })
    }
}

/// A neighbour advertisement of another station, as far as it matters to whoever has the address as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Advertised {
    /// The address.
    pub target: Ipv6Addr,
    /// The station: the option's address; without it, the frame's source.
    pub mac: MacAddr,
}

impl Advertised {
    /// Reads and validates a whole frame, RFC 4861 §7.1.2.
    ///
    /// # Errors
    /// The rule that was broken.
    pub fn decode(frame: &[u8]) -> Result<Self, Error> {
        let Message {
            ethernet,
            destination,
            octets,
            ..
        } = Message::decode(frame, Icmpv6Types::NeighborAdvert)?;
        // §7.1.2: ICMP length (derived from the IP length) is 24 or more octets.
        let advert = NeighborAdvertPacket::new(octets).ok_or(Error::Truncated)?;
        let target = advert.get_target_addr();
        // §7.1.2: Target Address is not a multicast address.
        if target.is_multicast() {
            return Err(Error::Target);
        }
        // §7.1.2: if the IP Destination Address is a multicast address the Solicited flag is zero.
        if destination.is_multicast() && advert.get_flags() & SOLICITED != 0 {
            return Err(Error::Detection);
        }
        let options = advert.packet().get(FIXED..).ok_or(Error::Truncated)?;
        let option = link_layer_option(options, OPTION_TARGET_LINK_LAYER)?;
        Ok(Self {
            target,
            mac: option.unwrap_or(ethernet.source),
        })
    }
}

/// RFC 4861 §4.4: the S flag.
const SOLICITED: u8 = 1 << 6;

/// Asks who has `target`, as a host does before it takes it (RFC 4862 §5.4.2): from nowhere, to the solicited-node group. Writes
/// the frame to the front of `buffer`; how long it is.
pub fn encode_probe<const N: usize>(target: Ipv6Addr, mac: MacAddr, buffer: &mut [u8; N]) -> usize {
    const { assert!(N >= PROBE_FRAME, "the buffer must hold a solicitation") };
    let group = solicited_node(target);
    let mut message = [0; FIXED];
    Writer::new(&mut message)
        .put(&[NEIGHBOR_SOLICITATION, 0])
        .put(&[0, 0])
        .put(&[0; 4])
        .put(&target.octets());
    let sum = Icmpv6Packet::new(&message).map_or(0, |packet| {
        checksum(&packet, &Ipv6Addr::UNSPECIFIED, &group)
    });
    if let Some(place) = message.get_mut(2..4) {
        place.copy_from_slice(&sum.to_be_bytes());
    }
    Writer::new(buffer)
        .mac(multicast_mac(group))
        .mac(mac)
        .put(&EtherTypes::Ipv6.0.to_be_bytes())
        // Version 6, no traffic class, no flow label.
        .put(&[0x60, 0, 0, 0])
        .put(&PROBE_LENGTH.to_be_bytes())
        .put(&[IpNextHeaderProtocols::Icmpv6.0, 255])
        .put(&Ipv6Addr::UNSPECIFIED.octets())
        .put(&group.octets())
        .put(&message)
        .finish()
}

/// `FIXED`, as the IPv6 header wants it.
const PROBE_LENGTH: u16 = 24;
const _: () = assert!(PROBE_LENGTH as usize == FIXED);

/// Octets of a solicitation without options.
const PROBE_FRAME: usize = ETHERNET_HEADER + IPV6_HEADER + FIXED;

/// Walks all options: each must be whole. The first link-layer address of the kind that is wanted wins.
fn link_layer_option(mut options: &[u8], wanted: u8) -> Result<Option<MacAddr>, Error> {
    let mut found = None;
    while let [kind, length, ..] = *options {
        // §4.6: length in units of 8 octets. §7.1.1: all included options have a length that is greater than zero.
        let octets = usize::from(length) * 8;
        let (option, rest) = options.split_at_checked(octets).ok_or(Error::Option)?;
        match *option {
            [] => return Err(Error::Option),
            [_, _, a, b, c, d, e, f] if kind == wanted && found.is_none() => {
                found = Some(MacAddr(a, b, c, d, e, f));
            }
            // §7.1.1: the contents of unrecognized options MUST be ignored; so are those of another length, which
            // belong to other link layers.
            _ => {}
        }
        options = rest;
    }
    if options.is_empty() {
        Ok(found)
    } else {
        // A last octet that is not an option.
        Err(Error::Option)
    }
}

/// A neighbour advertisement in its frame, RFC 4861 §4.4. The router flag is never set.
///
/// Its IPv6 source is the target itself, as Linux has it: askers such as ndisc6 and bindings that switches learn look for
/// that address. `Deviation:` 0.12 takes the interface's link-local address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Advertisement {
    /// Our Ethernet address: source of the frame and the target's link-layer address.
    pub mac: MacAddr,
    /// Ethernet destination.
    pub destination_mac: MacAddr,
    /// IPv6 destination.
    pub destination: Ipv6Addr,
    /// The address that is advertised.
    pub target: Ipv6Addr,
    /// S: it answers a solicitation of the destination.
    pub solicited: bool,
    /// O: caches should take it even where they know another link-layer address.
    pub override_: bool,
}

impl Advertisement {
    /// An announcement to all nodes that `mac` has `target`, RFC 4861 §7.2.6.
    #[must_use]
    pub fn gratuitous(target: Ipv6Addr, mac: MacAddr) -> Self {
        Self {
            mac,
            destination_mac: multicast_mac(ALL_NODES),
            destination: ALL_NODES,
            target,
            solicited: false,
            override_: true,
        }
    }

    /// Writes the frame to the front of `buffer`; how long it is.
    pub fn encode<const N: usize>(&self, buffer: &mut [u8; N]) -> usize {
        const {
            assert!(
                N >= ADVERTISEMENT_FRAME,
                "the buffer must hold an advertisement"
            )
        };
        let mut message = [0; FIXED + LINK_LAYER_OPTION];
        let flags = u8::from(self.solicited) << 6 | u8::from(self.override_) << 5;
        Writer::new(&mut message)
            .put(&[NEIGHBOR_ADVERTISEMENT, 0])
            .put(&[0, 0])
            .put(&[flags, 0, 0, 0])
            .put(&self.target.octets())
            .put(&[OPTION_TARGET_LINK_LAYER, 1])
            .mac(self.mac);
        let sum = Icmpv6Packet::new(&message).map_or(0, |packet| {
            checksum(&packet, &self.target, &self.destination)
        });
        if let Some(place) = message.get_mut(2..4) {
            place.copy_from_slice(&sum.to_be_bytes());
        }
        Writer::new(buffer)
            .mac(self.destination_mac)
            .mac(self.mac)
            .put(&EtherTypes::Ipv6.0.to_be_bytes())
            // Version 6, no traffic class, no flow label.
            .put(&[0x60, 0, 0, 0])
            .put(&PAYLOAD_LENGTH.to_be_bytes())
            // §4.4: hop limit 255.
            .put(&[IpNextHeaderProtocols::Icmpv6.0, 255])
            .put(&self.target.octets())
            .put(&self.destination.octets())
            .put(&message)
            .finish()
    }
}

/// `FIXED + LINK_LAYER_OPTION`, as the IPv6 header wants it.
const PAYLOAD_LENGTH: u16 = 32;
const _: () = assert!(PAYLOAD_LENGTH as usize == FIXED + LINK_LAYER_OPTION);

#[cfg(test)]
mod tests;
