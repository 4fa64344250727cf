//! The control packet, RFC 5880 §4.1.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use super::Error;

/// Octets of a control packet without authentication.
pub const CONTROL: usize = 24;
/// The least octets of one with it: RFC 5880 §6.8.6.
pub const AUTHENTICATED: usize = 26;

const VERSION: u8 = 1;

const POLL: u8 = 0b10_0000;
const FINAL: u8 = 0b1_0000;
const CONTROL_PLANE_INDEPENDENT: u8 = 0b1000;
const AUTHENTICATION_PRESENT: u8 = 0b100;
const DEMAND: u8 = 0b10;
const MULTIPOINT: u8 = 0b1;

/// Session state, RFC 5880 §4.1 (Sta).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Held down by its owner.
    AdminDown,
    /// The peer does not hear us, or we do not hear it.
    Down,
    /// We hear the peer.
    Init,
    /// Both hear each other.
    Up,
}

impl State {
    const fn from_wire(bits: u8) -> Self {
        match bits & 0b11 {
            0 => Self::AdminDown,
            1 => Self::Down,
            2 => Self::Init,
            _ => Self::Up,
        }
    }

    const fn to_wire(self) -> u8 {
        match self {
            Self::AdminDown => 0,
            Self::Down => 1,
            Self::Init => 2,
            Self::Up => 3,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AdminDown => "AdminDown",
            Self::Down => "Down",
            Self::Init => "Init",
            Self::Up => "Up",
        })
    }
}

/// Why the sender's session last left Up, RFC 5880 §4.1 (Diag): five bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Diagnostic(u8);

impl Diagnostic {
    /// It has not.
    pub const NONE: Self = Self(0);
    /// Nothing was heard for the Detection Time.
    pub const CONTROL_DETECTION_TIME_EXPIRED: Self = Self(1);
    /// Echoes did not come back.
    pub const ECHO_FUNCTION_FAILED: Self = Self(2);
    /// The other end said Down.
    pub const NEIGHBOR_SIGNALED_SESSION_DOWN: Self = Self(3);
    /// The owner said so.
    pub const ADMINISTRATIVELY_DOWN: Self = Self(7);

    const fn from_wire(octet: u8) -> Self {
        Self(octet & 0b1_1111)
    }

    /// The code.
    #[must_use]
    pub const fn code(self) -> u8 {
        self.0
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            0 => "no diagnostic",
            1 => "control detection time expired",
            2 => "echo function failed",
            3 => "neighbor signaled session down",
            4 => "forwarding plane reset",
            5 => "path down",
            6 => "concatenated path down",
            7 => "administratively down",
            8 => "reverse concatenated path down",
            // RFC 5880 §4.1: 9 to 31 are reserved for future use.
            other => return write!(f, "diagnostic {other}"),
        })
    }
}

/// A control packet without authentication.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Control {
    /// Diag.
    pub diagnostic: Diagnostic,
    /// Sta.
    pub state: State,
    /// P: the sender wants an answer with F.
    pub poll: bool,
    /// F: the answer to P.
    pub final_: bool,
    /// C: the sender's BFD survives its control plane.
    pub control_plane_independent: bool,
    /// D: the sender asks us to be silent while both are Up.
    pub demand: bool,
    /// Detect Mult, not 0.
    pub detect_multiplier: u8,
    /// The sender's name for the session.
    pub my_discriminator: NonZeroU32,
    /// Our name for it; `None`: the sender does not know it (yet, or any more).
    pub your_discriminator: Option<NonZeroU32>,
    /// The least interval at which the sender wants to send, to the microsecond.
    pub desired_min_tx_interval: Duration,
    /// The least interval at which the sender can receive, to the microsecond; zero: send nothing by itself.
    pub required_min_rx_interval: Duration,
    /// The least interval at which the sender loops echoes back, to the microsecond; zero: it does not.
    pub required_min_echo_rx_interval: Duration,
}

