//! The section `peers`.

use std::collections::HashSet;
use std::net::IpAddr;
use std::time::Duration;

use ferrolb_compat::go::duration::GoDuration;
use ferrolb_compat::go::ip::parse_ip;
use ferrolb_compat::go::quote::quote;
use ferrolb_compat::raw::{self, ConfigFile};
use ferrolb_compat::yaml::Place;
use ferrolb_compat::yaml::decode::Field;

use super::{Findings, selectors};
use crate::config::{NodeSelector, Peer};

/// RFC 4271 §10 suggests 90 seconds; upstream's default.
const DEFAULT_HOLD_TIME: Duration = Duration::from_secs(90);
/// RFC 4271 §4.2: the hold time is zero or at least three seconds.
const LEAST_HOLD_TIME: i64 = 3;
/// BGP's port.
const DEFAULT_PORT: u16 = 179;

/// Checks and takes the peers.
pub(super) fn parse(raw: &ConfigFile, findings: &mut Findings) -> Vec<Peer> {
    let profiles: HashSet<&str> = raw
        .bfd_profiles
        .value
        .iter()
        .map(|profile| profile.name.value.as_str())
        .collect();
    let mut seen = HashSet::new();
    let mut peers = Vec::new();
    for (index, peer) in raw.peers.value.iter().enumerate() {
        let mut check = Check {
            peer,
            path: format!("peers[{index}]"),
            findings,
        };
        let parsed = check.parse();
        let profile = &peer.bfd_profile;
        // The list of profiles is not known if it could not be read.
        let known = raw.bfd_profiles.faulty || profiles.contains(profile.value.as_str());
        if !profile.value.is_empty() && !known {
            check.refuse(
                "unknown-bfd-profile",
                "bfd-profile",
                profile.place,
                format!("there is no bfd profile {}", quote(&profile.value)),
                Some("define it under `bfd-profiles`".to_owned()),
            );
        }
        // Upstream: equal in every field. The selectors are compared as they are written.
        if let Some((peer, written)) = parsed {
            if !seen.insert((peer.clone(), written)) {
                check.refuse(
                    "duplicate-peer",
                    "",
                    None,
                    format!("peer #{} already exists", index + 1),
                    Some("remove it, or change what is meant to differ".to_owned()),
                );
            }
            peers.push(peer);
        }
    }
    peers
}

/// The checks of one peer.
struct Check<'a> {
    /// As decoded.
    peer: &'a raw::Peer,
    /// `peers[0]`
    path: String,
    /// Where errors go.
    findings: &'a mut Findings,
}

