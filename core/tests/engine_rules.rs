//! The engine's rules one by one: what is counted, what is dropped, what is handed on.

mod support;

#[path = "engine_rules/bounds.rs"]
mod bounds;
#[path = "engine_rules/cache.rs"]
mod cache;
#[path = "engine_rules/checkpoints.rs"]
mod checkpoints;
#[path = "engine_rules/cohorts.rs"]
mod cohorts;
#[path = "engine_rules/early.rs"]
mod early;
#[path = "engine_rules/explained.rs"]
mod explained;
#[path = "engine_rules/extremes.rs"]
mod extremes;
#[path = "engine_rules/fleet.rs"]
mod fleet;
#[path = "engine_rules/kinds.rs"]
mod kinds;
#[path = "engine_rules/limits.rs"]
mod limits;
#[path = "engine_rules/pins.rs"]
mod pins;
#[path = "engine_rules/preempt.rs"]
mod preempt;
#[path = "engine_rules/repeats.rs"]
mod repeats;
#[path = "engine_rules/rungs.rs"]
mod rungs;
#[path = "engine_rules/silence.rs"]
mod silence;
#[path = "engine_rules/start.rs"]
mod start;
#[path = "engine_rules/stop.rs"]
mod stop;
#[path = "engine_rules/turns.rs"]
mod turns;
#[path = "engine_rules/yields.rs"]
mod yields;

use std::sync::Arc;

use cambrian_core::engine::{
    Assignment, Attached, CampaignStatus, CandidateStatus, Command, Effect, Engine, EngineSettings,
    Event, Failure, FailureKind, FinishReason, LeaseEnd, Rejected, ReportedOutcome, Step,
    StopReason, Subject, SubmissionId,
};
use cambrian_core::id::{
    Attempt, AttemptId, CampaignId, CandidateId, Ordinal, SessionId, TaskId, WorkerId,
};
use cambrian_core::objective::{Measurement, Provenance};
use cambrian_core::time::{Span, Timestamp};

const LEASE: Span = Span::from_secs(30);
const FIRST: CampaignId = CampaignId(1);

/// An engine, a clock that only the test moves, and the effects nobody has looked at yet.
struct Cluster {
    engine: Engine,
    now: Timestamp,
    effects: Vec<Effect>,
}

impl Cluster {
    fn new() -> Self {
        let engine = Engine::new(EngineSettings { lease_length: LEASE });
        let mut cluster = Self { engine, now: Timestamp(1_000_000), effects: Vec::new() };
        cluster.expect(Command::Start);
        cluster
    }

    fn with_campaign(extra: &str, evaluations: u32) -> Self {
        let mut cluster = Self::new();
        cluster.submit(1, &yaml(extra, evaluations));
        cluster
    }

    fn submit(&mut self, submission: u128, yaml: &str) {
        let spec = support::campaign(yaml);
        let submission = SubmissionId(submission);
        self.expect(Command::SubmitCampaign { submission, spec, source: yaml.into(), owner: None });
    }

    fn try_step(&mut self, command: Command) -> Result<Step, Rejected> {
        let step = self.engine.step(command, self.now)?;
        self.engine.state().check().unwrap_or_else(|findings| panic!("{findings:?}"));
        self.effects.extend(step.effects.iter().cloned());
        Ok(step)
    }

    fn expect(&mut self, command: Command) -> Step {
        self.try_step(command).unwrap_or_else(|rejected| panic!("{rejected}"))
    }

    fn pass(&mut self, span: Span) -> Step {
        self.now = self.now + span;
        self.expect(Command::Tick)
    }

    fn register_with(&mut self, name: &str, session: u64, holding: &[(u64, u32)]) -> WorkerId {
        self.expect(Command::RegisterWorker {
            name: name.into(),
            session: SessionId(session),
            capabilities: support::capabilities(&["synthetic"], &["accuracy", "latency"]),
            holding: holding.iter().map(|(task, attempt)| key(*task, *attempt)).collect(),
        });
        self.engine.state().find_worker(name).expect("it has registered").id()
    }

    fn ready(&mut self, worker: WorkerId, session: u64, credit: u32) {
        self.expect(Command::Ready { worker, session: SessionId(session), credit });
    }

