//! Twenty-five inputs that show where a conversion goes wrong, one test each; those about files and containers are with the command line.

use std::collections::BTreeSet;

use ferrolb_compat::crd::Spec;
use ferrolb_compat::crd::read::read_all;
use ferrolb_compat::migrate::{self as upstream, Release};
use ferrolb_compat::yaml::Document;

use super::{
    MODES, PEER, TARGETS, advertisements, blocked, codes, options, peers, release, resources, run,
};
use crate::migrate::resources::resolved;
use crate::migrate::{
    Advertisements, BgpMode, Compat, Conversion, Level, Options, Source, convert, verify,
};

fn compat(text: &str, target: &str, bugs: bool) -> Conversion {
    let options = Options {
        target: release(target),
        compat: Some(Compat {
            release: release(target),
            bugs,
        }),
        ..Options::default()
    };
    convert(Source::Text(text), &options)
}

/// The file that upstream's converter would write.
fn upstreams(text: &str, target: &str, bugs: bool) -> String {
    let conversion = compat(text, target, bugs);
    let resources = conversion
        .resources
        .unwrap_or_else(|| panic!("{:?}", conversion.findings));
    upstream::write(&resources, upstream::NAMESPACE, release(target)).unwrap()
}

/// 0.12 refuses it: the code, the line, and words of the message.
fn invalid(text: &str, code: &str, line: usize, words: &str) {
    for target in TARGETS {
        let conversion = run(text, &options(target, BgpMode::Frr));
        assert!(conversion.resources.is_none() && conversion.config.is_none());
        let finding = conversion
            .findings
            .iter()
            .find(|finding| finding.diagnostic.code == code)
            .unwrap_or_else(|| panic!("{text}: {:?}", conversion.findings));
        assert_eq!(finding.level, Level::Invalid);
        assert_eq!(finding.diagnostic.line, line, "{text}");
        let message = finding.diagnostic.to_string();
        assert!(message.contains(words), "{message}");
    }
}

fn peer(address: u8, more: &str) -> String {
    format!("- {{my-asn: 65010, peer-asn: 65020, peer-address: 203.0.113.{address}{more}}}\n")
}

fn pool(name: &str, protocol: &str, addresses: &str, more: &str) -> String {
    format!("- {{name: {name}, protocol: {protocol}, addresses: [{addresses}]{more}}}\n")
}

/// For every target and mode it is converted, and means the same.
fn everywhere(text: &str) {
    for target in TARGETS {
        for mode in MODES {
            let conversion = run(text, &options(target, mode));
            assert!(
                conversion.resources.is_some(),
                "{target} {mode}: {:?}",
                conversion.findings
            );
        }
    }
}

const L2: &str =
    "address-pools:\n- name: a\n  protocol: layer2\n  addresses: [192.0.2.10-192.0.2.20]\n";

#[test]
fn input_01_a_layer2_range_is_one_pool_and_one_advertisement() {
    everywhere(L2);
    let resources = resources(L2, &options("0.16.1", BgpMode::Native));
    let names: Vec<_> = resources
        .iter()
        .map(|one| (one.spec.kind(), one.name.as_str()))
        .collect();
    assert_eq!(
        names,
        [
            ("IPAddressPool", "a"),
            ("L2Advertisement", "l2advertisement1")
        ]
    );
    let old = upstreams(L2, "0.13.7", false);
    assert!(old.contains("creationTimestamp: null") && old.contains("status: {}"));
    let new = upstreams(L2, "0.16.1", false);
    assert!(!new.contains("creationTimestamp") && new.contains("assignedIPv4: 0"));
}

#[test]
fn input_02_a_peer_without_options_and_a_pool_without_advertisements() {
    let text = format!(
        "peers:\n{}address-pools:\n{}",
        peer(1, ""),
        pool("a", "bgp", "192.0.2.0/26", "")
    );
    everywhere(&text);
    for target in TARGETS {
        let resources = resources(&text, &options(target, BgpMode::Native));
        let peers = peers(&resources);
        let times: Vec<_> = peers
            .iter()
            .map(|peer| (peer.hold_time.unwrap().to_string(), peer.keepalive_time))
            .collect();
        assert_eq!(times, [("1m30s".to_owned(), None)]);
        let ads = advertisements(&resources);
        assert_eq!(ads.len(), 1);
        assert_eq!(
            ads.first().map(|ad| ad.pools.clone()),
            Some(vec!["a".to_owned()])
        );
    }
    for (target, want) in [
        ("0.13.2", "keepaliveTime: 30s"),
        ("0.13.7", "keepaliveTime: 0s"),
        ("0.14.8", "keepaliveTime: 0s"),
    ] {
        assert!(upstreams(&text, target, true).contains(want), "{target}");
    }
    assert!(!upstreams(&text, "0.14.9", true).contains("keepaliveTime"));
}

