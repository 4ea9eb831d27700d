//! Mathematical test problems: the objectives of the variables that a genotype's text says. It must
//! not know messages beyond an assignment and its outcome.

use cambrian_core::rng::{self, Purpose};
use cambrian_core::space::problem;
use cambrian_core::spec::ProblemSettings;
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
    let metrics = problem::OBJECTIVES.iter().map(|name| ((*name).to_owned(), provenance()));
    EvaluatorOffer {
        name: NAME.to_owned(),
        version: VERSION.to_owned(),
        metrics: metrics.collect(),
        yields: false,
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
    let metrics = &stage.measures;
    let values = problem::measure(&assignment.genotype, metrics.iter().map(String::as_str))?;
    let ProblemSettings { noise } = serde_json::from_str(&stage.settings_json)
        .map_err(|error| format!("the settings cannot be read: {error}"))?;
    let mut rng = rng::stream(assignment.seed, Purpose::Noise, 0);
    let values = values.into_iter().map(|value| match noise {
        0.0 => value,
        _ => value + noise * rng::standard_normal(&mut rng),
    });
    let measured = |(metric, value): (&String, f64)| Measurement {
        metric: metric.clone(),
        value,
        spread: None,
        provenance: Some(provenance()),
    };
    Ok(metrics.iter().zip(values).map(measured).collect())
}
