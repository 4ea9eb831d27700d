//! Shares recomputed from campaigns and leases: who has used what, who is in the order of service,
//! and that the order visits each of them once, by priority. Must not know weights, nor whose turn it is.

use std::collections::{BTreeMap, BTreeSet};

use super::Findings;
use crate::engine::campaign::CampaignStatus;
use crate::engine::share::Usage;
use crate::engine::state::State;
use crate::id::CampaignId;
use crate::time::Span;

/// Used slot time, leases, and the sum of their beginnings.
type Used = (Span, u64, u128);

fn booked(usage: Option<&Usage>) -> Option<Used> {
    usage.map(|usage| (usage.settled, usage.leases, usage.since))
}

impl State {
    pub(super) fn check_shares(&self, findings: &mut Findings) {
        let mut of_users: BTreeMap<&str, Used> = BTreeMap::new();
        for campaign in self.campaigns.values() {
            let used = self.used_by(campaign.id);
            let found = booked(self.shares.of_campaign(campaign.id));
            findings.require(found == Some(used), || {
                format!("campaign {} has used {used:?}, its share says {found:?}", campaign.id)
            });
            let user = of_users.entry(campaign.owner.as_deref().unwrap_or_default()).or_default();
            *user = (user.0 + used.0, user.1 + used.1, user.2 + used.2);
        }
        for (name, used) in of_users {
            let found = booked(self.shares.of_user(name));
            findings.require(found == Some(used), || {
                format!("user `{name}` has used {used:?}, the share says {found:?}")
            });
        }
        self.check_order(findings);
    }

    fn used_by(&self, id: CampaignId) -> Used {
        let settled = self.campaigns[&id].candidates.iter().map(|candidate| candidate.elapsed());
        let leases = self.tasks().filter(|task| task.candidate().campaign == id);
        let began = leases.filter_map(|task| task.lease()).map(|lease| u128::from(lease.since.0));
        let (count, since) = began.fold((0, 0), |(count, sum), began| (count + 1, sum + began));
        (settled.sum(), count, since)
    }

    fn check_order(&self, findings: &mut Findings) {
        let wanted: BTreeSet<CampaignId> = self
            .campaigns
            .values()
            .filter(|found| self.gives(found.id))
            .map(|found| found.id)
            .collect();
        let (mut visited, mut priority) = (BTreeSet::new(), i32::MAX);
        let mut place = self.shares.after(None);
        while let Some(found) = place {
            findings.require(found.priority() <= priority, || {
                format!("campaign {} is served after its inferiors", found.campaign())
            });
            findings.require(visited.insert(found.campaign()), || {
                format!("campaign {} is in the order of service twice", found.campaign())
            });
            priority = found.priority();
            place = self.shares.after(Some(found));
        }
        findings.require(visited == wanted, || {
            format!("the order of service has {visited:?}, work to give have {wanted:?}")
        });
    }

    fn gives(&self, id: CampaignId) -> bool {
        let campaign = &self.campaigns[&id];
        let owner = campaign.owner.as_deref().unwrap_or_default();
        let (spent, budget) = (self.spent_by(owner), self.policy.of_user(owner).budget);
        let proposes = campaign.status == CampaignStatus::Running
            && campaign.started < campaign.spec.budget.evaluations
            && budget.evaluations.is_none_or(|limit| spent.evaluations < limit);
        let held = matches!(campaign.status, CampaignStatus::Paused | CampaignStatus::Finished(_))
            || budget.slot_time.is_some_and(|limit| spent.slot_time >= limit)
            || budget.energy.is_some_and(|limit| spent.energy >= limit);
        let queued =
            self.tasks().any(|task| task.candidate().campaign == id && task.lease().is_none());
        !held && (queued || proposes || campaign.has_promotable())
    }
}
