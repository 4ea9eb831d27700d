//! Gaussian process regression (Rasmussen and Williams 2006) over encodings. It must not know what the
//! output means, nor where the kernel's parameters come from.

use std::borrow::Cow;

use super::kernel::{Hyperparameters, Kernel};
use super::linear;
use crate::space::schema::Feature;

/// A fitted process.
#[derive(Debug, Clone)]
pub(in crate::algorithm) struct GaussianProcess {
    kernel: Kernel,
    /// Encodings of the observations, row-major.
    inputs: Vec<f64>,
    width: usize,
    /// Observations by their weights in the mean of a prediction.
    weights: Vec<f64>,
    mean: f64,
    scale: f64,
    noise: f64,
    /// The Cholesky factor of the observations' covariance, noise included.
    factor: Vec<f64>,
}

/// A process together with encodings whose outputs are not known yet: close to one of them little is
/// left to learn.
#[derive(Debug)]
pub(in crate::algorithm) struct Posterior<'p> {
    process: &'p GaussianProcess,
    pending: &'p [&'p [f64]],
    /// The Cholesky factor of the covariance of observations, then pending encodings.
    factor: Cow<'p, [f64]>,
}

/// A predicted output.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::algorithm) struct Prediction {
    /// The expected value.
    pub(in crate::algorithm) mean: f64,
    /// The variance of the true value around it.
    pub(in crate::algorithm) variance: f64,
}

impl GaussianProcess {
    /// Conditions a process on `outputs` at the encodings `inputs`, row-major.
    pub(in crate::algorithm) fn new(
        hyperparameters: Hyperparameters,
        features: &[Feature],
        inputs: Vec<f64>,
        outputs: &[f64],
    ) -> Self {
        let (n, width) = (outputs.len(), features.len());
        let (mean, scale) = moments(outputs);
        let standard: Vec<f64> = outputs.iter().map(|output| (output - mean) / scale).collect();
        let kernel = Kernel::new(hyperparameters, features);
        let mut noise = kernel.noise().max(1e-8);
        let row = |at: usize| &inputs[at * width..(at + 1) * width];
        loop {
            let mut matrix = vec![0.0; n * n];
            for i in 0..n {
                for j in 0..=i {
                    matrix[i * n + j] = kernel.covariance(row(i), row(j));
                }
                matrix[i * n + i] += noise;
            }
            if linear::cholesky(&mut matrix, n) {
                let mut weights = standard;
                linear::solve_lower(&matrix, n, &mut weights);
                linear::solve_upper(&matrix, n, &mut weights);
                return Self { kernel, inputs, width, weights, mean, scale, noise, factor: matrix };
            }
            // Repeated observations make the matrix singular but for the noise.
            noise *= 10.0;
        }
    }

    fn row(&self, at: u32) -> &[f64] {
        &self.inputs[at as usize * self.width..][..self.width]
    }

    /// The expected output at an encoding.
    pub(in crate::algorithm) fn mean(&self, input: &[f64]) -> f64 {
        let rows = (0u32..).zip(&self.weights);
        let terms = rows.map(|(at, weight)| self.kernel.covariance(input, self.row(at)) * weight);
        self.mean + self.scale * terms.sum::<f64>()
    }

