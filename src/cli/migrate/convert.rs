//! `ferrolb migrate convert` and `check`: the same work, with and without an output.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use ferrolb_compat::crd::{Dress, Resource, Spec};
use ferrolb_compat::migrate::{NAMESPACE, Release};
use ferrolb_compat::yaml::emit;

use self::args::ConversionArgs;
use self::found::{Found, find};
use super::output::{Layout, Output, Written, is_secret};
use super::report::{Object, Outcome, ReportArgs, Source, sha256};
use super::{BLOCKED, DONE, INVALID, IO, USAGE};
use crate::migrate::live::services::{self, Touched};
use crate::migrate::live::{inventory, plan};
use crate::migrate::{Conversion, Finding, Level, Options, note};

mod args;
mod found;

pub(super) use args::FormArgs;
pub(super) use found::{Converted, convert_bare, convert_file, no_config_map};

/// Convert a ConfigMap to custom resources, without loss
///
/// Exits with 0 if it is done, 1 if MetalLB 0.12 would not run the input, 2 if the command line is wrong, 3 if there are findings
/// as of --fail-on, 4 if the target cannot express the configuration (nothing is written), 6 if a file or the cluster cannot be
/// read or written.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct ConvertArgs {
    #[command(flatten)]
    conversion: ConversionArgs,
    /// Where to write the resources; `-` is standard output. A file is replaced whole or not at all
    #[arg(short, long = "output-file", value_name = "FILE", default_value = "-")]
    output_file: PathBuf,
    /// How to write them
    #[arg(long, value_name = "LAYOUT", default_value = "yaml", value_enum)]
    output: Layout,
    /// Write Secrets to this file (mode 0600) instead
    #[arg(long, value_name = "FILE")]
    secrets_file: Option<PathBuf>,
    /// Write above each resource where it comes from
    #[arg(long)]
    comments: bool,
    #[command(flatten)]
    report: ReportArgs,
}

/// Say what converting would say, and write nothing
///
/// The report goes to standard output. Exit codes are those of convert.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    conversion: ConversionArgs,
    #[command(flatten)]
    report: ReportArgs,
}

/// What is to say about the Services and nodes of a cluster, where they are known.
fn concerned(
    args: &ConversionArgs,
    nodes: &[inventory::Node],
    services: &[inventory::Service],
    target: Release,
    conversion: &mut Conversion,
) -> Vec<Touched> {
    let Some(config) = &conversion.config else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    for remark in plan::nodes(nodes, config, target) {
        let level = match remark.level {
            Level::Blocked if args.form.allowed().contains(remark.code) => Level::Warning,
            level => level,
        };
        findings.push(note(level, remark.code, remark.message, &remark.help));
    }
    let touched = services::touched(config, &conversion.renames, services, target);
    for one in &touched {
        let message = format!("the Service {} {}", one.key, one.how);
        let help = one.how.help(&one.key);
        findings.push(note(one.how.level(), one.how.code(), message, &help));
    }
    if findings
        .iter()
        .any(|finding| finding.level >= Level::Blocked)
    {
        conversion.resources = None;
    }
    conversion.findings.extend(findings);
    touched
}

/// What a command line asks for, read.
struct Asked {
    sources: Vec<Source>,
    options: Options,
    converted: Converted,
    namespace: String,
    /// The Services that are touched.
    touched: Vec<Touched>,
}

