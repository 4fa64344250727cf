//! What each target takes, changes and refuses; and that what is converted means the same.

use std::collections::BTreeSet;

use ferrolb_compat::crd::{BgpAdvertisement, BgpPeer, Resource, Spec};
use ferrolb_compat::migrate::{Release, is_object_name};

use super::{
    Advertisements, BgpMode, Compat, Conversion, Level, Options, Passwords, Source, convert,
    convert_with, names, verify,
};
use crate::config::error::Key;

mod inputs;
mod random;
mod reverse;

fn release(text: &str) -> Release {
    text.parse().unwrap()
}

fn options(target: &str, mode: BgpMode) -> Options {
    Options {
        target: release(target),
        mode: Some(mode),
        ..Options::default()
    }
}

/// Converts; what is converted must mean the same.
fn run(text: &str, options: &Options) -> Conversion {
    let conversion = convert(Source::Text(text), options);
    if let (Some(resources), Some(config), Some(mode)) =
        (&conversion.resources, &conversion.config, conversion.mode)
        && options.allow.is_empty()
    {
        let renames = &conversion.renames;
        let found = verify::compare(config, resources, renames, options.target, mode);
        assert_eq!(found, [], "{text}");
    }
    conversion
}

/// The codes of a level, each once.
fn codes(conversion: &Conversion, level: Level) -> BTreeSet<&'static str> {
    let of_level = conversion
        .findings
        .iter()
        .filter(|finding| finding.level == level);
    of_level.map(|finding| finding.diagnostic.code).collect()
}

