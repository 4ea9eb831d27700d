//! Evaluators that are written in Python with `sdk/python`, under the real supervisor.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use cambrian_core::graph::{FILTERS, Graph, GraphBuilder, NodeId, Op, Shape, Window};
use cambrian_core::rng::{Purpose, stream};
use cambrian_core::space::{SPACES, SearchSpace};
use cambrian_core::spec::Section;
use cambrian_proto::v1::worker_message::Message as Up;
use cambrian_proto::v1::{Assignment, Failure, FailureKind, Measurement, Progress, Report};
use cambrian_worker::{AgentConfig, EvaluatorCommand};

use super::{Rig, assignment, ended, failed, measured};
use crate::fake_coordinator::{FakeCoordinator, FakeStream, PATIENCE};

const EXAMPLE: &str = "examples/plain_perceptron.py";
const FAULTY: &str = "tests/faulty_evaluator.py";

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The directories that Python finds the package and protobuf in, `None` where protobuf is missing,
/// which is said. Continuous integration must not pass over it.
fn python_path() -> Option<String> {
    let root = repository();
    let output = Command::new(root.join("deploy/setup-python")).arg("--if-there").output().unwrap();
    if !output.status.success() {
        let reason = String::from_utf8_lossy(&output.stderr);
        assert!(std::env::var_os("CI").is_none(), "{reason}");
        eprintln!("skipped: {}", reason.trim());
        return None;
    }
    let packages = String::from_utf8(output.stdout).unwrap();
    let sources = root.join("sdk/python/src");
    Some(format!("{}:{}", sources.display(), packages.trim()))
}

/// A worker whose evaluator is this program of `sdk/python`, registered.
async fn started(program: &str) -> Option<(FakeCoordinator, FakeStream, Rig)> {
    started_with(program, |_| {}).await
}

async fn started_with(
    program: &str,
    change: fn(&mut AgentConfig),
) -> Option<(FakeCoordinator, FakeStream, Rig)> {
    let path = python_path()?;
    let mut coordinator = FakeCoordinator::start().await;
    let mut rig = Rig::new(&[coordinator.url()]);
    let program = repository().join("sdk/python").join(program);
    rig.config.evaluator = EvaluatorCommand {
        program: "env".into(),
        arguments: vec![
            format!("PYTHONPATH={path}"),
            "python3".to_owned(),
            program.to_str().unwrap().to_owned(),
        ],
    };
    change(&mut rig.config);
    rig.start();
    let stream = coordinator.accept().await;
    Some((coordinator, stream, rig))
}

fn asked(task: u64, evaluator: &str, measures: &[&str], settings: &str) -> Assignment {
    let mut asked = assignment(task, settings);
    let stage = asked.stage.as_mut().unwrap();
    stage.evaluator = evaluator.to_owned();
    stage.measures = measures.iter().map(|metric| (*metric).to_owned()).collect();
    asked
}

fn perceptron(task: u64, graph: &Graph, settings: &str) -> Assignment {
    let asked = asked(task, "custom/perceptron", &["accuracy", "weights"], settings);
    Assignment { graph: Some(graph.into()), ..asked }
}

async fn progress(stream: &mut FakeStream) -> Progress {
    stream
        .wait_for(|message| match message {
            Up::Progress(progress) => Some(progress),
            _ => None,
        })
        .await
}

