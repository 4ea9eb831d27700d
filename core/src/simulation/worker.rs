//! A simulated worker: the protocol's other side, with a disk that survives crashes.
//!
//! It behaves as the real agent does: finished reports stay in its outbox until acknowledged and
//! are sent again; what it holds goes with each heartbeat; a closed connection is opened anew.
//!
//! It must not know the engine's state: like an agent it hears assignments, stops and acknowledgements.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::artifact::ArtifactId;
use crate::energy::Energy;
use crate::engine::{
    Assignment, Attached, Capabilities, Command, Failure, FailureKind, ReportedOutcome, StopReason,
};
use crate::id::{Attempt, AttemptId, CandidateId, SessionId, WorkerId};
use crate::objective::MetricName;
use crate::time::{Span, Timestamp};

/// What a simulated evaluation uses: a hundred watts.
pub(super) const MICROJOULES_PER_MICROSECOND: u64 = 100;

/// The result of a simulated evaluation.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// What the worker will report.
    pub outcome: ReportedOutcome,
    /// How long it takes, in virtual time.
    pub duration: Span,
}

/// Computes what a worker would measure.
pub trait Evaluate {
    /// Evaluates an assignment; a function of the assignment alone.
    fn evaluate(&self, assignment: &Assignment) -> Evaluation;

    /// What it reports on the way: the metrics after each step, which all take the same time. A function
    /// of the assignment alone.
    fn curve(&self, _assignment: &Assignment) -> Vec<BTreeMap<MetricName, f64>> {
        Vec::new()
    }
}

/// The checkpoint that a simulated worker leaves of a stage that another one continues.
#[must_use]
pub fn state_of(candidate: CandidateId, stage: &str) -> ArtifactId {
    ArtifactId::of(format!("{candidate} {stage}").as_bytes())
}

/// The checkpoint that a simulated worker leaves of an attempt that it has to stop.
#[must_use]
pub fn state_left(candidate: CandidateId, stage: &str, attempt: Attempt) -> ArtifactId {
    ArtifactId::of(format!("{candidate} {stage} attempt {attempt}").as_bytes())
}

/// The checkpoint that a simulated worker stores of an attempt that goes on.
#[must_use]
pub fn state_saved(candidate: CandidateId, stage: &str, attempt: Attempt, step: u32) -> ArtifactId {
    ArtifactId::of(format!("{candidate} {stage} attempt {attempt} step {step}").as_bytes())
}

/// A message from the coordinator.
#[derive(Debug, Clone)]
pub(super) enum ToWorker {
    Registered {
        worker: WorkerId,
        session: SessionId,
    },
    Assign {
        session: SessionId,
        assignment: Box<Assignment>,
    },
    Stop {
        session: SessionId,
        id: AttemptId,
        reason: StopReason,
    },
    Acknowledged {
        session: SessionId,
        id: AttemptId,
    },
    Drain {
        session: SessionId,
    },
    /// The connection of this session, or any.
    Closed {
        session: Option<SessionId>,
    },
}

struct Running {
    since: Timestamp,
    candidate: CandidateId,
    stage: Arc<str>,
    attached: Attached,
    evaluation: Option<Evaluation>,
}

pub(super) struct SimulatedWorker {
    pub(super) name: Arc<str>,
    /// Counts the lives of the process; whatever was scheduled for an earlier life is void.
    pub(super) epoch: u64,
    /// Slot time spent evaluating.
    pub(super) busy: Span,
    capabilities: Arc<Capabilities>,
    slots: u32,
    prefetch: u32,
    session: SessionId,
    registered: Option<WorkerId>,
    credit_announced: u32,
    waiting: VecDeque<Box<Assignment>>,
    running: BTreeMap<AttemptId, Running>,
    /// Finished and not acknowledged; on disk.
    outbox: BTreeMap<AttemptId, (ReportedOutcome, Attached, Span)>,
    last_work: Timestamp,
    /// Whether it takes nothing more and leaves when it has finished.
    draining: bool,
}

impl SimulatedWorker {
    pub(super) fn new(
        name: Arc<str>,
        capabilities: Arc<Capabilities>,
        slots: u32,
        prefetch: u32,
    ) -> Self {
        Self {
            name,
            epoch: 0,
            busy: Span(0),
            capabilities,
            slots,
            prefetch,
            session: SessionId(0),
            registered: None,
            credit_announced: 0,
            waiting: VecDeque::new(),
            running: BTreeMap::new(),
            outbox: BTreeMap::new(),
            last_work: Timestamp(0),
            draining: false,
        }
    }

    /// Gives it other capabilities, before it registers.
    pub(super) fn equip(&mut self, capabilities: Arc<Capabilities>) {
        self.capabilities = capabilities;
    }

    /// The process dies: only the disk remains.
    pub(super) fn crash(&mut self) {
        self.epoch += 1;
        self.registered = None;
        self.credit_announced = 0;
        self.draining = false;
        self.waiting.clear();
        self.running.clear();
    }

