//! `ferrolb migrate reverse`: from custom resources to a ConfigMap.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use ferrolb_compat::migrate::{NAMESPACE, Release};
use ferrolb_compat::yaml::Document;
use ferrolb_compat::yaml::emit::{self, Value};

use super::live::{self, ClusterArgs};
use super::report::{Outcome, ReportArgs, Source};
use super::{Auto, BLOCKED, DONE, IO, USAGE, atomic, parse_mode, parse_release, read_text, shown};
use crate::config::error::{Diagnostic, Key, Severity};
use crate::migrate::reverse::{ReverseOptions, Reversed, reverse};
use crate::migrate::{Finding, Level};
use crate::view::SETTINGS_KEY;

/// Make a ConfigMap of MetalLB 0.12 of custom resources
///
/// Exits with 0 if it is done, 2 if the command line is wrong, 3 if there are findings as of --fail-on, 4 if 0.12 cannot say
/// what the resources say (nothing is written), 6 if a file or the cluster cannot be read or written.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct ReverseArgs {
    /// Files of resources, or `-` for standard input: manifests (many documents, Lists), also as `kubectl get -o yaml` or `-o json` writes
    /// them, BGPPeers of v1beta1 and AddressPools of v1alpha1 and v1beta1 among them; `cluster` for those of the cluster, with their
    /// Secrets
    #[arg(value_name = "CRS", required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    cluster: ClusterArgs,
    /// A further file, with the Secrets of the peers
    #[arg(long, value_name = "FILE")]
    secrets: Vec<PathBuf>,
    /// Where to write the ConfigMap; `-` is standard output. A file is replaced whole or not at all; it holds the passwords
    #[arg(short, long = "output-file", value_name = "FILE", default_value = "-")]
    output_file: PathBuf,
    /// What to write: the ConfigMap's manifest, or the configuration itself
    #[arg(long, value_name = "FORM", default_value = "configmap", value_enum)]
    output: Form,
    /// The release that reads the resources [default: 0.16.1; with AddressPools 0.14.2, the last that has them]
    #[arg(long, value_name = "RELEASE", value_parser = parse_release)]
    target_version: Option<Release>,
    /// Who speaks BGP: native, frr, frr-k8s; auto is native if MetalLB 0.12's native mode takes the configuration, else frr
    #[arg(long, value_name = "MODE", default_value = "auto", value_parser = parse_mode)]
    bgp_mode: Auto,
    /// Of resources of several namespaces, those of this one [default of the ConfigMap's: metallb-system]
    #[arg(long, value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// The name of the ConfigMap
    #[arg(long, value_name = "NAME", default_value = "config")]
    config_name: String,
    /// Keep the names of resources that were renamed when they were made
    #[arg(long)]
    keep_names: bool,
    /// Leave out what 0.12 cannot say, with a comment where it was
    #[arg(long)]
    lossy: bool,
    #[command(flatten)]
    report: ReportArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    Configmap,
    Data,
}

