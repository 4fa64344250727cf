//! The report for programs.

use std::io::{self, Write};

use serde_json::json;

use super::word;
use crate::migrate::{Conversion, Level, Options};

/// Writes one JSON object and a line break.
pub(super) fn write(
    out: &mut dyn Write,
    name: &str,
    namespace: &str,
    conversion: &Conversion,
    options: &Options,
) -> io::Result<()> {
    let result = match (&conversion.resources, conversion.worst()) {
        (Some(_), _) => "converted",
        (None, Some(Level::Blocked)) => "not-representable",
        (None, _) => "invalid",
    };
    let objects: Vec<_> = conversion
        .resources
        .iter()
        .flatten()
        .map(|resource| json!({"kind": resource.spec.kind(), "name": resource.name}))
        .collect();
    let renames: Vec<_> = conversion
        .renames
        .iter()
        .map(|rename| json!({"kind": rename.kind, "from": rename.from, "to": rename.to}))
        .collect();
    let diagnostics: Vec<_> = conversion
        .findings
        .iter()
        .map(|finding| {
            let diagnostic = &finding.diagnostic;
            json!({
                "code": diagnostic.code,
                "severity": word(finding.level),
                "line": diagnostic.line,
                "column": diagnostic.column,
                "path": diagnostic.path,
                "message": diagnostic.message,
                "fix": diagnostic.help,
            })
        })
        .collect();
    let report = json!({
        "tool": concat!("ferrolb ", env!("CARGO_PKG_VERSION")),
        "target": options.target.to_string(),
        "bgpMode": conversion.mode.map(|mode| mode.as_str()),
        "input": {"path": name, "namespace": namespace},
        "result": result,
        "objects": objects,
        "renames": renames,
        "diagnostics": diagnostics,
    });
    writeln!(out, "{report}")
}
