//! Peers with their BFD profiles, and what FerroLB's settings say of them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ferrolb_compat::crd::{BfdProfile, BgpPeer, NodeSelector, Resource, Spec};
use ferrolb_compat::go::duration::GoDuration;
use ferrolb_compat::go::ip::parse_ip;
use ferrolb_compat::migrate::Release;
use ferrolb_compat::yaml::emit::{self, Value};

use super::text::Build;
use super::{At, say};
use crate::migrate::Level;
use crate::migrate::settings::RESTART_TIME;

/// RFC 4271 §8.2.1: where BGP listens.
const DEFAULT_PORT: u16 = 179;
/// Where a peer says that it is asked to keep our routes.
const GRACEFUL_RESTART: &str = "spec.enableGracefulRestart";

impl Build<'_> {
    pub(super) fn peer(
        &mut self,
        resource: &Resource,
        peer: &BgpPeer,
        at: At,
        profiles: &BTreeMap<&str, &str>,
        secrets: &BTreeMap<&str, &str>,
        (v4, v6): (bool, bool),
    ) -> Value {
        let mut pairs: Vec<(String, Value)> = Vec::new();
        let mut put = |key: &str, value: Value| pairs.push((key.to_owned(), value));
        put("my-asn", Value::Int(peer.my_asn.into()));
        put("peer-asn", Value::Int(peer.peer_asn.into()));
        put("peer-address", Value::text(&peer.peer_address));
        for (key, text) in [
            ("source-address", &peer.source_address),
            ("router-id", &peer.router_id),
        ] {
            if !text.is_empty() {
                put(key, Value::text(text));
            }
        }
        if !matches!(peer.peer_port, 0 | 179) {
            put("peer-port", Value::Int(peer.peer_port.into()));
        }
        let (hold_time, keepalive_time) = self.times(peer);
        for (key, path, time) in [
            ("hold-time", "spec.holdTime", Some(hold_time)),
            ("keepalive-time", "spec.keepaliveTime", keepalive_time),
        ] {
            let Some(time) = time else {
                continue;
            };
            let whole = GoDuration(time.whole_seconds().saturating_mul(1_000_000_000));
            if whole != time {
                let message = format!("{time} becomes {whole}");
                self.findings
                    .push(say(Level::Info, "MIG072", resource, path, at, message));
            }
            put(key, Value::text(whole.to_string()));
        }
        if peer.ebgp_multihop {
            put("ebgp-multihop", Value::Bool(true));
        }
        if !peer.node_selectors.is_empty() {
            let selectors = peer.node_selectors.iter().map(selector_value);
            put("node-selectors", Value::List(selectors.collect()));
        }
        let password = if peer.password_secret.is_empty() {
            Some(peer.password.0.as_str())
        } else {
            secrets.get(peer.password_secret.as_str()).copied()
        };
        match password {
            Some("") => {}
            Some(password) => put("password", Value::text(password)),
            None => {
                let message = format!("the Secret {} is not there", peer.password_secret);
                let path = "spec.passwordSecret";
                let mut finding = say(Level::Blocked, "MIG065", resource, path, at, message);
                finding.diagnostic.help =
                    Some("give the file that has it as well, or --secrets FILE".to_owned());
                self.findings.push(finding);
            }
        }
        if !peer.bfd_profile.is_empty() {
            match profiles.get(peer.bfd_profile.as_str()) {
                Some(name) => put("bfd-profile", Value::text(*name)),
                None => {
                    let message = format!("the profile {} is not there", peer.bfd_profile);
                    let path = "spec.bfdProfile";
                    self.findings
                        .push(say(Level::Blocked, "MIG069", resource, path, at, message));
                }
            }
        }
        let own_only = self.mode.is_frr() && self.target >= Release::new(15, 0) && !peer.dual_stack;
        if own_only && let Some(address) = parse_ip(&peer.peer_address) {
            let other = if address.is_ipv4() { v6 } else { v4 };
            if other {
                let message = "routes of the other family do not go over this session".to_owned();
                let path = "spec.dualStackAddressFamily";
                self.lose("MIG066", resource, path, at, message);
            }
        }
        Value::Map(pairs)
    }

    /// FerroLB's settings for the peers that are asked to keep our routes over a restart; `None`: there is none.
    pub(super) fn settings(&mut self) -> Option<String> {
        // By address and port, and those of them with a peer that has it not.
        let (mut sessions, mut stay) = (BTreeSet::new(), BTreeSet::new());
        let mut peers: Vec<(&Resource, At, bool, (IpAddr, u16))> = Vec::new();
        for (resource, at) in &self.resources {
            let Spec::Peer(peer) = &resource.spec else {
                continue;
            };
            // 0.12 refuses a peer without an address.
            let Some(address) = parse_ip(&peer.peer_address) else {
                continue;
            };
            let port = if peer.peer_port == 0 {
                DEFAULT_PORT
            } else {
                peer.peer_port
            };
            sessions.insert((address, port));
            if !peer.graceful_restart {
                stay.insert((address, port));
            }
            peers.push((*resource, *at, peer.graceful_restart, (address, port)));
        }
        let count = peers.len();
        let mut kept = Vec::new();
        for (resource, at, _, key) in peers.into_iter().filter(|(_, _, restarts, _)| *restarts) {
            let why = if !self.mode.is_frr() {
                "native BGP refuses graceful restart"
            } else if self.options.without_settings {
                "0.12 has no graceful restart, and there is no place for FerroLB's settings"
            } else if stay.contains(&key) {
                "another peer with the address and port has no graceful restart, and FerroLB's settings do not tell them apart"
            } else {
                kept.push((resource, at, key));
                continue;
            };
            self.lose("MIG060", resource, GRACEFUL_RESTART, at, why.to_owned());
        }
        let (first, at, _) = kept.first().copied()?;
        let message = format!(
            "{} of {count} peers have graceful restart: `data.ferrolb` says so, which FerroLB reads and MetalLB 0.12 does not",
            kept.len()
        );
        self.findings.push(say(
            Level::Warning,
            "MIG075",
            first,
            GRACEFUL_RESTART,
            at,
            message,
        ));
        let time = GoDuration::from(RESTART_TIME).to_string();
        let restart = ("graceful-restart", Value::text(time));
        let bgp = if kept.len() == count {
            Value::map([restart])
        } else {
            let keys: BTreeSet<(IpAddr, u16)> = kept.iter().map(|(_, _, key)| *key).collect();
            let entries = keys.into_iter().map(|(address, port)| {
                let address_text = Value::text(address.to_string());
                let has_others = sessions
                    .iter()
                    .any(|(other, at)| *other == address && *at != port);
                let pairs = [("peer-address", address_text), restart.clone()];
                let port = ("peer-port", Value::Int(port.into()));
                let pairs = pairs.into_iter().chain(has_others.then_some(port));
                Value::Map(pairs.map(|(key, value)| (key.to_owned(), value)).collect())
            });
            Value::map([("peers", Value::List(entries.collect()))])
        };
        let mut out = String::new();
        emit::write(&mut out, &Value::map([("bgp", bgp)]));
        Some(out)
    }

    /// The hold time, and the keepalive time where it is not a third of it.
    fn times(&self, peer: &BgpPeer) -> (GoDuration, Option<GoDuration>) {
        let seconds = |seconds: i64| GoDuration(seconds * 1_000_000_000);
        if self.target < Release::new(14, 9) {
            // A time of 0 is none.
            let given = |time: Option<GoDuration>| time.filter(|time| time.0 != 0);
            let hold_time = given(peer.hold_time).unwrap_or(seconds(90));
            return (hold_time, given(peer.keepalive_time));
        }
        match peer.hold_time {
            Some(hold_time) => (hold_time, peer.keepalive_time),
            // FRR's own defaults.
            None if self.mode.is_frr() => (seconds(180), peer.keepalive_time.or(Some(seconds(60)))),
            None => (seconds(90), peer.keepalive_time),
        }
    }
}

