//! What is wrong with a configuration, and where.
//!
//! A [`Diagnostic`] is one finding with its place in the text; [`Refused`] is what becomes of a configuration with at
//! least one error. The texts are read by people in logs, Events and terminals: each says what, where and what to do.
//!
//! Invariant: no text ever holds a password.

use std::fmt;
use std::ops::Range;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Severity {
    /// The configuration is refused.
    Error,
    /// The configuration works, perhaps not as meant.
    Warning,
}

impl Severity {
    /// `error`, `warning`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which text of the ConfigMap a finding is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Key {
    /// `data.config`: 0.12's document.
    #[default]
    Config,
    /// `data.ferrolb`: the settings.
    Ferrolb,
}

impl Key {
    /// Where it is in the ConfigMap: `data.config`, `data.ferrolb`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Config => "data.config",
            Self::Ferrolb => "data.ferrolb",
        }
    }
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Which text it is about.
    pub key: Key,
    /// How bad it is.
    pub severity: Severity,
    /// A stable word for programs: `unknown-field`, `cidr-overlap` …
    pub code: &'static str,
    /// The sentence, without place.
    pub message: String,
    /// The way to the value: `address-pools[1].protocol`; empty for the document itself.
    pub path: String,
    /// Line in the text, from 1; 0 if unknown.
    pub line: usize,
    /// Column in the line, in characters, from 1; 0 if unknown.
    pub column: usize,
    /// The bytes of the text that it is about; empty ranges mark a place.
    pub span: Range<usize>,
    /// What to do.
    pub help: Option<String>,
}

impl fmt::Display for Diagnostic {
    /// One line: `line 12, column 5: address-pools[1].protocol: unknown protocol "layer3": must be layer2 or bgp`. What is
    /// about the settings begins with `data.ferrolb: `.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.key == Key::Ferrolb {
            write!(f, "{}: ", self.key.as_str())?;
        }
        if self.line > 0 {
            write!(f, "line {}, column {}: ", self.line, self.column)?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)?;
        if let Some(help) = &self.help {
            write!(f, " ({help})")?;
        }
        Ok(())
    }
}

/// A configuration that is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// What 0.12 would have reported.
    first: Box<Diagnostic>,
    /// Everything else that was found.
    others: Vec<Diagnostic>,
    /// How many more faults there are, beyond those that are kept.
    unkept: usize,
}

impl Refused {
    /// A refusal for one reason.
    #[must_use]
    pub fn new(first: Diagnostic) -> Self {
        Self {
            first: Box::new(first),
            others: Vec::new(),
            unkept: 0,
        }
    }

    /// A refusal for the first of these reasons; of the rest it is told how many, and of `unkept` more as well.
    #[must_use]
    pub fn with_others(first: Diagnostic, others: Vec<Diagnostic>, unkept: usize) -> Self {
        Self {
            first: Box::new(first),
            others,
            unkept,
        }
    }

    /// A refusal that has no place in the text.
    #[must_use]
    pub fn without_place(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Diagnostic {
            key: Key::Config,
            severity: Severity::Error,
            code,
            message: message.into(),
            path: String::new(),
            line: 0,
            column: 0,
            span: 0..0,
            help: None,
        })
    }

    /// The fault that 0.12 would have reported (the first of them, where it reports several at once).
    #[must_use]
    pub fn first(&self) -> &Diagnostic {
        &self.first
    }

    /// All faults, the first one first.
    pub fn diagnostics(&self) -> impl Iterator<Item = &Diagnostic> {
        std::iter::once(&*self.first).chain(&self.others)
    }
}

impl fmt::Display for Refused {
    /// One line, fit for logs and Events.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.first.fmt(f)?;
        match self.others.len() + self.unkept {
            0 => Ok(()),
            1 => f.write_str(" (and 1 more fault)"),
            more => write!(f, " (and {more} more faults)"),
        }
    }
}

impl std::error::Error for Refused {}
