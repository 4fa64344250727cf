//! What is said, to whom, and what it means.

use super::{LAYER2, command, config_map, convert, saved};
use crate::cli::migrate::{BLOCKED, DONE, INVALID, USAGE};

#[test]
fn the_report_for_programs_is_one_json_object() {
    let (code, _, err) = convert(&["-", "--report", "json", "--bgp-mode", "frr"], LAYER2);
    assert_eq!(code, DONE);
    let report: serde_json::Value = serde_json::from_str(&err).unwrap();
    assert_eq!(report["result"], "converted");
    assert_eq!(report["renames"][0]["to"], "my-pool");
    assert_eq!(report["diagnostics"][0]["code"], "MIG012");
    assert_eq!(report["bgpMode"], "frr");
}

#[test]
fn what_is_said_often_is_folded_and_errors_never_are() {
    let password = |index: usize| {
        format!("- {{my-asn: 1, peer-asn: 2, peer-address: 10.0.0.{index}, password: 0{index}}}\n")
    };
    let peers: String = (1..=40).map(password).collect();
    let text = format!("peers:\n{peers}");
    let words = ["-", "--target-version", "0.16.1", "--bgp-mode", "native"];
    let (code, out, _) = command("check", &words, &text);
    assert_eq!(code, DONE);
    let told = |out: &str| {
        out.lines()
            .filter(|line| line.contains("info MIG009: peers["))
            .count()
    };
    assert_eq!(told(&out), 20, "{out}");
    assert!(
        out.contains("\n<stdin>: info MIG009: 20 more (all of them: --report json)\n"),
        "{out}"
    );
    let (_, out, _) = command(
        "check",
        &[&words[..], &["--report", "json"]].concat(),
        &text,
    );
    assert_eq!(out.matches("\"MIG009\"").count(), 40);
    // One more than is shown is shown.
    let text = format!("peers:\n{}", (1..=21).map(password).collect::<String>());
    let (_, out, _) = command("check", &words, &text);
    assert_eq!((told(&out), out.contains(" more (")), (21, false), "{out}");
    // What stops it is told whole.
    let port = |index: usize| password(index).replace("password: 0", "peer-port: 200");
    let ports = format!("peers:\n{}", (10..=30).map(port).collect::<String>());
    let (code, out, _) = command("check", &words, &ports);
    assert_eq!(
        (code, out.matches("error MIG022").count()),
        (BLOCKED, 21),
        "{out}"
    );
}

#[test]
fn sarif_has_a_rule_and_a_region_for_each_finding() {
    let (folder, path) = saved(&config_map(&format!("{LAYER2}  extra: é\n")));
    let (code, _, err) = convert(&[&path, "--report", "sarif"], "");
    assert_eq!(code, INVALID);
    let report: serde_json::Value = serde_json::from_str(&err).unwrap();
    assert_eq!(report["version"], "2.1.0");
    let run = &report["runs"][0];
    assert_eq!(run["tool"]["driver"]["rules"][0]["id"], "MIG001");
    assert_eq!(run["invocations"][0]["exitCode"], 1);
    let result = &run["results"][0];
    assert_eq!(
        (&result["ruleId"], &result["level"]),
        (&"MIG001".into(), &"error".into())
    );
    let rule = result["ruleIndex"].as_u64().unwrap();
    assert_eq!(
        run["tool"]["driver"]["rules"][usize::try_from(rule).unwrap()]["id"],
        "MIG001"
    );
    let place = &result["locations"][0]["physicalLocation"];
    assert_eq!(
        place["region"],
        serde_json::json!({"startLine": 9, "startColumn": 7, "endColumn": 12})
    );
    let uri = place["artifactLocation"]["uri"].as_str().unwrap();
    assert!(
        uri.starts_with("file:///") && uri.ends_with("/file.yaml"),
        "{uri}"
    );
    assert_eq!(run["artifacts"][0]["location"]["uri"], uri);
    drop(folder);
}

#[test]
fn every_code_is_explained() {
    let (code, list, _) = command("explain", &[], "");
    assert_eq!(code, DONE);
    let codes: Vec<&str> = list
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert!(codes.is_sorted() && codes.len() > 60, "{codes:?}");
    for number in 1..=44 {
        assert!(
            codes.contains(&format!("MIG{number:03}").as_str()),
            "{number}"
        );
    }
    for name in &codes {
        let (code, text, _) = command("explain", &[name], "");
        assert_eq!(code, DONE);
        assert!(
            text.starts_with(name) && text.lines().all(|line| line.len() < 140),
            "{text}"
        );
    }
    assert_eq!(command("explain", &["mig012"], "").0, DONE);
    let reference = include_str!("../../../../docs/migrate.md");
    for code in crate::migrate::codes::CODES {
        let row = format!("| {} |", code.title);
        let mut rows = reference.lines();
        let row = rows
            .find(|line| line.starts_with(&format!("| {} | ", code.code)) && line.ends_with(&row));
        assert!(
            row.is_some(),
            "docs/migrate.md lacks {}: {}",
            code.code,
            code.title
        );
    }
    let (code, _, err) = command("explain", &["MIG999"], "");
    assert_eq!(code, USAGE);
    assert!(err.contains("MIG999"), "{err}");
    // Every code that the sources say is explained.
    let sources = [
        include_str!("../../../migrate.rs"),
        include_str!("../../../migrate/build.rs"),
        include_str!("../../../migrate/checks.rs"),
        include_str!("../../../migrate/names.rs"),
        include_str!("../../../migrate/reverse.rs"),
        include_str!("../../../migrate/reverse/peers.rs"),
        include_str!("../../../migrate/reverse/pools.rs"),
        include_str!("../../../migrate/reverse/read.rs"),
        include_str!("../../../migrate/reverse/text.rs"),
        include_str!("../../../migrate/settings.rs"),
        include_str!("../../../migrate/scalars.rs"),
        include_str!("../../../migrate/live/changes.rs"),
        include_str!("../../../migrate/live/plan.rs"),
        include_str!("../../../migrate/live/services.rs"),
        include_str!("../convert.rs"),
        include_str!("../convert/found.rs"),
    ];
    for source in sources {
        for (at, _) in source.match_indices("\"MIG") {
            let name = source.get(at + 1..at + 7).unwrap();
            assert!(codes.contains(&name), "{name}");
        }
    }
}
