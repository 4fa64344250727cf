//! YAML as Kubernetes' Go tools write it: `json.Marshal`, then yaml.v2's emitter.
//!
//! Keys are in yaml.v2's natural order, lists are not indented under their key, lines are folded behind column 80, and a
//! text has quotes only where a reader of YAML 1.1 would take it for something else.
//!
//! Upstream: `sigs.k8s.io/yaml` over `gopkg.in/yaml.v2` 2.4 (`encode.go`, `emitterc.go`, `sorter.go`).
//!
//! Invariant: what this writes, [`super::Document`] reads back as the same values.

use super::resolve::{Meaning, resolve};

#[cfg(test)]
mod tests;

/// A value to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// `null`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Value>),
    /// A mapping; it is written in the order of [`natural_less`].
    Map(Vec<(String, Value)>),
}

impl Value {
    /// A text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// A list of texts.
    pub fn texts<T: Into<String>>(texts: impl IntoIterator<Item = T>) -> Self {
        Self::List(texts.into_iter().map(Self::text).collect())
    }

    /// A mapping with these keys.
    pub fn map<const N: usize>(pairs: [(&str, Value); N]) -> Self {
        Self::Map(
            pairs
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value))
                .collect(),
        )
    }

    /// The first text inside that upstream's tools cannot write: they pass it through a YAML reader that refuses DEL,
    /// the C1 controls and U+FFFE, U+FFFF wherever they stand.
    #[must_use]
    pub fn first_unwritable(&self) -> Option<&str> {
        let refused = |c: char| matches!(c, '\u{7f}'..='\u{84}' | '\u{86}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}');
        match self {
            Self::Null | Self::Bool(_) | Self::Int(_) => None,
            Self::Text(text) => text.contains(refused).then_some(text),
            Self::List(items) => items.iter().find_map(Self::first_unwritable),
            Self::Map(pairs) => pairs.iter().find_map(|(key, value)| {
                if key.contains(refused) {
                    Some(key.as_str())
                } else {
                    value.first_unwritable()
                }
            }),
        }
    }
}

/// Appends a value as one document, without `---`; it ends with a line break.
pub fn write(out: &mut String, value: &Value) {
    let mut emitter = Emitter {
        out,
        column: 0,
        whitespace: true,
        indention: true,
    };
    emitter.node(value, None, false);
    emitter.indent(0);
}

/// Behind this column a line is broken at the next single space.
const WIDTH: usize = 80;
/// The longest key that stands before its colon on one line, in bytes.
const SIMPLE_KEY: usize = 128;

/// Writes, and knows where it is.
struct Emitter<'o> {
    out: &'o mut String,
    /// Characters since the line began.
    column: usize,
    /// Whether the last character was one that separates.
    whitespace: bool,
    /// Whether there is nothing but indentation and `-`, `?`, `:` on the line.
    indention: bool,
}

/// How a scalar is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Plain,
    Single,
    Double,
    Literal,
}

