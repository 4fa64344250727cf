//! Where layer 2 would answer, without answering: needs no rights.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use super::netlink::Netlink;
use crate::layer2::Kind;
use crate::layer2::interfaces::{Input, Interfaces, Output, Params};
use crate::machine::Machine as _;

/// A dump takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(2);

/// The interfaces on which there would be responders now, by name, and which: in the network namespace of the calling
/// thread, which waits for the kernel.
///
/// # Errors
/// The kernel does not say which interfaces there are.
pub fn survey(params: &super::Params) -> io::Result<BTreeMap<String, Vec<Kind>>> {
    let begun = Instant::now();
    let mut netlink = Netlink::open(begun)?;
    let mut machine = Interfaces::new(Params {
        interfaces: params.interfaces.clone(),
        loopback_is_ours: params.loopback_is_ours,
    });
    let mut complete = false;
    while !complete {
        let now = Instant::now();
        let mut tell = |input: Input| {
            complete |= input == Input::ResyncDone;
            machine.handle(now, input);
        };
        netlink.tick(now, &mut tell)?;
        netlink.receive(now, &mut tell)?;
        if complete {
            break;
        }
        if begun.elapsed() > PATIENCE {
            return Err(io::ErrorKind::TimedOut.into());
        }
        wait(&netlink)?;
    }
    let mut found: BTreeMap<String, Vec<Kind>> = BTreeMap::new();
    while let Some(output) = machine.poll_output() {
        match output {
            Output::Open(responder) => found
                .entry(responder.name)
                .or_default()
                .push(responder.port.kind),
            Output::Close(responder) => {
                if let Some(kinds) = found.get_mut(&responder.name) {
                    kinds.retain(|kind| *kind != responder.port.kind);
                }
            }
            Output::Change(_)
            | Output::PortUp(_)
            | Output::ReadArpIgnore(_)
            | Output::Report(_) => {}
        }
    }
    found.retain(|_, kinds| !kinds.is_empty());
    Ok(found)
}

/// Waits until the kernel has said something, at most until what is due next.
#[expect(unsafe_code, reason = "poll(2) of one descriptor")]
fn wait(netlink: &Netlink) -> io::Result<()> {
    let mut poll = libc::pollfd {
        fd: netlink.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: one valid pollfd, and the count says one.
    match unsafe { libc::poll(&raw mut poll, 1, 50) } {
        -1 => match io::Error::last_os_error() {
            error if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            error => Err(error),
        },
        _ => Ok(()),
    }
}
