//! From the bytes of a text within a file to those of the file.

use ferrolb_compat::yaml::{Place, Style, place_at};

use crate::config::error::Diagnostic;

/// Where the lines of a text begin: a place is found without reading the text from its beginning.
pub(super) struct Lines<'t> {
    text: &'t str,
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    pub(super) fn of(text: &'t str) -> Self {
        let after = text.match_indices('\n').map(|(at, _)| at + 1);
        Self {
            text,
            starts: std::iter::once(0).chain(after).collect(),
        }
    }

    /// The place of some bytes.
    pub(super) fn place(&self, offset: usize, length: usize) -> Place {
        let line = self.starts.partition_point(|start| *start <= offset);
        let start = line.checked_sub(1).and_then(|line| self.starts.get(line));
        let start = start.copied().unwrap_or_default();
        // The rest of the line is all that counts.
        let rest = self.text.get(start..).unwrap_or_default();
        let place = place_at(rest, offset.saturating_sub(start), length);
        let narrow = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Place {
            start: place.start.saturating_add(narrow(start)),
            end: place.end.saturating_add(narrow(start)),
            line: narrow(line.max(1)),
            column: place.column,
        }
    }
}

/// From the bytes of an embedded text to those of the file.
pub(super) enum Offsets {
    /// Each line of the text is one of the file, further in: where the text's lines begin, and where the file's do.
    Lines(Vec<(usize, usize)>),
    /// For each byte of the text, and for its end, the byte of the file.
    Bytes(Vec<usize>),
    /// Only where the text begins is known.
    Unknown(usize),
}

impl Offsets {
    /// The offsets of a scalar's text.
    pub(super) fn of(file: &str, place: Place, text: &str, style: Style) -> Self {
        let span = place.span();
        let found = match style {
            Style::Literal => block_lines(file, span.start, text).map(Self::Lines),
            Style::DoubleQuoted => double_quoted(file, span.start, text).map(Self::Bytes),
            Style::Plain | Style::SingleQuoted => {
                let start = span.start + usize::from(style == Style::SingleQuoted);
                let same = file.get(start..).is_some_and(|rest| rest.starts_with(text));
                same.then(|| Self::Bytes((start..=start + text.len()).collect()))
            }
            Style::Folded => None,
        };
        found.unwrap_or(Self::Unknown(span.start))
    }

    /// The byte of the file.
    pub(super) fn at(&self, offset: usize) -> usize {
        match self {
            Self::Lines(lines) => {
                let after = lines.partition_point(|(inner, _)| *inner <= offset);
                let line = after.checked_sub(1).and_then(|line| lines.get(line));
                line.map_or(0, |(inner, outer)| outer + (offset - inner))
            }
            Self::Bytes(bytes) => bytes
                .get(offset)
                .or(bytes.last())
                .copied()
                .unwrap_or_default(),
            Self::Unknown(start) => *start,
        }
    }

    /// The diagnostic with its place in the file.
    pub(super) fn in_file(
        &self,
        lines: &Lines<'_>,
        text: &str,
        diagnostic: &Diagnostic,
    ) -> Diagnostic {
        // A place inside the text; one that is no character's beginning cannot be.
        let inner = diagnostic.span.start.min(text.len());
        let start = self.at(inner);
        let end = self.at(diagnostic.span.end.clamp(inner, text.len()));
        let place = lines.place(start, end.saturating_sub(start));
        Diagnostic {
            line: usize::try_from(place.line).unwrap_or_default(),
            column: usize::try_from(place.column).unwrap_or_default(),
            span: place.span(),
            ..diagnostic.clone()
        }
    }
}

/// The lines of a literal block scalar: each one of the text ends one of the file.
fn block_lines(file: &str, start: usize, text: &str) -> Option<Vec<(usize, usize)>> {
    // The scalar's place is inside its first line; empty lines may stand before.
    let first = file
        .get(..start)?
        .rfind('\n')
        .map_or(0, |newline| newline + 1);
    let empty = text.len() - text.trim_start_matches('\n').len();
    let mut candidates = vec![first];
    let mut line = first;
    for _ in 0..empty {
        line = file
            .get(..line.checked_sub(1)?)?
            .rfind('\n')
            .map_or(0, |newline| newline + 1);
        candidates.push(line);
    }
    candidates
        .into_iter()
        .rev()
        .find_map(|first| matching_lines(file, first, text))
}

/// The lines from an offset on, if they are the text's.
fn matching_lines(file: &str, first: usize, text: &str) -> Option<Vec<(usize, usize)>> {
    let mut lines = Vec::new();
    let (mut inner, mut outer) = (0, first);
    let mut file_lines = file.get(first..)?.split_inclusive('\n');
    for line in text.split_inclusive('\n') {
        let bare = line.strip_suffix('\n').unwrap_or(line);
        let file_line = file_lines.next()?;
        let file_bare = file_line
            .strip_suffix('\n')
            .map_or(file_line, |bare| bare.strip_suffix('\r').unwrap_or(bare));
        let indent = file_bare.strip_suffix(bare)?;
        if !indent.bytes().all(|byte| byte == b' ') {
            return None;
        }
        lines.push((inner, outer + indent.len()));
        inner += line.len();
        outer += file_line.len();
    }
    Some(lines)
}

/// The bytes of a double-quoted scalar on one line.
fn double_quoted(file: &str, start: usize, text: &str) -> Option<Vec<usize>> {
    let source = file.get(start..)?.strip_prefix('"')?;
    let mut chars = source.char_indices();
    let mut offsets = Vec::with_capacity(text.len() + 1);
    let mut decoded = String::with_capacity(text.len());
    while let Some((at, c)) = chars.next() {
        let at = start + 1 + at;
        let meant = match c {
            '"' => {
                offsets.push(at);
                return (decoded == text).then_some(offsets);
            }
            '\n' => return None,
            '\\' => match chars.next()?.1 {
                '0' => '\0',
                'a' => '\u{7}',
                'b' => '\u{8}',
                't' | '\t' => '\t',
                'n' => '\n',
                'v' => '\u{b}',
                'f' => '\u{c}',
                'r' => '\r',
                'e' => '\u{1b}',
                'N' => '\u{85}',
                '_' => '\u{a0}',
                'L' => '\u{2028}',
                'P' => '\u{2029}',
                'x' => hexadecimal(&mut chars, 2).and_then(char::from_u32)?,
                'U' => hexadecimal(&mut chars, 8).and_then(char::from_u32)?,
                'u' => match hexadecimal(&mut chars, 4)? {
                    // RFC 8259 §7: two escapes for one character.
                    high @ 0xd800..=0xdbff => {
                        if (chars.next()?.1, chars.next()?.1) != ('\\', 'u') {
                            return None;
                        }
                        let low = hexadecimal(&mut chars, 4)?.checked_sub(0xdc00)?;
                        char::from_u32(0x1_0000 + ((high - 0xd800) << 10) + low)?
                    }
                    code => char::from_u32(code)?,
                },
                same @ ('"' | '/' | '\\' | ' ') => same,
                _ => return None,
            },
            c => c,
        };
        offsets.extend(std::iter::repeat_n(at, meant.len_utf8()));
        decoded.push(meant);
    }
    None
}

/// Digits of an escape.
fn hexadecimal(chars: &mut std::str::CharIndices<'_>, digits: usize) -> Option<u32> {
    let mut value = 0_u32;
    for _ in 0..digits {
        value = value.checked_mul(16)? + chars.next()?.1.to_digit(16)?;
    }
    Some(value)
}
