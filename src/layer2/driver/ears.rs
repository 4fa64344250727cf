//! The ears for conflicts: one socket for ARP and one for neighbour advertisements, on all interfaces at once, which hear nothing
//! but claims of addresses that matter here.
//!
//! They are read by the control thread, apart from the responders' sockets: the path of a request stays as short as it was.

use std::io;
use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use socket2::Socket;

use super::filter;
use super::port::{ETH_P_ARP, ETH_P_IPV6};
use super::sys::{self, Epoll};
use crate::layer2::Kind;
use crate::layer2::wire::MAX_FRAME;

/// Claims that are read before anything else has its turn. What is more waits, and then is lost: a claim is repeated.
const BATCH: usize = 64;

/// At most so often the filters are made anew: they are made of all addresses.
const PAUSE: Duration = Duration::from_millis(200);

#[derive(Debug)]
struct Ear {
    kind: Kind,
    socket: Socket,
}

/// Both.
#[derive(Debug)]
pub(super) struct Ears {
    ears: Vec<Ear>,
    epoll: Epoll,
    buffer: Box<[u8; MAX_FRAME]>,
    /// When the filters are to be made anew.
    stale: Option<Instant>,
    tuned: Option<Instant>,
}

impl Ears {
    /// Deaf, until [`Ears::tune`].
    pub(super) fn open() -> io::Result<Self> {
        let epoll = Epoll::new()?;
        let mut ears = Vec::new();
        for kind in [Kind::Arp, Kind::Ndp] {
            let socket = sys::packet_socket(&filter::claims(kind, Vec::new()))?;
            let protocol = match kind {
                Kind::Arp => ETH_P_ARP,
                Kind::Ndp => ETH_P_IPV6,
            };
            // Interface 0: all there are and will be.
            sys::bind_packet(&socket, 0, protocol)?;
            epoll.add(socket.as_raw_fd(), 0)?;
            ears.push(Ear { kind, socket });
        }
        Ok(Self {
            ears,
            epoll,
            buffer: Box::new([0; MAX_FRAME]),
            stale: None,
            tuned: None,
        })
    }

    /// Readable when there is a claim.
    pub(super) fn epoll(&self) -> &Epoll {
        &self.epoll
    }

    /// Other addresses matter now.
    pub(super) fn outdated(&mut self, now: Instant) {
        let soonest = self.tuned.map_or(now, |at| at + PAUSE);
        self.stale.get_or_insert(soonest.max(now));
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.stale
    }

    /// Hears claims of these addresses from now on, if it is time. A filter that the kernel does not take leaves the one before.
    pub(super) fn tune(&mut self, now: Instant, watched: impl Iterator<Item = IpAddr>) {
        if self.stale.is_none_or(|at| at > now) {
            return;
        }
        self.stale = None;
        self.tuned = Some(now);
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for ip in watched {
            match ip {
                IpAddr::V4(ip) => v4.push(ip.to_bits()),
                // The end of it is what tells addresses of one network apart.
                IpAddr::V6(ip) => {
                    let [.., a, b, c, d] = ip.octets();
                    v6.push(u32::from_be_bytes([a, b, c, d]));
                }
            }
        }
        for ear in &self.ears {
            let wanted = match ear.kind {
                Kind::Arp => std::mem::take(&mut v4),
                Kind::Ndp => std::mem::take(&mut v6),
            };
            let _ = ear.socket.attach_filter(&filter::claims(ear.kind, wanted));
        }
    }

    /// Hands over what was heard, with the interface.
    pub(super) fn listen(&mut self, mut tell: impl FnMut(Kind, u32, &[u8])) {
        for ear in &self.ears {
            for _ in 0..BATCH {
                match sys::receive_from(ear.socket.as_raw_fd(), &mut *self.buffer) {
                    Ok((length, interface)) => {
                        tell(
                            ear.kind,
                            interface,
                            self.buffer.get(..length).unwrap_or_default(),
                        );
                    }
                    // Nothing there, or an interface that just went: the next frame comes by itself.
                    Err(_) => break,
                }
            }
        }
    }
}
