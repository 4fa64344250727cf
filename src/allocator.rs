//! Who holds which address.
//!
//! Pure bookkeeping over the pools of a [`Config`](crate::config::Config). It knows Services by key alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use crate::config::Pool;
use crate::ip::Family;
use crate::ip::range::{Interval, address_of, bits_of, is_buggy};
use crate::view::{ObjectKey, Port};

pub mod error;

use error::{Mismatch, Others, Uncovered};
pub use error::{Orphan, Orphans, Refusal};

/// The families that a Service wants: one address of each, all from one pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Families {
    /// One address.
    One(Family),
    /// One IPv4 and one IPv6 address.
    Dual,
}

impl Families {
    /// The families of some addresses; `None` unless they are one address, or one of each family.
    #[must_use]
    pub fn of(addresses: &[IpAddr]) -> Option<Self> {
        match addresses {
            [one] => Some(Self::One(Family::of(*one))),
            [one, other] if Family::of(*one) != Family::of(*other) => Some(Self::Dual),
            _ => None,
        }
    }
}

impl fmt::Display for Families {
    /// Upstream's words: `ipv4`, `ipv6`, `dual`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(family) => family.fmt(f),
            Self::Dual => f.write_str("dual"),
        }
    }
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

/// How full a pool is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolUsage<'a> {
    /// The pool's name.
    pub name: &'a str,
    /// How many addresses it can give, `i64::MAX` from 62 host bits on.
    pub capacity: i64,
    /// How many different addresses are held: a shared one counts once, a dual-stack Service twice.
    pub in_use: i64,
}

/// The pools, and who holds which of their addresses.
#[derive(Debug, Default)]
pub struct Allocator {
    pools: Vec<Pool>,
    held: BTreeMap<ObjectKey, (Vec<IpAddr>, Claim)>,
}

impl Allocator {
    /// Replaces the pools. Refused whole, with nothing changed, if a held address would no longer be covered.
    /// What is held stays held; a pool may be renamed, an address may move to another pool.
    ///
    /// # Errors
    /// Every (Service, address) that would be left without a pool.
    pub fn set_pools(&mut self, pools: &[Pool]) -> Result<(), Orphans> {
        let mut orphans = Vec::new();
        for (service, (addresses, _)) in &self.held {
            let mut first: Option<&str> = None;
            for address in addresses {
                let why = match pool_of(pools, *address) {
                    Err(why) => why,
                    Ok(pool) => match first {
                        Some(first) if first != pool => Uncovered::Apart {
                            first: first.into(),
                            pool: pool.into(),
                        },
                        _ => {
                            first = Some(pool);
                            continue;
                        }
                    },
                };
                orphans.push(Orphan {
                    service: service.clone(),
                    address: *address,
                    why,
                });
            }
        }
        if !orphans.is_empty() {
            return Err(Orphans { orphans });
        }
        self.pools = pools.to_vec();
        Ok(())
    }

    /// Gives the Service exactly these addresses. It may hold them, or others, already: then they are replaced at
    /// once.
    ///
    /// # Errors
    /// Why it may not have them; nothing has changed.
    pub fn assign(
        &mut self,
        service: &ObjectKey,
        addresses: &[IpAddr],
        claim: &Claim,
    ) -> Result<(), Refusal> {
        let refuse = |culprit, why| Refusal::NotAllowed {
            addresses: addresses.into(),
            culprit,
            why,
        };
        let mut first: Option<&str> = None;
        for (index, address) in addresses.iter().enumerate() {
            if addresses
                .iter()
                .take(index)
                .any(|earlier| earlier == address)
            {
                return Err(Refusal::Repeated {
                    addresses: addresses.into(),
                    repeated: *address,
                });
            }
            let pool = pool_of(&self.pools, *address).map_err(|why| refuse(Some(*address), why))?;
            match first {
                Some(first) if first != pool => {
                    let apart = Uncovered::Apart {
                        first: first.into(),
                        pool: pool.into(),
                    };
                    return Err(refuse(Some(*address), apart));
                }
                _ => first = Some(pool),
            }
        }
        if addresses.is_empty() {
            return Err(refuse(None, Uncovered::NoPool));
        }
        for address in addresses {
            self.check(service, *address, claim)?;
        }
        self.held
            .insert(service.clone(), (addresses.to_vec(), claim.clone()));
        Ok(())
    }

    /// Frees what the Service holds; says whether it held anything.
    pub fn unassign(&mut self, service: &ObjectKey) -> bool {
        self.held.remove(service).is_some()
    }

    /// Gives the Service the first addresses of the pool that it may have: entries in configured order, ascending.
    /// A Service that holds addresses keeps them, from whichever pool, with the new claim.
    ///
    /// # Errors
    /// Why it gets none; nothing has changed.
    pub fn allocate_from_pool(
        &mut self,
        service: &ObjectKey,
        families: Families,
        pool: &str,
        claim: &Claim,
    ) -> Result<Vec<IpAddr>, Refusal> {
        if let Some(kept) = self.keep(service, families, claim) {
            return kept;
        }
        let Some(found) = self.pools.iter().find(|candidate| candidate.name == pool) else {
            return Err(Refusal::UnknownPool { pool: pool.into() });
        };
        let Some(addresses) = self.first_fit(service, families, found, claim) else {
            return Err(Refusal::PoolExhausted {
                pool: pool.into(),
                families,
            });
        };
        self.assign(service, &addresses, claim)?;
        Ok(addresses)
    }

