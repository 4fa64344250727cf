//! Resources against the ConfigMap, and back to it.

use std::fs;
use std::path::Path;

use super::{LAYER2, PEERS, command, config_map, convert, saved};
use crate::cli::migrate::{BLOCKED, DIFFERENT, DONE, IO, USAGE};

#[test]
fn resources_become_the_config_map_again() {
    let text = format!("{PEERS}{LAYER2}");
    let (folder, crs) = saved("");
    let (code, _, err) = convert(&["-", "-o", &crs], &config_map(&text));
    assert_eq!(code, DONE, "{err}");
    let (code, map, err) = command("reverse", &[&crs], "");
    assert_eq!(code, DONE, "{err}");
    assert!(
        map.contains("kind: ConfigMap\nmetadata:\n  name: config\n  namespace: lb\n"),
        "{map}"
    );
    assert!(!err.contains("hunter"), "{err}");
    assert!(
        err.contains("MIG071") && err.contains("ConfigMap lb/config: 1 pools, 2 peers"),
        "{err}"
    );
    assert_eq!(command("verify", &["-", "--crs", &crs], &map).0, DONE);
    // Standard input, bare data.
    let (code, data, _) = command(
        "reverse",
        &["-", "--output", "data"],
        &fs::read_to_string(&crs).unwrap(),
    );
    assert_eq!(code, DONE);
    assert!(data.starts_with("peers:\n"), "{data}");
    assert_eq!(command("verify", &["-", "--crs", &crs], &data).0, DONE);
    // The Secrets in a file of their own.
    let resources = fs::read_to_string(&crs).unwrap();
    let (secrets, rest): (Vec<&str>, Vec<&str>) = resources
        .split("---\n")
        .partition(|part| part.contains("kind: Secret"));
    let secret_file = folder.path().join("secrets.yaml");
    fs::write(&secret_file, secrets.join("---\n")).unwrap();
    fs::write(&crs, rest.join("---\n")).unwrap();
    let output = folder.path().join("map.yaml");
    fs::write(&output, "previous").unwrap();
    let (code, _, err) = command("reverse", &[&crs, "-o", output.to_str().unwrap()], "");
    assert_eq!(code, BLOCKED);
    assert!(err.contains("MIG065"), "{err}");
    assert_eq!(fs::read_to_string(&output).unwrap(), "previous");
    let words = [
        &crs,
        "--secrets",
        secret_file.to_str().unwrap(),
        "-o",
        output.to_str().unwrap(),
    ];
    let (code, _, err) = command("reverse", &words, "");
    assert_eq!(code, DONE, "{err}");
    assert_eq!(fs::read_to_string(&output).unwrap(), map);
    // What 0.12 cannot say.
    let foreign = rest.join("---\n").replace("myASN:", "vrf: red\n  myASN:");
    fs::write(&crs, &foreign).unwrap();
    let words = [
        &crs,
        "--secrets",
        secret_file.to_str().unwrap(),
        "--report",
        "json",
    ];
    let (code, out, err) = command("reverse", &words, "");
    assert_eq!((code, out.as_str()), (BLOCKED, ""));
    let report: serde_json::Value = serde_json::from_str(&err).unwrap();
    assert_eq!(report["result"], "not-representable");
    let first = &report["diagnostics"][0];
    assert_eq!(
        (&first["code"], &first["file"]),
        (&"MIG060".into(), &crs.as_str().into())
    );
    assert!(first["line"].as_u64() > Some(1));
    let (code, out, _) = command(
        "reverse",
        &[&crs, "--secrets", secret_file.to_str().unwrap(), "--lossy"],
        "",
    );
    assert_eq!(code, DONE);
    assert!(out.contains("# MIG060: spec.vrf is left out"), "{out}");
    for (text, want) in [("a: [", BLOCKED), ("", DONE)] {
        assert_eq!(command("reverse", &["-"], text).0, want, "{text}");
    }
    assert_eq!(command("reverse", &["/no/such/file"], "").0, IO);
    assert_eq!(command("reverse", &["-", "--secrets", "-"], "").0, USAGE);
}

#[test]
fn graceful_restart_goes_there_and_comes_back() {
    let with = |settings: &str| format!("{}  ferrolb: |\n    {settings}\n", config_map(PEERS));
    let map = with("bgp: {graceful-restart: 2m}");
    let (_folder, crs) = saved("");
    let frr = ["-", "--bgp-mode", "frr", "-o", &crs];
    let (code, _, err) = convert(&frr, &map);
    assert_eq!(code, DONE, "{err}");
    assert!(
        err.contains("<stdin>:9:5: info MIG075: graceful-restart: 2 of 2 peers"),
        "{err}"
    );
    let resources = fs::read_to_string(&crs).unwrap();
    assert_eq!(
        resources.matches("enableGracefulRestart: true\n").count(),
        2
    );
    let verify =
        |map: &str, mode: &str| command("verify", &["-", "--crs", &crs, "--bgp-mode", mode], map);
    let (code, out, _) = verify(&map, "frr");
    assert_eq!(code, DONE);
    assert!(
        out.contains("MIG075") && out.contains("EQUIVALENT"),
        "{out}"
    );
    // Without the setting it is a difference, and native BGP does not take it.
    for (map, mode) in [
        (config_map(PEERS), "frr"),
        (with("bgp: {}"), "frr"),
        (map.clone(), "native"),
    ] {
        let (code, out, _) = verify(&map, mode);
        assert_eq!(code, DIFFERENT, "{out}");
        assert!(out.contains("graceful_restart: true"), "{out}");
    }
    let (code, back, err) = command("reverse", &[&crs], "");
    assert_eq!(code, DONE, "{err}");
    assert!(err.contains("warning MIG075"), "{err}");
    assert!(
        back.contains("  ferrolb: |\n    bgp:\n      graceful-restart: 2m0s\n"),
        "{back}"
    );
    assert_eq!(verify(&back, "frr").0, DONE);
    // The configuration alone has no place for it.
    let (code, out, err) = command("reverse", &[&crs, "--output", "data"], "");
    assert_eq!((code, out.as_str()), (BLOCKED, ""));
    assert!(
        err.contains("MIG060: BGPPeer peer1: spec.enableGracefulRestart"),
        "{err}"
    );
    let (code, out, _) = command("reverse", &[&crs, "--output", "data", "--lossy"], "");
    assert_eq!(code, DONE);
    assert!(
        out.starts_with("peers:\n# MIG060: ") && !out.contains("graceful-restart"),
        "{out}"
    );
}

