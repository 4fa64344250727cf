//! Which session a packet is for: RFC 5880 §6.3, RFC 5881 §3, RFC 5883 §4.
//!
//! What it is: two tables of the sessions that were asked for. What it is not: sessions; a stranger's packet makes none.
//!
//! In: a packet's Your Discriminator, and where it came from. Out: the session's key. Invariant: nothing that comes from the
//! network adds to the tables.

use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZeroU32;

/// Where a packet came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Origin {
    /// Its source address.
    pub source: IpAddr,
    /// Its destination address: ours. `None`: not known.
    pub destination: Option<IpAddr>,
    /// The index of the interface it came in on.
    pub interface: u32,
    /// It came to the port of sessions over several hops.
    pub multihop: bool,
}

/// A session, as the other end's packets can name it without knowing its discriminator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place {
    /// The peer's address.
    pub address: IpAddr,
    /// Our address, if the session has a fixed one.
    pub source: Option<IpAddr>,
    /// The index of the session's interface, if it has one.
    pub interface: Option<u32>,
    /// Several hops.
    pub multihop: bool,
}

impl Place {
    /// How well it fits: the number of optional fields that do; `None`: not at all.
    fn fits(&self, origin: &Origin) -> Option<u8> {
        let agrees = |ours: bool| if ours { Some(1) } else { None };
        let source = match (self.source, origin.destination) {
            (Some(source), Some(destination)) => agrees(source == destination)?,
            (Some(_), None) | (None, _) => 0,
        };
        // RFC 5881 §3: demultiplexing MUST be based on the interface, where there is one to ask for.
        let interface = match self.interface {
            Some(interface) => agrees(interface == origin.interface)?,
            None => 0,
        };
        Some(source + interface)
    }
}

/// The tables.
#[derive(Debug, Clone)]
pub struct Demux<K> {
    by_discriminator: HashMap<NonZeroU32, (K, bool)>,
    by_address: HashMap<(IpAddr, bool), Vec<(Place, K)>>,
}

impl<K> Default for Demux<K> {
    fn default() -> Self {
        Self {
            by_discriminator: HashMap::new(),
            by_address: HashMap::new(),
        }
    }
}

impl<K: Copy + PartialEq> Demux<K> {
    /// Adds a session. `discriminator` must be free: see [`Demux::is_taken`].
    pub fn insert(&mut self, discriminator: NonZeroU32, place: Place, key: K) {
        self.by_discriminator
            .insert(discriminator, (key, place.multihop));
        self.by_address
            .entry((place.address, place.multihop))
            .or_default()
            .push((place, key));
    }

    /// Takes a session out.
    pub fn remove(&mut self, key: K) {
        self.by_discriminator.retain(|_, (other, _)| *other != key);
        self.by_address.retain(|_, places| {
            places.retain(|(_, other)| *other != key);
            !places.is_empty()
        });
    }

    /// Another interface index for a session: an interface was made anew.
    pub fn set_interface(&mut self, key: K, interface: Option<u32>) {
        for (place, other) in self.by_address.values_mut().flatten() {
            if *other == key {
                place.interface = interface;
            }
        }
    }

    /// Whether a session has this discriminator.
    #[must_use]
    pub fn is_taken(&self, discriminator: NonZeroU32) -> bool {
        self.by_discriminator.contains_key(&discriminator)
    }

    /// The session that a control packet is for.
    #[must_use]
    pub fn find(&self, your_discriminator: Option<NonZeroU32>, origin: &Origin) -> Option<K> {
        // RFC 5880 §6.3: the Your Discriminator field MUST be used to demultiplex subsequent packets if it is nonzero; the
        // source address may change.
        if let Some(discriminator) = your_discriminator {
            let (key, multihop) = self.by_discriminator.get(&discriminator)?;
            // RFC 5883 §5: the port tells the kinds apart.
            return (*multihop == origin.multihop).then_some(*key);
        }
        self.by_address
            .get(&(origin.source, origin.multihop))?
            .iter()
            .filter_map(|(place, key)| Some((place.fits(origin)?, *key)))
            .max_by_key(|(fit, _)| *fit)
            .map(|(_, key)| key)
    }

    /// The session that sent an echo.
    #[must_use]
    pub fn echo(&self, my_discriminator: NonZeroU32) -> Option<K> {
        self.by_discriminator
            .get(&my_discriminator)
            .map(|(key, _)| *key)
    }

    /// Whether a session over one hop is with this address: its echoes are looped back.
    #[must_use]
    pub fn is_neighbor(&self, address: IpAddr) -> bool {
        self.by_address.contains_key(&(address, false))
    }
}

#[cfg(test)]
mod tests;
