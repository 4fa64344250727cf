//! `ferrolb migrate apply`: the resources and annotations into the cluster, in their order.
//!
//! ```text
//!  read ─ convert ─ hindrances? ─ rights? ─ dry run of all ─ rollback file ─ objects ─ annotations ─ read back and compare
//!                                                            └ first change after it is on the disk
//! ```
//!
//! A refusal by the server stops it, and what this run did is undone. An interruption (a signal, a server that is away)
//! leaves it half-way: applying again goes on, with the same rollback file.

use std::io::Read;
use std::path::PathBuf;

use ferrolb_compat::crd::Resource;
use ferrolb_compat::crd::read::read_all;
use ferrolb_compat::yaml::Document;
use futures::stream::{self, StreamExt as _};
use serde_json::{Value, json};

use super::super::DIFFERENT;
use super::file::Journal;
use super::told::reported;
use super::{
    DONE, HALF_WAY, IO, LiveArgs, Outputs, Situation, Stop, Told, confirm, connect, hindered, read,
    rollback, situation,
};
use crate::cli::VERSION;
use crate::cluster::kubernetes::session::{Refused, Right, Session};
use crate::migrate::live::Kind;
use crate::migrate::live::changes::{Annotation, Change, Changes};
use crate::migrate::live::rollback::{Entry, Undo, beginning};
use crate::migrate::{Level, resources, verify};

/// Apply the resources to the cluster, in an order that takes no Service's address
///
/// Writes a rollback file before the first change, and stops at the first refusal. Run again after an interruption, it goes on. The
/// ConfigMap, controller and speakers are not touched. Exits with 0 if it is done, 1 if MetalLB 0.12 would not run the input, 2 if
/// the command line is wrong, 4 if the target cannot express the configuration or other resources are in the way (nothing is changed), 5
/// if the cluster's resources do not mean what the configuration means afterwards, 6 if the cluster or a file cannot be read
/// or written or a right is missing (nothing is changed), 7 if it stopped half-way.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ApplyArgs {
    #[command(flatten)]
    live: LiveArgs,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Change nothing: client says what would be done, server asks the server as well whether it would take it
    #[arg(long, value_name = "WHERE", default_value = "none", value_enum)]
    dry_run: DryRun,
    /// Where to write what undoes it; one that is there of this cluster is gone on with. Only its owner may read it: it holds the
    /// ConfigMap with its passwords [default: ferrolb-rollback-NAMESPACE.jsonl]
    #[arg(long, value_name = "FILE")]
    rollback_file: Option<PathBuf>,
    /// Wait up to a minute for custom resource definitions that were installed a moment ago
    #[arg(long)]
    wait: bool,
}

/// `--dry-run`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum DryRun {
    None,
    Client,
    Server,
}

/// Requests of a dry run that are under way at once: the server's own work bounds it beyond.
const AT_ONCE: usize = 8;

/// Objects from which on progress is told.
const MANY: usize = 200;

/// Progress of long work.
struct Progress {
    what: &'static str,
    done: usize,
    all: usize,
}

impl Progress {
    fn new(what: &'static str, all: usize) -> Self {
        Self { what, done: 0, all }
    }

    /// One more; a line for each twentieth.
    fn step(&mut self, outputs: &mut Outputs<'_>) -> Result<(), Stop> {
        self.done += 1;
        let told = (self.all / 20).max(1);
        if self.all >= MANY && (self.done.is_multiple_of(told) || self.done == self.all) {
            writeln!(outputs.err, "{} {} of {}", self.what, self.done, self.all)?;
        }
        Ok(())
    }
}

/// Applies and returns the exit status.
pub(super) async fn run(
    args: &ApplyArgs,
    stdin: &mut dyn Read,
    outputs: &mut Outputs<'_>,
) -> Result<u8, Stop> {
    reported(args.live.report, "apply", outputs, async |outputs, told| {
        told.target = Some(args.live.target().to_string());
        apply(args, stdin, outputs, told).await
    })
    .await
}

