//! The msgpack dialect of go-msgpack 0.5.3: written as Go writes it, read as tolerantly as Go reads it, but bounded.
//!
//! Structs are maps of all fields, keys sorted by bytes. Strings and byte fields share one raw form (`a0`..`bf`, `da`,
//! `db`; never `d9` or bin). Integers take the fewest bytes whatever their type. A nil slice is `c0`.
//!
//! Read, as Go does: keys in any order, missing (zero value), unknown (skipped) or twice (the last wins); the struct as
//! an array in the order of Go's declaration, shorter or longer; nil for anything; any integer form whose value fits;
//! booleans as 0 and 1; str8 for keys and strings; bin and arrays of small integers for byte fields.
//!
//! Deviation: a struct has at most [`MAX_FIELDS`] fields; what is skipped nests at most [`MAX_DEPTH`] deep; skipped values and
//! arrays for byte fields have at most [`MAX_ITEMS`] items in all, so that looking again when more bytes have come stays
//! cheap; nothing is allocated for a length that is only declared; negative integers are no lengths (go-msgpack reads
//! `e0`..`ff` as string lengths by accident).

use std::borrow::Cow;

use super::Dropped;

/// Most fields of one struct; honest ones have at most 8.
pub(super) const MAX_FIELDS: u64 = 32;

/// How deep a value that is skipped may nest.
pub(super) const MAX_DEPTH: u8 = 4;

/// How many skipped values and array items one reader takes.
pub(super) const MAX_ITEMS: u64 = 1024;

/// Why reading stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The input is too short: with fewer than this many bytes, from the reader's start, it is useless to try again.
    Need(usize),
    /// It will never be read.
    Dropped(Dropped),
}

impl From<Dropped> for Fault {
    fn from(dropped: Dropped) -> Self {
        Self::Dropped(dropped)
    }
}

impl From<Fault> for Dropped {
    /// For input that is all there is.
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Need(_) => Self::Truncated,
            Fault::Dropped(dropped) => dropped,
        }
    }
}

const MALFORMED: Fault = Fault::Dropped(Dropped::Malformed);

/// Reads values off the front of a slice.
#[derive(Debug, Clone)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    used: usize,
    /// Skipped values and array items so far.
    items: u64,
}

