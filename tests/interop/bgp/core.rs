//! What holds with every router.

use std::net::SocketAddr;

use crate::lan::{Host, Lan, until};
use crate::routers::{Bird, Frr, GoBgp, Neighbour, Path, Peer, Router};
use crate::speaker::{Folder, Service, Speaker, config, peer};

/// Which router, and what it is set up with.
struct World<P> {
    // Before the LAN: they live in it.
    speaker: Speaker,
    router: P,
    _lan: Lan,
}

/// A router of `asn` (host 250) and one speaker of `my_asn` (host 11), the session over IPv4.
fn world<P: Peer>(my_asn: u32, asn: u32, services: &[Service]) -> World<P> {
    let lan = Lan::new();
    let (router, speaker) = (lan.host(250), lan.host(11));
    let config = config(&[peer(my_asn, asn, &router.ip4(), &[])]);
    let neighbour = Neighbour::new(speaker.ip4(), my_asn);
    let router = P::start(router, &Router::new(asn).neighbour(neighbour));
    let folder = Folder::new(&config, "");
    for service in services {
        folder.service(service);
    }
    let speaker = Speaker::start(speaker, folder);
    World {
        speaker,
        router,
        _lan: lan,
    }
}

fn ebgp<P: Peer>(my_asn: u32, asn: u32) {
    let world: World<P> = world(
        my_asn,
        asn,
        &[
            Service::new("web", "10.80.0.1"),
            Service::new("six", "fd80::1"),
        ],
    );
    let speaker = world.speaker.ip4();
    world.router.established(&speaker);
    let paths = world.router.knows("10.80.0.1/32", &[&speaker]);
    let path = Path {
        peer: speaker.clone(),
        as_path: vec![my_asn],
        origin: "incomplete".to_owned(),
        // of the router's own making, or none
        local_pref: paths[0].local_pref,
        communities: Vec::new(),
        next_hop: speaker.clone(),
    };
    assert_eq!(paths, [path]);
    let paths = world.router.knows("fd80::1/128", &[&speaker]);
    assert_eq!(paths[0].next_hop, world.speaker.ip6());
    assert_eq!(paths[0].as_path, [my_asn]);
    world.speaker.logs(&["sessionUp"]);
    world
        .speaker
        .counts("metallb_bgp_session_up", "172.31.0.250:179", 1);

    world.speaker.folder.no_service("web");
    world.router.knows("10.80.0.1/32", &[]);
    world.router.knows("fd80::1/128", &[&speaker]);
    world.speaker.folder.no_service("six");
    world.router.knows("fd80::1/128", &[]);
}

fn ibgp<P: Peer>() {
    let world: World<P> = world(64512, 64512, &[]);
    let speaker = world.speaker.ip4();
    world.router.established(&speaker);
    // Of the pool that the text ends with.
    let advertisements = "  bgp-advertisements:
  - {aggregation-length: 32, localpref: 100, communities: [vpn, '65535:65281']}
  - {aggregation-length: 24, localpref: 4294967295}
bgp-communities: {vpn: '1234:2345'}
";
    let text = config(&[peer(64512, 64512, "172.31.0.250", &[])]) + advertisements;
    world.speaker.folder.config(&text, "");
    world
        .speaker
        .folder
        .service(&Service::new("web", "10.80.3.7"));
    let path = |local_pref, communities: &[&str]| Path {
        peer: speaker.clone(),
        as_path: Vec::new(),
        origin: "incomplete".to_owned(),
        local_pref: Some(local_pref),
        communities: communities.iter().map(|&text| text.to_owned()).collect(),
        next_hop: speaker.clone(),
    };
    let narrow = path(100, &["1234:2345", "65535:65281"]);
    world.router.shows("10.80.3.7/32", &[narrow]);
    world.router.shows("10.80.3.0/24", &[path(u32::MAX, &[])]);
}

fn another_as_is_refused<P: Peer>() {
    let lan = Lan::new();
    let (router, speaker) = (lan.host(250), lan.host(11));
    // The router is 64513 and not, as we are told, 64999.
    let neighbour = Neighbour::new(speaker.ip4(), 64512);
    let router = P::start(router, &Router::new(64513).neighbour(neighbour));
    let folder = Folder::new(&config(&[peer(64512, 64999, "172.31.0.250", &[])]), "");
    let speaker = Speaker::start(speaker, folder);
    speaker.logs(&["172.31.0.250:179", "64513", "64999"]);
    assert!(!router.is_established(&speaker.ip4()));
    // Told the truth, it comes up.
    speaker
        .folder
        .config(&config(&[peer(64512, 64513, "172.31.0.250", &[])]), "");
    router.established(&speaker.ip4());
}

