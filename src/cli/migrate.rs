//! `ferrolb migrate`: from the ConfigMap to custom resources, and back. See [`crate::migrate`] for what is converted and how.
//!
//! Exit codes: [`DONE`], [`INVALID`], [`USAGE`], [`FINDINGS`], [`BLOCKED`], [`DIFFERENT`], [`IO`], [`HALF_WAY`].
//!
//! Invariant: a file is written whole or not at all: where anything is refused the previous one is untouched. No password is in any
//! message.

use std::io::{self, Read, Write};
use std::path::Path;

use ferrolb_compat::migrate::{Release, UnknownRelease};

use super::check::input::Located;
use crate::config::error::Diagnostic;
use crate::migrate::{BgpMode, Conversion, Finding, Level};

mod atomic;
pub mod configmaptocrs;
mod convert;
mod explain;
mod live;
mod output;
mod report;
mod reverse;
mod schemas;
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
/// A file or the cluster cannot be read or written.
pub const IO: u8 = 6;
pub use live::HALF_WAY;

/// From 0.12's ConfigMap to the custom resources of MetalLB 0.13 and later
#[derive(Debug, Clone, clap::Args)]
#[command(arg_required_else_help = true)]
pub struct MigrateArgs {
    #[command(subcommand)]
    command: MigrateCommand,
}

#[derive(Debug, Clone, clap::Subcommand)]
enum MigrateCommand {
    Convert(Box<convert::ConvertArgs>),
    Check(Box<convert::CheckArgs>),
    Verify(verify::VerifyArgs),
    Reverse(reverse::ReverseArgs),
    Explain(explain::ExplainArgs),
    Schemas(schemas::SchemasArgs),
    #[command(flatten)]
    Live(live::LiveCommand),
}

/// `--bgp-mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Auto(Option<BgpMode>);

fn parse_release(word: &str) -> Result<Release, String> {
    word.parse()
        .map_err(|error: UnknownRelease| error.to_string())
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
        MigrateCommand::Convert(args) => convert::run(args, stdin, stdout, stderr),
        MigrateCommand::Check(args) => convert::check(args, stdin, stdout, stderr),
        MigrateCommand::Verify(args) => verify::run(args, stdin, stdout, stderr),
        MigrateCommand::Reverse(args) => reverse::run(args, stdin, stdout, stderr),
        MigrateCommand::Explain(args) => explain::run(args, stdout, stderr),
        MigrateCommand::Schemas(args) => schemas::run(args, stdout),
        MigrateCommand::Live(command) => live::run(command, stdin, stdout, stderr),
    }
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
            file: 0,
        }],
        ..Conversion::default()
    }
}

/// The findings with their places in the file.
fn in_file(mut conversion: Conversion, located: &Located, file: &str) -> Conversion {
    let (levels, diagnostics): (Vec<Level>, Vec<Diagnostic>) = conversion
        .findings
        .into_iter()
        .map(|finding| (finding.level, finding.diagnostic))
        .unzip();
    conversion.findings = levels
        .into_iter()
        .zip(located.in_file(file, diagnostics))
        .map(|(level, diagnostic)| Finding {
            level,
            diagnostic,
            file: 0,
        })
        .collect();
    conversion
}
