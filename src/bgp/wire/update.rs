//! UPDATE: what a peer sends, checked (RFC 7606), and what we send, packed.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;

use super::attributes::{
    AS_PATH, EXTENDED_LENGTH, MP_REACH_NLRI, MP_UNREACH_NLRI, NEXT_HOP, OPTIONAL, ORIGIN, check,
    head, head_length, is_unknown_well_known, name_of,
};
use super::header::{HEADER, Kind, message};
use super::reader::Reader;
use super::{Context, Error, Family, Span};

/// Octets of an UPDATE with nothing in it: the header and two lengths.
const EMPTY: usize = HEADER + 4;

/// What is done about an attribute that is wrong. RFC 7606 §2, weakest first; the strongest, to end the session, is an
/// [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// The attribute counts as not sent.
    AttributeDiscard,
    /// The announced routes count as withdrawn.
    TreatAsWithdraw,
}

/// An attribute that is wrong, without an end to the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fault {
    /// Its type code; 0: the list of attributes is cut off.
    pub attribute: u8,
    /// What was done about it.
    pub action: Action,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.attribute, name_of(self.attribute)) {
            (0, _) => f.write_str("the path attributes are cut off")?,
            (kind, Some(name)) => write!(f, "{name} (attribute {kind})")?,
            (kind, None) => write!(f, "attribute {kind}")?,
        }
        f.write_str(match (self.attribute, self.action) {
            (0, _) => ": the routes count as withdrawn",
            (_, Action::AttributeDiscard) => " is wrong or repeated: it is ignored",
            (_, Action::TreatAsWithdraw) => " is wrong or missing: the routes count as withdrawn",
        })
    }
}

/// What was in an UPDATE.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Update {
    /// Prefixes of IPv4 and IPv6 that were announced.
    pub announced: u32,
    /// Prefixes of IPv4 and IPv6 that were withdrawn, or count as withdrawn.
    pub withdrawn: u32,
    /// It was End-of-RIB of this family (RFC 4724 §2).
    pub end_of_rib: Option<Family>,
    /// The worst fault (RFC 7606 §3 (h)), the first of them.
    pub fault: Option<Fault>,
}

impl Update {
    /// Reads what is behind the header.
    ///
    /// # Errors
    ///
    /// What RFC 7606 still ends the session for.
    pub fn decode(body: &[u8], context: &Context) -> Result<Self, Error> {
        let mut reader = Reader::new(body);
        // RFC 7606 §3 (b): lengths that exceed the message: Malformed Attribute List.
        let withdrawn = reader.part16().ok_or(Error::AttributeList)?;
        let attributes = reader.part16().ok_or(Error::AttributeList)?;
        let nlri = reader.rest();
        // RFC 7606 §3 (i), (j), §5.3: prefixes that cannot be read end the session.
        let classic = |octets| prefixes(octets, 32).ok_or(Error::NetworkField);
        let mut update = Self {
            withdrawn: classic(withdrawn)?,
            announced: classic(nlri)?,
            ..Self::default()
        };
        let start = HEADER + 4 + withdrawn.len();
        let found = Attributes::decode(attributes, start, context, &mut update)?;
        let reaches = !nlri.is_empty() || found.reaches;
        if reaches {
            // RFC 7606 §3 (d): a mandatory attribute is missing: treat-as-withdraw. RFC 4760 §3: NEXT_HOP goes with NLRI alone.
            for (kind, needed) in [
                (ORIGIN, true),
                (AS_PATH, true),
                (NEXT_HOP, !nlri.is_empty()),
            ] {
                if needed && !found.has(kind) {
                    update.worse(kind, Action::TreatAsWithdraw);
                }
            }
        }
        let withdraw = update
            .fault
            .is_some_and(|fault| fault.action == Action::TreatAsWithdraw);
        if withdraw {
            // RFC 7606 §5.2: attributes other than MP_UNREACH_NLRI and no reachable routes: nobody knows which routes are meant.
            if !reaches && found.others {
                return Err(Error::NothingToWithdraw);
            }
            update.withdrawn += std::mem::take(&mut update.announced);
        }
        // RFC 4724 §2: nothing at all, or MP_UNREACH_NLRI alone with nothing in it.
        if withdrawn.is_empty() && nlri.is_empty() && !found.others {
            update.end_of_rib = if attributes.is_empty() {
                Some(Family::IPV4_UNICAST)
            } else {
                found.unreach_of_nothing
            };
        }
        Ok(update)
    }

