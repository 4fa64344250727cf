use super::*;

const NONCE: NonceBytes = *b"nonce-of-12b";
const HEADER: &[u8] = &[10, 0, 0, 0, 40];

fn keyring() -> Keyring {
    Keyring::from_secret(b"AAECAwQFBgcICQoLDA0ODw").unwrap()
}

/// Seals with a key given as it is, the version and padding as told.
fn sealed_with(key: &[u8; 16], version: u8, plain: &[u8]) -> Vec<u8> {
    let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, key).unwrap());
    let mut sealed = plain.to_vec();
    key.seal_in_place_append_tag(
        Nonce::assume_unique_for_key(NONCE),
        Aad::empty(),
        &mut sealed,
    )
    .unwrap();
    [&[version][..], &NONCE, &sealed].concat()
}

fn opened(keyring: &Keyring, aad: &[u8], body: &[u8]) -> Result<Vec<u8>, Dropped> {
    let mut body = body.to_vec();
    keyring.open(aad, &mut body).map(|()| body)
}

#[test]
fn the_key_is_the_head_of_the_secret_filled_up_with_the_digest_of_nothing() {
    let cases: [(&[u8], &[u8; 16]); 4] = [
        (b"AAECAwQFBgcICQoLDA0ODw", b"AAECAwQFBgcICQoL"),
        (b"AAECAwQFBgcICQoL", b"AAECAwQFBgcICQoL"),
        (b"s3cret", b"s3cret\xe3\xb0\xc4\x42\x98\xfc\x1c\x14\x9a\xfb"),
        // A line break is part of the secret.
        (b"s3cret\n", b"s3cret\n\xe3\xb0\xc4\x42\x98\xfc\x1c\x14\x9a"),
    ];
    for (secret, key) in cases {
        let keyring = Keyring::from_secret(secret).unwrap();
        let sealed = sealed_with(key, 1, b"hello");
        assert_eq!(opened(&keyring, &[], &sealed), Ok(b"hello".to_vec()));
    }
}

#[test]
fn an_empty_secret_is_no_encryption() {
    assert!(Keyring::from_secret(b"").is_none());
}

#[test]
fn what_is_sealed_is_opened_with_the_same_key_and_additional_data_only() {
    let mut sealed = vec![0xff];
    keyring()
        .seal(NONCE, HEADER, b"hello", &mut sealed)
        .unwrap();
    assert_eq!(sealed.remove(0), 0xff, "sealed bytes are appended");
    assert_eq!(sealed.len(), OVERHEAD + 5);
    assert_eq!(sealed[0], 1);
    assert_eq!(opened(&keyring(), HEADER, &sealed), Ok(b"hello".to_vec()));

    let undecryptable = Err(Dropped::Undecryptable);
    assert_eq!(opened(&keyring(), &[], &sealed), undecryptable);
    let other = Keyring::from_secret(b"another secret, long enough").unwrap();
    assert_eq!(opened(&other, HEADER, &sealed), undecryptable);
    for at in 0..sealed.len() {
        let mut altered = sealed.clone();
        altered[at] ^= 0x80;
        assert_eq!(
            opened(&keyring(), HEADER, &altered),
            undecryptable,
            "byte {at}"
        );
        assert_eq!(
            opened(&keyring(), HEADER, &sealed[..at]),
            undecryptable,
            "cut at {at}"
        );
    }
}

#[test]
fn a_sealed_nothing_is_neither_sent_nor_taken() {
    assert_eq!(
        keyring().seal(NONCE, &[], b"", &mut Vec::new()),
        Err(Unsealable)
    );
    let nothing = sealed_with(b"AAECAwQFBgcICQoL", 1, b"");
    assert_eq!(opened(&keyring(), &[], &nothing), Err(Dropped::Empty));
    let padding_alone = sealed_with(b"AAECAwQFBgcICQoL", 0, &[16; 16]);
    assert_eq!(opened(&keyring(), &[], &padding_alone), Err(Dropped::Empty));
}

#[test]
fn version_0_is_taken_with_sound_padding_only() {
    let version_0 =
        |plain: &[u8]| opened(&keyring(), &[], &sealed_with(b"AAECAwQFBgcICQoL", 0, plain));
    let mut padded = b"hello".to_vec();
    padded.extend([11; 11]);
    assert_eq!(version_0(&padded), Ok(b"hello".to_vec()));

    let mut uneven = padded.clone();
    uneven[7] = 10;
    let unsound: [&[u8]; 6] = [
        b"", // as Go crashes: more padding than there is
        &[255; 16], &[17; 32], &[0; 16], &[1; 15], &uneven,
    ];
    for plain in unsound {
        assert_eq!(version_0(plain), Err(Dropped::Malformed), "{plain:?}");
    }
}

#[test]
fn debug_output_keeps_the_key_secret() {
    assert_eq!(format!("{:?}", keyring()), "Keyring(..)");
}
