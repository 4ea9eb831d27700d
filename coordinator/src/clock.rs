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

/// The time of the engine: that of a clock, and where a journal has come further than the clock, as far
/// ahead of it as the journal was. The engine takes no instant before its latest one, so that with the
/// clock alone its time would stand still until the clock has caught up, and no lease would end
/// meanwhile. What has to be true beyond the engine, such as the end of a token, is no matter of this.
pub(crate) struct EngineClock {
    clock: Arc<dyn Clock>,
    ahead: Span,
}

impl EngineClock {
    /// The time of `clock`.
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, ahead: Span(0) }
    }

    /// Goes on from `end`, the latest instant of a journal, if that has not come yet. It never goes
    /// back: what was ahead of the clock stays so. Returns how far the clock is behind, if that is news.
    pub(crate) fn go_on_from(&mut self, end: Timestamp) -> Option<Span> {
        let behind = end.since(self.clock.now());
        if behind <= self.ahead {
            return None;
        }
        self.ahead = behind;
        Some(behind)
    }
}

impl Clock for EngineClock {
    fn now(&self) -> Timestamp {
        self.clock.now() + self.ahead
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engine_goes_on_from_the_journals_end() {
        let clock = ManualClock::default();
        clock.advance(Span(100));
        let mut engine = EngineClock::new(Arc::new(clock.clone()));
        assert_eq!(engine.go_on_from(Timestamp(70)), None);
        assert_eq!(engine.now(), Timestamp(100), "a journal that ends earlier changes nothing");
        assert_eq!(engine.go_on_from(Timestamp(1_000)), Some(Span(900)));
        assert_eq!(engine.now(), Timestamp(1_000));
        clock.advance(Span(5));
        assert_eq!(engine.now(), Timestamp(1_005));
        assert_eq!(engine.go_on_from(Timestamp(1_003)), None, "told once");
        assert_eq!(engine.now(), Timestamp(1_005), "it never goes back");
        assert_eq!(clock.now(), Timestamp(105));
    }
}
