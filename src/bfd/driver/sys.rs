//! The system calls that neither std nor nix wraps, each behind a safe function. No decisions here.

use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::RawFd;
use std::ptr;
use std::time::Duration;

use crate::turns::ask_for_short_turns;

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// Waits until one of the descriptors is readable, or the time is over (`None`: no end); the readable ones.
///
/// `ppoll`, because its end is given in nanoseconds; an epoll's in milliseconds.
#[expect(unsafe_code, reason = "ppoll")]
pub(super) fn wait(
    descriptors: &[RawFd],
    timeout: Option<Duration>,
    ready: &mut Vec<RawFd>,
) -> io::Result<()> {
    ready.clear();
    let mut polled: Vec<libc::pollfd> = descriptors
        .iter()
        .map(|&fd| libc::pollfd {
            fd,
            events: libc::POLLIN,
            revents: 0,
        })
        .collect();
    let timeout = timeout.map(|timeout| libc::timespec {
        tv_sec: libc::time_t::try_from(timeout.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: libc::c_long::from(timeout.subsec_nanos().cast_signed()),
    });
    let end = timeout.as_ref().map_or(ptr::null(), ptr::from_ref);
    let count = libc::nfds_t::try_from(polled.len()).map_err(io::Error::other)?;
    // SAFETY: as many descriptors as said and, unless null, a timespec, all alive through the call.
    check(unsafe { libc::ppoll(polled.as_mut_ptr(), count, end, ptr::null()) })?;
    ready.extend(
        polled
            .iter()
            .filter(|polled| polled.revents != 0)
            .map(|polled| polled.fd),
    );
    Ok(())
}

/// How the thread is scheduled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheduling {
    /// Before everything that is not real-time.
    RealTime,
    /// With a larger share.
    Nice,
    /// In short turns, which come sooner.
    ShortTurns,
    /// As everything else.
    Ordinary,
}

/// Asks to be run as soon as there is something to do, as well as the rights allow.
#[expect(unsafe_code, reason = "scheduling of the calling thread")]
pub(super) fn ask_to_be_prompt() -> Scheduling {
    let param = libc::sched_param { sched_priority: 1 };
    // The lowest real-time priority; what the thread starts does not inherit it.
    let policy = libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK;
    // SAFETY: the kernel reads a sched_param. (The system call: musl's function of that name does nothing.)
    if unsafe { libc::syscall(libc::SYS_sched_setscheduler, 0, policy, &raw const param) } == 0 {
        return Scheduling::RealTime;
    }
    // SAFETY: takes and touches nothing; 0 is the calling thread.
    if unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, -20) } == 0 {
        return Scheduling::Nice;
    }
    if ask_for_short_turns().is_ok() {
        return Scheduling::ShortTurns;
    }
    Scheduling::Ordinary
}

/// Sends an IPv4 packet to a station through a packet socket.
#[expect(unsafe_code, reason = "sockaddr_ll")]
pub(super) fn send_to_station(
    socket: RawFd,
    packet: &[u8],
    interface: u32,
    station: [u8; 6],
) -> io::Result<()> {
    // SAFETY: a sockaddr_ll is plain data, all zeros are a value of it.
    let mut address: libc::sockaddr_ll = unsafe { zeroed() };
    address.sll_family = u16::try_from(libc::AF_PACKET).map_err(io::Error::other)?;
    address.sll_protocol = IPV4.to_be();
    address.sll_ifindex = i32::try_from(interface).map_err(io::Error::other)?;
    address.sll_halen = 6;
    for (place, octet) in address.sll_addr.iter_mut().zip(station) {
        *place = octet;
    }
    let length =
        libc::socklen_t::try_from(size_of::<libc::sockaddr_ll>()).map_err(io::Error::other)?;
    // SAFETY: the kernel reads the packet and a sockaddr_ll of the length given.
    let sent = unsafe {
        libc::sendto(
            socket,
            packet.as_ptr().cast(),
            packet.len(),
            libc::MSG_DONTWAIT,
            ptr::from_ref(&address).cast(),
            length,
        )
    };
    usize::try_from(sent)
        .map(drop)
        .map_err(|_| io::Error::last_os_error())
}

/// EtherType of IPv4.
pub(super) const IPV4: u16 = 0x0800;

/// Lets a packet socket hear all frames of a protocol, on all interfaces.
#[expect(unsafe_code, reason = "sockaddr_ll")]
pub(super) fn hear(socket: RawFd, protocol: u16) -> io::Result<()> {
    // SAFETY: a sockaddr_ll is plain data, all zeros are a value of it.
    let mut address: libc::sockaddr_ll = unsafe { zeroed() };
    address.sll_family = u16::try_from(libc::AF_PACKET).map_err(io::Error::other)?;
    address.sll_protocol = protocol.to_be();
    let length =
        libc::socklen_t::try_from(size_of::<libc::sockaddr_ll>()).map_err(io::Error::other)?;
    // SAFETY: the kernel reads a sockaddr_ll of the length given.
    check(unsafe { libc::bind(socket, ptr::from_ref(&address).cast(), length) }).map(drop)
}
