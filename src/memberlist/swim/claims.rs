//! What is said of a member, and what we make of it: alive, suspect, dead.
//!
//! Upstream: `aliveNode`, `suspectNode`, `deadNode`, `refute` of memberlist 0.1.7.

use super::{
    Departure, Event, Leaving, MAX_OWN_INCARNATION, Member, Noise, Output, Suspicion, Swim,
};
use crate::journal::{Level, Record};
use crate::memberlist::wire::{Alive, Dead, Message, Name, NodeState, State, Suspect, Versions};

use std::time::Duration;

/// Shortest time between two answers to claims about an incarnation that we have left behind.
const REPEAT: Duration = Duration::from_secs(1);

impl Swim {
    /// `claim.node` is alive. `first` is our own first claim about ourselves.
    pub(super) fn alive(&mut self, mut claim: Alive, first: bool) {
        let own = self.is_own(&claim.node);
        if own && self.leaving.is_some() {
            return;
        }
        if claim.port == 0 {
            claim.port = self.params.advertise.port();
        }
        if !own && !are_compatible(claim.vsn, Versions::OURS) {
            self.incompatible_member(&claim);
            return;
        }
        let mut taken_over = false;
        match self.members.get(&claim.node) {
            None => {
                if !self.admit(&claim) {
                    return;
                }
            }
            Some(held) if held.addr != claim.addr || held.port != claim.port => {
                if held.state != State::Left {
                    self.conflict(&claim);
                    return;
                }
                taken_over = true;
            }
            Some(_) => {}
        }
        let Some(held) = self.members.get(&claim.node) else {
            return;
        };
        let stale = if own {
            claim.incarnation < held.incarnation
        } else {
            claim.incarnation <= held.incarnation && !taken_over
        };
        if stale {
            return;
        }
        if own && !first {
            let same = claim.incarnation == held.incarnation
                && claim.meta == held.meta
                && claim.vsn == held.vsn;
            if !same {
                self.refute(claim.incarnation, "alive", &claim.node);
            }
            return;
        }
        self.suspicions.remove(&claim.node);
        let now = self.now;
        let Some(held) = self.members.get_mut(&claim.node) else {
            return;
        };
        let before = held.state;
        let updated = held.meta != claim.meta;
        held.incarnation = claim.incarnation;
        held.meta.clone_from(&claim.meta);
        held.addr = claim.addr;
        held.port = claim.port;
        held.vsn = claim.vsn;
        if before != State::Alive {
            held.state = State::Alive;
            held.changed = now;
        }
        let addr = held.socket_addr();
        let name = claim.node.clone();
        let returned = matches!(before, State::Dead | State::Left);
        self.census_changed = true;
        self.pass_on(&name, &Message::Alive(claim), returned);
        if returned {
            self.outputs
                .push_back(Output::Event(Event::Joined { name, addr }));
        } else if updated {
            self.outputs
                .push_back(Output::Event(Event::Updated { name }));
        }
    }

    /// Makes a record for a new name: dead at incarnation 0, until the claim is applied. Whether there was room.
    fn admit(&mut self, claim: &Alive) -> bool {
        if claim.incarnation == 0 {
            // Upstream: it stays dead at 0, and is forgotten.
            return false;
        }
        if self.members.len() >= self.params.max_members {
            self.counters.members_refused += 1;
            let most = self.params.max_members;
            let name = claim.node.clone();
            self.say_seldom(Noise::Full, || {
                Record::event(
                    "memberRefused",
                    format!("{name} is not taken as a member: there are {most} already, more than any cluster has; look for who makes up names"),
                )
                .at(Level::Warn)
            });
            return false;
        }
        let member = Member {
            name: claim.node.clone(),
            addr: claim.addr,
            port: claim.port,
            meta: claim.meta.clone(),
            vsn: claim.vsn,
            incarnation: 0,
            state: State::Dead,
            changed: self.now,
        };
        self.members.insert(member, &mut self.random);
        true
    }

