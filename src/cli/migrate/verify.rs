//! `ferrolb migrate verify`: whether resources mean what a ConfigMap means.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use ferrolb_compat::crd::read::{Read as Resources, read_all};
use ferrolb_compat::crd::schema::{Judge, Schemas};
use ferrolb_compat::migrate::Release;

use super::convert::{Converted, convert_bare, convert_file};
use super::live::{self, ClusterArgs};
use super::report::{Outcome, ReportArgs, Source};
use super::reverse::parse;
use super::{
    Auto, DIFFERENT, DONE, INVALID, IO, parse_kubernetes, parse_mode, parse_release, read_text,
    shown,
};
use crate::cli::check::input::Wanted;
use crate::config::error::Key;
use crate::migrate::{Finding, Level, Options, at, resources, verify};

/// Prove that resources mean what a ConfigMap means
///
/// Compares pools, routes, announcements and sessions, and judges the resources as an API server of the target does. Exits with 0
/// if they mean the same, 1 if MetalLB 0.12 would not run the input, 2 if the command line is wrong, 3 if there are findings as of
/// --fail-on, 5 if they do not, 6 if a file or the cluster cannot be
/// read.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct VerifyArgs {
    /// The ConfigMap, as for convert; `-` for standard input; without it, the cluster's
    #[arg(value_name = "INPUT")]
    input: Option<PathBuf>,
    /// The resources: a file of manifests, also as `kubectl get -o yaml` or `-o json` writes them, with the Secrets of the peers;
    /// `cluster` for those of the cluster. May be given more than once
    #[arg(long, value_name = "FILE|cluster", required = true)]
    crs: Vec<PathBuf>,
    #[command(flatten)]
    cluster: ClusterArgs,
    /// The namespace of MetalLB in the cluster
    #[arg(long, value_name = "NAMESPACE", default_value = "metallb-system")]
    namespace: String,
    /// The name of the ConfigMap that the pods read (their --config) [default in a cluster: config]
    #[arg(long, value_name = "NAME")]
    config_name: Option<String>,
    /// The release that reads them [default: 0.16.1]
    #[arg(long, value_name = "RELEASE", value_parser = parse_release)]
    target_version: Option<Release>,
    /// The version of the cluster's Kubernetes, as 1.36
    #[arg(long, value_name = "VERSION", value_parser = parse_kubernetes)]
    kubernetes_version: Option<u32>,
    /// Who speaks BGP, before and after: native, frr, frr-k8s; auto as for convert
    #[arg(long, value_name = "MODE", default_value = "auto", value_parser = parse_mode)]
    bgp_mode: Auto,
    #[command(flatten)]
    report: ReportArgs,
}

