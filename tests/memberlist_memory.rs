//! What one packet may cost in memory, whatever is in it: counted by the allocator, so this test has a program of its own.

#![expect(clippy::unwrap_used, reason = "a test: a panic is its report")]

use ferrolb::memberlist::keyring::Keyring;
use ferrolb::memberlist::wire::{
    Encoder, Limits, Message, Name, NodeState, PushPull, State, StreamDecoder, Versions, compound,
    decode_datagram,
};

#[path = "support/heap.rs"]
mod heap;

use heap::costs;

/// The most one datagram, or one stream that turns out to be garbage, may hold at a time.
const BUDGET: usize = 2 << 20;

fn keyring() -> Keyring {
    Keyring::from_secret(b"a secret of more than 16 bytes").unwrap()
}

fn compressed(plain: &[u8]) -> Vec<u8> {
    let encoder = Encoder {
        keyring: None,
        compress: true,
    };
    encoder.frame(plain, [0; 12]).unwrap()
}

fn sealed(plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    keyring().seal([1; 12], &[], plain, &mut out).unwrap();
    out
}

/// Declared lengths of every width where lengths may be.
fn declared() -> Vec<Vec<u8>> {
    let lengths: [&[u8]; 9] = [
        b"\xda\xff\xff",
        b"\xdb\xff\xff\xff\xff",
        b"\xc5\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\xdc\xff\xff",
        b"\xdd\xff\xff\xff\xff",
        b"\xde\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xc9\xff\xff\xff\xff",
    ];
    let mut packets = Vec::new();
    for kind in 0..=13 {
        for length in lengths {
            packets.push([&[kind][..], length].concat());
            for field in [
                "Payload", "Node", "Addr", "Buf", "Unknown", "Error", "Nodes",
            ] {
                let mut packet = vec![kind, 0x81, 0xa0 | u8::try_from(field.len()).unwrap()];
                packet.extend(field.as_bytes());
                packet.extend(length);
                packet.extend(vec![0; 60_000]);
                packets.push(packet);
            }
        }
    }
    packets
}

fn datagrams() -> Vec<(&'static str, Vec<u8>)> {
    // User data: the parts are kept as they are.
    let parts: Vec<Vec<u8>> = (0..127).map(|_| vec![8; 509]).collect();
    let many = compound(&parts).unwrap();
    let fit = |bytes: Vec<u8>| {
        assert!(bytes.len() <= 65_507);
        bytes
    };
    let zeros = [&[8][..], &vec![0; 65_000]].concat();
    vec![
        ("127 parts", fit(many.clone())),
        ("127 parts, compressed", fit(compressed(&many))),
        ("one long part", fit(zeros.clone())),
        ("compressed to the limit", fit(compressed(&vec![8; 65_536]))),
        ("a bomb", fit(compressed(&vec![8; 4 << 20]))),
        ("sealed", fit(sealed(&zeros))),
        ("sealed bomb", fit(sealed(&compressed(&vec![8; 4 << 20])))),
    ]
}

#[test]
fn no_datagram_costs_more_than_2_mib() {
    let keyring = keyring();
    let mut worst = 0;
    let declared = declared().into_iter().map(|packet| ("declared", packet));
    for (what, packet) in datagrams().into_iter().chain(declared) {
        for keyring in [None, Some(&keyring)] {
            let (_, _, peak) = costs(|| decode_datagram(&packet, keyring, &Limits::default()));
            assert!(peak <= BUDGET, "{what}: {peak} bytes");
            worst = worst.max(peak);
        }
    }
    println!("worst datagram: {worst} bytes");
    assert!(worst > 64 << 10, "nothing was counted");
}

fn fed(bytes: &[u8], keyring: Option<Keyring>) -> (bool, usize) {
    let (whole, _, peak) = costs(|| {
        let mut decoder = StreamDecoder::new(keyring, Limits::default());
        bytes
            .chunks(8 << 10)
            .find_map(|piece| decoder.feed(piece).transpose())
            .is_some_and(|found| found.is_ok())
    });
    (whole, peak)
}

#[test]
fn no_stream_of_garbage_costs_more_than_2_mib() {
    let limit = u32::try_from(Limits::default().stream).unwrap();
    let frame = [&[10][..], &limit.to_be_bytes(), &vec![7; 2 << 20]].concat();
    let raw = [
        &b"\x09\x82\xa4Algo\x00\xa3Buf\xdb"[..],
        &(limit - 64).to_be_bytes(),
    ]
    .concat();
    let lzw = [&raw[..], &vec![7; 2 << 20]].concat();
    let mut streams = declared();
    streams.push(frame);
    streams.push(lzw);
    streams.push(vec![0x06; 4 << 20]);
    streams.push(compressed(&vec![0x0d; 10 << 20]));
    let mut worst = 0;
    for stream in streams {
        for keyring in [None, Some(keyring())] {
            let (taken, peak) = fed(&stream, keyring);
            assert!(!taken);
            assert!(
                peak <= BUDGET,
                "{peak} bytes for {:02x?}",
                stream.get(..24).unwrap_or(&stream)
            );
            worst = worst.max(peak);
        }
    }
    println!("worst stream of garbage: {worst} bytes");
    assert!(worst > 1 << 20, "nothing was counted");
}

#[test]
fn the_largest_cluster_costs_what_its_records_do() {
    let nodes: Vec<NodeState> = (0..10_000_u32)
        .map(|i| {
            let [_, b, c, d] = i.to_be_bytes();
            NodeState {
                name: Name::new(&format!("node-{i:05}.rack-17.example.org")).unwrap(),
                addr: [10, b, c, d].into(),
                port: 7946,
                meta: Vec::new(),
                incarnation: 1,
                state: State::Alive,
                vsn: Versions::OURS,
            }
        })
        .collect();
    let all = Message::PushPull(PushPull {
        join: true,
        nodes,
        refused: 0,
    });
    let encoder = Encoder {
        keyring: Some(keyring()),
        compress: true,
    };
    let bytes = encoder.stream(&all, [2; 12]).unwrap();
    assert!(bytes.len() < Limits::default().stream);
    let (taken, peak) = fed(&bytes, encoder.keyring);
    assert!(taken);
    println!("10,000 members: {} bytes, {peak} held", bytes.len());
    assert!(peak <= 6 << 20, "{peak} bytes");
}
