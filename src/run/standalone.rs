//! The program `standalone`: controller and speaker of one host, on a folder of manifests.
//!
//! ```text
//!  cluster::directory ── Change ──> tee ──┬─> controller::drive ── write_status ──> cluster::directory
//!                                         └─> speaker::drive ── Command ──> layer 2, BGP, BFD, and with --bind the loopback
//!  tee's objects, announcements, Events ──> status: a file beside the state file, or the terminal in a dry run
//! ```
//!
//! Same controller and speaker as on Kubernetes; what differs is where objects come from, and that a Service without
//! Endpoints counts this host as ready.
//!
//! Channels: each way of the tee has room for `ROOM` changes; a full one makes the folder's task wait, nothing is lost.
//!
//! Cancel: the speaker withdraws, layer 2 and the loopback are cleared, the state is saved; milliseconds.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use self::bind::Loopback;
use self::status::{Facts, Identity, Status};
use super::routing::{Ending, Routing};
use super::speaker::Protocol;
use super::{Ended, Process, Seat};
use crate::cluster::directory::{self, Directory, Persistence, STATE_FILE};
use crate::cluster::{Change, Kind};
use crate::controller::{self, Controller};
use crate::http::{self, Health};
use crate::journal::{Level, Record};
use crate::layer2::driver::Layer2;
use crate::layer2::{self, Command};
use crate::logging::Journal;
use crate::memberlist::driver::Gossip;
use crate::metrics::{self, Registry};
use crate::speaker::{self, Speaker};

mod bind;
pub mod status;

/// Changes that wait for the controller or the speaker, which never wait themselves.
const ROOM: usize = 256;

/// Name of the status file in the folder, unless the state file is elsewhere.
const STATUS_FILE: &str = ".ferrolb-status.json";

/// What standalone mode is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The folder of manifests.
    pub dir: PathBuf,
    /// The only interfaces to announce on; empty: all that are suitable.
    pub interfaces: Vec<String>,
    /// This host's name among Nodes and in endpoints.
    pub node_name: String,
    /// Name of the ConfigMap.
    pub config_map: String,
    /// The `spec.loadBalancerClass` that is ours besides none.
    pub load_balancer_class: Option<String>,
    /// Also put announced addresses on the loopback.
    pub bind: bool,
    /// Do everything but sending frames and keeping state.
    pub dry_run: bool,
    /// Where addresses are kept; `None`: in the folder.
    pub state: Option<PathBuf>,
    /// Keep no addresses.
    pub ephemeral: bool,
    /// Where HTTP is served; `None`: nowhere.
    pub http: Option<(String, u16)>,
}

/// Where the instance on a folder keeps its status, if it keeps any.
#[must_use]
pub fn status_path(dir: &Path, state: Option<&Path>) -> PathBuf {
    match state {
        None => dir.join(STATUS_FILE),
        Some(state) => {
            let mut name = state.file_name().unwrap_or_default().to_os_string();
            name.push(".status");
            state.with_file_name(name)
        }
    }
}

/// Shows each status in turn, in a dry run.
pub type Show = Box<dyn FnMut(&Status) + Send>;

/// A right is missing.
#[derive(Debug, thiserror::Error)]
enum RightsError {
    #[error(
        "announcing needs the right CAP_NET_RAW: start it with sudo, or give the right to the program once and for all \
         (`sudo setcap cap_net_raw{and_admin}+ep {program}`); --dry-run shows what would be announced without any right"
    )]
    Raw {
        program: String,
        and_admin: &'static str,
        #[source]
        source: layer2::driver::StartError,
    },
    #[error(
        "--bind needs the right CAP_NET_ADMIN, to put addresses on the loopback: start it with sudo, or give the right to \
         the program once and for all (`sudo setcap cap_net_raw,cap_net_admin+ep {program}`), or leave --bind out"
    )]
    Admin { program: String },
}

