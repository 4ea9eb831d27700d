//! The parameters of a kernel by penalised marginal likelihood (Rasmussen and Williams 2006, chapter
//! 5), with its gradient in closed form. It must not know what is predicted with them.

use super::kernel::{Hyperparameters, Levels, mean_level};
use super::linear;
use crate::space::schema::Feature;

/// Steps of the search for the kernel's parameters.
const STEPS: usize = 20;

/// The mean and the deviation that a parameter's logarithm is expected to have.
type Prior = (f64, f64);

/// Finds the kernel's parameters for standardised `outputs`: the maximum of marginal likelihood
/// and prior by resilient propagation (Riedmiller and Braun 1993) from the prior's centre.
pub(in crate::algorithm) fn fit_hyperparameters(
    inputs: &[f64],
    features: &[Feature],
    outputs: &[f64],
) -> Hyperparameters {
    let problem = Likelihood::new(inputs, features, outputs);
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
    unpack(&best.1, features.len())
}

/// Weak expectations: all features matter alike, in both parts, so do all choices, and noise is small.
fn priors(width: usize, levels: usize) -> Vec<Prior> {
    let d = width.max(1) as f64;
    let mut priors = vec![(libm::log(0.5 / d), 1.0); width];
    priors.extend(vec![(libm::log(1.0 / d.sqrt()), 1.0); width]);
    priors.push((libm::log(0.5), 1.0));
    priors.push((libm::log(0.02), 1.5));
    priors.extend(vec![(0.0, 1.0); levels]);
    priors
}

pub(super) fn unpack(point: &[f64], width: usize) -> Hyperparameters {
    let exp = |values: &[f64]| values.iter().map(|value| libm::exp(*value)).collect();
    Hyperparameters {
        additive: exp(&point[..width]),
        decay: exp(&point[width..2 * width]),
        product: libm::exp(point[2 * width]),
        noise: libm::exp(point[2 * width + 1]),
        levels: exp(&point[2 * width + 2..]),
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
    inputs: &'a [f64],
    differences: Vec<f64>,
    levels: Levels,
    outputs: &'a [f64],
    priors: Vec<Prior>,
}

impl<'a> Likelihood<'a> {
    fn new(inputs: &'a [f64], features: &[Feature], outputs: &'a [f64]) -> Self {
        let (n, width) = (outputs.len(), features.len());
        let levels = Levels::new(features);
        let priors = priors(width, levels.count());
        let differences = differences(inputs, features, n);
        Self { n, width, inputs, differences, levels, outputs, priors }
    }

    /// The places of the levels between which a feature of two observations differs.
    fn levels(&self, feature: usize, i: usize, j: usize) -> [Option<usize>; 2] {
        let value = |at: usize| self.inputs[at * self.width + feature];
        self.levels.between(feature, value(i), value(j))
    }

    /// The negative logarithm of marginal likelihood and prior, and its gradient by the logarithms
    /// of the parameters; `None` where the covariance is not positive definite.
    fn evaluate(&self, point: &[f64]) -> Option<(f64, Vec<f64>)> {
        let (n, width) = (self.n, self.width);
        let Hyperparameters { additive, decay, product, noise, levels } = unpack(point, width);
        let first_level = 2 * width + 2;
        let mut alike = vec![0.0; n * n];
        let mut matrix = vec![0.0; n * n];
        let mut pairs = self.differences.chunks_exact(width.max(1));
        for i in 0..n {
            for j in 0..=i {
                let Some(pair) = pairs.next() else { continue };
                let sum: f64 = additive.iter().zip(pair).map(|(a, d)| a * (1.0 - d)).sum();
                let mut exponent = 0.0;
                for (at, difference) in pair.iter().enumerate().filter(|(_, d)| **d != 0.0) {
                    let weight = mean_level(&levels, self.levels(at, i, j));
                    exponent += decay[at] * difference * weight;
                }
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
                    if *difference == 0.0 {
                        continue;
                    }
                    let slope = product_slope * difference * decay[at];
                    let found = self.levels(at, i, j);
                    gradient[width + at] -= slope * mean_level(&levels, found);
                    for level in found.into_iter().flatten() {
                        gradient[first_level + level] -= 0.5 * slope * levels[level];
                    }
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

    #[test]
    fn the_gradient_is_that_of_differences() {
        const FEATURES: [Feature; 4] =
            [Feature::Category(4), Feature::Category(3), Feature::Category(4), Feature::Ordered];
        let mut draw = uniform_stream(1);
        let mut inputs = Vec::new();
        for at in 0..25 {
            let second = if at % 5 == 0 { f64::NAN } else { (3.0 * draw()).floor() };
            inputs.extend([(4.0 * draw()).floor(), second, (4.0 * draw()).floor(), draw()]);
        }
        let outputs: Vec<f64> = (0..25).map(|_| 3.0 * draw() - 1.5).collect();
        let problem = Likelihood::new(&inputs, &FEATURES, &outputs);
        let point: Vec<f64> = (0..17).map(|at| -1.0 + 0.1 * f64::from(at)).collect();
        assert_eq!(point.len(), problem.priors.len(), "7 levels of two kinds of category");
        let (_, gradient) = problem.evaluate(&point).unwrap();
        for at in 0..point.len() {
            let moved = |step: f64| {
                let mut moved = point.clone();
                moved[at] += step;
                problem.evaluate(&moved).unwrap().0
            };
            let slope = (moved(1e-5) - moved(-1e-5)) / 2e-5;
            assert!((slope - gradient[at]).abs() < 1e-4 * (1.0 + slope.abs()), "{at}: {slope}");
        }
    }
}
