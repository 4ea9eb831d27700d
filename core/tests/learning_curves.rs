//! Asynchronous successive halving, and evaluations stopped early, on learning curves: the example
//! campaign `rungs.yaml`, and full trainings that are stopped when they are hopeless, against the same
//! search with full trainings only, counted in epochs, through the real engine.
//!
//! Needs SpikeNAS-Bench's curves under `$CAMBRIAN_SHARED` or `../shared`; skips visibly without.
//! That the example runs at all is tested on made-up curves.

#[path = "../src/space/published.rs"]
mod published;
#[expect(dead_code, reason = "results come from a table, none is made up here")]
mod support;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use cambrian_core::engine::{Assignment, Campaign, CandidateStatus, Engine};
use cambrian_core::objective::MetricName;
use cambrian_core::pareto::hypervolume::hypervolume;
use cambrian_core::pareto::points::Points;
use cambrian_core::simulation::{
    Evaluate, Evaluation, LookUp, Simulation, SimulationSettings, TableRow, table_provenance,
};
use cambrian_core::spec::CampaignSpec;
use cambrian_core::time::{Span, Timestamp};
use published::number;

const RUNGS: &str = include_str!("../../configs/campaigns/rungs.yaml");
/// Epochs of each stage; one epoch takes one second of virtual time, and every stage trains anew.
const EPOCHS: [(&str, u32); 4] =
    [("epochs-3", 3), ("epochs-9", 9), ("epochs-27", 27), ("epochs-100", 100)];
const METRICS: [&str; 4] = ["accuracy_3", "accuracy_9", "accuracy_27", "accuracy"];
const SEEDS: u64 = 10;
/// What the search with full trainings may spend: 300 candidates.
const PLAIN: u32 = 300;

/// The same campaign without its rungs.
fn plain() -> String {
    let (head, stages) = RUNGS.split_once("stages:\n").expect("the example has stages");
    let (_, last) = stages.split_once("  - name: epochs-100\n").expect("and a full training");
    let last = last.replace("measures: [accuracy]", "measures: [accuracy, params]");
    let last = last.replace("{accuracy: e99}", "{accuracy: e99, params: params}");
    let last = last.replace("evaluations: 2000", &format!("evaluations: {PLAIN}"));
    format!("{head}stages:\n  - name: epochs-100\n{last}")
}

fn table(spec: &CampaignSpec, rows: Vec<TableRow>) -> LookUp {
    let shares = EPOCHS.map(|(stage, epochs)| (Arc::from(stage), f64::from(epochs) / 100.0));
    let table = LookUp::new(spec.space.clone(), rows, 0.0).expect("the table fits the space");
    table.with_stage_shares(BTreeMap::from(shares))
}

