//! Routers in a host of the LAN: FRR, BIRD, GoBGP, each with a folder of its own, and what their tables say.

use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use serde_json::Value;
use tempfile::TempDir;

use crate::lan::{Host, Process, until};

/// One path to a prefix, as a router keeps it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Path {
    /// The session it came over.
    pub(crate) peer: String,
    /// ASNs, first the nearest.
    pub(crate) as_path: Vec<u32>,
    /// `IGP`, `incomplete`, `EGP` in lower case.
    pub(crate) origin: String,
    pub(crate) local_pref: Option<u32>,
    /// As `a:b`, or by name where the router has one, ascending.
    pub(crate) communities: Vec<String>,
    /// The global next hop.
    pub(crate) next_hop: String,
}

/// What a router is told about one neighbour.
#[derive(Debug, Clone)]
pub(crate) struct Neighbour {
    pub(crate) address: String,
    pub(crate) asn: u32,
    pub(crate) password: Option<String>,
    /// Whole seconds offered.
    pub(crate) hold_time: u16,
    /// Lines of the router's own language in the neighbour's section (FRR: after `neighbor ADDRESS`).
    pub(crate) more: Vec<String>,
}

impl Neighbour {
    pub(crate) fn new(address: impl Into<String>, asn: u32) -> Self {
        Self {
            address: address.into(),
            asn,
            password: None,
            hold_time: 90,
            more: Vec::new(),
        }
    }

    pub(crate) fn password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        self
    }

    pub(crate) fn hold_time(mut self, seconds: u16) -> Self {
        self.hold_time = seconds;
        self
    }

    pub(crate) fn more(mut self, line: &str) -> Self {
        self.more.push(line.to_owned());
        self
    }
}

/// A router's own part of the configuration.
#[derive(Debug, Clone, Default)]
pub(crate) struct Router {
    pub(crate) asn: u32,
    pub(crate) neighbours: Vec<Neighbour>,
    /// Lines of the router's own language, on the level of the router.
    pub(crate) more: Vec<String>,
}

impl Router {
    pub(crate) fn new(asn: u32) -> Self {
        Self {
            asn,
            ..Self::default()
        }
    }

    pub(crate) fn neighbour(mut self, neighbour: Neighbour) -> Self {
        self.neighbours.push(neighbour);
        self
    }

    pub(crate) fn more(mut self, line: &str) -> Self {
        self.more.push(line.to_owned());
        self
    }
}

/// What all tests ask of every router.
pub(crate) trait Peer: Sized {
    /// Starts it in the host.
    fn start(host: Host, router: &Router) -> Self;
    /// The host.
    fn host(&self) -> &Host;
    /// Whether the session with this neighbour is Established.
    fn is_established(&self, neighbour: &str) -> bool;
    /// The paths to a prefix, ascending.
    fn paths(&self, prefix: &str) -> Vec<Path>;
    /// All it knows, for the reader of a failed test.
    fn state(&self) -> String;
    /// Asks this neighbour to say everything again.
    fn ask_again(&self, neighbour: &str);
    /// Replaces what it is told about its neighbours by hand: refuses this one with a message for it.
    fn shut_down(&self, neighbour: &str, message: &str);
    /// Stops its processes, as a dead or frozen router would, or lets them go on.
    fn freeze(&self, frozen: bool);

    fn established(&self, neighbour: &str) {
        until(
            &format!("the router has a session with {neighbour}"),
            || self.is_established(neighbour),
            || self.state(),
        );
    }

    fn down(&self, neighbour: &str) {
        until(
            &format!("the router has no session with {neighbour}"),
            || !self.is_established(neighbour),
            || self.state(),
        );
    }

    /// Waits until the prefix is known from exactly these neighbours.
    fn knows(&self, prefix: &str, from: &[&str]) -> Vec<Path> {
        let mut paths = Vec::new();
        until(
            &format!("the router knows {prefix} from {from:?}"),
            || {
                paths = self.paths(prefix);
                paths
                    .iter()
                    .map(|path| &*path.peer)
                    .eq(from.iter().copied())
            },
            || self.state(),
        );
        paths
    }
}

