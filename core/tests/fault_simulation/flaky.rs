//! What the simulated workers compute.

use std::collections::BTreeMap;

use cambrian_core::engine::{Assignment, Failure, FailureKind, ReportedOutcome};
use cambrian_core::id::Attempt;
use cambrian_core::objective::MetricName;
use cambrian_core::rng::{self, Purpose};
use cambrian_core::simulation::{
    Evaluate, Evaluation, SAVED_AFTER, state_left, state_of, state_saved,
};
use cambrian_core::time::Span;
use rand::RngExt;

use crate::support::measurement;

/// Values that follow from the graph, with failures of every kind a worker can report.
pub(crate) struct Flaky {
    pub(crate) failure_rate: f64,
}

impl Evaluate for Flaky {
    fn evaluate(&self, assignment: &Assignment) -> Evaluation {
        let attempt = u64::from(assignment.attempt.0);
        let before = assignment.stage.resume.as_deref();
        let state = before.map(|before| state_of(assignment.candidate, before));
        let (candidate, stage) = (assignment.candidate, &assignment.stage.name);
        let mut earlier = (1..assignment.attempt.0).map(Attempt);
        let goes_on = assignment.resume.is_some()
            && earlier.any(|it| {
                let saved = (1..SAVED_AFTER).map(|step| state_saved(candidate, stage, it, step));
                let mut states = saved.chain([state_left(candidate, stage, it)]);
                states.any(|state| Some(state) == assignment.resume)
            });
        assert!(
            goes_on || assignment.resume == state,
            "whatever was lost, it goes on where the stage before, or an attempt, has ended"
        );
        let mut rng = rng::stream(assignment.seed, Purpose::Simulation, attempt);
        let duration = Span::from_millis(rng.random_range(100..60_000));
        if rng.random_bool(self.failure_rate) {
            let kind = FailureKind::ALL[rng.random_range(0..FailureKind::ALL.len())];
            let failure = Failure { kind, message: "simulated".into() };
            return Evaluation { outcome: ReportedOutcome::Failed(failure), duration };
        }
        let graph = assignment.graph.as_ref().expect("the space has networks");
        let params = graph.params() as f64;
        // Repeats differ, by their seeds alone.
        let noise = assignment.seed as f64 / u64::MAX as f64;
        let measured = assignment.stage.measures.iter().map(|metric| match metric.as_str() {
            "accuracy" => measurement("accuracy", 100.0 - 1e6 / (params + 1e4) + noise),
            // Estimates of the accuracy that rank candidates nearly as it does.
            "short" => measurement("short", (params / 3e3).floor()),
            "long" => measurement("long", (params / 1e3).floor()),
            _ => measurement("latency", graph.macs() as f64 * 1e-7 + noise),
        });
        Evaluation { outcome: ReportedOutcome::Measured(measured.collect()), duration }
    }

    fn curve(&self, assignment: &Assignment) -> Vec<BTreeMap<MetricName, f64>> {
        let end = (assignment.seed % 1_000) as f64;
        let value = |step| end * f64::from(step) / f64::from(STEPS);
        (1..=STEPS).map(|step| BTreeMap::from([("short".into(), value(step))])).collect()
    }
}

/// What curves rise to by steps, as far from their end as the seed says.
const STEPS: u32 = 6;
