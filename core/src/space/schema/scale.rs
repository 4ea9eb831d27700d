//! Ordered choices of many values on the grid of real genes, of which each value owns an equal part. It must
//! not know how far a mutation moves.

/// Ordered choices of at most so many values move by steps and come from one parent. Of more, a step is too
/// small a share of the range to get anywhere, and both are done as for real numbers; where it begins, a
/// typical step of polynomial mutation is one value.
const FEW: u32 = 32;

/// Whether so many ordered values vary like real numbers.
pub(super) fn is_wide(values: u32) -> bool {
    values > FEW
}

/// Whether slots with these highest values are all choices of few values, ordered or not.
pub(super) fn are_narrow(highest: &[u32]) -> bool {
    highest.iter().all(|highest| *highest < FEW)
}

/// The middle of the part of the grid that a value below `values` owns.
pub(super) fn on_grid(value: u32, values: u32) -> u32 {
    let start = |value: u64| (value << 32).div_ceil(u64::from(values));
    let value = u64::from(value);
    ((start(value) + start(value + 1) - 1) / 2) as u32
}

/// The value that owns a point of the grid.
pub(super) fn of_point(point: u32, values: u32) -> u32 {
    ((u64::from(point) * u64::from(values)) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_value_owns_its_place_on_the_grid(values in 1u32.., share in 0.0..1.0f64) {
            for value in [0, (share * f64::from(values)) as u32, values - 1] {
                prop_assert_eq!(of_point(on_grid(value, values), values), value);
            }
            prop_assert_eq!((of_point(0, values), of_point(u32::MAX, values)), (0, values - 1));
        }
    }
}
