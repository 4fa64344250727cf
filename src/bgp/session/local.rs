//! Our end of a connection: what the router ID and the next hops are taken from.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::bgp::Params;
use crate::bgp::rib_out;
use crate::bgp::wire::Context;
use crate::bgp::wire::update::NextHop6;

/// Our end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Local {
    /// The connection's local address.
    pub address: IpAddr,
    /// All addresses of the interface that has it, in the kernel's order; none, if no interface has it.
    pub interface: Vec<IpAddr>,
}

impl Local {
    /// The BGP Identifier. Upstream: the configured one, else the local IPv4 address, else the first one of the
    /// interface, else what was made from the node's name.
    pub(super) fn router_id(&self, params: &Params) -> Ipv4Addr {
        params
            .router_id
            .or(self.ipv4())
            .unwrap_or(params.fallback_router_id)
    }

    /// What the routes of a session depend on.
    pub(super) fn routes(&self, params: &Params, context: Context) -> rib_out::Session {
        rib_out::Session {
            context,
            my_asn: params.my_asn,
            // RFC 8950 before the interface's IPv4 address: that this IPv6 address is reached is known, that other one
            // need not be.
            next_hop_v4: self.ipv4().filter(|_| !context.extended_next_hop),
            next_hop_v6: self.next_hop_v6(),
        }
    }

    /// RFC 2545 §2: the global address; the link-local one as well where the session is over one. Where there is but a
    /// link-local one it stands for both, as FRR has it.
    fn next_hop_v6(&self) -> Option<NextHop6> {
        let link_local = self.link_local();
        let over_link_local = matches!(self.address, IpAddr::V6(ip) if ip.is_unicast_link_local());
        match self.ipv6() {
            Some(global) => Some(NextHop6 {
                global,
                link_local: link_local.filter(|_| over_link_local),
            }),
            None => link_local.map(|ip| NextHop6 {
                global: ip,
                link_local,
            }),
        }
    }

    /// The connection's IPv4 address, else the first one of its interface.
    fn ipv4(&self) -> Option<Ipv4Addr> {
        match self.address {
            IpAddr::V4(ip) => Some(ip),
            IpAddr::V6(_) => self.interface.iter().find_map(|ip| match ip {
                IpAddr::V4(ip) if !ip.is_loopback() => Some(*ip),
                IpAddr::V4(_) | IpAddr::V6(_) => None,
            }),
        }
    }

    /// The connection's IPv6 address if it is not link-local, else the first such one of its interface.
    fn ipv6(&self) -> Option<Ipv6Addr> {
        self.first_ipv6(|ip| !ip.is_unicast_link_local())
    }

    /// The connection's link-local address, else the first one of its interface.
    fn link_local(&self) -> Option<Ipv6Addr> {
        self.first_ipv6(|ip| ip.is_unicast_link_local())
    }

    fn first_ipv6(&self, suits: impl Fn(&Ipv6Addr) -> bool) -> Option<Ipv6Addr> {
        match self.address {
            IpAddr::V6(ip) if suits(&ip) => Some(ip),
            IpAddr::V4(_) | IpAddr::V6(_) => self.interface.iter().find_map(|ip| match ip {
                IpAddr::V6(ip) if suits(ip) && !ip.is_loopback() => Some(*ip),
                IpAddr::V4(_) | IpAddr::V6(_) => None,
            }),
        }
    }
}
