//! A configuration as upstream's converter reads it, which is not what 0.12 runs.
//!
//! YAML becomes JSON, JSON becomes the structure: unknown keys are dropped, of equal keys the last counts, the case of keys means
//! nothing, and a scalar without quotes that is meant as text becomes what YAML takes it for: `0123456` is "42798", `yes` is
//! "true", `1.10` is "1.1".
//!
//! Upstream: `sigs.k8s.io/yaml` (`yaml.Unmarshal` without strictness, `convertToJSONableObject`), Go's `encoding/json`.
//!
//! Invariant: at most [`MAX_VALUES`] values are made, however many the document's aliases would give.

use std::collections::BTreeMap;
use std::fmt;

use crate::raw::{
    AddressPool, BfdProfile, BgpAdvertisement, ConfigFile, NodeSelector, Peer, SelectorRequirement,
};
use crate::yaml::decode::{Field, Text, TextMap};
use crate::yaml::resolve::{Meaning, Tag, resolve};
use crate::yaml::{Content, Document, NodeId, Style};

/// The most values that a document is read as: a text of 1 MiB without aliases cannot have more.
pub const MAX_VALUES: usize = 1 << 20;
/// The deepest nesting.
const MAX_DEPTH: usize = 300;

/// What upstream's converter cannot read either.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LaxError {
    /// A value of another type than wanted: the way to it, and what is wanted.
    WrongType(String, &'static str),
    /// A key that JSON cannot have.
    Key,
    /// A tag that contradicts its scalar, a merge of what is no mapping, or an alias that contains itself.
    Contradiction,
    /// Aliases multiply too much.
    TooMuch,
}

impl fmt::Display for LaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // The value is not told: it may be a password.
            Self::WrongType(path, wanted) => {
                write!(f, "error unmarshaling JSON: {path}: {wanted} is wanted")
            }
            Self::Key => f.write_str("error converting YAML to JSON: a key is no scalar, or null"),
            Self::Contradiction => f.write_str(
                "error converting YAML to JSON: a tag contradicts its value, a merge key has no mapping, or an \
                 alias contains itself",
            ),
            Self::TooMuch => f.write_str("the document's aliases give too many values"),
        }
    }
}

impl std::error::Error for LaxError {}

/// A value of JSON, with the difference between whole and other numbers.
#[derive(Debug, Clone, PartialEq)]
enum Json {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(String),
    List(Vec<Json>),
    Map(BTreeMap<String, Json>),
}

/// Reads a configuration as upstream's converter does.
///
/// # Errors
/// See [`LaxError`].
pub fn read(document: &Document, root: Option<NodeId>) -> Result<ConfigFile, LaxError> {
    let Some(root) = root else {
        return Ok(ConfigFile::default());
    };
    let mut reader = Reader {
        document,
        left: MAX_VALUES,
    };
    let json = reader.value(root, 0)?;
    config(&json)
}

/// From YAML to JSON.
struct Reader<'d> {
    document: &'d Document,
    /// How many values more there may be.
    left: usize,
}

impl Reader<'_> {
    fn value(&mut self, id: NodeId, depth: usize) -> Result<Json, LaxError> {
        self.left = self.left.checked_sub(1).ok_or(LaxError::TooMuch)?;
        if depth > MAX_DEPTH {
            return Err(LaxError::Contradiction);
        }
        let node = self.document.resolved(id).ok_or(LaxError::Contradiction)?;
        match &node.content {
            Content::Scalar(text, style) => {
                let tag = Tag::from_long(&node.tag);
                if tag.is_none() && *style != Style::Plain {
                    return Ok(Json::Text(text.to_string()));
                }
                let meaning = resolve(tag.as_ref(), text).map_err(|_| LaxError::Contradiction)?;
                Ok(match meaning {
                    Meaning::Null => Json::Null,
                    Meaning::Bool(value) => Json::Bool(value),
                    Meaning::Int(value) => Json::Int(value),
                    Meaning::Float(value) => Json::Float(value),
                    Meaning::Timestamp | Meaning::Text => Json::Text(text.to_string()),
                    Meaning::Binary(text) => Json::Text(text),
                })
            }
            Content::Sequence(items) => items
                .iter()
                .map(|item| self.value(*item, depth + 1))
                .collect::<Result<_, _>>()
                .map(Json::List),
            Content::Mapping(pairs) => {
                let mut map = BTreeMap::new();
                self.pairs(pairs, &mut map, depth)?;
                Ok(Json::Map(map))
            }
            Content::Alias(_) => Err(LaxError::Contradiction),
        }
    }

    /// The pairs of a mapping; of equal keys the last counts, also where it comes from a merge.
    fn pairs(
        &mut self,
        pairs: &[(NodeId, NodeId)],
        map: &mut BTreeMap<String, Json>,
        depth: usize,
    ) -> Result<(), LaxError> {
        for (key, value) in pairs {
            let node = self.document.node(*key);
            let is_merge = node.is_some_and(|node| {
                node.tag.is_empty()
                    && matches!(&node.content, Content::Scalar(text, Style::Plain) if &**text == "<<")
            });
            if is_merge {
                self.merge(*value, map, depth + 1)?;
                continue;
            }
            let key = text(self.value(*key, depth + 1)?).ok_or(LaxError::Key)?;
            let value = self.value(*value, depth + 1)?;
            map.insert(key, value);
        }
        Ok(())
    }

    fn merge(
        &mut self,
        id: NodeId,
        map: &mut BTreeMap<String, Json>,
        depth: usize,
    ) -> Result<(), LaxError> {
        self.left = self.left.checked_sub(1).ok_or(LaxError::TooMuch)?;
        if depth > MAX_DEPTH {
            return Err(LaxError::Contradiction);
        }
        let document = self.document;
        let items = match document.node(id).map(|node| &node.content) {
            Some(Content::Sequence(items)) => items.as_slice(),
            _ => std::slice::from_ref(&id),
        };
        for item in items.iter().rev() {
            match document.resolved(*item).map(|node| &node.content) {
                Some(Content::Mapping(pairs)) => self.pairs(pairs, map, depth)?,
                _ => return Err(LaxError::Contradiction),
            }
        }
        Ok(())
    }
}

