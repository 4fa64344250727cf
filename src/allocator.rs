//! Who holds which address.
//!
//! Pure bookkeeping over the pools of a [`Config`](crate::config::Config). It knows Services by key alone.

use std::net::IpAddr;

use crate::ip::Family;
use crate::view::Port;

/// The families that a Service wants: one address of each, all from one pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Families {
    /// One address.
    One(Family),
    /// One IPv4 and one IPv6 address.
    Dual,
}

/// What a Service brings along that decides with whom it may share an address.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Claim {
    /// The (protocol, port) pairs that it serves.
    pub ports: Vec<Port>,
    /// Annotation `allow-shared-ip`; empty: shares with nobody.
    pub sharing_key: String,
    /// With externalTrafficPolicy Local the selector's canonical string `k=v,k=v`; with Cluster empty.
    pub backend_key: String,
}

/// What a Service holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held<'a> {
    /// The pool's name.
    pub pool: &'a str,
    /// The addresses, in the order they were assigned.
    pub addresses: &'a [IpAddr],
}
