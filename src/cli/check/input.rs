//! Where the configuration is in a file, and what is to say about it.

use std::ops::Range;

use ferrolb_compat::go::quote::quote;
use ferrolb_compat::yaml::{Content, Document, Node, NodeId, Place, Style};

use super::offsets::{Lines, Offsets};
use super::secrets::secrets_in;
use crate::config::Config;
use crate::config::error::{Diagnostic, Key, Severity};
use crate::config::mode::Mode;
use crate::config::parse::{Examined, examine, examine_node, examine_settings};
use crate::migrate::Source;
use crate::view::SETTINGS_KEY;

/// A file that was checked.
#[derive(Debug)]
pub struct Checked {
    /// What the configuration is in the file: `ConfigMap metallb-system/config`.
    pub subject: String,
    /// Errors, then warnings, with their places in the file.
    pub diagnostics: Vec<Diagnostic>,
    /// How many more errors there are.
    pub unkept: usize,
    /// The configuration, if it is valid.
    pub config: Option<Config>,
    /// The texts and the diagnostics' places in them, where the file holds them in a form that nobody wants to look at (one
    /// line of JSON).
    pub inner: Vec<Inner>,
    /// Where passwords are in the file, apart from those in inner texts.
    pub secrets: Vec<Range<usize>>,
}

/// A text inside a file, shown for itself.
#[derive(Debug)]
pub struct Inner {
    /// Which one it is.
    pub key: Key,
    /// Where it is in the file: `data.config`.
    pub name: &'static str,
    /// The text.
    pub text: String,
    /// The diagnostics with their places in it.
    pub diagnostics: Vec<Diagnostic>,
    /// Where passwords are in it.
    pub secrets: Vec<Range<usize>>,
}

impl Checked {
    /// Whether there is no error.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.config.is_some()
    }

    /// A file in which there is no configuration to check.
    fn without_config(subject: &str, diagnostic: Diagnostic) -> Self {
        Self {
            subject: subject.to_owned(),
            diagnostics: vec![diagnostic],
            unkept: 0,
            config: None,
            inner: Vec::new(),
            secrets: Vec::new(),
        }
    }
}

/// Finds the configuration in a file and checks it.
#[must_use]
pub fn check(text: &str, mode: Mode) -> Checked {
    match locate(text) {
        Ok(located) => located.check(text, mode),
        Err(missing) => Checked::without_config(&missing.subject, missing.diagnostic),
    }
}

/// A file in which there is no configuration, or too many.
#[derive(Debug)]
pub struct Missing {
    /// What is in the file instead.
    pub subject: String,
    /// What to say about it.
    pub diagnostic: Diagnostic,
}

/// Where the configuration is in a file.
#[derive(Debug)]
pub struct Located {
    /// What it is in the file: `ConfigMap metallb-system/config`.
    pub subject: String,
    /// The namespace of its ConfigMap, if it has one.
    pub namespace: Option<String>,
    /// The name of its ConfigMap, if it is in one.
    pub name: Option<String>,
    /// How it is written there.
    form: Form,
    /// The settings beside it, if there are any.
    settings: Option<Embedded>,
}

/// A text within a file.
#[derive(Debug)]
struct Embedded {
    /// Which key it is the value of: `data.config`.
    name: &'static str,
    /// The text.
    text: String,
    /// Where it stands.
    place: Place,
    /// How it is quoted.
    style: Style,
}

/// How a configuration is written in a file.
#[derive(Debug)]
enum Form {
    /// It is the file.
    Bare,
    /// As a text.
    Text(Embedded),
    /// As a part of a document.
    Node(Document, NodeId),
}

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A ConfigMap's manifest, alone or among others.
    ConfigMap,
    /// The configuration itself.
    Data,
    /// Helm values, or a HelmRelease.
    Helm,
}

/// What is looked for in a file.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted<'w> {
    /// What the file is; `None`: it shows.
    pub format: Option<Format>,
    /// The name of the ConfigMap; `None`: one of those that installations have.
    pub name: Option<&'w str>,
}

