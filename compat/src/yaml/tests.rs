//! The dialect: what scalars mean, what is refused, and that nothing can hurt.

use proptest::prelude::*;

use super::decode::Decoded;
use super::fault::{FaultKind, suggest};
use super::resolve::{Meaning, Mismatch, Tag, resolve};
use super::{Document, MAX_TEXT};
use crate::raw::{ConfigFile, Peer};

/// Decodes a configuration.
fn decode(text: &str) -> Decoded<ConfigFile> {
    ConfigFile::decode(&Document::parse(text).unwrap())
}

/// Decodes one field of a peer; the peer and its faults as text.
fn peer(field: &str) -> (Peer, Vec<String>) {
    let decoded = decode(&format!("peers:\n- {field}\n"));
    let faults = decoded.faults.iter().map(|fault| fault.kind.to_string());
    (
        decoded
            .value
            .peers
            .value
            .first()
            .cloned()
            .unwrap_or_default(),
        faults.collect(),
    )
}

#[test]
fn plain_scalars_mean_what_yaml_v2_says() {
    use Meaning::{Bool, Float, Int, Null, Text, Timestamp};
    for (text, want) in [
        ("", Null),
        ("~", Null),
        ("null", Null),
        ("Null", Null),
        ("NULL", Null),
        ("nUll", Text),
        ("y", Bool(true)),
        ("Yes", Bool(true)),
        ("ON", Bool(true)),
        ("tRue", Text),
        ("n", Bool(false)),
        ("Off", Bool(false)),
        ("0", Int(0)),
        ("-0", Int(0)),
        ("+5", Int(5)),
        ("0123", Int(83)),
        ("0o17", Int(15)),
        ("0O17", Int(15)),
        ("089", Float(89.0)),
        ("0x1F", Int(31)),
        ("0x", Text),
        ("0b101", Int(5)),
        ("-0b101", Int(-5)),
        ("0b-101", Int(-5)),
        ("0b", Text),
        ("64_500", Int(64_500)),
        ("6__4_", Int(64)),
        ("_64", Text),
        ("18446744073709551615", Int(18_446_744_073_709_551_615)),
        ("-9223372036854775808", Int(-9_223_372_036_854_775_808)),
        ("+9223372036854775808", Float(9_223_372_036_854_775_808.0)),
        ("18446744073709551616", Float(18_446_744_073_709_551_616.0)),
        ("5.5", Float(5.5)),
        ("5.", Float(5.0)),
        (".5", Float(0.5)),
        ("-.5", Float(-0.5)),
        (".", Text),
        ("1e3", Float(1000.0)),
        ("1E+3", Float(1000.0)),
        ("1e", Text),
        ("1e999", Text),
        (".5_0", Text),
        ("0x1p3", Text),
        (".inf", Float(f64::INFINITY)),
        ("-.Inf", Float(f64::NEG_INFINITY)),
        ("+.INF", Float(f64::INFINITY)),
        ("inf", Text),
        ("1:30", Text),
        ("2001-12-14", Timestamp),
        ("2001-2-29", Text),
        ("2000-2-29", Timestamp),
        ("2001-12-14t21:59:43.10-05:00", Timestamp),
        ("2001-12-14 21:59:43.10", Timestamp),
        ("2001-12-14 21:59:43.10 -5", Text),
        ("2001-13-1", Text),
        ("<<", Text),
        ("192.0.2.1", Text),
        ("--5", Text),
        ("+-5", Text),
    ] {
        assert_eq!(resolve(None, text), Ok(want), "{text:?}");
    }
    assert!(matches!(resolve(None, ".nan"), Ok(Meaning::Float(nan)) if nan.is_nan()));
}

