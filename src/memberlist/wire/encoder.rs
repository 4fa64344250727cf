//! From messages to what is sent: compound, compression, checksum, encryption, stream frames.

use std::borrow::Cow;

use super::body::{encode_compress, encode_message, encode_user_stream};
use super::compress::compress;
use super::datagram::MAX_PARTS;
use super::{Kind, Message};
use crate::memberlist::keyring::{Keyring, NonceBytes, OVERHEAD};

/// Longest UDP payload over IPv4.
const MAX_PAYLOAD: usize = 65_507;

/// Longest encrypted stream message that Go reads.
const MAX_STREAM: usize = 20 << 20;

/// Why something cannot be sent: whatever would harm a Go peer, or what it would not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum EncodeError {
    /// Go crashes on empty messages.
    #[error("nothing to send: an empty message would crash Go peers")]
    Empty,
    /// More than 127 messages for one datagram.
    #[error("more than 127 messages for one datagram, which Go peers would misread")]
    TooManyParts,
    /// Longer than a datagram, or than the 20 MiB that Go reads from a stream.
    #[error("longer than a peer would read")]
    TooLong,
    /// Gossip is not for streams.
    #[error("not a message for streams")]
    Kind,
}

/// How what we send is wrapped: as all members of the cluster are set up.
#[derive(Debug, Clone, Default)]
pub struct Encoder {
    /// Seals everything, if there is one.
    pub keyring: Option<Keyring>,
    /// Compress: datagrams if that makes them shorter, streams always (Go's way). Peers read both.
    pub compress: bool,
}

impl Encoder {
    /// A datagram of one or more encoded messages (see [`encode_message`]). `crc` adds a checksum, which receivers must
    /// understand (protocol version ≥ 5); leaving it out is always right. `nonce` must be random; it is not used without
    /// a keyring.
    ///
    /// # Errors
    ///
    /// If there is no message, an empty one, too many, or too much.
    pub fn datagram<P: AsRef<[u8]>>(
        &self,
        parts: &[P],
        crc: bool,
        nonce: NonceBytes,
    ) -> Result<Vec<u8>, EncodeError> {
        let mut plain = match parts {
            [one] => one.as_ref().to_vec(),
            several => compound(several)?,
        };
        if plain.is_empty() {
            return Err(EncodeError::Empty);
        }
        if self.compress {
            let compressed = compressed(&plain);
            if compressed.len() < plain.len() {
                plain = compressed;
            }
        }
        if crc {
            let sum = crc32fast::hash(&plain).to_be_bytes();
            plain.splice(0..0, std::iter::once(Kind::HasCrc.byte()).chain(sum));
        }
        let datagram = match &self.keyring {
            Some(keyring) => {
                let mut sealed = Vec::with_capacity(OVERHEAD + plain.len());
                keyring
                    .seal(nonce, &[], &plain, &mut sealed)
                    .map_err(|_| EncodeError::Empty)?;
                sealed
            }
            None => plain,
        };
        if datagram.len() > MAX_PAYLOAD {
            return Err(EncodeError::TooLong);
        }
        Ok(datagram)
    }

    /// A whole stream message, frame included. `nonce` as in [`Encoder::datagram`].
    ///
    /// # Errors
    ///
    /// If the message is none for streams, or longer than Go reads.
    pub fn stream(&self, message: &Message, nonce: NonceBytes) -> Result<Vec<u8>, EncodeError> {
        let mut plain = Vec::new();
        match message {
            Message::Ping(_) | Message::Ack(_) | Message::PushPull(_) | Message::Err(_) => {
                encode_message(message, &mut plain);
            }
            Message::User(data) => encode_user_stream(data, &mut plain),
            Message::IndirectPing(_)
            | Message::Suspect(_)
            | Message::Alive(_)
            | Message::Dead(_)
            | Message::Nack(_) => return Err(EncodeError::Kind),
        }
        self.frame(&plain, nonce)
    }

    /// As [`Encoder::stream`], for a message that is encoded already.
    ///
    /// # Errors
    ///
    /// If it is empty, or longer than Go reads.
    pub fn frame(&self, message: &[u8], nonce: NonceBytes) -> Result<Vec<u8>, EncodeError> {
        if message.is_empty() {
            return Err(EncodeError::Empty);
        }
        let plain = if self.compress {
            Cow::Owned(compressed(message))
        } else {
            Cow::Borrowed(message)
        };
        let length = OVERHEAD + plain.len();
        if length > MAX_STREAM {
            return Err(EncodeError::TooLong);
        }
        let Some(keyring) = &self.keyring else {
            return Ok(plain.into_owned());
        };
        let [b3, b2, b1, b0] = u32::try_from(length)
            .map_err(|_| EncodeError::TooLong)?
            .to_be_bytes();
        let header = [Kind::Encrypt.byte(), b3, b2, b1, b0];
        let mut frame = header.to_vec();
        keyring
            .seal(nonce, &header, &plain, &mut frame)
            .map_err(|_| EncodeError::Empty)?;
        Ok(frame)
    }
}

/// Several encoded messages as one: count, lengths, messages.
///
/// # Errors
///
/// If there is none or an empty one, more than [`MAX_PARTS`], or one of 64 KiB or more.
pub fn compound<P: AsRef<[u8]>>(parts: &[P]) -> Result<Vec<u8>, EncodeError> {
    if parts.is_empty() {
        return Err(EncodeError::Empty);
    }
    let n = u8::try_from(parts.len())
        .ok()
        .filter(|n| usize::from(*n) <= MAX_PARTS)
        .ok_or(EncodeError::TooManyParts)?;
    let mut out = vec![Kind::Compound.byte(), n];
    for part in parts {
        let length = part.as_ref().len();
        if length == 0 {
            return Err(EncodeError::Empty);
        }
        let length = u16::try_from(length).map_err(|_| EncodeError::TooLong)?;
        out.extend_from_slice(&length.to_be_bytes());
    }
    for part in parts {
        out.extend_from_slice(part.as_ref());
    }
    Ok(out)
}

/// The compressed form, type byte included.
fn compressed(plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    encode_compress(&compress(plain), &mut out);
    out
}
