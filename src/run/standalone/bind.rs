//! `--bind`: announced addresses on the loopback too, so that servers on this host answer for them.
//!
//! ```text
//!  send(), routed() -> sets of wanted addresses ── Notify ──> task ── rtnetlink ──> lo: /32 and /128
//! ```
//!
//! Invariant: only addresses that we put there are ever removed. IPv4 ones carry the label [`LABEL`], all carry the
//! protocol [`PROTOCOL`] where the kernel knows that attribute (5.18): by these the leftovers of a process that was
//! killed are known at the next start. Cancel: [`Loopback::shutdown`] removes what we put there.

#![expect(
    clippy::disallowed_methods,
    reason = "driver: owns the netlink socket and the pace of its retries"
)]

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::TryStreamExt as _;
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage, AddressProtocol};
use rtnetlink::{AddressMessageBuilder, Handle};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::status::locked;
use crate::config::Protocol;
use crate::journal::{Level, Record};
use crate::layer2::Command;
use crate::logging::Journal;
use crate::run::speaker::Announced;
use crate::speaker::ProtocolName;

/// The loopback's index, in every network namespace.
const LOOPBACK: u32 = 1;
/// Label of our IPv4 addresses: begins with the interface's name, at most 15 octets.
const LABEL: &str = "lo:ferrolb";
/// `IFA_PROTO` of our addresses: what put them there. The kernel's own are below 4.
const PROTOCOL: u8 = 0xf1;
/// How soon what failed is tried again.
const RETRY: Duration = Duration::from_secs(5);
/// Leftovers of a killed process are removed this long after the start, unless they are announced again.
const GRACE: Duration = Duration::from_secs(5);
/// CAP_NET_ADMIN in the bits of `CapEff`.
const CAP_NET_ADMIN: u64 = 1 << 12;

/// Whether this process may configure addresses.
pub(super) fn permitted() -> bool {
    procfs::process::Process::myself()
        .and_then(|process| process.status())
        .is_ok_and(|status| status.capeff & CAP_NET_ADMIN != 0)
}

/// The loopback, as far as it is ours.
#[derive(Debug)]
pub(super) struct Loopback {
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Shared {
    wanted: Mutex<Wanted>,
    changed: Notify,
    stop: CancellationToken,
}

/// The addresses that should be there.
#[derive(Debug, Default)]
struct Wanted {
    /// What layer 2 answers for.
    answered: BTreeSet<IpAddr>,
    /// What BGP brings here.
    routed: BTreeSet<IpAddr>,
}

impl Wanted {
    fn all(&self) -> BTreeSet<IpAddr> {
        self.answered.union(&self.routed).copied().collect()
    }
}

impl Loopback {
    /// Reads what is there and starts the task.
    ///
    /// # Errors
    ///
    /// Netlink is not available.
    pub(super) async fn start(journal: Journal) -> Result<Self, rtnetlink::Error> {
        let (connection, handle, _) = rtnetlink::new_connection()
            .map_err(|error| rtnetlink::Error::NamespaceError(error.to_string()))?;
        tokio::spawn(connection);
        let ours = leftovers(&handle).await?;
        if !ours.is_empty() {
            journal.write(
                Record::event(
                    "bindLeftovers",
                    "an earlier instance has left addresses on the loopback: they are ours again",
                )
                .with("ips", list(&ours)),
            );
        }
        let shared = Arc::new(Shared::default());
        let task = Task {
            handle,
            journal,
            shared: shared.clone(),
            ours,
            failing: BTreeSet::new(),
        };
        Ok(Self {
            shared,
            task: tokio::spawn(task.run()),
        })
    }

    /// Hands over what layer 2 is told; never waits.
    pub(super) fn send(&self, command: Command) {
        let changed = match command {
            Command::Announce(ip) => locked(&self.shared.wanted).answered.insert(ip),
            Command::Withdraw(ip) | Command::Yield(ip) => {
                locked(&self.shared.wanted).answered.remove(&ip)
            }
            // Without gossip nobody takes over.
            Command::HandOver => false,
        };
        if changed {
            self.shared.changed.notify_one();
        }
    }

    /// Takes what is announced by BGP; never waits.
    pub(super) fn routed(&self) -> Announced {
        let shared = self.shared.clone();
        let bgp = ProtocolName::from(Protocol::Bgp);
        Box::new(move |announcements| {
            let now: BTreeSet<IpAddr> = announcements
                .iter()
                .filter(|announcement| announcement.protocol == bgp)
                .map(|announcement| announcement.ip)
                .collect();
            let mut wanted = locked(&shared.wanted);
            if wanted.routed != now {
                wanted.routed = now;
                shared.changed.notify_one();
            }
        })
    }

