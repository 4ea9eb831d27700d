//! NSGA-II (Deb, Pratap, Agarwal and Meyarivan 2002): parents by a binary tournament on
//! (non-domination rank, crowding distance), survival by whole fronts and then by crowding
//! distance. It must not know how candidates are bred or when results arrive.

use super::AlgorithmEntry;
use super::evolution::{self, Survival, tournament};
use super::ranking::{RankedPopulation, Scored};
use crate::rng::Stream;

pub(super) const ENTRY: AlgorithmEntry = AlgorithmEntry {
    name: Crowding::NAME,
    summary: "NSGA-II: survival by non-dominated fronts and crowding distance, asynchronous \
              (every result may breed at once) or generational (as published).",
    build: |section, context| evolution::build(section, context, |_| Crowding),
};

#[derive(Debug, Clone)]
struct Crowding;

impl Survival for Crowding {
    const NAME: &'static str = "nsga2";

    fn parent(&self, population: &RankedPopulation, rng: &mut Stream) -> usize {
        tournament(population, rng)
    }

    fn truncate(&mut self, population: &mut RankedPopulation, keep: usize) {
        population.truncate(keep);
    }

    fn replace(
        &mut self,
        population: &mut RankedPopulation,
        offspring: impl Iterator<Item = Scored>,
        keep: usize,
    ) {
        population.replace(offspring, keep);
    }
}
