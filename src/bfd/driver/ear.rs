//! Sockets that hear: the three ports of BFD for both families, raw sockets where another program has the port, and a packet
//! socket for echoes that come back from the peer's forwarding plane (the kernel drops those: they bear our own address).

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, RawFd};

use libc::{BPF_ABS, BPF_B, BPF_H, BPF_IND, BPF_JEQ, BPF_JMP, BPF_JSET, BPF_K, BPF_LD, BPF_LDX};
use libc::{BPF_MSH, BPF_RET, BPF_W};
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, SockaddrStorage, cmsg_space, recvmsg, setsockopt, sockopt,
};
use socket2::{Domain, Protocol, SockAddr, SockFilter, Socket, Type};

use super::sys;
use crate::bfd::wire::{CONTROL_PORT, ECHO_PORT, MULTIHOP_PORT};
use crate::journal::{Level, Record};

/// Octets that one receive takes: more than a control packet (255), an echo of others' included.
const BUFFER: usize = 2048;

/// Octets that may wait in the kernel: at some 800 for each small packet, about a thousand, so that nothing is lost while this
/// thread is late.
const WAITING: usize = 1 << 20;

/// An address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Family {
    V4,
    V6,
}

impl Family {
    pub(super) const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }
}

/// What is heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Port {
    /// Control packets over one hop.
    Control,
    /// Control packets over several.
    Multihop,
    /// Echoes sent to us.
    Echo,
    /// Echoes that the peer's forwarding plane sent back.
    Forwarded,
}

impl Port {
    const fn number(self) -> u16 {
        match self {
            Self::Control => CONTROL_PORT,
            Self::Multihop => MULTIHOP_PORT,
            Self::Echo | Self::Forwarded => ECHO_PORT,
        }
    }
}

/// How it is heard, and so what a received buffer begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The payload.
    Udp,
    /// An IPv4 header.
    Ip,
    /// A UDP header.
    UdpHeader,
}

/// A socket that hears.
#[derive(Debug)]
pub(super) struct Ear {
    socket: Socket,
    kind: Kind,
    port: Port,
}

/// A datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Datagram<'a> {
    pub(super) payload: &'a [u8],
    pub(super) source: SocketAddr,
    pub(super) destination: Option<IpAddr>,
    pub(super) interface: u32,
    pub(super) ttl: u8,
}

/// Room for one datagram and what the kernel says about it.
pub(super) struct Buffer {
    octets: Box<[u8; BUFFER]>,
    said: Vec<u8>,
}

impl Buffer {
    pub(super) fn new() -> Self {
        let said = cmsg_space::<libc::in6_pktinfo>() + 2 * cmsg_space::<libc::c_int>();
        Self {
            octets: Box::new([0; BUFFER]),
            said: vec![0; said],
        }
    }
}

