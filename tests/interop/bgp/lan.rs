//! A LAN of network namespaces: one switch, hosts with an address of each family.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsRawFd;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

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

/// Runs a program; fails the test with what it said.
pub(crate) fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}{}",
        String::from_utf8_lossy(&output.stderr),
        String::from_utf8_lossy(&output.stdout),
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn ip(arguments: &str) {
    run("ip", &arguments.split_whitespace().collect::<Vec<_>>());
}

/// A network namespace that goes with its guard.
pub(crate) struct Namespace {
    pub(crate) name: String,
}

impl Namespace {
    fn new(role: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("flbgp-{}-{count}-{role}", std::process::id());
        ip(&format!("netns add {name}"));
        let namespace = Self { name };
        // Link-local addresses at once.
        namespace.write("net/ipv6/conf/default/accept_dad", "0");
        namespace.write("net/ipv6/conf/all/accept_dad", "0");
        namespace.ip("link set lo up");
        namespace
    }

    pub(crate) fn ip(&self, arguments: &str) {
        ip(&format!("-n {} {arguments}", self.name));
    }

    /// Writes a sysctl.
    pub(crate) fn write(&self, sysctl: &str, value: &str) {
        let path = format!("/proc/sys/{sysctl}");
        self.enter(|| {
            File::options()
                .write(true)
                .open(&path)
                .and_then(|mut file| file.write_all(value.as_bytes()))
        })
        .unwrap_or_else(|error| panic!("{path}: {error}"));
    }

    /// A program inside; it becomes the process itself.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &self.name, program])
            .stdin(Stdio::null());
        command
    }

    /// What a program inside says, whatever its status.
    pub(crate) fn exec(&self, program: &str, arguments: &[&str]) -> String {
        let output = self
            .command(program)
            .args(arguments)
            .output()
            .unwrap_or_else(|error| panic!("{program}: {error}"));
        String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr)
    }

    /// Runs `work` in a thread of its own inside of the namespace (threads that it starts are inside, too).
    #[expect(unsafe_code, reason = "setns")]
    pub(crate) fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let path = format!("/run/netns/{}", self.name);
        thread::scope(|scope| {
            let inside = scope.spawn(|| {
                let namespace = File::open(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
                // SAFETY: changes the namespace of this thread alone, which ends with the closure.
                let result = unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) };
                assert_eq!(result, 0, "setns: {}", io::Error::last_os_error());
                work()
            });
            inside
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip")
            .args(["netns", "del", &self.name])
            .status();
    }
}

/// A switch.
pub(crate) struct Lan {
    switch: Namespace,
}

impl Lan {
    pub(crate) fn new() -> Self {
        let switch = Namespace::new("switch");
        // No spanning tree, no snooping: a plain switch.
        switch.ip("link add br0 type bridge mcast_snooping 0");
        switch.ip("link set br0 up");
        Self { switch }
    }

    /// A host at the switch: 172.31.0.`number` and fd31::`number` (in hexadecimal), interface `eth0`.
    pub(crate) fn host(&self, number: u8) -> Host {
        let namespace = Namespace::new(&format!("h{number}"));
        ip(&format!(
            "link add name p{number} netns {} type veth peer name eth0 netns {} address 02:00:00:00:00:{number:02x}",
            self.switch.name, namespace.name,
        ));
        self.switch.ip(&format!("link set p{number} master br0 up"));
        namespace.ip("link set eth0 up");
        namespace.ip(&format!("address add 172.31.0.{number}/24 dev eth0"));
        namespace.ip(&format!("address add fd31::{number:x}/64 dev eth0 nodad"));
        Host { number, namespace }
    }

    /// Pulls a host's cable out of the switch, or puts it back. The host's own interface stays up: only packets are lost.
    pub(crate) fn plug(&self, number: u8, plugged: bool) {
        let bridge = if plugged { "master br0" } else { "nomaster" };
        self.switch.ip(&format!("link set p{number} {bridge}"));
    }
}

/// A host at the switch.
pub(crate) struct Host {
    pub(crate) number: u8,
    pub(crate) namespace: Namespace,
}

impl Host {
    pub(crate) fn ip4(&self) -> String {
        format!("172.31.0.{}", self.number)
    }

    pub(crate) fn ip6(&self) -> String {
        format!("fd31::{:x}", self.number)
    }

    pub(crate) fn link_local(&self) -> String {
        format!("fe80::ff:fe00:{:x}", self.number)
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
