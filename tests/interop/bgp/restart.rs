//! Leaving and coming back: graceful restart (RFC 4724), graceful shutdown (RFC 8326), plain ends. The router is FRR.

use std::time::{Duration, Instant};

use crate::lan::{Host, Lan, holds_for, pause, until};
use crate::routers::{Bird, Frr, Neighbour, Peer, Router};
use crate::speaker::{FAST, Folder, Service, Speaker, bfd_profile, config, peer};

struct World<P> {
    // Before the LAN: they live in it.
    speaker: Speaker,
    router: P,
    lan: Lan,
}

fn world(settings: &str) -> World<Frr> {
    let text = config(&[peer(64512, 64513, "172.31.0.250", &[])]);
    World::new(&text, settings, &[], Frr::start)
}

/// Where BFD watches, too. `neighbour`: how the router asks for it.
fn watched<P: Peer>(neighbour: &[&str], start: impl FnOnce(Host, &Router) -> P) -> World<P> {
    let text =
        config(&[peer(64512, 64513, "172.31.0.250", &["bfd-profile: fast"])]) + &bfd_profile(FAST);
    let world = World::new(&text, "bgp: {graceful-restart: 120s}\n", neighbour, start);
    until("BFD is up", || world.bfd() == Some(1), || world.state());
    world
}

fn watched_by_frr(neighbour: &[&str]) -> World<Frr> {
    watched(neighbour, |host, router| Frr::with_bfd(host, router, FAST))
}

fn watched_by_bird(neighbour: &[&str]) -> World<Bird> {
    watched(neighbour, |host, router| {
        let router = router
            .clone()
            .more("protocol bfd { interface \"eth0\" { interval 50 ms; multiplier 10; }; }")
            .more("protocol kernel { ipv4 { export where source = RTS_BGP; }; }");
        Bird::start(host, &router)
    })
}

impl<P: Peer> World<P> {
    /// `neighbour`: lines for the router about us.
    fn new(
        text: &str,
        settings: &str,
        neighbour: &[&str],
        start: impl FnOnce(Host, &Router) -> P,
    ) -> Self {
        let lan = Lan::new();
        let (router, speaker) = (lan.host(250), lan.host(11));
        let mut told = Neighbour::new(speaker.ip4(), 64512);
        for line in neighbour {
            told = told.more(line);
        }
        let router = start(router, &Router::new(64513).neighbour(told));
        let folder = Folder::new(text, settings);
        folder.service(&Service::new("web", "10.80.0.1"));
        folder.service(&Service::new("old", "10.80.0.2"));
        let speaker = Speaker::start(speaker, folder);
        router.knows("10.80.0.1/32", &[&speaker.ip4()]);
        router.knows("10.80.0.2/32", &[&speaker.ip4()]);
        until(
            "the router forwards",
            || router.host().next_hops("10.80.0.1/32") == [speaker.ip4()],
            || router.state(),
        );
        Self {
            speaker,
            router,
            lan,
        }
    }

    fn bfd(&self) -> Option<u64> {
        self.speaker
            .metric("metallb_bfd_session_up", "172.31.0.250")
    }

    fn forwards(&self) -> bool {
        self.router.host().next_hops("10.80.0.1/32") == [self.speaker.ip4()]
    }

    fn state(&self) -> String {
        format!("{}\n{}", self.router.state(), self.speaker.state())
    }

    fn stays_while_restarting(&mut self, signal: i32) {
        let ip = self.speaker.ip4();
        self.speaker.end(signal);
        self.router.down(&ip);
        holds_for(
            Duration::from_secs(2),
            "the router forwards without us",
            || self.forwards(),
            || self.state(),
        );
        // While we are away one Service goes, another comes.
        self.speaker.folder.no_service("old");
        self.speaker
            .folder
            .service(&Service::new("new", "10.80.0.3"));
        self.speaker.restart();
        until(
            "a session again",
            || {
                assert!(self.forwards(), "a gap\n{}", self.state());
                self.router.is_established(&ip)
            },
            || self.state(),
        );
        // End-of-RIB: what was not said again is gone.
        until(
            "the old one is gone",
            || {
                assert!(self.forwards(), "a gap\n{}", self.state());
                self.router.paths("10.80.0.2/32").is_empty()
            },
            || self.state(),
        );
        self.router.knows("10.80.0.3/32", &[&ip]);
        self.router.knows("10.80.0.1/32", &[&ip]);
        assert!(self.forwards());
    }
}

#[test]
#[ignore = "needs root, FRR, BIRD, GoBGP; run by tests/run"]
fn graceful_restart_leaves_no_gap_when_the_speaker_is_ended() {
    world("bgp: {graceful-restart: 120s}\n").stays_while_restarting(libc::SIGTERM);
}

