//! The command line: arguments in, text out.
//!
//! One binary is many programs. `controller`, `speaker`, `frr-metrics` and `configmaptocrs` as the name it is called by (the
//! programs of MetalLB 0.12's images), or as the first word, are 0.12's programs with Go's flags; everything else is
//! `ferrolb`'s own command line.
//!
//! Exit codes: 0 well, 1 it failed and a line says why, 2 the command line is wrong.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "cli: text for whoever called"
)]

use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use ferrolb_compat::go::flag::{FlagSet, Parsed, Stop};

pub mod check;
pub mod controller;
pub mod flags;
pub mod frr_metrics;
pub mod migrate;
pub mod speaker;
pub mod standalone;
mod status;

/// What `ferrolb version` prints after the name, and what the User-Agent and the build metric say.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit that this was built from, if whoever built it said so (`FERROLB_COMMIT` at compile time).
pub const COMMIT: Option<&str> = option_env!("FERROLB_COMMIT");

/// The programs of 0.12.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Program {
    Controller,
    Speaker,
    ConfigMapToCrs,
    FrrMetrics,
}

impl Program {
    /// The program of that name, if it is one of 0.12's.
    fn named(name: &str) -> Option<Self> {
        match name {
            "controller" => Some(Self::Controller),
            "speaker" => Some(Self::Speaker),
            "configmaptocrs" => Some(Self::ConfigMapToCrs),
            "frr-metrics" => Some(Self::FrrMetrics),
            _ => None,
        }
    }
}

/// Addresses and announcements for LoadBalancer Services on bare metal: a drop-in replacement for MetalLB 0.12.
#[derive(Debug, Parser)]
#[command(
    name = "ferrolb",
    disable_version_flag = true,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "Called as `controller` or `speaker`, the binary is that program, with MetalLB 0.12's flags."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Gives Services their addresses (flags as MetalLB 0.12's: see `ferrolb controller -h`)
    Controller,
    /// Announces the addresses from this node (flags as MetalLB 0.12's: see `ferrolb speaker -h`)
    Speaker,
    /// Assigns and announces addresses on this host, from a folder of manifests, without Kubernetes
    Standalone(standalone::Args),
    Check(check::CheckArgs),
    Migrate(migrate::MigrateArgs),
    /// Prints the version
    Version,
}

/// Runs the program that these words ask for; the first is the name it was called by.
#[must_use]
pub fn run(words: Vec<String>) -> ExitCode {
    let mut words = words.into_iter();
    let called = words.next().unwrap_or_else(|| "ferrolb".to_owned());
    let words: Vec<String> = words.collect();
    let base = Path::new(&called)
        .file_name()
        .map(|name| name.to_string_lossy());
    if let Some(program) = base.as_deref().and_then(Program::named) {
        return run_program(program, &called, &words);
    }
    if let Some((first, rest)) = words.split_first()
        && let Some(program) = Program::named(first)
    {
        return run_program(program, &format!("ferrolb {first}"), rest);
    }
    run_own(&words)
}

fn run_program(program: Program, name: &str, words: &[String]) -> ExitCode {
    match program {
        Program::Controller => controller::main(name, words),
        Program::Speaker => speaker::main(name, words),
        Program::ConfigMapToCrs => migrate::configmaptocrs::main(name, words),
        Program::FrrMetrics => frr_metrics::main(name, words),
    }
}

fn run_own(words: &[String]) -> ExitCode {
    let all = std::iter::once("ferrolb").chain(words.iter().map(String::as_str));
    // `--version` is what people try first; clap's flag would not know the commit.
    if matches!(words.first().map(String::as_str), Some("--version" | "-V")) {
        return version();
    }
    let cli = Cli::command()
        .try_get_matches_from(all)
        .and_then(|matches| Cli::from_arg_matches(&matches));
    match cli {
        Ok(Cli { command }) => match command {
            Command::Controller => controller::main("ferrolb controller", &[]),
            Command::Speaker => speaker::main("ferrolb speaker", &[]),
            Command::Standalone(args) => standalone::run(args),
            Command::Check(args) => {
                let ended = check::run(
                    &args,
                    &mut std::io::stdin().lock(),
                    &mut std::io::stdout().lock(),
                    &mut std::io::stderr().lock(),
                );
                // A report that nobody takes (a closed pipe) has no verdict.
                ended.map_or(ExitCode::from(check::USAGE), ExitCode::from)
            }
            Command::Migrate(args) => {
                let ended = migrate::run(
                    &args,
                    &mut std::io::stdin().lock(),
                    &mut std::io::stdout().lock(),
                    &mut std::io::stderr().lock(),
                );
                ended.map_or(ExitCode::from(migrate::IO), ExitCode::from)
            }
            Command::Version => version(),
        },
        Err(stop) => {
            // Nothing can be done about a closed terminal.
            let _ = stop.print();
            ExitCode::from(u8::try_from(stop.exit_code()).unwrap_or(2))
        }
    }
}

fn version() -> ExitCode {
    match COMMIT {
        Some(commit) => println!("ferrolb {VERSION} (commit {commit})"),
        None => println!("ferrolb {VERSION}"),
    }
    ExitCode::SUCCESS
}

/// Reads 0.12's flags as Go would; where the program should not go on, says so and gives the exit code.
fn parse_flags(flags: &FlagSet, words: &[String]) -> Result<Parsed, ExitCode> {
    flags.parse(words).map_err(|stop| match stop {
        Stop::Help(text) => {
            eprint!("{text}");
            ExitCode::SUCCESS
        }
        Stop::Usage(text) => {
            eprint!("{text}");
            ExitCode::from(2)
        }
    })
}

#[cfg(test)]
mod tests;
