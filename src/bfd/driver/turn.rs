//! The thread: commands, packets, timers, in turns.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use nix::net::if_::if_nametoindex;
use ring::rand::{SecureRandom, SystemRandom};
use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;

use super::desk::{Desk, Waker, lock};
use super::ear::{Buffer, Datagram, Ears, Family, Port};
use super::echo::{self, Station};
use super::figures::{Dropped, Tally};
use super::mouth::{Mouth, Ports};
use super::{FAREWELL, sys};
use crate::bfd::demux::{Demux, Origin, Place};
use crate::bfd::session::{Input, Output, Paths, Session};
use crate::bfd::wire::{Control, ECHO_PORT, Echo, EchoKey, State, TTL, Way};
use crate::bfd::{Params, Peer, Report};
use crate::journal::{Level, Record};
use crate::machine::Machine;
use crate::random::Random;

/// Packets that one socket gives in one turn: more than the kernel keeps for it, so that all that waited are read; and an end,
/// so that a flood does not keep timers waiting.
const PER_TURN: usize = 2048;

/// How often it is looked after what may change by itself: interfaces by name, ports that others had, neighbours.
const UPKEEP: Duration = Duration::from_secs(1);

/// How soon an Up or Down that found the channel full is offered again.
const AGAIN: Duration = Duration::from_millis(50);

/// How often being late is said.
const SAY_LATE: Duration = Duration::from_secs(60);

/// A session's number here.
type Key = u64;

/// A session and what belongs to it.
struct Held {
    peer: Peer,
    params: Params,
    machine: Session,
    /// Its entry in the timers.
    deadline: Option<Instant>,
    mouth: Mouth,
    tally: Arc<Tally>,
    interface: Option<u32>,
    station: Option<Station>,
    /// An Up or Down that found the channel full; the newest counts.
    unsaid: Option<Report>,
    /// What was said about packets that cannot be sent, so that it is said once.
    said: Option<String>,
    echo_said: bool,
}

pub(super) struct Turns {
    desk: Arc<Desk>,
    waker: Waker,
    reports: Sender<Report>,
    key: EchoKey,
    random: SystemRandom,
    sessions: BTreeMap<Key, Held>,
    keys: HashMap<Peer, Key>,
    next_key: Key,
    demux: Demux<Key>,
    deadlines: BTreeSet<(Instant, Key)>,
    ears: Ears,
    ports: Ports,
    upkeep_at: Option<Instant>,
    again_at: Option<Instant>,
    /// The program ends: no new sessions.
    shut: bool,
    end_at: Option<Instant>,
    late_said: Option<Instant>,
}

impl Turns {
    pub(super) fn new(
        desk: Arc<Desk>,
        waker: Waker,
        reports: Sender<Report>,
        key: EchoKey,
        random: SystemRandom,
    ) -> Self {
        Self {
            desk,
            waker,
            reports,
            key,
            ports: Ports::new(random.clone()),
            random,
            sessions: BTreeMap::new(),
            keys: HashMap::new(),
            next_key: 0,
            demux: Demux::default(),
            deadlines: BTreeSet::new(),
            ears: Ears::default(),
            upkeep_at: None,
            again_at: None,
            shut: false,
            end_at: None,
            late_said: None,
        }
    }

