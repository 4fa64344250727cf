//! The commands of `ferrolb migrate` that talk to a cluster: plan, services, diff, apply, rollback.
//!
//! What is to be done is decided by [`crate::migrate::live`]; here it is read, done and told.
//!
//! Exit codes: those of `migrate`, and [`HALF_WAY`].
//!
//! Invariant: nothing is changed in the cluster before the rollback file is on the disk. No password is in any message.

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::path::PathBuf;

use ferrolb_compat::crd::{Resource, Spec};
use ferrolb_compat::migrate::Release;

use super::convert::{FormArgs, convert_bare, convert_file, no_config_map};
use super::report::{FailOn, fold, word};
use super::{Auto, BLOCKED, DONE, FINDINGS, INVALID, IO, USAGE, parse_mode, read_text, shown};
use crate::cli::check::input::Wanted as Looked;
use crate::cluster::kubernetes::session::{Refused, Session};
use crate::config::Config;
use crate::migrate::live::changes::{Changes, Hindrance, Wanted, changes};
use crate::migrate::live::inventory::{Inventory, SETTINGS};
use crate::migrate::live::services::{Touched, touched};
use crate::migrate::live::{FIELD_MANAGER, Kind, inventory, text};
use crate::migrate::{BgpMode, Conversion, Level, Options};

mod apply;
mod diff;
mod file;
mod plan;
mod read;
mod rollback;
mod services;
#[cfg(test)]
mod tests;
mod told;

use told::{Told, tell};

/// Applying or rolling back stopped half-way; it can be gone on with, or undone.
pub const HALF_WAY: u8 = 7;

/// `User-Agent`.
const USER_AGENT: &str = concat!("ferrolb-migrate/", env!("CARGO_PKG_VERSION"));

/// The commands that talk to a cluster.
#[derive(Debug, Clone, clap::Subcommand)]
pub(super) enum LiveCommand {
    Plan(Box<plan::PlanArgs>),
    Services(Box<services::ServicesArgs>),
    Diff(Box<diff::DiffArgs>),
    Apply(Box<apply::ApplyArgs>),
    Rollback(rollback::RollbackArgs),
}

/// Runs a command and returns the exit status.
///
/// # Errors
/// The report could not be written.
pub(super) fn run(
    command: &LiveCommand,
    stdin: &mut dyn Read,
    stdout: &mut dyn Write,
    stderr: &mut dyn Write,
) -> io::Result<u8> {
    talk(stdout, stderr, async |outputs| match command {
        LiveCommand::Plan(args) => plan::run(args, stdin, outputs).await,
        LiveCommand::Services(args) => services::run(args, stdin, outputs).await,
        LiveCommand::Diff(args) => diff::run(args, stdin, outputs).await,
        LiveCommand::Apply(args) => apply::run(args, stdin, outputs).await,
        LiveCommand::Rollback(args) => rollback::run(args, stdin, outputs).await,
    })
}

/// Who is asked.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct ClusterArgs {
    /// The kubeconfig [default: $KUBECONFIG, else ~/.kube/config, else what a pod is given]
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// The kubeconfig's context [default: its current one]
    #[arg(long, value_name = "CONTEXT")]
    context: Option<String>,
}

/// What is converted, and for whom.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct LiveArgs {
    /// The configuration, as for convert; without it, the cluster's ConfigMap
    #[arg(value_name = "INPUT")]
    input: Option<PathBuf>,
    #[command(flatten)]
    cluster: ClusterArgs,
    /// The namespace of MetalLB, where the resources go
    #[arg(long, value_name = "NAMESPACE", default_value = "metallb-system")]
    namespace: String,
    /// The name of the ConfigMap (--config of controller and speaker)
    #[arg(long, value_name = "NAME", default_value = "config")]
    config_name: String,
    #[command(flatten)]
    form: FormArgs,
    /// Who will speak BGP: native, frr, frr-k8s; auto is what the speakers in the cluster do (METALLB_BGP_TYPE)
    #[arg(long, value_name = "MODE", default_value = "auto", value_parser = parse_mode)]
    bgp_mode: Auto,
    /// The owner of what is applied, in metadata.managedFields
    #[arg(long, value_name = "NAME", default_value = FIELD_MANAGER)]
    field_manager: String,
    /// Exit with 3 if there is a finding of this level
    #[arg(long, value_name = "LEVEL", default_value = "error", value_enum)]
    fail_on: FailOn,
    /// How to report on standard output
    #[arg(long, value_name = "FORM", default_value = "text", value_enum)]
    report: Report,
}

