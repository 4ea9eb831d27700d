//! Finished reports that are not acknowledged, and what there is to say of one.
//!
//! Must not know who is told.

use cambrian_proto::v1::{FailureKind, Report, outcome};

/// A finished report that is not acknowledged.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) report: Box<Report>,
    pub(super) standing: Standing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Its state is on its way to the coordinator; another report replaces this one, and only that is sent.
    Meanwhile,
    /// On its way to the disk.
    Storing,
    Sendable,
}

/// Whether it hands a task back because of this worker, which the coordinator then bars from its stage.
pub(super) fn bars(report: &Report) -> bool {
    let outcome = report.outcome.as_ref().and_then(|outcome| outcome.outcome.as_ref());
    matches!(outcome, Some(outcome::Outcome::Failed(failure)) if failure.kind() == FailureKind::BadNode)
}

/// A report in a line of the log.
pub(super) fn summary(report: &Report) -> String {
    match report.outcome.as_ref().and_then(|outcome| outcome.outcome.as_ref()) {
        Some(outcome::Outcome::Measured(found)) => {
            let values: Vec<String> = found
                .measurements
                .iter()
                .map(|found| format!("{}={:.6}", found.metric, found.value))
                .collect();
            values.join(" ")
        }
        Some(outcome::Outcome::Failed(failure)) => {
            format!("{}: {}", failure.kind().as_str_name(), failure.message)
        }
        None => "nothing".to_owned(),
    }
}
