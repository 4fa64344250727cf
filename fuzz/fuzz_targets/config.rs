//! The configuration's parser: any text, in all modes. `tests/golden/config` is a good corpus to begin with.
#![no_main]

use ferrolb::config::mode::Mode;
use ferrolb::config::parse::{examine, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    for mode in Mode::ALL {
        match parse(text, mode) {
            Ok(config) => {
                // What is accepted keeps the promises of the types.
                for pool in &config.pools {
                    assert!(!pool.name.is_empty());
                    assert!(pool.cidrs.iter().all(|cidr| *cidr == cidr.trunc()));
                }
                for peer in &config.peers {
                    assert!(peer.my_asn != 0 && peer.peer_asn != 0 && peer.keepalive_time <= peer.hold_time);
                    assert!(!peer.node_selectors.is_empty());
                }
            }
            // Logs and Events take one line.
            Err(refused) => assert!(!refused.to_string().contains('\n')),
        }
    }
    let examined = examine(text, Mode::FerroLb);
    assert_eq!(examined.config.is_some(), examined.errors.is_empty());
    for diagnostic in examined.errors.iter().chain(&examined.warnings) {
        assert!(diagnostic.span.start <= text.len() && text.is_char_boundary(diagnostic.span.start));
    }
});
