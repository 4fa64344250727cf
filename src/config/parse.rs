//! From text to [`Config`]: the checks, in upstream's order.
//!
//! The text becomes a `raw::ConfigFile` (types), then the mode's checks, then those of each section: BFD profiles, peers,
//! communities, pools. Upstream stops at the first fault; so does what [`Refused`] tells first. The checks go on for the
//! sake of the other faults, and leave out what only follows from one already told.
//!
//! Upstream: `Parse` in MetalLB 0.12.1's `internal/config`, its two mode validators before it.

use ferrolb_compat::raw::ConfigFile;
use ferrolb_compat::yaml::decode::Fault;
use ferrolb_compat::yaml::{Document, Place};

use super::Config;
use super::error::{Diagnostic, Refused, Severity};
use super::mode::Mode;

mod bfd;
mod modes;
mod peers;
mod pools;
mod selectors;
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
    let (config, findings) = check(text, mode);
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
    let (config, mut findings) = check(text, mode);
    let mut warnings = Vec::new();
    if let Ok(document) = Document::parse(text) {
        let raw = ConfigFile::decode(&document).value;
        warnings = warnings::look(text, &raw, config.as_ref());
    }
    findings.errors.truncate(MAX_DIAGNOSTICS);
    Examined {
        config,
        errors: findings.errors,
        warnings,
        unkept: findings.unkept,
    }
}

/// All errors, and the configuration where there are none.
fn check(text: &str, mode: Mode) -> (Option<Config>, Findings) {
    let mut findings = Findings::default();
    let document = match Document::parse(text) {
        Ok(document) => document,
        Err(error) => {
            let help = error.help.map(str::to_owned);
            findings.add("syntax", String::new(), error.place, error.message, help);
            return (None, findings);
        }
    };
    let decoded = ConfigFile::decode(&document);
    for fault in decoded.faults {
        findings.add_fault(fault);
    }
    findings.unkept += decoded.unkept;
    if decoded.given_up {
        return (None, findings);
    }
    let raw = decoded.value;
    modes::check(&raw, mode, &mut findings);
    let bfd_profiles = bfd::parse(&raw, &mut findings);
    let peers = peers::parse(&raw, &mut findings);
    let pools = pools::parse(&raw, &mut findings);
    let config = findings.errors.is_empty().then_some(Config {
        peers,
        pools,
        bfd_profiles,
    });
    (config, findings)
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