/// Runs standalone mode from its options to its end. `show` is for a dry run.
///
/// # Errors
///
/// It cannot begin: the folder, the state file, a right, the HTTP port.
pub async fn main(options: Options, process: Process, show: Option<Show>) -> anyhow::Result<()> {
    let Process { journal, stop } = process;
    say_start(&options, &journal);
    let node: Arc<str> = Arc::from(options.node_name.as_str());
    let (directory, driver) = open(&options, node.clone(), &journal).await?;

    let (report, reports) = mpsc::channel(super::speaker::REPORTS);
    let layer2_params = layer2::driver::Params {
        interfaces: Some(options.interfaces.clone()).filter(|names| !names.is_empty()),
        loopback_is_ours: options.bind,
    };
    let announcer = if options.dry_run {
        None
    } else {
        if options.bind && !bind::permitted() {
            return Err(RightsError::Admin { program: program() }.into());
        }
        Some(Arc::new(start_layer2(
            layer2_params.clone(),
            report,
            options.bind,
        )?))
    };
    let routing = match options.dry_run {
        true => None,
        false => Some(Routing::start()?),
    };
    let bgp_figures = routing.as_ref().map(|routing| routing.bgp.figures());
    let loopback = match options.bind && !options.dry_run {
        true => Some(
            Loopback::start(journal.clone())
                .await
                .context("--bind: cannot reach the loopback by netlink")?,
        ),
        false => None,
    };

    let figures = Arc::new(metrics::Speaker::new(node.clone()));
    let controllers_figures = Arc::new(metrics::Controller::default());
    let health = Arc::new(Health::new(&[
        Kind::ConfigMap,
        Kind::Services,
        Kind::Endpoints,
    ]));
    if let Some((host, port)) = &options.http {
        let mut registry = Registry::of_process("standalone", journal.clone());
        // Both have the figures of a Kubernetes client; the later ones count: the controller's.
        registry.add(figures.clone());
        registry.add(controllers_figures.clone());
        if let Some(announcer) = &announcer {
            registry.add(super::speaker::layer2_figures(announcer));
        }
        if let Some(routing) = &routing {
            routing.register(&mut registry);
        }
        super::serve_http(
            &http::Params {
                host: host.clone(),
                port: *port,
                profiling: false,
            },
            registry,
            health.clone(),
            &journal,
        )
        .context("choose another port with --port, or none with --port 0")?;
    }

    // The folder's task outlives the others, so that their last words are kept.
    let folder_stop = CancellationToken::new();
    let (changes, tee_in) = mpsc::channel(ROOM);
    let folder = tokio::spawn(driver.run(changes, folder_stop.clone()));
    let (to_controller, controllers_changes) = mpsc::channel(ROOM);
    let (to_speaker, speakers_changes) = mpsc::channel(ROOM);
    let facts = Arc::new(Mutex::new(Facts::default()));
    tokio::spawn(tee(tee_in, to_controller, to_speaker, facts.clone()));

    let controller = tokio::spawn(super::controller::drive(
        Controller::new(controller::Params {
            load_balancer_class: options.load_balancer_class.clone(),
        }),
        controllers_changes,
        directory.clone(),
        Seat {
            journal: journal.clone(),
            metrics: controllers_figures.clone(),
            health: health.clone(),
            stop: stop.clone(),
        },
    ));
    let reporter = tokio::spawn(
        status::Reporter {
            identity: Identity::new(&options, &node),
            facts,
            directory: directory.clone(),
            controller: controllers_figures,
            speaker: figures.clone(),
            layer2: layer2_params,
            bgp: bgp_figures,
            load_balancer_class: options.load_balancer_class.clone(),
            path: (!options.dry_run).then(|| status_path(&options.dir, options.state.as_deref())),
            show,
            journal: journal.clone(),
        }
        .run(stop.clone()),
    );

    let send = |command: Command| {
        if let Some(announcer) = &announcer {
            announcer.send(command);
        }
        if let Some(loopback) = &loopback {
            loopback.send(command);
        }
    };
    let ending = Ending::watch(&stop);
    let (bgp, bgp_reports, bfd, bfd_reports) = match routing {
        Some(routing) => (
            Some(routing.bgp),
            routing.bgp_reports,
            Some(routing.bfd),
            routing.bfd_reports,
        ),
        // Nobody speaks: a channel that is closed says nothing.
        None => (None, mpsc::channel(1).1, None, mpsc::channel(1).1),
    };
    let to_loopback = loopback.as_ref().map(Loopback::routed);
    let ended = super::speaker::drive(
        Speaker::new(speaker::Params {
            node_name: node.clone(),
            without_endpoints_ready: true,
            bgp_type: speaker::BgpType::default(),
        }),
        node,
        speakers_changes,
        super::speaker::World {
            cluster: directory,
            layer2: Protocol { send, reports },
            interfaces: announcer.as_ref().map(super::speaker::only_on),
            bgp: Protocol {
                send: |command| {
                    if let Some(bgp) = &bgp {
                        bgp.send(command);
                    }
                },
                reports: bgp_reports,
            },
            bfd: Protocol {
                send: |command| {
                    if let Some(bfd) = &bfd {
                        bfd.send(command);
                    }
                },
                reports: bfd_reports,
            },
            announced: to_loopback,
            gossip: None::<Arc<Gossip>>,
        },
        Seat {
            journal: journal.clone(),
            metrics: figures,
            health,
            stop: stop.clone(),
        },
    )
    .await;

    stop.cancel();
    if let Some(announcer) = announcer.and_then(Arc::into_inner) {
        announcer.shutdown();
    }
    if let (Some(bgp), Some(bfd)) = (bgp, bfd) {
        ending.last_words(bgp, bfd).await;
    }
    if let Some(loopback) = loopback {
        loopback.shutdown().await;
    }
    let _ = controller.await;
    folder_stop.cancel();
    // A disk that hangs must not keep the program: what is unsaved was said.
    let _ = tokio::time::timeout(Duration::from_secs(2), folder).await;
    let _ = reporter.await;
    match ended {
        Ended::Stopped => Ok(()),
        Ended::SourceGone => Err(anyhow::anyhow!("the watch of the folder has ended")),
    }
}

