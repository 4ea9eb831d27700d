//! NSGA-II (Deb, Pratap, Agarwal and Meyarivan 2002) in two modes. *Asynchronous* is the (mu + 1)
//! form: every result joins the population the moment it arrives, whatever its age, and every
//! proposal is bred from the population of that moment, so no worker ever waits and no result is
//! ever barred from breeding. *Generational* is the published form, for comparison with papers:
//! offspring are bred from a frozen parent population until all of them are resolved.
//!
//! It must not know workers or time: order of arrival is the order of `update` calls.

mod parameters;

use std::collections::BTreeMap;

use rand::RngExt;

use super::breeding::Novelty;
use super::ranking::{RankedPopulation, Scored};
use super::{
    Algorithm, AlgorithmContext, AlgorithmEntry, Known, Origin, Outcome, Proposal, Suggestion,
};
use crate::id::Ordinal;
use crate::rng::Stream;
use crate::space::{Genotype, Mutation, SearchSpace};
use crate::spec::Section;
use parameters::{Mode, Parameters};

pub(super) const ENTRY: AlgorithmEntry = AlgorithmEntry {
    name: "nsga2",
    summary: "NSGA-II: survival by non-dominated fronts and crowding distance, asynchronous \
              (every result may breed at once) or generational (as published).",
    build,
};

fn build(section: &Section<'_>, context: &AlgorithmContext) -> Option<Box<dyn Algorithm>> {
    let parameters = Parameters::read(section)?;
    let parents = RankedPopulation::new(context.objectives.len());
    let generation = match parameters.mode {
        Mode::Asynchronous => None,
        Mode::Generational => Some(Generation::default()),
    };
    let pending = BTreeMap::new();
    Some(Box::new(Nsga2 { parameters, parents, pending, proposed: 0, generation }))
}

/// What has become of the generation that is being evaluated.
#[derive(Debug, Clone, Default)]
struct Generation {
    /// How many of its candidates have been proposed.
    proposed: usize,
    /// Those that came back with a score.
    offspring: Vec<Scored>,
}

#[derive(Debug, Clone)]
struct Nsga2 {
    parameters: Parameters,
    parents: RankedPopulation,
    /// Proposed and not yet resolved.
    pending: BTreeMap<Ordinal, Genotype>,
    /// How many candidates have been proposed in all.
    proposed: usize,
    /// `None` in asynchronous mode.
    generation: Option<Generation>,
}

impl Nsga2 {
    fn generation_is_proposed(&self) -> bool {
        let size = self.parameters.population;
        self.generation.as_ref().is_some_and(|generation| generation.proposed >= size)
    }

    /// The slot of the better of two members drawn without replacement.
    fn tournament(&self, rng: &mut Stream) -> usize {
        let members = self.parents.len();
        let first = rng.random_range(0..members);
        if members == 1 {
            return first;
        }
        let second = (first + rng.random_range(1..members)) % members;
        if self.parents.compare(first, second).is_le() { first } else { second }
    }

    fn breed(&self, space: &dyn SearchSpace, rng: &mut Stream) -> (Genotype, Origin) {
        let first = self.tournament(rng);
        let mate = rng
            .random_bool(self.parameters.crossover_probability)
            .then(|| self.tournament(rng))
            .filter(|&second| second != first);
        let rate = self.parameters.mutation_probability.of(space.schema().slots());
        let mutate = |child: &Genotype, rng: &mut Stream| {
            space.schema().mutate(child, Mutation::EachGene(rate), rng)
        };
        let (parent, id) = (self.parents.genotype(first), self.parents.id(first));
        let Some(second) = mate else {
            return (mutate(parent, rng), Origin::Mutated { parent: id });
        };
        let child = space.schema().cross(parent, self.parents.genotype(second), rng);
        (mutate(&child, rng), Origin::Crossed { first: id, second: self.parents.id(second) })
    }

    /// Lets the best of parents and offspring survive and starts the next generation.
    fn end_generation(&mut self) {
        let Some(generation) = &mut self.generation else { return };
        let mut offspring = std::mem::take(generation).offspring;
        // The order of arrival must not show in a generational run.
        offspring.sort_unstable_by_key(|member| member.id);
        self.parents.extend(offspring);
        self.parents.truncate(self.parameters.population);
    }
}

impl Algorithm for Nsga2 {
    fn name(&self) -> &'static str {
        ENTRY.name
    }

    fn parameters(&self) -> serde_json::Value {
        self.parameters.to_json()
    }

    fn suggest(&self, space: &dyn SearchSpace, known: &dyn Known, rng: &mut Stream) -> Suggestion {
        if self.generation_is_proposed() {
            return Suggestion::Wait;
        }
        let novelty = Novelty::new(space, known);
        if self.proposed < self.parameters.population || self.parents.is_empty() {
            return novelty.sample(rng);
        }
        novelty.breed(self.parameters.duplicate_redraws, rng, |rng| self.breed(space, rng))
    }

    fn proposed(&mut self, id: Ordinal, proposal: &Proposal) {
        self.pending.insert(id, proposal.genotype.clone());
        self.proposed += 1;
        if let Some(generation) = &mut self.generation {
            generation.proposed += 1;
        }
    }

    fn update(&mut self, id: Ordinal, outcome: Outcome<'_>) {
        let Some(genotype) = self.pending.remove(&id) else { return };
        let scored = Scored::new(id, genotype, outcome, self.parents.width());
        match &mut self.generation {
            Some(generation) => generation.offspring.extend(scored),
            None => {
                scored.into_iter().for_each(|member| self.parents.insert(member));
                self.parents.truncate(self.parameters.population);
            }
        }
        if self.generation_is_proposed() && self.pending.is_empty() {
            self.end_generation();
        }
    }

    fn population(&self) -> Vec<Ordinal> {
        self.parents.ids()
    }

    fn boxed_clone(&self) -> Box<dyn Algorithm> {
        Box::new(self.clone())
    }
}

#[cfg(test)]
mod tests;
