//! Go's `%q`: a text between double quotes, escaped so that it stays on one line.
//!
//! Upstream: `strconv.Quote`. Events and errors of MetalLB carry names and addresses in this form.

use std::fmt::Write as _;

/// The text as Go's `%q` writes it.
///
/// ```
/// assert_eq!(ferrolb_compat::go::quote::quote("a\tb \"c\""), r#""a\tb \"c\"""#);
/// ```
#[must_use]
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            // What Go calls a replacement character is printed as it is.
            c if is_print(c) => out.push(c),
            c => {
                let code = u32::from(c);
                // Writing to a String cannot fail.
                let _ = if code < 0x80 {
                    write!(out, "\\x{code:02x}")
                } else if code < 0x1_0000 {
                    write!(out, "\\u{code:04x}")
                } else {
                    write!(out, "\\U{code:08x}")
                };
            }
        }
    }
    out.push('"');
    out
}

/// Go's `unicode.IsPrint`: letters, marks, numbers, punctuation, symbols and the ASCII space.
fn is_print(c: char) -> bool {
    if c.is_ascii() {
        return c == ' ' || c.is_ascii_graphic();
    }
    // The standard library's tables are reachable through `escape_debug` alone. A mark is escaped only where it
    // begins a text, so that a letter goes before it.
    let mut buffer = String::with_capacity(5);
    buffer.push('a');
    buffer.push(c);
    buffer.escape_debug().nth(1) == Some(c)
}

#[cfg(test)]
mod tests {
    use super::quote;

    #[test]
    fn quotes_as_strconv_does() {
        for (text, want) in [
            ("", r#""""#),
            ("pool a", r#""pool a""#),
            ("a\"b\\c", r#""a\"b\\c""#),
            ("\u{7}\u{8}\u{c}\n\r\t\u{b}", r#""\a\b\f\n\r\t\v""#),
            ("\u{1}\u{7f}", r#""\x01\x7f""#),
            ("Ünï", r#""Ünï""#),
            ("e\u{301}\u{301}", "\"e\u{301}\u{301}\""),
            ("\u{a0}\u{feff}", r#""\u00a0\ufeff""#),
            ("\u{e000}\u{10ffff}", r#""\ue000\U0010ffff""#),
            ("\u{fffd}☺", "\"\u{fffd}☺\""),
        ] {
            assert_eq!(quote(text), want, "{text:?}");
        }
    }
}
