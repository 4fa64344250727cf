//! The second text of the ConfigMap.

use std::time::Duration;

use proptest::prelude::*;

use crate::config::Config;
use crate::config::error::Key;
use crate::config::mode::Mode;
use crate::config::parse::{examine_settings, parse, parse_with_settings};
use crate::config::settings::{PeerSettings, Settings};

/// Two peers at one address, one elsewhere, one on a link.
const CONFIG: &str = "peers:
- {my-asn: 64512, peer-asn: 64513, peer-address: 192.0.2.1}
- {my-asn: 64512, peer-asn: 64514, peer-address: 192.0.2.1, peer-port: 1179, ebgp-multihop: true}
- {my-asn: 64512, peer-asn: 64513, peer-address: 2001:db8::1}
- {my-asn: 64512, peer-asn: 64513, peer-address: 'fe80::1'}
";

fn config() -> Config {
    parse(CONFIG, Mode::FerroLb).unwrap()
}

fn good(text: &str) -> Settings {
    let examined = examine_settings(text, Some(&config()));
    assert_eq!(examined.errors, [], "{text}");
    examined.settings.unwrap()
}

/// The errors as text, each with its place.
fn errors(text: &str) -> Vec<String> {
    let examined = examine_settings(text, Some(&config()));
    assert_eq!(examined.settings.is_none(), !examined.errors.is_empty());
    examined.errors.iter().map(ToString::to_string).collect()
}

/// The codes of the warnings.
fn warnings(text: &str) -> Vec<&'static str> {
    let examined = examine_settings(text, Some(&config()));
    assert_eq!(examined.errors, []);
    assert!(
        examined
            .warnings
            .iter()
            .all(|warning| warning.key == Key::Ferrolb)
    );
    examined
        .warnings
        .iter()
        .map(|warning| warning.code)
        .collect()
}

#[test]
fn without_the_key_and_with_an_empty_one_the_defaults_hold() {
    let absent = parse_with_settings(CONFIG, None, Mode::FerroLb).unwrap();
    let empty = parse_with_settings(CONFIG, Some(""), Mode::FerroLb).unwrap();
    assert_eq!(absent, empty);
    assert_eq!(absent.settings, Settings::default());
    assert!(absent.settings.gossip.fast_detection);
    assert!(absent.settings.layer2.conflict_resolution);
    for peer in &absent.peers {
        assert_eq!(absent.settings.bgp.of(peer), &PeerSettings::default());
    }
    assert!(PeerSettings::default().enabled);
    let nothing = "bgp: {}\nlayer2:\ngossip: {fast-detection: ~}\n";
    assert_eq!(good(nothing), Settings::default());
}

#[test]
fn every_field_is_taken() {
    let settings = good(
        "bgp:
  graceful-restart: 2m
  graceful-shutdown: 500ms
  ttl-security: 2
  peers:
  - {peer-address: 192.0.2.1, graceful-restart: 0, enabled: no, bfd-multihop: yes}
  - {peer-address: 192.0.2.1, peer-port: 1179, graceful-restart: 90.9s, graceful-shutdown: 0, ttl-security: 254}
  - {peer-address: 'fe80::1', interface: eth0, ttl-security: 0}
layer2: {interfaces: [eth0, br-lan], conflict-resolution: off}
gossip: {fast-detection: false}
",
    );
    assert_eq!(settings.layer2.interfaces, ["eth0", "br-lan"]);
    assert!(!settings.layer2.conflict_resolution);
    assert!(!settings.gossip.fast_detection);
    let general = PeerSettings {
        graceful_restart: Some(Duration::from_secs(120)),
        graceful_shutdown: Some(Duration::from_millis(500)),
        ttl_security: Some(2),
        ..PeerSettings::default()
    };
    let peers = config().peers;
    let of = |index: usize| settings.bgp.of(&peers[index]).clone();
    // The entry without a port is for all but the one that has an entry of its own.
    assert_eq!(
        of(0),
        PeerSettings {
            enabled: false,
            graceful_restart: None,
            bfd_multihop: Some(true),
            ..general.clone()
        }
    );
    assert_eq!(
        of(1),
        PeerSettings {
            graceful_restart: Some(Duration::from_secs(90)),
            graceful_shutdown: None,
            ttl_security: Some(254),
            ..general.clone()
        }
    );
    assert_eq!(of(2), general);
    assert_eq!(
        of(3),
        PeerSettings {
            ttl_security: None,
            interface: Some("eth0".into()),
            ..general
        }
    );
}

