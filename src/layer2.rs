//! Layer 2: answering ARP requests and neighbour solicitations for announced addresses.

use std::net::IpAddr;

/// What the speaker asks of layer 2. Both are idempotent: an address is announced or it is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Answer for this address and send its gratuitous burst (once, when it was not announced before).
    Announce(IpAddr),
    /// Be silent about this address from now on; groups that nobody needs are left.
    Withdraw(IpAddr),
}
