//! The programs: which tasks there are, which channels between them, and how large. It wires and decides nothing.
//!
//! ```text
//!  main thread      program(): log, runtime, signals; exit code
//!  2 workers        the controller's or the speaker's task, and the cluster's tasks
//!  thread "http"    probes and scrapes (`http`)
//!  thread "log"     stdout (`logging`)
//!  layer 2's own    answers (`layer2::driver`)
//! ```
//!
//! A panic anywhere ends the process, with a line in the log: half a speaker would hold addresses that it does not serve.

use std::future::Future;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::cli;
use crate::cli::flags::Common;
use crate::cluster::Change;
use crate::cluster::directory::config_file;
use crate::cluster::kubernetes::{self, Kubernetes};
use crate::http::{self, Health};
use crate::journal::{Level, Record};
use crate::logging::{Journal, Threshold, tracing_layer};
use crate::metrics::{self, Exposition, Registry, Type};
use crate::view::ObjectKey;

pub mod controller;
pub mod frr_metrics;
pub mod routing;
pub mod speaker;
pub mod standalone;

/// The workers of the runtime: the program's own task never waits for long, and the cluster's tasks are mostly idle.
/// More would only cost memory.
const WORKERS: usize = 2;

/// How long the log may take to get out at the end.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// What every program has.
#[derive(Debug, Clone)]
pub struct Process {
    /// The log.
    pub journal: Journal,
    /// Cancelled by the first SIGTERM or SIGINT.
    pub stop: CancellationToken,
}

/// What a driving task shares with the rest of its program.
#[derive(Debug)]
pub struct Seat<M> {
    /// The log.
    pub journal: Journal,
    /// Where its figures are put down.
    pub metrics: Arc<M>,
    /// Where its health is put down.
    pub health: Arc<Health>,
    /// When cancelled, the task ends.
    pub stop: CancellationToken,
}

impl<M> Clone for Seat<M> {
    fn clone(&self) -> Self {
        Self {
            journal: self.journal.clone(),
            metrics: self.metrics.clone(),
            health: self.health.clone(),
            stop: self.stop.clone(),
        }
    }
}

/// Why a driving task has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It was told to.
    Stopped,
    /// Nobody will tell of changes any more: the source is gone.
    SourceGone,
}

/// Runs a program: sets up its log, its runtime and its signals, and makes its end an exit code.
///
/// The first SIGTERM or SIGINT asks `main` to end, the second ends the process. An error of `main` is logged and
/// is exit code 1.
pub fn program<F, M>(log_level: Threshold, main: F) -> ExitCode
where
    F: FnOnce(Process) -> M,
    M: Future<Output = anyhow::Result<()>>,
{
    program_with(Journal::on_stdout(log_level), main)
}

/// Runs a program as [`program`] does, with a log of its own.
pub fn program_with<F, M>(journal: std::io::Result<Journal>, main: F) -> ExitCode
where
    F: FnOnce(Process) -> M,
    M: Future<Output = anyhow::Result<()>>,
{
    let journal = match journal {
        Ok(journal) => journal,
        // No thread for the log: nothing can be said in the usual way, and nothing would work.
        Err(_) => return ExitCode::FAILURE,
    };
    end_at_panic(journal.clone());
    // Somebody has installed another subscriber only in tests.
    let _ = tracing::subscriber::set_global_default(tracing_layer(journal.clone()));
    let ended = match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .max_blocking_threads(4)
        .thread_name("worker")
        .enable_all()
        .build()
    {
        Ok(runtime) => {
            let process = Process {
                journal: journal.clone(),
                stop: CancellationToken::new(),
            };
            let ended = runtime.block_on(async {
                watch_signals(&process)?;
                main(process).await
            });
            // What is still under way has no one to report to.
            runtime.shutdown_background();
            ended
        }
        Err(error) => Err(error.into()),
    };
    let code = match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            journal.write(Record::failed(
                "startup",
                chain(&error),
                "the program cannot go on",
            ));
            ExitCode::FAILURE
        }
    };
    journal.flush(LAST_WORDS);
    code
}

/// The first signal cancels `stop`; the second ends the process at once.
fn watch_signals(process: &Process) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let Process { journal, stop } = process.clone();
    tokio::spawn(async move {
        let mut next = async || {
            tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            }
        };
        let name = next().await;
        journal.write(Record::event("shutdown", "a signal asks to end").with("signal", name));
        stop.cancel();
        let name = next().await;
        journal.write(
            Record::event("shutdown", "a second signal: ending at once")
                .at(Level::Warn)
                .with("signal", name),
        );
        journal.flush(Duration::from_millis(50));
        std::process::exit(1);
    });
    Ok(())
}

