//! Each way in which an announcement ends, and what is said about Services that cannot be announced.

use super::*;

/// A Service `web` at this address that this node announces; `b` would lose it.
fn announced() -> (Host, String) {
    let mut host = Host::running();
    let address = won_by("a", &["b", "c"]);
    host.tell(endpoints("web", &["a", "b"]));
    host.tell(cluster("web", &[&address]));
    assert_eq!(host.addresses, BTreeSet::from([ip(&address)]));
    host.forget();
    (host, address)
}

#[test]
fn each_reason_is_told_in_the_words_of_0_12() {
    let other_node = |address: &str| {
        (0..)
            .map(|number| format!("n{number}"))
            .find(|node| plain_hash(node, address) < plain_hash("a", address))
            .unwrap()
    };
    let (_, address) = announced();
    let cases = [
        (Event::ServiceGone(key("web")), "serviceDeleted"),
        (
            Event::Service(Box::new(Service {
                is_load_balancer: false,
                ..service("web", &[&address])
            })),
            "notLoadBalancer",
        ),
        (cluster("web", &[]), "noIPAllocated"),
        (cluster("web", &[""]), "invalidIP"),
        (cluster("web", &["lb.example.com"]), "invalidIP"),
        (cluster("web", &[&address, "10.0.1.300"]), "invalidIP"),
        (cluster("web", &["192.0.2.1"]), "ipNotAllowed"),
        (cluster("web", &[&address, "10.0.2.1"]), "ipNotAllowed"),
        (cluster("web", &["10.0.3.9"]), "ipNotAllowed"),
        (cluster("web", &["fd00:2::1"]), "ipNotAllowed"),
        (
            config(
                &POOLS
                    .replacen("layer2", "bgp", 1)
                    .replace(", 'fd00:1::/64'", ""),
            ),
            "protocolChanged",
        ),
        (cluster("web", &["10.0.9.1"]), "protocolChanged"),
        (cluster("web", &["10.0.2.1"]), "loadBalancerIPChanged"),
        (speakers(&["a", &other_node(&address)]), "notOwner"),
        (endpoints("web", &["!a", "!b"]), "noEndpoints"),
        (endpoints("web", &[]), "noEndpoints"),
        (Event::EndpointsGone(key("web")), "noEndpoints"),
    ];
    for (event, reason) in cases {
        let (mut host, address) = announced();
        host.tell(event.clone());
        assert!(!host.addresses.contains(&ip(&address)), "{event:?}");
        let withdrawn: Vec<_> = host.logged("serviceWithdrawn").collect();
        assert_eq!(withdrawn.len(), 1, "{event:?}");
        assert_eq!(withdrawn[0].level, Level::Info);
        assert_eq!(
            withdrawn[0].fields,
            [
                ("service", "default/web".to_owned()),
                ("ips", address),
                ("pool", "one".to_owned()),
                ("protocol", "layer2".to_owned()),
                ("reason", reason.to_owned()),
            ]
        );
        host.forget();
        host.tell(event);
        assert_eq!(host.withdrawals(), [""; 0], "told twice: {reason}");
    }
}

#[test]
fn local_without_an_endpoint_here_is_not_ours() {
    let (mut host, address) = announced();
    host.tell(local("web", &[&address]));
    host.assert_silent();
    host.tell(endpoints("web", &["!a", "b"]));
    assert_eq!(host.withdrawals(), ["default/web notOwner"]);
}

#[test]
fn a_changed_address_is_withdrawn_before_the_new_one_is_announced() {
    let mut host = Host::running();
    host.tell(speakers(&["a"]));
    host.tell(endpoints("web", &["a"]));
    host.tell(cluster("web", &["10.0.1.1"]));
    host.forget();
    host.tell(cluster("web", &["10.0.2.1"]));
    assert_eq!(
        host.commands,
        [
            Command::Withdraw(ip("10.0.1.1")),
            Command::Announce(ip("10.0.2.1")),
        ]
    );
    let said: Vec<_> = host.logs.iter().map(|record| record.subject).collect();
    assert_eq!(
        said,
        [
            Subject::Event("serviceWithdrawn"),
            Subject::Event("serviceAnnounced"),
        ]
    );
    assert_eq!(host.events.len(), 1);
}