/// Reads and converts; the exit status where that cannot be done.
fn ask(
    args: &ConversionArgs,
    stdin: &mut dyn Read,
    stderr: &mut dyn Write,
) -> io::Result<Result<Asked, u8>> {
    let Found {
        source,
        mut converted,
        nodes,
        services,
        options,
    } = match find(args, stdin)? {
        Ok(found) => found,
        Err(why) => {
            writeln!(stderr, "error: {why}")?;
            return Ok(Err(IO));
        }
    };
    let touched = concerned(
        args,
        &nodes,
        &services,
        options.target,
        &mut converted.conversion,
    );
    let own = converted.namespace.clone();
    if let (Some(wanted), Some(own)) = (&args.namespace, &own)
        && wanted != own
    {
        let message = format!("the ConfigMap is in {own}, and the resources are for {wanted}");
        let help = "MetalLB reads resources of its own namespace only";
        converted
            .conversion
            .findings
            .push(note(Level::Warning, "MIG032", message, help));
    }
    let namespace = args.namespace.clone().or(own);
    Ok(Ok(Asked {
        sources: vec![source],
        options,
        converted,
        namespace: namespace.unwrap_or_else(|| NAMESPACE.to_owned()),
        touched,
    }))
}

impl Asked {
    fn source(&self) -> &str {
        self.sources
            .first()
            .map_or("<input>", |source| source.name.as_str())
    }

    /// The files for the resources, judged as an API server of the target will; what it refuses stops the conversion.
    fn output(
        &mut self,
        layout: Layout,
        comments: bool,
        apart: bool,
    ) -> Option<(Written, Option<String>)> {
        let resources = self.converted.conversion.resources.as_ref()?;
        let source = self.source().to_owned();
        let mut output = Output {
            resources: Vec::new(),
            comments: comments.then(Vec::new),
            namespace: &self.namespace,
            target: self.options.target,
            mode: self.converted.conversion.mode,
            compat: self.options.compat.map(|compat| compat.release),
            layout,
        };
        let mut secrets = Output {
            resources: Vec::new(),
            comments: None,
            layout: Layout::Yaml,
            compat: None,
            ..output
        };
        for (index, resource) in resources.iter().enumerate() {
            if apart && is_secret(resource) {
                secrets.resources.push(resource);
                continue;
            }
            output.resources.push(resource);
            if let Some(comments) = &mut output.comments {
                let line = self.converted.lines.get(index).copied().flatten();
                comments.push(line.map(|line| format!("{source}, line {line}")));
            }
        }
        let mut faults = Vec::new();
        let mut write = |output: &Output<'_>| match output.write() {
            Ok(written) => {
                // Upstream's faults are repeated where that was asked for.
                if output.compat.is_none() {
                    let target = self.options.target;
                    let kubernetes = self.options.kubernetes;
                    faults.extend(written.faults(&output.resources, target, kubernetes));
                }
                Some(written)
            }
            Err(error) => {
                faults.push(error.to_string());
                None
            }
        };
        let written = write(&output);
        let secrets = match apart.then(|| write(&secrets)).flatten() {
            Some(Written::File(text)) => Some(text),
            _ => None,
        };
        let findings = faults
            .into_iter()
            .map(|fault| note(Level::Blocked, "MIG049", fault, ""));
        let findings: Vec<Finding> = findings.collect();
        let allowed = self.options.allow.contains("MIG049");
        let is_refused = !findings.is_empty() && !allowed;
        let conversion = &mut self.converted.conversion;
        conversion
            .findings
            .extend(findings.into_iter().map(|finding| {
                let level = if allowed {
                    Level::Warning
                } else {
                    finding.level
                };
                Finding { level, ..finding }
            }));
        if is_refused {
            conversion.resources = None;
            return None;
        }
        written.map(|written| (written, secrets))
    }

    fn outcome(&self, command: &'static str) -> Outcome<'_> {
        let conversion = &self.converted.conversion;
        let target = self.options.target;
        let name = self.source();
        let worst = conversion.worst();
        let (result, code, summary) = match (&conversion.resources, worst) {
            (Some(resources), _) => {
                let count = resources.len();
                let verb = if command == "check" { "would be " } else { "" };
                let summary = format!("{name}: {verb}{count} resources for MetalLB {target}");
                ("converted", DONE, summary)
            }
            (None, Some(Level::Blocked)) => (
                "not-representable",
                BLOCKED,
                format!(
                    "{name}: MetalLB {target} cannot express this configuration: nothing was written"
                ),
            ),
            (None, _) if self.converted.is_ambiguous => (
                "ambiguous",
                USAGE,
                format!(
                    "{name}: say with --config-name which ConfigMap is meant: nothing was written"
                ),
            ),
            (None, _) => (
                "invalid",
                INVALID,
                format!(
                    "{name}: MetalLB 0.12 does not run this configuration, but the last good one before it: nothing was written"
                ),
            ),
        };
        let objects = conversion.resources.iter().flatten().enumerate();
        let objects = objects.map(|(index, resource)| Object {
            kind: resource.spec.kind(),
            name: resource.name.clone(),
            line: self.converted.lines.get(index).copied().flatten(),
            sha256: self.digest(resource),
        });
        Outcome {
            command,
            result,
            code,
            sources: &self.sources,
            namespace: Some(&self.namespace),
            config_map: self.converted.name.as_deref(),
            target,
            mode: conversion.mode,
            findings: &conversion.findings,
            renames: &conversion.renames,
            touched: &self.touched,
            objects: objects.collect(),
            differences: None,
            summary: vec![summary],
        }
    }

    /// The digest of a manifest without a password in it.
    fn digest(&self, resource: &Resource) -> Option<String> {
        let is_secret = match &resource.spec {
            Spec::Secret(_) => true,
            Spec::Peer(peer) => !peer.password.0.is_empty(),
            _ => false,
        };
        (!is_secret).then(|| {
            let mut text = String::new();
            emit::write(
                &mut text,
                &resource.manifest(&self.namespace, Dress::default()),
            );
            sha256(text.as_bytes())
        })
    }
}