#[test]
fn input_03_unquoted_passwords_keep_their_text() {
    let passwords = ["0123456", "1e3", "yes", "1.10", "0x1F"];
    let mut text = "peers:\n".to_owned();
    for (index, password) in passwords.iter().enumerate() {
        let number = u8::try_from(index).unwrap();
        text.push_str(&peer(number, &format!(", password: {password}")));
    }
    everywhere(&text);
    let conversion = run(&text, &options("0.16.1", BgpMode::Native));
    let lines: Vec<_> = conversion
        .findings
        .iter()
        .filter(|finding| finding.diagnostic.code == "MIG009")
        .map(|finding| finding.diagnostic.line)
        .collect();
    assert_eq!(lines, [2, 3, 4, 5, 6]);
    let resources = conversion.resources.unwrap();
    let secrets = resources.iter().filter_map(|one| match &one.spec {
        Spec::Secret(password) => Some(password.0.as_str()),
        _ => None,
    });
    assert_eq!(secrets.collect::<Vec<_>>(), passwords);
    let corrupted = upstreams(&text, "0.14.9", true);
    for wrong in ["\"42798\"", "\"1000\"", "\"true\"", "\"1.1\"", "\"31\""] {
        assert!(
            corrupted.contains(&format!("password: {wrong}")),
            "{corrupted}"
        );
    }
}

#[test]
fn input_04_an_unquoted_name_and_label_keep_their_text() {
    let text = format!(
        "peers:\n{}address-pools:\n{}",
        peer(1, ", node-selectors: [{match-labels: {on: yes}}]"),
        pool("1.10", "layer2", "192.0.2.0/28", "")
    );
    everywhere(&text);
    let resources = resources(&text, &options("0.16.1", BgpMode::Native));
    assert!(resources.iter().any(|one| one.name == "1.10"));
    let labels = &peers(&resources)[0].node_selectors[0].match_labels;
    assert_eq!(labels.get("on").map(String::as_str), Some("yes"));
    let corrupted = upstreams(&text, "0.13.7", true);
    assert!(corrupted.contains("name: \"1.1\"") && corrupted.contains("\"true\": \"true\""));
}

#[test]
fn input_05_protocol_l2_is_refused_with_what_was_meant() {
    let text = L2.replace("layer2", "l2");
    invalid(&text, "MIG004", 3, "unknown protocol \"l2\"");
    let conversion = run(&text, &Options::default());
    let help = conversion.findings[0]
        .diagnostic
        .help
        .clone()
        .unwrap_or_default();
    assert!(
        help.contains("layer2") || conversion.findings[0].diagnostic.message.contains("layer2"),
        "{help}"
    );
    let dropped = upstreams(&text, "0.16.1", true);
    assert!(dropped.contains("IPAddressPool") && !dropped.contains("L2Advertisement"));
}

#[test]
fn input_06_a_misspelt_key_is_refused_with_a_suggestion() {
    let text = format!("{L2}  avoid-buggy-ip: true\n");
    invalid(&text, "MIG001", 5, "did you mean `avoid-buggy-ips`?");
    assert!(!upstreams(&text, "0.16.1", true).contains("avoidBuggyIPs"));
}

#[test]
fn input_07_layer2_with_bgp_advertisements_is_refused() {
    let text = format!("{L2}  bgp-advertisements:\n  - localpref: 5\n");
    invalid(&text, "MIG005", 6, "");
    let both = upstreams(&text, "0.16.1", true);
    assert!(both.contains("BGPAdvertisement") && both.contains("L2Advertisement"));
}

const NAMES: [&str; 10] = [
    "My_Pool",
    "my-pool",
    "9lives",
    "a",
    "dot.ted",
    "\"sp ace\"",
    "tail_",
    "Ünïcode",
    "my-ns/ingress",
    "\"100\"",
];

