//! What one peer has been told, and what it is to be told: Adj-RIB-Out (RFC 4271 §3.2), and the way to it in as few UPDATEs as
//! possible.
//!
//! Not here: what is to be told (`speaker`), time (`session`), bytes (`wire`). In: [`RibOut::set`] at any time,
//! [`RibOut::start`] and [`RibOut::stop`] with the session, [`RibOut::refresh`]. Out: [`RibOut::poll_message`].
//!
//! # One prefix
//!
//! ```text
//!   wanted      what set() said last
//!   goal        wanted; nothing, where the session cannot carry it (see Unsendable)
//!   told        what the last message about it said in this session; "stale" when it is to be said again
//!   pending     goal and told differ
//! ```
//!
//! So a change that is taken back before it was sent is no message, and what is sent is always the newest.
//!
//! # One family
//!
//! ```text
//!   start() --> Initial -- nothing pending: End-of-RIB --> Idle
//!   refresh() in Idle --> Begin -- BoRR --> Refreshing -- nothing pending: EoRR --> Idle
//! ```
//!
//! Without RFC 7313 the same happens without BoRR and EoRR. A refresh that is asked for meanwhile comes once more afterwards,
//! however often it was asked for.
//!
//! # Order
//!
//! Withdrawals, then announcements by groups of equal attributes; IPv4 before IPv6; ascending. End-of-RIB of a family as
//! soon as none of its prefixes is pending. The same calls give the same octets.
//!
//! # Invariants
//!
//! Memory is that of the prefixes that are wanted or told. Nothing longer than the session allows is sent, nothing is
//! truncated: what cannot be sent is counted, and withdrawn if the peer knows it otherwise.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

use ipnet::IpNet;

use super::Attributes;
use super::wire::attributes::{self, Path};
use super::wire::update::{Builder, NextHop6, end_of_rib};
use super::wire::{Context, Family, RouteRefresh};

mod groups;

#[cfg(test)]
mod tests;

use groups::{Fits, GroupId, Groups};

/// RFC 8326 §5: GRACEFUL_SHUTDOWN.
pub const GRACEFUL_SHUTDOWN: u32 = 0xffff_0000;

/// The families that there are, in the order of their End-of-RIB.
const FAMILIES: [Family; 2] = [Family::IPV4_UNICAST, Family::IPV6_UNICAST];

/// Octets of the longest IPv4 prefix in a message, its length included.
const LONGEST_V4: usize = 5;

/// Octets of the longest IPv6 prefix in a message.
const LONGEST_V6: usize = 17;

/// An established session, as far as routes depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session {
    /// What was agreed on.
    pub context: Context,
    /// Our AS number, as this peer knows it.
    pub my_asn: u32,
    /// Next hop of IPv4 routes: the session's local address. `None`: an IPv6 session; then RFC 8950, where agreed on.
    pub next_hop_v4: Option<Ipv4Addr>,
    /// Next hop of IPv6 routes: the session's local address, or on an IPv4 session a global one of its interface. `None`:
    /// there is none.
    pub next_hop_v6: Option<NextHop6>,
}

/// How many wanted prefixes the session cannot carry, and why. All 0 without a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Unsendable {
    /// The peer does not take this family.
    pub family_not_negotiated: usize,
    /// There is no next hop of ours that the peer would understand.
    pub no_next_hop: usize,
    /// The attributes alone fill a message.
    pub too_large: usize,
}

impl Unsendable {
    /// All of them.
    #[must_use]
    pub const fn total(&self) -> usize {
        self.family_not_negotiated + self.no_next_hop + self.too_large
    }
}

/// One prefix.
#[derive(Debug, Clone, Copy)]
struct Route {
    /// What it is to be; [`GroupId::NONE`]: not announced.
    wanted: GroupId,
    /// What the peer knows; [`GroupId::NONE`]: nothing.
    told: GroupId,
}

/// How announcements and withdrawals of a family travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// NLRI and Withdrawn Routes.
    Classic(Ipv4Addr),
    /// MP_REACH_NLRI and MP_UNREACH_NLRI.
    Mp(NextHop6),
    /// Not at all: the peer does not take the family.
    NotNegotiated,
    /// Not at all.
    NoNextHop,
}

