//! What OPENs say and what they come to.

use super::*;

/// The OPEN that is sent with these parameters.
fn sent(params: Params, local: Local) -> Open {
    let mut bench = Bench::new(params);
    bench.handle(Input::Start);
    bench.handle(Input::Connected(local));
    match messages(&bench.take()).remove(0) {
        Message::Open(open) => open,
        other => panic!("{other:?}"),
    }
}

/// What becomes of an OPEN: the state, and the NOTIFICATION if there is one.
fn answer(params: Params, open: &Open) -> (State, Option<String>) {
    let mut bench = Bench::to(params, &their_open(), State::OpenSent);
    bench.handle(Input::Received(octets(open)));
    let said = messages(&bench.take())
        .into_iter()
        .find_map(|message| match message {
            Message::Notification(said) => Some(said.to_string()),
            _ => None,
        });
    (bench.state(), said)
}

#[test]
fn an_open_offers_what_peers_expect() {
    let open = sent(params(), local());
    assert_eq!(open.asn(), 64512);
    assert_eq!(open.hold_time, 90);
    assert_eq!(open.bgp_identifier, Ipv4Addr::new(10, 0, 0, 7));
    let all = [
        Capability::MultiProtocol(Family::IPV4_UNICAST),
        Capability::MultiProtocol(Family::IPV6_UNICAST),
        Capability::RouteRefresh,
        Capability::EnhancedRouteRefresh,
        Capability::ExtendedMessage,
        Capability::FourOctetAs(64512),
    ];
    assert_eq!(open.capabilities, all);
}

#[test]
fn ipv4_over_ipv6_is_offered_on_ipv6_sessions_alone() {
    let mut params = params();
    params.peer_address = "fd00::1".parse().unwrap();
    assert!(sent(params, local()).takes_ipv4_over_ipv6());
    assert!(!sent(self::params(), local()).takes_ipv4_over_ipv6());
}

