//! Tests of the supervisor with every channel held by the test.

mod rig;

use cambrian_proto::v1::StopReason;

use super::*;
use rig::{Rig, bad_node, meanwhile, report, rig, rig_with};

fn ready(credit: u32) -> worker_message::Message {
    worker_message::Message::Ready(Ready { credit })
}

fn reported(task: u64) -> worker_message::Message {
    worker_message::Message::Report(report(task))
}

fn failed_kind(message: &worker_message::Message) -> (u64, FailureKind) {
    match message {
        worker_message::Message::Report(report) => match &report.outcome {
            Some(Outcome { outcome: Some(outcome::Outcome::Failed(failure)), .. }) => {
                (report.task, failure.kind())
            }
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn registration_comes_first_then_reports_then_credit() {
    let mut rig = rig_with(2, &[4, 9]);
    rig.health(0, SlotHealth::Ready);
    let mut peer = rig.open();
    let heard = peer.heard();
    let [worker_message::Message::Register(register)] = heard.as_slice() else {
        panic!("{heard:?}")
    };
    assert_eq!((register.name.as_str(), register.holding.len()), ("worker", 2));
    assert!(register.session > 0 && register.capabilities.is_some());
    assert_eq!(rig.supervisor.next_heartbeat(), None);
    rig.registered();
    assert_eq!(peer.heard(), [reported(4), reported(9), ready(4)]);
    assert!(rig.supervisor.next_heartbeat().is_some());
}

#[tokio::test]
async fn each_stream_has_a_larger_session_and_gets_everything_unacknowledged() {
    let mut rig = rig_with(1, &[4]);
    let mut sessions = Vec::new();
    for _ in 0..3 {
        let mut peer = rig.open();
        let [worker_message::Message::Register(register)] = &peer.heard()[..] else { panic!() };
        sessions.push(register.session);
        rig.registered();
        assert_eq!(peer.heard(), [reported(4), ready(2)]);
        rig.close();
        assert_eq!(rig.supervisor.next_heartbeat(), None);
    }
    assert!(sessions.is_sorted_by(|a, b| a < b), "{sessions:?}");
}

#[tokio::test]
async fn a_report_is_stored_then_sent_then_forgotten_when_acknowledged() {
    let mut rig = rig(1);
    let mut peer = rig.connect();
    assert_eq!(peer.heard(), [ready(2)]);
    rig.assign(1);
    assert!(matches!(&rig.told(0)[..], [SlotCommand::Evaluate(found)] if found.task == 1));
    rig.finish(0, 1);
    assert_eq!(peer.heard(), [ready(1)], "the report is not on the disk yet");
    assert!(matches!(&rig.changes()[..], [Change::Put(found)] if **found == report(1)));
    assert_eq!(rig.holding(), [(1, 1)]);
    rig.sendable(1);
    assert_eq!(peer.heard(), [reported(1)]);
    assert_eq!(rig.holding(), [(1, 1)]);
    rig.acknowledge(1);
    rig.acknowledge(1);
    assert!(matches!(&rig.changes()[..], [Change::Remove(id)] if *id == attempt_id(1, 1)));
    assert_eq!(rig.holding(), []);
    assert_eq!(peer.heard(), []);
}

#[tokio::test]
async fn a_result_is_stored_while_its_state_is_on_its_way_and_sent_after_it() {
    let mut rig = rig(1);
    let _ = rig.connect();
    rig.assign(1);
    rig.measure(0, 1);
    assert!(matches!(&rig.changes()[..], [Change::PutMeanwhile(found)] if **found == meanwhile(1)));
    assert_eq!(rig.holding(), [(1, 1)], "once");
    rig.close();
    let mut peer = rig.connect();
    assert_eq!(peer.heard(), [ready(1)], "the slot is busy, and the report is not to be sent");
    rig.assign(1);
    rig.acknowledge(1);
    assert_eq!(rig.holding(), [(1, 1)], "nothing was sent that could be acknowledged");
    assert!(rig.changes().is_empty());
    rig.finish(0, 1);
    assert!(matches!(&rig.changes()[..], [Change::Put(found)] if **found == report(1)));
    assert_eq!(rig.holding(), [(1, 1)]);
    rig.sendable(1);
    assert_eq!(peer.heard().last(), Some(&reported(1)));
    rig.acknowledge(1);
    assert!(matches!(&rig.changes()[..], [Change::Remove(_)]));
    assert_eq!(rig.holding(), []);
}

#[tokio::test]
async fn a_stop_of_what_is_measured_gives_its_state_up_and_not_its_result() {
    let mut rig = rig(1);
    let mut peer = rig.connect();
    rig.assign(1);
    rig.measure(0, 1);
    rig.told(0);
    rig.stop(1);
    assert!(matches!(&rig.told(0)[..], [SlotCommand::Stop(id)] if *id == attempt_id(1, 1)));
    rig.finish(0, 1);
    rig.sendable(1);
    assert!(peer.heard().contains(&reported(1)));
    // Of what was stopped before, nothing is kept.
    rig.assign(2);
    rig.stop(2);
    rig.changes();
    rig.measure(0, 2);
    rig.finish(0, 2);
    assert!(rig.changes().is_empty());
}

#[tokio::test]
async fn a_drain_out_of_time_waits_for_the_report_of_what_is_measured() {
    let mut rig = rig(1);
    let mut peer = rig.connect();
    rig.assign(1);
    rig.measure(0, 1);
    rig.supervisor.on_drain();
    rig.supervisor.on_deadline();
    rig.supervisor.go_on();
    assert!(matches!(rig.told(0).last(), Some(SlotCommand::Leave)));
    let goodbye = worker_message::Message::Goodbye(Goodbye {});
    assert!(!peer.heard().contains(&goodbye), "the slot has a result to say");
    rig.finish(0, 1);
    rig.sendable(1);
    assert_eq!(peer.heard(), [reported(1)]);
    rig.acknowledge(1);
    assert_eq!(peer.heard(), [goodbye]);
}

#[tokio::test]
async fn evaluations_go_on_without_a_connection() {
    let mut rig = rig(1);
    let _ = rig.connect();
    rig.assign(1);
    rig.assign(2);
    rig.close();
    rig.finish(0, 1);
    rig.sendable(1);
    assert_eq!(rig.told(0).len(), 2, "the prefetched task has begun");
    let mut peer = rig.connect();
    assert_eq!(peer.heard(), [reported(1), ready(1)]);
}

#[tokio::test]
async fn a_stopped_attempt_is_neither_held_nor_reported() {
    let mut rig = rig(1);
    let mut peer = rig.connect();
    rig.assign(1);
    rig.assign(2);
    rig.told(0);
    peer.heard();
    rig.stop(2);
    assert_eq!(peer.heard(), [ready(1)]);
    rig.stop(1);
    assert!(matches!(&rig.told(0)[..], [SlotCommand::Stop(id)] if *id == attempt_id(1, 1)));
    assert_eq!(rig.holding(), []);
    rig.stop(77);
    rig.finish(0, 1);
    assert_eq!(peer.heard(), [ready(1)]);
    assert!(rig.changes().is_empty());
}

/// Somebody else has the task: what the attempt took counts, and what has not begun took nothing.
#[tokio::test]
async fn the_end_of_a_superseded_attempt_is_reported_if_it_has_begun() {
    let mut rig = rig(1);
    let mut peer = rig.connect();
    rig.assign(1);
    rig.assign(2);
    rig.told(0);
    peer.heard();
    rig.stop_for(2, StopReason::Superseded);
    rig.stop_for(1, StopReason::Superseded);
    assert!(matches!(&rig.told(0)[..], [SlotCommand::Stop(id)] if *id == attempt_id(1, 1)));
    assert_eq!(rig.holding(), [(1, 1)]);
    rig.finish(0, 1);
    rig.sendable(1);
    assert!(peer.heard().contains(&reported(1)));
}

#[tokio::test]
async fn the_end_of_a_hopeless_attempt_is_reported() {
    let mut rig = rig(1);
    let mut peer = rig.connect();
    rig.assign(1);
    rig.told(0);
    peer.heard();
    for _ in 0..2 {
        let reason = StopReason::Hopeless.into();
        rig.receive(coordinator_message::Message::Stop(Stop { task: 1, attempt: 1, reason }));
    }
    assert!(matches!(&rig.told(0)[..], [SlotCommand::Stop(_), SlotCommand::Stop(_)]));
    assert_eq!(rig.holding().len(), 1, "it is still in work");
    rig.finish(0, 1);
    rig.sendable(1);
    assert!(peer.heard().contains(&reported(1)));
}

#[tokio::test]
async fn a_preempted_attempt_is_asked_for_its_state_and_reported() {
    let mut rig = rig(1);
    let mut peer = rig.connect();
    rig.assign(1);
    rig.assign(2);
    rig.told(0);
    peer.heard();
    let preempt = |rig: &mut Rig, task| {
        let reason = StopReason::Preempted.into();
        rig.receive(coordinator_message::Message::Stop(Stop { task, attempt: 1, reason }));
    };
    // Told again, it is asked again; what waited has nothing to leave and says so.
    for _ in 0..2 {
        preempt(&mut rig, 1);
        preempt(&mut rig, 2);
    }
    assert!(matches!(&rig.told(0)[..], [SlotCommand::Yield(_), SlotCommand::Yield(_)]));
    assert!(rig.holding().contains(&(1, 1)), "it is still in work");
    rig.finish(0, 1);
    rig.sendable(1);
    rig.sendable(2);
    let heard = peer.heard();
    assert!(heard.contains(&reported(1)), "{heard:?}");
    let left = heard.iter().filter_map(|message| match message {
        worker_message::Message::Report(report) if report.task == 2 => report.outcome.as_ref(),
        _ => None,
    });
    let left: Vec<_> = left.filter_map(|outcome| outcome.outcome.as_ref()).collect();
    let preempted = |failure: &Failure| failure.kind() == FailureKind::Preempted;
    assert!(
        matches!(&left[..], [outcome::Outcome::Failed(failure)] if preempted(failure)),
        "{heard:?}"
    );
    // Nobody wants it after all.
    rig.assign(3);
    rig.told(0);
    preempt(&mut rig, 3);
    rig.stop(3);
    assert!(matches!(&rig.told(0)[..], [SlotCommand::Yield(_), SlotCommand::Stop(_)]));
    assert!(!rig.holding().contains(&(3, 1)));
}

#[tokio::test]
async fn a_stop_that_crosses_a_report_does_not_lose_it() {
    let mut rig = rig(1);
    let mut peer = rig.connect();
    rig.assign(1);
    rig.finish(0, 1);
    rig.stop(1);
    rig.sendable(1);
    assert!(peer.heard().contains(&reported(1)));
    assert_eq!(rig.holding(), [(1, 1)]);
}

#[tokio::test]
async fn an_assignment_of_what_is_finished_is_answered_with_its_report() {
    let mut rig = rig_with(1, &[5]);
    rig.health(0, SlotHealth::Ready);
    let mut peer = rig.connect();
    peer.heard();
    rig.assign(5);
    assert_eq!(peer.heard(), [reported(5), ready(1)]);
    assert!(rig.told(0).is_empty());
}

#[tokio::test]
async fn progress_of_wanted_attempts_is_forwarded() {
    let mut rig = rig(1);
    let mut peer = rig.connect();
    rig.assign(1);
    peer.heard();
    let progress = Progress { task: 1, attempt: 1, step: 3, ..Progress::default() };
    rig.supervisor.on_slot(SlotEvent::Progress(progress.clone()));
    assert_eq!(peer.heard(), [worker_message::Message::Progress(progress.clone())]);
    rig.stop(1);
    rig.supervisor.on_slot(SlotEvent::Progress(progress));
    assert_eq!(peer.heard(), []);
}

#[tokio::test]
async fn tasks_that_no_slot_can_take_are_handed_back() {
    let mut rig = rig(1);
    let mut peer = rig.connect();
    rig.health(0, SlotHealth::Restarting);
    rig.assign(1);
    peer.heard();
    assert!(rig.told(0).is_empty());
    rig.health(0, SlotHealth::Bad);
    rig.sendable(1);
    let heard = peer.heard();
    assert_eq!(heard.len(), 1, "no credit for a bad slot");
    assert_eq!(failed_kind(&heard[0]), (1, FailureKind::BadNode));
    rig.health(0, SlotHealth::Ready);
    assert_eq!(peer.heard(), [ready(1)], "one unit was announced before");
}

#[tokio::test]
async fn a_worker_that_works_again_registers_anew_when_it_was_heard_why_it_did_not() {
    let mut rig = rig(1);
    let mut peer = rig.connect();
    rig.health(0, SlotHealth::Restarting);
    rig.assign(1);
    rig.health(0, SlotHealth::Bad);
    rig.health(0, SlotHealth::Ready);
    rig.assign(2);
    rig.sendable(1);
    assert_eq!(peer.abandoned(), None, "the report would bar it after that");
    rig.acknowledge(1);
    assert_eq!(peer.abandoned(), Some(Abandoned::Renewed));
    assert_eq!(rig.supervisor.next_heartbeat(), None);
    rig.finish(0, 2);
    rig.sendable(2);
    rig.close();
    let mut peer = rig.open();
    let [worker_message::Message::Register(register)] = &peer.heard()[..] else { panic!() };
    assert_eq!(register.holding, [TaskAttempt { task: 2, attempt: 1 }], "it goes on");
    rig.registered();
    assert_eq!(peer.heard(), [reported(2), ready(2)]);
    rig.health(0, SlotHealth::Restarting);
    rig.health(0, SlotHealth::Ready);
    assert_eq!(peer.abandoned(), None, "once");
}

#[tokio::test]
async fn a_task_that_one_of_several_slots_hands_back_bars_no_worker_for_good() {
    let mut rig = rig(2);
    let mut peer = rig.connect();
    // The evaluator's own reasons stay.
    rig.assign(1);
    rig.finish_with(0, bad_node(1));
    rig.sendable(1);
    rig.acknowledge(1);
    assert_eq!(peer.abandoned(), None);
    rig.assign(2);
    rig.health(0, SlotHealth::Bad);
    rig.finish_with(0, bad_node(2));
    rig.sendable(2);
    assert_eq!(peer.abandoned(), None);
    rig.acknowledge(2);
    assert_eq!(peer.abandoned(), Some(Abandoned::Renewed), "the other slot works");
}

#[tokio::test]
async fn a_worker_whose_disk_is_full_registers_all_the_same() {
    let mut rig = rig(1);
    // Nothing can be written in its place.
    std::fs::create_dir(rig.root.path().join("session.tmp")).unwrap();
    let mut sessions = Vec::new();
    for _ in 0..3 {
        let mut peer = rig.open();
        let heard = peer.heard();
        let [worker_message::Message::Register(register)] = &heard[..] else { panic!("{heard:?}") };
        sessions.push(register.session);
        rig.close();
    }
    assert!(sessions.is_sorted_by(|a, b| a < b), "{sessions:?}");
}

#[tokio::test]
async fn a_drain_finishes_what_runs_hands_back_the_rest_and_says_goodbye() {
    let mut rig = rig(1);
    let mut peer = rig.connect();
    rig.assign(1);
    rig.assign(2);
    peer.heard();
    rig.supervisor.on_drain();
    rig.supervisor.go_on();
    assert_eq!(peer.heard(), [worker_message::Message::Draining(Draining {})]);
    rig.sendable(2);
    assert_eq!(failed_kind(&peer.heard()[0]), (2, FailureKind::Preempted));
    rig.assign(3);
    rig.sendable(3);
    assert_eq!(failed_kind(&peer.heard()[0]), (3, FailureKind::Preempted));
    rig.acknowledge(2);
    rig.acknowledge(3);
    rig.told(0);
    rig.finish(0, 1);
    rig.sendable(1);
    assert_eq!(peer.heard(), [reported(1)], "no credit");
    assert!(matches!(&rig.told(0)[..], [SlotCommand::Leave]));
    assert!(!rig.supervisor.is_done());
    rig.acknowledge(1);
    assert_eq!(peer.heard(), [worker_message::Message::Goodbye(Goodbye {})]);
    assert!(peer.is_closed());
    assert!(!rig.supervisor.is_done(), "the goodbye may still be on its way");
    rig.close();
    assert!(rig.supervisor.is_done());
}

#[tokio::test]
async fn a_drain_out_of_time_leaves_with_reports_kept() {
    let mut rig = rig(1);
    let mut peer = rig.connect();
    rig.assign(1);
    rig.supervisor.on_drain();
    rig.supervisor.go_on();
    assert!(rig.supervisor.deadline().is_some());
    rig.supervisor.on_deadline();
    rig.supervisor.go_on();
    assert!(matches!(rig.told(0).last(), Some(SlotCommand::Leave)));
    let heard = peer.heard();
    assert_eq!(heard.last(), Some(&worker_message::Message::Goodbye(Goodbye {})));
    rig.supervisor.on_deadline();
    assert!(rig.supervisor.is_done());
}

#[tokio::test]
async fn without_acknowledgements_the_drain_ends_all_the_same() {
    let mut rig = rig_with(1, &[4]);
    rig.supervisor.on_drain();
    rig.supervisor.go_on();
    assert!(!rig.supervisor.is_done());
    rig.supervisor.on_deadline();
    assert!(rig.supervisor.is_done());
    assert!(rig.changes().is_empty(), "the report stays");
}

#[tokio::test]
async fn the_coordinators_drain_has_no_limit_until_a_signal_sets_one() {
    let mut rig = rig(1);
    let _peer = rig.connect();
    rig.assign(1);
    rig.receive(coordinator_message::Message::Drain(Drain {}));
    assert_eq!(rig.supervisor.deadline(), None);
    rig.supervisor.on_drain();
    assert!(rig.supervisor.deadline().is_some());
}

#[tokio::test]
async fn leaving_says_goodbye_at_once() {
    let mut rig = rig(1);
    let mut peer = rig.connect();
    rig.assign(1);
    rig.supervisor.on_leave();
    rig.supervisor.go_on();
    assert_eq!(peer.heard().last(), Some(&worker_message::Message::Goodbye(Goodbye {})));
    assert!(matches!(rig.told(0).last(), Some(SlotCommand::Leave)));
    let mut late = rig.open();
    assert!(late.is_closed(), "no new stream");
}

#[tokio::test]
async fn a_coordinator_that_does_not_read_is_abandoned() {
    let mut rig = rig(1);
    let mut peer = rig.connect();
    for _ in 0..OUTGOING_MESSAGES {
        rig.supervisor.on_heartbeat();
    }
    assert_eq!(peer.abandoned(), Some(Abandoned::Unread));
    peer.heard();
    assert!(peer.is_closed());
    rig.assign(1);
    assert!(rig.told(0).is_empty(), "what it said before does not count any more");
}

#[tokio::test]
async fn heartbeats_are_at_least_four_a_lease() {
    let mut rig = rig(1);
    let mut peer = rig.open();
    peer.heard();
    let before = Instant::now();
    let registered = Registered { worker: 1, lease_micros: 4_000_000 };
    rig.receive(coordinator_message::Message::Registered(registered));
    let next = rig.supervisor.next_heartbeat().unwrap();
    assert!(next <= Instant::now() + Duration::from_secs(1) && next > before);
    rig.assign(1);
    peer.heard();
    rig.supervisor.on_heartbeat();
    let holding = vec![TaskAttempt { task: 1, attempt: 1 }];
    assert_eq!(peer.heard(), [worker_message::Message::Heartbeat(Heartbeat { holding })]);
}
