//! Which addresses a Service may have, and which of them it gets.
//!
//! Upstream: entries in configured order, ascending addresses, and the first for which the check of sharing passes.
//! That is the lower of two: the first free address, and the first held one whose holders the Service may join.

use std::net::IpAddr;

use super::error::{Mismatch, Others, Refusal};
use super::holders::Holder;
use super::space::Scope;
use super::{Allocator, Claim, Families};
use crate::ip::Family;
use crate::ip::range::{address_of, bits_of, family_of};
use crate::view::ObjectKey;

impl Allocator {
    /// Whether the Service may hold an address beside those who hold it, were it not for itself.
    pub(super) fn check(
        &self,
        service: &ObjectKey,
        slot: Option<u32>,
        address: IpAddr,
        claim: &Claim,
    ) -> Result<(), Refusal> {
        let bits = bits_of(address);
        let refuse = |others: Vec<u32>, why| {
            let others = others
                .into_iter()
                .filter_map(|slot| Some(self.services.at(slot)?.key.clone()));
            Err(Refusal::KeyInUse {
                service: service.clone(),
                address,
                others: Others::new(others.collect()),
                why,
            })
        };
        let shared = match self.holders.of(bits) {
            None => return Ok(()),
            // Upstream: the only holder of an address may change its key.
            Some(Holder::Sole(holder)) if Some(holder) == slot => return Ok(()),
            Some(Holder::Sole(holder)) => {
                return refuse(vec![holder], Mismatch::HolderDoesNotShare);
            }
            Some(Holder::Shared(shared)) => shared,
        };
        let Some(shared) = self.shared.at(shared) else {
            return Ok(());
        };
        let Some(group) = self.groups.at(shared.group) else {
            return Ok(());
        };
        let others = || {
            shared
                .holders
                .iter()
                .copied()
                .filter(|holder| Some(*holder) != slot)
        };
        if others().next().is_none() {
            return Ok(());
        }
        if claim.sharing_key.is_empty() {
            return refuse(others().collect(), Mismatch::AskerDoesNotShare);
        }
        if *group.sharing_key != *claim.sharing_key {
            let why = Mismatch::SharingKey {
                held: group.sharing_key.clone(),
                asked: claim.sharing_key.as_str().into(),
            };
            return refuse(others().collect(), why);
        }
        if *group.backend_key != *claim.backend_key {
            return refuse(others().collect(), Mismatch::BackendKey);
        }
        for port in &claim.ports {
            if !group.serves(port, bits) {
                continue;
            }
            // No two holders serve one port: if it is not another's it is the Service's own.
            let server = others()
                .filter_map(|holder| self.services.at(holder))
                .find(|holder| {
                    holder
                        .share
                        .as_ref()
                        .is_some_and(|share| share.ports.contains(port))
                });
            if let Some(server) = server {
                return Err(Refusal::PortInUse {
                    port: port.clone(),
                    address,
                    by: server.key.clone(),
                });
            }
        }
        Ok(())
    }

    /// The first addresses in scope, in configured order, that a Service with this claim may have.
    pub(super) fn first_fit(
        &self,
        scope: Scope,
        families: Families,
        claim: &Claim,
    ) -> Option<Vec<IpAddr>> {
        let sharable = self.sharable(scope, claim);
        let start = match scope {
            Scope::Auto => 0,
            Scope::Pool(pool) => self.space.pools().get(pool)?.entries.start,
        };
        match families {
            Families::One(family) => {
                let (_, bits) = self.first_fit_of(scope, family, start, &sharable)?;
                Some(vec![address_of(bits)])
            }
            Families::Dual => {
                let mut from = start;
                loop {
                    let v4 = self.first_fit_of(scope, Family::V4, from, &sharable)?;
                    let v6 = self.first_fit_of(scope, Family::V6, from, &sharable)?;
                    let (pool_v4, _) = self.space.pool_of_entry(v4.0)?;
                    let (pool_v6, _) = self.space.pool_of_entry(v6.0)?;
                    if pool_v4 == pool_v6 {
                        let (first, second) = if v4.0 < v6.0 { (v4, v6) } else { (v6, v4) };
                        return Some(vec![address_of(first.1), address_of(second.1)]);
                    }
                    // Neither family has anything in the pools before the later one.
                    from = self.space.pools().get(pool_v4.max(pool_v6))?.entries.start;
                }
            }
        }
    }

    /// The first entry in scope from number `from` on that has an address of the family, and the address.
    fn first_fit_of(
        &self,
        scope: Scope,
        family: Family,
        from: usize,
        sharable: &[(usize, u128)],
    ) -> Option<(usize, u128)> {
        let free = self
            .space
            .first_open(scope, family, from)
            .and_then(|entry| {
                let bits = self
                    .space
                    .first_free(entry, |page| self.holders.page(page))?;
                Some((entry, bits))
            });
        let after = sharable.partition_point(|(entry, _)| *entry < from);
        let shared = sharable
            .iter()
            .skip(after)
            .find(|(_, bits)| family_of(*bits) == family)
            .copied();
        // By entry, then by address.
        match (free, shared) {
            (Some(free), Some(shared)) => Some(free.min(shared)),
            (free, shared) => free.or(shared),
        }
    }

    /// For each entry in scope the first held address that a Service with this claim may share; ascending by entry.
    fn sharable(&self, scope: Scope, claim: &Claim) -> Vec<(usize, u128)> {
        let mut found = Vec::new();
        if claim.sharing_key.is_empty() {
            return found;
        }
        let Some(group) = self.groups.find(claim) else {
            return found;
        };
        let compatible = group.without(&claim.ports);
        let mut from = Some(0);
        while let Some(bits) = from.and_then(|from| compatible.first_from(from)) {
            let Some(entry) = self.space.entry_around(bits) else {
                break;
            };
            let in_scope =
                self.space
                    .pool_of_entry(entry)
                    .is_some_and(|(number, pool)| match scope {
                        Scope::Auto => pool.auto_assign,
                        Scope::Pool(wanted) => number == wanted,
                    });
            if in_scope {
                found.push((entry, bits));
            }
            from = self
                .space
                .interval(entry)
                .and_then(|interval| interval.last.checked_add(1));
        }
        found.sort_unstable();
        found
    }
}
