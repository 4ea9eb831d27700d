//! Evolution whose offspring are screened by a model of every objective, for campaigns of at most
//! some thousand evaluations: there a model is several times closer to the front than evolution
//! alone.
//!
//! After a few candidates of a spread-out design (`design`) each proposal is the genotype with the largest expected gain of
//! hypervolume that a short evolution on the model finds. A model errs most where it promises
//! most, so a search that trusts it for long collects its errors; with more results it is
//! therefore asked less: part of the proposals come from a Parzen estimator (`tpe`), the others are
//! the best of ever fewer offspring of the front. Candidates in flight count as what they are
//! expected to become, so that many workers are not sent to the same place; the larger their share, the more
//! proposals come from the Parzen estimator from the beginning.
//!
//! What is computed of a genotype is not predicted: such an objective counts with its exact value, and what
//! breaks such a bound is not proposed.
//!
//! It must not know workers or time. Models are fitted off the engine (`fit`), and while one is
//! wanted nothing is proposed.

mod design;
pub(super) mod fit;
mod judge;
pub(super) mod parameters;

use std::collections::BTreeSet;
use std::sync::Arc;

use rand::RngExt;

use self::fit::{Forms, Model, Setting};
use self::judge::Judge;
use self::parameters::Parameters;
use super::breeding::Novelty;
use super::observations::{self, Observations, Ranked, rank};
use super::{
    Algorithm, AlgorithmContext, AlgorithmEntry, FitJob, Known, Origin, Outcome, Proposal,
    Suggestion, tpe,
};
use crate::id::Ordinal;
use crate::rng::Stream;
use crate::space::{Genotype, Mutation, SearchSpace};
use crate::spec::Section;

/// By which factor results must grow for a new model: each for the first thirty, then ever more.
const MODEL_GROWTH: f64 = 1.03;
/// By which factor results must grow for the slow part of a fit.
const FORM_GROWTH: f64 = 1.3;
/// The least number of scores from which anything is learnt.
const LEAST_SCORED: usize = 4;
/// Offspring of which the best is proposed, times the number of results.
const SCREENED: usize = 1000;
/// The least number of offspring of which the best is proposed.
const LEAST_SCREENED: usize = 4;
/// The most genotypes that a search on the model begins with, and half as many in each later round.
const POOL: usize = 400;
const ROUNDS: usize = 2;
/// How many of the best genotypes are the parents of a search's next round.
const ELITE: usize = 20;
/// The least number of parents.
const LEAST_PARENTS: usize = 10;

pub(super) const ENTRY: AlgorithmEntry = AlgorithmEntry {
    name: "surrogate",
    summary: "Model-screened evolution: Gaussian processes and forests predict every \
              objective that is not computed, for up to some thousand evaluations.",
    build,
};

fn build(section: &Section<'_>, context: &AlgorithmContext) -> Option<Box<dyn Algorithm>> {
    let parameters = Parameters::read(section)?;
    Some(Box::new(Surrogate::new(parameters, context)))
}

/// The algorithm's state.
#[derive(Debug, Clone)]
pub(super) struct Surrogate {
    setting: Arc<Setting>,
    observations: Observations,
    forms: Option<Arc<Forms>>,
    model: Option<Arc<Model>>,
    wanted: Option<Arc<Model>>,
}

/// A genotype with its expected gain and its origin.
struct Judged {
    gain: f64,
    genotype: Genotype,
    origin: Origin,
}

impl Surrogate {
    pub(super) fn new(parameters: Parameters, context: &AlgorithmContext) -> Self {
        let space = context.space.as_deref();
        let features = space.map(observations::features).unwrap_or_default();
        let objectives = context.objectives.len();
        let computed = |at: usize| context.computed.as_ref().is_some_and(|found| found.covers(at));
        let modelled = (0..objectives).filter(|at| !computed(*at)).collect();
        let setting = Setting { features, objectives, modelled, parameters, seed: context.seed };
        Self {
            setting: Arc::new(setting),
            observations: Observations::new(context),
            forms: None,
            model: None,
            wanted: None,
        }
    }

