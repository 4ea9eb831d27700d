//! Durations counted in buckets whose width grows with them, for many threads at once.
//!
//! Must not know what is timed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Buckets per doubling are 2 to the power of this: values are known within 1/32.
const PRECISION: u32 = 5;
const PER_OCTAVE: usize = 1 << PRECISION;
/// Microseconds up to 2^40, about twelve days.
const BUCKETS: usize = (40 - PRECISION as usize + 1) * PER_OCTAVE;

/// Counts of durations in whole microseconds.
#[derive(Debug)]
pub(super) struct Histogram {
    counts: Box<[AtomicU64]>,
    largest: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        let counts = std::iter::repeat_with(AtomicU64::default).take(BUCKETS).collect();
        Self { counts, largest: AtomicU64::new(0) }
    }
}

/// The bucket of a number of microseconds: exact below 32, then 32 a doubling.
fn bucket(micros: u64) -> usize {
    if micros < PER_OCTAVE as u64 {
        return micros as usize;
    }
    let octave = micros.ilog2() - PRECISION;
    let within = (micros >> octave) as usize - PER_OCTAVE;
    ((octave as usize + 1) * PER_OCTAVE + within).min(BUCKETS - 1)
}

/// The largest number of microseconds in a bucket.
fn upper(bucket: usize) -> u64 {
    if bucket < PER_OCTAVE {
        return bucket as u64;
    }
    let octave = bucket / PER_OCTAVE - 1;
    let within = (bucket % PER_OCTAVE + PER_OCTAVE) as u64;
    ((within + 1) << octave) - 1
}

impl Histogram {
    /// Counts a duration.
    pub(super) fn add(&self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.counts[bucket(micros)].fetch_add(1, Ordering::Relaxed);
        self.largest.fetch_max(micros, Ordering::Relaxed);
    }

    /// How many were counted.
    pub(super) fn count(&self) -> u64 {
        self.counts.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// The duration that a share of all does not exceed, within 1/32 above; `None` if none was
    /// counted.
    pub(super) fn quantile(&self, share: f64) -> Option<Duration> {
        let total = self.count();
        // The rank of the smallest value with at least that share at or below it.
        let rank = ((share * total as f64).ceil() as u64).max(1);
        let largest = self.largest.load(Ordering::Relaxed);
        let mut seen = 0;
        let found = self.counts.iter().enumerate().find_map(|(at, count)| {
            seen += count.load(Ordering::Relaxed);
            (seen >= rank).then(|| upper(at).min(largest))
        });
        found.filter(|_| total > 0).map(Duration::from_micros)
    }

    /// The longest.
    pub(super) fn largest(&self) -> Duration {
        Duration::from_micros(self.largest.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_follow_each_other_and_hold_their_values() {
        let mut before = None;
        for at in 0..BUCKETS - 1 {
            assert_eq!(bucket(upper(at)), at);
            assert_eq!(bucket(upper(at) + 1), at + 1);
            assert!(before < Some(upper(at)));
            before = Some(upper(at));
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_are_those_of_the_sorted_values_within_a_thirty_second() {
        let histogram = Histogram::default();
        assert_eq!(histogram.quantile(0.5), None);
        let mut values: Vec<u64> =
            (1..=2_000u64).map(|index| index * index * 7919 % 1_000_003).collect();
        for value in &values {
            histogram.add(Duration::from_micros(*value));
        }
        values.sort_unstable();
        assert_eq!(histogram.count(), 2_000);
        assert_eq!(histogram.largest().as_micros() as u64, values[1_999]);
        for share in [0.0, 0.001, 0.25, 0.5, 0.9, 0.99, 0.999, 1.0] {
            let rank = ((share * 2_000.0) as usize).max(1) - 1;
            let (exact, found) = (values[rank], histogram.quantile(share).unwrap());
            let found = found.as_micros() as u64;
            assert!(found >= exact && found - exact <= exact / 32 + 1, "{share}: {exact} {found}");
        }
    }
}
