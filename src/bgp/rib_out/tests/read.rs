//! A plain reader of what `RibOut` says: independent of `wire` but for the first look.

use super::*;

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    Announced {
        prefixes: Vec<IpNet>,
        communities: Vec<u32>,
        local_pref: Option<u32>,
    },
    Withdrawn(Vec<IpNet>),
    EndOfRib(Family),
    Begin(Family),
    End(Family),
}

fn number(octets: &[u8]) -> usize {
    octets
        .iter()
        .fold(0, |number, octet| number << 8 | usize::from(*octet))
}

fn prefixes(mut octets: &[u8], v6: bool) -> Vec<IpNet> {
    let mut prefixes = Vec::new();
    while let Some((length, rest)) = octets.split_first() {
        let (part, rest) = rest.split_at(usize::from(length.div_ceil(8)));
        octets = rest;
        let mut address = [0; 16];
        address[..part.len()].copy_from_slice(part);
        let address = if v6 {
            IpAddr::from(address)
        } else {
            IpAddr::from([address[0], address[1], address[2], address[3]])
        };
        prefixes.push(IpNet::new(address, *length).unwrap());
    }
    prefixes
}

fn family(octets: &[u8]) -> Family {
    Family {
        afi: u16::try_from(number(&octets[..2])).unwrap(),
        safi: octets[2],
    }
}

/// Reads a message of ours; whatever is not as it should be is a panic.
pub(super) fn read(message: &[u8], context: &Context) -> Said {
    assert!(message.len() <= context.max_message());
    match decode(message, context).unwrap() {
        Message::RouteRefresh(refresh) if refresh.subtype == 1 => {
            return Said::Begin(refresh.family);
        }
        Message::RouteRefresh(refresh) => return Said::End(refresh.family),
        Message::Update(update) => {
            assert_eq!(update.fault, None);
            if let Some(family) = update.end_of_rib {
                assert_eq!(message.len(), if family.afi == 1 { 23 } else { 29 });
                return Said::EndOfRib(family);
            }
        }
        other => panic!("{other:?}"),
    }
    let body = &message[19..];
    let (withdrawn, body) = body[2..].split_at(number(&body[..2]));
    let (mut attributes, nlri) = body[2..].split_at(number(&body[..2]));
    let (mut communities, mut local_pref) = (Vec::new(), None);
    let mut announced = prefixes(nlri, false);
    let mut gone = prefixes(withdrawn, false);
    let mut last = 0;
    while !attributes.is_empty() {
        let (flags, kind) = (attributes[0], attributes[1]);
        let long = if flags & 0x10 == 0 { 1 } else { 2 };
        let length = number(&attributes[2..2 + long]);
        // A long length only where it is needed.
        assert_eq!(long == 2, length > 255);
        let (value, rest) = attributes[2 + long..].split_at(length);
        attributes = rest;
        // RFC 7606 §5.1: MP_REACH_NLRI, MP_UNREACH_NLRI first; then ascending.
        assert!(kind > last || last == 14, "{kind} after {last}");
        assert!(last == 0 || !matches!(kind, 14 | 15));
        last = kind;
        match kind {
            5 => local_pref = Some(u32::try_from(number(value)).unwrap()),
            8 => {
                communities = value
                    .chunks(4)
                    .map(|community| u32::try_from(number(community)).unwrap())
                    .collect();
            }
            14 => {
                let next_hop = usize::from(value[3]);
                announced = prefixes(&value[4 + next_hop + 1..], family(value).afi == 2);
            }
            15 => gone = prefixes(&value[3..], family(value).afi == 2),
            _ => {}
        }
    }
    match (announced.is_empty(), gone.is_empty()) {
        (false, true) => Said::Announced {
            prefixes: announced,
            communities,
            local_pref,
        },
        (true, false) => Said::Withdrawn(gone),
        // RFC 7606 §5.1: one of them.
        both => panic!("{both:?}"),
    }
}
