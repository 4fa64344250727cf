//! Command lines as Go's package `flag` reads them, and the usage text that it prints.
//!
//! What it is not: no environment, no process exit, no printing. In: the flags and the words of the command line.
//! Out: [`Parsed`] values, or a [`Stop`] with the very text that belongs on stderr.
//!
//! Upstream: MetalLB 0.12's programs are Go programs with the standard package. The rules:
//!
//! * `-x v`, `-x=v`, `--x v` and `--x=v` are the same; the last of several wins;
//! * a boolean takes its value only after `=`; `-b` alone is true;
//! * the first word that is not a flag ends the flags (`-` alone is such a word), and so does `--`, which is eaten;
//! * `-h`, `-help`, `--help` print the usage unless a flag of that name exists.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::quote::quote;

/// A flag that a program knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flag {
    /// Its name, without dashes.
    pub name: &'static str,
    /// Its value where the command line does not mention it; also says its kind.
    pub default: Value,
    /// What it means, for the usage text. A word in back quotes names the value.
    pub usage: &'static str,
}

/// A flag's value, and with it its kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// `bool`.
    Bool(bool),
    /// `int` (64 bits).
    Int(i64),
    /// `string`.
    Text(String),
}

/// The flags of one program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlagSet {
    program: String,
    /// Ordered by name, as the usage text shows them.
    flags: BTreeMap<&'static str, Flag>,
}

/// What a command line said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed {
    values: BTreeMap<&'static str, Value>,
    given: BTreeSet<&'static str>,
    /// The words after the flags.
    pub rest: Vec<String>,
}

/// The program should not go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// Help was asked for: the usage text. Go prints it on stderr and exits 0.
    Help(String),
    /// The command line is wrong: the fault, then the usage text. Go prints them on stderr and exits 2.
    Usage(String),
}

impl FlagSet {
    /// The flags of the program that was called by this name.
    #[must_use]
    pub fn new(program: impl Into<String>, flags: impl IntoIterator<Item = Flag>) -> Self {
        Self {
            program: program.into(),
            flags: flags.into_iter().map(|flag| (flag.name, flag)).collect(),
        }
    }

    /// Reads the words after the program's name.
    ///
    /// # Errors
    ///
    /// [`Stop`] where help was asked for or a word is wrong; the words after it have not been looked at.
    pub fn parse<I>(&self, words: I) -> Result<Parsed, Stop>
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        let mut values: BTreeMap<&'static str, Value> = self
            .flags
            .values()
            .map(|flag| (flag.name, flag.default.clone()))
            .collect();
        let mut given = BTreeSet::new();
        let mut words = words.into_iter().map(Into::into);
        let mut rest = Vec::new();
        while let Some(word) = words.next() {
            if word == "--" {
                break;
            }
            let Some(body) = word.strip_prefix('-').filter(|body| !body.is_empty()) else {
                rest.push(word);
                break;
            };
            let body = body.strip_prefix('-').unwrap_or(body);
            if body.starts_with(['-', '=']) {
                return Err(self.wrong(&format!("bad flag syntax: {word}")));
            }
            let (name, value) = match body.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (body, None),
            };
            let Some(flag) = self.flags.get(name) else {
                return Err(if name == "h" || name == "help" {
                    Stop::Help(self.usage())
                } else {
                    self.wrong(&format!("flag provided but not defined: -{name}"))
                });
            };
            let value = match (&flag.default, value) {
                (Value::Bool(_), None) => Value::Bool(true),
                (Value::Bool(_), Some(text)) => match parse_bool(&text) {
                    Some(value) => Value::Bool(value),
                    None => {
                        return Err(self.wrong(&format!(
                            "invalid boolean value {} for -{name}: parse error",
                            quote(&text)
                        )));
                    }
                },
                (kind, value) => {
                    let Some(text) = value.or_else(|| words.next()) else {
                        return Err(self.wrong(&format!("flag needs an argument: -{name}")));
                    };
                    if matches!(kind, Value::Int(_)) {
                        Value::Int(parse_int(&text).map_err(|fault| {
                            self.wrong(&format!(
                                "invalid value {} for flag -{name}: {}",
                                quote(&text),
                                fault.as_str()
                            ))
                        })?)
                    } else {
                        Value::Text(text)
                    }
                }
            };
            values.insert(flag.name, value);
            given.insert(flag.name);
        }
        rest.extend(words);
        Ok(Parsed {
            values,
            given,
            rest,
        })
    }

    /// The text that `-h` prints: `Usage of <program>:` and `PrintDefaults`.
    #[must_use]
    pub fn usage(&self) -> String {
        let mut text = format!("Usage of {}:\n", self.program);
        for flag in self.flags.values() {
            let (value_name, usage) = unquote_usage(flag);
            let mut line = format!("  -{}", flag.name);
            if !value_name.is_empty() {
                line.push(' ');
                line.push_str(&value_name);
            }
            // A flag of one letter without a value has room for its meaning on the same line.
            line.push_str(if line.len() <= 4 { "\t" } else { "\n    \t" });
            line.push_str(&usage.replace('\n', "\n    \t"));
            // Writing to a String cannot fail.
            let _ = match &flag.default {
                Value::Bool(false) | Value::Int(0) => Ok(()),
                Value::Text(default) if default.is_empty() => Ok(()),
                Value::Bool(true) => write!(line, " (default true)"),
                Value::Int(default) => write!(line, " (default {default})"),
                Value::Text(default) => write!(line, " (default {})", quote(default)),
            };
            text.push_str(&line);
            text.push('\n');
        }
        text
    }

    fn wrong(&self, fault: &str) -> Stop {
        Stop::Usage(format!("{fault}\n{}", self.usage()))
    }
}

