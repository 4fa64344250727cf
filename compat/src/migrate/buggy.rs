//! Pools without the IPv4 addresses that end in .0 and .255, for releases whose pools cannot say so (to 0.13.3).

use std::net::{IpAddr, Ipv4Addr};

use crate::go::ip::{parse_cidr, parse_ip};

/// The addresses of a line of a pool without those that end in .0 and .255, as lines; the line itself where it has none.
/// Nothing where it has no others. IPv6 is left alone, as 0.12 does.
///
/// ```
/// use ferrolb_compat::migrate::buggy::split;
/// assert_eq!(split("198.51.100.0/23"), ["198.51.100.1-198.51.100.254", "198.51.101.1-198.51.101.254"]);
/// assert_eq!(split("203.0.113.7/32"), ["203.0.113.7/32"]);
/// assert!(split("203.0.113.0/32").is_empty());
/// ```
#[must_use]
pub fn split(line: &str) -> Vec<String> {
    let Some((first, last)) = v4_range(line) else {
        return vec![line.to_owned()];
    };
    let whole_blocks = (last >> 8) - (first >> 8);
    if first & 0xff != 0 && last & 0xff != 0xff && whole_blocks == 0 {
        return vec![line.to_owned()];
    }
    ((first >> 8)..=(last >> 8))
        .filter_map(|block| {
            let start = first.max(block << 8 | 1);
            let end = last.min(block << 8 | 0xfe);
            (start <= end).then(|| range(start, end))
        })
        .collect()
}

/// How many /24 a line touches: how many lines [`split`] makes of it at most.
#[must_use]
pub fn blocks(line: &str) -> u32 {
    v4_range(line).map_or(1, |(first, last)| (last >> 8) - (first >> 8) + 1)
}

/// Upstream's own cut: the first and the last address of every CIDR, also of IPv6; ranges are left alone. `None`: there are
/// not enough addresses.
#[must_use]
pub fn upstream_split(line: &str) -> Option<String> {
    let Some(cidr) = parse_cidr(line) else {
        return Some(line.to_owned());
    };
    let text = match cidr.network {
        IpAddr::V4(v4) => {
            let host = u32::MAX.checked_shr(cidr.prefix_len.into()).unwrap_or(0);
            let first = u32::from(v4);
            let (start, end) = (first.checked_add(1)?, (first | host).checked_sub(1)?);
            (start <= end).then(|| format!("{}-{}", Ipv4Addr::from(start), Ipv4Addr::from(end)))?
        }
        IpAddr::V6(v6) => {
            let host = u128::MAX.checked_shr(cidr.prefix_len.into()).unwrap_or(0);
            let first = u128::from(v6);
            let (start, end) = (first.checked_add(1)?, (first | host).checked_sub(1)?);
            let address = std::net::Ipv6Addr::from;
            (start <= end).then(|| format!("{}-{}", address(start), address(end)))?
        }
    };
    Some(text)
}

/// The first and last address of a line, if it is IPv4.
fn v4_range(line: &str) -> Option<(u32, u32)> {
    if let Some(cidr) = parse_cidr(line) {
        let IpAddr::V4(network) = cidr.network else {
            return None;
        };
        let host = u32::MAX.checked_shr(cidr.prefix_len.into()).unwrap_or(0);
        let first = u32::from(network);
        return Some((first, first | host));
    }
    let (first, last) = line.split_once('-')?;
    match (parse_ip(first.trim())?, parse_ip(last.trim())?) {
        (IpAddr::V4(first), IpAddr::V4(last)) if first <= last => Some((first.into(), last.into())),
        _ => None,
    }
}

fn range(start: u32, end: u32) -> String {
    if start == end {
        format!("{}/32", Ipv4Addr::from(start))
    } else {
        format!("{}-{}", Ipv4Addr::from(start), Ipv4Addr::from(end))
    }
}
