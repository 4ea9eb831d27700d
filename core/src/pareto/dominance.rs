//! Pareto domination and constrained domination between two points. It must not know where a
//! violation comes from: callers sum the normalised excess over their limits.

use std::cmp::Ordering;

/// How two points relate; "better" means smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dominance {
    /// The first dominates the second.
    First,
    /// The second dominates the first.
    Second,
    /// Each is better somewhere.
    Neither,
    /// The two have the same values.
    Equal,
}

impl Dominance {
    /// The same relation seen from the other point.
    #[must_use]
    pub fn reverse(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
            Self::Neither | Self::Equal => self,
        }
    }
}

/// Whether `a` is no worse than `b` in every objective and better in at least one.
///
/// Both need the same length and finite values, as rows of [`super::Points`] have.
#[must_use]
pub fn dominates(a: &[f64], b: &[f64]) -> bool {
    compare(a, b) == Dominance::First
}

/// Pareto domination between `a` and `b`, all objectives minimised.
///
/// Both need the same length and finite values, as rows of [`super::Points`] have.
#[must_use]
pub fn compare(a: &[f64], b: &[f64]) -> Dominance {
    debug_assert_eq!(a.len(), b.len(), "points of different sets were compared");
    let (mut a_better, mut b_better) = (false, false);
    for (x, y) in a.iter().zip(b) {
        a_better |= x < y;
        b_better |= y < x;
        if a_better && b_better {
            return Dominance::Neither;
        }
    }
    match (a_better, b_better) {
        (true, false) => Dominance::First,
        (false, true) => Dominance::Second,
        (false, false) => Dominance::Equal,
        (true, true) => Dominance::Neither,
    }
}

/// Constrained domination (Deb, Pratap, Agarwal and Meyarivan 2002, section VI): a feasible point
/// (violation 0) dominates an infeasible one, of two infeasible points the one with the smaller
/// summed normalised violation dominates, and two feasible points compare by [`compare`].
///
/// Violations are finite and not negative; a NaN is infeasible and comparable with no other
/// infeasible point.
#[must_use]
pub fn constrained_compare(a: &[f64], a_violation: f64, b: &[f64], b_violation: f64) -> Dominance {
    match (a_violation == 0.0, b_violation == 0.0) {
        (true, true) => compare(a, b),
        (true, false) => Dominance::First,
        (false, true) => Dominance::Second,
        (false, false) => match a_violation.partial_cmp(&b_violation) {
            Some(Ordering::Less) => Dominance::First,
            Some(Ordering::Greater) => Dominance::Second,
            Some(Ordering::Equal) => Dominance::Equal,
            None => Dominance::Neither,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pareto::test_points::{naive_dominates, point_rows};
    use proptest::prelude::*;

    #[test]
    fn four_relations() {
        assert_eq!(compare(&[1.0, 2.0], &[1.0, 3.0]), Dominance::First);
        assert_eq!(compare(&[1.0, 3.0], &[1.0, 2.0]), Dominance::Second);
        assert_eq!(compare(&[1.0, 3.0], &[2.0, 2.0]), Dominance::Neither);
        assert_eq!(compare(&[1.0, 3.0], &[1.0, 3.0]), Dominance::Equal);
        assert!(!dominates(&[1.0], &[1.0]));
    }

    #[test]
    fn feasibility_comes_first() {
        let (good, bad) = ([0.0, 0.0], [9.0, 9.0]);
        assert_eq!(constrained_compare(&bad, 0.0, &good, 0.1), Dominance::First);
        assert_eq!(constrained_compare(&good, 0.1, &bad, 0.0), Dominance::Second);
        assert_eq!(constrained_compare(&good, 0.2, &bad, 0.1), Dominance::Second);
        assert_eq!(constrained_compare(&good, 0.2, &bad, 0.2), Dominance::Equal);
        assert_eq!(constrained_compare(&good, 0.0, &bad, 0.0), Dominance::First);
        assert_eq!(constrained_compare(&good, f64::NAN, &bad, 0.1), Dominance::Neither);
        assert_eq!(constrained_compare(&good, f64::NAN, &bad, 0.0), Dominance::Second);
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(rows in (1usize..=6).prop_flat_map(|m| point_rows(m, 2..=2))) {
            let (a, b) = (&rows[0], &rows[1]);
            prop_assert_eq!(dominates(a, b), naive_dominates(a, b));
            prop_assert_eq!(compare(a, b), compare(b, a).reverse());
            prop_assert_eq!(compare(a, b) == Dominance::Equal, a == b);
        }
    }
}
