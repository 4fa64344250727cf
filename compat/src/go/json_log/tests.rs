//! Escapes and times were taken from Go 1.19.

use super::*;

#[test]
fn keys_are_sorted_and_the_last_of_equal_ones_stays() {
    assert_eq!(
        encode([
            ("ts", Value::Text("now")),
            ("level", Value::Text("info")),
            ("msg", Value::Text("first")),
            ("event", Value::Text("ipAllocated")),
            ("msg", Value::Text("second")),
            ("caller", Value::Text("main.rs:1")),
        ]),
        "{\"caller\":\"main.rs:1\",\"event\":\"ipAllocated\",\"level\":\"info\",\"msg\":\"second\",\"ts\":\"now\"}\n"
    );
}

#[test]
fn a_line_without_fields_is_an_empty_object() {
    assert_eq!(encode([]), "{}\n");
}

#[test]
fn lists_are_arrays() {
    for (list, want) in [
        ("192.0.2.1", r#"{"ips":["192.0.2.1"]}"#),
        (
            "192.0.2.1,2001:db8::1",
            r#"{"ips":["192.0.2.1","2001:db8::1"]}"#,
        ),
        (
            "192.0.2.1, 192.0.2.2",
            r#"{"ips":["192.0.2.1","192.0.2.2"]}"#,
        ),
        ("", r#"{"ips":[]}"#),
    ] {
        assert_eq!(encode([("ips", Value::List(list))]), format!("{want}\n"));
    }
}

#[test]
fn texts_are_escaped_as_go_escapes_them() {
    for (text, want) in [
        ("a<b>&c", r#""a<b>&c""#),
        ("\u{2028}\u{2029}", r#""\u2028\u2029""#),
        (
            "\x00\x1f\x7f\x08\x0c\n\r\t\"\\/",
            "\"\\u0000\\u001f\x7f\\u0008\\u000c\\n\\r\\t\\\"\\\\/\"",
        ),
        ("é😀", r#""é😀""#),
    ] {
        assert_eq!(
            encode([("k", Value::Text(text))]),
            format!("{{\"k\":{want}}}\n")
        );
    }
}

#[test]
fn every_line_is_one_line_that_a_json_parser_reads_back() {
    let text: String = (0..=0x2100).filter_map(char::from_u32).collect();
    let line = encode([("k", Value::Text(&text))]);
    assert_eq!(line.matches('\n').count(), 1);
    assert!(line.ends_with("}\n"));
}

#[test]
fn times_have_no_trailing_zeros() {
    for (seconds, nanoseconds, want) in [
        (0, 0, "1970-01-01T00:00:00Z"),
        (1_795_458_360, 123_456_789, "2026-11-23T18:26:00.123456789Z"),
        (1_795_458_360, 100_000_000, "2026-11-23T18:26:00.1Z"),
        (951_782_400, 120, "2000-02-29T00:00:00.00000012Z"),
        (-1, 999_999_999, "1969-12-31T23:59:59.999999999Z"),
        (4_102_444_800, 0, "2100-01-01T00:00:00Z"),
        (68_169_600, 0, "1972-02-29T00:00:00Z"),
        (253_402_300_799, 0, "9999-12-31T23:59:59Z"),
    ] {
        assert_eq!(rfc3339_nano(seconds, nanoseconds), want);
    }
}

#[test]
fn every_day_follows_the_day_before() {
    let mut before = civil_from_days(-800_000);
    for days in -799_999..800_000 {
        let (year, month, day) = civil_from_days(days);
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let next = match before {
            (y, 12, 31) => (y + 1, 1, 1),
            (y, m @ (1 | 3 | 5 | 7 | 8 | 10), 31) | (y, m @ (4 | 6 | 9 | 11), 30) => (y, m + 1, 1),
            (y, 2, 29) => (y, 3, 1),
            (y, 2, 28) if !leap => (y, 3, 1),
            (y, m, d) => (y, m, d + 1),
        };
        assert_eq!((year, month, day), next);
        before = next;
    }
}
