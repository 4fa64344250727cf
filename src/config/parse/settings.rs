//! The settings: the second text of the ConfigMap, read by the same rules as the first.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ferrolb_compat::go::duration::GoDuration;
use ferrolb_compat::go::ip::parse_ip;
use ferrolb_compat::go::quote::quote;
use ferrolb_compat::record;
use ferrolb_compat::yaml::decode::{self, Decode, Decoder, Field, GiveUp, Text};
use ferrolb_compat::yaml::{Document, NodeId, Place};

use super::warnings::Look;
use super::{ExaminedSettings, Findings};
use crate::config::error::Key;
use crate::config::settings::{
    BgpSettings, GossipSettings, Layer2Settings, PeerEntry, PeerSettings, Settings,
};
use crate::config::{Config, Peer};

#[cfg(test)]
mod tests;

/// RFC 4724 §3: the Restart Time has 12 bits, in seconds.
const LONGEST_RESTART: i64 = 4095;
/// A pod is given 2 s to end (`terminationGracePeriodSeconds` of the manifest), and the rest of the farewell needs some of it.
const LONGEST_SHUTDOWN: Duration = Duration::from_secs(1);
/// RFC 5082: a packet has at most 255 hops, and with all of them nothing would be protected.
const MOST_HOPS: u32 = 254;
/// Linux: IFNAMSIZ with its zero.
const LONGEST_INTERFACE: usize = 15;
/// Interfaces of one host that anybody announces on.
const MOST_INTERFACES: usize = 256;
/// Addresses that a hint names.
const NAMED: usize = 5;

record! {
    /// The whole document.
    pub struct SettingsFile {
        /// BGP.
        "bgp" => bgp: BgpSection,
        /// Layer 2.
        "layer2" => layer2: Layer2Section,
        /// The gossip between speakers.
        "gossip" => gossip: GossipSection,
    }
}

record! {
    /// BGP.
    pub struct BgpSection {
        /// Go duration.
        "graceful-restart" => graceful_restart: String,
        /// Go duration.
        "graceful-shutdown" => graceful_shutdown: String,
        /// Hops.
        "ttl-security" => ttl_security: Option<u32>,
        /// Entries for single peers.
        "peers" => peers: Vec<PeerSection>,
    }
}

record! {
    /// What is different for a peer.
    pub struct PeerSection {
        /// As in the other document.
        "peer-address" => peer_address: String,
        /// As in the other document; 0: any.
        "peer-port" => peer_port: u16,
        /// Whether there is a session.
        "enabled" => enabled: Option<bool>,
        /// Go duration.
        "graceful-restart" => graceful_restart: String,
        /// Go duration.
        "graceful-shutdown" => graceful_shutdown: String,
        /// Hops.
        "ttl-security" => ttl_security: Option<u32>,
        /// Name of an interface.
        "interface" => interface: String,
        /// Whether BFD reckons with several hops.
        "bfd-multihop" => bfd_multihop: Option<bool>,
    }
}

record! {
    /// Layer 2.
    pub struct Layer2Section {
        /// Names of interfaces.
        "interfaces" => interfaces: Vec<Text>,
        /// Whether one of two owners gives way.
        "conflict-resolution" => conflict_resolution: Option<bool>,
    }
}

record! {
    /// The gossip between speakers.
    pub struct GossipSection {
        /// Whether dead speakers are noticed sooner.
        "fast-detection" => fast_detection: Option<bool>,
    }
}

macro_rules! decode_as_record {
    ($($type:ty),*) => {$(
        impl Decode for $type {
            fn decode(&mut self, decoder: &mut Decoder<'_>, id: NodeId) -> Result<bool, GiveUp> {
                decoder.record(id, self)
            }
        }
    )*};
}

decode_as_record!(BgpSection, Layer2Section, GossipSection);

