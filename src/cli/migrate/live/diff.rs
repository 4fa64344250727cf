//! `ferrolb migrate diff`: the cluster's resources beside the converted ones.
//!
//! Where the server allows it, each difference is tried with a server-side dry run: what the server would make of the object
//! is compared, defaults and all, and what it would refuse is told.

use std::io::Read;

use serde_json::{Value, json};

use super::super::DIFFERENT;
use super::{DONE, LiveArgs, Outputs, Report, Situation, Stop, connect, read, situation, tell};
use crate::cluster::kubernetes::session::Session;
use crate::migrate::Level;
use crate::migrate::live::Kind;
use crate::migrate::live::changes::{Difference, differences, manifest};
use crate::migrate::live::inventory::Object;

/// What became of one object.
enum Seen {
    Same,
    Absent,
    Different(Vec<Difference>),
    Extra,
}

/// Compare the cluster's resources with what convert gives
///
/// Exits with 0 if they say the same, 1 if MetalLB 0.12 would not run the input, 2 if the command line is wrong, 4 if the target cannot
/// express the configuration, 5 if they differ, 6 if the cluster or a file cannot be read.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct DiffArgs {
    #[command(flatten)]
    live: LiveArgs,
}

/// Compares and returns the exit status.
pub(super) async fn run(
    args: &DiffArgs,
    stdin: &mut dyn Read,
    outputs: &mut Outputs<'_>,
) -> Result<u8, Stop> {
    let args = &args.live;
    let session = &connect(&args.cluster).await?;
    let situation = &situation(args, session, Level::Warning, stdin, outputs).await?;
    let inventory = &situation.inventory;
    let mut seen: Vec<(&str, String, Seen, Option<String>)> = Vec::new();
    for resource in &situation.converted.resources {
        let Some(kind) = Kind::named(resource.spec.kind()) else {
            continue;
        };
        let converted = manifest(resource, &args.namespace);
        let there = inventory
            .objects
            .iter()
            .find(|object| object.kind == kind.name && object.name == resource.name);
        let (state, refusal) = one(args, session, situation, kind, &converted, there).await;
        seen.push((kind.name, resource.name.clone(), state, refusal));
    }
    for object in &inventory.objects {
        let converted = situation.converted.resources.iter();
        let mut converted =
            converted.map(|resource| (resource.spec.kind(), resource.name.as_str()));
        if !converted.any(|known| known == (object.kind.as_str(), object.name.as_str())) {
            seen.push((&object.kind, object.name.clone(), Seen::Extra, None));
        }
    }
    let different = seen
        .iter()
        .filter(|(_, _, state, _)| !matches!(state, Seen::Same))
        .count();
    if args.report == Report::Text {
        for (kind, name, state, refusal) in &seen {
            match state {
                Seen::Same => {}
                Seen::Absent => writeln!(outputs.out, "+ {kind} {name}: is not there")?,
                Seen::Extra => {
                    writeln!(outputs.out, "? {kind} {name}: is not of the configuration")?;
                }
                Seen::Different(fields) => {
                    writeln!(outputs.out, "~ {kind} {name}")?;
                    for field in fields {
                        let told = |side: &Option<String>| match side {
                            Some(value) => value.clone(),
                            None => "absent".to_owned(),
                        };
                        writeln!(
                            outputs.out,
                            "    {}: cluster {} / converted {}",
                            field.field,
                            told(&field.there),
                            told(&field.converted)
                        )?;
                    }
                }
            }
            if let Some(refusal) = refusal {
                writeln!(outputs.out, "    the server would refuse it: {refusal}")?;
            }
        }
        let same = seen.len() - different;
        writeln!(outputs.out, "{same} the same, {different} different")?;
    } else {
        let objects: Vec<Value> = seen
            .iter()
            .map(|(kind, name, state, refusal)| {
                let (state, fields) = match state {
                    Seen::Same => ("same", &[][..]),
                    Seen::Absent => ("absent", &[][..]),
                    Seen::Extra => ("extra", &[][..]),
                    Seen::Different(fields) => ("different", fields.as_slice()),
                };
                let fields: Vec<Value> = fields
                    .iter()
                    .map(|field| {
                        json!({"path": field.field, "cluster": field.there, "converted": field.converted})
                    })
                    .collect();
                json!({"kind": kind, "name": name, "state": state, "fields": fields, "refusal": refusal})
            })
            .collect();
        let report = json!({
            "target": args.target().to_string(),
            "objects": objects,
        });
        tell(outputs, "diff", report)?;
    }
    Ok(if different > 0 { DIFFERENT } else { DONE })
}

/// One converted object against the cluster's.
async fn one(
    args: &LiveArgs,
    session: &Session,
    situation: &Situation,
    kind: Kind,
    converted: &Value,
    there: Option<&Object>,
) -> (Seen, Option<String>) {
    let fields = there.map(|there| differences(kind, &there.json, converted));
    if fields.as_ref().is_some_and(Vec::is_empty) {
        return (Seen::Same, None);
    }
    let state = fields.map_or(Seen::Absent, Seen::Different);
    if !situation.inventory.serves(kind) {
        return (state, None);
    }
    let name = converted.pointer("/metadata/name").and_then(Value::as_str);
    let collection = read::collection(kind, &args.namespace);
    let tried = session
        .apply(
            &collection,
            name.unwrap_or_default(),
            converted,
            &args.field_manager,
            true,
        )
        .await;
    match (tried, there) {
        (Ok(tried), Some(there)) => {
            let fields = differences(kind, &there.json, &tried.object);
            if fields.is_empty() {
                (Seen::Same, None)
            } else {
                (Seen::Different(fields), None)
            }
        }
        (Ok(_), None) => (state, None),
        // Who may only read is told what can be told by reading.
        (Err(refused), _) if refused.is_forbidden() => (state, None),
        (Err(refused), _) => (state, Some(refused.failure.to_string())),
    }
}
