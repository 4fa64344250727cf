//! What is said about a migration: for people, for programs, and for tools that show findings beside the text (SARIF).
//!
//! Invariant: no password is in a report: findings hold none, and objects are told of by their digests, Secrets not even so.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use ferrolb_compat::migrate::Release;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{FINDINGS, IO, atomic};
use crate::migrate::live::services::{How, Touched};
use crate::migrate::{BgpMode, Finding, Level, Rename, codes};

/// Flags of all commands that report.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct ReportArgs {
    /// How to report: text for people, json for programs, sarif (2.1.0) for tools that show findings beside the text
    #[arg(long, value_name = "FORM", default_value = "text", value_enum)]
    report: Form,
    /// Where to report; a file is replaced whole or not at all [default: standard error; check and verify: standard output]
    #[arg(long, value_name = "FILE")]
    report_file: Option<PathBuf>,
    /// Exit with 3 if there is a finding of this level
    #[arg(long, value_name = "LEVEL", default_value = "error", value_enum)]
    fail_on: FailOn,
}

/// `--fail-on`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum FailOn {
    Error,
    Warning,
    Info,
}

impl FailOn {
    /// The least level that it means.
    pub(super) fn least(self) -> Level {
        match self {
            Self::Error => Level::Blocked,
            Self::Warning => Level::Warning,
            Self::Info => Level::Info,
        }
    }
}

/// `--report`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Form {
    /// For people
    Text,
    /// For programs
    Json,
    /// SARIF 2.1.0
    Sarif,
}

/// A file that was read.
#[derive(Debug, Clone)]
pub(super) struct Source {
    /// Its name.
    pub(super) name: String,
    /// What was in it.
    pub(super) text: String,
}

/// A resource that was written.
#[derive(Debug, Clone)]
pub(super) struct Object {
    /// `IPAddressPool`
    pub(super) kind: &'static str,
    /// Its name.
    pub(super) name: String,
    /// The line of the file that it comes from, if it is known.
    pub(super) line: Option<usize>,
    /// Of its manifest; of a Secret nothing: who guesses the password could see that he is right.
    pub(super) sha256: Option<String>,
}

/// What came of a command.
#[derive(Debug, Clone)]
pub(super) struct Outcome<'o> {
    /// `convert`
    pub(super) command: &'static str,
    /// One of the words of docs/migrate.md.
    pub(super) result: &'static str,
    /// The exit status, where it does not follow from the findings.
    pub(super) code: u8,
    /// What was read.
    pub(super) sources: &'o [Source],
    /// The namespace of ConfigMap or resources.
    pub(super) namespace: Option<&'o str>,
    /// The name of the ConfigMap.
    pub(super) config_map: Option<&'o str>,
    /// The release.
    pub(super) target: Release,
    /// The BGP implementation.
    pub(super) mode: Option<BgpMode>,
    /// What is to say.
    pub(super) findings: &'o [Finding],
    /// Names that changed.
    pub(super) renames: &'o [Rename],
    /// Services that are touched, where they are known.
    pub(super) touched: &'o [Touched],
    /// What was written.
    pub(super) objects: Vec<Object>,
    /// Differences that were found; `None`: nothing was compared.
    pub(super) differences: Option<Vec<String>>,
    /// The last lines for people.
    pub(super) summary: Vec<String>,
}

/// The SHA-256 of some bytes, in hexadecimal digits.
pub(super) fn sha256(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(64);
    for byte in Sha256::digest(bytes) {
        // Writing to a String cannot fail.
        let _ = write!(out, "{byte:02x}");
    }
    out
}

/// The word for a level.
pub(super) fn word(level: Level) -> &'static str {
    match level {
        Level::Info => "info",
        Level::Warning => "warning",
        Level::Blocked | Level::Invalid => "error",
    }
}

/// The line of a finding.
pub(super) fn say(out: &mut dyn Write, name: &str, finding: &Finding) -> io::Result<()> {
    let diagnostic = &finding.diagnostic;
    write!(out, "{name}")?;
    if diagnostic.line > 0 {
        write!(out, ":{}:{}", diagnostic.line, diagnostic.column)?;
    }
    write!(out, ": {} {}: ", word(finding.level), diagnostic.code)?;
    if !diagnostic.path.is_empty() {
        write!(out, "{}: ", diagnostic.path)?;
    }
    write!(out, "{}", diagnostic.message)?;
    match &diagnostic.help {
        Some(help) => writeln!(out, " ({help})"),
        None => writeln!(out),
    }
}

/// Findings of one code that are shown to people: who has more knows what it is about.
const SHOWN: usize = 20;

