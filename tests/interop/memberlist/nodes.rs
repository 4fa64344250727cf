//! A node of each kind, and waiting for what must become true.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};

use ferrolb::journal::{Record, Subject};
use ferrolb::memberlist::driver::{Gossip, Journal, Params};
use ferrolb::memberlist::keyring::Keyring;
use ferrolb::memberlist::wire::{Limits, Name};
use serde_json::Value;

use super::world::Namespace;
use super::{BTreeSet, Duration, Instant, Standing};

/// Long enough for the slowest machine: a test that waits this long has failed.
const LONG: Duration = Duration::from_secs(60);

/// How messages are wrapped, on both sides but for our compression, which is always on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mode {
    pub(crate) secret: &'static str,
    pub(crate) compress: bool,
}

impl Mode {
    pub(crate) fn key(self) -> Option<Keyring> {
        Keyring::from_secret(self.secret.as_bytes())
    }
}

pub(crate) fn names(of: &[&str]) -> BTreeSet<String> {
    of.iter().map(|name| (*name).to_owned()).collect()
}

/// An address that no other node of these tests has; any port.
pub(crate) fn address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(1);
    let [high, low] = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    SocketAddr::from((Ipv4Addr::new(127, 77, high, low), 0))
}

/// Waits until it is so; tells what `is` if it never becomes so.
pub(crate) fn until(what: &str, mut so: impl FnMut() -> bool, is: impl Fn() -> String) {
    let start = Instant::now();
    while !so() {
        assert!(start.elapsed() < LONG, "{what}: {}", is());
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A node of ours. Dropped, it ends without a farewell.
pub(crate) struct Ours {
    pub(crate) name: String,
    pub(crate) gossip: Gossip,
    log: Arc<Mutex<Vec<(Instant, Record)>>>,
}

impl Ours {
    /// As [`Ours::start`], there.
    pub(crate) fn start_in(
        namespace: &Namespace,
        mode: Mode,
        name: &str,
        bind: SocketAddr,
    ) -> Self {
        namespace.enter(|| Self::start(mode, name, bind))
    }

    pub(crate) fn start(mode: Mode, name: &str, bind: SocketAddr) -> Self {
        let log = Arc::new(Mutex::new(Vec::new()));
        let start = Instant::now();
        let gossip = loop {
            let params = Params {
                name: Name::new(name).unwrap(),
                bind,
                key: mode.key(),
                limits: Limits {
                    loopback: true,
                    ..Limits::default()
                },
            };
            let journal: Journal = {
                let log = log.clone();
                Arc::new(move |record| log.lock().unwrap().push((Instant::now(), record)))
            };
            match Gossip::start(params, journal) {
                Ok(gossip) => break gossip,
                // The one that had the port before is still on its way out.
                Err(error) => assert!(start.elapsed() < LONG, "{error}"),
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        Self {
            name: name.to_owned(),
            gossip,
            log,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.gossip.address()
    }

    pub(crate) fn should_join(&self, peers: &[SocketAddr]) {
        self.gossip.peers(Some(peers.iter().copied().collect()));
    }

    pub(crate) fn members(&self) -> BTreeSet<String> {
        match &*self.gossip.standing().borrow() {
            Standing::Members(members) => members.iter().map(|name| name.to_string()).collect(),
            Standing::Joining | Standing::Unheard => BTreeSet::new(),
        }
    }

    /// How this one went, each time, and when.
    pub(crate) fn departed(&self, name: &str) -> Vec<(Instant, String)> {
        let log = self.log.lock().unwrap();
        let left = log.iter().filter(|(_, record)| {
            record.subject == Subject::Event("memberLeft")
                && record.fields.iter().any(|(_, value)| value == name)
        });
        left.filter_map(|(at, record)| {
            let (_, how) = record.fields.iter().find(|(field, _)| *field == "how")?;
            Some((*at, how.clone()))
        })
        .collect()
    }

    /// How this one went, each time.
    pub(crate) fn departures(&self, name: &str) -> Vec<String> {
        self.departed(name)
            .into_iter()
            .map(|(_, how)| how)
            .collect()
    }

    /// Whether its log has this.
    pub(crate) fn said(&self, event: &'static str) -> bool {
        let log = self.log.lock().unwrap();
        log.iter().any(|(_, record)| match record.subject {
            Subject::Event(said) | Subject::Op(said) => said == event,
        })
    }

    pub(crate) fn leave(&self) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(self.gossip.leave());
    }

    pub(crate) fn state(&self) -> String {
        format!(
            "{}: {:?}, {:?}, {:#?}",
            self.name,
            self.gossip.standing().borrow(),
            self.gossip.counters(),
            self.log.lock().unwrap()
        )
    }
}

/// What was written, and when it was read here.
type Lines = Arc<Mutex<Vec<(Instant, String)>>>;

/// A node by Go's memberlist. Dropped, it is killed.
pub(crate) struct Go {
    pub(crate) name: String,
    address: SocketAddr,
    child: Mutex<Child>,
    stdin: Mutex<ChildStdin>,
    said: Lines,
    log: Lines,
}

impl Drop for Go {
    fn drop(&mut self) {
        let child = self.child.get_mut().unwrap();
        // Either fails only if it has ended already.
        let _ = child.kill();
        let _ = child.wait();
    }
}

fn program() -> PathBuf {
    let cache = std::env::var_os("FERROLB_CACHE").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache/ferrolb"),
        PathBuf::from,
    );
    cache.join("memberlist-node")
}

fn collect(from: impl Read + Send + 'static) -> Lines {
    let lines = Lines::default();
    let into = lines.clone();
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            into.lock().unwrap().push((Instant::now(), line));
        }
    });
    lines
}

