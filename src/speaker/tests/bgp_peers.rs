//! Whom a node talks to, with which parameters, and what BFD watches.

use std::time::Duration;

use super::bgp_routes::{PLAIN, running};
use super::*;
use crate::bgp::Password;

/// Peers with these further fields, at 192.0.2.1, .2 …
fn peers(fields: &[&str]) -> String {
    let mut text = String::from("peers:\n");
    for (index, fields) in fields.iter().enumerate() {
        let last = index + 1;
        text += &format!(
            "- {{my-asn: 64512, peer-asn: 64513, peer-address: 192.0.2.{last}, {fields}}}\n"
        );
    }
    text
}

fn with_settings(text: &str, settings: &str) -> Event {
    Event::ConfigMap(ConfigMap {
        settings: Some(settings.into()),
        ..config_map(Some(text))
    })
}

fn labelled(name: &str, labels: &[(&str, &str)]) -> Event {
    Event::Node(Node {
        name: name.into(),
        labels: labels
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect(),
        ready: true,
    })
}

/// `number name` of each peer.
fn known(host: &Host) -> Vec<String> {
    let peers = host.peers.iter();
    peers
        .map(|(id, params)| format!("{} {}", id.0, params.name()))
        .collect()
}

/// `event peer` of each line about peers, and forgets everything.
fn said(host: &mut Host) -> Vec<String> {
    let said = ["peerRemoved", "peerAdded"].map(|event| {
        let lines = host.logged(event);
        let told: Vec<String> = lines
            .map(|record| {
                let reason = record.fields.iter().find(|(name, _)| *name == "reason");
                let reason = reason.map_or(String::new(), |(_, reason)| format!(" {reason}"));
                format!("{event} {}{reason}", field(record, "peer"))
            })
            .collect();
        told
    });
    host.forget();
    said.concat()
}

#[test]
fn a_peer_is_dialled_with_what_is_configured() {
    let host = running(
        "peers:\n- my-asn: 64512\n  peer-asn: 4200000000\n  peer-address: 192.0.2.1\n  peer-port: 1179\n  \
         source-address: 192.0.2.9\n  hold-time: 30s\n  keepalive-time: 5s\n  router-id: 10.0.0.1\n  password: hunter2\n  \
         ebgp-multihop: true\n",
    );
    let [params] = &host.peers.values().collect::<Vec<_>>()[..] else {
        panic!("one peer: {:?}", host.peers);
    };
    assert_eq!(
        ***params,
        bgp::Params {
            my_asn: 64512,
            peer_asn: 4_200_000_000,
            peer_address: ip("192.0.2.1"),
            peer_port: 1179,
            source_address: Some(ip("192.0.2.9")),
            interface: None,
            hold_time: Duration::from_secs(30),
            keepalive_time: Duration::from_secs(5),
            router_id: Some([10, 0, 0, 1].into()),
            // The CRC-32 of `a` is e8b7be43.
            fallback_router_id: [0x43, 0xbe, 0xb7, 0xe8].into(),
            password: Password("hunter2".into()),
            ebgp_multihop: true,
            ttl_security: None,
            graceful_restart: None,
            graceful_shutdown: None,
        }
    );
}

#[test]
fn what_a_peer_leaves_out_is_metallb_s_default_and_odd_times_are_mended() {
    let times = |fields: &str| {
        let host = running(&peers(&[fields]));
        let params = host.peers.values().next().unwrap();
        (params.hold_time.as_secs(), params.keepalive_time.as_secs())
    };
    assert_eq!(times("peer-port: 179"), (90, 30));
    assert_eq!(times("hold-time: 0"), (0, 0));
    assert_eq!(times("hold-time: 9s, keepalive-time: 9s"), (9, 9));
    assert_eq!(
        times("hold-time: 9s, keepalive-time: 0"),
        (9, 3),
        "else the peer hangs up"
    );
    assert_eq!(
        times("hold-time: 48h"),
        (65_535, 21_845 + 35_755),
        "16 bits"
    );
    let host = running(&peers(&["router-id: 'fd00::1'"]));
    assert_eq!(host.peers.values().next().unwrap().router_id, None);
    let host = running(&peers(&["router-id: '::ffff:10.0.0.1'"]));
    assert_eq!(
        host.peers.values().next().unwrap().router_id,
        Some([10, 0, 0, 1].into())
    );
}

