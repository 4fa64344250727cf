use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use pnet_base::MacAddr;
use proptest::prelude::*;

use super::{Conflicts, DISPUTES, Input, Output};
use crate::layer2::{Kind, Port};
use crate::machine::Machine;

const PORT: Port = Port {
    interface: 2,
    kind: Kind::Arp,
};

fn ip(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, last))
}

fn mac(last: u8) -> MacAddr {
    MacAddr::new(2, 0, 0, 0, 0, last)
}

struct Bench {
    machine: Conflicts,
    now: Instant,
    out: Vec<Output>,
    /// Who answers probes.
    holder: Option<MacAddr>,
}

impl Bench {
    #[expect(
        clippy::disallowed_methods,
        reason = "the origin of virtual time: an Instant cannot be made otherwise"
    )]
    fn announcing() -> Self {
        let mut bench = Self {
            machine: Conflicts::default(),
            now: Instant::now(),
            out: Vec::new(),
            holder: None,
        };
        bench.input(Input::Announce(ip(5)));
        bench
    }

    fn input(&mut self, input: Input) {
        self.machine.handle(self.now, input);
        while let Some(output) = self.machine.poll_output() {
            self.out.push(output);
            if let (Output::Probe { ip, port }, Some(mac)) = (output, self.holder) {
                self.input(Input::Claim { ip, port, mac });
            }
        }
    }

    fn claim(&mut self, last: u8) {
        let mac = mac(last);
        self.input(Input::Claim {
            ip: ip(5),
            port: PORT,
            mac,
        });
    }

    fn run_for(&mut self, millis: u64) {
        let end = self.now + Duration::from_millis(millis);
        while let Some(due) = self.machine.next_deadline().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.input(Input::Tick);
        }
        self.now = end;
    }

    fn told(&self) -> Vec<Output> {
        let told = |output: &&Output| !matches!(output, Output::Probe { .. });
        self.out.iter().filter(told).copied().collect()
    }
}

fn disputed(last: u8) -> Output {
    Output::Disputed {
        ip: ip(5),
        port: PORT,
        mac: mac(last),
    }
}

fn settled(last: u8) -> Output {
    Output::Settled {
        ip: ip(5),
        mac: mac(last),
    }
}

#[test]
fn a_handover_is_no_conflict() {
    let mut bench = Bench::announcing();
    // The one before us is still heard for a moment.
    bench.claim(9);
    bench.run_for(1_100);
    bench.claim(9);
    bench.run_for(60_000);
    assert_eq!(bench.told(), []);
    assert_eq!(bench.machine.next_deadline(), None);
}

#[test]
fn one_that_keeps_the_address_is_told_once() {
    let mut bench = Bench::announcing();
    bench.holder = Some(mac(9));
    bench.claim(9);
    bench.run_for(4_100);
    assert_eq!(bench.told(), [disputed(9)]);
    bench.run_for(600_000);
    assert_eq!(bench.told(), [disputed(9)], "once, however long it lasts");
    bench.holder = None;
    bench.run_for(40_000);
    assert_eq!(bench.told(), [disputed(9), settled(9)]);
    // And again, if it comes again.
    bench.holder = Some(mac(9));
    bench.claim(9);
    bench.run_for(4_100);
    assert_eq!(bench.told(), [disputed(9), settled(9), disputed(9)]);
}

#[test]
fn another_station_is_another_conflict() {
    let mut bench = Bench::announcing();
    bench.holder = Some(mac(9));
    bench.claim(9);
    bench.run_for(4_100);
    bench.holder = Some(mac(8));
    bench.run_for(20_000);
    assert_eq!(bench.told(), [disputed(9), disputed(8)]);
}

#[test]
fn claims_of_what_is_not_announced_are_nothing() {
    let mut bench = Bench::announcing();
    bench.input(Input::Withdraw(ip(5)));
    bench.holder = Some(mac(9));
    bench.claim(9);
    bench.run_for(10_000);
    assert_eq!(bench.out, []);
}

#[test]
fn who_gave_way_hears_when_the_address_is_free() {
    let mut bench = Bench::announcing();
    bench.holder = Some(mac(9));
    bench.claim(9);
    bench.run_for(4_100);
    bench.input(Input::Yield(ip(5)));
    assert_eq!(bench.machine.watched().collect::<Vec<_>>(), [ip(5)]);
    bench.run_for(120_000);
    assert_eq!(bench.told(), [disputed(9)]);
    bench.holder = None;
    bench.run_for(6_000);
    assert_eq!(bench.told(), [disputed(9), settled(9)]);
    assert_eq!(bench.machine.watched().count(), 0);
}

#[test]
fn who_gave_way_and_announces_again_begins_anew() {
    let mut bench = Bench::announcing();
    bench.holder = Some(mac(9));
    bench.claim(9);
    bench.run_for(4_100);
    bench.input(Input::Yield(ip(5)));
    bench.input(Input::Announce(ip(5)));
    bench.run_for(10_000);
    assert_eq!(bench.told(), [disputed(9)]);
    bench.claim(9);
    bench.run_for(4_100);
    assert_eq!(bench.told(), [disputed(9), disputed(9)]);
}

#[test]
fn disputes_are_bounded_and_the_rest_counted() {
    let mut bench = Bench::announcing();
    let address =
        |i: usize| IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + u32::try_from(i).unwrap()));
    for i in 0..DISPUTES + 10 {
        bench.input(Input::Announce(address(i)));
        bench.input(Input::Claim {
            ip: address(i),
            port: PORT,
            mac: mac(9),
        });
    }
    assert_eq!(bench.machine.disputes.len(), DISPUTES);
    assert_eq!(bench.machine.overlooked(), 10);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn it_never_asks_for_a_time_that_is_past(steps in proptest::collection::vec((0_u8..6, 0_u8..4, 0_u8..3, 0_u64..9_000), 1..80)) {
        let mut bench = Bench::announcing();
        for (kind, last, station, wait) in steps {
            let address = ip(last);
            match kind {
                0 => bench.input(Input::Announce(address)),
                1 => bench.input(Input::Withdraw(address)),
                2 => bench.input(Input::Yield(address)),
                3 => bench.holder = (station > 0).then(|| mac(station)),
                _ => bench.input(Input::Claim { ip: address, port: PORT, mac: mac(station) }),
            }
            bench.run_for(wait);
            prop_assert!(bench.machine.next_deadline().is_none_or(|due| due >= bench.now));
        }
    }
}

#[test]
fn a_claim_is_an_address_and_a_station() {
    use crate::layer2::conflict::claim;
    use crate::layer2::wire::Frame;
    use crate::layer2::wire::arp::{Arp, Operation};

    let address = Ipv4Addr::new(10, 0, 0, 5);
    let frame = |arp: Arp| Frame::build(|buffer| arp.encode(buffer));
    for operation in [Operation::Request, Operation::Reply] {
        let gratuitous = frame(Arp::gratuitous(operation, address, mac(9)));
        assert_eq!(claim(Kind::Arp, gratuitous.as_bytes()), Ok((ip(5), mac(9))));
    }
    // A probe asks. What no station sent claims nothing.
    assert!(claim(Kind::Arp, frame(Arp::probe(address, mac(9))).as_bytes()).is_err());
    let nobody = Arp::gratuitous(Operation::Reply, address, MacAddr::broadcast());
    assert!(claim(Kind::Arp, frame(nobody).as_bytes()).is_err());
    assert!(claim(Kind::Ndp, frame(Arp::probe(address, mac(9))).as_bytes()).is_err());
}
