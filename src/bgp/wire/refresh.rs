//! ROUTE-REFRESH: RFC 2918, RFC 7313.

use super::header::{HEADER, Kind, message};
use super::reader::Reader;
use super::{Context, Error, Family};

/// A ROUTE-REFRESH message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RouteRefresh {
    /// Of which routes.
    pub family: Family,
    /// What about them; see the constants. RFC 2918: reserved, 0.
    pub subtype: u8,
}

impl RouteRefresh {
    /// A request for routes.
    pub const REQUEST: u8 = 0;

    /// BoRR: the routes come (RFC 7313 §3.2).
    pub const BEGIN: u8 = 1;

    /// EoRR: the routes have come.
    pub const END: u8 = 2;

    /// Whether the peer asks for our routes. RFC 2918 §3: without RFC 7313 the subtype is reserved and ignored. RFC 7313 §5:
    /// unknown subtypes are ignored.
    #[must_use]
    pub const fn is_request(&self, context: &Context) -> bool {
        !context.enhanced_refresh || self.subtype == Self::REQUEST
    }

    /// Reads what is behind the header.
    ///
    /// # Errors
    ///
    /// Another length than four octets.
    pub fn decode(body: &[u8], context: &Context) -> Result<Self, Error> {
        let mut reader = Reader::new(body);
        if let (Some(afi), Some(subtype), Some(safi), true) =
            (reader.u16(), reader.u8(), reader.u8(), reader.is_empty())
        {
            let family = Family { afi, safi };
            return Ok(Self { family, subtype });
        }
        // RFC 7313 §5 has an error of its own, between those that have agreed on it.
        Err(if context.enhanced_refresh {
            Error::RefreshLength
        } else {
            Error::Length(u16::try_from(HEADER + body.len()).unwrap_or(u16::MAX))
        })
    }

    /// Appends the message.
    pub fn encode(&self, out: &mut Vec<u8>) {
        message(out, Kind::RouteRefresh, |out| {
            out.extend_from_slice(&self.family.afi.to_be_bytes());
            out.extend_from_slice(&[self.subtype, self.family.safi]);
        });
    }
}
