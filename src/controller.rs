//! The allocating side: events in, effects out.
//!
//! The [`Controller`] keeps a trimmed copy of each Service that concerns it, the configuration in force
//! ([`LiveConfig`]) and the book of addresses ([`Allocator`]). It is told what happens, and answers with status
//! writes, Kubernetes Events and log lines. It is not a client: it has no clock, no socket, and never waits.
//!
//! # How it is driven
//!
//! [`Controller::handle`] each event in the order it came, then drain [`Controller::poll_effect`]. When no further event
//! is waiting, and under a flood every now and then, say [`Event::Settled`]: what a burst should cause only once is done
//! then, in this order: a configuration that is held back is tried again if an address was freed; all Services are
//! processed after a change of the configuration; Services that wait for room are tried again if an address was freed;
//! writes that the server was too far away for are asked for again.
//!
//! # From start to work
//!
//! ```text
//! Starting   + Service            remember it
//!            + ConfigMap, good    its pools
//!            + ServicesSynced     --> Working, as soon as there were both: first every Service takes the addresses
//!                                     that its status shows, then each is processed, in the order of namespace/name
//! Working    + Service            process it at once
//!            + ConfigMap, good    its pools; all Services at the next Settled
//!            + ServiceGone        free its addresses
//!   either   + ConfigMap, bad or
//!              orphaning, or gone the last good one stays in force, and is stale
//! ```
//!
//! # What becomes of a status write
//!
//! A write is a compare-and-swap on the version that the decision was made on, so that news of the Service that comes
//! first means that the write has lost: the decision is made again, and the addresses stay the Service's as long as they
//! are what it asks for. Only what the status has shown, and then shows no more, is freed as upstream frees it.
//!
//! # Invariants
//!
//! * Nothing new is allocated before every Service of the first list holds what its status shows.
//! * Two Services hold the same address only if they may share it (the [`Allocator`] sees to that).
//! * An address that a status shows, and that is in a pool, is never changed unless the Service asks for another.
//! * Each event causes a bounded number of effects, and an unchanged world causes none.
//!
//! # Classes
//!
//! A Service whose `spec.loadBalancerClass` is not ours ([`Params::load_balancer_class`]) is given nothing and its status is
//! never touched. Addresses of our pools that its status shows are held for it, so that what runs stays as it is when
//! 0.12, which knows no classes, is replaced; addresses that are in no pool of ours are nothing to us.
//!
//! # Norm
//!
//! Upstream: `controller/service.go` and `controller/main.go` of MetalLB 0.12.1; the module `converge` has the order of
//! decisions. Deviation: classes are honoured; held addresses are adopted first; a warning is said once and not at each
//! new try; Services that wait are tried again whenever an address is freed, not only when a Service is deleted; a
//! refused configuration is said by Events; a Service with more than two addresses does not stay stuck.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use ferrolb_compat::names::reason;

use crate::allocator::Allocator;
use crate::config::live::LiveConfig;
use crate::journal::{Level, Record, listed};
use crate::view::{self, KubernetesEvent, ObjectKey, ObjectReference};

mod configuration;
mod converge;
mod known;
mod request;
#[cfg(test)]
mod tests;

use configuration::HeldBack;
use converge::{Finding, Outcome, Situation, Verdict, WaitsFor};
use known::Known;
use request::Quoted;

/// What is decided once, at start.
#[derive(Debug, Clone, Default)]
pub struct Params {
    /// The `spec.loadBalancerClass` that is ours; `None`: only Services without a class are given new addresses.
    pub load_balancer_class: Option<String>,
}

impl Params {
    /// Whether the Service's class is ours.
    fn owns(&self, service: &view::Service) -> bool {
        service.load_balancer_class == self.load_balancer_class
    }
}

