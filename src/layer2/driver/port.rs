//! A responder's socket, and the snapshot that the responder thread works from.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use socket2::Socket;

use super::filter;
use super::sys::{self, Epoll, Waker};
use crate::layer2::announced::Announced;
use crate::layer2::responder::{Drop as Reason, Interface};
use crate::layer2::{Kind, Port};

/// linux/if_ether.h.
pub(super) const ETH_P_ARP: u16 = 0x0806;
pub(super) const ETH_P_IPV6: u16 = 0x86dd;

/// What a flood may pile up before frames are lost. The kernel gives at most net.core.rmem_max.
const RECEIVE_BUFFER: usize = 1024 * 1024;

/// An open responder. The socket is shared by its successive versions (the interface's address may change).
#[derive(Debug, Clone)]
pub(super) struct OpenPort {
    pub(super) port: Port,
    pub(super) name: Arc<str>,
    pub(super) interface: Interface,
    /// Never used again, so that a late event of a closed socket finds nobody.
    pub(super) token: u64,
    /// The responder gave up on the socket: it only returned errors.
    pub(super) broken: Arc<AtomicBool>,
    socket: Arc<Socket>,
}

impl OpenPort {
    /// Opens the socket, deaf until [`OpenPort::arm`].
    pub(super) fn open(
        port: Port,
        name: &str,
        interface: Interface,
        token: u64,
    ) -> io::Result<Self> {
        let socket = sys::packet_socket(&filter::program(port.kind, port.interface))?;
        // Less room, or a queue in between, only costs speed.
        let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
        let _ = sys::bypass_queueing(&socket);
        sys::bind_packet(&socket, port.interface, 0)?;
        Ok(Self {
            port,
            name: name.into(),
            interface,
            token,
            broken: Arc::default(),
            socket: Arc::new(socket),
        })
    }

    /// Hears from now on. Its filter is in place already: nothing slips in unfiltered.
    pub(super) fn arm(&self) -> io::Result<()> {
        let protocol = match self.port.kind {
            Kind::Arp => ETH_P_ARP,
            Kind::Ndp => ETH_P_IPV6,
        };
        sys::bind_packet(&self.socket, self.port.interface, protocol)
    }

    /// Announcements of other stations are not heard any more; requests are.
    pub(super) fn hand_over(&self) -> io::Result<()> {
        let program = filter::without_announcements(self.port.kind, self.port.interface);
        self.socket.attach_filter(&program)
    }

    /// Lets every multicast frame in, as long as the port is open.
    pub(super) fn all_multicast(&self) -> io::Result<()> {
        sys::all_multicast(&self.socket, self.port.interface)
    }
}

impl AsRawFd for OpenPort {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// Everything the responder thread looks at: immutable, replaced as a whole.
#[derive(Debug, Default)]
pub(super) struct Snapshot {
    pub(super) announced: Arc<Announced>,
    pub(super) ports: Arc<HashMap<u64, OpenPort>>,
}

/// What the threads share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) snapshot: ArcSwap<Snapshot>,
    pub(super) epoll: Epoll,
    /// Wakes the responder thread to see `stopping`.
    pub(super) responder: Waker,
    /// Wakes the control thread.
    pub(super) control: Waker,
    pub(super) stopping: AtomicBool,
    pub(super) drops: [AtomicU64; Reason::LABELS.len()],
    /// Answers that the kernel did not take.
    pub(super) unsent: AtomicU64,
}

impl Shared {
    pub(super) fn dropped(&self, reason: Reason) {
        if let Some(count) = self.drops.get(reason.index()) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.responder.wake();
        self.control.wake();
    }
}