async fn apply(
    args: &ApplyArgs,
    stdin: &mut dyn Read,
    outputs: &mut Outputs<'_>,
    told: &mut Told,
) -> Result<u8, Stop> {
    let live = &args.live;
    let session = connect(&live.cluster).await?;
    if args.wait {
        wait(&session).await?;
    }
    let situation = situation(live, &session, Level::Warning, stdin, outputs).await?;
    let status = live.status(situation.converted.conversion.worst());
    if status != DONE {
        writeln!(
            outputs.err,
            "there are findings as of --fail-on: nothing was changed"
        )?;
        return Ok(status);
    }
    read::must_have(
        &situation.inventory,
        &["services", "deployments.apps", "daemonsets.apps"],
    )?;
    let changes = &situation.changes;
    hindered(&changes.hindrances, outputs)?;
    told.unchanged = changes.unchanged;
    if changes.is_empty() {
        told.result = Some("unchanged");
        writeln!(
            outputs.out,
            "nothing to change: {} objects are as they should be",
            changes.unchanged
        )?;
        return prove(live, &session, &situation, outputs).await;
    }
    for change in &changes.objects {
        writeln!(outputs.out, "{change:?}")?;
        let action = if change.before.is_some() {
            "update"
        } else {
            "create"
        };
        let object = json!({"kind": change.kind.name, "name": change.name, "action": action});
        told.objects.push(object);
    }
    for annotation in &changes.annotations {
        let Annotation {
            service,
            key,
            after,
            ..
        } = annotation;
        writeln!(outputs.out, "annotate Service {service}: {key}={after}")?;
        let annotation = json!({"service": service.as_str(), "key": key, "value": after});
        told.annotations.push(annotation);
    }
    if args.dry_run == DryRun::Client {
        told.result = Some("dry-run");
        writeln!(outputs.out, "dry run: nothing was changed")?;
        return Ok(DONE);
    }
    rights(&session, live, changes).await?;
    try_all(&session, live, changes, outputs).await?;
    if args.dry_run == DryRun::Server {
        told.result = Some("dry-run");
        writeln!(
            outputs.out,
            "dry run: the server would take all of it; nothing was changed"
        )?;
        return Ok(DONE);
    }
    if !args.yes {
        let all = changes.objects.len() + changes.annotations.len();
        confirm(&format!("Make these {all} changes?"), stdin, outputs)?;
    }
    let path = args.rollback_file.clone();
    let path =
        path.unwrap_or_else(|| PathBuf::from(format!("ferrolb-rollback-{}.jsonl", live.namespace)));
    let deeds: Vec<Entry> = changes
        .objects
        .iter()
        .map(Entry::will_apply)
        .chain(changes.annotations.iter().map(Entry::will_annotate))
        .collect();
    let begin = beginning(
        &situation.inventory,
        &live.target().to_string(),
        &live.field_manager,
        &format!("ferrolb {VERSION}"),
        &now(),
    );
    let (mut journal, is_new) = Journal::open(&path, &situation.inventory, &begin, &deeds)?;
    told.rollback_file = Some(path.display().to_string());
    writeln!(
        outputs.out,
        "rollback file: {} (it holds the ConfigMap with its passwords; mode 0600)",
        path.display()
    )?;
    let mut undo = Vec::new();
    let made = make(&session, live, changes, &mut journal, &mut undo, outputs).await;
    if let Err(stop) = made {
        return stopped(
            &session,
            live,
            stop,
            undo,
            (&mut journal, is_new),
            &path,
            outputs,
        )
        .await;
    }
    journal.add(&Entry::Complete {})?;
    journal.keep()?;
    told.result = Some("applied");
    writeln!(
        outputs.out,
        "applied: {} objects, {} annotations; to undo it: ferrolb migrate rollback {}",
        changes.objects.len(),
        changes.annotations.len(),
        path.display()
    )?;
    prove(live, &session, &situation, outputs).await
}

/// Why making the changes stopped.
enum Stopped {
    /// The server, at this request.
    Refused(Box<Refused>),
    /// Something here.
    Here(Stop),
}

impl From<Stop> for Stopped {
    fn from(stop: Stop) -> Self {
        Self::Here(stop)
    }
}

impl From<Refused> for Stopped {
    fn from(refused: Refused) -> Self {
        Self::Refused(Box::new(refused))
    }
}

/// Makes the changes; what was done is in `undo`, in its order.
async fn make(
    session: &Session,
    args: &LiveArgs,
    changes: &Changes,
    journal: &mut Journal,
    undo: &mut Vec<Undo>,
    outputs: &mut Outputs<'_>,
) -> Result<(), Stopped> {
    let manager = &args.field_manager;
    let mut progress = Progress::new("applied", changes.objects.len());
    for change in &changes.objects {
        let collection = read::collection(change.kind, &args.namespace);
        let applied = session
            .apply(&collection, &change.name, &change.manifest, manager, false)
            .await?;
        let uid = applied.object.pointer("/metadata/uid");
        let uid = uid.and_then(|uid| uid.as_str()).unwrap_or_default();
        match &change.before {
            Some(before) => undo.push(Undo::Restore {
                kind: change.kind,
                name: change.name.clone(),
                manifest: before.manifest.clone(),
            }),
            None if applied.is_new => undo.push(Undo::Delete {
                kind: change.kind,
                name: change.name.clone(),
                uid: uid.to_owned(),
            }),
            // Somebody else made it a moment ago, and says the same: it is theirs.
            None => {}
        }
        if change.before.is_some() || applied.is_new {
            journal.add(&Entry::applied(change, uid))?;
        }
        progress.step(outputs)?;
    }
    let mut progress = Progress::new("annotated", changes.annotations.len());
    for annotation in &changes.annotations {
        let Annotation {
            service,
            uid,
            key,
            before,
            after,
        } = annotation;
        let collection = read::services_of(service.namespace());
        session
            .annotate(
                &collection,
                service.name(),
                uid,
                (key, Some(after)),
                manager,
                false,
            )
            .await?;
        undo.push(Undo::Annotate {
            service: service.clone(),
            uid: uid.clone(),
            key: (*key).to_owned(),
            value: before.clone(),
        });
        progress.step(outputs)?;
    }
    Ok(())
}