/// Compares and returns the exit status.
///
/// # Errors
/// The result could not be written.
pub(super) fn run(
    args: &VerifyArgs,
    stdin: &mut dyn Read,
    stdout: &mut dyn Write,
    stderr: &mut dyn Write,
) -> io::Result<u8> {
    let mut read = |path: &Path| {
        let name = shown(path);
        match read_text(path, stdin) {
            Ok(text) => Ok(Source { name, text }),
            Err(error) => Err(format!("cannot read {name}: {error}")),
        }
    };
    let config_map = args.config_name.as_deref().unwrap_or("config");
    let mut all = Vec::new();
    let mut settings = None;
    all.push(match &args.input {
        Some(path) => read(path),
        None => {
            let found = live::cluster_config(&args.cluster, &args.namespace, config_map)?;
            found.map(|(text, beside)| {
                settings = beside;
                let name = format!("configmap {}/{config_map}", args.namespace);
                Source { name, text }
            })
        }
    });
    for path in &args.crs {
        all.push(if path == Path::new("cluster") {
            live::cluster_resources(&args.cluster, &args.namespace)?.map(|text| {
                let name = format!("cluster, namespace {}", args.namespace);
                Source { name, text }
            })
        } else {
            read(path)
        });
    }
    let sources = match all.into_iter().collect::<Result<Vec<Source>, String>>() {
        Ok(sources) => sources,
        Err(error) => {
            writeln!(stderr, "error: {error}")?;
            return Ok(IO);
        }
    };
    let Some((source, crs)) = sources.split_first() else {
        return Ok(IO);
    };
    let target = args.target_version.unwrap_or(Release::NEWEST);
    let options = Options {
        target,
        mode: args.bgp_mode.0,
        ..Options::default()
    };
    let wanted = Wanted {
        name: args.config_name.as_deref(),
        ..Wanted::default()
    };
    let converted = match args.input {
        Some(_) => convert_file(&source.text, &wanted, &options),
        // The cluster's is the text of the key itself.
        None => Converted::bare(convert_bare(&source.text, settings.as_deref(), &options)),
    };
    let conversion = &converted.conversion;
    let mut outcome = Outcome {
        command: "verify",
        result: "invalid",
        code: INVALID,
        sources: &sources,
        namespace: converted.namespace.as_deref(),
        config_map: converted.name.as_deref(),
        target,
        mode: conversion.mode,
        findings: &conversion.findings,
        renames: &[],
        touched: &[],
        objects: Vec::new(),
        differences: None,
        summary: Vec::new(),
    };
    let (Some(config), Some(mode)) = (&conversion.config, conversion.mode) else {
        outcome.summary.push(format!(
            "{}: MetalLB 0.12 does not run this configuration",
            source.name
        ));
        return args.report.write(&outcome, stdout, stderr);
    };
    let (read, mut findings) = judge(crs, target, args.kubernetes_version);
    let resources = resources::resolved(&read);
    let renames = verify::renames(config, &resources);
    let differences: Vec<String> = if findings.is_empty() {
        verify::compare(config, &resources, &renames, target, mode)
            .iter()
            .map(ToString::to_string)
            .collect()
    } else {
        Vec::new()
    };
    let equivalent = findings.is_empty() && differences.is_empty();
    let count = renames.len();
    // What FerroLB's settings want and the target has not is no difference, and is told.
    let told = conversion.findings.iter();
    let told = told.filter(|finding| finding.diagnostic.key == Key::Ferrolb);
    findings.extend(told.cloned());
    outcome.findings = &findings;
    (outcome.result, outcome.code) = if equivalent {
        outcome.summary.push(format!(
            "EQUIVALENT target={target} mode={mode} renames={count}"
        ));
        ("equivalent", DONE)
    } else {
        outcome.summary.clone_from(&differences);
        ("different", DIFFERENT)
    };
    outcome.differences = Some(differences);
    args.report.write(&outcome, stdout, stderr)
}

/// The resources of some files, and what an API server refuses of them, or 0.12 cannot mean.
fn judge(
    sources: &[Source],
    target: Release,
    kubernetes: Option<u32>,
) -> (Resources, Vec<Finding>) {
    let files = match parse(sources) {
        Ok(files) => files,
        Err(mut findings) => {
            for finding in &mut findings {
                finding.file += 1;
            }
            return (Resources::default(), findings);
        }
    };
    let schemas = Schemas::of(target);
    let judge = Judge {
        schemas: &schemas,
        kubernetes,
    };
    let mut all = Resources::default();
    let mut findings = Vec::new();
    for (file, documents) in files.iter().enumerate() {
        // The first file is the ConfigMap's.
        let file = file + 1;
        let read = read_all(documents);
        for rest in &read.rest {
            let (kind, name) = &rest.resource;
            let path = format!("{kind} {name}");
            let message = rest.message.clone();
            findings.push(at(
                Level::Blocked,
                "MIG060",
                path,
                (file, rest.place),
                message,
            ));
        }
        for fault in documents.iter().flat_map(|document| judge.check(document)) {
            let known = |rest: &ferrolb_compat::crd::read::Rest| {
                (rest.place.line, rest.place.column) == (fault.place.line, fault.place.column)
            };
            if !read.rest.iter().any(known) {
                let path = format!("{}: {}", fault.resource, fault.path);
                findings.push(at(
                    Level::Blocked,
                    "MIG049",
                    path,
                    (file, fault.place),
                    fault.message,
                ));
            }
        }
        all.found.extend(read.found);
        all.rest.extend(read.rest);
    }
    (all, findings)
}
