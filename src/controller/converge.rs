//! What shall become of one Service: the order of upstream's decisions, over the book of addresses.
//!
//! In: a Service, the addresses that count as its status, what the [`Allocator`] has noted for it. Out: the addresses
//! that its status shall show, and what there is to tell. Nothing is written or said here.
//!
//! Upstream: `convergeBalancer` of the controller, in this order:
//!
//! ```text
//! not LoadBalancer, no cluster IP         free, status empty
//! class of somebody else                  hold what the status shows, touch nothing
//! status shows addresses                  take exactly those: they are the end state
//!   two of one family, families unknown   warn, leave everything
//!   more than two, other family,
//!   not to be had                         as without addresses
//! asks for other addresses or pool        free
//! without addresses                       the addresses asked for, else the pool asked for, else any pool
//! ```
//!
//! Invariant: a Service that ends here without an address holds none; one that holds some is wanted with exactly those.

use std::net::IpAddr;

use ferrolb_compat::go::quote::quote;
use ferrolb_compat::names::reason;

use super::request::{self, Mix, Quoted};
use crate::allocator::{Allocator, Refusal};
use crate::view::Service;

/// Bytes of a warning's text. Annotations may be 256 KiB long and are quoted; the API server takes 1,024 for an Event.
const LONGEST: usize = 1_000;

/// A Service and what is known about it.
pub(super) struct Situation<'a> {
    /// The Service.
    pub(super) service: &'a Service,
    /// Whether its class is ours.
    pub(super) ours: bool,
    /// The addresses that count as its status; `None` is a text that is no address.
    pub(super) status: &'a [Option<IpAddr>],
    /// Whether the cluster told this status; else it is what was asked for last.
    pub(super) told: bool,
    /// Whether a told status has shown the addresses that it holds.
    pub(super) shown: bool,
}

/// What shall become of the status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It stays as it is.
    Leave,
    /// It shall show exactly these; none: it shall be empty.
    Show(Vec<IpAddr>),
}

/// What a Service without an address waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum WaitsFor {
    /// It waits for nothing.
    #[default]
    Nothing,
    /// Only a change of the Service itself can help.
    Itself,
    /// Another configuration.
    Configuration,
    /// Another Service that frees something, or another configuration.
    Room,
}

/// Something to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Finding {
    /// The addresses were taken back, or those in the status were not accepted.
    Cleared {
        /// One word.
        reason: &'static str,
        /// Why, where there is more to say.
        error: Option<String>,
    },
    /// The Service was given these.
    Allocated {
        /// The pool.
        pool: String,
        /// The addresses.
        addresses: Vec<IpAddr>,
    },
    /// Somebody should mend the Service.
    Warning {
        /// The Event's reason.
        reason: &'static str,
        /// The Event's text.
        message: String,
    },
}

/// The result for one Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outcome {
    /// The status.
    pub(super) verdict: Verdict,
    /// Whether the status has shown what is held now.
    pub(super) shown: bool,
    /// Whether another Service may find room now: an address was given back.
    pub(super) room: bool,
    /// What a Service without an address waits for.
    pub(super) waits_for: WaitsFor,
    /// What there is to tell, in order.
    pub(super) findings: Vec<Finding>,
}

/// Decides about one Service, and notes the decision in the book.
pub(super) fn converge(allocator: &mut Allocator, situation: &Situation<'_>) -> Outcome {
    let mut step = Step {
        allocator,
        service: situation.service,
        status: situation.status,
        told: situation.told,
        shown: situation.shown,
        room: false,
        waits_for: WaitsFor::Nothing,
        findings: Vec::new(),
    };
    let verdict = step.decide(situation.ours);
    Outcome {
        verdict,
        shown: step.shown,
        room: step.room,
        waits_for: step.waits_for,
        findings: step.findings,
    }
}

/// Takes the addresses in the status for the Service that shows them, if they can be had: what is done for all Services
/// before anything new is allocated. Says whether they were taken.
///
/// Deviation: 0.12 processes the Services of the first list in any order, so that one without an address may be given
/// one that another has held for months.
pub(super) fn adopt(allocator: &mut Allocator, situation: &Situation<'_>) -> bool {
    let service = situation.service;
    if !service.is_load_balancer || situation.status.is_empty() {
        return false;
    }
    let Some(addresses) = valid(situation.status) else {
        return false;
    };
    let Ok(families) = request::families_of(&addresses) else {
        return false;
    };
    if situation.ours && request::service_families(service) != Ok(families) {
        return false;
    }
    allocator
        .assign(&service.key, &addresses, &request::claim(service))
        .is_ok()
}

/// All of them, if all are addresses.
fn valid(status: &[Option<IpAddr>]) -> Option<Vec<IpAddr>> {
    status.iter().copied().collect()
}

