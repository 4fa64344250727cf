//! Who holds which address.
//!
//! Pure bookkeeping over the pools of a [`Config`](crate::config::Config): values in, values out; no Service's
//! objects, no Events, no log. It knows Services by key alone.
//!
//! Source: MetalLB 0.12.1's `internal/allocator`, as section 4 of its behaviour describes it. Upstream walks over
//! the addresses of a pool and asks each whether it fits; here the same answer is looked up:
//!
//! | part | knows |
//! | --- | --- |
//! | `space` | pools, their CIDRs in order, and where the first free address is |
//! | `holders` | which Service, or which shared address, each held address belongs to |
//! | `sharing` | for each sharing key the held addresses, and those on which a port is served |
//! | `choice` | from these, which addresses a Service may have and which it gets |
//! | `page`, `slab`, `index` | sets of addresses, 256 at a time; numbered places, and their numbers by key |

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::{fmt, mem, slice};

use crate::config::Pool;
use crate::ip::Family;
use crate::ip::range::{address_of, bits_of};
use crate::view::{ObjectKey, Port};

mod choice;
pub mod error;
mod holders;
mod index;
mod page;
mod sharing;
mod slab;
mod space;
#[cfg(test)]
mod tests;

pub use error::{Orphan, Orphans, Refusal};

use error::Uncovered;
use holders::{Holder, Holders};
use index::{Index, KeyHash};
use sharing::{Groups, Share, SharedAddress, normal_ports};
use slab::Slab;
use space::{Scope, Space};

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
///
/// Costs: each operation on a Service is logarithmic in what is held, wherever its addresses lie and however full the
/// pools are; with a sharing key, finding an address adds a step for each 256 addresses that the key's Services hold.
/// Memory is proportional to what is held and to the number of CIDRs.
///
/// Invariant: every held address is given by a pool, those of one Service by one pool; the holders of one address
/// agree in sharing and backend key, and serve different ports.
#[derive(Debug, Default)]
pub struct Allocator {
    space: Space,
    holders: Holders,
    shared: Slab<SharedAddress>,
    groups: Groups,
    services: Slab<Slot>,
    /// The slots by key.
    index: Index,
}

/// A Service that holds addresses.
#[derive(Debug)]
struct Slot {
    key: ObjectKey,
    addresses: Addresses,
    /// `None` where it shares with nobody: then nothing else of its claim is ever asked for.
    share: Option<Box<Share>>,
}

/// Addresses of a Service; one needs no memory of its own.
#[derive(Debug)]
enum Addresses {
    One(IpAddr),
    Many(Box<[IpAddr]>),
}

impl Addresses {
    fn as_slice(&self) -> &[IpAddr] {
        match self {
            Self::One(address) => slice::from_ref(address),
            Self::Many(addresses) => addresses,
        }
    }
}

impl From<&[IpAddr]> for Addresses {
    fn from(addresses: &[IpAddr]) -> Self {
        match addresses {
            [address] => Self::One(*address),
            addresses => Self::Many(addresses.into()),
        }
    }
}

impl Allocator {
    /// Replaces the pools. Refused whole, with nothing changed, if a held address would no longer be covered.
    /// What is held stays held; a pool may be renamed, an address may move to another pool.
    ///
    /// # Errors
    /// Every (Service, address) that would be left without a pool.
    pub fn set_pools(&mut self, pools: &[Pool]) -> Result<(), Orphans> {
        let mut space = Space::new(pools);
        let mut orphans = Vec::new();
        for slot in self.services.iter() {
            let addresses = slot.addresses.as_slice();
            if let Err(_first) = space.one_pool(addresses.iter().copied().map(bits_of)) {
                orphans.extend(space.faults(addresses).map(|(address, why)| Orphan {
                    service: slot.key.clone(),
                    address,
                    why,
                }));
            }
        }
        if !orphans.is_empty() {
            // Stable: the addresses of one Service stay in their order.
            orphans.sort_by(|a, b| a.service.cmp(&b.service));
            return Err(Orphans { orphans });
        }
        space.adopt(self.holders.pages());
        self.space = space;
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
        let repeated = addresses.iter().enumerate().find(|(index, address)| {
            addresses
                .iter()
                .take(*index)
                .any(|earlier| earlier == *address)
        });
        if let Some((_, repeated)) = repeated {
            return Err(Refusal::Repeated {
                addresses: addresses.into(),
                repeated: *repeated,
            });
        }
        let refuse = |culprit, why| Refusal::NotAllowed {
            addresses: addresses.into(),
            culprit,
            why,
        };
        self.space
            .one_pool(addresses.iter().copied().map(bits_of))
            .map_err(|(bits, why)| refuse(Some(address_of(bits)), why))?
            .ok_or_else(|| refuse(None, Uncovered::NoPool))?;
        let hash = self.index.hash_of(service);
        if let Some(slot) = self.slot_of(hash, service) {
            return self.reassign(service, slot, addresses, claim);
        }
        for address in addresses {
            self.check(service, None, *address, claim)?;
        }
        self.make_room(addresses.len())?;
        let slot = self.new_slot(service, hash);
        self.hold(slot, addresses.into(), claim);
        Ok(())
    }

