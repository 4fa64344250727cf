//! Any frame as ARP: decoding never panics, what was decoded is encoded to the same, and an answer goes to one station.
#![no_main]

use std::net::Ipv4Addr;
use std::sync::{Arc, LazyLock};

use ferrolb::layer2::announced::Announced;
use ferrolb::layer2::conflict::claim;
use ferrolb::layer2::responder::{self, Interface};
use ferrolb::layer2::wire::arp::{Arp, FRAME, Operation};
use ferrolb::layer2::wire::is_station;
use ferrolb::layer2::{Kind, MacAddr};
use libfuzzer_sys::fuzz_target;

const HERE: MacAddr = MacAddr(2, 0, 0, 0, 0, 1);

/// A /24, so that a change of the last octet of a target still hits.
static ANNOUNCED: LazyLock<Announced> = LazyLock::new(|| {
    let mut announced = Announced::default();
    for low in 0..=255 {
        announced.insert(Ipv4Addr::new(192, 0, 2, low).into(), Arc::default());
    }
    announced
});

fuzz_target!(|frame: &[u8]| {
    let decoded = Arp::decode(frame);
    if let Ok(arp) = decoded {
        let mut buffer = [0xa5; FRAME];
        assert_eq!(arp.encode(&mut buffer), FRAME);
        assert_eq!(buffer, frame[..FRAME]);
    }
    if let Ok((ip, mac)) = claim(Kind::Arp, frame) {
        assert!(ip.is_ipv4() && is_station(mac));
    }
    if let Ok(answer) = responder::answer(Kind::Arp, frame, &Interface { mac: HERE }, &ANNOUNCED) {
        let request = decoded.expect("an answer has a request");
        let reply = Arp::decode(answer.frame.as_bytes()).expect("an answer is ARP");
        assert_eq!(reply.operation, Operation::Reply);
        assert!(is_station(reply.destination));
        assert_eq!(reply.destination, request.sender_hardware_address);
        assert_eq!(
            reply.sender_protocol_address,
            request.target_protocol_address
        );
        assert_eq!((reply.source, reply.sender_hardware_address), (HERE, HERE));
    }
});
