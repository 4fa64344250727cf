//! Which routes a node advertises: for which Services, as which prefixes, with which attributes.

use super::*;
use crate::bgp::Origin;

/// One peer, a pool with one advertisement that has all defaults.
pub(super) const PLAIN: &str = "\
peers:
- {my-asn: 64512, peer-asn: 64513, peer-address: 192.0.2.1}
address-pools:
- {name: far, protocol: bgp, addresses: [10.0.9.0/24, 'fd00:9::/64']}
";

/// Advertisements of the pool.
fn advertised(advertisements: &str) -> String {
    format!(
        "address-pools:\n- name: far\n  protocol: bgp\n  addresses: [10.0.9.0/24, 'fd00:9::/64']\n  \
         bgp-advertisements: {advertisements}\n"
    )
}

/// A speaker on `a` that runs with this configuration.
pub(super) fn running(text: &str) -> Host {
    running_as(text, BgpType::Native)
}

pub(super) fn running_as(text: &str, bgp_type: BgpType) -> Host {
    let mut host = Host::with(Params {
        node_name: "a".into(),
        without_endpoints_ready: false,
        bgp_type,
    });
    host.tell(config(text));
    host.tell(speakers(&["a", "b"]));
    host.tell(Event::Synced);
    host.forget();
    host
}

/// `prefix localpref communities` of each route.
fn routes(host: &Host) -> Vec<String> {
    host.routes
        .iter()
        .map(|(prefix, attributes)| {
            let communities = attributes
                .communities
                .iter()
                .map(|c| format!(" {}", c & 0xffff));
            format!(
                "{prefix} {}{}",
                attributes.local_pref,
                communities.collect::<String>()
            )
        })
        .collect()
}

fn prefixes(host: &Host) -> Vec<String> {
    host.routes.keys().map(ToString::to_string).collect()
}

#[test]
fn every_node_announces_a_service_of_policy_cluster_that_is_served_anywhere() {
    let mut host = running(PLAIN);
    host.tell(cluster("web", &["10.0.9.1"]));
    host.assert_silent();
    host.tell(endpoints("web", &["b"]));
    assert_eq!(prefixes(&host), ["10.0.9.1/32"]);
    assert_eq!(host.commands, []);
    let [announced] = &host.logged("serviceAnnounced").collect::<Vec<_>>()[..] else {
        panic!("one line: {:?}", host.logs);
    };
    assert_eq!(field(announced, "protocol"), "bgp");
    let [updated] = &host.logged("updatedAdvertisements").collect::<Vec<_>>()[..] else {
        panic!("one line: {:?}", host.logs);
    };
    assert_eq!(field(updated, "numAds"), "1");
    assert_eq!(host.events[0].message, "announcing from node \"a\"");
    assert_eq!(
        host.speaker.announcements().collect::<Vec<_>>(),
        [Announcement {
            service: key("web"),
            ip: ip("10.0.9.1"),
            protocol: ProtocolName("bgp"),
        }]
    );
    host.forget();
    for _ in 0..2 {
        host.tell(cluster("web", &["10.0.9.1"]));
        host.tell(endpoints("web", &["a", "b"]));
        host.tell(config(PLAIN));
        host.tell(speakers(&["b"]));
        host.tell(members(&["a", "b", "c"]));
        host.logs
            .retain(|record| record.subject != Subject::Event("speakersChanged"));
        host.assert_silent();
    }
    host.tell(endpoints("web", &["!a", "!b"]));
    assert_eq!(prefixes(&host), [""; 0]);
    assert_eq!(host.withdrawals(), ["default/web noEndpoints"]);
}

#[test]
fn policy_local_wants_an_endpoint_on_this_node() {
    let mut host = running(PLAIN);
    host.tell(local("web", &["10.0.9.1"]));
    host.tell(endpoints("web", &["b"]));
    host.assert_silent();
    host.tell(endpoints("web", &["b", "a"]));
    assert_eq!(prefixes(&host), ["10.0.9.1/32"]);
    host.tell(endpoints("web", &["b", "!a"]));
    assert_eq!(host.withdrawals(), ["default/web noLocalEndpoints"]);
    assert_eq!(prefixes(&host), [""; 0]);
    host.tell(cluster("web", &["10.0.9.1"]));
    assert_eq!(prefixes(&host), ["10.0.9.1/32"]);
    host.tell(Event::EndpointsGone(key("web")));
    assert_eq!(host.withdrawals(), ["default/web noEndpoints"]);
}

