//! Octets from the front of a message, one field after the other.

/// What is left to read. Every step that asks for more than there is gives `None` and takes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) const fn new(octets: &'a [u8]) -> Self {
        Self(octets)
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) const fn len(&self) -> usize {
        self.0.len()
    }

    /// All that is left.
    pub(super) const fn rest(self) -> &'a [u8] {
        self.0
    }

    /// The next octet, without taking it.
    pub(super) fn peek(&self) -> Option<u8> {
        self.0.first().copied()
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*array)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_be_bytes)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    /// A part whose length, one octet, is before it.
    pub(super) fn part8(&mut self) -> Option<&'a [u8]> {
        let mut ahead = *self;
        let length = usize::from(ahead.u8()?);
        let part = ahead.take(length)?;
        *self = ahead;
        Some(part)
    }

    /// A part whose length, two octets, is before it.
    pub(super) fn part16(&mut self) -> Option<&'a [u8]> {
        let mut ahead = *self;
        let length = usize::from(ahead.u16()?);
        let part = ahead.take(length)?;
        *self = ahead;
        Some(part)
    }
}
