//! What events mean for workers' standing, shares, claims and what users have used. Must not know when a worker
//! is put into quarantine, nor who is served next.

use std::cmp::Reverse;
use std::sync::Arc;

use crate::energy::Energy;
use crate::engine::campaign::Campaign;
use crate::engine::event::LeaseEnd;
use crate::engine::failure::{Failure, FailureKind};
use crate::engine::lease_order::LeaseOrder;
use crate::engine::policy::FleetPolicy;
use crate::engine::preempt::UNUSED_PAUSE;
use crate::engine::ready::Kind;
use crate::engine::state::State;
use crate::engine::task::TaskStatus;
use crate::engine::worker::{Quarantine, Worker};
use crate::id::{CampaignId, TaskId, WorkerId};
use crate::time::{Span, Timestamp};

/// So many workers that complete a stage are remembered: enough to know of each whether there is
/// another.
const SERVED: usize = 2;

impl State {
    /// A worker is gone; with a goodbye it has done what it was told to, and its next process may work.
    pub(super) fn part(&mut self, id: WorkerId, goodbye: bool) {
        self.forget_claims(id);
        if let Some(found) = self.workers.get_mut(&id) {
            found.connected = false;
            found.credit = 0;
            found.draining &= !goodbye;
            found.leaving &= !goodbye;
        }
        self.ready.remove(id);
    }

    pub(super) fn see(&mut self, id: WorkerId, at: Timestamp) {
        if let Some(found) = self.workers.get_mut(&id) {
            found.last_seen = at;
        }
    }

    pub(super) fn set_credit(&mut self, id: WorkerId, credit: u32) {
        if let Some(found) = self.workers.get_mut(&id) {
            found.credit = credit;
        }
        self.file_worker(id);
    }

    /// Gives a new campaign its place among the shares.
    pub(super) fn enrol(&mut self, campaign: &Campaign) {
        let owner = Self::owner(campaign);
        let share = campaign.spec.share;
        let user = self.policy.of_user(owner);
        let priority = user.max_priority.map_or(share.priority, |most| share.priority.min(most));
        self.shares.enrol(campaign.id, owner, priority, share.weight);
        self.shares.set_user_weight(owner, user.weight, self.now);
    }

    /// Files a campaign whose work may have changed; all of its owner, if a budget of the owner begins
    /// to hold them.
    pub(super) fn file_shares(&mut self, id: CampaignId) {
        self.file_share(id);
        let Some(owner) = self.campaigns.get(&id).map(|campaign| campaign.owner.clone()) else {
            return;
        };
        let owner = owner.unwrap_or_default();
        if self.note_limits(&owner) {
            for campaign in self.shares.campaigns_of(&owner) {
                self.file_share(campaign);
            }
        }
    }

    /// Whether it has changed which limits of a user are reached.
    fn note_limits(&mut self, owner: &Arc<str>) -> bool {
        let (spent, budget) = (self.spent_by(owner), self.policy.of_user(owner).budget);
        let reached = (spent.holds(&budget).is_some(), spent.stops_proposals(&budget).is_some());
        let before = self.limits_reached.get(owner).copied().unwrap_or_default();
        if reached != before {
            self.limits_reached.insert(owner.clone(), reached);
        }
        reached != before
    }

    /// Puts a campaign into the order of service if it has work to give, or takes it out.
    fn file_share(&mut self, id: CampaignId) {
        let Some(campaign) = self.campaigns.get(&id) else { return };
        let open = self.has_work(campaign);
        if open && campaign.spec.share.preempt {
            self.preempting.insert(id);
        } else {
            self.preempting.remove(&id);
        }
        self.shares.set_open(id, open, self.now);
    }

    pub(super) fn govern(&mut self, policy: Arc<FleetPolicy>) {
        self.policy = policy;
        let users: Vec<Arc<str>> = self.shares.users().cloned().collect();
        for user in users {
            let weight = self.policy.of_user(&user).weight;
            self.shares.set_user_weight(&user, weight, self.now);
            self.note_limits(&user);
        }
        for campaign in self.campaigns.values() {
            let wanted = campaign.spec.share.priority;
            let most = self.policy.of_user(Self::owner(campaign)).max_priority;
            self.shares.set_priority(campaign.id, most.map_or(wanted, |most| wanted.min(most)));
        }
        self.leases = self.lease_order();
        for id in self.active.clone() {
            self.file_share(id);
        }
    }

