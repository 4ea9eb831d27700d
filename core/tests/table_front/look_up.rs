//! Simulated clusters that look results up: whose row counts, what is missing, which tables are
//! refused, and workers that are slow or come late.

use std::collections::BTreeMap;
use std::sync::Arc;

use cambrian_core::engine::{Campaign, CandidateStatus, FailureKind};
use cambrian_core::simulation::{
    LookUp, Simulation, SimulationOutcome, SimulationSettings, TableError, TableRow,
};
use cambrian_core::spec::CampaignSpec;
use cambrian_core::time::Span;

use crate::support;

fn spec(evaluations: u32) -> Arc<CampaignSpec> {
    support::campaign(&format!(
        "version: 1\nname: look-up\nspace: {{kind: declared, genes: {{a: {{int: [0, 9]}}, \
         b: {{int: [0, 9]}}}}, notation: digits}}\nmetrics: {{loss: {{}}, cost: {{}}}}\n\
         objectives: [loss, cost]\nalgorithm: random\nstages:\n  - evaluator: tabular\n    \
         measures: [loss, cost]\n    settings: {{table: t.csv, columns: {{loss: x, cost: y}}}}\n\
         budget: {{evaluations: {evaluations}}}\n"
    ))
}

fn row(key: &str, loss: f64, cost: f64) -> TableRow {
    let values = BTreeMap::from([("loss".into(), loss), ("cost".into(), cost)]);
    let repeats = BTreeMap::new();
    TableRow { key: key.to_owned(), values, repeats, duration: Span::from_secs(10) }
}

fn rows(count: usize) -> Vec<TableRow> {
    (0..count).map(|at| row(&format!("{at:02}"), at as f64, 100.0 - at as f64)).collect()
}

fn simulate(
    settings: SimulationSettings,
    evaluations: u32,
    rows: Vec<TableRow>,
) -> SimulationOutcome {
    let spec = spec(evaluations);
    let table = LookUp::new(spec.space.clone(), rows, 0.0).expect("the table fits");
    let capabilities = support::capabilities(&["tabular"], &["loss", "cost"]);
    // The provenance of looked-up values is the table's, on the worker's side too.
    let mut capabilities = Arc::unwrap_or_clone(capabilities);
    for provenance in capabilities.evaluators[0].metrics.values_mut() {
        *provenance = cambrian_core::simulation::table_provenance();
    }
    Simulation::new(settings, Arc::new(capabilities), &table).run(&[spec]).expect("it ends")
}

fn campaign(outcome: &SimulationOutcome) -> &Campaign {
    outcome.engine.state().campaigns().next().expect("one campaign")
}

