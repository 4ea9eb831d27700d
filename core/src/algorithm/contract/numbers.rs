//! Where genes are numbers, whole ones of a wide range or real ones, algorithms that learn must beat random
//! search as they do where genes are choices.

use super::quality::{mean, welch};
use super::*;
use crate::pareto::Points;
use crate::pareto::hypervolume::hypervolume;

const SEEDS: std::ops::Range<u64> = 0..10;
const EVALUATIONS: u32 = 300;
const VALUES: u32 = 10_000;
/// The two places that all genes should be near to, as shares of their range.
const TARGETS: [f64; 2] = [0.45, 0.55];
const REFERENCE: f64 = 0.02;

/// The mean squared distance from each target, of genes at these places.
fn distances(places: &[f64]) -> Vec<f64> {
    let mean = |target: f64| {
        let squares = places.iter().map(|place| (place - target) * (place - target));
        squares.sum::<f64>() / places.len() as f64
    };
    TARGETS.map(mean).to_vec()
}

fn volume(rows: impl Iterator<Item = Vec<f64>>) -> f64 {
    hypervolume(&Points::try_from_rows(2, rows).unwrap(), &[REFERENCE; 2]).unwrap()
}

/// The hypervolume that is missing to the true front, on which all genes are equal, in thousandths, by
/// seed; `last` is the highest value of a gene.
fn gaps(space: &Arc<Grid>, last: u32, name: &str, text: &str) -> Vec<f64> {
    let front = (0..VALUES).map(|value| distances(&[f64::from(value) / f64::from(VALUES - 1)]));
    let best = volume(front);
    let objectives = move |genotype: &Genotype| {
        let place = |gene: &u32| f64::from(*gene) / f64::from(last);
        distances(&genotype.0.iter().map(place).collect::<Vec<f64>>())
    };
    let gap = |seed| {
        let resolve = move |genotype: &Genotype| Resolution::Scored {
            objectives: objectives(genotype),
            violation: 0.0,
        };
        let mut driver = Driver::new(name, text, space.clone(), resolve, seed);
        driver.run(1, EVALUATIONS);
        1_000.0 * (1.0 - volume(driver.genotypes().map(objectives)) / best)
    };
    SEEDS.map(gap).collect()
}

#[test]
fn numbers_are_searched_better_than_at_random() {
    for genes in [1, 3] {
        let spaces = [
            ("whole", Grid::of_numbers(genes, VALUES), VALUES - 1),
            ("real", Grid::of_reals(genes), u32::MAX),
        ];
        for (kind, space, last) in spaces {
            let random = gaps(&space, last, "random", "{}");
            for (name, text) in [("nsga2", "{population: 20}"), ("tpe", "{}")] {
                let learning = gaps(&space, last, name, text);
                let (gap, other, t) = (mean(&learning), mean(&random), welch(&learning, &random));
                let found =
                    format!("{genes} {kind}, {name}: gap {gap:.2}, random {other:.2}, t {t:.2}");
                eprintln!("{found}");
                // The 99 % quantile of Student's distribution with the 9 degrees of freedom there are at least.
                assert!(t > 2.82, "{found}");
            }
        }
    }
}
