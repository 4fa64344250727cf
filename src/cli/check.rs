//! `ferrolb check [FILE|-]`: what is wrong with a configuration, as a compiler would say it.
//!
//! In: a ConfigMap's manifest (also in a List, in a file of many documents, or as `kubectl get -o json` writes it), the bare
//! configuration, or Helm values with `configInline` ([`input`]). Out: every independent fault and warning with its place in the file,
//! as text (`render`) or JSON (`json`). It touches nothing but the file.
//!
//! Invariant: passwords are shown only with `--show-secrets`.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crate::config::mode::Mode;

pub mod input;
mod json;
mod offsets;
mod render;
mod secrets;

#[cfg(test)]
mod tests;

/// The longest file that is read, in bytes: a List of many ConfigMaps, each at most 1 MiB.
const MAX_FILE: u64 = 16 << 20;

/// The configuration is valid.
pub const VALID: u8 = 0;
/// It is not.
pub const NOT_VALID: u8 = 1;
/// There was nothing to check: the command line is wrong or the file cannot be read.
pub const USAGE: u8 = 2;

/// Check a configuration without touching a cluster
///
/// Exits with 0 if it is valid, 1 if it is not, 2 if there is nothing to check.
#[derive(Debug, Clone, clap::Args)]
pub struct CheckArgs {
    /// The file, or `-` for standard input: a ConfigMap's manifest (YAML or JSON, alone, in a List or among others), the
    /// configuration itself, or Helm values with configInline
    #[arg(value_name = "FILE", default_value = "-")]
    pub file: PathBuf,
    /// Whose limits to check: MetalLB 0.12's native BGP, its FRR mode, or FerroLB, which takes all of it
    #[arg(long, value_name = "MODE", default_value = "ferrolb", value_parser = parse_mode)]
    pub mode: Mode,
    /// How to report
    #[arg(long, value_name = "FORM", default_value = "text", value_enum)]
    pub output: Output,
    /// Show passwords
    #[arg(long)]
    pub show_secrets: bool,
}

/// How to report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// For people
    Text,
    /// For programs
    Json,
}

/// A mode's word, for clap.
fn parse_mode(word: &str) -> Result<Mode, String> {
    word.parse()
        .map_err(|error: crate::config::mode::UnknownMode| error.to_string())
}

/// Checks one file and returns the exit status: [`VALID`], [`NOT_VALID`] or [`USAGE`].
///
/// # Errors
/// The report could not be written.
pub fn run(
    args: &CheckArgs,
    stdin: &mut dyn Read,
    stdout: &mut dyn Write,
    stderr: &mut dyn Write,
) -> io::Result<u8> {
    let name = if args.file == Path::new("-") {
        "<stdin>".to_owned()
    } else {
        args.file.display().to_string()
    };
    let bytes = match read(&args.file, stdin) {
        Ok(bytes) => bytes,
        Err(error) => {
            writeln!(stderr, "error: cannot read {name}: {error}")?;
            return Ok(USAGE);
        }
    };
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let offset = error.utf8_error().valid_up_to();
            writeln!(
                stderr,
                "error: cannot read {name}: byte {offset} begins no UTF-8 character: save the file as UTF-8"
            )?;
            return Ok(USAGE);
        }
    };
    let checked = input::check(&text, args.mode);
    match args.output {
        Output::Text => render::write(stdout, &name, &text, &checked, args)?,
        Output::Json => json::write(stdout, &checked, args.show_secrets)?,
    }
    Ok(if checked.is_valid() { VALID } else { NOT_VALID })
}

/// The bytes of the file.
pub(super) fn read(path: &Path, stdin: &mut dyn Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if path == Path::new("-") {
        stdin.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    } else {
        File::open(path)?
            .take(MAX_FILE + 1)
            .read_to_end(&mut bytes)?;
    }
    if u64::try_from(bytes.len()).is_ok_and(|length| length > MAX_FILE) {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it has more than {MAX_FILE} bytes"),
        ));
    }
    Ok(bytes)
}
