//! Network namespaces, and what runs in them.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsRawFd as _;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

/// Runs `ip`; fails the test with what it said.
pub(crate) fn ip(arguments: &str) {
    run("ip", &arguments.split_whitespace().collect::<Vec<_>>());
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

/// A network namespace that goes with its guard.
pub(crate) struct Namespace {
    pub(crate) name: String,
}

impl Namespace {
    pub(crate) fn new(role: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("fl-{}-{count}-{role}", std::process::id());
        ip(&format!("netns add {name}"));
        let namespace = Self { name };
        // Link-local addresses at once; else no addresses but those that it is given, whatever routers advertise (FRR can).
        for interfaces in ["default", "all"] {
            namespace.write(&format!("net/ipv6/conf/{interfaces}/accept_dad"), "0");
            namespace.write(&format!("net/ipv6/conf/{interfaces}/accept_ra"), "0");
        }
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

    /// What a program inside says and how it ends.
    pub(crate) fn exec(&self, program: &str, arguments: &[&str]) -> Output {
        self.command(program)
            .args(arguments)
            .output()
            .unwrap_or_else(|error| panic!("{program}: {error}"))
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