fn named_pools() -> String {
    let mut text = "address-pools:\n".to_owned();
    for (index, name) in NAMES.iter().enumerate() {
        text.push_str(&pool(name, "layer2", &format!("10.0.{index}.0/28"), ""));
    }
    text
}

#[test]
fn input_08_names_become_valid_and_different_and_valid_ones_stay() {
    let text = named_pools();
    everywhere(&text);
    for target in TARGETS {
        let conversion = run(&text, &options(target, BgpMode::Native));
        let resources = conversion.resources.as_ref().unwrap();
        let names: Vec<_> = resources
            .iter()
            .filter(|one| matches!(one.spec, Spec::Pool(_)))
            .map(|one| one.name.as_str())
            .collect();
        assert!(
            names[0].starts_with("my-pool-") && names[0].len() == 14,
            "{names:?}"
        );
        assert_eq!(
            names[1..],
            [
                "my-pool",
                "9lives",
                "a",
                "dot.ted",
                "sp-ace",
                "tail",
                "unicode",
                "my-ns-ingress",
                "100"
            ]
        );
        assert!(codes(&conversion, Level::Warning).contains("MIG012"));
        assert!(codes(&conversion, Level::Info).contains("MIG013"));
        assert_eq!(conversion.renames.len(), 5);
    }
}

#[test]
fn input_09_a_renamed_pool_says_what_its_services_need() {
    let conversion = run(&named_pools(), &options("0.14.9", BgpMode::Native));
    let finding = conversion
        .findings
        .iter()
        .find(|finding| finding.diagnostic.code == "MIG012")
        .unwrap();
    assert_eq!(finding.diagnostic.line, 2);
    let help = finding.diagnostic.help.clone().unwrap_or_default();
    assert!(help.contains("Services"), "{help}");
    // Which Services, and what to do for each release, is the business of `migrate services`.
    let rename = conversion
        .renames
        .iter()
        .find(|rename| rename.from == "My_Pool")
        .unwrap();
    assert!(rename.to.starts_with("my-pool-"));
}

#[test]
fn input_10_times_of_0_need_0_14_9_and_others_are_cut() {
    let with_zeros = format!(
        "peers:\n{}{}{}{}",
        peer(1, ", hold-time: 0s, keepalive-time: 0s"),
        peer(2, ", hold-time: 900ms, keepalive-time: 400ms"),
        peer(3, ", hold-time: 10900ms, keepalive-time: 1900ms"),
        peer(4, ", hold-time: 1h30m, keepalive-time: 3s"),
    );
    let without = format!(
        "{with_zeros}{}",
        peer(5, ", hold-time: 3s, keepalive-time: 3s")
    );
    for target in TARGETS {
        if release(target) < Release::new(14, 9) {
            blocked(
                &with_zeros,
                &options(target, BgpMode::Frr),
                &["MIG019", "MIG020"],
            );
            continue;
        }
        let resources = resources(&without, &options(target, BgpMode::Frr));
        let times: Vec<_> = peers(&resources)
            .iter()
            .map(|peer| [peer.hold_time, peer.keepalive_time].map(|time| time.unwrap().to_string()))
            .collect();
        assert_eq!(
            times,
            [
                ["0s", "0s"],
                ["0s", "0s"],
                ["10s", "1s"],
                ["1h30m0s", "3s"],
                ["3s", "3s"]
            ]
        );
    }
    let mut allowed = options("0.13.12", BgpMode::Frr);
    allowed.allow = ["MIG019", "MIG020"].map(str::to_owned).into();
    let conversion = run(&with_zeros, &allowed);
    assert!(conversion.resources.is_some());
    assert!(codes(&conversion, Level::Warning).contains("MIG048"));
}

#[test]
fn input_11_times_that_0_12_refuses_are_refused_in_its_words() {
    for (more, words) in [
        (", hold-time: 2s", "must be 0 or >=3s"),
        (", hold-time: -90s", "must be 0 or >=3s"),
        (
            ", hold-time: 10s, keepalive-time: 20s",
            "invalid keepalive time \"20s\"",
        ),
    ] {
        let text = format!("peers:\n{}", peer(1, more));
        let conversion = run(&text, &Options::default());
        assert!(conversion.config.is_none());
        let told: Vec<_> = conversion
            .findings
            .iter()
            .map(|finding| finding.diagnostic.message.clone())
            .collect();
        assert!(told.iter().any(|told| told.contains(words)), "{told:?}");
        assert!(
            conversion
                .findings
                .iter()
                .all(|finding| finding.diagnostic.line == 2)
        );
    }
}

