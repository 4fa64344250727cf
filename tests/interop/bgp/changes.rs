//! What changes while sessions stand: Services, peers, nodes, the other end's wishes. The router is FRR.

use std::time::Duration;

use crate::lan::{Host, Lan, holds_for, until};
use crate::routers::{Bird, Frr, Neighbour, Peer as _, Router};
use crate::speaker::{Folder, POOL, Service, Speaker, config, peer};

const ROUTER: &str = "172.31.0.250";
const OTHER: &str = "172.31.0.251";

/// Two routers (250 of AS 64513, 251 of AS 64514) that know host 11.
fn two_routers(lan: &Lan) -> (Frr, Frr) {
    let router = |number, asn| {
        let neighbour = Neighbour::new("172.31.0.11", 64512);
        Frr::start(lan.host(number), &Router::new(asn).neighbour(neighbour))
    };
    (router(250, 64513), router(251, 64514))
}

/// How often the session with host 11 came up.
fn times_up(router: &Frr) -> u64 {
    router.neighbour("172.31.0.11")["connectionsEstablished"]
        .as_u64()
        .unwrap_or_default()
}

#[test]
#[ignore = "needs root, FRR, BIRD, GoBGP; run by tests/run"]
fn a_peer_added_changed_and_removed_leaves_the_others_alone() {
    let lan = Lan::new();
    let (one, two) = two_routers(&lan);
    let first = peer(64512, 64513, ROUTER, &[]);
    let second = |more: &[&str]| peer(64512, 64514, OTHER, more);
    let folder = Folder::new(&config(std::slice::from_ref(&first)), "");
    folder.service(&Service::new("web", "10.80.0.1"));
    let speaker = Speaker::start(lan.host(11), folder);
    let ip = speaker.ip4();
    one.knows("10.80.0.1/32", &[&ip]);

    // added
    speaker
        .folder
        .config(&config(&[first.clone(), second(&[])]), "");
    speaker.logs(&["peerAdded", OTHER]);
    two.knows("10.80.0.1/32", &[&ip]);
    assert_eq!((times_up(&one), times_up(&two)), (1, 1));

    // in another order: nothing happens
    speaker
        .folder
        .config(&config(&[second(&[]), first.clone()]), "");
    speaker.folder.service(&Service::new("next", "10.80.0.2"));
    two.knows("10.80.0.2/32", &[&ip]);
    assert_eq!((times_up(&one), times_up(&two)), (1, 1));

    // changed
    speaker
        .folder
        .config(&config(&[first.clone(), second(&["hold-time: 30s"])]), "");
    until(
        "the second came up again",
        || times_up(&two) == 2,
        || speaker.state(),
    );
    let hold = &two.neighbour(&ip)["bgpTimerHoldTimeMsecs"];
    assert_eq!(hold, 30000);
    two.knows("10.80.0.2/32", &[&ip]);
    assert_eq!(times_up(&one), 1);

    // removed
    speaker
        .folder
        .config(&config(std::slice::from_ref(&first)), "");
    speaker.logs(&["peerRemoved", OTHER]);
    two.knows("10.80.0.2/32", &[]);
    assert!(
        two.neighbour(&ip)["lastNotificationReason"]
            .as_str()
            .is_some_and(|reason| reason.contains("Peer De-configured")),
        "{}",
        two.neighbour(&ip)
    );
    assert_eq!(times_up(&one), 1);
    one.knows("10.80.0.1/32", &[&ip]);
    assert!(one.is_established(&ip));
    assert_eq!(
        speaker.metric("metallb_bgp_session_up", "172.31.0.251:179"),
        None
    );
}

