//! The multi-objective tree-structured Parzen estimator (Ozaki, Tanigaki, Watanabe and Onishi
//! 2020): results are split into good ones and others, each is described by a density, and what
//! is proposed is the most typical of the good among some genotypes drawn from them. The good are
//! the first tenth by constrained non-domination, the last front cut by the hypervolume that each
//! member adds. Candidates in flight count among the others, so that workers spread, and so do those
//! that an early stage held back. Genotypes that break a computed bound are not drawn.
//!
//! Genotypes are drawn by recombining several good ones, which works for genes of every kind and
//! for independent ones is nearly a draw from the product of their densities. Values of good genotypes
//! alone are too few of a number that has many: those are drawn from the density around them.
//!
//! It must not know how a density is estimated, nor how genes are crossed and mutated.

use rand::RngExt;
use serde::{Deserialize, Serialize};

use super::breeding::Novelty;
use super::model::parzen::{BANDWIDTH, ParzenEstimator};
use super::model::scalarization::HypervolumeScalarization;
use super::observations::{Observation, Observations, Ranked, encode, extent, rank};
use super::{
    Algorithm, AlgorithmContext, AlgorithmEntry, Known, Origin, Outcome, Proposal, Suggestion,
};
use crate::id::Ordinal;
use crate::rng::Stream;
use crate::space::{Genotype, Mutation, SearchSpace};
use crate::spec::Section;

/// The share of results that are good.
const GOOD_SHARE: f64 = 0.1;
/// New genotypes of which the most typical of the good is proposed.
const CANDIDATES: usize = 24;
/// Good genotypes that one drawn genotype is recombined from.
const PARENTS: usize = 4;
/// Directions in which hypervolume is estimated where a front is cut.
const DIRECTIONS: usize = 64;

pub(super) const ENTRY: AlgorithmEntry = AlgorithmEntry {
    name: "tpe",
    summary: "Multi-objective tree-structured Parzen estimator: proposes what is typical of the \
              best tenth of all results.",
    build,
};

/// The parameters.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Parameters {
    /// Candidates drawn at random before anything is learnt, 2 to 100,000.
    initial: u32,
}

impl Default for Parameters {
    fn default() -> Self {
        Self { initial: 10 }
    }
}

fn build(section: &Section<'_>, context: &AlgorithmContext) -> Option<Box<dyn Algorithm>> {
    let parameters: Parameters = section.read();
    if !(2..=100_000).contains(&parameters.initial) {
        let message = format!("{} is out of range", parameters.initial);
        section.fault("initial", message, "write a number from 2 to 100000; 10 is usual");
    }
    let observations = Observations::new(context);
    section.is_clean().then(|| Box::new(Tpe { parameters, observations }) as Box<dyn Algorithm>)
}

#[derive(Debug, Clone)]
struct Tpe {
    parameters: Parameters,
    observations: Observations,
}

/// A proposal from the results so far, at least one; `None` if no new genotype was met.
pub(super) fn propose(
    novelty: &Novelty<'_>,
    space: &dyn SearchSpace,
    observations: &Observations,
    ranked: &Ranked,
    rng: &mut Stream,
) -> Option<Proposal> {
    let results = observations.results();
    let good = good(observations, ranked, rng);
    let is_good = |at: &usize| good.binary_search(at).is_ok();
    let features = space.schema().features();
    let row = |at: usize| results[at].features.as_slice();
    let typical = ParzenEstimator::new(features, good.iter().map(|at| row(*at)));
    let others = (0..results.len()).filter(|at| !is_good(at)).map(row);
    let pending = observations.pending();
    let failed = observations.lost().iter().map(AsRef::as_ref);
    let violating = observations.violating().iter().map(|found| found.features.as_slice());
    let others = others.chain(pending.iter().copied()).chain(observations.held_back());
    let others = others.chain(violating).chain(failed);
    let others = ParzenEstimator::new(features, others);
    let members: Vec<&Observation> = good.iter().map(|at| results[*at].as_ref()).collect();
    let mut best: Option<(f64, Proposal)> = None;
    let (mut judged, mut encoding) = (0, Vec::new());
    for _ in 0..20 * CANDIDATES {
        let (genotype, origin) = recombine(space, &members, rng);
        let Some(proposal) = novelty.admit(genotype, origin) else { continue };
        if observations.rules_out(&proposal.genotype) {
            continue;
        }
        encode(space, &proposal.genotype, &mut encoding);
        let ratio = typical.log_density(&encoding) - others.log_density(&encoding);
        if best.as_ref().is_none_or(|(other, _)| ratio > *other) {
            best = Some((ratio, proposal));
        }
        judged += 1;
        if judged == CANDIDATES {
            break;
        }
    }
    best.map(|(_, proposal)| proposal)
}

