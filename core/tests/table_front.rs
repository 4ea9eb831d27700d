//! The front improves: asynchronous NSGA-II against random search on the bi-objective NAS-Bench-201
//! problem (error and multiply-adds), through the real engine with a tabular evaluator.
//!
//! Published costs: params(M) = 0.073306 + 0.24304 n3 + 0.028 n1 and
//! FLOPs(M) = 7.783 + 35.389 n3 + 3.932 n1 for n3 3x3 and n1 1x1 convolutions among the six edges.
//! Needs the benchmark tables under `$CAMBRIAN_SHARED` or `../shared`; skips visibly without.

#[path = "table_front/look_up.rs"]
mod look_up;
#[path = "../src/space/published.rs"]
mod published;
mod support;

use std::collections::HashMap;

use cambrian_core::engine::{Assignment, ReportedOutcome};
use cambrian_core::pareto::hypervolume::hypervolume;
use cambrian_core::pareto::points::Points;
use cambrian_core::simulation::{Evaluate, Evaluation, Simulation, SimulationSettings};
use cambrian_core::time::Span;

/// The hypervolume of the true front against the reference point (50, 250).
const TRUE_HYPERVOLUME: f64 = 10_585.048;
const REFERENCE: [f64; 2] = [50.0, 250.0];

/// Accuracy by architecture string; durations proportional to FLOPs.
struct Table(HashMap<String, f64>);

impl Table {
    fn published() -> Option<Self> {
        let names: HashMap<String, String> = published::table("nb201/archs.csv.gz")?
            .into_iter()
            .map(|row| (row["idx"].clone(), row["arch_str"].clone()))
            .collect();
        let accuracies = published::table("nb201/supernet_c10.csv.gz")?;
        let accuracy = |row: &published::Row| {
            (names[&row["idx"]].clone(), published::number(row, "nb201_v1_0_test"))
        };
        Some(Self(accuracies.iter().map(accuracy).collect()))
    }
}

fn mega_flops(architecture: &str) -> f64 {
    let n3 = architecture.matches("nor_conv_3x3").count() as f64;
    let n1 = architecture.matches("nor_conv_1x1").count() as f64;
    7.783 + 35.389 * n3 + 3.932 * n1
}

impl Evaluate for Table {
    fn evaluate(&self, assignment: &Assignment) -> Evaluation {
        let accuracy = self.0[&*assignment.genotype];
        let flops = mega_flops(&assignment.genotype);
        let measured = vec![
            support::measurement("accuracy", accuracy),
            support::measurement("latency", flops),
        ];
        let duration = Span::from_millis((flops * 100.0) as u64);
        Evaluation { outcome: ReportedOutcome::Measured(measured), duration }
    }
}

/// The gap 1 - HV/HV* after `queries` evaluations. FLOPs travel under the name of a metric that
/// workers measure, so that they reach the algorithm with the published rounding.
fn gap(table: &Table, algorithm: &str, seed: u64, queries: u32, workers: u32) -> f64 {
    let spec = support::campaign(&format!(
        "version: 1\nname: a2\nseed: {seed}\nspace: nasbench201\n\
         objectives: [accuracy, latency]\nalgorithm: {algorithm}\n\
         stages:\n  - {{name: look-up, evaluator: synthetic, measures: [accuracy, latency], timeout: 1h}}\n\
         budget: {{evaluations: {queries}}}\n"
    ));
    let settings = SimulationSettings { seed, workers, ..SimulationSettings::default() };
    let capabilities = support::capabilities(&["synthetic"], &["accuracy", "latency"]);
    let outcome = Simulation::new(settings, capabilities, table)
        .run(&[spec])
        .unwrap_or_else(|breach| panic!("seed {seed}: {breach}"));
    let campaign = outcome.engine.state().campaigns().next().expect("one campaign");
    let rows = campaign.front().iter().map(|(_, point)| [100.0 + point[0], point[1]]);
    let points = Points::try_from_rows(2, rows).expect("finite points");
    1.0 - hypervolume(&points, &REFERENCE).expect("finite reference") / TRUE_HYPERVOLUME
}

fn mean_and_variance(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    (mean, values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0))
}

/// One-sided Welch statistic for "the mean of `a` is below that of `b`", with its degrees of
/// freedom.
fn welch(a: &[f64], b: &[f64]) -> (f64, f64) {
    let ((ma, va), (mb, vb)) = (mean_and_variance(a), mean_and_variance(b));
    let (ea, eb) = (va / a.len() as f64, vb / b.len() as f64);
    let statistic = (mb - ma) / (ea + eb).sqrt();
    let freedom = (ea + eb).powi(2)
        / (ea.powi(2) / (a.len() as f64 - 1.0) + eb.powi(2) / (b.len() as f64 - 1.0));
    (statistic, freedom)
}

#[test]
fn asynchronous_nsga2_closes_in_on_the_true_front_and_beats_random() {
    let Some(table) = Table::published() else { return };
    let nsga2 = "{kind: nsga2, mode: asynchronous, population: 20}";
    let run = |algorithm: &str, workers| -> Vec<f64> {
        (1..=5).map(|seed| gap(&table, algorithm, seed, 500, workers)).collect()
    };
    let (evolved, random) = (run(nsga2, 1), run("random", 1));
    let ((mean, _), (random_mean, _)) = (mean_and_variance(&evolved), mean_and_variance(&random));
    let (statistic, freedom) = welch(&evolved, &random);
    eprintln!(
        "gap at 500 queries: nsga2 {mean:.4} {evolved:.4?}, random {random_mean:.4} {random:.4?}"
    );
    eprintln!("Welch t = {statistic:.2} with {freedom:.1} degrees of freedom");
    assert!(mean <= 0.0045, "mean gap {mean}");
    // 2.132 is the one-sided 5 % point at 4 degrees of freedom, the fewest there can be here.
    assert!(statistic > 2.132, "t = {statistic}");

    let eight = run(nsga2, 8);
    let (mean_eight, _) = mean_and_variance(&eight);
    eprintln!("gap at 500 queries with 8 workers: {mean_eight:.4} {eight:.4?}");
    assert!(mean_eight <= 0.0045, "mean gap with 8 workers {mean_eight}");
}
