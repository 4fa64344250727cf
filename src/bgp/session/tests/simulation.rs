//! Two ends in virtual time: our session, a small peer built with the same codec, and a connection between them that
//! can be cut, stopped, or full.

use std::collections::VecDeque;

use super::*;

/// Octets that the connection takes before the reader reads.
const WINDOW: usize = 8 * 1024;

/// How long octets are under way.
const LATENCY: Duration = Duration::from_millis(5);

/// One direction of the connection.
#[derive(Default)]
struct Pipe {
    /// When they arrive, and what.
    octets: VecDeque<(Instant, Vec<u8>)>,
    length: usize,
}

impl Pipe {
    /// Takes what there is room for.
    fn write(&mut self, now: Instant, out: &mut Vec<u8>) -> usize {
        let count = out.len().min(WINDOW - self.length);
        if count > 0 {
            self.length += count;
            self.octets
                .push_back((now + LATENCY, out.drain(..count).collect()));
        }
        count
    }

    fn read(&mut self, now: Instant) -> Option<Vec<u8>> {
        if self.octets.front()?.0 > now {
            return None;
        }
        let (_, octets) = self.octets.pop_front()?;
        self.length -= octets.len();
        Some(octets)
    }
}

/// A speaker that accepts. It says OPEN when it is dialled, and KEEPALIVEs; it knows no timers but its own KEEPALIVEs.
struct ModelPeer {
    hold_time: Duration,
    input: Vec<u8>,
    out: Vec<u8>,
    keepalive_at: Option<Instant>,
    /// What it heard on this connection.
    opens: usize,
    keepalives: usize,
    announced: u32,
    withdrawn: u32,
    ends_of_rib: usize,
    notifications: Vec<String>,
}

impl ModelPeer {
    fn new(now: Instant, hold_time: Duration) -> Self {
        let mut open = their_open();
        open.hold_time = u16::try_from(hold_time.as_secs()).unwrap();
        Self {
            hold_time,
            input: Vec::new(),
            out: octets(&open),
            keepalive_at: Some(now + hold_time / 3),
            opens: 0,
            keepalives: 0,
            announced: 0,
            withdrawn: 0,
            ends_of_rib: 0,
            notifications: Vec::new(),
        }
    }

    fn tick(&mut self, now: Instant) {
        if self.keepalive_at.is_some_and(|at| at <= now) {
            self.keepalive_at = Some(now + self.hold_time / 3);
            if self.opens > 0 {
                self.out.extend_from_slice(&KEEPALIVE);
            }
        }
    }

    fn received(&mut self, octets: &[u8]) {
        self.input.extend_from_slice(octets);
        let context = Context {
            four_octet: true,
            refresh: true,
            ipv4: true,
            ipv6: true,
            ..Context::default()
        };
        while let Some(length) = frame(&self.input, false).unwrap() {
            let message: Vec<u8> = self.input.drain(..length).collect();
            match decode(&message, &context).unwrap() {
                Message::Open(_) => {
                    self.opens += 1;
                    self.out.extend_from_slice(&KEEPALIVE);
                }
                Message::Keepalive => self.keepalives += 1,
                Message::Update(update) => {
                    self.announced += update.announced;
                    self.withdrawn += update.withdrawn;
                    self.ends_of_rib += usize::from(update.end_of_rib.is_some());
                }
                Message::Notification(said) => self.notifications.push(said.to_string()),
                Message::RouteRefresh(_) => {}
            }
        }
    }
}

/// What is wrong with the world.
#[derive(Clone, Copy, PartialEq, Eq)]
enum World {
    Good,
    /// Nothing arrives; nobody is told. Dials are not answered.
    Partition,
    /// The peer's process stands still: its kernel takes octets until it is full.
    PeerStopped,
    /// The peer's machine refuses dials.
    Refusing,
}

struct Simulation {
    bench: Bench,
    world: World,
    /// The driver: what is to be written, and the connection.
    out: Vec<u8>,
    peer: Option<ModelPeer>,
    to_peer: Pipe,
    to_us: Pipe,
    dial_at: Option<Instant>,
    hold_time: Duration,
    /// How much later than asked our driver ticks.
    late: Duration,
    dials: usize,
    ups: Vec<Instant>,
    downs: Vec<(Instant, String)>,
    /// What peers of former connections heard last.
    farewells: Vec<String>,
    ended: bool,
}

impl Simulation {
    fn new(params: Params) -> Self {
        let mut simulation = Self {
            bench: Bench::new(params),
            world: World::Good,
            out: Vec::new(),
            peer: None,
            to_peer: Pipe::default(),
            to_us: Pipe::default(),
            dial_at: None,
            hold_time: 9 * SECOND,
            late: Duration::ZERO,
            dials: 0,
            ups: Vec::new(),
            downs: Vec::new(),
            farewells: Vec::new(),
            ended: false,
        };
        simulation.input(Input::Start);
        simulation
    }