/// A scalar as text, as Go prints it; `None` for null and for collections.
fn text(value: Json) -> Option<String> {
    Some(match value {
        Json::Text(text) => text,
        Json::Bool(value) => value.to_string(),
        Json::Int(value) => value.to_string(),
        Json::Float(value) => float(value),
        Json::Null | Json::List(_) | Json::Map(_) => return None,
    })
}

/// Go's `FormatFloat(value, 'g', -1, 32)`: the number is a float32 first.
fn float(value: f64) -> String {
    let value: f32 = value.to_string().parse().unwrap_or(f32::NAN);
    let scientific = format!("{value:e}");
    let Some((mantissa, exponent)) = scientific.split_once('e') else {
        return scientific;
    };
    match exponent.parse::<i32>() {
        Ok(exponent) if (-4..6).contains(&exponent) => value.to_string(),
        Ok(exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{mantissa}e{sign}{:02}", exponent.unsigned_abs())
        }
        Err(_) => scientific,
    }
}

/// A JSON object while its fields are read.
struct Fields<'j> {
    path: String,
    map: &'j BTreeMap<String, Json>,
}

impl<'j> Fields<'j> {
    /// An object; null is an empty one.
    fn of(path: String, value: &'j Json) -> Result<Self, LaxError> {
        static EMPTY: BTreeMap<String, Json> = BTreeMap::new();
        match value {
            Json::Map(map) => Ok(Self { path, map }),
            Json::Null => Ok(Self { path, map: &EMPTY }),
            _ => Err(LaxError::WrongType(path, "a mapping")),
        }
    }

