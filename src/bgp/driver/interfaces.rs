//! Which other addresses the interface of an address has.

use std::io;
use std::net::IpAddr;

/// The addresses of the interface that has `address`, that one included, in the kernel's order; none if no interface has it
/// (any more). `on`: its name, where several may have it.
pub(super) fn neighbours(address: IpAddr, on: Option<&str>) -> io::Result<Vec<IpAddr>> {
    let all: Vec<(String, IpAddr)> = nix::ifaddrs::getifaddrs()?
        .filter_map(|entry| {
            let storage = entry.address?;
            let ip = if let Some(v4) = storage.as_sockaddr_in() {
                IpAddr::V4(v4.ip())
            } else {
                IpAddr::V6(storage.as_sockaddr_in6()?.ip())
            };
            // An IPv4 address may have a label, `eth0:1`.
            let name = entry.interface_name.split(':').next()?.to_owned();
            Some((name, ip))
        })
        .collect();
    let holder = all
        .iter()
        .find(|(name, ip)| *ip == address && on.is_none_or(|on| on == name));
    let Some((holder, _)) = holder else {
        return Ok(Vec::new());
    };
    Ok(all
        .iter()
        .filter(|(name, _)| name == holder)
        .map(|(_, ip)| *ip)
        .collect())
}
