//! The hypervolume of many objectives, estimated by drawing points (Bader and Zitzler 2011, "HypE").
//! It must not know how a reference point is chosen.

use rand::RngExt;

use super::{Gains, HypervolumeError, finite};
use crate::pareto::Points;
use crate::rng::Stream;

/// An estimated hypervolume.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The estimate, in the product of the objectives' units.
    pub volume: f64,
    /// The standard error of the estimate: it falls with the square root of the draws.
    pub standard_error: f64,
    /// Bounds between which the hypervolume lies with 95 % confidence (Wilson 1927); they never
    /// fall together, not even if all draws were dominated.
    pub bounds: [f64; 2],
}

/// Estimates the volume dominated by `points` and bounded by `reference`, all objectives minimised,
/// from `draws` (at least 1) points drawn uniformly from the box between the best values and the
/// reference. O(draws x N x M) at most.
///
/// # Errors
/// [`HypervolumeError`] as for the exact hypervolume, but for the number of objectives.
pub fn estimate_hypervolume(
    points: &Points,
    reference: &[f64],
    draws: u32,
    rng: &mut Stream,
) -> Result<Estimate, HypervolumeError> {
    let m = points.objectives();
    let gains = Gains::over(points, reference)?.values;
    if gains.is_empty() {
        return Ok(Estimate { volume: 0.0, standard_error: 0.0, bounds: [0.0; 2] });
    }
    let highest = |at: usize| gains.chunks_exact(m).map(|row| row[at]).fold(0.0, f64::max);
    let corner: Vec<f64> = (0..m).map(highest).collect();
    let whole = finite(corner.iter().product())?;
    let draws = draws.max(1);
    // The largest boxes first: they contain most draws.
    let mut rows: Vec<&[f64]> = gains.chunks_exact(m).collect();
    let size =
        |row: &[f64]| row.iter().zip(&corner).map(|(gain, most)| gain / most).product::<f64>();
    rows.sort_by(|a, b| size(b).total_cmp(&size(a)));
    let mut draw = vec![0.0; m];
    let mut inside = 0u32;
    for _ in 0..draws {
        for (value, most) in draw.iter_mut().zip(&corner) {
            *value = rng.random::<f64>() * most;
        }
        let contains = |row: &&&[f64]| row.iter().zip(&draw).all(|(gain, value)| value < gain);
        inside += u32::from(rows.iter().find(contains).is_some());
    }
    let (n, share) = (f64::from(draws), f64::from(inside) / f64::from(draws));
    Ok(Estimate {
        volume: whole * share,
        standard_error: whole * (share * (1.0 - share) / n).sqrt(),
        bounds: wilson(share, n).map(|bound| whole * bound),
    })
}

/// Wilson's interval of a share among `n` draws, 95 %.
fn wilson(share: f64, n: f64) -> [f64; 2] {
    const QUANTILE: f64 = 1.959_963_984_540_054;
    let square = QUANTILE * QUANTILE;
    let centre = (share + square / (2.0 * n)) / (1.0 + square / n);
    let spread = share * (1.0 - share) / n + square / (4.0 * n * n);
    let half = QUANTILE / (1.0 + square / n) * spread.sqrt();
    [(centre - half).max(0.0), (centre + half).min(1.0)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pareto::hypervolume::hypervolume;
    use crate::pareto::test_points::{points_of, uniform_stream};
    use crate::rng::{Purpose, stream};

    fn front(n: usize, m: usize) -> Vec<Vec<f64>> {
        let mut next = uniform_stream(5);
        (0..n).map(|_| (0..m).map(|_| next()).collect()).collect()
    }

    #[test]
    fn the_bounds_hold_as_often_as_they_say() {
        let points = points_of(&front(30, 5));
        let exact = hypervolume(&points, &[1.0; 5]).unwrap();
        let holds = |seed: &u64| {
            let mut rng = stream(*seed, Purpose::Model, 0);
            let found = estimate_hypervolume(&points, &[1.0; 5], 500, &mut rng).unwrap();
            found.bounds[0] <= exact && exact <= found.bounds[1]
        };
        let held = (0..400).filter(holds).count();
        assert!((364..=394).contains(&held), "{held} of 400 instead of 380");
    }

    #[test]
    fn more_draws_come_closer_and_twelve_objectives_are_no_problem() {
        let points = points_of(&front(20, 12));
        let estimate = |draws| {
            let mut rng = stream(1, Purpose::Model, 0);
            estimate_hypervolume(&points, &[1.0; 12], draws, &mut rng).unwrap()
        };
        let (few, many) = (estimate(1_000), estimate(100_000));
        assert!(many.standard_error < 0.2 * few.standard_error);
        assert!((many.volume - few.volume).abs() < 4.0 * few.standard_error);
    }

    #[test]
    fn one_box_is_known_but_never_with_certainty() {
        let points = points_of(&[vec![0.0; 9]]);
        let mut rng = stream(1, Purpose::Model, 0);
        let found = estimate_hypervolume(&points, &[2.0; 9], 100, &mut rng).unwrap();
        assert_eq!((found.volume, found.standard_error), (512.0, 0.0));
        assert!(found.bounds[0] < 512.0 && found.bounds[1] == 512.0, "{found:?}");
    }

    #[test]
    fn nothing_inside_the_reference_is_nothing() {
        let points = points_of(&[vec![3.0; 9]]);
        let mut rng = stream(1, Purpose::Model, 0);
        let found = estimate_hypervolume(&points, &[2.0; 9], 100, &mut rng).unwrap();
        assert_eq!(found.bounds, [0.0; 2]);
        assert!(estimate_hypervolume(&points, &[f64::NAN; 9], 100, &mut rng).is_err());
        assert!(estimate_hypervolume(&points, &[2.0; 8], 100, &mut rng).is_err());
    }
}