/// A line for each finding. What is no error and is said often is said so often, and then how often more.
pub(super) fn fold<'f>(
    out: &mut dyn Write,
    findings: impl Iterator<Item = (&'f str, &'f Finding)> + Clone,
) -> io::Result<()> {
    let mut counts: BTreeMap<(&str, Level, &str), (usize, usize)> = BTreeMap::new();
    let key =
        |(name, finding): (&'f str, &'f Finding)| (finding.diagnostic.code, finding.level, name);
    for one in findings.clone() {
        counts.entry(key(one)).or_default().0 += 1;
    }
    for (name, finding) in findings {
        let Some((all, said)) = counts.get_mut(&key((name, finding))) else {
            continue;
        };
        *said += 1;
        // A line that says that there is one more is as long as the one.
        let is_whole = finding.level >= Level::Blocked || *all <= SHOWN + 1;
        if is_whole || *said <= SHOWN {
            say(out, name, finding)?;
        } else if said == all {
            let more = *all - SHOWN;
            let (level, code) = (word(finding.level), finding.diagnostic.code);
            writeln!(
                out,
                "{name}: {level} {code}: {more} more (all of them: --report json)"
            )?;
        }
    }
    Ok(())
}

impl ReportArgs {
    /// Reports, and returns the exit status.
    ///
    /// # Errors
    /// The report could not be written to the stream.
    pub(super) fn write(
        &self,
        outcome: &Outcome<'_>,
        stream: &mut dyn Write,
        stderr: &mut dyn Write,
    ) -> io::Result<u8> {
        let least = self.fail_on.least();
        let worst = outcome.findings.iter().map(|finding| finding.level).max();
        let code = match outcome.code {
            0 if worst.is_some_and(|worst| worst >= least) => FINDINGS,
            code => code,
        };
        let mut out = Vec::new();
        match self.report {
            Form::Text => outcome.text(&mut out)?,
            Form::Json => writeln!(out, "{}", outcome.json())?,
            Form::Sarif => writeln!(out, "{:#}", outcome.sarif(code))?,
        }
        let Some(path) = &self.report_file else {
            stream.write_all(&out)?;
            stream.flush()?;
            return Ok(code);
        };
        if let Err(error) = atomic::write(path, &out, 0o666) {
            let path = path.display();
            writeln!(stderr, "error: cannot write {path}: {error}")?;
            return Ok(IO);
        }
        Ok(code)
    }
}