    /// The process with `pending` encodings.
    pub(in crate::algorithm) fn posterior<'p>(&'p self, pending: &'p [&'p [f64]]) -> Posterior<'p> {
        let observed = self.weights.len();
        let mut posterior = Posterior {
            process: self,
            pending: &pending[..0],
            factor: Cow::Borrowed(&self.factor),
        };
        if pending.is_empty() {
            return posterior;
        }
        let size = observed + pending.len();
        let mut factor = vec![0.0; size * size];
        for (row, known) in factor.chunks_exact_mut(size).zip(self.factor.chunks_exact(observed)) {
            row[..observed].copy_from_slice(known);
        }
        let mut covariances = Vec::with_capacity(size);
        for (at, input) in pending.iter().enumerate() {
            posterior.pending = &pending[..at];
            posterior.covariances(input, &mut covariances);
            linear::solve_lower(&factor, size, &mut covariances);
            let own = self.kernel.variance() - linear::dot(&covariances, &covariances);
            let row = &mut factor[(observed + at) * size..][..size];
            row[..observed + at].copy_from_slice(&covariances);
            // What an observation would tell is known up to its noise at best.
            row[observed + at] = (own.max(0.0) + self.noise).sqrt();
        }
        Posterior { process: self, pending, factor: Cow::Owned(factor) }
    }

    /// The residual of each observation from what all others predict there, squared, in the units
    /// of the outputs, and the variance of that prediction (Rasmussen and Williams 2006, section
    /// 5.4.2).
    fn left_out(&self) -> impl Iterator<Item = (f64, f64)> {
        let n = self.weights.len();
        let precisions = linear::inverse_diagonal(&self.factor, n);
        let scale = self.scale;
        self.weights.iter().zip(precisions).map(move |(weight, precision)| {
            let residual = scale * weight / precision;
            (residual * residual, scale * scale / precision)
        })
    }

    /// How well the observations predict each other: the sum of the log densities of each, given
    /// all others.
    pub(in crate::algorithm) fn log_density(&self) -> f64 {
        let tau = std::f64::consts::TAU;
        let densities = self
            .left_out()
            .map(|(square, variance)| -0.5 * (libm::log(tau * variance) + square / variance));
        densities.sum()
    }

    /// The mean squared error with which the observations predict each other.
    pub(in crate::algorithm) fn left_out_error(&self) -> f64 {
        self.left_out().map(|(square, _)| square).sum::<f64>() / self.weights.len().max(1) as f64
    }
}

impl Posterior<'_> {
    /// The covariances of an encoding with those observed, then those pending.
    fn covariances(&self, input: &[f64], covariances: &mut Vec<f64>) {
        let GaussianProcess { kernel, weights, .. } = self.process;
        covariances.clear();
        let observed = (0..weights.len() as u32).map(|at| self.process.row(at));
        covariances.extend(observed.map(|row| kernel.covariance(input, row)));
        covariances.extend(self.pending.iter().map(|row| kernel.covariance(input, row)));
    }

    /// The output at an encoding; `covariances` is overwritten.
    pub(in crate::algorithm) fn predict(
        &self,
        input: &[f64],
        covariances: &mut Vec<f64>,
    ) -> Prediction {
        let GaussianProcess { kernel, weights, mean, scale, .. } = self.process;
        self.covariances(input, covariances);
        let expected = linear::dot(weights, covariances);
        let size = covariances.len();
        linear::solve_lower(&self.factor, size, covariances);
        let variance = kernel.variance() - linear::dot(covariances, covariances);
        Prediction { mean: mean + scale * expected, variance: variance.max(1e-9) * scale * scale }
    }
}

