//! The speaker's program: a cluster's changes in, announcements and Events out.
//!
//! ```text
//!  cluster ── Change (bounded by the cluster) ──> drive ── Command ──> layer 2 (never waits)
//!  layer 2 ── Report (REPORTS; full: dropped, counted) ──> drive
//!  drive ── Record ──> Cluster::record      drive ── Log ──> Journal      drive ── announcements ──> metrics
//! ```
//!
//! Cancel: on `stop` [`drive`] withdraws everything and ends; whoever owns layer 2 shuts it down then, so that an
//! address is silent here before the process is gone. All of it takes milliseconds, of 2 s that a Pod is given.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{Ended, Process, Seat};
use crate::cli::speaker::Options;
use crate::cluster::kubernetes::{Interests, Kubernetes, Services};
use crate::cluster::{Change, Cluster, Kind};
use crate::http::{self, Health};
use crate::layer2::driver::Layer2;
use crate::layer2::{self, Command, Report};
use crate::metrics::{self, Exposition, Registry, Type};
use crate::speaker::{Effect, Event, Params, Speaker};
use crate::view::{KubernetesEvent, ObjectKey, ObjectReference};

/// Reports of layer 2 that may wait. Each is said once for a cause: there are as many as interfaces, not as packets.
pub const REPORTS: usize = 256;

/// Changes that are taken between two looks at everything else.
const BATCH: usize = 256;

/// The figures of many announcements are put down together, at most this much later than they became true.
const PUBLISH: Duration = Duration::from_millis(100);

/// What has to be known before the speaker speaks.
const NEEDS: [Kind; 5] = [
    Kind::ConfigMap,
    Kind::Services,
    Kind::Endpoints,
    Kind::Nodes,
    Kind::Speakers,
];

/// Runs a speaker on a cluster's changes until it is told to stop; everything is withdrawn then.
///
/// The cluster must say [`Change::Synced`] of each [`Kind`]; for [`Kind::Speakers`] a first [`Change::Speakers`] will do.
/// `send` hands a command to layer 2 and must not wait. `node` is this node, for Events about it.
pub async fn drive<C: Cluster>(
    speaker: Speaker,
    node: Arc<str>,
    mut changes: mpsc::Receiver<Change>,
    cluster: C,
    send: impl FnMut(Command),
    mut reports: mpsc::Receiver<Report>,
    seat: Seat<metrics::Speaker>,
) -> Ended {
    let mut driver = Driver {
        speaker,
        node,
        cluster,
        send,
        seat,
        missing: NEEDS.into_iter().collect(),
        publish_at: None,
    };
    let mut beat = tokio::time::interval(Duration::from_secs(1));
    let mut reporting = true;
    let ended = loop {
        driver.seat.health.beat();
        let publish_at = driver.publish_at;
        tokio::select! {
            biased;
            () = driver.seat.stop.cancelled() => break Ended::Stopped,
            () = until(publish_at), if publish_at.is_some() => {
                driver.publish();
                continue;
            }
            report = reports.recv(), if reporting => match report {
                Some(report) => driver.report(&report),
                None => reporting = false,
            },
            change = changes.recv() => match change {
                Some(change) => driver.take(change),
                None => break Ended::SourceGone,
            },
            _ = beat.tick() => continue,
        }
        for _ in 0..BATCH {
            match changes.try_recv() {
                Ok(change) => driver.take(change),
                Err(_) => break,
            }
        }
        if driver.publish_at.is_none() {
            driver.publish_at = Some(now() + PUBLISH);
        }
    };
    driver.handle(Event::Shutdown);
    driver.publish();
    ended
}

#[expect(
    clippy::disallowed_methods,
    reason = "driver: when the figures are put down"
)]
fn now() -> Instant {
    Instant::now()
}

async fn until(deadline: Option<Instant>) {
    if let Some(deadline) = deadline {
        tokio::time::sleep_until(deadline).await;
    }
}

struct Driver<C, S> {
    speaker: Speaker,
    node: Arc<str>,
    cluster: C,
    send: S,
    seat: Seat<metrics::Speaker>,
    /// What the speaker still waits for.
    missing: BTreeSet<Kind>,
    /// When to put the figures down; `None`: nothing has changed.
    publish_at: Option<Instant>,
}

impl<C: Cluster, S: FnMut(Command)> Driver<C, S> {
    fn take(&mut self, change: Change) {
        let event = match change {
            Change::ConfigMap(map) => Event::ConfigMap(map),
            Change::ConfigMapGone => Event::ConfigMapGone,
            Change::Service(service) => Event::Service(service),
            Change::ServiceGone(key) => Event::ServiceGone(key),
            Change::Endpoints(endpoints) => Event::Endpoints(endpoints),
            Change::EndpointsGone(key) => Event::EndpointsGone(key),
            Change::Node(node) => Event::Node(node),
            Change::NodeGone(name) => Event::NodeGone(name),
            Change::Speakers(speakers) => {
                self.handle(Event::Speakers(speakers));
                return self.known(Kind::Speakers);
            }
            Change::Synced(kind) => return self.known(kind),
        };
        self.handle(event);
    }

