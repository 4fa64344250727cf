//! `ferrolb migrate services`: who is touched, and whether everybody kept their addresses.

use std::path::Path;

use serde_json::{Value, json};

use super::super::DIFFERENT;
use super::{DONE, LiveArgs, Outputs, Report, Stop, connect, file, read, word};
use crate::cli::VERSION;
use crate::migrate::live::inventory::Inventory;
use crate::migrate::live::services::Touched;

/// A table for people, or a report for programs.
pub(super) fn show(
    args: &LiveArgs,
    inventory: &Inventory,
    touched: &[Touched],
    outputs: &mut Outputs<'_>,
) -> Result<(), Stop> {
    let all = inventory.services.len();
    if args.report != Report::Text {
        let report = json!({
            "tool": format!("ferrolb {VERSION}"),
            "target": args.target().to_string(),
            "looked": all,
            "services": json(touched),
        });
        writeln!(outputs.out, "{report}")?;
        return Ok(());
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
pub(super) async fn kept(
    args: &LiveArgs,
    path: &Path,
    outputs: &mut Outputs<'_>,
) -> Result<u8, Stop> {
    let rollback = file::read(path)?;
    let session = connect(&args.cluster).await?;
    let inventory = read::inventory(&session, &rollback.begin.namespace, &args.config_name).await?;
    read::must_have(&inventory, &["services"])?;
    file::belongs(path, &rollback, &inventory)?;
    let (mut same, mut others) = (0_usize, 0_usize);
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
                writeln!(outputs.out, "{title} had {had} and has {has}")?;
                others += 1;
            }
            None => writeln!(
                outputs.out,
                "{title} had {had} and is gone, or of another type"
            )?,
        }
    }
    writeln!(
        outputs.out,
        "{same} Services have the addresses of {}, {others} have others",
        rollback.begin.time
    )?;
    Ok(if others > 0 { DIFFERENT } else { DONE })
}