/// Mean and standard deviation, the latter 1 where there is none.
pub(in crate::algorithm) fn moments(values: &[f64]) -> (f64, f64) {
    let n = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>() / n;
    let deviation = variance.sqrt();
    (mean, if deviation.is_normal() { deviation } else { 1.0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algorithm::model::likelihood::{fit_hyperparameters, unpack};
    use crate::pareto::test_points::uniform_stream;

    const FEATURES: [Feature; 4] =
        [Feature::Category(4), Feature::Category(4), Feature::Category(4), Feature::Ordered];

    fn inputs(n: usize, seed: u64) -> Vec<f64> {
        let mut draw = uniform_stream(seed);
        (0..n)
            .flat_map(|_| {
                let categories = [draw(), draw(), draw()].map(|x| (4.0 * x).floor());
                [categories[0], categories[1], categories[2], draw()]
            })
            .collect()
    }

    /// Additive but for one interaction; the third feature does not matter.
    fn output(row: &[f64]) -> f64 {
        row[0] + 3.0 * row[3] + if row[1] == 2.0 && row[0] > 1.0 { 2.0 } else { 0.0 }
    }

    fn outputs(inputs: &[f64]) -> Vec<f64> {
        inputs.chunks_exact(4).map(output).collect()
    }

    fn standardised(values: &[f64]) -> Vec<f64> {
        let (mean, scale) = moments(values);
        values.iter().map(|value| (value - mean) / scale).collect()
    }

    #[test]
    fn it_predicts_what_it_has_not_seen_and_knows_how_well() {
        let training = inputs(120, 2);
        let seen = outputs(&training);
        let fitted = fit_hyperparameters(&training, &FEATURES, &standardised(&seen));
        assert!(fitted.additive[2] < fitted.additive[0]);
        let process = GaussianProcess::new(fitted, &FEATURES, training.clone(), &seen);
        let density = process.log_density();
        let (_, spread) = moments(&seen);
        let (posterior, mut covariances) = (process.posterior(&[]), Vec::new());
        let (mut error, mut expected) = (0.0, 0.0);
        for row in inputs(200, 3).chunks_exact(4) {
            let predicted = posterior.predict(row, &mut covariances);
            assert!((predicted.mean - process.mean(row)).abs() < 1e-9);
            error += (predicted.mean - output(row)).powi(2) / 200.0;
            expected += predicted.variance / 200.0;
        }
        assert!(error < 0.05 * spread * spread, "squared error {error}");
        let left_out = process.left_out_error();
        assert!(left_out > 0.0 && left_out < 0.05 * spread * spread, "left out {left_out}");
        assert!(expected > 0.3 * error && expected < 10.0 * error + 0.05, "{expected} for {error}");
        // Worse than what a normal distribution of the outputs themselves would give.
        let alone = -120.0 * (0.5 * (std::f64::consts::TAU).ln() + spread.ln() + 0.5);
        assert!(density > alone + 60.0, "{density}");
    }

    #[test]
    fn observations_in_flight_lower_variances_as_if_they_had_arrived() {
        let training = inputs(24, 4);
        let (seen, later) = training.split_at(20 * 4);
        let hyperparameters = unpack(&[-1.0; 14], 4);
        let process = |inputs: &[f64]| {
            let outputs = outputs(inputs);
            GaussianProcess::new(hyperparameters.clone(), &FEATURES, inputs.to_vec(), &outputs)
        };
        let (before, after) = (process(seen), process(&training));
        let pending: Vec<&[f64]> = later.chunks_exact(4).collect();
        let (mut covariances, place) = (Vec::new(), [0.0, 1.0, 2.0, 0.5]);
        let alone = before.posterior(&[]).predict(&place, &mut covariances);
        let waiting = before.posterior(&pending).predict(&place, &mut covariances);
        let arrived = after.posterior(&[]).predict(&place, &mut covariances);
        assert_eq!(alone.mean, waiting.mean);
        assert!(waiting.variance < alone.variance);
        let relative = |predicted: Prediction, by: &GaussianProcess| {
            predicted.variance / (by.scale * by.scale)
        };
        let (waiting, arrived) = (relative(waiting, &before), relative(arrived, &after));
        assert!((waiting - arrived).abs() < 1e-9, "{waiting} and {arrived}");
        let at_one = before.posterior(&pending).predict(pending[0], &mut covariances);
        assert!(at_one.variance < alone.variance);
    }

    #[test]
    fn repeated_and_constant_observations_are_borne() {
        let row = [0.0, 1.0, 2.0, 0.5];
        let inputs: Vec<f64> = row.repeat(6);
        let outputs = [2.0; 6];
        let fitted = fit_hyperparameters(&inputs, &FEATURES, &standardised(&outputs));
        let process = GaussianProcess::new(fitted, &FEATURES, inputs, &outputs);
        let predicted = process.posterior(&[]).predict(&row, &mut Vec::new());
        assert!((predicted.mean - 2.0).abs() < 1e-6 && predicted.variance.is_finite());
    }
}
