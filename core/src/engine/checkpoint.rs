//! Checkpoints of trainings that a later stage continues: which there are, and for whom.
//!
//! A checkpoint is kept from the end of its stage until the stages that continue it are done, or the
//! candidate or its campaign is. A task that runs again finds it where it was. Must not know what a
//! checkpoint holds nor where it is kept; if it is gone the stage begins anew.

use std::sync::Arc;

use super::campaign::Campaign;
use super::state::State;
use crate::artifact::ArtifactId;
use crate::id::{CandidateId, Ordinal};

/// What comes with the result of an attempt besides its measurements.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attached {
    /// The state at the end of a training that a later stage continues.
    pub checkpoint: Option<ArtifactId>,
    /// What was different from what was asked for and does not change what the values are, for
    /// people: that a training began anew, say.
    pub note: Option<Arc<str>>,
}

impl State {
    /// The checkpoints that something may still need, in no particular order.
    pub fn checkpoints(&self) -> impl Iterator<Item = ArtifactId> {
        let active = self.active.iter().filter_map(|id| self.campaigns.get(id));
        active.flat_map(|campaign| campaign.checkpoints.values().copied())
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
