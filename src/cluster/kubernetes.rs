//! An API server as the cluster: objects come from watches, statuses go by PUT, Events by POST and PATCH.
//!
//! Invariant: nothing beyond the RBAC of MetalLB 0.12's manifests is asked for (get, list and watch of Services,
//! Endpoints, EndpointSlices, Nodes and the one ConfigMap; list of pods; update of `services/status`; create and patch
//! of core Events; the memberlist secret; get of the controller's own Deployment).
//! Kubernetes 1.13 and later are served: no server-side apply, no `events.k8s.io`, no streaming lists.
//!
//! ```text
//!  start ─┬─ watch ConfigMap ──┐                            write_status ── queue (one per Service) ── apply ── PUT
//!         ├─ watch Services ───┤                            record ── 4 × bounded channel ── events ── POST, PATCH
//!         ├─ watch Endpoints ──┼─ mpsc::Receiver<Change>
//!         ├─ watch Nodes ──────┤
//!         └─ list pods (2 s) ──┘
//! ```
//!
//! The tasks end when the receiver is dropped. A full channel makes the watches wait; nothing is lost.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use tokio::sync::{Notify, mpsc};

use crate::cluster::{Change, Cluster, Kind, WriteError};
use crate::journal::Record;
use crate::view;

mod apply;
mod client;
mod convert;
mod endpoints;
mod events;
#[cfg(test)]
mod fake;
mod memory;
mod queue;
mod raw;
mod reporter;
mod secret;
pub mod session;
mod speakers;
mod store;
mod watch;

pub use client::{ConnectError, Failure};

use apply::Writer;
use client::Api;
use events::Recorder;
use raw::RawCache;
use reporter::Reporter;
use store::{ConfigMapStore, NodeStore, ServiceStore, Store};
use watch::Target;

/// Changes that may wait for the consumer; a Service takes about 0.5 KiB.
const CHANGES_WAITING: usize = 1024;

/// Takes a line of the log; called from any task, must not block.
pub type Journal = Arc<dyn Fn(Record) + Send + Sync>;

/// What is decided once, at start.
#[derive(Debug, Clone)]
pub struct Params {
    /// The kubeconfig; `None`: what a pod is given.
    pub kubeconfig: Option<PathBuf>,
    /// The namespace of the ConfigMap, the secret and the speakers.
    pub namespace: String,
    /// The name of the ConfigMap.
    pub config_map: String,
    /// The configuration comes from this file: the ConfigMap is not watched (whoever reads the file reports it).
    pub config_file: Option<PathBuf>,
    /// Read Endpoints even where EndpointSlices exist.
    pub disable_endpoint_slices: bool,
    /// `ferrolb/<version>`.
    pub user_agent: &'static str,
    /// The label selector of the speakers' pods; `None`: nobody can tell which speakers live.
    pub speaker_labels: Option<String>,
    /// `source.component` of Events: `metallb-controller`, `metallb-speaker`.
    pub component: &'static str,
    /// `source.host` of Events: the node's name on speakers.
    pub host: String,
}

/// How much of a Service is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Services {
    /// All of [`view::Service`]; every new version is told, because a status is written on a version.
    Full,
    /// What a speaker looks at: key, uid, type, class, traffic policy and ingress. The rest is left empty, and only
    /// a change of these is told.
    Trimmed,
}

/// What to watch besides the ConfigMap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interests {
    /// How much of Services.
    pub services: Services,
    /// EndpointSlices or Endpoints.
    pub endpoints: bool,
    /// Nodes.
    pub nodes: bool,
    /// Ready speaker pods.
    pub speakers: bool,
}

/// What became of the memberlist secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretOutcome {
    /// It was there.
    Exists,
    /// It was made.
    Created,
}

/// Why there is no memberlist secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// Whether it exists cannot be told.
    #[error("cannot look for the secret {namespace}/{name}: {failure}")]
    List {
        /// The namespace.
        namespace: String,
        /// The secret.
        name: String,
        /// Why.
        #[source]
        failure: Failure,
    },
    /// Its owner cannot be read.
    #[error(
        "cannot read the Deployment {namespace}/{deployment}, which is to own the secret (-deployment, METALLB_DEPLOYMENT): {failure}"
    )]
    Owner {
        /// The namespace.
        namespace: String,
        /// The Deployment.
        deployment: String,
        /// Why.
        #[source]
        failure: Failure,
    },
    /// It cannot be made.
    #[error("cannot create the secret {namespace}/{name}: {failure}")]
    Create {
        /// The namespace.
        namespace: String,
        /// The secret.
        name: String,
        /// Why.
        #[source]
        failure: Failure,
    },
}

/// An API server; clones are the same.
#[derive(Clone)]
pub struct Kubernetes {
    shared: Arc<Shared>,
}

struct Shared {
    api: Api,
    namespace: String,
    writer: Arc<Writer>,
    recorder: Recorder,
}

