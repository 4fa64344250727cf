//! What becomes of Services.

use super::*;

const NONE: [&str; 0] = [];

#[test]
fn nothing_is_allocated_before_all_services_and_a_configuration_are_known() {
    let mut bench = Bench::new();
    bench.tell(&service("a"));
    bench.settle();
    bench.handle(Event::ServicesSynced);
    bench.settle();
    assert_eq!(bench.writes(), NONE);
    assert_eq!(bench.logged(), ["noConfig"]);
    bench.configure(POOLS);
    assert_eq!(bench.writes(), ["a: 10.0.0.0"]);
    assert_eq!(
        bench.logged(),
        ["configLoaded", "stateSynced", "ipAllocated"]
    );

    let mut bench = Bench::new();
    bench.configure(POOLS);
    bench.tell(&service("a"));
    bench.settle();
    assert_eq!(bench.writes(), NONE);
    bench.handle(Event::ServicesSynced);
    assert_eq!(bench.writes(), ["a: 10.0.0.0"]);
    // Each later list is complete as well.
    bench.handle(Event::ServicesSynced);
    assert_eq!(bench.writes(), NONE);
}

#[test]
fn after_a_restart_held_addresses_are_adopted_before_anything_new_is_given() {
    let mut bench = Bench::new();
    bench.configure(POOLS);
    let mut asks = service("a");
    asks.load_balancer_ip = "10.0.1.0".to_owned();
    bench.tell(&asks);
    bench.tell(&service("b"));
    bench.tell(&showing("y", &["10.0.1.0"]));
    bench.tell(&showing("z", &["10.0.0.0"]));
    bench.handle(Event::ServicesSynced);
    bench.settle();
    assert_eq!(bench.writes(), ["b: 10.0.0.1"]);
    assert_eq!(bench.reasons(), ["a AllocationFailed", "b IPAllocated"]);
    assert_eq!(bench.in_use(), 3);
}

#[test]
fn an_assignment_is_said_logged_and_written_once() {
    let mut bench = Bench::working(POOLS);
    let mut dual = service("dual");
    dual.cluster_ips = vec!["fd00:96::1".to_owned(), "10.96.0.1".to_owned()];
    bench.tell(&dual);
    assert_eq!(bench.writes.len(), 1);
    assert_eq!(&*bench.writes[0].resource_version, "1");
    assert_eq!(bench.events.len(), 1);
    assert!(!bench.events[0].warning);
    assert_eq!(bench.events[0].about, dual.reference());
    assert_eq!(
        bench.texts(),
        ["dual: Assigned IP [\"10.0.0.0\" \"fd00:1::\"]"]
    );
    assert_eq!(bench.logged(), ["ipAllocated"]);
    bench.echo(&mut dual);
    assert_eq!(bench.logged(), ["serviceUpdated"]);
    assert_eq!(bench.writes(), NONE);
    assert_eq!(bench.reasons(), NONE);
}

#[test]
fn a_status_that_shows_the_same_addresses_is_not_written() {
    let mut bench = Bench::working(POOLS);
    // An entry with a host name alone has no address.
    bench.tell(&showing("a", &["10.0.0.1", ""]));
    bench.tell(&showing("b", &["::ffff:10.0.0.0"]));
    bench.settle();
    assert_eq!(bench.writes(), NONE);
    assert_eq!(bench.in_use(), 2);
}

#[test]
fn a_host_name_without_address_counts_as_unassigned() {
    let mut bench = Bench::working(POOLS);
    bench.tell(&showing("a", &[""]));
    assert_eq!(bench.writes(), ["a: 10.0.0.0"]);
}

#[test]
fn a_service_that_is_no_longer_a_load_balancer_is_freed_and_cleared() {
    let mut bench = Bench::working(POOLS);
    let mut a = service("a");
    bench.put(&mut a);
    bench.take();
    a.is_load_balancer = false;
    touch(&mut a);
    bench.tell(&a);
    assert_eq!(bench.writes(), ["a: "]);
    assert_eq!(bench.logged(), ["clearAssignment"]);
    assert_eq!(bench.in_use(), 0);

    // Newer servers clear the status themselves, and refuse that it is set.
    let mut b = service("b");
    bench.put(&mut b);
    bench.take();
    b.is_load_balancer = false;
    show(&mut b, &NONE);
    bench.tell(&b);
    assert_eq!(bench.writes(), NONE);
    assert_eq!(bench.in_use(), 0);
}

