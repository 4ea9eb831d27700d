//! Results whose state is on its way when the agent ends. The evaluator is a script that leaves a state, and
//! the first coordinator takes connections and says nothing, so that no state ever arrives.

use std::net::TcpListener;
use std::time::Duration;

use cambrian_proto::v1::{
    Assignment, Capabilities, EvaluationEnded, EvaluatorMessage, Hello, Measurements, Outcome,
    Report, TaskAttempt, evaluator_message, outcome,
};
use cambrian_worker::EvaluatorCommand;
use prost::Message;

use super::{Rig, assignment, ended, measured, wait_for_goodbye};
use crate::fake_coordinator::FakeCoordinator;

/// Evaluates the first attempt of task 1 and leaves a state.
fn script() -> String {
    let hello = Hello { protocol: 1, capabilities: Some(Capabilities::default()) };
    let measured = outcome::Outcome::Measured(Measurements::default());
    let ended = EvaluationEnded {
        attempt: Some(TaskAttempt { task: 1, attempt: 1 }),
        outcome: Some(Outcome { outcome: Some(measured), ..Outcome::default() }),
        energy_joules: None,
    };
    let printed = |message| {
        let bytes = EvaluatorMessage { message: Some(message) }.encode_length_delimited_to_vec();
        bytes.iter().map(|byte| format!("\\{byte:03o}")).collect::<String>()
    };
    format!(
        "printf '{}'; head -c 1 >/dev/null; echo state >checkpoint-1-1; printf '{}'; exec sleep 600",
        printed(evaluator_message::Message::Hello(hello)),
        printed(evaluator_message::Message::Ended(ended)),
    )
}

/// An agent that has a result whose state is on its way; its report is in the outbox.
async fn keeping(coordinator: &mut FakeCoordinator, silent: &TcpListener) -> Rig {
    let silent = format!("http://{}", silent.local_addr().unwrap());
    let mut rig = Rig::new(&[silent, coordinator.url()]);
    rig.config.evaluator =
        EvaluatorCommand { program: "sh".into(), arguments: vec!["-c".to_owned(), script()] };
    rig.config.timing.registration = Duration::from_secs(1);
    rig.config.timing.drain = Duration::from_millis(300);
    rig.start();
    let mut stream = coordinator.accept().await;
    let mut kept = Assignment { keep: true, ..assignment(1, "{}") };
    kept.stage.as_mut().unwrap().measures.clear();
    stream.assign(kept).await;
    rig.outbox_is(&["1-1.report"]).await;
    assert_eq!(stream.heartbeat().await, [(1, 1)], "it is held, once");
    drop(stream);
    rig
}

fn is_stateless(report: &Report) {
    assert_eq!(measured(report).len(), 0);
    let outcome = report.outcome.as_ref().unwrap();
    assert!(outcome.checkpoint.is_empty());
    assert!(outcome.note.contains("the worker ended before its state"), "{}", outcome.note);
}

#[tokio::test]
async fn a_killed_agent_has_the_result_whose_state_was_on_its_way() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut coordinator = FakeCoordinator::start().await;
    let mut rig = keeping(&mut coordinator, &silent).await;
    rig.kill().await;
    rig.start();
    let mut stream = coordinator.accept().await;
    assert_eq!(stream.holding(), [(1, 1)]);
    let report = stream.report().await;
    is_stateless(&report);
    stream.acknowledge(&report).await;
    rig.outbox_is(&[]).await;
}

#[tokio::test]
async fn a_drain_out_of_time_reports_the_result_whose_state_was_on_its_way() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut coordinator = FakeCoordinator::start().await;
    let mut rig = keeping(&mut coordinator, &silent).await;
    let mut stream = coordinator.accept().await;
    let (agent, _leave) = rig.drain();
    let report = stream.report().await;
    is_stateless(&report);
    stream.acknowledge(&report).await;
    wait_for_goodbye(&mut stream).await;
    drop(stream);
    ended(agent).await;
    assert_eq!(rig.outbox(), [] as [&str; 0]);
}

#[tokio::test]
async fn what_leaves_at_once_keeps_the_result_for_its_next_start() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut coordinator = FakeCoordinator::start().await;
    let mut rig = keeping(&mut coordinator, &silent).await;
    let mut stream = coordinator.accept().await;
    let (agent, leave) = rig.drain();
    leave.send(()).unwrap();
    wait_for_goodbye(&mut stream).await;
    drop(stream);
    ended(agent).await;
    rig.start();
    let mut stream = coordinator.accept().await;
    is_stateless(&stream.report().await);
}
