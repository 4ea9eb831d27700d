//! Mathematical test problems: the objectives of the variables that a genotype's text says. It must
//! not know messages beyond an assignment and its outcome.

use cambrian_core::space::problem;
use cambrian_core::spec::PROBLEM_OBJECTIVES;
use cambrian_proto::v1::{
    Assignment, EvaluatorOffer, FailureKind, Measurement, Measurements, Provenance, outcome,
};

use super::failed;

/// The name under which stages ask for this evaluator.
pub(super) const NAME: &str = "problem";
const VERSION: &str = "1";

fn provenance() -> Provenance {
    Provenance { source: "formula".to_owned(), device_class: String::new() }
}

/// What this evaluator delivers.
pub(super) fn offer() -> EvaluatorOffer {
    let metrics = PROBLEM_OBJECTIVES.iter().map(|name| ((*name).to_owned(), provenance()));
    EvaluatorOffer {
        name: NAME.to_owned(),
        version: VERSION.to_owned(),
        metrics: metrics.collect(),
    }
}

/// The objectives that the stage measures.
pub(super) fn evaluate(assignment: &Assignment) -> outcome::Outcome {
    match measurements(assignment) {
        Ok(measurements) => outcome::Outcome::Measured(Measurements { measurements }),
        Err(message) => failed(FailureKind::Invalid, message),
    }
}

fn measurements(assignment: &Assignment) -> Result<Vec<Measurement>, String> {
    let stage = assignment.stage.as_ref().ok_or("the assignment has no stage")?;
    let values = problem::evaluate(&assignment.genotype)?;
    let measured = stage.measures.iter().map(|metric| {
        let at = PROBLEM_OBJECTIVES.iter().position(|name| name == metric);
        let value = *at.and_then(|at| values.get(at)).ok_or_else(|| {
            format!("the problem has {} objectives and no {metric}", values.len())
        })?;
        Ok(Measurement {
            metric: metric.clone(),
            value,
            spread: None,
            provenance: Some(provenance()),
        })
    });
    measured.collect()
}
