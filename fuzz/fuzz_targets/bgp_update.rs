//! Any octets as an UPDATE or a ROUTE-REFRESH, whatever was agreed on: decoding never panics, counts are those of the octets,
//! and what was refused has a NOTIFICATION.
#![no_main]

use ferrolb::bgp::wire::{
    Action, Context, MAX_EXTENDED_MESSAGE, MAX_MESSAGE, Message, decode, frame,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, &[u8])| {
    let (agreed, body) = input;
    let context = Context {
        internal: agreed & 1 != 0,
        four_octet: agreed & 2 != 0,
        extended: agreed & 4 != 0,
        refresh: true,
        enhanced_refresh: agreed & 8 != 0,
        ipv4: true,
        ipv6: true,
        extended_next_hop: agreed & 16 != 0,
    };
    let longest = if context.extended {
        MAX_EXTENDED_MESSAGE
    } else {
        MAX_MESSAGE
    };
    let body = &body[..body.len().min(longest - 19)];
    let kind = if agreed & 32 == 0 { 2 } else { 5 };
    let mut message = vec![0xff; 16];
    message.extend_from_slice(&u16::try_from(19 + body.len()).expect("short").to_be_bytes());
    message.push(kind);
    message.extend_from_slice(body);
    match decode(&message, &context) {
        Ok(Message::Update(update)) => {
            let routes = usize::try_from(update.announced + update.withdrawn).expect("few");
            assert!(routes <= body.len());
            if let Some(fault) = update.fault {
                assert!(fault.action != Action::TreatAsWithdraw || update.announced == 0);
                assert!(!fault.to_string().is_empty());
            }
            assert!(update.end_of_rib.is_none() || routes == 0);
        }
        Ok(Message::RouteRefresh(refresh)) => {
            let mut again = Vec::new();
            refresh.encode(&mut again);
            assert_eq!(again, message);
        }
        Ok(other) => panic!("{other:?}"),
        Err(error) => {
            let mut told = Vec::new();
            error.notification(&message).encode(&mut told);
            assert_eq!(frame(&told, false), Ok(Some(told.len())));
        }
    }
});
