//! What a candidate must do to go on from one stage to the next. It must not know how candidates
//! are ranked; the engine does that.

use crate::id::Ordinal;
use crate::objective::{Constraint, Goal, MetricName};

/// The conditions behind one stage; none by default, and then everyone goes on.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Pass {
    /// Bounds that a candidate has to keep, on metrics that are known after the stage.
    pub gates: Vec<Constraint>,
    /// The share of the best that goes on, if not all do.
    pub top: Option<TopShare>,
}

impl Pass {
    /// Whether everyone goes on.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.gates.is_empty() && self.top.is_none()
    }
}

/// The share of a stage's candidates that goes on: one rung of asynchronous successive halving.
#[derive(Debug, Clone, PartialEq)]
pub struct TopShare {
    /// The share, above 0 and below 1.
    pub share: f64,
    /// What candidates are ranked by, at least one criterion, all known after the stage.
    pub by: Vec<Criterion>,
    /// How many candidates must have finished the stage before the first goes on, at least 1.
    pub least: u32,
    /// Only the first so many candidates of the campaign are ranked, at least 1, and all later ones go on.
    /// `None`: all are ranked.
    pub of_first: Option<u32>,
}

impl TopShare {
    /// Whether the candidate is one of those that are ranked.
    #[must_use]
    pub fn ranks(&self, candidate: Ordinal) -> bool {
        self.of_first.is_none_or(|first| candidate.0 <= first)
    }

    /// How many of `finished` candidates may go on while more can come: the share of them, rounded
    /// down, and none before [`Self::least`].
    #[must_use]
    pub fn of(&self, finished: usize) -> usize {
        // A share such as 1/3 is not exact in binary; three candidates must still give one.
        const ROUNDING: f64 = 1e-9;
        if finished < self.least as usize {
            return 0;
        }
        (finished as f64 * self.share + ROUNDING) as usize
    }

    /// How many of `finished` candidates go on once no more can come: at least one, if there is one.
    #[must_use]
    pub fn of_all(&self, finished: usize) -> usize {
        let complete = Self { least: 0, ..self.clone() };
        complete.of(finished).max(1).min(finished)
    }
}

/// A metric that candidates are ranked by.
#[derive(Debug, Clone, PartialEq)]
pub struct Criterion {
    /// The metric.
    pub metric: MetricName,
    /// What is better.
    pub goal: Goal,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_third_of_three_is_one_and_of_any_multiple_exact() {
        let third = TopShare { share: 1.0 / 3.0, by: Vec::new(), least: 1, of_first: None };
        assert_eq!((third.of(2), third.of(3), third.of(5), third.of(6)), (0, 1, 1, 2));
        for whole in [0usize, 1, 7, 1_000, 33_333_333] {
            assert_eq!((third.of(3 * whole), third.of(3 * whole + 2)), (whole, whole));
        }
    }

    #[test]
    fn nobody_goes_on_before_the_least_and_someone_does_at_the_end() {
        let rung = TopShare { share: 0.25, by: Vec::new(), least: 10, of_first: None };
        assert_eq!((rung.of(9), rung.of(10)), (0, 2));
        assert_eq!((rung.of_all(0), rung.of_all(1), rung.of_all(9)), (0, 1, 2));
    }
}
