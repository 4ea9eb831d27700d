//! Stages that measure a candidate several times: one repeat after the other, each on its own, and
//! values only when all are in.

use cambrian_core::engine::Campaign;
use cambrian_core::simulation::{
    ProblemEvaluations, Simulation, SimulationSettings, problem_provenance,
};
use cambrian_core::space::problem;

use super::*;

/// `short`, measured three times, and `full`, measured twice, with what follows `short`.
fn yaml(pass: &str, extra: &str) -> String {
    format!(
        "version: 1\nname: repeats\nseed: 5\n\
         space: {{kind: nasbench201, channels: 4, cells: 1, input: [1, 28, 28]}}\n\
         objectives: [accuracy, latency]\nalgorithm: random\n\
         stages:\n  - {{name: short, evaluator: custom/noisy, measures: [latency], repeats: 3{pass}}}\n  \
         - {{name: full, evaluator: custom/noisy, measures: [accuracy], repeats: 2}}\n\
         budget: {{evaluations: 4, duration: 1h}}\n{extra}"
    )
}

fn join(cluster: &mut Cluster, name: &str) -> WorkerId {
    cluster.register(name, |offered| offered.evaluators[0].name = "custom/noisy".into())
}

fn cluster(pass: &str, extra: &str) -> (Cluster, WorkerId) {
    let mut cluster = Cluster::new();
    cluster.submit(1, &yaml(pass, extra));
    let worker = join(&mut cluster, "a");
    (cluster, worker)
}

fn next(cluster: &mut Cluster, worker: WorkerId) -> Assignment {
    cluster.assignments();
    cluster.ready(worker, 1, 1);
    cluster.assignments().pop().expect("there is work")
}

fn value(metric: &str, value: f64) -> ReportedOutcome {
    ReportedOutcome::Measured(vec![support::measurement(metric, value)])
}

/// Measures the next repeat.
fn measure(cluster: &mut Cluster, worker: WorkerId, metric: &str, found: f64) -> Assignment {
    let assignment = next(cluster, worker);
    let key = (assignment.task.0, assignment.attempt.0);
    cluster.report(worker, key, value(metric, found));
    assignment
}

fn measurements(cluster: &Cluster) -> Vec<(String, f64, Option<f64>)> {
    let campaign = cluster.campaign();
    let Some(candidate) = campaign.candidate(Ordinal(1)) else { return Vec::new() };
    let all = campaign.measurements_of(candidate);
    let measured =
        all.iter().filter(|found| ["accuracy", "latency"].contains(&found.metric.as_str()));
    measured.map(|found| (found.metric.to_string(), found.value(), found.spread())).collect()
}

#[test]
fn values_are_the_means_of_all_repeats_and_nothing_before() {
    let (mut cluster, worker) = cluster("", "");
    let mut seeds = Vec::new();
    for (repeat, latency) in [(0, 2.0), (1, 4.0), (2, 6.0)] {
        assert_eq!(measurements(&cluster), []);
        let assignment = measure(&mut cluster, worker, "latency", latency);
        assert_eq!((assignment.candidate.ordinal.0, assignment.repeat), (1, repeat));
        seeds.push(assignment.seed);
    }
    let error = 2.0 / 3.0_f64.sqrt();
    let [(_, mean, spread)] = &measurements(&cluster)[..] else { panic!("one metric") };
    assert!(*mean == 4.0 && (spread.expect("it is kept") - error).abs() < 1e-12);
    for accuracy in [80.0, 90.0] {
        seeds.push(measure(&mut cluster, worker, "accuracy", accuracy).seed);
    }
    let campaign = cluster.campaign();
    let candidate = campaign.candidate(Ordinal(1)).expect("it exists");
    assert_eq!(campaign.objectives_of(candidate), Some(vec![-85.0, 4.0]));
    assert_eq!(measurements(&cluster)[1], ("accuracy".to_owned(), 85.0, Some(5.0)));
    // Only the first repeats of the two stages share a seed.
    assert_eq!(seeds[0], seeds[3]);
    seeds.remove(3);
    seeds.sort_unstable();
    seeds.dedup();
    assert_eq!(seeds.len(), 4);
    // Every repeat costs slot time, and the budget counts the candidate once.
    let [short, full] = campaign.tallies() else { panic!("two stages") };
    assert_eq!((short.slot_time, full.slot_time), (Span::from_secs(21), Span::from_secs(14)));
    assert_eq!((short.entered, full.entered, campaign.started()), (1, 1, 1));
    assert_eq!((candidate.attempts(), candidate.elapsed()), (5, Span::from_secs(35)));
    let metrics = campaign.metric_views();
    assert_eq!(metrics.iter().map(|metric| metric.repeats).take(2).collect::<Vec<_>>(), [2, 3]);
    let subject = Subject::Candidate(CandidateId::new(FIRST, Ordinal(1)));
    let explained = cluster.engine.state().explain(&subject).expect("it exists");
    let line = explained.details.iter().find(|line| line.starts_with("accuracy: 85 %"));
    let line = line.unwrap_or_else(|| panic!("{explained:?}"));
    assert!(line.contains("mean of 2 repeats") && line.ends_with("of the mean 5 %"), "{line}");
}