    /// Deviation: Go takes it, and then every push/pull of every member fails until it is forgotten.
    fn incompatible_member(&mut self, claim: &Alive) {
        self.counters.versions_refused += 1;
        let name = claim.node.clone();
        self.say_seldom(Noise::Versions, || {
            Record::event(
                "memberVersions",
                format!("{name} is not taken as a member: it speaks versions of the protocol that no speaker does; look for who makes up names"),
            )
            .at(Level::Error)
        });
    }

    /// Somebody claims a name that another holds, at another address. The holder keeps it.
    fn conflict(&mut self, claim: &Alive) {
        self.counters.conflicts += 1;
        let held = self.members.get(&claim.node).map(Member::socket_addr);
        let (name, addr, port) = (claim.node.clone(), claim.addr, claim.port);
        self.say_seldom(Noise::Conflict, || {
            let held = held.map(|held| held.to_string()).unwrap_or_default();
            Record::event(
                "memberConflict",
                format!("two members claim the name {name}: {held}, which keeps it until it leaves or is dead for a while, and {addr} port {port}; each node needs a name and an address of its own"),
            )
            .at(Level::Error)
        });
    }

    /// `claim.from` could not reach `claim.node`.
    pub(super) fn suspect(&mut self, claim: Suspect) {
        let own = self.is_own(&claim.node);
        let Some(held) = self.members.get(&claim.node) else {
            return;
        };
        if claim.incarnation < held.incarnation {
            if own && claim.from != claim.node {
                self.repeat();
            }
            return;
        }
        if let Some(suspicion) = self.suspicions.get_mut(&claim.node) {
            if suspicion.confirm(&claim.from) {
                let name = claim.node.clone();
                self.pass_on(&name, &Message::Suspect(claim), false);
            }
            return;
        }
        if held.state != State::Alive {
            return;
        }
        if own {
            self.refute(claim.incarnation, "suspect", &claim.from);
            return;
        }
        let records = self.members.len();
        let suspicion = Suspicion::new(&self.params, records, claim.from.clone(), self.now);
        let name = claim.node.clone();
        let now = self.now;
        if let Some(held) = self.members.get_mut(&name) {
            held.incarnation = claim.incarnation;
            held.state = State::Suspect;
            held.changed = now;
        }
        self.suspicions.insert(name.clone(), suspicion);
        self.counters.suspicions += 1;
        self.say(
            Record::event(
                "memberSuspect",
                format!("{name} did not answer {}", claim.from),
            )
            .at(Level::Debug),
        );
        self.pass_on(&name, &Message::Suspect(claim), false);
    }

    /// `claim.node` is dead, or has left if it says so itself.
    pub(super) fn dead(&mut self, claim: Dead) {
        let own = self.is_own(&claim.node);
        let Some(held) = self.members.get(&claim.node) else {
            return;
        };
        if claim.incarnation < held.incarnation {
            if own && claim.from != claim.node {
                self.repeat();
            }
            return;
        }
        if !held.is_active() {
            return;
        }
        if own && self.leaving.is_none() {
            self.refute(claim.incarnation, "dead", &claim.from);
            return;
        }
        self.census_changed = true;
        let how = if claim.from == claim.node {
            Departure::Left
        } else {
            Departure::Dead
        };
        let name = claim.node.clone();
        let confirmations = self
            .suspicions
            .remove(&name)
            .map(|suspicion| suspicion.confirmations());
        let now = self.now;
        if let Some(held) = self.members.get_mut(&name) {
            held.incarnation = claim.incarnation;
            held.state = match how {
                Departure::Left => State::Left,
                Departure::Dead => State::Dead,
            };
            held.changed = now;
        }
        if how == Departure::Dead {
            self.counters.deaths += 1;
            let mut record =
                Record::event("memberDead", format!("{name} is dead, says {}", claim.from));
            if let Some(confirmations) = confirmations {
                record = record.with("confirmations", confirmations);
            }
            self.say(record);
        }
        self.pass_on(&name, &Message::Dead(claim), true);
        self.outputs
            .push_back(Output::Event(Event::Left { name, how }));
    }

