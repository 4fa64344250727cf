//! A log line as go-kit's JSON logger writes it: one object, keys in alphabetical order.
//!
//! Upstream: MetalLB 0.12 logs through go-kit, which collects the fields of a line in a map (so that the last of two
//! equal keys stays), lets `encoding/json` sort them, and switches the escaping of `<`, `>` and `&` off.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// A field's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// A text.
    Text(&'a str),
    /// A list of texts, given separated by commas: how `ips` is logged.
    List(&'a str),
}

/// One line of the log, with its newline.
pub fn encode<'a>(fields: impl IntoIterator<Item = (&'a str, Value<'a>)>) -> String {
    let fields: BTreeMap<&str, Value<'_>> = fields.into_iter().collect();
    let mut line = String::with_capacity(256);
    let mut separator = '{';
    for (key, value) in fields {
        line.push(separator);
        separator = ',';
        push_text(&mut line, key);
        line.push(':');
        match value {
            Value::Text(text) => push_text(&mut line, text),
            Value::List(list) => {
                line.push('[');
                let mut first = true;
                for item in list
                    .split(',')
                    .map(str::trim)
                    .filter(|item| !item.is_empty())
                {
                    if !first {
                        line.push(',');
                    }
                    first = false;
                    push_text(&mut line, item);
                }
                line.push(']');
            }
        }
    }
    if separator == '{' {
        line.push('{');
    }
    line.push_str("}\n");
    line
}

/// A JSON string with the escapes of Go's `encoding/json`.
fn push_text(line: &mut String, text: &str) {
    line.push('"');
    for c in text.chars() {
        match c {
            '"' => line.push_str("\\\""),
            '\\' => line.push_str("\\\\"),
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            '\t' => line.push_str("\\t"),
            // JavaScript's line ends are escaped even where HTML's characters are not.
            '\u{2028}' | '\u{2029}' | '\0'..='\x1f' => {
                // Writing to a String cannot fail.
                let _ = write!(line, "\\u{:04x}", u32::from(c));
            }
            c => line.push(c),
        }
    }
    line.push('"');
}

/// Go's `time.RFC3339Nano` in UTC: as many digits of the second's fraction as it has, at most nine.
///
/// `seconds` since 1970-01-01T00:00:00Z; `nanoseconds` below 1,000,000,000 after it.
#[must_use]
pub fn rfc3339_nano(seconds: i64, nanoseconds: u32) -> String {
    let days = seconds.div_euclid(86_400);
    let second_of_day = seconds.rem_euclid(86_400);
    let (year, month, day) = civil_from_days(days);
    let mut text = format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}",
        second_of_day / 3600,
        second_of_day / 60 % 60,
        second_of_day % 60
    );
    if nanoseconds != 0 {
        let fraction = format!("{nanoseconds:09}");
        text.push('.');
        text.push_str(fraction.trim_end_matches('0'));
    }
    text.push('Z');
    text
}

/// The date of a day counted from 1970-01-01, in the Gregorian calendar.
///
/// Counted from 1 March of a year that 400 divides, every year ends with its leap day, and a month's first day is
/// `(153 m + 2) / 5` with March as month 0.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    const DAYS_PER_400_YEARS: i64 = 146_097;
    // 0000-03-01 is this many days before 1970-01-01.
    const EPOCH: i64 = 719_468;
    let shifted = days.saturating_add(EPOCH);
    let era = shifted.div_euclid(DAYS_PER_400_YEARS);
    let day_of_era = shifted.rem_euclid(DAYS_PER_400_YEARS);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests;
