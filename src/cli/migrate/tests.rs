//! The commands as people call them, without a process.

use std::fs;
use std::path::Path;

use clap::Parser;

use super::{BLOCKED, DONE, FINDINGS, INVALID, IO, MigrateArgs, USAGE, run};

mod back;
mod drop_in;
mod reports;

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
    let with = |settings: &str| format!("{}  ferrolb: '{settings}'\n", config_map(LAYER2));
    let (plain, want, _) = convert(&["-"], &config_map(LAYER2));
    let (code, out, err) = convert(&["-"], &with("gossip: {fast-detection: true}"));
    assert_eq!((code, &out), (plain, &want), "the default says nothing");
    assert!(!err.contains("MIG047"), "{err}");
    let settings = "bgp: {graceful-restart: 2m}\n\n    layer2: {interfaces: [eth0]}";
    let (code, out, err) = convert(&["-"], &with(settings));
    assert_eq!((code, &out), (plain, &want));
    for name in ["graceful-restart", "layer2.interfaces"] {
        let line = format!("warning MIG047: {name}: ");
        assert!(err.contains(&line), "{err}");
    }
    // 0.12 does not look at them, whatever they say.
    let (code, out, err) = convert(&["-"], &with("bgp: 5"));
    assert_eq!((code, &out), (plain, &want));
    assert!(err.contains("warning wrong-type: bgp: "), "{err}");
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

/// A file in a folder of its own.
fn saved(text: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file.yaml");
    fs::write(&file, text).unwrap();
    let path = file.to_str().unwrap().to_owned();
    (folder, path)
}

#[test]
fn input_24_a_configuration_is_found_in_whatever_holds_it() {
    let inner: String = LAYER2
        .lines()
        .map(|line| format!("      {line}\n"))
        .collect();
    let helm = format!("configInline:\n{inner}");
    let release = format!(
        "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {{name: x}}\nspec:\n  values:\n    configInline:\n{inner}"
    );
    let list = serde_json::json!({"kind": "List", "apiVersion": "v1", "items": [
        {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "config", "namespace": "lb"}, "data": {"config": LAYER2}}]});
    let single = list["items"][0].to_string();
    for (text, namespace) in [
        (list.to_string(), "lb"),
        (single, "lb"),
        (config_map(LAYER2), "lb"),
        (helm, "metallb-system"),
        (release, "metallb-system"),
        (LAYER2.to_owned(), "metallb-system"),
    ] {
        let (code, out, err) = convert(&["-"], &text);
        assert_eq!(code, DONE, "{text}\n{err}");
        assert!(out.contains(&format!("namespace: {namespace}\n")), "{out}");
        assert!(out.contains("name: my-pool\n"), "{out}");
    }
    // Another key is an empty configuration for 0.12, and surely not what is meant.
    let (code, out, err) = convert(
        &["-"],
        &config_map(LAYER2).replace("  config: |", "  config.yaml: |"),
    );
    assert_eq!((code, out.as_str()), (INVALID, ""));
    assert!(err.contains("MIG043"), "{err}");
    let (code, out, err) = convert(
        &["-"],
        "kind: ConfigMap\nmetadata: {name: config}\ndata: {config: ''}\n",
    );
    assert_eq!(code, DONE, "{err}");
    assert!(
        out.starts_with('#') && !out.contains("---") && err.contains("MIG046"),
        "{out}{err}"
    );
    let (code, _, err) = convert(&["-"], &config_map(&format!("{LAYER2}---\nmore: 1\n")));
    assert_eq!(code, DONE);
    assert!(err.contains("MIG011"), "{err}");
    let two = format!(
        "{}---\n{}",
        config_map(LAYER2).replace("name: config", "name: a"),
        config_map(LAYER2).replace("name: config", "name: b")
    );
    let (code, out, err) = convert(&["-"], &two);
    assert_eq!((code, out.as_str()), (USAGE, ""), "{err}");
    assert!(
        err.contains("--config-name") && err.contains("lb/a, ConfigMap lb/b"),
        "{err}"
    );
    let (code, _, err) = convert(&["-", "--config-name", "b"], &two);
    assert_eq!(code, DONE, "{err}");
    assert!(!err.contains("MIG043"), "{err}");
    let (code, _, err) = convert(&["-", "--config-name", "c"], &two);
    assert_eq!(code, INVALID);
    assert!(
        err.contains("MIG043") && err.contains("none of the 2 ConfigMaps"),
        "{err}"
    );
    let other = config_map(LAYER2).replace("name: config", "name: other");
    let (code, _, err) = convert(&["-"], &other);
    assert_eq!(code, DONE);
    assert!(err.contains("warning MIG043"), "{err}");
    // What a file is can be said.
    let (code, _, err) = convert(&["-", "--format", "data"], &config_map(LAYER2));
    assert_eq!(code, INVALID);
    assert!(err.contains("MIG001"), "{err}");
    for format in ["helm", "configmap"] {
        let (code, _, _) = convert(&["-", "--format", format], LAYER2);
        assert_eq!(code, INVALID, "{format}");
    }
    let (_, out, err) = convert(&["-", "--namespace", "other"], &config_map(LAYER2));
    assert!(
        out.contains("namespace: other") && err.contains("MIG032"),
        "{err}"
    );
}

