//! Regularised evolution (Real, Aggarwal, Huang and Le 2019, "Regularized evolution for image
//! classifier architecture search"): a queue in which the oldest member dies, whatever its score,
//! and each child is a one-gene mutation of the best of a small sample. The best is the one with
//! the largest weighted score, or, without weights, the one first by (non-domination rank,
//! crowding distance) within the population. Infeasible members stand behind all feasible ones,
//! in order of their violation.
//!
//! It must not know workers or time: age is the order of `update` calls.

use std::collections::{BTreeMap, VecDeque};

use rand::RngExt;
use serde::Deserialize;

use super::breeding::{DUPLICATE_REDRAWS, MOST_REDRAWS, Novelty};
use super::pending::Pending;
use super::ranking::{Objectives, RankedPopulation, Scored};
use super::{
    Algorithm, AlgorithmContext, AlgorithmEntry, Known, Origin, Outcome, Proposal, Suggestion,
};
use crate::id::Ordinal;
use crate::rng::Stream;
use crate::space::{Genotype, Mutation, SearchSpace};
use crate::spec::Section;

/// The population and sample sizes that are accepted.
const SIZES: std::ops::RangeInclusive<u32> = 1..=100_000;

pub(super) const ENTRY: AlgorithmEntry = AlgorithmEntry {
    name: "regularized_evolution",
    summary: "Regularised evolution: mutates the best of a sample, by weighted score or by \
              non-domination, and drops the oldest.",
    build,
};

/// The parameters as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Raw {
    population: Option<u32>,
    sample: Option<u32>,
    weights: Option<BTreeMap<String, f64>>,
    duplicate_redraws: Option<u32>,
}

/// The parameters, checked.
#[derive(Debug, Clone)]
struct Parameters {
    population: usize,
    sample: u32,
    /// The weights as written, by objective; `None` for non-domination.
    weights: Option<BTreeMap<String, f64>>,
    duplicate_redraws: u32,
}

fn build(section: &Section<'_>, context: &AlgorithmContext) -> Option<Box<dyn Algorithm>> {
    let raw: Raw = section.read();
    let population = raw.population.unwrap_or(100);
    let sample = raw.sample.unwrap_or(25);
    for (key, size) in [("population", population), ("sample", sample)] {
        if !SIZES.contains(&size) {
            let message = format!("the {key} must be 1 to 100000 candidates, not {size}");
            section.fault(key, message, "100 and a sample of 25 are usual");
        }
    }
    if let Some(weights) = &raw.weights {
        check_weights(section, context, weights);
    }
    let duplicate_redraws = raw.duplicate_redraws.unwrap_or(DUPLICATE_REDRAWS);
    section.check_range("duplicate_redraws", duplicate_redraws, 0..=MOST_REDRAWS);
    section.is_clean().then(|| {
        let parameters = Parameters {
            population: population as usize,
            sample,
            weights: raw.weights,
            duplicate_redraws,
        };
        Box::new(RegularizedEvolution::new(parameters, context)) as Box<dyn Algorithm>
    })
}

fn check_weights(
    section: &Section<'_>,
    context: &AlgorithmContext,
    weights: &BTreeMap<String, f64>,
) {
    let names: Vec<&str> = context.objectives.iter().map(|name| &**name).collect();
    for (name, weight) in weights {
        // Without any objective the fault is theirs.
        if !names.is_empty() && !names.contains(&name.as_str()) {
            section.fault(
                "weights",
                format!("`{name}` is not an objective of this campaign"),
                format!("its objectives are: {}", names.join(", ")),
            );
        } else if !weight.is_finite() {
            let message = format!("the weight of `{name}` is {weight}, which is not finite");
            section.fault("weights", message, "give a number such as 0.5");
        }
    }
    if weights.values().all(|weight| *weight == 0.0) {
        section.fault(
            "weights",
            "no objective has a weight other than 0".to_owned(),
            "give at least one objective a weight, or leave `weights` out to select by \
             non-domination",
        );
    }
}

#[derive(Debug, Clone)]
struct RegularizedEvolution {
    parameters: Parameters,
    /// For each minimised objective, its factor in the minimised scalar; `None` for
    /// non-domination.
    factors: Option<Vec<f64>>,
    objectives: usize,
    /// With a scalar score, members have it as their one objective.
    members: RankedPopulation,
    /// The members by age, the oldest first.
    ages: VecDeque<Ordinal>,
    pending: Pending<Genotype>,
    /// How many candidates have been proposed in all.
    proposed: usize,
}