#[test]
fn an_address_that_stays_is_not_touched_when_another_changes() {
    let mut host = Host::running();
    host.tell(speakers(&["a"]));
    host.tell(endpoints("web", &["a"]));
    host.tell(cluster("web", &["10.0.1.1", "fd00:1::1"]));
    host.forget();
    host.tell(cluster("web", &["10.0.1.1", "fd00:1::2"]));
    assert_eq!(
        host.commands,
        [
            Command::Withdraw(ip("fd00:1::1")),
            Command::Announce(ip("fd00:1::2")),
        ]
    );
}

#[test]
fn another_order_of_the_same_addresses_changes_nothing_but_the_election() {
    let mut host = Host::running();
    host.tell(speakers(&["a"]));
    host.tell(endpoints("web", &["a"]));
    host.tell(cluster("web", &["10.0.1.1", "fd00:1::1"]));
    host.forget();
    host.tell(cluster("web", &["fd00:1::1", "10.0.1.1"]));
    host.assert_silent();

    let v4 = won_by("a", &["b"]);
    let v6 = (1..)
        .map(|last| format!("fd00:1::{last:x}"))
        .find(|ip| plain_hash("b", ip) < plain_hash("a", ip))
        .unwrap();
    let mut host = Host::running();
    host.tell(endpoints("web", &["a"]));
    host.tell(cluster("web", &[&v4, &v6]));
    assert_eq!(host.addresses.len(), 2);
    host.forget();
    host.tell(cluster("web", &[&v6, &v4]));
    assert_eq!(host.withdrawals(), ["default/web notOwner"]);
}

#[test]
fn an_ipv4_address_in_ipv6_clothes_is_the_ipv4_address() {
    let mut host = Host::running();
    host.tell(speakers(&["a"]));
    host.tell(endpoints("web", &["a"]));
    host.tell(cluster("web", &["::ffff:10.0.1.1"]));
    assert_eq!(host.commands, [Command::Announce(ip("10.0.1.1"))]);
}

#[test]
fn what_is_wrong_with_a_service_is_said_once_and_again_when_it_comes_back() {
    let errors = |host: &mut Host| {
        let told: Vec<String> = host
            .logs
            .iter()
            .filter(|record| record.subject == Subject::Op("setBalancer"))
            .map(|record| record.error.clone().unwrap())
            .collect();
        host.forget();
        told
    };
    let (mut host, address) = announced();
    for _ in 0..2 {
        host.tell(cluster("web", &["lb.example.com"]));
        host.tell(cluster("web", &["lb.example.com"]));
        assert_eq!(
            errors(&mut host),
            ["invalid load balancer IP \"lb.example.com\": \
                 the status of the Service must hold IP addresses only"]
        );
        host.tell(cluster("web", &[&address, "10.0.2.1"]));
        host.tell(endpoints("web", &["b"]));
        host.tell(endpoints("web", &["a"]));
        assert_eq!(
            errors(&mut host),
            [format!(
                "assigned IP not allowed by config: addresses {address} (pool \"one\") \
                 and 10.0.2.1 (pool \"two\") are in different pools"
            )]
        );
        host.tell(cluster("web", &["192.0.2.1"]));
        assert_eq!(
            errors(&mut host),
            [
                "assigned IP not allowed by config: address 192.0.2.1 is in no pool of the configuration"
            ]
        );
        host.tell(cluster("web", &[&address]));
        assert_eq!(errors(&mut host), [""; 0]);
        assert_eq!(host.addresses, BTreeSet::from([ip(&address)]));
    }
}

#[test]
fn a_fault_that_was_mended_and_comes_back_is_said_again() {
    for owner in ["a", "b"] {
        let mut host = Host::running();
        host.tell(endpoints("web", &["b"]));
        let good = won_by(
            owner,
            &["a", "b"].map(|node| if node == owner { "c" } else { node }),
        );
        for _ in 0..2 {
            host.tell(cluster("web", &["", &good]));
            host.tell(cluster("web", &["", &good]));
            host.tell(cluster("web", &[&good]));
        }
        let errors = host
            .logs
            .iter()
            .filter(|record| record.level == Level::Error);
        assert_eq!(errors.count(), 2, "the Service of {owner}");
    }
}
