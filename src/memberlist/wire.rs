//! Memberlist's bytes: messages, and the wrappers around them. No time, no state, no randomness (nonces come from the
//! caller).
//!
//! A message is a type byte and a msgpack map whose keys are Go's field names. Big-endian, except msgpack's own.
//!
//! | no. | message | datagram | stream | body |
//! | --- | --- | --- | --- | --- |
//! | 0 | [`Ping`] | yes | yes | map |
//! | 1 | [`IndirectPing`] | yes | | map |
//! | 2 | [`Ack`] | yes | yes | map |
//! | 3 | [`Suspect`] | yes | | map |
//! | 4 | [`Alive`] | yes | | map |
//! | 5 | [`Dead`] (or left) | yes | | map |
//! | 6 | [`PushPull`] | | yes | map, a map for each record, user state |
//! | 7 | compound | yes | | count (u8), length (u16) of each message, the messages |
//! | 8 | user data | yes | yes | datagram: bytes; stream: map, bytes |
//! | 9 | compressed | yes | yes | map with LZW |
//! | 10 | encrypted | (no type byte) | yes | length (u32), see [`keyring`](super::keyring) |
//! | 11 | [`Nack`] | yes | | map |
//! | 12 | checksum | outermost | | CRC-32 (u32), the rest |
//! | 13 | error text | | yes | map |
//!
//! Sent: datagrams as message(s) → compound → compressed if shorter → checksum if the receiver knows it → encrypted;
//! streams as message → compressed → encrypted. What is sent is byte for byte what memberlist 0.1.7 sends; compressed, as if
//! built with Go 1.18 or later (a leading clear code, which all read).
//!
//! Taken is whatever Go takes from honest peers, in forms old and new (the list is in `msgpack.rs`). Not copied from Go:
//!
//! * empty messages, version vectors that are not six bytes, negative counts and wrong padding crash it; here they are
//!   [`Dropped`], and [`Encoder`] and the message types cannot produce them;
//! * 128 and more parts of a compound are misread by it; here they are refused, and never sent;
//! * it has no limits for decompression, nesting, declared lengths, names, metadata, records; here [`Limits`] has;
//! * it takes addresses that are none (0.0.0.0, multicast) and names of any bytes;
//! * where to answer is the packet's source, never the `Source*` fields of later versions.

use std::fmt;

mod body;

mod compress;

mod datagram;

mod encoder;

pub mod kin;

pub mod message;

mod msgpack;

mod stream;

#[cfg(test)]
mod tests;

pub use body::encode_message;
pub use datagram::{Datagram, MAX_DATAGRAM, MAX_PARTS, decode_datagram};
pub use encoder::{EncodeError, Encoder, compound};
pub use message::{
    Ack, Alive, Dead, IndirectPing, Kind, MAX_META, MAX_NAME, MAX_OWN_INCARNATION, Message, Nack,
    Name, NodeState, Ping, PushPull, State, Suspect, Versions,
};
pub use stream::{StreamDecoder, StreamFault};

/// How much a peer may cost. The defaults are far above what honest peers send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest datagram after decompression, in bytes. Honest: below 1.5 KiB.
    pub datagram: usize,
    /// Longest stream message as it is on the wire, in bytes (Go: 20 MiB encrypted, else none). Honest: 5,000 members with
    /// names of 40 bytes are 600 KiB, compressed a third of that.
    pub stream: usize,
    /// Longest stream message after decompression, in bytes (Go: none).
    pub stream_plain: usize,
    /// Most records in one push/pull, and so most members.
    pub members: usize,
    /// Most bytes of user data on a stream; read and dropped.
    pub user: usize,
    /// Whether members may have loopback addresses: in tests only.
    pub loopback: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            datagram: 64 << 10,
            stream: 1 << 20,
            stream_plain: 8 << 20,
            members: 10_000,
            user: 64 << 10,
            loopback: false,
        }
    }
}

/// Why a datagram, or one part of it, or a stream's message was not taken. Small, for counting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dropped {
    /// Nothing at all, at some layer. Go crashes on these: never sent.
    Empty,
    /// It ends early.
    Truncated,
    /// No memberlist message has this type, or not at this place (a wrapper in a wrapper, a stream's message in a
    /// datagram).
    Kind,
    /// Not the msgpack of this message.
    Malformed,
    /// Longer, deeper or more than [`Limits`] allow.
    Limit,
    /// A name that no Kubernetes node can have.
    Name,
    /// An address that is not 4 or 16 bytes, or no unicast address.
    Address,
    /// A version vector that would break Go peers.
    Versions,
    /// More metadata than memberlist sends.
    Meta,
    /// Checksum mismatch.
    Checksum,
    /// A compression other than LZW, or broken LZW.
    Compression,
    /// Encrypted with another key, altered on the way, or not encrypted although we have a key.
    Undecryptable,
    /// A stream is encrypted, but we have no key.
    NoKey,
    /// A stream is plain, but we have a key.
    Plaintext,
}

impl Dropped {
    /// All of them, in the order of their declaration.
    pub const ALL: [Self; 14] = [
        Self::Empty,
        Self::Truncated,
        Self::Kind,
        Self::Malformed,
        Self::Limit,
        Self::Name,
        Self::Address,
        Self::Versions,
        Self::Meta,
        Self::Checksum,
        Self::Compression,
        Self::Undecryptable,
        Self::NoKey,
        Self::Plaintext,
    ];

    /// A word for metric labels and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Truncated => "truncated",
            Self::Kind => "kind",
            Self::Malformed => "malformed",
            Self::Limit => "limit",
            Self::Name => "name",
            Self::Address => "address",
            Self::Versions => "versions",
            Self::Meta => "meta",
            Self::Checksum => "checksum",
            Self::Compression => "compression",
            Self::Undecryptable => "undecryptable",
            Self::NoKey => "no_key",
            Self::Plaintext => "plaintext",
        }
    }
}

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::error::Error for Dropped {}
