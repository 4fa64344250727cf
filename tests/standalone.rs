//! `ferrolb standalone` as its users meet it: the binary, a folder, a terminal.
//!
//! Without root these are dry runs: everything but frames. Those that send need root, iproute2 and the Debian package
//! arping: `cargo test --test standalone -- --ignored`.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(
    clippy::disallowed_methods,
    reason = "a test on a real process waits in real time"
)]

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Long enough for the slowest machine: a test that waits this long has failed.
const LONG: Duration = Duration::from_secs(30);

const CONFIG: &str = "\
apiVersion: v1
kind: ConfigMap
metadata: {name: config, namespace: metallb-system}
data:
  config: |
    address-pools:
    - {name: lan, protocol: layer2, addresses: [192.0.2.10-192.0.2.19]}
";

fn service(name: &str, more: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{type: LoadBalancer, ports: [{{port: 80}}]{more}}}\n"
    )
}

/// A folder of manifests.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.write("config.yaml", CONFIG);
        folder.write("web.yaml", &service("web", ""));
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn dir(&self) -> &Path {
        self.0.path()
    }

    /// As editors and configuration management write: a new file in the old one's place.
    fn write(&self, name: &str, text: &str) {
        let new = self.path(&format!(".{name}.new"));
        fs::write(&new, text).unwrap();
        fs::rename(new, self.path(name)).unwrap();
    }

    fn standalone(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ferrolb"));
        command
            .arg("standalone")
            .arg(self.dir())
            .args(arguments)
            .stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.standalone(arguments).output().unwrap()
    }
}

/// A running instance; killed when dropped.
struct Running {
    child: Child,
    out: Receiver<String>,
    log: Receiver<String>,
}

fn lines(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

fn find(lines: &Receiver<String>, words: &[&str]) -> String {
    let end = Instant::now() + LONG;
    let mut seen = Vec::new();
    loop {
        match lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(line) if words.iter().all(|word| line.contains(word)) => return line,
            Ok(line) => seen.push(line),
            Err(error) => panic!("no line with {words:?} ({error}); but\n{}", seen.join("\n")),
        }
    }
}

impl Running {
    fn start(mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let out = lines(child.stdout.take().unwrap());
        let log = lines(child.stderr.take().unwrap());
        Self { child, out, log }
    }

    /// Waits for a line on stdout that has all these words.
    fn prints(&self, words: &[&str]) -> String {
        find(&self.out, words)
    }

    /// Waits for a line on stderr that has all these words.
    fn logs(&self, words: &[&str]) -> String {
        find(&self.log, words)
    }