/// What can happen to the controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The ConfigMap appeared or changed.
    ConfigMap(view::ConfigMap),
    /// The ConfigMap does not exist.
    ConfigMapGone,
    /// A Service appeared or changed.
    Service(Box<view::Service>),
    /// A Service is gone.
    ServiceGone(view::ObjectKey),
    /// Every Service that existed at the start has been told.
    ServicesSynced,
    /// A status write that an effect asked for has ended.
    StatusWrite(view::ObjectKey, WriteOutcome),
    /// No further event is waiting: the time for work that a burst of events should cause only once.
    Settled,
}

/// How a status write ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WriteOutcome {
    /// It is in the API server.
    Written,
    /// Somebody changed or deleted the Service first; the change arrives as an event of its own.
    Superseded,
    /// The server refuses it for good; the text says why.
    Refused(String),
    /// The server could not be reached for long; the text says why. The controller asks again.
    Unavailable(String),
}

/// What the controller wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Write this status. At most one is under way for a Service; a later one replaces one that has not begun.
    WriteStatus(view::StatusWrite),
    /// Record this Kubernetes Event.
    Record(view::KubernetesEvent),
    /// Log this line.
    Log(Record),
}

/// What the metrics show.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stats {
    /// Per pool: name, capacity, addresses in use.
    pub pools: Vec<(String, i64, i64)>,
    /// Whether a configuration was ever accepted.
    pub config_loaded: bool,
    /// Whether the newest ConfigMap is not the configuration in force.
    pub config_stale: bool,
    /// Objects processed.
    pub updates: u64,
    /// Objects whose processing failed and is tried again.
    pub update_errors: u64,
}

/// Who gets which address, and what is done about it.
#[derive(Debug, Default)]
pub struct Controller {
    params: Params,
    live: LiveConfig,
    /// The ConfigMap that was told last: Events are about it.
    config_map: Option<ObjectReference>,
    held_back: Option<HeldBack>,
    allocator: Allocator,
    /// Services of type LoadBalancer, and those with a status to clear. In the order of namespace/name, which is
    /// the order in which many are processed.
    services: BTreeMap<ObjectKey, Known>,
    /// Every Service of the start was told.
    synced: bool,
    /// Services are processed: all that held addresses have taken them.
    working: bool,
    /// An address was given back, or may be shared now, since the waiting ones were last tried.
    room: bool,
    /// The configuration has changed since all Services were last processed.
    reprocess: bool,
    /// Services without an address that another Service could give room to.
    waiting: BTreeSet<ObjectKey>,
    /// Services whose status write is to be asked for again.
    unwritten: BTreeSet<ObjectKey>,
    effects: VecDeque<Effect>,
    updates: u64,
    update_errors: u64,
}

impl Controller {
    /// A controller that knows nothing yet.
    #[must_use]
    pub fn new(params: Params) -> Self {
        Self {
            params,
            ..Self::default()
        }
    }

    /// Takes the next event.
    pub fn handle(&mut self, event: Event) {
        match event {
            Event::ConfigMap(map) => self.take_config_map(&map),
            Event::ConfigMapGone => self.lose_config_map(),
            Event::Service(service) => self.take_service(service),
            Event::ServiceGone(key) => self.lose_service(&key),
            Event::ServicesSynced => self.sync(),
            Event::StatusWrite(key, outcome) => self.end_write(&key, outcome),
            Event::Settled => self.settle(),
        }
    }

