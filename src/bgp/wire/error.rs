//! What is wrong with a message, and the NOTIFICATION that says so: RFC 4271 §6.

use std::fmt;
use std::net::Ipv4Addr;

use super::notification::{Notification, code, names};

/// Where something lies in a message, header included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Span {
    /// Octets before it.
    pub start: u16,
    /// Octets of it.
    pub length: u16,
}

/// Why the session cannot go on. Displayed as `OPEN Message Error/Bad Peer AS: …`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Error {
    /// The marker is not all ones.
    Marker,
    /// A length that the message cannot have.
    Length(u16),
    /// No message has this type.
    Kind(u8),
    /// OPEN: another version than 4.
    Version(u8),
    /// OPEN: AS number 0 (RFC 7607), or another one than the configuration expects. The session says the latter.
    PeerAs {
        /// What the OPEN says.
        received: u32,
        /// What it should say; `None`: anything but 0.
        expected: Option<u32>,
    },
    /// OPEN: the identifier 0.0.0.0, or our own from an internal peer (RFC 6286 §2.2). The session says the latter.
    Identifier(Ipv4Addr),
    /// OPEN: an optional parameter that is not capabilities.
    OptionalParameter(u8),
    /// OPEN: a Hold Time of one or two seconds.
    HoldTime(u16),
    /// OPEN: parameters or capabilities that are cut off.
    Open,
    /// UPDATE: the lengths contradict each other, or an attribute that may be there once is there twice (RFC 7606 §3).
    AttributeList,
    /// UPDATE: an attribute that is said to be well-known and is not.
    WellKnown(Span),
    /// UPDATE: MP_REACH_NLRI or MP_UNREACH_NLRI that cannot be read (RFC 7606 §5.3, §7.11).
    OptionalAttribute(Span),
    /// UPDATE: prefixes that cannot be read (RFC 7606 §5.3).
    NetworkField,
    /// UPDATE: an attribute is wrong, and there are no prefixes that could be treated as withdrawn (RFC 7606 §5.2).
    NothingToWithdraw,
    /// ROUTE-REFRESH of another length than 23, where RFC 7313 was agreed on.
    RefreshLength,
}

impl Error {
    /// Error code and subcode.
    #[must_use]
    pub const fn codes(self) -> (u8, u8) {
        match self {
            Self::Marker => (code::MESSAGE_HEADER, 1),
            Self::Length(_) => (code::MESSAGE_HEADER, 2),
            Self::Kind(_) => (code::MESSAGE_HEADER, 3),
            // RFC 4271 §6.2: recognized, but malformed: Unspecific.
            Self::Open => (code::OPEN, 0),
            Self::Version(_) => (code::OPEN, 1),
            Self::PeerAs { .. } => (code::OPEN, 2),
            Self::Identifier(_) => (code::OPEN, 3),
            Self::OptionalParameter(_) => (code::OPEN, 4),
            Self::HoldTime(_) => (code::OPEN, 6),
            Self::AttributeList | Self::NothingToWithdraw => (code::UPDATE, 1),
            Self::WellKnown(_) => (code::UPDATE, 2),
            Self::OptionalAttribute(_) => (code::UPDATE, 9),
            Self::NetworkField => (code::UPDATE, 10),
            Self::RefreshLength => (code::ROUTE_REFRESH, 1),
        }
    }

    /// The NOTIFICATION to send. `message` is the whole message that the error was found in: some errors quote it.
    #[must_use]
    pub fn notification(self, message: &[u8]) -> Notification {
        let (code, subcode) = self.codes();
        let data = match self {
            // RFC 4271 §6.1: the Data field contains the erroneous Length field, the erroneous Type field.
            Self::Length(length) => length.to_be_bytes().to_vec(),
            Self::Kind(kind) => vec![kind],
            // RFC 4271 §6.2: the largest, locally-supported version number, two octets.
            Self::Version(_) => vec![0, 4],
            // RFC 4271 has no data for it. FRR and others quote the number, and so a reader sees which one it was.
            Self::PeerAs { received, .. } => u16::try_from(received).map_or_else(
                |_| received.to_be_bytes().to_vec(),
                |short| short.to_be_bytes().to_vec(),
            ),
            // RFC 4271 §6.3: the attribute: type, length and value.
            Self::WellKnown(span) | Self::OptionalAttribute(span) => {
                let start = usize::from(span.start);
                message
                    .get(start..start + usize::from(span.length))
                    .unwrap_or_default()
                    .to_vec()
            }
            // RFC 7313 §5: the complete ROUTE-REFRESH message.
            Self::RefreshLength => message.to_vec(),
            Self::Marker
            | Self::Open
            | Self::Identifier(_)
            | Self::OptionalParameter(_)
            | Self::HoldTime(_)
            | Self::AttributeList
            | Self::NothingToWithdraw
            | Self::NetworkField => Vec::new(),
        };
        Notification {
            code,
            subcode,
            data,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (code, subcode) = self.codes();
        write!(f, "{}: ", names(code, subcode))?;
        match self {
            Self::Marker => f.write_str("the peer does not speak BGP, or octets were lost"),
            Self::Length(length) => write!(f, "no message of this type has {length} octets here"),
            Self::Kind(kind) => write!(f, "there is no message type {kind}"),
            Self::Version(version) => write!(f, "the peer speaks version {version}, not 4"),
            Self::PeerAs {
                received,
                expected: Some(expected),
            } => write!(
                f,
                "the peer says {received}, this configuration expects {expected}"
            ),
            Self::PeerAs { received, .. } => {
                write!(f, "the peer says {received}, which no AS can have")
            }
            Self::Identifier(identifier) if identifier.is_unspecified() => {
                f.write_str("the peer's identifier is 0.0.0.0")
            }
            Self::Identifier(identifier) => {
                write!(f, "the peer's identifier {identifier} is our own")
            }
            Self::OptionalParameter(kind) => write!(f, "optional parameter {kind} is unknown"),
            Self::HoldTime(seconds) => write!(f, "{seconds} s is neither 0 nor at least 3"),
            Self::Open => f.write_str("the optional parameters are cut off"),
            Self::AttributeList => f.write_str("the attributes cannot be told apart"),
            Self::WellKnown(_) => f.write_str("an unknown attribute is said to be well-known"),
            Self::OptionalAttribute(_) => {
                f.write_str("MP_REACH_NLRI or MP_UNREACH_NLRI cannot be read")
            }
            Self::NetworkField => f.write_str("the prefixes cannot be read"),
            Self::NothingToWithdraw => {
                f.write_str("an attribute is wrong, and it is not clear of which routes")
            }
            Self::RefreshLength => f.write_str("a ROUTE-REFRESH has 23 octets"),
        }
    }
}

impl std::error::Error for Error {}
