use pnet_base::MacAddr;
use proptest::prelude::*;

use super::{Abilities, Kin, MAX_STATIONS};
use crate::memberlist::wire::Name;

#[test]
fn our_kind_is_known_by_its_metadata_and_nobody_else_is() {
    for fast in [false, true] {
        let abilities = Abilities { fast };
        assert_eq!(Abilities::from_meta(&abilities.to_meta()), Some(abilities));
    }
    assert_eq!(
        Abilities::from_meta(b"ferrolb/1 later fast words"),
        Some(Abilities { fast: true })
    );
    for other in [
        &b""[..],
        b"ferrolb",
        b"ferrolb/10 fast",
        b"fast ferrolb/1",
        b"\xff",
    ] {
        assert_eq!(Abilities::from_meta(other), None, "{other:?}");
    }
}

fn some() -> Vec<Kin> {
    vec![
        Kin::Question {
            nonce: 0x0102_0304_0506_0708,
            incarnation: 9,
            name: Name::new("node-b").unwrap(),
        },
        Kin::Answer {
            nonce: u64::MAX,
            heard: true,
        },
        Kin::Stations(vec![MacAddr::new(2, 0, 0, 0, 0, 1)]),
        Kin::Stations(Vec::new()),
    ]
}

#[test]
fn what_is_said_is_understood_and_truncations_are_not() {
    for message in some() {
        let bytes = message.encode();
        assert_eq!(Kin::decode(&bytes), Some(message.clone()));
        for length in 0..bytes.len() {
            assert_eq!(Kin::decode(&bytes[..length]), None, "{message:?}");
        }
        // A later version may add to it.
        let longer = [&bytes[..], b"more"].concat();
        assert_eq!(Kin::decode(&longer), Some(message));
    }
}

#[test]
fn bytes_are_these() {
    let bytes = some()[0].encode();
    assert_eq!(
        bytes,
        b"FLB\x01\x01\x01\x02\x03\x04\x05\x06\x07\x08\0\0\0\x09\x06node-b"
    );
}

#[test]
fn more_stations_than_a_node_has_are_neither_told_nor_taken() {
    let many = vec![MacAddr::new(2, 0, 0, 0, 0, 1); MAX_STATIONS + 9];
    let bytes = Kin::Stations(many).encode();
    match Kin::decode(&bytes) {
        Some(Kin::Stations(told)) => assert_eq!(told.len(), MAX_STATIONS),
        other => panic!("{other:?}"),
    }
    let mut forged = bytes;
    forged[5] = 65;
    forged.extend_from_slice(&[0; 6]);
    assert_eq!(Kin::decode(&forged), None);
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..64), kind in 0_u8..5) {
        let _ = Kin::decode(&bytes);
        let _ = Abilities::from_meta(&bytes);
        let forged = [&b"FLB\x01"[..], &[kind], &bytes].concat();
        if let Some(message) = Kin::decode(&forged) {
            prop_assert_eq!(Kin::decode(&message.encode()), Some(message));
        }
    }
}
