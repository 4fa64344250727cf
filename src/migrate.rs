//! From 0.12's ConfigMap to the custom resources of MetalLB 0.13 and later, without loss.
//!
//! [`convert`] takes what 0.12 would run, nothing else: strict keys, scalars as they are written, the first document. It gives
//! resources that the target release takes and that mean the same there, or says what the target cannot express.
//! [`verify`] compiles both sides to one model and compares them; [`reverse`] goes back.
//!
//! With [`Options::compat`] the resources are those of upstream's converter of that release (`ferrolb_compat::migrate`); what the
//! target refuses is refused just the same.
//!
//! What it is not: no file, no cluster. In: a text and [`Options`]. Out: a [`Conversion`].
//!
//! Invariant: no finding holds a password.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

pub use ferrolb_compat::migrate::is_object_name;

use ferrolb_compat::crd::{Resource, Spec};
use ferrolb_compat::migrate::{self as upstream, Faults, Release};
use ferrolb_compat::raw::ConfigFile;
use ferrolb_compat::yaml::{Document, NodeId, Place};

use crate::config::Config;
use crate::config::error::{Diagnostic, Key, Severity};
use crate::config::mode::Mode;
use crate::config::parse::{Examined, examine, examine_document, examine_node};

mod build;
mod checks;
pub mod codes;
pub mod live;
pub mod names;
pub mod resources;
pub mod reverse;
mod scalars;
mod settings;
pub mod verify;

#[cfg(test)]
mod tests;

/// Annotation of a renamed resource: the name that it had in the ConfigMap.
pub const ANNOTATION_ORIGINAL_NAME: &str = "ferrolb.io/original-name";

/// The BGP implementation of the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BgpMode {
    /// MetalLB's own.
    Native,
    /// FRR in the speaker's pod.
    Frr,
    /// FRR-K8s, from 0.14.
    FrrK8s,
}

impl BgpMode {
    /// The word of the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Frr => "frr",
            Self::FrrK8s => "frr-k8s",
        }
    }

    /// Whether FRR speaks BGP.
    #[must_use]
    pub fn is_frr(self) -> bool {
        !matches!(self, Self::Native)
    }

    /// What the target's chart takes unless told otherwise.
    #[must_use]
    pub fn of_chart(target: Release) -> Self {
        if target < Release::new(13, 10) {
            Self::Native
        } else if target < Release::new(16, 0) {
            Self::Frr
        } else {
            Self::FrrK8s
        }
    }
}

impl fmt::Display for BgpMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for BgpMode {
    type Err = &'static str;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        [Self::Native, Self::Frr, Self::FrrK8s]
            .into_iter()
            .find(|mode| mode.as_str() == word)
            .ok_or("must be native, frr or frr-k8s")
    }
}

/// What becomes of passwords.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Passwords {
    /// A Secret each.
    #[default]
    Secret,
    /// Plain text in the peer.
    Inline,
    /// A Secret each, which holds [`REDACTED`] instead: to be shown to others.
    Redact,
    /// A Secret of this name that somebody else makes.
    External(String),
}

/// What stands for a password with [`Passwords::Redact`].
pub const REDACTED: &str = "REDACTED";

/// The order of the resources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// What others refer to comes first, the sessions last.
    #[default]
    Safe,
    /// That of upstream's converter.
    Upstream,
}

/// What becomes of advertisements of one pool that make the same route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Advertisements {
    /// One that says what 0.12 did with them.
    #[default]
    Merge,
    /// Each stays; where the target would not do the same it is refused.
    OnePerEntry,
}

/// Upstream's converter, to be repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compat {
    /// Its release.
    pub release: Release,
    /// Whether it is repeated with its faults: what it reads wrongly, what it writes wrongly, and no check of the target.
    pub bugs: bool,
}