#[test]
fn values_come_from_the_row_and_a_missing_row_is_a_failure_that_says_so() {
    let outcome = simulate(SimulationSettings::default(), 100, rows(60));
    let campaign = campaign(&outcome);
    assert_eq!((campaign.scored(), campaign.failed()), (60, 40));
    for candidate in campaign.candidates() {
        let key = campaign.spec().space.format(&candidate.proposal().genotype);
        match candidate.status() {
            CandidateStatus::Scored { .. } => {
                let loss: f64 = key.parse().expect("digits are a number");
                assert_eq!(campaign.objectives_of(candidate), Some(vec![loss, 100.0 - loss]));
            }
            CandidateStatus::Failed(failure) => {
                assert_eq!(failure.kind, FailureKind::Invalid);
                let reason = format!("the table has no row for `{key}`");
                assert!(failure.message.contains(&reason), "{failure}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn another_spelling_of_the_same_network_finds_its_row() {
    let text = "version: 1\nname: nb\nspace: {kind: nasbench201, same: function}\n\
                objectives: [accuracy]\nstages: [{evaluator: synthetic, measures: [accuracy]}]\n\
                budget: {evaluations: 1}\n";
    let space = support::campaign(text).space.clone();
    let cell = |ops: [u32; 6]| space.format(&cambrian_core::space::Genotype(Box::new(ops)));
    // A convolution to the output; in the second cell beside one whose result nobody reads.
    let (plain, dead) = (cell([0, 0, 0, 3, 0, 0]), cell([3, 0, 0, 3, 0, 0]));
    let table = LookUp::new(space, vec![row(&plain, 1.0, 2.0)], 0.0).expect("the table fits");
    assert_eq!(table.find(&dead), table.find(&plain));
    assert!(table.find(&dead).is_some() && table.find("|").is_none());
}

#[test]
fn tables_with_strange_or_repeated_keys_are_refused() {
    let space = spec(1).space.clone();
    let refused = |rows| LookUp::new(space.clone(), rows, 0.0).expect_err("the table is wrong");
    let strange = refused(vec![row("00", 0.0, 0.0), row("0x", 0.0, 0.0)]);
    assert!(matches!(strange, TableError::Key { row: 2, .. }), "{strange}");
    let repeated = refused(vec![row("07", 0.0, 0.0), row("11", 0.0, 0.0), row("07", 1.0, 0.0)]);
    assert_eq!(repeated.to_string(), "rows 1 and 3 have the same key `07`");
}

#[test]
fn stragglers_take_longer_and_late_workers_start_later() {
    let seconds = |settings: SimulationSettings| {
        let outcome = simulate(settings, 100, rows(100));
        let mut durations: Vec<u64> = campaign(&outcome)
            .candidates()
            .iter()
            .map(|candidate| candidate.elapsed().0 / 1_000_000)
            .collect();
        durations.sort_unstable();
        durations.dedup();
        (durations, outcome.elapsed.0 / 1_000_000)
    };
    let base = SimulationSettings { workers: 4, ..SimulationSettings::default() };
    let (durations, alone) = seconds(base.clone());
    assert_eq!((durations, alone), (vec![10], 250));
    // One worker of four is five times slower: three do 9 evaluations each in the time of
    // one's 10 and theirs, and the campaign takes longer.
    let slow = SimulationSettings { straggler_share: 0.25, straggler_factor: 5.0, ..base.clone() };
    let (durations, with_straggler) = seconds(slow);
    assert_eq!(durations, [10, 50]);
    assert!((300..=360).contains(&with_straggler), "{with_straggler} s");
    let late = SimulationSettings { joins_over: Span::from_secs(400), ..base };
    let (_, with_late) = seconds(late);
    assert!((385..=420).contains(&with_late), "{with_late} s");
}

#[test]
fn each_repeat_reads_its_own_column() {
    let spec = support::campaign(
        "{version: 1, name: seeds, space: {kind: declared, genes: {a: {int: [0, 9]}}},
          metrics: {loss: {}, cost: {}}, objectives: [loss, cost], algorithm: random,
          stages: [{evaluator: tabular, measures: [loss, cost], repeats: 2, settings: {table: t.csv,
            columns: {loss: [seed_1, seed_2, seed_3], cost: c}}}], budget: {evaluations: 10}}",
    );
    let row = |number: u32| {
        let (key, at) = (format!("a={number}"), f64::from(number));
        let values = BTreeMap::from([("loss".into(), at + 3.0), ("cost".into(), 10.0 - at)]);
        let repeats = BTreeMap::from([("loss".into(), vec![at, at + 4.0, at + 5.0])]);
        TableRow { key, values, repeats, duration: Span::from_secs(10) }
    };
    let table = LookUp::new(spec.space.clone(), (0..10).map(row).collect(), 0.0).expect("it fits");
    let mut capabilities =
        Arc::unwrap_or_clone(support::capabilities(&["tabular"], &["loss", "cost"]));
    for provenance in capabilities.evaluators[0].metrics.values_mut() {
        *provenance = cambrian_core::simulation::table_provenance();
    }
    let settings = SimulationSettings::default();
    let outcome = Simulation::new(settings, Arc::new(capabilities), &table).run(&[spec]);
    let outcome = outcome.expect("it ends");
    let campaign = campaign(&outcome);
    assert_eq!(campaign.scored(), 10);
    for candidate in campaign.candidates() {
        let found = campaign.measurements_of(candidate);
        let [loss, cost] = &found[..] else { panic!("two metrics") };
        assert_eq!((loss.value() - 2.0, loss.spread()), (10.0 - cost.value(), Some(2.0)));
        assert_eq!(cost.spread(), Some(0.0));
    }
}