#[test]
fn settings_reach_the_peers_that_they_are_for() {
    let text = peers(&["peer-port: 179", "peer-port: 179", "peer-port: 179"]);
    let mut host = running(&text);
    assert_eq!(host.peers.len(), 3);
    host.tell(with_settings(
        &text,
        "bgp: {graceful-restart: 120s, peers: [{peer-address: 192.0.2.2, graceful-restart: 0, graceful-shutdown: 200ms, \
         ttl-security: 3}, {peer-address: 192.0.2.3, enabled: no}]}",
    ));
    let found: Vec<_> = host
        .peers
        .values()
        .map(|params| {
            (
                params.graceful_restart.map(|time| time.as_secs()),
                params.graceful_shutdown.map(|time| time.as_millis()),
                params.ttl_security,
            )
        })
        .collect();
    assert_eq!(found, [(Some(120), None, None), (None, Some(200), Some(3))]);
    assert_eq!(
        said(&mut host),
        [
            "peerRemoved 192.0.2.1:179 removedFromConfig",
            "peerRemoved 192.0.2.2:179 removedFromConfig",
            "peerRemoved 192.0.2.3:179 disabled",
            "peerAdded 192.0.2.1:179",
            "peerAdded 192.0.2.2:179",
        ]
    );
    let link = "peers:\n- {my-asn: 1, peer-asn: 2, peer-address: 'fe80::1'}\n";
    host.tell(with_settings(
        link,
        "bgp: {peers: [{peer-address: 'fe80::1', interface: eth7}]}",
    ));
    let params = host.peers.values().next().unwrap();
    assert_eq!(params.interface.as_deref(), Some("eth7"));
}

#[test]
fn a_peer_that_is_as_before_keeps_its_session_while_others_come_go_and_change() {
    let mut host = running(&peers(&[
        "hold-time: 90s",
        "hold-time: 90s",
        "hold-time: 90s",
    ]));
    assert_eq!(
        known(&host),
        ["0 192.0.2.1:179", "1 192.0.2.2:179", "2 192.0.2.3:179"]
    );
    // Another order.
    let backwards = "peers:\n\
         - {my-asn: 64512, peer-asn: 64513, peer-address: 192.0.2.3}\n\
         - {my-asn: 64512, peer-asn: 64513, peer-address: 192.0.2.9}\n\
         - {my-asn: 64512, peer-asn: 64513, peer-address: 192.0.2.1, hold-time: 9s}\n";
    host.tell(config(backwards));
    assert_eq!(
        known(&host),
        ["0 192.0.2.1:179", "2 192.0.2.3:179", "3 192.0.2.9:179"]
    );
    assert_eq!(host.bgp.len(), 3, "gone, new, changed: {:?}", host.bgp);
    assert_eq!(host.bgp[0], bgp::Command::PeerGone(PeerId(1)));
    assert_eq!(
        said(&mut host),
        [
            "peerRemoved 192.0.2.1:179 removedFromConfig",
            "peerRemoved 192.0.2.2:179 removedFromConfig",
            "peerAdded 192.0.2.9:179",
            "peerAdded 192.0.2.1:179",
        ]
    );
    host.tell(config(
        &backwards.replace("peers:", "address-pools: []\npeers:"),
    ));
    assert_eq!(host.bgp, []);
    // A bad one changes nothing.
    host.tell(config("peers: 5"));
    host.tell(Event::ConfigMapGone);
    assert_eq!(host.bgp, []);
}

