//! Values and where they come from, how attempts end, and failures.
//!
//! A reported value that is not finite is a failure of its own kind, not a broken message: the
//! worker spoke clearly, and what it said is that there is no value.
//!
//! Must not know which values were asked for.

use std::collections::{BTreeMap, BTreeSet};

use cambrian_core::engine::{Attached, Failure, FailureKind, ReportedOutcome};
use cambrian_core::objective::{Measurement, MetricName, Provenance};
use cambrian_core::time::Span;

use super::artifact::named_or_none;
use super::{ConvertError, MAX_NAME_BYTES, Within, list, name, required, text};
use crate::v1;

/// The largest number of values that one message carries.
pub const MAX_MEASUREMENTS: usize = 1024;
/// The longest note about a result, bytes.
pub const MAX_NOTE_BYTES: usize = 1024;
/// So much of a failure's message is kept, bytes, which is what the journal and all that follows from a
/// failure hold. A report with a longer one counts with its beginning: it would be sent again for ever
/// if it were refused.
pub const KEPT_MESSAGE_BYTES: usize = 16 << 10;
/// How long an attempt can have kept its slot: ten years. Whoever says more counts as having said this:
/// a report that is refused would be sent again for ever.
pub const MOST_ELAPSED: Span = Span::from_secs(10 * 365 * 24 * 3_600);

impl From<&Provenance> for v1::Provenance {
    fn from(provenance: &Provenance) -> Self {
        Self {
            source: provenance.source.to_string(),
            device_class: provenance.device_class.to_string(),
        }
    }
}

impl TryFrom<v1::Provenance> for Provenance {
    type Error = ConvertError;

    fn try_from(message: v1::Provenance) -> Result<Self, ConvertError> {
        name("source", &message.source)?;
        text("device_class", &message.device_class, MAX_NAME_BYTES)?;
        Ok(Self { source: message.source.into(), device_class: message.device_class.into() })
    }
}

impl From<&Measurement> for v1::Measurement {
    fn from(measurement: &Measurement) -> Self {
        Self {
            metric: measurement.metric.to_string(),
            value: measurement.value(),
            spread: measurement.spread(),
            provenance: Some((&measurement.provenance).into()),
        }
    }
}

impl TryFrom<v1::Measurement> for Measurement {
    type Error = ConvertError;

    fn try_from(message: v1::Measurement) -> Result<Self, ConvertError> {
        let metric = MetricName::from(name("metric", &message.metric)?);
        let provenance = required("provenance", message.provenance)?;
        let provenance = Provenance::try_from(provenance).within("provenance")?;
        Measurement::new(metric, message.value, message.spread, provenance).map_err(|error| {
            let field = if message.value.is_finite() { "spread" } else { "value" };
            ConvertError::new(field, error.to_string())
        })
    }
}

/// The messages of `measurements`, in order.
#[must_use]
pub fn measurement_messages(measurements: &[Measurement]) -> Vec<v1::Measurement> {
    measurements.iter().map(Into::into).collect()
}

/// The measurements of `messages`, each metric at most once.
///
/// # Errors
/// [`ConvertError`] within `field`.
pub fn measurements(
    field: &str,
    messages: Vec<v1::Measurement>,
) -> Result<Vec<Measurement>, ConvertError> {
    list(field, messages.len(), MAX_MEASUREMENTS)?;
    let mut seen = BTreeSet::new();
    let read = |(index, message)| {
        let measurement = Measurement::try_from(message).within_entry(field, index)?;
        if !seen.insert(measurement.metric.clone()) {
            let reason = format!("`{}` appears twice", measurement.metric);
            return Err(ConvertError::new("metric", reason)).within_entry(field, index);
        }
        Ok(measurement)
    };
    messages.into_iter().enumerate().map(read).collect()
}

/// Values by metric, as progress messages carry them. Values that are not finite are left out:
/// progress is only shown.
///
/// # Errors
/// [`ConvertError`] within `metrics`.
pub fn progress_metrics(
    metrics: BTreeMap<String, f64>,
) -> Result<BTreeMap<MetricName, f64>, ConvertError> {
    list("metrics", metrics.len(), MAX_MEASUREMENTS)?;
    let finite = metrics.into_iter().filter(|(_, value)| value.is_finite());
    finite.map(|(key, value)| Ok((name("key", &key).within("metrics")?.into(), value))).collect()
}

impl From<FailureKind> for v1::FailureKind {
    fn from(kind: FailureKind) -> Self {
        match kind {
            FailureKind::OutOfMemory => Self::OutOfMemory,
            FailureKind::NonFinite => Self::NonFinite,
            FailureKind::Timeout => Self::Timeout,
            FailureKind::Crash => Self::Crash,
            FailureKind::Preempted => Self::Preempted,
            FailureKind::BadNode => Self::BadNode,
            FailureKind::Invalid => Self::Invalid,
            FailureKind::Incomparable => Self::Incomparable,
            FailureKind::LeaseExpired => Self::LeaseExpired,
        }
    }
}

