//! What becomes of configurations.

use super::*;

const NONE: [&str; 0] = [];
const BAD: &str = "address-pools:\n- name: [\n";
const OTHER: &str = "address-pools:\n- name: far\n  protocol: layer2\n  addresses: [10.0.7.0/24]\n";

fn loaded_and_stale(bench: &Bench) -> (bool, bool) {
    let stats = bench.controller.stats();
    (stats.config_loaded, stats.config_stale)
}

#[test]
fn a_bad_configuration_is_said_once_and_leaves_the_last_good_one_in_force() {
    let mut bench = Bench::working(POOLS);
    assert_eq!(loaded_and_stale(&bench), (true, false));
    bench.configure(BAD);
    assert_eq!(loaded_and_stale(&bench), (true, true));
    assert_eq!(bench.events.len(), 1);
    let event = &bench.events[0];
    assert!(event.warning);
    assert_eq!(
        (event.about.kind, event.about.key.as_str()),
        ("ConfigMap", "metallb-system/config")
    );
    assert_eq!(&*event.about.uid, "config-uid");
    assert!(
        event.message.starts_with(
            "Configuration refused, the last good one stays in force: line 2, column "
        ),
        "{}",
        event.message
    );
    assert_eq!(bench.logs[0].level, Level::Error);
    assert!(
        bench.logs[0]
            .fields
            .contains(&("configmap", "metallb-system/config".to_owned()))
    );
    assert_eq!(bench.reasons(), ["config ConfigRefused"]);
    assert_eq!(bench.logged(), ["configStale"]);
    // The same once more, and the pools that are in force.
    bench.configure(BAD);
    bench.settle();
    assert_eq!(bench.reasons(), NONE);
    bench.tell(&service("a"));
    assert_eq!(bench.writes(), ["a: 10.0.0.0"]);
    // The old text is the truth again.
    bench.configure(POOLS);
    assert_eq!(loaded_and_stale(&bench), (true, false));
    assert_eq!(bench.logged(), ["ipAllocated", "configLoaded"]);
}

#[test]
fn a_configuration_that_orphans_addresses_waits_until_they_are_free() {
    let mut bench = Bench::working(POOLS);
    let mut a = service("a");
    let mut b = service("b");
    bench.put(&mut a);
    bench.put(&mut b);
    bench.take();
    bench.configure(OTHER);
    bench.settle();
    assert_eq!(loaded_and_stale(&bench), (true, true));
    assert_eq!(bench.logged(), ["configStale"]);
    let texts = bench.texts();
    assert_eq!(texts.len(), 3, "{texts:?}");
    assert!(
        texts[0].starts_with(
            "config: Configuration refused, the last good one stays in force: new config not compatible with assigned \
             IPs: service \"default/a\" cannot own \"10.0.0.0\" under new config"
        ),
        "{texts:?}"
    );
    assert_eq!(
        texts[2],
        "b: The new configuration in ConfigMap metallb-system/config is held back: 10.0.0.1 of this Service is in no \
         address pool. Put the address back into a pool, or delete the Service, or have it ask for another address"
    );
    // The second blocker goes, then the first: nothing is said again.
    bench.gone(&b);
    bench.settle();
    assert_eq!(loaded_and_stale(&bench), (true, true));
    bench.tell(&service("c"));
    assert_eq!(
        bench.writes(),
        ["c: 10.0.0.1"],
        "the old pools are in force"
    );
    bench.gone(&a);
    bench.settle();
    assert_eq!(bench.reasons(), ["c IPAllocated"]);
    bench.gone(&service("c"));
    bench.settle();
    assert_eq!(loaded_and_stale(&bench), (true, false));
    assert_eq!(
        bench.logged(),
        [
            "serviceDeleted",
            "ipAllocated",
            "serviceDeleted",
            "serviceDeleted",
            "configLoaded"
        ]
    );
    bench.tell(&service("d"));
    assert_eq!(bench.writes(), ["d: 10.0.7.0"]);
}

