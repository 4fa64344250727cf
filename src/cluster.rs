//! Where objects come from and where statuses go: one trait, two ways.
//!
//! `kubernetes` is an API server; `directory` is a folder of manifests. Both translate into [`view`]'s
//! structs and send [`Change`]s over a bounded channel: a full channel makes the watcher wait, nothing is dropped.
//!
//! What a consumer may rely on: for each key the changes come in order; after a lost connection the objects are
//! listed again and what disappeared meanwhile is reported as gone; [`Change::Synced`] follows the first complete
//! list of a kind (and is sent again after each later complete list). While the source is away nothing is sent, so
//! that the running state stays.

use std::collections::BTreeSet;
use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;

use crate::view;

pub mod directory;
pub mod kubernetes;

/// A kind of object that is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The ConfigMap.
    ConfigMap,
    /// Services.
    Services,
    /// Endpoints or EndpointSlices.
    Endpoints,
    /// Nodes.
    Nodes,
    /// Live speakers.
    Speakers,
}

/// Something changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The ConfigMap appeared or changed.
    ConfigMap(view::ConfigMap),
    /// The ConfigMap does not exist (any more).
    ConfigMapGone,
    /// A Service appeared or changed (of any type).
    Service(Box<view::Service>),
    /// A Service is gone.
    ServiceGone(view::ObjectKey),
    /// All endpoints of a Service, merged over slices or subsets.
    Endpoints(view::Endpoints),
    /// A Service has no endpoints object any more.
    EndpointsGone(view::ObjectKey),
    /// A Node appeared or changed.
    Node(view::Node),
    /// A Node is gone.
    NodeGone(Arc<str>),
    /// The nodes with a ready speaker; `None`: nobody can tell (no pod labels are configured, or listing is refused).
    Speakers(Option<BTreeSet<Arc<str>>>),
    /// The addresses of the speakers' pods, ready or not: who should be in the gossip. `None` as for
    /// [`Change::Speakers`], which is told first; not told by a cluster that has no pods.
    SpeakerAddresses(Option<BTreeSet<IpAddr>>),
    /// The list of this kind is complete.
    Synced(Kind),
}

/// Why a status was not written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// Another version is there: its change comes, decide again then.
    #[error("the Service has changed meanwhile")]
    Conflict,
    /// The Service is gone.
    #[error("the Service is gone")]
    Gone,
    /// The server refuses this write, and would refuse it again.
    #[error("{0}")]
    Refused(String),
    /// It may go through later; the writer has already tried again for a while.
    #[error("{0}")]
    Unavailable(String),
}

/// Where decisions go.
pub trait Cluster: Clone + Send + Sync + 'static {
    /// Writes the ingress addresses of one Service; never touches metadata or spec.
    fn write_status(
        &self,
        write: view::StatusWrite,
    ) -> impl Future<Output = Result<(), WriteError>> + Send;

    /// Records a Kubernetes Event; never waits (what does not fit into the queue is dropped and counted).
    fn record(&self, event: view::KubernetesEvent);
}
