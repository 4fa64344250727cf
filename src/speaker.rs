//! The announcing side: events in, effects out.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use crate::config::Protocol;
use crate::journal::Record;
use crate::layer2;
use crate::view;

/// What is decided once, at start.
#[derive(Debug, Clone)]
pub struct Params {
    /// This node, as in `spec.nodeName`.
    pub node_name: Arc<str>,
    /// Whether a Service that has no endpoints object counts this node as ready (standalone mode).
    pub without_endpoints_ready: bool,
}

/// What can happen to the speaker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The ConfigMap appeared or changed.
    ConfigMap(view::ConfigMap),
    /// The ConfigMap does not exist.
    ConfigMapGone,
    /// A Service appeared or changed.
    Service(Box<view::Service>),
    /// A Service is gone.
    ServiceGone(view::ObjectKey),
    /// All endpoints of a Service.
    Endpoints(view::Endpoints),
    /// A Service has no endpoints object.
    EndpointsGone(view::ObjectKey),
    /// A Node appeared or changed.
    Node(view::Node),
    /// A Node is gone.
    NodeGone(Arc<str>),
    /// The nodes with a live speaker; `None`: nobody can tell.
    Speakers(Option<BTreeSet<Arc<str>>>),
    /// Services, endpoints, the ConfigMap and the first word about speakers have all been told.
    Synced,
    /// The program ends: withdraw everything.
    Shutdown,
}

/// What the speaker wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// For layer 2.
    Layer2(layer2::Command),
    /// Record this Kubernetes Event.
    Record(view::KubernetesEvent),
    /// Log this line.
    Log(Record),
}

/// One announcement, as the metrics and the status table show it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Announcement {
    /// The Service.
    pub service: view::ObjectKey,
    /// The address.
    pub ip: IpAddr,
    /// How.
    pub protocol: ProtocolName,
}

/// `layer2` or `bgp`, ordered by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProtocolName(pub &'static str);

impl From<Protocol> for ProtocolName {
    fn from(protocol: Protocol) -> Self {
        Self(protocol.as_str())
    }
}
