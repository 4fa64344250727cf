//! What does not fit a schema, in words that help.

use std::borrow::Cow;
use std::fmt;

use super::Place;
use super::decode::{MAX_MERGES, MAX_RECORDS};
use crate::go::quote::quote;

/// What does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What it is.
    pub kind: FaultKind,
    /// The way to the value: `address-pools[1].protocol`; empty for the document itself.
    pub path: String,
    /// Where.
    pub place: Place,
}

/// Why something does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FaultKind {
    /// The record has no such field.
    UnknownField {
        /// As written.
        field: String,
        /// The field that was probably meant.
        suggestion: Option<&'static str>,
    },
    /// The record has the field already.
    DuplicateField {
        /// As written.
        field: String,
    },
    /// The map has the key already.
    DuplicateKey {
        /// As written.
        key: String,
    },
    /// Another type is wanted.
    WrongType {
        /// What it is: `!!str`, `!!seq` …
        found: String,
        /// The text, shortened; `None` for collections and secrets.
        text: Option<String>,
        /// What is wanted, in words.
        wanted: &'static str,
        /// What to do.
        help: Option<&'static str>,
    },
    /// Yaml.v2 gives up the document: the value contradicts its tag.
    TagMismatch {
        /// What it looks like.
        found: String,
        /// What the tag says.
        tag: String,
    },
    /// Yaml.v2 gives up the document: no valid base64.
    Base64,
    /// Yaml.v2 gives up the document: `<<` wants a mapping or a sequence of mappings.
    MergeWantsMap,
    /// Yaml.v2 gives up the document: an anchor's value contains its own alias.
    SelfContaining,
    /// Yaml.v2 gives up the document: aliases multiply it.
    ExcessiveAliasing,
    /// Merges are nested deeper than [`MAX_MERGES`].
    NestedMerges,
    /// The document has more than [`MAX_RECORDS`] records.
    TooManyRecords,
}

impl FaultKind {
    /// A stable word for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownField { .. } => "unknown-field",
            Self::DuplicateField { .. } => "duplicate-field",
            Self::DuplicateKey { .. } => "duplicate-key",
            Self::WrongType { .. } => "wrong-type",
            Self::TagMismatch { .. } => "tag-mismatch",
            Self::Base64 => "invalid-base64",
            Self::MergeWantsMap => "invalid-merge",
            Self::SelfContaining => "self-containing-anchor",
            Self::ExcessiveAliasing | Self::NestedMerges => "excessive-aliasing",
            Self::TooManyRecords => "too-large",
        }
    }

    /// What to do.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        match self {
            Self::UnknownField { suggestion, .. } => {
                suggestion.map(|field| format!("did you mean `{field}`?"))
            }
            Self::DuplicateField { .. } | Self::DuplicateKey { .. } => {
                Some("keep one of them".to_owned())
            }
            Self::WrongType { help, .. } => help.map(str::to_owned),
            Self::TagMismatch { .. } => Some("remove the tag or correct the value".to_owned()),
            _ => None,
        }
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownField { field, .. } => {
                write!(f, "unknown field {}", quote(&shorten(field)))
            }
            Self::DuplicateField { field } => {
                write!(f, "field {} is already set", quote(&shorten(field)))
            }
            Self::DuplicateKey { key } => write!(f, "key {} is already set", quote(&shorten(key))),
            Self::WrongType {
                found,
                text,
                wanted,
                ..
            } => {
                write!(f, "{}", in_words(found))?;
                if let Some(text) = text {
                    write!(f, " {}", quote(text))?;
                }
                write!(f, " where {wanted} is wanted")
            }
            Self::TagMismatch { found, tag } => {
                write!(f, "{} is tagged as {}", in_words(found), as_written(tag))
            }
            Self::Base64 => f.write_str("!!binary without valid base64"),
            Self::MergeWantsMap => {
                f.write_str("a merge key (`<<`) wants a mapping or a list of mappings")
            }
            Self::SelfContaining => f.write_str("an anchor's value contains its own alias"),
            Self::ExcessiveAliasing => {
                f.write_str("the document consists of aliases for the most part")
            }
            Self::NestedMerges => {
                write!(f, "more than {MAX_MERGES} merge keys inside one another")
            }
            Self::TooManyRecords => write!(f, "more than {MAX_RECORDS} peers, pools and the like"),
        }
    }
}

/// A type as people call it.
fn in_words(tag: &str) -> Cow<'_, str> {
    Cow::Borrowed(match tag {
        "!!null" => "nothing",
        "!!bool" => "boolean",
        "!!int" => "number",
        "!!float" => "number",
        "!!str" => "text",
        "!!timestamp" => "date",
        "!!seq" => "a list",
        "!!map" => "a mapping",
        other => return as_written(other),
    })
}

/// A tag; one that is long or has odd characters (a tag may escape any: `!%0A`) is quoted, so that a message is one line.
fn as_written(tag: &str) -> Cow<'_, str> {
    if tag.len() <= 40 && tag.bytes().all(|byte| byte.is_ascii_graphic()) {
        Cow::Borrowed(tag)
    } else {
        Cow::Owned(quote(&shorten(tag)))
    }
}

/// At most 40 characters.
pub(super) fn shorten(text: &str) -> String {
    match text.char_indices().nth(40) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
    }
}

/// Adds a key to a path; one with odd characters is quoted.
pub fn push_key(path: &mut String, key: &str) {
    let plain = !key.is_empty()
        && key.len() <= 64
        && key
            .chars()
            .all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '/' | '@'));
    if plain {
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(key);
    } else {
        path.push('[');
        path.push_str(&quote(&shorten(key)));
        path.push(']');
    }
}

/// The field that was probably meant: the same but for case, hyphens and underscores (`bfdProfile`), or nearly so.
#[must_use]
pub fn suggest(name: &str, fields: &[&'static str]) -> Option<&'static str> {
    if name.len() > 64 {
        return None;
    }
    let bare = |text: &str| -> String {
        text.chars()
            .filter(|c| c.is_alphanumeric())
            .flat_map(char::to_lowercase)
            .collect()
    };
    let wanted = bare(name);
    if wanted.is_empty() {
        return None;
    }
    fields
        .iter()
        .map(|field| (strsim::damerau_levenshtein(&bare(field), &wanted), *field))
        .filter(|(distance, field)| *distance == 0 || *distance * 4 <= field.len().max(4))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, field)| field)
        .or_else(|| {
            // A part of the name: `asn`, `address`, only where one field has it.
            let mut holding = fields.iter().filter(|field| {
                wanted.len() >= 4
                    && (bare(field).ends_with(&wanted) || wanted.ends_with(&bare(field)))
            });
            match (holding.next(), holding.next()) {
                (Some(field), None) => Some(*field),
                _ => None,
            }
        })
}
