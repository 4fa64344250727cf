//! What 0.12 can say of resources, and what it cannot.

use std::time::Duration;

use ferrolb_compat::yaml::Document;

use crate::config::Config;
use crate::migrate::reverse::{ReverseOptions, Reversed, reverse};
use crate::migrate::{BgpMode, Level};

fn back(text: &str, options: &ReverseOptions) -> Reversed {
    reverse(&[Document::parse_all(text).unwrap()], options)
}

fn object(version: &str, kind: &str, name: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: metallb.io/{version}\nkind: {kind}\nmetadata: {{name: {name}, namespace: lb}}\nspec: {spec}\n"
    )
}

fn pool(name: &str, spec: &str) -> String {
    object("v1beta1", "IPAddressPool", name, spec)
}

fn l2(spec: &str) -> String {
    object("v1beta1", "L2Advertisement", "l", spec)
}

fn bgp(name: &str, spec: &str) -> String {
    object("v1beta1", "BGPAdvertisement", name, spec)
}

fn peer(more: &str) -> String {
    let spec = format!("{{myASN: 65010, peerASN: 65020, peerAddress: 203.0.113.1{more}}}");
    object("v1beta2", "BGPPeer", "p", &spec)
}

const POOL: &str = "{addresses: [192.0.2.0/24]}";

/// (code, line) of the findings of a level.
fn told(reversed: &Reversed, level: Level) -> Vec<(&'static str, usize)> {
    reversed
        .findings
        .iter()
        .filter(|finding| finding.level == level)
        .map(|finding| (finding.diagnostic.code, finding.diagnostic.line))
        .collect()
}

