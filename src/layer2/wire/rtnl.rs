//! rtnetlink messages about links, addresses and neighbours (linux/rtnetlink.h, linux/if_link.h, linux/if_addr.h,
//! linux/neighbour.h), as much of them as decides who may answer and tells who else does.
//!
//! Read by hand, attribute by attribute, so that one that we do not know, or a newer kernel's longer one, can never
//! hide an interface: a message that is not whole is skipped alone.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use pnet_base::MacAddr;

/// A link, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its index: stays the same as long as it lives.
    pub index: u32,
    /// Its name: can change.
    pub name: String,
    /// Its address, if it is an Ethernet's.
    pub mac: Option<MacAddr>,
    /// `IFF_UP`: switched on.
    pub up: bool,
    /// `IFF_LOWER_UP`: it has carrier.
    pub carrier: bool,
    /// `IFF_BROADCAST`.
    pub broadcast: bool,
    /// `IFF_LOOPBACK`.
    pub loopback: bool,
    /// `IFF_NOARP`.
    pub no_arp: bool,
    /// The index of what it is a port of.
    pub master: Option<u32>,
    /// The kind of that: `bridge`, `bond`, `vrf` …
    pub port_kind: Option<String>,
}

/// An address of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    /// The interface's index.
    pub interface: u32,
    /// The address.
    pub ip: IpAddr,
    /// It may be used as a source: duplicate address detection is over and found nobody.
    pub usable: bool,
}

/// A neighbour: a station of which the kernel knows an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Neighbour {
    /// The address.
    pub ip: IpAddr,
    /// The station.
    pub mac: MacAddr,
}

/// What a netlink message says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// A link exists, or changed.
    Link(Link),
    /// A link is gone.
    LinkGone(u32),
    /// An address exists, or changed.
    Address(Address),
    /// An address is gone.
    AddressGone(Address),
    /// A neighbour exists, or changed.
    Neighbour(Neighbour),
    /// The end of a dump.
    Done,
    /// The kernel refused; the errno.
    Refused(i32),
}

/// A message, and what its header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// The request that it answers; 0: an event.
    pub sequence: u32,
    /// `NLM_F_DUMP_INTR`: things changed during the dump, it may be inconsistent.
    pub interrupted: bool,
    /// What it says.
    pub message: Message,
}

/// Which dump to ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dump {
    /// All links.
    Links,
    /// All addresses.
    Addresses,
    /// All neighbours, of IPv4 and IPv6.
    Neighbours,
}

const HEADER: usize = 16;
const LINK_HEADER: usize = 16;
const ADDRESS_HEADER: usize = 8;
const NEIGHBOUR_HEADER: usize = 12;
const ATTRIBUTE_HEADER: usize = 4;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
const RTM_GETADDR: u16 = 22;
const RTM_NEWNEIGH: u16 = 28;
const RTM_GETNEIGH: u16 = 30;

const NLM_F_REQUEST: u16 = 0x01;
const NLM_F_DUMP_INTR: u16 = 0x10;
const NLM_F_DUMP: u16 = 0x300;

const IFF_UP: u32 = 0x1;
const IFF_BROADCAST: u32 = 0x2;
const IFF_LOOPBACK: u32 = 0x8;
const IFF_NOARP: u32 = 0x80;
const IFF_LOWER_UP: u32 = 0x1_0000;

const ARPHRD_ETHER: u16 = 1;

const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_INFO_SLAVE_KIND: u16 = 4;

const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_FLAGS: u16 = 8;
const IFA_F_OPTIMISTIC: u32 = 0x04;
const IFA_F_DADFAILED: u32 = 0x08;
const IFA_F_TENTATIVE: u32 = 0x40;

const NDA_DST: u16 = 1;
const NDA_LLADDR: u16 = 2;

/// The upper bits of an attribute's type are flags (nested, byte order).
const ATTRIBUTE_TYPE: u16 = 0x3fff;

const AF_UNSPEC: u8 = 0;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

