//! The socket options that neither std nor socket2 wraps, each behind a safe function. No decisions here.

use std::io;
use std::mem::{size_of, zeroed};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::ptr;

use socket2::{SockAddr, Socket};

/// Longest key that the kernel takes (`TCP_MD5SIG_MAXKEYLEN`).
pub(super) const MAX_KEY: usize = 80;

/// `struct tcp_md5sig` of `linux/tcp.h`.
#[repr(C)]
struct TcpMd5Sig {
    address: libc::sockaddr_storage,
    flags: u8,
    prefix_length: u8,
    key_length: u16,
    interface: libc::c_int,
    key: [u8; MAX_KEY],
}

#[expect(unsafe_code, reason = "socket options that socket2 does not know")]
fn set_option<T>(
    socket: &Socket,
    level: libc::c_int,
    name: libc::c_int,
    value: &T,
) -> io::Result<()> {
    // The structures of this file have some hundreds of octets.
    let length = libc::socklen_t::try_from(size_of::<T>()).unwrap_or(libc::socklen_t::MAX);
    // SAFETY: `value` is a plain structure that lives through the call, and its length is the one given.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            ptr::from_ref(value).cast(),
            length,
        )
    };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Signs all segments to `peer` with this key, and takes none that is not (RFC 2385). Needs no right.
///
/// # Errors
///
/// The key is longer than [`MAX_KEY`], or the kernel has no MD5 signatures (`CONFIG_TCP_MD5SIG`).
#[expect(unsafe_code, reason = "sockaddr_storage")]
pub(super) fn sign_with_md5(socket: &Socket, peer: SocketAddr, key: &[u8]) -> io::Result<()> {
    let length = u16::try_from(key.len()).unwrap_or(u16::MAX);
    // SAFETY: tcp_md5sig is plain data, all zeros are a value of it.
    let mut option: TcpMd5Sig = unsafe { zeroed() };
    let Some(place) = option.key.get_mut(..key.len()) else {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    };
    place.copy_from_slice(key);
    option.key_length = length;
    let address = SockAddr::from(peer);
    // SAFETY: both are at least as long as `address.len()`, and do not overlap.
    unsafe {
        ptr::copy_nonoverlapping(
            address.as_ptr().cast::<u8>(),
            ptr::from_mut(&mut option.address).cast::<u8>(),
            usize::try_from(address.len())
                .unwrap_or_default()
                .min(size_of::<libc::sockaddr_storage>()),
        );
    }
    set_option(socket, libc::IPPROTO_TCP, libc::TCP_MD5SIG, &option)
}

/// Takes no segment with a lower TTL or hop limit (RFC 5082 §3).
pub(super) fn minimum_ttl(socket: &Socket, peer: SocketAddr, ttl: u8) -> io::Result<()> {
    let ttl = libc::c_int::from(ttl);
    match peer {
        SocketAddr::V4(_) => set_option(socket, libc::IPPROTO_IP, libc::IP_MINTTL, &ttl),
        SocketAddr::V6(_) => set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_MINHOPCOUNT, &ttl),
    }
}
