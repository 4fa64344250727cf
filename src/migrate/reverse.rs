//! Back again: from custom resources to the configuration of 0.12 that means the same.
//!
//! 0.12 can say less: a pool has one protocol, advertisements are for everything, communities are small. What it cannot say stops it,
//! each with its place; with [`ReverseOptions::lossy`] it is left out, with a comment where it was.
//!
//! What FerroLB's settings can say and 0.12 cannot (`enableGracefulRestart`) becomes the text of the ConfigMap's `ferrolb`.
//!
//! What comes out was compared with what went in, by [`verify`].
//!
//! What it is not: no file, no cluster. In: documents. Out: the texts of the ConfigMap's `config` and `ferrolb`.
//!
//! Invariant: no finding holds a password; the text does, since that is where 0.12 has them.

use std::collections::{BTreeMap, BTreeSet};

use ferrolb_compat::crd::read::{Found, Read, read_all};
use ferrolb_compat::crd::schema::LAST_WITH_ADDRESS_POOL;
use ferrolb_compat::crd::{Resource, Spec};
use ferrolb_compat::migrate::Release;
use ferrolb_compat::yaml::{Document, Place};

use self::text::Build;
use super::{BgpMode, Finding, Level, Rename, finding, resources, verify};
use crate::config::Config;
use crate::config::mode::Mode;
use crate::config::parse::{Examined, examine, examine_settings};

mod peers;
mod pools;
mod read;
mod text;

/// What is wanted.
#[derive(Debug, Clone, Default)]
pub struct ReverseOptions {
    /// The release that reads the resources; `None`: the newest that knows all that is there.
    pub target: Option<Release>,
    /// Its BGP implementation; `None`: native if 0.12's native mode takes the configuration, else FRR.
    pub mode: Option<BgpMode>,
    /// Whether what 0.12 cannot say is left out.
    pub lossy: bool,
    /// Whether renamed resources keep their new names.
    pub keep_names: bool,
    /// Whether there is no place for FerroLB's settings.
    pub without_settings: bool,
    /// Of resources of several namespaces, those of this one.
    pub namespace: Option<String>,
}

/// What became of resources.
#[derive(Debug, Clone, Default)]
pub struct Reversed {
    /// The text of the ConfigMap's `config`; `None`: 0.12 cannot say it.
    pub text: Option<String>,
    /// The text of its `ferrolb`, if the resources say what FerroLB's settings can say and 0.12 cannot.
    pub settings: Option<String>,
    /// The namespace of the resources, if they name one.
    pub namespace: Option<String>,
    /// The names that were given back.
    pub renames: Vec<Rename>,
    /// What is to say, the worst first, then by place.
    pub findings: Vec<Finding>,
    /// What 0.12 runs with it.
    pub config: Option<Config>,
    /// The release that it was compared for.
    pub target: Option<Release>,
    /// The BGP implementation that it was compared for.
    pub mode: Option<BgpMode>,
}

/// Where a resource stands: its file, and its place there.
type At = (usize, Place);