/// What is wanted.
#[derive(Debug, Clone)]
pub struct Options {
    /// The release that will read the resources.
    pub target: Release,
    /// Its BGP implementation; `None`: native if 0.12's native mode takes the configuration, else FRR.
    pub mode: Option<BgpMode>,
    /// The minor version of the cluster's Kubernetes (36 of 1.36), if known.
    pub kubernetes: Option<u32>,
    /// Passwords.
    pub passwords: Passwords,
    /// Advertisements.
    pub advertisements: Advertisements,
    /// How pools and BFD profiles are named.
    pub names: names::Naming,
    /// What the names of the other resources begin with (`peer1`).
    pub prefix: String,
    /// The order of the resources.
    pub order: Order,
    /// Whether names of communities that nothing uses are left out.
    pub prune_unused: bool,
    /// The labels of each node of the cluster; empty: they are not known.
    pub nodes: Vec<BTreeMap<String, String>>,
    /// Codes of findings that do not stop the conversion.
    pub allow: BTreeSet<String>,
    /// Upstream's converter instead of ours.
    pub compat: Option<Compat>,
}

impl Default for Options {
    /// The newest release.
    fn default() -> Self {
        Self {
            target: Release::NEWEST,
            mode: None,
            kubernetes: None,
            passwords: Passwords::Secret,
            advertisements: Advertisements::Merge,
            names: names::Naming::default(),
            prefix: String::new(),
            order: Order::Safe,
            prune_unused: false,
            nodes: Vec::new(),
            allow: BTreeSet::new(),
            compat: None,
        }
    }
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Good to know.
    Info,
    /// It works, and something changes.
    Warning,
    /// The target cannot express it: nothing is written.
    Blocked,
    /// 0.12 does not run this configuration: nothing is written.
    Invalid,
}

/// Something to say about the conversion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// What and where. Its code is `MIGnnn`, or the code of 0.12's own refusal.
    pub diagnostic: Diagnostic,
    /// In which of the files, where there are several.
    pub file: usize,
}

/// A resource that could not keep its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rename {
    /// `IPAddressPool` or `BFDProfile`.
    pub kind: &'static str,
    /// In the ConfigMap.
    pub from: String,
    /// In the resources.
    pub to: String,
}

/// What became of a configuration.
#[derive(Debug, Clone, Default)]
pub struct Conversion {
    /// The resources, in the order in which to apply them; `None`: it was refused.
    pub resources: Option<Vec<Resource>>,
    /// Where each of them comes from in the configuration, if it is known.
    pub origins: Vec<Option<Place>>,
    /// The names that changed.
    pub renames: Vec<Rename>,
    /// What is to say, the worst first, then by place.
    pub findings: Vec<Finding>,
    /// What 0.12 runs, where it does.
    pub config: Option<Config>,
    /// The BGP implementation that was converted for.
    pub mode: Option<BgpMode>,
}

impl Conversion {
    /// The worst level.
    #[must_use]
    pub fn worst(&self) -> Option<Level> {
        self.findings.iter().map(|finding| finding.level).max()
    }
}

/// A configuration.
#[derive(Debug, Clone, Copy)]
pub enum Source<'a> {
    /// The text of the ConfigMap's `config`.
    Text(&'a str),
    /// A part of a document, as in Helm values.
    Node(&'a Document, NodeId),
}

/// Converts a configuration without settings beside it.
#[must_use]
pub fn convert(source: Source<'_>, options: &Options) -> Conversion {
    convert_with(source, None, options)
}

/// Converts a configuration; `settings` is the text of the ConfigMap's `ferrolb`, if it has one.
#[must_use]
pub fn convert_with(source: Source<'_>, settings: Option<&str>, options: &Options) -> Conversion {
    if let Some(Compat {
        release,
        bugs: true,
    }) = options.compat
    {
        let mut conversion = repeat(source, release);
        let settings = settings::examined(settings, None);
        conversion.findings.extend(settings.findings(None, None));
        return conversion;
    }
    prepare_with(source, settings).convert(options)
}

/// A configuration that was read, to be converted for one target or for many.
#[derive(Debug, Clone)]
pub struct Prepared<'a> {
    document: Cow<'a, Document>,
    root: Option<NodeId>,
    raw: ConfigFile,
    examined: Examined,
    settings: settings::Beside,
}

