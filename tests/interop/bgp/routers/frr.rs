//! FRR: zebra, bgpd, and bfdd where wanted.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use tempfile::TempDir;

use super::{Path, Peer, Router, community, folder, log, origin, spawn};
use crate::lan::{Host, Process, until};

/// FRR: zebra, bgpd, and bfdd where wanted.
pub(crate) struct Frr {
    // Before the host: they live in it.
    processes: Vec<Process>,
    folder: TempDir,
    host: Host,
}

impl Frr {
    /// With bfdd, and the profile `fast` with these numbers.
    pub(crate) fn with_bfd(
        host: Host,
        router: &Router,
        [receive, transmit, multiplier]: [u32; 3],
    ) -> Self {
        let mut frr = Self::start(host, router);
        let profile = format!(
            "bfd\nprofile fast\nreceive-interval {receive}\ntransmit-interval {transmit}\ndetect-multiplier {multiplier}\nexit\nexit\n"
        );
        fs::write(frr.folder.path().join("bfdd.conf"), profile).unwrap();
        frr.daemon("bfdd");
        frr
    }

    fn daemon(&mut self, name: &str) {
        let path = |ending: &str| {
            let path = self.folder.path().join(format!("{name}.{ending}"));
            path.to_str().unwrap().to_owned()
        };
        let (vty, pid, conf) = (path("vty"), path("pid"), path("conf"));
        let directory = self.folder.path().to_str().unwrap();
        let zapi = format!("{directory}/zserv.api");
        let program = format!("/usr/lib/frr/{name}");
        let arguments = [
            "--vty_socket",
            directory,
            "-z",
            &zapi,
            "-i",
            &pid,
            "-f",
            &conf,
            // no TCP
            "-P",
            "0",
            "--log",
            "stdout",
        ];
        let control = format!("{directory}/bfdd.sock");
        let mut arguments = arguments.to_vec();
        if name == "bfdd" {
            arguments.extend(["--bfdctl", &control]);
        }
        let process = spawn(&self.host, &self.folder, &program, &arguments);
        self.processes.push(process);
        until(
            &program,
            || PathBuf::from(&vty).exists(),
            || log(&self.folder),
        );
    }

    /// What vtysh says to these commands.
    pub(crate) fn vtysh(&self, commands: &[&str]) -> String {
        let directory = self.folder.path().to_str().unwrap();
        let mut arguments = vec!["--vty_socket", directory];
        for command in commands {
            arguments.extend(["-c", command]);
        }
        self.host.namespace.says("vtysh", &arguments)
    }

    /// Commands below `configure terminal`; none may be refused.
    pub(crate) fn configure(&self, commands: &[&str]) {
        let said = self.vtysh(&[&["configure terminal"], commands].concat());
        assert!(!said.contains('%'), "{commands:?}: {said}");
    }

    pub(crate) fn json(&self, command: &str) -> Value {
        let said = self.vtysh(&[&format!("{command} json")]);
        serde_json::from_str(&said).unwrap_or(Value::Null)
    }

    /// All there is to know about a neighbour.
    pub(crate) fn neighbour(&self, address: &str) -> Value {
        let mut told = self.json(&format!("show bgp neighbors {address}"));
        told.as_object_mut()
            .and_then(|peers| peers.values_mut().next())
            .map(Value::take)
            .unwrap_or_default()
    }

    /// The prefixes in a family's table.
    pub(crate) fn prefixes(&self, family: &str) -> Vec<String> {
        let told = self.json(&format!("show bgp {family} unicast"));
        told["routes"]
            .as_object()
            .map(|routes| routes.keys().cloned().collect())
            .unwrap_or_default()
    }

    /// A counter of messages from a neighbour: `updatesRecv`, `keepalivesRecv`, `opensRecv` …
    pub(crate) fn received(&self, neighbour: &str, counter: &str) -> u64 {
        self.neighbour(neighbour)["messageStats"][counter]
            .as_u64()
            .unwrap_or_default()
    }

