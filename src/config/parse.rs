//! From text to [`Config`]: the checks, in upstream's order.
//!
//! The text becomes a `raw::ConfigFile` (types), then the mode's checks, then those of each section: BFD profiles, peers,
//! communities, pools. Upstream stops at the first fault; so does what [`Refused`] tells first. The checks go on for the
//! sake of the other faults, and leave out what only follows from one already told.
//!
//! Upstream: `Parse` in MetalLB 0.12.1's `internal/config`, its two mode validators before it.

use ferrolb_compat::raw::ConfigFile;
use ferrolb_compat::yaml::decode::Decoded;
use ferrolb_compat::yaml::fault::Fault;
use ferrolb_compat::yaml::{Document, NodeId, Place, SyntaxError};

use super::Config;
use super::error::{Diagnostic, Key, Refused, Severity};
use super::mode::Mode;
use super::settings::Settings;

mod bfd;
mod modes;
mod peers;
mod pools;
mod selectors;
mod settings;
mod warnings;

#[cfg(test)]
mod tests;

/// The most diagnostics that are kept.
const MAX_DIAGNOSTICS: usize = 200;

/// What is to say about a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Examined {
    /// The configuration, where there is no error.
    pub config: Option<Config>,
    /// The errors; the first one is the fault that 0.12 would have reported.
    pub errors: Vec<Diagnostic>,
    /// What works, perhaps not as meant; in the order of the text.
    pub warnings: Vec<Diagnostic>,
    /// How many errors there were beyond those that are kept.
    pub unkept: usize,
}

/// Parses the text of the ConfigMap's `config`.
///
/// # Errors
/// The configuration is refused; the first diagnostic is the fault that 0.12 would have reported.
///
/// ```
/// use ferrolb::config::{mode::Mode, parse::parse};
/// let refused = parse("address-pools:\n- name: a\n  protocol: l2\n  addresses: [192.0.2.0/28]\n", Mode::FerroLb).unwrap_err();
/// assert_eq!(
///     refused.to_string(),
///     r#"line 3, column 13: address-pools[0].protocol: unknown protocol "l2": must be layer2 or bgp"#
/// );
/// ```
pub fn parse(text: &str, mode: Mode) -> Result<Config, Refused> {
    parse_with_settings(text, None, mode)
}

/// Parses the text of the ConfigMap's `config`, and the one of its `ferrolb` if there is such a key.
///
/// # Errors
/// One of them is refused, and so the whole is. The faults of `config` come first.
pub fn parse_with_settings(
    text: &str,
    settings: Option<&str>,
    mode: Mode,
) -> Result<Config, Refused> {
    let (_, mut config, mut findings) = match Document::parse(text) {
        Ok(document) => check(ConfigFile::decode(&document), mode),
        Err(error) => unreadable(error),
    };
    if let Some(text) = settings {
        let examined = settings::examine(text, config.as_ref());
        match (&mut config, examined.settings) {
            (Some(config), Some(settings)) => config.settings = settings,
            (_, _) => config = None,
        }
        findings.errors.extend(examined.errors);
        findings.unkept += examined.unkept;
    }
    let mut errors = findings.errors.into_iter();
    match (errors.next(), config) {
        (None, Some(config)) => Ok(config),
        (Some(first), _) => Err(Refused::with_others(
            first,
            errors.collect(),
            findings.unkept,
        )),
        (None, None) => Err(Refused::without_place(
            "internal",
            "the configuration was refused without a reason: this is a bug of FerroLB",
        )),
    }
}

/// Parses the text and looks for what works, perhaps not as meant.
#[must_use]
pub fn examine(text: &str, mode: Mode) -> Examined {
    let (raw, config, findings) = match Document::parse(text) {
        Ok(document) => check(ConfigFile::decode(&document), mode),
        Err(error) => unreadable(error),
    };
    let warnings = warnings::look(Some(text), &raw, config.as_ref());
    findings.into_examined(config, warnings)
}

/// What is to say about the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExaminedSettings {
    /// The settings, where there is no error.
    pub settings: Option<Settings>,
    /// The errors.
    pub errors: Vec<Diagnostic>,
    /// What works, perhaps not as meant; in the order of the text.
    pub warnings: Vec<Diagnostic>,
    /// How many errors there were beyond those that are kept.
    pub unkept: usize,
}

