//! Which prefixes are wanted, counted over the Services and the advertisements that want them.
//!
//! Many Services may be in one aggregate, and several advertisements may make one prefix: it is one route, withdrawn when the
//! last of them stops. Within one event a prefix may be released and claimed again; only the difference reaches BGP.
//!
//! # Which attributes
//!
//! Advertisements of a pool that make the same prefix may want different attributes (those of different pools cannot make
//! the same: an aggregate is never larger than a CIDR of its pool). Whichever Services are announced, in whatever order:
//!
//! * native (`METALLB_BGP_TYPE`): the one that stands last counts (Upstream).
//! * FRR: the communities of all of them, and the highest LOCAL_PREF that is not 0 (Upstream: its route-maps, in ascending
//!   order).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::bgp::{Attributes, Command, Origin};
use crate::config::BgpAdvertisement;
use crate::speaker::BgpType;
use crate::speaker::layer2::distinct;

/// FRR's LOCAL_PREF where nothing sets one.
const FRR_LOCAL_PREF: u32 = 100;

/// An advertisement of a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::speaker) struct Advertisement {
    v4_length: u8,
    v6_length: u8,
    want: Want,
}

/// What an advertisement wants of a route.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Want {
    /// Its position in the pool.
    position: u32,
    /// As configured.
    local_pref: u32,
    /// What a route has that nobody else wants.
    attributes: Arc<Attributes>,
}

impl Advertisement {
    /// The advertisement at this position of a pool.
    pub(in crate::speaker) fn new(
        configured: &BgpAdvertisement,
        position: u32,
        bgp_type: BgpType,
    ) -> Self {
        let attributes = Attributes {
            origin: match bgp_type {
                BgpType::Native => Origin::Incomplete,
                BgpType::Frr => Origin::Igp,
            },
            local_pref: local_pref(configured.local_pref, bgp_type),
            communities: configured.communities.as_slice().into(),
        };
        Self {
            // The configuration holds no longer ones.
            v4_length: configured.aggregation_length.min(32),
            v6_length: configured.aggregation_length_v6.min(128),
            want: Want {
                position,
                local_pref: configured.local_pref,
                attributes: Arc::new(attributes),
            },
        }
    }

    /// The route of an address.
    fn prefix(&self, ip: IpAddr) -> IpNet {
        match ip {
            IpAddr::V4(ip) => {
                IpNet::V4(Ipv4Net::new(ip, self.v4_length).map_or(ip.into(), |net| net.trunc()))
            }
            IpAddr::V6(ip) => {
                IpNet::V6(Ipv6Net::new(ip, self.v6_length).map_or(ip.into(), |net| net.trunc()))
            }
        }
    }
}

/// LOCAL_PREF as it is sent.
fn local_pref(configured: u32, bgp_type: BgpType) -> u32 {
    match (bgp_type, configured) {
        // Upstream: `set local-preference` is left out.
        (BgpType::Frr, 0) => FRR_LOCAL_PREF,
        (BgpType::Frr | BgpType::Native, configured) => configured,
    }
}

/// The wanted prefixes.
#[derive(Debug, Default)]
pub(in crate::speaker) struct Routes {
    bgp_type: BgpType,
    /// Who wants what, ascending, and how often. Invariant: no empty lists, no zeros. A list is as long as there are
    /// advertisements that make the prefix.
    prefixes: BTreeMap<IpNet, Vec<(Want, u32)>>,
    /// What changed since the last [`Routes::settle`]: the attributes that the route had then.
    touched: BTreeMap<IpNet, Option<Arc<Attributes>>>,
}

impl Routes {
    /// No routes.
    pub(in crate::speaker) fn new(bgp_type: BgpType) -> Self {
        Self {
            bgp_type,
            ..Self::default()
        }
    }

    /// One more Service announces these addresses. Each counts once, however often the Service names it.
    pub(in crate::speaker) fn claim(
        &mut self,
        addresses: &[IpAddr],
        advertisements: &[Advertisement],
    ) {
        for (prefix, want) in each(addresses, advertisements) {
            self.touch(prefix);
            let wants = self
                .prefixes
                .entry(prefix)
                // Most prefixes are wanted in one way alone.
                .or_insert_with(|| Vec::with_capacity(1));
            match wants.binary_search_by(|(other, _)| other.cmp(want)) {
                Ok(index) => {
                    if let Some((_, count)) = wants.get_mut(index) {
                        *count = count.saturating_add(1);
                    }
                }
                Err(index) => wants.insert(index, (want.clone(), 1)),
            }
        }
    }

    /// One Service less.
    pub(in crate::speaker) fn release(
        &mut self,
        addresses: &[IpAddr],
        advertisements: &[Advertisement],
    ) {
        for (prefix, want) in each(addresses, advertisements) {
            self.touch(prefix);
            let Some(wants) = self.prefixes.get_mut(&prefix) else {
                continue;
            };
            if let Ok(index) = wants.binary_search_by(|(other, _)| other.cmp(want))
                && let Some((_, count)) = wants.get_mut(index)
            {
                *count -= 1;
                if *count == 0 {
                    wants.remove(index);
                }
            }
            if wants.is_empty() {
                self.prefixes.remove(&prefix);
            }
        }
    }

    /// What BGP has to do since the last time: new routes first, so that an aggregate is there before its parts go.
    pub(in crate::speaker) fn settle(&mut self) -> impl Iterator<Item = Command> + use<> {
        let mut advertised = Vec::new();
        let mut withdrawn = Vec::new();
        for (prefix, before) in std::mem::take(&mut self.touched) {
            match self.attributes(prefix) {
                now if now == before => {}
                None => withdrawn.push(Command::Route(prefix, None)),
                now @ Some(_) => advertised.push(Command::Route(prefix, now)),
            }
        }
        advertised.into_iter().chain(withdrawn)
    }

    /// The routes, by prefix.
    pub(in crate::speaker) fn iter(&self) -> impl Iterator<Item = (IpNet, Arc<Attributes>)> + '_ {
        self.prefixes
            .keys()
            .filter_map(|&prefix| Some((prefix, self.attributes(prefix)?)))
    }

    /// Remembers what a route was like before the first change.
    fn touch(&mut self, prefix: IpNet) {
        if !self.touched.contains_key(&prefix) {
            let before = self.attributes(prefix);
            self.touched.insert(prefix, before);
        }
    }

    /// What a route is like; `None`: nobody wants it.
    fn attributes(&self, prefix: IpNet) -> Option<Arc<Attributes>> {
        let wants = self.prefixes.get(&prefix)?;
        let ((last, _), others) = wants.split_last()?;
        if others.is_empty() || self.bgp_type == BgpType::Native {
            return Some(last.attributes.clone());
        }
        let all = || wants.iter().map(|(want, _)| want);
        let highest = all().map(|want| want.local_pref).max().unwrap_or_default();
        let mut communities: Vec<u32> = all()
            .flat_map(|want| want.attributes.communities.iter().copied())
            .collect();
        communities.sort_unstable();
        communities.dedup();
        Some(Arc::new(Attributes {
            origin: last.attributes.origin,
            local_pref: local_pref(highest, self.bgp_type),
            communities: communities.into(),
        }))
    }
}

/// What a Service's addresses ask for.
fn each<'a>(
    addresses: &'a [IpAddr],
    advertisements: &'a [Advertisement],
) -> impl Iterator<Item = (IpNet, &'a Want)> {
    distinct(addresses).flat_map(move |ip| {
        advertisements
            .iter()
            .map(move |advertisement| (advertisement.prefix(ip), &advertisement.want))
    })
}
