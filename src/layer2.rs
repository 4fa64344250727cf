//! Layer 2: answering ARP requests and neighbour solicitations for announced addresses.
//!
//! What it is: the announced set, who may answer on which interface, the answers themselves, and the gratuitous
//! packets that tell the LAN where an address lives now. What it is not: the choice of addresses (`speaker`).
//!
//! | module | knows |
//! | --- | --- |
//! | [`wire`] | bytes: ARP, neighbour discovery, rtnetlink |
//! | [`announced`] | which addresses are ours, and their counters |
//! | [`responder`] | one frame in, one answer or the reason for silence out; no state |
//! | [`gratuitous`] | when gratuitous packets leave: bursts, pace (machine) |
//! | [`interfaces`] | which interfaces get a responder, and what is wrong on this host (machine) |
//! | [`conflict`] | who else claims an announced address (machine) |
//! | [`groups`] | which solicited-node groups are joined where |
//! | `driver` (feature `io`) | sockets, netlink, threads |
//!
//! In: [`Command`]. Out: frames on the wire, [`Report`] and [`Counters`].
//! RFC 826 (ARP), RFC 5227 (address conflicts), RFC 4861 and RFC 4862 (neighbour discovery, duplicate address
//! detection); `Upstream:` metallb 0.12.1, layer 2 mode.

use std::net::IpAddr;

pub use pnet_base::MacAddr;

use crate::journal::{Level, Record, listed};

pub mod wire;

pub mod announced;

pub mod responder;

pub mod gratuitous;

pub mod groups;

pub mod conflict;

pub mod interfaces;

#[cfg(feature = "io")]
pub mod driver;

/// What the speaker asks of layer 2. All are idempotent: an address is announced or it is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Answer for this address and send its gratuitous burst (once, when it was not announced before).
    Announce(IpAddr),
    /// Be silent about this address from now on; groups that nobody needs are left.
    Withdraw(IpAddr),
    /// The same, because another station claims it; say when it does so no more.
    Yield(IpAddr),
    /// Others announce all addresses from now on, and this node withdraws them in a moment: requests are answered until then, but
    /// what the others announce is no conflict, and asks for nothing.
    HandOver,
}

/// The two ways of answering.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// IPv4: ARP requests.
    Arp,
    /// IPv6: neighbour solicitations.
    Ndp,
}

impl Kind {
    /// Whether this kind of responder serves `ip`.
    #[must_use]
    pub fn serves(self, ip: IpAddr) -> bool {
        match self {
            Self::Arp => ip.is_ipv4(),
            Self::Ndp => ip.is_ipv6(),
        }
    }

    /// `ARP` or `NDP`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Arp => "ARP",
            Self::Ndp => "NDP",
        }
    }
}

/// A responder: one kind on one interface (by index: names change, indexes do not).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Port {
    /// The interface's index.
    pub interface: u32,
    /// The kind of responder.
    pub kind: Kind,
}

/// What was counted for one address since the program started (`metallb_layer2_*`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Requests and solicitations for it that deserved an answer.
    pub requests_received: u64,
    /// Answers that were handed to the kernel.
    pub responses_sent: u64,
    /// Gratuitous packets that were handed to the kernel.
    pub gratuitous_sent: u64,
    /// Times that another station was found to have it as well.
    pub conflicts: u64,
}

/// What layer 2 has to say to people. Each is said once per cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// A line for the log.
    Log(Record),
    /// kube-proxy runs in IPVS mode without strict ARP: this host's kernel answers ARP for announced addresses, whether
    /// this node is the announcer or not, and so does every other node's.
    StrictArpOff {
        /// The interfaces on which the kernel answers.
        interfaces: Vec<String>,
        /// Announced addresses that `kube-ipvs0` carries, the first few.
        addresses: Vec<IpAddr>,
    },
    /// The cause of [`Report::StrictArpOff`] is gone.
    StrictArpMended,
    /// An announced address is configured on an interface of this host.
    AddressOnHost {
        /// The address.
        ip: IpAddr,
        /// The interface that carries it.
        interface: String,
    },
    /// The cause of [`Report::AddressOnHost`] is gone.
    AddressOffHost {
        /// The address.
        ip: IpAddr,
        /// The interface that carried it.
        interface: String,
    },
    /// Another station claims an announced address, and keeps claiming it. Who that is and what follows is the speaker's to say.
    Conflict {
        /// The address.
        ip: IpAddr,
        /// The station.
        mac: MacAddr,
        /// Where it was heard.
        interface: String,
        /// Addresses that this host knows the station by, IPv4 and IPv6.
        known_as: Vec<IpAddr>,
    },
    /// The cause of [`Report::Conflict`] is gone.
    ConflictOver {
        /// The address.
        ip: IpAddr,
        /// The station.
        mac: MacAddr,
    },
    /// The Ethernet addresses from which this node announces: others may want to know whose claims they hear.
    Stations(Vec<MacAddr>),
}

