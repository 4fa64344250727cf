//! `ferrolb standalone DIR`: arguments → what standalone mode is started with, or a look at the one that runs.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "cli: text for whoever called"
)]

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::ValueEnum;
use ferrolb_compat::names;

use super::status;
use crate::cluster::directory;
use crate::logging::{Form, Journal, Threshold};
use crate::run::{self, standalone::Options};

/// Where Linux says the host's name.
const HOSTNAME: &str = "/proc/sys/kernel/hostname";

/// How long a status file may be, in octets; 100,000 Services need less.
const STATUS_LIMIT: u64 = 64 << 20;

/// Gives the Services in a folder of manifests their addresses and announces them on this host's interfaces.
///
/// DIR holds the manifests that a cluster would: the ConfigMap `config` (or its bare data in config.yaml), Services,
/// and where wanted Endpoints, EndpointSlices and Nodes; YAML or JSON. Changes take effect at once; a file that cannot
/// be read leaves in force what it last gave. A Service without Endpoints counts this host as ready. Assigned
/// addresses are kept in DIR/.ferrolb-state.json.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The folder of manifests
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Announce on this interface only (may be given several times); default: on all that are suitable
    #[arg(long = "interface", value_name = "IF")]
    interfaces: Vec<String>,
    /// This host's name among Nodes and in endpoints [default: the host name]
    #[arg(long, value_name = "NAME")]
    node_name: Option<String>,
    /// Name of the ConfigMap with the configuration
    #[arg(long, value_name = "NAME", default_value = names::DEFAULT_CONFIG_MAP)]
    config: String,
    /// Serve Services of this loadBalancerClass too
    #[arg(long, value_name = "CLASS")]
    lb_class: Option<String>,
    /// Also put announced addresses on the loopback, so that servers on this host answer (needs CAP_NET_ADMIN)
    #[arg(long)]
    bind: bool,
    /// Send nothing and keep nothing: print what would be announced, and where (needs no rights)
    #[arg(long, conflicts_with = "status")]
    dry_run: bool,
    /// Print what the running instance does, and end
    #[arg(long)]
    status: bool,
    /// With --status: how to print it
    #[arg(long, value_enum, default_value_t = Output::Table, requires = "status")]
    output: Output,
    /// Keep assigned addresses in this file [default: DIR/.ferrolb-state.json]
    #[arg(long, value_name = "FILE", conflicts_with = "ephemeral")]
    state: Option<PathBuf>,
    /// Do not keep assigned addresses: they can change at the next start
    #[arg(long)]
    ephemeral: bool,
    /// HTTP port of /metrics, /healthz and /readyz; 0: none [default: 7472, none in a dry run]
    #[arg(long)]
    port: Option<u16>,
    /// Address that the HTTP port binds to; empty: all
    #[arg(long, default_value = "127.0.0.1")]
    host: String,
    /// What to log: all, debug, info, warn, error or none
    #[arg(long, value_name = "LEVEL", default_value = "info", value_parser = threshold)]
    log_level: Threshold,
}

/// How a status is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Table,
    Json,
}

fn threshold(text: &str) -> Result<Threshold, String> {
    text.parse().map_err(|error| format!("{error}"))
}

/// Runs it.
pub(super) fn run(args: Args) -> ExitCode {
    if args.status {
        return show_status(&args);
    }
    let log_level = args.log_level;
    let dry_run = args.dry_run;
    let options = match options(args, std::fs::read_to_string(HOSTNAME).ok()) {
        Ok(options) => options,
        Err(text) => {
            eprintln!("ferrolb standalone: {text}");
            return ExitCode::from(2);
        }
    };
    if dry_run {
        // The table has stdout for itself.
        let terminal = std::io::stderr().is_terminal();
        let form = if terminal {
            Form::Terminal {
                // https://no-color.org
                colour: std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
            }
        } else {
            Form::Json
        };
        let journal = Journal::start(log_level, form, std::io::stderr());
        let mut last = None;
        let show: run::standalone::Show = Box::new(move |now| {
            match &last {
                None => print!("{}", status::table(now)),
                Some(before) => print!("{}", status::changes(before, now)),
            }
            // A pipe is not flushed by line ends.
            let _ = std::io::Write::flush(&mut std::io::stdout());
            last = Some(now.clone());
        });
        return run::program_with(journal, async |process| {
            run::standalone::main(options, process, Some(show)).await
        });
    }
    run::program(log_level, async |process| {
        run::standalone::main(options, process, None).await
    })
}

/// What the arguments mean.
fn options(args: Args, hostname: Option<String>) -> Result<Options, String> {
    let node_name = args
        .node_name
        .or_else(|| hostname.map(|name| name.trim().to_owned()))
        .filter(|name| !name.is_empty())
        .ok_or("this host has no name: give one with --node-name")?;
    let port = args
        .port
        .or((!args.dry_run).then_some(names::DEFAULT_METRICS_PORT));
    Ok(Options {
        dir: args.dir,
        interfaces: args.interfaces,
        node_name,
        config_map: args.config,
        load_balancer_class: args.lb_class,
        bind: args.bind,
        dry_run: args.dry_run,
        state: args.state,
        ephemeral: args.ephemeral,
        http: port.filter(|port| *port != 0).map(|port| (args.host, port)),
    })
}

/// Prints what the running instance has written last. Exit code 1 where none runs.
fn show_status(args: &Args) -> ExitCode {
    let dir = args.dir.display();
    let running = match directory::is_running(&args.dir) {
        Ok(running) => running,
        Err(error) => {
            eprintln!("ferrolb standalone: cannot open the folder {dir}: {error}");
            return ExitCode::FAILURE;
        }
    };
    let path = run::standalone::status_path(&args.dir, args.state.as_deref());
    let read = status::read(&path, STATUS_LIMIT);
    if running == Some(false) {
        match (&read, args.output) {
            (_, Output::Json) => println!("{{\"running\":false}}"),
            (Ok(last), Output::Table) => println!(
                "no instance runs on {dir}; the last one (pid {} on {}) was alive at {}",
                last.identity.pid, last.identity.node, last.updated
            ),
            (Err(_), Output::Table) => println!("no instance runs on {dir}"),
        }
        return ExitCode::FAILURE;
    }
    let status = match read {
        Ok(status) => status,
        Err(error) => {
            eprintln!(
                "ferrolb standalone: an instance runs on {dir}, but its status file {} cannot be read: {error}; if it was \
                 started with --state FILE, give that here too; one that has just started writes it within a second",
                path.display()
            );
            return ExitCode::FAILURE;
        }
    };
    match args.output {
        Output::Table => print!("{}", status::table(&status)),
        Output::Json => match status::json(&status) {
            Ok(text) => println!("{text}"),
            Err(error) => {
                eprintln!("ferrolb standalone: {error}");
                return ExitCode::FAILURE;
            }
        },
    }
    ExitCode::SUCCESS
}
