#![expect(clippy::disallowed_methods, reason = "test: some time to begin at")]

use super::*;

fn names(names: &[&str]) -> Vec<Name> {
    names.iter().map(|name| Name::new(name).unwrap()).collect()
}

fn members(names: &[&str]) -> Standing {
    Standing::Members(names.iter().map(|name| Arc::from(*name)).collect())
}

struct Host {
    roster: Roster,
    now: Instant,
}

impl Host {
    fn new(can_ask: bool) -> Self {
        let now = Instant::now();
        let own = Name::new("a").unwrap();
        Self {
            roster: Roster::new(own, can_ask, now),
            now,
        }
    }

    fn look(&mut self, active: &[&str]) -> Option<Standing> {
        self.roster.look(self.now, names(active).iter())
    }
}

#[test]
fn a_newcomer_is_believed_once_another_is_a_member() {
    let mut host = Host::new(true);
    assert_eq!(host.look(&["a"]), None);
    assert_eq!(host.look(&["a", "b"]), Some(members(&["a", "b"])));
    host.roster.joined(1, 1);
    assert_eq!(host.look(&["a", "b"]), None);
    assert_eq!(host.roster.next_deadline(), None);
    // All others died: that is news, and not a fault of ours.
    assert_eq!(host.look(&["a"]), Some(members(&["a"])));
    host.roster.joined(0, 1);
    assert_eq!(host.look(&["a"]), None);
}

#[test]
fn a_single_node_is_its_own_cluster() {
    let mut host = Host::new(true);
    host.roster.joined(0, 0);
    assert_eq!(host.look(&["a"]), Some(members(&["a"])));
    assert_eq!(host.roster.next_deadline(), None);
}

#[test]
fn one_whom_nobody_answers_tells_nothing_until_somebody_does() {
    let mut host = Host::new(true);
    host.roster.joined(0, 2);
    assert_eq!(host.look(&["a"]), Some(Standing::Unheard));
    assert_eq!(host.look(&["a"]), None);
    // At once: it decides who counts.
    assert_eq!(host.look(&["a", "c"]), Some(members(&["a", "c"])));
}

#[test]
fn a_node_that_was_alone_and_gets_a_silent_neighbour_tells_nothing() {
    let mut host = Host::new(true);
    host.roster.joined(0, 0);
    assert_eq!(host.look(&["a"]), Some(members(&["a"])));
    host.roster.joined(0, 1);
    assert_eq!(host.look(&["a"]), Some(Standing::Unheard));
}

#[test]
fn patience_ends() {
    let mut host = Host::new(true);
    let deadline = host.roster.next_deadline().unwrap();
    host.now = deadline - Duration::from_millis(1);
    assert_eq!(host.look(&["a"]), None);
    host.now = deadline;
    assert_eq!(host.look(&["a"]), Some(Standing::Unheard));
    assert_eq!(host.roster.next_deadline(), None);
}

#[test]
fn who_goes_is_told_at_once_and_who_comes_a_moment_later() {
    let mut host = Host::new(true);
    // The first that is found is told with all others.
    assert_eq!(host.look(&["a", "b", "c"]), Some(members(&["a", "b", "c"])));
    assert_eq!(host.roster.next_deadline(), None);
    let came = host.now;
    assert_eq!(host.look(&["a", "b", "c", "d"]), None);
    assert_eq!(host.roster.next_deadline(), Some(came + GRACE));
    host.now += GRACE / 2;
    assert_eq!(host.look(&["a", "b", "d", "e"]), Some(members(&["a", "b"])));
    // One that is gone before it was told was never there; its next arrival is another.
    host.now += GRACE / 4;
    assert_eq!(host.look(&["a", "b", "d"]), None);
    assert_eq!(host.look(&["a", "b", "d", "e"]), None);
    host.now = came + GRACE;
    assert_eq!(
        host.look(&["a", "b", "d", "e"]),
        Some(members(&["a", "b", "d"]))
    );
    host.now += GRACE;
    assert_eq!(
        host.look(&["a", "b", "d", "e"]),
        Some(members(&["a", "b", "d", "e"]))
    );
    assert_eq!(host.roster.next_deadline(), None);
}

#[test]
fn who_cannot_ask_anybody_tells_nothing_at_once() {
    let mut host = Host::new(false);
    assert_eq!(host.look(&["a"]), Some(Standing::Unheard));
    assert_eq!(host.look(&["a", "b"]), Some(members(&["a", "b"])));
}