    /// Gives the Service addresses from the first pool, in configured order, that has auto-assign and can serve it.
    /// A Service that holds addresses keeps them, with the new claim.
    ///
    /// # Errors
    /// Why it gets none; nothing has changed.
    pub fn allocate(
        &mut self,
        service: &ObjectKey,
        families: Families,
        claim: &Claim,
    ) -> Result<Vec<IpAddr>, Refusal> {
        if let Some(kept) = self.keep(service, families, claim) {
            return kept;
        }
        let found = self
            .pools
            .iter()
            .filter(|pool| pool.auto_assign)
            .find_map(|pool| self.first_fit(service, families, pool, claim));
        let Some(addresses) = found else {
            return Err(Refusal::Exhausted {
                families,
                pools: self.pools.iter().filter(|pool| pool.auto_assign).count(),
            });
        };
        self.assign(service, &addresses, claim)?;
        Ok(addresses)
    }

    /// What the Service holds.
    #[must_use]
    pub fn held(&self, service: &ObjectKey) -> Option<Held<'_>> {
        let (addresses, _) = self.held.get(service)?;
        let pool = self.pool_of(addresses)?;
        Some(Held { pool, addresses })
    }

    /// The one pool that covers all the addresses; `None` also for no addresses at all.
    #[must_use]
    pub fn pool_of(&self, addresses: &[IpAddr]) -> Option<&str> {
        let (first, rest) = addresses.split_first()?;
        let pool = pool_of(&self.pools, *first).ok()?;
        rest.iter()
            .all(|address| pool_of(&self.pools, *address) == Ok(pool))
            .then_some(pool)
    }

    /// How full the pools are, in configured order.
    pub fn usage(&self) -> impl Iterator<Item = PoolUsage<'_>> {
        self.pools.iter().map(|pool| {
            let mut capacity = 0_i64;
            for cidr in &pool.cidrs {
                let (interval, more) = Interval::of_net(cidr);
                if more.is_some() || interval.count() >= 1 << 62 {
                    capacity = i64::MAX;
                    break;
                }
                let mut count = interval.count();
                if pool.avoid_buggy_ips {
                    count -= interval.count_buggy();
                }
                capacity = capacity.saturating_add(i64::try_from(count).unwrap_or(i64::MAX));
            }
            let in_use: BTreeSet<IpAddr> = self
                .held
                .values()
                .flat_map(|(addresses, _)| addresses)
                .copied()
                .filter(|address| pool.contains(*address))
                .collect();
            PoolUsage {
                name: &pool.name,
                capacity,
                in_use: i64::try_from(in_use.len()).unwrap_or(i64::MAX),
            }
        })
    }

    fn keep(
        &mut self,
        service: &ObjectKey,
        families: Families,
        claim: &Claim,
    ) -> Option<Result<Vec<IpAddr>, Refusal>> {
        let (held, _) = self.held.get(service)?;
        let held = held.clone();
        if Families::of(&held) != Some(families) {
            return Some(Err(Refusal::WrongFamily {
                held: held.into(),
                families,
            }));
        }
        Some(self.assign(service, &held, claim).map(|()| held))
    }

    fn first_fit(
        &self,
        service: &ObjectKey,
        families: Families,
        pool: &Pool,
        claim: &Claim,
    ) -> Option<Vec<IpAddr>> {
        let mut wanted = match families {
            Families::One(family) => vec![family],
            Families::Dual => vec![Family::V4, Family::V6],
        };
        let mut found = Vec::new();
        for cidr in &pool.cidrs {
            let (first, second) = Interval::of_net(cidr);
            for interval in [Some(first), second].into_iter().flatten() {
                if !wanted.contains(&interval.family()) {
                    continue;
                }
                let fit = (interval.first..=interval.last)
                    .filter(|bits| !(pool.avoid_buggy_ips && is_buggy(*bits)))
                    .map(address_of)
                    .find(|address| self.check(service, *address, claim).is_ok());
                if let Some(fit) = fit {
                    found.push(fit);
                    wanted.retain(|family| *family != Family::of(fit));
                }
            }
        }
        wanted.is_empty().then_some(found)
    }

    fn check(&self, service: &ObjectKey, address: IpAddr, claim: &Claim) -> Result<(), Refusal> {
        let others: Vec<_> = self
            .held
            .iter()
            .filter(|(key, (addresses, _))| *key != service && addresses.contains(&address))
            .collect();
        let Some((_, (_, existing))) = others.first() else {
            return Ok(());
        };
        let why = if existing.sharing_key.is_empty() {
            Mismatch::HolderDoesNotShare
        } else if claim.sharing_key.is_empty() {
            Mismatch::AskerDoesNotShare
        } else if existing.sharing_key != claim.sharing_key {
            Mismatch::SharingKey {
                held: existing.sharing_key.as_str().into(),
                asked: claim.sharing_key.as_str().into(),
            }
        } else if existing.backend_key != claim.backend_key {
            Mismatch::BackendKey
        } else {
            for port in &claim.ports {
                for (by, (_, theirs)) in &others {
                    if theirs.ports.contains(port) {
                        return Err(Refusal::PortInUse {
                            port: port.clone(),
                            address,
                            by: (*by).clone(),
                        });
                    }
                }
            }
            return Ok(());
        };
        Err(Refusal::KeyInUse {
            service: service.clone(),
            address,
            others: Others::new(others.into_iter().map(|(key, _)| key.clone()).collect()),
            why,
        })
    }
}

/// The pool of one address. Buggy addresses of a pool that avoids them are in none.
fn pool_of(pools: &[Pool], address: IpAddr) -> Result<&str, Uncovered> {
    let Some(pool) = pools.iter().find(|pool| pool.contains(address)) else {
        return Err(Uncovered::NoPool);
    };
    if pool.avoid_buggy_ips && is_buggy(bits_of(address)) {
        return Err(Uncovered::Buggy {
            pool: pool.name.as_str().into(),
        });
    }
    Ok(&pool.name)
}