    /// Wants a model if there are enough more results than the present one rests on.
    fn want(&mut self) {
        let learnt = self.observations.learnt_from();
        let grown =
            |before: usize, factor: f64| learnt > before && learnt as f64 >= before as f64 * factor;
        let initial = self.setting.parameters.initial as usize;
        // Nobody asks a model before the design is proposed. Many workers are asked for more before it is evaluated:
        // what few results say is better than nothing.
        let designed = self.observations.proposed_in_all() >= initial;
        let enough = designed && self.observations.results().len() >= initial.min(LEAST_SCORED);
        let due = self.model.as_ref().is_none_or(|model| grown(model.lessons(), MODEL_GROWTH));
        if self.wanted.is_some() || !enough || !due {
            return;
        }
        let lessons = self.observations.lessons();
        let forms = match &self.forms {
            Some(forms) if !grown(forms.lessons(), FORM_GROWTH) => forms.clone(),
            _ => Arc::new(Forms::new(self.setting.clone(), lessons.clone())),
        };
        self.forms = Some(forms.clone());
        self.wanted = Some(Arc::new(Model::new(forms, lessons)));
    }

    /// The proposal of a search on the model, or of a screening of few offspring.
    fn screen(
        &self,
        novelty: &Novelty<'_>,
        space: &dyn SearchSpace,
        model: &Model,
        ranked: &Ranked,
        rng: &mut Stream,
    ) -> Option<Proposal> {
        let pending = self.observations.pending();
        let modelled = (model, self.setting.modelled.as_slice());
        let mut judge = Judge::new(space, modelled, &self.observations, ranked, &pending, rng);
        let parents = self.parents(ranked);
        if self.searches() {
            let pool = (self.observations.affordable() / 2).clamp(ELITE, POOL);
            let found = search(space, &parents, pool, &mut judge, rng);
            return found.into_iter().find_map(|found| novelty.admit(found.genotype, found.origin));
        }
        let results = self.observations.results().len();
        let wanted = (SCREENED / results).max(LEAST_SCREENED);
        best_offspring(wanted, novelty, space, &parents, &mut judge, rng)
    }

    /// Whether results are so few that a proposal is searched for on the model.
    fn searches(&self) -> bool {
        let until = self.setting.parameters.search_until as usize;
        self.observations.results().len() < until
    }

    /// The share of candidates in flight among these and the results, of which there are some. What is expected of
    /// them is expected by the same model that has proposed them, so with many it is led by its own errors.
    fn crowding(&self) -> f64 {
        let in_flight = self.observations.in_flight().count() as f64;
        in_flight / (in_flight + self.observations.results().len() as f64)
    }

    /// The front, or some more of the best.
    fn parents(&self, ranked: &Ranked) -> Vec<(&Genotype, Origin)> {
        let results = self.observations.results();
        let front = ranked.ranks.iter().filter(|rank| **rank == 0).count();
        let parents = ranked.order.iter().take(front.max(LEAST_PARENTS));
        let parent = |at: &usize| {
            let parent = &results[*at];
            (&parent.genotype, Origin::Mutated { parent: parent.id })
        };
        parents.map(parent).collect()
    }

    pub(super) fn next(
        &self,
        space: &dyn SearchSpace,
        known: &dyn Known,
        rng: &mut Stream,
    ) -> Suggestion {
        let novelty = Novelty::new(space, known);
        let parameters = &self.setting.parameters;
        let initial = parameters.initial as usize;
        let design =
            |rng: &mut Stream| design::next(&novelty, space, &self.observations, initial, rng);
        if self.observations.proposed_in_all() < initial {
            return design(rng);
        }
        if self.wanted.is_some() {
            return Suggestion::Wait;
        }
        let Some(model) = &self.model else { return design(rng) };
        let results = self.observations.results();
        let ranked = rank(results, self.observations.objectives());
        let share = if self.searches() { self.crowding() } else { parameters.parzen_share };
        // A lone worker has nothing to draw for: its proposals are as if there were no such share.
        if share > 0.0 && rng.random::<f64>() < share {
            let proposal = tpe::propose(&novelty, space, &self.observations, &ranked, rng);
            return proposal.map_or_else(|| novelty.sample(rng), Suggestion::Propose);
        }
        let proposal = self.screen(&novelty, space, model, &ranked, rng);
        proposal.map_or_else(|| novelty.sample(rng), Suggestion::Propose)
    }
}

