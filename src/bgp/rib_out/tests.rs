use super::*;

#[test]
fn ten_thousand_equal_routes_are_few_messages() {
    let mut rib = RibOut::new();
    let attributes = Arc::new(Attributes {
        origin: crate::bgp::Origin::Igp,
        local_pref: 100,
        communities: Box::default(),
    });
    for n in 0..10_000_u32 {
        let address = Ipv4Addr::from_bits(0x0a00_0000 + n);
        rib.set(
            IpNet::from(std::net::IpAddr::from(address)),
            Some(Arc::clone(&attributes)),
        );
    }
    rib.start(Session {
        context: Context {
            ipv4: true,
            ipv6: true,
            four_octet: true,
            ..Context::default()
        },
        my_asn: 65_000,
        next_hop_v4: Some(Ipv4Addr::new(192, 0, 2, 1)),
        next_hop_v6: None,
    });
    let mut count = 0;
    while let Some(message) = rib.poll_message() {
        assert!(message.len() <= 4096);
        super::super::wire::decode(&message, &Context::default()).unwrap();
        count += 1;
    }
    assert_eq!(count, 13 + 2);
}
