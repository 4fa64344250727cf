//! Why a Service does not get an address, and why pools cannot be replaced.
//!
//! Operators read these texts in Events and logs. Upstream: each begins with MetalLB 0.12.1's words (its
//! `internal/allocator`), which people search for; what follows is ours and says why.

use std::fmt;
use std::net::IpAddr;

use thiserror::Error;

use super::Families;
use crate::view::{ObjectKey, Port};

/// How many Services or addresses a text names before it only counts.
const NAMED: usize = 5;

/// Why a Service does not get an address. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// No single pool has all the addresses.
    #[error("{} is not allowed in config{}", Quoted(addresses), NotAllowed(addresses, *culprit, why))]
    NotAllowed {
        /// The addresses that were asked for.
        addresses: Box<[IpAddr]>,
        /// The first that is at fault; `None` where no address was asked for.
        culprit: Option<IpAddr>,
        /// What is wrong with it.
        why: Uncovered,
    },
    /// Others hold the address, and they and the Service do not share.
    #[error("can't change sharing key for {:?}, address also in use by {others}: {why} ({address})", service.as_str())]
    KeyInUse {
        /// The Service that asked.
        service: ObjectKey,
        /// The address.
        address: IpAddr,
        /// Who holds it.
        others: Others,
        /// Why they do not share.
        why: Mismatch,
    },
    /// Another holder of the shared address serves the same port.
    #[error("port {}/{} is already in use on {:?}, by {by}", port.protocol, port.port, address.to_string())]
    PortInUse {
        /// The port.
        port: Port,
        /// The address.
        address: IpAddr,
        /// The Service that serves it.
        by: ObjectKey,
    },
    /// The configuration has no such pool.
    #[error("unknown pool {pool:?}")]
    UnknownPool {
        /// The name that was asked for.
        pool: Box<str>,
    },
    /// The pool has no address left that the Service may have.
    #[error("no available IPs in pool {pool:?} for {families} IPFamily")]
    PoolExhausted {
        /// The pool.
        pool: Box<str>,
        /// What was asked for.
        families: Families,
    },
    /// No pool with auto-assign has an address left that the Service may have.
    #[error("no available IPs{}", Exhausted(*families, *pools))]
    Exhausted {
        /// What was asked for.
        families: Families,
        /// How many pools have auto-assign.
        pools: usize,
    },
    /// The Service holds addresses of other families than it now asks for; it must give them back first.
    #[error(
        "IP for wrong family assigned: {} held, {families} wanted",
        Quoted(held)
    )]
    WrongFamily {
        /// What it holds.
        held: Box<[IpAddr]>,
        /// What was asked for.
        families: Families,
    },
    /// One address is asked for twice.
    #[error("{} names {repeated} twice", Quoted(addresses))]
    Repeated {
        /// The addresses that were asked for.
        addresses: Box<[IpAddr]>,
        /// The one that occurs twice.
        repeated: IpAddr,
    },
    /// The bookkeeping's numbers are used up: some 2^31 Services or shared addresses.
    #[error("no available IPs: more Services or shared addresses than can be counted")]
    TooMany,
}

/// Why no pool covers an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Uncovered {
    /// No pool contains it.
    NoPool,
    /// The pool that contains it avoids addresses that end in .0 or .255 (`avoid-buggy-ips`).
    Buggy {
        /// That pool.
        pool: Box<str>,
    },
    /// It is in another pool than the addresses before it.
    Apart {
        /// The pool of the first address.
        first: Box<str>,
        /// The pool of this one.
        pool: Box<str>,
    },
}

/// Why two Services do not share an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mismatch {
    /// The holder has no sharing key.
    HolderDoesNotShare,
    /// The Service that asks has no sharing key.
    AskerDoesNotShare,
    /// The sharing keys differ.
    SharingKey {
        /// The holders' key.
        held: Box<str>,
        /// The key of the Service that asks.
        asked: Box<str>,
    },
    /// The backend keys differ: not both Cluster, nor both Local with the same selector.
    BackendKey,
}

