//! Timers, waits, and what is said about it.

use super::*;

/// A wait that jitter may have shortened by up to a quarter.
fn is_about(wait: Duration, whole: Duration) {
    assert!(
        wait <= whole && wait >= whole * 3 / 4,
        "{wait:?}, not {whole:?}"
    );
}

#[test]
fn a_dial_that_nobody_answers_is_given_up_after_ten_seconds_and_tried_again_later_and_later() {
    let mut bench = Bench::new(params());
    bench.handle(Input::Start);
    for whole in [0, 1, 2, 4, 8, 16, 32, 64, 120, 120] {
        assert_eq!(bench.until_deadline(), 10 * SECOND);
        assert_eq!(bench.state(), State::Active);
        is_about(bench.until_deadline(), whole * SECOND);
        assert_eq!(bench.state(), State::Connect);
    }
    assert_eq!(bench.session.figures().counters.connect_failures, 10);
}

#[test]
fn an_unanswered_dial_says_what_may_be_the_reason() {
    let why = |change: fn(&mut Params)| {
        let mut params = params();
        change(&mut params);
        let mut bench = Bench::new(params);
        bench.handle(Input::Start);
        bench.until_deadline();
        lines(&bench.take())[0].error.clone().unwrap()
    };
    assert_eq!(why(|_| {}), "no answer within 10 s");
    assert_eq!(
        why(|params| params.password = Password("secret".into())),
        "no answer within 10 s (a wrong password looks like this)"
    );
    assert_eq!(
        why(|params| params.ttl_security = Some(2)),
        "no answer within 10 s (a peer that does not send with TTL 255, or is more than 2 hops away, looks like this)"
    );
}

#[test]
fn a_peer_that_accepts_and_says_nothing_is_given_four_minutes() {
    let mut bench = Bench::to(params(), &their_open(), State::OpenSent);
    let begin = bench.now;
    bench.until_deadline();
    assert_eq!(bench.now - begin, CONNECT_TIME);
    assert_eq!(words(&bench.take()), "");
    bench.until_deadline();
    assert_eq!(bench.now - begin, LARGE_HOLD_TIME);
    assert_eq!(words(&bench.take()), "NOTIFICATION 4/0, close");
    assert_eq!(bench.state(), State::Idle);
}

#[test]
fn of_a_peer_that_says_nothing_more_it_is_said_what_may_be_the_reason() {
    let told = |state, change: fn(&mut Params)| {
        let mut params = params();
        change(&mut params);
        let theirs = Open {
            my_as: params.peer_asn.try_into().unwrap(),
            capabilities: Vec::new(),
            ..their_open()
        };
        let mut bench = Bench::to(params, &theirs, state);
        bench.take();
        assert_eq!(bench.until_deadline(), CONNECT_TIME);
        let outputs = bench.take();
        let line = lines(&outputs)[0];
        assert_eq!(line.level, Level::Error);
        line.error.clone().unwrap()
    };
    let said = |change| told(State::OpenSent, change);
    let silent = "the peer took the connection, but its OPEN has not come for 10 s";
    assert_eq!(
        said(|_| {}),
        format!(
            "{silent} (one that is not told ebgp-multihop where routers are between, or wants ttl-security, looks like this)"
        )
    );
    assert_eq!(
        said(|params| params.ttl_security = Some(1)),
        format!(
            "{silent} (one that is not told ebgp-multihop where routers are between looks like this)"
        )
    );
    assert_eq!(
        said(|params| params.peer_asn = params.my_asn),
        format!("{silent} (one that wants ttl-security looks like this)")
    );
    assert_eq!(
        said(|params| {
            params.peer_asn = params.my_asn;
            params.ttl_security = Some(1);
        }),
        silent
    );
    let unanswered = "the peer has not answered our OPEN for 10 s";
    assert_eq!(
        told(State::OpenConfirm, |_| {}),
        format!("{unanswered} (one that wants ttl-security looks like this)")
    );
    assert_eq!(
        told(State::OpenConfirm, |params| params.ttl_security = Some(1)),
        unanswered
    );
    // Of one that answers in time nothing is said.
    let mut bench = Bench::established();
    bench.take();
    bench.pass(CONNECT_TIME);
    assert_eq!(lines(&bench.take()).len(), 0);
}

#[test]
fn the_lower_hold_time_counts_and_a_third_of_it_is_between_keepalives() {
    let mut open = their_open();
    open.hold_time = 9;
    let mut bench = Bench::to(params(), &open, State::Established);
    let mut heard = Duration::ZERO;
    loop {
        let wait = bench.until_deadline();
        heard += wait;
        match words(&bench.take()).as_str() {
            "KEEPALIVE" => is_about(wait, 3 * SECOND),
            other => {
                assert_eq!(other, "NOTIFICATION 4/0, close, down");
                break;
            }
        }
    }
    assert_eq!(heard, 9 * SECOND);
}