#[test]
fn an_address_that_is_not_ready_in_any_subset_is_not_ready() {
    let mut host = running(PLAIN);
    host.tell(cluster("web", &["10.0.9.1"]));
    host.tell(local("dns", &["10.0.9.2"]));
    // One address, ready behind one port and not behind another.
    for name in ["web", "dns"] {
        host.tell(endpoints(name, &["a@1", "!a@1", "!b@2"]));
    }
    assert_eq!(prefixes(&host), [""; 0]);
    // Another address serves the cluster, and not this node.
    for name in ["web", "dns"] {
        host.tell(endpoints(name, &["a@1", "!a@1", "b@2"]));
    }
    assert_eq!(prefixes(&host), ["10.0.9.1/32"]);
    // For layer 2 each entry counts for itself.
    let mut host = Host::running();
    let address = won_by("a", &["b"]);
    host.tell(cluster("web", &[&address]));
    host.tell(endpoints("web", &["a@1", "!a@1"]));
    assert_eq!(host.addresses, BTreeSet::from([ip(&address)]));
}

#[test]
fn every_other_reason_to_withdraw_is_the_same_as_in_layer_2() {
    for (event, reason) in [
        (Event::ServiceGone(key("web")), "serviceDeleted"),
        (cluster("web", &[]), "noIPAllocated"),
        (cluster("web", &["x"]), "invalidIP"),
        (cluster("web", &["192.0.2.1"]), "ipNotAllowed"),
        (cluster("web", &["10.0.9.2"]), "loadBalancerIPChanged"),
        (config(&PLAIN.replace("bgp", "layer2")), "protocolChanged"),
    ] {
        let mut host = running(PLAIN);
        host.tell(endpoints("web", &["a"]));
        host.tell(cluster("web", &["10.0.9.1"]));
        host.forget();
        host.tell(event);
        assert!(
            !prefixes(&host).contains(&"10.0.9.1/32".to_owned()),
            "{reason}"
        );
        assert_eq!(host.withdrawals(), [format!("default/web {reason}")]);
    }
}

#[test]
fn each_advertisement_is_a_route_for_each_address() {
    let mut host = running(&advertised(
        "[{localpref: 200}, {aggregation-length: 28, aggregation-length-v6: 96, communities: ['1:5', '1:4']}]",
    ));
    host.tell(endpoints("web", &["a"]));
    host.tell(cluster("web", &["10.0.9.77", "fd00:9::1:2:3"]));
    assert_eq!(
        routes(&host),
        [
            "10.0.9.64/28 0 4 5",
            "10.0.9.77/32 200",
            "fd00:9::/96 0 4 5",
            "fd00:9::1:2:3/128 200"
        ]
        .map(|text| text.replace("fd00:9::/96", "fd00:9::1:0:0/96"))
    );
    let updated = host.logged("updatedAdvertisements").next().unwrap();
    assert_eq!(field(updated, "numAds"), "4");
    host.forget();
    host.tell(cluster("web", &["10.0.9.78"]));
    // The aggregate stays, and nobody is told of it.
    assert_eq!(routes(&host), ["10.0.9.64/28 0 4 5", "10.0.9.78/32 200"]);
    assert_eq!(host.bgp.len(), 4, "{:?}", host.bgp);
}

#[test]
fn routes_of_many_services_are_one() {
    let mut host = running(&advertised(
        "[{aggregation-length: 24}, {aggregation-length: 32}]",
    ));
    for (name, address) in [
        ("web", "10.0.9.1"),
        ("dns", "10.0.9.1"),
        ("ntp", "10.0.9.2"),
    ] {
        host.tell(endpoints(name, &["a"]));
        host.tell(cluster(name, &[address]));
    }
    assert_eq!(
        prefixes(&host),
        ["10.0.9.0/24", "10.0.9.1/32", "10.0.9.2/32"]
    );
    assert_eq!(host.bgp.len(), 3);
    host.forget();
    host.tell(Event::ServiceGone(key("web")));
    assert_eq!(host.bgp, []);
    host.tell(cluster("dns", &["10.0.9.1", "10.0.9.1"]));
    host.tell(cluster("dns", &["10.0.9.1"]));
    assert_eq!(host.bgp, []);
    host.tell(Event::ServiceGone(key("dns")));
    assert_eq!(prefixes(&host), ["10.0.9.0/24", "10.0.9.2/32"]);
    host.tell(Event::ServiceGone(key("ntp")));
    assert_eq!(prefixes(&host), [""; 0]);
}

