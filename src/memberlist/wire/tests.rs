use super::*;

mod bounds;

mod property;

mod stream;

mod tolerance;

use crate::memberlist::keyring::Keyring;

fn limits() -> Limits {
    Limits {
        loopback: true,
        ..Limits::default()
    }
}

fn keyring() -> Keyring {
    Keyring::from_secret(b"AAECAwQFBgcICQoLDA0ODw").unwrap()
}

fn name(name: &str) -> Name {
    Name::new(name).unwrap()
}

fn ping(seq_no: u32, node: &str) -> Message {
    Message::Ping(Ping {
        seq_no,
        node: Name::new(node),
    })
}

fn alive(node: &str) -> Alive {
    Alive {
        incarnation: 1,
        node: name(node),
        addr: [10, 0, 0, 1].into(),
        port: 7946,
        meta: Vec::new(),
        vsn: Versions::OURS,
    }
}

fn node_state(node: &str, state: State) -> NodeState {
    NodeState {
        name: name(node),
        addr: [10, 0, 0, 1].into(),
        port: 7946,
        meta: Vec::new(),
        incarnation: 1,
        state,
        vsn: Versions::OURS,
    }
}

fn push_pull(nodes: Vec<NodeState>) -> Message {
    Message::PushPull(PushPull {
        join: true,
        nodes,
        refused: 0,
    })
}

fn encoded(message: &Message) -> Vec<u8> {
    let mut out = Vec::new();
    encode_message(message, &mut out);
    out
}

fn datagram(bytes: &[u8]) -> Result<Datagram, Dropped> {
    decode_datagram(bytes, None, &limits())
}

fn one(bytes: &[u8]) -> Result<Message, Dropped> {
    let mut datagram = datagram(bytes)?;
    assert_eq!((datagram.messages.len(), datagram.dropped.len()), (1, 0));
    Ok(datagram.messages.remove(0))
}

/// A message of raw LZW: nothing of ours looked at it.
fn compressed(lzw: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    body::encode_compress(lzw, &mut out);
    out
}

fn with_crc(bytes: &[u8]) -> Vec<u8> {
    [&[12][..], &crc32fast::hash(bytes).to_be_bytes(), bytes].concat()
}

fn sealed(plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    keyring().seal([7; 12], &[], plain, &mut out).unwrap();
    out
}

/// Data that says the same with ever fewer bytes: `n` bytes of output for about `n / 2500` of input.
fn bomb(n: usize) -> Vec<u8> {
    compress::compress(&vec![0; n])
}

#[test]
fn every_reason_has_a_word_of_its_own() {
    let mut words: Vec<_> = Dropped::ALL
        .iter()
        .map(|dropped| dropped.as_str())
        .collect();
    words.sort_unstable();
    words.dedup();
    assert_eq!(words.len(), Dropped::ALL.len());
}

#[test]
fn names_are_what_kubernetes_can_call_a_node() {
    assert!(Name::new(&"n".repeat(253)).is_some());
    for bad in ["", &"n".repeat(254), "a b", "a\nb", "a\0", "é", "\u{7f}"] {
        assert_eq!(Name::new(bad), None, "{bad:?}");
    }
}

#[test]
fn version_vectors_are_six_numbers_in_order() {
    assert_eq!(
        Versions::from_bytes(&[1, 5, 2, 0, 0, 0]),
        Some(Versions::OURS)
    );
    let bad: [&[u8]; 9] = [
        &[],
        &[1],
        &[1, 5, 2, 0, 0],
        &[1, 5, 2, 0, 0, 0, 0],
        &[0, 5, 2, 0, 0, 0],
        &[1, 5, 6, 0, 0, 0],
        &[3, 5, 2, 0, 0, 0],
        &[5, 1, 2, 0, 0, 0],
        &[1, 5, 2, 1, 0, 0],
    ];
    for bytes in bad {
        assert_eq!(Versions::from_bytes(bytes), None, "{bytes:?}");
    }
}
