//! Any octets as an OPEN: decoding never panics; what was decoded is encoded to the same; what was refused has a NOTIFICATION.
#![no_main]

use ferrolb::bgp::wire::{Context, MAX_MESSAGE, Message, decode, frame};
use libfuzzer_sys::fuzz_target;

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let body = &body[..body.len().min(MAX_MESSAGE - 19)];
    let mut message = vec![0xff; 16];
    message.extend_from_slice(&u16::try_from(19 + body.len()).expect("short").to_be_bytes());
    message.push(kind);
    message.extend_from_slice(body);
    message
}

fuzz_target!(|body: &[u8]| {
    // As a stream of its own, and as what is behind a header.
    for extended in [false, true] {
        if let Ok(Some(length)) = frame(body, extended) {
            assert!((19..=body.len()).contains(&length));
        }
    }
    let octets = message(1, body);
    match decode(&octets, &Context::default()) {
        Ok(Message::Open(open)) => {
            let mut again = Vec::new();
            open.encode(&mut again);
            assert!(again.len() <= MAX_MESSAGE);
            let _agreed = Context::negotiate(&open, &open);
            assert_eq!(decode(&again, &Context::default()), Ok(Message::Open(open)));
        }
        Ok(other) => panic!("{other:?}"),
        Err(error) => {
            let mut told = Vec::new();
            error.notification(&octets).encode(&mut told);
            assert_eq!(frame(&told, false), Ok(Some(told.len())));
            assert!(!error.to_string().is_empty());
        }
    }
});
