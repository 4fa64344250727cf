//! From nodes to the values of a schema, by yaml.v2's strict rules.
//!
//! A schema is made of [`Record`]s (mappings with known fields), lists, maps and scalars; every value of a record is a
//! [`Field`], which knows where it was written. What does not fit is a [`Fault`]; decoding goes on, so that all faults are known
//! at once. Only what makes yaml.v2 give up the whole document ends it early.
//!
//! Upstream: `decode.go` of yaml.v2 2.4 with `strict`. Merge keys are applied where they stand, so that one that comes after a
//! field replaces it (`Compat:` YAML says otherwise).
//!
//! Invariant: the work is bounded although aliases multiply: by yaml.v2's own rule for the share of aliased values, by [`MAX_RECORDS`],
//! [`MAX_ALIASED_TEXT`] and [`MAX_MERGES`], and by [`MAX_FAULTS`] faults that are kept.

use super::fault::{Fault, FaultKind, push_key, shorten, suggest};
use super::resolve::{Meaning, Mismatch, Tag, resolve};
use super::{Content, Document, Node, NodeId, Place, Style};

mod types;

pub use types::{Item, Text, TextMap};

/// The most records (peers, pools, advertisements …) that are decoded: some 100 times the largest cluster's.
pub const MAX_RECORDS: u32 = 1 << 16;
/// The most merges inside one another.
pub const MAX_MERGES: u32 = 64;
/// The most text that aliases may multiply, in bytes, with 64 for each text.
pub const MAX_ALIASED_TEXT: usize = 16 << 20;
/// The most faults that are kept; of what comes later only the number is.
pub const MAX_FAULTS: usize = 200;

/// A value of a record, and where it was written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Field<T> {
    /// The value; the type's default where the field is absent or null.
    pub value: T,
    /// Where the value stands; `None`: the field is absent.
    pub place: Option<Place>,
    /// Whether a fault of this field was reported already: what follows from it is not worth saying.
    pub faulty: bool,
}

/// A mapping with known fields.
pub trait Record: Default {
    /// The names of the fields, as upstream spells them.
    const FIELDS: &'static [&'static str];

    /// Decodes the value of the field with this index in [`Self::FIELDS`]; returns whether it fits.
    ///
    /// # Errors
    /// The document is given up.
    fn decode_field(
        &mut self,
        index: usize,
        decoder: &mut Decoder<'_>,
        node: NodeId,
    ) -> Result<(), GiveUp>;

    /// Marks an absent field as faulty: another field is probably a misspelling of it.
    fn suspect(&mut self, index: usize);

    /// Remembers where the record stands.
    fn set_place(&mut self, place: Place);
}