    /// The connection breaks; returns what the coordinator knew it as.
    pub(super) fn disconnect(&mut self) -> Option<(WorkerId, SessionId)> {
        self.credit_announced = 0;
        self.registered.take().map(|worker| (worker, self.session))
    }

    fn holding(&self) -> Vec<AttemptId> {
        let waiting = self.waiting.iter().map(|found| found.id());
        waiting.chain(self.running.keys().copied()).chain(self.outbox.keys().copied()).collect()
    }

    /// What it says at regular intervals.
    pub(super) fn heartbeat(&mut self, now: Timestamp, patience: Span) -> Vec<Command> {
        let idle = self.waiting.is_empty() && self.running.is_empty();
        if !idle {
            self.last_work = now;
        }
        // Credit may have been lost on the way; a fresh connection starts the count anew.
        if idle && self.registered.is_some() && now.since(self.last_work) > patience {
            self.last_work = now;
            self.disconnect();
        }
        let Some(worker) = self.registered else { return vec![self.register()] };
        let holding = self.holding();
        let mut messages = vec![Command::Heartbeat { worker, session: self.session, holding }];
        messages.extend(self.reports(worker));
        messages.extend(self.announce_credit());
        messages
    }

    fn register(&mut self) -> Command {
        self.session = self.session.next();
        Command::RegisterWorker {
            name: self.name.clone(),
            session: self.session,
            capabilities: self.capabilities.clone(),
            holding: self.holding(),
        }
    }

    fn reports(&self, worker: WorkerId) -> Vec<Command> {
        let report =
            |(id, held): (&AttemptId, &(ReportedOutcome, Attached, Span))| Command::Report {
                worker,
                session: self.session,
                task: id.task,
                attempt: id.attempt,
                outcome: held.0.clone(),
                attached: held.1.clone(),
                elapsed: held.2,
                energy: Some(Energy(held.2.0 * MICROJOULES_PER_MICROSECOND)),
            };
        self.outbox.iter().map(report).collect()
    }

    fn announce_credit(&mut self) -> Option<Command> {
        let worker = self.registered.filter(|_| !self.draining)?;
        let taken = self.waiting.len() + self.running.len();
        let room = (self.slots + self.prefetch).saturating_sub(taken as u32);
        let credit = room.saturating_sub(self.credit_announced);
        self.credit_announced += credit;
        (credit > 0).then_some(Command::Ready { worker, session: self.session, credit })
    }

    pub(super) fn receive(&mut self, message: ToWorker, now: Timestamp) -> Vec<Command> {
        match message {
            ToWorker::Registered { worker, session } if session == self.session => {
                self.registered = Some(worker);
                self.credit_announced = 0;
                let mut messages = self.reports(worker);
                messages.extend(self.announce_credit());
                messages
            }
            ToWorker::Assign { session, assignment } if session == self.session => {
                let known = self.holding().contains(&assignment.id());
                if self.registered.is_some() && !known {
                    self.credit_announced = self.credit_announced.saturating_sub(1);
                    self.waiting.push_back(assignment);
                }
                self.hand_back_if_draining()
            }
            ToWorker::Stop { session, id, reason: StopReason::Hopeless }
                if session == self.session =>
            {
                self.cut_short(id, now)
            }
            ToWorker::Stop { session, id, reason: StopReason::Preempted }
                if session == self.session =>
            {
                self.leave_state(id, now)
            }
            // Somebody else has the task by now; what it took counts all the same.
            ToWorker::Stop { session, id, reason: StopReason::Superseded }
                if session == self.session =>
            {
                self.waiting.retain(|found| found.id() != id);
                self.cut_short(id, now)
            }
            ToWorker::Stop { session, id, .. } if session == self.session => {
                self.waiting.retain(|found| found.id() != id);
                self.running.remove(&id);
                self.outbox.remove(&id);
                self.announce_credit().into_iter().collect()
            }
            ToWorker::Acknowledged { session, id } if session == self.session => {
                self.outbox.remove(&id);
                Vec::new()
            }
            ToWorker::Drain { session } if session == self.session => {
                self.draining = true;
                self.hand_back_if_draining()
            }
            ToWorker::Closed { session } if session.is_none_or(|it| it == self.session) => {
                self.disconnect();
                vec![self.register()]
            }
            _ => Vec::new(),
        }
    }

    /// Ends an evaluation before its time, and reports what it took; a result that is there stays.
    fn cut_short(&mut self, id: AttemptId, now: Timestamp) -> Vec<Command> {
        let Some(Running { since, .. }) = self.running.remove(&id) else { return Vec::new() };
        let elapsed = now.since(since);
        self.busy = self.busy + elapsed;
        let message = "stopped on request".into();
        let failure = ReportedOutcome::Failed(Failure { kind: FailureKind::Preempted, message });
        self.outbox.insert(id, (failure, Attached::default(), elapsed));
        let Some(worker) = self.registered else { return Vec::new() };
        let mut messages = self.reports(worker);
        messages.extend(self.announce_credit());
        messages
    }