    /// Notes a fault if it is worse than the one there is.
    fn worse(&mut self, attribute: u8, action: Action) {
        if self.fault.is_none_or(|fault| fault.action < action) {
            self.fault = Some(Fault { attribute, action });
        }
    }
}

/// Which attributes there were.
struct Attributes {
    seen: [bool; 256],
    /// MP_REACH_NLRI announces something.
    reaches: bool,
    /// There was one that is not MP_UNREACH_NLRI.
    others: bool,
    /// MP_UNREACH_NLRI withdraws nothing of this family.
    unreach_of_nothing: Option<Family>,
}

impl Attributes {
    fn has(&self, kind: u8) -> bool {
        self.seen.get(usize::from(kind)).copied().unwrap_or(false)
    }

    /// `start`: how many octets of the message are before the attributes.
    fn decode(
        octets: &[u8],
        start: usize,
        context: &Context,
        update: &mut Update,
    ) -> Result<Self, Error> {
        let mut found = Self {
            seen: [false; 256],
            reaches: false,
            others: false,
            unreach_of_nothing: None,
        };
        let mut reader = Reader::new(octets);
        while !reader.is_empty() {
            let (before, rest) = (reader.len(), reader.rest());
            let Some((flags, kind, value)) = attribute(&mut reader) else {
                // RFC 7606 §3 (j): prefixes that cannot be read cannot be treated as withdrawn.
                if matches!(rest, [_, MP_REACH_NLRI | MP_UNREACH_NLRI, ..]) {
                    return Err(Error::NothingToWithdraw);
                }
                // RFC 7606 §4: the rest is too short: treat-as-withdraw; Total Attribute Length tells where NLRI begins.
                found.others = true;
                update.worse(0, Action::TreatAsWithdraw);
                break;
            };
            let span = Span {
                start: u16::try_from(start + octets.len() - before).unwrap_or(u16::MAX),
                length: u16::try_from(before - reader.len()).unwrap_or(u16::MAX),
            };
            let again = found.has(kind);
            if let Some(seen) = found.seen.get_mut(usize::from(kind)) {
                *seen = true;
            }
            found.others |= kind != MP_UNREACH_NLRI;
            if again {
                // RFC 7606 §3 (g): MP_REACH_NLRI or MP_UNREACH_NLRI twice: Malformed Attribute List; of others the first counts.
                if matches!(kind, MP_REACH_NLRI | MP_UNREACH_NLRI) {
                    return Err(Error::AttributeList);
                }
                update.worse(kind, Action::AttributeDiscard);
                continue;
            }
            // RFC 4271 §6.3: Unrecognized Well-known Attribute, which RFC 7606 leaves as it was.
            if is_unknown_well_known(kind, flags) {
                return Err(Error::WellKnown(span));
            }
            if let Some(action) = check(kind, flags, value, context) {
                update.worse(kind, action);
            }
            match kind {
                MP_REACH_NLRI => {
                    let (announced, reaches) =
                        reach(value, context).ok_or(Error::OptionalAttribute(span))?;
                    update.announced += announced;
                    found.reaches = reaches;
                }
                MP_UNREACH_NLRI => {
                    let (withdrawn, nothing) =
                        unreach(value).ok_or(Error::OptionalAttribute(span))?;
                    update.withdrawn += withdrawn;
                    found.unreach_of_nothing = nothing;
                }
                _ => {}
            }
        }
        Ok(found)
    }
}

/// The next attribute: flags, type, value.
fn attribute<'a>(reader: &mut Reader<'a>) -> Option<(u8, u8, &'a [u8])> {
    let (flags, kind) = (reader.u8()?, reader.u8()?);
    let value = if flags & EXTENDED_LENGTH == 0 {
        reader.part8()?
    } else {
        reader.part16()?
    };
    Some((flags, kind, value))
}

