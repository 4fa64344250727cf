//! OPEN: RFC 4271 §4.2 and §6.2, its optional parameters (RFC 5492, RFC 9072).

use std::net::Ipv4Addr;

use super::capability::{self, Capability};
use super::header::{HEADER, Kind, MAX_MESSAGE, message};
use super::reader::Reader;
use super::{Error, Family};

/// What stands in two octets for an AS number that needs four (RFC 6793 §9).
pub const AS_TRANS: u16 = 23_456;

/// The version that there is.
const VERSION: u8 = 4;

/// RFC 5492 §4: the parameter that has capabilities in it.
const CAPABILITIES: u8 = 2;

/// RFC 9072 §2: what stands where the first parameter's type would, if lengths have two octets.
const EXTENDED: u8 = 255;

/// Octets of an OPEN before its parameters' length.
const FIXED: usize = HEADER + 9;

/// An OPEN message.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Open {
    /// Version; only 4 can be read.
    pub version: u8,
    /// My Autonomous System: [`AS_TRANS`] where the number has four octets.
    pub my_as: u16,
    /// Hold Time, seconds: 0 or at least 3.
    pub hold_time: u16,
    /// BGP Identifier, not 0.
    pub bgp_identifier: Ipv4Addr,
    /// What the sender can do, in its order, with repetitions.
    pub capabilities: Vec<Capability>,
}

impl Open {
    /// One of ours. `capabilities` should have [`Capability::FourOctetAs`] with the same number.
    #[must_use]
    pub fn new(
        asn: u32,
        hold_time: u16,
        bgp_identifier: Ipv4Addr,
        capabilities: Vec<Capability>,
    ) -> Self {
        Self {
            version: VERSION,
            my_as: u16::try_from(asn).unwrap_or(AS_TRANS),
            hold_time,
            bgp_identifier,
            capabilities,
        }
    }

    /// The sender's AS number: the four-octet one if it has said one (RFC 6793 §4.1).
    #[must_use]
    pub fn asn(&self) -> u32 {
        self.four_octet_as().unwrap_or(self.my_as.into())
    }

    /// The number in the four-octet AS number capability.
    #[must_use]
    pub fn four_octet_as(&self) -> Option<u32> {
        self.capabilities.iter().find_map(|capability| {
            if let Capability::FourOctetAs(asn) = capability {
                Some(*asn)
            } else {
                None
            }
        })
    }

    /// Whether exactly this capability is in it.
    #[must_use]
    pub fn offers(&self, capability: &Capability) -> bool {
        self.capabilities.contains(capability)
    }

    /// Whether the sender exchanges routes of this family. One who does not know RFC 4760 exchanges IPv4 unicast.
    #[must_use]
    pub fn exchanges(&self, family: Family) -> bool {
        let mut said = self
            .capabilities
            .iter()
            .filter(|capability| matches!(capability, Capability::MultiProtocol(_)))
            .peekable();
        if said.peek().is_none() {
            return family == Family::IPV4_UNICAST;
        }
        said.any(|capability| *capability == Capability::MultiProtocol(family))
    }

    /// Whether the sender takes IPv4 unicast routes with IPv6 next hops (RFC 8950 §4).
    #[must_use]
    pub fn takes_ipv4_over_ipv6(&self) -> bool {
        self.capabilities.iter().any(|capability| {
            if let Capability::ExtendedNextHop(encodings) = capability {
                encodings.iter().any(|encoding| {
                    encoding.family == Family::IPV4_UNICAST
                        && encoding.next_hop_afi == Family::IPV6_UNICAST.afi
                })
            } else {
                false
            }
        })
    }

    /// The graceful restart capability; RFC 4724 §3: the last one, if there are several.
    #[must_use]
    pub fn graceful_restart(&self) -> Option<&Capability> {
        self.capabilities
            .iter()
            .rfind(|capability| matches!(capability, Capability::GracefulRestart { .. }))
    }