impl Report {
    /// The sentence for people: what is wrong, where, and what to do.
    #[must_use]
    pub fn message(&self) -> String {
        match self {
            Self::Log(record) => record.msg.clone(),
            Self::StrictArpOff {
                interfaces,
                addresses,
            } => format!(
                "kube-proxy runs in IPVS mode without strict ARP: every node's kernel answers ARP for {} (carried by \
                 kube-ipvs0) on {}, so clients reach the wrong node; set `strictARP: true` in kube-proxy's \
                 configuration (mode `ipvs`) and restart kube-proxy, or set net.ipv4.conf.all.arp_ignore=1 and \
                 net.ipv4.conf.all.arp_announce=2 on every node",
                listed(addresses.iter()),
                listed(interfaces.iter()),
            ),
            Self::StrictArpMended => {
                "strict ARP: the kernel no longer answers for the addresses of kube-ipvs0"
                    .to_owned()
            }
            Self::AddressOnHost { ip, interface } => format!(
                "announced address {ip} is configured on interface {interface} of this host: its kernel answers for it \
                 even when another node announces it; remove it (`ip address delete {ip} dev {interface}`) or take it \
                 out of the address pools",
            ),
            Self::AddressOffHost { ip, interface } => {
                format!("address {ip} is no longer both announced and configured on {interface}")
            }
            Self::Conflict {
                ip, mac, interface, ..
            } => format!(
                "announced address {ip} is claimed by {mac} on interface {interface} as well"
            ),
            Self::ConflictOver { ip, mac } => {
                format!("announced address {ip} is no longer claimed by {mac}")
            }
            Self::Stations(stations) => {
                format!("announcing from {}", listed(stations.iter()))
            }
        }
    }

    /// The reason of the Warning Event that belongs to it; `None`: no Event.
    #[must_use]
    pub fn event_reason(&self) -> Option<&'static str> {
        match self {
            Self::StrictArpOff { .. } => Some("StrictARPOff"),
            Self::AddressOnHost { .. } => Some("AddressOnHost"),
            // The speaker has the words for a conflict: they depend on who the other is.
            Self::Log(_)
            | Self::StrictArpMended
            | Self::AddressOffHost { .. }
            | Self::Conflict { .. }
            | Self::ConflictOver { .. }
            | Self::Stations(_) => None,
        }
    }

    /// The line for the log.
    #[must_use]
    pub fn record(&self) -> Record {
        match self {
            Self::Log(record) => record.clone(),
            Self::StrictArpOff {
                interfaces,
                addresses,
            } => Record::event("strictARPOff", self.message())
                .at(Level::Warn)
                .with("ips", listed(addresses.iter()))
                .with("interface", listed(interfaces.iter())),
            Self::StrictArpMended => Record::event("strictARPMended", self.message()),
            Self::AddressOnHost { ip, interface } => Record::event("addressOnHost", self.message())
                .at(Level::Warn)
                .with("ip", ip)
                .with("interface", interface),
            Self::AddressOffHost { ip, interface } => {
                Record::event("addressOffHost", self.message())
                    .with("ip", ip)
                    .with("interface", interface)
            }
            Self::Conflict {
                ip, mac, interface, ..
            } => Record::event("addressClaimed", self.message())
                .at(Level::Debug)
                .with("ip", ip)
                .with("mac", mac)
                .with("interface", interface),
            Self::ConflictOver { ip, mac } => Record::event("addressClaimedNoMore", self.message())
                .at(Level::Debug)
                .with("ip", ip)
                .with("mac", mac),
            Self::Stations(_) => Record::event("stations", self.message()).at(Level::Debug),
        }
    }
}

#[cfg(test)]
mod tests;
