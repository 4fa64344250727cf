use std::sync::Arc;

use super::*;

fn write(name: &str, version: &str) -> StatusWrite {
    StatusWrite {
        key: ObjectKey::new("ns", name),
        resource_version: Arc::from(version),
        addresses: Vec::new(),
    }
}

fn begun(writes: &mut Writes) -> Vec<String> {
    std::iter::from_fn(|| writes.begin())
        .map(|write| format!("{}@{}", write.key.name(), write.resource_version))
        .collect()
}

#[test]
fn writes_begin_in_order_and_so_many_at_once() {
    let mut writes = Writes::new(2);
    for name in ["a", "b", "c", "d"] {
        writes.ask(write(name, "1"));
    }
    assert_eq!(begun(&mut writes), ["a@1", "b@1"]);
    writes.end(&ObjectKey::new("ns", "b"));
    assert_eq!(begun(&mut writes), ["c@1"]);
    writes.end(&ObjectKey::new("ns", "a"));
    writes.end(&ObjectKey::new("ns", "c"));
    assert_eq!(begun(&mut writes), ["d@1"]);
}

#[test]
fn a_service_has_one_write_under_way_and_the_newest_waits() {
    let mut writes = Writes::new(8);
    writes.ask(write("a", "1"));
    assert_eq!(begun(&mut writes), ["a@1"]);
    writes.ask(write("a", "2"));
    writes.ask(write("a", "3"));
    assert_eq!(begun(&mut writes), [""; 0]);
    writes.end(&ObjectKey::new("ns", "a"));
    assert_eq!(begun(&mut writes), ["a@3"]);
    writes.end(&ObjectKey::new("ns", "a"));
    assert_eq!(begun(&mut writes), [""; 0]);
}

#[test]
fn a_write_that_has_not_begun_is_replaced_in_its_place() {
    let mut writes = Writes::new(1);
    writes.ask(write("x", "1"));
    assert_eq!(begun(&mut writes), ["x@1"]);
    writes.ask(write("a", "1"));
    writes.ask(write("b", "1"));
    writes.ask(write("a", "2"));
    writes.end(&ObjectKey::new("ns", "x"));
    assert_eq!(begun(&mut writes), ["a@2"]);
    writes.end(&ObjectKey::new("ns", "a"));
    assert_eq!(begun(&mut writes), ["b@1"]);
}

#[test]
fn the_end_of_a_write_that_never_began_changes_nothing() {
    let mut writes = Writes::new(1);
    writes.ask(write("a", "1"));
    writes.end(&ObjectKey::new("ns", "a"));
    assert_eq!(begun(&mut writes), ["a@1"]);
    assert_eq!(begun(&mut writes), [""; 0]);
}
