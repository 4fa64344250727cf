//! yaml.v2's strict dialect: what it is to read a document as 0.12 did.
//!
//! A [`Document`] is the tree of a text, every node with its tag, its style and its place; nothing is resolved yet, so that a
//! scalar keeps its written form (`007`, `1.10`, `yes`). [`decode`] turns nodes into values of a schema by yaml.v2's rules for
//! what a scalar means ([`resolve`]) and reports every type error at once.
//!
//! The other way, [`emit`] writes values as Kubernetes' Go tools do.
//!
//! Not here: the schema itself ([`crate::raw`]) and what its values mean.
//!
//! Upstream: `gopkg.in/yaml.v2` 2.4, `UnmarshalStrict`. Its scanner is a port of libyaml; ours is granit-parser, which
//! refuses some texts with other words, and a tab or a control character in the same places.
//!
//! Invariant: no text makes this panic, take unbounded time or memory: the text is at most [`MAX_TEXT`] bytes, collections nest at most
//! 255 deep, and what aliases may multiply is limited in [`decode`].

use std::collections::HashMap;
use std::fmt;

use granit_parser::{ErrorKind, Event, Marker, Parser, ScalarStyle, StructureStyle};

pub mod decode;
pub mod emit;
pub mod fault;
pub mod resolve;

#[cfg(test)]
mod tests;

/// The longest text that is read, in bytes: the API server's limit for a whole ConfigMap.
pub const MAX_TEXT: usize = 1 << 20;

/// Where something stands in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place {
    /// First byte.
    pub start: u32,
    /// Behind the last byte; equal to `start` for a mere position.
    pub end: u32,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

impl Place {
    /// The very beginning of a text.
    pub const BEGIN: Self = Self {
        start: 0,
        end: 0,
        line: 1,
        column: 1,
    };

    /// The bytes of the text.
    #[must_use]
    pub fn span(&self) -> std::ops::Range<usize> {
        let start = usize::try_from(self.start).unwrap_or(usize::MAX);
        let end = usize::try_from(self.end).unwrap_or(usize::MAX);
        start..end.max(start)
    }

    /// The place between two marks of the parser; what goes over several lines is its first character.
    fn between(start: Marker, end: Marker) -> Self {
        let byte = |mark: Marker| narrow(mark.byte_offset().unwrap_or_else(|| mark.index()));
        let end = if end.line() == start.line() {
            byte(end).max(byte(start))
        } else {
            byte(start).saturating_add(1)
        };
        Self {
            start: byte(start),
            end,
            line: narrow(start.line()),
            column: narrow(start.col()).saturating_add(1),
        }
    }
}

/// Offsets fit: a text is at most [`MAX_TEXT`] bytes, a file read by [`Document::parse_all`] at most 4 GiB.
fn narrow(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// A node of a [`Document`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NodeId(u32);

/// How a scalar is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Style {
    /// Without quotes: what it means depends on how it looks.
    Plain,
    /// `'…'`
    SingleQuoted,
    /// `"…"`
    DoubleQuoted,
    /// `|`
    Literal,
    /// `>`
    Folded,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A text and how it is written.
    Scalar(Box<str>, Style),
    /// The items.
    Sequence(Vec<NodeId>),
    /// The pairs, in order; keys may repeat.
    Mapping(Vec<(NodeId, NodeId)>),
    /// `*name`: the node with the anchor, which is no alias itself.
    Alias(NodeId),
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Where it stands. What goes over several lines is stood for by its beginning: a block collection by its first
    /// item, so that its place is one that can be shown.
    pub place: Place,
    /// The tag in its long form (`tag:yaml.org,2002:int`); empty: none.
    pub tag: Box<str>,
    /// What it is.
    pub content: Content,
}

/// The tree of one YAML document.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Document {
    /// All nodes.
    nodes: Vec<Node>,
    /// The outermost one; `None` for a document without content.
    root: Option<NodeId>,
}

/// A text that is no YAML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxError {
    /// What is wrong there.
    pub message: String,
    /// Where.
    pub place: Place,
    /// What to do.
    pub help: Option<&'static str>,
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for SyntaxError {}

impl Document {
    /// Reads the first document of a text; what follows `---` or `...` is not looked at, as upstream does not.
    ///
    /// # Errors
    /// The text is too long or is no YAML.
    pub fn parse(text: &str) -> Result<Self, SyntaxError> {
        if text.len() > MAX_TEXT {
            return Err(SyntaxError {
                message: format!(
                    "the text has {} bytes, more than the {MAX_TEXT} that are read",
                    text.len()
                ),
                place: Place::BEGIN,
                help: None,
            });
        }
        let mut reader = Reader::new(text);
        Ok(reader.next()?.unwrap_or_default())
    }

    /// Reads all documents of a text, for files that hold manifests.
    ///
    /// # Errors
    /// The text is no YAML.
    pub fn parse_all(text: &str) -> Result<Vec<Self>, SyntaxError> {
        let mut reader = Reader::new(text);
        let mut documents = Vec::new();
        while let Some(document) = reader.next()? {
            documents.push(document);
        }
        Ok(documents)
    }

