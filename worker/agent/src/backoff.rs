//! Growing pauses between retries, spread by seeded jitter so that a fleet does not return at once.
//!
//! Must not know what is retried nor read a clock.

use std::time::Duration;

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

/// Exponential backoff: the `n`-th pause lies between half of and the whole of
/// `first * 2^(n-1)`, at most `longest`.
#[derive(Debug)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    failures: u32,
    jitter: ChaCha8Rng,
}

impl Backoff {
    /// A backoff whose jitter follows from `seed`.
    #[must_use]
    pub fn new(first: Duration, longest: Duration, seed: u64) -> Self {
        Self { first, longest, failures: 0, jitter: ChaCha8Rng::seed_from_u64(seed) }
    }

    /// Counts one more failure.
    pub fn fail(&mut self) {
        self.failures = self.failures.saturating_add(1);
    }

    /// The pause before the next try; none if nothing has failed.
    pub fn pause(&mut self) -> Duration {
        let Some(doublings) = self.failures.checked_sub(1).map(|doublings| doublings.min(30))
        else {
            return Duration::ZERO;
        };
        let whole = self.first.saturating_mul(1 << doublings).min(self.longest);
        whole.mul_f64(self.jitter.random_range(0.5..=1.0))
    }

    /// From now on no pause is longer than this, nor than what it was made with.
    pub fn shorten(&mut self, longest: Duration) {
        self.longest = self.longest.min(longest);
    }

    /// How many failures there were in a row.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Forgets the failures: it worked.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

/// A seed for jitter that differs between workers and slots but not between runs.
#[must_use]
pub fn jitter_seed(name: &str, index: u32) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(name.as_bytes());
    hasher.update(&index.to_le_bytes());
    let bytes = hasher.finalize();
    let mut seed = [0; 8];
    seed.copy_from_slice(&bytes.as_bytes()[..8]);
    u64::from_le_bytes(seed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_millis(100);
    const LONGEST: Duration = Duration::from_secs(3);

    #[test]
    fn pauses_double_up_to_the_longest_and_start_again_after_success() {
        let mut backoff = Backoff::new(FIRST, LONGEST, 1);
        for doublings in 0..70_u32 {
            let whole = FIRST.saturating_mul(1 << doublings.min(20)).min(LONGEST);
            backoff.fail();
            let pause = backoff.pause();
            assert!(pause >= whole / 2 && pause <= whole, "{pause:?} after {doublings}");
        }
        assert_eq!(backoff.failures(), 70);
        backoff.reset();
        assert_eq!(backoff.pause(), Duration::ZERO);
        backoff.fail();
        assert!(backoff.pause() <= FIRST);
    }

    #[test]
    fn pauses_can_be_shortened_and_not_prolonged() {
        let mut backoff = Backoff::new(FIRST, LONGEST, 1);
        (0..20).for_each(|_| backoff.fail());
        backoff.shorten(LONGEST * 2);
        assert!(backoff.pause() >= LONGEST / 2);
        backoff.shorten(FIRST);
        assert!((0..20).all(|_| backoff.pause() <= FIRST));
    }

    #[test]
    fn jitter_follows_from_the_name_and_differs_between_workers() {
        let pauses = |seed| {
            let mut backoff = Backoff::new(FIRST, LONGEST, seed);
            backoff.fail();
            (0..5).map(|_| backoff.pause()).collect::<Vec<_>>()
        };
        assert_eq!(pauses(jitter_seed("a", 0)), pauses(jitter_seed("a", 0)));
        assert_ne!(pauses(jitter_seed("a", 0)), pauses(jitter_seed("b", 0)));
        assert_ne!(pauses(jitter_seed("a", 0)), pauses(jitter_seed("a", 1)));
    }
}
