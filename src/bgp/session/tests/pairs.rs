//! Every pair of state and input.

use super::*;

const STATES: [State; 6] = [
    State::Idle,
    State::Connect,
    State::Active,
    State::OpenSent,
    State::OpenConfirm,
    State::Established,
];

/// In this state, with a wait ahead; Idle is that between two attempts.
fn at(state: State) -> Bench {
    let mut bench = if state == State::Idle {
        let mut bench = Bench::to(params(), &their_open(), State::OpenSent);
        bench.handle(Input::Received(KEEPALIVE.to_vec()));
        // The first wait is none: this is the second one.
        bench.until_deadline();
        bench.handle(Input::Connected(local()));
        bench.handle(Input::Received(KEEPALIVE.to_vec()));
        bench
    } else {
        Bench::to(params(), &their_open(), state)
    };
    assert_eq!(bench.state(), state);
    bench.take();
    bench
}

/// `=`: the state stays; then what is wanted.
fn outcome(state: State, input: impl FnOnce(&mut Bench)) -> String {
    let mut bench = at(state);
    input(&mut bench);
    let after = bench.state();
    let state = if after == state {
        "=".to_owned()
    } else {
        format!("{after:?}")
    };
    format!("{state} {}", words(&bench.take()))
        .trim_end()
        .to_owned()
}

fn check(name: &str, want: [&str; 6], input: impl Fn(&mut Bench)) {
    for (state, want) in STATES.into_iter().zip(want) {
        assert_eq!(outcome(state, &input), want, "{name} in {state:?}");
    }
}

fn receive(octets: Vec<u8>) -> impl Fn(&mut Bench) {
    move |bench| bench.handle(Input::Received(octets.clone()))
}

/// The timer is due, whether it runs or not.
fn expire(timer: Timer) -> impl Fn(&mut Bench) {
    move |bench| {
        let due = bench.now;
        bench.session.timers.stop_all();
        bench.session.timers.start(timer, due);
        bench.handle(Input::Tick);
    }
}

#[test]
fn what_is_wanted() {
    check(
        "Start",
        ["Connect dial", "=", "=", "=", "=", "="],
        |bench| bench.handle(Input::Start),
    );
    check(
        "Stop",
        [
            "= ended",
            "Idle drop, ended",
            "Idle ended",
            "Idle NOTIFICATION 6/3, close, ended",
            "Idle NOTIFICATION 6/3, close, ended",
            "Idle NOTIFICATION 6/3, close, down, ended",
        ],
        |bench| bench.handle(Input::Stop),
    );
    check(
        "Shutdown",
        [
            "= ended",
            "Idle drop, ended",
            "Idle ended",
            "Idle NOTIFICATION 6/2, close, ended",
            "Idle NOTIFICATION 6/2, close, ended",
            "Idle NOTIFICATION 6/2, close, down, ended",
        ],
        |bench| bench.handle(Input::Shutdown),
    );
    check(
        "Reconfigure",
        [
            "Connect dial",
            "= drop, dial",
            "Connect dial",
            "Connect NOTIFICATION 6/6, close, dial",
            "Connect NOTIFICATION 6/6, close, dial",
            "Connect NOTIFICATION 6/6, close, down, dial",
        ],
        |bench| {
            let mut params = params();
            params.hold_time = 9 * SECOND;
            bench.handle(Input::Reconfigure(Arc::new(params)));
        },
    );
    check(
        "BfdDown",
        ["=", "=", "=", "Idle drop", "Idle drop", "Idle drop, down"],
        |bench| bench.handle(Input::BfdDown),
    );
    check("Route", ["=", "=", "=", "=", "=", "= UPDATE"], |bench| {
        bench.handle(Input::Route(route(1), attributes()));
    });
}

#[test]
fn timers() {
    check(
        "IdleHold",
        ["Connect dial", "=", "=", "=", "=", "="],
        expire(Timer::IdleHold),
    );
    check(
        "ConnectRetry",
        ["=", "Active drop", "Connect dial", "=", "=", "="],
        expire(Timer::ConnectRetry),
    );
    check(
        "Hold",
        [
            "=",
            "=",
            "=",
            "Idle NOTIFICATION 4/0, close",
            "Idle NOTIFICATION 4/0, close",
            "Idle NOTIFICATION 4/0, close, down",
        ],
        expire(Timer::Hold),
    );
    check(
        "Keepalive",
        ["=", "=", "=", "=", "= KEEPALIVE", "= KEEPALIVE"],
        expire(Timer::Keepalive),
    );
    check(
        "SendHold",
        [
            "=",
            "=",
            "=",
            "=",
            "=",
            "Idle NOTIFICATION 8/0, close, down",
        ],
        expire(Timer::SendHold),
    );
    check(
        "Leaving",
        [
            "=",
            "=",
            "=",
            "=",
            "=",
            "Idle NOTIFICATION 6/2, close, down, ended",
        ],
        expire(Timer::Leaving),
    );
    // In OpenSent and OpenConfirm something is said.
    check("Silence", ["="; 6], expire(Timer::Silence));
    check("a tick before its time", ["="; 6], |bench| {
        bench.handle(Input::Tick);
    });
}