impl Check<'_> {
    /// Checks all of it; `None` if something is wrong.
    fn parse(&mut self) -> Option<(Peer, Vec<selectors::Written>)> {
        let peer = self.peer;
        let my_asn = self.asn(
            "missing-my-asn",
            "my-asn",
            &peer.my_asn,
            "missing local ASN",
        );
        let peer_asn = self.asn(
            "missing-peer-asn",
            "peer-asn",
            &peer.peer_asn,
            "missing peer ASN",
        );
        if my_asn.is_some() && my_asn == peer_asn && peer.ebgp_multihop.value {
            self.refuse(
                "ibgp-multihop",
                "ebgp-multihop",
                peer.ebgp_multihop.place,
                "ebgp-multihop is set, and my-asn and peer-asn are equal".to_owned(),
                Some("remove ebgp-multihop: iBGP peers may be any number of hops away".to_owned()),
            );
        }
        let peer_address = self.peer_address();
        let hold_time = self.hold_time();
        let keepalive_time = self.keepalive_time(hold_time);
        let router_id = self.optional_ip("invalid-router-id", "router-id", &peer.router_id);
        let source_address = self.optional_ip(
            "invalid-source-address",
            "source-address",
            &peer.source_address,
        );
        let (node_selectors, written) = self.node_selectors();
        let parsed = Peer {
            my_asn: my_asn?,
            peer_asn: peer_asn?,
            peer_address: peer_address?,
            source_address: source_address?,
            peer_port: match peer.peer_port.value {
                0 => DEFAULT_PORT,
                port => port,
            },
            hold_time: hold_time?,
            keepalive_time: keepalive_time?,
            router_id: router_id?,
            node_selectors,
            password: peer.password.value.clone(),
            bfd_profile: peer.bfd_profile.value.clone(),
            ebgp_multihop: peer.ebgp_multihop.value,
        };
        Some((parsed, written))
    }

    /// Adds an error about a field; an empty name is the peer itself.
    fn refuse(
        &mut self,
        code: &'static str,
        field: &str,
        place: Option<Place>,
        message: String,
        help: Option<String>,
    ) {
        let path = match field {
            "" => self.path.clone(),
            field => format!("{}.{field}", self.path),
        };
        let place = place.or(self.peer.place).unwrap_or(Place::BEGIN);
        self.findings.add(code, path, place, message, help);
    }

    /// A required AS number.
    fn asn(
        &mut self,
        code: &'static str,
        name: &'static str,
        field: &Field<u32>,
        message: &str,
    ) -> Option<u32> {
        if field.value != 0 {
            return Some(field.value);
        }
        if !field.faulty {
            let help = format!("set `{name}` to a number from 1 to 4294967295");
            self.refuse(code, name, field.place, message.to_owned(), Some(help));
        }
        None
    }

    /// The address to dial.
    fn peer_address(&mut self) -> Option<IpAddr> {
        let field = &self.peer.peer_address;
        let parsed = parse_ip(&field.value);
        if parsed.is_none() && !field.faulty {
            let help = field
                .value
                .contains('/')
                .then(|| "write the address alone, without the prefix length".to_owned());
            self.refuse(
                "invalid-peer-address",
                "peer-address",
                field.place,
                format!("invalid peer IP {}", quote(&field.value)),
                help,
            );
        }
        parsed
    }

    /// An address that may be absent. The outer `None`: it is wrong.
    fn optional_ip(
        &mut self,
        code: &'static str,
        name: &'static str,
        field: &Field<String>,
    ) -> Option<Option<IpAddr>> {
        if field.value.is_empty() {
            return Some(None);
        }
        let parsed = parse_ip(&field.value);
        if parsed.is_none() {
            let message = format!("invalid {name} {}: not an IP address", quote(&field.value));
            self.refuse(code, name, field.place, message, None);
        }
        parsed.map(Some)
    }

    /// Whole seconds, zero or at least three.
    fn hold_time(&mut self) -> Option<Duration> {
        let field = &self.peer.hold_time;
        if field.value.is_empty() {
            return Some(DEFAULT_HOLD_TIME);
        }
        let fault = match GoDuration::parse(&field.value) {
            Ok(duration) => match duration.whole_seconds() {
                0 => return Some(Duration::ZERO),
                seconds if seconds >= LEAST_HOLD_TIME => {
                    return Some(Duration::from_secs(seconds.unsigned_abs()));
                }
                _ => "must be 0 or >=3s".to_owned(),
            },
            Err(error) => error.to_string(),
        };
        let message = format!("invalid hold time {}: {fault}", quote(&field.value));
        self.refuse("invalid-hold-time", "hold-time", field.place, message, None);
        None
    }

    /// Whole seconds, not more than the hold time; a third of it if absent.
    fn keepalive_time(&mut self, hold_time: Option<Duration>) -> Option<Duration> {
        let field = &self.peer.keepalive_time;
        if field.value.is_empty() {
            return hold_time.map(|hold_time| hold_time / 3);
        }
        let fault = match GoDuration::parse(&field.value) {
            Ok(duration) => {
                // Deviation: upstream hands a negative time to FRR, which refuses it; here it is none at all.
                let seconds = u64::try_from(duration.whole_seconds()).unwrap_or(0);
                let keepalive_time = Duration::from_secs(seconds);
                if hold_time.is_none_or(|hold_time| keepalive_time <= hold_time) {
                    return Some(keepalive_time);
                }
                "must not be longer than the hold time".to_owned()
            }
            Err(error) => error.to_string(),
        };
        let message = format!("invalid keepalive time {}: {fault}", quote(&field.value));
        self.refuse(
            "invalid-keepalive-time",
            "keepalive-time",
            field.place,
            message,
            None,
        );
        None
    }

    /// The selectors; without any, one that takes all nodes.
    fn node_selectors(&mut self) -> (Vec<NodeSelector>, Vec<selectors::Written>) {
        let selectors = &self.peer.node_selectors.value;
        if selectors.is_empty() {
            return (vec![NodeSelector::default()], vec![Vec::new()]);
        }
        selectors
            .iter()
            .enumerate()
            .map(|(index, selector)| {
                let path = format!("{}.node-selectors[{index}]", self.path);
                selectors::parse(selector, &path, self.findings)
            })
            .unzip()
    }
}
