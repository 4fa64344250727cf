use std::net::{IpAddr, Ipv4Addr};

use super::timers::Timer;
use super::*;
use crate::bgp::wire::{
    Capability, Cease, Context, Family, HEADER, KEEPALIVE, Message, Notification, Open,
    RouteRefresh, decode, frame, update::end_of_rib,
};
use crate::bgp::{Origin, Password};
use crate::journal::Level;

mod agreements;
mod pairs;
mod properties;
mod simulation;
mod times;

const SECOND: Duration = Duration::from_secs(1);

fn params() -> Params {
    Params {
        my_asn: 64512,
        peer_asn: 64513,
        peer_address: IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)),
        peer_port: 179,
        source_address: None,
        interface: None,
        hold_time: 90 * SECOND,
        keepalive_time: 30 * SECOND,
        router_id: None,
        fallback_router_id: Ipv4Addr::new(1, 2, 3, 4),
        password: Password::default(),
        ebgp_multihop: false,
        ttl_security: None,
        graceful_restart: None,
        graceful_shutdown: None,
    }
}

fn local() -> Local {
    Local {
        address: IpAddr::V4(Ipv4Addr::new(10, 0, 0, 7)),
        interface: vec![
            IpAddr::V4(Ipv4Addr::new(10, 0, 0, 7)),
            "fe80::7".parse().unwrap(),
            "fd00::7".parse().unwrap(),
        ],
    }
}

fn route(number: u8) -> IpNet {
    format!("192.0.2.{number}/32").parse().unwrap()
}

fn attributes() -> Option<Arc<Attributes>> {
    Some(Arc::new(Attributes {
        origin: Origin::Incomplete,
        local_pref: 100,
        communities: Box::default(),
    }))
}

/// A peer's OPEN that `params()` agrees with.
fn their_open() -> Open {
    Open::new(
        64513,
        90,
        Ipv4Addr::new(10, 0, 0, 1),
        vec![
            Capability::MultiProtocol(Family::IPV4_UNICAST),
            Capability::MultiProtocol(Family::IPV6_UNICAST),
            Capability::RouteRefresh,
            Capability::FourOctetAs(64513),
        ],
    )
}

fn octets(open: &Open) -> Vec<u8> {
    let mut out = Vec::new();
    open.encode(&mut out);
    out
}

fn notification(notification: &Notification) -> Vec<u8> {
    let mut out = Vec::new();
    notification.encode(&mut out);
    out
}

fn refresh() -> Vec<u8> {
    let mut out = Vec::new();
    RouteRefresh {
        family: Family::IPV4_UNICAST,
        subtype: RouteRefresh::REQUEST,
    }
    .encode(&mut out);
    out
}

/// A session at a time of its own, and everything that it wanted so far.
struct Bench {
    now: Instant,
    session: Session,
    outputs: Vec<Output>,
}

impl Bench {
    #[expect(
        clippy::disallowed_methods,
        reason = "a beginning for the virtual clock"
    )]
    fn new(params: Params) -> Self {
        Self {
            now: Instant::now(),
            session: Session::new(Arc::new(params), Random::seeded(7)),
            outputs: Vec::new(),
        }
    }

    fn handle(&mut self, input: Input) {
        self.session.handle(self.now, input);
        while let Some(output) = self.session.poll_output() {
            self.outputs.push(output);
        }
    }

    /// What was wanted since this was last asked.
    fn take(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.outputs)
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.handle(Input::Tick);
    }

    /// Lets time pass to the next deadline; says how long that was.
    fn until_deadline(&mut self) -> Duration {
        let wait = self
            .session
            .next_deadline()
            .expect("a timer runs")
            .saturating_duration_since(self.now);
        self.pass(wait);
        wait
    }

    /// Everything up to `state`, as a peer that behaves would have it.
    fn to(params: Params, open: &Open, state: State) -> Self {
        let mut bench = Self::new(params);
        match state {
            State::Idle => return bench,
            State::Active => {
                bench.handle(Input::Start);
                bench.handle(Input::ConnectFailed("refused".to_owned()));
                bench.until_deadline();
                // The first wait is none: this is the second one.
                bench.handle(Input::ConnectFailed("refused".to_owned()));
            }
            State::Connect | State::OpenSent | State::OpenConfirm | State::Established => {
                bench.handle(Input::Start);
                if state > State::Active {
                    bench.handle(Input::Connected(local()));
                }
                if state > State::OpenSent {
                    bench.handle(Input::Received(octets(open)));
                }
                if state > State::OpenConfirm {
                    bench.handle(Input::Received(KEEPALIVE.to_vec()));
                    bench.written();
                }
            }
        }
        assert_eq!(bench.session.state(), state);
        bench.take();
        bench
    }

    fn established() -> Self {
        Self::to(params(), &their_open(), State::Established)
    }

    /// Everything that was to be written so far is.
    fn written(&mut self) {
        let in_flight = self.session.connection.as_ref().unwrap().in_flight;
        self.handle(Input::Written(in_flight));
    }

    fn state(&self) -> State {
        self.session.state()
    }
}

/// The messages of [`Output::Transmit`], in order.
fn messages(outputs: &[Output]) -> Vec<Message> {
    outputs
        .iter()
        .filter_map(|output| match output {
            Output::Transmit(message) => {
                let context = Context {
                    extended: true,
                    four_octet: true,
                    refresh: true,
                    enhanced_refresh: true,
                    ipv4: true,
                    ipv6: true,
                    ..Context::default()
                };
                assert_eq!(frame(message, true).unwrap(), Some(message.len()));
                Some(decode(message, &context).unwrap())
            }
            _ => None,
        })
        .collect()
}

/// The lines of the log.
fn lines(outputs: &[Output]) -> Vec<&Record> {
    outputs
        .iter()
        .filter_map(|output| match output {
            Output::Log(record) => Some(record),
            _ => None,
        })
        .collect()
}

fn field<'a>(record: &'a Record, name: &str) -> &'a str {
    record
        .fields
        .iter()
        .find(|(other, _)| *other == name)
        .map(|(_, value)| value.as_str())
        .unwrap_or_default()
}

/// What is wanted, in a few words; the log is left out.
fn words(outputs: &[Output]) -> String {
    let words: Vec<String> = outputs
        .iter()
        .filter_map(|output| {
            Some(match output {
                Output::Dial(_) => "dial".to_owned(),
                Output::Transmit(_) => {
                    match messages(std::slice::from_ref(output)).pop().unwrap() {
                        Message::Open(_) => "OPEN".to_owned(),
                        Message::Update(_) => "UPDATE".to_owned(),
                        Message::Notification(said) => {
                            format!("NOTIFICATION {}/{}", said.code, said.subcode)
                        }
                        Message::Keepalive => "KEEPALIVE".to_owned(),
                        Message::RouteRefresh(_) => "ROUTE-REFRESH".to_owned(),
                    }
                }
                Output::Close(How::Written) => "close".to_owned(),
                Output::Close(How::Silently) => "drop".to_owned(),
                Output::Up => "up".to_owned(),
                Output::Down(_) => "down".to_owned(),
                Output::Log(_) => return None,
                Output::Ended => "ended".to_owned(),
            })
        })
        .collect();
    words.join(", ")
}
