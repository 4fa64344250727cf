//! The allocating side: events in, effects out.

use crate::journal::Record;
use crate::view;

/// What is decided once, at start.
#[derive(Debug, Clone, Default)]
pub struct Params {
    /// The `spec.loadBalancerClass` that is ours; `None`: only Services without a class are given new addresses.
    pub load_balancer_class: Option<String>,
}

/// What can happen to the controller.
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
    /// Every Service that existed at the start has been told.
    ServicesSynced,
    /// A status write that an effect asked for has ended.
    StatusWrite(view::ObjectKey, WriteOutcome),
    /// No further event is waiting: the time for work that a burst of events should cause only once.
    Settled,
}

/// How a status write ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WriteOutcome {
    /// It is in the API server.
    Written,
    /// Somebody changed or deleted the Service first; the change arrives as an event of its own.
    Superseded,
    /// The server refuses it for good; the text says why.
    Refused(String),
    /// The server could not be reached for long; the text says why. The controller asks again.
    Unavailable(String),
}

/// What the controller wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Write this status. At most one is under way for a Service; a later one replaces one that has not begun.
    WriteStatus(view::StatusWrite),
    /// Record this Kubernetes Event.
    Record(view::KubernetesEvent),
    /// Log this line.
    Log(Record),
}

/// What the metrics show.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stats {
    /// Per pool: name, capacity, addresses in use.
    pub pools: Vec<(String, i64, i64)>,
    /// Whether a configuration was ever accepted.
    pub config_loaded: bool,
    /// Whether the newest ConfigMap is not the configuration in force.
    pub config_stale: bool,
    /// Objects processed.
    pub updates: u64,
    /// Objects whose processing failed and is tried again.
    pub update_errors: u64,
}