    /// Gives the next thing to do, oldest first.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// What the metrics show now. Walks the pools, not the Services.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats {
            pools: self
                .allocator
                .usage()
                .map(|pool| (pool.name.to_owned(), pool.capacity, pool.in_use))
                .collect(),
            config_loaded: self.live.loaded(),
            config_stale: self.live.stale(),
            updates: self.updates,
            update_errors: self.update_errors,
        }
    }

    fn take_service(&mut self, service: Box<view::Service>) {
        self.updates += 1;
        let key = service.key.clone();
        let recreated = self
            .services
            .get(&key)
            .is_some_and(|known| known.service.uid != service.uid);
        if recreated {
            // Another object of the same name: what the old one held is nothing to it.
            self.forget(&key);
        }
        if let Some(known) = self.services.get_mut(&key) {
            let sharing = known.tell(service);
            if sharing && self.allocator.held(&key).is_some() {
                self.room = true;
            }
        } else {
            let known = Known::new(service);
            if !known.concerns_us() {
                return;
            }
            self.services.insert(key.clone(), known);
        }
        if self.working {
            let changes = self.process(&key);
            if !changes {
                self.log(
                    Record::event("noChange", "service converged, no change")
                        .at(Level::Debug)
                        .with("service", &key),
                );
            }
        }
    }

    fn lose_service(&mut self, key: &ObjectKey) {
        self.updates += 1;
        if self.forget(key) {
            self.log(Record::event("serviceDeleted", "deleted service").with("service", key));
        }
    }

    /// Forgets the Service and frees what it held; says whether it was known.
    fn forget(&mut self, key: &ObjectKey) -> bool {
        self.room |= self.allocator.unassign(key);
        self.waiting.remove(key);
        self.unwritten.remove(key);
        self.services.remove(key).is_some()
    }

    fn sync(&mut self) {
        // A source says so again after each later list: only the first is news.
        if std::mem::replace(&mut self.synced, true) {
            return;
        }
        if self.live.loaded() {
            self.start();
        } else {
            self.log(Record::event(
                "noConfig",
                "all services are known, still waiting for a configuration",
            ));
        }
    }

    /// First every Service takes the addresses that its status shows, then each is processed.
    fn start(&mut self) {
        if self.working || !self.synced || !self.live.loaded() {
            return;
        }
        self.working = true;
        // Those of another class come last: where they show what one of ours shows, ours has it.
        for ours in [true, false] {
            for known in self.services.values_mut() {
                if self.params.owns(&known.service) == ours {
                    let situation = Situation {
                        service: &known.service,
                        ours,
                        status: &known.status(),
                        told: true,
                        shown: false,
                    };
                    known.shown = converge::adopt(&mut self.allocator, &situation);
                }
            }
        }
        self.log(Record::event(
            "stateSynced",
            "controller synced, can allocate IPs now",
        ));
        self.reprocess = false;
        self.process_all();
    }

    fn process_all(&mut self) {
        let keys: Vec<ObjectKey> = self.services.keys().cloned().collect();
        for key in keys {
            self.process(&key);
        }
    }

    /// Those that wait for room: first those of another class, whose addresses must not be given away.
    fn process_waiting(&mut self) {
        let mut keys: Vec<ObjectKey> = self.waiting.iter().cloned().collect();
        keys.sort_by_key(|key| {
            self.services
                .get(key)
                .is_some_and(|known| self.params.owns(&known.service))
        });
        for key in keys {
            self.process(&key);
        }
    }

    /// Decides about one Service. Says whether that had any effect.
    fn process(&mut self, key: &ObjectKey) -> bool {
        let Some(known) = self.services.get_mut(key) else {
            return false;
        };
        let situation = Situation {
            service: &known.service,
            ours: self.params.owns(&known.service),
            status: &known.status(),
            told: !known.is_writing(),
            shown: known.shown,
        };
        let Outcome {
            verdict,
            shown,
            room,
            waits_for,
            findings,
        } = converge::converge(&mut self.allocator, &situation);
        known.shown = shown;
        self.room |= room;
        if waits_for == WaitsFor::Room {
            self.waiting.insert(key.clone());
        } else {
            self.waiting.remove(key);
        }
        let before = self.effects.len();
        let warned = findings
            .iter()
            .any(|finding| matches!(finding, Finding::Warning { .. }));
        let write = match verdict {
            Verdict::Leave => None,
            Verdict::Show(addresses) => {
                if !addresses.is_empty() && !warned {
                    known.is_well();
                }
                known.show(addresses)
            }
        };
        for finding in findings {
            tell(&mut self.effects, known, finding);
        }
        if let Some(write) = write {
            self.effects.push_back(Effect::WriteStatus(write));
        }
        if !known.concerns_us() {
            self.services.remove(key);
        }
        self.effects.len() > before
    }

    fn end_write(&mut self, key: &ObjectKey, outcome: WriteOutcome) {
        let Some(known) = self.services.get_mut(key) else {
            return;
        };
        match outcome {
            // Its echo is on the way.
            WriteOutcome::Written => self.log(
                Record::event("serviceUpdated", "updated service object").with("service", key),
            ),
            // Its cause is on the way.
            WriteOutcome::Superseded => known.superseded(),
            WriteOutcome::Unavailable(why) => {
                if known.unavailable() {
                    self.unwritten.insert(key.clone());
                }
                self.update_errors += 1;
                self.log(
                    Record::failed(
                        "updateServiceStatus",
                        why,
                        "failed to update service, will try again",
                    )
                    .with("service", key),
                );
            }
            WriteOutcome::Refused(why) => {
                self.update_errors += 1;
                if known.refused() {
                    let about = known.service.reference();
                    self.effects.push_back(Effect::Record(KubernetesEvent {
                        about,
                        warning: true,
                        reason: reason::INTERNAL_ERROR,
                        message: format!(
                            "The status could not be written, and is not tried again before the Service changes: {why}"
                        ),
                    }));
                }
                self.log(
                    Record::failed(
                        "updateServiceStatus",
                        why,
                        "failed to update service, will not try again before it changes",
                    )
                    .with("service", key),
                );
            }
        }
    }

    fn settle(&mut self) {
        // Invariant: this ends. Those that wait hold nothing that they could free: a further turn follows only upon one
        // that processed all Services for a new configuration.
        if self.working {
            loop {
                let room = std::mem::take(&mut self.room);
                if room {
                    self.try_held_back();
                }
                if std::mem::take(&mut self.reprocess) {
                    self.process_all();
                } else if room {
                    self.process_waiting();
                }
                if !self.room {
                    break;
                }
            }
        }
        for key in std::mem::take(&mut self.unwritten) {
            if let Some(write) = self.services.get_mut(&key).and_then(Known::ask_again) {
                self.effects.push_back(Effect::WriteStatus(write));
            }
        }
    }

    fn log(&mut self, record: Record) {
        self.effects.push_back(Effect::Log(record));
    }
}

