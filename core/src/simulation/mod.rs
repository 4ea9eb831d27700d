//! A whole cluster in virtual time: the real engine, simulated workers, a network that loses,
//! delays, repeats and reorders, processes that die.
//!
//! One seed decides everything, so a failure is reproduced by its number. The engine is the one
//! that runs in production; only what surrounds it is simulated. It serves the fault simulations,
//! the tabular benchmarks and dry runs. It must not know protobuf, sockets or storage.

mod charges;
mod faults;
mod ledger;
mod problem;
mod standstill;
mod table;
mod worker;

pub use faults::FaultRates;
pub use ledger::Breach;
pub use problem::{ProblemEvaluations, problem_provenance};
pub use table::{LookUp, TableError, TableRow, drawn_between, table_provenance};
pub use worker::{Evaluate, Evaluation, state_left, state_of, state_saved};

use std::collections::BTreeMap;
use std::sync::Arc;

use rand::RngExt;

use self::standstill::Standstill;
use self::worker::{SimulatedWorker, ToWorker};
use crate::engine::{
    CampaignStatus, Capabilities, Command, Effect, Engine, EngineSettings, Event, Fit, FleetPolicy,
    Rejected, Step, SubmissionId,
};
use crate::id::{AttemptId, CampaignId, WorkerId};
use crate::objective::MetricName;
use crate::rng::{self, Purpose, Stream};
use crate::spec::CampaignSpec;
use crate::time::{Span, Timestamp};

/// How a cluster is simulated.
#[derive(Debug, Clone)]
pub struct SimulationSettings {
    /// The seed of every fault, delay and duration.
    pub seed: u64,
    /// The number of workers.
    pub workers: u32,
    /// Evaluations that a worker runs at once.
    pub slots: u32,
    /// How many more tasks a worker asks for than it has slots, so that it need not wait.
    pub prefetch: u32,
    /// The length of a lease.
    pub lease_length: Span,
    /// The time over which workers join, evenly; 0 for all at once.
    pub joins_over: Span,
    /// The share of workers that are slower, 0 to 1.
    pub straggler_share: f64,
    /// By which factor these are slower, at least 1.
    pub straggler_factor: f64,
    /// What goes wrong, and how often.
    pub faults: FaultRates,
    /// After how many commands the whole state is verified; 0 for never.
    pub check_every: u64,
    /// How long fitting a model takes.
    pub fit_duration: Span,
    /// The virtual time after which a simulation that has not ended is a failure.
    pub horizon: Span,
}

impl Default for SimulationSettings {
    fn default() -> Self {
        Self {
            seed: 0,
            workers: 1,
            slots: 1,
            prefetch: 0,
            lease_length: Span::from_secs(30),
            joins_over: Span(0),
            straggler_share: 0.0,
            straggler_factor: 1.0,
            faults: FaultRates::NONE,
            check_every: 0,
            fit_duration: Span(0),
            horizon: Span::from_secs(365 * 24 * 3_600),
        }
    }
}

/// What a simulation ended with.
#[derive(Debug)]
pub struct SimulationOutcome {
    /// The engine in its last state.
    pub engine: Engine,
    /// All durable events with their instants.
    pub journal: Vec<(Timestamp, Event)>,
    /// Virtual time from start to end.
    pub elapsed: Span,
    /// Share of slot time that was spent evaluating.
    pub utilisation: f64,
    /// Slot time that was spent evaluating.
    pub busy: Span,
    /// How often each kind of fault was injected.
    pub injected: BTreeMap<&'static str, u64>,
}

/// Something scheduled for an instant of virtual time.
enum Happening {
    ToCoordinator { worker: usize, command: Command },
    ToWorker { worker: usize, epoch: u64, message: ToWorker },
    Progress { worker: usize, epoch: u64, progress: Progress },
    Saves { worker: usize, epoch: u64, id: AttemptId, step: u32 },
    EvaluationEnds { worker: usize, epoch: u64, id: AttemptId },
    Heartbeat { worker: usize, epoch: u64 },
    WorkerRestarts { worker: usize },
    ModelFitted { campaign: CampaignId, results: u32 },
    Tick,
}

/// How far an evaluation has got.
struct Progress {
    id: AttemptId,
    step: u32,
    steps: u32,
    metrics: BTreeMap<MetricName, f64>,
}

/// An evaluation that can leave its state saves it after each of so many parts but the last.
pub const SAVED_AFTER: u32 = 3;