impl RegularizedEvolution {
    fn new(parameters: Parameters, context: &AlgorithmContext) -> Self {
        let objectives = context.objectives.len();
        let factors = parameters.weights.as_ref().map(|weights| factors(weights, context));
        let width = if factors.is_some() { 1 } else { objectives };
        Self {
            parameters,
            factors,
            objectives,
            members: RankedPopulation::new(width),
            ages: VecDeque::new(),
            pending: Pending::new(),
            proposed: 0,
        }
    }

    /// The slot of the best of a sample drawn with replacement, as published.
    fn select(&self, rng: &mut Stream) -> usize {
        let members = self.members.len();
        let mut best = rng.random_range(0..members);
        for _ in 1..self.parameters.sample {
            let other = rng.random_range(0..members);
            if self.members.compare(other, best).is_lt() {
                best = other;
            }
        }
        best
    }

    fn breed(&self, space: &dyn SearchSpace, rng: &mut Stream) -> (Genotype, Origin) {
        let parent = self.select(rng);
        let child = space.schema().mutate(self.members.genotype(parent), Mutation::OneGene, rng);
        (child, Origin::Mutated { parent: self.members.id(parent) })
    }

    /// The member for a result, `None` if it cannot be a parent.
    fn member(&self, id: Ordinal, genotype: Genotype, outcome: Outcome<'_>) -> Option<Scored> {
        let mut member = Scored::new(id, genotype, outcome, self.objectives)?;
        if let Some(factors) = &self.factors {
            let terms = factors.iter().zip(&*member.objectives);
            let scalar = terms.fold(0.0, |sum, (factor, value)| sum + factor * value);
            if !f64::is_finite(scalar) {
                return None;
            }
            member.objectives = Objectives::of(&[scalar]);
        }
        Some(member)
    }
}

/// Weights refer to natural values, larger scores being better: a maximised objective arrives
/// negated and so keeps its weight in the scalar to minimise, a minimised one has it negated.
fn factors(weights: &BTreeMap<String, f64>, context: &AlgorithmContext) -> Vec<f64> {
    let goals = context.objectives.iter().zip(&context.maximized);
    let factor = |(name, maximized): (&std::sync::Arc<str>, &bool)| {
        let weight = weights.get(&**name).copied().unwrap_or(0.0);
        if *maximized { weight } else { -weight }
    };
    goals.map(factor).collect()
}

impl Algorithm for RegularizedEvolution {
    fn name(&self) -> &'static str {
        ENTRY.name
    }

    fn parameters(&self) -> serde_json::Value {
        serde_json::json!({
            "population": self.parameters.population,
            "sample": self.parameters.sample,
            "weights": self.parameters.weights,
            "duplicate_redraws": self.parameters.duplicate_redraws,
        })
    }

    fn suggest(&self, space: &dyn SearchSpace, known: &dyn Known, rng: &mut Stream) -> Suggestion {
        let novelty = Novelty::new(space, known);
        if self.proposed < self.parameters.population || self.members.is_empty() {
            return novelty.sample(rng);
        }
        novelty.breed(self.parameters.duplicate_redraws, rng, |rng| self.breed(space, rng))
    }

    fn proposed(&mut self, id: Ordinal, proposal: &Proposal) {
        self.pending.propose(id, proposal.genotype.clone());
        self.proposed += 1;
    }

    fn update(&mut self, id: Ordinal, outcome: Outcome<'_>) {
        let Some(genotype) = self.pending.resolve(id, outcome) else { return };
        if outcome == Outcome::Infeasible {
            self.proposed -= 1;
        }
        let Some(member) = self.member(id, genotype, outcome) else { return };
        self.members.insert(member);
        self.ages.push_back(id);
        if self.ages.len() > self.parameters.population
            && let Some(oldest) = self.ages.pop_front()
        {
            self.members.remove(oldest);
        }
    }

    fn population(&self) -> Vec<Ordinal> {
        self.members.ids()
    }

    fn boxed_clone(&self) -> Box<dyn Algorithm> {
        Box::new(self.clone())
    }
}

#[cfg(test)]
mod tests;
