//! The conversion of 0.12's ConfigMap against the files that upstream's own converter wrote, release by release.
//!
//! Twice: with upstream's faults repeated every file must be the same, byte for byte; without them every file must be,
//! but for [`EXCEPTIONS`], and what 0.12 does not run is refused. Nothing here can rewrite a golden file.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use ferrolb::config::mode::Mode;
use ferrolb::config::parse;
use ferrolb_compat::migrate::{Faults, NAMESPACE, Release, convert, lax, write};
use ferrolb_compat::raw::ConfigFile;
use ferrolb_compat::yaml::Document;

/// The releases whose converter was run.
const RELEASES: [&str; 6] = ["0.13.2", "0.13.7", "0.13.12", "0.14.9", "0.15.2", "0.16.1"];

/// How many files upstream wrote, and how often it refused.
const WRITTEN: usize = 503;
const REFUSED: usize = 703;

/// What upstream wrote of a text: case, release, file.
fn written() -> Vec<(String, Release, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/migrate");
    let mut written = Vec::new();
    for entry in fs::read_dir(&root).unwrap() {
        let case = entry.unwrap();
        for release in RELEASES {
            let path = case.path().join(format!("want-{release}.yaml"));
            if let Ok(want) = fs::read_to_string(path) {
                let name = case.file_name().into_string().unwrap();
                written.push((name, release.parse().unwrap(), want));
            }
        }
    }
    written.sort();
    assert_eq!(written.len(), WRITTEN);
    written
}

/// The text of a case.
fn input(case: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/config");
    fs::read_to_string(root.join(case).join("in.yaml")).unwrap()
}

/// As upstream's converter read it.
fn read_lax(text: &str) -> Result<ConfigFile, String> {
    let document = Document::parse(text).map_err(|error| error.to_string())?;
    lax::read(&document, document.root()).map_err(|error| error.to_string())
}

/// As 0.12 runs it, if it does.
fn read_strict(text: &str) -> Result<ConfigFile, String> {
    parse::parse(text, Mode::FerroLb).map_err(|refused| refused.to_string())?;
    Ok(ConfigFile::decode(&Document::parse(text).unwrap()).value)
}

fn file(raw: &ConfigFile, release: Release, faults: Faults) -> Result<String, String> {
    let resources = convert(raw, release, faults).map_err(|error| error.to_string())?;
    write(&resources, NAMESPACE, release).map_err(|error| error.to_string())
}

/// Upstream's file with the aliases of its Community, the last object, in order: to 0.13.5 they are in none.
fn with_sorted_aliases(want: &str, release: Release) -> String {
    let mark = "  communities:\n";
    let start = match (want.find("kind: Community\n"), want.rfind(mark)) {
        (Some(object), Some(list)) if object < list && release < Release::new(13, 6) => {
            list + mark.len()
        }
        _ => return want.to_owned(),
    };
    let (head, rest) = want.split_at(start);
    let (list, tail) = rest.split_at(rest.find("status:").unwrap());
    let mut aliases: Vec<&str> = list
        .split("  - ")
        .filter(|alias| !alias.is_empty())
        .collect();
    aliases.sort_by_key(|alias| match alias.strip_prefix("name: ") {
        Some(name) => name.lines().next().unwrap_or_default().trim_matches('"'),
        None => "",
    });
    let list: String = aliases.iter().map(|alias| format!("  - {alias}")).collect();
    format!("{head}{list}{tail}")
}

#[test]
fn with_upstreams_faults_every_file_is_upstreams() {
    let mut wrong = Vec::new();
    for (case, release, want) in written() {
        let found = read_lax(&input(&case)).and_then(|raw| file(&raw, release, Faults::REPEATED));
        if found.as_ref() != Ok(&with_sorted_aliases(&want, release)) {
            wrong.push(format!(
                "{case} {release}: {}",
                found.err().unwrap_or_default()
            ));
        }
    }
    assert!(wrong.is_empty(), "{}\n{wrong:#?}", wrong.len());
}