impl Way {
    fn of(family: Family, session: &Session) -> Self {
        if !session.context.exchanges(family) {
            return Self::NotNegotiated;
        }
        let mp = session.next_hop_v6.map_or(Self::NoNextHop, Self::Mp);
        if family == Family::IPV6_UNICAST {
            return mp;
        }
        match session.next_hop_v4 {
            Some(next_hop) => Self::Classic(next_hop),
            // RFC 8950 §4: MUST NOT, unless the peer has said that it can.
            None if session.context.extended_next_hop => mp,
            None => Self::NoNextHop,
        }
    }
}

/// Where a family is in telling everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Everything was told, and so it was said.
    Idle,
    /// Everything for the first time: End-of-RIB follows.
    Initial,
    /// BoRR is due.
    Begin,
    /// Everything again: EoRR follows, where it was agreed on.
    Refreshing,
}

/// What there is for each family.
#[derive(Debug, Clone, Copy)]
struct Table {
    family: Family,
    way: Way,
    phase: Phase,
    /// Asked for a refresh while telling everything.
    again: bool,
    /// Wanted prefixes.
    wanted: usize,
    /// Those of them whose attributes fill a message.
    too_large: usize,
    pending: usize,
}

impl Table {
    const fn new(family: Family) -> Self {
        Self {
            family,
            way: Way::NotNegotiated,
            phase: Phase::Idle,
            again: false,
            wanted: 0,
            too_large: 0,
            pending: 0,
        }
    }
}

/// What one peer has been told, and what it is to be told.
#[derive(Debug)]
pub struct RibOut {
    routes: BTreeMap<IpNet, Route>,
    groups: Groups,
    /// By goal and prefix.
    pending: BTreeSet<(GroupId, IpNet)>,
    v4: Table,
    v6: Table,
    session: Option<Session>,
    /// Prefixes that the peer knows.
    advertised: usize,
    leaving: bool,
}

impl Default for RibOut {
    fn default() -> Self {
        Self::new()
    }
}

