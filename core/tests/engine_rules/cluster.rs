//! What drives the engine in these tests: a step at a time, the state checked after each.

use std::sync::Arc;

use cambrian_core::engine::{
    Assignment, Attached, Campaign, Capabilities, Command, Effect, Engine, EngineSettings, Event,
    Failure, FailureKind, Rejected, ReportedOutcome, Step, StopReason, SubmissionId,
};
use cambrian_core::id::{Attempt, AttemptId, CampaignId, SessionId, TaskId, WorkerId};
use cambrian_core::time::{Span, Timestamp};

use super::support;

pub(super) const LEASE: Span = Span::from_secs(30);
pub(super) const FIRST: CampaignId = CampaignId(1);

/// An engine, a clock that only the test moves, and the effects nobody has looked at yet.
pub(super) struct Cluster {
    pub(super) engine: Engine,
    pub(super) now: Timestamp,
    pub(super) effects: Vec<Effect>,
}

impl Cluster {
    pub(super) fn new() -> Self {
        let engine = Engine::new(EngineSettings { lease_length: LEASE });
        let mut cluster = Self { engine, now: Timestamp(1_000_000), effects: Vec::new() };
        cluster.expect(Command::Start);
        cluster
    }

    pub(super) fn with_campaign(extra: &str, evaluations: u32) -> Self {
        let mut cluster = Self::new();
        cluster.submit(1, &yaml(extra, evaluations));
        cluster
    }

    pub(super) fn submit(&mut self, submission: u128, yaml: &str) {
        let spec = support::campaign(yaml);
        let submission = SubmissionId(submission);
        self.expect(Command::SubmitCampaign { submission, spec, source: yaml.into(), owner: None });
    }

    pub(super) fn try_step(&mut self, command: Command) -> Result<Step, Rejected> {
        let step = self.engine.step(command, self.now)?;
        self.engine.state().check().unwrap_or_else(|findings| panic!("{findings:?}"));
        self.effects.extend(step.effects.iter().cloned());
        Ok(step)
    }

    pub(super) fn expect(&mut self, command: Command) -> Step {
        self.try_step(command).unwrap_or_else(|rejected| panic!("{rejected}"))
    }

    pub(super) fn pass(&mut self, span: Span) -> Step {
        self.now = self.now + span;
        self.expect(Command::Tick)
    }

    /// A worker that offers what is usual and what `change` makes of it, in its first session.
    pub(super) fn register(
        &mut self,
        name: &str,
        change: impl FnOnce(&mut Capabilities),
    ) -> WorkerId {
        let mut capabilities = usual_capabilities();
        change(Arc::make_mut(&mut capabilities));
        self.connect(name, 1, capabilities, &[])
    }

    pub(super) fn register_with(
        &mut self,
        name: &str,
        session: u64,
        holding: &[(u64, u32)],
    ) -> WorkerId {
        self.connect(name, session, usual_capabilities(), holding)
    }

    /// A worker with whatever it offers, or once more in a later session.
    pub(super) fn connect(
        &mut self,
        name: &str,
        session: u64,
        capabilities: Arc<Capabilities>,
        holding: &[(u64, u32)],
    ) -> WorkerId {
        let holding = holding.iter().map(|(task, attempt)| key(*task, *attempt)).collect();
        let (name, session) = (Arc::from(name), SessionId(session));
        let registered = Arc::clone(&name);
        self.expect(Command::RegisterWorker { name, session, capabilities, holding });
        self.engine.state().find_worker(&registered).expect("it has registered").id()
    }

    pub(super) fn ready(&mut self, worker: WorkerId, session: u64, credit: u32) {
        self.expect(Command::Ready { worker, session: SessionId(session), credit });
    }

    pub(super) fn worker(&mut self, name: &str, credit: u32) -> WorkerId {
        let worker = self.register(name, |_| {});
        self.ready(worker, 1, credit);
        worker
    }

    pub(super) fn report(
        &mut self,
        worker: WorkerId,
        key: (u64, u32),
        outcome: ReportedOutcome,
    ) -> Step {
        self.report_with(worker, key, outcome, Attached::default())
    }

    pub(super) fn report_with(
        &mut self,
        worker: WorkerId,
        key: (u64, u32),
        outcome: ReportedOutcome,
        attached: Attached,
    ) -> Step {
        self.expect(Command::Report {
            worker,
            session: self
                .engine
                .state()
                .find_worker(&worker.to_string())
                .expect("it has registered")
                .session(),
            task: TaskId(key.0),
            attempt: Attempt(key.1),
            outcome,
            attached,
            elapsed: Span::from_secs(7),
            energy: None,
        })
    }

    pub(super) fn assignments(&mut self) -> Vec<Assignment> {
        let effects = std::mem::take(&mut self.effects);
        effects
            .into_iter()
            .filter_map(|effect| match effect {
                Effect::Assign { assignment, .. } => Some(*assignment),
                _ => None,
            })
            .collect()
    }

    pub(super) fn stops(&self) -> Vec<(TaskId, Attempt, StopReason)> {
        let stop = |effect: &Effect| match effect {
            Effect::Stop { task, attempt, reason, .. } => Some((*task, *attempt, *reason)),
            _ => None,
        };
        self.effects.iter().filter_map(stop).collect()
    }

    pub(super) fn campaign(&self) -> &Campaign {
        self.engine.state().campaign(FIRST).expect("the campaign exists")
    }
}

pub(super) fn usual_capabilities() -> Arc<Capabilities> {
    support::capabilities(&["synthetic"], &["accuracy", "latency"])
}

pub(super) fn key(task: u64, attempt: u32) -> AttemptId {
    AttemptId::new(TaskId(task), Attempt(attempt))
}

pub(super) fn yaml(extra: &str, evaluations: u32) -> String {
    format!(
        "version: 1\nname: rules\nseed: 5\n\
         space: {{kind: nasbench201, channels: 4, cells: 1, input: [1, 28, 28]}}\n\
         objectives: [accuracy, latency]\nalgorithm: random\n\
         stages:\n  - {{name: all, evaluator: synthetic, measures: [accuracy, latency], timeout: 5m}}\n\
         {extra}\
         budget: {{evaluations: {evaluations}}}\n"
    )
}

pub(super) fn measured(accuracy: f64, latency: f64) -> ReportedOutcome {
    ReportedOutcome::Measured(vec![
        support::measurement("accuracy", accuracy),
        support::measurement("latency", latency),
    ])
}

pub(super) fn failed(kind: FailureKind) -> ReportedOutcome {
    ReportedOutcome::Failed(Failure { kind, message: "as the test says".into() })
}

pub(super) fn count(step: &Step, wanted: fn(&Event) -> bool) -> usize {
    step.events.iter().filter(|event| wanted(event)).count()
}