impl Outcome<'_> {
    fn name_of(&self, finding: &Finding) -> &str {
        self.sources
            .get(finding.file)
            .map_or("<input>", |source| source.name.as_str())
    }

    /// A line for each finding, then what became of it.
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        fold(
            out,
            self.findings
                .iter()
                .map(|finding| (self.name_of(finding), finding)),
        )?;
        for rename in self.renames {
            writeln!(
                out,
                "renamed: {} {:?} to {}",
                rename.kind, rename.from, rename.to
            )?;
        }
        for line in &self.summary {
            writeln!(out, "{line}")?;
        }
        Ok(())
    }

    fn json(&self) -> Value {
        let inputs: Vec<Value> = self
            .sources
            .iter()
            .map(|source| json!({"path": source.name, "sha256": sha256(source.text.as_bytes())}))
            .collect();
        let mut input = inputs
            .first()
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default();
        input.insert("namespace".to_owned(), json!(self.namespace));
        input.insert("name".to_owned(), json!(self.config_map));
        let objects: Vec<Value> = self
            .objects
            .iter()
            .map(|object| {
                json!({
                    "kind": object.kind,
                    "name": object.name,
                    "sourceLine": object.line,
                    "sha256": object.sha256,
                })
            })
            .collect();
        let renames: Vec<Value> = self
            .renames
            .iter()
            .map(|rename| {
                let services = self.touched.iter().filter(|one| match &one.how {
                    How::Renamed { from, .. } => {
                        rename.kind == "IPAddressPool" && *from == rename.from
                    }
                    _ => false,
                });
                let services: Vec<&str> = services.map(|one| one.key.as_str()).collect();
                json!({
                    "kind": rename.kind,
                    "from": rename.from,
                    "to": rename.to,
                    "services": services,
                })
            })
            .collect();
        let diagnostics: Vec<Value> = self
            .findings
            .iter()
            .map(|finding| {
                let diagnostic = &finding.diagnostic;
                json!({
                    "code": diagnostic.code,
                    "severity": word(finding.level),
                    "file": self.name_of(finding),
                    "line": diagnostic.line,
                    "column": diagnostic.column,
                    "path": diagnostic.path,
                    "message": diagnostic.message,
                    "fix": diagnostic.help,
                    "target": self.target.to_string(),
                })
            })
            .collect();
        let verify = self.differences.as_ref().map(
            |differences| json!({"equivalent": differences.is_empty(), "differences": differences}),
        );
        json!({
            "tool": concat!("ferrolb ", env!("CARGO_PKG_VERSION")),
            "command": self.command,
            "target": self.target.to_string(),
            "bgpMode": self.mode.map(|mode| mode.as_str()),
            "input": input,
            "inputs": inputs,
            "result": self.result,
            "objects": objects,
            "renames": renames,
            "diagnostics": diagnostics,
            "verify": verify,
        })
    }

    fn sarif(&self, code: u8) -> Value {
        let mut used: Vec<&'static str> = self
            .findings
            .iter()
            .map(|finding| finding.diagnostic.code)
            .collect();
        used.sort_unstable();
        used.dedup();
        let rules: Vec<Value> = used.iter().map(|code| rule(code)).collect();
        let artifacts: Vec<Value> = self
            .sources
            .iter()
            .map(|source| {
                json!({
                    "location": {"uri": uri(&source.name)},
                    "hashes": {"sha-256": sha256(source.text.as_bytes())},
                })
            })
            .collect();
        let results: Vec<Value> = self
            .findings
            .iter()
            .map(|finding| {
                let diagnostic = &finding.diagnostic;
                let mut message = diagnostic.message.clone();
                if let Some(help) = &diagnostic.help {
                    message.push_str(&format!(" ({help})"));
                }
                let index = used.binary_search(&diagnostic.code).unwrap_or_default();
                json!({
                    "ruleId": diagnostic.code,
                    "ruleIndex": index,
                    "level": sarif_level(finding.level),
                    "message": {"text": message},
                    "locations": [self.location(finding)],
                    "properties": {"target": self.target.to_string()},
                })
            })
            .collect();
        json!({
            "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
            "version": "2.1.0",
            "runs": [{
                "tool": {"driver": {
                    "name": "ferrolb",
                    "version": env!("CARGO_PKG_VERSION"),
                    "informationUri": env!("CARGO_PKG_REPOSITORY"),
                    "rules": rules,
                }},
                "columnKind": "unicodeCodePoints",
                "invocations": [{
                    "executionSuccessful": code == 0,
                    "exitCode": code,
                }],
                "artifacts": artifacts,
                "results": results,
            }],
        })
    }

    fn location(&self, finding: &Finding) -> Value {
        let diagnostic = &finding.diagnostic;
        let mut place = Map::new();
        let index = finding.file.min(self.sources.len().saturating_sub(1));
        place.insert(
            "artifactLocation".to_owned(),
            json!({"uri": uri(self.name_of(finding)), "index": index}),
        );
        if diagnostic.line > 0 {
            let mut region = json!({
                "startLine": diagnostic.line,
                "startColumn": diagnostic.column.max(1),
            });
            let text = self
                .sources
                .get(finding.file)
                .and_then(|source| source.text.get(diagnostic.span.clone()))
                .filter(|text| !text.is_empty() && !text.contains('\n'));
            if let (Some(text), Some(region)) = (text, region.as_object_mut()) {
                let end = diagnostic.column.max(1) + text.chars().count();
                region.insert("endColumn".to_owned(), json!(end));
            }
            place.insert("region".to_owned(), region);
        }
        let mut location = json!({"physicalLocation": place});
        if !diagnostic.path.is_empty()
            && let Some(location) = location.as_object_mut()
        {
            location.insert(
                "logicalLocations".to_owned(),
                json!([{"fullyQualifiedName": diagnostic.path}]),
            );
        }
        location
    }
}

/// What a code means, as SARIF has it.
fn rule(code: &str) -> Value {
    let known = codes::find(code);
    let title = known.map_or("MetalLB 0.12 refuses the configuration", |code| code.title);
    let text = known.map_or(
        "MetalLB 0.12 refuses the configuration for this reason and goes on with the last good one.",
        |code| code.text,
    );
    let level = known.map_or("error", |code| sarif_level(code.level));
    json!({
        "id": code,
        "shortDescription": {"text": title},
        "fullDescription": {"text": text},
        "help": {"text": format!("{text}\n\nferrolb migrate explain {code}")},
        "defaultConfiguration": {"level": level},
    })
}

fn sarif_level(level: Level) -> &'static str {
    match level {
        Level::Info => "note",
        Level::Warning => "warning",
        Level::Blocked | Level::Invalid => "error",
    }
}

/// A file's name as a URI reference (RFC 3986): relative where the name is.
fn uri(name: &str) -> String {
    let name = if name == "<stdin>" { "stdin" } else { name };
    let mut out = String::new();
    if Path::new(name).is_absolute() {
        out.push_str("file://");
    }
    for byte in name.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                out.push(char::from(byte));
            }
            _ => {
                // Writing to a String cannot fail.
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}