#[test]
fn every_message_says_which_text_where_and_what_to_do() {
    for (text, want) in [
        (
            "bgp: {graceful-restart: 4096s}",
            "data.ferrolb: line 1, column 25: bgp.graceful-restart: invalid time \"4096s\": must be 0 or from 1s to 4095s \
             (120s is what most routers use)",
        ),
        (
            "bgp: {graceful-restart: 999ms}",
            "data.ferrolb: line 1, column 25: bgp.graceful-restart: invalid time \"999ms\": must be 0 or from 1s to 4095s \
             (120s is what most routers use)",
        ),
        (
            "bgp: {graceful-restart: 120}",
            "data.ferrolb: line 1, column 25: bgp.graceful-restart: duration \"120\" has no unit: write it as `90s`, `1m30s` \
             or `1500ms`",
        ),
        (
            "bgp: {graceful-shutdown: 1001ms}",
            "data.ferrolb: line 1, column 26: bgp.graceful-shutdown: invalid time \"1001ms\": must be from 0 to 1s (a pod is \
             given 2s to end)",
        ),
        (
            "bgp: {graceful-shutdown: -1s}",
            "data.ferrolb: line 1, column 26: bgp.graceful-shutdown: invalid time \"-1s\": must be from 0 to 1s (a pod is \
             given 2s to end)",
        ),
        (
            "bgp: {ttl-security: 255}",
            "data.ferrolb: line 1, column 21: bgp.ttl-security: invalid value 255, must be in 0-254 range (1 is a peer in \
             the same network)",
        ),
        (
            "bgp:\n  peers:\n  - peer-address: 192.0.2.9",
            "data.ferrolb: line 3, column 19: bgp.peers[0].peer-address: 192.0.2.9 is no peer of `data.config` (its peers \
             are 192.0.2.1, 2001:db8::1, fe80::1)",
        ),
        (
            "bgp:\n  peers:\n  - {peer-address: 192.0.2.1, peer-port: 180}",
            "data.ferrolb: line 3, column 42: bgp.peers[0].peer-port: no peer of `data.config` has the address 192.0.2.1 \
             and the port 180 (the peer's port is 179 or 1179)",
        ),
        (
            "bgp:\n  peers:\n  - ttl-security: 1",
            "data.ferrolb: line 3, column 5: bgp.peers[0].peer-address: invalid peer IP \"\" (write the `peer-address` of \
             one of the peers in `data.config`)",
        ),
        (
            "bgp:\n  peers:\n  - peer-address: 192.0.2.1\n  - peer-address: 192.0.2.1",
            "data.ferrolb: line 4, column 19: bgp.peers[1].peer-address: there is an entry for \"192.0.2.1\" already (keep \
             one of them, or tell them apart by `peer-port`)",
        ),
        (
            "bgp:\n  peers:\n  - {peer-address: 192.0.2.1, interface: eth0}",
            "data.ferrolb: line 3, column 42: bgp.peers[0].interface: 192.0.2.1 is no link-local address: it needs no \
             interface (remove `interface`: the kernel's routes say which one it is)",
        ),
        (
            "layer2: {interfaces: [eth0, eth0/1]}",
            "data.ferrolb: line 1, column 29: layer2.interfaces[1]: \"eth0/1\" is no name of an interface (`ip link` shows \
             them, such as eth0)",
        ),
        (
            "gossip: {fastDetection: true}",
            "data.ferrolb: line 1, column 10: gossip.fastDetection: unknown field \"fastDetection\" (did you mean \
             `fast-detection`?)",
        ),
        (
            "gossip: {fast-detection: 'true'}",
            "data.ferrolb: line 1, column 26: gossip.fast-detection: text \"true\" where true or false is wanted (remove \
             the quotes)",
        ),
        (
            "bgp: 5",
            "data.ferrolb: line 1, column 6: bgp: number \"5\" where a mapping is wanted",
        ),
    ] {
        assert_eq!(errors(text), [want], "{text}");
    }
}