#[test]
#[ignore = "needs root, FRR, BIRD, GoBGP; run by tests/run"]
fn a_service_that_comes_or_goes_is_one_update() {
    let lan = Lan::new();
    let (one, _two) = two_routers(&lan);
    let folder = Folder::new(&config(&[peer(64512, 64513, ROUTER, &[])]), "");
    let crowd: Vec<String> = (0..500)
        .map(|n| {
            Service::new(
                &format!("s{n}"),
                &format!("10.80.{}.{}", n / 250, n % 250 + 1),
            )
            .manifest()
        })
        .collect();
    folder.write("many.yaml", &crowd.join("---\n"));
    let speaker = Speaker::start(lan.host(11), folder);
    let ip = speaker.ip4();
    until(
        "the router has the crowd",
        || one.prefixes("ipv4").len() == 500,
        || speaker.state(),
    );
    let updates = || {
        (
            one.received(&ip, "updatesRecv"),
            speaker
                .metric("metallb_bgp_updates_total", "172.31.0.250:179")
                .unwrap(),
        )
    };
    // Equal attributes go together, as far as they are decided together: how far is a matter of the machine.
    let mut before = updates();
    assert!(before.0 < 500, "{before:?}");
    let mut one_more = |what: &str, prefixes: usize| {
        until(
            what,
            || one.prefixes("ipv4").len() == prefixes,
            || speaker.state(),
        );
        holds_for(
            Duration::from_millis(500),
            what,
            || updates() == (before.0 + 1, before.1 + 1),
            || format!("{before:?} {:?}", updates()),
        );
        before = updates();
    };
    speaker.folder.service(&Service::new("web", "10.80.9.9"));
    one_more("it comes", 501);
    speaker.folder.no_service("web");
    one_more("it goes", 500);
    // All of them at once: many to a message, as they are decided.
    speaker.folder.remove("many.yaml");
    until(
        "all gone",
        || one.prefixes("ipv4").is_empty(),
        || speaker.state(),
    );
    let after = updates();
    assert!(after.0 - before.0 <= 100, "{before:?} {after:?}");
}

#[test]
#[ignore = "needs root, FRR, BIRD, GoBGP; run by tests/run"]
fn a_change_that_changes_no_route_sends_nothing() {
    let lan = Lan::new();
    let (one, _two) = two_routers(&lan);
    let folder = Folder::new(&config(&[peer(64512, 64513, ROUTER, &[])]), "");
    folder.service(&Service::new("web", "10.80.0.1").shared());
    let speaker = Speaker::start(lan.host(11), folder);
    let ip = speaker.ip4();
    one.knows("10.80.0.1/32", &[&ip]);
    let before = one.received(&ip, "updatesRecv");
    // The address has a second owner, which goes again; a pool is described in other words.
    let second = Service::new("web2", "10.80.0.1").shared().port(81);
    speaker.folder.service(&second);
    speaker.logs(&["serviceAnnounced", "default/web2"]);
    speaker.folder.no_service("web2");
    speaker.logs(&["serviceWithdrawn", "default/web2"]);
    let text = config(&[peer(64512, 64513, ROUTER, &[])]);
    speaker.folder.config(
        &text.replace("10.80.0.0/16", "10.80.0.0/17, 10.80.128.0/17"),
        "",
    );
    // What comes after them is the next message.
    speaker.folder.service(&Service::new("next", "10.80.0.2"));
    one.knows("10.80.0.2/32", &[&ip]);
    assert_eq!(one.received(&ip, "updatesRecv"), before + 1);
    one.knows("10.80.0.1/32", &[&ip]);
}

#[test]
#[ignore = "needs root, FRR, BIRD, GoBGP; run by tests/run"]
fn labels_of_the_node_decide_over_a_peer_with_selectors() {
    let lan = Lan::new();
    let (one, two) = two_routers(&lan);
    let selector = "node-selectors: [{match-labels: {rack: '7'}}]";
    let text = config(&[
        peer(64512, 64513, ROUTER, &[]),
        peer(64512, 64514, OTHER, &[selector]),
    ]);
    let folder = Folder::new(&text, "");
    folder.service(&Service::new("web", "10.80.0.1"));
    folder.node("node-1", &[("rack", "8")]);
    let speaker = Speaker::start(lan.host(11), folder);
    let ip = speaker.ip4();
    one.knows("10.80.0.1/32", &[&ip]);
    assert_eq!(times_up(&two), 0);
    speaker.folder.node("node-1", &[("rack", "7")]);
    two.knows("10.80.0.1/32", &[&ip]);
    speaker.folder.node("node-1", &[]);
    two.knows("10.80.0.1/32", &[]);
    two.down(&ip);
    assert_eq!((times_up(&one), times_up(&two)), (1, 1));
    assert!(one.is_established(&ip));
}