/// Why a command ends before its end.
enum Stop {
    /// With this status; what there is to say is said.
    Status(u8),
    /// With this status and line.
    Because(u8, String),
    /// The report could not be written.
    Report(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Report(error)
    }
}

impl From<Refused> for Stop {
    fn from(refused: Refused) -> Self {
        Self::Because(IO, refused.to_string())
    }
}

impl LiveArgs {
    fn target(&self) -> Release {
        self.form.target()
    }

    fn allowed(&self) -> BTreeSet<String> {
        self.form.allowed()
    }

    /// What is wanted of the conversion.
    fn options(&self, mode: Option<BgpMode>, kubernetes: Option<u32>) -> Result<Options, Stop> {
        if self.form.is_redacted() {
            let why = "--password redact is for showing resources to others: a cluster needs the passwords";
            return Err(Stop::Because(USAGE, why.to_owned()));
        }
        let options = self
            .form
            .options()
            .map_err(|error| Stop::Because(IO, format!("cannot read {error}")))?;
        Ok(Options {
            mode: self.bgp_mode.0.or(mode),
            kubernetes,
            ..options
        })
    }

    /// The options that further commands are to be given so that they mean the same.
    fn repeated(&self, mode: BgpMode) -> String {
        let mut words = String::new();
        if let Some(input) = &self.input {
            words += &format!(" {}", input.display());
        }
        if let Some(context) = &self.cluster.context {
            words += &format!(" --context {context}");
        }
        if self.namespace != "metallb-system" {
            words += &format!(" --namespace {}", self.namespace);
        }
        if self.config_name != "config" {
            words += &format!(" --config-name {}", self.config_name);
        }
        words += &format!(" --bgp-mode {mode}");
        words += &self.form.repeated();
        words
    }

    /// The status for the worst finding.
    fn status(&self, worst: Option<Level>) -> u8 {
        let least = self.fail_on.least();
        if worst.is_some_and(|worst| worst >= least) {
            FINDINGS
        } else {
            DONE
        }
    }
}

/// The two outputs of a command.
struct Outputs<'o> {
    out: &'o mut dyn Write,
    err: &'o mut dyn Write,
}

/// A configuration, converted for a cluster.
struct Converted {
    config: Config,
    conversion: Conversion,
    resources: Vec<Resource>,
    mode: BgpMode,
}

/// All that a command looks at.
struct Situation {
    inventory: Inventory,
    converted: Converted,
    touched: Vec<Touched>,
    changes: Changes,
}

