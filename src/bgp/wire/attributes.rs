//! Path attributes: which there are, which are right (RFC 7606 §7), and ours (RFC 4271 §5).

use std::net::Ipv4Addr;

use super::reader::Reader;
use super::{AS_TRANS, Action, Context};
use crate::bgp::Attributes;

/// RFC 4271 §5.1.1.
pub(super) const ORIGIN: u8 = 1;
/// RFC 4271 §5.1.2.
pub(super) const AS_PATH: u8 = 2;
/// RFC 4271 §5.1.3.
pub(super) const NEXT_HOP: u8 = 3;
/// RFC 4271 §5.1.4.
const MULTI_EXIT_DISC: u8 = 4;
/// RFC 4271 §5.1.5.
const LOCAL_PREF: u8 = 5;
/// RFC 4271 §5.1.6.
const ATOMIC_AGGREGATE: u8 = 6;
/// RFC 4271 §5.1.7.
const AGGREGATOR: u8 = 7;
/// RFC 1997.
const COMMUNITIES: u8 = 8;
/// RFC 4456 §8.
const ORIGINATOR_ID: u8 = 9;
/// RFC 4456 §8.
const CLUSTER_LIST: u8 = 10;
/// RFC 4760 §3.
pub(super) const MP_REACH_NLRI: u8 = 14;
/// RFC 4760 §4.
pub(super) const MP_UNREACH_NLRI: u8 = 15;
/// RFC 4360.
const EXTENDED_COMMUNITIES: u8 = 16;
/// RFC 6793 §3.
const AS4_PATH: u8 = 17;
/// RFC 6793 §3.
const AS4_AGGREGATOR: u8 = 18;
/// RFC 5701.
const IPV6_EXTENDED_COMMUNITIES: u8 = 25;
/// RFC 8092.
const LARGE_COMMUNITIES: u8 = 32;
/// RFC 9234 §5.
const ONLY_TO_CUSTOMER: u8 = 35;

/// RFC 4271 §4.3: not well-known.
pub(super) const OPTIONAL: u8 = 0x80;
/// RFC 4271 §4.3: passed on by those who do not know it.
const TRANSITIVE: u8 = 0x40;
/// RFC 4271 §4.3: the length has two octets.
pub(super) const EXTENDED_LENGTH: u8 = 0x10;

/// RFC 4271 §4.3: a segment of AS_PATH that is in order.
const AS_SEQUENCE: u8 = 2;
/// RFC 5065 §3: the last type of a segment that there is, AS_CONFED_SET.
const LAST_SEGMENT: u8 = 4;

/// The name of an attribute that we know.
#[must_use]
pub const fn name_of(kind: u8) -> Option<&'static str> {
    Some(match kind {
        ORIGIN => "ORIGIN",
        AS_PATH => "AS_PATH",
        NEXT_HOP => "NEXT_HOP",
        MULTI_EXIT_DISC => "MULTI_EXIT_DISC",
        LOCAL_PREF => "LOCAL_PREF",
        ATOMIC_AGGREGATE => "ATOMIC_AGGREGATE",
        AGGREGATOR => "AGGREGATOR",
        COMMUNITIES => "COMMUNITIES",
        ORIGINATOR_ID => "ORIGINATOR_ID",
        CLUSTER_LIST => "CLUSTER_LIST",
        MP_REACH_NLRI => "MP_REACH_NLRI",
        MP_UNREACH_NLRI => "MP_UNREACH_NLRI",
        EXTENDED_COMMUNITIES => "EXTENDED COMMUNITIES",
        AS4_PATH => "AS4_PATH",
        AS4_AGGREGATOR => "AS4_AGGREGATOR",
        IPV6_EXTENDED_COMMUNITIES => "IPv6 EXTENDED COMMUNITIES",
        LARGE_COMMUNITIES => "LARGE_COMMUNITY",
        ONLY_TO_CUSTOMER => "ONLY_TO_CUSTOMER",
        _ => return None,
    })
}