#[test]
fn tags_decide_and_contradictions_give_the_document_up() {
    for (tag, text, want) in [
        (Tag::Int, "5", Ok(Meaning::Int(5))),
        (Tag::Float, "5", Ok(Meaning::Float(5.0))),
        (Tag::Bool, "yes", Ok(Meaning::Bool(true))),
        (Tag::Str, "5", Ok(Meaning::Text)),
        (Tag::Str, "", Ok(Meaning::Text)),
        (Tag::Null, "~", Ok(Meaning::Null)),
        (Tag::Other("!x".into()), "5", Ok(Meaning::Text)),
        (Tag::Timestamp, "2001-12-14", Ok(Meaning::Timestamp)),
        (Tag::Binary, "bGFi", Ok(Meaning::Binary("lab".into()))),
        (Tag::Binary, "bGE=", Ok(Meaning::Binary("la".into()))),
        (Tag::Binary, "bA==\n", Ok(Meaning::Binary("l".into()))),
        (Tag::Binary, "bA=", Err(Mismatch::Base64)),
        (Tag::Binary, "b*==", Err(Mismatch::Base64)),
        (Tag::Binary, "====", Err(Mismatch::Base64)),
        (Tag::Int, "x", Err(Mismatch::Tag(Tag::Str, Tag::Int))),
        (Tag::Int, "5.0", Err(Mismatch::Tag(Tag::Float, Tag::Int))),
        (Tag::Null, "x", Err(Mismatch::Tag(Tag::Str, Tag::Null))),
    ] {
        assert_eq!(resolve(Some(&tag), text), want, "{tag:?} {text:?}");
    }
}

#[test]
fn text_keeps_its_written_form() {
    for (written, want) in [
        ("007", "007"),
        ("1.50", "1.50"),
        ("yes", "yes"),
        ("12345", "12345"),
        ("2001-12-14", "2001-12-14"),
        ("~", ""),
        ("", ""),
        ("\"~\"", "~"),
        ("'it''s'", "it's"),
        ("!!binary aGk=", "hi"),
        ("!!str 5", "5"),
        ("!x 5", "5"),
    ] {
        let (peer, faults) = peer(&format!("password: {written}"));
        assert_eq!(
            (peer.password.value.as_str(), faults.len()),
            (want, 0),
            "{written}"
        );
    }
}

#[test]
fn numbers_are_cut_and_checked() {
    for (written, want) in [
        ("64512", Some(64_512)),
        ("64512.9", Some(64_512)),
        ("-0.5", Some(0)),
        ("1e3", Some(1_000)),
        ("0o17", Some(15)),
        ("!!float 5", Some(5)),
        ("!!int \"5\"", Some(5)),
        ("~", Some(0)),
        ("4294967295", Some(u32::MAX)),
        ("4294967296", None),
        ("4294967296.0", None),
        ("-1", None),
        ("-1.5", None),
        (".nan", None),
        (".inf", None),
        ("-.inf", None),
        ("1e300", None),
        ("\"64512\"", None),
        ("yes", None),
        ("[]", None),
    ] {
        let (peer, faults) = peer(&format!("my-asn: {written}"));
        match want {
            Some(want) => assert_eq!((peer.my_asn.value, faults.len()), (want, 0), "{written}"),
            None => assert_eq!(faults.len(), 1, "{written}"),
        }
    }
}

#[test]
fn quoted_booleans_and_numbers_are_refused_with_advice() {
    for field in [
        "ebgp-multihop: \"true\"",
        "ebgp-multihop: 'yes'",
        "my-asn: \"64512\"",
    ] {
        let decoded = decode(&format!("peers:\n- {field}\n"));
        let fault = decoded.faults.first().unwrap();
        assert_eq!(
            fault.kind.help().as_deref(),
            Some("remove the quotes"),
            "{field}"
        );
        assert_eq!((fault.place.line, decoded.faults.len()), (2, 1));
    }
}

#[test]
fn absent_null_and_zero_are_told_apart() {
    let text = |value: &str| format!("address-pools:\n- auto-assign: {value}\n");
    let auto_assign = |value: &str| {
        let decoded = decode(&text(value));
        assert!(decoded.faults.is_empty(), "{value}");
        decoded
            .value
            .address_pools
            .value
            .first()
            .unwrap()
            .auto_assign
            .value
    };
    assert_eq!(auto_assign("~"), None);
    assert_eq!(auto_assign("null"), None);
    assert_eq!(auto_assign(""), None);
    assert_eq!(auto_assign("no"), Some(false));
    // Compat: these two are no nil pointer, but a pointer to false.
    assert_eq!(auto_assign("Null"), Some(false));
    assert_eq!(auto_assign("NULL"), Some(false));
}

