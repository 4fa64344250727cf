//! Memberlist's messages as real Go nodes wrote them: read, and written again byte for byte.

#![expect(clippy::unwrap_used, reason = "a test: a panic is its report")]

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use ferrolb::memberlist::keyring::Keyring;
use ferrolb::memberlist::wire::{
    Ack, Alive, Dead, Encoder, IndirectPing, Limits, Message, Nack, Name, NodeState, Ping,
    PushPull, State, StreamDecoder, Suspect, Versions, compound, decode_datagram, encode_message,
};
use serde::Deserialize;

const LIMITS: Limits = Limits {
    datagram: 64 << 10,
    stream: 1 << 20,
    stream_plain: 8 << 20,
    members: 10_000,
    user: 64 << 10,
    loopback: true,
};

/// What MetalLB's controller makes: the captures' secret.
const SECRET: &[u8] = b"AAECAwQFBgcICQoLDA0ODw";

#[derive(Deserialize)]
struct Captured {
    mode: String,
    transport: String,
    name: String,
    key: Option<String>,
    hex: String,
    inner_hex: String,
    decoded: Vec<String>,
}

#[derive(Deserialize)]
struct Form {
    name: String,
    transport: String,
    hex: String,
}

fn golden(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden/memberlist")
        .join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn captured() -> Vec<Captured> {
    serde_json::from_str(&golden("want.captured.json")).unwrap()
}

fn forms() -> Vec<Form> {
    serde_json::from_str(&golden("want.form-0.1.7.json")).unwrap()
}

fn form(name: &str) -> Vec<u8> {
    let form = forms().into_iter().find(|form| form.name == name);
    unhex(&form.unwrap_or_else(|| panic!("no form {name}")).hex)
}

fn unhex(hex: &str) -> Vec<u8> {
    hex.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn keyring(key: Option<&String>) -> Option<Keyring> {
    key.map(|key| {
        let keyring = Keyring::from_secret(SECRET).unwrap();
        assert_eq!(unhex(key), SECRET[..16], "the captures have one key");
        keyring
    })
}

fn read(transport: &str, bytes: &[u8], keyring: Option<&Keyring>) -> Vec<Message> {
    if transport == "udp" {
        let datagram = decode_datagram(bytes, keyring, &LIMITS).unwrap();
        assert_eq!(datagram.dropped, []);
        return datagram.messages;
    }
    let whole = feed(bytes, bytes.len(), keyring);
    for step in [1, 2, 7, 64] {
        assert_eq!(feed(bytes, step, keyring), whole, "in steps of {step}");
    }
    vec![whole]
}

/// Feeds a stream in steps: the message must come with its last byte and not before.
fn feed(bytes: &[u8], step: usize, keyring: Option<&Keyring>) -> Message {
    let mut decoder = StreamDecoder::new(keyring.cloned(), LIMITS);
    let mut fed = 0;
    for piece in bytes.chunks(step) {
        fed += piece.len();
        if let Some(message) = decoder.feed(piece).unwrap() {
            assert_eq!(fed, bytes.len(), "found before its end");
            assert_eq!(decoder.feed(b"more").unwrap(), None);
            assert_eq!(decoder.finish(), Ok(()));
            return message;
        }
    }
    panic!("no message in {} bytes", bytes.len())
}

fn nonce(transport: &str, bytes: &[u8], encrypted: bool) -> [u8; 12] {
    let at = if transport == "udp" { 1 } else { 6 };
    if encrypted {
        bytes[at..at + 12].try_into().unwrap()
    } else {
        [0; 12]
    }
}

fn optional(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "None".to_owned();
    }
    format!("0x{}", hex(bytes))
}

/// A message in the words of the captures' own decoder (another program, in another language).
fn describe(message: &Message) -> Vec<String> {
    let name = |node: &Option<Name>| node.as_ref().map_or(String::new(), ToString::to_string);
    vec![match message {
        Message::Ping(ping) => {
            let node = name(&ping.node);
            format!("00 ping {{Node=\"{node}\", SeqNo={}}}", ping.seq_no)
        }
        Message::IndirectPing(ping) => format!(
            "01 indirectPing {{Nack={}, Node=\"{}\", Port={}, SeqNo={}, Target={}}}",
            if ping.nack { "True" } else { "False" },
            name(&ping.node),
            ping.port,
            ping.seq_no,
            ping.target
        ),
        Message::Ack(ack) => format!(
            "02 ackResp {{Payload={}, SeqNo={}}}",
            optional(&ack.payload),
            ack.seq_no
        ),
        Message::Suspect(suspect) => format!(
            "03 suspect {{From=\"{}\", Incarnation={}, Node=\"{}\"}}",
            suspect.from, suspect.incarnation, suspect.node
        ),
        Message::Alive(alive) => format!(
            "04 alive {{Addr={}, Incarnation={}, Meta={}, Node=\"{}\", Port={}, Vsn=0x{}}}",
            alive.addr,
            alive.incarnation,
            optional(&alive.meta),
            alive.node,
            alive.port,
            hex(alive.vsn.as_bytes())
        ),
        Message::Dead(dead) => format!(
            "05 dead {{From=\"{}\", Incarnation={}, Node=\"{}\"}}",
            dead.from, dead.incarnation, dead.node
        ),
        Message::PushPull(push_pull) => {
            assert_eq!(push_pull.refused, 0);
            let mut lines = vec![format!(
                "06 pushPull header {{Join={}, Nodes={}, UserStateLen=0}}",
                if push_pull.join { "True" } else { "False" },
                push_pull.nodes.len()
            )];
            lines.extend(push_pull.nodes.iter().enumerate().map(|(i, node)| {
                let (number, word) = match node.state {
                    State::Alive => (0, "alive"),
                    State::Suspect => (1, "suspect"),
                    State::Dead => (2, "dead"),
                    State::Left => (3, "left"),
                };
                format!(
                    "state[{i}] {{Addr={}, Incarnation={}, Meta={}, Name=\"{}\", Port={}, State={number}({word}), Vsn=0x{}}}",
                    node.addr,
                    node.incarnation,
                    optional(&node.meta),
                    node.name,
                    node.port,
                    hex(node.vsn.as_bytes())
                )
            }));
            return lines;
        }
        Message::User(data) => format!("08 user data=b'{}'", String::from_utf8_lossy(data)),
        Message::Nack(nack) => format!("0b nackResp {{SeqNo={}}}", nack.seq_no),
        Message::Err(error) => format!("0d err {{Error=\"{error}\"}}"),
    }]
}

/// The captures' lines about messages, without wrappers and without memberlist 0.2.2's `Source*` fields.
fn wanted(decoded: &[String]) -> Vec<String> {
    let wrappers = [
        "07 ",
        "09 ",
        "0a ",
        "0c ",
        "AES-GCM",
        "-> ",
        "user state",
        "crc=",
        "data=",
    ];
    decoded
        .iter()
        .map(|line| line.trim())
        .filter(|line| !wrappers.iter().any(|wrapper| line.starts_with(wrapper)))
        .map(|line| {
            let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
            let line = line
                .replace("indirectPing{", "indirectPing {")
                .replace("{UserMsgLen=9} ", "")
                .replace(" trailing=0", "");
            match (line.find(", SourceAddr"), line.find("SourcePort=7946")) {
                (Some(from), Some(to)) => {
                    format!("{}{}", &line[..from], &line[to + "SourcePort=7946".len()..])
                }
                _ => line,
            }
        })
        .collect()
}

/// The `Source*` fields of the pings in a capture, as memberlist 0.2.2 writes them.
fn source_fields(decoded: &[String]) -> Option<Vec<u8>> {
    let line = decoded.iter().find(|line| line.contains("SourceAddr="))?;
    let value = |key: &str| {
        let from = line.find(key).unwrap() + key.len();
        let rest = &line[from..];
        rest[..rest.find([',', '}']).unwrap()]
            .trim_matches('"')
            .to_owned()
    };
    let IpAddr::V4(addr) = value("SourceAddr=").parse().unwrap() else {
        panic!("the captures' sources are IPv4");
    };
    let (node, port) = (
        value("SourceNode="),
        value("SourcePort=").parse::<u16>().unwrap(),
    );
    let mut fields = b"\xaaSourceAddr\xa4".to_vec();
    fields.extend(addr.octets());
    fields.extend(b"\xaaSourceNode");
    fields.push(0xa0 | u8::try_from(node.len()).unwrap());
    fields.extend(node.as_bytes());
    fields.extend(b"\xaaSourcePort\xcd");
    fields.extend(port.to_be_bytes());
    Some(fields)
}

/// A message as memberlist 0.2.2 writes it: pings get their three more fields, in the order of their names.
fn encode_as_captured(message: &Message, source: Option<&[u8]>) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_message(message, &mut bytes);
    let behind = match message {
        Message::Ping(_) => 0,
        Message::IndirectPing(_) => b"\xa6Target\xa4....".len(),
        _ => return bytes,
    };
    let source = source.expect("captured pings have a source");
    bytes[1] += 3;
    let at = bytes.len() - behind;
    bytes.splice(at..at, source.iter().copied());
    bytes
}

