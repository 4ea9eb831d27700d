//! When a campaign ends before its evaluations are spent.

use cambrian_core::pareto::Points;
use cambrian_core::pareto::front::NonDominatedFront;
use cambrian_core::pareto::hypervolume::hypervolume;
use cambrian_core::rng::{Purpose, stream};
use rand::RngExt;

use super::*;

/// A cluster of one worker with `slots` slots and a campaign with these stop rules, reference point
/// (50, 20).
fn cluster(stop: &str, slots: u32) -> (Cluster, WorkerId) {
    let mut cluster = Cluster::new();
    let text = yaml(stop, 50).replace(
        "objectives: [accuracy, latency]",
        "objectives: [{metric: accuracy, reference: 50}, {metric: latency, reference: 20}]",
    );
    cluster.submit(1, &text);
    let worker = cluster.worker("a", slots);
    (cluster, worker)
}

/// Reports and asks for one task more.
fn report(cluster: &mut Cluster, worker: WorkerId, key: (u64, u32), outcome: ReportedOutcome) {
    cluster.report(worker, key, outcome);
    cluster.expect(Command::Ready { worker, session: SessionId(1), credit: 1 });
}

fn reason(cluster: &Cluster) -> Option<FinishReason> {
    cluster.campaign().status().reason()
}

#[test]
fn a_target_ends_a_campaign_when_one_candidate_keeps_all_of_it() {
    let stop =
        "stop: {target: [{metric: accuracy, at_least: 90}, {metric: latency, at_most: 5}]}\n";
    let (mut cluster, worker) = cluster(stop, 4);
    cluster.report(worker, (1, 1), measured(95.0, 6.0));
    cluster.report(worker, (2, 1), measured(80.0, 1.0));
    assert_eq!(reason(&cluster), None);
    cluster.report(worker, (3, 1), measured(90.0, 5.0));
    let status = cluster.campaign().status();
    assert_eq!(status, CampaignStatus::Draining(FinishReason::TargetReached));
    // What is in work is finished and counts; nothing new is begun.
    cluster.report(worker, (4, 1), measured(99.0, 1.0));
    let status = cluster.campaign().status();
    assert_eq!(status, CampaignStatus::Finished(FinishReason::TargetReached));
    assert_eq!(cluster.campaign().scored(), 4);
    assert_eq!(cluster.campaign().candidates().len(), 4);
}

#[test]
fn an_infeasible_candidate_reaches_no_target() {
    let stop = "constraints: [{metric: latency, at_most: 4}]\n\
                stop: {target: [{metric: accuracy, at_least: 90}]}\n";
    let (mut cluster, worker) = cluster(stop, 1);
    report(&mut cluster, worker, (1, 1), measured(95.0, 5.0));
    assert_eq!(reason(&cluster), None);
    report(&mut cluster, worker, (2, 1), measured(95.0, 4.0));
    assert_eq!(reason(&cluster), Some(FinishReason::TargetReached));
}

#[test]
fn a_hypervolume_ends_a_campaign() {
    let (mut cluster, worker) = cluster("stop: {hypervolume: 500}\n", 1);
    // (90 - 50) x (20 - 10), then (80 - 50) x (10 - 5) more.
    report(&mut cluster, worker, (1, 1), measured(90.0, 10.0));
    assert_eq!(reason(&cluster), None);
    report(&mut cluster, worker, (2, 1), measured(80.0, 5.0));
    assert_eq!(reason(&cluster), Some(FinishReason::TargetReached));
}

#[test]
fn a_hypervolume_grows_with_newcomers_and_those_who_make_others_leave() {
    // 400, 20 more with (92, 10), for which the first one leaves, and 52 that (76, 8) adds.
    for (wanted, ends_after) in [(399, 1), (420, 2), (421, 3), (472, 3), (473, 4)] {
        let (mut cluster, worker) = cluster(&format!("stop: {{hypervolume: {wanted}}}\n"), 1);
        let results = [(90.0, 10.0), (92.0, 10.0), (76.0, 8.0), (95.0, 5.0)];
        for (task, (accuracy, latency)) in (1..).zip(results) {
            report(&mut cluster, worker, (task, 1), measured(accuracy, latency));
            let ended = (task >= ends_after).then_some(FinishReason::TargetReached);
            assert_eq!(reason(&cluster), ended, "{wanted} after {task}");
            if ended.is_some() {
                break;
            }
        }
    }
}

