//! Attempts that are stopped half-way and leave their state: who goes on with it, how long it is waited
//! for, and when it goes.

use cambrian_core::artifact::ArtifactId;
use cambrian_core::energy::Energy;
use cambrian_core::engine::{FleetPolicy, UserBudget};

use super::*;

fn yielding(cluster: &mut Cluster, name: &str, credit: u32) -> WorkerId {
    let worker = cluster.register(name, |offered| offered.evaluators[0].yields = true);
    cluster.ready(worker, 1, credit);
    worker
}

/// One evaluation, which a worker that has to leave at once is stopped at; another worker has room.
fn stopped() -> (Cluster, WorkerId, WorkerId) {
    let mut cluster = Cluster::with_campaign("failures: {attempts: 1}\n", 1);
    let leaving = yielding(&mut cluster, "leaving", 1);
    let staying = yielding(&mut cluster, "staying", 1);
    assert_eq!(cluster.assignments()[0].resume, None);
    cluster.expect(Command::DrainWorker { worker: leaving, at_once: true });
    assert_eq!(cluster.stops(), [(TaskId(1), Attempt(1), StopReason::Preempted)]);
    (cluster, leaving, staying)
}

fn left(content: &str, step: u32) -> Attached {
    let checkpoint = Some(ArtifactId::of(content.as_bytes()));
    Attached { checkpoint, step, note: None }
}

fn preempted() -> ReportedOutcome {
    failed(FailureKind::Preempted)
}

fn details(cluster: &Cluster) -> String {
    let found = cluster.engine.state().explain(&Subject::Task(TaskId(1))).expect("it exists");
    found.details.join("\n")
}

#[test]
fn the_next_attempt_goes_on_with_what_was_left_on_any_worker() {
    let (mut cluster, leaving, staying) = stopped();
    assert!(cluster.assignments().is_empty(), "its state is waited for");
    let why = details(&cluster);
    assert!(why.contains("leaving may leave its state within 30"), "{why}");
    // It is told once more, not to give up: the first time may have been lost.
    let holding = vec![key(1, 1)];
    cluster.expect(Command::Heartbeat { worker: leaving, session: SessionId(1), holding });
    assert_eq!(cluster.stops(), [(TaskId(1), Attempt(1), StopReason::Preempted)]);

    let state = ArtifactId::of(b"state");
    let step = cluster.report_with(leaving, (1, 1), preempted(), left("state", 12));
    assert_eq!(count(&step, |event| matches!(event, Event::AttemptYielded { .. })), 1);
    let next = cluster.assignments().pop().expect("it goes on at once");
    assert_eq!((next.task, next.attempt, next.resume), (TaskId(1), Attempt(2), Some(state)));
    let why = details(&cluster);
    assert!(why.contains("continues after step 12, checkpoint of attempt 1"), "{why}");
    assert_eq!(cluster.engine.state().checkpoints().collect::<Vec<_>>(), [state]);

    // Said again it changes nothing.
    let again = cluster.report_with(leaving, (1, 1), preempted(), left("other", 13));
    assert_eq!(count(&again, Event::is_durable), 0);
    cluster.report(staying, (1, 2), measured(80.0, 5.0));
    assert_eq!((cluster.campaign().scored(), cluster.campaign().failed()), (1, 0));
    assert_eq!(cluster.engine.state().checkpoints().count(), 0, "nobody needs it any more");
}

#[test]
fn an_attempt_that_leaves_nothing_is_not_waited_for() {
    let (mut cluster, leaving, _) = stopped();
    cluster.report(leaving, (1, 1), preempted());
    let next = cluster.assignments().pop().expect("it begins anew at once");
    assert_eq!((next.attempt, next.resume), (Attempt(2), None));
}

