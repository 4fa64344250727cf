//! `ferrolb migrate verify`: whether resources mean what a ConfigMap means.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use ferrolb_compat::crd::read;
use ferrolb_compat::migrate::Release;

use super::live::{self, ClusterArgs};
use super::{
    Auto, DIFFERENT, DONE, INVALID, IO, in_file, parse_mode, parse_release, read_text, refused,
    report, shown,
};
use crate::cli::check::input::locate;
use crate::migrate::{Options, Source, convert, verify};

/// Prove that resources mean what a ConfigMap means
///
/// Compares pools, routes, announcements and sessions. Exits with 0 if they mean the same, 1 if MetalLB 0.12 would not run the input, 2
/// if the command line is wrong, 5 if they do not, 6 if a file or the cluster cannot be read.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct VerifyArgs {
    /// The ConfigMap, as for convert; `-` for standard input; without it, the cluster's
    #[arg(value_name = "INPUT")]
    input: Option<PathBuf>,
    /// The resources: a file of manifests, also as `kubectl get -o yaml` or `-o json` writes them, with the Secrets of the peers;
    /// `cluster` for those of the cluster
    #[arg(long, value_name = "FILE|cluster")]
    crs: PathBuf,
    #[command(flatten)]
    cluster: ClusterArgs,
    /// The namespace of MetalLB in the cluster
    #[arg(long, value_name = "NAMESPACE", default_value = "metallb-system")]
    namespace: String,
    /// The name of the cluster's ConfigMap (--config of controller and speaker)
    #[arg(long, value_name = "NAME", default_value = "config")]
    config_name: String,
    /// The release that reads them [default: 0.16.1]
    #[arg(long, value_name = "RELEASE", value_parser = parse_release)]
    target_version: Option<Release>,
    /// Who speaks BGP, before and after: native, frr, frr-k8s; auto as for convert
    #[arg(long, value_name = "MODE", default_value = "auto", value_parser = parse_mode)]
    bgp_mode: Auto,
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
        let text = read_text(path, stdin);
        text.map_err(|error| format!("cannot read {}: {error}", shown(path)))
    };
    let (name, text) = match &args.input {
        Some(path) => (shown(path), read(path)),
        None => (
            format!("configmap {}/{}", args.namespace, args.config_name),
            live::cluster_config(&args.cluster, &args.namespace, &args.config_name)?,
        ),
    };
    let crs = if args.crs == Path::new("cluster") {
        live::cluster_resources(&args.cluster, &args.namespace)?
    } else {
        read(&args.crs)
    };
    let (text, crs) = match (&text, &crs) {
        (Ok(text), Ok(crs)) => (text, crs),
        (Err(error), _) | (_, Err(error)) => {
            writeln!(stderr, "error: {error}")?;
            return Ok(IO);
        }
    };
    let options = Options {
        target: args.target_version.unwrap_or(Release::NEWEST),
        mode: args.bgp_mode.0,
        ..Options::default()
    };
    let conversion = match locate(text) {
        // The cluster's is the text of the key itself.
        _ if args.input.is_none() => convert(Source::Text(text), &options),
        Ok(located) => in_file(convert(located.source(text), &options), &located, text),
        Err(missing) => refused(missing.diagnostic),
    };
    let (Some(config), Some(mode)) = (&conversion.config, conversion.mode) else {
        report(stderr, &name, &conversion, &options)?;
        return Ok(INVALID);
    };
    let resources = match read::read(crs) {
        Ok(resources) => resources,
        Err(error) => {
            writeln!(stdout, "{}:{error}", shown(&args.crs))?;
            return Ok(DIFFERENT);
        }
    };
    let target = options.target;
    let renames = verify::renames(config, &resources);
    let differences = verify::compare(config, &resources, &renames, target, mode);
    if differences.is_empty() {
        let renames = renames.len();
        writeln!(
            stdout,
            "EQUIVALENT target={target} mode={mode} renames={renames}"
        )?;
        return Ok(DONE);
    }
    for difference in &differences {
        writeln!(stdout, "{difference}")?;
    }
    Ok(DIFFERENT)
}