#[test]
fn services_of_other_types_cost_nothing() {
    let mut bench = Bench::working(POOLS);
    let mut a = service("a");
    a.is_load_balancer = false;
    bench.tell(&a);
    assert_eq!(bench.controller.services.len(), 0);
    // Somebody wrote a status where none belongs.
    show(&mut a, &["10.0.0.1"]);
    bench.tell(&a);
    assert_eq!(
        bench.writes,
        [StatusWrite {
            key: a.key.clone(),
            resource_version: "2".into(),
            addresses: Vec::new(),
        }]
    );
    bench.echo(&mut a);
    assert_eq!(bench.controller.services.len(), 0);
}

#[test]
fn without_cluster_ips_a_service_is_cleared() {
    let mut bench = Bench::working(POOLS);
    let mut a = showing("a", &["10.0.0.1"]);
    a.cluster_ips = vec![String::new()];
    bench.tell(&a);
    assert_eq!(bench.writes(), ["a: "]);
    assert_eq!(bench.reasons(), NONE);
}

#[test]
fn cluster_ips_that_are_no_addresses_are_said() {
    let mut bench = Bench::working(POOLS);
    let mut a = service("a");
    a.cluster_ips = vec!["None".to_owned()];
    bench.tell(&a);
    assert_eq!(bench.reasons(), ["a AllocationFailed"]);
    let mut b = showing("b", &["10.0.0.1"]);
    b.cluster_ips = vec!["None".to_owned()];
    bench.tell(&b);
    assert_eq!(bench.reasons(), ["b noclusterIPsIPFamily"]);
    assert_eq!(bench.writes(), NONE);
}

#[test]
fn two_addresses_of_one_family_in_a_status_are_left_alone() {
    let mut bench = Bench::working(POOLS);
    let mut a = showing("a", &["10.0.0.0", "10.0.0.1"]);
    bench.tell(&a);
    assert_eq!(bench.reasons(), ["a nolbIPsIPFamily"]);
    touch(&mut a);
    bench.tell(&a);
    bench.settle();
    assert_eq!(bench.reasons(), NONE);
    assert_eq!(bench.writes(), NONE);
}

#[test]
fn more_than_two_addresses_in_a_status_are_said_and_replaced() {
    let mut bench = Bench::working(POOLS);
    bench.tell(&showing("a", &["10.0.0.1", "10.0.0.0", "fd00:1::"]));
    assert_eq!(bench.reasons(), ["a nolbIPsIPFamily", "a IPAllocated"]);
    assert_eq!(bench.writes(), ["a: 10.0.0.0"]);
}

#[test]
fn addresses_that_cannot_be_had_are_replaced() {
    for ingress in [
        &["10.0.9.9"][..],
        &["fd00:1::"],
        &["10.0.0.0"],
        &["no address"],
    ] {
        let mut bench = Bench::working(POOLS);
        let mut holder = service("holder");
        bench.put(&mut holder);
        bench.take();
        bench.tell(&showing("a", ingress));
        assert_eq!(bench.writes(), ["a: 10.0.0.1"], "{ingress:?}");
        assert_eq!(bench.logged(), ["clearAssignment", "ipAllocated"]);
    }
}

#[test]
fn what_somebody_else_writes_is_the_end_state_if_it_can_be() {
    let mut bench = Bench::working(POOLS);
    let mut a = service("a");
    bench.put(&mut a);
    bench.take();
    show(&mut a, &["10.0.2.3"]);
    bench.tell(&a);
    bench.settle();
    assert_eq!(bench.writes(), NONE);
    assert_eq!(bench.in_use(), 1);
    // And what was shown and is emptied is freed.
    show(&mut a, &NONE);
    bench.tell(&a);
    assert_eq!(bench.writes(), ["a: 10.0.0.0"]);
}