#[test]
#[ignore = "needs root, FRR, BIRD, GoBGP; run by tests/run"]
fn a_dual_stack_service_has_a_route_of_each_family() {
    let lan = Lan::new();
    let (one, _two) = two_routers(&lan);
    let folder = Folder::new(&config(&[peer(64512, 64513, ROUTER, &[])]), "");
    folder.service(&Service::new("web", "10.80.0.1").and("fd80::1"));
    let speaker = Speaker::start(lan.host(11), folder);
    let ip = speaker.ip4();
    let four = one.knows("10.80.0.1/32", &[&ip]);
    let six = one.knows("fd80::1/128", &[&ip]);
    assert_eq!(four[0].next_hop, ip);
    assert_eq!(six[0].next_hop, speaker.ip6());
    // In the kernel, too.
    until(
        "the router forwards",
        || one.host().next_hops("10.80.0.1/32") == [ip.clone()],
        || one.state(),
    );
    speaker.folder.endpoints("web", &[], &["node-1"]);
    one.knows("10.80.0.1/32", &[]);
    one.knows("fd80::1/128", &[]);
}

#[test]
#[ignore = "needs root, FRR, BIRD, GoBGP; run by tests/run"]
fn overlapping_advertisements_and_aggregates_go_with_their_last_service() {
    let lan = Lan::new();
    let (one, _two) = two_routers(&lan);
    let advertisements =
        "  bgp-advertisements:\n  - {aggregation-length: 26, aggregation-length-v6: 124}\n";
    let text = config(&[peer(64512, 64513, ROUTER, &[])]) + advertisements;
    let folder = Folder::new(&text, "");
    folder.service(&Service::new("a", "10.80.0.1"));
    folder.service(&Service::new("b", "10.80.0.63"));
    folder.service(&Service::new("c", "10.80.0.64"));
    folder.service(&Service::new("d", "fd80::1f"));
    let speaker = Speaker::start(lan.host(11), folder);
    let ip = speaker.ip4();
    one.knows("10.80.0.0/26", &[&ip]);
    one.knows("10.80.0.64/26", &[&ip]);
    one.knows("fd80::10/124", &[&ip]);
    speaker.folder.no_service("a");
    speaker.folder.no_service("c");
    one.knows("10.80.0.64/26", &[]);
    one.knows("10.80.0.0/26", &[&ip]);
    speaker.folder.no_service("b");
    one.knows("10.80.0.0/26", &[]);
    one.knows("fd80::10/124", &[&ip]);
    assert_eq!(one.prefixes("ipv4"), [""; 0]);
}

#[test]
#[ignore = "needs root, FRR, BIRD, GoBGP; run by tests/run"]
fn three_nodes_are_three_next_hops() {
    let lan = Lan::new();
    let mut router = Router::new(64513);
    for number in 11..=13 {
        router = router.neighbour(Neighbour::new(format!("172.31.0.{number}"), 64512));
    }
    let router = Frr::start(lan.host(250), &router);
    let text = config(&[peer(64512, 64513, ROUTER, &[])]);
    let mut speakers: Vec<Speaker> = (11..=13)
        .map(|number| {
            let folder = Folder::new(&text, "");
            folder.service(&Service::new("web", "10.80.0.1"));
            folder.service(&Service::new("local", "10.80.0.2").local());
            folder.endpoints("local", &["node-2"], &["node-3"]);
            Speaker::start(lan.host(number), folder)
        })
        .collect();
    let all = ["172.31.0.11", "172.31.0.12", "172.31.0.13"];
    router.knows("10.80.0.1/32", &all);
    router.knows("10.80.0.2/32", &["172.31.0.12"]);
    let hops = |want: &[&str]| {
        until(
            &format!("the kernel's next hops are {want:?}"),
            || router.host().next_hops("10.80.0.1/32") == want,
            || router.state(),
        );
    };
    hops(&all);
    // One ends in order: gone at once. One dies: its connection does, too.
    speakers[0].end(libc::SIGTERM);
    router.knows("10.80.0.1/32", &all[1..]);
    speakers[1].end(libc::SIGKILL);
    router.knows("10.80.0.1/32", &all[2..]);
    hops(&all[2..]);
    speakers[0].restart();
    hops(&["172.31.0.11", "172.31.0.13"]);
}