#[test]
fn all_captured_packets_say_what_another_decoder_read_in_them() {
    let captured = captured();
    assert_eq!(captured.len(), 128);
    for packet in captured {
        let keyring = keyring(packet.key.as_ref());
        let messages = read(&packet.transport, &unhex(&packet.hex), keyring.as_ref());
        let read: Vec<String> = messages.iter().flat_map(describe).collect();
        let want = wanted(&packet.decoded);
        assert_eq!(read, want, "{} {}", packet.mode, packet.name);
    }
}

#[test]
fn all_captured_packets_are_written_again_byte_for_byte() {
    for packet in captured() {
        let label = format!("{} {} {}", packet.mode, packet.transport, packet.name);
        let bytes = unhex(&packet.hex);
        let encoder = Encoder {
            keyring: keyring(packet.key.as_ref()),
            compress: packet.mode.ends_with('1'),
        };
        let messages = read(&packet.transport, &bytes, encoder.keyring.as_ref());
        let source = source_fields(&packet.decoded);
        let nonce = nonce(&packet.transport, &bytes, encoder.keyring.is_some());
        let written = match (&packet.transport[..], &messages[..]) {
            ("udp", messages) => {
                let parts: Vec<Vec<u8>> = messages
                    .iter()
                    .map(|message| encode_as_captured(message, source.as_deref()))
                    .collect();
                let crc = packet.name.starts_with("hasCrc");
                encoder.datagram(&parts, crc, nonce).unwrap()
            }
            ("tcp", [ping @ Message::Ping(_)]) if source.is_some() => encoder
                .frame(&encode_as_captured(ping, source.as_deref()), nonce)
                .unwrap(),
            ("tcp", [message]) => encoder.stream(message, nonce).unwrap(),
            other => panic!("{label}: {other:?}"),
        };
        assert_eq!(hex(&written), packet.hex, "{label}");
        assert!(
            packet.key.is_none() || !hex(&written).contains(&packet.inner_hex),
            "{label}: not encrypted"
        );
    }
}

