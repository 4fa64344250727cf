//! The header of every message: RFC 4271 §4.1, §6.1, and the lengths of RFC 8654.

use super::Error;
use super::reader::Reader;

/// Octets of the header: marker, length, type.
pub const HEADER: usize = 19;

/// The longest message. RFC 4271 §4.
pub const MAX_MESSAGE: usize = 4096;

/// The longest message where both sides agreed on more. RFC 8654 §4: not OPEN, not KEEPALIVE.
pub const MAX_EXTENDED_MESSAGE: usize = 65_535;

/// The marker: all ones.
const MARKER: [u8; 16] = [0xff; 16];

/// A KEEPALIVE: a header and nothing else.
pub const KEEPALIVE: [u8; HEADER] = [
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0, 19, 4,
];

/// Which message it is: the Type field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// OPEN.
    Open = 1,
    /// UPDATE.
    Update = 2,
    /// NOTIFICATION.
    Notification = 3,
    /// KEEPALIVE.
    Keepalive = 4,
    /// ROUTE-REFRESH (RFC 2918).
    RouteRefresh = 5,
}

impl Kind {
    /// From the Type field.
    #[must_use]
    pub const fn from_octet(octet: u8) -> Option<Self> {
        Some(match octet {
            1 => Self::Open,
            2 => Self::Update,
            3 => Self::Notification,
            4 => Self::Keepalive,
            5 => Self::RouteRefresh,
            _ => return None,
        })
    }

    /// The RFC's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "OPEN",
            Self::Update => "UPDATE",
            Self::Notification => "NOTIFICATION",
            Self::Keepalive => "KEEPALIVE",
            Self::RouteRefresh => "ROUTE-REFRESH",
        }
    }

    /// Which lengths the whole message may have.
    const fn lengths(self, extended: bool) -> std::ops::RangeInclusive<usize> {
        let longest = if extended {
            MAX_EXTENDED_MESSAGE
        } else {
            MAX_MESSAGE
        };
        match self {
            Self::Open => 29..=MAX_MESSAGE,
            Self::Update => 23..=longest,
            Self::Notification => 21..=longest,
            Self::Keepalive => HEADER..=HEADER,
            // Its own length is checked where it is read: RFC 7313 §5 has a NOTIFICATION for it.
            Self::RouteRefresh => HEADER..=longest,
        }
    }
}

/// How many octets the first message in `buffer` has, header included; `None`: more octets are needed to tell, or for all of
/// it to be there. `extended`: RFC 8654 was agreed on.
///
/// What cannot become a message is refused at the first octet that shows it: a buffer of [`MAX_MESSAGE`] octets, or
/// [`MAX_EXTENDED_MESSAGE`], is always enough.
///
/// # Errors
///
/// RFC 4271 §6.1: marker, length, type.
pub fn frame(buffer: &[u8], extended: bool) -> Result<Option<usize>, Error> {
    // RFC 4271 §6.1: the marker not as expected: Connection Not Synchronized.
    if buffer
        .iter()
        .zip(&MARKER)
        .any(|(octet, marker)| octet != marker)
    {
        return Err(Error::Marker);
    }
    let mut header = Reader::new(buffer.get(MARKER.len()..).unwrap_or_default());
    let (Some(length), Some(octet)) = (header.u16(), header.u8()) else {
        return Ok(None);
    };
    let whole = usize::from(length);
    // RFC 4271 §6.1: less than 19 or more than 4096 (RFC 8654: 65,535) octets: Bad Message Length.
    if whole < HEADER || (!extended && whole > MAX_MESSAGE) {
        return Err(Error::Length(length));
    }
    let kind = Kind::from_octet(octet).ok_or(Error::Kind(octet))?;
    // RFC 4271 §6.1: less than the message's minimum; a KEEPALIVE that is not 19. RFC 8654 §4: OPEN and KEEPALIVE stay as they
    // were.
    if !kind.lengths(extended).contains(&whole) {
        return Err(Error::Length(length));
    }
    Ok((buffer.len() >= whole).then_some(whole))
}

/// What is behind the header of one whole message.
pub(super) fn body(message: &[u8], extended: bool) -> Result<(Kind, &[u8]), Error> {
    let length = || u16::try_from(message.len()).unwrap_or(u16::MAX);
    if frame(message, extended)? != Some(message.len()) {
        return Err(Error::Length(length()));
    }
    let (Some(octet), Some(body)) = (message.get(HEADER - 1), message.get(HEADER..)) else {
        return Err(Error::Length(length()));
    };
    let kind = Kind::from_octet(*octet).ok_or(Error::Kind(*octet))?;
    Ok((kind, body))
}

/// Appends a message: the header, and what `write` puts behind it. The writer keeps within the session's length.
pub(super) fn message(out: &mut Vec<u8>, kind: Kind, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&MARKER);
    out.extend_from_slice(&[0, 0, kind as u8]);
    write(out);
    let length = u16::try_from(out.len() - start).unwrap_or(u16::MAX);
    if let Some(place) = out
        .get_mut(start + MARKER.len()..)
        .and_then(<[u8]>::first_chunk_mut)
    {
        *place = length.to_be_bytes();
    }
}
