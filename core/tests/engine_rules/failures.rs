//! What makes an attempt a failed one, how often it is made again, and whom it is charged to.

use super::*;

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
