//! The algorithms on real data: CIFAR-10 test error (%) against FLOPs (millions) of all cells of
//! NAS-Bench-201 (Dong and Yang 2020).

use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;

use super::*;
use crate::pareto::Points;
use crate::pareto::hypervolume::hypervolume;

/// The hypervolume of the true front at [`REFERENCE`].
const BEST: f64 = 10_585.048;
const REFERENCE: [f64; 2] = [50.0, 250.0];
const EVALUATIONS: u32 = 500;

/// The folder of reference data, if it is there.
fn tables() -> Option<PathBuf> {
    let root = std::env::var_os("CAMBRIAN_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared"), PathBuf::from);
    Some(root.join("data/nb201")).filter(|folder| folder.is_dir())
}

fn column(folder: &Path, file: &str, name: &str) -> Vec<String> {
    let file = std::fs::File::open(folder.join(file)).unwrap();
    let mut reader = csv::Reader::from_reader(GzDecoder::new(file));
    let at = reader.headers().unwrap().iter().position(|header| header == name).unwrap();
    reader.records().map(|record| record.unwrap()[at].to_owned()).collect()
}

/// Error and FLOPs by rank.
fn problem(space: &dyn SearchSpace, folder: &Path) -> Vec<[f64; 2]> {
    let cells = column(folder, "archs.csv.gz", "arch_str");
    let accuracies = column(folder, "supernet_c10.csv.gz", "nb201_v1_0_test");
    assert_eq!((cells.len(), accuracies.len()), (15_625, 15_625));
    let mut table = vec![[f64::NAN; 2]; cells.len()];
    for (cell, accuracy) in cells.iter().zip(accuracies) {
        let rank = space.schema().rank(&space.parse(cell).unwrap()).unwrap();
        let count = |operation| cell.matches(operation).count() as f64;
        let flops = 7.783 + 35.389 * count("nor_conv_3x3") + 3.932 * count("nor_conv_1x1");
        table[usize::try_from(rank).unwrap()] = [100.0 - accuracy.parse::<f64>().unwrap(), flops];
    }
    table
}

fn gap(points: impl Iterator<Item = [f64; 2]>) -> f64 {
    let points = Points::try_from_rows(2, points).unwrap();
    1.0 - hypervolume(&points, &REFERENCE).unwrap() / BEST
}

#[test]
fn nsga2_closes_the_gap_to_the_true_front_of_nasbench201() {
    let Some(folder) = tables() else {
        eprintln!("skipped: no NAS-Bench-201 tables; set CAMBRIAN_SHARED to their folder");
        return;
    };
    let space = nasbench201();
    let table: Arc<[[f64; 2]]> = problem(&*space, &folder).into();
    assert!(gap(table.iter().copied()).abs() < 1e-6, "the true front has another hypervolume");
    let mean_gap = |name: &'static str, text: &'static str, workers: usize| {
        let gap = |seed| {
            let (values, of) = (table.clone(), space.clone());
            let row = move |genotype: &Genotype| {
                values[usize::try_from(of.schema().rank(genotype).unwrap()).unwrap()]
            };
            let known = row.clone();
            let resolve = move |genotype: &Genotype| Resolution::Scored {
                objectives: known(genotype).to_vec(),
                violation: 0.0,
            };
            let mut driver = Driver::new(name, text, space.clone(), resolve, seed);
            assert_eq!(driver.run(workers, EVALUATIONS), EVALUATIONS);
            gap(driver.genotypes().map(row))
        };
        let mean = (1..=10).map(gap).sum::<f64>() / 10.0;
        eprintln!("{name} {text}, {workers} workers: gap {mean:.5}");
        mean
    };
    let nsga2 = mean_gap("nsga2", "{population: 20}", 1);
    assert!(nsga2 <= 0.0045, "asynchronous NSGA-II: {nsga2}");
    let crowd = mean_gap("nsga2", "{population: 20}", 8);
    assert!(crowd <= 0.0045, "asynchronous NSGA-II with 8 workers: {crowd}");
    let generational = mean_gap("nsga2", "{population: 20, mode: generational}", 1);
    assert!(generational <= 0.0045, "generational NSGA-II: {generational}");
    let evolution = mean_gap("regularized_evolution", "{population: 50, sample: 10}", 1);
    assert!(evolution <= 0.0045, "regularised evolution: {evolution}");
    let random = mean_gap("random", "{}", 1);
    assert!((0.0055..0.0095).contains(&random), "random search: {random}");
}
