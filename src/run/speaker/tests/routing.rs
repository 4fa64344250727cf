//! Peers, ways and routes: what BGP and BFD are told, and what becomes of their reports.

use super::*;

/// Two peers at one address, one of them without BFD, and a pool for them.
const ROUTED: &str = "\
peers:
- {my-asn: 1, peer-asn: 2, peer-address: 192.0.2.77, bfd-profile: f}
- {my-asn: 1, peer-asn: 2, peer-address: 192.0.2.77, peer-port: 1179}
bfd-profiles: [{name: f}]
address-pools:
- {name: d, protocol: bgp, addresses: [192.0.2.0/26]}
";

/// A speaker that announces its Service by BGP.
async fn routing() -> Driven {
    let driven = driven();
    driven.tell_all().await;
    driven
        .tell(Change::ConfigMap(ConfigMap {
            key: ObjectKey::new("metallb-system", "config"),
            uid: "uid".into(),
            config: Some(ROUTED.into()),
            settings: Some("bgp: {graceful-restart: 9s}".into()),
            origin: String::new(),
        }))
        .await;
    for kind in NEEDS {
        driven.tell(Change::Synced(kind)).await;
    }
    driven.tell(Change::Speakers(None)).await;
    driven
        .until("the peers", |driven| driven.bgp.lock().unwrap().len() == 3)
        .await;
    driven
}

fn way() -> bfd::Peer {
    bfd::Peer {
        address: "192.0.2.77".parse().unwrap(),
        source: None,
        interface: None,
        multihop: false,
    }
}

#[tokio::test(start_paused = true)]
async fn routes_and_then_peers_reach_bgp_and_ways_bfd() {
    let driven = routing().await;
    let asked = driven.bgp.lock().unwrap().clone();
    assert!(
        matches!(asked[0], bgp::Command::Route(_, Some(_))),
        "{asked:?}"
    );
    for (number, command) in asked[1..].iter().enumerate() {
        let bgp::Command::Peer(id, params) = command else {
            panic!("{asked:?}");
        };
        assert_eq!(id.0, u32::try_from(number).unwrap());
        assert_eq!(params.graceful_restart, Some(Duration::from_secs(9)));
    }
    let session = bfd::Command::Session(way(), bfd::Params::default());
    assert_eq!(*driven.bfd.lock().unwrap(), [session]);
    assert_eq!(driven.commands(), []);
    let figure = ANNOUNCED.replace("layer2", "bgp");
    driven
        .until("the figure", |driven| driven.page().contains(&figure))
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_way_that_breaks_takes_its_peers_down_unless_their_operator_ended_bfd() {
    let driven = routing().await;
    driven.bgp.lock().unwrap().clear();
    for reason in [
        bfd::Reason::NeighborAdminDown,
        bfd::Reason::DetectionTimeExpired,
    ] {
        let report = bfd::Report::Down(way(), reason);
        driven.bfd_reports.send(report).await.unwrap();
    }
    driven
        .bfd_reports
        .send(bfd::Report::Up(way()))
        .await
        .unwrap();
    driven
        .until("what BGP is told", |driven| {
            !driven.bgp.lock().unwrap().is_empty()
        })
        .await;
    rest().await;
    assert_eq!(
        *driven.bgp.lock().unwrap(),
        [bgp::Command::BfdDown(PeerId(0))]
    );
}

#[tokio::test(start_paused = true)]
async fn bfd_is_told_that_a_peer_is_gone_when_bgp_has_left_it() {
    let driven = routing().await;
    driven.bfd.lock().unwrap().clear();
    let (_, without_peers) = ROUTED.split_once("bfd-profiles").unwrap();
    driven
        .tell(Change::ConfigMap(ConfigMap {
            key: ObjectKey::new("metallb-system", "config"),
            uid: "uid".into(),
            config: Some(format!("bfd-profiles{without_peers}").into()),
            settings: None,
            origin: String::new(),
        }))
        .await;
    driven
        .until("BGP is told", |driven| {
            let told = driven.bgp.lock().unwrap();
            told.contains(&bgp::Command::PeerGone(PeerId(0)))
        })
        .await;
    rest().await;
    assert_eq!(*driven.bfd.lock().unwrap(), []);
    driven
        .bgp_reports
        .send(bgp::Report::Left(PeerId(0)))
        .await
        .unwrap();
    driven
        .until("BFD is told", |driven| {
            !driven.bfd.lock().unwrap().is_empty()
        })
        .await;
    assert_eq!(*driven.bfd.lock().unwrap(), [bfd::Command::Gone(way())]);
}

#[tokio::test(start_paused = true)]
async fn a_lost_session_is_an_event_on_the_node_unless_nobody_wants_it_any_more() {
    let driven = routing().await;
    let before = driven.fake.reasons().len();
    let down = |id: u32, why: &str| bgp::Report::Down(PeerId(id), why.to_owned());
    for report in [
        // A peer of the same number was there before.
        down(0, "the configuration changed"),
        bgp::Report::Up(PeerId(0)),
        bgp::Report::Up(PeerId(1)),
        down(7, "it is no peer"),
        down(1, "the hold timer expired"),
    ] {
        driven.bgp_reports.send(report).await.unwrap();
    }
    driven
        .until("the Event", |driven| driven.fake.reasons().len() > before)
        .await;
    rest().await;
    let told = driven.fake.reasons().split_off(before);
    assert_eq!(told, [("BGPSessionDown", "/node-1".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn at_the_end_sessions_leave_and_no_route_is_withdrawn() {
    let driven = routing().await;
    driven.bgp.lock().unwrap().clear();
    driven.seat.stop.cancel();
    assert_eq!((&mut { driven.task }).await.unwrap(), Ended::Stopped);
    assert_eq!(*driven.bgp.lock().unwrap(), [bgp::Command::Shutdown]);
    let bfd = driven.bfd.lock().unwrap();
    assert!(
        matches!(bfd.last(), Some(bfd::Command::Session(..))),
        "BFD stands until BGP has left: {bfd:?}"
    );
}
