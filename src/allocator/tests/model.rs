//! The reference model: the contract, word for word, by plain scans.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::allocator::error::{Mismatch, Others, Uncovered};
use crate::ip::range::{Interval, address_of, bits_of, is_buggy};

/// The pools, and who holds which of their addresses.
#[derive(Debug, Default)]
pub(super) struct Model {
    pools: Vec<Pool>,
    pub(super) held: BTreeMap<ObjectKey, (Vec<IpAddr>, Claim)>,
}

impl Model {
    /// Replaces the pools. Refused whole, with nothing changed, if a held address would no longer be covered.
    /// What is held stays held; a pool may be renamed, an address may move to another pool.
    ///
    pub(super) fn set_pools(&mut self, pools: &[Pool]) -> Result<(), Orphans> {
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
    pub(super) fn assign(
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
        for (index, address) in addresses.iter().enumerate() {
            if addresses[..index].contains(address) {
                return Err(Refusal::Repeated {
                    addresses: addresses.into(),
                    repeated: *address,
                });
            }
        }
        let mut first: Option<&str> = None;
        for address in addresses {
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
    pub(super) fn unassign(&mut self, service: &ObjectKey) -> bool {
        self.held.remove(service).is_some()
    }

    /// Gives the Service the first addresses of the pool that it may have: entries in configured order, ascending.
    /// A Service that holds addresses keeps them, from whichever pool, with the new claim.
    ///
    pub(super) fn allocate_from_pool(
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
    pub(super) fn allocate(
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
    pub(super) fn held(&self, service: &ObjectKey) -> Option<Held<'_>> {
        let (addresses, _) = self.held.get(service)?;
        let pool = self.pool_of(addresses)?;
        Some(Held { pool, addresses })
    }

    /// The one pool that covers all the addresses; `None` also for no addresses at all.
    pub(super) fn pool_of(&self, addresses: &[IpAddr]) -> Option<&str> {
        let (first, rest) = addresses.split_first()?;
        let pool = pool_of(&self.pools, *first).ok()?;
        rest.iter()
            .all(|address| pool_of(&self.pools, *address) == Ok(pool))
            .then_some(pool)
    }

    /// How full the pools are, in configured order.
    pub(super) fn usage(&self) -> impl Iterator<Item = PoolUsage<'_>> {
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