/// The first instant of every simulation; not zero, so that "never" and "at once" differ.
const EPOCH: Timestamp = Timestamp(1_000_000);

/// A simulated cluster.
pub struct Simulation<'e> {
    settings: SimulationSettings,
    evaluator: &'e dyn Evaluate,
    engine: Engine,
    journal: Vec<(Timestamp, Event)>,
    clock: Timestamp,
    agenda: BTreeMap<(Timestamp, u64), Happening>,
    scheduled: u64,
    workers: Vec<SimulatedWorker>,
    /// Each worker's place among `workers`.
    indices: BTreeMap<WorkerId, usize>,
    rng: Stream,
    commands: u64,
    standstill: Standstill,
    injected: BTreeMap<&'static str, u64>,
}

impl<'e> Simulation<'e> {
    /// A cluster whose workers all have `capabilities` and compute with `evaluator`.
    #[must_use]
    pub fn new(
        settings: SimulationSettings,
        capabilities: Arc<Capabilities>,
        evaluator: &'e dyn Evaluate,
    ) -> Self {
        let workers = (0..settings.workers)
            .map(|index| {
                SimulatedWorker::new(
                    format!("simulated-{index}").into(),
                    capabilities.clone(),
                    settings.slots,
                    settings.prefetch,
                )
            })
            .collect();
        let engine = Engine::new(EngineSettings { lease_length: settings.lease_length });
        Self {
            rng: rng::stream(settings.seed, Purpose::Simulation, 0),
            settings,
            evaluator,
            engine,
            journal: Vec::new(),
            clock: EPOCH,
            agenda: BTreeMap::new(),
            scheduled: 0,
            workers,
            indices: BTreeMap::new(),
            commands: 0,
            standstill: Standstill::default(),
            injected: BTreeMap::new(),
        }
    }

    /// The same cluster, but each worker has capabilities of its own: `of_workers` by turns.
    #[must_use]
    pub fn equipped(mut self, of_workers: &[Arc<Capabilities>]) -> Self {
        for (worker, capabilities) in self.workers.iter_mut().zip(of_workers.iter().cycle()) {
            worker.equip(capabilities.clone());
        }
        self
    }

    /// Runs campaigns of nobody in particular until all are finished.
    ///
    /// # Errors
    /// [`Breach`] if an invariant is broken, or the horizon passes first.
    pub fn run(self, campaigns: &[Arc<CampaignSpec>]) -> Result<SimulationOutcome, Breach> {
        let campaigns: Vec<_> = campaigns.iter().map(|spec| (None, spec.clone())).collect();
        self.run_for(&campaigns, FleetPolicy::default())
    }