    /// Something is said of us that is not so: say that we are alive, with an incarnation above it.
    fn refute(&mut self, accused: u32, claim: &'static str, from: &Name) {
        let Some(next) = self.next_incarnation(accused) else {
            // Deviation: Go's counter wraps to 0, which nobody believes any more.
            self.counters.irrefutable += 1;
            let from = from.clone();
            self.say_seldom(Noise::Irrefutable, || {
                Record::event(
                    "memberIrrefutable",
                    format!("{from} claims {claim} of us with incarnation {accused}, which cannot be refuted: the others forget it 30 s after they give us up; look for who forges messages"),
                )
                .at(Level::Error)
            });
            return;
        };
        self.incarnation = next;
        let name = self.params.name.clone();
        if let Some(own) = self.members.get_mut(&name) {
            own.incarnation = next;
        }
        self.health_changes(1);
        self.counters.refutations += 1;
        let from = from.clone();
        self.say_seldom(Noise::Refuted, || {
            Record::event(
                "memberRefutes",
                format!("{from} claimed {claim} of us: we are alive"),
            )
            .at(Level::Warn)
            .with("incarnation", next)
        });
        let own = Message::Alive(self.own_claim());
        self.pass_on(&name, &own, true);
        // Hearsay of a push/pull counts as our own word: it may be of a death.
        if claim == "dead" || self.is_own(&from) {
            self.tell_widely(&own);
        }
    }

    /// The incarnation above ours and theirs, if there is one that may be taken.
    pub(super) fn next_incarnation(&self, accused: u32) -> Option<u32> {
        let next = self.incarnation.max(accused).saturating_add(1);
        (next <= MAX_OWN_INCARNATION).then_some(next)
    }

    /// Somebody accuses an incarnation of ours that is past: it missed our refutation, so say it again. Upstream leaves that
    /// to the next push/pull.
    fn repeat(&mut self) {
        let recent = self
            .repeated
            .is_some_and(|at| self.now.duration_since(at) < REPEAT);
        if self.leaving.is_some() || recent {
            return;
        }
        self.repeated = Some(self.now);
        let (name, own) = (self.params.name.clone(), self.own_claim());
        self.pass_on(&name, &Message::Alive(own), true);
    }

    /// Better evidence than ours says that `name` is dead.
    pub(super) fn condemn(&mut self, name: Name) {
        if let Some(held) = self.members.get(&name)
            && held.is_active()
            && !self.is_own(&name)
            && self.leaving.is_none()
        {
            let incarnation = held.incarnation;
            let from = self.params.name.clone();
            self.dead(Dead {
                incarnation,
                node: name,
                from,
            });
        }
    }

    /// Suspects whom nobody saw alive in time are dead.
    pub(super) fn expire_suspicions(&mut self) {
        let due: Vec<Name> = self
            .suspicions
            .iter()
            .filter(|(_, suspicion)| suspicion.deadline() <= self.now)
            .map(|(name, _)| name.clone())
            .collect();
        for name in due {
            let incarnation = self.members.get(&name).map(|held| held.incarnation);
            let from = self.params.name.clone();
            match incarnation {
                Some(incarnation) => self.dead(Dead {
                    incarnation,
                    node: name,
                    from,
                }),
                None => {
                    self.suspicions.remove(&name);
                }
            }
        }
    }

    /// Tells the others that we go: [`Swim::finish_leave`] says when they know.
    pub(super) fn leave(&mut self) {
        if self.leaving.is_some() {
            return;
        }
        self.leaving = Some(Leaving {
            until: self.now + self.params.leave_timeout,
            done: false,
        });
        self.probe = None;
        let name = self.params.name.clone();
        let claim = Dead {
            incarnation: self.incarnation,
            node: name.clone(),
            from: name,
        };
        self.dead(claim.clone());
        self.tell_all(&Message::Dead(claim));
    }

