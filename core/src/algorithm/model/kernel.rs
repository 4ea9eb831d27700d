//! The covariance of two encodings: an additive part, in which each feature contributes by itself
//! (costs of networks are nearly sums over their parts), and a product part, in which all features
//! have to be alike (what a combination of operations does to accuracy). In the product part some choices
//! are farther from all others than the rest: no connection at all, say, than one convolution from
//! another.

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

    /// The levels of two values of a feature; `None` for numbers and where one does not apply.
    pub(in crate::algorithm) fn between(
        &self,
        feature: usize,
        x: f64,
        y: f64,
    ) -> Option<[usize; 2]> {
        let first = self.first[feature]?;
        (!x.is_nan() && !y.is_nan()).then(|| [first + x as usize, first + y as usize])
    }
}

/// The weight of a difference between two levels.
pub(in crate::algorithm) fn mean_level(levels: &[f64], [x, y]: [usize; 2]) -> f64 {
    0.5 * (levels[x] + levels[y])
}

/// k(x, y) = Σ aᵢ (1 - dᵢ) + b Π exp(-θᵢ dᵢ wᵢ) with the differences dᵢ of features, 0 to 1:
/// Hamming for categories, distance for numbers, 1 where only one of the two has the feature; wᵢ is the
/// mean level of two choices, else 1. Both parts are positive definite on such differences: the product
/// over choices is one of Laplacian kernels over indicators.
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
                let found = self.levels.between(at, x[at], y[at]);
                let weight = found.map_or(1.0, |found| mean_level(levels, found));
                sum += additive[at] * (1.0 - difference);
                exponent += decay[at] * difference * weight;
            }
        }
        sum + product * libm::exp(-exponent)
    }
}
