//! The algorithms on real data: CIFAR-10 test error (%) against FLOPs (millions) of all cells of
//! NAS-Bench-201 (Dong and Yang 2020).

use super::*;
use crate::pareto::Points;
use crate::pareto::hypervolume::hypervolume;
use crate::space::published::{number, table as published_table};

/// The hypervolume of the true front at [`REFERENCE`].
const BEST: f64 = 10_585.048;
const REFERENCE: [f64; 2] = [50.0, 250.0];
const EVALUATIONS: u32 = 500;

/// Error and FLOPs by rank; `None`, and a line that says so, without the tables.
fn problem(space: &dyn SearchSpace) -> Option<Vec<[f64; 2]>> {
    let cells = published_table("nb201/archs.csv.gz")?;
    let accuracies = published_table("nb201/supernet_c10.csv.gz")?;
    assert_eq!((cells.len(), accuracies.len()), (15_625, 15_625));
    let mut table = vec![[f64::NAN; 2]; cells.len()];
    for (cell, accuracies) in cells.iter().zip(&accuracies) {
        let (cell, accuracy) = (&cell["arch_str"], number(accuracies, "nb201_v1_0_test"));
        let rank = space.schema().rank(&space.parse(cell).unwrap()).unwrap();
        let count = |operation| cell.matches(operation).count() as f64;
        let flops = 7.783 + 35.389 * count("nor_conv_3x3") + 3.932 * count("nor_conv_1x1");
        table[usize::try_from(rank).unwrap()] = [100.0 - accuracy, flops];
    }
    Some(table)
}

fn gap(points: impl Iterator<Item = [f64; 2]>) -> f64 {
    let points = Points::try_from_rows(2, points).unwrap();
    1.0 - hypervolume(&points, &REFERENCE).unwrap() / BEST
}

/// An algorithm with the gap that it leaves after 200 and after 500 evaluations.
struct Published {
    name: &'static str,
    settings: &'static str,
    workers: usize,
    gaps: [f64; 2],
}

const fn published(
    name: &'static str,
    settings: &'static str,
    workers: usize,
    gaps: [f64; 2],
) -> Published {
    Published { name, settings, workers, gaps }
}

const RANDOM: Published = published("random", "{}", 1, [0.0121, 0.0076]);
#[rustfmt::skip]
const SEARCHES: [Published; 5] = [
    published("nsga2", "{population: 50, mode: generational}", 1, [0.0090, 0.0031]),
    published("nsga2", "{population: 20, mode: generational}", 1, [0.0066, 0.0024]),
    published("nsga2", "{population: 20}", 1, [0.0059, 0.0021]),
    published("nsga2", "{population: 20}", 8, [0.0070, 0.0032]),
    published("regularized_evolution", "{population: 50, sample: 10}", 1, [0.0067, 0.0028]),
];
/// The best test accuracy (%) that regularized evolution of one objective has found after 200 and
/// after 500 evaluations, population 50, sample 10.
const BEST_ACCURACIES: [f64; 2] = [94.34, 94.36];
const CHECKPOINTS: [usize; 2] = [200, 500];
const SEEDS: u64 = 20;

/// What a search has found: objectives by proposal, of each seed.
fn runs(
    space: &Arc<dyn SearchSpace>,
    search: &Published,
    row: &(impl Fn(&Genotype) -> [f64; 2] + Clone + 'static),
) -> Vec<Vec<[f64; 2]>> {
    let run = |seed| {
        let known = row.clone();
        let resolve = move |genotype: &Genotype| Resolution::Scored {
            objectives: known(genotype).to_vec(),
            violation: 0.0,
        };
        let mut driver = Driver::new(search.name, search.settings, space.clone(), resolve, seed);
        // An evaluation takes as long as its network is large.
        let done = driver.run_timed(search.workers, EVALUATIONS, |genotype| row(genotype)[1]);
        assert_eq!(done, EVALUATIONS);
        driver.genotypes().map(row).collect()
    };
    (1..=SEEDS).map(run).collect()
}

/// Mean and standard error.
fn estimate(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, (squares / (count - 1.0) / count).sqrt())
}

/// Error with FLOPs of each genotype of the space; `None`, and a line that says so, without the tables.
fn table(space: &Arc<dyn SearchSpace>) -> Option<impl Fn(&Genotype) -> [f64; 2] + Clone + use<>> {
    let table: Arc<[[f64; 2]]> = problem(&**space)?.into();
    assert!(gap(table.iter().copied()).abs() < 1e-6, "the true front has another hypervolume");
    let of = space.clone();
    Some(move |genotype: &Genotype| {
        table[usize::try_from(of.schema().rank(genotype).unwrap()).unwrap()]
    })
}

/// The mean gap after each checkpoint with its standard error.
fn gaps(runs: &[Vec<[f64; 2]>]) -> [(f64, f64); 2] {
    CHECKPOINTS.map(|checkpoint| {
        let found = runs.iter().map(|run| gap(run[..checkpoint].iter().copied()));
        estimate(&found.collect::<Vec<_>>())
    })
}

#[test]
fn searches_close_the_gap_of_nasbench201_as_published() {
    let space = nasbench201();
    let Some(row) = table(&space) else { return };
    let random = gaps(&runs(&space, &RANDOM, &row));
    for (at, (mean, error)) in random.iter().enumerate() {
        let away = (mean - RANDOM.gaps[at]).abs();
        assert!(away <= 3.0 * error, "random search: {random:?}, published {:?}", RANDOM.gaps);
    }
    for search in &SEARCHES {
        let Published { name, settings, workers, gaps: published } = search;
        let found = gaps(&runs(&space, search, &row));
        let told = format!("{name} {settings}, {workers} workers: {found:.5?}, {published:?}");
        eprintln!("{told}");
        for (at, (mean, error)) in found.iter().enumerate() {
            assert!(*mean <= published[at] + 2.0 * error, "{told}");
            assert!(*mean < random[at].0, "{told}");
        }
    }
}

#[test]
fn regularized_evolution_finds_the_published_accuracies_of_nasbench201() {
    let space = nasbench201();
    let Some(row) = table(&space) else { return };
    let settings = "{population: 50, sample: 10}";
    let search = published("regularized_evolution", settings, 1, [f64::NAN; 2]);
    // One objective: the other says nothing.
    let found = runs(&space, &search, &move |genotype: &Genotype| [row(genotype)[0], 1.0]);
    for (checkpoint, published) in CHECKPOINTS.into_iter().zip(BEST_ACCURACIES) {
        let best = |run: &Vec<[f64; 2]>| {
            let errors = run[..checkpoint].iter().map(|values| values[0]);
            100.0 - errors.fold(f64::INFINITY, f64::min)
        };
        let (mean, error) = estimate(&found.iter().map(best).collect::<Vec<_>>());
        eprintln!("after {checkpoint}: {mean:.3} ± {error:.3}, published {published}");
        assert!(mean >= published - 2.0 * error, "after {checkpoint}: {mean} ± {error}");
    }
}
