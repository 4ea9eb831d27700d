//! What it takes to go on after a stage: gates, and the best share of a rung.

use cambrian_core::engine::{ScreenReason, Screening};

use super::*;

/// Two stages, `short` and `full`, the first with this `pass`.
fn rungs(pass: &str, evaluations: u32) -> String {
    format!(
        "version: 1\nname: rungs\nseed: 5\n\
         space: {{kind: nasbench201, channels: 4, cells: 1, input: [1, 28, 28]}}\n\
         metrics: {{short: {{goal: maximize}}}}\n\
         objectives: [accuracy, latency]\nalgorithm: random\n\
         stages:\n  - {{name: short, evaluator: tabular, measures: [short], \
         settings: {{table: t.csv, columns: {{short: s}}}}, pass: {pass}}}\n  \
         - {{name: full, evaluator: synthetic, measures: [accuracy, latency]}}\n\
         budget: {{evaluations: {evaluations}, duration: 1h}}\n"
    )
}

/// A cluster with that campaign and one worker with a slot, which offers these evaluators.
fn cluster(pass: &str, evaluations: u32, evaluators: &[&str]) -> (Cluster, WorkerId) {
    let mut cluster = Cluster::new();
    cluster.submit(1, &rungs(pass, evaluations));
    let worker = join(&mut cluster, "a", evaluators);
    (cluster, worker)
}

fn join(cluster: &mut Cluster, name: &str, evaluators: &[&str]) -> WorkerId {
    let offers = support::capabilities(evaluators, &["accuracy", "latency", "short"]);
    let worker = cluster.connect(name, 1, offers, &[]);
    cluster.ready(worker, 1, 1);
    worker
}

const BOTH: [&str; 2] = ["tabular", "synthetic"];

/// Reports, asks for one task more, and returns its candidate and stage.
fn report(
    cluster: &mut Cluster,
    worker: WorkerId,
    task: u64,
    outcome: ReportedOutcome,
) -> Option<(u32, String)> {
    cluster.assignments();
    cluster.report(worker, (task, 1), outcome);
    cluster.ready(worker, 1, 1);
    let next = cluster.assignments().pop()?;
    Some((next.candidate.ordinal.0, next.stage.name.to_string()))
}

fn short(value: f64) -> ReportedOutcome {
    ReportedOutcome::Measured(vec![support::measurement("short", value)])
}

fn status(cluster: &Cluster, ordinal: u32) -> CandidateStatus {
    cluster.campaign().candidate(Ordinal(ordinal)).expect("it exists").status().clone()
}

fn explained(cluster: &Cluster, ordinal: u32) -> String {
    let subject = Subject::Candidate(CandidateId::new(FIRST, Ordinal(ordinal)));
    let found = cluster.engine.state().explain(&subject).expect("it exists");
    format!("{}; {}", found.headline, found.details.join("; "))
}

fn to(candidate: u32, stage: &str) -> Option<(u32, String)> {
    Some((candidate, stage.to_owned()))
}

#[test]
fn a_candidate_that_breaks_a_gate_is_over_with_reason_and_value() {
    let (mut cluster, worker) = cluster("{gates: [{metric: short, at_least: 10}]}", 9, &BOTH);
    assert_eq!(report(&mut cluster, worker, 1, short(9.5)), to(2, "short"));
    let reason = ScreenReason::Gate("short 9.5 breaks the bound >= 10".into());
    assert_eq!(status(&cluster, 1), CandidateStatus::Screened(Screening { stage: 0, reason }));
    let words = explained(&cluster, 1);
    assert!(words.contains("after stage short: short 9.5 breaks the bound >= 10"), "{words}");
    assert_eq!(report(&mut cluster, worker, 2, short(10.0)), to(2, "full"));
    let [first, last] = cluster.campaign().tallies() else { panic!("two stages") };
    assert_eq!((first.entered, first.passed, first.screened, first.live), (2, 1, 1, 0));
    assert_eq!((last.entered, last.live), (1, 1));
    assert_eq!(first.slot_time, Span::from_secs(14));
    assert_eq!(cluster.campaign().screened(), 1);
}

#[test]
fn the_best_go_on_before_anyone_new_is_proposed() {
    let (mut cluster, worker) = cluster("{top: 1/2, by: [short]}", 9, &BOTH);
    assert_eq!(report(&mut cluster, worker, 1, short(5.0)), to(2, "short"));
    assert_eq!(status(&cluster, 1), CandidateStatus::Waiting { stage: 0 });
    // One of two may go on, and the second is the better one.
    assert_eq!(report(&mut cluster, worker, 2, short(9.0)), to(2, "full"));
    let words = explained(&cluster, 1);
    assert!(words.contains("waits after stage short, rank 2 of 2 there"), "{words}");
    assert_eq!(report(&mut cluster, worker, 3, measured(80.0, 5.0)), to(3, "short"));
    assert_eq!(report(&mut cluster, worker, 4, short(1.0)), to(4, "short"));
    // Two of four may go on: the first is called up after all.
    assert_eq!(report(&mut cluster, worker, 5, short(2.0)), to(1, "full"));
}

#[test]
fn nobody_goes_on_before_the_least() {
    let (mut cluster, worker) = cluster("{top: 1/2, by: [short], least: 3}", 9, &BOTH);
    assert_eq!(report(&mut cluster, worker, 1, short(1.0)), to(2, "short"));
    assert_eq!(report(&mut cluster, worker, 2, short(2.0)), to(3, "short"));
    assert_eq!(report(&mut cluster, worker, 3, short(3.0)), to(3, "full"));
}