/// The Optional and Transitive bits of an attribute that we know.
const fn flags_of(kind: u8) -> Option<u8> {
    Some(match kind {
        ORIGIN | AS_PATH | NEXT_HOP | LOCAL_PREF | ATOMIC_AGGREGATE => TRANSITIVE,
        MULTI_EXIT_DISC | ORIGINATOR_ID | CLUSTER_LIST | MP_REACH_NLRI | MP_UNREACH_NLRI => {
            OPTIONAL
        }
        AGGREGATOR
        | COMMUNITIES
        | EXTENDED_COMMUNITIES
        | AS4_PATH
        | AS4_AGGREGATOR
        | IPV6_EXTENDED_COMMUNITIES
        | LARGE_COMMUNITIES
        | ONLY_TO_CUSTOMER => OPTIONAL | TRANSITIVE,
        _ => return None,
    })
}

/// Whether an attribute that nobody knows says that everybody does.
pub(super) const fn is_unknown_well_known(kind: u8, flags: u8) -> bool {
    flags_of(kind).is_none() && flags & OPTIONAL == 0
}

/// What becomes of an attribute that is wrong; `None`: it is right, as far as we know it. MP_REACH_NLRI and MP_UNREACH_NLRI: their
/// flags alone.
pub(super) fn check(kind: u8, flags: u8, value: &[u8], context: &Context) -> Option<Action> {
    // RFC 7606 §3 (c): flags in conflict with the specified ones: treat-as-withdraw.
    if flags_of(kind).is_some_and(|specified| flags & (OPTIONAL | TRANSITIVE) != specified) {
        return Some(Action::TreatAsWithdraw);
    }
    let whole = |unit: usize| !value.is_empty() && value.len().is_multiple_of(unit);
    let (right, action) = match kind {
        // RFC 7606 §7.1: length other than 1, or an undefined value.
        ORIGIN => (matches!(value, [0..=2]), Action::TreatAsWithdraw),
        // §7.2.
        AS_PATH => (is_path(value, context.four_octet), Action::TreatAsWithdraw),
        // §7.3, §7.4; RFC 9234 §5.
        NEXT_HOP | MULTI_EXIT_DISC | ONLY_TO_CUSTOMER => {
            (value.len() == 4, Action::TreatAsWithdraw)
        }
        // §7.5, §7.9, §7.10: from an external peer: attribute discard.
        LOCAL_PREF | ORIGINATOR_ID | CLUSTER_LIST if !context.internal => {
            (false, Action::AttributeDiscard)
        }
        LOCAL_PREF | ORIGINATOR_ID => (value.len() == 4, Action::TreatAsWithdraw),
        // §7.6.
        ATOMIC_AGGREGATE => (value.is_empty(), Action::AttributeDiscard),
        // §7.7.
        AGGREGATOR => (
            value.len() == if context.four_octet { 8 } else { 6 },
            Action::AttributeDiscard,
        ),
        // §7.8, §7.10: a non-zero multiple.
        COMMUNITIES | CLUSTER_LIST => (whole(4), Action::TreatAsWithdraw),
        // §7.14; §7.15; RFC 8092 §6.
        EXTENDED_COMMUNITIES => (whole(8), Action::TreatAsWithdraw),
        IPV6_EXTENDED_COMMUNITIES => (whole(20), Action::TreatAsWithdraw),
        LARGE_COMMUNITIES => (whole(12), Action::TreatAsWithdraw),
        // RFC 6793 §4.1: one who speaks four octets does not send them; §6: malformed ones are discarded.
        AS4_PATH | AS4_AGGREGATOR if context.four_octet => (false, Action::AttributeDiscard),
        AS4_PATH => (
            !value.is_empty() && is_path(value, true),
            Action::AttributeDiscard,
        ),
        AS4_AGGREGATOR => (value.len() == 8, Action::AttributeDiscard),
        _ => return None,
    };
    (!right).then_some(action)
}

