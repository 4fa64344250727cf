//! Random configurations, every target: what is converted means the same, fits the target's schemas, and comes back.

use std::cell::Cell;
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use ferrolb_compat::crd::read::read_all;
use ferrolb_compat::crd::schema::{Judge, Schemas};
use ferrolb_compat::crd::{Dress, Resource, Spec};
use ferrolb_compat::migrate::{Release, is_object_name};
use ferrolb_compat::yaml::{Document, emit};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::{MODES, TARGETS, release};
use crate::config::Config;
use crate::config::mode::Mode;
use crate::config::parse::parse_with_settings;
use crate::config::settings::{PeerEntry, PeerSettings, Settings};
use crate::migrate::reverse::{ReverseOptions, reverse};
use crate::migrate::{
    Advertisements, BgpMode, Conversion, Level, Options, Passwords, Prepared, Source, convert,
    convert_with, names, prepare, prepare_with, resources, verify,
};

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

/// What FerroLB's settings have: in general, and for some of the peers.
type Wishes = (&'static str, Vec<(usize, &'static str)>);

fn wishes() -> impl Strategy<Value = Wishes> {
    let time = prop_oneof![Just("2m"), Just("0"), Just("30s")];
    let general = prop_oneof![
        4 => Just(""),
        1 => Just("graceful-restart: 120s, "),
        1 => Just("graceful-restart: 1h, "),
        1 => Just("ttl-security: 2, "),
        // What nobody can read counts as nothing.
        1 => Just("graceful-restart: maybe, "),
    ];
    (general, proptest::collection::vec((0_usize..4, time), 0..3))
}

/// The text of the settings beside a configuration.
fn settings(config: &str, (general, wishes): &Wishes) -> String {
    let addresses = config.split("peer-address: ").skip(1);
    let addresses: Vec<&str> = addresses
        .filter_map(|rest| rest.split([',', '}']).next())
        .collect();
    let mut seen = BTreeSet::new();
    let entries = wishes.iter().filter_map(|(index, time)| {
        let address = addresses.get(*index).filter(|_| seen.insert(*index))?;
        Some(format!(
            "{{peer-address: {address}, graceful-restart: {time}}}"
        ))
    });
    let entries: Vec<String> = entries.collect();
    format!("bgp: {{{general}peers: [{}]}}", entries.join(", "))
}

/// How much is tried of each configuration.
#[derive(Clone, Copy)]
enum Depth {
    /// Everything, for every target.
    All,
    /// Going back only for one of so many.
    Every(usize),
}

/// What is the same for all targets is looked at once: files that were written, and configurations that came back.
#[derive(Default)]
struct Seen {
    files: HashMap<String, Vec<Document>>,
    configs: Configs,
}

/// Configurations by the texts of them and of their settings.
type Configs = HashMap<(String, Option<String>), Config>;

pub(super) fn file(resources: &[Resource]) -> String {
    let mut file = String::new();
    for resource in resources {
        file.push_str("---\n");
        emit::write(&mut file, &resource.manifest("lb", Dress::default()));
    }
    file
}