pub(super) fn profile_value(name: &str, profile: &BfdProfile) -> Value {
    let mut pairs = vec![("name".to_owned(), Value::text(name))];
    for (key, number) in [
        ("receive-interval", profile.receive_interval),
        ("transmit-interval", profile.transmit_interval),
        ("detect-multiplier", profile.detect_multiplier),
        ("echo-interval", profile.echo_interval),
        ("minimum-ttl", profile.minimum_ttl),
    ] {
        if let Some(number) = number {
            pairs.push((key.to_owned(), Value::Int(number.into())));
        }
    }
    for (key, flag) in [
        ("echo-mode", profile.echo_mode),
        ("passive-mode", profile.passive_mode),
    ] {
        if flag {
            pairs.push((key.to_owned(), Value::Bool(true)));
        }
    }
    Value::Map(pairs)
}

fn selector_value(selector: &NodeSelector) -> Value {
    let mut pairs = Vec::new();
    if !selector.match_labels.is_empty() {
        let labels = selector
            .match_labels
            .iter()
            .map(|(key, value)| (key.clone(), Value::text(value)));
        pairs.push(("match-labels".to_owned(), Value::Map(labels.collect())));
    }
    if !selector.match_expressions.is_empty() {
        let expressions = selector.match_expressions.iter().map(|expression| {
            let mut pairs = vec![
                ("key".to_owned(), Value::text(&expression.key)),
                ("operator".to_owned(), Value::text(&expression.operator)),
            ];
            if !expression.values.is_empty() {
                pairs.push(("values".to_owned(), Value::texts(&expression.values)));
            }
            Value::Map(pairs)
        });
        pairs.push((
            "match-expressions".to_owned(),
            Value::List(expressions.collect()),
        ));
    }
    Value::Map(pairs)
}
