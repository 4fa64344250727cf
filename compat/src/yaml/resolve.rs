//! What a scalar means: yaml.v2's reading of YAML 1.1.
//!
//! Upstream: `resolve.go` of yaml.v2 2.4.

/// A tag as far as it decides about a scalar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tag {
    /// `!!null`
    Null,
    /// `!!bool`
    Bool,
    /// `!!int`
    Int,
    /// `!!float`
    Float,
    /// `!!str`
    Str,
    /// `!!binary`
    Binary,
    /// `!!timestamp`
    Timestamp,
    /// Any other: the scalar is text.
    Other(Box<str>),
}

impl Tag {
    /// The tag of a node, in its long form; `None` for an empty one.
    #[must_use]
    pub fn from_long(tag: &str) -> Option<Self> {
        if tag.is_empty() {
            return None;
        }
        Some(match tag.strip_prefix("tag:yaml.org,2002:") {
            Some("null") => Self::Null,
            Some("bool") => Self::Bool,
            Some("int") => Self::Int,
            Some("float") => Self::Float,
            Some("str") => Self::Str,
            Some("binary") => Self::Binary,
            Some("timestamp") => Self::Timestamp,
            Some(other) => Self::Other(format!("!!{other}").into()),
            None => Self::Other(tag.into()),
        })
    }

    /// The short form, `!!int`.
    #[must_use]
    pub fn short(&self) -> &str {
        match self {
            Self::Null => "!!null",
            Self::Bool => "!!bool",
            Self::Int => "!!int",
            Self::Float => "!!float",
            Self::Str => "!!str",
            Self::Binary => "!!binary",
            Self::Timestamp => "!!timestamp",
            Self::Other(tag) => tag,
        }
    }
}

/// What a scalar means.
#[derive(Debug, Clone, PartialEq)]
pub enum Meaning {
    /// Nothing.
    Null,
    /// A boolean.
    Bool(bool),
    /// An integer from -2^63 to 2^64-1.
    Int(i128),
    /// A number with a point or an exponent.
    Float(f64),
    /// A date. It counts as text, and is no number.
    Timestamp,
    /// Text as it is written.
    Text,
    /// `!!binary`: the text that was encoded.
    Binary(String),
}

impl Meaning {
    /// The tag that belongs to it.
    #[must_use]
    pub fn tag(&self) -> Tag {
        match self {
            Self::Null => Tag::Null,
            Self::Bool(_) => Tag::Bool,
            Self::Int(_) => Tag::Int,
            Self::Float(_) => Tag::Float,
            Self::Timestamp => Tag::Timestamp,
            Self::Text => Tag::Str,
            Self::Binary(_) => Tag::Binary,
        }
    }
}

/// A scalar that is not what its tag says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mismatch {
    /// It looks like the first, and is tagged as the second.
    Tag(Tag, Tag),
    /// `!!binary` without valid base64.
    Base64,
}

/// The meaning of a scalar that is plain or has a tag.
///
/// # Errors
/// The tag and the text contradict each other: yaml.v2 gives up the whole document.
pub fn resolve(tag: Option<&Tag>, text: &str) -> Result<Meaning, Mismatch> {
    match tag {
        Some(Tag::Other(_) | Tag::Str) => Ok(Meaning::Text),
        Some(Tag::Binary) => decode_base64(text)
            .map(Meaning::Binary)
            .ok_or(Mismatch::Base64),
        None => Ok(by_looks(text, true)),
        Some(wanted) => {
            let found = by_looks(text, *wanted == Tag::Timestamp);
            match (wanted, found) {
                // What a float64 cannot hold is rounded, as in Go.
                (Tag::Float, Meaning::Int(int)) => Ok(Meaning::Float(int_to_float(int))),
                (wanted, found) if found.tag() == *wanted => Ok(found),
                (wanted, found) => Err(Mismatch::Tag(found.tag(), wanted.clone())),
            }
        }
    }
}

/// What a text looks like.
fn by_looks(text: &str, dates: bool) -> Meaning {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Meaning::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Meaning::Bool(true);
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Meaning::Bool(false);
        }
        ".nan" | ".NaN" | ".NAN" => return Meaning::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => {
            return Meaning::Float(f64::INFINITY);
        }
        "-.inf" | "-.Inf" | "-.INF" => return Meaning::Float(f64::NEG_INFINITY),
        _ => {}
    }
    match text.as_bytes().first() {
        // Underscores are no part of a number that begins with its point.
        Some(b'.') => parse_float(text).map_or(Meaning::Text, Meaning::Float),
        Some(b'+' | b'-' | b'0'..=b'9') => {
            if dates && is_timestamp(text) {
                return Meaning::Timestamp;
            }
            let plain: String = text.chars().filter(|c| *c != '_').collect();
            if let Some(int) = parse_int(&plain) {
                return Meaning::Int(int);
            }
            if let Some(float) = parse_float(&plain) {
                return Meaning::Float(float);
            }
            parse_odd_binary(&plain).map_or(Meaning::Text, Meaning::Int)
        }
        _ => Meaning::Text,
    }
}

/// Go's `ParseInt(text, 0, 64)`, then `ParseUint(text, 0, 64)`: `0x`, `0o`, `0b` and a leading `0` (octal) are bases.
fn parse_int(text: &str) -> Option<i128> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'-' => (Some(true), text.get(1..)?),
        b'+' => (Some(false), text.get(1..)?),
        _ => (None, text),
    };
    let (base, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', _, ..] => (16, digits.get(2..)?),
        [b'0', b'o' | b'O', _, ..] => (8, digits.get(2..)?),
        [b'0', b'b' | b'B', _, ..] => (2, digits.get(2..)?),
        [b'0', _, ..] => (8, digits.get(1..)?),
        _ => (10, digits),
    };
    in_range(digits_to_int(digits, base)?, sign)
}