/// Converts the input, or the cluster's ConfigMap; findings of this level or a worse one are told.
fn converted(
    args: &LiveArgs,
    inventory: &Inventory,
    least: Level,
    stdin: &mut dyn Read,
    outputs: &mut Outputs<'_>,
) -> Result<Converted, Stop> {
    let mut options = args.options(inventory.mode(), inventory.kubernetes)?;
    let nodes = inventory.nodes.iter();
    options.nodes = nodes.map(|node| node.labels.clone()).collect();
    let (name, conversion) = match &args.input {
        Some(path) => {
            let name = shown(path);
            let text = read_text(path, stdin)
                .map_err(|error| Stop::Because(IO, format!("cannot read {name}: {error}")))?;
            // The cluster's name is a default of its own: a file's is told of, and not refused.
            let converted = convert_file(&text, &Looked::default(), &options);
            (name, converted.conversion)
        }
        None => {
            let name = format!("configmap {}/{}", args.namespace, args.config_name);
            if inventory.config_map.is_none() {
                let what = no_config_map(&args.namespace, &args.config_name);
                return Err(Stop::Because(IO, what));
            }
            // Upstream: a ConfigMap without the key is an empty configuration.
            let text = inventory.config().unwrap_or_default();
            let conversion = convert_bare(text, inventory.settings(), &options);
            (name, conversion)
        }
    };
    let is_refused = conversion.resources.is_none();
    if args.report == Report::Text || is_refused {
        let least = if is_refused { Level::Info } else { least };
        findings(outputs.err, &name, &conversion, least)?;
    }
    match (&conversion.config, &conversion.resources, conversion.mode) {
        (Some(config), Some(resources), Some(mode)) => Ok(Converted {
            config: config.clone(),
            resources: resources.clone(),
            mode,
            conversion,
        }),
        (Some(_), ..) => {
            let target = args.target();
            let what = "cannot express this configuration: nothing was done";
            let what = format!("{name}: MetalLB {target} {what}");
            Err(Stop::Because(BLOCKED, what))
        }
        (None, ..) => Err(Stop::Because(
            INVALID,
            format!(
                "{name}: MetalLB 0.12 does not run this configuration, but the last good one before it: nothing was done"
            ),
        )),
    }
}

/// A line for each finding of a level or a worse one.
fn findings(
    out: &mut dyn Write,
    name: &str,
    conversion: &Conversion,
    least: Level,
) -> io::Result<()> {
    let told = conversion.findings.iter();
    let told = told.filter(|finding| finding.level >= least);
    fold(out, told.map(|finding| (name, finding)))
}

/// `--report`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Report {
    /// For people
    Text,
    /// For programs
    Json,
}

/// Connects.
async fn connect(args: &ClusterArgs) -> Result<Session, Stop> {
    let (kubeconfig, context) = (args.kubeconfig.as_deref(), args.context.as_deref());
    Session::connect(kubeconfig, context, USER_AGENT)
        .await
        .map_err(|error| Stop::Because(IO, error.to_string()))
}

/// Reads the cluster, converts, and says what would change.
async fn situation(
    args: &LiveArgs,
    session: &Session,
    least: Level,
    stdin: &mut dyn Read,
    outputs: &mut Outputs<'_>,
) -> Result<Situation, Stop> {
    let mut inventory = read::inventory(session, &args.namespace, &args.config_name).await?;
    let converted = converted(args, &inventory, least, stdin, outputs)?;
    let secrets = converted
        .resources
        .iter()
        .filter(|resource| matches!(resource.spec, Spec::Secret(_)));
    for secret in secrets {
        let collection = read::collection(Kind::SECRET, &args.namespace);
        if let Some(object) = session.get(&collection, &secret.name).await? {
            let object = inventory::Object::read("Secret", object);
            inventory.objects.push(object);
        }
    }
    let touched = touched(
        &converted.config,
        &converted.conversion.renames,
        &inventory.services,
        args.target(),
    );
    let allow = args.allowed();
    let wanted = wanted(args, &converted, &touched, &allow);
    let changes = changes(&inventory, &wanted);
    Ok(Situation {
        inventory,
        converted,
        touched,
        changes,
    })
}

fn wanted<'w>(
    args: &'w LiveArgs,
    converted: &'w Converted,
    touched: &'w [Touched],
    allow: &'w BTreeSet<String>,
) -> Wanted<'w> {
    Wanted {
        config: &converted.config,
        resources: &converted.resources,
        touched,
        target: args.target(),
        field_manager: &args.field_manager,
        allow,
    }
}

/// Does what talks to a server, and says why it ended.
fn talk<'c>(
    stdout: &'c mut dyn Write,
    stderr: &'c mut dyn Write,
    command: impl AsyncFnOnce(&mut Outputs<'c>) -> Result<u8, Stop>,
) -> io::Result<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut outputs = Outputs {
        out: stdout,
        err: stderr,
    };
    let ended = runtime.block_on(command(&mut outputs));
    let status = match ended {
        Ok(status) | Err(Stop::Status(status)) => status,
        Err(Stop::Because(status, why)) => {
            writeln!(outputs.err, "error: {why}")?;
            status
        }
        Err(Stop::Report(error)) => return Err(error),
    };
    outputs.out.flush()?;
    Ok(status)
}

