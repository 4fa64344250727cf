//! `ferrolb migrate convert` and `check`: the same work, with and without an output.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use ferrolb_compat::crd::{Dress, Resource, Spec};
use ferrolb_compat::migrate::{NAMESPACE, Release};
use ferrolb_compat::yaml::emit;
use ferrolb_compat::yaml::{Content, Document};

use super::output::{Layout, Output, Written, is_secret};
use super::report::{Object, Outcome, ReportArgs, Source, sha256};
use super::{
    Auto, BLOCKED, DONE, INVALID, IO, USAGE, parse_kubernetes, parse_mode, parse_release,
    read_text, refused, shown,
};
use crate::cli::check::input::{Format, Located, Missing, Wanted, locate_as};
use crate::config::error::Key;
use crate::migrate::live::services::{self, Touched};
use crate::migrate::live::{inventory, plan};
use crate::migrate::names::Naming;
use crate::migrate::{
    Advertisements, Compat, Conversion, Finding, Level, Options, Order, Passwords,
    Source as MigrateSource, convert_with, is_object_name, note,
};

/// What the resources are to be like; for a file and for a cluster.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct FormArgs {
    /// The release that will read the resources: 0.13 to 0.16 for the last of each, or 0.13.7 and the like [default: 0.16.1]
    #[arg(long, value_name = "RELEASE", value_parser = parse_release)]
    target_version: Option<Release>,
    /// How pools and BFD profiles are named: rfc1123 changes what no resource can be named; upstream as MetalLB's own converter; keep
    /// refuses instead; map=FILE has lines `old: new`
    #[arg(long, value_name = "HOW", default_value = "rfc1123", value_parser = parse_naming)]
    names: NamingWord,
    /// What the names of all other resources begin with
    #[arg(long, value_name = "PREFIX", default_value = "", value_parser = parse_prefix)]
    name_prefix: String,
    /// Where passwords go: secret (a Secret each), inline (into the peers, as plain text), redact (Secrets without them, to be
    /// shown to others), external=NAME (a Secret that you make)
    #[arg(long, value_name = "FORM", default_value = "secret", value_parser = parse_passwords)]
    password: Passwords,
    /// Advertisements of one pool that make the same route: one that says what 0.12 did, or each for itself
    #[arg(long, value_name = "FORM", default_value = "merge", value_enum)]
    advertisements: AdvertisementForm,
    /// Leave out names of communities that nothing uses
    #[arg(long)]
    prune_unused: bool,
    /// Codes of findings that do not stop the conversion, as MIG019,MIG020
    #[arg(long, value_name = "CODES", value_delimiter = ',', value_parser = parse_code)]
    allow: Vec<String>,
}

/// What is converted, and how.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct ConversionArgs {
    /// The file, or `-` for standard input: a ConfigMap's manifest (YAML or JSON, alone, in a List or among others), the
    /// configuration itself, or Helm values with configInline (also in a HelmRelease)
    #[arg(value_name = "INPUT")]
    input: PathBuf,
    /// What the file is, where it does not show
    #[arg(long, value_name = "FORMAT", value_enum)]
    format: Option<FormatWord>,
    /// The name of the ConfigMap that the pods read (their --config)
    #[arg(long, value_name = "NAME")]
    config_name: Option<String>,
    #[command(flatten)]
    form: FormArgs,
    /// The version of the cluster's Kubernetes, as 1.36: some releases do not work with some versions
    #[arg(long, value_name = "VERSION", value_parser = parse_kubernetes)]
    kubernetes_version: Option<u32>,
    /// Who will speak BGP: native, frr, frr-k8s; auto is native if MetalLB 0.12's native mode takes the configuration, else frr
    #[arg(long, value_name = "MODE", default_value = "auto", value_parser = parse_mode)]
    bgp_mode: Auto,
    /// The namespace of the resources [default: that of the ConfigMap, else metallb-system]
    #[arg(long, value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// The cluster's Services, as `kubectl get services -A -o yaml` or `-o json` writes them: which of them a renamed pool touches
    #[arg(long, value_name = "FILE")]
    services: Option<PathBuf>,
    /// The cluster's nodes, as `kubectl get nodes -o yaml` or `-o json` writes them: which peers share one, which will not announce
    #[arg(long, value_name = "FILE")]
    nodes: Option<PathBuf>,
    /// The order of the resources: what others refer to first, or as MetalLB's own converter
    #[arg(long, value_name = "ORDER", default_value = "safe", value_enum)]
    order: OrderWord,
    /// Write what MetalLB's own converter of this release writes, byte for byte, but for its faults
    #[arg(long, value_name = "RELEASE", value_parser = parse_release)]
    compat: Option<Release>,
    /// With --compat: its faults as well. Nothing is checked then
    #[arg(long, requires = "compat")]
    bug_compat: bool,
}

