//! The words that installations of MetalLB 0.12 rely on, each spelled once.
//!
//! Upstream: annotations in `internal/k8s`, metrics in the packages that own them, environment variables in
//! `manifests/metallb.yaml`.

/// Annotation of a Service: the pool to allocate from (also one with `auto-assign: false`).
pub const ANNOTATION_ADDRESS_POOL: &str = "metallb.universe.tf/address-pool";
/// Annotation of a Service: the addresses asked for, separated by commas.
pub const ANNOTATION_LOAD_BALANCER_IPS: &str = "metallb.universe.tf/loadBalancerIPs";
/// Annotation of a Service: the sharing key.
pub const ANNOTATION_ALLOW_SHARED_IP: &str = "metallb.universe.tf/allow-shared-ip";

/// Environment variables read by the programs.
pub mod env {
    /// Namespace of ConfigMap, secret and speakers.
    pub const NAMESPACE: &str = "METALLB_NAMESPACE";
    /// Name of the memberlist secret that the controller creates; empty: none.
    pub const ML_SECRET_NAME: &str = "METALLB_ML_SECRET_NAME";
    /// Name of the controller's Deployment, owner of that secret.
    pub const DEPLOYMENT: &str = "METALLB_DEPLOYMENT";
    /// Address that the speaker's HTTP port binds to.
    pub const HOST: &str = "METALLB_HOST";
    /// The speaker's node, as in `spec.nodeName`.
    pub const NODE_NAME: &str = "METALLB_NODE_NAME";
    /// Memberlist's bind address.
    pub const ML_BIND_ADDR: &str = "METALLB_ML_BIND_ADDR";
    /// Memberlist's bind port.
    pub const ML_BIND_PORT: &str = "METALLB_ML_BIND_PORT";
    /// Label selector of the speaker pods.
    pub const ML_LABELS: &str = "METALLB_ML_LABELS";
    /// Memberlist's key.
    pub const ML_SECRET_KEY: &str = "METALLB_ML_SECRET_KEY";
    /// `native` or `frr`.
    pub const BGP_TYPE: &str = "METALLB_BGP_TYPE";
}

/// Where a pod finds its own namespace.
pub const SERVICE_ACCOUNT_NAMESPACE_FILE: &str =
    "/var/run/secrets/kubernetes.io/serviceaccount/namespace";
/// Default name of the ConfigMap.
pub const DEFAULT_CONFIG_MAP: &str = "config";
/// The key of the ConfigMap that holds the document.
pub const CONFIG_KEY: &str = "config";
/// Default port of `/metrics`.
pub const DEFAULT_METRICS_PORT: u16 = 7472;
/// The key of the memberlist secret.
pub const MEMBERLIST_SECRET_KEY: &str = "secretkey";

/// Reasons of Kubernetes Events.
pub mod reason {
    /// A Service was given its addresses.
    pub const IP_ALLOCATED: &str = "IPAllocated";
    /// A Service could not be given an address.
    pub const ALLOCATION_FAILED: &str = "AllocationFailed";
    /// A Service that holds addresses asks for malformed ones.
    pub const LOAD_BALANCER_FAILED: &str = "LoadBalancerFailed";
    /// The addresses in the status are no valid mix of families.
    pub const NO_LB_IPS_IP_FAMILY: &str = "nolbIPsIPFamily";
    /// The cluster IPs are no valid mix of families.
    pub const NO_CLUSTER_IPS_IP_FAMILY: &str = "noclusterIPsIPFamily";
    /// Something that should not happen.
    pub const INTERNAL_ERROR: &str = "InternalError";
    /// A node announces a Service.
    pub const NODE_ASSIGNED: &str = "nodeAssigned";
    /// The ConfigMap was refused (ours: 0.12 only logs it).
    pub const CONFIG_REFUSED: &str = "ConfigRefused";
    /// A Service's pool would no longer cover its address, so that the configuration was refused (ours).
    pub const CONFIG_HELD_BACK: &str = "ConfigHeldBack";
    /// The kernel answers ARP for addresses that it should leave to the speaker (ours).
    pub const STRICT_ARP_OFF: &str = "StrictARPOff";
    /// A BGP session of this node is lost (ours).
    pub const BGP_SESSION_DOWN: &str = "BGPSessionDown";
    /// An interface of the host itself carries an announced address (ours).
    pub const ADDRESS_ON_HOST: &str = "AddressOnHost";
}

/// Metric names.
pub mod metric {
    /// Gauge, by pool.
    pub const ALLOCATOR_ADDRESSES_TOTAL: &str = "metallb_allocator_addresses_total";
    /// Gauge, by pool.
    pub const ALLOCATOR_ADDRESSES_IN_USE_TOTAL: &str = "metallb_allocator_addresses_in_use_total";
    /// Counter.
    pub const CLIENT_UPDATES_TOTAL: &str = "metallb_k8s_client_updates_total";
    /// Counter.
    pub const CLIENT_UPDATE_ERRORS_TOTAL: &str = "metallb_k8s_client_update_errors_total";
    /// Gauge.
    pub const CLIENT_CONFIG_LOADED: &str = "metallb_k8s_client_config_loaded_bool";
    /// Gauge.
    pub const CLIENT_CONFIG_STALE: &str = "metallb_k8s_client_config_stale_bool";
    /// Gauge, by service, protocol, node and ip.
    pub const SPEAKER_ANNOUNCED: &str = "metallb_speaker_announced";
    /// Gauge, by peer (`ip:port`).
    pub const BGP_SESSION_UP: &str = "metallb_bgp_session_up";
    /// Gauge, by peer.
    pub const BGP_ANNOUNCED_PREFIXES_TOTAL: &str = "metallb_bgp_announced_prefixes_total";
    /// Gauge, by peer.
    pub const BGP_PENDING_PREFIXES_TOTAL: &str = "metallb_bgp_pending_prefixes_total";
    /// Counter, by peer.
    pub const BGP_UPDATES_TOTAL: &str = "metallb_bgp_updates_total";
    /// Gauge, by peer (`ip`).
    pub const BFD_SESSION_UP: &str = "metallb_bfd_session_up";
    /// Counter, by peer.
    pub const BFD_CONTROL_PACKET_INPUT: &str = "metallb_bfd_control_packet_input";
    /// Counter, by peer.
    pub const BFD_CONTROL_PACKET_OUTPUT: &str = "metallb_bfd_control_packet_output";
    /// Counter, by peer.
    pub const BFD_ECHO_PACKET_INPUT: &str = "metallb_bfd_echo_packet_input";
    /// Counter, by peer.
    pub const BFD_ECHO_PACKET_OUTPUT: &str = "metallb_bfd_echo_packet_output";
    /// Counter, by peer.
    pub const BFD_SESSION_UP_EVENTS: &str = "metallb_bfd_session_up_events";
    /// Counter, by peer.
    pub const BFD_SESSION_DOWN_EVENTS: &str = "metallb_bfd_session_down_events";
    /// Counter, by ip.
    pub const LAYER2_REQUESTS_RECEIVED: &str = "metallb_layer2_requests_received";
    /// Counter, by ip.
    pub const LAYER2_RESPONSES_SENT: &str = "metallb_layer2_responses_sent";
    /// Counter, by ip.
    pub const LAYER2_GRATUITOUS_SENT: &str = "metallb_layer2_gratuitous_sent";
}
