//! By which addresses this host knows a station: what Go's speakers do not say of themselves, its kernel may know.

use std::io;
use std::net::IpAddr;

use super::sys::{self, Datagram};
use crate::layer2::MacAddr;
use crate::layer2::wire::rtnl::{self, Dump, Message};

/// The kernel's datagrams of a dump are at most 32 KiB.
const BUFFER: usize = 32 * 1024;

/// Datagrams of one dump: more neighbours than a kernel keeps (`gc_thresh3` is 1,024 of each family, unless it was raised) fit
/// into as many.
const DATAGRAMS: usize = 4096;

/// The IPv4 and IPv6 addresses by which this host knows a station. Asked only when somebody has to be named.
///
/// # Errors
/// The kernel does not say. What it had said before is lost.
pub(super) fn known_as(mac: MacAddr) -> io::Result<Vec<IpAddr>> {
    let socket = sys::netlink_socket(0)?;
    socket.send(&rtnl::request(Dump::Neighbours, 1))?;
    let mut buffer = vec![0; BUFFER];
    let mut known = Vec::new();
    for _ in 0..DATAGRAMS {
        // netlink(7): a dump is there when its request was taken, and goes on as it is read; nothing is waited for.
        let Datagram::Whole(octets) = sys::receive_netlink(&socket, &mut buffer)? else {
            continue;
        };
        for received in rtnl::decode(octets) {
            match received.message {
                Message::Neighbour(neighbour) if neighbour.mac == mac => known.push(neighbour.ip),
                Message::Done => return Ok(known),
                Message::Refused(errno) => return Err(io::Error::from_raw_os_error(errno)),
                _ => {}
            }
        }
    }
    Ok(known)
}
