//! The manifests' fields that are looked at, and how they become views.
//!
//! Values are checked while they are read, so that the reader can say where the fault is.

use std::collections::BTreeMap;
use std::num::NonZeroU16;
use std::sync::Arc;

use ferrolb_compat::names;
use serde::Deserialize;

use crate::view::{self, ObjectKey};

/// Label of an EndpointSlice: its Service.
const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";
/// Where a `v1beta1` slice keeps an endpoint's node.
const HOSTNAME_LABEL: &str = "kubernetes.io/hostname";
/// Stands for "an IPv4 cluster IP" where a manifest has none: only the family is looked at.
const ANY_V4: &str = "0.0.0.0";
/// Stands for "an IPv6 cluster IP".
const ANY_V6: &str = "::";

/// A name that Kubernetes would accept.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Name(String);

impl TryFrom<String> for Name {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let fine = (1..=253).contains(&name.len())
            && name
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.')
            && name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && name.ends_with(|c: char| c.is_ascii_alphanumeric());
        if fine {
            Ok(Self(name))
        } else {
            Err(format!(
                "{name:?} is not a name: at most 253 lower-case letters, digits, `-` and `.`, a letter or digit at \
                 both ends"
            ))
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Metadata {
    name: Name,
    #[serde(default)]
    namespace: Option<Name>,
    #[serde(default)]
    uid: Option<String>,
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

impl Metadata {
    pub(super) fn key(&self, default_namespace: &str) -> ObjectKey {
        let namespace = self
            .namespace
            .as_ref()
            .map_or(default_namespace, |namespace| &namespace.0);
        ObjectKey::new(namespace, &self.name.0)
    }

    pub(super) fn uid(&self) -> Arc<str> {
        Arc::from(self.uid.as_deref().unwrap_or_default())
    }
}

#[derive(Deserialize)]
pub(super) struct ConfigMap {
    pub(super) metadata: Metadata,
    #[serde(default)]
    pub(super) data: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
pub(super) struct Service {
    metadata: Metadata,
    #[serde(default)]
    spec: Option<ServiceSpec>,
    #[serde(default)]
    status: Option<ServiceStatus>,
}

#[derive(Deserialize, Default)]
struct ServiceSpec {
    #[serde(default, rename = "type")]
    service_type: Option<ServiceType>,
    #[serde(default, rename = "clusterIPs")]
    cluster_ips: Option<Vec<String>>,
    #[serde(default, rename = "clusterIP")]
    cluster_ip: Option<String>,
    #[serde(default, rename = "ipFamilies")]
    ip_families: Option<Vec<IpFamily>>,
    #[serde(default, rename = "ipFamilyPolicy")]
    ip_family_policy: Option<IpFamilyPolicy>,
    #[serde(default, rename = "loadBalancerIP")]
    load_balancer_ip: Option<String>,
    #[serde(default, rename = "loadBalancerClass")]
    load_balancer_class: Option<String>,
    #[serde(default, rename = "externalTrafficPolicy")]
    external_traffic_policy: Option<TrafficPolicy>,
    #[serde(default)]
    selector: Option<BTreeMap<String, String>>,
    #[serde(default)]
    ports: Option<Vec<ServicePort>>,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
enum ServiceType {
    #[serde(rename = "ClusterIP")]
    ClusterIp,
    NodePort,
    LoadBalancer,
    ExternalName,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
enum IpFamily {
    #[serde(rename = "IPv4")]
    V4,
    #[serde(rename = "IPv6")]
    V6,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
enum IpFamilyPolicy {
    #[serde(rename = "SingleStack")]
    Single,
    #[serde(rename = "PreferDualStack")]
    PreferDual,
    #[serde(rename = "RequireDualStack")]
    RequireDual,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
enum TrafficPolicy {
    Cluster,
    Local,
}

#[derive(Deserialize)]
struct ServicePort {
    #[serde(default)]
    protocol: Option<PortProtocol>,
    port: NonZeroU16,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
enum PortProtocol {
    #[serde(rename = "TCP")]
    Tcp,
    #[serde(rename = "UDP")]
    Udp,
    #[serde(rename = "SCTP")]
    Sctp,
}

#[derive(Deserialize)]
struct ServiceStatus {
    #[serde(default, rename = "loadBalancer")]
    load_balancer: Option<LoadBalancerStatus>,
}

#[derive(Deserialize)]
struct LoadBalancerStatus {
    #[serde(default)]
    ingress: Option<Vec<Ingress>>,
}

#[derive(Deserialize)]
struct Ingress {
    #[serde(default)]
    ip: Option<String>,
}

impl ServiceSpec {
    /// The cluster IPs, or what stands for them: a manifest on disk seldom has any, and only their families count.
    ///
    /// In this order: `clusterIPs`; `clusterIP`; `ipFamilies` (with `RequireDualStack`: both); the families of the
    /// `wanted` addresses; IPv4. `PreferDualStack` alone is single-stack: a host has no service network that could be
    /// dual-stack.
    fn families(&self, wanted: &[&str]) -> Vec<String> {
        if let Some(written) = self.cluster_ips.as_ref().filter(|ips| !ips.is_empty()) {
            return written.clone();
        }
        if let Some(written) = self.cluster_ip.as_ref().filter(|ip| !ip.is_empty()) {
            return vec![written.clone()];
        }
        let mut families: Vec<IpFamily> = self.ip_families.clone().unwrap_or_default();
        if families.is_empty() {
            for ip in wanted {
                let family = if ip.contains(':') {
                    IpFamily::V6
                } else {
                    IpFamily::V4
                };
                if !families.contains(&family) {
                    families.push(family);
                }
            }
        }
        if families.is_empty() {
            families.push(IpFamily::V4);
        }
        if self.ip_family_policy == Some(IpFamilyPolicy::RequireDual) && families.len() == 1 {
            families.push(match families.first() {
                Some(IpFamily::V6) => IpFamily::V4,
                _ => IpFamily::V6,
            });
        }
        if self.ip_family_policy == Some(IpFamilyPolicy::Single) {
            families.truncate(1);
        }
        families
            .into_iter()
            .map(|family| match family {
                IpFamily::V4 => ANY_V4.to_owned(),
                IpFamily::V6 => ANY_V6.to_owned(),
            })
            .collect()
    }
}

impl From<Service> for view::Service {
    fn from(service: Service) -> Self {
        let key = service.metadata.key("default");
        let uid = service.metadata.uid();
        let mut annotations = service.metadata.annotations.unwrap_or_default();
        let spec = service.spec.unwrap_or_default();
        let annotation_ips = annotations.remove(names::ANNOTATION_LOAD_BALANCER_IPS);
        let load_balancer_ip = spec.load_balancer_ip.clone().unwrap_or_default();
        let wanted: Vec<&str> = annotation_ips
            .as_deref()
            .unwrap_or_default()
            .split(',')
            .chain([load_balancer_ip.as_str()])
            .map(str::trim)
            .filter(|ip| !ip.is_empty())
            .collect();
        let cluster_ips = spec.families(&wanted);
        Self {
            key,
            uid,
            resource_version: Arc::from(""),
            is_load_balancer: spec.service_type == Some(ServiceType::LoadBalancer),
            load_balancer_class: spec.load_balancer_class,
            cluster_ips,
            load_balancer_ip,
            local_traffic_policy: spec.external_traffic_policy == Some(TrafficPolicy::Local),
            selector: spec.selector.unwrap_or_default(),
            ports: spec
                .ports
                .unwrap_or_default()
                .into_iter()
                .map(|port| view::Port {
                    protocol: Arc::from(match port.protocol.unwrap_or(PortProtocol::Tcp) {
                        PortProtocol::Tcp => "TCP",
                        PortProtocol::Udp => "UDP",
                        PortProtocol::Sctp => "SCTP",
                    }),
                    port: port.port.get(),
                })
                .collect(),
            annotation_pool: annotations.remove(names::ANNOTATION_ADDRESS_POOL),
            annotation_ips,
            sharing_key: annotations
                .remove(names::ANNOTATION_ALLOW_SHARED_IP)
                .unwrap_or_default(),
            ingress: service
                .status
                .and_then(|status| status.load_balancer)
                .and_then(|status| status.ingress)
                .unwrap_or_default()
                .into_iter()
                .map(|ingress| ingress.ip.unwrap_or_default())
                .collect(),
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Endpoints {
    metadata: Metadata,
    #[serde(default)]
    subsets: Option<Vec<Subset>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Subset {
    #[serde(default)]
    addresses: Option<Vec<SubsetAddress>>,
    #[serde(default)]
    not_ready_addresses: Option<Vec<SubsetAddress>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SubsetAddress {
    ip: String,
    #[serde(default)]
    node_name: Option<String>,
}

impl From<Endpoints> for view::Endpoints {
    fn from(raw: Endpoints) -> Self {
        let mut endpoints = Vec::new();
        for subset in raw.subsets.unwrap_or_default() {
            for (addresses, ready) in [
                (subset.addresses, true),
                (subset.not_ready_addresses, false),
            ] {
                endpoints.extend(addresses.unwrap_or_default().into_iter().map(|address| {
                    view::Endpoint {
                        address: address.ip.into(),
                        node: address.node_name.map(Arc::from),
                        ready,
                    }
                }));
            }
        }
        Self {
            service: raw.metadata.key("default"),
            endpoints,
        }
    }
}

#[derive(Deserialize)]
pub(super) struct EndpointSlice {
    metadata: Metadata,
    #[serde(default)]
    endpoints: Option<Vec<SliceEndpoint>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SliceEndpoint {
    #[serde(default)]
    addresses: Option<Vec<String>>,
    #[serde(default)]
    conditions: Option<SliceConditions>,
    #[serde(default)]
    node_name: Option<String>,
    #[serde(default)]
    topology: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct SliceConditions {
    #[serde(default)]
    ready: Option<bool>,
}

impl EndpointSlice {
    /// The slice's own key, and its endpoints under the Service's key; `None` where it belongs to no Service.
    pub(super) fn into_view(self) -> Option<(ObjectKey, view::Endpoints)> {
        let key = self.metadata.key("default");
        let service = self.metadata.labels.as_ref()?.get(SERVICE_NAME_LABEL)?;
        let service = ObjectKey::new(key.namespace(), service);
        let mut endpoints = Vec::new();
        for endpoint in self.endpoints.unwrap_or_default() {
            let ready = endpoint
                .conditions
                .and_then(|conditions| conditions.ready)
                .unwrap_or(true);
            let node: Option<Arc<str>> = endpoint
                .node_name
                .or_else(|| endpoint.topology?.remove(HOSTNAME_LABEL))
                .map(Arc::from);
            endpoints.extend(
                endpoint
                    .addresses
                    .unwrap_or_default()
                    .into_iter()
                    .map(|ip| view::Endpoint {
                        address: ip.into(),
                        node: node.clone(),
                        ready,
                    }),
            );
        }
        Some((key, view::Endpoints { service, endpoints }))
    }
}

#[derive(Deserialize)]
pub(super) struct Node {
    metadata: Metadata,
    #[serde(default)]
    status: Option<NodeStatus>,
}

#[derive(Deserialize)]
struct NodeStatus {
    #[serde(default)]
    conditions: Option<Vec<NodeCondition>>,
}

#[derive(Deserialize)]
struct NodeCondition {
    #[serde(rename = "type")]
    condition: String,
    status: String,
}

impl From<Node> for view::Node {
    fn from(raw: Node) -> Self {
        let ready = raw
            .status
            .and_then(|status| status.conditions)
            .unwrap_or_default()
            .iter()
            .find(|condition| condition.condition == "Ready")
            .is_none_or(|condition| condition.status == "True");
        Self {
            name: Arc::from(raw.metadata.name.0),
            labels: raw.metadata.labels.unwrap_or_default(),
            ready,
        }
    }
}