fn failure_kind(code: i32) -> Result<FailureKind, ConvertError> {
    use v1::FailureKind as Message;
    let kind = match Message::try_from(code) {
        Ok(Message::OutOfMemory) => FailureKind::OutOfMemory,
        Ok(Message::NonFinite) => FailureKind::NonFinite,
        Ok(Message::Timeout) => FailureKind::Timeout,
        Ok(Message::Crash) => FailureKind::Crash,
        Ok(Message::Preempted) => FailureKind::Preempted,
        Ok(Message::BadNode) => FailureKind::BadNode,
        Ok(Message::Invalid) => FailureKind::Invalid,
        Ok(Message::Incomparable) => FailureKind::Incomparable,
        Ok(Message::LeaseExpired) => FailureKind::LeaseExpired,
        Ok(Message::Unspecified) | Err(_) => {
            return Err(ConvertError::new("kind", format!("{code} is no kind of failure")));
        }
    };
    Ok(kind)
}

impl From<&Failure> for v1::Failure {
    fn from(failure: &Failure) -> Self {
        Self {
            kind: v1::FailureKind::from(failure.kind).into(),
            message: failure.message.to_string(),
        }
    }
}

impl TryFrom<v1::Failure> for Failure {
    type Error = ConvertError;

    /// Messages of any length are read: the engine adds to them before the journal has them.
    fn try_from(message: v1::Failure) -> Result<Self, ConvertError> {
        Ok(Self { kind: failure_kind(message.kind)?, message: message.message.into() })
    }
}

/// The message that says how an attempt ended and how long it kept its slot.
#[must_use]
pub fn outcome_message(outcome: &ReportedOutcome, elapsed: Span) -> v1::Outcome {
    use v1::outcome::Outcome as Message;
    let outcome = match outcome {
        ReportedOutcome::Measured(values) => {
            Message::Measured(v1::Measurements { measurements: measurement_messages(values) })
        }
        ReportedOutcome::Failed(failure) => Message::Failed(failure.into()),
    };
    v1::Outcome { outcome: Some(outcome), elapsed_micros: elapsed.0, ..v1::Outcome::default() }
}

/// How an attempt ended, what came with it and how long it kept its slot, at most [`MOST_ELAPSED`]. A
/// measured value that is NaN or infinite makes it a failure of kind [`FailureKind::NonFinite`]; of the
/// message of a failure [`KEPT_MESSAGE_BYTES`] are kept.
///
/// # Errors
/// [`ConvertError`] if the message is malformed.
pub fn outcome(message: v1::Outcome) -> Result<(ReportedOutcome, Attached, Span), ConvertError> {
    use v1::outcome::Outcome as Message;
    let elapsed = Span(message.elapsed_micros).min(MOST_ELAPSED);
    let attached = Attached { step: message.step, ..attached(&message.checkpoint, message.note)? };
    let outcome = match required("outcome", message.outcome)? {
        Message::Measured(values) => match non_finite(&values.measurements) {
            Some(failure) => ReportedOutcome::Failed(failure),
            None => ReportedOutcome::Measured(
                measurements("measurements", values.measurements).within("measured")?,
            ),
        },
        Message::Failed(mut failure) => {
            let kept = failure.message.floor_char_boundary(KEPT_MESSAGE_BYTES);
            failure.message.truncate(kept);
            ReportedOutcome::Failed(Failure::try_from(failure).within("failed")?)
        }
    };
    Ok((outcome, attached, elapsed))
}

/// What came with the result of an attempt, as the fields `checkpoint` and `note` say.
///
/// # Errors
/// [`ConvertError`] if one of them is malformed.
pub(super) fn attached(checkpoint: &[u8], note: String) -> Result<Attached, ConvertError> {
    text("note", &note, MAX_NOTE_BYTES)?;
    let checkpoint = named_or_none("checkpoint", checkpoint)?;
    Ok(Attached { checkpoint, step: 0, note: (!note.is_empty()).then(|| note.into()) })
}