#[test]
fn an_address_that_moves_between_services_within_one_event_is_not_withdrawn() {
    let mut host = running(PLAIN);
    for name in ["web", "dns"] {
        host.tell(endpoints(name, &["a"]));
        host.tell(cluster(name, &["10.0.9.1"]));
    }
    host.forget();
    let layer2 = PLAIN.replace("bgp", "layer2");
    host.tell(config(&layer2));
    assert_eq!(
        host.bgp,
        [bgp::Command::Route("10.0.9.1/32".parse().unwrap(), None)]
    );
    host.forget();
    host.tell(config(PLAIN));
    assert_eq!(host.bgp.len(), 1);
    assert_eq!(prefixes(&host), ["10.0.9.1/32"]);
}

#[test]
fn metallb_s_own_bgp_sends_incomplete_and_what_is_configured_and_frr_igp_and_100() {
    for (bgp_type, want) in [
        (BgpType::Native, (Origin::Incomplete, [0, 7])),
        (BgpType::Frr, (Origin::Igp, [100, 7])),
    ] {
        let mut host = running_as(
            &advertised("[{}, {aggregation-length: 24, localpref: 7}]"),
            bgp_type,
        );
        host.tell(endpoints("web", &["a"]));
        host.tell(cluster("web", &["10.0.9.1"]));
        let mut prefs: Vec<u32> = host.routes.values().map(|route| route.local_pref).collect();
        prefs.reverse();
        assert_eq!(
            (host.routes.values().next().unwrap().origin, &*prefs),
            (want.0, &want.1[..])
        );
    }
}

#[test]
fn of_advertisements_that_make_one_prefix_the_last_one_counts_and_with_frr_all() {
    let text = advertised(
        "[{localpref: 50, communities: ['1:1', '1:9']}, {localpref: 0, communities: ['1:2']}, \
         {aggregation-length: 24}, {localpref: 20, aggregation-length: 24, communities: ['1:3']}]",
    );
    for (bgp_type, four, six) in [
        (BgpType::Native, "10.0.9.1/32 0 2", "fd00:9::1/128 20 3"),
        (
            BgpType::Frr,
            "10.0.9.1/32 50 1 2 9",
            "fd00:9::1/128 50 1 2 3 9",
        ),
    ] {
        let mut host = running_as(&text, bgp_type);
        host.tell(endpoints("web", &["a"]));
        host.tell(cluster("web", &["10.0.9.1", "fd00:9::1"]));
        // In IPv6 all four make the same.
        assert_eq!(routes(&host)[1..], [four, six]);
        host.forget();
        host.tell(Event::ServiceGone(key("web")));
        assert_eq!(routes(&host), [""; 0]);
        assert_eq!(host.bgp.len(), 3);
    }
}

#[test]
fn a_configuration_changes_the_routes_that_differ_and_no_others() {
    let two = |first: &str, second: &str| {
        format!(
            "address-pools:\n- {{name: one, protocol: bgp, addresses: [10.0.8.0/24], bgp-advertisements: [{first}]}}\n\
             - {{name: two, protocol: bgp, addresses: [10.0.9.0/24], bgp-advertisements: [{second}]}}\n"
        )
    };
    let mut host = running(&two("{}", "{}"));
    for number in ["8", "9"] {
        host.tell(endpoints(number, &["a"]));
        host.tell(cluster(number, &[&format!("10.0.{number}.1")]));
    }
    host.forget();
    host.tell(config(&two("{}", "{localpref: 5}")));
    assert_eq!(routes(&host), ["10.0.8.1/32 0", "10.0.9.1/32 5"]);
    assert_eq!(host.bgp.len(), 1);
    assert_eq!(host.logged("updatedAdvertisements").count(), 1);
    assert_eq!(host.logged("serviceWithdrawn").count(), 0);
    assert_eq!(host.events, []);
    host.forget();
    // Another place in the document is no difference.
    host.tell(config(&two(
        "{}, {aggregation-length: 24}",
        "{localpref: 5}",
    )));
    assert_eq!(
        host.bgp,
        [bgp::Command::Route(
            "10.0.8.0/24".parse().unwrap(),
            host.routes.values().next().cloned()
        )]
    );
    assert_eq!(host.logged("updatedAdvertisements").count(), 1);
    // An aggregate is there before its parts go.
    host.forget();
    host.tell(config(&two(
        "{aggregation-length: 24}",
        "{localpref: 5, aggregation-length: 24}",
    )));
    let order: Vec<bool> = host
        .bgp
        .iter()
        .map(|command| matches!(command, bgp::Command::Route(_, Some(_))))
        .collect();
    assert_eq!(order, [true, false, false]);
    assert_eq!(routes(&host), ["10.0.8.0/24 0", "10.0.9.0/24 5"]);
}