#[test]
fn two_peers_may_have_one_address_and_equal_ones_are_one() {
    let text = "peers:
- {my-asn: 64512, peer-asn: 64513, peer-address: 192.0.2.1}
- {my-asn: 64512, peer-asn: 64513, peer-address: 192.0.2.1, peer-port: 1179}
- {my-asn: 64512, peer-asn: 64514, peer-address: 192.0.2.1}
- {my-asn: 64512, peer-asn: 64513, peer-address: 192.0.2.1, node-selectors: [{match-labels: {a: b}}]}
";
    let mut host = running(text);
    assert_eq!(
        known(&host),
        ["0 192.0.2.1:179", "1 192.0.2.1:1179", "2 192.0.2.1:179"]
    );
    // The last one is the first one for this node.
    host.tell(labelled("a", &[("a", "b")]));
    assert_eq!(host.bgp, []);
    // The numbers follow what stays the same.
    host.tell(config(&text.replace(
        "peer-asn: 64513, peer-address: 192.0.2.1}\n",
        "peer-asn: 64515, peer-address: 192.0.2.1}\n",
    )));
    assert_eq!(host.peers[&PeerId(2)].peer_asn, 64514);
    let asns: BTreeSet<u32> = host.peers.values().map(|params| params.peer_asn).collect();
    assert_eq!(asns, BTreeSet::from([64513, 64514, 64515]));
}

#[test]
fn labels_choose_the_peers() {
    let select = |selector: &str| format!("node-selectors: [{selector}]");
    let text = peers(&[
        &select("{match-labels: {edge: 'true'}}, {match-labels: {rack: r1}}"),
        &select(
            "{match-expressions: [{key: edge, operator: Exists}, {key: rack, operator: NotIn, values: [r1, r2]}]}",
        ),
        &select("{match-expressions: [{key: edge, operator: DoesNotExist}]}"),
        &select("{match-expressions: [{key: rack, operator: In, values: [r2, r3]}]}"),
    ]);
    let mut host = running(&text);
    let names = |host: &Host| -> Vec<u8> {
        let mut last: Vec<u8> = host
            .peers
            .values()
            .map(|params| match params.peer_address {
                IpAddr::V4(ip) => ip.octets()[3],
                IpAddr::V6(_) => 0,
            })
            .collect();
        last.sort_unstable();
        last
    };
    assert_eq!(names(&host), [3]);
    for (labels, want) in [
        (&[("edge", "true")][..], &[1, 2][..]),
        (&[("edge", "")], &[2]),
        (&[("rack", "r1")], &[1, 3]),
        (&[("rack", "r2"), ("edge", "x")], &[4]),
        (&[("rack", "r3"), ("edge", "true")], &[1, 2, 4]),
        (&[], &[3]),
    ] {
        host.forget();
        host.tell(labelled("a", labels));
        assert_eq!(names(&host), want, "{labels:?}");
        assert_eq!(host.logged("nodeLabelsChanged").count(), 1);
        host.forget();
        host.tell(labelled("a", labels));
        host.tell(labelled("b", &[("edge", "true"), ("rack", "r2")]));
        host.assert_silent();
    }
    // A node object that is gone for a moment takes nothing away.
    host.tell(labelled("a", &[("edge", "true")]));
    host.forget();
    host.tell(Event::NodeGone("a".into()));
    assert_eq!(host.bgp, []);
    assert_eq!(names(&host), [1, 2]);
    host.tell(labelled("a", &[("edge", "no"), ("rack", "r9")]));
    assert_eq!(
        said(&mut host),
        ["peerRemoved 192.0.2.1:179 filteredByNodeSelector"]
    );
}

#[test]
fn labels_that_come_before_the_rest_choose_from_the_start() {
    let mut host = Host::new("a");
    host.tell(config(&peers(&[
        "node-selectors: [{match-labels: {edge: 'true'}}]",
        "hold-time: 90s",
    ])));
    host.tell(labelled("a", &[("edge", "true")]));
    assert_eq!(host.bgp, []);
    host.tell(Event::Synced);
    assert_eq!(host.peers.len(), 2);
}

const PROFILES: &str = "bfd-profiles:
- {name: fast, receive-interval: 50, transmit-interval: 60, detect-multiplier: 5, echo-interval: 70, echo-mode: true, passive-mode: true, minimum-ttl: 250}
- {name: plain}
";

fn way(last: u8) -> bfd::Peer {
    bfd::Peer {
        address: IpAddr::from([192, 0, 2, last]),
        source: None,
        interface: None,
        multihop: false,
    }
}

