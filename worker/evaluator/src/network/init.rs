//! Initial weights: drawn from the assignment's seed by the project's own generator, so that a
//! seed gives the same weights on every device and with every release of libtorch.
//!
//! A new initialisation is one line of [`Initialization`]. It must not know layers or tensors.

use cambrian_core::rng::Stream;
use rand::RngExt;
use rand_distr::StandardNormal;

/// The distribution of a layer's weights and, where it has one, its bias. The scale of batch
/// normalisation begins at 1 and its shift at 0 in every case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Initialization {
    /// PyTorch's default, which NAS-Bench-201 trains with (Dong & Yang, ICLR 2020): weights and
    /// biases uniform in +-1/sqrt(fan-in).
    Uniform,
    /// Normal with variance 2 / fan-in, biases 0 (He et al. 2015).
    KaimingFanIn,
    /// Normal with variance 2 / fan-out, biases 0 (He et al. 2015).
    KaimingFanOut,
    /// Standard normal, biases 0 (Zen-NAS, Lin et al. 2021).
    StandardNormal,
}

/// How many inputs reach an output of a layer, and how many outputs an input reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fan {
    pub(super) inward: u64,
    pub(super) outward: u64,
}

impl Initialization {
    /// `count` weights of a layer.
    pub(super) fn weights(self, generator: &mut Stream, count: usize, fan: Fan) -> Vec<f32> {
        match self {
            Self::Uniform => uniform(generator, count, fan.inward),
            Self::KaimingFanIn => normal(generator, count, 2.0 / fan.inward.max(1) as f64),
            Self::KaimingFanOut => normal(generator, count, 2.0 / fan.outward.max(1) as f64),
            Self::StandardNormal => normal(generator, count, 1.0),
        }
    }

    /// `count` biases of a layer.
    pub(super) fn biases(self, generator: &mut Stream, count: usize, fan: Fan) -> Vec<f32> {
        match self {
            Self::Uniform => uniform(generator, count, fan.inward),
            _ => vec![0.0; count],
        }
    }
}

/// `count` values uniform in `[-1/sqrt(fan_in), 1/sqrt(fan_in))`.
fn uniform(generator: &mut Stream, count: usize, fan_in: u64) -> Vec<f32> {
    let bound = 1.0 / (fan_in.max(1) as f64).sqrt();
    (0..count).map(|_| (bound * (2.0 * generator.random::<f64>() - 1.0)) as f32).collect()
}

/// `count` normal values of mean 0.
pub(crate) fn normal(generator: &mut Stream, count: usize, variance: f64) -> Vec<f32> {
    let deviation = variance.sqrt();
    (0..count).map(|_| (deviation * generator.sample::<f64, _>(StandardNormal)) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use cambrian_core::rng::{Purpose, stream};

    #[test]
    fn uniform_values_fill_the_interval() {
        let values = uniform(&mut stream(1, Purpose::Evaluation, 0), 10_000, 25);
        assert!(values.iter().all(|value| value.abs() <= 0.2));
        assert!((variance(&values) - 0.2 * 0.2 / 3.0).abs() < 5e-4);
    }

    #[test]
    fn every_initialization_has_its_variance() {
        let fan = Fan { inward: 8, outward: 32 };
        let table = [
            (Initialization::Uniform, 1.0 / 24.0, true),
            (Initialization::KaimingFanIn, 0.25, false),
            (Initialization::KaimingFanOut, 0.0625, false),
            (Initialization::StandardNormal, 1.0, false),
        ];
        for (initialization, expected, biased) in table {
            let mut generator = stream(1, Purpose::Evaluation, 0);
            let found = variance(&initialization.weights(&mut generator, 20_000, fan));
            assert!((found / expected - 1.0).abs() < 0.05, "{initialization:?}: {found}");
            let biases = initialization.biases(&mut generator, 10, fan);
            assert_eq!(biases.iter().any(|bias| *bias != 0.0), biased, "{initialization:?}");
        }
    }

    fn variance(values: &[f32]) -> f64 {
        values.iter().map(|value| f64::from(value * value)).sum::<f64>() / values.len() as f64
    }
}
