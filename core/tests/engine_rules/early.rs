//! Evaluations that are stopped because their curves are hopeless: who is, what is told to whom, and
//! that nothing is lost or counted twice.

use std::collections::BTreeMap;

use cambrian_core::engine::{ScreenReason, Screening, Standing};

use super::*;

/// One stage with this rule; accuracy and parameters are the objectives.
fn cluster(rule: &str, slots: u32) -> (Cluster, WorkerId) {
    let text = format!(
        "version: 1\nname: early\nseed: 5\n\
         space: {{kind: nasbench201, channels: 4, cells: 1, input: [1, 28, 28]}}\n\
         objectives: [accuracy, params]\nalgorithm: random\n\
         stages:\n  - {{name: train, evaluator: synthetic, measures: [accuracy], timeout: 5m, \
         stop_early: {rule}}}\n\
         budget: {{evaluations: 50}}\n"
    );
    let mut cluster = Cluster::new();
    cluster.submit(1, &text);
    let worker = cluster.worker("a", slots);
    (cluster, worker)
}

const ALONE: &str = "{metric: accuracy, by: [], after: 2, least: 2}";

fn progress(cluster: &mut Cluster, worker: WorkerId, task: u64, step: u32, accuracy: f64) {
    let session = cluster.engine.state().worker(worker).expect("it has registered").session();
    cluster.expect(Command::Progress {
        worker,
        session,
        task: TaskId(task),
        attempt: Attempt(1),
        step,
        steps: 4,
        metrics: BTreeMap::from([("accuracy".into(), accuracy)]),
    });
}

fn accuracy(value: f64) -> ReportedOutcome {
    ReportedOutcome::Measured(vec![support::measurement("accuracy", value)])
}

/// Goes through a whole curve and delivers its last value.
fn complete(cluster: &mut Cluster, worker: WorkerId, task: u64, curve: [f64; 4]) {
    for (step, value) in (1..).zip(curve) {
        progress(cluster, worker, task, step, value);
    }
    cluster.report(worker, (task, 1), accuracy(curve[3]));
}

fn status(cluster: &Cluster, ordinal: u32) -> CandidateStatus {
    cluster.campaign().candidate(Ordinal(ordinal)).expect("it exists").status().clone()
}

/// Two completed curves, and the third task in work.
fn with_two(rule: &str) -> (Cluster, WorkerId) {
    let (mut cluster, worker) = cluster(rule, 6);
    complete(&mut cluster, worker, 1, [20.0, 40.0, 60.0, 80.0]);
    complete(&mut cluster, worker, 2, [10.0, 30.0, 50.0, 70.0]);
    cluster.effects.clear();
    (cluster, worker)
}

#[test]
fn who_is_worse_than_the_median_at_that_step_is_told_to_stop() {
    let (mut cluster, worker) = with_two(ALONE);
    // The others had 40 and 30 at step 2: worse than both is worse than more than half.
    progress(&mut cluster, worker, 3, 1, 5.0);
    assert_eq!(cluster.stops(), [], "it is too early");
    progress(&mut cluster, worker, 3, 2, 19.0);
    let told = (TaskId(3), Attempt(1), StopReason::Hopeless);
    assert_eq!(cluster.stops(), [told]);
    let standing = Standing { step: 2, value: 19.0, behind: 2, of: 2 };
    let task = cluster.engine.state().task(TaskId(3)).expect("it is in work");
    assert_eq!(task.standing(), Some(standing));
    // The message may have been lost.
    progress(&mut cluster, worker, 3, 3, 90.0);
    assert_eq!(cluster.stops(), [told, told]);
    // Between the two, and better than its own past: its best value counts.
    progress(&mut cluster, worker, 4, 1, 35.0);
    progress(&mut cluster, worker, 4, 2, 1.0);
    assert_eq!(cluster.stops().len(), 2);
}

#[test]
fn a_stopped_candidate_is_screened_with_its_numbers_and_its_cost_counts() {
    let (mut cluster, worker) = with_two(ALONE);
    progress(&mut cluster, worker, 3, 2, 19.0);
    cluster.report(worker, (3, 1), failed(FailureKind::Preempted));
    let CandidateStatus::Screened(Screening { stage: 0, reason: ScreenReason::Curve(words) }) =
        status(&cluster, 3)
    else {
        panic!("{:?}", status(&cluster, 3));
    };
    let expected =
        "stopped at step 2: with accuracy 19 % at best it stood behind 2 of 2 completed ones";
    assert_eq!(&*words, expected);
    let view = cluster.campaign().candidate_view(Ordinal(3)).expect("it exists");
    assert_eq!(view.reason(), format!("in stage train: {expected}"));
    let [tally] = cluster.campaign().tallies() else { panic!("one stage") };
    assert_eq!((tally.screened, tally.passed, tally.slot_time), (1, 2, Span::from_secs(21)));
    // Whatever comes after that is late.
    let digest = cluster.engine.state().digest();
    cluster.report(worker, (3, 1), accuracy(99.0));
    assert_eq!(cluster.engine.state().digest(), digest);
}