/// What the status amounts to.
enum Current {
    /// Nothing sensible can be said: hands off.
    Unclear,
    /// The Service has these.
    Has(Vec<IpAddr>),
    /// The Service has nothing.
    Nothing,
}

/// Why nothing was allocated.
struct Failure {
    message: String,
    waits_for: WaitsFor,
}

impl Failure {
    /// The Service asks for what nobody could give.
    fn of_itself(error: impl ToString) -> Self {
        Self {
            message: error.to_string(),
            waits_for: WaitsFor::Itself,
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self {
            message: refusal.to_string(),
            waits_for: waits_for(&refusal),
        }
    }
}

/// What could make another try succeed.
fn waits_for(refusal: &Refusal) -> WaitsFor {
    match refusal {
        Refusal::NotAllowed { .. } | Refusal::UnknownPool { .. } => WaitsFor::Configuration,
        Refusal::KeyInUse { .. }
        | Refusal::PortInUse { .. }
        | Refusal::PoolExhausted { .. }
        | Refusal::Exhausted { .. }
        | Refusal::TooMany => WaitsFor::Room,
        Refusal::WrongFamily { .. } | Refusal::Repeated { .. } => WaitsFor::Itself,
    }
}

/// One decision under way.
struct Step<'a> {
    allocator: &'a mut Allocator,
    service: &'a Service,
    status: &'a [Option<IpAddr>],
    told: bool,
    shown: bool,
    room: bool,
    waits_for: WaitsFor,
    findings: Vec<Finding>,
}