#[test]
fn the_first_session_of_a_program_says_that_it_has_restarted_and_later_ones_do_not() {
    let mut params = params();
    params.graceful_restart = Some(120 * SECOND);
    let mut bench = Bench::new(params);
    bench.handle(Input::Start);
    let mut states = Vec::new();
    for _ in 0..3 {
        bench.take();
        bench.handle(Input::Connected(local()));
        for message in messages(&bench.take()) {
            if let Message::Open(open) = message {
                match open.graceful_restart() {
                    Some(Capability::GracefulRestart {
                        restart_state,
                        notification: true,
                        time: 120,
                        families,
                    }) => {
                        assert!(families.iter().all(|family| family.forwarding));
                        assert_eq!(families.len(), 2);
                        states.push(*restart_state);
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
        if states.len() == 2 {
            bench.handle(Input::Received(octets(&their_open())));
            bench.handle(Input::Received(KEEPALIVE.to_vec()));
        }
        bench.handle(Input::Closed);
        bench.until_deadline();
    }
    assert_eq!(states, [true, true, false]);
}

#[test]
fn the_router_id_is_the_configured_one_then_the_local_address_then_the_interfaces_then_the_nodes() {
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    let id = |params: &Params, address: &str, interface: &[&str]| {
        let local = Local {
            address: ip(address),
            interface: interface.iter().map(|text| ip(text)).collect(),
        };
        sent(params.clone(), local).bgp_identifier.to_string()
    };
    let mut params = params();
    assert_eq!(id(&params, "10.0.0.7", &["10.0.0.7"]), "10.0.0.7");
    let all = ["fe80::1", "fd00::7", "192.0.2.7", "192.0.2.8"];
    assert_eq!(id(&params, "fd00::7", &all), "192.0.2.7");
    assert_eq!(id(&params, "::1", &["127.0.0.1", "::1"]), "1.2.3.4");
    assert_eq!(id(&params, "fd00::7", &[]), "1.2.3.4");
    params.router_id = Some(Ipv4Addr::new(9, 9, 9, 9));
    assert_eq!(id(&params, "10.0.0.7", &all), "9.9.9.9");
}

#[test]
fn the_next_hops_are_our_own_addresses_of_the_session_or_of_its_interface() {
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    let hops = |address: &str, interface: &[&str], extended_next_hop: bool| {
        let local = Local {
            address: ip(address),
            interface: interface.iter().map(|text| ip(text)).collect(),
        };
        let context = Context {
            extended_next_hop,
            ..Context::default()
        };
        let routes = local.routes(&params(), context);
        let text = |ip: Option<String>| ip.unwrap_or_else(|| "none".to_owned());
        [
            text(routes.next_hop_v4.map(|ip| ip.to_string())),
            text(routes.next_hop_v6.map(|hop| hop.global.to_string())),
            text(
                routes
                    .next_hop_v6
                    .and_then(|hop| hop.link_local)
                    .map(|ip| ip.to_string()),
            ),
        ]
    };
    let all = ["10.0.0.7", "10.0.0.8", "fe80::7", "fd00::7", "fd00::8"];
    assert_eq!(
        hops("10.0.0.8", &all, false),
        ["10.0.0.8", "fd00::7", "none"]
    );
    assert_eq!(
        hops("fd00::8", &all, false),
        ["10.0.0.7", "fd00::8", "none"]
    );
    assert_eq!(hops("fd00::8", &all, true), ["none", "fd00::8", "none"]);
    assert_eq!(hops("fe80::7", &all, true), ["none", "fd00::7", "fe80::7"]);
    assert_eq!(
        hops("fe80::7", &["fe80::7"], true),
        ["none", "fe80::7", "fe80::7"]
    );
    assert_eq!(
        hops("10.0.0.7", &["10.0.0.7"], false),
        ["10.0.0.7", "none", "none"]
    );
    assert_eq!(
        hops("10.0.0.7", &["10.0.0.7", "fe80::7"], false),
        ["10.0.0.7", "fe80::7", "fe80::7"]
    );
    assert_eq!(hops("fd00::7", &[], false), ["none", "fd00::7", "none"]);
}

#[test]
fn another_as_than_the_configured_one_is_refused() {
    let mut open = their_open();
    open.my_as = 64999;
    open.capabilities
        .retain(|capability| !matches!(capability, Capability::FourOctetAs(_)));
    let refused = (
        State::Idle,
        Some("OPEN Message Error/Bad Peer AS: AS 64999".to_owned()),
    );
    assert_eq!(answer(params(), &open), refused);
    // RFC 6793 §4.1: the capability counts.
    open.my_as = 64513;
    open.capabilities.push(Capability::FourOctetAs(64999));
    assert_eq!(answer(params(), &open), refused);
    // And only it, where it is.
    let mut params = params();
    params.peer_asn = 4_200_000_000;
    let open = Open::new(
        4_200_000_000,
        90,
        Ipv4Addr::new(10, 0, 0, 1),
        vec![Capability::FourOctetAs(4_200_000_000)],
    );
    assert_eq!(open.my_as, 23456);
    assert_eq!(answer(params, &open), (State::OpenConfirm, None));
}

#[test]
fn the_log_says_which_as_was_expected() {
    let mut bench = Bench::to(params(), &their_open(), State::OpenSent);
    let mut open = their_open();
    open.capabilities = vec![Capability::FourOctetAs(64999)];
    bench.handle(Input::Received(octets(&open)));
    let said = bench.take();
    let record = lines(&said)[0];
    assert_eq!(record.level, Level::Error);
    assert_eq!(record.subject, crate::journal::Subject::Op("connect"));
    assert_eq!(
        record.error.as_deref(),
        Some(
            "OPEN Message Error/Bad Peer AS: the peer says 64999, this configuration expects 64513"
        )
    );
}

#[test]
fn an_internal_peer_with_our_identifier_is_refused_and_an_external_one_is_not() {
    let mut open = their_open();
    open.bgp_identifier = Ipv4Addr::new(10, 0, 0, 7);
    assert_eq!(answer(params(), &open), (State::OpenConfirm, None));
    let mut params = params();
    params.my_asn = 64513;
    let (state, said) = answer(params.clone(), &open);
    assert_eq!(state, State::Idle);
    assert_eq!(
        said.as_deref(),
        Some("OPEN Message Error/Bad BGP Identifier")
    );
    open.bgp_identifier = Ipv4Addr::UNSPECIFIED;
    assert_eq!(answer(params, &open).0, State::Idle);
}

#[test]
fn a_hold_time_of_one_or_two_seconds_is_refused() {
    for (seconds, state) in [
        (0, State::OpenConfirm),
        (1, State::Idle),
        (2, State::Idle),
        (3, State::OpenConfirm),
    ] {
        let mut open = their_open();
        open.hold_time = seconds;
        let (after, said) = answer(params(), &open);
        assert_eq!(after, state);
        if state == State::Idle {
            let want = "OPEN Message Error/Unacceptable Hold Time";
            assert_eq!(said.as_deref(), Some(want));
        }
    }
}

#[test]
fn another_version_is_refused() {
    let mut open = their_open();
    open.version = 3;
    let (state, said) = answer(params(), &open);
    assert_eq!(state, State::Idle);
    let want = "OPEN Message Error/Unsupported Version Number: only up to version 4";
    assert_eq!(said.as_deref(), Some(want));
}

#[test]
fn a_peer_without_capabilities_gets_ipv4_unicast_alone() {
    let mut open = their_open();
    open.capabilities.clear();
    let mut bench = Bench::to(params(), &open, State::Established);
    let agreement = bench.session.agreement().unwrap().clone();
    assert!(agreement.context.ipv4 && !agreement.context.ipv6);
    assert!(!agreement.context.four_octet && !agreement.context.extended);
    bench.handle(Input::Route(route(1), attributes()));
    bench.handle(Input::Route("fd00:1::/64".parse().unwrap(), attributes()));
    let said = bench.take();
    assert_eq!(words(&said), "UPDATE");
    assert_eq!(bench.session.figures().announced, 1);
    assert_eq!(bench.session.figures().unsendable, 1);
    let record = lines(&said)[0];
    assert_eq!(record.level, Level::Warn);
    assert_eq!(
        field(record, "reason"),
        "the peer does not take that address family"
    );
    // Said once.
    bench.handle(Input::Route("fd00:2::/64".parse().unwrap(), attributes()));
    assert_eq!(lines(&bench.take()), Vec::<&Record>::new());
}

#[test]
fn a_peer_that_refuses_capabilities_is_asked_without_them_and_then_with_them_again() {
    let mut params = params();
    params.my_asn = 4_200_000_000;
    let mut bench = Bench::new(params);
    bench.handle(Input::Start);
    let mut offered = Vec::new();
    for _ in 0..4 {
        bench.take();
        bench.handle(Input::Connected(local()));
        for message in messages(&bench.take()) {
            if let Message::Open(open) = message {
                assert_eq!(open.my_as, 23456);
                offered.push(!open.capabilities.is_empty());
            }
        }
        // Unsupported Optional Parameter.
        let refused = Notification::new(2, 4);
        bench.handle(Input::Received(notification(&refused)));
        bench.until_deadline();
    }
    assert_eq!(offered, [true, false, true, false]);
}

#[test]
fn after_a_refresh_everything_is_said_again() {
    let mut bench = Bench::established();
    bench.handle(Input::Route(route(1), attributes()));
    bench.written();
    bench.take();
    bench.handle(Input::Received(refresh()));
    let said = messages(&bench.take());
    let announced: u32 = said
        .iter()
        .map(|message| match message {
            Message::Update(update) => update.announced,
            _ => 0,
        })
        .sum();
    assert_eq!(announced, 1);
    assert_eq!(bench.session.figures().counters.refreshes_in, 1);
}

#[test]
fn messages_arrive_in_any_pieces() {
    let mut stream = octets(&their_open());
    stream.extend_from_slice(&KEEPALIVE);
    stream.extend_from_slice(&end_of_rib(Family::IPV4_UNICAST));
    for size in 1..=stream.len() {
        let mut bench = Bench::to(params(), &their_open(), State::OpenSent);
        for piece in stream.chunks(size) {
            bench.handle(Input::Received(piece.to_vec()));
        }
        assert_eq!(bench.state(), State::Established);
        let counters = bench.session.figures().counters;
        assert_eq!((counters.messages_in, counters.updates_in), (3, 1));
        assert!(bench.session.connection.as_ref().unwrap().input.is_empty());
    }
}
