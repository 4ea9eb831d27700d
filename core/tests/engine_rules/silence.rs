//! Holders that fall silent: what it costs the task, and how long they are waited for.

use super::*;

fn beat(cluster: &mut Cluster, worker: WorkerId) {
    let holding = vec![key(1, 1)];
    cluster.expect(Command::Heartbeat { worker, session: SessionId(1), holding });
}

fn is_leased(cluster: &Cluster) -> bool {
    cluster.engine.state().task(TaskId(1)).is_some_and(|task| task.lease().is_some())
}

#[test]
fn an_attempt_that_goes_on_is_not_charged_for_its_silences() {
    for attempts in ["", "failures: {attempts: 1}\n", "failures: {lease_expired: {retry: 1}}\n"] {
        let mut cluster = Cluster::with_campaign(attempts, 1);
        let worker = cluster.worker("a", 1);
        for silence in 0..5 {
            cluster.pass(LEASE);
            beat(&mut cluster, worker);
            assert!(is_leased(&cluster), "{attempts} after {silence}");
        }
        cluster.report(worker, (1, 1), measured(80.0, 5.0));
        assert_eq!(cluster.campaign().scored(), 1, "{attempts}");
    }
}

#[test]
fn silences_of_which_nothing_comes_are_bounded() {
    let mut cluster = Cluster::with_campaign("", 1);
    let worker = cluster.worker("a", 3);
    for attempt in 1..=3 {
        assert_eq!(cluster.engine.state().task(TaskId(1)).unwrap().attempt(), Attempt(attempt));
        cluster.pass(LEASE);
    }
    assert!(is_leased(&cluster), "the last attempt is waited for");
    let why = cluster.engine.state().explain(&Subject::Task(TaskId(1))).unwrap();
    assert!(why.details.iter().any(|line| line.contains("is waited for")), "{why:?}");
    let step = cluster.pass(LEASE);
    let ended = |event: &Event| matches!(event, Event::LeaseEnded { end: LeaseEnd::Expired, .. });
    assert_eq!(count(&step, ended), 1);
    assert_eq!(cluster.campaign().failed(), 1);
    assert_eq!(cluster.campaign().status(), CampaignStatus::Finished(FinishReason::BudgetSpent));
    // What comes even later has nobody to count for.
    cluster.report(worker, (1, 3), measured(80.0, 5.0));
    assert_eq!(cluster.campaign().scored(), 0);
}

#[test]
fn a_charge_of_an_earlier_attempt_stays() {
    let mut cluster = Cluster::with_campaign("failures: {attempts: 2}\n", 1);
    let worker = cluster.worker("a", 2);
    cluster.pass(LEASE);
    let holding = vec![key(1, 2)];
    cluster.expect(Command::Heartbeat { worker, session: SessionId(1), holding });
    cluster.report(worker, (1, 2), failed(FailureKind::Crash));
    assert_eq!(cluster.campaign().failed(), 1, "one silence and one crash");
}

#[test]
fn what_is_in_work_when_time_is_up_is_waited_for_once_more() {
    let mut cluster = Cluster::new();
    cluster.submit(1, &yaml("", 9).replace("9}", "9, duration: 10s}"));
    let worker = cluster.worker("a", 1);
    cluster.pass(Span::from_secs(10));
    assert_eq!(cluster.campaign().status(), CampaignStatus::Draining(FinishReason::TimeUp));
    cluster.pass(LEASE);
    assert!(is_leased(&cluster));
    beat(&mut cluster, worker);
    cluster.report(worker, (1, 1), measured(80.0, 5.0));
    assert_eq!(cluster.campaign().scored(), 1);
}

#[test]
fn time_that_the_coordinator_gives_confirms_no_assignment() {
    let mut cluster = Cluster::with_campaign("failures: {attempts: 1}\n", 1);
    cluster.worker("a", 1);
    cluster.now = cluster.now + Span::from_secs(1_000);
    cluster.expect(Command::Stalled);
    let worker = cluster.register_with("a", 2, &[]);
    cluster.effects.clear();
    cluster.ready(worker, 2, 1);
    assert_eq!(cluster.assignments().len(), 1, "it never arrived, which costs no attempt");
}

#[test]
fn a_disconnect_leaves_leases_alone_and_a_restart_gives_a_full_period_of_grace() {
    let mut cluster = Cluster::with_campaign("", 1);
    let worker = cluster.worker("a", 1);
    cluster.expect(Command::WorkerDisconnected { worker, session: SessionId(1) });
    cluster.pass(Span::from_secs(29));
    cluster.expect(Command::Start);
    cluster.pass(Span::from_secs(29));
    cluster.register_with("a", 2, &[(1, 1)]);
    cluster.report(worker, (1, 1), measured(80.0, 5.0));
    assert_eq!(cluster.campaign().scored(), 1);
    assert!(cluster.stops().is_empty());
}

#[test]
fn the_coordinators_own_silence_counts_against_nobody() {
    let mut cluster = Cluster::with_campaign("", 1);
    let worker = cluster.worker("a", 1);
    cluster.now = cluster.now + Span::from_secs(1_000);
    cluster.expect(Command::Stalled);
    cluster.pass(Span::from_secs(29));
    cluster.report(worker, (1, 1), measured(80.0, 5.0));
    assert_eq!(cluster.campaign().scored(), 1);
    assert!(cluster.stops().is_empty());
}