/// Every operation once, with unusual settings; a node that the output does not read.
fn zoo() -> Graph {
    let mut builder = GraphBuilder::new(Shape::Map { channels: 4, height: 9, width: 7 });
    let input = builder.input();
    let mut add = |op, inputs: &[NodeId]| builder.add(op, inputs).unwrap();
    let square = Window { kernel: 3, stride: 1, padding: 1 };
    let grouped = Op::Conv2d {
        out_channels: 6,
        window: Window { kernel: 3, stride: 2, padding: 2 },
        dilation: 2,
        groups: 2,
        bias: true,
    };
    let a = add(grouped, &[input]);
    let a = add(Op::BatchNorm, &[a]);
    let a = add(Op::Relu, &[a]);
    let b = add(Op::AvgPool(square), &[a]);
    let c = add(Op::MaxPool(square), &[a]);
    let zero = add(Op::Zero, &[a]);
    let sum = add(Op::Add, &[b, zero, c]);
    let stack = add(Op::Concat, &[sum, a, zero]);
    let flat = add(Op::Flatten, &[stack]);
    let output = add(Op::Linear { out_features: 5, bias: true }, &[flat]);
    let pooled = add(Op::GlobalAvgPool, &[stack]);
    add(Op::Linear { out_features: 7, bias: false }, &[pooled]);

    let gate = add(Op::GlobalAvgPool, &[a]);
    let gate = add(Op::HardSigmoid, &[gate]);
    let mean = add(Op::ChannelMean, &[a]);
    let mean = add(Op::Sigmoid, &[mean]);
    let most = add(Op::ChannelMax, &[a]);
    let product = add(Op::Multiply, &[gate, mean, a, most]);
    let values = add(Op::FilterBank, &[product]);
    let mixed = add(Op::Attention { heads: 3 }, &[a, product, values]);
    let crop = Op::Crop { top: 1, bottom: 2, left: 0, right: 3 };
    let mut last = mixed;
    let first = Op::FirstChannels { channels: 5 };
    for op in [crop, first, Op::Silu, Op::Upsample { factor: 2 }, Op::Flatten, Op::HardSwish] {
        last = add(op, &[last]);
    }
    // Its number of weights follows from all the shapes before it.
    let last = add(Op::Linear { out_features: 5, bias: true }, &[last]);
    let output = add(Op::Add, &[output, last]);
    builder.finish(output).unwrap()
}

/// Networks of a real space.
fn cells() -> impl Iterator<Item = Graph> {
    let sizes = "{channels: 4, cells: 1, input: [3, 8, 8], classes: 10}";
    let entry = SPACES.iter().find(|entry| entry.name == "nasbench201").unwrap();
    let space: Arc<dyn SearchSpace> = (entry.build)(&Section::from_text(sizes).unwrap()).unwrap();
    (0..3).map(move |seed| {
        let genotype = space.schema().sample(&mut stream(seed, Purpose::Evaluation, 0));
        space.lower(&genotype).unwrap()
    })
}

fn value(found: &[Measurement], metric: &str) -> f64 {
    found.iter().find(|found| found.metric == metric).unwrap().value
}