#[test]
fn a_state_is_waited_for_no_longer_than_a_lease() {
    let (mut cluster, leaving, staying) = stopped();
    let heartbeat = |cluster: &mut Cluster| {
        let (session, holding) = (SessionId(1), Vec::new());
        cluster.expect(Command::Heartbeat { worker: staying, session, holding });
        cluster.expect(Command::Tick);
    };
    cluster.now = cluster.now + Span::from_secs(29);
    heartbeat(&mut cluster);
    assert!(cluster.assignments().is_empty());
    cluster.now = cluster.now + Span::from_secs(1);
    heartbeat(&mut cluster);
    let next = cluster.assignments().pop().expect("it begins anew");
    assert_eq!((next.attempt, next.resume), (Attempt(2), None));
    // The state that comes now belongs to nobody; the time that it took counts, once.
    for events in [1, 0] {
        let late = cluster.report_with(leaving, (1, 1), preempted(), left("late", 3));
        assert_eq!(count(&late, Event::is_durable), events);
        assert_eq!(cluster.engine.state().checkpoints().count(), 0);
        assert_eq!(cluster.campaign().slot_time(), Span::from_secs(7));
    }
    cluster.report(staying, (1, 2), measured(80.0, 5.0));
    assert_eq!(cluster.campaign().slot_time(), Span::from_secs(14));
}

/// What the lease's end did not say counts when the holder says it: for the candidate, its stage, the
/// campaign and its owner's share and budget.
#[test]
fn the_time_and_energy_of_what_was_stopped_count() {
    let (mut cluster, leaving, staying) = stopped();
    assert_eq!(cluster.campaign().slot_time(), Span(0));
    let session = SessionId(1);
    let (task, attempt, elapsed) = (TaskId(1), Attempt(1), Span::from_secs(7));
    let (outcome, attached, energy) = (preempted(), left("state", 12), Some(Energy(5_000_000)));
    cluster.expect(Command::Report {
        worker: leaving,
        session,
        task,
        attempt,
        outcome,
        attached,
        elapsed,
        energy,
    });
    let used = |cluster: &Cluster| {
        let campaign = cluster.campaign();
        let found = campaign.candidate(Ordinal(1)).expect("it exists");
        let stage = campaign.view().stages[0].tally;
        assert_eq!(stage.energy, campaign.energy(), "all of it belongs to the stage");
        (found.elapsed(), stage.slot_time, campaign.slot_time(), campaign.energy())
    };
    let seven = Span::from_secs(7);
    assert_eq!(used(&cluster), (seven, seven, seven, Energy(5_000_000)));
    cluster.report(staying, (1, 2), measured(80.0, 5.0));
    let both = Span::from_secs(14);
    assert_eq!(used(&cluster), (both, both, both, Energy(5_000_000)));
}

/// A budget that what was stopped has spent ends the campaign, as any other attempt's time does.
#[test]
fn a_budget_is_spent_by_what_was_stopped() {
    let mut cluster = Cluster::new();
    let whole = "budget: {evaluations: 1}";
    let spec = yaml("", 1);
    assert!(spec.contains(whole));
    cluster.submit(1, &spec.replace(whole, "budget: {evaluations: 1, slot_time: 5s}"));
    let leaving = yielding(&mut cluster, "leaving", 1);
    yielding(&mut cluster, "staying", 1);
    cluster.assignments();
    cluster.expect(Command::DrainWorker { worker: leaving, at_once: true });
    cluster.report_with(leaving, (1, 1), preempted(), left("state", 12));
    assert!(cluster.assignments().is_empty(), "seven of five seconds are used");
    let ended = CampaignStatus::Finished(FinishReason::SlotTimeSpent);
    assert_eq!(cluster.campaign().status(), ended);
}

/// The owner's budget holds the campaign back in the same way.
#[test]
fn an_owners_budget_is_spent_by_what_was_stopped() {
    let (mut cluster, leaving, _) = stopped();
    let mut policy = FleetPolicy::default();
    policy.others.budget =
        UserBudget { slot_time: Some(Span::from_secs(5)), ..UserBudget::default() };
    cluster.expect(Command::Govern(Arc::new(policy)));
    cluster.report_with(leaving, (1, 1), preempted(), left("state", 12));
    assert!(cluster.assignments().is_empty(), "seven of five seconds are used");
    cluster.expect(Command::Govern(Arc::new(FleetPolicy::default())));
    let next = cluster.assignments().pop().expect("the budget was raised");
    assert_eq!(next.resume, Some(ArtifactId::of(b"state")));
}

