//! The report for programs.

use std::io::{self, Write};

use ferrolb_compat::go::duration::GoDuration;
use serde::Serialize;

use super::input::Checked;
use crate::config::error::Diagnostic;
use crate::config::settings::{PeerSettings, Settings};
use crate::config::{BfdProfile, BgpAdvertisement, Config, NodeSelector, Operator, Peer, Pool};

/// What stands for a password.
const HIDDEN: &str = "***";

/// Writes the report.
pub(super) fn write(out: &mut dyn Write, checked: &Checked, secrets: bool) -> io::Result<()> {
    let report = Report {
        valid: checked.is_valid(),
        diagnostics: checked.diagnostics.iter().map(Finding::from).collect(),
        config: checked
            .config
            .as_ref()
            .map(|config| Shown::of(config, secrets)),
    };
    serde_json::to_writer_pretty(&mut *out, &report)?;
    writeln!(out)
}

/// The whole report.
#[derive(Serialize)]
struct Report<'a> {
    valid: bool,
    diagnostics: Vec<Finding<'a>>,
    config: Option<Shown<'a>>,
}

/// One diagnostic.
#[derive(Serialize)]
struct Finding<'a> {
    /// Which text it is about: `data.config`, `data.ferrolb`.
    key: &'static str,
    severity: &'static str,
    code: &'static str,
    message: &'a str,
    path: &'a str,
    line: Option<usize>,
    column: Option<usize>,
    help: Option<&'a str>,
}

impl<'a> From<&'a Diagnostic> for Finding<'a> {
    fn from(diagnostic: &'a Diagnostic) -> Self {
        let known = |number: usize| (number > 0).then_some(number);
        Self {
            key: diagnostic.key.as_str(),
            severity: diagnostic.severity.as_str(),
            code: diagnostic.code,
            message: &diagnostic.message,
            path: &diagnostic.path,
            line: known(diagnostic.line),
            column: known(diagnostic.column),
            help: diagnostic.help.as_deref(),
        }
    }
}

/// The configuration.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown<'a> {
    peers: Vec<ShownPeer<'a>>,
    pools: Vec<ShownPool<'a>>,
    bfd_profiles: Vec<ShownProfile<'a>>,
    ferrolb: ShownSettings<'a>,
}

impl<'a> Shown<'a> {
    fn of(config: &'a Config, secrets: bool) -> Self {
        let peers = config.peers.iter();
        Self {
            peers: peers.map(|peer| ShownPeer::of(peer, secrets)).collect(),
            pools: config.pools.iter().map(ShownPool::from).collect(),
            bfd_profiles: config.bfd_profiles.iter().map(ShownProfile::from).collect(),
            ferrolb: ShownSettings::from(&config.settings),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownPeer<'a> {
    my_asn: u32,
    peer_asn: u32,
    peer_address: String,
    source_address: Option<String>,
    peer_port: u16,
    hold_time: String,
    keepalive_time: String,
    router_id: Option<String>,
    password: Option<&'a str>,
    bfd_profile: Option<&'a str>,
    ebgp_multihop: bool,
    node_selectors: Vec<ShownSelector<'a>>,
}

impl<'a> ShownPeer<'a> {
    fn of(peer: &'a Peer, secrets: bool) -> Self {
        let present = |text: &'a String| (!text.is_empty()).then_some(text.as_str());
        Self {
            my_asn: peer.my_asn,
            peer_asn: peer.peer_asn,
            peer_address: peer.peer_address.to_string(),
            source_address: peer.source_address.map(|ip| ip.to_string()),
            peer_port: peer.peer_port,
            hold_time: GoDuration::from(peer.hold_time).to_string(),
            keepalive_time: GoDuration::from(peer.keepalive_time).to_string(),
            router_id: peer.router_id.map(|ip| ip.to_string()),
            password: present(&peer.password).map(|text| if secrets { text } else { HIDDEN }),
            bfd_profile: present(&peer.bfd_profile),
            ebgp_multihop: peer.ebgp_multihop,
            node_selectors: peer
                .node_selectors
                .iter()
                .map(ShownSelector::from)
                .collect(),
        }
    }
}

/// In the form of Kubernetes' LabelSelector; without requirements it takes all nodes.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownSelector<'a> {
    match_expressions: Vec<ShownRequirement<'a>>,
}

#[derive(Serialize)]
struct ShownRequirement<'a> {
    key: &'a str,
    operator: &'static str,
    values: &'a [String],
}

