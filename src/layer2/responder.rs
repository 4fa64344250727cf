//! One frame in, one answer or the reason for silence out.
//!
//! No state, no time: a function of the frame, the interface it came in on, and the announced addresses.
//! RFC 826, RFC 5227 (probes are answered as any request), RFC 4861 §7.2.4, RFC 4862 §5.4.3 and §5.4.4.

use std::fmt;

use pnet_base::MacAddr;

use super::Kind;
use super::announced::{Announced, Tally};
use super::wire::arp::{Arp, Operation};
use super::wire::ndp::{ALL_NODES, Advertisement, Solicitation, multicast_mac};
use super::wire::{Error, Frame, is_station};

/// What a responder knows about its interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interface {
    /// Its Ethernet address.
    pub mac: MacAddr,
}

/// Why a frame gets no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Drop {
    /// It is not a frame for us at all, or breaks a rule of its protocol.
    Malformed(Error),
    /// ARP, but no request.
    NotARequest,
    /// Addressed to another station.
    NotForUs,
    /// We sent it ourselves (a loop in the network, or a bond's other port).
    OurOwn,
    /// Nobody's or a group's address where the answer would have to go.
    NoStation,
    /// The target is not announced here.
    NotAnnounced,
}

impl Drop {
    /// All kinds of reasons, as [`Drop::index`] numbers them.
    pub const LABELS: [&'static str; 6] = [
        "malformed",
        "notARequest",
        "notForUs",
        "ourOwn",
        "noStation",
        "notAnnounced",
    ];

    /// The place of its label in [`Drop::LABELS`].
    #[must_use]
    pub fn index(self) -> usize {
        match self {
            Self::Malformed(_) => 0,
            Self::NotARequest => 1,
            Self::NotForUs => 2,
            Self::OurOwn => 3,
            Self::NoStation => 4,
            Self::NotAnnounced => 5,
        }
    }
}

impl fmt::Display for Drop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(error) => error.fmt(f),
            other => f.write_str(Self::LABELS.get(other.index()).copied().unwrap_or_default()),
        }
    }
}

impl From<Error> for Drop {
    fn from(error: Error) -> Self {
        Self::Malformed(error)
    }
}

/// An answer, ready to be sent.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// The frame to send on the interface that the request came in on.
    pub frame: Frame,
    /// The counters of the address in question.
    pub tally: &'a Tally,
}

/// What to say to `frame`.
///
/// # Errors
/// [`Drop`]: nothing, and why. That is the ordinary case and not a failure.
pub fn answer<'a>(
    kind: Kind,
    frame: &[u8],
    interface: &Interface,
    announced: &'a Announced,
) -> Result<Answer<'a>, Drop> {
    match kind {
        Kind::Arp => answer_arp(frame, interface, announced),
        Kind::Ndp => answer_ndp(frame, interface, announced),
    }
}

fn answer_arp<'a>(
    frame: &[u8],
    interface: &Interface,
    announced: &'a Announced,
) -> Result<Answer<'a>, Drop> {
    let request = Arp::decode(frame)?;
    // RFC 826: is the opcode ares_op$REQUEST? (Gratuitous requests for our address, and RFC 5227 probes with sender
    // 0.0.0.0, are requests as well: their sender must see that the address is taken.)
    if request.operation != Operation::Request {
        return Err(Drop::NotARequest);
    }
    if !request.destination.is_broadcast() && request.destination != interface.mac {
        return Err(Drop::NotForUs);
    }
    if request.sender_hardware_address == interface.mac {
        return Err(Drop::OurOwn);
    }
    if !is_station(request.sender_hardware_address) {
        return Err(Drop::NoStation);
    }
    // RFC 826: am I the target protocol address?
    let tally = announced
        .v4(request.target_protocol_address)
        .ok_or(Drop::NotAnnounced)?;
    let reply = request.answer(interface.mac);
    Ok(Answer {
        frame: Frame::build(|buffer| reply.encode(buffer)),
        tally,
    })
}

fn answer_ndp<'a>(
    frame: &[u8],
    interface: &Interface,
    announced: &'a Announced,
) -> Result<Answer<'a>, Drop> {
    let solicitation = Solicitation::decode(frame)?;
    if !solicitation.destination_mac.is_multicast() && solicitation.destination_mac != interface.mac
    {
        return Err(Drop::NotForUs);
    }
    if solicitation.source_mac == interface.mac {
        return Err(Drop::OurOwn);
    }
    let tally = announced
        .v6(solicitation.target)
        .ok_or(Drop::NotAnnounced)?;
    let (destination, destination_mac, solicited) = if solicitation.source.is_unspecified() {
        // RFC 4861 §7.2.4: if the source of the solicitation is the unspecified address, the node MUST set the
        // Solicited flag to zero and multicast the advertisement to the all-nodes address. RFC 4862 §5.4.4: that is
        // how the other node learns that its tentative address is a duplicate.
        (ALL_NODES, multicast_mac(ALL_NODES), false)
    } else {
        // RFC 4861 §7.2.4: otherwise it MUST set the flag to one and unicast the advertisement to the source.
        // Where to: the option's address; a solicitation that was itself unicast need not carry the option (§7.2.2:
        // the neighbour is known then), so it came from the station that sent the frame.
        // Deviation: 0.12 is silent without the option, and neighbour unreachability detection fails.
        let station = solicitation
            .source_link_layer
            .unwrap_or(solicitation.source_mac);
        if !is_station(station) || solicitation.source.is_multicast() {
            return Err(Drop::NoStation);
        }
        (solicitation.source, station, true)
    };
    let advertisement = Advertisement {
        mac: interface.mac,
        destination_mac,
        destination,
        target: solicitation.target,
        solicited,
        // Upstream: an answer never overrides what a cache knows; only the gratuitous advertisement does.
        override_: false,
    };
    Ok(Answer {
        frame: Frame::build(|buffer| advertisement.encode(buffer)),
        tally,
    })
}

#[cfg(test)]
mod tests;
