//! ARP for IPv4 over Ethernet, RFC 826.

use std::net::Ipv4Addr;

use pnet_base::MacAddr;
use pnet_packet::arp::{ArpHardwareTypes, ArpPacket};
use pnet_packet::ethernet::EtherTypes;

use super::{ETHERNET_HEADER, Error, Ethernet, Writer};

/// Octets of an ARP packet for IPv4 over Ethernet.
const PACKET: usize = 28;

/// Octets of such a frame. Shorter than the least frame of the cable: drivers pad.
pub const FRAME: usize = ETHERNET_HEADER + PACKET;

/// RFC 826 `ar$hrd`: Ethernet.
const HARDWARE_ETHERNET: u16 = 1;

/// What a packet wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// `ares_op$REQUEST`.
    Request,
    /// `ares_op$REPLY`.
    Reply,
    /// Anything else (reverse ARP and the like).
    Other(u16),
}

impl Operation {
    fn from_wire(value: u16) -> Self {
        match value {
            1 => Self::Request,
            2 => Self::Reply,
            other => Self::Other(other),
        }
    }

    fn to_wire(self) -> u16 {
        match self {
            Self::Request => 1,
            Self::Reply => 2,
            Self::Other(other) => other,
        }
    }
}

/// An ARP packet in its Ethernet frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arp {
    /// Ethernet source.
    pub source: MacAddr,
    /// Ethernet destination.
    pub destination: MacAddr,
    /// `ar$op`.
    pub operation: Operation,
    /// `ar$sha`.
    pub sender_hardware_address: MacAddr,
    /// `ar$spa`.
    pub sender_protocol_address: Ipv4Addr,
    /// `ar$tha`.
    pub target_hardware_address: MacAddr,
    /// `ar$tpa`.
    pub target_protocol_address: Ipv4Addr,
}

impl Arp {
    /// Reads a whole frame. Octets after the packet are the cable's padding.
    ///
    /// # Errors
    /// [`Error::Truncated`], [`Error::OtherProtocol`], [`Error::OtherArp`].
    pub fn decode(frame: &[u8]) -> Result<Self, Error> {
        let ethernet = Ethernet::decode(frame, EtherTypes::Arp)?;
        let packet = ArpPacket::new(ethernet.payload).ok_or(Error::Truncated)?;
        // RFC 826, packet reception: do I have the hardware type in ar$hrd, do I speak the protocol in ar$pro?
        // The lengths are "optionally check"ed there; here they decide where the addresses are.
        if packet.get_hardware_type() != ArpHardwareTypes::Ethernet
            || packet.get_protocol_type() != EtherTypes::Ipv4
            || packet.get_hw_addr_len() != 6
            || packet.get_proto_addr_len() != 4
        {
            return Err(Error::OtherArp);
        }
        Ok(Self {
            source: ethernet.source,
            destination: ethernet.destination,
            operation: Operation::from_wire(packet.get_operation().0),
            sender_hardware_address: packet.get_sender_hw_addr(),
            sender_protocol_address: packet.get_sender_proto_addr(),
            target_hardware_address: packet.get_target_hw_addr(),
            target_protocol_address: packet.get_target_proto_addr(),
        })
    }

    /// Writes the frame to the front of `buffer`; how long it is.
    pub fn encode<const N: usize>(&self, buffer: &mut [u8; N]) -> usize {
        const { assert!(N >= FRAME, "the buffer must hold an ARP frame") };
        Writer::new(buffer)
            .mac(self.destination)
            .mac(self.source)
            .put(&EtherTypes::Arp.0.to_be_bytes())
            .put(&HARDWARE_ETHERNET.to_be_bytes())
            .put(&EtherTypes::Ipv4.0.to_be_bytes())
            .put(&[6, 4])
            .put(&self.operation.to_wire().to_be_bytes())
            .mac(self.sender_hardware_address)
            .put(&self.sender_protocol_address.octets())
            .mac(self.target_hardware_address)
            .put(&self.target_protocol_address.octets())
            .finish()
    }

    /// The answer to this request: `mac` has the target's address.
    #[must_use]
    pub fn answer(&self, mac: MacAddr) -> Self {
        // RFC 826: swap hardware and protocol fields, putting the local hardware and protocol addresses in the
        // sender fields; send the packet to the (new) target hardware address on the same hardware it came from.
        Self {
            source: mac,
            destination: self.sender_hardware_address,
            operation: Operation::Reply,
            sender_hardware_address: mac,
            sender_protocol_address: self.target_protocol_address,
            target_hardware_address: self.sender_hardware_address,
            target_protocol_address: self.sender_protocol_address,
        }
    }

    /// Asks who has `ip`, without claiming anything (RFC 5227 §2.1.1): a broadcast request whose sender address is all zero.
    #[must_use]
    pub fn probe(ip: Ipv4Addr, mac: MacAddr) -> Self {
        Self {
            source: mac,
            destination: MacAddr::broadcast(),
            operation: Operation::Request,
            sender_hardware_address: mac,
            sender_protocol_address: Ipv4Addr::UNSPECIFIED,
            // RFC 5227 §2.1.1: the 'target hardware address' field is ignored and SHOULD be set to all zeroes.
            target_hardware_address: MacAddr::zero(),
            target_protocol_address: ip,
        }
    }

    /// An announcement to everybody that `mac` has `ip`.
    ///
    /// `Upstream:` the target hardware address is the broadcast address in both operations. (RFC 5227 §3 ignores it.)
    #[must_use]
    pub fn gratuitous(operation: Operation, ip: Ipv4Addr, mac: MacAddr) -> Self {
        Self {
            source: mac,
            destination: MacAddr::broadcast(),
            operation,
            sender_hardware_address: mac,
            sender_protocol_address: ip,
            target_hardware_address: MacAddr::broadcast(),
            target_protocol_address: ip,
        }
    }
}

#[cfg(test)]
mod tests;