/// The holders of an address, some of them by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Others {
    /// The first few by name, ascending. Never empty.
    pub named: Box<[ObjectKey]>,
    /// How many more there are.
    pub more: usize,
}

/// Held addresses that no pool of a new configuration covers. Never empty.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub struct Orphans {
    /// Each address with its holder, ascending by Service.
    pub orphans: Vec<Orphan>,
}

/// A held address that no pool of a new configuration covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orphan {
    /// The holder.
    pub service: ObjectKey,
    /// The address.
    pub address: IpAddr,
    /// What is wrong with it under the new configuration.
    pub why: Uncovered,
}

impl Others {
    /// From all holders, in any order.
    pub(super) fn new(mut all: Vec<ObjectKey>) -> Self {
        all.sort_unstable();
        let more = all.len().saturating_sub(NAMED);
        all.truncate(NAMED);
        Self {
            named: all.into(),
            more,
        }
    }
}

impl fmt::Display for Others {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, key) in self.named.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            write!(f, "{key}")?;
        }
        if self.more > 0 {
            write!(f, " and {} more", self.more)?;
        }
        Ok(())
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HolderDoesNotShare => f.write_str("existing service does not allow sharing"),
            Self::AskerDoesNotShare => f.write_str("new service does not allow sharing"),
            Self::SharingKey { held, asked } => write!(
                f,
                "sharing key {asked:?} does not match existing sharing key {held:?}"
            ),
            Self::BackendKey => f.write_str(
                "to share, both must have externalTrafficPolicy Cluster, or both Local and the same selector",
            ),
        }
    }
}

impl fmt::Display for Uncovered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPool => f.write_str("is in no address pool"),
            Self::Buggy { pool } => write!(
                f,
                "is in pool {pool:?}, which avoids addresses that end in .0 or .255"
            ),
            Self::Apart { first, pool } => write!(
                f,
                "is in pool {pool:?}, but all must be in one pool, here {first:?}"
            ),
        }
    }
}

impl fmt::Display for Orphans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("new config not compatible with assigned IPs: ")?;
        for (index, orphan) in self.orphans.iter().take(NAMED).enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            write!(
                f,
                "service {:?} cannot own {:?} under new config (it {})",
                orphan.service.as_str(),
                orphan.address.to_string(),
                orphan.why
            )?;
        }
        let more = self.orphans.len().saturating_sub(NAMED);
        if more > 0 {
            write!(f, "; and {more} more")?;
        }
        f.write_str(". Keep these addresses in a pool, or delete the services first")
    }
}

/// Addresses as Go prints a `[]net.IP` with `%q`: `["10.0.0.1" "fd00::1"]`.
struct Quoted<'a>(&'a [IpAddr]);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (index, address) in self.0.iter().take(NAMED).enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            write!(f, "\"{address}\"")?;
        }
        if self.0.len() > NAMED {
            write!(f, " and {} more", self.0.len() - NAMED)?;
        }
        f.write_str("]")
    }
}

/// What follows upstream's "is not allowed in config"; nothing where that says it all.
struct NotAllowed<'a>(&'a [IpAddr], Option<IpAddr>, &'a Uncovered);

impl fmt::Display for NotAllowed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.1, self.0, self.2) {
            (None, _, _) | (_, [_], Uncovered::NoPool) => Ok(()),
            (Some(culprit), _, why) => write!(f, ": {culprit} {why}"),
        }
    }
}

/// What follows upstream's "no available IPs".
struct Exhausted(Families, usize);

impl fmt::Display for Exhausted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            0 => f.write_str(": no address pool has auto-assign"),
            1 => write!(
                f,
                " for {} IPFamily in the one pool with auto-assign",
                self.0
            ),
            pools => write!(
                f,
                " for {} IPFamily in the {pools} pools with auto-assign",
                self.0
            ),
        }
    }
}