/// libyaml's line breaks.
fn is_break(c: char) -> bool {
    matches!(c, '\r' | '\n' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// libyaml's printable characters, which leave out TAB and everything beyond U+FFFF.
fn is_printable(c: char) -> bool {
    matches!(c, '\n' | ' '..='~' | '\u{a0}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}')
}

impl Emitter<'_> {
    fn put(&mut self, c: char) {
        self.out.push(c);
        self.column = if is_break(c) { 0 } else { self.column + 1 };
    }

    fn indicator(&mut self, text: &str, need_space: bool, is_indention: bool) {
        if need_space && !self.whitespace {
            self.put(' ');
        }
        for c in text.chars() {
            self.put(c);
        }
        self.whitespace = false;
        self.indention &= is_indention;
    }

    /// A new line if this one is used, then spaces up to the column.
    fn indent(&mut self, to: usize) {
        if !self.indention || self.column > to || (self.column == to && !self.whitespace) {
            self.put('\n');
        }
        while self.column < to {
            self.put(' ');
        }
        self.whitespace = true;
        self.indention = true;
    }

    /// A value inside a collection that stands at `outer`; `None`: it is the document.
    fn node(&mut self, value: &Value, outer: Option<usize>, in_map: bool) {
        let inner = outer.map_or(0, |outer| outer + 2);
        match value {
            Value::Null => self.plain("null", inner, true),
            Value::Bool(value) => self.plain(if *value { "true" } else { "false" }, inner, true),
            Value::Int(value) => self.plain(&value.to_string(), inner, true),
            Value::Text(text) => self.text(text, inner, false),
            Value::List(items) if items.is_empty() => self.indicator("[]", true, false),
            Value::Map(pairs) if pairs.is_empty() => self.indicator("{}", true, false),
            Value::List(items) => {
                // Under a key that stands on its line a list is not indented.
                let at = match outer {
                    Some(outer) if in_map && !self.indention => outer,
                    _ => inner,
                };
                for item in items {
                    self.indent(at);
                    self.indicator("-", true, true);
                    self.node(item, Some(at), false);
                }
            }
            Value::Map(pairs) => {
                let mut sorted: Vec<&(String, Value)> = pairs.iter().collect();
                merge_sort(&mut sorted);
                for (key, value) in sorted {
                    self.indent(inner);
                    if key.len() <= SIMPLE_KEY && !key.contains(is_break) {
                        self.text(key, inner + 2, true);
                        self.indicator(":", false, false);
                    } else {
                        self.indicator("?", true, true);
                        self.text(key, inner + 2, false);
                        self.indent(inner);
                        self.indicator(":", true, true);
                    }
                    self.node(value, Some(inner), true);
                }
            }
        }
    }

    /// A text, in the form that keeps it one.
    fn text(&mut self, text: &str, indent: usize, is_key: bool) {
        match form_of(text, is_key) {
            Form::Plain => self.plain(text, indent, !is_key),
            Form::Single => self.single_quoted(text, indent, !is_key),
            Form::Double => self.double_quoted(text, indent, !is_key),
            Form::Literal => self.literal(text, indent),
        }
    }

    fn plain(&mut self, text: &str, indent: usize, may_fold: bool) {
        if !self.whitespace {
            self.put(' ');
        }
        let mut spaces = false;
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            if c == ' ' {
                if may_fold && !spaces && self.column > WIDTH && chars.peek() != Some(&' ') {
                    self.indent(indent);
                } else {
                    self.put(c);
                }
                spaces = true;
            } else {
                self.put(c);
                self.indention = false;
                spaces = false;
            }
        }
        self.whitespace = false;
        self.indention = false;
    }

    fn single_quoted(&mut self, text: &str, indent: usize, may_fold: bool) {
        self.indicator("'", true, false);
        let (mut spaces, mut breaks, mut first) = (false, false, true);
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            if c == ' ' {
                let inside = !first && chars.peek().is_some_and(|next| *next != ' ');
                if may_fold && !spaces && self.column > WIDTH && inside {
                    self.indent(indent);
                } else {
                    self.put(c);
                }
                spaces = true;
            } else if is_break(c) {
                // Only the breaks of Unicode come here: a text with a line feed is a literal one.
                self.put(c);
                self.indention = true;
                breaks = true;
            } else {
                if breaks {
                    self.indent(indent);
                }
                if c == '\'' {
                    self.put(c);
                }
                self.put(c);
                self.indention = false;
                (spaces, breaks) = (false, false);
            }
            first = false;
        }
        self.indicator("'", false, false);
    }

    fn double_quoted(&mut self, text: &str, indent: usize, may_fold: bool) {
        self.indicator("\"", true, false);
        let (mut spaces, mut first) = (false, true);
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            if !is_printable(c) || is_break(c) || matches!(c, '"' | '\\') {
                for c in escape(c).chars() {
                    self.put(c);
                }
                spaces = false;
            } else if c == ' ' {
                let inside = !first && chars.peek().is_some();
                if may_fold && !spaces && self.column > WIDTH && inside {
                    self.indent(indent);
                    if chars.peek() == Some(&' ') {
                        self.put('\\');
                    }
                } else {
                    self.put(c);
                }
                spaces = true;
            } else {
                self.put(c);
                spaces = false;
            }
            first = false;
        }
        self.indicator("\"", false, false);
    }

    fn literal(&mut self, text: &str, indent: usize) {
        self.indicator("|", true, false);
        if text.starts_with(' ') || text.starts_with(is_break) {
            self.indicator("2", false, false);
        }
        let mut from_end = text.chars().rev();
        match (
            from_end.next().is_some_and(is_break),
            from_end.next().map(is_break),
        ) {
            (false, _) => self.indicator("-", false, false),
            (true, None | Some(true)) => self.indicator("+", false, false),
            (true, Some(false)) => {}
        }
        self.put('\n');
        self.indention = true;
        self.whitespace = true;
        let mut breaks = true;
        for c in text.chars() {
            if is_break(c) {
                self.put(c);
                self.indention = true;
                breaks = true;
            } else {
                if breaks {
                    self.indent(indent);
                }
                self.put(c);
                self.indention = false;
                breaks = false;
            }
        }
    }
}

/// The escape of a character between double quotes.
fn escape(c: char) -> String {
    let short = match c {
        '\0' => '0',
        '\u{7}' => 'a',
        '\u{8}' => 'b',
        '\t' => 't',
        '\n' => 'n',
        '\u{b}' => 'v',
        '\u{c}' => 'f',
        '\r' => 'r',
        '\u{1b}' => 'e',
        '"' => '"',
        '\\' => '\\',
        '\u{85}' => 'N',
        '\u{a0}' => '_',
        '\u{2028}' => 'L',
        '\u{2029}' => 'P',
        c => {
            let code = u32::from(c);
            return match code {
                0..=0xff => format!("\\x{code:02X}"),
                0x100..=0xffff => format!("\\u{code:04X}"),
                _ => format!("\\U{code:08X}"),
            };
        }
    };
    format!("\\{short}")
}