    /// Removes what we put there.
    pub(super) async fn shutdown(self) {
        *locked(&self.shared.wanted) = Wanted::default();
        self.shared.stop.cancel();
        // A panic in the task has ended the process.
        let _ = self.task.await;
    }
}

struct Task {
    handle: Handle,
    journal: Journal,
    shared: Arc<Shared>,
    /// On the loopback by our hand.
    ours: BTreeSet<IpAddr>,
    /// What could not be done, said once.
    failing: BTreeSet<IpAddr>,
}

impl Task {
    async fn run(mut self) {
        let mut grace = !self.ours.is_empty();
        loop {
            let patience = match (grace, self.failing.is_empty()) {
                (true, _) => GRACE,
                (false, false) => RETRY,
                (false, true) => Duration::MAX,
            };
            tokio::select! {
                () = self.shared.stop.cancelled() => break,
                () = self.shared.changed.notified() => {}
                () = tokio::time::sleep(patience) => grace = false,
            }
            self.reconcile(grace).await;
        }
        self.reconcile(false).await;
    }

    /// Makes the loopback carry what is wanted; leftovers stay during the `grace`.
    async fn reconcile(&mut self, grace: bool) {
        let wanted = locked(&self.shared.wanted).all();
        self.failing
            .retain(|ip| wanted.contains(ip) || self.ours.contains(ip));
        for ip in wanted.difference(&self.ours.clone()).copied() {
            let added = self.add(ip).await;
            let record = Record::event("addressBound", "address is on the loopback");
            if self.said(ip, "bindAddress", added, record) {
                self.ours.insert(ip);
            }
        }
        if grace {
            return;
        }
        for ip in self.ours.clone().difference(&wanted).copied() {
            let removed = self.handle.address().del(message(ip)).execute().await;
            // Somebody else was faster: it is gone, and that is what is wanted.
            let removed = match removed {
                Err(error) if errno(&error) == Some(libc::EADDRNOTAVAIL) => Ok(()),
                other => other,
            };
            let record = Record::event("addressUnbound", "address is off the loopback");
            if self.said(ip, "unbindAddress", removed, record) {
                self.ours.remove(&ip);
            }
        }
    }

    async fn add(&self, ip: IpAddr) -> Result<(), rtnetlink::Error> {
        let mut request =
            self.handle
                .address()
                .add(LOOPBACK, ip, if ip.is_ipv4() { 32 } else { 128 });
        let attributes = &mut request.message_mut().attributes;
        if ip.is_ipv4() {
            attributes.push(AddressAttribute::Label(LABEL.to_owned()));
        }
        attributes.push(AddressAttribute::Protocol(AddressProtocol::Other(PROTOCOL)));
        request.execute().await
    }

    /// Logs how it went, a failure once; gives whether it is done.
    fn said(
        &mut self,
        ip: IpAddr,
        op: &'static str,
        result: Result<(), rtnetlink::Error>,
        done: Record,
    ) -> bool {
        match result {
            Ok(()) => {
                self.failing.remove(&ip);
                self.journal.write(done.with("ip", ip));
                true
            }
            // Somebody put it there before us: it serves, and it is not ours to remove.
            Err(error) if errno(&error) == Some(libc::EEXIST) => {
                if self.failing.insert(ip) {
                    self.journal.write(
                        Record::event(
                            op,
                            "the address is on the loopback already: it is left alone",
                        )
                        .at(Level::Warn)
                        .with("ip", ip),
                    );
                }
                false
            }
            Err(error) => {
                if self.failing.insert(ip) {
                    self.journal.write(
                        Record::failed(op, error, "cannot change the loopback; trying again")
                            .with("ip", ip),
                    );
                }
                false
            }
        }
    }
}

/// Our addresses on the loopback.
async fn leftovers(handle: &Handle) -> Result<BTreeSet<IpAddr>, rtnetlink::Error> {
    let mut found = BTreeSet::new();
    let mut all = handle
        .address()
        .get()
        .set_link_index_filter(LOOPBACK)
        .execute();
    while let Some(message) = all.try_next().await? {
        if message.header.index == LOOPBACK {
            found.extend(ours(&message));
        }
    }
    Ok(found)
}

/// The address of a message, if we put it there.
fn ours(message: &AddressMessage) -> Option<IpAddr> {
    let mut ip = None;
    let mut ours = false;
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Address(address) => ip = ip.or(Some(*address)),
            AddressAttribute::Local(address) => ip = Some(*address),
            AddressAttribute::Label(label) => ours |= label == LABEL,
            AddressAttribute::Protocol(protocol) => ours |= u8::from(*protocol) == PROTOCOL,
            _ => {}
        }
    }
    ip.filter(|ip| ours && message.header.prefix_len == if ip.is_ipv4() { 32 } else { 128 })
}

fn message(ip: IpAddr) -> AddressMessage {
    match ip {
        IpAddr::V4(ip) => AddressMessageBuilder::<Ipv4Addr>::new()
            .index(LOOPBACK)
            .address(ip, 32)
            .build(),
        IpAddr::V6(ip) => AddressMessageBuilder::<Ipv6Addr>::new()
            .index(LOOPBACK)
            .address(ip, 128)
            .build(),
    }
}

fn errno(error: &rtnetlink::Error) -> Option<i32> {
    match error {
        rtnetlink::Error::NetlinkError(message) => message.code.map(|code| -code.get()),
        _ => None,
    }
}

fn list(ips: &BTreeSet<IpAddr>) -> String {
    let texts: Vec<String> = ips.iter().map(IpAddr::to_string).collect();
    texts.join(",")
}
