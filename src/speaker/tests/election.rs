//! Who announces.

use super::*;

#[test]
fn the_hash_is_that_of_0_12() {
    // sha256sum of `node-1#172.31.0.128` and so on; the owners were recorded from 0.12.1 (`golden`).
    for (ip, owner) in [
        ("172.31.0.128", "node-1"),
        ("172.31.0.129", "node-3"),
        ("172.31.0.130", "node-2"),
    ] {
        let first = ["node-1", "node-2", "node-3"]
            .into_iter()
            .min_by_key(|node| plain_hash(node, ip));
        assert_eq!(first, Some(owner));
    }
}

#[test]
fn cluster_goes_to_any_node_with_a_live_speaker() {
    let mut host = Host::running();
    host.tell(endpoints("web", &["b"]));
    host.tell(cluster("web", &[&won_by("a", &["b"])]));
    host.tell(endpoints("dns", &["a"]));
    host.tell(cluster("dns", &[&won_by("b", &["a"])]));
    assert_eq!(host.addresses, BTreeSet::from([ip(&won_by("a", &["b"]))]));
}

#[test]
fn local_goes_to_a_node_with_a_ready_endpoint_and_a_live_speaker() {
    let ours = won_by("b", &["a"]);
    for (nodes, announced) in [
        (&["a"][..], true),
        (&["b"], false),
        (&["a", "b"], false),
        (&["a", "!b"], true),
        (&["!a", "b"], false),
        // No speaker lives on c.
        (&["a", "c"], true),
        // One that is ready is enough, whatever else the node has.
        (&["a", "!a"], true),
        (&["!a"], false),
    ] {
        let mut host = Host::running();
        host.tell(local("web", &[&ours]));
        host.tell(endpoints("web", nodes));
        assert_eq!(!host.addresses.is_empty(), announced, "{nodes:?}");
    }
}

#[test]
fn where_nobody_can_tell_the_nodes_with_ready_endpoints_are_candidates() {
    for event in [cluster as fn(&str, &[&str]) -> Event, local] {
        let mut host = Host::running();
        host.tell(event("web", &[&won_by("b", &["a"])]));
        host.tell(endpoints("web", &["a"]));
        host.tell(Event::Speakers(None));
        assert_eq!(host.addresses.len(), 1);
        host.tell(endpoints("web", &["a", "b"]));
        assert_eq!(host.withdrawals(), ["default/web notOwner"]);
        host.tell(endpoints("web", &["a", "!b"]));
        assert_eq!(host.addresses.len(), 1);
        // Now somebody can tell: only this one lives.
        host.tell(endpoints("web", &["a", "b"]));
        host.tell(speakers(&["a"]));
        assert_eq!(host.addresses.len(), 1);
    }
}

#[test]
fn an_empty_list_of_speakers_tells_nothing() {
    let mut host = Host::running();
    host.tell(endpoints("web", &["b"]));
    host.tell(cluster("web", &[&won_by("a", &["b"])]));
    assert_eq!(host.addresses.len(), 1);
    host.forget();
    host.tell(speakers(&[]));
    let [said] = &host.logged("speakersChanged").collect::<Vec<_>>()[..] else {
        panic!("one line: {:?}", host.logs);
    };
    assert_eq!(said.level, Level::Warn);
    assert_eq!(host.withdrawals(), ["default/web notOwner"]);
    host.tell(endpoints("web", &["a"]));
    assert_eq!(host.addresses.len(), 1);
}

#[test]
fn what_shares_an_address_has_one_owner_also_where_nobody_can_tell() {
    let address = won_by("a", &["b"]);
    let mut host = Host::running();
    host.tell(Event::Speakers(None));
    host.tell(endpoints("tcp", &["b"]));
    host.tell(cluster("tcp", &[&address]));
    assert_eq!(host.addresses.len(), 0);
    host.tell(endpoints("udp", &["a"]));
    host.tell(cluster("udp", &[&address]));
    assert_eq!(host.speaker.announcements().count(), 2);
    host.tell(endpoints("udp", &["!a"]));
    assert_eq!(
        host.withdrawals(),
        ["default/tcp notOwner", "default/udp noEndpoints"]
    );
    host.tell(endpoints("udp", &["a"]));
    assert_eq!(host.speaker.announcements().count(), 2);
    host.tell(Event::ServiceGone(key("udp")));
    assert_eq!(
        host.withdrawals(),
        ["default/udp serviceDeleted", "default/tcp notOwner"]
    );
}