/// The request for a dump, numbered `sequence`.
#[must_use]
pub fn request(dump: Dump, sequence: u32) -> Vec<u8> {
    let (kind, body) = match dump {
        Dump::Links => (RTM_GETLINK, LINK_HEADER),
        Dump::Addresses => (RTM_GETADDR, ADDRESS_HEADER),
        Dump::Neighbours => (RTM_GETNEIGH, NEIGHBOUR_HEADER),
    };
    let length = HEADER + body;
    let mut octets = Vec::with_capacity(length);
    octets.extend(u32::try_from(length).unwrap_or(u32::MAX).to_ne_bytes());
    octets.extend(kind.to_ne_bytes());
    octets.extend((NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes());
    octets.extend(sequence.to_ne_bytes());
    octets.extend(0_u32.to_ne_bytes());
    // Family unspecified, everything else zero: all of them.
    octets.resize(length, 0);
    octets
}

/// All that one datagram says, in order; what we do not know is left out.
#[must_use]
pub fn decode(mut datagram: &[u8]) -> Vec<Received> {
    let mut all = Vec::new();
    while let Some(length) = u32_at(datagram, 0).and_then(|length| usize::try_from(length).ok()) {
        let Some(message) = datagram.get(..length).filter(|_| length >= HEADER) else {
            break;
        };
        if let Some(received) = decode_one(message) {
            all.push(received);
        }
        datagram = datagram.get(aligned(length)..).unwrap_or_default();
    }
    all
}

fn decode_one(octets: &[u8]) -> Option<Received> {
    let kind = u16_at(octets, 4)?;
    let flags = u16_at(octets, 6)?;
    let sequence = u32_at(octets, 8)?;
    let body = octets.get(HEADER..)?;
    let message = match kind {
        RTM_NEWLINK => Message::Link(link(body)?),
        // A bridge tells with a RTM_DELLINK of its own family that a port left it: the link itself is not gone.
        RTM_DELLINK if body.first() == Some(&AF_UNSPEC) => Message::LinkGone(u32_at(body, 4)?),
        RTM_NEWADDR => Message::Address(address(body)?),
        RTM_DELADDR => Message::AddressGone(address(body)?),
        RTM_NEWNEIGH => Message::Neighbour(neighbour(body)?),
        NLMSG_DONE => Message::Done,
        NLMSG_ERROR => match i32::from_ne_bytes(octets_at(body, 0)?) {
            0 => return None,
            errno => Message::Refused(errno.saturating_neg()),
        },
        _ => return None,
    };
    Some(Received {
        sequence,
        interrupted: flags & NLM_F_DUMP_INTR != 0,
        message,
    })
}

fn link(body: &[u8]) -> Option<Link> {
    if *body.first()? != AF_UNSPEC {
        return None;
    }
    let ethernet = u16_at(body, 2)? == ARPHRD_ETHER;
    let flags = u32_at(body, 8)?;
    let mut link = Link {
        index: u32_at(body, 4)?,
        name: String::new(),
        mac: None,
        up: flags & IFF_UP != 0,
        carrier: flags & IFF_LOWER_UP != 0,
        broadcast: flags & IFF_BROADCAST != 0,
        loopback: flags & IFF_LOOPBACK != 0,
        no_arp: flags & IFF_NOARP != 0,
        master: None,
        port_kind: None,
    };
    for (kind, value) in attributes(body.get(LINK_HEADER..)?) {
        match kind {
            IFLA_IFNAME => link.name = text(value),
            IFLA_ADDRESS if ethernet => {
                link.mac = mac(value);
            }
            IFLA_MASTER => link.master = u32_at(value, 0).filter(|master| *master != 0),
            IFLA_LINKINFO => {
                link.port_kind = attributes(value)
                    .find(|(kind, _)| *kind == IFLA_INFO_SLAVE_KIND)
                    .map(|(_, value)| text(value));
            }
            _ => {}
        }
    }
    // Wireless drivers send messages with nothing but their own attribute: they say nothing about the link.
    (!link.name.is_empty()).then_some(link)
}

fn address(body: &[u8]) -> Option<Address> {
    let family = *body.first()?;
    let mut flags = u32::from(*body.get(2)?);
    let interface = u32_at(body, 4)?;
    let (mut own, mut given) = (None, None);
    for (kind, value) in attributes(body.get(ADDRESS_HEADER..)?) {
        match kind {
            // On a point-to-point link IFA_ADDRESS is the other end, IFA_LOCAL ours.
            IFA_LOCAL => own = ip(family, value),
            IFA_ADDRESS => given = ip(family, value),
            // The 32 bits of which the header has 8.
            IFA_FLAGS => flags = u32_at(value, 0)?,
            _ => {}
        }
    }
    Some(Address {
        interface,
        ip: own.or(given)?,
        // RFC 4429: an optimistic address may be used at once.
        usable: flags & IFA_F_DADFAILED == 0
            && (flags & IFA_F_TENTATIVE == 0 || flags & IFA_F_OPTIMISTIC != 0),
    })
}

/// What has no station's address is not resolved, or not yet.
fn neighbour(body: &[u8]) -> Option<Neighbour> {
    let family = *body.first()?;
    let (mut of, mut station) = (None, None);
    for (kind, value) in attributes(body.get(NEIGHBOUR_HEADER..)?) {
        match kind {
            NDA_DST => of = ip(family, value),
            NDA_LLADDR => station = mac(value),
            _ => {}
        }
    }
    Some(Neighbour {
        ip: of?,
        mac: station?,
    })
}

fn mac(value: &[u8]) -> Option<MacAddr> {
    let [a, b, c, d, e, f] = <[u8; 6]>::try_from(value).ok()?;
    Some(MacAddr(a, b, c, d, e, f))
}

fn ip(family: u8, value: &[u8]) -> Option<IpAddr> {
    match family {
        AF_INET => Some(Ipv4Addr::from(octets_at::<4>(value, 0)?).into()),
        AF_INET6 => Some(Ipv6Addr::from(octets_at::<16>(value, 0)?).into()),
        _ => None,
    }
}

/// The attributes of a message, in order, up to the first that is not whole.
fn attributes(mut octets: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(octets, 0)?);
        let kind = u16_at(octets, 2)? & ATTRIBUTE_TYPE;
        let value = octets.get(ATTRIBUTE_HEADER..length)?;
        octets = octets.get(aligned(length)..).unwrap_or_default();
        Some((kind, value))
    })
}

fn aligned(length: usize) -> usize {
    length.saturating_add(3) & !3
}

fn octets_at<const N: usize>(octets: &[u8], at: usize) -> Option<[u8; N]> {
    octets.get(at..)?.first_chunk().copied()
}

fn u16_at(octets: &[u8], at: usize) -> Option<u16> {
    octets_at(octets, at).map(u16::from_ne_bytes)
}

fn u32_at(octets: &[u8], at: usize) -> Option<u32> {
    octets_at(octets, at).map(u32::from_ne_bytes)
}

/// A text that ends at its first zero, if it has one.
fn text(value: &[u8]) -> String {
    let end = value
        .iter()
        .position(|octet| *octet == 0)
        .unwrap_or(value.len());
    String::from_utf8_lossy(value.get(..end).unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests;