#[test]
fn a_repeat_that_is_lost_is_done_again_alone_wherever_there_is_room() {
    let (mut cluster, a) = cluster("", "");
    measure(&mut cluster, a, "latency", 2.0);
    let second = next(&mut cluster, a);
    cluster.pass(LEASE);
    let b = join(&mut cluster, "b");
    let again = next(&mut cluster, b);
    assert_eq!((again.task, again.attempt.0, again.repeat), (second.task, 2, 1));
    assert_eq!(again.seed, second.seed);
    let digest = cluster.engine.state().digest();
    cluster.report(a, (second.task.0, 1), value("latency", 99.0));
    assert_eq!(cluster.engine.state().digest(), digest, "the lost attempt counted");
    cluster.report(b, (again.task.0, 2), value("latency", 4.0));
    measure(&mut cluster, b, "latency", 6.0);
    assert_eq!(measurements(&cluster)[0].1, 4.0);
}

#[test]
fn attempts_are_bounded_for_each_repeat_and_a_failed_repeat_ends_the_candidate() {
    let (mut cluster, worker) = cluster("", "failures: {attempts: 2, crash: retry}\n");
    let fail = |cluster: &mut Cluster| {
        let found = next(cluster, worker);
        let key = (found.task.0, found.attempt.0);
        cluster.report(worker, key, failed(FailureKind::Timeout));
        found.candidate.ordinal.0
    };
    // One failure of each repeat is forgiven.
    for latency in [2.0, 4.0, 6.0] {
        assert_eq!(fail(&mut cluster), 1);
        measure(&mut cluster, worker, "latency", latency);
    }
    assert_eq!(measurements(&cluster).len(), 1);
    assert_eq!((fail(&mut cluster), fail(&mut cluster)), (1, 1));
    let found = cluster.campaign().candidate(Ordinal(1)).expect("it exists");
    assert!(matches!(found.status(), CandidateStatus::Failed(_)), "{:?}", found.status());
    assert_eq!(next(&mut cluster, worker).candidate.ordinal.0, 2);
}

#[test]
fn gates_judge_the_mean() {
    let gate = ", pass: {gates: [{metric: latency, at_most: 4.5}]}";
    for (last, passes) in [(6.0, true), (9.0, false)] {
        let (mut cluster, worker) = cluster(gate, "");
        for latency in [1.0, 5.0, last] {
            measure(&mut cluster, worker, "latency", latency);
        }
        let found = cluster.campaign().candidate(Ordinal(1)).expect("it exists");
        assert_eq!(found.is_resolved(), !passes, "{:?}", found.status());
    }
}