/// How many prefixes; `None`: RFC 7606 §5.3: one is longer than its address, or than what is left.
fn prefixes(octets: &[u8], bits: u8) -> Option<u32> {
    let mut reader = Reader::new(octets);
    let mut count = 0;
    while let Some(length) = reader.u8() {
        if length > bits {
            return None;
        }
        reader.take(usize::from(length.div_ceil(8)))?;
        count += 1;
    }
    Some(count)
}

/// How many bits the addresses of a family have, where what follows are plain prefixes (unicast, multicast).
const fn bits_of(family: Family) -> Option<u8> {
    match family {
        Family {
            afi: 1,
            safi: 1 | 2,
        } => Some(32),
        Family {
            afi: 2,
            safi: 1 | 2,
        } => Some(128),
        Family { .. } => None,
    }
}

/// MP_REACH_NLRI: how many prefixes, and whether there is anything at all; `None`: it cannot be read.
fn reach(value: &[u8], context: &Context) -> Option<(u32, bool)> {
    let mut reader = Reader::new(value);
    let family = Family {
        afi: reader.u16()?,
        safi: reader.u8()?,
    };
    let next_hop = reader.part8()?;
    let _reserved = reader.u8()?;
    let reaches = !reader.is_empty();
    let Some(bits) = bits_of(family) else {
        // A family that was not agreed on: ignored, whatever is in it.
        return Some((0, reaches));
    };
    // RFC 7606 §7.11: a length of the next hop that cannot be: the NLRI cannot be located. RFC 2545 §3: 16 or 32; RFC 8950 §3: for
    // IPv4 as well, where agreed on.
    let fits = match next_hop.len() {
        4 => family.afi == 1,
        16 | 32 => family.afi == 2 || context.extended_next_hop,
        _ => false,
    };
    if !fits {
        return None;
    }
    Some((prefixes(reader.rest(), bits)?, reaches))
}

/// MP_UNREACH_NLRI: how many prefixes, and which family if there is nothing at all; `None`: it cannot be read.
fn unreach(value: &[u8]) -> Option<(u32, Option<Family>)> {
    let mut reader = Reader::new(value);
    let family = Family {
        afi: reader.u16()?,
        safi: reader.u8()?,
    };
    let nothing = reader.is_empty().then_some(family);
    let count = bits_of(family).map_or(Some(0), |bits| prefixes(reader.rest(), bits))?;
    Some((count, nothing))
}

/// Appends a prefix: its length, and as many octets as that needs. RFC 4271 §4.3.
fn put_prefix(out: &mut Vec<u8>, prefix: &IpNet) {
    let length = prefix.prefix_len();
    out.push(length);
    let octets = usize::from(length.div_ceil(8));
    match prefix.network() {
        IpAddr::V4(address) => out.extend(address.octets().iter().take(octets)),
        IpAddr::V6(address) => out.extend(address.octets().iter().take(octets)),
    }
}

/// The next hop of MP_REACH_NLRI. RFC 2545 §3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NextHop6 {
    /// The global address.
    pub global: Ipv6Addr,
    /// The link-local address as well, where the peer is on the same link.
    pub link_local: Option<Ipv6Addr>,
}

/// Where the prefixes stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Announced,
    Withdrawn,
    /// MP_REACH_NLRI or MP_UNREACH_NLRI: its type.
    Attribute(u8),
}

/// One UPDATE under way: either announces prefixes with equal attributes or withdraws some, all of one family (RFC 7606 §5.1).
///
/// Invariant: what [`finish`](Self::finish) gives has at most as many octets as the limit says, as soon as one prefix was
/// taken.
#[derive(Debug, Clone)]
pub struct Builder {
    form: Form,
    family: Family,
    limit: usize,
    attributes: Vec<u8>,
    /// What is before the prefixes in the attribute.
    fixed: usize,
    /// The attribute's value, or the prefixes.
    value: Vec<u8>,
}

impl Builder {
    /// Announces IPv4 unicast prefixes in NLRI. `attributes` have NEXT_HOP ([`encode`](super::attributes::encode)).
    #[must_use]
    pub const fn announce(attributes: Vec<u8>, limit: usize) -> Self {
        Self {
            form: Form::Announced,
            family: Family::IPV4_UNICAST,
            limit,
            attributes,
            fixed: 0,
            value: Vec::new(),
        }
    }

