use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn an_address_is_found_in_its_family_only() {
    let mut announced = Announced::default();
    assert!(announced.insert(ip("192.0.2.1"), Arc::default()));
    assert!(!announced.insert(ip("192.0.2.1"), Arc::default()));
    assert!(announced.v4(Ipv4Addr::new(192, 0, 2, 1)).is_some());
    assert!(announced.tally(ip("192.0.2.1")).is_some());
    assert!(announced.tally(ip("::ffff:192.0.2.1")).is_none());
    assert!(announced.remove(ip("192.0.2.1")));
    assert!(!announced.remove(ip("192.0.2.1")));
    assert!(announced.tally(ip("192.0.2.1")).is_none());
}

#[test]
fn counters_survive_a_withdrawal_and_go_on() {
    let mut tallies = Tallies::default();
    tallies.announce(ip("192.0.2.1")).request_received();
    tallies.withdraw(ip("192.0.2.1"));
    let tally = tallies.announce(ip("192.0.2.1"));
    tally.request_received();
    tally.response_sent();
    let want = Counters {
        requests_received: 2,
        responses_sent: 1,
        gratuitous_sent: 0,
        conflicts: 0,
    };
    assert_eq!(tallies.counters(), [(ip("192.0.2.1"), want)]);
}

#[test]
fn the_memory_for_withdrawn_addresses_is_bounded() {
    let mut tallies = Tallies::default();
    for low in 0..(u32::try_from(REMEMBERED).unwrap() + 100) {
        let ip = IpAddr::from(Ipv4Addr::from(low));
        tallies.announce(ip);
        tallies.withdraw(ip);
    }
    assert_eq!(tallies.by_address.len(), REMEMBERED);
}
