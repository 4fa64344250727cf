//! Layer 2 on real interfaces, in network namespaces of its own.
//!
//! They need root, iproute2, and (some) the Debian packages arping and ndisc6:
//! `cargo build --example layer2_probe && cargo test --test netns -- --ignored --skip needs_`.
//! The tests called `needs_vlan_…` and `needs_vrf_…` also need a kernel that has these devices,
//! those called `needs_go_…` Go's memberlist (tests/interop/memberlist/build).
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod arp;
mod conflict;
mod failover;
mod frames;
mod go_speaker;
mod host;
mod interfaces;
mod lan;
mod ndp;
mod world;
