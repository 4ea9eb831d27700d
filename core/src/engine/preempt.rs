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
use super::dispatch::{Asked, Given, Next};
use super::effect::StopReason;
use super::event::LeaseEnd;
use super::state::State;
use super::task::Task;
use super::worker::Worker;
use crate::id::{CampaignId, TaskId, WorkerId};
use crate::time::Span;

/// A queue that is longer is not looked through for the least memory that it needs.
const LOOKED_AT: usize = 256;
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
        let (mut victims, refused) = self.victims(id, (priority, most), proposes, asked);
        if proposes && refused {
            // Where nothing was proposed after all, what is queued may suit the slots of others.
            let (others, _) = self.victims(id, (priority, most), false, asked);
            victims = if others.len() > victims.len() { others } else { victims };
        }
        // What it has taken and not got is for so many of its tasks.
        victims.truncate(victims.len().saturating_sub(claims));
        for victim in victims {
            self.withdraw(victim, StopReason::Preempted, LeaseEnd::Preempted { by: id });
        }
    }

    /// The leases to end for a campaign of this priority, in order, at most so many: one for each of its tasks
    /// that the holder would get. And whether there was none for a slot that it might have had a use of.
    fn victims(
        &mut self,
        id: CampaignId,
        (priority, most): (i32, usize),
        proposes: bool,
        asked: &mut Asked,
    ) -> (Vec<TaskId>, bool) {
        let campaign = &self.state.campaigns[&id];
        let found = Demand::of(self.state, campaign, proposes).slots(priority, most);
        let (mut meant, mut victims, looked_at) = (BTreeSet::new(), Vec::new(), found.len());
        for (victim, worker) in found {
            if let Some(task) = self.task_for(worker, id, &meant, asked) {
                meant.insert(task);
                victims.push(victim);
            }
        }
        let refused = victims.len() < looked_at;
        (victims, refused)
    }

    /// The task that a worker would get from a campaign if it had room, besides those that are `meant` for
    /// others: a slot is taken for something that exists, and that nobody knows the result of.
    fn task_for(
        &mut self,
        worker: WorkerId,
        id: CampaignId,
        meant: &BTreeSet<TaskId>,
        asked: &mut Asked,
    ) -> Option<TaskId> {
        loop {
            let (campaign, found) = (&self.state.campaigns[&id], &self.state.workers[&worker]);
            let task = match self.state.queued_for(campaign, found, meant) {
                Some(task) => task,
                None => match self.new_task(worker, id, asked) {
                    Next::Task(task) => task,
                    Next::NotHere | Next::Dry => return None,
                },
            };
            match self.answer(task, worker) {
                Some(Given::Result) => drop(asked.barren.remove(&id)),
                Some(_) => return None,
                None => return Some(task),
            }
        }
    }
}

/// What a campaign may have for workers whose slots are in use.
struct Demand<'a> {
    state: &'a State,
    campaign: &'a Campaign,
    /// Whether it may propose candidates.
    proposes: bool,
    /// The stages of what it may have.
    stages: BTreeSet<u8>,
    /// The least memory that a queued task needs, as far as it is known, bytes; `None` if nothing is queued that
    /// could be begun.
    least_bytes: Option<u64>,
}

impl<'a> Demand<'a> {
    fn of(state: &'a State, campaign: &'a Campaign, proposes: bool) -> Self {
        let tasks = campaign.queue.iter().filter_map(|task| state.tasks.get(&task));
        let ready = tasks.filter(|task| task.awaited_until.is_none_or(|until| until <= state.now));
        let bytes = |task: &Task| {
            campaign.predicted_bytes(task.candidate.ordinal, task.stage).unwrap_or_default()
        };
        // A long queue is not looked through for it.
        let least_bytes = match campaign.queue.len() > LOOKED_AT {
            true => Some(0),
            false => ready.map(bytes).min(),
        };
        let stages = campaign.stages_of_work(proposes);
        Self { state, campaign, proposes, stages, least_bytes }
    }

    /// Leases of priorities below its own whose slots it may have a use of, and their holders, at most so many.
    fn slots(&self, priority: i32, most: usize) -> Vec<(TaskId, WorkerId)> {
        let mut found = BTreeSet::new();
        for (capabilities, kind) in self.state.kinds.iter() {
            if !self.campaign.has_for_kind(capabilities, &self.stages) {
                continue;
            }
            let (mut useful, mut too_small) = (BTreeMap::new(), 0);
            let lower = self.state.leases.below(kind, priority).filter_map(|place| {
                let worker = self.state.holder(place.2.0)?;
                let useful = useful
                    .entry(worker.id)
                    .or_insert_with(|| self.may_have_for(worker, &mut too_small));
                useful.then_some((place, worker.id))
            });
            found.extend(lower.take(most));
        }
        found.into_iter().take(most).map(|((.., task), worker)| (task.0, worker)).collect()
    }

    /// Whether it may have something for a worker; `too_small` is the most memory in which workers of its kind,
    /// if none is barred, have no use for it.
    fn may_have_for(&self, worker: &Worker, too_small: &mut u64) -> bool {
        let Self { state, campaign, .. } = self;
        let memory = worker.capabilities.memory_bytes;
        let is_like_others = memory > 0 && worker.barred.is_empty();
        if !worker.takes_work() || (is_like_others && memory <= *too_small) {
            return false;
        }
        let fits = self.least_bytes.is_some_and(|least| memory == 0 || least <= memory);
        let new = || {
            self.proposes
                && campaign.unsuited(worker, 0).is_none()
                && !state.is_flooded(campaign, worker)
        };
        let found = (fits && state.queued_for(campaign, worker, &BTreeSet::new()).is_some())
            || campaign.to_call_up(worker).is_some()
            || new();
        if !found && !fits && is_like_others {
            *too_small = memory;
        }
        found
    }
}

impl State {
    /// Who holds the lease of a task.
    pub(super) fn holder(&self, task: TaskId) -> Option<&Worker> {
        self.workers.get(&self.tasks.get(&task)?.lease()?.worker)
    }

    /// The lease that a task of a campaign which does not wait waits for at its worker, and the campaign: of
    /// the lowest priority, then the youngest.
    pub(super) fn in_the_way(&self, task: TaskId) -> Option<(CampaignId, TaskId)> {
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
            (theirs < priority).then_some((theirs, Reverse(since), Reverse(other.id)))
        });
        lower.min().map(|(_, _, victim)| (campaign.id, victim.0))
    }
}
