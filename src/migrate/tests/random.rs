//! Random configurations, every target: what is converted means the same.

use std::cell::Cell;

use ferrolb_compat::crd::{Dress, read};
use ferrolb_compat::yaml::emit;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::{MODES, TARGETS, release};
use crate::migrate::{Advertisements, Level, Options, Passwords, Source, convert, verify};

/// A peer's fields behind its address; what many configurations have comes often.
fn peer() -> impl Strategy<Value = String> {
    let field = prop_oneof![
        6 => Just(String::new()),
        1 => Just(", hold-time: 0s".to_owned()),
        2 => Just(", hold-time: 9500ms".to_owned()),
        1 => Just(", hold-time: 1h30m".to_owned()),
    ];
    let keepalive = prop_oneof![
        8 => Just(""),
        1 => Just(", keepalive-time: 0s"),
        2 => Just(", keepalive-time: 1900ms"),
    ];
    let password = prop_oneof![3 => Just(""), 1 => Just(", password: 0123"), 1 => Just(", password: \"x: y\"")];
    let selector = prop_oneof![
        3 => Just(""),
        1 => Just(", node-selectors: [{match-labels: {rack: yes}}, {match-labels: {rack: yes}}]"),
        1 => Just(", node-selectors: [{}, {match-expressions: [{key: z, operator: NotIn, values: [b, a, b]}, {key: y, operator: Exists}]}]"),
    ];
    let bfd = prop_oneof![5 => Just(""), 1 => Just(", bfd-profile: Fast_One"), 1 => Just(", bfd-profile: slow")];
    let port =
        prop_oneof![8 => Just(""), 1 => Just(", peer-port: 1179"), 1 => Just(", peer-port: 0")];
    (
        field,
        keepalive,
        password,
        selector,
        bfd,
        port,
        any::<bool>(),
    )
        .prop_map(
            |(hold, keepalive, password, selector, bfd, port, multihop)| {
                // 0.12 wants the keepalive time to be at most the hold time.
                let keepalive = if hold.contains("0s") && !hold.contains("9500") {
                    ""
                } else {
                    keepalive
                };
                let multihop = if multihop {
                    ", ebgp-multihop: true"
                } else {
                    ""
                };
                format!("{hold}{keepalive}{password}{selector}{bfd}{port}{multihop}")
            },
        )
}

fn advertisement() -> impl Strategy<Value = String> {
    (
        prop_oneof![2 => Just(None), 3 => (28_u8..=32).prop_map(Some)],
        prop_oneof![3 => Just(None), 2 => (124_u8..=128).prop_map(Some)],
        prop_oneof![2 => Just(None), 2 => (0_u32..3).prop_map(Some)],
        prop_oneof![
            Just(""),
            Just("x"),
            Just("65010:7"),
            Just("x, 1:2"),
            Just("\"yes\"")
        ],
    )
        .prop_map(|(v4, v6, preference, communities)| {
            let mut fields = vec![format!("communities: [{communities}]")];
            fields.extend(v4.map(|length| format!("aggregation-length: {length}")));
            fields.extend(v6.map(|length| format!("aggregation-length-v6: {length}")));
            fields.extend(preference.map(|number| format!("localpref: {number}")));
            format!("{{{}}}", fields.join(", "))
        })
}

/// A pool without its name: where its addresses are is known by its number.
fn pool() -> impl Strategy<Value = (bool, u8, Vec<String>, &'static str)> {
    (
        any::<bool>(),
        0_u8..8,
        proptest::collection::vec(advertisement(), 0..4),
        prop_oneof![
            4 => Just(""),
            1 => Just(", auto-assign: false"),
            1 => Just(", auto-assign: true"),
            1 => Just(", avoid-buggy-ips: true"),
        ],
    )
}

/// Names of all kinds; two of them become the same one.
const NAMES: [&str; 8] = [
    "edge", "My_Pool", "my-pool", "1.10", "sp ace", "Ünï", "a/b", "日本",
];

