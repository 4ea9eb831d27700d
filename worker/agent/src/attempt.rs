//! Which attempt a message of a coordinator, an evaluator or the outbox is about.
//!
//! Numbers are taken as they are written: a worker passes on what it was told. Must not know what is attempted.

use cambrian_core::id::{Attempt, AttemptId, TaskId};
use cambrian_proto::v1;

/// The attempt that these numbers name.
#[must_use]
pub fn attempt_id(task: u64, attempt: u32) -> AttemptId {
    AttemptId::new(TaskId(task), Attempt(attempt))
}

/// A message about one attempt.
pub trait NamesAttempt {
    /// The attempt that it is about.
    fn attempt_id(&self) -> AttemptId;
}

impl NamesAttempt for v1::Assignment {
    fn attempt_id(&self) -> AttemptId {
        attempt_id(self.task, self.attempt)
    }
}

impl NamesAttempt for v1::TaskAttempt {
    fn attempt_id(&self) -> AttemptId {
        attempt_id(self.task, self.attempt)
    }
}

impl NamesAttempt for v1::Report {
    fn attempt_id(&self) -> AttemptId {
        attempt_id(self.task, self.attempt)
    }
}
