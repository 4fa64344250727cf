//! How long to wait before the next dial.
//!
//! What it is: the waits of RFC 4271 §8.1.1 (DampPeerOscillations) and §8.2.1.1 (ConnectRetryTimer), with the jitter of
//! §10. What it is not: the decision that a session was good for long enough to begin anew (`session`).
//!
//! Upstream: 0, 1, 2, 4 … 120 s. 0.12 begins anew as soon as a peer has said OPEN, so that one that accepts and closes
//! is dialled a hundred times a second.

use std::time::Duration;

use crate::random::Random;

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

#[cfg(test)]
mod tests;