#[test]
fn a_ready_endpoint_without_a_node_counts_for_cluster_alone() {
    let nowhere = Event::Endpoints(Endpoints {
        service: key("web"),
        endpoints: vec![Endpoint {
            address: "192.0.2.9".into(),
            node: None,
            ready: true,
        }],
    });
    for (event, announced) in [
        (cluster("web", &["10.0.1.1"]), 1),
        (local("web", &["10.0.1.1"]), 0),
    ] {
        let mut host = Host::running();
        host.tell(speakers(&["a"]));
        host.tell(event);
        host.tell(nowhere.clone());
        assert_eq!(host.addresses.len(), announced);
    }
}

#[test]
fn this_node_is_always_among_the_live() {
    let mut host = Host::running();
    host.tell(endpoints("web", &["b"]));
    host.tell(cluster("web", &[&won_by("a", &["b"])]));
    host.forget();
    host.tell(speakers(&["b"]));
    host.tell(speakers(&["a"]));
    host.tell(speakers(&["b"]));
    assert_eq!(host.commands, []);
}

#[test]
fn only_services_of_the_node_that_leaves_or_joins_move() {
    let mut host = Host::new("a");
    host.tell(config(POOLS));
    host.tell(speakers(&["a", "b", "c"]));
    host.tell(Event::Synced);
    let all: Vec<String> = (1..200).map(|last| format!("10.0.1.{last}")).collect();
    for address in &all {
        host.tell(endpoints(address, &["c"]));
        host.tell(cluster(address, &[address]));
    }
    let first_of = |nodes: &[&'static str], ip: &str| {
        *nodes
            .iter()
            .min_by_key(|node| plain_hash(node, ip))
            .unwrap()
    };
    let falls_to_a: Vec<Command> = all
        .iter()
        .filter(|ip| first_of(&["a", "b", "c"], ip) == "b" && first_of(&["a", "c"], ip) == "a")
        .map(|address| ip(address))
        .collect::<BTreeSet<_>>()
        .into_iter()
        .map(Command::Announce)
        .collect();
    assert!(!falls_to_a.is_empty());
    host.forget();
    host.tell(speakers(&["a", "c"]));
    assert_eq!(host.commands, falls_to_a);
    host.forget();
    host.tell(speakers(&["a", "b", "c"]));
    assert_eq!(host.commands.len(), falls_to_a.len());
    assert!(
        host.logged("serviceWithdrawn")
            .all(|record| field(record, "reason") == "notOwner")
    );
}

#[test]
fn a_node_that_is_not_ready_yields_to_the_others() {
    let theirs = won_by("b", &["a"]);
    let mut host = Host::running();
    host.tell(endpoints("web", &["b"]));
    host.tell(cluster("web", &[&theirs]));
    assert_eq!(host.commands, []);
    host.tell(node("b", false));
    assert_eq!(host.commands, [Command::Announce(ip(&theirs))]);
    host.tell(node("b", false));
    host.tell(node("b", true));
    assert_eq!(host.withdrawals(), ["default/web notOwner"]);
}

#[test]
fn this_node_yields_as_well_unless_all_are_in_the_same_plight() {
    let ours = won_by("a", &["b"]);
    let mut host = Host::running();
    host.tell(endpoints("web", &["b"]));
    host.tell(cluster("web", &[&ours]));
    host.tell(node("a", false));
    assert_eq!(host.withdrawals(), ["default/web notOwner"]);
    host.tell(node("b", false));
    assert_eq!(host.addresses.len(), 1);
    host.tell(node("b", true));
    assert_eq!(host.addresses.len(), 0);
    // Nobody else lives: better one that is not ready than nobody.
    host.tell(speakers(&["a"]));
    assert_eq!(host.addresses.len(), 1);
}

