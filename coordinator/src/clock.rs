//! The only place where the coordinator learns what time it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use cambrian_core::time::{Span, Timestamp};

/// Tells the time, never backwards.
pub trait Clock: Send + Sync {
    /// The present instant.
    fn now(&self) -> Timestamp;
}

/// The machine's clock. It is read once; from there a monotonic clock counts, so that a clock that
/// is set while the coordinator runs neither expires leases nor prolongs them.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    wall: Timestamp,
    since: Instant,
}

impl SystemClock {
    /// A clock that starts at the machine's present time.
    #[must_use]
    pub fn new() -> Self {
        let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let micros = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        Self::at(Timestamp(micros))
    }

    /// A clock that starts at `wall`, which another clock has shown just now: coordinators of one
    /// database share its clock, so that a change of leader is no jump in time.
    #[must_use]
    pub fn at(wall: Timestamp) -> Self {
        Self { wall, since: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let micros = u64::try_from(self.since.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.wall + Span(micros)
    }
}

/// A clock that stands still until it is moved; copies move together.
#[derive(Debug, Clone, Default)]
pub struct ManualClock(Arc<AtomicU64>);

impl ManualClock {
    /// Moves the time on.
    pub fn advance(&self, span: Span) {
        self.0.fetch_add(span.0, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}