/// The form that yaml.v2 chooses for a text.
fn form_of(text: &str, is_key: bool) -> Form {
    let allowed = Allowed::of(text);
    let wanted = if text.contains('\n') {
        Form::Literal
    } else if matches!(resolve(None, text), Ok(Meaning::Text)) && !is_base_60(text) {
        Form::Plain
    } else {
        Form::Double
    };
    match wanted {
        Form::Plain if allowed.plain => Form::Plain,
        Form::Plain | Form::Single if allowed.single => Form::Single,
        Form::Literal if allowed.literal && !is_key => Form::Literal,
        Form::Plain | Form::Single | Form::Double | Form::Literal => Form::Double,
    }
}

/// Which forms can hold a text.
struct Allowed {
    plain: bool,
    single: bool,
    literal: bool,
}

impl Allowed {
    fn of(text: &str) -> Self {
        let mut indicators = text.starts_with("---") || text.starts_with("...");
        let (mut special, mut any_break) = (false, false);
        let (mut break_space, mut space_break) = (false, false);
        let (mut previous_space, mut previous_break) = (false, false);
        let mut preceded_by_blank = true;
        let mut chars = text.chars().peekable();
        let mut first = true;
        while let Some(c) = chars.next() {
            let blank_follows = chars.peek().is_none_or(|next| matches!(next, ' ' | '\t'));
            indicators |= match c {
                '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"'
                | '%' | '@' | '`'
                    if first =>
                {
                    true
                }
                '?' | '-' if first => blank_follows,
                ':' => blank_follows,
                '#' => preceded_by_blank,
                _ => false,
            };
            special |= !is_printable(c);
            if c == ' ' {
                break_space |= previous_break;
                (previous_space, previous_break) = (true, false);
            } else if is_break(c) {
                any_break = true;
                space_break |= previous_space;
                (previous_space, previous_break) = (false, true);
            } else {
                (previous_space, previous_break) = (false, false);
            }
            preceded_by_blank = matches!(c, ' ' | '\t' | '\0') || is_break(c);
            first = false;
        }
        let edge = text.starts_with(' ') || text.ends_with(' ');
        let hopeless = space_break || special;
        Self {
            plain: !(edge || any_break || indicators || hopeless),
            single: !(break_space || hopeless),
            literal: !(text.is_empty() || text.ends_with(' ') || hopeless),
        }
    }
}

/// Whether YAML 1.1 would read a number of base 60: `[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?`.
fn is_base_60(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit() || b == b'_');
    let mut parts = whole.split(':');
    let head = parts.next().unwrap_or_default();
    let mut count = 0;
    let sixty = parts.all(|part| {
        count += 1;
        match part.as_bytes() {
            [digit] => digit.is_ascii_digit(),
            [b'0'..=b'5', digit] => digit.is_ascii_digit(),
            _ => false,
        }
    });
    sixty
        && count > 0
        && head.bytes().next().is_some_and(|b| b.is_ascii_digit())
        && digits(head)
        && digits(fraction)
}

/// yaml.v2's order of keys: numbers by value, other characters before letters.
#[must_use]
pub fn natural_less(a: &str, b: &str) -> bool {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let at = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
    let (Some(&ca), Some(&cb)) = (a.get(at), b.get(at)) else {
        return a.len() < b.len();
    };
    match (ca.is_alphabetic(), cb.is_alphabetic()) {
        (true, true) => return ca < cb,
        (false, false) => {}
        (_, letter) => return letter,
    }
    // Behind digits that are not all zeros, a zero counts: `10` is not `1`.
    let before = a.get(..at).unwrap_or_default();
    let digits_before = before.iter().rev().take_while(|c| c.is_ascii_digit());
    let counts = (ca == '0' || cb == '0') && digits_before.clone().any(|c| *c != '0');
    let run = |text: &[char]| {
        text.iter().skip(at).map_while(|c| c.to_digit(10)).fold(
            (i64::from(counts), 0_usize),
            |(number, length), digit| {
                let number = number.wrapping_mul(10).wrapping_add(i64::from(digit));
                (number, length + 1)
            },
        )
    };
    let (run_a, run_b) = (run(&a), run(&b));
    if run_a == run_b {
        ca < cb
    } else {
        run_a < run_b
    }
}

/// Sorts by [`natural_less`], of which nobody promises that it is a total order: the standard library may panic then.
fn merge_sort(items: &mut Vec<&(String, Value)>) {
    if items.len() < 2 {
        return;
    }
    let mut right = items.split_off(items.len() / 2);
    merge_sort(items);
    merge_sort(&mut right);
    let mut left = std::mem::take(items).into_iter().peekable();
    let mut right = right.into_iter().peekable();
    while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
        let next = if natural_less(&b.0, &a.0) {
            right.next()
        } else {
            left.next()
        };
        items.extend(next);
    }
    items.extend(left);
    items.extend(right);
}