/// Reads a configuration without settings beside it.
#[must_use]
pub fn prepare(source: Source<'_>) -> Prepared<'_> {
    prepare_with(source, None)
}

/// Reads a configuration and the settings beside it.
#[must_use]
pub fn prepare_with<'a>(source: Source<'a>, settings: Option<&str>) -> Prepared<'a> {
    let (document, root, mut examined) = match source {
        Source::Text(text) => match Document::parse(text) {
            Ok(document) => {
                let examined = examine_document(text, &document, Mode::FerroLb);
                let root = document.root();
                (Cow::Owned(document), root, examined)
            }
            Err(_) => (
                Cow::Owned(Document::default()),
                None,
                examine(text, Mode::FerroLb),
            ),
        },
        Source::Node(document, node) => (
            Cow::Borrowed(document),
            Some(node),
            examine_node(document, node, Mode::FerroLb),
        ),
    };
    let raw = match root {
        Some(root) if examined.config.is_some() => ConfigFile::decode_node(&document, root).value,
        _ => ConfigFile::default(),
    };
    let settings = settings::examined(settings, examined.config.as_ref());
    if let Some(config) = &mut examined.config {
        config.settings.clone_from(settings.value());
    }
    Prepared {
        document,
        root,
        raw,
        examined,
        settings,
    }
}

impl Prepared<'_> {
    /// Converts it. Upstream's faults are not repeated: that is for what 0.12 does not run as well, see [`convert`].
    #[must_use]
    pub fn convert(&self, options: &Options) -> Conversion {
        let mut conversion = match &self.examined.config {
            None => not_run(self.examined.clone()),
            Some(config) => convert_valid(self, config.clone(), options),
        };
        let config = conversion.config.as_ref();
        let carries = conversion
            .mode
            .map(|mode| settings::Carried::by(mode, options));
        let told = self.settings.findings(config, carries);
        conversion.findings.extend(told);
        conversion
    }
}

fn convert_valid(prepared: &Prepared<'_>, config: Config, options: &Options) -> Conversion {
    let Prepared {
        document,
        root,
        raw,
        examined,
        settings: _,
    } = prepared;
    let mode = options.mode.unwrap_or_else(|| checks::guess_mode(raw));
    let mut findings = Findings::new(options);
    findings.later_documents(examined);
    scalars::look(document, *root, raw, &mut findings);
    checks::look(raw, &config, mode, options, &mut findings);
    let built = match options.compat {
        None => Some(build::build(raw, &config, mode, options, &mut findings)),
        Some(compat) => match upstream::convert(raw, compat.release, Faults::MENDED) {
            Ok(resources) => {
                let renames = upstreams_renames(raw, &resources);
                let resources = resources.into_iter().map(|resource| (resource, None));
                Some(Built {
                    resources: resources.collect(),
                    renames,
                })
            }
            Err(error) => {
                let help = "convert without --compat, or with --bug-compat";
                findings.add(Level::Blocked, "compat", "", None, error.to_string(), help);
                None
            }
        },
    };
    let mut built = built;
    if options.compat.is_none()
        && !findings.is_stopped()
        && let Some(built) = &mut built
    {
        prove(built, &config, mode, &mut findings);
        hide(built, &mut findings);
        if options.order == Order::Upstream {
            built.sort_as_upstream();
        }
    }
    let stopped = findings.is_stopped();
    let findings = findings.sorted();
    let built = built.unwrap_or_default();
    let (resources, origins) = built.resources.into_iter().unzip();
    Conversion {
        resources: Some(resources).filter(|_| !stopped),
        origins,
        renames: built.renames,
        findings,
        config: Some(config),
        mode: Some(mode),
    }
}

/// The resources with their places in the configuration, and the names that changed.
#[derive(Default)]
struct Built {
    resources: Vec<(Resource, Option<Place>)>,
    renames: Vec<Rename>,
}

impl Built {
    fn sort_as_upstream(&mut self) {
        self.resources
            .sort_by_key(|(resource, _)| match resource.spec {
                Spec::Peer(_) => 0,
                Spec::Pool(_) => 1,
                Spec::BgpAdvertisement(_) => 2,
                Spec::L2Advertisement(_) => 3,
                Spec::BfdProfile(_) => 4,
                Spec::Community(_) => 5,
                Spec::Secret(_) => 6,
            });
    }
}

