//! Routers in a host of the LAN: FRR, BIRD, GoBGP, each with a folder of its own, and what their tables say.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use tempfile::TempDir;

use crate::lan::{Host, Process, until};

#[path = "routers/bird.rs"]
mod bird;
#[path = "routers/frr.rs"]
mod frr;
#[path = "routers/gobgp.rs"]
mod gobgp;

pub(crate) use bird::Bird;
pub(crate) use frr::Frr;
pub(crate) use gobgp::GoBgp;

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
    /// Asks this neighbour to say everything again, if it can.
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

    /// Waits until the paths to the prefix are exactly these.
    fn shows(&self, prefix: &str, want: &[Path]) {
        until(
            &format!("the router has {want:?} to {prefix}"),
            || self.paths(prefix) == want,
            || format!("{:?}\n{}", self.paths(prefix), self.state()),
        );
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
        "no-export" | "noExport" => "65535:65281",
        "no-advertise" | "noAdvertise" => "65535:65282",
        "graceful-shutdown" | "gracefulShutdown" | "planned-shut" => "65535:0",
        other => other,
    }
    .to_owned()
}
