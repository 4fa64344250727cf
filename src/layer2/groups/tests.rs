use super::*;

fn ip(text: &str) -> Ipv6Addr {
    text.parse().unwrap()
}

#[test]
fn a_shared_group_is_joined_once_and_left_with_the_last_address() {
    let mut groups = Groups::default();
    let group = ip("ff02::1:ff00:10");
    assert_eq!(groups.announce(ip("2001:db8::10")), Some(group));
    assert_eq!(groups.announce(ip("2001:db8:1::10")), None);
    assert_eq!(
        groups.announce(ip("2001:db8::11")),
        Some(ip("ff02::1:ff00:11"))
    );
    assert_eq!(groups.needed().count(), 2);
    assert_eq!(groups.withdraw(ip("2001:db8::10")), None);
    assert_eq!(groups.withdraw(ip("2001:db8:1::10")), Some(group));
    assert_eq!(
        groups.withdraw(ip("2001:db8:1::10")),
        None,
        "once too often is harmless"
    );
    assert_eq!(groups.needed().collect::<Vec<_>>(), [ip("ff02::1:ff00:11")]);
}