impl<'a> From<&'a NodeSelector> for ShownSelector<'a> {
    fn from(selector: &'a NodeSelector) -> Self {
        let requirements = selector.requirements.iter();
        let shown = requirements.map(|requirement| ShownRequirement {
            key: &requirement.key,
            operator: match requirement.operator {
                Operator::In => "In",
                Operator::NotIn => "NotIn",
                Operator::Exists => "Exists",
                Operator::DoesNotExist => "DoesNotExist",
            },
            values: &requirement.values,
        });
        Self {
            match_expressions: shown.collect(),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownPool<'a> {
    name: &'a str,
    protocol: &'static str,
    auto_assign: bool,
    avoid_buggy_ips: bool,
    cidrs: Vec<String>,
    bgp_advertisements: Vec<ShownAdvertisement>,
}

impl<'a> From<&'a Pool> for ShownPool<'a> {
    fn from(pool: &'a Pool) -> Self {
        let advertisements = pool.bgp_advertisements.iter();
        Self {
            name: &pool.name,
            protocol: pool.protocol.as_str(),
            auto_assign: pool.auto_assign,
            avoid_buggy_ips: pool.avoid_buggy_ips,
            cidrs: pool.cidrs.iter().map(ToString::to_string).collect(),
            bgp_advertisements: advertisements.map(ShownAdvertisement::from).collect(),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownAdvertisement {
    aggregation_length: u8,
    #[serde(rename = "aggregationLengthV6")]
    aggregation_length_v6: u8,
    local_pref: u32,
    communities: Vec<String>,
}

impl From<&BgpAdvertisement> for ShownAdvertisement {
    fn from(advertisement: &BgpAdvertisement) -> Self {
        let communities = advertisement.communities.iter();
        Self {
            aggregation_length: advertisement.aggregation_length,
            aggregation_length_v6: advertisement.aggregation_length_v6,
            local_pref: advertisement.local_pref,
            communities: communities
                .map(|community| format!("{}:{}", community >> 16, community & 0xffff))
                .collect(),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownProfile<'a> {
    name: &'a str,
    receive_interval: Option<u32>,
    transmit_interval: Option<u32>,
    detect_multiplier: Option<u32>,
    echo_interval: Option<u32>,
    echo_mode: bool,
    passive_mode: bool,
    minimum_ttl: Option<u32>,
}

impl<'a> From<&'a BfdProfile> for ShownProfile<'a> {
    fn from(profile: &'a BfdProfile) -> Self {
        Self {
            name: &profile.name,
            receive_interval: profile.receive_interval,
            transmit_interval: profile.transmit_interval,
            detect_multiplier: profile.detect_multiplier,
            echo_interval: profile.echo_interval,
            echo_mode: profile.echo_mode,
            passive_mode: profile.passive_mode,
            minimum_ttl: profile.minimum_ttl,
        }
    }
}

/// The settings; where there are none, what holds all the same.
#[derive(Serialize)]
struct ShownSettings<'a> {
    bgp: ShownBgp<'a>,
    layer2: ShownLayer2<'a>,
    gossip: ShownGossip,
}

impl<'a> From<&'a Settings> for ShownSettings<'a> {
    fn from(settings: &'a Settings) -> Self {
        let peers = settings.bgp.peers.iter();
        Self {
            bgp: ShownBgp {
                general: ShownOptions::from(&settings.bgp.general),
                peers: peers
                    .map(|entry| ShownEntry {
                        peer_address: entry.peer_address.to_string(),
                        peer_port: entry.peer_port,
                        options: ShownOptions::from(&entry.settings),
                    })
                    .collect(),
            },
            layer2: ShownLayer2 {
                interfaces: &settings.layer2.interfaces,
                conflict_resolution: settings.layer2.conflict_resolution,
            },
            gossip: ShownGossip {
                fast_detection: settings.gossip.fast_detection,
            },
        }
    }
}

#[derive(Serialize)]
struct ShownBgp<'a> {
    general: ShownOptions<'a>,
    peers: Vec<ShownEntry<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownEntry<'a> {
    peer_address: String,
    peer_port: Option<u16>,
    #[serde(flatten)]
    options: ShownOptions<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownOptions<'a> {
    enabled: bool,
    graceful_restart: Option<String>,
    graceful_shutdown: Option<String>,
    ttl_security: Option<u8>,
    interface: Option<&'a str>,
    bfd_multihop: Option<bool>,
}

impl<'a> From<&'a PeerSettings> for ShownOptions<'a> {
    fn from(settings: &'a PeerSettings) -> Self {
        let shown = |duration| GoDuration::from(duration).to_string();
        Self {
            enabled: settings.enabled,
            graceful_restart: settings.graceful_restart.map(shown),
            graceful_shutdown: settings.graceful_shutdown.map(shown),
            ttl_security: settings.ttl_security,
            interface: settings.interface.as_deref(),
            bfd_multihop: settings.bfd_multihop,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownLayer2<'a> {
    interfaces: &'a [String],
    conflict_resolution: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownGossip {
    fast_detection: bool,
}