const PEERS: &str = "peers:\n- {my-asn: 65010, peer-asn: 65020, peer-address: 203.0.113.1, password: hunter2}\n\
                     - {my-asn: 65010, peer-asn: 65020, peer-address: 203.0.113.2, password: hunter3}\n";

#[test]
fn passwords_go_where_they_are_wanted_and_nowhere_else() {
    let (code, out, err) = convert(&["-", "--password", "inline"], PEERS);
    assert_eq!(code, DONE);
    assert!(
        out.contains("password: hunter2") && !err.contains("hunter"),
        "{err}"
    );
    let (_, out, err) = convert(&["-", "--password", "redact"], PEERS);
    assert!(
        out.contains("password: UkVEQUNURUQ=") && !out.contains("aHVudGVy"),
        "{out}{err}"
    );
    let (code, out, err) = convert(&["-", "--password", "external=bgp"], PEERS);
    assert_eq!((code, out.as_str()), (BLOCKED, ""));
    assert!(err.contains("MIG074") && !err.contains("hunter"), "{err}");
    let same = PEERS.replace("hunter3", "hunter2");
    let (code, out, _) = convert(&["-", "--password", "external=bgp"], &same);
    assert_eq!(code, DONE);
    assert!(
        out.contains("passwordSecret:\n    name: bgp\n") && !out.contains("kind: Secret"),
        "{out}"
    );
    let (folder, _) = saved("");
    let (secrets, output) = (folder.path().join("s.yaml"), folder.path().join("o.yaml"));
    let words = [
        "-",
        "--secrets-file",
        secrets.to_str().unwrap(),
        "-o",
        output.to_str().unwrap(),
    ];
    let (code, _, err) = convert(&words, PEERS);
    assert_eq!(code, DONE, "{err}");
    let (secret, rest) = (
        fs::read_to_string(&secrets).unwrap(),
        fs::read_to_string(&output).unwrap(),
    );
    assert!(
        secret.contains("aHVudGVyMg==") && secret.contains("aHVudGVyMw=="),
        "{secret}"
    );
    assert!(!rest.contains("kind: Secret"), "{rest}");
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(
        fs::metadata(&secrets).unwrap().permissions().mode() & 0o777,
        0o600
    );
    // Both together mean the same.
    let verify = [
        "-",
        "--crs",
        output.to_str().unwrap(),
        "--crs",
        secrets.to_str().unwrap(),
    ];
    assert_eq!(command("verify", &verify, PEERS).0, DONE);
    for form in ["json", "sarif"] {
        for password in ["secret", "inline"] {
            let (_, _, err) = convert(&["-", "--report", form, "--password", password], PEERS);
            assert!(
                !err.contains("hunter") && !err.contains("aHVudGVy"),
                "{err}"
            );
        }
    }
}

