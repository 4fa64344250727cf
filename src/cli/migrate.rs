//! `ferrolb migrate`: from the ConfigMap to custom resources. See [`crate::migrate`] for what is converted and how.
//!
//! Exit codes: [`DONE`], [`INVALID`], [`USAGE`], [`FINDINGS`], [`BLOCKED`], [`DIFFERENT`], [`IO`].
//!
//! Invariant: a file is written whole or not at all: where anything is refused the previous one is untouched. No password is in any
//! message.

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use ferrolb_compat::crd::{Dress, Resource};
use ferrolb_compat::migrate::{self as upstream, NAMESPACE, Release};
use ferrolb_compat::yaml::emit;

use super::check::input::{Located, locate};
use crate::config::error::Diagnostic;
use crate::migrate::{
    Advertisements, BgpMode, Compat, Conversion, Finding, Level, Options, Passwords, convert,
    settings_findings,
};

mod atomic;
pub mod configmaptocrs;
mod json;
mod verify;

#[cfg(test)]
mod tests;

/// It is done.
pub const DONE: u8 = 0;
/// The input is no configuration that 0.12 runs.
pub const INVALID: u8 = 1;
/// The command line is wrong.
pub const USAGE: u8 = 2;
/// There are findings of the level of `--fail-on`; the output is written.
pub const FINDINGS: u8 = 3;
/// The target cannot express the configuration.
pub const BLOCKED: u8 = 4;
/// The resources do not mean what the configuration means.
pub const DIFFERENT: u8 = 5;
/// A file cannot be read or written.
pub const IO: u8 = 6;

/// From 0.12's ConfigMap to the custom resources of MetalLB 0.13 and later
#[derive(Debug, Clone, clap::Args)]
#[command(arg_required_else_help = true)]
pub struct MigrateArgs {
    #[command(subcommand)]
    command: MigrateCommand,
}

#[derive(Debug, Clone, clap::Subcommand)]
enum MigrateCommand {
    Convert(ConvertArgs),
    Verify(verify::VerifyArgs),
}

/// Convert a ConfigMap to custom resources, without loss
///
/// Exits with 0 if it is done, 1 if MetalLB 0.12 would not run the input, 2 if the command line is wrong, 3 if there are findings
/// as of --fail-on, 4 if the target cannot express the configuration (nothing is written), 6 if a file cannot be read or
/// written.
#[derive(Debug, Clone, clap::Args)]
pub struct ConvertArgs {
    /// The file, or `-` for standard input: a ConfigMap's manifest (YAML or JSON, alone, in a List or among others), the
    /// configuration itself, or Helm values with configInline
    #[arg(value_name = "INPUT")]
    input: PathBuf,
    /// Where to write the resources; `-` is standard output. A file is replaced whole or not at all
    #[arg(short, long = "output-file", value_name = "FILE", default_value = "-")]
    output_file: PathBuf,
    /// The release that will read them: 0.13 to 0.16 for the last of each, or 0.13.7 and the like [default: 0.16.1]
    #[arg(long, value_name = "RELEASE", value_parser = parse_release)]
    target_version: Option<Release>,
    /// The version of the cluster's Kubernetes, as 1.36: some releases do not work with some versions
    #[arg(long, value_name = "VERSION", value_parser = parse_kubernetes)]
    kubernetes_version: Option<u32>,
    /// Who will speak BGP: native, frr, frr-k8s; auto is native if MetalLB 0.12's native mode takes the configuration, else frr
    #[arg(long, value_name = "MODE", default_value = "auto", value_parser = parse_mode)]
    bgp_mode: Auto,
    /// The namespace of the resources [default: that of the ConfigMap, else metallb-system]
    #[arg(long, value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// Where passwords go: a Secret each, or into the peers as plain text
    #[arg(long, value_name = "FORM", default_value = "secret", value_enum)]
    password: PasswordForm,
    /// Advertisements of one pool that make the same route: one that says what 0.12 did, or each for itself
    #[arg(long, value_name = "FORM", default_value = "merge", value_enum)]
    advertisements: AdvertisementForm,
    /// Write what MetalLB's own converter of this release writes, byte for byte, but for its faults
    #[arg(long, value_name = "RELEASE", value_parser = parse_release)]
    compat: Option<Release>,
    /// With --compat: its faults as well. Nothing is checked then
    #[arg(long, requires = "compat")]
    bug_compat: bool,
    /// Codes of findings that do not stop the conversion, as MIG019,MIG020
    #[arg(long, value_name = "CODES", value_delimiter = ',')]
    allow: Vec<String>,
    /// Exit with 3 if there is a finding of this level
    #[arg(long, value_name = "LEVEL", default_value = "error", value_enum)]
    fail_on: FailOn,
    /// How to report on standard error
    #[arg(long, value_name = "FORM", default_value = "text", value_enum)]
    report: Report,
}