#[test]
fn nothing_is_advertised_before_everything_is_known_and_then_the_routes_come_before_the_peers() {
    let mut host = Host::new("a");
    host.tell(config(PLAIN));
    host.tell(node("a", true));
    for number in 1..4 {
        let name = format!("s{number}");
        host.tell(endpoints(&name, &["b"]));
        host.tell(cluster(&name, &[&format!("10.0.9.{number}")]));
    }
    assert_eq!(host.bgp, []);
    host.tell(Event::Synced);
    assert_eq!(host.bgp.len(), 4);
    assert!(
        matches!(host.bgp.last(), Some(bgp::Command::Peer(..))),
        "{:?}",
        host.bgp
    );
}

#[test]
fn at_the_end_nothing_is_withdrawn_and_the_sessions_leave() {
    let mut host = running(PLAIN);
    host.tell(endpoints("web", &["a"]));
    host.tell(cluster("web", &["10.0.9.1"]));
    host.forget();
    host.tell(Event::Leaving);
    assert_eq!(host.bgp, [bgp::Command::Shutdown]);
    assert_eq!(host.bfd, []);
    host.tell(Event::Leaving);
    host.tell(Event::Shutdown);
    assert_eq!(host.bgp, [bgp::Command::Shutdown]);
    assert_eq!(host.bfd, [], "BFD stands until BGP has left");
    assert_eq!(host.speaker.announcements().count(), 0);
    let shutdown = host.logged("shutdown").next().unwrap();
    assert_eq!(field(shutdown, "announcements"), "1");
}

#[test]
fn while_the_sessions_leave_layer_2_goes_on() {
    let mut host = running(&format!(
        "{PLAIN}- {{name: near, protocol: layer2, addresses: [10.0.1.0/24]}}\n"
    ));
    host.tell(speakers(&["a"]));
    host.forget();
    host.speaker.handle(Event::Leaving);
    let mut host_effects = Vec::new();
    for event in [
        endpoints("web", &["a"]),
        cluster("web", &["10.0.9.1"]),
        endpoints("dns", &["a"]),
        cluster("dns", &["10.0.1.1"]),
    ] {
        host.speaker.handle(event);
    }
    while let Some(effect) = host.speaker.poll_effect() {
        host_effects.push(effect);
    }
    host_effects.retain(|effect| !matches!(effect, Effect::Log(_) | Effect::Record(_)));
    assert_eq!(
        host_effects,
        [
            Effect::Bgp(bgp::Command::Shutdown),
            Effect::Layer2(Command::Announce(ip("10.0.1.1")))
        ]
    );
}

#[test]
fn what_an_event_costs_does_not_grow_with_the_other_services() {
    let mut host = Host::new("a");
    host.tell(config(
        "address-pools:\n- name: wide\n  protocol: bgp\n  addresses: [10.1.0.0/16]\n  \
         bgp-advertisements: [{}, {aggregation-length: 24}]\n",
    ));
    host.tell(speakers(&["a"]));
    for number in 0..10_000_u32 {
        let name = format!("s{number}");
        let address = IpAddr::from((0x0a01_0000 + number).to_be_bytes());
        host.speaker.handle(cluster(&name, &[&address.to_string()]));
        host.speaker.handle(endpoints(&name, &["b"]));
    }
    host.speaker.handle(Event::Synced);
    let mut advertised = 0;
    while let Some(effect) = host.speaker.poll_effect() {
        advertised += u32::from(matches!(
            effect,
            Effect::Bgp(bgp::Command::Route(_, Some(_)))
        ));
    }
    assert_eq!(advertised, 10_000 + 40);
    // One of 256 in its aggregate.
    host.speaker.handle(endpoints("s77", &[]));
    let command = host.speaker.poll_effect();
    let gone = bgp::Command::Route("10.1.0.77/32".parse().unwrap(), None);
    assert_eq!(command, Some(Effect::Bgp(gone)));
    let commands = std::iter::from_fn(|| host.speaker.poll_effect())
        .filter(|effect| !matches!(effect, Effect::Log(_)));
    assert_eq!(commands.count(), 0);
}
