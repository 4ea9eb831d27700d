//! Gaussian process regression (Rasmussen and Williams 2006) over encodings, with the kernel's
//! parameters by penalised marginal likelihood. It must not know what the output means.

use super::kernel::{Hyperparameters, Kernel};
use super::linear;
use crate::space::schema::Feature;

/// How many observations the variance of a prediction is conditioned on: the ones that covary
/// most. More change it little, and all of them would cost n² a prediction.
const NEIGHBOURS: usize = 8;
/// Steps of the search for the kernel's parameters.
const STEPS: usize = 20;

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
}

/// A predicted output.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::algorithm) struct Prediction {
    /// The expected value.
    pub(in crate::algorithm) mean: f64,
    /// The variance of the true value around it.
    pub(in crate::algorithm) variance: f64,
}

/// The neighbours of a prediction so far, by descending covariance.
pub(in crate::algorithm) type Neighbours = Vec<(f64, u32)>;

impl GaussianProcess {
    /// Conditions a process on `outputs` at the encodings `inputs`, row-major.
    pub(in crate::algorithm) fn new(
        hyperparameters: Hyperparameters,
        features: &[Feature],
        inputs: Vec<f64>,
        outputs: &[f64],
    ) -> Self {
        Self::conditioned(hyperparameters, features, inputs, outputs).0
    }

    /// How well the observations predict each other: the sum of the log densities of each, given
    /// all others.
    pub(in crate::algorithm) fn log_density(
        hyperparameters: Hyperparameters,
        features: &[Feature],
        inputs: Vec<f64>,
        outputs: &[f64],
    ) -> f64 {
        let (process, factor) = Self::conditioned(hyperparameters, features, inputs, outputs);
        leave_one_out(&factor, &process.weights, process.scale)
    }

