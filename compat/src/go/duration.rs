//! Go's durations: `1h30m`, `90s`, `1.5m`, `100ms`, `2us`, `-5s`, a bare `0`.
//!
//! Upstream: `time.ParseDuration` and `time.Duration.String`.

use std::fmt;
use std::time::Duration;

use super::quote::quote;

/// A signed number of nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct GoDuration(pub i64);

/// Nanoseconds in a second.
const SECOND: i64 = 1_000_000_000;

/// Why a text is no duration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DurationError {
    /// Empty, without digits, or too large.
    Invalid(String),
    /// A number without a unit.
    MissingUnit(String),
    /// A unit that Go does not know.
    UnknownUnit(String, String),
}

impl fmt::Display for DurationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(text) => write!(f, "{} is no duration", quote(text))?,
            Self::MissingUnit(text) => write!(f, "duration {} has no unit", quote(text))?,
            Self::UnknownUnit(unit, text) => {
                write!(
                    f,
                    "unknown unit {} in duration {}",
                    quote(unit),
                    quote(text)
                )?;
            }
        }
        f.write_str(": write it as `90s`, `1m30s` or `1500ms`")
    }
}

impl std::error::Error for DurationError {}

impl GoDuration {
    /// Parses a duration as Go does.
    ///
    /// # Errors
    /// The text is none.
    pub fn parse(text: &str) -> Result<Self, DurationError> {
        let invalid = || DurationError::Invalid(text.to_owned());
        let (negative, unsigned) = match text.as_bytes().first() {
            Some(b'-') => (true, text.get(1..).unwrap_or_default()),
            Some(b'+') => (false, text.get(1..).unwrap_or_default()),
            _ => (false, text),
        };
        if unsigned == "0" {
            return Ok(Self(0));
        }
        if unsigned.is_empty() {
            return Err(invalid());
        }
        let mut rest = unsigned;
        // Invariant: at most 2^63, which only a negative duration can be.
        let mut total: u64 = 0;
        while !rest.is_empty() {
            let (digits, after) = split_digits(rest);
            let whole = digits
                .bytes()
                .try_fold(0_u64, |sum, digit| {
                    sum.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
                })
                .filter(|whole| *whole <= 1 << 63)
                .ok_or_else(invalid)?;
            let (fraction, after) = match after.strip_prefix('.') {
                Some(after) => split_digits(after),
                None => ("", after),
            };
            if digits.is_empty() && fraction.is_empty() {
                return Err(invalid());
            }
            let end = after
                .find(|c: char| c == '.' || c.is_ascii_digit())
                .unwrap_or(after.len());
            let (unit, after) = after.split_at(end);
            if unit.is_empty() {
                return Err(DurationError::MissingUnit(text.to_owned()));
            }
            let nanos = unit_nanos(unit)
                .ok_or_else(|| DurationError::UnknownUnit(unit.to_owned(), text.to_owned()))?;
            total = whole
                .checked_mul(nanos)
                .and_then(|value| value.checked_add(fraction_nanos(fraction, nanos)))
                .and_then(|value| value.checked_add(total))
                .filter(|value| *value <= 1 << 63)
                .ok_or_else(invalid)?;
            rest = after;
        }
        let signed = if negative {
            0_i64.checked_sub_unsigned(total)
        } else {
            i64::try_from(total).ok()
        };
        signed.map(Self).ok_or_else(invalid)
    }

    /// Whole seconds, cut towards zero.
    #[must_use]
    pub fn whole_seconds(self) -> i64 {
        self.0 / SECOND
    }
}

impl From<Duration> for GoDuration {
    /// Longer durations than Go's longest (292 years) become the longest.
    fn from(duration: Duration) -> Self {
        Self(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX))
    }
}

impl fmt::Display for GoDuration {
    /// Go's form: `1m30s`, `2.5s`, `300ms`, `0s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.unsigned_abs();
        if self.0 < 0 {
            f.write_str("-")?;
        }
        let second = SECOND.unsigned_abs();
        if nanos == 0 {
            return f.write_str("0s");
        }
        if nanos < second {
            let (unit, size) = if nanos < 1_000 {
                ("ns", 1)
            } else if nanos < 1_000_000 {
                ("µs", 1_000)
            } else {
                ("ms", 1_000_000)
            };
            write_decimal(f, nanos, size)?;
            return f.write_str(unit);
        }
        let minutes = nanos / (60 * second);
        let hours = minutes / 60;
        if hours > 0 {
            write!(f, "{hours}h")?;
        }
        if minutes > 0 {
            write!(f, "{}m", minutes % 60)?;
        }
        write_decimal(f, nanos % (60 * second), second)?;
        f.write_str("s")
    }
}