    fn input(&mut self, input: Input) {
        self.bench.handle(input);
        for output in self.bench.take() {
            match output {
                Output::Dial(_) => {
                    self.dials += 1;
                    self.dial_at = Some(self.bench.now + LATENCY);
                }
                Output::Transmit(octets) => self.out.extend(octets),
                Output::Close(how) => self.close(how),
                Output::Up => self.ups.push(self.bench.now),
                Output::Down(why) => self.downs.push((self.bench.now, why)),
                Output::Log(_) => {}
                Output::Ended => self.ended = true,
            }
        }
        assert!(self.out.len() <= IN_FLIGHT + 4096);
    }

    fn close(&mut self, how: How) {
        self.dial_at = None;
        if let Some(mut peer) = self.peer.take()
            && how == How::Written
            && self.world == World::Good
        {
            while let Some((_, octets)) = self.to_peer.octets.pop_front() {
                peer.received(&octets);
            }
            peer.received(&std::mem::take(&mut self.out));
            self.farewells.extend(peer.notifications);
        }
        self.out.clear();
        self.to_peer = Pipe::default();
        self.to_us = Pipe::default();
    }

    /// The connection breaks, and both sides see it.
    fn cut(&mut self) {
        self.peer = None;
        self.input(Input::Broken("the peer reset the connection".to_owned()));
    }

    fn step(&mut self) {
        let now = self.bench.now;
        if self.dial_at.is_some_and(|at| at <= now) {
            match self.world {
                World::Good | World::PeerStopped => {
                    self.dial_at = None;
                    self.peer = Some(ModelPeer::new(now, self.hold_time));
                    self.input(Input::Connected(local()));
                }
                World::Refusing => {
                    self.dial_at = None;
                    self.input(Input::ConnectFailed("refused".to_owned()));
                }
                World::Partition => {}
            }
        }
        if self.world != World::Partition {
            let count = self.to_peer.write(now, &mut self.out);
            if count > 0 {
                self.input(Input::Written(count));
            }
            if let Some(peer) = &mut self.peer
                && self.world != World::PeerStopped
            {
                peer.tick(now);
                while let Some(octets) = self.to_peer.read(now) {
                    peer.received(&octets);
                }
                self.to_us.write(now, &mut peer.out);
            }
            while let Some(octets) = self.to_us.read(now) {
                self.input(Input::Received(octets));
            }
        }
        if self
            .bench
            .session
            .next_deadline()
            .is_some_and(|at| at + self.late <= now)
        {
            self.input(Input::Tick);
        }
    }

    /// When something may happen next.
    fn next(&self) -> Instant {
        let soon = self.bench.now + Duration::from_millis(1);
        if !self.out.is_empty() || self.peer.as_ref().is_some_and(|peer| !peer.out.is_empty()) {
            return soon;
        }
        [
            self.bench.session.next_deadline().map(|at| at + self.late),
            self.dial_at,
            self.peer.as_ref().and_then(|peer| peer.keepalive_at),
            self.to_peer.octets.front().map(|(at, _)| *at),
            self.to_us.octets.front().map(|(at, _)| *at),
        ]
        .into_iter()
        .flatten()
        .min()
        .map_or(soon + SECOND, |at| at.max(soon))
    }

    /// Lets time pass.
    fn run(&mut self, time: Duration) {
        let end = self.bench.now + time;
        while self.bench.now < end {
            self.bench.now = self.next().min(end);
            self.step();
        }
    }

    fn run_until(&mut self, limit: Duration, done: impl Fn(&Self) -> bool) {
        let end = self.bench.now + limit;
        while !done(self) {
            assert!(self.bench.now < end, "not within {limit:?}");
            self.run(Duration::from_millis(1));
        }
    }

    fn up(&self) -> bool {
        self.bench.state() == State::Established
    }

    fn peer(&self) -> &ModelPeer {
        self.peer.as_ref().unwrap()
    }
}

/// A Simulation with ten routes, Established and told.
fn settled() -> Simulation {
    let mut simulation = Simulation::new(params());
    for number in 0..10 {
        simulation.input(Input::Route(route(number), attributes()));
    }
    simulation.run_until(SECOND, |simulation| {
        simulation.up() && simulation.peer().ends_of_rib == 2
    });
    assert_eq!(simulation.peer().announced, 10);
    simulation
}