/// The target refuses the text for these reasons.
fn blocked(text: &str, options: &Options, want: &[&'static str]) {
    let conversion = run(text, options);
    assert_eq!(
        codes(&conversion, Level::Invalid),
        BTreeSet::new(),
        "{text}"
    );
    let found = codes(&conversion, Level::Blocked);
    assert_eq!(
        found,
        want.iter().copied().collect(),
        "{} {text}",
        options.target
    );
    assert_eq!(conversion.resources.is_none(), !want.is_empty());
}

fn resources(text: &str, options: &Options) -> Vec<Resource> {
    let conversion = run(text, options);
    conversion
        .resources
        .unwrap_or_else(|| panic!("{:?}", conversion.findings))
}

fn peers(resources: &[Resource]) -> Vec<&BgpPeer> {
    resources
        .iter()
        .filter_map(|resource| match &resource.spec {
            Spec::Peer(peer) => Some(peer),
            _ => None,
        })
        .collect()
}

fn advertisements(resources: &[Resource]) -> Vec<&BgpAdvertisement> {
    resources
        .iter()
        .filter_map(|resource| match &resource.spec {
            Spec::BgpAdvertisement(advertisement) => Some(advertisement),
            _ => None,
        })
        .collect()
}

/// Every release whose rules differ.
const TARGETS: [&str; 12] = [
    "0.13.0", "0.13.2", "0.13.4", "0.13.7", "0.13.10", "0.13.12", "0.14.8", "0.14.9", "0.15.0",
    "0.15.3", "0.16.0", "0.16.1",
];
const MODES: [BgpMode; 3] = [BgpMode::Native, BgpMode::Frr, BgpMode::FrrK8s];

const PEER: &str = "peers:\n- {my-asn: 65010, peer-asn: 65020, peer-address: 203.0.113.1}\n";

#[test]
fn what_every_target_can_say_is_converted_for_every_target() {
    let layer2 =
        "address-pools:\n- {name: a, protocol: layer2, addresses: [192.0.2.10-192.0.2.20]}\n";
    let bgp =
        format!("{PEER}address-pools:\n- {{name: a, protocol: bgp, addresses: [192.0.2.0/26]}}\n");
    for target in TARGETS {
        for mode in MODES {
            for text in [layer2, &bgp, "", "# nothing\n"] {
                assert!(run(text, &options(target, mode)).resources.is_some());
            }
        }
    }
    let resources = resources(&bgp, &options("0.16.1", BgpMode::Native));
    let kinds: Vec<_> = resources
        .iter()
        .map(|resource| resource.spec.kind())
        .collect();
    assert_eq!(kinds, ["IPAddressPool", "BGPAdvertisement", "BGPPeer"]);
    let peer = peers(&resources).remove(0);
    assert_eq!(
        peer.hold_time.map(|time| time.to_string()).as_deref(),
        Some("1m30s")
    );
    assert_eq!(peer.keepalive_time, None);
}

#[test]
fn passwords_are_secrets_with_the_text_as_it_is_written() {
    let mut text = "peers:\n".to_owned();
    for (index, password) in ["0123456", "1e3", "yes", "1.10", "0x1F", "\"a\\x7fb\""]
        .iter()
        .enumerate()
    {
        text.push_str(&format!(
            "- {{my-asn: 1, peer-asn: 2, peer-address: 192.0.2.{index}, password: {password}}}\n"
        ));
    }
    let conversion = run(&text, &options("0.16.1", BgpMode::Native));
    let told = format!("{:?}", conversion.findings);
    assert!(!told.contains("0123456"), "{told}");
    let kept: Vec<_> = conversion
        .findings
        .iter()
        .filter(|finding| finding.diagnostic.code == "MIG009")
        .map(|finding| finding.diagnostic.line)
        .collect();
    assert_eq!(kept, [2, 3, 4, 5, 6]);
    let resources = conversion.resources.unwrap();
    let secrets: Vec<_> = resources
        .iter()
        .filter_map(|resource| match &resource.spec {
            Spec::Secret(password) => Some((resource.name.as_str(), password.0.as_str())),
            _ => None,
        })
        .collect();
    assert_eq!(secrets.first(), Some(&("peer1-password", "0123456")));
    assert_eq!(secrets.last(), Some(&("peer6-password", "a\u{7f}b")));
    assert!(!format!("{resources:?}").contains("0123456"));
    let inline = Options {
        passwords: Passwords::Inline,
        ..options("0.16.1", BgpMode::Native)
    };
    let conversion = run(&text, &inline);
    assert!(codes(&conversion, Level::Info).contains("MIG030"));
}

#[test]
fn what_0_12_does_not_run_is_refused_with_its_place() {
    for (text, code, line) in [
        (
            "address-pools:\n- name: a\n  protocol: l2\n  addresses: [192.0.2.0/28]\n",
            "MIG004",
            3,
        ),
        (
            "address-pools:\n- name: a\n  protocol: layer2\n  addresses: [192.0.2.0/28]\n  avoid-buggy-ip: true\n",
            "MIG001",
            5,
        ),
        (
            "address-pools:\n- name: a\n  protocol: layer2\n  addresses: [192.0.2.0/28]\n  bgp-advertisements:\n  - {}\n",
            "MIG005",
            6,
        ),
        (
            "peers:\n- {my-asn: \"1\", peer-asn: 2, peer-address: 192.0.2.1}\n",
            "MIG003",
            2,
        ),
        (
            "peers:\n- {my-asn: 1, my-asn: 1, peer-asn: 2, peer-address: 192.0.2.1}\n",
            "MIG002",
            2,
        ),
        (
            "peers:\n- {my-asn: 1, peer-asn: 2, peer-address: 192.0.2.1}\n- {my-asn: 1, peer-asn: 2, peer-address: 192.0.2.1, peer-port: 179}\n",
            "MIG006",
            3,
        ),
        (
            "address-pools:\n- name: a\n  protocol: bgp\n  addresses: [192.0.2.0/24]\n  bgp-advertisements:\n  - {localpref: 1}\n  - {localpref: 1}\n",
            "MIG007",
            7,
        ),
        (
            "address-pools:\n- {name: a, protocol: layer2, addresses: [192.0.2.0/28, 192.0.2.10-192.0.2.30]}\n",
            "MIG008",
            2,
        ),
        ("peers:\n\t- {}\n", "syntax", 2),
    ] {
        let conversion = run(text, &Options::default());
        assert!(conversion.resources.is_none());
        assert!(
            codes(&conversion, Level::Invalid).contains(code),
            "{code}: {:?}",
            conversion.findings
        );
        let finding = conversion
            .findings
            .iter()
            .find(|finding| finding.diagnostic.code == code);
        assert_eq!(
            finding.map(|finding| finding.diagnostic.line),
            Some(line),
            "{code}"
        );
    }
}

#[test]
fn names_that_are_valid_stay_and_all_others_become_valid_and_different() {
    let old = [
        "My_Pool",
        "my-pool",
        "9lives",
        "a",
        "dot.ted",
        "sp ace",
        "tail_",
        "Ünïcode",
        "my-ns/ingress",
        "100",
        "日本",
        "_",
        "-",
        "..",
        "a..b",
        "a.-b",
        "MY_POOL",
    ];
    let long = "é".repeat(300);
    let new = names::assign(old.iter().copied().chain([long.as_str()]), "pool");
    for kept in ["my-pool", "9lives", "a", "dot.ted", "100"] {
        assert_eq!(new.get(kept).map(String::as_str), Some(kept));
    }
    assert_eq!(new.get("sp ace").map(String::as_str), Some("sp-ace"));
    assert_eq!(new.get("Ünïcode").map(String::as_str), Some("unicode"));
    assert_eq!(new.get("日本").map(String::as_str), Some("pool-11"));
    assert!(
        new.get("My_Pool")
            .is_some_and(|name| name.starts_with("my-pool-") && name.len() == 14)
    );
    let distinct: BTreeSet<_> = new.values().collect();
    assert_eq!(distinct.len(), new.len());
    for name in new.values() {
        assert!(is_object_name(name), "{name}");
    }
}

#[test]
fn times_of_0_need_0_14_9() {
    let text = "peers:\n- {my-asn: 1, peer-asn: 2, peer-address: 192.0.2.1, hold-time: 0s, keepalive-time: 0s}\n\
                - {my-asn: 1, peer-asn: 2, peer-address: 192.0.2.2, hold-time: 10900ms, keepalive-time: 1900ms}\n";
    blocked(
        text,
        &options("0.13.12", BgpMode::Frr),
        &["MIG019", "MIG020"],
    );
    blocked(
        text,
        &options("0.14.8", BgpMode::FrrK8s),
        &["MIG019", "MIG020"],
    );
    let resources = resources(text, &options("0.14.9", BgpMode::Frr));
    let times: Vec<_> = peers(&resources)
        .iter()
        .map(|peer| [peer.hold_time, peer.keepalive_time].map(|time| time.unwrap().to_string()))
        .collect();
    assert_eq!(times, [["0s", "0s"], ["10s", "1s"]]);
    // Allowed, it is converted, and the difference is found.
    let mut allowed = options("0.13.12", BgpMode::Frr);
    allowed.allow = ["MIG019", "MIG020"].map(str::to_owned).into();
    let conversion = run(text, &allowed);
    let found = verify::compare(
        conversion.config.as_ref().unwrap(),
        conversion.resources.as_ref().unwrap(),
        &[],
        allowed.target,
        BgpMode::Frr,
    );
    assert_eq!(
        found.first().map(|difference| difference.what.as_str()),
        Some("peers")
    );
}

#[test]
fn what_a_backend_refuses_is_refused() {
    let peer = "{my-asn: 1, peer-asn: 2, peer-address: 192.0.2.1";
    let pool = |protocol: &str| {
        format!(
            "address-pools:\n- {{name: a, protocol: {protocol}, addresses: [\"2001:db8::/120\"]}}\n"
        )
    };
    let native = |target| options(target, BgpMode::Native);
    let frr = |target| options(target, BgpMode::Frr);
    blocked(
        &format!("peers:\n- {peer}, keepalive-time: 5s}}\n"),
        &native("0.16.1"),
        &["MIG021"],
    );
    blocked(
        &format!(
            "peers:\n- {peer}, peer-port: 20179}}\n- {{my-asn: 1, peer-asn: 2, peer-address: 192.0.2.2, peer-port: 0}}\n"
        ),
        &native("0.16.1"),
        &["MIG022"],
    );
    blocked(&pool("bgp"), &native("0.16.1"), &["MIG026"]);
    let both = format!(
        "{}- {{name: b, protocol: bgp, addresses: [192.0.2.0/24]}}\n",
        pool("layer2")
    );
    blocked(&both, &native("0.14.8"), &["MIG026"]);
    blocked(&both, &native("0.14.9"), &[]);
    blocked(&both, &frr("0.13.7"), &[]);
    let echo = format!(
        "peers:\n- {peer}, bfd-profile: Fast_One}}\nbfd-profiles:\n- {{name: Fast_One, echo-mode: true}}\n- {{name: slow, passive-mode: true}}\n{}",
        pool("bgp")
    );
    blocked(&echo, &frr("0.13.10"), &["MIG027"]);
    blocked(&echo, &native("0.13.7"), &["MIG026", "MIG045"]);
    let resources = resources(&echo, &frr("0.13.7"));
    let modes: Vec<_> = resources
        .iter()
        .filter_map(|resource| match &resource.spec {
            Spec::BfdProfile(profile) => Some((
                resource.name.as_str(),
                profile.echo_mode,
                profile.passive_mode,
            )),
            _ => None,
        })
        .collect();
    assert_eq!(modes, [("fast-one", true, false), ("slow", false, true)]);
    let routers = format!(
        "peers:\n- {peer}, router-id: 10.0.0.1}}\n- {peer}, router-id: 10.0.0.2, hold-time: 9s}}\n"
    );
    blocked(&routers, &native("0.16.1"), &[]);
    blocked(&routers, &frr("0.16.1"), &["MIG028"]);
    let conversion = run(&routers, &native("0.16.1"));
    assert!(codes(&conversion, Level::Warning).contains("MIG034"));
    let old_schema = Options {
        kubernetes: Some(36),
        ..native("0.15.3")
    };
    blocked(PEER, &old_schema, &["MIG031"]);
    blocked(
        PEER,
        &Options {
            kubernetes: Some(36),
            ..native("0.16.1")
        },
        &[],
    );
    blocked(
        "address-pools:\n- {name: a, protocol: bgp, addresses: [0.0.0.0/0], bgp-advertisements: [{aggregation-length: 0}]}\n",
        &native("0.16.1"),
        &["MIG023"],
    );
    blocked(
        "address-pools:\n- {name: a, protocol: bgp, addresses: [\"2001:db8::/64\"], bgp-advertisements: [{aggregation-length: 0}]}\n",
        &frr("0.16.1"),
        &[],
    );
}

#[test]
fn selectors_that_are_there_twice_are_written_once() {
    let text = "peers:\n- my-asn: 1\n  peer-asn: 2\n  peer-address: 192.0.2.1\n  node-selectors:\n  - {match-labels: {rack: a}}\n  \
                - {match-labels: {rack: a}}\n  - match-expressions: [{key: zone, operator: In, values: [b, a, b]}]\n";
    let conversion = run(text, &options("0.16.1", BgpMode::Native));
    assert!(codes(&conversion, Level::Info).contains("MIG017"));
    let resources = conversion.resources.unwrap();
    let peer = peers(&resources).remove(0);
    assert_eq!(peer.node_selectors.len(), 2);
    let values = peer
        .node_selectors
        .last()
        .and_then(|last| last.match_expressions.first());
    assert_eq!(
        values.map(|expression| expression.values.clone()),
        Some(vec!["a".to_owned(), "b".to_owned()])
    );
}

#[test]
fn advertisements_of_the_same_route_become_one_that_says_what_0_12_did() {
    let text = format!(
        "{PEER}address-pools:\n- name: a\n  protocol: bgp\n  addresses: [198.51.100.0/24]\n  bgp-advertisements:\n  \
         - {{localpref: 100, communities: [x]}}\n  - {{localpref: 200, communities: [65010:20]}}\nbgp-communities: {{x: 65010:7}}\n"
    );
    let found = |mode| {
        let resources = resources(&text, &options("0.16.1", mode));
        let of: Vec<_> = advertisements(&resources)
            .iter()
            .map(|ad| (ad.local_pref, ad.communities.join(",")))
            .collect();
        of
    };
    assert_eq!(found(BgpMode::Native), [(200, "65010:20".to_owned())]);
    assert_eq!(found(BgpMode::Frr), [(200, "x,65010:20".to_owned())]);
    let each = |target| Options {
        advertisements: Advertisements::OnePerEntry,
        ..options(target, BgpMode::Frr)
    };
    blocked(&text, &each("0.13.10"), &["MIG024"]);
    assert_eq!(advertisements(&resources(&text, &each("0.13.7"))).len(), 2);
}

#[test]
fn local_preferences_by_length_are_told_apart_for_releases_that_want_it() {
    let text = format!(
        "{PEER}address-pools:\n- name: a\n  protocol: bgp\n  addresses: [198.51.100.0/24]\n  bgp-advertisements:\n  \
         - {{aggregation-length: 32, localpref: 100}}\n  - {{aggregation-length: 24, localpref: 200}}\n"
    );
    for (target, want) in [("0.13.7", None), ("0.14.9", Some(127)), ("0.15.0", None)] {
        let resources = resources(&text, &options(target, BgpMode::Native));
        let found = advertisements(&resources);
        assert_eq!(
            found
                .iter()
                .map(|ad| ad.aggregation_length_v6)
                .collect::<Vec<_>>(),
            [None, want],
            "{target}"
        );
    }
}

#[test]
fn buggy_addresses_are_cut_out_where_the_release_cannot_leave_them_out() {
    let text = "address-pools:\n- name: a\n  protocol: bgp\n  avoid-buggy-ips: true\n  addresses: [198.51.100.0/23, 203.0.113.7/32, \
                203.0.113.128-203.0.113.255, \"2001:db8::/126\"]\n";
    let lines = |target| {
        let resources = resources(text, &options(target, BgpMode::Frr));
        let Some(Spec::Pool(pool)) = resources.first().map(|resource| resource.spec.clone()) else {
            panic!("no pool");
        };
        (pool.addresses, pool.avoid_buggy_ips)
    };
    assert_eq!(
        lines("0.13.2").0,
        [
            "198.51.100.1-198.51.100.254",
            "198.51.101.1-198.51.101.254",
            "203.0.113.7/32",
            "203.0.113.128-203.0.113.254",
            "2001:db8::/126"
        ]
    );
    assert!(!lines("0.13.2").1 && lines("0.13.4").1);
    let aggregated = "address-pools:\n- {name: a, protocol: bgp, avoid-buggy-ips: true, addresses: [198.51.100.0/24], bgp-advertisements: [{aggregation-length: 24}]}\n";
    blocked(aggregated, &options("0.13.2", BgpMode::Native), &["MIG041"]);
}

#[test]
fn sessions_of_the_other_family_are_told_so_from_0_15_on() {
    let text = format!(
        "{PEER}address-pools:\n- {{name: a, protocol: bgp, addresses: [\"2001:db8::/120\"]}}\n"
    );
    for (target, want) in [("0.14.9", false), ("0.15.0", true), ("0.16.1", true)] {
        let resources = resources(&text, &options(target, BgpMode::Frr));
        assert!(
            peers(&resources).iter().all(|peer| peer.dual_stack == want),
            "{target}"
        );
    }
}

#[test]
fn an_as_number_with_a_point_is_cut_as_0_12_cuts_it() {
    let conversion = run(
        "peers:\n- {my-asn: 65010.1, peer-asn: 2, peer-address: 192.0.2.1}\n",
        &options("0.16.1", BgpMode::Native),
    );
    assert!(codes(&conversion, Level::Warning).contains("MIG010"));
    let resources = conversion.resources.unwrap();
    assert_eq!(
        peers(&resources).first().map(|peer| peer.my_asn),
        Some(65010)
    );
}

#[test]
fn ten_thousand_pools_are_converted_quickly() {
    let mut text = "address-pools:\n".to_owned();
    for index in 0..10_000 {
        let (high, low) = (index / 250, index % 250);
        text.push_str(&format!(
            "- {{name: Pool_{index}, protocol: layer2, addresses: [10.{high}.{low}.0/28]}}\n"
        ));
    }
    assert!(text.len() < 1 << 20);
    let resources = resources(&text, &options("0.16.1", BgpMode::Native));
    assert_eq!(resources.len(), 20_000);
}

/// (level, code, message) of what is said about the settings.
fn of_settings(conversion: &Conversion) -> Vec<(Level, &'static str, String)> {
    let findings = conversion.findings.iter();
    let findings = findings.filter(|finding| finding.diagnostic.key == Key::Ferrolb);
    findings
        .map(|finding| {
            let diagnostic = &finding.diagnostic;
            let help = diagnostic.help.clone().unwrap_or_default();
            (
                finding.level,
                diagnostic.code,
                format!("{} ({help})", diagnostic.message),
            )
        })
        .collect()
}

const TWO_PEERS: &str = "peers:\n- {my-asn: 65010, peer-asn: 65020, peer-address: 203.0.113.1}\n\
                         - {my-asn: 65010, peer-asn: 65020, peer-address: 203.0.113.2}\n";

#[test]
fn graceful_restart_is_carried_over_where_the_target_has_it() {
    let of_first = "bgp: {peers: [{peer-address: 203.0.113.1, graceful-restart: 120s}]}";
    let of_all = "bgp: {graceful-restart: 30s}";
    for (target, mode, settings, want, code) in [
        (
            "0.14.6",
            BgpMode::Frr,
            of_first,
            vec![true, false],
            (Level::Info, "MIG075"),
        ),
        (
            "0.16.1",
            BgpMode::FrrK8s,
            of_first,
            vec![true, false],
            (Level::Info, "MIG075"),
        ),
        (
            "0.16.1",
            BgpMode::Frr,
            of_all,
            vec![true, true],
            (Level::Warning, "MIG075"),
        ),
        // What lacks it is told, and is no reason not to convert.
        (
            "0.14.5",
            BgpMode::Frr,
            of_all,
            vec![false, false],
            (Level::Warning, "MIG047"),
        ),
        (
            "0.16.1",
            BgpMode::Native,
            of_all,
            vec![false, false],
            (Level::Warning, "MIG047"),
        ),
    ] {
        let options = options(target, mode);
        let source = Source::Text(TWO_PEERS);
        let conversion = convert_with(source, Some(settings), &options);
        let resources = conversion.resources.as_deref().unwrap();
        let restarts: Vec<bool> = peers(resources)
            .iter()
            .map(|peer| peer.graceful_restart)
            .collect();
        assert_eq!(restarts, want, "{target} {mode} {settings}");
        let told = of_settings(&conversion);
        let [(level, name, message)] = told.as_slice() else {
            panic!("{told:?}");
        };
        assert_eq!((*level, *name), code, "{message}");
        assert_eq!(
            message.contains("FRR asks for 120 s, and `data.ferrolb` for 30 s"),
            code == (Level::Warning, "MIG075")
        );
        let config = conversion.config.as_ref().unwrap();
        let compare =
            |resources: &[Resource]| verify::compare(config, resources, &[], options.target, mode);
        assert_eq!(compare(resources), [], "{target} {mode}");
        // The other way round it is a difference.
        let mut other = resources.to_vec();
        for resource in &mut other {
            if let Spec::Peer(peer) = &mut resource.spec {
                peer.graceful_restart = !peer.graceful_restart;
            }
        }
        assert_eq!(compare(&other).len(), 1, "{target} {mode}");
    }
}

#[test]
fn settings_are_told_whether_or_not_the_configuration_is_converted() {
    let options = options("0.16.1", BgpMode::Frr);
    let told = |text: &str, settings: &str, options: &Options| {
        let conversion = convert_with(Source::Text(text), Some(settings), options);
        of_settings(&conversion)
            .into_iter()
            .map(|(level, code, _)| (level, code))
            .collect::<Vec<_>>()
    };
    let restart = "bgp: {graceful-restart: 2m}";
    assert_eq!(told(TWO_PEERS, "", &options), []);
    assert_eq!(
        told("peers: 5\n", restart, &options),
        [(Level::Warning, "MIG047")]
    );
    // Nobody has it.
    assert_eq!(
        told("peers: []\n", restart, &options),
        [(Level::Warning, "MIG047")]
    );
    assert_eq!(
        told(TWO_PEERS, "bgp: 5", &options),
        [(Level::Warning, "wrong-type")]
    );
    for bugs in [false, true] {
        let compat = Options {
            compat: Some(Compat {
                release: release("0.16.1"),
                bugs,
            }),
            ..options.clone()
        };
        let conversion = convert_with(Source::Text(TWO_PEERS), Some(restart), &compat);
        assert!(
            peers(&conversion.resources.unwrap())
                .iter()
                .all(|peer| !peer.graceful_restart)
        );
        assert_eq!(
            told(TWO_PEERS, restart, &compat),
            [(Level::Warning, "MIG047")]
        );
    }
    let all = "bgp: {ttl-security: 1, graceful-shutdown: 1s, peers: [{peer-address: 203.0.113.1, enabled: no, bfd-multihop: yes}]}\n\
               layer2: {interfaces: [eth0], conflict-resolution: no}\n";
    assert_eq!(
        told(TWO_PEERS, all, &options),
        [(Level::Warning, "MIG047"); 6]
    );
}
