//! API objects, as much of them as is read, and what they become in [`view`].
//!
//! The only reader of Kubernetes' JSON. The structs name the few fields that a decision looks at; everything else is
//! skipped while parsing, so that one struct serves all server versions. Every field may be absent or null: servers
//! before 1.20 leave out what is empty. What no valid object can hold (a port of 70000) is left out, not refused.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use serde::Deserialize;

use super::Services;
use crate::view;

/// `metadata`, with annotations of type `A`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Meta<A> {
    pub(super) name: Option<String>,
    pub(super) namespace: Option<String>,
    pub(super) uid: Option<String>,
    pub(super) resource_version: Option<String>,
    pub(super) deletion_timestamp: Option<String>,
    pub(super) annotations: Option<A>,
}

impl<A> Meta<A> {
    /// Namespace and name; `None` for what has no name.
    pub(super) fn key(&self) -> Option<view::ObjectKey> {
        let name = self.name.as_deref().filter(|name| !name.is_empty())?;
        Some(view::ObjectKey::new(
            self.namespace.as_deref().unwrap_or_default(),
            name,
        ))
    }
}

/// Annotations that nobody reads.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Unread {}

/// An object of a watch or a list.
pub(super) trait Object: serde::de::DeserializeOwned + Send + 'static {
    /// Namespace and name.
    fn key(&self) -> Option<view::ObjectKey>;
}

/// One copy of each of few different texts.
#[derive(Debug, Default)]
pub(super) struct Interner(HashSet<Arc<str>>);

impl Interner {
    /// The shared copy.
    pub(super) fn intern(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.0.get(text) {
            return known.clone();
        }
        if self.0.len() >= 16_384 {
            // Node names of years of autoscaling; whoever holds one keeps it.
            self.0.clear();
        }
        let new: Arc<str> = text.into();
        self.0.insert(new.clone());
        new
    }
}

