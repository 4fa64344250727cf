//! What standalone mode does, as a value that people can look at: `--status`, and the table of a dry run.
//!
//! `Facts` is what the folder has told, [`Status`] what is made of it and of the announcements. `Reporter` writes
//! it to a file beside the state file whenever it may have changed, or shows it in a dry run.

#![expect(
    clippy::disallowed_methods,
    reason = "driver: says since when, and gathers bursts"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{Timestamp, TimestampRound, Unit};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::{Options, Show};
use crate::bgp;
use crate::cluster::Change;
use crate::cluster::directory::{Directory, KeptEvent, replace_file};
use crate::config::{Config, mode::Mode, parse};
use crate::controller;
use crate::journal::{Level, Record};
use crate::layer2;
use crate::logging::Journal;
use crate::metrics;
use crate::speaker::Announcement;
use crate::view::{self, ObjectKey};

/// What has changed is gathered for this long; the announcements are put down within it.
const GATHER: Duration = Duration::from_millis(250);

/// How often the interfaces are looked at although the folder has no news.
const INTERFACES: Duration = Duration::from_secs(5);

/// The version of the document.
const VERSION: u32 = 1;

/// The status of an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Of this document's form: 1.
    pub version: u32,
    /// Who.
    #[serde(flatten)]
    pub identity: Identity,
    /// When it was true, RFC 3339.
    pub updated: String,
    /// Whether a configuration is in force.
    pub config_loaded: bool,
    /// Whether the newest configuration was refused, so that an older one is in force.
    pub config_stale: bool,
    /// The pools in force.
    pub pools: Vec<PoolStatus>,
    /// The interfaces on which layer 2 answers, and how: `ARP`, `NDP`.
    pub interfaces: BTreeMap<String, Vec<String>>,
    /// The BGP peers.
    #[serde(default)]
    pub peers: Vec<PeerStatus>,
    /// Services of type LoadBalancer, by namespace and name.
    pub services: Vec<ServiceStatus>,
    /// What is wrong with the folder, a sentence each.
    pub problems: Vec<String>,
    /// What was recorded lately, oldest first.
    pub events: Vec<EventStatus>,
}

/// Which instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Identity {
    /// The folder.
    pub directory: String,
    /// This host's name.
    pub node: String,
    /// The process.
    pub pid: u32,
    /// When it started, RFC 3339.
    pub started: String,
    /// Whether it sends nothing.
    pub dry_run: bool,
    /// Whether announced addresses are on the loopback too.
    pub bind: bool,
}

impl Identity {
    /// This process.
    pub(super) fn new(options: &Options, node: &str) -> Self {
        Self {
            directory: options.dir.display().to_string(),
            node: node.to_owned(),
            pid: std::process::id(),
            started: now(),
            dry_run: options.dry_run,
            bind: options.bind,
        }
    }
}

/// A pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PoolStatus {
    /// Its name.
    pub name: String,
    /// How many addresses it has.
    pub addresses: i64,
    /// How many of them Services hold.
    pub in_use: i64,
}

/// A BGP peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PeerStatus {
    /// `ip:port`.
    pub peer: String,
    /// Whether the session is Established.
    pub up: bool,
    /// Routes that the peer has been told.
    pub announced: usize,
    /// Routes that it is still to be told about.
    pub pending: usize,
    /// Routes that the session cannot carry.
    pub unsendable: usize,
}

/// A Service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceStatus {
    /// Namespace and name.
    pub service: String,
    /// The pool that its addresses are from.
    pub pool: Option<String>,
    /// Its addresses.
    pub addresses: Vec<String>,
    /// How it is announced: `layer2`, `bgp`; `None`: it is not.
    pub announced: Option<String>,
    /// Since when it is announced, RFC 3339.
    pub since: Option<String>,
    /// Why it is not announced.
    pub reason: Option<String>,
}

/// An Event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventStatus {
    /// When last, RFC 3339.
    pub at: String,
    /// How often.
    pub count: u64,
    /// Whether it is a warning.
    pub warning: bool,
    /// About what: `Service default/web`.
    pub about: String,
    /// The reason, one word.
    pub reason: String,
    /// The sentence.
    pub message: String,
}

/// What the folder has told.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// The newest configuration that can be read.
    config: Option<Config>,
    services: BTreeMap<ObjectKey, view::Service>,
    /// Whether any endpoint is ready, for Services that have Endpoints.
    ready: BTreeMap<ObjectKey, bool>,
    synced: bool,
}

