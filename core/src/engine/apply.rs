//! The only writer of the state: what each event means, live and on replay alike. What events mean for
//! the fleet and its shares is in `fleet`.
//!
//! `apply` is total: it accepts any event. An event that refers to something that does not exist
//! (which a sound journal never holds) changes nothing.
//!
//! Must not know commands or effects, nor decide anything: why an event came about is not asked here.

use std::cmp::Reverse;

use super::campaign::{Campaign, CampaignStatus};
use super::candidate::CandidateStatus;
use super::checkpoint::Attached;
use super::curve::{CurvePoint, Standing};
use super::event::Event;
use super::state::State;
use super::task::{Lease, Task, TaskStatus};
use super::worker::{Quarantine, Worker};
use crate::id::{Attempt, CampaignId, CandidateId, SessionId, TaskId, WorkerId};
use crate::objective::Measurement;
use crate::time::{Span, Timestamp};

mod cache;
mod campaigns;
mod candidates;
mod fleet;

impl State {
    pub(super) fn apply(&mut self, event: &Event, at: Timestamp) {
        self.now = self.now.max(at);
        self.durable_events += u64::from(event.is_durable());
        if event.is_durable() {
            self.shares.renew(at);
        }
        self.write(event, at);
        if let Some(campaign) = self.campaign_of(event) {
            self.file_shares(campaign);
        }
    }

    fn write(&mut self, event: &Event, at: Timestamp) {
        match event {
            Event::Started { lease_length } => self.start(*lease_length, at),
            Event::CampaignSubmitted { campaign, submission, spec, source, owner } => {
                let mut created =
                    Campaign::new(*campaign, *submission, spec.clone(), source.clone(), at);
                created.owner.clone_from(owner);
                self.open_campaign(created);
            }
            Event::CampaignPaused(id) => self.set_status(*id, CampaignStatus::Paused),
            Event::CampaignResumed(id) => self.set_status(*id, CampaignStatus::Running),
            Event::CampaignDraining { campaign, reason } => {
                self.drain_campaign(*campaign, *reason);
            }
            Event::CampaignFinished { campaign, reason } => {
                self.close_campaign(*campaign, *reason, at);
            }
            Event::FitStarted { campaign, results } => self.start_fit(*campaign, *results),
            Event::ModelAdopted { campaign, results } => self.adopt_model(*campaign, *results),
            Event::CandidateProposed { candidate, proposal, analytic } => {
                self.propose(*candidate, proposal, analytic, at);
            }
            Event::CandidateInfeasible { candidate, reason } => {
                let status = CandidateStatus::Infeasible(reason.clone());
                self.resolve(*candidate, status, at);
            }
            Event::StopDecided { task, standing, .. } => self.call_hopeless(*task, *standing),
            Event::CurveRecorded { task, points, .. } => self.record_curve(*task, points),
            Event::TaskQueued { task, candidate, stage, repeat } => {
                self.queue(*task, *candidate, (*stage, *repeat));
            }
            Event::TaskLeased { task, attempt, worker, session, deadline } => {
                self.lease(*task, *attempt, (*worker, *session), *deadline, at);
            }
            Event::LeaseRenewed { task, deadline, heard } => self.renew(*task, *deadline, *heard),
            Event::LeaseEnded { task, end, .. } => self.end_lease(*task, *end),
            Event::EnergyUsed { task, energy, .. } => self.use_energy(*task, *energy),
            Event::TaskCompleted {
                task,
                attempt,
                worker,
                measurements,
                attached,
                elapsed,
                key,
                repeated,
            } => {
                self.keep(*task, *attempt, *worker, *key);
                self.complete(*task, *worker, (measurements, attached), (*elapsed, *repeated));
            }
            Event::RepeatsAveraged { candidate, measurements, .. } => {
                self.average(*candidate, measurements);
            }
            Event::ResultTaken { task, origin, measurements } => {
                self.take_result(*task, origin, measurements);
            }
            Event::AttemptYielded { task, attempt, checkpoint, step, elapsed, .. } => {
                self.charge(*task, *elapsed);
                self.yield_attempt(*task, *attempt, (*checkpoint, *step));
            }
            Event::StateSaved { task, attempt, checkpoint, step, .. } => {
                self.save_state(*task, *attempt, (*checkpoint, *step));
            }
            Event::AttemptFailed { task, worker, failure, elapsed, .. } => {
                self.fail_attempt(*task, *worker, failure, *elapsed);
            }
            Event::TaskRequeued(task) => self.requeue(*task),
            Event::TaskFailed { task, .. } => self.remove_task(*task),
            Event::CandidateScored { candidate, violation } => {
                self.resolve(*candidate, CandidateStatus::Scored { violation: *violation }, at);
            }
            Event::CandidateWaiting { candidate, stage } => self.wait(*candidate, *stage),
            Event::CandidateScreened { candidate, screening } => {
                self.resolve(*candidate, CandidateStatus::Screened(screening.clone()), at);
            }
            Event::CandidateFailed { candidate, failure } => {
                self.resolve(*candidate, CandidateStatus::Failed(failure.clone()), at);
            }
            Event::WorkerRegistered { worker, name, session, capabilities } => {
                let kind = self.kinds.join(capabilities);
                let (name, offered) = (name.clone(), capabilities.clone());
                self.register(Worker::new(*worker, (name, *session), (offered, kind), at));
            }
            Event::WorkerLeft { worker, goodbye } => self.part(*worker, *goodbye),
            Event::WorkerDraining(worker) => self.drain(*worker),
            Event::WorkerLeaving(worker) => self.leave(*worker),
            Event::WorkerQuarantined { worker, reason, until } => {
                let quarantine = Quarantine { since: at, reason: reason.clone(), until: *until };
                self.quarantine(*worker, quarantine);
            }
            Event::WorkerReleased { worker, .. } => self.release_worker(*worker),
            Event::PolicySet(policy) => self.govern(policy.clone()),
            // The instant is noted for every event.
            Event::TimePassed => {}
            Event::WorkerSeen(worker) => self.see(*worker, at),
            Event::CreditSet { worker, credit } => self.set_credit(*worker, *credit),
            Event::ProgressMade { task, step, steps, metrics } => {
                self.note_progress(*task, (*step, *steps), metrics);
            }
        }
    }

