//! NOTIFICATION: RFC 4271 §4.5 and §6, and its texts for those who read logs.

use std::fmt;
use std::net::Ipv4Addr;

use super::capability::{self, Capability};
use super::header::{HEADER, Kind, MAX_MESSAGE, message};
use super::reader::Reader;
use super::{Error, Family};

/// Error codes.
pub mod code {
    /// Message Header Error.
    pub const MESSAGE_HEADER: u8 = 1;
    /// OPEN Message Error.
    pub const OPEN: u8 = 2;
    /// UPDATE Message Error.
    pub const UPDATE: u8 = 3;
    /// Hold Timer Expired.
    pub const HOLD_TIMER_EXPIRED: u8 = 4;
    /// Finite State Machine Error.
    pub const FINITE_STATE_MACHINE: u8 = 5;
    /// Cease.
    pub const CEASE: u8 = 6;
    /// ROUTE-REFRESH Message Error (RFC 7313).
    pub const ROUTE_REFRESH: u8 = 7;
    /// Send Hold Timer Expired (RFC 9687).
    pub const SEND_HOLD_TIMER_EXPIRED: u8 = 8;
}

/// Subcodes of Cease: RFC 4486, RFC 8538, RFC 9384.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cease {
    /// More prefixes than the receiver takes.
    MaximumPrefixes = 1,
    /// Somebody has shut the session down.
    AdministrativeShutdown = 2,
    /// The peer is not configured any more.
    PeerDeconfigured = 3,
    /// Somebody has reset the session.
    AdministrativeReset = 4,
    /// The connection is not wanted.
    ConnectionRejected = 5,
    /// The peer's configuration has changed.
    OtherConfigurationChange = 6,
    /// Two connections at a time.
    ConnectionCollision = 7,
    /// No memory, no time.
    OutOfResources = 8,
    /// No grace for the routes (RFC 8538).
    HardReset = 9,
    /// BFD says that the way is down (RFC 9384).
    BfdDown = 10,
}

/// RFC 9003 §2: the most octets of a shutdown communication.
pub const MAX_TEXT: usize = 255;

/// The most octets of data, so that a NOTIFICATION fits where RFC 8654 is not agreed on, or not yet.
pub const MAX_DATA: usize = MAX_MESSAGE - HEADER - 2;

/// The most octets of data that a log line shows as they are.
const SHOWN: usize = 32;

/// A NOTIFICATION message: why its sender closes. Displayed as `Cease/Administrative Shutdown: "maintenance"`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Notification {
    /// Error code, see [`code`].
    pub code: u8,
    /// Error subcode.
    pub subcode: u8,
    /// What the codes make of it.
    pub data: Vec<u8>,
}

impl Notification {
    /// One without data.
    #[must_use]
    pub const fn new(code: u8, subcode: u8) -> Self {
        Self {
            code,
            subcode,
            data: Vec::new(),
        }
    }

    /// Cease, without data.
    #[must_use]
    pub const fn cease(subcode: Cease) -> Self {
        Self::new(code::CEASE, subcode as u8)
    }

    /// Cease/Administrative Shutdown or Administrative Reset with a text (RFC 9003); other subcodes have none. What is longer
    /// than [`MAX_TEXT`] octets is cut at a character.
    #[must_use]
    pub fn cease_with_text(subcode: Cease, text: &str) -> Self {
        let mut notification = Self::cease(subcode);
        if has_text(notification.code, notification.subcode) {
            let text = text.get(..text.floor_char_boundary(MAX_TEXT));
            let text = text.unwrap_or_default();
            notification
                .data
                .push(u8::try_from(text.len()).unwrap_or_default());
            notification.data.extend_from_slice(text.as_bytes());
        }
        notification
    }

    /// RFC 8538 §3.1: Cease/Hard Reset with this one inside, for peers that would keep the routes otherwise.
    #[must_use]
    pub fn in_hard_reset(&self) -> Self {
        let mut notification = Self::cease(Cease::HardReset);
        notification
            .data
            .extend_from_slice(&[self.code, self.subcode]);
        notification.data.extend_from_slice(&self.data);
        notification
    }

    /// RFC 8538 §3: whether the receiver may keep the sender's routes, where both have said the N bit.
    #[must_use]
    pub const fn is_hard_reset(&self) -> bool {
        self.code == code::CEASE && self.subcode == Cease::HardReset as u8
    }

    /// RFC 5492 §5: Unsupported Capability, with the capabilities that are missed.
    #[must_use]
    pub fn unsupported_capability(missed: &[Capability]) -> Self {
        let mut notification = Self::new(code::OPEN, 7);
        for capability in missed {
            capability.encode(&mut notification.data);
        }
        notification
    }