    /// SIGTERM; the exit status.
    fn end(mut self) -> ExitStatus {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").arg(pid).status().unwrap().success());
        let end = Instant::now() + LONG;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < end, "it does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_dry_run_prints_the_table_and_follows_the_folder() {
    let folder = Folder::new();
    let running = Running::start(folder.standalone(&["--dry-run", "--node-name=host"]));
    running.prints(&[" on host ", "dry run"]);
    running.prints(&["pool lan: 1 of 10"]);
    running.prints(&["default/web", "lan", "192.0.2.10", "layer2"]);

    folder.write("dns.yaml", &service("dns", ", loadBalancerIP: 192.0.2.15"));
    running.prints(&["announce 192.0.2.15 (default/dns, pool lan)"]);

    // A broken file leaves what it gave, and is said with its place on both sides.
    folder.write("dns.yaml", "kind: Service\nmetadata: [\n");
    running.prints(&["problem: dns.yaml:"]);
    running.logs(&["readManifest", "dns.yaml:"]);

    // Another request that nobody can serve says why, and the others go on.
    folder.write(
        "bad.yaml",
        &service("bad", ", loadBalancerIP: 198.51.100.1"),
    );
    running.prints(&["not announced: default/bad", "198.51.100.1"]);
    folder.write("dns.yaml", &service("dns", ", loadBalancerIP: 192.0.2.16"));
    running.prints(&["announce 192.0.2.16 (default/dns"]);

    fs::remove_file(folder.path("web.yaml")).unwrap();
    running.prints(&["withdraw 192.0.2.10 (default/web): the Service is gone"]);
    assert!(running.end().success());
    // Nothing was kept.
    assert!(!folder.path(".ferrolb-state.json").exists());
    assert!(!folder.path(".ferrolb-status.json").exists());
}

#[test]
fn a_dry_run_with_a_state_file_keeps_addresses_across_restarts() {
    let folder = Folder::new();
    let state = tempfile::tempdir().unwrap();
    let state = state.path().join("addresses.json");
    let arguments = ["--dry-run", "--state", state.to_str().unwrap()];
    let first = Running::start(folder.standalone(&arguments));
    first.prints(&["default/web", "192.0.2.10"]);
    assert!(first.end().success());
    // Another Service that comes earlier by name must not take the address over.
    folder.write("a.yaml", &service("a", ""));
    let second = Running::start(folder.standalone(&arguments));
    second.prints(&["default/a", "192.0.2.11"]);
    second.prints(&["default/web", "192.0.2.10"]);
    assert!(second.end().success());
    // Damaged: said, and kept aside.
    fs::write(&state, "{").unwrap();
    let third = Running::start(folder.standalone(&arguments));
    third.logs(&["readState", "addresses.json.corrupt"]);
    third.prints(&["default/web", "192.0.2.1"]);
    assert_eq!(
        fs::read_to_string(state.with_file_name("addresses.json.corrupt")).unwrap(),
        "{"
    );
}

#[test]
fn endpoints_decide_where_there_are_some() {
    let folder = Folder::new();
    folder.write(
        "endpoints.yaml",
        "apiVersion: v1\nkind: Endpoints\nmetadata: {name: web}\nsubsets: [{notReadyAddresses: [{ip: 10.0.0.1}]}]\n",
    );
    let running = Running::start(folder.standalone(&["--dry-run"]));
    running.prints(&[
        "default/web",
        "192.0.2.10",
        " no ",
        "none of its endpoints is ready",
    ]);
    fs::remove_file(folder.path("endpoints.yaml")).unwrap();
    running.prints(&["announce 192.0.2.10 (default/web, pool lan)"]);
}

#[test]
fn a_bare_configuration_will_do_and_a_refused_one_is_said_with_its_place() {
    let folder = Folder::new();
    folder.write(
        "config.yaml",
        "address-pools:\n- name: bare\n  protocol: layer2\n  addresses: [192.0.2.20/30]\n",
    );
    let running = Running::start(folder.standalone(&["--dry-run"]));
    running.prints(&["default/web", "bare", "192.0.2.20"]);
    folder.write(
        "config.yaml",
        "address-pools:\n- name: bare\n  protcol: layer2\n",
    );
    running.logs(&["configStale", "line 3"]);
}

#[test]
fn wrong_arguments_are_usage_and_a_missing_folder_is_a_failure() {
    let folder = Folder::new();
    for wrong in [
        &["--no-such-flag"][..],
        &["--log-level=loud"],
        &["--dry-run", "--status"],
        &["--state=x", "--ephemeral"],
        &["--output=json"],
    ] {
        let output = folder.run(wrong);
        assert_eq!(output.status.code(), Some(2), "{wrong:?}");
        assert!(!output.stderr.is_empty(), "{wrong:?}");
    }
    let missing = Command::new(env!("CARGO_BIN_EXE_ferrolb"))
        .args(["standalone", "/nonexistent/folder", "--dry-run"])
        .output()
        .unwrap();
    assert_eq!(missing.status.code(), Some(1));
    let said = String::from_utf8_lossy(&missing.stderr).into_owned();
    assert!(said.contains("/nonexistent/folder"), "{said}");
}

#[test]
fn without_an_instance_the_status_says_so() {
    let folder = Folder::new();
    let output = folder.run(&["--status"]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("no instance runs on"), "{said}");
    let json = folder.run(&["--status", "--output=json"]);
    assert_eq!(json.status.code(), Some(1));
    assert_eq!(
        String::from_utf8_lossy(&json.stdout),
        "{\"running\":false}\n"
    );
}

#[test]
fn without_the_right_to_send_it_says_which_and_offers_the_dry_run() {
    let folder = Folder::new();
    let mut command = folder.standalone(&["--port=0"]);
    if is_root() {
        // Root gives the right away.
        let inner = command;
        command = Command::new("setpriv");
        command
            .args(["--bounding-set=-net_raw", "--inh-caps=-net_raw", "--"])
            .arg(inner.get_program())
            .args(inner.get_args());
    }
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    for word in ["CAP_NET_RAW", "sudo setcap cap_net_raw+ep", "--dry-run"] {
        assert!(said.contains(word), "{word}: {said}");
    }
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    id.stdout == b"0\n"
}

/// Two network namespaces and a cable, removed when dropped.
struct Lan {
    host: String,
    client: String,
}

impl Lan {
    fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!(
            "fs{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let lan = Self {
            host: format!("{name}h"),
            client: format!("{name}c"),
        };
        let (host, client) = (lan.host.as_str(), lan.client.as_str());
        ip(&["netns", "add", host]);
        ip(&["netns", "add", client]);
        let ends = [
            "link", "add", "eth0", "netns", host, "type", "veth", "peer", "name", "eth0", "netns",
            client,
        ];
        ip(&ends);
        for (namespace, address) in [(host, "192.0.2.1/24"), (client, "192.0.2.2/24")] {
            ip(&["-n", namespace, "address", "add", address, "dev", "eth0"]);
            ip(&["-n", namespace, "link", "set", "lo", "up"]);
            ip(&["-n", namespace, "link", "set", "eth0", "up"]);
        }
        lan
    }

    fn on_host(&self, command: &Command) -> Command {
        let mut inside = Command::new("ip");
        inside
            .args(["netns", "exec", &self.host])
            .arg(command.get_program())
            .args(command.get_args());
        inside
    }

