use std::net::IpAddr;

use pnet_base::MacAddr;

use super::{Directory, MOST};

fn mac(last: u8) -> MacAddr {
    MacAddr::new(2, 0, 0, 0, 0, last)
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn a_station_is_whose_speaker_says_so_or_whose_address_it_has() {
    let mut directory = Directory::default();
    directory.is_at("go", ip("10.0.0.2"));
    directory.is_at("ours", ip("10.0.0.3"));
    directory.announces_from("ours", vec![mac(3), mac(4)]);
    assert_eq!(directory.who(mac(4), &[]).as_deref(), Some("ours"));
    assert_eq!(
        directory.who(mac(2), &[ip("10.0.0.2")]).as_deref(),
        Some("go")
    );
    // Its own word goes before an address that was another's.
    assert_eq!(
        directory.who(mac(3), &[ip("10.0.0.2")]).as_deref(),
        Some("ours")
    );
    assert_eq!(directory.who(mac(9), &[ip("10.0.0.9")]), None);
    assert_eq!(directory.who(mac(9), &[]), None);
}

#[test]
fn there_is_an_end_to_the_speakers_that_are_remembered() {
    let mut directory = Directory::default();
    for i in 0..MOST + 9 {
        directory.announces_from(&format!("node-{i}"), vec![mac(1)]);
    }
    assert_eq!(directory.speakers.len(), MOST);
    directory.announces_from("node-0", vec![mac(7)]);
    assert_eq!(directory.who(mac(7), &[]).as_deref(), Some("node-0"));
}
