//! What is asked before a cluster is changed.

use super::{Outputs, Stop, ask};
use crate::cli::migrate::DONE;

#[test]
fn only_yes_is_yes() {
    for (answer, want) in [
        ("y\n", true),
        ("Y\n", true),
        ("yes\n", true),
        (" Yes \r\n", true),
        ("y", true),
        ("\n", false),
        ("", false),
        ("n\n", false),
        ("no\n", false),
        ("yesterday\n", false),
        ("yyyyyyyyyyyyyyyyyyyyyyyyyyy\n", false),
        ("n\nyes\n", false),
    ] {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut outputs = Outputs {
            out: &mut out,
            err: &mut err,
        };
        let asked = ask(
            "Make these 8 changes?",
            &mut answer.as_bytes(),
            &mut outputs,
        );
        let is_yes = asked.is_ok();
        assert_eq!(is_yes, want, "{answer:?}");
        assert!(is_yes || matches!(asked, Err(Stop::Status(DONE))));
        let told = String::from_utf8(err).unwrap();
        let rest = if want { "" } else { "nothing was changed\n" };
        assert_eq!(told, format!("Make these 8 changes? [y/N] {rest}"));
        assert!(out.is_empty());
    }
}