    /// The value of a field. Upstream: keys are looked at in their order, whatever their case; the last counts, null does not.
    fn get(&self, name: &str) -> Option<&'j Json> {
        self.map
            .iter()
            .rfind(|(key, value)| **value != Json::Null && key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    fn wrong(&self, name: &str, wanted: &'static str) -> LaxError {
        LaxError::WrongType(format!("{}.{name}", self.path), wanted)
    }

    fn text(&self, name: &str) -> Result<Field<String>, LaxError> {
        let Some(value) = self.get(name) else {
            return Ok(Field::default());
        };
        text(value.clone())
            .map(field)
            .ok_or_else(|| self.wrong(name, "text"))
    }

    fn bool(&self, name: &str) -> Result<Field<Option<bool>>, LaxError> {
        match self.get(name) {
            None => Ok(Field::default()),
            Some(Json::Bool(value)) => Ok(field(Some(*value))),
            Some(_) => Err(self.wrong(name, "a boolean")),
        }
    }

    fn flag(&self, name: &str) -> Result<Field<bool>, LaxError> {
        Ok(field(self.bool(name)?.value.unwrap_or_default()))
    }

    fn int<T: TryFrom<i128>>(&self, name: &str) -> Result<Field<Option<T>>, LaxError> {
        let whole = match self.get(name) {
            None => return Ok(Field::default()),
            Some(Json::Int(value)) => Some(*value),
            // JSON has one kind of number: 1e3 is a whole one.
            Some(Json::Float(value)) if value.fract() == 0.0 && value.abs() < 1e21 => {
                format!("{value:.0}").parse().ok()
            }
            Some(_) => None,
        };
        whole
            .and_then(|whole| T::try_from(whole).ok())
            .map(|value| field(Some(value)))
            .ok_or_else(|| self.wrong(name, "a whole number in range"))
    }

    fn number<T: TryFrom<i128> + Default>(&self, name: &str) -> Result<Field<T>, LaxError> {
        Ok(field(self.int(name)?.value.unwrap_or_default()))
    }

    /// A list; `None` where there is none.
    fn list<T>(
        &self,
        name: &str,
        item: impl Fn(String, &Json) -> Result<T, LaxError>,
    ) -> Result<Option<Vec<T>>, LaxError> {
        match self.get(name) {
            None => Ok(None),
            Some(Json::List(items)) => items
                .iter()
                .enumerate()
                .map(|(index, value)| item(format!("{}.{name}[{index}]", self.path), value))
                .collect::<Result<_, _>>()
                .map(Some),
            Some(_) => Err(self.wrong(name, "a list")),
        }
    }

    fn records<T>(
        &self,
        name: &str,
        record: impl Fn(&Fields<'_>) -> Result<T, LaxError>,
    ) -> Result<Field<Vec<T>>, LaxError> {
        let items = self.list(name, |path, value| record(&Fields::of(path, value)?))?;
        Ok(field(items.unwrap_or_default()))
    }

    fn texts(&self, name: &str) -> Result<Option<Vec<Text>>, LaxError> {
        self.list(name, |path, value| {
            let text = match value {
                Json::Null => String::new(),
                value => text(value.clone()).ok_or(LaxError::WrongType(path, "text"))?,
            };
            Ok(Text(field(text.into())))
        })
    }

    fn text_map(&self, name: &str) -> Result<Field<TextMap>, LaxError> {
        let Some(value) = self.get(name) else {
            return Ok(Field::default());
        };
        let fields = Fields::of(format!("{}.{name}", self.path), value)?;
        let mut map = TextMap::new();
        for (key, value) in fields.map {
            let text = match value {
                Json::Null => String::new(),
                value => text(value.clone()).ok_or_else(|| fields.wrong(key, "text"))?,
            };
            map.insert(key.clone(), field(text));
        }
        Ok(field(map))
    }
}

/// A field without a place.
fn field<T>(value: T) -> Field<T> {
    Field {
        value,
        place: None,
        faulty: false,
    }
}

fn config(json: &Json) -> Result<ConfigFile, LaxError> {
    let fields = Fields::of("config".to_owned(), json)?;
    Ok(ConfigFile {
        place: None,
        peers: fields.records("peers", peer)?,
        bgp_communities: fields.text_map("bgp-communities")?,
        address_pools: fields.records("address-pools", pool)?,
        bfd_profiles: fields.records("bfd-profiles", profile)?,
    })
}

fn peer(fields: &Fields<'_>) -> Result<Peer, LaxError> {
    Ok(Peer {
        place: None,
        my_asn: fields.number("my-asn")?,
        peer_asn: fields.number("peer-asn")?,
        peer_address: fields.text("peer-address")?,
        source_address: fields.text("source-address")?,
        peer_port: fields.number("peer-port")?,
        hold_time: fields.text("hold-time")?,
        keepalive_time: fields.text("keepalive-time")?,
        router_id: fields.text("router-id")?,
        node_selectors: fields.records("node-selectors", selector)?,
        password: fields.text("password")?,
        bfd_profile: fields.text("bfd-profile")?,
        ebgp_multihop: fields.flag("ebgp-multihop")?,
    })
}

fn selector(fields: &Fields<'_>) -> Result<NodeSelector, LaxError> {
    Ok(NodeSelector {
        place: None,
        match_labels: fields.text_map("match-labels")?,
        match_expressions: fields.records("match-expressions", |fields| {
            Ok(SelectorRequirement {
                place: None,
                key: fields.text("key")?,
                operator: fields.text("operator")?,
                values: field(fields.texts("values")?.unwrap_or_default()),
            })
        })?,
    })
}

fn pool(fields: &Fields<'_>) -> Result<AddressPool, LaxError> {
    Ok(AddressPool {
        place: None,
        protocol: fields.text("protocol")?,
        name: fields.text("name")?,
        addresses: field(fields.texts("addresses")?.unwrap_or_default()),
        avoid_buggy_ips: fields.flag("avoid-buggy-ips")?,
        auto_assign: fields.bool("auto-assign")?,
        bgp_advertisements: fields.records("bgp-advertisements", |fields| {
            Ok(BgpAdvertisement {
                place: None,
                aggregation_length: fields.int("aggregation-length")?,
                aggregation_length_v6: fields.int("aggregation-length-v6")?,
                localpref: fields.int("localpref")?,
                communities: field(fields.texts("communities")?),
            })
        })?,
    })
}

fn profile(fields: &Fields<'_>) -> Result<BfdProfile, LaxError> {
    Ok(BfdProfile {
        place: None,
        name: fields.text("name")?,
        receive_interval: fields.int("receive-interval")?,
        transmit_interval: fields.int("transmit-interval")?,
        detect_multiplier: fields.int("detect-multiplier")?,
        echo_interval: fields.int("echo-interval")?,
        echo_mode: fields.flag("echo-mode")?,
        passive_mode: fields.flag("passive-mode")?,
        minimum_ttl: fields.int("minimum-ttl")?,
    })
}