/// Why a port cannot be heard.
#[derive(Debug, thiserror::Error)]
enum OpenError {
    /// Another program has it, and reading past it failed.
    #[error("another program has the port, and a raw socket is refused: {0}")]
    Taken(io::Error),
    /// Anything else.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Ear {
    fn open(family: Family, port: Port) -> Result<Self, OpenError> {
        let (socket, kind) = match port {
            Port::Forwarded => (packet_socket()?, Kind::Ip),
            Port::Control | Port::Multihop | Port::Echo => match udp_socket(family, port) {
                Ok(socket) => (socket, Kind::Udp),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                    let socket = raw_socket(family, port).map_err(OpenError::Taken)?;
                    let kind = match family {
                        Family::V4 => Kind::Ip,
                        Family::V6 => Kind::UdpHeader,
                    };
                    (socket, kind)
                }
                Err(error) => return Err(error.into()),
            },
        };
        // As much as the administrator lets us have.
        let _ = socket.set_recv_buffer_size(WAITING);
        Ok(Self { socket, kind, port })
    }

    /// Whether it reads past another program that has the port.
    fn is_past_another(&self) -> bool {
        self.port != Port::Forwarded && self.kind != Kind::Udp
    }

    /// The next datagram; `WouldBlock` if there is none. `Ok(None)`: one that cannot be read.
    pub(super) fn receive<'a>(&self, buffer: &'a mut Buffer) -> io::Result<Option<Datagram<'a>>> {
        let mut parts = [IoSliceMut::new(buffer.octets.as_mut_slice())];
        let message = recvmsg::<SockaddrStorage>(
            self.socket.as_raw_fd(),
            &mut parts,
            Some(&mut buffer.said),
            MsgFlags::MSG_DONTWAIT,
        )?;
        let whole = !message.flags.contains(MsgFlags::MSG_TRUNC);
        let length = message.bytes;
        let sender = message.address;
        let (mut ttl, mut destination, mut interface) = (None, None, None);
        for said in message.cmsgs()? {
            match said {
                ControlMessageOwned::Ipv4Ttl(value) | ControlMessageOwned::Ipv6HopLimit(value) => {
                    ttl = u8::try_from(value).ok();
                }
                ControlMessageOwned::Ipv4PacketInfo(info) => {
                    destination = Some(IpAddr::V4(Ipv4Addr::from(
                        info.ipi_addr.s_addr.to_ne_bytes(),
                    )));
                    interface = u32::try_from(info.ipi_ifindex).ok();
                }
                ControlMessageOwned::Ipv6PacketInfo(info) => {
                    destination = Some(IpAddr::V6(Ipv6Addr::from(info.ipi6_addr.s6_addr)));
                    interface = Some(info.ipi6_ifindex);
                }
                _ => {}
            }
        }
        let received = buffer.octets.get(..length).unwrap_or_default();
        if !whole {
            return Ok(None);
        }
        let address = sender.as_ref().and_then(socket_address);
        Ok(match self.kind {
            Kind::Udp => datagram(received, address, destination, interface, ttl),
            Kind::Ip => Packet::decode(received).map(|packet| Datagram {
                payload: packet.payload,
                source: SocketAddr::new(packet.source.into(), packet.source_port),
                destination: Some(packet.destination.into()),
                interface: interface.unwrap_or_default(),
                ttl: packet.ttl,
            }),
            Kind::UdpHeader => udp(received).and_then(|(port, payload)| {
                let address = address.map(|mut address| {
                    address.set_port(port);
                    address
                });
                datagram(payload, address, destination, interface, ttl)
            }),
        })
    }
}

impl AsRawFd for Ear {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

fn datagram(
    payload: &[u8],
    source: Option<SocketAddr>,
    destination: Option<IpAddr>,
    interface: Option<u32>,
    ttl: Option<u8>,
) -> Option<Datagram<'_>> {
    Some(Datagram {
        payload,
        source: source?,
        destination,
        interface: interface?,
        ttl: ttl?,
    })
}

fn socket_address(address: &SockaddrStorage) -> Option<SocketAddr> {
    match (address.as_sockaddr_in(), address.as_sockaddr_in6()) {
        (Some(v4), _) => Some(SocketAddr::new(v4.ip().into(), v4.port())),
        (None, Some(v6)) => Some(SocketAddr::new(v6.ip().into(), v6.port())),
        (None, None) => None,
    }
}

/// An IPv4 packet with UDP in it. The kernel has checked the header; a UDP checksum cannot be checked here, since between
/// interfaces of one host the card's part of it is never done.
#[derive(Debug, PartialEq, Eq)]
struct Packet<'a> {
    source: Ipv4Addr,
    destination: Ipv4Addr,
    ttl: u8,
    source_port: u16,
    payload: &'a [u8],
}

impl<'a> Packet<'a> {
    fn decode(octets: &'a [u8]) -> Option<Self> {
        let (header, _) = octets.split_first_chunk::<20>()?;
        let [
            version_and_length,
            _,
            length0,
            length1,
            _,
            _,
            _,
            _,
            ttl,
            protocol,
            _,
            _,
            s0,
            s1,
            s2,
            s3,
            d0,
            d1,
            d2,
            d3,
        ] = *header;
        if version_and_length >> 4 != 4 || protocol != 17 {
            return None;
        }
        let whole = octets.get(..usize::from(u16::from_be_bytes([length0, length1])))?;
        let content = whole.get(usize::from(version_and_length & 0xf).max(5) * 4..)?;
        let (source_port, payload) = udp(content)?;
        Some(Self {
            source: Ipv4Addr::new(s0, s1, s2, s3),
            destination: Ipv4Addr::new(d0, d1, d2, d3),
            ttl,
            source_port,
            payload,
        })
    }
}

