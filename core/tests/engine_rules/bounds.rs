//! Bounds on metrics: what becomes of candidates that break one, and what is said of them.

use super::*;

fn explained(cluster: &Cluster, subject: Subject) -> (String, Vec<String>) {
    let found = cluster.engine.state().explain(&subject).expect("it exists");
    (found.headline, found.details)
}

fn line<'l>(details: &'l [String], words: &str) -> Option<&'l str> {
    details.iter().map(String::as_str).find(|line| line.contains(words))
}

#[test]
fn what_was_measured_is_held_against_the_bound_in_its_unit() {
    let mut cluster =
        Cluster::with_campaign("constraints: [{metric: accuracy, at_least: 99}]\n", 2);
    let worker = cluster.worker("a", 2);
    cluster.report(worker, (1, 1), measured(43.058_831_727_519_29, 5.0));
    let (headline, details) =
        explained(&cluster, Subject::Candidate(CandidateId::new(FIRST, Ordinal(1))));
    assert_eq!(
        headline,
        "candidate 1/1 is scored but not feasible: accuracy 43.06 % breaks the bound >= 99 %"
    );
    assert!(line(&details, "beyond its bounds by 0.5651 in all").is_some(), "{details:?}");
}

#[test]
fn a_campaign_without_a_feasible_candidate_says_which_bounds_are_broken() {
    let bounds = "constraints: [{metric: accuracy, at_least: 99}, {metric: latency, at_most: 4}]\n";
    let mut cluster = Cluster::with_campaign(bounds, 3);
    let worker = cluster.worker("a", 3);
    cluster.report(worker, (1, 1), measured(43.058_831, 5.0));
    cluster.report(worker, (2, 1), measured(98.999_96, 3.0));
    let (_, details) = explained(&cluster, Subject::Campaign(FIRST));
    let found = line(&details, "is feasible").expect("it says that there is none");
    assert_eq!(found, "none of the 2 scored candidates is feasible");
    let accuracy = "accuracy >= 99 % is broken by 2 of them, the nearest has 98.99996 %";
    assert!(line(&details, accuracy).is_some(), "{details:?}");
    let latency = "latency <= 4 ms is broken by 1 of them, the nearest has 5 ms";
    assert!(line(&details, latency).is_some(), "{details:?}");
    cluster.report(worker, (3, 1), measured(99.0, 4.0));
    let (_, details) = explained(&cluster, Subject::Campaign(FIRST));
    assert_eq!(line(&details, "is feasible"), None);
    assert_eq!(line(&details, "is broken by"), None);
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
