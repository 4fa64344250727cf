//! Expectations were taken from Go 1.19's package `flag`, given these flags and words.

use super::*;

fn set() -> FlagSet {
    let flag = |name, default, usage| Flag {
        name,
        default,
        usage,
    };
    FlagSet::new(
        "/controller",
        [
            flag("port", Value::Int(7472), "HTTP listening port"),
            flag(
                "config",
                Value::Text("config".into()),
                "name of the ConfigMap",
            ),
            flag(
                "kubeconfig",
                Value::Text(String::new()),
                "path of the `file` to use\nsecond line",
            ),
            flag("enable-pprof", Value::Bool(false), "profiling"),
            flag("on", Value::Bool(true), "on by default"),
            flag("x", Value::Bool(false), "short"),
            flag("zero", Value::Int(0), "zero int"),
            flag("quo", Value::Text("a\"b\té".into()), "quoted default"),
        ],
    )
}

const USAGE: &str = "Usage of /controller:
  -config string
    \tname of the ConfigMap (default \"config\")
  -enable-pprof
    \tprofiling
  -kubeconfig file
    \tpath of the file to use
    \tsecond line
  -on
    \ton by default (default true)
  -port int
    \tHTTP listening port (default 7472)
  -quo string
    \tquoted default (default \"a\\\"b\\té\")
  -x\tshort
  -zero int
    \tzero int
";

#[test]
fn the_usage_text_is_print_defaults() {
    assert_eq!(set().usage(), USAGE);
}

#[test]
fn help_is_the_usage_and_no_fault() {
    for word in ["-h", "--h", "-help", "--help", "-help=1"] {
        assert_eq!(
            set().parse([word]),
            Err(Stop::Help(USAGE.to_owned())),
            "{word}"
        );
    }
}

#[test]
fn integers_are_read_by_their_prefix() {
    for (words, want) in [
        (&["-port", "1"][..], 1),
        (&["-port=1"], 1),
        (&["--port", "1"], 1),
        (&["--port=1"], 1),
        (&["-port", "-5"], -5),
        (&["-port=+5"], 5),
        (&["-port=0x1d30"], 7472),
        (&["-port=0X1D30"], 7472),
        (&["-port=017"], 15),
        (&["-port=0o17"], 15),
        (&["-port=0b101"], 5),
        (&["-port=0B1"], 1),
        (&["-port=1_000"], 1000),
        (&["-port=0_7"], 7),
        (&["-port=0x_1f"], 31),
        (&["-port=0"], 0),
        (&["-port=-0x10"], -16),
        (&["-port=-9223372036854775808"], i64::MIN),
        (&["-port", "1", "-port=2"], 2),
        (&[], 7472),
    ] {
        let parsed = set().parse(words.iter().copied()).unwrap();
        assert_eq!(parsed.int("port"), want, "{words:?}");
        assert_eq!(parsed.rest, Vec::<String>::new(), "{words:?}");
    }
}

#[test]
fn the_first_fault_is_told_before_the_usage() {
    for (words, fault) in [
        (&["-port"][..], "flag needs an argument: -port"),
        (
            &["-port="],
            r#"invalid value "" for flag -port: parse error"#,
        ),
        (
            &["-port=_1"],
            r#"invalid value "_1" for flag -port: parse error"#,
        ),
        (
            &["-port=1__0"],
            r#"invalid value "1__0" for flag -port: parse error"#,
        ),
        (
            &["-port=1_"],
            r#"invalid value "1_" for flag -port: parse error"#,
        ),
        (
            &["-port=08"],
            r#"invalid value "08" for flag -port: parse error"#,
        ),
        (
            &["-port=0x"],
            r#"invalid value "0x" for flag -port: parse error"#,
        ),
        (
            &["-port= 1"],
            r#"invalid value " 1" for flag -port: parse error"#,
        ),
        (
            &["-port=1.5"],
            r#"invalid value "1.5" for flag -port: parse error"#,
        ),
        (
            &["-port=1\n"],
            r#"invalid value "1\n" for flag -port: parse error"#,
        ),
        (
            &["-port=9223372036854775808"],
            r#"invalid value "9223372036854775808" for flag -port: value out of range"#,
        ),
        (
            &["-enable-pprof=yes"],
            r#"invalid boolean value "yes" for -enable-pprof: parse error"#,
        ),
        (
            &["-enable-pprof="],
            r#"invalid boolean value "" for -enable-pprof: parse error"#,
        ),
        (
            &["-on=tRUE"],
            r#"invalid boolean value "tRUE" for -on: parse error"#,
        ),
        (&["-nope"], "flag provided but not defined: -nope"),
        (&["--nope=1"], "flag provided but not defined: -nope"),
        (&["-X"], "flag provided but not defined: -X"),
        (&["-é"], "flag provided but not defined: -é"),
        (&["-=1"], "bad flag syntax: -=1"),
        (&["---port"], "bad flag syntax: ---port"),
        (&["--=x"], "bad flag syntax: --=x"),
        (
            &["-x", "-nope", "-port=z"],
            "flag provided but not defined: -nope",
        ),
    ] {
        assert_eq!(
            set().parse(words.iter().copied()),
            Err(Stop::Usage(format!("{fault}\n{USAGE}"))),
            "{words:?}"
        );
    }
}

#[test]
fn what_follows_the_flags_is_left_alone() {
    for (words, rest) in [
        (
            &["-enable-pprof", "false", "-port", "9"][..],
            &["false", "-port", "9"][..],
        ),
        (&["-"], &["-"]),
        (&["--"], &[]),
        (&["--", "-port", "1"], &["-port", "1"]),
        (&["-zero", "1", "--", "-x"], &["-x"]),
        (&["a", "-port", "1"], &["a", "-port", "1"]),
        (&["-x", "-"], &["-"]),
        (&[""], &[""]),
    ] {
        let parsed = set().parse(words.iter().copied()).unwrap();
        assert_eq!(parsed.rest, rest, "{words:?}");
        assert_eq!(parsed.int("port"), 7472, "{words:?}");
        assert!(
            !parsed.bool("x") || words.first() == Some(&"-x"),
            "{words:?}"
        );
    }
}

#[test]
fn text_takes_any_next_word_even_one_that_looks_like_a_flag() {
    for (words, want, rest) in [
        (&["-config", "-port", "1"][..], "-port", &["1"][..]),
        (&["-config", ""], "", &[]),
        (&["-config=a=b"], "a=b", &[]),
        (&["-config", "a", "-config=b"], "b", &[]),
        (&["-config="], "", &[]),
        (&["-config", "--"], "--", &[]),
    ] {
        let parsed = set().parse(words.iter().copied()).unwrap();
        assert_eq!(parsed.text("config"), want, "{words:?}");
        assert_eq!(parsed.rest, rest, "{words:?}");
    }
}

#[test]
fn booleans_take_a_value_only_after_the_equals_sign() {
    for (words, pprof, on) in [
        (&["-enable-pprof"][..], true, true),
        (&["-enable-pprof=false"], false, true),
        (&["--enable-pprof=T", "-on=F"], true, false),
        (&["-on=0"], false, false),
        (&["-on=false", "-on"], false, true),
        (&["-on=TRUE"], false, true),
    ] {
        let parsed = set().parse(words.iter().copied()).unwrap();
        assert_eq!(
            (parsed.bool("enable-pprof"), parsed.bool("on")),
            (pprof, on),
            "{words:?}"
        );
    }
}

#[test]
fn a_value_of_another_kind_is_the_kind_s_zero() {
    let parsed = set().parse([""; 0]).unwrap();
    assert_eq!(parsed.text("port"), "");
    assert_eq!(parsed.int("config"), 0);
    assert!(!parsed.bool("nothing"));
    assert!(!parsed.is_given("port"));
    assert!(set().parse(["-port=7472"]).unwrap().is_given("port"));
}