    /// The process and the Cholesky factor of its observations' covariance.
    fn conditioned(
        hyperparameters: Hyperparameters,
        features: &[Feature],
        inputs: Vec<f64>,
        outputs: &[f64],
    ) -> (Self, Vec<f64>) {
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
                return (Self { kernel, inputs, width, weights, mean, scale, noise }, matrix);
            }
            // Repeated observations make the matrix singular but for the noise.
            noise *= 10.0;
        }
    }

    fn row(&self, at: u32) -> &[f64] {
        &self.inputs[at as usize * self.width..][..self.width]
    }

    /// The output at an encoding. Its variance takes account of `pending` encodings, whose outputs
    /// are not known yet: close to one of them little is left to learn.
    pub(in crate::algorithm) fn predict(
        &self,
        input: &[f64],
        pending: &[&[f64]],
        neighbours: &mut Neighbours,
    ) -> Prediction {
        neighbours.clear();
        let mut mean = 0.0;
        let observed = self.weights.len() as u32;
        for (at, weight) in (0u32..).zip(&self.weights) {
            let covariance = self.kernel.covariance(input, self.row(at));
            mean += covariance * weight;
            keep_nearest(neighbours, covariance, at);
        }
        for (at, other) in (observed..).zip(pending) {
            keep_nearest(neighbours, self.kernel.covariance(input, other), at);
        }
        let variance = self.conditional_variance(pending, neighbours);
        Prediction {
            mean: self.mean + self.scale * mean,
            variance: variance * self.scale * self.scale,
        }
    }

    fn conditional_variance(&self, pending: &[&[f64]], neighbours: &Neighbours) -> f64 {
        let observed = self.weights.len();
        let row = |at: u32| match (at as usize).checked_sub(observed) {
            Some(at) => pending[at],
            None => self.row(at),
        };
        let n = neighbours.len();
        let mut matrix = [0.0; NEIGHBOURS * NEIGHBOURS];
        let mut covariances = [0.0; NEIGHBOURS];
        for (i, &(covariance, at)) in neighbours.iter().enumerate() {
            covariances[i] = covariance;
            for (j, &(_, other)) in neighbours[..i].iter().enumerate() {
                matrix[i * n + j] = self.kernel.covariance(row(at), row(other));
            }
            matrix[i * n + i] = self.kernel.variance() + self.noise;
        }
        let mut variance = self.kernel.variance();
        if linear::cholesky(&mut matrix[..n * n], n) {
            linear::solve_lower(&matrix, n, &mut covariances[..n]);
            variance -= linear::dot(&covariances[..n], &covariances[..n]);
        }
        variance.max(1e-9)
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

fn keep_nearest(neighbours: &mut Neighbours, covariance: f64, at: u32) {
    if neighbours.len() == NEIGHBOURS {
        if neighbours[NEIGHBOURS - 1].0 >= covariance {
            return;
        }
        neighbours.pop();
    }
    let place = neighbours.partition_point(|(other, _)| *other >= covariance);
    neighbours.insert(place, (covariance, at));
}

/// The sum of the log densities of leave-one-out predictions in closed form (Rasmussen and
/// Williams 2006, section 5.4.2), in the units of the outputs.
fn leave_one_out(factor: &[f64], weights: &[f64], scale: f64) -> f64 {
    let n = weights.len();
    let inverse = linear::inverse(factor, n);
    let density = |(at, weight): (usize, &f64)| {
        let variance = scale * scale / inverse[at * n + at];
        let residual = scale * weight / inverse[at * n + at];
        let tau = std::f64::consts::TAU;
        -0.5 * (libm::log(tau * variance) + residual * residual / variance)
    };
    weights.iter().enumerate().map(density).sum()
}

/// The mean and the deviation that a parameter's logarithm is expected to have.
type Prior = (f64, f64);

/// Finds the kernel's parameters for standardised `outputs`: the maximum of marginal likelihood
/// and prior by resilient propagation (Riedmiller and Braun 1993) from the prior's centre.
pub(in crate::algorithm) fn fit_hyperparameters(
    inputs: &[f64],
    features: &[Feature],
    outputs: &[f64],
) -> Hyperparameters {
    let (n, width) = (outputs.len(), features.len());
    let problem = Likelihood {
        n,
        width,
        differences: differences(inputs, features, n),
        outputs,
        priors: priors(width),
    };
    let mut point: Vec<f64> = problem.priors.iter().map(|(center, _)| *center).collect();
    let mut best = (f64::INFINITY, point.clone());
    let mut steps = vec![0.3f64; point.len()];
    let mut last = vec![0.0; point.len()];
    for _ in 0..STEPS {
        let Some((loss, gradient)) = problem.evaluate(&point) else { break };
        if loss < best.0 {
            best = (loss, point.clone());
        }
        for at in 0..point.len() {
            let agreement = gradient[at] * last[at];
            let mut slope = gradient[at];
            if agreement > 0.0 {
                steps[at] = (steps[at] * 1.3).min(1.0);
            } else if agreement < 0.0 {
                steps[at] *= 0.5;
                slope = 0.0;
            }
            if slope != 0.0 {
                point[at] -= steps[at] * slope.signum();
            }
            last[at] = slope;
        }
    }
    unpack(&best.1, width)
}

/// Weak expectations: all features matter alike, in both parts, and noise is small.
fn priors(width: usize) -> Vec<Prior> {
    let d = width.max(1) as f64;
    let mut priors = vec![(libm::log(0.5 / d), 1.0); width];
    priors.extend(vec![(libm::log(1.0 / d.sqrt()), 1.0); width]);
    priors.push((libm::log(0.5), 1.0));
    priors.push((libm::log(0.02), 1.5));
    priors
}

fn unpack(point: &[f64], width: usize) -> Hyperparameters {
    let exp = |values: &[f64]| values.iter().map(|value| libm::exp(*value)).collect();
    Hyperparameters {
        additive: exp(&point[..width]),
        decay: exp(&point[width..2 * width]),
        product: libm::exp(point[2 * width]),
        noise: libm::exp(point[2 * width + 1]),
    }
}

/// For each pair j <= i the differences of all features, adjacent.
fn differences(inputs: &[f64], features: &[Feature], n: usize) -> Vec<f64> {
    let width = features.len();
    let mut differences = Vec::with_capacity(n * (n + 1) / 2 * width);
    for i in 0..n {
        for j in 0..=i {
            let rows = inputs[i * width..].iter().zip(&inputs[j * width..]);
            let pairs = features.iter().zip(rows);
            differences.extend(pairs.map(|(feature, (x, y))| feature.difference(*x, *y)));
        }
    }
    differences
}

struct Likelihood<'a> {
    n: usize,
    width: usize,
    differences: Vec<f64>,
    outputs: &'a [f64],
    priors: Vec<Prior>,
}

