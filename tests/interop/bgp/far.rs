//! A router in another network: a router between it and us.

use std::time::{Duration, Instant};

use crate::lan::{GATEWAY, Gateway, Host, Lan, holds_for, until};
use crate::routers::{Bird, Frr, GoBgp, Neighbour, Peer, Router};
use crate::speaker::{FAST, Folder, Service, Speaker, bfd_profile, config, peer};

/// Far below the hold time of 90 s; detection takes half a second, the rest is a busy machine's.
const SOON: Duration = Duration::from_secs(5);

/// Our network and the router's, and the gateway between.
struct Between {
    near: Lan,
    far: Lan,
    _gateway: Gateway,
}

impl Between {
    fn new() -> Self {
        let (near, far) = (Lan::new(), Lan::second());
        Self {
            _gateway: Gateway::between(&near, &far),
            near,
            far,
        }
    }

    /// The router's host and the speaker's.
    fn hosts(&self) -> (Host, Host) {
        let (router, speaker) = (self.far.host(250), self.near.host(11));
        router.route_to(&self.near);
        speaker.route_to(&self.far);
        (router, speaker)
    }
}

/// What a router is told so that it accepts a neighbour behind another router.
trait Far: Peer {
    /// For the neighbour.
    const TWO_HOPS: &str;
    /// The router itself.
    fn far(router: Router) -> Router {
        router
    }
}

impl Far for Frr {
    const TWO_HOPS: &str = "ebgp-multihop 2";
}

impl Far for Bird {
    const TWO_HOPS: &str = "multihop 2;";

    // What next hops are resolved by.
    fn far(router: Router) -> Router {
        router
            .more("protocol static { ipv4; route 172.31.0.0/24 via 172.31.1.1; }")
            .more("protocol static { ipv6; route fd31::/64 via fd31:0:0:1::1; }")
    }
}

impl Far for GoBgp {
    const TWO_HOPS: &str = "[neighbors.ebgp-multihop.config]\nenabled = true\nmultihop-ttl = 2";
}

/// Between these addresses: the router's, the speaker's.
fn two_hops<P: Far>(addresses: impl Fn(&Host) -> String) {
    let between = Between::new();
    let (router, speaker) = between.hosts();
    let (at, from) = (addresses(&router), addresses(&speaker));
    let with = |more: &[&str]| config(&[peer(64512, 64513, &at, more)]);
    let neighbour = Neighbour::new(&from, 64512).more(P::TWO_HOPS);
    let router = P::start(router, &P::far(Router::new(64513).neighbour(neighbour)));
    // Without `ebgp-multihop`, as 0.12's native mode reaches it.
    let folder = Folder::new(&with(&[]), "");
    folder.service(&Service::new("web", "10.80.0.1").and("fd80::1"));
    let speaker = Speaker::start(speaker, folder);
    let comes_up = || {
        let paths = router.knows("10.80.0.1/32", &[&from]);
        assert!([speaker.ip4(), speaker.ip6()].contains(&paths[0].next_hop));
        let paths = router.knows("fd80::1/128", &[&from]);
        assert_eq!(paths[0].next_hop, speaker.ip6());
    };
    comes_up();
    let before = speaker.lines(&["sessionUp"]).len();
    speaker.folder.config(&with(&["ebgp-multihop: true"]), "");
    until(
        "another session",
        || speaker.lines(&["sessionUp"]).len() > before,
        || speaker.state(),
    );
    comes_up();
}

#[test]
#[ignore = "needs root, FRR, BIRD, GoBGP; run by tests/run"]
fn frr_two_hops_away() {
    two_hops::<Frr>(Host::ip4);
    two_hops::<Frr>(Host::ip6);
}

#[test]
#[ignore = "needs root, FRR, BIRD, GoBGP; run by tests/run"]
fn bird_two_hops_away() {
    two_hops::<Bird>(Host::ip4);
    two_hops::<Bird>(Host::ip6);
}

#[test]
#[ignore = "needs root, FRR, BIRD, GoBGP; run by tests/run"]
fn gobgp_two_hops_away() {
    two_hops::<GoBgp>(Host::ip4);
    two_hops::<GoBgp>(Host::ip6);
}

/// The router was not told that we are far; these are words of the line that says so.
fn a_router_that_expects_us_nearby<P: Far>(words: &str) {
    let between = Between::new();
    let (router, speaker) = between.hosts();
    let text = config(&[peer(64512, 64513, &router.ip4(), &["ebgp-multihop: true"])]);
    let neighbour = Neighbour::new(speaker.ip4(), 64512);
    let router = P::start(router, &P::far(Router::new(64513).neighbour(neighbour)));
    let folder = Folder::new(&text, "");
    folder.service(&Service::new("web", "10.80.0.1"));
    let speaker = Speaker::start(speaker, folder);
    speaker.logs(&["failed to connect", "172.31.1.250:179", words]);
    assert!(!router.is_established(&speaker.ip4()));
    assert_eq!(speaker.lines(&["sessionUp"]).len(), 0);
}

#[test]
#[ignore = "needs root, FRR, BIRD, GoBGP; run by tests/run"]
fn a_router_that_expects_us_in_its_own_network_is_named_as_such() {
    a_router_that_expects_us_nearby::<Frr>("is not told ebgp-multihop");
    a_router_that_expects_us_nearby::<Bird>("does not expect this node's address");
}