/// Somebody else has the task already when its holder says what the stopped attempt took.
#[test]
fn the_time_of_an_earlier_attempt_counts_once_and_nothing_else_of_it() {
    let mut cluster = Cluster::with_campaign("", 1);
    let leaving = cluster.worker("leaving", 1);
    let staying = cluster.worker("staying", 1);
    cluster.assignments();
    cluster.expect(Command::DrainWorker { worker: leaving, at_once: true });
    assert_eq!(cluster.assignments().len(), 1, "it leaves nothing, so nobody waits");
    for _ in 0..2 {
        cluster.report_with(leaving, (1, 1), measured(99.0, 1.0), left("state", 3));
        assert_eq!(cluster.campaign().slot_time(), Span::from_secs(7));
        assert_eq!(cluster.campaign().scored(), 0);
        assert_eq!(cluster.engine.state().checkpoints().count(), 0);
    }
    cluster.report(staying, (1, 2), measured(80.0, 5.0));
    assert_eq!(cluster.campaign().slot_time(), Span::from_secs(14));
    assert_eq!(cluster.campaign().scored(), 1);
}

#[test]
fn a_result_that_was_there_already_counts() {
    let (mut cluster, leaving, _) = stopped();
    cluster.report(leaving, (1, 1), measured(80.0, 5.0));
    assert_eq!(cluster.campaign().scored(), 1);
    assert!(cluster.assignments().is_empty());
}

#[test]
fn whoever_leaves_in_order_leaves_its_state_and_each_attempt_adds_to_it() {
    let mut cluster = Cluster::with_campaign("failures: {attempts: 1}\n", 1);
    let worker = yielding(&mut cluster, "a", 2);
    for attempt in 1..=3 {
        // It reports before its goodbye, so its lease still holds.
        let content = attempt.to_string();
        cluster.report_with(worker, (1, attempt), preempted(), left(&content, attempt));
        cluster.ready(worker, 1, 1);
        let next = cluster.assignments().pop().expect("it goes on");
        assert_eq!(next.resume, Some(ArtifactId::of(content.as_bytes())));
    }
    // One that leaves nothing takes nothing away from what is there.
    cluster.report(worker, (1, 4), preempted());
    cluster.ready(worker, 1, 1);
    let next = cluster.assignments().pop().expect("it goes on");
    assert_eq!(next.resume, Some(ArtifactId::of(b"3")));
    // The bounded attempts are whole, and the time in slots is each attempt's own.
    cluster.report(worker, (1, 5), measured(80.0, 5.0));
    let found = cluster.campaign().candidate(Ordinal(1)).expect("it exists");
    assert_eq!(found.elapsed(), Span::from_secs(5 * 7));
    assert_eq!(cluster.campaign().scored(), 1);
}

#[test]
fn only_what_was_stopped_leaves_a_state() {
    let mut cluster = Cluster::with_campaign("failures: {attempts: 3}\n", 1);
    let worker = yielding(&mut cluster, "a", 2);
    cluster.report_with(worker, (1, 1), failed(FailureKind::Crash), left("broken", 3));
    cluster.ready(worker, 1, 1);
    assert_eq!(cluster.assignments().pop().expect("it is tried again").resume, None);
}

#[test]
fn a_cancelled_campaign_keeps_nothing() {
    let (mut cluster, leaving, _) = stopped();
    cluster.report_with(leaving, (1, 1), preempted(), left("state", 12));
    assert_eq!(cluster.engine.state().checkpoints().count(), 1);
    cluster.expect(Command::CancelCampaign(FIRST));
    assert_eq!(cluster.engine.state().checkpoints().count(), 0);
}

/// A second after what was before.
fn save(cluster: &mut Cluster, worker: WorkerId, key: (u64, u32), step: u32) -> Step {
    cluster.now = cluster.now + Span::from_secs(1);
    save_at_once(cluster, worker, key, step)
}

fn save_at_once(
    cluster: &mut Cluster,
    worker: WorkerId,
    (task, attempt): (u64, u32),
    step: u32,
) -> Step {
    let session = SessionId(1);
    let checkpoint = ArtifactId::of(format!("{task} {attempt} {step}").as_bytes());
    let AttemptId { task, attempt } = key(task, attempt);
    cluster.expect(Command::SaveState { worker, session, task, attempt, checkpoint, step })
}

fn saved(attempt: u32, step: u32) -> ArtifactId {
    ArtifactId::of(format!("1 {attempt} {step}").as_bytes())
}