fn non_finite(values: &[v1::Measurement]) -> Option<Failure> {
    let found = values.iter().find_map(|measurement| {
        let mut numbers = std::iter::once(measurement.value).chain(measurement.spread);
        numbers.find(|number| !number.is_finite()).map(|number| (&measurement.metric, number))
    });
    let (metric, number) = found.filter(|(metric, _)| name("metric", metric).is_ok())?;
    let message = format!("the evaluator reported {metric} = {number}, which is no finite number");
    Some(Failure { kind: FailureKind::NonFinite, message: message.into() })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::tests::bad_field;
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn any_provenance() -> impl Strategy<Value = Provenance> {
        ("[a-z-]{1,12}", "[a-zA-Z0-9: .-]{0,20}").prop_map(|(source, device_class)| Provenance {
            source: source.into(),
            device_class: device_class.into(),
        })
    }

    prop_compose! {
        pub(crate) fn any_measurements()(
            values in proptest::collection::btree_map(
                "[a-z_]{1,12}",
                (
                    proptest::num::f64::NORMAL,
                    proptest::option::of(proptest::num::f64::NORMAL),
                    any_provenance(),
                ),
                0..5,
            )
        ) -> Vec<Measurement> {
            let new = |(metric, (value, spread, provenance)): (String, _)| {
                Measurement::new(metric.as_str().into(), value, spread, provenance).unwrap()
            };
            values.into_iter().map(new).collect()
        }
    }

    prop_compose! {
        pub(crate) fn any_failure()(
            kind in proptest::sample::select(&FailureKind::ALL[..]), message in ".{0,40}",
        ) -> Failure {
            Failure { kind, message: message.into() }
        }
    }

    fn failed(kind: i32, message: String) -> v1::Outcome {
        let failed = v1::outcome::Outcome::Failed(v1::Failure { kind, message });
        v1::Outcome { outcome: Some(failed), ..v1::Outcome::default() }
    }

    fn any_outcome() -> impl Strategy<Value = ReportedOutcome> {
        prop_oneof![
            any_measurements().prop_map(ReportedOutcome::Measured),
            any_failure().prop_map(ReportedOutcome::Failed),
        ]
    }

    fn measured(value: f64, spread: Option<f64>) -> v1::Measurement {
        let provenance = v1::Provenance { source: "trained".into(), device_class: String::new() };
        v1::Measurement { metric: "accuracy".into(), value, spread, provenance: Some(provenance) }
    }

    fn reported(measurements: Vec<v1::Measurement>) -> v1::Outcome {
        let measured = v1::outcome::Outcome::Measured(v1::Measurements { measurements });
        v1::Outcome { outcome: Some(measured), elapsed_micros: 5, ..v1::Outcome::default() }
    }

    proptest! {
        #[test]
        fn outcomes_round_trip(before in any_outcome(), micros in 0..=MOST_ELAPSED.0) {
            let message = outcome_message(&before, Span(micros));
            prop_assert_eq!(outcome(message), Ok((before, Attached::default(), Span(micros))));
        }
    }

    #[test]
    fn a_value_that_is_not_finite_is_a_typed_failure() {
        for bad in [measured(f64::NAN, None), measured(1.0, Some(f64::INFINITY))] {
            let (outcome, ..) = outcome(reported(vec![measured(1.0, None), bad])).unwrap();
            let ReportedOutcome::Failed(failure) = outcome else { panic!("no failure") };
            assert_eq!(failure.kind, FailureKind::NonFinite);
            assert!(failure.message.contains("accuracy"), "{failure}");
        }
    }

    #[test]
    fn an_attempt_of_ages_is_taken_as_the_longest_there_can_be() {
        for micros in [MOST_ELAPSED.0 + 1, i64::MAX as u64, u64::MAX] {
            let message = v1::Outcome { elapsed_micros: micros, ..reported(vec![]) };
            assert_eq!(outcome(message).unwrap().2, MOST_ELAPSED);
        }
    }

    #[test]
    fn of_a_long_message_the_beginning_is_kept() {
        for length in [KEPT_MESSAGE_BYTES / 2, KEPT_MESSAGE_BYTES, 9 * KEPT_MESSAGE_BYTES] {
            // A character of two bytes lies on the bound.
            let told = format!("x{}", "\u{fc}".repeat(length / 2));
            let (read, ..) = outcome(failed(v1::FailureKind::Crash.into(), told.clone())).unwrap();
            let ReportedOutcome::Failed(Failure { message, .. }) = read else {
                panic!("no failure")
            };
            assert!(told.starts_with(&*message));
            assert_eq!(message.len(), told.len().min(KEPT_MESSAGE_BYTES - 1));
        }
    }

    #[test]
    fn each_bad_field_is_named() {
        let bad = |message| bad_field(outcome(message));
        assert_eq!(bad(v1::Outcome::default()), "outcome");
        let twice = reported(vec![measured(1.0, None), measured(2.0, None)]);
        assert_eq!(bad(twice), "measured.measurements[1].metric");
        let unnamed = v1::Measurement { metric: String::new(), ..measured(1.0, None) };
        assert_eq!(bad(reported(vec![unnamed])), "measured.measurements[0].metric");
        let nowhere = v1::Measurement { provenance: None, ..measured(1.0, None) };
        assert_eq!(bad(reported(vec![nowhere])), "measured.measurements[0].provenance");
        let many = vec![measured(1.0, None); MAX_MEASUREMENTS + 1];
        assert_eq!(bad(reported(many)), "measured.measurements");
        assert_eq!(bad(failed(99, String::new())), "failed.kind");
        let unsourced = v1::Provenance::default();
        assert_eq!(bad_field(Provenance::try_from(unsourced)), "source");
        assert_eq!(bad_field(Measurement::try_from(measured(f64::NAN, None))), "value");
        assert_eq!(bad_field(Measurement::try_from(measured(0.0, Some(f64::NAN)))), "spread");
    }

    #[test]
    fn progress_shows_finite_values_only() {
        let metrics = BTreeMap::from([("loss".to_owned(), f64::NAN), ("accuracy".to_owned(), 1.0)]);
        let shown = progress_metrics(metrics).unwrap();
        assert_eq!(shown, BTreeMap::from([("accuracy".into(), 1.0)]));
        let unnamed = BTreeMap::from([(String::new(), 1.0)]);
        assert_eq!(bad_field(progress_metrics(unnamed)), "metrics.key");
    }
}