    /// The campaign whose work an event may have changed.
    fn campaign_of(&self, event: &Event) -> Option<CampaignId> {
        match event {
            Event::CampaignSubmitted { campaign, .. }
            | Event::CampaignDraining { campaign, .. }
            | Event::CampaignFinished { campaign, .. } => Some(*campaign),
            Event::CampaignPaused(id) | Event::CampaignResumed(id) => Some(*id),
            Event::CandidateProposed { candidate, .. }
            | Event::CandidateInfeasible { candidate, .. }
            | Event::TaskQueued { candidate, .. }
            | Event::RepeatsAveraged { candidate, .. }
            | Event::CandidateWaiting { candidate, .. }
            | Event::CandidateScreened { candidate, .. }
            | Event::CandidateScored { candidate, .. }
            | Event::CandidateFailed { candidate, .. } => Some(candidate.campaign),
            Event::TaskLeased { task, .. }
            | Event::LeaseEnded { task, .. }
            | Event::EnergyUsed { task, .. }
            | Event::StopDecided { task, .. }
            | Event::CurveRecorded { task, .. }
            | Event::TaskCompleted { task, .. }
            | Event::ResultTaken { task, .. }
            | Event::AttemptYielded { task, .. }
            | Event::StateSaved { task, .. }
            | Event::AttemptFailed { task, .. }
            | Event::TaskFailed { task, .. }
            | Event::TaskRequeued(task) => self.candidate_of_task(*task).map(|id| id.campaign),
            Event::Started { .. }
            | Event::FitStarted { .. }
            | Event::ModelAdopted { .. }
            | Event::LeaseRenewed { .. }
            | Event::WorkerRegistered { .. }
            | Event::WorkerLeft { .. }
            | Event::WorkerDraining(_)
            | Event::WorkerLeaving(_)
            | Event::WorkerQuarantined { .. }
            | Event::WorkerReleased { .. }
            | Event::PolicySet(_)
            | Event::TimePassed
            | Event::WorkerSeen(_)
            | Event::CreditSet { .. }
            | Event::ProgressMade { .. } => None,
        }
    }

    fn start(&mut self, lease_length: Span, at: Timestamp) {
        self.lease_length = lease_length;
        self.ready.clear();
        for campaign in self.campaigns.values_mut() {
            campaign.fitting = None;
            campaign.unfitted = true;
            campaign.claims = 0;
            campaign.takes_again_at = Timestamp(0);
        }
        for worker in self.workers.values_mut() {
            worker.connected = false;
            worker.credit = 0;
            worker.vacated.clear();
        }
        self.deadlines.clear();
        let deadline = at + lease_length;
        for task in self.tasks.values_mut() {
            if let TaskStatus::Leased(lease) = &mut task.status {
                lease.deadline = deadline;
                lease.confirmed = false;
                lease.progress = None;
                lease.curve = None;
                self.deadlines.insert((deadline, task.id));
            }
        }
    }

    fn set_status(&mut self, id: CampaignId, status: CampaignStatus) {
        if let Some(campaign) = self.campaigns.get_mut(&id) {
            campaign.status = status;
        }
    }

