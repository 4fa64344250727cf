//! Addresses: families, and sets of addresses.
//!
//! IPv4-mapped IPv6 addresses are IPv4 everywhere (Go's `net.IP` makes no difference): values enter through
//! `ferrolb_compat::go::ip`, which sees to that.

use std::fmt;
use std::net::IpAddr;

pub mod range;

/// An address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The family of an address.
    #[must_use]
    pub fn of(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}

impl fmt::Display for Family {
    /// Upstream's words: `ipv4`, `ipv6`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "ipv4",
            Self::V6 => "ipv6",
        })
    }
}