impl Control {
    /// Reads the payload of a UDP datagram. Octets after the packet do not matter.
    ///
    /// # Errors
    /// The first rule of RFC 5880 §6.8.6 that it breaks.
    pub fn decode(payload: &[u8]) -> Result<Self, Error> {
        let Some((packet, rest)) = payload.split_first_chunk::<CONTROL>() else {
            return Err(Error::Truncated);
        };
        let [
            version_and_diagnostic,
            state_and_flags,
            detect_multiplier,
            length,
            my @ ..,
        ] = *packet;
        let [
            my0,
            my1,
            my2,
            my3,
            your0,
            your1,
            your2,
            your3,
            tx0,
            tx1,
            tx2,
            tx3,
            rx0,
            rx1,
            rx2,
            rx3,
            echo0,
            echo1,
            echo2,
            echo3,
        ] = my;
        // RFC 5880 §6.8.6, in its order: if the version number is not correct (1), the packet MUST be discarded.
        if version_and_diagnostic >> 5 != VERSION {
            return Err(Error::Version);
        }
        // If the Length field is less than the minimum correct value (24 if the A bit is clear, or 26 if the A bit is set),
        // the packet MUST be discarded.
        let authenticated = state_and_flags & AUTHENTICATION_PRESENT != 0;
        let least = if authenticated {
            AUTHENTICATED
        } else {
            CONTROL
        };
        let length = usize::from(length);
        if length < least {
            return Err(Error::Length);
        }
        // If the Length field is greater than the payload of the encapsulating protocol, the packet MUST be discarded.
        if length > payload.len() {
            return Err(Error::Length);
        }
        // If the Detect Mult field is zero, the packet MUST be discarded.
        if detect_multiplier == 0 {
            return Err(Error::DetectMultiplier);
        }
        // If the Multipoint (M) bit is nonzero, the packet MUST be discarded.
        if state_and_flags & MULTIPOINT != 0 {
            return Err(Error::Multipoint);
        }
        // If the My Discriminator field is zero, the packet MUST be discarded.
        let my_discriminator = NonZeroU32::new(u32::from_be_bytes([my0, my1, my2, my3]))
            .ok_or(Error::MyDiscriminator)?;
        // If the Your Discriminator field is zero and the State field is not Down or AdminDown, the packet MUST be discarded.
        let state = State::from_wire(state_and_flags >> 6);
        let your_discriminator = NonZeroU32::new(u32::from_be_bytes([your0, your1, your2, your3]));
        if your_discriminator.is_none() && !matches!(state, State::Down | State::AdminDown) {
            return Err(Error::YourDiscriminator);
        }
        // If the A bit is set and no authentication is in use (bfd.AuthType is zero), the packet MUST be discarded. It is
        // read as far as to tell a peer that authenticates from one that is broken.
        if authenticated {
            let section = rest
                .get(..length.saturating_sub(CONTROL))
                .unwrap_or_default();
            // RFC 5880 §4.1: Auth Type, then Auth Len, "the length, in bytes, of the authentication section, including the
            // Auth Type and Auth Len fields".
            return Err(match section {
                [_, authentication_length, ..]
                    if (2..=section.len()).contains(&usize::from(*authentication_length)) =>
                {
                    Error::Authenticated
                }
                _ => Error::AuthenticationSection,
            });
        }
        let interval = |octets| Duration::from_micros(u32::from_be_bytes(octets).into());
        Ok(Self {
            diagnostic: Diagnostic::from_wire(version_and_diagnostic),
            state,
            poll: state_and_flags & POLL != 0,
            final_: state_and_flags & FINAL != 0,
            control_plane_independent: state_and_flags & CONTROL_PLANE_INDEPENDENT != 0,
            demand: state_and_flags & DEMAND != 0,
            detect_multiplier,
            my_discriminator,
            your_discriminator,
            desired_min_tx_interval: interval([tx0, tx1, tx2, tx3]),
            required_min_rx_interval: interval([rx0, rx1, rx2, rx3]),
            required_min_echo_rx_interval: interval([echo0, echo1, echo2, echo3]),
        })
    }

    /// The payload of a UDP datagram. An interval of more than 2³² − 1 µs (71 minutes) is sent as that.
    #[must_use]
    pub fn encode(&self) -> [u8; CONTROL] {
        let bit = |set: bool, mask: u8| if set { mask } else { 0 };
        let flags = self.state.to_wire() << 6
            | bit(self.poll, POLL)
            | bit(self.final_, FINAL)
            | bit(self.control_plane_independent, CONTROL_PLANE_INDEPENDENT)
            | bit(self.demand, DEMAND);
        let [my0, my1, my2, my3] = self.my_discriminator.get().to_be_bytes();
        let [your0, your1, your2, your3] = self
            .your_discriminator
            .map_or(0, NonZeroU32::get)
            .to_be_bytes();
        let [tx0, tx1, tx2, tx3] = micros(self.desired_min_tx_interval);
        let [rx0, rx1, rx2, rx3] = micros(self.required_min_rx_interval);
        let [echo0, echo1, echo2, echo3] = micros(self.required_min_echo_rx_interval);
        [
            VERSION << 5 | self.diagnostic.0,
            flags,
            self.detect_multiplier,
            LENGTH,
            my0,
            my1,
            my2,
            my3,
            your0,
            your1,
            your2,
            your3,
            tx0,
            tx1,
            tx2,
            tx3,
            rx0,
            rx1,
            rx2,
            rx3,
            echo0,
            echo1,
            echo2,
            echo3,
        ]
    }
}

/// [`CONTROL`], as the packet says it.
const LENGTH: u8 = 24;
const _: () = assert!(LENGTH as usize == CONTROL);

fn micros(interval: Duration) -> [u8; 4] {
    u32::try_from(interval.as_micros())
        .unwrap_or(u32::MAX)
        .to_be_bytes()
}
