//! FerroLB's own settings beside a configuration (`data.ferrolb`): what the target has a field for is carried over, of the rest it is
//! said that it is not.
//!
//! 0.12 does not look at them, so that whatever is wrong with them is no reason not to convert.

use std::time::Duration;

use ferrolb_compat::migrate::Release;
use ferrolb_compat::yaml::Place;

use super::{BgpMode, Finding, Level, Options, finding};
use crate::config::error::Key;
use crate::config::parse::{ExaminedSettings, examine_settings};
use crate::config::settings::{PeerSettings, Settings};
use crate::config::{Config, Peer};

/// How long FRR asks its peers to keep the routes (RFC 4724 §3, Restart Time): its default, which MetalLB leaves as it is.
pub(super) const RESTART_TIME: Duration = Duration::from_secs(120);

/// The settings that were found.
#[derive(Debug, Clone)]
pub(super) struct Beside {
    examined: ExaminedSettings,
    /// Where the text has none, or is refused.
    none: Settings,
}

/// Reads them; without a text they are the defaults.
pub(super) fn examined(text: Option<&str>, config: Option<&Config>) -> Beside {
    Beside {
        examined: examine_settings(text.unwrap_or_default(), config),
        none: Settings::default(),
    }
}

/// What a target has a field for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Carried {
    /// `enableGracefulRestart`.
    GracefulRestart,
    /// Nothing, and this is the way to have it.
    Nothing(&'static str),
}

impl Carried {
    /// What becomes of graceful restart.
    pub(super) fn by(mode: BgpMode, options: &Options) -> Self {
        if options.compat.is_some() {
            Self::Nothing("convert without --compat: upstream's converter does not know it")
        } else if options.target < Release::new(14, 6) {
            Self::Nothing("0.14.6 and later have enableGracefulRestart of a BGPPeer, with FRR")
        } else if !mode.is_frr() {
            Self::Nothing(
                "native BGP refuses enableGracefulRestart: convert with --bgp-mode frr or frr-k8s",
            )
        } else {
            Self::GracefulRestart
        }
    }
}

/// Whether a peer is to have `enableGracefulRestart`, where the target has it.
pub(super) fn restarts(config: &Config, peer: &Peer) -> bool {
    config.settings.bgp.of(peer).graceful_restart.is_some()
}

impl Beside {
    /// What they are.
    pub(super) fn value(&self) -> &Settings {
        self.examined.settings.as_ref().unwrap_or(&self.none)
    }

    /// What is to say about them: what is wrong with them, what changes, and what no release of MetalLB has a place for.
    pub(super) fn findings(
        &self,
        config: Option<&Config>,
        carried: Option<Carried>,
    ) -> Vec<Finding> {
        let mut findings: Vec<Finding> = self
            .examined
            .errors
            .iter()
            .map(|diagnostic| Finding {
                level: Level::Warning,
                diagnostic: diagnostic.clone(),
                file: 0,
            })
            .collect();
        let settings = self.value();
        let options = std::iter::once(&settings.bgp.general)
            .chain(settings.bgp.peers.iter().map(|entry| &entry.settings));
        let any = |what: fn(&PeerSettings) -> bool| options.clone().any(what);
        if any(|options| options.graceful_restart.is_some()) {
            findings.push(graceful_restart(settings, config, carried));
        }
        let defaults = Settings::default();
        let is_odd = settings.layer2.conflict_resolution != defaults.layer2.conflict_resolution
            || settings.gossip != defaults.gossip;
        let parts = [
            (
                any(|options| options.graceful_shutdown.is_some()),
                "graceful-shutdown",
                "MetalLB has no such thing",
            ),
            (
                any(|options| options.ttl_security.is_some()),
                "ttl-security",
                "MetalLB has no such thing",
            ),
            (
                any(|options| options.interface.is_some()),
                "interface",
                "newer releases have interface of a BGPPeer, for peers without an address",
            ),
            (
                any(|options| !options.enabled),
                "enabled",
                "leave the BGPPeer out while there is to be no session",
            ),
            (
                any(|options| options.bfd_multihop.is_some()),
                "bfd-multihop",
                "FRR decides by ebgpMultiHop",
            ),
            (
                !settings.layer2.interfaces.is_empty(),
                "layer2.interfaces",
                "newer releases have interfaces of an L2Advertisement",
            ),
            (is_odd, "layer2 and gossip", "MetalLB has no such thing"),
        ];
        let lost = parts.into_iter().filter(|(is_set, ..)| *is_set);
        findings.extend(lost.map(|(_, name, help)| not_converted(name, help)));
        findings
    }
}

/// A setting that the target has no field for.
fn not_converted(name: &str, help: &str) -> Finding {
    let message = format!("{name} in `data.ferrolb` is FerroLB's own and is not converted");
    about(Level::Warning, "MIG047", name, message, help)
}

/// What becomes of graceful restart.
fn graceful_restart(
    settings: &Settings,
    config: Option<&Config>,
    carried: Option<Carried>,
) -> Finding {
    const NAME: &str = "graceful-restart";
    let peers = config.map_or(&[][..], |config| config.peers.as_slice());
    let times: Vec<Duration> = peers
        .iter()
        .filter_map(|peer| settings.bgp.of(peer).graceful_restart)
        .collect();
    let other = times.iter().find(|time| **time != RESTART_TIME);
    match (carried, other) {
        (Some(Carried::GracefulRestart), _) if times.is_empty() => {
            not_converted(NAME, "no peer has it")
        }
        (Some(Carried::GracefulRestart), None) => {
            let message = format!(
                "{} of {} peers get enableGracefulRestart, as `data.ferrolb` has it",
                times.len(),
                peers.len()
            );
            about(Level::Info, "MIG075", NAME, message, "")
        }
        (Some(Carried::GracefulRestart), Some(time)) => {
            let message = format!(
                "{} of {} peers get enableGracefulRestart: FRR asks for 120 s, and `data.ferrolb` for {} s",
                times.len(),
                peers.len(),
                time.as_secs()
            );
            let help = "no field of a BGPPeer has the time";
            about(Level::Warning, "MIG075", NAME, message, help)
        }
        (Some(Carried::Nothing(help)), _) => not_converted(NAME, help),
        (None, _) => not_converted(
            NAME,
            "newer releases have enableGracefulRestart of a BGPPeer, in FRR mode",
        ),
    }
}

/// A finding about the settings' text.
fn about(level: Level, code: &'static str, name: &str, message: String, help: &str) -> Finding {
    let mut finding = finding(level, code, name, Some(Place::BEGIN), message, help);
    finding.diagnostic.key = Key::Ferrolb;
    finding
}
