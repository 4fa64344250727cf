//! Randomness for choices and timers: whom to ask, when to start, how long to wait.
//!
//! Fairness is needed here, not secrecy (what must be secret comes from the operating system). So a small generator with a
//! seed: a driver seeds it from the operating system, a test from its own number and gets the same run again.

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
    pub fn below(&mut self, n: u64) -> u64 {
        let product = u128::from(self.bits()) * u128::from(n);
        u64::try_from(product >> 64).unwrap_or_default()
    }

    /// A place among `n`; 0 if there is none.
    pub fn place(&mut self, n: usize) -> usize {
        let n = u64::try_from(n).unwrap_or(u64::MAX);
        usize::try_from(self.below(n)).unwrap_or_default()
    }

    /// A time in [0, `limit`), to the nanosecond.
    pub fn within(&mut self, limit: Duration) -> Duration {
        let nanos = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(self.below(nanos))
    }

    /// A time from `least` to `most` percent of `whole`, to the microsecond.
    pub fn share(&mut self, whole: Duration, least: u32, most: u32) -> Duration {
        let hundredth = whole / 100;
        let spread = hundredth.saturating_mul(most.saturating_sub(least));
        let micros = u64::try_from(spread.as_micros()).unwrap_or(u64::MAX);
        hundredth.saturating_mul(least)
            + Duration::from_micros(self.below(micros.saturating_add(1)))
    }

    /// RFC 4271 §10: the time multiplied by a random factor between 0.75 and 1.0.
    pub fn jitter(&mut self, time: Duration) -> Duration {
        time - self.within(time / 4)
    }

    /// Puts all of `items` in a random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        self.shuffle_front(items, items.len());
    }

    /// Puts `k` of `items`, chosen at random, at the front in a random order.
    pub fn shuffle_front<T>(&mut self, items: &mut [T], k: usize) {
        let n = items.len();
        for i in 0..k.min(n) {
            let j = i + self.place(n - i);
            items.swap(i, j);
        }
    }
}
