//! What speakers of our own kind say to each other, and how they tell that they are of it.
//!
//! A FerroLB speaker's metadata is `ferrolb/1`, followed by words for what it takes part in: `ferrolb/1 fast`. A Go node keeps
//! the metadata of others and passes it on untouched; MetalLB's own is empty. So all members know who is of our kind, and a Go
//! node that takes a name over (a downgrade) is known for what it is with its first claim.
//!
//! The messages travel as memberlist's user data, in datagrams to the gossip's port, wrapped and sealed as all others:
//!
//! ```text
//! "FLB" | version 1 | kind (u8) | body
//! 1 question   nonce (u64) | incarnation (u32) | name: length (u8), bytes
//! 2 answer     nonce (u64) | heard (u8: 0 or 1)
//! 3 stations   count (u8)  | count Ethernet addresses of 6 bytes
//! ```
//!
//! Sent only to members of our kind. Should one reach a Go node all the same (a downgrade a moment ago), it is user data for
//! which MetalLB has no delegate: Go drops it without a word. What is longer than its body is taken, and the rest ignored, so
//! that later versions can add to it; another version or kind is ignored.

use pnet_base::MacAddr;

use super::Name;
use super::message::MAX_META;

#[cfg(test)]
mod tests;

/// How the metadata of our kind begins.
const BADGE: &str = "ferrolb/1";

/// The word for [`Abilities::fast`].
const FAST: &str = "fast";

/// How a message of our kind begins.
const MAGIC: &[u8; 4] = b"FLB\x01";

/// Most stations that one member tells: what a node has in network cards, many times over. The rest is left out.
pub const MAX_STATIONS: usize = 64;

/// What a member of our kind says of itself in its metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Abilities {
    /// It watches others by heartbeats, and is to be watched.
    pub fast: bool,
}

impl Abilities {
    /// The metadata that says so.
    #[must_use]
    pub fn to_meta(self) -> Vec<u8> {
        let mut meta = BADGE.to_owned();
        if self.fast {
            meta.push(' ');
            meta.push_str(FAST);
        }
        meta.into_bytes()
    }

    /// What metadata say; `None`: it is not of our kind. Unknown words are passed over.
    #[must_use]
    pub fn from_meta(meta: &[u8]) -> Option<Self> {
        if meta.len() > MAX_META {
            return None;
        }
        let mut words = std::str::from_utf8(meta).ok()?.split(' ');
        if words.next() != Some(BADGE) {
            return None;
        }
        Some(Self {
            fast: words.any(|word| word == FAST),
        })
    }
}

/// One message between speakers of our kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kin {
    /// I do not hear `name`: do you? Answered by [`Kin::Answer`] with the same nonce, after asking it.
    Question {
        /// Random, so that no answer to another question fits.
        nonce: u64,
        /// The incarnation that is not heard.
        incarnation: u32,
        /// Whom.
        name: Name,
    },
    /// Whether the one in question answered.
    Answer {
        /// The question's.
        nonce: u64,
        /// It answered.
        heard: bool,
    },
    /// The Ethernet addresses from which this node announces; all of them, at most [`MAX_STATIONS`].
    Stations(Vec<MacAddr>),
}

impl Kin {
    /// The user data that carry it; never empty.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(32);
        out.extend_from_slice(MAGIC);
        match self {
            Self::Question {
                nonce,
                incarnation,
                name,
            } => {
                out.push(1);
                out.extend_from_slice(&nonce.to_be_bytes());
                out.extend_from_slice(&incarnation.to_be_bytes());
                // A name has at most 253 bytes.
                out.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
                out.extend_from_slice(name.as_bytes());
            }
            Self::Answer { nonce, heard } => {
                out.push(2);
                out.extend_from_slice(&nonce.to_be_bytes());
                out.push(u8::from(*heard));
            }
            Self::Stations(stations) => {
                out.push(3);
                let told = stations.get(..MAX_STATIONS).unwrap_or(stations);
                out.push(u8::try_from(told.len()).unwrap_or(u8::MAX));
                for station in told {
                    out.extend_from_slice(&station.octets());
                }
            }
        }
        out
    }

    /// Reads user data; `None`: nothing of ours, or not of this version.
    #[must_use]
    pub fn decode(data: &[u8]) -> Option<Self> {
        let (kind, body) = data.strip_prefix(MAGIC)?.split_first()?;
        match kind {
            1 => {
                let (nonce, body) = body.split_first_chunk()?;
                let (incarnation, body) = body.split_first_chunk()?;
                let (length, body) = body.split_first()?;
                Some(Self::Question {
                    nonce: u64::from_be_bytes(*nonce),
                    incarnation: u32::from_be_bytes(*incarnation),
                    name: Name::from_bytes(body.get(..usize::from(*length))?)?,
                })
            }
            2 => {
                let (nonce, body) = body.split_first_chunk()?;
                let heard = match body.first()? {
                    0 => false,
                    1 => true,
                    _ => return None,
                };
                Some(Self::Answer {
                    nonce: u64::from_be_bytes(*nonce),
                    heard,
                })
            }
            3 => {
                let (count, body) = body.split_first()?;
                let count = usize::from(*count);
                if count > MAX_STATIONS {
                    return None;
                }
                let (stations, _) = body.get(..count * 6)?.as_chunks::<6>();
                Some(Self::Stations(
                    stations.iter().map(|mac| MacAddr::from(*mac)).collect(),
                ))
            }
            _ => None,
        }
    }
}
