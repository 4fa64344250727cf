use super::*;

const MAC: MacAddr = MacAddr(2, 0, 0, 0, 0, 1);
const ARP: Port = Port {
    interface: 2,
    kind: Kind::Arp,
};
const NDP: Port = Port {
    interface: 2,
    kind: Kind::Ndp,
};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn eth0() -> Link {
    Link {
        index: 2,
        name: "eth0".to_owned(),
        mac: Some(MAC),
        up: true,
        carrier: true,
        broadcast: true,
        loopback: false,
        no_arp: false,
        master: None,
        port_kind: None,
    }
}

fn ipvs() -> Link {
    Link {
        index: 9,
        name: KUBE_IPVS.to_owned(),
        no_arp: true,
        ..eth0()
    }
}

fn on(interface: u32, address: &str) -> Message {
    Message::Address(Address {
        interface,
        ip: ip(address),
        usable: true,
    })
}

fn off(interface: u32, address: &str) -> Message {
    Message::AddressGone(Address {
        interface,
        ip: ip(address),
        usable: true,
    })
}

struct Bench {
    now: Instant,
    machine: Interfaces,
}

impl Bench {
    fn new(params: Params) -> Self {
        #![expect(clippy::disallowed_methods, reason = "the start of a virtual clock")]
        Self {
            now: Instant::now(),
            machine: Interfaces::new(params),
        }
    }

    fn drain(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.machine.poll_output()).collect()
    }

    fn input(&mut self, input: Input) -> Vec<Output> {
        self.machine.handle(self.now, input);
        self.drain()
    }

    fn hear(&mut self, message: Message) -> Vec<Output> {
        self.input(Input::Netlink(message))
    }

    /// Hears, and opens what is asked for.
    fn settle(&mut self, message: Message) -> Vec<Output> {
        let mut all = self.hear(message);
        for output in all.clone() {
            if let Output::Open(responder) = output {
                all.extend(self.input(Input::Opened {
                    port: responder.port,
                    ok: true,
                }));
            }
        }
        all
    }

    fn wait(&mut self, time: Duration) -> Vec<Output> {
        self.now += time;
        self.input(Input::Tick)
    }
}

fn responder(port: Port, link: &Link) -> Responder {
    Responder {
        port,
        name: link.name.clone(),
        interface: responder::Interface {
            mac: link.mac.unwrap(),
        },
    }
}

#[test]
fn an_interface_gets_an_arp_responder_at_once_and_ndp_with_its_link_local_address() {
    let mut bench = Bench::new(Params::default());
    assert_eq!(
        bench.settle(Message::Link(eth0())),
        [Output::Open(responder(ARP, &eth0())), Output::PortUp(ARP)]
    );
    assert_eq!(bench.settle(on(2, "2001:db8::2")), []);
    assert_eq!(
        bench.settle(on(2, "fe80::2")),
        [Output::Open(responder(NDP, &eth0())), Output::PortUp(NDP)]
    );
    assert_eq!(bench.settle(on(2, "fe80::2")), [], "told again");
    assert_eq!(
        bench.hear(off(2, "fe80::2")),
        [Output::Close(responder(NDP, &eth0()))]
    );
    assert_eq!(
        bench.hear(Message::LinkGone(2)),
        [Output::Close(responder(ARP, &eth0()))]
    );
    assert_eq!(bench.machine.next_deadline(), None);
}

#[test]
fn a_tentative_link_local_address_is_not_enough() {
    let mut bench = Bench::new(Params::default());
    bench.settle(Message::Link(Link {
        broadcast: false,
        ..eth0()
    }));
    let address = Address {
        interface: 2,
        ip: ip("fe80::2"),
        usable: false,
    };
    assert_eq!(bench.settle(Message::Address(address)), []);
    assert_eq!(bench.settle(on(2, "fe80::2")).len(), 2);
    assert_eq!(
        bench.settle(Message::Address(address)).len(),
        1,
        "its detection failed later"
    );
}

