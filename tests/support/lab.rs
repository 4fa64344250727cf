//! The lab from a test's side: kubectl, the nodes' and the client's namespaces, and waiting for conditions.

#![expect(
    clippy::disallowed_methods,
    reason = "a test on real servers waits in real time"
)]

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// The project's root.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Where the lab keeps its state.
pub(crate) fn run_dir() -> PathBuf {
    std::env::var_os("LAB_RUN").map_or_else(|| PathBuf::from("/var/tmp/k8s-lab"), PathBuf::from)
}

/// The administrator's kubeconfig.
pub(crate) fn kubeconfig() -> PathBuf {
    run_dir().join("kubeconfig")
}

/// Runs a command; its standard output, or the test ends with what it said.
pub(crate) fn run(program: &str, args: &[&str]) -> String {
    match try_run(program, args) {
        Ok(out) => out,
        Err(err) => panic!("{program} {}: {err}", args.join(" ")),
    }
}

/// Runs a command; its standard output, or what it said on standard error.
pub(crate) fn try_run(program: &str, args: &[&str]) -> Result<String, String> {
    let out = Command::new(program)
        .args(args)
        .env("KUBECONFIG", kubeconfig())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    if out.status.success() {
        Ok(String::from_utf8_lossy(&out.stdout).into_owned())
    } else {
        Err(format!(
            "{}{}",
            String::from_utf8_lossy(&out.stdout),
            String::from_utf8_lossy(&out.stderr)
        ))
    }
}

/// kubectl as administrator.
pub(crate) fn kubectl(args: &[&str]) -> String {
    run("kubectl", args)
}

/// kubectl apply of a text.
pub(crate) fn apply(yaml: &str) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), yaml).unwrap();
    kubectl(&["apply", "-f", file.path().to_str().unwrap()]);
}

/// kubectl get as JSON.
pub(crate) fn get(args: &[&str]) -> Value {
    let mut all = vec!["get", "-o", "json"];
    all.extend(args);
    serde_json::from_str(&kubectl(&all)).unwrap()
}

/// One of the lab's commands.
pub(crate) fn lab(command: &str, args: &[&str]) -> String {
    run(root().join("lab").join(command).to_str().unwrap(), args)
}

/// A command in the client's namespace; `None` if it fails.
pub(crate) fn client(args: &[&str]) -> Option<String> {
    try_run(root().join("lab/client").to_str().unwrap(), args).ok()
}

/// Waits until the question has an answer; the test ends with the cluster's state if it has none in time.
pub(crate) fn wait_for<T>(what: &str, limit: Duration, question: impl FnMut() -> Option<T>) -> T {
    wait_or_show(what, limit, question, state)
}

/// The same; what is shown to the reader of a failed test is another.
pub(crate) fn wait_or_show<T>(
    what: &str,
    limit: Duration,
    mut question: impl FnMut() -> Option<T>,
    state: impl Fn() -> String,
) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = question() {
            return answer;
        }
        assert!(
            start.elapsed() < limit,
            "{what}: not within {limit:?}\n{}",
            state()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// What the cluster looks like, for the reader of a failed test: the shortest first.
fn state() -> String {
    let ours = ["-n", "metallb-system"];
    let asked: [&[&str]; 4] = [
        &["get", "nodes,pods", "-A", "-o", "wide"],
        &["get", "events", "-A", "--sort-by=.lastTimestamp"],
        &[
            "logs",
            ours[0],
            ours[1],
            "-l",
            "component=controller",
            "--tail=10",
        ],
        &[
            "logs",
            ours[0],
            ours[1],
            "-l",
            "component=speaker",
            "--tail=10",
        ],
    ];
    let mut told = String::new();
    for args in asked {
        let said = try_run("kubectl", args).unwrap_or_else(|refused| refused);
        let lines: Vec<&str> = said.lines().collect();
        told += &format!("kubectl {}:\n", args.join(" "));
        for line in lines.iter().skip(lines.len().saturating_sub(20)) {
            told += &line.chars().take(300).collect::<String>();
            told.push('\n');
        }
    }
    told
}

/// The ingress addresses of a Service.
pub(crate) fn ingress(namespace: &str, name: &str) -> Vec<String> {
    let Ok(out) = try_run(
        "kubectl",
        &["get", "service", "-n", namespace, name, "-o", "json"],
    ) else {
        return Vec::new();
    };
    let service: Value = serde_json::from_str(&out).unwrap();
    ingress_of(&service)
}

/// The ingress addresses in a Service's JSON.
pub(crate) fn ingress_of(service: &Value) -> Vec<String> {
    service["status"]["loadBalancer"]["ingress"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|entry| entry["ip"].as_str().map(str::to_owned))
        .collect()
}