#[test]
fn what_an_api_server_refuses_is_not_equivalent() {
    let (_folder, crs) = saved("");
    let (code, _, err) = convert(&["-", "-o", &crs], PEERS);
    assert_eq!(code, DONE, "{err}");
    let good = fs::read_to_string(&crs).unwrap();
    fs::write(
        &crs,
        good.replace("myASN: 65010", "peerPort: 20179\n  myASN: 65010"),
    )
    .unwrap();
    let (code, out, _) = command("verify", &["-", "--crs", &crs], PEERS);
    assert_eq!(code, DIFFERENT);
    assert!(
        out.contains(
            "error MIG049: BGPPeer peer1: spec.peerPort: must be less than or equal to 16384"
        ),
        "{out}"
    );
    fs::write(&crs, &good).unwrap();
    let words = [
        "-",
        "--crs",
        &crs,
        "--target-version",
        "0.15.3",
        "--kubernetes-version",
        "1.36",
    ];
    assert_eq!(command("verify", &words, PEERS).0, DIFFERENT);
    let (_, out, _) = command("verify", &["-", "--crs", &crs, "--report", "json"], PEERS);
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        report["verify"],
        serde_json::json!({"equivalent": true, "differences": []})
    );
}

#[test]
fn what_was_converted_is_equivalent_until_somebody_changes_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("crs.yaml");
    let crs = file.to_str().unwrap();
    let text = "peers:\n- {my-asn: 65010, peer-asn: 65020, peer-address: 203.0.113.1, password: hunter2, hold-time: 1h30m}\n\
                address-pools:\n- {name: My_Pool, protocol: bgp, addresses: [192.0.2.0/24], bgp-advertisements: [{localpref: 5, communities: [x]}]}\n\
                bgp-communities: {x: 65010:7}\n";
    let (code, _, err) = convert(&["-", "-o", crs], text);
    assert_eq!(code, DONE, "{err}");
    let equivalent = "EQUIVALENT target=0.16.1 mode=native renames=1\n";
    assert_eq!(
        command("verify", &["-", "--crs", crs], text),
        (DONE, equivalent.to_owned(), String::new())
    );
    let converted = fs::read_to_string(&file).unwrap();
    for (from, to, want) in [
        ("192.0.2.0/24", "192.0.2.0/25", "pool my-pool: "),
        ("localPref: 5", "localPref: 6", "pool my-pool: "),
        ("holdTime: 1h30m0s", "holdTime: 1h31m0s", "peers: "),
        ("aHVudGVyMg==", "aHVudGVyMw==", "peers: "),
        ("65010:7", "65010:8", "pool my-pool: "),
        (
            "peerASN:",
            "vrf: red\n  peerASN:",
            "spec.vrf is nothing that 0.12 can mean",
        ),
        ("peerASN:", "peerAsn:", "spec.peerAsn: "),
        (
            "name: communities",
            "name: communities\n  labels: {a: b}",
            "EQUIVALENT",
        ),
    ] {
        assert!(converted.contains(from), "{converted}");
        fs::write(&file, converted.replace(from, to)).unwrap();
        let (code, out, _) = command("verify", &["-", "--crs", crs], text);
        assert!(out.contains(want), "{to}: {out}");
        assert_eq!(
            code,
            if want == "EQUIVALENT" {
                DONE
            } else {
                DIFFERENT
            }
        );
        assert!(!out.contains("hunter"), "{out}");
    }
}

#[test]
fn upstreams_own_files_are_read_and_judged() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let judge = |case: &str, release: &str| {
        let input = golden.join(format!("config/{case}/in.yaml"));
        let crs = golden.join(format!("migrate/{case}/want-{release}.yaml"));
        let words = [
            input.to_str().unwrap(),
            "--crs",
            crs.to_str().unwrap(),
            "--target-version",
            release,
        ];
        let (code, out, _) = command("verify", &words, "");
        (code, out)
    };
    for release in ["0.13.7", "0.14.9", "0.16.1"] {
        let (code, out) = judge("t01-minimal-l2", release);
        assert_eq!(code, DONE, "{out}");
    }
    // Upstream's file has a node label's value that YAML took for something else.
    let (code, out) = judge("t09-sel-variety", "0.16.1");
    assert_eq!(code, DIFFERENT);
    assert!(out.starts_with("peers: "), "{out}");
}