/// Why a file is not upstream's: the faults that upstream's file has, and ours does not.
const FAULTS: [(&str, &str); 4] = [
    (
        "scalars",
        "scalars without quotes are rewritten: `0123` is \"83\", `yes` is \"true\", `1.10` is \"1.1\"",
    ),
    (
        "bfd-modes",
        "to 0.13.10 every BFD profile has the echo and passive mode of the last one",
    ),
    (
        "buggy-addresses",
        "to 0.13.3 both ends of a CIDR are cut off, whether buggy or not; ranges keep their buggy ones",
    ),
    (
        "names",
        "names are written that no API server takes: ours refuses and says so",
    ),
];

/// 0.12 refuses the configuration: upstream drops what it does not know, or announces what 0.12 does not. Ours refuses.
const NOT_RUN: &str = "not-run";

/// The files that are not upstream's: case, releases, why.
const EXCEPTIONS: &[(&str, &[&str], &str)] = &[
    ("g11-000", &["0.13.2", "0.13.7"], "scalars"),
    (
        "g11-002",
        &["0.13.2", "0.13.7", "0.13.12", "0.14.9", "0.15.2", "0.16.1"],
        "scalars",
    ),
    (
        "g11-003",
        &["0.13.7", "0.13.12", "0.14.9", "0.15.2", "0.16.1"],
        "scalars",
    ),
    ("g11-010", &["0.13.2", "0.13.7"], "scalars+bfd-modes+names"),
    (
        "g11-012",
        &["0.13.2", "0.13.7", "0.13.12", "0.14.9", "0.15.2", "0.16.1"],
        "scalars",
    ),
    ("g11-015", &["0.13.7"], "scalars"),
    ("g11-015", &["0.13.2"], "scalars+buggy-addresses"),
    ("g11-024", &["0.13.2"], "buggy-addresses"),
    ("g11-027", &["0.13.2", "0.13.7"], "scalars+bfd-modes"),
    (
        "g11-032",
        &["0.13.2", "0.13.7", "0.13.12", "0.14.9", "0.15.2", "0.16.1"],
        "scalars",
    ),
    ("g11-043", &["0.13.2", "0.13.7"], "names"),
    (
        "g11-044",
        &["0.13.2", "0.13.7", "0.13.12", "0.14.9", "0.15.2", "0.16.1"],
        "scalars",
    ),
    (
        "g11-047",
        &["0.13.2", "0.13.7", "0.13.12", "0.14.9", "0.15.2", "0.16.1"],
        "scalars",
    ),
    (
        "g11-048",
        &["0.13.2"],
        "scalars+bfd-modes+buggy-addresses+names",
    ),
    ("g11-048", &["0.13.7"], "scalars+bfd-modes+names"),
    ("g11-051", &["0.13.2"], "scalars+buggy-addresses+names"),
    (
        "g11-051",
        &["0.13.7", "0.13.12", "0.14.9", "0.15.2", "0.16.1"],
        "scalars+names",
    ),
    (
        "g11-052",
        &["0.13.2", "0.13.7", "0.13.12", "0.14.9", "0.15.2", "0.16.1"],
        "scalars",
    ),
    ("g11-054", &["0.13.2", "0.13.7"], "scalars"),
    ("g11-057", &["0.13.2", "0.13.7"], "scalars"),
    ("g11-060", &["0.13.2", "0.13.7"], "scalars+names"),
    ("g11-062", &["0.13.2"], "buggy-addresses"),
    (
        "g11-066",
        &["0.13.12", "0.14.9", "0.15.2", "0.16.1"],
        "scalars",
    ),
    ("g11-066", &["0.13.2", "0.13.7"], "scalars+names"),
    (
        "g11-068",
        &["0.13.2", "0.13.7", "0.13.12", "0.14.9", "0.15.2", "0.16.1"],
        "scalars",
    ),
    (
        "g11-086",
        &["0.13.12", "0.14.9", "0.15.2", "0.16.1"],
        "scalars",
    ),
    ("g11-086", &["0.13.2", "0.13.7"], "scalars+bfd-modes"),
    ("g11-090", &["0.13.7"], "scalars"),
    ("g11-090", &["0.13.2"], "scalars+buggy-addresses"),
    ("g11-091", &["0.13.2", "0.13.7"], "scalars"),
    (
        "g11-094",
        &["0.13.2", "0.13.7", "0.13.12", "0.14.9", "0.15.2", "0.16.1"],
        "scalars",
    ),
    (
        "g11-100",
        &["0.13.2", "0.13.7", "0.13.12", "0.14.9", "0.15.2", "0.16.1"],
        "scalars",
    ),
    (
        "g11-101",
        &["0.13.2", "0.13.7", "0.13.12", "0.14.9", "0.15.2", "0.16.1"],
        "scalars+names",
    ),
    (
        "g11-102",
        &["0.13.2", "0.13.7", "0.13.12", "0.14.9", "0.15.2", "0.16.1"],
        "scalars",
    ),
    ("g11-103", &["0.13.2", "0.13.7"], "scalars"),
    ("g11-105", &["0.13.2", "0.13.7"], "scalars"),
    ("g11-108", &["0.13.2"], "buggy-addresses"),
    ("g11-113", &["0.13.7"], "scalars"),
    (
        "g11-118",
        &["0.13.7", "0.13.12", "0.14.9", "0.15.2", "0.16.1"],
        "scalars",
    ),
    ("g11-118", &["0.13.2"], "scalars+buggy-addresses"),
    ("g11-119", &["0.13.2"], "buggy-addresses"),
    ("g11-122", &["0.13.2", "0.13.7", "0.13.12"], "not-run"),
    (
        "g11-128",
        &["0.13.2", "0.13.7", "0.13.12", "0.14.9", "0.15.2", "0.16.1"],
        "scalars",
    ),
    ("g11-130", &["0.13.2"], "scalars+buggy-addresses+names"),
    ("g11-130", &["0.13.7"], "scalars+names"),
    ("g11-133", &["0.13.2", "0.13.7"], "scalars"),
    ("g11-148", &["0.13.7"], "scalars"),
    ("g11-148", &["0.13.2"], "scalars+buggy-addresses"),
    ("g11-149", &["0.13.7"], "scalars"),
    ("g11-149", &["0.13.2"], "scalars+buggy-addresses"),
    (
        "t09-sel-variety",
        &["0.13.2", "0.13.7", "0.13.12", "0.14.9", "0.15.2", "0.16.1"],
        "scalars",
    ),
    (
        "t10-protocol-l2-alias",
        &["0.13.2", "0.13.7", "0.13.12", "0.14.9", "0.15.2", "0.16.1"],
        "not-run",
    ),
    ("t11-names", &["0.13.2", "0.13.7"], "names"),
    ("t13-numeric-name2", &["0.13.2", "0.13.7"], "scalars"),
    ("t18-bfd", &["0.13.2", "0.13.7"], "bfd-modes+names"),
    (
        "t23-unknown-key",
        &["0.13.2", "0.13.7", "0.13.12", "0.14.9", "0.15.2", "0.16.1"],
        "not-run",
    ),
    (
        "t24-dup-key",
        &["0.13.2", "0.13.7", "0.13.12", "0.14.9", "0.15.2", "0.16.1"],
        "not-run",
    ),
    (
        "t25-anchors",
        &["0.13.2", "0.13.7", "0.13.12", "0.14.9", "0.15.2", "0.16.1"],
        "not-run",
    ),
    (
        "t35-dup-peer",
        &["0.13.2", "0.13.7", "0.13.12", "0.14.9", "0.15.2", "0.16.1"],
        "not-run",
    ),
    (
        "t36-dup-adv",
        &["0.13.2", "0.13.7", "0.13.12", "0.14.9", "0.15.2", "0.16.1"],
        "not-run",
    ),
    (
        "t39-l2-with-adv",
        &["0.13.2", "0.13.7", "0.13.12", "0.14.9", "0.15.2", "0.16.1"],
        "not-run",
    ),
    (
        "t41-no-proto",
        &["0.13.2", "0.13.7", "0.13.12", "0.14.9", "0.15.2", "0.16.1"],
        "not-run",
    ),
    (
        "t42-caps-keys",
        &["0.13.2", "0.13.7", "0.13.12", "0.14.9", "0.15.2", "0.16.1"],
        "not-run",
    ),
];

