//! The commands as people call them, without a process.

use std::fs;
use std::path::Path;

use clap::Parser;

use super::configmaptocrs::{Log, Request, generate};
use super::{BLOCKED, DIFFERENT, DONE, FINDINGS, INVALID, IO, MigrateArgs, run};

#[derive(Parser)]
struct Words {
    #[command(flatten)]
    args: MigrateArgs,
}

/// Exit status, standard output, standard error.
fn convert(words: &[&str], stdin: &str) -> (u8, String, String) {
    command("convert", words, stdin)
}

/// The same for any command.
fn command(name: &str, words: &[&str], stdin: &str) -> (u8, String, String) {
    let all = ["migrate", name].into_iter().chain(words.iter().copied());
    let args = Words::try_parse_from(all).unwrap().args;
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = run(&args, &mut stdin.as_bytes(), &mut out, &mut err).unwrap();
    (
        code,
        String::from_utf8(out).unwrap(),
        String::from_utf8(err).unwrap(),
    )
}

const LAYER2: &str =
    "address-pools:\n- name: My_Pool\n  protocol: layer2\n  addresses: [192.0.2.10-192.0.2.20]\n";

/// A ConfigMap in another namespace.
fn config_map(text: &str) -> String {
    let lines: String = text.lines().map(|line| format!("    {line}\n")).collect();
    format!(
        "kind: ConfigMap\nmetadata: {{name: config, namespace: lb}}\ndata:\n  config: |\n{lines}"
    )
}

#[test]
fn settings_of_ours_do_not_stop_the_conversion_and_are_told() {
    let (plain, want, _) = convert(&["-"], &config_map(LAYER2));
    // 0.12 does not look at them, whatever they say.
    for settings in ["bgp: {graceful-restart: 2m}", "bgp: 5"] {
        let text = format!("{}  ferrolb: '{settings}'\n", config_map(LAYER2));
        let (code, out, err) = convert(&["-"], &text);
        assert_eq!((code, &out), (plain, &want));
        assert!(err.contains("warning MIG047"), "{err}");
    }
}

#[test]
fn resources_are_written_for_the_namespace_of_the_config_map() {
    let (code, out, err) = convert(&["-"], &config_map(LAYER2));
    assert_eq!(code, DONE, "{err}");
    assert_eq!(
        out,
        "# Written by ferrolb migrate convert for MetalLB 0.16.1, BGP mode native.\n\
         ---\napiVersion: metallb.io/v1beta1\nkind: IPAddressPool\nmetadata:\n  annotations:\n    \
         ferrolb.io/original-name: My_Pool\n  name: my-pool\n  namespace: lb\nspec:\n  addresses:\n  - 192.0.2.10-192.0.2.20\n\
         ---\napiVersion: metallb.io/v1beta1\nkind: L2Advertisement\nmetadata:\n  name: l2advertisement1\n  namespace: lb\nspec:\n  \
         ipAddressPools:\n  - my-pool\n"
    );
    // The place is that of the file, not of the text inside.
    assert!(err.contains("<stdin>:6:13: warning MIG012"), "{err}");
    let (code, _, _) = convert(&["-", "--fail-on", "warning"], &config_map(LAYER2));
    assert_eq!(code, FINDINGS);
}

#[test]
fn what_is_refused_leaves_the_previous_file_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("out.yaml");
    let output = file.to_str().unwrap();
    fs::write(&file, "previous").unwrap();
    let typo = LAYER2.replace("layer2", "l2");
    let (code, out, err) = convert(&["-", "-o", output], &typo);
    assert_eq!((code, out.as_str()), (INVALID, ""));
    assert!(err.contains("<stdin>:3:13: error MIG004"), "{err}");
    let port = "peers:\n- {my-asn: 1, peer-asn: 2, peer-address: 192.0.2.1, peer-port: 20179, password: hunter2}\n";
    let (code, _, err) = convert(&["-", "-o", output], port);
    assert_eq!(code, BLOCKED);
    assert!(err.contains("MIG022") && !err.contains("hunter2"), "{err}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "previous");
    let (code, _, _) = convert(&["-", "-o", output], LAYER2);
    assert_eq!(code, DONE);
    assert!(fs::read_to_string(&file).unwrap().contains("my-pool"));
    // Nothing else is left behind.
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    let nowhere = folder.path().join("no/such/folder.yaml");
    let (code, _, err) = convert(&["-", "-o", nowhere.to_str().unwrap()], LAYER2);
    assert_eq!(code, IO, "{err}");
}

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
fn upstreams_file_is_written_byte_for_byte_with_compat() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let input = golden.join("config/t01-minimal-l2/in.yaml");
    for release in ["0.13.7", "0.16.1"] {
        let want = golden.join(format!("migrate/t01-minimal-l2/want-{release}.yaml"));
        let (code, out, err) = convert(&[input.to_str().unwrap(), "--compat", release], "");
        assert_eq!(code, DONE, "{err}");
        assert_eq!(out, fs::read_to_string(want).unwrap());
    }
    let l2 = LAYER2.replace("layer2", "l2");
    let (code, out, _) = convert(&["-", "--compat", "0.16.1", "--bug-compat"], &l2);
    assert_eq!(code, DONE);
    assert!(out.contains("name: my-pool") && !out.contains("L2Advertisement"));
}

/// What the drop-in program says and whether it is content.
fn drop_in(folder: &Path, source: &str, only_data: bool) -> (bool, String) {
    let request = Request {
        source: source.to_owned(),
        only_data,
        stdout: false,
    };
    let mut err = Vec::new();
    let mut log = Log { out: &mut err };
    let result = generate(&request, folder, &mut std::io::sink(), &mut log);
    let mut told = String::from_utf8(err).unwrap();
    told.push_str(&result.clone().err().unwrap_or_default());
    (result.is_ok(), told)
}

#[test]
fn the_drop_in_program_reads_and_writes_upstreams_files() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("resources.yaml");
    fs::write(folder.path().join("config.yaml"), config_map(LAYER2)).unwrap();
    let (done, told) = drop_in(folder.path(), "./config.yaml", false);
    assert!(done, "{told}");
    for line in [
        " Reading configmap\n",
        " Changing IpAddressPool name from: My_Pool to: my-pool\n",
        " Creating the output YAML\n",
    ] {
        assert!(told.contains(line), "{told}");
    }
    let file = fs::read_to_string(&output).unwrap();
    assert!(file.starts_with("# This was autogenerated by MetalLB's custom resource generator.\n"));
    assert!(
        file.contains("namespace: lb") && file.ends_with("---\n"),
        "{file}"
    );
    // An absolute path is one inside the folder.
    fs::write(folder.path().join("data.yaml"), LAYER2).unwrap();
    assert!(drop_in(folder.path(), "/data.yaml", true).0);
    let before = fs::read_to_string(&output).unwrap();
    for (source, want) in [
        ("../etc/passwd", "unsafe path ../etc/passwd"),
        ("absent.yaml", "open "),
    ] {
        let (done, told) = drop_in(folder.path(), source, false);
        assert!(!done && told.contains(want), "{told}");
        assert!(told.contains("failed to generate resources: "), "{told}");
    }
    assert_eq!(fs::read_to_string(&output).unwrap(), before);
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