#[test]
fn who_is_cancelled_or_out_of_time_between_repeats_has_no_value() {
    for cancels in [true, false] {
        let (mut cluster, worker) = cluster("", "");
        measure(&mut cluster, worker, "latency", 2.0);
        let second = next(&mut cluster, worker);
        if cancels {
            cluster.expect(Command::CancelCampaign(FIRST));
        } else {
            cluster.now = cluster.now + Span::from_secs(3_600);
            cluster.report(worker, (second.task.0, 1), value("latency", 4.0));
        }
        assert_eq!(measurements(&cluster), []);
        assert!(matches!(cluster.campaign().status(), CampaignStatus::Finished(_)));
        assert_eq!(cluster.campaign().failed(), 1);
    }
}

#[test]
fn a_mean_that_is_no_number_is_a_typed_failure() {
    let (mut cluster, worker) = cluster("", "");
    for latency in [1e308, -1e308, 1e308] {
        measure(&mut cluster, worker, "latency", latency);
    }
    let found = cluster.campaign().candidate(Ordinal(1)).expect("it exists");
    let CandidateStatus::Failed(failure) = found.status() else { panic!("{:?}", found.status()) };
    assert_eq!(failure.kind, FailureKind::NonFinite);
}

/// Candidates of a noisy problem: how far their values are from the truth, and how far their spreads say
/// that they are, as root mean squares.
fn noise_of(repeats: u32) -> (f64, f64) {
    let times = if repeats == 1 { String::new() } else { format!(", repeats: {repeats}") };
    let spec = support::campaign(&format!(
        "version: 1\nname: noisy\nspace: {{kind: problem, name: zdt1}}\nmetrics: {{f1: {{}}, f2: {{}}}}\nobjectives: [f1, f2]\n\
         algorithm: random\nstages: [{{evaluator: problem, measures: [f1, f2], \
         settings: {{noise: 0.5}}{times}}}]\nbudget: {{evaluations: 500}}\n"
    ));
    let mut capabilities = Arc::unwrap_or_clone(support::capabilities(&["problem"], &["f1", "f2"]));
    for provenance in capabilities.evaluators[0].metrics.values_mut() {
        *provenance = problem_provenance();
    }
    let second = Span::from_secs(1);
    let evaluator = ProblemEvaluations { shortest: second, longest: second };
    let settings = SimulationSettings { workers: 3, ..SimulationSettings::default() };
    let outcome = Simulation::new(settings, Arc::new(capabilities), &evaluator).run(&[spec]);
    let engine = outcome.unwrap_or_else(|breach| panic!("{breach}")).engine;
    let campaign: &Campaign = engine.state().campaigns().next().expect("one campaign");
    assert_eq!(campaign.scored(), 500);
    let (mut far, mut said, mut count) = (0.0, 0.0, 0.0);
    for ordinal in 1..=500 {
        let view = campaign.candidate_view(Ordinal(ordinal)).expect("it exists");
        let truth = problem::measure(&view.genotype, ["f1", "f2"]).expect("it has objectives");
        for (metric, truth) in ["f1", "f2"].into_iter().zip(truth) {
            let found = view.measurements.iter().find(|found| found.metric.as_str() == metric);
            let found = found.expect("it is scored");
            far += (found.value() - truth).powi(2);
            said += found.spread().map_or(0.0, |spread| spread.powi(2));
            count += 1.0;
        }
    }
    ((far / count).sqrt(), (said / count).sqrt())
}

/// 1,000 draws know their standard deviation to 2.3 %; ten per cent are four times that.
#[test]
fn the_mean_of_k_repeats_is_nearer_to_the_truth_by_the_root_of_k() {
    for repeats in [1, 4, 16] {
        let expected = 0.5 / f64::from(repeats).sqrt();
        let (far, said) = noise_of(repeats);
        assert!((far / expected - 1.0).abs() < 0.1, "{repeats} repeats: {far}, not {expected}");
        let said_is_right = repeats == 1 || (said / expected - 1.0).abs() < 0.1;
        assert!(said_is_right, "{repeats} repeats: {said} is said, not {expected}");
    }
}