#[test]
fn input_12_a_port_above_16384_is_refused_and_0_is_none() {
    let both = format!(
        "peers:\n{}{}",
        peer(1, ", peer-port: 20179"),
        peer(2, ", peer-port: 0")
    );
    let one = format!("peers:\n{}", peer(2, ", peer-port: 0"));
    everywhere(&one);
    for target in TARGETS {
        blocked(&both, &options(target, BgpMode::Native), &["MIG022"]);
        let conversion = run(&both, &options(target, BgpMode::Native));
        let paths: Vec<_> = conversion
            .findings
            .iter()
            .filter(|finding| finding.diagnostic.code == "MIG022")
            .map(|finding| finding.diagnostic.path.as_str())
            .collect();
        assert_eq!(paths, ["peers[0].peer-port"]);
        let resources = resources(&one, &options(target, BgpMode::Native));
        assert_eq!(peers(&resources)[0].peer_port, 0);
    }
}

#[test]
fn input_13_selectors_and_values_that_are_there_twice_are_written_once() {
    let text = format!(
        "peers:\n{}",
        peer(
            1,
            ", node-selectors: [{match-labels: {a: b}}, {match-labels: {a: b}}, \
             {match-expressions: [{key: z, operator: In, values: [b, a, b]}]}]"
        )
    );
    everywhere(&text);
    for target in TARGETS {
        let conversion = run(&text, &options(target, BgpMode::Native));
        assert!(codes(&conversion, Level::Info).contains("MIG017"));
        let resources = conversion.resources.unwrap();
        let selectors = &peers(&resources)[0].node_selectors;
        assert_eq!(selectors.len(), 2);
        assert_eq!(selectors[1].match_expressions[0].values, ["a", "b"]);
    }
}

#[test]
fn input_14_selectors_of_all_kinds_are_kept_in_upstreams_order() {
    let text = format!(
        "peers:\n{}",
        peer(
            1,
            ", node-selectors: [{}, {match-labels: {\"1\": x, \"9\": x, \"10\": x, A: x, a2: x, a10: x, a.b: x}}, \
             {match-expressions: [{key: k, operator: In, values: [c, a]}, {key: k, operator: NotIn, values: [b]}, \
             {key: k, operator: Exists}, {key: k, operator: DoesNotExist, values: []}]}]"
        )
    );
    everywhere(&text);
    for target in ["0.13.7", "0.14.9", "0.16.1"] {
        let file = upstreams(&text, target, false);
        let order: Vec<_> = [
            "\"1\": x",
            "\"9\": x",
            "\"10\": x",
            "A: x",
            "a.b: x",
            "a2: x",
            "a10: x",
        ]
        .iter()
        .map(|key| file.find(key).unwrap_or_else(|| panic!("{key}\n{file}")))
        .collect();
        assert!(order.is_sorted(), "{file}");
        assert!(file.contains("      - a\n      - c\n"), "{file}");
    }
}

#[test]
fn input_15_advertisements_of_one_route_say_what_the_backend_did() {
    let text = format!(
        "{PEER}address-pools:\n{}bgp-communities: {{x: 65010:7, y: 65010:8}}\n",
        pool(
            "a",
            "bgp",
            "198.51.100.0/24",
            ", bgp-advertisements: [{localpref: 100, communities: [x]}, {localpref: 200, communities: [y]}]"
        )
    );
    for target in TARGETS {
        for mode in MODES {
            let resources = resources(&text, &options(target, mode));
            let ads = advertisements(&resources);
            let [ad] = ads.as_slice() else {
                panic!("{target} {mode}: {ads:?}");
            };
            let want: &[&str] = if mode.is_frr() { &["x", "y"] } else { &["y"] };
            assert_eq!(
                (ad.local_pref, ad.communities.as_slice()),
                (
                    200,
                    want.iter()
                        .map(|text| (*text).to_owned())
                        .collect::<Vec<_>>()
                        .as_slice()
                )
            );
        }
        let each = Options {
            advertisements: Advertisements::OnePerEntry,
            ..options(target, BgpMode::Frr)
        };
        if release(target) >= Release::new(13, 10) {
            blocked(&text, &each, &["MIG024"]);
        } else {
            assert_eq!(advertisements(&super::resources(&text, &each)).len(), 2);
        }
    }
}

