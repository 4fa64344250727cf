//! `configmaptocrs`: the program of MetalLB's image of that name, with its flags, its files and its messages.
//!
//! It reads `/var/input/<source>` and writes `/var/input/resources.yaml` as the converter of 0.16.1 does, byte for byte.
//! For other releases there is `ferrolb migrate convert --compat`.
//!
//! Deviation: upstream truncates its output before it reads anything, and from 0.13.10 on exits with 0 when it fails. Here the output is
//! replaced whole or not at all, and a failure is exit status 1. What 0.12 does not run and what 0.16.1 refuses is refused.

use std::io::{self, Write};
use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;

use ferrolb_compat::go::flag::{Flag, FlagSet, Value};
use ferrolb_compat::migrate::{self as upstream, NAMESPACE, Release};

use super::atomic;
use crate::cli::check::input::locate;
use crate::cli::{COMMIT, VERSION, parse_flags};
use crate::migrate::{Compat, Conversion, Options, Source, convert};

/// Where the files are.
const FOLDER: &str = "/var/input";
/// The release whose converter this is.
const RELEASE: Release = Release::NEWEST;

/// What the command line asks for.
#[derive(Debug, Clone)]
pub struct Request {
    /// The file, inside the folder.
    pub source: String,
    /// Whether the file holds the ConfigMap's data alone.
    pub only_data: bool,
    /// Whether to write to standard output.
    pub stdout: bool,
}

/// Runs the program; `name` is what it was called by.
pub fn main(name: &str, words: &[String]) -> ExitCode {
    let flags = FlagSet::new(
        name,
        [
            Flag {
                name: "source",
                default: Value::Text("./config.yaml".to_owned()),
                usage: "name of the configmap file to convert",
            },
            Flag {
                name: "only-data",
                default: Value::Bool(false),
                usage: "set this to true if the input file contains only the ConfigMap's data field",
            },
            Flag {
                name: "stdout",
                default: Value::Bool(false),
                usage: "set this to true to write to stdout",
            },
        ],
    );
    let parsed = match parse_flags(&flags, words) {
        Ok(parsed) => parsed,
        Err(code) => return code,
    };
    let request = Request {
        source: parsed.text("source").to_owned(),
        only_data: parsed.bool("only-data"),
        stdout: parsed.bool("stdout"),
    };
    let (mut stdout, mut stderr) = (io::stdout().lock(), io::stderr().lock());
    let mut log = Log { out: &mut stderr };
    let commit = COMMIT.unwrap_or("unknown");
    log.say(&format!(
        "MetalLB generator starting. commit: {commit} branch: ferrolb-{VERSION} goversion: none"
    ));
    match generate(&request, Path::new(FOLDER), &mut stdout, &mut log) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            log.say(&message);
            ExitCode::FAILURE
        }
    }
}

/// Lines as Go's `log` writes them.
pub(super) struct Log<'o> {
    pub(super) out: &'o mut dyn Write,
}

impl Log<'_> {
    fn say(&mut self, line: &str) {
        let now = jiff::Timestamp::now()
            .strftime("%Y/%m/%d %H:%M:%S")
            .to_string();
        // Nobody can be told that nobody listens.
        let _ = writeln!(self.out, "{now} {line}");
    }
}

/// The path of the source: inside the folder, whatever it says.
fn source_path(folder: &Path, source: &str) -> Result<PathBuf, String> {
    let mut path = folder.to_owned();
    let mut depth = 0_u32;
    for component in Path::new(source).components() {
        match component {
            Component::Normal(name) => {
                path.push(name);
                depth += 1;
            }
            Component::ParentDir if depth > 0 => {
                path.pop();
                depth -= 1;
            }
            Component::ParentDir => return Err(format!("unsafe path {source}")),
            // Upstream: an absolute path is one inside the folder.
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    Ok(path)
}

/// Converts; what goes wrong is a line for the log.
pub(super) fn generate(
    request: &Request,
    folder: &Path,
    stdout: &mut dyn Write,
    log: &mut Log<'_>,
) -> Result<(), String> {
    let failed = |message: String| format!("failed to generate resources: {message}");
    let file = convert_file(request, folder, log).map_err(failed)?;
    log.say("Creating the output YAML");
    let written = if request.stdout {
        stdout
            .write_all(file.as_bytes())
            .and_then(|()| stdout.flush())
    } else {
        atomic::write(&folder.join("resources.yaml"), file.as_bytes(), 0o666)
    };
    written.map_err(|error| format!("failed to create output file: {error}"))
}

fn convert_file(request: &Request, folder: &Path, log: &mut Log<'_>) -> Result<String, String> {
    log.say("Reading configmap");
    let path = source_path(folder, &request.source)?;
    let text = super::read_text(&path, &mut io::empty())
        .map_err(|error| format!("open {}: {error}", path.display()))?;
    log.say("Decoding configmap");
    let options = Options {
        compat: Some(Compat {
            release: RELEASE,
            bugs: false,
        }),
        target: RELEASE,
        ..Options::default()
    };
    let (conversion, namespace) = if request.only_data {
        (convert(Source::Text(&text), &options), None)
    } else {
        let located = locate(&text).map_err(|missing| missing.diagnostic.to_string())?;
        let conversion = convert(located.source(&text), &options);
        (
            super::in_file(conversion, &located, &text),
            located.namespace,
        )
    };
    log.say("Converting configmap resources to K8S-compliant names");
    tell_renames(&conversion, log);
    let Some(resources) = &conversion.resources else {
        let first = conversion.findings.first();
        return Err(first.map_or_else(
            || "refused without a reason: this is a bug of FerroLB".to_owned(),
            |finding| finding.diagnostic.to_string(),
        ));
    };
    log.say("Creating custom resources");
    log.say("Checking the resources are parsed correctly");
    let namespace = namespace.unwrap_or_else(|| NAMESPACE.to_owned());
    upstream::write(resources, &namespace, RELEASE).map_err(|error| error.to_string())
}

/// Upstream: a line for each pool and profile, and for each peer with such a profile.
fn tell_renames(conversion: &Conversion, log: &mut Log<'_>) {
    for rename in &conversion.renames {
        let (kind, times) = match rename.kind {
            "BFDProfile" => {
                let peers = conversion.config.iter().flat_map(|config| &config.peers);
                let with = peers.filter(|peer| peer.bfd_profile == rename.from);
                ("BFDProfile", 1 + with.count())
            }
            _ => ("IpAddressPool", 1),
        };
        for _ in 0..times {
            log.say(&format!(
                "Changing {kind} name from: {} to: {}",
                rename.from, rename.to
            ));
        }
    }
}
