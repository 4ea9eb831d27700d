//! Which reports count: each once, and only those of an attempt that is still wanted.

use super::*;

#[test]
fn a_report_counts_once_however_often_it_arrives() {
    let mut cluster = Cluster::with_campaign("", 3);
    let worker = cluster.worker("a", 1);
    let first = cluster.report(worker, (1, 1), measured(80.0, 5.0));
    assert_eq!(count(&first, |event| matches!(event, Event::CandidateScored { .. })), 1);
    let digest = cluster.engine.state().digest();
    cluster.effects.clear();
    let second = cluster.report(worker, (1, 1), measured(99.0, 1.0));
    assert_eq!(count(&second, Event::is_durable), 0);
    assert_eq!(cluster.engine.state().digest(), digest);
    assert!(matches!(cluster.effects[..], [Effect::Acknowledge { .. }]));
}

/// Whether nothing of a report counts but what the attempt took.
fn only_time_counts(step: &Step) -> bool {
    let mut durable = step.events.iter().filter(|event| event.is_durable());
    let time = durable.next().is_some_and(
        |event| matches!(event, Event::AttemptYielded { checkpoint: None, elapsed, .. } if elapsed.0 > 0),
    );
    time && durable.next().is_none()
}

#[test]
fn a_report_of_an_earlier_attempt_is_acknowledged_and_dropped() {
    let mut cluster = Cluster::with_campaign("", 1);
    let slow = cluster.worker("slow", 1);
    cluster.pass(LEASE);
    let quick = cluster.worker("quick", 1);
    assert_eq!(cluster.assignments().last().map(|a| a.attempt), Some(Attempt(2)));
    let late = cluster.report(slow, (1, 1), measured(80.0, 5.0));
    assert!(only_time_counts(&late));
    let counted = cluster.report(quick, (1, 2), measured(81.0, 6.0));
    assert_eq!(count(&counted, |event| matches!(event, Event::TaskCompleted { .. })), 1);
}

#[test]
fn an_earlier_attempt_does_not_count_even_for_the_worker_that_holds_the_present_one() {
    let mut cluster = Cluster::with_campaign("", 1);
    let worker = cluster.worker("a", 2);
    cluster.pass(LEASE);
    assert_eq!(cluster.assignments().last().map(|a| a.attempt), Some(Attempt(2)));
    let early = cluster.report(worker, (1, 1), measured(80.0, 5.0));
    assert!(only_time_counts(&early));
    assert!(matches!(cluster.effects[..], [Effect::Acknowledge { attempt: Attempt(1), .. }]));
    cluster.report(worker, (1, 2), measured(81.0, 6.0));
    assert_eq!(cluster.campaign().scored(), 1);
}

#[test]
fn a_late_result_counts_as_long_as_nobody_else_has_the_task() {
    let mut cluster = Cluster::with_campaign("", 1);
    let worker = cluster.worker("a", 1);
    let expired = cluster.pass(LEASE);
    let ended = |event: &Event| matches!(event, Event::LeaseEnded { end: LeaseEnd::Expired, .. });
    assert_eq!(count(&expired, ended), 1);
    cluster.report(worker, (1, 1), measured(80.0, 5.0));
    assert_eq!(cluster.campaign().scored(), 1);
}

#[test]
fn a_worker_cannot_report_anothers_task() {
    let mut cluster = Cluster::with_campaign("", 1);
    cluster.worker("holder", 1);
    let stranger = cluster.register_with("stranger", 1, &[]);
    let step = cluster.report(stranger, (1, 1), measured(100.0, 0.1));
    assert_eq!(count(&step, Event::is_durable), 0);
    assert_eq!(cluster.campaign().scored(), 0);
}
