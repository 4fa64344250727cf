//! The 0.12 configuration dialect against what MetalLB 0.12.1's own parser made of the same texts.
//!
//! See `tests/golden/README.md` for what is compared. Nothing here can rewrite a golden file.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::{Path, PathBuf};

use ferrolb::config::error::{Diagnostic, Refused};
use ferrolb::config::mode::Mode;
use ferrolb::config::{Config, Operator, Peer, Pool, parse};
use ferrolb_compat::go::duration::GoDuration;
use ferrolb_compat::go::quote::quote;
use serde_json::json;

/// The number of recorded cases: a case that is lost must not go unnoticed.
const CASES: usize = 201;

/// The recorded cases.
fn cases() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/config");
    let mut cases: Vec<PathBuf> = fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    cases.sort();
    assert_eq!(cases.len(), CASES);
    cases
}

/// A recorded case.
struct Case {
    name: String,
    text: String,
    want: String,
}

impl Case {
    fn read(path: &Path) -> Self {
        Self {
            name: path.file_name().unwrap().to_str().unwrap().to_owned(),
            text: fs::read_to_string(path.join("in.yaml")).unwrap(),
            want: fs::read_to_string(path.join("want.txt")).unwrap(),
        }
    }

    /// What upstream said in a mode: the message with its further lines; `None`: accepted.
    fn verdict(&self, mode: Mode) -> Option<String> {
        let label = match mode {
            Mode::FerroLb => "parse: ",
            Mode::Native => "native: ",
            Mode::Frr => "frr: ",
        };
        let mut lines = self
            .want
            .lines()
            .skip_while(|line| !line.starts_with(label));
        let first = lines.next().unwrap().strip_prefix(label).unwrap();
        let more = lines.take_while(|line| line.starts_with("  line "));
        let message: Vec<&str> = std::iter::once(first).chain(more).collect();
        (first != "<nil>").then(|| message.join("\n"))
    }

    /// The lines that show the values.
    fn values(&self) -> Vec<&str> {
        self.want
            .lines()
            .filter(|line| {
                ["peer", "pool \"", "   bgp", "bfd \""]
                    .iter()
                    .any(|begin| line.starts_with(begin))
            })
            .collect()
    }
}

#[test]
fn what_upstream_accepts_and_refuses_we_do_in_all_modes() {
    let mut faults = Vec::new();
    for path in cases() {
        let case = Case::read(&path);
        for mode in Mode::ALL {
            let verdict = case
                .verdict(mode)
                .map(|verdict| documents_first(&case.name, verdict));
            match (verdict, parse::parse(&case.text, mode)) {
                (None, Ok(_)) => {}
                (Some(message), Err(refused)) => {
                    if let Err(fault) = same_fault(&message, &refused) {
                        faults.push(format!(
                            "{} {mode}: {fault}\n  upstream: {message}\n  ours: {refused}",
                            case.name
                        ));
                    }
                }
                (None, Err(refused)) => {
                    faults.push(format!("{} {mode}: refused: {refused}", case.name));
                }
                (Some(message), Ok(_)) => {
                    faults.push(format!(
                        "{} {mode}: accepted, upstream: {message}",
                        case.name
                    ));
                }
            }
        }
    }
    assert!(
        faults.is_empty(),
        "{} faults\n{}",
        faults.len(),
        faults.join("\n")
    );
}

/// Two entries of the pool are too specific in this case, and upstream looks at a pool's entries in the random order of a map:
/// the recorded one is its second. We name the first.
fn documents_first(case: &str, verdict: String) -> String {
    match case {
        "g11-124" => verdict.replace(
            "172.117.43.153-172.117.43.218",
            "10.175.219.12- 10.175.219.218",
        ),
        _ => verdict,
    }
}

#[test]
fn every_value_is_the_one_that_upstream_read() {
    let mut compared = 0;
    for path in cases() {
        let case = Case::read(&path);
        let Ok(config) = parse::parse(&case.text, Mode::FerroLb) else {
            continue;
        };
        let mut want = blocks(&case.values().into_iter().map(normal).collect::<Vec<_>>());
        let mut got = blocks(&show(&config));
        // Upstream's pools and profiles come out of maps.
        want.sort();
        got.sort();
        assert_eq!(got, want, "{}", case.name);
        compared += 1;
    }
    assert!(compared > 90, "{compared} configurations compared");
}