#[test]
#[ignore = "needs root, FRR, BIRD, GoBGP; run by tests/run"]
fn graceful_restart_leaves_no_gap_when_the_speaker_dies() {
    world("bgp: {graceful-restart: 120s}\n").stays_while_restarting(libc::SIGKILL);
}

#[test]
#[ignore = "needs root, FRR, BIRD, GoBGP; run by tests/run"]
fn graceful_restart_ends_when_nobody_comes_back() {
    let mut world = world("bgp: {graceful-restart: 4s}\n");
    world.speaker.end(libc::SIGTERM);
    world.router.down(&world.speaker.ip4());
    assert!(world.forwards(), "{}", world.state());
    world.router.knows("10.80.0.1/32", &[]);
}

#[test]
#[ignore = "needs root, FRR, BIRD, GoBGP; run by tests/run"]
fn without_graceful_restart_routes_go_at_once() {
    for signal in [libc::SIGTERM, libc::SIGKILL] {
        let mut world = world("");
        world.speaker.end(signal);
        world.router.knows("10.80.0.1/32", &[]);
        if signal == libc::SIGTERM {
            let neighbour = world.router.neighbour(&world.speaker.ip4());
            let reason = neighbour["lastNotificationReason"]
                .as_str()
                .unwrap_or_default();
            assert!(reason.contains("Administrat"), "{neighbour}");
        }
    }
}

#[test]
#[ignore = "needs root, FRR, BIRD, GoBGP; run by tests/run"]
fn graceful_shutdown_is_announced_before_leaving() {
    let mut world = world("bgp: {graceful-shutdown: 1s}\n");
    let ip = world.speaker.ip4();
    world.speaker.signal(libc::SIGTERM);
    // Seen while the session still stands.
    until(
        "GRACEFUL_SHUTDOWN",
        || {
            world
                .router
                .paths("10.80.0.1/32")
                .iter()
                .any(|path| path.communities == ["65535:0"])
        },
        || world.state(),
    );
    world.router.knows("10.80.0.1/32", &[]);
    world.router.down(&ip);
    // And the process after it.
    world.speaker.end(libc::SIGTERM);
}

// BFD goes with the speaker (its packets have the C bit clear, RFC 5882 §4.3), and must not cost what the restart is to keep.

#[test]
#[ignore = "needs root, FRR, BIRD, GoBGP; run by tests/run"]
fn frr_keeps_the_routes_though_bfd_goes_with_a_speaker_that_is_ended() {
    watched_by_frr(&["bfd profile fast"]).stays_while_restarting(libc::SIGTERM);
}

#[test]
#[ignore = "needs root, FRR, BIRD, GoBGP; run by tests/run"]
fn frr_keeps_the_routes_though_bfd_goes_with_a_speaker_that_dies() {
    watched_by_frr(&["bfd profile fast"]).stays_while_restarting(libc::SIGKILL);
}

#[test]
#[ignore = "needs root, FRR, BIRD, GoBGP; run by tests/run"]
fn bird_keeps_the_routes_though_bfd_goes_where_it_is_told_to_be_graceful() {
    for signal in [libc::SIGTERM, libc::SIGKILL] {
        watched_by_bird(&["bfd graceful;"]).stays_while_restarting(signal);
    }
}

/// Cuts the cable; how long the router went on forwarding, if it stopped before [`SOON`].
fn forwards_after_a_cut<P: Peer>(world: &World<P>) -> Option<Duration> {
    let cut = Instant::now();
    world.lan.plug(250, false);
    world.speaker.logs(&["sessionDown", "BFD"]);
    while cut.elapsed() < SOON {
        if !world.forwards() {
            return Some(cut.elapsed());
        }
        pause();
    }
    None
}

/// Far below the hold time of 90 s and the restart time of 120 s.
const SOON: Duration = Duration::from_secs(5);

#[test]
#[ignore = "needs root, FRR, BIRD, GoBGP; run by tests/run"]
fn a_cut_cable_takes_the_routes_at_once_all_the_same_but_for_a_router_that_is_graceful() {
    let gone = forwards_after_a_cut(&watched_by_frr(&["bfd profile fast"]));
    assert!(gone.is_some());
    let gone = forwards_after_a_cut(&watched_by_bird(&["bfd on;"]));
    assert!(gone.is_some());
    // That one cannot tell a cut cable from a speaker that begins anew.
    let gone = forwards_after_a_cut(&watched_by_bird(&["bfd graceful;"]));
    assert_eq!(gone, None);
}

#[test]
#[ignore = "needs root, FRR, BIRD, GoBGP; run by tests/run"]
fn bird_takes_the_end_of_bfd_for_that_of_the_routes_unless_it_is_told_to_be_graceful() {
    let mut world = watched_by_bird(&["bfd on;"]);
    world.speaker.end(libc::SIGKILL);
    until(
        "the router gives up",
        || !world.forwards(),
        || world.state(),
    );
}
