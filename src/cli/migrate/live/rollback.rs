//! `ferrolb migrate rollback`: what apply did, undone.

use std::io::Read;
use std::path::PathBuf;

use serde_json::json;

use super::file::{self, Journal};
use super::told::reported;
use super::{
    ClusterArgs, DONE, HALF_WAY, IO, Outputs, Report, Stop, Told, apply, confirm, connect, read,
};
use crate::cluster::kubernetes::session::{Refused, Session};
use crate::migrate::live::Kind;
use crate::migrate::live::inventory::{Inventory, Object, Program, Service};
use crate::migrate::live::rollback::{Entry, Undo};

/// Undo what apply did, with its rollback file
///
/// Annotations are put back where they still say what apply set; objects are deleted where they are still those that apply made. Run
/// again after an interruption, it goes on. Exits with 0 if it is done, 2 if the command line is wrong, 6 if the cluster or
/// the file cannot be read, a right is missing, or a controller runs that needs the resources (nothing is changed), 7 if it
/// stopped half-way.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct RollbackArgs {
    /// The file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Say what would be undone, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Codes of findings that do not stop it: MIG050, a controller that needs the resources
    #[arg(long, value_name = "CODES", value_delimiter = ',')]
    allow: Vec<String>,
    /// How to report on standard output
    #[arg(long, value_name = "FORM", default_value = "text", value_enum)]
    report: Report,
}

/// Undoes and returns the exit status.
pub(super) async fn run(
    args: &RollbackArgs,
    stdin: &mut dyn Read,
    outputs: &mut Outputs<'_>,
) -> Result<u8, Stop> {
    reported(args.report, "rollback", outputs, async |outputs, told| {
        told.rollback_file = Some(args.file.display().to_string());
        roll_back(args, stdin, outputs, told).await
    })
    .await
}

async fn roll_back(
    args: &RollbackArgs,
    stdin: &mut dyn Read,
    outputs: &mut Outputs<'_>,
    told: &mut Told,
) -> Result<u8, Stop> {
    let rollback = file::read(&args.file)?;
    told.target = Some(rollback.begin.target.clone());
    let session = connect(&args.cluster).await?;
    let namespace = rollback.begin.namespace.clone();
    let mut inventory = Inventory {
        server: session.server.clone(),
        cluster: read::cluster(&session).await?,
        namespace: namespace.clone(),
        ..Inventory::default()
    };
    file::belongs(&args.file, &rollback, &inventory)?;
    inventory.programs = programs(&session, &namespace).await?;
    let (objects, services) = rollback.concerned();
    for (kind, name) in objects {
        let collection = read::collection(kind, &namespace);
        if let Some(object) = session.get(&collection, &name).await? {
            inventory.objects.push(Object::read(kind.name, object));
        }
    }
    for key in services {
        let collection = read::services_of(key.namespace());
        let found = session.get(&collection, key.name()).await?;
        inventory
            .services
            .extend(found.as_ref().and_then(Service::read));
    }
    let undo = rollback.undo(&inventory.objects, &inventory.services);
    let deeds = undo
        .iter()
        .filter(|undo| !matches!(undo, Undo::Leave { .. }))
        .count();
    for step in &undo {
        writeln!(outputs.out, "{step}")?;
        note(step, told);
    }
    if args.dry_run {
        told.result = Some("dry-run");
        writeln!(outputs.out, "dry run: nothing was changed")?;
        return Ok(DONE);
    }
    if deeds == 0 {
        told.result = Some("unchanged");
        writeln!(outputs.out, "nothing to undo")?;
        return Ok(DONE);
    }
    let takes_objects = undo
        .iter()
        .any(|undo| matches!(undo, Undo::Delete { .. } | Undo::Restore { .. }));
    if let Some((program, release)) = inventory.successor()
        && takes_objects
        && !args.allow.iter().any(|code| code == "MIG050")
    {
        return Err(Stop::Because(
            IO,
            format!(
                "MIG050: MetalLB {release} runs ({}): without the resources it takes the address of every Service. Put \
                 the ConfigMap's controller and speakers back first; or stop it: kubectl scale -n {namespace} {} --replicas=0. \
                 Nothing was changed",
                program.workload, program.workload
            ),
        ));
    }
    let mut rights = Vec::new();
    for step in &undo {
        let right = match step {
            Undo::Delete { kind, .. } => apply::right("delete", *kind, &namespace),
            Undo::Restore { kind, .. } => apply::right("patch", *kind, &namespace),
            Undo::Annotate { service, .. } => crate::cluster::kubernetes::session::Right {
                verb: "patch",
                group: String::new(),
                resource: "services".to_owned(),
                namespace: service.namespace().to_owned(),
            },
            Undo::Leave { .. } => continue,
        };
        if !rights.contains(&right) {
            rights.push(right);
        }
    }
    apply::missing_rights(&session, &rights).await?;
    if !args.yes {
        confirm(&format!("Undo these {deeds}?"), stdin, outputs)?;
    }
    let manager = &rollback.begin.field_manager;
    if let Err(refused) = undo_all(&session, &namespace, manager, undo.into_iter()).await {
        writeln!(outputs.err, "error: {refused}")?;
        writeln!(outputs.err, "stopped half-way: roll back again to go on")?;
        return Ok(HALF_WAY);
    }
    let mut journal = Journal::append(&args.file, &rollback)?;
    journal.add(&Entry::Undone {})?;
    journal.keep()?;
    told.result = Some("undone");
    writeln!(
        outputs.out,
        "undone: {deeds}. The ConfigMap was never touched; controller and speakers are as you left them"
    )?;
    Ok(DONE)
}

