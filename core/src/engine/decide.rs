//! Commands to events: the entry of the engine and the commands about campaigns and workers.
//!
//! A [`Decision`] applies each event as soon as it is emitted, since the second candidate of a
//! batch must be bred knowing the first. A command is rejected before it emits anything, so a
//! rejected command changes nothing. Reports are handled in `report`, assignments in `dispatch`.
//!
//! Must not change the state but by events.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::campaign::{CampaignStatus, FinishReason};
use super::candidate::CandidateStatus;
use super::command::{Command, Rejected, SubmissionId};
use super::effect::{Effect, Fit, StopReason};
use super::event::{Event, LeaseEnd, ScreenReason, Screening};
use super::failure::{Failure, FailureKind};
use super::policy::FleetPolicy;
use super::state::State;
use super::task::TaskStatus;
use super::worker::Capabilities;
use crate::id::{AttemptId, CampaignId, CandidateId, SessionId, TaskId, WorkerId};
use crate::objective::MetricName;
use crate::spec::CampaignSpec;
use crate::time::{Span, Timestamp};

/// How many campaigns of an owner are unfinished at most.
const MOST_OPEN: usize = 1_000;
/// How far the number of a session, microseconds of its worker's clock, may be ahead of time here. Each has to
/// exceed the one before, so one from the far future would shut out the worker of that name for ever. Clocks
/// are off by days where machines have lost their batteries.
const SESSIONS_AHEAD: Span = Span::from_secs(30 * 86_400);

/// What the engine is told once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EngineSettings {
    /// How long a lease lasts without a sign of life of its holder.
    pub lease_length: Span,
}

/// What a command led to.
#[derive(Debug, Clone)]
pub struct Step {
    /// The instant of all its events.
    pub at: Timestamp,
    /// The facts, already applied to the state.
    pub events: Vec<Event>,
    /// What has to happen outside, after the facts are stored.
    pub effects: Vec<Effect>,
    /// Models to fit, after the facts are stored.
    pub fits: Vec<Fit>,
}

/// The engine: a state and the rules by which it changes.
#[derive(Debug, Clone)]
pub struct Engine {
    state: State,
    settings: EngineSettings,
}

impl Engine {
    /// An engine without history.
    #[must_use]
    pub fn new(settings: EngineSettings) -> Self {
        let state = State { lease_length: settings.lease_length, ..State::default() };
        Self { state, settings }
    }

    /// What it knows.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Applies a stored event.
    pub fn apply(&mut self, event: &Event, at: Timestamp) {
        self.state.apply(event, at);
    }

    /// Handles a command at `now`. Instants never run backwards: an earlier `now` than that of the
    /// latest event counts as the latter.
    ///
    /// # Errors
    /// [`Rejected`] if the command does not fit the state; nothing has changed then.
    pub fn step(&mut self, command: Command, now: Timestamp) -> Result<Step, Rejected> {
        let mut decision = Decision {
            at: now.max(self.state.now),
            lease_length: self.settings.lease_length,
            state: &mut self.state,
            events: Vec::new(),
            effects: Vec::new(),
            fits: Vec::new(),
            taken: 0,
            ruled_out: 0,
        };
        decision.handle(command)?;
        decision.request_fits();
        let Decision { at, events, effects, fits, .. } = decision;
        Ok(Step { at, events, effects, fits })
    }
}

/// A command being handled.
pub(super) struct Decision<'e> {
    pub(super) state: &'e mut State,
    pub(super) at: Timestamp,
    pub(super) lease_length: Span,
    events: Vec<Event>,
    effects: Vec<Effect>,
    fits: Vec<Fit>,
    /// Tasks that were answered from known results in this step.
    pub(super) taken: u32,
    /// Proposals that broke an analytic constraint in this step.
    pub(super) ruled_out: u32,
}

