//! Known results and those that were taken, against the candidates that they belong to. Must not know which
//! results may be taken, nor how they are kept.

use super::Findings;
use crate::engine::candidate::{Candidate, CandidateStatus};
use crate::engine::state::State;

/// Whether the candidate has the result of a stage.
fn has_finished(candidate: &Candidate, stage: u8) -> bool {
    match candidate.status() {
        CandidateStatus::InStage { stage: present, .. } => *present > stage,
        CandidateStatus::Waiting { stage: last } => *last >= stage,
        _ => candidate.entered > stage,
    }
}

impl State {
    pub(super) fn check_results(&self, findings: &mut Findings) {
        for ((key, id), known) in &self.results {
            let campaign = self.campaigns.get(id);
            let sound = campaign.is_some_and(|campaign| {
                let candidate = campaign.candidate(known.ordinal);
                let stage = campaign.stages.get(usize::from(known.stage));
                campaign.spec.cache.writes()
                    && candidate.is_some_and(|found| has_finished(found, known.stage))
                    && !campaign.taken.contains_key(&(known.ordinal, known.stage))
                    && stage.zip(candidate).is_some_and(|(stage, candidate)| {
                        stage.measures.iter().all(|metric| {
                            let column = campaign.column(metric);
                            column.is_some_and(|column| candidate.value(column).is_some())
                        })
                    })
            });
            findings.require(sound, || {
                format!("the result {key} is not at candidate {id}/{}", known.ordinal)
            });
        }
        for campaign in self.campaigns.values() {
            self.check_taken(campaign, findings);
        }
    }

    fn check_taken(&self, campaign: &crate::engine::Campaign, findings: &mut Findings) {
        let id = campaign.id;
        for ((ordinal, stage), origin) in &campaign.taken {
            let candidate = campaign.candidate(*ordinal);
            let source = self.campaigns.get(&origin.candidate.campaign);
            let source = source.and_then(|from| from.candidate(origin.candidate.ordinal));
            let sound = campaign.spec.cache.reads()
                && candidate.is_some_and(|found| has_finished(found, *stage))
                && source.is_some_and(|found| has_finished(found, origin.stage));
            findings.require(sound, || {
                format!("candidate {id}/{ordinal} took what candidate {} has not", origin.candidate)
            });
        }
        for (stage, tally) in (0u8..).zip(&campaign.tallies) {
            let taken = campaign.taken.keys().filter(|(_, at)| *at == stage).count() as u32;
            findings.require(taken == tally.taken, || {
                format!("campaign {id}: stage {stage} is booked with {} results taken", tally.taken)
            });
        }
    }
}
