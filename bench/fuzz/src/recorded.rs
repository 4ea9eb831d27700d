//! Records of a journal as a simulated cluster with faults writes it, one of each kind.
//!
//! Must not know which reader is fed with them.

use std::collections::BTreeSet;
use std::sync::Arc;

use cambrian_coordinator::store::record;
use cambrian_core::engine::{Assignment, Capabilities, EvaluatorOffer, ReportedOutcome};
use cambrian_core::objective::{Measurement, Provenance};
use cambrian_core::simulation::{Evaluate, Evaluation, FaultRates, Simulation, SimulationSettings};
use cambrian_core::spec::CampaignSpec;
use cambrian_core::time::Span;

const CAMPAIGN: &str = "
version: 1
name: recorded
seed: 5
space: {kind: nasbench201, channels: 4, cells: 1, input: [1, 8, 8]}
objectives: [accuracy, params]
constraints: [{metric: params, at_most: 12000}]
algorithm: {kind: nsga2, population: 8}
stages:
  - {name: first, evaluator: synthetic, measures: [accuracy], timeout: 1m, pass: {top: 1/2, by: [accuracy]}}
  - {name: second, evaluator: synthetic, measures: [latency], timeout: 1m}
budget: {evaluations: 40}
";

fn provenance() -> Provenance {
    Provenance { source: "synthetic".into(), device_class: "simulated".into() }
}

struct MadeUp;

impl Evaluate for MadeUp {
    fn evaluate(&self, assignment: &Assignment) -> Evaluation {
        let value = (assignment.seed % 997) as f64;
        let measure =
            |metric: &_| Measurement::new(Clone::clone(metric), value, None, provenance());
        let measured = assignment.stage.measures.iter().filter_map(|metric| measure(metric).ok());
        let outcome = ReportedOutcome::Measured(measured.collect());
        Evaluation { outcome, duration: Span::from_millis(200 + assignment.seed % 4_000) }
    }
}

pub(crate) fn records() -> Vec<Vec<u8>> {
    let metrics = ["accuracy", "latency"].map(|metric| (metric.into(), provenance())).into();
    let offer =
        EvaluatorOffer { name: "synthetic".into(), version: "1".into(), metrics, yields: false };
    let capabilities = Arc::new(Capabilities {
        device_class: "simulated".into(),
        slots: 2,
        evaluators: vec![offer],
        ..Capabilities::default()
    });
    let settings = SimulationSettings {
        seed: 3,
        workers: 3,
        slots: 2,
        prefetch: 1,
        lease_length: Span::from_secs(20),
        faults: FaultRates { delay: Span::from_millis(400), ..FaultRates::HARSH },
        ..SimulationSettings::default()
    };
    let Ok(spec) = CampaignSpec::parse(CAMPAIGN) else { return Vec::new() };
    let simulated = Simulation::new(settings, capabilities, &MadeUp).run(&[Arc::new(spec)]);
    let Ok(outcome) = simulated else { return Vec::new() };
    let mut seen = BTreeSet::new();
    let one_of_each = outcome.journal.iter().filter(|(_, event)| seen.insert(record::kind(event)));
    let encode = |(at, event): &(_, _)| record::encode(1, *at, event).ok().map(|found| found.bytes);
    one_of_each.filter_map(encode).collect()
}
