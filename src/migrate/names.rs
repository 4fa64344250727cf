//! Names of resources for names of 0.12, which may be any text.
//!
//! A name that an API server takes stays. Any other is folded to ASCII, in lower case, with `-` for what is left over; if that name is
//! taken it gets digits of the original's SHA-256.
//!
//! Invariant: the new names are valid, all different, and depend on the set of the old names alone.

use std::collections::{BTreeMap, BTreeSet};

use ferrolb_compat::migrate::is_object_name;
use sha2::{Digest, Sha256};

/// The longest name, in bytes.
const LONGEST: usize = 253;

/// New names for old ones; `prefix` is what a name is made of of which nothing is left.
#[must_use]
pub fn assign<'n>(
    names: impl IntoIterator<Item = &'n str>,
    prefix: &str,
) -> BTreeMap<&'n str, String> {
    let names: Vec<&str> = names.into_iter().collect();
    let mut taken: BTreeSet<String> = names
        .iter()
        .filter(|name| is_object_name(name))
        .map(|name| (*name).to_owned())
        .collect();
    let mut assigned = BTreeMap::new();
    for (index, name) in names.iter().enumerate() {
        let new = if is_object_name(name) {
            (*name).to_owned()
        } else {
            let mut new = sanitised(name);
            if new.is_empty() {
                new = format!("{prefix}-{}", index + 1);
            }
            if taken.contains(&new) {
                new = with_digits(&new, name, &taken);
            }
            taken.insert(new.clone());
            new
        };
        assigned.insert(*name, new);
    }
    assigned
}

/// The name in ASCII: letters and digits, single `-` between them, and the dots that stand between such.
fn sanitised(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars().flat_map(char::to_lowercase) {
        match c {
            'a'..='z' | '0'..='9' => out.push(c),
            '.' if out.ends_with(|last: char| last.is_ascii_alphanumeric()) => out.push('.'),
            // A combining mark belongs to the letter before it.
            '\u{300}'..='\u{36f}' => {}
            _ => match folded(c) {
                Some(letters) => out.push_str(letters),
                None if out.ends_with(['-', '.']) || out.is_empty() => {}
                None => out.push('-'),
            },
        }
    }
    cut(&out, LONGEST).to_owned()
}

/// At most so many bytes, and a letter or digit at both ends.
fn cut(name: &str, longest: usize) -> &str {
    name.get(..longest)
        .unwrap_or(name)
        .trim_matches(|c: char| !c.is_ascii_alphanumeric())
}

/// Latin letters without their marks.
fn folded(c: char) -> Option<&'static str> {
    Some(match c {
        'à'..='å' | 'ā' | 'ă' | 'ą' | 'ǎ' => "a",
        'æ' => "ae",
        'ç' | 'ć' | 'ĉ' | 'ċ' | 'č' => "c",
        'ð' | 'ď' | 'đ' => "d",
        'è'..='ë' | 'ē' | 'ĕ' | 'ė' | 'ę' | 'ě' => "e",
        'ĝ' | 'ğ' | 'ġ' | 'ģ' => "g",
        'ĥ' | 'ħ' => "h",
        'ì'..='ï' | 'ĩ' | 'ī' | 'ĭ' | 'į' | 'ı' => "i",
        'ĵ' => "j",
        'ķ' => "k",
        'ĺ' | 'ļ' | 'ľ' | 'ŀ' | 'ł' => "l",
        'ñ' | 'ń' | 'ņ' | 'ň' => "n",
        'ò'..='ö' | 'ø' | 'ō' | 'ŏ' | 'ő' => "o",
        'œ' => "oe",
        'ŕ' | 'ŗ' | 'ř' => "r",
        'ś' | 'ŝ' | 'ş' | 'š' | 'ș' => "s",
        'ß' => "ss",
        'ţ' | 'ť' | 'ŧ' | 'ț' => "t",
        'þ' => "th",
        'ù'..='ü' | 'ũ' | 'ū' | 'ŭ' | 'ů' | 'ű' | 'ų' => "u",
        'ŵ' => "w",
        'ý' | 'ÿ' | 'ŷ' => "y",
        'ź' | 'ż' | 'ž' => "z",
        _ => return None,
    })
}

/// The name with as many digits of the original's hash, from six on, as make it a new one.
fn with_digits(name: &str, original: &str, taken: &BTreeSet<String>) -> String {
    let mut digits = String::new();
    for byte in Sha256::digest(original.as_bytes()) {
        digits.push_str(&format!("{byte:02x}"));
    }
    let named = |count: usize| {
        let digits = digits.get(..count).unwrap_or(&digits);
        let stem = cut(name, LONGEST - 1 - digits.len());
        format!("{stem}-{digits}")
    };
    // Two originals with the same 256 bits cannot be found.
    (6..=digits.len())
        .map(named)
        .find(|name| !taken.contains(name))
        .unwrap_or_else(|| named(digits.len()))
}
