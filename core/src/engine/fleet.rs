//! Which workers get work: drains, quarantines and releases.
//!
//! Must not know which task goes where; `dispatch` does.

use std::collections::BTreeSet;

use super::command::Rejected;
use super::decide::Decision;
use super::effect::{Effect, StopReason};
use super::event::{Event, LeaseEnd, Release};
use super::policy::QuarantineRule;
use super::worker::Worker;
use crate::id::{SessionId, WorkerId};
use crate::time::Timestamp;

impl Worker {
    /// Why the worker's latest attempts put it into quarantine, if they do.
    fn suspicion(&self, rule: &QuarantineRule) -> Option<String> {
        let latest = self.record.iter().rev().take(rule.of_last as usize);
        let failed: BTreeSet<_> = latest.filter_map(|failed| *failed).collect();
        let suspect = rule.failures > 0 && failed.len() >= rule.failures as usize;
        suspect.then(|| {
            let (found, of) = (failed.len(), rule.of_last);
            format!("{found} different candidates failed here in the last {of} attempts")
        })
    }
}

impl Decision<'_> {
    fn named(&self, worker: WorkerId) -> Result<&Worker, Rejected> {
        self.state.workers.get(&worker).ok_or(Rejected::NoSuchWorker(worker))
    }

    /// A worker finishes what it runs and leaves; or leaves what it runs, at once.
    pub(super) fn drain_worker(&mut self, worker: WorkerId, at_once: bool) -> Result<(), Rejected> {
        let found = self.named(worker)?;
        let (session, connected, drains) = (found.session, found.connected, found.draining);
        if !drains {
            self.emit(Event::WorkerDraining(worker));
        }
        if at_once {
            self.withdraw_all(worker);
        }
        if connected {
            self.effect(Effect::Drain { worker, session });
        }
        self.dispatch();
        Ok(())
    }

    fn withdraw_all(&mut self, worker: WorkerId) {
        for task in self.state.workers[&worker].leases.clone() {
            self.withdraw(task, StopReason::Preempted, LeaseEnd::Drained);
        }
    }

    /// The worker says that it takes nothing more and leaves when it has finished.
    pub(super) fn worker_drains(
        &mut self,
        worker: WorkerId,
        session: SessionId,
    ) -> Result<(), Rejected> {
        self.require_session(worker, session)?;
        if !self.state.workers[&worker].leaving {
            self.emit(Event::WorkerLeaving(worker));
        }
        Ok(())
    }

    /// A worker gets work again. One that has heard that it is to leave does so, whatever is said later.
    pub(super) fn release_worker(&mut self, worker: WorkerId) -> Result<(), Rejected> {
        let found = self.named(worker)?;
        if found.quarantine.is_none() && !found.is_draining() {
            return Err(Rejected::NotHeld(found.name.clone()));
        }
        if found.quarantine.is_none() && found.connected {
            return Err(Rejected::Leaves(found.name.clone()));
        }
        self.emit(Event::WorkerReleased { worker, by: Release::Operator });
        self.dispatch();
        Ok(())
    }

    /// Puts a worker into quarantine if its latest attempts ask for it.
    pub(super) fn judge(&mut self, worker: WorkerId) {
        let Some(found) = self.state.workers.get(&worker) else { return };
        let rule = self.state.policy.quarantine;
        if found.quarantine.is_some() {
            return;
        }
        if let Some(reason) = found.suspicion(&rule) {
            let until = rule.release_after.map(|span| self.at + span);
            let reason = reason.into();
            self.emit(Event::WorkerQuarantined { worker, reason, until });
        }
    }

    /// Releases workers whose quarantine is over.
    pub(super) fn release_in_time(&mut self) {
        while let Some(worker) = self.state.release_due(self.at) {
            self.emit(Event::WorkerReleased { worker, by: Release::Time });
        }
    }
}

impl super::state::State {
    fn release_due(&self, now: Timestamp) -> Option<WorkerId> {
        let (until, worker) = self.releases.first()?;
        (*until <= now).then_some(*worker)
    }
}