#[test]
fn many_services_that_hold_back_a_configuration_are_not_all_told() {
    let mut bench = Bench::working(
        "address-pools:\n- name: wide\n  protocol: layer2\n  addresses: [10.0.0.0/16]\n",
    );
    for number in 0..1_000 {
        bench.put(&mut service(&format!("s{number}")));
    }
    bench.take();
    bench.configure(OTHER);
    let reasons = bench.reasons();
    assert_eq!(reasons.len(), 21);
    assert_eq!(
        reasons
            .iter()
            .filter(|reason| reason.ends_with("ConfigHeldBack"))
            .count(),
        20
    );
    assert_eq!(bench.logs[1].fields, [("services", "980".to_owned())]);
    assert_eq!(bench.logged(), ["configStale", "configStale"]);
}

#[test]
fn waiting_services_are_served_by_a_new_configuration() {
    let mut bench = Bench::working("");
    bench.tell(&service("a"));
    let mut b = service("b");
    b.annotation_pool = Some("far".to_owned());
    bench.tell(&b);
    assert_eq!(
        bench.reasons(),
        ["a AllocationFailed", "b AllocationFailed"]
    );
    bench.configure(OTHER);
    assert_eq!(bench.writes(), NONE, "a burst is processed once");
    bench.settle();
    assert_eq!(bench.writes(), ["a: 10.0.7.0", "b: 10.0.7.1"]);
}

#[test]
fn a_change_that_touches_nobody_has_no_effect_but_a_line() {
    let mut bench = Bench::working(
        "address-pools:\n- name: wide\n  protocol: layer2\n  addresses: [10.0.0.0/16]\n",
    );
    for number in 0..1_000 {
        bench.put(&mut service(&format!("s{number}")));
    }
    bench.take();
    bench.configure(
        "address-pools:\n- name: wider\n  protocol: layer2\n  addresses: [10.0.0.0/15]\n",
    );
    bench.settle();
    assert_eq!(bench.logged(), ["configLoaded"]);
    assert_eq!(bench.reasons(), NONE);
    assert_eq!(bench.writes(), NONE);
    assert_eq!(
        bench.controller.stats().pools,
        [("wider".to_owned(), 131_072, 1_000)]
    );
}

#[test]
fn a_deleted_configmap_leaves_the_last_good_configuration_in_force() {
    let mut bench = Bench::working(POOLS);
    bench.handle(Event::ConfigMapGone);
    assert_eq!(loaded_and_stale(&bench), (true, true));
    assert_eq!(bench.logs[0].level, Level::Error);
    assert_eq!(bench.logged(), ["configStale"]);
    bench.tell(&service("a"));
    assert_eq!(bench.writes(), ["a: 10.0.0.0"]);
    bench.configure(POOLS);
    assert_eq!(loaded_and_stale(&bench), (true, false));
}

#[test]
fn a_start_with_a_bad_configuration_touches_nothing() {
    let mut bench = Bench::new();
    bench.configure(BAD);
    bench.tell(&showing("a", &["10.0.0.1"]));
    bench.tell(&service("b"));
    bench.handle(Event::ServicesSynced);
    bench.settle();
    assert_eq!(loaded_and_stale(&bench), (false, true));
    assert_eq!(bench.writes(), NONE);
    assert_eq!(bench.reasons(), ["config ConfigRefused"]);
    bench.configure(POOLS);
    assert_eq!(bench.writes(), ["b: 10.0.0.0"]);
}

#[test]
fn a_renamed_pool_moves_those_who_ask_for_it_by_name() {
    let mut bench = Bench::working(POOLS);
    let mut a = service("a");
    a.annotation_pool = Some("asked".to_owned());
    bench.put(&mut a);
    let mut b = service("b");
    bench.put(&mut b);
    bench.take();
    bench.configure(&POOLS.replace("asked", "other"));
    bench.settle();
    assert_eq!(bench.writes(), ["a: "]);
    assert_eq!(
        bench.texts(),
        ["a: Failed to allocate IP for \"default/a\": unknown pool \"asked\""]
    );
}
