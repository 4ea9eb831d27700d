//! Instants and spans as plain numbers of microseconds.
//!
//! Nothing in this crate reads a clock: whoever calls the engine says what time it is.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, Sub};

use serde::{Deserialize, Serialize};

/// Microseconds since the Unix epoch, UTC.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

/// A length of time in microseconds.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Span(pub u64);

impl Span {
    /// A span of whole milliseconds.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000))
    }

    /// A span of whole seconds.
    #[must_use]
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1_000_000))
    }

    /// The span in seconds.
    #[must_use]
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e6
    }
}

impl Timestamp {
    /// The time that has passed since `earlier`; zero if `earlier` lies in the future, since
    /// clocks of real machines step back.
    #[must_use]
    pub fn since(self, earlier: Timestamp) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Span> for Timestamp {
    type Output = Timestamp;

    fn add(self, span: Span) -> Timestamp {
        Timestamp(self.0.saturating_add(span.0))
    }
}

impl Add for Span {
    type Output = Span;

    fn add(self, other: Span) -> Span {
        Span(self.0.saturating_add(other.0))
    }
}

impl Sum for Span {
    /// The largest span there is where the sum exceeds it, in whatever order.
    fn sum<I: Iterator<Item = Span>>(spans: I) -> Span {
        spans.fold(Span(0), Add::add)
    }
}

impl Sub for Span {
    type Output = Span;

    fn sub(self, other: Span) -> Span {
        Span(self.0.saturating_sub(other.0))
    }
}

impl fmt::Display for Span {
    /// The two most significant units: `4m 05s`, `2h 10m`, `3.2s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0 / 1_000_000;
        match seconds {
            0..=59 => write!(f, "{:.1}s", self.as_secs_f64()),
            60..=3_599 => write!(f, "{}m {:02}s", seconds / 60, seconds % 60),
            _ => write!(f, "{}h {:02}m", seconds / 3_600, seconds % 3_600 / 60),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_steps_back_gives_no_negative_span() {
        assert_eq!(Timestamp(5).since(Timestamp(9)), Span(0));
    }

    #[test]
    fn sums_end_at_the_largest_span() {
        let spans = [Span(u64::MAX - 1), Span(1), Span(7)];
        assert_eq!(spans.into_iter().sum::<Span>(), Span(u64::MAX));
        assert_eq!(spans.into_iter().rev().sum::<Span>(), Span(u64::MAX));
    }

    #[test]
    fn spans_read_well() {
        assert_eq!(Span::from_millis(3_200).to_string(), "3.2s");
        assert_eq!(Span::from_secs(245).to_string(), "4m 05s");
        assert_eq!(Span::from_secs(7_830).to_string(), "2h 10m");
    }
}