/// The smallest set of upstream's faults that makes the file upstream's.
fn reason(text: &str, release: Release, want: &str) -> String {
    let Ok(strict) = read_strict(text) else {
        return NOT_RUN.to_owned();
    };
    let lax = read_lax(text);
    let mut sets: Vec<u8> = (0..16).collect();
    sets.sort_by_key(|set| set.count_ones());
    for set in sets {
        let has = |bit: u8| set & 1 << bit != 0;
        let raw = if has(0) {
            lax.as_ref().ok()
        } else {
            Some(&strict)
        };
        let faults = Faults {
            bfd_modes: has(1),
            buggy_addresses: has(2),
            names: has(3),
            selectors: false,
        };
        if raw.is_some_and(|raw| file(raw, release, faults).as_deref() == Ok(want)) {
            let names = (0..4_u8).zip(FAULTS).filter(|(bit, _)| has(*bit));
            return names
                .map(|(_, (name, _))| name)
                .collect::<Vec<_>>()
                .join("+");
        }
    }
    "nobody knows why".to_owned()
}

#[test]
fn without_them_every_file_is_upstreams_but_for_the_listed_ones() {
    let mut found: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    for (case, release, want) in written() {
        let reason = reason(&input(&case), release, &with_sorted_aliases(&want, release));
        if !reason.is_empty() {
            found
                .entry((case, reason))
                .or_default()
                .push(release.to_string());
        }
    }
    let found: Vec<String> = found
        .iter()
        .map(|((case, reason), releases)| format!("(\"{case}\", &{releases:?}, \"{reason}\"),"))
        .collect();
    let listed: Vec<String> = EXCEPTIONS
        .iter()
        .map(|(case, releases, reason)| format!("(\"{case}\", &{releases:?}, \"{reason}\"),"))
        .collect();
    assert_eq!(found, listed, "found:\n{}", found.join("\n"));
}