/// The source port and the payload behind a UDP header.
fn udp(octets: &[u8]) -> Option<(u16, &[u8])> {
    let ([s0, s1, _, _, length0, length1, _, _], _) = octets.split_first_chunk::<8>()?;
    let whole = octets.get(..usize::from(u16::from_be_bytes([*length0, *length1])))?;
    Some((u16::from_be_bytes([*s0, *s1]), whole.get(8..)?))
}

/// A UDP socket on a port. Without SO_REUSEADDR: with it, two programs that both set it could have the port at once, and only
/// the last one would hear anything.
fn udp_socket(family: Family, port: Port) -> io::Result<Socket> {
    let socket = family_socket(family, Type::DGRAM)?;
    let address: IpAddr = match family {
        Family::V4 => Ipv4Addr::UNSPECIFIED.into(),
        Family::V6 => Ipv6Addr::UNSPECIFIED.into(),
    };
    socket.bind(&SockAddr::from(SocketAddr::new(address, port.number())))?;
    Ok(socket)
}

/// A raw socket that gets a copy of each UDP datagram to the port, whoever else gets it.
fn raw_socket(family: Family, port: Port) -> io::Result<Socket> {
    let socket = family_socket(family, Type::RAW)?;
    let filter = match family {
        Family::V4 => ip_filter(port.number()),
        Family::V6 => udp_filter(port.number()),
    };
    attach(&socket, &filter)?;
    Ok(socket)
}

fn family_socket(family: Family, kind: Type) -> io::Result<Socket> {
    let domain = match family {
        Family::V4 => Domain::IPV4,
        Family::V6 => Domain::IPV6,
    };
    let socket = Socket::new(domain, kind.nonblocking().cloexec(), Some(Protocol::UDP))?;
    match family {
        Family::V4 => {
            setsockopt(&socket, sockopt::Ipv4RecvTtl, &true)?;
            setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
            socket.set_ttl_v4(u32::from(crate::bfd::wire::TTL))?;
        }
        Family::V6 => {
            // A raw socket is of one family anyway.
            if kind == Type::DGRAM {
                socket.set_only_v6(true)?;
            }
            setsockopt(&socket, sockopt::Ipv6RecvHopLimit, &true)?;
            setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
            socket.set_unicast_hops_v6(u32::from(crate::bfd::wire::TTL))?;
        }
    }
    Ok(socket)
}

/// A packet socket that hears the echoes that are for this host.
fn packet_socket() -> io::Result<Socket> {
    // Without a protocol it is deaf until the filter is there.
    let socket = Socket::new(Domain::PACKET, Type::DGRAM.nonblocking().cloexec(), None)?;
    attach(&socket, &ip_filter(ECHO_PORT))?;
    sys::hear(socket.as_raw_fd(), sys::IPV4)?;
    Ok(socket)
}

/// linux/filter.h: `SKF_AD_OFF + SKF_AD_PKTTYPE`.
const PACKET_TYPE: u32 = 0xffff_f000 + 4;

/// Lets IPv4 packets to us through that are UDP to `port`, and no later fragments.
fn ip_filter(port: u16) -> Vec<Instruction> {
    // The refusal is the last instruction, the tenth.
    vec![
        // linux/if_packet.h: to us is 0.
        instruction(BPF_LD | BPF_W | BPF_ABS, 0, 0, PACKET_TYPE),
        instruction(BPF_JMP | BPF_JEQ | BPF_K, 0, 8, 0),
        instruction(BPF_LD | BPF_B | BPF_ABS, 0, 0, 9),
        instruction(BPF_JMP | BPF_JEQ | BPF_K, 0, 6, 17),
        instruction(BPF_LD | BPF_H | BPF_ABS, 0, 0, 6),
        instruction(BPF_JMP | BPF_JSET | BPF_K, 4, 0, 0x1fff),
        instruction(BPF_LDX | BPF_B | BPF_MSH, 0, 0, 0),
        instruction(BPF_LD | BPF_H | BPF_IND, 0, 0, 2),
        instruction(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, u32::from(port)),
        instruction(BPF_RET | BPF_K, 0, 0, u32::MAX),
        instruction(BPF_RET | BPF_K, 0, 0, 0),
    ]
}