#[test]
fn pools_and_profiles_keep_the_order_of_the_document() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/config/t11-names");
    let case = Case::read(&path);
    let config = parse::parse(&case.text, Mode::FerroLb).unwrap();
    let names: Vec<&str> = config.pools.iter().map(|pool| pool.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "My_Pool",
            "my-pool",
            "9lives",
            "a",
            "dot.ted",
            "sp ace",
            "tail_",
            "Ünïcode"
        ]
    );
}

/// A pool's line together with those of its advertisements.
fn blocks(lines: &[String]) -> Vec<String> {
    let mut blocks: Vec<String> = Vec::new();
    for line in lines {
        match blocks.last_mut() {
            Some(block) if line.starts_with("   bgp") => {
                block.push('\n');
                block.push_str(line);
            }
            _ => blocks.push(line.clone()),
        }
    }
    blocks
}

/// The configuration in the form of the recording.
fn show(config: &Config) -> Vec<String> {
    let mut lines: Vec<String> = (1..).zip(&config.peers).map(show_peer).collect();
    lines.extend(config.pools.iter().flat_map(show_pool));
    for profile in &config.bfd_profiles {
        let json = json!({
            "Name": profile.name,
            "ReceiveInterval": profile.receive_interval,
            "TransmitInterval": profile.transmit_interval,
            "DetectMultiplier": profile.detect_multiplier,
            "EchoInterval": profile.echo_interval,
            "EchoMode": profile.echo_mode,
            "PassiveMode": profile.passive_mode,
            "MinimumTTL": profile.minimum_ttl,
        });
        lines.push(format!("bfd {} {json}", quote(&profile.name)));
    }
    lines
}

fn show_peer((number, peer): (usize, &Peer)) -> String {
    let ip = |ip: Option<std::net::IpAddr>| ip.map_or("<nil>".to_owned(), |ip| ip.to_string());
    let selectors: String = peer
        .node_selectors
        .iter()
        .map(|selector| {
            let requirements: Vec<String> = selector
                .requirements
                .iter()
                .map(|requirement| {
                    let (key, values) = (&requirement.key, requirement.values.join(","));
                    match requirement.operator {
                        Operator::In => format!("{key} in ({values})"),
                        Operator::NotIn => format!("{key} notin ({values})"),
                        Operator::Exists => key.clone(),
                        Operator::DoesNotExist => format!("!{key}"),
                    }
                })
                .collect();
            format!("{{{}}}", requirements.join(","))
        })
        .collect();
    format!(
        "peer{number} my={} asn={} addr={} src={} port={} hold={} ka={} rid={} pw={} bfd={} mh={} sel={selectors}",
        peer.my_asn,
        peer.peer_asn,
        peer.peer_address,
        ip(peer.source_address),
        peer.peer_port,
        GoDuration::from(peer.hold_time),
        GoDuration::from(peer.keepalive_time),
        ip(peer.router_id),
        quote(&peer.password),
        peer.bfd_profile,
        peer.ebgp_multihop,
    )
}

fn show_pool(pool: &Pool) -> Vec<String> {
    let cidrs: Vec<String> = pool.cidrs.iter().map(ToString::to_string).collect();
    let mut lines = vec![format!(
        "pool {} proto={} auto={} buggy={} cidrs=[{}]",
        quote(&pool.name),
        pool.protocol,
        pool.auto_assign,
        pool.avoid_buggy_ips,
        cidrs.join(" ")
    )];
    for advertisement in &pool.bgp_advertisements {
        let communities: Vec<String> = advertisement
            .communities
            .iter()
            .map(|community| format!("{community}:true"))
            .collect();
        lines.push(format!(
            "   bgp v4={} v6={} lp={} comm=map[{}]",
            advertisement.aggregation_length,
            advertisement.aggregation_length_v6,
            advertisement.local_pref,
            communities.join(" ")
        ));
    }
    lines
}

/// A recorded line with what may be written in two ways written in one.
fn normal(line: &str) -> String {
    if let Some((name, json)) = line
        .strip_prefix("bfd ")
        .and_then(|rest| rest.split_once(" {"))
    {
        let json: serde_json::Value = serde_json::from_str(&format!("{{{json}")).unwrap();
        return format!("bfd {name} {json}");
    }
    let Some((peer, selectors)) = line.split_once(" sel=") else {
        return line.to_owned();
    };
    let selectors: String = selectors
        .strip_prefix('{')
        .and_then(|selectors| selectors.strip_suffix('}'))
        .unwrap()
        .split("}{")
        .map(|selector| {
            let requirements: Vec<String> = split_outside_brackets(selector)
                .into_iter()
                .map(|requirement| match requirement.split_once('=') {
                    Some((key, value)) => format!("{key} in ({value})"),
                    None => requirement,
                })
                .collect();
            format!("{{{}}}", requirements.join(","))
        })
        .collect();
    format!("{peer} sel={selectors}")
}

