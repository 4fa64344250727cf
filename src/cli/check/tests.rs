//! The command on captured streams.

use std::io::Write as _;
use std::path::PathBuf;

use clap::Parser;
use serde_json::{Value, json};

use super::{CheckArgs, NOT_VALID, Output, USAGE, VALID, run};
use crate::config::mode::Mode;

/// A program that has nothing but this command.
#[derive(Debug, clap::Parser)]
struct Program {
    #[command(flatten)]
    check: CheckArgs,
}

/// Runs the command on standard input: status, standard output.
fn check(input: &str, arguments: &[&str]) -> (u8, String) {
    let program = Program::try_parse_from([&["check"], arguments].concat()).unwrap();
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let status = run(
        &program.check,
        &mut input.as_bytes(),
        &mut stdout,
        &mut stderr,
    )
    .unwrap();
    assert!(stderr.is_empty(), "{}", String::from_utf8_lossy(&stderr));
    (status, String::from_utf8(stdout).unwrap())
}

/// The JSON report.
fn report(input: &str, arguments: &[&str]) -> Value {
    let (status, out) = check(input, &[&["--output", "json"], arguments].concat());
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["valid"] == json!(true), status == VALID);
    report
}

/// (line, column, code) of the errors.
fn places(report: &Value) -> Vec<(u64, u64, String)> {
    report["diagnostics"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|diagnostic| diagnostic["severity"] == "error")
        .map(|diagnostic| {
            (
                diagnostic["line"].as_u64().unwrap(),
                diagnostic["column"].as_u64().unwrap(),
                diagnostic["code"].as_str().unwrap().to_owned(),
            )
        })
        .collect()
}

const GOOD: &str =
    "address-pools:\n- name: lan\n  protocol: layer2\n  addresses: [192.0.2.10-192.0.2.20]\n";

const MANIFEST: &str = "apiVersion: v1
kind: Namespace
metadata:
  name: metallb-system
---
apiVersion: v1
kind: ConfigMap
metadata:
  namespace: metallb-system
  name: config
data:
  config: |

    address-pools:
    - name: lan
      protocol: layer3
      addresses:
      - 192.0.2.10
";

#[test]
fn a_good_configuration_is_valid() {
    let (status, out) = check(GOOD, &[]);
    assert_eq!(
        (status, out.as_str()),
        (VALID, "<stdin>: valid (configuration): 1 pool, 0 peers\n")
    );
    assert_eq!(check("", &["-"]).0, VALID);
}

#[test]
fn a_fault_is_shown_with_its_line_a_caret_and_advice() {
    let (status, out) = check("peers:\n- bfdProfile: x\n", &[]);
    assert_eq!(status, NOT_VALID);
    let want = "\
error[unknown-field]: unknown field \"bfdProfile\"
 --> <stdin>:2:3
  |
2 | - bfdProfile: x
  |   ^^^^^^^^^^ peers[0].bfdProfile
  |
  = help: did you mean `bfd-profile`?
";
    assert!(out.starts_with(want), "{out}");
    assert!(
        out.ends_with("<stdin>: not valid (configuration): 4 errors\n"),
        "{out}"
    );
}

#[test]
fn places_are_those_of_the_file_also_inside_a_manifest() {
    let report = report(MANIFEST, &[]);
    assert_eq!(
        places(&report),
        [
            (18, 9, "invalid-cidr".to_owned()),
            (16, 17, "unknown-protocol".to_owned())
        ]
    );
    let (_, out) = check(MANIFEST, &[]);
    assert!(out.contains("--> <stdin>:16:17\n"), "{out}");
    assert!(
        out.contains(
            "16 |       protocol: layer3\n   |                 ^^^^^^ address-pools[0].protocol"
        ),
        "{out}"
    );
    assert!(
        out.contains("not valid (ConfigMap metallb-system/config): 2 errors"),
        "{out}"
    );
}

#[test]
fn json_as_kubectl_writes_it_has_places_too() {
    let manifest = serde_json::to_string_pretty(&json!({
        "apiVersion": "v1",
        "kind": "List",
        "items": [
            {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}},
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": "config", "namespace": "metallb-system"},
                "data": {"config": "address-pools:\n- name: \"é\"\n  protocol: layer3\n  addresses: [192.0.2.0/24]\n"},
            }
        ]
    }))
    .unwrap();
    let report = report(&manifest, &[]);
    let (line, column, code) = places(&report).remove(0);
    assert_eq!(code, "unknown-protocol");
    let shown = manifest
        .lines()
        .nth(usize::try_from(line).unwrap() - 1)
        .unwrap();
    let rest: String = shown
        .chars()
        .skip(usize::try_from(column).unwrap() - 1)
        .collect();
    assert!(rest.starts_with("layer3"), "{rest}");
    // For people the configuration's own lines are shown.
    let (_, out) = check(&manifest, &[]);
    assert!(out.contains("--> <stdin>#data.config:3:13"), "{out}");
    assert!(out.contains("3 |   protocol: layer3"), "{out}");
}

