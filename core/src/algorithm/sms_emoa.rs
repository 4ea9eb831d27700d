//! SMS-EMOA (Beume, Naujoks and Emmerich 2007, "SMS-EMOA: multiobjective selection based on
//! dominated hypervolume"): parents at random, and of the last front the member leaves whose
//! exclusive hypervolume is the least. It must not know how candidates are bred or when results
//! arrive.
//!
//! Volumes are taken after the front's own range is scaled to [0, 1], so that no unit decides, and
//! against the reference point (2, ..., 2): the publication's distance of 1 beyond the worst
//! values, at which the extremes of a front are kept for what they alone dominate.

use rand::RngExt;

use super::AlgorithmEntry;
use super::evolution::{self, Survival};
use super::ranking::RankedPopulation;
use crate::pareto::Points;
use crate::pareto::hypervolume::exclusive_contributions;
use crate::rng::Stream;

pub(super) const ENTRY: AlgorithmEntry = AlgorithmEntry {
    name: LeastContribution::NAME,
    summary: "SMS-EMOA: of the last front the member leaves that adds the least hypervolume; \
              steady state, for two to four objectives and populations of some hundreds.",
    build: |section, context| evolution::build(section, context, |_| LeastContribution),
};

/// The coordinate of the reference point in units of the front's range.
const REFERENCE: f64 = 2.0;

#[derive(Debug, Clone)]
struct LeastContribution;

impl Survival for LeastContribution {
    const NAME: &'static str = "sms_emoa";

    fn parent(&self, population: &RankedPopulation, rng: &mut Stream) -> usize {
        rng.random_range(0..population.len())
    }

    fn truncate(&mut self, population: &mut RankedPopulation, keep: usize) {
        while population.len() > keep {
            let excess = population.len() - keep;
            let Some(last) = population.fronts().last() else { return };
            let leaving =
                if last.len() <= excess { last.to_vec() } else { vec![least(population, last)] };
            population.remove_slots(leaving);
        }
    }
}

/// The member of a front of at least two that contributes least; the latest among equals.
fn least(population: &RankedPopulation, front: &[u32]) -> u32 {
    let scaled = scaled(population, front);
    let reference = vec![REFERENCE; population.width()];
    let volumes = exclusive_contributions(&scaled, &reference)
        .expect("scaled values are finite and below the reference");
    let ids = |slot: u32| population.id(slot as usize);
    let order = |&(a, x): &(&u32, f64), &(b, y): &(&u32, f64)| {
        x.total_cmp(&y).then_with(|| ids(*b).cmp(&ids(*a)))
    };
    front.iter().zip(volumes).min_by(order).map_or(front[0], |(slot, _)| *slot)
}

/// The front's objectives, each from 0 for its best to 1 for its worst value.
fn scaled(population: &RankedPopulation, front: &[u32]) -> Points {
    let width = population.width();
    let (mut low, mut high) = (vec![f64::INFINITY; width], vec![f64::NEG_INFINITY; width]);
    for &slot in front {
        for (objective, value) in population.objectives(slot).iter().enumerate() {
            low[objective] = low[objective].min(*value);
            high[objective] = high[objective].max(*value);
        }
    }
    let scale = |(objective, value): (usize, &f64)| {
        // Halves, because the range of two finite numbers may overflow.
        let range = high[objective] / 2.0 - low[objective] / 2.0;
        if range > 0.0 { (value / 2.0 - low[objective] / 2.0) / range } else { 0.0 }
    };
    let rows = front
        .iter()
        .map(|&slot| population.objectives(slot).iter().enumerate().map(scale).collect::<Vec<_>>());
    Points::try_from_rows(width, rows).expect("quotients of finite numbers by a larger one")
}
