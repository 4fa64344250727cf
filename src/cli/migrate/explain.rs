//! `ferrolb migrate explain`: what a code means.

use std::io::{self, Write};

use super::report::word;
use super::{DONE, USAGE};
use crate::migrate::codes;

/// Say what a code of a finding means, and what to do
///
/// Without a code it lists all of them. Exits with 0, or with 2 if there is no such code.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct ExplainArgs {
    /// The code, as MIG012
    #[arg(value_name = "CODE")]
    code: Option<String>,
}

/// Says it and returns the exit status.
///
/// # Errors
/// It could not be written.
pub(super) fn run(
    args: &ExplainArgs,
    stdout: &mut dyn Write,
    stderr: &mut dyn Write,
) -> io::Result<u8> {
    let Some(name) = &args.code else {
        for code in codes::CODES {
            let level = word(code.level);
            writeln!(stdout, "{} {level:<7} {}", code.code, code.title)?;
        }
        return Ok(DONE);
    };
    let Some(code) = codes::find(name) else {
        writeln!(
            stderr,
            "error: there is no code {name}: ferrolb migrate explain lists all. A word such as `invalid-cidr` is a refusal of \
             MetalLB 0.12's own, and the message is all there is to it"
        )?;
        return Ok(USAGE);
    };
    writeln!(
        stdout,
        "{} ({}): {}\n",
        code.code,
        word(code.level),
        code.title
    )?;
    let mut column = 0;
    for word in code.text.split(' ') {
        if column > 0 && column + word.chars().count() > 96 {
            writeln!(stdout)?;
            column = 0;
        } else if column > 0 {
            write!(stdout, " ")?;
        }
        write!(stdout, "{word}")?;
        column += word.chars().count() + 1;
    }
    writeln!(stdout)?;
    Ok(DONE)
}
