//! The checks, beyond what the golden cases show.

use std::fmt::Write as _;
use std::time::Duration;

use ferrolb_compat::go::duration::GoDuration;
use proptest::prelude::*;

use super::{Examined, examine, parse};
use crate::config::mode::Mode;
use crate::config::{Config, Operator};

/// The errors as text, each with its place.
fn errors(text: &str) -> Vec<String> {
    let examined = examine(text, Mode::FerroLb);
    examined.errors.iter().map(ToString::to_string).collect()
}

/// The codes of the warnings.
fn warnings(text: &str) -> Vec<&'static str> {
    let Examined {
        config, warnings, ..
    } = examine(text, Mode::FerroLb);
    assert!(config.is_some(), "{:?}", errors(text));
    warnings.iter().map(|warning| warning.code).collect()
}

/// A peer with these further fields.
fn peer(fields: &str) -> String {
    format!("peers:\n- my-asn: 64512\n  peer-asn: 64513\n  peer-address: 192.0.2.1\n  {fields}\n")
}

/// A bgp pool with these fields.
fn pool(fields: &str) -> String {
    format!("address-pools:\n- name: p\n  protocol: bgp\n  {fields}\n")
}

fn good(text: &str) -> Config {
    parse(text, Mode::FerroLb).unwrap_or_else(|refused| panic!("{text}\n{refused}"))
}

#[test]
fn upstreams_own_misspelling_is_explained() {
    let refused = parse(&peer("bfdProfile: x"), Mode::FerroLb).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "line 5, column 3: peers[0].bfdProfile: unknown field \"bfdProfile\" (did you mean `bfd-profile`?)"
    );
}

#[test]
fn every_message_says_what_where_and_what_to_do() {
    for (text, want) in [
        (
            peer("hold-time: 2s"),
            "line 5, column 14: peers[0].hold-time: invalid hold time \"2s\": must be 0 or >=3s",
        ),
        (
            peer("hold-time: 90"),
            "line 5, column 14: peers[0].hold-time: invalid hold time \"90\": duration \"90\" has no unit: write it as `90s`, `1m30s` or `1500ms`",
        ),
        (
            peer("keepalive-time: 91s"),
            "line 5, column 19: peers[0].keepalive-time: invalid keepalive time \"91s\": must not be longer than the hold time",
        ),
        (
            peer("router-id: x"),
            "line 5, column 14: peers[0].router-id: invalid router-id \"x\": not an IP address",
        ),
        (
            peer("source-address: 1.2.3"),
            "line 5, column 19: peers[0].source-address: invalid source-address \"1.2.3\": not an IP address",
        ),
        (
            peer("bfd-profile: x"),
            "line 5, column 16: peers[0].bfd-profile: there is no bfd profile \"x\" (define it under `bfd-profiles`)",
        ),
        (
            peer("node-selectors: [{match-expressions: [{key: a, operator: Is}]}]"),
            "line 5, column 60: peers[0].node-selectors[0].match-expressions[0].operator: unknown operator \"Is\": must be In, NotIn, Exists or DoesNotExist",
        ),
        (
            pool("addresses: [192.0.2.7]"),
            "line 4, column 15: address-pools[0].addresses[0]: invalid CIDR \"192.0.2.7\" in pool \"p\": neither a CIDR nor a range `start-end` (write a single address as `192.0.2.7/32`)",
        ),
        (
            pool("addresses: [192.0.2.9-192.0.2.3]"),
            "line 4, column 15: address-pools[0].addresses[0]: invalid CIDR \"192.0.2.9-192.0.2.3\" in pool \"p\": start IP \"192.0.2.9\" is after the end IP \"192.0.2.3\" (swap them)",
        ),
        (
            pool("addresses: []"),
            "line 4, column 14: address-pools[0].addresses: pool has no prefixes defined (list CIDRs or ranges under `addresses`)",
        ),
        (
            "bgp-communities: {x: 1:70000}".to_owned(),
            "line 1, column 22: bgp-communities.x: invalid community string \"1:70000\": must be two numbers from 0 to 65535, `a:b`",
        ),
        (
            "bfd-profiles: [{name: a}, {name: a}]".to_owned(),
            "line 1, column 34: bfd-profiles[1].name: bfd profile \"a\" already exists (give each profile a name of its own)",
        ),
    ] {
        let refused = parse(&text, Mode::FerroLb).unwrap_err();
        assert_eq!(refused.to_string(), want);
    }
}

