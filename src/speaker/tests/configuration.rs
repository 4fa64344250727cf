//! Configurations that are refused, held back, taken.

use super::*;

/// A running speaker with a Service in each of the pools `one` and `two`.
fn serving() -> Host {
    let mut host = Host::running();
    host.tell(speakers(&["a"]));
    for (name, address) in [("web", "10.0.1.1"), ("dns", "10.0.2.1")] {
        host.tell(endpoints(name, &["a"]));
        host.tell(cluster(name, &[address]));
    }
    host.forget();
    host
}

/// Only pool `three`.
const ONLY_THREE: &str = "\
address-pools:
- name: three
  protocol: layer2
  addresses: [10.0.3.10-10.0.3.20]
";

#[track_caller]
fn stale_error(host: &Host) -> &str {
    let [record] = &host.logged("configStale").collect::<Vec<_>>()[..] else {
        panic!("one line: {:?}", host.logs);
    };
    assert_eq!(record.level, Level::Error);
    record.error.as_deref().unwrap()
}

#[test]
fn without_a_configuration_nothing_is_announced() {
    let mut host = Host::new("a");
    host.tell(Event::ConfigMapGone);
    host.tell(speakers(&["a"]));
    host.tell(Event::Synced);
    host.tell(endpoints("web", &["a"]));
    host.forget();
    host.tell(cluster("web", &["10.0.1.1"]));
    assert_eq!(host.logged("noConfig").count(), 1);
    host.assert_silent();
    assert!(!host.stats().config_loaded);
    host.tell(config(POOLS));
    assert_eq!(host.commands, [Command::Announce(ip("10.0.1.1"))]);
    assert_eq!(host.logged("configLoaded").count(), 1);
    assert!(host.stats().config_loaded && !host.stats().config_stale);
}

#[test]
fn a_configuration_that_does_not_parse_changes_nothing() {
    let mut host = serving();
    for bad in [None, Some("address-pools: 7\n"), Some("{")] {
        host.forget();
        host.tell(Event::ConfigMap(config_map(bad)));
        assert_eq!(host.commands, []);
        assert!(stale_error(&host).starts_with("ConfigMap metallb-system/config: "));
        assert_eq!(host.addresses.len(), 2);
        assert!(host.stats().config_loaded && host.stats().config_stale);
    }
    assert_eq!(host.stats().update_errors, 3);
    host.forget();
    host.tell(config(POOLS));
    assert_eq!(host.commands, []);
    assert!(!host.stats().config_stale);
}

#[test]
fn a_deleted_config_map_changes_nothing_but_is_said() {
    let mut host = serving();
    host.tell(Event::ConfigMapGone);
    assert_eq!(host.commands, []);
    host.tell(Event::ConfigMapGone);
    assert!(stale_error(&host).starts_with("the ConfigMap does not exist"));
    assert!(host.stats().config_stale);
    host.tell(config(POOLS));
    assert!(!host.stats().config_stale);
    assert_eq!(host.commands, []);
}

#[test]
fn a_configuration_that_orphans_addresses_waits_until_they_are_gone() {
    let mut host = serving();
    host.tell(endpoints("new", &["a"]));
    host.tell(config(ONLY_THREE));
    assert_eq!(host.commands, []);
    assert!(
        stale_error(&host).contains("in no pool any more: default/dns, default/web"),
        "{:?}",
        host.logs
    );
    assert!(host.stats().config_stale);
    // The last good one goes on to serve.
    host.tell(cluster("new", &["10.0.1.7"]));
    assert!(host.addresses.contains(&ip("10.0.1.7")));
    host.tell(Event::ServiceGone(key("web")));
    host.tell(cluster("dns", &[]));
    assert!(host.stats().config_stale, "the new one came in between");
    host.forget();
    host.tell(cluster("new", &["10.0.3.10"]));
    assert!(!host.stats().config_stale);
    assert_eq!(host.logged("configLoaded").count(), 1);
    assert_eq!(host.addresses, BTreeSet::from([ip("10.0.3.10")]));
}

