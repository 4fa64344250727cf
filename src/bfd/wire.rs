//! Bytes of BFD: control packets (RFC 5880 §4.1) and our own echo packets (RFC 5880 §6.4).
//!
//! What it is: the layout, and those of the reception rules of RFC 5880 §6.8.6 that need nothing but the packet. What it is
//! not: whether a packet's time to live will do, which session it is for, and what it means there.
//!
//! In: the payload of a UDP datagram. Out: [`Control`] or [`Echo`], or the [`Error`] for which it is dropped.
//! Invariants: no input makes a decoder panic; `decode(encode(x)) == x` for each `x` that [`Control::decode`] can give.

mod control;
mod echo;

pub use control::{AUTHENTICATED, CONTROL, Control, Diagnostic, State};
pub use echo::{ECHO, Echo, EchoKey, Way};

/// RFC 5881 §4: control packets over one hop.
pub const CONTROL_PORT: u16 = 3784;
/// RFC 5881 §4: echo packets.
pub const ECHO_PORT: u16 = 3785;
/// RFC 5883 §5: control packets over several hops.
pub const MULTIHOP_PORT: u16 = 4784;
/// RFC 5881 §4: the source port of a session is one of these.
pub const SOURCE_PORTS: std::ops::RangeInclusive<u16> = 49152..=65535;
/// RFC 5881 §5: what leaves with this and arrives with less came through a router.
pub const TTL: u8 = 255;

/// Why a packet is not one to look at any further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Error {
    /// Shorter than the mandatory section.
    #[error("truncated")]
    Truncated,
    /// Another version than 1.
    #[error("version is not 1")]
    Version,
    /// The Length field is less than its content, or more than there is.
    #[error("wrong length")]
    Length,
    /// Detect Mult is 0.
    #[error("detect multiplier is 0")]
    DetectMultiplier,
    /// The Multipoint bit is set.
    #[error("multipoint")]
    Multipoint,
    /// My Discriminator is 0.
    #[error("my discriminator is 0")]
    MyDiscriminator,
    /// Your Discriminator is 0 although the sender says that it knows us.
    #[error("your discriminator is 0")]
    YourDiscriminator,
    /// The authentication section does not fit into the packet.
    #[error("malformed authentication section")]
    AuthenticationSection,
    /// It is authenticated, and no session here is.
    #[error("authenticated")]
    Authenticated,
    /// An echo that we did not send: another format, or another key.
    #[error("not our echo")]
    NotOurEcho,
}

#[cfg(test)]
mod tests;
