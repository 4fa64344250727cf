//! Whatever comes in, in whatever order.

use proptest::prelude::*;

use super::*;

fn octets_received() -> impl Strategy<Value = Vec<u8>> {
    let mut bad_open = their_open();
    bad_open.my_as = 1;
    bad_open.capabilities.clear();
    let messages = vec![
        octets(&their_open()),
        octets(&bad_open),
        KEEPALIVE.to_vec(),
        end_of_rib(Family::IPV4_UNICAST),
        refresh(),
        notification(&Notification::cease(Cease::AdministrativeReset)),
        notification(&Notification::new(2, 4)),
    ];
    prop_oneof![
        8 => proptest::sample::select(messages.clone()),
        // Some, in pieces and with wrong octets in them.
        2 => (proptest::sample::select(messages), any::<prop::sample::Index>(), any::<u8>()).prop_map(
            |(mut message, place, octet)| {
                let place = place.index(message.len());
                message[place] = octet;
                message
            }
        ),
        1 => prop::collection::vec(any::<u8>(), 0..80),
    ]
}

fn input() -> impl Strategy<Value = Input> {
    prop_oneof![
        6 => Just(Input::Tick),
        1 => Just(Input::Start),
        4 => (any::<u8>(), any::<bool>())
            .prop_map(|(number, up)| Input::Route(route(number), attributes().filter(|_| up))),
        6 => Just(Input::Connected(local())),
        1 => Just(Input::ConnectFailed("refused".to_owned())),
        10 => octets_received().prop_map(Input::Received),
        // The beginning of a session, so that most runs have one.
        4 => Just(Input::Received([octets(&their_open()), KEEPALIVE.to_vec()].concat())),
        1 => Just(Input::Closed),
        1 => Just(Input::Broken("reset".to_owned())),
        4 => (0..5000_usize).prop_map(Input::Written),
        1 => Just(Input::BfdDown),
        1 => (3..20_u32).prop_map(|seconds| {
            let mut params = params();
            params.hold_time = seconds * SECOND;
            params.graceful_shutdown = Some(SECOND);
            Input::Reconfigure(Arc::new(params))
        }),
    ]
}

/// What must be true of what is wanted, whatever came in.
#[derive(Default)]
struct Watch {
    connected: bool,
    dialled: bool,
    open_sent: bool,
    open_read: bool,
    up: bool,
    ended: bool,
}

impl Watch {
    fn look(&mut self, output: &Output) {
        assert!(!self.ended, "{output:?} after the end");
        match output {
            Output::Dial(_) => {
                assert!(!self.connected && !self.dialled);
                self.dialled = true;
            }
            Output::Transmit(message) => {
                assert!(self.connected, "nothing is said to nobody");
                assert_eq!(frame(message, false), Ok(Some(message.len())));
                self.open_sent |= message[HEADER - 1] == 1;
                assert!(self.open_sent);
            }
            Output::Close(_) => {
                assert!(self.connected || self.dialled);
                *self = Self {
                    up: self.up,
                    ..Self::default()
                };
            }
            Output::Up => {
                assert!(self.open_sent && self.open_read && !self.up);
                self.up = true;
            }
            Output::Down(_) => {
                assert!(self.up && !self.connected);
                self.up = false;
            }
            Output::Log(_) => {}
            Output::Ended => {
                assert!(!self.connected && !self.dialled && !self.up);
                self.ended = true;
            }
        }
    }
}

proptest! {
    #[test]
    fn no_input_panics_and_the_invariants_hold(
        inputs in prop::collection::vec((input(), 0..12_000_u64), 0..120),
        shutdown in any::<bool>(),
    ) {
        let mut bench = Bench::new(params());
        let mut watch = Watch::default();
        let inputs = std::iter::once((Input::Start, 0))
            .chain(inputs)
            .chain([(if shutdown { Input::Shutdown } else { Input::Stop }, 0), (Input::Tick, 2000)]);
        for (input, millis) in inputs {
            bench.now += Duration::from_millis(millis);
            match &input {
                // The driver answers each dial once, and only then.
                Input::Connected(_) if watch.dialled => {
                    watch.dialled = false;
                    watch.connected = true;
                }
                Input::ConnectFailed(_) if watch.dialled => watch.dialled = false,
                Input::Connected(_) | Input::ConnectFailed(_) => continue,
                Input::Received(_) | Input::Closed | Input::Broken(_) | Input::Written(_)
                    if !watch.connected => continue,
                Input::Received(octets) => {
                    watch.open_read |= octets.get(HEADER - 1) == Some(&1)
                        || bench.session.agreement().is_some();
                }
                _ => {}
            }
            bench.handle(input);
            for output in bench.take() {
                watch.look(&output);
            }
            let session = &bench.session;
            prop_assert_eq!(session.state() == State::Established, watch.up);
            prop_assert_eq!(session.state() == State::Connect, watch.dialled);
            prop_assert_eq!(session.connection.is_some(), watch.connected);
            prop_assert_eq!(session.connection.is_some(), session.state() >= State::OpenSent);
            if watch.ended {
                prop_assert_eq!(session.next_deadline(), None);
            } else {
                // Hold Time 0 is not among these.
                prop_assert!(session.next_deadline().is_some(), "{:?}", session.state());
            }
            if let Some(connection) = &session.connection {
                prop_assert!(connection.in_flight <= IN_FLIGHT + 65_535);
                prop_assert!(connection.input.len() < 65_535);
            }
        }
        prop_assert!(watch.ended);
    }
}
