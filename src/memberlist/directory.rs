//! Whose station is that? The addresses of speakers, as gossip and the speakers themselves have told them.
//!
//! They are remembered when a speaker is given up as well: just then it may still announce. Bounds: `MOST` speakers,
//! [`MAX_STATIONS`](super::wire::kin::MAX_STATIONS) stations each.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use pnet_base::MacAddr;

#[cfg(test)]
mod tests;

/// Speakers that are remembered, gone ones included: as many as there can be members.
const MOST: usize = 4096;

/// Who is where.
#[derive(Debug, Clone, Default)]
pub struct Directory {
    speakers: BTreeMap<Arc<str>, Entry>,
}

#[derive(Debug, Clone, Default)]
struct Entry {
    ip: Option<IpAddr>,
    stations: Vec<MacAddr>,
}

impl Directory {
    fn entry(&mut self, name: &str) -> Option<&mut Entry> {
        if !self.speakers.contains_key(name) && self.speakers.len() >= MOST {
            return None;
        }
        Some(self.speakers.entry(Arc::from(name)).or_default())
    }

    /// The speaker of this node is a member, at this address.
    pub fn is_at(&mut self, name: &str, ip: IpAddr) {
        if let Some(entry) = self.entry(name) {
            entry.ip = Some(ip);
        }
    }

    /// The speaker of this node announces from these stations, as it says.
    pub fn announces_from(&mut self, name: &str, stations: Vec<MacAddr>) {
        if let Some(entry) = self.entry(name) {
            entry.stations = stations;
        }
    }

    /// The node whose speaker has this station. `known_as`: addresses by which this host knows the station; they count where no
    /// speaker says that it is its own, as Go's never do.
    #[must_use]
    pub fn who(&self, station: MacAddr, known_as: &[IpAddr]) -> Option<Arc<str>> {
        let says_so = |entry: &Entry| entry.stations.contains(&station);
        let is_there = |entry: &Entry| entry.ip.is_some_and(|ip| known_as.contains(&ip));
        let find = |is: &dyn Fn(&Entry) -> bool| {
            let mut all = self.speakers.iter();
            all.find(|(_, entry)| is(entry))
                .map(|(name, _)| name.clone())
        };
        find(&says_so).or_else(|| find(&is_there))
    }
}
