//! `ferrolb standalone` in a host of the LAN, its folder of manifests, its log and its metrics.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::TcpStream;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use crate::lan::{Host, Process, until};

/// A Service to announce.
#[derive(Debug, Clone)]
pub(crate) struct Service {
    name: String,
    /// The addresses it asks for.
    addresses: Vec<String>,
    local: bool,
    port: u16,
    shared: bool,
}

impl Service {
    pub(crate) fn new(name: &str, address: &str) -> Self {
        Self {
            name: name.to_owned(),
            addresses: vec![address.to_owned()],
            local: false,
            port: 80,
            shared: false,
        }
    }

    /// A second address, of the other family.
    pub(crate) fn and(mut self, address: &str) -> Self {
        self.addresses.push(address.to_owned());
        self
    }

    /// externalTrafficPolicy Local.
    pub(crate) fn local(mut self) -> Self {
        self.local = true;
        self
    }

    pub(crate) fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Shares its address with others that do.
    pub(crate) fn shared(mut self) -> Self {
        self.shared = true;
        self
    }

    /// The manifest.
    pub(crate) fn manifest(&self) -> String {
        let mut text = format!(
            "apiVersion: v1\nkind: Service\nmetadata:\n  name: {}\n  annotations:\n    metallb.universe.tf/loadBalancerIPs: \"{}\"\n",
            self.name,
            self.addresses.join(",")
        );
        if self.shared {
            text += "    metallb.universe.tf/allow-shared-ip: key\n";
        }
        let policy = if self.local { "Local" } else { "Cluster" };
        writeln!(
            text,
            "spec:\n  type: LoadBalancer\n  externalTrafficPolicy: {policy}\n  ports: [{{port: {}}}]",
            self.port
        )
        .unwrap();
        if self.addresses.len() == 2 {
            text += "  ipFamilyPolicy: RequireDualStack\n  ipFamilies: [IPv4, IPv6]\n";
        }
        text
    }
}

/// The manifest of a Service's Endpoints: nodes with a ready one, and with one that is not ready.
pub(crate) fn endpoints(service: &str, ready: &[&str], not_ready: &[&str]) -> String {
    let addresses = |nodes: &[&str], net: u8| {
        let addresses: Vec<String> = nodes
            .iter()
            .enumerate()
            .map(|(number, node)| format!("{{ip: 10.1.{net}.{}, nodeName: {node}}}", number + 1))
            .collect();
        addresses.join(", ")
    };
    format!(
        "apiVersion: v1\nkind: Endpoints\nmetadata: {{name: {service}}}\nsubsets:\n- addresses: [{}]\n  notReadyAddresses: [{}]\n  ports: [{{port: 80}}]\n",
        addresses(ready, 0),
        addresses(not_ready, 1)
    )
}

/// A pool of both families, as `config` has it.
pub(crate) const POOL: &str = "\
address-pools:
- name: web
  protocol: bgp
  addresses: [10.80.0.0/16, 'fd80::/64']
";

/// BFD's intervals in milliseconds, receive and transmit, and its multiplier: three would do on a machine that has nothing else
/// to do.
pub(crate) const FAST: [u32; 3] = [50, 50, 10];

/// The BFD profile `fast` with these numbers.
pub(crate) fn bfd_profile([receive, transmit, multiplier]: [u32; 3]) -> String {
    format!(
        "bfd-profiles:\n- name: fast\n  receive-interval: {receive}\n  transmit-interval: {transmit}\n  detect-multiplier: {multiplier}\n"
    )
}

/// A ConfigMap's `config`: these peers (items of the list), and [`POOL`].
pub(crate) fn config(peers: &[String]) -> String {
    format!("peers:\n{}{POOL}", peers.concat())
}

/// An item of `peers`, with more fields where wanted.
pub(crate) fn peer(my_asn: u32, peer_asn: u32, address: &str, more: &[&str]) -> String {
    let mut text =
        format!("- my-asn: {my_asn}\n  peer-asn: {peer_asn}\n  peer-address: '{address}'\n");
    for field in more {
        writeln!(text, "  {field}").unwrap();
    }
    text
}

/// A folder of manifests.
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new(config: &str, settings: &str) -> Self {
        let folder = Self(
            tempfile::Builder::new()
                .prefix("ferrolb-bgp-")
                .tempdir()
                .unwrap(),
        );
        folder.config(config, settings);
        folder
    }

    pub(crate) fn path(&self) -> &str {
        self.0.path().to_str().unwrap()
    }

    /// The ConfigMap: the key `config`, and the key `ferrolb` unless it is empty.
    pub(crate) fn config(&self, config: &str, settings: &str) {
        let block =
            |text: &str| -> String { text.lines().map(|line| format!("    {line}\n")).collect() };
        let mut text = format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: config, namespace: metallb-system}}\ndata:\n  config: |\n{}",
            block(config)
        );
        if !settings.is_empty() {
            text += "  ferrolb: |\n";
            text += &block(settings);
        }
        self.write("config.yaml", &text);
    }

    /// As editors and configuration management write: a new file in the old one's place.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let new = self.0.path().join(format!(".{name}.new"));
        fs::write(&new, text).unwrap();
        fs::rename(new, self.0.path().join(name)).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.path().join(name)).unwrap()
    }

    pub(crate) fn remove(&self, name: &str) {
        fs::remove_file(self.0.path().join(name)).unwrap();
    }

    pub(crate) fn service(&self, service: &Service) {
        self.write(
            &format!("service-{}.yaml", service.name),
            &service.manifest(),
        );
    }

    pub(crate) fn no_service(&self, name: &str) {
        self.remove(&format!("service-{name}.yaml"));
    }

    pub(crate) fn endpoints(&self, service: &str, ready: &[&str], not_ready: &[&str]) {
        self.write(
            &format!("endpoints-{service}.yaml"),
            &endpoints(service, ready, not_ready),
        );
    }

    /// A node with these labels.
    pub(crate) fn node(&self, name: &str, labels: &[(&str, &str)]) {
        let labels: Vec<String> = labels
            .iter()
            .map(|(key, value)| format!("{key}: '{value}'"))
            .collect();
        self.write(
            &format!("node-{name}.yaml"),
            &format!(
                "apiVersion: v1\nkind: Node\nmetadata: {{name: {name}, labels: {{{}}}}}\n",
                labels.join(", ")
            ),
        );
    }
}