    /// Reads what is behind the header.
    ///
    /// # Errors
    ///
    /// Shorter than its two codes.
    pub fn decode(body: &[u8]) -> Result<Self, Error> {
        let [code, subcode, data @ ..] = body else {
            return Err(Error::Length(
                u16::try_from(HEADER + body.len()).unwrap_or(u16::MAX),
            ));
        };
        Ok(Self {
            code: *code,
            subcode: *subcode,
            data: data.to_vec(),
        })
    }

    /// Appends the message. Data of more than [`MAX_DATA`] octets is cut there: it only explains.
    pub fn encode(&self, out: &mut Vec<u8>) {
        message(out, Kind::Notification, |out| {
            out.extend_from_slice(&[self.code, self.subcode]);
            out.extend_from_slice(self.data.get(..MAX_DATA).unwrap_or(&self.data));
        });
    }

    /// RFC 9003: the sender's text, if it has one and it is whole. Not for logs as it is: see [`fmt::Display`].
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        if !has_text(self.code, self.subcode) {
            return None;
        }
        let mut reader = Reader::new(&self.data);
        // RFC 9003 §2: a length of zero: no text. What is not UTF-8, or shorter than it says, is shown as octets.
        let text = reader.part8().filter(|text| !text.is_empty())?;
        std::str::from_utf8(text).ok()
    }

    /// What the data says, if the codes say how to read it.
    fn detail(&self) -> Option<String> {
        let data = self.data.as_slice();
        match (self.code, self.subcode) {
            // Escaped as Rust does, so that no control character, line end or change of direction reaches a terminal.
            (code::CEASE, 2 | 4) => self.text().map(|text| format!("{text:?}")),
            (code::CEASE, 9) => {
                // RFC 8538 §3.1: one level, for a Hard Reset in a Hard Reset says nothing more.
                let inner = Self::decode(data)
                    .ok()
                    .filter(|inner| !inner.is_hard_reset());
                inner.map(|inner| inner.to_string())
            }
            (code::CEASE, 1) => {
                // RFC 4486 §4: AFI, SAFI, upper bound.
                let mut reader = Reader::new(data);
                let (afi, safi, bound) = (reader.u16()?, reader.u8()?, reader.u32()?);
                let family = Family { afi, safi };
                let detail = format!("at most {bound} prefixes of {family}");
                reader.is_empty().then_some(detail)
            }
            (code::MESSAGE_HEADER, 2) => {
                let length = data.try_into().map(u16::from_be_bytes).ok()?;
                Some(format!("length {length}"))
            }
            (code::MESSAGE_HEADER, 3) => {
                let [kind] = data else { return None };
                Some(format!("type {kind}"))
            }
            (code::OPEN, 1) => {
                let version = data.try_into().map(u16::from_be_bytes).ok()?;
                Some(format!("only up to version {version}"))
            }
            (code::OPEN, 2) => {
                let short = data.try_into().map(u16::from_be_bytes).map(u32::from);
                let asn = short
                    .or_else(|_| data.try_into().map(u32::from_be_bytes))
                    .ok()?;
                Some(format!("AS {asn}"))
            }
            (code::OPEN, 3) => {
                let octets: [u8; 4] = data.try_into().ok()?;
                Some(Ipv4Addr::from(octets).to_string())
            }
            (code::OPEN, 6) => {
                let seconds = data.try_into().map(u16::from_be_bytes).ok()?;
                Some(format!("{seconds} s"))
            }
            (code::OPEN, 7) => {
                let list = capability::list(data).filter(|list| !list.is_empty())?;
                let names: Vec<String> = list.iter().map(capability_text).collect();
                Some(names.join(", "))
            }
            // RFC 4271 §6.3: the attribute: flags, type, length, value.
            (code::UPDATE, 2..=6 | 8 | 9) => {
                let kind = match (self.subcode, data) {
                    // Missing Well-known Attribute has its type code alone.
                    (3, [kind]) | (_, [_, kind, ..]) => *kind,
                    _ => return None,
                };
                Some(super::attributes::name_of(kind).map_or_else(
                    || format!("attribute {kind}"),
                    |name| format!("attribute {kind} ({name})"),
                ))
            }
            _ => None,
        }
    }
}

/// RFC 9003 §2: which subcodes may have a text.
const fn has_text(code: u8, subcode: u8) -> bool {
    code == code::CEASE
        && (subcode == Cease::AdministrativeShutdown as u8
            || subcode == Cease::AdministrativeReset as u8)
}

fn capability_text(capability: &Capability) -> String {
    let code = capability.code();
    match (capability, Capability::name_of(code)) {
        (Capability::MultiProtocol(family), _) => format!("multiprotocol {family}"),
        (_, Some(name)) => name.to_owned(),
        (_, None) => format!("capability {code}"),
    }
}

