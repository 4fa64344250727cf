//! Another has an address that this node announces.

use sha2::{Digest, Sha256};

use super::*;
use crate::layer2::MacAddr;
use crate::speaker::Claimant;

fn other(node: Option<&str>) -> Claimant {
    Claimant {
        mac: MacAddr::new(0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff),
        interface: Arc::from("eth0"),
        node: node.map(Arc::from),
    }
}

/// Upstream's choice.
fn winner<'a>(names: &[&'a str], ip: &str) -> &'a str {
    let rank = |name: &&&str| Sha256::digest(format!("{name}#{ip}"));
    names.iter().min_by_key(rank).unwrap()
}

/// The configuration with settings beside it.
fn config_with(text: &str, settings: &str) -> Event {
    Event::ConfigMap(ConfigMap {
        settings: Some(settings.into()),
        ..config_map(Some(text))
    })
}

/// Runs on `a`, which announces; and the address.
fn announcing() -> (Host, IpAddr) {
    let mut host = Host::running();
    let ours = ours_of_many();
    host.tell(cluster("shop", &[&ours.to_string()]));
    host.tell(endpoints("shop", &["a"]));
    assert_eq!(host.commands, [Command::Announce(ours)]);
    host.forget();
    (host, ours)
}

/// An address that `a` wins against `b`, and that a third one, `far`, would win against both.
fn ours_of_many() -> IpAddr {
    (1..=250)
        .map(|last| ip(&format!("10.0.1.{last}")))
        .find(|ip| {
            winner(&["a", "b"], &ip.to_string()) == "a"
                && winner(&["a", "far"], &ip.to_string()) == "far"
        })
        .unwrap()
}

fn conflict(host: &mut Host, ip: IpAddr, node: Option<&str>) {
    let other = other(node);
    host.tell(Event::Conflict { ip, other });
}

fn warned(host: &Host) -> Vec<(&str, &str)> {
    let warnings = host.events.iter().filter(|event| event.warning);
    warnings
        .map(|event| (event.reason, event.message.as_str()))
        .collect()
}

#[test]
fn a_stranger_is_named_with_what_to_do_and_the_address_stays() {
    let (mut host, ours) = announcing();
    conflict(&mut host, ours, None);
    assert_eq!(host.commands, []);
    let text = format!(
        "address {ours} is in use by aa:bb:cc:dd:ee:ff on interface eth0, which is no speaker of this cluster: remove it there, \
         or take the address out of the pool (a DHCP range that overlaps it?). Node \"a\" goes on announcing it"
    );
    assert_eq!(warned(&host), [("AddressInUse", &*text)]);
    assert_eq!(host.logged("addressConflict").count(), 1);
}

#[test]
fn who_comes_first_goes_on_and_says_so() {
    let (mut host, ours) = announcing();
    conflict(&mut host, ours, Some("b"));
    assert_eq!(host.commands, []);
    let [(reason, text)] = warned(&host)[..] else {
        panic!("{:?}", host.events);
    };
    assert_eq!(reason, "AddressConflict");
    assert!(
        text.contains("answered for by node \"b\"") && text.contains("strict ARP"),
        "{text}"
    );
    // One that is no candidate here, and comes second.
    host.tell(speakers(&["a"]));
    host.forget();
    conflict(&mut host, ours, Some("b"));
    let [(reason, text)] = warned(&host)[..] else {
        panic!("{:?}", host.events);
    };
    assert_eq!(reason, "AddressConflict");
    assert!(
        text.contains("announced by node \"b\"") && text.contains("comes first and goes on"),
        "{text}"
    );
}

#[test]
fn who_comes_second_is_silent_until_the_other_is() {
    let (mut host, ours) = announcing();
    conflict(&mut host, ours, Some("far"));
    assert_eq!(host.commands, [Command::Yield(ours)]);
    assert_eq!(warned(&host)[0].0, "AddressConflict");
    assert_eq!(host.withdrawals(), ["default/shop addressConflict"]);
    // Nothing that happens to the Service itself makes it flap.
    host.tell(endpoints("shop", &["a", "b"]));
    host.tell(cluster("shop", &[&ours.to_string()]));
    assert_eq!(host.commands, []);
    host.forget();
    let mac = other(None).mac;
    host.tell(Event::ConflictOver { ip: ours, mac });
    assert_eq!(host.commands, [Command::Announce(ours)]);
}

#[test]
fn when_the_candidates_change_it_is_decided_anew() {
    let (mut host, ours) = announcing();
    conflict(&mut host, ours, Some("far"));
    host.forget();
    host.tell(speakers(&["a", "b", "c"]));
    let mine = winner(&["a", "b", "c"], &ours.to_string()) == "a";
    assert_eq!(host.commands.len(), usize::from(mine));
    // With the other among the candidates it is no matter of conflicts any more.
    host.tell(speakers(&["a", "b", "far"]));
    host.forget();
    host.tell(speakers(&["a", "b"]));
    assert_eq!(host.commands, [Command::Announce(ours)]);
}

#[test]
fn nobody_gives_way_to_a_node_that_could_not_serve() {
    let (mut host, ours) = announcing();
    host.tell(local("shop", &[&ours.to_string()]));
    host.forget();
    conflict(&mut host, ours, Some("far"));
    assert_eq!(host.commands, []);
    host.tell(endpoints("shop", &["a", "far"]));
    host.forget();
    conflict(&mut host, ours, Some("far"));
    assert_eq!(host.commands, [Command::Yield(ours)]);
}

#[test]
fn with_the_switch_off_it_is_only_said() {
    let (mut host, ours) = announcing();
    host.tell(config_with(
        POOLS,
        "layer2:\n  conflict-resolution: false\n",
    ));
    host.forget();
    conflict(&mut host, ours, Some("far"));
    assert_eq!(host.commands, []);
    assert!(warned(&host)[0].1.contains("conflict-resolution is off"));
    // Turned on, the next report counts; turned off again, the address is back.
    host.tell(config_with(POOLS, "layer2:\n  conflict-resolution: true\n"));
    host.forget();
    conflict(&mut host, ours, Some("far"));
    assert_eq!(host.commands, [Command::Yield(ours)]);
    host.forget();
    host.tell(config_with(
        POOLS,
        "layer2:\n  conflict-resolution: false\n",
    ));
    assert_eq!(host.commands, [Command::Announce(ours)]);
}

#[test]
fn a_conflict_about_what_is_not_announced_is_nothing() {
    let (mut host, _) = announcing();
    conflict(&mut host, ip("10.0.1.251"), None);
    assert!(host.logs.is_empty() && host.events.is_empty());
}
