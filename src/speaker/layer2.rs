//! Which addresses are announced by layer 2, counted over the Services that share them.
//!
//! Services may share an address: it is withdrawn when the last of them stops. Within one event an address may be
//! released and claimed again (a dual-stack Service that changes one address, a Service that takes over another's);
//! only the difference reaches layer 2, so that nothing flaps and no gratuitous burst is sent for nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::layer2::Command;

/// The announced addresses and how many Services want each.
#[derive(Debug, Default)]
pub(super) struct Claims {
    /// Invariant: no zeros.
    holders: BTreeMap<IpAddr, u32>,
    /// What changed since the last [`Claims::settle`]: whether it was announced then.
    touched: BTreeMap<IpAddr, bool>,
}

impl Claims {
    /// One more Service announces these addresses. Each counts once, however often the Service names it.
    pub(super) fn claim(&mut self, addresses: &[IpAddr]) {
        for ip in distinct(addresses) {
            let holders = self.holders.entry(ip).or_default();
            self.touched.entry(ip).or_insert(*holders > 0);
            *holders = holders.saturating_add(1);
        }
    }

    /// One Service less.
    pub(super) fn release(&mut self, addresses: &[IpAddr]) {
        for ip in distinct(addresses) {
            let Some(holders) = self.holders.get_mut(&ip) else {
                continue;
            };
            self.touched.entry(ip).or_insert(true);
            *holders -= 1;
            if *holders == 0 {
                self.holders.remove(&ip);
            }
        }
    }

    /// What layer 2 has to do since the last time: withdrawals first. What is `yielded` is watched on.
    pub(super) fn settle(
        &mut self,
        yielded: &BTreeSet<IpAddr>,
    ) -> impl Iterator<Item = Command> + use<> {
        let mut withdrawn = Vec::new();
        let mut announced = Vec::new();
        for (ip, was) in std::mem::take(&mut self.touched) {
            match (was, self.holders.contains_key(&ip)) {
                (true, false) if yielded.contains(&ip) => withdrawn.push(Command::Yield(ip)),
                (true, false) => withdrawn.push(Command::Withdraw(ip)),
                (false, true) => announced.push(Command::Announce(ip)),
                // Released and claimed again, or the other way round.
                (true, true) | (false, false) => {}
            }
        }
        withdrawn.into_iter().chain(announced)
    }
}

/// Each address once; a Service has one or two.
pub(super) fn distinct(addresses: &[IpAddr]) -> impl Iterator<Item = IpAddr> + '_ {
    addresses
        .iter()
        .enumerate()
        .filter(|(index, ip)| !addresses.iter().take(*index).any(|before| before == *ip))
        .map(|(_, ip)| *ip)
}