fn name(name: &str) -> Name {
    Name::new(name).unwrap()
}

fn ping() -> Message {
    Message::Ping(Ping {
        seq_no: 1,
        node: Some(name("node-b")),
    })
}

fn alive(node: &str, addr: &str) -> Message {
    Message::Alive(Alive {
        incarnation: 1,
        node: name(node),
        addr: addr.parse().unwrap(),
        port: 7946,
        meta: Vec::new(),
        vsn: Versions::OURS,
    })
}

fn push_pull(state: State) -> Message {
    Message::PushPull(PushPull {
        join: true,
        nodes: vec![NodeState {
            name: name("node-a"),
            addr: [127, 0, 0, 1].into(),
            port: 7946,
            meta: Vec::new(),
            incarnation: 1,
            state,
            vsn: Versions::OURS,
        }],
        refused: 0,
    })
}

fn indirect_ping() -> Message {
    Message::IndirectPing(IndirectPing {
        seq_no: 7,
        target: [127, 0, 0, 2].into(),
        port: 7946,
        node: Some(name("node-b")),
        nack: true,
    })
}

fn dead(from: &str) -> Message {
    Message::Dead(Dead {
        incarnation: 1,
        node: name("node-b"),
        from: name(from),
    })
}

fn encoded(message: &Message) -> Vec<u8> {
    let mut out = Vec::new();
    encode_message(message, &mut out);
    out
}

/// What Go up to 1.17 writes for the same text: the stream without its first, 9-bit code.
fn without_leading_clear(lzw: &[u8], written: usize) -> Vec<u8> {
    let bit = |at: usize| lzw.get(at / 8).map_or(0, |byte| byte >> (at % 8) & 1);
    (0..written)
        .map(|byte| (0..8).fold(0, |acc, i| acc | bit(9 + 8 * byte + i) << i))
        .collect()
}

