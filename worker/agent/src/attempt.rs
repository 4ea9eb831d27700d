//! The name of one attempt of a task, which every message about it carries.
//!
//! Must not know what is attempted.

use std::fmt;

use cambrian_core::id::{Attempt, TaskId};
use cambrian_proto::v1;

/// One attempt of one task: a report of an earlier attempt is never taken for one of a later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttemptId {
    /// The task.
    pub task: TaskId,
    /// Which of its leases.
    pub attempt: Attempt,
}

impl AttemptId {
    /// The attempt `attempt` of the task `task`.
    #[must_use]
    pub fn new(task: u64, attempt: u32) -> Self {
        Self { task: TaskId(task), attempt: Attempt(attempt) }
    }

    /// The attempt that an assignment asks for.
    #[must_use]
    pub fn of(assignment: &v1::Assignment) -> Self {
        Self::new(assignment.task, assignment.attempt)
    }
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task {} attempt {}", self.task, self.attempt)
    }
}

impl From<AttemptId> for v1::TaskAttempt {
    fn from(id: AttemptId) -> Self {
        Self { task: id.task.0, attempt: id.attempt.0 }
    }
}

impl From<&v1::TaskAttempt> for AttemptId {
    fn from(id: &v1::TaskAttempt) -> Self {
        Self::new(id.task, id.attempt)
    }
}

impl From<&v1::Report> for AttemptId {
    fn from(report: &v1::Report) -> Self {
        Self::new(report.task, report.attempt)
    }
}
