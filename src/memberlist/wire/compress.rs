//! Compressed messages: LZW as in GIF, least significant bit first, 8-bit literals, codes of 9 to 12 bits.
//!
//! Go up to 1.17 (the published 0.12.1 speakers) starts with a literal, later ones with a clear code; both are read. The
//! end code is required, what follows it is ignored. We write the later form.

use weezl::{BitOrder, LzwStatus, decode, encode};

use super::Dropped;

/// How many compressed bytes are decoded before the output is looked at again.
const STEP: usize = 4 << 10;

/// Decompresses, handing out pieces as they come: at most `max` bytes in all, of which never more than 16 KiB are held here.
///
/// Deviation: Go has no limit (a datagram of 64 KiB becomes 161 MB), and takes streams that are mostly clear codes. A
/// byte never takes more than 12 bits honestly: what spends more than 2 bytes for one is broken.
pub(super) fn decompress<E: From<Dropped>>(
    lzw: &[u8],
    max: usize,
    mut piece: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let mut decoder = decode::Decoder::new(BitOrder::Lsb, 8);
    let mut window = vec![0; 4 * STEP];
    let (mut rest, mut read, mut written) = (lzw, 0_usize, 0_usize);
    loop {
        let step = rest.get(..STEP).unwrap_or(rest);
        let result = decoder.decode_bytes(step, &mut window);
        read += result.consumed_in;
        written += result.consumed_out;
        if written > max {
            return Err(Dropped::Limit.into());
        }
        if let Some(output) = window.get(..result.consumed_out)
            && !output.is_empty()
        {
            piece(output)?;
        }
        rest = rest.get(result.consumed_in..).unwrap_or_default();
        match result.status {
            Ok(LzwStatus::Done) => return Ok(()),
            Ok(LzwStatus::Ok) if result.consumed_in + result.consumed_out > 0 => {}
            Ok(LzwStatus::Ok | LzwStatus::NoProgress) | Err(_) => {
                return Err(Dropped::Compression.into());
            }
        }
        if read > 2 * written + STEP {
            return Err(Dropped::Compression.into());
        }
    }
}

/// Compresses.
pub(super) fn compress(plain: &[u8]) -> Option<Vec<u8>> {
    encode::Encoder::new(BitOrder::Lsb, 8).encode(plain).ok()
}