#[test]
fn messages_have_the_form_of_0_1_7_byte_for_byte() {
    let suspect = Message::Suspect(Suspect {
        incarnation: 1,
        node: name("node-b"),
        from: name("node-a"),
    });
    let ack = Message::Ack(Ack {
        seq_no: 1,
        payload: Vec::new(),
    });
    let plain = [
        ("ping", ping()),
        ("indirect-ping", indirect_ping()),
        ("ack", ack),
        ("suspect", suspect),
        ("alive", alive("node-a", "127.0.0.1")),
        ("alive-ipv6", alive("node-a", "::1")),
        ("dead", dead("node-a")),
        ("left", dead("node-b")),
        ("nack", Message::Nack(Nack { seq_no: 7 })),
        ("err", Message::Err("boom".to_owned())),
        ("push-pull-1", push_pull(State::Alive)),
        ("push-pull-left", push_pull(State::Left)),
    ];
    for (form_name, message) in plain {
        assert_eq!(
            hex(&encoded(&message)),
            hex(&form(form_name)),
            "{form_name}"
        );
        let transport = forms()
            .into_iter()
            .find(|form| form.name == form_name)
            .unwrap()
            .transport;
        assert_eq!(
            read(&transport, &form(form_name), None),
            [message],
            "{form_name}"
        );
    }
}

#[test]
fn wrappers_have_the_form_of_0_1_7_byte_for_byte() {
    let keyring = Keyring::from_secret(SECRET);
    let nonce: [u8; 12] = std::array::from_fn(|i| u8::try_from(i).unwrap());
    let plain = Encoder {
        keyring: None,
        compress: false,
    };
    let sealed = Encoder {
        keyring: keyring.clone(),
        compress: false,
    };
    let (alive_a, alive_b) = (
        encoded(&alive("node-a", "127.0.0.1")),
        encoded(&alive("node-b", "127.0.0.2")),
    );
    let user = Message::User(b"hello".to_vec());
    let cases = [
        ("user-stream", plain.stream(&user, nonce)),
        (
            "compound-ping-alive",
            compound(&[encoded(&ping()), alive_a.clone()]),
        ),
        ("crc-alive", plain.datagram(&[&alive_a], true, nonce)),
        (
            "udp-encrypted-ping-v1",
            sealed.datagram(&[encoded(&ping())], false, nonce),
        ),
        (
            "tcp-encrypted-push-pull-nocompress",
            sealed.stream(&push_pull(State::Alive), nonce),
        ),
    ];
    for (form_name, written) in cases {
        assert_eq!(hex(&written.unwrap()), hex(&form(form_name)), "{form_name}");
    }

    // Compressed, in the form of Go 1.18 and later, which is ours …
    let compressing = Encoder {
        keyring: None,
        compress: true,
    };
    let ours = compressing
        .datagram(&[&alive_a, &alive_b], false, nonce)
        .unwrap();
    assert_eq!(hex(&ours), hex(&form("compress-go119")));
    // … and of those before, which differs in the first code alone.
    let go116 = form("compress-go116");
    let header = b"\x09\x82\xa4Algo\x00\xa3Buf\xda\x00\x6f".len();
    assert_eq!(
        hex(&without_leading_clear(
            &ours[header..],
            go116.len() - header
        )),
        hex(&go116[header..])
    );

    let both = [alive("node-a", "127.0.0.1"), alive("node-b", "127.0.0.2")];
    for form_name in ["compress-go116", "compress-go119"] {
        assert_eq!(read("udp", &form(form_name), None), both, "{form_name}");
    }
    let with_key = keyring.as_ref();
    assert_eq!(
        read("udp", &form("udp-encrypted-ping-v0"), with_key),
        [ping()]
    );
    assert_eq!(
        read("udp", &form("udp-encrypted-ping-v1"), with_key),
        [ping()]
    );
    assert_eq!(
        read("udp", &form("udp-encrypted-crc-compress"), with_key),
        both
    );
    for form_name in [
        "tcp-encrypted-push-pull",
        "tcp-encrypted-push-pull-nocompress",
    ] {
        assert_eq!(
            read("tcp", &form(form_name), with_key),
            [push_pull(State::Alive)],
            "{form_name}"
        );
    }
}

