//! Checkpoints of trainings that a later stage, or the next attempt of the same task, continues: which
//! there are, and for whom.
//!
//! A checkpoint is kept from the end of its stage until the stages that continue it are done, or the
//! candidate or its campaign is. A task that runs again finds it where it was. What an attempt leaves
//! that was stopped half-way, or saves on its way, is kept until its task is over, or something later takes
//! its place. Must not know what a checkpoint holds nor where it is kept; if it is gone the stage begins anew.

use std::fmt;
use std::sync::Arc;

use super::campaign::Campaign;
use super::decide::Decision;
use super::event::Event;
use super::state::State;
use super::task::Task;
use crate::artifact::ArtifactId;
use crate::id::{Attempt, AttemptId, CandidateId, Ordinal, TaskId, WorkerId};
use crate::time::{Span, Timestamp};

/// How often the state of a task is filed at most. Each is a record of the journal, whatever a worker sends.
const SAVED_EVERY: Span = Span::from_secs(1);

/// What comes with the result of an attempt besides its measurements.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attached {
    /// The state at the end of a training that a later stage continues; of an attempt that was stopped
    /// half-way, the state that the next one goes on with.
    pub checkpoint: Option<ArtifactId>,
    /// The steps done in the state of an attempt that was stopped half-way.
    pub step: u32,
    /// What was different from what was asked for and does not change what the values are, for
    /// people: that a training began anew, say.
    pub note: Option<Arc<str>>,
}

/// What an unfinished attempt left, or has saved so far, for the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Continuation {
    /// Its state.
    pub checkpoint: ArtifactId,
    /// The attempt.
    pub attempt: Attempt,
    /// The steps that are done in it, as progress counts them.
    pub step: u32,
}

impl fmt::Display for Continuation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "continues after step {}, checkpoint of attempt {}", self.step, self.attempt)
    }
}

impl State {
    /// The checkpoints that something may still need, in no particular order.
    pub fn checkpoints(&self) -> impl Iterator<Item = ArtifactId> {
        let active = self.active.iter().filter_map(|id| self.campaigns.get(id));
        let of_stages = active.flat_map(|campaign| campaign.checkpoints.values().copied());
        of_stages.chain(self.tasks.values().filter_map(|task| Some(task.left?.checkpoint)))
    }

    /// Until when the state of an attempt is waited for whose lease is taken away now: for the length of
    /// a lease, if its evaluator can leave one.
    pub(super) fn awaits_state(&self, task: &Task, worker: WorkerId) -> Option<Timestamp> {
        let stage =
            self.campaigns.get(&task.candidate.campaign)?.stages.get(usize::from(task.stage))?;
        let offer = self.workers.get(&worker)?.capabilities.offer(&stage.evaluator)?;
        offer.yields.then(|| self.now + self.lease_length)
    }

    /// Why a task goes to nobody yet, if the state of its latest attempt is waited for.
    pub(super) fn state_to_come(&self, task: &Task) -> Option<String> {
        let left = task.awaited_until?.since(self.now);
        (left.0 > 0).then(|| {
            let holder = task.last_worker.and_then(|worker| self.workers.get(&worker));
            let holder = holder.map_or("its last worker", |worker| &worker.name);
            format!("{holder} may leave its state within {left}")
        })
    }

    /// The holder of an unfinished attempt has said what it leaves.
    pub(super) fn yield_attempt(
        &mut self,
        id: TaskId,
        attempt: Attempt,
        (checkpoint, step): (Option<ArtifactId>, u32),
    ) {
        let Some(task) = self.tasks.get_mut(&id) else { return };
        task.owing.retain(|(owing, _)| *owing != attempt);
        if task.attempt != attempt {
            return;
        }
        task.awaited_until = None;
        task.reported = true;
        let left = checkpoint.map(|checkpoint| Continuation { checkpoint, attempt, step });
        task.left = left.or(task.left);
    }

