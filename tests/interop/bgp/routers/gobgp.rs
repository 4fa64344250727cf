//! GoBGP.

use std::fs;

use serde_json::Value;
use tempfile::TempDir;

use super::{Path, Peer, Router, folder, log, spawn};
use crate::lan::{Host, Process, until};

/// GoBGP.
pub(crate) struct GoBgp {
    process: Process,
    folder: TempDir,
    host: Host,
}

impl GoBgp {
    /// What the client says.
    pub(crate) fn gobgp(&self, command: &str) -> String {
        let arguments: Vec<&str> = command.split(' ').collect();
        self.host.namespace.says("gobgp", &arguments)
    }

    fn conf(router: &Router, host: &Host) -> String {
        let mut lines = vec![
            "[global.config]".to_owned(),
            format!("as = {}", router.asn),
            format!("router-id = \"{}\"", host.ip4()),
        ];
        lines.extend(router.more.iter().cloned());
        for neighbour in &router.neighbours {
            lines.push("[[neighbors]]\n[neighbors.config]".to_owned());
            lines.push(format!("neighbor-address = \"{}\"", neighbour.address));
            lines.push(format!("peer-as = {}", neighbour.asn));
            if let Some(password) = &neighbour.password {
                lines.push(format!("auth-password = \"{password}\""));
            }
            lines.push("[neighbors.transport.config]\npassive-mode = true".to_owned());
            lines.push(format!(
                "[neighbors.timers.config]\nhold-time = {}\nidle-hold-time-after-reset = 1",
                neighbour.hold_time
            ));
            lines.extend(neighbour.more.iter().cloned());
            for family in ["ipv4", "ipv6"] {
                lines.push(format!(
                    "[[neighbors.afi-safis]]\n[neighbors.afi-safis.config]\nafi-safi-name = \"{family}-unicast\""
                ));
            }
        }
        lines.join("\n") + "\n"
    }
}

impl Peer for GoBgp {
    fn start(host: Host, router: &Router) -> Self {
        let folder = folder();
        let conf = folder.path().join("conf.toml").to_str().unwrap().to_owned();
        fs::write(&conf, Self::conf(router, &host)).unwrap();
        let arguments = [
            "-f",
            &conf,
            "-t",
            "toml",
            "--pprof-disable",
            "--api-hosts",
            "127.0.0.1:50051",
        ];
        let process = spawn(&host, &folder, "gobgpd", &arguments);
        let gobgp = Self {
            process,
            folder,
            host,
        };
        until(
            "GoBGP is up",
            || gobgp.gobgp("global").contains("Router-ID"),
            || log(&gobgp.folder),
        );
        gobgp
    }

    fn host(&self) -> &Host {
        &self.host
    }

    fn is_established(&self, neighbour: &str) -> bool {
        self.gobgp(&format!("neighbor {neighbour}"))
            .contains("BGP state = ESTABLISHED")
    }

    fn paths(&self, prefix: &str) -> Vec<Path> {
        let family = if prefix.contains(':') { "ipv6" } else { "ipv4" };
        let said = self.gobgp(&format!("-j global rib {prefix} -a {family}"));
        let told: Value = serde_json::from_str(&said).unwrap_or_default();
        let mut paths = Vec::new();
        for path in told[prefix].as_array().into_iter().flatten() {
            let mut found = Path {
                peer: path["neighbor-ip"].as_str().unwrap_or_default().to_owned(),
                as_path: Vec::new(),
                origin: String::new(),
                local_pref: None,
                communities: Vec::new(),
                next_hop: String::new(),
            };
            for attribute in path["attrs"].as_array().into_iter().flatten() {
                match attribute["type"].as_u64().unwrap() {
                    1 => {
                        found.origin = match attribute["value"].as_u64() {
                            Some(0) => "igp",
                            Some(1) => "egp",
                            _ => "incomplete",
                        }
                        .to_owned();
                    }
                    2 => {
                        found.as_path = attribute["as_paths"]
                            .as_array()
                            .into_iter()
                            .flatten()
                            .flat_map(|segment| segment["asns"].as_array().into_iter().flatten())
                            .map(|asn| u32::try_from(asn.as_u64().unwrap()).unwrap())
                            .collect();
                    }
                    3 | 14 => {
                        found.next_hop =
                            attribute["nexthop"].as_str().unwrap_or_default().to_owned();
                    }
                    5 => {
                        found.local_pref = attribute["value"]
                            .as_u64()
                            .map(|value| u32::try_from(value).unwrap());
                    }
                    8 => {
                        found.communities = attribute["communities"]
                            .as_array()
                            .into_iter()
                            .flatten()
                            .map(|value| {
                                let value = value.as_u64().unwrap();
                                format!("{}:{}", value >> 16, value & 0xffff)
                            })
                            .collect();
                    }
                    _ => {}
                }
            }
            paths.push(found);
        }
        paths.sort();
        paths
    }

    fn state(&self) -> String {
        format!(
            "{}{}{}{}",
            self.gobgp("neighbor"),
            self.gobgp("-j global rib"),
            self.gobgp("-j global rib -a ipv6"),
            log(&self.folder)
        )
    }

    fn ask_again(&self, neighbour: &str) {
        panic!("GoBGP cannot ask {neighbour}");
    }

    fn shut_down(&self, neighbour: &str, message: &str) {
        self.gobgp(&format!("neighbor {neighbour} shutdown {message}"));
    }

    fn freeze(&self, frozen: bool) {
        self.process
            .signal(if frozen { libc::SIGSTOP } else { libc::SIGCONT });
    }
}
