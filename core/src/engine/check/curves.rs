//! Curves recomputed: whose they are, how many, and in which order their steps are. Must not know when a curve
//! is hopeless.

use super::Findings;
use crate::engine::campaign::Campaign;
use crate::engine::candidate::CandidateStatus;
use crate::engine::curve::KEPT;
use crate::engine::state::State;

impl Campaign {
    /// Completed curves belong to candidates that completed their stage; who is hopeless is at it.
    pub(super) fn check_curves(&self, state: &State, findings: &mut Findings) {
        for (stage, curves) in &self.curves {
            findings.require(curves.len() <= KEPT, || {
                format!("campaign {}: {} curves of stage {stage} are kept", self.id, curves.len())
            });
            for curve in curves {
                let candidate = self.candidate(curve.ordinal);
                let completed = candidate.is_some_and(|candidate| match candidate.status() {
                    CandidateStatus::InStage { stage: at, .. } => at > stage,
                    _ => candidate.stages_entered() > *stage,
                });
                let ascending = curve.steps.windows(2).all(|pair| pair[0] < pair[1]);
                findings.require(completed && ascending && !curve.steps.is_empty(), || {
                    format!("campaign {}: the curve of {} is wrong", self.id, curve.ordinal)
                });
            }
        }
        let tasks = state.tasks().filter(|task| task.candidate().campaign == self.id);
        for task in tasks.filter(|task| task.standing().is_some()) {
            findings.require(task.lease().is_some(), || {
                format!("task {} is hopeless and waits all the same", task.id())
            });
        }
    }
}