#[test]
fn input_16_localprefs_by_length_are_told_apart_where_the_target_wants_it() {
    let text = format!(
        "{PEER}address-pools:\n{}",
        pool(
            "a",
            "bgp",
            "198.51.100.0/24",
            ", bgp-advertisements: [{aggregation-length: 32, localpref: 100}, {aggregation-length: 24, localpref: 200}]"
        )
    );
    everywhere(&text);
    for target in TARGETS {
        let number = release(target);
        let strict = (Release::new(13, 10)..Release::new(15, 0)).contains(&number);
        let conversion = run(&text, &options(target, BgpMode::Native));
        assert_eq!(
            codes(&conversion, Level::Info).contains("MIG025"),
            strict,
            "{target}"
        );
        let resources = conversion.resources.unwrap();
        let lengths: Vec<_> = advertisements(&resources)
            .iter()
            .map(|ad| ad.aggregation_length_v6)
            .collect();
        assert_eq!(lengths, [None, strict.then_some(127)], "{target}");
    }
}

#[test]
fn input_17_buggy_addresses_are_left_out_one_way_or_the_other() {
    let text = format!(
        "address-pools:\n{}",
        pool(
            "a",
            "bgp",
            "198.51.100.0/23, 203.0.113.7/32, 203.0.113.128-203.0.113.255, \"2001:db8::/126\"",
            ", avoid-buggy-ips: true"
        )
    );
    for target in TARGETS {
        let resources = resources(&text, &options(target, BgpMode::Frr));
        let Some(Spec::Pool(pool)) = resources.first().map(|one| one.spec.clone()) else {
            panic!("no pool");
        };
        assert_eq!(pool.avoid_buggy_ips, release(target) >= Release::new(13, 4));
        let lines = if pool.avoid_buggy_ips {
            vec![
                "198.51.100.0/23",
                "203.0.113.7/32",
                "203.0.113.128-203.0.113.255",
                "2001:db8::/126",
            ]
        } else {
            vec![
                "198.51.100.1-198.51.100.254",
                "198.51.101.1-198.51.101.254",
                "203.0.113.7/32",
                "203.0.113.128-203.0.113.254",
                "2001:db8::/126",
            ]
        };
        assert_eq!(pool.addresses, lines, "{target}");
    }
    let conversion = compat(&text, "0.13.2", true);
    assert!(
        conversion.findings[0]
            .diagnostic
            .message
            .contains("not enough addresses")
    );
}