impl Step<'_> {
    fn decide(&mut self, ours: bool) -> Verdict {
        if !self.service.is_load_balancer {
            self.clear("notLoadBalancer", None);
            return Verdict::Show(Vec::new());
        }
        if !ours {
            self.hold_for_another_class();
            return Verdict::Leave;
        }
        if request::cluster_ips(self.service).next().is_none() {
            self.clear("noClusterIPs", None);
            return Verdict::Show(Vec::new());
        }
        let current = match self.current() {
            Current::Unclear => return Verdict::Leave,
            Current::Has(addresses) if self.still_wanted(&addresses) => Some(addresses),
            Current::Has(_) | Current::Nothing => None,
        };
        if let Some(addresses) = current {
            return Verdict::Show(addresses);
        }
        match self.allocate() {
            Ok(addresses) => {
                self.shown = false;
                let pool = self
                    .allocator
                    .held(&self.service.key)
                    .map(|held| held.pool.to_owned())
                    .unwrap_or_default();
                self.findings.push(Finding::Allocated {
                    pool,
                    addresses: addresses.clone(),
                });
                Verdict::Show(addresses)
            }
            Err(failure) => {
                self.waits_for = failure.waits_for;
                self.warn(
                    reason::ALLOCATION_FAILED,
                    format!(
                        "Failed to allocate IP for {}: {}",
                        quote(self.service.key.as_str()),
                        failure.message
                    ),
                );
                Verdict::Show(Vec::new())
            }
        }
    }

    /// Step 2 and the first half of step 3: the addresses in the status are the end state, if they can be had.
    fn current(&mut self) -> Current {
        if self.status.is_empty() {
            return self.unconfirmed();
        }
        if self.status.len() > 2 {
            // Deviation: 0.12 warns and leaves such a Service alone for ever.
            self.warn(
                reason::NO_LB_IPS_IP_FAMILY,
                format!(
                    "Failed to retrieve lbIPs family: {}; the status is cleared",
                    Mix::Count(self.status.len())
                ),
            );
            return self.unconfirmed();
        }
        let Some(addresses) = valid(self.status) else {
            self.note_cleared(
                "notAllowedByConfig",
                Some("the status holds a text that is no address".to_owned()),
            );
            return self.unconfirmed();
        };
        let families = match request::families_of(&addresses) {
            Ok(families) => families,
            Err(mix) => {
                self.warn(
                    reason::NO_LB_IPS_IP_FAMILY,
                    format!("Failed to retrieve lbIPs family: {mix}"),
                );
                return Current::Unclear;
            }
        };
        match request::service_families(self.service) {
            Ok(wanted) if wanted == families => {}
            Ok(_) => {
                self.note_cleared("differentIPFamily", None);
                return self.unconfirmed();
            }
            Err(mix) => {
                self.warn(
                    reason::NO_CLUSTER_IPS_IP_FAMILY,
                    format!("Failed to retrieve clusterIPs family: {mix}"),
                );
                return Current::Unclear;
            }
        }
        match self.take(&addresses) {
            Ok(()) => {
                self.shown |= self.told;
                Current::Has(addresses)
            }
            Err(refusal) => {
                self.note_cleared("notAllowedByConfig", Some(refusal.to_string()));
                self.unconfirmed()
            }
        }
    }

    /// What the Service was given but its status has never shown: our write is not through yet, or it lost against
    /// somebody's change. It stays the decision, if it can. What the status has shown and shows no more is freed.
    fn unconfirmed(&mut self) -> Current {
        let Some(held) = self.allocator.held(&self.service.key) else {
            return Current::Nothing;
        };
        let addresses = held.addresses.to_vec();
        let fits = !self.shown
            && request::families_of(&addresses) == request::service_families(self.service)
            && self.take(&addresses).is_ok();
        if fits {
            return Current::Has(addresses);
        }
        self.release();
        Current::Nothing
    }

    /// The second half of step 3: whether what it has is what it asks for. If not, it is freed.
    fn still_wanted(&mut self, addresses: &[IpAddr]) -> bool {
        let other_pool = request::asked_pool(self.service).is_some_and(|asked| {
            self.allocator
                .held(&self.service.key)
                .is_none_or(|held| held.pool != asked)
        });
        match request::asked_addresses(self.service) {
            // Upstream frees them and takes the same again where the pool asked for is another one: addresses that are
            // asked for count more than a pool.
            Ok(Some(asked)) if request::same_addresses(&asked, addresses) => true,
            Ok(Some(_)) => {
                self.clear("differentIPRequested", None);
                false
            }
            Ok(None) if other_pool => {
                self.clear("differentPoolRequested", None);
                false
            }
            Ok(None) => true,
            Err(_) if !self.shown => {
                self.clear("invalidIPRequested", None);
                false
            }
            Err(error) => {
                if other_pool {
                    self.clear("differentPoolRequested", None);
                }
                self.warn(
                    reason::LOAD_BALANCER_FAILED,
                    format!("invalid requested loadbalancer IPs: {error}"),
                );
                !other_pool
            }
        }
    }

    /// Step 4.
    fn allocate(&mut self) -> Result<Vec<IpAddr>, Failure> {
        let families = request::service_families(self.service).map_err(Failure::of_itself)?;
        let asked = request::asked_addresses(self.service).map_err(Failure::of_itself)?;
        let claim = request::claim(self.service);
        let key = &self.service.key;
        if let Some(addresses) = asked {
            if request::families_of(&addresses) != Ok(families) {
                return Err(Failure::of_itself(format!(
                    "requested loadBalancer IP(s) {} does not match the ipFamily of the service: \
                     ask for the families of its cluster IPs",
                    Quoted(&addresses)
                )));
            }
            self.allocator.assign(key, &addresses, &claim)?;
            return Ok(addresses);
        }
        if let Some(pool) = request::asked_pool(self.service) {
            return Ok(self
                .allocator
                .allocate_from_pool(key, families, pool, &claim)?);
        }
        Ok(self.allocator.allocate(key, families, &claim)?)
    }

    /// A Service whose class is somebody else's: it gets nothing new. Addresses of our pools that its status shows are
    /// held, so that nobody else is given them; its status is never touched.
    ///
    /// Deviation: 0.12 does not know classes and takes such a Service.
    fn hold_for_another_class(&mut self) {
        let addresses = valid(self.status)
            .filter(|addresses| request::families_of(addresses).is_ok())
            .unwrap_or_default();
        if addresses.is_empty() {
            self.release();
            return;
        }
        match self.take(&addresses) {
            Ok(()) => self.shown |= self.told,
            Err(refusal) => {
                // Once whoever stands against it is gone, nobody else must be given these.
                self.waits_for = waits_for(&refusal);
                let holds = self
                    .allocator
                    .held(&self.service.key)
                    .is_some_and(|held| request::same_addresses(held.addresses, &addresses));
                if !holds {
                    self.release();
                }
            }
        }
    }

    /// Takes these for the Service; what it held before is free then.
    fn take(&mut self, addresses: &[IpAddr]) -> Result<(), Refusal> {
        let key = &self.service.key;
        let moves = self
            .allocator
            .held(key)
            .is_some_and(|held| !request::same_addresses(held.addresses, addresses));
        self.allocator
            .assign(key, addresses, &request::claim(self.service))?;
        self.room |= moves;
        Ok(())
    }

    /// Frees what it holds, and tells so if there was something to free or to clear.
    fn clear(&mut self, reason: &'static str, error: Option<String>) {
        let held = self.release();
        if held || !self.status.is_empty() {
            self.note_cleared(reason, error);
        }
    }

    fn note_cleared(&mut self, reason: &'static str, error: Option<String>) {
        self.findings.push(Finding::Cleared { reason, error });
    }

    fn release(&mut self) -> bool {
        let held = self.allocator.unassign(&self.service.key);
        self.room |= held;
        self.shown = false;
        held
    }

    fn warn(&mut self, reason: &'static str, mut message: String) {
        if message.len() > LONGEST {
            message.truncate(message.floor_char_boundary(LONGEST));
            message.push('…');
        }
        self.findings.push(Finding::Warning { reason, message });
    }
}
