//! The other ends: FRR's bfdd and BIRD, as Debian packages them, each in a network namespace.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::world::namespace::run;
use crate::world::{Namespace, eventually};

/// A process that ends with its guard.
struct Daemon(Child);

impl Daemon {
    /// Starts a program in a namespace; `ip netns exec` becomes the program, so that its number is the program's.
    fn start(namespace: &Namespace, program: &str, arguments: &[&str], log: &Path) -> Self {
        let log = fs::File::create(log).unwrap();
        let child = Command::new("ip")
            .args(["netns", "exec", &namespace.name, program])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{program}: {error}"));
        Self(child)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Our example `bfd_probe` in a namespace: a process that can be stopped.
pub(crate) struct Probe {
    daemon: Daemon,
    folder: TempDir,
    /// It ends when this does.
    _input: ChildStdin,
}

impl Probe {
    pub(crate) fn start(namespace: &Namespace, arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Beside the tests: target/debug/deps/.. /examples
        let tests = std::env::current_exe().unwrap();
        let program = tests.ancestors().nth(2).unwrap().join("examples/bfd_probe");
        assert!(
            program.exists(),
            "first: cargo build --example bfd_probe ({})",
            program.display()
        );
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let mut child = Command::new("ip")
            .args(["netns", "exec", &namespace.name, text(&program)])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        Self {
            daemon: Daemon(child),
            folder,
            _input: input,
        }
    }

    /// What it has said so far.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    pub(crate) fn signal(&self, signal: &str) {
        run("kill", &[signal, &self.daemon.0.id().to_string()]);
    }
}

/// FRR's zebra and bfdd in a namespace.
pub(crate) struct Frr {
    bfdd: Option<Daemon>,
    zebra: Daemon,
    folder: TempDir,
}

impl Frr {
    /// `peers`: the lines of the section `bfd`.
    pub(crate) fn start(namespace: &Namespace, peers: &str) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("ferrolb-bfd-")
            .tempdir()
            .unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("zebra.conf"), "").unwrap();
        fs::write(path("bfdd.conf"), format!("bfd\n{peers}\n!\n")).unwrap();
        // The daemons give up root.
        run("chown", &["-R", "frr:frr", text(folder.path())]);
        let start = |name: &str| {
            Daemon::start(
                namespace,
                &format!("/usr/lib/frr/{name}"),
                &[
                    "-z",
                    text(&path("zserv")),
                    "-i",
                    text(&path(&format!("{name}.pid"))),
                    "--vty_socket",
                    text(folder.path()),
                    "-f",
                    text(&path(&format!("{name}.conf"))),
                    "--log",
                    "stdout",
                    // Ports of its command line: none.
                    "-P",
                    "0",
                ],
                &path(&format!("{name}.log")),
            )
        };
        let zebra = start("zebra");
        eventually("zebra listens", || path("zserv").exists());
        let mut frr = Self {
            bfdd: None,
            zebra,
            folder,
        };
        frr.bfdd = Some(frr.start_bfdd(namespace));
        frr
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn start_bfdd(&self, namespace: &Namespace) -> Daemon {
        let control = self.path("bfdd.sock");
        let bfdd = Daemon::start(
            namespace,
            "/usr/lib/frr/bfdd",
            &[
                "-z",
                text(&self.path("zserv")),
                "-i",
                text(&self.path("bfdd.pid")),
                "--vty_socket",
                text(self.folder.path()),
                "-f",
                text(&self.path("bfdd.conf")),
                "--bfdctl",
                text(&control),
                "--log",
                "stdout",
                "-P",
                "0",
            ],
            &self.path("bfdd.log"),
        );
        eventually("bfdd listens", || self.path("bfdd.vty").exists());
        eventually("bfdd answers", || {
            self.try_ask("show bfd peers json").is_some()
        });
        bfdd
    }

    /// bfdd dies, without a word.
    pub(crate) fn kill(&mut self) {
        self.bfdd = None;
        let _ = fs::remove_file(self.path("bfdd.vty"));
    }

    pub(crate) fn restart(&mut self, namespace: &Namespace) {
        self.kill();
        self.bfdd = Some(self.start_bfdd(namespace));
    }

