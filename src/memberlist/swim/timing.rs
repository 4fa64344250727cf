//! The times and limits that depend on the size of the cluster.
//!
//! Upstream: memberlist counts *records*: itself, suspects, dead ones that are not yet forgotten, and those that left.

use std::time::Duration;

use super::Params;

/// How often a broadcast is sent before it is forgotten: `retransmit_mult · ⌈log₁₀(N + 1)⌉`.
pub(super) fn retransmit_limit(params: &Params, records: usize) -> u32 {
    let mut digits = 0;
    let mut reach = 1_usize;
    while reach < records.saturating_add(1) {
        reach = reach.saturating_mul(10);
        digits += 1;
    }
    params.retransmit_mult.saturating_mul(digits)
}

/// The time between two periodic push/pulls: the base up to 32 records, then one base more for each doubling.
pub(super) fn push_pull_interval(params: &Params, records: usize) -> Duration {
    /// Upstream: `pushPullScaleThreshold`.
    const THRESHOLD: usize = 32;
    if records <= THRESHOLD {
        return params.push_pull_interval;
    }
    // ⌈log₂ N − log₂ 32⌉ + 1
    let doublings = records.next_power_of_two().trailing_zeros() - THRESHOLD.trailing_zeros();
    params
        .push_pull_interval
        .saturating_mul(doublings.saturating_add(1))
}

/// How many confirmations bring a suspicion down to its shortest time.
pub(super) fn confirmations_wanted(params: &Params, records: usize) -> u32 {
    let wanted = params.suspicion_mult.saturating_sub(2);
    // Upstream: with fewer possible voters than that, there is no long time to begin with.
    if records.saturating_sub(2) < usize::try_from(wanted).unwrap_or(usize::MAX) {
        return 0;
    }
    wanted
}

/// The shortest time from suspect to dead: `suspicion_mult · max(1, log₁₀ N) · probe_interval`, to a thousandth of the
/// logarithm.
pub(super) fn shortest_suspicion(params: &Params, records: usize) -> Duration {
    let records = f64::from(u32::try_from(records.max(1)).unwrap_or(u32::MAX));
    let scale = (records.log10().max(1.0) * 1000.0).trunc() / 1000.0;
    let seconds = f64::from(params.suspicion_mult) * scale * params.probe_interval.as_secs_f64();
    Duration::try_from_secs_f64(seconds).unwrap_or(params.probe_interval)
}

/// The time from suspect to dead after `confirmations` of `wanted`.
pub(super) fn suspicion_after(
    confirmations: u32,
    wanted: u32,
    min: Duration,
    max: Duration,
) -> Duration {
    if wanted == 0 {
        return min;
    }
    if confirmations == 0 {
        return max;
    }
    let part = (f64::from(confirmations) + 1.0).ln() / (f64::from(wanted) + 1.0).ln();
    let seconds = max.as_secs_f64() - part * (max.as_secs_f64() - min.as_secs_f64());
    let millis = (seconds * 1000.0).floor();
    Duration::try_from_secs_f64(millis / 1000.0)
        .unwrap_or(min)
        .max(min)
}
