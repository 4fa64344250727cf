//! Binding: UDP and TCP on one address and port.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};

use socket2::{Domain, Socket, Type};

use super::StartError;

/// How many packets may wait while we do not run: as much as Go asks for. The kernel may give less (`rmem_max`).
const RECEIVE_BUFFER: usize = 2 << 20;

/// Connections that may wait while we do not run. The kernel may give less.
const BACKLOG: i32 = 1024;

/// How often another port is tried where any will do.
const ATTEMPTS: u32 = 16;

/// Bound, non-blocking sockets.
#[derive(Debug)]
pub(super) struct Sockets {
    pub(super) datagrams: UdpSocket,
    pub(super) streams: TcpListener,
    /// What others are told.
    pub(super) address: SocketAddr,
}

impl Sockets {
    pub(super) fn bind(wanted: SocketAddr) -> Result<Self, StartError> {
        let mut attempts = 0;
        let (datagrams, streams, bound) = loop {
            let (streams, bound) = listen(wanted).map_err(refusal(wanted, "TCP"))?;
            match open(bound) {
                Ok(datagrams) => break (datagrams, streams, bound),
                // The port that the kernel chose for TCP is another's for UDP.
                Err(_) if wanted.port() == 0 && attempts < ATTEMPTS => attempts += 1,
                Err(source) => return Err(refusal(bound, "UDP")(source)),
            }
        };
        let mut address = bound;
        if address.ip().is_unspecified() {
            let ip = way_out(address).map_err(|source| StartError::NoAddress {
                address: wanted,
                source,
            })?;
            address.set_ip(ip);
        }
        Ok(Self {
            datagrams,
            streams,
            address,
        })
    }
}

fn refusal(address: SocketAddr, protocol: &'static str) -> impl Fn(io::Error) -> StartError {
    move |source| match source.kind() {
        io::ErrorKind::AddrInUse => StartError::InUse { address, protocol },
        io::ErrorKind::AddrNotAvailable => StartError::NotOurs { address, protocol },
        _ => StartError::Io {
            address,
            doing: "bind the port",
            source,
        },
    }
}

fn socket(address: SocketAddr, kind: Type) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, None)?;
    if address.is_ipv6() {
        // One family: a member has one address.
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn listen(address: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let socket = socket(address, Type::STREAM)?;
    // Closed connections of the speaker that was here before do not keep the port.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    let listener = TcpListener::from(socket);
    let bound = listener.local_addr()?;
    Ok((listener, bound))
}

fn open(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = socket(address, Type::DGRAM)?;
    // Less is not a reason to fail.
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
    socket.bind(&address.into())?;
    Ok(UdpSocket::from(socket))
}

/// The address that this host would send from. Nothing is sent: connecting a datagram socket only looks up the route.
fn way_out(address: SocketAddr) -> io::Result<std::net::IpAddr> {
    // RFC 5737 and RFC 3849: addresses of documents, which take the default route.
    let far = if address.is_ipv4() {
        SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 9))
    } else {
        SocketAddr::from((Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1), 9))
    };
    let any = SocketAddr::new(address.ip(), 0);
    let socket = socket(any, Type::DGRAM)?;
    socket.connect(&far.into())?;
    let local = UdpSocket::from(socket).local_addr()?;
    Ok(local.ip())
}