#[test]
fn a_front_that_stands_still_ends_a_campaign() {
    let stop = "stop: {stagnation: {evaluations: 3, improvement: 0.1}}\n";
    let (mut cluster, worker) = cluster(stop, 1);
    report(&mut cluster, worker, (1, 1), measured(90.0, 10.0));
    report(&mut cluster, worker, (2, 1), measured(60.0, 15.0));
    // 5 % more is no progress; 40 % more is.
    report(&mut cluster, worker, (3, 1), measured(92.0, 10.0));
    assert_eq!(reason(&cluster), None);
    let before = cluster.campaign().status();
    report(&mut cluster, worker, (4, 1), measured(50.5, 19.0));
    assert_eq!(
        (before, reason(&cluster)),
        (CampaignStatus::Running, Some(FinishReason::Stagnated))
    );

    let (mut cluster, worker) = self::cluster(stop, 1);
    for (task, accuracy) in [(1, 60.0), (2, 60.0), (3, 70.0), (4, 70.0), (5, 70.0)] {
        report(&mut cluster, worker, (task, 1), measured(accuracy, 10.0));
        assert_eq!(reason(&cluster), None, "after {task}");
    }
    report(&mut cluster, worker, (6, 1), measured(70.0, 10.0));
    assert_eq!(reason(&cluster), Some(FinishReason::Stagnated));
}

#[test]
fn a_search_without_any_feasible_candidate_stands_still() {
    let stop =
        "constraints: [{metric: latency, at_most: 4}]\nstop: {stagnation: {evaluations: 2}}\n";
    let (mut cluster, worker) = cluster(stop, 1);
    for task in 1..=3 {
        assert_eq!(reason(&cluster), None);
        report(&mut cluster, worker, (task, 1), measured(95.0, 5.0));
    }
    assert_eq!(reason(&cluster), Some(FinishReason::Stagnated));
}

#[test]
fn time_in_slots_bounds_a_campaign_and_failed_attempts_count() {
    let mut cluster = Cluster::new();
    let text = yaml("", 50).replace("evaluations: 50", "evaluations: 50, slot_time: 20s");
    cluster.submit(1, &text);
    let worker = cluster.worker("a", 1);
    // Each attempt takes seven seconds.
    report(&mut cluster, worker, (1, 1), failed(FailureKind::Crash));
    report(&mut cluster, worker, (1, 2), measured(80.0, 5.0));
    assert_eq!(reason(&cluster), None);
    report(&mut cluster, worker, (2, 1), measured(80.0, 5.0));
    let status = cluster.campaign().status();
    assert_eq!(status, CampaignStatus::Finished(FinishReason::SlotTimeSpent));
}

#[test]
fn what_is_queued_is_given_up_with_the_reason() {
    let stop = "stop: {target: [{metric: accuracy, at_least: 90}]}\n";
    let (mut cluster, worker) = cluster(stop, 2);
    cluster.report(worker, (1, 1), failed(FailureKind::Crash));
    cluster.expect(Command::WorkerGoodbye { worker, session: SessionId(1) });
    let other = cluster.worker("b", 1);
    cluster.report(other, (1, 2), measured(95.0, 5.0));
    assert_eq!(reason(&cluster), Some(FinishReason::TargetReached));
    let given_up = cluster.campaign().candidate_view(Ordinal(2)).unwrap();
    assert!(given_up.reason().contains("target reached"), "{}", given_up.reason());
}

