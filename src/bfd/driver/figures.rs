//! What is counted: the thread puts down, `/metrics` reads.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::bfd::Peer;
use crate::bfd::session;
use crate::bfd::wire::Error;

/// One counter.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub(super) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The counters of a session, as they are shared.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) up: AtomicBool,
    pub(super) control_in: Count,
    pub(super) control_out: Count,
    pub(super) echo_in: Count,
    pub(super) echo_out: Count,
    pub(super) up_events: Count,
    pub(super) down_events: Count,
}

/// The figures of an address at one moment. Upstream: names as FRR's exporter gives them, behind `metallb_bfd_`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    /// `session_up`: all sessions with the address are Up.
    pub up: bool,
    /// `control_packet_input`: control packets that were for a session.
    pub control_packet_input: u64,
    /// `control_packet_output`: control packets that the kernel took.
    pub control_packet_output: u64,
    /// `echo_packet_input`: our echoes that came back.
    pub echo_packet_input: u64,
    /// `echo_packet_output`: echoes that the kernel took.
    pub echo_packet_output: u64,
    /// `session_up_events`.
    pub session_up_events: u64,
    /// `session_down_events`.
    pub session_down_events: u64,
}

impl Tally {
    fn read(&self) -> Figures {
        Figures {
            up: self.up.load(Ordering::Relaxed),
            control_packet_input: self.control_in.read(),
            control_packet_output: self.control_out.read(),
            echo_packet_input: self.echo_in.read(),
            echo_packet_output: self.echo_out.read(),
            session_up_events: self.up_events.read(),
            session_down_events: self.down_events.read(),
        }
    }
}

impl Figures {
    fn and(self, other: Self) -> Self {
        Self {
            up: self.up && other.up,
            control_packet_input: self.control_packet_input + other.control_packet_input,
            control_packet_output: self.control_packet_output + other.control_packet_output,
            echo_packet_input: self.echo_packet_input + other.echo_packet_input,
            echo_packet_output: self.echo_packet_output + other.echo_packet_output,
            session_up_events: self.session_up_events + other.session_up_events,
            session_down_events: self.session_down_events + other.session_down_events,
        }
    }
}

/// The counters of all sessions that there are.
#[derive(Debug, Default)]
pub(super) struct Tallies(BTreeMap<Peer, Arc<Tally>>);

impl Tallies {
    pub(super) fn open(&mut self, peer: &Peer) -> Arc<Tally> {
        Arc::clone(self.0.entry(peer.clone()).or_default())
    }

    pub(super) fn close(&mut self, peer: &Peer) {
        self.0.remove(peer);
    }

    pub(super) fn figures(&self) -> Vec<(IpAddr, Figures)> {
        let mut figures: BTreeMap<IpAddr, Figures> = BTreeMap::new();
        for (peer, tally) in &self.0 {
            let one = tally.read();
            figures
                .entry(peer.address)
                .and_modify(|all| *all = all.and(one))
                .or_insert(one);
        }
        figures.into_iter().collect()
    }
}

/// Why a packet was dropped, whoever dropped it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dropped {
    Malformed(Error),
    Session(session::Drop),
    /// No session is for it.
    Unknown,
    /// The kernel does not say where it came from, or it is longer than any of ours.
    Unreadable,
}

/// The labels of [`Dropped::index`].
const LABELS: [&str; 16] = [
    "truncated",
    "version",
    "length",
    "detectMultiplier",
    "multipoint",
    "myDiscriminator",
    "yourDiscriminator",
    "authenticationSection",
    "authenticated",
    "notOurEcho",
    "timeToLive",
    "discriminator",
    "adminDown",
    "staleEcho",
    "unknownSession",
    "unreadable",
];

impl Dropped {
    fn index(self) -> usize {
        match self {
            Self::Malformed(Error::Truncated) => 0,
            Self::Malformed(Error::Version) => 1,
            Self::Malformed(Error::Length) => 2,
            Self::Malformed(Error::DetectMultiplier) => 3,
            Self::Malformed(Error::Multipoint) => 4,
            Self::Malformed(Error::MyDiscriminator) => 5,
            Self::Malformed(Error::YourDiscriminator) => 6,
            Self::Malformed(Error::AuthenticationSection) => 7,
            Self::Malformed(Error::Authenticated) => 8,
            Self::Malformed(Error::NotOurEcho) => 9,
            Self::Session(session::Drop::TimeToLive) => 10,
            Self::Session(session::Drop::Discriminator) => 11,
            Self::Session(session::Drop::AdminDown) => 12,
            Self::Session(session::Drop::StaleEcho) => 13,
            Self::Unknown => 14,
            Self::Unreadable => 15,
        }
    }
}

/// Drops by reason.
#[derive(Debug, Default)]
pub(super) struct Drops([Count; LABELS.len()]);

impl Drops {
    pub(super) fn add(&self, why: Dropped) {
        if let Some(count) = self.0.get(why.index()) {
            count.add();
        }
    }

    pub(super) fn read(&self) -> Vec<(&'static str, u64)> {
        LABELS
            .into_iter()
            .zip(self.0.iter().map(Count::read))
            .collect()
    }
}
