use super::*;
use std::net::Ipv4Addr;

mod framing;

mod notifications;

mod opens;

mod packing;

mod property;

mod updates;

/// A whole message of this type.
fn whole(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut message = vec![0xff; 16];
    message.extend_from_slice(&u16::try_from(HEADER + body.len()).unwrap().to_be_bytes());
    message.push(kind);
    message.extend_from_slice(body);
    message
}

/// Octets from hexadecimal digits; spaces are for the reader.
fn hex(digits: &str) -> Vec<u8> {
    let digits: Vec<u32> = digits
        .chars()
        .filter(|c| !c.is_whitespace())
        .map(|c| c.to_digit(16).unwrap())
        .collect();
    assert_eq!(digits.len() % 2, 0, "octets have two digits");
    digits
        .chunks(2)
        .map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap())
        .collect()
}

/// What both sides speak today.
const MODERN: Context = Context {
    internal: false,
    four_octet: true,
    extended: false,
    refresh: true,
    enhanced_refresh: true,
    ipv4: true,
    ipv6: true,
    extended_next_hop: false,
};