#[test]
fn all_type_errors_are_reported_at_once() {
    let decoded = decode(
        "extra: 1\npeers:\n- my-asn: x\n  peer_asn: 1\n  node-selectors: {}\n- 5\naddress-pools: no\n",
    );
    let faults: Vec<_> = decoded
        .faults
        .iter()
        .map(|fault| (fault.place.line, fault.path.as_str(), fault.kind.code()))
        .collect();
    assert_eq!(
        faults,
        [
            (1, "extra", "unknown-field"),
            (3, "peers[0].my-asn", "wrong-type"),
            (4, "peers[0].peer_asn", "unknown-field"),
            (5, "peers[0].node-selectors", "wrong-type"),
            (6, "peers[1]", "wrong-type"),
            (7, "address-pools", "wrong-type"),
        ]
    );
    assert!(!decoded.given_up);
}

#[test]
fn misspelled_fields_are_recognised() {
    let peer = <Peer as super::decode::Record>::FIELDS;
    for (written, want) in [
        ("bfdProfile", Some("bfd-profile")),
        ("peer_asn", Some("peer-asn")),
        ("Password", Some("password")),
        ("node-selector", Some("node-selectors")),
        ("peer-adress", Some("peer-address")),
        ("holdtime", Some("hold-time")),
        ("xyzzy", None),
        ("", None),
        ("-", None),
    ] {
        assert_eq!(suggest(written, peer), want, "{written}");
    }
}

#[test]
fn what_a_misspelled_field_leaves_open_is_marked() {
    let decoded = decode("peers:\n- my_asn: 1\n  peer-address: 192.0.2.1\n");
    let peer = decoded.value.peers.value.first().unwrap();
    assert!(peer.my_asn.faulty);
    assert!(!peer.peer_asn.faulty);
}

#[test]
fn merge_keys_are_applied_where_they_stand() {
    let text = "peers:\n- &a {my-asn: 1, peer-asn: 2}\n- {<<: *a, peer-asn: 3}\n- {peer-asn: 3, <<: *a}\n- <<: [{my-asn: 7}, *a]\n";
    let decoded = decode(text);
    assert_eq!(decoded.faults, []);
    let numbers: Vec<_> = decoded
        .value
        .peers
        .value
        .iter()
        .map(|peer| (peer.my_asn.value, peer.peer_asn.value))
        .collect();
    // Compat: the third one's merge key comes last, and wins.
    assert_eq!(numbers, [(1, 2), (1, 3), (1, 2), (7, 2)]);
}

#[test]
fn what_makes_yaml_v2_give_up_is_the_only_fault() {
    for (text, want) in [
        ("extra: 1\npeers: [{<<: 5}]", FaultKind::MergeWantsMap),
        ("peers: [{<<: [5]}]", FaultKind::MergeWantsMap),
        (
            "bgp-communities: &a {x: 1:1, <<: *a}",
            FaultKind::SelfContaining,
        ),
        ("peers: [{password: !!binary x}]", FaultKind::Base64),
    ] {
        let Ok(document) = Document::parse(text) else {
            // The parser may refuse an alias inside its own anchor.
            assert_eq!(want, FaultKind::SelfContaining);
            continue;
        };
        let decoded = ConfigFile::decode(&document);
        assert!(decoded.given_up, "{text}");
        assert_eq!(decoded.faults.len(), 1);
        assert_eq!(decoded.faults.first().unwrap().kind, want, "{text}");
    }
}

#[test]
fn only_the_first_document_counts() {
    for text in [
        "peers: []\n---\nextra: [",
        "peers: []\n...\n@",
        "---\npeers: []\n",
        "%YAML 1.1\n---\npeers: []\n",
        "# nothing\n",
        "",
        "---\n",
        "~",
        "null\n",
    ] {
        let decoded = decode(text);
        assert_eq!(decoded.faults, [], "{text:?}");
    }
}

#[test]
fn syntax_errors_have_a_place() {
    for (text, line) in [
        ("peers:\n\t- x\n", 2),
        ("a: [\n", 1),
        ("a: b: c\n", 1),
        ("a: *b\n", 1),
        ("peers: []\n\u{1}", 2),
        ("a: \"\\q\"", 1),
        ("a: 'x", 1),
        ("a: @x", 1),
    ] {
        let error = Document::parse(text).unwrap_err();
        assert_eq!(error.place.line, line, "{text:?} {error}");
        assert!(!error.to_string().contains('\n'));
    }
}

