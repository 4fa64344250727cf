//! Any frame as a neighbour solicitation: decoding never panics, and an answer is a valid advertisement.
//!
//! A second try with the checksum put right lets the fuzzer past it.
#![no_main]

use std::net::Ipv6Addr;
use std::sync::{Arc, LazyLock};

use ferrolb::layer2::announced::Announced;
use ferrolb::layer2::conflict::claim;
use ferrolb::layer2::responder::{self, Interface};
use ferrolb::layer2::wire::ndp::{ADVERTISEMENT_FRAME, Solicitation};
use ferrolb::layer2::wire::{is_station, rtnl};
use ferrolb::layer2::{Kind, MacAddr};
use libfuzzer_sys::fuzz_target;

const HERE: MacAddr = MacAddr(2, 0, 0, 0, 0, 1);

static ANNOUNCED: LazyLock<Announced> = LazyLock::new(|| {
    let mut announced = Announced::default();
    for low in 0..=255 {
        announced.insert(
            Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, low).into(),
            Arc::default(),
        );
    }
    announced
});

/// The one's complement sum of a frame's ICMPv6 message and pseudo header, RFC 8200 §8.1.
fn sum(frame: &[u8]) -> Option<u16> {
    let length = usize::from(u16::from_be_bytes(frame.get(18..20)?.try_into().ok()?));
    let message = frame.get(54..54 + length)?;
    let mut sum = u64::try_from(length).ok()? + 58;
    for pair in frame.get(22..54)?.chunks(2).chain(message.chunks(2)) {
        sum += u64::from(pair[0]) << 8 | u64::from(*pair.get(1).unwrap_or(&0));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(sum).ok()
}

fn check(frame: &[u8]) {
    let decoded = Solicitation::decode(frame);
    if let Ok((ip, mac)) = claim(Kind::Ndp, frame) {
        assert!(ip.is_ipv6() && is_station(mac));
    }
    if let Ok(answer) = responder::answer(Kind::Ndp, frame, &Interface { mac: HERE }, &ANNOUNCED) {
        let solicitation = decoded.expect("an answer has a solicitation");
        let octets = answer.frame.as_bytes();
        assert_eq!(octets.len(), ADVERTISEMENT_FRAME);
        assert_eq!(sum(octets), Some(0xffff), "checksum");
        assert_eq!(octets[54..56], [136, 0]);
        assert_eq!(octets[62..78], solicitation.target.octets());
        let solicited = octets[58] & 0x40 != 0;
        assert_eq!(solicited, !solicitation.source.is_unspecified());
        assert_eq!(
            octets[0] & 1 == 0,
            solicited,
            "to one station if solicited, to all nodes if not"
        );
    }
}

fuzz_target!(|frame: &[u8]| {
    check(frame);
    let mut mended = frame.to_vec();
    if let Some(place) = mended.get_mut(56..58) {
        place.copy_from_slice(&[0, 0]);
        if let Some(sum) = sum(&mended) {
            mended[56..58].copy_from_slice(&(!sum).to_be_bytes());
            check(&mended);
        }
    }
    let _ = rtnl::decode(frame);
});