#[test]
fn unsuitable_interfaces_get_none_and_a_change_decides_anew() {
    for unsuitable in [
        Link {
            up: false,
            ..eth0()
        },
        Link {
            loopback: true,
            ..eth0()
        },
        Link {
            no_arp: true,
            ..eth0()
        },
        Link {
            broadcast: false,
            ..eth0()
        },
        Link {
            mac: None,
            ..eth0()
        },
        Link {
            mac: Some(MacAddr::zero()),
            ..eth0()
        },
        Link {
            master: Some(5),
            port_kind: Some("bridge".to_owned()),
            ..eth0()
        },
        Link {
            master: Some(5),
            port_kind: Some("bond".to_owned()),
            ..eth0()
        },
        Link {
            master: Some(5),
            port_kind: None,
            ..eth0()
        },
    ] {
        let mut bench = Bench::new(Params::default());
        assert_eq!(
            bench.settle(Message::Link(unsuitable.clone())),
            [],
            "{unsuitable:?}"
        );
        assert_eq!(bench.settle(Message::Link(eth0())).len(), 2);
        assert_eq!(
            bench.settle(Message::Link(unsuitable)),
            [Output::Close(responder(ARP, &eth0()))]
        );
    }
}

#[test]
fn a_member_of_a_vrf_is_an_interface_like_any_other() {
    let mut bench = Bench::new(Params::default());
    bench.settle(Message::Link(eth0()));
    let member = Link {
        master: Some(5),
        port_kind: Some("vrf".to_owned()),
        ..eth0()
    };
    assert_eq!(bench.settle(Message::Link(member)), []);
}

#[test]
fn only_named_interfaces_answer_and_a_new_name_counts() {
    let mut bench = Bench::new(Params {
        interfaces: Some(vec!["lan0".to_owned()]),
        ..Params::default()
    });
    assert_eq!(bench.settle(Message::Link(eth0())), []);
    let lan0 = Link {
        name: "lan0".to_owned(),
        ..eth0()
    };
    assert_eq!(bench.settle(Message::Link(lan0.clone())).len(), 2);
    assert_eq!(
        bench.settle(Message::Link(eth0())),
        [Output::Close(responder(ARP, &lan0))]
    );
}

#[test]
fn a_named_interface_that_does_not_exist_is_said_once() {
    let mut bench = Bench::new(Params {
        interfaces: Some(vec!["lan0".to_owned()]),
        ..Params::default()
    });
    bench.input(Input::ResyncStarted);
    bench.settle(Message::Link(eth0()));
    let output = bench.input(Input::ResyncDone);
    assert!(
        matches!(&*output, [Output::Report(Report::Log(record))] if record.msg.contains("lan0")),
        "{output:?}"
    );
    bench.input(Input::ResyncStarted);
    bench.settle(Message::Link(eth0()));
    assert_eq!(bench.input(Input::ResyncDone), []);
}

#[test]
fn a_new_ethernet_address_or_a_cable_makes_neighbours_learn_anew() {
    let mut bench = Bench::new(Params::default());
    bench.settle(Message::Link(eth0()));
    let moved = Link {
        mac: Some(MacAddr(2, 0, 0, 0, 0, 9)),
        ..eth0()
    };
    assert_eq!(
        bench.settle(Message::Link(moved.clone())),
        [Output::Change(responder(ARP, &moved)), Output::PortUp(ARP)]
    );
    let renamed = Link {
        name: "lan0".to_owned(),
        ..moved
    };
    assert_eq!(
        bench.settle(Message::Link(renamed.clone())),
        [Output::Change(responder(ARP, &renamed))]
    );
    let unplugged = Link {
        carrier: false,
        ..renamed.clone()
    };
    assert_eq!(bench.settle(Message::Link(unplugged)), []);
    assert_eq!(bench.settle(Message::Link(renamed)), [Output::PortUp(ARP)]);
}