    /// Runs campaigns with their owners under an operator's rules until all are finished.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn run_for(
        mut self,
        campaigns: &[(Option<Arc<str>>, Arc<CampaignSpec>)],
        policy: FleetPolicy,
    ) -> Result<SimulationOutcome, Breach> {
        self.deliver_reliably(Command::Start)?;
        self.deliver_reliably(Command::Govern(Arc::new(policy)))?;
        for (index, (owner, spec)) in campaigns.iter().enumerate() {
            let submission = SubmissionId(index as u128);
            let source = spec.name.clone();
            self.deliver_reliably(Command::SubmitCampaign {
                submission,
                spec: spec.clone(),
                source,
                owner: owner.clone(),
            })?;
        }
        for worker in 0..self.workers.len() {
            let joins = self.settings.joins_over.0 * worker as u64 / self.workers.len() as u64;
            // At least a microsecond apart, so that the order of registration is theirs; more
            // would leave a large fleet idle for a noticeable share of a short campaign.
            let delay = Span(joins) + Span(worker as u64);
            self.at(delay, Happening::Heartbeat { worker, epoch: 0 });
        }
        self.at(self.tick_interval(), Happening::Tick);
        while !self.is_over() {
            let Some(((instant, _), happening)) = self.agenda.pop_first() else {
                return Err(Breach::new("nothing is scheduled, but campaigns are not finished"));
            };
            self.clock = instant;
            if self.clock.since(EPOCH) > self.settings.horizon {
                return Err(Breach::new(format!(
                    "campaigns are not finished after {}",
                    self.settings.horizon
                )));
            }
            self.happen(happening)?;
        }
        self.finish()
    }

    fn is_over(&self) -> bool {
        self.engine
            .state()
            .campaigns()
            .all(|campaign| matches!(campaign.status(), CampaignStatus::Finished(_)))
    }

    fn tick_interval(&self) -> Span {
        Span(self.settings.lease_length.0 / 4)
    }

    fn happen(&mut self, happening: Happening) -> Result<(), Breach> {
        match happening {
            Happening::ToCoordinator { worker, command } => self.deliver(worker, command),
            Happening::ToWorker { worker, epoch, message } => {
                if self.workers[worker].epoch == epoch {
                    let sent = self.workers[worker].receive(message, self.clock);
                    self.after_worker(worker, sent);
                }
                Ok(())
            }
            Happening::Progress { worker, epoch, progress } => {
                let Progress { id, step, steps, metrics } = progress;
                let found = &self.workers[worker];
                let said = found.progress(id, (step, steps), metrics);
                if let Some(said) = said.filter(|_| found.epoch == epoch) {
                    self.send(worker, said);
                }
                Ok(())
            }
            Happening::Saves { worker, epoch, id, step } => {
                let said = self.workers[worker].save(id, step);
                if let Some(said) = said.filter(|_| self.workers[worker].epoch == epoch) {
                    self.send(worker, said);
                }
                Ok(())
            }
            Happening::EvaluationEnds { worker, epoch, id } => {
                if self.workers[worker].epoch == epoch {
                    self.end_evaluation(worker, id);
                }
                Ok(())
            }
            Happening::Heartbeat { worker, epoch } => {
                if self.workers[worker].epoch == epoch {
                    self.beat(worker);
                }
                Ok(())
            }
            Happening::WorkerRestarts { worker } => {
                let epoch = self.workers[worker].epoch;
                self.at(Span(0), Happening::Heartbeat { worker, epoch });
                Ok(())
            }
            Happening::ModelFitted { campaign, results } => {
                self.step(Command::ModelFitted { campaign, results }).map(|_| ())
            }
            Happening::Tick => {
                self.at(self.tick_interval(), Happening::Tick);
                self.operate()?;
                self.step(Command::Tick).map(drop)?;
                self.standstill.look(self.engine.state(), self.clock)
            }
        }
    }

    /// A worker has evaluated what it was asked to, unless it dies just then.
    fn end_evaluation(&mut self, worker: usize, id: AttemptId) {
        if self.coin(self.settings.faults.worker_crash, "worker crash") {
            self.crash_worker(worker);
            return;
        }
        let sent = self.workers[worker].evaluation_ended(id, self.clock);
        self.after_worker(worker, sent);
    }

    /// A worker says what it holds, or goodbye once it has drained.
    fn beat(&mut self, worker: usize) {
        if self.coin(self.settings.faults.disconnect, "disconnect") {
            self.disconnect(worker);
        }
        if let Some(farewell) = self.workers[worker].farewell() {
            self.send(worker, farewell);
            self.crash_worker(worker);
            return;
        }
        let patience = Span(self.settings.lease_length.0 * 3);
        let sent = self.workers[worker].heartbeat(self.clock, patience);
        self.after_worker(worker, sent);
        let (pause, epoch) = (Span(self.settings.lease_length.0 / 4), self.workers[worker].epoch);
        self.at(pause, Happening::Heartbeat { worker, epoch });
    }

    /// Somebody gives a campaign up, or steers a worker.
    fn operate(&mut self) -> Result<(), Breach> {
        if self.coin(self.settings.faults.cancel, "cancelled") {
            let campaigns = self.engine.state().campaigns().map(|campaign| campaign.id());
            let known: Vec<CampaignId> = campaigns.collect();
            let campaign = known[self.rng.random_range(0..known.len())];
            // One that has ended is not cancelled.
            self.step(Command::CancelCampaign(campaign)).map(drop)?;
        }
        if !self.coin(self.settings.faults.operator, "operator") {
            return Ok(());
        }
        let known: Vec<WorkerId> = self.indices.keys().copied().collect();
        let Some(worker) = known.get(self.rng.random_range(0..known.len().max(1))).copied() else {
            return Ok(());
        };
        let command = match self.rng.random_range(0..4) {
            0 | 1 => Command::ReleaseWorker(worker),
            2 => Command::DrainWorker { worker, at_once: false },
            _ => Command::DrainWorker { worker, at_once: true },
        };
        // A worker that gets work already is not released.
        self.step(command).map(drop)
    }

    fn crash_worker(&mut self, worker: usize) {
        self.workers[worker].crash();
        let pause = Span(self.rng.random_range(0..=self.settings.lease_length.0 * 2));
        self.at(pause, Happening::WorkerRestarts { worker });
    }

    fn disconnect(&mut self, worker: usize) {
        if let Some((id, session)) = self.workers[worker].disconnect() {
            let command = Command::WorkerDisconnected { worker: id, session };
            self.send(worker, command);
        }
    }

    /// Starts evaluations for which the worker has a slot and sends what it has to say.
    fn after_worker(&mut self, worker: usize, messages: Vec<Command>) {
        for (id, assignment) in self.workers[worker].start_evaluations(self.clock) {
            let evaluation = self.evaluator.evaluate(&assignment);
            let duration = self.slowed(worker, evaluation.duration);
            self.workers[worker].running_outcome(id, evaluation);
            let epoch = self.workers[worker].epoch;
            let curve = self.evaluator.curve(&assignment);
            let steps = curve.len() as u32;
            for (step, metrics) in (1u32..).zip(curve) {
                let after = Span(duration.0 * u64::from(step) / u64::from(steps));
                let progress = Progress { id, step, steps, metrics };
                self.at(after, Happening::Progress { worker, epoch, progress });
            }
            for step in 1..SAVED_AFTER {
                let after = Span(duration.0 * u64::from(step) / u64::from(SAVED_AFTER));
                self.at(after, Happening::Saves { worker, epoch, id, step });
            }
            self.at(duration, Happening::EvaluationEnds { worker, epoch, id });
        }
        for command in messages {
            self.send(worker, command);
        }
    }

    /// How long an evaluation takes on this worker; stragglers are spread evenly among all.
    fn slowed(&self, worker: usize, duration: Span) -> Span {
        let (share, factor) = (self.settings.straggler_share, self.settings.straggler_factor);
        let before = (worker as f64 * share).floor();
        let is_straggler = ((worker + 1) as f64 * share).floor() > before;
        if is_straggler { Span((duration.0 as f64 * factor) as u64) } else { duration }
    }

    fn send(&mut self, worker: usize, command: Command) {
        for delay in self.deliveries() {
            let command = command.clone();
            self.at(delay, Happening::ToCoordinator { worker, command });
        }
    }

    fn send_to_worker(&mut self, worker: usize, message: &ToWorker) {
        let epoch = self.workers[worker].epoch;
        for delay in self.deliveries() {
            let message = message.clone();
            self.at(delay, Happening::ToWorker { worker, epoch, message });
        }
    }

    /// When each copy of a message arrives: none if it is lost, several if it is repeated.
    fn deliveries(&mut self) -> Vec<Span> {
        let faults = self.settings.faults;
        let copies = if self.coin(faults.lose, "message lost") {
            0
        } else if self.coin(faults.repeat, "message repeated") {
            2
        } else {
            1
        };
        (0..copies).map(|_| Span(self.rng.random_range(0..=faults.delay.0))).collect()
    }

    fn coin(&mut self, probability: f64, fault: &'static str) -> bool {
        let hit = probability > 0.0 && self.rng.random_bool(probability);
        if hit {
            *self.injected.entry(fault).or_default() += 1;
        }
        hit
    }

    fn at(&mut self, delay: Span, happening: Happening) {
        self.scheduled += 1;
        self.agenda.insert((self.clock + delay, self.scheduled), happening);
    }

    fn deliver(&mut self, worker: usize, command: Command) -> Result<(), Breach> {
        let registers = match &command {
            Command::RegisterWorker { name, session, .. } => Some((name.clone(), *session)),
            _ => None,
        };
        let session = command.session();
        match self.step(command)? {
            Ok(()) => {
                if let Some((name, session)) = registers
                    && let Some(found) = self.engine.state().find_worker(&name)
                    && found.session() == session
                {
                    let id = found.id();
                    self.indices.insert(id, worker);
                    let message = ToWorker::Registered { worker: id, session };
                    self.send_to_worker(worker, &message);
                }
            }
            // Only the connection that the message came on.
            Err(_) => self.send_to_worker(worker, &ToWorker::Closed { session }),
        }
        Ok(())
    }

    fn deliver_reliably(&mut self, command: Command) -> Result<(), Breach> {
        let faults = std::mem::replace(&mut self.settings.faults, FaultRates::NONE);
        let outcome = self.step(command)?;
        self.settings.faults = faults;
        outcome.map_err(|rejected| Breach::new(rejected.to_string()))
    }

    fn step(&mut self, command: Command) -> Result<Result<(), Rejected>, Breach> {
        self.commands += 1;
        let step = match self.engine.step(command, self.clock) {
            Ok(step) => step,
            Err(rejected) => return Ok(Err(rejected)),
        };
        if self.coin(self.settings.faults.crash_before_append, "coordinator crash before append") {
            return self.restart_coordinator().map(Ok);
        }
        let Step { at, events, effects, fits } = step;
        self.journal.extend(events.into_iter().filter(Event::is_durable).map(|event| (at, event)));
        if self.coin(self.settings.faults.crash_after_append, "coordinator crash after append") {
            let before = self.engine.state().digest();
            self.restart_coordinator()?;
            if self.engine.state().digest() != before {
                return Err(Breach::new("a restart changed the state"));
            }
            return Ok(Ok(()));
        }
        for effect in effects {
            self.perform(effect)?;
        }
        self.fit(fits);
        self.check()?;
        Ok(Ok(()))
    }

    fn check(&self) -> Result<(), Breach> {
        let every = self.settings.check_every;
        if every > 0 && self.commands.is_multiple_of(every) {
            self.engine.state().check().map_err(Breach::inconsistent)?;
        }
        Ok(())
    }

    fn restart_coordinator(&mut self) -> Result<(), Breach> {
        self.engine = ledger::replay(self.settings.lease_length, &self.journal)?;
        for worker in 0..self.workers.len() {
            let epoch = self.workers[worker].epoch;
            let message = ToWorker::Closed { session: None };
            self.at(Span(1), Happening::ToWorker { worker, epoch, message });
        }
        let step = self
            .engine
            .step(Command::Start, self.clock)
            .map_err(|rejected| Breach::new(rejected.to_string()))?;
        self.journal.extend(
            step.events.into_iter().filter(Event::is_durable).map(|event| (step.at, event)),
        );
        self.fit(step.fits);
        Ok(())
    }

    /// Fits at once; the coordinator hears of it when the virtual time of a fit is over.
    fn fit(&mut self, fits: Vec<Fit>) {
        for Fit { campaign, job } in fits {
            job.run();
            let happening = Happening::ModelFitted { campaign, results: job.results };
            self.at(self.settings.fit_duration, happening);
        }
    }

    fn perform(&mut self, effect: Effect) -> Result<(), Breach> {
        let (id, session, message) = match effect {
            Effect::Assign { worker, session, assignment } => {
                ledger::check_continued(&self.journal, &assignment)?;
                (worker, session, ToWorker::Assign { session, assignment })
            }
            Effect::Stop { worker, session, task, attempt, reason } => {
                let id = AttemptId::new(task, attempt);
                (worker, session, ToWorker::Stop { session, id, reason })
            }
            Effect::Drain { worker, session } => (worker, session, ToWorker::Drain { session }),
            Effect::Acknowledge { worker, session, task, attempt } => {
                let id = AttemptId::new(task, attempt);
                ledger::check_acknowledged(&self.engine, &self.journal, id)?;
                (worker, session, ToWorker::Acknowledged { session, id })
            }
        };
        let present =
            self.engine.state().worker(id).is_some_and(|found| found.session() == session);
        if let Some(worker) = self.indices.get(&id).copied().filter(|_| present) {
            self.send_to_worker(worker, &message);
        }
        Ok(())
    }

    fn finish(self) -> Result<SimulationOutcome, Breach> {
        self.engine.state().check().map_err(Breach::inconsistent)?;
        ledger::check_journal(&self.journal)?;
        let replayed = ledger::replay(self.settings.lease_length, &self.journal)?;
        if replayed.state().digest() != self.engine.state().digest() {
            return Err(Breach::new("the journal's replay differs from the live state"));
        }
        let elapsed = self.clock.since(EPOCH);
        let busy: u64 = self.workers.iter().map(|worker| worker.busy.0).sum();
        charges::check(&self.journal, self.engine.state(), Span(busy))?;
        let slots = f64::from(self.settings.workers) * f64::from(self.settings.slots);
        Ok(SimulationOutcome {
            engine: self.engine,
            journal: self.journal,
            elapsed,
            busy: Span(busy),
            utilisation: busy as f64 / 1e6 / (slots * elapsed.as_secs_f64()).max(f64::MIN_POSITIVE),
            injected: self.injected,
        })
    }
}
