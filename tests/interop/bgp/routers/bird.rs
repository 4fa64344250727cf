//! BIRD 2.

use std::collections::BTreeMap;
use std::fs;

use tempfile::TempDir;

use super::{Path, Peer, Router, community, folder, log, origin, spawn};
use crate::lan::{Host, Process, until};

/// BIRD 2.
pub(crate) struct Bird {
    process: Process,
    folder: TempDir,
    host: Host,
    /// Protocol names, by neighbour.
    names: BTreeMap<String, String>,
}

impl Bird {
    /// What birdc says.
    pub(crate) fn birdc(&self, command: &str) -> String {
        let socket = self.folder.path().join("ctl");
        let mut arguments = vec!["-s", socket.to_str().unwrap()];
        arguments.extend(command.split(' '));
        self.host.namespace.says("birdc", &arguments)
    }

    fn conf(router: &Router, host: &Host) -> String {
        let mut lines = vec![
            "log stderr all;".to_owned(),
            format!("router id {};", host.ip4()),
            "protocol device {}".to_owned(),
            // what next hops of iBGP are resolved by
            "protocol direct { ipv4; ipv6; }".to_owned(),
        ];
        lines.extend(router.more.iter().cloned());
        for (number, neighbour) in router.neighbours.iter().enumerate() {
            let own = match &neighbour.address {
                address if address.starts_with("fe80:") => host.link_local(),
                address if address.contains(':') => host.ip6(),
                _ => host.ip4(),
            };
            lines.push(format!("protocol bgp b{number} {{"));
            lines.push(format!("local {own} as {};", router.asn));
            lines.push(format!(
                "neighbor {} as {};",
                neighbour.address, neighbour.asn
            ));
            lines.push(format!("hold time {};", neighbour.hold_time));
            lines.push("passive on; error wait time 1, 2;".to_owned());
            if let Some(password) = &neighbour.password {
                lines.push(format!("password \"{password}\";"));
            }
            lines.extend(neighbour.more.iter().cloned());
            for family in ["ipv4", "ipv6"] {
                lines.push(format!(
                    "{family} {{ import all; export none; extended next hop on; }};"
                ));
            }
            lines.push("}".to_owned());
        }
        lines.join("\n") + "\n"
    }
}

impl Peer for Bird {
    fn start(host: Host, router: &Router) -> Self {
        let folder = folder();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        fs::write(path("conf"), Self::conf(router, &host)).unwrap();
        let arguments = [
            "-f",
            "-c",
            &path("conf"),
            "-s",
            &path("ctl"),
            "-P",
            &path("pid"),
        ];
        let process = spawn(&host, &folder, "bird", &arguments);
        let names = router
            .neighbours
            .iter()
            .enumerate()
            .map(|(number, neighbour)| (neighbour.address.clone(), format!("b{number}")))
            .collect();
        let bird = Self {
            process,
            folder,
            host,
            names,
        };
        until(
            "BIRD is up",
            || bird.birdc("show status").contains("Daemon is up"),
            || log(&bird.folder),
        );
        bird
    }

    fn host(&self) -> &Host {
        &self.host
    }

    fn is_established(&self, neighbour: &str) -> bool {
        self.birdc(&format!("show protocols all {}", self.names[neighbour]))
            .lines()
            .any(|line| line.contains("BGP state:") && line.ends_with("Established"))
    }

    fn paths(&self, prefix: &str) -> Vec<Path> {
        let said = self.birdc(&format!("show route for {prefix} all"));
        // One block per path: its head names the protocol, its lines the attributes.
        let mut paths: Vec<Path> = Vec::new();
        for line in said.lines() {
            let line = line.trim();
            if let Some((_, rest)) = line.split_once("unicast [") {
                let protocol = rest.split_whitespace().next().unwrap();
                let peer = self
                    .names
                    .iter()
                    .find(|(_, name)| *name == protocol)
                    .map(|(peer, _)| peer.clone());
                paths.push(Path {
                    peer: peer.unwrap_or_else(|| protocol.to_owned()),
                    as_path: Vec::new(),
                    origin: String::new(),
                    local_pref: None,
                    communities: Vec::new(),
                    next_hop: String::new(),
                });
                continue;
            }
            let (Some(path), Some((name, value))) = (paths.last_mut(), line.split_once(": "))
            else {
                continue;
            };
            match name {
                "BGP.origin" => path.origin = origin(value),
                "BGP.as_path" => {
                    path.as_path = value
                        .split_whitespace()
                        .filter_map(|asn| asn.parse().ok())
                        .collect();
                }
                "BGP.next_hop" => {
                    path.next_hop = value
                        .split_whitespace()
                        .next()
                        .unwrap_or_default()
                        .to_owned();
                }
                "BGP.local_pref" => path.local_pref = value.parse().ok(),
                "BGP.community" => {
                    path.communities = value
                        .split_whitespace()
                        .map(|pair| {
                            let pair = pair.trim_matches(|c| c == '(' || c == ')');
                            community(&pair.replace(',', ":"))
                        })
                        .collect();
                }
                _ => {}
            }
        }
        paths.sort();
        paths
    }

    fn state(&self) -> String {
        format!(
            "{}{}{}",
            self.birdc("show protocols all"),
            self.birdc("show route all"),
            log(&self.folder)
        )
    }

    fn ask_again(&self, neighbour: &str) {
        self.birdc(&format!("reload in {}", self.names[neighbour]));
    }

    fn shut_down(&self, neighbour: &str, message: &str) {
        let socket = self.folder.path().join("ctl");
        let name = &self.names[neighbour];
        let message = format!("\"{message}\"");
        let arguments = ["-s", socket.to_str().unwrap(), "disable", name, &message];
        self.host.namespace.says("birdc", &arguments);
    }

    fn freeze(&self, frozen: bool) {
        self.process
            .signal(if frozen { libc::SIGSTOP } else { libc::SIGCONT });
    }
}
