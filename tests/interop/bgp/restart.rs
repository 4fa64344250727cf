//! Leaving and coming back: graceful restart (RFC 4724), graceful shutdown (RFC 8326), plain ends. The router is FRR.

use std::time::Duration;

use crate::lan::{Lan, holds_for, until};
use crate::routers::{Frr, Neighbour, Peer as _, Router};
use crate::speaker::{Folder, Service, Speaker, config, peer};

struct World {
    speaker: Speaker,
    router: Frr,
    _lan: Lan,
}

fn world(settings: &str) -> World {
    let lan = Lan::new();
    let (router, speaker) = (lan.host(250), lan.host(11));
    let text = config(&[peer(64512, 64513, &router.ip4(), &[])]);
    let neighbour = Neighbour::new(speaker.ip4(), 64512);
    let router = Frr::start(router, &Router::new(64513).neighbour(neighbour));
    let folder = Folder::new(&text, settings);
    folder.service(&Service::new("web", "10.80.0.1"));
    folder.service(&Service::new("old", "10.80.0.2"));
    let speaker = Speaker::start(speaker, folder);
    router.knows("10.80.0.1/32", &[&speaker.ip4()]);
    router.knows("10.80.0.2/32", &[&speaker.ip4()]);
    until(
        "the router forwards",
        || router.kernel("10.80.0.1/32") == [speaker.ip4()],
        || router.state(),
    );
    World {
        speaker,
        router,
        _lan: lan,
    }
}

impl World {
    fn forwards(&self) -> bool {
        self.router.kernel("10.80.0.1/32") == [self.speaker.ip4()]
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
