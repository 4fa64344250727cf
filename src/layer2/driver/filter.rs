//! What the kernel lets through to a responder's socket: classic BPF, so that its thread sleeps through everything else.
//!
//! The programs see a frame from its Ethernet header on, after the kernel took a VLAN tag off: that is why they ask for
//! the interface (a frame for eth0.100 also passes eth0's sockets) and for the packet type (a tag that no interface
//! wants makes it "for another host").

use libc::{BPF_ABS, BPF_B, BPF_H, BPF_JEQ, BPF_JGT, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W};
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
        program.push(instruction(BPF_RET | BPF_K, 0, 0, 0));
    }
    program.push(instruction(
        BPF_RET | BPF_K,
        0,
        0,
        u32::try_from(MAX_FRAME).unwrap_or(u32::MAX),
    ));
    program
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
