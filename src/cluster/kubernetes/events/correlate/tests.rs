use super::*;
use crate::view::ObjectKey;

fn event(name: &str, message: &str) -> KubernetesEvent {
    KubernetesEvent {
        about: ObjectReference {
            kind: "Service",
            key: ObjectKey::new("shop", name),
            uid: "u".into(),
        },
        warning: false,
        reason: "IPAllocated",
        message: message.to_owned(),
    }
}

struct Clock {
    at: SystemTime,
    now: Instant,
}

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "a point to count from")]
    fn new() -> Self {
        Self {
            at: SystemTime::UNIX_EPOCH + Duration::from_secs(1_600_000_000),
            now: Instant::now(),
        }
    }

    fn pass(&mut self, time: Duration) {
        self.at += time;
        self.now += time;
    }

    fn observe(&self, correlator: &mut Correlator, event: KubernetesEvent) -> Option<Sending> {
        match correlator.observe(event, self.at, self.now) {
            Verdict::Send(sending) => Some(sending),
            Verdict::Suppressed => None,
        }
    }
}

#[test]
fn a_repetition_is_counted_on_the_first_event() {
    let (mut correlator, mut clock) = (Correlator::default(), Clock::new());
    let first = clock
        .observe(&mut correlator, event("web", "hello"))
        .unwrap();
    assert_eq!(first.count, 1);
    assert_eq!(first.namespace, "shop");
    assert_eq!(
        first.name,
        format!("web.{:x}", 1_600_000_000_000_000_000u64)
    );
    clock.pass(Duration::from_secs(5));
    let second = clock
        .observe(&mut correlator, event("web", "hello"))
        .unwrap();
    assert_eq!((second.count, &second.name), (2, &first.name));
    assert_eq!((second.first, second.last), (first.first, clock.at));
    let other = clock.observe(&mut correlator, event("web", "bye")).unwrap();
    assert_eq!(other.count, 1);
    assert_ne!(other.name, first.name);
}

#[test]
fn two_events_of_the_same_nanosecond_have_different_names() {
    let (mut correlator, clock) = (Correlator::default(), Clock::new());
    let one = clock.observe(&mut correlator, event("web", "a")).unwrap();
    let other = clock.observe(&mut correlator, event("web", "b")).unwrap();
    assert_ne!(one.name, other.name);
}

#[test]
fn the_tenth_different_message_and_those_after_it_are_combined() {
    let (mut correlator, clock) = (Correlator::default(), Clock::new());
    for n in 1..SIMILAR {
        let sending = clock
            .observe(&mut correlator, event("web", &format!("m{n}")))
            .unwrap();
        assert_eq!((sending.count, sending.event.message), (1, format!("m{n}")));
    }
    let tenth = clock.observe(&mut correlator, event("web", "m10")).unwrap();
    assert_eq!(tenth.count, 1);
    assert_eq!(tenth.event.message, "(combined from similar events): m10");
    let next = clock.observe(&mut correlator, event("web", "m11")).unwrap();
    assert_eq!((next.count, &next.name), (2, &tenth.name));
    assert_eq!(next.event.message, "(combined from similar events): m11");
    // Another object's are its own.
    let other = clock
        .observe(&mut correlator, event("shop", "m11"))
        .unwrap();
    assert_eq!((other.count, &*other.event.message), (1, "m11"));
}

#[test]
fn different_messages_with_ten_minutes_between_them_are_not_combined() {
    let (mut correlator, mut clock) = (Correlator::default(), Clock::new());
    for n in 0..30 {
        let sending = clock
            .observe(&mut correlator, event("web", &format!("m{n}")))
            .unwrap();
        assert_eq!(sending.event.message, format!("m{n}"));
        clock.pass(WITHIN + Duration::from_secs(1));
    }
}

#[test]
fn an_object_gets_25_events_at_once_and_then_one_in_five_minutes() {
    let (mut correlator, mut clock) = (Correlator::default(), Clock::new());
    for n in 1..=25 {
        let sending = clock
            .observe(&mut correlator, event("web", "again"))
            .unwrap();
        assert_eq!(sending.count, n);
    }
    assert_eq!(clock.observe(&mut correlator, event("web", "again")), None);
    assert!(
        clock
            .observe(&mut correlator, event("other", "again"))
            .is_some()
    );
    clock.pass(REFILL - Duration::from_secs(1));
    assert_eq!(clock.observe(&mut correlator, event("web", "again")), None);
    clock.pass(Duration::from_secs(2));
    // What was suppressed is in the count.
    assert_eq!(
        clock
            .observe(&mut correlator, event("web", "again"))
            .unwrap()
            .count,
        28
    );
    assert_eq!(clock.observe(&mut correlator, event("web", "again")), None);
}

#[test]
fn memory_is_bounded_and_keeps_what_is_used() {
    let (mut correlator, mut clock) = (Correlator::default(), Clock::new());
    for n in 0..5 * REMEMBERED {
        clock
            .observe(&mut correlator, event(&format!("s{n}"), "x"))
            .unwrap();
        if n % 500 == 0 {
            clock.observe(&mut correlator, event("kept", "x")).unwrap();
            clock.pass(REFILL);
        }
    }
    assert!(
        clock
            .observe(&mut correlator, event("kept", "x"))
            .unwrap()
            .count
            > 5
    );
    assert!(correlator.counted.entries.len() <= REMEMBERED);
    assert!(correlator.similar.entries.len() <= REMEMBERED);
    assert!(correlator.buckets.entries.len() <= REMEMBERED);
}

#[test]
fn an_event_about_a_node_lives_in_default_and_long_names_are_cut_to_valid_ones() {
    let (mut correlator, clock) = (Correlator::default(), Clock::new());
    let mut about_node = event("x", &"ä".repeat(2000));
    about_node.about.kind = "Node";
    about_node.about.key = ObjectKey::new("", &format!("{}.example", "n".repeat(235)));
    let sending = clock.observe(&mut correlator, about_node).unwrap();
    assert_eq!(sending.namespace, "default");
    assert!(sending.name.len() <= LONGEST_NAME);
    assert!(!sending.name.contains(".."), "{}", sending.name);
    assert!(sending.event.message.len() <= LONGEST_MESSAGE);
}