#[test]
fn helm_values_hold_it_inline_or_as_text() {
    for (values, line, column) in [
        (
            "x: 1\nconfigInline:\n  address-pools:\n  - {name: a, protocol: l2, addresses: [192.0.2.0/24]}\n",
            4,
            25,
        ),
        (
            "metallb:\n  configInline:\n    address-pools:\n    - {name: a, protocol: l2, addresses: [192.0.2.0/24]}\n",
            4,
            27,
        ),
        (
            "configInline: |\n  address-pools:\n  - {name: a, protocol: l2, addresses: [192.0.2.0/24]}\n",
            3,
            25,
        ),
    ] {
        let report = report(values, &[]);
        assert_eq!(
            places(&report),
            [(line, column, "unknown-protocol".to_owned())],
            "{values}"
        );
    }
    let report = report("configInline:\n  peers: []\n", &[]);
    assert_eq!(report["valid"], true);
}

#[test]
fn a_file_without_a_configuration_says_so() {
    for (file, code) in [
        ("kind: Namespace\n", "no-config"),
        ("kind: ConfigMap\nmetadata: {name: x}\n", "no-config-key"),
        (
            "kind: ConfigMap\ndata: {config: {peers: []}}\n",
            "config-not-text",
        ),
        (
            "kind: ConfigMap\nmetadata: {name: a}\ndata: {config: ''}\n---\nkind: ConfigMap\nmetadata: {name: b}\ndata: {config: ''}\n",
            "several-configs",
        ),
        ("a: [\n", "syntax"),
        ("hello\n", "wrong-type"),
    ] {
        let report = report(file, &[]);
        assert_eq!(report["diagnostics"][0]["code"], code, "{file}");
        assert_eq!(report["valid"], false);
        assert_eq!(report["config"], Value::Null);
    }
}

#[test]
fn of_several_config_maps_the_one_with_the_known_name_is_meant() {
    let file = "kind: ConfigMap\nmetadata: {name: other}\ndata: {config: 'x'}\n---\nkind: ConfigMap\nmetadata: {name: metallb}\ndata: {config: ''}\n";
    assert_eq!(report(file, &[])["valid"], true);
}

