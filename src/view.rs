//! Kubernetes' objects as we need them: plain structs, small, without the library's types.
//!
//! The conversion from API objects lives in `cluster::kubernetes::convert`, from manifests in
//! `cluster::directory`. Only what a decision looks at is kept.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

/// `namespace/name`, cheap to copy.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey(Arc<str>);

impl ObjectKey {
    /// The key of an object.
    #[must_use]
    pub fn new(namespace: &str, name: &str) -> Self {
        Self(format!("{namespace}/{name}").into())
    }

    /// The namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.0
            .split_once('/')
            .map_or("", |(namespace, _)| namespace)
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.split_once('/').map_or(&*self.0, |(_, name)| name)
    }

    /// `namespace/name`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Namespace and name.
    pub key: ObjectKey,
    /// `metadata.uid`; empty where there is none.
    pub uid: Arc<str>,
    /// `metadata.resourceVersion`; empty where there is none.
    pub resource_version: Arc<str>,
    /// Whether `spec.type` is `LoadBalancer`.
    pub is_load_balancer: bool,
    /// `spec.loadBalancerClass`.
    pub load_balancer_class: Option<String>,
    /// `spec.clusterIPs`, or `spec.clusterIP` on servers before 1.20, as written (`None` is a possible entry).
    pub cluster_ips: Vec<String>,
    /// `spec.loadBalancerIP`; empty where absent.
    pub load_balancer_ip: String,
    /// Whether `spec.externalTrafficPolicy` is `Local`.
    pub local_traffic_policy: bool,
    /// `spec.selector`.
    pub selector: BTreeMap<String, String>,
    /// `spec.ports`.
    pub ports: Vec<Port>,
    /// Annotation `metallb.universe.tf/address-pool`.
    pub annotation_pool: Option<String>,
    /// Annotation `metallb.universe.tf/loadBalancerIPs`.
    pub annotation_ips: Option<String>,
    /// Annotation `metallb.universe.tf/allow-shared-ip`; empty where absent.
    pub sharing_key: String,
    /// `status.loadBalancer.ingress[].ip` as written; an entry without an address is an empty text.
    pub ingress: Vec<String>,
}

/// A port of a Service.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Port {
    /// `TCP`, `UDP` or `SCTP`, as written; `TCP` where absent.
    pub protocol: Arc<str>,
    /// The port.
    pub port: u16,
}

/// All endpoints of a Service, whichever kind of object they came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoints {
    /// The Service's key.
    pub service: ObjectKey,
    /// One entry per address and subset or slice: an address may occur several times.
    pub endpoints: Vec<Endpoint>,
}

/// One endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Its address, as written.
    pub address: Arc<str>,
    /// The node it runs on.
    pub node: Option<Arc<str>>,
    /// Whether it is ready (an absent condition counts as ready).
    pub ready: bool,
}

/// A Node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: Arc<str>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Condition `Ready` is `True` (absent counts as ready).
    pub ready: bool,
}

/// The key of the ConfigMap that holds what 0.12's document has no words for; 0.12 does not look at it.
pub const SETTINGS_KEY: &str = "ferrolb";

/// The ConfigMap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigMap {
    /// Namespace and name.
    pub key: ObjectKey,
    /// `metadata.uid`; empty where there is none.
    pub uid: Arc<str>,
    /// `data.config`; `None` where the key is absent.
    pub config: Option<Arc<str>>,
    /// `data.ferrolb` ([`SETTINGS_KEY`]); `None` where the key is absent, as with 0.12.
    pub settings: Option<Arc<str>>,
    /// Where the text begins, for messages: the file's path, or the object.
    pub origin: String,
}

/// The object that an Event is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectReference {
    /// `Service`, `ConfigMap` or `Node` (API version v1).
    pub kind: &'static str,
    /// Namespace and name; the namespace is empty for a Node.
    pub key: ObjectKey,
    /// `metadata.uid`; empty where unknown.
    pub uid: Arc<str>,
}

/// A Kubernetes Event to record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubernetesEvent {
    /// The object.
    pub about: ObjectReference,
    /// `Warning`, else `Normal`.
    pub warning: bool,
    /// The reason, one word.
    pub reason: &'static str,
    /// The sentence.
    pub message: String,
}

impl Service {
    /// The reference that an Event about this Service carries.
    #[must_use]
    pub fn reference(&self) -> ObjectReference {
        ObjectReference {
            kind: "Service",
            key: self.key.clone(),
            uid: self.uid.clone(),
        }
    }
}

impl ConfigMap {
    /// The reference that an Event about this ConfigMap carries.
    #[must_use]
    pub fn reference(&self) -> ObjectReference {
        ObjectReference {
            kind: "ConfigMap",
            key: self.key.clone(),
            uid: self.uid.clone(),
        }
    }
}

/// A status that the controller wants written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusWrite {
    /// The Service.
    pub key: ObjectKey,
    /// The version that the decision was made on: a write on another version must not happen.
    pub resource_version: Arc<str>,
    /// `status.loadBalancer.ingress[].ip`, in order; empty clears.
    pub addresses: Vec<IpAddr>,
}
