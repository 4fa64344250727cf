//! BFD beside BGP, with FRR's bfdd.

use std::time::{Duration, Instant};

use crate::lan::{Lan, holds_for, until};
use crate::routers::{Frr, Neighbour, Peer as _, Router};
use crate::speaker::{Folder, Service, Speaker, config, peer};

/// Far below the hold time of 90 s; detection takes half a second, the rest is a busy machine's.
const SOON: Duration = Duration::from_secs(5);

struct World {
    speaker: Speaker,
    router: Frr,
    lan: Lan,
}

fn world(profile: &str, frr_profile: &str) -> World {
    let lan = Lan::new();
    let (router, speaker) = (lan.host(250), lan.host(11));
    let text = config(&[peer(64512, 64513, &router.ip4(), &["bfd-profile: fast"])])
        + &format!("bfd-profiles:\n- name: fast\n{profile}");
    let neighbour = Neighbour::new(speaker.ip4(), 64512).more("bfd profile fast");
    let router = Frr::with_bfd(
        router,
        &Router::new(64513).neighbour(neighbour),
        &format!("bfd\nprofile fast\n{frr_profile}exit\nexit\n"),
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

/// Ten of 50 ms: three would do on a machine that has nothing else to do.
fn fast() -> World {
    world(
        "  receive-interval: 50\n  transmit-interval: 50\n  detect-multiplier: 10\n",
        "receive-interval 50\ntransmit-interval 50\ndetect-multiplier 10\n",
    )
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
    let world = world(
        "  receive-interval: 160\n  transmit-interval: 180\n  detect-multiplier: 9\n",
        "receive-interval 200\ntransmit-interval 170\ndetect-multiplier 8\n",
    );
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
    let mut world = world(
        "  receive-interval: 400\n  transmit-interval: 400\n  detect-multiplier: 20\n",
        "receive-interval 400\ntransmit-interval 400\ndetect-multiplier 20\n",
    );
    world.speaker.end(libc::SIGTERM);
    world.router.knows("10.80.0.1/32", &[]);
    // BGP's own farewell came, whatever BFD said after it.
    let farewells = world.router.received("172.31.0.11", "notificationsRecv");
    assert!(farewells >= 1, "{}", world.state());
    world.speaker.restart();
    world.comes_up();
}