#[test]
fn a_result_that_was_there_before_the_stop_was_heard_counts() {
    let (mut cluster, worker) = with_two(ALONE);
    progress(&mut cluster, worker, 3, 2, 19.0);
    cluster.report(worker, (3, 1), accuracy(85.0));
    assert!(matches!(status(&cluster, 3), CandidateStatus::Scored { .. }));
    assert_eq!(cluster.campaign().screened(), 0);
}

#[test]
fn a_stopped_attempt_whose_worker_falls_silent_is_not_repeated() {
    let (mut cluster, worker) = with_two(ALONE);
    progress(&mut cluster, worker, 3, 2, 19.0);
    cluster.pass(LEASE);
    assert!(matches!(status(&cluster, 3), CandidateStatus::Screened(_)));
    let state = cluster.engine.state();
    assert!(state.task(TaskId(3)).is_none());
    assert_eq!(state.task(TaskId(4)).map(|task| task.lease().is_some()), Some(false));
}

/// Among networks of several sizes, a small one with a low accuracy may be on the front.
#[test]
fn whoever_may_be_on_the_front_goes_on() {
    let (mut cluster, worker) = cluster("{metric: accuracy, after: 1, least: 3}", 12);
    let params = |cluster: &Cluster, ordinal: u32| {
        let view = cluster.campaign().candidate_view(Ordinal(ordinal)).expect("it exists");
        view.value("params").expect("it is computed")
    };
    let mut by_size: Vec<u32> = (1..=12).collect();
    by_size.sort_by(|a, b| params(&cluster, *a).total_cmp(&params(&cluster, *b)).then(a.cmp(b)));
    let smallest = by_size[0];
    let largest = *by_size.last().expect("there are twelve");
    for ordinal in by_size.iter().filter(|ordinal| ![smallest, largest].contains(ordinal)) {
        complete(&mut cluster, worker, u64::from(*ordinal), [40.0, 50.0, 60.0, 70.0]);
    }
    cluster.effects.clear();
    progress(&mut cluster, worker, u64::from(smallest), 1, 10.0);
    assert_eq!(cluster.stops(), []);
    progress(&mut cluster, worker, u64::from(largest), 1, 10.0);
    let stopped: Vec<_> = cluster.stops().into_iter().map(|(task, ..)| task.0).collect();
    assert_eq!(stopped, [u64::from(largest)]);
}

#[test]
fn nobody_is_stopped_before_enough_were_completed_or_after_a_restart() {
    let (mut cluster, worker) = cluster("{metric: accuracy, by: [], least: 3}", 6);
    complete(&mut cluster, worker, 1, [20.0, 40.0, 60.0, 80.0]);
    complete(&mut cluster, worker, 2, [10.0, 30.0, 50.0, 70.0]);
    progress(&mut cluster, worker, 3, 1, 0.0);
    assert_eq!(cluster.stops(), []);
    complete(&mut cluster, worker, 4, [10.0, 30.0, 50.0, 70.0]);
    cluster.expect(Command::Start);
    let worker = cluster.register_with("a", 2, &[(3, 1), (5, 1), (6, 1)]);
    cluster.effects.clear();
    // The beginning of its curve is forgotten; what was completed is not.
    progress(&mut cluster, worker, 3, 2, 0.0);
    assert_eq!(cluster.stops(), []);
    cluster.ready(worker, 2, 1);
    progress(&mut cluster, worker, 7, 1, 0.0);
    let stopped: Vec<_> = cluster.stops().into_iter().map(|(task, ..)| task.0).collect();
    assert_eq!(stopped, [7]);
}

#[test]
fn a_cancelled_campaign_screens_nobody() {
    let (mut cluster, worker) = with_two(ALONE);
    progress(&mut cluster, worker, 3, 2, 19.0);
    cluster.expect(Command::CancelCampaign(FIRST));
    assert!(matches!(status(&cluster, 3), CandidateStatus::Failed(_)));
}

/// What it had before its interruption is not heard of again: the rest alone says too little.
#[test]
fn a_training_that_goes_on_half_way_is_not_judged_by_its_second_half() {
    let (mut cluster, worker) = with_two(ALONE);
    let checkpoint = Some(cambrian_core::artifact::ArtifactId::of(b"state"));
    let attached = Attached { checkpoint, step: 2, note: None };
    cluster.report_with(worker, (3, 1), failed(FailureKind::Preempted), attached);
    cluster.ready(worker, 1, 1);
    let session = cluster.engine.state().worker(worker).expect("it has registered").session();
    cluster.expect(Command::Progress {
        worker,
        session,
        task: TaskId(3),
        attempt: Attempt(2),
        step: 3,
        steps: 4,
        metrics: BTreeMap::from([("accuracy".into(), 1.0)]),
    });
    assert_eq!(cluster.stops(), []);
    let step = cluster.report(worker, (3, 2), accuracy(90.0));
    assert_eq!(count(&step, |event| matches!(event, Event::CurveRecorded { .. })), 0);
    assert_eq!(count(&step, |event| matches!(event, Event::CandidateScored { .. })), 1);
}
