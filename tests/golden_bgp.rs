//! BGP messages of FRR, BIRD and GoBGP, as they were captured: read, and written again byte for byte.

#![expect(clippy::unwrap_used, reason = "a test: a panic is its report")]

use std::fs;
use std::path::Path;

use ferrolb::bgp::wire::{
    Capability, Context, Error, HEADER, KEEPALIVE, MAX_MESSAGE, Message, Open, Update, decode,
    frame,
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    packets: Vec<Packet>,
}

#[derive(Deserialize)]
struct Packet {
    what: String,
    /// Of an UPDATE: what the session had agreed on.
    four_octet_as: Option<bool>,
    add_path: Option<bool>,
    hex: String,
}

/// Router, and how many packets there are of it.
const ROUTERS: [(&str, usize); 3] = [("frr", 106), ("bird", 120), ("gobgp", 135)];

fn golden(router: &str) -> Vec<Packet> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden/bgp")
        .join(format!("want.{router}.json"));
    let text =
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str::<Golden>(&text).unwrap().packets
}

fn unhex(hex: &str) -> Vec<u8> {
    hex.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// What the session had agreed on, as far as the packet shows it.
fn context(packet: &Packet, octets: &[u8]) -> Context {
    Context {
        internal: packet.what.contains("iBGP"),
        four_octet: packet.four_octet_as.unwrap_or_default(),
        extended: octets.len() > MAX_MESSAGE,
        refresh: true,
        enhanced_refresh: true,
        ipv4: true,
        ipv6: true,
        // These scenes alone have IPv4 routes over IPv6.
        extended_next_hop: packet.what.contains("link-local") || packet.what.contains("over IPv6"),
    }
}

fn written(encode: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    encode(&mut out);
    out
}

/// An OPEN's capabilities as octets, without the heads of the parameters that they come in.
fn capabilities(message: &[u8]) -> Vec<u8> {
    let mut rest = &message[HEADER + 10..];
    let mut octets = Vec::new();
    while let [2, length, behind @ ..] = rest {
        let (parameter, behind) = behind.split_at(usize::from(*length));
        octets.extend_from_slice(parameter);
        rest = behind;
    }
    assert!(rest.is_empty());
    octets
}

fn open_is_written_again(router: &str, octets: &[u8], open: &Open) {
    let again = written(|out| open.encode(out));
    if router == "frr" {
        // A parameter for each capability; we put all into one.
        assert_eq!(capabilities(&again), capabilities(octets));
        assert_eq!(again[HEADER..HEADER + 9], octets[HEADER..HEADER + 9]);
        assert_eq!(
            again.len() + 2 * (open.capabilities.len() - 1),
            octets.len()
        );
    } else {
        assert_eq!(again, octets);
    }
    // No capability of these routers has another form than its RFC says.
    for capability in &open.capabilities {
        let known = !matches!(capability, Capability::Unknown { .. });
        let ours = matches!(capability.code(), 1 | 2 | 5 | 6 | 64 | 65 | 70);
        assert_eq!(known, ours, "{capability:?}");
    }
}

#[test]
fn each_message_of_each_router_is_read_and_written_again() {
    for (router, count) in ROUTERS {
        let packets = golden(router);
        assert_eq!(packets.len(), count, "{router}");
        for packet in packets {
            let what = format!("{router}: {}: {}", packet.what, packet.hex);
            let octets = unhex(&packet.hex);
            let context = context(&packet, &octets);
            assert_eq!(
                frame(&octets, context.extended),
                Ok(Some(octets.len())),
                "{what}"
            );
            let decoded = decode(&octets, &context);
            let kind = packet.what.split([' ', ',']).next().unwrap();
            match (kind, decoded) {
                ("OPEN", Ok(Message::Open(open))) => open_is_written_again(router, &octets, &open),
                ("NOTIFICATION", Ok(Message::Notification(notification))) => {
                    assert_eq!(written(|out| notification.encode(out)), octets, "{what}");
                    let codes = format!("{}/{}", notification.code, notification.subcode);
                    assert!(packet.what.contains(&codes), "{what}");
                    // Each is told in words.
                    let text = notification.to_string();
                    assert!(
                        !text.contains("data ") && !text.contains("subcode"),
                        "{text}"
                    );
                }
                ("KEEPALIVE", Ok(Message::Keepalive)) => assert_eq!(octets, KEEPALIVE),
                ("ROUTE-REFRESH", Ok(Message::RouteRefresh(refresh))) => {
                    assert_eq!(written(|out| refresh.encode(out)), octets, "{what}");
                    let answer = packet.what.contains("of the answer");
                    assert_eq!(refresh.is_request(&context), !answer, "{what}");
                }
                ("UPDATE", decoded) if packet.add_path == Some(true) => {
                    // Prefixes with path identifiers (RFC 7911), which we never offer to read, are no prefixes.
                    let end = matches!(
                        decoded,
                        Ok(Message::Update(Update {
                            end_of_rib: Some(_),
                            ..
                        }))
                    );
                    assert!(
                        end || decoded == Err(Error::NetworkField),
                        "{what}: {decoded:?}"
                    );
                    assert_eq!(end, packet.what.contains("end of RIB"), "{what}");
                }
                ("UPDATE", Ok(Message::Update(update))) => {
                    assert_eq!(update.fault, None, "{what}");
                    if packet.what.contains("end of RIB") {
                        assert!(update.end_of_rib.is_some(), "{what}");
                    }
                    let routes = update.announced + update.withdrawn;
                    assert_eq!(routes == 0, update.end_of_rib.is_some(), "{what}");
                }
                (kind, decoded) => panic!("{what}: {kind}: {decoded:?}"),
            }
        }
    }
}

#[test]
fn what_the_routers_say_when_they_leave_is_told_in_their_words() {
    let mut texts = Vec::new();
    for (router, _) in ROUTERS {
        for packet in golden(router) {
            let octets = unhex(&packet.hex);
            if let Ok(Message::Notification(notification)) = decode(&octets, &Context::default()) {
                texts.push(format!("{router}: {notification}"));
            }
        }
    }
    for text in [
        "frr: Cease/Administrative Shutdown: \"maintenance until 10:00 – sorry\"",
        "frr: Cease/Maximum Number of Prefixes Reached: at most 1 prefixes of IPv4 unicast",
        "frr: OPEN Message Error/Bad Peer AS: AS 65002",
        "frr: OPEN Message Error/Unsupported Capability: multiprotocol IPv4 unicast",
        "frr: Hold Timer Expired",
        "bird: Cease/Administrative Shutdown: \"new cables in row 7\"",
        "bird: OPEN Message Error/Bad Peer AS: AS 65003",
        "bird: OPEN Message Error/Role Mismatch",
        "bird: Cease/Connection Collision Resolution",
        "gobgp: Cease/Peer De-configured",
        "gobgp: OPEN Message Error/Bad Peer AS",
    ] {
        assert!(
            texts.iter().any(|said| said == text),
            "{text} is not in {texts:#?}"
        );
    }
}
