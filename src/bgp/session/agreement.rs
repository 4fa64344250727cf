//! What we offer, and what two OPENs come to.

use std::time::Duration;

use super::Local;
use crate::bgp::Params;
use crate::bgp::wire::{self, Capability, Context, Family, NextHopEncoding, Open, RestartFamily};

/// What both ends have agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agreement {
    /// What bytes mean.
    pub context: Context,
    /// The lower of both Hold Times; 0: no timers.
    pub hold_time: Duration,
    /// How often to say KEEPALIVE, before jitter; 0: never.
    pub keepalive_time: Duration,
    /// Whether the peer keeps our routes when the connection ends without a NOTIFICATION (RFC 4724).
    pub keeps_routes: bool,
    /// Whether it keeps them with one too, but for a Hard Reset (RFC 8538).
    pub keeps_routes_on_notification: bool,
}

impl Agreement {
    /// Checks the peer's OPEN against the configuration and ours, as we sent it.
    ///
    /// # Errors
    ///
    /// RFC 4271 §6.2: Bad Peer AS, Bad BGP Identifier. The rest of an OPEN is checked where it is read.
    pub fn new(params: &Params, ours: &Open, theirs: &Open) -> Result<Self, wire::Error> {
        let received = theirs.asn();
        if received != params.peer_asn {
            return Err(wire::Error::PeerAs {
                received,
                expected: Some(params.peer_asn),
            });
        }
        // RFC 6286 §2.2: internal peers must not have the same identifier; external ones may.
        if params.is_internal() && theirs.bgp_identifier == ours.bgp_identifier {
            return Err(wire::Error::Identifier(theirs.bgp_identifier));
        }
        // RFC 4271 §4.2: the smaller of its configured Hold Time and the Hold Time received.
        let hold_time = Duration::from_secs(ours.hold_time.min(theirs.hold_time).into());
        // RFC 4271 §4.4: a reasonable maximum is one third of the Hold Time.
        let third = hold_time / 3;
        let keepalive_time = if params.keepalive_time.is_zero() {
            third
        } else {
            params.keepalive_time.min(third)
        };
        let restart = |open: &Open| match open.graceful_restart() {
            Some(Capability::GracefulRestart { notification, .. }) => Some(*notification),
            Some(_) | None => None,
        };
        let (ours_restart, theirs_restart) = (restart(ours), restart(theirs));
        Ok(Self {
            context: Context::negotiate(ours, theirs),
            hold_time,
            keepalive_time,
            keeps_routes: ours_restart.is_some() && theirs_restart.is_some(),
            keeps_routes_on_notification: ours_restart == Some(true)
                && theirs_restart == Some(true),
        })
    }
}

/// Our OPEN. `plain`: without capabilities, for a peer that refused an OPEN because of them (RFC 5492 §3). `restarted`:
/// no session with this peer was Established since the program began (RFC 4724 §4.1).
pub(super) fn our_open(params: &Params, local: &Local, plain: bool, restarted: bool) -> Open {
    let families = [Family::IPV4_UNICAST, Family::IPV6_UNICAST];
    let mut capabilities = Vec::new();
    if !plain {
        capabilities.extend(families.map(Capability::MultiProtocol));
        capabilities.push(Capability::RouteRefresh);
        capabilities.push(Capability::EnhancedRouteRefresh);
        capabilities.push(Capability::ExtendedMessage);
        capabilities.push(Capability::FourOctetAs(params.my_asn));
        if params.peer_address.is_ipv6() {
            capabilities.push(Capability::ExtendedNextHop(vec![NextHopEncoding {
                family: Family::IPV4_UNICAST,
                next_hop_afi: Family::IPV6_UNICAST.afi,
            }]));
        }
        if let Some(time) = params.graceful_restart {
            capabilities.push(Capability::GracefulRestart {
                restart_state: restarted,
                notification: true,
                time: u16::try_from(time.as_secs()).unwrap_or(u16::MAX),
                // The kernel goes on forwarding whatever this program does.
                families: families
                    .map(|family| RestartFamily {
                        family,
                        forwarding: true,
                    })
                    .to_vec(),
            });
        }
    }
    Open::new(
        params.my_asn,
        u16::try_from(params.hold_time.as_secs()).unwrap_or(u16::MAX),
        local.router_id(params),
        capabilities,
    )
}
