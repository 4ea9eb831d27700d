//! Delta-orthogonal weights (Xiao et al., "Dynamical isometry and a mean field theory of CNNs", ICML 2018):
//! an orthogonal matrix at the centre of a kernel, zeros around it. It must not know layers or tensors.

use cambrian_core::rng::Stream;
use rand::RngExt;
use rand_distr::StandardNormal;

use super::init::Extent;

/// The weights of a layer, out-major, in double precision. Each group has a matrix of its own, with orthonormal
/// columns if it has no more inputs than outputs, else with orthonormal rows, times `gain`. The filters of a
/// depthwise layer, of which each reads one of several channels, are the identity: 1 at the centre.
pub(crate) fn delta_orthogonal(generator: &mut Stream, extent: Extent, gain: f64) -> Vec<f64> {
    let Extent { outputs, inputs, side, groups } = extent;
    let taps = side * side;
    // Of an even side the earlier of the two in the middle.
    let middle = side.saturating_sub(1) / 2;
    let centre = middle * side + middle;
    let mut weights = vec![0.0; outputs * inputs * taps];
    if groups > 1 && inputs == 1 {
        (0..outputs).for_each(|output| weights[output * taps + centre] = 1.0);
        return weights;
    }
    let rows = outputs / groups.max(1);
    for group in 0..groups {
        let matrix = orthonormal(generator, rows, inputs);
        for (at, value) in matrix.into_iter().enumerate() {
            weights[(group * rows * inputs + at) * taps + centre] = gain * value;
        }
    }
    weights
}

/// A matrix, row by row, with orthonormal rows or columns, whichever are fewer: normal vectors made
/// orthogonal one by one, so that no direction is preferred.
fn orthonormal(generator: &mut Stream, rows: usize, columns: usize) -> Vec<f64> {
    let (few, many) = (rows.min(columns), rows.max(columns));
    let mut vectors: Vec<Vec<f64>> = Vec::with_capacity(few);
    while vectors.len() < few {
        let mut vector: Vec<f64> = (0..many).map(|_| generator.sample(StandardNormal)).collect();
        // What rounding leaves after the first time is gone after the second.
        for _ in 0..2 {
            for other in &vectors {
                let share = dot(other, &vector);
                vector.iter_mut().zip(other).for_each(|(value, other)| *value -= share * other);
            }
            let norm = dot(&vector, &vector).sqrt();
            vector.iter_mut().for_each(|value| *value /= norm);
        }
        vectors.push(vector);
    }
    if rows <= columns {
        return vectors.concat();
    }
    (0..many).flat_map(|row| vectors.iter().map(move |vector| vector[row])).collect()
}

fn dot(one: &[f64], other: &[f64]) -> f64 {
    one.iter().zip(other).map(|(one, other)| one * other).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::Randomness;

    fn drawn(outputs: usize, inputs: usize, side: usize, groups: usize, gain: f64) -> Vec<f64> {
        let extent = Extent { outputs, inputs, side, groups };
        delta_orthogonal(&mut Randomness::Weights.stream(1), extent, gain)
    }

    /// The products of all pairs of `vectors` are those of orthogonal vectors of this squared norm.
    fn assert_orthogonal(vectors: &[Vec<f64>], square: f64) {
        for (at, one) in vectors.iter().enumerate() {
            for (other_at, other) in vectors.iter().enumerate() {
                let expected = if at == other_at { square } else { 0.0 };
                assert!((dot(one, other) - expected).abs() < 1e-13);
            }
        }
    }

    #[test]
    fn the_fewer_of_rows_and_columns_are_orthonormal() {
        let wide = drawn(5, 9, 1, 1, 3.0);
        let rows: Vec<Vec<f64>> = wide.chunks(9).map(<[f64]>::to_vec).collect();
        assert_orthogonal(&rows, 9.0);
        let tall = drawn(9, 5, 1, 1, 1.0);
        let columns = (0..5).map(|column| tall.iter().skip(column).step_by(5).copied().collect());
        assert_orthogonal(&columns.collect::<Vec<_>>(), 1.0);
    }

    #[test]
    fn all_but_the_centre_of_kernels_is_zero() {
        for (side, centre) in [(3, 4), (5, 12), (2, 0), (1, 0)] {
            let weights = drawn(4, 6, side, 2, 1.0);
            for (at, weight) in weights.iter().enumerate() {
                assert_eq!(*weight != 0.0, at % (side * side) == centre, "side {side}, at {at}");
            }
        }
    }

    #[test]
    fn groups_have_matrices_of_their_own_and_depthwise_layers_are_the_identity() {
        let weights = drawn(4, 2, 1, 2, 1.0);
        let (first, second) = weights.split_at(4);
        assert_ne!(first, second);
        for group in [first, second] {
            assert_orthogonal(&[group[..2].to_vec(), group[2..].to_vec()], 1.0);
        }
        let depthwise = drawn(3, 1, 3, 3, std::f64::consts::SQRT_2);
        assert_eq!(depthwise, [0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0].repeat(3));
    }
}
