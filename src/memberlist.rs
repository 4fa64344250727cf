//! Memberlist: the gossip by which speakers know which of them are alive.
//!
//! Wire-compatible with hashicorp/memberlist 0.1.7 as MetalLB 0.9.3 to 0.12.1 set it up, so that old and new speakers
//! are members of one cluster during a rolling upgrade.
//!
//! | module | knows |
//! | --- | --- |
//! | [`wire`] | bytes: msgpack bodies, compound, compression, checksum, encryption, stream framing |
//! | [`keyring`] | the key that MetalLB derives from its secret |
//! | [`swim`] | time: who is alive, by probes, suspicion and gossip |
//! | [`heartbeat`] | who of our own kind has fallen silent, in less than half a second (machine, part of `swim`) |
//! | [`standing`] | what a speaker may conclude from it |
//! | [`directory`] | whose station is that |
//! | `driver` (feature `io`) | the sockets, the clock, one thread |

pub mod wire;

pub mod keyring;

pub mod swim;

pub mod heartbeat;

pub mod standing;

pub mod directory;

#[cfg(feature = "io")]
pub mod driver;
