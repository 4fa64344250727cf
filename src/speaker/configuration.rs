//! The configuration in force: the last good one stays until a better one may take its place.
//!
//! A ConfigMap that does not parse is refused. So is one that would leave addresses without a pool which the
//! configuration in force covers: the controller refuses it for the same reason and keeps serving them, and a speaker
//! that followed would cut them off. Such a configuration is held back until the last of those Services is gone or
//! has other addresses. All speakers look at all Services with addresses, not only at those they announce
//! themselves (Deviation: 0.12 does the latter), so that they all refuse the same configurations, and another node
//! can take a Service over while a configuration is held back.
//!
//! The first configuration after a start is taken as it is: nothing is announced yet.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::pools::Pools;
use super::service::{Addresses, Entry};
use super::{Effect, Phase, Speaker};
use crate::config::Config;
use crate::config::live::Offer;
use crate::config::mode::Mode;
use crate::journal::{Level, Record};
use crate::view::{self, ObjectKey};

/// A configuration that waits.
#[derive(Debug)]
pub(super) struct HeldBack {
    config: Arc<Config>,
    pools: Pools,
    /// The Services that would lose their pool. Never empty.
    blockers: BTreeSet<ObjectKey>,
    /// Which ConfigMap it is, for the log.
    origin: ObjectKey,
}

impl Speaker {
    pub(super) fn handle_config_map(&mut self, map: &view::ConfigMap) {
        self.config_map_gone = false;
        match self.live.offer(map, Mode::FerroLb) {
            Offer::Unchanged => self.say(
                Record::event("noChange", "the configuration is the one already known")
                    .at(Level::Debug)
                    .with("configmap", &map.key),
            ),
            Offer::Candidate(config) => self.consider(config, &map.key),
            Offer::Refused(refused) => {
                self.held_back = None;
                let error = format!("{}: {refused}", map.origin);
                self.stale(&error, Some(&map.key));
            }
        }
    }

    pub(super) fn handle_config_map_gone(&mut self) {
        if std::mem::replace(&mut self.config_map_gone, true) {
            return;
        }
        self.live.gone();
        self.held_back = None;
        self.stale(
            "the ConfigMap does not exist: create it again, or nothing can be changed",
            None,
        );
    }

    /// A good configuration: it may be put in force, unless Services would lose their pool.
    pub(super) fn consider(&mut self, config: Arc<Config>, origin: &ObjectKey) {
        self.held_back = None;
        let pools = Pools::new(&config, self.params.bgp_type);
        let blockers: BTreeSet<ObjectKey> = if self.phase == Phase::Running {
            self.entries
                .iter()
                .filter(|(_, entry)| loses_its_pool(entry, &self.pools, &pools))
                .map(|(key, _)| key.clone())
                .collect()
        } else {
            BTreeSet::new()
        };
        if blockers.is_empty() {
            return self.adopt(config, pools, origin);
        }
        self.live.refuse();
        let error = format!(
            "addresses of these Services would be in no pool any more: {}; it is put in force when they are gone, \
             or put their addresses back into a pool",
            crate::journal::listed(blockers.iter())
        );
        self.held_back = Some(HeldBack {
            config,
            pools,
            blockers,
            origin: origin.clone(),
        });
        self.stale(&error, Some(origin));
    }

    /// A Service changed: it may hold a waiting configuration back from now on, or no longer.
    pub(super) fn try_held_back(&mut self, key: &ObjectKey) {
        let Some(held_back) = &mut self.held_back else {
            return;
        };
        let blocks = self
            .entries
            .get(key)
            .is_some_and(|entry| loses_its_pool(entry, &self.pools, &held_back.pools));
        if blocks {
            held_back.blockers.insert(key.clone());
        } else {
            held_back.blockers.remove(key);
        }
        if held_back.blockers.is_empty()
            && let Some(held_back) = self.held_back.take()
        {
            self.adopt(held_back.config, held_back.pools, &held_back.origin);
        }
    }

    /// Puts a configuration in force.
    fn adopt(&mut self, config: Arc<Config>, pools: Pools, origin: &ObjectKey) {
        self.say(
            Record::event("configLoaded", "the configuration is in force")
                .with("configmap", origin)
                .with("pools", config.pools.len())
                .with("peers", config.peers.len()),
        );
        let interfaces = &config.settings.layer2.interfaces;
        if self.interfaces != *interfaces {
            self.interfaces.clone_from(interfaces);
            self.commands
                .push_back(Effect::Interfaces(interfaces.clone()));
        }
        self.live.accept(config);
        self.pools = pools;
        self.peers_stale = true;
        self.judge_all();
    }

    /// Says loudly that the cluster's newest word is not in force.
    fn stale(&mut self, error: &str, origin: Option<&ObjectKey>) {
        self.update_errors += 1;
        let msg = if self.live.loaded() {
            "configuration refused, the last good one stays in force"
        } else {
            "configuration refused, nothing is announced until there is a good one"
        };
        let mut record = Record::event("configStale", msg)
            .at(Level::Error)
            .because(error);
        if let Some(origin) = origin {
            record = record.with("configmap", origin);
        }
        self.say(record);
    }
}

/// Whether the Service's addresses have a pool now, and would have none (or several) then.
fn loses_its_pool(entry: &Entry, now: &Pools, then: &Pools) -> bool {
    match entry.balancer.as_ref().map(|balancer| &balancer.addresses) {
        Some(Addresses::Held(addresses)) => {
            now.of_all(addresses).is_ok() && then.of_all(addresses).is_err()
        }
        Some(Addresses::None | Addresses::Invalid(_)) | None => false,
    }
}
