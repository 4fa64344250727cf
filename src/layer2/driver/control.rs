//! The control thread: commands, netlink, gratuitous packets, memberships. Everything that may take a moment.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::Sender;

use super::ears::Ears;
use super::membership::Memberships;
use super::neighbours;
use super::netlink::Netlink;
use super::port::{OpenPort, Shared, Snapshot};
use super::queue::{Change, Queue};
use super::sys;
use crate::journal::{Level, Record};
use crate::layer2::announced::{Announced, Tallies, Tally};
use crate::layer2::conflict::{self, Conflicts};
use crate::layer2::gratuitous::{self, Form, Gratuitous};
use crate::layer2::groups::Groups;
use crate::layer2::interfaces::{self, Interfaces, Output, Responder};
use crate::layer2::wire::Frame;
use crate::layer2::wire::arp::{Arp, Operation};
use crate::layer2::wire::ndp::{self, Advertisement};
use crate::layer2::{Kind, MacAddr, Port, Report};
use crate::machine::Machine;
use crate::turns::ask_for_short_turns;

/// What the control thread and its owner share.
#[derive(Debug, Default)]
pub(super) struct Desk {
    pub(super) queue: Mutex<Queue>,
    /// The only interfaces, if that was said since the control thread looked: the newest counts.
    pub(super) only: Mutex<Option<Vec<String>>>,
    pub(super) tallies: Mutex<Tallies>,
    pub(super) reports_dropped: AtomicU64,
}

/// A poisoned lock guards plain values that are whole after every step.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) struct Control {
    shared: Arc<Shared>,
    desk: Arc<Desk>,
    reports: Sender<Report>,
    netlink: Netlink,
    interfaces: Interfaces,
    gratuitous: Gratuitous,
    conflicts: Conflicts,
    /// `None`: the kernel gave no sockets for it, as was said.
    ears: Option<Ears>,
    /// The Ethernet addresses of all ports, as they were last told.
    stations: Vec<MacAddr>,
    /// Others announce what this node still answers for.
    hands_over: bool,
    groups: Groups,
    memberships: Memberships,
    announced: Announced,
    ports: HashMap<Port, OpenPort>,
    /// The ports changed since the last snapshot.
    ports_changed: bool,
    next_token: u64,
    /// Sockets hear only once there is something of their kind to answer for.
    armed: [bool; 2],
    /// What was said about a responder that cannot be opened, so that it is said once.
    failed: HashMap<Port, String>,
    netlink_failed: bool,
    /// Snapshots that the responder thread may still look at: they are taken apart here, not there, because closing a
    /// packet socket takes the kernel milliseconds.
    retired: Vec<Arc<Snapshot>>,
}

/// How soon it is looked again after retired snapshots, and after a netlink socket that only fails.
const LATER: Duration = Duration::from_millis(20);

fn place(kind: Kind) -> usize {
    match kind {
        Kind::Arp => 0,
        Kind::Ndp => 1,
    }
}

impl Control {
    pub(super) fn new(
        shared: Arc<Shared>,
        desk: Arc<Desk>,
        reports: Sender<Report>,
        netlink: Netlink,
        params: interfaces::Params,
        now: Instant,
    ) -> Self {
        Self {
            shared,
            desk,
            reports,
            netlink,
            interfaces: Interfaces::new(params),
            gratuitous: Gratuitous::new(now),
            conflicts: Conflicts::default(),
            ears: None,
            stations: Vec::new(),
            hands_over: false,
            groups: Groups::default(),
            memberships: Memberships::default(),
            announced: Announced::default(),
            ports: HashMap::new(),
            ports_changed: false,
            next_token: super::respond::WAKER,
            armed: [false; 2],
            failed: HashMap::new(),
            netlink_failed: false,
            retired: Vec::new(),
        }
    }

    /// Runs until [`Shared::stop`].
    pub(super) fn run(mut self) {
        // The gratuitous packets keep their pace where thousands of log lines and Events follow them. Without it everything works.
        let _ = ask_for_short_turns();
        match Ears::open() {
            Ok(ears) => self.ears = Some(ears),
            Err(error) => {
                let msg = "cannot listen for others that have announced addresses: conflicts will not be found";
                self.log(Record::failed("listenForConflicts", error, msg).at(Level::Warn));
            }
        }
        while !self.shared.is_stopping() {
            let now = Instant::now();
            self.step(now);
            let timeout = self
                .deadline(now)
                .map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let control = self.shared.control.as_raw_fd();
            let netlink = if self.netlink_failed {
                control
            } else {
                self.netlink.as_raw_fd()
            };
            // An interrupted or failed wait is one that is over.
            let ears = match &self.ears {
                Some(ears) => ears.epoll().as_raw_fd(),
                None => control,
            };
            let _ = sys::wait_any([control, netlink, ears], timeout);
        }
    }