/// Notes a step for programs.
fn note(step: &Undo, told: &mut Told) {
    let object = |action: &str, kind: Kind, name: &str| json!({"kind": kind.name, "name": name, "action": action});
    match step {
        Undo::Delete { kind, name, .. } => told.objects.push(object("delete", *kind, name)),
        Undo::Restore { kind, name, .. } => told.objects.push(object("restore", *kind, name)),
        // A value of null: it goes.
        Undo::Annotate {
            service,
            key,
            value,
            ..
        } => {
            let annotation = json!({"service": service.as_str(), "key": key, "value": value});
            told.annotations.push(annotation);
        }
        Undo::Leave { what, why } => {
            told.left.push(json!({"what": what, "why": why}));
            told.unchanged += 1;
        }
    }
}

/// Controller and speaker.
async fn programs(session: &Session, namespace: &str) -> Result<Vec<Program>, Refused> {
    let mut programs = Vec::new();
    for (kind, plural) in [("Deployment", "deployments"), ("DaemonSet", "daemonsets")] {
        let workloads = read::workloads(plural, namespace);
        let found = session.list(&workloads).await?.unwrap_or_default();
        programs.extend(
            found
                .iter()
                .filter_map(|object| Program::read(kind, object)),
        );
    }
    Ok(programs)
}

/// Takes the steps; how many were deeds.
pub(super) async fn undo_all(
    session: &Session,
    namespace: &str,
    field_manager: &str,
    steps: impl Iterator<Item = Undo>,
) -> Result<usize, Refused> {
    let mut done = 0;
    for step in steps {
        match &step {
            Undo::Delete { kind, name, uid } => {
                let collection = read::collection(*kind, namespace);
                match session.delete(&collection, name, uid).await {
                    // Another object has the name meanwhile: it stays.
                    Err(refused) if refused.failure.code() == Some(409) => {}
                    other => {
                        other?;
                    }
                }
            }
            Undo::Restore {
                kind,
                name,
                manifest,
            } => {
                let collection = read::collection(*kind, namespace);
                session
                    .apply(&collection, name, manifest, field_manager, false)
                    .await?;
            }
            Undo::Annotate {
                service,
                uid,
                key,
                value,
            } => {
                let collection = read::services_of(service.namespace());
                let change = (key.as_str(), value.as_deref());
                session
                    .annotate(
                        &collection,
                        service.name(),
                        uid,
                        change,
                        field_manager,
                        false,
                    )
                    .await?;
            }
            Undo::Leave { .. } => continue,
        }
        done += 1;
    }
    Ok(done)
}