#[test]
fn a_responder_that_cannot_be_opened_is_tried_again_with_what_is_known_then() {
    let mut bench = Bench::new(Params::default());
    bench.hear(Message::Link(eth0()));
    assert_eq!(
        bench.input(Input::Opened {
            port: ARP,
            ok: false
        }),
        []
    );
    let moved = Link {
        mac: Some(MacAddr(2, 0, 0, 0, 0, 9)),
        ..eth0()
    };
    assert_eq!(bench.hear(Message::Link(moved.clone())), []);
    assert_eq!(bench.machine.next_deadline(), Some(bench.now + RETRY));
    assert_eq!(bench.wait(RETRY / 2), []);
    assert_eq!(
        bench.wait(RETRY / 2),
        [Output::Open(responder(ARP, &moved))]
    );
    assert_eq!(
        bench.input(Input::Opened {
            port: ARP,
            ok: true
        }),
        [Output::PortUp(ARP)]
    );
    assert_eq!(bench.machine.next_deadline(), None);

    assert_eq!(
        bench.input(Input::Broken(ARP)),
        [Output::Close(responder(ARP, &moved))]
    );
    assert_eq!(bench.input(Input::Broken(ARP)), []);
    assert_eq!(bench.wait(RETRY), [Output::Open(responder(ARP, &moved))]);
    bench.input(Input::Opened {
        port: ARP,
        ok: false,
    });
    assert_eq!(bench.hear(Message::LinkGone(2)), [], "nothing is open");
    assert_eq!(bench.machine.next_deadline(), None);
}

#[test]
fn a_dump_that_does_not_mention_something_ends_it() {
    let mut bench = Bench::new(Params::default());
    let eth1 = Link {
        index: 3,
        name: "eth1".to_owned(),
        ..eth0()
    };
    for link in [eth0(), eth1.clone()] {
        bench.settle(Message::Link(link));
    }
    bench.settle(on(2, "fe80::2"));
    bench.settle(on(2, "192.0.2.10"));
    bench.input(Input::Announce(ip("192.0.2.10")));
    bench.input(Input::ResyncStarted);
    assert_eq!(bench.settle(Message::Link(eth0())), []);
    let output = bench.input(Input::ResyncDone);
    let eth1 = responder(
        Port {
            interface: 3,
            kind: Kind::Arp,
        },
        &eth1,
    );
    assert!(output.contains(&Output::Close(eth1)), "{output:?}");
    assert!(
        output.contains(&Output::Close(responder(NDP, &eth0()))),
        "{output:?}"
    );
    let gone = Report::AddressOffHost {
        ip: ip("192.0.2.10"),
        interface: "eth0".to_owned(),
    };
    assert!(output.contains(&Output::Report(gone)), "{output:?}");
    assert_eq!(output.len(), 3);
}

#[test]
fn an_address_that_was_told_before_its_link_counts() {
    let mut bench = Bench::new(Params::default());
    assert_eq!(bench.settle(on(2, "fe80::2")), []);
    bench.input(Input::Announce(ip("192.0.2.10")));
    assert_eq!(bench.settle(on(2, "192.0.2.10")), []);
    let output = bench.settle(Message::Link(eth0()));
    assert!(
        output.contains(&Output::Open(responder(NDP, &eth0()))),
        "{output:?}"
    );
    let report = Report::AddressOnHost {
        ip: ip("192.0.2.10"),
        interface: "eth0".to_owned(),
    };
    assert!(output.contains(&Output::Report(report)), "{output:?}");
}

#[test]
fn an_announced_address_on_the_host_is_said_once_and_taken_back() {
    let mut bench = Bench::new(Params::default());
    bench.settle(Message::Link(eth0()));
    bench.settle(on(2, "192.0.2.10"));
    let on_host = Report::AddressOnHost {
        ip: ip("192.0.2.10"),
        interface: "eth0".to_owned(),
    };
    let off_host = Report::AddressOffHost {
        ip: ip("192.0.2.10"),
        interface: "eth0".to_owned(),
    };
    assert_eq!(
        bench.input(Input::Announce(ip("192.0.2.10"))),
        [Output::Report(on_host.clone())]
    );
    assert_eq!(bench.input(Input::Announce(ip("192.0.2.10"))), []);
    assert_eq!(bench.settle(on(2, "192.0.2.10")), []);
    assert_eq!(
        bench.hear(off(2, "192.0.2.10")),
        [Output::Report(off_host.clone())]
    );
    assert_eq!(bench.settle(on(2, "192.0.2.10")), [Output::Report(on_host)]);
    assert_eq!(
        bench.input(Input::Withdraw(ip("192.0.2.10"))),
        [Output::Report(off_host)]
    );
    assert_eq!(bench.settle(on(2, "192.0.2.11")), [], "nobody announces it");
}

