use super::*;

fn loopback() -> Peer {
    Peer {
        address: Ipv4Addr::LOCALHOST.into(),
        source: Some(Ipv4Addr::LOCALHOST.into()),
        interface: None,
        multihop: false,
    }
}

#[test]
fn each_session_has_a_port_of_its_own_in_the_range_and_keeps_it() {
    let mut ports = Ports::new(SystemRandom::new());
    let mut mouths: Vec<_> = (0..200).map(|_| Mouth::new(&loopback())).collect();
    let mut seen = BTreeSet::new();
    for mouth in &mut mouths {
        // Whether anybody listens does not matter.
        let _ = mouth.send(b"x", &mut ports);
        let port = mouth.source_port.unwrap();
        assert!(SOURCE_PORTS.contains(&port));
        assert!(seen.insert(port));
        // The socket breaks: the next one has the same port.
        mouth.open = None;
        let _ = mouth.send(b"x", &mut ports);
        assert_eq!(mouth.source_port, Some(port));
    }
    for mouth in &mut mouths {
        mouth.close(&mut ports);
    }
    assert!(ports.taken.is_empty());
}

#[test]
fn an_address_that_the_host_does_not_have_is_said_and_tried_again() {
    let mut ports = Ports::new(SystemRandom::new());
    let mut mouth = Mouth::new(&Peer {
        source: Some(Ipv4Addr::new(192, 0, 2, 77).into()),
        ..loopback()
    });
    for _ in 0..2 {
        let error = mouth.send(b"x", &mut ports).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable);
        assert!(mouth.open.is_none());
    }
    let mut mouth = Mouth::new(&Peer {
        interface: Some("none".into()),
        ..loopback()
    });
    let error = mouth.send(b"x", &mut ports).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
}