/// Compares what was made with what it was made of: a difference must have been allowed.
fn prove(built: &Built, config: &Config, mode: BgpMode, findings: &mut Findings<'_>) {
    let options = findings.options;
    let resources: Vec<&Resource> = built
        .resources
        .iter()
        .map(|(resource, _)| resource)
        .collect();
    let renames = &built.renames;
    for difference in verify::compare_all(config, &resources, renames, options.target, mode) {
        let level = if options.allow.is_empty() {
            Level::Blocked
        } else {
            Level::Warning
        };
        let path = difference.what.clone();
        findings.add(level, "MIG048", path, None, difference.to_string(), "");
    }
}

/// Takes the passwords out, where that is wanted.
fn hide(built: &mut Built, findings: &mut Findings<'_>) {
    match &findings.options.passwords {
        Passwords::Secret | Passwords::Inline => {}
        Passwords::Redact => {
            for (resource, _) in &mut built.resources {
                if let Spec::Secret(password) = &mut resource.spec {
                    password.0 = REDACTED.to_owned();
                }
            }
        }
        Passwords::External(name) => {
            let mut distinct = BTreeSet::new();
            built.resources.retain_mut(|(resource, _)| {
                if let Spec::Peer(peer) = &mut resource.spec
                    && !peer.password_secret.is_empty()
                {
                    peer.password_secret.clone_from(name);
                }
                if let Spec::Secret(password) = &resource.spec {
                    distinct.insert(password.0.clone());
                    return false;
                }
                true
            });
            if distinct.len() > 1 {
                let message = format!(
                    "the peers have {} different passwords, and the Secret {name} has one",
                    distinct.len()
                );
                let help = "leave out --password external: each peer has a Secret then";
                findings.add(Level::Blocked, "MIG074", "peers", None, message, help);
            }
        }
    }
}

/// The names that upstream's converter changed.
fn upstreams_renames(raw: &ConfigFile, resources: &[Resource]) -> Vec<Rename> {
    let named = |kind| {
        let of_kind = resources
            .iter()
            .filter(move |resource| resource.spec.kind() == kind);
        of_kind.map(|resource| resource.name.as_str())
    };
    let pools = raw.address_pools.value.iter().map(|pool| &pool.name.value);
    let profiles = raw
        .bfd_profiles
        .value
        .iter()
        .map(|profile| &profile.name.value);
    let pools = pools
        .zip(named("IPAddressPool"))
        .map(|names| ("IPAddressPool", names));
    let profiles = profiles
        .zip(named("BFDProfile"))
        .map(|names| ("BFDProfile", names));
    pools
        .chain(profiles)
        .filter(|(_, (from, to))| from != to)
        .map(|(kind, (from, to))| Rename {
            kind,
            from: from.clone(),
            to: to.to_owned(),
        })
        .collect()
}

/// Upstream's converter with all its faults: it reads what 0.12 does not run, and checks nothing.
fn repeat(source: Source<'_>, release: Release) -> Conversion {
    let raw = match source {
        Source::Text(text) => match Document::parse(text) {
            Ok(document) => upstream::lax::read(&document, document.root()),
            Err(_) => return not_run(examine(text, Mode::FerroLb)),
        },
        Source::Node(document, node) => upstream::lax::read(document, Some(node)),
    };
    let converted = raw.map_err(|error| error.to_string()).and_then(|raw| {
        upstream::convert(&raw, release, Faults::REPEATED).map_err(|error| error.to_string())
    });
    match converted {
        Ok(resources) => Conversion {
            origins: vec![None; resources.len()],
            resources: Some(resources),
            ..Conversion::default()
        },
        Err(message) => Conversion {
            findings: vec![finding(Level::Invalid, "compat", "", None, message, "")],
            ..Conversion::default()
        },
    }
}