    /// Reads what is behind the header.
    ///
    /// # Errors
    ///
    /// RFC 4271 §6.2. Not here: whether the AS number is the expected one, and the identifier not our own.
    pub fn decode(body: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(body);
        let (Some(version), Some(my_as), Some(hold_time), Some(identifier), Some(length)) = (
            reader.u8(),
            reader.u16(),
            reader.u16(),
            reader.u32(),
            reader.u8(),
        ) else {
            return Err(Error::Open);
        };
        // RFC 4271 §6.2: in this order.
        if version != VERSION {
            return Err(Error::Version(version));
        }
        let capabilities = parameters(length, reader)?;
        let open = Self {
            version,
            my_as,
            hold_time,
            bgp_identifier: Ipv4Addr::from_bits(identifier),
            capabilities,
        };
        // RFC 7607 §2: the AS number 0, in the field or in the capability: Bad Peer AS.
        if my_as == 0 || open.four_octet_as() == Some(0) {
            return Err(Error::PeerAs {
                received: 0,
                expected: None,
            });
        }
        // RFC 4271 §6.2: MUST reject Hold Time values of one or two seconds.
        if matches!(hold_time, 1 | 2) {
            return Err(Error::HoldTime(hold_time));
        }
        // RFC 6286 §2.2: the identifier is zero: Bad BGP Identifier.
        if open.bgp_identifier.is_unspecified() {
            return Err(Error::Identifier(open.bgp_identifier));
        }
        Ok(open)
    }

    /// Appends the message: all capabilities in one parameter (RFC 5492 §4), in the long form (RFC 9072) only where the short
    /// one has no room.
    ///
    /// Capabilities that do not fit into [`MAX_MESSAGE`] octets are left out, the last ones first, and so is one whose value
    /// is longer than [`capability::MAX_VALUE`]: what is not offered is not used.
    pub fn encode(&self, out: &mut Vec<u8>) {
        // Of the long form: its marks and its length (5 octets), one parameter's type and length (3).
        const ROOM: usize = MAX_MESSAGE - FIXED - 8;
        let mut capabilities = Vec::new();
        for capability in &self.capabilities {
            let before = capabilities.len();
            if !capability.encode(&mut capabilities) {
                continue;
            }
            if capabilities.len() > ROOM {
                capabilities.truncate(before);
                break;
            }
        }
        message(out, Kind::Open, |out| {
            out.push(self.version);
            out.extend_from_slice(&self.my_as.to_be_bytes());
            out.extend_from_slice(&self.hold_time.to_be_bytes());
            out.extend_from_slice(&self.bgp_identifier.octets());
            // RFC 9072 §2: the long form for more than 255 octets of parameters.
            match u8::try_from(capabilities.len()) {
                Ok(0) => out.push(0),
                Ok(short @ ..=253) => out.extend_from_slice(&[short + 2, CAPABILITIES, short]),
                _ => {
                    let length = u16::try_from(capabilities.len()).unwrap_or(u16::MAX);
                    out.extend_from_slice(&[EXTENDED, EXTENDED]);
                    out.extend_from_slice(&length.saturating_add(3).to_be_bytes());
                    out.push(CAPABILITIES);
                    out.extend_from_slice(&length.to_be_bytes());
                }
            }
            out.extend_from_slice(&capabilities);
        });
    }
}

/// The capabilities of all parameters, in order. `length` is the field before them.
fn parameters(length: u8, mut reader: Reader<'_>) -> Result<Vec<Capability>, Error> {
    // RFC 9072 §2: a length that is not 0, and 255 where the first type would be: the real length follows, and parameters'
    // lengths have two octets.
    let extended = length != 0 && reader.peek() == Some(EXTENDED);
    let whole = if extended {
        let _type = reader.u8();
        reader.u16().map(usize::from)
    } else {
        Some(usize::from(length))
    };
    if whole != Some(reader.len()) {
        return Err(Error::Open);
    }
    let mut capabilities = Vec::new();
    while let Some(kind) = reader.u8() {
        let part = if extended {
            reader.part16()
        } else {
            reader.part8()
        };
        let part = part.ok_or(Error::Open)?;
        if kind != CAPABILITIES {
            // RFC 4271 §6.2: not recognized: Unsupported Optional Parameters.
            return Err(Error::OptionalParameter(kind));
        }
        capabilities.extend(capability::list(part).ok_or(Error::Open)?);
    }
    // Without its number nothing can be said about the peer's AS.
    if capabilities.iter().any(|capability| {
        matches!(capability, Capability::Unknown { code, .. } if *code == capability::FOUR_OCTET_AS)
    }) {
        return Err(Error::Open);
    }
    Ok(capabilities)
}
