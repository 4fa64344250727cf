//! What becomes of status writes.

use super::*;

const NONE: [&str; 0] = [];

#[test]
fn an_assignment_survives_a_write_that_lost() {
    let mut bench = Bench::working(POOLS);
    let mut a = service("a");
    bench.put(&mut a);
    bench.take();
    let mut b = service("b");
    bench.tell(&b);
    assert_eq!(bench.writes(), ["b: 10.0.0.1"]);
    // A lower address becomes free, and somebody changes the Service before our write.
    bench.gone(&a);
    b.ports = vec![port(443)];
    touch(&mut b);
    bench.tell(&b);
    assert_eq!(bench.writes.len(), 1);
    assert_eq!(&*bench.writes[0].resource_version, "2");
    assert_eq!(bench.writes(), ["b: 10.0.0.1"]);
    // The news of the lost write comes late.
    bench.outcome(&b, WriteOutcome::Superseded);
    bench.settle();
    assert_eq!(bench.writes(), NONE);
    assert_eq!(bench.reasons(), ["b IPAllocated"]);
    assert_eq!(bench.in_use(), 1);
}

#[test]
fn it_survives_also_when_everything_was_processed_meanwhile() {
    let mut bench = Bench::working(POOLS);
    let mut a = service("a");
    bench.put(&mut a);
    let mut b = service("b");
    bench.tell(&b);
    bench.gone(&a);
    bench.take();
    bench.configure(&POOLS.replace("asked", "other"));
    bench.settle();
    assert_eq!(bench.writes(), NONE, "the write is under way already");
    touch(&mut b);
    bench.tell(&b);
    assert_eq!(bench.writes(), ["b: 10.0.0.1"]);
    assert_eq!(bench.reasons(), NONE);
}

#[test]
fn it_is_decided_anew_when_the_service_asks_for_something_else() {
    let mut bench = Bench::working(POOLS);
    let mut a = service("a");
    bench.tell(&a);
    a.annotation_pool = Some("asked".to_owned());
    touch(&mut a);
    bench.tell(&a);
    assert_eq!(bench.writes(), ["a: 10.0.0.0", "a: 10.0.2.0"]);
    a.annotation_pool = None;
    a.annotation_ips = Some("x".to_owned());
    touch(&mut a);
    bench.tell(&a);
    assert_eq!(
        bench.reasons(),
        ["a IPAllocated", "a IPAllocated", "a AllocationFailed"]
    );
    assert_eq!(bench.writes(), NONE);
    assert_eq!(bench.in_use(), 0);
}

#[test]
fn a_lost_replacement_of_a_bad_address_keeps_its_decision() {
    let mut bench = Bench::working(POOLS);
    let mut a = service("a");
    bench.put(&mut a);
    let mut b = showing("b", &["10.0.9.9"]);
    bench.tell(&b);
    bench.gone(&a);
    bench.take();
    // The status still shows the bad address: somebody else was faster than our write.
    touch(&mut b);
    bench.tell(&b);
    assert_eq!(bench.writes(), ["b: 10.0.0.1"]);
}

#[test]
fn a_write_that_waits_for_the_server_is_asked_for_again_once_all_is_settled() {
    let mut bench = Bench::working(POOLS);
    let mut a = service("a");
    bench.tell(&a);
    bench.take();
    bench.outcome(
        &a,
        WriteOutcome::Unavailable("connection refused".to_owned()),
    );
    assert_eq!(bench.writes(), NONE);
    assert_eq!(bench.logged(), ["updateServiceStatus"]);
    assert_eq!(bench.controller.stats().update_errors, 1);
    bench.settle();
    assert_eq!(bench.writes(), ["a: 10.0.0.0"]);
    bench.settle();
    assert_eq!(bench.writes(), NONE);
    // The write had been done, only its answer was lost: the echo ends it.
    show(&mut a, &["10.0.0.0"]);
    bench.tell(&a);
    bench.outcome(&a, WriteOutcome::Unavailable("timeout".to_owned()));
    bench.settle();
    assert_eq!(bench.writes(), NONE);
}

#[test]
fn a_write_that_the_server_refuses_is_said_once_and_not_repeated() {
    let mut bench = Bench::working(POOLS);
    let mut a = service("a");
    bench.tell(&a);
    bench.take();
    bench.outcome(
        &a,
        WriteOutcome::Refused("admission webhook says no".to_owned()),
    );
    assert_eq!(
        bench.texts(),
        [
            "a: The status could not be written, and is not tried again before the Service changes: admission webhook says no"
        ]
    );
    assert_eq!(bench.logged(), ["updateServiceStatus"]);
    bench.settle();
    bench.tell(&a);
    bench.configure(&POOLS.replace("asked", "other"));
    bench.settle();
    assert_eq!(bench.writes(), NONE);
    assert_eq!(bench.reasons(), NONE);
    assert_eq!(bench.in_use(), 1, "it stays the decision");
    touch(&mut a);
    bench.tell(&a);
    assert_eq!(bench.writes(), ["a: 10.0.0.0"]);
}

#[test]
fn a_refused_clearing_does_not_go_round_in_circles() {
    let mut bench = Bench::working(
        "address-pools:\n- name: one\n  protocol: layer2\n  addresses: [10.0.0.0/32]\n",
    );
    let mut a = service("a");
    bench.put(&mut a);
    a.annotation_ips = Some("10.0.0.9".to_owned());
    touch(&mut a);
    bench.tell(&a);
    bench.take();
    bench.outcome(&a, WriteOutcome::Refused("no".to_owned()));
    bench.settle();
    bench.tell(&service("b"));
    bench.settle();
    bench
        .configure("address-pools:\n- name: two\n  protocol: layer2\n  addresses: [10.0.0.0/31]\n");
    bench.settle();
    assert_eq!(bench.writes(), ["b: 10.0.0.0"]);
    assert_eq!(bench.in_use(), 1);
}

#[test]
fn a_write_that_lost_against_nobody_is_asked_for_again_with_the_next_view() {
    let mut bench = Bench::working(POOLS);
    let a = service("a");
    bench.tell(&a);
    bench.outcome(&a, WriteOutcome::Superseded);
    bench.settle();
    assert_eq!(bench.writes(), ["a: 10.0.0.0"]);
    bench.tell(&a);
    assert_eq!(bench.writes(), ["a: 10.0.0.0"]);
    // A view that says nothing new, while a write is under way.
    bench.tell(&a);
    assert_eq!(bench.writes(), NONE);
    assert_eq!(bench.reasons(), ["a IPAllocated"]);
}

#[test]
fn a_decision_that_goes_back_to_the_shown_address_overtakes_its_write() {
    let mut bench = Bench::working(POOLS);
    let mut a = service("a");
    a.annotation_pool = Some("asked".to_owned());
    bench.put(&mut a);
    bench.take();
    // The pool is renamed, so that the Service has nowhere to go, and named as before again.
    bench.configure(&POOLS.replace("asked", "other"));
    bench.settle();
    bench.configure(POOLS);
    bench.settle();
    assert_eq!(bench.writes(), ["a: ", "a: 10.0.2.0"]);
}

#[test]
fn a_source_without_versions_is_taken_at_its_word() {
    let mut bench = Bench::working(POOLS);
    let mut a = service("a");
    a.resource_version = "".into();
    bench.tell(&a);
    assert_eq!(bench.writes(), ["a: 10.0.0.0"]);
    a.ingress = vec!["10.0.0.0".to_owned()];
    bench.tell(&a);
    a.ingress = Vec::new();
    bench.tell(&a);
    assert_eq!(bench.writes(), ["a: 10.0.0.0"]);
}