/// Mutually non-dominated rows of three tied objectives, and some of them again, of which one raises the
/// hypervolume by rounding alone.
fn rows_that_round_up() -> (Vec<[f64; 3]>, Vec<[f64; 3]>) {
    let volume = |rows: &[[f64; 3]]| {
        let points = Points::try_from_rows(3, rows).expect("they are finite");
        hypervolume(&points, &[1.5; 3]).expect("they are few")
    };
    (0..1_000u64)
        .find_map(|seed| {
            let mut rng = stream(seed, Purpose::Simulation, 0);
            let mut front = NonDominatedFront::new(3);
            for id in 0..60 {
                let row = [(); 3].map(|()| f64::from(rng.random_range(0..7u32)) * 0.1 + 0.03);
                front.insert(id, &row).expect("it is finite");
            }
            let rows: Vec<[f64; 3]> =
                front.iter().map(|(_, row)| [row[0], row[1], row[2]]).collect();
            let before = volume(&rows);
            let again: Vec<_> =
                (0..REPEATED).map(|_| rows[rng.random_range(0..rows.len())]).collect();
            let rises =
                (1..=again.len()).any(|count| volume(&[&rows, &again[..count]].concat()) > before);
            rises.then_some((rows, again))
        })
        .expect("sums in another order round otherwise")
}

/// How many results are repeated.
const REPEATED: usize = 50;

#[test]
fn rounding_is_no_progress() {
    let (rows, again) = rows_that_round_up();
    let text = yaml(&format!("stop: {{stagnation: {{evaluations: {REPEATED}}}}}\n"), 100)
        .replace(
            "objectives: [accuracy, latency]",
            "objectives: [{metric: accuracy, goal: minimize, reference: 1.5}, \
             {metric: latency, reference: 1.5}, {metric: energy, reference: 1.5}]",
        )
        .replace("measures: [accuracy, latency]", "measures: [accuracy, latency, energy]");
    let mut cluster = Cluster::new();
    cluster.submit(1, &text);
    let metrics = ["accuracy", "latency", "energy"];
    let worker = cluster.connect("a", 1, support::capabilities(&["synthetic"], &metrics), &[]);
    cluster.ready(worker, 1, 1);
    for (task, row) in (1..).zip(rows.iter().chain(&again)) {
        assert_eq!(reason(&cluster), None, "after {} of {}", task - 1, rows.len());
        let measured = metrics.iter().zip(row).map(|(metric, x)| support::measurement(metric, *x));
        report(&mut cluster, worker, (task, 1), ReportedOutcome::Measured(measured.collect()));
    }
    assert_eq!(reason(&cluster), Some(FinishReason::Stagnated));
}

/// The reference point, and the number of results after which it is fixed, of which these have other values than accuracies from 60 to 79
/// and latencies from 1 to 20.
fn reference_with(others: &[(u64, f64, f64)]) -> (Vec<f64>, u64) {
    let mut cluster = Cluster::with_campaign("constraints: [{metric: latency, at_most: 20}]\n", 50);
    let worker = cluster.worker("a", 1);
    for task in 1..=50u64 {
        let nth = 1 + (task - 1) % 20;
        let usual = (task, 59.0 + nth as f64, nth as f64);
        let (_, accuracy, latency) = *others.iter().find(|row| row.0 == task).unwrap_or(&usual);
        report(&mut cluster, worker, (task, 1), measured(accuracy, latency));
        if let Some(reference) = cluster.campaign().reference_point() {
            return (reference.to_vec(), task);
        }
    }
    panic!("the budget is used up without a reference point");
}

#[test]
fn what_breaks_a_constraint_does_not_move_the_reference_point() {
    // The worst of each objective and a tenth of its range, minimised.
    let usual = vec![-60.0 + 1.9, 20.0 + 1.9];
    assert_eq!(reference_with(&[]), (usual.clone(), 20));
    assert_eq!(reference_with(&[(10, 1.0, 5_000.0)]), (usual.clone(), 21));
    // Where few keep the constraints, what the first of these are does not decide.
    let most: Vec<_> = (1..=24).map(|task| (task, 1.0, 5_000.0)).collect();
    assert_eq!(reference_with(&most), (usual, 44));
    let all: Vec<_> =
        (1..=50).map(|task| (task, 50.0 + task as f64, 100.0 + task as f64)).collect();
    assert_eq!(reference_with(&all), (vec![-51.0 + 4.9, 150.0 + 4.9], 50));
}
