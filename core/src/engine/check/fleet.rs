//! Leases by priority, claims on slots, ends of quarantines and what users have used, recomputed. Must not know
//! when a worker is put into quarantine, nor whose slots are taken.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::Findings;
use crate::energy::Energy;
use crate::engine::budget::Spent;
use crate::engine::lease_order::LeaseOrder;
use crate::engine::state::State;
use crate::id::CampaignId;
use crate::time::Span;

impl State {
    pub(super) fn check_fleet(&self, findings: &mut Findings) {
        self.check_spent(findings);
        let leases: LeaseOrder = self
            .tasks()
            .filter_map(|task| {
                let campaign = self.campaigns.get(&task.candidate().campaign)?;
                let owner = campaign.owner.as_deref().unwrap_or_default();
                let most = self.policy.of_user(owner).max_priority.unwrap_or(i32::MAX);
                let priority = campaign.spec.share.priority.min(most);
                let lease = task.lease()?;
                let kind = self.workers.get(&lease.worker)?.kind;
                Some((kind, (priority, Reverse(lease.since), Reverse(task.id()))))
            })
            .collect();
        findings.require(leases == self.leases, || "the index of leases is wrong".into());
        let ends = self
            .workers
            .iter()
            .filter_map(|(id, worker)| worker.quarantine.as_ref()?.until.map(|until| (until, *id)));
        findings.require(ends.collect::<BTreeSet<_>>() == self.releases, || {
            "the index of quarantines' ends is wrong".into()
        });
        let mut claims: BTreeMap<CampaignId, u32> = BTreeMap::new();
        for (id, worker) in &self.workers {
            findings.require(worker.connected || worker.vacated.is_empty(), || {
                format!("slots of worker {id} are claimed, and it is away")
            });
            worker.vacated.iter().for_each(|by| *claims.entry(*by).or_default() += 1);
        }
        for (id, campaign) in &self.campaigns {
            let found = claims.get(id).copied().unwrap_or_default();
            findings.require(found == campaign.claims, || {
                format!("campaign {id} miscounts its claims")
            });
            let takes = campaign.spec.share.preempt && self.shares.is_open(*id);
            findings.require(takes == self.preempting.contains(id), || {
                format!("the index of campaigns that take slots is wrong about campaign {id}")
            });
        }
    }

    fn check_spent(&self, findings: &mut Findings) {
        let mut spent: BTreeMap<&str, Spent> = BTreeMap::new();
        for campaign in self.campaigns.values() {
            let energy: Energy = campaign.candidates.iter().map(|found| found.energy()).sum();
            findings.require(energy == campaign.energy, || {
                format!("campaign {} miscounts its energy", campaign.id)
            });
            let slots: Span = campaign.candidates.iter().map(|found| found.elapsed()).sum();
            let user = spent.entry(campaign.owner.as_deref().unwrap_or_default()).or_default();
            user.evaluations += u64::from(campaign.started);
            user.slot_time = user.slot_time + slots;
            user.energy = user.energy + energy;
        }
        for (name, used) in spent {
            findings.require(self.spent_by(name) == used, || {
                format!("user `{name}` has used {used:?}, counted is {:?}", self.spent_by(name))
            });
        }
    }
}