/// Finds the configuration in a file.
///
/// # Errors
/// There is none, or nobody can tell which one is meant.
pub fn locate(text: &str) -> Result<Located, Box<Missing>> {
    locate_as(text, &Wanted::default())
}

/// Finds the configuration in a file of which more is known.
///
/// # Errors
/// There is none, or nobody can tell which one is meant.
pub fn locate_as(text: &str, wanted: &Wanted<'_>) -> Result<Located, Box<Missing>> {
    let missing = |subject: &str, diagnostic| {
        Err(Box::new(Missing {
            subject: subject.to_owned(),
            diagnostic,
        }))
    };
    // A configuration of its own may be followed by what is no YAML: only its first document counts. The same goes for
    // a file that cannot be read at all: checking it says why.
    let documents = match (wanted.format, Document::parse_all(text)) {
        (Some(Format::Data), _) => return Ok(Located::bare()),
        (_, Ok(documents)) => documents,
        (_, Err(_)) => return Ok(Located::bare()),
    };
    if wanted.format == Some(Format::Helm) {
        return match helm(documents) {
            Some(located) => Ok(located),
            None => missing(
                "Helm values",
                note(
                    "no-config",
                    Place::BEGIN,
                    "these values have no configInline".to_owned(),
                    "the chart's configuration stands under `configInline`",
                ),
            ),
        };
    }
    let mut maps = Vec::new();
    let mut is_manifest = false;
    for document in &documents {
        if let Some(root) = document.root() {
            is_manifest |= document.get(root, "kind").is_some();
            find_maps(document, root, &mut maps);
        }
    }
    if let Some(name) = wanted.name
        && !maps.is_empty()
    {
        let there = maps.len();
        maps.retain(|map| map.meta("name") == Some(name));
        if maps.is_empty() {
            return missing(
                "ConfigMaps",
                note(
                    "no-config",
                    Place::BEGIN,
                    format!(
                        "none of the {there} ConfigMaps has the name {}",
                        quote(name)
                    ),
                    "the pods read the ConfigMap that --config names",
                ),
            );
        }
    }
    match choose(&maps) {
        Choice::One(map) => map.locate(),
        Choice::Several(names) => missing(
            "several ConfigMaps",
            note(
                "several-configs",
                Place::BEGIN,
                format!("several ConfigMaps have a key `config`: {names}"),
                "check them one by one",
            ),
        ),
        Choice::None
            if wanted.format == Some(Format::ConfigMap)
                || is_manifest && !is_helm_release(&documents) =>
        {
            missing(
                "manifests",
                match maps.first() {
                    Some(map) => note(
                        "no-config-key",
                        map.place(),
                        format!("{} has no key `config`", map.title()),
                        "put the configuration under `data`, as text: `config: |`",
                    ),
                    None => note(
                        "no-config",
                        Place::BEGIN,
                        "no ConfigMap is in this file".to_owned(),
                        "the configuration is the ConfigMap `config` in the namespace metallb-system",
                    ),
                },
            )
        }
        Choice::None => Ok(helm(documents).unwrap_or_else(Located::bare)),
    }
}

impl Located {
    /// The whole file.
    fn bare() -> Self {
        Self {
            subject: "configuration".to_owned(),
            namespace: None,
            name: None,
            form: Form::Bare,
            settings: None,
        }
    }

    /// The configuration itself; `file` is the text that it was found in.
    #[must_use]
    pub fn source<'a>(&'a self, file: &'a str) -> Source<'a> {
        match &self.form {
            Form::Bare => Source::Text(file),
            Form::Text(embedded) => Source::Text(&embedded.text),
            Form::Node(document, node) => Source::Node(document, *node),
        }
    }

    /// The text of the settings, if there are any.
    #[must_use]
    pub fn settings(&self) -> Option<&str> {
        self.settings.as_ref().map(|embedded| &*embedded.text)
    }

