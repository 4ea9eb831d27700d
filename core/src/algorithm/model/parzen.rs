//! Parzen estimators over encodings: a density for each feature, as in the tree-structured Parzen
//! estimator (Bergstra, Bardenet, Bengio and Kégl 2011). It must not know which observations are
//! good.

use crate::space::schema::Feature;

/// The half width of a number's kernel, as a share of its range.
pub(in crate::algorithm) const BANDWIDTH: f64 = 0.1;

/// The product of independent densities, one for each feature, each smoothed by one observation
/// spread over all values.
#[derive(Debug, Clone)]
pub(in crate::algorithm) struct ParzenEstimator {
    features: Vec<FeatureDensity>,
    observations: f64,
}

#[derive(Debug, Clone)]
enum FeatureDensity {
    /// How often each category was seen; the last place is for "does not apply".
    Categories(Vec<f64>),
    /// The positions that were seen, and how often the feature did not apply.
    Positions { seen: Vec<f64>, absent: f64 },
}

impl ParzenEstimator {
    /// The density of these encodings.
    pub(in crate::algorithm) fn new<'a>(
        features: &[Feature],
        observations: impl Iterator<Item = &'a [f64]> + Clone,
    ) -> Self {
        let density = |(at, feature): (usize, &Feature)| {
            let values = observations.clone().map(|observation| observation[at]);
            match feature {
                Feature::Category(choices) => {
                    let last = *choices as usize;
                    let mut counts = vec![0.0; last + 1];
                    values.for_each(|value| {
                        let place = if value.is_nan() { last } else { value as usize };
                        counts[place.min(last)] += 1.0;
                    });
                    FeatureDensity::Categories(counts)
                }
                Feature::Ordered => {
                    let (absent, seen): (Vec<f64>, Vec<f64>) = values.partition(|v| v.is_nan());
                    FeatureDensity::Positions { seen, absent: absent.len() as f64 }
                }
            }
        };
        let count = observations.clone().count() as f64;
        Self { features: features.iter().enumerate().map(density).collect(), observations: count }
    }

    /// The logarithm of the density at an encoding, up to a constant that depends on the features
    /// only.
    pub(in crate::algorithm) fn log_density(&self, encoding: &[f64]) -> f64 {
        let pairs = self.features.iter().zip(encoding);
        pairs.map(|(density, value)| libm::log(self.density(density, *value))).sum()
    }

    fn density(&self, density: &FeatureDensity, value: f64) -> f64 {
        let mass = match density {
            FeatureDensity::Categories(counts) => {
                let last = counts.len() - 1;
                let place = if value.is_nan() { last } else { (value as usize).min(last) };
                counts[place] + 1.0 / last.max(1) as f64
            }
            FeatureDensity::Positions { absent, .. } if value.is_nan() => absent + 1.0,
            FeatureDensity::Positions { seen, .. } => {
                let kernels = seen
                    .iter()
                    .map(|other| (1.0 - (value - other).abs() / BANDWIDTH).max(0.0) / BANDWIDTH);
                kernels.sum::<f64>() + 1.0
            }
        };
        mass / (self.observations + 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn densities_count_categories_and_spread_numbers() {
        let features = [Feature::Category(3), Feature::Ordered];
        let seen = [[0.0, 0.5], [0.0, 0.52], [2.0, f64::NAN]];
        let estimator = ParzenEstimator::new(&features, seen.iter().map(|row| row.as_slice()));
        let ratio = |a: [f64; 2], b: [f64; 2]| {
            (estimator.log_density(&a) - estimator.log_density(&b)).exp()
        };
        let third = 1.0 / 3.0;
        assert!((ratio([0.0, 0.5], [1.0, 0.5]) - (2.0 + third) / third).abs() < 1e-9);
        assert!((ratio([0.0, 0.5], [0.0, 0.9]) - (10.0 + 8.0 + 1.0)).abs() < 1e-9);
        assert!((ratio([0.0, f64::NAN], [0.0, 0.9]) - 2.0).abs() < 1e-9);
        let empty = ParzenEstimator::new(&features, [].into_iter());
        assert_eq!(empty.log_density(&[1.0, 0.1]), empty.log_density(&[2.0, 0.9]));
    }
}
