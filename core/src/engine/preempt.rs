//! Slots for campaigns that do not wait: leases of lower priorities end, the lowest priority first,
//! then the youngest lease, and their tasks are queued again without costing an attempt.
//!
//! A campaign takes at most one slot more than it has in use, less those that it took and has not got
//! yet: so it reaches what it can use in a few rounds, and takes little that it cannot. Each is for a task that
//! exists and that very worker would get, and none is taken for a while after a slot that it took went back to a lower
//! priority: what it takes costs others their evaluations. A worker is sent more
//! than it has slots for, so what such a campaign was given may wait there: it does not wait behind lower
//! priorities.
//!
//! Must not know weights: of shares only the priority counts here.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::campaign::Campaign;
use super::decide::Decision;
use super::dispatch::{Asked, Next};
use super::effect::StopReason;
use super::event::LeaseEnd;
use super::state::State;
use super::worker::Worker;
use crate::id::{CampaignId, TaskId, WorkerId};
use crate::time::Span;

/// So long a campaign takes no slots after one that it took went back to a lower priority.
pub(super) const UNUSED_PAUSE: Span = Span::from_secs(10);

impl Decision<'_> {
    /// Takes slots for campaigns that have work and found no room, or whose work waits at its worker; what
    /// they were `asked` for before in this step, they are not asked for again.
    pub(super) fn preempt(&mut self, asked: &mut Asked) {
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
                if !asked.dry.contains(&found.campaign()) {
                    self.take_slots(found.campaign(), found.priority(), asked);
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

    fn take_slots(&mut self, id: CampaignId, priority: i32, asked: &mut Asked) {
        let campaign = &self.state.campaigns[&id];
        let (most, claims) = (campaign.leased.len() + 1, campaign.claims as usize);
        if claims >= most || campaign.takes_again_at > self.at {
            return;
        }
        let proposes = self.state.may_propose(campaign) && !asked.barren.contains(&id);
        let found = Demand { state: self.state, campaign, proposes }.slots(priority, most);
        let (mut meant, mut victims) = (BTreeSet::new(), Vec::new());
        for (victim, worker) in found {
            if let Some(task) = self.task_for(worker, id, &meant, asked) {
                meant.insert(task);
                victims.push(victim);
            }
        }
        // What it has taken and not got is for the first of them.
        for victim in victims.into_iter().skip(claims) {
            self.withdraw(victim, StopReason::Preempted, LeaseEnd::Preempted { by: id });
        }
    }

    /// The task that a worker would get from a campaign if it had room, besides those that are `meant` for
    /// others: a slot is taken for something that exists.
    fn task_for(
        &mut self,
        worker: WorkerId,
        id: CampaignId,
        meant: &BTreeSet<TaskId>,
        asked: &mut Asked,
    ) -> Option<TaskId> {
        let (campaign, found) = (&self.state.campaigns[&id], &self.state.workers[&worker]);
        if let Some(task) = self.state.queued_for(campaign, found, meant) {
            return Some(task);
        }
        match self.new_task(worker, id, asked) {
            Next::Task(task) => Some(task),
            Next::NotHere | Next::Dry => None,
        }
    }
}

/// What a campaign may have for workers whose slots are in use.
struct Demand<'a> {
    state: &'a State,
    campaign: &'a Campaign,
    /// Whether it may propose candidates.
    proposes: bool,
}

impl Demand<'_> {
    /// Leases of priorities below its own whose slots it may have a use of, and their holders, at most so many.
    fn slots(&self, priority: i32, most: usize) -> Vec<(TaskId, WorkerId)> {
        let stages = self.stages();
        let mut found = BTreeSet::new();
        for (capabilities, kind) in self.state.kinds.iter() {
            let mut served = stages.iter().filter_map(|at| self.campaign.stages.get(*at));
            if served.all(|stage| self.campaign.lacks(capabilities, stage).is_some()) {
                continue;
            }
            let mut useful = BTreeMap::new();
            let lower = self.state.leases.below(kind, priority).filter_map(|place| {
                let worker = self.state.holder(place.2)?;
                let useful = useful.entry(worker.id).or_insert_with(|| self.may_have_for(worker));
                useful.then_some((place, worker.id))
            });
            found.extend(lower.take(most));
        }
        found.into_iter().take(most).map(|((.., task), worker)| (task, worker)).collect()
    }

    /// The stages of what it may have.
    fn stages(&self) -> BTreeSet<usize> {
        let queued = self.campaign.queue.stages().map(|(stage, _)| stage);
        let next = self.campaign.promotable().map(|(_, stage)| stage + 1);
        queued.chain(next).chain(self.proposes.then_some(0)).map(usize::from).collect()
    }

    fn may_have_for(&self, worker: &Worker) -> bool {
        let Self { state, campaign, .. } = self;
        let new = || {
            self.proposes
                && campaign.unsuited(worker, 0).is_none()
                && !state.is_flooded(campaign, worker)
        };
        worker.takes_work()
            && (state.queued_for(campaign, worker, &BTreeSet::new()).is_some()
                || campaign.to_call_up(worker).is_some()
                || new())
    }
}

impl State {
    /// Who holds the lease of a task.
    fn holder(&self, task: TaskId) -> Option<&Worker> {
        self.workers.get(&self.tasks.get(&task)?.lease()?.worker)
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
}
