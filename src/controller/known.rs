//! A Service as the controller remembers it: what the cluster last told, and which status write is under way.
//!
//! A status write is a compare-and-swap on the resource version. So a version that is told while a write is under way
//! is either the write's own echo, or the proof that somebody was faster and the write has lost; in both cases the
//! write is over. As long as nothing newer is told, the status that was asked for counts as the status, even if the server
//! refuses it.
//!
//! Invariant: at most one write is under way in this record; its base is always the version told last.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ferrolb_compat::go::ip::parse_ip;

use crate::view::{Service, StatusWrite};

/// A Service and its write.
#[derive(Debug, Clone)]
pub(super) struct Known {
    /// As told last, without what no decision needs.
    pub(super) service: Box<Service>,
    /// Whether the status has shown the addresses that are held.
    pub(super) shown: bool,
    /// The write under way.
    write: Option<Write>,
    /// The last warning, so that it is not repeated at each new try.
    said: Option<(&'static str, Box<str>)>,
}

/// A write under way.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Write {
    addresses: Box<[IpAddr]>,
    state: WriteState,
}

/// Where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WriteState {
    /// Asked for, or even done: the news of it will come.
    Pending,
    /// Another version was there first: the news of that will come.
    Superseded,
    /// The server was away for long: to be asked for again.
    Unavailable,
    /// The server refuses it for good: not to be asked for again on this version.
    Refused,
}

impl Known {
    /// A Service that was told for the first time.
    pub(super) fn new(service: Box<Service>) -> Self {
        Self {
            service: trimmed(service),
            shown: false,
            write: None,
            said: None,
        }
    }

    /// Takes what is told now. Says whether it may be shared with others than before.
    pub(super) fn tell(&mut self, service: Box<Service>) -> bool {
        let service = trimmed(service);
        let old = std::mem::replace(&mut self.service, service);
        let new = &self.service;
        // A source without versions cannot tell an echo from a repetition: everything it says is news.
        let newer = new.resource_version.is_empty() || new.resource_version != old.resource_version;
        let lost = self
            .write
            .as_ref()
            .is_some_and(|write| write.state == WriteState::Superseded);
        if newer || lost {
            self.write = None;
        }
        let sharing = new.ports != old.ports
            || new.sharing_key != old.sharing_key
            || new.local_traffic_policy != old.local_traffic_policy
            || new.selector != old.selector;
        let spec = sharing
            || new.is_load_balancer != old.is_load_balancer
            || new.load_balancer_class != old.load_balancer_class
            || new.cluster_ips != old.cluster_ips
            || new.load_balancer_ip != old.load_balancer_ip
            || new.annotation_pool != old.annotation_pool
            || new.annotation_ips != old.annotation_ips;
        if spec {
            self.said = None;
        }
        sharing
    }

    /// The addresses that count as the status: those asked for, else those told. `None` is a text that is no address.
    pub(super) fn status(&self) -> Vec<Option<IpAddr>> {
        match &self.write {
            Some(write) => write.addresses.iter().copied().map(Some).collect(),
            None => self.told().map(parse_ip).collect(),
        }
    }

    /// Whether a write is under way, or refused: the status that counts is not the told one.
    pub(super) fn is_writing(&self) -> bool {
        self.write.is_some()
    }

    /// The status shall show these: the write that this takes, if any.
    pub(super) fn show(&mut self, addresses: Vec<IpAddr>) -> Option<StatusWrite> {
        match &self.write {
            Some(write) if *write.addresses == *addresses => return None,
            // Another write is under way: even what the status shows now must be written, so that it comes last.
            Some(_) => {}
            None if self.shows(&addresses) => return None,
            None => {}
        }
        self.write = Some(Write {
            addresses: addresses.clone().into(),
            state: WriteState::Pending,
        });
        Some(self.status_write(addresses))
    }

    /// The same write once more, if the server was away.
    pub(super) fn ask_again(&mut self) -> Option<StatusWrite> {
        let write = self
            .write
            .as_mut()
            .filter(|write| write.state == WriteState::Unavailable)?;
        write.state = WriteState::Pending;
        let addresses = write.addresses.to_vec();
        Some(self.status_write(addresses))
    }

    /// Somebody was faster. Nothing is done before the news of it.
    pub(super) fn superseded(&mut self) {
        if let Some(write) = &mut self.write {
            write.state = WriteState::Superseded;
        }
    }

    /// The server was away for long. Says whether there is something to ask for again.
    pub(super) fn unavailable(&mut self) -> bool {
        match &mut self.write {
            Some(write) => {
                write.state = WriteState::Unavailable;
                true
            }
            None => false,
        }
    }

    /// The server refuses the write for good. Says whether that is news.
    pub(super) fn refused(&mut self) -> bool {
        match &mut self.write {
            Some(write) if write.state != WriteState::Refused => {
                write.state = WriteState::Refused;
                true
            }
            Some(_) | None => false,
        }
    }

    /// Whether this warning is another one than the last; remembers it.
    pub(super) fn is_new(&mut self, reason: &'static str, message: &str) -> bool {
        if self
            .said
            .as_ref()
            .is_some_and(|(last, text)| *last == reason && **text == *message)
        {
            return false;
        }
        self.said = Some((reason, message.into()));
        true
    }

    /// All is well: the next warning is new.
    pub(super) fn is_well(&mut self) {
        self.said = None;
    }

    /// Whether there is anything about the Service that the controller could ever act on.
    pub(super) fn concerns_us(&self) -> bool {
        self.service.is_load_balancer || !self.service.ingress.is_empty() || self.write.is_some()
    }

    /// Whether the status shows exactly these. Only addresses count: newer servers add fields (`ipMode`) of their own.
    fn shows(&self, addresses: &[IpAddr]) -> bool {
        if addresses.is_empty() {
            return self.service.ingress.is_empty();
        }
        self.told()
            .map(parse_ip)
            .eq(addresses.iter().copied().map(Some))
    }

    /// The addresses of the status as told; entries with a host name alone have none.
    fn told(&self) -> impl Iterator<Item = &str> {
        self.service
            .ingress
            .iter()
            .map(String::as_str)
            .filter(|text| !text.is_empty())
    }

    fn status_write(&self, addresses: Vec<IpAddr>) -> StatusWrite {
        StatusWrite {
            key: self.service.key.clone(),
            resource_version: self.service.resource_version.clone(),
            addresses,
        }
    }
}

/// The Service without what no decision needs: with policy Cluster nobody looks at the selector.
fn trimmed(mut service: Box<Service>) -> Box<Service> {
    if !service.local_traffic_policy {
        service.selector = BTreeMap::new();
    }
    service
}