/// `--bgp-mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Auto(Option<BgpMode>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum PasswordForm {
    Secret,
    Inline,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum AdvertisementForm {
    Merge,
    OnePerEntry,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum FailOn {
    Error,
    Warning,
    Info,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Report {
    /// For people
    Text,
    /// For programs
    Json,
}

fn parse_release(word: &str) -> Result<Release, String> {
    word.parse()
        .map_err(|error: upstream::UnknownRelease| error.to_string())
}

fn parse_mode(word: &str) -> Result<Auto, String> {
    match word {
        "auto" => Ok(Auto(None)),
        word => match word.parse() {
            Ok(mode) => Ok(Auto(Some(mode))),
            Err(help) => Err(format!("{help}, or auto")),
        },
    }
}

/// The minor version: 36 of `1.36`, `v1.36.2`.
fn parse_kubernetes(word: &str) -> Result<u32, String> {
    let wrong = || "write it as 1.36".to_owned();
    let rest = word.strip_prefix('v').unwrap_or(word);
    let rest = rest.strip_prefix("1.").ok_or_else(wrong)?;
    let minor = rest.split('.').next().unwrap_or_default();
    minor.parse().map_err(|_| wrong())
}

/// Runs a command and returns the exit status.
///
/// # Errors
/// The report could not be written.
pub fn run(
    args: &MigrateArgs,
    stdin: &mut dyn Read,
    stdout: &mut dyn Write,
    stderr: &mut dyn Write,
) -> io::Result<u8> {
    match &args.command {
        MigrateCommand::Convert(args) => run_convert(args, stdin, stdout, stderr),
        MigrateCommand::Verify(args) => verify::run(args, stdin, stdout, stderr),
    }
}

impl ConvertArgs {
    fn options(&self) -> Options {
        let target = self.target_version.or(self.compat);
        Options {
            target: target.unwrap_or(Release::NEWEST),
            mode: self.bgp_mode.0,
            kubernetes: self.kubernetes_version,
            passwords: match self.password {
                PasswordForm::Secret => Passwords::Secret,
                PasswordForm::Inline => Passwords::Inline,
            },
            advertisements: match self.advertisements {
                AdvertisementForm::Merge => Advertisements::Merge,
                AdvertisementForm::OnePerEntry => Advertisements::OnePerEntry,
            },
            allow: self.allow.iter().cloned().collect::<BTreeSet<_>>(),
            compat: self.compat.map(|release| Compat {
                release,
                bugs: self.bug_compat,
            }),
        }
    }
}

fn run_convert(
    args: &ConvertArgs,
    stdin: &mut dyn Read,
    stdout: &mut dyn Write,
    stderr: &mut dyn Write,
) -> io::Result<u8> {
    let name = shown(&args.input);
    let text = match read_text(&args.input, stdin) {
        Ok(text) => text,
        Err(error) => {
            writeln!(stderr, "error: cannot read {name}: {error}")?;
            return Ok(IO);
        }
    };
    let options = args.options();
    let (conversion, namespace) = match locate(&text) {
        Ok(located) => {
            let conversion = in_file(convert(located.source(&text), &options), &located, &text);
            (conversion, located.namespace)
        }
        Err(missing) => (refused(missing.diagnostic), None),
    };
    let namespace = args.namespace.clone().or(namespace);
    let namespace = namespace.unwrap_or_else(|| NAMESPACE.to_owned());
    let written = match &conversion.resources {
        None => None,
        Some(resources) => match render(resources, &namespace, &options, conversion.mode) {
            Ok(file) => Some(file),
            Err(error) => {
                writeln!(stderr, "{name}: error: {error}")?;
                return Ok(BLOCKED);
            }
        },
    };
    if let Some(file) = &written {
        let to_stdout = args.output_file == Path::new("-");
        let result = if to_stdout {
            stdout
                .write_all(file.as_bytes())
                .and_then(|()| stdout.flush())
        } else {
            // It may hold passwords.
            atomic::write(&args.output_file, file.as_bytes(), 0o600)
        };
        if let Err(error) = result {
            let path = args.output_file.display();
            writeln!(stderr, "error: cannot write {path}: {error}")?;
            return Ok(IO);
        }
    }
    match args.report {
        Report::Text => report(stderr, &name, &conversion, &options)?,
        Report::Json => json::write(stderr, &name, &namespace, &conversion, &options)?,
    }
    let least = match args.fail_on {
        FailOn::Error => Level::Blocked,
        FailOn::Warning => Level::Warning,
        FailOn::Info => Level::Info,
    };
    Ok(match conversion.worst() {
        Some(Level::Invalid) => INVALID,
        Some(Level::Blocked) => BLOCKED,
        Some(level) if level >= least => FINDINGS,
        _ => DONE,
    })
}

/// A file's name in messages.
fn shown(path: &Path) -> String {
    if path == Path::new("-") {
        "<stdin>".to_owned()
    } else {
        path.display().to_string()
    }
}

/// The text of a file.
fn read_text(path: &Path, stdin: &mut dyn Read) -> io::Result<String> {
    let bytes = super::check::read(path, stdin)?;
    String::from_utf8(bytes).map_err(|error| {
        let offset = error.utf8_error().valid_up_to();
        let message = format!("byte {offset} begins no UTF-8 character: save the file as UTF-8");
        io::Error::new(io::ErrorKind::InvalidData, message)
    })
}

/// A file without a configuration.
fn refused(diagnostic: Diagnostic) -> Conversion {
    Conversion {
        findings: vec![Finding {
            level: Level::Invalid,
            diagnostic,
        }],
        ..Conversion::default()
    }
}

/// The findings with their places in the file.
fn in_file(mut conversion: Conversion, located: &Located, file: &str) -> Conversion {
    if let Some(text) = located.settings() {
        // 0.12 does not look at them: what is wrong with them is no reason not to convert.
        let found = settings_findings(text, conversion.config.as_ref()).into_iter();
        conversion.findings.extend(found.map(|finding| Finding {
            level: finding.level.min(Level::Warning),
            ..finding
        }));
    }
    let (levels, diagnostics): (Vec<Level>, Vec<Diagnostic>) = conversion
        .findings
        .into_iter()
        .map(|finding| (finding.level, finding.diagnostic))
        .unzip();
    conversion.findings = levels
        .into_iter()
        .zip(located.in_file(file, diagnostics))
        .map(|(level, diagnostic)| Finding { level, diagnostic })
        .collect();
    conversion
}

/// The file.
fn render(
    resources: &[Resource],
    namespace: &str,
    options: &Options,
    mode: Option<BgpMode>,
) -> Result<String, upstream::Unwritable> {
    if let Some(compat) = options.compat {
        return upstream::write(resources, namespace, compat.release);
    }
    let mode = mode.map_or(String::new(), |mode| format!(", BGP mode {mode}"));
    let mut out = format!(
        "# Written by ferrolb migrate convert for MetalLB {}{mode}.\n",
        options.target
    );
    for resource in resources {
        out.push_str("---\n");
        emit::write(&mut out, &resource.manifest(namespace, Dress::default()));
    }
    Ok(out)
}

/// The word for a level.
fn word(level: Level) -> &'static str {
    match level {
        Level::Info => "info",
        Level::Warning => "warning",
        Level::Blocked | Level::Invalid => "error",
    }
}

/// The report for people: a line for each finding, then what became of it.
fn report(
    out: &mut dyn Write,
    name: &str,
    conversion: &Conversion,
    options: &Options,
) -> io::Result<()> {
    for finding in &conversion.findings {
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
            Some(help) => writeln!(out, " ({help})")?,
            None => writeln!(out)?,
        }
    }
    for rename in &conversion.renames {
        writeln!(
            out,
            "renamed: {} {:?} to {}",
            rename.kind, rename.from, rename.to
        )?;
    }
    let target = options.target;
    match (&conversion.resources, conversion.worst()) {
        (Some(resources), _) => {
            writeln!(
                out,
                "{name}: {} resources for MetalLB {target}",
                resources.len()
            )
        }
        (None, Some(Level::Blocked)) => writeln!(
            out,
            "{name}: MetalLB {target} cannot express this configuration: nothing was written"
        ),
        (None, _) => writeln!(
            out,
            "{name}: MetalLB 0.12 does not run this configuration, but the last good one before it: nothing was written"
        ),
    }
}
