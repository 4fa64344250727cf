//! Bytes of layer 2: Ethernet frames with ARP or neighbour discovery in them, and rtnetlink messages.
//!
//! No time, no state, no policy. Invariant: no input makes a decoder panic, and an encoder writes every byte of
//! the frame it returns.

use pnet_base::MacAddr;
use pnet_packet::ethernet::{EtherType, EthernetPacket};

pub mod arp;
pub mod ndp;
pub mod rtnl;

/// Octets of an Ethernet header: two addresses and the type.
pub const ETHERNET_HEADER: usize = 14;

/// The longest frame we look at: an Ethernet header and 1500 octets.
pub const MAX_FRAME: usize = 1514;

/// Why a frame is not what it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Error {
    /// Shorter than its fixed part, or than it says.
    #[error("truncated")]
    Truncated,
    /// Another protocol (an 802.1Q tag is one too).
    #[error("another protocol")]
    OtherProtocol,
    /// ARP for other hardware or another protocol than Ethernet and IPv4.
    #[error("not ARP for IPv4 over Ethernet")]
    OtherArp,
    /// Another ICMPv6 message.
    #[error("not a neighbour solicitation")]
    OtherMessage,
    /// The hop limit is not 255: it came through a router.
    #[error("hop limit is not 255")]
    HopLimit,
    /// The ICMPv6 checksum is wrong.
    #[error("wrong checksum")]
    Checksum,
    /// The ICMPv6 code is not 0.
    #[error("code is not 0")]
    Code,
    /// The target is a multicast address.
    #[error("multicast target")]
    Target,
    /// An option of length zero, or one that reaches past the end.
    #[error("malformed option")]
    Option,
    /// A duplicate address detection that breaks the rules for it.
    #[error("malformed duplicate address detection")]
    Detection,
}

/// The outside of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ethernet<'a> {
    pub(super) source: MacAddr,
    pub(super) destination: MacAddr,
    pub(super) payload: &'a [u8],
}

impl<'a> Ethernet<'a> {
    pub(super) fn decode(frame: &'a [u8], ethertype: EtherType) -> Result<Self, Error> {
        let packet = EthernetPacket::new(frame).ok_or(Error::Truncated)?;
        if packet.get_ethertype() != ethertype {
            return Err(Error::OtherProtocol);
        }
        Ok(Self {
            source: packet.get_source(),
            destination: packet.get_destination(),
            payload: frame.get(ETHERNET_HEADER..).ok_or(Error::Truncated)?,
        })
    }
}

/// Whether an answer may be sent to `mac`: one station's address, not a group's, not nobody's.
///
/// A forged request must not make us answer to everybody.
#[must_use]
pub fn is_station(mac: MacAddr) -> bool {
    !mac.is_zero() && mac.is_unicast()
}

/// Writes `parts` one after the other; the place after the last.
pub(super) struct Writer<'a> {
    rest: &'a mut [u8],
    written: usize,
}

impl<'a> Writer<'a> {
    pub(super) fn new(buffer: &'a mut [u8]) -> Self {
        Self {
            rest: buffer,
            written: 0,
        }
    }

    /// Appends octets; what does not fit is left out (and the frame is then not complete: see `finish`).
    pub(super) fn put(&mut self, octets: &[u8]) -> &mut Self {
        let rest = std::mem::take(&mut self.rest);
        if let Some((place, rest)) = rest.split_at_mut_checked(octets.len()) {
            place.copy_from_slice(octets);
            self.rest = rest;
        }
        self.written += octets.len();
        self
    }

    pub(super) fn mac(&mut self, mac: MacAddr) -> &mut Self {
        self.put(&mac.octets())
    }

    /// How many octets the whole takes.
    pub(super) fn finish(&self) -> usize {
        self.written
    }
}

/// A frame to send, with its own storage: the hot path does not allocate.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    octets: [u8; Frame::CAPACITY],
    length: usize,
}

impl Frame {
    /// The longest frame we ever send: a neighbour advertisement with one option.
    pub const CAPACITY: usize = ndp::ADVERTISEMENT_FRAME;

    /// Lets `encode` fill the storage and takes the length it returns.
    pub(super) fn build(encode: impl FnOnce(&mut [u8; Self::CAPACITY]) -> usize) -> Self {
        let mut octets = [0; Self::CAPACITY];
        let length = encode(&mut octets).min(Self::CAPACITY);
        Self { octets, length }
    }

    /// The octets to send.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.octets.get(..self.length).unwrap_or(&self.octets)
    }
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Frame").field(&self.as_bytes()).finish()
    }
}