fn needed(cluster: &Cluster) -> Vec<ArtifactId> {
    cluster.engine.state().checkpoints().collect()
}

/// A worker is lost without a word: the next attempt goes on with the last state that was stored.
#[test]
fn a_lost_attempt_goes_on_with_the_last_state_that_was_stored() {
    let mut cluster = Cluster::with_campaign("failures: {attempts: 3}\n", 1);
    let lost = yielding(&mut cluster, "lost", 1);
    cluster.assignments();
    save(&mut cluster, lost, (1, 1), 3);
    save(&mut cluster, lost, (1, 1), 5);
    assert_eq!(needed(&cluster), [saved(1, 5)], "the one before goes");
    assert!(details(&cluster).contains("its state after step 5 is stored"));
    // What comes twice, or after a later one, changes nothing.
    for step in [5, 3] {
        assert_eq!(count(&save(&mut cluster, lost, (1, 1), step), Event::is_durable), 0);
    }
    cluster.pass(LEASE);
    let other = yielding(&mut cluster, "other", 1);
    let next = cluster.assignments().pop().expect("its lease is over");
    assert_eq!((next.attempt, next.resume), (Attempt(2), Some(saved(1, 5))));
    let why = details(&cluster);
    assert!(why.contains("continues after step 5, checkpoint of attempt 1"), "{why}");
    // The lost one was only cut off: what it stores now belongs to nobody.
    let late = save(&mut cluster, lost, (1, 1), 9);
    assert_eq!(count(&late, Event::is_durable), 0);
    assert_eq!(needed(&cluster), [saved(1, 5)]);
    save(&mut cluster, other, (1, 2), 6);
    assert_eq!(needed(&cluster), [saved(2, 6)]);
    cluster.report(other, (1, 2), measured(80.0, 5.0));
    assert_eq!(cluster.campaign().scored(), 1);
    assert!(needed(&cluster).is_empty());
    let over = save(&mut cluster, other, (1, 2), 7);
    assert_eq!(count(&over, Event::is_durable), 0);
}

/// A state that is left in order is later than any that was stored on the way, and the other way round the
/// attempt's end is said.
#[test]
fn what_is_left_in_the_end_takes_the_place_of_what_was_stored_on_the_way() {
    let mut cluster = Cluster::with_campaign("", 1);
    let worker = yielding(&mut cluster, "a", 2);
    save(&mut cluster, worker, (1, 1), 3);
    cluster.report_with(worker, (1, 1), preempted(), left("left", 4));
    assert_eq!(needed(&cluster), [ArtifactId::of(b"left")]);
    cluster.ready(worker, 1, 1);
    assert_eq!(count(&save(&mut cluster, worker, (1, 1), 9), Event::is_durable), 0);
    // An attempt that crashes goes on from what was stored.
    save(&mut cluster, worker, (1, 2), 7);
    cluster.report(worker, (1, 2), failed(FailureKind::Crash));
    cluster.ready(worker, 1, 1);
    let next = cluster.assignments().pop().expect("it is tried again");
    assert_eq!((next.attempt, next.resume), (Attempt(3), Some(saved(2, 7))));
}

/// Each state that is filed is a record for ever.
#[test]
fn a_worker_cannot_fill_the_journal_with_states() {
    let mut cluster = Cluster::with_campaign("", 1);
    let worker = yielding(&mut cluster, "a", 1);
    let mut filed = 0;
    for step in 1..=50 {
        cluster.now = cluster.now + Span(100_000);
        filed += count(&save_at_once(&mut cluster, worker, (1, 1), step), Event::is_durable);
    }
    assert_eq!(filed, 5, "one a second");
    let other = ArtifactId::of(b"another state of the same step");
    let AttemptId { task, attempt } = key(1, 1);
    cluster.now = cluster.now + Span::from_secs(5);
    let session = SessionId(1);
    let same = Command::SaveState { worker, session, task, attempt, checkpoint: other, step: 41 };
    assert_eq!(count(&cluster.expect(same), Event::is_durable), 0);
}

#[test]
fn an_evaluator_that_leaves_no_state_saves_none() {
    let mut cluster = Cluster::with_campaign("", 1);
    let worker = cluster.worker("a", 1);
    assert_eq!(count(&save(&mut cluster, worker, (1, 1), 3), Event::is_durable), 0);
}