#[test]
fn a_peer_with_a_profile_is_watched_with_frr_s_defaults() {
    let host = running(&format!(
        "{}{PROFILES}",
        peers(&["bfd-profile: fast", "bfd-profile: plain", "hold-time: 90s"])
    ));
    let millis = Duration::from_millis;
    assert_eq!(
        host.ways.into_iter().collect::<Vec<_>>(),
        [
            (
                way(1),
                bfd::Params {
                    receive_interval: millis(50),
                    transmit_interval: millis(60),
                    detect_multiplier: 5,
                    echo_interval: millis(70),
                    echo_mode: true,
                    passive_mode: true,
                    minimum_ttl: 250,
                }
            ),
            (
                way(2),
                bfd::Params {
                    receive_interval: millis(300),
                    transmit_interval: millis(300),
                    detect_multiplier: 3,
                    echo_interval: millis(50),
                    echo_mode: false,
                    passive_mode: false,
                    minimum_ttl: 254,
                }
            ),
        ]
    );
}

#[test]
fn a_profile_changes_live_and_the_bgp_session_stays() {
    let text = format!("{}{PROFILES}", peers(&["bfd-profile: fast"]));
    let mut host = running(&text);
    host.tell(config(
        &text.replace("detect-multiplier: 5", "detect-multiplier: 9"),
    ));
    assert_eq!(host.bgp, []);
    assert_eq!(host.ways[&way(1)].detect_multiplier, 9);
    assert_eq!(host.bfd.len(), 1);
    host.forget();
    // The last profile goes: so does the session.
    host.tell(config(&peers(&["hold-time: 90s"])));
    assert_eq!(host.bgp, []);
    assert_eq!(host.bfd, [bfd::Command::Gone(way(1))]);
}

#[test]
fn peers_with_one_address_share_a_bfd_session() {
    let text = format!(
        "peers:
- {{my-asn: 64512, peer-asn: 64513, peer-address: 192.0.2.1, bfd-profile: plain}}
- {{my-asn: 64512, peer-asn: 64513, peer-address: 192.0.2.1, peer-port: 1179, bfd-profile: fast}}
- {{my-asn: 64512, peer-asn: 64513, peer-address: 192.0.2.1, peer-port: 2179}}
{PROFILES}"
    );
    let mut host = running(&text);
    assert_eq!(host.ways.len(), 1);
    assert_eq!(
        host.ways[&way(1)].detect_multiplier,
        3,
        "the first one's profile"
    );
    host.tell(Event::BfdDown(way(1)));
    assert_eq!(
        host.bgp,
        [
            bgp::Command::BfdDown(PeerId(0)),
            bgp::Command::BfdDown(PeerId(1))
        ]
    );
    host.forget();
    host.tell(Event::BfdDown(way(2)));
    assert_eq!(host.bgp, []);
    // The first one goes: the other one's profile counts.
    let second: String = text
        .lines()
        .filter(|line| !line.contains("plain}"))
        .map(|line| format!("{line}\n"))
        .collect();
    host.tell(config(&format!("{second}- {{name: plain}}\n")));
    assert_eq!(host.ways[&way(1)].detect_multiplier, 5);
    assert_eq!(host.bfd.len(), 1);
}

#[test]
fn bfd_stands_until_a_peer_that_goes_or_changes_has_been_told() {
    let text = |fields: &[&str]| format!("{}{PROFILES}", peers(fields));
    let both = text(&["bfd-profile: fast", "bfd-profile: plain"]);
    let mut host = running(&both);
    // One goes, one is dialled from another address, which is another way.
    host.tell(config(&format!(
        "peers:\n- {{my-asn: 64512, peer-asn: 64513, peer-address: 192.0.2.2, source-address: 192.0.2.77, \
         bfd-profile: plain}}\n{PROFILES}"
    )));
    let other = bfd::Peer {
        source: Some(ip("192.0.2.77")),
        ..way(2)
    };
    let [gone, changed] = &host.bgp[..] else {
        panic!("{:?}", host.bgp);
    };
    assert_eq!(*gone, bgp::Command::PeerGone(PeerId(0)));
    assert!(matches!(changed, bgp::Command::Peer(PeerId(1), _)));
    let begun = bfd::Command::Session(other.clone(), bfd::Params::default());
    assert_eq!(host.bfd, [begun]);
    host.forget();
    host.tell(Event::BgpLeft(PeerId(7)));
    host.assert_silent();
    host.tell(Event::BgpLeft(PeerId(0)));
    assert_eq!(host.bfd, [bfd::Command::Gone(way(1))]);
    host.forget();
    // Its end is none of anybody's business, and what was told once is not told again.
    host.tell(Event::BfdDown(way(2)));
    host.tell(Event::BgpLeft(PeerId(0)));
    host.assert_silent();
    host.tell(Event::BgpLeft(PeerId(1)));
    assert_eq!(host.bfd, [bfd::Command::Gone(way(2))]);
    assert_eq!(host.ways.into_keys().collect::<Vec<_>>(), [other]);
}

