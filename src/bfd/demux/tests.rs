use super::*;

fn number(n: u32) -> NonZeroU32 {
    NonZeroU32::new(n).unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn place(address: &str) -> Place {
    Place {
        address: ip(address),
        source: None,
        interface: None,
        multihop: false,
    }
}

fn from(source: &str) -> Origin {
    Origin {
        source: ip(source),
        destination: Some(ip("192.0.2.1")),
        interface: 2,
        multihop: false,
    }
}

#[test]
fn your_discriminator_decides_whatever_the_address_is() {
    let mut demux = Demux::default();
    demux.insert(number(10), place("192.0.2.10"), 'a');
    demux.insert(number(20), place("192.0.2.20"), 'b');
    assert_eq!(demux.find(Some(number(20)), &from("192.0.2.10")), Some('b'));
    assert_eq!(
        demux.find(Some(number(10)), &from("203.0.113.9")),
        Some('a')
    );
    // RFC 5880 §6.8.6: if the session is not found, the packet MUST be discarded: the address does not help.
    assert_eq!(demux.find(Some(number(30)), &from("192.0.2.10")), None);
}

#[test]
fn without_it_the_address_decides() {
    let mut demux = Demux::default();
    demux.insert(number(10), place("192.0.2.10"), 'a');
    assert_eq!(demux.find(None, &from("192.0.2.10")), Some('a'));
    assert_eq!(demux.find(None, &from("192.0.2.11")), None);
    demux.remove('a');
    assert_eq!(demux.find(None, &from("192.0.2.10")), None);
    assert_eq!(demux.find(Some(number(10)), &from("192.0.2.10")), None);
    assert!(!demux.is_taken(number(10)));
}

#[test]
fn the_port_tells_the_kinds_of_sessions_apart() {
    let mut demux = Demux::default();
    demux.insert(number(10), place("192.0.2.10"), "one hop");
    demux.insert(
        number(20),
        Place {
            multihop: true,
            ..place("192.0.2.10")
        },
        "several",
    );
    let far = Origin {
        multihop: true,
        ..from("192.0.2.10")
    };
    assert_eq!(demux.find(None, &from("192.0.2.10")), Some("one hop"));
    assert_eq!(demux.find(None, &far), Some("several"));
    // Nobody far away gets at a session over one hop, not even with its discriminator.
    assert_eq!(demux.find(Some(number(10)), &far), None);
    assert_eq!(demux.find(Some(number(20)), &from("192.0.2.10")), None);
    assert!(demux.is_neighbor(ip("192.0.2.10")));
    demux.remove("one hop");
    assert!(!demux.is_neighbor(ip("192.0.2.10")));
}

#[test]
fn one_link_local_address_on_two_links_is_two_peers() {
    let mut demux = Demux::default();
    for (interface, discriminator, key) in [(2, 10, "eth0"), (3, 20, "eth1")] {
        let place = Place {
            interface: Some(interface),
            ..place("fe80::1")
        };
        demux.insert(number(discriminator), place, key);
    }
    let on = |interface| Origin {
        interface,
        ..from("fe80::1")
    };
    assert_eq!(demux.find(None, &on(2)), Some("eth0"));
    assert_eq!(demux.find(None, &on(3)), Some("eth1"));
    assert_eq!(demux.find(None, &on(4)), None);
    demux.set_interface("eth0", Some(4));
    assert_eq!(demux.find(None, &on(4)), Some("eth0"));
    assert_eq!(demux.find(None, &on(2)), None);
}

#[test]
fn a_session_with_an_address_of_its_own_comes_before_one_without() {
    let mut demux = Demux::default();
    let fixed = Place {
        source: Some(ip("192.0.2.1")),
        ..place("192.0.2.10")
    };
    demux.insert(number(10), fixed, "fixed");
    demux.insert(number(20), place("192.0.2.10"), "any");
    assert_eq!(demux.find(None, &from("192.0.2.10")), Some("fixed"));
    let to_another = Origin {
        destination: Some(ip("192.0.2.2")),
        ..from("192.0.2.10")
    };
    assert_eq!(demux.find(None, &to_another), Some("any"));
    demux.remove("any");
    assert_eq!(demux.find(None, &to_another), None);
}

#[test]
fn an_echo_finds_the_session_that_sent_it() {
    let mut demux = Demux::default();
    demux.insert(number(10), place("192.0.2.10"), 'a');
    assert_eq!(demux.echo(number(10)), Some('a'));
    assert_eq!(demux.echo(number(11)), None);
}