#[test]
fn a_fault_refuses_the_whole_and_the_other_texts_faults_come_first() {
    let refused = |config, settings| {
        parse_with_settings(config, Some(settings), Mode::FerroLb)
            .unwrap_err()
            .diagnostics()
            .map(|diagnostic| (diagnostic.key, diagnostic.code))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        refused(CONFIG, "bgp: [\n"),
        [(Key::Ferrolb, "syntax")],
        "no YAML"
    );
    assert_eq!(
        refused("peers: 5\n", "gossip: 5\nlayer2: 5\n"),
        [
            (Key::Config, "wrong-type"),
            (Key::Ferrolb, "wrong-type"),
            (Key::Ferrolb, "wrong-type")
        ]
    );
    // Whether a peer exists is not asked where nobody knows the peers.
    assert_eq!(
        refused("peers: 5\n", "bgp: {peers: [{peer-address: 192.0.2.77}]}"),
        [(Key::Config, "wrong-type")]
    );
    assert_eq!(
        errors("bgp: {peers: [{peer-address: x}, {peer-address: 192.0.2.8}], ttl-security: 999}")
            .len(),
        3,
        "all are told at once"
    );
}

#[test]
fn what_works_perhaps_not_as_meant_is_said() {
    // The peer on a link has no interface.
    let link = "bgp: {peers: [{peer-address: 'fe80::1', interface: eth0}]}";
    assert_eq!(warnings(link), [""; 0]);
    assert_eq!(warnings(""), ["no-interface"]);
    assert_eq!(
        warnings(&format!("{link}\n---\nbgp: {{}}\n")),
        ["later-document"]
    );
    let with = |more: &str| {
        format!(
            "bgp: {{{more}, peers: [{{peer-address: 'fe80::1', interface: eth0, graceful-shutdown: 0}}]}}"
        )
    };
    assert_eq!(
        warnings(&with("graceful-restart: 120s, graceful-shutdown: 1s")),
        ["unused-graceful-shutdown"]
    );
    assert_eq!(
        warnings(&with("ttl-security: 1")),
        ["ttl-security-multihop"]
    );
    assert_eq!(warnings(&with("ttl-security: 2")), [""; 0]);
}

proptest! {
    #[test]
    fn no_text_is_too_odd(text in ".{0,200}", line in "(bgp|layer2|gossip): [{\\[].{0,60}[}\\]]") {
        for text in [text, line] {
            let examined = examine_settings(&text, Some(&config()));
            prop_assert_eq!(examined.settings.is_none(), !examined.errors.is_empty());
            let all = examined.errors.iter().chain(&examined.warnings);
            for diagnostic in all {
                prop_assert_eq!(diagnostic.key, Key::Ferrolb);
                prop_assert!(diagnostic.to_string().starts_with("data.ferrolb: "));
            }
        }
    }

    #[test]
    fn valid_durations_are_kept_and_others_refused(seconds in 0_u32..6000, hops in 0_u32..400) {
        let text = format!("bgp: {{graceful-restart: {seconds}s, ttl-security: {hops}}}");
        let examined = examine_settings(&text, None);
        prop_assert_eq!(examined.settings.is_some(), seconds <= 4095 && hops <= 254);
        if let Some(settings) = examined.settings {
            let restart = settings.bgp.general.graceful_restart;
            prop_assert_eq!(restart.map_or(0, |time| time.as_secs()), u64::from(seconds));
            prop_assert_eq!(settings.bgp.general.ttl_security.map_or(0, u32::from), hops);
        }
    }
}