#[test]
fn a_way_that_is_wanted_again_in_time_is_watched_on() {
    let text = |fields: &[&str]| format!("{}{PROFILES}", peers(fields));
    let mut host = running(&text(&["bfd-profile: fast"]));
    host.tell(config(PROFILES));
    host.tell(config(&text(&["bfd-profile: fast"])));
    assert_eq!(host.bfd, []);
    // Now it is the new peer's.
    host.tell(Event::BgpLeft(PeerId(0)));
    assert_eq!(host.bfd, []);
    host.tell(config(PROFILES));
    host.tell(config(&text(&["bfd-profile: plain"])));
    assert_eq!(
        host.bfd,
        [bfd::Command::Session(way(1), bfd::Params::default())]
    );
    assert_eq!(host.peers.keys().collect::<Vec<_>>(), [&PeerId(2)]);
}

#[test]
fn a_way_of_two_peers_goes_after_both() {
    let mut host = running(&format!(
        "peers:
- {{my-asn: 64512, peer-asn: 64513, peer-address: 192.0.2.1, bfd-profile: plain}}
- {{my-asn: 64512, peer-asn: 64513, peer-address: 192.0.2.1, peer-port: 1179, bfd-profile: plain}}
{PROFILES}"
    ));
    host.tell(config(PROFILES));
    host.tell(Event::BgpLeft(PeerId(1)));
    assert_eq!(host.bfd, []);
    host.tell(Event::BgpLeft(PeerId(0)));
    assert_eq!(host.bfd, [bfd::Command::Gone(way(1))]);
}

#[test]
fn bfd_reckons_with_several_hops_where_the_peer_may_be_far_or_the_settings_say_so() {
    let text = format!(
        "{}- {{my-asn: 64512, peer-asn: 64512, peer-address: 192.0.2.9, bfd-profile: plain}}\n{PROFILES}",
        peers(&[
            "bfd-profile: plain",
            "bfd-profile: plain, ebgp-multihop: true",
            "bfd-profile: plain, source-address: 192.0.2.77",
        ])
    );
    let multihop =
        |host: &Host| -> Vec<bool> { host.ways.keys().map(|way| way.multihop).collect() };
    let mut host = running(&text);
    assert_eq!(multihop(&host), [false, true, false, false]);
    assert_eq!(
        host.ways.keys().nth(2).unwrap().source,
        Some(ip("192.0.2.77"))
    );
    host.tell(with_settings(
        &text,
        "bgp: {peers: [{peer-address: 192.0.2.1, ttl-security: 2}, {peer-address: 192.0.2.2, bfd-multihop: false}, \
         {peer-address: 192.0.2.3, ttl-security: 1}, {peer-address: 192.0.2.9, bfd-multihop: true}]}",
    ));
    host.tell(Event::BgpLeft(PeerId(0)));
    assert_eq!(multihop(&host), [true, false, false, true]);
}

#[test]
fn without_a_configuration_there_are_no_peers() {
    let mut host = Host::new("a");
    host.tell(node("a", true));
    host.tell(Event::Synced);
    host.tell(Event::ConfigMapGone);
    assert_eq!(host.bgp, []);
    host.tell(config(PLAIN));
    assert_eq!(host.peers.len(), 1);
}
