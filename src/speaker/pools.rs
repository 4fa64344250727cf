//! Which pool holds an address: the pools' CIDRs as sorted intervals, so that a look-up does not scan the pools.
//!
//! Invariant: no two intervals overlap, because `config::parse` refuses a CIDR that overlaps any before it.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::BgpType;
use super::bgp::routes::Advertisement;
use crate::config::{Config, Protocol};

/// The pools of one configuration, by address.
#[derive(Debug, Clone, Default)]
pub(super) struct Pools {
    /// Name and protocol, in the order of the document.
    pools: Vec<Pool>,
    /// IPv4 intervals, ascending.
    v4: Vec<Span>,
    /// IPv6 intervals, ascending.
    v6: Vec<Span>,
}

/// What the speaker knows about a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pool {
    /// Its name.
    pub(super) name: Arc<str>,
    /// How its addresses are announced.
    pub(super) protocol: Protocol,
    /// What is advertised for each address; none for layer 2.
    pub(super) advertisements: Arc<[Advertisement]>,
}

/// The addresses of one CIDR, as numbers.
#[derive(Debug, Clone, Copy)]
struct Span {
    first: u128,
    last: u128,
    /// Index in `Pools::pools`.
    pool: usize,
}

/// Why a Service's addresses may not be announced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NotAllowed {
    /// There is no address.
    Nothing,
    /// This one is in no pool.
    Outside(IpAddr),
    /// They are in different pools.
    Apart {
        first: (IpAddr, Arc<str>),
        other: (IpAddr, Arc<str>),
    },
}

impl fmt::Display for NotAllowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("there is no address"),
            Self::Outside(ip) => write!(f, "address {ip} is in no pool of the configuration"),
            Self::Apart { first, other } => write!(
                f,
                "addresses {} (pool \"{}\") and {} (pool \"{}\") are in different pools",
                first.0, first.1, other.0, other.1
            ),
        }
    }
}

impl Pools {
    /// The index of a configuration.
    pub(super) fn new(config: &Config, bgp_type: BgpType) -> Self {
        let mut index = Self::default();
        for pool in &config.pools {
            let number = index.pools.len();
            index.pools.push(Pool {
                name: pool.name.as_str().into(),
                protocol: pool.protocol,
                advertisements: pool
                    .bgp_advertisements
                    .iter()
                    .zip(0..)
                    .map(|(configured, position)| {
                        Advertisement::new(configured, position, bgp_type)
                    })
                    .collect(),
            });
            for cidr in &pool.cidrs {
                let span = Span {
                    first: number_of(cidr.network()),
                    last: number_of(cidr.broadcast()),
                    pool: number,
                };
                match cidr {
                    IpNet::V4(_) => index.v4.push(span),
                    IpNet::V6(_) => index.v6.push(span),
                }
            }
        }
        index.v4.sort_unstable_by_key(|span| span.first);
        index.v6.sort_unstable_by_key(|span| span.first);
        index
    }

    /// The pool that holds this address.
    fn of(&self, ip: IpAddr) -> Option<&Pool> {
        let spans = match ip {
            IpAddr::V4(_) => &self.v4,
            IpAddr::V6(_) => &self.v6,
        };
        let ip = number_of(ip);
        let after = spans.partition_point(|span| span.first <= ip);
        let span = spans.get(after.checked_sub(1)?)?;
        (ip <= span.last)
            .then(|| self.pools.get(span.pool))
            .flatten()
    }

    /// The one pool that holds all of these addresses.
    ///
    /// Deviation: upstream takes the pool of any one of them, in random order.
    pub(super) fn of_all(&self, addresses: &[IpAddr]) -> Result<&Pool, NotAllowed> {
        let mut found: Option<(IpAddr, &Pool)> = None;
        for &ip in addresses {
            let pool = self.of(ip).ok_or(NotAllowed::Outside(ip))?;
            match found {
                None => found = Some((ip, pool)),
                Some((_, first)) if first.name == pool.name => {}
                Some((first_ip, first)) => {
                    return Err(NotAllowed::Apart {
                        first: (first_ip, first.name.clone()),
                        other: (ip, pool.name.clone()),
                    });
                }
            }
        }
        match found {
            Some((_, pool)) => Ok(pool),
            None => Err(NotAllowed::Nothing),
        }
    }
}

/// The address as a number of its family.
fn number_of(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => u128::from(ip.to_bits()),
        IpAddr::V6(ip) => ip.to_bits(),
    }
}