    /// Frees what the Service holds; says whether it held anything.
    pub fn unassign(&mut self, service: &ObjectKey) -> bool {
        let hash = self.index.hash_of(service);
        let Some(slot) = self.slot_of(hash, service) else {
            return false;
        };
        self.index.remove(hash, slot);
        self.let_go(slot);
        self.services.remove(slot);
        true
    }

    /// Gives the Service the first addresses of the pool that it may have: entries in configured order, ascending.
    /// A Service that holds addresses keeps them, from whichever pool, with the new claim.
    ///
    /// With a sharing key the first may be one that Services with the same keys and other ports hold already.
    /// Dual-stack addresses come in the order of the entries that they were found in.
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
        let hash = self.index.hash_of(service);
        if let Some(slot) = self.slot_of(hash, service) {
            return self.keep(service, slot, families, claim);
        }
        let Some(number) = self.space.pool_named(pool) else {
            return Err(Refusal::UnknownPool { pool: pool.into() });
        };
        let Some(addresses) = self.first_fit(Scope::Pool(number), families, claim) else {
            return Err(Refusal::PoolExhausted {
                pool: pool.into(),
                families,
            });
        };
        self.take(service, hash, addresses, claim)
    }

    /// Gives the Service addresses from the first pool, in configured order, that has auto-assign and can serve it.
    /// A Service that holds addresses keeps them, with the new claim.
    ///
    /// Deviation: upstream asks the pools in random order.
    ///
    /// # Errors
    /// Why it gets none; nothing has changed.
    pub fn allocate(
        &mut self,
        service: &ObjectKey,
        families: Families,
        claim: &Claim,
    ) -> Result<Vec<IpAddr>, Refusal> {
        let hash = self.index.hash_of(service);
        if let Some(slot) = self.slot_of(hash, service) {
            return self.keep(service, slot, families, claim);
        }
        let Some(addresses) = self.first_fit(Scope::Auto, families, claim) else {
            return Err(Refusal::Exhausted {
                families,
                pools: self.space.auto_pools(),
            });
        };
        self.take(service, hash, addresses, claim)
    }

    /// What the Service holds.
    #[must_use]
    pub fn held(&self, service: &ObjectKey) -> Option<Held<'_>> {
        let slot = self.slot_of(self.index.hash_of(service), service)?;
        let addresses = self.services.at(slot)?.addresses.as_slice();
        let entry = self.space.entry_around(bits_of(*addresses.first()?))?;
        Some(Held {
            pool: self.space.name_of_entry(entry),
            addresses,
        })
    }

    /// The one pool that covers all the addresses; `None` also for no addresses at all. An address that its pool
    /// avoids (`avoid-buggy-ips`) is not covered.
    #[must_use]
    pub fn pool_of(&self, addresses: &[IpAddr]) -> Option<&str> {
        let entry = self
            .space
            .one_pool(addresses.iter().copied().map(bits_of))
            .ok()??;
        Some(self.space.name_of_entry(entry))
    }

    /// How full the pools are, in configured order.
    pub fn usage(&self) -> impl Iterator<Item = PoolUsage<'_>> {
        self.space.pools().iter().map(|pool| PoolUsage {
            name: &pool.name,
            capacity: pool.capacity,
            in_use: pool.in_use,
        })
    }

    fn slot_of(&self, hash: KeyHash, service: &ObjectKey) -> Option<u32> {
        self.index.find(hash, |slot| {
            self.services
                .at(slot)
                .is_some_and(|slot| slot.key == *service)
        })
    }

    /// Lets a Service keep what it holds, with a new claim.
    fn keep(
        &mut self,
        service: &ObjectKey,
        slot: u32,
        families: Families,
        claim: &Claim,
    ) -> Result<Vec<IpAddr>, Refusal> {
        let held = self
            .services
            .at(slot)
            .map_or_else(Vec::new, |slot| slot.addresses.as_slice().to_vec());
        if Families::of(&held) != Some(families) {
            return Err(Refusal::WrongFamily {
                held: held.into(),
                families,
            });
        }
        self.reassign(service, slot, &held, claim)?;
        Ok(held)
    }

    /// Gives a Service other addresses that one pool gives, or a new claim, if it may share them with their holders.
    fn reassign(
        &mut self,
        service: &ObjectKey,
        slot: u32,
        addresses: &[IpAddr],
        claim: &Claim,
    ) -> Result<(), Refusal> {
        if self.is_unchanged(slot, addresses, claim) {
            return Ok(());
        }
        for address in addresses {
            self.check(service, Some(slot), *address, claim)?;
        }
        self.make_room(addresses.len())?;
        self.let_go(slot);
        self.hold(slot, addresses.into(), claim);
        Ok(())
    }

    /// Gives a Service that holds nothing addresses that were just found for it.
    fn take(
        &mut self,
        service: &ObjectKey,
        hash: KeyHash,
        addresses: Vec<IpAddr>,
        claim: &Claim,
    ) -> Result<Vec<IpAddr>, Refusal> {
        self.make_room(addresses.len())?;
        let slot = self.new_slot(service, hash);
        self.hold(slot, addresses.as_slice().into(), claim);
        Ok(addresses)
    }

    /// Whether a Service holds exactly this already.
    fn is_unchanged(&self, slot: u32, addresses: &[IpAddr], claim: &Claim) -> bool {
        let Some(slot) = self.services.at(slot) else {
            return false;
        };
        if slot.addresses.as_slice() != addresses {
            return false;
        }
        match &slot.share {
            None => claim.sharing_key.is_empty(),
            Some(share) => {
                self.groups
                    .at(share.group)
                    .is_some_and(|group| group.is_of(claim))
                    && share.ports == normal_ports(claim)
            }
        }
    }

    fn make_room(&self, addresses: usize) -> Result<(), Refusal> {
        if self.services.has_room(1) && self.shared.has_room(addresses) && self.groups.has_room() {
            Ok(())
        } else {
            Err(Refusal::TooMany)
        }
    }

    /// Lets a slot that holds nothing hold addresses. The caller made sure that its Service may have them, and that
    /// there is room.
    fn hold(&mut self, number: u32, addresses: Addresses, claim: &Claim) {
        let mut share = None;
        if claim.sharing_key.is_empty() {
            for address in addresses.as_slice() {
                self.note_held(bits_of(*address), Holder::Sole(number));
            }
        } else {
            let ports = normal_ports(claim);
            let mut group = 0;
            for address in addresses.as_slice() {
                let bits = bits_of(*address);
                group = self.groups.insert(claim, &ports, bits);
                if let Some(Holder::Shared(shared)) = self.holders.of(bits) {
                    if let Some(shared) = self.shared.at_mut(shared) {
                        shared.holders.insert(number);
                    }
                } else {
                    let shared = self.shared.insert(SharedAddress {
                        group,
                        holders: BTreeSet::from([number]),
                    });
                    self.note_held(bits, Holder::Shared(shared));
                }
            }
            share = Some(Box::new(Share { group, ports }));
        }
        if let Some(slot) = self.services.at_mut(number) {
            slot.addresses = addresses;
            slot.share = share;
        }
    }

    /// A slot for a Service that has none, holding nothing yet.
    fn new_slot(&mut self, service: &ObjectKey, hash: KeyHash) -> u32 {
        let number = self.services.insert(Slot {
            key: service.clone(),
            addresses: Addresses::Many([].into()),
            share: None,
        });
        self.index.insert(hash, number);
        number
    }

    /// Frees what a slot holds; the slot stays, holding nothing.
    fn let_go(&mut self, number: u32) {
        let Some(slot) = self.services.at_mut(number) else {
            return;
        };
        let addresses = mem::replace(&mut slot.addresses, Addresses::Many([].into()));
        let share = slot.share.take();
        for address in addresses.as_slice() {
            let bits = bits_of(*address);
            let Some(share) = &share else {
                self.note_free(bits);
                continue;
            };
            let Some(Holder::Shared(shared)) = self.holders.of(bits) else {
                continue;
            };
            let last = self.shared.at_mut(shared).is_some_and(|shared| {
                shared.holders.remove(&number);
                shared.holders.is_empty()
            });
            if last {
                self.shared.remove(shared);
                self.note_free(bits);
            }
            self.groups.remove(share.group, &share.ports, bits, last);
        }
    }

    fn note_held(&mut self, bits: u128, holder: Holder) {
        let held = self.holders.insert(bits, holder);
        if let Some(entry) = self.space.entry_around(bits) {
            self.space.taken(entry, bits, held);
        }
    }

    fn note_free(&mut self, bits: u128) {
        let held = self.holders.remove(bits);
        if let Some(entry) = self.space.entry_around(bits) {
            self.space.freed(entry, bits, held);
        }
    }
}
