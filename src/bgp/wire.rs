//! BGP's bytes: messages, capabilities, path attributes. No time, no state.
//!
//! | message | read | written | norm |
//! | --- | --- | --- | --- |
//! | [`Open`] | yes | yes | RFC 4271 §4.2, capabilities of RFC 5492, long parameters of RFC 9072 |
//! | UPDATE | checked and counted ([`Update`]) | packed ([`update::Builder`]) | RFC 4271 §4.3, RFC 4760, RFC 7606, RFC 6793, RFC 8950 |
//! | [`Notification`] | yes | yes | RFC 4271 §4.5, RFC 4486, RFC 8538, RFC 9003 |
//! | KEEPALIVE | yes | yes | RFC 4271 §4.4 |
//! | [`RouteRefresh`] | yes | yes | RFC 2918, RFC 7313 |
//!
//! What a peer announces is not kept: its UPDATEs are checked as RFC 7606 demands, and what becomes of them is a count.
//!
//! In: octets of a stream, [`frame`]d, then [`decode`]d. Out: whole messages with their headers. Invariants: no input makes a
//! decoder panic; a decoder's memory is bounded by the message's length; an encoder's message is never longer than the
//! session allows.

use std::fmt;
use std::net::IpAddr;

pub mod attributes;

pub mod capability;

mod error;

mod header;

pub mod notification;

mod open;

mod reader;

mod refresh;

pub mod update;

#[cfg(test)]
mod tests;

pub use capability::{Capability, NextHopEncoding, RestartFamily};
pub use error::{Error, Span};
pub use header::{HEADER, KEEPALIVE, Kind, MAX_EXTENDED_MESSAGE, MAX_MESSAGE, frame};
pub use notification::{Cease, Notification};
pub use open::{AS_TRANS, Open};
pub use refresh::RouteRefresh;
pub use update::{Action, Fault, Update};

use header::body;

/// An address family and what of it: AFI and SAFI (RFC 4760 §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Family {
    /// Address Family Identifier: 1 is IPv4, 2 is IPv6.
    pub afi: u16,
    /// Subsequent Address Family Identifier: 1 is unicast.
    pub safi: u8,
}

impl Family {
    /// IPv4 unicast.
    pub const IPV4_UNICAST: Self = Self { afi: 1, safi: 1 };

    /// IPv6 unicast.
    pub const IPV6_UNICAST: Self = Self { afi: 2, safi: 1 };

    /// The unicast family of an address.
    #[must_use]
    pub const fn unicast(address: &IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::IPV4_UNICAST,
            IpAddr::V6(_) => Self::IPV6_UNICAST,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::IPV4_UNICAST => f.write_str("IPv4 unicast"),
            Self::IPV6_UNICAST => f.write_str("IPv6 unicast"),
            Self { afi, safi } => write!(f, "AFI {afi} SAFI {safi}"),
        }
    }
}

/// What both ends have agreed on, as far as it changes what bytes mean. Before both OPENs are known:
/// [`Context::default`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Context {
    /// Whether the session is internal: LOCAL_PREF counts (RFC 4271 §5.1.5).
    pub internal: bool,
    /// AS numbers in AS_PATH and AGGREGATOR have four octets (RFC 6793).
    pub four_octet: bool,
    /// Messages may have up to [`MAX_EXTENDED_MESSAGE`] octets (RFC 8654).
    pub extended: bool,
    /// The peer may ask for our routes again (RFC 2918).
    pub refresh: bool,
    /// A refresh has a beginning and an end (RFC 7313).
    pub enhanced_refresh: bool,
    /// IPv4 unicast is exchanged.
    pub ipv4: bool,
    /// IPv6 unicast is exchanged.
    pub ipv6: bool,
    /// IPv4 routes may have IPv6 next hops (RFC 8950).
    pub extended_next_hop: bool,
}

impl Context {
    /// What follows from both OPENs: only what both offer. `ours` is what was sent, as it was sent.
    #[must_use]
    pub fn negotiate(ours: &Open, theirs: &Open) -> Self {
        let both = |can: &dyn Fn(&Open) -> bool| can(ours) && can(theirs);
        let offer = |capability| both(&|open| open.offers(&capability));
        let enhanced_refresh = offer(Capability::EnhancedRouteRefresh);
        Self {
            internal: ours.asn() == theirs.asn(),
            four_octet: both(&|open| open.four_octet_as().is_some()),
            extended: offer(Capability::ExtendedMessage),
            // RFC 7313 §3.1: who knows the subtypes knows the message, also where it does not say so.
            refresh: enhanced_refresh || offer(Capability::RouteRefresh),
            enhanced_refresh,
            ipv4: both(&|open| open.exchanges(Family::IPV4_UNICAST)),
            ipv6: both(&|open| open.exchanges(Family::IPV6_UNICAST)),
            extended_next_hop: both(&Open::takes_ipv4_over_ipv6),
        }
    }

    /// The most octets of an UPDATE, a NOTIFICATION or a ROUTE-REFRESH.
    #[must_use]
    pub const fn max_message(&self) -> usize {
        if self.extended {
            MAX_EXTENDED_MESSAGE
        } else {
            MAX_MESSAGE
        }
    }

    /// Whether unicast routes of this family are exchanged.
    #[must_use]
    pub fn exchanges(&self, family: Family) -> bool {
        match family {
            Family::IPV4_UNICAST => self.ipv4,
            Family::IPV6_UNICAST => self.ipv6,
            Family { .. } => false,
        }
    }
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// The first message of each side.
    Open(Open),
    /// Routes; what is in it is counted, not kept.
    Update(Update),
    /// Why the other side closes.
    Notification(Notification),
    /// The other side is there.
    Keepalive,
    /// The other side wants our routes again, or says where its own begin and end.
    RouteRefresh(RouteRefresh),
}

/// Reads one whole message, as [`frame`] found it.
///
/// # Errors
///
/// What was wrong, and so which NOTIFICATION ends the session. About a NOTIFICATION none may be sent (RFC 4271 §6.4).
pub fn decode(message: &[u8], context: &Context) -> Result<Message, Error> {
    let (kind, body) = body(message, context.extended)?;
    Ok(match kind {
        Kind::Open => Message::Open(Open::decode(body)?),
        Kind::Update => Message::Update(Update::decode(body, context)?),
        Kind::Notification => Message::Notification(Notification::decode(body)?),
        Kind::Keepalive => Message::Keepalive,
        Kind::RouteRefresh => Message::RouteRefresh(RouteRefresh::decode(body, context)?),
    })
}
