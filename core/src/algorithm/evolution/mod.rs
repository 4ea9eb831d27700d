//! The evolutionary algorithm that NSGA-II, NSGA-III and SMS-EMOA share: a population, breeding by
//! crossover and mutation, and two modes. *Asynchronous* is the (mu + 1) form: every result joins
//! the population as soon as it may, whatever its age, and every proposal is bred from the
//! population of that moment, so no worker ever waits. *Generational* is the published form, for
//! comparison with papers: offspring are bred from a frozen parent population until all of them
//! are resolved. What differs between the algorithms, who may be a parent and who survives, is
//! their [`Survival`].
//!
//! It must not know workers or time: order of arrival is the order of `update` calls.

mod parameters;
mod release;

use std::fmt;

use rand::RngExt;

use super::breeding::Novelty;
use super::pending::Pending;
use super::ranking::{RankedPopulation, Scored};
use super::{Algorithm, AlgorithmContext, Known, Origin, Outcome, Proposal, Suggestion};
use crate::id::Ordinal;
use crate::rng::Stream;
use crate::space::{Genotype, Mutation, SearchSpace};
use crate::spec::Section;
use parameters::{Mode, Parameters, Parents};
use release::Held;

/// Who may be a parent and who survives.
pub(super) trait Survival: fmt::Debug + Clone + Send + Sync + 'static {
    /// The name under which the table of algorithms lists it.
    const NAME: &'static str;

    /// The slot of a parent in a population that has members.
    fn parent(&self, population: &RankedPopulation, rng: &mut Stream) -> usize;

    /// Drops the worst members until `keep` are left.
    fn truncate(&mut self, population: &mut RankedPopulation, keep: usize);

    /// Adds offspring and drops the worst of all until `keep` are left.
    fn replace(
        &mut self,
        population: &mut RankedPopulation,
        offspring: impl Iterator<Item = Scored>,
        keep: usize,
    ) {
        population.extend(offspring);
        self.truncate(population, keep);
    }
}

/// Builds the algorithm with the survival that `survival` makes for a population of that size.
pub(super) fn build<S: Survival>(
    section: &Section<'_>,
    context: &AlgorithmContext,
    survival: impl FnOnce(usize) -> S,
) -> Option<Box<dyn Algorithm>> {
    let parameters = Parameters::read(section)?;
    let generation = match parameters.mode {
        Mode::Asynchronous => None,
        Mode::Generational => Some(Generation::default()),
    };
    Some(Box::new(Evolution {
        survival: survival(parameters.population),
        parents: RankedPopulation::new(context.objectives.len()),
        parameters,
        pending: Pending::new(),
        held: Held::default(),
        proposed: 0,
        generation,
    }))
}

/// The slot of the better of two members drawn without replacement, by (rank, crowding distance,
/// id): the binary tournament of NSGA-II.
pub(super) fn tournament(population: &RankedPopulation, rng: &mut Stream) -> usize {
    let members = population.len();
    let first = rng.random_range(0..members);
    if members == 1 {
        return first;
    }
    let second = (first + rng.random_range(1..members)) % members;
    if population.compare(first, second).is_le() { first } else { second }
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
struct Evolution<S> {
    survival: S,
    parameters: Parameters,
    parents: RankedPopulation,
    pending: Pending<Genotype>,
    /// Results that wait for older ones.
    held: Held,
    /// How many candidates have been proposed in all.
    proposed: usize,
    /// `None` in asynchronous mode.
    generation: Option<Generation>,
}

impl<S: Survival> Evolution<S> {
    fn generation_is_proposed(&self) -> bool {
        let size = self.parameters.population;
        self.generation.as_ref().is_some_and(|generation| generation.proposed >= size)
    }

    /// A parent, and its number.
    fn parent(&self, rng: &mut Stream) -> (&Genotype, Ordinal) {
        if self.parameters.parents == Parents::InFlight && self.generation.is_none() {
            let in_flight = self.pending.in_flight();
            let at = rng.random_range(0..self.parents.len() + in_flight.len());
            if let Some((id, genotype)) = in_flight.iter().nth(at) {
                return (genotype, id);
            }
        }
        let slot = self.survival.parent(&self.parents, rng);
        (self.parents.genotype(slot), self.parents.id(slot))
    }

    fn breed(&self, space: &dyn SearchSpace, rng: &mut Stream) -> (Genotype, Origin) {
        let (parent, first) = self.parent(rng);
        let mate = rng
            .random_bool(self.parameters.crossover_probability)
            .then(|| self.parent(rng))
            .filter(|&(_, second)| second != first);
        let schema = space.schema();
        let mutation = |genotype: &Genotype| {
            let genes = schema.active_genes(genotype).max(1);
            Mutation::EachGene(self.parameters.mutation_probability.of(genes))
        };
        let Some((other, second)) = mate else {
            let mutated = schema.mutate(parent, mutation(parent), rng);
            return (mutated, Origin::Mutated { parent: first });
        };
        let child = schema.cross(parent, other, rng);
        let mutation = mutation(&child);
        (schema.mutate_owned(child, mutation, rng), Origin::Crossed { first, second })
    }

    fn join(&mut self, member: Scored) {
        self.parents.insert(member);
        self.survival.truncate(&mut self.parents, self.parameters.population);
    }

    /// Lets the best of parents and offspring survive and starts the next generation.
    fn end_generation(&mut self) {
        let Some(generation) = &mut self.generation else { return };
        generation.proposed = 0;
        let offspring = &mut generation.offspring;
        // The order of arrival must not show in a generational run.
        offspring.sort_unstable_by_key(|member| member.id);
        let keep = self.parameters.population;
        self.survival.replace(&mut self.parents, offspring.drain(..), keep);
    }
}

impl<S: Survival> Algorithm for Evolution<S> {
    fn name(&self) -> &'static str {
        S::NAME
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
        self.pending.propose(id, proposal.genotype.clone());
        self.proposed += 1;
        if let Some(generation) = &mut self.generation {
            generation.proposed += 1;
        }
    }

    fn update(&mut self, id: Ordinal, outcome: Outcome<'_>) {
        let Some(genotype) = self.pending.resolve(id, outcome) else { return };
        if outcome == Outcome::Infeasible {
            self.proposed -= 1;
            if let Some(generation) = &mut self.generation {
                generation.proposed -= 1;
            }
        }
        let scored = Scored::new(id, genotype, outcome, self.parents.width());
        match (&mut self.generation, self.parameters.parents) {
            (Some(generation), _) => generation.offspring.extend(scored),
            (None, Parents::InOrder) => {
                self.held.hold(id, scored);
                let in_flight = self.pending.in_flight();
                let oldest = in_flight.first();
                for member in self.held.release(oldest, in_flight.len()) {
                    self.join(member);
                }
            }
            (None, Parents::Arrived | Parents::InFlight) => {
                scored.into_iter().for_each(|member| self.join(member));
            }
        }
        if self.generation_is_proposed() && self.pending.in_flight().is_empty() {
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
