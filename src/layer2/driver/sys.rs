//! The system calls that neither std nor socket2 wraps, each behind a safe function. No decisions here.

use std::io;
use std::mem::{MaybeUninit, size_of, zeroed};
use std::net::Ipv6Addr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::time::Duration;

use socket2::{Domain, Protocol, SockAddr, SockFilter, Socket, Type};

use crate::layer2::wire::MAX_FRAME;

/// Frames that one system call takes or gives.
pub(super) const BATCH: usize = 64;
/// The same, as the system calls want it.
const BATCH_C: u8 = 64;
const _: () = assert!(BATCH_C as usize == BATCH);

/// `MSG_DONTWAIT`, in the type that the C library at hand wants.
#[cfg(target_env = "musl")]
const DONTWAIT: libc::c_uint = 0x40;
#[cfg(not(target_env = "musl"))]
const DONTWAIT: libc::c_int = libc::MSG_DONTWAIT;

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

fn socklen<T>() -> libc::socklen_t {
    // The structures of this file have some tens of octets.
    libc::socklen_t::try_from(size_of::<T>()).unwrap_or(libc::socklen_t::MAX)
}

#[expect(unsafe_code, reason = "socket options that socket2 does not know")]
fn set_option<T>(fd: RawFd, level: libc::c_int, name: libc::c_int, value: &T) -> io::Result<()> {
    // SAFETY: `value` is a plain structure that lives through the call, and its length is the one given.
    check(unsafe { libc::setsockopt(fd, level, name, ptr::from_ref(value).cast(), socklen::<T>()) })
        .map(drop)
}

/// A packet socket that hears nothing: it has no protocol until [`bind_packet`].
pub(super) fn packet_socket(filter: &[SockFilter]) -> io::Result<Socket> {
    let socket = Socket::new(Domain::PACKET, Type::RAW.nonblocking().cloexec(), None)?;
    socket.attach_filter(filter)?;
    Ok(socket)
}

/// Binds a packet socket to an interface, and from now on to the frames of a protocol (0: none).
#[expect(unsafe_code, reason = "sockaddr_ll")]
pub(super) fn bind_packet(socket: &Socket, interface: u32, protocol: u16) -> io::Result<()> {
    // SAFETY: a sockaddr_ll is plain data, all zeros are a value of it.
    let mut address: libc::sockaddr_ll = unsafe { zeroed() };
    address.sll_family = u16::try_from(libc::AF_PACKET).map_err(io::Error::other)?;
    address.sll_protocol = protocol.to_be();
    address.sll_ifindex = i32::try_from(interface).map_err(io::Error::other)?;
    // SAFETY: the kernel reads a sockaddr_ll of the length given.
    check(unsafe {
        libc::bind(
            socket.as_raw_fd(),
            ptr::from_ref(&address).cast(),
            socklen::<libc::sockaddr_ll>(),
        )
    })
    .map(drop)
}

/// Lets the frames of a packet socket pass by the interface's queueing discipline.
pub(super) fn bypass_queueing(socket: &Socket) -> io::Result<()> {
    set_option(
        socket.as_raw_fd(),
        libc::SOL_PACKET,
        libc::PACKET_QDISC_BYPASS,
        &1_i32,
    )
}

/// Makes the interface deliver every multicast frame as long as the socket lives.
#[expect(unsafe_code, reason = "packet_mreq")]
pub(super) fn all_multicast(socket: &Socket, interface: u32) -> io::Result<()> {
    // SAFETY: a packet_mreq is plain data, all zeros are a value of it.
    let mut request: libc::packet_mreq = unsafe { zeroed() };
    request.mr_ifindex = i32::try_from(interface).map_err(io::Error::other)?;
    request.mr_type = u16::try_from(libc::PACKET_MR_ALLMULTI).map_err(io::Error::other)?;
    set_option(
        socket.as_raw_fd(),
        libc::SOL_PACKET,
        libc::PACKET_ADD_MEMBERSHIP,
        &request,
    )
}

/// A socket that only holds multicast memberships: never bound, it hears nothing and needs no right.
pub(super) fn membership_socket() -> io::Result<Socket> {
    Socket::new(
        Domain::IPV6,
        Type::DGRAM.nonblocking().cloexec(),
        Some(Protocol::UDP),
    )
}

/// Joins a group on an interface.
pub(super) fn join(socket: &Socket, group: Ipv6Addr, interface: u32) -> io::Result<()> {
    socket.join_multicast_v6(&group, interface)
}

