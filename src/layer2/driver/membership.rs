//! Multicast memberships: joined on sockets that do nothing else, so that the kernel reports them by MLD
//! (RFC 4861 §7.2.1) and the card lets the frames in.
//!
//! A socket may hold a few hundred (net.core.optmem_max), so there are as many sockets as it takes, up to a limit;
//! beyond it, and where a join fails, the caller lets all multicast in on that interface.
//! Work is done in slices: the kernel takes longer for each group the more there are.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::io;
use std::net::Ipv6Addr;

use socket2::Socket;

use super::sys;

/// Groups on one socket: the kernel searches them one by one, and the default optmem_max of old kernels holds 365.
const PER_SOCKET: usize = 256;

/// Sockets in all: 65,536 memberships, and well below the usual limit of open files.
const SOCKETS: usize = 256;

/// Steps of one slice of work: some milliseconds at the worst.
const SLICE: usize = 128;

type Membership = (u32, Ipv6Addr);

#[derive(Debug)]
struct Holder {
    socket: Socket,
    held: usize,
    full: bool,
}

#[derive(Debug, Default)]
pub(super) struct Memberships {
    wanted: BTreeSet<Membership>,
    /// Where each membership is held.
    joined: HashMap<Membership, usize>,
    holders: Vec<Holder>,
    pending: VecDeque<Membership>,
}

/// A join that failed.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) interface: u32,
    pub(super) error: io::Error,
}

impl Memberships {
    pub(super) fn join(&mut self, interface: u32, group: Ipv6Addr) {
        if self.wanted.insert((interface, group)) {
            self.pending.push_back((interface, group));
        }
    }

    pub(super) fn leave(&mut self, interface: u32, group: Ipv6Addr) {
        if self.wanted.remove(&(interface, group)) {
            self.pending.push_back((interface, group));
        }
    }

    /// Leaves everything on an interface.
    pub(super) fn leave_all(&mut self, interface: u32) {
        let all: Vec<Membership> = self
            .wanted
            .range((interface, Ipv6Addr::UNSPECIFIED)..)
            .take_while(|(index, _)| *index == interface)
            .copied()
            .collect();
        for (interface, group) in all {
            self.leave(interface, group);
        }
    }

    pub(super) fn has_work(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Does a slice of the work; what failed.
    pub(super) fn work(&mut self) -> Vec<Failure> {
        let mut failures = Vec::new();
        for _ in 0..SLICE {
            let Some(membership) = self.pending.pop_front() else {
                break;
            };
            let wanted = self.wanted.contains(&membership);
            match (wanted, self.joined.get(&membership).copied()) {
                (true, None) => match self.join_now(membership) {
                    Ok(holder) => {
                        self.joined.insert(membership, holder);
                    }
                    Err(error) => failures.push(Failure {
                        interface: membership.0,
                        error,
                    }),
                },
                (false, Some(holder)) => {
                    self.joined.remove(&membership);
                    self.leave_now(membership, holder);
                }
                (true, Some(_)) | (false, None) => {}
            }
        }
        failures
    }

    fn join_now(&mut self, (interface, group): Membership) -> io::Result<usize> {
        let place = self
            .holders
            .iter()
            .position(|holder| !holder.full && holder.held < PER_SOCKET);
        if let Some((place, holder)) =
            place.and_then(|place| Some((place, self.holders.get_mut(place)?)))
        {
            match sys::join(&holder.socket, group, interface) {
                Ok(()) => {
                    holder.held += 1;
                    return Ok(place);
                }
                // The socket's own memory is used up: another one may have some.
                Err(error)
                    if matches!(error.raw_os_error(), Some(libc::ENOBUFS | libc::ENOMEM)) =>
                {
                    holder.full = true;
                }
                Err(error) => return Err(error),
            }
        }
        if self.holders.len() >= SOCKETS {
            return Err(io::Error::other("too many multicast groups"));
        }
        let socket = sys::membership_socket()?;
        sys::join(&socket, group, interface)?;
        self.holders.push(Holder {
            socket,
            held: 1,
            full: false,
        });
        Ok(self.holders.len() - 1)
    }

    fn leave_now(&mut self, (interface, group): Membership, holder: usize) {
        if let Some(holder) = self.holders.get_mut(holder) {
            // An interface that is gone took its groups along; the socket forgets them all the same.
            let _ = sys::leave(&holder.socket, group, interface);
            holder.held = holder.held.saturating_sub(1);
            holder.full = false;
        }
    }
}
