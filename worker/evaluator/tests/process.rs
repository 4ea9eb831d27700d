//! The real process over its pipe: it greets, trains, stops, fails in kind and survives garbage.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking like the tests")]

use std::fs;
use std::io::{BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use cambrian_core::graph::{Graph, GraphBuilder, Op, Shape, Window};
use cambrian_evaluator::pipe;
use cambrian_proto::v1::{
    Assignment, CandidateId, EvaluationEnded, EvaluatorMessage, FailureKind, Hello, Measurement,
    Stage, StopEvaluation, SupervisorMessage, TaskAttempt, evaluator_message, outcome,
    supervisor_message,
};
use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};

struct Evaluator {
    process: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    hello: Hello,
}

impl Evaluator {
    fn start(base: &Path) -> Self {
        let mut process = command(base)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let input = process.stdin.take();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let Some(evaluator_message::Message::Hello(hello)) = receive(&mut output) else {
            panic!("the first message is not Hello");
        };
        Self { process, input, output, hello }
    }

    fn send(&mut self, message: supervisor_message::Message) {
        let message = SupervisorMessage { message: Some(message) };
        pipe::write(self.input.as_mut().unwrap(), &message).unwrap();
    }

    fn evaluate(&mut self, assignment: Assignment) {
        self.send(supervisor_message::Message::Evaluate(assignment));
    }

    fn stop(&mut self, attempt: TaskAttempt) {
        self.send(supervisor_message::Message::Stop(StopEvaluation { attempt: Some(attempt) }));
    }

    /// The end of the evaluation and the steps that were reported before.
    fn ended(&mut self) -> (EvaluationEnded, Vec<u32>) {
        let mut steps = Vec::new();
        loop {
            match receive(&mut self.output) {
                Some(evaluator_message::Message::Progress(progress)) => {
                    assert!(!progress.metrics.is_empty());
                    steps.push(progress.step);
                }
                Some(evaluator_message::Message::Ended(ended)) => return (ended, steps),
                other => panic!("{other:?}"),
            }
        }
    }

    fn failure(&mut self) -> (FailureKind, String) {
        match self.ended().0.outcome.unwrap().outcome.unwrap() {
            outcome::Outcome::Failed(failure) => (failure.kind(), failure.message),
            outcome::Outcome::Measured(measured) => panic!("{measured:?}"),
        }
    }

    fn measured(&mut self) -> Vec<Measurement> {
        match self.ended().0.outcome.unwrap().outcome.unwrap() {
            outcome::Outcome::Measured(measured) => measured.measurements,
            outcome::Outcome::Failed(failure) => panic!("{failure:?}"),
        }
    }

    /// Closes the pipe; the exit code.
    fn close(mut self) -> Option<i32> {
        drop(self.input.take());
        self.process.wait().unwrap().code()
    }
}