#[test]
fn independent_faults_are_told_together_and_their_consequences_are_not() {
    let text = "peers:\n- my_asn: 1\n  peer-asn: \"2\"\n  peer-address: 192.0.2.400\naddress-pools:\n- name: a\n  protocol: l2\n  addresses: [192.0.2.0/33, 5]\n- {name: a, protocol: layer2, addresses: [192.0.2.0/24, 192.0.2.8/29]}\n";
    let codes: Vec<_> = examine(text, Mode::FerroLb)
        .errors
        .iter()
        .map(|error| (error.line, error.code))
        .collect();
    assert_eq!(
        codes,
        [
            (2, "unknown-field"),
            (3, "wrong-type"),
            (4, "invalid-peer-address"),
            (8, "invalid-cidr"),
            (8, "invalid-cidr"),
            (7, "unknown-protocol"),
            (9, "duplicate-pool"),
            (9, "cidr-overlap"),
        ]
    );
    let refused = parse(text, Mode::FerroLb).unwrap_err();
    assert!(
        refused.to_string().ends_with("(and 7 more faults)"),
        "{refused}"
    );
}

#[test]
fn passwords_are_in_no_message() {
    for fields in [
        "password: hunter2\n  hold-time: x",
        "password: [hunter2]",
        "password: hunter2\n  password: hunter2",
        "Password: hunter2",
        "password: hunter2\n- my-asn: 64512\n  peer-asn: 64513\n  peer-address: 192.0.2.1\n  password: hunter2",
        "password: \"hunter2",
        "password: !!int hunter2",
    ] {
        for mode in Mode::ALL {
            let text = peer(fields);
            let examined = examine(&text, mode);
            assert!(!examined.errors.is_empty(), "{fields}");
            let refused = parse(&text, mode).unwrap_err();
            assert!(!refused.to_string().contains("hunter2"), "{refused}");
            for diagnostic in examined.errors.iter().chain(&examined.warnings) {
                assert!(!diagnostic.to_string().contains("hunter2"), "{diagnostic}");
            }
        }
    }
}

#[test]
fn selectors_are_checked_as_kubernetes_does() {
    for (selector, fits) in [
        ("{}", true),
        ("{match-labels: {a.b/c: x}}", true),
        ("{match-labels: {a: ''}}", true),
        ("{match-labels: {a: ~}}", true),
        ("{match-labels: {'': x}}", false),
        ("{match-labels: {-a: x}}", false),
        ("{match-labels: {a/b/c: x}}", false),
        ("{match-labels: {A.b/c: x}}", false),
        ("{match-labels: {/c: x}}", false),
        ("{match-labels: {a: 'b c'}}", false),
        ("{match-labels: {a: -b}}", false),
        (
            "{match-expressions: [{key: a, operator: In, values: [x]}]}",
            true,
        ),
        ("{match-expressions: [{key: a, operator: In}]}", false),
        (
            "{match-expressions: [{key: a, operator: Exists, values: [x]}]}",
            false,
        ),
        (
            "{match-expressions: [{key: a, operator: Exists, values: []}]}",
            true,
        ),
        ("{match-expressions: [{key: a, operator: exists}]}", false),
        ("{match-expressions: [{key: a}]}", false),
        ("{match-expressions: [~]}", false),
    ] {
        let text = peer(&format!("node-selectors: [{selector}]"));
        assert_eq!(parse(&text, Mode::FerroLb).is_ok(), fits, "{selector}");
    }
    let long = "a".repeat(64);
    assert!(
        parse(
            &peer(&format!(
                "node-selectors: [{{match-labels: {{{long}: x}}}}]"
            )),
            Mode::FerroLb
        )
        .is_err()
    );
}