#[test]
fn a_session_comes_up_in_two_round_trips_and_stays_for_an_hour() {
    let mut simulation = settled();
    let begin = simulation.bench.now;
    simulation.run(3600 * SECOND);
    assert_eq!(simulation.ups.len(), 1);
    assert_eq!(simulation.downs, []);
    assert_eq!(simulation.dials, 1);
    assert!(begin - simulation.ups[0] < SECOND);
    assert_eq!(simulation.peer().opens, 1);
    // Every 2.25 to 3 s.
    assert!((1200..=1601).contains(&simulation.peer().keepalives));
}

#[test]
fn changes_are_told_while_it_is_up_and_everything_when_it_comes_up_again() {
    let mut simulation = settled();
    simulation.input(Input::Route(route(0), None));
    simulation.input(Input::Route(route(200), attributes()));
    // Taken back before it was told: nothing of it is heard.
    simulation.input(Input::Route(route(201), None));
    simulation.run(SECOND);
    assert_eq!(simulation.peer().announced, 11);
    assert_eq!(simulation.peer().withdrawn, 1);
    simulation.cut();
    assert!(!simulation.up());
    simulation.input(Input::Route(route(1), None));
    simulation.run_until(SECOND, |simulation| {
        simulation.up() && simulation.peer().ends_of_rib == 2
    });
    assert_eq!(simulation.peer().announced, 9);
    assert_eq!(simulation.peer().withdrawn, 0);
    assert_eq!(simulation.dials, 2);
}

#[test]
fn a_partition_is_noticed_by_the_hold_time_and_the_session_comes_back_after_it() {
    let mut simulation = settled();
    simulation.run(10 * SECOND);
    let begin = simulation.bench.now;
    simulation.world = World::Partition;
    simulation.run_until(9 * SECOND, |simulation| !simulation.up());
    assert!(simulation.bench.now - begin > 5 * SECOND);
    assert_eq!(
        simulation.downs[0].1,
        "nothing was heard from the peer for 9 s: Hold Timer Expired"
    );
    simulation.run(300 * SECOND);
    // 10 s each, and ever longer waits between them.
    assert!((7..=10).contains(&simulation.dials), "{}", simulation.dials);
    simulation.world = World::Good;
    simulation.run_until(130 * SECOND, Simulation::up);
}

#[test]
fn a_short_partition_harms_nobody() {
    let mut simulation = settled();
    for _ in 0..20 {
        simulation.world = World::Partition;
        simulation.run(4 * SECOND);
        simulation.world = World::Good;
        simulation.run(4 * SECOND);
    }
    assert_eq!(simulation.downs, []);
}

#[test]
fn a_peer_that_stands_still_is_left_by_the_hold_time() {
    let mut simulation = settled();
    simulation.world = World::PeerStopped;
    simulation.run_until(9 * SECOND + LATENCY, |simulation| !simulation.up());
    // Its kernel answers dials, itself does not answer.
    simulation.run(60 * SECOND);
    assert_eq!(simulation.dials, 2);
    assert_eq!(simulation.bench.state(), State::OpenSent);
    simulation.world = World::Good;
    simulation.run_until(SECOND, Simulation::up);
}

#[test]
fn late_ticks_cost_no_session() {
    let mut simulation = settled();
    simulation.late = 2500 * Duration::from_millis(1);
    simulation.run(600 * SECOND);
    assert_eq!(simulation.downs, []);
    assert!(simulation.peer().keepalives > 100);
}

#[test]
fn a_peer_that_refuses_is_not_dialled_much_and_found_when_it_is_back() {
    let mut simulation = settled();
    simulation.world = World::Refusing;
    simulation.cut();
    simulation.run(600 * SECOND);
    assert!(
        (11..=16).contains(&simulation.dials),
        "{}",
        simulation.dials
    );
    simulation.world = World::Good;
    simulation.run_until(120 * SECOND, Simulation::up);
    assert_eq!(simulation.ups.len(), 2);
}

#[test]
fn the_end_is_told() {
    let mut simulation = settled();
    simulation.input(Input::Shutdown);
    assert!(simulation.ended);
    assert_eq!(simulation.farewells, ["Cease/Administrative Shutdown"]);
    simulation.run(600 * SECOND);
    assert_eq!(simulation.dials, 1);
}

#[test]
fn other_parameters_are_another_session_with_the_same_routes() {
    let mut simulation = settled();
    let mut params = params();
    params.hold_time = 6 * SECOND;
    simulation.input(Input::Reconfigure(Arc::new(params)));
    assert_eq!(simulation.farewells, ["Cease/Other Configuration Change"]);
    simulation.run_until(SECOND, |simulation| {
        simulation.up() && simulation.peer().ends_of_rib == 2
    });
    assert_eq!(simulation.peer().announced, 10);
    let agreement = simulation.bench.session.agreement().unwrap();
    assert_eq!(agreement.hold_time, 6 * SECOND);
}
