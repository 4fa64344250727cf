//! The kernel's word about links and addresses: a dump at start, events after, and a new dump whenever some were lost.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::time::{Duration, Instant};

use socket2::Socket;

use super::sys::{self, Datagram};
use crate::layer2::interfaces::Input;
use crate::layer2::wire::rtnl::{self, Dump, Message};

/// The kernel's datagrams are a page or two; dumps up to 32 KiB.
const BUFFER: usize = 64 * 1024;

/// Room for the events of a node that starts a hundred pods at once. The kernel may give less.
const RECEIVE_BUFFER: usize = 1024 * 1024;

/// How soon a dump that was refused, interrupted or lost its events is repeated.
const AGAIN: Duration = Duration::from_millis(50);

/// Datagrams taken before other work has its turn.
const SLICE: usize = 256;

/// A dump takes milliseconds; one that is not complete after this long is asked for again.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Copy)]
enum State {
    Idle,
    /// Ask at this time.
    Due(Instant),
    /// Asked; give up at this time.
    Running {
        dump: Dump,
        sequence: u32,
        end: Instant,
    },
}

#[derive(Debug)]
pub(super) struct Netlink {
    socket: Socket,
    buffer: Box<[u8]>,
    state: State,
    sequence: u32,
    /// Something was lost or inconsistent since the running dump began.
    dirty: bool,
}

impl Netlink {
    /// Opens the socket; the first dump is due.
    pub(super) fn open(now: Instant) -> io::Result<Self> {
        let socket = sys::netlink_socket(sys::LINKS_AND_ADDRESSES)?;
        // Less room only means more dumps.
        let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
        Ok(Self {
            socket,
            buffer: vec![0; BUFFER].into_boxed_slice(),
            state: State::Due(now),
            sequence: 0,
            dirty: false,
        })
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        match self.state {
            State::Idle => None,
            State::Due(at) | State::Running { end: at, .. } => Some(at),
        }
    }

    /// Asks for the dump that is due, if one is.
    ///
    /// # Errors
    /// The kernel does not take the request; it is tried again.
    pub(super) fn tick(&mut self, now: Instant, tell: &mut impl FnMut(Input)) -> io::Result<()> {
        match self.state {
            State::Due(at) if at <= now => {
                tell(Input::ResyncStarted);
                self.dirty = false;
                self.ask(now, Dump::Links)
            }
            State::Running { end, .. } if end <= now => {
                self.state = State::Due(now + AGAIN);
                Ok(())
            }
            State::Idle | State::Due(_) | State::Running { .. } => Ok(()),
        }
    }

    fn ask(&mut self, now: Instant, dump: Dump) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1).max(1);
        match self.socket.send(&rtnl::request(dump, self.sequence)) {
            Ok(_) => {
                self.state = State::Running {
                    dump,
                    sequence: self.sequence,
                    end: now + PATIENCE,
                };
                Ok(())
            }
            Err(error) => {
                self.state = State::Due(now + AGAIN);
                Err(error)
            }
        }
    }

    /// Takes what waits, a slice at a time.
    ///
    /// # Errors
    /// The socket failed otherwise than by losing events, which leads to a new dump.
    pub(super) fn receive(&mut self, now: Instant, tell: &mut impl FnMut(Input)) -> io::Result<()> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut result = Ok(());
        for _ in 0..SLICE {
            match sys::receive_netlink(&self.socket, &mut buffer) {
                Ok(Datagram::Whole(octets)) => {
                    for received in rtnl::decode(octets) {
                        self.dirty |= received.interrupted;
                        self.take(now, received.sequence, received.message, tell);
                    }
                }
                Ok(Datagram::Useless) => self.lost(now),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // netlink(7): ENOBUFS says that messages were dropped.
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => self.lost(now),
                Err(error) => {
                    self.lost(now);
                    result = Err(error);
                    break;
                }
            }
        }
        self.buffer = buffer;
        result
    }

    fn lost(&mut self, now: Instant) {
        self.dirty = true;
        if matches!(self.state, State::Idle) {
            self.state = State::Due(now + AGAIN);
        }
    }

    fn take(&mut self, now: Instant, answers: u32, message: Message, tell: &mut impl FnMut(Input)) {
        let running = match self.state {
            State::Running { dump, sequence, .. } if sequence == answers => Some(dump),
            State::Running { .. } | State::Idle | State::Due(_) => None,
        };
        match (message, running) {
            (Message::Done, Some(Dump::Links)) => {
                // A failure to ask is tried again by the deadline that `ask` leaves.
                let _ = self.ask(now, Dump::Addresses);
            }
            (Message::Done, Some(Dump::Addresses)) => {
                if self.dirty {
                    self.state = State::Due(now + AGAIN);
                } else {
                    self.state = State::Idle;
                    tell(Input::ResyncDone);
                }
            }
            (Message::Refused(_), Some(_)) => self.state = State::Due(now + AGAIN),
            (Message::Done | Message::Refused(_), None) => {}
            (message, _) => tell(Input::Netlink(message)),
        }
    }
}

impl AsRawFd for Netlink {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}
