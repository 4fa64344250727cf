//! What 0.12's two BGP implementations refuse.
//!
//! Upstream looks at the document before it is checked otherwise, at texts as they are written.

use std::collections::HashSet;

use ferrolb_compat::go::quote::quote;
use ferrolb_compat::raw::ConfigFile;
use ferrolb_compat::yaml::Place;

use super::{Findings, pools};
use crate::config::mode::Mode;

/// Makes the checks of the mode.
pub(super) fn check(raw: &ConfigFile, mode: Mode, findings: &mut Findings) {
    match mode {
        Mode::Native => native(raw, findings),
        Mode::Frr => frr(raw, findings),
        Mode::FerroLb => {}
    }
}

/// The hint that closes a message about native mode.
const FRR_OR_FERROLB: &str = "it works in FRR mode and with FerroLB";

/// Native mode.
fn native(raw: &ConfigFile, findings: &mut Findings) {
    for (index, peer) in raw.peers.value.iter().enumerate() {
        let fields = [
            ("bfd-profile", &peer.bfd_profile),
            ("keepalive-time", &peer.keepalive_time),
        ];
        for (name, field) in fields {
            if !field.value.is_empty() {
                findings.add(
                    "native-mode",
                    format!("peers[{index}].{name}"),
                    field.place.or(peer.place).unwrap_or(Place::BEGIN),
                    format!(
                        "peer {} has {name} set: native bgp mode does not support it",
                        quote(&peer.peer_address.value)
                    ),
                    Some(FRR_OR_FERROLB.to_owned()),
                );
            }
        }
    }
    if !raw.bfd_profiles.value.is_empty() {
        findings.add(
            "native-mode",
            "bfd-profiles".to_owned(),
            raw.bfd_profiles.place.unwrap_or(Place::BEGIN),
            "bfd profiles section set: native bgp mode does not support BFD".to_owned(),
            Some(FRR_OR_FERROLB.to_owned()),
        );
    }
    for (index, pool) in raw.address_pools.value.iter().enumerate() {
        if pool.protocol.value != "bgp" {
            continue;
        }
        for (number, entry) in pool.addresses.value.iter().enumerate() {
            let path = format!("address-pools[{index}].addresses[{number}]");
            // Upstream refuses here what it could not parse.
            let Some(parsed) = pools::parse_entry(entry, &path, &pool.name.value, findings) else {
                continue;
            };
            if let Some(cidr) = parsed.cidrs().find(|cidr| cidr.addr().is_ipv6()) {
                findings.add(
                    "native-mode",
                    path,
                    entry.0.place.unwrap_or(Place::BEGIN),
                    format!(
                        "pool {} has ipv6 CIDR {cidr}: native bgp mode does not support ipv6",
                        quote(&pool.name.value)
                    ),
                    Some(FRR_OR_FERROLB.to_owned()),
                );
            }
        }
    }
}

/// FRR mode.
fn frr(raw: &ConfigFile, findings: &mut Findings) {
    let Some((first, others)) = raw.peers.value.split_first() else {
        return;
    };
    let mut addresses = HashSet::from([first.peer_address.value.as_str()]);
    for (index, peer) in others.iter().enumerate() {
        let index = index + 1;
        let place = peer.place.unwrap_or(Place::BEGIN);
        let mut refuse = |field: &str, at: Option<Place>, message: String| {
            let path = format!("peers[{index}].{field}");
            let help = "it works with FerroLB".to_owned();
            findings.add("frr-mode", path, at.unwrap_or(place), message, Some(help));
        };
        if peer.router_id.value != first.router_id.value && !peer.router_id.faulty {
            refuse(
                "router-id",
                peer.router_id.place,
                format!(
                    "router-id {} is not the first peer's {}: in FRR mode all must be equal",
                    quote(&peer.router_id.value),
                    quote(&first.router_id.value)
                ),
            );
        }
        let known = !peer.my_asn.faulty && !first.my_asn.faulty;
        if known && peer.my_asn.value != first.my_asn.value {
            refuse(
                "my-asn",
                peer.my_asn.place,
                format!(
                    "peer {} has my-asn {}, not the first peer's {}: in FRR mode all must be equal",
                    quote(&peer.peer_address.value),
                    peer.my_asn.value,
                    first.my_asn.value
                ),
            );
        }
        if !addresses.insert(&peer.peer_address.value) && !peer.peer_address.faulty {
            refuse(
                "peer-address",
                peer.peer_address.place,
                format!(
                    "peer {} already exists: FRR mode allows one peer per address",
                    quote(&peer.peer_address.value)
                ),
            );
        }
    }
}
