//! What the speaker remembers of a Service: only what decisions, logs and Events look at.
//!
//! A Service object is some kilobytes; ten thousand of them must fit into a few megabytes.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use ferrolb_compat::go::ip::parse_ip;

use super::bgp::routes::Advertisement;
use super::election::Winner;
use super::endpoints::Readiness;
use super::pools::NotAllowed;
use crate::config::Protocol;
use crate::view::{ObjectKey, ObjectReference};

/// Everything about one key. Endpoints may come before their Service, or without one.
#[derive(Debug, Default)]
pub(super) struct Entry {
    /// The Service, if it is of type LoadBalancer.
    pub(super) balancer: Option<Box<Balancer>>,
    /// Its endpoints, if there is such an object. Kept for Services of every type, because the type can change.
    pub(super) endpoints: Option<Readiness>,
}

impl Entry {
    /// Whether this node is the owner.
    pub(super) fn is_won_by(&self, node: &str) -> bool {
        self.balancer
            .as_ref()
            .and_then(|balancer| balancer.winner.as_ref())
            .is_some_and(|winner| winner.node() == node)
    }

    /// The first address, of a Service with policy Cluster.
    pub(super) fn shared_first(&self) -> Option<IpAddr> {
        let balancer = self.balancer.as_ref().filter(|balancer| !balancer.local)?;
        balancer.addresses.first()
    }
}

/// A Service of type LoadBalancer.
#[derive(Debug, Default)]
pub(super) struct Balancer {
    /// `metadata.uid`, for Events.
    pub(super) uid: Arc<str>,
    /// Whether `spec.externalTrafficPolicy` is `Local`.
    pub(super) local: bool,
    /// What its status says.
    pub(super) addresses: Addresses,
    /// Who owns it in layer 2, as far as this speaker knows. `None`: nobody can.
    pub(super) winner: Option<Winner>,
    /// What this speaker announces for it.
    pub(super) announced: Option<Announced>,
    /// What was said about it last, so that it is said once.
    pub(super) complaint: Option<Complaint>,
}

impl Balancer {
    /// The Service as it is for Events.
    pub(super) fn reference(&self, key: &ObjectKey) -> ObjectReference {
        ObjectReference {
            kind: "Service",
            key: key.clone(),
            uid: self.uid.clone(),
        }
    }
}

/// `status.loadBalancer.ingress[].ip`, understood.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum Addresses {
    /// No entry.
    #[default]
    None,
    /// An entry that is no address (for example one that has only a host name): the text.
    Invalid(Box<str>),
    /// In the order of the status, at least one.
    Held(Arc<[IpAddr]>),
}

impl Addresses {
    /// Reads the entries.
    ///
    /// Upstream: `net.ParseIP`; an IPv4-mapped IPv6 address is the IPv4 address.
    pub(super) fn parse(ingress: &[String]) -> Self {
        if ingress.is_empty() {
            return Self::None;
        }
        let mut addresses = Vec::with_capacity(ingress.len());
        for text in ingress {
            match parse_ip(text) {
                Some(ip) => addresses.push(ip),
                None => return Self::Invalid(text.as_str().into()),
            }
        }
        Self::Held(addresses.into())
    }

    /// Whether it holds one of these.
    pub(super) fn holds_any(&self, ips: &BTreeSet<IpAddr>) -> bool {
        match self {
            Self::Held(addresses) => addresses.iter().any(|ip| ips.contains(ip)),
            Self::None | Self::Invalid(_) => false,
        }
    }

    /// The address that the election looks at.
    pub(super) fn first(&self) -> Option<IpAddr> {
        match self {
            Self::Held(addresses) => addresses.first().copied(),
            Self::None | Self::Invalid(_) => None,
        }
    }
}

/// An announcement that this speaker makes.
#[derive(Debug)]
pub(super) struct Announced {
    /// How.
    pub(super) protocol: Protocol,
    /// The pool's name, for logs.
    pub(super) pool: Arc<str>,
    /// What.
    pub(super) addresses: Arc<[IpAddr]>,
    /// As which routes; none for layer 2.
    pub(super) advertisements: Arc<[Advertisement]>,
}

/// Something about a Service that its owner should mend.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Complaint {
    /// The status holds something that is no address.
    InvalidIp,
    /// The addresses are in no pool, or in several.
    NotAllowed(NotAllowed),
}

/// Why an announcement ends, in 0.12's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Reason {
    /// The Service is gone.
    ServiceDeleted,
    /// The Service has another type now.
    NotLoadBalancer,
    /// Its status holds no address.
    NoIpAllocated,
    /// Its status holds something that is no address.
    InvalidIp,
    /// No pool holds its addresses, or not one pool all of them.
    IpNotAllowed,
    /// The protocol of its pool changed; it may be announced the other way from now on.
    ProtocolChanged,
    /// It has other addresses, that may be announced from now on.
    LoadBalancerIpChanged,
    /// Another node announces it.
    NotOwner,
    /// None of its endpoints is ready.
    NoEndpoints,
    /// Another node announces it as well, and comes first.
    AddressConflict,
    /// None of its endpoints is ready on this node, and it has policy Local.
    NoLocalEndpoints,
}

impl Reason {
    /// The word of the logs.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::ServiceDeleted => "serviceDeleted",
            Self::NotLoadBalancer => "notLoadBalancer",
            Self::NoIpAllocated => "noIPAllocated",
            Self::InvalidIp => "invalidIP",
            Self::IpNotAllowed => "ipNotAllowed",
            Self::ProtocolChanged => "protocolChanged",
            Self::LoadBalancerIpChanged => "loadBalancerIPChanged",
            Self::NotOwner => "notOwner",
            Self::NoEndpoints => "noEndpoints",
            Self::AddressConflict => "addressConflict",
            Self::NoLocalEndpoints => "noLocalEndpoints",
        }
    }
}
