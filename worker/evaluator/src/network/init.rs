//! Initial weights: drawn from the assignment's seed by the project's own generator, so that a
//! seed gives the same weights on every device and with every release of libtorch.
//!
//! The distribution is PyTorch's default, which NAS-Bench-201 trains with (Dong & Yang, ICLR
//! 2020): weights and biases of convolutions and linear layers uniform in +-1/sqrt(fan-in), the
//! scale of batch normalisation 1 and its shift 0.

use cambrian_core::rng::Stream;
use rand::RngExt;

/// `count` values uniform in `[-1/sqrt(fan_in), 1/sqrt(fan_in))`.
pub(super) fn uniform(generator: &mut Stream, count: usize, fan_in: u64) -> Vec<f32> {
    let bound = 1.0 / (fan_in.max(1) as f64).sqrt();
    (0..count).map(|_| (bound * (2.0 * generator.random::<f64>() - 1.0)) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use cambrian_core::rng::{Purpose, stream};

    #[test]
    fn values_fill_the_interval() {
        let values = uniform(&mut stream(1, Purpose::Evaluation, 0), 10_000, 25);
        assert!(values.iter().all(|value| value.abs() <= 0.2));
        let variance = values.iter().map(|v| f64::from(v * v)).sum::<f64>() / 10_000.0;
        assert!((variance - 0.2 * 0.2 / 3.0).abs() < 5e-4, "{variance}");
    }
}