/// Converts and returns the exit status.
///
/// # Errors
/// The report could not be written.
pub(super) fn run(
    args: &ConvertArgs,
    stdin: &mut dyn Read,
    stdout: &mut dyn Write,
    stderr: &mut dyn Write,
) -> io::Result<u8> {
    if args.output.is_folder() && args.output_file == Path::new("-") {
        writeln!(
            stderr,
            "error: --output {:?} is a folder: name it with -o",
            args.output
        )?;
        return Ok(USAGE);
    }
    if args.conversion.compat.is_some() && (args.output != Layout::Yaml || args.comments) {
        writeln!(
            stderr,
            "error: --compat writes upstream's file and no other"
        )?;
        return Ok(USAGE);
    }
    let mut asked = match ask(&args.conversion, stdin, stderr)? {
        Ok(asked) => asked,
        Err(code) => return Ok(code),
    };
    let apart = args.secrets_file.is_some() && args.conversion.compat.is_none();
    if let Some((written, secrets)) = asked.output(args.output, args.comments, apart) {
        let secrets = args.secrets_file.as_deref().zip(secrets.as_deref());
        let saved = written.save(&args.output_file, secrets, stdout);
        if let Err(error) = saved {
            let path = args.output_file.display();
            writeln!(stderr, "error: cannot write {path}: {error}")?;
            return Ok(IO);
        }
    }
    let outcome = asked.outcome("convert");
    let mut stream = Vec::new();
    let code = args.report.write(&outcome, &mut stream, stderr)?;
    stderr.write_all(&stream)?;
    Ok(code)
}

/// Says what converting would say, and returns the exit status.
///
/// # Errors
/// The report could not be written.
pub(super) fn check(
    args: &CheckArgs,
    stdin: &mut dyn Read,
    stdout: &mut dyn Write,
    stderr: &mut dyn Write,
) -> io::Result<u8> {
    let mut asked = match ask(&args.conversion, stdin, stderr)? {
        Ok(asked) => asked,
        Err(code) => return Ok(code),
    };
    // What would be written is judged as well.
    let _ = asked.output(Layout::Yaml, false, false);
    let outcome = asked.outcome("check");
    args.report.write(&outcome, stdout, stderr)
}
