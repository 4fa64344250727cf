//! Which interfaces get a responder, and what on this host spoils the answers.
//!
//! Fed by rtnetlink, at once. A responder exists on each interface that is up, is an Ethernet, has ARP (no `NOARP`) and
//! is no port of a bridge or bond; ARP where `BROADCAST` is set, NDP where a link-local address is usable. Ports of a
//! VRF keep their traffic and count as interfaces of their own.
//!
//! ```text
//! link or address changed  --> Open, Change or Close of its ports, and PortUp where neighbours must relearn
//! Opened(false)            --> tried again after RETRY
//! ResyncStarted … Done     --> what the dump did not mention is gone
//! announced & on kube-ipvs0 --> ReadArpIgnore now, after changes and every RECHECK --> StrictArpOff / StrictArpMended
//! announced & on the host   --> AddressOnHost / AddressOffHost
//! ```
//!
//! `Upstream:` 0.12 polls every 10 s, one bad interface aborts the scan, and VRF members are skipped.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use pnet_base::MacAddr;

use super::wire::is_station;
use super::wire::rtnl::{Address, Link, Message};
use super::{Kind, Port, Report, responder};
use crate::journal::{Level, Record};
use crate::machine::Machine;

/// How long after a responder could not be opened it is tried again.
pub const RETRY: Duration = Duration::from_secs(2);

/// How often `arp_ignore` is read while it matters: no event tells of a sysctl.
pub const RECHECK: Duration = Duration::from_secs(30);

/// How soon it is read after something changed: changes come in flocks.
const SETTLE: Duration = Duration::from_millis(200);

/// Where kube-proxy in IPVS mode puts the addresses of Services.
const KUBE_IPVS: &str = "kube-ipvs0";

/// What is decided once, at start.
#[derive(Debug, Clone, Default)]
pub struct Params {
    /// The only interfaces to answer on, by name; `None`: all that are suitable.
    pub interfaces: Option<Vec<String>>,
    /// Addresses on the loopback were put there by ourselves: no reason to warn.
    pub loopback_is_ours: bool,
}

/// What can happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A dump of everything begins.
    ResyncStarted,
    /// It is complete.
    ResyncDone,
    /// The kernel told of a link or an address, in a dump or as it happened.
    Netlink(Message),
    /// Whether the responder that [`Output::Open`] asked for is there.
    Opened {
        /// Which.
        port: Port,
        /// It works.
        ok: bool,
    },
    /// Something of the responder broke: close it and open it again after [`RETRY`].
    Broken(Port),
    /// The address is announced from now on.
    Announce(IpAddr),
    /// It is not any more.
    Withdraw(IpAddr),
    /// From now on only interfaces with these names, as far as [`Params`] allow them too; empty: all of these.
    Only(Vec<String>),
    /// What [`Output::ReadArpIgnore`] found: the interfaces of its list on which the kernel answers for any local
    /// address (the greater of `all` and the interface's own `arp_ignore` is 0).
    ArpIgnore(Vec<String>),
    /// Time passed.
    Tick,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Start a responder.
    Open(Responder),
    /// Its interface has another address or name now.
    Change(Responder),
    /// Stop it.
    Close(Responder),
    /// Its neighbours must learn anew: send a burst of all announced addresses there.
    PortUp(Port),
    /// Read `net.ipv4.conf.{all,INTERFACE}.arp_ignore` of these interfaces and come back with [`Input::ArpIgnore`].
    ReadArpIgnore(Vec<String>),
    /// For people.
    Report(Report),
}

/// A responder, as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Responder {
    /// Which one.
    pub port: Port,
    /// The interface's name.
    pub name: String,
    /// What answers are made of.
    pub interface: responder::Interface,
}

#[derive(Debug)]
struct Known {
    link: Link,
    /// Seen by the dump that is running.
    seen: bool,
    /// Usable IPv6 link-local addresses.
    link_local: BTreeSet<Ipv6Addr>,
}

#[derive(Debug, Clone, Copy)]
struct Carried {
    /// Seen by the dump that is running.
    seen: bool,
    usable: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Told to open, not answered yet.
    Opening,
    Open,
    /// Could not be opened: again at this time.
    Failed(Instant),
}

#[derive(Debug)]
struct Wanted {
    responder: Responder,
    carrier: bool,
    state: State,
}