impl Facts {
    /// Takes a change.
    pub(super) fn take(&mut self, change: &Change) {
        match change {
            Change::ConfigMap(map) => {
                let text = map.config.as_deref().unwrap_or_default();
                let settings = map.settings.as_deref();
                if let Ok(config) = parse::parse_with_settings(text, settings, Mode::FerroLb) {
                    self.config = Some(config);
                }
            }
            Change::Service(service) if service.is_load_balancer => {
                self.services
                    .insert(service.key.clone(), (**service).clone());
            }
            Change::Service(service) => {
                self.services.remove(&service.key);
            }
            Change::ServiceGone(key) => {
                self.services.remove(key);
            }
            Change::Endpoints(endpoints) => {
                let ready = endpoints.endpoints.iter().any(|endpoint| endpoint.ready);
                self.ready.insert(endpoints.service.clone(), ready);
            }
            Change::EndpointsGone(key) => {
                self.ready.remove(key);
            }
            Change::Synced(_) => self.synced = true,
            // The last good configuration stays in force; nodes make no difference to the table.
            Change::ConfigMapGone
            | Change::Node(_)
            | Change::NodeGone(_)
            | Change::Speakers(_)
            | Change::SpeakerAddresses(_) => {}
        }
    }

    fn pool_of(&self, ip: &str) -> Option<&str> {
        let ip: IpAddr = ip.parse().ok()?;
        let pools = &self.config.as_ref()?.pools;
        Some(&pools.iter().find(|pool| pool.contains(ip))?.name)
    }

    /// Why a Service is not announced, as far as can be told from outside.
    fn silence(&self, service: &view::Service, outside: &Outside<'_>) -> String {
        if !outside.stats.config_loaded {
            return "no configuration is in force: put a ConfigMap `config` into the folder"
                .to_owned();
        }
        let warning = outside
            .events
            .iter()
            .rev()
            .map(|kept| &kept.event)
            .find(|event| event.warning && event.about.key == service.key)
            .map(|event| event.message.clone());
        if service.ingress.is_empty() {
            if let Some(class) = &service.load_balancer_class
                && outside.load_balancer_class != Some(class)
            {
                return format!("its loadBalancerClass {class:?} is not ours (--lb-class)");
            }
            return warning.unwrap_or_else(|| "it waits for an address".to_owned());
        }
        if let Some(ip) = service.ingress.iter().find(|ip| self.pool_of(ip).is_none()) {
            return format!("{ip} is in no pool of the configuration");
        }
        if self.ready.get(&service.key) == Some(&false) {
            return "none of its endpoints is ready".to_owned();
        }
        if let Some(warning) = warning {
            return warning;
        }
        if service.local_traffic_policy && self.ready.contains_key(&service.key) {
            return format!(
                "externalTrafficPolicy is Local, and no ready endpoint has nodeName {}",
                outside.identity.node
            );
        }
        "it is about to be announced, or the log says why not".to_owned()
    }

    /// The status.
    fn status(&self, outside: &Outside<'_>) -> Status {
        let mut announced: BTreeMap<&ObjectKey, &Announcement> = BTreeMap::new();
        for announcement in outside.announcements {
            announced
                .entry(&announcement.service)
                .or_insert(announcement);
        }
        Status {
            version: VERSION,
            identity: outside.identity.clone(),
            updated: now(),
            config_loaded: outside.stats.config_loaded,
            config_stale: outside.stats.config_stale,
            pools: outside
                .stats
                .pools
                .iter()
                .map(|(name, addresses, in_use)| PoolStatus {
                    name: name.clone(),
                    addresses: *addresses,
                    in_use: *in_use,
                })
                .collect(),
            interfaces: outside.interfaces.clone(),
            peers: outside.peers.clone(),
            services: self
                .services
                .values()
                .map(|service| {
                    let announcement = announced.get(&service.key);
                    ServiceStatus {
                        service: service.key.to_string(),
                        pool: service
                            .ingress
                            .first()
                            .and_then(|ip| self.pool_of(ip))
                            .map(str::to_owned),
                        addresses: service.ingress.clone(),
                        announced: announcement
                            .map(|announcement| announcement.protocol.0.to_owned()),
                        since: announcement
                            .and_then(|_| outside.since.get(&service.key))
                            .cloned(),
                        reason: announcement
                            .is_none()
                            .then(|| self.silence(service, outside)),
                    }
                })
                .collect(),
            problems: outside.problems.clone(),
            events: outside
                .events
                .iter()
                .map(|kept| EventStatus {
                    at: Timestamp::try_from(kept.at)
                        .map(seconds)
                        .unwrap_or_default(),
                    count: kept.count,
                    warning: kept.event.warning,
                    about: format!("{} {}", kept.event.about.kind, kept.event.about.key),
                    reason: kept.event.reason.to_owned(),
                    message: kept.event.message.clone(),
                })
                .collect(),
        }
    }
}

/// What else a status is made of.
struct Outside<'a> {
    identity: &'a Identity,
    stats: &'a controller::Stats,
    announcements: &'a [Announcement],
    /// Since when each Service is announced.
    since: &'a BTreeMap<ObjectKey, String>,
    events: &'a [KeptEvent],
    problems: Vec<String>,
    interfaces: BTreeMap<String, Vec<String>>,
    peers: Vec<PeerStatus>,
    load_balancer_class: Option<&'a String>,
}