    fn worker(&mut self, name: &str, credit: u32) -> WorkerId {
        let worker = self.register_with(name, 1, &[]);
        self.ready(worker, 1, credit);
        worker
    }

    fn report(&mut self, worker: WorkerId, key: (u64, u32), outcome: ReportedOutcome) -> Step {
        self.report_with(worker, key, outcome, Attached::default())
    }

    fn report_with(
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

    fn assignments(&mut self) -> Vec<Assignment> {
        let effects = std::mem::take(&mut self.effects);
        effects
            .into_iter()
            .filter_map(|effect| match effect {
                Effect::Assign { assignment, .. } => Some(*assignment),
                _ => None,
            })
            .collect()
    }

    fn stops(&self) -> Vec<(TaskId, Attempt, StopReason)> {
        let stop = |effect: &Effect| match effect {
            Effect::Stop { task, attempt, reason, .. } => Some((*task, *attempt, *reason)),
            _ => None,
        };
        self.effects.iter().filter_map(stop).collect()
    }

    fn campaign(&self) -> &cambrian_core::engine::Campaign {
        self.engine.state().campaign(FIRST).expect("the campaign exists")
    }
}

fn key(task: u64, attempt: u32) -> AttemptId {
    AttemptId::new(TaskId(task), Attempt(attempt))
}

fn yaml(extra: &str, evaluations: u32) -> String {
    format!(
        "version: 1\nname: rules\nseed: 5\n\
         space: {{kind: nasbench201, channels: 4, cells: 1, input: [1, 28, 28]}}\n\
         objectives: [accuracy, latency]\nalgorithm: random\n\
         stages:\n  - {{name: all, evaluator: synthetic, measures: [accuracy, latency], timeout: 5m}}\n\
         {extra}\
         budget: {{evaluations: {evaluations}}}\n"
    )
}

fn measured(accuracy: f64, latency: f64) -> ReportedOutcome {
    ReportedOutcome::Measured(vec![
        support::measurement("accuracy", accuracy),
        support::measurement("latency", latency),
    ])
}

fn failed(kind: FailureKind) -> ReportedOutcome {
    ReportedOutcome::Failed(Failure { kind, message: "as the test says".into() })
}

fn count(step: &Step, wanted: fn(&Event) -> bool) -> usize {
    step.events.iter().filter(|event| wanted(event)).count()
}

#[test]
fn a_report_counts_once_however_often_it_arrives() {
    let mut cluster = Cluster::with_campaign("", 3);
    let worker = cluster.worker("a", 1);
    let first = cluster.report(worker, (1, 1), measured(80.0, 5.0));
    assert_eq!(count(&first, |event| matches!(event, Event::CandidateScored { .. })), 1);
    let digest = cluster.engine.state().digest();
    cluster.effects.clear();
    let second = cluster.report(worker, (1, 1), measured(99.0, 1.0));
    assert_eq!(count(&second, Event::is_durable), 0);
    assert_eq!(cluster.engine.state().digest(), digest);
    assert!(matches!(cluster.effects[..], [Effect::Acknowledge { .. }]));
}

/// Whether nothing of a report counts but what the attempt took.
fn only_time_counts(step: &Step) -> bool {
    let mut durable = step.events.iter().filter(|event| event.is_durable());
    let time = durable.next().is_some_and(
        |event| matches!(event, Event::AttemptYielded { checkpoint: None, elapsed, .. } if elapsed.0 > 0),
    );
    time && durable.next().is_none()
}

#[test]
fn a_report_of_an_earlier_attempt_is_acknowledged_and_dropped() {
    let mut cluster = Cluster::with_campaign("", 1);
    let slow = cluster.worker("slow", 1);
    cluster.pass(LEASE);
    let quick = cluster.worker("quick", 1);
    assert_eq!(cluster.assignments().last().map(|a| a.attempt), Some(Attempt(2)));
    let late = cluster.report(slow, (1, 1), measured(80.0, 5.0));
    assert!(only_time_counts(&late));
    let counted = cluster.report(quick, (1, 2), measured(81.0, 6.0));
    assert_eq!(count(&counted, |event| matches!(event, Event::TaskCompleted { .. })), 1);
}

#[test]
fn an_earlier_attempt_does_not_count_even_for_the_worker_that_holds_the_present_one() {
    let mut cluster = Cluster::with_campaign("", 1);
    let worker = cluster.worker("a", 2);
    cluster.pass(LEASE);
    assert_eq!(cluster.assignments().last().map(|a| a.attempt), Some(Attempt(2)));
    let early = cluster.report(worker, (1, 1), measured(80.0, 5.0));
    assert!(only_time_counts(&early));
    assert!(matches!(cluster.effects[..], [Effect::Acknowledge { attempt: Attempt(1), .. }]));
    cluster.report(worker, (1, 2), measured(81.0, 6.0));
    assert_eq!(cluster.campaign().scored(), 1);
}

#[test]
fn a_late_result_counts_as_long_as_nobody_else_has_the_task() {
    let mut cluster = Cluster::with_campaign("", 1);
    let worker = cluster.worker("a", 1);
    let expired = cluster.pass(LEASE);
    let ended = |event: &Event| matches!(event, Event::LeaseEnded { end: LeaseEnd::Expired, .. });
    assert_eq!(count(&expired, ended), 1);
    cluster.report(worker, (1, 1), measured(80.0, 5.0));
    assert_eq!(cluster.campaign().scored(), 1);
}

#[test]
fn heartbeats_keep_a_lease_and_give_an_expired_one_back() {
    let mut cluster = Cluster::with_campaign("", 1);
    let worker = cluster.worker("a", 1);
    let beat = Command::Heartbeat { worker, session: SessionId(1), holding: vec![key(1, 1)] };
    for _ in 0..5 {
        cluster.now = cluster.now + Span::from_secs(20);
        cluster.expect(beat.clone());
        assert!(cluster.engine.state().task(TaskId(1)).unwrap().lease().is_some());
        cluster.pass(Span(0));
    }
    cluster.pass(LEASE);
    assert!(cluster.engine.state().task(TaskId(1)).unwrap().lease().is_none());
    cluster.expect(beat);
    let task = cluster.engine.state().task(TaskId(1)).unwrap();
    assert_eq!(
        (task.attempt(), task.lease().map(|lease| lease.worker)),
        (Attempt(1), Some(worker))
    );
}

#[test]
fn a_stale_session_changes_nothing() {
    let mut cluster = Cluster::with_campaign("", 2);
    let worker = cluster.worker("a", 1);
    cluster.register_with("a", 2, &[(1, 1)]);
    let digest = cluster.engine.state().digest();
    let session = SessionId(1);
    let commands = [
        Command::Ready { worker, session, credit: 5 },
        Command::Heartbeat { worker, session, holding: vec![] },
        Command::WorkerGoodbye { worker, session },
        Command::RegisterWorker {
            name: "a".into(),
            session,
            capabilities: support::capabilities(&["synthetic"], &["accuracy"]),
            holding: vec![],
        },
    ];
    for command in commands {
        let rejected = cluster.try_step(command).unwrap_err();
        assert!(matches!(rejected, Rejected::StaleSession { latest: SessionId(2), .. }));
    }
    let unknown = Command::Ready { worker: WorkerId(9), session, credit: 1 };
    assert_eq!(cluster.try_step(unknown).unwrap_err(), Rejected::UnknownWorker(WorkerId(9)));
    assert_eq!(cluster.engine.state().digest(), digest);
}

#[test]
fn a_worker_cannot_report_anothers_task() {
    let mut cluster = Cluster::with_campaign("", 1);
    cluster.worker("holder", 1);
    let stranger = cluster.register_with("stranger", 1, &[]);
    let step = cluster.report(stranger, (1, 1), measured(100.0, 0.1));
    assert_eq!(count(&step, Event::is_durable), 0);
    assert_eq!(cluster.campaign().scored(), 0);
}

#[test]
fn retried_failures_are_bounded_and_the_others_end_at_once() {
    for kind in FailureKind::ALL {
        let mut cluster = Cluster::with_campaign("failures: {attempts: 3}\n", 1);
        let worker = cluster.worker("a", 100);
        let (mut attempts, mut session) = (0, 1);
        let resolved = |cluster: &Cluster| cluster.campaign().unresolved() == 0;
        while (attempts == 0 || !resolved(&cluster)) && attempts < 70 {
            attempts += 1;
            cluster.report(worker, (1, attempts), failed(kind));
            if kind == FailureKind::BadNode && !resolved(&cluster) {
                session += 1;
                cluster.register_with("a", session, &[]);
                cluster.ready(worker, session, 100);
            }
        }
        let rule = cluster.campaign().spec().failures.rule(kind);
        let expected = rule.map_or(60, |rule| rule.retries() + 1);
        assert_eq!(attempts, expected, "{kind}");
        let campaign = cluster.campaign();
        assert_eq!(campaign.status(), CampaignStatus::Finished(FinishReason::BudgetSpent));
        let candidate = campaign.candidate(Ordinal(1)).unwrap();
        match kind {
            FailureKind::OutOfMemory => {
                assert!(matches!(candidate.status(), CandidateStatus::Infeasible(_)), "{kind}");
            }
            _ => {
                assert!(matches!(candidate.status(), CandidateStatus::Failed(f) if f.kind == kind))
            }
        }
    }
}

#[test]
fn a_bad_node_gets_nothing_more_until_it_registers_anew() {
    let mut cluster = Cluster::with_campaign("failures: {attempts: 1}\n", 3);
    let broken = cluster.worker("broken", 2);
    cluster.assignments();
    cluster.report(broken, (1, 1), failed(FailureKind::BadNode));
    assert!(cluster.assignments().is_empty());
    assert_eq!(cluster.campaign().failed(), 0);
    let why = cluster.engine.state().explain(&Subject::Task(TaskId(1))).unwrap();
    let line = "broken cannot: it said so: as the test says; restart it once that is mended";
    assert!(why.details.iter().any(|detail| detail == line), "{why:?}");
    cluster.worker("sound", 1);
    assert_eq!(cluster.assignments().len(), 1);
    cluster.register_with("broken", 2, &[(2, 1)]);
    cluster.ready(broken, 2, 1);
    assert_eq!(cluster.assignments().len(), 1);
}

#[test]
fn goodbye_hands_leases_back_without_charging_the_candidate() {
    let mut cluster = Cluster::with_campaign("failures: {attempts: 1}\n", 1);
    let leaving = cluster.worker("leaving", 1);
    cluster.expect(Command::WorkerGoodbye { worker: leaving, session: SessionId(1) });
    let staying = cluster.worker("staying", 1);
    cluster.report(staying, (1, 2), measured(80.0, 5.0));
    assert_eq!(cluster.campaign().scored(), 1);
}

#[test]
fn an_assignment_that_never_arrived_is_not_charged_and_a_forgotten_one_is() {
    for (confirmed, end) in [(false, LeaseEnd::Undelivered), (true, LeaseEnd::Forgotten)] {
        let mut cluster = Cluster::with_campaign("", 1);
        let worker = cluster.worker("a", 1);
        if confirmed {
            let holding = vec![key(1, 1)];
            cluster.expect(Command::Heartbeat { worker, session: SessionId(1), holding });
        }
        let step = cluster.expect(Command::RegisterWorker {
            name: "a".into(),
            session: SessionId(2),
            capabilities: support::capabilities(&["synthetic"], &["accuracy", "latency"]),
            holding: vec![],
        });
        let found = step.events.iter().find_map(|event| match event {
            Event::LeaseEnded { end, .. } => Some(*end),
            _ => None,
        });
        assert_eq!(found, Some(end));
    }
}

#[test]
fn attempts_that_the_coordinator_does_not_want_are_stopped() {
    let mut cluster = Cluster::with_campaign("", 1);
    cluster.register_with("a", 1, &[(7, 2)]);
    let AttemptId { task, attempt } = key(7, 2);
    assert_eq!(cluster.stops(), [(task, attempt, StopReason::Superseded)]);
}

#[test]
fn values_of_another_provenance_never_enter() {
    let mut cluster = Cluster::with_campaign("", 1);
    let worker = cluster.worker("a", 2);
    let foreign = Provenance { source: "nvml".into(), device_class: "other".into() };
    let latency = Measurement::new("latency".into(), 1.0, None, foreign).unwrap();
    let outcome = ReportedOutcome::Measured(vec![support::measurement("accuracy", 80.0), latency]);
    let step = cluster.report(worker, (1, 1), outcome);
    let incomparable = |event: &Event| {
        matches!(event, Event::AttemptFailed { failure, .. }
            if failure.kind == FailureKind::Incomparable && failure.message.contains("nvml"))
    };
    assert_eq!(count(&step, incomparable), 1);
}

#[test]
fn a_report_without_a_promised_metric_is_a_failed_attempt() {
    let mut cluster = Cluster::with_campaign("", 1);
    let worker = cluster.worker("a", 1);
    let outcome = ReportedOutcome::Measured(vec![support::measurement("accuracy", 80.0)]);
    let step = cluster.report(worker, (1, 1), outcome);
    let named = |event: &Event| matches!(event, Event::AttemptFailed { failure, .. } if failure.message.contains("latency"));
    assert_eq!(count(&step, named), 1);
}

#[test]
fn a_paused_campaign_dispatches_nothing_and_keeps_what_comes_back() {
    let mut cluster = Cluster::with_campaign("", 5);
    let worker = cluster.worker("a", 1);
    cluster.expect(Command::PauseCampaign(FIRST));
    cluster.assignments();
    cluster.report(worker, (1, 1), measured(80.0, 5.0));
    cluster.ready(worker, 1, 3);
    assert!(cluster.assignments().is_empty());
    assert_eq!(cluster.campaign().scored(), 1);
    let again = cluster.try_step(Command::PauseCampaign(FIRST)).unwrap_err();
    assert_eq!(again.to_string(), "campaign 1 is paused, so it cannot be paused");
    cluster.expect(Command::ResumeCampaign(FIRST));
    assert_eq!(cluster.assignments().len(), 3);
}

#[test]
fn cancelling_stops_what_runs_and_finishes_at_once() {
    let mut cluster = Cluster::with_campaign("", 5);
    cluster.worker("a", 2);
    cluster.effects.clear();
    cluster.expect(Command::CancelCampaign(FIRST));
    assert_eq!(cluster.stops().len(), 2);
    assert_eq!(cluster.campaign().status(), CampaignStatus::Finished(FinishReason::Cancelled));
    let unknown = cluster.try_step(Command::CancelCampaign(CampaignId(9))).unwrap_err();
    assert_eq!(unknown, Rejected::UnknownCampaign(CampaignId(9)));
}

#[test]
fn a_campaign_that_is_cancelled_while_it_drains_ends_once() {
    for waiting in [false, true] {
        let mut cluster = Cluster::with_campaign("", 1);
        cluster.worker("a", 1);
        if waiting {
            cluster.pass(LEASE);
        }
        let drains = CampaignStatus::Draining(FinishReason::BudgetSpent);
        assert_eq!(cluster.campaign().status(), drains);
        let step = cluster.expect(Command::CancelCampaign(FIRST));
        assert_eq!(count(&step, |event| matches!(event, Event::CampaignFinished { .. })), 1);
        assert_eq!(cluster.campaign().status(), CampaignStatus::Finished(FinishReason::Cancelled));
    }
}

#[test]
fn the_budget_bounds_evaluations_and_time() {
    let mut cluster = Cluster::with_campaign("", 3);
    cluster.worker("a", 10);
    assert_eq!(cluster.assignments().len(), 3);

    let mut cluster = Cluster::new();
    let timed = yaml("", 50).replace("evaluations: 50", "evaluations: 50, duration: 10m");
    cluster.submit(1, &timed);
    let worker = cluster.worker("a", 1);
    let holding = vec![key(1, 1)];
    cluster.now = cluster.now + Span::from_secs(599);
    cluster.expect(Command::Heartbeat { worker, session: SessionId(1), holding });
    cluster.pass(Span::from_secs(1));
    assert_eq!(cluster.campaign().status(), CampaignStatus::Draining(FinishReason::TimeUp));
    cluster.report(worker, (1, 1), measured(80.0, 5.0));
    assert_eq!(cluster.campaign().status(), CampaignStatus::Finished(FinishReason::TimeUp));
    assert_eq!(cluster.campaign().scored(), 1);
}

#[test]
fn constraints_on_analytic_metrics_reject_before_anything_is_leased() {
    let mut cluster = Cluster::with_campaign("constraints: [{metric: params, at_most: 10}]\n", 5);
    cluster.worker("a", 1);
    assert!(cluster.assignments().is_empty());
    let campaign = cluster.campaign();
    assert_eq!(campaign.status(), CampaignStatus::Finished(FinishReason::NothingFeasible));
    let reason = campaign.candidate_view(Ordinal(1)).unwrap().reason();
    assert!(reason.starts_with("params "), "{reason}");
    assert!(reason.ends_with(" breaks the bound <= 10"), "{reason}");
}

#[test]
fn constraints_that_leave_little_hold_nobody_up() {
    // One cell in sixty has four convolutions of the larger kind.
    let mut cluster =
        Cluster::with_campaign("constraints: [{metric: params, at_least: 17500}]\n", 50);
    let ruled_out = |event: &Event| matches!(event, Event::CandidateInfeasible { .. });
    let session = SessionId(1);
    let worker = cluster.register_with("a", 1, &[]);
    let mut step = cluster.expect(Command::Ready { worker, session, credit: 100 });
    let mut steps = 0;
    while cluster.campaign().started() < 50 {
        let found = count(&step, ruled_out);
        assert!((1..=2_000).contains(&found), "{found} proposals in step {steps}");
        step = cluster.pass(Span::from_secs(1));
        steps += 1;
    }
    assert!(steps > 1, "it was to take more than one step");
    assert_eq!(cluster.campaign().status(), CampaignStatus::Draining(FinishReason::BudgetSpent));
}

#[test]
fn evaluated_candidates_that_turn_out_infeasible_do_not_end_a_search_for_feasible_ones() {
    let rules = "failures: {out_of_memory: infeasible}\n\
                 constraints: [{metric: params, at_least: 13000}]\n";
    let mut cluster = Cluster::with_campaign(rules, 2_000);
    let workers: Vec<WorkerId> = (0..70).map(|at| cluster.worker(&format!("w{at}"), 16)).collect();
    cluster.expect(Command::PauseCampaign(FIRST));
    for &worker in &workers {
        let held = cluster.engine.state().worker(worker).unwrap().leases().clone();
        for task in held {
            cluster.report(worker, (task.0, 1), failed(FailureKind::OutOfMemory));
        }
    }
    assert!(cluster.campaign().view().infeasible > 1_000);
    cluster.expect(Command::ResumeCampaign(FIRST));
    cluster.ready(workers[0], 1, 1);
    assert_eq!(cluster.campaign().status(), CampaignStatus::Running);
}

#[test]
fn measured_constraints_keep_a_candidate_off_the_front() {
    let mut cluster = Cluster::with_campaign("constraints: [{metric: latency, at_most: 4}]\n", 2);
    let worker = cluster.worker("a", 2);
    cluster.report(worker, (1, 1), measured(99.0, 5.0));
    cluster.report(worker, (2, 1), measured(50.0, 3.0));
    let ids: Vec<Ordinal> = cluster.campaign().front().ids().to_vec();
    assert_eq!(ids, [Ordinal(2)]);
    let infeasible = cluster.campaign().candidate_view(Ordinal(1)).unwrap();
    assert_eq!(infeasible.violation(), 0.25);
}

#[test]
fn a_repeated_submission_creates_no_second_campaign() {
    let mut cluster = Cluster::new();
    cluster.submit(7, &yaml("", 3));
    cluster.submit(7, &yaml("", 3));
    cluster.submit(8, &yaml("", 3));
    assert_eq!(cluster.engine.state().campaigns().count(), 2);
    assert_eq!(cluster.engine.state().submitted_as(SubmissionId(7)), Some(FIRST));
}

#[test]
fn work_goes_only_to_workers_that_can_do_it() {
    let mut cluster = Cluster::with_campaign("", 3);
    cluster.expect(Command::RegisterWorker {
        name: "blind".into(),
        session: SessionId(1),
        capabilities: support::capabilities(&["synthetic"], &["accuracy"]),
        holding: vec![],
    });
    cluster.ready(WorkerId(1), 1, 1);
    assert!(cluster.assignments().is_empty());
    let why = cluster.engine.state().explain(&Subject::Campaign(FIRST)).unwrap();
    assert_eq!(why.headline, "campaign 1 is running, but no worker serves it");
    let detail = "blind cannot: it does not offer the metric latency";
    assert!(why.details.iter().any(|line| line == detail), "{why:?}");
}

#[test]
fn campaigns_share_workers_evenly() {
    let mut cluster = Cluster::with_campaign("", 10);
    cluster.submit(2, &yaml("", 10));
    cluster.worker("a", 6);
    let running: Vec<u32> =
        cluster.engine.state().campaigns().map(|campaign| campaign.view().running).collect();
    assert_eq!(running, [3, 3]);
}

#[test]
fn explanations_follow_a_candidate_through_its_life() {
    let mut cluster = Cluster::with_campaign("", 2);
    let first = Subject::Candidate(CandidateId::new(FIRST, Ordinal(1)));
    assert_eq!(cluster.engine.state().explain(&first), None);
    let worker = cluster.worker("a", 2);
    let headline = |cluster: &Cluster, subject| {
        cluster.engine.state().explain(subject).expect("it exists").headline
    };
    assert_eq!(headline(&cluster, &first), "candidate 1/1 is at stage all on a since 0.0s");
    cluster.report(worker, (1, 1), measured(80.0, 5.0));
    assert_eq!(headline(&cluster, &first), "candidate 1/1 is scored and on the front");
    cluster.report(worker, (2, 1), measured(90.0, 4.0));
    assert_eq!(headline(&cluster, &first), "candidate 1/1 is scored and dominated");
    let task = Subject::Task(TaskId(1));
    assert_eq!(headline(&cluster, &task), "task 1 is over; candidate 1/1 is scored and dominated");
    let idle = cluster.engine.state().explain(&Subject::Worker(worker)).expect("it exists");
    assert_eq!(idle.headline, "worker a is connected and idle");
    let offer = "offers synthetic, version 1";
    assert!(idle.details.iter().any(|line| line == offer), "{idle:?}");
    let campaign = cluster.engine.state().explain(&Subject::Campaign(FIRST)).expect("it exists");
    let details = campaign.details.join("\n");
    assert!(details.contains("the algorithm keeps no population"), "{details}");
}

#[test]
fn time_never_runs_backwards() {
    let mut cluster = Cluster::with_campaign("", 1);
    cluster.now = cluster.now + Span::from_secs(100);
    cluster.worker("a", 1);
    let step = cluster.engine.step(Command::Tick, Timestamp(5)).unwrap();
    assert_eq!(step.at, cluster.now);
}

#[test]
fn the_reference_point_is_the_campaigns_or_that_of_its_first_results() {
    let given = yaml("", 1).replace(
        "objectives: [accuracy, latency]",
        "objectives: [{metric: accuracy, reference: 0}, {metric: latency, reference: 50}]",
    );
    let mut cluster = Cluster::new();
    cluster.submit(1, &given);
    assert_eq!(cluster.campaign().reference_point(), Some(&[-0.0, 50.0][..]));
    let worker = cluster.worker("a", 1);
    cluster.report(worker, (1, 1), measured(80.0, 10.0));
    assert_eq!(cluster.campaign().front_view().hypervolume(), Some(80.0 * 40.0));

    let mut cluster = Cluster::with_campaign("", 2);
    let worker = cluster.worker("a", 2);
    cluster.report(worker, (1, 1), measured(80.0, 10.0));
    assert_eq!(cluster.campaign().reference_point(), None);
    cluster.report(worker, (2, 1), measured(90.0, 20.0));
    assert_eq!(cluster.campaign().reference_point(), Some(&[-79.0, 21.0][..]));
}

#[test]
fn the_checker_sees_through_every_index() {
    // A state that apply never builds: an event that breaks the order of a task's life.
    let mut cluster = Cluster::with_campaign("", 2);
    cluster.worker("a", 1);
    let mut broken = cluster.engine.clone();
    let candidate = CandidateId::new(FIRST, Ordinal(1));
    broken.apply(&Event::CandidateScored { candidate, violation: 0.0 }, cluster.now);
    let findings = broken.state().check().unwrap_err();
    let text = format!("{findings:?}");
    assert!(text.contains("is not in the stage of its task 1"), "{text}");
    assert!(text.contains("scored without all objectives"), "{text}");

    let mut twice = cluster.engine.clone();
    let proposal = cluster.campaign().candidates()[0].proposal().clone();
    let candidate = CandidateId::new(FIRST, Ordinal(2));
    let event =
        Event::CandidateProposed { candidate, proposal: Arc::clone(&proposal), analytic: vec![] };
    twice.apply(&event, cluster.now);
    let text = format!("{:?}", twice.state().check().unwrap_err());
    assert!(text.contains("evaluates a network twice"), "{text}");
}
