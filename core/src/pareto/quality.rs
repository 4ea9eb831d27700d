//! How good a front is beside its hypervolume: the inverted generational distance IGD+ and the
//! spread. It must not know how fronts come about. Objectives are minimised; whoever wants them
//! scaled does so before.

use super::Points;

/// Fronts that cannot be compared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QualityError {
    /// The two sets have different numbers of objectives.
    #[error("the front has {found} objectives and the reference front {expected}")]
    Objectives {
        /// Objectives of the front.
        found: usize,
        /// Objectives of the reference front.
        expected: usize,
    },
    /// One of the sets has no point.
    #[error("an empty front has no distance from another one")]
    Empty,
}

/// IGD+ (Ishibuchi, Masuda, Tanigaki and Nojima 2015): the mean distance from the points of the
/// reference front to what `front` dominates, 0 at best, in the objectives' units. Weakly Pareto
/// compliant, unlike IGD.
///
/// # Errors
/// [`QualityError`] if a set is empty or they have different objectives.
pub fn igd_plus(front: &Points, reference: &Points) -> Result<f64, QualityError> {
    check(front, reference)?;
    let shortfall = |target: &[f64], row: &[f64]| {
        let missing = row.iter().zip(target).map(|(value, target)| (value - target).max(0.0));
        missing.map(|part| part * part).sum::<f64>()
    };
    let nearest = |target: &[f64]| {
        front.rows().map(|row| shortfall(target, row)).fold(f64::INFINITY, f64::min).sqrt()
    };
    Ok(reference.rows().map(nearest).sum::<f64>() / reference.len() as f64)
}

/// How unevenly a front is spread, 0 at best: for two objectives Deb's Delta (Deb et al. 2002,
/// section V), for others the generalised spread (Zhou et al. 2006) with Euclidean distances. The
/// extremes are those of the reference front.
///
/// # Errors
/// [`QualityError`] if a set is empty or they have different objectives.
pub fn spread(front: &Points, reference: &Points) -> Result<f64, QualityError> {
    check(front, reference)?;
    if front.objectives() == 2 {
        Ok(delta(front, reference))
    } else {
        Ok(generalised(front, reference))
    }
}

fn check(front: &Points, reference: &Points) -> Result<(), QualityError> {
    let (found, expected) = (front.objectives(), reference.objectives());
    if found != expected {
        return Err(QualityError::Objectives { found, expected });
    }
    if front.is_empty() || reference.is_empty() { Err(QualityError::Empty) } else { Ok(()) }
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| (x - y) * (x - y)).sum::<f64>().sqrt()
}

/// The point with the best value of an objective, the better in the others among equals.
fn extreme(points: &Points, objective: usize) -> &[f64] {
    let order = |a: &&[f64], b: &&[f64]| {
        let rest = || a.iter().zip(*b).map(|(x, y)| x.total_cmp(y)).find(|order| order.is_ne());
        a[objective]
            .total_cmp(&b[objective])
            .then_with(|| rest().unwrap_or(std::cmp::Ordering::Equal))
    };
    points.rows().min_by(order).unwrap_or(&[])
}

fn delta(front: &Points, reference: &Points) -> f64 {
    let mut rows: Vec<&[f64]> = front.rows().collect();
    rows.sort_by(|a, b| a[0].total_cmp(&b[0]).then(b[1].total_cmp(&a[1])));
    let ends = distance(rows[0], extreme(reference, 0))
        + distance(rows[rows.len() - 1], extreme(reference, 1));
    let gaps: Vec<f64> = rows.windows(2).map(|pair| distance(pair[0], pair[1])).collect();
    ratio(ends, &gaps)
}

fn generalised(front: &Points, reference: &Points) -> f64 {
    let nearest = |at: usize, row: &[f64]| {
        let others = front.rows().enumerate().filter(|(other, _)| *other != at);
        others.map(|(_, other)| distance(row, other)).fold(f64::INFINITY, f64::min)
    };
    let ends = (0..front.objectives()).map(|objective| {
        let target = extreme(reference, objective);
        front.rows().map(|row| distance(row, target)).fold(f64::INFINITY, f64::min)
    });
    let gaps: Vec<f64> = front
        .rows()
        .enumerate()
        .map(|(at, row)| nearest(at, row))
        .filter(|gap| gap.is_finite())
        .collect();
    ratio(ends.sum(), &gaps)
}

/// (ends + sum of |gap - mean|) / (ends + sum of gaps), 0 if both are nothing.
fn ratio(ends: f64, gaps: &[f64]) -> f64 {
    let total: f64 = gaps.iter().sum();
    let mean = total / gaps.len().max(1) as f64;
    let uneven: f64 = gaps.iter().map(|gap| (gap - mean).abs()).sum();
    if ends + total > 0.0 { (ends + uneven) / (ends + total) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pareto::test_points::{any_rows, points_of};
    use proptest::prelude::*;

    fn line(n: u32) -> Points {
        let row = |at: u32| vec![f64::from(at), f64::from(n - 1 - at)];
        points_of(&(0..n).map(row).collect::<Vec<_>>())
    }

    #[test]
    fn igd_plus_by_hand() {
        // Example of Ishibuchi et al. 2015, section 3: only what is worse than a target counts.
        let reference = points_of(&[vec![0.0, 1.0], vec![1.0, 0.0]]);
        assert_eq!(igd_plus(&points_of(&[vec![0.0, 0.0]]), &reference), Ok(0.0));
        assert_eq!(igd_plus(&points_of(&[vec![1.0, 1.0]]), &reference), Ok(1.0));
        let found = igd_plus(&points_of(&[vec![3.0, 5.0]]), &reference).unwrap();
        assert!((found - (5.0 + 29f64.sqrt()) / 2.0).abs() < 1e-12);
    }

    #[test]
    fn even_fronts_have_no_spread_and_lost_ends_count() {
        let whole = line(11);
        assert!(spread(&whole, &whole).unwrap() < 1e-12);
        let half = points_of(&whole.rows().take(6).map(<[f64]>::to_vec).collect::<Vec<_>>());
        // Five even gaps, and five gaps missing at one end.
        assert!((spread(&half, &whole).unwrap() - 0.5).abs() < 1e-12);
        let corners = [vec![1.0, 0.0, 0.0], vec![0.0, 1.0, 0.0], vec![0.0, 0.0, 1.0]];
        assert!(spread(&points_of(&corners), &points_of(&corners)).unwrap() < 1e-12);
    }

    #[test]
    fn sets_that_cannot_be_compared_are_refused() {
        let (two, three) = (line(3), points_of(&[vec![0.0; 3]]));
        for quality in [igd_plus, spread] {
            assert_eq!(
                quality(&two, &three),
                Err(QualityError::Objectives { found: 2, expected: 3 })
            );
            assert_eq!(quality(&Points::new(2), &two), Err(QualityError::Empty));
            assert_eq!(quality(&two, &Points::new(2)), Err(QualityError::Empty));
        }
        assert_eq!(spread(&three, &three), Ok(0.0));
    }

    proptest! {
        #[test]
        fn more_points_are_never_further_away(rows in any_rows(2..=20)) {
            let reference = points_of(&rows);
            let (all, some) = (points_of(&rows), points_of(&rows[1..]));
            prop_assert_eq!(igd_plus(&all, &reference), Ok(0.0));
            prop_assert!(igd_plus(&some, &reference).unwrap() >= 0.0);
            let found = spread(&some, &reference).unwrap();
            prop_assert!(found.is_finite() && found >= 0.0);
        }
    }
}
