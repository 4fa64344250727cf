//! The configuration's side: ConfigMaps come, are put in force, refused, or held back by addresses in use.
//!
//! Upstream: `SetConfig` of the controller. Whatever is refused leaves the last good configuration in force and makes it
//! stale; what only addresses in use stand against is tried again when they are freed. Deviation: 0.12 says so in a
//! log line alone; we record a Warning Event on the ConfigMap, and on the Services that hold it back.

use std::net::IpAddr;
use std::sync::Arc;

use ferrolb_compat::names::reason;

use super::{Controller, Effect};
use crate::allocator::Orphans;
use crate::config::Config;
use crate::config::live::Offer;
use crate::config::mode::Mode;
use crate::journal::{Level, Record};
use crate::view::{ConfigMap, KubernetesEvent, ObjectKey, ObjectReference};

/// How many of the Services that hold back a configuration are told so by an Event of their own.
const TOLD: usize = 20;

/// One address that holds back the pending configuration: as long as its holder has it, trying again is no use.
#[derive(Debug)]
pub(super) struct HeldBack {
    service: ObjectKey,
    address: IpAddr,
}

impl Controller {
    pub(super) fn take_config_map(&mut self, map: &ConfigMap) {
        self.updates += 1;
        self.config_map = Some(map.reference());
        // Every mode of upstream's is served, and the controller never looked at the modes anyway.
        match self.live.offer(map, Mode::FerroLb) {
            Offer::Unchanged => {}
            Offer::Candidate(config) => {
                self.held_back = None;
                if let Err(orphans) = self.put_in_force(config) {
                    self.update_errors += 1;
                    self.tell_held_back(&orphans);
                }
            }
            Offer::Refused(refused) => {
                self.held_back = None;
                self.update_errors += 1;
                self.tell_stale(&refused.to_string());
            }
        }
    }

    pub(super) fn lose_config_map(&mut self) {
        self.updates += 1;
        self.live.gone();
        self.held_back = None;
        let mut record = Record::event(
            "configStale",
            "the ConfigMap is deleted: the last good configuration stays in force, if there was one",
        )
        .at(Level::Error);
        if let Some(map) = self.config_map.take() {
            record = record.with("configmap", map.key);
        }
        self.log(record);
    }

    /// Another try for the configuration that waits for addresses to be freed.
    pub(super) fn try_held_back(&mut self) {
        let Some(config) = self.live.pending().cloned() else {
            return;
        };
        let still = self.held_back.as_ref().is_some_and(|held_back| {
            self.allocator
                .held(&held_back.service)
                .is_some_and(|held| held.addresses.contains(&held_back.address))
        });
        if still {
            return;
        }
        // What still stands against it was told when the configuration came.
        let _: Result<(), Orphans> = self.put_in_force(config);
    }

    fn put_in_force(&mut self, config: Arc<Config>) -> Result<(), Orphans> {
        match self.allocator.set_pools(&config.pools) {
            Ok(()) => {
                self.live.accept(config);
                self.held_back = None;
                self.reprocess = true;
                let record = Record::event("configLoaded", "the configuration is in force");
                let record = self.about_config_map(record);
                self.log(record);
                self.start();
                Ok(())
            }
            Err(orphans) => {
                self.live.refuse();
                self.held_back = orphans.orphans.first().map(|orphan| HeldBack {
                    service: orphan.service.clone(),
                    address: orphan.address,
                });
                Err(orphans)
            }
        }
    }

    fn tell_stale(&mut self, why: &str) {
        let mut record = Record::event(
            "configStale",
            "the configuration is refused: the last good one stays in force, if there was one",
        )
        .at(Level::Error);
        record.error = Some(why.to_owned());
        let record = self.about_config_map(record);
        self.log(record);
        if let Some(about) = self.config_map.clone() {
            self.effects.push_back(Effect::Record(KubernetesEvent {
                about,
                warning: true,
                reason: reason::CONFIG_REFUSED,
                message: format!("Configuration refused, the last good one stays in force: {why}"),
            }));
        }
    }

    fn tell_held_back(&mut self, orphans: &Orphans) {
        self.tell_stale(&format!("{orphans}; it is tried again when they are free"));
        let name = self
            .config_map
            .as_ref()
            .map(|map| map.key.to_string())
            .unwrap_or_default();
        // Ascending by Service: the addresses of one stand together.
        let mut told: Vec<(ObjectReference, String)> = Vec::new();
        let mut more = 0_usize;
        let mut last: Option<&ObjectKey> = None;
        for orphan in &orphans.orphans {
            if last == Some(&orphan.service) {
                continue;
            }
            last = Some(&orphan.service);
            if told.len() >= TOLD {
                more += 1;
                continue;
            }
            let Some(known) = self.services.get(&orphan.service) else {
                continue;
            };
            let message = format!(
                "The new configuration in ConfigMap {name} is held back: {} of this Service {}. Put the address back into \
                 a pool, or delete the Service, or have it ask for another address",
                orphan.address, orphan.why
            );
            told.push((known.service.reference(), message));
        }
        if more > 0 {
            self.log(
                Record::event(
                    "configStale",
                    "more services hold back the configuration than are told by an Event",
                )
                .at(Level::Warn)
                .with("services", more),
            );
        }
        for (about, message) in told {
            self.effects.push_back(Effect::Record(KubernetesEvent {
                about,
                warning: true,
                reason: reason::CONFIG_HELD_BACK,
                message,
            }));
        }
    }

    fn about_config_map(&self, record: Record) -> Record {
        match &self.config_map {
            Some(map) => record.with("configmap", &map.key),
            None => record,
        }
    }
}
