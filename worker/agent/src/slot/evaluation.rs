//! One evaluation in work: until when it may last, what is said of it meanwhile, and what its end stands
//! for.
//!
//! Must not know the process that works on it.

use std::time::Duration;

use cambrian_core::id::AttemptId;
use cambrian_proto::convert::MAX_NUMBER;
use cambrian_proto::convert::measurement::progress_metrics;
use cambrian_proto::v1::{
    EvaluationProgress, FailureKind, Outcome, Progress, Report, Stage, TaskAttempt,
    evaluator_message, outcome,
};
use tokio::time::Instant;

use super::saving::Saving;
use super::throttle::Throttle;
use super::verdict;
use crate::attempt::NamesAttempt;

/// Why an evaluation has been asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stopping {
    No,
    TimedOut,
    Unwanted,
    /// Another attempt is to go on with its state.
    Yielding,
}

/// An evaluation in work.
#[derive(Debug)]
pub(super) struct Evaluation<'a> {
    pub(super) id: AttemptId,
    pub(super) stage: &'a Stage,
    pub(super) stopping: Stopping,
    /// When it has to end, or, if it is stopping, when it is killed.
    pub(super) deadline: Instant,
    pub(super) progress: Throttle,
    pub(super) saving: Saving,
    /// What was wrong with its output when its time was over.
    pub(super) half_message: Option<String>,
    /// What the evaluator says that it used.
    pub(super) energy_joules: Option<f64>,
}

impl Evaluation<'_> {
    pub(super) fn is(&self, attempt: Option<&TaskAttempt>) -> bool {
        attempt.is_some_and(|attempt| attempt.attempt_id() == self.id)
    }

    /// The outcome that the evaluator's own answer stands for.
    pub(super) fn answered(&self, answer: Option<Outcome>) -> Outcome {
        let note = answer.as_ref().map(|answer| answer.note.clone()).unwrap_or_default();
        let step = answer.as_ref().map_or(0, |answer| answer.step);
        match self.stopping {
            Stopping::No => Outcome { note, ..ended(verdict::of_answer(self.stage, answer)) },
            // A result that was there before the request counts for whoever still wants it.
            Stopping::Unwanted | Stopping::Yielding => match verdict::of_answer(self.stage, answer)
            {
                measured @ outcome::Outcome::Measured(_) => Outcome { note, ..ended(measured) },
                outcome::Outcome::Failed(_) => Outcome { note, step, ..ended(self.stopped()) },
            },
            Stopping::TimedOut => ended(self.stopped()),
        }
    }

    /// The outcome of an evaluation that was asked to stop and has no result.
    pub(super) fn stopped(&self) -> outcome::Outcome {
        match self.stopping {
            Stopping::TimedOut => {
                let seconds = self.stage.timeout_micros as f64 / 1e6;
                let late = format!("stage {} took longer than its {seconds} s", self.stage.name);
                match &self.half_message {
                    None => verdict::failure(FailureKind::Timeout, late),
                    Some(half) => verdict::broken(format!("{late}: the evaluator {half}")),
                }
            }
            Stopping::No | Stopping::Unwanted | Stopping::Yielding => {
                verdict::failure(FailureKind::Preempted, "stopped on request")
            }
        }
    }
}

/// What is said of an attempt that kept its slot for `elapsed`.
pub(super) fn report(
    id: AttemptId,
    outcome: Outcome,
    elapsed: Duration,
    energy_joules: Option<f64>,
) -> Box<Report> {
    let elapsed_micros = u64::try_from(elapsed.as_micros()).unwrap_or(MAX_NUMBER);
    let outcome = Some(Outcome { elapsed_micros, ..outcome });
    Box::new(Report { task: id.task.0, attempt: id.attempt.0, outcome, energy_joules })
}

/// An outcome with nothing else to say.
pub(super) fn ended(outcome: outcome::Outcome) -> Outcome {
    Outcome { outcome: Some(outcome), ..Outcome::default() }
}

pub(super) fn deadline(started: Instant, timeout_micros: u64) -> Instant {
    // A timeout beyond all clocks is no timeout; a year stands for it.
    const YEAR: Duration = Duration::from_secs(365 * 86_400);
    started + Duration::from_micros(timeout_micros).min(YEAR)
}

pub(super) fn message_name(message: &evaluator_message::Message) -> &'static str {
    match message {
        evaluator_message::Message::Hello(_) => "Hello",
        evaluator_message::Message::Progress(_) => "Progress",
        evaluator_message::Message::Ended(_) => "Ended",
        evaluator_message::Message::StateWritten(_) => "StateWritten",
    }
}

/// The message to the coordinator; what it would refuse does not go on the wire.
pub(super) fn forwarded(id: AttemptId, progress: EvaluationProgress) -> Progress {
    let EvaluationProgress { attempt: _, step, steps, metrics } = progress;
    let metrics = progress_metrics(metrics).unwrap_or_default();
    let metrics = metrics.into_iter().map(|(name, value)| (name.to_string(), value)).collect();
    Progress { task: id.task.0, attempt: id.attempt.0, step, steps, metrics }
}
