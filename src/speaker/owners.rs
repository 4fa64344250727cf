//! Elections over all Services: who is elected again when something changes, and who is not.
//!
//! A Service's owner is remembered with it, so that a change looks only at what it can have moved. Services that share
//! an address must have one owner. Where the live speakers are known that follows from the rule, because what shares has
//! the same candidates and the same first address. Where nobody can tell who lives, the candidates of a
//! Service with policy Cluster are the nodes with ready endpoints of all Services that share its first address: any
//! of those nodes can forward for all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::election::{Contest, Electorate, Shift};
use super::endpoints::Readiness;
use super::service::Entry;
use super::{Phase, Speaker};
use crate::view::ObjectKey;

/// The Services with policy Cluster, by their first address. Invariant: no empty sets.
pub(super) type Sharers = BTreeMap<IpAddr, BTreeSet<ObjectKey>>;

impl Speaker {
    /// A Service with policy Cluster came to (or left) the others that have this first address.
    pub(super) fn move_sharer(
        &mut self,
        key: &ObjectKey,
        before: Option<IpAddr>,
        after: Option<IpAddr>,
    ) {
        if before == after {
            return;
        }
        if let Some(ip) = before {
            if let Some(sharers) = self.sharers.get_mut(&ip) {
                sharers.remove(key);
                if sharers.is_empty() {
                    self.sharers.remove(&ip);
                }
            }
            self.elect_sharers(ip);
        }
        if let Some(ip) = after {
            self.sharers.entry(ip).or_default().insert(key.clone());
            self.elect_sharers(ip);
        }
    }

    /// Elects the owner of one Service.
    pub(super) fn elect(&mut self, key: &ObjectKey) {
        if self.phase != Phase::Running {
            return;
        }
        let Some(entry) = self.entries.get(key) else {
            return;
        };
        let shared = entry
            .shared_first()
            .filter(|_| !self.electorate.knows_who_lives())
            .and_then(|ip| self.shared_endpoints(ip));
        if let Some(entry) = self.entries.get_mut(key) {
            let alone = self.without_endpoints.as_ref();
            elect(&self.electorate, shared.as_ref(), alone, entry, &Shift::All);
        }
    }

    /// The endpoints of a Service changed: elects where that matters, and judges.
    pub(super) fn elect_and_judge(&mut self, key: &ObjectKey) {
        let Some(entry) = self.entries.get(key) else {
            return;
        };
        if !self.electorate.knows_who_lives()
            && let Some(ip) = entry.shared_first()
        {
            self.elect_sharers(ip);
        } else if entry
            .balancer
            .as_ref()
            .is_some_and(|balancer| balancer.local)
        {
            self.elect(key);
        }
        self.judge(key);
    }

    /// Elects the owner of all Services with policy Cluster that have this first address, where their endpoints decide.
    fn elect_sharers(&mut self, ip: IpAddr) {
        if self.phase != Phase::Running || self.electorate.knows_who_lives() {
            return;
        }
        let Some(sharers) = self.sharers.get(&ip).cloned() else {
            return;
        };
        let shared = self.shared_endpoints(ip);
        for key in sharers {
            if let Some(entry) = self.entries.get_mut(&key) {
                let alone = self.without_endpoints.as_ref();
                elect(&self.electorate, shared.as_ref(), alone, entry, &Shift::All);
            }
            self.judge(&key);
        }
    }

    /// Elects the owners after a shift, and tells the Services that this node has won or lost by it.
    pub(super) fn elect_all(&mut self, shift: &Shift) -> Vec<ObjectKey> {
        let mut moved = Vec::new();
        // Before the start is complete nothing is elected: everything is, then.
        if *shift == Shift::None || self.phase != Phase::Running {
            return moved;
        }
        let shared: BTreeMap<IpAddr, Readiness> = if self.electorate.knows_who_lives() {
            BTreeMap::new()
        } else {
            self.sharers
                .keys()
                .filter_map(|&ip| Some((ip, self.shared_endpoints(ip)?)))
                .collect()
        };
        let me = &*self.params.node_name;
        for (key, entry) in &mut self.entries {
            let before = entry.is_won_by(me);
            let together = entry.shared_first().and_then(|ip| shared.get(&ip));
            let alone = self.without_endpoints.as_ref();
            elect(&self.electorate, together, alone, entry, shift);
            if before != entry.is_won_by(me) {
                moved.push(key.clone());
            }
        }
        moved
    }

    /// The ready nodes of all Services with policy Cluster that have this first address; `None`: there is only one.
    fn shared_endpoints(&self, ip: IpAddr) -> Option<Readiness> {
        let sharers = self.sharers.get(&ip).filter(|sharers| sharers.len() > 1)?;
        let nodes: BTreeSet<Arc<str>> = sharers
            .iter()
            .filter_map(|key| self.endpoints_of(self.entries.get(key)?))
            .flat_map(|readiness| readiness.nodes.iter().cloned())
            .collect();
        Some(Readiness {
            any: true,
            nodes: nodes.into_iter().collect(),
            // For elections alone.
            ..Readiness::default()
        })
    }

    /// What counts as a Service's endpoints.
    pub(super) fn endpoints_of<'a>(&'a self, entry: &'a Entry) -> Option<&'a Readiness> {
        entry.endpoints.as_ref().or(self.without_endpoints.as_ref())
    }
}

/// Elects the owner of one Service, after this shift of the electorate.
///
/// `together`: the endpoints that count instead of its own; `alone`: those that count if it has none.
fn elect(
    electorate: &Electorate,
    together: Option<&Readiness>,
    alone: Option<&Readiness>,
    entry: &mut Entry,
    shift: &Shift,
) {
    let Some(balancer) = &mut entry.balancer else {
        return;
    };
    let Some(first) = balancer.addresses.first() else {
        balancer.winner = None;
        return;
    };
    let contest = Contest {
        first,
        local: balancer.local,
        endpoints: together.or(entry.endpoints.as_ref()).or(alone),
    };
    let before = balancer.winner.take();
    balancer.winner = match shift {
        Shift::None => before,
        Shift::All => electorate.elect(contest),
        Shift::Some { worse, better } => electorate.elect_again(contest, before, worse, better),
    };
}