/// A running instance.
pub(crate) struct Speaker {
    // Before the host: it lives in it.
    process: Process,
    log: Arc<Mutex<Vec<String>>>,
    pub(crate) folder: Folder,
    host: Host,
}

impl Drop for Speaker {
    fn drop(&mut self) {
        if thread::panicking() {
            println!("-- node-{}:\n{}", self.host.number - 10, self.state());
        }
    }
}

fn read(pipe: impl Read + Send + 'static, log: &Arc<Mutex<Vec<String>>>) {
    let log = Arc::clone(log);
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            log.lock().unwrap().push(line);
        }
    });
}

fn spawn(host: &Host, folder: &Folder, log: &Arc<Mutex<Vec<String>>>) -> Process {
    let mut command = host.namespace.command(env!("CARGO_BIN_EXE_ferrolb"));
    command
        .args(["standalone", folder.path(), "--log-level", "debug"])
        .args(["--node-name", &format!("node-{}", host.number - 10)])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut process = Process::new(command);
    read(process.child().stdout.take().unwrap(), log);
    read(process.child().stderr.take().unwrap(), log);
    process
}

impl Speaker {
    /// Starts it: the host number 11 is node-1, and so on.
    pub(crate) fn start(host: Host, folder: Folder) -> Self {
        let log = Arc::default();
        let process = spawn(&host, &folder, &log);
        Self {
            process,
            log,
            folder,
            host,
        }
    }

    pub(crate) fn host(&self) -> &Host {
        &self.host
    }

    pub(crate) fn ip4(&self) -> String {
        self.host.ip4()
    }

    pub(crate) fn ip6(&self) -> String {
        self.host.ip6()
    }

    pub(crate) fn pid(&mut self) -> u32 {
        self.process.child().id()
    }

    pub(crate) fn freeze(&self, frozen: bool) {
        self.signal(if frozen { libc::SIGSTOP } else { libc::SIGCONT });
    }

    pub(crate) fn signal(&self, signal: i32) {
        self.process.signal(signal);
    }

    /// Ends it by this signal, and waits for that.
    pub(crate) fn end(&mut self, signal: i32) {
        self.process.end(signal);
    }

    /// Starts it again, with an empty log.
    pub(crate) fn restart(&mut self) {
        self.log = Arc::default();
        self.process = spawn(&self.host, &self.folder, &self.log);
    }

    /// All lines so far.
    pub(crate) fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// Lines with all these words.
    pub(crate) fn lines(&self, words: &[&str]) -> Vec<String> {
        let mut lines = self.log();
        lines.retain(|line| words.iter().all(|word| line.contains(word)));
        lines
    }

    /// Waits for a line with all these words.
    pub(crate) fn logs(&self, words: &[&str]) -> String {
        until(
            &format!("a line with {words:?}"),
            || !self.lines(words).is_empty(),
            || self.state(),
        );
        self.lines(words).pop().unwrap()
    }

    /// What a reader of a failed test wants.
    pub(crate) fn state(&self) -> String {
        self.log().join("\n")
    }

    /// The text of /metrics; empty if it does not answer.
    pub(crate) fn metrics(&self) -> String {
        let text = self.host.namespace.enter(|| -> std::io::Result<String> {
            let mut stream = TcpStream::connect("127.0.0.1:7472")?;
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
            let mut text = String::new();
            stream.read_to_string(&mut text)?;
            Ok(text)
        });
        text.unwrap_or_default()
    }

    /// A metric of a peer (`address:port`).
    pub(crate) fn metric(&self, name: &str, peer: &str) -> Option<u64> {
        let start = format!("{name}{{peer=\"{peer}\"}} ");
        self.metrics()
            .lines()
            .find_map(|line| line.strip_prefix(&start)?.parse().ok())
    }

    /// Waits for a metric of a peer.
    pub(crate) fn counts(&self, name: &str, peer: &str, value: u64) {
        until(
            &format!("{name} of {peer} is {value}"),
            || self.metric(name, peer) == Some(value),
            || format!("{}\n{}", self.metrics(), self.state()),
        );
    }

    /// Whether the process still runs.
    pub(crate) fn is_running(&mut self) -> bool {
        self.process.is_running()
    }

    /// The memory that is its own, in KiB.
    pub(crate) fn resident(&mut self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|value| value.split_whitespace().next())
            .and_then(|value| value.parse().ok())
            .unwrap()
    }
}
