//! How promising a genotype is: the expected gain of hypervolume over what is known and in flight,
//! by the predictions of a model. It must not know where genotypes come from.

use rand::RngExt;

use super::fit::Model;
use crate::algorithm::model::gaussian_process::{Neighbours, Prediction};
use crate::algorithm::model::normal;
use crate::algorithm::model::regression::Regression;
use crate::algorithm::model::scalarization::HypervolumeScalarization;
use crate::algorithm::observations::{Observation, Observations, Ranked, encode, extent};
use crate::rng::Stream;
use crate::space::{Genotype, SearchSpace};

/// Directions in which hypervolume is estimated.
const DIRECTIONS: usize = 200;
/// Draws from the predictions over which a gain is averaged.
const DRAWS: usize = 8;
/// How far behind the worst of a front the reference point lies, in ranges of the front.
const MARGIN: f64 = 0.1;
/// How often the reference point is the worst of all results instead of the front's, so that a
/// front can be extended beyond its present ends.
const WIDE_SHARE: f64 = 0.25;
/// The summed normalised violation that counts as none.
const TOLERANCE: f64 = 1e-3;

/// Judges genotypes for one proposal.
pub(super) struct Judge<'a> {
    space: &'a dyn SearchSpace,
    objectives: &'a [Regression],
    violation: Option<&'a Regression>,
    pending: Vec<&'a [f64]>,
    known: HypervolumeScalarization,
    /// Standard normal draws, one row of objectives each; the same for all genotypes.
    draws: Vec<Vec<f64>>,
    neighbours: Neighbours,
    features: Vec<f64>,
}

impl<'a> Judge<'a> {
    /// A judge by `model`, of what `observations`, ranked, leave to gain.
    pub(super) fn new(
        space: &'a dyn SearchSpace,
        model: &'a Model,
        observations: &'a Observations,
        ranked: &Ranked,
        rng: &mut Stream,
    ) -> Self {
        let count = observations.objectives();
        let (objectives, violation) = model.regressions().split_at(count);
        let pending = observations.pending();
        let results = observations.results();
        let front = |at: &usize| ranked.ranks[*at] == 0 && results[*at].violation == 0.0;
        let front: Vec<&Observation> =
            (0..results.len()).filter(front).map(|at| results[at].as_ref()).collect();
        let (ideal, worst) = extent(results.iter().map(AsRef::as_ref)).unwrap_or_default();
        let wide = rng.random::<f64>() < WIDE_SHARE;
        let nadir = match extent(front.iter().copied()) {
            Some((_, nadir)) if !wide => nadir,
            _ => worst,
        };
        let reference = 1.0 + MARGIN;
        let known = HypervolumeScalarization::new(&ideal, &nadir, reference, DIRECTIONS, rng);
        let draws = (0..DRAWS).map(|_| (0..count).map(|_| normal::draw(rng)).collect()).collect();
        let mut judge = Self {
            space,
            objectives,
            violation: violation.first(),
            pending: Vec::new(),
            known,
            draws,
            neighbours: Neighbours::new(),
            features: Vec::new(),
        };
        front.iter().for_each(|member| judge.known.add(&member.objectives));
        for features in &pending {
            let expected = judge.expected(features);
            judge.known.add(&expected);
        }
        judge.pending = pending;
        judge
    }

    /// The outputs that are most likely at an encoding.
    fn expected(&mut self, features: &[f64]) -> Vec<f64> {
        let neighbours = &mut self.neighbours;
        let output = |regression: &Regression| {
            regression.output(regression.predict(features, &[], neighbours).mean)
        };
        self.objectives.iter().map(output).collect()
    }

    /// The expected gain, up to a constant factor; not negative.
    pub(super) fn gain(&mut self, genotype: &Genotype) -> f64 {
        encode(self.space, genotype, &mut self.features);
        let (features, pending, neighbours) = (&self.features, &self.pending, &mut self.neighbours);
        let mut predict =
            |regression: &Regression| regression.predict(features, pending, neighbours);
        let predictions: Vec<Prediction> = self.objectives.iter().map(&mut predict).collect();
        let feasible = self.violation.map_or(1.0, |regression| {
            let Prediction { mean, variance } = predict(regression);
            let room = regression.mapped(TOLERANCE) - mean;
            normal::share_below(room / variance.sqrt().max(1e-9))
        });
        let mut point = vec![0.0; predictions.len()];
        let mut sum = 0.0;
        for draw in &self.draws {
            for (at, prediction) in predictions.iter().enumerate() {
                let mapped = prediction.mean + draw[at] * prediction.variance.sqrt();
                point[at] = self.objectives[at].output(mapped);
            }
            sum += self.known.improvement(&point);
        }
        sum * feasible
    }
}