/// Anything that can be decoded from a node.
pub trait Decode {
    /// Decodes the node into `self`; returns whether it fits, with the fault reported if not.
    ///
    /// # Errors
    /// The document is given up.
    fn decode(&mut self, decoder: &mut Decoder<'_>, node: NodeId) -> Result<bool, GiveUp>;
}

/// The document is given up; the reason is the decoder's last fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GiveUp;

/// A step of the way to a value.
#[derive(Debug, Clone)]
enum Step {
    /// A known field.
    Field(&'static str),
    /// A key of a map, or a field that is not known.
    Key(String),
    /// An item of a list, from 0.
    Index(usize),
}

/// Decodes one document.
#[derive(Debug)]
pub struct Decoder<'d> {
    /// The document.
    document: &'d Document,
    /// The faults so far.
    faults: Vec<Fault>,
    /// How many more there were.
    unkept: usize,
    /// The way to the value being decoded.
    path: Vec<Step>,
    /// The anchored nodes whose aliases are being decoded.
    aliases: Vec<NodeId>,
    /// Merges being applied.
    merges: u32,
    /// Values decoded.
    decoded: u64,
    /// Of these, inside aliases.
    aliased: u64,
    /// Records decoded.
    records: u32,
    /// Text decoded inside aliases, in bytes, with 64 for each text.
    aliased_text: usize,
}

/// What decoding a document gave.
#[derive(Debug)]
pub struct Decoded<T> {
    /// The value, as far as it could be decoded.
    pub value: T,
    /// What does not fit, in the order of the text; empty for a good document.
    pub faults: Vec<Fault>,
    /// How many more faults there were.
    pub unkept: usize,
    /// Whether the document was given up, so that the value is not complete.
    pub given_up: bool,
}

/// Decodes a node of a document as a record. `None`, an empty document, leaves every field at its default.
#[must_use]
pub fn decode<T: Record>(document: &Document, root: Option<NodeId>) -> Decoded<T> {
    let mut decoder = Decoder {
        document,
        faults: Vec::new(),
        unkept: 0,
        path: Vec::new(),
        aliases: Vec::new(),
        merges: 0,
        // Upstream counts the document itself.
        decoded: 1,
        aliased: 0,
        records: 0,
        aliased_text: 0,
    };
    let mut value = T::default();
    let given_up = match root {
        None => false,
        Some(root) => decoder.record(root, &mut value).is_err(),
    };
    Decoded {
        value,
        faults: decoder.faults,
        unkept: decoder.unkept,
        given_up,
    }
}

impl<'d> Decoder<'d> {
    /// Decodes a node into a record.
    ///
    /// # Errors
    /// The document is given up.
    pub fn record<T: Record>(&mut self, id: NodeId, out: &mut T) -> Result<bool, GiveUp> {
        self.node(id, |decoder, node| {
            if let Content::Mapping(pairs) = &node.content {
                decoder.count_record(node.place)?;
                out.set_place(node.place);
                decoder.fields(pairs, out)?;
                return Ok(true);
            }
            if decoder.is_null(node)? {
                decoder.count_record(node.place)?;
                *out = T::default();
                out.set_place(node.place);
                return Ok(true);
            }
            decoder.wrong_type(node, "a mapping", None)
        })
    }

    /// Decodes a field.
    ///
    /// # Errors
    /// The document is given up.
    pub fn field<T: Decode>(
        &mut self,
        name: &'static str,
        id: NodeId,
        out: &mut Field<T>,
    ) -> Result<(), GiveUp> {
        self.path.push(Step::Field(name));
        out.place = self.document.node(id).map(|node| node.place);
        let fits = out.value.decode(self, id);
        self.path.pop();
        out.faulty = !fits?;
        Ok(())
    }

    /// The fields of a record.
    fn fields<T: Record>(
        &mut self,
        pairs: &'d [(NodeId, NodeId)],
        out: &mut T,
    ) -> Result<(), GiveUp> {
        let mut done = vec![false; T::FIELDS.len()];
        let mut suspects = Vec::new();
        for (key, value) in pairs {
            if self.is_merge(*key) {
                self.merge(*value, |decoder, pairs| decoder.fields(pairs, out))?;
                continue;
            }
            let mut name = String::new();
            if !name.decode(self, *key)? {
                continue;
            }
            let place = self.place(*key);
            let Some(index) = T::FIELDS.iter().position(|field| *field == name) else {
                let suggestion = suggest(&name, T::FIELDS);
                suspects.extend(suggestion);
                self.path.push(Step::Key(name.clone()));
                self.report(
                    FaultKind::UnknownField {
                        field: name,
                        suggestion,
                    },
                    place,
                );
                self.path.pop();
                continue;
            };
            if let Some(flag) = done.get_mut(index) {
                if *flag {
                    self.path.push(Step::Key(name.clone()));
                    self.report(FaultKind::DuplicateField { field: name }, place);
                    self.path.pop();
                    continue;
                }
                *flag = true;
            }
            out.decode_field(index, self, *value)?;
        }
        for suspect in suspects {
            let index = T::FIELDS.iter().position(|field| *field == suspect);
            if let Some(index) = index.filter(|index| done.get(*index) == Some(&false)) {
                out.suspect(index);
            }
        }
        Ok(())
    }

