use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn end(commands: &[Command]) -> Vec<(IpAddr, Change)> {
    let mut queue = Queue::default();
    for (index, command) in commands.iter().enumerate() {
        assert_eq!(
            queue.push(*command),
            index == 0,
            "only the first command wakes"
        );
    }
    let taken = queue.take();
    assert_eq!(queue.take(), []);
    taken
}

#[test]
fn handing_over_wakes_once_and_stays() {
    let mut queue = Queue::default();
    assert!(!queue.hands_over());
    assert!(queue.push(Command::HandOver));
    assert!(!queue.push(Command::HandOver));
    assert_eq!(queue.take(), []);
    assert!(queue.hands_over());
    assert!(queue.push(Command::Withdraw(ip("192.0.2.1"))));
}

#[test]
fn only_the_end_counts_and_a_withdrawal_in_between_is_not_lost() {
    let ip = ip("192.0.2.1");
    let announce = Command::Announce(ip);
    let withdraw = Command::Withdraw(ip);
    for (commands, want) in [
        (&[announce][..], Change::Announce),
        (&[announce, announce], Change::Announce),
        (&[withdraw], Change::Withdraw),
        (&[announce, withdraw], Change::Withdraw),
        (&[withdraw, announce], Change::Again),
        (&[announce, withdraw, announce], Change::Again),
        (&[withdraw, announce, announce], Change::Again),
        (&[withdraw, announce, withdraw], Change::Withdraw),
    ] {
        assert_eq!(end(commands), [(ip, want)], "{commands:?}");
    }
}

#[test]
fn addresses_keep_their_order() {
    let (one, two) = (ip("192.0.2.1"), ip("2001:db8::1"));
    assert_eq!(
        end(&[
            Command::Announce(two),
            Command::Withdraw(one),
            Command::Announce(two)
        ]),
        [(two, Change::Announce), (one, Change::Withdraw)]
    );
}
