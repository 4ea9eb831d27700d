//! How often a token may call: a bucket for each, refilled steadily.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use cambrian_core::time::Timestamp;
use cambrian_transport::token::TokenId;

use crate::clock::Clock;

/// A bound on calls.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct RateLimit {
    /// Calls a second in the long run.
    pub(crate) per_second: f64,
    /// Calls at once after a rest.
    pub(crate) at_once: u32,
}

/// What is left of a bound.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bucket {
    limit: RateLimit,
    left: f64,
    at: Timestamp,
}

impl Bucket {
    pub(super) fn full(limit: RateLimit, now: Timestamp) -> Self {
        Self { limit, left: f64::from(limit.at_once), at: now }
    }

    /// Takes one call, if one is left.
    pub(super) fn take(&mut self, now: Timestamp) -> bool {
        let elapsed = now.0.saturating_sub(self.at.0) as f64 / 1e6;
        self.at = self.at.max(now);
        let most = f64::from(self.limit.at_once);
        self.left = (self.left + elapsed * self.limit.per_second).min(most);
        let takes = self.left >= 1.0;
        if takes {
            self.left -= 1.0;
        }
        takes
    }
}

/// How many refusals are logged one by one: strangers must not fill the disk.
pub(crate) struct LogBound {
    clock: Arc<dyn Clock>,
    bucket: Mutex<Bucket>,
}

impl LogBound {
    const LIMIT: RateLimit = RateLimit { per_second: 20.0, at_once: 20 };

    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        let bucket = Mutex::new(Bucket::full(Self::LIMIT, clock.now()));
        Self { clock, bucket }
    }

    /// Whether one more is logged.
    pub(crate) fn allows(&self) -> bool {
        self.bucket.lock().unwrap_or_else(PoisonError::into_inner).take(self.clock.now())
    }
}

/// A bucket for each token that has called. Only known tokens have one, so there are no more of
/// them than tokens.
#[derive(Debug)]
pub(super) struct Rates {
    limit: RateLimit,
    buckets: Mutex<BTreeMap<TokenId, Bucket>>,
}

impl Rates {
    pub(super) fn new(limit: RateLimit) -> Self {
        Self { limit, buckets: Mutex::default() }
    }

    /// Takes one call of a token, if one is left.
    pub(super) fn take(&self, id: TokenId, now: Timestamp) -> bool {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        buckets.entry(id).or_insert_with(|| Bucket::full(self.limit, now)).take(now)
    }
}

#[cfg(test)]
mod tests {
    use cambrian_core::time::Span;

    use super::*;
    use crate::clock::ManualClock;

    #[test]
    fn a_flood_of_refusals_is_logged_in_part() {
        let clock = ManualClock::default();
        let bound = LogBound::new(Arc::new(clock.clone()));
        assert_eq!((0..1000).filter(|_| bound.allows()).count(), 20);
        clock.advance(Span::from_secs(1));
        assert_eq!((0..1000).filter(|_| bound.allows()).count(), 20);
    }

    #[test]
    fn a_bucket_empties_and_refills_up_to_its_size() {
        let limit = RateLimit { per_second: 2.0, at_once: 3 };
        let rates = Rates::new(limit);
        let (one, other) = (TokenId(1), TokenId(2));
        let take = |id, seconds: f64| rates.take(id, Timestamp((seconds * 1e6) as u64));
        assert!([0.0, 0.0, 0.0].into_iter().all(|at| take(one, at)));
        assert!(!take(one, 0.4) && take(other, 0.4), "each token has its own");
        assert!(take(one, 0.5) && !take(one, 0.5));
        assert!([100.0; 3].into_iter().all(|at| take(one, at)) && !take(one, 100.0));
        assert!(!take(one, 1.0), "time that goes back refills nothing");
    }
}
