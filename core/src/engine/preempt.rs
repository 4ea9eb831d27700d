//! Slots for campaigns that do not wait: leases of lower priorities end, the lowest priority first,
//! then the youngest lease, and their tasks are queued again without costing an attempt.
//!
//! A campaign takes at most one slot more than it has in use, less those that it took and has not got
//! yet: so it reaches what it can use in a few rounds, and takes little that it cannot. A worker is sent more
//! than it has slots for, so what such a campaign was given may wait there: it does not wait behind lower
//! priorities.
//!
//! Must not know weights: of shares only the priority counts here.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::decide::Decision;
use super::effect::StopReason;
use super::event::LeaseEnd;
use crate::id::{CampaignId, TaskId};

/// How many leases are looked at in one go.
const LOOKED_AT: usize = 256;

impl Decision<'_> {
    /// Takes slots for campaigns that have work and found no room, or whose work waits at its worker; `dry`
    /// have none after all.
    pub(super) fn preempt(&mut self, dry: &BTreeSet<CampaignId>) {
        for task in self.leased_now() {
            self.make_way(task);
        }
        if self.state.preempting.is_empty() {
            return;
        }
        let mut place = self.state.shares.after(None);
        let mut left = self.state.preempting.len();
        while let Some(found) = place.filter(|_| left > 0) {
            if self.state.preempting.contains(&found.campaign()) {
                left -= 1;
                if !dry.contains(&found.campaign()) {
                    self.take_slots(found.campaign(), found.priority());
                }
            }
            place = self.state.shares.after(Some(found));
        }
    }

    /// Ends leases of lower priorities before a task at its worker until it has a slot, if its campaign does
    /// not wait.
    fn make_way(&mut self, task: TaskId) {
        while let Some((id, victim)) = self.state.in_the_way(task) {
            self.withdraw(victim, StopReason::Preempted, LeaseEnd::Preempted { by: id });
        }
    }

    fn take_slots(&mut self, id: CampaignId, priority: i32) {
        let campaign = &self.state.campaigns[&id];
        let (used, taken) = (campaign.leased.len(), campaign.claims as usize);
        let wanted = self.state.wanted_slots(campaign).min(used + 1).saturating_sub(taken);
        let lower = self.state.leases.iter().take_while(|(other, ..)| *other < priority);
        let useful = lower.take(LOOKED_AT).filter(|(_, _, task)| self.state.could_use(id, *task));
        let victims: Vec<TaskId> = useful.take(wanted).map(|(_, _, task)| *task).collect();
        for task in victims {
            self.withdraw(task, StopReason::Preempted, LeaseEnd::Preempted { by: id });
        }
    }
}

impl super::state::State {
    /// How many slots a campaign could use at most.
    fn wanted_slots(&self, campaign: &super::campaign::Campaign) -> usize {
        let budget = campaign.spec.budget.evaluations.saturating_sub(campaign.started);
        let proposals = if self.may_propose(campaign) { budget as usize } else { 0 };
        campaign.queue.len() + campaign.waiting() + proposals
    }

    /// The lease that a task of a campaign which does not wait waits for at its worker, and the campaign: of
    /// the lowest priority, then the youngest.
    fn in_the_way(&self, task: TaskId) -> Option<(CampaignId, TaskId)> {
        let found = self.tasks.get(&task)?;
        let campaign = self.campaigns.get(&found.candidate.campaign)?;
        let lease = found.lease().filter(|_| campaign.spec.share.preempt)?;
        let holder = self.workers.get(&lease.worker)?;
        let priority = self.shares.priority(campaign.id)?;
        let leases = holder.leases.iter().filter_map(|id| self.tasks.get(id));
        let before: Vec<_> = leases
            .filter_map(|other| Some((other, other.lease()?.since)))
            .filter(|(_, since)| *since < lease.since)
            .collect();
        if before.len() < holder.capabilities.slots as usize {
            return None;
        }
        let lower = before.into_iter().filter_map(|(other, since)| {
            let theirs = self.shares.priority(other.candidate.campaign)?;
            (theirs < priority).then_some((theirs, Reverse(since), other.id))
        });
        lower.min().map(|(_, _, victim)| (campaign.id, victim))
    }

    /// Whether a campaign could use the slot of a lease.
    fn could_use(&self, id: CampaignId, task: TaskId) -> bool {
        let campaign = &self.campaigns[&id];
        let lease = self.tasks.get(&task).and_then(|task| task.lease());
        let Some(worker) = lease.and_then(|lease| self.workers.get(&lease.worker)) else {
            return false;
        };
        let queued =
            || campaign.queue.iter().filter_map(|task| self.tasks.get(&task)).take(LOOKED_AT);
        let proposes = self.may_propose(campaign) && campaign.unsuited(worker, 0).is_none();
        let promotes = || {
            campaign.promotable().any(|(_, stage)| campaign.unsuited(worker, stage + 1).is_none())
        };
        worker.takes_work()
            && (proposes
                || promotes()
                || queued().any(|task| self.kept_from(task, worker).is_none()))
    }
}