    /// Where every lease stands.
    fn lease_order(&self) -> LeaseOrder {
        let leases = self.tasks.values().filter_map(|task| {
            let priority = self.shares.priority(task.candidate.campaign)?;
            let lease = task.lease()?;
            let kind = self.workers.get(&lease.worker)?.kind;
            Some((kind, (priority, Reverse(lease.since), Reverse(task.id))))
        });
        leases.collect()
    }

    /// Files the leases of a worker, as it was before, with those of another kind.
    pub(super) fn move_leases(&mut self, before: &Worker, kind: Kind) {
        let tasks = before.leases.iter().filter_map(|id| self.tasks.get(id));
        for task in tasks {
            let Some(lease) = task.lease() else { continue };
            let priority = self.shares.priority(task.candidate.campaign).unwrap_or_default();
            let place = (priority, Reverse(lease.since), Reverse(task.id));
            self.leases.remove(before.kind, place);
            self.leases.insert(kind, place);
        }
    }

    pub(super) fn end_lease(&mut self, id: TaskId, end: LeaseEnd) {
        let lost = matches!(end, LeaseEnd::Expired | LeaseEnd::Forgotten);
        let taken_by = self.claimant(id, end);
        let Some(task) = self.tasks.get_mut(&id) else { return };
        task.withdrawn = matches!(end, LeaseEnd::Preempted { .. } | LeaseEnd::Drained);
        let holder = match &task.status {
            TaskStatus::Leased(lease) => Some(lease.worker),
            TaskStatus::Queued => None,
        };
        task.lost = lost;
        if let Some(worker) = holder.filter(|_| lost) {
            task.failures.push((FailureKind::LeaseExpired, worker));
        }
        task.owing.extend(holder.map(|worker| (task.attempt, worker)));
        let withdrawn = task.withdrawn;
        let handed_back = matches!(end, LeaseEnd::HandedBack);
        task.excused += u32::from(withdrawn || (handed_back && task.got_on()));
        self.release(id, lost);
        let awaited = self.tasks.get(&id).zip(holder.filter(|_| withdrawn));
        let awaited = awaited.and_then(|(task, worker)| self.awaits_state(task, worker));
        if let Some(task) = self.tasks.get_mut(&id) {
            task.awaited_until = awaited;
        }
        if let Some((by, worker)) = taken_by.zip(holder) {
            self.claim(by, worker);
        }
    }

    /// The campaign for whose next task a lease ends; none where it makes way for a task that is at its worker
    /// already.
    fn claimant(&self, id: TaskId, end: LeaseEnd) -> Option<CampaignId> {
        let LeaseEnd::Preempted { by } = end else { return None };
        let holder = self.holder(id)?;
        let mut waits = holder.leases.iter().filter_map(|waiting| self.in_the_way(*waiting));
        (!waits.any(|found| found == (by, id))).then_some(by)
    }

    /// A slot of this worker was taken for this campaign.
    fn claim(&mut self, id: CampaignId, worker: WorkerId) {
        let found = self.workers.get_mut(&worker).zip(self.campaigns.get_mut(&id));
        if let Some((worker, campaign)) = found.filter(|(worker, _)| worker.connected) {
            worker.vacated.push(id);
            campaign.claims += 1;
        }
    }

    /// A slot of this worker went to this campaign: a claim on it is met, or lost to another; if to one of a
    /// lower priority, the slot was taken for nothing.
    pub(super) fn fill_vacancy(&mut self, worker: WorkerId, by: CampaignId) {
        let Some(worker) = self.workers.get_mut(&worker) else { return };
        let own = worker.vacated.iter().position(|id| *id == by);
        let Some(at) = own.or(worker.vacated.len().checked_sub(1)) else { return };
        let id = worker.vacated.remove(at);
        let unused = self.shares.priority(by) < self.shares.priority(id);
        if let Some(campaign) = self.campaigns.get_mut(&id) {
            campaign.claims = campaign.claims.saturating_sub(1);
            if unused {
                campaign.takes_again_at = self.now + UNUSED_PAUSE;
            }
        }
    }