/// The machine.
#[derive(Debug)]
pub struct Interfaces {
    params: Params,
    /// The only names besides; empty: all.
    only: Vec<String>,
    links: BTreeMap<u32, Known>,
    /// Every address of the host, by interface.
    addresses: BTreeMap<(IpAddr, u32), Carried>,
    announced: HashSet<IpAddr>,
    ports: BTreeMap<Port, Wanted>,
    output: VecDeque<Output>,
    /// Said to be on the host, with the interface's name as it was said.
    on_host: BTreeMap<(IpAddr, u32), String>,
    /// Announced addresses on `kube-ipvs0`.
    on_ipvs: BTreeSet<IpAddr>,
    strict_arp_off: bool,
    /// The missing ones of those that were asked for by name were named.
    named_once: bool,
    /// When to read `arp_ignore`.
    read_at: Option<Instant>,
}

impl Interfaces {
    /// Knows nothing yet.
    #[must_use]
    pub fn new(params: Params) -> Self {
        Self {
            params,
            only: Vec::new(),
            links: BTreeMap::new(),
            addresses: BTreeMap::new(),
            announced: HashSet::new(),
            ports: BTreeMap::new(),
            output: VecDeque::new(),
            on_host: BTreeMap::new(),
            on_ipvs: BTreeSet::new(),
            strict_arp_off: false,
            named_once: false,
            read_at: None,
        }
    }

    fn netlink(&mut self, now: Instant, message: Message) {
        match message {
            Message::Link(link) => self.link(now, link),
            Message::LinkGone(index) => self.link_gone(now, index),
            Message::Address(address) => self.address(now, address),
            Message::AddressGone(address) => self.address_gone(now, address),
            // The driver's own: how a dump went.
            Message::Neighbour(_) | Message::Done | Message::Refused(_) => {}
        }
    }

    fn link(&mut self, now: Instant, link: Link) {
        let index = link.index;
        let renamed = match self.links.get_mut(&index) {
            Some(known) => {
                known.seen = true;
                let renamed = known.link.name != link.name;
                known.link = link;
                renamed
            }
            None => {
                let link_local = self
                    .addresses
                    .iter()
                    .filter(|((_, interface), carried)| *interface == index && carried.usable)
                    .filter_map(|((ip, _), _)| link_local(*ip))
                    .collect();
                self.links.insert(
                    index,
                    Known {
                        link,
                        seen: true,
                        link_local,
                    },
                );
                true
            }
        };
        self.evaluate(now, index);
        if renamed {
            self.warn_about_interface(now, index);
        }
    }

    fn link_gone(&mut self, now: Instant, index: u32) {
        self.links.remove(&index);
        self.addresses
            .retain(|(_, interface), _| *interface != index);
        self.evaluate(now, index);
        self.warn_about_interface(now, index);
    }

    fn address(&mut self, now: Instant, address: Address) {
        let Address {
            interface,
            ip,
            usable,
        } = address;
        self.addresses
            .insert((ip, interface), Carried { seen: true, usable });
        if let Some(ip) = link_local(ip)
            && let Some(known) = self.links.get_mut(&interface)
        {
            let changed = if usable {
                known.link_local.insert(ip)
            } else {
                known.link_local.remove(&ip)
            };
            if changed {
                self.evaluate(now, interface);
            }
        }
        self.warn_about(now, ip, interface);
    }

    fn address_gone(&mut self, now: Instant, address: Address) {
        let Address { interface, ip, .. } = address;
        self.addresses.remove(&(ip, interface));
        if let Some(ip) = link_local(ip)
            && let Some(known) = self.links.get_mut(&interface)
            && known.link_local.remove(&ip)
        {
            self.evaluate(now, interface);
        }
        self.warn_about(now, ip, interface);
    }

    /// Says which of the interfaces that were asked for by name are not there; they may come later.
    fn missing(&mut self) {
        if std::mem::replace(&mut self.named_once, true) {
            return;
        }
        let named = self.params.interfaces.iter().flatten();
        for name in named.chain(&self.only) {
            if !self.links.values().any(|known| known.link.name == *name) {
                let msg = format!(
                    "there is no interface {name} yet; it will be used as soon as it appears"
                );
                let record = Record::event("interfaceMissing", msg)
                    .at(Level::Warn)
                    .with("interface", name);
                self.output.push_back(Output::Report(Report::Log(record)));
            }
        }
    }

    fn only(&mut self, now: Instant, names: Vec<String>) {
        if self.only == names {
            return;
        }
        self.only = names;
        let indexes: Vec<u32> = self.links.keys().copied().collect();
        for index in indexes {
            self.evaluate(now, index);
        }
        // Before the first dump nobody knows which are there.
        if std::mem::take(&mut self.named_once) {
            self.missing();
        }
    }