fn we_are_refused<P: Peer>() {
    let lan = Lan::new();
    let (router, speaker) = (lan.host(250), lan.host(11));
    // The router expects 64999.
    let neighbour = Neighbour::new(speaker.ip4(), 64999);
    let _router = P::start(router, &Router::new(64513).neighbour(neighbour));
    let folder = Folder::new(&config(&[peer(64512, 64513, "172.31.0.250", &[])]), "");
    let speaker = Speaker::start(speaker, folder);
    speaker.logs(&["172.31.0.250:179", "Bad Peer AS"]);
}

fn shut_down_by_its_administrator<P: Peer>(shows_message: bool) {
    let world: World<P> = world(64512, 64513, &[Service::new("web", "10.80.0.1")]);
    let speaker = world.speaker.ip4();
    world.router.knows("10.80.0.1/32", &[&speaker]);
    world.router.shut_down(&speaker, "cables");
    let line = world
        .speaker
        .logs(&["sessionDown", "172.31.0.250:179", "Administrative Shutdown"]);
    if shows_message {
        assert!(line.contains("cables"), "{line}");
    }
    world
        .speaker
        .counts("metallb_bgp_session_up", "172.31.0.250:179", 0);
}

/// With a hold time of 3 s, and a route that the router knows.
fn impatient<P: Peer>() -> World<P> {
    let lan = Lan::new();
    let (router, speaker) = (lan.host(250), lan.host(11));
    let neighbour = Neighbour::new(speaker.ip4(), 64512).hold_time(3);
    let router = P::start(router, &Router::new(64513).neighbour(neighbour));
    let folder = Folder::new(&config(&[peer(64512, 64513, "172.31.0.250", &[])]), "");
    folder.service(&Service::new("web", "10.80.0.1"));
    let speaker = Speaker::start(speaker, folder);
    router.knows("10.80.0.1/32", &[&speaker.ip4()]);
    World {
        speaker,
        router,
        _lan: lan,
    }
}

fn a_frozen_router_is_noticed_after_the_hold_time_and_welcome_again<P: Peer>() {
    let World {
        speaker,
        router,
        _lan,
    } = impatient::<P>();
    router.freeze(true);
    speaker.logs(&["sessionDown", "172.31.0.250:179", "Hold Timer Expired"]);
    router.freeze(false);
    speaker.counts("metallb_bgp_session_up", "172.31.0.250:179", 1);
    router.knows("10.80.0.1/32", &[&speaker.ip4()]);
}

fn a_frozen_speaker_is_noticed_and_comes_back<P: Peer>() {
    let World {
        speaker,
        router,
        _lan,
    } = impatient::<P>();
    speaker.freeze(true);
    router.down(&speaker.ip4());
    router.knows("10.80.0.1/32", &[]);
    speaker.freeze(false);
    router.knows("10.80.0.1/32", &[&speaker.ip4()]);
}

fn over_ipv6<P: Peer>() {
    let lan = Lan::new();
    let (router, speaker) = (lan.host(250), lan.host(11));
    let config = config(&[peer(64512, 64513, &router.ip6(), &[])]);
    let neighbour = Neighbour::new(speaker.ip6(), 64512);
    let router = P::start(router, &Router::new(64513).neighbour(neighbour));
    let folder = Folder::new(&config, "");
    folder.service(&Service::new("six", "fd80::1"));
    let speaker = Speaker::start(speaker, folder);
    let paths = router.knows("fd80::1/128", &[&speaker.ip6()]);
    assert_eq!(paths[0].next_hop, speaker.ip6());
    assert_eq!(paths[0].as_path, [64512]);
}

/// Between these addresses: the router's, the speaker's.
fn a_password<P: Peer>(addresses: impl Fn(&Host) -> String) {
    let lan = Lan::new();
    let (router, speaker) = (lan.host(250), lan.host(11));
    let (at, from) = (addresses(&router), addresses(&speaker));
    let name = SocketAddr::new(at.parse().unwrap(), 179).to_string();
    let with = |password| {
        let password = format!("password: {password}");
        config(&[peer(64512, 64513, &at, &[&password])])
    };
    let neighbour = Neighbour::new(&from, 64512).password("tell-nobody");
    let router = P::start(router, &Router::new(64513).neighbour(neighbour));
    let folder = Folder::new(&with("wr0ng"), "");
    folder.service(&Service::new("web", "10.80.0.1"));
    let speaker = Speaker::start(speaker, folder);
    // The kernel drops what is not signed rightly: nothing but silence is to be seen, and a reader wants to hear of the
    // password then.
    let line = speaker.logs(&[&name, "password"]);
    assert!(!line.contains("wr0ng"), "a secret in the log: {line}");
    assert!(!router.is_established(&from));
    speaker.folder.config(&with("tell-nobody"), "");
    router.knows("10.80.0.1/32", &[&from]);
    // None at all, where one is wanted.
    speaker
        .folder
        .config(&config(&[peer(64512, 64513, &at, &[])]), "");
    router.down(&from);
    speaker.folder.config(&with("tell-nobody"), "");
    router.knows("10.80.0.1/32", &[&from]);
}

