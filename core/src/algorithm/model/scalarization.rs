//! Hypervolume by random scalarisation (Zhang and Golovin 2020, "Random hypervolume scalarizations
//! for provable multi-objective black box optimization"): the hypervolume of a set is, up to a
//! constant, the mean over directions of the best value that any of its points has in that
//! direction. So the gain of one more point costs a few multiplications a direction, whatever the
//! number of objectives. It must not know how points are predicted.

use super::normal;
use crate::rng::Stream;

/// A set of points seen from random directions.
#[derive(Debug, Clone)]
pub(in crate::algorithm) struct HypervolumeScalarization {
    best_values: Vec<f64>,
    spans: Vec<f64>,
    reference: f64,
    /// Reciprocals of the directions' components, row-major.
    directions: Vec<f64>,
    /// The largest scalar of the set in each direction.
    largest: Vec<f64>,
}

impl HypervolumeScalarization {
    /// An empty set. Objectives are minimised and scaled so that `ideal` is 0 and `nadir` is 1;
    /// the reference point is `reference` in each, so above 1 the ends of a front count.
    pub(in crate::algorithm) fn new(
        ideal: &[f64],
        nadir: &[f64],
        reference: f64,
        directions: usize,
        rng: &mut Stream,
    ) -> Self {
        let spans = ideal.iter().zip(nadir).map(|(low, high)| {
            let span = high - low;
            if span.is_normal() { span } else { low.abs().max(1.0) }
        });
        let mut reciprocals = Vec::with_capacity(directions * ideal.len());
        for _ in 0..directions {
            // A direction is uniform on the positive part of the sphere.
            let direction: Vec<f64> =
                ideal.iter().map(|_| normal::draw(rng).abs().max(1e-6)).collect();
            let length = direction.iter().map(|x| x * x).sum::<f64>().sqrt();
            reciprocals.extend(direction.into_iter().map(|x| length / x));
        }
        Self {
            best_values: ideal.to_vec(),
            spans: spans.collect(),
            reference,
            directions: reciprocals,
            largest: vec![0.0; directions],
        }
    }

    /// The volume's radius towards a point, to the power of the number of objectives.
    fn scalar(&self, point: &[f64], direction: &[f64]) -> f64 {
        let mut radius = f64::INFINITY;
        for (at, value) in point.iter().enumerate() {
            let gain = self.reference - (value - self.best_values[at]) / self.spans[at];
            radius = radius.min(gain * direction[at]);
        }
        if radius > 0.0 { radius.powi(point.len() as i32) } else { 0.0 }
    }

    /// Adds a point to the set.
    pub(in crate::algorithm) fn add(&mut self, point: &[f64]) {
        let mut largest = std::mem::take(&mut self.largest);
        for (value, direction) in largest.iter_mut().zip(self.directions.chunks_exact(point.len()))
        {
            *value = value.max(self.scalar(point, direction));
        }
        self.largest = largest;
    }

    /// By how much a point would raise the set's hypervolume, up to a constant.
    pub(in crate::algorithm) fn improvement(&self, point: &[f64]) -> f64 {
        let directions = self.directions.chunks_exact(point.len());
        let gains = self.largest.iter().zip(directions);
        gains.map(|(largest, direction)| (self.scalar(point, direction) - largest).max(0.0)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pareto::Points;
    use crate::pareto::hypervolume::hypervolume;
    use crate::rng::{Purpose, stream};

    #[test]
    fn improvements_are_proportional_to_those_of_the_exact_hypervolume() {
        let mut rng = stream(1, Purpose::Model, 0);
        let front = [[0.0, 1.0, 0.5], [0.5, 0.4, 0.2], [1.0, 0.0, 1.0]];
        let mut set = HypervolumeScalarization::new(&[0.0; 3], &[1.0; 3], 1.1, 20_000, &mut rng);
        front.iter().for_each(|point| set.add(point));
        let exact = |extra: Option<[f64; 3]>| {
            let rows = front.into_iter().chain(extra);
            hypervolume(&Points::try_from_rows(3, rows).unwrap(), &[1.1; 3]).unwrap()
        };
        let candidates = [[0.2, 0.2, 0.2], [0.4, 0.9, 0.1], [0.05, 0.9, 0.6], [0.9, 0.9, 0.9]];
        let ratios: Vec<f64> = candidates
            .into_iter()
            .filter(|candidate| exact(Some(*candidate)) > exact(None))
            .map(|candidate| set.improvement(&candidate) / (exact(Some(candidate)) - exact(None)))
            .collect();
        assert_eq!(ratios.len(), 3);
        for ratio in &ratios {
            assert!((ratio / ratios[0] - 1.0).abs() < 0.1, "{ratios:?}");
        }
        assert_eq!(set.improvement(&[0.9, 0.9, 0.9]), 0.0);
        assert_eq!(set.improvement(&[0.0, 1.0, 0.5]), 0.0);
    }

    #[test]
    fn objectives_without_range_are_borne() {
        let mut rng = stream(1, Purpose::Model, 1);
        let mut set = HypervolumeScalarization::new(&[3.0, 0.0], &[3.0, 0.0], 1.1, 50, &mut rng);
        set.add(&[3.0, 0.0]);
        assert!(set.improvement(&[2.0, 0.0]) > 0.0 && set.improvement(&[3.0, 0.0]) == 0.0);
    }
}
