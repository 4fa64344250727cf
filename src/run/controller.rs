//! The controller's program: a cluster's changes in, status writes and Events out.
//!
//! ```text
//!  cluster ── Change (bounded by the cluster) ──> drive ── spawn ──> up to WRITES writers ── Cluster::write_status
//!                                                   ^                     │
//!                                                   └──── WriteOutcome ───┘
//!  drive ── Record ──> Cluster::record            drive ── Log ──> Journal            drive ── Stats ──> metrics
//! ```
//!
//! Nothing is lost where a write is superseded: it lost against a newer version of its Service, and the cluster owes
//! that version as a [`Change`], on which the controller decides again. The cluster's watches deliver it at the latest
//! when they list again.
//!
//! Cancel: [`drive`] ends at once; writes under way are dropped. The next start finds in each status what was written.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use self::writes::Writes;
use super::{Ended, Process, Seat};
use crate::cli::controller::Options;
use crate::cluster::kubernetes::{Interests, Kubernetes, Services};
use crate::cluster::{Change, Cluster, Kind, WriteError, kubernetes};
use crate::controller::{Controller, Effect, Event, Params, WriteOutcome};
use crate::http::{self, Health};
use crate::journal::{Level, Record};
use crate::logging::Journal;
use crate::metrics::{self, Registry, WriteEnd};
use crate::view::{ObjectKey, StatusWrite};

mod writes;

/// Status writes under way at once. An API server answers a write in 2 to 10 ms, most of it in etcd's fsync, which
/// serves many at a time: so many keep it busy, and each costs one connection.
pub const WRITES: usize = 32;

/// Changes that are taken between two looks at everything else.
const BATCH: usize = 256;

/// Batches after which [`Event::Settled`] is said although changes still come.
const BATCHES_UNTIL_SETTLED: u32 = 16;

/// How long a Service's write rests after the cluster could not be reached, beyond what the cluster itself has waited.
const REST: Duration = Duration::from_secs(1);

/// How often the Deployment is asked for its replicas.
const REPLICAS: Duration = Duration::from_secs(600);

/// How long the memberlist secret rests after a failure: at first, and at most.
const SECRET_RETRY: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(300));

/// Runs a controller on a cluster's changes until it is told to stop.
pub async fn drive<C: Cluster>(
    controller: Controller,
    mut changes: mpsc::Receiver<Change>,
    cluster: C,
    seat: Seat<metrics::Controller>,
) -> Ended {
    let mut driver = Driver {
        controller,
        cluster,
        seat,
        writes: Writes::new(WRITES),
        writers: JoinSet::new(),
        services_synced: false,
    };
    let mut beat = tokio::time::interval(Duration::from_secs(1));
    let mut batches = 0;
    loop {
        driver.seat.health.beat();
        tokio::select! {
            biased;
            () = driver.seat.stop.cancelled() => return Ended::Stopped,
            Some(ended) = driver.writers.join_next() => driver.end_write(ended),
            change = changes.recv() => match change {
                Some(change) => driver.take(change),
                None => return Ended::SourceGone,
            },
            _ = beat.tick() => continue,
        }
        // What else has come meanwhile, so that a burst is settled once.
        for _ in 0..BATCH {
            if let Some(ended) = driver.writers.try_join_next() {
                driver.end_write(ended);
            } else if let Ok(change) = changes.try_recv() {
                driver.take(change);
            } else {
                break;
            }
        }
        batches += 1;
        if changes.is_empty() || batches >= BATCHES_UNTIL_SETTLED {
            batches = 0;
            driver.handle(Event::Settled);
        }
        driver.seat.metrics.publish(driver.controller.stats());
    }
}

struct Driver<C> {
    controller: Controller,
    cluster: C,
    seat: Seat<metrics::Controller>,
    writes: Writes,
    writers: JoinSet<(ObjectKey, WriteOutcome)>,
    services_synced: bool,
}

impl<C: Cluster> Driver<C> {
    fn take(&mut self, change: Change) {
        let event = match change {
            Change::ConfigMap(map) => Event::ConfigMap(map),
            Change::ConfigMapGone => Event::ConfigMapGone,
            Change::Service(service) => Event::Service(service),
            Change::ServiceGone(key) => Event::ServiceGone(key),
            Change::Synced(kind) => {
                self.seat.health.known(kind);
                // Later complete lists are no news: what was gone in them has been told.
                if kind != Kind::Services || self.services_synced {
                    return;
                }
                self.services_synced = true;
                Event::ServicesSynced
            }
            // A cluster that feeds a speaker too tells of these; the controller does not look at them.
            Change::Endpoints(_)
            | Change::EndpointsGone(_)
            | Change::Node(_)
            | Change::NodeGone(_)
            | Change::Speakers(_)
            | Change::SpeakerAddresses(_) => return,
        };
        self.handle(event);
    }

    fn handle(&mut self, event: Event) {
        self.controller.handle(event);
        while let Some(effect) = self.controller.poll_effect() {
            match effect {
                Effect::WriteStatus(write) => self.writes.ask(write),
                Effect::Record(event) => self.cluster.record(event),
                Effect::Log(record) => self.seat.journal.write(record),
            }
        }
        while let Some(write) = self.writes.begin() {
            self.writers
                .spawn(write_status(self.cluster.clone(), write));
        }
    }