impl Parsed {
    /// Whether the command line mentions the flag at all.
    #[must_use]
    pub fn is_given(&self, name: &str) -> bool {
        self.given.contains(name)
    }

    /// The value of a text flag; empty for a name that is none.
    #[must_use]
    pub fn text(&self, name: &str) -> &str {
        match self.values.get(name) {
            Some(Value::Text(value)) => value,
            Some(Value::Bool(_) | Value::Int(_)) | None => "",
        }
    }

    /// The value of an integer flag; 0 for a name that is none.
    #[must_use]
    pub fn int(&self, name: &str) -> i64 {
        match self.values.get(name) {
            Some(Value::Int(value)) => *value,
            Some(Value::Bool(_) | Value::Text(_)) | None => 0,
        }
    }

    /// The value of a boolean flag; false for a name that is none.
    #[must_use]
    pub fn bool(&self, name: &str) -> bool {
        matches!(self.values.get(name), Some(Value::Bool(true)))
    }
}

/// Name of the value, and the usage without its back quotes.
fn unquote_usage(flag: &Flag) -> (String, String) {
    if let Some((before, after)) = flag.usage.split_once('`')
        && let Some((name, after)) = after.split_once('`')
    {
        return (name.to_owned(), format!("{before}{name}{after}"));
    }
    let name = match flag.default {
        Value::Bool(_) => "",
        Value::Int(_) => "int",
        Value::Text(_) => "string",
    };
    (name.to_owned(), flag.usage.to_owned())
}

/// Go's `strconv.ParseBool`.
fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum IntFault {
    Syntax,
    Range,
}

impl IntFault {
    fn as_str(self) -> &'static str {
        match self {
            Self::Syntax => "parse error",
            Self::Range => "value out of range",
        }
    }
}

/// Go's `strconv.ParseInt(text, 0, 64)`: the base from the prefix, `_` between digits.
fn parse_int(text: &str) -> Result<i64, IntFault> {
    let (negative, digits) = match text.as_bytes().first() {
        Some(b'-') => (true, text.get(1..).unwrap_or("")),
        Some(b'+') => (false, text.get(1..).unwrap_or("")),
        Some(_) | None => (false, text),
    };
    let lower = digits.to_ascii_lowercase();
    let (base, body, prefixed) = if let Some(body) = lower.strip_prefix("0x") {
        (16, body, true)
    } else if let Some(body) = lower.strip_prefix("0o") {
        (8, body, true)
    } else if let Some(body) = lower.strip_prefix("0b") {
        (2, body, true)
    } else if let Some(body) = lower.strip_prefix('0').filter(|body| !body.is_empty()) {
        (8, body, true)
    } else {
        (10, lower.as_str(), false)
    };
    // A `_` stands between digits, or between the prefix and a digit.
    let mut after_digit = prefixed;
    let mut value: Result<i128, IntFault> = Err(IntFault::Syntax);
    for c in body.chars() {
        if c == '_' {
            if !after_digit {
                return Err(IntFault::Syntax);
            }
            after_digit = false;
            continue;
        }
        let digit = c.to_digit(base).ok_or(IntFault::Syntax)?;
        after_digit = true;
        let next = match value {
            Ok(value) => value * i128::from(base) + i128::from(digit),
            Err(IntFault::Syntax) => i128::from(digit),
            Err(IntFault::Range) => continue,
        };
        value = if next > i128::from(i64::MAX) + 1 {
            Err(IntFault::Range)
        } else {
            Ok(next)
        };
    }
    if !after_digit {
        return Err(IntFault::Syntax);
    }
    let value = value?;
    i64::try_from(if negative { -value } else { value }).map_err(|_| IntFault::Range)
}

#[cfg(test)]
mod tests;