/// Writes or shows the status.
pub(super) struct Reporter {
    pub(super) identity: Identity,
    pub(super) facts: Arc<Mutex<Facts>>,
    pub(super) directory: Directory,
    pub(super) controller: Arc<metrics::Controller>,
    pub(super) speaker: Arc<metrics::Speaker>,
    pub(super) layer2: layer2::driver::Params,
    /// BGP's figures; `None`: it does not speak.
    pub(super) bgp: Option<Arc<bgp::driver::Figures>>,
    pub(super) load_balancer_class: Option<String>,
    /// Where to write it; `None`: nowhere.
    pub(super) path: Option<PathBuf>,
    /// Where to show it.
    pub(super) show: Option<Show>,
    pub(super) journal: Journal,
}

impl Reporter {
    /// Reports until it is told to stop.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut news = self.directory.news();
        let mut since = BTreeMap::new();
        let mut unwritable = false;
        let mut last_interfaces = None;
        let mut last_peers = None;
        let mut is_news = true;
        loop {
            // What happens while this waits is in the status that follows.
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(GATHER) => {}
            }
            news.borrow_and_update();
            let params = self.layer2.clone();
            let mut interfaces = tokio::task::spawn_blocking(move || interfaces(&params))
                .await
                .unwrap_or_default();
            if let Some(config) = &locked(&self.facts).config {
                let only = &config.settings.layer2.interfaces;
                interfaces.retain(|name, _| only.is_empty() || only.contains(name));
            }
            let peers = self.peers();
            is_news |= last_interfaces.as_ref() != Some(&interfaces)
                || last_peers.as_ref() != Some(&peers);
            if is_news && locked(&self.facts).synced {
                last_interfaces = Some(interfaces.clone());
                last_peers = Some(peers.clone());
                let status = self.status(&mut since, interfaces, peers);
                if let Some(show) = &mut self.show {
                    show(&status);
                }
                if let Some(path) = self.path.clone() {
                    let written =
                        tokio::task::spawn_blocking(move || replace_file(&path, &status)).await;
                    match written {
                        Ok(Ok(())) => unwritable = false,
                        Ok(Err(error)) if !std::mem::replace(&mut unwritable, true) => {
                            self.journal.write(
                                Record::failed(
                                    "writeStatus",
                                    error,
                                    "the status file cannot be written: --status will not work",
                                )
                                .at(Level::Warn),
                            );
                        }
                        Ok(Err(_)) | Err(_) => {}
                    }
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                changed = news.changed() => match changed {
                    Ok(()) => is_news = true,
                    Err(_) => return,
                },
                () = tokio::time::sleep(INTERFACES) => is_news = false,
            }
        }
    }

    /// The BGP peers as they stand.
    fn peers(&self) -> Vec<PeerStatus> {
        let figures = self.bgp.iter().flat_map(|figures| figures.read());
        figures
            .map(|figures| PeerStatus {
                peer: figures.peer,
                up: figures.session.up,
                announced: figures.session.announced,
                pending: figures.session.pending,
                unsendable: figures.session.unsendable,
            })
            .collect()
    }

    fn status(
        &self,
        since: &mut BTreeMap<ObjectKey, String>,
        interfaces: BTreeMap<String, Vec<String>>,
        peers: Vec<PeerStatus>,
    ) -> Status {
        let announcements = self.speaker.announcements();
        let announced: BTreeSet<&ObjectKey> = announcements
            .iter()
            .map(|announcement| &announcement.service)
            .collect();
        since.retain(|service, _| announced.contains(service));
        for service in announced {
            since.entry(service.clone()).or_insert_with(now);
        }
        let stats = self.controller.stats();
        let events = self.directory.events();
        let outside = Outside {
            identity: &self.identity,
            stats: &stats,
            announcements: &announcements,
            since,
            events: &events,
            problems: self.directory.problems(),
            interfaces,
            peers,
            load_balancer_class: self.load_balancer_class.as_ref(),
        };
        locked(&self.facts).status(&outside)
    }
}

fn interfaces(params: &layer2::driver::Params) -> BTreeMap<String, Vec<String>> {
    // Where the kernel does not say, the table has no interfaces; layer 2 itself says what is wrong.
    layer2::driver::survey(params)
        .unwrap_or_default()
        .into_iter()
        .map(|(name, kinds)| {
            let kinds = kinds.iter().map(|kind| kind.as_str().to_owned());
            (name, kinds.collect())
        })
        .collect()
}

/// Nothing that is done under these locks can fail half-way.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn now() -> String {
    seconds(Timestamp::now())
}

fn seconds(at: Timestamp) -> String {
    at.round(
        TimestampRound::new()
            .smallest(Unit::Second)
            .mode(jiff::RoundMode::Trunc),
    )
    .unwrap_or(at)
    .to_string()
}

#[cfg(test)]
mod tests;
