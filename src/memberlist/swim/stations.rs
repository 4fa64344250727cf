//! Stations: members of our kind tell each other the Ethernet addresses from which they announce, so that one who hears another
//! claim its address knows who that is.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use pnet_base::MacAddr;

use super::{Output, Swim};
use crate::memberlist::wire::kin::{Abilities, Kin, MAX_STATIONS};
use crate::memberlist::wire::{Message, Name};

/// After this all are told again: a datagram may be lost.
const REPEAT: Duration = Duration::from_secs(60);

/// What we tell.
#[derive(Debug)]
pub(super) struct Stations {
    ours: Vec<MacAddr>,
    /// Those who know. Invariant: members of our kind.
    told: BTreeSet<Name>,
    repeat_at: Instant,
    /// Somebody may not have been told.
    due: bool,
}

impl Stations {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            ours: Vec::new(),
            told: BTreeSet::new(),
            repeat_at: now + REPEAT,
            due: false,
        }
    }

    /// Members came or went.
    pub(super) fn members_changed(&mut self) {
        self.due = true;
    }
}

impl Swim {
    pub(super) fn set_stations(&mut self, mut stations: Vec<MacAddr>) {
        stations.truncate(MAX_STATIONS);
        if stations != self.stations.ours {
            self.stations.ours = stations;
            self.stations.told.clear();
            self.stations.due = true;
        }
    }

    pub(super) fn stations_deadline(&self) -> Option<Instant> {
        let tells = self.leaving.is_none() && !self.stations.ours.is_empty();
        tells.then_some(self.stations.repeat_at)
    }

    /// Tells those who do not know.
    pub(super) fn stations_tick(&mut self) {
        if self.stations.repeat_at <= self.now {
            self.stations.repeat_at = self.now + REPEAT;
            self.stations.told.clear();
            self.stations.due = true;
        }
        let due = std::mem::take(&mut self.stations.due);
        if !due
            || self.stations.ours.is_empty()
            || self.leaving.is_some()
            || self.params.kin.is_none()
        {
            return;
        }
        let kin: Vec<(Name, SocketAddr)> = self
            .members
            .iter()
            .filter(|member| member.is_active() && !self.is_own(&member.name))
            .filter(|member| Abilities::from_meta(&member.meta).is_some())
            .map(|member| (member.name.clone(), member.socket_addr()))
            .collect();
        let message = Message::User(Kin::Stations(self.stations.ours.clone()).encode());
        let mut told = std::mem::take(&mut self.stations.told);
        told.retain(|name| kin.iter().any(|(other, _)| other == name));
        for (name, to) in kin {
            if told.insert(name) {
                self.send_brief(to, &message);
            }
        }
        self.stations.told = told;
    }

    /// Somebody tells us its own.
    pub(super) fn hear_stations(&mut self, from: SocketAddr, stations: Vec<MacAddr>) {
        let name = self
            .members
            .iter()
            .find(|member| member.is_active() && member.socket_addr() == from)
            .filter(|member| Abilities::from_meta(&member.meta).is_some())
            .map(|member| member.name.clone());
        if let Some(name) = name {
            self.outputs.push_back(Output::Stations { name, stations });
        }
    }
}