    fn try_ask(&self, command: &str) -> Option<Value> {
        let output = Command::new("vtysh")
            .args(["--vty_socket", text(self.folder.path()), "-d", "bfdd"])
            .args(["-c", command])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        serde_json::from_slice(&output.stdout).ok()
    }

    /// Gives commands of the configuration, in the section `bfd`.
    pub(crate) fn configure(&self, lines: &[&str]) {
        let folder = text(self.folder.path()).to_owned();
        let mut arguments = vec!["--vty_socket", &folder, "-d", "bfdd"];
        for line in ["configure terminal", "bfd"].iter().chain(lines) {
            arguments.extend(["-c", line]);
        }
        run("vtysh", &arguments);
    }

    /// What bfdd says about its session with `peer`.
    pub(crate) fn peer(&self, peer: &str) -> Value {
        let peer: IpAddr = peer.parse().unwrap();
        let peers = self.try_ask("show bfd peers json").unwrap_or_default();
        peers
            .as_array()
            .into_iter()
            .flatten()
            .find(|session| {
                session
                    .get("peer")
                    .and_then(Value::as_str)
                    .and_then(|text| text.parse().ok())
                    == Some(peer)
            })
            .cloned()
            .unwrap_or_default()
    }

    /// Counters of its session with `peer`.
    pub(crate) fn counters(&self, peer: &str) -> Value {
        let peers = self
            .try_ask("show bfd peers counters json")
            .unwrap_or_default();
        peers
            .as_array()
            .into_iter()
            .flatten()
            .find(|session| session["peer"] == peer)
            .cloned()
            .unwrap_or_default()
    }

    /// Waits until the session with `peer` has this status.
    pub(crate) fn becomes(&self, peer: &str, status: &str) {
        let mut last = Value::Null;
        let zebra = self.zebra.0.id();
        let log = self.path("bfdd.log");
        eventually_or(
            || {
                last = self.peer(peer);
                last["status"] == status
            },
            || {
                let log = fs::read_to_string(&log).unwrap_or_default();
                format!("bfdd (zebra {zebra}) with {peer}: never {status}\n{log}")
            },
        );
    }
}

/// BIRD in a namespace.
pub(crate) struct Bird {
    _daemon: Daemon,
    folder: TempDir,
}

impl Bird {
    pub(crate) fn start(namespace: &Namespace, configuration: &str) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("ferrolb-bfd-")
            .tempdir()
            .unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(
            path("bird.conf"),
            format!("router id 192.0.2.2;\nprotocol device {{ scan time 1; }}\n{configuration}\n"),
        )
        .unwrap();
        let daemon = Daemon::start(
            namespace,
            "/usr/sbin/bird",
            &[
                "-f",
                "-c",
                text(&path("bird.conf")),
                "-s",
                text(&path("bird.ctl")),
            ],
            &path("bird.log"),
        );
        let log = path("bird.log");
        eventually_or(
            || path("bird.ctl").exists(),
            || fs::read_to_string(&log).unwrap_or_default(),
        );
        Self {
            _daemon: daemon,
            folder,
        }
    }

    fn ask(&self, words: &[&str]) -> String {
        let socket = self.folder.path().join("bird.ctl");
        let mut arguments = vec!["-s", text(&socket)];
        arguments.extend(words);
        run("birdc", &arguments)
    }

    /// Waits until the session with `peer` has this state.
    pub(crate) fn becomes(&self, peer: &str, state: &str) {
        let mut last = String::new();
        eventually("BIRD's session changes", || {
            last = self.ask(&["show", "bfd", "sessions"]);
            last.lines().any(|line| {
                let words: Vec<_> = line.split_whitespace().collect();
                words.first() == Some(&peer) && words.get(2) == Some(&state)
            })
        });
    }
}

/// As [`eventually`], with more to say.
pub(crate) fn eventually_or(mut condition: impl FnMut() -> bool, why: impl Fn() -> String) {
    let end = crate::world::now() + crate::world::PATIENCE;
    while !condition() {
        assert!(crate::world::now() < end, "{}", why());
        crate::world::pause();
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
