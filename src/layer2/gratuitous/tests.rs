use super::*;

const ETH0: Port = Port {
    interface: 2,
    kind: Kind::Arp,
};
const ETH0_V6: Port = Port {
    interface: 2,
    kind: Kind::Ndp,
};
const ETH1: Port = Port {
    interface: 3,
    kind: Kind::Arp,
};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

struct Bench {
    start: Instant,
    machine: Gratuitous,
    /// The announcements: milliseconds since the start, address, port.
    sent: Vec<(u128, IpAddr, Port)>,
    /// All frames.
    frames: Vec<(u128, Send)>,
}

impl Bench {
    #[expect(clippy::disallowed_methods, reason = "the start of a virtual clock")]
    fn new(ports: &[Port]) -> Self {
        let start = Instant::now();
        let mut bench = Self {
            start,
            machine: Gratuitous::new(start),
            sent: Vec::new(),
            frames: Vec::new(),
        };
        for port in ports {
            bench.at(0, Input::PortUp(*port));
        }
        bench
    }

    fn drain(&mut self, now: Instant) {
        let now = now.duration_since(self.start).as_millis();
        while let Some(send) = self.machine.poll_output() {
            self.frames.push((now, send));
            if send.form == Form::Announcement {
                self.sent.push((now, send.ip, send.port));
            }
        }
    }

    /// Serves every deadline before `ms`, then hands the input over.
    fn at(&mut self, ms: u64, input: Input) {
        self.run_until(ms);
        let now = self.start + Duration::from_millis(ms);
        self.machine.handle(now, input);
        self.drain(now);
    }

    fn run_until(&mut self, ms: u64) {
        let end = self.start + Duration::from_millis(ms);
        while let Some(deadline) = self
            .machine
            .next_deadline()
            .filter(|deadline| *deadline <= end)
        {
            self.machine.handle(deadline, Input::Tick);
            self.drain(deadline);
        }
    }

    fn times(&self, wanted: IpAddr, on: Port) -> Vec<u128> {
        self.sent
            .iter()
            .filter(|(_, ip, port)| *ip == wanted && *port == on)
            .map(|(ms, ..)| *ms)
            .collect()
    }
}

const BURST: [u128; 5] = [0, 1100, 2200, 3300, 4400];

#[test]
fn an_announcement_bursts_at_once_and_every_1100_ms_for_5_s_on_every_port_of_its_family() {
    let mut bench = Bench::new(&[ETH0, ETH0_V6, ETH1]);
    bench.at(0, Input::Announce(ip("192.0.2.1")));
    bench.at(0, Input::Announce(ip("2001:db8::1")));
    bench.run_until(60_000);
    assert_eq!(bench.times(ip("192.0.2.1"), ETH0), BURST);
    assert_eq!(bench.times(ip("192.0.2.1"), ETH1), BURST);
    assert_eq!(bench.times(ip("2001:db8::1"), ETH0_V6), BURST);
    assert_eq!(bench.sent.len(), 15, "and nothing else");
    assert_eq!(bench.machine.next_deadline(), None);
}

#[test]
fn a_repeated_announcement_does_not_restart_the_burst() {
    let mut bench = Bench::new(&[ETH0]);
    for ms in [0, 0, 500, 1100, 4000, 20_000] {
        bench.at(ms, Input::Announce(ip("192.0.2.1")));
    }
    bench.run_until(60_000);
    assert_eq!(bench.times(ip("192.0.2.1"), ETH0), BURST);
}