#[test]
fn the_json_report_has_every_value() {
    let text = "\
peers:
- {my-asn: 64512, peer-asn: 64513, peer-address: 192.0.2.1, hold-time: 10s, password: hunter2, node-selectors: [{match-labels: {a: b}}]}
- {my-asn: 64512, peer-asn: 64512, peer-address: 192.0.2.2, source-address: 192.0.2.9, router-id: 192.0.2.8, bfd-profile: f, keepalive-time: 5s}
address-pools:
- name: p
  protocol: bgp
  auto-assign: no
  avoid-buggy-ips: yes
  addresses: [198.51.100.0/24, 203.0.113.1-203.0.113.2]
  bgp-advertisements: [{localpref: 5, communities: ['64512:7', no-export]}]
bgp-communities: {no-export: 65535:65281}
bfd-profiles: [{name: f, receive-interval: 100, minimum-ttl: 254}]
";
    let report = report(text, &[]);
    assert_eq!(
        report["config"],
        json!({
            "peers": [
                {
                    "myAsn": 64512, "peerAsn": 64513, "peerAddress": "192.0.2.1", "sourceAddress": null, "peerPort": 179,
                    "holdTime": "10s", "keepaliveTime": "3.333333333s", "routerId": null, "password": "***", "bfdProfile": null,
                    "ebgpMultihop": false,
                    "nodeSelectors": [{"matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]}],
                },
                {
                    "myAsn": 64512, "peerAsn": 64512, "peerAddress": "192.0.2.2", "sourceAddress": "192.0.2.9", "peerPort": 179,
                    "holdTime": "1m30s", "keepaliveTime": "5s", "routerId": "192.0.2.8", "password": null, "bfdProfile": "f",
                    "ebgpMultihop": false, "nodeSelectors": [{"matchExpressions": []}],
                },
            ],
            "pools": [{
                "name": "p", "protocol": "bgp", "autoAssign": false, "avoidBuggyIps": true,
                "cidrs": ["198.51.100.0/24", "203.0.113.1/32", "203.0.113.2/32"],
                "bgpAdvertisements": [{
                    "aggregationLength": 32, "aggregationLengthV6": 128, "localPref": 5, "communities": ["64512:7", "65535:65281"],
                }],
            }],
            "bfdProfiles": [{
                "name": "f", "receiveInterval": 100, "transmitInterval": null, "detectMultiplier": null, "echoInterval": null,
                "echoMode": false, "passiveMode": false, "minimumTtl": 254,
            }],
            "ferrolb": {
                "bgp": {
                    "general": {
                        "enabled": true, "gracefulRestart": null, "gracefulShutdown": null, "ttlSecurity": null,
                        "interface": null, "bfdMultihop": null,
                    },
                    "peers": [],
                },
                "layer2": {"interfaces": [], "conflictResolution": true},
                "gossip": {"fastDetection": true},
            },
        })
    );
    let warning = &report["diagnostics"][0];
    assert_eq!(
        warning,
        &json!({
            "key": "data.config", "severity": "warning", "code": "plain-password", "path": "peers[0].password", "line": 2, "column": 87,
            "message": "the password is in plain sight: whoever may read the ConfigMap can read it",
            "help": "restrict who may read it",
        })
    );
}

const BOTH: &str = "kind: ConfigMap
metadata: {name: config}
data:
  ferrolb: |
    bgp:
      graceful-restart: 2h
      peers:
      - peer-address: 192.0.2.2
    gossip: {fast-detection: false}
  config: |
    peers:
    - {my-asn: 64512, peer-asn: 64513, peer-address: 192.0.2.1, password: hunter2}
";

#[test]
fn both_texts_of_a_config_map_are_checked() {
    let found = report(BOTH, &[]);
    let errors = [
        (6, 25, "invalid-graceful-restart".to_owned()),
        (8, 23, "unknown-peer".to_owned()),
    ];
    assert_eq!(places(&found), errors);
    assert_eq!(found["config"], Value::Null);
    let keys: Vec<_> = (0..4)
        .map(|n| found["diagnostics"][n]["key"].clone())
        .collect();
    assert_eq!(
        keys,
        ["data.ferrolb", "data.ferrolb", "data.config", "data.config"],
        "errors first"
    );
    let (_, out) = check(BOTH, &[]);
    assert!(out.contains("--> <stdin>:8:23"), "{out}");
    assert!(out.contains("bgp.peers[0].peer-address"), "{out}");
    assert!(!out.contains("hunter2"), "{out}");

    let good = BOTH.replace("2h", "2m").replace("192.0.2.2", "192.0.2.1");
    let found = report(&good, &[]);
    let ferrolb = &found["config"]["ferrolb"];
    assert_eq!(ferrolb["bgp"]["general"]["gracefulRestart"], "2m0s");
    assert_eq!(ferrolb["bgp"]["peers"][0]["peerAddress"], "192.0.2.1");
    assert_eq!(ferrolb["bgp"]["peers"][0]["gracefulRestart"], "2m0s");
    assert_eq!(ferrolb["gossip"]["fastDetection"], false);
}

#[test]
fn each_text_of_one_line_of_json_is_shown_for_itself() {
    let manifest = json!({
        "kind": "ConfigMap",
        "data": {"config": "peers: []\naddress-pools: 5\n", "ferrolb": "bgp:\n  ttl-security: 300\n"},
    })
    .to_string();
    let (_, out) = check(&manifest, &[]);
    assert!(out.contains("--> <stdin>#data.config:2:16"), "{out}");
    assert!(out.contains("--> <stdin>#data.ferrolb:2:17"), "{out}");
    let wrong = "kind: ConfigMap\ndata: {config: '', ferrolb: {bgp: {}}}\n";
    let found = report(wrong, &[]);
    assert_eq!(found["diagnostics"][0]["code"], "config-not-text");
    assert!(
        found["diagnostics"][0]["message"]
            .as_str()
            .unwrap()
            .contains("data.ferrolb")
    );
}

#[test]
fn passwords_are_hidden_unless_asked_for() {
    let block = "peers:\n- my-asn: x\n  password: |\n    hunter2\n    hunter2\n  hold-time: 1s\n";
    let manifest = format!(
        "kind: ConfigMap\ndata:\n  config: |\n    {}",
        block.replace('\n', "\n    ")
    );
    for text in [
        "peers:\n- {my-asn: 1, password: hunter2, peer-asn: x}\n",
        "peers:\n- {my-asn: 1, password: [hunter2, hunter2], peer-asn: x}\n",
        "peers:\n- {my-asn: 1, Password: \"hunter2\", peer-asn: x}\n",
        "peers:\n- my-asn: 1\n  password: hunter2\n  @\n",
        "peers:\n- {my-asn: 1, password: \"hunter2\n",
        "peers:\n- password: &x hunter2\n- password: *x\n",
        "kind: ConfigMap\ndata: {config: \"peers: [{password: hunter2, my-asn: x}]\"}\n",
        block,
        manifest.as_str(),
    ] {
        for output in ["text", "json"] {
            let (_, out) = check(text, &["--output", output]);
            assert!(!out.contains("hunter2"), "{text}\n{out}");
        }
    }
    let text = "peers:\n- {my-asn: 1, password: hunter2, peer-asn: 2, peer-address: 192.0.2.1}\n";
    assert_eq!(
        report(text, &["--show-secrets"])["config"]["peers"][0]["password"],
        "hunter2"
    );
    assert!(
        check(text, &["--show-secrets"])
            .1
            .contains("password: hunter2")
    );
    assert!(check(text, &[]).1.contains("password: *******,"));
}

#[test]
fn the_mode_decides_what_is_refused() {
    let text = "bfd-profiles: [{name: a}]\n";
    assert_eq!(check(text, &[]).0, VALID);
    assert_eq!(check(text, &["--mode", "frr"]).0, VALID);
    let (status, out) = check(text, &["--mode", "native"]);
    assert_eq!(status, NOT_VALID);
    assert!(out.contains("native-mode"), "{out}");
}

#[test]
fn warnings_leave_it_valid() {
    let (status, out) = check(
        "address-pools: [{name: a, protocol: layer2, addresses: [192.0.2.0/24]}]",
        &[],
    );
    assert_eq!(status, VALID);
    assert!(out.starts_with("warning[buggy-ips]"), "{out}");
    assert!(
        out.ends_with("valid (configuration): 1 pool, 0 peers, 1 warning\n"),
        "{out}"
    );
}

#[test]
fn wrong_command_lines_and_unreadable_files_are_usage_errors() {
    assert!(Program::try_parse_from(["check", "--mode", "gobgp"]).is_err());
    assert!(Program::try_parse_from(["check", "--output", "yaml"]).is_err());
    let args = CheckArgs {
        file: PathBuf::from("/nonexistent/config.yaml"),
        mode: Mode::FerroLb,
        output: Output::Text,
        show_secrets: false,
    };
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let status = run(&args, &mut std::io::empty(), &mut stdout, &mut stderr).unwrap();
    assert_eq!((status, stdout.is_empty()), (USAGE, true));
    assert!(
        String::from_utf8(stderr)
            .unwrap()
            .starts_with("error: cannot read /nonexistent/config.yaml: ")
    );
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"peers: \xff").unwrap();
    let args = CheckArgs {
        file: file.path().to_owned(),
        ..args
    };
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    assert_eq!(
        run(&args, &mut std::io::empty(), &mut stdout, &mut stderr).unwrap(),
        USAGE
    );
    assert!(
        String::from_utf8(stderr)
            .unwrap()
            .contains("byte 7 begins no UTF-8 character")
    );
}

#[test]
fn files_are_named_in_the_report() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(GOOD.as_bytes()).unwrap();
    let path = file.path().to_str().unwrap().to_owned();
    let (_, out) = check("", &[&path]);
    assert_eq!(
        out,
        format!("{path}: valid (configuration): 1 pool, 0 peers\n")
    );
}

#[test]
fn odd_lines_do_not_disturb_the_report() {
    for text in [
        format!("extra: {}\n", "é".repeat(10_000)),
        format!("{}extra: 1\n", "# é\n".repeat(1_000)),
        "peers:\r\n- my-asn: x\r\n".to_owned(),
        "extra\t: 1".to_owned(),
        "\u{feff}extra: 1".to_owned(),
        "a: *b".to_owned(),
        "kind: ConfigMap\ndata:\n  config: >\n    extra:\n\n      1\n".to_owned(),
        "kind: ConfigMap\r\ndata:\r\n  config: |2\r\n   peers:\r\n    - x: 1\r\n".to_owned(),
    ] {
        let (status, out) = check(&text, &[]);
        assert_eq!(status, NOT_VALID, "{text}");
        assert!(out.lines().all(|line| line.chars().count() < 300), "{out}");
        report(&text, &[]);
    }
}
