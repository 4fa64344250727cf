//! Names of resources for names of 0.12, which may be any text.
//!
//! A name that an API server takes stays. Any other is folded to ASCII, in lower case, with `-` for what is left over; if that name is
//! taken it gets digits of the original's SHA-256.
//!
//! Invariant: the new names are valid, all different, and depend on the set of the old names alone.

use std::collections::{BTreeMap, BTreeSet};

use ferrolb_compat::go::quote::quote;
use ferrolb_compat::migrate::{is_object_name, to_k8s};
use sha2::{Digest, Sha256};

/// The longest name, in bytes.
const LONGEST: usize = 253;

/// How resources get their names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Naming {
    /// A valid name stays, any other is folded.
    #[default]
    Rfc1123,
    /// As upstream's converter names them, where an API server takes that.
    Upstream,
    /// A name that an API server does not take is refused.
    Keep,
    /// Those that are named get these names; the others as with [`Self::Rfc1123`].
    Map(BTreeMap<String, String>),
}

/// Names, and what stands against them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Assigned<'n> {
    /// New names by old ones.
    pub names: BTreeMap<&'n str, String>,
    /// Old names whose new name was that of another at first.
    pub collided: BTreeSet<&'n str>,
    /// Old names that cannot have the wanted one: the code, and why.
    pub refused: Vec<(&'n str, &'static str, String)>,
}

/// New names for old ones; `prefix` is what a name is made of of which nothing is left.
#[must_use]
pub fn assign<'n>(
    names: impl IntoIterator<Item = &'n str>,
    prefix: &str,
) -> BTreeMap<&'n str, String> {
    choose(names, prefix, &Naming::Rfc1123).names
}

/// New names for old ones, as is wanted.
#[must_use]
pub fn choose<'n>(
    names: impl IntoIterator<Item = &'n str>,
    prefix: &str,
    naming: &Naming,
) -> Assigned<'n> {
    let names: Vec<&str> = names.into_iter().collect();
    match naming {
        Naming::Rfc1123 => folded_names(&names, prefix, &BTreeMap::new()),
        Naming::Map(map) => folded_names(&names, prefix, map),
        Naming::Keep => {
            let mut assigned = Assigned::default();
            for name in names {
                if !is_object_name(name) {
                    let why = format!("{} is no name of a resource", quote(name));
                    assigned.refused.push((name, "MIG012", why));
                }
                assigned.names.insert(name, name.to_owned());
            }
            assigned
        }
        Naming::Upstream => {
            let mut assigned = Assigned::default();
            let mut taken = BTreeSet::new();
            for name in names {
                let new = to_k8s(name).unwrap_or_default();
                if !is_object_name(&new) {
                    let why = format!(
                        "upstream's converter makes {} of {}, which is no name of a resource",
                        quote(&new),
                        quote(name)
                    );
                    assigned.refused.push((name, "MIG012", why));
                } else if !taken.insert(new.clone()) {
                    let why = format!("upstream's converter gives {new} to another one as well");
                    assigned.refused.push((name, "MIG013", why));
                }
                assigned.names.insert(name, new);
            }
            assigned
        }
    }
}

/// A wanted name, else the own one if it is valid, else one that is made of it.
fn folded_names<'n>(
    names: &[&'n str],
    prefix: &str,
    wanted: &BTreeMap<String, String>,
) -> Assigned<'n> {
    let mut assigned = Assigned::default();
    let mut taken: BTreeSet<String> = BTreeSet::new();
    for name in names {
        let wanted = wanted.get(*name);
        let new = wanted.map_or(*name, String::as_str);
        if is_object_name(new) {
            if !taken.insert(new.to_owned()) {
                let why = format!("{new} is the name of another one as well");
                assigned.refused.push((name, "MIG013", why));
            }
            assigned.names.insert(name, new.to_owned());
        } else if wanted.is_some() {
            let why = format!("{} is no name of a resource", quote(new));
            assigned.refused.push((name, "MIG012", why));
            assigned.names.insert(name, new.to_owned());
        }
    }
    for (index, name) in names.iter().enumerate() {
        if assigned.names.contains_key(name) {
            continue;
        }
        let mut new = sanitised(name);
        if new.is_empty() {
            new = format!("{prefix}-{}", index + 1);
        }
        if taken.contains(&new) {
            new = with_digits(&new, name, &taken);
            assigned.collided.insert(name);
        }
        taken.insert(new.clone());
        assigned.names.insert(name, new);
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
