//! The only place where the coordinator learns the time that leases, tokens and certificates go by.
//!
//! How long somebody is waited for is measured where it is waited. Must not know what is timed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use cambrian_core::time::{Span, Timestamp};
use rustix::time::{ClockId, clock_gettime};

/// Tells the time, never backwards.
pub trait Clock: Send + Sync {
    /// The present instant.
    fn now(&self) -> Timestamp;

    /// How much of that the machine was suspended: nobody was heard meanwhile.
    fn suspended(&self) -> Span {
        Span(0)
    }

    /// The date, by which tokens and certificates end: it follows a clock that is set, also backwards.
    fn date(&self) -> Timestamp {
        self.now()
    }
}

#[cfg(target_os = "linux")]
const UNSTOPPED: ClockId = ClockId::Boottime;
#[cfg(not(target_os = "linux"))]
const UNSTOPPED: ClockId = ClockId::Monotonic;

/// An instant of a clock that nobody sets, and that goes on while the machine is suspended (on systems
/// other than Linux as far as their monotonic clock does).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(Duration);

impl Moment {
    /// The present one.
    pub(crate) fn now() -> Self {
        Self(clock_gettime(UNSTOPPED).try_into().unwrap_or_default())
    }

    /// The one after so long.
    pub(crate) fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span))
    }

    /// How long it is until then; nothing once it has come.
    pub(crate) fn remaining(self) -> Duration {
        self.0.saturating_sub(Self::now().0)
    }

    /// How long ago it was.
    pub(crate) fn elapsed(self) -> Duration {
        Self::now().0.saturating_sub(self.0)
    }
}

/// The machine's clock. It is read once; from there another one counts, so that a clock that is set
/// while the coordinator runs neither expires leases nor prolongs them.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    wall: Timestamp,
    since: Moment,
    /// The same by a clock that stands still while the machine is suspended.
    awake_since: Instant,
}

fn span(duration: Duration) -> Span {
    Span(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
}

/// An instant of the machine's clock; none before 1970.
pub(crate) fn stamp(at: SystemTime) -> Timestamp {
    let elapsed = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX))
}

impl SystemClock {
    /// A clock that starts at the machine's present time.
    #[must_use]
    pub fn new() -> Self {
        Self::at(stamp(SystemTime::now()))
    }

    /// A clock that starts at `wall`, which another clock has shown just now: coordinators of one
    /// database share its clock, so that a change of leader is no jump in time.
    #[must_use]
    pub fn at(wall: Timestamp) -> Self {
        Self { wall, since: Moment::now(), awake_since: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        self.wall + span(self.since.elapsed())
    }

    fn suspended(&self) -> Span {
        span(self.since.elapsed().saturating_sub(self.awake_since.elapsed()))
    }

    fn date(&self) -> Timestamp {
        stamp(SystemTime::now())
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

    fn suspended(&self) -> Span {
        self.clock.suspended()
    }

    fn date(&self) -> Timestamp {
        self.clock.date()
    }
}

/// A clock that stands still until it is moved; copies move together.
#[derive(Debug, Clone, Default)]
pub struct ManualClock(Arc<Shown>);

#[derive(Debug, Default)]
struct Shown {
    now: AtomicU64,
    suspended: AtomicU64,
    /// How far it was set forward.
    set: AtomicU64,
}

impl ManualClock {
    /// Moves the time on.
    pub fn advance(&self, span: Span) {
        self.0.now.fetch_add(span.0, Ordering::SeqCst);
    }

    /// The machine is suspended for so long.
    pub fn suspend(&self, span: Span) {
        self.0.suspended.fetch_add(span.0, Ordering::SeqCst);
        self.advance(span);
    }

    /// Sets the date forward, and nothing else.
    pub fn set_forward(&self, span: Span) {
        self.0.set.fetch_add(span.0, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.now.load(Ordering::SeqCst))
    }

    fn suspended(&self) -> Span {
        Span(self.0.suspended.load(Ordering::SeqCst))
    }

    fn date(&self) -> Timestamp {
        self.now() + Span(self.0.set.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_go_on_and_come() {
        let past = Moment::now();
        let later = past.after(Duration::from_secs(3600));
        assert!(later > past && later.remaining() <= Duration::from_secs(3600));
        assert!(later.remaining() > Duration::ZERO && later.elapsed() == Duration::ZERO);
        assert_eq!(past.remaining(), Duration::ZERO);
    }

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