impl fmt::Display for Notification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&names(self.code, self.subcode))?;
        if self.data.is_empty() {
            return Ok(());
        }
        if let Some(detail) = self.detail() {
            return write!(f, ": {detail}");
        }
        // RFC 9003 §2: no text.
        if has_text(self.code, self.subcode) && self.data == [0] {
            return Ok(());
        }
        f.write_str(": data ")?;
        for octet in self.data.iter().take(SHOWN) {
            write!(f, "{octet:02x}")?;
        }
        if self.data.len() > SHOWN {
            write!(f, "… ({} octets)", self.data.len())?;
        }
        Ok(())
    }
}

/// Code and subcode in words: `OPEN Message Error/Bad Peer AS`.
#[must_use]
pub fn names(code: u8, subcode: u8) -> String {
    let Some(name) = code_name(code) else {
        return format!("error code {code}, subcode {subcode}");
    };
    match (subcode_name(code, subcode), subcode) {
        (Some(subcode), _) => format!("{name}/{subcode}"),
        // Unspecific, or none defined.
        (None, 0) => name.to_owned(),
        (None, subcode) => format!("{name}/subcode {subcode}"),
    }
}

const fn code_name(code: u8) -> Option<&'static str> {
    Some(match code {
        code::MESSAGE_HEADER => "Message Header Error",
        code::OPEN => "OPEN Message Error",
        code::UPDATE => "UPDATE Message Error",
        code::HOLD_TIMER_EXPIRED => "Hold Timer Expired",
        code::FINITE_STATE_MACHINE => "Finite State Machine Error",
        code::CEASE => "Cease",
        code::ROUTE_REFRESH => "ROUTE-REFRESH Message Error",
        code::SEND_HOLD_TIMER_EXPIRED => "Send Hold Timer Expired",
        _ => return None,
    })
}

/// IANA's registry of error subcodes.
const fn subcode_name(code: u8, subcode: u8) -> Option<&'static str> {
    Some(match (code, subcode) {
        (code::MESSAGE_HEADER, 1) => "Connection Not Synchronized",
        (code::MESSAGE_HEADER, 2) => "Bad Message Length",
        (code::MESSAGE_HEADER, 3) => "Bad Message Type",
        (code::OPEN, 1) => "Unsupported Version Number",
        (code::OPEN, 2) => "Bad Peer AS",
        (code::OPEN, 3) => "Bad BGP Identifier",
        (code::OPEN, 4) => "Unsupported Optional Parameter",
        (code::OPEN, 5) => "Authentication Failure",
        (code::OPEN, 6) => "Unacceptable Hold Time",
        (code::OPEN, 7) => "Unsupported Capability",
        (code::OPEN, 11) => "Role Mismatch",
        (code::UPDATE, 1) => "Malformed Attribute List",
        (code::UPDATE, 2) => "Unrecognized Well-known Attribute",
        (code::UPDATE, 3) => "Missing Well-known Attribute",
        (code::UPDATE, 4) => "Attribute Flags Error",
        (code::UPDATE, 5) => "Attribute Length Error",
        (code::UPDATE, 6) => "Invalid ORIGIN Attribute",
        (code::UPDATE, 7) => "AS Routing Loop",
        (code::UPDATE, 8) => "Invalid NEXT_HOP Attribute",
        (code::UPDATE, 9) => "Optional Attribute Error",
        (code::UPDATE, 10) => "Invalid Network Field",
        (code::UPDATE, 11) => "Malformed AS_PATH",
        // RFC 6608 §3.
        (code::FINITE_STATE_MACHINE, 1) => "Receive Unexpected Message in OpenSent State",
        (code::FINITE_STATE_MACHINE, 2) => "Receive Unexpected Message in OpenConfirm State",
        (code::FINITE_STATE_MACHINE, 3) => "Receive Unexpected Message in Established State",
        (code::CEASE, 1) => "Maximum Number of Prefixes Reached",
        (code::CEASE, 2) => "Administrative Shutdown",
        (code::CEASE, 3) => "Peer De-configured",
        (code::CEASE, 4) => "Administrative Reset",
        (code::CEASE, 5) => "Connection Rejected",
        (code::CEASE, 6) => "Other Configuration Change",
        (code::CEASE, 7) => "Connection Collision Resolution",
        (code::CEASE, 8) => "Out of Resources",
        (code::CEASE, 9) => "Hard Reset",
        (code::CEASE, 10) => "BFD Down",
        (code::ROUTE_REFRESH, 1) => "Invalid Message Length",
        _ => return None,
    })
}
