//! Which solicited-node groups must be joined, RFC 4861 §7.2.1: so that the card, and switches that snoop MLD,
//! deliver solicitations for announced addresses.
//!
//! Many addresses share a group (their last 24 bits): a group is needed as long as one of them is announced.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use super::wire::ndp::solicited_node;

/// The needed groups, with how many addresses need each.
#[derive(Debug, Default)]
pub struct Groups {
    needed: BTreeMap<Ipv6Addr, usize>,
}

impl Groups {
    /// An address is announced now (call it once per address); the group to join on every interface, if it is new.
    #[must_use]
    pub fn announce(&mut self, ip: Ipv6Addr) -> Option<Ipv6Addr> {
        let group = solicited_node(ip);
        let count = self.needed.entry(group).or_default();
        *count += 1;
        (*count == 1).then_some(group)
    }

    /// An address is not announced any more (call it once per address); the group to leave, if nobody needs it now.
    #[must_use]
    pub fn withdraw(&mut self, ip: Ipv6Addr) -> Option<Ipv6Addr> {
        let group = solicited_node(ip);
        let count = self.needed.get_mut(&group)?;
        *count -= 1;
        if *count > 0 {
            return None;
        }
        self.needed.remove(&group);
        Some(group)
    }

    /// All that a new responder has to join.
    pub fn needed(&self) -> impl Iterator<Item = Ipv6Addr> {
        self.needed.keys().copied()
    }
}

#[cfg(test)]
mod tests;