/// The same for what begins with a UDP header.
fn udp_filter(port: u16) -> Vec<Instruction> {
    vec![
        instruction(BPF_LD | BPF_H | BPF_ABS, 0, 0, 2),
        instruction(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, u32::from(port)),
        instruction(BPF_RET | BPF_K, 0, 0, u32::MAX),
        instruction(BPF_RET | BPF_K, 0, 0, 0),
    ]
}

/// An instruction of classic BPF.
#[derive(Debug, Clone, Copy)]
struct Instruction {
    code: u32,
    if_true: u8,
    if_false: u8,
    k: u32,
}

const fn instruction(code: u32, if_true: u8, if_false: u8, k: u32) -> Instruction {
    Instruction {
        code,
        if_true,
        if_false,
        k,
    }
}

fn attach(socket: &Socket, filter: &[Instruction]) -> io::Result<()> {
    let filter: Vec<SockFilter> = filter
        .iter()
        .map(|instruction| {
            SockFilter::new(
                // All codes are below 256.
                u16::try_from(instruction.code).unwrap_or_default(),
                instruction.if_true,
                instruction.if_false,
                instruction.k,
            )
        })
        .collect();
    socket.attach_filter(&filter)
}

/// All sockets that hear.
#[derive(Debug, Default)]
pub(super) struct Ears {
    open: BTreeMap<(Family, Port), Ear>,
    /// What was said about one that cannot be opened, so that it is said once.
    said: BTreeMap<(Family, Port), String>,
}

impl Ears {
    /// Opens those that are wanted and are not open, closes those that are not wanted; what people should hear.
    pub(super) fn want(&mut self, wanted: &BTreeSet<(Family, Port)>) -> Vec<Record> {
        self.open.retain(|which, _| wanted.contains(which));
        self.said.retain(|which, _| wanted.contains(which));
        let mut records = Vec::new();
        for &(family, port) in wanted {
            if self.open.contains_key(&(family, port)) {
                continue;
            }
            match Ear::open(family, port) {
                Ok(ear) => {
                    self.said.remove(&(family, port));
                    if ear.is_past_another() {
                        records.push(past_another(family, port));
                    }
                    self.open.insert((family, port), ear);
                }
                Err(error) => {
                    let text = error.to_string();
                    if self.said.get(&(family, port)) != Some(&text) {
                        records.push(unheard(family, port, &error));
                        self.said.insert((family, port), text);
                    }
                }
            }
        }
        records
    }

    /// Whether some that are wanted could not be opened.
    pub(super) fn is_wanting(&self) -> bool {
        !self.said.is_empty()
    }

    pub(super) fn get(&self, family: Family, port: Port) -> Option<&Ear> {
        self.open.get(&(family, port))
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = (Family, Port)> {
        self.open.keys().copied()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Ear> {
        self.open.values()
    }
}

fn past_another(family: Family, port: Port) -> Record {
    Record::event(
        "bfdPortShared",
        "another program has BFD's port on this host (another BFD daemon, such as FRR's bfdd?): its packets and ours are read \
         past it through a raw socket; sessions of both with one peer disturb each other, so end that program or its sessions",
    )
    .at(Level::Warn)
    .with("port", port.number())
    .with("family", family.name())
}

fn unheard(family: Family, port: Port, error: &OpenError) -> Record {
    let msg = match (port, error) {
        (Port::Control | Port::Multihop, OpenError::Taken(_)) => {
            "cannot hear BFD packets, sessions stay Down: another program has the port (another BFD daemon on this host, such \
             as FRR's bfdd?); end it, or give the container the capability NET_RAW, so that packets can be read past it"
        }
        (Port::Control | Port::Multihop, OpenError::Io(_)) => {
            "cannot hear BFD packets, sessions stay Down: the kernel refuses the port"
        }
        (Port::Echo, _) => {
            "cannot take part in BFD's echo function: the port of echo packets cannot be had; control packets watch the way"
        }
        (Port::Forwarded, _) => {
            "cannot send BFD echo packets to ourselves by way of the peer: the capability NET_RAW is needed; peers that send \
             echoes back themselves still work"
        }
    };
    Record::failed("bfdListen", error, msg)
        .with("port", port.number())
        .with("family", family.name())
}

#[cfg(test)]
mod tests;
