//! How promising a genotype is: the expected gain of hypervolume over what is known and in flight,
//! by the predictions of a model and what is computed. It must not know where genotypes come from.

use rand::RngExt;

use super::fit::Model;
use crate::algorithm::model::gaussian_process::Prediction;
use crate::algorithm::model::normal;
use crate::algorithm::model::regression::Expectation;
use crate::algorithm::model::scalarization::HypervolumeScalarization;
use crate::algorithm::observations::{Observation, Observations, Pending, Ranked, encode, extent};
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
/// How many candidates in flight lower the variance around them, the latest first: the older are to be
/// told soon, and each costs as many steps as there are results and candidates.
const PENDING: usize = 64;
/// The summed normalised violation that counts as none.
const TOLERANCE: f64 = 1e-3;
/// After so many outcomes what is predicted of failures counts as much as how many have failed so far.
const TRUSTED: f64 = 20.0;
/// Half way from an evaluation that succeeds to one that fails.
const FAILS: f64 = 0.5;

/// Judges genotypes for one proposal.
pub(super) struct Judge<'a> {
    space: &'a dyn SearchSpace,
    observations: &'a Observations,
    /// One entry an objective; `None` where it is computed.
    objectives: Vec<Option<Expectation<'a>>>,
    violation: Option<Expectation<'a>>,
    failure: Option<Expectation<'a>>,
    known: HypervolumeScalarization,
    /// Standard normal draws, one row of objectives each; the same for all genotypes.
    draws: Vec<Vec<f64>>,
    features: Vec<f64>,
    scratch: Vec<f64>,
}

impl<'a> Judge<'a> {
    /// A judge by a model of the objectives at some positions, of what `observations`, ranked, and the encodings in flight leave to gain.
    pub(super) fn new(
        space: &'a dyn SearchSpace,
        (model, modelled): (&'a Model, &[usize]),
        observations: &'a Observations,
        ranked: &Ranked,
        pending: &'a [&'a [f64]],
        rng: &mut Stream,
    ) -> Self {
        let count = observations.objectives();
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
        let regressions = model.regressions();
        let latest = &pending[pending.len().saturating_sub(PENDING)..];
        let mut expectations =
            regressions.objectives.iter().map(|regression| regression.with(latest));
        let mut judge = Self {
            space,
            observations,
            objectives: (0..count)
                .map(|at| modelled.contains(&at).then(|| expectations.next()).flatten())
                .collect(),
            violation: regressions.violation.as_ref().map(|found| found.with(latest)),
            failure: regressions.failure.as_ref().map(|found| found.with(latest)),
            known,
            draws,
            features: Vec::new(),
            scratch: Vec::new(),
        };
        front.iter().for_each(|member| judge.known.add(&member.objectives));
        for candidate in observations.in_flight() {
            let expected = judge.expected(candidate);
            expected.into_iter().for_each(|point| judge.known.add(&point));
        }
        judge
    }