/// The most promising of so many `wanted` new offspring.
fn best_offspring(
    wanted: usize,
    novelty: &Novelty<'_>,
    space: &dyn SearchSpace,
    parents: &[(&Genotype, Origin)],
    judge: &mut Judge<'_>,
    rng: &mut Stream,
) -> Option<Proposal> {
    // Only new offspring count, so that the choice is among as many however few are left.
    let mut best: Option<(f64, Proposal)> = None;
    let mut judged = 0;
    for nth in 0..20 * wanted {
        let (genotype, origin) = offspring(space, parents, nth, rng);
        let Some(proposal) = novelty.admit(genotype, origin) else { continue };
        let Some(gain) = judge.gain(&proposal.genotype) else { continue };
        if best.as_ref().is_none_or(|(other, _)| gain > *other) {
            best = Some((gain, proposal));
        }
        judged += 1;
        if judged == wanted {
            break;
        }
    }
    best.map(|(_, proposal)| proposal)
}

/// One offspring: in turn a small mutation, a larger one, and a crossover with a slight mutation.
fn offspring(
    space: &dyn SearchSpace,
    parents: &[(&Genotype, Origin)],
    nth: usize,
    rng: &mut Stream,
) -> (Genotype, Origin) {
    let schema = space.schema();
    let (parent, origin) = parents[rng.random_range(0..parents.len())];
    let genes = schema.active_genes(parent).max(1) as f64;
    match nth % 3 {
        0 => (schema.mutate(parent, Mutation::OneGene, rng), origin),
        1 => {
            let rate = Mutation::EachGene((2.0 / genes).min(0.9));
            (schema.mutate(parent, rate, rng), origin)
        }
        _ => {
            let (mate, other) = parents[rng.random_range(0..parents.len())];
            let child = schema.cross(parent, mate, rng);
            let origin = match (origin, other) {
                (Origin::Mutated { parent: first }, Origin::Mutated { parent: second })
                    if first != second =>
                {
                    Origin::Crossed { first, second }
                }
                _ => origin,
            };
            (schema.mutate(&child, Mutation::EachGene(0.5 / genes), rng), origin)
        }
    }
}

/// A short evolution on the model that begins with a pool of offspring; what it has seen, the most promising first.
fn search(
    space: &dyn SearchSpace,
    parents: &[(&Genotype, Origin)],
    pool: usize,
    judge: &mut Judge<'_>,
    rng: &mut Stream,
) -> Vec<Judged> {
    let mut seen = BTreeSet::new();
    let mut found: Vec<Judged> = Vec::new();
    for round in 0..=ROUNDS {
        let elite: Vec<(Genotype, Origin)> = match round {
            0 => parents.iter().map(|(genotype, origin)| ((*genotype).clone(), *origin)).collect(),
            _ => {
                let best = found.iter().take(ELITE);
                best.map(|judged| (judged.genotype.clone(), judged.origin)).collect()
            }
        };
        let elite: Vec<(&Genotype, Origin)> =
            elite.iter().map(|(genotype, origin)| (genotype, *origin)).collect();
        for nth in 0..if round == 0 { pool } else { pool / 2 } {
            let (genotype, origin) = match (round, nth % 8) {
                (0, 7) => (space.schema().sample(rng), Origin::Sampled),
                _ => offspring(space, &elite, nth, rng),
            };
            if seen.insert(genotype.clone())
                && let Some(gain) = judge.gain(&genotype)
            {
                found.push(Judged { gain, genotype, origin });
            }
        }
        found.sort_by(|a, b| b.gain.total_cmp(&a.gain));
    }
    found
}

fn fit_of(model: &Arc<Model>) -> FitJob {
    let fitted = model.clone();
    let fit = move || {
        fitted.regressions();
    };
    FitJob::new(model.lessons() as u32, Arc::new(fit))
}

