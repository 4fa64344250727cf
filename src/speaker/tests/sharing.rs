//! Services that share an address.

use super::*;

fn two_that_share() -> Host {
    let mut host = Host::running();
    host.tell(speakers(&["a"]));
    for name in ["tcp", "udp"] {
        host.tell(endpoints(name, &["a"]));
        host.tell(cluster(name, &["10.0.1.1"]));
    }
    host
}

#[test]
fn a_shared_address_is_announced_once_and_withdrawn_with_the_last() {
    let mut host = two_that_share();
    assert_eq!(host.commands, [Command::Announce(ip("10.0.1.1"))]);
    assert_eq!(host.logged("serviceAnnounced").count(), 2);
    assert_eq!(host.speaker.announcements().count(), 2);
    host.forget();
    host.tell(Event::ServiceGone(key("tcp")));
    assert_eq!(host.commands, []);
    assert_eq!(host.withdrawals(), ["default/tcp serviceDeleted"]);
    host.tell(endpoints("udp", &["!a"]));
    assert_eq!(host.commands, [Command::Withdraw(ip("10.0.1.1"))]);
}

#[test]
fn repeated_updates_do_not_count_twice() {
    let mut host = two_that_share();
    for _ in 0..5 {
        host.tell(cluster("tcp", &["10.0.1.1"]));
        host.tell(endpoints("udp", &["a", "b"]));
        host.tell(endpoints("udp", &["a"]));
    }
    host.tell(Event::ServiceGone(key("tcp")));
    host.tell(Event::ServiceGone(key("udp")));
    assert_eq!(host.addresses, BTreeSet::new());
}

#[test]
fn an_address_that_is_named_twice_counts_once() {
    let mut host = Host::running();
    host.tell(speakers(&["a"]));
    host.tell(endpoints("web", &["a"]));
    host.tell(cluster("web", &["10.0.1.1", "10.0.1.1"]));
    assert_eq!(host.commands, [Command::Announce(ip("10.0.1.1"))]);
    host.tell(cluster("web", &[]));
    assert_eq!(host.addresses, BTreeSet::new());
}

#[test]
fn an_address_handed_over_within_one_event_does_not_flap() {
    // While the pool is of protocol bgp layer 2 is silent; both come back at once with the next configuration.
    let mut host = two_that_share();
    let bgp = POOLS.replacen("layer2", "bgp", 1);
    host.forget();
    host.tell(config(&bgp));
    assert_eq!(host.commands, [Command::Withdraw(ip("10.0.1.1"))]);
    host.forget();
    host.tell(config(POOLS));
    assert_eq!(host.commands, [Command::Announce(ip("10.0.1.1"))]);
    assert_eq!(host.logged("serviceAnnounced").count(), 2);
}

#[test]
fn dual_stack_neighbours_share_one_of_two() {
    let mut host = Host::running();
    host.tell(speakers(&["a"]));
    for (name, addresses) in [
        ("both", &["10.0.1.1", "fd00:1::1"][..]),
        ("six", &["fd00:1::1"]),
    ] {
        host.tell(endpoints(name, &["a"]));
        host.tell(cluster(name, addresses));
    }
    host.forget();
    host.tell(Event::ServiceGone(key("both")));
    assert_eq!(host.commands, [Command::Withdraw(ip("10.0.1.1"))]);
}