#[test]
fn compressed_and_sealed_forms_of_both_ages_are_what_we_write() {
    let nonce: [u8; 12] = std::array::from_fn(|i| u8::try_from(i).unwrap());
    let keyring = Keyring::from_secret(SECRET).unwrap();
    let encoder = Encoder {
        keyring: None,
        compress: true,
    };
    let parts = [
        encoded(&alive("node-a", "127.0.0.1")),
        encoded(&alive("node-b", "127.0.0.2")),
    ];
    let datagram = encoder.datagram(&parts, false, nonce).unwrap();
    let stream = encoder.stream(&push_pull(State::Alive), nonce).unwrap();
    let seal = |aad: &[u8], plain: &[u8]| {
        let mut out = aad.to_vec();
        keyring.seal(nonce, aad, plain, &mut out).unwrap();
        hex(&out)
    };
    let crc = |plain: &[u8]| {
        let mut out = vec![12];
        out.extend(crc32fast::hash(plain).to_be_bytes());
        out.extend(plain);
        out
    };
    let frame = |plain: &[u8]| {
        let length = u32::try_from(29 + plain.len()).unwrap().to_be_bytes();
        let mut header = vec![10];
        header.extend(length);
        seal(&header, plain)
    };
    // The header of a compressed message changes with the length of what follows: raw16 in all of these.
    let go116 = |message: &[u8]| {
        let (header, lzw) = message.split_at(15);
        let old = without_leading_clear(lzw, (lzw.len() * 8 - 9).div_ceil(8));
        let length = u16::try_from(old.len()).unwrap().to_be_bytes();
        [&header[..13], &length, &old].concat()
    };
    let forms = [
        (
            "udp-encrypted-crc-compress",
            vec![
                seal(&[], &crc(&datagram)),
                seal(&[], &crc(&go116(&datagram))),
            ],
        ),
        (
            "tcp-encrypted-push-pull",
            vec![frame(&stream), frame(&go116(&stream))],
        ),
    ];
    for (form_name, written) in forms {
        let want = hex(&form(form_name));
        assert!(
            written.contains(&want),
            "{form_name}: {want}\nwrote {written:#?}"
        );
    }
}

#[test]
fn bodies_are_what_go_msgpack_writes() {
    let dump = golden("want.go-msgpack.txt");
    let want = |label: &str| {
        let line = dump
            .lines()
            .find(|line| {
                line.strip_prefix(label).is_some_and(|rest| {
                    rest.starts_with("  ")
                        || rest.trim_start().len() < rest.len() && !rest.trim_start().contains(' ')
                })
            })
            .unwrap_or_else(|| panic!("no line {label:?}"));
        line.split_whitespace().last().unwrap().to_owned()
    };
    let numbered = |seq_no| Message::Ping(Ping { seq_no, node: None });
    let with_meta = |len| {
        let Message::Alive(alive) = alive("node-a", "127.0.0.1") else {
            unreachable!()
        };
        Message::Alive(Alive {
            meta: vec![0x41; len],
            ..alive
        })
    };
    let Message::IndirectPing(indirect) = indirect_ping() else {
        unreachable!()
    };
    let no_nack = Message::IndirectPing(IndirectPing {
        nack: false,
        ..indirect
    });
    let long = Message::Ping(Ping {
        seq_no: 1,
        node: Name::new(&"n".repeat(40)),
    });
    let cases = [
        ("ping", ping()),
        ("ping seq 127", numbered(127)),
        ("ping seq 128", numbered(128)),
        ("ping seq 65535", numbered(65_535)),
        ("ping seq 65536", numbered(65_536)),
        ("ping seq max", numbered(u32::MAX)),
        ("indirect", indirect_ping()),
        ("indirect nack=false", no_nack),
        ("suspect/dead", dead("node-a")),
        ("alive", alive("node-a", "127.0.0.1")),
        ("alive Meta 31", with_meta(31)),
        ("alive Meta 32", with_meta(32)),
        ("alive v6", alive("node-a", "::1")),
        ("long name", long),
    ];
    for (label, message) in cases {
        assert_eq!(hex(&encoded(&message)[1..]), want(label), "{label}");
    }
}

/// A text of `want.lzw.txt`.
fn text(alphabet: u32, length: usize) -> Vec<u8> {
    let mut x = 1_u32;
    (0..length)
        .map(|_| {
            x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            u8::try_from((x >> 16) % alphabet).unwrap()
        })
        .collect()
}

#[test]
fn compression_is_what_go_writes_also_when_the_table_is_full() {
    let encoder = Encoder {
        keyring: None,
        compress: true,
    };
    let want = golden("want.lzw.txt");
    let lines: Vec<Vec<&str>> = want
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split(' ').collect())
        .collect();
    assert_eq!(lines.len(), 115);
    for line in lines {
        let [alphabet, length, crc, lzw_length, lzw_crc] = line[..] else {
            panic!("{line:?}");
        };
        let text = text(alphabet.parse().unwrap(), length.parse().unwrap());
        assert_eq!(format!("{:08x}", crc32fast::hash(&text)), crc);
        let message = encoder.frame(&text, [0; 12]).unwrap();
        let lzw = &message[message.len() - lzw_length.parse::<usize>().unwrap()..];
        assert_eq!(
            format!("{:08x}", crc32fast::hash(lzw)),
            lzw_crc,
            "{alphabet} {length}"
        );
    }
}