    fn deadline(&self, now: Instant) -> Option<Instant> {
        let later = !self.retired.is_empty() || self.netlink_failed;
        [
            self.gratuitous.next_deadline(),
            self.interfaces.next_deadline(),
            self.netlink.next_deadline(),
            self.conflicts.next_deadline(),
            self.ears.as_ref().and_then(Ears::next_deadline),
            later.then(|| now + LATER),
            self.memberships.has_work().then_some(now),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn step(&mut self, now: Instant) {
        self.shared.control.clear();
        let (changes, hands_over) = {
            let mut queue = lock(&self.desk.queue);
            (queue.take(), queue.hands_over())
        };
        if hands_over && !self.hands_over {
            self.hand_over();
        }
        let only = lock(&self.desk.only).take();
        if let Some(names) = only {
            self.interfaces(now, interfaces::Input::Only(names));
        }
        self.commands(now, changes);
        self.hear(now);
        self.reopen_broken(now);
        self.interfaces(now, interfaces::Input::Tick);
        self.publish();
        self.burst(now, gratuitous::Input::Tick);
        self.hear_claims(now);
        self.memberships();
        self.retired
            .retain(|snapshot| Arc::strong_count(snapshot) > 1);
    }

    // -- commands

    fn commands(&mut self, now: Instant, changes: Vec<(IpAddr, Change)>) {
        let mut announced = Vec::new();
        let mut withdrawn = Vec::new();
        for (ip, change) in changes {
            let known = self.announced.tally(ip).is_some();
            if known && change != Change::Announce {
                withdrawn.push(ip);
            }
            match change {
                Change::Announce | Change::Again => {}
                Change::Withdraw => self.conflict(now, conflict::Input::Withdraw(ip)),
                Change::Yield => self.conflict(now, conflict::Input::Yield(ip)),
            }
            if change == Change::Again || (change == Change::Announce && !known) {
                announced.push(ip);
            }
        }
        if announced.is_empty() && withdrawn.is_empty() {
            return;
        }
        if let Some(ears) = &mut self.ears {
            ears.outdated(now);
        }
        {
            let mut tallies = lock(&self.desk.tallies);
            for ip in &withdrawn {
                self.announced.remove(*ip);
                tallies.withdraw(*ip);
            }
            for ip in &announced {
                self.announced.insert(*ip, tallies.announce(*ip));
            }
        }
        for kind in [Kind::Arp, Kind::Ndp] {
            if announced.iter().any(|ip| kind.serves(*ip)) {
                self.arm(kind);
            }
        }
        // Answers first (or silence), then the news about it.
        self.store(Arc::new(self.announced.clone()));
        for ip in withdrawn {
            self.gratuitous.handle(now, gratuitous::Input::Withdraw(ip));
            if let IpAddr::V6(ip) = ip
                && let Some(group) = self.groups.withdraw(ip)
            {
                for interface in self.interfaces_of(Kind::Ndp) {
                    self.memberships.leave(interface, group);
                }
            }
            self.interfaces(now, interfaces::Input::Withdraw(ip));
        }
        for ip in announced {
            self.gratuitous.handle(now, gratuitous::Input::Announce(ip));
            self.conflict(now, conflict::Input::Announce(ip));
            if let IpAddr::V6(ip) = ip
                && let Some(group) = self.groups.announce(ip)
            {
                for interface in self.interfaces_of(Kind::Ndp) {
                    self.memberships.join(interface, group);
                }
            }
            self.interfaces(now, interfaces::Input::Announce(ip));
        }
    }

    /// The processor is the others' from now on, where they share it: nothing wakes this host but real requests.
    fn hand_over(&mut self) {
        self.hands_over = true;
        self.ears = None;
        for port in self.ports.values() {
            // Where the kernel does not take it, announcements of others are answered a moment longer.
            let _ = port.hand_over();
        }
    }

    fn interfaces_of(&self, kind: Kind) -> Vec<u32> {
        self.ports
            .keys()
            .filter(|port| port.kind == kind)
            .map(|port| port.interface)
            .collect()
    }

    // -- the snapshot

    fn store(&mut self, announced: Arc<Announced>) {
        let ports = if std::mem::take(&mut self.ports_changed) {
            Arc::new(
                self.ports
                    .values()
                    .map(|port| (port.token, port.clone()))
                    .collect(),
            )
        } else {
            Arc::clone(&self.shared.snapshot.load().ports)
        };
        let snapshot = Arc::new(Snapshot { announced, ports });
        self.retired.push(self.shared.snapshot.swap(snapshot));
    }

    /// Tells the responder thread of changed ports.
    fn publish(&mut self) {
        if self.ports_changed {
            let announced = Arc::clone(&self.shared.snapshot.load().announced);
            self.store(announced);
            self.tell_stations();
        }
    }

    // -- interfaces

    fn hear(&mut self, now: Instant) {
        let mut inputs = Vec::new();
        let mut tell = |input| inputs.push(input);
        let result = self
            .netlink
            .tick(now, &mut tell)
            .and_then(|()| self.netlink.receive(now, &mut tell));
        for input in inputs {
            self.interfaces(now, input);
        }
        match result {
            Ok(()) => self.netlink_failed = false,
            Err(error) if !self.netlink_failed => {
                self.netlink_failed = true;
                let msg = "cannot learn about interfaces from the kernel, trying again";
                self.log(Record::failed("getInterfaces", error, msg));
            }
            Err(_) => {}
        }
    }

    fn reopen_broken(&mut self, now: Instant) {
        let broken: Vec<Port> = self
            .ports
            .values()
            .filter(|port| port.broken.load(Ordering::Acquire))
            .map(|port| port.port)
            .collect();
        for port in broken {
            self.interfaces(now, interfaces::Input::Broken(port));
        }
    }

    fn interfaces(&mut self, now: Instant, input: interfaces::Input) {
        self.interfaces.handle(now, input);
        while let Some(output) = self.interfaces.poll_output() {
            match output {
                Output::Open(responder) => self.open(now, responder),
                Output::Change(responder) => self.change(responder),
                Output::Close(responder) => self.close(now, &responder),
                Output::PortUp(port) => {
                    // The burst may leave only after the answers are right.
                    self.publish();
                    self.gratuitous.handle(now, gratuitous::Input::PortUp(port));
                }
                Output::ReadArpIgnore(names) => {
                    let open = interfaces_that_answer(names);
                    self.interfaces
                        .handle(now, interfaces::Input::ArpIgnore(open));
                }
                Output::Report(report) => self.report(report),
            }
        }
    }

    fn open(&mut self, now: Instant, responder: Responder) {
        let Responder {
            port,
            name,
            interface,
        } = responder;
        self.next_token += 1;
        let opened = OpenPort::open(port, &name, interface, self.next_token).and_then(|open| {
            if self
                .armed
                .get(place(port.kind))
                .copied()
                .unwrap_or_default()
            {
                open.arm()?;
            }
            if self.hands_over {
                open.hand_over()?;
            }
            self.shared.epoll.add(open.as_raw_fd(), open.token)?;
            Ok(open)
        });
        let ok = match opened {
            Ok(open) => {
                self.ports.insert(port, open);
                self.ports_changed = true;
                self.failed.remove(&port);
                if port.kind == Kind::Ndp {
                    for group in self.groups.needed() {
                        self.memberships.join(port.interface, group);
                    }
                }
                let (event, msg) = match port.kind {
                    Kind::Arp => ("createARPResponder", "created ARP responder for interface"),
                    Kind::Ndp => ("createNDPResponder", "created NDP responder for interface"),
                };
                self.log(Record::event(event, msg).with("interface", name));
                true
            }
            Err(error) => {
                let error = error.to_string();
                if self.failed.insert(port, error.clone()).as_ref() != Some(&error) {
                    let (op, msg) = match port.kind {
                        Kind::Arp => ("createARPResponder", "failed to create ARP responder"),
                        Kind::Ndp => ("createNDPResponder", "failed to create NDP responder"),
                    };
                    self.log(Record::failed(op, error, msg).with("interface", name));
                }
                false
            }
        };
        self.interfaces
            .handle(now, interfaces::Input::Opened { port, ok });
    }

    fn change(&mut self, responder: Responder) {
        if let Some(open) = self.ports.get_mut(&responder.port) {
            open.interface = responder.interface;
            open.name = responder.name.into();
            self.ports_changed = true;
        }
    }

    fn close(&mut self, now: Instant, responder: &Responder) {
        let port = responder.port;
        let Some(open) = self.ports.remove(&port) else {
            return;
        };
        self.ports_changed = true;
        let _ = self.shared.epoll.remove(open.as_raw_fd());
        self.gratuitous
            .handle(now, gratuitous::Input::PortDown(port));
        if port.kind == Kind::Ndp {
            self.memberships.leave_all(port.interface);
        }
        let (event, msg) = match port.kind {
            Kind::Arp => ("deleteARPResponder", "deleted ARP responder for interface"),
            Kind::Ndp => ("deleteNDPResponder", "deleted NDP responder for interface"),
        };
        self.log(Record::event(event, msg).with("interface", &open.name));
    }

    /// Opens the ears of all sockets of a kind, once.
    fn arm(&mut self, kind: Kind) {
        let Some(armed) = self.armed.get_mut(place(kind)) else {
            return;
        };
        if std::mem::replace(armed, true) {
            return;
        }
        for port in self.ports.values().filter(|port| port.port.kind == kind) {
            if port.arm().is_err() {
                port.broken.store(true, Ordering::Release);
            }
        }
    }

    // -- gratuitous packets

    fn burst(&mut self, now: Instant, input: gratuitous::Input) {
        self.gratuitous.handle(now, input);
        let mut frames = Outbox::default();
        while let Some(gratuitous::Send { ip, port, form }) = self.gratuitous.poll_output() {
            if let (Some(open), Some(tally)) = (self.ports.get(&port), self.announced.tally(ip)) {
                frames.add(open, ip, form, tally);
            }
        }
        frames.flush();
    }

    // -- conflicts

    /// Claims of others that were heard.
    fn hear_claims(&mut self, now: Instant) {
        let Some(mut ears) = self.ears.take() else {
            return;
        };
        ears.tune(now, self.conflicts.watched());
        ears.listen(|kind, interface, frame| {
            let port = Port { interface, kind };
            if !self.ports.contains_key(&port) {
                return;
            }
            let Ok((ip, mac)) = conflict::claim(kind, frame) else {
                return;
            };
            // Our own frames come back through bonds and bridges, and on other interfaces of ours on the same network.
            if self.stations.contains(&mac) {
                return;
            }
            self.conflict(now, conflict::Input::Claim { ip, port, mac });
        });
        self.ears = Some(ears);
        self.conflict(now, conflict::Input::Tick);
    }

    fn conflict(&mut self, now: Instant, input: conflict::Input) {
        self.conflicts.handle(now, input);
        while let Some(output) = self.conflicts.poll_output() {
            match output {
                conflict::Output::Probe { ip, port } => {
                    if let Some(open) = self.ports.get(&port) {
                        // Lost: the next one is soon.
                        let _ = sys::send_one(open.as_raw_fd(), probe(ip, open).as_bytes());
                    }
                }
                conflict::Output::Disputed { ip, port, mac } => {
                    if let Some(tally) = self.announced.tally(ip) {
                        tally.conflict();
                    }
                    let interface = self
                        .ports
                        .get(&port)
                        .map_or_else(String::new, |open| open.name.to_string());
                    let known_as = neighbours::known_as(mac).unwrap_or_else(|error| {
                        let msg = "cannot read the kernel's neighbour table: a Go speaker that announces the same address is taken for a stranger";
                        let record = Record::failed("readNeighbours", error, msg).at(Level::Warn);
                        self.log(record.with("ip", ip).with("mac", mac));
                        Vec::new()
                    });
                    self.report(Report::Conflict {
                        ip,
                        mac,
                        interface,
                        known_as,
                    });
                }
                conflict::Output::Settled { ip, mac } => {
                    self.report(Report::ConflictOver { ip, mac });
                    if let Some(ears) = &mut self.ears {
                        ears.outdated(now);
                    }
                }
            }
        }
    }

    /// Says from which Ethernet addresses we announce, if that changed.
    fn tell_stations(&mut self) {
        // The lowest interfaces first: cards come before what is made of them.
        let mut ports: Vec<&OpenPort> = self.ports.values().collect();
        ports.sort_unstable_by_key(|open| open.port);
        let mut stations: Vec<MacAddr> = Vec::new();
        for open in ports {
            if !stations.contains(&open.interface.mac) {
                stations.push(open.interface.mac);
            }
        }
        if stations != self.stations {
            self.stations.clone_from(&stations);
            self.report(Report::Stations(stations));
        }
    }

    // -- memberships

    fn memberships(&mut self) {
        for failure in self.memberships.work() {
            let port = Port {
                interface: failure.interface,
                kind: Kind::Ndp,
            };
            let Some(open) = self.ports.get(&port) else {
                continue;
            };
            // The interface is just gone: netlink is about to say so.
            if failure.error.raw_os_error() == Some(libc::ENODEV) {
                continue;
            }
            let text = format!("membership: {}", failure.error);
            if self.failed.contains_key(&port) {
                continue;
            }
            let record = match open.all_multicast() {
                Ok(()) => Record::event(
                    "allMulticast",
                    "cannot join solicited-node groups: letting in all multicast",
                )
                .at(Level::Warn),
                Err(error) => Record::failed(
                    "joinGroup",
                    error,
                    "cannot join solicited-node groups, IPv6 solicitations may not arrive",
                ),
            };
            let record = record.with("interface", &open.name).with("reason", &text);
            self.failed.insert(port, text);
            self.log(record);
        }
    }

    // -- people

    fn log(&self, record: Record) {
        self.report(Report::Log(record));
    }

    fn report(&self, report: Report) {
        if self.reports.try_send(report).is_err() {
            self.desk.reports_dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Gratuitous frames on their way, in batches per port.
#[derive(Default)]
struct Outbox<'a> {
    by_port: HashMap<Port, (&'a OpenPort, Frames<'a>)>,
}

/// Frames, each with the counters of its address if it is one to be counted: a probe claims nothing.
type Frames<'a> = Vec<(Frame, Option<&'a Tally>)>;

impl<'a> Outbox<'a> {
    fn add(&mut self, open: &'a OpenPort, ip: IpAddr, form: Form, tally: &'a Tally) {
        let mac = open.interface.mac;
        let arp = |operation, ip| {
            let arp = Arp::gratuitous(operation, ip, mac);
            Frame::build(|buffer| arp.encode(buffer))
        };
        let frame = match (form, ip) {
            (Form::Probe, _) => (probe(ip, open), None),
            (Form::Announcement, IpAddr::V4(ip)) => (arp(Operation::Request, ip), Some(tally)),
            (Form::Reply, IpAddr::V4(ip)) => (arp(Operation::Reply, ip), Some(tally)),
            (Form::Announcement | Form::Reply, IpAddr::V6(ip)) => {
                let advertisement = Advertisement::gratuitous(ip, mac);
                let frame = Frame::build(|buffer| advertisement.encode(buffer));
                (frame, Some(tally))
            }
        };
        let (_, frames) = self
            .by_port
            .entry(open.port)
            .or_insert_with(|| (open, Vec::new()));
        frames.push(frame);
    }

    fn flush(self) {
        for (open, frames) in self.by_port.into_values() {
            let mut left = frames.as_slice();
            while !left.is_empty() {
                // A frame that the kernel does not take is not sent: the next round has another.
                let sent = sys::send(
                    open.as_raw_fd(),
                    left.iter().map(|(frame, _)| frame.as_bytes()),
                )
                .unwrap_or(0);
                for (_, tally) in left.iter().take(sent) {
                    if let Some(tally) = tally {
                        tally.gratuitous_sent();
                    }
                }
                left = left.get(sent.max(1)..).unwrap_or_default();
            }
        }
    }
}

/// Asks on this port who has the address.
fn probe(ip: IpAddr, open: &OpenPort) -> Frame {
    let mac = open.interface.mac;
    match ip {
        IpAddr::V4(ip) => Frame::build(|buffer| Arp::probe(ip, mac).encode(buffer)),
        IpAddr::V6(ip) => Frame::build(|buffer| ndp::encode_probe(ip, mac, buffer)),
    }
}

/// Those of the interfaces on which the kernel answers ARP for any address of the host.
///
/// ip-sysctl: arp_ignore is the greater of conf/all and conf/INTERFACE; 0: reply for any local target address,
/// configured on any interface. What cannot be read does not make people look for a fault.
fn interfaces_that_answer(names: Vec<String>) -> Vec<String> {
    if arp_ignore("all").is_none_or(|all| all > 0) {
        return Vec::new();
    }
    names
        .into_iter()
        .filter(|name| arp_ignore(name) == Some(0))
        .collect()
}

fn arp_ignore(name: &str) -> Option<u32> {
    read_number(&format!("/proc/sys/net/ipv4/conf/{name}/arp_ignore")).ok()
}

fn read_number(path: &str) -> io::Result<u32> {
    fs::read_to_string(path)?
        .trim()
        .parse()
        .map_err(io::Error::other)
}
