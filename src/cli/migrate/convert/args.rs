//! What a conversion is told on the command line.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use ferrolb_compat::migrate::Release;
use ferrolb_compat::yaml::{Content, Document};

use super::super::live::ClusterArgs;
use super::super::{Auto, parse_kubernetes, parse_mode, parse_release, read_text};
use crate::cli::check::input::{Format, Wanted};
use crate::migrate::live::inventory;
use crate::migrate::names::Naming;
use crate::migrate::{Advertisements, Compat, Options, Order, Passwords, is_object_name};

/// What the resources are to be like; for a file and for a cluster.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct FormArgs {
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
    /// configuration itself, or Helm values with configInline (also in a HelmRelease); without it, the cluster's ConfigMap
    #[arg(value_name = "INPUT")]
    pub(super) input: Option<PathBuf>,
    #[command(flatten)]
    pub(super) cluster: ClusterArgs,
    /// What the file is, where it does not show
    #[arg(long, value_name = "FORMAT", value_enum)]
    format: Option<FormatWord>,
    /// The name of the ConfigMap that the pods read (their --config)
    #[arg(long, value_name = "NAME")]
    pub(super) config_name: Option<String>,
    #[command(flatten)]
    pub(super) form: FormArgs,
    /// The version of the cluster's Kubernetes, as 1.36: some releases do not work with some versions; a cluster is asked
    #[arg(long, value_name = "VERSION", value_parser = parse_kubernetes)]
    kubernetes_version: Option<u32>,
    /// Who will speak BGP: native, frr, frr-k8s; auto is what the cluster's speakers do (METALLB_BGP_TYPE), and for a file native if
    /// MetalLB 0.12's native mode takes the configuration, else frr
    #[arg(long, value_name = "MODE", default_value = "auto", value_parser = parse_mode)]
    bgp_mode: Auto,
    /// The namespace of the resources [default: that of the ConfigMap, else metallb-system], and of the cluster's ConfigMap
    #[arg(long, value_name = "NAMESPACE")]
    pub(super) namespace: Option<String>,
    /// The cluster's Services, as `kubectl get services -A -o yaml` or `-o json` writes them: which of them a renamed pool touches
    #[arg(long, value_name = "FILE")]
    pub(super) services: Option<PathBuf>,
    /// The cluster's nodes, as `kubectl get nodes -o yaml` or `-o json` writes them: which peers share one, which will not announce
    #[arg(long, value_name = "FILE")]
    pub(super) nodes: Option<PathBuf>,
    /// The order of the resources: what others refer to first, or as MetalLB's own converter
    #[arg(long, value_name = "ORDER", default_value = "safe", value_enum)]
    order: OrderWord,
    /// Write what MetalLB's own converter of this release writes, byte for byte, but for its faults
    #[arg(long, value_name = "RELEASE", value_parser = parse_release)]
    pub(super) compat: Option<Release>,
    /// With --compat: its faults as well. Nothing is checked then
    #[arg(long, requires = "compat")]
    bug_compat: bool,
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

/// The objects of a file.
fn read_objects(path: &Path) -> io::Result<Vec<serde_json::Value>> {
    let named =
        |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    let text = read_text(path, &mut io::empty()).map_err(named)?;
    inventory::objects(&text)
        .map_err(|error| named(io::Error::new(io::ErrorKind::InvalidData, error)))
}

impl FormArgs {
    /// The release.
    pub(crate) fn target(&self) -> Release {
        self.target_version.unwrap_or(Release::NEWEST)
    }

    /// What does not stop the conversion.
    pub(crate) fn allowed(&self) -> BTreeSet<String> {
        self.allow.iter().cloned().collect()
    }

    /// Whether what is made is only to be shown.
    pub(crate) fn is_redacted(&self) -> bool {
        self.password == Passwords::Redact
    }

    /// The options of a further command that is to mean the same.
    pub(crate) fn repeated(&self) -> String {
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
    pub(crate) fn options(&self) -> io::Result<Options> {
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
    /// What is looked for in the file.
    pub(super) fn wanted(&self) -> Wanted<'_> {
        Wanted {
            format: self.format.map(|word| match word {
                FormatWord::Configmap => Format::ConfigMap,
                FormatWord::Data => Format::Data,
                FormatWord::Helm => Format::Helm,
            }),
            name: self.config_name.as_deref(),
        }
    }

    /// The nodes and Services of files.
    pub(super) fn inventories(
        &self,
    ) -> io::Result<(Vec<inventory::Node>, Vec<inventory::Service>)> {
        let objects = |path: &Option<PathBuf>| path.as_deref().map_or(Ok(Vec::new()), read_objects);
        let nodes = objects(&self.nodes)?;
        let services = objects(&self.services)?;
        Ok((
            nodes.iter().map(inventory::Node::read).collect(),
            services
                .iter()
                .filter_map(inventory::Service::read)
                .collect(),
        ))
    }

    /// # Errors
    /// The file of names cannot be read.
    pub(super) fn options(&self) -> io::Result<Options> {
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
