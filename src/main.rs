//! Which program am I? `argv[0]` or the first word says it; [`ferrolb::cli`] knows the rest.

use std::process::ExitCode;

fn main() -> ExitCode {
    // An argument that is no UTF-8 can be no flag of ours: the message about it shows what can be shown.
    let words = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
    ferrolb::cli::run(words.collect())
}