#[test]
fn addresses_that_other_nodes_announce_hold_a_configuration_back_as_well() {
    let mut host = Host::running();
    host.tell(endpoints("web", &["b"]));
    host.tell(cluster("web", &[&won_by("b", &["a"])]));
    host.tell(config(ONLY_THREE));
    assert!(host.stats().config_stale);
    // So that this node can take it over meanwhile.
    host.tell(speakers(&["a"]));
    assert_eq!(host.addresses.len(), 1);
}

#[test]
fn a_newer_configuration_replaces_the_one_that_waits() {
    for newer in [
        config(POOLS),
        Event::ConfigMapGone,
        Event::ConfigMap(config_map(None)),
    ] {
        let mut host = serving();
        host.tell(config(ONLY_THREE));
        host.tell(newer);
        host.tell(Event::ServiceGone(key("web")));
        host.tell(Event::ServiceGone(key("dns")));
        host.tell(endpoints("late", &["a"]));
        host.tell(cluster("late", &["10.0.1.5"]));
        assert_eq!(host.addresses, BTreeSet::from([ip("10.0.1.5")]));
    }
}

#[test]
fn a_pool_that_would_tear_a_dual_stack_service_apart_waits() {
    let mut host = Host::running();
    host.tell(speakers(&["a"]));
    host.tell(endpoints("web", &["a"]));
    host.tell(cluster("web", &["10.0.1.1", "fd00:1::1"]));
    host.tell(config(
        "address-pools:\n- {name: one, protocol: layer2, addresses: [10.0.1.0/24]}\n\
         - {name: six, protocol: layer2, addresses: ['fd00:1::/64']}\n",
    ));
    assert!(host.stats().config_stale);
    assert_eq!(host.addresses.len(), 2);
}

#[test]
fn the_first_configuration_is_taken_as_it_is() {
    let mut host = Host::new("a");
    host.tell(speakers(&["a"]));
    host.tell(endpoints("web", &["a"]));
    host.tell(cluster("web", &["10.0.1.1"]));
    host.tell(config(POOLS));
    host.tell(config(ONLY_THREE));
    host.tell(Event::Synced);
    assert!(!host.stats().config_stale);
    assert_eq!(host.commands, []);
}

#[test]
fn a_pool_with_another_name_is_the_same_announcement() {
    let mut host = serving();
    host.tell(config(&POOLS.replace("name: one", "name: uno")));
    assert_eq!(host.commands, []);
    assert_eq!(host.events, []);
    host.forget();
    host.tell(Event::ServiceGone(key("web")));
    let [withdrawn] = &host.logged("serviceWithdrawn").collect::<Vec<_>>()[..] else {
        panic!("one line: {:?}", host.logs);
    };
    assert_eq!(field(withdrawn, "pool"), "uno");
}

#[test]
fn the_settings_say_on_which_interfaces_layer_2_announces() {
    let with = |settings: Option<&str>| {
        Event::ConfigMap(ConfigMap {
            settings: settings.map(Into::into),
            ..config_map(Some(POOLS))
        })
    };
    let mut host = Host::new("a");
    host.tell(with(Some("layer2: {interfaces: [eth0, eth1]}")));
    assert_eq!(host.interfaces, ["eth0", "eth1"]);
    host.tell(Event::Synced);
    host.tell(with(Some(
        "layer2: {interfaces: [eth0, eth1], conflict-resolution: no}",
    )));
    assert_eq!(host.interfaces, ["eth0", "eth1"]);
    // A fault changes nothing.
    host.tell(with(Some("layer2: {interfaces: [eth0/1]}")));
    assert_eq!(host.interfaces, ["eth0", "eth1"]);
    host.tell(with(None));
    assert_eq!(host.interfaces, [""; 0]);
}
