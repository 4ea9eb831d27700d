//! A campaign's life: submitted, paused, at the end of its budget, cancelled.

use super::*;

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
fn campaigns_share_workers_evenly() {
    let mut cluster = Cluster::with_campaign("", 10);
    cluster.submit(2, &yaml("", 10));
    cluster.worker("a", 6);
    let running: Vec<u32> =
        cluster.engine.state().campaigns().map(|campaign| campaign.view().running).collect();
    assert_eq!(running, [3, 3]);
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
