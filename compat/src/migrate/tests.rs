//! What the golden files of upstream's converter do not show.

use super::{
    ConvertError, Faults, NAMESPACE, Release, buggy, convert, is_object_name, lax, to_k8s, write,
};
use crate::raw::ConfigFile;
use crate::yaml::Document;

fn strict(text: &str) -> ConfigFile {
    let document = Document::parse(text).unwrap();
    let decoded = ConfigFile::decode(&document);
    assert_eq!(decoded.faults, []);
    decoded.value
}

fn lax(text: &str) -> ConfigFile {
    let document = Document::parse(text).unwrap();
    lax::read(&document, document.root()).unwrap()
}

#[test]
fn releases_are_read_with_and_without_a_patch() {
    for (text, want) in [
        ("0.13", Some("0.13.12")),
        ("0.14", Some("0.14.9")),
        ("v0.15", Some("0.15.3")),
        ("0.16", Some("0.16.1")),
        ("0.13.0", Some("0.13.0")),
        ("v0.14.8", Some("0.14.8")),
        ("0.12", None),
        ("0.17", None),
        ("0.14.10", None),
        ("1.14.1", None),
        ("0.14.1.2", None),
        ("0.+14", None),
        ("0", None),
        ("", None),
        ("0.14.", None),
    ] {
        let release = text
            .parse::<Release>()
            .ok()
            .map(|release| release.to_string());
        assert_eq!(release.as_deref(), want, "{text}");
    }
}

#[test]
fn names_are_rewritten_as_upstream_rewrites_them() {
    let long = "a".repeat(100);
    for (name, want) in [
        ("pool", Some("pool")),
        ("My_Pool", Some("my-pool")),
        ("9lives", Some("lives")),
        ("100", None),
        ("", None),
        ("dot.ted", Some("dot.ted")),
        ("a", Some("a")),
        ("sp ace", Some("sp ace")),
        ("my-ns/ingress", Some("my-ns/ingress")),
        ("tail_", Some("tail-")),
        ("Ünïcode", Some("nïcode")),
        (&long, long.get(..63)),
    ] {
        assert_eq!(to_k8s(name).as_deref(), want, "{name}");
    }
    // The cut goes through a character.
    let name = format!("{}é", "a".repeat(62));
    assert_eq!(to_k8s(&name), Some(format!("{}\u{fffd}", "a".repeat(62))));
}

#[test]
fn a_text_without_quotes_is_corrupted_only_where_upstream_is_repeated() {
    let text = "peers:\n- {password: 0123456}\n- {password: 1e3}\n- {password: yes}\n- {password: 1.10}\n- {password: 0x1F}\n\
                - {password: 12345678901234567890123}\n- {password: 2001-01-01}\n- {password: ~}\n";
    let passwords = |raw: &ConfigFile| -> Vec<String> {
        raw.peers
            .value
            .iter()
            .map(|peer| peer.password.value.clone())
            .collect()
    };
    assert_eq!(
        passwords(&strict(text)),
        [
            "0123456",
            "1e3",
            "yes",
            "1.10",
            "0x1F",
            "12345678901234567890123",
            "2001-01-01",
            ""
        ]
    );
    assert_eq!(
        passwords(&lax(text)),
        [
            "42798",
            "1000",
            "true",
            "1.1",
            "31",
            "1.2345679e+22",
            "2001-01-01",
            ""
        ]
    );
}

#[test]
fn upstreams_reading_forgives_what_0_12_refuses() {
    let raw = lax("Peers:\n- {My-ASN: 1e3, peer-asn: 2, peer-asn: 3, typo: x}\n");
    let peer = raw.peers.value.first().unwrap();
    assert_eq!((peer.my_asn.value, peer.peer_asn.value), (1000, 3));
    let fault = |text: &str| {
        let document = Document::parse(text).unwrap();
        lax::read(&document, document.root())
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        fault("peers:\n- {my-asn: 65010.1}\n"),
        "error unmarshaling JSON: config.peers[0].my-asn: a whole number in range is wanted"
    );
    // What is refused is not told: it may be a password.
    assert!(!fault("peers:\n- {password: [hunter2]}\n").contains("hunter2"));
}

#[test]
fn aliases_cannot_multiply_without_bound() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..9 {
        let alias = format!("*a{}", level - 1);
        text.push_str(&format!(
            "a{level}: &a{level} [{}]\n",
            vec![alias; 10].join(", ")
        ));
    }
    let document = Document::parse(&text).unwrap();
    assert_eq!(
        lax::read(&document, document.root()),
        Err(lax::LaxError::TooMuch)
    );
    let document = Document::parse("peers: &a [*a]\n").unwrap();
    assert_eq!(
        lax::read(&document, document.root()),
        Err(lax::LaxError::Contradiction)
    );
}

#[test]
fn buggy_addresses_are_cut_out_exactly() {
    for (line, want) in [
        (
            "198.51.100.0/23",
            &["198.51.100.1-198.51.100.254", "198.51.101.1-198.51.101.254"][..],
        ),
        ("192.0.2.0/28", &["192.0.2.1-192.0.2.15"]),
        ("192.0.2.16/28", &["192.0.2.16/28"]),
        ("203.0.113.7/32", &["203.0.113.7/32"]),
        (
            "203.0.113.254-203.0.114.1",
            &["203.0.113.254/32", "203.0.114.1/32"],
        ),
        ("203.0.113.255-203.0.114.0", &[]),
        ("203.0.113.5 - 203.0.113.9", &["203.0.113.5 - 203.0.113.9"]),
        ("2001:db8::/126", &["2001:db8::/126"]),
    ] {
        assert_eq!(buggy::split(line), want, "{line}");
    }
    assert_eq!(buggy::blocks("0.0.0.0/0"), 1 << 24);
    let text = "address-pools:\n- {name: a, protocol: layer2, avoid-buggy-ips: true, addresses: [0.0.0.0/0]}\n";
    assert_eq!(
        convert(&strict(text), Release::new(13, 2), Faults::MENDED),
        Err(ConvertError::TooLarge("a".into(), "0.0.0.0/0".into()))
    );
}

#[test]
fn a_name_that_no_api_server_takes_is_upstreams_fault() {
    let text = "address-pools:\n- {name: sp ace, protocol: layer2, addresses: [192.0.2.0/28]}\n";
    let raw = strict(text);
    assert!(convert(&raw, Release::NEWEST, Faults::REPEATED).is_ok());
    assert_eq!(
        convert(&raw, Release::NEWEST, Faults::MENDED),
        Err(ConvertError::BadName(
            "IpAddressPool",
            "sp ace".into(),
            "sp ace".into()
        ))
    );
    assert!(!is_object_name(&"a".repeat(254)) && is_object_name(&"a".repeat(253)));
}

#[test]
fn what_upstreams_writer_refuses_is_refused() {
    let raw = strict(
        "peers:\n- {my-asn: 1, peer-asn: 2, peer-address: 192.0.2.1, password: \"a\\x7fb\"}\n",
    );
    let resources = convert(&raw, Release::NEWEST, Faults::MENDED).unwrap();
    let error = write(&resources, NAMESPACE, Release::NEWEST)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("BGPPeer peer1") && !error.contains("a\u{7f}b"),
        "{error}"
    );
}