#[test]
fn the_loopback_is_no_reason_to_warn_if_it_is_ours() {
    for (ours, want) in [(true, 0), (false, 1)] {
        let mut bench = Bench::new(Params {
            loopback_is_ours: ours,
            ..Params::default()
        });
        bench.settle(Message::Link(Link {
            index: 1,
            name: "lo".to_owned(),
            loopback: true,
            ..eth0()
        }));
        bench.input(Input::Announce(ip("192.0.2.10")));
        assert_eq!(bench.settle(on(1, "192.0.2.10")).len(), want);
    }
}

fn read() -> [Output; 1] {
    [Output::ReadArpIgnore(vec!["eth0".to_owned()])]
}

#[test]
fn ipvs_without_strict_arp_is_said_once_checked_again_and_taken_back() {
    let mut bench = Bench::new(Params::default());
    bench.settle(Message::Link(eth0()));
    bench.settle(Message::Link(ipvs()));
    bench.settle(on(9, "192.0.2.10"));
    bench.settle(on(9, "10.96.0.1"));
    assert_eq!(
        bench.machine.next_deadline(),
        None,
        "nothing announced, nothing to read"
    );
    assert_eq!(bench.input(Input::Announce(ip("192.0.2.10"))), []);
    assert_eq!(bench.wait(SETTLE), read());
    let off = Report::StrictArpOff {
        interfaces: vec!["eth0".to_owned()],
        addresses: vec![ip("192.0.2.10")],
    };
    let answers = vec!["eth0".to_owned()];
    assert_eq!(
        bench.input(Input::ArpIgnore(answers.clone())),
        [Output::Report(off.clone())]
    );
    assert_eq!(bench.wait(RECHECK), read());
    assert_eq!(
        bench.input(Input::ArpIgnore(answers.clone())),
        [],
        "said already"
    );
    assert_eq!(bench.wait(RECHECK), read());
    assert_eq!(
        bench.input(Input::ArpIgnore(vec![])),
        [Output::Report(Report::StrictArpMended)]
    );
    assert_eq!(bench.wait(RECHECK), read(), "it may break again");
    assert_eq!(
        bench.input(Input::ArpIgnore(answers)),
        [Output::Report(off)]
    );
    assert_eq!(
        bench.input(Input::Withdraw(ip("192.0.2.10"))),
        [Output::Report(Report::StrictArpMended)]
    );
    assert_eq!(bench.machine.next_deadline(), None);
}

#[test]
fn ipv6_on_kube_ipvs0_is_no_fault() {
    let mut bench = Bench::new(Params::default());
    bench.settle(Message::Link(ipvs()));
    bench.settle(on(9, "2001:db8::10"));
    assert_eq!(bench.input(Input::Announce(ip("2001:db8::10"))), []);
    assert_eq!(bench.machine.next_deadline(), None);
}

#[test]
fn the_configuration_names_the_only_interfaces_while_they_run() {
    let mut bench = Bench::new(Params::default());
    // Before anything is known nobody can say what is missing.
    assert_eq!(bench.input(Input::Only(vec!["eth1".to_owned()])), []);
    assert_eq!(bench.hear(Message::Link(eth0())), []);
    let missing = bench.input(Input::ResyncDone);
    assert!(
        matches!(&missing[..], [Output::Report(Report::Log(record))] if record.msg.contains("eth1")),
        "{missing:?}"
    );
    let opened = bench.input(Input::Only(vec!["eth0".to_owned(), "eth1".to_owned()]));
    assert!(
        matches!(&opened[..], [Output::Open(_), Output::Report(_)]),
        "{opened:?}"
    );
    bench.input(Input::Opened {
        port: ARP,
        ok: true,
    });
    assert_eq!(
        bench.input(Input::Only(vec!["eth0".to_owned(), "eth1".to_owned()])),
        []
    );
    let closed = bench.input(Input::Only(vec!["eth1".to_owned()]));
    assert!(
        matches!(&closed[..], [Output::Close(_), Output::Report(_)]),
        "{closed:?}"
    );
    let opened = bench.input(Input::Only(Vec::new()));
    assert!(matches!(&opened[..], [Output::Open(_)]), "{opened:?}");
    // Both must allow it.
    let mut bench = Bench::new(Params {
        interfaces: Some(vec!["eth9".to_owned()]),
        ..Params::default()
    });
    bench.input(Input::Only(vec!["eth0".to_owned()]));
    assert_eq!(bench.hear(Message::Link(eth0())), []);
}