#[test]
#[ignore = "needs root, FRR, BIRD, GoBGP; run by tests/run"]
fn ipv4_routes_over_ipv6_with_and_without_rfc_8950() {
    let lan = Lan::new();
    let (can, cannot, speaker) = (lan.host(250), lan.host(251), lan.host(11));
    let text = config(&[
        peer(64512, 64513, &can.ip6(), &[]),
        peer(64512, 64514, &cannot.ip6(), &[]),
    ]);
    let neighbour = Neighbour::new(speaker.ip6(), 64512);
    let can = Frr::start(
        can,
        &Router::new(64513).neighbour(neighbour.clone().more("capability extended-nexthop")),
    );
    let cannot = Frr::start(cannot, &Router::new(64514).neighbour(neighbour));
    let folder = Folder::new(&text, "");
    folder.service(&Service::new("web", "10.80.0.1").and("fd80::1"));
    let speaker = Speaker::start(speaker, folder);
    let ip = speaker.ip6();
    // RFC 8950: the next hop of an IPv4 prefix is an IPv6 address.
    let paths = can.knows("10.80.0.1/32", &[&ip]);
    assert_eq!(paths[0].next_hop, ip);
    can.knows("fd80::1/128", &[&ip]);
    until(
        "the router's kernel forwards",
        || {
            !can.host()
                .namespace
                .says("ip", &["route", "show", "10.80.0.1"])
                .is_empty()
        },
        || can.state(),
    );
    // Without the capability the next hop is our IPv4 address in the same network (RFC 4271), and the session stays.
    cannot.knows("fd80::1/128", &[&ip]);
    speaker.folder.service(&Service::new("next", "fd80::2"));
    cannot.knows("fd80::2/128", &[&ip]);
    let paths = cannot.knows("10.80.0.1/32", &[&ip]);
    assert_eq!(paths[0].next_hop, speaker.ip4());
    assert_eq!(cannot.neighbour(&ip)["connectionsEstablished"], 1);
}

#[test]
#[ignore = "needs root, FRR, BIRD, GoBGP; run by tests/run"]
fn ipv4_routes_over_ipv6_with_bird() {
    let lan = Lan::new();
    let (router, speaker) = (lan.host(250), lan.host(11));
    let text = config(&[peer(64512, 64513, &router.ip6(), &[])]);
    let neighbour = Neighbour::new(speaker.ip6(), 64512);
    let router = Bird::start(router, &Router::new(64513).neighbour(neighbour));
    let folder = Folder::new(&text, "");
    folder.service(&Service::new("web", "10.80.0.1"));
    let speaker = Speaker::start(speaker, folder);
    let paths = router.knows("10.80.0.1/32", &[&speaker.ip6()]);
    assert_eq!(paths[0].next_hop, speaker.ip6());
}

#[test]
#[ignore = "needs root, FRR, BIRD, GoBGP; run by tests/run"]
fn a_peer_at_a_link_local_address() {
    let lan = Lan::new();
    let (router, speaker) = (lan.host(250), lan.host(11));
    let address = router.link_local();
    let text = config(&[peer(64512, 64513, &address, &[])]);
    let settings = format!("bgp:\n  peers:\n  - peer-address: '{address}'\n    interface: eth0\n");
    let neighbour = Neighbour::new(speaker.link_local(), 64512)
        .more("interface eth0")
        .more("capability extended-nexthop");
    let ip = speaker.link_local();
    let router = Frr::start(router, &Router::new(64513).neighbour(neighbour));
    let folder = Folder::new(&text, &settings);
    folder.service(&Service::new("web", "10.80.0.1").and("fd80::1"));
    let speaker = Speaker::start(speaker, folder);
    router.knows("fd80::1/128", &[&ip]);
    router.knows("10.80.0.1/32", &[&ip]);
    until(
        "the router's kernel forwards",
        || router.host().next_hops("fd80::1/128") == [ip.clone()],
        || format!("{}\n{}", router.state(), speaker.state()),
    );
}