#[test]
fn at_the_end_whoever_was_never_called_up_is_screened() {
    let (mut cluster, worker) = cluster("{top: 1/2, by: [short]}", 3, &BOTH);
    report(&mut cluster, worker, 1, short(1.0));
    report(&mut cluster, worker, 2, short(2.0));
    assert_eq!(report(&mut cluster, worker, 3, measured(80.0, 5.0)), to(3, "short"));
    assert_eq!(report(&mut cluster, worker, 4, short(1.5)), None);
    let finished = CampaignStatus::Finished(FinishReason::BudgetSpent);
    assert_eq!(cluster.campaign().status(), finished);
    let rank = |rank| {
        let reason = ScreenReason::Rank { rank, of: 3 };
        CandidateStatus::Screened(Screening { stage: 0, reason })
    };
    assert_eq!((status(&cluster, 1), status(&cluster, 3)), (rank(3), rank(2)));
    assert!(explained(&cluster, 1).contains("after stage short: rank 3 of 3"));
    assert_eq!(cluster.campaign().front().len(), 1);
}

#[test]
fn a_rung_that_nobody_comes_to_any_more_lets_at_least_one_pass() {
    let (mut cluster, worker) = cluster("{top: 1/3, by: [short], least: 100}", 2, &BOTH);
    assert_eq!(report(&mut cluster, worker, 1, short(1.0)), to(2, "short"));
    assert_eq!(report(&mut cluster, worker, 2, short(4.0)), to(2, "full"));
    assert_eq!(report(&mut cluster, worker, 3, measured(80.0, 5.0)), None);
    assert_eq!((cluster.campaign().scored(), cluster.campaign().screened()), (1, 1));
}

#[test]
fn time_and_a_cancellation_end_those_that_wait() {
    for cancelled in [false, true] {
        let (mut cluster, worker) = cluster("{top: 1/2, by: [short]}", 9, &BOTH);
        report(&mut cluster, worker, 1, short(1.0));
        report(&mut cluster, worker, 2, failed(FailureKind::Invalid));
        report(&mut cluster, worker, 3, failed(FailureKind::Invalid));
        if cancelled {
            cluster.expect(Command::CancelCampaign(FIRST));
        } else {
            cluster.pass(Span::from_secs(3_600));
            cluster.report(worker, (4, 1), failed(FailureKind::Invalid));
        }
        assert!(matches!(cluster.campaign().status(), CampaignStatus::Finished(_)));
        assert!(matches!(status(&cluster, 1), CandidateStatus::Screened(_)), "{cancelled}");
    }
}

#[test]
fn a_worker_that_serves_only_the_later_stage_gets_those_that_are_called_up() {
    let (mut cluster, first) = cluster("{top: 1/2, by: [short]}", 9, &["tabular"]);
    let second = join(&mut cluster, "b", &["synthetic"]);
    assert_eq!(report(&mut cluster, first, 1, short(1.0)), to(2, "short"));
    cluster.assignments();
    cluster.report(first, (2, 1), short(2.0));
    let given = cluster.assignments();
    let given: Vec<_> =
        given.iter().map(|next| (next.candidate.ordinal.0, &*next.stage.name)).collect();
    assert_eq!(given, [(2, "full")]);
    assert_eq!(cluster.engine.state().worker(second).map(|found| found.leases().len()), Some(1));
    // The other stage goes on meanwhile.
    cluster.ready(first, 1, 1);
    assert_eq!(cluster.assignments().pop().map(|next| next.candidate.ordinal.0), Some(3));
}

#[test]
fn a_metric_may_have_another_name_in_the_campaign_than_at_its_evaluator() {
    let mut cluster = Cluster::new();
    cluster.submit(
        1,
        "version: 1\nname: rules\nseed: 5\n\
         space: {kind: nasbench201, channels: 4, cells: 1, input: [1, 28, 28]}\n\
         metrics: {early: {unit: \"%\", goal: maximize}}\n\
         objectives: [accuracy, latency]\nalgorithm: random\n\
         stages:\n  - {name: short, evaluator: synthetic, measures: [{metric: accuracy, as: early}]}\n  \
         - {name: long, evaluator: synthetic, measures: [accuracy, latency]}\n\
         budget: {evaluations: 1}\n",
    );
    let worker = cluster.worker("a", 1);
    let short = cluster.assignments().remove(0);
    assert_eq!(short.stage.measures, ["accuracy".into()]);
    let early = ReportedOutcome::Measured(vec![support::measurement("accuracy", 40.0)]);
    cluster.report(worker, (1, 1), early);
    cluster.ready(worker, 1, 1);
    cluster.report(worker, (2, 1), measured(80.0, 3.0));
    let campaign = cluster.campaign();
    let candidate = campaign.candidate(Ordinal(1)).expect("it was proposed");
    let known = campaign.measurements_of(candidate);
    let value = |name: &str| {
        known.iter().find(|found| found.metric.as_str() == name).map(Measurement::value)
    };
    assert_eq!((value("early"), value("accuracy")), (Some(40.0), Some(80.0)));
    // It survives being written out with every default.
    let written = campaign.spec().to_yaml();
    assert!(written.contains("as: early"), "{written}");
    assert_eq!(support::campaign(&written).to_yaml(), written);
}