/// Says what was found about a Service: warnings only once.
fn tell(effects: &mut VecDeque<Effect>, known: &mut Known, finding: Finding) {
    let key = known.service.key.clone();
    match finding {
        Finding::Cleared { reason, error } => {
            let mut record = Record::event("clearAssignment", "the assignment is cleared")
                .with("service", &key)
                .with("reason", reason);
            record.error = error;
            effects.push_back(Effect::Log(record));
        }
        Finding::Allocated { pool, addresses } => {
            let quoted = Quoted(&addresses).to_string();
            effects.push_back(Effect::Log(
                Record::event("ipAllocated", "IP address assigned by controller")
                    .with("service", &key)
                    .with("ips", listed(addresses.iter()))
                    .with("pool", pool),
            ));
            effects.push_back(Effect::Record(KubernetesEvent {
                about: known.service.reference(),
                warning: false,
                reason: reason::IP_ALLOCATED,
                message: format!("Assigned IP {quoted}"),
            }));
        }
        Finding::Warning { reason, message } => {
            if !known.is_new(reason, &message) {
                return;
            }
            effects.push_back(Effect::Log(
                Record::failed("allocateIPs", &message, "the service needs attention")
                    .with("service", &key)
                    .with("reason", reason),
            ));
            effects.push_back(Effect::Record(KubernetesEvent {
                about: known.service.reference(),
                warning: true,
                reason,
                message,
            }));
        }
    }
}
