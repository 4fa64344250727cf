//! Which other addresses the interface of an address has.

use std::io;
use std::net::IpAddr;

/// The addresses of the interface that has `address`, that one included, in the kernel's order; none if no interface has it
/// (any more).
pub(super) fn neighbours(address: IpAddr) -> io::Result<Vec<IpAddr>> {
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
    let Some((name, _)) = all.iter().find(|(_, ip)| *ip == address) else {
        return Ok(Vec::new());
    };
    Ok(all
        .iter()
        .filter(|(other, _)| other == name)
        .map(|(_, ip)| *ip)
        .collect())
}