#[test]
fn names_are_made_as_is_wanted() {
    let two =
        format!("{LAYER2}- {{name: my-pool, protocol: layer2, addresses: [192.0.2.64/28]}}\n");
    let (code, out, err) = convert(&["-", "--names", "keep"], LAYER2);
    assert_eq!((code, out.as_str()), (BLOCKED, ""));
    assert!(err.contains("<stdin>:2:9: error MIG012"), "{err}");
    let (code, _, err) = convert(&["-", "--names", "upstream"], LAYER2);
    assert_eq!(code, DONE, "{err}");
    let (code, _, err) = convert(&["-", "--names", "upstream"], &two);
    assert_eq!(code, BLOCKED);
    assert!(err.contains("MIG013"), "{err}");
    let (_folder, path) = saved("My_Pool: edge\nnobody: x\n");
    let map = format!("map={path}");
    let (code, out, err) = convert(&["-", "--names", &map, "--name-prefix", "site-a-"], &two);
    assert_eq!(code, DONE, "{err}");
    assert!(
        out.contains("name: edge\n") && out.contains("name: site-a-l2advertisement1\n"),
        "{out}"
    );
    assert!(
        err.contains("renamed: IPAddressPool \"My_Pool\" to edge"),
        "{err}"
    );
    for wrong in ["My_Pool: Edge\n", "My_Pool: my-pool\n"] {
        fs::write(&path, wrong).unwrap();
        assert_eq!(convert(&["-", "--names", &map], &two).0, BLOCKED, "{wrong}");
    }
    assert_eq!(convert(&["-", "--names", "map=/no/such/file"], &two).0, IO);
    for words in [
        ["-", "--names", "other"],
        ["-", "--name-prefix", "A"],
        ["-", "--allow", "MIG999"],
        ["-", "--password", "external=A"],
    ] {
        let all = ["migrate", "convert"].into_iter().chain(words);
        assert!(Words::try_parse_from(all).is_err(), "{words:?}");
    }
}

#[test]
fn input_09_services_and_nodes_of_a_file_are_looked_at() {
    let services = "kind: List\nitems:\n- {kind: Service, metadata: {namespace: web, name: a, annotations: {metallb.universe.tf/address-pool: My_Pool}}, \
                    spec: {type: LoadBalancer}, status: {loadBalancer: {ingress: [{ip: 192.0.2.11}]}}}\n\
                    - {kind: Service, metadata: {namespace: web, name: b, annotations: {metallb.universe.tf/address-pool: My_Pool}}, spec: {type: LoadBalancer}}\n\
                    - {kind: Service, metadata: {namespace: web, name: c}, spec: {type: LoadBalancer}, status: {loadBalancer: {ingress: [{ip: 10.9.9.9}]}}}\n";
    let (_folder, path) = saved(services);
    for (target, remedy) in [
        (
            "0.14.9",
            "kubectl annotate service -n web a metallb.io/address-pool=my-pool",
        ),
        (
            "0.13.12",
            "kubectl annotate service -n web a --overwrite metallb.universe.tf/address-pool=my-pool",
        ),
    ] {
        let words = ["-", "--services", &path, "--target-version", target];
        let (code, out, _) = command("check", &words, LAYER2);
        assert_eq!(code, DONE);
        assert!(
            out.contains(remedy) && out.contains("MIG015"),
            "{target}: {out}"
        );
        assert_eq!(out.matches("MIG014").count(), 2, "{out}");
    }
    let words = ["-", "--services", &path, "--report", "json"];
    let (_, out, _) = command("check", &words, LAYER2);
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        report["renames"][0]["services"],
        serde_json::json!(["web/a", "web/b"])
    );
    assert_eq!(
        command("check", &["-", "--services", "/no/such/file"], LAYER2).0,
        IO
    );
    // Two sessions with one address, on nodes of their own.
    let nodes = "kind: List\nitems:\n- {metadata: {name: x, labels: {rack: a}}, status: {addresses: [{type: InternalIP, address: 192.0.2.10}]}}\n\
                 - {metadata: {name: y, labels: {rack: b, node.kubernetes.io/exclude-from-external-load-balancers: ''}}}\n";
    let (_folder, path) = saved(nodes);
    let peer = |rack: &str, asn: u32| {
        format!(
            "- {{my-asn: {asn}, peer-asn: 65020, peer-address: 203.0.113.1, node-selectors: [{{match-labels: {{rack: {rack}}}}}]}}\n"
        )
    };
    let text = format!("peers:\n{}{}", peer("a", 65010), peer("b", 65011));
    for (target, words, want) in [
        ("0.16.1", vec!["--nodes", &path], DONE),
        ("0.16.1", vec![], BLOCKED),
        ("0.15.3", vec!["--nodes", &path], BLOCKED),
    ] {
        let all = [
            vec!["-", "--bgp-mode", "frr", "--target-version", target],
            words,
        ]
        .concat();
        let (code, out, _) = command("check", &all, &text);
        assert_eq!(code, want, "{target}: {out}");
    }
    let together = format!("peers:\n{}{}", peer("a", 65010), peer("a", 65011));
    let words = ["-", "--bgp-mode", "frr", "--nodes", &path];
    assert_eq!(command("check", &words, &together).0, BLOCKED);
    let (_, out, _) = command("check", &words, LAYER2);
    assert!(out.contains("warning MIG033"), "{out}");
    let words = ["-", "--target-version", "0.15.0", "--nodes", &path];
    let (code, out, _) = command("check", &words, LAYER2);
    assert_eq!(code, BLOCKED);
    assert!(out.contains("error MIG036"), "{out}");
}