    fn conf(router: &Router, host: &Host) -> String {
        let mut lines = vec![
            format!("router bgp {}", router.asn),
            format!("bgp router-id {}", host.ip4()),
            "no bgp ebgp-requires-policy".to_owned(),
            "no bgp network import-check".to_owned(),
            "no bgp default ipv4-unicast".to_owned(),
            "bgp log-neighbor-changes".to_owned(),
            "bgp bestpath as-path multipath-relax".to_owned(),
        ];
        let own = |line: &&String| !line.starts_with('!');
        lines.extend(router.more.iter().filter(own).cloned());
        for neighbour in &router.neighbours {
            let peer = format!("neighbor {}", neighbour.address);
            lines.push(format!("{peer} remote-as {}", neighbour.asn));
            let hold = neighbour.hold_time;
            lines.push(format!("{peer} timers {} {hold}", hold / 3));
            lines.push(format!("{peer} timers connect 1"));
            if let Some(password) = &neighbour.password {
                lines.push(format!("{peer} password {password}"));
            }
            lines.extend(neighbour.more.iter().map(|line| format!("{peer} {line}")));
        }
        for family in ["ipv4", "ipv6"] {
            lines.push(format!("address-family {family} unicast"));
            lines.push("maximum-paths 16".to_owned());
            lines.push("maximum-paths ibgp 16".to_owned());
            for neighbour in &router.neighbours {
                lines.push(format!("neighbor {} activate", neighbour.address));
            }
            lines.push("exit-address-family".to_owned());
        }
        lines.push("exit".to_owned());
        // Lines that start with `!` are on the top level.
        lines.extend(
            router
                .more
                .iter()
                .filter_map(|line| line.strip_prefix('!').map(str::to_owned)),
        );
        lines.join("\n") + "\n"
    }
}

impl Peer for Frr {
    fn start(host: Host, router: &Router) -> Self {
        let folder = folder();
        fs::write(folder.path().join("zebra.conf"), "").unwrap();
        fs::write(folder.path().join("bgpd.conf"), Self::conf(router, &host)).unwrap();
        let mut frr = Self {
            processes: Vec::new(),
            folder,
            host,
        };
        frr.daemon("zebra");
        frr.daemon("bgpd");
        frr
    }

    fn host(&self) -> &Host {
        &self.host
    }

    fn is_established(&self, neighbour: &str) -> bool {
        self.neighbour(neighbour)["bgpState"] == "Established"
    }

    fn paths(&self, prefix: &str) -> Vec<Path> {
        let family = if prefix.contains(':') { "ipv6" } else { "ipv4" };
        let told = self.json(&format!("show bgp {family} unicast {prefix}"));
        let mut paths: Vec<Path> = told["paths"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|path| Path {
                peer: path["peer"]["peerId"].as_str().unwrap().to_owned(),
                as_path: path["aspath"]["string"]
                    .as_str()
                    .unwrap()
                    .split_whitespace()
                    .filter_map(|asn| asn.parse().ok())
                    .collect(),
                origin: origin(path["origin"].as_str().unwrap()),
                local_pref: path["locPrf"]
                    .as_u64()
                    .map(|value| u32::try_from(value).unwrap()),
                communities: path["community"]["list"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .map(|value| community(value.as_str().unwrap()))
                    .collect(),
                next_hop: path["nexthops"][0]["ip"].as_str().unwrap().to_owned(),
            })
            .collect();
        paths.sort();
        paths
    }

    fn state(&self) -> String {
        let told = self.vtysh(&[
            "show bgp summary",
            "show bgp neighbors",
            "show bgp ipv4 unicast",
            "show bgp ipv6 unicast",
            "show bfd peers",
        ]);
        format!("{told}\n{}", log(&self.folder))
    }

    fn ask_again(&self, neighbour: &str) {
        self.vtysh(&[
            &format!("clear bgp ipv4 unicast {neighbour} in"),
            &format!("clear bgp ipv6 unicast {neighbour} in"),
        ]);
    }

    fn shut_down(&self, neighbour: &str, message: &str) {
        let asn = self.json("show bgp summary")["ipv4Unicast"]["as"].to_string();
        self.configure(&[
            &format!("router bgp {asn}"),
            &format!("neighbor {neighbour} shutdown message {message}"),
        ]);
    }

    fn freeze(&self, frozen: bool) {
        for process in &self.processes {
            process.signal(if frozen { libc::SIGSTOP } else { libc::SIGCONT });
        }
    }
}