    /// The outermost node; `None` for a document without content.
    #[must_use]
    pub fn root(&self) -> Option<NodeId> {
        self.root
    }

    /// A node of this document; `None` for one of another.
    #[must_use]
    pub fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(usize::try_from(id.0).ok()?)
    }

    /// A node, with an alias followed.
    #[must_use]
    pub fn resolved(&self, id: NodeId) -> Option<&Node> {
        let node = self.node(id)?;
        match node.content {
            Content::Alias(target) => self.node(target),
            _ => Some(node),
        }
    }

    /// The value of a key of a mapping; the first where it repeats.
    #[must_use]
    pub fn get(&self, mapping: NodeId, key: &str) -> Option<NodeId> {
        let Content::Mapping(pairs) = &self.resolved(mapping)?.content else {
            return None;
        };
        pairs
            .iter()
            .find(|(name, _)| self.text(*name) == Some(key))
            .map(|(_, value)| *value)
    }

    /// The text of a scalar.
    #[must_use]
    pub fn text(&self, id: NodeId) -> Option<&str> {
        match &self.resolved(id)?.content {
            Content::Scalar(text, _) => Some(text),
            _ => None,
        }
    }

    /// Every node, in the order of the text.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter()
    }

    /// Adds a node.
    fn push(&mut self, node: Node) -> NodeId {
        let id = NodeId(narrow(self.nodes.len()));
        self.nodes.push(node);
        id
    }
}

/// Builds documents from the parser's events.
struct Reader<'t> {
    /// The text, for what the parser lets pass.
    text: &'t str,
    /// The events.
    parser: Parser<'t, granit_parser::StrInput<'t>>,
    /// Up to this byte no control character was found.
    checked: usize,
}

/// A collection that is not complete.
struct Open {
    /// The collection.
    id: NodeId,
    /// The key whose value comes next.
    key: Option<NodeId>,
    /// Whether it is written between brackets.
    flow: bool,
}

impl<'t> Reader<'t> {
    /// A reader at the beginning of a text.
    fn new(text: &'t str) -> Self {
        let mut options = granit_parser::options! {
            // As libyaml, and so yaml.v2, does.
            block_scalar_eof_without_line_feed: true,
            bom_inside_document_as_content: true,
        };
        options.set_emit_comments(false);
        Self {
            text,
            parser: Parser::new_from_str_with_options(text, options),
            checked: 0,
        }
    }

    /// The next document; `None` at the end of the text.
    fn next(&mut self) -> Result<Option<Document>, SyntaxError> {
        let mut document = Document::default();
        let mut open: Vec<Open> = Vec::new();
        let mut anchors: HashMap<usize, NodeId> = HashMap::new();
        while let Some(event) = self.parser.next_event() {
            let (event, span) = event.map_err(|error| syntax_error(self.text, &error))?;
            let place = Place::between(span.start, span.end);
            let mut flow = false;
            let (node, anchor) = match event {
                Event::StreamEnd => return Ok(None),
                Event::DocumentEnd => {
                    self.refuse_control_characters(place)?;
                    return Ok(Some(document));
                }
                Event::SequenceEnd | Event::MappingEnd => {
                    if let Some(closed) = open.pop()
                        && closed.flow
                        && let Some(node) = node_mut(&mut document, closed.id)
                        && node.place.line == place.line
                    {
                        node.place.end = place.end;
                    }
                    continue;
                }
                Event::Alias(id) => {
                    let Some(target) = anchors.get(&id).copied() else {
                        return Err(SyntaxError {
                            message: "an alias without its anchor".to_owned(),
                            place,
                            help: None,
                        });
                    };
                    (Node::new(place, "".into(), Content::Alias(target)), 0)
                }
                Event::Scalar(text, style, anchor, tag) => {
                    let content = Content::Scalar(text.into_owned().into(), style.into());
                    (Node::new(place, long_tag(tag.as_deref()), content), anchor)
                }
                Event::SequenceStart(style, anchor, tag) => {
                    flow = style == StructureStyle::Flow;
                    let content = Content::Sequence(Vec::new());
                    (Node::new(place, long_tag(tag.as_deref()), content), anchor)
                }
                Event::MappingStart(style, anchor, tag) => {
                    flow = style == StructureStyle::Flow;
                    let content = Content::Mapping(Vec::new());
                    (Node::new(place, long_tag(tag.as_deref()), content), anchor)
                }
                // The stream's and the document's beginnings, and events that are switched off.
                _ => continue,
            };
            let is_collection = matches!(node.content, Content::Sequence(_) | Content::Mapping(_));
            let id = document.push(node);
            if anchor != 0 {
                anchors.insert(anchor, id);
            }
            attach(&mut document, &mut open, id);
            if is_collection {
                open.push(Open {
                    id,
                    key: None,
                    flow,
                });
            }
        }
        Ok(None)
    }

