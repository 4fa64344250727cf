//! The key: from MetalLB's secret to sealed and opened messages.
//!
//! AES-128-GCM, a nonce of 12 bytes chosen at random by the caller for each message, a tag of 16 bytes:
//!
//! ```text
//! version (u8) | nonce (12) | ciphertext | tag (16)
//! ```
//!
//! Version 1 encrypts the message as it is; version 0, of nodes that speak protocol 1, pads it to 16 bytes first
//! (PKCS #7). We seal version 1 and open both, as Go does. On streams the additional data are the five bytes of the frame's
//! header, in datagrams there are none.
//!
//! Upstream: MetalLB 0.12 computes `sha256.New().Sum(secret)[:16]`, which does not hash the secret: it appends the digest of
//! nothing to it. So the key is the secret's first 16 bytes, and a shorter secret is filled up with that digest.

use std::fmt;
use std::sync::Arc;

use ring::aead::{AES_128_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use super::wire::Dropped;

#[cfg(test)]
mod tests;

/// SHA-256 of nothing (FIPS 180-4).
const DIGEST_OF_NOTHING: [u8; 32] = [
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24,
    0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
];

const KEY: usize = 16;
const TAG: usize = 16;
const BLOCK: usize = 16;

/// What sealing adds to a message, in bytes: version, nonce and tag.
pub const OVERHEAD: usize = 1 + NONCE_LEN + TAG;

/// The bytes that make a sealed message unique. Random: the same one twice with one key gives both messages away.
pub type NonceBytes = [u8; NONCE_LEN];

/// The one key that all speakers share. Cheap to clone.
#[derive(Clone)]
pub struct Keyring(Arc<LessSafeKey>);

impl fmt::Debug for Keyring {
    /// Says that there is a key, not which.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keyring(..)")
    }
}

impl Keyring {
    /// The key of a secret (`METALLB_ML_SECRET_KEY`, its bytes as they are: not decoded, not trimmed). `None` for an empty
    /// secret: no encryption.
    #[must_use]
    pub fn from_secret(secret: &[u8]) -> Option<Self> {
        if secret.is_empty() {
            return None;
        }
        let key: Vec<u8> = secret
            .iter()
            .chain(&DIGEST_OF_NOTHING)
            .copied()
            .take(KEY)
            .collect();
        let key = UnboundKey::new(&AES_128_GCM, &key).ok()?;
        Some(Self(Arc::new(LessSafeKey::new(key))))
    }

    /// Appends the sealed message (version 1) to `out`: [`OVERHEAD`] bytes more than `plain`.
    ///
    /// # Errors
    ///
    /// If `plain` is empty (Go crashes on that) or longer than AES-GCM can seal.
    pub fn seal(
        &self,
        nonce: NonceBytes,
        aad: &[u8],
        plain: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Unsealable> {
        if plain.is_empty() {
            return Err(Unsealable);
        }
        let mut sealed = plain.to_vec();
        self.0
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(aad),
                &mut sealed,
            )
            .map_err(|_| Unsealable)?;
        out.push(1);
        out.extend_from_slice(&nonce);
        out.extend_from_slice(&sealed);
        Ok(())
    }

    /// Opens a sealed message in place: afterwards `body` holds the plain message, which is not empty.
    ///
    /// # Errors
    ///
    /// [`Dropped::Undecryptable`] for whatever was not sealed with this key, or is of a version above 1;
    /// [`Dropped::Empty`] for a sealed nothing; [`Dropped::Malformed`] for wrong padding (version 0).
    pub fn open(&self, aad: &[u8], body: &mut Vec<u8>) -> Result<(), Dropped> {
        let (version, nonce) = match body.first_chunk::<{ 1 + NONCE_LEN }>() {
            Some([version @ 0..=1, nonce @ ..]) => (*version, *nonce),
            _ => return Err(Dropped::Undecryptable),
        };
        let plain = self
            .0
            .open_within(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(aad),
                body,
                1 + NONCE_LEN..,
            )
            .map_err(|_| Dropped::Undecryptable)?;
        let len = match version {
            0 => unpadded(plain).ok_or(Dropped::Malformed)?,
            _ => plain.len(),
        };
        body.truncate(len);
        if body.is_empty() {
            return Err(Dropped::Empty);
        }
        Ok(())
    }
}

/// The length without PKCS #7 padding (RFC 5652 §6.3): 1 to 16 bytes that all say how many they are.
///
/// Deviation: Go looks at the last byte alone, and crashes if it says more than there is.
fn unpadded(plain: &[u8]) -> Option<usize> {
    let pad = usize::from(*plain.last()?);
    let len = plain.len().checked_sub(pad)?;
    let sound = (1..=BLOCK).contains(&pad)
        && plain.len().is_multiple_of(BLOCK)
        && plain
            .get(len..)?
            .iter()
            .all(|byte| usize::from(*byte) == pad);
    sound.then_some(len)
}

/// The message was empty, or longer than AES-GCM can seal (64 GiB).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an empty message, or one too long for AES-GCM, cannot be sealed")]
pub struct Unsealable;