/// RFC 7606 §7.2: known segment types, none empty, none beyond the end.
fn is_path(value: &[u8], four_octet: bool) -> bool {
    let mut reader = Reader::new(value);
    let octets = if four_octet { 4 } else { 2 };
    while !reader.is_empty() {
        let (Some(1..=LAST_SEGMENT), Some(count @ 1..)) = (reader.u8(), reader.u8()) else {
            return false;
        };
        if reader.take(usize::from(count) * octets).is_none() {
            return false;
        }
    }
    true
}

/// What a session adds to a route's own attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Path {
    /// Our AS number: the whole of AS_PATH towards an external peer; not sent to an internal one.
    pub my_asn: u32,
    /// What was agreed on.
    pub context: Context,
    /// NEXT_HOP; `None`: it is in MP_REACH_NLRI.
    pub next_hop: Option<Ipv4Addr>,
}

/// Path attributes as octets, in ascending order of their codes, without MP_REACH_NLRI; `None`: one of them is longer than any
/// message.
#[must_use]
pub fn encode(attributes: &Attributes, path: &Path) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(48 + 4 * attributes.communities.len());
    put(&mut out, TRANSITIVE, ORIGIN, &[attributes.origin as u8])?;
    as_path(&mut out, path)?;
    if let Some(next_hop) = path.next_hop {
        put(&mut out, TRANSITIVE, NEXT_HOP, &next_hop.octets())?;
    }
    // RFC 4271 §5.1.5: to internal peers, and MUST NOT be sent to external ones.
    if path.context.internal {
        let local_pref = attributes.local_pref.to_be_bytes();
        put(&mut out, TRANSITIVE, LOCAL_PREF, &local_pref)?;
    }
    // RFC 7606 §7.8: an empty one is malformed.
    if !attributes.communities.is_empty() {
        let communities: Vec<u8> = attributes
            .communities
            .iter()
            .flat_map(|community| community.to_be_bytes())
            .collect();
        put(&mut out, OPTIONAL | TRANSITIVE, COMMUNITIES, &communities)?;
    }
    // RFC 6793 §4.2.2: where AS_PATH could not say it.
    if !path.context.internal && !path.context.four_octet && path.my_asn > u32::from(u16::MAX) {
        let [a, b, c, d] = path.my_asn.to_be_bytes();
        let sequence = [AS_SEQUENCE, 1, a, b, c, d];
        put(&mut out, OPTIONAL | TRANSITIVE, AS4_PATH, &sequence)?;
    }
    Some(out)
}

fn as_path(out: &mut Vec<u8>, path: &Path) -> Option<()> {
    // RFC 4271 §5.1.2: empty to internal peers, our own number to external ones.
    if path.context.internal {
        return put(out, TRANSITIVE, AS_PATH, &[]);
    }
    if path.context.four_octet {
        let [a, b, c, d] = path.my_asn.to_be_bytes();
        return put(out, TRANSITIVE, AS_PATH, &[AS_SEQUENCE, 1, a, b, c, d]);
    }
    // RFC 6793 §4.2.2: AS_TRANS for what two octets cannot say.
    let [a, b] = u16::try_from(path.my_asn).unwrap_or(AS_TRANS).to_be_bytes();
    put(out, TRANSITIVE, AS_PATH, &[AS_SEQUENCE, 1, a, b])
}

/// Appends an attribute, with a long length only where needed; `None`: too long for that as well.
pub(super) fn put(out: &mut Vec<u8>, flags: u8, kind: u8, value: &[u8]) -> Option<()> {
    head(out, flags, kind, value.len())?;
    out.extend_from_slice(value);
    Some(())
}

/// Appends an attribute's flags, type and length.
pub(super) fn head(out: &mut Vec<u8>, flags: u8, kind: u8, length: usize) -> Option<()> {
    if let Ok(short) = u8::try_from(length) {
        out.extend_from_slice(&[flags, kind, short]);
    } else {
        let long = u16::try_from(length).ok()?;
        out.extend_from_slice(&[flags | EXTENDED_LENGTH, kind]);
        out.extend_from_slice(&long.to_be_bytes());
    }
    Some(())
}

/// How many octets [`head`] appends.
pub(super) const fn head_length(length: usize) -> usize {
    if length > 255 { 4 } else { 3 }
}
