//! What users have used and whether they may use more; a campaign's own budget is in `stop`.
//!
//! A spent budget holds a user's campaigns back rather than ending them, since it can be raised.
//!
//! Must not know when something counts as used: `apply` does.

use super::campaign::{Campaign, CampaignStatus};
use super::policy::UserBudget;
use super::state::State;
use crate::energy::Energy;
use crate::time::Span;

/// What has been used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Spent {
    /// Candidates that entered a first stage.
    pub(super) evaluations: u64,
    /// Time in slots of reported attempts.
    pub(super) slot_time: Span,
    /// Energy of reported attempts.
    pub(super) energy: Energy,
}

impl Spent {
    /// Why nothing more may be leased, if so.
    pub(super) fn holds(&self, budget: &UserBudget) -> Option<String> {
        if let Some(limit) = budget.slot_time.filter(|limit| self.slot_time >= *limit) {
            return Some(format!("{} of {limit} in slots are used", self.slot_time));
        }
        let limit = budget.energy.filter(|limit| self.energy >= *limit)?;
        Some(format!("{} of {limit} are used", self.energy))
    }

    /// Why no new candidate may be proposed, if so.
    pub(super) fn stops_proposals(&self, budget: &UserBudget) -> Option<String> {
        let limit = budget.evaluations.filter(|limit| self.evaluations >= *limit)?;
        Some(format!("{} of {limit} evaluations are used", self.evaluations))
    }
}

impl State {
    /// The owner's name; empty where there is none.
    pub(super) fn owner(campaign: &Campaign) -> &str {
        campaign.owner.as_deref().unwrap_or_default()
    }

    pub(super) fn spent_by(&self, user: &str) -> Spent {
        self.spent.get(user).copied().unwrap_or_default()
    }

    /// Why the owner's budget keeps a campaign from leasing anything.
    pub(super) fn held_by_owner(&self, campaign: &Campaign) -> Option<String> {
        let owner = Self::owner(campaign);
        self.spent_by(owner).holds(&self.policy.of_user(owner).budget)
    }

    /// Whether a campaign may propose another candidate.
    pub(super) fn may_propose(&self, campaign: &Campaign) -> bool {
        let owner = Self::owner(campaign);
        campaign.status == CampaignStatus::Running
            && campaign.has_budget()
            && self.spent_by(owner).stops_proposals(&self.policy.of_user(owner).budget).is_none()
    }

    /// Whether a campaign may have a task to give.
    pub(super) fn has_work(&self, campaign: &Campaign) -> bool {
        let has =
            !campaign.queue.is_empty() || campaign.has_promotable() || self.may_propose(campaign);
        campaign.status.gets_work() && has && self.held_by_owner(campaign).is_none()
    }

    /// Why a campaign that would get work gets no more, in words. One that is paused, or has nothing left but
    /// what is in work, would get none.
    #[must_use]
    pub fn held_back(&self, campaign: &Campaign) -> Option<String> {
        let begun = !campaign.queue.is_empty() || campaign.has_promotable();
        let new = campaign.status == CampaignStatus::Running && campaign.has_budget();
        if !campaign.status.gets_work() || !(begun || new) {
            return None;
        }
        let owner = Self::owner(campaign);
        let budget = &self.policy.of_user(owner).budget;
        let spent = self.spent_by(owner);
        let idle = !begun && campaign.leased.is_empty();
        let proposals = || spent.stops_proposals(budget).filter(|_| idle);
        let used = spent.holds(budget).or_else(proposals)?;
        let whose =
            if owner.is_empty() { "users without a token".into() } else { format!("user {owner}") };
        Some(format!("the budget of {whose} is spent: {used}; an administrator can raise it"))
    }
}