/// A panic is logged and ends the process, whichever thread it is in.
fn end_at_panic(journal: Journal) {
    std::panic::set_hook(Box::new(move |panic| {
        let place = panic.location().map_or_else(
            || "an unknown place".to_owned(),
            |location| format!("{}:{}", location.file(), location.line()),
        );
        let message = panic
            .payload_as_str()
            .unwrap_or("it does not say why")
            .to_owned();
        journal.write(
            Record::failed(
                "panic",
                message,
                "a fault in FerroLB itself: the process ends",
            )
            .with("place", place),
        );
        journal.flush(LAST_WORDS);
        std::process::exit(101);
    }));
}

/// What an error says, and its causes as far as they say more.
fn chain(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

/// The first line of a program.
fn say_start(program: &str, common: &Common, journal: &Journal) {
    let mut record = Record::event("startup", format!("FerroLB {program} starts"))
        .with("version", cli::VERSION)
        .with("commit", cli::COMMIT.unwrap_or("unknown"))
        .with("namespace", &common.namespace);
    record = match &common.config_file {
        Some(path) => record.with("configFile", path.display()),
        None => record.with(
            "configmap",
            format!("{}/{}", common.namespace, common.config_map),
        ),
    };
    journal.write(record);
    if !common.ignored.is_empty() {
        journal.write(
            Record::event(
                "argumentsIgnored",
                "words after the flags mean nothing here",
            )
            .at(Level::Warn)
            .with("arguments", common.ignored.join(" ")),
        );
    }
}

/// The cluster's own figures, from when it is connected: nothing before.
fn cluster_figures(
    connected: Arc<OnceLock<Kubernetes>>,
) -> impl Fn(&mut Exposition) + Send + Sync + 'static {
    move |out| {
        if let Some(cluster) = connected.get() {
            out.family(
                "ferrolb_events_dropped_total",
                Type::Counter,
                "Kubernetes Events that were dropped because they came faster than the API server takes them.",
            )
            .sample(&[], metrics::float(cluster.events_dropped()));
        }
    }
}

/// Opens the HTTP port and says where.
///
/// # Errors
///
/// The port cannot be opened; the text says where and why.
pub fn serve_http(
    params: &http::Params,
    registry: Registry,
    health: Arc<Health>,
    journal: &Journal,
) -> Result<(), http::StartError> {
    let server = http::start(params, registry, health)?;
    journal.write(
        Record::event("httpListening", "serving /metrics, /healthz and /readyz")
            .at(Level::Debug)
            .with("address", server.address()),
    );
    Ok(())
}

/// The changes of a cluster whose configuration comes from `-config-file`, if that is wanted: the file's in addition.
///
/// Ends when the cluster's changes end. Each side's changes stay in their order; what waits here is one change, so that
/// a full consumer still makes the watches wait.
fn with_config_file(
    cluster: mpsc::Receiver<Change>,
    common: &Common,
    journal: &Journal,
) -> mpsc::Receiver<Change> {
    let Some(path) = &common.config_file else {
        return cluster;
    };
    let key = ObjectKey::new(&common.namespace, &common.config_map);
    let file = config_file::watch(path, key, as_function(journal));
    merge(cluster, file)
}

/// Both sources' changes, until the first of them ends; the second may end before.
fn merge(
    mut leading: mpsc::Receiver<Change>,
    mut other: mpsc::Receiver<Change>,
) -> mpsc::Receiver<Change> {
    let (sender, merged) = mpsc::channel(1);
    tokio::spawn(async move {
        loop {
            let change = tokio::select! {
                () = sender.closed() => return,
                change = leading.recv() => match change {
                    Some(change) => change,
                    None => return,
                },
                Some(change) = other.recv() => change,
            };
            if sender.send(change).await.is_err() {
                return;
            }
        }
    });
    merged
}

/// The log as the cluster's side takes it.
pub fn as_function(journal: &Journal) -> kubernetes::Journal {
    let journal = journal.clone();
    Arc::new(move |record| journal.write(record))
}

fn kubernetes_params(
    common: &Common,
    component: &'static str,
    host: String,
    speaker_labels: Option<String>,
) -> kubernetes::Params {
    kubernetes::Params {
        kubeconfig: common.kubeconfig.clone(),
        namespace: common.namespace.clone(),
        config_map: common.config_map.clone(),
        config_file: common.config_file.clone(),
        disable_endpoint_slices: common.disable_endpoint_slices,
        user_agent: concat!("ferrolb/", env!("CARGO_PKG_VERSION")),
        speaker_labels,
        component,
        host,
    }
}

#[cfg(test)]
mod tests;
