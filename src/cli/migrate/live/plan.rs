//! `ferrolb migrate plan`: what a migration would do, in which order, and whom it touches.

use std::io::{self, Read};

use serde_json::json;

use super::{
    LiveArgs, Outputs, Report, Situation, Stop, connect, services, situation, tell, wanted, word,
};
use crate::cluster::kubernetes::session::Session;
use crate::migrate::Level;
use crate::migrate::live::plan;

/// Say what a migration would do with this cluster, in which order, and whom it touches
///
/// Reads the cluster and changes nothing. Exits with 0 if it is done, 1 if MetalLB 0.12 would not run the input, 2 if the command line
/// is wrong, 3 if there are findings as of --fail-on, 4 if the target cannot express the configuration, 6 if the cluster or a
/// file cannot be read.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    live: LiveArgs,
}

/// Reads, plans, and returns the exit status.
pub(super) async fn run(
    args: &PlanArgs,
    stdin: &mut dyn Read,
    outputs: &mut Outputs<'_>,
) -> Result<u8, Stop> {
    let args = &args.live;
    let session = connect(&args.cluster).await?;
    let situation = situation(args, &session, Level::Info, stdin, outputs).await?;
    let allow = args.allowed();
    let wanted = wanted(args, &situation.converted, &situation.touched, &allow);
    let mode = situation.converted.mode;
    let plan = plan::plan(&plan::Situation {
        inventory: &situation.inventory,
        wanted: &wanted,
        changes: &situation.changes,
        mode,
        config_name: &args.config_name,
        options: &args.repeated(mode),
    });
    match args.report {
        Report::Text => show_plan(outputs, args, &session, &situation, &plan)?,
        _ => {
            let report = plan_json(args, &session, &situation, &plan);
            tell(outputs, "plan", report)?;
        }
    }
    let levels = plan.remarks.iter().map(|remark| remark.level);
    let levels = levels.chain(situation.touched.iter().map(|touched| touched.how.level()));
    let worst = levels.chain(situation.converted.conversion.worst()).max();
    Ok(args.status(worst))
}

fn show_plan(
    outputs: &mut Outputs<'_>,
    args: &LiveArgs,
    session: &Session,
    situation: &Situation,
    plan: &plan::Plan,
) -> io::Result<()> {
    let Situation {
        inventory,
        converted,
        ..
    } = situation;
    let out = &mut outputs.out;
    writeln!(
        out,
        "cluster   {}, Kubernetes {}, namespace {}",
        session.server, session.version, inventory.namespace
    )?;
    for program in &inventory.programs {
        writeln!(
            out,
            "today     {}, {}, {} of {} running",
            program.workload, program.image, program.running, program.wanted
        )?;
    }
    let (pools, peers) = (converted.config.pools.len(), converted.config.peers.len());
    writeln!(out, "config    {pools} pools, {peers} peers")?;
    writeln!(
        out,
        "target    MetalLB {}, BGP mode {}",
        args.target(),
        converted.mode
    )?;
    let served = inventory.services.len();
    writeln!(
        out,
        "services  {served} of type LoadBalancer, {} with an address",
        plan.endangered.len()
    )?;
    for what in &inventory.unread {
        writeln!(out, "not read  {what}")?;
    }
    for remark in &plan.remarks {
        write!(
            out,
            "{} {}: {}",
            word(remark.level),
            remark.code,
            remark.message
        )?;
        if remark.help.is_empty() {
            writeln!(out)?;
        } else {
            writeln!(out, " ({})", remark.help)?;
        }
    }
    for (index, step) in plan.steps.iter().enumerate() {
        writeln!(
            out,
            "\n{}. [{}] {}",
            index + 1,
            step.state.as_str(),
            step.title
        )?;
        for note in &step.notes {
            writeln!(out, "   {note}")?;
        }
        for command in &step.commands {
            writeln!(out, "   $ {command}")?;
        }
    }
    if !plan.endangered.is_empty() {
        writeln!(
            out,
            "\nIf the new controller came before the resources (step 7 before step 4), these would lose their addresses:"
        )?;
        for (service, addresses) in plan.endangered.iter().take(SHOWN) {
            writeln!(out, "   {service}  {}", addresses.join(", "))?;
        }
        let more = plan.endangered.len().saturating_sub(SHOWN);
        if more > 0 {
            writeln!(
                out,
                "   and {more} more: ferrolb migrate plan --report json"
            )?;
        }
    }
    Ok(())
}

/// The most Services that a text lists.
const SHOWN: usize = 20;

fn plan_json(
    args: &LiveArgs,
    session: &Session,
    situation: &Situation,
    plan: &plan::Plan,
) -> serde_json::Value {
    let steps: Vec<_> = plan
        .steps
        .iter()
        .enumerate()
        .map(|(index, step)| {
            json!({"number": index + 1, "title": step.title, "state": step.state.as_str(),
                "notes": step.notes, "commands": step.commands})
        })
        .collect();
    let remarks = plan.remarks.iter().map(|remark| {
        json!({"code": remark.code, "severity": word(remark.level), "message": remark.message, "fix": remark.help})
    });
    let diagnostics = situation.converted.conversion.findings.iter().map(|finding| {
        let diagnostic = &finding.diagnostic;
        json!({"code": diagnostic.code, "severity": word(finding.level), "line": diagnostic.line,
            "column": diagnostic.column, "path": diagnostic.path, "message": diagnostic.message,
            "fix": diagnostic.help})
    });
    let programs: Vec<_> = situation
        .inventory
        .programs
        .iter()
        .map(|program| {
            json!({"workload": program.workload, "image": program.image, "pods": program.running})
        })
        .collect();
    let endangered: Vec<_> = plan
        .endangered
        .iter()
        .map(|(service, addresses)| json!({"service": service, "addresses": addresses}))
        .collect();
    json!({
        "target": args.target().to_string(),
        "bgpMode": situation.converted.mode.as_str(),
        "cluster": {"server": session.server, "kubernetes": session.version,
            "namespace": situation.inventory.namespace, "programs": programs},
        "steps": steps,
        "services": services::json(&situation.touched),
        "endangered": endangered,
        "unread": situation.inventory.unread,
        "diagnostics": diagnostics.chain(remarks).collect::<Vec<_>>(),
    })
}
