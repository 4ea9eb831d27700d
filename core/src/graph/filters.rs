//! The filters of [`Op::FilterBank`](super::Op::FilterBank), which are not trained. It must not know how they are
//! applied.

/// The side of each filter, in pixels.
pub const FILTER_SIDE: usize = 3;

/// Four filters, row by row: the horizontal and the vertical derivative (Sobel), the Laplacian, and a
/// blur (binomial). The absolute values of each sum up to 1, so that none of them enlarges its input.
pub const FILTERS: [[f32; FILTER_SIDE * FILTER_SIDE]; 4] = [
    [-0.125, 0.0, 0.125, -0.25, 0.0, 0.25, -0.125, 0.0, 0.125],
    [-0.125, -0.25, -0.125, 0.0, 0.0, 0.0, 0.125, 0.25, 0.125],
    [0.0, 0.125, 0.0, 0.125, -0.5, 0.125, 0.0, 0.125, 0.0],
    [0.0625, 0.125, 0.0625, 0.125, 0.25, 0.125, 0.0625, 0.125, 0.0625],
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derivatives_ignore_what_is_constant_and_no_filter_enlarges() {
        for (place, filter) in FILTERS.iter().enumerate() {
            let sum: f32 = filter.iter().sum();
            assert_eq!(sum, if place == 3 { 1.0 } else { 0.0 });
            assert_eq!(filter.iter().map(|tap| tap.abs()).sum::<f32>(), 1.0);
        }
        // A ramp to the right has a derivative in that direction only.
        let ramp = |filter: &[f32; 9]| -> f32 {
            filter.iter().enumerate().map(|(at, tap)| (at % 3) as f32 * tap).sum()
        };
        assert_eq!(FILTERS.each_ref().map(ramp), [1.0, 0.0, 0.0, 1.0]);
    }
}
