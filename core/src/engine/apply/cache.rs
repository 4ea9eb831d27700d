//! What events mean for the results that are known, and for the candidates that take them. Must not know when a
//! known result may be taken: `cache` does.

use crate::engine::cache::{Known, ResultKey, ResultOrigin};
use crate::engine::state::State;
use crate::id::{Attempt, CandidateId, TaskId, WorkerId};
use crate::objective::Measurement;

impl State {
    /// Files the result that an attempt delivers for campaigns that take known ones.
    pub(super) fn keep(
        &mut self,
        id: TaskId,
        attempt: Attempt,
        worker: WorkerId,
        key: Option<ResultKey>,
    ) {
        let (Some(key), Some(task)) = (key, self.tasks.get(&id)) else { return };
        let CandidateId { campaign, ordinal } = task.candidate;
        let known = Known { ordinal, stage: task.stage, attempt, worker };
        self.results.entry((key, campaign)).or_insert(known);
    }

    pub(super) fn take_result(
        &mut self,
        id: TaskId,
        origin: &ResultOrigin,
        measurements: &[Measurement],
    ) {
        let found = self.tasks.get(&id).map(|task| (task.candidate, task.stage));
        let Some((candidate, stage)) = found else { return };
        if let Some(campaign) = self.campaigns.get_mut(&candidate.campaign) {
            campaign.store_for(candidate, measurements);
            campaign.taken.insert((candidate.ordinal, stage), origin.clone());
            if let Some(tally) = campaign.tallies.get_mut(usize::from(stage)) {
                tally.taken += 1;
            }
            if let Some(stage) = campaign.stages.get(usize::from(stage)) {
                campaign.pins.take(stage, origin, measurements);
            }
        }
        self.remove_task(id);
    }
}
