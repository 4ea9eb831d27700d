//! Mathematical test problems as the workers of a simulated cluster. It must not know files.

use super::table::drawn_between;
use super::worker::{Evaluate, Evaluation};
use crate::engine::{Assignment, Failure, FailureKind, ReportedOutcome};
use crate::objective::{Measurement, MetricName, Provenance};
use crate::rng::{self, Purpose};
use crate::space::problem;
use crate::spec::ProblemSettings;
use crate::time::Span;

/// Where values of a problem come from.
#[must_use]
pub fn problem_provenance() -> Provenance {
    Provenance { source: "formula".into(), device_class: "".into() }
}

/// Evaluates test problems in times drawn at random, evenly in the logarithm.
#[derive(Debug, Clone, Copy)]
pub struct ProblemEvaluations {
    /// The shortest evaluation.
    pub shortest: Span,
    /// The longest evaluation.
    pub longest: Span,
}

fn measurements(assignment: &Assignment) -> Result<Vec<Measurement>, String> {
    let metrics = &assignment.stage.measures;
    let values = problem::measure(&assignment.genotype, metrics.iter().map(MetricName::as_str))?;
    let settings =
        serde_json::from_value::<ProblemSettings>(assignment.stage.settings.as_ref().clone());
    let ProblemSettings { noise } = settings.map_err(|error| error.to_string())?;
    let mut rng = rng::stream(assignment.seed, Purpose::Noise, 0);
    let values = values.into_iter().map(|value| match noise {
        0.0 => value,
        _ => value + noise * rng::standard_normal(&mut rng),
    });
    let measured = metrics.iter().zip(values).map(|(metric, value)| {
        Measurement::new(metric.clone(), value, None, problem_provenance())
            .map_err(|error| error.to_string())
    });
    measured.collect()
}

impl Evaluate for ProblemEvaluations {
    fn evaluate(&self, assignment: &Assignment) -> Evaluation {
        let mut rng = rng::stream(assignment.seed, Purpose::Evaluation, 0);
        let duration = drawn_between(self.shortest, self.longest, &mut rng);
        let outcome = match measurements(assignment) {
            Ok(measurements) => ReportedOutcome::Measured(measurements),
            Err(message) => ReportedOutcome::Failed(Failure {
                kind: FailureKind::Invalid,
                message: message.into(),
            }),
        };
        Evaluation { outcome, duration }
    }
}
