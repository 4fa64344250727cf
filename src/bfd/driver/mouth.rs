//! The socket that a session speaks through: its own source port (RFC 5881 §4), a time to live of 255.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use ring::rand::{SecureRandom, SystemRandom};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::bfd::Peer;
use crate::bfd::wire::{CONTROL_PORT, MULTIHOP_PORT, SOURCE_PORTS, TTL};

/// Upstream: FRR marks its packets as network control (CS6), which queues prefer.
const NETWORK_CONTROL: u32 = 0xc0;

/// How many source ports are tried before it is left to the next packet.
const TRIES: usize = 16;

/// Source ports that sessions have.
#[derive(Debug)]
pub(super) struct Ports {
    taken: BTreeSet<u16>,
    random: SystemRandom,
}

impl Ports {
    pub(super) fn new(random: SystemRandom) -> Self {
        Self {
            taken: BTreeSet::new(),
            random,
        }
    }

    /// A free one, at random. RFC 5881 §4: the source port MUST be in the range 49152 through 65535, and SHOULD be unique
    /// among all BFD sessions on the system.
    fn choose(&self) -> io::Result<u16> {
        let first = *SOURCE_PORTS.start();
        let count = *SOURCE_PORTS.end() - first;
        loop {
            let mut octets = [0; 2];
            self.random
                .fill(&mut octets)
                .map_err(|_| io::Error::other("the system gives no randomness"))?;
            // The range is a quarter of all numbers: two bits less.
            let port = first + (u16::from_ne_bytes(octets) & count);
            // RFC 5881 §4: if more than 16384 sessions are active, ports may be shared.
            if !self.taken.contains(&port) || self.taken.len() > usize::from(count) / 2 {
                return Ok(port);
            }
        }
    }
}

/// A session's way out.
#[derive(Debug)]
pub(super) struct Mouth {
    address: IpAddr,
    source: Option<IpAddr>,
    /// The index of the interface of a link-local address; 0: none, or not there.
    interface: u32,
    needs_interface: bool,
    port: u16,
    open: Option<Socket>,
    /// RFC 5881 §4: the same UDP source port number MUST be used for all BFD Control packets associated with a particular
    /// session. So it outlives the socket.
    source_port: Option<u16>,
}

impl Mouth {
    pub(super) fn new(peer: &Peer) -> Self {
        Self {
            address: peer.address,
            source: peer.source,
            interface: 0,
            needs_interface: peer.interface.is_some(),
            port: if peer.multihop {
                MULTIHOP_PORT
            } else {
                CONTROL_PORT
            },
            open: None,
            source_port: None,
        }
    }

    /// The interface is now this one.
    pub(super) fn set_interface(&mut self, interface: u32) {
        self.interface = interface;
    }

    /// Sends a packet. Opens the socket if it is not; one that does not work any more is closed, so that the next packet gets
    /// another.
    pub(super) fn send(&mut self, packet: &[u8], ports: &mut Ports) -> io::Result<()> {
        if self.needs_interface && self.interface == 0 {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                "the interface is not there",
            ));
        }
        let socket = match self.open.take() {
            Some(socket) => socket,
            None => self.open_socket(ports)?,
        };
        let to = SockAddr::from(self.scoped(self.address, self.port));
        let sent = socket.send_to(packet, &to);
        // Our address may be gone from the host, and come back; a full queue is no reason for another socket.
        if sent
            .as_ref()
            .map_or_else(|error| error.kind() == io::ErrorKind::WouldBlock, |_| true)
        {
            self.open = Some(socket);
        }
        sent.map(drop)
    }

    /// Gives the source port back.
    pub(super) fn close(&mut self, ports: &mut Ports) {
        self.open = None;
        if let Some(port) = self.source_port.take() {
            ports.taken.remove(&port);
        }
    }

    fn open_socket(&mut self, ports: &mut Ports) -> io::Result<Socket> {
        let domain = match self.address {
            IpAddr::V4(_) => Domain::IPV4,
            IpAddr::V6(_) => Domain::IPV6,
        };
        let socket = Socket::new(
            domain,
            Type::DGRAM.nonblocking().cloexec(),
            Some(Protocol::UDP),
        )?;
        // RFC 5881 §5: sent with a Time to Live (TTL) or Hop Limit value of 255.
        match self.address {
            IpAddr::V4(_) => {
                socket.set_ttl_v4(TTL.into())?;
                socket.set_tos_v4(NETWORK_CONTROL)?;
            }
            IpAddr::V6(_) => {
                socket.set_only_v6(true)?;
                socket.set_unicast_hops_v6(TTL.into())?;
                socket.set_tclass_v6(NETWORK_CONTROL)?;
            }
        }
        // It only speaks.
        let _ = socket.set_recv_buffer_size(0);
        let source = self.source.unwrap_or(match self.address {
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        });
        let mut last = io::Error::from(io::ErrorKind::AddrInUse);
        for _ in 0..TRIES {
            let port = match self.source_port {
                Some(port) => port,
                None => ports.choose()?,
            };
            match socket.bind(&SockAddr::from(self.scoped(source, port))) {
                Ok(()) => {
                    ports.taken.insert(port);
                    self.source_port = Some(port);
                    return Ok(socket);
                }
                // Another program has it: another one, then.
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                    ports.taken.remove(&port);
                    self.source_port = None;
                    last = error;
                }
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }

    fn scoped(&self, address: IpAddr, port: u16) -> SocketAddr {
        match address {
            IpAddr::V6(v6) if v6.is_unicast_link_local() => {
                SocketAddrV6::new(v6, port, 0, self.interface).into()
            }
            address => SocketAddr::new(address, port),
        }
    }
}

#[cfg(test)]
mod tests;
