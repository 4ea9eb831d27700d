//! The worker's stream over real gRPC: work, repetitions, sessions, silence and garbage.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod scripted;

use std::time::Duration;

use cambrian_coordinator::store::memory::MemoryStore;
use cambrian_coordinator::verify::verify_journal;
use cambrian_proto::v1;
use cambrian_proto::v1::coordinator_message::Message as Down;
use cambrian_proto::v1::worker_message::Message as Up;
use scripted::*;
use tonic::Code;

async fn scored(server: &cambrian_coordinator::server::Server) -> u32 {
    let read = server
        .handle()
        .query(|state| state.campaigns().map(cambrian_core::engine::Campaign::scored).sum());
    read.await.unwrap()
}

#[tokio::test]
async fn a_report_is_counted_once_however_often_it_is_sent() {
    let store = MemoryStore::default();
    let server = serve(store.clone()).await;
    submit(&server, campaign(5)).await;
    let mut worker = Worker::registered(&server, "gpu", 1).await;
    worker.ready(1).await;
    let assignment = worker.assignment().await;
    assert_eq!(assignment.attempt, 1);
    assert_eq!(assignment.stage.as_ref().unwrap().evaluator, "synthetic");
    assert!(assignment.graph.as_ref().unwrap().nodes.len() > 3);
    for _ in 0..3 {
        worker.say(Up::Report(measured(&assignment, 71.0))).await;
        assert_eq!(worker.acknowledged().await, (assignment.task, 1));
    }
    assert_eq!(scored(&server).await, 1);
    stop(server).await;
    let report = verify_journal(&store).unwrap();
    assert!(report.is_sound() && report.completed == 1, "{:?}", report.problems);
}

#[tokio::test]
async fn a_worker_that_comes_back_goes_on_with_what_it_holds() {
    let server = serve_memory().await;
    submit(&server, campaign(5)).await;
    let mut worker = Worker::registered(&server, "gpu", 1).await;
    worker.ready(1).await;
    let assignment = worker.assignment().await;
    drop(worker);
    let mut worker = Worker::holding(&server, "gpu", 2, vec![held(&assignment)]).await;
    worker.say(Up::Report(measured(&assignment, 60.0))).await;
    assert_eq!(worker.acknowledged().await, (assignment.task, assignment.attempt));
    assert_eq!(scored(&server).await, 1);
    stop(server).await;
}

#[tokio::test]
async fn a_silent_worker_loses_its_lease_and_its_late_report_is_dropped() {
    let store = MemoryStore::default();
    let server = serve(store.clone()).await;
    submit(&server, campaign(1)).await;
    let mut silent = Worker::registered(&server, "silent", 1).await;
    silent.ready(1).await;
    let first = silent.assignment().await;
    let mut other = Worker::registered(&server, "other", 1).await;
    other.ready(1).await;
    let second = other.assignment().await;
    assert_eq!((second.task, second.attempt), (first.task, 2));
    assert_eq!(second.seed, first.seed, "another attempt draws other numbers");
    silent.say(Up::Report(measured(&first, 10.0))).await;
    assert_eq!(silent.acknowledged().await, (first.task, 1));
    assert_eq!(scored(&server).await, 0, "a superseded attempt was counted");
    other.say(Up::Report(measured(&second, 20.0))).await;
    other.acknowledged().await;
    assert_eq!(scored(&server).await, 1);
    stop(server).await;
    let report = verify_journal(&store).unwrap();
    assert!(report.is_sound(), "{:?}", report.problems);
    assert_eq!((report.completed, report.lost_attempts), (1, 1));
}

#[tokio::test]
async fn heartbeats_keep_a_lease() {
    let server = serve_memory().await;
    submit(&server, campaign(1)).await;
    let mut worker = Worker::registered(&server, "gpu", 1).await;
    worker.ready(1).await;
    let assignment = worker.assignment().await;
    for _ in 0..8 {
        tokio::time::sleep(Duration::from_millis(250)).await;
        worker.say(Up::Heartbeat(v1::Heartbeat { holding: vec![held(&assignment)] })).await;
    }
    worker.say(Up::Report(measured(&assignment, 10.0))).await;
    assert_eq!(worker.acknowledged().await, (assignment.task, 1));
    assert_eq!(scored(&server).await, 1);
    stop(server).await;
}