#[test]
fn another_pool_or_other_addresses_move_a_service() {
    let mut bench = Bench::working(POOLS);
    let mut a = service("a");
    bench.put(&mut a);
    bench.take();
    a.annotation_pool = Some("asked".to_owned());
    touch(&mut a);
    bench.put(&mut a);
    assert_eq!(a.ingress, ["10.0.2.0"]);
    a.annotation_ips = Some("10.0.1.1".to_owned());
    touch(&mut a);
    bench.put(&mut a);
    assert_eq!(a.ingress, ["10.0.1.1"]);
    assert_eq!(bench.reasons(), ["a IPAllocated", "a IPAllocated"]);
    // Addresses count more than the pool, and nothing happens again.
    bench.logged();
    touch(&mut a);
    bench.tell(&a);
    bench.settle();
    assert_eq!(bench.logged(), [""; 0]);
    assert_eq!(bench.writes(), NONE);
    assert_eq!(bench.in_use(), 1);
}

#[test]
fn a_holder_that_asks_for_nonsense_keeps_what_it_has() {
    let mut bench = Bench::working(POOLS);
    let mut a = service("a");
    bench.put(&mut a);
    bench.take();
    a.annotation_ips = Some("x,y".to_owned());
    touch(&mut a);
    bench.tell(&a);
    assert_eq!(
        bench.texts(),
        [
            "a: invalid requested loadbalancer IPs: invalid metallb.universe.tf/loadBalancerIPs: \"x,y\": must be \
          addresses separated by commas"
        ]
    );
    bench.settle();
    assert_eq!(bench.writes(), NONE);
    assert_eq!(bench.in_use(), 1);
}

#[test]
fn requests_that_cannot_be_served_are_said_in_upstreams_words() {
    let spec = |ip: &str| Service {
        load_balancer_ip: ip.to_owned(),
        ..service("a")
    };
    let annotated = |ips: &str| Service {
        annotation_ips: Some(ips.to_owned()),
        ..service("a")
    };
    let both = Service {
        load_balancer_ip: "10.0.0.0".to_owned(),
        ..annotated("10.0.0.0")
    };
    let nowhere = Service {
        annotation_pool: Some("nowhere".to_owned()),
        ..service("a")
    };
    let cases = [
        (
            both,
            "service can not have both metallb.universe.tf/loadBalancerIPs and svc.Spec.LoadBalancerIP: remove one of them",
        ),
        (
            spec("bogus"),
            "invalid spec.loadBalancerIP \"bogus\": must be one IPv4 or IPv6 address",
        ),
        (
            spec("10.0.0.01"),
            "invalid spec.loadBalancerIP \"10.0.0.01\": must be one IPv4 or IPv6 address",
        ),
        (
            annotated("10.0.0.0,10.0.0.1"),
            "same address family [\"10.0.0.0\" \"10.0.0.1\"]: there may be one address, or one IPv4 and one IPv6",
        ),
        (
            annotated("10.0.0.0,10.0.0.1,fd00:1::"),
            "invalid ips length 3: there may be one address, or one IPv4 and one IPv6",
        ),
        (
            spec("fd00:1::"),
            "requested loadBalancer IP(s) [\"fd00:1::\"] does not match the ipFamily of the service: ask for the \
             families of its cluster IPs",
        ),
        (nowhere, "unknown pool \"nowhere\""),
    ];
    for (a, want) in cases {
        let mut bench = Bench::working(POOLS);
        bench.tell(&a);
        assert_eq!(
            bench.texts(),
            [format!(
                "a: Failed to allocate IP for \"default/a\": {want}"
            )]
        );
        assert_eq!(bench.writes(), NONE);
        assert_eq!(bench.in_use(), 0);
    }
}

#[test]
fn a_text_of_any_length_fits_into_an_event() {
    let mut bench = Bench::working(POOLS);
    let mut a = service("a");
    a.annotation_ips = Some("ä".repeat(100_000));
    bench.tell(&a);
    assert_eq!(bench.reasons(), ["a AllocationFailed"]);
    bench.tell(&Service {
        annotation_ips: None,
        ..showing("b", &["10.0.0.0"])
    });
    a.key = ObjectKey::new("default", "b");
    a.uid = "uid-b".into();
    a.resource_version = "9".into();
    a.ingress = vec!["10.0.0.0".to_owned()];
    bench.tell(&a);
    assert_eq!(bench.events.len(), 1);
    assert!(bench.events[0].message.len() <= 1_024);
    assert!(bench.events[0].message.ends_with("ä…"));
    assert_eq!(bench.reasons(), ["b LoadBalancerFailed"]);
}