    /// Whether its evaluators can leave the state of what is stopped.
    fn yields(&self) -> bool {
        self.capabilities.evaluators.iter().any(|offer| offer.yields)
    }

    /// Ends an evaluation before its time and reports the state that it leaves, if it can; nothing of one
    /// that has not begun.
    fn leave_state(&mut self, id: AttemptId, now: Timestamp) -> Vec<Command> {
        let waited = self.waiting.len();
        self.waiting.retain(|found| found.id() != id);
        let (attached, elapsed) = match self.running.remove(&id) {
            Some(Running { since, candidate, stage, .. }) => {
                let elapsed = now.since(since);
                let checkpoint = self.yields().then(|| state_left(candidate, &stage, id.attempt));
                let step = (elapsed.0 / 1_000_000) as u32;
                (Attached { checkpoint, step, note: None }, elapsed)
            }
            None if self.waiting.len() < waited => (Attached::default(), Span(0)),
            None => return Vec::new(),
        };
        self.busy = self.busy + elapsed;
        let message = "stopped on request".into();
        let failure = ReportedOutcome::Failed(Failure { kind: FailureKind::Preempted, message });
        self.outbox.insert(id, (failure, attached, elapsed));
        let Some(worker) = self.registered else { return Vec::new() };
        let mut messages = self.reports(worker);
        messages.extend(self.announce_credit());
        messages
    }

    /// What it says of an evaluation whose state it has stored on its way.
    pub(super) fn save(&self, id: AttemptId, step: u32) -> Option<Command> {
        let AttemptId { task, attempt } = id;
        let worker = self.registered.filter(|_| self.yields())?;
        let Running { candidate, stage, .. } = self.running.get(&id)?;
        let checkpoint = state_saved(*candidate, stage, attempt, step);
        let session = self.session;
        Some(Command::SaveState { worker, session, task, attempt, checkpoint, step })
    }

    /// What it says of an evaluation that has got to a step.
    pub(super) fn progress(
        &self,
        id: AttemptId,
        (step, steps): (u32, u32),
        metrics: BTreeMap<MetricName, f64>,
    ) -> Option<Command> {
        let worker = self.registered.filter(|_| self.running.contains_key(&id))?;
        let (session, AttemptId { task, attempt }) = (self.session, id);
        Some(Command::Progress { worker, session, task, attempt, step, steps, metrics })
    }

    /// What waits while it drains goes back.
    fn hand_back_if_draining(&mut self) -> Vec<Command> {
        let Some(worker) = self.registered.filter(|_| self.draining) else { return Vec::new() };
        for assignment in std::mem::take(&mut self.waiting) {
            let message = "the worker takes nothing more".into();
            let failure = Failure { kind: FailureKind::Preempted, message };
            let handed_back = (ReportedOutcome::Failed(failure), Attached::default(), Span(0));
            self.outbox.insert(assignment.id(), handed_back);
        }
        self.reports(worker)
    }

    /// Its farewell, once it drains and has finished everything.
    pub(super) fn farewell(&self) -> Option<Command> {
        let idle = self.waiting.is_empty() && self.running.is_empty() && self.outbox.is_empty();
        let worker = self.registered.filter(|_| self.draining && idle)?;
        Some(Command::WorkerGoodbye { worker, session: self.session })
    }

    /// Moves waiting assignments into free slots.
    pub(super) fn start_evaluations(
        &mut self,
        now: Timestamp,
    ) -> Vec<(AttemptId, Box<Assignment>)> {
        let mut started = Vec::new();
        while self.running.len() < self.slots as usize {
            let Some(assignment) = self.waiting.pop_front() else { break };
            let id = assignment.id();
            let state = state_of(assignment.candidate, &assignment.stage.name);
            let checkpoint = assignment.keep.then_some(state);
            let attached = Attached { checkpoint, ..Attached::default() };
            let (candidate, stage) = (assignment.candidate, assignment.stage.name.clone());
            let running = Running { since: now, candidate, stage, attached, evaluation: None };
            self.running.insert(id, running);
            started.push((id, assignment));
        }
        started
    }

    pub(super) fn running_outcome(&mut self, id: AttemptId, evaluation: Evaluation) {
        if let Some(running) = self.running.get_mut(&id) {
            running.evaluation = Some(evaluation);
        }
    }

    pub(super) fn evaluation_ended(&mut self, id: AttemptId, now: Timestamp) -> Vec<Command> {
        let ended = self.running.remove(&id);
        let Some(Running { since, attached, evaluation: Some(evaluation), .. }) = ended else {
            return Vec::new();
        };
        let elapsed = now.since(since);
        self.busy = self.busy + elapsed;
        // A failure leaves nothing.
        let measured = matches!(evaluation.outcome, ReportedOutcome::Measured(_));
        let attached = if measured { attached } else { Attached::default() };
        self.outbox.insert(id, (evaluation.outcome, attached, elapsed));
        let Some(worker) = self.registered else { return Vec::new() };
        let mut messages = self.reports(worker);
        messages.extend(self.announce_credit());
        messages
    }
}
