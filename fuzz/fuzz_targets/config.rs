//! The configuration's parser: any text, in all modes. The documents of `tests/golden/config` are a good corpus to begin
//! with; `-s none -- -max_len=512` makes it fast.
#![no_main]

use ferrolb::config::mode::Mode;
use ferrolb::config::parse::{examine, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    // One parse a run: the length decides about what is looked at.
    let mode = Mode::ALL[text.len() % 3];
    if text.len() % 2 == 0 {
        let examined = examine(text, mode);
        assert_eq!(examined.config.is_some(), examined.errors.is_empty());
        for diagnostic in examined.errors.iter().chain(&examined.warnings) {
            assert!(text.is_char_boundary(diagnostic.span.start));
        }
        return;
    }
    match parse(text, mode) {
        Ok(config) => {
            // What is accepted keeps the promises of the types.
            for pool in &config.pools {
                assert!(!pool.name.is_empty());
                assert!(pool.cidrs.iter().all(|cidr| *cidr == cidr.trunc()));
            }
            for peer in &config.peers {
                assert!(peer.my_asn != 0 && peer.peer_asn != 0);
                assert!(peer.keepalive_time <= peer.hold_time);
                assert!(!peer.node_selectors.is_empty());
            }
        }
        // Logs and Events take one line.
        Err(refused) => assert!(!refused.to_string().contains('\n')),
    }
});