/// It stopped: what the server refused is told and undone; where it is away, nothing can be.
async fn stopped(
    session: &Session,
    args: &LiveArgs,
    stopped: Stopped,
    undo: Vec<Undo>,
    (journal, is_new): (&mut Journal, bool),
    path: &std::path::Path,
    outputs: &mut Outputs<'_>,
) -> Result<u8, Stop> {
    let why = match &stopped {
        Stopped::Refused(refused) => refused.to_string(),
        Stopped::Here(Stop::Because(_, why)) => why.clone(),
        Stopped::Here(Stop::Report(error)) => format!("cannot write the report: {error}"),
        Stopped::Here(Stop::Status(_)) => String::new(),
    };
    let _ = writeln!(outputs.err, "error: {why}");
    let is_refusal =
        matches!(&stopped, Stopped::Refused(refused) if refused.failure.code().is_some());
    let done = undo.len();
    if is_refusal {
        match rollback::undo_all(
            session,
            &args.namespace,
            &args.field_manager,
            undo.into_iter().rev(),
        )
        .await
        {
            Ok(_) => {
                if is_new {
                    journal.add(&Entry::Undone {})?;
                    journal.keep()?;
                }
                let _ = writeln!(
                    outputs.err,
                    "stopped half-way: {done} changes were made, and are undone"
                );
                return Ok(HALF_WAY);
            }
            Err(refused) => {
                let _ = writeln!(outputs.err, "error: cannot undo what was done: {refused}");
            }
        }
    }
    // What is not on the disk is told by the owner of the objects' fields.
    let _ = journal.keep();
    let _ = writeln!(
        outputs.err,
        "stopped half-way after {done} changes: apply again to go on, or undo it: ferrolb migrate rollback {}",
        path.display()
    );
    Ok(HALF_WAY)
}

/// Asks the server whether it would take every change.
async fn try_all(
    session: &Session,
    args: &LiveArgs,
    changes: &Changes,
    outputs: &mut Outputs<'_>,
) -> Result<(), Stop> {
    let manager = args.field_manager.as_str();
    let mut progress = Progress::new("tried", changes.objects.len());
    let tries = changes.objects.iter().map(async |change: &Change| {
        let collection = read::collection(change.kind, &args.namespace);
        session
            .apply(&collection, &change.name, &change.manifest, manager, true)
            .await
    });
    // Only as many as can be read: what the server refuses once it refuses often.
    const MOST: usize = 20;
    let mut refusals = Vec::new();
    let mut answers = stream::iter(tries).buffered(AT_ONCE);
    while let Some(answer) = answers.next().await {
        if let Err(refused) = answer {
            let is_away = refused.failure.code().is_none();
            refusals.push(refused);
            if is_away || refusals.len() >= MOST {
                break;
            }
        }
        progress.step(outputs)?;
    }
    drop(answers);
    for annotation in &changes.annotations {
        let service = &annotation.service;
        let collection = read::services_of(service.namespace());
        let change = (annotation.key, Some(annotation.after.as_str()));
        let tried = session
            .annotate(
                &collection,
                service.name(),
                &annotation.uid,
                change,
                manager,
                true,
            )
            .await;
        if let Err(refused) = tried {
            refusals.push(refused);
            if refusals.len() >= MOST {
                break;
            }
        }
    }
    if refusals.is_empty() {
        return Ok(());
    }
    for refused in &refusals {
        writeln!(outputs.err, "error: {refused}")?;
    }
    writeln!(outputs.err, "nothing was changed")?;
    Err(Stop::Status(IO))
}

/// Whether the account may do all of it, asked before anything is done.
async fn rights(session: &Session, args: &LiveArgs, changes: &Changes) -> Result<(), Stop> {
    let mut rights = Vec::new();
    for kind in [Kind::SECRET].into_iter().chain(Kind::WRITTEN) {
        if changes.objects.iter().any(|change| change.kind == kind) {
            // An apply is a patch that may create; what was made must be undone if the next is refused.
            for verb in ["create", "patch", "delete"] {
                rights.push(right(verb, kind, &args.namespace));
            }
        }
    }
    let namespaces: std::collections::BTreeSet<&str> = changes
        .annotations
        .iter()
        .map(|annotation| annotation.service.namespace())
        .collect();
    for namespace in namespaces {
        rights.push(Right {
            verb: "patch",
            group: String::new(),
            resource: "services".to_owned(),
            namespace: namespace.to_owned(),
        });
    }
    missing_rights(session, &rights).await
}