/// A Service as it comes.
#[derive(Debug, Deserialize)]
pub(super) struct Service {
    #[serde(default)]
    pub(super) metadata: Meta<ServiceAnnotations>,
    spec: Option<ServiceSpec>,
    status: Option<ServiceStatus>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ServiceAnnotations {
    #[serde(rename = "metallb.universe.tf/address-pool")]
    address_pool: Option<String>,
    #[serde(rename = "metallb.universe.tf/loadBalancerIPs")]
    load_balancer_ips: Option<String>,
    #[serde(rename = "metallb.universe.tf/allow-shared-ip")]
    allow_shared_ip: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ServiceSpec {
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(rename = "clusterIP")]
    cluster_ip: Option<String>,
    #[serde(rename = "clusterIPs")]
    cluster_ips: Option<Vec<String>>,
    #[serde(rename = "loadBalancerIP")]
    load_balancer_ip: Option<String>,
    load_balancer_class: Option<String>,
    external_traffic_policy: Option<String>,
    selector: Option<BTreeMap<String, String>>,
    ports: Option<Vec<ServicePort>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ServicePort {
    protocol: Option<String>,
    port: i64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ServiceStatus {
    load_balancer: Option<LoadBalancerStatus>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct LoadBalancerStatus {
    ingress: Option<Vec<Ingress>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Ingress {
    ip: Option<String>,
}

impl Object for Service {
    fn key(&self) -> Option<view::ObjectKey> {
        self.metadata.key()
    }
}

impl Service {
    /// The Service as policy sees it.
    pub(super) fn into_view(
        self,
        key: view::ObjectKey,
        how_much: Services,
        words: &mut Interner,
    ) -> view::Service {
        let spec = self.spec.unwrap_or_default();
        let ingress = self
            .status
            .and_then(|status| status.load_balancer)
            .and_then(|load_balancer| load_balancer.ingress)
            .unwrap_or_default()
            .into_iter()
            .map(|entry| entry.ip.unwrap_or_default())
            .collect();
        let mut service = view::Service {
            key,
            uid: self.metadata.uid.unwrap_or_default().into(),
            resource_version: words.intern(""),
            is_load_balancer: spec.kind.as_deref() == Some("LoadBalancer"),
            load_balancer_class: spec.load_balancer_class,
            cluster_ips: Vec::new(),
            load_balancer_ip: String::new(),
            local_traffic_policy: spec.external_traffic_policy.as_deref() == Some("Local"),
            selector: BTreeMap::new(),
            ports: Vec::new(),
            annotation_pool: None,
            annotation_ips: None,
            sharing_key: String::new(),
            ingress,
        };
        if how_much == Services::Trimmed {
            return service;
        }
        let annotations = self.metadata.annotations.unwrap_or_default();
        service.resource_version = self.metadata.resource_version.unwrap_or_default().into();
        // Servers before 1.20 have no clusterIPs.
        service.cluster_ips = match spec.cluster_ips {
            Some(addresses) if !addresses.is_empty() => addresses,
            Some(_) | None => spec
                .cluster_ip
                .filter(|address| !address.is_empty())
                .into_iter()
                .collect(),
        };
        service.load_balancer_ip = spec.load_balancer_ip.unwrap_or_default();
        service.selector = spec.selector.unwrap_or_default();
        service.ports = spec
            .ports
            .unwrap_or_default()
            .into_iter()
            .filter_map(|port| {
                Some(view::Port {
                    protocol: words.intern(match port.protocol.as_deref() {
                        None | Some("") => "TCP",
                        Some(protocol) => protocol,
                    }),
                    port: u16::try_from(port.port).ok()?,
                })
            })
            .collect();
        service.annotation_pool = annotations.address_pool;
        service.annotation_ips = annotations.load_balancer_ips;
        service.sharing_key = annotations.allow_shared_ip.unwrap_or_default();
        service
    }
}

/// An EndpointSlice of `discovery.k8s.io/v1` or `v1beta1` as it comes.
#[derive(Debug, Deserialize)]
pub(super) struct EndpointSlice {
    #[serde(default)]
    metadata: SliceMeta,
    endpoints: Option<Vec<SliceEndpoint>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SliceMeta {
    name: Option<String>,
    namespace: Option<String>,
    labels: Option<SliceLabels>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SliceLabels {
    #[serde(rename = "kubernetes.io/service-name")]
    service_name: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct SliceEndpoint {
    addresses: Option<Vec<String>>,
    conditions: Option<SliceConditions>,
    /// v1, and v1beta1 from 1.20 on where a feature gate is set.
    node_name: Option<String>,
    /// v1beta1.
    topology: Option<Topology>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SliceConditions {
    ready: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Topology {
    #[serde(rename = "kubernetes.io/hostname")]
    hostname: Option<String>,
}

impl Object for EndpointSlice {
    fn key(&self) -> Option<view::ObjectKey> {
        let name = self
            .metadata
            .name
            .as_deref()
            .filter(|name| !name.is_empty())?;
        Some(view::ObjectKey::new(
            self.metadata.namespace.as_deref().unwrap_or_default(),
            name,
        ))
    }
}

impl EndpointSlice {
    /// The Service that it is a part of; `None` for the slices of others.
    pub(super) fn service(&self) -> Option<view::ObjectKey> {
        let name = self.metadata.labels.as_ref()?.service_name.as_deref()?;
        (!name.is_empty()).then(|| {
            view::ObjectKey::new(self.metadata.namespace.as_deref().unwrap_or_default(), name)
        })
    }

    /// One entry for each address.
    pub(super) fn into_endpoints(self, nodes: &mut Interner) -> Vec<view::Endpoint> {
        let mut all = Vec::new();
        for endpoint in self.endpoints.unwrap_or_default() {
            let node = endpoint
                .node_name
                .or(endpoint.topology.and_then(|topology| topology.hostname))
                .map(|name| nodes.intern(&name));
            // Upstream: a `ready` condition that is absent counts as ready.
            let ready = endpoint
                .conditions
                .and_then(|conditions| conditions.ready)
                .unwrap_or(true);
            for address in endpoint.addresses.unwrap_or_default() {
                all.push(view::Endpoint {
                    address: address.into(),
                    node: node.clone(),
                    ready,
                });
            }
        }
        all
    }
}

/// An Endpoints object as it comes.
#[derive(Debug, Deserialize)]
pub(super) struct Endpoints {
    #[serde(default)]
    metadata: Meta<Unread>,
    subsets: Option<Vec<Subset>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Subset {
    addresses: Option<Vec<EndpointAddress>>,
    not_ready_addresses: Option<Vec<EndpointAddress>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct EndpointAddress {
    ip: Option<String>,
    node_name: Option<String>,
}

impl Object for Endpoints {
    fn key(&self) -> Option<view::ObjectKey> {
        self.metadata.key()
    }
}

impl Endpoints {
    /// One entry for each address of each subset.
    pub(super) fn into_endpoints(self, nodes: &mut Interner) -> Vec<view::Endpoint> {
        let mut all = Vec::new();
        for subset in self.subsets.unwrap_or_default() {
            let ready = subset.addresses.unwrap_or_default().into_iter();
            let not_ready = subset.not_ready_addresses.unwrap_or_default().into_iter();
            let both = ready
                .map(|address| (address, true))
                .chain(not_ready.map(|address| (address, false)));
            for (address, ready) in both {
                all.push(view::Endpoint {
                    address: address.ip.unwrap_or_default().into(),
                    node: address.node_name.map(|name| nodes.intern(&name)),
                    ready,
                });
            }
        }
        all
    }
}

/// A Node as it comes.
#[derive(Debug, Deserialize)]
pub(super) struct Node {
    #[serde(default)]
    metadata: NodeMeta,
    status: Option<NodeStatus>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct NodeMeta {
    name: Option<String>,
    labels: Option<BTreeMap<String, Option<String>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct NodeStatus {
    conditions: Option<Vec<Condition>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Condition {
    #[serde(rename = "type")]
    kind: Option<String>,
    status: Option<String>,
}

fn is_ready(conditions: &[Condition]) -> Option<bool> {
    conditions
        .iter()
        .find(|condition| condition.kind.as_deref() == Some("Ready"))
        .map(|condition| condition.status.as_deref() == Some("True"))
}

impl Object for Node {
    fn key(&self) -> Option<view::ObjectKey> {
        let name = self
            .metadata
            .name
            .as_deref()
            .filter(|name| !name.is_empty())?;
        Some(view::ObjectKey::new("", name))
    }
}

impl Node {
    /// The Node as policy sees it.
    pub(super) fn into_view(self) -> view::Node {
        let conditions = self.status.and_then(|status| status.conditions);
        view::Node {
            name: self.metadata.name.unwrap_or_default().into(),
            labels: self
                .metadata
                .labels
                .unwrap_or_default()
                .into_iter()
                .map(|(key, value)| (key, value.unwrap_or_default()))
                .collect(),
            ready: is_ready(&conditions.unwrap_or_default()).unwrap_or(true),
        }
    }
}

/// A ConfigMap as it comes.
#[derive(Debug, Deserialize)]
pub(super) struct ConfigMap {
    #[serde(default)]
    metadata: Meta<Unread>,
    data: Option<ConfigData>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ConfigData {
    config: Option<String>,
    /// [`view::SETTINGS_KEY`].
    ferrolb: Option<String>,
}

impl Object for ConfigMap {
    fn key(&self) -> Option<view::ObjectKey> {
        self.metadata.key()
    }
}

impl ConfigMap {
    /// The ConfigMap as the configuration's reader sees it.
    pub(super) fn into_view(self, key: view::ObjectKey) -> view::ConfigMap {
        let origin = format!("ConfigMap {key}");
        let data = self.data.unwrap_or_default();
        view::ConfigMap {
            key,
            uid: self.metadata.uid.unwrap_or_default().into(),
            config: data.config.map(Into::into),
            settings: data.ferrolb.map(Into::into),
            origin,
        }
    }
}

/// A list of pods, as much as tells who speaks.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct PodList {
    items: Option<Vec<Pod>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Pod {
    metadata: Meta<Unread>,
    spec: Option<PodSpec>,
    status: Option<PodStatus>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PodSpec {
    node_name: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PodStatus {
    conditions: Option<Vec<Condition>>,
    #[serde(rename = "podIP")]
    pod_ip: Option<String>,
}

/// What the list of the speakers' pods tells. Pods that are being deleted do not count.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct SpeakerPods {
    /// The nodes of those that are ready.
    pub(super) ready_nodes: BTreeSet<Arc<str>>,
    /// The addresses of all that have one.
    pub(super) addresses: BTreeSet<IpAddr>,
}

impl PodList {
    /// What the pods tell.
    pub(super) fn into_speakers(self) -> SpeakerPods {
        let mut speakers = SpeakerPods::default();
        let pods = self.items.unwrap_or_default().into_iter();
        for pod in pods.filter(|pod| pod.metadata.deletion_timestamp.is_none()) {
            let PodStatus { conditions, pod_ip } = pod.status.unwrap_or_default();
            speakers
                .addresses
                .extend(pod_ip.and_then(|ip| ip.parse::<IpAddr>().ok()));
            // A pod without the condition has not started.
            let ready = is_ready(&conditions.unwrap_or_default()).unwrap_or(false);
            let node = pod.spec.and_then(|spec| spec.node_name);
            if let Some(node) = node.filter(|name| ready && !name.is_empty()) {
                speakers.ready_nodes.insert(node.into());
            }
        }
        speakers
    }
}

#[cfg(test)]
mod tests;