impl Drop for Evaluator {
    fn drop(&mut self) {
        // Already gone in the normal case.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn command(base: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cambrian-evaluator"));
    command.env_remove("LD_LIBRARY_PATH");
    // Makes oneDNN print to standard output, which must not reach the pipe.
    command.env("ONEDNN_VERBOSE", "1");
    command.arg("--data").arg(base).arg("--gate-dir").arg(base.join("gate"));
    command
}

fn receive(output: &mut impl Read) -> Option<evaluator_message::Message> {
    pipe::read::<EvaluatorMessage>(output).unwrap().and_then(|message| message.message)
}

/// Fashion-MNIST's files with 120 training and 20 test images: each class is a bright column.
fn write_dataset(base: &Path) {
    let directory = base.join("fashion-mnist");
    fs::create_dir_all(&directory).unwrap();
    for (part, count) in [("train", 120u32), ("t10k", 20)] {
        let labels: Vec<u8> = (0..count).map(|i| (i * 7 % 10) as u8).collect();
        let mut pixels = Vec::new();
        for (sample, &label) in (0u32..).zip(&labels) {
            for place in 0..28 * 28u32 {
                let column = place % 28;
                let bright = (u32::from(label) * 2 + 3..u32::from(label) * 2 + 7).contains(&column);
                pixels.push(if bright { 250 } else { ((place * 37 + sample * 13) % 53) as u8 });
            }
        }
        let idx = |dimensions: &[u32], bytes: &[u8]| {
            let mut content = vec![0, 0, 8, dimensions.len() as u8];
            content.extend(dimensions.iter().flat_map(|d| d.to_be_bytes()));
            content.extend(bytes);
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(&content).unwrap();
            encoder.finish().unwrap()
        };
        let images = idx(&[count, 28, 28], &pixels);
        fs::write(directory.join(format!("{part}-images-idx3-ubyte.gz")), images).unwrap();
        let labels = idx(&[count], &labels);
        fs::write(directory.join(format!("{part}-labels-idx1-ubyte.gz")), labels).unwrap();
    }
}

fn graph(input: Shape, classes: u32) -> Graph {
    let mut builder = GraphBuilder::new(input);
    let mut last = builder.input();
    let window = Window { kernel: 3, stride: 2, padding: 1 };
    for op in [
        Op::Conv2d { out_channels: 8, window, dilation: 1, groups: 1, bias: false },
        Op::BatchNorm,
        Op::Relu,
        Op::Flatten,
        Op::Linear { out_features: classes, bias: true },
    ] {
        last = builder.add(op, &[last]).unwrap();
    }
    builder.finish(last).unwrap()
}

const IMAGE: Shape = Shape::Map { channels: 1, height: 28, width: 28 };

fn settings() -> Value {
    json!({
        "dataset": "fashion-mnist", "train_samples": 80, "validation_samples": 40,
        "epochs": 1, "batch_size": 8, "learning_rate": 0.02,
        "augment": {"crop_padding": 0, "flip": false, "cutout": 0},
        "latency": {"warmup_seconds": 0.0, "samples": 10, "min_sample_ms": 0.0, "retries": 0},
    })
}

fn assignment(task: u64, settings: &Value, measures: &[&str]) -> Assignment {
    Assignment {
        task,
        attempt: 1,
        candidate: Some(CandidateId { campaign: 1, ordinal: 1 }),
        graph: Some((&graph(IMAGE, 10)).into()),
        genotype: "test".to_owned(),
        stage: Some(Stage {
            name: "training".to_owned(),
            evaluator: "train".to_owned(),
            settings_json: settings.to_string(),
            measures: measures.iter().map(|&metric| metric.to_owned()).collect(),
            dataset: "fashion-mnist".to_owned(),
            timeout_micros: 1_000_000,
            ..Stage::default()
        }),
        seed: 7,
    }
}

#[test]
fn it_measures_what_is_asked_for_and_nothing_else() {
    let base = tempfile::tempdir().unwrap();
    write_dataset(base.path());
    let mut evaluator = Evaluator::start(base.path());
    assert_eq!(evaluator.hello.protocol, 1);
    let capabilities = evaluator.hello.capabilities.clone().unwrap();
    assert!(capabilities.device_class.starts_with("cpu:"), "{}", capabilities.device_class);
    assert!(capabilities.device_class.ends_with(":1t"), "{}", capabilities.device_class);
    assert_eq!(capabilities.datasets, ["fashion-mnist"]);
    let offer = &capabilities.evaluators[0];
    assert_eq!(offer.name, "train");

    let all = ["accuracy", "test_accuracy", "introspectability", "flatness", "latency", "energy"];
    let three = json!({"epochs": 3});
    let mut trained = settings();
    trained["epochs"] = three["epochs"].clone();
    evaluator.evaluate(assignment(1, &trained, &all));
    let (ended, steps) = evaluator.ended();
    assert_eq!(steps, [1, 2, 3]);
    assert_eq!(ended.attempt, Some(TaskAttempt { task: 1, attempt: 1 }));
    let Some(outcome::Outcome::Measured(measured)) = ended.outcome.unwrap().outcome else {
        panic!("not measured");
    };
    let names: Vec<_> = measured.measurements.iter().map(|m| m.metric.as_str()).collect();
    assert_eq!(names, all);
    for measurement in &measured.measurements {
        assert!(measurement.value.is_finite());
        // What was announced is what is delivered.
        assert_eq!(measurement.provenance.as_ref(), offer.metrics.get(&measurement.metric));
    }
    assert!(measured.measurements[0].value > 25.0, "chance is 10 %: {measured:?}");
    assert!((0.0..=2.0).contains(&measured.measurements[2].value));
    assert!(measured.measurements[3].value > 0.0);
    assert!(measured.measurements[4].spread.is_some());

    // The process is warm; without an accuracy nothing is trained, so there is no progress.
    evaluator.evaluate(assignment(2, &settings(), &["latency"]));
    let names: Vec<_> = evaluator.measured().into_iter().map(|m| m.metric).collect();
    assert_eq!(names, ["latency"]);
    assert_eq!(evaluator.close(), Some(0));
}

#[test]
fn a_seed_gives_the_same_accuracy_in_every_process() {
    let base = tempfile::tempdir().unwrap();
    write_dataset(base.path());
    let run = || {
        let mut evaluator = Evaluator::start(base.path());
        evaluator.evaluate(assignment(1, &settings(), &["accuracy", "introspectability"]));
        evaluator.measured().iter().map(|m| m.value.to_bits()).collect::<Vec<_>>()
    };
    assert_eq!(run(), run());
}

const PROXIES: [&str; 17] = [
    "grad_norm",
    "plain",
    "snip",
    "grasp",
    "synflow",
    "fisher",
    "jacob_cov",
    "naswot",
    "linear_regions",
    "ntk_condition",
    "zen",
    "zico",
    "grad_sign",
    "knas_mgm",
    "knas_mgm_code",
    "jacobian_mean_square",
    "jacobian_condition",
];

fn scoring(seed: u64, settings: &Value, measures: &[&str]) -> Assignment {
    let mut assignment = Assignment { seed, ..assignment(1, settings, measures) };
    let stage = assignment.stage.as_mut().unwrap();
    stage.evaluator = "proxies".to_owned();
    stage.dataset.clear();
    assignment
}

#[test]
fn proxies_score_a_network_on_images_or_on_noise() {
    let base = tempfile::tempdir().unwrap();
    write_dataset(base.path());
    let mut evaluator = Evaluator::start(base.path());
    let capabilities = evaluator.hello.capabilities.clone().unwrap();
    let offer = capabilities.evaluators.iter().find(|offer| offer.name == "proxies").unwrap();
    assert_eq!(offer.metrics.len(), PROXIES.len());
    let sizes = json!({
        "zico": {"batch_size": 32}, "ntk_condition": {"batch_size": 8}, "zen": {"repeats": 3},
        "naswot": {"batch_size": 16, "repeats": 2}, "linear_regions": {"batch_size": 100},
    });
    for dataset in [Value::Null, json!("fashion-mnist")] {
        let settings = json!({"dataset": dataset, "sizes": sizes});
        let mut scores = |seed| {
            evaluator.evaluate(scoring(seed, &settings, &PROXIES));
            let (ended, steps) = evaluator.ended();
            let measured = match ended.outcome.unwrap().outcome.unwrap() {
                outcome::Outcome::Measured(measured) => measured.measurements,
                outcome::Outcome::Failed(failure) => panic!("after {steps:?}: {failure:?}"),
            };
            // One step for each score and repeat.
            assert_eq!(steps, (1..=17 + 2 + 1 + 2 + 2).collect::<Vec<_>>());
            measured
        };
        let first = scores(7);
        let mut names: Vec<_> = first.iter().map(|m| m.metric.as_str()).collect();
        names.sort_unstable();
        let mut expected = PROXIES;
        expected.sort_unstable();
        assert_eq!(names, expected);
        for measurement in &first {
            assert_eq!(measurement.provenance.as_ref(), offer.metrics.get(&measurement.metric));
            let repeated = ["zen", "naswot", "ntk_condition", "linear_regions"];
            let has_spread = repeated.contains(&measurement.metric.as_str());
            assert_eq!(measurement.spread.is_some(), has_spread, "{measurement:?}");
        }
        assert_eq!(scores(7), first);
        assert_ne!(scores(8), first);
    }
}

#[test]
fn scores_that_are_no_numbers_or_have_no_meaning_are_failures_of_their_kind() {
    let base = tempfile::tempdir().unwrap();
    write_dataset(base.path());
    let mut evaluator = Evaluator::start(base.path());
    let mut linear = GraphBuilder::new(IMAGE);
    let flat = linear.add(Op::Flatten, &[linear.input()]).unwrap();
    let output = linear.add(Op::Linear { out_features: 10, bias: false }, &[flat]).unwrap();
    let linear = linear.finish(output).unwrap();
    let images = |batch_size: u32| json!({"dataset": "fashion-mnist", "sizes": {"naswot": {"batch_size": batch_size}}});
    let mut narrow = GraphBuilder::new(IMAGE);
    let flat = narrow.add(Op::Flatten, &[narrow.input()]).unwrap();
    let hidden = narrow.add(Op::Linear { out_features: 2, bias: false }, &[flat]).unwrap();
    let active = narrow.add(Op::Relu, &[hidden]).unwrap();
    let output = narrow.add(Op::Linear { out_features: 10, bias: false }, &[active]).unwrap();
    let narrow = narrow.finish(output).unwrap();
    use FailureKind::{Invalid, NonFinite};
    let of_graph = |graph: &Graph| Assignment {
        graph: Some(graph.into()),
        ..scoring(1, &images(40), &["naswot"])
    };
    let cases = [
        (of_graph(&linear), Invalid, "no ReLU"),
        // Two units have four patterns, so those of 40 images cannot all differ.
        (of_graph(&narrow), NonFinite, "`naswot` of the network is -inf"),
        (scoring(1, &images(101), &["naswot"]), Invalid, "reads 101 training images"),
        (scoring(1, &json!({"dataset": "imagenet"}), &["snip"]), Invalid, "imagenet"),
        (scoring(1, &json!({"batch": 1}), &["snip"]), Invalid, "batch"),
        (scoring(1, &json!({}), &["accuracy"]), Invalid, "`accuracy`"),
    ];
    for (assignment, kind, text) in cases {
        evaluator.evaluate(assignment);
        let (found, message) = evaluator.failure();
        assert_eq!((found, message.contains(text)), (kind, true), "{text}: {message}");
    }
    evaluator.evaluate(scoring(1, &images(8), &["naswot"]));
    assert_eq!(evaluator.measured().len(), 1);
}

#[test]
fn a_stop_ends_a_training_in_work_and_one_that_waits() {
    let base = tempfile::tempdir().unwrap();
    write_dataset(base.path());
    let mut evaluator = Evaluator::start(base.path());
    let mut endless = settings();
    endless["epochs"] = json!(100_000);
    evaluator.evaluate(assignment(1, &endless, &["accuracy"]));
    evaluator.evaluate(assignment(2, &endless, &["accuracy"]));
    let first = receive(&mut evaluator.output);
    assert!(matches!(first, Some(evaluator_message::Message::Progress(_))));
    evaluator.stop(TaskAttempt { task: 2, attempt: 1 });
    // A stop for an attempt that is not here is nothing.
    evaluator.stop(TaskAttempt { task: 9, attempt: 9 });
    evaluator.stop(TaskAttempt { task: 1, attempt: 1 });
    assert_eq!(evaluator.failure().0, FailureKind::Preempted);
    assert_eq!(evaluator.failure().0, FailureKind::Preempted);
    evaluator.evaluate(assignment(3, &settings(), &["accuracy"]));
    assert_eq!(evaluator.measured().len(), 1);
}

#[test]
fn each_fault_is_a_failure_of_its_kind_and_the_process_goes_on() {
    let base = tempfile::tempdir().unwrap();
    write_dataset(base.path());
    let mut evaluator = Evaluator::start(base.path());
    let with = |key: &str, value: Value| {
        let mut settings = settings();
        settings[key] = value;
        assignment(1, &settings, &["accuracy"])
    };
    let of_graph = |graph: Option<Graph>| Assignment {
        graph: graph.as_ref().map(Into::into),
        ..with("epochs", json!(1))
    };
    let in_stage = |change: fn(&mut Stage)| {
        let mut assignment = with("epochs", json!(1));
        change(assignment.stage.as_mut().unwrap());
        assignment
    };
    let wide = Shape::Map { channels: 1, height: 32, width: 32 };
    let mut huge = GraphBuilder::new(IMAGE);
    let flat = huge.add(Op::Flatten, &[huge.input()]).unwrap();
    let hidden = huge.add(Op::Linear { out_features: 1 << 20, bias: false }, &[flat]).unwrap();
    let hidden = huge.add(Op::Linear { out_features: 1 << 20, bias: false }, &[hidden]).unwrap();
    let output = huge.add(Op::Linear { out_features: 10, bias: false }, &[hidden]).unwrap();
    let huge = huge.finish(output).unwrap();
    use FailureKind::{Invalid, NonFinite, OutOfMemory};
    let cases = [
        (with("train_samples", json!(81)), Invalid, "exceed the 120"),
        (with("learning_rate", json!(1e30)), NonFinite, "loss"),
        (with("learning_rate", json!("fast")), Invalid, "settings"),
        (with("learning_rat", json!(0.1)), Invalid, "learning_rat"),
        (with("dataset", json!("imagenet")), Invalid, "no dataset `imagenet`"),
        (of_graph(None), Invalid, "has no network"),
        (of_graph(Some(graph(wide, 10))), Invalid, "1x32x32"),
        (of_graph(Some(graph(IMAGE, 11))), Invalid, "10 classes"),
        (of_graph(Some(huge)), OutOfMemory, "parameters"),
        (Assignment { task: 1, attempt: 1, ..Assignment::default() }, Invalid, "candidate"),
        (in_stage(|stage| stage.settings_json.clear()), Invalid, "settings_json"),
        (in_stage(|stage| stage.evaluator = "oracle".to_owned()), Invalid, "`oracle`"),
        (in_stage(|stage| stage.measures = vec!["beauty".to_owned()]), Invalid, "`beauty`"),
    ];
    for (assignment, kind, text) in cases {
        evaluator.evaluate(assignment);
        let (found, message) = evaluator.failure();
        assert_eq!((found, message.contains(text)), (kind, true), "{text}: {message}");
    }
    evaluator.evaluate(assignment(1, &settings(), &["accuracy"]));
    assert_eq!(evaluator.measured().len(), 1);
}

#[test]
fn a_dataset_that_is_absent_or_damaged_is_a_bad_node() {
    let base = tempfile::tempdir().unwrap();
    let mut evaluator = Evaluator::start(base.path());
    let capabilities = evaluator.hello.capabilities.clone().unwrap();
    assert!(capabilities.datasets.is_empty());
    assert!(capabilities.unavailable["fashion-mnist"].contains("is not on this machine"));
    evaluator.evaluate(assignment(1, &settings(), &["accuracy"]));
    let (kind, message) = evaluator.failure();
    assert_eq!(kind, FailureKind::BadNode);
    assert!(message.contains("deploy/fetch-fashion-mnist"), "{message}");
    // It is found as soon as it is there, and read again after a fault.
    write_dataset(base.path());
    let images = base.path().join("fashion-mnist/train-images-idx3-ubyte.gz");
    let whole = fs::read(&images).unwrap();
    fs::write(&images, &whole[..whole.len() / 2]).unwrap();
    evaluator.evaluate(assignment(2, &settings(), &["accuracy"]));
    let (kind, message) = evaluator.failure();
    assert_eq!(kind, FailureKind::BadNode);
    assert!(message.contains("train-images-idx3-ubyte.gz is truncated"), "{message}");
    fs::write(&images, whole).unwrap();
    evaluator.evaluate(assignment(3, &settings(), &["accuracy"]));
    assert_eq!(evaluator.measured().len(), 1);
}

#[test]
fn garbage_ends_the_process_with_a_code() {
    let base = tempfile::tempdir().unwrap();
    for garbage in [&[0xff; 32][..], b"\x03\xff\xff\xff"] {
        let mut evaluator = Evaluator::start(base.path());
        // The process may be gone before all of it is written.
        let _ = evaluator.input.as_mut().unwrap().write_all(garbage);
        assert_eq!(evaluator.close(), Some(2));
    }
}

#[test]
fn the_end_of_the_pipe_ends_a_training_in_work() {
    let base = tempfile::tempdir().unwrap();
    write_dataset(base.path());
    let mut evaluator = Evaluator::start(base.path());
    let mut endless = settings();
    endless["epochs"] = json!(100_000);
    evaluator.evaluate(assignment(1, &endless, &["accuracy"]));
    let first = receive(&mut evaluator.output);
    assert!(matches!(first, Some(evaluator_message::Message::Progress(_))));
    assert_eq!(evaluator.close(), Some(0));
}

#[test]
fn a_check_prints_what_the_machine_can_do() {
    let base = tempfile::tempdir().unwrap();
    write_dataset(base.path());
    let output = command(base.path()).arg("--check").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    for part in ["device class  cpu:", "evaluator     train", "dataset       fashion-mnist"] {
        assert!(text.contains(part), "{text}");
    }
    let refused = command(base.path()).args(["--device", "gpu"]).output().unwrap();
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("`gpu` is not a device"));
}