/// The router asks; what it has stays. Whether we answered is to be seen at the messages that left us.
fn asked_again<P: Peer>() {
    let world: World<P> = world(
        64512,
        64513,
        &[
            Service::new("web", "10.80.0.1"),
            Service::new("six", "fd80::1"),
        ],
    );
    let speaker = world.speaker.ip4();
    world.router.knows("10.80.0.1/32", &[&speaker]);
    world.router.knows("fd80::1/128", &[&speaker]);
    let updates = || {
        world
            .speaker
            .metric("metallb_bgp_updates_total", "172.31.0.250:179")
            .unwrap()
    };
    let before = updates();
    world.router.ask_again(&speaker);
    until(
        "both families are said again",
        || updates() >= before + 2,
        || {
            format!(
                "{} {} {}",
                world.speaker.state(),
                world.router.state(),
                world.speaker.metrics()
            )
        },
    );
    world.router.knows("10.80.0.1/32", &[&speaker]);
    world.router.knows("fd80::1/128", &[&speaker]);
    assert!(world.router.is_established(&speaker));
}

/// The tests of one router.
macro_rules! tests_with {
    ($module:ident, $router:ident, shows_message: $shows_message:expr) => {
        mod $module {
            use super::{Host, $router as Router};

            #[test]
            #[ignore = "needs root, FRR, BIRD, GoBGP; run by tests/run"]
            fn routes_of_both_families_over_ipv4() {
                super::ebgp::<Router>(64512, 64513);
            }

            #[test]
            #[ignore = "needs root, FRR, BIRD, GoBGP; run by tests/run"]
            fn four_octet_as_numbers_on_both_sides() {
                super::ebgp::<Router>(4_200_000_001, 4_200_000_002);
            }

            #[test]
            #[ignore = "needs root, FRR, BIRD, GoBGP; run by tests/run"]
            fn a_four_octet_as_number_of_ours() {
                super::ebgp::<Router>(65536, 64513);
            }

            #[test]
            #[ignore = "needs root, FRR, BIRD, GoBGP; run by tests/run"]
            fn a_four_octet_as_number_of_the_routers() {
                super::ebgp::<Router>(64512, 4_200_000_002);
            }

            #[test]
            #[ignore = "needs root, FRR, BIRD, GoBGP; run by tests/run"]
            fn internal_with_preference_and_communities_and_aggregates() {
                super::ibgp::<Router>();
            }

            #[test]
            #[ignore = "needs root, FRR, BIRD, GoBGP; run by tests/run"]
            fn a_peer_with_another_as_is_refused() {
                super::another_as_is_refused::<Router>();
            }

            #[test]
            #[ignore = "needs root, FRR, BIRD, GoBGP; run by tests/run"]
            fn we_are_refused_and_say_why() {
                super::we_are_refused::<Router>();
            }

            #[test]
            #[ignore = "needs root, FRR, BIRD, GoBGP; run by tests/run"]
            fn what_the_administrator_says_is_in_our_log() {
                super::shut_down_by_its_administrator::<Router>($shows_message);
            }

            #[test]
            #[ignore = "needs root, FRR, BIRD, GoBGP; run by tests/run"]
            fn a_frozen_router_is_noticed_after_the_hold_time_and_welcome_again() {
                super::a_frozen_router_is_noticed_after_the_hold_time_and_welcome_again::<Router>();
            }

            #[test]
            #[ignore = "needs root, FRR, BIRD, GoBGP; run by tests/run"]
            fn a_frozen_speaker_is_noticed_and_comes_back() {
                super::a_frozen_speaker_is_noticed_and_comes_back::<Router>();
            }

            #[test]
            #[ignore = "needs root, FRR, BIRD, GoBGP; run by tests/run"]
            fn routes_over_ipv6() {
                super::over_ipv6::<Router>();
            }

            #[test]
            #[ignore = "needs root, FRR, BIRD, GoBGP; run by tests/run"]
            fn a_wrong_password_is_named_and_the_right_one_works() {
                super::a_password::<Router>(Host::ip4);
            }

            #[test]
            #[ignore = "needs root, FRR, BIRD, GoBGP; run by tests/run"]
            fn a_wrong_password_is_named_and_the_right_one_works_over_ipv6() {
                super::a_password::<Router>(Host::ip6);
            }
        }
    };
}

tests_with!(frr, Frr, shows_message: true);
tests_with!(bird, Bird, shows_message: true);
// It sends the subcode alone.
tests_with!(gobgp, GoBgp, shows_message: false);

// GoBGP has no command that makes it ask.
#[test]
#[ignore = "needs root, FRR, BIRD, GoBGP; run by tests/run"]
fn routes_are_said_again_when_frr_asks() {
    asked_again::<Frr>();
}

#[test]
#[ignore = "needs root, FRR, BIRD, GoBGP; run by tests/run"]
fn routes_are_said_again_when_bird_asks() {
    asked_again::<Bird>();
}