impl Kubernetes {
    /// Connects (one request must succeed) and starts the watches as tasks of the current runtime.
    ///
    /// # Errors
    /// No credentials, no such server, or it does not know us.
    pub async fn start(
        params: Params,
        interests: Interests,
        journal: Journal,
    ) -> Result<(Self, mpsc::Receiver<Change>), ConnectError> {
        let (api, server) =
            Api::connect(params.kubeconfig.as_deref().into(), params.user_agent).await?;
        journal(
            Record::event("connected", "connected to the API server")
                .with("server", &server.address)
                .with("version", &server.version),
        );
        #[expect(clippy::disallowed_methods, reason = "driver: its start")]
        let reporter = Arc::new(Reporter::new(journal, std::time::Instant::now()));
        let (changes, receiver) = mpsc::channel(CHANGES_WAITING);
        let raws = Arc::new(Mutex::new(RawCache::default()));
        Watches {
            api: &api,
            reporter: &reporter,
            changes: &changes,
        }
        .start(&params, interests, &raws);
        let writer = Arc::new(Writer::new(api.clone(), reporter.clone(), raws));
        let (component, host) = (params.component, &params.host);
        let recorder = Recorder::start(&api, &reporter, &writer, component, host);
        let shared = Shared {
            api,
            namespace: params.namespace,
            writer,
            recorder,
        };
        Ok((
            Self {
                shared: Arc::new(shared),
            },
            receiver,
        ))
    }

    /// Makes the secret that the speakers' gossip is encrypted with, unless it exists.
    ///
    /// # Errors
    /// The secret or its owner cannot be read, or not be made; the text says which grant is missing.
    pub async fn ensure_memberlist_secret(
        &self,
        secret_name: &str,
        deployment: &str,
    ) -> Result<SecretOutcome, SecretError> {
        let Shared { api, namespace, .. } = &*self.shared;
        secret::ensure(api, namespace, secret_name, deployment).await
    }

    /// How many replicas a Deployment of the own namespace asks for.
    ///
    /// # Errors
    /// It cannot be read (0.12's RBAC lets the controller read its own Deployment alone).
    pub async fn replicas_of(&self, deployment: &str) -> Result<u32, Failure> {
        secret::replicas(&self.shared.api, &self.shared.namespace, deployment).await
    }

    /// Kubernetes Events that were dropped because they came faster than the server takes them.
    #[must_use]
    pub fn events_dropped(&self) -> u64 {
        self.shared.recorder.dropped()
    }
}

impl Cluster for Kubernetes {
    async fn write_status(&self, write: view::StatusWrite) -> Result<(), WriteError> {
        self.shared.writer.write(write).await
    }

    fn record(&self, event: view::KubernetesEvent) {
        self.shared.recorder.record(event);
    }
}

/// Starts the tasks that watch.
struct Watches<'a> {
    api: &'a Api,
    reporter: &'a Arc<Reporter>,
    changes: &'a mpsc::Sender<Change>,
}

impl Watches<'_> {
    fn start(&self, params: &Params, interests: Interests, raws: &Arc<Mutex<RawCache>>) {
        if params.config_file.is_none() {
            let key = view::ObjectKey::new(&params.namespace, &params.config_map);
            let target = Target {
                path: format!("/api/v1/namespaces/{}/configmaps", params.namespace),
                // RBAC grants all ConfigMaps of the namespace; one is read.
                field_selector: Some(format!("metadata.name={}", params.config_map)),
                resource: "configmaps",
                page: 500,
                kind: Kind::ConfigMap,
                replaceable: false,
            };
            self.watch(target, ConfigMapStore::new(key), None);
        }
        let services = match interests.services {
            Services::Full => ServiceStore::new(Services::Full, Some(raws.clone())),
            Services::Trimmed => ServiceStore::new(Services::Trimmed, None),
        };
        self.watch(
            cluster_wide("services", 500, Kind::Services),
            services,
            None,
        );
        if interests.endpoints {
            let (api, reporter) = (self.api.clone(), self.reporter.clone());
            let (changes, disabled) = (self.changes.clone(), params.disable_endpoint_slices);
            tokio::spawn(async move { endpoints::run(&api, &reporter, disabled, &changes).await });
        }
        let node_changed = Arc::new(Notify::new());
        if interests.nodes {
            // A Node is tens of kilobytes: it names all images that it has.
            let target = cluster_wide("nodes", 100, Kind::Nodes);
            self.watch(target, NodeStore::default(), Some(node_changed.clone()));
        }
        if interests.speakers {
            let (api, reporter) = (self.api.clone(), self.reporter.clone());
            let changes = self.changes.clone();
            let (namespace, labels) = (params.namespace.clone(), params.speaker_labels.clone());
            tokio::spawn(async move {
                let labels = labels.as_deref();
                speakers::run(&api, &reporter, &namespace, labels, &node_changed, &changes).await;
            });
        }
    }

    fn watch<S: Store>(&self, target: Target, mut store: S, changed: Option<Arc<Notify>>) {
        let (api, reporter) = (self.api.clone(), self.reporter.clone());
        let changes = self.changes.clone();
        tokio::spawn(async move {
            let changed = changed.as_deref();
            watch::run(&api, &reporter, &target, &mut store, &changes, changed).await;
        });
    }
}

fn cluster_wide(resource: &'static str, page: u32, kind: Kind) -> Target {
    Target {
        path: format!("/api/v1/{resource}"),
        field_selector: None,
        resource,
        page,
        kind,
        replaceable: false,
    }
}