#[test]
fn what_0_12_can_say_is_said() {
    let text = [
        pool("b", "{addresses: [192.0.2.0/24, \"2001:db8::/120\"], autoAssign: false}").replace("name: b", "name: b, labels: {tier: x}"),
        pool("a", "{addresses: [198.51.100.1-198.51.100.9], avoidBuggyIPs: true}"),
        bgp("z", "{ipAddressPoolSelectors: [{matchLabels: {tier: x}}], localPref: 5, communities: [x, '1:2']}"),
        bgp("w", "{ipAddressPools: [b], aggregationLength: 28, aggregationLengthV6: 124}"),
        l2("{ipAddressPools: [a]}"),
        object("v1beta1", "Community", "c", "{communities: [{name: x, value: '65010:7'}]}"),
        object("v1beta1", "BFDProfile", "fast", "{receiveInterval: 50, echoMode: false, passiveMode: true}"),
        peer(", holdTime: 90s, passwordSecret: {name: s}, bfdProfile: fast, peerPort: 179, nodeSelectors: [{matchLabels: {r: a}}]"),
        "---\napiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: lb}\ntype: kubernetes.io/basic-auth\ndata: {password: aHVudGVyMg==}\n".to_owned(),
        "---\nkind: Namespace\nmetadata: {name: lb}\n".to_owned(),
    ]
    .concat();
    let options = ReverseOptions {
        target: Some("0.14.9".parse().unwrap()),
        ..ReverseOptions::default()
    };
    let reversed = back(&text, &options);
    assert_eq!(told(&reversed, Level::Blocked), []);
    assert_eq!(reversed.namespace.as_deref(), Some("lb"));
    assert_eq!(reversed.mode, Some(BgpMode::Frr));
    assert_eq!(
        reversed.text.as_deref(),
        Some(
            "peers:\n- bfd-profile: fast\n  hold-time: 1m30s\n  my-asn: 65010\n  node-selectors:\n  - match-labels:\n      r: a\n  \
             password: hunter2\n  peer-address: 203.0.113.1\n  peer-asn: 65020\n\
             bfd-profiles:\n- name: fast\n  passive-mode: true\n  receive-interval: 50\n\
             bgp-communities:\n  x: \"65010:7\"\n\
             address-pools:\n- addresses:\n  - 192.0.2.0/24\n  - 2001:db8::/120\n  auto-assign: false\n  bgp-advertisements:\n  \
             - aggregation-length: 28\n    aggregation-length-v6: 124\n  - communities:\n    - x\n    - \"1:2\"\n    localpref: 5\n  \
             name: b\n  protocol: bgp\n\
             - addresses:\n  - 198.51.100.1-198.51.100.9\n  avoid-buggy-ips: true\n  name: a\n  protocol: layer2\n"
        )
    );
    let shown = format!("{:?}", reversed.findings);
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn what_0_12_cannot_say_is_told_with_its_place() {
    let good = [pool("a", POOL), l2("{}")].concat();
    for (text, want) in [
        (peer(", vrf: red"), vec![("MIG060", 15)]),
        (
            peer(", dynamicASN: internal, connectTime: 5s, disableMP: true"),
            vec![("MIG060", 15), ("MIG060", 15), ("MIG060", 15)],
        ),
        (bgp("b", "{}"), vec![("MIG061", 2)]),
        (
            pool(
                "b",
                "{addresses: [198.51.100.0/24], serviceAllocation: {priority: 5}}",
            ),
            vec![("MIG063", 15)],
        ),
        (
            object(
                "v1beta1",
                "Community",
                "c",
                "{communities: [{name: x, value: 'large:1:2:3'}]}",
            ),
            vec![("MIG064", 12)],
        ),
        (peer(", passwordSecret: {name: s}"), vec![("MIG065", 12)]),
        (
            peer(", password: hunter2, passwordSecret: {name: s}"),
            vec![("MIG065", 12), ("MIG065", 15)],
        ),
        (
            object("v1beta1", "AddressPool", "b", "{}"),
            vec![("MIG049", 12)],
        ),
        (peer(", holdTime: 2s"), vec![("MIG068", 12)]),
        (peer(", bfdProfile: none"), vec![("MIG069", 12)]),
        (
            [
                pool("b", "{addresses: [198.51.100.0/24]}"),
                bgp("b", "{ipAddressPools: [b, c], communities: [none]}"),
            ]
            .concat(),
            vec![("MIG061", 12), ("MIG069", 17), ("MIG069", 17)],
        ),
        (peer(", peerPort: 20179"), vec![("MIG049", 15)]),
        (pool("b", "{addresses: nothing}"), vec![("MIG049", 15)]),
        (pool("a", POOL), vec![("MIG049", 12)]),
        (
            pool("b", "{addresses: [198.51.100.0/24]}")
                .replace("namespace: lb", "namespace: other"),
            vec![("MIG073", 12)],
        ),
    ] {
        let text = good.clone() + &text;
        let reversed = back(&text, &ReverseOptions::default());
        let mut found = told(&reversed, Level::Blocked);
        found.sort_unstable();
        assert_eq!(
            found, want,
            "{text}
{:#?}",
            reversed.findings
        );
        assert!(reversed.text.is_none() && reversed.config.is_none());
        let shown = format!("{:?}", reversed.findings);
        assert!(!shown.contains("hunter2"), "{shown}");
    }
    for spec in [
        "{nodeSelectors: [{}]}",
        "{interfaces: [eth0]}",
        "{serviceSelectors: [{}]}",
    ] {
        let text = [pool("a", POOL), l2(spec)].concat();
        let reversed = back(&text, &ReverseOptions::default());
        assert_eq!(told(&reversed, Level::Blocked), [("MIG062", 10)], "{spec}");
    }
}

#[test]
fn a_session_of_one_family_is_what_0_12_does_not_have() {
    let text = [
        pool("a", "{addresses: [\"2001:db8::/120\"]}"),
        bgp("b", "{}"),
        peer(""),
    ]
    .concat();
    let with = |target: &str, mode| ReverseOptions {
        target: Some(target.parse().unwrap()),
        mode: Some(mode),
        ..ReverseOptions::default()
    };
    let reversed = back(&text, &with("0.15.0", BgpMode::Frr));
    assert_eq!(told(&reversed, Level::Blocked), [("MIG066", 12)]);
    assert!(back(&text, &with("0.14.9", BgpMode::Frr)).text.is_some());
    let dual = text.replace("203.0.113.1", "203.0.113.1, dualStackAddressFamily: true");
    assert!(back(&dual, &with("0.15.0", BgpMode::Frr)).text.is_some());
}

#[test]
fn with_losses_it_is_said_with_comments() {
    let text = [
        pool("a", POOL),
        pool("b", "{addresses: [198.51.100.0/24]}"),
        l2("{ipAddressPools: [a], interfaces: [eth0]}"),
        bgp("b", "{ipAddressPools: [a], communities: ['large:1:2:3']}"),
        peer(", vrf: red"),
    ]
    .concat();
    let options = ReverseOptions {
        lossy: true,
        ..ReverseOptions::default()
    };
    let reversed = back(&text, &options);
    assert_eq!(told(&reversed, Level::Blocked), []);
    let text = reversed.text.unwrap();
    for want in [
        "# MIG060: spec.vrf is left out\n- hold-time: 1m30s\n",
        "# MIG061: the pool is announced by layer2 and by BGP\n- addresses:\n  - 192.0.2.0/24\n",
        "# MIG061: the pool is announced by no protocol\n- addresses:\n  - 198.51.100.0/24\n",
        "# L2Advertisement l: MIG062: spec.interfaces is left out\n",
        "# BGPAdvertisement b: MIG064: large:1:2:3 is a large community\n",
    ] {
        assert!(text.contains(want), "{want}\n{text}");
    }
    assert_eq!(reversed.config.map(|config| config.pools.len()), Some(2));
}

#[test]
fn times_are_those_that_the_release_makes_of_them() {
    for (target, mode, more, want) in [
        ("0.13.12", BgpMode::Frr, "", "hold-time: 1m30s\n"),
        (
            "0.13.12",
            BgpMode::Frr,
            ", holdTime: 0s, keepaliveTime: 0s",
            "hold-time: 1m30s\n",
        ),
        ("0.14.9", BgpMode::Native, "", "hold-time: 1m30s\n"),
        (
            "0.14.9",
            BgpMode::Frr,
            "",
            "hold-time: 3m0s\n  keepalive-time: 1m0s\n",
        ),
        (
            "0.14.9",
            BgpMode::Frr,
            ", holdTime: 0s, keepaliveTime: 0s",
            "hold-time: 0s\n  keepalive-time: 0s\n",
        ),
        (
            "0.14.9",
            BgpMode::Frr,
            ", holdTime: 10500ms",
            "hold-time: 10s\n",
        ),
    ] {
        let options = ReverseOptions {
            target: Some(target.parse().unwrap()),
            mode: Some(mode),
            ..ReverseOptions::default()
        };
        let reversed = back(&peer(more), &options);
        let text = reversed
            .text
            .unwrap_or_else(|| panic!("{:?}", reversed.findings));
        assert!(text.contains(want), "{target} {mode} {more}\n{text}");
    }
}

#[test]
fn names_are_given_back_unless_they_are_to_stay() {
    let renamed = pool("my-pool", POOL).replace(
        "namespace: lb",
        "namespace: lb, annotations: {ferrolb.io/original-name: My_Pool}",
    );
    let text = renamed + &l2("{ipAddressPools: [my-pool]}");
    let reversed = back(&text, &ReverseOptions::default());
    assert!(reversed.text.unwrap().contains("name: My_Pool\n"));
    assert_eq!(reversed.renames.len(), 1);
    let options = ReverseOptions {
        keep_names: true,
        ..ReverseOptions::default()
    };
    let reversed = back(&text, &options);
    assert!(reversed.text.unwrap().contains("name: my-pool\n"));
    assert!(reversed.renames.is_empty());
}

#[test]
fn graceful_restart_comes_back_as_a_setting_of_ours() {
    let frr = |lossy, without_settings| ReverseOptions {
        mode: Some(BgpMode::Frr),
        lossy,
        without_settings,
        ..ReverseOptions::default()
    };
    let other = peer("")
        .replace("name: p,", "name: q,")
        .replace("203.0.113.1", "203.0.113.2");
    let restarts = peer(", enableGracefulRestart: true");
    // Whoever speaks BGP is FRR: native BGP refuses it.
    let reversed = back(&restarts, &ReverseOptions::default());
    assert_eq!(reversed.mode, Some(BgpMode::Frr));
    assert_eq!(
        reversed.settings.as_deref(),
        Some("bgp:\n  graceful-restart: 2m0s\n")
    );
    assert_eq!(told(&reversed, Level::Warning), [("MIG075", 2)]);
    let config = reversed.config.unwrap();
    let restart =
        |config: &Config, peer: usize| config.settings.bgp.of(&config.peers[peer]).graceful_restart;
    assert_eq!(restart(&config, 0), Some(Duration::from_secs(120)));
    // One of two.
    let reversed = back(&(restarts.clone() + &other), &frr(false, false));
    assert_eq!(
        reversed.settings.as_deref(),
        Some("bgp:\n  peers:\n  - graceful-restart: 2m0s\n    peer-address: 203.0.113.1\n")
    );
    let config = reversed.config.unwrap();
    assert_eq!(
        (restart(&config, 0).is_some(), restart(&config, 1)),
        (true, None)
    );
    // None.
    assert_eq!(back(&other, &frr(false, false)).settings, None);
    // There is no place for it, or nobody does it.
    for (text, mode, without_settings) in [
        (restarts.clone(), BgpMode::Frr, true),
        (restarts.clone(), BgpMode::Native, false),
    ] {
        let options = |lossy| ReverseOptions {
            mode: Some(mode),
            ..frr(lossy, without_settings)
        };
        assert_eq!(
            told(&back(&text, &options(false)), Level::Blocked),
            [("MIG060", 2)]
        );
        let reversed = back(&text, &options(true));
        assert_eq!(
            (reversed.settings.as_ref(), told(&reversed, Level::Blocked)),
            (None, vec![])
        );
        let text = reversed.text.unwrap();
        assert!(text.starts_with("peers:\n# MIG060: "), "{text}");
    }
    // A release that has no such field.
    let old = ReverseOptions {
        target: Some("0.14.5".parse().unwrap()),
        ..frr(false, false)
    };
    assert_eq!(
        told(&back(&restarts, &old), Level::Blocked),
        [("MIG049", 5)]
    );
}

#[test]
fn peers_of_one_address_are_told_apart_by_their_ports_or_not_at_all() {
    let options = ReverseOptions {
        mode: Some(BgpMode::Frr),
        ..ReverseOptions::default()
    };
    let restarts = peer(", enableGracefulRestart: true");
    let on_port = peer(", peerPort: 1179").replace("name: p,", "name: q,");
    let reversed = back(&(restarts.clone() + &on_port), &options);
    let settings = reversed.settings.unwrap();
    assert!(settings.contains("peer-port: 179\n"), "{settings}");
    let same = peer(", holdTime: 30s").replace("name: p,", "name: q,");
    let reversed = back(&(restarts + &same), &options);
    assert!(
        told(&reversed, Level::Blocked).contains(&("MIG060", 2)),
        "{:?}",
        reversed.findings
    );
}

#[test]
fn address_pools_say_themselves_how_they_are_announced() {
    let legacy = |version: &str, name: &str, spec: &str| object(version, "AddressPool", name, spec);
    let text = [
        legacy("v1beta1", "c", "{protocol: bgp, addresses: [198.51.100.0/24], avoidBuggyIPs: true, bgpAdvertisements: \
                [{aggregationLength: 32, localPref: 5}, {aggregationLength: 24, communities: [x]}]}"),
        legacy("v1alpha1", "d", "{protocol: layer2, addresses: [203.0.113.8-203.0.113.9], autoAssign: false}"),
        legacy("v1beta1", "e", "{protocol: bgp, addresses: [203.0.113.0/30]}"),
        pool("a", POOL),
        // For all pools, but for those that say it themselves, by name or not.
        l2("{}"),
        bgp("b", "{ipAddressPools: [d]}"),
        object("v1beta1", "Community", "x", "{communities: [{name: x, value: '65010:7'}]}"),
    ]
    .concat();
    let reversed = back(&text, &ReverseOptions::default());
    assert_eq!(
        told(&reversed, Level::Blocked),
        [],
        "{:?}",
        reversed.findings
    );
    assert_eq!(reversed.target, Some("0.14.2".parse().unwrap()));
    assert_eq!(
        reversed.text.as_deref(),
        Some(
            "bgp-communities:\n  x: \"65010:7\"\n\
             address-pools:\n- addresses:\n  - 198.51.100.0/24\n  avoid-buggy-ips: true\n  bgp-advertisements:\n  - localpref: 5\n  \
             - aggregation-length: 24\n    communities:\n    - x\n  name: c\n  protocol: bgp\n\
             - addresses:\n  - 203.0.113.8-203.0.113.9\n  auto-assign: false\n  name: d\n  protocol: layer2\n\
             - addresses:\n  - 203.0.113.0/30\n  name: e\n  protocol: bgp\n\
             - addresses:\n  - 192.0.2.0/24\n  name: a\n  protocol: layer2\n"
        )
    );
    // A later release does not know them.
    let later = ReverseOptions {
        target: Some("0.14.3".parse().unwrap()),
        ..ReverseOptions::default()
    };
    assert_eq!(told(&back(&text, &later), Level::Blocked).len(), 3);
    for (more, want) in [
        (
            legacy("v1beta1", "a", "{protocol: bgp, addresses: [10.0.0.0/24]}"),
            "MIG049",
        ),
        (
            legacy("v1beta1", "f", "{protocol: bgp, addresses: [192.0.2.7/32]}"),
            "MIG068",
        ),
        (
            legacy(
                "v1beta1",
                "f",
                "{protocol: layer2, addresses: [10.0.0.0/24], bgpAdvertisements: [{}]}",
            ),
            "MIG049",
        ),
        (
            legacy(
                "v1beta1",
                "f",
                "{protocol: bgp, addresses: [10.0.0.0/24], bgpAdvertisements: [{communities: ['large:1:2:3']}]}",
            ),
            "MIG064",
        ),
    ] {
        let reversed = back(&(text.clone() + &more), &ReverseOptions::default());
        let found: Vec<&str> = told(&reversed, Level::Blocked)
            .into_iter()
            .map(|(code, _)| code)
            .collect();
        assert!(found.contains(&want), "{more}{:?}", reversed.findings);
    }
}

#[test]
fn peers_of_the_older_version_are_peers() {
    let more = ", holdTime: 30s, password: hunter2, nodeSelectors: [{matchExpressions: [{key: a, operator: In, values: [b]}]}]";
    let old = peer(more).replace("v1beta2", "v1beta1");
    for target in ["0.13.7", "0.14.9", "0.16.1"] {
        let options = ReverseOptions {
            target: Some(target.parse().unwrap()),
            ..ReverseOptions::default()
        };
        let (one, other) = (back(&old, &options), back(&peer(more), &options));
        assert!(one.text.is_some(), "{target} {:?}", one.findings);
        assert_eq!((one.text, one.config), (other.text, other.config));
    }
    let foreign = peer(", passwordSecret: {name: s}").replace("v1beta2", "v1beta1");
    let reversed = back(&foreign, &ReverseOptions::default());
    let found = told(&reversed, Level::Blocked);
    assert!(found.iter().any(|(code, _)| *code == "MIG049"), "{found:?}");
}
