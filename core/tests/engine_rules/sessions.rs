//! What a worker's heartbeats, goodbyes and new sessions do to what it holds.

use super::*;

#[test]
fn heartbeats_keep_a_lease_and_give_an_expired_one_back() {
    let mut cluster = Cluster::with_campaign("", 1);
    let worker = cluster.worker("a", 1);
    let beat = Command::Heartbeat { worker, session: SessionId(1), holding: vec![key(1, 1)] };
    for _ in 0..5 {
        cluster.now = cluster.now + Span::from_secs(20);
        cluster.expect(beat.clone());
        assert!(cluster.engine.state().task(TaskId(1)).unwrap().lease().is_some());
        cluster.pass(Span(0));
    }
    cluster.pass(LEASE);
    assert!(cluster.engine.state().task(TaskId(1)).unwrap().lease().is_none());
    cluster.expect(beat);
    let task = cluster.engine.state().task(TaskId(1)).unwrap();
    assert_eq!(
        (task.attempt(), task.lease().map(|lease| lease.worker)),
        (Attempt(1), Some(worker))
    );
}

#[test]
fn a_stale_session_changes_nothing() {
    let mut cluster = Cluster::with_campaign("", 2);
    let worker = cluster.worker("a", 1);
    cluster.register_with("a", 2, &[(1, 1)]);
    let digest = cluster.engine.state().digest();
    let session = SessionId(1);
    let commands = [
        Command::Ready { worker, session, credit: 5 },
        Command::Heartbeat { worker, session, holding: vec![] },
        Command::WorkerGoodbye { worker, session },
        Command::RegisterWorker {
            name: "a".into(),
            session,
            capabilities: support::capabilities(&["synthetic"], &["accuracy"]),
            holding: vec![],
        },
    ];
    for command in commands {
        let rejected = cluster.try_step(command).unwrap_err();
        assert!(matches!(rejected, Rejected::StaleSession { latest: SessionId(2), .. }));
    }
    let unknown = Command::Ready { worker: WorkerId(9), session, credit: 1 };
    assert_eq!(cluster.try_step(unknown).unwrap_err(), Rejected::UnknownWorker(WorkerId(9)));
    assert_eq!(cluster.engine.state().digest(), digest);
}

#[test]
fn goodbye_hands_leases_back_without_charging_the_candidate() {
    let mut cluster = Cluster::with_campaign("failures: {attempts: 1}\n", 1);
    let leaving = cluster.worker("leaving", 1);
    cluster.expect(Command::WorkerGoodbye { worker: leaving, session: SessionId(1) });
    let staying = cluster.worker("staying", 1);
    cluster.report(staying, (1, 2), measured(80.0, 5.0));
    assert_eq!(cluster.campaign().scored(), 1);
}

#[test]
fn an_assignment_that_never_arrived_is_not_charged_and_a_forgotten_one_is() {
    for (confirmed, end) in [(false, LeaseEnd::Undelivered), (true, LeaseEnd::Forgotten)] {
        let mut cluster = Cluster::with_campaign("", 1);
        let worker = cluster.worker("a", 1);
        if confirmed {
            let holding = vec![key(1, 1)];
            cluster.expect(Command::Heartbeat { worker, session: SessionId(1), holding });
        }
        let step = cluster.expect(Command::RegisterWorker {
            name: "a".into(),
            session: SessionId(2),
            capabilities: usual_capabilities(),
            holding: vec![],
        });
        let found = step.events.iter().find_map(|event| match event {
            Event::LeaseEnded { end, .. } => Some(*end),
            _ => None,
        });
        assert_eq!(found, Some(end));
    }
}

#[test]
fn attempts_that_the_coordinator_does_not_want_are_stopped() {
    let mut cluster = Cluster::with_campaign("", 1);
    cluster.register_with("a", 1, &[(7, 2)]);
    let AttemptId { task, attempt } = key(7, 2);
    assert_eq!(cluster.stops(), [(task, attempt, StopReason::Superseded)]);
}