#[test]
fn layouts_hold_the_same_resources() {
    let (folder, _) = saved("");
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (yaml, json, split, kustomize) = (at("a.yaml"), at("a.json"), at("split"), at("kustomize"));
    for (layout, path) in [
        ("yaml", &yaml),
        ("json", &json),
        ("split-dir", &split),
        ("kustomize", &kustomize),
    ] {
        let (code, _, err) = convert(&["-", "--output", layout, "-o", path], PEERS);
        assert_eq!(code, DONE, "{err}");
    }
    for path in [&yaml, &json] {
        assert_eq!(command("verify", &["-", "--crs", path], PEERS).0, DONE);
    }
    let names = |path: &str| {
        let mut names: Vec<String> = fs::read_dir(path)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    assert_eq!(
        names(&split),
        [
            "01-secret-peer1-password.yaml",
            "02-secret-peer2-password.yaml",
            "03-bgppeer-peer1.yaml",
            "04-bgppeer-peer2.yaml"
        ]
    );
    let all: Vec<String> = names(&split)
        .iter()
        .map(|name| format!("{split}/{name}"))
        .collect();
    let words = all.iter().flat_map(|path| ["--crs", path]);
    let words: Vec<&str> = std::iter::once("-").chain(words).collect();
    assert_eq!(command("verify", &words, PEERS).0, DONE);
    let overlay = fs::read_to_string(format!("{kustomize}/kustomization.yaml")).unwrap();
    assert!(overlay.contains("- 04-bgppeer-peer2.yaml\n"), "{overlay}");
    // A folder that has something in it is left alone.
    let before = names(&split);
    let (code, _, err) = convert(&["-", "--output", "split-dir", "-o", &split], PEERS);
    assert_eq!(code, IO);
    assert!(err.contains("not empty"), "{err}");
    assert_eq!(names(&split), before);
    assert_eq!(convert(&["-", "--output", "split-dir"], PEERS).0, USAGE);
    let (_, out, _) = convert(&["-", "--comments", "--order", "upstream"], PEERS);
    assert!(
        out.contains("---\n# <stdin>, line 2\napiVersion: metallb.io/v1beta2\n"),
        "{out}"
    );
    assert!(out.find("BGPPeer") < out.find("Secret"), "{out}");
}

#[test]
fn helm_values_take_the_old_configuration_away_and_keep_the_bgp_implementation() {
    let text = format!("{PEERS}{LAYER2}");
    let values = |words: &[&str]| {
        let all = [&["-", "--output", "helm-values"], words].concat();
        let (code, out, err) = convert(&all, &text);
        assert_eq!(code, DONE, "{err}");
        let values: serde_json::Value = serde_yaml::from_str(&out).unwrap();
        (values, out)
    };
    let (found, out) = values(&["--bgp-mode", "frr", "--comments"]);
    let listed: serde_json::Value =
        serde_json::from_str(&convert(&["-", "--output", "json", "--bgp-mode", "frr"], &text).1)
            .unwrap();
    assert_eq!(found["extraDeploy"], listed["items"]);
    assert!(out.contains("\n# <stdin>, line 5\n- apiVersion: "), "{out}");
    let mut keys: Vec<&String> = found.as_object().unwrap().keys().collect();
    keys.sort();
    assert_eq!(keys, ["configInline", "extraDeploy", "frrk8s", "speaker"]);
    assert_eq!(found["configInline"], serde_json::Value::Null);
    for (mode, target, frr, frr_k8s) in [
        ("native", "0.13.12", false, None),
        ("frr", "0.13.12", true, None),
        ("native", "0.16.1", false, Some(false)),
        ("frr", "0.16.1", true, Some(false)),
        ("frr-k8s", "0.16.1", false, Some(true)),
    ] {
        let (found, _) = values(&["--bgp-mode", mode, "--target-version", target]);
        assert_eq!(found["speaker"]["frr"]["enabled"], frr, "{mode} {target}");
        assert_eq!(
            found["frrk8s"]["enabled"].as_bool(),
            frr_k8s,
            "{mode} {target}"
        );
    }
    // Passwords go where they are to go.
    let (folder, _) = saved("");
    let secrets = folder.path().join("s.yaml");
    let (found, _) = values(&["--secrets-file", secrets.to_str().unwrap()]);
    assert!(
        found["extraDeploy"]
            .as_array()
            .unwrap()
            .iter()
            .all(|item| item["kind"] != "Secret")
    );
    assert!(
        fs::read_to_string(&secrets)
            .unwrap()
            .contains("kind: Secret")
    );
    // What Helm would take for a template, and nothing at all.
    let braces = LAYER2.replace("My_Pool", "'{{ fail }}'");
    let (code, out, err) = convert(&["-", "--output", "helm-values"], &braces);
    assert_eq!((code, out.as_str()), (BLOCKED, ""));
    assert!(err.contains("MIG049") && err.contains("template"), "{err}");
    let (code, out, _) = convert(&["-", "--output", "helm-values"], "address-pools: []\n");
    assert_eq!(code, DONE);
    assert!(out.contains("\nextraDeploy: []\n"), "{out}");
}

#[test]
fn check_says_what_convert_would_and_writes_nothing() {
    let (code, out, err) = command("check", &["-", "--bgp-mode", "frr"], LAYER2);
    assert_eq!((code, err.as_str()), (DONE, ""));
    assert!(
        out.contains("MIG012")
            && out.ends_with("<stdin>: would be 2 resources for MetalLB 0.16.1\n"),
        "{out}"
    );
    let typo = LAYER2.replace("layer2", "l2");
    let (code, out, _) = command("check", &["-"], &typo);
    assert_eq!(code, INVALID);
    assert!(out.contains("MIG004"), "{out}");
    let (folder, _) = saved("");
    let report = folder.path().join("report.json");
    let words = [
        "-",
        "--report",
        "json",
        "--report-file",
        report.to_str().unwrap(),
        "--fail-on",
        "info",
    ];
    let (code, out, err) = command("check", &words, LAYER2);
    assert_eq!((code, out.as_str(), err.as_str()), (FINDINGS, "", ""));
    let report: serde_json::Value = serde_json::from_slice(&fs::read(report).unwrap()).unwrap();
    assert_eq!(report["command"], "check");
    assert_eq!(report["input"]["sha256"].as_str().map(str::len), Some(64));
    assert_eq!(report["objects"][0]["sourceLine"], 2);
    assert_eq!(
        report["objects"][0]["sha256"].as_str().map(str::len),
        Some(64)
    );
    assert_eq!(report["diagnostics"][0]["line"], 2);
    assert_eq!(report["diagnostics"][0]["target"], "0.16.1");
}

#[test]
fn what_was_applied_last_is_not_what_runs() {
    let last = serde_json::json!({"kind": "ConfigMap", "metadata": {"name": "config"}, "data": {"config": "address-pools: []"}});
    let annotation =
        format!("annotations: {{kubectl.kubernetes.io/last-applied-configuration: '{last}'}}");
    let with = |map: &str| map.replace("namespace: lb}", &format!("namespace: lb, {annotation}}}"));
    let (code, out, err) = convert(&["-"], &with(&config_map(LAYER2)));
    assert_eq!(code, DONE, "{err}");
    assert!(out.contains("name: my-pool"), "{out}");
    // A ConfigMap without the key is not helped by what it had once.
    let other = with(&config_map(LAYER2)).replace("  config: |", "  config.yaml: |");
    assert_eq!(convert(&["-"], &other).0, INVALID);
}

#[test]
fn schemas_are_manifests_of_definitions() {
    let (code, out, _) = command("schemas", &["--target-version", "0.13.7"], "");
    assert_eq!(code, DONE);
    assert_eq!(out.matches("kind: CustomResourceDefinition\n").count(), 6);
    assert!(!out.contains("dynamicASN"), "{out}");
    assert!(command("schemas", &[], "").1.contains("dynamicASN"));
}