fn row(key: String, values: impl IntoIterator<Item = (&'static str, f64)>) -> TableRow {
    let values = values.into_iter().map(|(name, value)| (MetricName::from(name), value));
    let (values, repeats) = (values.collect(), BTreeMap::new());
    TableRow { key, values, repeats, duration: Span::from_secs(100) }
}

/// The campaign's end; the state is verified after so many commands each, 0 for the end alone.
fn run(text: &str, seed: u64, rows: &[TableRow], check_every: u64) -> Engine {
    let spec = support::campaign(text);
    let spec = Arc::new(spec.with_seed(seed).expect("a seed is no fault"));
    let metrics = [&METRICS[..], &["params"]].concat();
    let mut capabilities = Arc::unwrap_or_clone(support::capabilities(&["tabular"], &metrics));
    for provenance in capabilities.evaluators[0].metrics.values_mut() {
        *provenance = table_provenance();
    }
    let table = table(&spec, rows.to_vec());
    let settings = SimulationSettings { seed, check_every, ..SimulationSettings::default() };
    let outcome = Simulation::new(settings, Arc::new(capabilities), &table).run(&[spec]);
    outcome.unwrap_or_else(|breach| panic!("seed {seed}: {breach}")).engine
}

fn campaign(engine: &Engine) -> &Campaign {
    engine.state().campaigns().next().expect("one campaign")
}

/// Every cell with a curve that rises by its digits and is noisy at first.
fn made_up_rows() -> Vec<TableRow> {
    let digits =
        |number: u32| -> [u32; 6] { [0, 1, 2, 3, 4, 5].map(|at| number / 5u32.pow(at) % 5) };
    let made_up = |number: u32| {
        let digits = digits(number);
        let sum: u32 = digits.iter().sum();
        let weighted: u32 = digits.iter().zip(1..).map(|(digit, at)| digit * at).sum();
        let noise = |scale: f64| scale * f64::from(number * 7919 % 101) / 101.0;
        let accuracy = 50.0 + f64::from(weighted) / 2.0;
        let curve = [12.0, 6.0, 2.0, 0.0].map(|scale| accuracy - noise(scale));
        let values = METRICS.into_iter().zip(curve).chain([("params", f64::from(1 + sum))]);
        sum.is_multiple_of(2).then(|| row(digits.map(|digit| digit.to_string()).concat(), values))
    };
    (0..5u32.pow(6)).filter_map(made_up).collect()
}

#[test]
fn the_example_runs_and_most_candidates_cost_little() {
    let engine =
        run(&RUNGS.replace("evaluations: 2000", "evaluations: 270"), 1, &made_up_rows(), 0);
    let campaign = campaign(&engine);
    assert_eq!(campaign.scored() + campaign.screened(), 270);
    let tallies = campaign.tallies();
    for (tally, (stage, epochs)) in tallies.iter().zip(EPOCHS) {
        let seconds = u64::from(tally.entered * epochs) * 1_000_000;
        assert_eq!(tally.slot_time, Span(seconds), "{stage}");
        assert_eq!(tally.entered, tally.passed + tally.screened, "{stage}");
    }
    // A third of each stage at least goes on; asynchronous promotion adds some, the more so as the
    // search gets better with time.
    for (before, after) in tallies.iter().zip(&tallies[1..]) {
        assert!(after.entered >= before.entered / 3, "{tallies:?}");
        assert!(after.entered <= before.entered * 3 / 4, "{tallies:?}");
    }
    for candidate in campaign.candidates() {
        let full = candidate.stages_entered() == 4;
        let scored = matches!(candidate.status(), CandidateStatus::Scored { .. });
        assert_eq!(full, scored);
    }
}

#[test]
fn a_rung_of_many_results_is_ranked_as_it_grows() {
    let engine = run(RUNGS, 1, &made_up_rows(), 101);
    let campaign = campaign(&engine);
    assert_eq!(campaign.scored() + campaign.screened(), 2_000);
    let entered: Vec<u32> = campaign.tallies().iter().map(|tally| tally.entered).collect();
    assert!(entered.windows(2).all(|pair| pair[1] >= pair[0] / 3), "{entered:?}");
}

/// The accuracies of full trainings after each epoch.
const CURVES: &str = "spike_nb/c10_curve_val_even.csv.gz";

/// The rows of the example's table; `None`, and a line that says so, without the curves.
fn published_rows() -> Option<Vec<TableRow>> {
    let finals = published::table("spike_nb/c10_final_even.csv.gz")?;
    let curves = published::table(CURVES)?;
    assert_eq!(finals.len(), curves.len());
    let joined = finals.iter().zip(&curves).map(|(last, curve)| {
        assert_eq!(last["id"], curve["id"]);
        let accuracies = ["e2", "e8", "e26", "e99"].map(|epoch| number(curve, epoch));
        let values =
            METRICS.into_iter().zip(accuracies).chain([("params", number(last, "params"))]);
        row(last["ops"].clone(), values)
    });
    Some(joined.collect())
}

/// The hypervolume of minimised points within the true front's ideal and nadir points, reference
/// 1.1, as a share of the true front's.
struct Scale {
    ideal: [f64; 2],
    span: [f64; 2],
    whole: f64,
}

impl Scale {
    fn new(rows: &[TableRow]) -> Self {
        let point =
            |row: &TableRow| [-row.values[&"accuracy".into()], row.values[&"params".into()]];
        let mut points: Vec<[f64; 2]> = rows.iter().map(point).collect();
        points.sort_by(|a, b| a[1].total_cmp(&b[1]).then(a[0].total_cmp(&b[0])));
        let mut front: Vec<[f64; 2]> = Vec::new();
        for point in points {
            if front.last().is_none_or(|last| point[0] < last[0]) {
                front.push(point);
            }
        }
        let (first, last) = (front[0], front[front.len() - 1]);
        let ideal = [last[0], first[1]];
        let span = [first[0] - last[0], last[1] - first[1]];
        let mut scale = Self { ideal, span, whole: 1.0 };
        scale.whole = scale.share(front.into_iter());
        scale
    }

    fn share(&self, points: impl Iterator<Item = [f64; 2]>) -> f64 {
        let scaled =
            points.map(|point| [0, 1].map(|at| (point[at] - self.ideal[at]) / self.span[at]));
        let points = Points::try_from_rows(2, scaled).expect("finite points");
        hypervolume(&points, &[1.1, 1.1]).expect("a finite reference") / self.whole
    }

    /// The share that is reached after each of `epochs`.
    fn curve(&self, campaign: &Campaign, epochs: &[u64]) -> Vec<f64> {
        let begin: Timestamp = campaign.submitted_at();
        let scored: Vec<(u64, [f64; 2])> = campaign
            .candidates()
            .iter()
            .filter(|candidate| matches!(candidate.status(), CandidateStatus::Scored { .. }))
            .map(|candidate| {
                let at = candidate.resolved_at().expect("it is scored").since(begin).0 / 1_000_000;
                let found = campaign.objectives_of(candidate).expect("it is scored");
                (at, [found[0], found[1]])
            })
            .collect();
        let by = |epochs: &u64| {
            let found = scored.iter().filter(|(at, _)| at <= epochs);
            self.share(found.map(|(_, point)| *point))
        };
        epochs.iter().map(by).collect()
    }
}

#[test]
fn rungs_reach_the_hypervolume_of_full_trainings_with_two_fifths_of_the_epochs() {
    let Some(rows) = published_rows() else { return };
    let scale = Scale::new(&rows);
    // One worker, one epoch a second: virtual time is the sum of epochs.
    let epochs: Vec<u64> = (1..=u64::from(PLAIN)).map(|step| 100 * step).collect();
    let mean = |text: &str| -> Vec<f64> {
        let runs: Vec<Vec<f64>> = (1..=SEEDS)
            .map(|seed| scale.curve(campaign(&run(text, seed, &rows, 0)), &epochs))
            .collect();
        let at = |at: usize| runs.iter().map(|run| run[at]).sum::<f64>() / runs.len() as f64;
        (0..epochs.len()).map(at).collect()
    };
    let (plain, rungs) = (mean(&plain()), mean(RUNGS));
    for candidates in [100, 200, PLAIN as usize] {
        let wanted = plain[candidates - 1];
        let reached = rungs.iter().position(|share| *share >= wanted).map(|at| epochs[at]);
        let spent = epochs[candidates - 1];
        let reached = reached.unwrap_or_else(|| panic!("{wanted} is never reached"));
        let share = reached as f64 / spent as f64;
        eprintln!(
            "hypervolume {wanted:.4}: {spent} epochs plain, {reached} with rungs, {share:.2}"
        );
        assert!(share <= 0.4, "{share} of the epochs for {wanted}");
    }
}

/// A table whose trainings report their accuracy after every epoch.
struct Streamed {
    table: LookUp,
    curves: HashMap<String, Vec<f64>>,
}

impl Evaluate for Streamed {
    fn evaluate(&self, assignment: &Assignment) -> Evaluation {
        self.table.evaluate(assignment)
    }

    fn curve(&self, assignment: &Assignment) -> Vec<BTreeMap<MetricName, f64>> {
        let metric = MetricName::from("accuracy");
        let curve = self
            .curves
            .get(&*assignment.genotype)
            .filter(|_| assignment.stage.measures.contains(&metric));
        let point = |value: &f64| BTreeMap::from([(metric.clone(), *value)]);
        curve.map(|curve| curve.iter().map(point).collect()).unwrap_or_default()
    }
}

/// Full trainings behind a look at the size, each with this rule.
fn stopped(rule: &str, evaluations: u32) -> String {
    let (head, _) = RUNGS.split_once("stages:\n").expect("the example has stages");
    format!(
        "{head}stages:\n  - {{name: size, evaluator: custom/table, measures: [params]}}\n  \
         - {{name: epochs-100, evaluator: custom/table, measures: [accuracy]{rule}}}\n\
         budget: {{evaluations: {evaluations}}}\n"
    )
}

/// The campaign's end; looking at the size takes no time that counts.
fn run_streamed(text: &str, seed: u64, streamed: &Streamed) -> Engine {
    let spec = support::campaign(text);
    let spec = Arc::new(spec.with_seed(seed).expect("a seed is no fault"));
    let capabilities = support::capabilities(&["custom/table"], &["accuracy", "params"]);
    let mut capabilities = Arc::unwrap_or_clone(capabilities);
    for provenance in capabilities.evaluators[0].metrics.values_mut() {
        *provenance = table_provenance();
    }
    let settings = SimulationSettings { seed, ..SimulationSettings::default() };
    let outcome = Simulation::new(settings, Arc::new(capabilities), streamed).run(&[spec]);
    outcome.unwrap_or_else(|breach| panic!("seed {seed}: {breach}")).engine
}

#[test]
fn hopeless_trainings_are_stopped_and_the_hypervolume_is_reached_with_fewer_epochs() {
    let (Some(rows), Some(whole)) = (published_rows(), published::table(CURVES)) else { return };
    let scale = Scale::new(&rows);
    let epochs_of =
        |row: &published::Row| (0..100).map(|epoch| number(row, &format!("e{epoch}"))).collect();
    let keys = rows.iter().map(|row| row.key.clone());
    let streamed = Streamed {
        curves: keys.zip(whole.iter().map(epochs_of)).collect(),
        table: {
            let spec = support::campaign(RUNGS);
            let table = LookUp::new(spec.space.clone(), rows.clone(), 0.0).expect("it fits");
            table.with_stage_shares(BTreeMap::from([("size".into(), 1e-6)]))
        },
    };
    let epochs: Vec<u64> = (1..=u64::from(PLAIN)).map(|step| 100 * step).collect();
    let mean = |text: &str| -> Vec<f64> {
        let runs = (1..=SEEDS).map(|seed| {
            let engine = run_streamed(text, seed, &streamed);
            let campaign = campaign(&engine);
            assert_eq!(campaign.failed(), 0);
            scale.curve(campaign, &epochs)
        });
        let runs: Vec<Vec<f64>> = runs.collect();
        let at = |at: usize| runs.iter().map(|run| run[at]).sum::<f64>() / runs.len() as f64;
        (0..epochs.len()).map(at).collect()
    };
    let rule = ", stop_early: {metric: accuracy, after: 3, least: 10}";
    let (plain, early) = (mean(&stopped("", PLAIN)), mean(&stopped(rule, 6 * PLAIN)));
    for candidates in [100, 200, PLAIN as usize] {
        let wanted = plain[candidates - 1];
        let reached = early.iter().position(|share| *share >= wanted).map(|at| epochs[at]);
        let spent = epochs[candidates - 1];
        let reached = reached.unwrap_or_else(|| panic!("{wanted} is never reached"));
        let share = reached as f64 / spent as f64;
        eprintln!(
            "hypervolume {wanted:.4}: {spent} epochs plain, {reached} stopped early, {share:.2}"
        );
        assert!(share <= 0.8, "{share} of the epochs for {wanted}");
    }
}