impl RibOut {
    /// Nothing is wanted, there is no session.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            routes: BTreeMap::new(),
            groups: Groups::new(),
            pending: BTreeSet::new(),
            v4: Table::new(Family::IPV4_UNICAST),
            v6: Table::new(Family::IPV6_UNICAST),
            session: None,
            advertised: 0,
            leaving: false,
        }
    }

    /// This prefix is to be announced with these attributes; `None`: it is not to be announced. Host bits do not count.
    pub fn set(&mut self, prefix: IpNet, attributes: Option<Arc<Attributes>>) {
        let prefix = prefix.trunc();
        let wanted = match attributes {
            Some(attributes) => {
                let (session, leaving) = (self.session, self.leaving);
                self.groups
                    .enter(attributes, |attributes| fits(attributes, &session, leaving))
            }
            None => GroupId::NONE,
        };
        let route = self.routes.get(&prefix).copied().unwrap_or(Route {
            wanted: GroupId::NONE,
            told: GroupId::NONE,
        });
        if route.wanted == wanted {
            // The route has it already.
            self.groups.leave(wanted);
            return;
        }
        let (before, after) = (self.goal(&prefix, route.wanted), self.goal(&prefix, wanted));
        self.count(&prefix, route.wanted, wanted);
        if before != route.told && self.pending.remove(&(before, prefix)) {
            self.table_mut(&prefix).pending -= 1;
        }
        if after != route.told && self.session.is_some() && self.pending.insert((after, prefix)) {
            self.table_mut(&prefix).pending += 1;
        }
        self.groups.leave(route.wanted);
        self.store(prefix, Route { wanted, ..route });
        if let Some(session) = self.session {
            self.settle(Family::unicast(&prefix.addr()), &session);
        }
    }

    /// The session is Established: everything is to be told, then End-of-RIB for each family.
    pub fn start(&mut self, session: Session) {
        self.stop();
        self.session = Some(session);
        for table in [&mut self.v4, &mut self.v6] {
            table.way = Way::of(table.family, &session);
            table.phase = if session.context.exchanges(table.family) {
                Phase::Initial
            } else {
                Phase::Idle
            };
        }
        self.measure();
        self.line_up();
    }

    /// The session is gone: the peer knows nothing.
    pub fn stop(&mut self) {
        if self.session.take().is_none() {
            return;
        }
        self.pending.clear();
        self.advertised = 0;
        for table in [&mut self.v4, &mut self.v6] {
            *table = Table {
                wanted: table.wanted,
                ..Table::new(table.family)
            };
        }
        let groups = &mut self.groups;
        self.routes.retain(|_, route| {
            groups.leave(route.told);
            route.told = GroupId::NONE;
            route.wanted != GroupId::NONE
        });
        self.measure();
    }

    /// The peer asks for the routes of a family again (RFC 2918). Another family than IPv4 and IPv6 unicast, one that was not
    /// negotiated, no session: nothing.
    pub fn refresh(&mut self, family: Family) {
        let Some(session) = self.session else {
            return;
        };
        if !session.context.exchanges(family) {
            return;
        }
        let table = self.family_mut(family);
        match table.phase {
            Phase::Idle => self.refresh_now(family, &session),
            // It has not begun: what is asked for is yet to come.
            Phase::Begin => {}
            // RFC 7313 §4: BoRR not before End-of-RIB; and a peer cannot make us begin again and again.
            Phase::Initial | Phase::Refreshing => table.again = true,
        }
    }

    /// From now on, in this session and in later ones, every route has the community GRACEFUL_SHUTDOWN (RFC 8326 §4.1) and, towards
    /// internal peers, LOCAL_PREF 0; what was told is told again.
    pub fn graceful_shutdown(&mut self) {
        if std::mem::replace(&mut self.leaving, true) || self.session.is_none() {
            return;
        }
        self.measure();
        let groups = &mut self.groups;
        for route in self.routes.values_mut() {
            if route.told != GroupId::NONE {
                groups.leave(route.told);
                route.told = GroupId::STALE;
            }
        }
        self.line_up();
    }

    /// The next message, as full as can be; `None`: there is nothing to say. What it says counts as told.
    pub fn poll_message(&mut self) -> Option<Vec<u8>> {
        let session = self.session?;
        FAMILIES
            .into_iter()
            .find_map(|family| self.marker(family, &session))
            .or_else(|| self.routes_message(&session))
    }

    /// Prefixes that the peer knows.
    #[must_use]
    pub const fn advertised(&self) -> usize {
        self.advertised
    }

    /// Prefixes that are wanted, whether they can be sent or not.
    #[must_use]
    pub const fn wanted(&self) -> usize {
        self.v4.wanted + self.v6.wanted
    }

    /// Prefixes that a message is still to be sent about, in this session.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Prefixes that are wanted and cannot be sent in this session.
    #[must_use]
    pub fn unsendable(&self) -> Unsendable {
        let mut unsendable = Unsendable::default();
        if self.session.is_none() {
            return unsendable;
        }
        for table in [&self.v4, &self.v6] {
            match table.way {
                Way::NotNegotiated => unsendable.family_not_negotiated += table.wanted,
                Way::NoNextHop => unsendable.no_next_hop += table.wanted,
                Way::Classic(_) | Way::Mp(_) => unsendable.too_large += table.too_large,
            }
        }
        unsendable
    }

    /// Whether [`poll_message`](Self::poll_message) has nothing to say.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.session.is_none()
            || (self.pending.is_empty()
                && self.v4.phase == Phase::Idle
                && self.v6.phase == Phase::Idle)
    }

    /// BoRR if it is due; End-of-RIB or EoRR if nothing of the family is pending any more.
    fn marker(&mut self, family: Family, session: &Session) -> Option<Vec<u8>> {
        let table = self.family_mut(family);
        match table.phase {
            Phase::Begin => {
                table.phase = Phase::Refreshing;
                Some(refresh_message(family, RouteRefresh::BEGIN))
            }
            Phase::Initial if table.pending == 0 => {
                self.told_all(family, session);
                Some(end_of_rib(family))
            }
            Phase::Refreshing if table.pending == 0 && session.context.enhanced_refresh => {
                self.told_all(family, session);
                Some(refresh_message(family, RouteRefresh::END))
            }
            Phase::Idle | Phase::Initial | Phase::Refreshing => None,
        }
    }

    fn told_all(&mut self, family: Family, session: &Session) {
        let table = self.family_mut(family);
        table.phase = Phase::Idle;
        if std::mem::take(&mut table.again) {
            self.refresh_now(family, session);
        }
    }

    /// Without RFC 7313 the end of a refresh is no message.
    fn settle(&mut self, family: Family, session: &Session) {
        let table = self.family_mut(family);
        if table.phase == Phase::Refreshing
            && table.pending == 0
            && !session.context.enhanced_refresh
        {
            self.told_all(family, session);
        }
    }

    fn refresh_now(&mut self, family: Family, session: &Session) {
        for (prefix, route) in &mut self.routes {
            if Family::unicast(&prefix.addr()) == family && route.told != GroupId::NONE {
                self.groups.leave(route.told);
                route.told = GroupId::STALE;
            }
        }
        self.family_mut(family).phase = if session.context.enhanced_refresh {
            Phase::Begin
        } else {
            Phase::Refreshing
        };
        self.line_up();
        self.settle(family, session);
    }

    /// The next withdrawals or announcements: all of one goal and one family, as many as have room.
    fn routes_message(&mut self, session: &Session) -> Option<Vec<u8>> {
        let (goal, first) = *self.pending.first()?;
        let family = Family::unicast(&first.addr());
        let way = self.family(family).way;
        let mut builder = if goal == GroupId::NONE {
            withdrawal(family, way, session)?
        } else {
            let attributes = self.groups.attributes(goal)?;
            announcement(family, way, attributes, session, self.leaving)?
        };
        while let Some((next, prefix)) = self.pending.first().copied()
            && next == goal
            // Of another family: not taken.
            && builder.push(&prefix)
        {
            self.pending.pop_first();
            self.family_mut(family).pending -= 1;
            let Some(route) = self.routes.get(&prefix).copied() else {
                continue;
            };
            self.groups.leave(route.told);
            self.groups.join(goal);
            match (route.told == GroupId::NONE, goal == GroupId::NONE) {
                (true, false) => self.advertised += 1,
                (false, true) => self.advertised -= 1,
                (true, true) | (false, false) => {}
            }
            self.store(
                prefix,
                Route {
                    told: goal,
                    ..route
                },
            );
        }
        self.settle(family, session);
        Some(builder.finish())
    }

    /// What a prefix comes to in this session.
    fn goal(&self, prefix: &IpNet, wanted: GroupId) -> GroupId {
        // Attributes have no room where there is no way either.
        if self.has_room(prefix, wanted) {
            wanted
        } else {
            GroupId::NONE
        }
    }

    fn has_room(&self, prefix: &IpNet, wanted: GroupId) -> bool {
        let fits = self.groups.fits(wanted);
        match prefix {
            IpNet::V4(_) => fits.v4,
            IpNet::V6(_) => fits.v6,
        }
    }

    /// Counts a prefix for which `after` is wanted instead of `before`.
    fn count(&mut self, prefix: &IpNet, before: GroupId, after: GroupId) {
        let small = [before, after].map(|id| self.has_room(prefix, id));
        let table = self.table_mut(prefix);
        for ((id, small), more) in [before, after].into_iter().zip(small).zip([false, true]) {
            if id == GroupId::NONE {
                continue;
            }
            let large = usize::from(!small);
            if more {
                table.wanted += 1;
                table.too_large += large;
            } else {
                table.wanted -= 1;
                table.too_large -= large;
            }
        }
    }

    /// Notes a prefix, or forgets it.
    fn store(&mut self, prefix: IpNet, route: Route) {
        if route.wanted == GroupId::NONE && route.told == GroupId::NONE {
            self.routes.remove(&prefix);
        } else {
            self.routes.insert(prefix, route);
        }
    }

    /// The session is another one, or we are leaving: what has room is not what it was.
    fn measure(&mut self) {
        let (session, leaving) = (self.session, self.leaving);
        self.groups
            .measure(|attributes| fits(attributes, &session, leaving));
        (self.v4.too_large, self.v6.too_large) = (0, 0);
        for (prefix, route) in &self.routes {
            if route.wanted == GroupId::NONE {
                continue;
            }
            let fits = self.groups.fits(route.wanted);
            match prefix {
                IpNet::V4(_) => self.v4.too_large += usize::from(!fits.v4),
                IpNet::V6(_) => self.v6.too_large += usize::from(!fits.v6),
            }
        }
    }

    /// Finds all that is pending.
    fn line_up(&mut self) {
        (self.v4.pending, self.v6.pending) = (0, 0);
        let mut pending = Vec::new();
        for (prefix, route) in &self.routes {
            let goal = self.goal(prefix, route.wanted);
            if goal != route.told {
                pending.push((goal, *prefix));
            }
        }
        for (_, prefix) in &pending {
            self.table_mut(prefix).pending += 1;
        }
        // From a sorted list the set is built without gaps.
        self.pending = pending.into_iter().collect();
    }

    const fn table_mut(&mut self, prefix: &IpNet) -> &mut Table {
        match prefix {
            IpNet::V4(_) => &mut self.v4,
            IpNet::V6(_) => &mut self.v6,
        }
    }

    fn family(&self, family: Family) -> &Table {
        if family == Family::IPV4_UNICAST {
            &self.v4
        } else {
            &self.v6
        }
    }

    fn family_mut(&mut self, family: Family) -> &mut Table {
        if family == Family::IPV4_UNICAST {
            &mut self.v4
        } else {
            &mut self.v6
        }
    }
}