/// Leaves it.
pub(super) fn leave(socket: &Socket, group: Ipv6Addr, interface: u32) -> io::Result<()> {
    socket.leave_multicast_v6(&group, interface)
}

/// The groups of a route netlink socket that hears of links and addresses.
pub(super) const LINKS_AND_ADDRESSES: libc::c_int =
    libc::RTMGRP_LINK | libc::RTMGRP_IPV4_IFADDR | libc::RTMGRP_IPV6_IFADDR;

/// A route netlink socket that hears of these groups.
#[expect(unsafe_code, reason = "sockaddr_nl")]
pub(super) fn netlink_socket(groups: libc::c_int) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::from(libc::AF_NETLINK),
        Type::RAW.nonblocking().cloexec(),
        Some(Protocol::from(libc::NETLINK_ROUTE)),
    )?;
    // SAFETY: a sockaddr_nl is plain data, all zeros are a value of it.
    let mut address: libc::sockaddr_nl = unsafe { zeroed() };
    address.nl_family = u16::try_from(libc::AF_NETLINK).map_err(io::Error::other)?;
    address.nl_groups = u32::try_from(groups).map_err(io::Error::other)?;
    // SAFETY: the kernel reads a sockaddr_nl of the length given.
    check(unsafe {
        libc::bind(
            socket.as_raw_fd(),
            ptr::from_ref(&address).cast(),
            socklen::<libc::sockaddr_nl>(),
        )
    })?;
    Ok(socket)
}

/// What came in on a netlink socket.
pub(super) enum Datagram<'a> {
    /// A whole datagram of the kernel's.
    Whole(&'a [u8]),
    /// One that did not fit, or that somebody else sent.
    Useless,
}

/// The next datagram; `WouldBlock` if there is none, `ENOBUFS` if some were lost.
#[expect(
    unsafe_code,
    reason = "the sender of a netlink datagram is a sockaddr_nl"
)]
pub(super) fn receive_netlink<'a>(
    socket: &Socket,
    buffer: &'a mut [u8],
) -> io::Result<Datagram<'a>> {
    // SAFETY: recvfrom fills in at most the length given, and says how much; a sockaddr_nl is plain data.
    let (received, sender) = unsafe {
        SockAddr::try_init(|storage, length| {
            let received = libc::recvfrom(
                socket.as_raw_fd(),
                buffer.as_mut_ptr().cast(),
                buffer.len(),
                libc::MSG_TRUNC,
                storage.cast(),
                length,
            );
            usize::try_from(received).map_err(|_| io::Error::last_os_error())
        })
    }?;
    // SAFETY: the storage behind a SockAddr is larger than a sockaddr_nl, and zeroed where nothing was written.
    let port = unsafe { (*sender.as_ptr().cast::<libc::sockaddr_nl>()).nl_pid };
    Ok(match buffer.get(..received) {
        Some(octets) if port == 0 => Datagram::Whole(octets),
        Some(_) | None => Datagram::Useless,
    })
}

/// Buffers for [`receive`].
pub(super) struct Received {
    frames: Box<[[u8; MAX_FRAME]; BATCH]>,
    lengths: [usize; BATCH],
    count: usize,
}

impl Received {
    pub(super) fn new() -> Self {
        Self {
            frames: Box::new([[0; MAX_FRAME]; BATCH]),
            lengths: [0; BATCH],
            count: 0,
        }
    }

    /// The frames of the last [`receive`].
    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.frames
            .iter()
            .zip(self.lengths)
            .take(self.count)
            .map(|(frame, length)| frame.get(..length).unwrap_or(frame))
    }
}

/// Takes the frames that wait, [`BATCH`] at most; how many. `WouldBlock` if there are none.
#[expect(unsafe_code, reason = "recvmmsg")]
pub(super) fn receive(fd: RawFd, into: &mut Received) -> io::Result<usize> {
    into.count = 0;
    let mut places: [MaybeUninit<libc::iovec>; BATCH] = [const { MaybeUninit::uninit() }; BATCH];
    // SAFETY: an mmsghdr is plain data, all zeros are a value of it: no name, no control data.
    let mut headers: [libc::mmsghdr; BATCH] = unsafe { zeroed() };
    for ((frame, place), header) in into.frames.iter_mut().zip(&mut places).zip(&mut headers) {
        let place = place.write(libc::iovec {
            iov_base: frame.as_mut_ptr().cast(),
            iov_len: frame.len(),
        });
        header.msg_hdr.msg_iov = ptr::from_mut(place);
        header.msg_hdr.msg_iovlen = 1;
    }
    // SAFETY: each header points to a buffer of its own, of the length it says; all outlive the call.
    let received = unsafe {
        libc::recvmmsg(
            fd,
            headers.as_mut_ptr(),
            BATCH_C.into(),
            DONTWAIT,
            ptr::null_mut(),
        )
    };
    let count = usize::try_from(check(received)?).unwrap_or_default();
    for (header, length) in headers.iter().take(count).zip(&mut into.lengths) {
        *length = usize::try_from(header.msg_len).unwrap_or_default();
    }
    into.count = count;
    Ok(count)
}

