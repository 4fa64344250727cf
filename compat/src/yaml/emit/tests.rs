//! The forms that were seen in upstream's files, and that everything reads back.

use proptest::prelude::*;

use super::{Value, natural_less, write};
use crate::yaml::{Content, Document, NodeId};

fn written(text: &str) -> String {
    let mut out = String::new();
    write(&mut out, &Value::map([("k", Value::text(text))]));
    out
}

#[test]
fn a_text_has_quotes_only_where_it_would_be_something_else() {
    for (text, want) in [
        ("plain", "k: plain\n"),
        ("", "k: \"\"\n"),
        ("yes", "k: \"yes\"\n"),
        ("0123", "k: \"0123\"\n"),
        ("1e3", "k: \"1e3\"\n"),
        ("2001-01-01", "k: \"2001-01-01\"\n"),
        ("64512:1", "k: \"64512:1\"\n"),
        ("100:20", "k: \"100:20\"\n"),
        ("65535:65281", "k: 65535:65281\n"),
        ("1:60", "k: 1:60\n"),
        ("100:000", "k: 100:000\n"),
        ("::1", "k: ::1\n"),
        ("<<", "k: <<\n"),
        ("=", "k: =\n"),
        ("+Inf", "k: +Inf\n"),
        ("a b#c", "k: a b#c\n"),
        ("a #c", "k: 'a #c'\n"),
        ("it's: so", "k: 'it''s: so'\n"),
        (" edge", "k: ' edge'\n"),
        ("- x", "k: '- x'\n"),
        ("a\tb", "k: \"a\\tb\"\n"),
        ("\u{feff}", "k: \"\\uFEFF\"\n"),
        ("\u{1f600}", "k: \"\\U0001F600\"\n"),
        ("a\nb", "k: |-\n  a\n  b\n"),
        ("a\n", "k: |\n  a\n"),
        (" a\n\n", "k: |2+\n   a\n\n"),
        ("a \nb", "k: \"a \\nb\"\n"),
        ("a\u{a0}b", "k: a\u{a0}b\n"),
    ] {
        assert_eq!(written(text), want, "{text:?}");
    }
}

#[test]
fn a_long_line_is_folded_at_the_first_single_space_behind_column_80() {
    let text = format!("{} tail", "x".repeat(79));
    assert_eq!(written(&text), format!("k: {}\n  tail\n", "x".repeat(79)));
    let text = format!("{} tail", "x".repeat(77));
    assert_eq!(written(&text), format!("k: {text}\n"));
}

#[test]
fn keys_are_in_natural_order() {
    let want = [
        "1", "9", "10", "A", "a", "a-b", "a.b", "a/b", "a2", "a10", "ab", "b", "z_1", "zone",
    ];
    for pair in want.windows(2) {
        let [a, b] = pair else { continue };
        assert!(natural_less(a, b) && !natural_less(b, a), "{a} {b}");
    }
}

#[test]
fn collections_are_written_as_go_writes_them() {
    let value = Value::map([
        ("b", Value::List(vec![Value::map([]), Value::texts(["x"])])),
        (
            "a",
            Value::List(vec![Value::map([("y", Value::Int(1)), ("x", Value::Null)])]),
        ),
        ("c", Value::List(vec![])),
    ]);
    let mut out = String::new();
    write(&mut out, &value);
    assert_eq!(out, "a:\n- x: null\n  \"y\": 1\nb:\n- {}\n- - x\nc: []\n");
}

/// The value as our reader has it; texts only.
fn read(document: &Document, id: NodeId) -> Value {
    match document.resolved(id).map(|node| &node.content) {
        Some(Content::Scalar(text, _)) => Value::text(&**text),
        Some(Content::Sequence(items)) => {
            Value::List(items.iter().map(|item| read(document, *item)).collect())
        }
        Some(Content::Mapping(pairs)) => Value::Map(
            pairs
                .iter()
                .map(|(key, value)| {
                    let key = document.text(*key).unwrap_or_default().to_owned();
                    (key, read(document, *value))
                })
                .collect(),
        ),
        Some(Content::Alias(_)) | None => Value::Null,
    }
}

fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ -~\\n]{0,12}",
        "[a-c:#'\" \\-\\n?,0-9]{0,10}",
        "([a-z]{1,9} {1,2}){8,14}",
        "\\PC{0,8}",
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(
        texts in proptest::collection::vec(texts(), 1..5),
        keys in proptest::collection::btree_set("[a-z0-9./_-]{1,8}", 1..5),
    ) {
        let pairs: Vec<_> = keys
            .into_iter()
            .map(|key| (key, Value::texts(texts.clone())))
            .collect();
        let value = Value::Map(pairs);
        let mut out = String::new();
        write(&mut out, &value);
        let document = Document::parse(&out).map_err(|error| TestCaseError::fail(format!("{error}\n{out}")))?;
        let root = document.root().ok_or_else(|| TestCaseError::fail("empty"))?;
        let Value::Map(mut found) = read(&document, root) else {
            return Err(TestCaseError::fail("no mapping"));
        };
        found.sort_by(|a, b| a.0.cmp(&b.0));
        prop_assert_eq!(Value::Map(found), value);
    }
}