/// Parses the text of the ConfigMap's `ferrolb`. `config` is what its `config` means, if that is valid: without it nobody can
/// say whether a peer exists.
#[must_use]
pub fn examine_settings(text: &str, config: Option<&Config>) -> ExaminedSettings {
    settings::examine(text, config)
}

/// The same as [`examine`] for a text that was read already.
#[must_use]
pub fn examine_document(text: &str, document: &Document, mode: Mode) -> Examined {
    let (raw, config, findings) = check(ConfigFile::decode(document), mode);
    let warnings = warnings::look(Some(text), &raw, config.as_ref());
    findings.into_examined(config, warnings)
}

/// Whether a mode takes a configuration that was read already.
#[must_use]
pub fn takes(raw: &ConfigFile, mode: Mode) -> bool {
    let mut findings = Findings::default();
    modes::check(raw, mode, &mut findings);
    findings.errors.is_empty()
}

/// The same as [`examine`] for a part of a document, such as Helm's values.
#[must_use]
pub fn examine_node(document: &Document, node: NodeId, mode: Mode) -> Examined {
    let (raw, config, findings) = check(ConfigFile::decode_node(document, node), mode);
    let warnings = warnings::look(None, &raw, config.as_ref());
    findings.into_examined(config, warnings)
}

/// A text that is no YAML.
fn unreadable(error: SyntaxError) -> (ConfigFile, Option<Config>, Findings) {
    let mut findings = Findings::default();
    let help = error.help.map(str::to_owned);
    findings.add("syntax", String::new(), error.place, error.message, help);
    (ConfigFile::default(), None, findings)
}

/// All errors, and the configuration where there are none.
fn check(decoded: Decoded<ConfigFile>, mode: Mode) -> (ConfigFile, Option<Config>, Findings) {
    let mut findings = Findings::default();
    for fault in decoded.faults {
        findings.add_fault(fault);
    }
    findings.unkept += decoded.unkept;
    let raw = decoded.value;
    if decoded.given_up {
        return (raw, None, findings);
    }
    modes::check(&raw, mode, &mut findings);
    let bfd_profiles = bfd::parse(&raw, &mut findings);
    let peers = peers::parse(&raw, &mut findings);
    let pools = pools::parse(&raw, &mut findings);
    let config = findings.errors.is_empty().then_some(Config {
        peers,
        pools,
        bfd_profiles,
        settings: Settings::default(),
    });
    (raw, config, findings)
}

/// The errors so far.
#[derive(Debug, Default)]
struct Findings {
    /// In the order in which upstream would meet them.
    errors: Vec<Diagnostic>,
    /// How many more there were.
    unkept: usize,
}

impl Findings {
    /// What was found, as others see it.
    fn into_examined(self, config: Option<Config>, warnings: Vec<Diagnostic>) -> Examined {
        Examined {
            config,
            errors: self.errors,
            warnings,
            unkept: self.unkept,
        }
    }

    /// Adds an error, unless the same was said about the same place.
    fn add(
        &mut self,
        code: &'static str,
        path: String,
        place: Place,
        message: String,
        help: Option<String>,
    ) {
        if self.errors.len() >= MAX_DIAGNOSTICS {
            self.unkept += 1;
            return;
        }
        let diagnostic = diagnostic(Severity::Error, code, path, place, message, help);
        let known = self.errors.iter().any(|error| {
            error.code == code && error.span == diagnostic.span && error.path == diagnostic.path
        });
        if !known {
            self.errors.push(diagnostic);
        }
    }

    /// Adds a fault of the types.
    fn add_fault(&mut self, fault: Fault) {
        let help = fault.kind.help();
        // The name of the wrong field is the last step of the path: it would be said twice.
        let message = fault.kind.to_string();
        self.add(fault.kind.code(), fault.path, fault.place, message, help);
    }
}

/// A diagnostic about a place.
fn diagnostic(
    severity: Severity,
    code: &'static str,
    path: String,
    place: Place,
    message: String,
    help: Option<String>,
) -> Diagnostic {
    Diagnostic {
        key: Key::Config,
        severity,
        code,
        message,
        path,
        line: usize::try_from(place.line).unwrap_or_default(),
        column: usize::try_from(place.column).unwrap_or_default(),
        span: place.span(),
        help,
    }
}
