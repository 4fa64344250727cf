//! The types of a schema's fields: texts, booleans, integers, what may be absent, lists and maps.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::{Decode, Decoder, Field, GiveUp, Record, Step};
use crate::yaml::fault::FaultKind;
use crate::yaml::resolve::{Meaning, resolve};
use crate::yaml::{Content, Node, NodeId, Style};

impl Decode for String {
    fn decode(&mut self, decoder: &mut Decoder<'_>, id: NodeId) -> Result<bool, GiveUp> {
        decoder.node(id, |decoder, node| {
            match decoder.meaning(node)? {
                None => return decoder.wrong_type(node, "text", None),
                Some((Meaning::Null, _)) => self.clear(),
                Some((Meaning::Binary(text), _)) => *self = text,
                // Compat: any scalar is text as it is written: `name: 007`.
                Some((_, text)) => {
                    decoder.count_text(text, node.place)?;
                    text.clone_into(self);
                }
            }
            Ok(true)
        })
    }
}

/// What is wanted where a boolean is.
const BOOLEAN: &str = "true or false";

impl Decode for bool {
    fn decode(&mut self, decoder: &mut Decoder<'_>, id: NodeId) -> Result<bool, GiveUp> {
        decoder.node(id, |decoder, node| {
            *self = match decoder.meaning(node)? {
                Some((Meaning::Null, _)) => false,
                Some((Meaning::Bool(value), _)) => value,
                Some((Meaning::Text, text)) if is_quoted(node) && by_looks_boolean(text) => {
                    return decoder.wrong_type(node, BOOLEAN, Some("remove the quotes"));
                }
                _ => return decoder.wrong_type(node, BOOLEAN, None),
            };
            Ok(true)
        })
    }
}

/// Whether a scalar is between quotes.
fn is_quoted(node: &Node) -> bool {
    matches!(
        node.content,
        Content::Scalar(_, Style::SingleQuoted | Style::DoubleQuoted)
    )
}

/// Whether a text would be a boolean without its quotes.
fn by_looks_boolean(text: &str) -> bool {
    matches!(resolve(None, text), Ok(Meaning::Bool(_)))
}

/// An integer type of the schema.
trait Integer: Copy {
    /// What is wanted, in words.
    const WANTED: &'static str;
    /// From an exact integer.
    fn from_int(int: i128) -> Option<Self>;
    /// From a float, cut.
    fn from_float(float: f64) -> Option<Self>;
}

/// A float, cut towards zero; `None` beyond 2^64 and for NaN.
fn cut(float: f64) -> Option<i128> {
    if float.is_nan() || float.abs() > 18_446_744_073_709_551_616.0 {
        return None;
    }
    // No conversion that can be checked exists between the two: the decimal form has no fraction and is exact.
    format!("{:.0}", float.trunc()).parse().ok()
}

macro_rules! unsigned {
    ($($type:ty: $wanted:literal),*) => {$(
        impl Integer for $type {
            const WANTED: &'static str = $wanted;
            fn from_int(int: i128) -> Option<Self> {
                Self::try_from(int).ok()
            }
            fn from_float(float: f64) -> Option<Self> {
                Self::try_from(cut(float)?).ok()
            }
        }
    )*};
}

unsigned!(u16: "a whole number from 0 to 65535", u32: "a whole number from 0 to 4294967295");

impl Integer for i64 {
    const WANTED: &'static str = "a whole number";
    fn from_int(int: i128) -> Option<Self> {
        Self::try_from(int).ok()
    }
    fn from_float(float: f64) -> Option<Self> {
        // Compat: Go compares with 2^63, which a float64 cannot tell from the largest int64, and the processor makes the
        // smallest int64 of everything that does not fit.
        if float.is_nan() || float > 9_223_372_036_854_775_808.0 {
            return None;
        }
        Some(
            cut(float)
                .and_then(|int| Self::try_from(int).ok())
                .unwrap_or(Self::MIN),
        )
    }
}

/// Decodes an integer; `None` where it does not fit, with the fault reported.
fn decode_int<T: Integer>(
    decoder: &mut Decoder<'_>,
    id: NodeId,
    zero: T,
) -> Result<Option<T>, GiveUp> {
    decoder.node(id, |decoder, node| {
        let (value, help) = match decoder.meaning(node)? {
            Some((Meaning::Null, _)) => (Some(zero), None),
            Some((Meaning::Int(int), _)) => (T::from_int(int), None),
            Some((Meaning::Float(float), _)) => (T::from_float(float), None),
            Some((Meaning::Text, text))
                if is_quoted(node)
                    && matches!(resolve(None, text), Ok(Meaning::Int(_) | Meaning::Float(_))) =>
            {
                (None, Some("remove the quotes"))
            }
            _ => (None, None),
        };
        if value.is_none() {
            decoder.wrong_type(node, T::WANTED, help)?;
        }
        Ok(value)
    })
}