/// How a struct is written.
enum Shape {
    Nil,
    Map(u64),
    Array(u64),
}

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self {
            rest: bytes,
            used: 0,
            items: 0,
        }
    }

    /// What was not read.
    pub(super) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    fn take(&mut self, n: usize) -> Result<&'a [u8], Fault> {
        let (taken, rest) = self
            .rest
            .split_at_checked(n)
            .ok_or(Fault::Need(self.used.saturating_add(n)))?;
        self.rest = rest;
        self.used += n;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, Fault> {
        self.take(1)?.first().copied().ok_or(MALFORMED)
    }

    /// The next byte, if it is there, without reading it.
    fn peek(&self) -> Result<u8, Fault> {
        self.rest
            .first()
            .copied()
            .ok_or(Fault::Need(self.used.saturating_add(1)))
    }

    /// A big-endian number of `n` ≤ 8 bytes.
    fn number(&mut self, n: usize) -> Result<u64, Fault> {
        Ok(self
            .take(n)?
            .iter()
            .fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn take_declared(&mut self, n: u64) -> Result<&'a [u8], Fault> {
        self.take(usize::try_from(n).map_err(|_| Dropped::Limit)?)
    }

    /// Reads `c0` if that comes next.
    fn nil(&mut self) -> Result<bool, Fault> {
        let nil = self.peek()? == 0xc0;
        if nil {
            self.byte()?;
        }
        Ok(nil)
    }

    /// An integer in any form, at most `max`; nil is 0.
    pub(super) fn uint(&mut self, max: u64) -> Result<u64, Fault> {
        let signed = |number: u64, sign: u64| (number < sign).then_some(number).ok_or(MALFORMED);
        let number = match self.byte()? {
            fix @ 0x00..=0x7f => u64::from(fix),
            0xc0 => 0,
            0xcc => self.number(1)?,
            0xcd => self.number(2)?,
            0xce => self.number(4)?,
            0xcf => self.number(8)?,
            0xd0 => signed(self.number(1)?, 1 << 7)?,
            0xd1 => signed(self.number(2)?, 1 << 15)?,
            0xd2 => signed(self.number(4)?, 1 << 31)?,
            0xd3 => signed(self.number(8)?, 1 << 63)?,
            _ => return Err(MALFORMED),
        };
        (number <= max).then_some(number).ok_or(MALFORMED)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Fault> {
        u32::try_from(self.uint(u64::from(u32::MAX))?).map_err(|_| MALFORMED)
    }

    pub(super) fn u16(&mut self) -> Result<u16, Fault> {
        u16::try_from(self.uint(u64::from(u16::MAX))?).map_err(|_| MALFORMED)
    }

    /// A boolean, also as 0 or 1; nil is false.
    pub(super) fn bool(&mut self) -> Result<bool, Fault> {
        match self.byte()? {
            0xc0 | 0xc2 | 0x00 => Ok(false),
            0xc3 | 0x01 => Ok(true),
            _ => Err(MALFORMED),
        }
    }

    /// The length behind a raw's first byte; `None` if it starts no raw.
    fn raw_len(&mut self, first: u8) -> Result<Option<u64>, Fault> {
        Ok(Some(match first {
            0xa0..=0xbf => u64::from(first & 0x1f),
            0xd9 => self.number(1)?,
            0xda => self.number(2)?,
            0xdb => self.number(4)?,
            _ => return Ok(None),
        }))
    }

    /// A string; nil is empty. Bin is an error, as in Go.
    pub(super) fn text(&mut self) -> Result<&'a [u8], Fault> {
        let first = self.byte()?;
        if first == 0xc0 {
            return Ok(&[]);
        }
        let len = self.raw_len(first)?.ok_or(MALFORMED)?;
        self.take_declared(len)
    }

    /// A byte field: raw, bin, or an array of small integers; nil is empty.
    pub(super) fn bytes(&mut self) -> Result<Cow<'a, [u8]>, Fault> {
        let first = self.byte()?;
        let items = match first {
            0xc0 => return Ok(Cow::Borrowed(&[])),
            0xc4 => return self.bin(1),
            0xc5 => return self.bin(2),
            0xc6 => return self.bin(4),
            0x90..=0x9f => u64::from(first & 0x0f),
            0xdc => self.number(2)?,
            0xdd => self.number(4)?,
            _ => {
                let len = self.raw_len(first)?.ok_or(MALFORMED)?;
                return self.take_declared(len).map(Cow::Borrowed);
            }
        };
        self.count(items)?;
        let mut bytes = Vec::new();
        for _ in 0..items {
            bytes.push(u8::try_from(self.uint(u64::from(u8::MAX))?).map_err(|_| MALFORMED)?);
        }
        Ok(Cow::Owned(bytes))
    }

    fn bin(&mut self, width: usize) -> Result<Cow<'a, [u8]>, Fault> {
        let len = self.number(width)?;
        self.take_declared(len).map(Cow::Borrowed)
    }

    /// Counts skipped values or array items against [`MAX_ITEMS`].
    fn count(&mut self, items: u64) -> Result<(), Fault> {
        self.items = self.items.saturating_add(items);
        if self.items > MAX_ITEMS {
            return Err(Fault::Dropped(Dropped::Limit));
        }
        Ok(())
    }

    fn shape(&mut self) -> Result<Shape, Fault> {
        if self.nil()? {
            return Ok(Shape::Nil);
        }
        let first = self.byte()?;
        let shape = match first {
            0x80..=0x8f => Shape::Map(u64::from(first & 0x0f)),
            0xde => Shape::Map(self.number(2)?),
            0xdf => Shape::Map(self.number(4)?),
            0x90..=0x9f => Shape::Array(u64::from(first & 0x0f)),
            0xdc => Shape::Array(self.number(2)?),
            0xdd => Shape::Array(self.number(4)?),
            _ => return Err(MALFORMED),
        };
        match shape {
            Shape::Map(n) | Shape::Array(n) if n > MAX_FIELDS => {
                Err(Fault::Dropped(Dropped::Limit))
            }
            shape => Ok(shape),
        }
    }

    /// Reads a struct. `field` is called with each field's name and reads its value, or returns `false` if it knows no
    /// such field: then the value is skipped. `declared` is the order of Go's declaration, for structs written as arrays.
    pub(super) fn fields(
        &mut self,
        declared: &[&str],
        mut field: impl FnMut(&[u8], &mut Self) -> Result<bool, Fault>,
    ) -> Result<(), Fault> {
        match self.shape()? {
            Shape::Nil => {}
            Shape::Map(n) => {
                for _ in 0..n {
                    let first = self.byte()?;
                    let len = self.raw_len(first)?.ok_or(MALFORMED)?;
                    let name = self.take_declared(len)?;
                    if !field(name, self)? {
                        self.skip(0)?;
                    }
                }
            }
            Shape::Array(n) => {
                let mut declared = declared.iter();
                for _ in 0..n {
                    let known = match declared.next() {
                        Some(name) => field(name.as_bytes(), self)?,
                        None => false,
                    };
                    if !known {
                        self.skip(0)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Skips one value of any type.
    fn skip(&mut self, depth: u8) -> Result<(), Fault> {
        self.count(1)?;
        if depth > MAX_DEPTH {
            return Err(Fault::Dropped(Dropped::Limit));
        }
        let first = self.byte()?;
        let (raw, items) = match first {
            0x00..=0x7f | 0xc0 | 0xc2 | 0xc3 | 0xe0..=0xff => (0, 0),
            0x80..=0x8f => (0, 2 * u64::from(first & 0x0f)),
            0x90..=0x9f => (0, u64::from(first & 0x0f)),
            0xa0..=0xbf => (u64::from(first & 0x1f), 0),
            0xc1 => return Err(MALFORMED),
            0xc4 | 0xd9 => (self.number(1)?, 0),
            0xc5 | 0xda => (self.number(2)?, 0),
            0xc6 | 0xdb => (self.number(4)?, 0),
            // ext: length, then a type byte
            0xc7 => (self.number(1)? + 1, 0),
            0xc8 => (self.number(2)? + 1, 0),
            0xc9 => (self.number(4)? + 1, 0),
            0xcc | 0xd0 => (1, 0),
            0xcd | 0xd1 => (2, 0),
            0xca | 0xce | 0xd2 => (4, 0),
            0xcb | 0xcf | 0xd3 => (8, 0),
            0xd4 => (2, 0),
            0xd5 => (3, 0),
            0xd6 => (5, 0),
            0xd7 => (9, 0),
            0xd8 => (17, 0),
            0xdc => (0, self.number(2)?),
            0xdd => (0, self.number(4)?),
            0xde => (0, 2 * self.number(2)?),
            0xdf => (0, 2 * self.number(4)?),
        };
        self.take_declared(raw)?;
        for _ in 0..items {
            self.skip(depth + 1)?;
        }
        Ok(())
    }
}

/// Writes a map's header; the caller writes `fields` keys, sorted, each followed by its value.
pub(super) fn map(out: &mut Vec<u8>, fields: u8) {
    debug_assert!(fields < 16, "no message has so many fields");
    out.push(0x80 | fields);
}

/// Writes a key.
pub(super) fn key(out: &mut Vec<u8>, name: &str) {
    raw(out, name.as_bytes());
}

/// Writes an integer in its shortest form.
pub(super) fn uint(out: &mut Vec<u8>, number: u64) {
    let [_, _, _, _, b3, b2, b1, b0] = number.to_be_bytes();
    match number {
        0..=0x7f => out.push(b0),
        0x80..=0xff => out.extend([0xcc, b0]),
        0x100..=0xffff => out.extend([0xcd, b1, b0]),
        0x1_0000..=0xffff_ffff => out.extend([0xce, b3, b2, b1, b0]),
        _ => {
            out.push(0xcf);
            out.extend(number.to_be_bytes());
        }
    }
}

/// Writes a boolean.
pub(super) fn boolean(out: &mut Vec<u8>, value: bool) {
    out.push(if value { 0xc3 } else { 0xc2 });
}

/// Writes a string, or bytes that are not nil.
///
/// Invariant: no caller has 2³² bytes (the encoders' own limits are far below).
pub(super) fn raw(out: &mut Vec<u8>, bytes: &[u8]) {
    let [.., b3, b2, b1, b0] = u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes();
    match bytes.len() {
        0..=31 => out.push(0xa0 | b0),
        32..=0xffff => out.extend([0xda, b1, b0]),
        _ => out.extend([0xdb, b3, b2, b1, b0]),
    }
    out.extend_from_slice(bytes);
}

/// Writes a byte field that Go holds as nil when empty: `Meta`, `Payload`.
pub(super) fn raw_or_nil(out: &mut Vec<u8>, bytes: &[u8]) {
    if bytes.is_empty() {
        out.push(0xc0);
    } else {
        raw(out, bytes);
    }
}
