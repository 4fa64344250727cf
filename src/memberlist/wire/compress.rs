//! Compressed messages: LZW as in GIF, least significant bit first, 8-bit literals, codes of 9 to 12 bits.
//!
//! Go up to 1.17 (the published 0.12.1 speakers) starts with a literal, later ones with a clear code; both are read. The
//! end code is required, what follows it is ignored. We write the later form.

use std::collections::HashMap;

use weezl::{BitOrder, LzwStatus, decode};

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

/// Compresses, byte for byte as Go 1.18 and later do. (weezl's encoder differs from Go's once its table is full.)
pub(super) fn compress(plain: &[u8]) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.code(CLEAR);
    let mut prefix = None;
    for byte in plain {
        let Some(code) = prefix else {
            prefix = Some(u16::from(*byte));
            continue;
        };
        let longer = u32::from(code) << 8 | u32::from(*byte);
        prefix = match writer.table.get(&longer) {
            Some(known) => Some(*known),
            None => {
                writer.code(code);
                if writer.next() {
                    writer.table.insert(longer, writer.last);
                }
                Some(u16::from(*byte))
            }
        };
    }
    if let Some(code) = prefix {
        writer.code(code);
        writer.next();
    }
    writer.code(END);
    writer.flush()
}

/// Codes below stand for one byte each.
const CLEAR: u16 = 256;
const END: u16 = 257;
/// Go forgets its table instead of giving a string this code, the last of 12 bits.
const FULL: u16 = 4095;
const FIRST_WIDTH: u32 = 9;

/// The strings seen, and the bits written.
struct Writer {
    out: Vec<u8>,
    /// Bits not yet written, the oldest lowest, and how many.
    bits: u32,
    pending: u32,
    /// Bits of a code.
    width: u32,
    /// Code of the string that was added last.
    last: u16,
    /// Code and byte to the code of both together.
    table: HashMap<u32, u16>,
}

impl Writer {
    fn new() -> Self {
        Self {
            out: Vec::new(),
            bits: 0,
            pending: 0,
            width: FIRST_WIDTH,
            last: END,
            table: HashMap::new(),
        }
    }

    fn code(&mut self, code: u16) {
        self.bits |= u32::from(code) << self.pending;
        self.pending += self.width;
        while self.pending >= 8 {
            let [byte, ..] = self.bits.to_le_bytes();
            self.out.push(byte);
            self.bits >>= 8;
            self.pending -= 8;
        }
    }

    /// Counts the string that the next code is for. `false`: the table was full and is empty now.
    fn next(&mut self) -> bool {
        self.last += 1;
        if u32::from(self.last) == 1 << self.width {
            self.width += 1;
        }
        if self.last < FULL {
            return true;
        }
        self.code(CLEAR);
        self.width = FIRST_WIDTH;
        self.last = END;
        self.table.clear();
        false
    }

    fn flush(mut self) -> Vec<u8> {
        if self.pending > 0 {
            let [byte, ..] = self.bits.to_le_bytes();
            self.out.push(byte);
        }
        self.out
    }
}
