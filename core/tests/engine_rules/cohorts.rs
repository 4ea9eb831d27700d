//! Rungs of the first candidates alone: published searches whose first population is screened by a score.

use cambrian_core::algorithm::Origin;
use cambrian_core::engine::{ScreenReason, Screening};

use super::*;

const AREA: &str = include_str!("../../../configs/campaigns/area.yaml");
const KNAS: &str = include_str!("../../../configs/campaigns/knas.yaml");

/// A score that has nothing to do with the ordinal.
fn score_of(ordinal: u32) -> f64 {
    f64::from(ordinal.wrapping_mul(2_654_435_761) >> 8)
}

/// Runs the campaign with one worker and one slot to its end, and returns the candidates and stages in the
/// order of their assignments. Candidates of `failing` fail in the first stage.
fn run(yaml: &str, score: &str, failing: &[u32]) -> (Cluster, Vec<(u32, String)>) {
    let mut cluster = Cluster::new();
    cluster.submit(1, yaml);
    let metrics = [score, "accuracy", "test_accuracy"];
    let mut offers = support::capabilities(&["proxies", "train"], &metrics);
    Arc::make_mut(&mut offers).datasets.insert("fashion-mnist".into());
    let worker = cluster.connect("a", 1, offers, &[]);
    let mut order = Vec::new();
    loop {
        cluster.ready(worker, 1, 1);
        let Some(next) = cluster.assignments().pop() else { break };
        let ordinal = next.candidate.ordinal.0;
        order.push((ordinal, next.stage.name.to_string()));
        let outcome = match &*next.stage.name {
            "score" if failing.contains(&ordinal) => failed(FailureKind::Invalid),
            "score" => {
                ReportedOutcome::Measured(vec![support::measurement(score, score_of(ordinal))])
            }
            _ => {
                let values = ["accuracy", "test_accuracy"];
                let accuracy = 50.0 + score_of(ordinal) % 40.0;
                let values = values.map(|metric| support::measurement(metric, accuracy));
                ReportedOutcome::Measured(values.to_vec())
            }
        };
        cluster.report(worker, (next.task.0, next.attempt.0), outcome);
    }
    assert!(matches!(cluster.campaign().status(), CampaignStatus::Finished(_)));
    (cluster, order)
}

fn stages(order: &[(u32, String)], stage: &str) -> Vec<u32> {
    order.iter().filter(|(_, name)| name == stage).map(|(ordinal, _)| *ordinal).collect()
}

/// The best so many of the first, the best first.
fn best(of_first: u32, count: usize, failing: &[u32]) -> Vec<u32> {
    let mut ordinals: Vec<u32> = (1..=of_first).filter(|at| !failing.contains(at)).collect();
    ordinals.sort_by(|one, other| score_of(*other).total_cmp(&score_of(*one)));
    ordinals.truncate(count);
    ordinals
}

#[test]
fn area_trains_the_best_half_of_twenty_and_then_every_child() {
    let (cluster, order) = run(AREA, "naswot", &[]);
    let early: Vec<_> = (1..=20).map(|ordinal| (ordinal, "score".to_owned())).collect();
    assert_eq!(order[..20], early, "nothing is trained before all are scored");
    let best = best(20, 10, &[]);
    assert_eq!(stages(&order[20..30], "train"), best);
    let campaign = cluster.campaign();
    for (at, ordinal) in (21..=60).enumerate() {
        let [score, train] = &order[30 + 2 * at..32 + 2 * at] else { panic!("two stages") };
        assert_eq!((score.0, &*score.1, train.0, &*train.1), (ordinal, "score", ordinal, "train"));
        let candidate = campaign.candidate(Ordinal(ordinal)).unwrap();
        let Origin::Mutated { parent } = candidate.proposal().origin else {
            panic!("{ordinal} is no child")
        };
        assert!(best.contains(&parent.0) || parent.0 > 20, "{ordinal} is a child of {parent:?}");
    }
    for ordinal in (1..=20).filter(|ordinal| !best.contains(ordinal)) {
        let status = campaign.candidate(Ordinal(ordinal)).unwrap().status();
        let CandidateStatus::Screened(Screening { stage: 0, reason }) = status else {
            panic!("{ordinal} is {status:?}")
        };
        assert!(matches!(reason, ScreenReason::Rank { of: 20, .. }), "{reason:?}");
    }
    assert_eq!((campaign.scored(), campaign.screened()), (50, 10));
}

#[test]
fn one_that_fails_holds_nobody_up() {
    let failing = [3, 20];
    let (cluster, order) = run(AREA, "naswot", &failing);
    let trained = stages(&order, "train");
    assert_eq!(trained[..9], best(20, 9, &failing), "the better half of 18");
    assert_eq!(trained.len(), 9 + 40);
    assert_eq!(cluster.campaign().screened(), 9);
}

#[test]
fn knas_trains_the_best_forty_of_three_hundred() {
    let (cluster, order) = run(KNAS, "knas_mgm", &[]);
    assert_eq!(order.len(), 340);
    assert_eq!(stages(&order[300..], "train"), best(300, 40, &[]));
    assert_eq!((cluster.campaign().scored(), cluster.campaign().screened()), (40, 260));
}

#[test]
fn a_budget_below_the_cohort_ends_it_early() {
    let short = AREA.replace("evaluations: 60", "evaluations: 12");
    let (_, order) = run(&short, "naswot", &[]);
    assert_eq!(stages(&order, "train"), best(12, 6, &[]));
}

#[test]
fn a_smaller_least_lets_some_of_the_cohort_go_on_before_it_is_complete() {
    let early = AREA.replace("of_first: 20", "of_first: 20, least: 6");
    let (_, order) = run(&early, "naswot", &[]);
    let before_all = order.iter().take_while(|(ordinal, _)| *ordinal != 20);
    assert!(before_all.filter(|(_, stage)| stage == "train").count() >= 3);
    let trained = stages(&order, "train");
    assert!(best(20, 10, &[]).iter().all(|ordinal| trained.contains(ordinal)));
    assert!((21..=60).all(|ordinal| trained.contains(&ordinal)));
}

#[test]
fn one_that_waits_says_whom_it_is_measured_against() {
    let mut cluster = Cluster::new();
    let yaml = yaml("", 9).replace(
        "stages:\n",
        "metrics: {short: {goal: maximize}}\nstages:\n  - {name: short, evaluator: tabular, measures: \
         [short], settings: {table: t.csv, columns: {short: s}}, pass: {top: 1/2, by: [short], \
         of_first: 2}}\n",
    );
    cluster.submit(1, &yaml);
    let worker = cluster.connect("a", 1, support::capabilities(&["tabular"], &["short"]), &[]);
    let explained = |cluster: &Cluster| {
        let subject = Subject::Candidate(CandidateId::new(FIRST, Ordinal(1)));
        cluster.engine.state().explain(&subject).expect("it exists").details.join("; ")
    };
    for (task, value) in [(1, 1.0), (2, 2.0)] {
        cluster.ready(worker, 1, 1);
        let outcome = ReportedOutcome::Measured(vec![support::measurement("short", value)]);
        cluster.report(worker, (task, 1), outcome);
        let words = explained(&cluster);
        let outlook = if task == 1 { "once enough others" } else { "it stays behind" };
        assert!(words.contains("of the first 2 candidates") && words.contains(outlook), "{words}");
    }
}