    /// Runs until the owner goes and all have been told.
    pub(super) fn run(mut self) {
        // Whatever it got: the machines know what to do when they are late.
        let _ = sys::ask_to_be_prompt();
        let mut buffer = Buffer::new();
        let mut descriptors = Vec::new();
        let mut ready = Vec::new();
        loop {
            let now = Instant::now();
            if self.desk.is_stopping() {
                let end = *self.end_at.get_or_insert(now + FAREWELL);
                self.shut(now);
                if self.sessions.is_empty() || now >= end {
                    return;
                }
            }
            descriptors.clear();
            descriptors.push(self.waker.as_raw_fd());
            descriptors.extend(self.ears.iter().map(AsRawFd::as_raw_fd));
            let timeout = self
                .next_deadline()
                .map(|deadline| deadline.saturating_duration_since(Instant::now()));
            // An interrupted wait is one that is over.
            if sys::wait(&descriptors, timeout, &mut ready).is_err() {
                ready.clear();
            }
            // What came before this moment is read below, before a timer of this moment is judged.
            let now = Instant::now();
            if ready.contains(&self.waker.as_raw_fd()) {
                self.waker.clear();
            }
            self.commands(now);
            let due = self
                .deadlines
                .first()
                .is_some_and(|(deadline, _)| *deadline <= now);
            self.listen(now, if due { None } else { Some(&ready) }, &mut buffer);
            self.tick(now);
            self.look_after(now);
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        let session = self.deadlines.first().map(|(deadline, _)| *deadline);
        [session, self.upkeep_at, self.again_at, self.end_at]
            .into_iter()
            .flatten()
            .min()
    }

    // -- commands

    fn commands(&mut self, now: Instant) {
        for (peer, change) in self.desk.take() {
            match (change, self.keys.get(&peer).copied()) {
                (Some(params), Some(key)) if !self.shut => {
                    if let Some(held) = self.sessions.get_mut(&key) {
                        held.params = params;
                    }
                    self.handle(now, key, Input::Params(params));
                    self.upkeep_at = Some(now);
                }
                (Some(params), None) if !self.shut => self.open(now, peer, params),
                (None, Some(key)) => self.handle(now, key, Input::Stop),
                // Gone before it came; or too late.
                (None, None) | (Some(_), _) => {}
            }
        }
    }

    fn shut(&mut self, now: Instant) {
        if std::mem::replace(&mut self.shut, true) {
            return;
        }
        let keys: Vec<Key> = self.sessions.keys().copied().collect();
        for key in keys {
            self.handle(now, key, Input::Stop);
        }
    }

    fn open(&mut self, now: Instant, peer: Peer, params: Params) {
        let Some((discriminator, seed)) = self.choose() else {
            self.report(Report::Log(
                Record::failed(
                    "bfdSession",
                    "the system gives no randomness",
                    "cannot begin a BFD session",
                )
                .with("peer", peer.address),
            ));
            return;
        };
        let key = self.next_key;
        self.next_key += 1;
        let place = Place {
            address: peer.address,
            source: peer.source,
            // Until its interface is known nothing is for it.
            interface: peer.interface.as_ref().map(|_| 0),
            multihop: peer.multihop,
        };
        self.demux.insert(discriminator, place, key);
        self.keys.insert(peer.clone(), key);
        let held = Held {
            machine: Session::new(
                now,
                params,
                peer.multihop,
                discriminator,
                Random::seeded(seed),
            ),
            params,
            deadline: None,
            mouth: Mouth::new(&peer),
            tally: lock(&self.desk.tallies).open(&peer),
            interface: None,
            station: None,
            unsaid: None,
            said: None,
            echo_said: false,
            peer,
        };
        self.sessions.insert(key, held);
        // Its ports, before it speaks: what it hears first may be the answer.
        self.upkeep(now);
        self.settle(now, key);
    }

    /// A discriminator that no session has, and a seed. RFC 5880 §6.8.1: bfd.LocalDiscr MUST be unique across all BFD sessions
    /// on this system, and nonzero. It SHOULD be set to a random (but still unique) value to improve security.
    fn choose(&self) -> Option<(NonZeroU32, u64)> {
        loop {
            let mut octets = [0; 12];
            self.random.fill(&mut octets).ok()?;
            let [a, b, c, d, seed @ ..] = octets;
            if let Some(discriminator) = NonZeroU32::new(u32::from_ne_bytes([a, b, c, d]))
                && !self.demux.is_taken(discriminator)
            {
                return Some((discriminator, u64::from_ne_bytes(seed)));
            }
        }
    }

    fn close(&mut self, key: Key) {
        let Some(mut held) = self.sessions.remove(&key) else {
            return;
        };
        if let Some(deadline) = held.deadline.take() {
            self.deadlines.remove(&(deadline, key));
        }
        held.mouth.close(&mut self.ports);
        self.demux.remove(key);
        self.keys.remove(&held.peer);
        lock(&self.desk.tallies).close(&held.peer);
    }

    // -- packets

    /// Reads what waits: on the sockets that are ready, or on all.
    fn listen(&mut self, now: Instant, ready: Option<&[RawFd]>, buffer: &mut Buffer) {
        let wanted: Vec<(Family, Port)> = self
            .ears
            .keys()
            .filter(|which| {
                ready.is_none_or(|ready| {
                    self.ears
                        .get(which.0, which.1)
                        .is_some_and(|ear| ready.contains(&ear.as_raw_fd()))
                })
            })
            .collect();
        for (family, port) in wanted {
            for _ in 0..PER_TURN {
                let Some(ear) = self.ears.get(family, port) else {
                    break;
                };
                match ear.receive(buffer) {
                    Ok(Some(datagram)) => match port {
                        Port::Control | Port::Multihop => {
                            self.hear_control(now, port == Port::Multihop, &datagram);
                        }
                        Port::Echo | Port::Forwarded => {
                            self.hear_echo(now, family, port, &datagram);
                        }
                    },
                    Ok(None) => self.desk.drops.add(Dropped::Unreadable),
                    // Nothing waits, or an error that waited: the next turn asks again.
                    Err(_) => break,
                }
            }
        }
    }

    fn hear_control(&mut self, now: Instant, multihop: bool, datagram: &Datagram<'_>) {
        let control = match Control::decode(datagram.payload) {
            Ok(control) => control,
            Err(error) => return self.desk.drops.add(Dropped::Malformed(error)),
        };
        let origin = Origin {
            source: datagram.source.ip(),
            destination: datagram.destination,
            interface: datagram.interface,
            multihop,
        };
        let Some(key) = self.demux.find(control.your_discriminator, &origin) else {
            return self.desk.drops.add(Dropped::Unknown);
        };
        if let Some(held) = self.sessions.get(&key) {
            held.tally.control_in.add();
        }
        self.handle(
            now,
            key,
            Input::Received {
                control,
                ttl: datagram.ttl,
            },
        );
    }

    fn hear_echo(&mut self, now: Instant, family: Family, port: Port, datagram: &Datagram<'_>) {
        match Echo::decode(datagram.payload, &self.key) {
            Ok(echo) => {
                let Some(key) = self.demux.echo(echo.my_discriminator) else {
                    return self.desk.drops.add(Dropped::Unknown);
                };
                if let Some(held) = self.sessions.get(&key) {
                    held.tally.echo_in.add();
                }
                self.handle(now, key, Input::Echo(echo));
            }
            Err(error) => {
                // Another's, for us to send back, if it comes right from a neighbour that we promised it to. What goes back
                // is not looped again: it arrives with less than 255.
                let source = datagram.source.ip();
                let promised = port == Port::Echo
                    && datagram.ttl == TTL
                    && self.demux.is_neighbor(source)
                    && self
                        .sessions
                        .values()
                        .any(|held| held.peer.address == source && held.params.echo_mode);
                match self.ears.get(family, port) {
                    Some(ear) if promised => {
                        // One that the kernel does not take is one that is lost.
                        let _ = echo::send(
                            ear,
                            datagram.payload,
                            datagram.source,
                            datagram.destination,
                            datagram.interface,
                            TTL - 1,
                        );
                    }
                    _ => self.desk.drops.add(Dropped::Malformed(error)),
                }
            }
        }
    }

    // -- machines

    fn tick(&mut self, now: Instant) {
        while let Some(&(deadline, key)) = self.deadlines.first() {
            if deadline > now {
                return;
            }
            self.handle(now, key, Input::Tick);
            // A deadline that does not move would be served for ever.
            if self.deadlines.remove(&(deadline, key))
                && let Some(held) = self.sessions.get_mut(&key)
            {
                held.deadline = None;
            }
        }
    }

    fn handle(&mut self, now: Instant, key: Key, input: Input) {
        if let Some(held) = self.sessions.get_mut(&key) {
            held.machine.handle(now, input);
            self.settle(now, key);
        }
    }

    /// Does what a machine wants done, and notes when it is to be asked again.
    fn settle(&mut self, now: Instant, key: Key) {
        while let Some(output) = self
            .sessions
            .get_mut(&key)
            .and_then(|held| held.machine.poll_output())
        {
            match output {
                Output::Transmit(control) => self.transmit(key, &control),
                Output::Echo(echo) => self.transmit_echo(key, echo),
                Output::Up => self.changed(now, key, true, Report::Up),
                Output::Down(reason) => {
                    self.changed(now, key, false, |peer| Report::Down(peer, reason));
                }
                Output::Dropped(why) => self.desk.drops.add(Dropped::Session(why)),
                Output::EchoUnanswered => self.echo_unanswered(key),
                Output::Late(late) => self.say_late(now, late),
                Output::Ended => {
                    self.close(key);
                    self.upkeep_at = Some(now);
                    return;
                }
            }
        }
        let Some(held) = self.sessions.get_mut(&key) else {
            return;
        };
        let deadline = held.machine.next_deadline();
        if deadline != held.deadline {
            if let Some(before) = std::mem::replace(&mut held.deadline, deadline) {
                self.deadlines.remove(&(before, key));
            }
            if let Some(deadline) = deadline {
                self.deadlines.insert((deadline, key));
            }
        }
    }

    fn transmit(&mut self, key: Key, control: &Control) {
        let Some(held) = self.sessions.get_mut(&key) else {
            return;
        };
        match held.mouth.send(&control.encode(), &mut self.ports) {
            Ok(()) => {
                held.tally.control_out.add();
                held.said = None;
            }
            Err(error) => {
                let text = error.to_string();
                if error.kind() == io::ErrorKind::WouldBlock || held.said.as_ref() == Some(&text) {
                    return;
                }
                let record =
                    Record::failed("bfdSend", &text, "cannot send BFD packets to the peer")
                        .at(Level::Warn)
                        .with("peer", held.peer.address);
                held.said = Some(text);
                self.report(Report::Log(record));
            }
        }
    }

    fn transmit_echo(&mut self, key: Key, sent: Echo) {
        let Some(held) = self.sessions.get(&key) else {
            return;
        };
        let address = held.peer.address;
        let family = Family::of(address);
        let payload = sent.encode(&self.key);
        let done = match sent.way {
            Way::Forwarded => self
                .ears
                .get(family, Port::Forwarded)
                .zip(held.station)
                .map(|(ear, station)| echo::send_forwarded(ear, station, &payload)),
            Way::Returned => self.ears.get(family, Port::Echo).map(|ear| {
                echo::send(
                    ear,
                    &payload,
                    SocketAddr::new(address, ECHO_PORT),
                    held.peer.source,
                    held.interface.unwrap_or_default(),
                    TTL,
                )
            }),
        };
        // One that does not leave does not come back either: the session notices.
        if let Some(Ok(())) = done {
            held.tally.echo_out.add();
        }
    }

    // -- upkeep

    fn look_after(&mut self, now: Instant) {
        if self.again_at.is_some_and(|at| at <= now) {
            self.again_at = None;
            let keys: Vec<Key> = self.sessions.keys().copied().collect();
            for key in keys {
                self.tell(now, key);
            }
        }
        if self.upkeep_at.is_some_and(|at| at <= now) {
            self.upkeep(now);
        }
    }

    /// Opens and closes ports as the sessions need them, and looks what has changed in the world.
    fn upkeep(&mut self, now: Instant) {
        let mut wanted = BTreeSet::new();
        let mut changing = false;
        for held in self.sessions.values() {
            let family = Family::of(held.peer.address);
            wanted.insert((
                family,
                if held.peer.multihop {
                    Port::Multihop
                } else {
                    Port::Control
                },
            ));
            if held.wants_echoes() {
                wanted.insert((family, Port::Echo));
                if family == Family::V4 {
                    wanted.insert((family, Port::Forwarded));
                }
            }
            changing |= held.wants_echoes() || held.peer.interface.is_some();
        }
        for record in self.ears.want(&wanted) {
            self.report(Report::Log(record));
        }
        changing |= self.ears.is_wanting();
        self.upkeep_at = changing.then(|| now + UPKEEP);
        if !changing {
            return;
        }
        let forwards = [Family::V4, Family::V6].map(echo::forwards);
        let keys: Vec<Key> = self.sessions.keys().copied().collect();
        for key in keys {
            self.find_interface(key);
            self.find_paths(now, key, forwards);
        }
    }

    fn find_interface(&mut self, key: Key) {
        let Some(held) = self.sessions.get_mut(&key) else {
            return;
        };
        let Some(name) = &held.peer.interface else {
            return;
        };
        let index = if_nametoindex(name.as_ref()).ok();
        if index != held.interface {
            held.interface = index;
            held.mouth.set_interface(index.unwrap_or_default());
            self.demux
                .set_interface(key, Some(index.unwrap_or_default()));
        }
    }

    fn find_paths(&mut self, now: Instant, key: Key, [forwards4, forwards6]: [bool; 2]) {
        let Some(held) = self.sessions.get_mut(&key) else {
            return;
        };
        if !held.wants_echoes() {
            return;
        }
        let family = Family::of(held.peer.address);
        let has = |port| self.ears.get(family, port).is_some();
        let forwards = match family {
            Family::V4 => forwards4,
            Family::V6 => forwards6,
        };
        held.station = match (held.peer.address, held.peer.source) {
            (IpAddr::V4(address), Some(IpAddr::V4(source))) => echo::station(address, Some(source)),
            (IpAddr::V4(address), _) => echo::station(address, None),
            (IpAddr::V6(_), _) => None,
        };
        let paths = Paths {
            forwarded: has(Port::Forwarded),
            returned: has(Port::Echo),
            loops: has(Port::Echo) && forwards,
        };
        let record = (!forwards && !std::mem::replace(&mut held.echo_said, true)).then(|| {
            Record::event(
                "bfdEchoNotLooped",
                "this host does not forward packets, so the peer is not told that it may send echo packets; set net.ipv4.ip_forward \
                 (net.ipv6.conf.all.forwarding) to 1",
            )
            .at(Level::Warn)
            .with("peer", held.peer.address)
        });
        if let Some(record) = record {
            self.report(Report::Log(record));
        }
        self.handle(now, key, Input::Paths(paths));
    }

    // -- people

    fn changed(&mut self, now: Instant, key: Key, up: bool, report: impl FnOnce(Peer) -> Report) {
        if let Some(held) = self.sessions.get_mut(&key) {
            held.tally.up.store(up, Ordering::Relaxed);
            if up {
                held.tally.up_events.add();
            } else {
                held.tally.down_events.add();
            }
            held.unsaid = Some(report(held.peer.clone()));
            self.tell(now, key);
        }
    }

    /// Offers an Up or Down.
    fn tell(&mut self, now: Instant, key: Key) {
        let Some(held) = self.sessions.get_mut(&key) else {
            return;
        };
        let Some(report) = held.unsaid.take() else {
            return;
        };
        if let Err(TrySendError::Full(report)) = self.reports.try_send(report) {
            held.unsaid = Some(report);
            self.again_at = Some(now + AGAIN);
        }
    }

    fn echo_unanswered(&mut self, key: Key) {
        if let Some(held) = self.sessions.get(&key) {
            let record = Record::event(
                "bfdEchoUnanswered",
                "the peer says that it loops echo packets, and none came back: control packets watch the way",
            )
            .at(Level::Warn)
            .with("peer", held.peer.address);
            self.report(Report::Log(record));
        }
    }

    fn say_late(&mut self, now: Instant, late: Duration) {
        if self
            .late_said
            .is_some_and(|said| now.saturating_duration_since(said) < SAY_LATE)
        {
            return;
        }
        self.late_said = Some(now);
        self.report(Report::Log(
            Record::event(
                "bfdLate",
                "did not run in time: a paused machine, or one without CPU for the speaker; peers are given one interval more",
            )
            .at(Level::Warn)
            .with("late_ms", late.as_millis()),
        ));
    }

    fn report(&self, report: Report) {
        if let Err(TrySendError::Full(_)) = self.reports.try_send(report) {
            self.desk.reports_dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Held {
    fn wants_echoes(&self) -> bool {
        self.params.echo_mode && !self.peer.multihop && self.machine.state() != State::AdminDown
    }
}