    fn end_write(&mut self, ended: Result<(ObjectKey, WriteOutcome), tokio::task::JoinError>) {
        // A writer that panics ends the process, and none is cancelled while this runs.
        let Ok((key, outcome)) = ended else {
            return;
        };
        self.seat.metrics.count_write(match outcome {
            WriteOutcome::Written => WriteEnd::Written,
            WriteOutcome::Superseded => WriteEnd::Superseded,
            WriteOutcome::Refused(_) => WriteEnd::Refused,
            WriteOutcome::Unavailable(_) => WriteEnd::Unavailable,
        });
        self.writes.end(&key);
        self.handle(Event::StatusWrite(key, outcome));
    }
}

/// One writer: ends with what became of the write.
#[expect(
    clippy::disallowed_methods,
    reason = "driver: an API server that is away must not be asked in a tight circle"
)]
async fn write_status<C: Cluster>(cluster: C, write: StatusWrite) -> (ObjectKey, WriteOutcome) {
    let key = write.key.clone();
    let outcome = match cluster.write_status(write).await {
        Ok(()) => WriteOutcome::Written,
        Err(WriteError::Conflict | WriteError::Gone) => WriteOutcome::Superseded,
        Err(WriteError::Refused(why)) => WriteOutcome::Refused(why),
        Err(WriteError::Unavailable(why)) => {
            tokio::time::sleep(REST).await;
            WriteOutcome::Unavailable(why)
        }
    };
    (key, outcome)
}

/// The program `controller`: from its options to its end.
///
/// # Errors
///
/// It cannot begin (the HTTP port, the API server), or the source of changes is gone.
pub async fn main(options: Options, process: Process) -> anyhow::Result<()> {
    let Process { journal, stop } = process;
    let common = &options.common;
    super::say_start("controller", common, &journal);

    let figures = Arc::new(metrics::Controller::default());
    let health = Arc::new(Health::new(&[Kind::ConfigMap, Kind::Services]));
    let mut registry = Registry::of_process("controller", journal.clone());
    registry.add(figures.clone());
    let connected = Arc::new(OnceLock::new());
    registry.add(super::cluster_figures(connected.clone()));
    super::serve_http(
        &http::Params {
            host: String::new(),
            port: common.port,
            profiling: common.profiling,
        },
        registry,
        health.clone(),
        &journal,
    )?;

    let params = super::kubernetes_params(common, "metallb-controller", String::new(), None);
    let interests = Interests {
        services: Services::Full,
        endpoints: false,
        nodes: false,
        speakers: false,
    };
    let connect = Kubernetes::start(params, interests, super::as_function(&journal));
    let (cluster, changes) = tokio::select! {
        () = stop.cancelled() => return Ok(()),
        done = connect => done?,
    };
    let _ = connected.set(cluster.clone());
    let changes = super::with_config_file(changes, common, &journal);
    if let Some(deployment) = options.deployment.clone() {
        tokio::spawn(watch_replicas(cluster.clone(), deployment, journal.clone()));
    }
    if let Some(secret) = options.memberlist_secret.clone() {
        let deployment = options.deployment.clone().unwrap_or_default();
        tokio::spawn(ensure_secret(
            cluster.clone(),
            secret,
            deployment,
            journal.clone(),
        ));
    }
    let controller = Controller::new(Params {
        load_balancer_class: options.load_balancer_class.clone(),
    });
    let seat = Seat {
        journal,
        metrics: figures,
        health,
        stop,
    };
    match drive(controller, changes, cluster, seat).await {
        Ended::Stopped => Ok(()),
        Ended::SourceGone => Err(anyhow::anyhow!("the watches of the API server have ended"))
            .context("nothing would be noticed any more"),
    }
}

/// Says loudly that several controllers run: each would give away what another has given.
#[expect(clippy::disallowed_methods, reason = "driver: asks every ten minutes")]
async fn watch_replicas(cluster: Kubernetes, deployment: String, journal: Journal) {
    let mut said_unknown = false;
    loop {
        match cluster.replicas_of(&deployment).await {
            Ok(replicas) if replicas > 1 => journal.write(
                Record::event(
                    "severalControllers",
                    format!(
                        "the Deployment {deployment} asks for {replicas} controllers: they do not know of one another \
                         and can give one address to two Services; scale it to 1"
                    ),
                )
                .at(Level::Error)
                .with("replicas", replicas),
            ),
            Ok(_) => {}
            Err(error) if !said_unknown => {
                said_unknown = true;
                journal.write(
                    Record::failed(
                        "readDeployment",
                        error,
                        "cannot tell whether this is the only controller",
                    )
                    .at(Level::Warn)
                    .with("deployment", &deployment),
                );
            }
            Err(_) => {}
        }
        tokio::time::sleep(REPLICAS).await;
    }
}

/// Makes the secret of the speakers' gossip, however long it takes.
#[expect(clippy::disallowed_methods, reason = "driver: rests between attempts")]
async fn ensure_secret(cluster: Kubernetes, secret: String, deployment: String, journal: Journal) {
    let (mut rest, longest) = SECRET_RETRY;
    loop {
        match cluster.ensure_memberlist_secret(&secret, &deployment).await {
            Ok(kubernetes::SecretOutcome::Exists) => return,
            Ok(kubernetes::SecretOutcome::Created) => {
                journal.write(
                    Record::event("secretCreated", "created the memberlist secret")
                        .with("secret", &secret),
                );
                return;
            }
            Err(error) => journal.write(
                Record::failed(
                    "createMemberlistSecret",
                    error,
                    format!(
                        "no memberlist secret yet; trying again in {} s",
                        rest.as_secs()
                    ),
                )
                .with("secret", &secret),
            ),
        }
        tokio::time::sleep(rest).await;
        rest = (rest * 2).min(longest);
    }
}

#[cfg(test)]
mod tests;