    /// Its attempt will be stopped, since it stood so.
    fn call_hopeless(&mut self, id: TaskId, standing: Standing) {
        if let Some(task) = self.tasks.get_mut(&id) {
            task.hopeless = Some(standing);
        }
    }

    fn queue(&mut self, id: TaskId, candidate: CandidateId, (stage, repeat): (u8, u32)) {
        let Some(campaign) = self.campaigns.get_mut(&candidate.campaign) else { return };
        self.task_candidates.push(candidate);
        self.tasks.insert(
            id,
            Task {
                id,
                candidate,
                stage,
                repeat,
                status: TaskStatus::Queued,
                attempt: Attempt(0),
                counted: 0,
                last_worker: None,
                reported: false,
                withdrawn: false,
                lost: false,
                owing: Vec::new(),
                key: None,
                failures: Vec::new(),
                hopeless: None,
                left: None,
                saved_at: None,
                begun_with: None,
                excused: 0,
                awaited_until: None,
            },
        );
        campaign.queue.insert(stage, id);
        if stage == 0 && repeat == 0 {
            let owner = campaign.owner.clone().unwrap_or_default();
            self.spent.entry(owner).or_default().evaluations += 1;
            campaign.started += 1;
            campaign.infeasible_in_a_row = 0;
        }
        if repeat == 0 {
            campaign.enter(candidate, stage, id);
        } else {
            campaign.stay(candidate, stage, id);
        }
    }

    fn lease(
        &mut self,
        id: TaskId,
        attempt: Attempt,
        (worker, session): (WorkerId, SessionId),
        deadline: Timestamp,
        at: Timestamp,
    ) {
        self.release(id, false);
        let key = self.key_to_keep(id, worker);
        let Some(task) = self.tasks.get_mut(&id) else { return };
        let Some(campaign) = self.campaigns.get_mut(&task.candidate.campaign) else { return };
        let is_new = attempt != task.attempt;
        if !is_new {
            task.forgive_loss(worker);
        }
        // Whoever comes back with an attempt may have another version by now.
        task.key = if is_new { key } else { task.key };
        task.begun_with = if is_new { task.left } else { task.begun_with };
        task.attempt = attempt;
        task.last_worker = Some(worker);
        task.reported = false;
        task.withdrawn = false;
        task.lost = false;
        task.owing.retain(|(owing, _)| *owing != attempt);
        task.awaited_until = None;
        task.status = TaskStatus::Leased(Lease {
            worker,
            session,
            deadline,
            since: at,
            confirmed: !is_new,
            progress: None,
            // What an attempt left is gone on with half-way, and judged by no curve that begins there.
            curve: (is_new && task.left.is_none()).then(Vec::new),
        });
        self.deadlines.insert((deadline, id));
        campaign.queue.remove(task.stage, id);
        campaign.leased.insert(id);
        self.shares.begin(campaign.id, at);
        if is_new && let Some(found) = campaign.candidate_mut(task.candidate) {
            found.attempts += 1;
            found.repeated_attempts += u32::from(task.attempt.0 > 1);
        }
        let Some(holder) = self.workers.get_mut(&worker) else { return };
        holder.leases.insert(id);
        let priority = self.shares.priority(campaign.id).unwrap_or_default();
        self.leases.insert(holder.kind, (priority, Reverse(at), Reverse(id)));
        if let Some(stage) = campaign.stages.get(usize::from(task.stage)) {
            campaign.pins.lease(stage, &holder.capabilities);
        }
        holder.credit = holder.credit.saturating_sub(u32::from(is_new));
        let campaign = campaign.id;
        self.file_worker(worker);
        if is_new {
            self.fill_vacancy(worker, campaign);
        }
    }

    fn renew(&mut self, id: TaskId, deadline: Timestamp, heard: bool) {
        let Some(lease) = self.lease_mut(id) else { return };
        let before = lease.deadline;
        lease.deadline = deadline;
        lease.confirmed |= heard;
        self.deadlines.remove(&(before, id));
        self.deadlines.insert((deadline, id));
    }

    fn record_curve(&mut self, id: TaskId, points: &[CurvePoint]) {
        let Some(task) = self.tasks.get(&id) else { return };
        if let Some(campaign) = self.campaigns.get_mut(&task.candidate.campaign) {
            campaign.record_curve(task.candidate.ordinal, task.stage, points);
        }
    }

    pub(super) fn lease_mut(&mut self, id: TaskId) -> Option<&mut Lease> {
        match &mut self.tasks.get_mut(&id)?.status {
            TaskStatus::Leased(lease) => Some(lease),
            TaskStatus::Queued => None,
        }
    }