macro_rules! decode_integers {
    ($($type:ty),*) => {$(
        impl Decode for $type {
            fn decode(&mut self, decoder: &mut Decoder<'_>, id: NodeId) -> Result<bool, GiveUp> {
                let value = decode_int(decoder, id, 0)?;
                *self = value.unwrap_or(*self);
                Ok(value.is_some())
            }
        }
    )*};
}

decode_integers!(u16, u32, i64);

impl<T: Decode + Default> Decode for Option<T> {
    fn decode(&mut self, decoder: &mut Decoder<'_>, id: NodeId) -> Result<bool, GiveUp> {
        let absent = decoder
            .document
            .resolved(id)
            .is_some_and(Decoder::is_absent);
        if absent {
            // Counted as a value, and refused if its tag contradicts it.
            return decoder.node(id, |decoder, node| {
                decoder.meaning(node)?;
                *self = None;
                Ok(true)
            });
        }
        // Compat: `NULL` gets here, and is zero rather than absent.
        let mut value = T::default();
        let fits = value.decode(decoder, id)?;
        *self = Some(value);
        Ok(fits)
    }
}

/// What a list holds.
pub trait Item: Default {
    /// Decodes an item.
    ///
    /// # Errors
    /// The document is given up.
    fn decode_item(&mut self, decoder: &mut Decoder<'_>, id: NodeId) -> Result<bool, GiveUp>;
}

impl<T: Record> Item for T {
    fn decode_item(&mut self, decoder: &mut Decoder<'_>, id: NodeId) -> Result<bool, GiveUp> {
        decoder.record(id, self)
    }
}

/// A text in a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Text(pub Field<Box<str>>);

impl Item for Text {
    fn decode_item(&mut self, decoder: &mut Decoder<'_>, id: NodeId) -> Result<bool, GiveUp> {
        let mut text = String::new();
        let fits = text.decode(decoder, id)?;
        self.0 = Field {
            value: text.into(),
            place: Some(decoder.place(id)),
            faulty: !fits,
        };
        Ok(fits)
    }
}

impl<T: Item> Decode for Vec<T> {
    fn decode(&mut self, decoder: &mut Decoder<'_>, id: NodeId) -> Result<bool, GiveUp> {
        decoder.node(id, |decoder, node| {
            let Content::Sequence(items) = &node.content else {
                if decoder.is_null(node)? {
                    self.clear();
                    return Ok(true);
                }
                let help = "write its items as `- item` lines or as `[item, item]`";
                return decoder.wrong_type(node, "a list", Some(help));
            };
            self.clear();
            for (index, item) in items.iter().enumerate() {
                decoder.path.push(Step::Index(index));
                let mut value = T::default();
                let fits = value.decode_item(decoder, *item);
                decoder.path.pop();
                fits?;
                // One that does not fit keeps its place, so that the numbers of the others stay right.
                self.push(value);
            }
            Ok(true)
        })
    }
}

/// A map from text to text. Every value has its place.
pub type TextMap = BTreeMap<String, Field<String>>;

impl Decode for TextMap {
    fn decode(&mut self, decoder: &mut Decoder<'_>, id: NodeId) -> Result<bool, GiveUp> {
        decoder.node(id, |decoder, node| {
            if let Content::Mapping(pairs) = &node.content {
                decoder.pairs(pairs, self)?;
                return Ok(true);
            }
            if decoder.is_null(node)? {
                self.clear();
                return Ok(true);
            }
            decoder.wrong_type(node, "a mapping", None)
        })
    }
}

impl<'d> Decoder<'d> {
    /// The pairs of a map.
    fn pairs(&mut self, pairs: &'d [(NodeId, NodeId)], out: &mut TextMap) -> Result<(), GiveUp> {
        for (key, value) in pairs {
            if self.is_merge(*key) {
                self.merge(*value, |decoder, pairs| decoder.pairs(pairs, out))?;
                continue;
            }
            let mut name = String::new();
            if !name.decode(self, *key)? {
                continue;
            }
            self.path.push(Step::Key(name));
            let mut text = String::new();
            let fits = text.decode(self, *value);
            let place = self.place(*value);
            if let (Ok(fits), Some(Step::Key(name))) = (fits, self.path.last().cloned()) {
                match out.entry(name) {
                    Entry::Vacant(entry) => {
                        entry.insert(Field {
                            value: text,
                            place: Some(place),
                            faulty: !fits,
                        });
                    }
                    Entry::Occupied(entry) if fits => {
                        let key_name = entry.key().clone();
                        // Compat: yaml.v2 points to the value; we point to the key.
                        self.report(FaultKind::DuplicateKey { key: key_name }, self.place(*key));
                    }
                    Entry::Occupied(_) => {}
                }
            }
            self.path.pop();
            fits?;
        }
        Ok(())
    }
}
