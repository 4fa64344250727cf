//! Ranges of addresses: from two ends to CIDRs, and from CIDRs to intervals of numbers.
//!
//! All addresses live in one space of 128-bit numbers, in which an IPv4 address stands where IPv6 has its
//! IPv4-mapped form (`::ffff:0:0/96`, RFC 4291 §2.5.5.2). Order in that space is order within a family, and the
//! mapped form of an address is the address itself, as it is for Go's `net.IP`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::Family;

#[cfg(test)]
mod tests;

/// The first and the last number of the IPv4 addresses.
const MAPPED: Interval = Interval {
    first: 0xffff_0000_0000,
    last: 0xffff_ffff_ffff,
};

/// The number of an address.
#[must_use]
pub fn bits_of(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => MAPPED.first | u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// The address of a number; the numbers of `::ffff:0:0/96` are IPv4 addresses.
#[must_use]
pub fn address_of(bits: u128) -> IpAddr {
    IpAddr::V6(Ipv6Addr::from_bits(bits)).to_canonical()
}

/// The family of a number.
#[must_use]
pub fn family_of(bits: u128) -> Family {
    if MAPPED.contains(bits) {
        Family::V4
    } else {
        Family::V6
    }
}

/// Addresses without a gap, of one family, both ends included. Invariant: `first <= last`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Interval {
    /// The number of the first address.
    pub first: u128,
    /// The number of the last address.
    pub last: u128,
}

impl Interval {
    /// The intervals of a CIDR, ascending: one, or two where an IPv6 CIDR lies around the IPv4-mapped addresses,
    /// which are none of its own. A CIDR of mapped addresses alone is the IPv4 CIDR.
    #[must_use]
    pub fn of_net(net: &IpNet) -> (Self, Option<Self>) {
        let whole = Self {
            first: bits_of(net.network()),
            last: bits_of(net.broadcast()),
        };
        if whole.first < MAPPED.first && MAPPED.last < whole.last {
            let below = Self {
                first: whole.first,
                last: MAPPED.first - 1,
            };
            let above = Self {
                first: MAPPED.last + 1,
                last: whole.last,
            };
            (below, Some(above))
        } else {
            (whole, None)
        }
    }

    /// Whether the number lies inside.
    #[must_use]
    pub fn contains(self, bits: u128) -> bool {
        self.first <= bits && bits <= self.last
    }

    /// The family of its addresses.
    #[must_use]
    pub fn family(self) -> Family {
        family_of(self.first)
    }

    /// How many addresses it has; `u128::MAX` where that is one short of the truth (all of IPv6).
    #[must_use]
    pub fn count(self) -> u128 {
        (self.last - self.first).saturating_add(1)
    }

    /// How many of its addresses are IPv4 and end in .0 or .255.
    #[must_use]
    pub fn count_buggy(self) -> u128 {
        match self.family() {
            Family::V4 => {
                // Numbers below n that end in .0, and in .255.
                let below = |n: u128| n.div_ceil(256) + n / 256;
                below(self.last + 1) - below(self.first)
            }
            Family::V6 => 0,
        }
    }
}

/// Whether an address is IPv4 and ends in .0 or .255: firmware that believes in classful networks drops such.
#[must_use]
pub fn is_buggy(bits: u128) -> bool {
    family_of(bits) == Family::V4 && matches!(bits & 0xff, 0 | 0xff)
}

/// The fewest CIDRs that cover the addresses from `first` to `last`, both included, ascending: at most 62 for IPv4,
/// 254 for IPv6. None where the families differ or `last` lies before `first`.
#[must_use]
pub fn cidrs_of(first: IpAddr, last: IpAddr) -> Vec<IpNet> {
    let (family, width) = match (first, last) {
        (IpAddr::V4(_), IpAddr::V4(_)) => (Family::V4, 32),
        (IpAddr::V6(_), IpAddr::V6(_)) => (Family::V6, 128),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return Vec::new(),
    };
    let (mut next, last) = (plain_bits(first), plain_bits(last));
    let mut cidrs = Vec::new();
    while next <= last {
        // The largest block that begins here and ends in time: 2^host_bits addresses.
        let fitting = match (last - next).checked_add(1) {
            Some(count) => count.ilog2(),
            None => 128,
        };
        let host_bits = next.trailing_zeros().min(fitting).min(width);
        let Some(cidr) = cidr(family, next, width - host_bits) else {
            break;
        };
        cidrs.push(cidr);
        let Some(after) = 1_u128
            .checked_shl(host_bits)
            .and_then(|size| next.checked_add(size))
        else {
            break;
        };
        next = after;
    }
    cidrs
}

/// The number of an address within its own family.
fn plain_bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

fn cidr(family: Family, bits: u128, prefix: u32) -> Option<IpNet> {
    let prefix = u8::try_from(prefix).ok()?;
    match family {
        Family::V4 => {
            let address = Ipv4Addr::from_bits(u32::try_from(bits).ok()?);
            Some(Ipv4Net::new(address, prefix).ok()?.into())
        }
        Family::V6 => Some(Ipv6Net::new(Ipv6Addr::from_bits(bits), prefix).ok()?.into()),
    }
}
