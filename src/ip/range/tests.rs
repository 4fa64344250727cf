use proptest::prelude::*;

use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn cidrs(first: &str, last: &str) -> Vec<String> {
    cidrs_of(ip(first), ip(last))
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn a_range_becomes_the_fewest_cidrs_in_order() {
    let table: &[(&str, &str, &[&str])] = &[
        (
            "10.0.2.0",
            "10.0.2.6",
            &["10.0.2.0/30", "10.0.2.4/31", "10.0.2.6/32"],
        ),
        ("10.0.0.1", "10.0.0.1", &["10.0.0.1/32"]),
        ("10.0.0.0", "10.0.255.255", &["10.0.0.0/16"]),
        ("0.0.0.0", "255.255.255.255", &["0.0.0.0/0"]),
        (
            "255.255.255.254",
            "255.255.255.255",
            &["255.255.255.254/31"],
        ),
        ("1.0.0.255", "1.0.1.0", &["1.0.0.255/32", "1.0.1.0/32"]),
        ("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", &["::/0"]),
        (
            "fd00::1",
            "fd00::4",
            &["fd00::1/128", "fd00::2/127", "fd00::4/128"],
        ),
        ("10.0.0.2", "10.0.0.1", &[]),
        ("10.0.0.2", "fd00::1", &[]),
        ("fd00::1", "10.0.0.2", &[]),
    ];
    for (first, last, want) in table {
        assert_eq!(cidrs(first, last), *want, "{first}-{last}");
    }
}

#[test]
fn the_longest_ranges_stay_below_the_stated_bounds() {
    assert_eq!(cidrs("0.0.0.1", "255.255.255.254").len(), 62);
    assert_eq!(
        cidrs("::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe").len(),
        254
    );
}

#[test]
fn an_ipv6_cidr_around_the_mapped_addresses_leaves_them_out() {
    let (below, above) = Interval::of_net(&net("::/0"));
    assert_eq!(below.last + 1, bits_of(ip("0.0.0.0")));
    assert_eq!(above.unwrap().first - 1, bits_of(ip("255.255.255.255")));
    assert_eq!(above.unwrap().last, u128::MAX);
    assert_eq!(
        Interval::of_net(&net("::ffff:10.0.0.0/104")),
        Interval::of_net(&net("10.0.0.0/8"))
    );
    assert_eq!(Interval::of_net(&net("fd00::/64")).1, None);
}

#[test]
fn the_mapped_form_of_an_address_is_the_address() {
    assert_eq!(bits_of(ip("::ffff:10.0.0.1")), bits_of(ip("10.0.0.1")));
    assert_eq!(address_of(bits_of(ip("::ffff:10.0.0.1"))), ip("10.0.0.1"));
    assert_eq!(address_of(bits_of(ip("::1"))), ip("::1"));
}

#[test]
fn buggy_addresses_are_counted_without_a_walk() {
    for (cidr, want) in [
        ("10.0.0.0/8", 131_072),
        ("10.0.0.0/24", 2),
        ("10.0.0.0/25", 1),
        ("10.0.0.128/25", 1),
        ("10.0.0.64/26", 0),
        ("10.0.0.0/32", 1),
        ("10.0.0.255/32", 1),
        ("10.0.0.1/32", 0),
        ("0.0.0.0/0", 1 << 25),
        ("fd00::/120", 0),
    ] {
        assert_eq!(Interval::of_net(&net(cidr)).0.count_buggy(), want, "{cidr}");
    }
}

proptest! {
    #[test]
    fn cidrs_cover_the_range_without_gap_or_overlap(a: u32, b: u32) {
        let (first, last) = (a.min(b), a.max(b));
        let cidrs = cidrs_of(Ipv4Addr::from_bits(first).into(), Ipv4Addr::from_bits(last).into());
        prop_assert!(cidrs.len() <= 62);
        let mut next = bits_of(Ipv4Addr::from_bits(first).into());
        for cidr in &cidrs {
            let (interval, rest) = Interval::of_net(cidr);
            prop_assert_eq!(rest, None);
            prop_assert_eq!(interval.first, next);
            prop_assert_eq!(cidr.trunc(), *cidr);
            next = interval.last + 1;
        }
        prop_assert_eq!(next - 1, bits_of(Ipv4Addr::from_bits(last).into()));
        // The fewest: no two neighbours are halves of one CIDR.
        for pair in cidrs.windows(2) {
            prop_assert!(pair[0].supernet() != pair[1].supernet());
        }
    }

    #[test]
    fn ipv6_cidrs_cover_the_range_without_gap_or_overlap(a: u128, b: u128) {
        let (first, last) = (a.min(b), a.max(b));
        let cidrs = cidrs_of(Ipv6Addr::from_bits(first).into(), Ipv6Addr::from_bits(last).into());
        prop_assert!(cidrs.len() <= 254);
        let mut next = Some(first);
        for cidr in &cidrs {
            prop_assert_eq!(Some(plain_bits(cidr.network())), next);
            next = plain_bits(cidr.broadcast()).checked_add(1);
        }
        prop_assert_eq!(next, last.checked_add(1));
    }

    #[test]
    fn buggy_counts_equal_a_walk(first in 0_u32..70_000, len in 0_u32..2_000) {
        let interval = Interval {
            first: bits_of(Ipv4Addr::from_bits(first).into()),
            last: bits_of(Ipv4Addr::from_bits(first + len).into()),
        };
        let walked = (interval.first..=interval.last).filter(|bits| is_buggy(*bits)).count();
        prop_assert_eq!(interval.count_buggy(), u128::try_from(walked).unwrap());
    }
}
