//! The agent against a scripted coordinator on a real socket, with real evaluator processes.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod fake_coordinator;
mod keeping;
mod program;
mod python;
mod recovery;

use std::path::Path;
use std::time::Duration;

use cambrian_core::graph::{GraphBuilder, Op, Shape};
use cambrian_proto::v1::worker_message::Message as Up;
use cambrian_proto::v1::{
    Assignment, CandidateId, Failure, FailureKind, Graph, Measurement, Report, Stage, outcome,
};
use cambrian_worker::{Agent, AgentConfig, AgentError, EvaluatorCommand};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use fake_coordinator::{FakeCoordinator, FakeStream, PATIENCE};

const SYNTHETIC: &str = env!("CARGO_BIN_EXE_cambrian-evaluator-synthetic");

/// An agent in this process.
struct Rig {
    config: AgentConfig,
    root: TempDir,
    running: Option<Running>,
}

/// An agent that runs, with what sends it the first and the second signal.
struct Running {
    task: JoinHandle<Result<(), AgentError>>,
    drain: oneshot::Sender<()>,
    leave: oneshot::Sender<()>,
}

impl Rig {
    /// An agent with the synthetic evaluator that has not started.
    fn new(coordinators: &[String]) -> Self {
        let root = tempfile::tempdir().unwrap();
        let evidence = root.path().join("evidence");
        let arguments = ["--dataset", "fashion-mnist", "--evidence", evidence.to_str().unwrap()];
        let evaluator = EvaluatorCommand {
            program: SYNTHETIC.into(),
            arguments: arguments.map(str::to_owned).into(),
        };
        let mut config = AgentConfig::new("", &root.path().join("state"), evaluator);
        config.coordinators = coordinators.to_vec();
        config.timing.stop_grace = Duration::from_millis(200);
        config.timing.reconnect_first = Duration::from_millis(10);
        config.timing.reconnect_longest = Duration::from_millis(100);
        config.timing.restart_first = Duration::from_millis(10);
        config.timing.restart_longest = Duration::from_millis(50);
        config.timing.progress_interval = Duration::from_millis(1);
        config.timing.acknowledgement = Duration::from_secs(20);
        Self { config, root, running: None }
    }

    fn start(&mut self) {
        let (drain, drained) = oneshot::channel::<()>();
        let (leave, left) = oneshot::channel::<()>();
        let told = |signal: oneshot::Receiver<()>| async {
            if signal.await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let agent = Agent::new(self.config.clone());
        let task = tokio::spawn(agent.run_until(told(drained), told(left)));
        self.running = Some(Running { task, drain, leave });
    }

    /// Ends it as abruptly as kill -9.
    async fn kill(&mut self) {
        let Running { task, .. } = self.running.take().unwrap();
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
    }

    /// Sends the first signal and returns its task and the second signal's sender.
    fn drain(&mut self) -> (JoinHandle<Result<(), AgentError>>, oneshot::Sender<()>) {
        let Running { task, drain, leave } = self.running.take().unwrap();
        drain.send(()).unwrap();
        (task, leave)
    }

    fn evidence(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.root.path().join("evidence")).unwrap();
        text.lines().map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect()
    }

