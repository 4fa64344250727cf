//! Randomness for choices: whom to probe, ask or tell, and when to start.
//!
//! Fairness is needed here, not secrecy (what must be secret, the nonces, comes from the operating system). So a small
//! generator with a seed: the driver seeds it from the operating system, a test from its own number and gets the same run
//! again.

use std::time::Duration;

/// A generator of numbers that look random (SplitMix64). The same seed gives the same numbers.
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

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`; 0 if `n` is 0.
    pub fn below(&mut self, n: usize) -> usize {
        let n = u128::try_from(n).unwrap_or_default();
        let product = u128::from(self.bits()) * n;
        usize::try_from(product >> 64).unwrap_or_default()
    }

    /// A time in [0, `limit`), to the nanosecond.
    pub fn within(&mut self, limit: Duration) -> Duration {
        let nanos = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
        let product = u128::from(self.bits()) * u128::from(nanos);
        Duration::from_nanos(u64::try_from(product >> 64).unwrap_or_default())
    }

    /// Puts all of `items` in a random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        self.shuffle_front(items, items.len());
    }

    /// Puts `k` of `items`, chosen at random, at the front in a random order.
    pub fn shuffle_front<T>(&mut self, items: &mut [T], k: usize) {
        let n = items.len();
        for i in 0..k.min(n) {
            let j = i + self.below(n - i);
            items.swap(i, j);
        }
    }
}