    /// Whether somebody answers ARP for the address.
    fn answers(&self, address: &str) -> bool {
        let arping = [
            "netns",
            "exec",
            &self.client,
            "arping",
            "-q",
            "-c",
            "1",
            "-w",
            "1",
            "-I",
            "eth0",
            address,
        ];
        Command::new("ip").args(arping).status().unwrap().success()
    }

    fn loopback(&self) -> String {
        let shown = ["-n", &self.host, "address", "show", "dev", "lo"];
        String::from_utf8(Command::new("ip").args(shown).output().unwrap().stdout).unwrap()
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        for namespace in [&self.host, &self.client] {
            let _ = Command::new("ip")
                .args(["netns", "delete", namespace])
                .status();
        }
    }
}

fn ip(arguments: &[&str]) {
    let output = Command::new("ip").args(arguments).output().unwrap();
    assert!(
        output.status.success(),
        "ip {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + LONG;
    while !is_so() {
        assert!(Instant::now() < end, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
#[ignore = "needs root, network namespaces and arping; run by `cargo test --test standalone -- --ignored`"]
fn an_announced_address_answers_at_once_and_is_silent_after_the_end() {
    let lan = Lan::new();
    let folder = Folder::new();
    let arguments = ["--port=0", "--bind", "--interface=eth0", "--node-name=host"];
    let running = Running::start(lan.on_host(&folder.standalone(&arguments)));
    running.prints(&["serviceAnnounced", "192.0.2.10"]);
    eventually("arping 192.0.2.10", || lan.answers("192.0.2.10"));
    eventually("on the loopback", || {
        lan.loopback().contains("192.0.2.10/32")
    });
    assert!(!lan.answers("192.0.2.15"));

    // From the change of a file to the first answer, arping's own start included.
    let begun = Instant::now();
    folder.write("dns.yaml", &service("dns", ", loadBalancerIP: 192.0.2.15"));
    running.prints(&["addressBound", "192.0.2.15"]);
    let effect = begun.elapsed();
    eventually("arping 192.0.2.15", || lan.answers("192.0.2.15"));
    println!(
        "file change to effect: {effect:?}; to the first answer seen: {:?}",
        begun.elapsed()
    );
    assert!(effect <= Duration::from_millis(300), "{effect:?}");

    // The status of the running instance, and no second one.
    eventually("the status", || {
        let status = folder.run(&["--status"]);
        let text = String::from_utf8_lossy(&status.stdout).into_owned();
        status.status.success()
            && text.contains("eth0 (ARP, NDP)")
            && text
                .lines()
                .any(|line| line.contains("default/dns") && line.contains("layer2"))
    });
    let json = folder.run(&["--status", "--output=json"]);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["running"], true);
    let second = lan
        .on_host(&folder.standalone(&arguments))
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&second.stdout).contains("another instance"));

    // What goes is silent, on the wire and on the loopback.
    fs::remove_file(folder.path("dns.yaml")).unwrap();
    running.prints(&["addressUnbound", "192.0.2.15"]);
    eventually("silence", || !lan.answers("192.0.2.15"));
    assert!(running.end().success());
    assert!(!lan.answers("192.0.2.10"));
    assert!(!lan.loopback().contains("192.0.2.10"), "{}", lan.loopback());
    let status = folder.run(&["--status"]);
    assert!(String::from_utf8_lossy(&status.stdout).contains("no instance runs on"));
}

#[test]
#[ignore = "needs root, network namespaces and arping; run by `cargo test --test standalone -- --ignored`"]
fn what_a_killed_instance_left_on_the_loopback_is_taken_over_or_removed() {
    let lan = Lan::new();
    let folder = Folder::new();
    folder.write("dns.yaml", &service("dns", ", loadBalancerIP: 192.0.2.15"));
    ip(&[
        "-n",
        &lan.host,
        "address",
        "add",
        "192.0.2.19/32",
        "dev",
        "lo",
    ]);
    let arguments = ["--port=0", "--bind", "--node-name=host"];
    let mut killed = Running::start(lan.on_host(&folder.standalone(&arguments)));
    eventually("both are bound", || {
        let loopback = lan.loopback();
        loopback.contains("192.0.2.10/32") && loopback.contains("192.0.2.15/32")
    });
    // `ip netns exec` becomes the program: this is the program's own process.
    killed.child.kill().unwrap();
    killed.child.wait().unwrap();
    assert!(lan.loopback().contains("192.0.2.15/32"));
    fs::remove_file(folder.path("dns.yaml")).unwrap();

    let running = Running::start(lan.on_host(&folder.standalone(&arguments)));
    running.prints(&["bindLeftovers", "192.0.2.10", "192.0.2.15"]);
    running.prints(&["addressUnbound", "192.0.2.15"]);
    let loopback = lan.loopback();
    assert!(loopback.contains("192.0.2.10/32"), "{loopback}");
    assert!(running.end().success());
    let loopback = lan.loopback();
    assert!(!loopback.contains("192.0.2.10"), "{loopback}");
    // Somebody else's is left alone.
    assert!(loopback.contains("192.0.2.19/32"), "{loopback}");
}
