//! A connection to a peer: from its parameters to a socket, or to a sentence that says what is wrong.
//!
//! TTL: the kernel's own, 64, as Upstream's native mode has it: an external peer several hops away is reached without
//! `ebgp-multihop` too, as many a configuration of 0.12 relies on (its FRR mode sends 1 then, which protects nobody: it
//! only fails). 255 with `ebgp-multihop`, and with GTSM, whose point it is.

use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::sync::Arc;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpSocket, TcpStream};

use super::interfaces;
use super::sys;
use crate::bgp::Params;
use crate::bgp::session::Local;

/// The highest TTL.
const MAX_TTL: u8 = 255;

/// RFC 4271 appendix E: IP precedence "internetwork control", so that a full wire does not cost the session.
const INTERNETWORK_CONTROL: u32 = 0xc0;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("{0} is a link-local address: the peer's interface must be given")]
    NoInterface(IpAddr),
    #[error("the peer's interface {name} is not on this node")]
    UnknownInterface { name: Arc<str> },
    #[error("source-address {0} is not on this node")]
    SourceNotHere(IpAddr),
    #[error("source-address {source_address} and the peer {peer} are of different families")]
    SourceOfOtherFamily {
        source_address: IpAddr,
        peer: IpAddr,
    },
    #[error("the password has {0} octets, TCP MD5 takes at most {max}", max = sys::MAX_KEY)]
    LongPassword(usize),
    #[error("this node's kernel cannot sign with TCP MD5 (CONFIG_TCP_MD5SIG): {0}")]
    Md5(#[source] io::Error),
    #[error("cannot set {option} of the socket: {cause}")]
    Option {
        option: &'static str,
        #[source]
        cause: io::Error,
    },
    #[error(
        "{0} refuses the connection: it does not listen there, or does not expect this node's address"
    )]
    Refused(SocketAddr),
    #[error("no route to {0}, or nobody has that address")]
    Unreachable(SocketAddr),
    #[error("no answer from {0}")]
    TimedOut(SocketAddr),
    #[error("{0} resets the connection")]
    Reset(SocketAddr),
    #[error("this node does not permit a connection to {0}: a firewall or a network policy?")]
    Forbidden(SocketAddr),
    #[error("cannot connect to {peer}: {cause}")]
    Io {
        peer: SocketAddr,
        #[source]
        cause: io::Error,
    },
}

/// Connects, for as long as the caller waits. Cancel-safety: dropping it closes the socket.
pub(super) async fn dial(params: Arc<Params>) -> Result<(TcpStream, Local), ConnectError> {
    let peer = scoped(params.peer_address, params.peer_port, &params)?;
    let socket = socket(&params, peer)?;
    let stream = TcpSocket::from_std_stream(socket.into())
        .connect(peer)
        .await
        .map_err(|cause| connecting(peer, cause))?;
    let local = stream
        .local_addr()
        .map_err(|cause| connecting(peer, cause))?;
    let address = local.ip();
    // A link-local address may be that of several interfaces.
    let on = match address {
        IpAddr::V6(ip) if ip.is_unicast_link_local() => params.interface.as_deref(),
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    };
    // A few system calls that do not wait.
    let interface = interfaces::neighbours(address, on).unwrap_or_default();
    Ok((stream, Local { address, interface }))
}

fn connecting(peer: SocketAddr, cause: io::Error) -> ConnectError {
    match cause.kind() {
        io::ErrorKind::ConnectionRefused => ConnectError::Refused(peer),
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            ConnectError::Unreachable(peer)
        }
        io::ErrorKind::TimedOut => ConnectError::TimedOut(peer),
        io::ErrorKind::ConnectionReset => ConnectError::Reset(peer),
        io::ErrorKind::PermissionDenied => ConnectError::Forbidden(peer),
        _ => ConnectError::Io { peer, cause },
    }
}

/// The address with the zone that a link-local one needs (RFC 4007 §6).
fn scoped(address: IpAddr, port: u16, params: &Params) -> Result<SocketAddr, ConnectError> {
    match address {
        IpAddr::V6(ip) if ip.is_unicast_link_local() => {
            let name = params
                .interface
                .clone()
                .ok_or(ConnectError::NoInterface(address))?;
            let zone = nix::net::if_::if_nametoindex(&*name)
                .map_err(|_| ConnectError::UnknownInterface { name })?;
            Ok(SocketAddrV6::new(ip, port, 0, zone).into())
        }
        IpAddr::V4(_) | IpAddr::V6(_) => Ok(SocketAddr::new(address, port)),
    }
}

fn socket(params: &Params, peer: SocketAddr) -> Result<Socket, ConnectError> {
    let option = |option| move |cause| ConnectError::Option { option, cause };
    let kind = Type::STREAM.nonblocking().cloexec();
    let socket = Socket::new(Domain::for_address(peer), kind, Some(Protocol::TCP))
        .map_err(|cause| ConnectError::Io { peer, cause })?;
    socket
        .set_tcp_nodelay(true)
        .map_err(option("TCP_NODELAY"))?;
    if let Some(ttl) = ttl(params) {
        match peer {
            SocketAddr::V4(_) => socket.set_ttl_v4(ttl).map_err(option("IP_TTL"))?,
            SocketAddr::V6(_) => socket
                .set_unicast_hops_v6(ttl)
                .map_err(option("IPV6_UNICAST_HOPS"))?,
        }
    }
    // A courtesy to the network: not every kernel lets every program choose it.
    let _ = match peer {
        SocketAddr::V4(_) => socket.set_tos_v4(INTERNETWORK_CONTROL),
        SocketAddr::V6(_) => socket.set_tclass_v6(INTERNETWORK_CONTROL),
    };
    if let Some(hops) = params.ttl_security {
        // RFC 5082 §3: sent with 255, each hop takes one.
        let least = MAX_TTL.saturating_sub(hops.saturating_sub(1));
        sys::minimum_ttl(&socket, peer, least).map_err(option("IP_MINTTL (GTSM)"))?;
    }
    let password = params.password.0.as_bytes();
    if password.len() > sys::MAX_KEY {
        return Err(ConnectError::LongPassword(password.len()));
    }
    if !password.is_empty() {
        sys::sign_with_md5(&socket, peer, password).map_err(ConnectError::Md5)?;
    }
    if let Some(source) = params.source_address {
        if source.is_ipv4() != peer.is_ipv4() {
            return Err(ConnectError::SourceOfOtherFamily {
                source_address: source,
                peer: peer.ip(),
            });
        }
        let address = scoped(source, 0, params)?;
        socket
            .bind(&address.into())
            .map_err(|cause| match cause.kind() {
                // Upstream: its documentation says otherwise, but it fails too.
                io::ErrorKind::AddrNotAvailable => ConnectError::SourceNotHere(source),
                _ => ConnectError::Io { peer, cause },
            })?;
    }
    Ok(socket)
}

/// `None`: the kernel's own.
fn ttl(params: &Params) -> Option<u32> {
    (params.ebgp_multihop || params.ttl_security.is_some()).then_some(MAX_TTL.into())
}
