//! The configuration in force, while ConfigMaps come and go.
//!
//! Upstream: each change of the ConfigMap is parsed; one that is refused leaves the last good one in force and makes
//! `metallb_k8s_client_config_stale_bool` 1. One that is refused because addresses are in use is tried again
//! until those Services are gone.
//!
//! Protocol of use: [`LiveConfig::offer`] each ConfigMap; of a [`Offer::Candidate`] say [`LiveConfig::accept`] or
//! [`LiveConfig::refuse`]. After a refusal [`LiveConfig::pending`] is what to try again later, followed by the same two.
//! A newer ConfigMap replaces what is pending, whether it is good or not.

use std::sync::Arc;

use super::error::Refused;
use super::mode::Mode;
use super::{Config, parse};
use crate::view;

/// What became of a ConfigMap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Offer {
    /// The same texts as the last time: there is nothing to do.
    Unchanged,
    /// A good configuration: say [`LiveConfig::accept`] or [`LiveConfig::refuse`].
    Candidate(Arc<Config>),
    /// A bad one. The configuration in force stays, and is stale from now on.
    Refused(Refused),
}

/// What was offered: `config`, the settings, and how it was to be read.
type Offered = (Option<Arc<str>>, Option<Arc<str>>, Mode);

/// The last good configuration, and whether it is what the cluster says.
#[derive(Debug, Clone, Default)]
pub struct LiveConfig {
    /// In force.
    current: Option<Arc<Config>>,
    /// Parsed, and neither accepted nor replaced since.
    candidate: Option<Arc<Config>>,
    /// Whether the candidate was refused at least once.
    refused: bool,
    /// The texts of the last offer; an inner `None` is a ConfigMap without the key.
    last: Option<Offered>,
    /// Whether the newest word of the cluster is not what is in force.
    stale: bool,
}

impl LiveConfig {
    /// Takes the ConfigMap as it is now.
    ///
    /// [`Offer::Unchanged`] if it says what the last one said, whatever became of that one. A text that goes back to the
    /// one in force after another was refused is a candidate again, so that its acceptance is told.
    pub fn offer(&mut self, map: &view::ConfigMap, mode: Mode) -> Offer {
        let offered = Some((map.config.clone(), map.settings.clone(), mode));
        if self.last == offered {
            return Offer::Unchanged;
        }
        self.last = offered;
        self.candidate = None;
        self.refused = false;
        let parsed = match &map.config {
            Some(text) => parse::parse_with_settings(text, map.settings.as_deref(), mode),
            None => Err(Refused::without_place(
                "no-config-key",
                format!(
                    "the ConfigMap {} has no key `config`: put the configuration under `data.config`",
                    map.key
                ),
            )),
        };
        match parsed {
            Ok(config) => {
                let config = Arc::new(config);
                self.candidate = Some(config.clone());
                Offer::Candidate(config)
            }
            Err(refused) => {
                self.stale = true;
                Offer::Refused(refused)
            }
        }
    }

    /// The configuration is in force from now on: loaded, and not stale.
    pub fn accept(&mut self, config: Arc<Config>) {
        self.current = Some(config);
        self.candidate = None;
        self.refused = false;
        self.stale = false;
    }

    /// The candidate cannot be put in force now. It is kept for another try; the one in force is stale.
    ///
    /// After [`Offer::Refused`] it changes nothing.
    pub fn refuse(&mut self) {
        self.refused = true;
        self.stale = true;
    }

    /// A good configuration that waits because addresses outside of it are in use.
    #[must_use]
    pub fn pending(&self) -> Option<&Arc<Config>> {
        self.candidate.as_ref().filter(|_| self.refused)
    }

    /// The ConfigMap was deleted: the last good configuration stays in force, and is stale.
    pub fn gone(&mut self) {
        self.candidate = None;
        self.refused = false;
        self.last = None;
        self.stale = true;
    }

    /// The configuration in force.
    #[must_use]
    pub fn current(&self) -> Option<&Arc<Config>> {
        self.current.as_ref()
    }

    /// Whether a configuration was ever put in force.
    #[must_use]
    pub fn loaded(&self) -> bool {
        self.current.is_some()
    }

    /// Whether the cluster's newest word is not what is in force.
    #[must_use]
    pub fn stale(&self) -> bool {
        self.stale
    }
}

#[cfg(test)]
mod tests;
