//! Frames by hand: nothing here uses the code under test.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::world::{BROADCAST, Mac};

/// An ARP packet as it was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Arp {
    pub(crate) destination: Mac,
    pub(crate) source: Mac,
    pub(crate) operation: u16,
    pub(crate) sender: (Mac, Ipv4Addr),
    pub(crate) target: (Mac, Ipv4Addr),
}

impl Arp {
    pub(crate) fn request(from: Mac, sender: &str, target: &str) -> Self {
        Self {
            destination: BROADCAST,
            source: from,
            operation: 1,
            sender: (from, sender.parse().unwrap()),
            target: ([0; 6], target.parse().unwrap()),
        }
    }

    pub(crate) fn frame(&self) -> Vec<u8> {
        let mut frame = Vec::new();
        frame.extend(self.destination);
        frame.extend(self.source);
        frame.extend([0x08, 0x06, 0, 1, 8, 0, 6, 4]);
        frame.extend(self.operation.to_be_bytes());
        frame.extend(self.sender.0);
        frame.extend(self.sender.1.octets());
        frame.extend(self.target.0);
        frame.extend(self.target.1.octets());
        frame.resize(60, 0);
        frame
    }

    pub(crate) fn read(frame: &[u8]) -> Option<Self> {
        if frame.len() < 42 || frame[12..20] != [0x08, 0x06, 0, 1, 8, 0, 6, 4] {
            return None;
        }
        let mac = |at: usize| Mac::try_from(&frame[at..at + 6]).unwrap();
        let ip = |at: usize| Ipv4Addr::from(<[u8; 4]>::try_from(&frame[at..at + 4]).unwrap());
        Some(Self {
            destination: mac(0),
            source: mac(6),
            operation: u16::from_be_bytes([frame[20], frame[21]]),
            sender: (mac(22), ip(28)),
            target: (mac(32), ip(38)),
        })
    }

    /// An answer to somebody (gratuitous replies go to everybody).
    pub(crate) fn read_answer(frame: &[u8]) -> Option<Self> {
        Self::read(frame).filter(|arp| arp.operation == 2 && arp.destination != BROADCAST)
    }

    pub(crate) fn read_gratuitous(frame: &[u8]) -> Option<Self> {
        Self::read(frame).filter(|arp| arp.destination == BROADCAST && arp.sender.1 == arp.target.1)
    }
}

fn internet_sum(source: Ipv6Addr, destination: Ipv6Addr, message: &[u8]) -> u16 {
    let mut data = Vec::new();
    data.extend(source.octets());
    data.extend(destination.octets());
    data.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    data.extend([0, 0, 0, 58]);
    data.extend(message);
    let mut sum: u32 = data
        .chunks(2)
        .map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap()
}

pub(crate) fn solicited_node(ip: Ipv6Addr) -> Ipv6Addr {
    let octets = ip.octets();
    let mut group = "ff02::1:ff00:0".parse::<Ipv6Addr>().unwrap().octets();
    group[13..].copy_from_slice(&octets[13..]);
    group.into()
}

pub(crate) fn group_mac(group: Ipv6Addr) -> Mac {
    let octets = group.octets();
    [0x33, 0x33, octets[12], octets[13], octets[14], octets[15]]
}

/// A neighbour solicitation.
#[derive(Clone)]
pub(crate) struct Solicitation {
    pub(crate) source_mac: Mac,
    pub(crate) destination_mac: Mac,
    pub(crate) source: Ipv6Addr,
    pub(crate) destination: Ipv6Addr,
    pub(crate) target: Ipv6Addr,
    pub(crate) option: Option<Mac>,
}

impl Solicitation {
    pub(crate) fn new(from: Mac, source: &str, target: &str) -> Self {
        let target: Ipv6Addr = target.parse().unwrap();
        Self {
            source_mac: from,
            destination_mac: group_mac(solicited_node(target)),
            source: source.parse().unwrap(),
            destination: solicited_node(target),
            target,
            option: Some(from),
        }
    }

    pub(crate) fn frame(&self) -> Vec<u8> {
        let mut message = vec![135, 0, 0, 0, 0, 0, 0, 0];
        message.extend(self.target.octets());
        if let Some(mac) = self.option {
            message.extend([1, 1]);
            message.extend(mac);
        }
        let sum = internet_sum(self.source, self.destination, &message).to_be_bytes();
        message[2..4].copy_from_slice(&sum);
        let mut frame = Vec::new();
        frame.extend(self.destination_mac);
        frame.extend(self.source_mac);
        frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
        frame.extend(u16::try_from(message.len()).unwrap().to_be_bytes());
        frame.extend([58, 255]);
        frame.extend(self.source.octets());
        frame.extend(self.destination.octets());
        frame.extend(message);
        frame
    }
}

/// A neighbour advertisement as it was seen; only whole ones with a right checksum are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Advertisement {
    pub(crate) destination_mac: Mac,
    pub(crate) source_mac: Mac,
    pub(crate) source: Ipv6Addr,
    pub(crate) destination: Ipv6Addr,
    pub(crate) flags: u8,
    pub(crate) target: Ipv6Addr,
    pub(crate) link_layer: Mac,
}

pub(crate) const SOLICITED: u8 = 0x40;
pub(crate) const OVERRIDE: u8 = 0x20;

impl Advertisement {
    pub(crate) fn read(frame: &[u8]) -> Option<Self> {
        if frame.len() != 86 || frame[12..14] != [0x86, 0xdd] || frame[20..22] != [58, 255] {
            return None;
        }
        let mac = |at: usize| Mac::try_from(&frame[at..at + 6]).unwrap();
        let ip = |at: usize| Ipv6Addr::from(<[u8; 16]>::try_from(&frame[at..at + 16]).unwrap());
        let message = &frame[54..];
        if message[..2] != [136, 0] || message[24..26] != [2, 1] {
            return None;
        }
        assert_eq!(internet_sum(ip(22), ip(38), message), 0, "checksum");
        Some(Self {
            destination_mac: mac(0),
            source_mac: mac(6),
            source: ip(22),
            destination: ip(38),
            flags: message[4],
            target: ip(62),
            link_layer: mac(80),
        })
    }

    pub(crate) fn read_answer(frame: &[u8]) -> Option<Self> {
        Self::read(frame).filter(|advertisement| advertisement.flags & SOLICITED != 0)
    }
}