#[test]
fn places_are_those_of_the_text() {
    let text = "# é\npeers:\n- {peer-address: \"é\", password: x}\n";
    let decoded = decode(text);
    let peer = decoded.value.peers.value.first().unwrap();
    let place = peer.password.place.unwrap();
    assert_eq!((place.line, place.column), (3, 33));
    assert_eq!(text.get(place.span()), Some("x"));
    assert_eq!(
        text.get(peer.place.unwrap().span()),
        Some("{peer-address: \"é\", password: x}")
    );
}

#[test]
fn too_much_is_refused_quickly() {
    let bomb = {
        let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..12 {
            let alias = format!("*a{}, ", level - 1).repeat(10);
            text.push_str(&format!("a{level}: &a{level} [{alias}]\n"));
        }
        format!("{text}address-pools: [{{addresses: *a11}}]\n")
    };
    let fields = format!(
        "bgp-communities: &c {{x: 1:1}}\npeers: [{}]",
        "{password: *p},".repeat(10)
    );
    let shared_text = format!(
        "peers: [{{password: &p \"{}\"}}, {}]",
        "x".repeat(400_000),
        "{password: *p}, ".repeat(1_000)
    );
    let merges = {
        let mut text = String::from("peers:\n- &m0 {my-asn: 1}\n");
        for level in 1..1_000 {
            text.push_str(&format!("- &m{level} {{<<: *m{}}}\n", level - 1));
        }
        text
    };
    for text in [
        "[".repeat(100_000),
        "- ".repeat(100_000),
        "{a: ".repeat(100_000),
        "x".repeat(MAX_TEXT + 1),
        fields,
    ] {
        assert!(Document::parse(&text).is_err(), "{}", text.len());
    }
    for text in [shared_text, merges] {
        assert!(decode(&text).given_up);
    }
    // Unknown fields are not looked into: the bomb does not go off.
    assert!(!decode(&bomb).faults.is_empty());
    let nulls = format!("peers: [{}]", "~,".repeat(100_000));
    assert!(decode(&nulls).given_up);
}

#[test]
fn a_billion_laughs_in_a_known_field_are_refused() {
    let mut text =
        String::from("peers:\n- &p0 {node-selectors: [{match-expressions: [{values: &v [");
    text.push_str(&"a, ".repeat(1_000));
    text.push_str("]}]}]}\n");
    text.push_str(
        &"- {node-selectors: [{match-expressions: [{values: *v}, {values: *v}, {values: *v}]}]}\n"
            .repeat(5_000),
    );
    let decoded = decode(&text);
    assert!(decoded.given_up);
    assert_eq!(
        decoded.faults.first().unwrap().kind,
        FaultKind::ExcessiveAliasing
    );
}

#[test]
fn many_faults_are_counted() {
    let text = format!("peers: [{}]", "{x: 1}, ".repeat(1_000));
    let decoded = decode(&text);
    assert_eq!(decoded.faults.len() + decoded.unkept, 1_000);
}

#[test]
fn secrets_are_not_repeated() {
    for field in [
        "password: [hunter2]",
        "password: {hunter2: x}",
        "password: !!binary hunter2!",
        "password: !!int hunter2",
    ] {
        let decoded = decode(&format!("peers:\n- {field}\n"));
        assert!(!decoded.faults.is_empty(), "{field}");
        for fault in &decoded.faults {
            assert!(!fault.kind.to_string().contains("hunter2"), "{field}");
            assert!(
                !fault.kind.help().unwrap_or_default().contains("hunter2"),
                "{field}"
            );
        }
    }
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in ".{0,200}") {
        if let Ok(document) = Document::parse(&text) {
            let _ = ConfigFile::decode(&document);
        }
        let _ = Document::parse_all(&text);
    }

    #[test]
    fn no_yaml_makes_it_panic(
        text in "(peers|address-pools|<<|&a|\\*a|[-:{}\\[\\],|>'\"#%!~\n\t ]|my-asn|name|!!int|!!binary|0x1|1e9|\\.inf){0,60}"
    ) {
        if let Ok(document) = Document::parse(&text) {
            let decoded = ConfigFile::decode(&document);
            for fault in &decoded.faults {
                prop_assert!(fault.place.span().start <= text.len());
                prop_assert!(!fault.kind.to_string().contains('\n'));
            }
        }
    }

    #[test]
    fn integers_resolve_to_themselves(int in any::<i64>()) {
        prop_assert_eq!(resolve(None, &int.to_string()), Ok(Meaning::Int(int.into())));
    }
}