    pub(super) fn save_state(
        &mut self,
        id: TaskId,
        attempt: Attempt,
        (checkpoint, step): (ArtifactId, u32),
    ) {
        if let Some(task) = self.tasks.get_mut(&id).filter(|task| task.attempt == attempt) {
            task.left = Some(Continuation { checkpoint, attempt, step });
            task.saved_at = Some(self.now);
        }
    }
}

impl Decision<'_> {
    /// Files the state of an attempt that goes on. One of an earlier attempt, or of a task that is over,
    /// counts as little as its result; one that an earlier message has overtaken is not needed any more, nor
    /// one of an evaluator that says it leaves none, nor one so soon after another that it would spare nothing.
    pub(super) fn take_saved(
        &mut self,
        worker: WorkerId,
        AttemptId { task, attempt }: AttemptId,
        (checkpoint, step): (ArtifactId, u32),
    ) {
        self.emit(Event::WorkerSeen(worker));
        let Some(found) = self.state.tasks.get(&task) else { return };
        let holds = found.attempt == attempt && found.last_worker == Some(worker);
        let newer = found.left.is_none_or(|left| {
            (left.attempt, left.step) < (attempt, step) && left.checkpoint != checkpoint
        });
        let due = found.saved_at.is_none_or(|before| self.at.since(before) >= SAVED_EVERY);
        let leaves = self.state.awaits_state(found, worker).is_some();
        if holds && !found.reported && newer && due && leaves {
            self.emit(Event::StateSaved { task, attempt, worker, checkpoint, step });
        }
    }
}

impl Campaign {
    /// Whether a stage after `stage` continues its training.
    #[must_use]
    pub fn is_continued(&self, stage: u8) -> bool {
        self.is_continued_after(stage, stage)
    }

    /// The checkpoint that `stage` of a candidate begins with.
    pub(super) fn resumed_from(&self, ordinal: Ordinal, stage: u8) -> Option<ArtifactId> {
        self.checkpoints.get(&(ordinal, self.continues(stage)?)).copied()
    }

    /// The notes about the stages of a candidate, in order.
    pub(super) fn notes_about(&self, ordinal: Ordinal) -> impl Iterator<Item = String> {
        self.notes.range((ordinal, 0)..=(ordinal, u8::MAX)).map(|((_, stage), note)| {
            let stage = self.stages.get(usize::from(*stage)).map_or("?", |found| &found.name);
            format!("stage {stage}: {note}")
        })
    }

    /// Files what came with the result of a stage, and lets go of what it has continued.
    pub(super) fn attach(&mut self, id: CandidateId, stage: u8, attached: &Attached) {
        if let Some(before) = self.continues(stage)
            && !self.is_continued_after(before, stage)
        {
            self.checkpoints.remove(&(id.ordinal, before));
        }
        if let Some(checkpoint) = attached.checkpoint.filter(|_| self.is_continued(stage)) {
            self.checkpoints.insert((id.ordinal, stage), checkpoint);
        }
        if let Some(note) = &attached.note {
            self.notes.insert((id.ordinal, stage), note.clone());
        }
    }

    /// The candidate is over.
    pub(super) fn forget_checkpoints(&mut self, ordinal: Ordinal) {
        if self.checkpoints.is_empty() {
            return;
        }
        let of_candidate = (ordinal, 0)..=(ordinal, u8::MAX);
        let over: Vec<_> = self.checkpoints.range(of_candidate).map(|(key, _)| *key).collect();
        for key in over {
            self.checkpoints.remove(&key);
        }
    }

    /// The stage that `stage` continues.
    fn continues(&self, stage: u8) -> Option<u8> {
        let before = self.stages.get(usize::from(stage))?.resume.as_ref()?;
        self.stages.iter().position(|found| found.name == *before).map(|at| at as u8)
    }

    /// Whether a stage after `present` continues `stage`.
    fn is_continued_after(&self, stage: u8, present: u8) -> bool {
        let Some(name) = self.stages.get(usize::from(stage)).map(|found| &found.name) else {
            return false;
        };
        let later = self.stages.iter().skip(usize::from(present) + 1);
        later.into_iter().any(|found| found.resume.as_ref() == Some(name))
    }
}