/// `0b` followed by a sign, which yaml.v2 lets pass.
fn parse_odd_binary(text: &str) -> Option<i128> {
    let digits = text.strip_prefix("0b")?;
    let (sign, digits) = match digits.as_bytes().first()? {
        b'-' => (Some(true), digits.get(1..)?),
        b'+' => (Some(false), digits.get(1..)?),
        _ => (None, digits),
    };
    in_range(digits_to_int(digits, 2)?, sign)
}

/// Digits of a base, nothing else.
fn digits_to_int(digits: &str, base: u32) -> Option<u64> {
    // The standard library would take another sign.
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(base)) {
        return None;
    }
    u64::from_str_radix(digits, base).ok()
}

/// Go's `int64` where there is a sign, `int64` or `uint64` where there is none.
fn in_range(value: u64, negative: Option<bool>) -> Option<i128> {
    let value = i128::from(value);
    let signed = match negative {
        None => return Some(value),
        Some(true) => -value,
        Some(false) => value,
    };
    i64::try_from(signed).ok().map(i128::from)
}

/// yaml.v2's floats: `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`, not too large for a float64.
fn parse_float(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mantissa_fits =
        all_digits(whole) && all_digits(fraction) && (!whole.is_empty() || !fraction.is_empty());
    let exponent_fits = exponent.is_none_or(|exponent| {
        let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        !digits.is_empty() && all_digits(digits)
    });
    if !mantissa_fits || !exponent_fits {
        return None;
    }
    text.parse::<f64>().ok().filter(|float| float.is_finite())
}

/// The nearest float64.
fn int_to_float(int: i128) -> f64 {
    // The decimal form is rounded to the nearest by the parser, as a conversion would.
    int.to_string().parse().unwrap_or(0.0)
}

/// Whether yaml.v2 reads it as a date: `2006-1-2`, perhaps with a time behind it.
fn is_timestamp(text: &str) -> bool {
    let Some((year, rest)) = text.split_once('-') else {
        return false;
    };
    if year.len() != 4 || !year.bytes().all(|byte| byte.is_ascii_digit()) {
        return false;
    }
    let Some((month, rest)) = rest.split_once('-') else {
        return false;
    };
    let day_len = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (day, time) = rest.split_at(day_len.min(rest.len()));
    let number = |text: &str| {
        (1..=2)
            .contains(&text.len())
            .then(|| text.parse::<u16>().ok())
            .flatten()
    };
    let (Ok(year), Some(month), Some(day)) = (year.parse::<u16>(), number(month), number(day))
    else {
        return false;
    };
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        _ => return false,
    };
    (1..=days).contains(&day) && (time.is_empty() || is_time(time))
}

/// `T15:4:5.9Z`, `t15:4:5+07:00` or ` 15:4:5`.
fn is_time(text: &str) -> bool {
    let (clock, zoned) = match text.as_bytes().first() {
        Some(b'T' | b't') => (text.get(1..).unwrap_or(""), true),
        Some(b' ') => (text.get(1..).unwrap_or(""), false),
        _ => return false,
    };
    let (clock, zone) = if zoned {
        match clock.find(['Z', '+', '-']) {
            Some(at) => clock.split_at(at),
            None => return false,
        }
    } else {
        (clock, "Z")
    };
    let below = |text: &str, limit: u8| {
        (1..=2).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_digit())
            && text.parse::<u8>().is_ok_and(|number| number < limit)
    };
    let zone_fits = zone == "Z"
        || zone
            .get(1..)
            .and_then(|zone| zone.split_once(':'))
            .is_some_and(|(hours, minutes)| {
                hours.len() == 2 && minutes.len() == 2 && below(hours, 25) && below(minutes, 60)
            });
    let mut parts = clock.splitn(3, ':');
    let (Some(hour), Some(minute), Some(second)) = (parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let (second, fraction) = second.split_once('.').unwrap_or((second, "0"));
    zone_fits
        && below(hour, 24)
        && below(minute, 60)
        && below(second, 60)
        && !fraction.is_empty()
        && fraction.bytes().all(|byte| byte.is_ascii_digit())
}

/// RFC 4648 §4 with padding; line breaks are skipped. Bytes that are no UTF-8 become replacement characters.
pub(crate) fn decode_base64(text: &str) -> Option<String> {
    base64(text).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// The bytes of a base64 text; line breaks are passed over.
pub(crate) fn base64(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text
        .bytes()
        .filter(|byte| !matches!(byte, b'\r' | b'\n'))
        .collect();
    if !digits.len().is_multiple_of(4) {
        return None;
    }
    let padding = digits
        .iter()
        .rev()
        .take_while(|byte| **byte == b'=')
        .count();
    let body = digits.get(..digits.len().checked_sub(padding)?)?;
    if padding > 2 {
        return None;
    }
    let mut bytes = Vec::with_capacity(digits.len() / 4 * 3);
    let (mut buffer, mut bits) = (0_u32, 0_u32);
    for digit in body {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        buffer = (buffer << 6 | u32::from(value)) & 0xf_ffff;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(buffer >> bits & 0xff).ok()?);
        }
    }
    Some(bytes)
}