    fn outbox(&self) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(self.root.path().join("state/outbox"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// Waits until the outbox holds exactly these files.
    async fn outbox_is(&self, expected: &[&str]) {
        let same = async {
            while self.outbox() != expected {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        assert!(timeout(PATIENCE, same).await.is_ok(), "the outbox holds {:?}", self.outbox());
    }
}

async fn started() -> (FakeCoordinator, Rig) {
    let coordinator = FakeCoordinator::start().await;
    let mut rig = Rig::new(&[coordinator.url()]);
    rig.start();
    (coordinator, rig)
}

async fn ended(task: JoinHandle<Result<(), AgentError>>) {
    timeout(PATIENCE, task).await.expect("the agent does not end").unwrap().unwrap();
}

fn graph() -> Graph {
    let mut builder = GraphBuilder::new(Shape::Vector { features: 8 });
    let input = builder.input();
    let output = builder.add(Op::Linear { out_features: 10, bias: true }, &[input]).unwrap();
    Graph::from(&builder.finish(output).unwrap())
}

fn assignment(task: u64, settings: &str) -> Assignment {
    Assignment {
        task,
        attempt: 1,
        candidate: Some(CandidateId { campaign: 1, ordinal: 1 }),
        graph: Some(graph()),
        genotype: "x".to_owned(),
        stage: Some(Stage {
            name: "made up".to_owned(),
            evaluator: "synthetic".to_owned(),
            settings_json: settings.to_owned(),
            measures: vec!["accuracy".to_owned(), "energy".to_owned()],
            dataset: String::new(),
            timeout_micros: 60_000_000,
            labels: [].into(),
        }),
        seed: 7,
        ..Assignment::default()
    }
}

/// An evaluation that takes longer than the test.
fn endless(task: u64) -> Assignment {
    assignment(task, r#"{"seconds": 3000.0, "steps": 100000}"#)
}

fn measured(report: &Report) -> &[Measurement] {
    match report.outcome.as_ref().unwrap().outcome.as_ref().unwrap() {
        outcome::Outcome::Measured(found) => &found.measurements,
        outcome::Outcome::Failed(failure) => panic!("{failure:?}"),
    }
}

fn failed(report: &Report) -> &Failure {
    match report.outcome.as_ref().unwrap().outcome.as_ref().unwrap() {
        outcome::Outcome::Failed(failure) => failure,
        outcome::Outcome::Measured(found) => panic!("{found:?}"),
    }
}

async fn fault(settings: &str, timeout_micros: u64) -> Failure {
    let (mut coordinator, _rig) = started().await;
    let mut stream = coordinator.accept().await;
    let mut first = assignment(1, settings);
    first.stage.as_mut().unwrap().timeout_micros = timeout_micros;
    stream.assign(first).await;
    let report = stream.report().await;
    stream.acknowledge(&report).await;
    // Whatever happened to the first one, the slot works again.
    stream.assign(assignment(2, "{}")).await;
    let second = stream.report().await;
    assert_eq!(second.task, 2);
    assert_eq!(measured(&second).len(), 2);
    failed(&report).clone()
}

#[tokio::test]
async fn a_task_goes_all_the_way() {
    let mut coordinator = FakeCoordinator::start().await;
    let mut rig = Rig::new(&[coordinator.url()]);
    rig.config.name = Some("left".to_owned());
    rig.config.slots = 2;
    rig.config.labels = [("rack".to_owned(), "7".to_owned())].into();
    rig.start();
    let mut stream = coordinator.accept().await;
    assert_eq!(stream.register.name, "left");
    assert!(stream.register.holding.is_empty());
    let capabilities = stream.register.capabilities.clone().unwrap();
    assert_eq!((capabilities.slots, capabilities.labels["rack"].as_str()), (2, "7"));
    assert_eq!(capabilities.evaluators[0].name, "synthetic");
    assert_eq!(capabilities.datasets, ["fashion-mnist"]);
    stream.full_credit(4).await;

    stream.assign(assignment(1, r#"{"seconds": 0.1, "steps": 5}"#)).await;
    let progress = stream
        .wait_for(|message| match message {
            Up::Progress(progress) => Some(progress),
            _ => None,
        })
        .await;
    assert_eq!((progress.task, progress.attempt, progress.steps), (1, 1, 5));
    let report = stream.report().await;
    let found = measured(&report);
    assert_eq!([&found[0].metric, &found[1].metric], ["accuracy", "energy"]);
    assert_eq!(found[0].provenance.as_ref().unwrap().source, "synthetic");
    assert!(report.outcome.as_ref().unwrap().elapsed_micros > 0);
    assert_eq!(rig.outbox(), ["1-1.report"], "it was stored before it was sent");
    stream.full_credit(4).await;
    assert_eq!(stream.heartbeat().await, [(1, 1)]);
    stream.acknowledge(&report).await;
    while !stream.heartbeat().await.is_empty() {}
    rig.outbox_is(&[]).await;
    assert_eq!(rig.evidence(), ["1 1"]);
}

#[tokio::test]
async fn tasks_are_prefetched_and_run_one_after_the_other() {
    let (mut coordinator, rig) = started().await;
    let mut stream = coordinator.accept().await;
    stream.full_credit(2).await;
    for task in 1..=20 {
        stream.credit_of_at_least(1).await;
        stream.assign(assignment(task, "{}")).await;
        if task >= 2 {
            let report = stream.report().await;
            assert_eq!(report.task, task - 1);
            stream.acknowledge(&report).await;
        }
    }
    assert_eq!(stream.report().await.task, 20);
    assert_eq!(rig.evidence().len(), 20);
}

#[tokio::test]
async fn evaluations_go_on_while_disconnected_and_are_reported_after_it() {
    let (mut coordinator, rig) = started().await;
    let mut stream = coordinator.accept().await;
    stream.assign(assignment(1, r#"{"seconds": 0.2}"#)).await;
    stream.assign(assignment(2, r#"{"seconds": 0.2}"#)).await;
    while stream.heartbeat().await.len() < 2 {}
    let first_session = stream.register.session;
    drop(stream);
    let address = coordinator.die().await;
    rig.outbox_is(&["1-1.report", "2-1.report"]).await;

    let mut coordinator = FakeCoordinator::again(address).await;
    let mut stream = coordinator.accept().await;
    assert!(stream.register.session > first_session);
    assert_eq!(stream.holding(), [(1, 1), (2, 1)]);
    let (first, second) = (stream.report().await, stream.report().await);
    assert_eq!((first.task, second.task), (1, 2));
    stream.full_credit(2).await;
    // Not acknowledged: both come again, and only once each on a stream.
    drop(stream);
    let mut stream = coordinator.accept().await;
    assert_eq!([stream.report().await, stream.report().await], [first.clone(), second.clone()]);
    stream.acknowledge(&first).await;
    stream.acknowledge(&second).await;
    while !stream.heartbeat().await.is_empty() {}
    rig.outbox_is(&[]).await;
    assert_eq!(rig.evidence(), ["1 1", "2 1"], "nothing was evaluated twice");
}

#[tokio::test]
async fn a_restarted_agent_sends_what_it_had_finished_and_has_forgotten_the_rest() {
    let (mut coordinator, mut rig) = started().await;
    let mut stream = coordinator.accept().await;
    stream.assign(assignment(1, "{}")).await;
    stream.assign(endless(2)).await;
    let report = stream.report().await;
    while !stream.heartbeat().await.contains(&(2, 1)) {}
    let before = stream.register.clone();
    rig.kill().await;
    let damaged = rig.root.path().join("state/outbox/9-1.report");
    std::fs::write(&damaged, "cambrian report 1\nnot quite").unwrap();

    rig.start();
    let mut stream = coordinator.accept().await;
    assert_eq!(stream.register.name, before.name);
    assert!(stream.register.session > before.session);
    assert_eq!(stream.holding(), [(1, 1)]);
    assert_eq!(stream.report().await, report);
    stream.acknowledge(&report).await;
    rig.outbox_is(&["9-1.report.corrupt"]).await;
}

#[tokio::test]
async fn a_stopped_evaluation_frees_its_slot_and_leaves_no_trace() {
    let (mut coordinator, rig) = started().await;
    let mut stream = coordinator.accept().await;
    stream.assign(endless(1)).await;
    stream.assign(endless(2)).await;
    while stream.heartbeat().await.len() < 2 {}
    stream.stop(2, 1).await;
    stream.stop(1, 1).await;
    stream.stop(77, 1).await;
    while !stream.heartbeat().await.is_empty() {}
    stream.full_credit(2).await;
    stream.assign(assignment(3, "{}")).await;
    assert_eq!(stream.report().await.task, 3);
    assert_eq!(rig.evidence(), ["3 1"]);
}

#[tokio::test]
async fn an_evaluator_that_does_not_stop_is_replaced() {
    let (mut coordinator, _rig) = started().await;
    let mut stream = coordinator.accept().await;
    stream.assign(assignment(1, r#"{"faults": {"hang": 1.0}}"#)).await;
    while stream.heartbeat().await.is_empty() {}
    stream.stop(1, 1).await;
    stream.assign(assignment(2, "{}")).await;
    let report = stream.report().await;
    assert_eq!((report.task, measured(&report).len()), (2, 2));
}

#[tokio::test]
async fn a_hang_is_a_timeout() {
    let failure = fault(r#"{"faults": {"hang": 1.0}}"#, 100_000).await;
    assert_eq!(failure.kind(), FailureKind::Timeout);
    assert!(failure.message.contains("made up") && failure.message.contains("0.1 s"));
}

#[tokio::test]
async fn a_slow_evaluation_that_stops_when_asked_is_a_timeout_too() {
    let failure = fault(r#"{"seconds": 3000.0}"#, 100_000).await;
    assert_eq!(failure.kind(), FailureKind::Timeout);
}

#[tokio::test]
async fn a_crash_names_the_signal_and_the_last_words() {
    let failure = fault(r#"{"faults": {"crash": 1.0}}"#, 60_000_000).await;
    assert_eq!(failure.kind(), FailureKind::Crash);
    assert!(failure.message.contains("SIGABRT"), "{}", failure.message);
    assert!(failure.message.contains("a synthetic fault"), "{}", failure.message);
}

#[tokio::test]
async fn nan_becomes_a_typed_failure() {
    let failure = fault(r#"{"faults": {"non_finite": 1.0}}"#, 60_000_000).await;
    assert_eq!(failure.kind(), FailureKind::NonFinite);
    assert!(failure.message.contains("accuracy"), "{}", failure.message);
}

#[tokio::test]
async fn out_of_memory_is_passed_on() {
    let failure = fault(r#"{"faults": {"out_of_memory": 1.0}}"#, 60_000_000).await;
    assert_eq!(failure.kind(), FailureKind::OutOfMemory);
}

#[tokio::test]
async fn a_broken_protocol_is_a_crash() {
    let failure = fault(r#"{"faults": {"protocol_error": 1.0}}"#, 60_000_000).await;
    assert_eq!(failure.kind(), FailureKind::Crash);
    assert!(failure.message.contains("protocol"), "{}", failure.message);
}

#[tokio::test]
async fn settings_that_cannot_be_read_are_invalid() {
    let failure = fault(r#"{"secods": 1}"#, 60_000_000).await;
    assert_eq!(failure.kind(), FailureKind::Invalid);
    assert!(failure.message.contains("secods"), "{}", failure.message);
}

#[tokio::test]
async fn the_first_signal_finishes_what_runs_and_hands_back_what_waits() {
    let (mut coordinator, mut rig) = started().await;
    let mut stream = coordinator.accept().await;
    stream.assign(assignment(1, r#"{"seconds": 0.3}"#)).await;
    stream.assign(assignment(2, "{}")).await;
    while stream.heartbeat().await.len() < 2 {}
    let (agent, _leave) = rig.drain();
    let handed_back = stream.report().await;
    assert_eq!((handed_back.task, failed(&handed_back).kind()), (2, FailureKind::Preempted));
    let finished = stream.report().await;
    assert_eq!((finished.task, measured(&finished).len()), (1, 2));
    stream.acknowledge(&handed_back).await;
    stream.acknowledge(&finished).await;
    wait_for_goodbye(&mut stream).await;
    assert_eq!(stream.next().await, None);
    drop(stream);
    ended(agent).await;
    assert_eq!(rig.outbox(), [] as [&str; 0]);
    assert_eq!(rig.evidence(), ["1 1"]);
}

async fn wait_for_goodbye(stream: &mut FakeStream) {
    stream.wait_for(|message| matches!(message, Up::Goodbye(_)).then_some(())).await;
}

#[tokio::test]
async fn a_drain_that_runs_out_of_time_hands_everything_back() {
    let mut coordinator = FakeCoordinator::start().await;
    let mut rig = Rig::new(&[coordinator.url()]);
    rig.config.timing.drain = Duration::from_millis(50);
    rig.start();
    let mut stream = coordinator.accept().await;
    stream.assign(endless(1)).await;
    let (agent, _leave) = rig.drain();
    wait_for_goodbye(&mut stream).await;
    drop(stream);
    ended(agent).await;
    assert_eq!(rig.outbox(), [] as [&str; 0]);
}

#[tokio::test]
async fn the_second_signal_leaves_at_once() {
    let (mut coordinator, mut rig) = started().await;
    let mut stream = coordinator.accept().await;
    stream.assign(endless(1)).await;
    while stream.heartbeat().await.is_empty() {}
    let (agent, leave) = rig.drain();
    leave.send(()).unwrap();
    wait_for_goodbye(&mut stream).await;
    drop(stream);
    ended(agent).await;
}

#[tokio::test]
async fn the_coordinators_drain_is_followed() {
    let (mut coordinator, mut rig) = started().await;
    let mut stream = coordinator.accept().await;
    stream.assign(assignment(1, r#"{"seconds": 0.2}"#)).await;
    while stream.heartbeat().await.is_empty() {}
    stream.drain().await;
    let report = stream.report().await;
    assert_eq!(measured(&report).len(), 2);
    stream.acknowledge(&report).await;
    wait_for_goodbye(&mut stream).await;
    drop(stream);
    ended(rig.running.take().unwrap().task).await;
}

#[tokio::test]
async fn the_next_coordinator_of_the_list_is_tried() {
    let dead = FakeCoordinator::start().await.die().await;
    let mut coordinator = FakeCoordinator::start().await;
    let mut rig = Rig::new(&[format!("http://{dead}"), coordinator.url()]);
    rig.start();
    coordinator.accept().await.full_credit(2).await;
}

#[tokio::test]
async fn a_coordinator_that_does_not_answer_is_left() {
    let mut silent = FakeCoordinator::start().await;
    let mut coordinator = FakeCoordinator::start().await;
    let mut rig = Rig::new(&[silent.url(), coordinator.url()]);
    rig.config.timing.registration = Duration::from_millis(100);
    rig.start();
    let _unanswered = silent.unanswered().await;
    coordinator.accept().await.full_credit(2).await;
}

#[tokio::test]
async fn a_coordinator_that_does_not_say_registered_first_is_left() {
    let mut rude = FakeCoordinator::start().await;
    let mut coordinator = FakeCoordinator::start().await;
    let mut rig = Rig::new(&[rude.url(), coordinator.url()]);
    rig.start();
    let stream = rude.unanswered().await;
    stream.drain().await;
    coordinator.accept().await.full_credit(2).await;
}

#[tokio::test]
async fn without_an_evaluator_the_agent_does_not_register() {
    let coordinator = FakeCoordinator::start().await;
    let mut rig = Rig::new(&[coordinator.url()]);
    rig.config.slots = 2;
    rig.config.evaluator.program = "./there-is-no-such-evaluator".into();
    let error = Agent::new(rig.config.clone()).run(std::future::pending()).await.unwrap_err();
    let AgentError::NoEvaluator { reason, .. } = &error else { panic!("{error}") };
    assert!(reason.contains("there-is-no-such-evaluator"), "{reason}");
    assert!(error.to_string().contains("--evaluator"), "{error}");
}

#[tokio::test]
async fn a_configuration_that_cannot_work_is_an_error() {
    let try_with = |change: fn(&mut AgentConfig)| async move {
        let mut rig = Rig::new(&["http://127.0.0.1:1".to_owned()]);
        change(&mut rig.config);
        Agent::new(rig.config.clone()).run(std::future::pending()).await.unwrap_err()
    };
    let error = try_with(|config| config.coordinators.clear()).await;
    assert!(matches!(error, AgentError::NoCoordinator), "{error}");
    let error = try_with(|config| config.coordinators = vec!["ftp://x:1".to_owned()]).await;
    assert!(matches!(error, AgentError::Coordinator { .. }), "{error}");
    let error = try_with(|config| config.slots = 0).await;
    assert!(matches!(error, AgentError::NoSlots), "{error}");
    let error = try_with(|config| config.state_dir = Path::new("/dev/null/x").into()).await;
    assert!(matches!(error, AgentError::State(_)), "{error}");
}

#[tokio::test]
async fn two_agents_cannot_share_a_state_directory() {
    let (mut coordinator, rig) = started().await;
    coordinator.accept().await.full_credit(2).await;
    let error = Agent::new(rig.config.clone()).run(std::future::pending()).await.unwrap_err();
    assert!(matches!(error, AgentError::State(_)), "{error}");
}