/// Makes it and returns the exit status.
///
/// # Errors
/// The report could not be written.
pub(super) fn run(
    args: &ReverseArgs,
    stdin: &mut dyn Read,
    stdout: &mut dyn Write,
    stderr: &mut dyn Write,
) -> io::Result<u8> {
    let paths: Vec<&PathBuf> = args.files.iter().chain(&args.secrets).collect();
    if paths
        .iter()
        .filter(|path| path.as_path() == Path::new("-"))
        .count()
        > 1
    {
        writeln!(stderr, "error: standard input can be read once")?;
        return Ok(USAGE);
    }
    let mut sources = Vec::new();
    for path in paths {
        let of_cluster = path.as_path() == Path::new("cluster");
        let namespace = args.namespace.as_deref().unwrap_or(NAMESPACE);
        let read = if of_cluster {
            live::cluster_resources(&args.cluster, namespace)?
                .map(|text| (format!("cluster, namespace {namespace}"), text))
        } else {
            let name = shown(path);
            match read_text(path, stdin) {
                Ok(text) => Ok((name, text)),
                Err(error) => Err(format!("cannot read {name}: {error}")),
            }
        };
        match read {
            Ok((name, text)) => sources.push(Source { name, text }),
            Err(error) => {
                writeln!(stderr, "error: {error}")?;
                return Ok(IO);
            }
        }
    }
    let options = ReverseOptions {
        target: args.target_version,
        mode: args.bgp_mode.0,
        lossy: args.lossy,
        keep_names: args.keep_names,
        namespace: args.namespace.clone(),
        // The configuration alone has no place for what stands beside it.
        without_settings: args.output == Form::Data,
    };
    let reversed = match parse(&sources) {
        Ok(files) => reverse(&files, &options),
        Err(findings) => Reversed {
            findings,
            ..Reversed::default()
        },
    };
    let namespace = args
        .namespace
        .clone()
        .or_else(|| reversed.namespace.clone());
    let namespace = namespace.unwrap_or_else(|| NAMESPACE.to_owned());
    let mut summary = Vec::new();
    let target = reversed.target.or(args.target_version);
    let target = target.unwrap_or(Release::NEWEST);
    let (result, code) = if let Some(text) = &reversed.text {
        let file = match args.output {
            Form::Data => text.clone(),
            Form::Configmap => {
                let settings = reversed.settings.as_deref();
                config_map(&namespace, &args.config_name, text, settings)
            }
        };
        let to_stdout = args.output_file == Path::new("-");
        let written = if to_stdout {
            stdout
                .write_all(file.as_bytes())
                .and_then(|()| stdout.flush())
        } else {
            // It may hold passwords.
            atomic::write(&args.output_file, file.as_bytes(), 0o600)
        };
        if let Err(error) = written {
            let path = args.output_file.display();
            writeln!(stderr, "error: cannot write {path}: {error}")?;
            return Ok(IO);
        }
        let (pools, peers) = reversed
            .config
            .as_ref()
            .map_or((0, 0), |config| (config.pools.len(), config.peers.len()));
        summary.push(format!(
            "ConfigMap {namespace}/{}: {pools} pools, {peers} peers",
            args.config_name
        ));
        ("reversed", DONE)
    } else {
        summary.push(
            "MetalLB 0.12 cannot say what these resources say: nothing was written".to_owned(),
        );
        ("not-representable", BLOCKED)
    };
    let outcome = Outcome {
        command: "reverse",
        result,
        code,
        sources: &sources,
        namespace: Some(&namespace),
        config_map: Some(&args.config_name),
        target,
        mode: reversed.mode,
        findings: &reversed.findings,
        renames: &reversed.renames,
        touched: &[],
        objects: Vec::new(),
        differences: None,
        summary,
    };
    let mut stream = Vec::new();
    let code = args.report.write(&outcome, &mut stream, stderr)?;
    stderr.write_all(&stream)?;
    Ok(code)
}

/// The documents of all files, or why one is none.
pub(super) fn parse(sources: &[Source]) -> Result<Vec<Vec<Document>>, Vec<Finding>> {
    let mut files = Vec::new();
    let mut findings = Vec::new();
    for (file, source) in sources.iter().enumerate() {
        match Document::parse_all(&source.text) {
            Ok(documents) => files.push(documents),
            Err(error) => {
                let number = |number: u32| usize::try_from(number).unwrap_or_default();
                findings.push(Finding {
                    level: Level::Blocked,
                    diagnostic: Diagnostic {
                        key: Key::Config,
                        severity: Severity::Error,
                        code: "syntax",
                        message: error.message,
                        path: String::new(),
                        line: number(error.place.line),
                        column: number(error.place.column),
                        span: error.place.span(),
                        help: error.help.map(str::to_owned),
                    },
                    file,
                });
            }
        }
    }
    if findings.is_empty() {
        Ok(files)
    } else {
        Err(findings)
    }
}

/// The ConfigMap's manifest.
fn config_map(namespace: &str, name: &str, text: &str, settings: Option<&str>) -> String {
    let config = ("config".to_owned(), Value::text(text));
    let settings = settings.map(|text| (SETTINGS_KEY.to_owned(), Value::text(text)));
    let data = std::iter::once(config).chain(settings).collect();
    let metadata = Value::map([
        ("name", Value::text(name)),
        ("namespace", Value::text(namespace)),
    ]);
    let mut out = String::new();
    emit::write(
        &mut out,
        &Value::map([
            ("apiVersion", Value::text("v1")),
            ("kind", Value::text("ConfigMap")),
            ("metadata", metadata),
            ("data", Value::Map(data)),
        ]),
    );
    out
}