    /// Upstream: libyaml's reader refuses control characters wherever they stand.
    fn refuse_control_characters(&mut self, end: Place) -> Result<(), SyntaxError> {
        let from = self.checked;
        let end = usize::try_from(end.start)
            .ok()
            .filter(|end| self.text.is_char_boundary(*end))
            .unwrap_or(self.text.len());
        let read = self.text.get(from..end).unwrap_or_default();
        self.checked = end.max(from);
        let is_refused = |c: char| !matches!(c, '\t' | '\n' | '\r' | ' '..='~' | '\u{85}' | '\u{a0}'..='\u{fffd}' | '\u{10000}'..);
        match read.char_indices().find(|(_, c)| is_refused(*c)) {
            None => Ok(()),
            Some((offset, c)) => Err(SyntaxError {
                message: format!("control character U+{:04X}", u32::from(c)),
                place: place_at(self.text, from + offset, c.len_utf8()),
                help: Some("remove it, or write it as an escape between double quotes"),
            }),
        }
    }
}

/// The place of some bytes of a text.
#[must_use]
pub fn place_at(text: &str, offset: usize, length: usize) -> Place {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    Place {
        start: narrow(offset),
        end: narrow(offset.saturating_add(length)),
        line: narrow(before.matches('\n').count()).saturating_add(1),
        column: narrow(before.get(line_start..).unwrap_or("").chars().count()).saturating_add(1),
    }
}

impl Node {
    /// A node.
    fn new(place: Place, tag: Box<str>, content: Content) -> Self {
        Self {
            place,
            tag,
            content,
        }
    }
}

impl From<ScalarStyle> for Style {
    fn from(style: ScalarStyle) -> Self {
        match style {
            ScalarStyle::Plain => Self::Plain,
            ScalarStyle::SingleQuoted => Self::SingleQuoted,
            ScalarStyle::DoubleQuoted => Self::DoubleQuoted,
            ScalarStyle::Literal => Self::Literal,
            ScalarStyle::Folded => Self::Folded,
        }
    }
}

/// A node to change.
fn node_mut(document: &mut Document, id: NodeId) -> Option<&mut Node> {
    document.nodes.get_mut(usize::try_from(id.0).ok()?)
}

/// Puts a node into the innermost open collection, or makes it the root.
fn attach(document: &mut Document, open: &mut [Open], id: NodeId) {
    let Some(parent) = open.last_mut() else {
        document.root = Some(id);
        return;
    };
    let child = document.node(id).map(|node| node.place);
    if let Some(node) = node_mut(document, parent.id)
        && let Some(child) = child.filter(|child| child.line == node.place.line)
        && !parent.flow
        && node.place.end <= child.start
    {
        node.place.end = child.end;
    }
    match node_mut(document, parent.id).map(|node| &mut node.content) {
        Some(Content::Sequence(items)) => items.push(id),
        Some(Content::Mapping(pairs)) => match parent.key.take() {
            None => parent.key = Some(id),
            Some(key) => pairs.push((key, id)),
        },
        // Only collections are open.
        Some(Content::Scalar(..) | Content::Alias(_)) | None => {}
    }
}

/// The tag in its long form.
fn long_tag(tag: Option<&granit_parser::Tag>) -> Box<str> {
    tag.map_or_else(
        || "".into(),
        |tag| format!("{}{}", tag.handle(), tag.suffix()).into(),
    )
}

/// The parser's error in our words where ours say more.
fn syntax_error(text: &str, error: &granit_parser::ScanError) -> SyntaxError {
    let mut place = Place::between(*error.marker(), *error.marker());
    let (message, help) = match error.kind() {
        ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation
        | ErrorKind::TabAtBlockScalarStart
        | ErrorKind::TabInPlainScalar => {
            place = indenting_tab(text, place.span().start).unwrap_or(place);
            (
                "a tab where YAML wants spaces".to_owned(),
                Some("indent with spaces"),
            )
        }
        ErrorKind::UnknownAnchor => (
            "an alias without its anchor".to_owned(),
            Some("define the anchor (`&name`) before the alias (`*name`)"),
        ),
        ErrorKind::UnexpectedCharacter { character: '%' } => (
            "a value cannot begin with `%`".to_owned(),
            Some("put it between quotes"),
        ),
        ErrorKind::UnexpectedCharacter {
            character: character @ ('@' | '`'),
        } => (
            format!("a value cannot begin with `{character}`"),
            Some("put it between quotes"),
        ),
        _ => (one_line(&error.info()), None),
    };
    SyntaxError {
        message,
        place,
        help,
    }
}

/// The first tab from an offset on that stands in the indentation of its line: the parser may stop well before it.
fn indenting_tab(text: &str, from: usize) -> Option<Place> {
    let line_start = text
        .get(..from)?
        .rfind('\n')
        .map_or(0, |newline| newline + 1);
    let mut offset = line_start;
    for line in text.get(line_start..)?.split_inclusive('\n') {
        let indent = line.len() - line.trim_start_matches([' ', '\t']).len();
        let tab = line.get(..indent).and_then(|indent| indent.find('\t'));
        if let Some(tab) = tab.filter(|tab| offset + tab >= from) {
            return Some(place_at(text, offset + tab, 1));
        }
        offset += line.len();
    }
    None
}

/// The parser's words may repeat a character of the text.
fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}