#[tokio::test]
async fn a_goodbye_hands_tasks_back_at_once() {
    let server = serve_memory().await;
    submit(&server, campaign(1)).await;
    let mut leaving = Worker::registered(&server, "leaving", 1).await;
    leaving.ready(1).await;
    let first = leaving.assignment().await;
    let mut other = Worker::registered(&server, "other", 1).await;
    other.ready(1).await;
    leaving.say(Up::Goodbye(v1::Goodbye {})).await;
    let second = other.assignment().await;
    assert_eq!((second.task, second.attempt), (first.task, 2));
    assert!(leaving.end().await.is_ok());
    stop(server).await;
}

#[tokio::test]
async fn a_newer_session_ends_the_older_stream() {
    let server = serve_memory().await;
    let old = Worker::registered(&server, "gpu", 5).await;
    let _new = Worker::registered(&server, "gpu", 6).await;
    let status = old.end().await.unwrap_err();
    assert_eq!(status.code(), Code::Aborted);
    assert!(status.message().contains("newer connection"), "{status}");

    let stale = Worker::connect(&server).await;
    stale.say(Up::Register(register("gpu", 6, vec![]))).await;
    let status = stale.end().await.unwrap_err();
    assert_eq!(status.code(), Code::Aborted);
    assert!(status.message().contains("latest"), "{status}");
    stop(server).await;
}

#[tokio::test]
async fn cancelling_stops_what_runs() {
    let server = serve_memory().await;
    let id = submit(&server, campaign(5)).await;
    let mut worker = Worker::registered(&server, "gpu", 1).await;
    worker.ready(1).await;
    let assignment = worker.assignment().await;
    let campaign = reference(&id.to_string());
    client(&server).await.cancel_campaign(v1::CancelCampaignRequest { campaign }).await.unwrap();
    let Down::Stop(stopped) = worker.hear().await else { panic!("not stopped") };
    assert_eq!((stopped.task, stopped.attempt), (assignment.task, assignment.attempt));
    assert_eq!(stopped.reason(), v1::StopReason::Cancelled);
    stop(server).await;
}

#[tokio::test]
async fn a_stream_that_does_not_register_is_refused() {
    let server = serve_memory().await;
    let mute = Worker::connect(&server).await;
    assert_eq!(mute.end().await.unwrap_err().code(), Code::DeadlineExceeded);

    let hasty = Worker::connect(&server).await;
    hasty.ready(1).await;
    let status = hasty.end().await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("first message"), "{status}");
    stop(server).await;
}

#[tokio::test]
async fn a_malformed_registration_names_its_field_and_registers_nobody() {
    let server = serve_memory().await;
    let slotless = Some(v1::Capabilities { slots: 0, ..capabilities() });
    let cases = [
        (v1::Register { name: String::new(), ..register("x", 1, vec![]) }, "register.name"),
        (register("x", 0, vec![]), "register.session"),
        (v1::Register { capabilities: None, ..register("x", 1, vec![]) }, "register.capabilities"),
        (
            v1::Register { capabilities: slotless, ..register("x", 1, vec![]) },
            "register.capabilities.slots",
        ),
        (register("x", 1, vec![v1::TaskAttempt::default()]), "register.holding[0].task"),
    ];
    for (message, field) in cases {
        let worker = Worker::connect(&server).await;
        worker.say(Up::Register(message)).await;
        let status = worker.end().await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().starts_with(&format!("{field}:")), "{status}");
    }
    let workers = server.handle().query(|state| state.workers().count()).await.unwrap();
    assert_eq!(workers, 0);
    stop(server).await;
}

#[tokio::test]
async fn a_malformed_message_ends_its_stream_and_changes_nothing() {
    let server = serve_memory().await;
    submit(&server, campaign(5)).await;
    let unnamed = |assignment: &v1::Assignment| {
        let mut report = measured(assignment, 1.0);
        let outcome = report.outcome.as_mut().unwrap().outcome.as_mut().unwrap();
        let v1::outcome::Outcome::Measured(values) = outcome else { panic!() };
        values.measurements[0].metric.clear();
        report
    };
    for session in 1..=4 {
        let mut worker = Worker::registered(&server, "gpu", session).await;
        worker.ready(1).await;
        let assignment = worker.assignment().await;
        let field = match session {
            1 => {
                worker.say(Up::Report(unnamed(&assignment))).await;
                "report.outcome.measured.measurements[0].metric"
            }
            2 => {
                worker
                    .say(Up::Report(v1::Report { task: 1, attempt: 1, ..Default::default() }))
                    .await;
                "report.outcome"
            }
            3 => {
                worker
                    .say(Up::Heartbeat(v1::Heartbeat { holding: vec![Default::default()] }))
                    .await;
                "heartbeat.holding[0].task"
            }
            _ => {
                worker.say_nothing_at_all().await;
                "message"
            }
        };
        let status = worker.end().await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().starts_with(&format!("{field}:")), "{status}");
    }
    assert_eq!(scored(&server).await, 0);
    stop(server).await;
}