#[test]
fn a_shorter_keepalive_time_is_kept_and_a_longer_one_is_not() {
    for (configured, whole) in [(5, 5), (60, 30)] {
        let mut params = params();
        params.keepalive_time = configured * SECOND;
        let mut bench = Bench::to(params, &their_open(), State::Established);
        is_about(bench.until_deadline(), whole * SECOND);
        assert_eq!(words(&bench.take()), "KEEPALIVE");
    }
}

#[test]
fn an_update_counts_as_a_keepalive_both_ways() {
    let mut bench = Bench::established();
    bench.pass(20 * SECOND);
    bench.handle(Input::Route(route(1), attributes()));
    bench.written();
    let keepalive = bench.session.timers.at(Timer::Keepalive).unwrap() - bench.now;
    is_about(keepalive, 30 * SECOND);
    bench.handle(Input::Received(end_of_rib(Family::IPV4_UNICAST)));
    assert_eq!(
        bench.session.timers.at(Timer::Hold),
        Some(bench.now + 90 * SECOND)
    );
    // RFC 4271 §8.2.2: a ROUTE-REFRESH does not.
    bench.pass(SECOND);
    bench.handle(Input::Received(refresh()));
    assert_eq!(
        bench.session.timers.at(Timer::Hold),
        Some(bench.now + 89 * SECOND)
    );
}

#[test]
fn hold_time_zero_of_either_side_turns_the_timers_off() {
    let mut ours = params();
    ours.hold_time = Duration::ZERO;
    ours.keepalive_time = Duration::ZERO;
    let mut theirs = their_open();
    theirs.hold_time = 0;
    for (params, open) in [(ours, their_open()), (params(), theirs)] {
        let mut bench = Bench::to(params, &open, State::OpenConfirm);
        // The peer owes a KEEPALIVE all the same.
        assert_eq!(
            bench.session.timers.at(Timer::Hold),
            Some(bench.now + LARGE_HOLD_TIME)
        );
        bench.handle(Input::Received(KEEPALIVE.to_vec()));
        assert_eq!(bench.state(), State::Established);
        // Nobody reads, and nobody minds.
        assert_eq!(bench.session.next_deadline(), None);
    }
}

#[test]
fn what_arrived_before_a_late_tick_counts() {
    let mut bench = Bench::established();
    bench.now += 1000 * SECOND;
    bench.handle(Input::Received(KEEPALIVE.to_vec()));
    bench.handle(Input::Tick);
    assert_eq!(bench.state(), State::Established);
    assert_eq!(words(&bench.take()), "KEEPALIVE");
}

#[test]
fn a_peer_that_does_not_read_is_left_after_eight_minutes_and_what_waits_is_bounded() {
    let mut bench = Bench::established();
    for number in 0..=255 {
        bench.handle(Input::Route(route(number), attributes()));
    }
    let begin = bench.now;
    while bench.state() == State::Established {
        // It speaks, but it does not read.
        bench.handle(Input::Received(KEEPALIVE.to_vec()));
        bench.until_deadline();
        if let Some(connection) = &bench.session.connection {
            assert!(connection.in_flight <= IN_FLIGHT + 4096);
        }
    }
    assert_eq!(bench.now - begin, SEND_HOLD_TIME);
    let words = words(&bench.take());
    assert!(words.ends_with("NOTIFICATION 8/0, close, down"), "{words}");
}

#[test]
fn a_slow_reader_is_not_left() {
    let mut bench = Bench::established();
    for number in 0..100 {
        bench.handle(Input::Route(route(number), attributes()));
        bench.handle(Input::Received(KEEPALIVE.to_vec()));
        bench.handle(Input::Written(1));
        bench.pass(60 * SECOND);
    }
    assert_eq!(bench.state(), State::Established);
    bench.written();
    assert_eq!(bench.session.timers.at(Timer::SendHold), None);
}