impl Decision<'_> {
    pub(super) fn emit(&mut self, event: Event) {
        self.state.apply(&event, self.at);
        self.events.push(event);
    }

    /// How much was decided in this step so far.
    pub(super) fn decided(&self) -> usize {
        self.events.len()
    }

    /// The tasks that were leased in this step.
    pub(super) fn leased_now(&self) -> Vec<TaskId> {
        let leased = self.events.iter().filter_map(|event| match event {
            Event::TaskLeased { task, .. } => Some(*task),
            _ => None,
        });
        leased.collect()
    }

    pub(super) fn effect(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    pub(super) fn deadline(&self) -> Timestamp {
        self.at + self.lease_length
    }

    fn handle(&mut self, command: Command) -> Result<(), Rejected> {
        match command {
            Command::Start => self.start(),
            Command::Stalled => self.renew_all(),
            Command::SubmitCampaign { submission, spec, source, owner } => {
                self.submit(submission, spec, source, owner)?;
            }
            Command::PauseCampaign(id) => self.pause(id)?,
            Command::ResumeCampaign(id) => self.resume(id)?,
            Command::CancelCampaign(id) => self.cancel(id)?,
            Command::RegisterWorker { name, session, capabilities, holding } => {
                self.register(&name, session, capabilities, &holding)?;
            }
            Command::WorkerDisconnected { worker, session } => self.disconnect(worker, session),
            Command::WorkerGoodbye { worker, session } => self.goodbye(worker, session)?,
            Command::Heartbeat { worker, session, holding } => {
                self.heartbeat(worker, session, &holding)?;
            }
            Command::Ready { worker, session, credit } => self.ready(worker, session, credit)?,
            Command::Progress { worker, session, task, attempt, step, steps, metrics } => {
                self.require_session(worker, session)?;
                let id = AttemptId::new(task, attempt);
                self.progress(worker, session, id, (step, steps), metrics);
            }
            Command::SaveState { worker, session, task, attempt, checkpoint, step } => {
                self.require_session(worker, session)?;
                self.take_saved(worker, AttemptId::new(task, attempt), (checkpoint, step));
            }
            Command::Report {
                worker,
                session,
                task,
                attempt,
                outcome,
                attached,
                elapsed,
                energy,
            } => {
                self.require_session(worker, session)?;
                let id = AttemptId::new(task, attempt);
                self.report(worker, session, id, (outcome, attached), (elapsed, energy));
            }
            Command::DrainWorker { worker, at_once } => self.drain_worker(worker, at_once)?,
            Command::WorkerDrains { worker, session } => self.worker_drains(worker, session)?,
            Command::ReleaseWorker(worker) => self.release_worker(worker)?,
            Command::Govern(policy) => self.govern(policy),
            Command::ModelFitted { campaign, results } => self.model_fitted(campaign, results),
            Command::Tick => self.tick(),
        }
        Ok(())
    }

    /// Asks for the models that are missing and nobody is fitting.
    fn request_fits(&mut self) {
        let wanted = |id: &CampaignId| {
            let campaign = &self.state.campaigns[id];
            let job = campaign.missing_fit()?;
            let proposes = matches!(campaign.status, CampaignStatus::Running);
            (proposes && campaign.fitting != Some(job.results)).then_some((*id, job))
        };
        let wanted: Vec<_> = self.state.active.iter().filter_map(wanted).collect();
        for (campaign, job) in wanted {
            self.emit(Event::FitStarted { campaign, results: job.results });
            self.fits.push(Fit { campaign, job });
        }
    }

    /// A model that was asked for is adopted even if the search can do without it by now: when it needs
    /// one again, it would wait for this one. What was not asked for changes nothing.
    fn model_fitted(&mut self, campaign: CampaignId, results: u32) {
        let asked = self.state.campaigns.get(&campaign).is_some_and(|campaign| {
            let over = matches!(campaign.status, CampaignStatus::Finished(_));
            !over && campaign.fitting == Some(results)
        });
        if asked {
            self.emit(Event::ModelAdopted { campaign, results });
            self.dispatch();
        }
    }

    fn start(&mut self) {
        self.emit(Event::Started { lease_length: self.lease_length });
    }

    fn renew_all(&mut self) {
        let deadline = self.deadline();
        let leased: Vec<TaskId> = self.state.deadlines.iter().map(|(_, task)| *task).collect();
        for task in leased {
            self.emit(Event::LeaseRenewed { task, deadline, heard: false });
        }
    }

    fn govern(&mut self, policy: Arc<FleetPolicy>) {
        if self.state.policy != policy {
            self.emit(Event::PolicySet(policy));
            self.dispatch();
        }
    }

    fn submit(
        &mut self,
        submission: SubmissionId,
        spec: Arc<CampaignSpec>,
        source: Arc<str>,
        owner: Option<Arc<str>>,
    ) -> Result<(), Rejected> {
        if self.state.submissions.contains_key(&submission) {
            return Ok(());
        }
        let of_owner = |id: &&CampaignId| self.state.campaigns[*id].owner == owner;
        let open = self.state.active.iter().filter(of_owner).count();
        if open >= MOST_OPEN {
            return Err(Rejected::TooManyCampaigns { open });
        }
        let last = self.state.campaigns.last_key_value().map_or(CampaignId(0), |(id, _)| *id);
        let campaign = last.next();
        self.emit(Event::CampaignSubmitted { campaign, submission, spec, source, owner });
        self.dispatch();
        Ok(())
    }

    fn require_status(
        &self,
        id: CampaignId,
        allowed: fn(CampaignStatus) -> bool,
        wish: &'static str,
    ) -> Result<(), Rejected> {
        let campaign = self.state.campaigns.get(&id).ok_or(Rejected::UnknownCampaign(id))?;
        if allowed(campaign.status) {
            return Ok(());
        }
        Err(Rejected::WrongStatus { campaign: id, status: campaign.status.name(), wish })
    }

    fn pause(&mut self, id: CampaignId) -> Result<(), Rejected> {
        self.require_status(id, |status| status == CampaignStatus::Running, "paused")?;
        self.emit(Event::CampaignPaused(id));
        Ok(())
    }

    fn resume(&mut self, id: CampaignId) -> Result<(), Rejected> {
        self.require_status(id, |status| status == CampaignStatus::Paused, "resumed")?;
        self.emit(Event::CampaignResumed(id));
        self.dispatch();
        Ok(())
    }

    fn cancel(&mut self, id: CampaignId) -> Result<(), Rejected> {
        let alive = |status| !matches!(status, CampaignStatus::Finished(_));
        self.require_status(id, alive, "cancelled")?;
        let (leased, queued) = {
            let campaign = &self.state.campaigns[&id];
            (campaign.leased.clone(), campaign.queue.by_id())
        };
        let failure = Failure {
            kind: FailureKind::Preempted,
            message: "the campaign was cancelled before it was evaluated".into(),
        };
        for task in leased {
            self.stop_lease(task, StopReason::Cancelled, LeaseEnd::Cancelled);
            self.give_up(task, failure.clone());
        }
        for task in queued {
            self.give_up(task, failure.clone());
        }
        self.screen_waiting(id);
        self.emit(Event::CampaignFinished { campaign: id, reason: FinishReason::Cancelled });
        self.dispatch();
        Ok(())
    }

    /// Takes a lease away and queues the task again.
    pub(super) fn withdraw(&mut self, task: TaskId, reason: StopReason, end: LeaseEnd) {
        let lease =
            self.state.tasks.get(&task).and_then(|found| Some((found.lease()?, found.attempt)));
        let Some((lease, attempt)) = lease else { return };
        let (worker, session) = (lease.worker, lease.session);
        self.effect(Effect::Stop { worker, session, task, attempt, reason });
        self.end_lease(task, end);
    }

    fn stop_lease(&mut self, task: TaskId, reason: StopReason, end: LeaseEnd) {
        let Some(found) = self.state.tasks.get(&task) else { return };
        let Some(lease) = found.lease() else { return };
        let (worker, session, attempt) = (lease.worker, lease.session, found.attempt);
        self.emit(Event::LeaseEnded { task, attempt, end });
        self.effect(Effect::Stop { worker, session, task, attempt, reason });
    }

    fn register(
        &mut self,
        name: &Arc<str>,
        session: SessionId,
        capabilities: Arc<Capabilities>,
        holding: &[AttemptId],
    ) -> Result<(), Rejected> {
        let known = self.state.worker_names.get(name).copied();
        let latest = known.map(|worker| self.state.workers[&worker].session);
        if let (Some(worker), Some(latest)) = (known, latest)
            && session <= latest
        {
            return Err(Rejected::StaleSession { worker, session, latest });
        }
        let furthest = SessionId((self.at + SESSIONS_AHEAD).0);
        if session > furthest && latest.is_none_or(|latest| latest <= furthest) {
            return Err(Rejected::SessionAhead { name: name.clone() });
        }
        let worker = known.unwrap_or_else(|| {
            self.state.workers.last_key_value().map_or(WorkerId(1), |(id, _)| id.next())
        });
        self.emit(Event::WorkerRegistered { worker, name: name.clone(), session, capabilities });
        let held: BTreeSet<AttemptId> = holding.iter().copied().collect();
        self.end_leases_not_held(worker, &held);
        self.adopt_or_stop(worker, session, &held);
        if self.state.workers[&worker].draining {
            self.effect(Effect::Drain { worker, session });
        }
        self.dispatch();
        Ok(())
    }

    fn end_leases_not_held(&mut self, worker: WorkerId, held: &BTreeSet<AttemptId>) {
        for task in self.state.workers[&worker].leases.clone() {
            let Some(found) = self.state.tasks.get(&task) else { continue };
            if held.contains(&AttemptId::new(task, found.attempt)) {
                continue;
            }
            let confirmed = found.lease().is_some_and(|lease| lease.confirmed);
            let end = if confirmed { LeaseEnd::Forgotten } else { LeaseEnd::Undelivered };
            self.end_lease(task, end);
        }
    }

    /// Renews what the worker rightly holds, gives back an expired lease that nobody else has got,
    /// and stops the rest.
    fn adopt_or_stop(&mut self, worker: WorkerId, session: SessionId, held: &BTreeSet<AttemptId>) {
        let deadline = self.deadline();
        for &id in held {
            let AttemptId { task, attempt } = id;
            let withdrawn = self.state.tasks.get(&task).is_some_and(|found| found.withdrawn);
            let live = self.state.tasks.get(&task);
            let live = live.filter(|found| found.attempt == attempt && !found.reported);
            match live.map(|found| (&found.status, found.last_worker)) {
                Some((TaskStatus::Leased(lease), _)) if lease.worker == worker => {
                    self.emit(Event::LeaseRenewed { task, deadline, heard: true });
                    self.tell_hopeless(worker, session, id);
                }
                Some((TaskStatus::Queued, Some(last))) if last == worker && !withdrawn => {
                    self.emit(Event::TaskLeased { task, attempt, worker, session, deadline });
                }
                // Said once more, because the first time may have been lost; its state is waited for.
                Some((TaskStatus::Queued, Some(last))) if last == worker => {
                    let reason = StopReason::Preempted;
                    self.effect(Effect::Stop { worker, session, task, attempt, reason });
                }
                _ => self.effect(Effect::Stop {
                    worker,
                    session,
                    task,
                    attempt,
                    reason: StopReason::Superseded,
                }),
            }
        }
    }

    pub(super) fn require_session(
        &self,
        worker: WorkerId,
        session: SessionId,
    ) -> Result<(), Rejected> {
        let found = self.state.workers.get(&worker).ok_or(Rejected::UnknownWorker(worker))?;
        if found.session == session {
            return Ok(());
        }
        Err(Rejected::StaleSession { worker, session, latest: found.session })
    }

    fn disconnect(&mut self, worker: WorkerId, session: SessionId) {
        // The end of a connection that a newer one has replaced says nothing about the worker.
        let present = self.state.workers.get(&worker);
        if present.is_some_and(|found| found.session == session && found.connected) {
            self.emit(Event::WorkerLeft { worker, goodbye: false });
        }
    }

    fn goodbye(&mut self, worker: WorkerId, session: SessionId) -> Result<(), Rejected> {
        self.require_session(worker, session)?;
        self.emit(Event::WorkerLeft { worker, goodbye: true });
        for task in self.state.workers[&worker].leases.clone() {
            self.end_lease(task, LeaseEnd::HandedBack);
        }
        self.dispatch();
        Ok(())
    }

    fn heartbeat(
        &mut self,
        worker: WorkerId,
        session: SessionId,
        holding: &[AttemptId],
    ) -> Result<(), Rejected> {
        self.require_session(worker, session)?;
        self.emit(Event::WorkerSeen(worker));
        self.adopt_or_stop(worker, session, &holding.iter().copied().collect());
        Ok(())
    }

    fn ready(&mut self, worker: WorkerId, session: SessionId, credit: u32) -> Result<(), Rejected> {
        self.require_session(worker, session)?;
        let credit = self.state.workers[&worker].credit.saturating_add(credit);
        self.emit(Event::CreditSet { worker, credit });
        self.dispatch();
        Ok(())
    }

    fn progress(
        &mut self,
        worker: WorkerId,
        session: SessionId,
        id: AttemptId,
        (step, steps): (u32, u32),
        mut metrics: BTreeMap<MetricName, f64>,
    ) {
        metrics.retain(|_, value| value.is_finite());
        self.emit(Event::WorkerSeen(worker));
        self.adopt_or_stop(worker, session, &BTreeSet::from([id]));
        let AttemptId { task, attempt } = id;
        let is_holder = self.state.tasks.get(&task).is_some_and(|found| {
            found.attempt == attempt && found.lease().is_some_and(|lease| lease.worker == worker)
        });
        if is_holder {
            self.emit(Event::ProgressMade { task, step, steps, metrics });
            self.stop_if_hopeless(id);
        }
    }

    fn tick(&mut self) {
        self.emit(Event::TimePassed);
        for task in self.state.expired(self.at) {
            if !self.is_worth_waiting_for(task) {
                self.end_lease(task, LeaseEnd::Expired);
            }
        }
        self.release_in_time();
        for id in self.state.active.clone() {
            self.end_if_stopped(id);
        }
        self.dispatch();
    }

    /// Ends a campaign whose time is up or that has reached what it was to reach: what is queued is
    /// given up, what is in work is finished.
    pub(super) fn end_if_stopped(&mut self, id: CampaignId) {
        let campaign = &self.state.campaigns[&id];
        let over = matches!(campaign.status, CampaignStatus::Finished(_));
        let ends = over || campaign.status.ends_early();
        let Some(reason) = campaign.stop_reason(self.at).filter(|_| !ends) else { return };
        let queued = campaign.queue.by_id();
        self.emit(Event::CampaignDraining { campaign: id, reason });
        for task in queued {
            let message = format!("the campaign ended before it was evaluated: {reason}");
            let failure = Failure { kind: FailureKind::Preempted, message: message.into() };
            self.fail_task(task, failure);
        }
        self.settle(id);
    }

    /// Finishes a draining campaign once nothing is in flight and nobody can be called up to a
    /// later stage; whoever waits for that is screened.
    pub(super) fn settle(&mut self, id: CampaignId) {
        if self.state.campaigns[&id].only_waits() {
            self.screen_waiting(id);
        }
        let campaign = &self.state.campaigns[&id];
        if let CampaignStatus::Draining(reason) = campaign.status
            && campaign.unresolved() == 0
        {
            self.emit(Event::CampaignFinished { campaign: id, reason });
        }
    }

    fn screen_waiting(&mut self, id: CampaignId) {
        let stages: Vec<u8> = self.state.campaigns[&id].rungs.keys().copied().collect();
        for stage in stages {
            let campaign = &self.state.campaigns[&id];
            let ranking = if campaign.waiting_after(stage) == 0 {
                Vec::new()
            } else {
                campaign.ranking(stage)
            };
            let of = ranking.len() as u32;
            for (rank, ordinal) in (1u32..).zip(ranking) {
                let candidate = CandidateId::new(id, ordinal);
                let waits = CandidateStatus::Waiting { stage };
                let found = self.state.campaigns[&id].candidate(ordinal);
                if found.is_some_and(|found| *found.status() == waits) {
                    let screening = Screening { stage, reason: ScreenReason::Rank { rank, of } };
                    self.emit(Event::CandidateScreened { candidate, screening });
                }
            }
        }
    }
}
