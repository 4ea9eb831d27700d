//! Exact hypervolume: how much of the space below a reference point a set dominates. It must not
//! know how a reference point is chosen, nor normalise anything.
//!
//! Inside, a point is its gain over the reference, reference minus value in each objective, so
//! that the measure is the volume of a union of boxes with one corner at the origin. One to three
//! objectives are swept, O(N log N) but for the moves within one sorted vector; four are swept with
//! a union of three, O(N^2) at worst: a linked one (HV4D+: Guerreiro and Fonseca 2018), or, beyond 128 points, one
//! that knows the zones left free (HBDA: Lacour, Klamroth and Fonseca 2017); five to eight are swept
//! along the last objective, each point adding its exclusive volume in one objective less (WFG:
//! While, Bradstreet and Barone 2012), which in four objectives comes, for up to 128 points, from sets
//! of bits and one more linked union. Beyond, it is estimated.

mod estimate;
mod exact;
mod few;
mod linked;
mod parts;
mod sweep;
mod union;
mod zones;

#[cfg(test)]
mod tests;

pub use estimate::{Estimate, estimate_hypervolume};
pub use parts::Part;

use super::Points;

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
    /// There are more objectives than can be computed exactly.
    #[error("the exact hypervolume is computed for up to 8 objectives, not {found}; estimate it")]
    TooMany {
        /// Number of objectives of the points.
        found: usize,
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
    let mut gains = Gains::over(points, reference)?;
    check_exact(points.objectives())?;
    finite(exact::volume(points.objectives(), &mut gains.values))
}

/// As [`hypervolume`], to the last bit, in up to `parts` parts that `compute` may compute at the same time: where
/// five objectives or more and hundreds of points make that worth while, none elsewhere.
///
/// # Errors
/// As [`hypervolume`].
pub fn hypervolume_in_parts(
    points: &Points,
    reference: &[f64],
    parts: usize,
    compute: impl FnOnce(&mut [Part<'_>]),
) -> Result<f64, HypervolumeError> {
    let m = points.objectives();
    let worth_while = parts > 1 && points.len() >= parts::FROM;
    let Some(terms) = exact::terms(m).filter(|_| worth_while) else {
        return hypervolume(points, reference);
    };
    let mut gains = Gains::over(points, reference)?;
    if gains.indices.len() < parts::FROM {
        return hypervolume(points, reference);
    }
    exact::order(m, &mut gains.values);
    let mut parts = Part::all(&gains.values, parts, terms);
    compute(&mut parts);
    finite(Part::sum(parts))
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
    check_exact(points.objectives())?;
    let mut contributions = vec![0.0; points.len()];
    let volumes = exact::exclusive_volumes(points.objectives(), &gains.values);
    for (index, volume) in gains.indices.iter().zip(volumes) {
        contributions[*index] = finite(volume)?;
    }
    Ok(contributions)
}

/// What [`exclusive_contributions`] says of the point at `index`, at the cost of one volume of the others cut to
/// its box: as a front grows by a point, its volume grows by this.
///
/// # Errors
/// As [`hypervolume`].
///
/// # Panics
/// If there is no point at `index`.
pub fn exclusive_contribution(
    points: &Points,
    index: usize,
    reference: &[f64],
) -> Result<f64, HypervolumeError> {
    let row = points.row(index);
    let (mut alone, mut cut) = (Points::new(row.len()), Points::new(row.len()));
    let finite_row = "the maximum of two finite points is finite";
    alone.push(row).expect(finite_row);
    for other in (0..points.len()).filter(|other| *other != index) {
        let within: Vec<f64> =
            points.row(other).iter().zip(row).map(|(other, value)| other.max(*value)).collect();
        cut.push(&within).expect(finite_row);
    }
    let shared = hypervolume(&cut, reference)?;
    Ok((hypervolume(&alone, reference)? - shared).max(0.0))
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
        let values = Vec::with_capacity(points.len() * expected);
        let mut gains = Self { values, indices: Vec::with_capacity(points.len()) };
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

fn check_exact(found: usize) -> Result<(), HypervolumeError> {
    if found <= exact::MOST { Ok(()) } else { Err(HypervolumeError::TooMany { found }) }
}

fn finite(volume: f64) -> Result<f64, HypervolumeError> {
    if volume.is_finite() { Ok(volume) } else { Err(HypervolumeError::Overflow) }
}