/// Makes a configuration of the resources of some files.
#[must_use]
pub fn reverse(files: &[Vec<Document>], options: &ReverseOptions) -> Reversed {
    let parsed: Vec<Read> = files.iter().map(|documents| read_all(documents)).collect();
    let target = options.target.unwrap_or_else(|| newest(&parsed));
    let mut findings = Vec::new();
    let (all, lost) = read::read(files, parsed, target, options, &mut findings);
    let (items, namespace) = read::of_one_namespace(&all, options, &mut findings);
    let mut names = BTreeSet::new();
    for (file, found) in &items {
        let resource = &found.resource;
        if !names.insert((resource.spec.kind(), resource.name.as_str())) {
            let message = "it is there twice";
            findings.push(say(
                Level::Blocked,
                "MIG049",
                resource,
                "",
                (*file, found.place),
                message,
            ));
        }
    }
    let found: Vec<&Found> = items.iter().map(|(_, found)| *found).collect();
    let resolved = resources::resolve(&found);
    let modes = match options.mode {
        Some(mode) => vec![mode],
        None => vec![BgpMode::Native, BgpMode::Frr],
    };
    let restarts = resolved
        .iter()
        .any(|(_, resource)| matches!(&resource.spec, Spec::Peer(peer) if peer.graceful_restart));
    let mut built = Built::default();
    for mode in modes {
        let mut build = Build {
            target,
            mode,
            options,
            resources: resolved
                .iter()
                .filter_map(|(index, resource)| {
                    let (file, found) = items.get(*index)?;
                    Some((resource, (*file, found.place)))
                })
                .collect(),
            lost: lost.clone(),
            findings: Vec::new(),
            renames: Vec::new(),
            origins: BTreeMap::new(),
        };
        // First, for what it cannot say is told in the text.
        let settings = build.settings();
        let text = build.text();
        let of_mode = if mode.is_frr() {
            Mode::Frr
        } else {
            Mode::Native
        };
        // Upstream: native BGP refuses graceful restart.
        let fits = examine(&text, of_mode).config.is_some() && (mode.is_frr() || !restarts);
        built = Built {
            text,
            settings,
            mode,
            is_lossy: options.lossy && !(build.lost.is_empty() && build.findings.is_empty()),
            findings: build.findings,
            renames: build.renames,
            origins: build.origins,
        };
        if fits {
            break;
        }
    }
    let Built {
        text,
        settings,
        mode,
        is_lossy,
        findings: more,
        renames,
        origins,
    } = built;
    findings.extend(more);
    // What follows from a resource that no API server takes is not worth saying.
    let is_refused = findings
        .iter()
        .any(|finding| finding.diagnostic.code == "MIG049");
    let mut examined = examined(&text, settings.as_deref());
    let errors = std::mem::take(&mut examined.errors).into_iter();
    for error in errors.filter(|_| !is_refused) {
        let at = origins
            .get(error.path.split_inclusive(']').next().unwrap_or_default())
            .copied();
        let (file, place) = at.unwrap_or((0, Place::BEGIN));
        let message = format!("0.12 refuses {}: {}", error.path, error.message);
        let help = error.help.unwrap_or_default();
        let mut finding = finding(
            Level::Blocked,
            "MIG068",
            error.path,
            at.map(|_| place),
            message,
            &help,
        );
        finding.file = file;
        findings.push(finding);
    }
    let stopped = |findings: &[Finding]| {
        findings
            .iter()
            .any(|finding| finding.level >= Level::Blocked)
    };
    if !stopped(&findings)
        && let Some(config) = &examined.config
        && !is_lossy
    {
        let resources: Vec<Resource> = resolved
            .iter()
            .map(|(_, resource)| resource.clone())
            .collect();
        for difference in verify::compare(config, &resources, &renames, target, mode) {
            let message = difference.to_string();
            findings.push(finding(Level::Blocked, "MIG070", "", None, message, ""));
        }
    }
    findings.sort_by(|a, b| {
        let key = |finding: &Finding| (finding.file, finding.diagnostic.span.start);
        b.level.cmp(&a.level).then(key(a).cmp(&key(b)))
    });
    let stopped = stopped(&findings);
    Reversed {
        text: (!stopped).then_some(text),
        settings: settings.filter(|_| !stopped),
        namespace,
        renames,
        findings,
        config: examined.config.filter(|_| !stopped),
        target: Some(target),
        mode: Some(mode),
    }
}

/// The newest release that knows the resources: AddressPools went.
fn newest(parsed: &[Read]) -> Release {
    let mut found = parsed.iter().flat_map(|read| &read.found);
    if found.any(|found| found.announcement.is_some()) {
        LAST_WITH_ADDRESS_POOL
    } else {
        Release::NEWEST
    }
}

/// What was made for one BGP implementation.
#[derive(Default)]
struct Built {
    text: String,
    settings: Option<String>,
    mode: BgpMode,
    /// Whether something was left out.
    is_lossy: bool,
    findings: Vec<Finding>,
    renames: Vec<Rename>,
    origins: BTreeMap<String, At>,
}

/// What FerroLB makes of the texts; errors of the settings are among the others.
fn examined(text: &str, settings: Option<&str>) -> Examined {
    let mut examined = examine(text, Mode::FerroLb);
    let (Some(config), Some(settings)) = (&mut examined.config, settings) else {
        return examined;
    };
    let found = examine_settings(settings, Some(config));
    match found.settings {
        Some(settings) => config.settings = settings,
        None => examined.config = None,
    }
    examined.errors.extend(found.errors);
    examined
}

impl Default for BgpMode {
    /// What needs no other program.
    fn default() -> Self {
        Self::Native
    }
}

/// A finding about a resource.
fn say(
    level: Level,
    code: &'static str,
    resource: &Resource,
    path: &str,
    at: At,
    message: impl Into<String>,
) -> Finding {
    told(
        level,
        code,
        (resource.spec.kind(), &resource.name),
        path,
        at,
        message,
    )
}

/// The same where there is no more than its kind and name.
fn told(
    level: Level,
    code: &'static str,
    (kind, name): (&str, &str),
    path: &str,
    (file, place): At,
    message: impl Into<String>,
) -> Finding {
    let path = if path.is_empty() {
        format!("{kind} {name}")
    } else {
        format!("{kind} {name}: {path}")
    };
    super::at(level, code, path, (file, place), message.into())
}

/// What is left out, by the kind and name of the resource.
type Lost = BTreeMap<(String, String), BTreeSet<String>>;
