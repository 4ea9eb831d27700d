//! Stages that measure a candidate several times: the seed of each repeat, and the means of all.
//!
//! Repeats are tasks one after the other (ADR 0028). What each has measured is kept until the last one is
//! in; only then does the candidate have values. Must not know workers.

use super::campaign::Campaign;
use super::failure::{Failure, FailureKind};
use crate::id::Ordinal;
use crate::objective::{Measurement, MetricName};
use crate::rng::{self, Purpose};
use crate::spec::Stage;

impl Campaign {
    /// How often `stage` measures each candidate.
    #[must_use]
    pub fn repeats_of(&self, stage: u8) -> u32 {
        self.stages.get(usize::from(stage)).map_or(1, |stage| stage.repeats)
    }

    /// How often `metric` is measured for each candidate.
    #[must_use]
    pub fn repeats_of_metric(&self, metric: &MetricName) -> u32 {
        let stage = self.stages.iter().find(|stage| stage.measures.contains(metric));
        stage.map_or(1, |stage| stage.repeats)
    }

    /// What the repeats of the stage that a candidate is in have measured so far, in order.
    pub(super) fn samples_of(&self, ordinal: Ordinal) -> &[Box<[Measurement]>] {
        self.samples.get(&ordinal).map_or(&[], Vec::as_slice)
    }

    /// The seed of a repeat, from 0, of a candidate's evaluation at a stage. The first is the
    /// candidate's own at every stage.
    pub(super) fn evaluation_seed(&self, ordinal: Ordinal, stage: u8, repeat: u32) -> u64 {
        let own = rng::derived_seed(self.spec.seed, Purpose::Evaluation, u64::from(ordinal.0));
        match repeat {
            0 => own,
            _ => {
                rng::derived_seed(own, Purpose::Repeat, u64::from(stage) << 32 | u64::from(repeat))
            }
        }
    }

    /// The values of a candidate whose repeats at `stage` are all in.
    pub(super) fn averaged(
        &self,
        ordinal: Ordinal,
        stage: u8,
    ) -> Result<Vec<Measurement>, Failure> {
        let Some(stage) = self.stages.get(usize::from(stage)) else { return Ok(Vec::new()) };
        averages(stage, self.samples_of(ordinal))
    }
}

/// The mean of each metric, with the standard error of the mean as its spread.
fn averages(stage: &Stage, samples: &[Box<[Measurement]>]) -> Result<Vec<Measurement>, Failure> {
    let mean = |metric: &MetricName| {
        let of_metric = samples.iter().flatten().filter(|found| found.metric == *metric);
        let values: Vec<f64> = of_metric.clone().map(Measurement::value).collect();
        let provenance = of_metric.clone().next()?.provenance.clone();
        let (mean, error) = mean_and_error(&values);
        let measurement = Measurement::new(metric.clone(), mean, Some(error), provenance);
        Some(measurement.map_err(|error| Failure {
            kind: FailureKind::NonFinite,
            message: format!("the mean of {} repeats: {error}", values.len()).into(),
        }))
    };
    stage.measures.iter().filter_map(mean).collect()
}

/// The mean of at least one value and its standard error: the sample standard deviation by the root of
/// their number; 0 for a single value. Equal values have exactly their value as the mean.
fn mean_and_error(values: &[f64]) -> (f64, f64) {
    let (first, count) = (values.first().copied().unwrap_or_default(), values.len() as f64);
    let mean = first + values.iter().map(|value| value - first).sum::<f64>() / count.max(1.0);
    let largest = values.iter().map(|value| (value - mean).abs()).fold(0.0, f64::max);
    if largest == 0.0 || values.len() < 2 {
        return (mean, 0.0);
    }
    // Squares of what is relative to the largest neither overflow nor vanish.
    let squares: f64 = values.iter().map(|value| ((value - mean) / largest).powi(2)).sum();
    (mean, largest * (squares / (count - 1.0) / count).sqrt())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::objective::Provenance;
    use crate::spec::CampaignSpec;

    #[test]
    fn the_spread_is_the_standard_error_of_the_mean() {
        // Sample standard deviation 2, by the root of 4.
        let (mean, error) = mean_and_error(&[3.0, 7.0, 5.0 - 2.0_f64.sqrt(), 5.0 + 2.0_f64.sqrt()]);
        assert!((mean - 5.0).abs() < 1e-12 && (error - 1.0).abs() < 1e-12, "{mean} {error}");
        assert_eq!(mean_and_error(&[0.1, 0.1, 0.1]), (0.1, 0.0));
        assert_eq!(mean_and_error(&[7.5]), (7.5, 0.0));
        let (_, tiny) = mean_and_error(&[1e-300, 3e-300]);
        let (_, huge) = mean_and_error(&[1e300, 3e300]);
        assert!((tiny / 1e-300 - 1.0).abs() < 1e-12 && (huge / 1e300 - 1.0).abs() < 1e-12);
    }

    proptest! {
        #[test]
        fn means_lie_between_their_values_in_any_order(
            mut values in proptest::collection::vec(-1e9..1e9_f64, 1..20)
        ) {
            let (mean, error) = mean_and_error(&values);
            let naive = values.iter().sum::<f64>() / values.len() as f64;
            prop_assert!((mean - naive).abs() <= 1e-6);
            let squares: f64 = values.iter().map(|value| (value - naive).powi(2)).sum();
            let count = values.len() as f64;
            let expected = if count > 1.0 { (squares / (count - 1.0) / count).sqrt() } else { 0.0 };
            prop_assert!((error - expected).abs() <= 1e-6 * (1.0 + expected));
            values.reverse();
            prop_assert!((mean_and_error(&values).0 - mean).abs() <= 1e-6);
        }
    }

    fn stage() -> Stage {
        let spec = CampaignSpec::parse(
            "{version: 1, name: own, space: nasbench201, objectives: [accuracy],
              stages: [{evaluator: custom/mine, measures: [latency, accuracy], repeats: 2}],
              budget: {evaluations: 10}}",
        );
        spec.unwrap_or_else(|faults| panic!("{faults}")).stages.remove(0)
    }

    fn sample(accuracy: f64) -> Box<[Measurement]> {
        let provenance = Provenance { source: "trained".into(), device_class: "a".into() };
        let value = |metric: &str, value| {
            Measurement::new(metric.into(), value, Some(9.0), provenance.clone()).unwrap()
        };
        [value("latency", 2.0), value("accuracy", accuracy)].into()
    }

    #[test]
    fn every_metric_has_its_mean_and_keeps_its_provenance() {
        let found = averages(&stage(), &[sample(90.0), sample(92.0)]).unwrap();
        let read = |at: usize| {
            let one: &Measurement = &found[at];
            (one.metric.as_str(), one.value(), one.spread())
        };
        assert_eq!(read(0), ("latency", 2.0, Some(0.0)));
        assert_eq!(read(1), ("accuracy", 91.0, Some(1.0)));
        assert_eq!(&*found[1].provenance.device_class, "a");
    }

    #[test]
    fn a_mean_beyond_the_largest_number_is_a_failure() {
        let failure = averages(&stage(), &[sample(-1e308), sample(1e308)]).unwrap_err();
        assert_eq!(failure.kind, FailureKind::NonFinite);
        assert!(failure.message.contains("2 repeats"), "{}", failure.message);
    }
}
