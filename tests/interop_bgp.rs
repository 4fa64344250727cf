//! BGP with real routers: FRR, BIRD and GoBGP as Debian packages them, and `ferrolb standalone` as its users start it.
//!
//! Each test has a LAN of network namespaces of its own; real time. Nothing of the machine's own routers is touched: sockets,
//! process numbers and configurations are in folders of the test. Needs root and the Debian packages frr, bird2, gobgpd:
//! `cargo test --test interop_bgp -- --ignored --test-threads=4`.
#![cfg(feature = "io")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(
    clippy::disallowed_methods,
    reason = "a test on real processes waits in real time"
)]
#![expect(clippy::disallowed_types, reason = "a test speaks to real sockets")]
#![expect(
    clippy::print_stdout,
    reason = "what a speaker said, where a test fails"
)]

#[path = "support/kernel.rs"]
mod kernel;
#[path = "interop/bgp/lan.rs"]
mod lan;
#[path = "support/namespace.rs"]
mod namespace;
#[path = "interop/bgp/routers.rs"]
mod routers;
#[path = "interop/bgp/speaker.rs"]
mod speaker;

#[path = "interop/bgp/bfd.rs"]
mod bfd;
#[path = "interop/bgp/changes.rs"]
mod changes;
#[path = "interop/bgp/core.rs"]
mod every_router;
#[path = "interop/bgp/far.rs"]
mod far;
#[path = "interop/bgp/restart.rs"]
mod restart;
#[path = "interop/bgp/strangers.rs"]
mod strangers;
#[path = "interop/bgp/tables.rs"]
mod tables;
