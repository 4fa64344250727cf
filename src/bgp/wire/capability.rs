//! Capabilities: RFC 5492, and what is in those that we know.

use super::Family;
use super::reader::Reader;

/// RFC 4760 §8.
const MULTI_PROTOCOL: u8 = 1;
/// RFC 2918 §2.
const ROUTE_REFRESH: u8 = 2;
/// RFC 8950 §4.
const EXTENDED_NEXT_HOP: u8 = 5;
/// RFC 8654 §3.
const EXTENDED_MESSAGE: u8 = 6;
/// RFC 4724 §3.
const GRACEFUL_RESTART: u8 = 64;
/// RFC 6793 §3.
pub(super) const FOUR_OCTET_AS: u8 = 65;
/// RFC 7313 §3.1.
const ENHANCED_ROUTE_REFRESH: u8 = 70;

/// The most octets of one capability's value: its length is one octet.
pub const MAX_VALUE: usize = 255;

/// RFC 4724 §3: the Restart State bit.
const RESTART_STATE: u16 = 0x8000;
/// RFC 8538 §2: the Graceful Notification bit.
const NOTIFICATION: u16 = 0x4000;
/// RFC 4724 §3: Restart Time has 12 bits.
const RESTART_TIME: u16 = 0x0fff;
/// RFC 4724 §3: the Forwarding State bit of a family.
const FORWARDING: u8 = 0x80;

/// What one side can do.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Capability {
    /// Routes of this family (RFC 4760).
    MultiProtocol(Family),
    /// ROUTE-REFRESH (RFC 2918).
    RouteRefresh,
    /// IPv6 next hops for other families (RFC 8950).
    ExtendedNextHop(Vec<NextHopEncoding>),
    /// Messages of up to 65,535 octets (RFC 8654).
    ExtendedMessage,
    /// Graceful restart (RFC 4724, RFC 8538).
    GracefulRestart {
        /// The sender has restarted.
        restart_state: bool,
        /// NOTIFICATIONs do not end the grace, but for a Hard Reset (RFC 8538).
        notification: bool,
        /// Restart Time, seconds, at most 4095.
        time: u16,
        /// Whose forwarding state outlives a restart; none: the sender only helps others.
        families: Vec<RestartFamily>,
    },
    /// AS numbers of four octets, and the sender's (RFC 6793).
    FourOctetAs(u32),
    /// A refresh has a beginning and an end (RFC 7313).
    EnhancedRouteRefresh,
    /// Anything else, and a known one whose value has not the form of its RFC.
    Unknown {
        /// Capability code.
        code: u8,
        /// Its value, at most [`MAX_VALUE`] octets.
        value: Box<[u8]>,
    },
}

/// An entry of the graceful restart capability.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RestartFamily {
    /// Which routes.
    pub family: Family,
    /// Whether the sender has kept forwarding through its restart.
    pub forwarding: bool,
}

/// An entry of the extended next hop capability.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NextHopEncoding {
    /// Routes of this family …
    pub family: Family,
    /// … may have next hops of this address family.
    pub next_hop_afi: u16,
}

impl Capability {
    /// The code of a capability.
    #[must_use]
    pub const fn code(&self) -> u8 {
        match self {
            Self::MultiProtocol(_) => MULTI_PROTOCOL,
            Self::RouteRefresh => ROUTE_REFRESH,
            Self::ExtendedNextHop(_) => EXTENDED_NEXT_HOP,
            Self::ExtendedMessage => EXTENDED_MESSAGE,
            Self::GracefulRestart { .. } => GRACEFUL_RESTART,
            Self::FourOctetAs(_) => FOUR_OCTET_AS,
            Self::EnhancedRouteRefresh => ENHANCED_ROUTE_REFRESH,
            Self::Unknown { code, .. } => *code,
        }
    }

    /// From code and value. RFC 5492 §3: what is not understood is ignored, so it is kept as octets; so is a known one of another
    /// form than its RFC's, for no session fails because of it.
    #[must_use]
    pub fn decode(code: u8, value: &[u8]) -> Self {
        Self::known(code, value).unwrap_or_else(|| Self::Unknown {
            code,
            value: value.into(),
        })
    }