#[test]
fn the_connection() {
    check(
        "Connected",
        ["=", "OpenSent OPEN", "=", "=", "=", "="],
        |bench| bench.handle(Input::Connected(local())),
    );
    check(
        "ConnectFailed",
        ["=", "Active", "=", "=", "=", "="],
        |bench| bench.handle(Input::ConnectFailed("refused".to_owned())),
    );
    check(
        "Closed",
        ["=", "=", "=", "Active drop", "Idle drop", "Idle drop, down"],
        |bench| bench.handle(Input::Closed),
    );
    check(
        "Broken",
        ["=", "=", "=", "Active drop", "Idle drop", "Idle drop, down"],
        |bench| bench.handle(Input::Broken("reset".to_owned())),
    );
    check("Written", ["="; 6], |bench| {
        bench.handle(Input::Written(1000));
    });
}

#[test]
fn messages_received() {
    check(
        "OPEN",
        [
            "=",
            "=",
            "=",
            "OpenConfirm KEEPALIVE",
            "Idle NOTIFICATION 5/2, close",
            "Idle NOTIFICATION 5/3, close, down",
        ],
        receive(octets(&their_open())),
    );
    check(
        "KEEPALIVE",
        [
            "=",
            "=",
            "=",
            "Idle NOTIFICATION 5/1, close",
            // End-of-RIB of both families.
            "Established up, UPDATE, UPDATE",
            "=",
        ],
        receive(KEEPALIVE.to_vec()),
    );
    check(
        "UPDATE",
        [
            "=",
            "=",
            "=",
            "Idle NOTIFICATION 5/1, close",
            "Idle NOTIFICATION 5/2, close",
            "=",
        ],
        receive(end_of_rib(Family::IPV4_UNICAST)),
    );
    check(
        "ROUTE-REFRESH",
        [
            "=",
            "=",
            "=",
            "Idle NOTIFICATION 5/1, close",
            "Idle NOTIFICATION 5/2, close",
            "=",
        ],
        receive(refresh()),
    );
    check(
        "NOTIFICATION",
        ["=", "=", "=", "Idle drop", "Idle drop", "Idle drop, down"],
        receive(notification(&Notification::cease(
            Cease::AdministrativeReset,
        ))),
    );
    check(
        "no BGP",
        [
            "=",
            "=",
            "=",
            "Idle NOTIFICATION 1/1, close",
            "Idle NOTIFICATION 1/1, close",
            "Idle NOTIFICATION 1/1, close, down",
        ],
        receive(b"HTTP/1.1 400 Bad Request\r\n".to_vec()),
    );
    let mut unknown = KEEPALIVE.to_vec();
    unknown[HEADER - 1] = 9;
    check(
        "an unknown type",
        [
            "=",
            "=",
            "=",
            "Idle NOTIFICATION 1/3, close",
            "Idle NOTIFICATION 1/3, close",
            "Idle NOTIFICATION 1/3, close, down",
        ],
        receive(unknown),
    );
    // RFC 4271 §6.4: too short; nothing can be said about it.
    let mut short = notification(&Notification::cease(Cease::AdministrativeReset));
    short.truncate(HEADER + 1);
    short[17] = 20;
    check(
        "a NOTIFICATION that is none",
        [
            "=",
            "=",
            "=",
            "Idle close",
            "Idle close",
            "Idle close, down",
        ],
        receive(short),
    );
}

#[test]
fn before_the_first_start_and_after_the_end_nothing_happens() {
    let mut inputs = vec![
        Input::Tick,
        Input::Connected(local()),
        Input::ConnectFailed(String::new()),
        Input::Received(octets(&their_open())),
        Input::Closed,
        Input::Broken(String::new()),
        Input::Written(7),
        Input::BfdDown,
        Input::Reconfigure(Arc::new(params())),
        Input::Route(route(1), attributes()),
    ];
    let mut bench = Bench::new(params());
    for input in inputs.clone() {
        bench.handle(input.clone());
        assert_eq!(bench.take(), [], "{input:?}");
        assert_eq!(bench.session.next_deadline(), None);
    }
    inputs.extend([Input::Start, Input::Stop, Input::Shutdown]);
    for end in [Input::Stop, Input::Shutdown] {
        for state in STATES {
            let mut bench = at(state);
            bench.handle(end.clone());
            assert_eq!(bench.take().last(), Some(&Output::Ended));
            for input in inputs.clone() {
                bench.handle(input.clone());
                assert_eq!(bench.take(), [], "{input:?} after {end:?} in {state:?}");
                assert_eq!(bench.session.next_deadline(), None);
            }
        }
    }
}
