//! What the commands that talk to a cluster tell programs (`--report json`): one object each, on standard output.

use serde_json::{Value, json};

use super::super::DIFFERENT;
use super::{DONE, HALF_WAY, IO, Outputs, Report, Stop};
use crate::cli::VERSION;

/// One object, with the program and the command in it.
pub(super) fn tell(
    outputs: &mut Outputs<'_>,
    command: &str,
    mut report: Value,
) -> Result<(), Stop> {
    report["tool"] = format!("ferrolb {VERSION}").into();
    report["command"] = command.into();
    writeln!(outputs.out, "{report}")?;
    Ok(())
}

/// What a command that changes the cluster did, or would do.
#[derive(Default)]
pub(super) struct Told {
    /// How it ended well; `None` where somebody was asked and said no.
    pub(super) result: Option<&'static str>,
    /// The release.
    pub(super) target: Option<String>,
    /// `{kind, name, action}`
    pub(super) objects: Vec<Value>,
    /// `{service, key, value}`
    pub(super) annotations: Vec<Value>,
    /// `{what, why}`: what is left as it is, of what is to be undone.
    pub(super) left: Vec<Value>,
    /// How many objects need nothing.
    pub(super) unchanged: usize,
    /// The rollback file.
    pub(super) rollback_file: Option<String>,
}

/// Runs a command that changes the cluster. For programs its words for people on standard output are left out, and the last thing is
/// an object that says what became of it.
pub(super) async fn reported<'o>(
    report: Report,
    command: &str,
    outputs: &mut Outputs<'o>,
    run: impl AsyncFnOnce(&mut Outputs<'_>, &mut Told) -> Result<u8, Stop>,
) -> Result<u8, Stop> {
    let mut told = Told::default();
    if report == Report::Text {
        return run(outputs, &mut told).await;
    }
    let mut nowhere = std::io::sink();
    let mut quiet = Outputs {
        out: &mut nowhere,
        err: &mut *outputs.err,
    };
    let ended = run(&mut quiet, &mut told).await;
    let (status, why) = match &ended {
        Ok(status) | Err(Stop::Status(status)) => (*status, None),
        Err(Stop::Because(status, why)) => (*status, Some(why)),
        Err(Stop::Report(_)) => (IO, None),
    };
    let result = match status {
        DONE => told.result.unwrap_or("declined"),
        HALF_WAY => "half-way",
        DIFFERENT => "different",
        _ => "refused",
    };
    let report = json!({
        "target": told.target,
        "result": result,
        "exit": status,
        "error": why,
        "objects": told.objects,
        "annotations": told.annotations,
        "left": told.left,
        "unchanged": told.unchanged,
        "rollbackFile": told.rollback_file,
    });
    tell(outputs, command, report)?;
    ended
}