/// `neighbour`: what makes the router take us at a distance of two hops, and no farther.
fn security_by_ttl<P: Far>(neighbour: &[&str]) {
    let between = Between::new();
    let (router, speaker) = between.hosts();
    let text = config(&[peer(64512, 64513, &router.ip4(), &[])]);
    let mut told = Neighbour::new(speaker.ip4(), 64512);
    for line in neighbour {
        told = told.more(line);
    }
    let router = P::start(router, &P::far(Router::new(64513).neighbour(told)));
    let folder = Folder::new(&text, "bgp: {ttl-security: 1}\n");
    folder.service(&Service::new("web", "10.80.0.1"));
    let speaker = Speaker::start(speaker, folder);
    // It is farther than we may take it for.
    speaker.logs(&["failed to connect", "more than 1 hops away"]);
    assert_eq!(speaker.lines(&["sessionUp"]).len(), 0);
    speaker.folder.config(&text, "bgp: {ttl-security: 2}\n");
    router.knows("10.80.0.1/32", &[&speaker.ip4()]);
    // To the router we are, without it.
    speaker.folder.config(&text, "");
    router.down(&speaker.ip4());
    holds_for(
        Duration::from_secs(3),
        "the router does not take us",
        || !router.is_established(&speaker.ip4()),
        || router.state(),
    );
}

#[test]
#[ignore = "needs root, FRR, BIRD, GoBGP; run by tests/run"]
fn frr_takes_us_at_two_hops_and_no_farther() {
    security_by_ttl::<Frr>(&["ttl-security hops 2"]);
}

#[test]
#[ignore = "needs root, FRR, BIRD, GoBGP; run by tests/run"]
fn bird_takes_us_at_two_hops_and_no_farther() {
    security_by_ttl::<Bird>(&["multihop 2;", "ttl security on;"]);
}

/// Where BFD watches the way to the router, too.
struct Watched<P> {
    // Before the LANs: they live in them.
    speaker: Speaker,
    router: P,
    between: Between,
}

impl<P: Far> Watched<P> {
    /// `profile`: more of our profile. `neighbour`: how the router asks for BFD.
    fn new(profile: &str, neighbour: &str, start: impl FnOnce(Host, &Router) -> P) -> Self {
        let between = Between::new();
        let (router, speaker) = between.hosts();
        let fields = ["ebgp-multihop: true", "bfd-profile: fast"];
        let text =
            config(&[peer(64512, 64513, &router.ip4(), &fields)]) + &bfd_profile(FAST) + profile;
        let neighbour = Neighbour::new(speaker.ip4(), 64512)
            .more(P::TWO_HOPS)
            .more(neighbour);
        let router = start(router, &P::far(Router::new(64513).neighbour(neighbour)));
        let folder = Folder::new(&text, "");
        folder.service(&Service::new("web", "10.80.0.1"));
        let speaker = Speaker::start(speaker, folder);
        Self {
            speaker,
            router,
            between,
        }
    }

    fn state(&self) -> String {
        format!(
            "{}\n{}\n{}",
            self.router.state(),
            self.speaker.state(),
            self.speaker.metrics()
        )
    }

    fn comes_up(&self, router_s_bfd: &impl Fn(&P) -> bool) {
        let ip = self.speaker.ip4();
        self.router.knows("10.80.0.1/32", &[&ip]);
        until(
            "BFD is up on both sides",
            || {
                self.speaker
                    .metric("metallb_bfd_session_up", "172.31.1.250")
                    == Some(1)
                    && router_s_bfd(&self.router)
            },
            || self.state(),
        );
        self.speaker
            .counts("metallb_bgp_session_up", "172.31.1.250:179", 1);
    }

    fn a_cut_way_ends_the_session_at_once(&self, router_s_bfd: impl Fn(&P) -> bool) {
        self.comes_up(&router_s_bfd);
        holds_for(
            Duration::from_secs(2),
            "the session stands",
            || self.router.is_established(&self.speaker.ip4()),
            || self.state(),
        );
        let cut = Instant::now();
        // On the router's side: neither end sees its own link go.
        self.between.far.plug(GATEWAY, false);
        self.speaker
            .logs(&["sessionDown", "172.31.1.250:179", "BFD"]);
        assert!(cut.elapsed() < SOON, "{:?}", cut.elapsed());
        self.router.knows("10.80.0.1/32", &[]);
        assert!(cut.elapsed() < SOON, "{:?}", cut.elapsed());
        self.between.far.plug(GATEWAY, true);
        self.comes_up(&router_s_bfd);
    }
}

#[test]
#[ignore = "needs root, FRR, BIRD, GoBGP; run by tests/run"]
fn bfd_over_two_hops_with_frr() {
    let start = |host, router: &Router| Frr::with_bfd(host, router, FAST);
    Watched::new("", "bfd profile fast", start).a_cut_way_ends_the_session_at_once(
        |router: &Frr| {
            let session = &router.json("show bfd peers")[0];
            session["multihop"] == true && session["status"] == "up"
        },
    );
}

#[test]
#[ignore = "needs root, FRR, BIRD, GoBGP; run by tests/run"]
fn bfd_over_two_hops_with_bird() {
    let start = |host, router: &Router| {
        let bfd = "protocol bfd { multihop { interval 50 ms; multiplier 10; }; }";
        Bird::start(host, &router.clone().more(bfd))
    };
    // It sends with TTL 64.
    Watched::new("  minimum-ttl: 60\n", "bfd on;", start).a_cut_way_ends_the_session_at_once(
        |router: &Bird| router.birdc("show bfd sessions").contains("Up"),
    );
}