/// The cluster's resources of MetalLB with their Secrets, as manifests.
///
/// # Errors
/// The inner one: why they cannot be read, for people.
pub(super) fn cluster_resources(
    args: &ClusterArgs,
    namespace: &str,
) -> io::Result<Result<String, String>> {
    read_of(args, async |session| {
        read::resources(session, namespace).await
    })
}

/// The texts of the cluster's ConfigMap: the configuration, and the settings if it has some.
///
/// # Errors
/// The inner one: why it cannot be read, for people.
pub(super) fn cluster_config(
    args: &ClusterArgs,
    namespace: &str,
    name: &str,
) -> io::Result<Result<(String, Option<String>), String>> {
    read_of(args, async |session| {
        let map = session.get(&read::config_maps(namespace), name).await?;
        let Some(map) = map else {
            return Err(Stop::Because(IO, no_config_map(namespace, name)));
        };
        let settings = map.pointer(SETTINGS).and_then(|text| text.as_str());
        let settings = settings.map(str::to_owned);
        Ok((text(&map, "/data/config").to_owned(), settings))
    })
}

/// The cluster, as far as a conversion looks at it.
///
/// # Errors
/// The inner one: why it cannot be read, for people.
pub(super) fn cluster_inventory(
    args: &ClusterArgs,
    namespace: &str,
    config_name: &str,
) -> io::Result<Result<Inventory, String>> {
    read_of(args, async |session| {
        read::inventory(session, namespace, config_name).await
    })
}

fn read_of<T>(
    args: &ClusterArgs,
    read: impl AsyncFnOnce(&Session) -> Result<T, Stop>,
) -> io::Result<Result<T, String>> {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut found = None;
    talk(&mut out, &mut err, async |_| {
        let session = connect(args).await?;
        found = Some(read(&session).await?);
        Ok(DONE)
    })?;
    let said = String::from_utf8_lossy(&err).trim_end().to_owned();
    let said = said.strip_prefix("error: ").unwrap_or(&said).to_owned();
    Ok(found.ok_or(said))
}

/// Says what stands against it; the status if something does.
fn hindered(hindrances: &[Hindrance], outputs: &mut Outputs<'_>) -> Result<(), Stop> {
    for hindrance in hindrances {
        writeln!(
            outputs.err,
            "error {}: {} ({})",
            hindrance.code, hindrance.what, hindrance.help
        )?;
    }
    if hindrances.is_empty() {
        return Ok(());
    }
    writeln!(outputs.err, "nothing was changed")?;
    let only_state = hindrances.iter().all(|hindrance| hindrance.is_state);
    Err(Stop::Status(if only_state { IO } else { BLOCKED }))
}

/// Asks whether to go on.
fn confirm(question: &str, stdin: &mut dyn Read, outputs: &mut Outputs<'_>) -> Result<(), Stop> {
    use std::io::IsTerminal as _;
    if !io::stdin().is_terminal() {
        let why = "nobody is there to be asked: say --yes, or look first with --dry-run";
        return Err(Stop::Because(USAGE, why.to_owned()));
    }
    ask(question, stdin, outputs)
}

/// Asks somebody; whatever is not yes is no.
fn ask(question: &str, stdin: &mut dyn Read, outputs: &mut Outputs<'_>) -> Result<(), Stop> {
    /// What is longer is no answer.
    const LONGEST: usize = 16;
    write!(outputs.err, "{question} [y/N] ")?;
    outputs.err.flush()?;
    let mut answer = Vec::new();
    let mut octet = [0; 1];
    while answer.len() < LONGEST && stdin.read(&mut octet)? == 1 && octet != *b"\n" {
        answer.extend(octet);
    }
    let answer = answer.trim_ascii().to_ascii_lowercase();
    if matches!(answer.as_slice(), b"y" | b"yes") {
        return Ok(());
    }
    writeln!(outputs.err, "nothing was changed")?;
    Err(Stop::Status(DONE))
}
