//! Monotone maps of an output before it is modelled. Errors and costs are often spread over orders
//! of magnitude; what matters is the resolution near the best. It must not know the model that follows, nor
//! which objective the output is.

/// The maps that are tried.
pub(in crate::algorithm) const SHAPES: [Shape; 3] =
    [Shape::Linear, Shape::Logarithmic, Shape::SharplyLogarithmic];

/// How an output is mapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::algorithm) enum Shape {
    /// Not at all, but for a scale.
    Linear,
    /// The logarithm of the distance from the best, linear below the median distance.
    Logarithmic,
    /// The same with a tenth of that distance.
    SharplyLogarithmic,
}

/// A map with the offset and scale of its data.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::algorithm) struct Warp {
    best: f64,
    scale: f64,
    logarithmic: bool,
}

impl Warp {
    /// The map of this shape for `values`, at least one.
    pub(in crate::algorithm) fn new(values: &[f64], shape: Shape) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        let best = sorted.first().copied().unwrap_or(0.0);
        let above = &sorted[sorted.partition_point(|value| *value <= best)..];
        let median = above.get(above.len() / 2).map_or(1.0, |value| value - best);
        let scale = match shape {
            Shape::Linear | Shape::Logarithmic => median,
            Shape::SharplyLogarithmic => 0.1 * median,
        };
        // The distance of two finite numbers can overflow, or vanish between neighbours.
        let scale = if scale.is_normal() { scale } else { 1.0 };
        Self { best, scale, logarithmic: shape != Shape::Linear }
    }

    /// The mapped value.
    pub(in crate::algorithm) fn forward(&self, value: f64) -> f64 {
        let distance = (value - self.best) / self.scale;
        if self.logarithmic && distance > 0.0 { libm::log1p(distance) } else { distance }
    }

    /// The value that is mapped to `mapped`.
    pub(in crate::algorithm) fn backward(&self, mapped: f64) -> f64 {
        // A prediction far beyond the data would overflow.
        const LIMIT: f64 = 50.0;
        let distance = match self.logarithmic && mapped > 0.0 {
            true => libm::expm1(mapped.min(LIMIT)),
            false => mapped,
        };
        self.best + distance * self.scale
    }

    /// The logarithm of the map's slope at a value, which makes densities of differently mapped
    /// values comparable.
    pub(in crate::algorithm) fn log_slope(&self, value: f64) -> f64 {
        let distance = ((value - self.best) / self.scale).max(0.0);
        let bend = if self.logarithmic { libm::log1p(distance) } else { 0.0 };
        -libm::log(self.scale) - bend
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn maps_ascend_and_invert(
            values in prop::collection::vec(-1e6f64..1e6, 1..30), at in -2e6f64..2e6, step in 1e-3f64..1e5,
        ) {
            for shape in SHAPES {
                let warp = Warp::new(&values, shape);
                prop_assert!(warp.forward(at) < warp.forward(at + step));
                let back = warp.backward(warp.forward(at));
                prop_assert!((back - at).abs() <= 1e-6 * (1.0 + at.abs()), "{back} for {at}");
            }
        }
    }

    #[test]
    fn slopes_are_those_of_differences() {
        let values = [1.0, 2.0, 4.0, 9.0, 30.0];
        for shape in SHAPES {
            let warp = Warp::new(&values, shape);
            for value in [1.5, 3.0, 20.0] {
                let slope = (warp.forward(value + 1e-6) - warp.forward(value - 1e-6)) / 2e-6;
                assert!((slope.ln() - warp.log_slope(value)).abs() < 1e-5, "{shape:?} at {value}");
            }
        }
    }

    #[test]
    fn constant_outputs_have_a_map() {
        for shape in SHAPES {
            let warp = Warp::new(&[7.0, 7.0], shape);
            assert_eq!(warp.forward(7.0), 0.0);
            assert_eq!(warp.backward(0.0), 7.0);
        }
    }
}