/// Checks and takes the settings; `config` is what they belong to, where that is valid.
pub(super) fn examine(text: &str, config: Option<&Config>) -> ExaminedSettings {
    let mut findings = Findings::default();
    let mut settings = None;
    let mut look = Look::default();
    match Document::parse(text) {
        Ok(document) => {
            let decoded = decode::decode::<SettingsFile>(&document, document.root());
            for fault in decoded.faults {
                findings.add_fault(fault);
            }
            findings.unkept += decoded.unkept;
            if !decoded.given_up {
                let parsed = parse(&decoded.value, config, &mut findings);
                look.later_documents(text);
                if findings.errors.is_empty() {
                    odd(&decoded.value, &parsed, config, &mut look);
                    settings = Some(parsed);
                }
            }
        }
        Err(error) => {
            let help = error.help.map(str::to_owned);
            findings.add("syntax", String::new(), error.place, error.message, help);
        }
    }
    let mut warnings = look.sorted();
    for diagnostic in findings.errors.iter_mut().chain(&mut warnings) {
        diagnostic.key = Key::Ferrolb;
    }
    ExaminedSettings {
        settings,
        errors: findings.errors,
        warnings,
        unkept: findings.unkept,
    }
}

/// The checks, in the order of the document.
fn parse(raw: &SettingsFile, config: Option<&Config>, findings: &mut Findings) -> Settings {
    Settings {
        bgp: parse_bgp(&raw.bgp.value, config, findings),
        layer2: parse_layer2(&raw.layer2.value, findings),
        gossip: GossipSettings {
            fast_detection: raw.gossip.value.fast_detection.value.unwrap_or(true),
        },
    }
}

fn parse_bgp(raw: &BgpSection, config: Option<&Config>, findings: &mut Findings) -> BgpSettings {
    let mut check = Check {
        path: "bgp".to_owned(),
        at: raw.place,
        findings,
    };
    let general = PeerSettings {
        graceful_restart: check.graceful_restart(&raw.graceful_restart).flatten(),
        graceful_shutdown: check.graceful_shutdown(&raw.graceful_shutdown).flatten(),
        ttl_security: check.ttl_security(&raw.ttl_security).flatten(),
        ..PeerSettings::default()
    };
    let mut peers: Vec<PeerEntry> = Vec::new();
    for (index, peer) in raw.peers.value.iter().enumerate() {
        let mut check = Check {
            path: format!("bgp.peers[{index}]"),
            at: peer.place,
            findings,
        };
        let Some(entry) = check.peer(peer, &general) else {
            continue;
        };
        if let Some(config) = config {
            check.belongs(peer, &entry, &config.peers);
        }
        let same = |other: &PeerEntry| {
            (other.peer_address, other.peer_port) == (entry.peer_address, entry.peer_port)
        };
        if peers.iter().any(same) {
            check.refuse(
                "duplicate-peer",
                "peer-address",
                peer.peer_address.place,
                format!(
                    "there is an entry for {} already",
                    quote(&peer.peer_address.value)
                ),
                Some("keep one of them, or tell them apart by `peer-port`".to_owned()),
            );
            continue;
        }
        peers.push(entry);
    }
    BgpSettings { general, peers }
}

fn parse_layer2(raw: &Layer2Section, findings: &mut Findings) -> Layer2Settings {
    let mut check = Check {
        path: "layer2".to_owned(),
        at: raw.place,
        findings,
    };
    let names = &raw.interfaces;
    if names.value.len() > MOST_INTERFACES {
        check.refuse(
            "too-large",
            "interfaces",
            names.place,
            format!("more than {MOST_INTERFACES} interfaces"),
            Some("leave `interfaces` out to announce on all".to_owned()),
        );
    }
    let mut interfaces = Vec::new();
    for (index, name) in names.value.iter().take(MOST_INTERFACES).enumerate() {
        let field = format!("interfaces[{index}]");
        if check.interface(&field, name.0.place, &name.0.value, name.0.faulty) {
            interfaces.push(name.0.value.to_string());
        }
    }
    Layer2Settings {
        interfaces,
        conflict_resolution: raw.conflict_resolution.value.unwrap_or(true),
    }
}

/// The checks of one section.
struct Check<'a> {
    /// `bgp.peers[0]`
    path: String,
    /// Where the section stands.
    at: Option<Place>,
    /// Where errors go.
    findings: &'a mut Findings,
}

