//! The messages as values. What cannot be said here cannot be sent: names are 1 to 253 printable ASCII characters,
//! version vectors have six numbers, addresses 4 or 16 bytes.

use std::borrow::Borrow;
use std::fmt;
use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;

/// Highest incarnation a node may give itself (2³² − 2¹⁶).
///
/// Go's counter wraps: an accusation with 2³² − 1 makes a Go node announce incarnation 0, after which it can never refute
/// again. The machine ignores accusations that would take its own above this. Messages about *others* are passed on
/// whatever their incarnation, because all members must judge them alike.
pub const MAX_OWN_INCARNATION: u32 = u32::MAX - 0xffff;

/// Longest name, in bytes: a Kubernetes node name is a DNS subdomain (RFC 1123).
pub const MAX_NAME: usize = 253;

/// Longest metadata, in bytes: memberlist's own `MetaMaxSize`. MetalLB's is always empty.
pub const MAX_META: usize = 512;

/// A member's name: the Kubernetes node name, 1 to 253 printable ASCII characters without spaces. Cheap to clone.
///
/// Deviation: Go takes any bytes, of any length.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

impl Name {
    /// `None` if `name` is empty, longer than [`MAX_NAME`] bytes, or has a character outside `!`..=`~`.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        Self::from_bytes(name.as_bytes())
    }

    /// As [`Name::new`], from bytes that need not be UTF-8.
    #[must_use]
    pub fn from_bytes(name: &[u8]) -> Option<Self> {
        if name.is_empty() || name.len() > MAX_NAME || !name.iter().all(u8::is_ascii_graphic) {
            return None;
        }
        std::str::from_utf8(name)
            .ok()
            .map(|name| Self(Arc::from(name)))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

/// What a member understands and speaks: the six numbers of `Vsn`, in the order of the wire.
///
/// Invariant: `1 ≤ protocol_min ≤ protocol_cur ≤ protocol_max` and `delegate_min ≤ delegate_cur ≤ delegate_max`. A
/// vector outside would make every later push/pull of the whole cluster fail, one of another length crash Go peers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Versions([u8; 6]);

impl Versions {
    /// What memberlist 0.1.7 advertises and so do we: understands 1 to 5, speaks 2, no delegate.
    pub const OURS: Self = Self([1, 5, 2, 0, 0, 0]);

    /// `None` unless there are exactly six numbers with each minimum ≤ current ≤ maximum and a protocol minimum ≥ 1.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let vsn: [u8; 6] = bytes.try_into().ok()?;
        let [pmin, pmax, pcur, dmin, dmax, dcur] = vsn;
        let sound = 1 <= pmin && pmin <= pcur && pcur <= pmax && dmin <= dcur && dcur <= dmax;
        sound.then_some(Self(vsn))
    }

    /// The six bytes of the wire.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 6] {
        &self.0
    }

    /// Lowest protocol version understood.
    #[must_use]
    pub const fn protocol_min(self) -> u8 {
        self.0[0]
    }

    /// Highest protocol version understood: ≥ 3 answers TCP pings, ≥ 4 sends nacks, ≥ 5 reads checksums.
    #[must_use]
    pub const fn protocol_max(self) -> u8 {
        self.0[1]
    }

    /// Protocol version spoken.
    #[must_use]
    pub const fn protocol_cur(self) -> u8 {
        self.0[2]
    }

    /// Lowest delegate version understood.
    #[must_use]
    pub const fn delegate_min(self) -> u8 {
        self.0[3]
    }

    /// Highest delegate version understood.
    #[must_use]
    pub const fn delegate_max(self) -> u8 {
        self.0[4]
    }

    /// Delegate version spoken.
    #[must_use]
    pub const fn delegate_cur(self) -> u8 {
        self.0[5]
    }
}

/// Are you there? Answered with an [`Ack`] of the same number, by datagram to the source address, or on the same stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ping {
    /// Chosen by the sender, echoed in the answer.
    pub seq_no: u32,
    /// Who is meant. Another than the receiver gets no answer at all; `None` (an empty name) anyone answers.
    pub node: Option<Name>,
}

/// Please ping somebody for me.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndirectPing {
    /// The requester's number, to be used in the relayed [`Ack`] or [`Nack`].
    pub seq_no: u32,
    /// The target's address. Never relay to an address that is not the one held for `node`.
    pub target: IpAddr,
    /// The target's port; 0 means the relay's own port.
    pub port: u16,
    /// The target's name, `None` if it was empty.
    pub node: Option<Name>,
    /// Whether a [`Nack`] is wanted when the target does not answer.
    pub nack: bool,
}

/// Answer to a [`Ping`], or to an [`IndirectPing`] whose target answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ack {
    /// The number of the ping.
    pub seq_no: u32,
    /// Empty in MetalLB.
    pub payload: Vec<u8>,
}

/// Answer to an [`IndirectPing`] whose target did not answer in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nack {
    /// The number of the indirect ping.
    pub seq_no: u32,
}

/// `node` did not answer `from`'s probes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspect {
    /// The incarnation of `node` that the claim is about.
    pub incarnation: u32,
    /// The accused.
    pub node: Name,
    /// The accuser.
    pub from: Name,
}