#[test]
fn updates_wait_for_room() {
    let mut bench = Bench::established();
    // Each with attributes of its own, so that each is a message.
    let many = IN_FLIGHT / 40;
    for number in 0..many {
        let prefix = IpNet::new(
            IpAddr::V4(Ipv4Addr::from_bits(
                0x0a00_0000 + u32::try_from(number).unwrap(),
            )),
            32,
        )
        .unwrap();
        let attributes = Attributes {
            origin: Origin::Igp,
            local_pref: 0,
            communities: Box::new([u32::try_from(number).unwrap()]),
        };
        bench.handle(Input::Route(prefix, Some(Arc::new(attributes))));
    }
    let under_way = |bench: &Bench| bench.session.connection.as_ref().unwrap().in_flight;
    assert!(under_way(&bench) >= IN_FLIGHT && under_way(&bench) < IN_FLIGHT + 4096);
    let figures = bench.session.figures();
    assert!(figures.pending > 0);
    assert_eq!(figures.announced + figures.pending, many);
    bench.take();
    bench.handle(Input::Written(1000));
    assert!(!messages(&bench.take()).is_empty());
    assert!(under_way(&bench) >= IN_FLIGHT && under_way(&bench) < IN_FLIGHT + 4096);
    while bench.session.figures().pending > 0 {
        bench.written();
    }
    assert_eq!(bench.session.figures().announced, many);
}

/// Drops an Established session, and says how long the next dial waits.
fn wait_after_loss(bench: &mut Bench) -> Duration {
    bench.handle(Input::Closed);
    let wait = bench.until_deadline();
    assert_eq!(bench.state(), State::Connect);
    bench.handle(Input::Connected(local()));
    bench.handle(Input::Received(octets(&their_open())));
    bench.handle(Input::Received(KEEPALIVE.to_vec()));
    assert_eq!(bench.state(), State::Established);
    bench.written();
    wait
}

#[test]
fn only_a_session_that_lasted_begins_the_waits_anew() {
    let mut bench = Bench::established();
    for whole in [0, 1, 2, 4, 8] {
        is_about(wait_after_loss(&mut bench), whole * SECOND);
        bench.now += STABLE - SECOND;
    }
    bench.handle(Input::Received(KEEPALIVE.to_vec()));
    bench.now += STABLE;
    bench.handle(Input::Received(KEEPALIVE.to_vec()));
    assert_eq!(wait_after_loss(&mut bench), Duration::ZERO);
}

#[test]
fn the_same_trouble_is_said_once_in_five_minutes() {
    let mut bench = Bench::established();
    let begin = bench.now;
    let mut loud = 0;
    let mut quiet = 0;
    bench.take();
    while bench.now - begin < 30 * 60 * SECOND {
        wait_after_loss(&mut bench);
        for record in lines(&bench.take()) {
            match (record.subject, record.level) {
                (crate::journal::Subject::Event("sessionDown"), Level::Warn) => loud += 1,
                (crate::journal::Subject::Event("sessionDown"), Level::Debug) => quiet += 1,
                _ => {}
            }
        }
    }
    assert!((4..=6).contains(&loud), "{loud}");
    assert!(quiet > 10, "{quiet}");
}

#[test]
fn that_a_peer_is_still_letting_go_of_the_last_session_is_no_news() {
    let mut bench = Bench::established();
    bench.handle(Input::BfdDown);
    bench.until_deadline();
    let levels = |bench: &mut Bench| {
        bench.handle(Input::Connected(local()));
        bench.take();
        bench.handle(Input::Closed);
        let said = bench.take();
        lines(&said)
            .iter()
            .map(|line| line.level)
            .collect::<Vec<_>>()
    };
    assert_eq!(levels(&mut bench), [Level::Debug]);
    while bench.now - bench.session.down_at.unwrap() < LETTING_GO {
        bench.until_deadline();
        if bench.state() != State::Connect {
            continue;
        }
        if bench.now - bench.session.down_at.unwrap() < LETTING_GO {
            assert_eq!(levels(&mut bench), [Level::Debug]);
        }
    }
    assert_eq!(levels(&mut bench), [Level::Error]);
    bench.until_deadline();
    assert_eq!(levels(&mut bench), [Level::Debug]);
}

#[test]
fn up_and_down_are_said_as_upstream_does() {
    let mut bench = Bench::to(params(), &their_open(), State::OpenConfirm);
    bench.handle(Input::Received(KEEPALIVE.to_vec()));
    let said = bench.take();
    let up = lines(&said)[0];
    assert_eq!(up.subject, crate::journal::Subject::Event("sessionUp"));
    assert_eq!(up.msg, "BGP session established");
    assert_eq!(up.level, Level::Info);
    assert_eq!(field(up, "peer"), "10.0.0.1:179");
    assert_eq!(field(up, "localASN"), "64512");
    assert_eq!(field(up, "peerASN"), "64513");
    assert_eq!(field(up, "families"), "IPv4 unicast, IPv6 unicast");
    assert_eq!(field(up, "holdTime"), "90s");

    let reset = Notification::cease_with_text(Cease::AdministrativeReset, "new\nrouter");
    bench.handle(Input::Received(notification(&reset)));
    let said = bench.take();
    let down = lines(&said)[0];
    assert_eq!(down.subject, crate::journal::Subject::Event("sessionDown"));
    assert_eq!(down.msg, "BGP session down");
    assert_eq!(down.level, Level::Warn);
    assert_eq!(field(down, "peer"), "10.0.0.1:179");
    let reason = r#"the peer says Cease/Administrative Reset: "new\nrouter""#;
    assert_eq!(field(down, "reason"), reason);
    assert!(said.contains(&Output::Down(reason.to_owned())));
}

