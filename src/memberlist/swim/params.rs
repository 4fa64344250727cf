//! What a member is set up with.

use std::net::SocketAddr;
use std::time::Duration;

use crate::memberlist::heartbeat;
use crate::memberlist::keyring::OVERHEAD;
use crate::memberlist::wire::Name;
use crate::memberlist::wire::kin::Abilities;

/// Name, address, and memberlist's `DefaultLANConfig` of version 0.1.7, which MetalLB uses unchanged.
///
/// The times of a cluster belong together: members with other intervals judge each other by other clocks. Change them in
/// tests only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Params {
    /// Our name: the Kubernetes node name.
    pub name: Name,
    /// The address and port that we tell others. An IPv4 address must be `V4`: the mapped form would be another address
    /// to Go peers. The port also stands in where a peer says port 0.
    pub advertise: SocketAddr,
    /// Whether datagrams are encrypted, which costs 29 bytes of each packet's budget.
    pub encrypted: bool,

    /// One member is probed in each such interval (upstream 1 s).
    pub probe_interval: Duration,
    /// How long to wait for a direct answer before others are asked, and how long we wait when we are asked (upstream
    /// 500 ms). Below the interval.
    pub probe_timeout: Duration,
    /// How many others are asked (upstream 3).
    pub indirect_checks: usize,
    /// Whether a stream is tried as well (upstream: yes).
    pub stream_pings: bool,
    /// Our own health goes from 0, good, to one below this; a probe takes (health + 1) intervals (upstream 8).
    pub awareness_max: u32,

    /// Time between two rounds of gossip (upstream 200 ms).
    pub gossip_interval: Duration,
    /// Members told in one round (upstream 3).
    pub gossip_nodes: usize,
    /// How long a dead member is still told (so that it can refute if it is alive), and remembered (upstream 30 s).
    pub gossip_to_the_dead: Duration,
    /// Longest packet before encryption, in bytes (upstream 1400).
    pub packet_budget: usize,
    /// A claim is sent this many times ⌈log₁₀(N + 1)⌉ (upstream 4).
    pub retransmit_mult: u32,

    /// A suspect is dead after this many intervals · max(1, log₁₀ N) at the soonest (upstream 4).
    pub suspicion_mult: u32,
    /// And after this many times that at the latest (upstream 6).
    pub suspicion_max_timeout_mult: u32,

    /// Time between two push/pulls, up to 32 members (upstream 30 s).
    pub push_pull_interval: Duration,
    /// Time for a whole exchange on a stream (upstream 10 s for each step of it).
    pub stream_timeout: Duration,

    /// How long [`Input::Leave`](super::Input::Leave) takes at most (MetalLB 1 s).
    pub leave_timeout: Duration,
    /// How long a member that left is remembered. Deviation: version 0.1.7 remembers them for ever, later ones as long as
    /// dead ones. Long enough that no stale claim is about which would bring it back.
    pub reap_left_after: Duration,
    /// Time between two attempts to join those [`Input::Peers`](super::Input::Peers) that are no members. Deviation:
    /// MetalLB 60 s; shorter, because until then the two halves of a healed partition have two owners for each address.
    pub rejoin_interval: Duration,
    /// An input that comes this late after our deadline shows that we did not run: what we missed is no evidence against
    /// others. See [`stall`](super#late-ticks).
    pub late_after: Duration,

    /// What others are told that we are. `None`: nothing, as a Go node; then there is no fast detection.
    pub kin: Option<Abilities>,
    /// The times of the heartbeats.
    pub heartbeat: heartbeat::Params,

    /// Most records, ours included; further names are refused and counted.
    pub max_members: usize,
    /// Most indirect pings that we relay at a time; further ones are answered with a nack and counted.
    pub max_relays: usize,
    /// Most joins at a time; further ones wait.
    pub max_joins: usize,
}

impl Params {
    /// As MetalLB 0.12 sets memberlist up.
    #[must_use]
    pub fn lan(name: Name, advertise: SocketAddr, encrypted: bool) -> Self {
        Self {
            name,
            advertise,
            encrypted,
            probe_interval: Duration::from_secs(1),
            probe_timeout: Duration::from_millis(500),
            indirect_checks: 3,
            stream_pings: true,
            awareness_max: 8,
            gossip_interval: Duration::from_millis(200),
            gossip_nodes: 3,
            gossip_to_the_dead: Duration::from_secs(30),
            packet_budget: 1400,
            retransmit_mult: 4,
            suspicion_mult: 4,
            suspicion_max_timeout_mult: 6,
            push_pull_interval: Duration::from_secs(30),
            stream_timeout: Duration::from_secs(10),
            leave_timeout: Duration::from_secs(1),
            reap_left_after: Duration::from_secs(60 * 60),
            rejoin_interval: Duration::from_secs(20),
            late_after: Duration::from_millis(500),
            kin: Some(Abilities { fast: true }),
            heartbeat: heartbeat::Params::default(),
            max_members: 4096,
            max_relays: 256,
            max_joins: 8,
        }
    }

    /// Bytes of a packet for messages, their count and their lengths.
    pub(super) fn room(&self) -> usize {
        let sealed = if self.encrypted { OVERHEAD } else { 0 };
        self.packet_budget.saturating_sub(sealed)
    }
}