fn say_start(options: &Options, journal: &Journal) {
    journal.write(
        Record::event("startup", "FerroLB standalone starts")
            .with("version", crate::cli::VERSION)
            .with("commit", crate::cli::COMMIT.unwrap_or("unknown"))
            .with("directory", options.dir.display())
            .with("node", &options.node_name),
    );
    if options.dry_run {
        journal.write(Record::event(
            "dryRun",
            "dry run: nothing is sent, no address is bound, and no state is kept unless --state names a file",
        ));
    } else if options.ephemeral {
        journal.write(
            Record::event(
                "ephemeral",
                "--ephemeral: assigned addresses are not kept and can change at the next start",
            )
            .at(Level::Warn),
        );
    }
}

async fn open(
    options: &Options,
    node_name: Arc<str>,
    journal: &Journal,
) -> Result<(Directory, directory::Driver), directory::OpenError> {
    let default = options.dir.join(STATE_FILE);
    let persistence = match (&options.state, options.dry_run) {
        _ if options.ephemeral => Persistence::Ephemeral,
        (Some(path), _) => Persistence::File(path.clone()),
        (None, false) => Persistence::File(default),
        (None, true) => Persistence::ReadOnly(default),
    };
    let log = journal.clone();
    Directory::open(
        directory::Options {
            dir: options.dir.clone(),
            config_name: options.config_map.clone(),
            node_name,
            persistence,
            exclusive: !options.dry_run,
            own_files: vec![status_path(&options.dir, options.state.as_deref())],
        },
        Arc::new(move |record| log.write(record)),
    )
    .await
}

fn start_layer2(
    params: layer2::driver::Params,
    report: mpsc::Sender<layer2::Report>,
    bind: bool,
) -> anyhow::Result<Layer2> {
    match Layer2::start(params, report) {
        Ok(layer2) => Ok(layer2),
        Err(source @ layer2::driver::StartError::Forbidden(_)) => Err(RightsError::Raw {
            program: program(),
            and_admin: if bind { ",cap_net_admin" } else { "" },
            source,
        }
        .into()),
        Err(other) => Err(other.into()),
    }
}

/// This program's file, for a command that names it.
fn program() -> String {
    std::env::current_exe().map_or_else(
        |_: io::Error| "/path/to/ferrolb".to_owned(),
        |path| path.display().to_string(),
    )
}

/// Gives every change to the controller, the speaker and the status table.
async fn tee(
    mut changes: mpsc::Receiver<Change>,
    controller: mpsc::Sender<Change>,
    speaker: mpsc::Sender<Change>,
    facts: Arc<Mutex<Facts>>,
) {
    while let Some(change) = changes.recv().await {
        status::locked(&facts).take(&change);
        if controller.send(change.clone()).await.is_err() || speaker.send(change).await.is_err() {
            return;
        }
    }
}
