//! Exact hypervolume: how much of the space below a reference point a set dominates. It must not
//! know how a reference point is chosen, nor normalise anything.
//!
//! Inside, a point is its gain over the reference, reference minus value in each objective, so
//! that the measure is the volume of a union of boxes with one corner at the origin. One to three
//! objectives are swept, O(N log N) but for the moves within one sorted vector; four and more
//! are sliced along the last objective, each slice adding a point's exclusive volume in one
//! objective less (WFG: While, Bradstreet and Barone 2012).

mod slicing;
mod sweep;

#[cfg(test)]
mod tests;

use super::Points;
use slicing::Slicer;

/// Why a hypervolume could not be computed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum HypervolumeError {
    /// The reference point has another number of objectives than the points.
    #[error("the reference point has {found} values, but the points have {expected} objectives")]
    ReferenceLength {
        /// Number of objectives of the points.
        expected: usize,
        /// Number of values of the reference point.
        found: usize,
    },
    /// A value of the reference point is NaN or infinite.
    #[error(
        "objective {objective} (counted from 0) of the reference point is {value}; give a \
             finite value"
    )]
    NonFiniteReference {
        /// Column of the offending value.
        objective: usize,
        /// The value as given.
        value: f64,
    },
    /// The volume is above the largest floating-point number.
    #[error("the hypervolume exceeds the largest number; scale the objectives down")]
    Overflow,
}

/// The volume dominated by `points` and bounded by `reference`, in the product of the
/// objectives' units; all objectives are minimised.
///
/// A point counts only where it is strictly better than the reference in every objective; the
/// volume of no points is 0.
///
/// # Errors
/// [`HypervolumeError`] when the reference does not fit the points or is not finite, or when the
/// volume overflows.
pub fn hypervolume(points: &Points, reference: &[f64]) -> Result<f64, HypervolumeError> {
    let gains = Gains::over(points, reference)?;
    finite(Slicer::default().volume(points.objectives(), &gains.values))
}

/// For every point, the volume that it alone dominates: the hypervolume of all points minus that
/// of all others. 0 for points that are dominated, repeated or not better than the reference.
///
/// # Errors
/// As [`hypervolume`].
pub fn exclusive_contributions(
    points: &Points,
    reference: &[f64],
) -> Result<Vec<f64>, HypervolumeError> {
    let gains = Gains::over(points, reference)?;
    let m = points.objectives();
    let mut contributions = vec![0.0; points.len()];
    if m == 2 {
        for (volume, index) in sweep::exclusive_areas(&gains.values).into_iter().zip(&gains.indices)
        {
            contributions[*index] = finite(volume)?;
        }
        return Ok(contributions);
    }
    let mut slicer = Slicer::default();
    let mut others = Vec::with_capacity(gains.values.len());
    for (at, row) in gains.values.chunks_exact(m.max(1)).enumerate() {
        others.clear();
        others.extend_from_slice(&gains.values[..at * m]);
        others.extend_from_slice(&gains.values[(at + 1) * m..]);
        contributions[gains.indices[at]] = finite(slicer.exclusive_volume(row, &others))?;
    }
    Ok(contributions)
}

/// The gains of the points that are strictly better than the reference, row-major.
struct Gains {
    values: Vec<f64>,
    indices: Vec<usize>,
}

impl Gains {
    fn over(points: &Points, reference: &[f64]) -> Result<Self, HypervolumeError> {
        let (expected, found) = (points.objectives(), reference.len());
        if expected != found {
            return Err(HypervolumeError::ReferenceLength { expected, found });
        }
        if let Some(objective) = reference.iter().position(|value| !value.is_finite()) {
            let value = reference[objective];
            return Err(HypervolumeError::NonFiniteReference { objective, value });
        }
        let mut gains = Self { values: Vec::new(), indices: Vec::new() };
        for (index, row) in points.rows().enumerate() {
            if row.iter().zip(reference).all(|(value, bound)| value < bound) {
                gains.values.extend(row.iter().zip(reference).map(|(value, bound)| bound - value));
                gains.indices.push(index);
            }
        }
        if gains.values.iter().all(|gain| gain.is_finite()) {
            Ok(gains)
        } else {
            Err(HypervolumeError::Overflow)
        }
    }
}

fn finite(volume: f64) -> Result<f64, HypervolumeError> {
    if volume.is_finite() { Ok(volume) } else { Err(HypervolumeError::Overflow) }
}