#[test]
fn a_withdrawal_stops_the_burst_and_a_new_announcement_starts_another() {
    let mut bench = Bench::new(&[ETH0]);
    bench.at(0, Input::Announce(ip("192.0.2.1")));
    bench.at(1500, Input::Withdraw(ip("192.0.2.1")));
    bench.run_until(10_000);
    assert_eq!(bench.times(ip("192.0.2.1"), ETH0), [0, 1100]);
    bench.at(10_000, Input::Announce(ip("192.0.2.1")));
    bench.at(10_100, Input::Withdraw(ip("192.0.2.1")));
    bench.at(10_200, Input::Announce(ip("192.0.2.1")));
    bench.run_until(60_000);
    let again = [10_000, 10_200, 11_300, 12_400, 13_500, 14_600];
    assert_eq!(bench.times(ip("192.0.2.1"), ETH0)[2..], again);
    assert_eq!(bench.machine.next_deadline(), None);
}

#[test]
fn an_announcement_that_is_withdrawn_at_once_sends_nothing() {
    let mut bench = Bench::new(&[ETH0]);
    bench
        .machine
        .handle(bench.start, Input::Announce(ip("192.0.2.1")));
    bench
        .machine
        .handle(bench.start, Input::Withdraw(ip("192.0.2.1")));
    bench.run_until(60_000);
    assert_eq!(bench.sent, []);
}

#[test]
fn a_port_that_comes_later_gets_a_burst_of_everything_and_only_that_port() {
    let mut bench = Bench::new(&[ETH0]);
    bench.at(0, Input::Announce(ip("192.0.2.1")));
    bench.at(0, Input::Announce(ip("2001:db8::1")));
    bench.at(2000, Input::PortUp(ETH1));
    bench.run_until(60_000);
    assert_eq!(bench.times(ip("192.0.2.1"), ETH0), BURST);
    assert_eq!(
        bench.times(ip("192.0.2.1"), ETH1),
        BURST.map(|ms| ms + 2000)
    );
    assert_eq!(bench.sent.len(), 10, "no IPv6 on an ARP port");
}

#[test]
fn an_address_announced_before_any_port_is_up_bursts_once_one_is() {
    let mut bench = Bench::new(&[]);
    bench.at(0, Input::Announce(ip("192.0.2.1")));
    bench.at(700, Input::PortUp(ETH0));
    bench.run_until(60_000);
    assert_eq!(bench.times(ip("192.0.2.1"), ETH0), BURST.map(|ms| ms + 700));
}

#[test]
fn a_port_whose_ethernet_address_changes_starts_over() {
    let mut bench = Bench::new(&[ETH0]);
    bench.at(0, Input::Announce(ip("192.0.2.1")));
    bench.at(1500, Input::PortUp(ETH0));
    bench.run_until(60_000);
    let want = [0, 1100, 1500, 2600, 3700, 4800, 5900];
    assert_eq!(bench.times(ip("192.0.2.1"), ETH0), want);
}

#[test]
fn a_port_that_is_gone_gets_nothing() {
    let mut bench = Bench::new(&[ETH0, ETH1]);
    bench.at(0, Input::Announce(ip("192.0.2.1")));
    bench.at(100, Input::PortDown(ETH0));
    bench.run_until(60_000);
    assert_eq!(bench.times(ip("192.0.2.1"), ETH0), [0]);
    assert_eq!(bench.times(ip("192.0.2.1"), ETH1), BURST);
}

#[test]
fn ten_thousand_addresses_leave_at_a_pace_and_each_first_packet_before_any_second() {
    let mut bench = Bench::new(&[ETH0]);
    let all: Vec<IpAddr> = (0..10_000_u32)
        .map(|low| std::net::Ipv4Addr::from(0x0a00_0000 + low).into())
        .collect();
    for ip in &all {
        bench.machine.handle(bench.start, Input::Announce(*ip));
    }
    bench.drain(bench.start);
    assert_eq!(
        bench.sent.len(),
        usize::try_from(BUCKET).unwrap(),
        "one bucket at once"
    );
    bench.run_until(60_000);
    assert_eq!(bench.sent.len(), 50_000);
    let first_round = bench.sent[9_999].0;
    assert!(
        first_round <= 100,
        "all first packets within {first_round} ms"
    );
    let mut first: Vec<IpAddr> = bench.sent[..10_000].iter().map(|(_, ip, _)| *ip).collect();
    first.sort_unstable();
    assert_eq!(first, all);
    // Then the replies, and all of them before the next round.
    let forms: Vec<Form> = bench.frames.iter().map(|(_, send)| send.form).collect();
    assert_eq!(forms[..10_000], [Form::Announcement; 10_000]);
    assert_eq!(forms[10_000..20_000], [Form::Reply; 10_000]);
    assert!(bench.frames[19_999].0 <= 200);
    assert_eq!(forms.len(), 110_000, "and a round of probes");
}