/// Takes one frame, the cheapest way. `WouldBlock` if there is none.
#[expect(unsafe_code, reason = "recv without a copy")]
pub(super) fn receive_one(fd: RawFd, into: &mut Received) -> io::Result<()> {
    into.count = 0;
    let Some((frame, length)) = into.frames.first_mut().zip(into.lengths.first_mut()) else {
        return Ok(());
    };
    // SAFETY: the kernel writes at most the buffer's length.
    let received = unsafe {
        libc::recv(
            fd,
            frame.as_mut_ptr().cast(),
            frame.len(),
            libc::MSG_DONTWAIT,
        )
    };
    *length = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
    into.count = 1;
    Ok(())
}

/// Takes one frame, and says how long it is and on which interface it came. `WouldBlock` if there is none.
#[expect(unsafe_code, reason = "the sender of a frame is a sockaddr_ll")]
pub(super) fn receive_from(fd: RawFd, buffer: &mut [u8]) -> io::Result<(usize, u32)> {
    // SAFETY: recvfrom fills in at most the length given, and says how much; a sockaddr_ll is plain data.
    let (received, sender) = unsafe {
        SockAddr::try_init(|storage, length| {
            let received = libc::recvfrom(
                fd,
                buffer.as_mut_ptr().cast(),
                buffer.len(),
                libc::MSG_DONTWAIT,
                storage.cast(),
                length,
            );
            usize::try_from(received).map_err(|_| io::Error::last_os_error())
        })
    }?;
    // SAFETY: the storage behind a SockAddr is larger than a sockaddr_ll, and zeroed where nothing was written.
    let interface = unsafe { (*sender.as_ptr().cast::<libc::sockaddr_ll>()).sll_ifindex };
    Ok((received, u32::try_from(interface).unwrap_or_default()))
}

/// Sends one frame, the cheapest way.
#[expect(unsafe_code, reason = "send")]
pub(super) fn send_one(fd: RawFd, frame: &[u8]) -> io::Result<()> {
    // SAFETY: the kernel only reads the frame.
    let sent = unsafe { libc::send(fd, frame.as_ptr().cast(), frame.len(), libc::MSG_DONTWAIT) };
    usize::try_from(sent)
        .map(drop)
        .map_err(|_| io::Error::last_os_error())
}

/// Sends frames on the interface that the socket is bound to, as many as it takes at once; how many it took.
#[expect(unsafe_code, reason = "sendmmsg")]
pub(super) fn send<'a>(fd: RawFd, frames: impl Iterator<Item = &'a [u8]>) -> io::Result<usize> {
    let mut places: [MaybeUninit<libc::iovec>; BATCH] = [const { MaybeUninit::uninit() }; BATCH];
    // SAFETY: an mmsghdr is plain data, all zeros are a value of it: no name, no control data.
    let mut headers: [libc::mmsghdr; BATCH] = unsafe { zeroed() };
    let mut count: libc::c_uint = 0;
    for ((frame, place), header) in frames.zip(&mut places).zip(&mut headers) {
        let place = place.write(libc::iovec {
            iov_base: frame.as_ptr().cast_mut().cast(),
            iov_len: frame.len(),
        });
        header.msg_hdr.msg_iov = ptr::from_mut(place);
        header.msg_hdr.msg_iovlen = 1;
        count += 1;
    }
    if count == 0 {
        return Ok(0);
    }
    // SAFETY: the first `count` headers point to frames that the kernel only reads; all outlive the call.
    let sent = unsafe { libc::sendmmsg(fd, headers.as_mut_ptr(), count, DONTWAIT) };
    check(sent).map(|sent| usize::try_from(sent).unwrap_or_default())
}

/// A counter that wakes whoever waits for it.
#[derive(Debug)]
pub(super) struct Waker(OwnedFd);

