//! What a Service asks for: its families, its addresses, what it brings along for sharing.
//!
//! Pure reading of a [`Service`]; nobody is asked whether it can be had. The texts of the errors begin with upstream's
//! words (people search for them) and go on with what to do.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use ferrolb_compat::go::ip::parse_ip;
use ferrolb_compat::go::quote::quote;
use ferrolb_compat::names::ANNOTATION_LOAD_BALANCER_IPS;

use crate::allocator::{Claim, Families};
use crate::ip::Family;
use crate::view::Service;

/// Addresses as Go's `%q` writes a list of them: `["10.0.0.1" "fd00::1"]`.
pub(super) struct Quoted<'a>(pub(super) &'a [IpAddr]);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (index, address) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            write!(f, "\"{address}\"")?;
        }
        f.write_str("]")
    }
}

/// Addresses that are neither one, nor one of each family.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Mix {
    /// A text that is no address.
    #[error("invalid address {}", quote(.0))]
    Invalid(String),
    /// Two of one family.
    #[error("same address family {}: there may be one address, or one IPv4 and one IPv6", Quoted(.0))]
    SameFamily(Vec<IpAddr>),
    /// None, or more than two.
    #[error("invalid ips length {}: there may be one address, or one IPv4 and one IPv6", .0)]
    Count(usize),
}

/// The families of a list of addresses.
pub(super) fn families_of(addresses: &[IpAddr]) -> Result<Families, Mix> {
    match *addresses {
        [one] => Ok(Families::One(Family::of(one))),
        [first, second] if Family::of(first) == Family::of(second) => {
            Err(Mix::SameFamily(addresses.to_vec()))
        }
        [_, _] => Ok(Families::Dual),
        _ => Err(Mix::Count(addresses.len())),
    }
}

/// The cluster IPs, without the empty texts that servers before 1.20 leave.
pub(super) fn cluster_ips(service: &Service) -> impl Iterator<Item = &str> {
    service
        .cluster_ips
        .iter()
        .map(String::as_str)
        .filter(|text| !text.is_empty())
}

/// The families of the Service: those of its cluster IPs.
pub(super) fn service_families(service: &Service) -> Result<Families, Mix> {
    let addresses = cluster_ips(service)
        .map(|text| parse_ip(text).ok_or_else(|| Mix::Invalid(text.to_owned())))
        .collect::<Result<Vec<_>, _>>()?;
    families_of(&addresses)
}

/// A request for addresses that nobody could serve.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadRequest {
    /// Both ways at once.
    #[error(
        "service can not have both {ANNOTATION_LOAD_BALANCER_IPS} and svc.Spec.LoadBalancerIP: remove one of them"
    )]
    Both,
    /// `spec.loadBalancerIP` is no address.
    #[error("invalid spec.loadBalancerIP {}: must be one IPv4 or IPv6 address", quote(.0))]
    Spec(String),
    /// The annotation is no list of addresses.
    #[error("invalid {ANNOTATION_LOAD_BALANCER_IPS}: {}: must be addresses separated by commas", quote(.0))]
    Annotation(String),
    /// The annotation is a list that no Service can have.
    #[error("{0}")]
    Mix(Mix),
}

/// The addresses that the Service asks for; `None`: any will do.
pub(super) fn asked_addresses(service: &Service) -> Result<Option<Vec<IpAddr>>, BadRequest> {
    let annotation = service.annotation_ips.as_deref().unwrap_or_default();
    let spec = service.load_balancer_ip.as_str();
    match (annotation, spec) {
        ("", "") => Ok(None),
        ("", spec) => match parse_ip(spec) {
            Some(address) => Ok(Some(vec![address])),
            None => Err(BadRequest::Spec(spec.to_owned())),
        },
        (annotation, "") => {
            let addresses = annotation
                .split(',')
                .map(|text| parse_ip(text.trim()))
                .collect::<Option<Vec<_>>>()
                .ok_or_else(|| BadRequest::Annotation(annotation.to_owned()))?;
            families_of(&addresses).map_err(BadRequest::Mix)?;
            Ok(Some(addresses))
        }
        _ => Err(BadRequest::Both),
    }
}

/// The pool that the Service asks for.
pub(super) fn asked_pool(service: &Service) -> Option<&str> {
    service
        .annotation_pool
        .as_deref()
        .filter(|pool| !pool.is_empty())
}

/// What decides with whom the Service may share an address.
pub(super) fn claim(service: &Service) -> Claim {
    let backend_key = if service.local_traffic_policy {
        canonical(&service.selector)
    } else {
        String::new()
    };
    Claim {
        ports: service.ports.clone(),
        sharing_key: service.sharing_key.clone(),
        backend_key,
    }
}

/// A selector as Kubernetes writes it: `k=v,k=v`, sorted by key.
fn canonical(selector: &BTreeMap<String, String>) -> String {
    let mut text = String::new();
    for (key, value) in selector {
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(key);
        text.push('=');
        text.push_str(value);
    }
    text
}

/// Whether two lists hold the same addresses, whatever their order.
pub(super) fn same_addresses(one: &[IpAddr], other: &[IpAddr]) -> bool {
    one.len() == other.len()
        && one.iter().all(|address| other.contains(address))
        && other.iter().all(|address| one.contains(address))
}