fn folder() -> TempDir {
    let folder = tempfile::Builder::new()
        .prefix("ferrolb-bgp-")
        .tempdir()
        .unwrap();
    // FRR's daemons do not stay root.
    fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
    folder
}

fn spawn(host: &Host, folder: &TempDir, program: &str, arguments: &[&str]) -> Process {
    let log = File::options()
        .create(true)
        .append(true)
        .open(folder.path().join("log"))
        .unwrap();
    let mut command = host.namespace.command(program);
    command
        .args(arguments)
        .stdout(log.try_clone().unwrap())
        .stderr(log);
    Process::new(command)
}

fn log(folder: &TempDir) -> String {
    fs::read_to_string(folder.path().join("log")).unwrap_or_default()
}

fn origin(text: &str) -> String {
    match text {
        "IGP" | "i" | "Igp" => "igp".to_owned(),
        "Incomplete" | "?" | "incomplete" => "incomplete".to_owned(),
        other => other.to_lowercase(),
    }
}

/// By number where a router has a name for it.
fn community(text: &str) -> String {
    match text {
        "no-export" => "65535:65281",
        "no-advertise" => "65535:65282",
        "graceful-shutdown" | "gracefulShutdown" | "planned-shut" => "65535:0",
        other => other,
    }
    .to_owned()
}

// -- FRR -------------------------------------------------------------------------------------------------------------

/// FRR: zebra, bgpd, and bfdd where wanted.
pub(crate) struct Frr {
    // Before the host: they live in it.
    processes: Vec<Process>,
    folder: TempDir,
    host: Host,
}

impl Frr {
    /// With bfdd.
    pub(crate) fn with_bfd(host: Host, router: &Router, profiles: &str) -> Self {
        let mut frr = Self::start(host, router);
        fs::write(frr.folder.path().join("bfdd.conf"), profiles).unwrap();
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
        self.host.namespace.exec("vtysh", &arguments)
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

    /// Next hops of the route in the kernel's table.
    pub(crate) fn kernel(&self, prefix: &str) -> Vec<String> {
        let family = if prefix.contains(':') { "-6" } else { "-4" };
        let prefix = prefix.trim_end_matches("/32").trim_end_matches("/128");
        let said = self
            .host
            .namespace
            .exec("ip", &[family, "route", "show", prefix]);
        let mut hops: Vec<String> = said
            .split_whitespace()
            .collect::<Vec<_>>()
            .windows(2)
            .filter(|pair| pair[0] == "via")
            .map(|pair| pair[1].to_owned())
            .collect();
        hops.sort();
        hops
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
                lines.push(format!(
                    "neighbor {} soft-reconfiguration inbound",
                    neighbour.address
                ));
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

// -- BIRD ------------------------------------------------------------------------------------------------------------

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
        self.host.namespace.exec("birdc", &arguments)
    }

    fn conf(router: &Router, host: &Host) -> String {
        let mut lines = vec![
            "log stderr all;".to_owned(),
            format!("router id {};", host.ip4()),
            "protocol device {}".to_owned(),
        ];
        lines.extend(router.more.iter().cloned());
        for (number, neighbour) in router.neighbours.iter().enumerate() {
            let own = if neighbour.address.contains(':') {
                host.ip6()
            } else {
                host.ip4()
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
        self.host.namespace.exec("birdc", &arguments);
    }

    fn freeze(&self, frozen: bool) {
        self.process
            .signal(if frozen { libc::SIGSTOP } else { libc::SIGCONT });
    }
}

// -- GoBGP -----------------------------------------------------------------------------------------------------------

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
        self.host.namespace.exec("gobgp", &arguments)
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
        self.gobgp(&format!("neighbor {neighbour} softresetin"));
    }

    fn shut_down(&self, neighbour: &str, message: &str) {
        self.gobgp(&format!("neighbor {neighbour} shutdown {message}"));
    }

    fn freeze(&self, frozen: bool) {
        self.process
            .signal(if frozen { libc::SIGSTOP } else { libc::SIGCONT });
    }
}
