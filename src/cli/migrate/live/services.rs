//! `ferrolb migrate services`: who is touched, and whether everybody kept their addresses.

use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::super::{DIFFERENT, read_text, shown};
use super::{
    DONE, IO, LiveArgs, Outputs, Report, Stop, connect, converted, file, read, tell, word,
};
use crate::migrate::Level;
use crate::migrate::live::inventory::{Inventory, Service, objects};
use crate::migrate::live::services::{Touched, touched};

/// Say which Services a migration touches: renamed pools, addresses that no pool has, contradictions
///
/// Exits with 0 if it is done, 1 if MetalLB 0.12 would not run the input, 2 if the command line is wrong, 3 if there are findings as
/// of --fail-on, 4 if the target cannot express the configuration, 5 with --kept if a Service has not the addresses that it
/// had, 6 if the cluster or a file cannot be read.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ServicesArgs {
    #[command(flatten)]
    live: LiveArgs,
    /// The Services, as `kubectl get services -A -o yaml` or `-o json` writes them, instead of the cluster's; needs INPUT
    #[arg(long, value_name = "FILE", requires = "input")]
    services: Option<PathBuf>,
    /// Compare the Services' addresses with those of a rollback file, which apply writes
    #[arg(long, value_name = "ROLLBACK_FILE", conflicts_with = "services")]
    kept: Option<PathBuf>,
}

/// Reads, looks, and returns the exit status.
pub(super) async fn run(
    args: &ServicesArgs,
    stdin: &mut dyn Read,
    outputs: &mut Outputs<'_>,
) -> Result<u8, Stop> {
    let live = &args.live;
    if let Some(path) = &args.kept {
        return kept(live, path, outputs).await;
    }
    let inventory = match &args.services {
        Some(path) => {
            let name = shown(path);
            let text = read_text(path, stdin)
                .map_err(|error| Stop::Because(IO, format!("cannot read {name}: {error}")))?;
            let objects = objects(&text)
                .map_err(|error| Stop::Because(IO, format!("cannot read {name}: {error}")))?;
            Inventory {
                services: objects.iter().filter_map(Service::read).collect(),
                ..Inventory::default()
            }
        }
        None => {
            let session = connect(&live.cluster).await?;
            let inventory = read::inventory(&session, &live.namespace, &live.config_name).await?;
            read::must_have(&inventory, &["services"])?;
            inventory
        }
    };
    let converted = converted(live, &inventory, Level::Warning, stdin, outputs)?;
    let touched = touched(
        &converted.config,
        &converted.conversion.renames,
        &inventory.services,
        live.target(),
    );
    show(live, &inventory, &touched, outputs)?;
    let worst = touched.iter().map(|touched| touched.how.level()).max();
    Ok(live.status(worst))
}

/// A table for people, or a report for programs.
fn show(
    args: &LiveArgs,
    inventory: &Inventory,
    touched: &[Touched],
    outputs: &mut Outputs<'_>,
) -> Result<(), Stop> {
    let all = inventory.services.len();
    if args.report != Report::Text {
        let report = json!({
            "target": args.target().to_string(),
            "looked": all,
            "services": json(touched),
        });
        return tell(outputs, "services", report);
    }
    for one in touched {
        let addresses = if one.addresses.is_empty() {
            "no address".to_owned()
        } else {
            one.addresses.join(", ")
        };
        writeln!(
            outputs.out,
            "{} ({addresses}): {} {}: {}",
            one.key,
            word(one.how.level()),
            one.how.code(),
            one.how
        )?;
        let help = one.how.help(&one.key);
        if !help.is_empty() {
            writeln!(outputs.out, "    {help}")?;
        }
    }
    let old = inventory
        .services
        .iter()
        .filter(|service| {
            let mut keys = service.annotations.keys();
            keys.any(|key| key.starts_with("metallb.universe.tf/"))
        })
        .count();
    if old > 0 {
        writeln!(
            outputs.out,
            "{old} of {all} Services of type LoadBalancer have annotations metallb.universe.tf/*: every release reads them; from \
             0.14.9 on metallb.io/* is preferred, and an Event says so"
        )?;
    }
    writeln!(
        outputs.out,
        "{} findings about {all} Services of type LoadBalancer",
        touched.len()
    )?;
    Ok(())
}

/// The Services that are touched.
pub(super) fn json(touched: &[Touched]) -> Vec<Value> {
    touched
        .iter()
        .map(|one| {
            json!({
                "namespace": one.key.namespace(),
                "name": one.key.name(),
                "addresses": one.addresses,
                "code": one.how.code(),
                "severity": word(one.how.level()),
                "message": one.how.to_string(),
                "fix": one.how.help(&one.key),
            })
        })
        .collect()
}

/// Compares the addresses of today with those of a rollback file.
async fn kept(args: &LiveArgs, path: &Path, outputs: &mut Outputs<'_>) -> Result<u8, Stop> {
    let rollback = file::read(path)?;
    let session = connect(&args.cluster).await?;
    let inventory = read::inventory(&session, &rollback.begin.namespace, &args.config_name).await?;
    read::must_have(&inventory, &["services"])?;
    file::belongs(path, &rollback, &inventory)?;
    let (mut same, mut others) = (0_usize, 0_usize);
    let is_text = args.report == Report::Text;
    let mut told = Vec::new();
    for before in rollback
        .services
        .iter()
        .filter(|kept| !kept.addresses.is_empty())
    {
        let now = inventory.services.iter().find(|service| {
            service.key.namespace() == before.namespace && service.key.name() == before.name
        });
        let title = format!("{}/{}", before.namespace, before.name);
        let had = before.addresses.join(", ");
        match now {
            Some(now) if now.addresses == before.addresses => same += 1,
            Some(now) => {
                let has = if now.addresses.is_empty() {
                    "nothing".to_owned()
                } else {
                    now.addresses.join(", ")
                };
                if is_text {
                    writeln!(outputs.out, "{title} had {had} and has {has}")?;
                }
                told.push(json!({"service": title, "had": before.addresses, "has": now.addresses}));
                others += 1;
            }
            None => {
                if is_text {
                    writeln!(
                        outputs.out,
                        "{title} had {had} and is gone, or of another type"
                    )?;
                }
                told.push(json!({"service": title, "had": before.addresses, "has": null}));
            }
        }
    }
    let status = if others > 0 { DIFFERENT } else { DONE };
    if !is_text {
        let report = json!({
            "since": rollback.begin.time,
            "same": same,
            "services": told,
        });
        tell(outputs, "services", report)?;
        return Ok(status);
    }
    writeln!(
        outputs.out,
        "{same} Services have the addresses of {}, {others} have others",
        rollback.begin.time
    )?;
    Ok(status)
}
