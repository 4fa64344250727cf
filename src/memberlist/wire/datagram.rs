//! Datagrams: `encrypt?( crc?( compress?( one message, or a compound of messages ) ) )`.
//!
//! Nothing else is taken: no wrapper twice, none inside a compound. Honest nodes send no other form; Go unwraps without a
//! limit.

use std::borrow::Cow;

use super::body::{decode_compress, decode_message};
use super::compress::decompress;
use super::msgpack::Reader;
use super::{Dropped, Kind, Limits, Message};
use crate::memberlist::keyring::Keyring;

/// Most messages in one compound. Go up to memberlist 0.2.3 miscounts from 128 on, and may crash.
pub const MAX_PARTS: usize = 127;

/// Longest datagram that is looked at: Go's read buffer, and more than UDP carries.
pub const MAX_DATAGRAM: usize = 65_536;

/// What a datagram said.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Datagram {
    /// Its messages, in order; at most [`MAX_PARTS`].
    pub messages: Vec<Message>,
    /// Why parts of it were not taken; the others count none the less, as in Go.
    pub dropped: Vec<Dropped>,
}

/// Reads a datagram. With a keyring it must be encrypted, without one it must not be.
///
/// # Errors
///
/// Why all of it was dropped.
pub fn decode_datagram(
    bytes: &[u8],
    keyring: Option<&Keyring>,
    limits: &Limits,
) -> Result<Datagram, Dropped> {
    if bytes.is_empty() {
        return Err(Dropped::Empty);
    }
    if bytes.len() > MAX_DATAGRAM {
        return Err(Dropped::Limit);
    }
    let Some(keyring) = keyring else {
        return checked(bytes, limits);
    };
    let mut body = bytes.to_vec();
    keyring.open(&[], &mut body)?;
    checked(&body, limits)
}

/// A plain datagram: with or without checksum.
fn checked(bytes: &[u8], limits: &Limits) -> Result<Datagram, Dropped> {
    // Shorter ones go on as what they are: a type that may not be there.
    if let Some((header, rest)) = bytes.split_first_chunk::<5>()
        && header.first() == Some(&Kind::HasCrc.byte())
    {
        let [_, sum @ ..] = *header;
        if crc32fast::hash(rest) != u32::from_be_bytes(sum) {
            return Err(Dropped::Checksum);
        }
        if rest.is_empty() {
            return Err(Dropped::Empty);
        }
        return unpacked(rest, limits);
    }
    unpacked(bytes, limits)
}

/// Checked: compressed or not.
fn unpacked(bytes: &[u8], limits: &Limits) -> Result<Datagram, Dropped> {
    if bytes.first() != Some(&Kind::Compress.byte()) {
        return parts(bytes, limits);
    }
    let body = bytes.get(1..).unwrap_or_default();
    let lzw: Cow<'_, [u8]> = decode_compress(&mut Reader::new(body))?;
    let mut plain = Vec::new();
    decompress::<Dropped>(&lzw, limits.datagram, |piece| {
        plain.extend_from_slice(piece);
        Ok(())
    })?;
    drop(lzw);
    parts(&plain, limits)
}

/// Unpacked: one message, or several.
fn parts(bytes: &[u8], limits: &Limits) -> Result<Datagram, Dropped> {
    let mut datagram = Datagram::default();
    if bytes.first() != Some(&Kind::Compound.byte()) {
        datagram.messages.push(decode_message(bytes, limits)?);
        return Ok(datagram);
    }
    let (n, rest) = bytes
        .get(1..)
        .and_then(<[u8]>::split_first)
        .ok_or(Dropped::Truncated)?;
    let n = usize::from(*n);
    if n > MAX_PARTS {
        return Err(Dropped::Limit);
    }
    let (lengths, mut rest) = rest.split_at_checked(2 * n).ok_or(Dropped::Truncated)?;
    for length in lengths.chunks_exact(2) {
        let length = length
            .iter()
            .fold(0, |length, byte| length << 8 | usize::from(*byte));
        let Some((part, behind)) = rest.split_at_checked(length) else {
            datagram.dropped.push(Dropped::Truncated);
            break;
        };
        rest = behind;
        match decode_message(part, limits) {
            Ok(message) => datagram.messages.push(message),
            Err(dropped) => datagram.dropped.push(dropped),
        }
    }
    Ok(datagram)
}