/// `node` is alive at this address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alive {
    /// Raised by the node itself alone.
    pub incarnation: u32,
    /// Who is alive.
    pub node: Name,
    /// Its address: 4 bytes on the wire for `V4`, 16 for `V6`. A mapped address (`::ffff:1.2.3.4`) stays what it is:
    /// Go compares bytes, and rewriting it would be an address conflict for Go peers.
    pub addr: IpAddr,
    /// Its port; 0 means the receiver's own.
    pub port: u16,
    /// At most [`MAX_META`] bytes; empty in MetalLB.
    pub meta: Vec<u8>,
    /// What it understands.
    pub vsn: Versions,
}

/// `node` is dead, or has left if `from` is `node` itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dead {
    /// The incarnation of `node` that the claim is about.
    pub incarnation: u32,
    /// The accused.
    pub node: Name,
    /// The accuser; equal to `node` for a leave of its own will.
    pub from: Name,
}

/// A member's state in a [`PushPull`], by its number on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// 0
    Alive,
    /// 1
    Suspect,
    /// 2
    Dead,
    /// 3
    Left,
}

impl State {
    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Alive => 0,
            Self::Suspect => 1,
            Self::Dead => 2,
            Self::Left => 3,
        }
    }

    /// The state with that number.
    #[must_use]
    pub const fn from_number(number: u64) -> Option<Self> {
        match number {
            0 => Some(Self::Alive),
            1 => Some(Self::Suspect),
            2 => Some(Self::Dead),
            3 => Some(Self::Left),
            _ => None,
        }
    }
}

/// One member's record in a [`PushPull`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeState {
    /// Who.
    pub name: Name,
    /// As in [`Alive::addr`].
    pub addr: IpAddr,
    /// 0 means the receiver's own.
    pub port: u16,
    /// At most [`MAX_META`] bytes; empty in MetalLB.
    pub meta: Vec<u8>,
    /// As in [`Alive::incarnation`].
    pub incarnation: u32,
    /// What the sender holds it to be.
    pub state: State,
    /// What it understands; always six numbers, for dead and left members too.
    pub vsn: Versions,
}

/// All records the sender holds, itself included. Asked and answered on a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushPull {
    /// Request: this is a join. Reply: copied from the request.
    pub join: bool,
    /// The records, in any order.
    pub nodes: Vec<NodeState>,
    /// Records that were read but not taken (name, address, metadata or state no honest peer has). Not on the wire.
    pub refused: usize,
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// 0; datagrams and streams.
    Ping(Ping),
    /// 1; datagrams.
    IndirectPing(IndirectPing),
    /// 2; datagrams and streams.
    Ack(Ack),
    /// 3; datagrams.
    Suspect(Suspect),
    /// 4; datagrams.
    Alive(Alive),
    /// 5; datagrams.
    Dead(Dead),
    /// 6; streams.
    PushPull(PushPull),
    /// 8; datagrams and streams. MetalLB sends none and ignores those that come.
    User(Vec<u8>),
    /// 11; datagrams.
    Nack(Nack),
    /// 13; streams: why the other side gave up. Human text, control characters replaced, at most 512 bytes kept.
    Err(String),
}

impl Message {
    /// The first byte on the wire.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Ping(_) => Kind::Ping,
            Self::IndirectPing(_) => Kind::IndirectPing,
            Self::Ack(_) => Kind::Ack,
            Self::Suspect(_) => Kind::Suspect,
            Self::Alive(_) => Kind::Alive,
            Self::Dead(_) => Kind::Dead,
            Self::PushPull(_) => Kind::PushPull,
            Self::User(_) => Kind::User,
            Self::Nack(_) => Kind::Nack,
            Self::Err(_) => Kind::Err,
        }
    }
}

/// The type byte: messages and wrappers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// [`Ping`]
    Ping = 0,
    /// [`IndirectPing`]
    IndirectPing = 1,
    /// [`Ack`]
    Ack = 2,
    /// [`Suspect`]
    Suspect = 3,
    /// [`Alive`]
    Alive = 4,
    /// [`Dead`]
    Dead = 5,
    /// [`PushPull`]
    PushPull = 6,
    /// Several messages in one datagram.
    Compound = 7,
    /// User data.
    User = 8,
    /// A compressed message.
    Compress = 9,
    /// An encrypted message, on streams only.
    Encrypt = 10,
    /// [`Nack`]
    Nack = 11,
    /// A datagram with a checksum.
    HasCrc = 12,
    /// Error text.
    Err = 13,
}

impl Kind {
    /// The kind with that byte.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0 => Self::Ping,
            1 => Self::IndirectPing,
            2 => Self::Ack,
            3 => Self::Suspect,
            4 => Self::Alive,
            5 => Self::Dead,
            6 => Self::PushPull,
            7 => Self::Compound,
            8 => Self::User,
            9 => Self::Compress,
            10 => Self::Encrypt,
            11 => Self::Nack,
            12 => Self::HasCrc,
            13 => Self::Err,
            _ => return None,
        })
    }

    /// The byte.
    #[must_use]
    pub const fn byte(self) -> u8 {
        self as u8
    }
}