impl Waker {
    #[expect(unsafe_code, reason = "eventfd")]
    pub(super) fn new() -> io::Result<Self> {
        // SAFETY: a new descriptor that nobody else owns.
        let fd = check(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })?;
        // SAFETY: as above.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Wakes; never blocks. (A full counter is awake already.)
    #[expect(unsafe_code, reason = "eventfd")]
    pub(super) fn wake(&self) {
        let one = 1_u64;
        // SAFETY: eight octets are read from a u64.
        unsafe {
            libc::write(
                self.0.as_raw_fd(),
                ptr::from_ref(&one).cast(),
                size_of::<u64>(),
            )
        };
    }

    /// Goes back to sleep.
    #[expect(unsafe_code, reason = "eventfd")]
    pub(super) fn clear(&self) {
        let mut count = 0_u64;
        // SAFETY: eight octets are written into a u64.
        unsafe {
            libc::read(
                self.0.as_raw_fd(),
                ptr::from_mut(&mut count).cast(),
                size_of::<u64>(),
            )
        };
    }
}

impl AsRawFd for Waker {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// Waits for many descriptors, each with a number.
#[derive(Debug)]
pub(super) struct Epoll(OwnedFd);

/// Room for what one [`Epoll::wait`] gives.
pub(super) struct Events {
    events: [libc::epoll_event; BATCH],
    count: usize,
}

impl Events {
    pub(super) fn new() -> Self {
        Self {
            events: [libc::epoll_event { events: 0, u64: 0 }; BATCH],
            count: 0,
        }
    }

    /// The numbers of the descriptors that are ready.
    pub(super) fn tokens(&self) -> impl Iterator<Item = u64> {
        self.events.iter().take(self.count).map(|event| event.u64)
    }
}

impl AsRawFd for Epoll {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl Epoll {
    #[expect(unsafe_code, reason = "epoll")]
    pub(super) fn new() -> io::Result<Self> {
        // SAFETY: a new descriptor that nobody else owns.
        let fd = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: as above.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Waits for `fd` too, level triggered.
    #[expect(unsafe_code, reason = "epoll")]
    pub(super) fn add(&self, fd: RawFd, token: u64) -> io::Result<()> {
        let mut event = libc::epoll_event {
            events: libc::EPOLLIN.cast_unsigned(),
            u64: token,
        };
        // SAFETY: the kernel copies the event.
        check(unsafe {
            libc::epoll_ctl(self.0.as_raw_fd(), libc::EPOLL_CTL_ADD, fd, &raw mut event)
        })
        .map(drop)
    }

    /// Does not wait for `fd` any more.
    #[expect(unsafe_code, reason = "epoll")]
    pub(super) fn remove(&self, fd: RawFd) -> io::Result<()> {
        // SAFETY: no event is needed to remove.
        check(unsafe {
            libc::epoll_ctl(self.0.as_raw_fd(), libc::EPOLL_CTL_DEL, fd, ptr::null_mut())
        })
        .map(drop)
    }

    /// Waits until something is ready, or (`block` false) only looks.
    #[expect(unsafe_code, reason = "epoll")]
    pub(super) fn wait(&self, events: &mut Events, block: bool) -> io::Result<()> {
        events.count = 0;
        let timeout = if block { -1 } else { 0 };
        // SAFETY: the kernel writes at most BATCH events.
        let count = check(unsafe {
            libc::epoll_wait(
                self.0.as_raw_fd(),
                events.events.as_mut_ptr(),
                BATCH_C.into(),
                timeout,
            )
        })?;
        events.count = usize::try_from(count).unwrap_or_default();
        Ok(())
    }
}

/// Waits until one of these descriptors is readable, or the time is over (`None`: no end).
#[expect(unsafe_code, reason = "ppoll")]
pub(super) fn wait_any(these: [RawFd; 3], timeout: Option<Duration>) -> io::Result<()> {
    let mut descriptors = these.map(|fd| libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    });
    let timeout = timeout.map(|timeout| libc::timespec {
        tv_sec: libc::time_t::try_from(timeout.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: libc::c_long::from(timeout.subsec_nanos().cast_signed()),
    });
    let end = timeout.as_ref().map_or(ptr::null(), ptr::from_ref);
    // SAFETY: three descriptors and, unless null, a timespec, all alive through the call.
    check(unsafe { libc::ppoll(descriptors.as_mut_ptr(), 3, end, ptr::null()) }).map(drop)
}

/// Lets another thread that waits for this processor run.
#[expect(unsafe_code, reason = "sched_yield")]
pub(super) fn give_way() {
    // SAFETY: takes and touches nothing.
    unsafe { libc::sched_yield() };
}
