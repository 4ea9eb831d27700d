//! The covariance of two encodings: an additive part, in which each feature contributes by itself
//! (costs of networks are nearly sums over their parts), and a product part, in which all features
//! have to be alike (what a combination of operations does to accuracy).

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
}

/// k(x, y) = Σ aᵢ (1 - dᵢ) + b Π exp(-θᵢ dᵢ) with the differences dᵢ of features, 0 to 1:
/// Hamming for categories, distance for numbers, 1 where only one of the two has the feature. Both
/// parts are positive definite on such differences.
#[derive(Debug, Clone)]
pub(in crate::algorithm) struct Kernel {
    hyperparameters: Hyperparameters,
    features: Vec<Feature>,
    /// exp(-θᵢ), for differences of 1.
    factors: Vec<f64>,
    variance: f64,
}

impl Kernel {
    pub(in crate::algorithm) fn new(
        hyperparameters: Hyperparameters,
        features: &[Feature],
    ) -> Self {
        let factors = hyperparameters.decay.iter().map(|decay| libm::exp(-decay)).collect();
        let variance = hyperparameters.additive.iter().sum::<f64>() + hyperparameters.product;
        Self { hyperparameters, features: features.to_vec(), factors, variance }
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
        let Hyperparameters { additive, decay, product, .. } = &self.hyperparameters;
        let (mut sum, mut alike) = (0.0, *product);
        for (at, feature) in self.features.iter().enumerate() {
            let difference = feature.difference(x[at], y[at]);
            if difference == 0.0 {
                sum += additive[at];
            } else if difference == 1.0 {
                alike *= self.factors[at];
            } else {
                sum += additive[at] * (1.0 - difference);
                alike *= libm::exp(-decay[at] * difference);
            }
        }
        sum + alike
    }
}
