//! Initial weights: drawn from the assignment's seed by the project's own generator, so that a
//! seed gives the same weights on every device and with every release of libtorch.
//!
//! A new initialisation is one line of [`Initialization`]. It must not know layers or tensors.

use cambrian_core::rng::Stream;
use cambrian_core::spec::InitialWeights;
use rand::RngExt;
use rand_distr::StandardNormal;

use super::orthogonal::delta_orthogonal;

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
    /// An orthogonal matrix at the centre of each kernel, biases 0 (Xiao et al. 2018). The gain is the
    /// square root of 2 in a network with ReLUs, else 1.
    DeltaOrthogonal,
}

/// How large a layer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    /// Channels or features that come out.
    pub(crate) outputs: usize,
    /// Channels or features that each of them reads.
    pub(crate) inputs: usize,
    /// The side of the kernel, 1 without one.
    pub(crate) side: usize,
    /// Parts that have nothing in common.
    pub(crate) groups: usize,
}

impl Extent {
    /// How many weights it has.
    pub(super) fn weights(self) -> usize {
        self.outputs * self.inputs * self.side * self.side
    }

    /// How many inputs reach an output.
    fn inward(self) -> u64 {
        (self.inputs * self.side * self.side) as u64
    }

    /// How many outputs an input reaches, as PyTorch counts them: groups are not told apart.
    fn outward(self) -> u64 {
        (self.outputs * self.side * self.side) as u64
    }
}

/// Weights as precise as their definition.
#[derive(Debug)]
pub(super) enum Drawn {
    /// Rounded to single precision, so that every precision begins with the same numbers.
    Single(Vec<f32>),
    /// In double precision.
    Double(Vec<f64>),
}

impl From<InitialWeights> for Initialization {
    fn from(asked: InitialWeights) -> Self {
        match asked {
            InitialWeights::Uniform => Self::Uniform,
            InitialWeights::DeltaOrthogonal => Self::DeltaOrthogonal,
        }
    }
}

impl Initialization {
    /// The weights of a layer; `gain` is that of the activations between layers.
    pub(super) fn weights(self, generator: &mut Stream, extent: Extent, gain: f64) -> Drawn {
        let count = extent.weights();
        let variance = |fan: u64| 2.0 / fan.max(1) as f64;
        Drawn::Single(match self {
            Self::Uniform => uniform(generator, count, extent.inward()),
            Self::KaimingFanIn => normal(generator, count, variance(extent.inward())),
            Self::KaimingFanOut => normal(generator, count, variance(extent.outward())),
            Self::StandardNormal => normal(generator, count, 1.0),
            Self::DeltaOrthogonal => {
                return Drawn::Double(delta_orthogonal(generator, extent, gain));
            }
        })
    }

    /// The biases of a layer.
    pub(super) fn biases(self, generator: &mut Stream, extent: Extent) -> Vec<f32> {
        match self {
            Self::Uniform => uniform(generator, extent.outputs, extent.inward()),
            _ => vec![0.0; extent.outputs],
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
        let extent = Extent { outputs: 2_000, inputs: 10, side: 1, groups: 1 };
        let table = [
            (Initialization::Uniform, 1.0 / 30.0, true),
            (Initialization::KaimingFanIn, 0.2, false),
            (Initialization::KaimingFanOut, 0.001, false),
            (Initialization::StandardNormal, 1.0, false),
        ];
        for (initialization, expected, biased) in table {
            let mut generator = stream(1, Purpose::Evaluation, 0);
            let Drawn::Single(weights) = initialization.weights(&mut generator, extent, 1.0) else {
                panic!("{initialization:?} is rounded");
            };
            let found = variance(&weights);
            assert!((found / expected - 1.0).abs() < 0.05, "{initialization:?}: {found}");
            let biases = initialization.biases(&mut generator, extent);
            assert_eq!(biases.iter().any(|bias| *bias != 0.0), biased, "{initialization:?}");
        }
    }

    fn variance(values: &[f32]) -> f64 {
        values.iter().map(|value| f64::from(value * value)).sum::<f64>() / values.len() as f64
    }
}
