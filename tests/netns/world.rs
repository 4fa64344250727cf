//! A small LAN of network namespaces, and raw sockets to look at it with.

use std::io;
use std::os::fd::AsRawFd;
use std::thread;
use std::time::{Duration, Instant};

use ferrolb::layer2::driver::{Layer2, Params};
use ferrolb::layer2::{self, Report};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tokio::sync::mpsc::{self, Receiver};

#[path = "../support/namespace.rs"]
pub(crate) mod namespace;

pub(crate) use namespace::{Namespace, ip};

/// Generous: only a failing test waits that long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) type Mac = [u8; 6];
pub(crate) const BROADCAST: Mac = [0xff; 6];
/// The client's and the host's addresses on the first LAN.
pub(crate) const CLIENT: Mac = [2, 0, 0, 0, 0, 0xc1];
pub(crate) const HOST: Mac = [2, 0, 0, 0, 0, 0xa1];

pub(crate) fn now() -> Instant {
    #![expect(
        clippy::disallowed_methods,
        reason = "tests of real sockets live in real time"
    )]
    Instant::now()
}

pub(crate) fn mac(mac: Mac) -> String {
    mac.map(|octet| format!("{octet:02x}")).join(":")
}

impl Namespace {
    /// Bridges forward frames without asking a firewall.
    pub(crate) fn unfilter_bridges(&self) {
        for family in ["arptables", "iptables", "ip6tables"] {
            let sysctl = format!("net/bridge/bridge-nf-call-{family}");
            // Without br_netfilter there is no such setting, and no firewall.
            let asked = self.exec("test", &["-e", &format!("/proc/sys/{sysctl}")]);
            if asked.status.success() {
                self.write(&sysctl, "0");
            }
        }
    }

    pub(crate) fn index(&self, interface: &str) -> u32 {
        let path = format!("/sys/class/net/{interface}/ifindex");
        let output = self.exec("cat", &[&path]);
        String::from_utf8_lossy(&output.stdout)
            .trim()
            .parse()
            .unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Starts layer 2 in the namespace.
    pub(crate) fn layer2(&self, params: Params) -> Running {
        let (sender, reports) = mpsc::channel(1000);
        let layer2 = self.enter(|| Layer2::start(params, sender)).unwrap();
        Running {
            layer2,
            reports,
            seen: Vec::new(),
        }
    }

    /// A raw socket on an interface that sees every frame.
    pub(crate) fn tap(&self, interface: &str) -> Tap {
        let index = self.index(interface);
        self.enter(|| Tap::open(index))
    }
}

/// Two namespaces on one cable: `eth0` on both ends.
pub(crate) struct Lan {
    pub(crate) host: Namespace,
    pub(crate) client: Namespace,
}

impl Lan {
    pub(crate) fn new() -> Self {
        let lan = Self {
            host: Namespace::new("host"),
            client: Namespace::new("client"),
        };
        lan.cable("eth0", HOST, CLIENT);
        lan
    }

    /// Lays a cable between interfaces of the same name and switches both ends on.
    pub(crate) fn cable(&self, name: &str, host: Mac, client: Mac) {
        ip(&format!(
            "link add name {name} netns {} address {} type veth peer name {name} netns {} address {}",
            self.host.name,
            mac(host),
            self.client.name,
            mac(client),
        ));
        self.client.ip(&format!("link set {name} up"));
        self.host.ip(&format!("link set {name} up"));
    }
}

/// Layer 2 at work in a namespace.
pub(crate) struct Running {
    pub(crate) layer2: Layer2,
    reports: Receiver<Report>,
    seen: Vec<Report>,
}

impl Running {
    pub(crate) fn announce(&self, ip: &str) {
        self.layer2
            .send(layer2::Command::Announce(ip.parse().unwrap()));
    }

    pub(crate) fn withdraw(&self, ip: &str) {
        self.layer2
            .send(layer2::Command::Withdraw(ip.parse().unwrap()));
    }

    pub(crate) fn hand_over(&self) {
        self.layer2.send(layer2::Command::HandOver);
    }

    /// Waits for a report, and takes it.
    pub(crate) fn report<T>(
        &mut self,
        what: &str,
        mut wanted: impl FnMut(&Report) -> Option<T>,
    ) -> T {
        let end = now() + PATIENCE;
        loop {
            self.take();
            if let Some((at, found)) = self
                .seen
                .iter()
                .enumerate()
                .find_map(|(at, report)| Some((at, wanted(report)?)))
            {
                self.seen.remove(at);
                return found;
            }
            assert!(
                now() < end,
                "no report of {what}; there were {:#?}",
                self.seen
            );
            pause();
        }
    }

    /// Waits for the log line `event` about `interface`.
    pub(crate) fn logged(&mut self, event: &str, interface: &str) {
        self.report(event, |report| match report {
            Report::Log(record) => (record.subject
                == ferrolb::journal::Subject::Event(match event {
                    "createARPResponder" => "createARPResponder",
                    "deleteARPResponder" => "deleteARPResponder",
                    "createNDPResponder" => "createNDPResponder",
                    "deleteNDPResponder" => "deleteNDPResponder",
                    other => panic!("unexpected event {other}"),
                })
                && record.fields.contains(&("interface", interface.to_owned())))
            .then_some(()),
            _ => None,
        });
    }