impl Check<'_> {
    /// Adds an error about a field.
    fn refuse(
        &mut self,
        code: &'static str,
        field: &str,
        place: Option<Place>,
        message: String,
        help: Option<String>,
    ) {
        let path = format!("{}.{field}", self.path);
        let place = place.or(self.at).unwrap_or(Place::BEGIN);
        self.findings.add(code, path, place, message, help);
    }

    /// An entry for a peer.
    fn peer(&mut self, raw: &PeerSection, general: &PeerSettings) -> Option<PeerEntry> {
        let settings = PeerSettings {
            enabled: raw.enabled.value.unwrap_or(true),
            graceful_restart: self
                .graceful_restart(&raw.graceful_restart)
                .unwrap_or(general.graceful_restart),
            graceful_shutdown: self
                .graceful_shutdown(&raw.graceful_shutdown)
                .unwrap_or(general.graceful_shutdown),
            ttl_security: self
                .ttl_security(&raw.ttl_security)
                .unwrap_or(general.ttl_security),
            interface: (!raw.interface.value.is_empty())
                .then(|| Arc::from(raw.interface.value.as_str())),
            bfd_multihop: raw.bfd_multihop.value,
        };
        let field = &raw.peer_address;
        let peer_address = parse_ip(&field.value);
        if peer_address.is_none() && !field.faulty {
            self.refuse(
                "invalid-peer-address",
                "peer-address",
                field.place,
                format!("invalid peer IP {}", quote(&field.value)),
                Some("write the `peer-address` of one of the peers in `data.config`".to_owned()),
            );
        }
        let peer_address = peer_address?;
        if settings.interface.is_some()
            && self.interface(
                "interface",
                raw.interface.place,
                &raw.interface.value,
                raw.interface.faulty,
            )
            && !is_link_local(peer_address)
        {
            self.refuse(
                "interface-not-link-local",
                "interface",
                raw.interface.place,
                format!("{peer_address} is no link-local address: it needs no interface"),
                Some("remove `interface`: the kernel's routes say which one it is".to_owned()),
            );
        }
        Some(PeerEntry {
            peer_address,
            peer_port: (raw.peer_port.value != 0).then_some(raw.peer_port.value),
            settings,
        })
    }

    /// An entry is for a peer that exists.
    fn belongs(&mut self, raw: &PeerSection, entry: &PeerEntry, peers: &[Peer]) {
        let same_address = |peer: &&Peer| peer.peer_address == entry.peer_address;
        let ports: Vec<String> = peers
            .iter()
            .filter(same_address)
            .map(|peer| peer.peer_port.to_string())
            .collect();
        if ports.is_empty() {
            let mut known: Vec<String> = peers
                .iter()
                .take(NAMED)
                .map(|peer| peer.peer_address.to_string())
                .collect();
            known.dedup();
            let help = match (known.is_empty(), peers.len() > NAMED) {
                (true, _) => "it has no peers: add one there, or remove this entry".to_owned(),
                (false, false) => format!("its peers are {}", known.join(", ")),
                (false, true) => format!("its first peers are {}", known.join(", ")),
            };
            self.refuse(
                "unknown-peer",
                "peer-address",
                raw.peer_address.place,
                format!("{} is no peer of `data.config`", entry.peer_address),
                Some(help),
            );
        } else if let Some(port) = entry.peer_port
            && !ports.contains(&port.to_string())
        {
            self.refuse(
                "unknown-peer",
                "peer-port",
                raw.peer_port.place,
                format!(
                    "no peer of `data.config` has the address {} and the port {port}",
                    entry.peer_address
                ),
                Some(format!("the peer's port is {}", ports.join(" or "))),
            );
        }
    }

    /// Whole seconds; 0: not offered. The outer `None`: the field is absent, or wrong.
    fn graceful_restart(&mut self, field: &Field<String>) -> Option<Option<Duration>> {
        let duration = self.duration("graceful-restart", field)?;
        let seconds = duration.whole_seconds();
        if duration.0 == 0 {
            return Some(None);
        }
        if (1..=LONGEST_RESTART).contains(&seconds) {
            return Some(Some(Duration::from_secs(seconds.unsigned_abs())));
        }
        self.refuse(
            "invalid-graceful-restart",
            "graceful-restart",
            field.place,
            format!(
                "invalid time {}: must be 0 or from 1s to {LONGEST_RESTART}s",
                quote(&field.value)
            ),
            Some("120s is what most routers use".to_owned()),
        );
        None
    }

    /// At most a second; 0: not announced. The outer `None`: the field is absent, or wrong.
    fn graceful_shutdown(&mut self, field: &Field<String>) -> Option<Option<Duration>> {
        let nanos = self.duration("graceful-shutdown", field)?.0;
        if nanos == 0 {
            return Some(None);
        }
        let duration = u64::try_from(nanos).ok().map(Duration::from_nanos);
        if let Some(duration) = duration.filter(|duration| *duration <= LONGEST_SHUTDOWN) {
            return Some(Some(duration));
        }
        self.refuse(
            "invalid-graceful-shutdown",
            "graceful-shutdown",
            field.place,
            format!("invalid time {}: must be from 0 to 1s", quote(&field.value)),
            Some("a pod is given 2s to end".to_owned()),
        );
        None
    }

    /// A Go duration; `None`: absent, or wrong.
    fn duration(&mut self, name: &str, field: &Field<String>) -> Option<GoDuration> {
        if field.value.is_empty() {
            return None;
        }
        match GoDuration::parse(&field.value) {
            Ok(duration) => Some(duration),
            Err(error) => {
                self.refuse("invalid-time", name, field.place, error.to_string(), None);
                None
            }
        }
    }

    /// Hops; 0: off. The outer `None`: the field is absent, or wrong.
    fn ttl_security(&mut self, field: &Field<Option<u32>>) -> Option<Option<u8>> {
        let hops = field.value?;
        if let Some(hops) = u8::try_from(hops)
            .ok()
            .filter(|hops| u32::from(*hops) <= MOST_HOPS)
        {
            return Some((hops > 0).then_some(hops));
        }
        self.refuse(
            "invalid-ttl-security",
            "ttl-security",
            field.place,
            format!("invalid value {hops}, must be in 0-{MOST_HOPS} range"),
            Some("1 is a peer in the same network".to_owned()),
        );
        None
    }

    /// Whether this can be the name of an interface.
    fn interface(&mut self, field: &str, place: Option<Place>, name: &str, faulty: bool) -> bool {
        let fits = (1..=LONGEST_INTERFACE).contains(&name.len())
            && !matches!(name, "." | "..")
            && !name
                .contains(|c: char| c == '/' || c == ':' || c.is_whitespace() || c.is_control());
        if !fits && !faulty {
            self.refuse(
                "invalid-interface",
                field,
                place,
                format!("{} is no name of an interface", quote(name)),
                Some("`ip link` shows them, such as eth0".to_owned()),
            );
        }
        fits
    }
}

