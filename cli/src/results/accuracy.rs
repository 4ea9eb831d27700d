//! The intervals of accuracies, filled in where a candidate's values are read together with their metrics.
//!
//! Must not know how they are shown.

use cambrian_core::confidence::interval_95;
use cambrian_proto::v1;

use super::{Candidate, Metric};

/// The metric whose spread is its standard error over the validation images, if a training has measured it.
pub(crate) const ACCURACY: &str = "accuracy";
/// The source of what a training has measured. What the spread of another source means is unknown.
const TRAINED: &str = "trained";

/// Candidates whose values are those of `metrics`.
pub(crate) fn candidates(metrics: &[Metric], messages: Vec<v1::Candidate>) -> Vec<Candidate> {
    let mut candidates: Vec<Candidate> = messages.into_iter().map(Into::into).collect();
    candidates.iter_mut().for_each(|candidate| complete(metrics, candidate));
    candidates
}

/// Fills in the interval of the candidate's accuracy where it has one: where a training measured it once. The
/// spread of a mean of repeats tells of trainings, and not of the images that all of them share.
pub(crate) fn complete(metrics: &[Metric], candidate: &mut Candidate) {
    let measured_once = |metric: &&Metric| metric.name == ACCURACY && metric.repeats == 1;
    let Some(metric) = metrics.iter().find(measured_once) else { return };
    let Some(found) = candidate.metrics.get_mut(ACCURACY) else { return };
    let highest = if metric.unit == "%" { 100.0 } else { f64::INFINITY };
    let trained = found.source == TRAINED;
    let error = found.spread.filter(|spread| trained && *spread > 0.0);
    found.interval_95 = error.map(|error| interval_95(found.value, error, 0.0, highest));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::examples::{candidate, metrics};

    fn interval(metrics: &[Metric], spread: Option<f64>) -> Option<[f64; 2]> {
        let mut candidate = candidate(1, &[(ACCURACY, 99.0)]);
        candidate.metrics.get_mut(ACCURACY).unwrap().spread = spread;
        complete(metrics, &mut candidate);
        candidate.metrics[ACCURACY].interval_95
    }

    #[test]
    fn an_accuracy_that_was_measured_once_has_an_interval() {
        assert_eq!(interval(&metrics(), Some(1.0)), Some([97.04, 100.0]));
        assert_eq!(interval(&metrics(), None), None);
        assert_eq!(interval(&metrics(), Some(0.0)), None);
        let repeated = [Metric { repeats: 3, ..metrics().remove(0) }];
        assert_eq!(interval(&repeated, Some(1.0)), None);
        assert_eq!(interval(&metrics()[1..], Some(1.0)), None);
    }

    #[test]
    fn what_another_evaluator_calls_accuracy_has_none() {
        let mut candidate = candidate(1, &[(ACCURACY, 90.0)]);
        let found = candidate.metrics.get_mut(ACCURACY).unwrap();
        (found.spread, found.source) = (Some(1.0), "custom".into());
        complete(&metrics(), &mut candidate);
        assert_eq!(candidate.metrics[ACCURACY].interval_95, None);
    }
}