#[test]
#[ignore = "needs root, FRR, BIRD, GoBGP; run by tests/run"]
fn source_address_router_id_and_security_by_ttl() {
    let lan = Lan::new();
    let (router, speaker) = (lan.host(250), lan.host(11));
    speaker.namespace.ip("address add 172.31.0.111/24 dev eth0");
    let text = config(&[peer(
        64512,
        64513,
        ROUTER,
        &["source-address: 172.31.0.111", "router-id: 198.51.100.77"],
    )]);
    let neighbour = Neighbour::new("172.31.0.111", 64512).more("ttl-security hops 1");
    let router = Frr::start(router, &Router::new(64513).neighbour(neighbour));
    let folder = Folder::new(&text, "bgp: {ttl-security: 1}\n");
    folder.service(&Service::new("web", "10.80.0.1"));
    let _speaker = Speaker::start(speaker, folder);
    let paths = router.knows("10.80.0.1/32", &["172.31.0.111"]);
    assert_eq!(paths[0].next_hop, "172.31.0.111");
    assert_eq!(
        router.neighbour("172.31.0.111")["remoteRouterId"],
        "198.51.100.77"
    );
}

#[test]
#[ignore = "needs root, FRR, BIRD, GoBGP; run by tests/run"]
fn bird_at_a_link_local_address_with_security_by_ttl() {
    let lan = Lan::new();
    let (router, speaker) = (lan.host(250), lan.host(11));
    let address = router.link_local();
    let text = config(&[peer(64512, 64513, &address, &[])]);
    let settings = format!(
        "bgp:\n  ttl-security: 1\n  peers:\n  - peer-address: '{address}'\n    interface: eth0\n"
    );
    let neighbour = Neighbour::new(speaker.link_local(), 64512)
        .more("interface \"eth0\";")
        .more("ttl security on;");
    let router = Bird::start(router, &Router::new(64513).neighbour(neighbour));
    let folder = Folder::new(&text, &settings);
    folder.service(&Service::new("web", "10.80.0.1").and("fd80::1"));
    let speaker = Speaker::start(speaker, folder);
    let ip = speaker.host().link_local();
    for prefix in ["fd80::1/128", "10.80.0.1/32"] {
        let paths = router.knows(prefix, &[&ip]);
        assert_eq!(paths[0].next_hop, speaker.ip6());
    }
}

#[test]
#[ignore = "needs root, FRR, BIRD, GoBGP; run by tests/run"]
fn security_by_ttl_with_bird_over_ipv4_and_ipv6() {
    for addresses in [Host::ip4, Host::ip6] {
        let lan = Lan::new();
        let (router, speaker) = (lan.host(250), lan.host(11));
        let (at, from) = (addresses(&router), addresses(&speaker));
        let text = config(&[peer(64512, 64513, &at, &[])]);
        let neighbour = Neighbour::new(&from, 64512).more("ttl security on;");
        let router = Bird::start(router, &Router::new(64513).neighbour(neighbour));
        let folder = Folder::new(&text, "bgp: {ttl-security: 1}\n");
        folder.service(&Service::new("web", "10.80.0.1"));
        let speaker = Speaker::start(speaker, folder);
        router.knows("10.80.0.1/32", &[&from]);
        // Without it we look far away.
        speaker.folder.config(&text, "");
        router.down(&from);
    }
}

#[test]
#[ignore = "needs root, FRR, BIRD, GoBGP; run by tests/run"]
fn a_source_address_keeps_the_session_though_frr_gives_the_node_another_address() {
    let lan = Lan::new();
    let (router, speaker) = (lan.host(250), lan.host(11));
    speaker.namespace.write("net/ipv6/conf/eth0/accept_ra", "1");
    let (at, from) = (router.ip6(), speaker.ip6());
    let source = format!("source-address: '{from}'");
    let neighbour = Neighbour::new(&from, 64512);
    let router = Frr::start(router, &Router::new(64513).neighbour(neighbour));
    let folder = Folder::new(&config(&[peer(64512, 64513, &at, &[&source])]), "");
    folder.service(&Service::new("web", "10.80.0.1"));
    let speaker = Speaker::start(speaker, folder);
    router.knows("10.80.0.1/32", &[&from]);
    // With this FRR sends router advertisements, and begins the session anew.
    router.configure(&[
        "router bgp 64513",
        &format!("neighbor {from} capability extended-nexthop"),
    ]);
    let addresses = ["-6", "address", "show", "dev", "eth0", "dynamic"];
    let host = &speaker.host().namespace;
    until(
        "the node has an address of FRR's making",
        || host.says("ip", &addresses).contains("fd31::"),
        || format!("{}\n{}", host.says("ip", &addresses), router.state()),
    );
    // The kernel would take that one now.
    router.vtysh(&["clear bgp *"]);
    until(
        "a session from our address",
        || {
            let paths = router.paths("10.80.0.1/32");
            paths.iter().any(|path| path.next_hop == from)
        },
        || format!("{}\n{}", speaker.state(), router.state()),
    );
}

