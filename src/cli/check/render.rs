//! The report for people: each diagnostic with its line and a caret, then a summary.

use std::borrow::Cow;
use std::io::{self, Write};
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use super::CheckArgs;
use super::input::Checked;
use crate::config::Config;
use crate::config::error::{Diagnostic, Severity};

/// Lines longer than this are cut around the place.
const MAX_LINE: usize = 160;

/// Writes the report.
pub(super) fn write(
    out: &mut dyn Write,
    name: &str,
    file: &str,
    checked: &Checked,
    args: &CheckArgs,
) -> io::Result<()> {
    // What is shown with the lines of the file itself.
    let in_file = checked.diagnostics.iter().filter(|diagnostic| {
        checked
            .inner
            .iter()
            .all(|inner| inner.key != diagnostic.key)
    });
    write_all(out, name, file, &checked.secrets, in_file, args)?;
    for inner in &checked.inner {
        // The lines of the text itself, not the one line that holds them all.
        let origin = format!("{name}#{}", inner.name);
        let found = inner.diagnostics.iter();
        write_all(out, &origin, &inner.text, &inner.secrets, found, args)?;
    }
    if checked.unkept > 0 {
        writeln!(out, "error: and {} more errors\n", checked.unkept)?;
    }
    writeln!(out, "{name}: {}", summary(checked))
}

/// Writes the diagnostics of one text.
fn write_all<'d>(
    out: &mut dyn Write,
    origin: &str,
    text: &str,
    secrets: &[Range<usize>],
    diagnostics: impl Iterator<Item = &'d Diagnostic>,
    args: &CheckArgs,
) -> io::Result<()> {
    let source = if args.show_secrets {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(without_secrets(text, secrets))
    };
    let renderer = Renderer::plain();
    for diagnostic in diagnostics {
        let shown = excerpt(&source, diagnostic);
        let path = (!diagnostic.path.is_empty()).then_some(diagnostic.path.as_str());
        let snippet = Snippet::source(shown.line.as_str())
            .line_start(shown.number)
            .path(origin)
            .annotation(AnnotationKind::Primary.span(shown.span).label(path));
        let level = match diagnostic.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let mut group = level
            .primary_title(diagnostic.message.as_str())
            .id(diagnostic.code)
            .element(snippet);
        if let Some(help) = &diagnostic.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        writeln!(out, "{}\n", renderer.render(&[group]))?;
    }
    Ok(())
}

/// A line of the source with the place in it.
struct Excerpt {
    /// The line, without its end.
    line: String,
    /// Its number, from 1.
    number: usize,
    /// The place in the line.
    span: Range<usize>,
}

/// The line of a diagnostic: the renderer is never given the whole text, which may be large and odd.
fn excerpt(source: &str, diagnostic: &Diagnostic) -> Excerpt {
    let mut start = diagnostic.span.start.min(source.len());
    while !source.is_char_boundary(start) {
        start -= 1;
    }
    let before = source.get(..start).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = source.get(line_start..).unwrap_or_default();
    let line = line.split('\n').next().unwrap_or_default().trim_end();
    let from = (start - line_start).min(line.len());
    let to = (diagnostic.span.end.saturating_sub(line_start)).clamp(from, line.len());
    let mut to = (to..=line.len())
        .find(|to| line.is_char_boundary(*to))
        .unwrap_or(line.len());
    if to == from {
        // A mere position is shown as its character.
        to = line
            .get(from..)
            .and_then(|rest| rest.chars().next())
            .map_or(from, |c| from + c.len_utf8());
    }
    let mut excerpt = Excerpt {
        line: line.to_owned(),
        number: before.matches('\n').count() + 1,
        span: from..to,
    };
    if line.len() > MAX_LINE {
        cut(&mut excerpt);
    }
    excerpt
}

/// Cuts a long line around its place.
fn cut(excerpt: &mut Excerpt) {
    let line = &excerpt.line;
    let boundary = |mut at: usize| {
        while !line.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let from = boundary(excerpt.span.start.saturating_sub(MAX_LINE / 2));
    let to = boundary((from + MAX_LINE).min(line.len()));
    let begin = if from > 0 { "…" } else { "" };
    let end = if to < line.len() { "…" } else { "" };
    let middle = line.get(from..to).unwrap_or_default();
    let shift = |at: usize| at.clamp(from, to) - from + begin.len();
    excerpt.span = shift(excerpt.span.start)..shift(excerpt.span.end);
    excerpt.line = format!("{begin}{middle}{end}");
}

/// The text with every byte of a secret replaced, so that places stay what they are.
fn without_secrets(text: &str, secrets: &[Range<usize>]) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for secret in secrets {
        let end = secret.end.min(bytes.len());
        let hidden = bytes.get_mut(secret.start.min(end)..end);
        for byte in hidden.into_iter().flatten() {
            if !matches!(byte, b'\n' | b'\r') {
                *byte = b'*';
            }
        }
    }
    // Secrets begin and end between characters.
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The last line.
fn summary(checked: &Checked) -> String {
    let count = |severity: Severity| {
        let all = checked.diagnostics.iter();
        all.filter(|diagnostic| diagnostic.severity == severity)
            .count()
    };
    let (errors, warnings) = (
        count(Severity::Error) + checked.unkept,
        count(Severity::Warning),
    );
    let warned = match warnings {
        0 => String::new(),
        _ => format!(", {}", plural(warnings, "warning")),
    };
    match &checked.config {
        Some(config) => format!("valid ({}): {}{warned}", checked.subject, contents(config)),
        None => format!(
            "not valid ({}): {}{warned}",
            checked.subject,
            plural(errors, "error")
        ),
    }
}

/// What a configuration holds, in numbers.
fn contents(config: &Config) -> String {
    let mut parts = vec![
        plural(config.pools.len(), "pool"),
        plural(config.peers.len(), "peer"),
    ];
    if !config.bfd_profiles.is_empty() {
        parts.push(plural(config.bfd_profiles.len(), "BFD profile"));
    }
    parts.join(", ")
}

/// `1 pool`, `2 pools`
fn plural(number: usize, word: &str) -> String {
    match number {
        1 => format!("1 {word}"),
        number => format!("{number} {word}s"),
    }
}
