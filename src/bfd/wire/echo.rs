//! Our echo packets. RFC 5880 §6.4: their payload is a local matter, since only the sender reads them; it must be enough to
//! find the session.
//!
//! ```text
//!  0       4       8              16                               48
//!  | FLBE  | disc. | sequence     | HMAC-SHA-256 of what is before   |
//! ```
//!
//! The lowest bit of the sequence says which [`Way`] it went. Without the key nobody can make an echo that never left: RFC 5880
//! §9 asks for as much where strangers may reach the port. A copy of an old one is the session's to notice.

use std::fmt;
use std::num::NonZeroU32;

use ring::hmac;

use super::Error;

/// Octets of an echo packet.
pub const ECHO: usize = SAID + TAG;

const SAID: usize = 16;
const TAG: usize = 32;
const MAGIC: [u8; 4] = *b"FLBE";

/// How an echo goes to the peer and back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Way {
    /// To our own address by way of the peer, whose forwarding plane sends it back (RFC 5881 §4).
    Forwarded,
    /// To the peer's address, whose program sends it back (Upstream: what FRR's bfdd does: for IPv6, and for IPv4 before 8.2).
    Returned,
}

/// What only this process knows: tells its own echoes from others'.
#[derive(Clone)]
pub struct EchoKey(hmac::Key);

impl EchoKey {
    /// A key of 32 random octets.
    #[must_use]
    pub fn new(secret: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }
}

impl fmt::Debug for EchoKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EchoKey")
    }
}

/// An echo packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Echo {
    /// Our name for the session.
    pub my_discriminator: NonZeroU32,
    /// Its place among the session's echoes: below 2⁶³.
    pub sequence: u64,
    /// How it was sent.
    pub way: Way,
}

impl Echo {
    /// Reads the payload of a UDP datagram that came back.
    ///
    /// # Errors
    /// [`Error::NotOurEcho`].
    pub fn decode(payload: &[u8], key: &EchoKey) -> Result<Self, Error> {
        let (packet, []) = payload
            .split_first_chunk::<ECHO>()
            .ok_or(Error::NotOurEcho)?
        else {
            return Err(Error::NotOurEcho);
        };
        let (said, tag) = packet
            .split_first_chunk::<SAID>()
            .ok_or(Error::NotOurEcho)?;
        let [
            m0,
            m1,
            m2,
            m3,
            d0,
            d1,
            d2,
            d3,
            s0,
            s1,
            s2,
            s3,
            s4,
            s5,
            s6,
            s7,
        ] = *said;
        if [m0, m1, m2, m3] != MAGIC {
            return Err(Error::NotOurEcho);
        }
        hmac::verify(&key.0, said, tag).map_err(|_| Error::NotOurEcho)?;
        let number = u64::from_be_bytes([s0, s1, s2, s3, s4, s5, s6, s7]);
        Ok(Self {
            my_discriminator: NonZeroU32::new(u32::from_be_bytes([d0, d1, d2, d3]))
                .ok_or(Error::NotOurEcho)?,
            sequence: number >> 1,
            way: if number & 1 == 0 {
                Way::Forwarded
            } else {
                Way::Returned
            },
        })
    }

    /// The payload of a UDP datagram.
    #[must_use]
    pub fn encode(&self, key: &EchoKey) -> [u8; ECHO] {
        let way = match self.way {
            Way::Forwarded => 0,
            Way::Returned => 1,
        };
        let mut said = [0; SAID];
        fill(
            &mut said,
            MAGIC
                .into_iter()
                .chain(self.my_discriminator.get().to_be_bytes())
                .chain((self.sequence << 1 | way).to_be_bytes()),
        );
        let tag = hmac::sign(&key.0, &said);
        let mut packet = [0; ECHO];
        fill(
            &mut packet,
            said.into_iter().chain(tag.as_ref().iter().copied()),
        );
        packet
    }
}

fn fill(place: &mut [u8], octets: impl Iterator<Item = u8>) {
    for (place, octet) in place.iter_mut().zip(octets) {
        *place = octet;
    }
}