    /// The worker's slots begin anew, or it gets no work: what was taken has to be taken elsewhere.
    pub(super) fn forget_claims(&mut self, worker: WorkerId) {
        let Some(worker) = self.workers.get_mut(&worker) else { return };
        for id in std::mem::take(&mut worker.vacated) {
            if let Some(campaign) = self.campaigns.get_mut(&id) {
                campaign.claims = campaign.claims.saturating_sub(1);
            }
        }
    }

    pub(super) fn fail_attempt(
        &mut self,
        id: TaskId,
        worker: WorkerId,
        failure: &Failure,
        elapsed: Span,
    ) {
        let counts = failure.kind.counts_as_attempt();
        self.release(id, counts);
        self.charge(id, elapsed);
        let Some(task) = self.tasks.get_mut(&id) else { return };
        task.reported = true;
        task.excused += u32::from(failure.kind == FailureKind::Preempted && task.got_on());
        if counts {
            task.failures.push((failure.kind, worker));
        }
        let (candidate, stage) = (task.candidate, task.stage);
        let Some(found) = self.workers.get_mut(&worker) else { return };
        found.failed += 1;
        if failure.kind == FailureKind::BadNode {
            found.barred.insert((candidate.campaign, stage), failure.message.clone());
        }
        let campaign = self.campaigns.get(&candidate.campaign);
        let elsewhere = campaign.is_some_and(|campaign| campaign.works_without(worker, stage));
        if failure.kind.speaks_against_worker() && elsewhere {
            found.note(Some(candidate));
        }
    }

    pub(super) fn use_energy(&mut self, id: TaskId, energy: Energy) {
        let Some(task) = self.tasks.get(&id) else { return };
        let (candidate, stage) = (task.candidate, usize::from(task.stage));
        let Some(campaign) = self.campaigns.get_mut(&candidate.campaign) else { return };
        campaign.energy = campaign.energy + energy;
        if let Some(tally) = campaign.tallies.get_mut(stage) {
            tally.energy = tally.energy + energy;
        }
        let owner = campaign.owner.clone().unwrap_or_default();
        if let Some(candidate) = campaign.candidate_mut(candidate) {
            candidate.energy = candidate.energy + energy;
        }
        let spent = self.spent.entry(owner).or_default();
        spent.energy = spent.energy + energy;
    }

    pub(super) fn drain(&mut self, id: WorkerId) {
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.draining = true;
            self.ready.remove(id);
        }
        self.forget_claims(id);
    }

    pub(super) fn leave(&mut self, id: WorkerId) {
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.leaving = true;
            self.ready.remove(id);
        }
        self.forget_claims(id);
    }

    pub(super) fn quarantine(&mut self, id: WorkerId, quarantine: Quarantine) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        self.releases.extend(quarantine.until.map(|until| (until, id)));
        worker.quarantine = Some(quarantine);
        self.ready.remove(id);
        self.forget_claims(id);
    }

    pub(super) fn release_worker(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        let until = worker.quarantine.take().and_then(|quarantine| quarantine.until);
        // Whoever is away begins anew when it is back, whatever it was told or said.
        worker.draining &= worker.connected;
        worker.leaving &= worker.connected;
        worker.record.clear();
        if let Some(until) = until {
            self.releases.remove(&(until, id));
        }
        self.file_worker(id);
    }

    /// Files a worker whose room or standing may have changed among those that get work, or takes it out.
    pub(super) fn file_worker(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.get(&id) else { return };
        if worker.takes_work() && worker.room() > 0 {
            self.ready.insert(id, worker.kind);
        } else {
            self.ready.remove(id);
        }
    }
}

impl Campaign {
    /// A worker completed a stage.
    pub(super) fn note_served(&mut self, stage: u8, worker: WorkerId) {
        if let Some(served) = self.served.get_mut(usize::from(stage))
            && served.len() < SERVED
        {
            served.insert(worker);
        }
    }
}