    /// Whether leaving is over: told as often as any news, nobody to tell, or no time left.
    pub(super) fn finish_leave(&mut self) {
        let Some(leaving) = self.leaving.filter(|leaving| !leaving.done) else {
            return;
        };
        let told = !self.queue.contains(&self.params.name);
        let alone = !self.members.iter().any(Member::is_active);
        if told || alone || leaving.until <= self.now {
            self.leaving = Some(Leaving {
                done: true,
                ..leaving
            });
            self.outputs.push_back(Output::LeaveDone);
        }
    }

    /// All that another holds, from a push/pull.
    pub(super) fn merge(&mut self, states: Vec<NodeState>) {
        if let Some(odd) = self.incompatible(&states) {
            self.counters.merges_refused += 1;
            self.say_seldom(Noise::Versions, || {
                Record::event(
                    "memberVersions",
                    format!("a push/pull is not merged: the versions that {odd} speaks are not understood by all members; run one version of the speaker"),
                )
                .at(Level::Error)
            });
            return;
        }
        for state in states {
            let NodeState {
                name, incarnation, ..
            } = state;
            match state.state {
                State::Alive => self.alive(
                    Alive {
                        incarnation,
                        node: name,
                        addr: state.addr,
                        port: state.port,
                        meta: state.meta,
                        vsn: state.vsn,
                    },
                    false,
                ),
                State::Left => self.dead(Dead {
                    incarnation,
                    from: name.clone(),
                    node: name,
                }),
                // Upstream: hearsay of a death is no more than a suspicion, and it is ours.
                State::Suspect | State::Dead => {
                    let from = self.params.name.clone();
                    self.suspect(Suspect {
                        incarnation,
                        node: name,
                        from,
                    });
                }
            }
        }
    }

    /// Somebody, theirs or ours, dead or alive, who speaks what one of those alive does not understand.
    ///
    /// Upstream: `verifyProtocol`; what is spoken must lie within what all of those alive, theirs and ours, understand.
    fn incompatible(&self, theirs: &[NodeState]) -> Option<Name> {
        let ours = || self.members.iter();
        let alive = || {
            let theirs = theirs.iter().filter(|state| state.state == State::Alive);
            let ours = ours().filter(|member| member.state == State::Alive);
            theirs
                .map(|state| state.vsn)
                .chain(ours.map(|member| member.vsn))
        };
        let highest = |of: fn(Versions) -> u8| alive().map(of).max().unwrap_or(0);
        let lowest = |of: fn(Versions) -> u8| alive().map(of).min().unwrap_or(u8::MAX);
        let protocol = highest(Versions::protocol_min)..=lowest(Versions::protocol_max);
        let delegate = highest(Versions::delegate_min)..=lowest(Versions::delegate_max);
        let sound = |vsn: Versions| {
            protocol.contains(&vsn.protocol_cur()) && delegate.contains(&vsn.delegate_cur())
        };
        let odd_there = theirs.iter().find(|state| !sound(state.vsn));
        let odd_here = || ours().find(|member| !sound(member.vsn));
        odd_there
            .map(|state| state.name.clone())
            .or_else(|| odd_here().map(|member| member.name.clone()))
    }
}

/// Whether each understands what the other speaks.
fn are_compatible(one: Versions, other: Versions) -> bool {
    let understands = |hearer: Versions, speaker: Versions| {
        (hearer.protocol_min()..=hearer.protocol_max()).contains(&speaker.protocol_cur())
            && (hearer.delegate_min()..=hearer.delegate_max()).contains(&speaker.delegate_cur())
    };
    understands(one, other) && understands(other, one)
}