#[test]
fn a_waiting_service_is_served_when_an_address_is_freed_and_said_once() {
    let mut bench = Bench::working(
        "address-pools:\n- name: one\n  protocol: layer2\n  addresses: [10.0.0.0/32]\n",
    );
    let mut holder = service("holder");
    bench.put(&mut holder);
    bench.take();
    bench.tell(&service("a"));
    bench.tell(&service("b"));
    assert_eq!(
        bench.reasons(),
        ["a AllocationFailed", "b AllocationFailed"]
    );
    // Nothing was freed: nothing is tried.
    bench.settle();
    assert_eq!(bench.reasons(), NONE);
    bench.gone(&holder);
    assert_eq!(bench.writes(), NONE, "a burst is served once");
    bench.settle();
    assert_eq!(bench.writes(), ["a: 10.0.0.0"]);
    assert_eq!(bench.reasons(), ["a IPAllocated"]);
    // Freed in other ways than by deletion: by type, by request, by somebody's hand.
    let mut a = showing("a", &["10.0.0.0"]);
    bench.tell(&a);
    a.is_load_balancer = false;
    touch(&mut a);
    bench.tell(&a);
    bench.settle();
    assert_eq!(bench.writes(), ["a: ", "b: 10.0.0.0"]);
}

#[test]
fn a_waiting_service_is_served_when_a_holder_begins_to_share() {
    let mut bench = Bench::working(POOLS);
    let mut holder = service("holder");
    bench.put(&mut holder);
    let mut a = service("a");
    a.load_balancer_ip = "10.0.0.0".to_owned();
    a.sharing_key = "k".to_owned();
    a.ports = vec![port(443)];
    bench.tell(&a);
    bench.settle();
    assert_eq!(
        bench.reasons(),
        ["holder IPAllocated", "a AllocationFailed"]
    );
    holder.sharing_key = "k".to_owned();
    touch(&mut holder);
    bench.tell(&holder);
    bench.settle();
    assert_eq!(bench.writes(), ["a: 10.0.0.0"]);
    assert_eq!(bench.in_use(), 1);
}

#[test]
fn a_failure_is_said_again_when_the_service_changes_and_when_the_reason_does() {
    let mut bench = Bench::working(POOLS);
    let mut a = service("a");
    a.annotation_pool = Some("nowhere".to_owned());
    bench.tell(&a);
    assert_eq!(bench.reasons(), ["a AllocationFailed"]);
    // A new version without anything that matters.
    touch(&mut a);
    bench.tell(&a);
    bench.configure(&POOLS.replace("asked", "other"));
    bench.settle();
    assert_eq!(bench.reasons(), NONE);
    a.ports = vec![port(443)];
    touch(&mut a);
    bench.tell(&a);
    assert_eq!(bench.reasons(), ["a AllocationFailed"]);
    a.annotation_pool = None;
    a.load_balancer_ip = "10.0.9.9".to_owned();
    touch(&mut a);
    bench.tell(&a);
    assert_eq!(
        bench.texts(),
        ["a: Failed to allocate IP for \"default/a\": [\"10.0.9.9\"] is not allowed in config"]
    );
}

#[test]
fn a_deleted_service_frees_its_address_and_is_forgotten() {
    let mut bench = Bench::working(POOLS);
    let mut a = service("a");
    bench.put(&mut a);
    bench.take();
    bench.gone(&a);
    bench.settle();
    assert_eq!(bench.logged(), ["serviceDeleted"]);
    assert_eq!(bench.in_use(), 0);
    assert_eq!(bench.controller.services.len(), 0);
    // Whatever comes after its death is nothing to us.
    bench.outcome(&a, WriteOutcome::Unavailable("away".to_owned()));
    bench.gone(&a);
    bench.settle();
    assert_eq!(bench.logged(), [""; 0]);
    assert_eq!(bench.writes(), NONE);
}

#[test]
fn a_service_that_was_recreated_unseen_begins_anew() {
    let mut bench = Bench::working(POOLS);
    let mut a = service("a");
    bench.put(&mut a);
    bench.tell(&service("b"));
    bench.gone(&a);
    assert_eq!(bench.writes(), ["b: 10.0.0.1"]);
    // The old one's write was never done, and the new one's version is nobody's to compare.
    let mut again = service("b");
    again.uid = "another".into();
    bench.tell(&again);
    assert_eq!(bench.writes(), ["b: 10.0.0.0"]);
    assert_eq!(bench.in_use(), 1);
}