fn config() -> impl Strategy<Value = String> {
    let peers = proptest::collection::vec((any::<bool>(), peer()), 0..4);
    let pools = proptest::collection::vec(pool(), 0..6);
    (peers, pools, any::<bool>()).prop_map(|(peers, pools, v4_only)| {
        let mut text = "bgp-communities: {x: 65010:1, \"yes\": 65010:2, unused: 3:3}\n".to_owned();
        if peers.iter().any(|(_, peer)| peer.contains("bfd-profile")) {
            text.push_str("bfd-profiles:\n- {name: Fast_One, echo-mode: true, receive-interval: 100}\n- {name: slow, passive-mode: true}\n");
        }
        if !peers.is_empty() {
            text.push_str("peers:\n");
        }
        for (index, (v6, peer)) in peers.iter().enumerate() {
            let address = if *v6 && !v4_only { format!("\"2001:db8:f::{index}\"") } else { format!("203.0.113.{index}") };
            text.push_str(&format!("- {{my-asn: 65010, peer-asn: 65020, peer-address: {address}{peer}}}\n"));
        }
        if !pools.is_empty() {
            text.push_str("address-pools:\n");
        }
        for (index, (bgp, form, advertisements, more)) in pools.iter().enumerate() {
            let v4 = match form % 4 {
                0 => format!("10.{index}.0.0/28"),
                1 => format!("10.{index}.0.250-10.{index}.1.9"),
                2 => format!("10.{index}.0.77/32"),
                _ => format!("10.{index}.3.0/24"),
            };
            let v6 = format!("\"2001:db8:{index}::/124\"");
            let lines = match form / 4 {
                _ if v4_only => v4,
                0 => format!("{v4}, {v6}"),
                _ => v6,
            };
            let name = NAMES.get(index % NAMES.len()).copied().unwrap_or("pool");
            let protocol = if *bgp { "bgp" } else { "layer2" };
            text.push_str(&format!("- {{name: {name}, protocol: {protocol}, addresses: [{lines}]{more}"));
            // 0.12 refuses equal ones.
            let mut unique = advertisements.clone();
            unique.sort();
            unique.dedup();
            if *bgp && !unique.is_empty() {
                text.push_str(&format!(", bgp-advertisements: [{}]", unique.join(", ")));
            }
            text.push_str("}\n");
        }
        text
    })
}

/// Converts one configuration for every target and mode; returns how many were converted, and how many refused.
fn converted_means_the_same(
    text: &str,
    inline: bool,
    each: bool,
) -> Result<(u32, u32), TestCaseError> {
    let (mut converted, mut refused) = (0, 0);
    for target in TARGETS {
        for mode in MODES {
            let options = Options {
                target: release(target),
                mode: Some(mode),
                passwords: if inline {
                    Passwords::Inline
                } else {
                    Passwords::Secret
                },
                advertisements: if each {
                    Advertisements::OnePerEntry
                } else {
                    Advertisements::Merge
                },
                ..Options::default()
            };
            let conversion = convert(Source::Text(text), &options);
            let Some(config) = &conversion.config else {
                // An aggregation that 0.12 refuses.
                prop_assert_eq!(conversion.worst(), Some(Level::Invalid));
                continue;
            };
            let Some(resources) = &conversion.resources else {
                refused += 1;
                prop_assert_eq!(conversion.worst(), Some(Level::Blocked));
                continue;
            };
            converted += 1;
            let mut file = String::new();
            for resource in resources {
                file.push_str("---\n");
                emit::write(&mut file, &resource.manifest("lb", Dress::default()));
            }
            prop_assert_eq!(&read::read(&file), &Ok(resources.clone()), "{}", file);
            let found =
                verify::compare(config, resources, &conversion.renames, options.target, mode);
            prop_assert!(
                found.is_empty(),
                "{} {}: {:#?}\n{}",
                target,
                mode,
                found,
                text
            );
        }
    }
    Ok((converted, refused))
}

/// So many configurations, of which a good part is converted and some are refused.
fn run(cases: u32) {
    let (converted, refused) = (Cell::new(0), Cell::new(0));
    let config_of_run = ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let mut runner = TestRunner::new(config_of_run);
    let strategy = (config(), any::<bool>(), any::<bool>());
    let result = runner.run(&strategy, |(text, inline, each)| {
        let counts = converted_means_the_same(&text, inline, each)?;
        converted.set(converted.get() + counts.0);
        refused.set(refused.get() + counts.1);
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    println!("{} converted, {} refused", converted.get(), refused.get());
    assert!(converted.get() > cases * 6 && refused.get() > cases);
}

#[test]
fn what_is_converted_means_the_same() {
    run(100);
}
