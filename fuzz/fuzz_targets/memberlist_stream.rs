//! Any stream in any pieces, as it is, compressed and encrypted: decoding never panics, and the outcome does not depend on
//! the pieces.
#![no_main]

use std::sync::LazyLock;

use ferrolb::memberlist::keyring::Keyring;
use ferrolb::memberlist::wire::{Encoder, Limits, Message, StreamDecoder, StreamFault};
use libfuzzer_sys::fuzz_target;

static KEYRING: LazyLock<Keyring> =
    LazyLock::new(|| Keyring::from_secret(b"fuzz").expect("the secret is not empty"));

fn feed(
    keyring: Option<&Keyring>,
    bytes: &[u8],
    step: usize,
) -> Result<Option<Message>, StreamFault> {
    let mut decoder = StreamDecoder::new(keyring.cloned(), Limits::default());
    for piece in bytes.chunks(step) {
        if let Some(message) = decoder.feed(piece)? {
            return Ok(Some(message));
        }
    }
    decoder.finish().map(|()| None)
}

fuzz_target!(|input: (u8, &[u8])| {
    let (step, bytes) = input;
    let step = usize::from(step).max(1);
    for keyring in [None, Some(&*KEYRING)] {
        assert_eq!(
            feed(keyring, bytes, step),
            feed(keyring, bytes, bytes.len().max(1))
        );
        for compress in [false, true] {
            let encoder = Encoder {
                keyring: keyring.cloned(),
                compress,
            };
            if let Ok(framed) = encoder.frame(bytes, [0; 12]) {
                assert_eq!(
                    feed(keyring, &framed, step),
                    feed(keyring, &framed, framed.len())
                );
            }
        }
    }
});
