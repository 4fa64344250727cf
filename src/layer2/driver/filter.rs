//! What the kernel lets through to a responder's socket, and to the ears for conflicts: classic BPF, so that their threads sleep
//! through everything else.
//!
//! The programs see a frame from its Ethernet header on, after the kernel took a VLAN tag off: that is why they ask for
//! the interface (a frame for eth0.100 also passes eth0's sockets) and for the packet type (a tag that no interface
//! wants makes it "for another host").

use libc::{
    BPF_ABS, BPF_B, BPF_H, BPF_JEQ, BPF_JGE, BPF_JGT, BPF_JMP, BPF_K, BPF_LD, BPF_MISC, BPF_RET,
    BPF_TAX, BPF_W, BPF_X,
};
use socket2::SockFilter;

use crate::layer2::Kind;
use crate::layer2::wire::MAX_FRAME;

/// linux/filter.h: `SKF_AD_OFF + SKF_AD_PKTTYPE`.
const PACKET_TYPE: u32 = 0xffff_f000 + 4;
/// linux/filter.h: `SKF_AD_OFF + SKF_AD_IFINDEX`.
const INTERFACE: u32 = 0xffff_f000 + 8;

/// linux/if_packet.h: to us 0, broadcast 1, multicast 2, to another host 3, sent by us 4.
const BROADCAST: u32 = 1;
const MULTICAST: u32 = 2;

/// One condition: load something, compare it, drop the frame unless it holds.
struct Condition {
    load: u32,
    at: u32,
    compare: u32,
    value: u32,
    /// The frame passes if the comparison is true; else if it is false.
    wanted: bool,
}

const fn equal(load: u32, at: u32, value: u32) -> Condition {
    Condition {
        load,
        at,
        compare: BPF_JEQ,
        value,
        wanted: true,
    }
}

const fn at_most(load: u32, at: u32, value: u32) -> Condition {
    Condition {
        load,
        at,
        compare: BPF_JGT,
        value,
        wanted: false,
    }
}

/// The program for a responder on `interface`.
pub(super) fn program(kind: Kind, interface: u32) -> Vec<SockFilter> {
    let conditions = match kind {
        Kind::Arp => vec![
            equal(BPF_W, INTERFACE, interface),
            at_most(BPF_W, PACKET_TYPE, BROADCAST),
            // ar$op: request.
            equal(BPF_H, 20, 1),
            // ar$pro: IPv4.
            equal(BPF_H, 16, 0x0800),
        ],
        Kind::Ndp => vec![
            equal(BPF_W, INTERFACE, interface),
            at_most(BPF_W, PACKET_TYPE, MULTICAST),
            // Next header: ICMPv6.
            equal(BPF_B, 20, 58),
            // Type and code: neighbour solicitation, 0.
            equal(BPF_H, 54, 135 << 8),
            // Hop limit.
            equal(BPF_B, 21, 255),
        ],
    };
    let mut program = all_of(conditions);
    program.push(accept());
    program
}

/// The same program, but for ARP announcements (RFC 5227 §2.3: a request whose sender and target address are the same): they ask
/// for nothing, and hosts that announce what they take over send thousands.
pub(super) fn without_announcements(kind: Kind, interface: u32) -> Vec<SockFilter> {
    let mut program = program(kind, interface);
    if kind == Kind::Arp {
        program.pop();
        program.extend([
            // ar$spa.
            instruction(BPF_LD | BPF_W | BPF_ABS, 0, 0, 28),
            instruction(BPF_MISC | BPF_TAX, 0, 0, 0),
            // ar$tpa.
            instruction(BPF_LD | BPF_W | BPF_ABS, 0, 0, 38),
            instruction(BPF_JMP | BPF_JEQ | BPF_X, 0, 1, 0),
            refuse(),
            accept(),
        ]);
    }
    program
}

/// Most ranges of one filter. More addresses than that with gaps between them let claims of their neighbours through, which cost
/// a look.
const RANGES: usize = 32;

/// The program for claims of these addresses on any interface: IPv4 addresses, or the last four octets of IPv6 ones.
pub(super) fn claims(kind: Kind, addresses: Vec<u32>) -> Vec<SockFilter> {
    let ranges = ranges(addresses);
    if ranges.is_empty() {
        return vec![refuse()];
    }
    let (conditions, at) = match kind {
        Kind::Arp => (
            vec![
                at_most(BPF_W, PACKET_TYPE, BROADCAST),
                // ar$pro: IPv4.
                equal(BPF_H, 16, 0x0800),
            ],
            // ar$spa.
            28,
        ),
        Kind::Ndp => (
            vec![
                // Next header: ICMPv6; type and code: neighbour advertisement, 0.
                equal(BPF_B, 20, 58),
                equal(BPF_H, 54, 136 << 8),
                at_most(BPF_W, PACKET_TYPE, MULTICAST),
                // Hop limit.
                equal(BPF_B, 21, 255),
            ],
            // The end of the target.
            74,
        ),
    };
    let mut program = all_of(conditions);
    program.push(instruction(BPF_LD | BPF_W | BPF_ABS, 0, 0, at));
    // In ascending order: below the next range is outside of all. Each takes four instructions, so that no jump is long.
    for (low, high) in ranges {
        program.push(instruction(BPF_JMP | BPF_JGE | BPF_K, 1, 0, low));
        program.push(refuse());
        program.push(instruction(BPF_JMP | BPF_JGT | BPF_K, 1, 0, high));
        program.push(accept());
    }
    program.push(refuse());
    program
}

/// Ranges that hold all of them, ascending: those that touch are one, and then those with the smallest gaps.
fn ranges(mut addresses: Vec<u32>) -> Vec<(u32, u32)> {
    addresses.sort_unstable();
    addresses.dedup();
    let mut gaps: Vec<u32> = addresses
        .windows(2)
        .filter_map(|pair| match pair {
            [one, next] => Some(next - one),
            _ => None,
        })
        .collect();
    gaps.sort_unstable();
    // A gap up to this is bridged.
    let bridged = gaps
        .len()
        .checked_sub(RANGES)
        .and_then(|place| gaps.get(place))
        .map_or(1, |gap| (*gap).max(1));
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for address in addresses {
        match ranges.last_mut() {
            Some((_, high)) if address - *high <= bridged => *high = address,
            _ => ranges.push((address, address)),
        }
    }
    ranges
}

/// All conditions: the frame is refused unless they hold.
fn all_of(conditions: Vec<Condition>) -> Vec<SockFilter> {
    let mut program = Vec::with_capacity(conditions.len() * 3 + 1);
    for Condition {
        load,
        at,
        compare,
        value,
        wanted,
    } in conditions
    {
        program.push(instruction(BPF_LD | load | BPF_ABS, 0, 0, at));
        // Jump over the refusal that follows, or into it.
        let (if_true, if_false) = if wanted { (1, 0) } else { (0, 1) };
        program.push(instruction(
            BPF_JMP | compare | BPF_K,
            if_true,
            if_false,
            value,
        ));
        program.push(refuse());
    }
    program
}

fn refuse() -> SockFilter {
    instruction(BPF_RET | BPF_K, 0, 0, 0)
}

fn accept() -> SockFilter {
    let length = u32::try_from(MAX_FRAME).unwrap_or(u32::MAX);
    instruction(BPF_RET | BPF_K, 0, 0, length)
}

fn instruction(code: u32, if_true: u8, if_false: u8, k: u32) -> SockFilter {
    // All codes are below 256.
    SockFilter::new(
        u16::try_from(code).unwrap_or_default(),
        if_true,
        if_false,
        k,
    )
}

#[cfg(test)]
mod tests;