/// The code of the migration for one of the configuration's own.
fn code(code: &'static str) -> &'static str {
    match code {
        "unknown-field" => "MIG001",
        "duplicate-field" | "duplicate-key" => "MIG002",
        "wrong-type" | "tag-mismatch" => "MIG003",
        "unknown-protocol" => "MIG004",
        "layer2-advertisements" => "MIG005",
        "duplicate-peer" => "MIG006",
        "duplicate-advertisement" => "MIG007",
        "cidr-overlap" => "MIG008",
        "later-document" => "MIG011",
        other => other,
    }
}

/// 0.12 refuses it.
fn not_run(examined: Examined) -> Conversion {
    let findings = examined.errors.into_iter().map(|diagnostic| Finding {
        level: Level::Invalid,
        diagnostic: Diagnostic {
            code: code(diagnostic.code),
            ..diagnostic
        },
        file: 0,
    });
    Conversion {
        findings: findings.collect(),
        ..Conversion::default()
    }
}

/// A finding about the whole input; an empty help is none.
#[must_use]
pub fn note(level: Level, code: &'static str, message: String, help: &str) -> Finding {
    finding(level, code, "", None, message, help)
}

/// A finding about a place in one of several files.
#[must_use]
pub fn at(
    level: Level,
    code: &'static str,
    path: String,
    (file, place): (usize, Place),
    message: String,
) -> Finding {
    let mut finding = finding(level, code, path, Some(place), message, "");
    finding.file = file;
    finding
}

/// A finding; an empty help is none.
fn finding(
    level: Level,
    code: &'static str,
    path: impl Into<String>,
    place: Option<Place>,
    message: impl Into<String>,
    help: &str,
) -> Finding {
    let number = |number: u32| usize::try_from(number).unwrap_or_default();
    Finding {
        level,
        diagnostic: Diagnostic {
            key: Key::Config,
            severity: if level >= Level::Blocked {
                Severity::Error
            } else {
                Severity::Warning
            },
            code,
            message: message.into(),
            path: path.into(),
            line: place.map_or(0, |place| number(place.line)),
            column: place.map_or(0, |place| number(place.column)),
            span: place.map_or(0..0, |place| place.span()),
            help: (!help.is_empty()).then(|| help.to_owned()),
        },
        file: 0,
    }
}

/// The most findings that are kept.
const MAX_FINDINGS: usize = 1000;

/// The findings so far.
struct Findings<'o> {
    findings: Vec<Finding>,
    options: &'o Options,
}

impl<'o> Findings<'o> {
    fn new(options: &'o Options) -> Self {
        Self {
            findings: Vec::new(),
            options,
        }
    }

    /// Whether there is one that stops the conversion.
    fn is_stopped(&self) -> bool {
        self.findings
            .iter()
            .any(|finding| finding.level >= Level::Blocked)
    }

    /// Whether findings of this code do not stop the conversion.
    fn is_allowed(&self, code: &str) -> bool {
        self.options.allow.contains(code)
    }

    fn add(
        &mut self,
        level: Level,
        code: &'static str,
        path: impl Into<String>,
        place: Option<Place>,
        message: impl Into<String>,
        help: &str,
    ) {
        let level = if level == Level::Blocked && self.is_allowed(code) {
            Level::Warning
        } else {
            level
        };
        // What stops the conversion is always kept.
        if self.findings.len() < MAX_FINDINGS || level >= Level::Blocked {
            self.findings
                .push(finding(level, code, path, place, message, help));
        }
    }

    /// What follows the first document is not read.
    fn later_documents(&mut self, examined: &Examined) {
        for warning in &examined.warnings {
            if warning.code == "later-document" {
                self.findings.push(Finding {
                    level: Level::Warning,
                    diagnostic: Diagnostic {
                        code: code(warning.code),
                        ..warning.clone()
                    },
                    file: 0,
                });
            }
        }
    }

    /// The worst first, then by place.
    fn sorted(mut self) -> Vec<Finding> {
        self.findings.sort_by(|a, b| {
            let key = |finding: &Finding| finding.diagnostic.span.start;
            b.level.cmp(&a.level).then(key(a).cmp(&key(b)))
        });
        self.findings
    }
}