    /// Announces unicast prefixes in MP_REACH_NLRI: IPv6 (RFC 2545), or IPv4 with an IPv6 next hop (RFC 8950).
    #[must_use]
    pub fn announce_mp(
        family: Family,
        next_hop: &NextHop6,
        attributes: Vec<u8>,
        limit: usize,
    ) -> Self {
        let mut value = family.afi.to_be_bytes().to_vec();
        let global = next_hop.global.octets();
        match next_hop.link_local.map(|address| address.octets()) {
            Some(link_local) => {
                value.extend_from_slice(&[family.safi, 32]);
                value.extend_from_slice(&global);
                value.extend_from_slice(&link_local);
            }
            None => {
                value.extend_from_slice(&[family.safi, 16]);
                value.extend_from_slice(&global);
            }
        }
        value.push(0);
        Self {
            form: Form::Attribute(MP_REACH_NLRI),
            family,
            limit,
            attributes,
            fixed: value.len(),
            value,
        }
    }

    /// Withdraws IPv4 unicast prefixes.
    #[must_use]
    pub const fn withdraw(limit: usize) -> Self {
        Self {
            form: Form::Withdrawn,
            family: Family::IPV4_UNICAST,
            limit,
            attributes: Vec::new(),
            fixed: 0,
            value: Vec::new(),
        }
    }

    /// Withdraws unicast prefixes in MP_UNREACH_NLRI: what was announced in MP_REACH_NLRI.
    #[must_use]
    pub fn withdraw_mp(family: Family, limit: usize) -> Self {
        let mut value = family.afi.to_be_bytes().to_vec();
        value.push(family.safi);
        Self {
            form: Form::Attribute(MP_UNREACH_NLRI),
            family,
            limit,
            attributes: Vec::new(),
            fixed: value.len(),
            value,
        }
    }

    /// Takes a prefix; `false`: there is no room for it, or it is of another family.
    pub fn push(&mut self, prefix: &IpNet) -> bool {
        let octets = 1 + usize::from(prefix.prefix_len().div_ceil(8));
        if Family::unicast(&prefix.addr()) != self.family || !self.has_room(octets) {
            return false;
        }
        put_prefix(&mut self.value, prefix);
        true
    }

    /// Whether a prefix that takes this many octets finds room.
    #[must_use]
    pub fn has_room(&self, octets: usize) -> bool {
        let value = self.value.len() + octets;
        let head = match self.form {
            Form::Announced | Form::Withdrawn => 0,
            Form::Attribute(_) => head_length(value),
        };
        EMPTY + self.attributes.len() + head + value <= self.limit
    }

    /// Whether no prefix was taken.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.value.len() == self.fixed
    }

    /// The message.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(EMPTY + 4 + self.value.len() + self.attributes.len());
        message(&mut out, Kind::Update, |out| {
            let length = |octets: usize| u16::try_from(octets).unwrap_or(u16::MAX).to_be_bytes();
            match self.form {
                Form::Withdrawn => {
                    out.extend_from_slice(&length(self.value.len()));
                    out.extend_from_slice(&self.value);
                    out.extend_from_slice(&[0, 0]);
                }
                Form::Announced => {
                    out.extend_from_slice(&[0, 0]);
                    out.extend_from_slice(&length(self.attributes.len()));
                    out.extend_from_slice(&self.attributes);
                    out.extend_from_slice(&self.value);
                }
                // RFC 7606 §5.1: the very first attribute.
                Form::Attribute(kind) => {
                    let mp = head_length(self.value.len()) + self.value.len();
                    out.extend_from_slice(&[0, 0]);
                    out.extend_from_slice(&length(mp + self.attributes.len()));
                    let _fits = head(out, OPTIONAL, kind, self.value.len());
                    out.extend_from_slice(&self.value);
                    out.extend_from_slice(&self.attributes);
                }
            }
        });
        out
    }
}

/// End-of-RIB of a family: RFC 4724 §2.
#[must_use]
pub fn end_of_rib(family: Family) -> Vec<u8> {
    if family == Family::IPV4_UNICAST {
        Builder::withdraw(EMPTY).finish()
    } else {
        Builder::withdraw_mp(family, EMPTY).finish()
    }
}
