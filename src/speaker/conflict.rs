//! Another station has an address that this node announces: who is it, and who gives way?
//!
//! ```text
//! no speaker's station     said on the Services and in the log: a pool that overlaps a DHCP range, a machine set up by hand.
//!                          This node goes on: the running state stays
//! a speaker's, behind us   said: both announce, so the gossip between them must be cut (or its host answers by itself, as with IPVS
//!                          without strict ARP, if it is a candidate here). That one gives way
//! a speaker's, before us   this node is silent, until the other is, or until anything about the candidates changes
//! ```
//!
//! Both sides compare the same two ranks (`election`), so just one of them gives way. With policy Local nobody gives way to a node that
//! has no ready endpoint as far as is known here: it would serve nobody.
//!
//! Layer 2 reports a claim only when it lasts; handovers are over by then. That this node gives way does not depend on who the
//! other says it is: whoever can send ARP on this network can take the address anyhow.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use super::election::Contest;
use super::{Effect, Speaker};
use crate::config::Protocol;
use crate::journal::{Level, Record};
use crate::layer2::MacAddr;
use crate::view::{KubernetesEvent, ObjectKey};

/// The reason of the Event where the other is no speaker.
const IN_USE: &str = "AddressInUse";

/// The reason of the Event where it is one.
const CONFLICT: &str = "AddressConflict";

/// Services that share an address and are told of its conflict; the log has it once in any case.
const TOLD: usize = 20;

/// Who else has an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimant {
    /// Its station.
    pub mac: MacAddr,
    /// Where it was heard.
    pub interface: Arc<str>,
    /// The node whose speaker that is, if it is any's.
    pub node: Option<Arc<str>>,
}

impl Speaker {
    /// Another has `ip`, and keeps it.
    pub(super) fn handle_conflict(&mut self, ip: IpAddr, other: &Claimant) {
        let keys = self.announced_by_layer2(ip);
        if keys.is_empty() {
            return;
        }
        let me = self.params.node_name.clone();
        let (mac, interface) = (other.mac, &other.interface);
        let reason = if other.node.is_some() {
            CONFLICT
        } else {
            IN_USE
        };
        let mut gives_way = false;
        let message = match &other.node {
            None => format!(
                "address {ip} is in use by {mac} on interface {interface}, which is no speaker of this cluster: remove it \
                 there, or take the address out of the pool (a DHCP range that overlaps it?). Node \"{me}\" goes on announcing it",
            ),
            // It knows who comes first as well as we do, so its speaker is silent.
            Some(node) if self.electorate.lives(node) && !self.is_before(node, &keys) => format!(
                "address {ip} is answered for by node \"{node}\" ({mac} on interface {interface}) as well; node \"{me}\" comes \
                 first and goes on. Their speakers know of each other, so it is that node itself: kube-proxy in IPVS mode without \
                 strict ARP, or the address is configured on it?",
            ),
            Some(node) if !self.is_before(node, &keys) => format!(
                "address {ip} is announced by node \"{node}\" ({mac} on interface {interface}) as well; node \"{me}\" comes \
                 first and goes on. Do their speakers reach each other (UDP and TCP 7946, the same memberlist secret)?",
            ),
            Some(node) if !self.resolves_conflicts() => format!(
                "address {ip} is announced by node \"{node}\" ({mac} on interface {interface}) as well, which comes first; \
                 both go on, because layer2.conflict-resolution is off. Do their speakers reach each other (UDP and TCP 7946, \
                 the same memberlist secret)?",
            ),
            Some(node) => {
                gives_way = true;
                format!(
                    "address {ip} is announced by node \"{node}\" ({mac} on interface {interface}) as well, which comes first: \
                     node \"{me}\" is silent until that changes. Do their speakers reach each other (UDP and TCP 7946, the \
                     same memberlist secret)?",
                )
            }
        };
        for key in keys.iter().take(TOLD) {
            let balancer = self
                .entries
                .get(key)
                .and_then(|entry| entry.balancer.as_ref());
            if let Some(about) = balancer.map(|balancer| balancer.reference(key)) {
                self.words.push_back(Effect::Record(KubernetesEvent {
                    about,
                    warning: true,
                    reason,
                    message: message.clone(),
                }));
            }
        }
        let record = Record::event("addressConflict", message)
            .at(Level::Warn)
            .with("ip", ip)
            .with("mac", mac)
            .with("interface", interface);
        self.say(match &other.node {
            Some(node) => record.with("node", node),
            None => record,
        });
        if gives_way {
            self.yielded.insert(ip);
            for key in keys {
                self.judge(&key);
            }
        }
    }

    /// Nobody else has `ip` any more.
    pub(super) fn handle_conflict_over(&mut self, ip: IpAddr, mac: MacAddr) {
        let gave_way = self.yielded.remove(&ip);
        let record = if gave_way {
            let msg = format!("nobody else answers for {ip} any more: announcing it again");
            Record::event("addressConflictOver", msg)
        } else {
            let msg = format!("{mac} does not claim {ip} any more");
            Record::event("addressConflictOver", msg)
        };
        self.say(record.with("ip", ip));
        if gave_way {
            self.judge_holders(&BTreeSet::from([ip]));
        }
    }

    /// The candidates are others now: what this node gave way about is decided anew.
    pub(super) fn reconsider_yielded(&mut self) {
        if !self.yielded.is_empty() {
            let free = std::mem::take(&mut self.yielded);
            self.judge_holders(&free);
        }
    }

    /// Whether this node is silent about one of the addresses.
    pub(super) fn gave_way(&self, addresses: &[IpAddr]) -> bool {
        !self.yielded.is_empty()
            && self.resolves_conflicts()
            && addresses.iter().any(|ip| self.yielded.contains(ip))
    }

    fn resolves_conflicts(&self) -> bool {
        let config = self.live.current();
        config.is_none_or(|config| config.settings.layer2.conflict_resolution)
    }

    fn announced_by_layer2(&self, ip: IpAddr) -> Vec<ObjectKey> {
        let announces = |key: &ObjectKey| {
            let announced = self
                .entries
                .get(key)?
                .balancer
                .as_ref()?
                .announced
                .as_ref()?;
            let so = announced.protocol == Protocol::Layer2 && announced.addresses.contains(&ip);
            so.then_some(())
        };
        let keys = self.entries.keys().filter(|key| announces(key).is_some());
        keys.cloned().collect()
    }

    fn judge_holders(&mut self, ips: &BTreeSet<IpAddr>) {
        let holds = |key: &ObjectKey| {
            let balancer = self.entries.get(key)?.balancer.as_ref()?;
            balancer.addresses.holds_any(ips).then_some(())
        };
        let keys: Vec<ObjectKey> = self
            .entries
            .keys()
            .filter(|key| holds(key).is_some())
            .cloned()
            .collect();
        for key in keys {
            self.judge(&key);
        }
    }

    /// Whether `node` comes before this one for all of these Services.
    fn is_before(&self, node: &Arc<str>, keys: &[ObjectKey]) -> bool {
        keys.iter().all(|key| {
            let Some(entry) = self.entries.get(key) else {
                return false;
            };
            let Some(balancer) = &entry.balancer else {
                return false;
            };
            balancer.addresses.first().is_some_and(|first| {
                self.electorate.is_before_me(
                    node,
                    Contest {
                        first,
                        local: balancer.local,
                        endpoints: self.endpoints_of(entry),
                    },
                )
            })
        })
    }
}