    /// Takes the lease away, if there is one; the task waits for what the next event says.
    pub(super) fn release(&mut self, id: TaskId, counts: bool) {
        let Some(task) = self.tasks.get_mut(&id) else { return };
        task.counted += u32::from(counts);
        let TaskStatus::Leased(lease) = std::mem::replace(&mut task.status, TaskStatus::Queued)
        else {
            return;
        };
        self.deadlines.remove(&(lease.deadline, id));
        self.shares.end(task.candidate.campaign, lease.since, self.now);
        let priority = self.shares.priority(task.candidate.campaign).unwrap_or_default();
        if let Some(worker) = self.workers.get_mut(&lease.worker) {
            worker.leases.remove(&id);
            self.leases.remove(worker.kind, (priority, Reverse(lease.since), Reverse(id)));
        }
        if let Some(campaign) = self.campaigns.get_mut(&task.candidate.campaign) {
            campaign.leased.remove(&id);
        }
        self.file_worker(lease.worker);
    }

    fn requeue(&mut self, id: TaskId) {
        let Some(task) = self.tasks.get(&id) else { return };
        if let Some(campaign) = self.campaigns.get_mut(&task.candidate.campaign) {
            campaign.queue.insert(task.stage, id);
        }
    }

    pub(super) fn charge(&mut self, id: TaskId, elapsed: Span) {
        let Some(task) = self.tasks.get(&id) else { return };
        let Some(campaign) = self.campaigns.get_mut(&task.candidate.campaign) else { return };
        campaign.slot_time = campaign.slot_time + elapsed;
        self.shares.settle(campaign.id, elapsed, self.now);
        let owner = campaign.owner.clone().unwrap_or_default();
        let spent = self.spent.entry(owner).or_default();
        spent.slot_time = spent.slot_time + elapsed;
        if let Some(tally) = campaign.tallies.get_mut(usize::from(task.stage)) {
            tally.slot_time = tally.slot_time + elapsed;
        }
        if let Some(candidate) = campaign.candidate_mut(task.candidate) {
            candidate.elapsed = candidate.elapsed + elapsed;
        }
    }

    fn complete(
        &mut self,
        id: TaskId,
        worker: WorkerId,
        (measurements, attached): (&[Measurement], &Attached),
        (elapsed, repeated): (Span, bool),
    ) {
        self.charge(id, elapsed);
        let found = self.tasks.get(&id).map(|task| (task.candidate, task.stage));
        let Some((candidate, stage)) = found else { return };
        if let Some(campaign) = self.campaigns.get_mut(&candidate.campaign) {
            if repeated {
                campaign.samples.entry(candidate.ordinal).or_default().push(measurements.into());
            } else {
                campaign.store_for(candidate, measurements);
            }
            campaign.attach(candidate, stage, attached);
            campaign.note_served(stage, worker);
        }
        self.remove_task(id);
        if let Some(worker) = self.workers.get_mut(&worker) {
            worker.completed += 1;
            worker.note(None);
        }
    }

    fn remove_task(&mut self, id: TaskId) {
        self.release(id, false);
        let Some(task) = self.tasks.remove(&id) else { return };
        if let Some(campaign) = self.campaigns.get_mut(&task.candidate.campaign) {
            campaign.queue.remove(task.stage, id);
            if let Some(tally) = campaign.tallies.get_mut(usize::from(task.stage)) {
                tally.live = tally.live.saturating_sub(1);
            }
        }
    }

    fn wait(&mut self, id: CandidateId, stage: u8) {
        if let Some(campaign) = self.campaigns.get_mut(&id.campaign) {
            campaign.wait(id, stage);
        }
    }

    fn resolve(&mut self, id: CandidateId, status: CandidateStatus, at: Timestamp) {
        if let Some(campaign) = self.campaigns.get_mut(&id.campaign) {
            campaign.resolve(id, status, at);
        }
    }

    fn register(&mut self, mut worker: Worker) {
        self.ready.remove(worker.id);
        self.forget_claims(worker.id);
        self.worker_names.insert(worker.name.clone(), worker.id);
        if let Some(before) = self.workers.remove(&worker.id) {
            self.kinds.leave(&before.capabilities);
            self.move_leases(&before, worker.kind);
            worker.leases = before.leases;
            worker.completed = before.completed;
            worker.failed = before.failed;
            worker.draining = before.draining;
            worker.quarantine = before.quarantine;
            worker.record = before.record;
        }
        for task in &worker.leases {
            if let Some(TaskStatus::Leased(lease)) =
                self.tasks.get_mut(task).map(|task| &mut task.status)
            {
                lease.session = worker.session;
            }
        }
        self.workers.insert(worker.id, worker);
    }
}