#[test]
fn a_round_is_an_announcement_and_for_arp_a_reply_and_one_round_asks_as_well() {
    let mut bench = Bench::new(&[ETH0, ETH0_V6]);
    bench.at(0, Input::Announce(ip("192.0.2.1")));
    bench.at(0, Input::Announce(ip("2001:db8::1")));
    bench.run_until(60_000);
    let of = |port: Port| -> Vec<(u128, Form)> {
        let frames = bench.frames.iter().filter(|(_, send)| send.port == port);
        frames.map(|(ms, send)| (*ms, send.form)).collect()
    };
    let arp: Vec<(u128, Form)> = BURST
        .into_iter()
        .flat_map(|ms| {
            let probe = (ms == 2200).then_some(Form::Probe);
            let forms = probe.into_iter().chain([Form::Announcement, Form::Reply]);
            forms.map(move |form| (ms, form))
        })
        .collect();
    let ndp: Vec<(u128, Form)> = arp
        .iter()
        .copied()
        .filter(|(_, form)| *form != Form::Reply)
        .collect();
    assert_eq!(of(ETH0), arp);
    assert_eq!(of(ETH0_V6), ndp);
}

#[test]
fn a_new_address_does_not_wait_for_the_replies_of_thousands() {
    let mut bench = Bench::new(&[ETH0]);
    for low in 0..10_000_u32 {
        let ip = std::net::Ipv4Addr::from(0x0a00_0000 + low).into();
        bench.machine.handle(bench.start, Input::Announce(ip));
    }
    bench.drain(bench.start);
    // The announcements are out, their replies on their way.
    bench.at(150, Input::Announce(ip("192.0.2.1")));
    bench.run_until(60_000);
    let times = bench.times(ip("192.0.2.1"), ETH0);
    assert!(times[0] <= 151, "first packet at {} ms", times[0]);
    let reply = bench.frames.iter().find(|(_, send)| {
        send.ip == ip("192.0.2.1") && send.form == Form::Reply && send.port == ETH0
    });
    assert!(reply.unwrap().0 <= 205);
}

#[test]
fn a_new_address_does_not_wait_for_the_repetitions_of_thousands() {
    let mut bench = Bench::new(&[ETH0]);
    for low in 0..10_000_u32 {
        let ip = std::net::Ipv4Addr::from(0x0a00_0000 + low).into();
        bench.machine.handle(bench.start, Input::Announce(ip));
    }
    bench.drain(bench.start);
    // In the middle of the second round.
    bench.at(1150, Input::Announce(ip("192.0.2.1")));
    bench.run_until(60_000);
    let times = bench.times(ip("192.0.2.1"), ETH0);
    assert_eq!(times.len(), 5);
    assert!(times[0] <= 1151, "first packet at {} ms", times[0]);
}

#[test]
fn a_tick_that_is_late_or_twice_changes_nothing_but_the_time() {
    let mut bench = Bench::new(&[ETH0]);
    bench.at(0, Input::Announce(ip("192.0.2.1")));
    let late = bench.start + Duration::from_millis(1700);
    for _ in 0..2 {
        bench.machine.handle(late, Input::Tick);
        bench.drain(late);
    }
    bench.run_until(60_000);
    assert_eq!(
        bench.times(ip("192.0.2.1"), ETH0),
        [0, 1700, 2200, 3300, 4400]
    );
}