/// Whether an address means something on one link only.
fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(_) => false,
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

/// What works, perhaps not as meant.
fn odd(raw: &SettingsFile, settings: &Settings, config: Option<&Config>, look: &mut Look) {
    let bgp = &raw.bgp.value;
    for (index, (raw, entry)) in bgp.peers.value.iter().zip(&settings.bgp.peers).enumerate() {
        let PeerSettings {
            graceful_restart,
            graceful_shutdown,
            ..
        } = entry.settings;
        if graceful_restart.is_some() && graceful_shutdown.is_some() {
            look.warn(
                "unused-graceful-shutdown",
                format!("bgp.peers[{index}]"),
                raw.graceful_shutdown.place.or(raw.place),
                "graceful-shutdown is not used where graceful-restart is: the routes stay"
                    .to_owned(),
                "set one of them to 0",
            );
        }
    }
    let general = &settings.bgp.general;
    if general.graceful_restart.is_some() && general.graceful_shutdown.is_some() {
        look.warn(
            "unused-graceful-shutdown",
            "bgp.graceful-shutdown".to_owned(),
            bgp.graceful_shutdown.place,
            "graceful-shutdown is not used where graceful-restart is: the routes stay".to_owned(),
            "remove one of them",
        );
    }
    let peers = config.map_or(&[][..], |config| &config.peers);
    for peer in peers {
        let own = settings.bgp.of(peer);
        if is_link_local(peer.peer_address) && own.interface.is_none() {
            look.warn(
                "no-interface",
                "bgp.peers".to_owned(),
                bgp.peers.place.or(raw.bgp.place),
                format!(
                    "{} is a link-local address, and no entry says on which interface it is",
                    peer.peer_address
                ),
                "add an entry with its `peer-address` and `interface`",
            );
        }
        if peer.ebgp_multihop && own.ttl_security == Some(1) {
            look.warn(
                "ttl-security-multihop",
                "bgp".to_owned(),
                bgp.ttl_security.place.or(bgp.peers.place),
                format!(
                    "{} may be several hops away (ebgp-multihop), and ttl-security wants it next to us",
                    peer.peer_address
                ),
                "say in an entry for it how many hops it is away",
            );
        }
    }
}
