//! Ten thousand Services: what an event does not concern stays untouched, and what is remembered stays small.

use super::*;

const SERVICES: u32 = 10_000;
const NODES: u32 = 20;

const WIDE: &str = "address-pools:\n- {name: wide, protocol: layer2, addresses: [10.1.0.0/16]}\n";

fn address(number: u32) -> IpAddr {
    IpAddr::from((0x0a01_0000 + number).to_be_bytes())
}

/// A speaker on `n0` of twenty nodes that knows ten thousand Services with three endpoints each.
fn crowd() -> Host {
    let mut host = Host::new("n0");
    host.tell(config(WIDE));
    host.tell(Event::Speakers(Some(live(NODES))));
    for number in 0..SERVICES {
        let name = format!("s{number}");
        host.speaker
            .handle(cluster(&name, &[&address(number).to_string()]));
        let nodes = [0, 1, 2].map(|step| format!("n{}", (number + step) % NODES));
        let nodes: Vec<&str> = nodes.iter().map(String::as_str).collect();
        host.speaker.handle(endpoints(&name, &nodes));
    }
    host.tell(Event::Synced);
    host.forget();
    host
}

fn live(nodes: u32) -> BTreeSet<Arc<str>> {
    (0..nodes).map(|node| format!("n{node}").into()).collect()
}

#[test]
fn a_node_that_dies_moves_its_own_services_alone() {
    let mut host = crowd();
    let before = host.addresses.clone();
    let share = before.len();
    assert!(
        (400..=600).contains(&share),
        "{share} of 10,000 on one of 20"
    );
    let mut left = live(NODES);
    left.remove("n7");
    host.tell(Event::Speakers(Some(left)));
    let gained: Vec<IpAddr> = host.addresses.difference(&before).copied().collect();
    assert!(host.addresses.is_superset(&before));
    assert!((1..60).contains(&gained.len()), "{}", gained.len());
    assert_eq!(host.commands.len(), gained.len());
    assert_eq!(host.events.len(), gained.len());
    for ip in gained {
        let ip = ip.to_string();
        let first = live(NODES)
            .into_iter()
            .min_by_key(|node| plain_hash(node, &ip));
        assert_eq!(first.as_deref(), Some("n7"));
    }
    host.tell(Event::Speakers(Some(live(NODES))));
    assert_eq!(host.addresses, before);
}

#[test]
fn an_event_about_one_service_says_nothing_about_others() {
    let mut host = crowd();
    let ours = host.speaker.announcements().next().unwrap();
    let name = ours.service.name().to_owned();
    host.tell(endpoints(&name, &["n1"]));
    host.assert_silent();
    host.tell(endpoints(&name, &[]));
    assert_eq!(host.commands, [Command::Withdraw(ours.ip)]);
    host.forget();
    host.tell(config(
        &WIDE.replace("10.1.0.0/16", "10.1.0.0/17, 10.1.128.0/17"),
    ));
    assert_eq!(host.commands, []);
    assert_eq!(host.events, []);
}

#[test]
fn names_of_nodes_are_kept_once_and_not_for_ever() {
    let mut host = Host::running();
    for generation in 0..20 {
        for number in 0..500 {
            let node = format!("node-{generation}-{number}");
            host.tell(endpoints(&format!("s{number}"), &[&node]));
        }
    }
    assert!(
        host.speaker.names.len() <= 1024 + 500,
        "{}",
        host.speaker.names.len()
    );
}
