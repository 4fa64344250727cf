//! A LAN of network namespaces: one switch, hosts with an address of each family.

use std::io;
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use crate::kernel::next_hops;
use crate::namespace::{Namespace, ip};

/// Generous: only a failing test waits that long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(45);

/// Waits until `condition` holds; fails with `state` otherwise.
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool, state: impl Fn() -> String) {
    let end = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < end, "never: {what}\n{}", state());
        pause();
    }
}

/// Holds for all of `time`: that nothing happens can only be waited for.
pub(crate) fn holds_for(
    time: Duration,
    what: &str,
    mut condition: impl FnMut() -> bool,
    state: impl Fn() -> String,
) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        assert!(condition(), "no longer: {what}\n{}", state());
        pause();
    }
}

/// The grain of waiting for a condition: each look may cost a process.
pub(crate) fn pause() {
    thread::sleep(Duration::from_millis(50));
}

impl Namespace {
    /// What a program inside says, whatever its status.
    pub(crate) fn says(&self, program: &str, arguments: &[&str]) -> String {
        let output = self.exec(program, arguments);
        String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr)
    }
}

/// A switch.
pub(crate) struct Lan {
    network: Network,
    switch: Namespace,
}

/// The numbers of a LAN.
#[derive(Debug, Clone, Copy)]
struct Network(u8);

impl Network {
    fn ip4(self, number: u8) -> String {
        format!("172.31.{}.{number}", self.0)
    }

    fn ip6(self, number: u8) -> String {
        match self.0 {
            0 => format!("fd31::{number:x}"),
            network => format!("fd31:0:0:{network:x}::{number:x}"),
        }
    }
}

impl Lan {
    pub(crate) fn new() -> Self {
        Self::of(Network(0))
    }

    /// Another one: 172.31.1.0/24, fd31:0:0:1::/64.
    pub(crate) fn second() -> Self {
        Self::of(Network(1))
    }

    fn of(network: Network) -> Self {
        let switch = Namespace::new("switch");
        // No spanning tree, no snooping: a plain switch.
        switch.ip("link add br0 type bridge mcast_snooping 0");
        switch.ip("link set br0 up");
        Self { network, switch }
    }

    /// A host at the switch: 172.31.0.`number` and fd31::`number` (in hexadecimal), interface `eth0`.
    pub(crate) fn host(&self, number: u8) -> Host {
        let namespace = Namespace::new(&format!("h{number}"));
        self.cable(&namespace, "eth0", number);
        Host {
            network: self.network,
            number,
            namespace,
        }
    }

    fn cable(&self, namespace: &Namespace, interface: &str, number: u8) {
        let network = self.network;
        ip(&format!(
            "link add name p{number} netns {} type veth peer name {interface} netns {} address 02:00:00:00:{:02x}:{number:02x}",
            self.switch.name, namespace.name, network.0,
        ));
        self.switch.ip(&format!("link set p{number} master br0 up"));
        namespace.ip(&format!("link set {interface} up"));
        let (ip4, ip6) = (network.ip4(number), network.ip6(number));
        namespace.ip(&format!("address add {ip4}/24 dev {interface}"));
        namespace.ip(&format!("address add {ip6}/64 dev {interface} nodad"));
    }

    /// Pulls a host's cable out of the switch, or puts it back. The host's own interface stays up: only packets are lost.
    pub(crate) fn plug(&self, number: u8, plugged: bool) {
        let bridge = if plugged { "master br0" } else { "nomaster" };
        self.switch.ip(&format!("link set p{number} {bridge}"));
    }
}

/// A router between two LANs, as number [`GATEWAY`] of each.
pub(crate) struct Gateway {
    _namespace: Namespace,
}

/// The number of a [`Gateway`].
pub(crate) const GATEWAY: u8 = 1;

impl Gateway {
    pub(crate) fn between(one: &Lan, other: &Lan) -> Self {
        let namespace = Namespace::new("gateway");
        namespace.write("net/ipv4/ip_forward", "1");
        namespace.write("net/ipv6/conf/all/forwarding", "1");
        one.cable(&namespace, "eth0", GATEWAY);
        other.cable(&namespace, "eth1", GATEWAY);
        Self {
            _namespace: namespace,
        }
    }
}

/// A host at the switch.
pub(crate) struct Host {
    network: Network,
    pub(crate) number: u8,
    pub(crate) namespace: Namespace,
}

impl Host {
    pub(crate) fn ip4(&self) -> String {
        self.network.ip4(self.number)
    }

    pub(crate) fn ip6(&self) -> String {
        self.network.ip6(self.number)
    }

    pub(crate) fn link_local(&self) -> String {
        let end = u16::from_be_bytes([self.network.0, self.number]);
        format!("fe80::ff:fe00:{end:x}")
    }

    /// The way to the hosts of another LAN, through the [`Gateway`].
    pub(crate) fn route_to(&self, other: &Lan) {
        for (to, gateway) in [
            (other.network.ip4(0) + "/24", self.network.ip4(GATEWAY)),
            (other.network.ip6(0) + "/64", self.network.ip6(GATEWAY)),
        ] {
            self.namespace.ip(&format!("route add {to} via {gateway}"));
        }
    }

    /// Next hops of the route in the kernel's table.
    pub(crate) fn next_hops(&self, prefix: &str) -> Vec<String> {
        let family = if prefix.contains(':') { "-6" } else { "-4" };
        let prefix = prefix.trim_end_matches("/32").trim_end_matches("/128");
        next_hops(
            &self
                .namespace
                .says("ip", &[family, "route", "show", prefix]),
        )
    }
}

/// A process that is killed with its guard.
pub(crate) struct Process(Child);

impl Process {
    pub(crate) fn new(mut command: Command) -> Self {
        Self(
            command
                .spawn()
                .unwrap_or_else(|error| panic!("{command:?}: {error}")),
        )
    }

    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.0
    }

    #[expect(unsafe_code, reason = "kill")]
    pub(crate) fn signal(&self, signal: i32) {
        let pid = libc::pid_t::try_from(self.0.id()).unwrap();
        // SAFETY: a child that was not waited for: the number is its.
        let result = unsafe { libc::kill(pid, signal) };
        assert_eq!(result, 0, "kill: {}", io::Error::last_os_error());
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }

    /// Sends a signal and waits for the end.
    pub(crate) fn end(&mut self, signal: i32) {
        if self.is_running() {
            self.signal(signal);
        }
        let end = Instant::now() + PATIENCE;
        while self.is_running() {
            assert!(Instant::now() < end, "it does not end");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
