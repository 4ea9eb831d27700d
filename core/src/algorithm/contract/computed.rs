//! Model-assisted algorithms where an objective is computed: they use its exact values, keep to computed
//! bounds, and are still rebuilt by replay.

use super::driver::{Entry, context_in};
use super::*;
use crate::pareto::Points;
use crate::pareto::hypervolume::hypervolume;

const GENES: usize = 8;
const VALUES: u32 = 4;
const REFERENCE: [f64; 2] = [60.0, 500.0];

/// A cost with interactions that no sum over genes explains.
fn cost(genotype: &Genotype) -> f64 {
    let genes: Vec<f64> = genotype.0.iter().map(|gene| f64::from(*gene)).collect();
    let alone: f64 = genes.iter().sum();
    alone + 7.0 * genes.windows(2).map(|pair| pair[0] * pair[1]).sum::<f64>()
}

fn resolve(genotype: &Genotype) -> Resolution {
    let weighted: f64 =
        genotype.0.iter().zip(1..).map(|(gene, at)| f64::from(*gene) / f64::from(at)).sum();
    Resolution::Scored { objectives: vec![50.0 - 6.0 * weighted, cost(genotype)], violation: 0.0 }
}

/// The second objective, which may be bounded.
#[derive(Debug)]
struct Cost {
    most: f64,
}

impl Computed for Cost {
    fn covers(&self, objective: usize) -> bool {
        objective == 1
    }

    fn affordable(&self) -> usize {
        200
    }

    fn bounds(&self) -> bool {
        self.most.is_finite()
    }

    fn of(&self, genotype: &Genotype) -> Option<ComputedValues> {
        let cost = cost(genotype);
        let violation = (cost - self.most).max(0.0);
        Some(ComputedValues { objectives: [None, Some(cost)].into(), violation })
    }
}

fn build_with(most: Option<f64>, name: &str, text: &str) -> Box<dyn Algorithm> {
    let computed = most.map(|most| Arc::new(Cost { most }) as Arc<dyn Computed>);
    let context = AlgorithmContext { computed, ..context_in(Grid::of(GENES, VALUES)) };
    let entry = ALGORITHMS.iter().find(|entry| entry.name == name).unwrap();
    (entry.build)(&Section::from_text(text).unwrap(), &context).unwrap()
}

/// A run whose algorithm computes the cost, bounded by `most`, if at all.
fn run(most: Option<f64>, (name, text): (&str, &str), evaluations: u32, seed: u64) -> Driver {
    let mut driver = Driver::new(name, text, Grid::of(GENES, VALUES), resolve, seed);
    driver.algorithm = build_with(most, name, text);
    driver.run(3, evaluations);
    driver
}

#[test]
fn replay_rebuilds_the_state_of_searches_that_compute() {
    for (name, text) in variants() {
        let driver = run(Some(200.0), (name, text), 70, 4);
        let mut replayed = build_with(Some(200.0), name, text);
        for entry in &driver.log {
            match entry {
                Entry::Proposed(id, proposal) => replayed.proposed(*id, proposal),
                Entry::Resolved(id, resolution) => replayed.update(*id, resolution.outcome()),
                Entry::Adopted(results) => replayed.adopt(*results),
            }
        }
        let live = driver.suggest(&*driver.algorithm);
        assert_eq!(driver.suggest(&*replayed), live, "{name} {text}");
    }
}

#[test]
fn what_breaks_a_computed_bound_is_not_proposed_once_something_is_learnt() {
    const MOST: f64 = 60.0;
    for (name, text, initial) in
        [("surrogate", "{}", 12), ("tpe", "{}", 10), ("surrogate", "{search_until: 20}", 12)]
    {
        let driver = run(Some(MOST), (name, text), 80, 7);
        let breaking = |genotypes: &[&Genotype]| {
            genotypes.iter().filter(|genotype| cost(genotype) > MOST).count()
        };
        let genotypes: Vec<&Genotype> = driver.genotypes().collect();
        let (design, learnt) = genotypes.split_at(initial + 3);
        // `tpe` begins with random draws, of which the bound rules most out.
        assert_eq!(breaking(design) > 5, name == "tpe", "{name} {text}");
        assert_eq!(breaking(learnt), 0, "{name} {text}");
        let unaware = run(None, (name, text), 80, 7);
        let genotypes: Vec<&Genotype> = unaware.genotypes().skip(initial + 3).collect();
        assert!(breaking(&genotypes) > 10, "{name} {text}");
    }
}

#[test]
fn a_search_that_computes_an_objective_is_ahead_of_one_that_predicts_it() {
    let volume = |most, seed| {
        let driver = run(most, ("surrogate", "{}"), 40, seed);
        let points = driver.genotypes().map(|genotype| match resolve(genotype) {
            Resolution::Scored { objectives, .. } => objectives,
            other => unreachable!("this problem scores everything: {other:?}"),
        });
        hypervolume(&Points::try_from_rows(2, points).unwrap(), &REFERENCE).unwrap()
    };
    let sum = |most| (1..=8).map(|seed| volume(most, seed)).sum::<f64>() / 8.0;
    let (computes, predicts) = (sum(Some(f64::INFINITY)), sum(None));
    eprintln!("mean hypervolume {computes:.1} with exact costs, {predicts:.1} with predicted ones");
    assert!(computes > predicts, "{computes} with exact costs, {predicts} with predicted ones");
}
