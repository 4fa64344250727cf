//! How echoes leave: to the peer's address by UDP, or to our own address by way of the peer, through a packet socket.

use std::fs;
use std::io::{self, IoSlice};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::AsRawFd;

use nix::net::if_::if_nametoindex;
use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrIn, SockaddrIn6, sendmsg};
use socket2::{Domain, Protocol, Socket, Type};

use super::ear::{Ear, Family};
use super::sys;
use crate::bfd::wire::{ECHO_PORT, TTL};

/// A neighbour, as the kernel knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Station {
    interface: u32,
    mac: [u8; 6],
    /// Our own address on the way to it.
    ours: Ipv4Addr,
}

/// Who has `address` on its link; `None`: the kernel does not know (yet).
pub(super) fn station(address: Ipv4Addr, source: Option<Ipv4Addr>) -> Option<Station> {
    let table = fs::read_to_string("/proc/thread-self/net/arp").ok()?;
    let (mac, device) = neighbour(&table, address)?;
    let ours = match source {
        Some(source) => source,
        None => our_address(address).ok()?,
    };
    Some(Station {
        interface: if_nametoindex(device).ok()?,
        mac,
        ours,
    })
}

/// A line of `/proc/net/arp`: address, hardware type, flags, hardware address, mask, device.
fn neighbour(table: &str, address: Ipv4Addr) -> Option<([u8; 6], &str)> {
    table.lines().skip(1).find_map(|line| {
        let mut words = line.split_whitespace();
        if words.next()?.parse() != Ok(address) {
            return None;
        }
        // ARPHRD_ETHER, and ATF_COM: the hardware address is known.
        if words.next()? != "0x1" {
            return None;
        }
        let flags = u8::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok()?;
        if flags & 2 == 0 {
            return None;
        }
        let mut mac = [0; 6];
        let mut octets = words.next()?.split(':');
        for place in &mut mac {
            *place = u8::from_str_radix(octets.next()?, 16).ok()?;
        }
        Some((mac, words.nth(1)?))
    })
}

/// The address that the kernel would send from. Nothing is sent.
fn our_address(address: Ipv4Addr) -> io::Result<Ipv4Addr> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM.cloexec(), Some(Protocol::UDP))?;
    socket.connect(&SocketAddrV4::new(address, ECHO_PORT).into())?;
    socket
        .local_addr()?
        .as_socket_ipv4()
        .map(|ours| *ours.ip())
        .ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
}

/// Sends an echo to our own address by way of the station. RFC 5881 §4: the destination address MUST be chosen in such a way as
/// to cause the remote system to forward the packet back to the local system.
pub(super) fn send_forwarded(ear: &Ear, station: Station, payload: &[u8]) -> io::Result<()> {
    let packet = ip_packet(station.ours, payload)
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    sys::send_to_station(ear.as_raw_fd(), &packet, station.interface, station.mac)
}

/// An IPv4 packet from `ours` to `ours` with UDP to the echo port in it.
fn ip_packet(ours: Ipv4Addr, payload: &[u8]) -> Option<Vec<u8>> {
    const HEADERS: usize = 28;
    let length = u16::try_from(HEADERS + payload.len()).ok()?;
    let udp_length = length.checked_sub(20)?;
    let [l0, l1] = length.to_be_bytes();
    let [a, b, c, d] = ours.octets();
    // Version 4, five words; network control; don't fragment; UDP.
    let header = [
        0x45, 0xc0, l0, l1, 0, 0, 0x40, 0, TTL, 17, 0, 0, a, b, c, d, a, b, c, d,
    ];
    let sum = header
        .chunks_exact(2)
        .map(|pair| match pair {
            [high, low] => u32::from(u16::from_be_bytes([*high, *low])),
            _ => 0,
        })
        .sum::<u32>();
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    let [c0, c1] = (!u16::try_from(folded).ok()?).to_be_bytes();
    let mut packet = Vec::with_capacity(usize::from(length));
    packet.extend(header);
    if let Some(place) = packet.get_mut(10..12) {
        place.copy_from_slice(&[c0, c1]);
    }
    packet.extend(ECHO_PORT.to_be_bytes());
    packet.extend(ECHO_PORT.to_be_bytes());
    packet.extend(udp_length.to_be_bytes());
    // RFC 768: an all zero transmitted checksum value means that the transmitter generated no checksum. The payload has a
    // better one.
    packet.extend([0, 0]);
    packet.extend(payload);
    Some(packet)
}

/// Sends an echo by UDP, from `from` where that matters, with this time to live.
pub(super) fn send(
    ear: &Ear,
    payload: &[u8],
    to: SocketAddr,
    from: Option<IpAddr>,
    interface: u32,
    ttl: u8,
) -> io::Result<()> {
    let ttl = libc::c_int::from(ttl);
    let parts = [IoSlice::new(payload)];
    let flags = MsgFlags::MSG_DONTWAIT;
    let socket = ear.as_raw_fd();
    match (to, from) {
        (SocketAddr::V4(to), from) => {
            let from = match from {
                Some(IpAddr::V4(from)) => from,
                Some(IpAddr::V6(_)) | None => Ipv4Addr::UNSPECIFIED,
            };
            let info = libc::in_pktinfo {
                ipi_ifindex: 0,
                ipi_spec_dst: libc::in_addr {
                    s_addr: u32::from_ne_bytes(from.octets()),
                },
                ipi_addr: libc::in_addr { s_addr: 0 },
            };
            sendmsg(
                socket,
                &parts,
                &[
                    ControlMessage::Ipv4Ttl(&ttl),
                    ControlMessage::Ipv4PacketInfo(&info),
                ],
                flags,
                Some(&SockaddrIn::from(to)),
            )?;
        }
        (SocketAddr::V6(to), from) => {
            let (interface, to) = if to.ip().is_unicast_link_local() {
                let scoped = SocketAddrV6::new(*to.ip(), to.port(), 0, interface);
                (interface, scoped)
            } else {
                (0, to)
            };
            let from = match from {
                Some(IpAddr::V6(from)) => from.octets(),
                Some(IpAddr::V4(_)) | None => [0; 16],
            };
            let info = libc::in6_pktinfo {
                ipi6_addr: libc::in6_addr { s6_addr: from },
                ipi6_ifindex: interface,
            };
            sendmsg(
                socket,
                &parts,
                &[
                    ControlMessage::Ipv6HopLimit(&ttl),
                    ControlMessage::Ipv6PacketInfo(&info),
                ],
                flags,
                Some(&SockaddrIn6::from(to)),
            )?;
        }
    }
    Ok(())
}

/// Whether the kernel forwards packets of the family, so that the echoes of peers that count on it go back.
pub(super) fn forwards(family: Family) -> bool {
    let path = match family {
        Family::V4 => "/proc/sys/net/ipv4/ip_forward",
        Family::V6 => "/proc/sys/net/ipv6/conf/all/forwarding",
    };
    fs::read_to_string(path).is_ok_and(|value| value.trim() != "0")
}

#[cfg(test)]
mod tests;
