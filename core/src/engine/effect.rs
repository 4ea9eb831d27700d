//! What has to happen outside after the events of a step are stored: messages to workers, models
//! to fit.
//!
//! Effects are data. Performing one may fail or be lost; the engine recovers through leases. Must not know how
//! one is performed.

use std::sync::Arc;

use crate::algorithm::FitJob;
use crate::artifact::ArtifactId;
use crate::graph::Graph;
use crate::id::{Attempt, AttemptId, CampaignId, CandidateId, SessionId, TaskId, WorkerId};
use crate::spec::Stage;

/// A task as a worker gets it.
#[derive(Debug, Clone)]
pub struct Assignment {
    /// The task.
    pub task: TaskId,
    /// The attempt.
    pub attempt: Attempt,
    /// The candidate, for messages and logs.
    pub candidate: CandidateId,
    /// The network to evaluate; none where the space has none.
    pub graph: Option<Arc<Graph>>,
    /// The genotype in the space's notation; evaluators that look results up use it.
    pub genotype: Box<str>,
    /// What to measure and how.
    pub stage: Arc<Stage>,
    /// The seed of everything random in the evaluation; the same for each attempt, another one for each
    /// repeat.
    pub seed: u64,
    /// Which of the stage's repeats this is, from 0. Evaluators on workers are not told: they see the
    /// seed.
    pub repeat: u32,
    /// The checkpoint that it begins with, if there is one: of an earlier attempt that was stopped
    /// half-way, or of an earlier stage that this one continues.
    pub resume: Option<ArtifactId>,
    /// Whether a later stage continues this one, so that its state is to be kept at its end.
    pub keep: bool,
}

impl Assignment {
    /// The attempt that it asks for.
    #[must_use]
    pub fn id(&self) -> AttemptId {
        AttemptId::new(self.task, self.attempt)
    }
}

/// Why a worker should stop an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// The campaign was cancelled.
    Cancelled,
    /// The attempt is not the task's latest, or the task is done.
    Superseded,
    /// The curve of the evaluation is hopeless. Its end is reported all the same, with what it cost, and
    /// a result that is there already counts.
    Hopeless,
    /// The slot is needed for something else, or the worker has to go: the task is queued again.
    Preempted,
}

/// A model to fit; whoever does so says it by [`super::Command::ModelFitted`] and keeps the work
/// off the engine's thread. If it is lost, a restart asks for it again.
#[derive(Debug, Clone)]
pub struct Fit {
    /// The campaign whose algorithm wants it.
    pub campaign: CampaignId,
    /// The work.
    pub job: FitJob,
}

/// A message to send.
#[derive(Debug, Clone)]
pub enum Effect {
    /// Give a task to a worker.
    Assign {
        /// The worker.
        worker: WorkerId,
        /// Its connection; a newer one must not receive this.
        session: SessionId,
        /// The task.
        assignment: Box<Assignment>,
    },
    /// Tell a worker to drop an attempt.
    Stop {
        /// The worker.
        worker: WorkerId,
        /// Its connection.
        session: SessionId,
        /// The task.
        task: TaskId,
        /// The attempt.
        attempt: Attempt,
        /// Why.
        reason: StopReason,
    },
    /// Tell a worker to finish what it runs, take nothing more and leave.
    Drain {
        /// The worker.
        worker: WorkerId,
        /// Its connection.
        session: SessionId,
    },
    /// Tell a worker that its report is stored, or is not needed: it can forget it.
    Acknowledge {
        /// The worker.
        worker: WorkerId,
        /// Its connection.
        session: SessionId,
        /// The task.
        task: TaskId,
        /// The attempt.
        attempt: Attempt,
    },
}