    /// What is expected of a candidate in flight; `None` if it will not be evaluated, or if more likely than
    /// not it breaks a constraint or fails: then it takes nothing from others.
    fn expected(&self, candidate: &Pending) -> Option<Vec<f64>> {
        let foreseen = candidate.foreseen.as_ref()?.iter();
        let is_within = |model: &Option<Expectation<'_>>, limit: f64| {
            let expected =
                |model: &Expectation<'_>| model.regression().expected(&candidate.features);
            model.as_ref().is_none_or(|model| expected(model) <= limit)
        };
        if !is_within(&self.violation, TOLERANCE) || !is_within(&self.failure, FAILS) {
            return None;
        }
        let objectives = self.objectives.iter().zip(foreseen).map(|(model, exact)| {
            exact.or_else(|| Some(model.as_ref()?.regression().expected(&candidate.features)))
        });
        objectives.collect()
    }

    /// The expected gain, up to a constant factor, not negative; `None` if what is computed of the
    /// genotype says that it is never evaluated.
    pub(super) fn gain(&mut self, genotype: &Genotype) -> Option<f64> {
        let foreseen = self.observations.foresee(genotype)?;
        encode(self.space, genotype, &mut self.features);
        let (features, scratch) = (&self.features, &mut self.scratch);
        let mut predict = |expectation: &Expectation<'_>| expectation.predict(features, scratch);
        let models = self.objectives.iter();
        let predictions: Vec<Option<Prediction>> =
            models.map(|model| model.as_ref().map(&mut predict)).collect();
        let mut share_below = |expectation: &Option<Expectation<'_>>, limit: f64| {
            expectation.as_ref().map_or(1.0, |expectation| {
                let Prediction { mean, variance } = predict(expectation);
                let room = expectation.regression().mapped(limit) - mean;
                normal::share_below(room / variance.sqrt().max(1e-9))
            })
        };
        let learnt = self.observations.learnt_from() as f64;
        let succeeded = learnt - self.observations.lost().len() as f64;
        let usual = TRUSTED * succeeded / learnt.max(1.0);
        let succeeds = (learnt * share_below(&self.failure, FAILS) + usual) / (learnt + TRUSTED);
        let feasible = share_below(&self.violation, TOLERANCE) * succeeds;
        let mut point: Vec<f64> = foreseen.iter().map(|exact| exact.unwrap_or_default()).collect();
        let mut sum = 0.0;
        for draw in &self.draws {
            for (at, model) in self.objectives.iter().enumerate() {
                let (Some(model), Some(prediction)) = (model, &predictions[at]) else { continue };
                let mapped = prediction.mean + draw[at] * prediction.variance.sqrt();
                point[at] = model.regression().output(mapped);
            }
            sum += self.known.improvement(&point);
        }
        Some(sum * feasible)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::fit::{Forms, Setting};
    use super::super::parameters::Parameters;
    use super::*;
    use crate::algorithm::contract::{Grid, context};
    use crate::algorithm::observations::rank;
    use crate::algorithm::{Origin, Outcome, Proposal};
    use crate::id::Ordinal;
    use crate::rng::{Purpose, stream};

    fn propose(observations: &mut Observations, id: u32, genotype: &Genotype) {
        let key = Grid::of(6, 5).canonical_hash(genotype).unwrap();
        let proposal = Proposal { genotype: genotype.clone(), key, origin: Origin::Sampled };
        observations.propose(Ordinal(id), &proposal);
    }

    /// Sixty results; what has a first gene above 2 breaks a constraint, or fails.
    fn observed(fails: bool) -> Observations {
        let space = Grid::of(6, 5);
        let mut observations = Observations::new(&context());
        for id in 1..=60 {
            let genotype = space.schema().sample(&mut stream(1, Purpose::Proposal, id));
            let id = id as u32;
            propose(&mut observations, id, &genotype);
            let minus_sum = |genes: &[u32]| -f64::from(genes.iter().sum::<u32>());
            let objectives = [minus_sum(&genotype.0[1..4]), minus_sum(&genotype.0[3..])];
            let beyond = f64::from(genotype.0[0].saturating_sub(2));
            let outcome = match beyond > 0.0 && fails {
                true => Outcome::Lost,
                false => Outcome::Scored { objectives: &objectives, violation: beyond },
            };
            observations.resolve(Ordinal(id), outcome);
        }
        observations
    }

    /// The gain of a genotype that is feasible and the best in both objectives while another one, if any, is
    /// in flight.
    fn gain(observations: &Observations, in_flight: Option<[u32; 6]>) -> f64 {
        let space = Grid::of(6, 5);
        let features = space.schema().features().to_vec();
        let (modelled, parameters) = (vec![0, 1], Parameters::default());
        let setting = Setting { features, objectives: 2, modelled, parameters, seed: 1 };
        let lessons = observations.lessons();
        let forms = Arc::new(Forms::new(Arc::new(setting), lessons.clone()));
        let model = Model::new(forms, lessons);
        let mut observations = observations.clone();
        if let Some(genes) = in_flight {
            propose(&mut observations, 61, &Genotype(genes.into()));
        }
        let ranked = rank(observations.results(), 2);
        let mut rng = stream(2, Purpose::Proposal, 1);
        let modelled = (&model, &[0, 1][..]);
        let mut judge = Judge::new(&*space, modelled, &observations, &ranked, &[], &mut rng);
        judge.gain(&Genotype([0, 4, 4, 4, 4, 4].into())).unwrap()
    }

    #[test]
    fn what_will_come_to_nothing_leaves_its_hypervolume_to_others() {
        for fails in [false, true] {
            let observations = observed(fails);
            let alone = gain(&observations, None);
            assert!(alone > 0.0);
            let infeasible = gain(&observations, Some([4, 4, 4, 4, 4, 4]));
            assert_eq!(infeasible, alone, "fails: {fails}");
            let feasible = gain(&observations, Some([1, 4, 4, 4, 4, 4]));
            assert!(feasible < 0.9 * alone, "{feasible} of {alone}, fails: {fails}");
        }
    }
}