/// `value / size` with as many decimals as it needs; `size` is a power of ten.
fn write_decimal(f: &mut fmt::Formatter<'_>, value: u64, size: u64) -> fmt::Result {
    write!(f, "{}", value / size)?;
    let fraction = value % size;
    if fraction == 0 {
        return Ok(());
    }
    let width = usize::try_from(size.ilog10()).unwrap_or_default();
    let decimals = format!("{fraction:0width$}");
    write!(f, ".{}", decimals.trim_end_matches('0'))
}

/// The decimal digits at the beginning, and what follows.
fn split_digits(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    text.split_at(end)
}

/// The nanoseconds of a unit.
fn unit_nanos(unit: &str) -> Option<u64> {
    Some(match unit {
        "ns" => 1,
        // The micro sign and the Greek letter mu.
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    })
}

/// The nanoseconds of the digits behind a decimal point, cut.
fn fraction_nanos(digits: &str, unit: u64) -> u64 {
    // Upstream: leadingFraction stops collecting where an int64 would overflow; what follows is lost.
    let (mut value, mut scale) = (0_u128, 1_u128);
    for digit in digits.bytes() {
        let next = value * 10 + u128::from(digit - b'0');
        if next > i64::MAX.unsigned_abs().into() {
            break;
        }
        value = next;
        scale *= 10;
    }
    // Compat: Go computes this in floating point; the exact quotient differs by at most one nanosecond, and what is
    // configured is cut to whole seconds.
    u64::try_from(value * u128::from(unit) / scale).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::{DurationError, GoDuration};

    #[test]
    fn parses_what_go_parses() {
        for (text, want) in [
            ("0", 0),
            ("-0", 0),
            ("90s", 90_000_000_000),
            ("1h30m", 5_400_000_000_000),
            ("1.5m", 90_000_000_000),
            ("100ms", 100_000_000),
            ("2us", 2_000),
            ("2µs", 2_000),
            ("2μs", 2_000),
            ("-5s", -5_000_000_000),
            ("+5s", 5_000_000_000),
            (".5s", 500_000_000),
            ("5.s", 5_000_000_000),
            ("1h1m1s", 3_661_000_000_000),
            ("1s1h", 3_601_000_000_000),
            ("0.100000000000000000000h", 360_000_000_000),
            ("9223372036854775807ns", i64::MAX),
            ("-9223372036854775808ns", i64::MIN),
        ] {
            assert_eq!(GoDuration::parse(text), Ok(GoDuration(want)), "{text}");
        }
    }

    #[test]
    fn refuses_what_go_refuses() {
        for text in [
            "",
            "-",
            "+",
            "s",
            ".",
            ".s",
            "-.s",
            "3",
            "1 s",
            "1S",
            "1d",
            "1h-3m",
            "--1s",
            "90",
            "9223372036854775808ns",
            "9223372036854775807us",
            "1e3s",
            " 1s",
            "1s ",
            "2h3",
            "٣s",
        ] {
            assert!(GoDuration::parse(text).is_err(), "{text:?}");
        }
        assert_eq!(
            GoDuration::parse("1h-3m"),
            Err(DurationError::UnknownUnit("h-".into(), "1h-3m".into()))
        );
    }

    #[test]
    fn prints_as_go_prints() {
        for (nanos, want) in [
            (0, "0s"),
            (1, "1ns"),
            (1_100, "1.1µs"),
            (2_200_000, "2.2ms"),
            (3_300_000_000, "3.3s"),
            (90_000_000_000, "1m30s"),
            (30_000_000_000, "30s"),
            (5_400_000_000_000, "1h30m0s"),
            (1_220_333_333_333, "20m20.333333333s"),
            (3_661_000_000_000, "1h1m1s"),
            (-90_000_000_000, "-1m30s"),
        ] {
            assert_eq!(GoDuration(nanos).to_string(), want);
        }
    }
}