#[test]
fn a_service_of_another_class_gets_nothing_and_keeps_what_it_shows() {
    let mut bench = Bench::working(POOLS);
    let class = Some("example.org/other".to_owned());
    let mut a = service("a");
    a.load_balancer_class.clone_from(&class);
    bench.tell(&a);
    let mut b = showing("b", &["10.0.0.0"]);
    b.load_balancer_class.clone_from(&class);
    bench.tell(&b);
    let mut c = showing("c", &["192.0.2.1"]);
    c.load_balancer_class.clone_from(&class);
    bench.tell(&c);
    assert_eq!(bench.in_use(), 1);
    bench.tell(&service("d"));
    bench.settle();
    assert_eq!(bench.writes(), ["d: 10.0.0.1"]);
    assert_eq!(bench.reasons(), ["d IPAllocated"]);
    // Its address is free as soon as its status does not show it.
    show(&mut b, &NONE);
    bench.tell(&b);
    bench.tell(&service("e"));
    assert_eq!(bench.writes(), ["e: 10.0.0.0"]);
}

#[test]
fn an_address_that_another_class_shows_goes_to_it_before_those_that_wait() {
    let mut bench = Bench::working(
        "address-pools:\n- name: one\n  protocol: layer2\n  addresses: [10.0.0.0/32]\n",
    );
    let mut holder = service("holder");
    bench.put(&mut holder);
    bench.tell(&service("a"));
    let mut z = showing("z", &["10.0.0.0"]);
    z.load_balancer_class = Some("example.org/other".to_owned());
    bench.tell(&z);
    bench.take();
    bench.gone(&holder);
    bench.settle();
    assert_eq!(bench.writes(), NONE);
    assert_eq!(bench.in_use(), 1);
}

#[test]
fn at_start_ours_hold_what_another_class_shows_too() {
    let mut bench = Bench::new();
    bench.configure(POOLS);
    let mut a = showing("a", &["10.0.0.1"]);
    a.load_balancer_class = Some("example.org/other".to_owned());
    bench.tell(&a);
    bench.tell(&showing("b", &["10.0.0.1"]));
    bench.handle(Event::ServicesSynced);
    bench.settle();
    assert_eq!(bench.writes(), NONE);
    assert_eq!(bench.reasons(), NONE);
}

#[test]
fn with_a_class_of_our_own_only_that_class_is_served() {
    let mut bench = Bench::with(Params {
        load_balancer_class: Some("ferrolb".to_owned()),
    });
    bench.configure(POOLS);
    bench.handle(Event::ServicesSynced);
    bench.tell(&service("a"));
    let mut b = service("b");
    b.load_balancer_class = Some("ferrolb".to_owned());
    bench.tell(&b);
    assert_eq!(bench.writes(), ["b: 10.0.0.0"]);
}

#[test]
fn ten_thousand_bad_services_do_not_make_other_events_dear() {
    let mut bench = Bench::working(
        "address-pools:\n- name: one\n  protocol: layer2\n  addresses: [10.0.0.0/32]\n",
    );
    let mut holder = service("holder");
    bench.put(&mut holder);
    for number in 0..10_000 {
        let mut bad = service(&format!("bad-{number}"));
        match number % 3 {
            0 => bad.annotation_ips = Some("x,y".to_owned()),
            1 => bad.annotation_pool = Some("nowhere".to_owned()),
            _ => bad.load_balancer_ip = "10.0.9.9".to_owned(),
        }
        bench.tell(&bad);
    }
    assert_eq!(bench.events.len(), 10_001);
    bench.take();
    // None of these could be helped by room, so that none is tried again.
    assert_eq!(bench.controller.waiting.len(), 0);
    bench.gone(&holder);
    bench.settle();
    assert_eq!(bench.reasons(), NONE);
    assert_eq!(bench.logged(), ["serviceDeleted"]);
    bench.tell(&service("good"));
    assert_eq!(bench.writes(), ["good: 10.0.0.0"]);
}
