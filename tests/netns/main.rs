//! Layer 2 on real interfaces, in network namespaces of its own.
//!
//! They need root, iproute2, and (some) the Debian packages arping and ndisc6:
//! `cargo test --test netns -- --ignored`.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod arp;
mod frames;
mod host;
mod interfaces;
mod ndp;
mod world;
