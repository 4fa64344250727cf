//! Sharing: the Services with one sharing key and one backend key, and which of their addresses serve which port.
//!
//! Upstream: two Services share an address if both keys are equal and the sharing key is not empty, and no
//! (protocol, port) pair is common. So the addresses open to a Service are those of its group on which none of its
//! ports is served: differences of sets, taken 256 addresses at a time.

use std::collections::{BTreeSet, HashMap};

use super::Claim;
use super::index::{Index, KeyHash};
use super::page::{AddressSet, join};
use super::slab::Slab;
use crate::view::Port;

/// The groups of Services that may share.
#[derive(Debug, Default)]
pub(super) struct Groups {
    /// Invariant: no group is without an address.
    groups: Slab<Group>,
    index: Index,
}

/// The addresses of the Services with one sharing key and one backend key.
#[derive(Debug)]
pub(super) struct Group {
    hash: KeyHash,
    pub(super) sharing_key: Box<str>,
    pub(super) backend_key: Box<str>,
    addresses: AddressSet,
    /// The addresses on which a port is served. Invariant: subsets of `addresses`, not empty.
    by_port: HashMap<Port, AddressSet>,
}

/// An address that Services with a sharing key hold.
#[derive(Debug)]
pub(super) struct SharedAddress {
    pub(super) group: u32,
    /// Slots of Services. Invariant: not empty; no two serve the same port.
    pub(super) holders: BTreeSet<u32>,
}

/// How a Service with a sharing key holds its addresses.
#[derive(Debug)]
pub(super) struct Share {
    pub(super) group: u32,
    /// Ascending, without repetition.
    pub(super) ports: Box<[Port]>,
}

/// The ports of a claim, ascending, without repetition.
pub(super) fn normal_ports(claim: &Claim) -> Box<[Port]> {
    let mut ports = claim.ports.clone();
    ports.sort_unstable();
    ports.dedup();
    ports.into()
}

impl Groups {
    pub(super) fn has_room(&self) -> bool {
        self.groups.has_room(1)
    }

    pub(super) fn at(&self, group: u32) -> Option<&Group> {
        self.groups.at(group)
    }

    /// The group that a claim with a sharing key belongs to.
    pub(super) fn find(&self, claim: &Claim) -> Option<&Group> {
        self.groups.at(self.number_of(self.hash_of(claim), claim)?)
    }

    fn hash_of(&self, claim: &Claim) -> KeyHash {
        self.index
            .hash_of((claim.sharing_key.as_str(), claim.backend_key.as_str()))
    }

    fn number_of(&self, hash: KeyHash, claim: &Claim) -> Option<u32> {
        self.index.find(hash, |number| {
            self.groups
                .at(number)
                .is_some_and(|group| group.is_of(claim))
        })
    }

    /// Notes that a Service with this claim and these ports holds an address; says its group.
    pub(super) fn insert(&mut self, claim: &Claim, ports: &[Port], bits: u128) -> u32 {
        let hash = self.hash_of(claim);
        let number = self.number_of(hash, claim).unwrap_or_else(|| {
            let number = self.groups.insert(Group {
                hash,
                sharing_key: claim.sharing_key.as_str().into(),
                backend_key: claim.backend_key.as_str().into(),
                addresses: AddressSet::default(),
                by_port: HashMap::new(),
            });
            self.index.insert(hash, number);
            number
        });
        if let Some(group) = self.groups.at_mut(number) {
            group.addresses.insert(bits);
            for port in ports {
                group.by_port.entry(port.clone()).or_default().insert(bits);
            }
        }
        number
    }

    /// Notes that a Service with these ports holds an address no more, and whether it was the last.
    pub(super) fn remove(&mut self, number: u32, ports: &[Port], bits: u128, last: bool) {
        let Some(group) = self.groups.at_mut(number) else {
            return;
        };
        for port in ports {
            if let Some(served) = group.by_port.get_mut(port) {
                served.remove(bits);
                if served.len() == 0 {
                    group.by_port.remove(port);
                }
            }
        }
        if !last {
            return;
        }
        group.addresses.remove(bits);
        if group.addresses.len() == 0 {
            self.index.remove(group.hash, number);
            self.groups.remove(number);
        }
    }
}

impl Group {
    /// Whether Services with this claim belong to the group.
    pub(super) fn is_of(&self, claim: &Claim) -> bool {
        *self.sharing_key == *claim.sharing_key && *self.backend_key == *claim.backend_key
    }

    /// Whether a port is served on an address.
    pub(super) fn serves(&self, port: &Port, bits: u128) -> bool {
        self.by_port
            .get(port)
            .is_some_and(|served| served.contains(bits))
    }

    /// The group's addresses on which none of these ports is served.
    pub(super) fn without<'a>(&'a self, ports: &[Port]) -> Compatible<'a> {
        Compatible {
            addresses: &self.addresses,
            served: ports
                .iter()
                .filter_map(|port| self.by_port.get(port))
                .collect(),
        }
    }
}

/// Addresses of a group on which none of some ports is served.
pub(super) struct Compatible<'a> {
    addresses: &'a AddressSet,
    served: Vec<&'a AddressSet>,
}

impl Compatible<'_> {
    /// The first from `bits` on.
    pub(super) fn first_from(&self, bits: u128) -> Option<u128> {
        // A port that is served on all addresses is common: many Services with one key, each with an address.
        if self
            .served
            .iter()
            .any(|served| served.len() == self.addresses.len())
        {
            return None;
        }
        let mut served: Vec<_> = self
            .served
            .iter()
            .map(|served| served.pages_from(bits).peekable())
            .collect();
        self.addresses
            .pages_from(bits)
            .find_map(|(page, mut content)| {
                for served in &mut served {
                    // Each page of theirs is one of the group's: all are walked side by side.
                    if let Some((_, bits)) = served.next_if(|(theirs, _)| *theirs == page) {
                        content = content.without(bits);
                    }
                }
                Some(join(page, content.first()?))
            })
    }
}

#[cfg(test)]
impl Groups {
    /// Panics unless the groups have that many addresses together, and nothing else.
    pub(super) fn audit(&self, addresses: usize) {
        assert_eq!(self.index.len(), self.groups.iter().count());
        let mut total = 0;
        for group in self.groups.iter() {
            assert!(group.addresses.len() > 0);
            total += group.addresses.len();
            for served in group.by_port.values().chain([&group.addresses]) {
                if let AddressSet::Many { len, .. } = served {
                    assert!(*len > 1);
                }
                assert!(served.len() > 0 && served.len() <= group.addresses.len());
            }
        }
        assert_eq!(total, addresses);
    }
}