/// The positions of the good results, ascending.
fn good(observations: &Observations, ranked: &Ranked, rng: &mut Stream) -> Vec<usize> {
    let results = observations.results();
    let wanted = ((results.len() as f64 * GOOD_SHARE).ceil() as usize).max(1);
    let last_rank = ranked.order.get(wanted - 1).map_or(0, |at| ranked.ranks[*at]);
    let rank_of = |at: &&usize| ranked.ranks[**at];
    let mut good: Vec<usize> =
        ranked.order.iter().filter(|at| rank_of(at) < last_rank).copied().collect();
    let mut cut: Vec<usize> =
        ranked.order.iter().filter(|at| rank_of(at) == last_rank).copied().collect();
    let members = cut.iter().map(|at| results[*at].as_ref());
    let (ideal, nadir) = extent(members).unwrap_or_default();
    let mut set = HypervolumeScalarization::new(&ideal, &nadir, 1.1, DIRECTIONS, rng);
    while good.len() < wanted && !cut.is_empty() {
        let gain = |at: &usize| set.improvement(&results[*at].objectives);
        let gains: Vec<f64> = cut.iter().map(gain).collect();
        let best =
            (1..cut.len()).fold(0, |best, at| if gains[at] > gains[best] { at } else { best });
        let chosen = cut.remove(best);
        set.add(&results[chosen].objectives);
        good.push(chosen);
    }
    good.sort_unstable();
    good
}

/// A genotype of the genes of several good ones; each gene is redrawn as often as one further
/// observation spread over all values would make it.
fn recombine(
    space: &dyn SearchSpace,
    good: &[&Observation],
    rng: &mut Stream,
) -> (Genotype, Origin) {
    let schema = space.schema();
    let pick = |rng: &mut Stream| good[rng.random_range(0..good.len())];
    let first = pick(rng);
    let mut child = first.genotype.clone();
    let mut origin = Origin::Mutated { parent: first.id };
    for _ in 1..PARENTS {
        let other = pick(rng);
        if other.id != first.id {
            child = schema.cross(&child, &other.genotype, rng);
            origin = Origin::Crossed { first: first.id, second: other.id };
        }
    }
    let rate = 1.0 / (good.len() + 1) as f64;
    let child = schema.drawn_near(&child, BANDWIDTH, rate, rng);
    (schema.mutate(&child, Mutation::EachGene(rate), rng), origin)
}

impl Algorithm for Tpe {
    fn name(&self) -> &'static str {
        ENTRY.name
    }

    fn parameters(&self) -> serde_json::Value {
        serde_json::to_value(&self.parameters).expect("plain numbers under text keys")
    }

    fn suggest(&self, space: &dyn SearchSpace, known: &dyn Known, rng: &mut Stream) -> Suggestion {
        let novelty = Novelty::new(space, known);
        let results = self.observations.results();
        let initial = self.parameters.initial as usize;
        if self.observations.proposed_in_all() < initial || results.is_empty() {
            return novelty.sample(rng);
        }
        let ranked = rank(results, self.observations.objectives());
        let proposal = propose(&novelty, space, &self.observations, &ranked, rng);
        proposal.map_or_else(|| novelty.sample(rng), Suggestion::Propose)
    }

    fn proposed(&mut self, id: Ordinal, proposal: &Proposal) {
        self.observations.propose(id, proposal);
    }

    fn update(&mut self, id: Ordinal, outcome: Outcome<'_>) {
        self.observations.resolve(id, outcome);
    }

    fn population(&self) -> Vec<Ordinal> {
        self.observations.ids()
    }

    fn boxed_clone(&self) -> Box<dyn Algorithm> {
        Box::new(self.clone())
    }
}