    /// All objects of this kind are known. The speaker speaks when it knows all kinds; it is told so once.
    fn known(&mut self, kind: Kind) {
        self.seat.health.known(kind);
        if self.missing.remove(&kind) && self.missing.is_empty() {
            self.handle(Event::Synced);
        }
    }

    fn handle(&mut self, event: Event) {
        self.speaker.handle(event);
        while let Some(effect) = self.speaker.poll_effect() {
            match effect {
                Effect::Layer2(command) => (self.send)(command),
                Effect::Record(event) => self.cluster.record(event),
                Effect::Log(record) => self.seat.journal.write(record),
            }
        }
    }

    /// Layer 2 has something to say: a line, and what concerns people is an Event and a figure too.
    fn report(&mut self, report: &Report) {
        match report {
            Report::StrictArpOff { .. } => self.seat.metrics.set_strict_arp_off(true),
            Report::StrictArpMended => self.seat.metrics.set_strict_arp_off(false),
            Report::Log(_) | Report::AddressOnHost { .. } | Report::AddressOffHost { .. } => {}
        }
        self.seat.journal.write(report.record());
        let Some(reason) = report.event_reason() else {
            return;
        };
        for about in self.concerned(report) {
            self.cluster.record(KubernetesEvent {
                about,
                warning: true,
                reason,
                message: report.message(),
            });
        }
    }

    /// The Services whose address it is about; else this node.
    fn concerned(&self, report: &Report) -> Vec<ObjectReference> {
        let services: Vec<ObjectReference> = match report {
            Report::AddressOnHost { ip, .. } => self.speaker.announced_for(*ip).collect(),
            Report::Log(_)
            | Report::StrictArpOff { .. }
            | Report::StrictArpMended
            | Report::AddressOffHost { .. } => Vec::new(),
        };
        if services.is_empty() {
            // The kubelet's own Events about its Node carry the name as uid, and that is what `kubectl describe` looks for.
            vec![ObjectReference {
                kind: "Node",
                key: ObjectKey::new("", &self.node),
                uid: self.node.clone(),
            }]
        } else {
            services
        }
    }

    fn publish(&mut self) {
        self.publish_at = None;
        self.seat
            .metrics
            .publish(self.speaker.stats(), self.speaker.announcements().collect());
    }
}

/// The program `speaker`: from its options to its end.
///
/// # Errors
///
/// It cannot begin (the HTTP port, raw sockets, the API server), or the source of changes is gone.
pub async fn main(options: Options, process: Process) -> anyhow::Result<()> {
    let Process { journal, stop } = process;
    let common = &options.common;
    super::say_start("speaker", common, &journal);
    let node: Arc<str> = Arc::from(options.node_name.as_str());

    let (report, reports) = mpsc::channel(REPORTS);
    let layer2 = Arc::new(Layer2::start(layer2::driver::Params::default(), report)?);
    let figures = Arc::new(metrics::Speaker::new(node.clone()));
    let health = Arc::new(Health::new(&[
        Kind::ConfigMap,
        Kind::Services,
        Kind::Endpoints,
    ]));
    let mut registry = Registry::of_process("speaker", journal.clone());
    registry.add(figures.clone());
    registry.add(layer2_figures(&layer2));
    let connected = Arc::new(OnceLock::new());
    registry.add(super::cluster_figures(connected.clone()));
    super::serve_http(
        &http::Params {
            host: options.host.clone(),
            port: common.port,
            profiling: common.profiling,
        },
        registry,
        health.clone(),
        &journal,
    )?;

    let params = super::kubernetes_params(
        common,
        "metallb-speaker",
        options.node_name.clone(),
        options.speaker_labels.clone(),
    );
    let interests = Interests {
        services: Services::Trimmed,
        endpoints: true,
        nodes: true,
        speakers: true,
    };
    let connect = Kubernetes::start(params, interests, super::as_function(&journal));
    let (cluster, changes) = tokio::select! {
        () = stop.cancelled() => return Ok(()),
        done = connect => done?,
    };
    let _ = connected.set(cluster.clone());
    let changes = super::with_config_file(changes, common, &journal);
    let speaker = Speaker::new(Params {
        node_name: node.clone(),
        without_endpoints_ready: false,
    });
    let seat = Seat {
        journal,
        metrics: figures,
        health,
        stop,
    };
    let send = |command| layer2.send(command);
    let ended = drive(speaker, node, changes, cluster, send, reports, seat).await;
    if let Some(layer2) = Arc::into_inner(layer2) {
        layer2.shutdown();
    }
    match ended {
        Ended::Stopped => Ok(()),
        Ended::SourceGone => Err(anyhow::anyhow!("the watches of the API server have ended")),
    }
}

/// Layer 2's own figures, as long as there is a layer 2.
pub fn layer2_figures(layer2: &Arc<Layer2>) -> impl Fn(&mut Exposition) + Send + Sync + 'static {
    let layer2 = Arc::downgrade(layer2);
    move |out| {
        if let Some(layer2) = layer2.upgrade() {
            metrics::layer2(&layer2.counters(), out);
            out.family(
                "ferrolb_layer2_reports_dropped_total",
                Type::Counter,
                "Reports of layer 2 that were dropped because nobody took them.",
            )
            .sample(&[], metrics::float(layer2.reports_dropped()));
        }
    }
}

#[cfg(test)]
mod tests;
