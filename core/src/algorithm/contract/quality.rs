//! Every algorithm that learns must beat random search where there is something to learn: on
//! a problem over NAS-Bench-201 whose error depends on the operations and their neighbours, and
//! whose cost counts them.

use super::*;
use crate::pareto::Points;
use crate::pareto::hypervolume::hypervolume;

const SEEDS: std::ops::Range<u64> = 0..20;
const EVALUATIONS: u32 = 300;
const REFERENCE: [f64; 2] = [60.0, 60.0];

/// Error and cost, small integers: each edge serves the network by its operation and by whether the
/// next edge carries another one.
fn landscape(genotype: &Genotype) -> Resolution {
    const SERVICE: [i32; 5] = [0, 3, 5, 8, 2];
    const COST: [i32; 5] = [0, 1, 3, 9, 2];
    let genes: Vec<usize> = genotype.0.iter().map(|gene| *gene as usize).collect();
    let served: i32 = genes.iter().map(|gene| SERVICE[*gene]).sum();
    let changes = genes.windows(2).filter(|pair| pair[0] != pair[1]).count() as i32;
    let cost: i32 = genes.iter().map(|gene| COST[*gene]).sum();
    let objectives = vec![f64::from(58 - served - 2 * changes), f64::from(cost)];
    Resolution::Scored { objectives, violation: 0.0 }
}

fn points<'a>(genotypes: impl IntoIterator<Item = &'a Genotype>) -> Points {
    let objectives = |genotype| match landscape(genotype) {
        Resolution::Scored { objectives, .. } => objectives,
        other => unreachable!("this problem scores everything: {other:?}"),
    };
    Points::try_from_rows(2, genotypes.into_iter().map(objectives)).unwrap()
}

/// The hypervolume that is missing to the true front, as a fraction of it, by seed.
fn gaps(name: &str, text: &str) -> Vec<f64> {
    let space = nasbench201();
    let all: Vec<Genotype> =
        (0u32..).map_while(|rank| space.schema().unrank(&rank.into())).collect();
    let best = hypervolume(&points(&all), &REFERENCE).unwrap();
    let gap = |seed| {
        let mut driver = Driver::new(name, text, space.clone(), landscape, seed);
        driver.run(1, EVALUATIONS);
        1.0 - hypervolume(&points(driver.genotypes()), &REFERENCE).unwrap() / best
    };
    SEEDS.map(gap).collect()
}

pub(super) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Welch's t statistic for "`a` has a smaller mean than `b`".
pub(super) fn welch(a: &[f64], b: &[f64]) -> f64 {
    let error = |values: &[f64]| {
        let squares = values.iter().map(|value| (value - mean(values)).powi(2)).sum::<f64>();
        squares / (values.len() - 1) as f64 / values.len() as f64
    };
    (mean(b) - mean(a)) / (error(a) + error(b)).sqrt()
}

#[test]
fn algorithms_that_learn_beat_random_search() {
    let random = gaps("random", "{}");
    for (name, text) in [
        ("nsga2", "{population: 20}"),
        ("nsga2", "{population: 20, mode: generational}"),
        ("regularized_evolution", "{population: 50, sample: 10}"),
    ] {
        let learning = gaps(name, text);
        let (gap, other, t) = (mean(&learning), mean(&random), welch(&learning, &random));
        eprintln!("{name} {text}: gap {gap:.4}, random {other:.4}, t {t:.2}");
        // The 99 % quantile of Student's distribution with the 19 degrees of freedom there are at least.
        assert!(t > 2.54, "{name} {text}: gap {gap:.4}, random {other:.4}, t {t:.2}");
    }
}

#[test]
fn a_weighted_score_is_what_regularized_evolution_maximises() {
    let mean_best = |name, text, weights: [f64; 2]| {
        let best = |seed| {
            let mut driver = Driver::new(name, text, nasbench201(), landscape, seed);
            driver.run(1, EVALUATIONS);
            let points = points(driver.genotypes());
            let scores = points.rows().map(|row| -weights[0] * row[0] + weights[1] * row[1]);
            scores.fold(f64::NEG_INFINITY, f64::max)
        };
        mean(&SEEDS.map(best).collect::<Vec<_>>())
    };
    // `accuracy` arrives negated, so its weight is positive; `cost` is to be small.
    let text = "{population: 30, sample: 10, weights: {accuracy: 1, cost: -0.5}}";
    let guided = mean_best("regularized_evolution", text, [1.0, -0.5]);
    let random = mean_best("random", "{}", [1.0, -0.5]);
    assert!(guided > random + 1.0, "guided {guided}, random {random}");
}