/// Waits until nobody has this port any more: the one that had it before may be on its way out.
fn until_free(at: SocketAddr) {
    until(
        &format!("{at} is free"),
        || TcpListener::bind(at).is_ok() && UdpSocket::bind(at).is_ok(),
        String::new,
    );
}

impl Go {
    pub(crate) fn start(mode: Mode, name: &str, bind: SocketAddr, join: &[SocketAddr]) -> Self {
        until_free(bind);
        Self::run(Command::new(program()), mode, name, bind, join)
    }

    /// As [`Go::start`], there.
    pub(crate) fn start_in(
        namespace: &Namespace,
        mode: Mode,
        name: &str,
        bind: SocketAddr,
        join: &[SocketAddr],
    ) -> Self {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &namespace.name])
            .arg(program());
        Self::run(command, mode, name, bind, join)
    }

    fn run(
        mut command: Command,
        mode: Mode,
        name: &str,
        bind: SocketAddr,
        join: &[SocketAddr],
    ) -> Self {
        let mut child = command
            .args(["-name", name, "-secret", mode.secret])
            .arg(format!("-bind={}", bind.ip()))
            .arg(format!("-port={}", bind.port()))
            .arg(format!("-compress={}", mode.compress))
            .args(join.iter().map(SocketAddr::to_string))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("{command:?}: {error}; run tests/interop/memberlist/build")
            });
        let mut node = Self {
            name: name.to_owned(),
            address: bind,
            stdin: Mutex::new(child.stdin.take().unwrap()),
            said: collect(child.stdout.take().unwrap()),
            log: collect(child.stderr.take().unwrap()),
            child: Mutex::new(child),
        };
        node.wait_for("up", 1);
        node.address = node.field("up", "address").last().unwrap().parse().unwrap();
        if !join.is_empty() {
            node.wait_for("joined", 1);
        }
        node
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it said of this kind, and when.
    fn told(&self, event: &str) -> Vec<(Instant, Value)> {
        let said = self.said.lock().unwrap();
        said.iter()
            .map(|(at, line)| (*at, serde_json::from_str::<Value>(line).unwrap()))
            .filter(|(_, value)| value["event"] == event)
            .collect()
    }

    fn events(&self, event: &str) -> Vec<Value> {
        self.told(event)
            .into_iter()
            .map(|(_, value)| value)
            .collect()
    }

    /// When it said this (`join`, `leave`, `update`) of that name.
    pub(crate) fn when(&self, event: &str, name: &str) -> Vec<Instant> {
        let told = self.told(event).into_iter();
        told.filter(|(_, value)| value["name"] == name)
            .map(|(at, _)| at)
            .collect()
    }

    /// When its first join was over.
    pub(crate) fn joined_at(&self) -> Instant {
        self.told("joined").first().unwrap().0
    }

    fn field(&self, event: &str, field: &str) -> Vec<String> {
        let events = self.events(event);
        events
            .iter()
            .filter_map(|value| value[field].as_str().map(str::to_owned))
            .collect()
    }

    fn wait_for(&self, event: &str, times: usize) {
        until(
            &format!("{}: {event}", self.name),
            || self.events(event).len() >= times,
            || self.state(),
        );
    }

    /// Its last word on this, after it was told that.
    fn ask(&self, command: &str, answer: &str) -> Value {
        let before = self.events(answer).len();
        writeln!(self.stdin.lock().unwrap(), "{command}").unwrap();
        self.wait_for(answer, before + 1);
        self.events(answer).pop().unwrap()
    }

    pub(crate) fn members(&self) -> BTreeSet<String> {
        let answer = self.ask("members", "members");
        let names = answer["names"].as_array().unwrap();
        names
            .iter()
            .map(|name| name.as_str().unwrap().to_owned())
            .collect()
    }

    /// How many a join reached.
    pub(crate) fn join(&self, address: SocketAddr) -> u64 {
        self.ask(&format!("join {address}"), "joined")["reached"]
            .as_u64()
            .unwrap()
    }

    /// How many all joins reached.
    pub(crate) fn reached(&self) -> u64 {
        let joins = self.events("joined");
        joins.iter().map(|l| l["reached"].as_u64().unwrap()).sum()
    }

    /// At which addresses this one became a member, in order.
    pub(crate) fn addresses_joined(&self, name: &str) -> Vec<SocketAddr> {
        let joins = self.events("join");
        joins
            .iter()
            .filter(|value| value["name"] == name)
            .map(|value| value["address"].as_str().unwrap().parse().unwrap())
            .collect()
    }

    /// Lines of its log with one of these words, and when they were written.
    pub(crate) fn log_with(&self, words: &[&str]) -> Vec<(Instant, String)> {
        let log = self.log.lock().unwrap();
        log.iter()
            .filter(|(_, line)| words.iter().any(|word| line.contains(word)))
            .cloned()
            .collect()
    }

    /// Lines of its log with one of these words.
    pub(crate) fn logged(&self, words: &[&str]) -> Vec<String> {
        self.log_with(words)
            .into_iter()
            .map(|(_, line)| line)
            .collect()
    }

    /// Lines of its log that say that something is wrong.
    pub(crate) fn complaints(&self) -> Vec<String> {
        self.logged(&["[ERR]", "[WARN]", "uspect", "Failed"])
    }

    /// To this process alone.
    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.child.lock().unwrap().id();
        let sent = Command::new("sh")
            .arg("-c")
            .arg(format!("kill -s {signal} {pid}"))
            .status();
        assert!(sent.unwrap().success(), "{}", self.state());
    }

    /// Stops it; returns when none of its threads runs any more.
    pub(crate) fn stop(&self) {
        self.signal("STOP");
        let tasks = format!("/proc/{}/task", self.child.lock().unwrap().id());
        let stopped = |task: std::fs::DirEntry| {
            // proc(5): number, name in brackets, state. A thread that is gone runs no more either.
            let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
            stat.rsplit_once(") ")
                .is_none_or(|(_, rest)| rest.starts_with('T'))
        };
        until(
            &format!("{} is stopped", self.name),
            || {
                let mut tasks = std::fs::read_dir(&tasks).unwrap();
                tasks.all(|task| stopped(task.unwrap()))
            },
            || self.state(),
        );
    }

    pub(crate) fn terminate(&self) {
        self.signal("TERM");
    }

    /// Waits for its end, which must be a good one.
    pub(crate) fn ended(&self) {
        until(
            &format!("the end of {}", self.name),
            || self.child.lock().unwrap().try_wait().unwrap().is_some(),
            || self.state(),
        );
        let status = self.child.lock().unwrap().wait().unwrap();
        assert!(status.success(), "{}", self.state());
    }

    pub(crate) fn state(&self) -> String {
        format!(
            "{}: {:#?}\n{:#?}",
            self.name,
            self.said.lock().unwrap(),
            self.log.lock().unwrap()
        )
    }
}
