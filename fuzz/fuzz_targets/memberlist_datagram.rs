//! Any datagram, as it is, compressed and encrypted: decoding never panics, keeps its bounds, and what was decoded is
//! encoded and decoded to the same.
#![no_main]

use std::sync::LazyLock;

use ferrolb::memberlist::keyring::Keyring;
use ferrolb::memberlist::wire::kin::Kin;
use ferrolb::memberlist::wire::{
    Datagram, Encoder, Limits, MAX_PARTS, Message, decode_datagram, encode_message,
};
use libfuzzer_sys::fuzz_target;

static KEYRING: LazyLock<Keyring> =
    LazyLock::new(|| Keyring::from_secret(b"fuzz").expect("the secret is not empty"));

fn check(datagram: Datagram, limits: &Limits) {
    assert!(datagram.messages.len() + datagram.dropped.len() <= MAX_PARTS);
    for message in datagram.messages {
        if let Message::User(data) = &message
            && let Some(kin) = Kin::decode(data)
        {
            assert_eq!(Kin::decode(&kin.encode()), Some(kin));
        }
        let mut bytes = Vec::new();
        encode_message(&message, &mut bytes);
        let again = decode_datagram(&bytes, None, limits).expect("what was taken is taken again");
        assert_eq!(again.messages, [message]);
    }
}

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits::default();
    if let Ok(datagram) = decode_datagram(bytes, None, &limits) {
        check(datagram, &limits);
    }
    let _ = Kin::decode(bytes);
    let _ = decode_datagram(bytes, Some(&KEYRING), &limits);
    let encoder = Encoder {
        keyring: Some(KEYRING.clone()),
        compress: true,
    };
    if let Ok(sealed) = encoder.datagram(&[bytes], true, [0; 12])
        && let Ok(datagram) = decode_datagram(&sealed, Some(&KEYRING), &limits)
    {
        check(datagram, &limits);
    }
});