#[test]
fn graceful_restart_closes_without_a_word_and_other_sessions_with_one() {
    let with = |restart: bool, theirs: bool, shutdown: Option<Duration>| {
        let mut params = params();
        params.graceful_restart = restart.then_some(120 * SECOND);
        params.graceful_shutdown = shutdown;
        let mut open = their_open();
        if theirs {
            open.capabilities.push(Capability::GracefulRestart {
                restart_state: false,
                notification: true,
                time: 120,
                families: Vec::new(),
            });
        }
        let mut bench = Bench::to(params, &open, State::Established);
        bench.handle(Input::Route(route(1), attributes()));
        bench.written();
        bench.take();
        bench.handle(Input::Shutdown);
        bench
    };
    let mut bench = with(true, true, Some(SECOND));
    assert_eq!(words(&bench.take()), "close, down, ended");
    // Only one of both wants it.
    let mut bench = with(true, false, None);
    assert_eq!(words(&bench.take()), "NOTIFICATION 6/2, close, down, ended");
    let mut bench = with(false, true, None);
    assert_eq!(words(&bench.take()), "NOTIFICATION 6/2, close, down, ended");
    // RFC 8326, bounded.
    for (wish, wait) in [(300, 300), (60_000, 1000)] {
        let mut bench = with(false, false, Some(Duration::from_millis(wish)));
        assert_eq!(words(&bench.take()), "UPDATE");
        assert_eq!(bench.state(), State::Established);
        bench.handle(Input::Shutdown);
        bench.handle(Input::Reconfigure(Arc::new(super::params())));
        assert_eq!(words(&bench.take()), "");
        assert_eq!(bench.until_deadline(), Duration::from_millis(wait));
        assert_eq!(words(&bench.take()), "NOTIFICATION 6/2, close, down, ended");
        assert_eq!(bench.session.next_deadline(), None);
    }
    // One that is lost meanwhile is not dialled again.
    let mut bench = with(false, false, Some(SECOND));
    bench.take();
    bench.handle(Input::Closed);
    assert_eq!(words(&bench.take()), "drop, down, ended");
    assert_eq!(bench.session.next_deadline(), None);
}

#[test]
fn a_peer_that_is_not_wanted_any_more_keeps_no_routes() {
    let mut params = params();
    params.graceful_restart = Some(120 * SECOND);
    let restart = |notification| {
        let mut open = their_open();
        open.capabilities.push(Capability::GracefulRestart {
            restart_state: false,
            notification,
            time: 120,
            families: Vec::new(),
        });
        open
    };
    // RFC 8538 §4: Hard Reset, with the reason inside.
    let mut bench = Bench::to(params.clone(), &restart(true), State::Established);
    bench.handle(Input::Stop);
    let said = messages(&bench.take());
    let Message::Notification(said) = &said[0] else {
        panic!("{said:?}");
    };
    assert!(said.is_hard_reset());
    assert_eq!(
        said.to_string(),
        "Cease/Hard Reset: Cease/Peer De-configured"
    );
    // A change of its configuration is not the end.
    let mut bench = Bench::to(params.clone(), &restart(true), State::Established);
    bench.handle(Input::Reconfigure(Arc::new(super::params())));
    assert_eq!(words(&bench.take()), "NOTIFICATION 6/6, close, down, dial");
    // Without the N bit every NOTIFICATION is.
    let mut bench = Bench::to(params, &restart(false), State::Established);
    bench.handle(Input::Stop);
    assert_eq!(words(&bench.take()), "NOTIFICATION 6/3, close, down, ended");
}

#[test]
fn bfd_brings_down_what_is_up_and_the_next_dial_waits_longer() {
    let mut bench = Bench::established();
    bench.handle(Input::BfdDown);
    let said = bench.take();
    assert_eq!(words(&said), "drop, down");
    assert_eq!(
        field(lines(&said)[0], "reason"),
        "BFD: the way to the peer is down"
    );
    assert_eq!(bench.until_deadline(), Duration::ZERO);
    bench.handle(Input::Connected(local()));
    bench.handle(Input::BfdDown);
    is_about(bench.until_deadline(), SECOND);
}
