//! How long to wait before the next dial, and the randomness that this and the timers need.
//!
//! What it is: the waits of RFC 4271 §8.1.1 (DampPeerOscillations) and §8.2.1.1 (ConnectRetryTimer), with the jitter of
//! §10. What it is not: the decision that a session was good for long enough to begin anew (`session`).
//!
//! Upstream: 0, 1, 2, 4 … 120 s. 0.12 begins anew as soon as a peer has said OPEN, so that one that accepts and closes
//! is dialled a hundred times a second.

use std::time::Duration;

/// Longest wait. Upstream's.
pub const LONGEST: Duration = Duration::from_secs(120);

/// The waits between attempts that fail.
#[derive(Debug, Clone)]
pub struct Backoff {
    /// Attempts that failed since the last good session.
    failures: u32,
}

impl Backoff {
    /// Nothing has failed yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { failures: 0 }
    }

    /// One more failure: how long to wait now. 0 s, then 1, 2, 4 … 120 s, each by up to a quarter shorter.
    pub fn next(&mut self, random: &mut Random) -> Duration {
        let wait = match self.failures {
            0 => Duration::ZERO,
            failures => Duration::from_secs(1)
                .saturating_mul(1_u32.checked_shl(failures - 1).unwrap_or(u32::MAX).max(1))
                .min(LONGEST),
        };
        self.failures = self.failures.saturating_add(1);
        random.jitter(wait)
    }

    /// The session was good: the next failure is the first one.
    pub const fn reset(&mut self) {
        self.failures = 0;
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new()
    }
}

/// A generator of numbers that look random (SplitMix64). The same seed gives the same numbers. It spreads timers, and
/// keeps no secret.
#[derive(Debug, Clone)]
pub struct Random {
    state: u64,
}

impl Random {
    /// A generator that starts at `seed`.
    #[must_use]
    pub const fn seeded(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next 32 bits.
    fn bits(&mut self) -> u32 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        u32::try_from((z ^ (z >> 31)) >> 32).unwrap_or_default()
    }

    /// RFC 4271 §10: the time multiplied by a random factor between 0.75 and 1.0.
    pub fn jitter(&mut self, time: Duration) -> Duration {
        let quarter = time / 4;
        let part = (quarter.as_nanos() * u128::from(self.bits())) >> 32;
        time - Duration::from_nanos(u64::try_from(part).unwrap_or(u64::MAX)).min(quarter)
    }
}

#[cfg(test)]
mod tests;