impl Likelihood<'_> {
    /// The negative logarithm of marginal likelihood and prior, and its gradient by the logarithms
    /// of the parameters; `None` where the covariance is not positive definite.
    fn evaluate(&self, point: &[f64]) -> Option<(f64, Vec<f64>)> {
        let (n, width) = (self.n, self.width);
        let Hyperparameters { additive, decay, product, noise } = unpack(point, width);
        let mut alike = vec![0.0; n * n];
        let mut matrix = vec![0.0; n * n];
        let mut pairs = self.differences.chunks_exact(width.max(1));
        for i in 0..n {
            for j in 0..=i {
                let Some(pair) = pairs.next() else { continue };
                let sum: f64 = additive.iter().zip(pair).map(|(a, d)| a * (1.0 - d)).sum();
                let exponent: f64 = decay.iter().zip(pair).map(|(t, d)| t * d).sum();
                alike[i * n + j] = product * libm::exp(-exponent);
                matrix[i * n + j] = sum + alike[i * n + j];
            }
            matrix[i * n + i] += noise;
        }
        if !linear::cholesky(&mut matrix, n) {
            return None;
        }
        let mut weights = self.outputs.to_vec();
        linear::solve_lower(&matrix, n, &mut weights);
        linear::solve_upper(&matrix, n, &mut weights);
        let determinant: f64 = (0..n).map(|at| libm::log(matrix[at * n + at])).sum();
        let mut loss = 0.5 * linear::dot(self.outputs, &weights) + determinant;
        let inverse = linear::inverse(&matrix, n);
        let mut gradient = vec![0.0; point.len()];
        let mut pairs = self.differences.chunks_exact(width.max(1));
        for i in 0..n {
            for j in 0..=i {
                let Some(pair) = pairs.next() else { continue };
                let half = if i == j { 0.5 } else { 1.0 };
                let slope = half * (inverse[i * n + j] - weights[i] * weights[j]);
                let product_slope = slope * alike[i * n + j];
                for (at, difference) in pair.iter().enumerate() {
                    gradient[at] += slope * (1.0 - difference) * additive[at];
                    gradient[width + at] -= product_slope * difference * decay[at];
                }
                gradient[2 * width] += product_slope;
                if i == j {
                    gradient[2 * width + 1] += slope * noise;
                }
            }
        }
        for (at, (center, deviation)) in self.priors.iter().enumerate() {
            let z = (point[at] - center) / deviation;
            loss += 0.5 * z * z;
            gradient[at] += z / deviation;
        }
        loss.is_finite().then_some((loss, gradient))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
    fn the_gradient_is_that_of_differences() {
        let inputs = inputs(25, 1);
        let outputs = standardised(&outputs(&inputs));
        let problem = Likelihood {
            n: 25,
            width: 4,
            differences: differences(&inputs, &FEATURES, 25),
            outputs: &outputs,
            priors: priors(4),
        };
        let point: Vec<f64> = (0..10).map(|at| -1.0 + 0.1 * f64::from(at)).collect();
        let (_, gradient) = problem.evaluate(&point).unwrap();
        for at in 0..10 {
            let moved = |step: f64| {
                let mut moved = point.clone();
                moved[at] += step;
                problem.evaluate(&moved).unwrap().0
            };
            let slope = (moved(1e-5) - moved(-1e-5)) / 2e-5;
            assert!((slope - gradient[at]).abs() < 1e-4 * (1.0 + slope.abs()), "{at}: {slope}");
        }
    }

    #[test]
    fn it_predicts_what_it_has_not_seen_and_knows_how_well() {
        let training = inputs(120, 2);
        let seen = outputs(&training);
        let fitted = fit_hyperparameters(&training, &FEATURES, &standardised(&seen));
        assert!(fitted.additive[2] < fitted.additive[0]);
        let density =
            GaussianProcess::log_density(fitted.clone(), &FEATURES, training.clone(), &seen);
        let process = GaussianProcess::new(fitted, &FEATURES, training.clone(), &seen);
        let (_, spread) = moments(&seen);
        let mut neighbours = Neighbours::new();
        let (mut error, mut expected) = (0.0, 0.0);
        for row in inputs(200, 3).chunks_exact(4) {
            let predicted = process.predict(row, &[], &mut neighbours);
            error += (predicted.mean - output(row)).powi(2) / 200.0;
            expected += predicted.variance / 200.0;
        }
        assert!(error < 0.05 * spread * spread, "squared error {error}");
        assert!(expected > 0.3 * error && expected < 10.0 * error + 0.05, "{expected} for {error}");
        // Worse than what a normal distribution of the outputs themselves would give.
        let alone = -120.0 * (0.5 * (std::f64::consts::TAU).ln() + spread.ln() + 0.5);
        assert!(density > alone + 60.0, "{density}");
    }

    #[test]
    fn observations_in_flight_lower_the_variance_around_them() {
        let training = inputs(20, 4);
        let process = GaussianProcess::new(
            unpack(&[-1.0; 10], 4),
            &FEATURES,
            training.clone(),
            &outputs(&training),
        );
        let mut neighbours = Neighbours::new();
        let place = [0.0, 1.0, 2.0, 0.5];
        let before = process.predict(&place, &[], &mut neighbours);
        let after = process.predict(&place, &[&place], &mut neighbours);
        assert_eq!(before.mean, after.mean);
        assert!(after.variance < before.variance);
    }

    #[test]
    fn repeated_and_constant_observations_are_borne() {
        let row = [0.0, 1.0, 2.0, 0.5];
        let inputs: Vec<f64> = row.repeat(6);
        let outputs = [2.0; 6];
        let fitted = fit_hyperparameters(&inputs, &FEATURES, &standardised(&outputs));
        let process = GaussianProcess::new(fitted, &FEATURES, inputs, &outputs);
        let predicted = process.predict(&row, &[], &mut Neighbours::new());
        assert!((predicted.mean - 2.0).abs() < 1e-6 && predicted.variance.is_finite());
    }
}
