//! The covariance of two encodings: an additive part, in which each feature contributes by itself
//! (costs of networks are nearly sums over their parts), and a product part, in which all features
//! have to be alike (what a combination of operations does to accuracy). In the product part some choices
//! are farther from all others than the rest: no connection at all, say, than one convolution from
//! another. It must not know what is predicted, nor how strengths and decays are found.

use crate::space::schema::Feature;

/// The strengths of a kernel's parts; variances of a standardised output.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::algorithm) struct Hyperparameters {
    /// For each feature, the variance that it contributes additively.
    pub(in crate::algorithm) additive: Vec<f64>,
    /// For each feature, how fast the product part decays with the difference.
    pub(in crate::algorithm) decay: Vec<f64>,
    /// The variance of the product part.
    pub(in crate::algorithm) product: f64,
    /// The variance of noise.
    pub(in crate::algorithm) noise: f64,
    /// How far each choice is from the others of its feature, 1 on average; places by [`Levels`].
    pub(in crate::algorithm) levels: Vec<f64>,
}

/// Which level each choice of each feature has. Features with equally many choices share levels: they
/// mostly offer the same operations, and few results can tell one distance for each.
#[derive(Debug, Clone)]
pub(in crate::algorithm) struct Levels {
    /// The first level of each feature; none of a number.
    first: Vec<Option<usize>>,
    count: usize,
}

impl Levels {
    pub(in crate::algorithm) fn new(features: &[Feature]) -> Self {
        let mut groups: Vec<(u32, usize)> = Vec::new();
        let mut count = 0;
        let mut first = Vec::with_capacity(features.len());
        for feature in features {
            let Feature::Category(choices) = feature else {
                first.push(None);
                continue;
            };
            let known = groups.iter().find(|(other, _)| other == choices).map(|(_, first)| *first);
            first.push(Some(known.unwrap_or(count)));
            if known.is_none() {
                groups.push((*choices, count));
                count += *choices as usize;
            }
        }
        Self { first, count }
    }

    /// The number of levels.
    pub(in crate::algorithm) fn count(&self) -> usize {
        self.count
    }

    /// The levels of two values of a feature; `None` of a number and of what does not apply.
    pub(in crate::algorithm) fn between(
        &self,
        feature: usize,
        x: f64,
        y: f64,
    ) -> [Option<usize>; 2] {
        let first = self.first[feature];
        [x, y].map(|value| Some(first? + (!value.is_nan()).then_some(value as usize)?))
    }
}

/// The weight of a difference between two levels; what has none counts as 1.
pub(in crate::algorithm) fn mean_level(levels: &[f64], between: [Option<usize>; 2]) -> f64 {
    let [x, y] = between.map(|level| level.map_or(1.0, |level| levels[level]));
    0.5 * (x + y)
}

/// k(x, y) = Σ aᵢ (1 - dᵢ) + b Π exp(-θᵢ dᵢ wᵢ) with the differences dᵢ of features, 0 to 1:
/// Hamming for categories, distance for numbers, 1 where only one of the two has the feature; wᵢ is the
/// mean level of two choices, 1 being that of a feature that does not apply, and 1 for numbers. Both parts are
/// positive definite on such differences: the product over choices is one of Laplacian kernels over
/// indicators, of which being absent has one, too.
#[derive(Debug, Clone)]
pub(in crate::algorithm) struct Kernel {
    hyperparameters: Hyperparameters,
    features: Vec<Feature>,
    levels: Levels,
    variance: f64,
}

impl Kernel {
    pub(in crate::algorithm) fn new(
        hyperparameters: Hyperparameters,
        features: &[Feature],
    ) -> Self {
        let variance = hyperparameters.additive.iter().sum::<f64>() + hyperparameters.product;
        let levels = Levels::new(features);
        Self { hyperparameters, features: features.to_vec(), levels, variance }
    }

    /// The covariance of an encoding with itself, noise left out.
    pub(in crate::algorithm) fn variance(&self) -> f64 {
        self.variance
    }

    /// The variance of noise.
    pub(in crate::algorithm) fn noise(&self) -> f64 {
        self.hyperparameters.noise
    }

    /// The covariance of two encodings, noise left out.
    pub(in crate::algorithm) fn covariance(&self, x: &[f64], y: &[f64]) -> f64 {
        let Hyperparameters { additive, decay, product, levels, .. } = &self.hyperparameters;
        let (mut sum, mut exponent) = (0.0, 0.0);
        for (at, feature) in self.features.iter().enumerate() {
            let difference = feature.difference(x[at], y[at]);
            if difference == 0.0 {
                sum += additive[at];
            } else {
                let weight = mean_level(levels, self.levels.between(at, x[at], y[at]));
                sum += additive[at] * (1.0 - difference);
                exponent += decay[at] * difference * weight;
            }
        }
        sum + product * libm::exp(-exponent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algorithm::model::linear;
    use crate::pareto::test_points::uniform_stream;

    #[test]
    fn covariances_are_positive_definite_where_features_do_not_apply() {
        const FEATURES: [Feature; 4] =
            [Feature::Category(2), Feature::Category(3), Feature::Category(2), Feature::Ordered];
        const ROWS: usize = 40;
        for seed in 0..100 {
            let mut draw = uniform_stream(seed);
            let mut choice = |choices: f64| match draw() {
                absent if absent < 0.3 => f64::NAN,
                drawn => ((drawn - 0.3) / 0.7 * choices).floor(),
            };
            let rows: Vec<[f64; 4]> = (0..ROWS)
                .map(|_| [choice(2.0), choice(3.0), choice(2.0), choice(11.0) / 10.0])
                .collect();
            let levels = Levels::new(&FEATURES).count();
            let levels = (0..levels).map(|_| libm::exp(4.0 * draw() - 1.0)).collect();
            let hyperparameters = Hyperparameters {
                additive: vec![1e-9; 4],
                decay: vec![0.1; 4],
                product: 1.0,
                noise: 1e-8,
                levels,
            };
            let kernel = Kernel::new(hyperparameters, &FEATURES);
            let noise = |i: usize, j: usize| if i == j { kernel.noise() } else { 0.0 };
            let entry =
                |(i, j): (usize, usize)| kernel.covariance(&rows[i], &rows[j]) + noise(i, j);
            let places = (0..ROWS).flat_map(|i| (0..ROWS).map(move |j| (i, j)));
            let mut matrix: Vec<f64> = places.map(entry).collect();
            assert!(linear::cholesky(&mut matrix, ROWS), "seed {seed}");
        }
    }
}
