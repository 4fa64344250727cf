//! Addresses as Go's `net` package reads and writes them.
//!
//! An IPv4-mapped IPv6 address is the IPv4 address (`net.IP` makes no difference), IPv4 octets have no leading zeros
//! (Go 1.17 on), and IPv6 zones are no addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Upstream: `net.ParseIP`. `::ffff:10.0.0.1` is `10.0.0.1`.
///
/// ```
/// use ferrolb_compat::go::ip::parse_ip;
/// assert_eq!(parse_ip("::ffff:10.0.0.1"), parse_ip("10.0.0.1"));
/// assert_eq!(parse_ip("10.0.0.01"), None);
/// assert_eq!(parse_ip("fe80::1%eth0"), None);
/// ```
#[must_use]
pub fn parse_ip(text: &str) -> Option<IpAddr> {
    // The standard library refuses zones and leading zeros as Go does.
    text.parse::<IpAddr>().ok().map(unmap)
}

/// An IPv4-mapped address as IPv4, any other as it is.
#[must_use]
pub fn unmap(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(ip, IpAddr::V4),
    }
}

/// A CIDR as `net.ParseCIDR` gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cidr {
    /// The network's address: host bits are zero, an IPv4-mapped network is IPv4.
    pub network: IpAddr,
    /// Prefix length of `network`, 0 to 32 or 0 to 128.
    pub prefix_len: u8,
    /// The prefix length as written. For an IPv4-mapped network it is 96 more than `prefix_len`, and some of upstream's
    /// comparisons see this one.
    pub written_len: u8,
}

/// Upstream: the network of `net.ParseCIDR`.
///
/// ```
/// use ferrolb_compat::go::ip::parse_cidr;
/// let cidr = parse_cidr("10.0.0.5/24").unwrap();
/// assert_eq!((cidr.network.to_string().as_str(), cidr.prefix_len), ("10.0.0.0", 24));
/// ```
#[must_use]
pub fn parse_cidr(text: &str) -> Option<Cidr> {
    let (address, length) = text.split_once('/')?;
    let length = parse_prefix_len(length)?;
    match address.parse::<IpAddr>().ok()? {
        IpAddr::V4(v4) => Some(Cidr {
            network: IpAddr::V4(mask_v4(v4, length)?),
            prefix_len: length,
            written_len: length,
        }),
        IpAddr::V6(v6) => {
            let masked = mask_v6(v6, length)?;
            let (network, prefix_len) = match (masked.to_ipv4_mapped(), length.checked_sub(96)) {
                (Some(v4), Some(short)) => (IpAddr::V4(v4), short),
                _ => (IpAddr::V6(masked), length),
            };
            Some(Cidr {
                network,
                prefix_len,
                written_len: length,
            })
        }
    }
}

/// Decimal digits only. Upstream: leading zeros are allowed (`/024`), a sign is not.
fn parse_prefix_len(text: &str) -> Option<u8> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits = text.trim_start_matches('0');
    if digits.is_empty() {
        return Some(0);
    }
    digits.parse().ok()
}

/// The address with its host bits cleared; `None` if the length is more than 32.
fn mask_v4(ip: Ipv4Addr, length: u8) -> Option<Ipv4Addr> {
    let host = 32_u32.checked_sub(length.into())?;
    let mask = u32::MAX.checked_shl(host).unwrap_or(0);
    Some(Ipv4Addr::from_bits(ip.to_bits() & mask))
}

/// The address with its host bits cleared; `None` if the length is more than 128.
fn mask_v6(ip: Ipv6Addr, length: u8) -> Option<Ipv6Addr> {
    let host = 128_u32.checked_sub(length.into())?;
    let mask = u128::MAX.checked_shl(host).unwrap_or(0);
    Some(Ipv6Addr::from_bits(ip.to_bits() & mask))
}

#[cfg(test)]
mod tests {
    use super::{parse_cidr, parse_ip};

    #[test]
    fn addresses_parse_as_in_go() {
        for (text, want) in [
            ("10.0.0.1", Some("10.0.0.1")),
            ("2001:DB8:0:0::1", Some("2001:db8::1")),
            ("::ffff:10.0.0.1", Some("10.0.0.1")),
            ("::ffff:a00:1", Some("10.0.0.1")),
            ("::10.0.0.1", Some("::a00:1")),
            ("1.2.3.400", None),
            ("1.2.3", None),
            ("01.2.3.4", None),
            ("10.0.0.1/24", None),
            (" 10.0.0.1", None),
            ("::g", None),
            ("fe80::1%eth0", None),
            ("", None),
        ] {
            assert_eq!(
                parse_ip(text).map(|ip| ip.to_string()).as_deref(),
                want,
                "{text}"
            );
        }
    }

    #[test]
    fn cidrs_parse_as_in_go() {
        for (text, want) in [
            ("10.0.0.5/24", Some(("10.0.0.0", 24, 24))),
            ("0.0.0.0/0", Some(("0.0.0.0", 0, 0))),
            ("10.0.0.5/032", Some(("10.0.0.5", 32, 32))),
            ("2001:db8::1/64", Some(("2001:db8::", 64, 64))),
            ("::/0", Some(("::", 0, 0))),
            ("::ffff:192.0.2.0/124", Some(("192.0.2.0", 28, 124))),
            ("::ffff:192.0.2.0/96", Some(("0.0.0.0", 0, 96))),
            ("::ffff:192.0.2.0/90", Some(("::ffc0:0:0", 90, 90))),
            ("10.0.0.1", None),
            ("10.0.0.1/33", None),
            ("10.0.0.1/", None),
            ("10.0.0.1/+8", None),
            ("10.0.0.1/8/8", None),
            ("2001:db8::/129", None),
            (" 10.0.0.0/8", None),
        ] {
            let parsed = parse_cidr(text);
            let got =
                parsed.map(|cidr| (cidr.network.to_string(), cidr.prefix_len, cidr.written_len));
            assert_eq!(
                got.as_ref().map(|(ip, a, b)| (ip.as_str(), *a, *b)),
                want,
                "{text}"
            );
        }
    }
}