/// Convert a ConfigMap to custom resources, without loss
///
/// Exits with 0 if it is done, 1 if MetalLB 0.12 would not run the input, 2 if the command line is wrong, 3 if there are findings
/// as of --fail-on, 4 if the target cannot express the configuration (nothing is written), 6 if a file cannot be read or
/// written.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct ConvertArgs {
    #[command(flatten)]
    conversion: ConversionArgs,
    /// Where to write the resources; `-` is standard output. A file is replaced whole or not at all
    #[arg(short, long = "output-file", value_name = "FILE", default_value = "-")]
    output_file: PathBuf,
    /// How to write them
    #[arg(long, value_name = "LAYOUT", default_value = "yaml", value_enum)]
    output: Layout,
    /// Write Secrets to this file (mode 0600) instead
    #[arg(long, value_name = "FILE")]
    secrets_file: Option<PathBuf>,
    /// Write above each resource where it comes from
    #[arg(long)]
    comments: bool,
    #[command(flatten)]
    report: ReportArgs,
}

/// Say what converting would say, and write nothing
///
/// The report goes to standard output. Exit codes are those of convert.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    conversion: ConversionArgs,
    #[command(flatten)]
    report: ReportArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum FormatWord {
    /// A ConfigMap's manifest
    Configmap,
    /// The configuration itself
    Data,
    /// Helm values
    Helm,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum AdvertisementForm {
    Merge,
    OnePerEntry,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum OrderWord {
    Safe,
    Upstream,
}

/// `--names`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum NamingWord {
    Is(Naming),
    Map(PathBuf),
}

fn parse_naming(word: &str) -> Result<NamingWord, String> {
    Ok(match word {
        "rfc1123" => NamingWord::Is(Naming::Rfc1123),
        "upstream" => NamingWord::Is(Naming::Upstream),
        "keep" => NamingWord::Is(Naming::Keep),
        word => match word.strip_prefix("map=") {
            Some(path) if !path.is_empty() => NamingWord::Map(path.into()),
            _ => return Err("must be rfc1123, upstream, keep or map=FILE".to_owned()),
        },
    })
}

fn parse_prefix(word: &str) -> Result<String, String> {
    let fits = word.is_empty() || word.len() <= 100 && is_object_name(&format!("{word}peer1"));
    if fits {
        Ok(word.to_owned())
    } else {
        Err("no name of a resource can begin so".to_owned())
    }
}

fn parse_passwords(word: &str) -> Result<Passwords, String> {
    Ok(match word {
        "secret" => Passwords::Secret,
        "inline" => Passwords::Inline,
        "redact" => Passwords::Redact,
        word => match word.strip_prefix("external=") {
            Some(name) if is_object_name(name) => Passwords::External(name.to_owned()),
            Some(_) => return Err("this is no name of a Secret".to_owned()),
            None => return Err("must be secret, inline, redact or external=NAME".to_owned()),
        },
    })
}

/// A code that can be allowed: a misspelt one would allow nothing, and nobody would know.
fn parse_code(word: &str) -> Result<String, String> {
    crate::migrate::codes::find(word)
        .map(|code| code.code.to_owned())
        .ok_or_else(|| "there is no such code: ferrolb migrate explain lists all".to_owned())
}

/// A file of names: `old: new`.
fn read_names(path: &Path) -> io::Result<BTreeMap<String, String>> {
    let text = read_text(path, &mut io::empty())?;
    let invalid = |message: String| io::Error::new(io::ErrorKind::InvalidData, message);
    let document = Document::parse(&text).map_err(|error| invalid(error.to_string()))?;
    let root = document.root().and_then(|root| document.resolved(root));
    let pairs = match root.map(|root| &root.content) {
        None => return Ok(BTreeMap::new()),
        Some(Content::Mapping(pairs)) => pairs,
        Some(_) => return Err(invalid("it has no lines `old: new`".to_owned())),
    };
    let mut names = BTreeMap::new();
    for (old, new) in pairs {
        match (document.text(*old), document.text(*new)) {
            (Some(old), Some(new)) => {
                names.insert(old.to_owned(), new.to_owned());
            }
            _ => return Err(invalid("it has more than lines `old: new`".to_owned())),
        }
    }
    Ok(names)
}

impl FormArgs {
    /// The release.
    pub(super) fn target(&self) -> Release {
        self.target_version.unwrap_or(Release::NEWEST)
    }

    /// What does not stop the conversion.
    pub(super) fn allowed(&self) -> BTreeSet<String> {
        self.allow.iter().cloned().collect()
    }

    /// Whether what is made is only to be shown.
    pub(super) fn is_redacted(&self) -> bool {
        self.password == Passwords::Redact
    }

    /// The options of a further command that is to mean the same.
    pub(super) fn repeated(&self) -> String {
        let mut words = format!(" --target-version {}", self.target());
        match &self.names {
            NamingWord::Is(Naming::Upstream) => words += " --names upstream",
            NamingWord::Is(Naming::Keep) => words += " --names keep",
            NamingWord::Is(_) => {}
            NamingWord::Map(path) => words += &format!(" --names map={}", path.display()),
        }
        if !self.name_prefix.is_empty() {
            words += &format!(" --name-prefix {}", self.name_prefix);
        }
        match &self.password {
            Passwords::Secret => {}
            Passwords::Inline => words += " --password inline",
            Passwords::Redact => words += " --password redact",
            Passwords::External(name) => words += &format!(" --password external={name}"),
        }
        if self.advertisements == AdvertisementForm::OnePerEntry {
            words += " --advertisements one-per-entry";
        }
        if self.prune_unused {
            words += " --prune-unused";
        }
        if !self.allow.is_empty() {
            words += &format!(" --allow {}", self.allow.join(","));
        }
        words
    }

    /// # Errors
    /// The file of names cannot be read.
    pub(super) fn options(&self) -> io::Result<Options> {
        Ok(Options {
            target: self.target(),
            passwords: self.password.clone(),
            advertisements: match self.advertisements {
                AdvertisementForm::Merge => Advertisements::Merge,
                AdvertisementForm::OnePerEntry => Advertisements::OnePerEntry,
            },
            names: match &self.names {
                NamingWord::Is(naming) => naming.clone(),
                NamingWord::Map(path) => Naming::Map(read_names(path).map_err(|error| {
                    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
                })?),
            },
            prefix: self.name_prefix.clone(),
            prune_unused: self.prune_unused,
            allow: self.allowed(),
            ..Options::default()
        })
    }
}

impl ConversionArgs {
    /// # Errors
    /// The file of names cannot be read.
    fn options(&self) -> io::Result<Options> {
        let target = self.form.target_version.or(self.compat);
        Ok(Options {
            target: target.unwrap_or(Release::NEWEST),
            mode: self.bgp_mode.0,
            kubernetes: self.kubernetes_version,
            order: match self.order {
                OrderWord::Safe => Order::Safe,
                OrderWord::Upstream => Order::Upstream,
            },
            compat: self.compat.map(|release| Compat {
                release,
                bugs: self.bug_compat,
            }),
            ..self.form.options()?
        })
    }
}

/// A configuration that was found and converted.
pub(super) struct Converted {
    /// What became of it, with places in the file.
    pub(super) conversion: Conversion,
    /// The ConfigMap's namespace.
    pub(super) namespace: Option<String>,
    /// The ConfigMap's name.
    pub(super) name: Option<String>,
    /// The line of each resource.
    lines: Vec<Option<usize>>,
    /// The file has several, and nobody can tell which is meant.
    is_ambiguous: bool,
}

impl Converted {
    /// Of a text that is the configuration.
    pub(super) fn bare(conversion: Conversion) -> Self {
        Self {
            conversion,
            namespace: None,
            name: None,
            lines: Vec::new(),
            is_ambiguous: false,
        }
    }

    fn missing(missing: Missing) -> Self {
        let mut diagnostic = missing.diagnostic;
        let is_ambiguous = diagnostic.code == "several-configs";
        if matches!(diagnostic.code, "no-config-key" | "no-config") {
            diagnostic.code = "MIG043";
        }
        Self {
            conversion: refused(diagnostic),
            namespace: None,
            name: None,
            lines: Vec::new(),
            is_ambiguous,
        }
    }
}

/// Finds the configuration in a file and converts it.
pub(super) fn convert_file(text: &str, wanted: &Wanted<'_>, options: &Options) -> Converted {
    let located = match locate_as(text, wanted) {
        Ok(located) => located,
        Err(missing) => return Converted::missing(*missing),
    };
    let mut conversion = convert_with(located.source(text), located.settings(), options);
    surround(&mut conversion, &located, wanted);
    let lines = located.lines_in_file(text, &conversion.origins);
    Converted {
        conversion: super::in_file(conversion, &located, text),
        namespace: located.namespace,
        name: located.name,
        lines,
        is_ambiguous: false,
    }
}

/// Converts the texts of a ConfigMap that is in no file.
pub(super) fn convert_bare(text: &str, settings: Option<&str>, options: &Options) -> Conversion {
    let mut conversion = convert_with(MigrateSource::Text(text), settings, options);
    for finding in &mut conversion.findings {
        // Places are told as those of the configuration, and the settings are another text.
        if finding.diagnostic.key == Key::Ferrolb {
            finding.diagnostic.line = 0;
        }
    }
    conversion
}

/// What is to say about the ConfigMap itself.
fn surround(conversion: &mut Conversion, located: &Located, wanted: &Wanted<'_>) {
    let mut say = |level, code, message: String, help: &str| {
        conversion.findings.push(note(level, code, message, help));
    };
    if let (Some(name), None) = (&located.name, wanted.name)
        && name != "config"
    {
        say(
            Level::Warning,
            "MIG043",
            format!(
                "the ConfigMap's name is {name:?}, and MetalLB's pods read `config` unless they have --config"
            ),
            "say with --config-name which one they read",
        );
    }
}

/// The objects of a file.
fn read_objects(path: &Path) -> io::Result<Vec<serde_json::Value>> {
    let named =
        |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    let text = read_text(path, &mut io::empty()).map_err(named)?;
    inventory::objects(&text)
        .map_err(|error| named(io::Error::new(io::ErrorKind::InvalidData, error)))
}

/// What is to say about the Services and nodes of a cluster, where files of them are given.
fn inventories(
    args: &ConversionArgs,
    nodes: &[inventory::Node],
    target: Release,
    conversion: &mut Conversion,
) -> io::Result<Vec<Touched>> {
    let Some(config) = &conversion.config else {
        return Ok(Vec::new());
    };
    let mut findings = Vec::new();
    for remark in plan::nodes(nodes, config, target) {
        let level = match remark.level {
            Level::Blocked if args.form.allowed().contains(remark.code) => Level::Warning,
            level => level,
        };
        findings.push(note(level, remark.code, remark.message, &remark.help));
    }
    let mut touched = Vec::new();
    if let Some(path) = &args.services {
        let objects = read_objects(path)?;
        let services: Vec<_> = objects
            .iter()
            .filter_map(inventory::Service::read)
            .collect();
        touched = services::touched(config, &conversion.renames, &services, target);
        for one in &touched {
            let message = format!("the Service {} {}", one.key, one.how);
            let help = one.how.help(&one.key);
            findings.push(note(one.how.level(), one.how.code(), message, &help));
        }
    }
    if findings
        .iter()
        .any(|finding| finding.level >= Level::Blocked)
    {
        conversion.resources = None;
    }
    conversion.findings.extend(findings);
    Ok(touched)
}

/// What a command line asks for, read.
struct Asked {
    sources: Vec<Source>,
    options: Options,
    converted: Converted,
    namespace: String,
    /// The Services that are touched.
    touched: Vec<Touched>,
}

/// Reads and converts; the exit status where that cannot be done.
fn ask(
    args: &ConversionArgs,
    stdin: &mut dyn Read,
    stderr: &mut dyn Write,
) -> io::Result<Result<Asked, u8>> {
    let mut options = match args.options() {
        Ok(options) => options,
        Err(error) => {
            writeln!(stderr, "error: cannot read {error}")?;
            return Ok(Err(IO));
        }
    };
    let nodes = match args.nodes.as_deref().map(read_objects).transpose() {
        Ok(objects) => objects.unwrap_or_default(),
        Err(error) => {
            writeln!(stderr, "error: cannot read {error}")?;
            return Ok(Err(IO));
        }
    };
    let nodes: Vec<_> = nodes.iter().map(inventory::Node::read).collect();
    options.nodes = nodes.iter().map(|node| node.labels.clone()).collect();
    let name = shown(&args.input);
    let text = match read_text(&args.input, stdin) {
        Ok(text) => text,
        Err(error) => {
            writeln!(stderr, "error: cannot read {name}: {error}")?;
            return Ok(Err(IO));
        }
    };
    let wanted = Wanted {
        format: args.format.map(|word| match word {
            FormatWord::Configmap => Format::ConfigMap,
            FormatWord::Data => Format::Data,
            FormatWord::Helm => Format::Helm,
        }),
        name: args.config_name.as_deref(),
    };
    let mut converted = convert_file(&text, &wanted, &options);
    let conversion = &mut converted.conversion;
    let touched = match inventories(args, &nodes, options.target, conversion) {
        Ok(touched) => touched,
        Err(error) => {
            writeln!(stderr, "error: cannot read {error}")?;
            return Ok(Err(IO));
        }
    };
    let own = converted.namespace.clone();
    if let (Some(wanted), Some(own)) = (&args.namespace, &own)
        && wanted != own
    {
        let message = format!("the ConfigMap is in {own}, and the resources are for {wanted}");
        let help = "MetalLB reads resources of its own namespace only";
        converted
            .conversion
            .findings
            .push(note(Level::Warning, "MIG032", message, help));
    }
    let namespace = args.namespace.clone().or(own);
    Ok(Ok(Asked {
        sources: vec![Source { name, text }],
        options,
        converted,
        namespace: namespace.unwrap_or_else(|| NAMESPACE.to_owned()),
        touched,
    }))
}

impl Asked {
    fn source(&self) -> &str {
        self.sources
            .first()
            .map_or("<input>", |source| source.name.as_str())
    }

    /// The files for the resources, judged as an API server of the target will; what it refuses stops the conversion.
    fn output(
        &mut self,
        layout: Layout,
        comments: bool,
        apart: bool,
    ) -> Option<(Written, Option<String>)> {
        let resources = self.converted.conversion.resources.as_ref()?;
        let source = self.source().to_owned();
        let mut output = Output {
            resources: Vec::new(),
            comments: comments.then(Vec::new),
            namespace: &self.namespace,
            target: self.options.target,
            mode: self.converted.conversion.mode,
            compat: self.options.compat.map(|compat| compat.release),
            layout,
        };
        let mut secrets = Output {
            resources: Vec::new(),
            comments: None,
            layout: Layout::Yaml,
            compat: None,
            ..output
        };
        for (index, resource) in resources.iter().enumerate() {
            if apart && is_secret(resource) {
                secrets.resources.push(resource);
                continue;
            }
            output.resources.push(resource);
            if let Some(comments) = &mut output.comments {
                let line = self.converted.lines.get(index).copied().flatten();
                comments.push(line.map(|line| format!("{source}, line {line}")));
            }
        }
        let mut faults = Vec::new();
        let mut write = |output: &Output<'_>| match output.write() {
            Ok(written) => {
                // Upstream's faults are repeated where that was asked for.
                if output.compat.is_none() {
                    let target = self.options.target;
                    let kubernetes = self.options.kubernetes;
                    faults.extend(written.faults(&output.resources, target, kubernetes));
                }
                Some(written)
            }
            Err(error) => {
                faults.push(error.to_string());
                None
            }
        };
        let written = write(&output);
        let secrets = match apart.then(|| write(&secrets)).flatten() {
            Some(Written::File(text)) => Some(text),
            _ => None,
        };
        let findings = faults
            .into_iter()
            .map(|fault| note(Level::Blocked, "MIG049", fault, ""));
        let findings: Vec<Finding> = findings.collect();
        let allowed = self.options.allow.contains("MIG049");
        let is_refused = !findings.is_empty() && !allowed;
        let conversion = &mut self.converted.conversion;
        conversion
            .findings
            .extend(findings.into_iter().map(|finding| {
                let level = if allowed {
                    Level::Warning
                } else {
                    finding.level
                };
                Finding { level, ..finding }
            }));
        if is_refused {
            conversion.resources = None;
            return None;
        }
        written.map(|written| (written, secrets))
    }

    fn outcome(&self, command: &'static str) -> Outcome<'_> {
        let conversion = &self.converted.conversion;
        let target = self.options.target;
        let name = self.source();
        let worst = conversion.worst();
        let (result, code, summary) = match (&conversion.resources, worst) {
            (Some(resources), _) => {
                let count = resources.len();
                let verb = if command == "check" { "would be " } else { "" };
                let summary = format!("{name}: {verb}{count} resources for MetalLB {target}");
                ("converted", DONE, summary)
            }
            (None, Some(Level::Blocked)) => (
                "not-representable",
                BLOCKED,
                format!(
                    "{name}: MetalLB {target} cannot express this configuration: nothing was written"
                ),
            ),
            (None, _) if self.converted.is_ambiguous => (
                "ambiguous",
                USAGE,
                format!(
                    "{name}: say with --config-name which ConfigMap is meant: nothing was written"
                ),
            ),
            (None, _) => (
                "invalid",
                INVALID,
                format!(
                    "{name}: MetalLB 0.12 does not run this configuration, but the last good one before it: nothing was written"
                ),
            ),
        };
        let objects = conversion.resources.iter().flatten().enumerate();
        let objects = objects.map(|(index, resource)| Object {
            kind: resource.spec.kind(),
            name: resource.name.clone(),
            line: self.converted.lines.get(index).copied().flatten(),
            sha256: self.digest(resource),
        });
        Outcome {
            command,
            result,
            code,
            sources: &self.sources,
            namespace: Some(&self.namespace),
            config_map: self.converted.name.as_deref(),
            target,
            mode: conversion.mode,
            findings: &conversion.findings,
            renames: &conversion.renames,
            touched: &self.touched,
            objects: objects.collect(),
            differences: None,
            summary: vec![summary],
        }
    }

    /// The digest of a manifest without a password in it.
    fn digest(&self, resource: &Resource) -> Option<String> {
        let is_secret = match &resource.spec {
            Spec::Secret(_) => true,
            Spec::Peer(peer) => !peer.password.0.is_empty(),
            _ => false,
        };
        (!is_secret).then(|| {
            let mut text = String::new();
            emit::write(
                &mut text,
                &resource.manifest(&self.namespace, Dress::default()),
            );
            sha256(text.as_bytes())
        })
    }
}

/// Converts and returns the exit status.
///
/// # Errors
/// The report could not be written.
pub(super) fn run(
    args: &ConvertArgs,
    stdin: &mut dyn Read,
    stdout: &mut dyn Write,
    stderr: &mut dyn Write,
) -> io::Result<u8> {
    if args.output.is_folder() && args.output_file == Path::new("-") {
        writeln!(
            stderr,
            "error: --output {:?} is a folder: name it with -o",
            args.output
        )?;
        return Ok(USAGE);
    }
    if args.conversion.compat.is_some() && (args.output != Layout::Yaml || args.comments) {
        writeln!(
            stderr,
            "error: --compat writes upstream's file and no other"
        )?;
        return Ok(USAGE);
    }
    let mut asked = match ask(&args.conversion, stdin, stderr)? {
        Ok(asked) => asked,
        Err(code) => return Ok(code),
    };
    let apart = args.secrets_file.is_some() && args.conversion.compat.is_none();
    if let Some((written, secrets)) = asked.output(args.output, args.comments, apart) {
        let secrets = args.secrets_file.as_deref().zip(secrets.as_deref());
        let saved = written.save(&args.output_file, secrets, stdout);
        if let Err(error) = saved {
            let path = args.output_file.display();
            writeln!(stderr, "error: cannot write {path}: {error}")?;
            return Ok(IO);
        }
    }
    let outcome = asked.outcome("convert");
    let mut stream = Vec::new();
    let code = args.report.write(&outcome, &mut stream, stderr)?;
    stderr.write_all(&stream)?;
    Ok(code)
}

/// Says what converting would say, and returns the exit status.
///
/// # Errors
/// The report could not be written.
pub(super) fn check(
    args: &CheckArgs,
    stdin: &mut dyn Read,
    stdout: &mut dyn Write,
    stderr: &mut dyn Write,
) -> io::Result<u8> {
    let mut asked = match ask(&args.conversion, stdin, stderr)? {
        Ok(asked) => asked,
        Err(code) => return Ok(code),
    };
    // What would be written is judged as well.
    let _ = asked.output(Layout::Yaml, false, false);
    let outcome = asked.outcome("check");
    args.report.write(&outcome, stdout, stderr)
}