#[test]
fn selectors_that_differ_in_writing_alone_make_different_peers() {
    let peers = |first: &str, second: &str| {
        let one = |selector: &str| {
            format!(
                "- {{my-asn: 1, peer-asn: 2, peer-address: 192.0.2.1, node-selectors: [{selector}]}}\n"
            )
        };
        parse(
            &format!("peers:\n{}{}", one(first), one(second)),
            Mode::FerroLb,
        )
    };
    let label = "{match-labels: {a: b}}";
    let expression = "{match-expressions: [{key: a, operator: In, values: [b]}]}";
    // Compat: upstream compares what Kubernetes made of them.
    assert!(peers(label, expression).is_ok());
    assert!(peers(label, label).is_err());
    let config = peers(label, expression).unwrap();
    assert_eq!(config.peers[0], config.peers[1]);
    assert_eq!(
        config.peers[0].node_selectors[0].requirements[0].operator,
        Operator::In
    );
}

#[test]
fn ranges_become_the_fewest_cidrs() {
    for (range, want) in [
        ("0.0.0.0-255.255.255.255", "0.0.0.0/0"),
        ("255.255.255.255-255.255.255.255", "255.255.255.255/32"),
        (
            "192.0.2.1-192.0.2.6",
            "192.0.2.1/32 192.0.2.2/31 192.0.2.4/31 192.0.2.6/32",
        ),
        ("::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "::/0"),
        (
            "2001:db8::ff-2001:db8::100",
            "2001:db8::ff/128 2001:db8::100/128",
        ),
        ("::ffff:192.0.2.0 - 192.0.2.1", "192.0.2.0/31"),
        ("192.0.2.1-2001:db8::1", ""),
    ] {
        let config = good(&format!(
            "address-pools: [{{name: p, protocol: layer2, addresses: ['{range}']}}]"
        ));
        let cidrs: Vec<_> = config.pools[0]
            .cidrs
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(cidrs.join(" "), want, "{range}");
    }
}

#[test]
fn aggregation_is_checked_per_entry() {
    for (addresses, advertisement, fits) in [
        ("[192.0.2.0/24]", "aggregation-length: 24", true),
        ("[192.0.2.0/24]", "aggregation-length: 23", false),
        (
            "[192.0.2.0/25, 192.0.2.128/26]",
            "aggregation-length: 25",
            false,
        ),
        ("[192.0.2.1-192.0.2.254]", "aggregation-length: 26", true),
        ("[192.0.2.1-192.0.2.254]", "aggregation-length: 25", false),
        ("[2001:db8::/64]", "aggregation-length: 1", true),
        ("[2001:db8::/64]", "aggregation-length-v6: 63", false),
        ("[192.0.2.1-2001:db8::1]", "aggregation-length: 1", true),
        ("[192.0.2.0/24]", "aggregation-length: 33", false),
        ("[192.0.2.0/24]", "aggregation-length: -1", false),
        // Compat: no entry of that family is there to refuse it.
        ("[2001:db8::/64]", "aggregation-length: -1", true),
        // Compat: `NULL` is zero.
        ("[192.0.2.0/24]", "aggregation-length: NULL", false),
        ("[192.0.2.0/24]", "aggregation-length: null", true),
        // Upstream: the prefix length of a mapped network is taken as it is written.
        ("['::ffff:192.0.2.0/120']", "aggregation-length: 32", false),
    ] {
        let text = pool(&format!(
            "addresses: {addresses}\n  bgp-advertisements: [{{{advertisement}}}]"
        ));
        assert_eq!(
            parse(&text, Mode::FerroLb).is_ok(),
            fits,
            "{addresses} {advertisement}"
        );
    }
}

#[test]
fn overlaps_are_found_in_every_direction_and_name_the_first() {
    for (first, second, fits) in [
        ("192.0.2.0/24", "192.0.2.0/24", false),
        ("192.0.2.0/24", "192.0.2.128/25", false),
        ("192.0.2.128/25", "192.0.2.0/24", false),
        ("192.0.2.0/25", "192.0.2.128/25", true),
        ("0.0.0.0/0", "::/0", true),
        ("10.0.0.0/8", "2001:db8::/32", true),
        // Deviation: upstream compares the written lengths and does not see this one.
        ("192.0.2.16/28", "::ffff:192.0.2.0/120", false),
    ] {
        let text = format!(
            "address-pools: [{{name: p, protocol: layer2, addresses: ['{first}', '{second}']}}]"
        );
        assert_eq!(
            parse(&text, Mode::FerroLb).is_ok(),
            fits,
            "{first} {second}"
        );
    }
    let text = "address-pools: [{name: p, protocol: layer2, addresses: [192.0.2.64/26, 192.0.2.0/26, 192.0.2.0/24]}]";
    assert!(errors(text)[0].contains("overlaps with already defined CIDR \"192.0.2.64/26\""));
}

#[test]
fn equal_advertisements_are_those_that_are_written_equally() {
    for (advertisements, fits) in [
        ("{}, {}", false),
        ("{localpref: 0}, {}", true),
        ("{localpref: 1}, {localpref: 0x1}", false),
        ("{communities: []}, {}", true),
        ("{communities: ~}, {}", false),
        (
            "{communities: ['1:2', '3:4']}, {communities: ['3:4', '1:2']}",
            true,
        ),
    ] {
        let text = pool(&format!(
            "addresses: [192.0.2.0/24]\n  bgp-advertisements: [{advertisements}]"
        ));
        assert_eq!(
            parse(&text, Mode::FerroLb).is_ok(),
            fits,
            "{advertisements}"
        );
    }
}

#[test]
fn a_negative_keepalive_time_counts_as_none() {
    let config = good(&peer("keepalive-time: -5s"));
    assert_eq!(config.peers[0].keepalive_time, Duration::ZERO);
    assert!(warnings(&peer("keepalive-time: -5s")).contains(&"negative-time"));
}

#[test]
fn warnings_name_what_works_otherwise_than_meant() {
    let layer2 = |addresses: &str| {
        format!("address-pools: [{{name: p, protocol: layer2, addresses: [{addresses}]}}]")
    };
    for (text, want) in [
        (layer2("192.0.2.1-192.0.2.9"), vec![]),
        (layer2("192.0.2.0/30"), vec!["buggy-ips"]),
        (layer2("192.0.2.250-192.0.2.255"), vec!["buggy-ips"]),
        (layer2("192.0.2.9/29"), vec!["host-bits"]),
        (layer2("192.0.2.1-2001:db8::1"), vec!["mixed-range"]),
        (layer2("'2001:db8::/120'"), vec![]),
        (
            "address-pools:\n- {name: a, protocol: layer2, addresses: [192.0.2.1-192.0.2.9]}\n- {name: b, protocol: layer2, addresses: [192.0.2.21-192.0.2.29]}\n".to_owned(),
            vec!["shared-network"],
        ),
        (pool("addresses: [192.0.2.8/29]"), vec!["no-peers"]),
        (peer("password: x"), vec!["no-bgp-pool", "plain-password"]),
        (peer("hold-time: 0"), vec!["no-bgp-pool", "no-hold-time"]),
        (peer("source-address: 2001:db8::1"), vec!["no-bgp-pool", "mixed-families"]),
        (peer("router-id: 2001:db8::1"), vec!["no-bgp-pool", "router-id-v6"]),
        ("bfd-profiles: [{name: a}]".to_owned(), vec!["unused-bfd-profile"]),
        ("peers: []\n---\nmore: 1\n".to_owned(), vec!["later-document"]),
        ("---\npeers: []\n".to_owned(), vec![]),
        (String::new(), vec![]),
    ] {
        assert_eq!(warnings(&text), want, "{text}");
    }
}

#[test]
fn native_and_frr_modes_refuse_what_ferrolb_serves() {
    let v6 = pool("addresses: ['2001:db8::/120']");
    let two = "peers:\n- {my-asn: 1, peer-asn: 2, peer-address: 192.0.2.1}\n- {my-asn: 2, peer-asn: 3, peer-address: 192.0.2.1}\n";
    for (text, native, frr) in [
        (v6.as_str(), false, true),
        ("bfd-profiles: [{name: a}]", false, true),
        (two, true, false),
    ] {
        assert!(parse(text, Mode::FerroLb).is_ok());
        assert_eq!(parse(text, Mode::Native).is_ok(), native, "{text}");
        assert_eq!(parse(text, Mode::Frr).is_ok(), frr, "{text}");
    }
}

#[test]
fn large_documents_come_to_an_end() {
    // Each of these took minutes if something in it was quadratic.
    let mut ranges = String::from("address-pools:\n- name: p\n  protocol: layer2\n  addresses:\n");
    for number in 0..30_000_u32 {
        let (high, low) = (number / 250, number % 250);
        writeln!(ranges, "  - 10.{high}.{low}.1-10.{high}.{low}.254").unwrap();
    }
    let aliases = format!(
        "peers: [&p {{my-asn: 1, peer-asn: 2, peer-address: 192.0.2.1}}, {}]",
        "*p,".repeat(60_000)
    );
    let advertisements = pool(&format!(
        "addresses: [192.0.2.0/24]\n  bgp-advertisements: [{}]",
        (0..20_000)
            .map(|number| format!("{{localpref: {number}}}"))
            .collect::<Vec<_>>()
            .join(",")
    ));
    assert!(!errors(&ranges).is_empty() || good(&ranges).pools[0].cidrs.len() > 30_000);
    assert!(!errors(&aliases).is_empty());
    assert_eq!(
        good(&advertisements).pools[0].bgp_advertisements.len(),
        20_000
    );
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(
        text in "(peers:|address-pools:|bfd-profiles:|- |  |name: |my-asn: |peer-asn: |peer-address: |hold-time: |addresses: |protocol: |bgp|layer2|192\\.0\\.2\\.[0-9]|/2[0-9]|-|[\\[\\]{},&*~\n'\"]|[a-z0-9:.]{1,4}){0,50}"
    ) {
        for mode in Mode::ALL {
            let examined = examine(&text, mode);
            prop_assert_eq!(examined.config.is_some(), examined.errors.is_empty());
            if let Err(refused) = parse(&text, mode) {
                prop_assert!(!refused.to_string().contains('\n'));
            }
        }
    }

    #[test]
    fn durations_read_what_they_write(nanos in any::<i64>()) {
        let written = GoDuration(nanos).to_string();
        prop_assert_eq!(GoDuration::parse(&written), Ok(GoDuration(nanos)));
    }

    #[test]
    fn ranges_cover_what_they_say(a in any::<u32>(), length in 0..100_000_u32) {
        let (first, last) = (std::net::Ipv4Addr::from_bits(a), std::net::Ipv4Addr::from_bits(a.saturating_add(length)));
        let config = good(&format!("address-pools: [{{name: p, protocol: layer2, addresses: [{first}-{last}]}}]"));
        let cidrs = &config.pools[0].cidrs;
        let covered: u64 = cidrs.iter().map(|cidr| 1_u64 << (32 - cidr.prefix_len())).sum();
        prop_assert_eq!(covered, u64::from(last.to_bits() - first.to_bits()) + 1);
        prop_assert_eq!(cidrs.first().unwrap().network(), first);
        prop_assert_eq!(cidrs.last().unwrap().broadcast(), last);
    }
}

#[test]
fn a_tag_with_escaped_control_characters_is_told_in_one_line() {
    for text in [
        "!$%0A",
        "peers: [!%1B%5B31m 5]",
        "peers: !<a%0Ab> 5",
        "peers: [{my-asn: !x%0Ay z}]",
    ] {
        let refused = parse(text, Mode::FerroLb).expect_err(text).to_string();
        assert!(!refused.contains(char::is_control), "{text}: {refused:?}");
    }
}