/// What upstream's converter refuses although 0.12 runs it, and ours converts: the beginning of upstream's words, and why.
const CONVERTED: &[(&str, &str)] = &[
    (
        "not enough addresses",
        "0.12 cuts no address off a CIDR that is not buggy, and none off IPv6",
    ),
    (
        "K8S compatible: 1000",
        "the name is `1e3`, of which `e3` can be made",
    ),
    (
        "K8S compatible: 31",
        "the name is `0x1F`, of which `x1f` can be made",
    ),
    (
        "duplicate definition of match expression value",
        "equal values mean nothing: they are written once",
    ),
    (
        "duplicate definition of nodeSelectors",
        "equal selectors mean nothing: they are written once",
    ),
    (
        "cannot unmarshal number 65010.1 into",
        "0.12 cuts the number: it runs with AS 65010",
    ),
    (
        "which has bfd echo enabled",
        "the check of the target refuses it, not the converter: `migrate::convert`",
    ),
];

#[test]
fn what_upstream_refuses_is_refused_unless_0_12_runs_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/migrate");
    let text = fs::read_to_string(root.join("want-refused.txt")).unwrap();
    let mut wrong = Vec::new();
    for line in text.lines() {
        let mut words = line.splitn(4, ' ');
        let (case, release) = (words.next().unwrap(), words.next().unwrap());
        let said = words.nth(1).unwrap();
        let said = said
            .strip_prefix("failed to generate resources: ")
            .unwrap_or(said);
        let ours = read_strict(&input(case))
            .and_then(|raw| file(&raw, release.parse().unwrap(), Faults::MENDED));
        let listed = CONVERTED.iter().any(|(words, _)| said.contains(words));
        if ours.is_ok() && !listed {
            wrong.push(line);
        }
    }
    assert_eq!(text.lines().count(), REFUSED);
    assert!(wrong.is_empty(), "{wrong:#?}");
}
