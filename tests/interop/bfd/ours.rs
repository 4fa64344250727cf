//! Our end, and the network between.

use std::time::{Duration, Instant};

use ferrolb::bfd::driver::{Bfd, Figures};
use ferrolb::bfd::{Command, Params, Peer, Reason, Report};
use ferrolb::journal::{Record, Subject};
use tokio::sync::mpsc::{self, Receiver};

use crate::world::{Namespace, PATIENCE, ip, now, pause};

/// 100 ms five times: fast, and yet a machine that is busy with other tests keeps up.
pub(crate) fn fast() -> Params {
    Params {
        receive_interval: Duration::from_millis(100),
        transmit_interval: Duration::from_millis(100),
        detect_multiplier: 5,
        ..Params::default()
    }
}

pub(crate) fn peer(address: &str) -> Peer {
    Peer {
        address: address.parse().unwrap(),
        source: None,
        interface: None,
        multihop: false,
    }
}

/// Two hosts on a switch that can be cut without either seeing its link go.
pub(crate) struct Wire {
    pub(crate) ours: Namespace,
    pub(crate) theirs: Namespace,
    switch: Namespace,
}

impl Wire {
    /// 192.0.2.1 and 2001:db8::1 are ours, .2 and ::2 theirs; fe80::1 and fe80::2 as well.
    pub(crate) fn new() -> Self {
        let wire = Self {
            ours: Namespace::new("ours"),
            theirs: Namespace::new("theirs"),
            switch: Namespace::new("switch"),
        };
        wire.switch.ip("link add br0 type bridge");
        wire.switch.ip("link set br0 up");
        for (end, port, number) in [(&wire.ours, "ours", 1), (&wire.theirs, "theirs", 2)] {
            ip(&format!(
                "link add name eth0 netns {} type veth peer name {port} netns {}",
                end.name, wire.switch.name
            ));
            wire.switch.ip(&format!("link set {port} master br0 up"));
            end.ip("link set eth0 addrgenmode none");
            end.ip("link set eth0 up");
            end.ip(&format!("addr add 192.0.2.{number}/24 dev eth0"));
            end.ip(&format!("addr add 2001:db8::{number}/64 dev eth0 nodad"));
            end.ip(&format!("addr add fe80::{number}/64 dev eth0 nodad"));
        }
        wire
    }

    pub(crate) fn cut(&self) {
        self.switch.ip("link set ours nomaster");
    }

    pub(crate) fn mend(&self) {
        self.switch.ip("link set ours master br0");
    }
}

/// Two hosts with a router between them.
pub(crate) struct Routed {
    pub(crate) ours: Namespace,
    pub(crate) theirs: Namespace,
    _router: Namespace,
}

impl Routed {
    /// 192.0.2.1 and 2001:db8:0:1::1 are ours, 198.51.100.2 and 2001:db8:0:2::2 theirs.
    pub(crate) fn new() -> Self {
        let routed = Self {
            ours: Namespace::new("ours"),
            theirs: Namespace::new("theirs"),
            _router: Namespace::new("router"),
        };
        let router = &routed._router;
        router.write("net/ipv4/ip_forward", "1");
        router.write("net/ipv6/conf/all/forwarding", "1");
        for (end, port, net4, net6, number) in [
            (&routed.ours, "ours", "192.0.2", "2001:db8:0:1", 1),
            (&routed.theirs, "theirs", "198.51.100", "2001:db8:0:2", 2),
        ] {
            ip(&format!(
                "link add name eth0 netns {} type veth peer name {port} netns {}",
                end.name, router.name
            ));
            router.ip(&format!("link set {port} up"));
            router.ip(&format!("addr add {net4}.254/24 dev {port}"));
            router.ip(&format!("addr add {net6}::fe/64 dev {port} nodad"));
            end.ip("link set eth0 up");
            end.ip(&format!("addr add {net4}.{number}/24 dev eth0"));
            end.ip(&format!("addr add {net6}::{number}/64 dev eth0 nodad"));
            end.ip(&format!("route add default via {net4}.254"));
            end.ip(&format!("-6 route add default via {net6}::fe"));
        }
        routed
    }
}

/// Our BFD in a namespace.
pub(crate) struct Ours {
    pub(crate) bfd: Option<Bfd>,
    reports: Receiver<Report>,
    pub(crate) records: Vec<Record>,
    /// Ups and Downs that nobody has asked for yet.
    pub(crate) seen: Vec<(Instant, Report)>,
}

impl Ours {
    pub(crate) fn start(namespace: &Namespace) -> Self {
        namespace.enter(Self::start_here)
    }

    /// In the calling thread's namespace, with the calling thread's rights.
    pub(crate) fn start_here() -> Self {
        let (sender, reports) = mpsc::channel(100);
        Self {
            bfd: Some(Bfd::start(sender).unwrap()),
            reports,
            records: Vec::new(),
            seen: Vec::new(),
        }
    }

    pub(crate) fn want(&self, peer: &Peer, params: Params) {
        self.send(Command::Session(peer.clone(), params));
    }

    pub(crate) fn send(&self, command: Command) {
        self.bfd.as_ref().unwrap().send(command);
    }

    fn collect(&mut self) {
        while let Ok(report) = self.reports.try_recv() {
            match report {
                Report::Log(record) => self.records.push(record),
                report => self.seen.push((now(), report)),
            }
        }
    }

    /// Waits for the next Up or Down.
    pub(crate) fn next(&mut self, what: &str) -> (Instant, Report) {
        let end = now() + PATIENCE;
        loop {
            self.collect();
            if !self.seen.is_empty() {
                return self.seen.remove(0);
            }
            assert!(
                now() < end,
                "{what}: nothing happened; {:?}; {:?}",
                self.records,
                self.bfd.as_ref().map(Bfd::drops)
            );
            pause();
        }
    }

    pub(crate) fn comes_up(&mut self, peer: &Peer) {
        let (_, report) = self.next("comes up");
        assert_eq!(report, Report::Up(peer.clone()));
    }

    pub(crate) fn goes_down(&mut self, peer: &Peer) -> (Instant, Reason) {
        match self.next("goes down") {
            (at, Report::Down(of, reason)) if of == *peer => (at, reason),
            other => panic!("{other:?}"),
        }
    }

    /// Nothing happened that nobody waited for.
    pub(crate) fn nothing_happened(&mut self) {
        self.collect();
        assert_eq!(self.seen, []);
    }

    pub(crate) fn figures(&self, peer: &Peer) -> Figures {
        let figures = self.bfd.as_ref().unwrap().figures();
        figures
            .into_iter()
            .find(|(address, _)| *address == peer.address)
            .map(|(_, figures)| figures)
            .unwrap_or_default()
    }

    /// Waits for the log line `name`, an event or an operation.
    pub(crate) fn logs(&mut self, name: &str) -> Record {
        let end = now() + PATIENCE;
        loop {
            self.collect();
            if let Some(record) = self.records.iter().find(
                |record| matches!(record.subject, Subject::Event(n) | Subject::Op(n) if n == name),
            ) {
                return record.clone();
            }
            assert!(now() < end, "no {name}: {:?}", self.records);
            pause();
        }
    }
}