    /// Diagnostics with their places in the file.
    #[must_use]
    pub fn in_file(&self, file: &str, diagnostics: Vec<Diagnostic>) -> Vec<Diagnostic> {
        let offsets = |embedded: Option<&Embedded>| {
            embedded.map(|embedded| {
                let Embedded {
                    text, place, style, ..
                } = embedded;
                (text.clone(), Offsets::of(file, *place, text, *style))
            })
        };
        let config = offsets(match &self.form {
            Form::Bare | Form::Node(..) => None,
            Form::Text(embedded) => Some(embedded),
        });
        let settings = offsets(self.settings.as_ref());
        let lines = Lines::of(file);
        let place = |diagnostic: Diagnostic| {
            let within = match diagnostic.key {
                Key::Config => &config,
                Key::Ferrolb => &settings,
            };
            match within {
                Some((text, offsets)) if diagnostic.line > 0 => {
                    offsets.in_file(&lines, text, &diagnostic)
                }
                Some(_) | None => diagnostic,
            }
        };
        diagnostics.into_iter().map(place).collect()
    }

    /// Lines of the file, for places of the configuration.
    #[must_use]
    pub fn lines_in_file(&self, file: &str, places: &[Option<Place>]) -> Vec<Option<usize>> {
        let number = |line: u32| usize::try_from(line).ok();
        match &self.form {
            Form::Bare | Form::Node(..) => {
                places.iter().map(|place| number((*place)?.line)).collect()
            }
            Form::Text(Embedded {
                text, place, style, ..
            }) => {
                let offsets = Offsets::of(file, *place, text, *style);
                let lines = Lines::of(file);
                let line = |place: &Option<Place>| {
                    let inner = (*place)?.span().start.min(text.len());
                    number(lines.place(offsets.at(inner), 0).line)
                };
                places.iter().map(line).collect()
            }
        }
    }

    /// Checks it.
    fn check(self, file: &str, mode: Mode) -> Checked {
        match self.form {
            Form::Bare => bare(file, mode),
            Form::Text(config) => {
                embedded(self.subject, file, &config, self.settings.as_ref(), mode)
            }
            Form::Node(document, node) => inline(self.subject, file, &document, node, mode),
        }
    }
}

/// A diagnostic about the file.
fn note(code: &'static str, place: Place, message: String, help: &str) -> Diagnostic {
    Diagnostic {
        key: Key::Config,
        severity: Severity::Error,
        code,
        message,
        path: String::new(),
        line: usize::try_from(place.line).unwrap_or_default(),
        column: usize::try_from(place.column).unwrap_or_default(),
        span: place.span(),
        help: Some(help.to_owned()),
    }
}

/// A ConfigMap in a file.
struct Map<'d> {
    /// The document that it is in.
    document: &'d Document,
    /// The object.
    root: NodeId,
    /// The value of `data.config`.
    config: Option<NodeId>,
    /// The value of `data.ferrolb`.
    settings: Option<NodeId>,
}

/// Which ConfigMap is meant.
enum Choice<'m, 'd> {
    /// This one.
    One(&'m Map<'d>),
    /// Nobody can tell.
    Several(String),
    /// There is none with the key.
    None,
}

/// The ConfigMaps of an object: itself, or the items of a List.
fn find_maps<'d>(document: &'d Document, root: NodeId, maps: &mut Vec<Map<'d>>) {
    match document
        .get(root, "kind")
        .and_then(|kind| document.text(kind))
    {
        Some("ConfigMap") => {
            let value = |key| document.get(document.get(root, "data")?, key);
            maps.push(Map {
                document,
                root,
                config: value("config"),
                settings: value(SETTINGS_KEY),
            });
        }
        Some("List" | "ConfigMapList") => {
            let items = document
                .get(root, "items")
                .and_then(|items| document.resolved(items));
            if let Some(Content::Sequence(items)) = items.map(|items| &items.content) {
                for item in items {
                    let kind = document.get(*item, "kind");
                    // A List inside a List is no Kubernetes object.
                    if kind.and_then(|kind| document.text(kind)) == Some("ConfigMap") {
                        find_maps(document, *item, maps);
                    }
                }
            }
        }
        _ => {}
    }
}

