//! The scored candidates of a campaign, best first: what a later campaign may begin with.
//!
//! It must not know who begins with them.

use super::campaign::Campaign;
use super::candidate::CandidateStatus;
use crate::id::Ordinal;
use crate::pareto::Points;
use crate::pareto::net::spread_order;
use crate::pareto::sorting::non_dominated_sort;

/// Candidates with their minimised objectives, a row each, and their constraint violations; by ordinal.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoredPoints {
    ordinals: Vec<Ordinal>,
    points: Points,
    violations: Vec<f64>,
}

impl Campaign {
    /// The scored candidates, or only those on the front.
    #[must_use]
    pub fn scored_points(&self, front_only: bool) -> ScoredPoints {
        let objectives = self.spec().objectives.len();
        let (ordinals, violations) = (Vec::new(), Vec::new());
        let mut found = ScoredPoints { ordinals, points: Points::new(objectives), violations };
        for (candidate, ordinal) in self.candidates().iter().zip((1..).map(Ordinal)) {
            if let CandidateStatus::Scored { violation } = *candidate.status()
                && (!front_only || self.front().contains(ordinal))
                && let Some(point) = self.objectives_of(candidate)
                // Scores are finite, as a point has to be.
                && found.points.push(&point).is_ok()
            {
                found.ordinals.push(ordinal);
                found.violations.push(violation);
            }
        }
        found
    }
}

impl ScoredPoints {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ordinals.is_empty()
    }

    /// At most `most` of them: front after front by constraint domination, so that those that keep the
    /// constraints come before the others, each in the order of which every beginning is well
    /// spread ([`spread_order`]), so that a few of many stand for all trade-offs.
    #[must_use]
    pub fn best_first(&self, most: usize) -> Vec<Ordinal> {
        let Ok(fronts) = non_dominated_sort(&self.points, Some(&self.violations)) else {
            return Vec::new();
        };
        let mut best = Vec::new();
        for front in fronts.iter() {
            let room = most - best.len();
            let order = spread_order(&self.points, front);
            best.extend(order.into_iter().take(room).map(|index| self.ordinals[index]));
            if best.len() == most {
                break;
            }
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scored(rows: &[[f64; 2]]) -> ScoredPoints {
        let ordinals = (1..).take(rows.len()).map(|number| Ordinal(2 * number)).collect();
        let violations = vec![0.0; rows.len()];
        ScoredPoints { ordinals, points: Points::try_from_rows(2, rows).unwrap(), violations }
    }

    fn best(rows: &[[f64; 2]], most: usize) -> Vec<u32> {
        scored(rows).best_first(most).into_iter().map(|ordinal| ordinal.0).collect()
    }

    #[test]
    fn fronts_come_in_order_and_each_begins_with_its_ends() {
        // The first front is 4, 6, 8, 10; 2 and 12 are dominated, 2 by 12.
        let rows = [[9.0, 9.0], [0.0, 4.0], [1.0, 2.9], [2.0, 2.0], [4.0, 0.0], [5.0, 5.0]];
        assert_eq!(best(&rows, 10), [4, 10, 8, 6, 12, 2]);
        for most in 0..6 {
            assert_eq!(best(&rows, most), best(&rows, 10)[..most], "{most}");
        }
        assert_eq!(best(&[], 3), [0; 0]);
    }

    #[test]
    fn what_breaks_a_constraint_comes_behind_all_that_keep_it() {
        let rows = [[0.0, 0.0], [3.0, 3.0], [0.0, 9.0], [5.0, 5.0]];
        let violations = vec![0.5, 0.0, 0.1, 0.0];
        let found = ScoredPoints { violations, ..scored(&rows) };
        assert_eq!(found.best_first(4), [4, 8, 6, 2].map(Ordinal));
    }

    #[test]
    fn equal_points_come_by_ordinal() {
        assert_eq!(best(&[[1.0, 1.0], [0.0, 2.0], [1.0, 1.0]], 10), [4, 2, 6]);
    }
}