#[test]
#[ignore = "needs root, FRR, BIRD, GoBGP; run by tests/run"]
fn a_source_address_that_does_not_exist_is_said_and_waited_for() {
    let lan = Lan::new();
    let (router, speaker) = (lan.host(250), lan.host(11));
    let text = config(&[peer(
        64512,
        64513,
        ROUTER,
        &["source-address: 172.31.0.111"],
    )]);
    let neighbour = Neighbour::new("172.31.0.111", 64512);
    let router = Frr::start(router, &Router::new(64513).neighbour(neighbour));
    let folder = Folder::new(&text, "");
    folder.service(&Service::new("web", "10.80.0.1"));
    let speaker = Speaker::start(speaker, folder);
    speaker.logs(&["failed to connect", "172.31.0.111"]);
    speaker
        .host()
        .namespace
        .ip("address add 172.31.0.111/24 dev eth0");
    router.knows("10.80.0.1/32", &["172.31.0.111"]);
}

#[test]
#[ignore = "needs root, FRR, BIRD, GoBGP; run by tests/run"]
fn what_a_peer_announces_is_not_kept() {
    let lan = Lan::new();
    let networks: Vec<String> = (0..2000)
        .map(|n| format!("network 100.64.{}.{}/32", n >> 8, n & 255))
        .collect();
    let router = Router::new(64513)
        .neighbour(Neighbour::new("172.31.0.11", 64512))
        .more("address-family ipv4 unicast")
        .more(&networks.join("\n"))
        .more("exit-address-family");
    let router = Frr::start(lan.host(250), &router);
    let folder = Folder::new(&config(&[peer(64512, 64513, ROUTER, &[])]), "");
    folder.service(&Service::new("web", "10.80.0.1"));
    let speaker = Speaker::start(lan.host(11), folder);
    let ip = speaker.ip4();
    router.knows("10.80.0.1/32", &[&ip]);
    until(
        "the router has said its routes",
        || {
            let told = router.json(&format!(
                "show bgp ipv4 unicast neighbors {ip} advertised-routes"
            ));
            told["totalPrefixCounter"].as_u64() >= Some(2000)
        },
        || router.state(),
    );
    let routes = speaker.host().namespace.says("ip", &["route"]);
    assert!(!routes.contains("100.64."), "{routes}");
    // Nothing of it comes back.
    assert_eq!(
        router.json("show bgp summary")["ipv4Unicast"]["peers"][&ip]["pfxRcd"],
        1
    );
    assert_eq!(times_up(&router), 1);
}

#[test]
#[ignore = "needs root, FRR, BIRD, GoBGP; run by tests/run"]
fn a_pool_that_is_renamed_or_gets_communities_changes_routes_in_place() {
    let lan = Lan::new();
    let (one, _two) = two_routers(&lan);
    let text = config(&[peer(64512, 64513, ROUTER, &[])]);
    let folder = Folder::new(&text, "");
    folder.service(&Service::new("web", "10.80.0.1"));
    let speaker = Speaker::start(lan.host(11), folder);
    let ip = speaker.ip4();
    one.knows("10.80.0.1/32", &[&ip]);
    let advertisements = "  bgp-advertisements: [{communities: ['64512:7']}]\n";
    speaker.folder.config(&(text.clone() + advertisements), "");
    until(
        "the community",
        || {
            one.paths("10.80.0.1/32")
                .iter()
                .any(|path| path.communities == ["64512:7"])
        },
        || one.state(),
    );
    // From BGP to layer 2: withdrawn.
    let pool = POOL.replace("protocol: bgp", "protocol: layer2");
    let text = format!("peers:\n{}{pool}", peer(64512, 64513, ROUTER, &[]));
    speaker.folder.config(&text, "");
    one.knows("10.80.0.1/32", &[]);
    assert_eq!(times_up(&one), 1);
}