    fn known(code: u8, value: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(value);
        let capability = match code {
            MULTI_PROTOCOL => {
                let (afi, _reserved, safi) = (reader.u16()?, reader.u8()?, reader.u8()?);
                Self::MultiProtocol(Family { afi, safi })
            }
            ROUTE_REFRESH => Self::RouteRefresh,
            EXTENDED_NEXT_HOP => {
                let mut encodings = Vec::new();
                while !reader.is_empty() {
                    let (afi, safi, next_hop_afi) = (reader.u16()?, reader.u16()?, reader.u16()?);
                    let safi = u8::try_from(safi).ok()?;
                    encodings.push(NextHopEncoding {
                        family: Family { afi, safi },
                        next_hop_afi,
                    });
                }
                Self::ExtendedNextHop(encodings)
            }
            EXTENDED_MESSAGE => Self::ExtendedMessage,
            GRACEFUL_RESTART => {
                let head = reader.u16()?;
                let mut families = Vec::new();
                while !reader.is_empty() {
                    let (afi, safi, flags) = (reader.u16()?, reader.u8()?, reader.u8()?);
                    families.push(RestartFamily {
                        family: Family { afi, safi },
                        forwarding: flags & FORWARDING != 0,
                    });
                }
                Self::GracefulRestart {
                    restart_state: head & RESTART_STATE != 0,
                    notification: head & NOTIFICATION != 0,
                    time: head & RESTART_TIME,
                    families,
                }
            }
            FOUR_OCTET_AS => Self::FourOctetAs(reader.u32()?),
            ENHANCED_ROUTE_REFRESH => Self::EnhancedRouteRefresh,
            _ => return None,
        };
        reader.is_empty().then_some(capability)
    }

    /// The value, without code and length.
    fn value(&self) -> Vec<u8> {
        let mut value = Vec::new();
        match self {
            Self::RouteRefresh | Self::ExtendedMessage | Self::EnhancedRouteRefresh => {}
            Self::MultiProtocol(family) => {
                value.extend_from_slice(&family.afi.to_be_bytes());
                value.extend_from_slice(&[0, family.safi]);
            }
            Self::ExtendedNextHop(encodings) => {
                for encoding in encodings {
                    value.extend_from_slice(&encoding.family.afi.to_be_bytes());
                    value.extend_from_slice(&[0, encoding.family.safi]);
                    value.extend_from_slice(&encoding.next_hop_afi.to_be_bytes());
                }
            }
            Self::GracefulRestart {
                restart_state,
                notification,
                time,
                families,
            } => {
                let mut head = *time & RESTART_TIME;
                if *restart_state {
                    head |= RESTART_STATE;
                }
                if *notification {
                    head |= NOTIFICATION;
                }
                value.extend_from_slice(&head.to_be_bytes());
                for entry in families {
                    value.extend_from_slice(&entry.family.afi.to_be_bytes());
                    let flags = if entry.forwarding { FORWARDING } else { 0 };
                    value.extend_from_slice(&[entry.family.safi, flags]);
                }
            }
            Self::FourOctetAs(asn) => value.extend_from_slice(&asn.to_be_bytes()),
            Self::Unknown { value: octets, .. } => value.extend_from_slice(octets),
        }
        value
    }

    /// Appends code, length and value; whether it can be: a value of more than [`MAX_VALUE`] octets cannot.
    pub(super) fn encode(&self, out: &mut Vec<u8>) -> bool {
        let value = self.value();
        let Ok(length) = u8::try_from(value.len()) else {
            return false;
        };
        out.extend_from_slice(&[self.code(), length]);
        out.extend_from_slice(&value);
        true
    }

    /// What a reader of logs knows it by.
    #[must_use]
    pub const fn name_of(code: u8) -> Option<&'static str> {
        Some(match code {
            MULTI_PROTOCOL => "multiprotocol",
            ROUTE_REFRESH => "route refresh",
            EXTENDED_NEXT_HOP => "extended next hop",
            EXTENDED_MESSAGE => "extended message",
            9 => "role",
            GRACEFUL_RESTART => "graceful restart",
            FOUR_OCTET_AS => "four-octet AS number",
            67 => "dynamic capability",
            69 => "additional paths",
            ENHANCED_ROUTE_REFRESH => "enhanced route refresh",
            71 => "long-lived graceful restart",
            73 => "hostname",
            128 => "route refresh (Cisco)",
            _ => return None,
        })
    }
}

/// Capabilities one after the other, as in a parameter of an OPEN and in the data of Unsupported Capability; `None`: cut off.
pub(super) fn list(octets: &[u8]) -> Option<Vec<Capability>> {
    let mut reader = Reader::new(octets);
    let mut list = Vec::new();
    while !reader.is_empty() {
        let code = reader.u8()?;
        list.push(Capability::decode(code, reader.part8()?));
    }
    Some(list)
}
