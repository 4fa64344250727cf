use super::*;

fn key(name: &str) -> ObjectKey {
    ObjectKey::new("default", name)
}

#[test]
fn writes_of_different_services_do_not_wait_for_each_other() {
    let mut queue = Queue::default();
    let (a, b) = (queue.enter(&key("a")), queue.enter(&key("b")));
    assert_eq!(queue.turn(&key("a"), a), Turn::Go);
    assert_eq!(queue.turn(&key("b"), b), Turn::Go);
    assert_eq!(queue.len(), 2);
}

#[test]
fn only_the_newest_of_those_that_wait_is_sent() {
    let mut queue = Queue::default();
    let first = queue.enter(&key("a"));
    let second = queue.enter(&key("a"));
    assert_eq!(queue.turn(&key("a"), second), Turn::Wait);
    let third = queue.enter(&key("a"));
    assert_eq!(queue.turn(&key("a"), first), Turn::Go);
    assert_eq!(queue.turn(&key("a"), second), Turn::Superseded);
    assert_eq!(queue.turn(&key("a"), third), Turn::Wait);
    assert!(queue.leave(&key("a"), first));
    assert_eq!(queue.turn(&key("a"), third), Turn::Go);
    assert!(!queue.leave(&key("a"), second));
    assert_eq!(queue.turn(&key("a"), third), Turn::Go);
    assert!(!queue.leave(&key("a"), third));
    assert_eq!(queue.len(), 0);
}

#[test]
fn one_that_gives_up_waiting_does_not_get_a_turn() {
    let mut queue = Queue::default();
    let first = queue.enter(&key("a"));
    let second = queue.enter(&key("a"));
    assert!(!queue.leave(&key("a"), second));
    assert!(!queue.leave(&key("a"), first));
    assert_eq!(queue.len(), 0);
    let third = queue.enter(&key("a"));
    assert_eq!(queue.turn(&key("a"), third), Turn::Go);
}