#[test]
fn input_18_native_bgp_beside_an_ipv6_pool_of_layer2_needs_0_14_9() {
    let text = format!(
        "{PEER}address-pools:\n{}{}",
        pool("a", "bgp", "198.51.100.0/24", ""),
        pool("b", "layer2", "\"2001:db8::/120\"", "")
    );
    for target in TARGETS {
        let old = release(target) < Release::new(14, 9);
        let want: &[&'static str] = if old { &["MIG026"] } else { &[] };
        blocked(&text, &options(target, BgpMode::Native), want);
        blocked(&text, &options(target, BgpMode::Frr), &[]);
    }
}

#[test]
fn input_19_each_bfd_profile_keeps_its_own_modes() {
    let text = format!(
        "peers:\n{}{}bfd-profiles:\n- {{name: Fast_One, echo-mode: true}}\n- {{name: slow, passive-mode: true}}\naddress-pools:\n{}",
        peer(1, ", bfd-profile: Fast_One"),
        peer(2, ", bfd-profile: slow"),
        pool("a", "bgp", "\"2001:db8::/120\"", "")
    );
    for target in TARGETS {
        if release(target) >= Release::new(13, 10) {
            blocked(&text, &options(target, BgpMode::Frr), &["MIG027"]);
            continue;
        }
        let resources = resources(&text, &options(target, BgpMode::Frr));
        let modes: Vec<_> = resources
            .iter()
            .filter_map(|one| match &one.spec {
                Spec::BfdProfile(profile) => {
                    Some((one.name.as_str(), profile.echo_mode, profile.passive_mode))
                }
                _ => None,
            })
            .collect();
        assert_eq!(modes, [("fast-one", true, false), ("slow", false, true)]);
    }
}

#[test]
fn input_20_what_native_bgp_runs_and_frr_does_not() {
    let text = format!(
        "peers:\n{}{}{}",
        peer(1, ", router-id: 10.0.0.1"),
        peer(2, ", router-id: 10.0.0.2"),
        peer(1, ", router-id: 10.0.0.1, hold-time: 30s")
    );
    for target in TARGETS {
        blocked(&text, &options(target, BgpMode::Native), &[]);
        blocked(&text, &options(target, BgpMode::Frr), &["MIG028"]);
    }
    for (target, warned) in [("0.13.7", false), ("0.15.3", true), ("0.16.1", true)] {
        let conversion = run(&text, &options(target, BgpMode::Native));
        assert_eq!(
            codes(&conversion, Level::Warning).contains("MIG034"),
            warned,
            "{target}"
        );
    }
}

#[test]
fn input_21_a_session_carries_both_families_everywhere() {
    let text = format!(
        "{PEER}address-pools:\n{}",
        pool("a", "bgp", "\"2001:db8::/120\"", "")
    );
    for target in TARGETS {
        for mode in [BgpMode::Frr, BgpMode::FrrK8s] {
            // `run` has compared the families of the routes.
            let conversion = run(&text, &options(target, mode));
            let new = release(target) >= Release::new(15, 0);
            assert_eq!(
                codes(&conversion, Level::Info).contains("MIG029"),
                new,
                "{target}"
            );
            let resources = conversion.resources.unwrap();
            assert!(peers(&resources).iter().all(|peer| peer.dual_stack == new));
        }
    }
}

#[test]
fn input_22_communities_by_name_by_value_and_by_no_name() {
    let aliases =
        "bgp-communities: {x: 65010:7, \"10\": 4:4, \"9\": 5:5, \"\": 6:6, unused: 2:60}\n";
    let with = |communities: &str| {
        let more = format!(", bgp-advertisements: [{{communities: [{communities}]}}]");
        format!(
            "{PEER}address-pools:\n{}{aliases}",
            pool("a", "bgp", "192.0.2.0/24", &more)
        )
    };
    let good = with("x, \"10\", \"\"");
    everywhere(&good);
    let conversion = run(&good, &options("0.16.1", BgpMode::Native));
    assert!(codes(&conversion, Level::Info).contains("MIG038"));
    let resources = conversion.resources.unwrap();
    assert_eq!(
        advertisements(&resources)[0].communities,
        ["x", "10", "6:6"]
    );
    let pruned = Options {
        prune_unused: true,
        ..options("0.16.1", BgpMode::Native)
    };
    let names: Vec<_> = super::resources(&good, &pruned)
        .iter()
        .filter_map(|one| match &one.spec {
            Spec::Community(aliases) => Some(
                aliases
                    .iter()
                    .map(|(name, _)| name.clone())
                    .collect::<Vec<_>>(),
            ),
            _ => None,
        })
        .flatten()
        .collect();
    assert_eq!(names, ["10", "x"]);
    let file = upstreams(&good, "0.13.7", false);
    // YAML 1.1 would take the first for a number to the base of 60.
    assert!(
        file.contains("value: \"65010:7\"\n") && file.contains("value: 2:60\n"),
        "{file}"
    );
    for bad in ["65010:7, 65010:7", "65010:7:8", "large:1:2:3"] {
        let conversion = run(&with(bad), &Options::default());
        assert!(conversion.config.is_none(), "{bad}");
    }
}

#[test]
fn input_23_as_numbers_with_a_point_and_beyond_int32() {
    let point = "peers:\n- {my-asn: 65010.1, peer-asn: 65020, peer-address: 203.0.113.1}\n";
    everywhere(point);
    for target in TARGETS {
        let conversion = run(point, &options(target, BgpMode::Native));
        assert!(codes(&conversion, Level::Warning).contains("MIG010"));
        assert_eq!(peers(&conversion.resources.unwrap())[0].my_asn, 65010);
    }
    let large = "peers:\n- {my-asn: 4200000001, peer-asn: 65020, peer-address: 203.0.113.1}\n";
    for target in TARGETS {
        let new = Options {
            kubernetes: Some(36),
            ..options(target, BgpMode::Native)
        };
        let old = release(target) < Release::new(16, 0);
        let want: &[&'static str] = if old { &["MIG031"] } else { &[] };
        blocked(large, &new, want);
        blocked(large, &options(target, BgpMode::Native), &[]);
    }
}

#[test]
fn input_24_an_empty_configuration_has_no_resources_and_says_so() {
    // The containers are tried with the command line.
    for text in ["", "# nothing\n", "peers:\n", "{}\n"] {
        everywhere(text);
        let conversion = run(text, &Options::default());
        assert_eq!(conversion.resources, Some(Vec::new()));
        assert!(codes(&conversion, Level::Info).contains("MIG046"));
    }
    let conversion = run(&format!("{L2}---\nmore: 5\n"), &Options::default());
    assert!(codes(&conversion, Level::Warning).contains("MIG011"));
}

#[test]
fn input_25_damaged_ones_are_refused_with_their_line() {
    let pools = |text: &str| format!("address-pools:\n{text}");
    let l2 = |name: &str, addresses: &str| pool(name, "layer2", addresses, "");
    for (text, line) in [
        ("address-pools:\n\t- name: a\n".to_owned(), 2),
        (pools("-name: a\n"), 2),
        ("address-pools: {name: a}\n".to_owned(), 1),
        (
            pools(&pool(
                "a",
                "layer2",
                "192.0.2.0/28",
                ", auto-assign: \"false\"",
            )),
            2,
        ),
        (pools(&l2("\"\"", "192.0.2.0/28")), 2),
        (pools("- {name: a, addresses: [192.0.2.0/28]}\n"), 2),
        (
            pools(&format!(
                "{}{}",
                l2("a", "192.0.2.0/28"),
                l2("b", "192.0.2.10-192.0.2.30")
            )),
            3,
        ),
        (
            pools(&format!(
                "{}{}",
                l2("a", "192.0.2.0/28"),
                l2("a", "192.0.2.32/28")
            )),
            3,
        ),
        (
            format!("peers:\n{}{}", peer(1, ", peer-port: 179"), peer(1, "")),
            3,
        ),
        (
            pools(&pool(
                "a",
                "bgp",
                "192.0.2.0/28",
                ", bgp-advertisements: [{localpref: 1}, {localpref: 1}]",
            )),
            2,
        ),
        (
            "peers:\n- {my-asn: 1, peer-asn: 1, peer-address: 192.0.2.1, ebgp-multihop: true}\n"
                .to_owned(),
            2,
        ),
        (format!("peers:\n{}", peer(1, ", bfd-profile: none")), 2),
        (
            "peers:\n- {my-asn: 1, peer-asn: 2, peer-address: router.example}\n".to_owned(),
            2,
        ),
        (
            pools(&pool(
                "a",
                "bgp",
                "192.0.2.0/28",
                ", bgp-advertisements: [{communities: [70000:1]}]",
            )),
            2,
        ),
        (pools(&l2("a", "192.0.2.200")), 2),
        (
            pools(&pool(
                "a",
                "bgp",
                "192.0.2.1-192.0.2.254",
                ", bgp-advertisements: [{aggregation-length: 24}]",
            )),
            2,
        ),
        (
            "bfd-profiles:\n- {name: a, receive-interval: 5}\n".to_owned(),
            2,
        ),
    ] {
        for target in ["0.13.7", "0.14.9", "0.16.1"] {
            let conversion = run(&text, &options(target, BgpMode::Frr));
            assert!(
                conversion.resources.is_none() && conversion.config.is_none(),
                "{text}"
            );
            assert_eq!(conversion.worst(), Some(Level::Invalid));
            let lines: BTreeSet<_> = conversion
                .findings
                .iter()
                .map(|finding| finding.diagnostic.line)
                .collect();
            assert!(lines.contains(&line), "{text}: {:?}", conversion.findings);
        }
    }
    // This one is good: a Secret holds any text.
    let text = format!("peers:\n{}", peer(1, ", password: \"a\\x7fb\""));
    everywhere(&text);
    let conversion = run(&text, &options("0.16.1", BgpMode::Native));
    assert!(codes(&conversion, Level::Info).contains("MIG039"));
    let told = format!("{:?}", conversion.findings);
    assert!(
        !told.contains("a\u{7f}b") && !told.contains("a\\u{7f}b"),
        "{told}"
    );
    let resources = conversion.resources.unwrap();
    let documents = Document::parse_all(&super::random::file(&resources)).unwrap();
    let read = read_all(&documents);
    assert_eq!(read.rest, []);
    let found = verify::compare(
        conversion.config.as_ref().unwrap(),
        &resolved(&read),
        &[],
        Release::NEWEST,
        BgpMode::Native,
    );
    assert_eq!(found, []);
}