/// Converts one configuration for every target and mode; returns how many were converted, and how many refused.
fn converted_means_the_same(
    text: &str,
    settings: &str,
    (inline, each): (bool, bool),
    depth: Depth,
    schemas: &[(Release, Schemas)],
) -> Result<(u32, u32), TestCaseError> {
    let (mut converted, mut refused) = (0, 0);
    let prepared = prepare_with(Source::Text(text), Some(settings));
    let mut seen = Seen::default();
    let combinations = schemas
        .iter()
        .flat_map(|(target, schemas)| MODES.map(|mode| (*target, schemas, mode)));
    for (number, (target, schemas, mode)) in combinations.enumerate() {
        let options = Options {
            target,
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
        let conversion = prepared.convert(&options);
        let Some(config) = &conversion.config else {
            // An aggregation that 0.12 refuses.
            prop_assert_eq!(conversion.worst(), Some(Level::Invalid));
            return Ok((0, 0));
        };
        let Some(resources) = &conversion.resources else {
            refused += 1;
            prop_assert_eq!(conversion.worst(), Some(Level::Blocked));
            continue;
        };
        converted += 1;
        let written = file(resources);
        if !seen.files.contains_key(&written) {
            let documents = Document::parse_all(&written).unwrap();
            let read = read_all(&documents);
            prop_assert!(read.rest.is_empty(), "{:?}\n{}", read.rest, written);
            prop_assert_eq!(&resources::resolved(&read), resources, "{}", written);
            seen.files.insert(written.clone(), documents);
        }
        let Some(documents) = seen.files.get(&written) else {
            continue;
        };
        let judge = Judge {
            schemas,
            kubernetes: None,
        };
        for document in documents {
            let faults = judge.check(document);
            prop_assert!(faults.is_empty(), "{} {:?}\n{}", target, faults, written);
        }
        let renames = &conversion.renames;
        let found = verify::compare(config, resources, renames, target, mode);
        prop_assert!(
            found.is_empty(),
            "{} {}: {:#?}\n{}",
            target,
            mode,
            found,
            text
        );
        let restarts = resources
            .iter()
            .any(|resource| matches!(&resource.spec, Spec::Peer(peer) if peer.graceful_restart));
        let wanted = config
            .peers
            .iter()
            .any(|peer| config.settings.bgp.of(peer).graceful_restart.is_some());
        let has_it = mode.is_frr() && target >= Release::new(14, 6);
        prop_assert_eq!(
            restarts,
            wanted && has_it,
            "{} {} {}",
            target,
            mode,
            settings
        );
        let told = conversion.findings.iter();
        let told = told.filter(|finding| finding.diagnostic.path.ends_with("graceful-restart"));
        prop_assert!(!wanted || told.count() == 1, "{:?}", conversion.findings);
        let back = match depth {
            Depth::All => true,
            Depth::Every(count) => (number + text.len()).is_multiple_of(count),
        };
        if back {
            comes_back(text, &options, &conversion, documents, &mut seen.configs)?;
        }
    }
    Ok((converted, refused))
}

/// What is lost is said: then the configuration that comes back means the same, and is not the same.
const ALTERING: [&str; 4] = ["MIG017", "MIG024", "MIG025", "MIG041"];

/// The settings that come back: whether a peer has graceful restart, with the time that FRR has, and nothing where the target has no
/// such thing.
fn with_settings_of_target(config: &Config, target: Release, mode: BgpMode) -> Config {
    let mut config = config.clone();
    let has_it = mode.is_frr() && target >= Release::new(14, 6);
    let restarts: Vec<bool> = config
        .peers
        .iter()
        .map(|peer| has_it && config.settings.bgp.of(peer).graceful_restart.is_some())
        .collect();
    config.settings = Settings::default();
    let entries = config
        .peers
        .iter()
        .zip(restarts)
        .map(|(peer, restarts)| PeerEntry {
            peer_address: peer.peer_address,
            peer_port: Some(peer.peer_port),
            settings: PeerSettings {
                graceful_restart: restarts.then_some(Duration::from_secs(120)),
                ..PeerSettings::default()
            },
        });
    config.settings.bgp.peers = entries.collect();
    config
}

/// `reverse(convert(x)) == x`, and a second time the very same text.
fn comes_back(
    text: &str,
    options: &Options,
    conversion: &Conversion,
    documents: &[Document],
    configs: &mut Configs,
) -> Result<(), TestCaseError> {
    let mode = options.mode.unwrap_or_default();
    let back = ReverseOptions {
        target: Some(options.target),
        mode: Some(mode),
        ..ReverseOptions::default()
    };
    let reversed = reverse(&[documents.to_vec()], &back);
    let Some(again) = &reversed.text else {
        return Err(TestCaseError::fail(format!(
            "{} {mode}: {:?}\n{text}",
            options.target, reversed.findings
        )));
    };
    let (Some(before), Some(after)) = (&conversion.config, &reversed.config) else {
        return Err(TestCaseError::fail("no configuration"));
    };
    let before = &with_settings_of_target(before, options.target, mode);
    let found = verify::compare_configs(before, after, mode);
    prop_assert!(found.is_empty(), "{:?}\n{}\n{}", found, text, again);
    let is_altered = conversion
        .findings
        .iter()
        .any(|finding| ALTERING.contains(&finding.diagnostic.code))
        // What needs no cut loses the flag without a word.
        || !options.target.has_avoid_buggy_ips();
    if !is_altered {
        let mut before = before.clone();
        let mut after = with_settings_of_target(after, options.target, mode);
        // Of several that make the same route one is left.
        for (before, after) in before.pools.iter_mut().zip(&mut after.pools) {
            if before.bgp_advertisements.len() > 1 {
                before.bgp_advertisements.clear();
                after.bgp_advertisements.clear();
            }
        }
        prop_assert_eq!(before, after, "{}\n{}", text, again);
    }
    let key = (again.clone(), reversed.settings.clone());
    if configs.contains_key(&key) {
        return Ok(());
    }
    let settings = reversed.settings.as_deref();
    let parsed = parse_with_settings(again, settings, Mode::FerroLb);
    prop_assert_eq!(parsed.as_ref(), Ok(after));
    configs.insert(key, after.clone());
    let second = convert_with(Source::Text(again), settings, options);
    let Some(resources) = &second.resources else {
        return Err(TestCaseError::fail(format!(
            "{:?}\n{again}",
            second.findings
        )));
    };
    let documents = Document::parse_all(&file(resources)).unwrap();
    let twice = reverse(&[documents], &back);
    prop_assert_eq!(twice.text.as_ref(), Some(again));
    prop_assert_eq!(twice.settings, reversed.settings);
    Ok(())
}

/// So many configurations, of which a good part is converted and some are refused.
fn run(cases: u32, depth: Depth) -> (u32, u32) {
    let (converted, refused) = (Cell::new(0), Cell::new(0));
    let config_of_run = ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let schemas: Vec<_> = TARGETS
        .iter()
        .map(|target| (release(target), Schemas::of(release(target))))
        .collect();
    let mut runner = TestRunner::new(config_of_run);
    let strategy = (config(), wishes(), any::<(bool, bool)>());
    let result = runner.run(&strategy, |(text, wishes, forms)| {
        let settings = settings(&text, &wishes);
        let counts = converted_means_the_same(&text, &settings, forms, depth, &schemas)?;
        converted.set(converted.get() + counts.0);
        refused.set(refused.get() + counts.1);
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    (converted.get(), refused.get())
}

#[test]
fn what_is_converted_means_the_same_and_comes_back() {
    let (converted, refused) = run(60, Depth::All);
    assert!(converted > 60 * 6 && refused > 60);
}

#[test]
#[ignore = "takes minutes: tests/run has it"]
fn ten_thousand_configurations_mean_the_same_for_every_target() {
    let threads = std::thread::available_parallelism().map_or(1, |count| count.get());
    let threads = u32::try_from(threads).unwrap();
    let cases = 10_000_u32.div_ceil(threads);
    let runs: Vec<_> = (0..threads)
        // Of the 36 combinations of target and mode each is gone back from for one configuration in nine.
        .map(|_| std::thread::spawn(move || run(cases, Depth::Every(9))))
        .collect();
    let (mut converted, mut refused) = (0, 0);
    for run in runs {
        let counts = run.join().unwrap();
        converted += counts.0;
        refused += counts.1;
    }
    println!("{converted} converted, {refused} refused");
    assert!(converted > 60_000 && refused > 10_000);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn names_are_valid_and_all_different_whatever_they_were(
        old in proptest::collection::btree_set(prop_oneof![
            any::<String>(),
            "[a-zA-Z_.\\-ÄÖé ]{0,8}",
            proptest::string::string_regex("(?s).{0,300}").unwrap(),
        ], 0..40),
        prefix in "[a-z]{1,5}",
    ) {
        let new = names::assign(old.iter().map(String::as_str), &prefix);
        prop_assert_eq!(new.len(), old.len());
        let distinct: BTreeSet<_> = new.values().collect();
        prop_assert_eq!(distinct.len(), new.len());
        for (old, new) in &new {
            prop_assert!(is_object_name(new), "{:?} {:?}", old, new);
            prop_assert!(!is_object_name(old) || old == new);
        }
    }
}

/// A configuration that is read once is converted as one that is read each time.
#[test]
fn what_is_prepared_is_converted_as_if_it_were_not() {
    let text = "peers:\n- {my-asn: 1, peer-asn: 2, peer-address: 192.0.2.1, password: x}\n---\nnever read\n";
    let prepared: Prepared<'_> = prepare(Source::Text(text));
    for mode in [None, Some(BgpMode::Frr)] {
        let options = Options {
            mode,
            ..Options::default()
        };
        let (once, each) = (
            prepared.convert(&options),
            convert(Source::Text(text), &options),
        );
        assert_eq!(once.resources, each.resources);
        assert_eq!(once.findings, each.findings);
        let codes: Vec<_> = once
            .findings
            .iter()
            .map(|finding| finding.diagnostic.code)
            .collect();
        assert!(codes.contains(&"MIG011"), "{codes:?}");
    }
}

/// Resources of every kind, as they are written.
fn every_kind() -> String {
    let text = "peers:\n- {my-asn: 65010, peer-asn: 65020, peer-address: 203.0.113.1, password: hunter2, bfd-profile: f, \
                node-selectors: [{match-labels: {a: b}, match-expressions: [{key: z, operator: In, values: [x]}]}]}\n\
                bfd-profiles:\n- {name: f, echo-mode: true, receive-interval: 100}\n\
                bgp-communities: {x: 65010:1}\n\
                address-pools:\n- {name: My_Pool, protocol: bgp, addresses: [10.0.0.0/24], bgp-advertisements: [{localpref: 5, communities: [x]}]}\n\
                - {name: b, protocol: layer2, addresses: [10.0.1.1-10.0.1.9], auto-assign: false}\n";
    let options = Options {
        mode: Some(BgpMode::Frr),
        ..Options::default()
    };
    file(&convert(Source::Text(text), &options).resources.unwrap())
}

const ODD: [&str; 12] = [
    "",
    "null",
    "[]",
    "{}",
    "-1",
    "1e99",
    "4294967296",
    "\"\"",
    "!!binary x",
    "[[1], {a: 1}]",
    "&a [*a]",
    "\"\\x7f\"",
];

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 512, ..ProptestConfig::default() })]

    /// Whatever is done to a line, it is judged without a panic, and no password is told.
    #[test]
    fn damaged_resources_are_judged_and_no_password_is_told(
        damages in proptest::collection::vec((0_usize..120, 0_usize..ODD.len() + 3), 1..4),
        lossy in any::<bool>(),
        target in 0_usize..TARGETS.len(),
    ) {
        let text = every_kind();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        for (line, damage) in damages {
            let line = line % lines.len();
            match (ODD.get(damage), damage - damage.min(ODD.len())) {
                (Some(odd), _) => {
                    let key = lines[line].split_once(": ").map_or(lines[line].clone(), |(key, _)| key.to_owned());
                    lines[line] = format!("{key}: {odd}");
                }
                (None, 0) => {
                    lines.remove(line);
                }
                (None, 1) => {
                    let copy = lines[line].clone();
                    lines.insert(line, copy);
                }
                (None, _) => lines[line].insert(0, ' '),
            }
        }
        let Ok(documents) = Document::parse_all(&lines.join("\n")) else {
            return Ok(());
        };
        let options = ReverseOptions {
            target: TARGETS.get(target).map(|target| release(target)),
            lossy,
            ..ReverseOptions::default()
        };
        let reversed = reverse(&[documents], &options);
        prop_assert_eq!(reversed.text.is_some(), reversed.findings.iter().all(|finding| finding.level < Level::Blocked));
        prop_assert_eq!(reversed.text.is_some(), reversed.config.is_some());
        let told = format!("{:?}", reversed.findings);
        prop_assert!(!told.contains("hunter2") && !told.contains("aHVudGVyMg"), "{}", told);
    }
}
