//! BFD beside BGP, with FRR's bfdd.

use std::time::{Duration, Instant};

use crate::lan::{Lan, holds_for, until};
use crate::routers::{Frr, Neighbour, Peer as _, Router};
use crate::speaker::{FAST, Folder, Service, Speaker, bfd_profile, config, peer};

/// Far below the hold time of 90 s; detection takes half a second, the rest is a busy machine's.
const SOON: Duration = Duration::from_secs(5);

struct World {
    speaker: Speaker,
    router: Frr,
    lan: Lan,
}

fn world(profile: [u32; 3], frr_profile: [u32; 3]) -> World {
    let lan = Lan::new();
    let (router, speaker) = (lan.host(250), lan.host(11));
    let text = config(&[peer(64512, 64513, &router.ip4(), &["bfd-profile: fast"])])
        + &bfd_profile(profile);
    let neighbour = Neighbour::new(speaker.ip4(), 64512).more("bfd profile fast");
    let router = Frr::with_bfd(
        router,
        &Router::new(64513).neighbour(neighbour),
        frr_profile,
    );
    let folder = Folder::new(&text, "");
    folder.service(&Service::new("web", "10.80.0.1"));
    let speaker = Speaker::start(speaker, folder);
    let world = World {
        speaker,
        router,
        lan,
    };
    world.comes_up();
    world
}

fn fast() -> World {
    world(FAST, FAST)
}

impl World {
    fn bfd(&self) -> Option<u64> {
        self.speaker
            .metric("metallb_bfd_session_up", "172.31.0.250")
    }

    fn peer_status(&self) -> serde_json::Value {
        self.router.json("show bfd peers")[0].clone()
    }

    fn state(&self) -> String {
        format!(
            "{}\n{}\n{}",
            self.router.state(),
            self.speaker.state(),
            self.speaker.metrics()
        )
    }

    fn comes_up(&self) {
        let ip = self.speaker.ip4();
        self.router.knows("10.80.0.1/32", &[&ip]);
        until(
            "BFD is up on both sides",
            || self.bfd() == Some(1) && self.peer_status()["status"] == "up",
            || self.state(),
        );
        self.speaker
            .counts("metallb_bgp_session_up", "172.31.0.250:179", 1);
    }
}

#[test]
#[ignore = "needs root, FRR, BIRD, GoBGP; run by tests/run"]
fn a_cut_link_ends_the_session_long_before_the_hold_time() {
    let world = fast();
    let ip = world.speaker.ip4();
    let cut = Instant::now();
    world.lan.plug(250, false);
    world
        .speaker
        .logs(&["sessionDown", "172.31.0.250:179", "BFD"]);
    assert!(cut.elapsed() < SOON, "{:?}", cut.elapsed());
    until("BFD is down", || world.bfd() == Some(0), || world.state());
    world.router.knows("10.80.0.1/32", &[]);
    assert!(cut.elapsed() < SOON, "{:?}", cut.elapsed());
    world.lan.plug(250, true);
    world.comes_up();
    assert_eq!(world.router.neighbour(&ip)["bgpState"], "Established");
}

#[test]
#[ignore = "needs root, FRR, BIRD, GoBGP; run by tests/run"]
fn a_frozen_speaker_is_noticed_by_the_router_at_once() {
    let world = fast();
    let frozen = Instant::now();
    world.speaker.freeze(true);
    world.router.knows("10.80.0.1/32", &[]);
    assert!(frozen.elapsed() < SOON, "{:?}", frozen.elapsed());
    world.speaker.freeze(false);
    world.comes_up();
}

#[test]
#[ignore = "needs root, FRR, BIRD, GoBGP; run by tests/run"]
fn a_router_that_takes_its_bfd_down_on_purpose_keeps_the_session() {
    // RFC 5882 §3.2: AdminDown says nothing of the path.
    let world = fast();
    world.router.configure(&["bfd", "profile fast", "shutdown"]);
    until("BFD is down", || world.bfd() == Some(0), || world.state());
    holds_for(
        Duration::from_secs(2),
        "the session stands",
        || {
            world
                .speaker
                .metric("metallb_bgp_session_up", "172.31.0.250:179")
                == Some(1)
        },
        || world.state(),
    );
    world
        .router
        .configure(&["bfd", "profile fast", "no shutdown"]);
    world.comes_up();
}

#[test]
#[ignore = "needs root, FRR, BIRD, GoBGP; run by tests/run"]
fn other_intervals_than_ours_are_agreed_on() {
    let world = world([160, 180, 9], [200, 170, 8]);
    let status = world.peer_status();
    assert_eq!(status["remote-receive-interval"], 160, "{status}");
    assert_eq!(status["remote-transmit-interval"], 180, "{status}");
    assert_eq!(status["remote-detect-multiplier"], 9, "{status}");
    // It stands at these.
    holds_for(
        Duration::from_secs(3),
        "BFD is up",
        || world.bfd() == Some(1),
        || world.state(),
    );
}

#[test]
#[ignore = "needs root, FRR, BIRD, GoBGP; run by tests/run"]
fn our_end_in_order_is_no_failure_of_the_path() {
    // Slow enough that BFD's own detection takes longer than the end of BGP, also where FRR has to wait for a processor.
    let mut world = world([400, 400, 20], [400, 400, 20]);
    world.speaker.end(libc::SIGTERM);
    world.router.knows("10.80.0.1/32", &[]);
    // BGP's own farewell came, whatever BFD said after it.
    let farewells = world.router.received("172.31.0.11", "notificationsRecv");
    assert!(farewells >= 1, "{}", world.state());
    world.speaker.restart();
    world.comes_up();
}

#[test]
#[ignore = "needs root, FRR, BIRD, GoBGP; run by tests/run"]
fn a_removed_peer_reads_why_before_its_bfd_goes() {
    let world = fast();
    let ip = world.speaker.ip4();
    let with = world.speaker.folder.read("config.yaml");
    for _ in 0..5 {
        let heard = world.router.received(&ip, "notificationsRecv");
        world.speaker.folder.config(&config(&[]), "");
        world.router.knows("10.80.0.1/32", &[]);
        until(
            "BFD is gone",
            || world.bfd().is_none() && world.peer_status()["status"] == "down",
            || world.state(),
        );
        let now = world.router.received(&ip, "notificationsRecv");
        assert!(now > heard, "{}", world.state());
        // FRR takes the end of BFD for a failure, drops a session that stands, and says so to us and to its log.
        assert_eq!(
            world.router.received(&ip, "notificationsSent"),
            0,
            "{}",
            world.state()
        );
        world.speaker.folder.write("config.yaml", &with);
        world.comes_up();
    }
}
