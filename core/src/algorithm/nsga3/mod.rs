//! NSGA-III (Deb and Jain 2014, "An evolutionary many-objective optimization algorithm using
//! reference-point-based nondominated sorting approach, part I"; constraints as in part II): whole
//! fronts survive first; of the front that does not fit, those that serve the reference directions
//! with the fewest members. Meant for three objectives and more, where crowding distances say
//! little. It must not know how candidates are bred or when results arrive.

mod directions;
mod normalization;

use rand::RngExt;

use super::AlgorithmEntry;
use super::evolution::{self, Survival};
use super::ranking::{RankedPopulation, UNKNOWN};
use crate::rng::{self, Purpose, Stream};
use normalization::Normalization;

pub(super) const ENTRY: AlgorithmEntry = AlgorithmEntry {
    name: ReferenceDirections::NAME,
    summary: "NSGA-III: survival by non-dominated fronts and reference directions, for three \
              objectives and more, and populations of some hundreds.",
    build: |section, context| {
        evolution::build(section, context, |population| ReferenceDirections {
            directions: directions::directions(context.objectives.len(), population),
            normalization: Normalization::default(),
            seed: context.seed,
            survivals: 0,
        })
    },
};

#[derive(Debug, Clone)]
struct ReferenceDirections {
    /// Directions of length M, with a sum of 1.
    directions: Vec<Vec<f64>>,
    normalization: Normalization,
    seed: u64,
    /// How often members have been chosen; names the random stream of the next time.
    survivals: u64,
}

/// A candidate for the last places: its slot, its nearest direction and the distance from it.
#[derive(Debug, Clone, Copy)]
struct Associated {
    slot: u32,
    direction: usize,
    distance: f64,
}

impl Survival for ReferenceDirections {
    const NAME: &'static str = "nsga3";

    /// Anyone, but of two an infeasible one never (part II, section III-B).
    fn parent(&self, population: &RankedPopulation, rng: &mut Stream) -> usize {
        let (first, second) =
            (rng.random_range(0..population.len()), rng.random_range(0..population.len()));
        let violation = |slot| population.violation(slot);
        if violation(second) < violation(first) { second } else { first }
    }

    fn truncate(&mut self, population: &mut RankedPopulation, keep: usize) {
        while population.len() > keep {
            let excess = population.len() - keep;
            let Some(last) = population.fronts().last() else { return };
            let leaving = if last.len() <= excess {
                last.to_vec()
            } else {
                self.survivals += 1;
                self.leaving(population, excess)
            };
            population.remove_slots(leaving);
        }
    }
}

impl ReferenceDirections {
    /// The `excess` members of the last front, which has more, that have to leave.
    fn leaving(&mut self, population: &RankedPopulation, excess: usize) -> Vec<u32> {
        let fronts: Vec<&[u32]> = population.fronts().collect();
        let rows = |slots: &[u32]| -> Vec<&[f64]> {
            slots.iter().map(|slot| population.objectives(*slot)).collect()
        };
        let mut all: Vec<&[f64]> = fronts.iter().flat_map(|front| rows(front)).collect();
        all.retain(|row| !row.contains(&UNKNOWN));
        let (ideal, range) = self.normalization.update(&all, &rows(fronts[0]));
        let associate =
            |slot: &u32| self.associate(*slot, population.objectives(*slot), &ideal, &range);
        let (last, safe) = fronts.split_last().expect("a population that is too large has a front");
        let mut counts = vec![0usize; self.directions.len()];
        for slot in safe.iter().copied().flatten() {
            counts[associate(slot).direction] += 1;
        }
        let mut waiting: Vec<Associated> = last.iter().map(associate).collect();
        // The order of slots depends on history; that of numbers does not.
        waiting.sort_unstable_by_key(|member| population.id(member.slot as usize));
        let mut rng = rng::stream(self.seed, Purpose::Survival, self.survivals);
        while waiting.len() > excess {
            let chosen = choose(&waiting, &counts, &mut rng);
            counts[waiting[chosen].direction] += 1;
            waiting.remove(chosen);
        }
        waiting.into_iter().map(|member| member.slot).collect()
    }

    fn associate(&self, slot: u32, row: &[f64], ideal: &[f64], range: &[f64]) -> Associated {
        let scaled: Vec<f64> = row
            .iter()
            .zip(ideal)
            .zip(range)
            .map(|((value, ideal), range)| (value - ideal) / range)
            .collect();
        let distance = |direction: &[f64]| {
            let dot: f64 = scaled.iter().zip(direction).map(|(x, w)| x * w).sum();
            let norm: f64 = direction.iter().map(|w| w * w).sum();
            let share = dot / norm;
            scaled.iter().zip(direction).map(|(x, w)| (x - share * w).powi(2)).sum::<f64>()
        };
        let distances = self.directions.iter().map(|direction| distance(direction));
        let (direction, distance) = distances
            .enumerate()
            .min_by(|(_, a), (_, b)| a.total_cmp(b))
            .expect("there is a direction for each objective at least");
        Associated { slot, direction, distance }
    }
}

/// The position in `waiting`, which is not empty, of the member that survives next: at one of the
/// directions with the fewest members, drawn at random, the closest one if the direction has none
/// yet, else any.
fn choose(waiting: &[Associated], counts: &[usize], rng: &mut Stream) -> usize {
    let fewest = waiting.iter().map(|member| counts[member.direction]).min().unwrap_or(0);
    let mut directions: Vec<usize> = waiting
        .iter()
        .map(|member| member.direction)
        .filter(|direction| counts[*direction] == fewest)
        .collect();
    directions.sort_unstable();
    directions.dedup();
    let direction = directions[rng.random_range(0..directions.len())];
    let mut members =
        waiting.iter().enumerate().filter(|(_, member)| member.direction == direction);
    if fewest == 0 {
        members.min_by(|(_, a), (_, b)| a.distance.total_cmp(&b.distance)).map_or(0, |(at, _)| at)
    } else {
        let count = members.clone().count();
        members.nth(rng.random_range(0..count)).map_or(0, |(at, _)| at)
    }
}

#[cfg(test)]
mod tests;
