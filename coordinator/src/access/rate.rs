//! How often a token may call: a bucket for each, refilled steadily.
//!
//! Must not know what is called, nor why something costs as much as several calls.

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
        self.take_at(self.limit, 1.0, now)
    }

    /// Takes what costs as much as `cost` calls under the bound that holds at present. What costs more
    /// than there ever is takes all of it.
    fn take_at(&mut self, limit: RateLimit, cost: f64, now: Timestamp) -> bool {
        self.limit = limit;
        let elapsed = now.0.saturating_sub(self.at.0) as f64 / 1e6;
        self.at = self.at.max(now);
        let most = f64::from(limit.at_once);
        self.left = (self.left + elapsed * limit.per_second).min(most);
        let cost = cost.min(most);
        let takes = self.left >= cost;
        if takes {
            self.left -= cost;
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
#[derive(Debug, Default)]
pub(super) struct Rates {
    buckets: Mutex<BTreeMap<TokenId, Bucket>>,
}

impl Rates {
    /// Takes what costs a token as much as `cost` calls, if that is left of the bound that holds for it.
    pub(super) fn take(&self, id: TokenId, limit: RateLimit, cost: f64, now: Timestamp) -> bool {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        buckets.entry(id).or_insert_with(|| Bucket::full(limit, now)).take_at(limit, cost, now)
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
        let rates = Rates::default();
        let (one, other) = (TokenId(1), TokenId(2));
        let take = |id, seconds: f64| rates.take(id, limit, 1.0, Timestamp((seconds * 1e6) as u64));
        assert!([0.0, 0.0, 0.0].into_iter().all(|at| take(one, at)));
        assert!(!take(one, 0.4) && take(other, 0.4), "each token has its own");
        assert!(take(one, 0.5) && !take(one, 0.5));
        assert!([100.0; 3].into_iter().all(|at| take(one, at)) && !take(one, 100.0));
        assert!(!take(one, 1.0), "time that goes back refills nothing");
    }

    #[test]
    fn a_bound_may_grow_and_what_costs_more_takes_more() {
        let (rates, id) = (Rates::default(), TokenId(1));
        let small = RateLimit { per_second: 1.0, at_once: 2 };
        let large = RateLimit { per_second: 10.0, at_once: 40 };
        let take =
            |limit, cost, seconds: u64| rates.take(id, limit, cost, Timestamp(seconds * 1_000_000));
        assert!(take(small, 2.0, 0) && !take(small, 1.0, 0));
        assert!(!take(large, 1.0, 0), "a larger bound gives nothing at once");
        assert!(take(large, 9.0, 1) && !take(large, 2.0, 1) && take(large, 1.0, 1));
        assert!(take(small, 100.0, 9) && !take(small, 1.0, 9), "all that there is");
    }
}
