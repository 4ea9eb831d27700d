//! Flatness: how little the loss of a trained network rises when noise moves its parameters (GeNAS,
//! Jeong et al., IJCAI 2023, arXiv 2305.08611). Larger is flatter, which tends to generalise better.
//!
//! With `L_k` the mean validation cross-entropy under noise of deviation `s_k`, the value is
//! `1 / (L_1/s_1 + sum_k |L_(k+1) - L_k| / (s_(k+1) - s_k) + 1e-5)` for deviations 0.001, 0.003 and
//! 0.006 of all parameters. The released code adds each noise to the one before; the text draws each
//! anew. Both are here by their names. It must not know how the network was trained.

use cambrian_core::rng::Stream;
use cambrian_core::spec::FlatnessNoise;
use tch::Tensor;

use crate::data::samples::{Normalization, Samples, batches};
use crate::evaluate::Supervision;
use crate::failure::EvaluationError;
use crate::network::{Mode, Network, normal};
use crate::train::mean_cross_entropy;

/// The deviations of the noise, ascending.
const DEVIATIONS: [f64; 3] = [0.001, 0.003, 0.006];
/// Keeps the value of a loss that does not move finite.
const SHIFT: f64 = 1e-5;
/// Samples of one inference batch.
const BATCH: usize = 256;

/// The flatness of `network` on the first `limit` of `samples`, in inference mode; the parameters are
/// afterwards as they were.
///
/// # Errors
/// A stop, or whatever libtorch reports. A loss that is not finite makes the value 0 or NaN, which
/// whoever records it refuses.
pub fn flatness(
    network: &Network,
    samples: &Samples,
    normalization: &Normalization,
    limit: usize,
    noise: FlatnessNoise,
    generator: &mut Stream,
    supervision: &mut Supervision<'_>,
) -> Result<f64, EvaluationError> {
    under_noise(&network.trainable(), noise, generator, || {
        loss(network, samples, normalization, limit, supervision)
    })
}

/// The value for a `loss` of `parameters`, which are afterwards as they were.
fn under_noise(
    parameters: &[Tensor],
    noise: FlatnessNoise,
    generator: &mut Stream,
    mut loss: impl FnMut() -> Result<f64, EvaluationError>,
) -> Result<f64, EvaluationError> {
    let _guard = tch::no_grad_guard();
    let before: Vec<Tensor> = parameters.iter().map(Tensor::copy).collect();
    let restore = || {
        parameters.iter().zip(&before).for_each(|(now, then)| now.shallow_clone().copy_(then));
    };
    let mut sharpness = SHIFT;
    let (mut last_deviation, mut last_loss) = (0.0, 0.0);
    for deviation in DEVIATIONS {
        let step = deviation - last_deviation;
        let found = match noise {
            FlatnessNoise::Cumulative => perturb(parameters, step, generator),
            FlatnessNoise::Direct => {
                restore();
                perturb(parameters, deviation, generator)
            }
        };
        let found = found.and_then(|()| loss());
        let Ok(found) = found else {
            restore();
            return found;
        };
        // The loss without noise counts as 0, as in the paper.
        sharpness += (found - last_loss).abs() / step;
        (last_deviation, last_loss) = (deviation, found);
    }
    restore();
    Ok(1.0 / sharpness)
}

/// Adds normal noise to every parameter.
fn perturb(
    parameters: &[Tensor],
    deviation: f64,
    generator: &mut Stream,
) -> Result<(), EvaluationError> {
    for parameter in parameters {
        let values = normal(generator, parameter.numel(), deviation * deviation);
        let noise = Tensor::f_from_slice(&values)?.f_view(parameter.size().as_slice())?;
        let noise = noise.f_to_device(parameter.device())?.f_to_kind(parameter.kind())?;
        let _ = parameter.shallow_clone().f_add_(&noise)?;
    }
    Ok(())
}

/// The mean cross-entropy in inference mode.
fn loss(
    network: &Network,
    samples: &Samples,
    normalization: &Normalization,
    limit: usize,
    supervision: &mut Supervision<'_>,
) -> Result<f64, EvaluationError> {
    let count = samples.count().min(limit);
    let mut sum = 0.0;
    for range in batches(count, BATCH) {
        let size = range.len() as f64;
        sum += supervision.share(|| {
            let (images, labels) = samples.batch(range, normalization, network.kind())?;
            let logits = network.forward(&images, Mode::Evaluate)?;
            Ok(size * mean_cross_entropy(&logits, &labels)?.f_double_value(&[])?)
        })?;
    }
    Ok(sum / count.max(1) as f64)
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;
    use crate::train::Randomness;

    const CURVATURE: f64 = 3.0;

    /// The flatness of `CURVATURE |w|^2 / 2` around 0 and the parameters afterwards.
    fn of_quadratic(noise: FlatnessNoise, count: i64) -> (f64, Tensor) {
        let parameters = [Tensor::zeros([count], (Kind::Double, Device::Cpu))];
        let mut generator = Randomness::Noise.stream(5);
        let value = under_noise(&parameters, noise, &mut generator, || {
            let squares = parameters[0].square().sum(Kind::Double).double_value(&[]);
            Ok(CURVATURE * squares / 2.0)
        });
        (value.unwrap(), parameters[0].shallow_clone())
    }

    #[test]
    fn a_quadratic_has_the_flatness_of_its_closed_form() {
        let count = 100_000;
        let table = [(FlatnessNoise::Direct, 0.007), (FlatnessNoise::Cumulative, 0.003)];
        for (noise, factor) in table {
            let (value, parameters) = of_quadratic(noise, count);
            let expected = factor * CURVATURE * count as f64;
            let found = 1.0 / value - SHIFT;
            assert!((found / expected - 1.0).abs() < 0.05, "{noise:?}: {found} of {expected}");
            assert_eq!(parameters.abs().max().double_value(&[]), 0.0, "{noise:?}");
        }
    }

    #[test]
    fn parameters_are_restored_after_a_stop() {
        let parameters = [Tensor::ones([5], (Kind::Float, Device::Cpu))];
        let mut generator = Randomness::Noise.stream(5);
        let mut calls = 0;
        let stopped = under_noise(&parameters, FlatnessNoise::Cumulative, &mut generator, || {
            calls += 1;
            if calls == 2 { Err(EvaluationError::Stopped) } else { Ok(1.0) }
        });
        assert!(matches!(stopped, Err(EvaluationError::Stopped)));
        assert_eq!(parameters[0], Tensor::ones([5], (Kind::Float, Device::Cpu)));
    }
}