/// The ConfigMap with the key; of several, the one with the name that installations have.
fn choose<'m, 'd>(maps: &'m [Map<'d>]) -> Choice<'m, 'd> {
    let with_key: Vec<&Map<'_>> = maps.iter().filter(|map| map.config.is_some()).collect();
    if let [map] = with_key.as_slice() {
        return Choice::One(map);
    }
    let named: Vec<&&Map<'_>> = with_key
        .iter()
        .filter(|map| matches!(map.meta("name"), Some("config" | "metallb")))
        .collect();
    match (named.as_slice(), with_key.is_empty()) {
        (_, true) => Choice::None,
        ([map], _) => Choice::One(map),
        _ => {
            let titles: Vec<String> = with_key.iter().take(5).map(|map| map.title()).collect();
            Choice::Several(titles.join(", "))
        }
    }
}

impl Map<'_> {
    /// `metadata.name` and the like.
    fn meta(&self, key: &str) -> Option<&str> {
        let metadata = self.document.get(self.root, "metadata")?;
        self.document.text(self.document.get(metadata, key)?)
    }

    /// `ConfigMap metallb-system/config`
    fn title(&self) -> String {
        let name = self.meta("name").unwrap_or("(without a name)");
        let name = match self.meta("namespace") {
            Some(namespace) => format!("{namespace}/{name}"),
            None => name.to_owned(),
        };
        // Names in manifests may be anything.
        let plain = name
            .chars()
            .all(|c| c.is_ascii_graphic() || matches!(c, ' '));
        if plain {
            format!("ConfigMap {name}")
        } else {
            format!("ConfigMap {}", quote(&name))
        }
    }

    /// Where it stands.
    fn place(&self) -> Place {
        self.document
            .node(self.root)
            .map_or(Place::BEGIN, |node| node.place)
    }

    /// Its texts.
    fn locate(&self) -> Result<Located, Box<Missing>> {
        Ok(Located {
            subject: self.title(),
            namespace: self.meta("namespace").map(str::to_owned),
            name: self.meta("name").map(str::to_owned),
            form: Form::Text(self.text(
                self.config,
                Key::Config,
                "write `config: |` and indent what follows",
            )?),
            settings: match self.settings {
                None => None,
                settings => Some(self.text(
                    settings,
                    Key::Ferrolb,
                    "write `ferrolb: |` and indent what follows",
                )?),
            },
        })
    }

    /// One of its texts.
    fn text(&self, id: Option<NodeId>, key: Key, help: &str) -> Result<Embedded, Box<Missing>> {
        let node = id.and_then(|id| self.document.resolved(id));
        match node {
            Some(Node {
                content: Content::Scalar(text, style),
                place,
                ..
            }) => Ok(Embedded {
                name: key.as_str(),
                text: text.to_string(),
                place: *place,
                style: *style,
            }),
            _ => Err(Box::new(Missing {
                subject: self.title(),
                diagnostic: note(
                    "config-not-text",
                    node.map_or(self.place(), |node| node.place),
                    format!(
                        "`{}` is no text: the API server refuses this ConfigMap",
                        key.as_str()
                    ),
                    help,
                ),
            })),
        }
    }
}

/// The whole file is the configuration.
fn bare(text: &str, mode: Mode) -> Checked {
    let examined = examine(text, mode);
    Checked {
        subject: "configuration".to_owned(),
        secrets: secrets_in(text),
        diagnostics: join(&examined),
        unkept: examined.unkept,
        config: examined.config,
        inner: Vec::new(),
    }
}

/// Whether Flux' object is among them, which holds Helm values.
fn is_helm_release(documents: &[Document]) -> bool {
    documents
        .iter()
        .any(|document| helm_values(document).is_some())
}

/// The values of a HelmRelease.
fn helm_values(document: &Document) -> Option<NodeId> {
    let root = document.root()?;
    let kind = document.text(document.get(root, "kind")?)?;
    if kind != "HelmRelease" {
        return None;
    }
    document.get(document.get(root, "spec")?, "values")
}