/// A right on a kind.
pub(super) fn right(verb: &'static str, kind: Kind, namespace: &str) -> Right {
    Right {
        verb,
        group: kind.group.to_owned(),
        resource: kind.plural.to_owned(),
        namespace: namespace.to_owned(),
    }
}

/// Ends the command if a right is missing, and names all that are.
pub(super) async fn missing_rights(session: &Session, rights: &[Right]) -> Result<(), Stop> {
    // By what they are on, with all their verbs.
    let mut missing: Vec<(String, Vec<&str>)> = Vec::new();
    for right in rights {
        // Where the server does not tell, the requests themselves will.
        if session.may(right).await != Some(false) {
            continue;
        }
        let on = right.object();
        match missing.iter_mut().find(|(known, _)| *known == on) {
            Some((_, verbs)) => verbs.push(right.verb),
            None => missing.push((on, vec![right.verb])),
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let missing: Vec<String> = missing
        .iter()
        .map(|(on, verbs)| format!("{} {on}", verbs.join(", ")))
        .collect();
    Err(Stop::Because(
        IO,
        format!(
            "this account may not: {}. Give it a Role (for Services a ClusterRole) with these verbs; nothing was changed",
            missing.join("; ")
        ),
    ))
}

/// Reads the resources back and compares what they mean.
async fn prove(
    args: &LiveArgs,
    session: &Session,
    situation: &Situation,
    outputs: &mut Outputs<'_>,
) -> Result<u8, Stop> {
    let before = situation.inventory.config();
    if args.input.is_none() {
        let maps = read::config_maps(&args.namespace);
        let now = session.get(&maps, &args.config_name).await?;
        if now.as_ref().and_then(config_of) != before {
            let what = "the ConfigMap was changed meanwhile: apply again";
            writeln!(outputs.err, "error: {what}")?;
            return Ok(DIFFERENT);
        }
    }
    let text = read::resources(session, &args.namespace).await?;
    let (target, mode) = (args.target(), situation.converted.mode);
    let config = &situation.converted.config;
    let told = match resources_of(&text) {
        Err(error) => vec![format!("the cluster's resources: {error}")],
        Ok(resources) => {
            let renames = verify::renames(config, &resources);
            let found = verify::compare(config, &resources, &renames, target, mode);
            if found.is_empty() {
                writeln!(
                    outputs.out,
                    "EQUIVALENT target={target} mode={mode} renames={}",
                    renames.len()
                )?;
                return Ok(DONE);
            }
            found.iter().map(ToString::to_string).collect()
        }
    };
    for difference in told {
        writeln!(outputs.out, "{difference}")?;
    }
    writeln!(
        outputs.err,
        "the cluster's resources do not mean what the configuration means"
    )?;
    Ok(DIFFERENT)
}

/// The resources of manifests, or the first thing that a configuration cannot mean.
fn resources_of(text: &str) -> Result<Vec<Resource>, String> {
    let documents = Document::parse_all(text).map_err(|error| error.message)?;
    let read = read_all(&documents);
    match read.rest.first() {
        Some(first) => Err(first.message.clone()),
        None => Ok(resources::resolved(&read)),
    }
}

/// The configuration of a ConfigMap.
fn config_of(map: &Value) -> Option<&str> {
    map.pointer("/data/config")?.as_str()
}

/// Waits for the custom resource definitions.
async fn wait(session: &Session) -> Result<(), Stop> {
    // A server takes up a definition within a second or two.
    const PAUSE: std::time::Duration = std::time::Duration::from_millis(500);
    for _ in 0..120 {
        let mut inventory = crate::migrate::live::inventory::Inventory::default();
        read::definitions(session, &mut inventory).await?;
        if Kind::WRITTEN.into_iter().all(|kind| inventory.serves(kind)) {
            return Ok(());
        }
        pause(PAUSE).await;
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "cli: waits for a server")]
async fn pause(time: std::time::Duration) {
    tokio::time::sleep(time).await;
}

/// The time, as RFC 3339 has it.
#[expect(clippy::disallowed_methods, reason = "cli: the time of a file")]
fn now() -> String {
    jiff::Timestamp::from_second(
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .ok()
            .and_then(|time| i64::try_from(time.as_secs()).ok())
            .unwrap_or_default(),
    )
    .map_or_else(|_| String::new(), |time| time.to_string())
}
