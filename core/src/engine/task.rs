//! A task: one unit of leased work, an evaluation of a candidate at a stage; a stage that repeats its
//! measurement has one after the other.
//!
//! ```text
//! Queued --lease--> Leased --report--> (done, leaves the state)
//!    ^                |
//!    +-- lease ended or attempt failed, attempts left --+--> (failed, leaves the state)
//! ```
//! Only live tasks are kept; whatever is said about a task that is not live any more is
//! acknowledged and dropped, so delivery may repeat safely.
//!
//! Must not know who may get it, nor by which rule a failed one is tried again.

use std::collections::{BTreeMap, BTreeSet};

use super::cache::ResultKey;
use super::checkpoint::Continuation;
use super::curve::{CurvePoint, Standing};
use super::failure::FailureKind;
use crate::id::{Attempt, CandidateId, SessionId, TaskId, WorkerId};
use crate::objective::MetricName;
use crate::time::Timestamp;

/// How far an evaluation has got; volatile.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskProgress {
    /// Steps done.
    pub step: u32,
    /// Steps in all.
    pub steps: u32,
    /// What is known so far.
    pub metrics: BTreeMap<MetricName, f64>,
}

/// The right of one worker to work on a task for a while.
#[derive(Debug, Clone, PartialEq)]
pub struct Lease {
    /// The holder.
    pub worker: WorkerId,
    /// The holder's connection.
    pub session: SessionId,
    /// When it runs out unless renewed; volatile.
    pub deadline: Timestamp,
    /// Since when.
    pub since: Timestamp,
    /// Whether the holder has mentioned it; volatile.
    pub confirmed: bool,
    /// How far the evaluation has got; volatile.
    pub progress: Option<TaskProgress>,
    /// The values of the metric that its stage is judged by, one a step that was heard of, in the
    /// metric's unit; none if its beginning was not heard, or nothing judges it. Volatile.
    pub curve: Option<Vec<CurvePoint>>,
}

/// Where a live task is.
#[derive(Debug, Clone, PartialEq)]
pub enum TaskStatus {
    /// Waits for a worker.
    Queued,
    /// A worker holds it.
    Leased(Lease),
}

/// A live task. Fields are written by `apply` alone.
#[derive(Debug, Clone)]
pub struct Task {
    pub(super) id: TaskId,
    pub(super) candidate: CandidateId,
    pub(super) stage: u8,
    /// Which of the stage's repeats it is, from 0.
    pub(super) repeat: u32,
    pub(super) status: TaskStatus,
    /// The latest attempt, 0 before the first lease.
    pub(super) attempt: Attempt,
    /// How many attempts count against the bound.
    pub(super) counted: u32,
    /// What its latest attempt began with.
    pub(super) begun_with: Option<Continuation>,
    /// How many attempts are not even counted against the bound of those that do not: they were ended for
    /// others' sake, or got further than the one before.
    pub(super) excused: u32,
    /// The holder of the latest attempt.
    pub(super) last_worker: Option<WorkerId>,
    /// Whether the latest attempt was reported as failed, so that nothing more counts of it.
    pub(super) reported: bool,
    /// Whether the latest lease was taken away, so that its holder cannot have it back.
    pub(super) withdrawn: bool,
    /// Whether the latest lease ended because its holder was lost, which its attempt was charged with.
    pub(super) lost: bool,
    /// Attempts whose leases ended before they were reported, and their holders, who may still say what
    /// they took.
    pub(super) owing: Vec<(Attempt, WorkerId)>,
    /// The key under which the result of its latest attempt will be kept, if it will.
    pub(super) key: Option<ResultKey>,
    /// How its counted attempts failed, and on whom.
    pub(super) failures: Vec<(FailureKind, WorkerId)>,
    /// Where its attempt stood when it was found hopeless.
    pub(super) hopeless: Option<Standing>,
    /// What an unfinished attempt left; the next one goes on with it.
    pub(super) left: Option<Continuation>,
    /// When the state of an attempt that went on was filed last.
    pub(super) saved_at: Option<Timestamp>,
    /// Until when the holder of a lease that was taken away may say what it leaves; nobody else gets
    /// the task before.
    pub(super) awaited_until: Option<Timestamp>,
}

impl Task {
    /// Whether a worker lost the lease of this attempt and has not said what the attempt took.
    pub(super) fn owes(&self, attempt: Attempt, worker: WorkerId) -> bool {
        self.owing.contains(&(attempt, worker))
    }

    /// Whether its latest attempt has left more than it began with. Within a step only the content tells.
    pub(super) fn got_on(&self) -> bool {
        self.left.is_some_and(|left| {
            self.begun_with.is_none_or(|before| {
                left.step > before.step
                    || (left.step == before.step && left.checkpoint != before.checkpoint)
            })
        })
    }

    /// The holder of a lost lease has come back with the attempt: an attempt that goes on has not failed,
    /// however often it fell silent.
    pub(super) fn forgive_loss(&mut self, holder: WorkerId) {
        if self.lost {
            self.counted = self.counted.saturating_sub(1);
            let charged = (FailureKind::LeaseExpired, holder);
            if let Some(at) = self.failures.iter().rposition(|failure| *failure == charged) {
                self.failures.remove(at);
            }
        }
    }

    /// How many of its attempts failed in this way.
    pub(super) fn failed_as(&self, kind: FailureKind) -> u32 {
        self.failures.iter().filter(|(found, _)| *found == kind).count() as u32
    }

    /// The workers that it crashed on, each once.
    pub(super) fn crashed_on(&self) -> BTreeSet<WorkerId> {
        let crashes = self.failures.iter().filter(|(kind, _)| *kind == FailureKind::Crash);
        crashes.map(|(_, worker)| *worker).collect()
    }

    /// Its number.
    #[must_use]
    pub fn id(&self) -> TaskId {
        self.id
    }

    /// The candidate that it evaluates.
    #[must_use]
    pub fn candidate(&self) -> CandidateId {
        self.candidate
    }

    /// The stage's position in the campaign.
    #[must_use]
    pub fn stage(&self) -> u8 {
        self.stage
    }

    /// Which of the stage's repeats it is, from 0.
    #[must_use]
    pub fn repeat(&self) -> u32 {
        self.repeat
    }

    /// Where its attempt stood when it was found hopeless, if it was.
    #[must_use]
    pub fn standing(&self) -> Option<Standing> {
        self.hopeless
    }

    /// What an unfinished attempt left, if the latest one did not end otherwise.
    #[must_use]
    pub fn left(&self) -> Option<Continuation> {
        self.left
    }

    /// Where it is.
    #[must_use]
    pub fn status(&self) -> &TaskStatus {
        &self.status
    }

    /// Its latest attempt, 0 before the first lease.
    #[must_use]
    pub fn attempt(&self) -> Attempt {
        self.attempt
    }

    /// The holder of the latest attempt, if there was one.
    #[must_use]
    pub fn last_worker(&self) -> Option<WorkerId> {
        self.last_worker
    }

    /// The lease, if a worker holds one.
    #[must_use]
    pub fn lease(&self) -> Option<&Lease> {
        match &self.status {
            TaskStatus::Leased(lease) => Some(lease),
            TaskStatus::Queued => None,
        }
    }
}