/// Helm values: `configInline` of MetalLB's chart, or of the chart as a part of another.
fn helm(documents: Vec<Document>) -> Option<Located> {
    let release = documents
        .iter()
        .position(|document| helm_values(document).is_some());
    let document = documents.into_iter().nth(release.unwrap_or_default())?;
    let root = helm_values(&document).or_else(|| document.root())?;
    let inline = document.get(root, "configInline").or_else(|| {
        let chart = document.get(root, "metallb")?;
        document.get(chart, "configInline")
    })?;
    let form = match document.resolved(inline)? {
        Node {
            content: Content::Scalar(text, style),
            place,
            ..
        } if *style != Style::Plain => Form::Text(Embedded {
            name: "configInline",
            text: text.to_string(),
            place: *place,
            style: *style,
        }),
        _ => Form::Node(document, inline),
    };
    Some(Located {
        subject: "Helm values, configInline".to_owned(),
        namespace: None,
        name: None,
        form,
        settings: None,
    })
}

/// A configuration that is a part of a document.
fn inline(subject: String, file: &str, document: &Document, node: NodeId, mode: Mode) -> Checked {
    let examined = examine_node(document, node, mode);
    let mut diagnostics = join(&examined);
    for diagnostic in &mut diagnostics {
        if diagnostic.path.is_empty() {
            diagnostic.path = "configInline".to_owned();
        } else {
            diagnostic.path.insert_str(0, "configInline.");
        }
    }
    Checked {
        subject,
        secrets: secrets_in(file),
        diagnostics,
        unkept: examined.unkept,
        config: examined.config,
        inner: Vec::new(),
    }
}

/// Errors, then warnings.
fn join(examined: &Examined) -> Vec<Diagnostic> {
    examined
        .errors
        .iter()
        .chain(&examined.warnings)
        .cloned()
        .collect()
}

/// A configuration that is a text within a file, and the settings that are another.
fn embedded(
    subject: String,
    file: &str,
    config: &Embedded,
    settings: Option<&Embedded>,
    mode: Mode,
) -> Checked {
    let examined = examine(&config.text, mode);
    let mut checked = Checked {
        subject,
        diagnostics: Vec::new(),
        unkept: examined.unkept,
        inner: Vec::new(),
        secrets: Vec::new(),
        config: None,
    };
    checked.add(file, config, Key::Config, join(&examined));
    checked.config = examined.config;
    if let Some(embedded) = settings {
        let examined = examine_settings(&embedded.text, checked.config.as_ref());
        let found = examined.errors.into_iter().chain(examined.warnings);
        checked.add(file, embedded, Key::Ferrolb, found.collect());
        checked.unkept += examined.unkept;
        match (&mut checked.config, examined.settings) {
            (Some(config), Some(settings)) => config.settings = settings,
            (_, _) => checked.config = None,
        }
    }
    // Errors of both texts, then warnings of both.
    checked
        .diagnostics
        .sort_by_key(|diagnostic| diagnostic.severity != Severity::Error);
    checked
}

impl Checked {
    /// Adds what was found in a text of the file.
    fn add(&mut self, file: &str, embedded: &Embedded, key: Key, found: Vec<Diagnostic>) {
        let Embedded {
            name,
            text,
            place,
            style,
        } = embedded;
        let offsets = Offsets::of(file, *place, text, *style);
        let lines = Lines::of(file);
        let in_file = found
            .iter()
            .map(|diagnostic| offsets.in_file(&lines, text, diagnostic));
        self.diagnostics.extend(in_file);
        let own_lines = matches!(offsets, Offsets::Lines(_)) || !text.trim_end().contains('\n');
        let secrets = secrets_in(text);
        if own_lines && !matches!(offsets, Offsets::Unknown(_)) {
            let in_file = secrets
                .iter()
                .map(|secret| offsets.at(secret.start)..offsets.at(secret.end));
            self.secrets.extend(in_file);
        } else {
            self.inner.push(Inner {
                key,
                name,
                text: text.clone(),
                diagnostics: found,
                secrets,
            });
        }
    }
}