impl Algorithm for Surrogate {
    fn name(&self) -> &'static str {
        ENTRY.name
    }

    fn parameters(&self) -> serde_json::Value {
        self.setting.parameters.to_json()
    }

    fn suggest(&self, space: &dyn SearchSpace, known: &dyn Known, rng: &mut Stream) -> Suggestion {
        self.next(space, known, rng)
    }

    fn proposed(&mut self, id: Ordinal, proposal: &Proposal) {
        self.observations.propose(id, proposal);
    }

    fn update(&mut self, id: Ordinal, outcome: Outcome<'_>) {
        if self.observations.resolve(id, outcome) {
            self.want();
        }
    }

    fn population(&self) -> Vec<Ordinal> {
        self.observations.ids()
    }

    fn wanted_fit(&self) -> Option<FitJob> {
        self.wanted.as_ref().map(fit_of)
    }

    fn adopted_fit(&self) -> Option<FitJob> {
        self.model.as_ref().map(fit_of)
    }

    fn adopt(&mut self, results: u32) {
        if let Some(wanted) = self.wanted.take_if(|wanted| wanted.lessons() as u32 == results) {
            self.model = Some(wanted);
            self.want();
        }
    }

    fn boxed_clone(&self) -> Box<dyn Algorithm> {
        Box::new(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algorithm::contract::{Grid, context};
    use crate::rng::{Purpose, stream};

    /// A search after a design of `initial` candidates; `proposed` are, and the first `results` of them are evaluated.
    fn searched(initial: u32, proposed: u32, results: u32) -> Surrogate {
        let space = Grid::of(6, 5);
        let parameters = Parameters { initial, ..Parameters::default() };
        let mut algorithm = Surrogate::new(parameters, &context());
        for id in 1..=proposed {
            let genotype = space.schema().sample(&mut stream(1, Purpose::Proposal, id.into()));
            let key = space.canonical_hash(&genotype).unwrap();
            let proposal = Proposal { genotype, key, origin: Origin::Sampled };
            algorithm.proposed(Ordinal(id), &proposal);
        }
        for id in 1..=results {
            let objectives = [f64::from(id), -f64::from(id)];
            let outcome = Outcome::Scored { objectives: &objectives, violation: 0.0 };
            algorithm.update(Ordinal(id), outcome);
        }
        algorithm
    }

    fn wants_a_model(initial: u32, proposed: u32, results: u32) -> bool {
        searched(initial, proposed, results).wanted_fit().is_some()
    }

    /// How many of sixty next proposals, each from a stream of its own, are those of the Parzen estimator.
    fn parzen_proposals(proposed: u32, results: u32) -> usize {
        let mut algorithm = searched(12, proposed, results);
        while let Some(fit) = algorithm.wanted_fit() {
            fit.run();
            algorithm.adopt(fit.results);
        }
        let (space, known) = (Grid::of(6, 5), BTreeSet::new());
        let novelty = Novelty::new(&*space, &known);
        let ranked = rank(algorithm.observations.results(), algorithm.observations.objectives());
        let is_parzen = |number: &u64| {
            let mut rng = stream(2, Purpose::Proposal, *number);
            let next = algorithm.next(&*space, &known, &mut rng);
            let Suggestion::Propose(next) = next else { panic!("{next:?}") };
            let mut rng = stream(2, Purpose::Proposal, *number);
            rng.random::<f64>();
            let parzen =
                tpe::propose(&novelty, &*space, &algorithm.observations, &ranked, &mut rng);
            parzen.is_some_and(|parzen| parzen.genotype == next.genotype)
        };
        (1..=60).filter(is_parzen).count()
    }

    #[test]
    fn the_larger_the_share_of_candidates_in_flight_the_more_come_from_the_parzen_estimator() {
        let [alone, half, most] = [(16, 16), (32, 16), (64, 16)].map(|(proposed, results)| {
            let share = f64::from(proposed - results) / f64::from(proposed);
            assert_eq!(searched(12, proposed, results).crowding(), share);
            parzen_proposals(proposed, results)
        });
        assert!(
            alone < 5 && (20..40).contains(&half) && (36..55).contains(&most),
            "{alone} {half} {most}"
        );
    }

    #[test]
    fn many_workers_are_served_by_a_model_of_the_first_results() {
        assert!(!wants_a_model(12, 64, 3) && wants_a_model(12, 64, 4));
        // One worker has the design evaluated by then, and before that nobody asks a model.
        assert!(!wants_a_model(12, 11, 11) && wants_a_model(12, 12, 12));
        assert!(!wants_a_model(100, 64, 64) && wants_a_model(100, 100, 40));
    }
}