    /// That stations are told is no news to people.
    fn take(&mut self) {
        while let Ok(report) = self.reports.try_recv() {
            if !matches!(report, Report::Stations(_)) {
                self.seen.push(report);
            }
        }
    }

    /// What is waiting now, without waiting for more.
    pub(crate) fn reports(&mut self) -> Vec<Report> {
        self.take();
        std::mem::take(&mut self.seen)
    }

    pub(crate) fn counters(&self, ip: &str) -> layer2::Counters {
        let ip = ip.parse::<std::net::IpAddr>().unwrap();
        self.layer2
            .counters()
            .into_iter()
            .find(|(other, _)| *other == ip)
            .map(|(_, counters)| counters)
            .unwrap_or_default()
    }
}

/// The grain of waiting for a condition.
pub(crate) fn pause() {
    #![expect(
        clippy::disallowed_methods,
        reason = "tests of real sockets live in real time"
    )]
    thread::sleep(Duration::from_millis(2));
}

/// Waits until `condition` holds.
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let end = now() + PATIENCE;
    while !condition() {
        assert!(now() < end, "never: {what}");
        pause();
    }
}

/// Room for bursts of thousands, beyond net.core.rmem_max.
#[expect(unsafe_code, reason = "SO_RCVBUFFORCE")]
fn widen(socket: &Socket, octets: libc::c_int) {
    // SAFETY: the kernel reads an int that lives through the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_RCVBUFFORCE,
            std::ptr::from_ref(&octets).cast(),
            u32::try_from(size_of::<libc::c_int>()).unwrap(),
        )
    };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
}

/// A raw socket.
pub(crate) struct Tap {
    socket: Socket,
}

impl Tap {
    #[expect(unsafe_code, reason = "sockaddr_ll")]
    fn open(index: u32) -> Self {
        let all = u16::try_from(libc::ETH_P_ALL).unwrap();
        let socket = Socket::new(
            Domain::PACKET,
            Type::RAW.cloexec(),
            Some(Protocol::from(i32::from(all.to_be()))),
        )
        .unwrap();
        widen(&socket, 64 << 20);
        // SAFETY: a sockaddr_ll fits into the storage, and its length is given.
        let ((), address) = unsafe {
            SockAddr::try_init(|storage, length| {
                let address = storage.cast::<libc::sockaddr_ll>();
                (*address).sll_family = u16::try_from(libc::AF_PACKET).unwrap();
                (*address).sll_protocol = all.to_be();
                (*address).sll_ifindex = i32::try_from(index).unwrap();
                *length = u32::try_from(size_of::<libc::sockaddr_ll>()).unwrap();
                Ok(())
            })
        }
        .unwrap();
        socket.bind(&address).unwrap();
        Self { socket }
    }

    pub(crate) fn send(&self, frame: &[u8]) {
        self.socket.send(frame).unwrap();
    }

    /// The next frame of others before `end`.
    #[expect(unsafe_code, reason = "recvfrom with a sockaddr_ll")]
    fn next(&self, end: Instant) -> Option<Vec<u8>> {
        let mut buffer = vec![0_u8; 2048];
        loop {
            let left = end
                .checked_duration_since(now())?
                .max(Duration::from_millis(1));
            self.socket.set_read_timeout(Some(left)).unwrap();
            // SAFETY: recvfrom writes a sockaddr_ll of the length given, and at most the buffer.
            let received = unsafe {
                SockAddr::try_init(|storage, length| {
                    let received = libc::recvfrom(
                        self.socket.as_raw_fd(),
                        buffer.as_mut_ptr().cast(),
                        buffer.len(),
                        0,
                        storage.cast(),
                        length,
                    );
                    usize::try_from(received).map_err(|_| io::Error::last_os_error())
                })
            };
            let Ok((received, sender)) = received else {
                continue;
            };
            // SAFETY: the storage of a SockAddr is larger than a sockaddr_ll.
            let kind = unsafe { (*sender.as_ptr().cast::<libc::sockaddr_ll>()).sll_pkttype };
            if kind != libc::PACKET_OUTGOING {
                buffer.truncate(received);
                return Some(buffer);
            }
        }
    }

    /// The first frame that `wanted` makes something of; others are passed over.
    pub(crate) fn find<T>(&self, what: &str, mut wanted: impl FnMut(&[u8]) -> Option<T>) -> T {
        let end = now() + PATIENCE;
        while let Some(frame) = self.next(end) {
            if let Some(found) = wanted(&frame) {
                return found;
            }
        }
        panic!("no {what} within {PATIENCE:?}");
    }

    /// Forgets what came up to now.
    pub(crate) fn drain(&self) {
        let mut buffer = [0_u8; 64];
        self.socket.set_nonblocking(true).unwrap();
        while io::Read::read(&mut &self.socket, &mut buffer).is_ok() {}
        self.socket.set_nonblocking(false).unwrap();
    }

    /// All frames that `wanted` makes something of, until `end`.
    pub(crate) fn collect<T>(
        &self,
        end: Instant,
        mut wanted: impl FnMut(&[u8]) -> Option<T>,
    ) -> Vec<(Instant, T)> {
        std::iter::from_fn(|| self.next(end))
            .filter_map(|frame| Some((now(), wanted(&frame)?)))
            .collect()
    }
}