    /// Applies a merge key's value: the mapping, or the mappings from the last to the first.
    fn merge(
        &mut self,
        id: NodeId,
        mut apply: impl FnMut(&mut Self, &'d [(NodeId, NodeId)]) -> Result<(), GiveUp>,
    ) -> Result<(), GiveUp> {
        let document = self.document;
        self.merges += 1;
        if self.merges > MAX_MERGES {
            return self.give_up(FaultKind::NestedMerges, self.place(id));
        }
        let items = match document.node(id).map(|node| &node.content) {
            // Upstream: a list behind an alias is refused.
            Some(Content::Sequence(items)) => items.as_slice(),
            _ => std::slice::from_ref(&id),
        };
        for item in items.iter().rev() {
            match document.resolved(*item).map(|node| &node.content) {
                Some(Content::Mapping(_)) => {}
                _ => return self.give_up(FaultKind::MergeWantsMap, self.place(*item)),
            }
            self.node(*item, |decoder, node| match &node.content {
                Content::Mapping(pairs) => apply(decoder, pairs),
                _ => Ok(()),
            })?;
        }
        self.merges -= 1;
        Ok(())
    }

    /// Visits a node, through its alias if it is one, and counts.
    fn node<R>(
        &mut self,
        id: NodeId,
        visit: impl FnOnce(&mut Self, &'d Node) -> Result<R, GiveUp>,
    ) -> Result<R, GiveUp> {
        let document = self.document;
        self.count(id)?;
        // Every id comes from this document.
        let node = document.node(id).ok_or(GiveUp)?;
        let Content::Alias(target) = node.content else {
            return visit(self, node);
        };
        if self.aliases.contains(&target) {
            return self.give_up(FaultKind::SelfContaining, node.place);
        }
        self.aliases.push(target);
        let result = self.count(target).and_then(|()| {
            let node = document.node(target).ok_or(GiveUp)?;
            visit(self, node)
        });
        self.aliases.pop();
        result
    }

    /// Upstream: the more is decoded, the smaller a share of it may come from aliases.
    fn count(&mut self, id: NodeId) -> Result<(), GiveUp> {
        self.decoded += 1;
        if !self.aliases.is_empty() {
            self.aliased += 1;
        }
        // From 99 % at 400,000 values down to 10 % at 4,000,000, in thousandths.
        let allowed = match self.decoded {
            0..=400_000 => 990,
            400_001..4_000_000 => 990 - 890 * (self.decoded - 400_000) / 3_600_000,
            _ => 100,
        };
        if self.aliased > 100
            && self.decoded > 1_000
            && self.aliased * 1_000 > self.decoded * allowed
        {
            return self.give_up(FaultKind::ExcessiveAliasing, self.place(id));
        }
        Ok(())
    }

    /// Counts a record.
    fn count_record(&mut self, place: Place) -> Result<(), GiveUp> {
        self.records += 1;
        if self.records > MAX_RECORDS {
            return self.give_up(FaultKind::TooManyRecords, place);
        }
        Ok(())
    }

    /// Counts a text that is copied: yaml.v2 would share it.
    fn count_text(&mut self, text: &str, place: Place) -> Result<(), GiveUp> {
        if !self.aliases.is_empty() {
            self.aliased_text = self.aliased_text.saturating_add(text.len() + 64);
        }
        if self.aliased_text > MAX_ALIASED_TEXT {
            return self.give_up(FaultKind::ExcessiveAliasing, place);
        }
        Ok(())
    }

    /// Whether a scalar means nothing.
    fn is_null(&mut self, node: &Node) -> Result<bool, GiveUp> {
        Ok(matches!(self.meaning(node)?, Some((Meaning::Null, _))))
    }

    /// What a scalar means, and its text; `None` for a collection.
    fn meaning<'n>(&mut self, node: &'n Node) -> Result<Option<(Meaning, &'n str)>, GiveUp> {
        let Content::Scalar(text, style) = &node.content else {
            return Ok(None);
        };
        let tag = Tag::from_long(&node.tag);
        if tag.is_none() && *style != Style::Plain {
            return Ok(Some((Meaning::Text, text)));
        }
        match resolve(tag.as_ref(), text) {
            Ok(meaning) => Ok(Some((meaning, text))),
            Err(Mismatch::Tag(found, tag)) => self.give_up(
                FaultKind::TagMismatch {
                    found: found.short().to_owned(),
                    tag: tag.short().to_owned(),
                },
                node.place,
            ),
            Err(Mismatch::Base64) => self.give_up(FaultKind::Base64, node.place),
        }
    }

    /// Upstream: whether a null is one before it is resolved, which leaves a pointer nil. `Null` and `NULL` are not:
    /// they make it point to a zero.
    fn is_absent(node: &Node) -> bool {
        match &node.content {
            Content::Scalar(text, style) => match Tag::from_long(&node.tag) {
                Some(Tag::Null) => true,
                None => *style == Style::Plain && matches!(&**text, "" | "~" | "null"),
                Some(_) => false,
            },
            _ => false,
        }
    }

    /// Whether a key is `<<`, plain or tagged so.
    fn is_merge(&self, key: NodeId) -> bool {
        self.document.node(key).is_some_and(|node| {
            matches!(&node.content, Content::Scalar(text, style)
                if &**text == "<<"
                    && (*style == Style::Plain && (node.tag.is_empty() || &*node.tag == "!")
                        || &*node.tag == "tag:yaml.org,2002:merge"))
        })
    }

    /// Reports that a node is of another type than wanted.
    fn wrong_type(
        &mut self,
        node: &Node,
        wanted: &'static str,
        help: Option<&'static str>,
    ) -> Result<bool, GiveUp> {
        let own_tag = Tag::from_long(&node.tag);
        let (found, text) = match &node.content {
            Content::Sequence(_) => ("!!seq".to_owned(), None),
            Content::Mapping(_) => ("!!map".to_owned(), None),
            Content::Scalar(..) | Content::Alias(_) => match self.meaning(node)? {
                Some((meaning, text)) => (
                    own_tag.unwrap_or_else(|| meaning.tag()).short().to_owned(),
                    Some(shorten(text)),
                ),
                None => (String::new(), None),
            },
        };
        let secret = matches!(self.path.last(), Some(Step::Field("password")));
        self.report(
            FaultKind::WrongType {
                found,
                text: text.filter(|_| !secret),
                wanted,
                help,
            },
            node.place,
        );
        Ok(false)
    }

    /// Keeps a fault.
    fn report(&mut self, kind: FaultKind, place: Place) {
        if self.faults.len() >= MAX_FAULTS {
            self.unkept += 1;
            return;
        }
        let path = render(&self.path);
        // Inside an alias the place is the alias's target: that is where the text is.
        self.faults.push(Fault { kind, path, place });
    }

    /// Reports a fault for which yaml.v2 gives up the document: it is the only one that is told.
    fn give_up<R>(&mut self, kind: FaultKind, place: Place) -> Result<R, GiveUp> {
        self.faults.clear();
        self.unkept = 0;
        self.report(kind, place);
        Err(GiveUp)
    }

    /// Where a node stands.
    fn place(&self, id: NodeId) -> Place {
        self.document
            .node(id)
            .map_or(Place::BEGIN, |node| node.place)
    }
}

/// The way to a value as text: `address-pools[1].bgp-advertisements[0].communities`.
fn render(path: &[Step]) -> String {
    let mut out = String::new();
    for step in path {
        match step {
            Step::Index(index) => out.push_str(&format!("[{index}]")),
            Step::Field(name) => push_key(&mut out, name),
            Step::Key(key) => push_key(&mut out, key),
        }
    }
    out
}