#[tokio::test]
async fn a_result_that_is_not_finite_is_a_failure_and_never_a_score() {
    let server = serve_memory().await;
    submit(&server, campaign(5)).await;
    let mut worker = Worker::registered(&server, "gpu", 1).await;
    worker.ready(1).await;
    let assignment = worker.assignment().await;
    worker.say(Up::Report(measured(&assignment, f64::NAN))).await;
    worker.acknowledged().await;
    let read = server.handle().query(|state| {
        state.campaigns().map(|campaign| (campaign.scored(), campaign.failed())).next()
    });
    assert_eq!(read.await.unwrap(), Some((0, 1)));
    stop(server).await;
}

/// Whatever is let in has to be read by every start after it.
#[tokio::test]
async fn a_coordinator_starts_again_whatever_workers_have_reported() {
    let store = MemoryStore::default();
    let server = serve(store.clone()).await;
    let bounds = "constraints: [{metric: accuracy, at_most: 0.5}]\nbudget:";
    submit(&server, campaign(6).replace("budget:", bounds)).await;
    let extreme = |assignment: &v1::Assignment| {
        let mut report = measured(assignment, f64::MAX);
        report.outcome.as_mut().unwrap().elapsed_micros = u64::MAX;
        v1::Report { energy_joules: Some(f64::MAX), ..report }
    };
    let verbose = |assignment: &v1::Assignment| {
        let message = "\u{fc}".repeat(40_000);
        let failure = v1::Failure { kind: v1::FailureKind::Crash.into(), message };
        let mut report = measured(assignment, 0.0);
        report.outcome.as_mut().unwrap().outcome = Some(v1::outcome::Outcome::Failed(failure));
        report
    };
    let mut one = Worker::registered(&server, "one", 1).await;
    one.ready(2).await;
    let first = one.assignment().await;
    let second = one.assignment().await;
    one.say(Up::Report(extreme(&first))).await;
    assert_eq!(one.acknowledged().await, (first.task, 1));
    one.say(Up::Report(verbose(&second))).await;
    assert_eq!(one.acknowledged().await, (second.task, 1));
    // What has crashed on two workers is given up, and says so at the end of the message.
    let mut other = Worker::registered(&server, "other", 1).await;
    other.ready(2).await;
    let again = other.assignment().await;
    let third = other.assignment().await;
    assert_eq!((again.task, again.attempt), (second.task, 2));
    other.say(Up::Report(verbose(&again))).await;
    assert_eq!(other.acknowledged().await, (again.task, 2));
    other.say(Up::Report(extreme(&third))).await;
    assert_eq!(other.acknowledged().await, (third.task, 1));
    assert_eq!(scored(&server).await, 2);
    stop(server).await;
    let report = verify_journal(&store).unwrap();
    assert!(report.is_sound(), "{:?}", report.problems);
    let server = serve(store).await;
    assert_eq!(scored(&server).await, 2);
    stop(server).await;
}

#[tokio::test]
async fn an_oversized_message_is_refused() {
    let server = serve_memory().await;
    let worker = Worker::registered(&server, "gpu", 1).await;
    let holding = vec![v1::TaskAttempt { task: u64::MAX >> 1, attempt: u32::MAX }; 1_500_000];
    worker.say(Up::Heartbeat(v1::Heartbeat { holding })).await;
    let status = worker.end().await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("too large"), "{status}");
    let _again = Worker::registered(&server, "gpu", 2).await;
    stop(server).await;
}

#[tokio::test]
async fn a_shutdown_tells_workers_to_keep_their_results() {
    let server = serve_memory().await;
    let worker = Worker::registered(&server, "gpu", 1).await;
    server.stop();
    let status = worker.end().await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("keep what is not acknowledged"), "{status}");
    server.join().await.unwrap();
}
