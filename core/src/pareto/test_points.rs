//! Generators and definitions that the tests of several Pareto kernels share.

use super::Points;
use proptest::prelude::*;
use std::ops::RangeInclusive;

/// Rows of `m` values of one style per set: a coarse grid (ties and duplicates), continuous, one
/// flat front, a chain, or a grid with one constant column.
pub(crate) fn point_rows(
    m: usize,
    count: RangeInclusive<usize>,
) -> impl Strategy<Value = Vec<Vec<f64>>> {
    (0u8..5, prop::collection::vec(prop::collection::vec(0.0f64..1.0, m), count))
        .prop_map(|(style, rows)| rows.into_iter().map(|row| restyle(style, row)).collect())
}

fn restyle(style: u8, mut row: Vec<f64>) -> Vec<f64> {
    match style {
        0 => row.iter_mut().for_each(|v| *v = (*v * 4.0).floor() - 2.0),
        1 => row.iter_mut().for_each(|v| *v = *v * 20.0 - 10.0),
        2 => {
            let sum = row.iter().sum::<f64>().max(1e-6);
            row.iter_mut().for_each(|v| *v /= sum);
        }
        3 => {
            let level = (row[0] * 10.0).floor();
            row.iter_mut().for_each(|v| *v = level);
        }
        _ => {
            row.iter_mut().for_each(|v| *v = (*v * 8.0).floor());
            row[0] = 1.0;
        }
    }
    row
}

/// Rows of 1 to 6 objectives.
pub(crate) fn any_rows(count: RangeInclusive<usize>) -> impl Strategy<Value = Vec<Vec<f64>>> {
    (1usize..=6).prop_flat_map(move |m| point_rows(m, count.clone()))
}

/// The rows as a set, with M taken from the first.
pub(crate) fn points_of(rows: &[Vec<f64>]) -> Points {
    Points::try_from_rows(rows.first().map_or(1, Vec::len), rows).unwrap()
}

/// Pareto domination word for word.
pub(crate) fn naive_dominates(a: &[f64], b: &[f64]) -> bool {
    a.iter().zip(b).all(|(x, y)| x <= y) && a.iter().zip(b).any(|(x, y)| x < y)
}

/// A fixed stream of numbers in [0, 1) for tests too large for proptest (SplitMix64, Steele,
/// Lea and Flood 2014).
pub(crate) fn uniform_stream(mut state: u64) -> impl FnMut() -> f64 {
    move || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}