    fn resync_done(&mut self, now: Instant) {
        self.missing();
        let gone: Vec<u32> = self
            .links
            .iter()
            .filter(|(_, known)| !known.seen)
            .map(|(index, _)| *index)
            .collect();
        for index in gone {
            self.link_gone(now, index);
        }
        let gone: Vec<(IpAddr, u32)> = self
            .addresses
            .iter()
            .filter(|(_, carried)| !carried.seen)
            .map(|(key, _)| *key)
            .collect();
        for (ip, interface) in gone {
            self.address_gone(
                now,
                Address {
                    interface,
                    ip,
                    usable: false,
                },
            );
        }
    }

    /// What the responder of `port` must be, and whether its cable is in; `None`: there must be none.
    fn desired(&self, port: Port) -> Option<(Responder, bool)> {
        let known = self.links.get(&port.interface)?;
        let link = &known.link;
        let mac: MacAddr = link.mac.filter(|mac| is_station(*mac))?;
        // A port of a bridge or bond hands its frames to its master, which answers. A VRF only routes apart.
        let is_port = link.master.is_some() && link.port_kind.as_deref() != Some("vrf");
        let named = self
            .params
            .interfaces
            .as_ref()
            .is_none_or(|names| names.contains(&link.name))
            && (self.only.is_empty() || self.only.contains(&link.name));
        if !link.up || link.loopback || link.no_arp || is_port || !named {
            return None;
        }
        let serves = match port.kind {
            Kind::Arp => link.broadcast,
            Kind::Ndp => !known.link_local.is_empty(),
        };
        serves.then(|| {
            let responder = Responder {
                port,
                name: link.name.clone(),
                interface: responder::Interface { mac },
            };
            (responder, link.carrier)
        })
    }

    fn evaluate(&mut self, now: Instant, interface: u32) {
        for kind in [Kind::Arp, Kind::Ndp] {
            let port = Port { interface, kind };
            let desired = self.desired(port);
            match (self.ports.get_mut(&port), desired) {
                (None, None) => {}
                (None, Some((responder, carrier))) => {
                    self.output.push_back(Output::Open(responder.clone()));
                    self.ports.insert(
                        port,
                        Wanted {
                            responder,
                            carrier,
                            state: State::Opening,
                        },
                    );
                    self.settle(now);
                }
                (Some(wanted), None) => {
                    if !matches!(wanted.state, State::Failed(_)) {
                        self.output
                            .push_back(Output::Close(wanted.responder.clone()));
                    }
                    self.ports.remove(&port);
                    self.settle(now);
                }
                (Some(wanted), Some((responder, carrier))) => {
                    let plugged = carrier && !wanted.carrier;
                    let moved = wanted.responder.interface.mac != responder.interface.mac;
                    let changed = wanted.responder != responder;
                    wanted.carrier = carrier;
                    if changed {
                        wanted.responder = responder;
                    }
                    if wanted.state == State::Open {
                        if changed {
                            self.output
                                .push_back(Output::Change(wanted.responder.clone()));
                        }
                        if plugged || moved {
                            self.output.push_back(Output::PortUp(port));
                        }
                    }
                }
            }
        }
    }

    fn opened(&mut self, now: Instant, port: Port, ok: bool) {
        let Some(wanted) = self.ports.get_mut(&port) else {
            return;
        };
        if ok {
            wanted.state = State::Open;
            self.output.push_back(Output::PortUp(port));
        } else {
            wanted.state = State::Failed(now + RETRY);
        }
    }

    fn broken(&mut self, now: Instant, port: Port) {
        if let Some(wanted) = self.ports.get_mut(&port)
            && wanted.state == State::Open
        {
            wanted.state = State::Failed(now + RETRY);
            self.output
                .push_back(Output::Close(wanted.responder.clone()));
        }
    }

    fn tick(&mut self, now: Instant) {
        for wanted in self.ports.values_mut() {
            if matches!(wanted.state, State::Failed(again) if again <= now) {
                wanted.state = State::Opening;
                self.output
                    .push_back(Output::Open(wanted.responder.clone()));
            }
        }
        if self.read_at.is_some_and(|at| at <= now) {
            self.read_at = Some(now + RECHECK);
            let names: BTreeSet<&str> = self
                .ports
                .values()
                .filter(|wanted| wanted.responder.port.kind == Kind::Arp)
                .map(|wanted| wanted.responder.name.as_str())
                .collect();
            self.output.push_back(Output::ReadArpIgnore(
                names.into_iter().map(str::to_owned).collect(),
            ));
        }
    }

    /// Something that decides about strict ARP changed.
    fn settle(&mut self, now: Instant) {
        if self.on_ipvs.is_empty() {
            self.read_at = None;
            self.strict_arp(Vec::new());
        } else {
            let soon = now + SETTLE;
            self.read_at = Some(self.read_at.map_or(soon, |at| at.min(soon)));
        }
    }

