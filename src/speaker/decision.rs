//! One Service at a time: what the contract says about it, and what is done about it.

use std::net::IpAddr;
use std::sync::Arc;

use ferrolb_compat::names;

use super::bgp;
use super::endpoints::Readiness;
use super::pools::Pool;
use super::service::{Addresses, Announced, Complaint, Reason};
use super::{Effect, Phase, Speaker};
use crate::config::Protocol;
use crate::journal::{Level, Record};
use crate::view::{KubernetesEvent, ObjectKey};

/// What a protocol says about a Service that has addresses and a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Announce,
    Withdraw(Reason),
}

impl Speaker {
    /// Judges every Service, as after a change of the configuration.
    pub(super) fn judge_all(&mut self) {
        let keys: Vec<ObjectKey> = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.balancer.is_some())
            .map(|(key, _)| key.clone())
            .collect();
        for key in keys {
            self.judge(&key);
        }
    }

    /// Announces or withdraws one Service, if that is not so already.
    pub(super) fn judge(&mut self, key: &ObjectKey) {
        if self.phase != Phase::Running {
            return;
        }
        let Some(entry) = self.entries.get(key) else {
            return;
        };
        let Some(balancer) = &entry.balancer else {
            return;
        };
        if !self.live.loaded() {
            self.say(
                Record::event("noConfig", "not processing, still waiting for config")
                    .at(Level::Debug)
                    .with("service", key),
            );
            return;
        }
        let addresses = match &balancer.addresses {
            Addresses::Held(addresses) => addresses.clone(),
            Addresses::None => return self.withdraw(key, Reason::NoIpAllocated),
            Addresses::Invalid(text) => {
                let error = format!(
                    "invalid load balancer IP {text:?}: the status of the Service must hold IP addresses only"
                );
                self.withdraw(key, Reason::InvalidIp);
                return self.complain(key, Complaint::InvalidIp, error);
            }
        };
        let pool = match self.pools.of_all(&addresses) {
            Ok(pool) => pool.clone(),
            Err(cause) => {
                let error = format!("assigned IP not allowed by config: {cause}");
                self.withdraw(key, Reason::IpNotAllowed);
                return self.complain(key, Complaint::NotAllowed(cause), error);
            }
        };
        let verdict = match pool.protocol {
            Protocol::Layer2 if self.gave_way(&addresses) => {
                Verdict::Withdraw(Reason::AddressConflict)
            }
            Protocol::Layer2 => layer2_verdict(
                self.endpoints_of(entry),
                entry.is_won_by(&self.params.node_name),
            ),
            Protocol::Bgp => match bgp::objection(self.endpoints_of(entry), balancer.local) {
                None => Verdict::Announce,
                Some(reason) => Verdict::Withdraw(reason),
            },
        };
        if let Some(announced) = &balancer.announced {
            if announced.protocol != pool.protocol {
                self.withdraw(key, Reason::ProtocolChanged);
            } else if !same_set(&announced.addresses, &addresses) {
                self.withdraw(key, Reason::LoadBalancerIpChanged);
            }
        }
        match verdict {
            Verdict::Announce => self.announce(key, pool, addresses),
            Verdict::Withdraw(reason) => {
                self.withdraw(key, reason);
                self.content(key);
            }
        }
    }

    /// Starts to announce a Service, if it is not announced.
    fn announce(&mut self, key: &ObjectKey, pool: Pool, addresses: Arc<[IpAddr]>) {
        let Some(balancer) = self
            .entries
            .get_mut(key)
            .and_then(|entry| entry.balancer.as_mut())
        else {
            return;
        };
        balancer.complaint = None;
        if let Some(announced) = &mut balancer.announced {
            // The pool may have another name now, the status another order.
            announced.pool = pool.name;
            let updated = announced.advertisements != pool.advertisements;
            if updated {
                self.routes.claim(&addresses, &pool.advertisements);
                let before = std::mem::replace(&mut announced.advertisements, pool.advertisements);
                self.routes.release(&announced.addresses, &before);
            }
            announced.addresses = addresses;
            if updated {
                let count = announced.addresses.len() * announced.advertisements.len();
                self.say_advertisements(key, count);
            }
            return;
        }
        let count = addresses.len() * pool.advertisements.len();
        match pool.protocol {
            Protocol::Layer2 => self.claims.claim(&addresses),
            Protocol::Bgp => {
                self.routes.claim(&addresses, &pool.advertisements);
            }
        }
        let record = Record::event("serviceAnnounced", "service has IP, announcing")
            .with("service", key)
            .with("ips", crate::journal::listed(addresses.iter()))
            .with("pool", &pool.name)
            .with("protocol", pool.protocol);
        let about = balancer.reference(key);
        balancer.announced = Some(Announced {
            protocol: pool.protocol,
            pool: pool.name,
            addresses,
            advertisements: pool.advertisements,
        });
        if pool.protocol == Protocol::Bgp {
            self.say_advertisements(key, count);
        }
        self.say(record);
        // Deviation: upstream records this at each resync.
        self.words.push_back(Effect::Record(KubernetesEvent {
            about,
            warning: false,
            reason: names::reason::NODE_ASSIGNED,
            message: format!("announcing from node \"{}\"", self.params.node_name),
        }));
    }

    /// Stops to announce a Service, if it is announced.
    pub(super) fn withdraw(&mut self, key: &ObjectKey, reason: Reason) {
        let Some(announced) = self
            .entries
            .get_mut(key)
            .and_then(|entry| entry.balancer.as_mut())
            .and_then(|balancer| balancer.announced.take())
        else {
            return;
        };
        match announced.protocol {
            Protocol::Layer2 => self.claims.release(&announced.addresses),
            Protocol::Bgp => self
                .routes
                .release(&announced.addresses, &announced.advertisements),
        }
        self.say(
            Record::event("serviceWithdrawn", "withdrawing service announcement")
                .with("service", key)
                .with("ips", crate::journal::listed(announced.addresses.iter()))
                .with("pool", &announced.pool)
                .with("protocol", announced.protocol)
                .with("reason", reason.as_str()),
        );
    }

    /// Says what is wrong with a Service, once.
    fn complain(&mut self, key: &ObjectKey, complaint: Complaint, error: String) {
        let Some(balancer) = self
            .entries
            .get_mut(key)
            .and_then(|entry| entry.balancer.as_mut())
        else {
            return;
        };
        if balancer.complaint.as_ref() == Some(&complaint) {
            return;
        }
        balancer.complaint = Some(complaint);
        self.say(
            Record::failed("setBalancer", &error, "the Service is not announced")
                .with("service", key),
        );
    }

    /// Nothing is wrong with a Service any more: if it happens again, it is said again.
    fn content(&mut self, key: &ObjectKey) {
        if let Some(entry) = self.entries.get_mut(key)
            && let Some(balancer) = &mut entry.balancer
        {
            balancer.complaint = None;
        }
    }

    /// Says how many routes a Service asks for.
    fn say_advertisements(&mut self, key: &ObjectKey, count: usize) {
        self.say(
            Record::event("updatedAdvertisements", "making advertisements using BGP")
                .with("service", key)
                .with("numAds", count),
        );
    }

    /// Logs a line.
    pub(super) fn say(&mut self, record: Record) {
        self.words.push_back(Effect::Log(record));
    }
}

/// Layer 2 announces from one node, if a ready endpoint exists anywhere.
///
/// Deviation: upstream calls it `notOwner` also where no endpoint is ready.
fn layer2_verdict(endpoints: Option<&Readiness>, won: bool) -> Verdict {
    if !endpoints.is_some_and(|endpoints| endpoints.any) {
        Verdict::Withdraw(Reason::NoEndpoints)
    } else if won {
        Verdict::Announce
    } else {
        Verdict::Withdraw(Reason::NotOwner)
    }
}

/// Whether two Services' addresses are the same, in whatever order.
fn same_set(one: &[IpAddr], other: &[IpAddr]) -> bool {
    let within = |some: &[IpAddr], all: &[IpAddr]| some.iter().all(|ip| all.contains(ip));
    within(one, other) && within(other, one)
}
