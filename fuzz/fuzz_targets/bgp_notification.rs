//! Any octets as a NOTIFICATION: decoding never panics, what was decoded is encoded to the same, and its text is one short
//! line without control characters.
#![no_main]

use ferrolb::bgp::wire::{Context, MAX_MESSAGE, Message, decode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    let body = &body[..body.len().min(MAX_MESSAGE - 19)];
    let mut message = vec![0xff; 16];
    message.extend_from_slice(&u16::try_from(19 + body.len()).expect("short").to_be_bytes());
    message.push(3);
    message.extend_from_slice(body);
    if let Ok(Message::Notification(notification)) = decode(&message, &Context::default()) {
        let mut again = Vec::new();
        notification.encode(&mut again);
        assert_eq!(again, message);
        for notification in [notification.in_hard_reset(), notification] {
            let text = notification.to_string();
            assert!(!text.chars().any(char::is_control), "{text:?}");
            // 255 octets of text, escaped; or the names of capabilities.
            assert!(text.len() < 64 * MAX_MESSAGE, "{}", text.len());
        }
    }
});