#[tokio::test]
async fn the_example_registers_reports_progress_and_delivers() {
    let Some((_coordinator, mut stream, mut rig)) = started(EXAMPLE).await else { return };
    let capabilities = stream.register.capabilities.clone().unwrap();
    assert!(capabilities.device_class.ends_with(":1t"), "{}", capabilities.device_class);
    let offer = &capabilities.evaluators[0];
    assert_eq!(offer.name, "custom/perceptron");
    assert_eq!(offer.metrics["weights"].source, "counted");

    // Both languages read the same networks.
    for (task, graph) in (1..).zip(cells().chain([zoo()])) {
        stream.credit_of_at_least(1).await;
        stream.assign(perceptron(task, &graph, r#"{"epochs": 3}"#)).await;
        let seen = progress(&mut stream).await;
        assert_eq!((seen.task, seen.steps), (task, 3));
        assert!((0.0..=100.0).contains(&seen.metrics["accuracy"]));
        let report = stream.report().await;
        let found = measured(&report);
        assert_eq!(value(found, "weights"), graph.params() as f64);
        assert_eq!(found[0].provenance.as_ref(), Some(&offer.metrics["accuracy"]));
        stream.acknowledge(&report).await;
    }

    let (agent, _leave) = rig.drain();
    super::wait_for_goodbye(&mut stream).await;
    drop(stream);
    ended(agent).await;
}

#[tokio::test]
async fn the_example_stops_when_asked() {
    // It would rather be waited for than killed.
    let patient = |config: &mut AgentConfig| config.timing.stop_grace = 10 * PATIENCE;
    let started = started_with(EXAMPLE, patient).await;
    let Some((_coordinator, mut stream, _rig)) = started else { return };
    let graph = zoo();
    stream.assign(perceptron(1, &graph, r#"{"epochs": 1000000000}"#)).await;
    assert_eq!(progress(&mut stream).await.task, 1);
    stream.stop(1, 1).await;
    stream.assign(perceptron(2, &graph, r#"{"epochs": 1}"#)).await;
    let report = stream.report().await;
    assert_eq!((report.task, measured(&report).len()), (2, 2));
}

/// How an evaluation that goes this way fails; the slot works afterwards.
async fn fault(way: &str, timeout: Duration) -> Option<Failure> {
    let (_coordinator, mut stream, _rig) = started(FAULTY).await?;
    let settings = |way: &str| format!(r#"{{"way": "{way}"}}"#);
    let mut first = asked(1, "custom/faulty", &["accuracy"], &settings(way));
    first.stage.as_mut().unwrap().timeout_micros = timeout.as_micros() as u64;
    stream.assign(first).await;
    let report: Report = stream.report().await;
    assert_eq!(report.task, 1);
    stream.acknowledge(&report).await;
    stream.assign(asked(2, "custom/faulty", &["latency", "accuracy"], &settings("fine"))).await;
    let second = stream.report().await;
    let found = measured(&second);
    assert_eq!((value(found, "accuracy"), value(found, "latency")), (1.0, 2.5));
    assert_eq!(found[0].spread, Some(0.5));
    Some(failed(&report).clone())
}

async fn assert_fault(way: &str, kind: FailureKind, words: &[&str]) {
    let Some(failure) = fault(way, PATIENCE).await else { return };
    assert_eq!(failure.kind(), kind, "{}", failure.message);
    for part in words {
        assert!(failure.message.contains(part), "{}", failure.message);
    }
}

#[tokio::test]
async fn an_exception_is_a_crash_that_names_its_place() {
    let words = ["IndexError", "faulty_evaluator.py, line ", "in raises"];
    assert_fault("raises", FailureKind::Crash, &words).await;
}

#[tokio::test]
async fn an_exit_is_a_crash() {
    assert_fault("exits", FailureKind::Crash, &["exit status 7"]).await;
}

#[tokio::test]
async fn a_killed_evaluator_is_a_crash() {
    assert_fault("killed", FailureKind::Crash, &["SIGKILL"]).await;
}

#[tokio::test]
async fn exhausted_memory_and_numbers_keep_their_kind() {
    assert_fault("memory_error", FailureKind::OutOfMemory, &["MemoryError"]).await;
    assert_fault("nan", FailureKind::NonFinite, &["accuracy is nan"]).await;
    assert_fault("bad_node", FailureKind::BadNode, &["no data here"]).await;
    assert_fault("invalid", FailureKind::Invalid, &["no such optimizer"]).await;
}

#[tokio::test]
async fn an_evaluator_that_never_looks_up_is_killed_after_its_time() {
    let Some(failure) = fault("hangs", Duration::from_millis(300)).await else { return };
    assert_eq!(failure.kind(), FailureKind::Timeout);
}

#[test]
fn the_fixed_filters_are_those_of_the_graph() {
    let Some(path) = python_path() else { return };
    let program = "from cambrian_evaluator.operations import FILTERS\n\
                   for filter in FILTERS: print(*filter)";
    let output =
        Command::new("python3").args(["-c", program]).env("PYTHONPATH", path).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let found: Vec<Vec<f32>> = text
        .lines()
        .map(|line| line.split(' ').map(|value| value.parse().unwrap()).collect())
        .collect();
    assert_eq!(found, FILTERS);
}

#[test]
fn the_generated_messages_are_those_of_the_proto_files() {
    let Some(path) = python_path() else { return };
    let directory = tempfile::tempdir().unwrap();
    let descriptors = directory.path().join("descriptors.bin");
    std::fs::write(&descriptors, cambrian_proto::DESCRIPTORS).unwrap();
    let output = Command::new("python3")
        .arg(repository().join("sdk/python/tests/compare_messages.py"))
        .arg(&descriptors)
        .env("PYTHONPATH", path)
        .output()
        .unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words}");
}