    fn strict_arp(&mut self, open: Vec<String>) {
        let off = !open.is_empty() && !self.on_ipvs.is_empty();
        if off && !self.strict_arp_off {
            self.output.push_back(Output::Report(Report::StrictArpOff {
                interfaces: open,
                addresses: self.on_ipvs.iter().copied().collect(),
            }));
        } else if !off && self.strict_arp_off {
            self.output
                .push_back(Output::Report(Report::StrictArpMended));
        }
        self.strict_arp_off = off;
    }

    fn announcement(&mut self, now: Instant, ip: IpAddr) {
        let carriers: Vec<u32> = self
            .addresses
            .range((ip, 0)..=(ip, u32::MAX))
            .map(|((_, interface), _)| *interface)
            .collect();
        for interface in carriers {
            self.warn_about(now, ip, interface);
        }
    }

    /// Looks again at all addresses of an interface that is new, renamed or gone.
    fn warn_about_interface(&mut self, now: Instant, index: u32) {
        let mut all: BTreeSet<IpAddr> = self
            .on_host
            .keys()
            .chain(self.addresses.keys())
            .filter(|(_, interface)| *interface == index)
            .map(|(ip, _)| *ip)
            .collect();
        all.extend(&self.on_ipvs);
        for ip in all {
            self.warn_about(now, ip, index);
        }
    }

    /// Compares what was said about an announced address on an interface with what is.
    fn warn_about(&mut self, now: Instant, ip: IpAddr, interface: u32) {
        // IPv6 is not concerned: the kernel answers solicitations for addresses of the same interface alone.
        let on_ipvs = self.announced.contains(&ip) && ip.is_ipv4() && self.carried_by_ipvs(ip);
        let changed = if on_ipvs {
            self.on_ipvs.insert(ip)
        } else {
            self.on_ipvs.remove(&ip)
        };
        if changed {
            self.settle(now);
        }

        let carried = self.announced.contains(&ip) && self.addresses.contains_key(&(ip, interface));
        let name = self
            .links
            .get(&interface)
            .map(|known| &known.link)
            .filter(|link| carried && link.name != KUBE_IPVS)
            .filter(|link| !(link.loopback && self.params.loopback_is_ours))
            .map(|link| link.name.clone());
        match (self.on_host.get(&(ip, interface)), name) {
            (None, Some(name)) => {
                self.on_host.insert((ip, interface), name.clone());
                self.output.push_back(Output::Report(Report::AddressOnHost {
                    ip,
                    interface: name,
                }));
            }
            (Some(name), None) => {
                let report = Report::AddressOffHost {
                    ip,
                    interface: name.clone(),
                };
                self.output.push_back(Output::Report(report));
                self.on_host.remove(&(ip, interface));
            }
            (None, None) | (Some(_), Some(_)) => {}
        }
    }

    fn carried_by_ipvs(&self, ip: IpAddr) -> bool {
        self.addresses
            .range((ip, 0)..=(ip, u32::MAX))
            .any(|((_, interface), _)| {
                self.links
                    .get(interface)
                    .is_some_and(|known| known.link.name == KUBE_IPVS)
            })
    }
}

fn link_local(ip: IpAddr) -> Option<Ipv6Addr> {
    match ip {
        IpAddr::V6(ip) if ip.is_unicast_link_local() => Some(ip),
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    }
}

impl Machine for Interfaces {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::ResyncStarted => {
                self.links.values_mut().for_each(|known| known.seen = false);
                self.addresses
                    .values_mut()
                    .for_each(|carried| carried.seen = false);
            }
            Input::ResyncDone => self.resync_done(now),
            Input::Netlink(message) => self.netlink(now, message),
            Input::Opened { port, ok } => self.opened(now, port, ok),
            Input::Broken(port) => self.broken(now, port),
            Input::Announce(ip) => {
                if self.announced.insert(ip) {
                    self.announcement(now, ip);
                }
            }
            Input::Withdraw(ip) => {
                if self.announced.remove(&ip) {
                    self.announcement(now, ip);
                }
            }
            Input::Only(names) => self.only(now, names),
            Input::ArpIgnore(open) => self.strict_arp(open),
            Input::Tick => self.tick(now),
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.output.pop_front()
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.ports
            .values()
            .filter_map(|wanted| match wanted.state {
                State::Failed(again) => Some(again),
                State::Opening | State::Open => None,
            })
            .chain(self.read_at)
            .min()
    }
}

#[cfg(test)]
mod tests;