#[test]
fn gossip_alone_decides_where_it_tells_anything() {
    let theirs = won_by("b", &["a"]);
    let mut host = Host::running();
    host.tell(endpoints("web", &["b"]));
    host.tell(cluster("web", &[&theirs]));
    host.tell(members(&["a", "b"]));
    host.forget();
    // Its pod is not Ready, nor is its Node: 0.12 does not look at them, and must agree.
    host.tell(speakers(&["a"]));
    host.tell(node("b", false));
    host.tell(Event::Speakers(None));
    host.assert_silent();
    host.tell(members(&["a"]));
    assert_eq!(host.commands, [Command::Announce(ip(&theirs))]);
    host.tell(members(&["a", "b"]));
    assert_eq!(host.withdrawals(), ["default/web notOwner"]);
}

#[test]
fn where_gossip_has_reached_nobody_the_pods_count() {
    let theirs = won_by("b", &["a"]);
    let mut host = Host::running();
    host.tell(endpoints("web", &["b"]));
    host.tell(cluster("web", &[&theirs]));
    host.tell(members(&["a"]));
    assert_eq!(host.addresses.len(), 1);
    host.tell(speakers(&["a", "b"]));
    assert_eq!(host.addresses.len(), 1);
    host.forget();
    host.tell(Event::Members(None));
    assert_eq!(host.withdrawals(), ["default/web notOwner"]);
    // What was said of Nodes meanwhile counts again, too.
    host.tell(members(&["a", "b"]));
    host.tell(node("b", false));
    assert_eq!(host.addresses.len(), 0);
    host.tell(Event::Members(None));
    assert_eq!(host.addresses.len(), 1);
    host.tell(speakers(&["b"]));
    host.tell(node("b", true));
    assert_eq!(host.addresses.len(), 0);
}

#[test]
fn a_node_that_is_gone_does_not_come_back_by_that() {
    let theirs = won_by("b", &["a"]);
    let mut host = Host::running();
    host.tell(endpoints("web", &["a"]));
    host.tell(cluster("web", &[&theirs]));
    host.tell(node("b", false));
    assert_eq!(host.addresses.len(), 1);
    // Its Node is deleted before the list of speakers says so.
    host.tell(Event::NodeGone("b".into()));
    host.tell(speakers(&["a"]));
    assert_eq!(host.addresses.len(), 1);
    // A new node of that name.
    host.tell(speakers(&["a", "b"]));
    assert_eq!(host.withdrawals(), ["default/web notOwner"]);
}

#[test]
fn addresses_are_hashed_in_gos_form() {
    for (written, hashed) in [
        ("FD00:1:0:0:0:0:0:000A", "fd00:1::a"),
        ("fd00:1:0:0:1:0:0:1", "fd00:1::1:0:0:1"),
        ("fd00:1::1:2:3:0:4", "fd00:1:0:1:2:3:0:4"),
        ("::ffff:10.0.1.77", "10.0.1.77"),
        ("::1.2.3.4", "::102:304"),
    ] {
        let shown = written
            .parse::<IpAddr>()
            .unwrap()
            .to_canonical()
            .to_string();
        assert_eq!(shown, hashed);
    }
}

#[test]
fn who_lives_is_said_when_it_changes() {
    let mut host = Host::new("a");
    let said = |host: &mut Host, event: Event| {
        host.forget();
        host.tell(event.clone());
        host.tell(event);
        host.logged("speakersChanged")
            .map(|record| {
                let fields: Vec<_> = record.fields.iter().map(|(_, value)| &**value).collect();
                format!("{} [{}]", record.msg, fields.join("; "))
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(
        said(&mut host, Event::Speakers(None)),
        [
            "nobody can tell which nodes have a live speaker: the nodes with ready endpoints announce []"
        ]
    );
    assert_eq!(
        said(&mut host, speakers(&["a", "b"])),
        ["2 nodes have a live speaker []"]
    );
    let many: Vec<String> = (10..25).map(|number| format!("n{number}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(
        said(&mut host, speakers(&many)),
        ["15 nodes have a live speaker \
          [n10, n11, n12, n13, n14, n15, n16, n17, n18, n19 and 5 more; b]"]
    );
}
