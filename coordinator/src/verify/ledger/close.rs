//! The books closed: campaign by campaign and candidate by candidate, the ledger against the engine's replay
//! of the same journal. Must not know what was booked in which order.

use cambrian_core::engine::{Campaign, State};
use cambrian_core::id::{CampaignId, Ordinal};
use cambrian_core::time::Span;

use super::{CampaignAccount, Fate, Ledger};
use crate::verify::{CampaignLedger, Problems};

impl Ledger {
    /// Compares the ledger with the engine's replay of the same journal.
    pub(in crate::verify) fn close(&self, state: &State, problems: &mut Problems) {
        let live = self.tasks.values().filter(|account| account.end.is_none()).count();
        problems.require(live == state.tasks().count(), || {
            format!("{live} tasks are under way, the replay has {}", state.tasks().count())
        });
        problems.require(self.campaigns.len() == state.campaigns().count(), || {
            format!(
                "{} campaigns, the replay has {}",
                self.campaigns.len(),
                state.campaigns().count()
            )
        });
        for (id, account) in &self.campaigns {
            let Some(campaign) = state.campaign(*id) else { continue };
            account.require_counts(*id, campaign, problems);
            account.require_slot_time(*id, campaign, problems);
            account.require_candidates(*id, campaign, problems);
        }
    }

    pub(in crate::verify) fn campaigns(&self) -> Vec<CampaignLedger> {
        self.campaigns.iter().map(|(id, account)| account.counts(*id)).collect()
    }
}

impl CampaignAccount {
    fn counts(&self, id: CampaignId) -> CampaignLedger {
        let count = |fate: Option<Fate>| {
            self.candidates.iter().filter(|candidate| candidate.fate == fate).count() as u32
        };
        CampaignLedger {
            id,
            budget: self.budget,
            started: self.started,
            proposed: self.candidates.len() as u32,
            scored: count(Some(Fate::Scored)),
            infeasible: count(Some(Fate::Infeasible)),
            failed: count(Some(Fate::Failed)),
            screened: count(Some(Fate::Screened)),
            pending: count(None),
        }
    }
    fn require_counts(&self, id: CampaignId, campaign: &Campaign, problems: &mut Problems) {
        let (view, booked) = (campaign.view(), self.counts(id));
        let replayed = (view.started, view.scored, view.infeasible, view.failed, view.screened);
        let expected =
            (booked.started, booked.scored, booked.infeasible, booked.failed, booked.screened);
        problems.require(replayed == expected, || {
            format!(
                "campaign {id}: started, scored, infeasible, failed, screened are {expected:?} by \
                 the ledger and {replayed:?} by the replay"
            )
        });
    }

    fn require_slot_time(&self, id: CampaignId, campaign: &Campaign, problems: &mut Problems) {
        let times = self.candidates.iter().map(|candidate| candidate.elapsed);
        let slot_time = times.fold(Span(0), |sum, elapsed| sum + elapsed);
        let replayed = campaign.view().slot_time;
        problems.require(replayed == slot_time, || {
            format!("campaign {id}: {slot_time} in slots, the replay has {replayed}")
        });
    }

    fn require_candidates(&self, id: CampaignId, campaign: &Campaign, problems: &mut Problems) {
        for (candidate, ordinal) in self.candidates.iter().zip(1..) {
            let found = campaign.candidate(Ordinal(ordinal));
            let agrees = found.is_some_and(|found| {
                found.attempts() == candidate.attempts && found.elapsed() == candidate.elapsed
            });
            problems.require(agrees, || {
                format!("candidate {id}/{ordinal}: attempts or slot time differ from the replay")
            });
        }
    }
}
