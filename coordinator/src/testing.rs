//! What several tests need: a small campaign, and journals of simulated clusters with faults.

use std::sync::Arc;

use cambrian_core::energy::Energy;
use cambrian_core::engine::{
    Assignment, Capabilities, Engine, EvaluatorOffer, Event, Failure, FailureKind, ReportedOutcome,
};
use cambrian_core::objective::{Measurement, MetricName, Provenance};
use cambrian_core::simulation::{Evaluate, Evaluation, FaultRates, Simulation, SimulationSettings};
use cambrian_core::spec::CampaignSpec;
use cambrian_core::time::{Span, Timestamp};

/// A valid campaign of two objectives and a constraint that rejects some candidates.
pub(crate) const CAMPAIGN: &str = "\
version: 1
name: small
seed: 5
space: {kind: nasbench201, channels: 4, cells: 1, input: [1, 8, 8], classes: 10}
objectives: [accuracy, params]
constraints:
  - {metric: params, at_most: 12000}
algorithm: {kind: nsga2, population: 8}
stages:
  - {name: try, evaluator: synthetic, measures: [accuracy], timeout: 1m}
budget: {evaluations: 40}
";

/// [`CAMPAIGN`] with every candidate measured three times, and once more by a stage behind it.
pub(crate) fn repeated() -> String {
    let stages = "  - {name: try, evaluator: synthetic, measures: [accuracy], timeout: 1m, repeats: 3, \
                  settings: {noise: 0.1}, pass: {top: 1/2, by: [accuracy]}}\n  \
                  - {name: more, evaluator: synthetic, measures: [energy], timeout: 1m}\n";
    let once = "  - {name: try, evaluator: synthetic, measures: [accuracy], timeout: 1m}\n";
    CAMPAIGN.replace(once, stages)
}

fn trained() -> Provenance {
    Provenance { source: "synthetic".into(), device_class: "test".into() }
}

/// What a worker that serves [`CAMPAIGN`] can do.
pub(crate) fn capabilities(slots: u32) -> Arc<Capabilities> {
    let offer = EvaluatorOffer {
        name: "synthetic".into(),
        version: "1".into(),
        metrics: [("accuracy".into(), trained()), ("energy".into(), trained())].into(),
        yields: false,
    };
    Arc::new(Capabilities {
        device_class: "test".into(),
        slots,
        evaluators: vec![offer],
        ..Capabilities::default()
    })
}

/// The result of a candidate, a function of its network; `seed` decides which ones fail.
pub(crate) fn outcome(assignment: &Assignment) -> ReportedOutcome {
    if assignment.seed.is_multiple_of(9) {
        let message = "made up".into();
        return ReportedOutcome::Failed(Failure { kind: FailureKind::Crash, message });
    }
    let accuracy =
        50.0 + (assignment.graph.as_ref().map_or(0, |graph| graph.macs()) % 997) as f64 / 20.0;
    // Repeats differ, by their seeds alone.
    let noise = if assignment.stage.repeats > 1 { (assignment.seed % 7) as f64 } else { 0.0 };
    let measured = |metric: &MetricName| {
        Measurement::new(metric.clone(), accuracy + noise, Some(0.5), trained()).unwrap()
    };
    ReportedOutcome::Measured(assignment.stage.measures.iter().map(measured).collect())
}

struct MadeUp;

impl Evaluate for MadeUp {
    fn evaluate(&self, assignment: &Assignment) -> Evaluation {
        let duration = Span::from_millis(200 + assignment.seed % 4000);
        Evaluation { outcome: outcome(assignment), duration }
    }
}

/// The journal of a campaign on a cluster where much goes wrong, and the engine at its end.
pub(crate) fn simulated_journal(seed: u64) -> (Vec<(Timestamp, Event)>, Engine) {
    journal_of(CAMPAIGN, seed)
}

/// The journal of this campaign on such a cluster.
pub(crate) fn journal_of(campaign: &str, seed: u64) -> (Vec<(Timestamp, Event)>, Engine) {
    simulated(seed, &[campaign.to_owned()])
}

/// The same with a second campaign after it, which begins in the same way and takes what is known.
pub(crate) fn journal_with_known_results(seed: u64) -> (Vec<(Timestamp, Event)>, Engine) {
    let second = format!("{CAMPAIGN}share: {{priority: -1}}\ncache: on\n");
    simulated(seed, &[CAMPAIGN.to_owned(), second.replace("name: small", "name: second")])
}

fn simulated(seed: u64, campaigns: &[String]) -> (Vec<(Timestamp, Event)>, Engine) {
    let settings = SimulationSettings {
        seed,
        workers: 3,
        slots: 2,
        prefetch: 1,
        lease_length: Span::from_secs(20),
        faults: FaultRates { delay: Span::from_millis(400), ..FaultRates::HARSH },
        ..SimulationSettings::default()
    };
    let specs: Vec<_> =
        campaigns.iter().map(|text| Arc::new(CampaignSpec::parse(text).unwrap())).collect();
    let outcome = Simulation::new(settings, capabilities(2), &MadeUp).run(&specs).unwrap();
    (outcome.journal, outcome.engine)
}

/// [`simulated_journal`] of workers whose attempts take as long and as much as a record can say, on
/// devices whose class has a zero character: sums and texts that no column holds as they are.
pub(crate) fn journal_beyond_columns(seed: u64) -> Vec<(Timestamp, Event)> {
    let (mut journal, _) = simulated_journal(seed);
    let class = || Provenance { device_class: "te\0st".into(), ..trained() };
    for (_, event) in &mut journal {
        match event {
            Event::AttemptFailed { elapsed, .. } | Event::AttemptYielded { elapsed, .. } => {
                *elapsed = Span(i64::MAX as u64);
            }
            Event::TaskCompleted { elapsed, measurements, .. } => {
                *elapsed = Span(i64::MAX as u64);
                for found in measurements {
                    found.provenance = class();
                }
            }
            Event::EnergyUsed { energy, .. } => *energy = Energy(u64::MAX),
            Event::WorkerRegistered { capabilities, .. } => {
                let known = Arc::make_mut(capabilities);
                known.device_class = "te\0st".into();
                let offers =
                    known.evaluators.iter_mut().flat_map(|offer| offer.metrics.values_mut());
                offers.for_each(|offered| *offered = class());
            }
            _ => {}
        }
    }
    journal
}
