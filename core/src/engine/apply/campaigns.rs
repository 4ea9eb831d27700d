//! What events mean for whole campaigns, their models and what they propose. Must not know why a campaign ends,
//! nor how a model is fitted.

use std::sync::Arc;

use crate::algorithm::Proposal;
use crate::engine::campaign::{Campaign, CampaignStatus, FinishReason};
use crate::engine::candidate::Candidate;
use crate::engine::state::State;
use crate::id::{CampaignId, CandidateId};
use crate::objective::Measurement;
use crate::time::Timestamp;

impl State {
    pub(super) fn open_campaign(&mut self, mut created: Campaign) {
        if created.spec.objectives.iter().all(|objective| objective.reference.is_some()) {
            created.reference = created.given_reference();
        }
        self.submissions.insert(created.submission, created.id);
        self.active.insert(created.id);
        self.enrol(&created);
        self.campaigns.insert(created.id, created);
    }

    pub(super) fn drain_campaign(&mut self, id: CampaignId, reason: FinishReason) {
        self.set_status(id, CampaignStatus::Draining(reason));
        if let Some(found) = self.campaigns.get_mut(&id) {
            found.renew_rankings();
        }
    }

    pub(super) fn close_campaign(&mut self, id: CampaignId, reason: FinishReason, at: Timestamp) {
        self.set_status(id, CampaignStatus::Finished(reason));
        self.active.remove(&id);
        if let Some(found) = self.campaigns.get_mut(&id) {
            found.finished_at = Some(at);
            found.checkpoints.clear();
            found.fix_reference();
        }
    }

    pub(super) fn start_fit(&mut self, id: CampaignId, results: u32) {
        if let Some(found) = self.campaigns.get_mut(&id) {
            found.fitting = Some(results);
        }
    }

    pub(super) fn adopt_model(&mut self, id: CampaignId, results: u32) {
        if let Some(found) = self.campaigns.get_mut(&id) {
            found.fitting = None;
            found.unfitted = false;
            found.algorithm.adopt(results);
        }
    }

    pub(super) fn propose(
        &mut self,
        id: CandidateId,
        proposal: &Arc<Proposal>,
        analytic: &[Measurement],
        at: Timestamp,
    ) {
        let Some(campaign) = self.campaigns.get_mut(&id.campaign) else { return };
        let mut created = Candidate::new(proposal.clone(), at);
        created.measurements.reserve_exact(analytic.len());
        created.measurements.extend(campaign.stored(analytic));
        campaign.candidates.push(created);
        campaign.known.0.insert(proposal.key);
        // A damaged journal must stay verifiable: nothing is bred from what is no genotype of the space.
        if campaign.spec.space.schema().check(&proposal.genotype).is_ok() {
            campaign.algorithm.proposed(id.ordinal, proposal);
        }
    }

    pub(super) fn average(&mut self, id: CandidateId, measurements: &[Measurement]) {
        if let Some(campaign) = self.campaigns.get_mut(&id.campaign) {
            campaign.samples.remove(&id.ordinal);
            campaign.store_for(id, measurements);
        }
    }
}
