//! What events mean for candidates: from stage to stage, and to a score or an end without one. Must not know
//! tasks or workers.

use crate::algorithm::Outcome;
use crate::engine::campaign::Campaign;
use crate::engine::candidate::{Candidate, CandidateStatus, StoredMeasurement};
use crate::id::{CandidateId, TaskId};
use crate::objective::Measurement;
use crate::pareto::front::Insertion;
use crate::time::Timestamp;

impl Campaign {
    pub(in crate::engine) fn candidate_mut(&mut self, id: CandidateId) -> Option<&mut Candidate> {
        self.candidates.get_mut((id.ordinal.0 as usize).checked_sub(1)?)
    }

    /// Measurements by column; those of metrics that the campaign does not know are left out.
    pub(super) fn stored<'a>(
        &'a self,
        measurements: &'a [Measurement],
    ) -> impl Iterator<Item = StoredMeasurement> + 'a {
        measurements.iter().filter_map(|found| {
            let column = self.column(&found.metric)?;
            Some(StoredMeasurement { column, value: found.value(), spread: found.spread() })
        })
    }

    pub(super) fn store_for(&mut self, id: CandidateId, measurements: &[Measurement]) {
        let stored: Vec<StoredMeasurement> = self.stored(measurements).collect();
        if let Some(candidate) = self.candidate_mut(id) {
            // A million candidates have no room to spare.
            candidate.measurements.reserve_exact(stored.len());
            candidate.measurements.extend(stored);
        }
    }

    /// The candidate enters a stage, from the one before or from waiting after it.
    pub(super) fn enter(&mut self, id: CandidateId, stage: u8, task: TaskId) {
        let Some(candidate) = self.candidate_mut(id) else { return };
        let before =
            std::mem::replace(&mut candidate.status, CandidateStatus::InStage { stage, task });
        candidate.entered = stage.saturating_add(1);
        if let CandidateStatus::Waiting { stage } = before
            && let Some(rung) = self.rungs.get_mut(&stage)
        {
            rung.leave(id.ordinal);
        }
        if let Some(tally) = self.tallies.get_mut(usize::from(stage)) {
            tally.entered += 1;
            tally.live += 1;
        }
        if let Some(tally) =
            usize::from(stage).checked_sub(1).and_then(|at| self.tallies.get_mut(at))
        {
            tally.passed += 1;
        }
        self.renew_rankings();
    }

    /// The candidate is measured once more at the stage that it is in.
    pub(super) fn stay(&mut self, id: CandidateId, stage: u8, task: TaskId) {
        let Some(candidate) = self.candidate_mut(id) else { return };
        candidate.status = CandidateStatus::InStage { stage, task };
        if let Some(tally) = self.tallies.get_mut(usize::from(stage)) {
            tally.live += 1;
        }
    }

    /// The candidate waits after a stage; the algorithm need not wait for it.
    pub(super) fn wait(&mut self, id: CandidateId, stage: u8) {
        let Some(candidate) = self.candidate_mut(id) else { return };
        candidate.status = CandidateStatus::Waiting { stage };
        if let Some(rung) = self.rungs.get_mut(&stage) {
            rung.enter(id.ordinal);
        }
        self.algorithm.update(id.ordinal, Outcome::SetAside);
        self.renew_rankings();
    }

    /// Counts a candidate's end at the last of the stages that it entered.
    fn book(&mut self, entered: u8, status: &CandidateStatus) {
        let last = usize::from(entered).checked_sub(1);
        if let Some(tally) = last.and_then(|last| self.tallies.get_mut(last)) {
            tally.end(status);
        }
    }

    pub(super) fn resolve(&mut self, id: CandidateId, status: CandidateStatus, at: Timestamp) {
        let Some(candidate) = self.candidate_mut(id) else { return };
        candidate.status = status.clone();
        candidate.resolved_at = Some(at);
        let was_dispatched = candidate.entered > 0;
        let entered = candidate.entered;
        self.book(entered, &status);
        self.forget_checkpoints(id.ordinal);
        self.samples.remove(&id.ordinal);
        match status {
            CandidateStatus::Scored { violation } => self.score(id, violation),
            CandidateStatus::Screened(screening) => {
                self.screened += 1;
                if let Some(rung) = self.rungs.get_mut(&screening.stage) {
                    rung.leave(id.ordinal);
                }
                self.algorithm.update(id.ordinal, Outcome::Screened);
            }
            CandidateStatus::Infeasible(_) => {
                self.infeasible += 1;
                self.infeasible_in_a_row += u32::from(!was_dispatched);
                let outcome = match self.candidate(id.ordinal) {
                    Some(candidate) if was_dispatched => match self.violation_of(candidate).0 {
                        violation if violation > 0.0 => Outcome::Violating { violation },
                        _ => Outcome::Lost,
                    },
                    _ => Outcome::Infeasible,
                };
                self.algorithm.update(id.ordinal, outcome);
            }
            CandidateStatus::Failed(_) => {
                self.failed += 1;
                self.algorithm.update(id.ordinal, Outcome::Lost);
            }
            CandidateStatus::Proposed
            | CandidateStatus::InStage { .. }
            | CandidateStatus::Waiting { .. } => {}
        }
        self.renew_rankings();
    }

    fn score(&mut self, id: CandidateId, violation: f64) {
        self.scored += 1;
        let objectives =
            self.candidate(id.ordinal).and_then(|candidate| self.objectives_of(candidate));
        let Some(objectives) = objectives else { return };
        self.algorithm.update(id.ordinal, Outcome::Scored { objectives: &objectives, violation });
        self.scored_feasible += u32::from(violation == 0.0);
        if violation == 0.0
            && let Ok(Insertion::Added { .. }) = self.front.insert(id.ordinal, &objectives)
        {
            self.front_version += 1;
        }
        if self.may_fix_reference() {
            self.fix_reference();
        }
        self.record_progress(id.ordinal, violation == 0.0);
    }

    pub(super) fn fix_reference(&mut self) {
        if self.reference.is_none() {
            self.reference = self.derive_reference();
            self.front_version += 1;
        }
    }

    pub(super) fn given_reference(&self) -> Option<Box<[f64]>> {
        let given = self.spec.objectives.iter().map(|objective| {
            objective.reference.map(|reference| objective.goal.minimized(reference))
        });
        given.collect()
    }
}