fn split_outside_brackets(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut depth = 0;
    for c in text.chars() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if c == ',' && depth == 0 {
            parts.push(String::new());
        } else {
            parts.last_mut().unwrap().push(c);
        }
    }
    parts
}

/// Whether our refusal names the fault that upstream's message names.
fn same_fault(message: &str, refused: &Refused) -> Result<(), String> {
    if let Some(yaml) = message.strip_prefix("could not parse config: yaml: ") {
        return same_yaml_faults(yaml, refused);
    }
    let first = refused.first();
    let (code, path) = expected(message).ok_or("no known message")?;
    if first.code != code {
        return Err(format!("code {} instead of {code}", first.code));
    }
    if !first.path.starts_with(&path) {
        return Err(format!("path {} instead of {path}", first.path));
    }
    mentions(message, first)?;
    (first.line > 0).then_some(()).ok_or("no line".to_owned())
}

/// Our code and the beginning of our path for one of upstream's messages.
fn expected(message: &str) -> Option<(&'static str, String)> {
    /// `7: rest` → (6, `rest`)
    fn numbered(text: &str) -> Option<(usize, &str)> {
        let end = text.find(|c: char| !c.is_ascii_digit())?;
        let number: usize = text[..end].parse().ok()?;
        Some((number - 1, text[end..].trim_start_matches([':', ' '])))
    }
    /// The code of the first phrase that the text begins with.
    fn phrase(text: &str, phrases: &[(&str, &'static str)]) -> Option<&'static str> {
        let found = phrases
            .iter()
            .find(|(phrase, _)| text.starts_with(phrase))?;
        Some(found.1)
    }
    if let Some(rest) = message.strip_prefix("parsing peer #") {
        let (index, rest) = numbered(rest)?;
        let code = phrase(
            rest,
            &[
                ("missing local ASN", "missing-my-asn"),
                ("missing peer ASN", "missing-peer-asn"),
                ("invalid ebgp-multihop parameter", "ibgp-multihop"),
                ("invalid peer IP", "invalid-peer-address"),
                ("invalid hold time", "invalid-hold-time"),
                ("invalid keepalive time", "invalid-keepalive-time"),
                ("invalid keepaliveTime", "invalid-keepalive-time"),
            ],
        )?;
        return Some((code, format!("peers[{index}]")));
    }
    if let Some(rest) = message.strip_prefix("peer #") {
        let (index, rest) = numbered(rest)?;
        let code = phrase(
            rest,
            &[
                ("already exists", "duplicate-peer"),
                (
                    "referencing non existing bfd profile",
                    "unknown-bfd-profile",
                ),
            ],
        )?;
        return Some((code, format!("peers[{index}]")));
    }
    if let Some(rest) = message.strip_prefix("parsing address pool #") {
        let (index, rest) = numbered(rest)?;
        let rest = rest
            .strip_prefix("parsing BGP communities: ")
            .unwrap_or(rest);
        let specific = rest.contains("is more specific than the aggregation length");
        let code = if specific {
            "aggregation-too-short"
        } else {
            phrase(
                rest,
                &[
                    ("missing pool name", "missing-name"),
                    ("address pool is missing the protocol", "missing-protocol"),
                    ("unknown protocol", "unknown-protocol"),
                    ("invalid CIDR", "invalid-cidr"),
                    ("cannot have bgp-advertisements", "layer2-advertisements"),
                    (
                        "duplicate definition of bgpadvertisements",
                        "duplicate-advertisement",
                    ),
                    ("duplicate definition of community", "duplicate-community"),
                    ("invalid aggregation length", "invalid-aggregation-length"),
                    ("invalid community", "invalid-community"),
                ],
            )?
        };
        return Some((code, format!("address-pools[{index}]")));
    }
    if let Some(rest) = message.strip_prefix("parsing bfd profile #") {
        let (index, rest) = numbered(rest)?;
        let code = phrase(
            rest,
            &[
                ("missing bfd profile name", "missing-name"),
                ("invalid ", "bfd-out-of-range"),
            ],
        )?;
        return Some((code, format!("bfd-profiles[{index}]")));
    }
    let code = if message == "bfd profiles section set" {
        return Some(("native-mode", "bfd-profiles".to_owned()));
    } else if message.contains("on native bgp mode") {
        return Some(("native-mode", "peers[".to_owned()));
    } else if message.contains("native bgp mode does not support ipv6") {
        "native-mode"
    } else if message.contains("in FRR mode all") || message.contains("FRR mode doesn't support") {
        return Some(("frr-mode", "peers[".to_owned()));
    } else {
        phrase(
            message,
            &[
                ("duplicate definition of pool", "duplicate-pool"),
                ("CIDR \"", "cidr-overlap"),
                ("invalid CIDR", "invalid-cidr"),
            ],
        )?
    };
    Some((code, "address-pools[".to_owned()))
}

/// Every name that upstream's message has between quotes, and what its unquoted messages name, must be in ours.
fn mentions(message: &str, ours: &Diagnostic) -> Result<(), String> {
    let mut wanted: Vec<String> = message
        .split('"')
        .skip(1)
        .step_by(2)
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
        .collect();
    let words: Vec<&str> = message.split([' ', ',']).collect();
    let after = |phrase: &str| {
        let rest = message.split_once(phrase)?.1;
        Some(rest.split([' ', ',']).next()?.to_owned())
    };
    if message.contains("on native bgp mode") || message.contains("FRR mode doesn't") {
        wanted.push(words[1].to_owned());
        wanted.extend(
            ["bfd-profile", "keepalive-time"]
                .into_iter()
                .filter(|field| message.contains(field))
                .map(str::to_owned),
        );
    }
    if message.contains("RouterID different") {
        wanted.extend([words[1].to_owned(), "router-id".to_owned()]);
        wanted.extend(after("different from "));
    }
    if message.contains("myAsn different") {
        wanted.extend([words[1].to_owned(), "my-asn".to_owned()]);
    }
    wanted.extend(after("has ipv6 CIDR "));
    wanted.extend(after("non existing bfd profile "));
    wanted
        .extend(after("invalid aggregation length ").filter(|length| length.parse::<u8>().is_ok()));
    wanted.extend(
        message
            .split_once("for addresses ")
            .map(|(_, rest)| rest.to_owned()),
    );
    if let Some((_, range)) = message.split_once("invalid value ") {
        wanted.push(range.to_owned());
    }
    match wanted
        .iter()
        .find(|wanted| !ours.message.contains(wanted.as_str()))
    {
        None => Ok(()),
        Some(missing) => Err(format!("{missing:?} is not mentioned")),
    }
}

/// Type errors agree in number, order, line and kind; a syntax error in its line.
fn same_yaml_faults(yaml: &str, refused: &Refused) -> Result<(), String> {
    let Some(lines) = yaml.strip_prefix("unmarshal errors:\n") else {
        let line: usize = yaml
            .strip_prefix("line ")
            .and_then(|rest| rest.split_once(':'))
            .and_then(|(line, _)| line.parse().ok())
            .ok_or("no line")?;
        let first = refused.first();
        return if first.code == "syntax" && first.line == line {
            Ok(())
        } else {
            Err(format!(
                "{} in line {} instead of {line}",
                first.code, first.line
            ))
        };
    };
    let types = [
        "unknown-field",
        "duplicate-field",
        "duplicate-key",
        "wrong-type",
    ];
    let ours: Vec<&Diagnostic> = refused
        .diagnostics()
        .filter(|diagnostic| types.contains(&diagnostic.code))
        .collect();
    if ours.len() != lines.lines().count() {
        return Err(format!("{} type errors", ours.len()));
    }
    if !types.contains(&refused.first().code) {
        return Err("the first fault is no type error".to_owned());
    }
    for (line, ours) in lines.lines().zip(ours) {
        let (number, fault) = line
            .trim()
            .strip_prefix("line ")
            .unwrap()
            .split_once(": ")
            .unwrap();
        let (code, name) = if let Some(rest) = fault.strip_prefix("field ") {
            let name = rest.split(' ').next().unwrap();
            let code = if rest.contains(" not found ") {
                "unknown-field"
            } else {
                "duplicate-field"
            };
            (code, name)
        } else if let Some(rest) = fault.strip_prefix("key \"") {
            ("duplicate-key", rest.split('"').next().unwrap())
        } else {
            // Upstream cuts a text of more than ten characters.
            let name = fault
                .split('`')
                .nth(1)
                .unwrap_or("list")
                .trim_end_matches("...");
            ("wrong-type", name)
        };
        if number != ours.line.to_string() || code != ours.code || !ours.message.contains(name) {
            return Err(format!("{ours} instead of {line}"));
        }
    }
    Ok(())
}