fn refresh_message(family: Family, subtype: u8) -> Vec<u8> {
    let mut out = Vec::new();
    RouteRefresh { family, subtype }.encode(&mut out);
    out
}

/// RFC 8326 §4.1: the community is added, and the route is the last choice of internal peers.
fn leaving(attributes: &Attributes) -> Attributes {
    let mut communities = attributes.communities.to_vec();
    if let Err(place) = communities.binary_search(&GRACEFUL_SHUTDOWN) {
        communities.insert(place, GRACEFUL_SHUTDOWN);
    }
    Attributes {
        origin: attributes.origin,
        local_pref: 0,
        communities: communities.into_boxed_slice(),
    }
}

/// An UPDATE that announces; `None`: there is no way, or an attribute that no message can have.
fn announcement(
    family: Family,
    way: Way,
    attributes: &Attributes,
    session: &Session,
    graceful_shutdown: bool,
) -> Option<Builder> {
    let attributes = if graceful_shutdown {
        Cow::Owned(leaving(attributes))
    } else {
        Cow::Borrowed(attributes)
    };
    let octets = |next_hop| {
        let path = Path {
            my_asn: session.my_asn,
            context: session.context,
            next_hop,
        };
        attributes::encode(&attributes, &path)
    };
    let limit = session.context.max_message();
    match way {
        Way::Classic(next_hop) => Some(Builder::announce(octets(Some(next_hop))?, limit)),
        Way::Mp(next_hop) => Some(Builder::announce_mp(
            family,
            &next_hop,
            octets(None)?,
            limit,
        )),
        Way::NotNegotiated | Way::NoNextHop => None,
    }
}

/// An UPDATE that withdraws, by the way of the announcement.
fn withdrawal(family: Family, way: Way, session: &Session) -> Option<Builder> {
    let limit = session.context.max_message();
    match way {
        Way::Classic(_) => Some(Builder::withdraw(limit)),
        Way::Mp(_) => Some(Builder::withdraw_mp(family, limit)),
        Way::NotNegotiated | Way::NoNextHop => None,
    }
}

/// Whether these attributes leave room for a prefix.
fn fits(attributes: &Attributes, session: &Option<Session>, leaving: bool) -> Fits {
    let Some(session) = session else {
        return Fits::default();
    };
    let room = |family, octets| {
        let way = Way::of(family, session);
        announcement(family, way, attributes, session, leaving)
            .is_some_and(|builder| builder.has_room(octets))
    };
    Fits {
        v4: room(Family::IPV4_UNICAST, LONGEST_V4),
        v6: room(Family::IPV6_UNICAST, LONGEST_V6),
    }
}
